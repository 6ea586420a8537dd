//! Keeps domain values in SQLite or PostgreSQL: one contract, one suite over both.
//!
//! The URL chooses the database. What a method promises holds on both, and each promise has a test of its name that
//! runs on both. Everything that a method answers as done is committed and on disk.

mod agenda;
mod audit;
mod backup;
mod batch;
mod commit;
mod committer;
mod contact_data;
mod count;
mod database;
mod delivery;
mod device;
mod due;
mod enrolment;
mod feed;
mod freshness;
mod link;
mod lookout;
mod memory;
mod nearby;
mod overtaken;
mod postgres;
mod reading;
mod row;
mod snapshot;
mod sqlite;
mod summing;
mod timer;
mod tx;
mod vault;
mod verify;
mod view;
mod waiting;

pub use agenda::{AgendaFilter, DueCount};
pub use audit::{AuditAction, AuditEntry, AuditFault, AuditFilter, AuditVerified, NewAudit};
pub use backup::{Backup, back_up, check_backup, restore, restored};
pub use batch::{Arrival, Batch, Content, Job, Look, Receipt, Settled, content_hash};
pub use delivery::{Channel, Delivery, DeliveryState, NewDelivery, Tried};
pub use device::{Access, Caller, Contact, Device, DeviceFilter, NewCode, ScopedArea};
pub use due::DueFilter;
pub use feed::{
    FeedItem, Numbered, Page, Place, Position, QuarantinePage, QuarantinedOp, RecordFilter, StoredOp,
};
pub use link::{LINK_KEY_BYTES, Link, LinkKey, Purpose};
pub use memory::Memory;
pub use snapshot::Snapshot;
pub use summing::{DayPlace, Sum, SumFilter};
pub use timer::Timer;
pub use vault::{ContactKeeping, KEY_BYTES, Vault};
pub use verify::{Fault, Verified};

use committer::Committer;
use database::{Database, read_on, write_on};
use rounds_domain::AreaId;
use sqlx::sqlite::SqliteError;
use sqlx::{query, query_scalar};
use std::sync::Arc;
use tokio::sync::{RwLock, RwLockReadGuard, broadcast};
use tokio::task::JoinHandle;
use uuid::Uuid;

/// Commits that may be under way at the same time on PostgreSQL.
const POSTGRES_LANES: usize = 4;
/// Hints that a slow receiver may be behind before it misses some.
const HINTS_MAX: usize = 256;

type Hints = broadcast::Sender<Arc<[AreaId]>>;

/// Why the store could not do what was asked. Nothing was changed, unless the connection was lost during a commit: a
/// retry finds out.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database cannot be reached, is full, or is shutting down. Worth trying again.
    #[error("the database is not available")]
    Unavailable(#[source] Arc<sqlx::Error>),
    /// The database is not one that this program can work with.
    #[error("{0}")]
    Unsuitable(String),
    /// A stored value could not be read: a fault in this program or in the disk.
    #[error("a stored value cannot be read: {0}")]
    Unreadable(String),
    /// More waits to be written than can be for long. Worth trying again.
    #[error("too much waits to be written")]
    Busy,
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        Self::Unavailable(Arc::new(error))
    }
}

impl Error {
    fn database_code(&self) -> Option<String> {
        match self {
            Self::Unavailable(error) => error.as_database_error()?.code().map(|code| code.into_owned()),
            _ => None,
        }
    }

    /// Lost against another writer: the same again may work.
    fn is_contention(&self) -> bool {
        // PostgreSQL: serialization failure, deadlock, and the same record created twice at the same time.
        // SQLite: busy, and busy in a snapshot.
        matches!(self.database_code().as_deref(), Some("40001" | "40P01" | "23505" | "5" | "517"))
    }

    /// The database did not like what it was given, so that other batches of the same commit may do better.
    fn is_about_content(&self) -> bool {
        match self {
            Self::Unavailable(error) => match error.as_ref() {
                sqlx::Error::Database(error) => {
                    let code = error.code().unwrap_or_default();
                    let is_sqlite = error.try_downcast_ref::<SqliteError>().is_some();
                    !(if is_sqlite { sqlite_is_unable(&code) } else { postgres_is_unable(&code) })
                }
                other => matches!(
                    other,
                    sqlx::Error::Decode(_) | sqlx::Error::ColumnDecode { .. } | sqlx::Error::Encode(_)
                ),
            },
            Self::Unreadable(_) => true,
            Self::Unsuitable(_) | Self::Busy | Self::Closed => false,
        }
    }

    /// The same, for each of those who waited for a common commit.
    fn again(&self) -> Self {
        match self {
            Self::Unavailable(error) => Self::Unavailable(error.clone()),
            Self::Unsuitable(what) => Self::Unsuitable(what.clone()),
            Self::Unreadable(what) => Self::Unreadable(what.clone()),
            Self::Busy => Self::Busy,
            Self::Closed => Self::Closed,
        }
    }
}

