//! The worker's looks one by one, without a job runner: what a simulation needs to decide when each happens.

use crate::job::{Work, merge, wake};
use crate::runtime::Clock;
use crate::{Error, reconcile};
use rounds_store::Store;

/// Jobs and timers that one step looks for: all.
const ALL: u32 = u32::MAX;

/// What a step came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Step {
    /// Looks that were done.
    pub done: usize,
    /// Looks of which a mend did not apply: they are still there for the next step.
    pub refused: usize,
}

/// Does all looks that wait and are due at this moment, one after the other; of an area for which more than 200 jobs
/// wait, the oldest. If this ends in between, what was not done is still there.
///
/// # Errors
/// When the store cannot be reached.
pub async fn step(store: &Store, clock: &Clock) -> Result<Step, Error> {
    reconcile::enrol(store, clock()).await?;
    let mut step = Step::default();
    for (job, ids) in merge(&store.waiting_jobs(ALL).await?) {
        if look(store, clock, &job.work, &mut step).await? {
            store.jobs_handed_over(&ids).await?;
        }
    }
    for (job, timers) in wake(&store.due_timers(clock(), ALL, ALL).await?) {
        if look(store, clock, &job.work, &mut step).await? {
            store.timers_handed_over(&timers).await?; // a look that sets another time has replaced them already
        }
    }
    Ok(step)
}

/// Whether the look was done.
async fn look(store: &Store, clock: &Clock, work: &Work, step: &mut Step) -> Result<bool, Error> {
    let looked = match work {
        Work::Look { area, after, through } => reconcile::range(store, clock, *area, *after, *through).await,
        Work::Wake { records, .. } => reconcile::records(store, clock, records).await,
        Work::Deliver { .. } => Ok(()), // nobody outside is told
    };
    match looked {
        Ok(()) => step.done += 1,
        Err(reconcile::Failure::Store(error)) => return Err(error.into()),
        Err(error) => {
            tracing::debug!(%error, "a look came to nothing");
            step.refused += 1;
            return Ok(false);
        }
    }
    Ok(true)
}
