//! The starts and ends of many jobs in a few statements: a commit for each would cost more than most jobs.

use super::{Mark, Queue, parked};
use crate::Error;
use crate::job::{JobKind, Work};
use rounds_domain::AreaId;
use rounds_store::Pool;
use serde_json::json;
use sqlx::{PgConnection, SqliteConnection, query, query_scalar};
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;
use ulid::Ulid;

/// Longest error that is kept, in characters.
const ERROR_CHARS_MAX: usize = 2_000;

/// A job that is about to run.
#[derive(Clone, Debug)]
pub(crate) struct Start {
    pub(crate) id: Ulid,
    pub(crate) worker: Arc<str>,
    pub(crate) kind: JobKind,
}

/// A job that is not in our hands any more from here on.
#[derive(Clone, Debug)]
pub(crate) struct End {
    pub(crate) id: Ulid,
    pub(crate) worker: Arc<str>,
    pub(crate) ending: Ending,
    /// What the history says of it, if it was started.
    pub(crate) run: Option<Run>,
}

/// How a start of a job ended.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Ending {
    /// What it asked for is done, at this start.
    Done(u32),
    /// It did not come to its end, and is started again after this time.
    Again {
        /// How long to wait.
        pause: Duration,
        /// What the next start has to know.
        mark: Mark,
    },
    /// It was not started, and somebody else may.
    Back(Mark),
    /// It is given up, for a person to look at.
    Dead(Mark),
}

/// A line of the history.
#[derive(Clone, Debug)]
pub(crate) struct Run {
    /// A kind, or that the payload did not say.
    pub(crate) kind: &'static str,
    pub(crate) area: Option<AreaId>,
    pub(crate) started_ms: i64,
    pub(crate) duration_ms: i64,
    pub(crate) outcome: &'static str,
    pub(crate) error: Option<String>,
}

impl Run {
    /// Of a job whose process died: when it began is not known, so it is noted at the time at which that was found.
    pub(crate) fn interrupted(payload: &[u8], now_ms: i64) -> Self {
        let work = Work::from_json(payload).ok();
        Self {
            kind: work.as_ref().map_or("unreadable", |work| work.kind().as_str()),
            area: work.as_ref().map(Work::area),
            started_ms: now_ms,
            duration_ms: 0,
            outcome: "interrupted",
            error: None,
        }
    }
}

impl Ending {
    fn status(&self) -> &'static str {
        match self {
            Self::Done(_) => "Done",
            Self::Again { .. } | Self::Back(_) => "Pending",
            Self::Dead(_) => "Killed",
        }
    }

    fn starts(&self) -> u32 {
        match self {
            Self::Done(starts) => *starts,
            Self::Again { mark, .. } | Self::Back(mark) | Self::Dead(mark) => mark.starts,
        }
    }

    fn result(&self) -> Option<String> {
        match self {
            Self::Done(_) => Some(json!({ "Ok": null }).to_string()),
            Self::Back(mark) if mark.starts == 0 => None,
            Self::Again { mark, .. } | Self::Back(mark) | Self::Dead(mark) => {
                let reason = mark.reason.chars().filter(|char| *char != '\0').take(ERROR_CHARS_MAX).collect();
                Some(Mark { reason, ..mark.clone() }.to_json())
            }
        }
    }

    /// Seconds until the next start. Whole ones are all that apalis keeps on SQLite.
    fn pause_s(&self) -> i64 {
        match self {
            Self::Again { pause, .. } => pause.as_secs_f64().ceil() as i64,
            Self::Done(_) | Self::Back(_) | Self::Dead(_) => 0,
        }
    }
}

impl Queue {
    /// Writes down, in one commit, that jobs start and that jobs ended. Answers for each whether this worker held it,
    /// and, for a start, whether its kind may run: only then was something written, and only then may it run.
    pub(crate) async fn write(
        &self,
        starts: &[Start],
        ends: &[End],
    ) -> Result<(Vec<bool>, Vec<bool>), Error> {
        let (started, ended) = match &self.pool {
            Pool::Sqlite(pool) => {
                let mut tx = pool.begin_with("BEGIN IMMEDIATE").await?;
                let done = (start_sqlite(&mut tx, starts).await?, end_sqlite(&mut tx, ends).await?);
                tx.commit().await?;
                done
            }
            Pool::Postgres(pool) => {
                // Not a sync for each: what a power cut takes is that a job was done, and doing it again is harmless.
                let mut tx = pool.begin_with("BEGIN; SET LOCAL synchronous_commit = off").await?;
                let done = (start_postgres(&mut tx, starts).await?, end_postgres(&mut tx, ends).await?);
                tx.commit().await?;
                done
            }
        };
        let was = |touched: &HashSet<String>, id: &Ulid| touched.contains(&id.to_string());
        Ok((
            starts.iter().map(|start| was(&started, &start.id)).collect(),
            ends.iter().map(|end| was(&ended, &end.id)).collect(),
        ))
    }
}

