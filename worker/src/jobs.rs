//! The jobs as people see them: what waits, runs, was given up or done, and what can be done about it.

use crate::job::{JobKind, Work};
use crate::queue::{Filter, Line, Queue};
use crate::{Clock, Error};
use rounds_domain::{AreaId, RecordId};
use rounds_store::Store;
use std::collections::HashMap;
use std::fmt;

const SECOND_MS: i64 = 1_000;

/// Where a job is in its life.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum JobState {
    /// It is started when there is room, or when its pause after a failure is over.
    Waiting,
    /// Its kind is paused.
    Paused,
    /// A process works on it.
    Running,
    /// It was given up, for a person to look at.
    Dead,
    /// What it asked for is done.
    Done,
}

impl JobState {
    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Paused => "paused",
            Self::Running => "running",
            Self::Dead => "dead",
            Self::Done => "done",
        }
    }
}

impl fmt::Display for JobState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A job.
#[derive(Clone, PartialEq, Debug)]
pub struct Job {
    /// Its id, a ULID.
    pub id: String,
    /// What kind of work; `None` if the payload does not say.
    pub kind: Option<JobKind>,
    /// The area that it is about.
    pub area: Option<AreaId>,
    /// Where it is in its life.
    pub state: JobState,
    /// How often it was started and not done; for one that is done, how often in all.
    pub starts: u32,
    /// Why it was not done at the last start.
    pub error: Option<String>,
    /// From when on it may be started, in ms since 1970 UTC, to the second.
    pub run_at_ms: i64,
    /// When it was done or given up, in ms since 1970 UTC, to the second.
    pub ended_ms: Option<i64>,
    /// The records that it is about, as far as they are known; for a message, the message.
    pub records: Vec<RecordId>,
    /// For a look: records of the area's feed with numbers above the first, up to the second.
    pub numbers: Option<(u64, u64)>,
}

/// A start of a job and how it ended.
#[derive(Clone, PartialEq, Debug)]
pub struct JobRun {
    /// The job's id.
    pub job: String,
    /// The kind, or that the payload did not say.
    pub kind: String,
    /// The area that it is about.
    pub area: Option<AreaId>,
    /// When it began, in ms since 1970 UTC; if its process died, when that was found.
    pub started_ms: i64,
    /// How long it took, in ms.
    pub duration_ms: i64,
    /// `done`, `failed`, `dead` (failed and given up), `split` (into a job of each record), `interrupted`.
    pub outcome: String,
    /// Why it was not done.
    pub error: Option<String>,
}

/// Which jobs.
#[derive(Clone, Copy, Debug)]
pub struct JobFilter {
    /// Only those here in their life; otherwise all that are not done.
    pub state: Option<JobState>,
    /// Only this kind.
    pub kind: Option<JobKind>,
    /// No more than so many.
    pub limit: u32,
}

/// The jobs of a store.
#[derive(Clone, Debug)]
pub struct Jobs {
    store: Store,
    queue: Queue,
}

impl Jobs {
    /// Makes the tables of the job runner if they are not there.
    ///
    /// # Errors
    /// [`Error::Unsuitable`] says what the database lacks; [`Error::Unavailable`].
    pub async fn open(store: &Store) -> Result<Self, Error> {
        let queue = Queue { pool: store.pool() };
        queue.set_up().await?;
        Ok(Self { store: store.clone(), queue })
    }

    /// Jobs, those first that were given up, then those that run, then those that wait, in their order. Those that are
    /// done come the last one first.
    ///
    /// # Errors
    /// [`Error::Unavailable`] and [`Error::Store`].
    pub async fn list(&self, filter: JobFilter) -> Result<Vec<Job>, Error> {
        let JobFilter { state, kind, limit } = filter;
        let mut jobs = Vec::new();
        for line in self.queue.lines(Filter { state, kind, limit }).await? {
            jobs.push(self.job(line).await?);
        }
        Ok(jobs)
    }

