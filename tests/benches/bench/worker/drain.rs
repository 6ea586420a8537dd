//! W1: reminders raised per second, from the timer to the record on every phone, beside a bare apalis that drains jobs
//! which do nothing.

use crate::asked::{Asked, Kind};
use crate::line::{Bound, Line, median, rate, timed};
use apalis::layers::WorkerBuilderExt as _;
use apalis::prelude::{BackendExt as _, TaskBuilder, TaskSink as _, WorkerBuilder, WorkerContext};
use apalis_postgres::PostgresStorage;
use apalis_sqlite::SqliteStorage;
use rounds_store::{Pool, Store};
use rounds_tests::kill::removed_violations;
use rounds_tests::{TestClock, TestDatabase, new_id};
use rounds_worker::{DEVICE, Options, Worker};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

const AREAS: usize = 20;

pub(crate) async fn w1(kind: Kind, asked: &Asked) -> Line {
    let count = asked.size(2_000, 20_000);
    let (mut figures, mut yardsticks) = (Vec::new(), Vec::new());
    for _ in 0..asked.turns() {
        figures.push(reminders(&kind.create().await, count).await);
        yardsticks.push(bare(&kind.create().await, count).await);
    }
    let (figure, yardstick) = (median(figures), median(yardsticks));
    Line {
        id: "W1",
        database: kind.name(),
        figure: format!("{figure:.0} reminders/s of {count}"),
        yardstick: format!("{yardstick:.0} no-op jobs/s"),
        value: figure / yardstick,
        floor: Bound::AtLeast(0.3),
        goal: Bound::AtLeast(0.7),
    }
}

/// Everything is due first, then the worker starts.
async fn reminders(database: &TestDatabase, count: usize) -> f64 {
    let (store, clock) = (database.open().await, TestClock::default());
    removed_violations(&store, &clock, AREAS, count / AREAS).await;
    drain(&store, &clock).await;
    loop {
        let next_ms = store.next_timer_ms().await.expect("a database").expect("a reminder to come");
        clock.set(next_ms);
        let before = acts(&store).await;
        let ((), took) = timed(drain(&store, &clock)).await;
        let raised = usize::try_from(acts(&store).await - before).expect("fewer");
        if raised >= count {
            store.close().await;
            return rate(raised, took);
        }
    }
}

async fn drain(store: &Store, clock: &TestClock) {
    let clock = clock.clone();
    let worker = Worker::start(store.clone(), Arc::new(move || clock.now_ms()), Options::new(new_id()));
    let worker = worker.await.expect("a worker");
    assert_eq!(worker.drained().await.expect("a database"), 0, "jobs were given up");
    worker.stop().await;
}

async fn acts(store: &Store) -> u64 {
    store.device(DEVICE).await.expect("a database").map_or(0, |device| device.acknowledged_through)
}

/// The same number of jobs that do nothing, with apalis' own starts and ends, at the worker's settings.
async fn bare(database: &TestDatabase, count: usize) -> f64 {
    let store = database.open().await;
    // Our worker makes the tables, without the index that would slow apalis down on SQLite.
    drain(&store, &TestClock::default()).await;
    let concurrency = Options::new(new_id()).concurrency;
    let done = Arc::new(AtomicUsize::new(0));
    let job = move |_: u32, worker: WorkerContext| {
        let done = done.clone();
        async move {
            if done.fetch_add(1, Ordering::SeqCst) + 1 == count {
                let _ = worker.stop(); // it may be stopping
            }
        }
    };
    let name = format!("bare-{}", new_id().simple());
    let tasks = || (0..count as u32).map(|n| TaskBuilder::new(n).build());
    let every = Duration::from_millis(25);
    let ((), took) = match store.pool() {
        Pool::Sqlite(pool) => {
            let config = apalis_sqlite::Config::default().queue("bare").batch_size(50);
            let mut backend = SqliteStorage::new(&pool).with_config(config);
            let mut tasks = futures_util::stream::iter(tasks());
            backend.push_all(&mut tasks).await.expect("jobs");
            let worker = WorkerBuilder::new(name).backend(backend.poll_with_interval(every));
            let worker = worker.concurrency(concurrency).build(job);
            timed(async move { worker.run().await.expect("an end") }).await
        }
        Pool::Postgres(pool) => {
            let config = apalis_postgres::Config::default().queue("bare").batch_size(50);
            let mut backend = PostgresStorage::new(&pool).with_config(config);
            let mut tasks = futures_util::stream::iter(tasks());
            backend.push_all(&mut tasks).await.expect("jobs");
            let worker = WorkerBuilder::new(name).backend(backend.poll_with_interval(every));
            let worker = worker.concurrency(concurrency).build(job);
            timed(async move { worker.run().await.expect("an end") }).await
        }
    };
    let table = if database.is_postgres() { "apalis.jobs" } else { "Jobs" };
    let acknowledged = format!("SELECT count(*) FROM {table} WHERE job_type = 'bare' AND status = 'Done'");
    assert_eq!(database.number(&store, &acknowledged).await.expect("a count"), count as i64);
    store.close().await;
    rate(count, took)
}
