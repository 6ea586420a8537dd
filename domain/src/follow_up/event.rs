//! Follow-ups of what happened once: violations removed, doors unanswered, requests referred, contracts that end.

use super::{Around, CalledFor, Done, Mend, Wanted};
use crate::body::FollowUp;
use crate::kind::Kind;
use crate::notice::{Addressee, WantedNotice};
use crate::op::{Action, Step};
use crate::record::{Record, Standing, StepTaken};
use crate::recurrence::{day_end_ms, days_later};
use jiff::civil::Date;

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
/// What a partner called resolved is to be verified on site within this time.
const VERIFY_DUE_MS: i64 = 7 * DAY_MS;
/// The end of a contract is looked after from so many days before.
const CONTRACT_OPENS_DAYS: i64 = 90;

/// After each removal, until it is found again.
pub(super) fn rechecks(violation: &Record, around: &Around) -> CalledFor {
    let mut called = CalledFor::default();
    let taken: Vec<&StepTaken> = applied(violation).collect();
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
            let id = violation.id.derived(&format!("recheck/{}/{days}", removal.trace.op));
            let follow_up = FollowUp {
                subject: violation.subject(),
                source: Some(violation.id),
                sort: "recheck".to_owned(),
                opens_at_ms: Some(due_at_ms - RECHECK_OPENS_MS),
                due_at_ms: Some(due_at_ms),
                expires_at_ms: Some(due_at_ms + RECHECK_EXPIRES_MS),
                cause: removal.trace.op.to_string(),
                rule: format!("{days} days after removal"),
                ..FollowUp::default()
            };
            let done = around.done_by(id, &follow_up, |fact| {
                fact.reference("violation") == Some(violation.id) || fact.text("purpose") == "recheck"
            });
            called.follow_ups.push(Wanted { id, follow_up, done });
        }
    }
    called
}

/// Somebody calls again where nobody answered.
pub(super) fn second_call(visit: &Record, around: &Around) -> CalledFor {
    let at_ms = visit.created.at_ms;
    let due_at_ms = at_ms + SECOND_CALL_DUE_MS;
    let id = visit.id.derived("second_call");
    let follow_up = FollowUp {
        subject: visit.subject(),
        source: Some(visit.id),
        sort: "second_call".to_owned(),
        opens_at_ms: Some(at_ms + SECOND_CALL_OPENS_MS),
        due_at_ms: Some(due_at_ms),
        expires_at_ms: Some(due_at_ms + SECOND_CALL_EXPIRES_MS),
        worker: visit.created.worker,
        cause: visit.created.op.to_string(),
        rule: "another call at another time of day after no answer".to_owned(),
        ..FollowUp::default()
    };
    let is_call = |fact: &Record| fact.kind == Kind::Visit && fact.id != visit.id;
    let done = around.done_by(id, &follow_up, is_call);
    CalledFor { follow_ups: vec![Wanted { id, follow_up, done }], ..CalledFor::default() }
}

/// The partner is asked when its time is up, told that the request is with it, and what it calls resolved is verified.
pub(super) fn referral(request: &Record, _: &Around) -> CalledFor {
    let mut called = CalledFor::default();
    let taken: Vec<&StepTaken> = applied(request).collect();
    for (at, step) in taken.iter().enumerate() {
        let op = step.trace.op;
        let next = |stages: &[&str]| {
            let later = taken[at + 1..].iter().find(|later| stages.contains(&later.step.to.as_str()));
            later.map(|later| Done { at_ms: later.trace.at_ms, evidence: later.step.evidence })
        };
        let is_over = |done: &Option<Done>, back: &[&str]| {
            // It went another way before it came to that.
            let way = taken[at + 1..].iter().find(|later| back.contains(&later.step.to.as_str()));
            way.is_some_and(|way| done.is_none_or(|done| way.trace.at_ms <= done.at_ms))
        };
        match step.step.to.as_str() {
            "referred" => {
                let done = next(&["resolved"]);
                if is_over(&done, &["triaged", "rejected", "open"]) {
                    continue;
                }
                let due_at_ms = step.step.due_at_ms.unwrap_or(step.trace.at_ms);
                let follow_up = FollowUp {
                    subject: request.subject(),
                    source: Some(request.id),
                    sort: "referral_chase".to_owned(),
                    opens_at_ms: Some(step.trace.at_ms),
                    due_at_ms: Some(due_at_ms),
                    organization: step.step.organization,
                    cause: op.to_string(),
                    rule: "when the partner's time is up".to_owned(),
                    ..FollowUp::default()
                };
                let id = request.id.derived(&format!("chase/{op}"));
                called.follow_ups.push(Wanted { id, follow_up, done });
                if let (Some(organization), None) = (step.step.organization, done) {
                    called.notices.push(WantedNotice {
                        id: request.id.derived(&format!("referral/{op}")),
                        subject: request.id,
                        sort: "referral",
                        at_ms: step.trace.at_ms,
                        due_at_ms: Some(due_at_ms),
                        to: Addressee::Organization(organization),
                    });
                }
            }
            "resolved" => {
                let follow_up = FollowUp {
                    subject: request.subject(),
                    source: Some(request.id),
                    sort: "verification".to_owned(),
                    opens_at_ms: Some(step.trace.at_ms),
                    due_at_ms: Some(step.trace.at_ms + VERIFY_DUE_MS),
                    cause: op.to_string(),
                    rule: "on site before a resolved request is closed".to_owned(),
                    ..FollowUp::default()
                };
                let id = request.id.derived(&format!("verify/{op}"));
                called.follow_ups.push(Wanted { id, follow_up, done: next(&["verified", "in_progress"]) });
            }
            _ => {}
        }
    }
    called
}

