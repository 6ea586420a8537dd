//! How far something is: a bar on a terminal, lines elsewhere.

use super::print::hint;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::IsTerminal as _;

/// Rows between two lines that tell how far it is, where no bar can be drawn.
const ROWS_PER_LINE: u64 = 10_000;

/// Tells on the standard error output how far something is.
pub(crate) enum Display {
    /// On a terminal.
    Bar(ProgressBar),
    /// Elsewhere.
    Lines {
        /// Rows at which the next line is due.
        next: u64,
    },
}

impl Display {
    /// Nothing is done yet of `length`; `None` if nobody knows how much there is.
    pub(crate) fn new(length: Option<u64>) -> Self {
        if !std::io::stderr().is_terminal() {
            return Self::Lines { next: ROWS_PER_LINE };
        }
        let bar = ProgressBar::with_draw_target(length, ProgressDrawTarget::stderr());
        let template = match length {
            Some(_) => "{bar:40} {percent:>3} % {msg} ({eta} left)",
            None => "{spinner} {msg}",
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        Self::Bar(bar)
    }

    /// So much of the length is done, and so many rows, which `message` tells.
    pub(crate) fn show(&mut self, position: u64, rows: u64, message: String) {
        match self {
            Self::Bar(bar) => {
                bar.set_position(position);
                bar.set_message(message);
            }
            Self::Lines { next } => {
                if rows >= *next {
                    hint!("{message}");
                    *next = rows - rows % ROWS_PER_LINE + ROWS_PER_LINE;
                }
            }
        }
    }

    /// It is done.
    pub(crate) fn end(&self) {
        if let Self::Bar(bar) = self {
            bar.finish_and_clear();
        }
    }
}
