//! From what happened, and from time that passed, to what has to be done because of it.
//!
//! The domain says what should exist; here it is read what does exist, and the difference is mended by ops. Running it
//! twice, late or after a crash changes nothing.

use crate::Error;
use crate::runtime::Clock;
use jiff::tz::TimeZone;
use rounds_domain::bug::{Bug, is_injected};
use rounds_domain::follow_up::{
    Around, LOOK_BACK_DAYS, Mend, Outlook, is_cause, is_source, look, site, sources_of,
};
use rounds_domain::limit::BATCH_OPS_MAX;
use rounds_domain::record::Standing;
use rounds_domain::{
    Action, AreaId, Body, ClockReading, DeviceId, Kind, Op, Outcome, Record, RecordId, Role, apply,
};
use rounds_store::{Arrival, Batch, Content, Device, Look, Numbered, Settled, Store, Timer, content_hash};
use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap};
use uuid::Uuid;

/// The device under whose name the worker acts. The same for ever: what it did is told by it from what people did.
pub const DEVICE: DeviceId = DeviceId(Uuid::from_u128(0x0bf5_f0c9_30f5_8d4e_a3c6_5d2c_91b7_e001));

/// Numbers of a feed that are looked at together.
const STRIDE_NUMBERS: u64 = 100;

/// Fields that say what a record is about, see [`Record::subject`] and [`site`].
const SUBJECT_FIELDS: [&str; 5] = ["subject", "source", "asset", "place", "parent"];

const DAY_MS: i64 = 24 * 60 * 60 * 1_000;

/// The device under whose name the worker acts.
///
/// # Errors
/// When the store cannot be reached.
pub(crate) async fn enrol(store: &Store, now_ms: i64) -> Result<Device, Error> {
    Ok(store.internal_device(DEVICE, "worker", Role::System, now_ms).await?)
}

/// Why records could not be reconciled.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error(transparent)]
    Store(#[from] rounds_store::Error),
    #[error("{0} of {1} mends did not apply")]
    Refused(usize, usize),
    #[error("area {0} has no time zone that is known here")]
    Zone(AreaId),
}

/// Looks at what the records of an area with these numbers call for, as they are now.
///
/// # Errors
/// When the store cannot be reached, or something did not apply: look again.
pub(crate) async fn range(
    store: &Store,
    clock: &Clock,
    area: AreaId,
    after: u64,
    through: u64,
) -> Result<(), Failure> {
    let through = if is_injected(Bug::WorkerMissesLast) { through - 1 } else { through };
    let mut from = after;
    while from < through {
        let to = through.min(from + STRIDE_NUMBERS);
        let changed = store.changed(area, from, to).await?;
        let causes: Vec<Record> =
            changed.into_iter().map(|numbered| numbered.record).filter(is_cause).collect();
        let sources = sources(store, clock, &causes).await?;
        reconcile(store, clock, &sources).await?;
        for policy in causes.iter().filter(|cause| cause.kind == Kind::Policy) {
            // Whatever it is for may call for something else now.
            for area in policy.former_areas.iter().chain([&policy.area]) {
                store.look_again(*area, clock()).await?;
            }
        }
        from = to;
    }
    Ok(())
}

/// Looks at these records because their time has come.
///
/// # Errors
/// As [`range`].
pub(crate) async fn records(store: &Store, clock: &Clock, ids: &[RecordId]) -> Result<(), Failure> {
    reconcile(store, clock, ids).await
}

/// The records that may call for something else because these changed.
async fn sources(store: &Store, clock: &Clock, causes: &[Record]) -> Result<Vec<RecordId>, Failure> {
    let now_ms = clock();
    let mut causes = causes.to_vec();
    for at in 0..causes.len() {
        causes.extend(former(store, &causes[at]).await?);
    }
    let near = Near::read(store, &causes, now_ms).await?;
    let sources: BTreeSet<RecordId> =
        causes.iter().flat_map(|cause| sources_of(cause, near.around(cause))).collect();
    Ok(sources.into_iter().collect())
}

