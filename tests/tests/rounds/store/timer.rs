//! Timers wait until they are due, area by area.

use super::sample::*;
use rounds_domain::body::{Adoption, Contract, Notice, Plan, Policy};
use rounds_domain::{Body, Kind, Outcome};
use rounds_store::{Batch, Store, Timer};
use rounds_tests::{TestDatabase, on_both_databases};
use std::sync::Arc;

fn timer(of: u128, in_area: u128, at_ms: i64) -> Timer {
    Timer { record: record(of), area: area(in_area), at_ms }
}

/// Sets timers as a commit does.
async fn set(database: &TestDatabase, timers: &[Timer]) {
    let quote = |id: uuid::Uuid| {
        if database.is_postgres() { format!("'{id}'") } else { format!("X'{}'", id.simple()) }
    };
    let rows: Vec<_> = timers
        .iter()
        .map(|timer| format!("({}, {}, {})", quote(timer.record.0), quote(timer.area.0), timer.at_ms))
        .collect();
    let sql = format!(
        "INSERT INTO timers (record, area, at_ms) VALUES {} ON CONFLICT (record) DO UPDATE SET at_ms = excluded.at_ms",
        rows.join(", ")
    );
    database.execute(&sql).await.unwrap();
}

async fn due(store: &Store, now_ms: i64) -> Vec<Timer> {
    store.due_timers(now_ms, 100, 1_000).await.unwrap()
}

