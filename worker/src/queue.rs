//! Our own statements on apalis' tables.
//!
//! apalis fetches jobs; everything else is done here, because its own ways were found wanting: jobs enter once by name,
//! start and end by statements that are fenced by who holds them, are taken over from processes that died, and go after
//! a while. In these tables `Pending` is waiting, `Queued` is in the hands of a process, `Running` was started, `Done`
//! and `Killed` (given up) are over.

mod group;
mod setup;
mod view;

use crate::Error;
use crate::job::{JobKind, Released, Work};
pub(crate) use group::{End, Ending, Run, Start};
use rounds_domain::{AreaId, RecordId};
use rounds_store::Pool;
use serde::{Deserialize, Serialize};
use serde_json::json;
use sqlx::{AssertSqlSafe, query, query_as, query_scalar};
use std::collections::HashMap;
use std::time::Duration;
use ulid::Ulid;
use uuid::Uuid;
pub(crate) use view::{Filter, Line};

/// The name of our jobs among all that may be in apalis' tables.
pub(crate) const QUEUE: &str = "rounds";
/// How often a job is started before it is given up, as itself and as a part of others.
pub(crate) const STARTS_MAX: u32 = 5;
/// Rows that are forgotten in one statement: so long others wait for SQLite's one writer.
const PURGE_ROWS: i64 = 5_000;
/// What apalis writes about jobs that it hands back when it stops.
const HANDED_BACK: &str = r#"{"Err": "Re-enqueued due to worker shutdown"}"#;

/// Where jobs of a paused kind are kept: apalis looks for jobs by this name, and nobody asks it for this one.
fn parked(kind: JobKind) -> String {
    format!("{QUEUE} paused {kind}")
}

/// How a job is named in apalis' table, so that what it is about can be told without its payload.
fn key(work: &Work, id: RecordId) -> String {
    format!("{}/{}/{}", work.kind(), work.area(), ulid(id))
}

pub(crate) fn ulid(id: RecordId) -> String {
    Ulid::from(id.0.as_u128()).to_string()
}

/// What the last start of a job left behind, beside the payload.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Mark {
    /// How often it was started and not done.
    #[serde(skip)]
    pub(crate) starts: u32,
    /// Why it was not done.
    #[serde(rename = "Err", default)]
    pub(crate) reason: String,
    /// Its process ended before it did, and it may have been the reason: nothing else may run beside it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) alone: bool,
    /// The next start makes a job of each of its records.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) split: bool,
}

impl Mark {
    fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default() // text and flags are always JSON
    }

    /// As it is after the process ended under the job.
    ///
    /// Beside others it may have been any of them, so it gets another try, by itself. If that ends the process too, the
    /// job is the reason as far as anybody can tell, and its records are tried one by one.
    fn interrupted(&self) -> Self {
        Self {
            starts: self.starts + 1,
            reason: "the process ended before the job did".to_owned(),
            alone: true,
            split: self.alone,
        }
    }
}

/// Jobs that are in apalis' table and could run now, or do.
#[derive(Clone, Debug, Default)]
pub(crate) struct Load {
    /// All but those of deliveries,
    pub(crate) total: usize,
    /// by area,
    pub(crate) by_area: HashMap<AreaId, usize>,
    /// and those of deliveries.
    pub(crate) deliveries: usize,
}

/// apalis' tables.
#[derive(Clone, Debug)]
pub(crate) struct Queue {
    pub(crate) pool: Pool,
}

/// Runs the statement of the database at hand; both take the same arguments and answer how many rows it touched.
macro_rules! execute {
    ($queue:expr, sqlite: $sqlite:expr, postgres: $postgres:expr $(, $argument:expr)* $(,)?) => {
        match &$queue.pool {
            Pool::Sqlite(pool) => query($sqlite)$(.bind($argument))*.execute(pool).await?.rows_affected(),
            Pool::Postgres(pool) => query($postgres)$(.bind($argument))*.execute(pool).await?.rows_affected(),
        }
    };
}

/// The same for a statement that both databases understand, with `{jobs}` for the name of the table.
macro_rules! on_jobs {
    ($queue:expr, $text:expr, $run:ident, $query:ident $(, $argument:expr)* $(,)?) => {
        match &$queue.pool {
            Pool::Sqlite(pool) => {
                $query(AssertSqlSafe($text.replace("{jobs}", "Jobs")))$(.bind($argument))*.$run(pool).await?
            }
            Pool::Postgres(pool) => {
                $query(AssertSqlSafe($text.replace("{jobs}", "apalis.jobs")))$(.bind($argument))*.$run(pool).await?
            }
        }
    };
}

pub(crate) use {execute, on_jobs};

