//! `scripts/proof`: whether what is promised holds, in larger numbers than a test has time for.

mod past;
mod stranger;

use crate::asked::Asked;
use crate::line::Report;

/// Runs the rows that are asked for. Those that have to do with a database run once for each.
pub(crate) async fn measure(asked: &Asked, report: &mut Report) {
    if asked.wants("P9") {
        stranger::p9(asked).into_iter().for_each(|line| report.add(line));
    }
    if asked.wants("P13") {
        for kind in asked.databases.iter().copied() {
            report.add(past::p13(kind).await);
        }
    }
}
