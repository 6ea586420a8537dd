//! The device's file: its tables, its transactions, and what the device knows of itself.

use crate::error::Error;
use rounds_domain::{AreaId, DeviceId, Record, RecordId, Role};
use rounds_proto::{record_from_wire, v1};
use rusqlite::backup::Backup;
use rusqlite::{Connection, OptionalExtension, Row, Transaction, TransactionBehavior, params};
use std::path::Path;
use uuid::Uuid;

/// The steps that bring a file up to date; `user_version` says how many were taken.
const MIGRATIONS: &[&str] = &["
    -- One row: what the device knows of itself. No device in it: not enrolled, or, if revoked, wiped.
    CREATE TABLE meta (
        one               INTEGER PRIMARY KEY CHECK (one = 1),
        device            BLOB,
        token             TEXT NOT NULL DEFAULT '',
        role              INTEGER NOT NULL DEFAULT 0,
        worker            BLOB,
        server_url        TEXT NOT NULL DEFAULT '',
        ca_pem            BLOB,
        next_seq          INTEGER NOT NULL DEFAULT 1,
        forgotten_through INTEGER NOT NULL DEFAULT 0,
        cursor            BLOB NOT NULL DEFAULT x'',
        epoch             TEXT NOT NULL DEFAULT '',
        scope_version     INTEGER NOT NULL DEFAULT 0,
        observed          INTEGER NOT NULL DEFAULT 0,
        answers           INTEGER NOT NULL DEFAULT 0,
        forked_at         INTEGER NOT NULL DEFAULT 0,
        revoked           INTEGER NOT NULL DEFAULT 0
    ) STRICT;
    INSERT INTO meta (one) VALUES (1);

    -- The server's records, as it sent them. Doubted: from before the server was restored, and not seen since.
    CREATE TABLE record (
        id      BLOB PRIMARY KEY,
        kind    INTEGER NOT NULL,
        area    BLOB NOT NULL,
        status  TEXT NOT NULL,
        code    TEXT NOT NULL,
        deleted INTEGER NOT NULL,
        doubted INTEGER NOT NULL DEFAULT 0,
        wire    BLOB NOT NULL
    ) STRICT;
    CREATE INDEX record_area ON record (area);
    CREATE INDEX record_kind ON record (kind, status);
    CREATE INDEX record_code ON record (code) WHERE code <> '';
    CREATE INDEX record_doubted ON record (doubted) WHERE doubted = 1;

    -- What was recorded here. No outcome: unsent, and if there is a reason, the server put it off. Settled: what it
    -- did is in the records, as far as it did anything.
    CREATE TABLE outbox (
        device      BLOB NOT NULL,
        seq         INTEGER NOT NULL,
        followed_by INTEGER NOT NULL,
        record      BLOB NOT NULL,
        op          BLOB NOT NULL,
        recorded_ms INTEGER NOT NULL,
        outcome     TEXT,
        reason      TEXT,
        detail      TEXT NOT NULL DEFAULT '',
        settled     INTEGER NOT NULL DEFAULT 0,
        dismissed   INTEGER NOT NULL DEFAULT 0,
        PRIMARY KEY (device, seq)
    ) STRICT;
    CREATE INDEX outbox_unsettled ON outbox (record) WHERE settled = 0;
    CREATE INDEX outbox_unsent ON outbox (device, seq) WHERE outcome IS NULL;
", "
    -- How to reach who raised a request, until the server has it.
    CREATE TABLE contact (
        request BLOB PRIMARY KEY,
        name    TEXT NOT NULL,
        phone   TEXT NOT NULL
    ) STRICT;
", "
    -- New each time that something is given, so that the server knows what is sent again.
    ALTER TABLE contact ADD COLUMN key BLOB NOT NULL DEFAULT x'';
    UPDATE contact SET key = randomblob(16);
", "
    ALTER TABLE meta ADD COLUMN first_device BLOB;
"];

/// The file, opened.
#[derive(Debug)]
pub(crate) struct Store {
    connection: Connection,
}

impl Store {
    /// Opens the file, makes it if it is not there, and brings it up to date. Only its owner can read it.
    pub(crate) fn open(path: &Path) -> Result<Self, Error> {
        let mut options = std::fs::OpenOptions::new();
        options.create(true).truncate(false).read(true).write(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(path)?;
        #[cfg(unix)] // one that was there before, or was copied here
        file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
        drop(file);

        Self::on(Connection::open(path)?)
    }

    /// Makes one that is in memory only.
    pub(crate) fn in_memory() -> Result<Self, Error> {
        Self::on(Connection::open_in_memory()?)
    }

    /// Another one in memory only, with all that is here.
    pub(crate) fn copied(&self) -> Result<Self, Error> {
        let mut connection = Connection::open_in_memory()?;
        Backup::new(&self.connection, &mut connection)?.step(-1)?;
        Self::on(connection)
    }

    fn on(mut connection: Connection) -> Result<Self, Error> {
        // Acknowledged to the user means on disk; what was dropped leaves no traces in the file.
        connection.execute_batch(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA secure_delete = ON;",
        )?;
        migrate(&mut connection)?;
        let store = Self { connection };
        store.empty_log()?; // nobody did who was stopped in between
        Ok(store)
    }

    /// Reads one state of the file.
    pub(crate) fn read<T>(&self, work: impl FnOnce(&Connection) -> Result<T, Error>) -> Result<T, Error> {
        let snapshot = self.connection.unchecked_transaction()?;
        work(&snapshot)
    }

    /// Changes the file, all of it or, if `work` fails, nothing. On disk when it returns.
    pub(crate) fn write<T>(
        &mut self,
        work: impl FnOnce(&Connection) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let done = work(&transaction)?;
        transaction.commit()?;
        Ok(done)
    }

    /// Leaves nothing of what was deleted in the log; the file has none of it once it is written back. Where somebody
    /// else reads an old state, that is the next time.
    pub(crate) fn empty_log(&self) -> Result<(), Error> {
        self.connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE);")?;
        Ok(())
    }

    /// Leaves nothing of what was deleted in the file and its log.
    pub(crate) fn shred(&self) -> Result<(), Error> {
        self.connection.execute_batch("VACUUM; PRAGMA wal_checkpoint(TRUNCATE);")?;
        Ok(())
    }
}

fn migrate(connection: &mut Connection) -> Result<(), Error> {
    let transaction: Transaction<'_> =
        connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let found: i64 = transaction.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    let known = MIGRATIONS.len() as i64;
    if !(0..=known).contains(&found) {
        return Err(Error::Newer { found, known });
    }
    for step in &MIGRATIONS[found as usize..] {
        transaction.execute_batch(step)?;
    }
    transaction.execute_batch(&format!("PRAGMA user_version = {known}"))?;
    transaction.commit()?;
    Ok(())
}

/// What the device knows of itself.
#[derive(Clone, Default)]
pub(crate) struct Meta {
    pub(crate) device: Option<DeviceId>,
    pub(crate) token: String,
    pub(crate) role: Option<Role>,
    pub(crate) worker: Option<RecordId>,
    pub(crate) server_url: String,
    pub(crate) ca_pem: Option<Vec<u8>>,
    /// The number of the next op.
    pub(crate) next_seq: u64,
    /// Ops up to this seq are kept only for the user to see; all behind it are here, without a gap.
    pub(crate) forgotten_through: u64,
    pub(crate) cursor: Vec<u8>,
    pub(crate) epoch: String,
    pub(crate) scope_version: u64,
    /// The largest stamp seen.
    pub(crate) observed: u64,
    /// How many answers were taken in: tells whether an answer is the one to the latest question.
    pub(crate) answers: u64,
    /// The first op that the server knows otherwise; 0 if none.
    pub(crate) forked_at: u64,
    pub(crate) revoked: bool,
    /// What it was first, if it was another device before: a copy that got a name of its own, or enrolled again.
    pub(crate) first_device: Option<DeviceId>,
}

impl Meta {
    pub(crate) fn load(connection: &Connection) -> Result<Self, Error> {
        let mut statement = connection.prepare_cached(
            "SELECT device, token, role, worker, server_url, ca_pem, next_seq, forgotten_through, cursor, epoch,
                    scope_version, observed, answers, forked_at, revoked, first_device
             FROM meta",
        )?;
        let meta = statement.query_row([], |row| {
            Ok(Self {
                device: row.get::<_, Option<Uuid>>(0)?.map(DeviceId),
                token: row.get(1)?,
                role: Role::from_number(row.get(2)?),
                worker: row.get::<_, Option<Uuid>>(3)?.map(RecordId),
                server_url: row.get(4)?,
                ca_pem: row.get(5)?,
                next_seq: row.get(6)?,
                forgotten_through: row.get(7)?,
                cursor: row.get(8)?,
                epoch: row.get(9)?,
                scope_version: row.get(10)?,
                observed: row.get(11)?,
                answers: row.get(12)?,
                forked_at: row.get(13)?,
                revoked: row.get(14)?,
                first_device: row.get::<_, Option<Uuid>>(15)?.map(DeviceId),
            })
        })?;
        Ok(meta)
    }

    pub(crate) fn save(&self, connection: &Connection) -> Result<(), Error> {
        let mut statement = connection.prepare_cached(
            "UPDATE meta SET device = ?1, token = ?2, role = ?3, worker = ?4, server_url = ?5, ca_pem = ?6,
                 next_seq = ?7, forgotten_through = ?8, cursor = ?9, epoch = ?10, scope_version = ?11,
                 observed = ?12, answers = ?13, forked_at = ?14, revoked = ?15, first_device = ?16",
        )?;
        statement.execute(params![
            self.device.map(|id| id.0),
            self.token,
            self.role.map_or(0, Role::number),
            self.worker.map(|id| id.0),
            self.server_url,
            self.ca_pem,
            self.next_seq,
            self.forgotten_through,
            self.cursor,
            self.epoch,
            self.scope_version,
            self.observed,
            self.answers,
            self.forked_at,
            self.revoked,
            self.first_device.map(|id| id.0),
        ])?;
        Ok(())
    }

    /// The device, if it may take part.
    pub(crate) fn enrolled(&self) -> Result<DeviceId, Error> {
        match self.device {
            Some(device) => Ok(device),
            None if self.revoked => Err(Error::Revoked),
            None => Err(Error::NotEnrolled),
        }
    }
}

/// Puts a record of the server in the place of what is there under its id.
pub(crate) fn put_record(connection: &Connection, record: &Record, wire: &[u8]) -> Result<(), Error> {
    let mut statement = connection.prepare_cached(
        "INSERT OR REPLACE INTO record (id, kind, area, status, code, deleted, wire)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )?;
    statement.execute(params![
        record.id.0,
        record.kind.number(),
        record.area.0,
        record.status,
        record.text("code"),
        record.deleted.is_some(),
        wire,
    ])?;
    Ok(())
}

/// Drops a record if it is still in this area.
pub(crate) fn drop_record(connection: &Connection, id: RecordId, area: AreaId) -> Result<(), Error> {
    connection
        .prepare_cached("DELETE FROM record WHERE id = ?1 AND area = ?2")?
        .execute(params![id.0, area.0])?;
    Ok(())
}

/// Drops all records of an area.
pub(crate) fn drop_area(connection: &Connection, area: AreaId) -> Result<(), Error> {
    connection.prepare_cached("DELETE FROM record WHERE area = ?1")?.execute(params![area.0])?;
    Ok(())
}

/// Doubts all records, until they are sent again.
pub(crate) fn doubt_records(connection: &Connection) -> Result<(), Error> {
    connection.execute("UPDATE record SET doubted = 1", [])?;
    Ok(())
}

/// Drops the records that were not sent again.
pub(crate) fn drop_doubted(connection: &Connection) -> Result<(), Error> {
    connection.prepare_cached("DELETE FROM record WHERE doubted = 1")?.execute([])?;
    Ok(())
}

/// The server's record, if the device has it.
pub(crate) fn record(connection: &Connection, id: RecordId) -> Result<Option<Record>, Error> {
    let wire: Option<Vec<u8>> = connection
        .prepare_cached("SELECT wire FROM record WHERE id = ?1")?
        .query_row(params![id.0], |row| row.get(0))
        .optional()?;
    wire.map(|wire| read_record(&wire)).transpose()
}

/// The server's records that meet a condition, without deleted ones, by id.
pub(crate) fn records(
    connection: &Connection,
    condition: &str,
    values: impl rusqlite::Params,
) -> Result<Vec<Record>, Error> {
    let sql = format!("SELECT wire FROM record WHERE deleted = 0 AND {condition} ORDER BY id");
    let mut statement = connection.prepare_cached(&sql)?;
    let wires = statement.query_map(values, |row: &Row<'_>| row.get::<_, Vec<u8>>(0))?;
    wires.map(|wire| read_record(&wire?)).collect()
}

fn read_record(wire: &[u8]) -> Result<Record, Error> {
    let wire =
        <v1::Record as prost::Message>::decode(wire).map_err(|error| Error::Unreadable(error.to_string()))?;
    let (record, _) = record_from_wire(wire).map_err(|refusal| Error::Unreadable(refusal.to_string()))?;
    Ok(record)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_on_the_disk() {
        let store = Store::in_memory().unwrap();
        let synchronous = store.connection.query_row("PRAGMA synchronous", [], |row| row.get::<_, i64>(0));
        assert_eq!(synchronous.unwrap(), 2, "FULL: below that, the last ops are lost with the power");
    }
}
