//! `scripts/bench sync`: how fast devices and server agree.

mod fill;
mod plain;
pub(crate) mod program;
mod pull;
mod push;
mod wire;

use crate::asked::{Asked, Kind};
use crate::line::Report;

pub(crate) async fn measure(asked: &Asked, report: &mut Report) {
    for kind in &asked.databases {
        measure_on(*kind, asked, report).await;
    }
    if asked.wants("S11") {
        report.add(program::s11_size(asked));
    }
}

async fn measure_on(kind: Kind, asked: &Asked, report: &mut Report) {
    match kind {
        Kind::Sqlite if asked.wants("S1") => report.add(push::s1(asked).await),
        Kind::Postgres if asked.wants("S2") => report.add(push::s2(asked).await),
        _ => {}
    }
    if asked.wants("S3") && kind == Kind::Postgres {
        report.add(push::s3(asked).await);
    }
    if asked.wants("S4") {
        report.add(pull::s4(kind, asked).await);
    }
    if asked.wants("S5") {
        report.add(pull::s5(kind, asked).await);
    }
    if asked.wants("S6") {
        report.add(pull::s6(kind, asked).await);
    }
    if asked.wants("S7") {
        report.add(push::s7(kind, asked).await);
    }
    if asked.wants("S8") {
        program::s8(kind, asked).await.into_iter().for_each(|line| report.add(line));
    }
    if asked.wants("S9") {
        report.add(pull::s9(kind, asked).await);
    }
    if asked.wants("S10") {
        report.add(program::s10(kind, asked).await);
    }
    if asked.wants("S11") {
        report.add(program::s11(kind, asked).await);
    }
}
