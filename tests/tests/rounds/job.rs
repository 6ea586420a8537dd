//! What the jobs engine promises: each fault that was found in apalis is absent, and no job stands in another's way.
//!
//! | apalis 1.0.0 by itself | here |
//! | --- | --- |
//! | 1. a wake-up is lost when a look for jobs outlasts the interval: jobs start 26 s late | `worker/src/poll.rs`: `a_look_that_outlasts_the_interval_loses_no_wake_up` |
//! | 2. a panic or time-out leaves a job running for ever, or ends the worker | `a_panic_does_not_leave_a_job_running`; in `worker.rs` `a_job_that_panics_is_started_five_times_and_then_given_up`, `a_job_that_takes_too_long_is_started_five_times_and_then_given_up` |
//! | 3. no sign of life while the buffer is full: jobs run twice | `a_worker_with_a_full_buffer_says_that_it_is_alive` |
//! | 4. a name that is used again strands the jobs of whoever had it | `no_start_of_a_worker_has_the_name_of_another`; `server/tests/kill.rs` with processes that are killed |
//! | 5. on SQLite the end of each job reads every job that its worker ever did | `the_end_of_a_job_reads_no_job_that_was_done_before` |
//! | 6. a failed job is started again at once | `a_failed_job_is_not_started_again_at_once` |
//! | 7. a pause that the job asks for is kept for ever (SQLite) or not at all (PostgreSQL) | the same, and `a_failed_job_is_started_again_when_its_pause_is_over` |
//! | 8. a payload or id that cannot be read ends the worker | in `worker.rs` `a_poisoned_job_is_given_up_and_the_worker_lives_on`, here `a_job_with_an_id_of_another_sort_stops_no_other` |
//! | 9. forgetting old jobs forgets those that were done just now (SQLite), or nothing (PostgreSQL) | `what_was_done_just_now_is_kept`; in `worker.rs` `done_jobs_are_forgotten_after_a_while` |
//! | 10. a job that is there already undoes whatever else was written with it | `timers_that_are_handed_over_twice_make_one_job`; in `worker.rs` `a_job_that_was_released_but_not_yet_forgotten_is_released_once` |

use super::worker::{Field, Held, count_jobs, jobs, options, unhinted};
use rounds_domain::{AreaId, RecordId};
use rounds_store::Pool;
use rounds_tests::{TestDatabase, new_id, on_both_databases};
use rounds_worker::{Fault, JobFilter, JobKind, JobState, Jobs, Options};
use std::process::Stdio;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::io::AsyncReadExt;
use tokio::process::Command;

const HOUR: Duration = Duration::from_secs(60 * 60);
/// Timers that are set in one statement.
const TIMERS_AT_ONCE: usize = 10_000;

fn quoted(database: &TestDatabase, id: uuid::Uuid) -> String {
    if database.is_postgres() { format!("'{id}'") } else { format!("X'{}'", id.simple()) }
}

/// Sets timers past the store, so that nobody hints at them.
async fn set_timers(database: &TestDatabase, area: AreaId, at_ms: i64, records: &[RecordId]) {
    for some in records.chunks(TIMERS_AT_ONCE) {
        let row = |record: &RecordId| {
            format!("({}, {}, {at_ms})", quoted(database, record.0), quoted(database, area.0))
        };
        let rows: Vec<_> = some.iter().map(row).collect();
        let sql = format!("INSERT INTO timers (record, area, at_ms) VALUES {}", rows.join(", "));
        database.execute(&sql).await.unwrap();
    }
}

fn new_records(count: usize) -> Vec<RecordId> {
    (0..count).map(|_| RecordId(new_id())).collect()
}

/// Everybody looks dead who was not seen since.
async fn age_workers(database: &TestDatabase) {
    let workers = if database.is_postgres() {
        "apalis.workers SET last_seen = to_timestamp(0)"
    } else {
        "Workers SET last_seen = 0"
    };
    database.execute(&format!("UPDATE {workers}")).await.unwrap();
}

async fn list(field: &Field, state: Option<JobState>) -> Vec<rounds_worker::Job> {
    let filter = JobFilter { state, kind: None, limit: 10_000 };
    Jobs::open(&field.store).await.unwrap().list(filter).await.unwrap()
}

