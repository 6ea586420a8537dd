//! P4: acknowledged ops that were lost, or took effect twice, while the server was killed.

use crate::asked::{Asked, Kind};
use crate::line::{Bound, Line};
use rounds_tests::kill::kill_server;

pub(crate) async fn p4(kind: Kind, asked: &Asked) -> Line {
    let kills = asked.setting("--kills").unwrap_or(asked.size(10, 200));
    let outcome = kill_server(&asked.rounds, &kind.create().await, kills).await;
    Line {
        id: "P4",
        database: kind.name(),
        figure: format!(
            "{kills} kills, {} ops: {} lost, {} doubled, {} acknowledged and taken back, {} unlike on phones",
            outcome.recorded, outcome.lost, outcome.doubled, outcome.taken_back, outcome.unlike
        ),
        yardstick: "-".to_owned(),
        value: outcome.wrong() as f64,
        floor: Bound::AtMost(0.0),
        goal: Bound::AtMost(0.0),
    }
}
