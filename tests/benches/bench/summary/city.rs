//! A city with two years behind it.

use crate::asked::Kind;
use crate::site::{Ground, batch, create_area, now_ms, submit};
use jiff::civil::Date;
use rounds_domain::op::Step;
use rounds_domain::recurrence::day_start_ms;
use rounds_domain::{
    Action, AreaId, Body, ClockReading, DeviceId, Kind as Noun, Op, Outcome, RecordId, Role, body,
};
use rounds_server::Random;
use rounds_server::secret::{code_hash, token_hash};
use rounds_store::{NewCode, Store};
use uuid::Uuid;

/// Ops that are recorded one by one; more are copies of them.
const SEEDS: usize = 100_000;
/// Communities of the city.
const AREAS: usize = 64;
/// Phones of each community.
const PHONES: usize = 4;
/// Of so many ops one says that there is a dwelling.
const OPS_PER_DWELLING: usize = 8;
const ELEVATORS: usize = 4;
/// Copies that are made at a time.
const COPIES_AT_ONCE: usize = 5;
/// Ids of the seeds begin with this, those of copies with their number, and those of what is not copied do not begin
/// with so many zeros.
const SEED_ID: u128 = 0x7000_8000_0000_0000_0000;

/// The areas below the first one, and what was recorded in them.
pub(crate) struct City {
    pub(crate) ground: Ground,
    /// The whole of it.
    pub(crate) root: AreaId,
    /// Ops about what is in it.
    pub(crate) ops: usize,
}

/// What somebody does at some time.
struct Deed {
    at_ms: i64,
    record: RecordId,
    kind: Noun,
    action: Action,
}

impl City {
    /// A city in which so many ops were recorded from the first day until now; beyond [`SEEDS`] a multiple of them.
    pub(crate) async fn found(kind: Kind, ops: usize, first: Date) -> Self {
        let database = kind.create().await;
        let store = database.open().await;
        let begins_ms = day_start_ms(first, &jiff::tz::TimeZone::UTC);
        let admin = DeviceId(Uuid::now_v7());
        store.internal_device(admin, "bench", Role::Admin, begins_ms).await.expect("a device");
        let areas: Vec<AreaId> = (0..=AREAS).map(|_| AreaId(Uuid::now_v7())).collect();
        let root = areas[0];
        let parent = |area: AreaId| (area != root).then_some(root);
        submit(&store, admin, areas.iter().map(|area| create_area(*area, parent(*area))).collect()).await;
        let mut ids = (0_u128..).map(|id| Uuid::from_u128(SEED_ID + id));
        let (each, times) = (ops.min(SEEDS) / AREAS, (ops / SEEDS).max(1));
        for area in &areas[1..] {
            live(&store, *area, begins_ms, each, &mut ids).await;
        }
        let city = Self { ground: Ground { store, areas, database }, root, ops: each * AREAS * times };
        city.copy(times).await;
        city
    }

    /// Has what was recorded there so many times, and counts again.
    async fn copy(&self, times: usize) {
        let database = &self.ground.database;
        let mut n = 1;
        while n < times {
            let last = (n + COPIES_AT_ONCE).min(times) - 1;
            database
                .execute(&copy_sql(database.is_postgres(), n, last))
                .await
                .expect("a statement that runs");
            n = last + 1;
        }
        if times > 1 {
            self.ground.store.recount().await.expect("a count");
        }
        if database.is_postgres() {
            database.execute("VACUUM ANALYZE").await.expect("a statement that runs"); // as it does by itself in time
        }
    }
}

