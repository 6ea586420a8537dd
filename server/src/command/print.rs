//! What commands print. Whoever reads it may stop at any line: `rounds jobs list | head`.
//!
//! The standard library's macros would panic then. `say!` prints what somebody asked for, and ends the program when
//! nobody reads on: who stops reading has read enough. `announce!` prints what a program says that goes on whether
//! anybody reads it or not, and `hint!` what goes beside the output.

use std::fmt::Arguments;
use std::io::{ErrorKind, Write, stderr, stdout};
use std::process::exit;

/// Prints a line of what was asked for; if nobody reads any more, the program ends with success.
macro_rules! say {
    ($($part:tt)*) => { $crate::command::print::lines(format_args!("{}\n", format_args!($($part)*))) };
}

/// Prints a line if somebody reads, and goes on.
macro_rules! announce {
    ($($part:tt)*) => { $crate::command::print::announced(format_args!("{}\n", format_args!($($part)*))) };
}

/// Prints a line beside the output if somebody reads, and goes on.
macro_rules! hint {
    ($($part:tt)*) => { $crate::command::print::hinted(format_args!("{}\n", format_args!($($part)*))) };
}

pub(crate) use {announce, hint, say};

/// Prints whole lines, see `say!`.
pub(crate) fn lines(lines: Arguments) {
    let mut out = stdout().lock();
    match out.write_fmt(lines).and_then(|()| out.flush()) {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::BrokenPipe => exit(0),
        Err(error) => {
            hint!("rounds: cannot print: {error}");
            exit(1);
        }
    }
}

/// See `announce!`.
pub(crate) fn announced(line: Arguments) {
    let _ = stdout().lock().write_fmt(line); // nobody reads
}

/// See `hint!`. Without a line's end, the cursor stays behind it.
pub(crate) fn hinted(line: Arguments) {
    let _ = stderr().lock().write_fmt(line); // nobody reads
}