/// What a record was before it was deleted, or was about before it was said to be about something else: what was called
/// for there may be called for no longer.
async fn former(store: &Store, record: &Record) -> Result<Vec<Record>, Failure> {
    let mut all: Vec<Record> = Vec::new();
    if record.deleted.is_none() && !SUBJECT_FIELDS.iter().any(|field| record.writers.contains_key(*field)) {
        return Ok(all);
    }
    let mut was = None;
    for op in store.ops_of(record.id).await? {
        if matches!(op.placed.op.action, Action::Delete { .. }) {
            continue;
        }
        apply(&mut was, &op.placed);
        let about = |record: &Record| (site(record), record.subject());
        if let Some(was) = &was
            && all.last().is_none_or(|last| about(last) != about(was))
        {
            all.push(was.clone());
        }
    }
    Ok(all)
}

/// Makes what these records call for, and says when to look at them again. What others changed meanwhile is looked at
/// once more.
async fn reconcile(store: &Store, clock: &Clock, ids: &[RecordId]) -> Result<(), Failure> {
    let mut overtaken = look_at(store, clock, ids).await?;
    while !overtaken.is_empty() {
        overtaken = look_at(store, clock, &overtaken).await?;
    }
    Ok(())
}

/// One look at these records. Answers those of which something changed meanwhile, so that nothing was done about them.
async fn look_at(store: &Store, clock: &Clock, ids: &[RecordId]) -> Result<Vec<RecordId>, Failure> {
    let now_ms = clock();
    let mut sources = store.records_and_heads(ids).await?;
    sources.retain(|(source, _)| is_source(source.kind));
    if sources.is_empty() {
        return Ok(Vec::new());
    }
    let heads: HashMap<AreaId, u64> = sources.iter().map(|(source, head)| (source.area, *head)).collect();
    let sources: Vec<Record> = sources.into_iter().map(|(source, _)| source).collect();
    let mut known = Known::read(store, &sources, heads, now_ms).await?;
    let looked_at = sources.into_iter().map(|source| (known.look(&source), source));
    let mut outlooks: Vec<(Outlook, Record)> = looked_at.collect();
    let mut there = created_before(store, &outlooks).await?;
    if there.values().any(|found| matches!(found.kind, Kind::FollowUp | Kind::Notice)) {
        known.learn(store, &outlooks, &there).await?;
        for (outlook, source) in outlooks.iter_mut() {
            if created(outlook).any(|id| there.contains_key(&id)) {
                *outlook = known.look(source);
            }
        }
        there = created_before(store, &outlooks).await?;
    }

    let mut mends: Vec<(Mend, u64)> = Vec::new();
    let mut settled = Settled::default();
    let mut overtaken = Vec::new();
    for (mut outlook, source) in outlooks {
        let taken = |id: RecordId| there.get(&id).is_some_and(|found| found.kind != Kind::FollowUp);
        outlook.mends.retain(|mend| {
            !there.contains_key(&mend.record) && !known.told_of(&source, mend).is_some_and(taken)
        });
        if mends.len() + outlook.mends.len() > BATCH_OPS_MAX && !mends.is_empty() {
            let some =
                submit(store, now_ms, std::mem::take(&mut mends), std::mem::take(&mut settled)).await?;
            overtaken.extend(some);
        }
        settled.looks.push(known.look_of(&source, &outlook));
        let stamps = known.stamps(&source);
        mends.extend(outlook.mends.into_iter().map(|mend| {
            let seen = stamps.get(&mend.record).copied().unwrap_or_default();
            (mend, source.through.stamp.max(seen))
        }));
    }
    if !mends.is_empty() || settled.looks.iter().any(|look| !look.timers.is_empty()) {
        overtaken.extend(submit(store, now_ms, mends, settled).await?);
    }
    Ok(overtaken)
}

