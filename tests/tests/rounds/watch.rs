//! Hints.

use rounds_domain::{AreaId, RecordId, Role};
use rounds_proto::v1;
use rounds_tests::{Peer, TestServer, on_both_databases, reason, visit};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::broadcast::Receiver;
use tonic::transport::Endpoint;
use tonic::{Status, Streaming};

/// Longer than a test takes.
const HOUR: Duration = Duration::from_secs(60 * 60);

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

/// Readers of north and south who fetch nothing unless they are told to, and somebody who records there.
struct SlowReaders {
    server: TestServer,
    author: Peer,
    north: (AreaId, RecordId),
    south: (AreaId, RecordId),
    hints: Vec<Streaming<v1::WatchResponse>>,
}

impl SlowReaders {
    async fn start(count: usize, recheck: Duration) -> Self {
        let server = TestServer::start_on_sqlite_with(|config| config.watch_recheck = recheck).await;
        let north = server.area("North", None).await;
        let south = server.area("South", None).await;
        let (here, there) =
            (server.dwelling(north, "4-2-301").await, server.dwelling(south, "1-1-101").await);
        let mut watcher = server.enrol(Role::Field, &[north, south]).await;
        // The line holds a few hints and no more.
        let narrow = Endpoint::from_shared(server.url()).unwrap().initial_stream_window_size(1024);
        watcher.reconnect(narrow.connect().await.unwrap());
        let author = server.enrol(Role::Field, &[north, south]).await;
        // Whoever looks out for commits of others tells the first watcher of all areas: that is over before they come.
        let mut told = server.store.watch();
        is_told(&mut told, south).await;
        let mut hints = Vec::new();
        for _ in 0..count {
            let mut stream = watcher.sync().watch(v1::WatchRequest {}).await.unwrap().into_inner();
            next(&mut stream).await.unwrap();
            hints.push(stream);
        }
        Self { server, author, north: (north, here), south: (south, there), hints }
    }

    async fn record(&mut self, (area, dwelling): (AreaId, RecordId), visits: usize) {
        for _ in 0..visits {
            self.author.act(vec![visit(area, dwelling)]).await;
        }
    }

    /// South moves when their line is full, and north so often after it that the hints of south are kept no more.
    async fn leave_behind(&mut self) {
        self.record(self.north, 200).await;
        let mut told = self.server.store.watch();
        self.record(self.south, 1).await;
        is_told(&mut told, self.south.0).await; // by the commit,
        is_told(&mut told, self.south.0).await; // and by whoever looks out for commits of others
        self.record(self.north, 300).await;
    }

    async fn hear_of_south_and_stop(mut self) {
        for hints in &mut self.hints {
            fetch_until(hints, self.south.0).await;
        }
        drop(self.hints);
        self.server.stop().await;
    }
}

/// Waits until the server's own watchers are told of an area.
async fn is_told(told: &mut Receiver<Arc<[AreaId]>>, area: AreaId) {
    let told = async { while !told.recv().await.unwrap().contains(&area) {} };
    tokio::time::timeout(Duration::from_secs(30), told).await.expect("a hint");
}

/// Fetches hints until one names the area. Answers how many did not.
async fn fetch_until(hints: &mut Streaming<v1::WatchResponse>, area: AreaId) -> usize {
    let mut others = 0;
    while !next(hints).await.unwrap().areas.contains(&area.to_string()) {
        others += 1;
    }
    others
}

/// 13
#[tokio::test]
async fn hints_that_a_slow_reader_has_not_fetched_become_one() {
    let mut slow = SlowReaders::start(1, HOUR).await;
    slow.record(slow.north, 200).await;
    slow.record(slow.south, 1).await;
    let fetched = fetch_until(&mut slow.hints[0], slow.south.0).await;
    assert!(fetched < 100, "{fetched} of 200 hints waited for the reader");
    drop(slow.hints);
    slow.server.stop().await;
}

#[tokio::test]
async fn a_slow_reader_is_told_of_what_moved_though_its_hint_was_missed() {
    let mut slow = SlowReaders::start(1, HOUR).await;
    slow.leave_behind().await;
    slow.hear_of_south_and_stop().await;
}

/// Which of the two is done first is left to chance: so there are many of them.
#[tokio::test]
async fn a_slow_reader_is_told_of_what_it_missed_also_when_it_is_looked_at_anew_before() {
    let mut slow = SlowReaders::start(16, Duration::from_millis(20)).await;
    slow.leave_behind().await;
    slow.hear_of_south_and_stop().await;
}