/// Sets jobs of paused kinds apart, and answers the others.
fn sort_out<'a>(starts: &'a [Start], paused: &[String]) -> (Vec<&'a Start>, Vec<&'a Start>) {
    starts.iter().partition(|start| paused.iter().any(|kind| kind == start.kind.as_str()))
}

/// One that runs already was started by us, and the answer was lost: nobody else writes this worker's name.
async fn start_sqlite(connection: &mut SqliteConnection, starts: &[Start]) -> Result<HashSet<String>, Error> {
    if starts.is_empty() {
        return Ok(HashSet::new());
    }
    let paused: Vec<String> =
        query_scalar("SELECT kind FROM paused_kinds").fetch_all(&mut *connection).await?;
    let (held_back, free) = sort_out(starts, &paused);
    for kind in JobKind::ALL {
        let ids = json!(names(held_back.iter().filter(|start| start.kind == kind)));
        if ids.as_array().is_some_and(|ids| !ids.is_empty()) {
            query(
                "UPDATE Jobs SET job_type = $1, status = 'Pending', lock_by = NULL, lock_at = NULL
                 FROM (SELECT value ->> 0 AS id, value ->> 1 AS worker FROM json_each($2)) AS held
                 WHERE Jobs.id = held.id AND lock_by = held.worker AND status = 'Queued'",
            )
            .bind(parked(kind))
            .bind(ids.to_string())
            .execute(&mut *connection)
            .await?;
        }
    }
    let started: Vec<String> = query_scalar(
        "UPDATE Jobs SET status = 'Running', lock_at = unixepoch()
         FROM (SELECT value ->> 0 AS id, value ->> 1 AS worker FROM json_each($1)) AS held
         WHERE Jobs.id = held.id AND lock_by = held.worker AND status IN ('Queued', 'Running')
         RETURNING Jobs.id",
    )
    .bind(json!(names(free.iter())).to_string())
    .fetch_all(&mut *connection)
    .await?;
    Ok(started.into_iter().collect())
}

async fn start_postgres(connection: &mut PgConnection, starts: &[Start]) -> Result<HashSet<String>, Error> {
    if starts.is_empty() {
        return Ok(HashSet::new());
    }
    // Whoever resumes a kind waits until those that were parked here can be seen.
    let paused: Vec<String> =
        query_scalar("SELECT kind FROM paused_kinds FOR SHARE").fetch_all(&mut *connection).await?;
    let (held_back, free) = sort_out(starts, &paused);
    for kind in JobKind::ALL {
        let (ids, workers): (Vec<_>, Vec<_>) =
            names(held_back.iter().filter(|start| start.kind == kind)).into_iter().unzip();
        if !ids.is_empty() {
            query(
                "UPDATE apalis.jobs SET job_type = $1, status = 'Pending', lock_by = NULL, lock_at = NULL
                 FROM unnest($2::text[], $3::text[]) AS held (id, worker)
                 WHERE jobs.id = held.id AND lock_by = held.worker AND status = 'Queued'",
            )
            .bind(parked(kind))
            .bind(ids)
            .bind(workers)
            .execute(&mut *connection)
            .await?;
        }
    }
    let (ids, workers): (Vec<_>, Vec<_>) = names(free.iter()).into_iter().unzip();
    let started: Vec<String> = query_scalar(
        "UPDATE apalis.jobs SET status = 'Running', lock_at = now()
         FROM unnest($1::text[], $2::text[]) AS held (id, worker)
         WHERE jobs.id = held.id AND lock_by = held.worker AND status IN ('Queued', 'Running')
         RETURNING jobs.id",
    )
    .bind(ids)
    .bind(workers)
    .fetch_all(&mut *connection)
    .await?;
    Ok(started.into_iter().collect())
}

fn names<'a, 'b: 'a>(starts: impl Iterator<Item = &'a &'b Start>) -> Vec<(String, String)> {
    starts.map(|start| (start.id.to_string(), start.worker.to_string())).collect()
}

