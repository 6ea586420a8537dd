//! Starts and stops what does the jobs, and keeps it alive.

use crate::channel::Channels;
use crate::handle::handle;
use crate::job::JobKind;
use crate::ledger::Ledger;
use crate::poll::SafePoll;
use crate::queue::{QUEUE, Queue};
use crate::{Error, channel, dispatch, reconcile};
use apalis::layers::WorkerBuilderExt;
use apalis::prelude::{Attempt, BackendExt, Codec, TaskId, WorkerBuilder, WorkerContext, WorkerError};
use apalis_postgres::PostgresStorage;
use apalis_sqlite::SqliteStorage;
use futures_util::FutureExt;
use rounds_domain::RecordId;
use rounds_store::{ContactKeeping, Pool, Store};
use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Mutex, Notify, RwLock, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};
use uuid::Uuid;

/// Answers the time, in ms since 1970 UTC.
pub type Clock = Arc<dyn Fn() -> i64 + Send + Sync>;

/// Jobs that apalis fetches at once.
const FETCH_JOBS: usize = 50;
/// Jobs that apalis has handed out beyond those that run: they wait for their start or their end to be written.
const JOBS_BETWEEN: usize = 32;
/// A worker counts as dead after so many missed heartbeats, and its jobs are done by others.
const HEARTBEATS_MISSED_MAX: u32 = 3;
/// Looks for dead workers in the time of a heartbeat.
const LOOKS_PER_HEARTBEAT: u32 = 2;
/// How often apalis says by itself that it is alive, and takes jobs over: never while somebody cares. Its own way does
/// not work while it has jobs in its buffer, and takes a start from jobs that were not started.
const APALIS_HEARTBEAT: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);
/// How long to wait before apalis is started again after it ended.
const RESTART_PAUSE: Duration = Duration::from_secs(1);
/// How often to forget what is over.
const PURGE_EVERY: Duration = Duration::from_secs(60 * 60);

/// Called as each job begins, with the records that it is about: for tests, which let jobs fail, panic, wait or end the
/// process. An error is the job's.
pub type Fault = Arc<dyn Fn(JobKind, &[RecordId]) -> Result<(), String> + Send + Sync>;

/// How the worker works.
#[derive(Clone)]
pub struct Options {
    /// A number that no start of any worker had before: apalis strands the jobs of a name that is used again.
    pub boot: Uuid,
    /// Jobs that run at the same time in this process. Half of them, one at least, may be sending messages,
    /// and half of those, one at least, to the same address.
    pub concurrency: usize,
    /// How often to look for jobs that nobody told of. At least 1 ms.
    pub look_every: Duration,
    /// How often to say that this process is alive; at three missed ones its jobs are done by others. At least 1 s.
    pub heartbeat: Duration,
    /// How long a job may take.
    pub job_time_max: Duration,
    /// How long to wait before a failed job is started again; four times as long after each further failure.
    pub retry_after: Duration,
    /// How long done jobs are kept. Those that were given up are kept for ever.
    pub done_kept: Duration,
    /// How long it is kept when jobs were started and how that ended.
    pub history_kept: Duration,
    /// How contact data is kept, if it is: erased when its time is over.
    pub contacts: Option<ContactKeeping>,
    /// What goes wrong, in tests.
    pub fault: Option<Fault>,
    /// How people outside are told; without it nobody is.
    pub channels: Option<Arc<Channels>>,
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
            history_kept: Duration::from_secs(14 * 24 * 60 * 60),
            contacts: None,
            fault: None,
            channels: None,
        }
    }
}

impl std::fmt::Debug for Options {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Options")
            .field("boot", &self.boot)
            .field("concurrency", &self.concurrency)
            .finish_non_exhaustive()
    }
}

impl Options {
    /// How many messages are sent at the same time at most.
    pub(crate) fn outside_slots(&self) -> usize {
        (self.concurrency / 2).max(1)
    }
}

