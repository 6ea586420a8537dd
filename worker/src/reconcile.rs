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
use rounds_domain::{
    Action, AreaId, Body, ClockReading, DeviceId, Kind, Op, Outcome, Record, RecordId, Role,
};
use rounds_store::{Arrival, Batch, Content, Device, Store, Timer, content_hash};
use std::collections::{BTreeSet, HashMap, HashSet};
use uuid::Uuid;

/// The device under whose name the worker acts. The same for ever: what it did is told by it from what people did.
pub const DEVICE: DeviceId = DeviceId(Uuid::from_u128(0x0bf5_f0c9_30f5_8d4e_a3c6_5d2c_91b7_e001));

/// Numbers of a feed that are looked at together.
const STRIDE_NUMBERS: u64 = 100;

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
    #[error("{0} of {1} mends did not apply: something else changed meanwhile")]
    Overtaken(usize, usize),
    #[error("area {0} has no time zone that is known here")]
    Zone(AreaId),
}

/// Looks at what the records of an area with these numbers call for, as they are now.
///
/// # Errors
/// When the store cannot be reached, or others changed the same follow-ups meanwhile: look again.
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
    let near = Near::read(store, causes, now_ms).await?;
    let sources: BTreeSet<RecordId> =
        causes.iter().flat_map(|cause| sources_of(cause, near.around(cause))).collect();
    Ok(sources.into_iter().collect())
}

/// Makes what these records call for, and says when to look at them again.
async fn reconcile(store: &Store, clock: &Clock, ids: &[RecordId]) -> Result<(), Failure> {
    let now_ms = clock();
    let since_ms = now_ms - LOOK_BACK_DAYS * DAY_MS;
    let mut sources = store.records_of(ids).await?;
    sources.retain(|record| is_source(record.kind));
    if sources.is_empty() {
        return Ok(());
    }
    let near = Near::read(store, &sources, now_ms).await?;
    let own = store.about(&sources.iter().map(|source| source.id).collect::<Vec<_>>(), since_ms).await?;
    let is_follow_up = |record: &&Record| record.kind == Kind::FollowUp;
    let follow_up_ids: Vec<RecordId> = own.iter().filter(is_follow_up).map(|record| record.id).collect();
    let reminders = store.about(&follow_up_ids, since_ms).await?;

    let mut follow_ups: HashMap<RecordId, Vec<Record>> = HashMap::new();
    let mut notices: HashMap<RecordId, Vec<Record>> = HashMap::new();
    let mut source_of: HashMap<RecordId, RecordId> = HashMap::new();
    for record in own {
        let Some(source) = record.subject() else { continue };
        match record.kind {
            Kind::FollowUp => {
                source_of.insert(record.id, source);
                follow_ups.entry(source).or_default().push(record);
            }
            Kind::Notice => notices.entry(source).or_default().push(record),
            _ => {}
        }
    }
    for notice in reminders.into_iter().filter(|record| record.kind == Kind::Notice) {
        if let Some(source) = notice.subject().and_then(|follow_up| source_of.get(&follow_up)) {
            notices.entry(*source).or_default().push(notice);
        }
    }

    let mut places: HashMap<AreaId, Place> = HashMap::new();
    let mut outlooks: Vec<(Record, Outlook)> = Vec::with_capacity(sources.len());
    for source in sources {
        let place = match places.entry(source.area) {
            std::collections::hash_map::Entry::Occupied(entry) => entry.into_mut(),
            std::collections::hash_map::Entry::Vacant(entry) => {
                entry.insert(Place::read(store, source.area).await?)
            }
        };
        let policies: Vec<&Record> = place.policies.iter().collect();
        let around = Around {
            now_ms,
            zone: &place.zone,
            system: DEVICE,
            follow_ups: follow_ups.get(&source.id).map_or(&[], Vec::as_slice),
            notices: notices.get(&source.id).map_or(&[], Vec::as_slice),
            nearby: near.around(&source),
            policies: &policies,
        };
        let outlook = look(&source, &around);
        outlooks.push((source, outlook));
    }
    leave_what_was_there(store, &mut outlooks).await?;

    let mut mends: Vec<(Mend, u64)> = Vec::new();
    let mut timers: Vec<Timer> = Vec::new();
    for (source, outlook) in outlooks {
        if mends.len() + outlook.mends.len() > BATCH_OPS_MAX && !mends.is_empty() {
            submit(store, now_ms, std::mem::take(&mut mends), std::mem::take(&mut timers)).await?;
        }
        let timer = |record, at_ms| Timer { record, area: source.area, at_ms };
        timers.extend(outlook.next_ms.map(|at_ms| timer(source.id, at_ms)));
        let place = places.get(&source.area);
        let told = outlook.mends.iter().filter(|mend| place.is_some_and(|place| place.has_channel(mend)));
        timers.extend(told.map(|mend| timer(mend.record, now_ms)));
        let stamps: HashMap<RecordId, u64> = [&follow_ups, &notices]
            .into_iter()
            .filter_map(|existing| existing.get(&source.id))
            .flatten()
            .map(|record| (record.id, record.through.stamp))
            .collect();
        mends.extend(outlook.mends.into_iter().map(|mend| {
            let seen = stamps.get(&mend.record).copied().unwrap_or_default();
            (mend, source.through.stamp.max(seen))
        }));
    }
    if mends.is_empty() && timers.is_empty() {
        return Ok(());
    }
    submit(store, now_ms, mends, timers).await
}

/// Takes out what would be created and is there: deleted by somebody, or over for so long that it was not read.
async fn leave_what_was_there(store: &Store, outlooks: &mut [(Record, Outlook)]) -> Result<(), Failure> {
    let created = |mend: &&Mend| matches!(mend.action, Action::Create(_));
    let all = outlooks.iter().flat_map(|(_, outlook)| &outlook.mends);
    let ids: Vec<RecordId> = all.filter(created).map(|mend| mend.record).collect();
    let there: HashSet<RecordId> =
        store.records_of(&ids).await?.into_iter().map(|record| record.id).collect();
    if !there.is_empty() {
        for (_, outlook) in outlooks {
            outlook.mends.retain(|mend| !there.contains(&mend.record) || !ids.contains(&mend.record));
        }
    }
    Ok(())
}

/// What is known about the places and assets that some records are about.
struct Near(HashMap<RecordId, Vec<Record>>);

impl Near {
    async fn read(store: &Store, records: &[Record], now_ms: i64) -> Result<Self, Failure> {
        let sites: BTreeSet<RecordId> = records.iter().filter_map(site).collect();
        let sites: Vec<RecordId> = sites.into_iter().collect();
        let mut near: HashMap<RecordId, Vec<Record>> = HashMap::new();
        for record in store.about(&sites, now_ms - LOOK_BACK_DAYS * DAY_MS).await? {
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

/// Acts, as of the time that was looked at. The store numbers the ops; doing the same twice is merged.
async fn submit(
    store: &Store,
    now_ms: i64,
    mends: Vec<(Mend, u64)>,
    timers: Vec<Timer>,
) -> Result<(), Failure> {
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
        timers: Some(timers),
    };
    let receipt = store.submit(batch).await?;
    let overtaken = receipt
        .verdicts
        .iter()
        .filter(|(_, verdict)| !matches!(verdict.outcome, Outcome::Applied | Outcome::Merged))
        .count();
    if overtaken > 0 { Err(Failure::Overtaken(overtaken, count)) } else { Ok(()) }
}
