//! Rows to values and back, the same for both databases.

use crate::Error;
use crate::feed::Numbered;
use crate::tx::{DeviceRow, LedgerRow, NewOp, PlacedOpRow, Waiting, WaitingOp, Written};
use jiff::civil::Date;
use rounds_domain::attendance::Attended;
use rounds_domain::clock::OrderKey;
use rounds_domain::tally::{TallyKey, Unit};
use rounds_domain::verdict::Reason;
use rounds_domain::{Action, AreaId, DeviceId, Kind, Op, OpId, Outcome, PlacedOp, Record, RecordId, Verdict};
use serde::Serialize;
use serde::de::DeserializeOwned;
use uuid::Uuid;

/// States of an op, as the column says them.
pub(crate) const STATE_TAKEN_IN: i16 = 0;
/// See [`STATE_TAKEN_IN`].
pub(crate) const STATE_QUARANTINED: i16 = 1;
/// Laid aside by a coordinator.
pub(crate) const STATE_DISMISSED: i16 = 2;
/// In under another name, where its content is.
pub(crate) const STATE_KNOWN: i16 = 3;

/// The columns of an op that is to be kept.
pub(crate) struct OpColumns<'a> {
    pub(crate) device: Uuid,
    pub(crate) seq: i64,
    pub(crate) record: Option<Uuid>,
    pub(crate) area: Option<Uuid>,
    pub(crate) state: i16,
    pub(crate) stamp: i64,
    pub(crate) at_ms: i64,
    pub(crate) received_ms: i64,
    pub(crate) doubtful: bool,
    pub(crate) worker: Option<Uuid>,
    pub(crate) group_first: i64,
    pub(crate) hash: &'a [u8],
    pub(crate) outcome: &'static str,
    pub(crate) reason: Option<&'static str>,
    pub(crate) detail: &'a str,
    pub(crate) body: Option<String>,
    pub(crate) raw: Option<&'a [u8]>,
}

impl<'a> OpColumns<'a> {
    pub(crate) fn of(new: &'a NewOp) -> Result<Self, Error> {
        let placed = &new.placed;
        Ok(Self {
            device: placed.id.device.0,
            seq: placed.id.seq as i64,
            record: placed.op.as_ref().map(|op| op.record.0),
            area: placed.op.as_ref().map(|op| op.area.0),
            state: match new.verdict.outcome {
                _ if new.known => STATE_KNOWN,
                Outcome::Quarantined => STATE_QUARANTINED,
                _ => STATE_TAKEN_IN,
            },
            stamp: placed.stamp as i64,
            at_ms: placed.at_ms,
            received_ms: new.received_ms,
            doubtful: new.doubtful,
            worker: placed.worker.map(|id| id.0),
            group_first: new.group_first as i64,
            hash: &new.hash,
            outcome: new.verdict.outcome.as_str(),
            reason: new.verdict.reason.map(Reason::as_str),
            detail: &new.verdict.detail,
            body: placed.op.as_ref().map(json).transpose()?,
            raw: new.raw.as_deref(),
        })
    }
}

/// Replaces a record by what it is now.
pub(crate) const REPLACE_RECORD: &str =
    "ON CONFLICT (id) DO UPDATE SET area = excluded.area, number = excluded.number, kind = excluded.kind,
     status = excluded.status, subject = excluded.subject, code = excluded.code,
     external_ref = excluded.external_ref, disputed = excluded.disputed, deleted = excluded.deleted,
     due_ms = excluded.due_ms, assignee = excluded.assignee, day = excluded.day, body = excluded.body";

/// Raised whenever the columns of a record are others, or say something else: records that are there get theirs anew when
/// the database is opened. As of 2, deleted ones say where they were moved to before it was known.
pub(crate) const COLUMNS_VERSION: u32 = 2;

/// The columns of a record.
pub(crate) struct RecordColumns<'a> {
    pub(crate) id: Uuid,
    pub(crate) area: Uuid,
    pub(crate) number: i64,
    pub(crate) kind: i16,
    pub(crate) status: &'a str,
    pub(crate) subject: Option<Uuid>,
    pub(crate) code: Option<&'a str>,
    pub(crate) external_ref: Option<&'a str>,
    pub(crate) disputed: bool,
    pub(crate) deleted: bool,
    /// When a follow-up is due, or a notice was called for.
    pub(crate) due_ms: Option<i64>,
    /// Who does a follow-up: a worker, group or organization.
    pub(crate) assignee: Option<Uuid>,
    /// The local day on which it is counted.
    pub(crate) day: Option<String>,
    pub(crate) body: String,
}

