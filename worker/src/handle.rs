//! One job, from its payload to its end.
//!
//! Everything that can go wrong is caught in here: apalis would leave a job that panicked or took too long as running
//! for ever, try a failed one again at once, and end the worker over a payload that it cannot read.

use crate::job::{JobKind, Released, Work, part_id};
use crate::queue::{End, Ending, Mark, Run, STARTS_MAX, Start};
use crate::runtime::Shared;
use crate::{Error, channel, reconcile, with_causes};
use rounds_domain::{Kind, RecordId};
use std::any::Any;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::Instant;
use ulid::Ulid;
use uuid::Uuid;

/// How long to wait when the database does not answer.
const AGAIN_PAUSE: Duration = Duration::from_secs(1);
/// How long a message waits when as many as may are being sent.
const OUTSIDE_PAUSE: Duration = Duration::from_secs(1);
/// Jobs that a split adds in one statement.
const SPLIT_JOBS: usize = 500;

/// Does a job and writes down how it ended. `starts` counts this one, as apalis does.
pub(crate) async fn handle(shared: &Arc<Shared>, worker: &Arc<str>, id: Ulid, starts: usize, payload: &[u8]) {
    let underway = shared.underway.read().await;
    if !shared.is_stopping() {
        Held { shared, worker, id }.handle(starts, payload).await;
    }
    drop(underway);
    if shared.is_stopping() {
        shared.quiet().await; // or apalis would fetch more
    }
}

/// A job that is in our hands.
struct Held<'a> {
    shared: &'a Arc<Shared>,
    worker: &'a Arc<str>,
    id: Ulid,
}

