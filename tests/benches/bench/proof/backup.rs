//! P10: acknowledged ops that a backup and a restore lose, and how long both take.

use crate::asked::{Asked, Kind};
use crate::line::{Bound, Line};
use crate::site::Ground;
use rounds_tests::restore::lose_and_restore;

const GB: f64 = 1e9;
/// Ops of phones before the backup, and again before the loss.
const OPS: u64 = 1_000;

/// What went wrong, and seconds for each GB of the database, or for all of it if it is less: of making a backup beside
/// phones that push, and of restoring it.
pub(crate) async fn p10(kind: Kind, asked: &Asked) -> [Line; 3] {
    let stored = asked.setting("--stored").unwrap_or(asked.size(10_000, 700_000));
    let Ground { store, database, .. } = {
        let ground = Ground::lay(kind, 10).await;
        ground.fill(stored).await;
        ground
    };
    store.close().await;
    let restored = lose_and_restore(&asked.rounds, &database, &kind.create().await, OPS).await;
    let (outcome, gb) = (restored.outcome, restored.database_bytes as f64 / GB);
    let line = |figure: String, value: f64, floor: f64| Line {
        id: "P10",
        database: kind.name(),
        figure,
        yardstick: "-".to_owned(),
        value,
        floor: Bound::AtMost(floor),
        goal: Bound::AtMost(floor),
    };
    let carried_on = format!(
        "{} ops: {} lost, {} doubled, {} unlike on phones; of {} acknowledged at the loss the backup had {}",
        outcome.recorded,
        outcome.lost,
        outcome.doubled,
        outcome.unlike,
        restored.at_the_loss,
        restored.in_backup
    );
    let seconds =
        |what: &str, took: f64| line(format!("{what} {gb:.2} GB in {took:.1} s"), took / gb.max(1.0), 60.0);
    [
        line(carried_on, outcome.wrong() as f64, 0.0),
        seconds("backed up", restored.backup_took.as_secs_f64()),
        seconds("restored", restored.restore_took.as_secs_f64()),
    ]
}
