//! Starts and stops what does the jobs, and keeps it alive.

use crate::handle::handle;
use crate::poll::SafePoll;
use crate::queue::{QUEUE, Queue};
use crate::{Error, dispatch, reconcile};
use apalis::layers::WorkerBuilderExt;
use apalis::prelude::{Attempt, BackendExt, Codec, TaskId, WorkerBuilder, WorkerContext, WorkerError};
use apalis_postgres::PostgresStorage;
use apalis_sqlite::SqliteStorage;
use futures_util::FutureExt;
use rounds_store::{Pool, Store};
use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};
use uuid::Uuid;

/// Answers the time, in ms since 1970 UTC.
pub type Clock = Arc<dyn Fn() -> i64 + Send + Sync>;

/// Jobs that apalis fetches at once.
const FETCH_JOBS: usize = 50;
/// A worker counts as dead after so many missed heartbeats, and its jobs are done by others.
const HEARTBEATS_MISSED_MAX: usize = 3;
/// How long to wait before apalis is started again after it ended.
const RESTART_PAUSE: Duration = Duration::from_secs(1);
/// Heartbeats between two looks for what may be forgotten: an hour, at one each five seconds.
const PURGE_BEATS: u64 = 720;

/// How the worker works.
#[derive(Clone, Debug)]
pub struct Options {
    /// A number that no start of any worker had before: apalis strands the jobs of a name that is used again.
    pub boot: Uuid,
    /// Jobs that run at the same time in this process.
    pub concurrency: usize,
    /// How often to look for jobs that nobody told of. At least 1 ms.
    pub look_every: Duration,
    /// How often to say that this process is alive; at three missed ones its jobs are done by others. At least 1 s,
    /// in whole seconds.
    pub heartbeat: Duration,
    /// How long a job may take.
    pub job_time_max: Duration,
    /// How long to wait before a failed job is started again; four times as long after each further failure.
    pub retry_after: Duration,
    /// How long done jobs are kept. Those that were given up are kept for ever.
    pub done_kept: Duration,
}

impl Options {
    /// What suits most; `boot` is a new random number.
    pub fn new(boot: Uuid) -> Self {
        Self {
            boot,
            concurrency: 8,
            look_every: Duration::from_secs(1),
            heartbeat: Duration::from_secs(5),
            job_time_max: Duration::from_secs(60),
            retry_after: Duration::from_secs(2),
            done_kept: Duration::from_secs(3 * 24 * 60 * 60),
        }
    }
}

/// What all parts of a worker share.
pub(crate) struct Shared {
    pub(crate) store: Store,
    pub(crate) queue: Queue,
    pub(crate) clock: Clock,
    pub(crate) options: Options,
    /// Lets apalis look for jobs at once.
    pub(crate) wake: Arc<Notify>,
    /// Turns true once.
    stopping: watch::Sender<bool>,
    progress: watch::Sender<()>,
}

impl Shared {
    /// Waits until the worker is told to stop.
    pub(crate) async fn stopped(&self) {
        let _ = self.stopping.subscribe().wait_for(|stopping| *stopping).await; // the sender is in `self`
    }

    /// Says that jobs may have moved on.
    pub(crate) fn note_progress(&self) {
        self.progress.send_replace(());
    }
}

/// Does the jobs of a store, beside other workers on the same database if there are some.
///
/// Dropping it ends it at once, like a crash: its jobs are done by whoever comes next. [`Worker::stop`] is kinder.
pub struct Worker {
    shared: Arc<Shared>,
    tasks: JoinSet<()>,
}

impl std::fmt::Debug for Worker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Worker").field("options", &self.shared.options).finish_non_exhaustive()
    }
}

impl Worker {
    /// Makes the tables of the job runner if they are not there, forgets what was done long ago, and begins to work.
    ///
    /// # Errors
    /// [`Error::Unsuitable`] says what the database lacks; [`Error::Unavailable`] and [`Error::Store`].
    pub async fn start(store: Store, clock: Clock, options: Options) -> Result<Self, Error> {
        let queue = Queue { pool: store.pool() };
        queue.set_up().await?;
        queue.purge(options.done_kept).await?;
        reconcile::enrol(&store, clock()).await?;
        let (stopping, _) = watch::channel(false);
        let (progress, _) = watch::channel(());
        let wake = Arc::new(Notify::new());
        let shared = Arc::new(Shared { store, queue, clock, options, wake, stopping, progress });
        let mut tasks = JoinSet::new();
        tasks.spawn(dispatch::run(shared.clone()));
        tasks.spawn(keep_running(shared.clone()));
        Ok(Self { shared, tasks })
    }

    /// Takes up no more jobs, waits for those that run, and gives back those that were not begun.
    ///
    /// A job runs no longer than [`Options::job_time_max`].
    pub async fn stop(mut self) {
        self.shared.stopping.send_replace(true);
        while self.tasks.join_next().await.is_some() {}
    }

