//! Counters equal a recount from the ops, whatever happened.

use super::sample::*;
use jiff::civil::date;
use rounds_domain::attendance::{MET, REACHED};
use rounds_domain::body::Area;
use rounds_domain::limit::GROUP_OPS_MAX;
use rounds_domain::tally::{Unit, bucket};
use rounds_domain::{Body, Kind};
use rounds_store::{Fault, Store, SumFilter};
use rounds_tests::{TestDatabase, assert_sound, on_both_databases};
use sqlx::{Connection as _, Executor as _, SqliteConnection};
use std::collections::BTreeMap;

/// The counters of an area by day and measure, without the stock that follows from who was met.
async fn counted(store: &Store, in_area: u128) -> BTreeMap<(String, String), i64> {
    assert_sound(store).await;
    let filter = SumFilter {
        areas: vec![area(in_area)],
        unit: Unit::Day,
        first: date(1900, 1, 1),
        last: date(2100, 1, 1),
        by_area: false,
        by_day: true,
        under: None,
    };
    let sums = store.sums(&filter).await.unwrap().into_iter().filter(|sum| sum.measure != REACHED);
    sums.map(|sum| ((sum.day.unwrap().to_string(), sum.measure), sum.count)).collect()
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
                at(2, create_worker(record(4), area(1))),
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
        let expected_after = |minutes: i64| {
            let time = format!("violation/time_to/removed/{}", bucket(minutes * 60_000));
            expected([
                (DAY, "violation/sort/dumping", 1),
                (DAY, "violation/status/removed", 1),
                (DAY, "violation/reached/found", 1),
                (DAY, "violation/reached/removed", 1),
                (DAY, &time, 1),
            ])
        };
        assert_eq!(counted(&store, 1).await, expected_after(60 * 30 - 1));
        late.send(&store, [at(60 * 3, step(record(1), area(1), Kind::Violation, "removed"))]).await;
        assert_eq!(counted(&store, 1).await, expected_after(60 * 3 - 1));
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
    async fn a_dwelling_counts_once_however_often_somebody_was_met_there(database: &TestDatabase) {
        let store = database.open().await;
        plant(&store, [(area(1), None)]).await;
        let mut phone = Phone::enrol(&store, 1).await;
        let day = |days: i64| days * 24 * 60;
        let met = |number: u128, dwelling: u128, days: i64| {
            at(day(days), create_visit_at(record(number), area(1), record(dwelling), "met"))
        };
        phone.send(&store, [met(10, 1, 0), met(11, 2, 0), met(12, 1, 3), met(13, 1, 3), met(14, 3, 5)]).await;
        assert_sound(&store).await;
        let first = date(2026, 11, 18);
        let reached = async |from: i64, until: i64| {
            let days = |days: i64| first + jiff::Span::new().days(days);
            let (areas, span) = ([area(1)], (days(from), days(until)));
            let exact = store.attended_count(&areas, MET, span).await.unwrap();
            let listed = store.attended_list(&areas, MET, span, None, 9).await.unwrap();
            assert_eq!(listed.len() as i64, exact);
            let among = store.attended_among(&areas, MET, span, &[1, 2, 3].map(record)).await.unwrap();
            assert_eq!(among, listed.into_iter().collect());
            let filter = SumFilter {
                areas: vec![area(1)],
                unit: Unit::AttendedDay,
                first: days(from),
                last: days(until),
                by_area: false,
                by_day: true,
                under: None,
            };
            let sums = store.sums(&filter).await.unwrap();
            let sums = sums.iter().map(|sum| (sum.day.unwrap(), sum.measure.as_str(), sum.count));
            let told = rounds_domain::attendance::different(Unit::AttendedDay, days(from), sums);
            assert_eq!(told.get(MET).copied().unwrap_or_default(), exact);
            exact
        };
        assert_eq!(reached(0, 5).await, 3);
        assert_eq!(reached(1, 5).await, 2);
        assert_eq!(reached(4, 5).await, 1);
        // One of two visits on a day goes, then the other; a late one comes in between.
        phone.send(&store, [at(day(6), delete(record(12), area(1), Kind::Visit))]).await;
        assert_eq!(reached(1, 5).await, 2);
        phone.send(&store, [at(day(6), delete(record(13), area(1), Kind::Visit))]).await;
        assert_eq!(reached(1, 5).await, 1);
        let mut late = Phone::enrol(&store, 2).await;
        late.send(&store, [met(15, 2, 4)]).await;
        assert_eq!(reached(1, 5).await, 2);
        assert_sound(&store).await;
    }

    async fn what_does_not_follow_from_the_ops_is_found_and_counted_again(database: &TestDatabase) {
        let store = database.open().await;
        plant(&store, [(area(1), None)]).await;
        let mut phone = Phone::enrol(&store, 1).await;
        phone.send(&store, [at(1, create_visit(record(1), area(1), "met"))]).await;
        assert_sound(&store).await;
        for damage in [
            "UPDATE tallies SET count = count + 1 WHERE measure = 'visit/outcome/met' AND unit = 'month'",
            "DELETE FROM tallies WHERE unit = 'attended_day'",
            "UPDATE attended SET count = 7",
            "UPDATE records SET day = '2020-02-02' WHERE kind = 9",
        ] {
            database.execute(damage).await.unwrap();
            assert_eq!(store.verify(|_| {}).await.unwrap().faults_total, 1, "{damage}");
            store.recount().await.unwrap();
            assert_sound(&store).await;
        }
        database.execute("UPDATE records SET body = replace(body, '\"met\"', '\"moved\"') WHERE kind = 9").await.unwrap();
        let faults = store.verify(|_| {}).await.unwrap().faults;
        assert_eq!(faults, [Fault::Record(record(1))]);
        database.execute("DELETE FROM records WHERE kind = 9").await.unwrap();
        let faults = store.verify(|_| {}).await.unwrap().faults;
        assert!(faults.contains(&Fault::Absent(record(1))), "{faults:?}");
    }

    async fn a_recount_leaves_nothing_of_a_group_out(database: &TestDatabase) {
        let store = database.open().await;
        plant(&store, [(area(1), None)]).await;
        let mut phone = Phone::enrol(&store, 1).await;
        // Records are read 500 at a time: a page ends within the last group.
        for first in (1..=512_u128).step_by(GROUP_OPS_MAX) {
            let visits = (first..first + GROUP_OPS_MAX as u128).map(|n| create_visit(record(n), area(1), "met"));
            phone.send_group(&store, visits).await;
        }
        store.recount().await.unwrap();
        assert_eq!(counted(&store, 1).await, expected([(DAY, "visit/outcome/met", 512)]));
        assert_eq!(store.verify(|_| {}).await.unwrap().records, 513, "with that of the area");
    }

    async fn a_database_that_another_way_of_counting_filled_is_counted_again_when_it_is_opened(database: &TestDatabase) {
        let store = database.open().await;
        plant(&store, [(area(1), None)]).await;
        let mut phone = Phone::enrol(&store, 1).await;
        phone.send(&store, [at(1, create_visit(record(1), area(1), "met"))]).await;
        store.close().await;
        database.execute("UPDATE meta SET value = '0' WHERE key = 'tally_version'").await.unwrap();
        database.execute("DELETE FROM tallies").await.unwrap();
        database.execute("UPDATE records SET day = NULL").await.unwrap();
        let store = database.open().await;
        assert_sound(&store).await;
        store.close().await;
    }

    async fn a_deleted_record_that_another_program_folded_is_folded_again_when_the_database_is_opened(database: &TestDatabase) {
        let store = database.open().await;
        plant(&store, [(area(1), None), (area(2), None)]).await;
        let mut phone = Phone::enrol(&store, 1).await;
        phone
            .send(&store, [
                at(1, create_visit(record(1), area(1), "met")),
                at(2, delete(record(1), area(1), Kind::Visit)),
                at(3, move_to(record(1), area(1), Kind::Visit, area(2))),
            ])
            .await;
        store.close().await;
        database.execute("UPDATE meta SET value = '1' WHERE key = 'record_columns'").await.unwrap();
        let forget = "UPDATE records SET body = replace(body, 'former_areas', 'once') WHERE kind = 9";
        database.execute(forget).await.unwrap();
        let store = database.open().await;
        assert_sound(&store).await;
        assert_eq!(read(&store, record(1)).await.former_areas, [area(2)]);
        store.close().await;
    }

    async fn what_comes_on_a_later_day_than_its_own_is_told(database: &TestDatabase) {
        let store = database.open().await;
        plant(&store, [(area(1), None)]).await;
        let mut phone = Phone::enrol(&store, 1).await;
        let visits = [
            at(1, create_visit(record(1), area(1), "met")),
            at(2, create_visit(record(2), area(1), "met")),
            at(24 * 60, create_visit(record(3), area(1), "met")),
        ];
        phone.send(&store, visits).await;
        let days = (date(2026, 11, 1), date(2026, 11, 30));
        let late = store.late_arrivals(&[area(1)], days, 0).await.unwrap();
        let told: Vec<_> = late.iter().map(|late| (late.day.to_string(), late.ops)).collect();
        // With the op that made the area.
        assert_eq!(told, [("2026-11-18".to_owned(), 3), ("2026-11-19".to_owned(), 1)]);
        let since = late[0].received_ms;
        assert_eq!(store.late_arrivals(&[area(1)], days, since).await.unwrap(), []);
        assert_eq!(store.late_arrivals(&[area(2)], days, 0).await.unwrap(), []);
    }
}

#[tokio::test]
async fn whoever_verifies_a_sqlite_file_waits_for_nobody_who_writes_and_keeps_nobody_from_it() {
    let database = TestDatabase::sqlite().await;
    let store = database.open().await;
    plant(&store, [(area(1), None)]).await;
    let mut phone = Phone::enrol(&store, 1).await;
    phone.send(&store, [at(1, create_visit(record(1), area(1), "met"))]).await;
    let mut writing = SqliteConnection::connect(database.url()).await.unwrap();
    writing.execute("BEGIN IMMEDIATE").await.unwrap();
    assert_sound(&store).await;
    writing.execute("ROLLBACK").await.unwrap();
    writing.close().await.unwrap();
    store.close().await;
}
