//! What it takes to make a record say what the register says, without undoing what people did since.
//!
//! Like everybody, the register is an author with a base: what it said itself at the last import. A field that people
//! changed since then, and the register did not, stays as they have it; where both changed it, the fold keeps both.

use super::mapping::{Claim, Target, attributes};
use rounds_domain::body::{Attribute, Fields};
use rounds_domain::{Action, AreaId, Body, Change, DeviceId, PlacedOp, Record};
use serde_json::Value;

/// What the register said at the last import.
#[derive(Clone, Default, Debug)]
pub(super) struct LastSaid {
    fields: Fields,
    area: Option<AreaId>,
}

impl LastSaid {
    /// Gathers it from the ops of a record, in their order.
    pub(super) fn of<'a>(ops: impl IntoIterator<Item = &'a PlacedOp>, register: DeviceId) -> Self {
        let mut said = Self::default();
        for placed in ops.into_iter().filter(|placed| placed.key.device == register) {
            match &placed.op.action {
                Action::Create(body) => {
                    said.fields = body.fields();
                    said.area = Some(placed.op.area);
                }
                Action::Edit { changes, .. } => changes.iter().for_each(|change| said.take(change)),
                Action::Move { to } => said.area = Some(*to),
                Action::Step(_) | Action::Delete { .. } | Action::Settle { .. } => {}
            }
        }
        said
    }

    fn take(&mut self, change: &Change) {
        if change.field != "attributes" {
            self.fields.insert(change.field.clone(), change.value.clone());
            return;
        }
        // The list has what people added, and lacks what they removed: the register said what it changed in it.
        let list = |value: &Value| attributes(&Fields::from_iter([("attributes".to_owned(), value.clone())]));
        let (before, after) = (list(&change.base), list(&change.value));
        let mut said = attributes(&self.fields);
        for Attribute { name, .. } in before.iter().filter(|one| !after.contains(one)) {
            set(&mut said, name, None);
        }
        for Attribute { name, value } in after.iter().filter(|one| !before.contains(one)) {
            set(&mut said, name, Some(value));
        }
        self.fields.insert("attributes".to_owned(), list_value(&said));
    }
}

/// What has to be done to a record.
#[derive(Clone, PartialEq, Debug, Default)]
pub(super) struct Difference {
    pub(super) actions: Vec<Action>,
    /// Fields that stay as people have them.
    pub(super) kept: usize,
}

/// Whether the record says all that the claim says.
pub(super) fn is_same(claim: &Claim, record: &Record) -> bool {
    let mut said = claim.targets.iter().zip(&claim.values);
    claim.area == record.area && said.all(|(target, value)| target.of(&record.fields) == *value)
}

/// Whether it takes [`LastSaid`] to tell what to do: somebody else may have changed what differs.
pub(super) fn is_touched(claim: &Claim, record: &Record, register: DeviceId) -> bool {
    let is_ours = |field| match record.writers.get(field) {
        None => record.created.op.device == register,
        Some(_) if field == "attributes" => false, // our last word on the list has that of others in it
        Some(writer) => writer.device == register,
    };
    let mut said = claim.targets.iter().zip(&claim.values);
    claim.area != record.area
        || said.any(|(target, value)| target.of(&record.fields) != *value && !is_ours(target.field()))
}

/// What to do, where only the register wrote what differs (`last` is none), or also somebody else.
///
/// `moves` says that the record is neither in the claimed area nor in one below it.
pub(super) fn difference(claim: &Claim, record: &Record, last: Option<&LastSaid>, moves: bool) -> Difference {
    let mut changes: Vec<Change> = Vec::new();
    let mut list = attributes(&record.fields);
    let mut list_base = list.clone();
    let mut kept = 0;
    for (target, value) in claim.targets.iter().zip(&claim.values) {
        let current = target.of(&record.fields);
        if current == *value {
            continue;
        }
        let base = last.map_or_else(|| current.clone(), |last| target.of(&last.fields));
        if base == *value {
            kept += 1; // the register says what it said: people know better since
            continue;
        }
        match target {
            Target::Field(field) => {
                changes.push(Change { field: (*field).to_owned(), base, value: value.clone() });
            }
            Target::Attribute(name) => {
                set(&mut list_base, name, base.as_str()); // not what is there: people changed it too, a conflict
                set(&mut list, name, value.as_str());
            }
        }
    }
    if list != attributes(&record.fields) {
        let field = "attributes".to_owned();
        changes.push(Change { field, base: list_value(&list_base), value: list_value(&list) });
    }
    let mut actions = Vec::new();
    if !changes.is_empty() {
        actions.push(Action::Edit { changes, reason: String::new() });
    }
    if moves && last.and_then(|last| last.area) != Some(claim.area) {
        actions.push(Action::Move { to: claim.area });
    }
    Difference { actions, kept }
}

fn list_value(list: &[Attribute]) -> Value {
    if list.is_empty() { Value::Null } else { serde_json::json!(list) }
}

fn set(list: &mut Vec<Attribute>, name: &str, value: Option<&str>) {
    let at = list.iter().position(|attribute| attribute.name == name);
    match (at, value) {
        (Some(at), Some(value)) => value.clone_into(&mut list[at].value),
        (Some(at), None) => {
            list.remove(at);
        }
        (None, Some(value)) => list.push(Attribute { name: name.to_owned(), value: value.to_owned() }),
        (None, None) => {}
    }
}

/// The body of a record that says what the claim says.
///
/// # Errors
/// When a value does not fit its field.
pub(super) fn body(claim: &Claim) -> Result<Body, String> {
    Body::from_fields(claim.kind, claim.fields()).map_err(|error| format!("{}: {error}", claim.kind.name()))
}
