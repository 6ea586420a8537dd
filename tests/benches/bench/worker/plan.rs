//! W2: follow-ups of a year of plans, made and ended as time passes, beside plain inserts of as many rows,
//! and beside as many ops that are submitted ready-made. W3: a few plans are changed among many follow-ups, most of them
//! of other plans, and among few.

use crate::asked::{Asked, Kind};
use crate::line::{Bound, Line, median, rate, timed};
use rounds_domain::body::{self, Plan};
use rounds_domain::template::Template;
use rounds_domain::{
    Action, AreaId, Body, Change, ClockReading, DeviceId, Kind as RecordKind, Op, RecordId, Role,
};
use rounds_store::{Arrival, Batch, Content, Pool, Settled, Store, content_hash};
use rounds_tests::{TestClock, TestDatabase, new_id};
use rounds_worker::{DEVICE, Options, Worker};
use sqlx::QueryBuilder;
use std::sync::Arc;
use std::time::Duration;

/// As many as the registers that YEAR can live with: 35,042 elevators of New York, 9,831 trees of San Francisco.
const THINGS: usize = 44_873;
const AREAS: usize = 6;
const YEAR_DAYS: u32 = 365;
/// The worker looks so often, in days: less than its horizon.
const STRIDE_DAYS: u32 = 13;
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// Plans that W3 changes: in a year they have a thousand follow-ups. All at once, as the worker looks at most once in 50
/// ms whether there is something to do: of a single change that would be the larger part.
const CHANGED_PLANS: usize = 38;
/// How often they are changed.
const CHANGES: usize = 15;
/// Ops in a batch, and rows in a commit of the yardstick.
const BATCH: usize = 500;

/// A record, its area and kind, and what is done to it.
type Act = (RecordId, AreaId, RecordKind, Action);

struct City {
    store: Store,
    clock: TestClock,
    phone: DeviceId,
    plans: Vec<(RecordId, AreaId)>,
}

/// Both lines of W2: as rows, and as the ops that they are.
pub(crate) async fn w2(kind: Kind, asked: &Asked) -> [Line; 2] {
    let count = asked.size(400, THINGS);
    let (mut made_rates, mut plain_rates) = (Vec::new(), Vec::new());
    let (mut acted_rates, mut submitted_rates) = (Vec::new(), Vec::new());
    for _ in 0..asked.size(3, 1) {
        let database = kind.create().await;
        let city = City::with(&database, count).await;
        let ((), took) = timed(city.live(YEAR_DAYS)).await;
        let made = city.follow_ups(&database).await;
        let worker = city.store.device(DEVICE).await.expect("a database").expect("the worker's device");
        let acted = worker.acknowledged_through as usize;
        made_rates.push(rate(made, took));
        acted_rates.push(rate(acted, took));
        city.store.close().await;
        plain_rates.push(plain(&kind.create().await, made).await);
        submitted_rates.push(submitted(&kind.create().await, acted).await);
    }
    let line = |id, what: String, yardstick: &str, figure: f64, beside: f64, floor| Line {
        id,
        database: kind.name(),
        figure: format!("{figure:.0} {what}"),
        yardstick: format!("{beside:.0} {yardstick}"),
        value: figure / beside,
        floor: Bound::AtLeast(floor),
        goal: Bound::AtLeast(0.5),
    };
    let (made, rows) = (median(made_rates), median(plain_rates));
    let (acted, ops) = (median(acted_rates), median(submitted_rates));
    [
        line("W2", format!("follow-ups/s of {count} plans"), "rows/s", made, rows, 0.2),
        line("W2 ops", "ops/s to make, tell of and end them".to_owned(), "ops/s ready-made", acted, ops, 0.2),
    ]
}