    /// How many jobs of each kind are where in their life, without those that are done. No kind: the payload does not
    /// say.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn counts(&self) -> Result<Vec<(Option<JobKind>, JobState, u64)>, Error> {
        let mut counts: HashMap<(Option<JobKind>, JobState), u64> = HashMap::new();
        // The dispatcher keeps the table small, so all of it is read.
        for line in self.queue.lines(Filter { state: None, kind: None, limit: u32::MAX }).await? {
            let kind = Work::from_json(&line.payload).ok().map(|work| work.kind());
            *counts.entry((kind, line.state)).or_default() += 1;
        }
        Ok(counts.into_iter().map(|((kind, state), count)| (kind, state, count)).collect())
    }

    /// The job of this id.
    ///
    /// # Errors
    /// [`Error::Unavailable`] and [`Error::Store`].
    pub async fn get(&self, id: &str) -> Result<Option<Job>, Error> {
        match self.queue.line(id).await? {
            Some(line) => Ok(Some(self.job(line).await?)),
            None => Ok(None),
        }
    }

    /// Lets a job that was given up start anew. False: there is no such job, or it was not given up.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn retry(&self, id: &str) -> Result<bool, Error> {
        Ok(self.queue.revive(Some(id)).await? > 0)
    }

    /// Lets all jobs that were given up start anew. Answers how many.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn retry_all(&self) -> Result<u64, Error> {
        self.queue.revive(None).await
    }

    /// Forgets a job that nobody works on. What it asked for is not done, until something else asks for it. False: there
    /// is no such job, or it runs, is about to, or was done.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn drop(&self, id: &str) -> Result<bool, Error> {
        self.queue.remove(id).await
    }

    /// From here on no job of this kind is started, by any process, until [`Jobs::resume`]. Those that run come to their
    /// end. False: it is paused already.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn pause(&self, kind: JobKind, clock: &Clock) -> Result<bool, Error> {
        self.queue.pause(kind, clock()).await
    }

    /// Takes a pause back. False: the kind is not paused.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn resume(&self, kind: JobKind) -> Result<bool, Error> {
        self.queue.resume(kind).await
    }

    /// Kinds that are paused, and since when, in ms since 1970 UTC.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn paused(&self) -> Result<Vec<(JobKind, i64)>, Error> {
        self.queue.paused().await
    }

    /// The last starts, newest first: of this job, or of all; of this kind, or of all.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn history(
        &self,
        job: Option<&str>,
        kind: Option<JobKind>,
        limit: u32,
    ) -> Result<Vec<JobRun>, Error> {
        let runs = self.queue.runs(job, kind, limit).await?;
        Ok(runs
            .into_iter()
            .map(|run| JobRun {
                job: run.job,
                kind: run.kind,
                area: run.area,
                started_ms: run.started_ms,
                duration_ms: run.duration_ms,
                outcome: run.outcome,
                error: run.error,
            })
            .collect())
    }

    /// A job as it may be shown. One that looks at a single record names it, if it has not changed since.
    async fn job(&self, line: Line) -> Result<Job, Error> {
        let work = Work::from_json(&line.payload).ok();
        let (mut records, mut numbers) = (Vec::new(), None);
        match &work {
            Some(Work::Look { area, after, through }) => {
                numbers = Some((*after, *through));
                if through - after == 1 {
                    let changed = self.store.changed(*area, *after, *through).await?;
                    records.extend(changed.iter().map(|numbered| numbered.record.id));
                }
            }
            Some(Work::Wake { records: woken, .. }) => records.clone_from(woken),
            Some(Work::Deliver { delivery, .. }) => records.push(*delivery),
            None => {}
        }
        Ok(Job {
            kind: work.as_ref().map(Work::kind),
            area: work.as_ref().map(Work::area),
            id: line.id,
            state: line.state,
            starts: line.mark.starts,
            error: Some(line.mark.reason).filter(|reason| !reason.is_empty()),
            run_at_ms: line.run_at_s * SECOND_MS,
            ended_ms: line.done_at_s.map(|done_at_s| done_at_s * SECOND_MS),
            records,
            numbers,
        })
    }
}