/// What all parts of a worker share.
pub(crate) struct Shared {
    pub(crate) store: Store,
    pub(crate) queue: Queue,
    pub(crate) clock: Clock,
    pub(crate) options: Options,
    /// Where starts and ends of jobs are written.
    pub(crate) ledger: Ledger,
    /// Room for jobs that run.
    pub(crate) slots: Semaphore,
    /// Room for those of them that send messages: an address that does not answer must not stop everything else.
    pub(crate) outside: Semaphore,
    /// Held by who takes a message on.
    pub(crate) claiming: Mutex<()>,
    /// Held by each job that runs, and by none but itself while one runs that may end the process.
    pub(crate) gate: RwLock<()>,
    /// Held by each job that is in a handler's hands, until its end is written.
    pub(crate) underway: RwLock<()>,
    /// Lets apalis look for jobs at once.
    pub(crate) wake: Arc<Notify>,
    /// Lets the dispatcher look whether there is room again.
    pub(crate) room: Notify,
    /// Turns true once.
    stopping: watch::Sender<bool>,
    /// Turns true after that, when no job is under way any more.
    quiet: watch::Sender<bool>,
    progress: watch::Sender<()>,
}

impl Shared {
    /// Waits until the worker is told to stop.
    pub(crate) async fn stopped(&self) {
        let _ = self.stopping.subscribe().wait_for(|stopping| *stopping).await; // the sender is in `self`
    }

    /// Waits until the worker was told to stop and no job is under way.
    pub(crate) async fn quiet(&self) {
        let _ = self.quiet.subscribe().wait_for(|quiet| *quiet).await; // the sender is in `self`
    }

    /// Whether the worker was told to stop.
    pub(crate) fn is_stopping(&self) -> bool {
        *self.stopping.borrow()
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
    /// Outlives the others, so that the ends of the last jobs are written.
    ledger: JoinSet<()>,
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
        reconcile::enrol(&store, clock()).await?;
        let (stopping, told) = watch::channel(false);
        let (progress, _) = watch::channel(());
        let (entries, keeping) = Ledger::new(queue.clone(), told);
        let shared = Arc::new(Shared {
            ledger: entries,
            slots: Semaphore::new(options.concurrency),
            outside: Semaphore::new(options.outside_slots()),
            claiming: Mutex::new(()),
            gate: RwLock::new(()),
            underway: RwLock::new(()),
            wake: Arc::new(Notify::new()),
            room: Notify::new(),
            store,
            queue,
            clock,
            options,
            stopping,
            quiet: watch::Sender::new(false),
            progress,
        });
        if let Some(contacts) = &shared.options.contacts {
            shared.store.bind_contact_key(&contacts.vault).await?;
        }
        purge(&shared).await;
        let mut ledger = JoinSet::new();
        ledger.spawn(keeping);
        let mut tasks = JoinSet::new();
        tasks.spawn(dispatch::run(shared.clone()));
        tasks.spawn(keep_running(shared.clone()));
        tasks.spawn(keep_tidy(shared.clone()));
        Ok(Self { shared, tasks, ledger })
    }

    /// Takes up no more jobs, waits for those that run, and gives back those that were not begun.
    ///
    /// A job runs no longer than [`Options::job_time_max`].
    pub async fn stop(mut self) {
        self.shared.stopping.send_replace(true);
        while self.tasks.join_next().await.is_some() {}
        self.ledger.shutdown().await;
    }

    /// Waits until no job waits or runs and no timer is due; those that were given up do neither. Answers how many were
    /// given up.
    ///
    /// # Errors
    /// [`Error::Unavailable`] and [`Error::Store`].
    pub async fn drained(&self) -> Result<u64, Error> {
        let mut progress = self.shared.progress.subscribe();
        loop {
            progress.borrow_and_update();
            let drained = self.is_drained().await?;
            if drained && !progress.has_changed().unwrap_or_default() {
                return self.dead().await;
            }
            // The sender is in `self`, so this ends only with a change.
            let _ = progress.changed().await;
        }
    }