impl Queue {
    /// Adds jobs. Those that are there already stay as they are, but for those that are done: they are done again.
    pub(crate) async fn release(&self, jobs: &[Released]) -> Result<(), Error> {
        let mark = |job: &Released| {
            let reason = "it was a part of a job that did not come to its end".to_owned();
            let mark = Mark { starts: job.starts, reason, alone: job.alone, split: false };
            (job.starts > 0).then(|| mark.to_json())
        };
        match &self.pool {
            Pool::Sqlite(pool) => {
                let row = |job: &Released| {
                    json!({
                        "id": ulid(job.id), "job": job.work.to_json(), "key": key(&job.work, job.id),
                        "priority": job.priority, "starts": job.starts, "mark": mark(job),
                    })
                };
                query(
                    "INSERT INTO Jobs (id, job, idempotency_key, priority, attempts, last_result, job_type, run_at)
                     SELECT value ->> 'id', CAST(value ->> 'job' AS BLOB), value ->> 'key', value ->> 'priority',
                         value ->> 'starts', value ->> 'mark', $1, unixepoch()
                     FROM json_each($2) WHERE true
                     ON CONFLICT (id) DO UPDATE SET status = 'Pending', job = excluded.job, run_at = excluded.run_at, attempts = 0,
                         last_result = NULL, done_at = NULL, priority = excluded.priority
                     WHERE Jobs.status = 'Done' AND excluded.attempts = 0",
                )
                .bind(QUEUE)
                .bind(serde_json::Value::from_iter(jobs.iter().map(row)).to_string())
                .execute(pool)
                .await?;
            }
            Pool::Postgres(pool) => {
                query(
                    "INSERT INTO apalis.jobs
                         (id, job, idempotency_key, priority, attempts, last_result, job_type, run_at)
                     SELECT id, convert_to(job, 'UTF8'), key, priority, starts, mark::jsonb, $1, now()
                     FROM unnest($2::text[], $3::text[], $4::text[], $5::int[], $6::int[], $7::text[])
                         AS new (id, job, key, priority, starts, mark)
                     ON CONFLICT (id) DO UPDATE SET status = 'Pending', job = excluded.job, run_at = excluded.run_at, attempts = 0,
                         last_result = NULL, done_at = NULL, priority = excluded.priority
                     WHERE jobs.status = 'Done' AND excluded.attempts = 0",
                )
                .bind(QUEUE)
                .bind(jobs.iter().map(|job| ulid(job.id)).collect::<Vec<_>>())
                .bind(jobs.iter().map(|job| job.work.to_json()).collect::<Vec<_>>())
                .bind(jobs.iter().map(|job| key(&job.work, job.id)).collect::<Vec<_>>())
                .bind(jobs.iter().map(|job| job.priority).collect::<Vec<_>>())
                .bind(jobs.iter().map(|job| job.starts.cast_signed()).collect::<Vec<_>>())
                .bind(jobs.iter().map(mark).collect::<Vec<_>>())
                .execute(pool)
                .await?;
            }
        }
        Ok(())
    }

    /// How many jobs could run now, or do. Those that wait for another try are not among them.
    pub(crate) async fn load(&self) -> Result<Load, Error> {
        let rows: Vec<(bool, Option<String>, i64)> = match &self.pool {
            Pool::Sqlite(pool) => {
                query_as(
                    "SELECT coalesce(idempotency_key LIKE 'deliver/%', false),
                         substr(idempotency_key, instr(idempotency_key, '/') + 1, 36), count(*) FROM Jobs
                     WHERE job_type = $1 AND status IN ('Pending', 'Queued', 'Running')
                         AND (status <> 'Pending' OR run_at <= unixepoch())
                     GROUP BY 1, 2",
                )
                .bind(QUEUE)
                .fetch_all(pool)
                .await?
            }
            Pool::Postgres(pool) => {
                query_as(
                    "SELECT coalesce(idempotency_key LIKE 'deliver/%', false),
                         split_part(idempotency_key, '/', 2), count(*) FROM apalis.jobs
                     WHERE job_type = $1 AND status IN ('Pending', 'Queued', 'Running') AND status <> 'Done'
                         AND (status <> 'Pending' OR run_at <= now())
                     GROUP BY 1, 2",
                )
                .bind(QUEUE)
                .fetch_all(pool)
                .await?
            }
        };
        let mut load = Load::default();
        for (is_delivery, area, count) in rows {
            let count = usize::try_from(count).unwrap_or_default();
            if is_delivery {
                load.deliveries += count;
                continue;
            }
            load.total += count;
            if let Some(area) = area.and_then(|area| Uuid::try_parse(&area).ok()) {
                load.by_area.insert(AreaId(area), count);
            }
        }
        Ok(load)
    }

