//! Everything that the server does not have, or did not do as asked, and why: nothing is stuck without a word.

use crate::device::Device;
use crate::error::Error;
use crate::outbox::{self, Entry};
use crate::store::{self, Meta};
use rounds_domain::body::Fields;
use rounds_domain::kind::Nature;
use rounds_domain::{Action, Op, OpId, Outcome, RecordId};
use rounds_proto::decode_op;
use rusqlite::{Connection, OptionalExtension, params};
use serde::Serialize;
use serde_json::json;

/// An op that somebody may ask about.
#[derive(Clone, PartialEq, Debug)]
pub struct Pending {
    /// Its name, the same as in the coordinator's lists.
    pub op: OpId,
    /// The record that it is about.
    pub record: RecordId,
    /// What it is, in words.
    pub what: String,
    /// When it was recorded by the device's clock, in ms since 1970 UTC.
    pub recorded_ms: i64,
    /// What became of it so far.
    pub state: State,
    /// The reason, machine-readable: `STEP_NOT_ALLOWED`. Empty if there is none.
    pub reason: String,
    /// The same for people; may be empty.
    pub detail: String,
}

/// What became of an op so far.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It was not sent, or no answer came.
    Unsent,
    /// The server put it off; it is sent again.
    PutOff,
    /// The server keeps it whole, for a coordinator.
    Quarantined,
    /// The server keeps it in the record's history, without effect.
    NotApplied,
    /// It took effect, and somebody else had changed the same.
    Conflict,
}

impl State {
    /// The state in a few words.
    pub fn words(self) -> &'static str {
        match self {
            State::Unsent => "not sent yet",
            State::PutOff => "waits for another try",
            State::Quarantined => "kept aside for a coordinator",
            State::NotApplied => "kept, without effect",
            State::Conflict => "took effect, against another change",
        }
    }
}

const PENDING: &str = "dismissed = 0 AND (outcome IS NULL OR outcome NOT IN ('APPLIED', 'MERGED'))";

impl Device {
    /// Every op that has no verdict, or one that its author should know of, oldest first.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn pending(&self) -> Result<Vec<Pending>, Error> {
        self.store
            .read(|tx| outbox::entries(tx, PENDING, [])?.iter().map(|entry| pending(tx, entry)).collect())
    }

    /// The user has seen what became of an op, and needs to see it no more.
    ///
    /// # Errors
    /// [`Error::UnknownOp`], or [`Error::NotAcknowledged`] for one that must not be lost.
    pub fn dismiss(&mut self, op: OpId) -> Result<(), Error> {
        self.store.write(|tx| {
            let key = params![op.device.0, op.seq];
            let outcome: Option<Option<String>> = tx
                .query_row("SELECT outcome FROM outbox WHERE device = ?1 AND seq = ?2", key, |row| row.get(0))
                .optional()?;
            match outcome {
                None => return Err(Error::UnknownOp(op)),
                Some(None) => return Err(Error::NotAcknowledged(op)),
                Some(Some(_)) => {}
            }
            let meta = Meta::load(tx)?;
            let kept_for_the_user_alone = meta.device != Some(op.device) || op.seq <= meta.forgotten_through;
            tx.execute(
                if kept_for_the_user_alone {
                    "DELETE FROM outbox WHERE device = ?1 AND seq = ?2"
                } else {
                    "UPDATE outbox SET dismissed = 1 WHERE device = ?1 AND seq = ?2"
                },
                key,
            )?;
            Ok(())
        })
    }

    /// The pending ops whole, for people and programs, one JSON object a line: what can be saved from a device that
    /// cannot reach its server any more. An op that this program cannot read is there as bytes in hexadecimal.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn export(&self) -> Result<String, Error> {
        self.store.read(|tx| {
            let mut lines = String::new();
            for entry in outbox::entries(tx, PENDING, [])? {
                let Pending { op, what, recorded_ms, state, reason, detail, .. } = pending(tx, &entry)?;
                let content = match decode_op(&entry.op) {
                    Ok(op) => json!(op),
                    Err(_) => entry.op.iter().map(|byte| format!("{byte:02x}")).collect(),
                };
                let line = json!({
                    "device": op.device,
                    "seq": op.seq,
                    "followed_by": entry.followed_by,
                    "what": what,
                    "recorded_ms": recorded_ms,
                    "state": state,
                    "reason": reason,
                    "detail": detail,
                    "op": content,
                });
                lines.push_str(&line.to_string());
                lines.push('\n');
            }
            Ok(lines)
        })
    }
}

fn pending(tx: &Connection, entry: &Entry) -> Result<Pending, Error> {
    let record = store::record(tx, entry.record)?;
    let name = record.as_ref().map(|record| headline(&record.fields)).unwrap_or_default();
    Ok(Pending {
        op: OpId { device: entry.device, seq: entry.seq },
        record: entry.record,
        what: match decode_op(&entry.op) {
            Ok(op) => describe(&op, name),
            Err(refusal) => format!("something that this program cannot read: {refusal}"),
        },
        recorded_ms: entry.recorded_ms,
        state: match entry.outcome.as_deref().and_then(Outcome::parse) {
            Some(Outcome::Quarantined) => State::Quarantined,
            Some(Outcome::ConflictRecorded) => State::Conflict,
            Some(_) => State::NotApplied,
            None if entry.reason.is_some() => State::PutOff,
            None => State::Unsent,
        },
        reason: entry.reason.clone().unwrap_or_default(),
        detail: entry.detail.clone(),
    })
}

/// An op in words; `name` is what the record is called, if that is known.
fn describe(op: &Op, name: &str) -> String {
    let kind = op.kind.name().replace('_', " ");
    let it = if name.is_empty() { kind.clone() } else { format!("{kind} {name:?}") };
    match &op.action {
        Action::Create(body) => {
            let fields = body.fields();
            match headline(&fields) {
                "" => format!("new {kind}"),
                headline => format!("new {kind}: {headline}"),
            }
        }
        Action::Edit { changes, .. } => {
            let fields: Vec<&str> = changes.iter().map(|change| change.field.as_str()).collect();
            let verb = if op.kind.nature() == Nature::Fact { "amend" } else { "change" };
            format!("{verb} {} of {it}", fields.join(", "))
        }
        Action::Step(step) => format!("{it}: {}", step.to.replace('_', " ")),
        Action::Move { .. } => format!("move {it} to another area"),
        Action::Delete { .. } => format!("delete {it}"),
        Action::Settle { disputes } => format!("settle {} disputes of {it}", disputes.len()),
    }
}

/// What people would call a record.
fn headline(fields: &Fields) -> &str {
    const TELLING: [&str; 8] =
        ["name", "goal", "word", "category", "outcome", "result", "sort", "media_type"];
    TELLING.iter().find_map(|field| fields.get(*field)?.as_str()).unwrap_or_default()
}
