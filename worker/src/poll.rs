//! When apalis looks for jobs: at regular intervals, and at once when it is woken.

use apalis::prelude::{PollSnapshot, PollStrategy};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::sync::futures::OwnedNotified;
use tokio::time::{Interval, MissedTickBehavior, interval};

/// A look that was under way when it was woken may have begun too early to see what it was woken for: so it looks
/// once more after this time.
const LOOK_AGAIN: Duration = Duration::from_millis(25);

/// Wakes the runner. Unlike apalis' own strategy it always ends by waiting for the next tick, so that no wake-up is
/// lost when a look took longer than the interval.
pub(crate) struct SafePoll {
    tick: Interval,
    wake: Arc<Notify>,
    woken: Pin<Box<OwnedNotified>>,
}

impl SafePoll {
    pub(crate) fn new(every: Duration, wake: Arc<Notify>) -> Self {
        let mut tick = interval(every);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let woken = Box::pin(wake.clone().notified_owned());
        Self { tick, wake, woken }
    }
}

impl PollStrategy for SafePoll {
    fn poll_drive(&mut self, cx: &mut Context<'_>, _: &PollSnapshot) -> Poll<Option<()>> {
        let mut fired = false;
        while self.woken.as_mut().poll(cx).is_ready() {
            self.woken = Box::pin(self.wake.clone().notified_owned());
            self.tick.reset_after(LOOK_AGAIN);
            fired = true;
        }
        while self.tick.poll_tick(cx).is_ready() {
            fired = true;
        }
        if fired { Poll::Ready(Some(())) } else { Poll::Pending }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;

    const EVERY: Duration = Duration::from_millis(2);

    #[tokio::test]
    async fn a_look_that_outlasts_the_interval_loses_no_wake_up() {
        let mut poll = SafePoll::new(EVERY, Arc::new(Notify::new()));
        let mut look = interval(EVERY * 5);
        let snapshot = PollSnapshot::default();
        for _ in 0..5 {
            poll_fn(|cx| poll.poll_drive(cx, &snapshot)).await;
            look.tick().await; // the look for jobs takes several intervals
        }
    }

    #[tokio::test]
    async fn it_looks_at_once_when_it_is_woken() {
        let (wake, snapshot) = (Arc::new(Notify::new()), PollSnapshot::default());
        let mut hourly = SafePoll::new(EVERY * 1_000_000, wake.clone());
        poll_fn(|cx| hourly.poll_drive(cx, &snapshot)).await; // the first tick is at once
        wake.notify_one();
        poll_fn(|cx| hourly.poll_drive(cx, &snapshot)).await;
    }
}
