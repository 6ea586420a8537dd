//! Follow-ups of what happened once: violations removed, doors unanswered, requests referred, contracts that end.

use super::mend::{given_by_others, moved};
use super::{Around, CalledFor, Done, Mend, Wanted, last_step};
use crate::body::{Body, FollowUp};
use crate::id::RecordId;
use crate::kind::Kind;
use crate::notice::{Addressee, WantedNotice, days_ahead};
use crate::op::{Action, Step};
use crate::policy;
use crate::record::{Record, Standing, StepTaken};
use crate::recurrence::{day_end_ms, days_later};
use jiff::civil::Date;

const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;

/// Days after its removal at which a violation is looked at again, where no policy says others.
pub const RECHECK_DAYS: [u32; 3] = [7, 30, 90];
/// A recheck may be done this long before it is due.
const RECHECK_OPENS_MS: i64 = 2 * DAY_MS;
/// A recheck counts as missed this long after it was due.
const RECHECK_EXPIRES_MS: i64 = 7 * DAY_MS;
/// A second call opens this long after nobody answered: at another time of day.
const SECOND_CALL_OPENS_MS: i64 = 18 * HOUR_MS;
/// A second call is due so many days after nobody answered, where no policy says others.
const SECOND_CALL_DAYS: [u32; 1] = [3];
/// A second call counts as missed this long after it was due.
const SECOND_CALL_EXPIRES_MS: i64 = 4 * DAY_MS;
/// What a partner called resolved is to be verified on site within so many days, where no policy says others.
const VERIFY_DAYS: [u32; 1] = [7];
/// The end of a contract is looked after from so many days before; earlier if somebody is to be told earlier.
const CONTRACT_OPENS_DAYS: i64 = 90;

/// After each removal, until it is found again.
pub(super) fn rechecks(violation: &Record, around: &Around) -> CalledFor {
    let mut called = CalledFor::default();
    let taken: Vec<&StepTaken> = applied(violation).collect();
    let days_after = policy::due_days("recheck", &RECHECK_DAYS, around);
    let is_recheck = |fact: &Record| match fact.reference("violation") {
        Some(named) => named == violation.id,
        None => fact.text("purpose") == "recheck",
    };
    for (at, removal) in taken.iter().enumerate().filter(|(_, taken)| taken.step.to == "removed") {
        let found_again_ms = taken[at..]
            .iter()
            .find(|later| later.step.to == "found")
            .map_or(i64::MAX, |found| found.trace.at_ms);
        let cause = removal.trace.op.to_string();
        for days in &days_after {
            let due_at_ms = removal.trace.at_ms + days * DAY_MS;
            let id = violation.id.derived(&format!("recheck/{cause}/{days}"));
            let follow_up = FollowUp {
                subject: violation.subject(),
                source: Some(violation.id),
                sort: "recheck".to_owned(),
                opens_at_ms: Some(due_at_ms - RECHECK_OPENS_MS),
                due_at_ms: Some(due_at_ms),
                expires_at_ms: Some(due_at_ms + RECHECK_EXPIRES_MS),
                cause: cause.clone(),
                rule: format!("{days} days after removal"),
                ..FollowUp::default()
            };
            if due_at_ms > found_again_ms {
                break; // the next removal starts anew
            }
            let done_in = |it: &FollowUp| around.done_by(id, it, is_recheck);
            called.follow_ups.extend(wanted(id, follow_up, around, done_in));
        }
        for (id, made) in made_for(around, "recheck", &cause) {
            let is_wanted = called.follow_ups.iter().any(|wanted| wanted.id == id);
            if !is_wanted && made.due_at_ms <= Some(found_again_ms) {
                let done_in = |it: &FollowUp| around.done_by(id, it, is_recheck);
                called.follow_ups.extend(settled(id, &made, around, done_in));
            }
        }
    }
    called
}

/// Somebody calls again where nobody answered.
pub(super) fn second_call(visit: &Record, around: &Around) -> CalledFor {
    let (at_ms, cause) = (visit.created.at_ms, visit.created.op.to_string());
    let id = visit.id.derived("second_call");
    let is_call = |fact: &Record| fact.kind == Kind::Visit && fact.id != visit.id;
    let done_in = |it: &FollowUp| around.done_by(id, it, is_call);
    let follow_up = |days: i64| FollowUp {
        subject: visit.subject(),
        source: Some(visit.id),
        sort: "second_call".to_owned(),
        opens_at_ms: Some(at_ms + SECOND_CALL_OPENS_MS),
        due_at_ms: Some(at_ms + days * DAY_MS),
        expires_at_ms: Some(at_ms + days * DAY_MS + SECOND_CALL_EXPIRES_MS),
        worker: visit.created.worker,
        cause: cause.clone(),
        rule: "another call at another time of day after no answer".to_owned(),
        ..FollowUp::default()
    };
    let days = policy::due_days("second_call", &SECOND_CALL_DAYS, around).first().copied();
    let wanted = match days {
        Some(days) => wanted(id, follow_up(days), around, done_in),
        None => made_for(around, "second_call", &cause)
            .iter()
            .find_map(|(id, made)| settled(*id, made, around, done_in)),
    };
    CalledFor { follow_ups: wanted.into_iter().collect(), ..CalledFor::default() }
}

/// Follow-ups that exist because of an op, as they say, but for those that were cancelled or deleted.
fn made_for(around: &Around, sort: &str, cause: &str) -> Vec<(RecordId, FollowUp)> {
    let said = |record: &Record| match record.body() {
        Ok(Body::FollowUp(it)) if it.sort == sort && it.cause == cause => Some((record.id, it)),
        _ => None,
    };
    let is_made = |record: &&Record| {
        record.created.op.device == around.system && record.deleted.is_none() && record.status != "cancelled"
    };
    around.follow_ups.iter().filter(is_made).filter_map(said).collect()
}

