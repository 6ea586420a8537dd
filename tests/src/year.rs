//! A year of plans on a fast clock: work that is done early, on time, late, offline or never; workers that are killed;
//! clocks that jump. What stands at the end is held against a count of its own.

#![allow(clippy::unwrap_used)] // a test that cannot go on has failed

use crate::TestClock;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use rounds_domain::body::Inspection;
use rounds_domain::recurrence::{days_later, local_day, moment_ms};
use rounds_domain::template::Template;
use rounds_domain::{
    Action, AreaId, Body, ClockReading, DeviceId, Kind, Op, Outcome, Record, RecordId, Role,
};
use rounds_server::planning::{self, Planning};
use rounds_store::{Arrival, Batch, Content, RecordFilter, Store, Timer, content_hash};
use rounds_worker::{DEVICE, Options, Worker};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

const HOUR_MS: i64 = 3_600_000;
const PAGE_RECORDS: u32 = 1_000;
/// How long phones are offline at most.
const OFFLINE_DAYS: i64 = 12;
/// Inspections that a phone brings in one call.
const BROUGHT_AT_ONCE: usize = 500;

/// What happens in the year.
#[derive(Clone, Debug)]
pub struct Year {
    /// Decides who does what when.
    pub seed: u64,
    /// The first day.
    pub first_day: Date,
    /// How many days.
    pub days: i64,
    /// On these days, counted from the first, the worker is killed while it works.
    pub kills: BTreeSet<i64>,
    /// On these days the clock is two days ahead for a while.
    pub jumps: BTreeSet<i64>,
    /// Templates, and the area for which each is applied.
    pub plans: Vec<(&'static Template, AreaId)>,
}

/// What came of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Report {
    /// Plans.
    pub plans: u64,
    /// Follow-ups that were not cancelled.
    pub follow_ups: u64,
    /// Done by when they were due.
    pub on_time: u64,
    /// Done later.
    pub late: u64,
    /// Missed and never done.
    pub missed: u64,
    /// Still open.
    pub open: u64,
    /// Notices that stand.
    pub notices: u64,
    /// Of them, alerts that the time between two was longer than the law allows.
    pub gaps: u64,
    /// Ops that the worker made.
    pub worker_ops: u64,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { plans, follow_ups, on_time, late, missed, open, notices, gaps, worker_ops } = self;
        write!(
            f,
            "{plans} plans, {follow_ups} follow-ups ({on_time} on time, {late} late, {missed} missed, {open} open), \
             {notices} notices that stand ({gaps} of gaps), {worker_ops} ops of the worker"
        )
    }
}

/// Work that somebody will bring.
struct Work {
    follow_up: Record,
    at_ms: i64,
    /// Days until anybody knows.
    days_late: i64,
    names_it: bool,
}

