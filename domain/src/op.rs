//! Ops: what people did.

use crate::body::Body;
use crate::clock::{ClockReading, OrderKey};
use crate::id::{AreaId, OpId, RecordId};
use crate::kind::Kind;
use crate::limit::{LIST_ENTRIES_MAX, NAME_CHARS_MAX, TEXT_CHARS_MAX};
use crate::status::stages;
use crate::verdict::{Reason, Refusal};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The version of ops that this code writes. Older ones are brought up to it when they are read.
pub const SCHEMA_VERSION: u32 = 1;

/// One thing that somebody did to one record, as the device recorded it.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Op {
    /// The record that this is about.
    pub record: RecordId,
    /// The area in which it was recorded: the record's area as the author knew it.
    pub area: AreaId,
    /// What kind of record it is.
    pub kind: Kind,
    /// What was done.
    pub action: Action,
    /// The device's clocks at that moment.
    pub clock: ClockReading,
    /// The largest stamp that the device had seen from the server then; 0 if none.
    pub observed: u64,
    /// The version of its assignment that the device knew then.
    pub scope_version: u64,
}

/// What can be done to a record.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// It is there now: a place was registered, a visit happened, a request was raised.
    Create(Box<Body>),
    /// Fields have other values. On a fact this is an amendment, and needs a reason.
    Edit {
        /// Each field that changes.
        changes: Vec<Change>,
        /// Why; needed for facts, and for what a plan says of when something falls due.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        reason: String,
    },
    /// It goes to another stage.
    Step(Step),
    /// It belongs to another area from now on.
    Move {
        /// Where to.
        to: AreaId,
    },
    /// It is gone for ever; what it said is no longer sent to anybody.
    Delete {
        /// Why.
        reason: String,
    },
    /// Somebody looked at disputes of this record and needs to see them no more.
    Settle {
        /// The ops that raised them.
        disputes: Vec<OpId>,
    },
}

/// One field changes.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Change {
    /// The field's name, as in the body.
    pub field: String,
    /// The value that the author saw; null if it was empty.
    pub base: Value,
    /// The new value; null to empty it.
    pub value: Value,
}

/// A step to another stage.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Step {
    /// The stage after the step.
    pub to: String,
    /// Why. Needed for `rejected` and `cancelled`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// The organization that a request is referred to. Needed for `referred`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub organization: Option<RecordId>,
    /// Until when, in ms since 1970 UTC. Needed for `referred`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub due_at_ms: Option<i64>,
    /// The visit, inspection or attachment that shows it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub evidence: Option<RecordId>,
    /// What came of it, for a follow-up that is done.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub outcome: String,
    /// When the work was done, in ms since 1970 UTC, if that was before the step was taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub done_at_ms: Option<i64>,
}

/// An op with its place in the one total order and the times that were worked out for it.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct PlacedOp {
    /// Its place in the order; device and seq name the op.
    pub key: OrderKey,
    /// When it happened, as well as it can be known, in ms since 1970 UTC.
    pub at_ms: i64,
    /// Who did it: the worker that the device was enrolled for.
    pub worker: Option<RecordId>,
    /// What was done.
    pub op: Op,
}

impl PlacedOp {
    /// The name of the op.
    pub fn id(&self) -> OpId {
        OpId { device: self.key.device, seq: self.key.seq }
    }
}

impl Op {
    /// Whether the op can be taken in: everything needed is there, within its limits, and fits the kind.
    ///
    /// It looks at the op alone; what the record allows is decided by the fold.
    ///
    /// # Errors
    /// A [`Refusal`] that names the field and says what to do.
    pub fn check(&self) -> Result<(), Refusal> {
        match &self.action {
            Action::Create(body) => {
                if body.kind() != self.kind {
                    return Err(Refusal::new(
                        Reason::WrongKind,
                        "create.body: its kind is not the op's kind",
                    ));
                }
                if self.kind == Kind::Area && self.record != RecordId::from(self.area) {
                    return Err(Refusal::invalid("area", "an area is recorded in itself: use its own id"));
                }
                body.check()
            }
            Action::Edit { changes, reason } => {
                if changes.is_empty() || changes.len() > LIST_ENTRIES_MAX {
                    return Err(Refusal::invalid("edit.fields", "name 1 to 256 fields to change"));
                }
                text("edit.reason", reason)?;
                crate::body::check_changes(self.kind, changes, reason)
            }
            Action::Step(step) => step.check(self.kind),
            Action::Move { to } if *to == self.area => {
                Err(Refusal::invalid("move.to", "the record is in this area already"))
            }
            Action::Move { .. } if self.kind == Kind::Area => {
                Err(Refusal::new(Reason::WrongKind, "move: areas stay where they are in the tree"))
            }
            Action::Move { .. } => Ok(()),
            Action::Delete { .. } if self.kind == Kind::Area => {
                Err(Refusal::new(Reason::WrongKind, "delete: areas are kept for ever"))
            }
            Action::Delete { reason } if reason.trim().is_empty() => {
                Err(Refusal::invalid("delete.reason", "say why it is deleted"))
            }
            Action::Delete { reason } => text("delete.reason", reason),
            Action::Settle { disputes } if disputes.is_empty() || disputes.len() > LIST_ENTRIES_MAX => {
                Err(Refusal::invalid("settle.disputes", "name 1 to 256 disputes"))
            }
            Action::Settle { .. } => Ok(()),
        }
    }
}

impl Step {
    fn check(&self, kind: Kind) -> Result<(), Refusal> {
        let Some(stages) = stages(kind) else {
            return Err(Refusal::new(Reason::WrongKind, format!("step: a {} has no stages", kind.name())));
        };
        if !stages.all.contains(&self.to.as_str()) {
            return Err(Refusal::invalid("step.to", &format!("use one of {}", stages.all.join(", "))));
        }
        if matches!(self.to.as_str(), "rejected" | "cancelled") && self.reason.trim().is_empty() {
            return Err(Refusal::invalid("step.reason", "say why"));
        }
        if self.to == "referred" && (self.organization.is_none() || self.due_at_ms.is_none()) {
            return Err(Refusal::invalid(
                "step.organization",
                "a referral needs an organization and a due time",
            ));
        }
        text("step.reason", &self.reason)?;
        name("step.outcome", &self.outcome)
    }
}

/// Checks a long text.
pub(crate) fn text(field: &str, value: &str) -> Result<(), Refusal> {
    within(field, value, TEXT_CHARS_MAX)
}

/// Checks a name, title or code.
pub(crate) fn name(field: &str, value: &str) -> Result<(), Refusal> {
    within(field, value, NAME_CHARS_MAX)
}

fn within(field: &str, value: &str, chars_max: usize) -> Result<(), Refusal> {
    if value.len() > chars_max && value.chars().count() > chars_max {
        return Err(Refusal::invalid(field, &format!("longer than {chars_max} characters: shorten it")));
    }
    if value.contains('\0') {
        return Err(Refusal::invalid(field, "contains a NUL character: remove it")); // PostgreSQL cannot keep it
    }
    Ok(())
}
