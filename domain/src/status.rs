//! The stages that requests, violations, follow-ups, adoptions and notices go through, as tables.

use crate::kind::Kind;

/// The stages of one kind of record, and the steps between them.
#[derive(Debug)]
pub struct Stages {
    /// Every stage; the first is the one that a new record has.
    pub all: &'static [&'static str],
    /// The allowed steps, from and to.
    pub steps: &'static [(&'static str, &'static str)],
}

/// Resolved is the partner's word, verified is ours. A request that the team serves itself is never referred.
const REQUEST: Stages = Stages {
    all: &["open", "triaged", "referred", "in_progress", "resolved", "verified", "closed", "rejected"],
    steps: &[
        ("open", "triaged"),
        ("open", "rejected"),
        ("triaged", "referred"),
        ("triaged", "in_progress"),
        ("triaged", "rejected"),
        ("referred", "in_progress"),
        ("referred", "resolved"),
        ("referred", "triaged"), // the partner sends it back
        ("in_progress", "resolved"),
        ("in_progress", "triaged"), // handed back for another holder
        ("resolved", "verified"),
        ("resolved", "in_progress"), // the team looked: not solved
        ("verified", "closed"),
        ("closed", "open"), // the same trouble is back
        ("rejected", "open"),
    ],
};

/// Stages may be skipped: what is removed on the spot was never reported. Only what was removed can come back.
const VIOLATION: Stages = Stages {
    all: &["found", "stopped", "reported", "agreed", "removed", "restored", "closed"],
    steps: &[
        ("found", "stopped"),
        ("found", "reported"),
        ("found", "agreed"),
        ("found", "removed"),
        ("stopped", "reported"),
        ("stopped", "agreed"),
        ("stopped", "removed"),
        ("reported", "agreed"),
        ("reported", "removed"),
        ("agreed", "removed"),
        ("removed", "restored"),
        ("removed", "closed"),
        ("restored", "closed"),
        ("removed", "found"),
        ("restored", "found"),
        ("closed", "found"),
    ],
};

/// Missed is not deleted: it can still be done, late. A cancelled one comes back when its cause does, and so does one
/// that the worker judged too early.
const FOLLOW_UP: Stages = Stages {
    all: &["open", "done", "missed", "cancelled"],
    steps: &[
        ("open", "done"),
        ("done", "open"), // what was taken for its completion did not happen
        ("open", "missed"),
        ("open", "cancelled"),
        ("missed", "done"),
        ("missed", "open"), // called missed by a clock that ran ahead
        ("missed", "cancelled"),
        ("cancelled", "open"),
        ("cancelled", "done"), // the work was done before anybody cancelled it
    ],
};

const ADOPTION: Stages = Stages {
    all: &["offered", "confirmed", "lapsed", "ended"],
    steps: &[
        ("offered", "confirmed"),
        ("offered", "lapsed"),
        ("confirmed", "lapsed"),
        ("confirmed", "ended"),
        ("lapsed", "confirmed"),
        ("lapsed", "ended"),
    ],
};

/// A withdrawn one comes back when its cause does.
const NOTICE: Stages = Stages {
    all: &["raised", "seen", "withdrawn"],
    steps: &[
        ("raised", "seen"),
        ("raised", "withdrawn"),
        ("seen", "withdrawn"),
        ("withdrawn", "raised"),
        ("withdrawn", "seen"), // it was seen before anybody withdrew it
    ],
};

/// The stages of a kind of record, if it has any.
pub fn stages(kind: Kind) -> Option<&'static Stages> {
    match kind {
        Kind::Request => Some(&REQUEST),
        Kind::Violation => Some(&VIOLATION),
        Kind::FollowUp => Some(&FOLLOW_UP),
        Kind::Adoption => Some(&ADOPTION),
        Kind::Notice => Some(&NOTICE),
        _ => None,
    }
}

impl Stages {
    /// The stage that a new record has.
    pub fn first(&self) -> &'static str {
        self.all[0]
    }

    /// Whether the rules allow this step.
    pub fn allow(&self, from: &str, to: &str) -> bool {
        self.steps.contains(&(from, to))
    }
}
