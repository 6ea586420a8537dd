//! P6: what was acknowledged though there was no room for it, and how soon all goes on once there is.

use crate::asked::{Asked, Kind};
use crate::line::{Bound, Line};
use rounds_tests::room::{OutOfRoom, refuse_each_write, run_out_of_room, run_out_of_room_on_postgres};

/// How soon all goes on again, in seconds.
const HEALED_MAX_S: f64 = 5.0;
/// Every so many times the server is killed while there is no room.
const KILL_EVERY: usize = 10;

/// Each refused write of a row; and the real program without room: on SQLite for each write to the disk, on PostgreSQL for
/// what its tables or its log need.
pub(crate) async fn p6(kind: Kind, asked: &Asked) -> Vec<Line> {
    let writes = || (1..=500_u64).step_by(asked.size(50, 1));
    let refused = refuse_each_write(&kind.create().await, writes()).await;
    let line = |figure: String, value: f64, bound: f64| Line {
        id: "P6",
        database: kind.name(),
        figure,
        yardstick: "-".to_owned(),
        value,
        floor: Bound::AtMost(bound),
        goal: Bound::AtMost(bound),
    };
    let figure = format!(
        "{} writes of rows refused: {} acknowledged, {} left something behind, {} not healed",
        refused.writes, refused.acknowledged, refused.kept, refused.unhealed
    );
    let (out, what) = match kind {
        Kind::Sqlite => {
            let out = run_out_of_room(&asked.rounds, &kind.create().await, writes(), KILL_EVERY).await;
            (out, format!("no room for write 1 to 500, {} times", writes().count()))
        }
        Kind::Postgres => {
            let times = asked.size(2, 20);
            let out = run_out_of_room_on_postgres(&asked.rounds, times).await;
            (out, format!("no room for PostgreSQL's tables, or its log, {times} times"))
        }
    };
    let OutOfRoom { outcome, healed_after } = out;
    let lost = format!(
        "{what}, {} ops: {} lost, {} doubled, {} acknowledged and taken back",
        outcome.recorded, outcome.lost, outcome.doubled, outcome.taken_back
    );
    let healed = healed_after.as_secs_f64();
    vec![
        line(figure, refused.wrong() as f64, 0.0),
        line(lost, outcome.wrong() as f64, 0.0),
        line(format!("{healed:.2} s from room to an acknowledged op, at most"), healed, HEALED_MAX_S),
    ]
}