    /// What the last start of a job left behind.
    pub(crate) async fn mark(&self, id: Ulid) -> Result<Mark, Error> {
        let text = "SELECT attempts, CAST(last_result AS TEXT) FROM {jobs} WHERE id = $1";
        let row: Option<(i32, Option<String>)> =
            on_jobs!(self, text, fetch_optional, query_as, id.to_string());
        Ok(row.map_or_else(Mark::default, |(attempts, result)| read_mark(attempts, result)))
    }

    /// Lets jobs start that wait for longer than this: the clock was ahead when that was said, and was set back.
    pub(crate) async fn bring_back(&self, pause_max: Duration) -> Result<(), Error> {
        execute!(
            self,
            sqlite: "UPDATE Jobs SET run_at = unixepoch() WHERE job_type IN ($1, $2, $3, $4)
                     AND status IN ('Pending', 'Failed') AND run_at > unixepoch() + $5",
            postgres: "UPDATE apalis.jobs SET run_at = now() WHERE job_type IN ($1, $2, $3, $4)
                     AND status IN ('Pending', 'Failed') AND status <> 'Done'
                     AND run_at > now() + make_interval(secs => $5)",
            QUEUE,
            parked(JobKind::Look),
            parked(JobKind::Wake),
            parked(JobKind::Deliver),
            pause_max.as_secs_f64(),
        );
        Ok(())
    }

    /// Says that a worker is alive.
    pub(crate) async fn beat(&self, worker: &str) -> Result<(), Error> {
        execute!(
            self,
            sqlite: "UPDATE Workers SET last_seen = unixepoch() WHERE id = $1",
            postgres: "UPDATE apalis.workers SET last_seen = now() WHERE id = $1",
            worker,
        );
        Ok(())
    }

    /// Lets others do what is held by processes that were not seen for so long. Answers how many jobs that were.
    ///
    /// A job that was started has lost a start by it; one that had only been fetched has not.
    pub(crate) async fn take_over(&self, dead_after: Duration, now_ms: i64) -> Result<usize, Error> {
        /// Id, worker, payload, whether it was started, attempts, result.
        type Row = (String, String, Vec<u8>, bool, i32, Option<String>);
        let dead_after_s = dead_after.as_secs_f64();
        let rows: Vec<Row> = match &self.pool {
            Pool::Sqlite(pool) => {
                query_as(
                    "SELECT Jobs.id, lock_by, job, status = 'Running', attempts, last_result FROM Jobs
                     JOIN Workers ON Workers.id = lock_by
                     WHERE job_type = $1 AND status IN ('Queued', 'Running') AND last_seen <= unixepoch() - $2",
                )
                .bind(QUEUE)
                .bind(dead_after_s)
                .fetch_all(pool)
                .await?
            }
            Pool::Postgres(pool) => {
                query_as(
                    "SELECT jobs.id, lock_by, job, status = 'Running', attempts, last_result::text FROM apalis.jobs
                     JOIN apalis.workers ON workers.id = lock_by
                     WHERE job_type = $1 AND status IN ('Queued', 'Running') AND status <> 'Done'
                         AND last_seen <= now() - make_interval(secs => $2)",
                )
                .bind(QUEUE)
                .bind(dead_after_s)
                .fetch_all(pool)
                .await?
            }
        };
        let ends: Vec<End> = rows
            .into_iter()
            .filter_map(|(id, worker, payload, started, attempts, result)| {
                let mark = read_mark(attempts, result);
                let ending = if started {
                    Ending::Again { pause: Duration::ZERO, mark: mark.interrupted() }
                } else {
                    Ending::Back(mark)
                };
                let run = started.then(|| Run::interrupted(&payload, now_ms));
                Some(End { id: Ulid::from_string(&id).ok()?, worker: worker.into(), ending, run })
            })
            .collect();
        let (_, taken) = self.write(&[], &ends).await?;
        Ok(taken.into_iter().filter(|taken| *taken).count())
    }

    /// Gives up jobs whose ids are no ULIDs, which nothing here makes: apalis would end at each look for jobs.
    pub(crate) async fn set_aside_foreign(&self) -> Result<(), Error> {
        const REASON: &str = r#"{"Err": "the id is no ULID: it is no job of this program"}"#;
        const LETTERS: &str = "[0-9A-HJKMNP-TV-Z]";
        let sqlite_pattern = format!("[0-7]{}", LETTERS.repeat(25));
        let postgres_pattern = format!("^[0-7]{LETTERS}{{25}}$");
        let pattern = if matches!(self.pool, Pool::Sqlite(_)) { sqlite_pattern } else { postgres_pattern };
        let aside = execute!(
            self,
            sqlite: "UPDATE Jobs SET status = 'Killed', last_result = $3, done_at = unixepoch(), lock_by = NULL
                     WHERE job_type = $1 AND status IN ('Pending', 'Queued', 'Failed') AND id NOT GLOB $2",
            postgres: "UPDATE apalis.jobs SET status = 'Killed', last_result = $3::jsonb, done_at = now(), lock_by = NULL
                       WHERE job_type = $1 AND status IN ('Pending', 'Queued', 'Failed') AND status <> 'Done'
                           AND id !~ $2",
            QUEUE,
            &pattern,
            REASON,
        );
        if aside > 0 {
            tracing::error!(aside, "jobs with ids of another sort were given up");
        }
        Ok(())
    }