impl Held<'_> {
    async fn handle(&self, starts: usize, payload: &[u8]) {
        let work = match Work::from_json(payload) {
            Ok(work) => work,
            Err(reason) => {
                let run = Run { outcome: "dead", error: Some(reason.clone()), ..self.run(None) };
                let starts = u32::try_from(starts).unwrap_or(u32::MAX);
                self.end(Ending::Dead(Mark { starts, reason, ..Mark::default() }), Some(run)).await;
                return;
            }
        };
        let Some(mark) = self.mark(starts).await else { return };
        if mark.starts >= STARTS_MAX {
            let reason = format!("{} (at the last of {} starts)", mark.reason, mark.starts);
            self.end(Ending::Dead(Mark { reason, ..mark }), None).await;
        } else if mark.split && work.is_batch() {
            self.split(&work, mark).await;
        } else {
            self.start(&work, mark).await;
        }
    }

    /// What earlier starts left behind. `None`: the worker stops.
    async fn mark(&self, starts: usize) -> Option<Mark> {
        if starts <= 1 {
            return Some(Mark::default());
        }
        loop {
            match self.shared.queue.mark(self.id).await {
                Ok(mark) => return Some(mark),
                Err(error) => {
                    self.warn(&error, "a job waits: what its earlier starts came to cannot be read")
                }
            }
            tokio::select! {
                () = self.shared.stopped() => return None,
                () = tokio::time::sleep(AGAIN_PAUSE) => {}
            }
        }
    }

    /// Runs it, in its turn.
    async fn start(&self, work: &Work, mark: Mark) {
        let shared = self.shared;
        let outside = match work.kind() {
            JobKind::Look | JobKind::Wake => None,
            JobKind::Deliver => match shared.outside.try_acquire() {
                Ok(slot) => Some(slot),
                Err(_) => {
                    self.end(Ending::Again { pause: OUTSIDE_PAUSE, mark }, None).await;
                    return;
                }
            },
        };
        let Ok(slot) = shared.slots.acquire().await else { return };
        let (beside, alone) = match mark.alone {
            false => (Some(shared.gate.read().await), None),
            true => (None, Some(shared.gate.write().await)),
        };
        if shared.is_stopping() {
            return; // it was not begun
        }
        let start = Start { id: self.id, worker: self.worker.clone(), kind: work.kind() };
        if !shared.ledger.start(start).await {
            return;
        }
        let (run, began) = (self.run(Some(work)), Instant::now());
        let result = attempt(shared, work).await;
        let duration_ms = i64::try_from(began.elapsed().as_millis()).unwrap_or(i64::MAX);
        drop((outside, slot, beside, alone)); // the next may begin while this one's end is written

        match result {
            Ok(()) => {
                self.end(Ending::Done(mark.starts + 1), Some(Run { duration_ms, outcome: "done", ..run }))
                    .await
            }
            Err(reason) => self.fail(work, mark, reason, Run { duration_ms, ..run }).await,
        }
    }

    /// Makes a job of each record of a batch that did not come to its end, so that one cannot take the others along.
    async fn split(&self, work: &Work, mark: Mark) {
        let run = self.run(Some(work));
        let limit = self.shared.options.job_time_max;
        let released = match tokio::time::timeout(limit, self.release_parts(work, &mark)).await {
            Ok(released) => released.map_err(text),
            Err(_) => Err(too_long(limit)),
        };
        match released {
            Ok(parts) => {
                tracing::info!(job = %self.id, reason = mark.reason, parts, "a job was split");
                self.end(Ending::Done(mark.starts), Some(Run { outcome: "split", ..run })).await;
                self.shared.wake.notify_one();
            }
            Err(reason) => {
                let reason = format!("could not be split into its records: {reason}");
                self.fail(work, mark, reason, run).await;
            }
        }
    }

    /// Lets it be tried again, or gives it up.
    async fn fail(&self, work: &Work, before: Mark, reason: String, run: Run) {
        let starts = before.starts + 1;
        let mark = Mark { starts, reason: reason.clone(), alone: false, split: work.is_batch() };
        let (ending, outcome) = match starts {
            ..STARTS_MAX => {
                let pause = pause(self.shared.options.retry_after, starts, self.id);
                (Ending::Again { pause, mark }, "failed")
            }
            STARTS_MAX.. => (Ending::Dead(mark), "dead"),
        };
        self.end(ending, Some(Run { outcome, error: Some(reason), ..run })).await;
    }

    async fn release_parts(&self, work: &Work, mark: &Mark) -> Result<usize, Error> {
        let whole = RecordId(Uuid::from_u128(self.id.into()));
        let parts: Vec<(RecordId, Work)> = match work {
            Work::Look { area, after, through } => {
                let changed = self.shared.store.changed(*area, *after, *through).await?;
                let part = |number| Work::Look { area: *area, after: number - 1, through: number };
                changed.iter().map(|numbered| (numbered.record.id, part(numbered.number))).collect()
            }
            Work::Wake { area, records } => {
                let part = |record| Work::Wake { area: *area, records: vec![record] };
                records.iter().map(|record| (*record, part(*record))).collect()
            }
            Work::Deliver { .. } => Vec::new(),
        };
        let part = |(record, work)| Released {
            starts: mark.starts,
            alone: mark.alone,
            ..Released::new(part_id(whole, record), work)
        };
        let parts: Vec<Released> = parts.into_iter().map(part).collect();
        for some in parts.chunks(SPLIT_JOBS) {
            self.shared.queue.release(some).await?;
        }
        Ok(parts.len())
    }

    /// Writes down how it ended.
    async fn end(&self, ending: Ending, run: Option<Run>) {
        match &ending {
            Ending::Again { mark, .. } if run.is_some() => {
                tracing::warn!(job = %self.id, starts = mark.starts, reason = mark.reason, "a job failed and is tried again")
            }
            Ending::Dead(mark) => {
                tracing::error!(job = %self.id, starts = mark.starts, reason = mark.reason, "a job was given up")
            }
            Ending::Done(_) | Ending::Again { .. } | Ending::Back(_) => {}
        }
        let again = matches!(ending, Ending::Again { .. });
        let end = End { id: self.id, worker: self.worker.clone(), ending, run };
        if !self.shared.ledger.end(end).await {
            tracing::warn!(job = %self.id, "a job ended here after another worker had taken it over");
        }
        if again {
            self.shared.wake.notify_one();
        }
        self.shared.room.notify_one();
        self.shared.note_progress();
    }

    /// What the history says of a run that begins now.
    fn run(&self, work: Option<&Work>) -> Run {
        Run {
            kind: work.map_or("unreadable", |work| work.kind().as_str()),
            area: work.map(Work::area),
            started_ms: (self.shared.clock)(),
            duration_ms: 0,
            outcome: "done",
            error: None,
        }
    }

    fn warn(&self, error: &Error, what: &str) {
        tracing::warn!(job = %self.id, error = error as &dyn std::error::Error, "{what}");
    }
}

