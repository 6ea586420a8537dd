//! `scripts/proof`: whether what is promised holds, in larger numbers than a test has time for.

mod backup;
mod gap;
mod kill;
mod merge;
mod network;
mod past;
mod poison;
mod rights;
mod room;
mod simulation;
mod stranger;

use crate::asked::{Asked, Kind};
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
    if asked.wants("P9") {
        stranger::p9(asked).into_iter().for_each(|line| report.add(line));
    }
    for kind in asked.databases.iter().copied() {
        if asked.wants("P4") {
            report.add(kill::p4(kind, asked).await);
        }
        if asked.wants("P6") {
            room::p6(kind, asked).await.into_iter().for_each(|line| report.add(line));
        }
        if asked.wants("P7") {
            report.add(poison::p7(kind, asked).await);
        }
        if asked.wants("P8") && kind == Kind::Postgres {
            report.add(gap::p8(asked).await);
        }
        if asked.wants("P10") {
            backup::p10(kind, asked).await.into_iter().for_each(|line| report.add(line));
        }
        if asked.wants("P11") {
            report.add(rights::p11(kind).await);
        }
        if asked.wants("P12") {
            network::p12(kind, asked).await.into_iter().for_each(|line| report.add(line));
        }
        if asked.wants("P13") {
            report.add(past::p13(kind).await);
        }
    }
}
