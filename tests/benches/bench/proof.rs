//! `scripts/proof`: whether what is promised holds, in larger numbers than a test has time for.

mod merge;
mod simulation;

use crate::asked::Asked;
use crate::line::Report;

/// Runs the rows that are asked for. Those that have to do with a database run once for each.
pub(crate) async fn measure(asked: &Asked, report: &mut Report) {
    if asked.wants("P1") {
        report.add(simulation::p1(asked));
    }
    if asked.wants("P2") {
        report.add(simulation::p2(asked));
    }
    if asked.wants("P3") {
        report.add(merge::p3(asked));
    }
}
