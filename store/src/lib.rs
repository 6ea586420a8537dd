//! Keeps domain values in SQLite or PostgreSQL: one contract, one suite over both.
//!
//! The URL chooses the database. What a method promises holds on both, and each promise has a test of its name that
//! runs on both. Everything that a method answers as done is committed and on disk.

mod batch;
mod device;
mod feed;

pub use batch::{Arrival, Batch, Content, Job, Receipt, content_hash};
pub use device::{Access, Caller, Contact, Device, NewCode, ScopedArea};
pub use feed::{FeedItem, Numbered, Page, Position, QuarantinedOp, RecordFilter, StoredOp};

use rounds_domain::tally::Tallies;
use rounds_domain::{AreaId, DeviceId, Op, OpId, RecordId, Role, Verdict};
use tokio::sync::broadcast;

/// Why the store could not do what was asked. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database cannot be reached, is full, or is shutting down. Worth trying again.
    #[error("the database is not available")]
    Unavailable(#[source] sqlx::Error),
    /// The database is not one that this program can work with.
    #[error("{0}")]
    Unsuitable(String),
    /// A stored value could not be read: a fault in this program or in the disk.
    #[error("a stored value cannot be read: {0}")]
    Unreadable(String),
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
}

/// The databases behind a store, for the job runner, which brings its own statements.
#[derive(Clone, Debug)]
pub enum Pool {
    /// One writer at a time.
    Sqlite(sqlx::SqlitePool),
    /// Many.
    Postgres(sqlx::PgPool),
}

/// A store. Clones share one database.
#[derive(Clone, Debug)]
pub struct Store {}

impl Store {
    /// Opens the database that the URL names, and brings its tables up to date under a lock.
    ///
    /// `sqlite:PATH` (created if it is not there) or `postgres://...`.
    pub async fn open(_url: &str) -> Result<Self, Error> {
        unimplemented!()
    }
    /// Waits for what is under way, then closes all connections.
    pub async fn close(&self) {
        unimplemented!()
    }
    /// The pool for the job runner's own tables.
    pub fn pool(&self) -> Pool {
        unimplemented!()
    }
    /// The identity of this history of the database. Another one means that it was restored from a backup.
    pub fn epoch(&self) -> uuid::Uuid {
        unimplemented!()
    }

    // ---- ops

    /// Takes in a batch, together with other batches that wait (group commit). Answers when it is on disk.
    pub async fn submit(&self, _batch: Batch) -> Result<Receipt, Error> {
        unimplemented!()
    }
    /// Areas that moved, after each commit that this process knows of. Slow receivers miss hints.
    pub fn watch(&self) -> broadcast::Receiver<std::sync::Arc<[AreaId]>> {
        unimplemented!()
    }
    /// The ops of a record in quarantine or not, in their total order; without those in quarantine.
    pub async fn ops_of(&self, _record: RecordId) -> Result<Vec<StoredOp>, Error> {
        unimplemented!()
    }
    /// Ops in quarantine which name one of these areas, or whose device was enrolled for one; `None` for all.
    pub async fn quarantine(
        &self,
        _areas: Option<&[AreaId]>,
        _after: Option<OpId>,
        _limit: u32,
    ) -> Result<Vec<QuarantinedOp>, Error> {
        unimplemented!()
    }
    /// One op in quarantine.
    pub async fn quarantined(&self, _id: OpId) -> Result<Option<QuarantinedOp>, Error> {
        unimplemented!()
    }
    /// Takes an op out of quarantine, as `op`, at its own place in the order. `None`: it is not in quarantine.
    pub async fn release(&self, _id: OpId, _op: Op) -> Result<Option<Verdict>, Error> {
        unimplemented!()
    }
    /// Lays a quarantined op aside. False: it is not in quarantine.
    pub async fn dismiss(&self, _id: OpId) -> Result<bool, Error> {
        unimplemented!()
    }

    // ---- records

