//! How to reach who raised a request: kept encrypted, in one table, and erased for good.

use crate::audit::{AuditAction, NewAudit};
use crate::database::{Database, SQLITE_BUSY_TIMEOUT, read_on, write_on};
use crate::row::parse;
use crate::vault::{ContactKeeping, KEY_BYTES, Vault};
use crate::{Device, Error, Store};
use rounds_domain::contact::over_since_ms;
use rounds_domain::{ContactData, Record, RecordId};
use sqlx::{AssertSqlSafe, query, query_as, query_scalar};
use uuid::Uuid;

/// Contact data that is looked at at once.
const PAGE_ROWS: i64 = 500;
/// Where the database says which key file it belongs to.
const CHECK: &str = "contact_key_check";
/// Writes down that contact data came with a key, and answers when: later than all before, whatever the clock says, so
/// that what was given after an erasure is told from what was erased. Answers nothing if it is known.
const NOTE_PUT: &str = "
    INSERT INTO contact_puts (request, key, put_ms)
    VALUES ($1, $2, (SELECT CASE WHEN max(put_ms) >= $3 THEN max(put_ms) + 1 ELSE $3 END
                     FROM contact_puts WHERE request = $1))
    ON CONFLICT DO NOTHING RETURNING put_ms";

/// Runs statements as `write_on!` does, and SQLite overwrites what they free. PostgreSQL does so in its own time.
macro_rules! overwrite_on {
    ($database:expr, $tx:ident => $body:expr) => {
        write_on!($database, $tx => {
            let is_sqlite = matches!($database, Database::Sqlite { .. });
            if is_sqlite {
                query("PRAGMA secure_delete = ON").execute(&mut *$tx).await?;
            }
            let value = $body;
            if is_sqlite {
                query("PRAGMA secure_delete = OFF").execute(&mut *$tx).await?;
            }
            value
        })
    };
}

/// Does it to its end, though whoever asked for it gives up: contact data would be left in the log, and SQLite's writer
/// as nobody else wants it.
async fn to_its_end<T: Send + 'static>(
    act: impl Future<Output = Result<T, Error>> + Send + 'static,
) -> Result<T, Error> {
    tokio::spawn(act).await.unwrap_or_else(|_| Err(sqlx::Error::WorkerCrashed.into()))
}

impl Store {
    /// Binds this database to a key file, the first time for good.
    ///
    /// # Errors
    /// [`Error::Unsuitable`]: contact data was encrypted with the key of another file.
    pub async fn bind_contact_key(&self, vault: &Vault) -> Result<(), Error> {
        let known: String = write_on!(&self.shared.database, tx => {
            query("INSERT INTO meta (key, value) VALUES ($1, $2) ON CONFLICT DO NOTHING")
                .bind(CHECK)
                .bind(vault.check())
                .execute(&mut *tx)
                .await?;
            query_scalar("SELECT value FROM meta WHERE key = $1").bind(CHECK).fetch_one(&mut *tx).await?
        });
        if known == vault.check() {
            return Ok(());
        }
        Err(Error::Unsuitable(format!(
            "{} is not the key file that contact data in this database was encrypted with: bring that file back, or, \
             if it is lost, give the contact data up with `rounds contacts reset`",
            vault.path().display()
        )))
    }

