//! Ops on the wire.

use crate::body::{body_of_kind, fields_to_wire};
use crate::v1;
use crate::word::{
    clock_from_wire, clock_to_wire, id_from_wire, kind_from_wire, kind_to_wire, optional_id_from_wire,
    optional_id_to_wire,
};
use prost::Message as _;
use rounds_domain::body::Fields;
use rounds_domain::limit::OP_BYTES_MAX;
use rounds_domain::op::{SCHEMA_VERSION, Step};
use rounds_domain::verdict::Reason;
use rounds_domain::{Action, Body, Change, Kind, Op, OpId, Refusal};
use serde_json::Value;
use std::collections::BTreeSet;

/// Reads the bytes of an op.
///
/// # Errors
/// `MALFORMED` if they are no op, else as [`op_from_wire`].
pub fn decode_op(bytes: &[u8]) -> Result<Op, Refusal> {
    if bytes.len() > OP_BYTES_MAX {
        let what = format!("larger than {OP_BYTES_MAX} bytes: shorten its texts or split it");
        return Err(Refusal::invalid("op", &what));
    }
    let wire =
        v1::Op::decode(bytes).map_err(|error| Refusal::new(Reason::Malformed, format!("op: {error}")))?;
    op_from_wire(wire)
}

/// Writes an op as bytes. The same op gives the same bytes.
///
/// # Errors
/// A [`Refusal`] for an op that [`Op::check`] refuses too, or that is too large.
pub fn encode_op(op: &Op) -> Result<Vec<u8>, Refusal> {
    let bytes = op_to_wire(op)?.encode_to_vec();
    if bytes.len() > OP_BYTES_MAX {
        let what = format!("larger than {OP_BYTES_MAX} bytes: shorten its texts or split it");
        return Err(Refusal::invalid("op", &what));
    }
    Ok(bytes)
}

/// Reads an op. What its values may be is decided by [`Op::check`].
///
/// # Errors
/// `UNKNOWN_SCHEMA`, `UNKNOWN_KIND`, `WRONG_KIND`, or a [`Refusal`] that names the field.
pub fn op_from_wire(wire: v1::Op) -> Result<Op, Refusal> {
    if wire.schema_version == 0 || wire.schema_version > SCHEMA_VERSION {
        let detail = format!("schema_version: {}, known here are 1 to {SCHEMA_VERSION}", wire.schema_version);
        return Err(Refusal::new(Reason::UnknownSchema, detail));
    }
    let kind = kind_from_wire(wire.kind)?;
    let action = wire
        .action
        .ok_or_else(|| Refusal::new(Reason::UnknownKind, "action: none, or one that is not known here"))?;
    Ok(Op {
        record: id_from_wire("record", &wire.record)?,
        area: id_from_wire("area", &wire.area)?,
        kind,
        action: action_from_wire(kind, action)?,
        clock: clock_from_wire(wire.clock.unwrap_or_default()),
        observed: wire.observed,
        scope_version: wire.scope_version,
    })
}

/// Writes an op.
///
/// # Errors
/// A [`Refusal`] for an edit whose values do not fit the kind; [`Op::check`] refuses it too.
pub fn op_to_wire(op: &Op) -> Result<v1::Op, Refusal> {
    Ok(v1::Op {
        schema_version: SCHEMA_VERSION,
        record: op.record.to_string(),
        area: op.area.to_string(),
        kind: kind_to_wire(op.kind).into(),
        clock: Some(clock_to_wire(op.clock)),
        observed: op.observed,
        scope_version: op.scope_version,
        action: Some(action_to_wire(op.kind, &op.action)?),
    })
}

fn action_from_wire(kind: Kind, action: v1::op::Action) -> Result<Action, Refusal> {
    use v1::op::Action as Wire;
    Ok(match action {
        Wire::Create(create) => {
            let body = create.body.ok_or_else(|| Refusal::invalid("create.body", "is needed"))?;
            Action::Create(Box::new(body_of_kind(kind, body, "create.body")?))
        }
        Wire::Edit(edit) => edit_from_wire(kind, edit)?,
        Wire::Step(step) => Action::Step(step_from_wire(step)?),
        Wire::Move(v1::Move { to }) => Action::Move { to: id_from_wire("move.to", &to)? },
        Wire::Delete(v1::Delete { reason }) => Action::Delete { reason },
        Wire::Settle(v1::Settle { disputes }) => {
            let disputes: Result<_, _> = disputes
                .into_iter()
                .map(|dispute| op_id_from_wire("settle.disputes", &dispute.device, dispute.seq))
                .collect();
            Action::Settle { disputes: disputes? }
        }
    })
}

