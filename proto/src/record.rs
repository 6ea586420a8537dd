//! Records on the wire.

use crate::body::{body_of_kind, fields_to_wire};
use crate::op::{op_id_from_wire, step_from_wire, step_to_wire};
use crate::v1;
use crate::word::{id_from_wire, kind_from_wire, kind_to_wire, optional_id_from_wire, optional_id_to_wire};
use rounds_domain::body::Fields;
use rounds_domain::record::{Amendment, Dispute, Matter, Standing, StepTaken, Trace};
use rounds_domain::{OrderKey, Record, Refusal};
use serde_json::Value;
use std::collections::BTreeMap;

/// Writes a record with its number in its area's feed. Who last wrote a field stays here.
///
/// # Errors
/// A [`Refusal`] for fields that do not fit the kind, which is a fault in this program.
pub fn record_to_wire(record: &Record, number: u64) -> Result<v1::Record, Refusal> {
    let body = match record.deleted {
        Some(_) => None,
        None => Some(fields_to_wire(record.kind, record.fields.clone())?),
    };
    Ok(v1::Record {
        id: record.id.to_string(),
        kind: kind_to_wire(record.kind).into(),
        area: record.area.to_string(),
        number,
        body,
        status: record.status.clone(),
        created: Some(trace_to_wire(&record.created)),
        changed: Some(trace_to_wire(&record.changed)),
        steps: record.steps.iter().map(step_taken_to_wire).collect(),
        amendments: record.amendments.iter().map(amendment_to_wire).collect(),
        disputes: record.disputes.iter().map(dispute_to_wire).collect(),
        deleted: record.deleted.is_some(),
        deleted_reason: record.deleted.clone().unwrap_or_default(),
        stamp: record.through.stamp,
        former_areas: record.former_areas.iter().map(ToString::to_string).collect(),
    })
}

/// Reads a record and its number in its area's feed.
///
/// All that was written, but for two things that only the fold on the server needs: `writers` is empty, and
/// `through` has the right stamp with the name of the last op that changed the record.
///
/// # Errors
/// A [`Refusal`] that names the field.
pub fn record_from_wire(wire: v1::Record) -> Result<(Record, u64), Refusal> {
    let kind = kind_from_wire(wire.kind)?;
    let fields = match wire.body {
        Some(body) => body_of_kind(kind, body, "record.body")?.fields(),
        None => Fields::new(),
    };
    let changed = trace_from_wire("record.changed", wire.changed)?;
    let record = Record {
        id: id_from_wire("record.id", &wire.id)?,
        kind,
        area: id_from_wire("record.area", &wire.area)?,
        former_areas: each(wire.former_areas, |area| id_from_wire("record.former_areas", &area))?,
        fields,
        status: wire.status,
        created: trace_from_wire("record.created", wire.created)?,
        changed,
        writers: BTreeMap::new(),
        steps: each(wire.steps, step_taken_from_wire)?,
        amendments: each(wire.amendments, amendment_from_wire)?,
        disputes: each(wire.disputes, dispute_from_wire)?,
        deleted: wire.deleted.then_some(wire.deleted_reason),
        through: OrderKey { stamp: wire.stamp, device: changed.op.device, seq: changed.op.seq },
    };
    Ok((record, wire.number))
}

fn each<W, D>(wire: Vec<W>, read: impl FnMut(W) -> Result<D, Refusal>) -> Result<Vec<D>, Refusal> {
    wire.into_iter().map(read).collect()
}

fn trace_to_wire(trace: &Trace) -> v1::Trace {
    v1::Trace {
        device: trace.op.device.to_string(),
        seq: trace.op.seq,
        at_ms: trace.at_ms,
        worker: optional_id_to_wire(trace.worker),
    }
}

