//! Opening the two kinds of databases, and beginning transactions on them.

use crate::Error;
use crate::backup::refuse_sealed;
use crate::postgres::PostgresTx;
use crate::sqlite::SqliteTx;
use crate::tx::Tx;
use crate::view;
use sqlx::migrate::{MigrateError, Migrator};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Connection, Executor, PgPool, Postgres, Sqlite, SqlitePool, Transaction};
use std::fs::OpenOptions;
use std::io::ErrorKind;
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

static SQLITE_MIGRATIONS: Migrator = sqlx::migrate!("../migrations/sqlite");
static POSTGRES_MIGRATIONS: Migrator = sqlx::migrate!("../migrations/postgres");

/// Connections that read from SQLite at the same time.
const SQLITE_READERS: u32 = 4;
/// Most connections of one process to PostgreSQL, beside those of its job runner.
const POSTGRES_CONNECTIONS_MAX: u32 = 20;
/// Most connections of the job runner of one process to PostgreSQL.
const POSTGRES_JOB_CONNECTIONS_MAX: u32 = 8;
/// How long a statement waits for another process that writes to the same SQLite file.
pub(crate) const SQLITE_BUSY_TIMEOUT: Duration = Duration::from_secs(10);
/// Pages are read through the system's own cache, without a copy.
const SQLITE_MMAP_BYTES: &str = "268435456";
/// The write-ahead log goes back into the database after so many pages (16 MiB): each time costs two more syncs.
const SQLITE_CHECKPOINT_PAGES: &str = "4096";
/// Cache of the writer, in KiB when negative: the upper pages of all indexes should stay in it.
const SQLITE_WRITER_CACHE: &str = "-16384";
/// What our connections are called on the PostgreSQL server, so that a restore finds them.
pub(crate) const POSTGRES_APPLICATION: &str = "rounds";
/// PostgreSQL ends a statement after so long, unless the URL says otherwise. Whoever called has given up by then, and
/// the connection is free only once the statement has ended.
const POSTGRES_STATEMENT_TIMEOUT: &str = "60s";
/// How long to wait for a connection.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(10);
/// SQLite before this version can corrupt a database when it resets its write-ahead log.
const SQLITE_VERSION_MIN: (u32, u32, u32) = (3, 51, 3);

/// The connections to a database.
#[derive(Clone, Debug)]
pub(crate) enum Database {
    Sqlite { writer: SqlitePool, readers: SqlitePool },
    Postgres { pool: PgPool, jobs: PgPool },
}

/// Runs the same statements on either database, outside of a transaction.
macro_rules! read_on {
    ($database:expr, $pool:ident => $body:expr) => {
        match $database {
            crate::database::Database::Sqlite { readers: $pool, .. } => $body,
            crate::database::Database::Postgres { pool: $pool, .. } => $body,
        }
    };
}

/// Runs a statement on either database outside of a transaction, with areas bound as its first argument: `IN {areas}`.
macro_rules! in_areas {
    ($store:expr, $areas:expr, $text:expr, $run:ident, |$statement:ident| $bind:expr) => {
        match &$store.shared.database {
            crate::database::Database::Sqlite { readers, .. } => {
                let text = $text.replace("{areas}", "(SELECT unhex(value) FROM json_each($1))");
                let areas = crate::sqlite::hex_list($areas.iter().map(|area| area.0));
                let $statement = sqlx::query_as(sqlx::AssertSqlSafe(text)).bind(areas);
                $bind.$run(readers).await?
            }
            crate::database::Database::Postgres { pool, .. } => {
                let text = $text.replace("{areas}", "(SELECT unnest($1::uuid[]))");
                let areas: Vec<uuid::Uuid> = $areas.iter().map(|area| area.0).collect();
                let $statement = sqlx::query_as(sqlx::AssertSqlSafe(text)).bind(areas);
                $bind.$run(pool).await?
            }
        }
    };
}

