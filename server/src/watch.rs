//! `Watch`: hints that an area moved. A slow reader costs no more than the set of its areas: hints that it did not
//! fetch yet become one.

use crate::access;
use crate::error::Error;
use crate::limit::WATCH_RECHECK;
use crate::share::Taken;
use crate::shared::Shared;
use crate::sync::may_sync;
use futures_util::stream;
use rounds_domain::AreaId;
use rounds_proto::v1::WatchResponse;
use rounds_store::{Caller, ScopedArea};
use std::collections::BTreeSet;
use std::pin::Pin;
use std::sync::Arc;
use tokio::sync::broadcast::{self, error::RecvError};
use tokio::time::{Interval, MissedTickBehavior};
use tonic::Status;

pub(crate) type WatchStream = Pin<Box<dyn futures_util::Stream<Item = Result<WatchResponse, Status>> + Send>>;

/// A stream of hints for the device that the token names. It ends when the device is revoked or the server stops.
///
/// # Errors
/// When the device may not sync.
pub(crate) async fn start(shared: Arc<Shared>, token: [u8; 32]) -> Result<WatchStream, Error> {
    let watch = Watch::open(shared, token).await?;
    Ok(Box::pin(stream::try_unfold((watch, false), |(mut watch, started)| async move {
        // The first answer comes at once, and is empty.
        let areas = if started { watch.moved().await? } else { BTreeSet::new() };
        let answer = WatchResponse { areas: areas.iter().map(AreaId::to_string).collect() };
        Ok(Some((answer, (watch, true))))
    })))
}

/// Somebody who waits for news of its areas.
pub(crate) struct Watch {
    shared: Arc<Shared>,
    token: [u8; 32],
    caller: Caller,
    hints: broadcast::Receiver<Arc<[AreaId]>>,
    recheck: Interval,
    stopping: tokio::sync::watch::Receiver<bool>,
    _seat: Taken<[u8; 32]>,
}

impl Watch {
    /// Begins to wait, for the device that the token names.
    ///
    /// # Errors
    /// When the device may not sync; `RATE_LIMITED` if it has as many streams as it may.
    pub(crate) async fn open(shared: Arc<Shared>, token: [u8; 32]) -> Result<Self, Error> {
        let hints = shared.store.watch(); // before the areas are read, so that nothing falls in between
        let caller = access::not_revoked(access::identify(&shared.store, token).await?)?;
        may_sync(&caller)?;
        let seat = shared.watching.take(token, 1).ok_or(Error::RateLimited(WATCH_RECHECK))?;
        let mut recheck = tokio::time::interval(shared.watch_recheck);
        recheck.set_missed_tick_behavior(MissedTickBehavior::Delay);
        recheck.reset();
        let stopping = shared.stopping.clone();
        Ok(Self { shared, token, caller, hints, recheck, stopping, _seat: seat })
    }

    /// How far the areas were when they were read: it changes with every commit.
    pub(crate) fn heads(&self) -> u64 {
        self.caller.scope.iter().map(|scoped| scoped.head).sum()
    }

    /// Waits until areas of the caller moved, and answers which.
    ///
    /// # Errors
    /// When the device was revoked, or the server stops.
    pub(crate) async fn moved(&mut self) -> Result<BTreeSet<AreaId>, Error> {
        loop {
            let moved = match self.event().await? {
                Event::Hint(areas) => self.gather(&areas),
                Event::Missed => self.look_anew(true).await?,
                // Moved areas are hinted at anyway; once is enough.
                Event::Recheck => self.look_anew(false).await?,
            };
            if !moved.is_empty() {
                return Ok(moved);
            }
        }
    }

    /// Takes what was hinted at until now as told.
    pub(crate) fn forget(&mut self) {
        self.gather(&[]);
    }

    async fn event(&mut self) -> Result<Event, Error> {
        tokio::select! {
            _ = self.stopping.wait_for(|stopping| *stopping) => Err(Error::Stopping),
            hint = self.hints.recv() => match hint {
                Ok(areas) => Ok(Event::Hint(areas)),
                Err(RecvError::Lagged(_)) => Ok(Event::Missed),
                Err(RecvError::Closed) => Err(Error::Stopping),
            },
            _ = self.recheck.tick() => Ok(Event::Recheck),
        }
    }

    /// The caller's areas among these and all others that wait.
    fn gather(&mut self, first: &[AreaId]) -> BTreeSet<AreaId> {
        let mut moved = BTreeSet::new();
        let mut add = |areas: &[AreaId]| {
            moved.extend(areas.iter().filter(|area| self.caller.access(**area).is_some()));
        };
        add(first);
        while let Ok(areas) = self.hints.try_recv() {
            add(&areas);
        }
        moved
    }

    /// Reads the caller's scope again. Answers the areas that came, went, or are seen more or less; and if hints were
    /// missed, those that moved.
    async fn look_anew(&mut self, missed: bool) -> Result<BTreeSet<AreaId>, Error> {
        let mut caller = access::not_revoked(access::identify(&self.shared.store, self.token).await?)?;
        let before = &self.caller.scope;
        let mut areas: BTreeSet<AreaId> = before.iter().map(|scoped| scoped.area).collect();
        areas.retain(|area| caller.access(*area).is_none());
        for now in &mut caller.scope {
            let known = before.binary_search_by_key(&now.area, |scoped| scoped.area).map(|at| &before[at]);
            let is_news =
                |known: &ScopedArea| known.access != now.access || (missed && known.head < now.head);
            if known.is_ok_and(is_news) || known.is_err() {
                areas.insert(now.area);
            } else if let Ok(known) = known {
                now.head = known.head; // should hints have been missed, that is still to be told
            }
        }
        self.caller = caller;
        Ok(areas)
    }
}

enum Event {
    Hint(Arc<[AreaId]>),
    /// Some hints were missed.
    Missed,
    /// It is time to look whether the device may still watch.
    Recheck,
}