/// What would be created and is there: deleted by somebody, or over for so long that it was not read.
async fn created_before(
    store: &Store,
    outlooks: &[(Outlook, Record)],
) -> Result<HashMap<RecordId, Record>, Failure> {
    let ids: Vec<RecordId> = outlooks.iter().flat_map(|(outlook, _)| created(outlook)).collect();
    Ok(store.records_of(&ids).await?.into_iter().map(|found| (found.id, found)).collect())
}

fn created(outlook: &Outlook) -> impl Iterator<Item = RecordId> {
    let creates = |mend: &&Mend| matches!(mend.action, Action::Create(_));
    outlook.mends.iter().filter(creates).map(|mend| mend.record)
}

/// What is known about some records when they are looked at.
struct Known {
    now_ms: i64,
    /// Of the areas that the records are in, from before anything else was read.
    heads: HashMap<AreaId, u64>,
    near: Near,
    /// By their source.
    follow_ups: HashMap<RecordId, Vec<Record>>,
    /// By the source that they are about, or whose follow-up they are about.
    notices: HashMap<RecordId, Vec<Record>>,
    places: HashMap<AreaId, Place>,
}

impl Known {
    async fn read(
        store: &Store,
        sources: &[Record],
        heads: HashMap<AreaId, u64>,
        now_ms: i64,
    ) -> Result<Self, Failure> {
        let near = Near::read(store, sources, now_ms).await?;
        let mut places = HashMap::new();
        for source in sources {
            if let Entry::Vacant(entry) = places.entry(source.area) {
                entry.insert(Place::read(store, source.area).await?);
            }
        }
        let (follow_ups, notices) = (HashMap::new(), HashMap::new());
        let mut known = Self { now_ms, heads, near, follow_ups, notices, places };
        let ids: Vec<RecordId> = sources.iter().map(|source| source.id).collect();
        let mut follow_ups: Vec<(RecordId, Record)> = Vec::new();
        for Numbered { record, .. } in store.about(&ids, known.since_ms()).await? {
            let Some(source) = record.subject() else { continue };
            match record.kind {
                Kind::FollowUp => follow_ups.push((source, record)),
                Kind::Notice => known.notices.entry(source).or_default().push(record),
                _ => {}
            }
        }
        known.add(store, follow_ups, |follow_up| !is_ended_by_us(follow_up)).await?;
        Ok(known)
    }

    /// Adds follow-ups that do not say any more whose they are, or were over for too long to be read; and notices about
    /// what was over and is not any more.
    async fn learn(
        &mut self,
        store: &Store,
        outlooks: &[(Outlook, Record)],
        there: &HashMap<RecordId, Record>,
    ) -> Result<(), Failure> {
        let of_source = |(outlook, source): &(Outlook, Record)| {
            let found = created(outlook).filter_map(|id| there.get(&id));
            found.map(|found| (source.id, found.clone())).collect::<Vec<_>>()
        };
        let found = outlooks.iter().flat_map(of_source);
        let (follow_ups, others): (Vec<_>, Vec<_>) =
            found.partition(|(_, found)| found.kind == Kind::FollowUp);
        for (source, notice) in others.into_iter().filter(|(_, found)| found.kind == Kind::Notice) {
            self.notices.entry(source).or_default().push(notice);
        }
        self.add(store, follow_ups, |_| true).await
    }

    /// Adds follow-ups, each with its source, and the notices about some of them.
    async fn add(
        &mut self,
        store: &Store,
        follow_ups: Vec<(RecordId, Record)>,
        is_told_of: impl Fn(&Record) -> bool,
    ) -> Result<(), Failure> {
        let mut source_of: HashMap<RecordId, RecordId> = HashMap::new();
        for (source, record) in follow_ups {
            if is_told_of(&record) {
                source_of.insert(record.id, source);
            }
            self.follow_ups.entry(source).or_default().push(record);
        }
        let ids: Vec<RecordId> = source_of.keys().copied().collect();
        for Numbered { record, .. } in store.about(&ids, self.since_ms()).await? {
            let source = record.subject().and_then(|follow_up| source_of.get(&follow_up));
            if let Some(source) = source.filter(|_| record.kind == Kind::Notice) {
                self.notices.entry(*source).or_default().push(record);
            }
        }
        Ok(())
    }

