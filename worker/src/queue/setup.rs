//! Makes apalis' tables, or brings them up to date.

use super::Queue;
use crate::Error;
use apalis_postgres::PostgresStorage;
use apalis_sqlite::SqliteStorage;
use rounds_store::Pool;
use sqlx::{AssertSqlSafe, PgPool, SqlitePool, query, query_scalar};

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
}

/// apalis' own `setup` would switch syncs off, and write its history into the table of ours.
async fn set_up_sqlite(pool: &SqlitePool) -> Result<(), Error> {
    let mut migrations = SqliteStorage::migrations();
    migrations.dangerous_set_table_name("_apalis_migrations");
    // One transaction, so that two processes that start at once do it one after the other.
    let mut tx = pool.begin_with("BEGIN IMMEDIATE").await?;
    migrations.run(&mut *tx).await.map_err(unsuitable)?;
    // By the first, every finished job of a worker would be read through at each end of a job. The others serve apalis'
    // own ways of finding jobs of dead workers, and each would be written at each start and end.
    for superfluous in ["LIdx", "idx_jobs_status_run_at", "idx_jobs_running", "idx_jobs_claimable"] {
        query(AssertSqlSafe(format!("DROP INDEX IF EXISTS {superfluous}"))).execute(&mut *tx).await?;
    }
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
    PostgresStorage::migrations().run(pool).await.map_err(unsuitable)?;
    // What is not done is counted and listed often, and is little beside what is done. IF NOT EXISTS would lock out
    // every writer even where it exists.
    let mut tx = pool.begin().await?;
    query("SELECT pg_advisory_xact_lock(hashtext('rounds job runner'))").execute(&mut *tx).await?;
    let is_there: bool =
        query_scalar("SELECT to_regclass('apalis.rounds_not_done') IS NOT NULL").fetch_one(&mut *tx).await?;
    if !is_there {
        let create = "CREATE INDEX rounds_not_done ON apalis.jobs (job_type, status) WHERE status <> 'Done'";
        query(create).execute(&mut *tx).await?;
    }
    Ok(tx.commit().await?)
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
