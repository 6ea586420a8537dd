//! The real program, killed with -9 while phones push, or without room to write: what was acknowledged is there, once.

#![allow(clippy::unwrap_used)] // a test that cannot go on has failed

use rounds_tests::kill::kill_server;
use rounds_tests::{Outcome, TestDatabase};
use std::path::Path;

/// `scripts/proof --only P4` kills more often.
const KILLS: usize = 12;

#[tokio::test(flavor = "multi_thread")]
async fn acknowledged_survives_kill_9_on_sqlite() {
    acknowledged_survives_kill_9(TestDatabase::sqlite().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn acknowledged_survives_kill_9_on_postgres() {
    acknowledged_survives_kill_9(TestDatabase::postgres().await).await;
}

/// Linux can take room away from a single process. `scripts/proof --only P6` has each write from 1 to 500.
#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_acknowledged_without_room_and_all_goes_on_once_there_is_some() {
    use rounds_tests::room::run_out_of_room;
    let database = TestDatabase::sqlite().await;
    let rounds = Path::new(env!("CARGO_BIN_EXE_rounds"));
    let out = run_out_of_room(rounds, &database, (1..=500).step_by(19), 5).await;
    assert_eq!(out.outcome, Outcome::well(out.outcome.recorded));
    assert!(out.healed_after < std::time::Duration::from_secs(5), "{out:?}");
    let store = database.open().await;
    rounds_tests::assert_sound(&store).await;
    store.close().await;
}

async fn acknowledged_survives_kill_9(database: TestDatabase) {
    let outcome = kill_server(Path::new(env!("CARGO_BIN_EXE_rounds")), &database, KILLS).await;
    assert_eq!(outcome, Outcome::well(outcome.recorded));
}
