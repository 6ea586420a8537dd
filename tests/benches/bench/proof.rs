//! `scripts/proof`: whether what is promised holds, in larger numbers than a test has time for.

mod network;
mod rights;

use crate::asked::Asked;
use crate::line::Report;

/// Runs the rows that are asked for. Those that have to do with a database run once for each.
pub(crate) async fn measure(asked: &Asked, report: &mut Report) {
    for kind in &asked.databases {
        if asked.wants("P11") {
            report.add(rights::p11(*kind).await);
        }
        if asked.wants("P12") {
            for line in network::p12(*kind, asked).await {
                report.add(line);
            }
        }
    }
}
