//! `scripts/bench summary`: what it costs to know how far a city is.

mod ask;
mod city;
mod page;

use crate::asked::Asked;
use crate::line::Report;

pub(crate) async fn measure(asked: &Asked, report: &mut Report) {
    for kind in asked.databases.iter().copied() {
        if asked.wants("Q1") || asked.wants("Q2") {
            ask::q1_q2(kind, asked).await.into_iter().for_each(|line| report.add(line));
        }
        if asked.wants("Q3") {
            report.add(page::q3(kind, asked).await);
        }
    }
}
