//! What goes into the store: batches of ops, and what came of them.

use crate::timer::Timer;
use rounds_domain::{AreaId, ClockReading, DeviceId, Op, RecordId, Refusal, Verdict};

/// The ops that one device sends in one call, in the order of their seq.
#[derive(Clone, Debug)]
pub struct Batch {
    /// Who sends them.
    pub device: DeviceId,
    /// The ops.
    pub arrivals: Vec<Arrival>,
    /// The device's clocks at the call; for ops that the server itself makes, its own.
    pub clock: ClockReading,
    /// The server's clock at the call, in ms since 1970 UTC.
    pub received_ms: i64,
    /// The smallest seq that the device still holds; 0 if unknown. See [`Receipt::lost`].
    pub holds_from: u64,
    /// What the sender looked after that follows from its ops: they leave no job. `None` for phones and coordinators: the
    /// worker gets a job where something may follow.
    pub settled: Option<Settled>,
}

/// What looks at records came to, beside their ops.
#[derive(Clone, Debug, Default)]
pub struct Settled {
    /// Set in the same transaction; a time that was due when the batch was received is replaced, of two that are not the
    /// earlier stays.
    pub timers: Vec<Timer>,
    /// What the ops come from, in their order.
    pub looks: Vec<Look>,
}

impl From<Vec<Timer>> for Settled {
    fn from(timers: Vec<Timer>) -> Self {
        Self { timers, looks: Vec::new() }
    }
}

/// A look at one record. If anything that it rests on has changed when its ops would be taken in, they are not: who
/// looked at that change did not see them, and they do not know of it. See [`Receipt::overtaken`].
#[derive(Clone, Debug)]
pub struct Look {
    /// The record that was looked at.
    pub source: RecordId,
    /// The area that it is in.
    pub area: AreaId,
    /// The head of that area before anything was read.
    pub head: u64,
    /// What was read: these records, and all whose subject is one of these. Counts for nothing where no op comes from it.
    pub read: Vec<RecordId>,
    /// How many of the batch's ops come from it: those behind the ops of the looks before it.
    pub ops: usize,
    /// Timers that hang on these ops.
    pub timers: Vec<Timer>,
}

/// One op as it came in.
#[derive(Clone, Debug)]
pub struct Arrival {
    /// Its number on the device, or `None` to give it the device's next one (ops that the server numbers).
    pub seq: Option<u64>,
    /// How many ops right behind it belong to the same atomic group.
    pub followed_by: u32,
    /// SHA-256 over `followed_by` and the op's bytes as sent, see [`content_hash`]: tells a retry from a copy.
    pub hash: [u8; 32],
    /// The op, or why it is kept aside.
    pub content: Content,
}

/// An op that may be taken in, or one that goes to quarantine.
#[derive(Clone, Debug)]
pub enum Content {
    /// Checked: well-formed, allowed for the role, and in an area of the device.
    Admitted(Op),
    /// Kept whole, for a coordinator.
    Refused {
        /// Why.
        refusal: Refusal,
        /// The op's bytes as sent.
        raw: Vec<u8>,
        /// The op as far as it could be read: ops that depend on it follow it.
        op: Option<Op>,
    },
}

impl Content {
    /// The op, unless it was refused.
    pub fn admitted(&self) -> Option<&Op> {
        match self {
            Self::Admitted(op) => Some(op),
            Self::Refused { .. } => None,
        }
    }

    /// The op as far as it could be read, refused or not.
    pub fn op(&self) -> Option<&Op> {
        match self {
            Self::Admitted(op) => Some(op),
            Self::Refused { op, .. } => op.as_ref(),
        }
    }
}

/// What came of a batch. Everything in it is committed and on disk.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Receipt {
    /// One verdict per arrival, with its seq. `Outcome::Retry` for those behind a gap, a fork, or an incomplete group.
    pub verdicts: Vec<(u64, Verdict)>,
    /// Every op of the device up to this seq has its verdict.
    pub acknowledged_through: u64,
    /// The first seq whose bytes differ from what the store knows: the device is a copy of another.
    pub forked_at: Option<u64>,
    /// Ops that were skipped because the device no longer holds them (the store was restored from a backup).
    pub lost: u64,
    /// The sources of looks whose ops were not taken in, as others changed what they rest on: to be looked at again.
    pub overtaken: Vec<RecordId>,
}

/// The hash that tells whether two arrivals under one number are the same.
pub fn content_hash(followed_by: u32, bytes: &[u8]) -> [u8; 32] {
    use sha2::{Digest, Sha256};
    let mut hasher = Sha256::new();
    hasher.update(followed_by.to_be_bytes());
    hasher.update(bytes);
    hasher.finalize().into()
}

/// Names a job that the worker has to do because of committed ops.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Job {
    /// Its name; the same cause gives the same name.
    pub id: RecordId,
    /// The area that it is about.
    pub area: rounds_domain::AreaId,
    /// Look at records with numbers above this,
    pub after: u64,
    /// up to this one.
    pub through: u64,
}
