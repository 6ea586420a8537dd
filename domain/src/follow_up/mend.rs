//! What it takes to make the follow-ups that exist those that should exist.

use super::{Around, Done, Wanted, Window, last_step};
use crate::body::{Body, FollowUp};
use crate::id::{AreaId, DeviceId, RecordId};
use crate::kind::Kind;
use crate::op::{Action, Change, Step};
use crate::record::Record;
use serde_json::Value;
use std::collections::BTreeMap;

/// Something to do to a record.
#[derive(Clone, PartialEq, Debug)]
pub struct Mend {
    /// The record.
    pub record: RecordId,
    /// Its kind.
    pub kind: Kind,
    /// The area that it is in.
    pub area: AreaId,
    /// What to do.
    pub action: Action,
}

/// What it takes to make the follow-ups that exist those that the record calls for; nothing if they are.
///
/// Those that somebody else made are left alone, and so is what somebody else did to one, be it a completion, a
/// cancellation, a deletion, or a field that was given another value.
pub fn mend(source: &Record, wanted: &[Wanted], around: &Around) -> Vec<Mend> {
    let mut wanted: BTreeMap<RecordId, &Wanted> = wanted.iter().map(|it| (it.id, it)).collect();
    let mut mends = Vec::new();
    for follow_up in around.follow_ups {
        let wanted = wanted.remove(&follow_up.id);
        if follow_up.deleted.is_some() || follow_up.created.op.device != around.system {
            continue;
        }
        let mut act = |action| {
            mends.push(Mend { record: follow_up.id, kind: Kind::FollowUp, area: follow_up.area, action });
        };
        let said = around.said_done(follow_up);
        let Some(wanted) = wanted else {
            let actions = match said {
                Some(_) => steps(follow_up, "done", said, around.system),
                None => steps_back(source, follow_up, around.system),
            };
            actions.into_iter().for_each(act);
            continue;
        };
        let work = wanted.done.or(said);
        let says = moved(follow_up, &wanted.follow_up, around.system);
        let target = target(&kept(follow_up, &says, around.system), work, around.now_ms);
        for step in steps(follow_up, target, work, around.system) {
            act(step);
        }
        let stays = matches!(follow_up.status.as_str(), "open" | "missed")
            || (follow_up.status == "cancelled" && ours(follow_up, around.system));
        let is_done = follow_up.status == "done" && ours(follow_up, around.system);
        if stays || is_done {
            let mut changes = changes(follow_up, &says, around.system);
            if target == "done" {
                // Who did it is history; when it was due may turn out to have been another time.
                changes.retain(|change| change.field.ends_with("_at_ms"));
            }
            if !changes.is_empty() {
                act(Action::Edit { changes, reason: String::new() });
            }
            if source.former_areas.contains(&follow_up.area) {
                act(Action::Move { to: source.area });
            }
        }
    }
    for wanted in wanted.into_values() {
        let body = Body::FollowUp(wanted.follow_up.clone());
        let mut act = |action| {
            mends.push(Mend { record: wanted.id, kind: Kind::FollowUp, area: source.area, action });
        };
        act(Action::Create(Box::new(body)));
        match target(&wanted.follow_up, wanted.done, around.now_ms) {
            "done" => act(done(wanted.done)),
            "missed" => act(step_to("missed")),
            _ => {}
        }
    }
    mends
}

/// A follow-up as it will be once it is mended.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Standing {
    pub(crate) id: RecordId,
    pub(crate) follow_up: FollowUp,
    pub(crate) status: String,
}

impl Standing {
    /// Whether there is still something to do.
    pub(crate) fn is_open(&self) -> bool {
        self.status == "open"
    }
}

/// The follow-ups as they will be once they are mended, in the order in which they are due.
pub(crate) fn after(wanted: &[Wanted], around: &Around) -> Vec<Standing> {
    let existing: BTreeMap<RecordId, &Record> =
        around.follow_ups.iter().map(|follow_up| (follow_up.id, follow_up)).collect();
    let mut standing: Vec<Standing> = Vec::new();
    for wanted in wanted {
        let (follow_up, status) = match existing.get(&wanted.id) {
            None => (wanted.follow_up.clone(), target(&wanted.follow_up, wanted.done, around.now_ms)),
            Some(record) if record.deleted.is_some() => continue,
            Some(record) => {
                let says = moved(record, &wanted.follow_up, around.system);
                let kept = kept(record, &says, around.system);
                let work = wanted.done.or_else(|| around.said_done(record));
                let target = target(&kept, work, around.now_ms);
                let last = steps(record, target, work, around.system).pop();
                let status = match &last {
                    Some(Action::Step(step)) => step.to.as_str(),
                    _ => record.status.as_str(),
                };
                standing.push(Standing { id: wanted.id, follow_up: kept, status: status.to_owned() });
                continue;
            }
        };
        standing.push(Standing { id: wanted.id, follow_up, status: status.to_owned() });
    }
    standing.sort_by_key(|state| (state.follow_up.due_at_ms, state.id));
    standing
}

