//! The real program, killed with -9 while it works: each effect comes about once, and nothing is given up for it.

#![allow(clippy::unwrap_used)] // a test that cannot go on has failed

use rounds_tests::TestDatabase;
use rounds_tests::kill::{Killed, kill_workers};
use std::path::Path;

/// `scripts/bench worker --kills 500` kills more often.
const KILLS: usize = 12;
const JOBS: usize = 400;

#[tokio::test(flavor = "multi_thread")]
async fn each_effect_comes_about_once_though_workers_are_killed_on_sqlite() {
    each_effect_comes_about_once(TestDatabase::sqlite().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_effect_comes_about_once_though_workers_are_killed_on_postgres() {
    each_effect_comes_about_once(TestDatabase::postgres().await).await;
}

async fn each_effect_comes_about_once(database: TestDatabase) {
    let killed = kill_workers(Path::new(env!("CARGO_BIN_EXE_rounds")), &database, JOBS, KILLS).await;
    let asked = 3 * JOBS as u64;
    let interrupted = killed.interrupted; // by chance
    let expected =
        Killed { kills: KILLS, interrupted, asked, once: asked, twice: 0, dead: 0, ended_well: true };
    assert_eq!(killed, expected);
}
