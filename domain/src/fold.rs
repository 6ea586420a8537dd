//! The fold: ops in their one total order become a record.
//!
//! Pure, and shared by server and device. The record depends on the set of ops alone, never on the order in which
//! they arrived: [`fold`] sorts, and [`apply`] is only ever called with the op that comes next in the order.

use crate::body::{Body, Fields};
use crate::bug::{Bug, is_injected};
use crate::id::AreaId;
use crate::kind::{Kind, Nature};
use crate::limit::{RECORD_ENTRIES_BYTES_MAX, RECORD_ENTRIES_MAX};
use crate::op::{Action, Change, PlacedOp, Step};
use crate::record::{Amendment, Dispute, Matter, Record, Standing, StepTaken, Trace};
use crate::status::stages;
use crate::verdict::{Outcome, Reason, Refusal, Verdict};
use serde_json::Value;
use std::collections::BTreeMap;

/// What an op did at its place in the order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Effect {
    /// The record changed as asked.
    Applied,
    /// The record says so already.
    Merged,
    /// The record changed, and another's change of the same field is kept beside it.
    Conflict,
    /// Nothing changed but the history.
    NotApplied(Refusal),
}

impl Effect {
    /// The verdict for an op that has this effect on arrival.
    pub fn verdict(self) -> Verdict {
        match self {
            Effect::Applied => Verdict::plain(Outcome::Applied),
            Effect::Merged => Verdict::plain(Outcome::Merged),
            Effect::Conflict => Verdict::plain(Outcome::ConflictRecorded),
            Effect::NotApplied(refusal) => Verdict::because(Outcome::NotApplied, refusal),
        }
    }
}

