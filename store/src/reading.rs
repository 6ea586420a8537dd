//! Reading records, feeds, histories, quarantine, counters and jobs.

use crate::database::{BeginRead as _, Database, in_areas, read_on, write_on};
use crate::device::Access;
use crate::feed::{
    FeedItem, Numbered, Page, Position, QuarantinePage, QuarantinedOp, RecordFilter, StoredOp,
};
use crate::row::{
    STATE_DISMISSED, STATE_QUARANTINED, due_ms, numbered, parse, placed_op, quarantine_reason, verdict,
};
use crate::sqlite::hex_list;
use crate::{Error, Store};
use futures_util::TryStreamExt;
use rounds_domain::bug::{Bug, is_injected};
use rounds_domain::limit::GROUP_OPS_MAX;
use rounds_domain::status::stages;
use rounds_domain::{Action, AreaId, DeviceId, Kind, Op, OpId, PlacedOp, RecordId, Refusal, Verdict};
use sqlx::{query, query_as, query_scalar};
use std::collections::{BTreeSet, HashMap};
use uuid::Uuid;

/// A page of a feed has no more bytes of records than this, as JSON, unless what has its first number takes more. On the wire
/// they are smaller, so that an answer stays below the 4 MiB that gRPC clients take by default.
const PAGE_BYTES_MAX: usize = 3 * 1024 * 1024;

type QuarantineTuple = (Uuid, i64, Option<Vec<u8>>, Option<String>, String, i64, Option<String>);