/// Runs the same statements on either database, in a transaction that may write and is committed at the end.
macro_rules! write_on {
    ($database:expr, $tx:ident => $body:expr) => {
        match $database {
            crate::database::Database::Sqlite { writer, .. } => {
                // Deferred, the default, would fail when it turns from reading to writing beside another writer.
                let mut $tx = writer.begin_with("BEGIN IMMEDIATE").await?;
                let value = $body;
                $tx.commit().await?;
                value
            }
            crate::database::Database::Postgres { pool, .. } => {
                let mut $tx = crate::database::BeginRead::begin_read(pool).await?;
                let value = $body;
                $tx.commit().await?;
                value
            }
        }
    };
}

pub(crate) use {in_areas, read_on, write_on};

impl Database {
    pub(crate) async fn open(url: &str) -> Result<Self, Error> {
        if is_postgres(url) {
            return open_postgres(url).await;
        }
        open_sqlite(sqlite_path(url)?).await
    }

    pub(crate) async fn close(&self) {
        match self {
            Self::Sqlite { writer, readers } => {
                readers.close().await;
                writer.close().await;
            }
            Self::Postgres { pool, jobs } => {
                jobs.close().await;
                pool.close().await;
            }
        }
    }
}

/// Whether it is the URL of a PostgreSQL database.
pub(crate) fn is_postgres(url: &str) -> bool {
    url.starts_with("postgres://") || url.starts_with("postgresql://")
}

/// The file that a URL names.
pub(crate) fn sqlite_path(url: &str) -> Result<&Path, Error> {
    match url.strip_prefix("sqlite:") {
        Some(path) if !path.is_empty() && !path.contains(":memory:") => Ok(Path::new(path)),
        _ => Err(Error::Unsuitable(
            "the database URL is neither sqlite:PATH nor postgres://USER@HOST/DATABASE".to_owned(),
        )),
    }
}

async fn open_sqlite(path: &Path) -> Result<Database, Error> {
    let unsuitable = |error: std::io::Error| Error::Unsuitable(format!("{}: {error}", path.display()));
    refuse_sealed(path)?;
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder).map_err(unsuitable)?;
    }
    // Two processes may start at once; SQLite itself has no lock that spans the change to WAL and several migrations.
    let mut lock_path = path.as_os_str().to_owned();
    lock_path.push(".lock");
    let lock = owners_own().create(true).truncate(false).open(lock_path).map_err(unsuitable)?;
    let locked = tokio::task::spawn_blocking(move || lock.lock().map(|()| lock));
    let lock = locked.await.map_err(|error| Error::Unsuitable(error.to_string()))?.map_err(unsuitable)?;
    // SQLite lets those read its log who may read the database. One that is there is not opened here: to close it again
    // would let go of the locks that SQLite has on it.
    if let Err(error) = owners_own().create_new(true).open(path)
        && error.kind() != ErrorKind::AlreadyExists
    {
        return Err(unsuitable(error));
    }
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(SQLITE_BUSY_TIMEOUT)
        .pragma("mmap_size", SQLITE_MMAP_BYTES)
        .pragma("wal_autocheckpoint", SQLITE_CHECKPOINT_PAGES);
    let writer = sqlite_pool(1)
        .connect_with(options.clone().pragma("cache_size", SQLITE_WRITER_CACHE))
        .await
        .map_err(|error| connect_error(error, &path.display().to_string()))?;
    let version: String = sqlx::query_scalar("SELECT sqlite_version()").fetch_one(&writer).await?;
    if !is_recent(&version) {
        return Err(Error::Unsuitable(format!(
            "SQLite {version} is older than 3.51.3, which mends a corruption"
        )));
    }
    migrate_sqlite(&writer).await?;
    lock.unlock().map_err(unsuitable)?;
    let readers =
        sqlite_pool(SQLITE_READERS).connect_lazy_with(options.read_only(true).create_if_missing(false));
    Ok(Database::Sqlite { writer, readers })
}

/// How files are opened that nobody but their owner may read if they are new.
fn owners_own() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

pub(crate) async fn migrate_sqlite(writer: &SqlitePool) -> Result<(), Error> {
    SQLITE_MIGRATIONS.run(writer).await.map_err(migration_error)?;
    view::complete_sqlite(writer).await
}

