//! Kills the processes of servers and workers while they work, and finds out whether each effect came about once.

use crate::{Act, Crew, Outcome, Program, TestClock, TestDatabase, assert_sound, new_id};
use rounds_domain::op::Step;
use rounds_domain::{AreaId, Body, ClockReading, DeviceId, Kind, RecordId, Role, body};
use rounds_store::{Arrival, Batch, Content, RecordFilter, Store, content_hash};
use rounds_worker::{DEVICE, JobFilter, JobState, Jobs};
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::{MissedTickBehavior, interval};

/// Phones that push to the server.
const PHONES: usize = 6;
/// Ops that have to be acknowledged between two kills.
const OPS_BETWEEN_KILLS: u64 = 120;
/// Acts that are brought at once.
const ACTS: usize = 200;
/// Follow-ups that each job makes: the rechecks of a removed violation.
const EFFECTS: u64 = 3;
/// How often to look how far the workers are.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Lets phones push to a server, and kills it with -9 as often as said, with calls and commits under way. Answers what
/// became of the phones' work.
///
/// # Panics
/// When the server does not start, or what is kept in the end does not follow from the ops.
pub async fn kill_server(program: &Path, database: &TestDatabase, kills: usize) -> Outcome {
    let mut server = Program::start(program, database.url(), "127.0.0.1:0").await;
    let address = server.address.to_string();
    let store = database.open().await;
    let mut crew = Crew::begin(&store, server.address, PHONES).await;
    store.close().await;
    for _ in 0..kills {
        crew.acknowledged_more(OPS_BETWEEN_KILLS).await;
        server.kill().await;
        server = Program::start(program, database.url(), &address).await;
    }
    let outcome = crew.finish(database).await;
    server.kill().await;
    let store = database.open().await;
    assert_sound(&store).await;
    store.close().await;
    outcome
}

/// What came of workers that were killed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Killed {
    /// Processes that were killed with -9.
    pub kills: usize,
    /// Starts of jobs that a kill interrupted.
    pub interrupted: usize,
    /// Effects that were asked for.
    pub asked: u64,
    /// Effects that came about once.
    pub once: u64,
    /// Effects that came about more than once.
    pub twice: u64,
    /// Jobs that were given up.
    pub dead: usize,
    /// Whether the last process ended well when it was asked to.
    pub ended_well: bool,
}

/// Lets workers do so many jobs, each of an area of its own, and kills one at a time, as often as said, evenly over the
/// work. Whoever was killed is taken for dead at once, so that this takes no longer than the work.
///
/// # Panics
/// When a process does not start, or the database is not there.
pub async fn kill_workers(program: &Path, database: &TestDatabase, jobs: usize, kills: usize) -> Killed {
    let store = database.open().await;
    let areas = removed_violations(&store, &TestClock::default(), jobs, 1).await;
    let asked = jobs as u64 * EFFECTS;
    let mut look = interval(LOOK_EVERY);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut worker = start(program, database.url()).await;
    for kill in 1..=kills as u64 {
        while effects(&store).await < asked * kill / (kills as u64 + 1) {
            look.tick().await;
        }
        worker.kill().await.expect("a process that can be killed");
        take_for_dead(database).await;
        worker = start(program, database.url()).await;
    }
    let view = Jobs::open(&store).await.expect("the tables of jobs");
    let left = JobFilter { state: None, kind: None, limit: 1_000 };
    while !store.waiting_jobs(1).await.expect("a database").is_empty()
        || view.list(left).await.expect("a database").iter().any(|job| job.state != JobState::Dead)
    {
        look.tick().await;
    }
    let ended_well = terminate(worker).await;
    let dead = view.list(left).await.expect("a database").len();
    let history = view.history(None, None, u32::MAX).await.expect("a database");
    let interrupted = history.iter().filter(|run| run.outcome == "interrupted").count();
    let (once, twice) = count(&store, &areas).await;
    store.close().await;
    Killed { kills, interrupted, asked, once, twice, dead, ended_well }
}

