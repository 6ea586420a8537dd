//! What all services share.

use crate::clock::Clock;
use crate::edge::{KnownTokens, Origin};
use crate::error::Error;
use crate::quota::Quota;
use crate::secret::Random;
use crate::share::Shares;
use rounds_domain::RecordId;
use rounds_store::{LinkKey, Store};
use rounds_worker::Jobs;
use std::net::IpAddr;
use std::time::Duration;
use tokio::sync::{OnceCell, Semaphore, SemaphorePermit};
use tokio::time::Instant;

/// What all services share.
pub(crate) struct Shared {
    pub(crate) store: Store,
    pub(crate) clock: Clock,
    pub(crate) random: Random,
    /// What links are signed with.
    pub(crate) link_key: LinkKey,
    /// Answers on partners' pages are taken one after the other.
    pub(crate) partner_turn: tokio::sync::Mutex<()>,
    /// Codes that were tried without success, by where from.
    pub(crate) failed_codes: Quota<Origin>,
    /// How often each code was tried, by its hash.
    pub(crate) codes_tried: Quota<[u8; 32]>,
    /// Calls, by the hash of the token.
    pub(crate) device_calls: Quota<[u8; 32]>,
    /// Calls, by where from.
    pub(crate) address_calls: Quota<Origin>,
    /// Bytes of requests that are being read.
    pub(crate) reading: Shares<IpAddr>,
    /// Room for batches, in KiB.
    pub(crate) working: Semaphore,
    /// Tokens that were known a moment ago.
    pub(crate) tokens: KnownTokens,
    /// See [`Config::rate_limits`](crate::Config::rate_limits).
    pub(crate) rate_limits: bool,
    /// See [`Config::proxies`](crate::Config::proxies).
    pub(crate) proxies: usize,
    /// When the server started: what is counted must not hang on a clock that can be set.
    pub(crate) started: Instant,
    /// The worker's jobs, once somebody looked at them.
    pub(crate) jobs: OnceCell<Jobs>,
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

impl Shared {
    /// How long the server has been running, in ms.
    pub(crate) fn uptime_ms(&self) -> i64 {
        i64::try_from(self.started.elapsed().as_millis()).unwrap_or(i64::MAX)
    }

    /// Room for a batch of so many bytes, until it was worked on.
    ///
    /// # Errors
    /// `BUSY`.
    pub(crate) fn room(&self, bytes: usize) -> Result<SemaphorePermit<'_>, Error> {
        let kib = u32::try_from(bytes.div_ceil(1024)).unwrap_or(u32::MAX);
        self.working.try_acquire_many(kib).map_err(|_| Error::Busy)
    }
}
