//! A database in memory: SQLite with all that it promises but for the disk, for simulations.

use crate::backup::begin_anew;
use crate::database::{Database, migrate_sqlite, sqlite_pool};
use crate::{Error, Store};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, SqlitePool, query};
use std::sync::atomic::{AtomicU64, Ordering};
use uuid::Uuid;

/// Names are of this process.
static NEXT: AtomicU64 = AtomicU64::new(0);

/// A database in memory. It is gone when this and every store on it is dropped.
///
/// A store on it has one connection for everything, so what is asked of it at the same time is done one after the other.
#[derive(Debug)]
pub struct Memory {
    path: String,
    /// Keeps it while no store is open on it.
    anchor: SqlitePool,
}

impl Memory {
    /// An empty one.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn new() -> Result<Self, Error> {
        let path = format!("/rounds-{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let anchor = connect(&path).await?;
        Ok(Self { path, anchor })
    }

    /// Opens it as a store, as after a start of the server. `new_epoch` as in [`Store::open`].
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn open(&self, new_epoch: Uuid) -> Result<Store, Error> {
        let writer = connect(&self.path).await?;
        migrate_sqlite(&writer).await?;
        let readers = writer.clone();
        Store::on(Database::Sqlite { writer, readers }, new_epoch).await
    }

    /// Another one with all that is committed here: a backup.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn copied(&self) -> Result<Self, Error> {
        let copy = Self::new().await?;
        // The name is made above, of letters and numbers.
        let into = format!("VACUUM INTO 'file:{}?vfs=memdb'", copy.path);
        query(AssertSqlSafe(into)).execute(&self.anchor).await?;
        Ok(copy)
    }

    /// Begins another epoch: from now on this is a restored backup.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn begin_epoch(&self, epoch: Uuid) -> Result<(), Error> {
        let mut connection = self.anchor.acquire().await?;
        begin_anew!(&mut *connection, epoch);
        Ok(())
    }

    /// Lets go of it.
    pub async fn close(self) {
        self.anchor.close().await;
    }
}

async fn connect(path: &str) -> Result<SqlitePool, Error> {
    let options = SqliteConnectOptions::new().filename(path).vfs("memdb").create_if_missing(true);
    Ok(sqlite_pool(1).connect_with(options).await?)
}
