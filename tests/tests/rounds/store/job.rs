//! Jobs wait from the commit that causes them on.

use super::sample::*;
use rounds_domain::{Kind, RecordId};
use rounds_store::{Batch, Job, Settled};
use rounds_tests::on_both_databases;
use std::collections::BTreeSet;

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

    async fn who_looks_after_what_follows_leaves_a_job_only_for_what_was_not_seen(database: &TestDatabase) {
        let store = database.open().await;
        plant(&store, [(area(1), None)]).await;
        let (mut phone, mut worker) = (Phone::enrol(&store, 1).await, Phone::enrol(&store, 2).await);
        let hand_over = async || {
            let jobs: Vec<RecordId> = store.waiting_jobs(10).await.unwrap().iter().map(|job| job.id).collect();
            store.jobs_handed_over(&jobs).await.unwrap();
            jobs.len()
        };
        let number = async || store.numbered_of(&[record(1)]).await.unwrap()[0].number;
        let mut act = async |minute, to, seen| {
            let op = at(minute, step(record(1), area(1), Kind::Violation, to));
            let settled = Settled { seen: [(record(1), seen)].into(), ..Settled::default() };
            let arrivals = vec![worker.one(op)];
            store.submit(Batch { settled: Some(settled), ..worker.batch(arrivals) }).await.unwrap();
        };
        phone.send(&store, [at(1, create_violation(record(1), area(1)))]).await;
        hand_over().await;
        let seen = number().await;
        act(2, "removed", seen).await;
        assert_eq!(hand_over().await, 0, "it saw all that there was");
        let seen = number().await;
        // Somebody records that it is back, and the job for that finds the record where the worker moved it.
        phone.send(&store, [at(3, step(record(1), area(1), Kind::Violation, "found"))]).await;
        hand_over().await;
        act(4, "removed", seen).await;
        assert_eq!(hand_over().await, 1, "it had not seen that");
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