    /// Waits until no job waits or runs; those that were given up are neither. Answers how many were given up.
    ///
    /// # Errors
    /// [`Error::Unavailable`] and [`Error::Store`].
    pub async fn drained(&self) -> Result<u64, Error> {
        let mut progress = self.shared.progress.subscribe();
        loop {
            progress.borrow_and_update();
            // In this order: a job leaves the one table after it is in the other.
            let drained = self.shared.store.waiting_jobs(1).await?.is_empty()
                && self.shared.queue.unfinished().await? == 0;
            if drained && !progress.has_changed().unwrap_or_default() {
                return self.dead().await;
            }
            // The sender is in `self`, so this ends only with a change.
            let _ = progress.changed().await;
        }
    }

    /// How many jobs were given up.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn dead(&self) -> Result<u64, Error> {
        self.shared.queue.dead().await
    }
}

/// Runs apalis, and runs it again when it ends, which it does when the database fails it.
async fn keep_running(shared: Arc<Shared>) {
    for start in 0_u64.. {
        let name = format!("{QUEUE}-{}-{start}", shared.options.boot.simple());
        let context = WorkerContext::new(&name);
        let mut beats = JoinSet::new();
        beats.spawn(keep_alive(shared.clone(), name.clone()));
        {
            // A panic would take this loop along, and with it all jobs from then on.
            let running = AssertUnwindSafe(run(&shared, &context)).catch_unwind().map(|ended| match ended {
                Ok(ended) => ended.map_err(|error| error.to_string()),
                Err(_) => Err("it panicked".to_owned()),
            });
            tokio::pin!(running);
            tokio::select! {
                ended = &mut running => {
                    tracing::error!(?ended, "the job runner ended and is started again");
                }
                () = shared.stopped() => {
                    // Not started yet: then it has taken up nothing.
                    if context.stop().is_ok() && let Err(error) = running.await {
                        tracing::warn!(error, "the job runner did not end well");
                    }
                }
            }
        }
        // Whatever it still holds, it will not do.
        if let Err(error) = shared.queue.give_back(&name).await {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "jobs are not given back: others take them over later"
            );
        }
        tokio::select! {
            () = shared.stopped() => return,
            () = tokio::time::sleep(RESTART_PAUSE) => {}
        }
    }
}

/// Runs apalis until it ends.
async fn run(shared: &Arc<Shared>, context: &WorkerContext) -> Result<(), WorkerError> {
    let options = &shared.options;
    let poll = SafePoll::new(options.look_every, shared.wake.clone());
    let worker: Arc<str> = Arc::from(context.name());
    let handler = {
        let shared = shared.clone();
        move |payload: Vec<u8>, id: TaskId, attempt: Attempt| {
            let (shared, worker) = (shared.clone(), worker.clone());
            async move {
                match id.as_ulid() {
                    Some(id) => handle(&shared, &worker, id, attempt.current(), &payload).await,
                    None => {
                        tracing::error!(job = %id, "a job has another sort of id than the job runner's tables have")
                    }
                }
            }
        }
    };
    // Locks and results are ours to write, see `queue`.
    match &shared.queue.pool {
        Pool::Sqlite(pool) => {
            let config = apalis_sqlite::Config::default()
                .queue(QUEUE)
                .batch_size(FETCH_JOBS)
                .heartbeat_interval(options.heartbeat)
                .missed_heartbeats(HEARTBEATS_MISSED_MAX)
                .lock_tasks(false)
                .persist_results(false);
            let storage = SqliteStorage::<Vec<u8>>::new(pool).with_config(config);
            let backend = storage.with_codec(AsIs).poll_with_strategy(poll);
            WorkerBuilder::new(context)
                .backend(backend)
                .concurrency(options.concurrency)
                .build(handler)
                .run()
                .await
        }
        Pool::Postgres(pool) => {
            let config = apalis_postgres::Config::default()
                .queue(QUEUE)
                .batch_size(FETCH_JOBS)
                .heartbeat_interval(options.heartbeat)
                .missed_heartbeats(HEARTBEATS_MISSED_MAX)
                .lock_tasks(false)
                .persist_results(false);
            let storage = PostgresStorage::<Vec<u8>>::new(pool).with_config(config);
            let backend = storage.with_codec(AsIs).poll_with_strategy(poll);
            WorkerBuilder::new(context)
                .backend(backend)
                .concurrency(options.concurrency)
                .build(handler)
                .run()
                .await
        }
    }
}

/// Says at intervals that a worker is alive, and forgets what is over, for as long as it is not dropped.
async fn keep_alive(shared: Arc<Shared>, worker: String) {
    let mut tick = interval(shared.options.heartbeat);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for beat in 1_u64.. {
        tick.tick().await;
        let mut done = shared.queue.beat(&worker).await;
        if beat.is_multiple_of(PURGE_BEATS) {
            done = done.and(shared.queue.purge(shared.options.done_kept).await);
        }
        if let Err(error) = done {
            tracing::warn!(error = &error as &dyn std::error::Error, "no sign of life could be written");
        }
    }
}

/// Leaves payloads as they are: one that cannot be read would end the whole worker.
#[derive(Clone, Debug)]
struct AsIs;

impl Codec<Vec<u8>> for AsIs {
    type Error = Infallible;
    type Compact = Vec<u8>;

    fn encode(&self, payload: &Vec<u8>) -> Result<Vec<u8>, Infallible> {
        Ok(payload.clone())
    }

    fn decode(&self, payload: &Vec<u8>) -> Result<Vec<u8>, Infallible> {
        Ok(payload.clone())
    }
}