on_both_databases! {
    async fn a_timer_is_due_from_its_time_on(database: &TestDatabase) {
        let store = database.open().await;
        assert_eq!(due(&store, i64::MAX).await, []);
        assert_eq!(store.next_timer_ms().await.unwrap(), None);

        set(database, &[timer(1, 1, 50), timer(2, 2, 40), timer(3, 1, 60)]).await;
        assert_eq!(store.next_timer_ms().await.unwrap(), Some(40));
        assert_eq!(due(&store, 39).await, []);
        assert_eq!(due(&store, 40).await, [timer(2, 2, 40)]);
        assert_eq!(due(&store, 59).await, [timer(2, 2, 40), timer(1, 1, 50)]);
        store.close().await;
    }

    async fn areas_with_due_timers_take_turns(database: &TestDatabase) {
        let store = database.open().await;
        let busy: Vec<_> = (1..=200).map(|n| timer(n, 1, n as i64)).collect();
        set(database, &busy).await;
        set(database, &[timer(1_001, 2, 500), timer(1_002, 3, 400), timer(1_003, 3, 600)]).await;

        let first = store.due_timers(1_000, 100, 5).await.unwrap();
        assert_eq!(first, [busy[0], timer(1_002, 3, 400), timer(1_001, 2, 500), busy[1], timer(1_003, 3, 600)]);
        let in_area = |which: u128| move |timer: &&Timer| timer.area == area(which);
        let all = store.due_timers(1_000, 70, 1_000).await.unwrap();
        assert_eq!(all.iter().filter(in_area(1)).count(), 70);
        assert_eq!(all.iter().filter(in_area(3)).count(), 2);
        store.close().await;
    }

    async fn timers_of_the_same_moment_come_in_the_same_order_each_time(database: &TestDatabase) {
        let store = database.open().await;
        set(database, &(1..=50).rev().map(|n| timer(n, 1, 7)).collect::<Vec<_>>()).await;
        let first = store.due_timers(7, 20, 1_000).await.unwrap();
        assert_eq!(first, (1..=20).map(|n| timer(n, 1, 7)).collect::<Vec<_>>());
        store.close().await;
    }

    async fn a_timer_that_was_set_again_is_not_handed_over(database: &TestDatabase) {
        let store = database.open().await;
        set(database, &[timer(1, 1, 10), timer(2, 1, 20), timer(3, 1, 30)]).await;
        let taken = due(&store, 20).await;
        set(database, &[timer(2, 1, 90)]).await;
        store.timers_handed_over(&taken).await.unwrap();
        assert_eq!(due(&store, 1_000).await, [timer(3, 1, 30), timer(2, 1, 90)]);
        store.timers_handed_over(&taken).await.unwrap();
        store.timers_handed_over(&[]).await.unwrap();
        assert_eq!(due(&store, 1_000).await.len(), 2);
        store.close().await;
    }

    async fn a_timer_that_is_set_while_its_last_one_is_handed_over_is_not_lost(database: &TestDatabase) {
        let store = database.open().await;
        let phone = Phone::enrol(&store, 1).await;
        let commit = async |timer: Timer| {
            store.submit(Batch { settled: Some(vec![timer].into()), ..phone.batch(Vec::new()) }).await.unwrap();
        };
        let (now_ms, later_ms) = (RECEIVED_MS, RECEIVED_MS + 500);
        set(database, &[timer(1, 1, now_ms)]).await;
        let taken = due(&store, now_ms).await;
        // The job that it became is quick: it sets the next one before the first is forgotten.
        commit(timer(1, 1, later_ms)).await;
        store.timers_handed_over(&taken).await.unwrap();
        assert_eq!(due(&store, i64::MAX).await, [timer(1, 1, later_ms)]);

        // Two looks at the same time may find different times: to look too early costs a look, too late costs more.
        commit(timer(1, 1, later_ms + 100)).await;
        assert_eq!(store.next_timer_ms().await.unwrap(), Some(later_ms));
        commit(timer(1, 1, later_ms - 100)).await;
        assert_eq!(store.next_timer_ms().await.unwrap(), Some(later_ms - 100));
        store.close().await;
    }

    async fn of_two_times_for_one_record_in_one_commit_the_earlier_stands(database: &TestDatabase) {
        let store = database.open().await;
        let phone = Phone::enrol(&store, 1).await;
        let commit = |timer: Timer| {
            store.submit(Batch { settled: Some(vec![timer].into()), ..phone.batch(Vec::new()) })
        };
        let (early_ms, late_ms) = (RECEIVED_MS + 100, RECEIVED_MS + 500);
        for n in 1..=20 {
            // While the first is committed, the others wait for one commit.
            let (filler, first, second) = tokio::join!(
                commit(timer(1_000, 1, late_ms)),
                commit(timer(n, 1, early_ms)),
                commit(timer(n, 1, late_ms)),
            );
            assert!(filler.is_ok() && first.is_ok() && second.is_ok());
        }
        let expected: Vec<_> = (1..=20).map(|n| timer(n, 1, early_ms)).collect();
        assert_eq!(due(&store, early_ms).await, expected);
        store.close().await;
    }

    async fn what_policies_of_an_area_are_for_is_due_in_it_and_below_it(database: &TestDatabase) {
        let store = database.open().await;
        let mut phone = Phone::enrol(&store, 1).await;
        plant(&store, [(area(1), None), (area(2), Some(area(1))), (area(3), None)]).await;
        for (n, of) in [(100, area(1)), (200, area(2)), (300, area(3))] {
            let asset = Some(record(n + 4));
            let plan = Plan { subject: asset, sort: "watering".into(), rule: "FREQ=DAILY".into(), ..Plan::default() };
            let contract = Contract { subject: asset, covers: "maintenance".into(), ..Contract::default() };
            let ops = [
                create_violation(record(n), of),
                create_visit(record(n + 1), of, "no_answer"),
                create_request(record(n + 2), of),
                create_visit(record(n + 3), of, "met"),
                create_place(record(n + 4), of, "Door 5"),
                create_follow_up(record(n + 5), of),
                create_request(record(n + 6), of),
                at(1, step(record(n + 6), of, Kind::Request, "rejected")),
                create_violation(record(n + 7), of),
                at(1, delete(record(n + 7), of, Kind::Violation)),
                create(record(n + 8), of, Body::Plan(plan)),
                create(record(n + 9), of, Body::Contract(contract)),
                create(record(n + 10), of, Body::Adoption(Adoption { asset, ..Adoption::default() })),
                create(record(n + 11), of, Body::Policy(Policy::default())),
            ];
            phone.send(&store, ops).await;
            // As far as a request can come: it is over at the last stage only.
            let way = ["triaged", "referred", "in_progress", "resolved", "verified", "closed"];
            for (at_stage, request) in (n + 12..).map(record).take(way.len()).enumerate() {
                let taken = way[..=at_stage].iter().zip(1..);
                let steps = taken.map(|(to, minute)| at(minute, step(request, of, Kind::Request, to)));
                let outcomes = phone.send(&store, [create_request(request, of)].into_iter().chain(steps)).await;
                assert!(outcomes.iter().all(|outcome| *outcome == Outcome::Applied), "{outcomes:?}");
            }
        }
        set(database, &[timer(100, 1, 10), timer(101, 1, 1_000)]).await;
        let found = async || {
            let mut found = due(&store, i64::MAX).await;
            found.sort_by_key(|timer| timer.record);
            found
        };
        // All in these areas that something follows from; the first was to be looked at before.
        let expected = |areas: &[u128], at_ms: i64| {
            let in_area = |of: u128| (0..3).chain(8..17).map(move |n| timer(100 * of + n, of, at_ms));
            let mut expected: Vec<Timer> = areas.iter().copied().flat_map(in_area).collect();
            expected[0].at_ms = 10;
            expected
        };
        for _ in 0..2 {
            store.look_again(area(1), 500).await.unwrap(); // the second time changes nothing
            assert_eq!(found().await, expected(&[1, 2], 500));
        }
        store.look_at_all_again(400).await.unwrap();
        assert_eq!(found().await, expected(&[1, 2, 3], 400));
        store.close().await;
    }

    async fn one_step_of_the_worker_looks_at_all_that_is_due(database: &TestDatabase) {
        let store = database.open().await;
        plant(&store, [(area(1), None)]).await;
        set(database, &(0..250).map(|n| timer(n, 1, START_MS)).collect::<Vec<_>>()).await;
        let clock: rounds_worker::Clock = Arc::new(|| START_MS);
        let step = rounds_worker::step(&store, &clock).await.unwrap();
        assert_eq!((step.refused, due(&store, i64::MAX).await), (0, vec![]));
        store.close().await;
    }

    async fn a_notice_that_was_to_be_told_of_later_is_due_when_all_is_looked_at_again(database: &TestDatabase) {
        let store = database.open().await;
        let mut phone = Phone::enrol(&store, 1).await;
        plant(&store, [(area(1), None)]).await;
        let notice = Notice {
            subject: Some(record(99)),
            sort: "reminder".into(),
            at_ms: Some(START_MS),
            ..Notice::default()
        };
        let notices = [1, 2].map(|n| create(record(n), area(1), Body::Notice(notice.clone())));
        phone.send(&store, notices).await;
        phone.send(&store, [create_place(record(3), area(1), "a place")]).await;
        set(database, &[timer(1, 1, 10), timer(2, 1, 1_000), timer(3, 1, 1_000)]).await;
        store.look_at_all_again(400).await.unwrap();
        assert_eq!(due(&store, i64::MAX).await, [timer(1, 1, 10), timer(2, 1, 400), timer(3, 1, 1_000)]);
        store.close().await;
    }
}
