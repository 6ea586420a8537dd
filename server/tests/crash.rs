//! The real program, killed with -9 while phones push: what was acknowledged is there, once.

#![allow(clippy::unwrap_used)] // a test that cannot go on has failed

use rounds_tests::{Crew, Outcome, Program, TestDatabase, assert_sound};
use std::path::Path;

const PHONES: usize = 6;
/// `scripts/proof --only P4` kills more often.
const KILLS: u64 = 20;
/// Ops that have to be acknowledged between two kills.
const OPS_BETWEEN_KILLS: u64 = 120;

#[tokio::test(flavor = "multi_thread")]
async fn acknowledged_survives_kill_9_on_sqlite() {
    acknowledged_survives_kill_9(TestDatabase::sqlite().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn acknowledged_survives_kill_9_on_postgres() {
    acknowledged_survives_kill_9(TestDatabase::postgres().await).await;
}

async fn acknowledged_survives_kill_9(database: TestDatabase) {
    let rounds = Path::new(env!("CARGO_BIN_EXE_rounds"));
    let mut server = Program::start(rounds, database.url(), "127.0.0.1:0").await;
    let address = server.address.to_string();
    let store = database.open().await;
    let mut crew = Crew::begin(&store, server.address, PHONES).await;
    store.close().await;
    for _ in 0..KILLS {
        crew.acknowledged_more(OPS_BETWEEN_KILLS).await;
        server.kill().await; // with calls and commits under way
        server = Program::start(rounds, database.url(), &address).await;
    }
    let outcome = crew.finish(&database).await;
    assert!(outcome.recorded >= KILLS * OPS_BETWEEN_KILLS, "{outcome:?}");
    assert_eq!(outcome, Outcome::well(outcome.recorded));
    server.kill().await;
    let store = database.open().await;
    assert_sound(&store).await;
    store.close().await;
}
