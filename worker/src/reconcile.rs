//! From what happened to what has to be done because of it: creates, cancels, reopens and mends follow-ups.

use crate::Error;
use crate::runtime::Clock;
use rounds_domain::follow_up::{Mend, called_for, is_source, mend};
use rounds_domain::limit::BATCH_OPS_MAX;
use rounds_domain::{AreaId, ClockReading, DeviceId, Kind, Op, Outcome, Record, RecordId, Role};
use rounds_store::{Arrival, Batch, Content, Device, RecordFilter, Store, content_hash};
use std::collections::BTreeMap;
use uuid::Uuid;

/// The device under whose name the worker acts. The same for ever: what it did is told by it from what people did.
pub const DEVICE: DeviceId = DeviceId(Uuid::from_u128(0x0bf5_f0c9_30f5_8d4e_a3c6_5d2c_91b7_e001));

/// Numbers of a feed that are looked at together.
const STRIDE_NUMBERS: u64 = 100;
/// Follow-ups that are read at once.
const PAGE_RECORDS: u32 = 500;

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
}

/// Looks at the records of an area with these numbers, as they are now, and mends their follow-ups.
///
/// # Errors
/// When the store cannot be reached, or others changed the same follow-ups meanwhile: look again.
pub(crate) async fn reconcile(
    store: &Store,
    clock: &Clock,
    area: AreaId,
    after: u64,
    through: u64,
) -> Result<(), Failure> {
    let mut from = after;
    while from < through {
        let to = through.min(from + STRIDE_NUMBERS);
        let mut ops = Vec::new();
        for numbered in store.changed(area, from, to).await? {
            if is_source(numbered.record.kind) {
                ops.extend(mends(store, &numbered.record).await?);
            }
        }
        for some in ops.chunks(BATCH_OPS_MAX) {
            submit(store, clock, some).await?;
        }
        from = to;
    }
    Ok(())
}

/// What has to be done about the follow-ups of one record, with the stamp that it comes after.
async fn mends(store: &Store, source: &Record) -> Result<Vec<(Mend, u64)>, Failure> {
    let existing = follow_ups_of(store, source).await?;
    let stamp_of = |id: RecordId| {
        let follow_up = existing.iter().find(|follow_up| follow_up.id == id);
        follow_up.map_or(0, |follow_up| follow_up.through.stamp)
    };
    let mends = mend(source, &existing, DEVICE);
    Ok(mends
        .into_iter()
        .map(|mend| {
            let observed = source.through.stamp.max(stamp_of(mend.record));
            (mend, observed)
        })
        .collect())
}

/// The follow-ups whose source is this record, wherever it was when they came about; of those that it calls for also
/// the deleted ones.
async fn follow_ups_of(store: &Store, source: &Record) -> Result<Vec<Record>, Failure> {
    let areas = [&[source.area], &source.former_areas[..]].concat();
    let mut filter = RecordFilter::of(Kind::FollowUp, areas, PAGE_RECORDS);
    filter.subject = Some(source.id);
    let mut found = BTreeMap::new(); // one that changes while this reads may be on two pages
    loop {
        let page = store.records(&filter).await?;
        filter.after = page.last().map(|last| (last.record.area, last.number, last.record.id));
        let whole = page.len() == PAGE_RECORDS as usize;
        found.extend(page.into_iter().map(|numbered| (numbered.record.id, numbered.record)));
        if !whole {
            break;
        }
    }
    for (id, _) in called_for(source) {
        if !found.contains_key(&id)
            && let Some(numbered) = store.record(id).await?
        {
            found.insert(id, numbered.record);
        }
    }
    Ok(found.into_values().collect())
}

/// Acts. The store numbers the ops; doing the same twice is merged.
async fn submit(store: &Store, clock: &Clock, mends: &[(Mend, u64)]) -> Result<(), Failure> {
    let now_ms = clock();
    let reading = ClockReading { wall_ms: now_ms, boot: 0, monotonic_ms: 0 };
    let arrivals = mends.iter().map(|(mend, observed)| {
        let op = Op {
            record: mend.record,
            area: mend.area,
            kind: Kind::FollowUp,
            action: mend.action.clone(),
            clock: reading,
            observed: *observed,
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
    };
    let receipt = store.submit(batch).await?;
    let overtaken = receipt
        .verdicts
        .iter()
        .filter(|(_, verdict)| !matches!(verdict.outcome, Outcome::Applied | Outcome::Merged))
        .count();
    if overtaken > 0 { Err(Failure::Overtaken(overtaken, mends.len())) } else { Ok(()) }
}