/// The kind of a job, and the records that it was about.
type About = (JobKind, Vec<RecordId>);

/// What jobs were about, in the order in which they began.
#[derive(Clone, Default)]
struct Begun {
    jobs: Arc<Mutex<Vec<About>>>,
}

impl Begun {
    fn fault(&self) -> Fault {
        let begun = self.clone();
        Arc::new(move |kind, records: &[RecordId]| {
            begun.jobs.lock().unwrap().push((kind, records.to_vec()));
            Ok(())
        })
    }

    fn kinds(&self) -> Vec<JobKind> {
        self.jobs.lock().unwrap().iter().map(|(kind, _)| *kind).collect()
    }

    fn place_of(&self, record: RecordId) -> Option<usize> {
        self.jobs.lock().unwrap().iter().position(|(_, records)| records.contains(&record))
    }

    fn times(&self, record: RecordId) -> usize {
        self.jobs.lock().unwrap().iter().filter(|(_, records)| records.contains(&record)).count()
    }
}

/// Fails each job that is about this record.
fn failing_at(record: RecordId) -> Fault {
    Arc::new(move |_, records: &[RecordId]| match records.contains(&record) {
        true => Err(format!("record {record} is poison")),
        false => Ok(()),
    })
}

on_both_databases! {
    async fn a_record_is_woken_when_its_time_comes_and_not_before(database: &TestDatabase) {
        let field = Field::on(database).await;
        let begun = Begun::default();
        let worker = field.worker_with(Options { fault: Some(begun.fault()), ..unhinted() }).await;
        let [soon, late] = [RecordId(new_id()), RecordId(new_id())];
        set_timers(database, field.area, field.clock.now_ms() + 1_000, &[soon]).await;
        set_timers(database, field.area, field.clock.now_ms() + 2_000, &[late]).await;
        worker.drained().await.unwrap();
        assert_eq!(begun.kinds(), []);

        field.clock.advance(Duration::from_secs(1));
        worker.drained().await.unwrap();
        assert_eq!((begun.times(soon), begun.times(late)), (1, 0));
        field.clock.advance(Duration::from_secs(1));
        worker.drained().await.unwrap();
        assert_eq!((begun.times(soon), begun.times(late)), (1, 1));
        assert_eq!(field.store.next_timer_ms().await.unwrap(), None);
        field.close(worker).await;
    }

    async fn timers_that_are_handed_over_twice_make_one_job(database: &TestDatabase) {
        let field = Field::on(database).await;
        let (held, begun) = (Held::default(), Begun::default());
        let (hold, mut began) = held.fault();
        let note = begun.fault();
        let fault: Fault = Arc::new(move |kind, records: &[RecordId]| {
            note(kind, records)?;
            hold(kind, records)
        });
        let worker = field.worker_with(Options { concurrency: 1, fault: Some(fault), ..unhinted() }).await;
        let (records, at_ms) = (new_records(150), field.clock.now_ms());
        set_timers(database, field.area, at_ms, &records).await;
        began.recv().await.unwrap();
        while field.store.next_timer_ms().await.unwrap().is_some() {}
        set_timers(database, field.area, at_ms, &records).await; // as if the worker had ended before it forgot them
        while field.store.next_timer_ms().await.unwrap().is_some() {}
        held.let_go();
        worker.drained().await.unwrap();
        assert_eq!(begun.kinds(), [JobKind::Wake; 2]);
        assert_eq!(count_jobs(database, &field.store, "true").await, 2);

        set_timers(database, field.area, at_ms, &records).await;
        worker.drained().await.unwrap();
        assert_eq!(begun.kinds(), [JobKind::Wake; 4], "once they were woken, the same time wakes them again");
        field.close(worker).await;
    }

    async fn a_backlog_of_one_area_does_not_delay_the_job_of_another(database: &TestDatabase) {
        let field = Field::on(database).await;
        let (backlog, other) = (new_records(100_000), RecordId(new_id()));
        set_timers(database, field.area, 0, &backlog).await;
        set_timers(database, AreaId(new_id()), 1, &[other]).await;
        let begun = Begun::default();
        let worker = field.worker_with(Options { fault: Some(begun.fault()), ..unhinted() }).await;
        assert_eq!(worker.drained().await.unwrap(), 0);
        let place = begun.place_of(other).expect("it was woken");
        assert!(place < 20, "{place} jobs of the backlog went before it");
        let woken: usize = begun.jobs.lock().unwrap().iter().map(|(_, records)| records.len()).sum();
        assert_eq!(woken, 100_001);
        field.close(worker).await;
    }

    async fn one_poisonous_record_takes_no_other_along(database: &TestDatabase) {
        let field = Field::on(database).await;
        let mut violations = Vec::new();
        for _ in 0..1_000 {
            violations.push(field.removed_violation().await);
        }
        let poison = violations[500];
        let worker = field.worker_with(Options { fault: Some(failing_at(poison)), ..options() }).await;
        assert_eq!(worker.drained().await.unwrap(), 1);
        assert_eq!(field.ops_of_the_worker().await, 999 * 3);
        assert_eq!(field.follow_ups_of(poison).await, []);

        let dead = list(&field, Some(JobState::Dead)).await;
        let [dead] = &dead[..] else { panic!("{dead:?}") };
        assert_eq!((dead.kind, dead.area, &dead.records[..]), (Some(JobKind::Look), Some(field.area), &[poison][..]));
        assert_eq!(dead.starts, 5);
        assert_eq!(dead.error.as_deref(), Some(&*format!("record {poison} is poison")));
        field.close(worker).await;
    }

    async fn a_job_that_was_given_up_can_be_retried_or_dropped(database: &TestDatabase) {
        let field = Field::on(database).await;
        let (mended, unwanted) = (field.removed_violation().await, field.removed_violation().await);
        let broken = Arc::new(AtomicUsize::new(1));
        let fault: Fault = {
            let broken = broken.clone();
            Arc::new(move |_, _: &[RecordId]| match broken.load(Ordering::SeqCst) {
                0 => Ok(()),
                _ => Err("it is broken".to_owned()),
            })
        };
        let worker = field.worker_with(Options { fault: Some(fault), ..unhinted() }).await;
        assert_eq!(worker.drained().await.unwrap(), 2);
        let jobs = Jobs::open(&field.store).await.unwrap();
        let dead = list(&field, Some(JobState::Dead)).await;
        let about = |record| dead.iter().find(|job| job.records == [record]).unwrap().id.clone();
        assert!(jobs.drop(&about(unwanted)).await.unwrap());
        assert!(!jobs.drop(&about(unwanted)).await.unwrap(), "it is gone");
        broken.store(0, Ordering::SeqCst);
        assert!(jobs.retry(&about(mended)).await.unwrap());
        assert!(!jobs.retry(&about(unwanted)).await.unwrap());
        assert_eq!(worker.drained().await.unwrap(), 0);
        assert_eq!(field.follow_ups_of(mended).await.len(), 3);
        assert_eq!(field.follow_ups_of(unwanted).await, []);
        assert!(!jobs.drop(&about(mended)).await.unwrap(), "it is done");
        field.close(worker).await;
    }

    async fn a_failed_job_is_not_started_again_at_once(database: &TestDatabase) {
        let field = Field::on(database).await;
        let (say, mut failed) = tokio::sync::mpsc::unbounded_channel();
        let fault: Fault = Arc::new(move |_, _: &[RecordId]| {
            let _ = say.send(());
            Err("not yet".to_owned())
        });
        let worker = field.worker_with(Options { fault: Some(fault), retry_after: HOUR, ..options() }).await;
        let violation = field.removed_violation().await;
        failed.recv().await.unwrap();
        worker.stop().await;
        assert!(failed.try_recv().is_err(), "it was started once");
        let later = if database.is_postgres() { "run_at > now() + interval '25 minutes'" } else { "run_at > unixepoch() + 1500" };
        let waits = format!("status = 'Pending' AND attempts = 1 AND lock_by IS NULL AND {later}");
        assert_eq!(count_jobs(database, &field.store, &waits).await, 1);
        assert_eq!(field.follow_ups_of(violation).await, []);
        field.store.close().await;
    }

    async fn a_panic_does_not_leave_a_job_running(database: &TestDatabase) {
        let field = Field::on(database).await;
        let fault: Fault = Arc::new(|_, _: &[RecordId]| panic!("out of order"));
        let worker = field.worker_with(Options { fault: Some(fault), ..options() }).await;
        field.removed_violation().await;
        assert!(worker.drained().await.unwrap() > 0);
        assert_eq!(count_jobs(database, &field.store, "status IN ('Running', 'Queued', 'Failed')").await, 0);
        field.close(worker).await;
    }

    async fn a_worker_with_a_full_buffer_says_that_it_is_alive(database: &TestDatabase) {
        let field = Field::on(database).await;
        set_timers(database, field.area, 0, &new_records(2_000)).await;
        let held = Held::default();
        let (fault, mut began) = held.fault();
        let one_at_a_time = Options { concurrency: 1, heartbeat: Duration::from_secs(1), fault: Some(fault), ..options() };
        let worker = field.worker_with(one_at_a_time).await;
        began.recv().await.unwrap();
        age_workers(database).await;
        let seen = if database.is_postgres() {
            "SELECT count(*) FROM apalis.workers WHERE last_seen > now() - interval '1 hour'"
        } else {
            "SELECT count(*) FROM Workers WHERE last_seen > unixepoch() - 3600"
        };
        while database.number(&field.store, seen).await.unwrap() == 0 {}
        held.let_go();
        assert_eq!(worker.drained().await.unwrap(), 0);
        field.close(worker).await;
    }

    async fn a_start_that_was_interrupted_counts_and_a_place_in_the_buffer_does_not(database: &TestDatabase) {
        let field = Field::on(database).await;
        set_timers(database, field.area, 0, &new_records(500)).await;
        let held = Held::default();
        let (fault, mut began) = held.fault();
        let dead = field.worker_with(Options { concurrency: 1, fault: Some(fault), ..options() }).await;
        began.recv().await.unwrap();
        drop(dead);
        held.let_go();
        age_workers(database).await;

        let begun = Begun::default();
        let next = field.worker_with(Options { fault: Some(begun.fault()), ..options() }).await;
        next.drained().await.unwrap();
        assert_eq!(begun.kinds(), [JobKind::Wake; 5]);
        assert_eq!(count_jobs(database, &field.store, "status = 'Done' AND attempts = 1").await, 4);
        assert_eq!(count_jobs(database, &field.store, "status = 'Done' AND attempts = 2").await, 1);
        let runs = Jobs::open(&field.store).await.unwrap().history(None, None, 100).await.unwrap();
        let outcomes = |outcome| runs.iter().filter(|run| run.outcome == outcome).count();
        assert_eq!((outcomes("done"), outcomes("interrupted")), (5, 1));
        field.close(next).await;
    }

    async fn a_job_of_a_worker_that_lives_is_left_to_it(database: &TestDatabase) {
        let field = Field::on(database).await;
        set_timers(database, field.area, 0, &new_records(1)).await;
        let held = Held::default();
        let (hold, mut began) = held.fault();
        let first = field.worker_with(Options { fault: Some(hold), ..options() }).await;
        began.recv().await.unwrap();
        let begun = Begun::default();
        let next = field.worker_with(Options { fault: Some(begun.fault()), ..options() }).await;
        while begun.kinds().is_empty() {
            field.removed_violation().await; // one of them is done by the next
        }
        held.let_go();
        assert_eq!((first.drained().await.unwrap(), next.drained().await.unwrap()), (0, 0));
        let runs = Jobs::open(&field.store).await.unwrap().history(None, None, 1_000).await.unwrap();
        assert!(runs.iter().all(|run| run.outcome == "done"), "{runs:?}");
        first.stop().await;
        field.close(next).await;
    }

    async fn jobs_of_a_paused_kind_do_not_start_until_it_is_resumed(database: &TestDatabase) {
        let field = Field::on(database).await;
        let jobs_of = Jobs::open(&field.store).await.unwrap();
        let records = new_records(500);
        set_timers(database, field.area, 0, &records).await;
        let (held, begun) = (Held::default(), Begun::default());
        let (hold, mut began) = held.fault();
        let note = begun.fault();
        let fault: Fault = Arc::new(move |kind, records: &[RecordId]| {
            note(kind, records)?;
            hold(kind, records)
        });
        let one_at_a_time = Options { concurrency: 1, fault: Some(fault), ..unhinted() };
        let worker = field.worker_with(one_at_a_time).await;
        began.recv().await.unwrap();

        let clock = field.clock.clone();
        let clock: rounds_worker::Clock = Arc::new(move || clock.now_ms());
        assert!(jobs_of.pause(JobKind::Wake, &clock).await.unwrap());
        assert!(!jobs_of.pause(JobKind::Wake, &clock).await.unwrap(), "it is paused already");
        held.let_go();
        let other = field.removed_violation().await;
        while field.follow_ups_of(other).await.len() < 3 {} // other kinds go on
        assert_eq!(begun.kinds().iter().filter(|kind| **kind == JobKind::Wake).count(), 1, "only that which ran");
        assert_eq!(jobs_of.paused().await.unwrap(), [(JobKind::Wake, field.clock.now_ms())]);
        worker.stop().await;

        // Another process keeps to it.
        let worker = field.worker_with(Options { fault: Some(begun.fault()), ..unhinted() }).await;
        field.removed_violation().await;
        while list(&field, Some(JobState::Waiting)).await.iter().any(|job| job.kind == Some(JobKind::Wake)) {}
        assert_eq!(begun.kinds().iter().filter(|kind| **kind == JobKind::Wake).count(), 1);
        assert_eq!(list(&field, Some(JobState::Paused)).await.len(), 4);

        assert!(jobs_of.resume(JobKind::Wake).await.unwrap());
        assert!(!jobs_of.resume(JobKind::Wake).await.unwrap(), "it is not paused");
        assert_eq!(worker.drained().await.unwrap(), 0);
        assert!(records.iter().all(|record| begun.times(*record) == 1));
        field.close(worker).await;
    }

    async fn the_history_says_how_each_start_ended(database: &TestDatabase) {
        let field = Field::on(database).await;
        let violation = field.removed_violation().await;
        let starts = AtomicUsize::new(0);
        let fault: Fault = Arc::new(move |_, _: &[RecordId]| match starts.fetch_add(1, Ordering::SeqCst) {
            0 => Err("the first time".to_owned()),
            _ => Ok(()),
        });
        let worker = field.worker_with(Options { fault: Some(fault), ..options() }).await;
        worker.drained().await.unwrap();
        let jobs = Jobs::open(&field.store).await.unwrap();
        let mut runs = jobs.history(None, Some(JobKind::Look), 100).await.unwrap();
        runs.sort_by_key(|run| run.outcome.clone());
        let outcomes: Vec<_> = runs.iter().map(|run| (run.outcome.as_str(), run.error.as_deref())).collect();
        assert_eq!(outcomes, [("done", None), ("failed", Some("the first time")), ("split", None)]);
        assert!(runs.iter().all(|run| run.area == Some(field.area) && run.started_ms == field.clock.now_ms()));
        assert_eq!(jobs.history(Some(&runs[0].job), None, 100).await.unwrap(), runs[..1]);
        assert_eq!(field.follow_ups_of(violation).await.len(), 3);
        worker.stop().await;

        field.clock.advance(HOUR * 24 * 15);
        let next = field.worker().await;
        assert_eq!(jobs.history(None, None, 100).await.unwrap(), [], "it is forgotten after two weeks");
        field.close(next).await;
    }

    async fn what_was_done_just_now_is_kept(database: &TestDatabase) {
        let field = Field::on(database).await;
        let worker = field.worker().await;
        field.removed_violation().await;
        worker.drained().await.unwrap();
        worker.stop().await;
        let done = count_jobs(database, &field.store, "status = 'Done'").await;
        assert!(done > 0);
        let next = field.worker().await;
        assert_eq!(count_jobs(database, &field.store, "status = 'Done'").await, done);
        field.close(next).await;
    }

    async fn what_was_given_up_is_kept_however_long_ago(database: &TestDatabase) {
        let field = Field::on(database).await;
        let poison = field.removed_violation().await;
        let worker = field.worker_with(Options { fault: Some(failing_at(poison)), ..options() }).await;
        assert_eq!(worker.drained().await.unwrap(), 1);
        worker.stop().await;
        let long_ago = if database.is_postgres() { "to_timestamp(0)" } else { "0" };
        database.execute(&format!("UPDATE {} SET done_at = {long_ago}", jobs(database))).await.unwrap();

        let next = field.worker().await;
        let [dead] = &list(&field, Some(JobState::Dead)).await[..] else { panic!("one that was given up") };
        assert_eq!(dead.records, [poison]);
        assert_eq!(count_jobs(database, &field.store, "status = 'Done'").await, 0, "what was done then is forgotten");
        field.close(next).await;
    }

    async fn the_end_of_a_job_reads_no_job_that_was_done_before(database: &TestDatabase) {
        let field = Field::on(database).await;
        let worker = field.worker().await;
        for _ in 0..3 {
            field.removed_violation().await;
            worker.drained().await.unwrap();
        }
        assert!(count_jobs(database, &field.store, "status = 'Done'").await >= 3);
        // By who holds it, apalis finds all that a worker ever did: nobody holds what is done.
        assert_eq!(count_jobs(database, &field.store, "status = 'Done' AND lock_by IS NOT NULL").await, 0);
        if let Pool::Sqlite(pool) = field.store.pool() {
            let indexes: Vec<String> =
                sqlx::query_scalar("SELECT lower(sql) FROM sqlite_master WHERE type = 'index' AND tbl_name = 'Jobs' AND sql <> ''")
                    .fetch_all(&pool)
                    .await
                    .unwrap();
            assert!(!indexes.is_empty());
            assert!(!indexes.iter().any(|sql| sql.contains("(lock_by")), "{indexes:?}");
            let plan: Vec<(i64, i64, i64, String)> = sqlx::query_as(
                "EXPLAIN QUERY PLAN UPDATE Jobs SET status = 'Done' FROM (SELECT value AS id FROM json_each('[]')) AS ended
                 WHERE Jobs.id = ended.id AND lock_by = 'somebody' AND status IN ('Queued', 'Running')",
            )
            .fetch_all(&pool)
            .await
            .unwrap();
            let jobs: Vec<_> = plan.iter().map(|(.., step)| step).filter(|step| step.contains("Jobs")).collect();
            assert!(jobs.len() == 1 && jobs[0].contains("(id=?)"), "{plan:?}");
        }
        field.close(worker).await;
    }

    async fn a_failed_job_is_started_again_when_its_pause_is_over(database: &TestDatabase) {
        let field = Field::on(database).await;
        let violation = field.removed_violation().await;
        let starts = Arc::new(AtomicUsize::new(0));
        let fault: Fault = {
            let starts = starts.clone();
            Arc::new(move |_, _: &[RecordId]| match starts.fetch_add(1, Ordering::SeqCst) {
                0..3 => Err("not yet".to_owned()),
                _ => Ok(()),
            })
        };
        let soon = Options { retry_after: Duration::from_millis(200), fault: Some(fault), ..unhinted() };
        let began = Instant::now();
        let worker = field.worker_with(soon).await;
        assert_eq!(worker.drained().await.unwrap(), 0);
        assert_eq!(starts.load(Ordering::SeqCst), 4, "each failure costs one start, and none is lost");
        assert!(began.elapsed() >= Duration::from_millis(200), "it waited in between");
        assert_eq!(field.follow_ups_of(violation).await.len(), 3);
        field.close(worker).await;
    }

    async fn a_job_that_a_clock_that_ran_ahead_put_off_starts_when_it_is_set_back(database: &TestDatabase) {
        let field = Field::on(database).await;
        let worker = field.worker_with(unhinted()).await;
        let begins_ms = field.clock.now_ms();
        field.clock.advance(HOUR * 24 * 30);
        field.removed_violation().await;
        worker.drained().await.unwrap();
        let far = if database.is_postgres() { "now() + interval '30 days'" } else { "unixepoch() + 30 * 86400" };
        let put_off = format!("UPDATE {} SET status = 'Pending', done_at = NULL, run_at = {far}", jobs(database));
        database.execute(&put_off).await.unwrap();
        field.clock.set(begins_ms);
        assert_eq!(worker.drained().await.unwrap(), 0); // it would wait for a month
        field.close(worker).await;
    }

    async fn no_start_of_a_worker_has_the_name_of_another(database: &TestDatabase) {
        let field = Field::on(database).await;
        for _ in 0..3 {
            let worker = field.worker().await;
            field.removed_violation().await;
            assert_eq!(worker.drained().await.unwrap(), 0);
            worker.stop().await;
        }
        let table = if database.is_postgres() { "apalis.workers" } else { "Workers" };
        let names = format!("SELECT count(DISTINCT id) FROM {table}");
        assert_eq!(database.number(&field.store, &names).await.unwrap(), 3);
        field.store.close().await;
    }

    async fn a_job_with_an_id_of_another_sort_stops_no_other(database: &TestDatabase) {
        let field = Field::on(database).await;
        field.worker().await.stop().await; // so that the tables are there
        let payload = r#"{"version":1,"kind":"wake","area":"00000000-0000-0000-0000-000000000000","records":[]}"#;
        let bytes = if database.is_postgres() {
            format!("convert_to('{payload}', 'UTF8')")
        } else {
            format!("CAST('{payload}' AS BLOB)")
        };
        let sql = format!("INSERT INTO {} (job, id, job_type) VALUES ({bytes}, 'no ulid', 'rounds')", jobs(database));
        database.execute(&sql).await.unwrap();
        let before = field.removed_violation().await;
        let worker = field.worker_with(unhinted()).await;
        assert_eq!(worker.drained().await.unwrap(), 1);
        let dead = list(&field, Some(JobState::Dead)).await;
        assert!(dead.len() == 1 && dead[0].error.as_ref().unwrap().contains("no ULID"), "{dead:?}");
        database.execute(&sql.replace("no ulid", "nor this")).await.unwrap(); // while the worker runs
        let after = field.removed_violation().await;
        assert_eq!(worker.drained().await.unwrap(), 2);
        for violation in [before, after] {
            assert_eq!(field.follow_ups_of(violation).await.len(), 3);
        }
        field.close(worker).await;
    }

    async fn a_job_that_ends_its_process_is_given_up_after_five_starts_and_takes_no_other_along(database: &TestDatabase) {
        let field = Field::on(database).await;
        let mut violations = Vec::new();
        for _ in 0..20 {
            violations.push(field.removed_violation().await);
        }
        set_timers(database, field.area, 0, &new_records(2_000)).await;
        let poison = violations[10];
        let mut deaths = 0;
        loop {
            let mut process = Command::new(env!("CARGO_BIN_EXE_poisoned_worker"))
                .args([database.url(), &poison.to_string()])
                .stdout(Stdio::piped())
                .stderr(Stdio::null())
                .kill_on_drop(true)
                .spawn()
                .unwrap();
            let mut said = String::new();
            process.stdout.take().unwrap().read_to_string(&mut said).await.unwrap();
            if process.wait().await.unwrap().success() {
                assert_eq!(said, "drained\n");
                break;
            }
            deaths += 1;
            assert!(deaths <= 5, "it still ends the process");
            age_workers(database).await;
        }
        assert_eq!(deaths, 5);
        let dead = list(&field, Some(JobState::Dead)).await;
        let [dead] = &dead[..] else { panic!("{dead:?}") };
        assert_eq!((&dead.records[..], dead.starts), (&[poison][..], 5));
        assert!(dead.error.as_ref().unwrap().contains("the process ended"), "{dead:?}");
        assert_eq!(list(&field, None).await.len(), 1, "nothing else is left");
        for violation in violations.into_iter().filter(|violation| *violation != poison) {
            assert_eq!(field.follow_ups_of(violation).await.len(), 3);
        }
        field.store.close().await;
    }
}