impl Store {
    /// The next page of these areas' feeds, of at most about `limit` records. Every commit up to the positions that
    /// it answers is in the pages so far, whatever is written meanwhile.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn pull(&self, wanted: &[Position], limit: u32) -> Result<Page, Error> {
        // One snapshot: a record that is written meanwhile moves on in the feed, and must not be missing from both
        // its old and its new place.
        let mut page = Page { items: Vec::new(), positions: wanted.to_vec(), more: false };
        if !self.moved(wanted).await? {
            return Ok(page); // most calls of most days end here
        }
        let mut room = Room { rows: (limit as usize).max(GROUP_OPS_MAX), bytes: PAGE_BYTES_MAX };
        read_on!(&self.shared.database, pool => {
            let mut tx = pool.begin_read().await?;
            if self.is_postgres() {
                query("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY").execute(&mut *tx).await?;
            }
            for position in &mut page.positions {
                let head: Option<i64> = query_scalar("SELECT head FROM areas WHERE id = $1")
                    .bind(position.area.0)
                    .fetch_optional(&mut *tx)
                    .await?;
                let head = head.unwrap_or_default() as u64;
                if head <= position.after {
                    continue;
                }
                if room.is_full() {
                    page.more = true;
                    break;
                }
                let mut rows: Vec<(u64, FeedRow)> = Vec::new();
                let sql = feed_sql(position.access);
                let mut stream = query_as::<_, (i64, String)>(sql)
                    .bind(position.area.0)
                    .bind(position.after as i64)
                    .bind(room.rows as i64 + 1)
                    .fetch(&mut *tx);
                let mut bytes = 0;
                let mut is_cut = false;
                while let Some((number, body)) = stream.try_next().await? {
                    bytes += body.len();
                    rows.push((number as u64, FeedRow::Body(body)));
                    let is_first = page.items.is_empty() && rows[0].0 == number as u64;
                    if rows.len() > room.rows || (bytes > room.bytes && !is_first) {
                        is_cut = true;
                        break;
                    }
                }
                drop(stream);
                let left: Vec<(i64, Uuid)> = query_as(departures_sql(position.access))
                .bind(position.area.0)
                .bind(position.after as i64)
                .bind(room.rows as i64 + 1)
                .fetch_all(&mut *tx)
                .await?;
                // Numbers from here on may be incomplete.
                let mut end = if is_cut { rows.last().map_or(u64::MAX, |(number, _)| *number) } else { u64::MAX };
                if left.len() > room.rows {
                    end = end.min(left.last().map_or(u64::MAX, |(number, _)| *number as u64));
                }
                rows.extend(left.into_iter().map(|(number, record)| (number as u64, FeedRow::Left(RecordId(record)))));
                rows.sort_by_key(|(number, _)| *number);
                if rows.len() > room.rows {
                    end = end.min(rows[room.rows].0);
                }
                rows.retain(|(number, _)| *number < end);
                let is_whole = end == u64::MAX || is_injected(Bug::HoleInFeed);
                position.after = if is_whole { head } else { end - 1 };
                page.more |= end != u64::MAX;
                room.rows = room.rows.saturating_sub(rows.len());
                for (number, row) in rows {
                    page.items.push(match row {
                        FeedRow::Body(body) => {
                            room.bytes = room.bytes.saturating_sub(body.len());
                            FeedItem::Record(Box::new(numbered((number as i64, body))?))
                        }
                        FeedRow::Left(record) => FeedItem::Departure { area: position.area, record },
                    });
                }
                if page.more {
                    break;
                }
            }
        });
        Ok(page)
    }

    /// Whether one of these areas has numbers that the reader does not have.
    async fn moved(&self, wanted: &[Position]) -> Result<bool, Error> {
        let heads: Vec<(Uuid, i64)> = match &self.shared.database {
            Database::Sqlite { readers, .. } => {
                query_as("SELECT id, head FROM areas WHERE id IN (SELECT unhex(value) FROM json_each($1))")
                    .bind(hex_list(wanted.iter().map(|position| position.area.0)))
                    .fetch_all(readers)
                    .await?
            }
            Database::Postgres { pool, .. } => {
                query_as("SELECT id, head FROM areas WHERE id = ANY($1)")
                    .bind(wanted.iter().map(|position| position.area.0).collect::<Vec<_>>())
                    .fetch_all(pool)
                    .await?
            }
        };
        let heads: HashMap<Uuid, i64> = heads.into_iter().collect();
        let has_moved = |position: &Position| {
            heads.get(&position.area.0).is_some_and(|head| head.unsigned_abs() > position.after)
        };
        Ok(wanted.iter().any(has_moved))
    }

    pub(crate) fn is_postgres(&self) -> bool {
        matches!(self.shared.database, crate::database::Database::Postgres { .. })
    }

    /// A record, deleted ones too.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn record(&self, id: RecordId) -> Result<Option<Numbered>, Error> {
        let row = read_on!(&self.shared.database, pool => {
            query_as("SELECT number, body FROM records WHERE id = $1").bind(id.0).fetch_optional(pool).await?
        });
        row.map(numbered).transpose()
    }

    /// Records that meet the filter, without deleted ones, in the order of their [places](crate::Place). A record that
    /// is written while pages are read moves to a later place: it may come twice, and is never left out; in a list of
    /// what is due it moves only if its time does.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn records(&self, filter: &RecordFilter) -> Result<Vec<Numbered>, Error> {
        let areas: BTreeSet<AreaId> = filter.areas.iter().copied().collect();
        let found = match Lookup::of(filter) {
            Some(lookup) => self.look_up(&lookup).await?,
            None if filter.is_of_few() => self.gather(filter, &areas).await?,
            None => self.browse(filter, &areas).await?,
        };
        let mut found: Vec<Numbered> = found
            .into_iter()
            .filter(|numbered| areas.contains(&numbered.record.area) && filter.meets(numbered))
            .collect();
        found.sort_by_key(|numbered| filter.place(numbered));
        found.truncate(filter.limit as usize);
        Ok(found)
    }

    /// Reads by an index that finds few.
    async fn look_up(&self, lookup: &Lookup<'_>) -> Result<Vec<Numbered>, Error> {
        let rows: Vec<(i64, String)> = read_on!(&self.shared.database, pool => {
            let statement = match lookup {
                Lookup::Subject(id) => query_as("SELECT number, body FROM records WHERE subject = $1").bind(id.0),
                Lookup::Code(code) => query_as("SELECT number, body FROM records WHERE code = $1").bind(*code),
                Lookup::ExternalRef(key) => {
                    query_as("SELECT number, body FROM records WHERE external_ref = $1").bind(*key)
                }
            };
            statement.fetch_all(pool).await?
        });
        rows.into_iter().map(numbered).collect()
    }

    /// Reads a kind of which there are few, from all areas at once.
    async fn gather(&self, filter: &RecordFilter, areas: &BTreeSet<AreaId>) -> Result<Vec<Numbered>, Error> {
        let (after_area, after_number, after_id) = filter
            .after
            .map_or((Uuid::nil(), -1, Uuid::nil()), |(area, number, id)| (area.0, number as i64, id.0));
        // The last condition is that of the index.
        let sql = "SELECT number, body FROM records WHERE area IN {areas} AND kind = $2 AND status = $3
             AND (area, number, id) > ($4, $5, $6) AND NOT deleted AND kind NOT IN (9, 10, 14)
             ORDER BY area, number, id LIMIT $7";
        let rows: Vec<(i64, String)> = in_areas!(self, areas, sql, fetch_all, |statement| statement
            .bind(filter.kind.map_or(0, Kind::number))
            .bind(filter.status.as_deref().unwrap_or_default())
            .bind(after_area)
            .bind(after_number)
            .bind(after_id)
            .bind(i64::from(filter.limit)));
        rows.into_iter().map(numbered).collect()
    }

    /// Reads areas in the order of their feeds, or of what is due in them.
    async fn browse(&self, filter: &RecordFilter, areas: &BTreeSet<AreaId>) -> Result<Vec<Numbered>, Error> {
        let due = filter.due_range();
        let sql = if filter.is_by_due() {
            "SELECT number, body FROM records WHERE area = $1 AND (due_ms, id) > ($2, $3) AND due_ms < $7
             AND (disputed OR NOT $8) AND (kind = $5 OR $5 = 0) AND (status = $6 OR $6 = '') AND NOT deleted
             ORDER BY due_ms, id LIMIT $4"
        } else if filter.disputed {
            "SELECT number, body FROM records WHERE area = $1 AND (number, id) > ($2, $3) AND disputed
             AND (kind = $5 OR $5 = 0) AND (status = $6 OR $6 = '') AND NOT deleted ORDER BY number, id LIMIT $4"
        } else if filter.is_by_kind() {
            // The last condition is that of the index.
            "SELECT number, body FROM records WHERE area = $1 AND (number, id) > ($2, $3)
             AND kind = $5 AND status = $6 AND NOT deleted AND kind NOT IN (9, 10, 14) ORDER BY number, id LIMIT $4"
        } else {
            "SELECT number, body FROM records WHERE area = $1 AND (number, id) > ($2, $3)
             AND (kind = $5 OR $5 = 0) AND (status = $6 OR $6 = '') AND NOT deleted ORDER BY number, id LIMIT $4"
        };
        let kind = filter.kind.map_or(0, Kind::number);
        let status = filter.status.as_deref().unwrap_or_default();
        let mut found = Vec::new();
        for area in areas {
            let room = (filter.limit as usize).saturating_sub(found.len());
            let (number, id) = match filter.after {
                _ if room == 0 => break,
                Some((after_area, _, _)) if *area < after_area => continue,
                Some((after_area, number, id)) if *area == after_area => (number as i64, id.0),
                _ if filter.is_by_due() => (due.start - 1, Uuid::max()),
                _ => (-1, Uuid::nil()),
            };
            let rows: Vec<(i64, String)> = read_on!(&self.shared.database, pool => {
                let statement =
                    query_as(sql).bind(area.0).bind(number).bind(id).bind(room as i64).bind(kind).bind(status);
                let statement = if filter.is_by_due() {
                    statement.bind(due.end).bind(filter.disputed)
                } else {
                    statement
                };
                statement.fetch_all(pool)
                    .await?
            });
            for row in rows {
                found.push(numbered(row)?);
            }
        }
        Ok(found)
    }

    /// Records of an area with numbers above `after` and up to `through`, by number: what a [`Job`] is about.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn changed(&self, area: AreaId, after: u64, through: u64) -> Result<Vec<Numbered>, Error> {
        let rows: Vec<(i64, String)> = read_on!(&self.shared.database, pool => {
            query_as(
                "SELECT number, body FROM records WHERE area = $1 AND number > $2 AND number <= $3 ORDER BY number",
            )
            .bind(area.0)
            .bind(after as i64)
            .bind(through as i64)
            .fetch_all(pool)
            .await?
        });
        rows.into_iter().map(numbered).collect()
    }

    /// The areas below and including this one, at all depths. Empty: there is no such area.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn subtree(&self, area: AreaId) -> Result<Vec<AreaId>, Error> {
        let ids: Vec<Uuid> = read_on!(&self.shared.database, pool => {
            query_scalar("SELECT descendant FROM area_lines WHERE ancestor = $1 ORDER BY descendant")
                .bind(area.0)
                .fetch_all(pool)
                .await?
        });
        Ok(ids.into_iter().map(AreaId).collect())
    }

    /// All areas, by id.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn areas(&self) -> Result<Vec<AreaId>, Error> {
        let ids: Vec<Uuid> = read_on!(&self.shared.database, pool => {
            query_scalar("SELECT id FROM areas ORDER BY id").fetch_all(pool).await?
        });
        Ok(ids.into_iter().map(AreaId).collect())
    }

    /// The ops of a record that were taken in, in their total order.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn ops_of(&self, record: RecordId) -> Result<Vec<StoredOp>, Error> {
        #[derive(sqlx::FromRow)]
        struct Row {
            device: Uuid,
            seq: i64,
            stamp: i64,
            at_ms: i64,
            worker: Option<Uuid>,
            body: String,
            received_ms: i64,
            doubtful: bool,
            outcome: String,
            reason: Option<String>,
            detail: String,
        }
        let rows: Vec<Row> = read_on!(&self.shared.database, pool => {
            query_as(
                "SELECT device, seq, stamp, at_ms, worker, body, received_ms, doubtful, outcome, reason, detail
                 FROM ops WHERE record = $1 AND state = 0 ORDER BY stamp, device, seq",
            )
            .bind(record.0)
            .fetch_all(pool)
            .await?
        });
        rows.into_iter()
            .map(|row| {
                Ok(StoredOp {
                    placed: placed_op((row.device, row.seq, row.stamp, row.at_ms, row.worker, row.body))?,
                    received_ms: row.received_ms,
                    doubtful: row.doubtful,
                    verdict: verdict(&row.outcome, row.reason.as_deref(), row.detail)?,
                })
            })
            .collect()
    }

    /// Of the ops that create a record, the first that was received. `None`: none was taken in. Its history is not read
    /// further than that.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn raised_by(&self, record: RecordId) -> Result<Option<PlacedOp>, Error> {
        read_on!(&self.shared.database, pool => {
            let mut rows = query_as(
                "SELECT device, seq, stamp, at_ms, worker, body FROM ops WHERE record = $1 AND state = 0
                 ORDER BY received_ms, stamp, device, seq",
            )
            .bind(record.0)
            .fetch(pool);
            while let Some(row) = rows.try_next().await? {
                let placed = placed_op(row)?;
                if matches!(placed.op.action, Action::Create(_)) {
                    return Ok(Some(placed));
                }
            }
        });
        Ok(None)
    }

    /// Ops in quarantine by their names: those that name one of these areas, and those that name none but whose
    /// device has one of them as a root. `None` for all. A page ends after `limit` ops, or after about as many bytes as
    /// a page of a feed: whatever waits there, no more than that and one op is read.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn quarantine(
        &self,
        areas: Option<&[AreaId]>,
        after: Option<OpId>,
        limit: u32,
    ) -> Result<QuarantinePage, Error> {
        let (device, seq) = after.map_or((Uuid::nil(), 0), |id| (id.device.0, id.seq as i64));
        // The databases know how long a value is without reading it. They measure first, one op further than the page,
        // and read those that fit in the order in which they were measured (CROSS JOIN).
        let text = "WITH near AS (
                 SELECT device, seq, coalesce(octet_length(raw), 0) + coalesce(octet_length(body), 0) AS bytes
                 FROM ops WHERE state = 1 AND (device, seq) > ($2, $3)
                     AND ($4 OR area IN {areas} OR (area IS NULL AND device IN (
                         SELECT r.device FROM device_areas r WHERE r.left_version IS NULL AND r.area IN {areas})))
                 ORDER BY device, seq LIMIT $5 + 1
             ), measured AS (
                 SELECT device, seq, sum(bytes) OVER (ORDER BY device, seq) - bytes AS ahead FROM near
             )
             SELECT ops.device, ops.seq, raw, reason, detail, received_ms, body, (SELECT count(*) FROM near)
             FROM measured CROSS JOIN ops
             WHERE ops.device = measured.device AND ops.seq = measured.seq AND ahead < $6
             ORDER BY measured.device, measured.seq LIMIT $5";
        type Row = (Uuid, i64, Option<Vec<u8>>, Option<String>, String, i64, Option<String>, i64);
        let near = areas.unwrap_or_default();
        let rows: Vec<Row> = in_areas!(self, near, text, fetch_all, |statement| statement
            .bind(device)
            .bind(seq)
            .bind(areas.is_none())
            .bind(i64::from(limit))
            .bind(PAGE_BYTES_MAX as i64));
        let more = rows.first().is_some_and(|(.., measured)| *measured > rows.len() as i64);
        let op = |(device, seq, raw, reason, detail, received_ms, body, _): Row| {
            quarantined_op((device, seq, raw, reason, detail, received_ms, body))
        };
        Ok(QuarantinePage { ops: rows.into_iter().map(op).collect::<Result<_, Error>>()?, more })
    }

    /// How much of a device waits in quarantine, in bytes: of each op what was sent, and a KiB for what goes with it.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn quarantined_bytes(&self, device: DeviceId) -> Result<u64, Error> {
        let bytes: i64 = read_on!(&self.shared.database, pool => {
            query_scalar(
                "SELECT CAST(coalesce(sum(coalesce(octet_length(raw), 0) + 1024), 0) AS bigint) FROM ops
                 WHERE device = $1 AND state = 1",
            )
            .bind(device.0)
            .fetch_one(pool)
            .await?
        });
        Ok(bytes.unsigned_abs())
    }

    /// One op in quarantine. `None`: it is not there.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn quarantined(&self, id: OpId) -> Result<Option<QuarantinedOp>, Error> {
        let row: Option<QuarantineTuple> = read_on!(&self.shared.database, pool => {
            query_as(
                "SELECT device, seq, raw, reason, detail, received_ms, body FROM ops
                 WHERE device = $1 AND seq = $2 AND state = 1",
            )
            .bind(id.device.0)
            .bind(id.seq as i64)
            .fetch_optional(pool)
            .await?
        });
        row.map(quarantined_op).transpose()
    }

    /// Takes an op out of quarantine, as `op`, at its own place in the order; what went there because of it follows:
    /// ops about the record that it creates, and the rest of its group, under one number. Where several ops of a group
    /// were refused, the rest follows the last of them.
    ///
    /// The verdict says what became of it: it stays where it is, and what waits for it too, if that is again
    /// [`Outcome::Quarantined`]. `None`: it is not in quarantine (any more).
    ///
    /// [`Outcome::Quarantined`]: rounds_domain::Outcome::Quarantined
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn release(&self, id: OpId, op: Op) -> Result<Option<Verdict>, Error> {
        let receipt = self.committer().await.release(id, op).await?;
        Ok(receipt.verdicts.into_iter().next().map(|(_, verdict)| verdict))
    }

    /// Lays a quarantined op aside; it stays on record. False: it is not in quarantine.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn dismiss(&self, id: OpId) -> Result<bool, Error> {
        let changed = write_on!(&self.shared.database, tx => {
            query("UPDATE ops SET state = $4 WHERE device = $1 AND seq = $2 AND state = $3")
                .bind(id.device.0)
                .bind(id.seq as i64)
                .bind(STATE_QUARANTINED)
                .bind(STATE_DISMISSED)
                .execute(&mut *tx)
                .await?
                .rows_affected()
        });
        Ok(changed == 1)
    }
}