/// Folds the ops of one record, given in any order, each once or more often.
///
/// Answers the record, if any op created it, and the effect of each op, in the order in which they took effect: the total
/// order, but for the op that creates the record, which comes first. Whoever acts on a record has seen it; so what is
/// before its creation in the order saw one that is lost. A server that was restored makes the same follow-ups again.
pub fn fold<'a>(
    ops: impl IntoIterator<Item = &'a PlacedOp>,
) -> (Option<Record>, Vec<(&'a PlacedOp, Effect)>) {
    let ordered: BTreeMap<_, _> = ops.into_iter().map(|placed| (placed.key, placed)).collect();
    let mut ordered: Vec<&PlacedOp> = ordered.into_values().collect();
    if let Some(creation) = ordered.iter().position(|placed| matches!(placed.op.action, Action::Create(_))) {
        ordered[..=creation].rotate_right(1);
    }
    let mut record = None;
    let effects = ordered.into_iter().map(|placed| (placed, apply(&mut record, placed))).collect();
    (record, effects)
}

/// Takes in the next op. But for those before the record's creation, its key must be greater than that of every op taken in
/// before: `record.through`.
pub fn apply(record: &mut Option<Record>, placed: &PlacedOp) -> Effect {
    let Some(record) = record else {
        return match &placed.op.action {
            Action::Create(body) => {
                *record = Some(create(placed, first_fields(body)));
                Effect::Applied
            }
            _ => not_applied(Reason::UnknownRecord, "nobody created this record before"),
        };
    };
    // An op that nobody knew the record of when it came was kept unseen: it must not write into another area's record.
    // `through` stays, so that the record is the same whether it came before or not at all.
    if record.area != placed.op.area && !record.former_areas.contains(&placed.op.area) {
        return not_applied(Reason::NotInScope, "the record was never in the area that this names");
    }
    record.through = record.through.max(placed.key);
    if is_injected(Bug::Resurrection) {
        record.deleted = None;
    }
    if record.deleted.is_some() {
        if let Action::Move { to } = placed.op.action {
            leave(record, to); // until it was known to be deleted, there were people who had it there
        }
        return not_applied(Reason::Deleted, "the record was deleted before");
    }
    if record.kind != placed.op.kind {
        return not_applied(Reason::WrongKind, "the record is of another kind");
    }
    let effect = match &placed.op.action {
        Action::Create(body) if first_fields(body) == record.fields => Effect::Merged,
        Action::Create(_) => not_applied(Reason::AlreadyExists, "another op created this record before"),
        Action::Edit { changes, reason } => edit(record, placed, changes, reason),
        Action::Step(step) => take_step(record, placed, step),
        Action::Move { to } if *to == record.area => Effect::Merged,
        Action::Move { to } => {
            let from = std::mem::replace(&mut record.area, *to);
            leave(record, from);
            Effect::Applied
        }
        Action::Delete { .. } if record.kind == Kind::Plan && is_mandated(record) => not_applied(
            Reason::StepNotAllowed,
            "the law requires this plan: first say why it is no longer mandated, with an edit",
        ),
        Action::Delete { reason } => {
            *record = tombstone(record, reason);
            Effect::Applied
        }
        Action::Settle { disputes } => {
            let before = record.disputes.len();
            record.disputes.retain(|dispute| !disputes.contains(&dispute.op));
            if record.disputes.len() < before { Effect::Applied } else { Effect::Merged }
        }
    };
    if matches!(effect, Effect::Applied | Effect::Conflict) {
        record.changed = trace(placed);
    }
    effect
}

/// What a record says that was created with this body.
fn first_fields(body: &Body) -> Fields {
    let mut fields = body.fields();
    if body.kind() == Kind::Request {
        fields.remove("referred_to"); // only a step refers
        fields.remove("due_at_ms");
    }
    fields
}

fn create(placed: &PlacedOp, fields: Fields) -> Record {
    Record {
        id: placed.op.record,
        kind: placed.op.kind,
        area: placed.op.area,
        former_areas: Vec::new(),
        fields,
        status: stages(placed.op.kind).map(|stages| stages.first().to_owned()).unwrap_or_default(),
        created: trace(placed),
        changed: trace(placed),
        writers: BTreeMap::new(),
        steps: Vec::new(),
        amendments: Vec::new(),
        disputes: Vec::new(),
        deleted: None,
        through: placed.key,
    }
}

/// Remembers that the record was in an area, as long as it is not in it now.
fn leave(record: &mut Record, area: AreaId) {
    let now = record.area;
    record.former_areas.retain(|former| *former != area && *former != now);
    if area != now {
        record.former_areas.push(area);
    }
}

fn is_mandated(plan: &Record) -> bool {
    plan.fields.get("mandated").and_then(Value::as_bool).unwrap_or_default()
}

fn tombstone(record: &Record, reason: &str) -> Record {
    Record {
        fields: Fields::new(),
        writers: BTreeMap::new(),
        steps: Vec::new(),
        amendments: Vec::new(),
        disputes: Vec::new(),
        deleted: Some(reason.to_owned()),
        ..record.clone()
    }
}

fn edit(record: &mut Record, placed: &PlacedOp, changes: &[Change], reason: &str) -> Effect {
    let mut before = Fields::new();
    let mut effect = Effect::Merged;
    for change in changes {
        let current = record.fields.get(&change.field).cloned().unwrap_or(Value::Null);
        if current == change.value {
            continue;
        }
        if current == change.base {
            if effect == Effect::Merged {
                effect = Effect::Applied;
            }
        } else {
            effect = Effect::Conflict;
            let other_op = record.writers.get(&change.field).copied().unwrap_or(record.created.op);
            push(
                &mut record.disputes,
                Dispute {
                    op: placed.id(),
                    matter: Matter::Field {
                        field: change.field.clone(),
                        kept: change.value.clone(),
                        other: current.clone(),
                        other_op,
                    },
                },
            );
        }
        if change.value.is_null() {
            record.fields.remove(&change.field);
        } else {
            record.fields.insert(change.field.clone(), change.value.clone());
        }
        record.writers.insert(change.field.clone(), placed.id());
        before.entry(change.field.clone()).or_insert(current); // named twice: what it said at first
    }
    if record.kind.nature() == Nature::Fact && !before.is_empty() {
        push(&mut record.amendments, Amendment { trace: trace(placed), reason: reason.to_owned(), before });
    }
    effect
}

fn take_step(record: &mut Record, placed: &PlacedOp, step: &Step) -> Effect {
    let from = record.status.clone();
    let allowed = stages(record.kind).is_some_and(|stages| stages.allow(&from, &step.to));
    let (standing, effect) = if allowed {
        (Standing::Applied, Effect::Applied)
    } else if from == step.to && !refers_elsewhere(record, step) {
        (Standing::Repeated, Effect::Merged)
    } else {
        let detail = match from == step.to {
            true => "it was referred to another organization, or for another time, before".to_owned(),
            false => format!("a {} that is {from} cannot become {}", record.kind.name(), step.to),
        };
        (Standing::NotApplied, not_applied(Reason::StepNotAllowed, &detail))
    };
    match standing {
        Standing::Applied => {
            record.status.clone_from(&step.to);
            if step.to == "referred" {
                set(&mut record.fields, "referred_to", step.organization.map(|id| id.to_string().into()));
                set(&mut record.fields, "due_at_ms", step.due_at_ms.map(Value::from));
            } else if record.kind == Kind::Request && matches!(step.to.as_str(), "triaged" | "open") {
                set(&mut record.fields, "referred_to", None);
                set(&mut record.fields, "due_at_ms", None);
            }
        }
        Standing::Repeated => {}
        // It was done before anybody gave it up, and they did not know.
        Standing::NotApplied if record.kind == Kind::FollowUp && from == "done" => {}
        Standing::NotApplied => push(
            &mut record.disputes,
            Dispute { op: placed.id(), matter: Matter::Step { from: from.clone(), to: step.to.clone() } },
        ),
    }
    push(&mut record.steps, StepTaken { trace: trace(placed), from, step: step.clone(), standing });
    effect
}

/// Whether a referral says another organization, or another time, than the one that stands.
fn refers_elsewhere(record: &Record, step: &Step) -> bool {
    let organizations = step.organization.zip(record.reference("referred_to"));
    let times = step.due_at_ms.zip(record.fields.get("due_at_ms").and_then(Value::as_i64));
    step.to == "referred"
        && (organizations.is_some_and(|(asked, stands)| asked != stands)
            || times.is_some_and(|(asked, stands)| asked != stands))
}

fn set(fields: &mut Fields, field: &str, value: Option<Value>) {
    match value {
        Some(value) => fields.insert(field.to_owned(), value),
        None => fields.remove(field),
    };
}

/// What a record carries beside its fields.
trait Entry {
    /// What its texts and values take.
    fn bytes(&self) -> usize;
    /// Whether it goes before others do that are older.
    fn is_spare(&self) -> bool {
        false
    }
}

impl Entry for StepTaken {
    fn bytes(&self) -> usize {
        self.step.reason.len() + self.step.outcome.len() + self.step.to.len()
    }

    /// Those that brought it to another stage are counted.
    fn is_spare(&self) -> bool {
        self.standing != Standing::Applied
    }
}

impl Entry for Amendment {
    fn bytes(&self) -> usize {
        self.reason.len() + self.before.iter().map(|(field, value)| field.len() + bytes(value)).sum::<usize>()
    }
}

impl Entry for Dispute {
    fn bytes(&self) -> usize {
        match &self.matter {
            Matter::Field { field, kept, other, .. } => field.len() + bytes(kept) + bytes(other),
            Matter::Step { from, to } => from.len() + to.len(),
        }
    }
}

fn bytes(value: &Value) -> usize {
    const EACH: usize = 8;
    match value {
        Value::String(text) => EACH + text.len(),
        Value::Array(values) => values.iter().map(bytes).sum::<usize>() + EACH,
        Value::Object(fields) => {
            fields.iter().map(|(name, value)| name.len() + bytes(value)).sum::<usize>() + EACH
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => EACH,
    }
}

/// About how many bytes a record takes where it is kept or sent.
pub fn weight(record: &Record) -> usize {
    const EACH: usize = 200;
    fn all<T: Entry>(entries: &[T]) -> usize {
        entries.iter().map(|entry| EACH + entry.bytes()).sum()
    }
    let fields = record.fields.iter().map(|(name, value)| EACH + name.len() + bytes(value)).sum::<usize>();
    EACH + fields + all(&record.steps) + all(&record.amendments) + all(&record.disputes)
}

/// Adds an entry, and lets go of the oldest where there are too many, or too large ones: the history still has them.
fn push<T: Entry>(entries: &mut Vec<T>, entry: T) {
    let mut held = entries.iter().map(Entry::bytes).sum::<usize>() + entry.bytes();
    while entries.len() == RECORD_ENTRIES_MAX || (held > RECORD_ENTRIES_BYTES_MAX && !entries.is_empty()) {
        let spare = entries.iter().position(Entry::is_spare).unwrap_or(0);
        held -= entries.remove(spare).bytes();
    }
    entries.push(entry);
}

fn trace(placed: &PlacedOp) -> Trace {
    Trace { op: placed.id(), at_ms: placed.at_ms, worker: placed.worker }
}

fn not_applied(reason: Reason, detail: &str) -> Effect {
    Effect::NotApplied(Refusal::new(reason, detail))
}