async fn end_sqlite(connection: &mut SqliteConnection, ends: &[End]) -> Result<HashSet<String>, Error> {
    if ends.is_empty() {
        return Ok(HashSet::new());
    }
    let row = |end: &End| {
        json!({
            "id": end.id.to_string(), "worker": &*end.worker, "status": end.ending.status(),
            "starts": end.ending.starts(), "result": end.ending.result(), "pause_s": end.ending.pause_s(),
        })
    };
    let ended: Vec<String> = query_scalar(
        "UPDATE Jobs SET status = ended.status, attempts = ended.starts, last_result = ended.result,
             run_at = CASE ended.status WHEN 'Pending' THEN unixepoch() + ended.pause_s ELSE run_at END,
             done_at = CASE ended.status WHEN 'Pending' THEN NULL ELSE unixepoch() END,
             lock_by = NULL, lock_at = NULL
         FROM (
             SELECT value ->> 'id' AS id, value ->> 'worker' AS worker, value ->> 'status' AS status,
                 value ->> 'starts' AS starts, value ->> 'result' AS result, value ->> 'pause_s' AS pause_s
             FROM json_each($1)
         ) AS ended
         WHERE Jobs.id = ended.id AND lock_by = ended.worker AND Jobs.status IN ('Queued', 'Running')
         RETURNING Jobs.id",
    )
    .bind(serde_json::Value::from_iter(ends.iter().map(row)).to_string())
    .fetch_all(&mut *connection)
    .await?;
    let ended: HashSet<String> = ended.into_iter().collect();
    let runs = runs_of(ends, &ended).map(|(id, run)| {
        json!({
            "job": id, "kind": run.kind, "area": run.area.map(|area| area.0.simple().to_string()),
            "started_ms": run.started_ms, "duration_ms": run.duration_ms, "outcome": run.outcome,
            "error": shortened(run),
        })
    });
    let runs: Vec<_> = runs.collect();
    if !runs.is_empty() {
        query(
            "INSERT INTO job_runs (job, kind, area, started_ms, duration_ms, outcome, error)
             SELECT value ->> 'job', value ->> 'kind', unhex(value ->> 'area'), value ->> 'started_ms',
                 value ->> 'duration_ms', value ->> 'outcome', value ->> 'error'
             FROM json_each($1)",
        )
        .bind(serde_json::Value::from(runs).to_string())
        .execute(&mut *connection)
        .await?;
    }
    Ok(ended)
}

async fn end_postgres(connection: &mut PgConnection, ends: &[End]) -> Result<HashSet<String>, Error> {
    if ends.is_empty() {
        return Ok(HashSet::new());
    }
    let ended: Vec<String> = query_scalar(
        "UPDATE apalis.jobs SET status = ended.status, attempts = ended.starts, last_result = ended.result::jsonb,
             run_at = CASE ended.status WHEN 'Pending' THEN now() + make_interval(secs => ended.pause_s)
                 ELSE run_at END,
             done_at = CASE ended.status WHEN 'Pending' THEN NULL ELSE now() END,
             lock_by = NULL, lock_at = NULL
         FROM unnest($1::text[], $2::text[], $3::text[], $4::int[], $5::text[], $6::bigint[])
             AS ended (id, worker, status, starts, result, pause_s)
         WHERE jobs.id = ended.id AND lock_by = ended.worker AND jobs.status IN ('Queued', 'Running')
         RETURNING jobs.id",
    )
    .bind(ends.iter().map(|end| end.id.to_string()).collect::<Vec<_>>())
    .bind(ends.iter().map(|end| end.worker.to_string()).collect::<Vec<_>>())
    .bind(ends.iter().map(|end| end.ending.status()).collect::<Vec<_>>())
    .bind(ends.iter().map(|end| end.ending.starts().cast_signed()).collect::<Vec<_>>())
    .bind(ends.iter().map(|end| end.ending.result()).collect::<Vec<_>>())
    .bind(ends.iter().map(|end| end.ending.pause_s()).collect::<Vec<_>>())
    .fetch_all(&mut *connection)
    .await?;
    let ended: HashSet<String> = ended.into_iter().collect();
    let runs: Vec<_> = runs_of(ends, &ended).collect();
    if !runs.is_empty() {
        query(
            "INSERT INTO job_runs (job, kind, area, started_ms, duration_ms, outcome, error)
             SELECT * FROM unnest(
                 $1::text[], $2::text[], $3::uuid[], $4::bigint[], $5::bigint[], $6::text[], $7::text[])",
        )
        .bind(runs.iter().map(|(id, _)| id.clone()).collect::<Vec<_>>())
        .bind(runs.iter().map(|(_, run)| run.kind).collect::<Vec<_>>())
        .bind(runs.iter().map(|(_, run)| run.area.map(|area| area.0)).collect::<Vec<_>>())
        .bind(runs.iter().map(|(_, run)| run.started_ms).collect::<Vec<_>>())
        .bind(runs.iter().map(|(_, run)| run.duration_ms).collect::<Vec<_>>())
        .bind(runs.iter().map(|(_, run)| run.outcome).collect::<Vec<_>>())
        .bind(runs.iter().map(|(_, run)| shortened(run)).collect::<Vec<_>>())
        .execute(&mut *connection)
        .await?;
    }
    Ok(ended)
}

/// The history of those ends that were ours to write.
fn runs_of<'a>(ends: &'a [End], ended: &'a HashSet<String>) -> impl Iterator<Item = (String, &'a Run)> {
    ends.iter()
        .map(|end| (end.id.to_string(), &end.run))
        .filter(|(id, _)| ended.contains(id))
        .filter_map(|(id, run)| Some((id, run.as_ref()?)))
}

fn shortened(run: &Run) -> Option<String> {
    let error = run.error.as_ref()?;
    Some(error.chars().filter(|char| *char != '\0').take(ERROR_CHARS_MAX).collect())
}