pub(crate) fn sqlite_pool(connections_max: u32) -> SqlitePoolOptions {
    SqlitePoolOptions::new().max_connections(connections_max).acquire_timeout(ACQUIRE_TIMEOUT).after_release(
        |connection, _| {
            Box::pin(async move {
                if !connection.is_in_transaction() {
                    return Ok(true);
                }
                // Where the disk is full, SQLite undoes the transaction by itself. The driver's own ROLLBACK, which is
                // on its way, then fails, and it would refuse to begin another transaction for ever.
                connection.ping().await?;
                Ok(!connection.is_in_transaction())
            })
        },
    )
}

fn is_recent(version: &str) -> bool {
    let mut parts = version.split('.').map(|part| part.parse::<u32>().unwrap_or(0));
    let mut next = || parts.next().unwrap_or(0);
    (next(), next(), next()) >= SQLITE_VERSION_MIN
}

async fn open_postgres(url: &str) -> Result<Database, Error> {
    let options = PgConnectOptions::from_str(url).map_err(|error| Error::Unsuitable(error.to_string()))?;
    let options = options.application_name(POSTGRES_APPLICATION);
    let pool = PgPoolOptions::new()
        .max_connections(POSTGRES_CONNECTIONS_MAX)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .connect_with(with_statement_timeout(options.clone()))
        .await
        .map_err(|error| connect_error(error, "PostgreSQL"))?;
    let mut connection = pool.acquire().await?;
    let version: i32 = sqlx::query_scalar("SELECT current_setting('server_version_num')::int")
        .fetch_one(&mut *connection)
        .await?;
    if version < 150_000 {
        return Err(Error::Unsuitable(format!(
            "PostgreSQL {} is too old: 15 or later is needed",
            version / 10_000
        )));
    }
    connection.ping().await?;
    drop(connection);
    // A migration takes as long as it takes.
    let migrating = PgPoolOptions::new().max_connections(1).connect_with(options.clone()).await?;
    POSTGRES_MIGRATIONS.run(&migrating).await.map_err(migration_error)?; // under an advisory lock
    migrating.close().await;
    view::complete_postgres(&pool).await?;
    let jobs = PgPoolOptions::new()
        .max_connections(POSTGRES_JOB_CONNECTIONS_MAX)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .after_release(|connection, _| {
            Box::pin(async move {
                // The job runner begins transactions by itself and is dropped when it stops: see `BeginRead`.
                // Where there is none to end, this says nothing in the server's log; a lone ROLLBACK would.
                connection.execute("BEGIN; ROLLBACK").await?;
                Ok(true)
            })
        })
        .connect_lazy_with(options);
    Ok(Database::Postgres { pool, jobs })
}

fn with_statement_timeout(options: PgConnectOptions) -> PgConnectOptions {
    match options.get_options() {
        Some(said) if said.contains("statement_timeout") => options,
        _ => options.options([("statement_timeout", POSTGRES_STATEMENT_TIMEOUT)]),
    }
}

/// Begins transactions that end, whatever becomes of who asked for them.
pub(crate) trait BeginRead {
    /// The kind of database.
    type Database: sqlx::Database;
    /// Begins a transaction as the database has it by default: on SQLite one that only reads.
    fn begin_read(
        &self,
    ) -> impl Future<Output = Result<Transaction<'static, Self::Database>, sqlx::Error>> + Send;
}

impl BeginRead for SqlitePool {
    type Database = Sqlite;

    async fn begin_read(&self) -> Result<Transaction<'static, Sqlite>, sqlx::Error> {
        self.begin().await
    }
}

impl BeginRead for PgPool {
    type Database = Postgres;

    /// The driver counts a transaction once the server has answered its BEGIN. When the call that it was for is given
    /// up before that, the connection goes back to the pool in a transaction that nobody knows of: what comes next on
    /// it would be kept from everybody else, and undone with it. So the wait for the answer is not the caller's to give
    /// up.
    async fn begin_read(&self) -> Result<Transaction<'static, Postgres>, sqlx::Error> {
        let pool = self.clone();
        let begun = tokio::spawn(async move { pool.begin().await });
        begun.await.unwrap_or(Err(sqlx::Error::WorkerCrashed))
    }
}