/// A community works, and records so many ops.
async fn live(store: &Store, area: AreaId, begins_ms: i64, ops: usize, ids: &mut impl Iterator<Item = Uuid>) {
    let mut id = || RecordId(ids.next().expect("ids do not end"));
    let mut phones = Vec::new();
    for _ in 0..PHONES {
        phones.push((enrol(store, area, id().0, begins_ms).await, Vec::new()));
    }
    let dwellings: Vec<RecordId> = (0..ops / OPS_PER_DWELLING).map(|_| id()).collect();
    let elevators: Vec<RecordId> = (0..ELEVATORS).map(|_| id()).collect();
    let there = dwellings.iter().map(|it| (*it, place())).chain(elevators.iter().map(|it| (*it, elevator())));
    for (record, body) in there {
        phones[0].1.push(deed(begins_ms, record, body));
    }
    let count = ops - dwellings.len() - ELEVATORS;
    let step_ms = (now_ms() - begins_ms) / (count as i64 + 1);
    let mut done = 0;
    while done < count {
        let at_ms = begins_ms + (done as i64 + 1) * step_ms;
        let (subject, record) = (dwellings[(done * 7) % dwellings.len()], id());
        let mut deeds = match done % 20 {
            0 => request(at_ms, record, subject, done),
            5 => violation(at_ms, record, subject, done),
            4 | 9 | 14 | 19 => vec![deed(at_ms, record, inspection(elevators[done % ELEVATORS], done))],
            _ => vec![deed(at_ms, record, visit(subject, done))],
        };
        deeds.truncate(count - done);
        done += deeds.len();
        phones[done % PHONES].1.extend(deeds);
    }
    for (device, mut deeds) in phones {
        deeds.sort_by_key(|deed| deed.at_ms);
        let ops = deeds.into_iter().map(|deed| deed.op(area)).collect();
        let receipt = store.submit(batch(device, None, ops)).await.expect("a commit");
        assert!(receipt.verdicts.iter().all(|(_, verdict)| verdict.outcome == Outcome::Applied));
    }
}

/// A phone with a worker of its own.
async fn enrol(store: &Store, area: AreaId, id: Uuid, at_ms: i64) -> DeviceId {
    let random = Random::system();
    let hash = code_hash(&random.code().expect("a code"));
    let new = NewCode {
        hash,
        role: Role::Field,
        areas: vec![area],
        worker: Some(RecordId(Uuid::now_v7())),
        organization: None,
        maker: None,
        expires_ms: at_ms + 60_000,
    };
    store.create_code(new).await.expect("a code");
    let token = token_hash(&random.token().expect("a token"));
    let device = store.enrol(hash, DeviceId(id), "bench", token, None, at_ms).await;
    device.expect("a database that answers").expect("a device").id
}

impl Deed {
    fn op(self, area: AreaId) -> Op {
        let clock = ClockReading { wall_ms: self.at_ms, boot: 0, monotonic_ms: 0 };
        let Self { record, kind, action, .. } = self;
        Op { record, area, kind, action, clock, observed: 0, scope_version: 1 }
    }
}

fn deed(at_ms: i64, record: RecordId, body: Body) -> Deed {
    Deed { at_ms, record, kind: body.kind(), action: Action::Create(Box::new(body)) }
}

fn step(at_ms: i64, record: RecordId, kind: Noun, to: &str) -> Deed {
    Deed { at_ms, record, kind, action: Action::Step(Step { to: to.to_owned(), ..Step::default() }) }
}

fn word(words: &[&str], at: usize) -> String {
    words[at % words.len()].to_owned()
}

fn place() -> Body {
    let (name, sort) = ("4-2-301".to_owned(), "dwelling".to_owned());
    Body::Place(body::Place { name, sort, ..body::Place::default() })
}

fn elevator() -> Body {
    let (name, sort) = ("Elevator 2".to_owned(), "elevator".to_owned());
    Body::Asset(body::Asset { name, sort, ..body::Asset::default() })
}

fn visit(dwelling: RecordId, at: usize) -> Body {
    Body::Visit(body::Visit {
        subject: Some(dwelling),
        purpose: word(&["routine", "recheck", "persuasion"], at),
        outcome: word(&["met", "met", "no_answer", "refused", "met"], at),
        ..body::Visit::default()
    })
}

