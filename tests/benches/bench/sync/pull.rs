//! Records out: S4, S5, S6 and S9.

use crate::asked::{Asked, Kind};
use crate::line::{Bound, Line, median, rate, timed};
use crate::phone::{Chance, Phone, request, reword, visit};
use crate::site::{Ground, Site, clocks, connect};
use crate::sync::wire::{Echo, Meter};
use futures_util::TryStreamExt as _;
use futures_util::future::join_all;
use rounds_device::{Client, Device, Identity, Next, Phone as Handset};
use rounds_domain::{ClockReading, Op, Record, Role};
use rounds_store::Pool;
use sqlx::{query_as, query_scalar};
use std::net::SocketAddr;
use std::path::Path;

/// What only a phone can tell.
struct Hand;

impl Handset for Hand {
    fn clock(&self) -> ClockReading {
        clocks()
    }

    fn random(&self) -> u64 {
        4
    }
}

/// A site with one area that holds so many visits.
async fn visited(kind: Kind, visits: usize) -> Site {
    let ground = Ground::lay(kind, 1).await;
    let mut chance = Chance(4);
    let ops = (0..visits).map(|_| visit(ground.areas[0], &mut chance)).collect();
    ground.record(ops).await;
    ground.open().await
}

/// A device of the real library with an empty file, enrolled for the site's area, that calls this address.
async fn enrol(site: &Site, address: SocketAddr, file: &Path) -> Client {
    let (device, token) = site.ground.enrol(site.ground.areas[0]).await;
    let mut file = Device::open(file).expect("a file");
    let identity = Identity {
        device,
        token,
        role: Role::Field,
        worker: None,
        server_url: format!("http://{address}"),
        ca_pem: None,
    };
    file.enrolled(identity).expect("a file that takes it");
    Client::new(file).expect("a client")
}

/// Syncs, and answers how many records came.
async fn sync(client: &mut Client) -> usize {
    let summary = client.sync_until_quiet(&Hand).await.expect("a sync");
    assert_eq!(summary.next, Next::Rest, "{summary:?}");
    summary.pulled
}

/// A first sync into the device's store, beside the same rows selected, decoded and inserted in process.
pub(crate) async fn s4(kind: Kind, asked: &Asked) -> Line {
    let records = asked.size(2_000, 20_000);
    let site = visited(kind, records).await;
    let folder = tempfile::tempdir().expect("a folder");
    let (mut figures, mut yardsticks) = (Vec::new(), Vec::new());
    for turn in 0..=asked.turns() {
        let mut client = enrol(&site, site.address, &folder.path().join(format!("device{turn}.db"))).await;
        let (pulled, took) = timed(sync(&mut client)).await;
        assert_eq!(pulled, records + 1, "and the area itself");
        let held = client.device().status().expect("a file that can be read").records;
        assert_eq!(held as usize, records + 1);

        let file = folder.path().join(format!("plain{turn}.db"));
        let (copied, plain_took) = timed(copy(&site.ground, &file)).await;
        assert_eq!(copied, records + 1);
        if turn > 0 {
            figures.push(rate(records, took));
            yardsticks.push(rate(records, plain_took));
        }
    }
    site.close().await;
    let (figure, yardstick) = (median(figures), median(yardsticks));
    Line {
        id: "S4",
        database: kind.name(),
        figure: format!("{figure:.0} records/s of {records}"),
        yardstick: format!("{yardstick:.0} records/s"),
        value: figure / yardstick,
        floor: Bound::AtLeast(0.3),
        goal: Bound::AtLeast(0.6),
    }
}

/// Selects the area's records, decodes them, and inserts them into a plain table, all in this process.
async fn copy(ground: &Ground, file: &Path) -> usize {
    let mut plain = rusqlite::Connection::open(file).expect("a file");
    plain.execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;").expect("settings");
    plain
        .execute_batch("CREATE TABLE plain (id BLOB PRIMARY KEY, number INTEGER, body TEXT)")
        .expect("a table");
    let tx = plain.transaction().expect("a transaction");
    let mut count = 0;
    let mut insert = tx.prepare("INSERT INTO plain (id, number, body) VALUES (?1, ?2, ?3)").expect("SQL");
    let mut keep = |(number, body): (i64, String)| {
        let record: Record = serde_json::from_str(&body).expect("a record");
        insert.execute((record.id.0.as_bytes(), number, &body)).expect("an insert");
        count += 1;
    };
    let sql = "SELECT number, body FROM records WHERE area = $1 ORDER BY number";
    let area = ground.areas[0].0;
    match ground.store.pool() {
        Pool::Sqlite(pool) => {
            let mut rows = query_as(sql).bind(area).fetch(&pool);
            while let Some(row) = rows.try_next().await.expect("a row") {
                keep(row);
            }
        }
        Pool::Postgres(pool) => {
            let mut rows = query_as(sql).bind(area).fetch(&pool);
            while let Some(row) = rows.try_next().await.expect("a row") {
                keep(row);
            }
        }
    }
    drop(insert);
    tx.commit().expect("a commit");
    count
}

