//! What people see of the jobs, and what they can do about them.

use super::{Mark, QUEUE, Queue, execute, on_jobs, parked, read_mark};
use crate::Error;
use crate::job::JobKind;
use crate::jobs::JobState;
use rounds_domain::AreaId;
use rounds_store::Pool;
use sqlx::{AssertSqlSafe, query, query_as, query_scalar};
use uuid::Uuid;

/// Which jobs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Filter {
    pub(crate) state: Option<JobState>,
    pub(crate) kind: Option<JobKind>,
    pub(crate) limit: u32,
}

/// A job as it is in apalis' table.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    pub(crate) id: String,
    pub(crate) payload: Vec<u8>,
    pub(crate) state: JobState,
    pub(crate) mark: Mark,
    /// When it is or was to be started, and when it ended, in seconds since 1970 UTC.
    pub(crate) run_at_s: i64,
    pub(crate) done_at_s: Option<i64>,
}

/// A line of the history as it is in its table.
#[derive(Clone, Debug)]
pub(crate) struct RunLine {
    pub(crate) job: String,
    pub(crate) kind: String,
    pub(crate) area: Option<AreaId>,
    pub(crate) started_ms: i64,
    pub(crate) duration_ms: i64,
    pub(crate) outcome: String,
    pub(crate) error: Option<String>,
}

type Row = (String, Vec<u8>, String, String, i32, i64, Option<i64>, Option<String>);

const COLUMNS_SQLITE: &str = "id, job, job_type, status, attempts, run_at, done_at, last_result FROM Jobs";
const COLUMNS_POSTGRES: &str = "id, job, job_type, status, attempts, extract(epoch FROM run_at)::bigint,
    extract(epoch FROM done_at)::bigint, last_result::text FROM apalis.jobs";

impl Queue {
    /// Jobs, those first that need somebody, then in the order in which they run.
    pub(crate) async fn lines(&self, filter: Filter) -> Result<Vec<Line>, Error> {
        let states: &[&str] = match filter.state {
            None => &["Pending", "Queued", "Running", "Failed", "Killed"],
            Some(JobState::Waiting) => &["Pending", "Queued", "Failed"],
            Some(JobState::Paused) => &["Pending"],
            Some(JobState::Running) => &["Running"],
            Some(JobState::Dead) => &["Killed"],
            Some(JobState::Done) => &["Done"],
        };
        let states: Vec<_> = states.iter().map(|state| format!("'{state}'")).collect();
        let mut queues = Vec::new();
        if filter.state != Some(JobState::Paused) {
            queues.push(QUEUE.to_owned());
        }
        if matches!(filter.state, None | Some(JobState::Paused)) {
            queues.extend(JobKind::ALL.into_iter().map(parked));
        }
        let queues: Vec<_> = queues.iter().map(|queue| format!("'{queue}'")).collect();
        // Says what the states say already, in the words of the index of what is not done.
        let not_done = if filter.state == Some(JobState::Done) { "" } else { "AND status <> 'Done'" };
        let condition = format!(
            "WHERE job_type IN ({}) AND status IN ({}) {not_done} AND ($1 = '' OR idempotency_key LIKE $1)
             ORDER BY CASE status WHEN 'Killed' THEN 0 WHEN 'Running' THEN 1 WHEN 'Done' THEN 3 ELSE 2 END,
                 CASE status WHEN 'Done' THEN NULL ELSE run_at END, done_at DESC, id
             LIMIT $2",
            queues.join(", "),
            states.join(", "),
        );
        let kind = filter.kind.map_or_else(String::new, |kind| format!("{kind}/%"));
        let rows: Vec<Row> = match &self.pool {
            Pool::Sqlite(pool) => {
                query_as(AssertSqlSafe(format!("SELECT {COLUMNS_SQLITE} {condition}")))
                    .bind(kind)
                    .bind(i64::from(filter.limit))
                    .fetch_all(pool)
                    .await?
            }
            Pool::Postgres(pool) => {
                query_as(AssertSqlSafe(format!("SELECT {COLUMNS_POSTGRES} {condition}")))
                    .bind(kind)
                    .bind(i64::from(filter.limit))
                    .fetch_all(pool)
                    .await?
            }
        };
        Ok(rows.into_iter().map(line).collect())
    }

    /// The job of this id.
    pub(crate) async fn line(&self, id: &str) -> Result<Option<Line>, Error> {
        let row: Option<Row> = match &self.pool {
            Pool::Sqlite(pool) => {
                query_as(AssertSqlSafe(format!("SELECT {COLUMNS_SQLITE} WHERE id = $1")))
                    .bind(id)
                    .fetch_optional(pool)
                    .await?
            }
            Pool::Postgres(pool) => {
                query_as(AssertSqlSafe(format!("SELECT {COLUMNS_POSTGRES} WHERE id = $1")))
                    .bind(id)
                    .fetch_optional(pool)
                    .await?
            }
        };
        Ok(row.map(line))
    }