/// Does what a job asks for, on a thread of its own if need be, within the time that it has.
async fn attempt(shared: &Arc<Shared>, work: &Work) -> Result<(), String> {
    let limit = shared.options.job_time_max;
    let mut acting = JoinSet::new(); // dropped with us, so that nothing goes on that nobody waits for
    let (shared, work) = (shared.clone(), work.clone());
    acting.spawn(async move { act(&shared, &work).await });
    match tokio::time::timeout(limit, acting.join_next()).await {
        Ok(Some(Ok(result))) => result,
        Ok(Some(Err(error))) => match error.try_into_panic() {
            Ok(panic) => Err(format!("panicked: {}", panic_text(panic.as_ref()))),
            Err(_) => Err("was dropped".to_owned()),
        },
        Ok(None) => Err("was dropped".to_owned()),
        Err(_) => Err(too_long(limit)),
    }
}

fn too_long(limit: Duration) -> String {
    format!("took longer than {} s", limit.as_secs_f64())
}

async fn act(shared: &Shared, work: &Work) -> Result<(), String> {
    if let Some(fault) = &shared.options.fault {
        let records = match work {
            Work::Look { area, after, through } => {
                let changed = shared.store.changed(*area, *after, *through).await;
                changed.map_err(text)?.into_iter().map(|numbered| numbered.record.id).collect()
            }
            Work::Wake { records, .. } => records.clone(),
            Work::Deliver { delivery, .. } => vec![*delivery],
        };
        fault(work.kind(), &records)?;
    }
    match work {
        Work::Look { area, after, through } => {
            reconcile::range(&shared.store, &shared.clock, *area, *after, *through).await.map_err(text)
        }
        Work::Wake { records, .. } => {
            reconcile::records(&shared.store, &shared.clock, records).await.map_err(text)?;
            for record in shared.store.records_of(records).await.map_err(text)? {
                if record.kind == Kind::Notice {
                    channel::announce(shared, &record).await.map_err(text)?;
                }
            }
            Ok(())
        }
        Work::Deliver { delivery, .. } => channel::deliver(shared, *delivery).await.map_err(text),
    }
}

fn text(error: impl std::error::Error) -> String {
    with_causes(&error)
}

/// How long to wait before the next start: four times as long each time, and between half and one and a half of that,
/// by the job's id, so that jobs that failed together do not come back together.
fn pause(first: Duration, starts: u32, id: Ulid) -> Duration {
    let grown = first * 4_u32.saturating_pow(starts.saturating_sub(1).min(6));
    let spread = f64::from((u128::from(id) % 1_000) as u32) / 1_000.0;
    grown.mul_f64(0.5 + spread)
}

/// No job that failed waits longer than this.
pub(crate) fn pause_max(first: Duration) -> Duration {
    first.saturating_mul(4_u32.pow(STARTS_MAX)).max(OUTSIDE_PAUSE)
}

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("without a message")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_is_four_times_as_long_after_each_start_and_another_for_each_job() {
        let of = |id: u128, starts| pause(Duration::from_secs(2), starts, Ulid::from(id));
        assert_eq!([1, 2, 3, 4].map(|starts| of(500, starts)), [2, 8, 32, 128].map(Duration::from_secs));
        assert_eq!(of(0, 2), Duration::from_secs(4));
        assert!(of(999, STARTS_MAX) < pause_max(Duration::from_secs(2)));
        assert!((Duration::from_secs(11)..Duration::from_secs(12)).contains(&of(999, 2)));
    }
}