fn trace_from_wire(field: &str, wire: Option<v1::Trace>) -> Result<Trace, Refusal> {
    let wire = wire.ok_or_else(|| Refusal::invalid(field, "is needed"))?;
    Ok(Trace {
        op: op_id_from_wire(field, &wire.device, wire.seq)?,
        at_ms: wire.at_ms,
        worker: optional_id_from_wire(field, &wire.worker)?,
    })
}

fn step_taken_to_wire(taken: &StepTaken) -> v1::StepTaken {
    let standing = match taken.standing {
        Standing::Applied => v1::Standing::Applied,
        Standing::Repeated => v1::Standing::Repeated,
        Standing::NotApplied => v1::Standing::NotApplied,
    };
    v1::StepTaken {
        trace: Some(trace_to_wire(&taken.trace)),
        from: taken.from.clone(),
        step: Some(step_to_wire(&taken.step)),
        standing: standing.into(),
    }
}

fn step_taken_from_wire(wire: v1::StepTaken) -> Result<StepTaken, Refusal> {
    let standing = match wire.standing() {
        v1::Standing::Unspecified => {
            return Err(Refusal::invalid("record.steps", "a standing is not known here"));
        }
        v1::Standing::Applied => Standing::Applied,
        v1::Standing::Repeated => Standing::Repeated,
        v1::Standing::NotApplied => Standing::NotApplied,
    };
    Ok(StepTaken {
        trace: trace_from_wire("record.steps.trace", wire.trace)?,
        from: wire.from,
        step: step_from_wire(wire.step.unwrap_or_default())?,
        standing,
    })
}

fn amendment_to_wire(amendment: &Amendment) -> v1::Amendment {
    let before = amendment.before.iter();
    v1::Amendment {
        trace: Some(trace_to_wire(&amendment.trace)),
        reason: amendment.reason.clone(),
        before: before
            .map(|(field, value)| v1::FieldValue { field: field.clone(), value_json: value.to_string() })
            .collect(),
    }
}

fn amendment_from_wire(wire: v1::Amendment) -> Result<Amendment, Refusal> {
    let before: Result<Fields, Refusal> = wire
        .before
        .into_iter()
        .map(|entry| Ok((entry.field, json("record.amendments.before", &entry.value_json)?)))
        .collect();
    Ok(Amendment {
        trace: trace_from_wire("record.amendments.trace", wire.trace)?,
        reason: wire.reason,
        before: before?,
    })
}

fn dispute_to_wire(dispute: &Dispute) -> v1::Dispute {
    use v1::dispute::Matter as Wire;
    let matter = match &dispute.matter {
        Matter::Field { field, kept, other, other_op } => Wire::Field(v1::FieldDispute {
            field: field.clone(),
            kept_json: kept.to_string(),
            other_json: other.to_string(),
            other_device: other_op.device.to_string(),
            other_seq: other_op.seq,
        }),
        Matter::Step { from, to } => Wire::Step(v1::StepDispute { from: from.clone(), to: to.clone() }),
    };
    v1::Dispute { device: dispute.op.device.to_string(), seq: dispute.op.seq, matter: Some(matter) }
}

fn dispute_from_wire(wire: v1::Dispute) -> Result<Dispute, Refusal> {
    use v1::dispute::Matter as Wire;
    let matter = match wire.matter {
        Some(Wire::Field(field)) => Matter::Field {
            field: field.field,
            kept: json("record.disputes.kept_json", &field.kept_json)?,
            other: json("record.disputes.other_json", &field.other_json)?,
            other_op: op_id_from_wire("record.disputes.other_device", &field.other_device, field.other_seq)?,
        },
        Some(Wire::Step(v1::StepDispute { from, to })) => Matter::Step { from, to },
        None => return Err(Refusal::invalid("record.disputes", "a matter is not known here")),
    };
    Ok(Dispute { op: op_id_from_wire("record.disputes.device", &wire.device, wire.seq)?, matter })
}

fn json(field: &str, text: &str) -> Result<Value, Refusal> {
    serde_json::from_str(text).map_err(|_| Refusal::invalid(field, "is no JSON"))
}