fn inspection(elevator: RecordId, at: usize) -> Body {
    Body::Inspection(body::Inspection {
        subject: Some(elevator),
        sort: "maintenance".to_owned(),
        result: word(&["pass", "fail", "pass"], at),
        ..body::Inspection::default()
    })
}

fn request(at_ms: i64, record: RecordId, dwelling: RecordId, at: usize) -> Vec<Deed> {
    const HOUR_MS: i64 = 3_600_000;
    let said = body::Request {
        subject: Some(dwelling),
        category: word(&["water", "heating", "elevator", "noise"], at / 20),
        channel: word(&["visit", "phone"], at / 20),
        ..body::Request::default()
    };
    let mut deeds = vec![deed(at_ms, record, Body::Request(said))];
    for (hours, to) in [(2, "triaged"), (5 + at as i64, "in_progress"), (30 + at as i64 * 2, "resolved")] {
        deeds.push(step((at_ms + hours * HOUR_MS).min(now_ms()), record, Noun::Request, to));
    }
    deeds
}

fn violation(at_ms: i64, record: RecordId, dwelling: RecordId, at: usize) -> Vec<Deed> {
    let said = body::Violation {
        subject: Some(dwelling),
        sort: word(&["dumping", "occupied_green", "illegal_structure"], at / 20),
        ..body::Violation::default()
    };
    let removed = step((at_ms + 86_400_000).min(now_ms()), record, Noun::Violation, "removed");
    vec![deed(at_ms, record, Body::Violation(said)), removed]
}

/// Copies the seeds under other ids, in their contents too, so that everything in the copies follows from their ops.
fn copy_sql(is_postgres: bool, first: usize, last: usize) -> String {
    let (copies, id, is_seed) = if is_postgres {
        (
            format!("generate_series({first}, {last}) AS c (n)"),
            "(lpad(to_hex(c.n), 8, '0') || substr(ID::text, 9))::uuid",
            "ID < '00000001-0000-0000-0000-000000000000'",
        )
    } else {
        (
            format!(
                "(WITH RECURSIVE c (n) AS (SELECT {first} UNION ALL SELECT n + 1 FROM c WHERE n < {last}) SELECT n FROM c)
                 AS c"
            ),
            "unhex(printf('%08x', c.n) || substr(hex(ID), 9))",
            "ID < x'00000001'",
        )
    };
    let hex = if is_postgres { "lpad(to_hex(c.n), 8, '0')" } else { "printf('%08x', c.n)" };
    let copied = |column: &str| id.replace("ID", column);
    let body = |table: &str| format!("replace({table}.body, '\"00000000-', '\"' || {hex} || '-')");
    format!(
        "INSERT INTO ops (device, seq, record, area, state, stamp, at_ms, received_ms, doubtful, worker, group_first,
             hash, outcome, reason, detail, body, raw)
         SELECT {}, o.seq, {}, o.area, o.state, o.stamp, o.at_ms, o.received_ms, o.doubtful, o.worker, o.group_first,
             o.hash, o.outcome, o.reason, o.detail, {}, o.raw
         FROM {copies} CROSS JOIN (SELECT * FROM ops WHERE {}) AS o;
         INSERT INTO records (id, area, number, kind, status, subject, code, external_ref, disputed, deleted, due_ms,
             assignee, day, body)
         SELECT {}, r.area, r.number + c.n * {SEEDS}, r.kind, r.status, {}, r.code, r.external_ref, r.disputed,
             r.deleted, r.due_ms, r.assignee, r.day, {}
         FROM {copies} CROSS JOIN (SELECT * FROM records WHERE {}) AS r;
         UPDATE areas SET head = (SELECT max(number) FROM records WHERE records.area = areas.id);",
        copied("o.device"),
        copied("o.record"),
        body("o"),
        is_seed.replace("ID", "device"),
        copied("r.id"),
        copied("r.subject"),
        body("r"),
        is_seed.replace("ID", "id"),
    )
}
