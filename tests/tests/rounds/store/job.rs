//! Jobs wait from the commit that causes them on.

use super::sample::*;
use rounds_domain::body::Policy;
use rounds_domain::{Body, Kind, Op, Outcome, RecordId};
use rounds_store::{Arrival, Batch, Content, Job, Look, Memory, Settled, Store, content_hash};
use rounds_tests::{TestDatabase, on_both_databases};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};
use std::collections::BTreeSet;

/// A look at the first record, which reads what these are and what is about them, and comes to one op.
async fn look_at(store: &Store, read: &[RecordId]) -> Look {
    let (_, head) = store.records_and_heads(&[record(1)]).await.unwrap()[0];
    Look { source: record(1), area: area(1), head, read: read.to_vec(), ops: 1, timers: Vec::new() }
}

/// The worker does what a look came to. Answers what it has to look at again.
async fn act(store: &Store, worker: &Phone, op: Op, look: Look) -> Vec<RecordId> {
    act_together(store, worker, [(op, look)]).await
}

/// The same for looks that are taken in together.
async fn act_together<const N: usize>(
    store: &Store,
    worker: &Phone,
    came_to: [(Op, Look); N],
) -> Vec<RecordId> {
    let (ops, looks): (Vec<Op>, Vec<Look>) = came_to.into_iter().unzip();
    let arrival = |op: Op| {
        let hash = content_hash(0, op.record.0.as_bytes());
        Arrival { seq: None, followed_by: 0, hash, content: Content::Admitted(op) }
    };
    let arrivals = ops.into_iter().map(arrival).collect();
    let settled = Settled { looks, ..Settled::default() };
    let batch = Batch { settled: Some(settled), ..worker.batch(arrivals) };
    store.submit(batch).await.unwrap().overtaken
}

