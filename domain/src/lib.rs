//! What things are and what follows from what: pure functions, no I/O, no async, no clock.
//!
//! People act, and each act is an [`Op`]. The [`fold`](mod@fold) of a record's ops in one total order is the
//! [`Record`]: what is true now. Server and device share this code, so they cannot disagree.

pub mod access;
pub mod attendance;
pub mod body;
pub mod bug;
pub mod clock;
pub mod column;
pub mod contact;
pub mod fold;
pub mod follow_up;
pub mod history;
pub mod id;
pub mod kind;
pub mod language;
pub mod limit;
mod notice;
pub mod op;
mod policy;
pub mod record;
pub mod recurrence;
pub mod status;
pub mod summary;
pub mod tally;
pub mod template;
pub mod verdict;
pub mod vocabulary;

pub use access::Role;
pub use body::Body;
pub use clock::{ClockReading, OrderKey};
pub use contact::ContactData;
pub use fold::{Effect, apply, fold, weight};
pub use history::History;
pub use id::{AreaId, DeviceId, OpId, RecordId};
pub use kind::Kind;
pub use language::Language;
pub use op::{Action, Change, Op, PlacedOp};
pub use record::Record;
pub use verdict::{Outcome, Refusal, Verdict};