    async fn is_drained(&self) -> Result<bool, Error> {
        let Shared { store, queue, clock, .. } = &*self.shared;
        // In this order: a job leaves the one table after it is in the other.
        Ok(store.waiting_jobs(1).await?.is_empty()
            && store.due_timers(clock(), 1, 1).await?.is_empty()
            && store.due_deliveries(clock(), u32::MAX, 1).await?.is_empty()
            && queue.unfinished().await? == 0)
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
        if let Err(error) = shared.queue.set_aside_foreign().await {
            tracing::warn!(error = &error as &dyn std::error::Error, "jobs could not be looked through");
        }
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
                    // apalis does not go on with a fetch once it was told to stop, and on SQLite that fetch may be what
                    // the ends of jobs wait for: so they end first.
                    let ended = tokio::select! {
                        _ = &mut running => true,
                        _ = shared.underway.write() => false,
                    };
                    shared.quiet.send_replace(true);
                    // Not started yet: then it has taken up nothing.
                    if !ended && context.stop().is_ok() && let Err(error) = running.await {
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
                .heartbeat_interval(APALIS_HEARTBEAT)
                .lock_tasks(false)
                .persist_results(false);
            let storage = SqliteStorage::<Vec<u8>>::new(pool).with_config(config);
            let backend = storage.with_codec(AsIs).poll_with_strategy(poll);
            WorkerBuilder::new(context)
                .backend(backend)
                .concurrency(options.concurrency + JOBS_BETWEEN)
                .build(handler)
                .run()
                .await
        }
        Pool::Postgres(pool) => {
            let config = apalis_postgres::Config::default()
                .queue(QUEUE)
                .batch_size(FETCH_JOBS)
                .heartbeat_interval(APALIS_HEARTBEAT)
                .lock_tasks(false)
                .persist_results(false);
            let storage = PostgresStorage::<Vec<u8>>::new(pool).with_config(config);
            let backend = storage.with_codec(AsIs).poll_with_strategy(poll);
            WorkerBuilder::new(context)
                .backend(backend)
                .concurrency(options.concurrency + JOBS_BETWEEN)
                .build(handler)
                .run()
                .await
        }
    }
}

/// Says at intervals that a worker is alive, and takes over from those that are not, for as long as it is not dropped.
async fn keep_alive(shared: Arc<Shared>, worker: String) {
    let heartbeat = shared.options.heartbeat;
    let mut tick = interval(heartbeat / LOOKS_PER_HEARTBEAT);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        let mut done = shared.queue.beat(&worker).await;
        if done.is_ok() {
            done = take_over(&shared, heartbeat * HEARTBEATS_MISSED_MAX).await;
        }
        if let Err(error) = done {
            tracing::warn!(error = &error as &dyn std::error::Error, "no sign of life could be written");
        }
    }
}

/// Forgets at intervals what is over. It may take long, so nobody waits for it who says that the worker is alive.
async fn keep_tidy(shared: Arc<Shared>) {
    let mut tick = interval(PURGE_EVERY);
    tick.tick().await; // it was done at the start
    loop {
        tokio::select! {
            () = shared.stopped() => return,
            _ = tick.tick() => {}
        }
        purge(&shared).await;
    }
}

async fn take_over(shared: &Shared, dead_after: Duration) -> Result<(), Error> {
    let taken = shared.queue.take_over(dead_after, (shared.clock)()).await?;
    if taken > 0 {
        tracing::info!(taken, "jobs of a process that died are done by others");
        shared.wake.notify_one();
        shared.note_progress();
    }
    Ok(())
}

/// Forgets jobs that were done and runs that began long ago, and contact data that nobody needs any more. What cannot be
/// forgotten keeps nothing else from it, and is next time.
async fn purge(shared: &Shared) {
    let now_ms = (shared.clock)();
    let history_kept_ms = i64::try_from(shared.options.history_kept.as_millis()).unwrap_or(i64::MAX);
    let runs_before_ms = now_ms.saturating_sub(history_kept_ms);
    let jobs = shared.queue.purge(shared.options.done_kept, runs_before_ms).await;
    let deliveries = channel::purge(shared).await;
    let contacts = erase_due_contacts(shared, now_ms).await;
    for (what, done) in [("jobs", jobs), ("messages", deliveries), ("contact data", contacts)] {
        if let Err(error) = done {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(what, error, "what is over could not be forgotten");
        }
    }
}

async fn erase_due_contacts(shared: &Shared, now_ms: i64) -> Result<(), Error> {
    let Some(contacts) = &shared.options.contacts else { return Ok(()) };
    let erased = shared.store.erase_due_contacts(contacts, now_ms).await?;
    if erased > 0 {
        tracing::info!(erased, "contact data of requests that were closed long ago was erased");
    }
    Ok(())
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