impl Year {
    /// Lives it.
    ///
    /// # Panics
    /// When something stands at the end that should not, or does not that should.
    pub async fn live(&self, store: &Store, clock: &TestClock, options: impl Fn() -> Options) -> Report {
        let zones = zones(store).await;
        clock.set(self.noon_ms(0, &TimeZone::UTC));
        // By how many days after the work they bring it: what one phone brings is in the order of time.
        let phones: Vec<DeviceId> = (0..=OFFLINE_DAYS).map(|_| DeviceId(crate::new_id())).collect();
        for phone in &phones {
            store.internal_device(*phone, "a phone", Role::Admin, clock.now_ms()).await.unwrap();
        }
        for (template, area) in &self.plans {
            let today = local_day(clock.now_ms(), &zones[area]);
            let plan = rounds_domain::body::Plan { from: today.to_string(), ..template.plan() };
            let areas = store.subtree(*area).await.unwrap();
            let planning =
                Planning { template, plan, spread_days: 14, areas, beside_others: false, dry_run: false };
            planning::apply(store, &clock.clock(), &planning, |_| {}).await.unwrap();
        }
        let mut worker = Some(start(store, clock, options()).await);
        let mut seen: HashSet<RecordId> = HashSet::new();
        let mut coming: BTreeMap<i64, Vec<Work>> = BTreeMap::new();
        let mut done: HashMap<(RecordId, String), BTreeSet<Date>> = HashMap::new();
        let areas = store.areas().await.unwrap();
        for day in 0..self.days {
            clock.set(self.noon_ms(day, &TimeZone::UTC));
            drained(&mut worker).await;
            for follow_up in due_within(store, &areas, clock.now_ms(), 5).await {
                if seen.insert(follow_up.id) {
                    self.decide(&follow_up, day, &zones, &mut coming);
                }
            }
            let mut brought: BTreeMap<i64, Vec<Work>> = BTreeMap::new();
            for work in coming.remove(&day).unwrap_or_default() {
                let subject = work.follow_up.reference("subject").unwrap();
                let zone = &zones[&work.follow_up.area];
                let sort = work.follow_up.text("sort").to_owned();
                done.entry((subject, sort)).or_default().insert(local_day(work.at_ms, zone));
                brought.entry(work.days_late).or_default().push(work);
            }
            for (days_late, work) in brought {
                bring(store, phones[days_late as usize], clock.now_ms(), work).await;
            }
            if self.kills.contains(&day) {
                drop(worker.take());
                worker = Some(start(store, clock, options()).await);
            }
            drained(&mut worker).await;
            if self.jumps.contains(&day) {
                clock.set(self.noon_ms(day + 2, &TimeZone::UTC));
                drained(&mut worker).await;
                clock.set(self.noon_ms(day, &TimeZone::UTC));
                look_at_all_plans(store, &areas, clock.now_ms()).await;
                drained(&mut worker).await;
            }
        }
        let before = worker_ops(store).await;
        look_at_all_plans(store, &areas, clock.now_ms()).await;
        drained(&mut worker).await;
        assert_eq!(worker_ops(store).await, before, "looking at every plan again changes nothing");
        worker.take().unwrap().stop().await;
        self.check(store, &areas, &zones, &done, clock.now_ms()).await
    }

    fn noon_ms(&self, day: i64, zone: &TimeZone) -> i64 {
        // Between the nights of New York and San Francisco.
        moment_ms(days_later(self.first_day, day).at(20, 0, 0, 0), zone)
    }

    /// When the work of a follow-up will be done, and when it will be known.
    fn decide(
        &self,
        follow_up: &Record,
        today: i64,
        zones: &HashMap<AreaId, TimeZone>,
        coming: &mut BTreeMap<i64, Vec<Work>>,
    ) {
        let zone = &zones[&follow_up.area];
        let due = local_day(follow_up.fields["due_at_ms"].as_i64().unwrap(), zone);
        let due_day = i64::from((due - self.first_day).get_days());
        let roll = self.roll(follow_up.id);
        let (worked_on, known_on) = match roll % 100 {
            0..55 => (due_day, due_day),
            55..68 => (due_day - 1, due_day - 1),
            68..80 => (due_day + 3, due_day + 3),
            80..87 => (due_day + 20, due_day + 20), // long after it was missed
            87..93 => (due_day, due_day + OFFLINE_DAYS),
            _ => return,
        };
        let (worked_on, known_on) = (worked_on.max(today), known_on.max(today));
        let at = days_later(self.first_day, worked_on).at(9 + (roll >> 8) as i8 % 3, 0, 0, 0);
        // What names no follow-up has to fit the window.
        let names_it = worked_on > due_day + 3 || (roll >> 16).is_multiple_of(2);
        let at_ms = moment_ms(at, zone);
        let work = Work { follow_up: follow_up.clone(), at_ms, days_late: known_on - worked_on, names_it };
        coming.entry(known_on).or_default().push(work);
    }

    fn roll(&self, id: RecordId) -> u64 {
        let mixed = id.derived(&format!("seed {}", self.seed)).0.as_u128();
        (mixed >> 64) as u64 ^ mixed as u64
    }

    async fn check(
        &self,
        store: &Store,
        areas: &[AreaId],
        zones: &HashMap<AreaId, TimeZone>,
        done: &HashMap<(RecordId, String), BTreeSet<Date>>,
        now_ms: i64,
    ) -> Report {
        let mut report = Report { worker_ops: worker_ops(store).await, ..Report::default() };
        for area in areas {
            self.check_area(store, *area, &zones[area], done, now_ms, &mut report).await;
        }
        report
    }

