//! What has to be done because of what happened: a pure function from a record to the follow-ups it calls for.
//!
//! Ids derive from the cause, so asking twice asks for the same follow-ups.

use crate::body::{Body, FollowUp};
use crate::id::{AreaId, DeviceId, RecordId};
use crate::kind::Kind;
use crate::op::{Action, Change, Step};
use crate::record::{Record, Standing};
use serde_json::Value;
use std::collections::BTreeMap;

const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;

/// Days after its removal at which a violation is looked at again.
pub const RECHECK_DAYS: [i64; 3] = [7, 30, 90];
/// A recheck may be done this long before it is due.
const RECHECK_OPENS_MS: i64 = 2 * DAY_MS;
/// A recheck counts as missed this long after it was due.
const RECHECK_EXPIRES_MS: i64 = 7 * DAY_MS;
/// A second call opens this long after nobody answered: at another time of day.
const SECOND_CALL_OPENS_MS: i64 = 18 * HOUR_MS;
/// A second call is due this long after nobody answered.
const SECOND_CALL_DUE_MS: i64 = 3 * DAY_MS;
/// A second call counts as missed this long after it was due.
const SECOND_CALL_EXPIRES_MS: i64 = 4 * DAY_MS;

/// Whether follow-ups can ever follow from records of this kind.
pub fn is_source(kind: Kind) -> bool {
    matches!(kind, Kind::Violation | Kind::Visit)
}

/// The follow-ups that should exist because of this record, with their ids.
pub fn called_for(record: &Record) -> Vec<(RecordId, FollowUp)> {
    if record.deleted.is_some() {
        return Vec::new();
    }
    match record.kind {
        Kind::Violation => rechecks(record),
        Kind::Visit if record.text("outcome") == "no_answer" => vec![second_call(record)],
        _ => Vec::new(),
    }
}

/// What it takes to make the follow-ups that exist those that the record calls for; nothing if they are.
///
/// `existing` are the follow-ups whose source is the record, deleted ones too. `system` is the device that creates
/// and mends follow-ups: those that somebody else made are left alone, and so is what somebody else did to one,
/// be it a cancellation, a deletion, or a field that was given another value.
pub fn mend(source: &Record, existing: &[Record], system: DeviceId) -> Vec<Mend> {
    let mut called_for: BTreeMap<RecordId, FollowUp> = called_for(source).into_iter().collect();
    let mut mends = Vec::new();
    for follow_up in existing {
        let wanted = called_for.remove(&follow_up.id);
        if follow_up.deleted.is_some() || follow_up.created.op.device != system {
            continue;
        }
        let mut act = |action| mends.push(Mend { record: follow_up.id, area: follow_up.area, action });
        let open = follow_up.status == "open";
        let cancelled_by_us = follow_up.status == "cancelled" && cancelled_by(follow_up) == Some(system);
        match wanted {
            None if open || follow_up.status == "missed" => act(Action::Step(Step {
                to: "cancelled".to_owned(),
                reason: "what called for it no longer counts".to_owned(),
                ..Step::default()
            })),
            Some(wanted) if open || cancelled_by_us => {
                if cancelled_by_us {
                    act(Action::Step(Step { to: "open".to_owned(), ..Step::default() }));
                }
                let changes = changes(follow_up, wanted, system);
                if !changes.is_empty() {
                    act(Action::Edit { changes, reason: String::new() });
                }
                if source.former_areas.contains(&follow_up.area) {
                    act(Action::Move { to: source.area });
                }
            }
            _ => {}
        }
    }
    mends.extend(called_for.into_iter().map(|(record, follow_up)| Mend {
        record,
        area: source.area,
        action: Action::Create(Box::new(Body::FollowUp(follow_up))),
    }));
    mends
}

/// Something to do to a follow-up.
#[derive(Clone, PartialEq, Debug)]
pub struct Mend {
    /// The follow-up.
    pub record: RecordId,
    /// The area that it is in.
    pub area: AreaId,
    /// What to do.
    pub action: Action,
}

/// The device that cancelled it last.
fn cancelled_by(follow_up: &Record) -> Option<DeviceId> {
    let last = follow_up.steps.iter().rev().find(|taken| taken.standing == Standing::Applied)?;
    Some(last.trace.op.device)
}

/// The fields that should say something else, without those that somebody else wrote.
fn changes(follow_up: &Record, wanted: FollowUp, system: DeviceId) -> Vec<Change> {
    let wanted = Body::FollowUp(wanted).fields();
    Body::field_names(Kind::FollowUp)
        .iter()
        .filter(|&&field| follow_up.writers.get(field).is_none_or(|writer| writer.device == system))
        .map(|&field| Change {
            field: field.to_owned(),
            base: follow_up.fields.get(field).cloned().unwrap_or(Value::Null),
            value: wanted.get(field).cloned().unwrap_or(Value::Null),
        })
        .filter(|change| change.base != change.value)
        .collect()
}

/// After each removal that counts, the violation is looked at again, until it is found again.
fn rechecks(violation: &Record) -> Vec<(RecordId, FollowUp)> {
    let taken: Vec<_> = violation.steps.iter().filter(|taken| taken.standing == Standing::Applied).collect();
    let mut called_for = Vec::new();
    for (at, removal) in taken.iter().enumerate().filter(|(_, taken)| taken.step.to == "removed") {
        let found_again_ms = taken[at..]
            .iter()
            .find(|later| later.step.to == "found")
            .map_or(i64::MAX, |found| found.trace.at_ms);
        for days in RECHECK_DAYS {
            let due_at_ms = removal.trace.at_ms + days * DAY_MS;
            if due_at_ms > found_again_ms {
                break; // the next removal starts anew
            }
            let follow_up = FollowUp {
                subject: violation.subject(),
                source: Some(violation.id),
                sort: "recheck".to_owned(),
                opens_at_ms: Some(due_at_ms - RECHECK_OPENS_MS),
                due_at_ms: Some(due_at_ms),
                expires_at_ms: Some(due_at_ms + RECHECK_EXPIRES_MS),
                ..FollowUp::default()
            };
            called_for
                .push((violation.id.derived(&format!("recheck/{}/{days}", removal.trace.op)), follow_up));
        }
    }
    called_for
}

fn second_call(visit: &Record) -> (RecordId, FollowUp) {
    let at_ms = visit.created.at_ms;
    let due_at_ms = at_ms + SECOND_CALL_DUE_MS;
    let follow_up = FollowUp {
        subject: visit.subject(),
        source: Some(visit.id),
        sort: "second_call".to_owned(),
        opens_at_ms: Some(at_ms + SECOND_CALL_OPENS_MS),
        due_at_ms: Some(due_at_ms),
        expires_at_ms: Some(due_at_ms + SECOND_CALL_EXPIRES_MS),
        worker: visit.created.worker,
        ..FollowUp::default()
    };
    (visit.id.derived("second_call"), follow_up)
}
