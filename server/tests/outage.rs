//! The real program while PostgreSQL is stopped, started again, replaced by its replica, or without room to write: phones
//! go on pushing, what was acknowledged is there, once.

#![allow(clippy::unwrap_used)] // a test that cannot go on has failed

use rounds_tests::{Cluster, Crew, Outcome, Program, Replication, Switch, TestDatabase, assert_sound};
use std::path::Path;

const ROUNDS: &str = env!("CARGO_BIN_EXE_rounds");
const PHONES: usize = 4;
const STOPS: usize = 2;
/// Ops that have to be acknowledged between two outages.
const OPS: u64 = 200;

#[tokio::test(flavor = "multi_thread")]
async fn acknowledged_survives_stops_of_postgresql() {
    let cluster = Cluster::start();
    let database = TestDatabase::on_cluster(cluster.url());
    let server = Program::start(Path::new(ROUNDS), database.url(), "127.0.0.1:0").await;
    let store = database.open().await;
    let mut crew = Crew::begin(&store, server.address, PHONES).await;
    store.close().await;
    for _ in 0..STOPS {
        crew.acknowledged_more(OPS).await;
        cluster.stop(); // with commits under way
        cluster.start_again();
    }
    crew.acknowledged_more(OPS).await;
    well(crew, &database).await;
    server.kill().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_takes_over_has_what_was_acknowledged_and_the_server_goes_on_with_it() {
    let first = Cluster::start();
    let address = Switch::to(first.address).await;
    let server = Program::start(Path::new(ROUNDS), &address.url(), "127.0.0.1:0").await;
    let store = TestDatabase::on_cluster(first.url()).open().await;
    let mut crew = Crew::begin(&store, server.address, PHONES).await;
    store.close().await;
    crew.acknowledged_more(OPS).await;
    let second = first.replica(Replication::Synchronous).await; // while it is written to
    crew.acknowledged_more(OPS).await;
    first.stop(); // with commits under way
    second.promote();
    address.turn(second.address);
    crew.acknowledged_more(OPS).await;
    well(crew, &TestDatabase::on_cluster(second.url())).await;
    server.kill().await;
}

/// `scripts/proof --only P6` does it more often.
#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_acknowledged_where_postgresql_has_no_room_and_all_goes_on_once_there_is_some() {
    let out = rounds_tests::room::run_out_of_room_on_postgres(Path::new(ROUNDS), 2).await;
    assert_eq!(out.outcome, Outcome::well(out.outcome.recorded));
    assert!(out.healed_after < std::time::Duration::from_secs(5), "{out:?}");
}

async fn well(crew: Crew, database: &TestDatabase) {
    let outcome = crew.finish(database).await;
    assert_eq!(outcome, Outcome::well(outcome.recorded));
    let store = database.open().await;
    assert_sound(&store).await;
    store.close().await;
}