    /// Lets jobs that were given up start anew: this one, or all. Answers how many.
    pub(crate) async fn revive(&self, id: Option<&str>) -> Result<u64, Error> {
        Ok(execute!(
            self,
            sqlite: "UPDATE Jobs SET status = 'Pending', attempts = 0, last_result = NULL, done_at = NULL,
                         run_at = unixepoch()
                     WHERE job_type = $1 AND status = 'Killed' AND ($2 IS NULL OR id = $2)",
            postgres: "UPDATE apalis.jobs SET status = 'Pending', attempts = 0, last_result = NULL, done_at = NULL,
                         run_at = now()
                     WHERE job_type = $1 AND status = 'Killed' AND status <> 'Done'
                         AND ($2::text IS NULL OR id = $2)",
            QUEUE,
            id,
        ))
    }

    /// Forgets a job that nobody works on. False: there is none, or somebody does.
    pub(crate) async fn remove(&self, id: &str) -> Result<bool, Error> {
        let text = "DELETE FROM {jobs} WHERE id = $1 AND status IN ('Pending', 'Failed', 'Killed')
                    AND (job_type = $2 OR job_type LIKE $3) RETURNING id";
        let paused = format!("{QUEUE} paused %");
        let gone: Option<String> = on_jobs!(self, text, fetch_optional, query_scalar, id, QUEUE, &paused);
        Ok(gone.is_some())
    }

    /// Kinds that are paused, and since when, in ms since 1970 UTC.
    pub(crate) async fn paused(&self) -> Result<Vec<(JobKind, i64)>, Error> {
        let text = "SELECT kind, since_ms FROM paused_kinds ORDER BY kind";
        let rows: Vec<(String, i64)> = match &self.pool {
            Pool::Sqlite(pool) => query_as(text).fetch_all(pool).await?,
            Pool::Postgres(pool) => query_as(text).fetch_all(pool).await?,
        };
        Ok(rows.into_iter().filter_map(|(kind, since_ms)| Some((kind.parse().ok()?, since_ms))).collect())
    }

    /// From here on no job of this kind is started. False: it is paused already.
    pub(crate) async fn pause(&self, kind: JobKind, now_ms: i64) -> Result<bool, Error> {
        let text = "INSERT INTO paused_kinds (kind, since_ms) VALUES ($1, $2) ON CONFLICT DO NOTHING";
        Ok(execute!(self, sqlite: text, postgres: text, kind.as_str(), now_ms) > 0)
    }

    /// Takes a pause back. False: it is not paused.
    pub(crate) async fn resume(&self, kind: JobKind) -> Result<bool, Error> {
        let forget = "DELETE FROM paused_kinds WHERE kind = $1";
        let unpark = "UPDATE {jobs} SET job_type = $1 WHERE job_type = $2";
        Ok(match &self.pool {
            Pool::Sqlite(pool) => {
                let mut tx = pool.begin_with("BEGIN IMMEDIATE").await?;
                let gone = query(forget).bind(kind.as_str()).execute(&mut *tx).await?.rows_affected();
                let unpark = AssertSqlSafe(unpark.replace("{jobs}", "Jobs"));
                query(unpark).bind(QUEUE).bind(parked(kind)).execute(&mut *tx).await?;
                tx.commit().await?;
                gone > 0
            }
            Pool::Postgres(pool) => {
                let mut tx = pool.begin().await?;
                let gone = query(forget).bind(kind.as_str()).execute(&mut *tx).await?.rows_affected();
                let unpark = AssertSqlSafe(unpark.replace("{jobs}", "apalis.jobs"));
                query(unpark).bind(QUEUE).bind(parked(kind)).execute(&mut *tx).await?;
                tx.commit().await?;
                gone > 0
            }
        })
    }

    /// The last runs, newest first: of this job, or of all.
    pub(crate) async fn runs(
        &self,
        job: Option<&str>,
        kind: Option<JobKind>,
        limit: u32,
    ) -> Result<Vec<RunLine>, Error> {
        type Row = (String, String, Option<Uuid>, i64, i64, String, Option<String>);
        let condition = if job.is_some() { "job = $1" } else { "$1 = ''" };
        let text = format!(
            "SELECT job, kind, area, started_ms, duration_ms, outcome, error FROM job_runs
             WHERE {condition} AND ($2 = '' OR kind = $2) ORDER BY started_ms DESC LIMIT $3"
        );
        let (job, kind) = (job.unwrap_or_default(), kind.map_or("", JobKind::as_str));
        let rows: Vec<Row> = match &self.pool {
            Pool::Sqlite(pool) => {
                query_as(AssertSqlSafe(text))
                    .bind(job)
                    .bind(kind)
                    .bind(i64::from(limit))
                    .fetch_all(pool)
                    .await?
            }
            Pool::Postgres(pool) => {
                query_as(AssertSqlSafe(text))
                    .bind(job)
                    .bind(kind)
                    .bind(i64::from(limit))
                    .fetch_all(pool)
                    .await?
            }
        };
        let run = |(job, kind, area, started_ms, duration_ms, outcome, error): Row| RunLine {
            job,
            kind,
            area: area.map(AreaId),
            started_ms,
            duration_ms,
            outcome,
            error,
        };
        Ok(rows.into_iter().map(run).collect())
    }
}

fn line((id, payload, queue, status, attempts, run_at_s, done_at_s, result): Row) -> Line {
    let state = match status.as_str() {
        "Running" => JobState::Running,
        "Done" => JobState::Done,
        "Killed" => JobState::Dead,
        _ if queue != QUEUE => JobState::Paused,
        _ => JobState::Waiting,
    };
    Line { id, payload, state, mark: read_mark(attempts, result), run_at_s, done_at_s }
}