pub(crate) async fn w3(kind: Kind, asked: &Asked) -> Line {
    let (few_database, many_database) = (kind.create().await, kind.create().await);
    let few = City::with(&few_database, CHANGED_PLANS).await;
    let many = City::with(&many_database, CHANGED_PLANS).await;
    for city in [&few, &many] {
        city.live(YEAR_DAYS).await;
    }
    many.fill(asked.size(10_000, 1_000_000)).await;
    for database in [&few_database, &many_database] {
        settle(database).await;
    }
    let (among_few, among_many) =
        (few.follow_ups(&few_database).await, many.follow_ups(&many_database).await);
    let (mut figures, mut yardsticks) = (Vec::new(), Vec::new());
    let (few_worker, many_worker) = (few.worker().await, many.worker().await);
    for _ in 0..CHANGES {
        figures.push(many.change_each_plan(&many_worker).await);
        yardsticks.push(few.change_each_plan(&few_worker).await);
    }
    few_worker.stop().await;
    many_worker.stop().await;
    few.store.close().await;
    many.store.close().await;
    let (figure, yardstick) = (median(figures), median(yardsticks));
    Line {
        id: "W3",
        database: kind.name(),
        figure: format!("{:.1} ms among {among_many}", figure * 1e3),
        yardstick: format!("{:.1} ms among {among_few}", yardstick * 1e3),
        value: figure / yardstick,
        floor: Bound::AtMost(1.5),
        goal: Bound::AtMost(1.1),
    }
}

impl City {
    /// A city with so many plans, over a few areas.
    async fn with(database: &TestDatabase, plans: usize) -> Self {
        let (store, clock) = (database.open().await, TestClock::default());
        let phone = DeviceId(new_id());
        store.internal_device(phone, "a laptop", Role::Admin, clock.now_ms()).await.expect("a device");
        let mut city = Self { store, clock, phone, plans: Vec::new() };
        let areas: Vec<AreaId> = (0..AREAS).map(|_| AreaId(new_id())).collect();
        for area in &areas {
            let said = body::Area {
                name: "Borough".to_owned(),
                time_zone: "America/New_York".to_owned(),
                ..body::Area::default()
            };
            let create = Action::Create(Box::new(Body::Area(said)));
            city.act(vec![((*area).into(), *area, RecordKind::Area, create)]).await;
        }
        let template = Template::named("elevator-maintenance").expect("a template");
        city.plans = (0..plans).map(|at| (RecordId(new_id()), areas[at % AREAS])).collect();
        let said = || Plan { subject: Some(RecordId(new_id())), ..template.plan() };
        for some in city.plans.chunks(BATCH) {
            let create = |(id, area): &(RecordId, AreaId)| {
                (*id, *area, RecordKind::Plan, Action::Create(Box::new(Body::Plan(said()))))
            };
            city.act(some.iter().map(create).collect()).await;
        }
        city
    }

    async fn act(&self, acts: Vec<Act>) {
        self.submit(acts, None).await;
    }

    async fn submit(&self, acts: Vec<Act>, settled: Option<Settled>) {
        let now_ms = self.clock.now_ms();
        let clock = ClockReading { wall_ms: now_ms, boot: 0, monotonic_ms: 0 };
        let arrivals = acts.into_iter().map(|(record, area, kind, action)| {
            let op = Op { record, area, kind, action, clock, observed: 0, scope_version: 0 };
            let hash = content_hash(0, op.record.0.as_bytes());
            Arrival { seq: None, followed_by: 0, hash, content: Content::Admitted(op) }
        });
        let arrivals = arrivals.collect();
        let batch =
            Batch { device: self.phone, arrivals, clock, received_ms: now_ms, holds_from: 0, settled };
        self.store.submit(batch).await.expect("a database");
    }

    /// So many follow-ups of plans that are not here, over a year, at which nobody has to look.
    async fn fill(&self, count: usize) {
        for at in (0..count).step_by(BATCH) {
            let follow_up = |at: usize| {
                let (_, area) = self.plans[at % self.plans.len()];
                self.follow_up(
                    RecordId(new_id()),
                    area,
                    DAY.as_millis() as i64 * (at % YEAR_DAYS as usize) as i64,
                )
            };
            let acts = (at..count.min(at + BATCH)).map(follow_up).collect();
            self.submit(acts, Some(Settled::default())).await;
        }
    }

    /// Makes a follow-up that is due so long before now.
    fn follow_up(&self, source: RecordId, area: AreaId, ago_ms: i64) -> Act {
        let said = body::FollowUp {
            source: Some(source),
            sort: "maintenance".to_owned(),
            due_at_ms: Some(self.clock.now_ms() - ago_ms),
            ..Default::default()
        };
        (RecordId(new_id()), area, RecordKind::FollowUp, Action::Create(Box::new(Body::FollowUp(said))))
    }

    async fn worker(&self) -> Worker {
        let clock = self.clock.clone();
        let options = Options { look_every: Duration::from_millis(10), ..Options::new(new_id()) };
        let worker = Worker::start(self.store.clone(), Arc::new(move || clock.now_ms()), options);
        worker.await.expect("a worker")
    }