    /// Plans, and what follows from them, are in the area of their thing.
    async fn check_area(
        &self,
        store: &Store,
        area: AreaId,
        zone: &TimeZone,
        done: &HashMap<(RecordId, String), BTreeSet<Date>>,
        now_ms: i64,
        report: &mut Report,
    ) {
        let areas = &[area];
        let mut by_plan: HashMap<RecordId, Vec<Record>> = HashMap::new();
        for follow_up in all(store, areas, Kind::FollowUp).await {
            by_plan.entry(follow_up.subject().unwrap()).or_default().push(follow_up);
        }
        let mut alerts: HashMap<RecordId, BTreeSet<Date>> = HashMap::new();
        for notice in all(store, areas, Kind::Notice).await {
            if notice.status == "withdrawn" {
                continue;
            }
            report.notices += 1;
            if notice.text("sort") == "gap" {
                let latest = local_day(notice.fields["due_at_ms"].as_i64().unwrap(), zone);
                let once = alerts.entry(notice.subject().unwrap()).or_default().insert(latest);
                assert!(once, "an alert was raised twice");
                report.gaps += 1;
            }
        }
        for plan in all(store, areas, Kind::Plan).await {
            report.plans += 1;
            let mut due_days: BTreeSet<i64> = BTreeSet::new();
            let mut open = 0;
            for follow_up in by_plan.remove(&plan.id).unwrap_or_default() {
                let due_ms = follow_up.fields["due_at_ms"].as_i64().unwrap();
                match follow_up.status.as_str() {
                    "cancelled" => continue,
                    "done" => {
                        let step =
                            &follow_up.steps.iter().rev().find(|taken| taken.step.to == "done").unwrap().step;
                        let is_late = step.done_at_ms.unwrap_or(i64::MAX) > due_ms;
                        if is_late { report.late += 1 } else { report.on_time += 1 }
                    }
                    "missed" => report.missed += 1,
                    _ => {
                        open += 1;
                        report.open += 1;
                    }
                }
                report.follow_ups += 1;
                assert!(due_days.insert(due_ms), "two follow-ups of plan {} for one time", plan.id);
            }
            assert_eq!(
                open,
                1,
                "plan {} ({}) has its next follow-up, and one only",
                plan.id,
                plan.text("sort")
            );

            let expected = self.gaps(&plan, zone, done, now_ms);
            let raised = alerts.remove(&plan.id).unwrap_or_default();
            assert_eq!(raised, expected, "alerts of plan {}", plan.id);
        }
    }

    /// The last days of each time that was too long, counted from the work alone.
    fn gaps(
        &self,
        plan: &Record,
        zone: &TimeZone,
        done: &HashMap<(RecordId, String), BTreeSet<Date>>,
        now_ms: i64,
    ) -> BTreeSet<Date> {
        let Some(longest) = plan.fields.get("gap_days_max").and_then(serde_json::Value::as_i64) else {
            return BTreeSet::new();
        };
        let key = (plan.reference("subject").unwrap(), plan.text("sort").to_owned());
        let begins: Date = plan.text("from").parse().unwrap();
        let mut days: Vec<Date> = vec![begins.max(local_day(plan.created.at_ms, zone))];
        days.extend(done.get(&key).into_iter().flatten());
        days.dedup();
        let mut gaps = BTreeSet::new();
        for (at, day) in days.iter().enumerate() {
            let latest = days_later(*day, longest);
            let until = days.get(at + 1).copied().unwrap_or_else(|| local_day(now_ms, zone));
            if until > latest {
                gaps.insert(latest);
            }
        }
        gaps
    }
}

async fn start(store: &Store, clock: &TestClock, options: Options) -> Worker {
    let clock = clock.clone();
    let options =
        Options { look_every: Duration::from_millis(10), heartbeat: Duration::from_secs(1), ..options };
    Worker::start(store.clone(), Arc::new(move || clock.now_ms()), options).await.unwrap()
}

