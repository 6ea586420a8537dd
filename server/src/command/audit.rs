//! `rounds audit`: the log of who read contact data, exported, signed in, or administered.

use super::print::{hint, say};
use super::{DATABASE_DEFAULT, moment, open, with_causes};
use clap::{Args, Subcommand};
use rounds_store::{AuditAction, AuditEntry, AuditFilter, Store};
use serde_json::json;
use std::process::ExitCode;

/// Characters of a hash: SHA-256 in hexadecimal.
const HASH_CHARS: usize = 64;

/// See who read contact data, exported, signed in, or administered, and check that nobody changed the log.
#[derive(Args, Debug)]
pub(crate) struct Audit {
    #[command(subcommand)]
    act: Act,
    /// The database: sqlite:PATH or postgres://USER@HOST/DATABASE
    #[arg(long, value_name = "URL", env = "ROUNDS_DATABASE", default_value = DATABASE_DEFAULT, hide_env_values = true, global = true)]
    database: String,
}

#[derive(Subcommand, Debug)]
enum Act {
    /// List the last entries, oldest first.
    List {
        /// Only those of this action: contact.read, export, sign_in, device.revoked, ...
        #[arg(long, value_parser = action)]
        action: Option<AuditAction>,
        /// Only those about this: the id of a request, device, area, ...
        #[arg(long, value_name = "ID")]
        subject: Option<String>,
        /// Only those from this time on: 2026-11-20T09:00:00Z
        #[arg(long, value_name = "TIME")]
        from: Option<jiff::Timestamp>,
        /// Most that are shown.
        #[arg(long, value_name = "ENTRIES", default_value_t = 100)]
        limit: u32,
        /// Print JSON, an object a line.
        #[arg(long)]
        json: bool,
    },
    /// Follow the chain of hashes from the first entry to the last. A fault makes the exit code 1.
    Verify {
        /// The hash that an earlier check printed and somebody noted elsewhere: whether the log up to there is the same.
        #[arg(long, value_name = "HASH", value_parser = hash)]
        noted: Option<[u8; 32]>,
    },
}

impl Audit {
    /// Does what was asked, and prints it.
    pub(crate) async fn run(self) -> Result<ExitCode, String> {
        let store = open(&self.database).await?;
        let done = self.act.run(&store).await;
        store.close().await;
        done
    }
}

impl Act {
    async fn run(self, store: &Store) -> Result<ExitCode, String> {
        match self {
            Self::List { action, subject, from, limit, json } => {
                let from_ms = from.map(jiff::Timestamp::as_millisecond);
                let filter = AuditFilter { action, subject, from_ms, limit };
                let entries = store.audit_entries(&filter).await.map_err(|error| with_causes(&error))?;
                for entry in &entries {
                    say!("{}", if json { in_json(entry) } else { in_words(entry) });
                }
                if entries.is_empty() {
                    hint!("there are none");
                }
                Ok(ExitCode::SUCCESS)
            }
            Self::Verify { noted } => {
                let verified = store.verify_audit(noted).await.map_err(|error| with_causes(&error))?;
                let (entries, head) = (verified.entries, hexadecimal(&verified.head));
                match verified.fault {
                    None => {
                        say!("{entries} entries, each follows from the one before; the last is {head}");
                        Ok(ExitCode::SUCCESS)
                    }
                    Some(fault) => {
                        say!("{fault}; {entries} entries before it are as they were written");
                        Ok(ExitCode::FAILURE)
                    }
                }
            }
        }
    }
}

fn in_words(entry: &AuditEntry) -> String {
    let by = entry.device.map(|device| format!(" {device}")).unwrap_or_default();
    let AuditEntry { seq, role, action, subject, detail, .. } = entry;
    format!("{seq}\t{}\t{role}{by}\t{action}\t{subject}\t{detail}", moment(entry.at_ms)).trim_end().to_owned()
}

fn in_json(entry: &AuditEntry) -> String {
    let AuditEntry { seq, at_ms, device, role, action, subject, detail, hash } = entry;
    json!({
        "seq": seq, "at_ms": at_ms, "device": device, "role": role, "action": action, "subject": subject,
        "detail": detail, "hash": hexadecimal(hash),
    })
    .to_string()
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn hash(text: &str) -> Result<[u8; 32], String> {
    let bad = || format!("a hash has {HASH_CHARS} hexadecimal digits");
    if text.len() != HASH_CHARS || !text.is_ascii() {
        return Err(bad());
    }
    let bytes = (0..HASH_CHARS).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16));
    let bytes: Vec<u8> = bytes.collect::<Result<_, _>>().map_err(|_| bad())?;
    bytes.try_into().map_err(|_| bad())
}

fn action(text: &str) -> Result<AuditAction, String> {
    AuditAction::ALL.into_iter().find(|action| action.as_str() == text).ok_or_else(|| {
        let known: Vec<&str> = AuditAction::ALL.into_iter().map(AuditAction::as_str).collect();
        format!("there is no action {text}; there are: {}", known.join(", "))
    })
}