    async fn live(&self, days: u32) {
        let worker = self.worker().await;
        for _ in 0..days / STRIDE_DAYS {
            assert_eq!(worker.drained().await.expect("a database"), 0, "jobs were given up");
            self.clock.advance(DAY * STRIDE_DAYS);
        }
        assert_eq!(worker.drained().await.expect("a database"), 0, "jobs were given up");
        worker.stop().await;
    }

    async fn follow_ups(&self, database: &TestDatabase) -> usize {
        let count = database.number(&self.store, "SELECT count(*) FROM records WHERE kind = 14").await;
        usize::try_from(count.expect("a count")).expect("a count")
    }

    /// Gives each plan another rule. Answers how long it took until the follow-ups of one were what they should be, in s.
    async fn change_each_plan(&self, worker: &Worker) -> f64 {
        self.clock.advance(Duration::from_millis(1));
        let mut edits = Vec::new();
        for (plan, area) in &self.plans {
            let record = self.store.record(*plan).await.expect("a database").expect("a plan").record;
            let base = record.fields["rule"].clone();
            let value = if base == "FREQ=WEEKLY" { "FREQ=DAILY;INTERVAL=14" } else { "FREQ=WEEKLY" };
            let change = Change { field: "rule".to_owned(), base, value: value.into() };
            let edit = Action::Edit { changes: vec![change], reason: "tried".to_owned() };
            edits.push((*plan, *area, RecordKind::Plan, edit));
        }
        let (drained, took) = timed(async {
            self.act(edits).await;
            worker.drained().await
        })
        .await;
        assert_eq!(drained.expect("a database"), 0, "jobs were given up");
        took.as_secs_f64() / self.plans.len() as f64
    }
}

/// Has the database do now what it would do some time after so many rows came at once: otherwise it does it while
/// something else is timed.
async fn settle(database: &TestDatabase) {
    let chores: &[&str] = match database.is_postgres() {
        true => &["VACUUM ANALYZE", "CHECKPOINT"],
        false => &["PRAGMA wal_checkpoint(TRUNCATE)"],
    };
    for chore in chores {
        database.execute(chore).await.expect("a database");
    }
}

/// As many ops as the worker made, in batches of the same size, by somebody who has them ready: what they cost without
/// working out what a plan calls for.
async fn submitted(database: &TestDatabase, count: usize) -> f64 {
    let city = City::with(database, 1).await;
    let (plan, area) = city.plans[0];
    let ((), took) = timed(async {
        for at in (0..count).step_by(BATCH) {
            let acts = (at..count.min(at + BATCH)).map(|at| city.follow_up(plan, area, -(at as i64)));
            city.act(acts.collect()).await;
        }
    })
    .await;
    city.store.close().await;
    rate(count, took)
}

/// As many rows of the same width into one table with two indexes, as many in a commit.
async fn plain(database: &TestDatabase, count: usize) -> f64 {
    let store = database.open().await;
    let (uuid, text) = if database.is_postgres() { ("UUID", "TEXT") } else { ("BLOB", "TEXT") };
    let table = format!(
        "CREATE TABLE plain (id {uuid} PRIMARY KEY, source {uuid}, due_ms BIGINT, body {text});
         CREATE INDEX plain_source ON plain (source);"
    );
    database.execute(&table).await.expect("a table");
    let row = "x".repeat(900);
    let ids: Vec<_> = (0..count).map(|_| (new_id(), new_id())).collect();
    let ((), took) = timed(async {
        for some in ids.chunks(BATCH) {
            macro_rules! insert {
                ($pool:expr, $database:ty) => {{
                    let mut tx = $pool.begin().await.expect("a transaction");
                    let mut insert: QueryBuilder<$database> =
                        QueryBuilder::new("INSERT INTO plain (id, source, due_ms, body) ");
                    insert.push_values(some, |mut values, (id, source)| {
                        values.push_bind(*id).push_bind(*source).push_bind(7_i64).push_bind(row.as_str());
                    });
                    insert.build().execute(&mut *tx).await.expect("rows");
                    tx.commit().await.expect("a commit");
                }};
            }
            match store.pool() {
                Pool::Sqlite(pool) => insert!(pool, sqlx::Sqlite),
                Pool::Postgres(pool) => insert!(pool, sqlx::Postgres),
            }
        }
    })
    .await;
    store.close().await;
    rate(count, took)
}
