//! `rounds demo`: a neighbourhood and its history, made by phones over gRPC.

use rounds_domain::body::Fields;
use rounds_domain::{AreaId, Kind, Record, RecordId, Role};
use rounds_server::Random;
use rounds_server::demo::{self, Error, Settings, Summary};
use rounds_store::{RecordFilter, Store};
use rounds_tests::{TestClock, TestDatabase, TestServer, assert_sound, on_both_databases};
use std::collections::{BTreeMap, BTreeSet};

const DAY_MS: i64 = 24 * 60 * 60 * 1_000;
/// Long enough that what went wrong on the way was sent.
const SETTINGS: Settings = Settings { seed: 7, days: 75, phones: 4, communities: 1 };

async fn make(store: &Store, settings: Settings) -> Result<Summary, Error> {
    let folder = tempfile::tempdir().unwrap();
    let now_ms = TestClock::default().now_ms();
    demo::make(store, &settings, folder.path(), &Random::system(), now_ms, |_| {}).await
}

async fn all(store: &Store) -> Vec<Record> {
    let areas = store.areas().await.unwrap();
    let mut all = Vec::new();
    for kind in Kind::ALL {
        let mut filter = RecordFilter::of(*kind, areas.clone(), 1_000);
        loop {
            let page = store.records(&filter).await.unwrap();
            let Some(last) = page.last() else { break };
            filter.after = Some((last.record.area, last.number, last.record.id));
            all.extend(page.into_iter().map(|numbered| numbered.record));
        }
    }
    all
}

/// What is true, without how it came about.
async fn truth(store: &Store) -> BTreeMap<RecordId, (Kind, AreaId, Fields, String)> {
    let records = all(store).await.into_iter();
    records.map(|record| (record.id, (record.kind, record.area, record.fields, record.status))).collect()
}

on_both_databases! {
    async fn a_demo_has_all_that_the_field_does_in_its_own_time(database: &TestDatabase) {
        let store = database.open().await;
        let summary = make(&store, SETTINGS).await.unwrap();
        let records = all(&store).await;
        let of = |kind: Kind| records.iter().filter(move |record| record.kind == kind);
        let without = [Kind::Adoption, Kind::Attachment];
        for kind in Kind::ALL.iter().filter(|kind| !without.contains(kind)) {
            assert!(of(*kind).next().is_some(), "no {}", kind.name());
        }
        let reached: BTreeSet<&str> =
            records.iter().flat_map(|record| record.steps.iter().map(|taken| taken.step.to.as_str())).collect();
        for stage in ["triaged", "referred", "in_progress", "resolved", "verified", "closed", "stopped", "done"] {
            assert!(reached.contains(stage), "nothing was {stage}: {reached:?}");
        }
        assert!(records.iter().any(|record| !record.disputes.is_empty()), "nobody disagreed");
        let aside = store.quarantine(None, None, 100).await.unwrap().ops;
        assert_eq!(aside.len(), 1, "one visit went astray: {aside:?}");

        let now_ms = TestClock::default().now_ms();
        let days: BTreeSet<i64> = of(Kind::Visit).map(|visit| (now_ms - visit.created.at_ms) / DAY_MS).collect();
        assert!(days.len() > 20 && days.iter().all(|ago| (0..=75).contains(ago)), "{days:?}");
        for due in of(Kind::FollowUp) {
            let late_ms = due.created.at_ms - due.fields["due_at_ms"].as_i64().unwrap();
            assert!(late_ms < 30 * DAY_MS, "made in its time, not at the end of the history");
        }
        assert!(summary.ops > 500 && summary.devices > 8, "{summary:?}");
        assert_sound(&store).await;
        store.close().await;
    }

    async fn the_same_seed_gives_the_same_neighbourhood_on_any_database(database: &TestDatabase) {
        let other_database = TestDatabase::sqlite().await;
        let (store, other) = (database.open().await, other_database.open().await);
        make(&store, SETTINGS).await.unwrap();
        make(&other, SETTINGS).await.unwrap();
        let there = truth(&store).await;
        assert_eq!(there, truth(&other).await);
        assert!(matches!(make(&store, SETTINGS).await, Err(Error::NotEmpty)));
        store.close().await;
        other.close().await;

        let database = TestDatabase::sqlite().await;
        let third = database.open().await;
        make(&third, Settings { seed: 8, days: 1, ..SETTINGS }).await.unwrap();
        assert!(truth(&third).await.keys().all(|id| !there.contains_key(id)), "another seed, another neighbourhood");
        third.close().await;
    }

    async fn a_phone_that_joins_a_demo_gets_its_area_whole(database: &TestDatabase) {
        let store = database.open().await;
        let summary = make(&store, Settings { days: 20, ..SETTINGS }).await.unwrap();
        let (_, community) = summary.communities[0];
        let areas = store.subtree(community).await.unwrap();
        let there: BTreeSet<RecordId> =
            all(&store).await.iter().filter(|record| areas.contains(&record.area)).map(|record| record.id).collect();
        store.close().await;

        let server = TestServer::start(database).await;
        let mut phone = server.enrol(Role::Field, &[community]).await;
        phone.pull().await;
        let areas: BTreeSet<String> = areas.iter().map(AreaId::to_string).collect();
        let pulled: BTreeSet<RecordId> =
            phone.records.iter().filter(|(_, record)| areas.contains(&record.area)).map(|(id, _)| *id).collect();
        assert_eq!(pulled, there);
        server.stop().await;
    }
}
