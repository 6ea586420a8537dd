//! `rounds code`: a one-time code, straight from the database, on the operator's shell.

use super::print::{hint, say};
use super::{DATABASE_DEFAULT, find_area, moment, open, with_causes};
use clap::{Args, ValueEnum};
use rounds_domain::{Kind, RecordId};
use rounds_server::secret::code_hash;
use rounds_server::{Clock, Random};
use rounds_store::{AuditAction, NewAudit, NewCode, Store};
use std::process::ExitCode;

const SECOND_MS: i64 = 1_000;
/// Longest life of a code, in seconds.
const VALID_SECONDS_MAX: i64 = 30 * 24 * 60 * 60;

/// Make a one-time code to enrol a device with. Whoever can read and write the database can do this.
#[derive(Args, Debug)]
pub(crate) struct Code {
    /// What the device may do.
    #[arg(long, value_enum)]
    role: Role,
    /// An area that the device serves, with all below it: its name or id. May be repeated; administrators have all.
    #[arg(long, value_name = "AREA")]
    area: Vec<String>,
    /// The worker that will hold it.
    #[arg(long, value_name = "ID")]
    worker: Option<RecordId>,
    /// The organization that a partner acts for.
    #[arg(long, value_name = "ID")]
    organization: Option<RecordId>,
    /// How long the code is good for, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 24 * 60 * 60, value_parser = clap::value_parser!(i64).range(1..=VALID_SECONDS_MAX))]
    valid: i64,
    /// The database: sqlite:PATH or postgres://USER@HOST/DATABASE
    #[arg(long, value_name = "URL", env = "ROUNDS_DATABASE", default_value = DATABASE_DEFAULT, hide_env_values = true)]
    database: String,
}

#[derive(Clone, Copy, ValueEnum, PartialEq, Debug)]
enum Role {
    Field,
    Coordinator,
    Supervisor,
    Partner,
    Admin,
}

impl Code {
    /// Makes the code and prints it.
    pub(crate) async fn run(self) -> Result<ExitCode, String> {
        if self.role != Role::Admin && self.area.is_empty() {
            return Err("say which --area the device serves".to_owned());
        }
        if self.role == Role::Admin && !self.area.is_empty() {
            return Err("an administrator has all areas: leave out --area".to_owned());
        }
        if self.role == Role::Partner && self.organization.is_none() {
            return Err("say which --organization the partner acts for".to_owned());
        }
        if self.role != Role::Partner && self.organization.is_some() {
            return Err("--organization is for partners only".to_owned());
        }
        let store = open(&self.database).await?;
        let made = self.make(&store).await;
        store.close().await;
        let (code, expires_ms) = made?;
        say!("{code}");
        hint!("good once, until {}", moment(expires_ms));
        Ok(ExitCode::SUCCESS)
    }

    async fn make(&self, store: &Store) -> Result<(String, i64), String> {
        let mut areas = Vec::new();
        for wanted in &self.area {
            areas.push(find_area(store, wanted).await?);
        }
        for (id, kind) in [(self.worker, Kind::Worker), (self.organization, Kind::Organization)] {
            let Some(id) = id else { continue };
            let found = store.record(id).await.map_err(|error| with_causes(&error))?;
            if found.is_none_or(|found| found.record.kind != kind) {
                return Err(format!("{id} is no {} that there is", kind.name()));
            }
        }
        let code = Random::system().code().map_err(|error| error.to_string())?;
        let expires_ms = Clock::system().now_ms() + self.valid * SECOND_MS;
        let role = match self.role {
            Role::Field => rounds_domain::Role::Field,
            Role::Coordinator => rounds_domain::Role::Coordinator,
            Role::Supervisor => rounds_domain::Role::Supervisor,
            Role::Partner => rounds_domain::Role::Partner,
            Role::Admin => rounds_domain::Role::Admin,
        };
        let new = NewCode {
            hash: code_hash(&code),
            role,
            areas,
            worker: self.worker,
            organization: self.organization,
            maker: None,
            expires_ms,
        };
        let areas: Vec<String> = new.areas.iter().map(ToString::to_string).collect();
        let now_ms = Clock::system().now_ms();
        let entry = NewAudit::of_operator(now_ms, AuditAction::CodeMade, areas.join(" ")).with(role.name());
        store.audit(entry).await.map_err(|error| with_causes(&error))?;
        store.create_code(new).await.map_err(|error| with_causes(&error))?;
        Ok((code, expires_ms))
    }
}
