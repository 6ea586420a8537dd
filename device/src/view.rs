//! What is true now as far as the device knows: the server's records, with what was recorded here folded over them
//! by the same code as on the server.

use crate::device::Device;
use crate::error::Error;
use crate::outbox::{self, Entry};
use crate::store::{self, Meta};
use rounds_domain::limit::AREA_DEPTH_MAX;
use rounds_domain::vocabulary::due_hours;
use rounds_domain::{Body, DeviceId, Kind, OrderKey, PlacedOp, Record, RecordId, apply};
use rounds_proto::decode_op;
use rusqlite::{Connection, params};
use std::collections::{BTreeMap, HashMap};

const HOUR_MS: i64 = 3_600_000;

/// A record as the device sees it.
#[derive(Clone, PartialEq, Debug)]
pub struct View {
    /// What is true now.
    pub record: Record,
    /// How many ops in it the server does not have yet.
    pub unsent_ops: u32,
}

/// Ops that the records do not show yet, in the order of their numbers.
type Overlay = BTreeMap<RecordId, Vec<(PlacedOp, bool)>>;

/// The condition for ops that the records do not show yet. What is in quarantine, or did not apply, shows nowhere.
const UNSEEN: &str =
    "settled = 0 AND (outcome IS NULL OR outcome IN ('APPLIED', 'MERGED', 'CONFLICT_RECORDED'))";

impl Device {
    /// One record; deleted ones too.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn view(&self, id: RecordId) -> Result<Option<View>, Error> {
        self.store.read(|tx| {
            let unseen = outbox::entries(tx, &format!("{UNSEEN} AND record = ?1"), params![id.0])?;
            let meta = Meta::load(tx)?;
            let overlay = overlay(&meta, unseen).remove(&id).unwrap_or_default();
            Ok(fold_over(store::record(tx, id)?, &overlay, meta.device))
        })
    }

    /// All records of a kind, oldest first.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn list(&self, kind: Kind) -> Result<Vec<View>, Error> {
        self.store.read(|tx| views(tx, "kind = ?1", params![kind.number()], |record| record.kind == kind))
    }

    /// Open follow-ups that may be done at this time (ms since 1970 UTC), the most urgent first.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn today(&self, now_ms: i64) -> Result<Vec<View>, Error> {
        let number = |view: &View, field| view.record.fields.get(field).and_then(serde_json::Value::as_i64);
        let mut due = self.store.read(|tx| {
            let condition = "kind = ?1 AND status = 'open'";
            views(tx, condition, params![Kind::FollowUp.number()], |record| {
                record.kind == Kind::FollowUp && record.status == "open"
            })
        })?;
        due.retain(|view| number(view, "opens_at_ms").is_none_or(|opens_at_ms| opens_at_ms <= now_ms));
        due.sort_by_key(|view| (number(view, "due_at_ms"), view.record.id));
        Ok(due)
    }

    /// Until when a partner has to answer for a request that is referred to it now, in ms since 1970 UTC, if nobody
    /// says otherwise: as the nearest word of the city says for its category, or as is built in.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn referral_due_ms(&self, request: &Record, now_ms: i64) -> Result<i64, Error> {
        let words = self.list(Kind::Term)?;
        let mut nearest_first = Vec::new();
        let mut area = request.area;
        for _ in 0..AREA_DEPTH_MAX {
            let of_here = words.iter().filter(|view| view.record.area == area);
            nearest_first.extend(of_here.filter_map(|view| match view.record.body() {
                Ok(Body::Term(term)) => Some(term),
                _ => None,
            }));
            let record = self.view(area.into())?.map(|view| view.record);
            let Some(parent) = record.and_then(|record| record.reference("parent")) else { break };
            area = parent.into();
        }
        let hours = due_hours(request.text("category"), &nearest_first);
        Ok(now_ms.saturating_add(i64::from(hours) * HOUR_MS))
    }

    /// Places and assets with this printed code.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn find_by_code(&self, code: &str) -> Result<Vec<View>, Error> {
        self.store.read(|tx| {
            views(tx, "code = ?1 AND code <> ''", params![code], |record| {
                matches!(record.kind, Kind::Place | Kind::Asset) && record.text("code") == code
            })
        })
    }
}

/// The records that meet `wanted` once what was recorded here is folded in. `condition` finds them among the
/// server's records as they are without it.
fn views(
    tx: &Connection,
    condition: &str,
    values: impl rusqlite::Params,
    wanted: impl Fn(&Record) -> bool,
) -> Result<Vec<View>, Error> {
    let meta = Meta::load(tx)?;
    let overlay = overlay(&meta, outbox::entries(tx, UNSEEN, [])?);
    let mut found: HashMap<RecordId, Record> =
        store::records(tx, condition, values)?.into_iter().map(|record| (record.id, record)).collect();
    let mut views = Vec::with_capacity(found.len());
    for (id, ops) in &overlay {
        let record = match found.remove(id) {
            Some(record) => Some(record),
            None => store::record(tx, *id)?,
        };
        views.extend(fold_over(record, ops, meta.device));
    }
    views.extend(found.into_values().map(|record| View { record, unsent_ops: 0 }));
    views.retain(|view| view.record.deleted.is_none() && wanted(&view.record));
    views.sort_by_key(|view| view.record.id);
    Ok(views)
}

fn overlay(meta: &Meta, unseen: Vec<Entry>) -> Overlay {
    let mut overlay = Overlay::new();
    for entry in unseen {
        let Ok(op) = decode_op(&entry.op) else { continue }; // of a newer program; it shows in `pending`
        let placed = PlacedOp {
            // Later than everything that is known: that is what its author saw.
            key: OrderKey { stamp: u64::MAX, device: entry.device, seq: entry.seq },
            at_ms: entry.recorded_ms,
            worker: meta.worker,
            op,
        };
        overlay.entry(entry.record).or_default().push((placed, entry.outcome.is_none()));
    }
    overlay
}

/// The record with these ops in it. Those without a verdict that the server had folded in already when it sent the record
/// are left out, as far as they left a mark: they came with a call whose answer was lost, and are sent again.
fn fold_over(record: Option<Record>, ops: &[(PlacedOp, bool)], device: Option<DeviceId>) -> Option<View> {
    let seen_through = record.as_ref().map_or(0, |record| last_seq_of(record, device));
    let mut folded = record;
    let mut unsent_ops = 0;
    for (placed, unsent) in ops.iter().filter(|(placed, _)| placed.key.seq > seen_through) {
        apply(&mut folded, placed);
        unsent_ops += u32::from(*unsent);
    }
    folded.map(|record| View { record, unsent_ops })
}

/// The last op of this device that left its mark on a record.
fn last_seq_of(record: &Record, device: Option<DeviceId>) -> u64 {
    let marks = [record.created.op, record.changed.op].into_iter();
    let marks = marks.chain(record.steps.iter().map(|taken| taken.trace.op));
    let marks = marks.chain(record.amendments.iter().map(|amendment| amendment.trace.op));
    let marks = marks.chain(record.disputes.iter().map(|dispute| dispute.op));
    marks.filter(|op| Some(op.device) == device).map(|op| op.seq).max().unwrap_or(0)
}
