//! Our own statements on apalis' tables.
//!
//! apalis fetches jobs and finds those of dead workers; everything else is done here, because its own ways were found
//! wanting: jobs enter once by name, leave by one statement that is fenced by who holds them, and go after a while.
//! In these tables `Pending` is waiting, `Queued` is held by a worker, `Done` and `Killed` (given up) are over.

use crate::Error;
use crate::job::Released;
use apalis_postgres::PostgresStorage;
use apalis_sqlite::SqliteStorage;
use rounds_store::Pool;
use serde_json::json;
use sqlx::{PgPool, SqlitePool, query, query_scalar};
use std::time::Duration;
use ulid::Ulid;

/// The name of our jobs among all that may be in apalis' tables.
pub(crate) const QUEUE: &str = "rounds";

/// How a job ended.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Ending {
    /// What it asked for is done.
    Done,
    /// It failed, and is started again after this time.
    Again(Duration, String),
    /// It is given up, for a person to look at.
    Dead(String),
}

impl Ending {
    fn status(&self) -> &'static str {
        match self {
            Self::Done => "Done",
            Self::Again(..) => "Pending",
            Self::Dead(_) => "Killed",
        }
    }

    fn result(&self) -> serde_json::Value {
        match self {
            Self::Done => json!({ "Ok": null }),
            Self::Again(_, reason) | Self::Dead(reason) => json!({ "Err": reason }),
        }
    }

    /// How long until the next start.
    fn pause(&self) -> Duration {
        match self {
            Self::Again(pause, _) => *pause,
            Self::Done | Self::Dead(_) => Duration::ZERO,
        }
    }
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

impl Queue {
    /// Makes the tables, or brings them up to date.
    ///
    /// # Errors
    /// [`Error::Unsuitable`] says what the database lacks.
    pub(crate) async fn set_up(&self) -> Result<(), Error> {
        match &self.pool {
            Pool::Sqlite(pool) => set_up_sqlite(pool).await,
            Pool::Postgres(pool) => set_up_postgres(pool).await,
        }
    }

    /// Adds jobs. Those that are there already stay as they are.
    pub(crate) async fn release(&self, jobs: &[Released]) -> Result<(), Error> {
        let ids = jobs.iter().map(|job| Ulid::from(job.id.0.as_u128()).to_string());
        match &self.pool {
            Pool::Sqlite(pool) => {
                let rows: Vec<_> =
                    ids.zip(jobs).map(|(id, job)| json!({ "id": id, "job": job.work.to_json() })).collect();
                query(
                    "INSERT INTO Jobs (job, id, job_type, run_at, idempotency_key)
                     SELECT CAST(value ->> 'job' AS BLOB), value ->> 'id', $1, unixepoch(), value ->> 'id'
                     FROM json_each($2) WHERE true
                     ON CONFLICT DO NOTHING",
                )
                .bind(QUEUE)
                .bind(serde_json::Value::from(rows).to_string())
                .execute(pool)
                .await?;
            }
            Pool::Postgres(pool) => {
                query(
                    "INSERT INTO apalis.jobs (job, id, job_type, run_at, idempotency_key)
                     SELECT convert_to(job, 'UTF8'), id, $1, now(), id FROM unnest($2::text[], $3::text[]) AS new (id, job)
                     ON CONFLICT DO NOTHING",
                )
                .bind(QUEUE)
                .bind(ids.collect::<Vec<_>>())
                .bind(jobs.iter().map(|job| job.work.to_json()).collect::<Vec<_>>())
                .execute(pool)
                .await?;
            }
        }
        Ok(())
    }

    /// Writes down how a job ended. False: this worker does not hold it any more, and nothing was written.
    pub(crate) async fn finish(
        &self,
        worker: &str,
        id: Ulid,
        starts: usize,
        ending: &Ending,
    ) -> Result<bool, Error> {
        let starts = i32::try_from(starts).unwrap_or(i32::MAX);
        let pause_s = ending.pause().as_secs_f64().ceil(); // whole seconds are all that apalis keeps on SQLite
        let touched = execute!(
            self,
            sqlite: "UPDATE Jobs SET status = $3, attempts = $4, last_result = $5, run_at = unixepoch() + $6,
                         done_at = CASE WHEN $3 = 'Pending' THEN NULL ELSE unixepoch() END, lock_by = NULL, lock_at = NULL
                     WHERE id = $1 AND lock_by = $2 AND status IN ('Queued', 'Running')",
            postgres: "UPDATE apalis.jobs SET status = $3, attempts = $4, last_result = $5::jsonb,
                         run_at = now() + make_interval(secs => $6),
                         done_at = CASE WHEN $3 = 'Pending' THEN NULL ELSE now() END, lock_by = NULL, lock_at = NULL
                     WHERE id = $1 AND lock_by = $2 AND status IN ('Queued', 'Running')",
            id.to_string(),
            worker,
            ending.status(),
            starts,
            ending.result().to_string(),
            pause_s,
        );
        Ok(touched > 0)
    }

    /// Says that a worker is alive. apalis does so itself, but not while it has jobs to hand out.
    pub(crate) async fn beat(&self, worker: &str) -> Result<(), Error> {
        execute!(
            self,
            sqlite: "UPDATE Workers SET last_seen = unixepoch() WHERE id = $1",
            postgres: "UPDATE apalis.workers SET last_seen = now() WHERE id = $1",
            worker,
        );
        Ok(())
    }

