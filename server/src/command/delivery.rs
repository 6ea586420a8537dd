//! `rounds deliveries`: messages to people outside, and how far they are.

use super::print::{hint, say};
use super::{DATABASE_DEFAULT, moment, open, with_causes};
use clap::{Args, Subcommand};
use rounds_domain::RecordId;
use rounds_server::Clock;
use rounds_store::{AuditAction, DeliveryState, NewAudit, Store};
use std::process::ExitCode;

/// See messages to people outside, and try those again that failed.
#[derive(Args, Debug)]
pub(crate) struct Deliveries {
    #[command(subcommand)]
    act: Act,
}

#[derive(Subcommand, Debug)]
enum Act {
    /// List them, newest first.
    List {
        /// Only those: waiting, sending, failing (tried again), sent, failed (given up), withdrawn.
        #[arg(long, value_parser = state)]
        state: Option<DeliveryState>,
        /// At most so many.
        #[arg(long, default_value_t = 100)]
        limit: u32,
        #[command(flatten)]
        database: DatabaseArg,
    },
    /// Try again, now, what is failing or was given up.
    Retry {
        /// Which, by its id.
        #[arg(value_name = "ID", required = true)]
        deliveries: Vec<RecordId>,
        #[command(flatten)]
        database: DatabaseArg,
    },
}

#[derive(Args, Debug)]
struct DatabaseArg {
    /// The database: sqlite:PATH or postgres://USER@HOST/DATABASE
    #[arg(long, value_name = "URL", env = "ROUNDS_DATABASE", default_value = DATABASE_DEFAULT, hide_env_values = true)]
    database: String,
}

impl Deliveries {
    /// Lists or retries.
    pub(crate) async fn run(self) -> Result<ExitCode, String> {
        let (Act::List { database, .. } | Act::Retry { database, .. }) = &self.act;
        let store = open(&database.database).await?;
        let done = self.act.run(&store).await;
        store.close().await;
        done.map(|()| ExitCode::SUCCESS)
    }
}

impl Act {
    async fn run(&self, store: &Store) -> Result<(), String> {
        match self {
            Self::List { state, limit, .. } => {
                let found = store.deliveries(*state, *limit).await.map_err(|error| with_causes(&error))?;
                for delivery in &found {
                    let when = match (delivery.ended_ms, delivery.next_ms) {
                        (Some(at_ms), _) => moment(at_ms),
                        (None, Some(at_ms)) => format!("again at {}", moment(at_ms)),
                        (None, None) => "now".to_owned(),
                    };
                    say!(
                        "{}\t{}\t{}\t{}\t{} tries\t{when}\t{}",
                        delivery.id,
                        delivery.state.name(),
                        delivery.channel.name(),
                        delivery.address,
                        delivery.attempts,
                        delivery.last_error
                    );
                }
                if found.is_empty() {
                    hint!("there are none");
                }
            }
            Self::Retry { deliveries, .. } => {
                let mut missing = Vec::new();
                for id in deliveries {
                    let now_ms = Clock::system().now_ms();
                    let entry = NewAudit::of_operator(now_ms, AuditAction::DeliveryRetried, id);
                    store.audit(entry).await.map_err(|error| with_causes(&error))?;
                    let put_back = store.retry_delivery(*id, now_ms).await;
                    match put_back.map_err(|error| with_causes(&error))? {
                        true => say!("{id}\tis tried again"),
                        false => missing.push(id.to_string()),
                    }
                }
                if !missing.is_empty() {
                    return Err(format!(
                        "not failing, given up or held back: {}; `rounds deliveries list` says how far each is",
                        missing.join(", ")
                    ));
                }
            }
        }
        Ok(())
    }
}

fn state(text: &str) -> Result<DeliveryState, String> {
    DeliveryState::ALL.into_iter().find(|state| state.name() == text).ok_or_else(|| {
        let names: Vec<_> = DeliveryState::ALL.iter().map(|state| state.name()).collect();
        format!("use one of {}", names.join(", "))
    })
}