    /// The next page of these areas' feeds, of at most about `limit` records. Every commit up to the positions that
    /// it answers is in the pages so far, whatever is written meanwhile.
    pub async fn pull(&self, _wanted: &[Position], _limit: u32) -> Result<Page, Error> {
        unimplemented!()
    }
    /// A record, deleted ones too.
    pub async fn record(&self, _id: RecordId) -> Result<Option<Numbered>, Error> {
        unimplemented!()
    }
    /// Records that meet the filter, by id; without deleted ones.
    pub async fn records(&self, _filter: &RecordFilter) -> Result<Vec<Numbered>, Error> {
        unimplemented!()
    }
    /// Records of an area with numbers above `after` and up to `through`, by number: what a [`Job`] is about.
    pub async fn changed(&self, _area: AreaId, _after: u64, _through: u64) -> Result<Vec<Numbered>, Error> {
        unimplemented!()
    }
    /// The sums of the counters that are kept.
    pub async fn tallies(&self) -> Result<Tallies, Error> {
        unimplemented!()
    }
    /// The same counters, counted again from the ops. Reads everything.
    pub async fn recount(&self) -> Result<Tallies, Error> {
        unimplemented!()
    }
    /// The areas below and including this one, at all depths.
    pub async fn subtree(&self, _area: AreaId) -> Result<Vec<AreaId>, Error> {
        unimplemented!()
    }

    // ---- devices

    /// Keeps a one-time code.
    pub async fn create_code(&self, _code: NewCode) -> Result<(), Error> {
        unimplemented!()
    }
    /// Turns a code into a device. `None`: no such code, used before, or past its time. A code works once.
    pub async fn enrol(
        &self,
        _code_hash: [u8; 32],
        _id: DeviceId,
        _label: &str,
        _token_hash: [u8; 32],
        _now_ms: i64,
    ) -> Result<Option<Device>, Error> {
        unimplemented!()
    }
    /// A device of this process itself (the worker, an import), without a token. The same id gives the same device.
    pub async fn internal_device(
        &self,
        _id: DeviceId,
        _label: &str,
        _role: Role,
        _now_ms: i64,
    ) -> Result<Device, Error> {
        unimplemented!()
    }
    /// Who this token names, with the scope of this moment. Revoked devices too.
    pub async fn caller(&self, _token_hash: [u8; 32]) -> Result<Option<Caller>, Error> {
        unimplemented!()
    }
    /// Whether the device held the area under an assignment that it had not yet been told the end of when it knew
    /// `scope_version`.
    pub async fn held(&self, _device: DeviceId, _area: AreaId, _scope_version: u64) -> Result<bool, Error> {
        unimplemented!()
    }
    /// Notes a contact, soon; at most one per device and minute is worth it.
    pub fn note_contact(&self, _contact: Contact) {
        unimplemented!()
    }
    /// A device.
    pub async fn device(&self, _id: DeviceId) -> Result<Option<Device>, Error> {
        unimplemented!()
    }
    /// Devices with an area among these (`None` for all), by id.
    pub async fn devices(
        &self,
        _areas: Option<&[AreaId]>,
        _after: Option<DeviceId>,
        _limit: u32,
    ) -> Result<Vec<Device>, Error> {
        unimplemented!()
    }
    /// Revokes a device; its token still names it, so that it can be told. False: there is none.
    pub async fn revoke(&self, _id: DeviceId, _now_ms: i64) -> Result<bool, Error> {
        unimplemented!()
    }
    /// Gives a device another token; the old one names nobody from now on.
    pub async fn rotate(&self, _id: DeviceId, _token_hash: [u8; 32]) -> Result<bool, Error> {
        unimplemented!()
    }
    /// Gives a device other roots. Answers the new scope version; `None`: there is no such device.
    pub async fn assign(&self, _id: DeviceId, _areas: &[AreaId]) -> Result<Option<u64>, Error> {
        unimplemented!()
    }
    /// A new device with the role, areas and holder of another, for the copy of a phone.
    pub async fn fork(
        &self,
        _id: DeviceId,
        _new: DeviceId,
        _token_hash: [u8; 32],
        _now_ms: i64,
    ) -> Result<Option<Device>, Error> {
        unimplemented!()
    }

    // ---- jobs

    /// Jobs that wait, oldest first.
    pub async fn waiting_jobs(&self, _limit: u32) -> Result<Vec<Job>, Error> {
        unimplemented!()
    }
    /// Marks jobs as handed to the runner, so that they wait no more.
    pub async fn jobs_handed_over(&self, _ids: &[RecordId]) -> Result<(), Error> {
        unimplemented!()
    }
}
