//! Reading many records as they are at one moment: for exports.

use crate::database::{BeginRead as _, Database};
use crate::feed::Numbered;
use crate::row::numbered;
use crate::{Error, Store};
use rounds_domain::{AreaId, Kind, RecordId};
use sqlx::{Postgres, Sqlite, Transaction, query, query_as, query_scalar};
use std::ops::Range;
use uuid::Uuid;

/// All records as they are at one moment, whatever is written meanwhile: none is missing because it moved on to a place
/// that was read already, none comes twice. It holds a connection, and keeps the database from clearing away what is
/// replaced meanwhile: read on, and drop it.
#[derive(Debug)]
pub struct Snapshot {
    tx: Tx,
}

#[derive(Debug)]
enum Tx {
    Sqlite(Transaction<'static, Sqlite>),
    Postgres(Transaction<'static, Postgres>),
}

/// Runs the same statements on either database.
macro_rules! within {
    ($snapshot:expr, $tx:ident => $body:expr) => {
        match &mut $snapshot.tx {
            Tx::Sqlite($tx) => $body,
            Tx::Postgres($tx) => $body,
        }
    };
}

impl Store {
    /// The records as they are now.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn snapshot(&self) -> Result<Snapshot, Error> {
        let tx = match &self.shared.database {
            Database::Sqlite { readers, .. } => {
                let mut tx = readers.begin_read().await?;
                query("SELECT key FROM meta").fetch_optional(&mut *tx).await?; // its moment is that of the first read
                Tx::Sqlite(tx)
            }
            Database::Postgres { pool, .. } => {
                let mut tx = pool.begin_read().await?;
                query("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY").execute(&mut *tx).await?;
                query("SELECT key FROM meta").fetch_optional(&mut *tx).await?;
                Tx::Postgres(tx)
            }
        };
        Ok(Snapshot { tx })
    }
}

impl Snapshot {
    /// How many records of a kind an area has, without those below it and without deleted ones.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn count(&mut self, kind: Kind, area: AreaId) -> Result<u64, Error> {
        let count: i64 = within!(self, tx => {
            query_scalar("SELECT count(*) FROM records WHERE area = $1 AND kind = $2 AND NOT deleted")
                .bind(area.0)
                .bind(kind.number())
                .fetch_one(&mut **tx)
                .await?
        });
        Ok(count.unsigned_abs())
    }

    /// The next records of a kind that an area has, without those below it and without deleted ones, by number and id:
    /// those behind `after`, at most `limit`. With `due_ms` only follow-ups that are due and notices that were called
    /// for within it, in ms since 1970 UTC.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn page(
        &mut self,
        kind: Kind,
        area: AreaId,
        due_ms: Option<Range<i64>>,
        after: Option<(u64, RecordId)>,
        limit: u32,
    ) -> Result<Vec<Numbered>, Error> {
        let (number, id) = after.map_or((-1, Uuid::nil()), |(number, id)| (number as i64, id.0));
        let rows: Vec<(i64, String)> = within!(self, tx => {
            query_as(
                "SELECT number, body FROM records WHERE area = $1 AND (number, id) > ($2, $3) AND kind = $4
                 AND NOT deleted AND ($5 OR (due_ms >= $6 AND due_ms < $7)) ORDER BY number, id LIMIT $8",
            )
            .bind(area.0)
            .bind(number)
            .bind(id)
            .bind(kind.number())
            .bind(due_ms.is_none())
            .bind(due_ms.as_ref().map_or(0, |range| range.start))
            .bind(due_ms.as_ref().map_or(0, |range| range.end))
            .bind(i64::from(limit))
            .fetch_all(&mut **tx)
            .await?
        });
        rows.into_iter().map(numbered).collect()
    }
}
