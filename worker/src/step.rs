//! The worker's looks one by one, without a job runner: what a simulation needs to decide when each happens.

use crate::job::{JOB_TIMERS_MAX, Work, merge, wake};
use crate::runtime::Clock;
use crate::{Error, reconcile};
use rounds_store::Store;

/// Jobs and timers that one step looks for.
const FOUND_MAX: u32 = 1_000;

/// What a step came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Step {
    /// Looks that were done.
    pub done: usize,
    /// Looks of which a mend did not apply: they are still there for the next step.
    pub refused: usize,
}

/// Does all looks that wait and are due at this moment, one after the other. If this ends in between, what was not done
/// is still there.
///
/// # Errors
/// When the store cannot be reached.
pub async fn step(store: &Store, clock: &Clock) -> Result<Step, Error> {
    reconcile::enrol(store, clock()).await?;
    let mut step = Step::default();
    for (job, ids) in merge(&store.waiting_jobs(FOUND_MAX).await?) {
        if look(store, clock, &job.work, &mut step).await? {
            store.jobs_handed_over(&ids).await?;
        }
    }
    let per_area = u32::try_from(JOB_TIMERS_MAX).unwrap_or(u32::MAX);
    for (job, timers) in wake(&store.due_timers(clock(), per_area, FOUND_MAX).await?) {
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