/// Whether SQLite would refuse other content as well: busy, locked, no memory, read-only, interrupted, input or output,
/// full, cannot open, protocol, no database. The upper bits of its codes only say more.
fn sqlite_is_unable(code: &str) -> bool {
    matches!(code.parse::<u32>().unwrap_or_default() & 0xff, 5..=10 | 13..=15 | 26)
}

/// The same for PostgreSQL: no connection, read-only, contention, no resources, not in the right state, an operator's
/// intervention, a fault of the system.
fn postgres_is_unable(code: &str) -> bool {
    matches!(code.get(..2), Some("08" | "25" | "40" | "53" | "55" | "57" | "58"))
}

/// The connections behind a store, for the job runner, which brings its own statements.
#[derive(Clone, Debug)]
pub enum Pool {
    /// A few connections of its own. SQLite has one writer at a time: keep transactions short.
    Sqlite(sqlx::SqlitePool),
    /// A few connections of its own. A transaction that is given up on one of them ends before the next use.
    Postgres(sqlx::PgPool),
}

/// A store. Clones share one database.
#[derive(Clone, Debug)]
pub struct Store {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    database: Database,
    committer: RwLock<Committer>,
    hints: Hints,
    lookout: JoinHandle<()>,
    epoch: Uuid,
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.lookout.abort();
    }
}

impl Store {
    /// Opens the database that the URL names, and brings its tables up to date under a lock.
    ///
    /// `sqlite:PATH` (created if it is not there) or `postgres://...`. `new_epoch` becomes the identity of a database
    /// that is new, see [`Store::epoch`].
    ///
    /// # Errors
    /// [`Error::Unsuitable`] says what is wrong with the URL, the file or the version; [`Error::Unavailable`].
    pub async fn open(url: &str, new_epoch: Uuid) -> Result<Self, Error> {
        Self::on(Database::open(url).await?, new_epoch).await
    }

    async fn on(database: Database, new_epoch: Uuid) -> Result<Self, Error> {
        write_on!(&database, tx => {
            query("INSERT INTO meta (key, value) VALUES ('epoch', $1) ON CONFLICT DO NOTHING")
                .bind(new_epoch.to_string())
                .execute(&mut *tx)
                .await?;
        });
        let epoch: String = read_on!(&database, pool => {
            query_scalar("SELECT value FROM meta WHERE key = 'epoch'").fetch_one(pool).await?
        });
        let epoch = Uuid::parse_str(&epoch).map_err(|_| Error::Unreadable("the epoch".to_owned()))?;
        let (hints, _) = broadcast::channel(HINTS_MAX);
        let committer = match &database {
            Database::Sqlite { writer, .. } => Committer::start(writer.clone(), 1, &hints),
            Database::Postgres { pool, .. } => Committer::start(pool.clone(), POSTGRES_LANES, &hints),
        };
        let lookout = tokio::spawn(lookout::watch(database.clone(), hints.clone()));
        let store = Self {
            shared: Arc::new(Shared { database, committer: RwLock::new(committer), hints, lookout, epoch }),
        };
        store.recount_if_outdated().await?;
        Ok(store)
    }

    /// Waits for what is under way, then closes all connections.
    pub async fn close(&self) {
        self.shared.committer.write().await.close().await;
        self.shared.lookout.abort();
        self.shared.database.close().await;
    }

    /// The connections for the job runner's own tables. On SQLite it is the one that writes: beside another writer, a
    /// connection would wait by sleeping, longer than need be, and for this one whoever came first is next.
    pub fn pool(&self) -> Pool {
        match &self.shared.database {
            Database::Sqlite { writer, .. } => Pool::Sqlite(writer.clone()),
            Database::Postgres { jobs, .. } => Pool::Postgres(jobs.clone()),
        }
    }

    /// The identity of this history of the database. Another one than before means that it was restored from a
    /// backup, see [`restored`].
    pub fn epoch(&self) -> Uuid {
        self.shared.epoch
    }

    /// Takes in a batch, together with other batches that wait (group commit). Answers when it is on disk.
    ///
    /// # Errors
    /// [`Error::Unavailable`]: it may be on disk or not; sent again it gets the same verdicts. [`Error::Busy`]: it is
    /// not. A caller that goes away before its turn has come takes its batch along.
    pub async fn submit(&self, batch: Batch) -> Result<Receipt, Error> {
        self.committer().await.submit(batch).await
    }

    /// Areas that moved, after each commit that this process makes, and within seconds of those of others. Slow
    /// receivers miss hints.
    pub fn watch(&self) -> broadcast::Receiver<Arc<[AreaId]>> {
        self.shared.hints.subscribe()
    }

    async fn committer(&self) -> RwLockReadGuard<'_, Committer> {
        self.shared.committer.read().await
    }
}
