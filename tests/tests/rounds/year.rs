//! A simulated year over real elevators and trees: nothing is forgotten, nothing is there twice.

use super::import::{ELEVATORS, TREES, elevators, run_import, trees};
use jiff::civil::date;
use rounds_domain::Kind;
use rounds_domain::template::Template;
use rounds_store::{RecordFilter, Store};
use rounds_tests::year::{Report, Year};
use rounds_tests::{TestClock, assert_sound, new_id, on_both_databases};
use rounds_worker::Options;

async fn area(store: &Store, name: &str) -> rounds_domain::AreaId {
    let areas = store.areas().await.unwrap();
    let found = store.records(&RecordFilter::of(Kind::Area, areas, 100)).await.unwrap();
    found.into_iter().find(|it| it.record.text("name") == name).unwrap().record.area
}

/// A year over the samples of the registers of New York and San Francisco, the clocks of which change twice.
async fn year(store: &Store) -> Report {
    run_import(store, &elevators(), ELEVATORS).await;
    run_import(store, &trees(), TREES).await;
    let plan = |name: &str| Template::named(name).unwrap();
    let (new_york, san_francisco) = (area(store, "New York City").await, area(store, "San Francisco").await);
    let year = Year {
        seed: 7,
        first_day: date(2026, 1, 15),
        days: 365,
        kills: [100, 201].into(),
        jumps: [52, 150, 290].into(),
        plans: vec![
            (plan("elevator-maintenance"), new_york),
            (plan("elevator-inspection"), new_york),
            (plan("watering-trees"), san_francisco),
        ],
    };
    year.live(store, &TestClock::default(), || Options::new(new_id())).await
}

on_both_databases! {
    async fn no_elevator_is_without_its_follow_up_none_has_two_and_every_gap_is_told_once(database: &TestDatabase) {
        let store = database.open().await;
        let report = year(&store).await;
        assert!(report.plans >= 15 && report.follow_ups >= 300, "{report:?}");
        assert!(report.on_time > report.late && report.late > 0 && report.missed > 0, "{report:?}");
        assert!(report.gaps > 0 && report.notices >= report.gaps, "{report:?}");
        assert_sound(&store).await;
        store.close().await;
    }
}
