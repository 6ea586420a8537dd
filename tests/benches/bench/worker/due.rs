//! W4: from the moment at which a timer is due to the start of its job, while many others wait and all cores are busy.

use crate::asked::{Asked, Kind};
use crate::line::{Bound, Line};
use rounds_domain::{AreaId, RecordId};
use rounds_server::Clock;
use rounds_tests::{TestDatabase, new_id};
use rounds_worker::{Fault, Options, Worker};
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use tokio::sync::mpsc;

const AREAS: usize = 100;
const PENDING: usize = 100_000;
const SECOND_MS: i64 = 1_000;
const DAY_MS: i64 = 24 * 60 * 60 * SECOND_MS;
/// From the start of the worker to the first timer that is due.
const LEAD_MS: i64 = 2 * SECOND_MS;
/// Timers that are due per second.
const DUE_PER_SECOND: usize = 100;

pub(crate) async fn w4(kind: Kind, asked: &Asked) -> Line {
    let seconds = asked.size(10, 60);
    let database = kind.create().await;
    let store = database.open().await;
    let clock = Clock::system();
    let areas: Vec<_> = (0..AREAS).map(|_| AreaId(new_id())).collect();
    let far_ms = clock.now_ms() + 365 * DAY_MS;
    let far: Vec<_> =
        (0..PENDING).map(|n| (RecordId(new_id()), areas[n % AREAS], far_ms + n as i64)).collect();
    set_timers(&database, &far).await;
    let first_ms = clock.now_ms() + LEAD_MS;
    let step_ms = SECOND_MS / DUE_PER_SECOND as i64;
    let count = seconds * DUE_PER_SECOND;
    let due: Vec<_> = (0..count)
        .map(|n| (RecordId(new_id()), areas[(n * 7) % AREAS], first_ms + n as i64 * step_ms))
        .collect();
    set_timers(&database, &due).await;

    let at_ms: HashMap<RecordId, i64> = due.iter().map(|(record, _, at_ms)| (*record, *at_ms)).collect();
    let late: Arc<Mutex<Vec<i64>>> = Arc::default();
    let (say, mut begun) = mpsc::unbounded_channel();
    let fault: Fault = {
        let (late, clock) = (late.clone(), clock.clone());
        Arc::new(move |_, records: &[RecordId]| {
            let now_ms = clock.now_ms();
            late.lock().expect("a list").extend(records.iter().map(|record| now_ms - at_ms[record]));
            let _ = say.send(records.len()); // the end of the run drops the receiver
            Ok(())
        })
    };
    let busy = Busy::on_all_cores();
    let options = Options { fault: Some(fault), ..Options::new(new_id()) };
    let worker = Worker::start(store.clone(), Arc::new(move || clock.now_ms()), options).await;
    let worker = worker.expect("a worker");
    let mut seen = 0;
    while seen < count {
        seen += begun.recv().await.expect("the worker runs");
    }
    drop(busy);
    worker.stop().await;
    store.close().await;
    let mut late = late.lock().expect("a list").clone();
    late.sort_unstable();
    let (p50, p99) = (late[late.len() / 2], late[late.len() * 99 / 100]);
    Line {
        id: "W4",
        database: kind.name(),
        figure: format!("p99 {p99} ms, median {p50} ms, {count} of {} timers", PENDING + count),
        yardstick: "-".to_owned(),
        value: p99 as f64 / SECOND_MS as f64,
        floor: Bound::AtMost(1.0),
        goal: Bound::AtMost(0.25),
    }
}

async fn set_timers(database: &TestDatabase, timers: &[(RecordId, AreaId, i64)]) {
    let quoted = |id: uuid::Uuid| match database.is_postgres() {
        true => format!("'{id}'"),
        false => format!("X'{}'", id.simple()),
    };
    for some in timers.chunks(10_000) {
        let rows: Vec<_> = some
            .iter()
            .map(|(record, area, at_ms)| format!("({}, {}, {at_ms})", quoted(record.0), quoted(area.0)))
            .collect();
        let sql = format!("INSERT INTO timers (record, area, at_ms) VALUES {}", rows.join(", "));
        database.execute(&sql).await.expect("timers");
    }
}

/// Threads that do nothing as fast as they can, one for each core, until it is dropped.
struct Busy(Arc<AtomicBool>);

impl Busy {
    fn on_all_cores() -> Self {
        let on = Arc::new(AtomicBool::new(true));
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            let on = on.clone();
            std::thread::spawn(move || while on.load(Ordering::Relaxed) {});
        }
        Self(on)
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}
