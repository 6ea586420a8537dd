//! Records: what is true now.

use crate::body::{Body, Fields};
use crate::clock::OrderKey;
use crate::id::{AreaId, OpId, RecordId};
use crate::kind::Kind;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// What is true now of one thing: the fold of its ops in the one total order.
///
/// It also carries what the fold needs to take in the next op, and what people need to understand how it came
/// about: steps, amendments and disputes.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Record {
    /// Its name for ever.
    pub id: RecordId,
    /// What kind of thing it is.
    pub kind: Kind,
    /// The area that it is in now. Always exactly one.
    pub area: AreaId,
    /// Areas that it was in before. Work recorded there before the move was known still counts. And areas that it was moved
    /// to after it had been deleted, as long as nobody knew: people there are told that it is deleted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub former_areas: Vec<AreaId>,
    /// What it says; empty once it was deleted.
    pub fields: Fields,
    /// Its stage; empty for kinds without stages.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub status: String,
    /// How it began.
    pub created: Trace,
    /// The last op that changed it.
    pub changed: Trace,
    /// Who last set a field, for fields that were edited since it was created.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub writers: BTreeMap<String, OpId>,
    /// Steps in their order, with those that were repeated or did not apply.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<StepTaken>,
    /// What a fact said before it was amended.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub amendments: Vec<Amendment>,
    /// What a coordinator should look at.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub disputes: Vec<Dispute>,
    /// Why it was deleted, if it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deleted: Option<String>,
    /// The last op in it, also if that changed nothing. The fold goes on from here.
    pub through: OrderKey,
}

/// An op that left its mark, and when.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Trace {
    /// The op.
    pub op: OpId,
    /// When it happened, in ms since 1970 UTC.
    pub at_ms: i64,
    /// Who did it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker: Option<RecordId>,
}

/// What became of a step.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// The record went to the stage.
    Applied,
    /// It was in that stage already: kept as evidence.
    Repeated,
    /// The rules do not allow it from the stage that the record had: kept, and shown to a coordinator.
    NotApplied,
}

/// A step, and what became of it.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct StepTaken {
    /// The op, when and who.
    pub trace: Trace,
    /// The stage before.
    pub from: String,
    /// What was asked for.
    pub step: crate::op::Step,
    /// What became of it.
    pub standing: Standing,
}

/// A fact said something else before.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Amendment {
    /// The op that amended it, when and who.
    pub trace: Trace,
    /// Why.
    pub reason: String,
    /// The fields as they were before; null if they were empty.
    pub before: Fields,
}

/// Something that a coordinator should look at.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Dispute {
    /// The op that raised it.
    pub op: OpId,
    /// What it is about.
    pub matter: Matter,
}

/// What a dispute is about.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Matter {
    /// Two people changed the same field without having seen the other's value.
    Field {
        /// The field's name.
        field: String,
        /// The value that it has: the later one in the order.
        kept: Value,
        /// The value that it had before.
        other: Value,
        /// The op that had set the other value.
        other_op: OpId,
    },
    /// A step was not allowed at its place.
    Step {
        /// The stage at its place.
        from: String,
        /// The stage that was asked for.
        to: String,
    },
}

impl Record {
    /// The body as it is now.
    ///
    /// # Errors
    /// When the stored fields do not fit the kind, which is a fault in this program.
    pub fn body(&self) -> Result<Body, serde_json::Error> {
        Body::from_fields(self.kind, self.fields.clone())
    }

    /// A field's text; empty if it has none.
    pub fn text(&self, field: &str) -> &str {
        self.fields.get(field).and_then(Value::as_str).unwrap_or_default()
    }

    /// A field that names another record.
    pub fn reference(&self, field: &str) -> Option<RecordId> {
        self.text(field).parse().ok()
    }

    /// The record that this one is about, under which it is looked up: the place of an asset, the source of a
    /// follow-up, the dwelling of a visit.
    pub fn subject(&self) -> Option<RecordId> {
        if self.kind == Kind::Policy {
            return Some(self.area.into()); // it is about its area
        }
        let field = match self.kind {
            Kind::Area | Kind::Place => "parent",
            Kind::Asset => "place",
            Kind::FollowUp => "source",
            Kind::Adoption => "asset",
            Kind::Commitment => "organization",
            _ => "subject",
        };
        self.reference(field)
    }
}