/// A follow-up that exists, if it fell due or was done, or called done: what a policy says now is about what is to come.
fn settled(
    id: RecordId,
    follow_up: &FollowUp,
    around: &Around,
    done_in: impl Fn(&FollowUp) -> Option<Done>,
) -> Option<Wanted> {
    let done = done_in(follow_up);
    let fell_due = follow_up.due_at_ms.is_some_and(|due_ms| due_ms < around.now_ms);
    let record = around.follow_ups.iter().find(|record| record.id == id);
    let said_done = record.is_some_and(|record| around.said_done(record).is_some());
    (fell_due || done.is_some() || said_done).then(|| Wanted { id, follow_up: follow_up.clone(), done })
}

/// A follow-up as the policies have it now; if it is settled, in the window that it had. What nobody made, and what was
/// over before the policies were as they are, is not made up for.
fn wanted(
    id: RecordId,
    mut follow_up: FollowUp,
    around: &Around,
    done_in: impl Fn(&FollowUp) -> Option<Done> + Copy,
) -> Option<Wanted> {
    let made = made_for(around, &follow_up.sort, &follow_up.cause).into_iter().find(|(made, _)| *made == id);
    let record = around.follow_ups.iter().find(|record| record.id == id && made.is_some());
    let is_put_off = |record: &&Record| given_by_others(record, "due_at_ms", around.system).is_some();
    if let Some(record) = record.filter(is_put_off) {
        follow_up = moved(record, &follow_up, around.system);
    } else if let Some(before) = made.as_ref().and_then(|(id, made)| settled(*id, made, around, done_in)) {
        follow_up.opens_at_ms = before.follow_up.opens_at_ms;
        follow_up.due_at_ms = before.follow_up.due_at_ms;
        follow_up.expires_at_ms = before.follow_up.expires_at_ms;
    }
    let since_ms = policy::since_ms(&follow_up.sort, around);
    let was_over = follow_up.expires_at_ms.is_some_and(|expires_ms| expires_ms < since_ms);
    let done = done_in(&follow_up);
    (made.is_some() || !was_over).then_some(Wanted { id, follow_up, done })
}

/// The partner is asked when its time is up, told that the request is with it, and what it calls resolved is verified.
pub(super) fn referral(request: &Record, around: &Around) -> CalledFor {
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
                let done = resolved(&taken[at + 1..]);
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
                let id = request.id.derived(&format!("verify/{op}"));
                let follow_up = |days: i64| FollowUp {
                    subject: request.subject(),
                    source: Some(request.id),
                    sort: "verification".to_owned(),
                    opens_at_ms: Some(step.trace.at_ms),
                    due_at_ms: Some(step.trace.at_ms + days * DAY_MS),
                    cause: op.to_string(),
                    rule: "on site before a resolved request is closed".to_owned(),
                    ..FollowUp::default()
                };
                let done_in = |_: &FollowUp| next(&["verified", "in_progress"]);
                let days = policy::due_days("verification", &VERIFY_DAYS, around).first().copied();
                called.follow_ups.extend(match days {
                    Some(days) => wanted(id, follow_up(days), around, done_in),
                    None => made_for(around, "verification", &op.to_string())
                        .iter()
                        .find_map(|(id, made)| settled(*id, made, around, done_in)),
                });
            }
            _ => {}
        }
    }
    called
}

/// What resolved a referral for good, of the steps after it: not what the team then found not to be solved.
fn resolved(later: &[&StepTaken]) -> Option<Done> {
    let is_other =
        |taken: &&StepTaken| matches!(taken.step.to.as_str(), "open" | "triaged" | "referred" | "rejected");
    let of_it = later.split(is_other).next().unwrap_or_default();
    let is_working = |taken: &&StepTaken| taken.step.to == "in_progress";
    let since = of_it.rsplit(is_working).next().unwrap_or_default();
    let first = since.iter().find(|taken| taken.step.to == "resolved")?;
    Some(Done { at_ms: first.trace.at_ms, evidence: first.step.evidence })
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
    let opens_days = CONTRACT_OPENS_DAYS.max(days_ahead("contract_expiry", around));
    let opens_ms = day_end_ms(days_later(until, -opens_days - 1), around.zone) + 1;
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

/// What happens to a source itself as time passes: an adoption that nobody confirmed lapses, and one that turns out to
/// have been confirmed before is so again.
pub(super) fn own_mends(source: &Record, around: &Around) -> Vec<Mend> {
    if source.kind != Kind::Adoption || source.deleted.is_some() {
        return Vec::new();
    }
    let is_late = confirm_by_ms(source, around).is_some_and(|by_ms| around.now_ms > by_ms);
    let lapsed = last_step(source).filter(|taken| taken.trace.op.device == around.system);
    let step = match source.status.as_str() {
        "offered" if is_late => Step {
            to: "lapsed".to_owned(),
            reason: "nobody confirmed it in time".to_owned(),
            ..Step::default()
        },
        "lapsed" if lapsed.is_some_and(|taken| taken.from == "confirmed") => {
            Step { to: "confirmed".to_owned(), ..Step::default() }
        }
        _ => return Vec::new(),
    };
    vec![Mend { record: source.id, kind: Kind::Adoption, area: source.area, action: Action::Step(step) }]
}

fn confirm_by_ms(adoption: &Record, around: &Around) -> Option<i64> {
    Some(day_end_ms(adoption.text("confirm_by").parse().ok()?, around.zone))
}

fn applied(record: &Record) -> impl Iterator<Item = &StepTaken> {
    record.steps.iter().filter(|taken| taken.standing == Standing::Applied)
}
