//! One job, from its payload to its end.
//!
//! Everything that can go wrong is caught in here: apalis would leave a job that panicked or took too long as running
//! for ever, try a failed one again at once, and end the worker over a payload that it cannot read.

use crate::job::Work;
use crate::queue::Ending;
use crate::reconcile::reconcile;
use crate::runtime::Shared;
use futures_util::FutureExt;
use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::time::Duration;
use ulid::Ulid;

/// How often a job that fails is started before it is given up.
pub(crate) const STARTS_MAX: usize = 5;
/// How often a job is taken up if the process ends each time before the job does. It may be the job that ends it.
const INTERRUPTIONS_MAX: usize = 25;
/// How long to wait when the end of a job cannot be written.
const FINISH_PAUSE: Duration = Duration::from_secs(1);

/// Does a job and writes down how it ended. `starts` counts this one.
pub(crate) async fn handle(shared: &Shared, worker: &str, id: Ulid, starts: usize, payload: &[u8]) {
    let ending = match Work::from_json(payload) {
        Err(reason) => Ending::Dead(reason),
        Ok(_) if starts > INTERRUPTIONS_MAX => {
            Ending::Dead(format!("was taken up {INTERRUPTIONS_MAX} times and never came to an end"))
        }
        Ok(work) => match attempt(shared, &work).await {
            Ok(()) => Ending::Done,
            Err(reason) if starts >= STARTS_MAX => Ending::Dead(reason),
            Err(reason) => Ending::Again(pause(shared.options.retry_after, starts, id), reason),
        },
    };
    match &ending {
        Ending::Done => {}
        Ending::Again(_, reason) => {
            tracing::warn!(job = %id, starts, reason, "a job failed and is tried again")
        }
        Ending::Dead(reason) => tracing::error!(job = %id, starts, reason, "a job was given up"),
    }
    finish(shared, worker, id, starts, &ending).await;
    if matches!(ending, Ending::Again(..)) {
        shared.wake.notify_one();
    }
    shared.note_progress();
}

async fn attempt(shared: &Shared, work: &Work) -> Result<(), String> {
    let limit = shared.options.job_time_max;
    match tokio::time::timeout(limit, AssertUnwindSafe(act(shared, work)).catch_unwind()).await {
        Ok(Ok(result)) => result,
        Ok(Err(panic)) => Err(format!("panicked: {}", panic_text(panic.as_ref()))),
        Err(_) => Err(format!("took longer than {} s", limit.as_secs_f64())),
    }
}

async fn act(shared: &Shared, work: &Work) -> Result<(), String> {
    match *work {
        Work::Reconcile { area, after, through } => {
            reconcile(&shared.store, &shared.clock, area, after, through)
                .await
                .map_err(|failure| failure.to_string())
        }
    }
}

/// Writes down how it ended. While the database is gone it waits here: the job is ours until its end is written.
async fn finish(shared: &Shared, worker: &str, id: Ulid, starts: usize, ending: &Ending) {
    loop {
        match shared.queue.finish(worker, id, starts, ending).await {
            Ok(true) => return,
            Ok(false) => {
                tracing::warn!(job = %id, "a job ended here after another worker had taken it over");
                return;
            }
            Err(error) => {
                tracing::warn!(job = %id, error = &error as &dyn std::error::Error, "the end of a job is not written");
            }
        }
        tokio::select! {
            () = shared.stopped() => return, // it is done again by whoever comes next
            () = tokio::time::sleep(FINISH_PAUSE) => {}
        }
    }
}

/// How long to wait before the next start: four times as long each time, and between half and one and a half of that,
/// by the job's id, so that jobs that failed together do not come back together.
fn pause(first: Duration, starts: usize, id: Ulid) -> Duration {
    let grown = first * 4_u32.saturating_pow(u32::try_from(starts - 1).unwrap_or(u32::MAX).min(6));
    let spread = f64::from((u128::from(id) % 1_000) as u32) / 1_000.0;
    grown.mul_f64(0.5 + spread)
}

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("without a message")
}