/// Kinds with so many records that the index by kind and stage leaves them out.
const MANY: [Kind; 3] = [Kind::Visit, Kind::Inspection, Kind::FollowUp];
const _: () = assert!(
    matches!(MANY, [a, b, c] if a as i16 == 9 && b as i16 == 10 && c as i16 == 14),
    "the index, and the statements that use it, name them by these numbers"
);

/// A condition that finds few records by an index.
enum Lookup<'a> {
    Subject(RecordId),
    Code(&'a str),
    ExternalRef(&'a str),
}

impl<'a> Lookup<'a> {
    fn of(filter: &'a RecordFilter) -> Option<Self> {
        let code = filter.code.as_deref().map(Lookup::Code);
        let external_ref = filter.external_ref.as_deref().map(Lookup::ExternalRef);
        code.or(external_ref).or(filter.subject.map(Lookup::Subject))
    }
}

impl RecordFilter {
    /// Whether the index by kind and stage finds them: kinds without stages have all of their records in one.
    fn is_by_kind(&self) -> bool {
        let has_status = self.status.as_deref().is_some_and(|status| !status.is_empty());
        self.kind.is_some_and(|kind| !MANY.contains(&kind) && (has_status || stages(kind).is_none()))
    }

    /// Whether there are so few of them that all areas are read at once: they are kept once, high in the tree, or are
    /// with partners, who do not have everything at the same time.
    fn is_of_few(&self) -> bool {
        let is_of_few = match self.kind {
            Some(Kind::Request) => matches!(self.status.as_deref(), Some("referred" | "in_progress")),
            Some(kind) => kind.is_reference() || kind == Kind::Commitment,
            None => false,
        };
        is_of_few && self.is_by_kind() && !self.is_by_due() && !self.disputed
    }

    fn meets(&self, numbered: &Numbered) -> bool {
        let record = &numbered.record;
        record.deleted.is_none()
            && self.kind.is_none_or(|kind| record.kind == kind)
            && self.subject.is_none_or(|subject| record.subject() == Some(subject))
            && self.code.as_deref().is_none_or(|code| record.text("code") == code)
            && self.external_ref.as_deref().is_none_or(|key| record.text("external_ref") == key)
            && self.status.as_deref().is_none_or(|status| record.status == status)
            && (!self.disputed || !record.disputes.is_empty())
            && (!self.is_by_due() || due_ms(record).is_some_and(|due_ms| self.due_range().contains(&due_ms)))
            && self.after.is_none_or(|after| self.place(numbered) > after)
    }
}

enum FeedRow {
    Body(String),
    Left(RecordId),
}

/// What still fits on a page.
struct Room {
    rows: usize,
    bytes: usize,
}

impl Room {
    /// Whether the next area has to wait: it may begin with the largest group.
    fn is_full(&self) -> bool {
        self.rows < GROUP_OPS_MAX || self.bytes == 0
    }
}

fn feed_sql(access: Access) -> &'static str {
    match access {
        Access::Full => {
            "SELECT number, body FROM records WHERE area = $1 AND number > $2 ORDER BY number LIMIT $3"
        }
        Access::Reference if is_injected(Bug::ScopeLeak) => feed_sql(Access::Full),
        // The kinds of `Kind::is_reference`; a test holds the two together.
        Access::Reference => {
            "SELECT number, body FROM records WHERE area = $1 AND number > $2 AND kind IN (1, 4, 8, 17, 18)
             ORDER BY number LIMIT $3"
        }
    }
}

