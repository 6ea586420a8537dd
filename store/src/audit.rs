//! The audit log: who read contact data, exported, signed in, or administered. Append-only, and a chain: each entry
//! holds the hash of the one before, so that none can be changed or taken out without a trace.
//!
//! An entry is written before the act that it tells of, or with it: there may be one whose act then failed, and none is
//! missing.
//! Entries name devices, records and areas by their ids; no secrets and nothing about persons is in them.

use crate::database::{read_on, write_on};
use crate::device::Device;
use crate::{Error, Store};
use rounds_domain::{DeviceId, Role};
use sha2::{Digest, Sha256};
use sqlx::{query_as, query_scalar};
use std::fmt;
use uuid::Uuid;

/// Entries that are read at once.
const PAGE_ROWS: i64 = 1_000;
/// The hash before the first entry.
const NO_HASH: [u8; 32] = [0; 32];
/// The role of whoever works on the shell of a server: no device.
const OPERATOR: &str = "operator";

/// What was done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AuditAction {
    /// Somebody asked how to reach who raised a request.
    ContactRead,
    /// Somebody gave it.
    ContactPut,
    /// It was erased: its time was over, or who gave it took it back.
    ContactErased,
    /// All contact data was given up with its key file.
    ContactsReset,
    /// Records were exported.
    Export,
    /// A one-time code was used: a phone or browser signed in.
    SignIn,
    /// A browser signed out.
    SignOut,
    /// A one-time code was made.
    CodeMade,
    /// A device was revoked.
    DeviceRevoked,
    /// A device was given other areas.
    DeviceAssigned,
    /// A device was given another token.
    TokenRotated,
    /// The copy of a device was given a name of its own.
    DeviceForked,
    /// A link or key for people outside was shown.
    LinkShown,
    /// The links that were given out were made worthless.
    LinkRevoked,
    /// A job was dropped: what it asked for is left undone.
    JobDropped,
    /// Jobs that had been given up were put back.
    JobsRetried,
    /// A message that could not be handed over is tried again.
    DeliveryRetried,
    /// A kind of jobs was paused: nothing of it is done until it is resumed.
    JobsPaused,
    /// A kind of jobs was resumed.
    JobsResumed,
    /// An op was taken out of quarantine.
    QuarantineReleased,
    /// An op in quarantine was laid aside.
    QuarantineDismissed,
}

impl AuditAction {
    /// Every action.
    pub const ALL: [Self; 21] = [
        Self::ContactRead,
        Self::ContactPut,
        Self::ContactErased,
        Self::ContactsReset,
        Self::Export,
        Self::SignIn,
        Self::SignOut,
        Self::CodeMade,
        Self::DeviceRevoked,
        Self::DeviceAssigned,
        Self::TokenRotated,
        Self::DeviceForked,
        Self::LinkShown,
        Self::LinkRevoked,
        Self::JobDropped,
        Self::JobsRetried,
        Self::DeliveryRetried,
        Self::JobsPaused,
        Self::JobsResumed,
        Self::QuarantineReleased,
        Self::QuarantineDismissed,
    ];

    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ContactRead => "contact.read",
            Self::ContactPut => "contact.put",
            Self::ContactErased => "contact.erased",
            Self::ContactsReset => "contact.reset",
            Self::Export => "export",
            Self::SignIn => "sign_in",
            Self::SignOut => "sign_out",
            Self::CodeMade => "code.made",
            Self::DeviceRevoked => "device.revoked",
            Self::DeviceAssigned => "device.assigned",
            Self::TokenRotated => "device.token_rotated",
            Self::DeviceForked => "device.forked",
            Self::LinkShown => "link.shown",
            Self::LinkRevoked => "link.revoked",
            Self::JobDropped => "job.dropped",
            Self::JobsRetried => "job.retried",
            Self::DeliveryRetried => "delivery.retried",
            Self::JobsPaused => "job.paused",
            Self::JobsResumed => "job.resumed",
            Self::QuarantineReleased => "quarantine.released",
            Self::QuarantineDismissed => "quarantine.dismissed",
        }
    }
}

/// An entry to be.
#[derive(Clone, PartialEq, Debug)]
pub struct NewAudit {
    at_ms: i64,
    device: Option<DeviceId>,
    role: &'static str,
    action: AuditAction,
    subject: String,
    detail: String,
}

impl NewAudit {
    /// A device does this to what `subject` names.
    pub fn of(device: &Device, at_ms: i64, action: AuditAction, subject: impl fmt::Display) -> Self {
        Self {
            at_ms,
            device: Some(device.id),
            role: device.role.name(),
            action,
            subject: subject.to_string(),
            detail: String::new(),
        }
    }