    /// Whether contact data in this database was encrypted with the key of this file.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn knows_contact_key(&self, vault: &Vault) -> Result<bool, Error> {
        let known: Option<String> = read_on!(&self.shared.database, pool => {
            query_scalar("SELECT value FROM meta WHERE key = $1").bind(CHECK).fetch_optional(pool).await?
        });
        Ok(known.is_some_and(|known| known == vault.check()))
    }

    /// Of how many requests there is contact data.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn contacts_kept(&self) -> Result<u64, Error> {
        let count: i64 = read_on!(&self.shared.database, pool => {
            query_scalar("SELECT count(*) FROM contacts").fetch_one(pool).await?
        });
        Ok(count.unsigned_abs())
    }

    /// Gives up all contact data, and the key file that it was encrypted with. Answers how many there were.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn reset_contacts(&self) -> Result<u64, Error> {
        let store = self.clone();
        to_its_end(async move {
            let gone = overwrite_on!(&store.shared.database, tx => {
                query("DELETE FROM meta WHERE key = $1").bind(CHECK).execute(&mut *tx).await?;
                query("DELETE FROM contacts").execute(&mut *tx).await?.rows_affected()
            });
            store.empty_log().await?;
            Ok(gone)
        })
        .await
    }

    /// Keeps how to reach who raised a request, in the place of what was there, unless it [came](Store::has_contact_put)
    /// before. `half` is random, and never used before.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn put_contact(
        &self,
        vault: &Vault,
        request: RecordId,
        key: Uuid,
        contact: &ContactData,
        half: [u8; KEY_BYTES],
        now_ms: i64,
    ) -> Result<(), Error> {
        let sealed = vault.seal(request, &half, contact)?;
        let store = self.clone();
        to_its_end(async move {
            overwrite_on!(&store.shared.database, tx => {
                let put_ms: Option<i64> = query_scalar(NOTE_PUT)
                    .bind(request.0)
                    .bind(key)
                    .bind(now_ms)
                    .fetch_optional(&mut *tx)
                    .await?;
                if let Some(put_ms) = put_ms {
                    query(
                        "INSERT INTO contacts (request, half, sealed, put_ms) VALUES ($1, $2, $3, $4)
                         ON CONFLICT (request) DO UPDATE SET half = excluded.half, sealed = excluded.sealed,
                             put_ms = excluded.put_ms",
                    )
                    .bind(request.0)
                    .bind(&half[..])
                    .bind(&sealed)
                    .bind(put_ms)
                    .execute(&mut *tx)
                    .await?;
                }
            });
            Ok(())
        })
        .await
    }

    /// Whether contact data of a request was given or taken back with this key.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn has_contact_put(&self, request: RecordId, key: Uuid) -> Result<bool, Error> {
        let sql = "SELECT count(*) FROM contact_puts WHERE request = $1 AND key = $2";
        let count: i64 = read_on!(&self.shared.database, pool => {
            query_scalar(sql).bind(request.0).bind(key).fetch_one(pool).await?
        });
        Ok(count > 0)
    }

    /// Writes down with which key contact data was taken back.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn note_contact_taken_back(
        &self,
        request: RecordId,
        key: Uuid,
        now_ms: i64,
    ) -> Result<(), Error> {
        write_on!(&self.shared.database, tx => {
            query(NOTE_PUT).bind(request.0).bind(key).bind(now_ms).execute(&mut *tx).await?;
        });
        Ok(())
    }

    /// Whether there is contact data of a request.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn has_contact(&self, request: RecordId) -> Result<bool, Error> {
        let count: i64 = read_on!(&self.shared.database, pool => {
            query_scalar("SELECT count(*) FROM contacts WHERE request = $1").bind(request.0).fetch_one(pool).await?
        });
        Ok(count > 0)
    }

    /// How to reach who raised a request. `None`: nobody said, or it was erased. Whoever asks writes it into the audit log
    /// first.
    ///
    /// # Errors
    /// [`Error::Unavailable`]; [`Error::Unreadable`] for what this key file does not open.
    pub async fn contact(&self, vault: &Vault, request: RecordId) -> Result<Option<ContactData>, Error> {
        let row: Option<(Vec<u8>, Vec<u8>)> = read_on!(&self.shared.database, pool => {
            query_as("SELECT half, sealed FROM contacts WHERE request = $1")
                .bind(request.0)
                .fetch_optional(pool)
                .await?
        });
        let Some((half, sealed)) = row else { return Ok(None) };
        match vault.open_sealed(request, &half, sealed)? {
            Some(contact) => Ok(Some(contact)),
            None => Err(Error::Unreadable(format!("contact data of request {request}"))),
        }
    }

    /// Erases what was given for these requests, and says so in the key file and the audit log: a device does, or the
    /// program itself because it is time.
    ///
    /// # Errors
    /// [`Error::Unavailable`]; [`Error::Unsuitable`] if the key file cannot be written. What was not erased is next time.
    pub async fn erase_contacts(
        &self,
        vault: &Vault,
        requests: &[RecordId],
        by: Option<&Device>,
        now_ms: i64,
    ) -> Result<(), Error> {
        if requests.is_empty() {
            return Ok(());
        }
        let last_puts = self.last_puts(requests).await?;
        // First where a restore finds it: what is written down and not erased yet is erased by the next look.
        vault.note_erased(&last_puts, now_ms)?;
        let named: Vec<String> = requests.iter().map(RecordId::to_string).collect();
        let (action, named) = (AuditAction::ContactErased, named.join(" "));
        let entry = match by {
            Some(device) => NewAudit::of(device, now_ms, action, named),
            None => NewAudit::of_system(now_ms, action, named),
        };
        self.audit(entry).await?;
        let store = self.clone();
        to_its_end(async move {
            overwrite_on!(&store.shared.database, tx => {
                for (request, put_ms) in &last_puts {
                    query("DELETE FROM contacts WHERE request = $1 AND put_ms <= $2")
                        .bind(request.0)
                        .bind(put_ms)
                        .execute(&mut *tx)
                        .await?;
                }
            });
            store.empty_log().await
        })
        .await
    }

    /// When contact data of each was given or taken back last. What never was is left out.
    async fn last_puts(&self, requests: &[RecordId]) -> Result<Vec<(RecordId, i64)>, Error> {
        let mut last_puts = Vec::new();
        for request in requests {
            let put_ms: Option<i64> = read_on!(&self.shared.database, pool => {
                query_scalar("SELECT max(put_ms) FROM contact_puts WHERE request = $1")
                    .bind(request.0)
                    .fetch_one(pool)
                    .await?
            });
            last_puts.extend(put_ms.map(|put_ms| (*request, put_ms)));
        }
        Ok(last_puts)
    }

    /// Erases the contact data of requests that have been over for as long as it is kept, and what was erased before a
    /// backup was restored. Answers how many. A request that cannot be read stops no other: its contact data stays, as
    /// nobody knows whether it is over. Harmless at any time, and by many processes.
    ///
    /// # Errors
    /// As [`Store::erase_contacts`].
    pub async fn erase_due_contacts(&self, keeping: &ContactKeeping, now_ms: i64) -> Result<u64, Error> {
        let over_by_ms = keeping.over_by_ms(now_ms);
        let erased = keeping.vault.erased()?;
        let mut count = 0;
        let mut after = Uuid::nil();
        loop {
            // All of them: there are as many as there are requests under way and closed of late.
            let page: Vec<(Uuid, i64, Option<String>)> = read_on!(&self.shared.database, pool => {
                query_as(
                    "SELECT contacts.request, contacts.put_ms, records.body
                     FROM contacts LEFT JOIN records ON records.id = contacts.request
                     WHERE contacts.request > $1 ORDER BY contacts.request LIMIT $2",
                )
                .bind(after)
                .bind(PAGE_ROWS)
                .fetch_all(pool)
                .await?
            });
            let Some(last) = page.last() else { return Ok(count) };
            after = last.0;
            let mut due = Vec::new();
            for (request, put_ms, body) in page {
                let request = RecordId(request);
                let over_ms = match body.map(|body| parse::<Record>(&body)) {
                    Some(Ok(record)) => over_since_ms(&record),
                    Some(Err(error)) => {
                        tracing::warn!(%request, %error, "contact data is not erased in time");
                        None
                    }
                    None => Some(i64::MIN), // records stay for ever; without one nobody could handle it
                };
                let is_over = over_ms.is_some_and(|at_ms| at_ms <= over_by_ms);
                if is_over || erased.get(&request).is_some_and(|at_ms| put_ms <= *at_ms) {
                    due.push(request);
                }
            }
            self.erase_contacts(&keeping.vault, &due, None, now_ms).await?;
            count += due.len() as u64;
        }
    }

    /// Leaves nothing of what was erased in the log of SQLite, and lets PostgreSQL have the room. To be done
    /// [to its end](to_its_end).
    async fn empty_log(&self) -> Result<(), Error> {
        match &self.shared.database {
            Database::Sqlite { writer, .. } => {
                // Where somebody reads an old state, the log keeps it until the next time: who writes must not wait.
                let mut connection = writer.acquire().await?;
                query("PRAGMA busy_timeout = 0").execute(&mut *connection).await?;
                let emptied = query("PRAGMA wal_checkpoint(TRUNCATE)").execute(&mut *connection).await;
                let timeout = format!("PRAGMA busy_timeout = {}", SQLITE_BUSY_TIMEOUT.as_millis());
                query(AssertSqlSafe(timeout)).execute(&mut *connection).await?;
                emptied?;
            }
            Database::Postgres { pool, .. } => {
                query("VACUUM contacts").execute(pool).await?;
            }
        }
        Ok(())
    }
}
