//! How to reach who raised a request, until the server has it. It is in no op: ops stay for ever, and this does not.

use crate::client::{CallError, Client};
use crate::device::Device;
use crate::error::Error;
use crate::store::Meta;
use rounds_domain::contact::over_since_ms;
use rounds_domain::{ContactData, Kind, RecordId, Refusal};
use rounds_proto::v1;
use rusqlite::{Connection, params};
use uuid::Uuid;

/// What the server says of a request that is closed.
const CLOSED: &str = "REQUEST_CLOSED";
/// What the server says of one that it does not have, or does not show.
const NOT_FOUND: &str = "NOT_FOUND";

impl Device {
    /// Keeps how to reach who raised a request, in the place of what was given before, until the server has taken it:
    /// then nothing of it stays in the file. It is on disk when this returns.
    ///
    /// # Errors
    /// [`Error::Refused`] for what the server would refuse as well, [`Error::NotEnrolled`], [`Error::Revoked`].
    pub fn give_contact(&mut self, request: RecordId, contact: &ContactData) -> Result<(), Error> {
        let refused = |refusal| Error::Refused { at: 0, refusal };
        contact.check().map_err(refused)?;
        if self.view(request)?.is_none_or(|view| view.record.kind != Kind::Request) {
            return Err(refused(Refusal::invalid("request", "is no request that this device has")));
        }
        self.store.write(|tx| {
            let meta = Meta::load(tx)?;
            meta.enrolled()?;
            if meta.revoked {
                return Err(Error::Revoked);
            }
            tx.execute(
                "INSERT OR REPLACE INTO contact (request, name, phone, key) VALUES (?1, ?2, ?3, randomblob(16))",
                params![request.0, contact.name, contact.phone],
            )?;
            Ok(())
        })
    }

    /// For how many requests the server has not yet taken how to reach who raised them.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn contacts_held(&self) -> Result<u64, Error> {
        self.store.read(|tx| Ok(tx.query_row("SELECT COUNT(*) FROM contact", [], |row| row.get(0))?))
    }

    /// What can be handed over, and the key of each: the server has the request, as far as this device knows.
    fn contacts_ready(&self) -> Result<Vec<(RecordId, Uuid, ContactData)>, Error> {
        self.store.read(|tx| {
            let mut statement = tx.prepare_cached(
                "SELECT request, key, name, phone FROM contact WHERE NOT EXISTS
                     (SELECT 1 FROM outbox WHERE outbox.record = contact.request AND outcome IS NULL)
                 ORDER BY request",
            )?;
            let rows = statement.query_map([], |row| {
                let contact = ContactData { name: row.get(2)?, phone: row.get(3)? };
                Ok((RecordId(row.get(0)?), row.get(1)?, contact))
            })?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }

    /// Whether ops about a record are held that the user was not done with.
    fn has_ops_of(&self, record: RecordId) -> Result<bool, Error> {
        let sql = "SELECT EXISTS (SELECT 1 FROM outbox WHERE record = ?1 AND dismissed = 0)";
        self.store.read(|tx| Ok(tx.query_row(sql, params![record.0], |row| row.get(0))?))
    }

    /// Leaves nothing of it, unless something else was given meanwhile.
    fn forget_contact(&mut self, request: RecordId, key: Uuid) -> Result<(), Error> {
        self.store.write(|tx| {
            tx.execute("DELETE FROM contact WHERE request = ?1 AND key = ?2", params![request.0, key])?;
            Ok(())
        })?;
        self.store.empty_log()
    }
}

/// Leaves none of it.
pub(crate) fn wipe(connection: &Connection) -> Result<(), Error> {
    connection.execute("DELETE FROM contact", [])?;
    Ok(())
}

impl Client {
    /// How to reach who raised a request, if the server knows and this device's worker handles the request. The server
    /// writes down who asked.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn read_contact(&self, request: RecordId) -> Result<Option<ContactData>, CallError> {
        let answer = self.line().read_contact(request).await?;
        Ok(answer.contact.map(|v1::Contact { name, phone }| ContactData { name, phone }))
    }

    /// Hands over what can be handed over. What is left stays for the next sync: the request may be in quarantine, or the
    /// server may keep no contact data. False: the server cannot be reached now.
    pub(crate) async fn hand_over_contacts(&mut self) -> Result<bool, CallError> {
        for (request, key, contact) in self.device().contacts_ready()? {
            let view = self.device().view(request)?;
            // Nobody here can raise it any more, or see that it is over.
            let is_gone = view.is_none() && !self.device().has_ops_of(request)?;
            let is_over = view.is_some_and(|view| over_since_ms(&view.record).is_some());
            let taken = match self.line().put_contact(request, key, contact).await.map_err(CallError::from) {
                Ok(_) => true,
                Err(CallError::Refused { reason, .. }) if reason == CLOSED => true, // nobody needs it any more
                Err(CallError::Refused { reason, .. }) => is_over || (is_gone && reason == NOT_FOUND),
                Err(CallError::NotNow { .. }) => return Ok(false),
                Err(error) => return Err(error),
            };
            if taken {
                self.device_mut().forget_contact(request, key)?;
            }
        }
        Ok(true)
    }
}
