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