fn departures_sql(access: Access) -> &'static str {
    match access {
        Access::Full => {
            "SELECT number, record FROM departures WHERE area = $1 AND number > $2 ORDER BY number LIMIT $3"
        }
        Access::Reference => {
            "SELECT d.number, d.record FROM departures d JOIN records r ON r.id = d.record
             WHERE d.area = $1 AND d.number > $2 AND r.kind IN (1, 4, 8, 17, 18) ORDER BY d.number LIMIT $3"
        }
    }
}

fn quarantined_op(row: QuarantineTuple) -> Result<QuarantinedOp, Error> {
    let (device, seq, raw, reason, detail, received_ms, body) = row;
    Ok(QuarantinedOp {
        id: OpId { device: DeviceId(device), seq: seq as u64 },
        raw: raw.unwrap_or_default(),
        refusal: Refusal::new(quarantine_reason(reason.as_deref()), detail),
        received_ms,
        op: body.as_deref().map(parse).transpose()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn areas_above_send_the_reference_kinds_and_no_others() {
        let numbers: Vec<String> = Kind::ALL
            .iter()
            .filter(|kind| kind.is_reference())
            .map(|kind| kind.number().to_string())
            .collect();
        let condition = format!("kind IN ({})", numbers.join(", "));
        assert!(feed_sql(Access::Reference).contains(&condition));
        assert!(departures_sql(Access::Reference).contains(&condition));
    }
}
