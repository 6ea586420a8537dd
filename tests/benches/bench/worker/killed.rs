//! P5: effects that did not come about once while workers were killed.

use crate::asked::{Asked, Kind};
use crate::line::{Bound, Line};
use rounds_tests::kill::kill_workers;

pub(crate) async fn p5(kind: Kind, asked: &Asked) -> Line {
    let (jobs, kills) = (asked.size(1_000, 20_000), asked.setting("--kills").unwrap_or(asked.size(20, 100)));
    let killed = kill_workers(&asked.rounds, &kind.create().await, jobs, kills).await;
    let wrong =
        killed.asked - killed.once + killed.twice + killed.dead as u64 + u64::from(!killed.ended_well);
    Line {
        id: "P5",
        database: kind.name(),
        figure: format!(
            "{kills} kills, {} starts interrupted, {} of {} effects once, {} given up",
            killed.interrupted, killed.once, killed.asked, killed.dead
        ),
        yardstick: "-".to_owned(),
        value: wrong as f64,
        floor: Bound::AtMost(0.0),
        goal: Bound::AtMost(0.0),
    }
}