fn target(says: &FollowUp, work: Option<Done>, now_ms: i64) -> &'static str {
    if work.is_some() {
        "done"
    } else if says.expires_at_ms.is_some_and(|expires_ms| now_ms > expires_ms) {
        "missed"
    } else {
        "open"
    }
}

/// The steps from the stage that a follow-up is in to the one that it should be in. None where somebody else decided.
fn steps(follow_up: &Record, target: &str, work: Option<Done>, system: DeviceId) -> Vec<Action> {
    let ours = ours(follow_up, system);
    match (follow_up.status.as_str(), target) {
        ("open" | "missed", "done") => vec![done(work)],
        ("cancelled", "done") if ours => vec![done(work)],
        ("open", "missed") => vec![step_to("missed")],
        ("missed" | "done" | "cancelled", "open") if ours => vec![step_to("open")],
        ("done" | "cancelled", "missed") if ours => vec![step_to("open"), step_to("missed")],
        _ => Vec::new(),
    }
}

/// The steps of one that nothing calls for any more and that nobody called done.
fn steps_back(source: &Record, follow_up: &Record, system: DeviceId) -> Vec<Action> {
    match follow_up.status.as_str() {
        "open" | "missed" => vec![cancelled()],
        // The work that did it does another one, now that more is known.
        "done" if ours(follow_up, system) && source.deleted.is_none() => vec![step_to("open"), cancelled()],
        _ => Vec::new(),
    }
}

/// Whether it was us who brought it to the stage that it is in.
fn ours(follow_up: &Record, system: DeviceId) -> bool {
    last_step(follow_up).is_some_and(|taken| taken.trace.op.device == system)
}

fn step_to(stage: &str) -> Action {
    Action::Step(Step { to: stage.to_owned(), ..Step::default() })
}

fn cancelled() -> Action {
    let reason = "what called for it no longer counts".to_owned();
    Action::Step(Step { to: "cancelled".to_owned(), reason, ..Step::default() })
}

fn done(work: Option<Done>) -> Action {
    Action::Step(Step {
        to: "done".to_owned(),
        evidence: work.and_then(|work| work.evidence),
        done_at_ms: work.map(|work| work.at_ms),
        ..Step::default()
    })
}

/// The fields that should say something else, without those that somebody else wrote.
fn changes(follow_up: &Record, wanted: &FollowUp, system: DeviceId) -> Vec<Change> {
    let wanted = Body::FollowUp(wanted.clone()).fields();
    if wanted == follow_up.fields {
        return Vec::new();
    }
    let is_ours = |field: &str| follow_up.writers.get(field).is_none_or(|writer| writer.device == system);
    let changes: Vec<Change> = Body::field_names(Kind::FollowUp)
        .iter()
        .filter(|field| **field != "source" && is_ours(field))
        .map(|field| Change {
            field: (*field).to_owned(),
            base: follow_up.fields.get(*field).cloned().unwrap_or(Value::Null),
            value: wanted.get(*field).cloned().unwrap_or(Value::Null),
        })
        .filter(|change| change.base != change.value)
        .collect();
    // Another version of a plan that changes nothing else is no news.
    if changes.iter().all(|change| change.field == "cause") { Vec::new() } else { changes }
}

/// What is wanted of a follow-up, with a window that moves along if somebody else gave it another day.
pub(super) fn moved(record: &Record, wanted: &FollowUp, system: DeviceId) -> FollowUp {
    let to_ms = given_by_others(record, "due_at_ms", system).and_then(Value::as_i64);
    let (Some(to_ms), Some(due_ms)) = (to_ms, wanted.due_at_ms) else { return wanted.clone() };
    let window = Window { opens_ms: wanted.opens_at_ms, due_ms, expires_ms: wanted.expires_at_ms };
    let Window { opens_ms, due_ms, expires_ms } = window.moved_to(to_ms);
    FollowUp { opens_at_ms: opens_ms, due_at_ms: Some(due_ms), expires_at_ms: expires_ms, ..wanted.clone() }
}

/// What somebody else wrote into a field.
pub(super) fn given_by_others<'a>(record: &'a Record, field: &str, system: DeviceId) -> Option<&'a Value> {
    record.writers.get(field).filter(|writer| writer.device != system)?;
    record.fields.get(field)
}

/// What a follow-up will say: what is wanted, but for the fields that somebody else wrote.
fn kept(record: &Record, wanted: &FollowUp, system: DeviceId) -> FollowUp {
    let Ok(Body::FollowUp(said)) = record.body() else { return wanted.clone() };
    let changed: Vec<String> =
        changes(record, wanted, system).into_iter().map(|change| change.field).collect();
    if changed.is_empty() {
        return said;
    }
    let mut fields = Body::FollowUp(said).fields();
    let mut wanted_fields = Body::FollowUp(wanted.clone()).fields();
    for field in changed {
        match wanted_fields.remove(&field) {
            Some(value) => fields.insert(field, value),
            None => fields.remove(&field),
        };
    }
    match Body::from_fields(Kind::FollowUp, fields) {
        Ok(Body::FollowUp(follow_up)) => follow_up,
        _ => wanted.clone(),
    }
}
