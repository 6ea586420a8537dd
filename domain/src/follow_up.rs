//! What has to be done because of what happened: a pure function from a record to the follow-ups it calls for.
//!
//! Ids derive from the cause, so asking twice asks for the same follow-ups.

use crate::body::FollowUp;
use crate::id::RecordId;
use crate::kind::Kind;
use crate::record::{Record, Standing};

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

/// After each removal that counts, the violation is looked at again.
fn rechecks(violation: &Record) -> Vec<(RecordId, FollowUp)> {
    let removals = violation
        .steps
        .iter()
        .filter(|taken| taken.standing == Standing::Applied && taken.step.to == "removed");
    removals
        .flat_map(|removal| {
            RECHECK_DAYS.map(|days| {
                let due_at_ms = removal.trace.at_ms + days * DAY_MS;
                let follow_up = FollowUp {
                    subject: violation.subject(),
                    source: Some(violation.id),
                    sort: "recheck".to_owned(),
                    opens_at_ms: Some(due_at_ms - RECHECK_OPENS_MS),
                    due_at_ms: Some(due_at_ms),
                    expires_at_ms: Some(due_at_ms + RECHECK_EXPIRES_MS),
                    worker: None,
                    group: None,
                };
                (violation.id.derived(&format!("recheck/{}/{days}", removal.trace.op)), follow_up)
            })
        })
        .collect()
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
        group: None,
    };
    (visit.id.derived("second_call"), follow_up)
}