    /// Gives back what a worker that has ended still holds.
    ///
    /// A job that was handed back before it ran has not lost a start by it, as apalis counts.
    pub(crate) async fn give_back(&self, worker: &str) -> Result<(), Error> {
        execute!(
            self,
            sqlite: "UPDATE Jobs SET status = 'Pending', lock_by = NULL, lock_at = NULL
                     WHERE lock_by = $1 AND status IN ('Queued', 'Running')",
            postgres: "UPDATE apalis.jobs SET status = 'Pending', lock_by = NULL, lock_at = NULL
                     WHERE lock_by = $1 AND status IN ('Queued', 'Running')",
            worker,
        );
        execute!(
            self,
            sqlite: "UPDATE Jobs SET attempts = attempts - 1, last_result = NULL
                     WHERE job_type = $1 AND status = 'Pending' AND attempts > 0 AND last_result = $2",
            postgres: "UPDATE apalis.jobs SET attempts = attempts - 1, last_result = NULL
                     WHERE job_type = $1 AND status = 'Pending' AND attempts > 0 AND last_result = $2::jsonb",
            QUEUE,
            r#"{"Err": "Re-enqueued due to worker shutdown"}"#,
        );
        Ok(())
    }

    /// Forgets jobs that were done longer ago than `kept`, and workers that were not seen for as long.
    pub(crate) async fn purge(&self, kept: Duration) -> Result<(), Error> {
        let kept_s = kept.as_secs_f64();
        execute!(
            self,
            sqlite: "DELETE FROM Jobs WHERE job_type = $1 AND status = 'Done' AND done_at < unixepoch() - $2",
            postgres: "DELETE FROM apalis.jobs
                     WHERE job_type = $1 AND status = 'Done' AND done_at < now() - make_interval(secs => $2)",
            QUEUE,
            kept_s,
        );
        execute!(
            self,
            sqlite: "DELETE FROM Workers WHERE worker_type = $1 AND last_seen < unixepoch() - $2
                     AND NOT EXISTS (SELECT 1 FROM Jobs WHERE lock_by = Workers.id)",
            postgres: "DELETE FROM apalis.workers
                     WHERE worker_type = $1 AND last_seen < now() - make_interval(secs => $2)
                     AND NOT EXISTS (SELECT 1 FROM apalis.jobs WHERE lock_by = workers.id)",
            QUEUE,
            kept_s,
        );
        Ok(())
    }

    /// Jobs that are not over.
    pub(crate) async fn unfinished(&self) -> Result<u64, Error> {
        self.count("status NOT IN ('Done', 'Killed')").await
    }

    /// Jobs that were given up.
    pub(crate) async fn dead(&self) -> Result<u64, Error> {
        self.count("status = 'Killed'").await
    }

    async fn count(&self, condition: &'static str) -> Result<u64, Error> {
        let count: i64 = match &self.pool {
            Pool::Sqlite(pool) => {
                let text = format!("SELECT count(*) FROM Jobs WHERE job_type = $1 AND {condition}");
                query_scalar(sqlx::AssertSqlSafe(text)).bind(QUEUE).fetch_one(pool).await?
            }
            Pool::Postgres(pool) => {
                let text = format!("SELECT count(*) FROM apalis.jobs WHERE job_type = $1 AND {condition}");
                query_scalar(sqlx::AssertSqlSafe(text)).bind(QUEUE).fetch_one(pool).await?
            }
        };
        Ok(count.unsigned_abs())
    }
}

/// apalis' own `setup` would switch syncs off, and write its history into the table of ours.
async fn set_up_sqlite(pool: &SqlitePool) -> Result<(), Error> {
    let mut migrations = SqliteStorage::migrations();
    migrations.dangerous_set_table_name("_apalis_migrations");
    // One transaction, so that two processes that start at once do it one after the other.
    let mut tx = pool.begin_with("BEGIN IMMEDIATE").await?;
    migrations.run(&mut *tx).await.map_err(unsuitable)?;
    // Every finished job of a worker would be read through at each end of a job.
    query("DROP INDEX IF EXISTS LIdx").execute(&mut *tx).await?;
    Ok(tx.commit().await?)
}

async fn set_up_postgres(pool: &PgPool) -> Result<(), Error> {
    let mut tx = pool.begin().await?;
    // Two processes that create an extension at once disturb each other even with IF NOT EXISTS.
    query("SELECT pg_advisory_xact_lock(hashtext('rounds job runner'))").execute(&mut *tx).await?;
    for create in ["CREATE EXTENSION IF NOT EXISTS hstore", "CREATE EXTENSION IF NOT EXISTS pgcrypto"] {
        query(create).execute(&mut *tx).await.map_err(extension_error)?;
    }
    tx.commit().await?;
    PostgresStorage::migrations().run(pool).await.map_err(unsuitable)
}

fn extension_error(error: sqlx::Error) -> Error {
    // 42501: not allowed. 0A000 and 58P01: the server does not have it.
    match error.as_database_error().and_then(|error| error.code()).as_deref() {
        Some("42501") => Error::Unsuitable(
            "the job runner needs the PostgreSQL extensions hstore and pgcrypto, and this user may not create them: \
             run CREATE EXTENSION hstore; CREATE EXTENSION pgcrypto; in this database as its owner or a superuser"
                .to_owned(),
        ),
        Some("0A000" | "58P01") => Error::Unsuitable(
            "the job runner needs the PostgreSQL extensions hstore and pgcrypto, and this server does not have them: \
             install the server's contrib package"
                .to_owned(),
        ),
        _ => Error::Unavailable(error),
    }
}

fn unsuitable(error: sqlx::migrate::MigrateError) -> Error {
    match error {
        sqlx::migrate::MigrateError::Execute(error) => Error::Unavailable(error),
        other => {
            Error::Unsuitable(format!("the tables of the job runner cannot be brought up to date: {other}"))
        }
    }
}