fn action_to_wire(kind: Kind, action: &Action) -> Result<v1::op::Action, Refusal> {
    use v1::op::Action as Wire;
    Ok(match action {
        Action::Create(body) => {
            Wire::Create(v1::Create { body: Some(crate::body_to_wire(body.as_ref().clone())) })
        }
        Action::Edit { changes, reason } => Wire::Edit(edit_to_wire(kind, changes, reason)?),
        Action::Step(step) => Wire::Step(step_to_wire(step)),
        Action::Move { to } => Wire::Move(v1::Move { to: to.to_string() }),
        Action::Delete { reason } => Wire::Delete(v1::Delete { reason: reason.clone() }),
        Action::Settle { disputes } => Wire::Settle(v1::Settle {
            disputes: disputes
                .iter()
                .map(|op| v1::OpRef { device: op.device.to_string(), seq: op.seq })
                .collect(),
        }),
    })
}

fn edit_from_wire(kind: Kind, edit: v1::Edit) -> Result<Action, Refusal> {
    let body = edit.body.ok_or_else(|| Refusal::invalid("edit.body", "is needed, with the new values"))?;
    let mut values = body_of_kind(kind, body, "edit.body")?.fields();
    let mut base = match edit.base {
        Some(base) => body_of_kind(kind, base, "edit.base")?.fields(),
        None => Fields::new(),
    };
    let names: BTreeSet<String> = edit.fields.unwrap_or_default().paths.into_iter().collect();
    let known = Body::field_names(kind);
    if let Some(unknown) = names.iter().find(|name| !known.contains(&name.as_str())) {
        let unknown: String = unknown.chars().take(64).collect();
        let what = format!("a {} has no field {unknown:?}; it has {}", kind.name(), known.join(", "));
        return Err(Refusal::invalid("edit.fields", &what));
    }
    let changes = names
        .into_iter()
        .map(|field| {
            let base = base.remove(&field).unwrap_or(Value::Null);
            let value = values.remove(&field).unwrap_or(Value::Null);
            Change { field, base, value }
        })
        .collect();
    Ok(Action::Edit { changes, reason: edit.reason })
}

fn edit_to_wire(kind: Kind, changes: &[Change], reason: &str) -> Result<v1::Edit, Refusal> {
    let fields_of = |value: fn(&Change) -> &Value| {
        let said = changes.iter().filter(|change| !value(change).is_null());
        said.map(|change| (change.field.clone(), value(change).clone())).collect::<Fields>()
    };
    Ok(v1::Edit {
        body: Some(fields_to_wire(kind, fields_of(|change| &change.value))?),
        fields: Some(prost_types::FieldMask {
            paths: changes.iter().map(|change| change.field.clone()).collect(),
        }),
        base: Some(fields_to_wire(kind, fields_of(|change| &change.base))?),
        reason: reason.to_owned(),
    })
}

pub(crate) fn step_from_wire(step: v1::Step) -> Result<Step, Refusal> {
    Ok(Step {
        to: step.to,
        reason: step.reason,
        organization: optional_id_from_wire("step.organization", &step.organization)?,
        due_at_ms: step.due_at_ms,
        evidence: optional_id_from_wire("step.evidence", &step.evidence)?,
        outcome: step.outcome,
        done_at_ms: step.done_at_ms,
    })
}

pub(crate) fn step_to_wire(step: &Step) -> v1::Step {
    v1::Step {
        to: step.to.clone(),
        reason: step.reason.clone(),
        organization: optional_id_to_wire(step.organization),
        due_at_ms: step.due_at_ms,
        evidence: optional_id_to_wire(step.evidence),
        outcome: step.outcome.clone(),
        done_at_ms: step.done_at_ms,
    }
}

pub(crate) fn op_id_from_wire(field: &str, device: &str, seq: u64) -> Result<OpId, Refusal> {
    Ok(OpId { device: id_from_wire(field, device)?, seq })
}
