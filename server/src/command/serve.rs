//! `rounds serve`: the server, and a worker within it.

use super::print::announce;
use super::worker::Settings;
use super::{DATABASE_DEFAULT, demo, open_or_make, web_url, with_causes};
use axum::http::HeaderValue;
use clap::Args;
use rounds_server::limit::CONNECTIONS_MAX;
use rounds_server::{Clock, Config, ConnectionLimits, Random, ServeError, Tls, serve};
use rounds_store::{DeviceFilter, Store};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Serve phones and coordinators over gRPC, and do the follow-up work.
#[derive(Args, Debug)]
pub(crate) struct Serve {
    /// The database: sqlite:PATH or postgres://USER@HOST/DATABASE
    #[arg(long, value_name = "URL", env = "ROUNDS_DATABASE", default_value = DATABASE_DEFAULT, hide_env_values = true)]
    database: String,
    /// The address to listen on. Port 0 takes any that is free.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8321", value_parser = address)]
    listen: SocketAddr,
    /// The certificate, and those that lead from it to a root, in PEM.
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// The key of the certificate, in PEM.
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// Serve other machines without encryption. Only where something in front of it encrypts.
    #[arg(long)]
    allow_plaintext: bool,
    /// Do not tell services and messages to whoever asks.
    #[arg(long)]
    no_reflection: bool,
    /// Web pages of this origin may call, such as https://rounds.example.org. May be repeated.
    #[arg(long, value_name = "ORIGIN", value_parser = origin)]
    origin: Vec<HeaderValue>,
    /// Connections at a time; one address has a quarter of them at most.
    #[arg(long, value_name = "COUNT", default_value_t = CONNECTIONS_MAX, value_parser = at_least_one)]
    connections: usize,
    /// So many proxies stand before this server, each of which adds to X-Forwarded-For whom it got a call from.
    #[arg(long, value_name = "COUNT", default_value_t = 0)]
    proxies: usize,
    /// Do not limit how often devices and addresses call: to measure, or where something else sees to it.
    #[arg(long)]
    no_rate_limits: bool,
    /// For how many days devices keep ops that were acknowledged. A backup that is older can lose work.
    #[arg(long, value_name = "DAYS", default_value_t = 7)]
    acknowledged_kept: u32,
    /// Leave the follow-up work to other processes.
    #[arg(long)]
    no_worker: bool,
    #[command(flatten)]
    worker: Settings,
    /// Make a neighbourhood with a year behind it first, if the database is empty; see `rounds demo`.
    #[arg(long)]
    demo: bool,
}

impl Serve {
    /// Serves until it is told to stop.
    pub(crate) async fn run(self) -> Result<ExitCode, String> {
        let (clock, random) = (Clock::system(), Random::system());
        let store = open_or_make(&self.database).await?;
        let stopping = stop_signal()?;
        let contacts = self.worker.contacts.keeping(&self.database, &random)?;
        let config = Config { contacts: contacts.clone(), ..self.config()? };
        let worker = async || match self.no_worker {
            true => Ok(None),
            false => self.worker.start(&store, &clock, &random, contacts.clone()).await.map(Some),
        };
        // Whoever is told that this serves can rely on it that it also works, but for a demo, which does it by itself.
        let mut working = if self.demo { None } else { worker().await? };
        let serving = serve(config, store.clone(), clock.clone(), random.clone(), stopping)
            .await
            .map_err(|error| self.in_words(&error))?;
        announce!("Rounds listens on {}", serving.address);
        let stopped = serving.stopped();
        tokio::pin!(stopped);
        if self.demo {
            tokio::select! {
                made = demo::make_once(&store) => made?,
                ended = &mut stopped => return ended.map(|()| ExitCode::SUCCESS),
            }
            working = worker().await?;
        }
        self.tell_first_steps(&store).await;
        let ended = stopped.await;
        if let Some(worker) = working {
            worker.stop().await;
        }
        store.close().await;
        ended.map(|()| ExitCode::SUCCESS)
    }

    fn config(&self) -> Result<Config, String> {
        let tls = match (&self.tls_cert, &self.tls_key) {
            (Some(certificates), Some(key)) => {
                Some(Tls { certificates: read(certificates)?, key: read(key)? })
            }
            _ => None,
        };
        Ok(Config {
            listen: self.listen,
            tls,
            allow_plaintext: self.allow_plaintext,
            reflection: !self.no_reflection,
            origins: self.origin.clone(),
            acknowledged_kept: DAY * self.acknowledged_kept,
            connections: ConnectionLimits::of(affordable(self.connections)),
            rate_limits: !self.no_rate_limits,
            proxies: self.proxies,
            ..Config::local(self.listen.port())
        })
    }

    /// Why it does not serve, with the names of the files that it may be about.
    fn in_words(&self, error: &ServeError) -> String {
        match (error, &self.tls_cert, &self.tls_key) {
            (ServeError::Tls(_), Some(certificates), Some(key)) => {
                format!("{} and {}: {error}", certificates.display(), key.display())
            }
            _ => with_causes(error),
        }
    }

    /// Nobody can enrol anybody yet: says how to begin.
    async fn tell_first_steps(&self, store: &Store) {
        // If they cannot be read, that is told elsewhere.
        let devices = store.devices(&DeviceFilter::default(), None, 100).await;
        if devices.is_ok_and(|all| all.iter().all(|device| device.role == rounds_domain::Role::System)) {
            announce!("Nobody is enrolled yet. For the first administrator, run:");
            announce!("  rounds code --role admin --database {}", without_password(&self.database));
        }
    }
}

fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| "write it as 127.0.0.1:8321, or 0.0.0.0:8321 for other machines too".to_owned())
}

/// What browsers call where a page is from: no path, not even a slash.
fn origin(text: &str) -> Result<HeaderValue, String> {
    let host = web_url(text)?.split_once("://").map(|(_, host)| host.to_owned()).unwrap_or_default();
    match HeaderValue::from_str(text) {
        Ok(origin) if !host.contains('/') => Ok(origin),
        _ => Err("write it as https://rounds.example.org, without what comes behind".to_owned()),
    }
}

fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) | Err(_) => Err("at least 1".to_owned()),
        Ok(count) => Ok(count),
    }
}

/// So many connections, or fewer where the system does not let this process have that many files open: half of them
/// are for connections.
fn affordable(connections: usize) -> usize {
    let limit = getrlimit(Resource::Nofile);
    let all = Rlimit { current: limit.maximum, ..limit };
    let files = if setrlimit(Resource::Nofile, all).is_ok() { limit.maximum } else { limit.current };
    let most = files.map_or(usize::MAX, |files| usize::try_from(files / 2).unwrap_or(usize::MAX));
    if most < connections {
        tracing::warn!(
            connections = most,
            "there is no room for more: raise the limit of open files (ulimit -n)"
        );
    }
    connections.min(most)
}

/// Ends when the process is asked to stop. Listens from now on, so that no signal is missed.
pub(crate) fn stop_signal() -> Result<impl Future<Output = ()> + Send + 'static, String> {
    let listen = |kind| signal(kind).map_err(|error| format!("cannot listen for signals: {error}"));
    let (mut terminate, mut interrupt) = (listen(SignalKind::terminate())?, listen(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("stopping");
    })
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))
}

/// The URL as it may be shown.
fn without_password(url: &str) -> String {
    match url.split_once("://").and_then(|(scheme, rest)| Some((scheme, rest.rsplit_once('@')?))) {
        Some((scheme, (user, rest))) => {
            format!("{scheme}://{}@{rest}", user.split(':').next().unwrap_or_default())
        }
        None => url.to_owned(),
    }
}
