//! What all services share.

use crate::clock::Clock;
use crate::quota::Quota;
use crate::secret::Random;
use rounds_domain::RecordId;
use rounds_store::{ContactKeeping, LinkKey, Store};
use rounds_worker::Jobs;
use std::time::Duration;
use tokio::sync::OnceCell;

/// What all services share.
pub(crate) struct Shared {
    pub(crate) store: Store,
    pub(crate) clock: Clock,
    pub(crate) random: Random,
    /// What links are signed with.
    pub(crate) link_key: LinkKey,
    /// How contact data is kept, if it is.
    pub(crate) contacts: Option<ContactKeeping>,
    /// Answers on partners' pages are taken one after the other.
    pub(crate) partner_turn: tokio::sync::Mutex<()>,
    /// Codes that were tried on the dashboard, by everybody together.
    pub(crate) sign_ins: Quota<()>,
    /// The worker's jobs, once somebody looked at them.
    pub(crate) jobs: OnceCell<Jobs>,
    /// Files that are written at a time for downloads: each holds a connection to the database.
    pub(crate) exports: tokio::sync::Semaphore,
    /// Whether this server encrypts.
    pub(crate) has_tls: bool,
    /// Calls of partners' pages, by request and organization: those of one link.
    pub(crate) partner_calls: Quota<(RecordId, RecordId)>,
    /// See [`Config::acknowledged_kept`](crate::Config::acknowledged_kept).
    pub(crate) acknowledged_kept: Duration,
    /// See [`Config::watch_recheck`](crate::Config::watch_recheck).
    pub(crate) watch_recheck: Duration,
    /// True once the server was told to stop: streams end.
    pub(crate) stopping: tokio::sync::watch::Receiver<bool>,
}