on_both_databases! {
    async fn a_commit_of_what_follow_ups_can_follow_from_leaves_a_job(database: &TestDatabase) {
        let store = database.open().await;
        plant(&store, [(area(1), None), (area(2), None)]).await;
        let mut phone = Phone::enrol(&store, 1).await;
        assert_eq!(store.waiting_jobs(10).await.unwrap(), []);
        phone.send(&store, [create_place(record(1), area(1), "a place")]).await;
        assert_eq!(store.waiting_jobs(10).await.unwrap(), [], "nothing follows from a place");

        phone
            .send(&store, [
                at(1, create_place(record(2), area(2), "a place")),
                at(2, create_violation(record(3), area(2))),
                at(3, create_violation(record(4), area(2))),
            ])
            .await;
        let jobs = store.waiting_jobs(10).await.unwrap();
        let [job] = jobs.as_slice() else { panic!("one job per area and commit: {jobs:?}") };
        assert_eq!((job.area, job.after, job.through), (area(2), 1, 4));
        let changed = store.changed(job.area, job.after, job.through).await.unwrap();
        assert!(changed.iter().any(|it| it.record.id == record(3)));
    }

    async fn a_job_waits_until_it_was_handed_over(database: &TestDatabase) {
        let store = database.open().await;
        plant(&store, [(area(1), None)]).await;
        let mut phone = Phone::enrol(&store, 1).await;
        for n in 1..=3 {
            phone.send(&store, [at(n as i64, create_violation(record(n), area(1)))]).await;
        }
        let jobs: Vec<Job> = store.waiting_jobs(10).await.unwrap();
        assert_eq!(jobs.len(), 3);
        assert_eq!(store.waiting_jobs(2).await.unwrap().len(), 2);
        store.jobs_handed_over(&[jobs[1].id, record(99)]).await.unwrap();
        let left: BTreeSet<RecordId> = store.waiting_jobs(10).await.unwrap().iter().map(|job| job.id).collect();
        assert_eq!(left, BTreeSet::from([jobs[0].id, jobs[2].id]));
        store.jobs_handed_over(&[jobs[1].id]).await.unwrap();
        store.jobs_handed_over(&[]).await.unwrap();
        store.close().await;
        let store = database.open().await;
        assert_eq!(store.waiting_jobs(10).await.unwrap().len(), 2);
    }

    async fn a_look_that_others_overtook_changes_nothing_and_is_done_again(database: &TestDatabase) {
        let store = database.open().await;
        plant(&store, [(area(1), None)]).await;
        let (mut phone, worker) = (Phone::enrol(&store, 1).await, Phone::enrol(&store, 2).await);
        phone.send(&store, [at(1, create_violation(record(1), area(1)))]).await;
        let mut told = Vec::new();
        // While somebody looks at a violation, a phone brings something.
        let mut looked_while = async |minute, meanwhile: Op| {
            let look = look_at(&store, &[record(1), record(2), record(3)]).await;
            phone.send(&store, [at(minute, meanwhile)]).await;
            let before = read(&store, record(1)).await.steps.len();
            let removed = step(record(1), area(1), Kind::Violation, "removed");
            let overtaken = act(&store, &worker, removed, look).await;
            told.push(read(&store, record(1)).await.steps.len() > before);
            overtaken
        };
        let back = step(record(1), area(1), Kind::Violation, "found");
        let elsewhere = create_visit_at(record(4), area(1), record(9), "met");
        assert_eq!(looked_while(2, elsewhere).await, [], "another place has nothing to do with it");
        assert_eq!(looked_while(3, back).await, [record(1)], "it is back");
        let there = create_visit_at(record(3), area(1), record(2), "met");
        assert_eq!(looked_while(4, there).await, [record(1)], "somebody was there");
        assert_eq!(looked_while(5, delete(record(3), area(1), Kind::Visit)).await, [record(1)], "nobody was");
        assert_eq!(told, [true, false, false, false]);
        store.close().await;
    }

    async fn a_look_is_done_again_when_a_policy_of_its_area_came_meanwhile(database: &TestDatabase) {
        let store = database.open().await;
        plant(&store, [(area(1), None), (area(2), None)]).await;
        let (mut phone, worker) = (Phone::enrol(&store, 1).await, Phone::enrol(&store, 2).await);
        phone.send(&store, [at(1, create_violation(record(1), area(1)))]).await;
        for (n, of, overtaken) in [(2, area(2), vec![]), (3, area(1), vec![record(1)])] {
            let look = look_at(&store, &[record(1)]).await;
            phone.send(&store, [at(2, create(record(n), of, Body::Policy(Policy::default())))]).await;
            let made = create_follow_up(record(100 + n), area(1));
            assert_eq!(act(&store, &worker, made, look).await, overtaken);
        }
        store.close().await;
    }

    async fn a_look_is_done_again_when_another_of_the_same_commit_changed_what_it_read(database: &TestDatabase) {
        let store = database.open().await;
        plant(&store, [(area(1), None)]).await;
        let (mut phone, worker) = (Phone::enrol(&store, 1).await, Phone::enrol(&store, 2).await);
        phone.send(&store, [at(1, create_violation(record(1), area(1)))]).await;
        let first = Look { source: record(2), ..look_at(&store, &[]).await };
        let second = Look { source: record(3), read: vec![record(1)], ..first.clone() };
        let removed = step(record(1), area(1), Kind::Violation, "removed");
        let made = create_follow_up(record(4), area(1));
        assert_eq!(act_together(&store, &worker, [(removed, first), (made, second)]).await, [record(3)]);
        assert_eq!(read(&store, record(1)).await.status, "removed");
        assert_eq!(store.record(record(4)).await.unwrap(), None);
        store.close().await;
    }

    async fn each_look_is_held_against_what_changed_since_it_began(database: &TestDatabase) {
        let store = database.open().await;
        plant(&store, [(area(1), None)]).await;
        let (mut phone, worker) = (Phone::enrol(&store, 1).await, Phone::enrol(&store, 2).await);
        phone.send(&store, [at(1, create_violation(record(1), area(1)))]).await;
        let old = look_at(&store, &[record(1)]).await;
        phone.send(&store, [at(2, step(record(1), area(1), Kind::Violation, "stopped"))]).await;
        let new = Look { source: record(2), ..look_at(&store, &[record(1)]).await };
        let [by_old, by_new] = [3, 4].map(|n| create_follow_up(record(n), area(1)));
        assert_eq!(act_together(&store, &worker, [(by_old, old), (by_new, new)]).await, [record(1)]);
        assert_eq!(store.record(record(3)).await.unwrap(), None);
        assert!(store.record(record(4)).await.unwrap().is_some());
        store.close().await;
    }

    async fn of_two_looks_at_once_one_is_done_again(database: &TestDatabase) {
        let store = database.open().await;
        plant(&store, [(area(1), None)]).await;
        let mut phone = Phone::enrol(&store, 1).await;
        phone.send(&store, [at(1, create_violation(record(1), area(1)))]).await;
        let worker = Phone::enrol(&store, 2).await;
        for n in 0..20 {
            let look = look_at(&store, &[record(1), record(0)]).await;
            let made: Vec<RecordId> = (0..3).map(|of| record(100 + 3 * n + of)).collect();
            // Each of two creates what the other did not see. While a first one is committed, they wait for one commit.
            let other = Look { source: record(2), read: Vec::new(), ..look.clone() };
            let (_, first, second) = tokio::join!(
                act(&store, &worker, create_place(made[0], area(1), "a place"), other),
                act(&store, &worker, create_follow_up(made[1], area(1)), look.clone()),
                act(&store, &worker, create_follow_up(made[2], area(1)), look),
            );
            assert_eq!(store.records_of(&made).await.unwrap().len(), 2);
            assert_eq!([first, second].concat(), [record(1)]);
        }
        store.close().await;
    }

    async fn a_duplicate_leaves_no_job(database: &TestDatabase) {
        let store = database.open().await;
        plant(&store, [(area(1), None)]).await;
        let mut phone = Phone::enrol(&store, 1).await;
        let arrivals = vec![phone.one(create_violation(record(1), area(1)))];
        for _ in 0..3 {
            phone.submit(&store, arrivals.clone()).await;
        }
        assert_eq!(store.waiting_jobs(10).await.unwrap().len(), 1);
    }

    async fn a_late_op_and_a_release_leave_jobs_too(database: &TestDatabase) {
        let store = database.open().await;
        plant(&store, [(area(1), None)]).await;
        let mut phone = Phone::enrol(&store, 1).await;
        phone.send(&store, [
            at(1, create_violation(record(1), area(1))),
            at(9, step(record(1), area(1), Kind::Violation, "removed")),
        ]).await;
        let taken = |jobs: &[Job]| jobs.iter().map(|job| job.id).collect::<Vec<_>>();
        store.jobs_handed_over(&taken(&store.waiting_jobs(10).await.unwrap())).await.unwrap();
        let mut late = Phone::enrol(&store, 2).await;
        late.send(&store, [at(5, step(record(1), area(1), Kind::Violation, "removed"))]).await;
        assert_eq!(store.waiting_jobs(10).await.unwrap().len(), 1);

        let op = at(6, step(record(1), area(1), Kind::Violation, "restored"));
        let arrival = refused(late.one(op.clone()));
        late.submit(&store, vec![arrival]).await;
        assert_eq!(store.waiting_jobs(10).await.unwrap().len(), 1, "nothing happened yet");
        store.release(late.op_id(2), op).await.unwrap().unwrap();
        assert_eq!(store.waiting_jobs(10).await.unwrap().len(), 2);
    }

    async fn areas_with_waiting_jobs_take_turns(database: &TestDatabase) {
        let store = database.open().await;
        plant(&store, [(area(1), None), (area(2), None)]).await;
        let mut phone = Phone::enrol(&store, 1).await;
        for n in 1..=5 {
            phone.send(&store, [at(n as i64, create_violation(record(n), area(1)))]).await;
        }
        phone.send(&store, [at(6, create_violation(record(6), area(2)))]).await;
        let areas: Vec<_> = store.waiting_jobs(3).await.unwrap().iter().map(|job| job.area).collect();
        assert_eq!(areas, [area(1), area(2), area(1)]);
        store.close().await;
    }
}

