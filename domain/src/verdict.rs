//! What became of an op on arrival.

use serde::{Deserialize, Serialize};

macro_rules! reasons {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $text:literal),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
        pub enum $name {
            $($(#[$vdoc])* #[serde(rename = $text)] $variant),*
        }

        impl $name {
            /// Every value.
            pub const ALL: &[$name] = &[$($name::$variant),*];

            /// The machine-readable text that the wire and the databases use.
            pub fn as_str(self) -> &'static str {
                match self {
                    $($name::$variant => $text),*
                }
            }

            /// The value with this text.
            pub fn parse(text: &str) -> Option<Self> {
                match text {
                    $($text => Some($name::$variant),)*
                    _ => None,
                }
            }
        }
    };
}

reasons! {
    /// What became of an op. Only [`Outcome::Retry`] stops the ops behind it.
    Outcome {
        /// It took effect.
        Applied = "APPLIED",
        /// What it says is true already, or it is one more piece of evidence for it.
        Merged = "MERGED",
        /// It took effect, and somebody else had changed the same field: both values are kept.
        ConflictRecorded = "CONFLICT_RECORDED",
        /// Kept in the history of its record, without effect at its place.
        NotApplied = "NOT_APPLIED",
        /// Kept whole, for a coordinator to mend or release.
        Quarantined = "QUARANTINED",
        /// Not taken in; the device sends it again.
        Retry = "RETRY",
    }
}

reasons! {
    /// Why an op was not simply applied.
    Reason {
        /// The bytes are no op.
        Malformed = "MALFORMED",
        /// Recorded by a client newer than this server.
        UnknownSchema = "UNKNOWN_SCHEMA",
        /// The op has no action or a body of a kind that this server does not know.
        UnknownKind = "UNKNOWN_KIND",
        /// A field is missing, too long or out of range.
        Invalid = "INVALID",
        /// The role of the author does not allow this.
        Forbidden = "FORBIDDEN",
        /// The area is not, and when this was recorded was not, one of the author's.
        NotInScope = "NOT_IN_SCOPE",
        /// An op of the same group was not taken in.
        GroupRefused = "GROUP_REFUSED",
        /// The record was created by an op that is in quarantine.
        DependsOnQuarantined = "DEPENDS_ON_QUARANTINED",
        /// The device was revoked before this arrived.
        DeviceRevoked = "DEVICE_REVOKED",
        /// The server knows no such record. It applies by itself if the record turns up.
        UnknownRecord = "UNKNOWN_RECORD",
        /// Another op created this record with other content.
        AlreadyExists = "ALREADY_EXISTS",
        /// The record was deleted.
        Deleted = "DELETED",
        /// The rules do not allow this step, or this deletion, of the record as it was then.
        StepNotAllowed = "STEP_NOT_ALLOWED",
        /// The field cannot be changed once set.
        FieldFixed = "FIELD_FIXED",
        /// The op's action does not fit the kind of its record.
        WrongKind = "WRONG_KIND",
        /// The rest of its group is not in the batch.
        GroupIncomplete = "GROUP_INCOMPLETE",
        /// An op before it is missing.
        SequenceGap = "SEQUENCE_GAP",
        /// An op before it was not taken in.
        Behind = "BEHIND",
    }
}

/// An op that cannot be taken in as it is, and why.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{}: {detail}", reason.as_str())]
pub struct Refusal {
    /// The machine-readable reason.
    pub reason: Reason,
    /// What is wrong and what to do, for people. Never holds the content of a field.
    pub detail: String,
}

impl Refusal {
    /// A refusal with this reason and explanation.
    pub fn new(reason: Reason, detail: impl Into<String>) -> Self {
        Self { reason, detail: detail.into() }
    }

    /// A field of the op is missing, too long or out of range.
    pub fn invalid(field: &str, what: &str) -> Self {
        Self::new(Reason::Invalid, format!("{field}: {what}"))
    }
}

/// What became of an op on arrival. Given once; a retry gets the same.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Verdict {
    /// What became of it.
    pub outcome: Outcome,
    /// Why, unless it was simply applied.
    pub reason: Option<Reason>,
    /// The same for people; may be empty.
    pub detail: String,
}

impl Verdict {
    /// A verdict that needs no reason.
    pub fn plain(outcome: Outcome) -> Self {
        Self { outcome, reason: None, detail: String::new() }
    }

    /// A verdict with its reason.
    pub fn because(outcome: Outcome, refusal: Refusal) -> Self {
        Self { outcome, reason: Some(refusal.reason), detail: refusal.detail }
    }
}
