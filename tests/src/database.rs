//! A fresh database for each test, gone when the test is, however the test ends.

use rounds_store::{Error, Pool, Store};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, SqliteConnection};
use std::path::PathBuf;
use uuid::Uuid;

/// Names the PostgreSQL server of the tests: the URL of one of its databases, for a user who may create others.
pub const POSTGRES_URL_VARIABLE: &str = "ROUNDS_TEST_POSTGRES_URL";

/// The epoch that new databases of tests get.
pub const EPOCH: Uuid = Uuid::from_u128(0xe0);

/// A database that belongs to one test.
#[derive(Debug)]
pub struct TestDatabase {
    url: String,
    place: Place,
}

#[derive(Debug)]
enum Place {
    Folder(PathBuf),
    Server {
        url: String,
        name: String,
    },
    /// On a PostgreSQL server of the test's own, with which it goes.
    Cluster,
}

impl TestDatabase {
    /// The path of a SQLite file in a folder of its own. The file is not there yet.
    pub async fn sqlite() -> Self {
        let folder = std::env::temp_dir().join(unique_name());
        std::fs::create_dir(&folder).expect("a folder for the test's database");
        let url = format!("sqlite:{}", folder.join("rounds.db").display());
        Self { url, place: Place::Folder(folder) }
    }

    /// A new, empty database on the PostgreSQL server of the tests.
    ///
    /// # Panics
    /// If there is no such server: a test of both databases that ran on one only would say more than it knows.
    pub async fn postgres() -> Self {
        let server = postgres_server();
        let name = unique_name();
        run_on_server(&server, format!("CREATE DATABASE {name}")).await;
        let (before, _) = server.rsplit_once('/').expect("a database in the URL of the PostgreSQL server");
        Self { url: format!("{before}/{name}"), place: Place::Server { url: server, name } }
    }

    /// A database on a PostgreSQL server of the test's own.
    pub fn on_cluster(url: String) -> Self {
        Self { url, place: Place::Cluster }
    }

    /// As `Store::open` takes it.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Whether this is PostgreSQL, for the few tests that break a database in its own way.
    pub fn is_postgres(&self) -> bool {
        !matches!(self.place, Place::Folder(_))
    }

    /// Opens a store on it. Several at the same time are like several servers.
    pub async fn open(&self) -> Store {
        Store::open(&self.url, EPOCH).await.expect("the test's database opens")
    }

    /// Runs statements past the store: to damage something, or to look at what no method shows.
    ///
    /// # Errors
    /// When the database does not like them.
    pub async fn execute(&self, sql: &str) -> Result<(), sqlx::Error> {
        let sql = AssertSqlSafe(sql.to_owned()); // the tests' own text
        match &self.place {
            Place::Folder(_) => {
                let mut connection = SqliteConnection::connect(&self.url).await?;
                connection.execute(sqlx::raw_sql(sql)).await?;
                connection.close().await
            }
            Place::Server { .. } | Place::Cluster => {
                let mut connection = PgConnection::connect(&self.url).await?;
                connection.execute(sqlx::raw_sql(sql)).await?;
                connection.close().await
            }
        }
    }

    /// An id as its SQL writes it.
    pub fn literal(&self, id: Uuid) -> String {
        match self.is_postgres() {
            true => format!("'{id}'"),
            false => format!("x'{}'", id.simple()),
        }
    }

    /// The number that a query answers, asked on a connection of the store.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn number(&self, store: &Store, sql: &str) -> Result<i64, Error> {
        let sql = AssertSqlSafe(sql.to_owned()); // the tests' own text
        Ok(match store.pool() {
            Pool::Sqlite(pool) => sqlx::query_scalar(sql).fetch_one(&pool).await?,
            Pool::Postgres(pool) => sqlx::query_scalar(sql).fetch_one(&pool).await?,
        })
    }

    /// The texts that a query answers, asked on a connection of the store.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn texts(&self, store: &Store, sql: &str) -> Result<Vec<String>, Error> {
        let sql = AssertSqlSafe(sql.to_owned()); // the tests' own text
        Ok(match store.pool() {
            Pool::Sqlite(pool) => sqlx::query_scalar(sql).fetch_all(&pool).await?,
            Pool::Postgres(pool) => sqlx::query_scalar(sql).fetch_all(&pool).await?,
        })
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        match &self.place {
            Place::Folder(folder) => {
                let _ = std::fs::remove_dir_all(folder); // a test that failed says so itself
            }
            Place::Server { url, name } => {
                // FORCE ends the connections of a test that failed before it closed its stores.
                let sql = format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)");
                let url = url.clone();
                // A drop cannot await, and may run on a thread of a runtime that must not be blocked on itself.
                let dropped = std::thread::spawn(move || {
                    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
                    runtime.expect("a runtime").block_on(run_on_server(&url, sql));
                });
                let _ = dropped.join();
            }
            Place::Cluster => {}
        }
    }
}

/// Asserts that everything that is kept follows from the ops.
///
/// # Panics
/// If it does not.
pub async fn assert_sound(store: &Store) {
    let verified = store.verify(|_| {}).await.expect("a database that answers");
    assert_eq!(verified.faults, []);
}

async fn run_on_server(url: &str, sql: String) {
    let mut connection = PgConnection::connect(url)
        .await
        .unwrap_or_else(|error| panic!("no PostgreSQL at {POSTGRES_URL_VARIABLE}={url}: {error}"));
    connection.execute(AssertSqlSafe(sql.clone())).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
    let _ = connection.close().await;
}

#[allow(clippy::disallowed_methods)] // the test binary has no main of its own that could read it
fn postgres_server() -> String {
    std::env::var(POSTGRES_URL_VARIABLE).unwrap_or_else(|_| {
        panic!(
            "{POSTGRES_URL_VARIABLE} is not set: run the tests with scripts/test, which starts a PostgreSQL"
        )
    })
}

#[allow(clippy::disallowed_methods)] // test processes run side by side: nobody could hand them different names
fn unique_name() -> String {
    format!("rounds_test_{}", Uuid::now_v7().simple())
}