/// Syncs with nothing to say and nothing to hear, beside calls to a server that does nothing but answer the same.
pub(crate) async fn s5(kind: Kind, asked: &Asked) -> Line {
    const PHONES: usize = 64;
    let calls = asked.size(40, 300);
    let site = Ground::lay(kind, PHONES).await.open().await;
    let mut phones = site.phones(PHONES).await;
    for phone in &mut phones {
        assert_eq!(phone.sync(Vec::new()).await, 1, "the area itself");
    }
    let echo = Echo::start(phones[0].ask(Vec::new()).await).await;
    let mut echoed = phones.clone();
    for phone in &mut echoed {
        phone.call(connect(echo.address).await);
    }
    let (mut figures, mut yardsticks) = (Vec::new(), Vec::new());
    for turn in 0..=asked.turns() {
        let figure = idle(&phones, calls).await;
        let yardstick = idle(&echoed, calls).await;
        if turn > 0 {
            figures.push(figure);
            yardsticks.push(yardstick);
        }
    }
    echo.stop().await;
    site.close().await;
    let (figure, yardstick) = (median(figures), median(yardsticks));
    Line {
        id: "S5",
        database: kind.name(),
        figure: format!("{figure:.0} syncs/s"),
        yardstick: format!("{yardstick:.0} calls/s"),
        value: figure / yardstick,
        floor: Bound::AtLeast(0.4),
        goal: Bound::AtLeast(0.7),
    }
}

/// Every phone syncs so often, one call after the other, all phones at once. Answers syncs/s.
async fn idle(phones: &[Phone], calls: usize) -> f64 {
    let syncs = phones.iter().cloned().map(|mut phone| {
        tokio::spawn(async move {
            for _ in 0..calls {
                assert_eq!(phone.sync(Vec::new()).await, 0, "nothing is new");
            }
        })
    });
    let (ended, took) = timed(join_all(syncs.collect::<Vec<_>>())).await;
    ended.into_iter().for_each(|it| it.expect("a phone that ends"));
    rate(phones.len() * calls, took)
}

/// A device that was away while each record was updated so often, beside a device that comes for the first time.
pub(crate) async fn s6(kind: Kind, asked: &Asked) -> Line {
    let (records, updates) = asked.size((500, 100), (1_000, 1_000));
    let site = Ground::lay(kind, 1).await.open().await;
    let area = site.ground.areas[0];
    let folder = tempfile::tempdir().expect("a folder");
    let mut chance = Chance(6);
    let requests: Vec<Op> = (0..records).map(|_| request(area, &mut chance)).collect();
    site.ground.record(requests.clone()).await;

    let path = |name: &str, turn: usize| folder.path().join(format!("{name}{turn}.db"));
    let mut away = Vec::new();
    for turn in 0..=asked.turns() {
        let mut client = enrol(&site, site.address, &path("away", turn)).await;
        assert_eq!(sync(&mut client).await, records + 1, "and the area itself");
        away.push(client);
    }
    for round in 0..updates {
        site.ground.record(requests.iter().map(|request| reword(request, round)).collect()).await;
    }
    let (mut figures, mut yardsticks) = (Vec::new(), Vec::new());
    for (turn, mut client) in away.into_iter().enumerate() {
        let (pulled, took) = timed(sync(&mut client)).await;
        assert_eq!(pulled, records);
        let mut new = enrol(&site, site.address, &path("new", turn)).await;
        let (new_pulled, new_took) = timed(sync(&mut new)).await;
        assert_eq!(new_pulled, records + 1);
        if turn > 0 {
            figures.push(took.as_secs_f64());
            yardsticks.push(new_took.as_secs_f64());
        }
    }
    site.close().await;
    let (figure, yardstick) = (median(figures), median(yardsticks));
    Line {
        id: "S6",
        database: kind.name(),
        figure: format!("{:.1} ms, {records} records x {updates}", figure * 1e3),
        yardstick: format!("{:.1} ms", yardstick * 1e3),
        value: figure / yardstick,
        floor: Bound::AtMost(1.2),
        goal: Bound::AtMost(1.05),
    }
}

/// What goes over the wire in a first sync, both ways and with all headers, beside the same records as JSON. Both with
/// zstd at its default level; the JSON in one piece.
pub(crate) async fn s9(kind: Kind, asked: &Asked) -> Line {
    let records = asked.size(2_000, 20_000);
    let site = visited(kind, records).await;
    let folder = tempfile::tempdir().expect("a folder");
    let meter = Meter::start(site.address).await;
    let mut client = enrol(&site, meter.address, &folder.path().join("device.db")).await;
    assert_eq!(sync(&mut client).await, records + 1);
    drop(client);
    let figure = meter.bytes().await as f64 / records as f64;

    let json = json(&site.ground).await;
    let packed = zstd::encode_all(json.as_slice(), zstd::DEFAULT_COMPRESSION_LEVEL).expect("zstd");
    let yardstick = packed.len() as f64 / records as f64;
    site.close().await;
    Line {
        id: "S9",
        database: kind.name(),
        figure: format!("{figure:.0} B/record"),
        yardstick: format!("{yardstick:.0} B/record, {} unpacked", json.len() / records),
        value: figure / yardstick,
        floor: Bound::AtMost(0.7),
        goal: Bound::AtMost(0.4),
    }
}

/// The area's records as one JSON array, as the store keeps them.
async fn json(ground: &Ground) -> Vec<u8> {
    let sql = "SELECT body FROM records WHERE area = $1 ORDER BY number";
    let area = ground.areas[0].0;
    let bodies: Vec<String> = match ground.store.pool() {
        Pool::Sqlite(pool) => query_scalar(sql).bind(area).fetch_all(&pool).await.expect("rows"),
        Pool::Postgres(pool) => query_scalar(sql).bind(area).fetch_all(&pool).await.expect("rows"),
    };
    format!("[{}]", bodies.join(",")).into_bytes()
}
