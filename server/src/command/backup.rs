//! `rounds backup`, `rounds restore` and `rounds restored`: a second copy, and how to go on from it.

use super::print::{hint, say};
use super::{DATABASE_DEFAULT, moment, new_epoch, open, verify, with_causes};
use clap::Args;
use rounds_server::Clock;
use std::path::PathBuf;
use std::process::ExitCode;

/// Write a SQLite database into a file, as it is at one moment; servers may go on writing meanwhile. The file is there
/// when it is whole. It holds everything, names of devices and keys too: keep it where only you can read it. PostgreSQL
/// makes its own backups: see the README.
#[derive(Args, Debug)]
pub(crate) struct BackupCommand {
    /// The database: sqlite:PATH
    #[arg(long, value_name = "URL", env = "ROUNDS_DATABASE", default_value = DATABASE_DEFAULT, hide_env_values = true)]
    database: String,
    /// The file to write. It must not be there yet.
    #[arg(long, value_name = "FILE", required_unless_present = "verify")]
    out: Option<PathBuf>,
    /// Write none: read this backup from end to end and say whether it is as it was written.
    #[arg(long, value_name = "FILE", conflicts_with = "out")]
    verify: Option<PathBuf>,
}

impl BackupCommand {
    /// Makes a backup, or looks at one.
    pub(crate) async fn run(self) -> Result<ExitCode, String> {
        let (file, backup) = match (self.out, self.verify) {
            (Some(out), _) => {
                let made = rounds_store::back_up(&self.database, &out, Clock::system().now_ms()).await;
                (out, made)
            }
            (None, Some(file)) => {
                let checked = rounds_store::check_backup(&file).await;
                (file, checked)
            }
            (None, None) => return Err("say where to write the backup: --out FILE".to_owned()),
        };
        let backup = backup.map_err(|error| with_causes(&error))?;
        let (name, bytes, made) = (file.display(), backup.database_bytes, moment(backup.made_ms));
        say!("{name} is whole: {bytes} bytes, as they were at {made}");
        Ok(ExitCode::SUCCESS)
    }
}

/// Make a new SQLite database from a backup. Phones then send again what they still hold of the work that came after
/// it, and ask for everything anew.
#[derive(Args, Debug)]
pub(crate) struct Restore {
    /// The backup.
    file: PathBuf,
    /// The database to make: sqlite:PATH. It must not be there yet.
    #[arg(long, value_name = "URL", env = "ROUNDS_DATABASE", default_value = DATABASE_DEFAULT, hide_env_values = true)]
    database: String,
    /// Then fold every record again and count summaries again, as `rounds verify` does.
    #[arg(long)]
    verify: bool,
}

impl Restore {
    /// Makes the database. Differences that were found make the exit code 1.
    pub(crate) async fn run(self) -> Result<ExitCode, String> {
        let backup = rounds_store::restore(&self.file, &self.database, new_epoch()?)
            .await
            .map_err(|error| with_causes(&error))?;
        say!("{} is as it was at {}", self.database, moment(backup.made_ms));
        hint_what_is_undone();
        if !self.verify {
            return Ok(ExitCode::SUCCESS);
        }
        let store = open(&self.database).await?;
        let is_sound = verify::report(&store).await;
        store.close().await;
        Ok(if is_sound? { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

/// Say that a database was restored by other means, such as pg_restore or a copy of a disk, before a server opens it.
/// Phones then send again what they still hold of the work that came after it, and ask for everything anew.
#[derive(Args, Debug)]
pub(crate) struct Restored {
    /// The database: sqlite:PATH or postgres://USER@HOST/DATABASE
    #[arg(long, value_name = "URL", env = "ROUNDS_DATABASE", hide_env_values = true)]
    database: String,
}

impl Restored {
    /// Gives the database a new epoch.
    pub(crate) async fn run(self) -> Result<ExitCode, String> {
        rounds_store::restored(&self.database, new_epoch()?).await.map_err(|error| with_causes(&error))?;
        say!("phones will send again what they still hold");
        hint_what_is_undone();
        Ok(ExitCode::SUCCESS)
    }
}

fn hint_what_is_undone() {
    hint!("Devices and links that were revoked since are not any more: revoke them again.");
    hint!(
        "One-time codes are void: make new ones. Devices that were enrolled since are not known: enrol them again."
    );
}