    /// Work that only a follow-up tells of counts as long as that is read: for longer than anything is made anew.
    fn since_ms(&self) -> i64 {
        self.now_ms - 2 * LOOK_BACK_DAYS * DAY_MS
    }

    fn look(&self, source: &Record) -> Outlook {
        let place = &self.places[&source.area];
        let policies: Vec<&Record> = place.policies.iter().collect();
        let around = Around {
            now_ms: self.now_ms,
            zone: &place.zone,
            system: DEVICE,
            follow_ups: self.follow_ups.get(&source.id).map_or(&[], Vec::as_slice),
            notices: self.notices.get(&source.id).map_or(&[], Vec::as_slice),
            nearby: self.near.around(source),
            policies: &policies,
        };
        look(source, &around)
    }

    /// What a look at a source came to, for the store.
    fn look_of(&self, source: &Record, outlook: &Outlook) -> Look {
        let timer = |record, at_ms| Timer { record, area: source.area, at_ms };
        let next = outlook.next_ms.map(|at_ms| timer(source.id, at_ms));
        let told = outlook.mends.iter().filter(|mend| self.has_channel(source, mend));
        // What becomes of an adoption changes whose work it is.
        let is_of_adoption = outlook.mends.iter().any(|mend| mend.kind == Kind::Adoption);
        let plans = self.near.around(source).iter().filter(|near| is_of_adoption && near.kind == Kind::Plan);
        let plans = plans.map(|plan| Timer { area: plan.area, ..timer(plan.id, self.now_ms) });
        let timers = next.into_iter().chain(told.map(|mend| timer(mend.record, self.now_ms))).chain(plans);
        let follow_ups = self.follow_ups.get(&source.id).into_iter().flatten();
        // Facts by themselves as well: of one that is deleted nothing tells any more what it was about.
        let read = follow_ups.chain(self.near.around(source)).map(|record| record.id);
        let read = read.chain(site(source)).chain([source.id]).filter(|_| !outlook.mends.is_empty());
        Look {
            source: source.id,
            area: source.area,
            head: self.heads.get(&source.area).copied().unwrap_or_default(),
            read: read.collect(),
            ops: outlook.mends.len(),
            timers: timers.collect(),
        }
    }

    /// Up to where the follow-ups and notices of a source were seen.
    fn stamps(&self, source: &Record) -> HashMap<RecordId, u64> {
        let existing = [&self.follow_ups, &self.notices];
        let of_source = existing.into_iter().filter_map(|all| all.get(&source.id)).flatten();
        of_source.map(|record| (record.id, record.through.stamp)).collect()
    }

    /// What a mend of a notice is about. If other records have the ids of follow-ups, which somebody has to choose on
    /// purpose, those are never made, and nobody is told of them.
    fn told_of(&self, source: &Record, mend: &Mend) -> Option<RecordId> {
        match &mend.action {
            Action::Create(body) => match body.as_ref() {
                Body::Notice(notice) => notice.subject,
                _ => None,
            },
            _ => self.notices.get(&source.id)?.iter().find(|notice| notice.id == mend.record)?.subject(),
        }
    }

    fn has_channel(&self, source: &Record, mend: &Mend) -> bool {
        self.places.get(&source.area).is_some_and(|place| place.has_channel(mend))
    }
}

