//! What was recorded here: kept until the server has it for good, and as long as somebody should look at it.

use crate::device::Size;
use crate::error::Error;
use crate::{BATCH_BYTES_MAX, store::Meta};
use rounds_domain::bug::{Bug, is_injected};
use rounds_domain::{DeviceId, Op, Outcome, RecordId, Verdict};
use rounds_proto::v1;
use rusqlite::{Connection, OptionalExtension, params};
use uuid::Uuid;

/// Adds an op behind all others.
pub(crate) fn add(
    connection: &Connection,
    device: DeviceId,
    sealed: &v1::SealedOp,
    op: &Op,
) -> Result<(), Error> {
    let mut statement = connection.prepare_cached(
        "INSERT INTO outbox (device, seq, followed_by, record, op, recorded_ms) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?;
    let bytes: &[u8] = &sealed.op;
    statement.execute(params![
        device.0,
        sealed.seq,
        sealed.followed_by,
        op.record.0,
        bytes,
        op.clock.wall_ms
    ])?;
    Ok(())
}

/// The ops to send next: from the first without a verdict on, no group cut, within the size. A single group is sent
/// whatever its size.
pub(crate) fn batch(
    connection: &Connection,
    device: DeviceId,
    size: Size,
) -> Result<Vec<v1::SealedOp>, Error> {
    let mut statement = connection.prepare_cached(
        "SELECT seq, followed_by, op FROM outbox
         WHERE device = ?1 AND seq >= (SELECT MIN(seq) FROM outbox WHERE device = ?1 AND outcome IS NULL)
         ORDER BY seq",
    )?;
    let mut rows = statement.query(params![device.0])?;
    let (mut batch, mut batch_bytes) = (Vec::new(), 0);
    let (mut group, mut group_bytes) = (Vec::new(), 0);
    while let Some(row) = rows.next()? {
        let op: Vec<u8> = row.get(2)?;
        group_bytes += op.len();
        let sealed = v1::SealedOp { seq: row.get(0)?, followed_by: row.get(1)?, op: op.into() };
        let last = sealed.followed_by == 0;
        group.push(sealed);
        if !last {
            continue;
        }
        let too_many = batch.len() + group.len() > size.ops_max;
        let too_large = batch_bytes + group_bytes > BATCH_BYTES_MAX;
        if !batch.is_empty() && (too_many || too_large) {
            break;
        }
        batch.append(&mut group);
        batch_bytes += std::mem::take(&mut group_bytes);
    }
    Ok(batch)
}

/// An op as it is sent, if it is held.
pub(crate) fn op(connection: &Connection, device: DeviceId, seq: u64) -> Result<Option<Vec<u8>>, Error> {
    let mut statement = connection.prepare_cached("SELECT op FROM outbox WHERE device = ?1 AND seq = ?2")?;
    Ok(statement.query_row(params![device.0, seq], |row| row.get(0)).optional()?)
}

/// How many ops have no verdict.
pub(crate) fn unsent(connection: &Connection, device: DeviceId) -> Result<u64, Error> {
    let mut statement =
        connection.prepare_cached("SELECT COUNT(*) FROM outbox WHERE device = ?1 AND outcome IS NULL")?;
    Ok(statement.query_row(params![device.0], |row| row.get(0))?)
}

/// The smallest seq that is held together with all behind it; 0 if there is none.
pub(crate) fn holds_from(connection: &Connection, device: DeviceId, meta: &Meta) -> Result<u64, Error> {
    let mut statement =
        connection.prepare_cached("SELECT MIN(seq) FROM outbox WHERE device = ?1 AND seq > ?2")?;
    let first: Option<u64> =
        statement.query_row(params![device.0, meta.forgotten_through], |row| row.get(0))?;
    Ok(first.unwrap_or(0))
}

/// Notes what the server said of an op. Answers whether that was its verdict, and not a request to send it again.
pub(crate) fn note(
    connection: &Connection,
    device: DeviceId,
    seq: u64,
    verdict: &Verdict,
) -> Result<bool, Error> {
    let outcome = (verdict.outcome != Outcome::Retry).then(|| verdict.outcome.as_str());
    let reason = verdict.reason.map(|reason| reason.as_str()).unwrap_or_default();
    let mut statement = connection.prepare_cached(
        "UPDATE outbox SET outcome = ?3, reason = ?4, detail = ?5
         WHERE device = ?1 AND seq = ?2 AND outcome IS NULL",
    )?;
    let noted = statement.execute(params![device.0, seq, outcome, reason, verdict.detail])?;
    Ok(noted > 0 && outcome.is_some())
}

/// The server acknowledged no more than this, whatever it said before: ops behind have no verdict any more. Answers
/// how many had one.
pub(crate) fn unsend_after(connection: &Connection, device: DeviceId, seq: u64) -> Result<usize, Error> {
    let unsent = connection
        .prepare_cached(
            "UPDATE outbox SET outcome = NULL, reason = NULL, detail = '', settled = 0, dismissed = 0
             WHERE device = ?1 AND seq > ?2 AND outcome IS NOT NULL",
        )?
        .execute(params![device.0, seq])?;
    Ok(unsent)
}

/// A record came: a page is read after the ops of its call were taken in, so what those of this record with a verdict did
/// is in it.
pub(crate) fn settle_of(connection: &Connection, record: RecordId) -> Result<(), Error> {
    connection
        .prepare_cached(
            "UPDATE outbox SET settled = 1 WHERE settled = 0 AND record = ?1 AND outcome IS NOT NULL",
        )?
        .execute(params![record.0])?;
    Ok(())
}

/// The records are up to date: what the ops with a verdict did is in them.
pub(crate) fn settle(connection: &Connection) -> Result<(), Error> {
    connection
        .prepare_cached("UPDATE outbox SET settled = 1 WHERE settled = 0 AND outcome IS NOT NULL")?
        .execute([])?;
    Ok(())
}

/// Forgets ops that nobody needs: up to `safe_through`, settled, and with nothing to show to the user.
pub(crate) fn forget(connection: &Connection, meta: &mut Meta, safe_through: u64) -> Result<(), Error> {
    let Some(device) = meta.device else { return Ok(()) };
    let safe_through = if is_injected(Bug::OutboxForgetsEarly) { u64::MAX } else { safe_through };
    let mut unsettled =
        connection.prepare_cached("SELECT MIN(seq) FROM outbox WHERE device = ?1 AND settled = 0")?;
    let first_unsettled: Option<u64> = unsettled.query_row(params![device.0], |row| row.get(0))?;
    let through = safe_through.min(first_unsettled.unwrap_or(meta.next_seq) - 1);
    if through <= meta.forgotten_through {
        return Ok(());
    }
    meta.forgotten_through = through;
    connection.execute(
        "DELETE FROM outbox
         WHERE device = ?1 AND seq <= ?2 AND (outcome IN ('APPLIED', 'MERGED') OR dismissed = 1)",
        params![device.0, through],
    )?;
    Ok(())
}

/// Gives the ops behind this one the numbers from 1 on under another name, with their order and groups. The others stay
/// under the old name, only for the user to see: they have their verdicts. Answers how many moved.
pub(crate) fn renumber(
    connection: &Connection,
    old: DeviceId,
    new: DeviceId,
    forgotten_through: u64,
) -> Result<u64, Error> {
    let first: Option<u64> = connection
        .query_row(
            "SELECT MIN(seq) FROM outbox WHERE device = ?1 AND seq > ?2",
            params![old.0, forgotten_through],
            |row| row.get(0),
        )
        .optional()?
        .flatten();
    connection.execute(
        "DELETE FROM outbox WHERE device = ?1 AND seq < ?2 AND (outcome IN ('APPLIED', 'MERGED') OR dismissed = 1)",
        params![old.0, first.unwrap_or(u64::MAX >> 1)],
    )?;
    connection.execute("UPDATE outbox SET settled = 1 WHERE outcome IS NOT NULL", [])?;
    let Some(first) = first else { return Ok(0) };
    let moved = connection.execute(
        "UPDATE outbox SET device = ?2, seq = seq - ?3 + 1, outcome = NULL, reason = NULL, detail = '', settled = 0,
                           dismissed = 0
         WHERE device = ?1 AND seq >= ?3",
        params![old.0, new.0, first],
    )?;
    Ok(moved as u64)
}

/// An op with what is known of it.
pub(crate) struct Entry {
    pub(crate) device: DeviceId,
    pub(crate) seq: u64,
    pub(crate) followed_by: u32,
    pub(crate) record: RecordId,
    pub(crate) op: Vec<u8>,
    pub(crate) recorded_ms: i64,
    pub(crate) outcome: Option<String>,
    pub(crate) reason: Option<String>,
    pub(crate) detail: String,
}

/// The ops that meet a condition, those under old names first, then by their numbers.
pub(crate) fn entries(
    connection: &Connection,
    condition: &str,
    values: impl rusqlite::Params,
) -> Result<Vec<Entry>, Error> {
    let sql = format!(
        "SELECT device, seq, followed_by, record, op, recorded_ms, outcome, reason, detail FROM outbox
         WHERE {condition} ORDER BY device = (SELECT device FROM meta), device, seq"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let rows = statement.query_map(values, |row| {
        Ok(Entry {
            device: DeviceId(row.get::<_, Uuid>(0)?),
            seq: row.get(1)?,
            followed_by: row.get(2)?,
            record: RecordId(row.get::<_, Uuid>(3)?),
            op: row.get(4)?,
            recorded_ms: row.get(5)?,
            outcome: row.get(6)?,
            reason: row.get(7)?,
            detail: row.get(8)?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}
