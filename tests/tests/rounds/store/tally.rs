//! Counters equal a recount from the ops, whatever happened.

use super::sample::*;
use rounds_domain::body::Area;
use rounds_domain::{Body, Kind};
use rounds_store::Store;
use rounds_tests::on_both_databases;
use std::collections::BTreeMap;

/// The counters of an area by day and measure.
async fn counted(store: &Store, in_area: u128) -> BTreeMap<(String, String), i64> {
    let tallies = store.tallies().await.unwrap();
    assert_eq!(tallies, store.recount().await.unwrap());
    let here = tallies.into_iter().filter(|(key, _)| key.area == area(in_area));
    here.map(|(key, count)| ((key.day.to_string(), key.measure), count)).collect()
}

fn expected<const N: usize>(counts: [(&str, &str, i64); N]) -> BTreeMap<(String, String), i64> {
    counts.into_iter().map(|(day, measure, count)| ((day.to_owned(), measure.to_owned()), count)).collect()
}

/// START_MS, in Shanghai.
const DAY: &str = "2026-11-18";

on_both_databases! {
    async fn counters_follow_what_happens(database: &TestDatabase) {
        let store = database.open().await;
        plant(&store, [(area(1), None), (area(2), None)]).await;
        let mut phone = Phone::enrol(&store, 1).await;
        phone
            .send(&store, [
                at(1, create_visit(record(1), area(1), "met")),
                at(1, create_visit(record(2), area(1), "met")),
                at(1, create_visit(record(3), area(1), "refused")),
                at(2, create_place(record(4), area(1), "not counted")),
            ])
            .await;
        let visits = expected([(DAY, "visit/outcome/met", 2), (DAY, "visit/outcome/refused", 1)]);
        assert_eq!(counted(&store, 1).await, visits);

        phone.send(&store, [at(3, move_to(record(3), area(1), Kind::Visit, area(2)))]).await;
        assert_eq!(counted(&store, 1).await, expected([(DAY, "visit/outcome/met", 2)]));
        assert_eq!(counted(&store, 2).await, expected([(DAY, "visit/outcome/refused", 1)]));
        phone
            .send(&store, [
                at(4, delete(record(1), area(1), Kind::Visit)),
                at(5, delete(record(3), area(2), Kind::Visit)),
            ])
            .await;
        assert_eq!(counted(&store, 1).await, expected([(DAY, "visit/outcome/met", 1)]));
        assert_eq!(counted(&store, 2).await, expected([]));
    }

    async fn a_late_op_restates_the_counters(database: &TestDatabase) {
        let store = database.open().await;
        plant(&store, [(area(1), None)]).await;
        let mut phone = Phone::enrol(&store, 1).await;
        let mut late = Phone::enrol(&store, 2).await;
        phone
            .send(&store, [
                at(1, create_violation(record(1), area(1))),
                at(60 * 30, step(record(1), area(1), Kind::Violation, "removed")),
            ])
            .await;
        let sort = (DAY, "violation/sort/dumping", 1);
        assert_eq!(
            counted(&store, 1).await,
            expected([sort, (DAY, "violation/status/removed", 1), (DAY, "violation/time_to/removed/5", 1)])
        );
        late.send(&store, [at(60 * 3, step(record(1), area(1), Kind::Violation, "removed"))]).await;
        assert_eq!(
            counted(&store, 1).await,
            expected([sort, (DAY, "violation/status/removed", 1), (DAY, "violation/time_to/removed/2", 1)])
        );
    }

    async fn days_are_those_of_the_area(database: &TestDatabase) {
        let store = database.open().await;
        plant(&store, [(area(1), None)]).await;
        let mut phone = Phone::enrol(&store, 1).await;
        let body =
            Area { name: "Kiritimati".into(), time_zone: "Pacific/Kiritimati".into(), ..Area::default() };
        phone
            .send(&store, [
                create(area(2).into(), area(2), Body::Area(body)),
                at(1, create_visit(record(1), area(1), "met")),
                at(1, create_visit(record(2), area(2), "met")),
            ])
            .await;
        assert_eq!(counted(&store, 1).await, expected([(DAY, "visit/outcome/met", 1)]));
        assert_eq!(counted(&store, 2).await, expected([("2026-11-19", "visit/outcome/met", 1)]));
        phone.send(&store, [at(2, move_to(record(1), area(1), Kind::Visit, area(2)))]).await;
        assert_eq!(counted(&store, 2).await, expected([("2026-11-19", "visit/outcome/met", 2)]));
    }

    async fn what_is_in_quarantine_is_not_counted(database: &TestDatabase) {
        let store = database.open().await;
        plant(&store, [(area(1), None)]).await;
        let mut phone = Phone::enrol(&store, 1).await;
        let op = at(1, create_visit(record(1), area(1), "met"));
        let arrivals = vec![refused(phone.one(op.clone())), refused(phone.one(op.clone()))];
        phone.submit(&store, arrivals).await;
        assert_eq!(counted(&store, 1).await, expected([]));
        store.release(phone.op_id(1), op).await.unwrap().unwrap();
        store.dismiss(phone.op_id(2)).await.unwrap();
        assert_eq!(counted(&store, 1).await, expected([(DAY, "visit/outcome/met", 1)]));
    }
}
