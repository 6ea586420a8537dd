//! What all services share.

use crate::clock::Clock;
use crate::edge::{KnownTokens, Origin};
use crate::error::Error;
use crate::limit;
use crate::quota::Quota;
use crate::secret::Random;
use crate::serve::Config;
use crate::share::{Shares, Taken};
use rounds_domain::RecordId;
use rounds_store::{ContactKeeping, LinkKey, Store};
use rounds_worker::Jobs;
use std::net::IpAddr;
use std::time::Duration;
use tokio::sync::{OnceCell, Semaphore};
use tokio::time::Instant;

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
    /// Codes that were tried without success, by where from.
    pub(crate) failed_codes: Quota<Origin>,
    /// How often each code was tried, by its hash.
    pub(crate) codes_tried: Quota<[u8; 32]>,
    /// Calls, by the hash of the token.
    pub(crate) device_calls: Quota<[u8; 32]>,
    /// Calls, by where from.
    pub(crate) address_calls: Quota<Origin>,
    /// Bytes of requests that are being read, by where from,
    pub(crate) reading: Shares<IpAddr>,
    /// and by the hash of the token.
    pub(crate) reading_of_token: Shares<[u8; 32]>,
    /// Bytes of batches that are worked on, by the hash of the token.
    pub(crate) working: Shares<[u8; 32]>,
    /// Bytes of answers that did not go out yet, by the hash of the token.
    pub(crate) answers: Shares<[u8; 32]>,
    /// Streams of hints, by the hash of the token.
    pub(crate) watching: Shares<[u8; 32]>,
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
    /// Files that are written at a time for downloads: each holds a connection to the database.
    pub(crate) exports: Semaphore,
    /// Whether this server encrypts.
    pub(crate) has_tls: bool,
    /// Calls of partners' pages, by request and organization: those of one link.
    pub(crate) partner_calls: Quota<(RecordId, RecordId)>,
    /// Fetches of calendars, by whose they are.
    pub(crate) calendar_calls: Quota<RecordId>,
    /// See [`Config::acknowledged_kept`](crate::Config::acknowledged_kept).
    pub(crate) acknowledged_kept: Duration,
    /// See [`Config::watch_recheck`](crate::Config::watch_recheck).
    pub(crate) watch_recheck: Duration,
    /// True once the server was told to stop: streams end.
    pub(crate) stopping: tokio::sync::watch::Receiver<bool>,
}

impl Shared {
    /// As the configuration says, with nothing counted yet.
    pub(crate) fn new(
        config: &Config,
        store: Store,
        clock: Clock,
        random: Random,
        link_key: LinkKey,
        stopping: tokio::sync::watch::Receiver<bool>,
    ) -> Self {
        let reading_max = limit::READING_BYTES_MAX;
        Self {
            store,
            clock,
            random,
            link_key,
            contacts: config.contacts.clone(),
            partner_turn: tokio::sync::Mutex::new(()),
            failed_codes: Quota::new(limit::FAILED_CODES_MAX, limit::FAILED_CODE_EVERY),
            codes_tried: Quota::new(limit::CODE_TRIES_MAX, limit::CODE_TRY_EVERY),
            device_calls: Quota::new(limit::DEVICE_CALLS_MAX, limit::DEVICE_CALL_EVERY),
            address_calls: Quota::new(limit::ADDRESS_CALLS_MAX, limit::ADDRESS_CALL_EVERY),
            reading: Shares::new(reading_max, reading_max / limit::ADDRESS_SHARE),
            reading_of_token: Shares::new(reading_max, limit::TOKEN_READING_BYTES_MAX),
            working: Shares::new(limit::WORKING_BYTES_MAX, limit::DEVICE_WORKING_BYTES_MAX),
            answers: Shares::new(limit::ANSWER_BYTES_MAX, limit::TOKEN_ANSWER_BYTES_MAX),
            watching: Shares::new(usize::MAX, limit::DEVICE_WATCHES_MAX),
            tokens: Default::default(),
            rate_limits: config.rate_limits,
            proxies: config.proxies,
            started: Instant::now(),
            jobs: Default::default(),
            exports: Semaphore::new(limit::EXPORTS_MAX),
            has_tls: config.tls.is_some(),
            partner_calls: Quota::new(limit::PARTNER_CALLS_MAX, limit::PARTNER_CALL_EVERY),
            calendar_calls: Quota::new(limit::CALENDAR_CALLS_MAX, limit::CALENDAR_CALL_EVERY),
            acknowledged_kept: config.acknowledged_kept,
            watch_recheck: config.watch_recheck,
            stopping,
        }
    }

    /// How long the server has been running, in ms.
    pub(crate) fn uptime_ms(&self) -> i64 {
        i64::try_from(self.started.elapsed().as_millis()).unwrap_or(i64::MAX)
    }

    /// Room for a batch of so many bytes from whoever has this token, until it was worked on. It is taken before
    /// anything is asked of the database: what waits for that is held, too.
    ///
    /// # Errors
    /// `BUSY`.
    pub(crate) fn room(&self, token: [u8; 32], bytes: usize) -> Result<Taken<[u8; 32]>, Error> {
        self.working.take(token, bytes).ok_or(Error::Busy)
    }
}