    /// Somebody on the shell of a server does.
    pub fn of_operator(at_ms: i64, action: AuditAction, subject: impl fmt::Display) -> Self {
        Self::by(OPERATOR, at_ms, action, subject.to_string())
    }

    /// The program itself does, because it is time.
    pub fn of_system(at_ms: i64, action: AuditAction, subject: impl fmt::Display) -> Self {
        Self::by(Role::System.name(), at_ms, action, subject.to_string())
    }

    fn by(role: &'static str, at_ms: i64, action: AuditAction, subject: String) -> Self {
        Self { at_ms, device: None, role, action, subject, detail: String::new() }
    }

    /// With what there is to say beside that: no secrets, nothing about persons.
    #[must_use]
    pub fn with(self, detail: impl fmt::Display) -> Self {
        Self { detail: detail.to_string(), ..self }
    }
}

impl NewAudit {
    /// The entry behind the one with this hash.
    pub(crate) fn entry(&self, seq: i64, before: Vec<u8>) -> Result<AuditEntry, Error> {
        let before: [u8; 32] =
            before.try_into().map_err(|_| Error::Unreadable("the head of the audit log".to_owned()))?;
        let mut entry = AuditEntry {
            seq: seq as u64,
            at_ms: self.at_ms,
            device: self.device,
            role: self.role.to_owned(),
            action: self.action.as_str().to_owned(),
            subject: self.subject.clone(),
            detail: self.detail.clone(),
            hash: NO_HASH,
        };
        entry.hash = entry.hash_after(&before);
        Ok(entry)
    }
}

/// An entry.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AuditEntry {
    /// Its number, from 1, without gaps.
    pub seq: u64,
    /// When, by the server's clock, in ms since 1970 UTC.
    pub at_ms: i64,
    /// The device that did it; none for the operator's shell, and for what is due.
    pub device: Option<DeviceId>,
    /// Its role, `operator` or `system`.
    pub role: String,
    /// What was done, see [`AuditAction`].
    pub action: String,
    /// The ids of what it was done to.
    pub subject: String,
    /// What there is to say beside that.
    pub detail: String,
    /// SHA-256 over the hash before and all of the above.
    pub hash: [u8; 32],
}

impl AuditEntry {
    /// The hash that it has to have behind this one. Every part has a length, so that none can be taken for another.
    fn hash_after(&self, before: &[u8; 32]) -> [u8; 32] {
        let mut hash = Sha256::new();
        hash.update(before);
        hash.update(self.seq.to_be_bytes());
        hash.update(self.at_ms.to_be_bytes());
        hash.update(self.device.map_or(Uuid::nil(), |id| id.0).as_bytes());
        for part in [&self.role, &self.action, &self.subject, &self.detail] {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part.as_bytes());
        }
        hash.finalize().into()
    }
}

/// Which entries.
#[derive(Clone, Debug, Default)]
pub struct AuditFilter {
    /// Only those of this action.
    pub action: Option<AuditAction>,
    /// Only those of this subject, or that name it among others.
    pub subject: Option<String>,
    /// Only those from this time on, in ms since 1970 UTC.
    pub from_ms: Option<i64>,
    /// Most entries, the last ones.
    pub limit: u32,
}

/// What is wrong with the log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum AuditFault {
    /// This entry, or the one before, is not what was written.
    Changed(u64),
    /// The entry with this number is not there.
    Missing(u64),
    /// There are entries behind the last one.
    Behind(u64),
    /// No entry has the hash that somebody noted.
    Unknown,
}

impl fmt::Display for AuditFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Changed(seq) => {
                write!(f, "entry {seq} does not follow from the one before: it was changed")
            }
            Self::Missing(seq) => write!(f, "entry {seq} is missing"),
            Self::Behind(seq) => write!(f, "entry {seq} is behind the last one that was written"),
            Self::Unknown => f.write_str("no entry has the hash that was noted: the log was written anew"),
        }
    }
}

/// What became of checking the log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AuditVerified {
    /// How many entries were looked at.
    pub entries: u64,
    /// The hash of the last one: noted elsewhere, it shows later that nothing up to here was written anew.
    pub head: [u8; 32],
    /// The first thing that is wrong.
    pub fault: Option<AuditFault>,
}

type Row = (i64, i64, Option<Uuid>, String, String, String, String, Vec<u8>);

fn entry((seq, at_ms, device, role, action, subject, detail, hash): Row) -> Result<AuditEntry, Error> {
    let seq = seq as u64;
    let hash = hash.try_into().map_err(|_| Error::Unreadable(format!("the hash of audit entry {seq}")))?;
    Ok(AuditEntry { seq, at_ms, device: device.map(DeviceId), role, action, subject, detail, hash })
}