/// A contract that ends needs a successor.
pub(super) fn contract_expiry(contract: &Record, around: &Around) -> CalledFor {
    let Ok(until) = contract.text("until").parse::<Date>() else { return CalledFor::default() };
    let covers = contract.text("covers");
    let successor = around
        .near(Kind::Contract)
        .filter(|other| other.id != contract.id && other.text("covers") == covers)
        .filter(|other| {
            let begins_in_time =
                other.text("from").parse::<Date>().is_ok_and(|from| from <= days_later(until, 1));
            let lasts =
                other.text("until").parse::<Date>().map_or(other.text("until").is_empty(), |end| end > until);
            (begins_in_time || other.text("from").is_empty()) && lasts
        })
        .min_by_key(|other| (other.created.at_ms, other.id));
    let opens_ms = day_end_ms(days_later(until, -CONTRACT_OPENS_DAYS - 1), around.zone) + 1;
    let follow_up = FollowUp {
        subject: contract.subject(),
        source: Some(contract.id),
        sort: "contract_expiry".to_owned(),
        opens_at_ms: Some(opens_ms),
        due_at_ms: Some(day_end_ms(until, around.zone)),
        cause: contract.changed.op.to_string(),
        rule: "a successor before the contract ends".to_owned(),
        ..FollowUp::default()
    };
    if around.now_ms < opens_ms {
        return CalledFor { moments: vec![opens_ms], ..CalledFor::default() };
    }
    let done = successor.map(|it| Done { at_ms: it.created.at_ms, evidence: Some(it.id) });
    let id = contract.id.derived(&format!("expiry/{until}"));
    CalledFor { follow_ups: vec![Wanted { id, follow_up, done }], ..CalledFor::default() }
}

/// When an adoption has to be confirmed.
pub(super) fn confirmation(adoption: &Record, around: &Around) -> CalledFor {
    CalledFor {
        moments: confirm_by_ms(adoption, around).map(|ms| ms + 1).into_iter().collect(),
        ..CalledFor::default()
    }
}

/// What happens to a source itself as time passes: an adoption that nobody confirmed lapses.
pub(super) fn own_mends(source: &Record, around: &Around) -> Vec<Mend> {
    let is_late = confirm_by_ms(source, around).is_some_and(|by_ms| around.now_ms > by_ms);
    if source.kind != Kind::Adoption || source.status != "offered" || source.deleted.is_some() || !is_late {
        return Vec::new();
    }
    let reason = "nobody confirmed it in time".to_owned();
    let step = Step { to: "lapsed".to_owned(), reason, ..Step::default() };
    vec![Mend { record: source.id, kind: Kind::Adoption, area: source.area, action: Action::Step(step) }]
}

fn confirm_by_ms(adoption: &Record, around: &Around) -> Option<i64> {
    Some(day_end_ms(adoption.text("confirm_by").parse().ok()?, around.zone))
}

fn applied(record: &Record) -> impl Iterator<Item = &StepTaken> {
    record.steps.iter().filter(|taken| taken.standing == Standing::Applied)
}
