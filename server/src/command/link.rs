//! `rounds link`: what people outside hold of us, shown and revoked on the operator's shell.

use super::print::{hint, say};
use super::{DATABASE_DEFAULT, open, web_url, with_causes};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use clap::{Args, Subcommand, ValueEnum};
use rounds_domain::{Kind, RecordId};
use rounds_server::{Clock, Random, calendar_path};
use rounds_store::{AuditAction, Link, NewAudit, Purpose, Store};
use std::process::ExitCode;

/// Where the server is found if nothing is said: by this machine only.
const PUBLIC_URL_DEFAULT: &str = "http://127.0.0.1:8321";

/// See links that people outside hold, and revoke them. Whoever can read and write the database can do this.
#[derive(Args, Debug)]
pub(crate) struct LinkCommand {
    #[command(subcommand)]
    act: Act,
}

#[derive(Subcommand, Debug)]
enum Act {
    /// Print the URL of a calendar, or the key that messages to a web hook are signed with.
    Show {
        #[command(flatten)]
        link: Named,
        /// Where people outside find the server: https://rounds.example.org
        #[arg(long, value_name = "URL", env = "ROUNDS_PUBLIC_URL", value_parser = web_url)]
        public_url: Option<String>,
    },
    /// Make the links that were given out until now worthless; `show` prints the next.
    Revoke {
        #[command(flatten)]
        link: Named,
    },
}

#[derive(Args, Debug)]
struct Named {
    /// What it is for.
    #[arg(value_enum)]
    purpose: For,
    /// Whose it is: the id of a worker, group or organization.
    #[arg(value_name = "ID")]
    subject: RecordId,
    /// The database: sqlite:PATH or postgres://USER@HOST/DATABASE
    #[arg(long, value_name = "URL", env = "ROUNDS_DATABASE", default_value = DATABASE_DEFAULT, hide_env_values = true)]
    database: String,
}

#[derive(Clone, Copy, ValueEnum, PartialEq, Debug)]
#[value(rename_all = "snake_case")]
enum For {
    /// The calendar of a worker, group or organization.
    Calendar,
    /// The key of an organization's web hook.
    WebHook,
    /// The pages of an organization for requests that were referred to it; can be revoked only.
    Referral,
}

impl LinkCommand {
    /// Does it, and says so.
    pub(crate) async fn run(self) -> Result<ExitCode, String> {
        let (Act::Show { link, .. } | Act::Revoke { link }) = &self.act;
        let store = open(&link.database).await?;
        let done = self.act.run(&store).await;
        store.close().await;
        done.map(|()| ExitCode::SUCCESS)
    }
}

impl Act {
    async fn run(&self, store: &Store) -> Result<(), String> {
        match self {
            Self::Show { link, public_url } => {
                let kind = link.check(store).await?;
                link.note(store, AuditAction::LinkShown).await?;
                let key = Random::system().key().map_err(|error| error.to_string())?;
                let key = store.link_key(key).await.map_err(|error| with_causes(&error))?;
                let wanted = Link::of(link.purpose.purpose(), link.subject);
                match link.purpose {
                    For::Calendar => {
                        let token = store.link_token(&key, &wanted).await;
                        let token = token.map_err(|error| with_causes(&error))?;
                        let path = calendar_path(kind, link.subject, &token).unwrap_or_default(); // it was checked
                        let server = public_url.as_deref().unwrap_or(PUBLIC_URL_DEFAULT);
                        say!("{}{path}", server.trim_end_matches('/'));
                        if public_url.is_none() {
                            hint!(
                                "It opens on this machine only: say with --public-url where others find the server."
                            );
                        }
                    }
                    For::WebHook => {
                        let secret = store.link_secret(&key, &wanted).await;
                        let secret = secret.map_err(|error| with_causes(&error))?;
                        say!("whsec_{}", BASE64_STANDARD.encode(secret));
                    }
                    For::Referral => {
                        return Err(
                            "a link to a request is in the message that told of it, and nowhere else"
                                .to_owned(),
                        );
                    }
                }
            }
            Self::Revoke { link } => {
                link.check(store).await?;
                link.note(store, AuditAction::LinkRevoked).await?;
                let revoked = store.revoke_links(link.purpose.purpose(), link.subject).await;
                revoked.map_err(|error| with_causes(&error))?;
                hint!("what was given out until now is worthless");
            }
        }
        Ok(())
    }
}

impl Named {
    /// Writes into the audit log what is about to be done.
    async fn note(&self, store: &Store, action: AuditAction) -> Result<(), String> {
        let entry = NewAudit::of_operator(Clock::system().now_ms(), action, self.subject);
        let noted = store.audit(entry.with(self.purpose.purpose().name())).await;
        noted.map_err(|error| with_causes(&error))
    }

    /// The kind of the record, if it can have such a link.
    async fn check(&self, store: &Store) -> Result<Kind, String> {
        let record = store.record(self.subject).await.map_err(|error| with_causes(&error))?;
        let kind = record.map(|numbered| numbered.record.kind);
        match (self.purpose, kind) {
            (For::Calendar, Some(kind @ (Kind::Worker | Kind::Group | Kind::Organization))) => Ok(kind),
            (For::WebHook | For::Referral, Some(kind @ Kind::Organization)) => Ok(kind),
            (For::Calendar, _) => Err(format!("{} is no worker, group or organization", self.subject)),
            (For::WebHook | For::Referral, _) => Err(format!("{} is no organization", self.subject)),
        }
    }
}

impl For {
    fn purpose(self) -> Purpose {
        match self {
            Self::Calendar => Purpose::Calendar,
            Self::WebHook => Purpose::WebHook,
            Self::Referral => Purpose::Referral,
        }
    }
}
