//! The real program, killed with -9 while phones push: what was acknowledged is there, once.

#![allow(clippy::unwrap_used)] // a test that cannot go on has failed

use rounds_device::{Client, Device, Draft, Phone, enrol};
use rounds_domain::body::{self, Area, Visit};
use rounds_domain::{Action, AreaId, Body, ClockReading, DeviceId, Kind, Op, RecordId, Role};
use rounds_server::secret::code_hash;
use rounds_store::{Arrival, Batch, Content, NewCode, Store};
use rounds_tests::{TestDatabase, assert_sound, new_id};
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::watch;

const PHONES: usize = 6;
const KILLS: u64 = 20;
/// Ops that have to be acknowledged between two kills.
const OPS_BETWEEN_KILLS: u64 = 120;
const VISITS_PER_SYNC: usize = 10;
const NOW_MS: i64 = 1_790_000_000_000;

#[tokio::test(flavor = "multi_thread")]
async fn acknowledged_survives_kill_9_on_sqlite() {
    acknowledged_survives_kill_9(TestDatabase::sqlite().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn acknowledged_survives_kill_9_on_postgres() {
    acknowledged_survives_kill_9(TestDatabase::postgres().await).await;
}

async fn acknowledged_survives_kill_9(database: TestDatabase) {
    let area = AreaId(new_id());
    let codes: Vec<String> = (0..PHONES).map(|number| format!("CODE-{number}")).collect();
    prepare(&database.open().await, area, &codes).await;
    let files = tempfile::tempdir().unwrap();
    let (mut server, address) = start(database.url(), "127.0.0.1:0").await;

    let (acknowledged, mut count) = watch::channel(0_u64);
    let stop = watch::channel(false).0;
    let mut phones = Vec::new();
    for (number, code) in codes.into_iter().enumerate() {
        let file = files.path().join(format!("{number}.phone"));
        let device = enrolled(&file, &address, &code).await;
        phones.push(tokio::spawn(work(device, area, acknowledged.clone(), stop.subscribe())));
    }
    for kill in 1..=KILLS {
        count.wait_for(|count| *count >= kill * OPS_BETWEEN_KILLS).await.unwrap();
        server.kill().await.unwrap(); // SIGKILL, with calls and commits under way
        (server, _) = start(database.url(), &address).await;
    }
    stop.send_replace(true);
    let mut recorded: Vec<(DeviceId, Vec<RecordId>)> = Vec::new();
    for phone in phones {
        recorded.push(phone.await.unwrap());
    }
    server.kill().await.unwrap();

    let store = database.open().await;
    for (device, visits) in &recorded {
        let known = store.device(*device).await.unwrap().unwrap();
        assert_eq!(known.acknowledged_through, visits.len() as u64, "each op once, and none lost");
        for visit in visits {
            let ops = store.ops_of(*visit).await.unwrap();
            assert_eq!(ops.len(), 1, "visit {visit}");
            assert!(store.record(*visit).await.unwrap().is_some(), "visit {visit}");
        }
    }
    assert_sound(&store).await;
    store.close().await;
}

/// An area, and a code for each phone.
async fn prepare(store: &Store, area: AreaId, codes: &[String]) {
    let admin = DeviceId(new_id());
    store.internal_device(admin, "test", Role::Admin, NOW_MS).await.unwrap();
    let body = Area { name: "Willow Court".into(), time_zone: "Asia/Shanghai".into(), ..Area::default() };
    let clock = ClockReading { wall_ms: NOW_MS, boot: 1, monotonic_ms: 0 };
    let op = Op {
        record: area.into(),
        area,
        kind: Kind::Area,
        action: Action::Create(Box::new(Body::Area(body))),
        clock,
        observed: 0,
        scope_version: 0,
    };
    let arrival = Arrival { seq: None, followed_by: 0, hash: [0; 32], content: Content::Admitted(op) };
    let batch = Batch {
        device: admin,
        arrivals: vec![arrival],
        clock,
        received_ms: NOW_MS,
        holds_from: 0,
        timers: None,
    };
    store.submit(batch).await.unwrap();
    for code in codes {
        let hash = code_hash(code);
        let areas = vec![area];
        let (worker, organization, expires_ms) = (None, None, i64::MAX);
        store
            .create_code(NewCode { hash, role: Role::Field, areas, worker, organization, expires_ms })
            .await
            .unwrap();
    }
    store.close().await;
}

/// The program itself, and where it listens.
async fn start(database: &str, listen: &str) -> (Child, String) {
    let mut server = Command::new(env!("CARGO_BIN_EXE_rounds"))
        .args(["serve", "--database", database, "--listen", listen])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(server.stdout.take().unwrap()).lines();
    let line = lines.next_line().await.unwrap().expect("the server starts");
    let address = line.rsplit(' ').next().unwrap().to_owned();
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    (server, address)
}

async fn enrolled(file: &Path, address: &str, code: &str) -> Device {
    let mut device = Device::open(file).unwrap();
    enrol(&mut device, &format!("http://{address}"), None, code, "phone").await.unwrap();
    device
}

/// Records and syncs until it is told to stop, then until the server has everything.
async fn work(
    device: Device,
    area: AreaId,
    acknowledged: watch::Sender<u64>,
    stop: watch::Receiver<bool>,
) -> (DeviceId, Vec<RecordId>) {
    let phone = Clocks(Arc::new(AtomicI64::new(0)));
    let id = device.identity().unwrap().device;
    let mut client = Client::new(device).unwrap();
    let mut visits = Vec::new();
    loop {
        let is_last = *stop.borrow();
        if !is_last {
            for _ in 0..VISITS_PER_SYNC {
                let visit = RecordId(new_id());
                let body = Visit {
                    subject: Some(RecordId(new_id())),
                    purpose: "routine".into(),
                    outcome: "met".into(),
                    ..body::Visit::default()
                };
                let draft = Draft::create(visit, area, Body::Visit(body));
                client.device_mut().record(phone.clock(), vec![draft]).unwrap();
                visits.push(visit);
            }
        }
        let before = client.device().status().unwrap().unsent_ops;
        let synced = client.sync_until_quiet(&phone).await;
        let now = client.device().status().unwrap().unsent_ops;
        acknowledged.send_modify(|count| *count += before - now);
        if is_last && synced.is_ok() && now == 0 {
            assert!(client.device().pending().unwrap().is_empty());
            return (id, visits);
        }
        tokio::task::yield_now().await; // while the server is down every try fails at once
    }
}

/// A clock that goes on by a second at each look.
struct Clocks(Arc<AtomicI64>);

impl Phone for Clocks {
    fn clock(&self) -> ClockReading {
        let at_ms = self.0.fetch_add(1_000, Ordering::Relaxed);
        ClockReading { wall_ms: NOW_MS + at_ms, boot: 1, monotonic_ms: at_ms }
    }

    fn random(&self) -> u64 {
        0
    }
}
