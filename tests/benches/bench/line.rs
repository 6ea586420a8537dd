//! A line of the output, and how its numbers are measured.

use std::fmt;
use std::time::{Duration, Instant};

/// What a row of `scripts/bench` came to on one database.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) id: &'static str,
    pub(crate) database: &'static str,
    pub(crate) figure: String,
    pub(crate) yardstick: String,
    /// The ratio, or the figure itself where there is no yardstick.
    pub(crate) value: f64,
    pub(crate) floor: Bound,
    pub(crate) goal: Bound,
}

/// What a value is held against.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Bound {
    AtLeast(f64),
    AtMost(f64),
}

impl Bound {
    fn holds(self, value: f64) -> bool {
        match self {
            Bound::AtLeast(bound) => value >= bound,
            Bound::AtMost(bound) => value <= bound,
        }
    }
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Bound::AtLeast(bound) => write!(f, ">={bound}"),
            Bound::AtMost(bound) => write!(f, "<={bound}"),
        }
    }
}

impl Line {
    pub(crate) const HEADER: &str = "id\tdatabase\tfigure\tyardstick\tvalue\tfloor\tgoal\tverdict";

    /// Whether it is below the floor.
    fn fails(&self) -> bool {
        !self.floor.holds(self.value)
    }

    fn verdict(&self) -> &'static str {
        match (self.fails(), self.goal.holds(self.value)) {
            (true, _) => "FAIL",
            (false, false) => "short",
            (false, true) => "ok",
        }
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, database, figure, yardstick, value, floor, goal } = self;
        let verdict = self.verdict();
        write!(f, "{id}\t{database}\t{figure}\t{yardstick}\t{value:.2}\t{floor}\t{goal}\t{verdict}")
    }
}

/// Says each line as soon as it is known.
#[derive(Debug, Default)]
pub(crate) struct Report {
    /// Whether a row is below its floor.
    pub(crate) failed: bool,
}

impl Report {
    pub(crate) fn add(&mut self, line: Line) {
        println!("{line}");
        self.failed |= line.fails();
    }
}

/// The middle one. Of an even number, the upper of the two.
pub(crate) fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// How long something takes, and what it answers.
pub(crate) async fn timed<T>(work: impl Future<Output = T>) -> (T, Duration) {
    let start = Instant::now();
    let answer = work.await;
    (answer, start.elapsed())
}

/// So many in that time, per second.
pub(crate) fn rate(count: usize, took: Duration) -> f64 {
    count as f64 / took.as_secs_f64()
}