impl<'a> RecordColumns<'a> {
    pub(crate) fn of(written: &'a Written) -> Result<Self, Error> {
        let Written { numbered, day } = written;
        let record = &numbered.record;
        let filled = |field| Some(record.text(field)).filter(|text| !text.is_empty());
        Ok(Self {
            id: record.id.0,
            area: record.area.0,
            number: numbered.number as i64,
            kind: record.kind.number(),
            status: &record.status,
            subject: record.subject().map(|id| id.0),
            code: filled("code"),
            external_ref: filled("external_ref"),
            disputed: !record.disputes.is_empty(),
            deleted: record.deleted.is_some(),
            due_ms: due_ms(record),
            assignee: match record.kind {
                Kind::FollowUp => {
                    ["worker", "group", "organization"].iter().find_map(|field| record.reference(field))
                }
                _ => None,
            }
            .map(|id| id.0),
            day: day.map(|day| day.to_string()),
            body: json(record)?,
        })
    }
}

/// When a follow-up is due, or a notice was called for, in ms since 1970 UTC.
pub(crate) fn due_ms(record: &Record) -> Option<i64> {
    let field = match record.kind {
        Kind::FollowUp => "due_at_ms",
        Kind::Notice => "at_ms",
        _ => return None,
    };
    record.fields.get(field).and_then(serde_json::Value::as_i64)
}

/// The columns of [`DeviceRow`].
pub(crate) const DEVICE_ROW: &str = "id, worker,
     CASE WHEN first_device IS NOT NULL OR EXISTS (SELECT 1 FROM devices AS later WHERE later.first_device = devices.id)
     THEN coalesce(first_device, id) END,
     acknowledged_through, forked_at, lost_ops, last_stamp, last_at_ms";

pub(crate) type DeviceTuple = (Uuid, Option<Uuid>, Option<Uuid>, i64, Option<i64>, i64, i64, i64);

pub(crate) fn device_row(row: DeviceTuple) -> DeviceRow {
    let (id, worker, phone, acknowledged_through, forked_at, lost_ops, last_stamp, last_at_ms) = row;
    DeviceRow {
        id: DeviceId(id),
        worker: worker.map(RecordId),
        phone: phone.map(DeviceId),
        acknowledged_through: acknowledged_through as u64,
        forked_at: forked_at.map(|seq| seq as u64),
        lost_ops: lost_ops as u64,
        last_stamp: last_stamp as u64,
        last_at_ms,
    }
}

/// Which device a phone was first, and what it brought.
pub(crate) type SaidTuple = (Uuid, Uuid, i64, Vec<u8>, String, Option<String>, String);

pub(crate) fn said_row(row: SaidTuple) -> Result<(DeviceId, LedgerRow), Error> {
    let (phone, device, seq, hash, outcome, reason, detail) = row;
    Ok((DeviceId(phone), ledger_row((device, seq, hash, outcome, reason, detail))?))
}

pub(crate) type LedgerTuple = (Uuid, i64, Vec<u8>, String, Option<String>, String);

pub(crate) fn ledger_row(row: LedgerTuple) -> Result<LedgerRow, Error> {
    let (device, seq, hash, outcome, reason, detail) = row;
    let id = OpId { device: DeviceId(device), seq: seq as u64 };
    let hash = hash.try_into().map_err(|_| Error::Unreadable(format!("hash of op {id}")))?;
    Ok(LedgerRow { id, hash, verdict: verdict(&outcome, reason.as_deref(), detail)? })
}

pub(crate) fn verdict(outcome: &str, reason: Option<&str>, detail: String) -> Result<Verdict, Error> {
    let outcome = Outcome::parse(outcome).ok_or_else(|| Error::Unreadable(format!("outcome {outcome}")))?;
    let reason = reason
        .map(|text| Reason::parse(text).ok_or_else(|| Error::Unreadable(format!("reason {text}"))))
        .transpose()?;
    Ok(Verdict { outcome, reason, detail })
}

pub(crate) type NumberedTuple = (i64, String);