/// Areas, and in each so many violations that were found and removed.
///
/// # Panics
/// When the database is not there.
pub async fn removed_violations(store: &Store, clock: &TestClock, areas: usize, each: usize) -> Vec<AreaId> {
    let phone = DeviceId(new_id());
    store.internal_device(phone, "a phone", Role::Admin, clock.now_ms()).await.expect("a database");
    let areas: Vec<_> = (0..areas).map(|_| AreaId(new_id())).collect();
    let area = |id: &AreaId| {
        let (name, time_zone) = (id.to_string(), "Asia/Shanghai".to_owned());
        Act::create_with_id(
            (*id).into(),
            *id,
            Body::Area(body::Area { name, time_zone, ..body::Area::default() }),
        )
    };
    bring(store, phone, clock, areas.iter().map(area)).await;
    clock.advance(Duration::from_secs(60));
    let removed = |area: &AreaId| {
        let dumping = body::Violation { sort: "dumping".to_owned(), ..body::Violation::default() };
        let found = Act::create(*area, Body::Violation(dumping));
        let removed = Step { to: "removed".to_owned(), ..Step::default() };
        let step = Act::step(found.record(), *area, Kind::Violation, removed);
        [found, step]
    };
    let in_each = areas.iter().flat_map(|area| std::iter::repeat_n(area, each));
    bring(store, phone, clock, in_each.flat_map(removed)).await;
    areas
}

async fn bring(store: &Store, device: DeviceId, clock: &TestClock, acts: impl Iterator<Item = Act>) {
    let acts: Vec<_> = acts.collect();
    for some in acts.chunks(ACTS) {
        let arrival = |act: &Act| {
            let op = act.clone().op(clock);
            let hash = content_hash(0, &serde_json::to_vec(&op).expect("an op is JSON"));
            Arrival { seq: None, followed_by: 0, hash, content: Content::Admitted(op) }
        };
        let now_ms = clock.now_ms();
        let batch = Batch {
            device,
            arrivals: some.iter().map(arrival).collect(),
            clock: ClockReading { wall_ms: now_ms, boot: 0, monotonic_ms: 0 },
            received_ms: now_ms,
            holds_from: 0,
            settled: None,
        };
        let receipt = store.submit(batch).await.expect("a database");
        assert!(
            receipt.verdicts.iter().all(|(_, verdict)| verdict.outcome == rounds_domain::Outcome::Applied),
            "{receipt:?}"
        );
    }
}

/// The program itself, at work.
async fn start(program: &Path, database: &str) -> Child {
    let mut worker = Command::new(program)
        .args(["worker", "--database", database])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .expect("the program");
    let mut lines = BufReader::new(worker.stdout.take().expect("its output")).lines();
    let line = lines.next_line().await.expect("its output").expect("the worker starts");
    assert_eq!(line, "Rounds works");
    worker
}

/// Asks it to end. Whether it did, and well.
async fn terminate(mut worker: Child) -> bool {
    let id = worker.id().expect("a process that runs").to_string();
    let asked = Command::new("kill").args(["-TERM", &id]).status().await.expect("kill");
    asked.success() && worker.wait().await.expect("its end").success()
}

/// Otherwise the others would wait for three heartbeats.
async fn take_for_dead(database: &TestDatabase) {
    let workers = if database.is_postgres() {
        "apalis.workers SET last_seen = to_timestamp(0)"
    } else {
        "Workers SET last_seen = 0"
    };
    database.execute(&format!("UPDATE {workers}")).await.expect("a database");
}

async fn effects(store: &Store) -> u64 {
    store.device(DEVICE).await.expect("a database").map_or(0, |device| device.acknowledged_through)
}

/// How many violations' follow-ups were made once, and how many more than once.
async fn count(store: &Store, areas: &[AreaId]) -> (u64, u64) {
    let (mut once, mut twice) = (0, 0);
    for some in areas.chunks(ACTS) {
        let filter = RecordFilter::of(Kind::FollowUp, some.to_vec(), 10_000);
        let mut of_subject: BTreeMap<Option<RecordId>, u64> = BTreeMap::new();
        for numbered in store.records(&filter).await.expect("a database") {
            let ops = store.ops_of(numbered.record.id).await.expect("a database");
            *of_subject.entry(numbered.record.subject()).or_default() += 1;
            if ops.len() == 1 { once += 1 } else { twice += 1 }
        }
        twice += of_subject.values().map(|count| count.saturating_sub(EFFECTS)).sum::<u64>();
    }
    (once, twice)
}