/// Whether the worker itself ended a follow-up, and withdrew in the same look what was said of it.
fn is_ended_by_us(follow_up: &Record) -> bool {
    let mut applied = follow_up.steps.iter().rev().filter(|taken| taken.standing == Standing::Applied);
    matches!(follow_up.status.as_str(), "done" | "cancelled")
        && follow_up.deleted.is_none()
        && applied.next().is_some_and(|last| last.trace.op.device == DEVICE)
}

/// What is known about the places and assets that some records are about.
struct Near(HashMap<RecordId, Vec<Record>>);

impl Near {
    async fn read(store: &Store, records: &[Record], now_ms: i64) -> Result<Self, Failure> {
        let sites: BTreeSet<RecordId> = records.iter().filter_map(site).collect();
        let sites: Vec<RecordId> = sites.into_iter().collect();
        let mut near: HashMap<RecordId, Vec<Record>> = HashMap::new();
        for Numbered { record, .. } in store.about(&sites, now_ms - LOOK_BACK_DAYS * DAY_MS).await? {
            if let Some(subject) = record.subject() {
                near.entry(subject).or_default().push(record);
            }
        }
        for record in store.records_of(&sites).await? {
            near.entry(record.id).or_default().push(record);
        }
        Ok(Self(near))
    }

    fn around(&self, record: &Record) -> &[Record] {
        site(record).and_then(|site| self.0.get(&site)).map_or(&[], Vec::as_slice)
    }
}

/// What holds in an area.
struct Place {
    zone: TimeZone,
    policies: Vec<Record>,
}

impl Place {
    async fn read(store: &Store, area: AreaId) -> Result<Self, Failure> {
        let (zone, policies) = store.policies(area).await?.ok_or(Failure::Zone(area))?;
        let zone = TimeZone::get(&zone).map_err(|_| Failure::Zone(area))?;
        Ok(Self { zone, policies })
    }

    /// Whether a notice that is raised has to be sent somewhere beside the inbox of a phone.
    fn has_channel(&self, mend: &Mend) -> bool {
        let body = match &mend.action {
            Action::Create(body) => body,
            // It was withdrawn, perhaps before it was sent; whoever sends it knows.
            Action::Step(step) => return mend.kind == Kind::Notice && step.to == "raised",
            _ => return false,
        };
        let Body::Notice(notice) = body.as_ref() else { return false };
        let mailbox = format!("{}_email", notice.role);
        notice.organization.is_some() || self.policies.iter().any(|policy| !policy.text(&mailbox).is_empty())
    }
}

/// Acts, as of the time that was looked at. The store numbers the ops; doing the same twice is merged. Answers the records
/// about which nothing was done, as something changed since they were looked at.
async fn submit(
    store: &Store,
    now_ms: i64,
    mends: Vec<(Mend, u64)>,
    settled: Settled,
) -> Result<Vec<RecordId>, Failure> {
    let reading = ClockReading { wall_ms: now_ms, boot: 0, monotonic_ms: 0 };
    let count = mends.len();
    let arrivals = mends.into_iter().map(|(mend, observed)| {
        let op = Op {
            record: mend.record,
            area: mend.area,
            kind: mend.kind,
            action: mend.action,
            clock: reading,
            observed,
            scope_version: 0,
        };
        // The server numbers the op, so no retry is ever compared with it.
        let hash = content_hash(0, op.record.0.as_bytes());
        Arrival { seq: None, followed_by: 0, hash, content: Content::Admitted(op) }
    });
    let batch = Batch {
        device: DEVICE,
        arrivals: arrivals.collect(),
        clock: reading,
        received_ms: now_ms,
        holds_from: 0,
        settled: Some(settled),
    };
    let receipt = store.submit(batch).await?;
    let is_refused = |outcome| !matches!(outcome, Outcome::Applied | Outcome::Merged);
    let refused = receipt.verdicts.iter().filter(|(_, verdict)| is_refused(verdict.outcome)).count();
    if refused > 0 { Err(Failure::Refused(refused, count)) } else { Ok(receipt.overtaken) }
}