/// Appends an entry in a transaction of either database. Whoever is first holds the head until its transaction ends, so
/// this comes last in it.
macro_rules! append {
    ($tx:ident, $new:expr) => {{
        let (seq, before): (i64, Vec<u8>) =
            sqlx::query_as("UPDATE audit_head SET seq = seq + 1 RETURNING seq, hash")
                .fetch_one(&mut *$tx)
                .await?;
        let entry = $new.entry(seq, before)?;
        sqlx::query(
            "INSERT INTO audit (seq, at_ms, device, role, action, subject, detail, hash)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        )
        .bind(seq)
        .bind(entry.at_ms)
        .bind(entry.device.map(|id| id.0))
        .bind(&entry.role)
        .bind(&entry.action)
        .bind(&entry.subject)
        .bind(&entry.detail)
        .bind(&entry.hash[..])
        .execute(&mut *$tx)
        .await?;
        sqlx::query("UPDATE audit_head SET hash = $1").bind(&entry.hash[..]).execute(&mut *$tx).await?;
    }};
}

pub(crate) use append;

impl Store {
    /// Appends to the audit log. On disk when it answers.
    ///
    /// # Errors
    /// [`Error::Unavailable`]: then what was to be written down must not be done.
    pub async fn audit(&self, new: NewAudit) -> Result<(), Error> {
        write_on!(&self.shared.database, tx => append!(tx, new));
        Ok(())
    }

    /// Entries of the audit log that meet the filter, the oldest first.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn audit_entries(&self, filter: &AuditFilter) -> Result<Vec<AuditEntry>, Error> {
        let like = filter.subject.as_ref().map(|subject| {
            let plain = subject.replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_");
            format!("%{plain}%")
        });
        let rows: Vec<Row> = read_on!(&self.shared.database, pool => {
            query_as(
                "SELECT seq, at_ms, device, role, action, subject, detail, hash FROM audit
                 WHERE (action = $1 OR $1 = '') AND (subject LIKE $2 ESCAPE '\\' OR $2 = '') AND at_ms >= $3
                 ORDER BY seq DESC LIMIT $4",
            )
            .bind(filter.action.map_or("", AuditAction::as_str))
            .bind(like.as_deref().unwrap_or_default())
            .bind(filter.from_ms.unwrap_or(i64::MIN))
            .bind(i64::from(filter.limit))
            .fetch_all(pool)
            .await?
        });
        rows.into_iter().rev().map(entry).collect()
    }

    /// Follows the chain from the first entry to the last. `noted` is a hash that an earlier look answered.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn verify_audit(&self, noted: Option<[u8; 32]>) -> Result<AuditVerified, Error> {
        // What is appended meanwhile is behind it.
        let (last, head): (i64, Vec<u8>) = read_on!(&self.shared.database, pool => {
            query_as("SELECT seq, hash FROM audit_head").fetch_one(pool).await?
        });
        let last = last as u64;
        let mut verified = AuditVerified { entries: 0, head: NO_HASH, fault: None };
        let mut is_noted = noted.is_none_or(|noted| noted == NO_HASH);
        while verified.entries < last {
            let rows: Vec<Row> = read_on!(&self.shared.database, pool => {
                query_as(
                    "SELECT seq, at_ms, device, role, action, subject, detail, hash FROM audit
                     WHERE seq > $1 AND seq <= $2 ORDER BY seq LIMIT $3",
                )
                .bind(verified.entries as i64)
                .bind(last as i64)
                .bind(PAGE_ROWS)
                .fetch_all(pool)
                .await?
            });
            if rows.is_empty() {
                verified.fault = Some(AuditFault::Missing(verified.entries + 1));
                return Ok(verified);
            }
            for row in rows {
                let entry = entry(row)?;
                if entry.seq != verified.entries + 1 {
                    verified.fault = Some(AuditFault::Missing(verified.entries + 1));
                    return Ok(verified);
                }
                if entry.hash != entry.hash_after(&verified.head) {
                    verified.fault = Some(AuditFault::Changed(entry.seq));
                    return Ok(verified);
                }
                verified.entries = entry.seq;
                verified.head = entry.hash;
                is_noted |= noted == Some(entry.hash);
            }
        }
        let behind: Option<i64> = read_on!(&self.shared.database, pool => {
            query_scalar(
                "SELECT min(audit.seq) FROM audit, audit_head WHERE audit.seq > audit_head.seq OR audit.seq < 1",
            )
            .fetch_one(pool)
            .await?
        });
        verified.fault = match behind {
            Some(seq) => Some(AuditFault::Behind(seq as u64)),
            None if verified.head[..] != head => Some(AuditFault::Changed(last)),
            None if !is_noted => Some(AuditFault::Unknown),
            None => None,
        };
        Ok(verified)
    }
}
