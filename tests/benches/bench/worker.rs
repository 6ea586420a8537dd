//! `scripts/bench worker`: how fast jobs are done, and how late.

mod drain;
mod due;
mod killed;
mod plan;
mod year;

use crate::asked::Asked;
use crate::line::Report;

pub(crate) async fn measure(asked: &Asked, report: &mut Report) {
    for kind in asked.databases.iter().copied() {
        if asked.wants("W1") {
            report.add(drain::w1(kind, asked).await);
        }
        if asked.wants("W2") {
            plan::w2(kind, asked).await.into_iter().for_each(|line| report.add(line));
        }
        if asked.wants("W3") {
            report.add(plan::w3(kind, asked).await);
        }
        if asked.wants("W4") {
            report.add(due::w4(kind, asked).await);
        }
        if asked.wants("P5") {
            report.add(killed::p5(kind, asked).await);
        }
        // It takes as long as all others, so it is done only when it is asked for.
        if asked.names("YEAR") {
            report.add(year::year(kind, asked).await);
        }
    }
}
