//! Nobody gets what is not theirs: every call and every page, by everybody, about areas near and far.

use rounds_tests::rights::{Rights, hold_against_table, hold_pages_against_table};
use rounds_tests::{TestServer, on_both_databases};

fn hold(rights: &Rights) {
    assert!(rights.faults.is_empty(), "{} faults:\n{}", rights.faults.len(), rights.faults.join("\n"));
    assert!(rights.tried > 0);
}

on_both_databases! {
    async fn every_call_answers_everybody_as_the_table_says_and_tells_nothing_else(database: &TestDatabase) {
        let server = TestServer::start(database).await;
        hold(&hold_against_table(&server).await);
        server.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_page_answers_everybody_as_the_table_says_and_tells_nothing_else() {
    let server = TestServer::start_on_sqlite().await;
    hold(&hold_pages_against_table(&server).await);
    server.stop().await;
}
