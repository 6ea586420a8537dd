//! Nobody gets what is not theirs: every call and every page, by everybody, about areas near and far.

use rounds_domain::Role;
use rounds_tests::TestDatabase;
use rounds_tests::rights::{Rights, hold_against_table, hold_pages_against_table, serve};

fn hold(rights: &Rights) {
    assert!(rights.faults.is_empty(), "{} faults:\n{}", rights.faults.len(), rights.faults.join("\n"));
    assert!(rights.tried > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_call_answers_everybody_as_the_table_says_and_tells_nothing_else() {
    let database = TestDatabase::sqlite().await;
    let (server, _key_file) = serve(&database).await;
    hold(&hold_against_table(&server, None).await);
    server.stop().await;
}

/// What is asked of the database differs by role and area, not by call: `scripts/proof` has the others.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_call_answers_coordinators_on_postgres_as_the_table_says_and_tells_nothing_else() {
    let database = TestDatabase::postgres().await;
    let (server, _key_file) = serve(&database).await;
    hold(&hold_against_table(&server, Some(Role::Coordinator)).await);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_page_answers_everybody_as_the_table_says_and_tells_nothing_else() {
    let database = TestDatabase::sqlite().await;
    let (server, _key_file) = serve(&database).await;
    hold(&hold_pages_against_table(&server).await);
    server.stop().await;
}