/// On one thread, so that both are there before a commit begins, and share it.
#[tokio::test]
async fn what_somebody_did_leaves_a_job_though_the_worker_acts_on_it_in_the_same_commit() {
    let memory = Memory::new().await.unwrap();
    let store = memory.open(record(0).0).await.unwrap();
    plant(&store, [(area(1), None)]).await;
    let (mut phone, mut worker) = (Phone::enrol(&store, 1).await, Phone::enrol(&store, 2).await);
    let created = phone.one(create_violation(record(1), area(1)));
    let acted = worker.one(at(1, step(record(1), area(1), Kind::Violation, "stopped")));
    let acted = Batch { settled: Some(Settled::default()), ..worker.batch(vec![acted]) };
    let both = [phone.batch(vec![created]), acted].map(|batch| store.submit(batch));
    for receipt in futures_util::future::join_all(both).await {
        assert_eq!(outcomes(&receipt.unwrap()), [Outcome::Applied]);
    }
    assert_eq!(store.waiting_jobs(10).await.unwrap().len(), 1);
    store.close().await;
    memory.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_postgresql_a_look_waits_for_whoever_changes_its_area_though_it_acts_in_another() {
    let database = TestDatabase::postgres().await;
    let store = database.open().await;
    plant(&store, [(area(1), None), (area(2), None)]).await;
    let mut phone = Phone::enrol(&store, 1).await;
    phone.send(&store, [at(1, create_violation(record(1), area(1)))]).await;
    let worker = Phone::enrol(&store, 2).await;
    let look = look_at(&store, &[record(1)]).await;
    let mut changing = PgConnection::connect(database.url()).await.unwrap();
    let lock = format!("BEGIN; SELECT 1 FROM areas WHERE id = {} FOR UPDATE", database.literal(area(1).0));
    changing.execute(AssertSqlSafe(lock)).await.unwrap();
    let acting = {
        let store = store.clone();
        let made = create_place(record(2), area(2), "a place");
        tokio::spawn(async move { act(&store, &worker, made, look).await })
    };
    let waiting = "SELECT count(*) FROM pg_stat_activity
                   WHERE datname = current_database() AND wait_event_type = 'Lock'";
    while !acting.is_finished() && database.number(&store, waiting).await.unwrap() == 0 {}
    assert!(!acting.is_finished(), "what changes in the area of the look may overtake it");
    changing.execute("ROLLBACK").await.unwrap();
    assert_eq!(acting.await.unwrap(), []);
    changing.close().await.unwrap();
    store.close().await;
}
