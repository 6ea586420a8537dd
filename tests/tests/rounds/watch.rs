//! Hints.

use rounds_domain::Role;
use rounds_proto::v1;
use rounds_tests::{TestServer, on_both_databases, reason, visit};
use std::collections::BTreeSet;
use std::time::Duration;
use tonic::transport::Endpoint;
use tonic::{Status, Streaming};

/// The next hint. A broken promise shows as a failure, not as a test that never ends.
async fn next(hints: &mut Streaming<v1::WatchResponse>) -> Result<v1::WatchResponse, Status> {
    let hint = tokio::time::timeout(Duration::from_secs(30), hints.message()).await.expect("a hint");
    Ok(hint?.expect("a stream that goes on"))
}

/// Why the hints end. Before that a watcher may hear of its areas once more, because of commits before it came.
async fn end(hints: &mut Streaming<v1::WatchResponse>) -> Status {
    loop {
        if let Err(status) = next(hints).await {
            return status;
        }
    }
}

on_both_databases! {
    async fn a_watcher_hears_at_once_and_then_when_its_areas_move(database: &TestDatabase) {
        let server = TestServer::start(database).await;
        let north = server.area("North", None).await;
        let south = server.area("South", None).await;
        let there = server.dwelling(south, "1-1-101").await;
        let here = server.dwelling(north, "4-2-301").await;
        let watcher = server.enrol(Role::Field, &[north]).await;
        let mut other = server.enrol(Role::Field, &[south]).await;
        let mut author = server.enrol(Role::Field, &[north]).await;
        let mut hints = watcher.sync().watch(v1::WatchRequest {}).await.unwrap().into_inner();
        assert_eq!(next(&mut hints).await.unwrap().areas, Vec::<String>::new());
        other.act(vec![visit(south, there)]).await;
        author.act(vec![visit(north, here)]).await;
        assert_eq!(next(&mut hints).await.unwrap().areas, [north.to_string()]);
        drop(hints);
        server.stop().await;
    }

    async fn watching_ends_when_the_device_is_revoked(database: &TestDatabase) {
        let server = TestServer::start_with(database, |config| config.watch_recheck = Duration::from_millis(20)).await;
        let north = server.area("North", None).await;
        let watcher = server.enrol(Role::Field, &[north]).await;
        let mut hints = watcher.sync().watch(v1::WatchRequest {}).await.unwrap().into_inner();
        next(&mut hints).await.unwrap();
        server.admin.devices().revoke(v1::RevokeRequest { device: watcher.id.to_string() }).await.unwrap();
        assert_eq!(reason(&end(&mut hints).await), "DEVICE_REVOKED");
        server.stop().await;
    }

    async fn a_watcher_hears_when_it_is_given_another_area(database: &TestDatabase) {
        let server = TestServer::start_with(database, |config| config.watch_recheck = Duration::from_millis(20)).await;
        let north = server.area("North", None).await;
        let south = server.area("South", None).await;
        let watcher = server.enrol(Role::Field, &[north]).await;
        let mut hints = watcher.sync().watch(v1::WatchRequest {}).await.unwrap().into_inner();
        next(&mut hints).await.unwrap();
        let areas = vec![south.to_string()];
        server.admin.devices().assign(v1::AssignRequest { device: watcher.id.to_string(), areas }).await.unwrap();
        // Who just came may also hear of its areas once more, because of commits before.
        let both = BTreeSet::from([north.to_string(), south.to_string()]);
        let mut heard = BTreeSet::new();
        while heard != both {
            heard.extend(next(&mut hints).await.unwrap().areas);
        }
        drop(hints);
        server.stop().await;
    }

    async fn watching_does_not_keep_the_server_from_stopping(database: &TestDatabase) {
        let server = TestServer::start(database).await;
        let north = server.area("North", None).await;
        let watcher = server.enrol(Role::Field, &[north]).await;
        let mut hints = watcher.sync().watch(v1::WatchRequest {}).await.unwrap().into_inner();
        next(&mut hints).await.unwrap();
        let (ended, ()) = tokio::join!(end(&mut hints), server.stop());
        assert_eq!(reason(&ended), "STOPPING");
    }
}

/// 13
#[tokio::test]
async fn hints_that_a_slow_reader_has_not_fetched_become_one() {
    let server = TestServer::start_on_sqlite().await;
    let north = server.area("North", None).await;
    let south = server.area("South", None).await;
    let (here, there) = (server.dwelling(north, "4-2-301").await, server.dwelling(south, "1-1-101").await);
    let mut watcher = server.enrol(Role::Field, &[north, south]).await;
    // The line holds a few hints and no more.
    let narrow = Endpoint::from_shared(server.url()).unwrap().initial_stream_window_size(1024);
    watcher.reconnect(narrow.connect().await.unwrap());
    let mut author = server.enrol(Role::Field, &[north, south]).await;
    let mut hints = watcher.sync().watch(v1::WatchRequest {}).await.unwrap().into_inner();
    next(&mut hints).await.unwrap();
    for _ in 0..200 {
        author.act(vec![visit(north, here)]).await;
    }
    author.act(vec![visit(south, there)]).await;
    let mut fetched = 0;
    while !next(&mut hints).await.unwrap().areas.contains(&south.to_string()) {
        fetched += 1;
    }
    assert!(fetched < 100, "{fetched} of 200 hints waited for the reader");
    drop(hints);
    server.stop().await;
}