    /// Gives back what a worker that has ended still holds: it had not begun with it, or was dropped at it.
    ///
    /// A job that apalis handed back has not lost a start by it.
    pub(crate) async fn give_back(&self, worker: &str) -> Result<(), Error> {
        execute!(
            self,
            sqlite: "UPDATE Jobs SET status = 'Pending', lock_by = NULL, lock_at = NULL
                     WHERE job_type = $2 AND lock_by = $1 AND status IN ('Queued', 'Running')",
            postgres: "UPDATE apalis.jobs SET status = 'Pending', lock_by = NULL, lock_at = NULL
                     WHERE job_type = $2 AND lock_by = $1 AND status IN ('Queued', 'Running')",
            worker,
            QUEUE,
        );
        execute!(
            self,
            sqlite: "UPDATE Jobs SET attempts = attempts - 1, last_result = NULL
                     WHERE job_type = $1 AND status = 'Pending' AND attempts > 0 AND last_result = $2",
            postgres: "UPDATE apalis.jobs SET attempts = attempts - 1, last_result = NULL
                     WHERE job_type = $1 AND status = 'Pending' AND attempts > 0 AND last_result = $2::jsonb",
            QUEUE,
            HANDED_BACK,
        );
        Ok(())
    }

    /// Forgets jobs that were done longer ago than `done_kept`, workers that were not seen for as long, and runs that
    /// began before `runs_before_ms`.
    pub(crate) async fn purge(&self, done_kept: Duration, runs_before_ms: i64) -> Result<(), Error> {
        let kept_s = done_kept.as_secs_f64();
        loop {
            let gone = execute!(
                self,
                sqlite: "DELETE FROM Jobs WHERE id IN (
                             SELECT id FROM Jobs WHERE job_type = $1 AND status = 'Done'
                                 AND done_at IS NOT NULL AND done_at < unixepoch() - $2 LIMIT $3)",
                postgres: "DELETE FROM apalis.jobs WHERE id IN (
                             SELECT id FROM apalis.jobs WHERE job_type = $1 AND status = 'Done'
                                 AND done_at < now() - make_interval(secs => $2) LIMIT $3)",
                QUEUE,
                kept_s,
                PURGE_ROWS,
            );
            if gone < PURGE_ROWS.unsigned_abs() {
                break;
            }
        }
        loop {
            let gone = execute!(
                self,
                sqlite: "DELETE FROM job_runs WHERE rowid IN (
                             SELECT rowid FROM job_runs WHERE started_ms < $1 LIMIT $2)",
                postgres: "DELETE FROM job_runs WHERE ctid = ANY (ARRAY(
                             SELECT ctid FROM job_runs WHERE started_ms < $1 LIMIT $2))",
                runs_before_ms,
                PURGE_ROWS,
            );
            if gone < PURGE_ROWS.unsigned_abs() {
                break;
            }
        }
        execute!(
            self,
            sqlite: "DELETE FROM Workers WHERE worker_type = $1 AND last_seen < unixepoch() - $2
                     AND NOT EXISTS (SELECT 1 FROM Jobs WHERE job_type = $1 AND status IN ('Queued', 'Running')
                         AND lock_by = Workers.id)",
            postgres: "DELETE FROM apalis.workers
                     WHERE worker_type = $1 AND last_seen < now() - make_interval(secs => $2)
                     AND NOT EXISTS (SELECT 1 FROM apalis.jobs WHERE lock_by = workers.id)",
            QUEUE,
            kept_s,
        );
        Ok(())
    }

    /// Jobs that are not over, and not of a paused kind.
    pub(crate) async fn unfinished(&self) -> Result<u64, Error> {
        self.count("status IN ('Pending', 'Queued', 'Running', 'Failed') AND status <> 'Done'").await
    }

    /// Jobs that were given up.
    pub(crate) async fn dead(&self) -> Result<u64, Error> {
        self.count("status = 'Killed' AND status <> 'Done'").await
    }

    async fn count(&self, condition: &'static str) -> Result<u64, Error> {
        let text = format!("SELECT count(*) FROM {{jobs}} WHERE job_type = $1 AND {condition}");
        let count: i64 = on_jobs!(self, text, fetch_one, query_scalar, QUEUE);
        Ok(count.unsigned_abs())
    }
}

fn read_mark(attempts: i32, result: Option<String>) -> Mark {
    let mark: Mark = result.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
    Mark { starts: u32::try_from(attempts).unwrap_or_default(), ..mark }
}