async fn drained(worker: &mut Option<Worker>) {
    assert_eq!(worker.as_ref().unwrap().drained().await.unwrap(), 0, "no job was given up");
}

async fn worker_ops(store: &Store) -> u64 {
    store.device(DEVICE).await.unwrap().map_or(0, |device| device.acknowledged_through)
}

/// Has every plan looked at, as if its time had come.
async fn look_at_all_plans(store: &Store, areas: &[AreaId], now_ms: i64) {
    let plans = all(store, areas, Kind::Plan).await;
    let timers = plans.iter().map(|plan| Timer { record: plan.id, area: plan.area, at_ms: now_ms });
    let clock = ClockReading { wall_ms: now_ms, boot: 0, monotonic_ms: 0 };
    let batch = Batch {
        device: DEVICE,
        arrivals: Vec::new(),
        clock,
        received_ms: now_ms,
        holds_from: 0,
        settled: Some(Vec::from_iter(timers).into()),
    };
    store.submit(batch).await.unwrap();
}

/// A phone brings what was recorded on it, in the order of time.
async fn bring(store: &Store, phone: DeviceId, now_ms: i64, mut done: Vec<Work>) {
    done.sort_by_key(|work| (work.at_ms, work.follow_up.id));
    for some in done.chunks(BROUGHT_AT_ONCE) {
        let arrivals = some.iter().map(|work| {
            let body = Inspection {
                subject: work.follow_up.reference("subject"),
                result: "pass".to_owned(),
                sort: work.follow_up.text("sort").to_owned(),
                follow_up: work.names_it.then_some(work.follow_up.id),
                ..Inspection::default()
            };
            let op = Op {
                record: RecordId(crate::new_id()),
                area: work.follow_up.area,
                kind: Kind::Inspection,
                action: Action::Create(Box::new(Body::Inspection(body))),
                clock: ClockReading { wall_ms: work.at_ms, boot: 0, monotonic_ms: work.at_ms },
                observed: 0,
                scope_version: 0,
            };
            let hash = content_hash(0, op.record.0.as_bytes());
            Arrival { seq: None, followed_by: 0, hash, content: Content::Admitted(op) }
        });
        let batch = Batch {
            device: phone,
            arrivals: arrivals.collect(),
            clock: ClockReading { wall_ms: now_ms, boot: 0, monotonic_ms: now_ms },
            received_ms: now_ms,
            holds_from: 0,
            settled: None,
        };
        let receipt = store.submit(batch).await.unwrap();
        let applied = receipt.verdicts.iter().all(|(_, verdict)| verdict.outcome == Outcome::Applied);
        assert!(applied, "{receipt:?}");
    }
}

async fn zones(store: &Store) -> HashMap<AreaId, TimeZone> {
    let mut zones = HashMap::new();
    for area in store.areas().await.unwrap() {
        let (zone, _) = store.policies(area).await.unwrap().unwrap();
        zones.insert(area, TimeZone::get(&zone).unwrap());
    }
    zones
}

/// Open follow-ups that are due within so many days, or overdue.
async fn due_within(store: &Store, areas: &[AreaId], now_ms: i64, days: i64) -> Vec<Record> {
    let filter = rounds_store::DueFilter {
        kind: Kind::FollowUp,
        areas,
        status: "open",
        from_ms: 0,
        before_ms: now_ms + days * 24 * HOUR_MS,
    };
    store.due(&filter, 1_000_000).await.unwrap()
}

async fn all(store: &Store, areas: &[AreaId], kind: Kind) -> Vec<Record> {
    let mut filter = RecordFilter::of(kind, areas.to_vec(), PAGE_RECORDS);
    let mut found: BTreeMap<RecordId, Record> = BTreeMap::new();
    loop {
        let page = store.records(&filter).await.unwrap();
        let Some(last) = page.last() else { return found.into_values().collect() };
        filter.after = Some((last.record.area, last.number, last.record.id));
        found.extend(page.into_iter().map(|numbered| (numbered.record.id, numbered.record)));
    }
}