/// Why the first connection failed: trying again helps only where the database itself had nothing against it.
pub(crate) fn connect_error(error: sqlx::Error, name: &str) -> Error {
    let code = error.as_database_error().and_then(|error| error.code()).unwrap_or_default();
    match code.as_ref() {
        // SQLite: read-only, no file that can be opened, no database.
        "8" | "14" | "26" => Error::Unsuitable(format!("{name}: {error}")),
        // PostgreSQL: no such database; not allowed.
        "3D000" | "28000" | "28P01" => Error::Unsuitable(format!("{name}: {error}")),
        _ => error.into(),
    }
}

fn migration_error(error: MigrateError) -> Error {
    match error {
        MigrateError::VersionMissing(version) => Error::Unsuitable(format!(
            "the database has migration {version}, which this program does not know: it is older than the database; \
             install the newer release"
        )),
        MigrateError::Execute(error) => error.into(),
        other => Error::Unsuitable(other.to_string()),
    }
}

/// Something that commits can begin on.
pub(crate) trait Begin: Clone + Send + Sync + 'static {
    /// Its transactions.
    type Tx: Tx;
    /// Begins a transaction that may write.
    fn begin_write(&self) -> impl Future<Output = Result<Self::Tx, Error>> + Send;
}

impl Begin for SqlitePool {
    type Tx = SqliteTx;

    async fn begin_write(&self) -> Result<SqliteTx, Error> {
        Ok(SqliteTx(self.begin_with("BEGIN IMMEDIATE").await?))
    }
}

impl Begin for PgPool {
    type Tx = PostgresTx;

    async fn begin_write(&self) -> Result<PostgresTx, Error> {
        Ok(PostgresTx(self.begin_read().await?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_ends_in_time_and_the_url_may_say_another() {
        let of = |url: &str| {
            let options = with_statement_timeout(PgConnectOptions::from_str(url).unwrap());
            options.get_options().unwrap_or_default().to_owned()
        };
        assert!(of("postgres://db/rounds").contains("statement_timeout=60s"));
        let other = of("postgres://db/rounds?options[statement_timeout]=5s");
        assert!(other.contains("statement_timeout=5s") && !other.contains("60s"), "{other}");
    }

    #[tokio::test]
    async fn a_disk_that_was_full_is_written_to_again() {
        let folder = std::env::temp_dir().join(format!("rounds_full_{}", std::process::id()));
        let Database::Sqlite { writer, .. } = open_sqlite(&folder.join("rounds.db")).await.unwrap() else {
            panic!("it is SQLite");
        };
        let fill = "INSERT INTO meta (key, value) VALUES ($1, hex(randomblob(1000)))";
        // The limit is the connection's: as long as it is this one, the disk is full.
        sqlx::query("PRAGMA max_page_count = 100").execute(&writer).await.unwrap();
        let mut tx = writer.begin_write().await.unwrap();
        let mut rows = 0;
        let full = loop {
            match sqlx::query(fill).bind(rows).execute(&mut *tx.0).await {
                Ok(_) => rows += 1,
                Err(error) => break Error::from(error),
            }
        };
        assert_eq!(full.database_code().as_deref(), Some("13"));
        assert!(!full.is_about_content() && !full.is_contention());
        drop(tx);

        let mut tx = writer.begin_write().await.unwrap();
        sqlx::query("PRAGMA max_page_count = 1000000").execute(&mut *tx.0).await.unwrap();
        for row in 0..2 * rows {
            sqlx::query(fill).bind(row).execute(&mut *tx.0).await.unwrap();
        }
        tx.commit().await.unwrap();
        let kept: i64 = sqlx::query_scalar("SELECT count(*) FROM meta").fetch_one(&writer).await.unwrap();
        assert_eq!(kept, 2 * rows);
        writer.close().await;
        std::fs::remove_dir_all(folder).unwrap();
    }
}
