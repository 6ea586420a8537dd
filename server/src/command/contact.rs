//! How contact data is kept: the options of `rounds serve` and `rounds worker`, and `rounds contacts`.

use super::print::say;
use super::{DATABASE_DEFAULT, open, with_causes};
use clap::{Args, Subcommand};
use rounds_server::{Clock, Random};
use rounds_store::{AuditAction, ContactKeeping, NewAudit, Store, Vault};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const HEADING: &str = "Contact data of requests";

/// The key file if nothing is said: beside a SQLite database.
fn key_file_beside(database: &str) -> Option<PathBuf> {
    database.strip_prefix("sqlite:").map(|path| PathBuf::from(format!("{path}.contact-key")))
}

/// How contact data is kept.
#[derive(Args, Clone, Debug)]
pub(crate) struct ContactArgs {
    /// The key file, the same for all processes of a database. On SQLite it is DATABASE.contact-key if nothing is said;
    /// on PostgreSQL contact data is taken only with it. Keep it apart from backups of the database: it has half of each
    /// key, and what was erased, so that a restore brings nothing back.
    #[arg(help_heading = HEADING, long, value_name = "FILE", env = "ROUNDS_CONTACT_KEY")]
    contact_key: Option<PathBuf>,
    /// For how many days after a request was closed or rejected contact data is kept.
    #[arg(help_heading = HEADING, long, value_name = "DAYS", default_value_t = 30)]
    contact_kept: u32,
}

impl ContactArgs {
    /// How contact data of this database is kept, if it is.
    pub(crate) fn keeping(&self, database: &str, random: &Random) -> Result<Option<ContactKeeping>, String> {
        let path = self.contact_key.clone().or_else(|| key_file_beside(database));
        let Some(path) = path else { return Ok(None) };
        let new_key = random.key().map_err(|error| error.to_string())?;
        let vault = Vault::open(path, new_key).map_err(|error| with_causes(&error))?;
        Ok(Some(ContactKeeping { vault: Arc::new(vault), kept: DAY * self.contact_kept }))
    }
}

/// See to the contact data of requests. Whoever can write the database can do this.
#[derive(Args, Debug)]
pub(crate) struct ContactsCommand {
    #[command(subcommand)]
    act: Act,
}

#[derive(Subcommand, Debug)]
enum Act {
    /// Give up all contact data, because its key file is lost: nobody can read it any more. The next start begins with
    /// another key file.
    Reset {
        /// Give it up: nothing brings it back.
        #[arg(long)]
        yes: bool,
        /// Where the key file was. While it is there, nothing is given up. DATABASE.contact-key on SQLite if nothing is
        /// said.
        #[arg(long, value_name = "FILE", env = "ROUNDS_CONTACT_KEY")]
        contact_key: Option<PathBuf>,
        /// The database: sqlite:PATH or postgres://USER@HOST/DATABASE
        #[arg(long, value_name = "URL", env = "ROUNDS_DATABASE", default_value = DATABASE_DEFAULT, hide_env_values = true)]
        database: String,
    },
}

impl ContactsCommand {
    /// Does it, and says so.
    pub(crate) async fn run(self) -> Result<ExitCode, String> {
        let Act::Reset { yes, contact_key, database } = self.act;
        let key_file = contact_key.or_else(|| key_file_beside(&database));
        let store = open(&database).await?;
        let done = reset(&store, key_file.filter(|path| path.exists()), yes).await;
        store.close().await;
        let gone = done?;
        say!("the contact data of {gone} requests is given up");
        Ok(ExitCode::SUCCESS)
    }
}

/// Gives up all contact data, if there is no key file that it can be read with, and somebody said yes. Answers of how
/// many requests.
async fn reset(store: &Store, key_file: Option<PathBuf>, yes: bool) -> Result<u64, String> {
    if let Some(path) = key_file {
        let name = path.display().to_string();
        let new_key = Random::system().key().map_err(|error| error.to_string())?; // of no use: the file is there
        let vault = Vault::open(path, new_key).map_err(|error| with_causes(&error))?;
        if store.knows_contact_key(&vault).await.map_err(|error| with_causes(&error))? {
            return Err(format!(
                "the key file {name} is there, and contact data can be read with it: there is nothing to give up"
            ));
        }
    }
    if !yes {
        let kept = store.contacts_kept().await.map_err(|error| with_causes(&error))?;
        return Err(format!(
            "nobody could ever read the contact data of {kept} requests again: look for the key file first, and name \
             it with --contact-key; if it is lost, say --yes"
        ));
    }
    let entry = NewAudit::of_operator(Clock::system().now_ms(), AuditAction::ContactsReset, "");
    store.audit(entry).await.map_err(|error| with_causes(&error))?;
    store.reset_contacts().await.map_err(|error| with_causes(&error))
}
