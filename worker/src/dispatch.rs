//! Moves waiting jobs from the store's table into the runner's.

use crate::Error;
use crate::job::merge;
use crate::runtime::Shared;
use std::sync::Arc;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::{MissedTickBehavior, interval};

/// Most jobs that are moved at once.
const DISPATCH_JOBS_MAX: u32 = 1_000;

/// Moves jobs whenever the store hints that something happened, and at intervals, until it is told to stop.
pub(crate) async fn run(shared: Arc<Shared>) {
    let mut hints = shared.store.watch();
    let mut tick = interval(shared.options.look_every);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut hinting = true;
    loop {
        tokio::select! {
            () = shared.stopped() => return,
            _ = tick.tick() => {}
            hint = hints.recv(), if hinting => hinting = !matches!(hint, Err(RecvError::Closed)),
        }
        if let Err(error) = dispatch(&shared).await {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "jobs wait: they could not be dispatched"
            );
        }
        shared.note_progress(); // also that nothing waits: other processes may have done it
    }
}

/// Moves what waits. If this process ends between the two steps, the jobs are moved again under the same names.
async fn dispatch(shared: &Shared) -> Result<(), Error> {
    loop {
        let waiting = shared.store.waiting_jobs(DISPATCH_JOBS_MAX).await?;
        if waiting.is_empty() {
            return Ok(());
        }
        shared.queue.release(&merge(&waiting)).await?;
        let ids: Vec<_> = waiting.iter().map(|job| job.id).collect();
        shared.store.jobs_handed_over(&ids).await?;
        shared.wake.notify_one();
    }
}
