//! Verdicts on the wire.

use crate::v1;
use rounds_domain::verdict::Reason;
use rounds_domain::{Outcome, Refusal, Verdict};

/// Reads a verdict and the seq of its op.
///
/// A reason that is not known here is kept in the detail: it explains, and decides nothing.
///
/// # Errors
/// A [`Refusal`] for an outcome that is not said or not known.
pub fn verdict_from_wire(wire: v1::Verdict) -> Result<(u64, Verdict), Refusal> {
    let outcome = match wire.outcome() {
        v1::Outcome::Unspecified => {
            return Err(Refusal::invalid("verdict.outcome", "is not known here: upgrade this client"));
        }
        v1::Outcome::Applied => Outcome::Applied,
        v1::Outcome::Merged => Outcome::Merged,
        v1::Outcome::ConflictRecorded => Outcome::ConflictRecorded,
        v1::Outcome::NotApplied => Outcome::NotApplied,
        v1::Outcome::Quarantined => Outcome::Quarantined,
        v1::Outcome::Retry => Outcome::Retry,
    };
    let reason = Reason::parse(&wire.reason);
    let detail = if reason.is_none() && !wire.reason.is_empty() {
        format!("{}: {}", wire.reason, wire.detail)
    } else {
        wire.detail
    };
    Ok((wire.seq, Verdict { outcome, reason, detail }))
}

/// Writes the verdict of the op with this seq.
pub fn verdict_to_wire(seq: u64, verdict: &Verdict) -> v1::Verdict {
    let outcome = match verdict.outcome {
        Outcome::Applied => v1::Outcome::Applied,
        Outcome::Merged => v1::Outcome::Merged,
        Outcome::ConflictRecorded => v1::Outcome::ConflictRecorded,
        Outcome::NotApplied => v1::Outcome::NotApplied,
        Outcome::Quarantined => v1::Outcome::Quarantined,
        Outcome::Retry => v1::Outcome::Retry,
    };
    v1::Verdict {
        seq,
        outcome: outcome.into(),
        reason: verdict.reason.map(|reason| reason.as_str().to_owned()).unwrap_or_default(),
        detail: verdict.detail.clone(),
    }
}