/// The records that these ops create.
pub(crate) fn created(bodies: &[String]) -> Result<Vec<RecordId>, Error> {
    let ops = bodies.iter().map(|body| parse::<Op>(body)).collect::<Result<Vec<Op>, Error>>()?;
    Ok(ops.iter().filter(|op| matches!(op.action, Action::Create(_))).map(|op| op.record).collect())
}

pub(crate) fn numbered((number, body): NumberedTuple) -> Result<Numbered, Error> {
    Ok(Numbered { number: number as u64, record: parse::<Record>(&body)? })
}

pub(crate) type AttendedTuple = (Uuid, String, Uuid, String, i64);

pub(crate) fn attended_row(row: AttendedTuple) -> Result<(Attended, Date, i64), Error> {
    let (area, work, subject, day, count) = row;
    Ok((Attended { area: AreaId(area), subject: RecordId(subject), work }, date(&day)?, count))
}

pub(crate) type CounterTuple = (Uuid, String, String, String, i64);

pub(crate) fn counter(row: CounterTuple) -> Result<(TallyKey, i64), Error> {
    let (area, unit, day, measure, count) = row;
    let unit = Unit::parse(&unit).ok_or_else(|| Error::Unreadable(format!("unit {unit}")))?;
    Ok((TallyKey { area: AreaId(area), unit, day: date(&day)?, measure }, count))
}

/// A day as the databases keep it.
pub(crate) fn date(text: &str) -> Result<Date, Error> {
    text.parse().map_err(|_| Error::Unreadable(format!("day {text}")))
}

pub(crate) type PlacedOpTuple = (Uuid, i64, i64, i64, Option<Uuid>, String);

pub(crate) fn placed_op(row: PlacedOpTuple) -> Result<PlacedOp, Error> {
    let (device, seq, stamp, at_ms, worker, body) = row;
    Ok(PlacedOp {
        key: OrderKey { stamp: stamp as u64, device: DeviceId(device), seq: seq as u64 },
        at_ms,
        worker: worker.map(RecordId),
        op: parse::<Op>(&body)?,
    })
}

impl Waiting {
    /// The statement that reads them, and what is bound to it.
    pub(crate) fn select(self) -> (&'static str, Uuid, Option<i64>) {
        match self {
            Self::Op(id) => (
                "SELECT device, seq, stamp, at_ms, worker, body, group_first, reason FROM ops
                 WHERE state = 1 AND device = $1 AND seq = $2",
                id.device.0,
                Some(id.seq as i64),
            ),
            Self::Group(first) => (
                "SELECT device, seq, stamp, at_ms, worker, body, group_first, reason FROM ops
                 WHERE state = 1 AND device = $1 AND seq >= $2 AND group_first = $2 ORDER BY seq",
                first.device.0,
                Some(first.seq as i64),
            ),
            Self::DependingOn(record) => (
                "SELECT device, seq, stamp, at_ms, worker, body, group_first, reason FROM ops
                 WHERE state = 1 AND record = $1 AND reason = 'DEPENDS_ON_QUARANTINED' ORDER BY stamp, device, seq",
                record.0,
                None,
            ),
        }
    }
}

pub(crate) type WaitingTuple = (Uuid, i64, i64, i64, Option<Uuid>, Option<String>, i64, Option<String>);

pub(crate) fn waiting_op(row: WaitingTuple) -> Result<WaitingOp, Error> {
    let (device, seq, stamp, at_ms, worker, body, group_first, reason) = row;
    let placed = PlacedOpRow {
        id: OpId { device: DeviceId(device), seq: seq as u64 },
        stamp: stamp as u64,
        at_ms,
        worker: worker.map(RecordId),
        op: body.as_deref().map(parse::<Op>).transpose()?,
    };
    Ok(WaitingOp { placed, group_first: group_first as u64, reason: quarantine_reason(reason.as_deref()) })
}

/// Why an op is in quarantine.
pub(crate) fn quarantine_reason(reason: Option<&str>) -> Reason {
    reason.and_then(Reason::parse).unwrap_or(Reason::Malformed)
}

pub(crate) fn json(value: &impl Serialize) -> Result<String, Error> {
    serde_json::to_string(value).map_err(|error| Error::Unreadable(error.to_string()))
}

pub(crate) fn parse<T: DeserializeOwned>(text: &str) -> Result<T, Error> {
    serde_json::from_str(text).map_err(|error| Error::Unreadable(error.to_string()))
}
