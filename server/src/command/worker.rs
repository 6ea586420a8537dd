//! `rounds worker`: the follow-up work, in a process of its own.

use super::channel::ChannelArgs;
use super::contact::ContactArgs;
use super::print::announce;
use super::serve::stop_signal;
use super::{DATABASE_DEFAULT, open, with_causes};
use clap::Args;
use rounds_server::{Clock, Random};
use rounds_store::{ContactKeeping, Store};
use rounds_worker::{Options, Worker};
use std::process::ExitCode;
use std::sync::Arc;

/// Most jobs that may run at the same time.
const CONCURRENCY_MAX: i64 = 256;

/// Do the follow-up work, beside `rounds serve --no-worker` and other workers on the same database.
#[derive(Args, Debug)]
pub(crate) struct WorkerCommand {
    /// The database: sqlite:PATH or postgres://USER@HOST/DATABASE
    #[arg(long, value_name = "URL", env = "ROUNDS_DATABASE", default_value = DATABASE_DEFAULT, hide_env_values = true)]
    database: String,
    #[command(flatten)]
    settings: Settings,
}

/// How the worker works, by itself and within `rounds serve`.
#[derive(Args, Debug)]
pub(crate) struct Settings {
    /// Jobs that run at the same time.
    #[arg(long, value_name = "JOBS", default_value_t = 8, value_parser = clap::value_parser!(i64).range(1..=CONCURRENCY_MAX))]
    concurrency: i64,
    #[command(flatten)]
    channels: ChannelArgs,
    #[command(flatten)]
    pub(crate) contacts: ContactArgs,
}

impl Settings {
    /// Starts a worker.
    pub(crate) async fn start(
        &self,
        store: &Store,
        clock: &Clock,
        random: &Random,
        contacts: Option<ContactKeeping>,
    ) -> Result<Worker, String> {
        let boot = random.id(clock.now_ms()).map_err(|error| error.to_string())?;
        let concurrency = usize::try_from(self.concurrency).unwrap_or(1);
        let channels = Some(self.channels.channels(store, random).await?);
        let options = Options { concurrency, channels, contacts, ..Options::new(boot) };
        let clock = clock.clone();
        let worker = Worker::start(store.clone(), Arc::new(move || clock.now_ms()), options).await;
        worker.map_err(|error| with_causes(&error))
    }
}

impl WorkerCommand {
    /// Works until it is told to stop.
    pub(crate) async fn run(self) -> Result<ExitCode, String> {
        let random = Random::system();
        let store = open(&self.database).await?;
        let contacts = self.settings.contacts.keeping(&self.database, &random)?;
        let stopping = stop_signal()?;
        let worker = self.settings.start(&store, &Clock::system(), &random, contacts).await?;
        announce!("Rounds works");
        stopping.await;
        worker.stop().await;
        store.close().await;
        Ok(ExitCode::SUCCESS)
    }
}
