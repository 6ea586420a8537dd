//! Moves waiting jobs from the store's table into the runner's.

use crate::Error;
use crate::job::merge;
use crate::runtime::Shared;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::{MissedTickBehavior, interval};

/// Most jobs that are moved at once.
const DISPATCH_JOBS_MAX: u32 = 1_000;

/// Shortest time between two moves. Each costs the store a commit of its own; those of a busy time are worth one.
const DISPATCH_GAP: Duration = Duration::from_millis(50);

/// Moves jobs whenever the store hints that something happened, and at intervals, until it is told to stop.
pub(crate) async fn run(shared: Arc<Shared>) {
    let mut hints = shared.store.watch();
    let mut tick = interval(shared.options.look_every);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut hinting = true;
    loop {
        let moved = dispatch(&shared).await.unwrap_or_else(|error| {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(error, "jobs wait: they could not be dispatched");
            false
        });
        shared.note_progress(); // also if nothing was moved: other processes may have done something
        tokio::select! {
            () = shared.stopped() => return,
            () = tokio::time::sleep(DISPATCH_GAP), if moved => {} // there may be more
            _ = tick.tick(), if !moved => {}
            hint = hints.recv(), if !moved && hinting => hinting = !matches!(hint, Err(RecvError::Closed)),
        }
    }
}

/// Moves what waits, if anything does. If this process ends between the two steps, the same is moved again under the
/// same names.
async fn dispatch(shared: &Shared) -> Result<bool, Error> {
    let waiting = shared.store.waiting_jobs(DISPATCH_JOBS_MAX).await?;
    if waiting.is_empty() {
        return Ok(false);
    }
    shared.queue.release(&merge(&waiting)).await?;
    let ids: Vec<_> = waiting.iter().map(|job| job.id).collect();
    shared.store.jobs_handed_over(&ids).await?;
    shared.wake.notify_one();
    Ok(true)
}
