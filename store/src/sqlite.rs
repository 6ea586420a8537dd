//! The verbs of a commit on SQLite.
//!
//! Many rows go in one statement with as many placeholders; the numbers of rows are few, so that the prepared
//! statements are found again. Lists go in as JSON arrays of hexadecimal ids.

use crate::Error;
use crate::commit::CONTACT_BACK_MS;
use crate::feed::Numbered;
use crate::row::{
    DEVICE_ROW, OpColumns, REPLACE_RECORD, RecordColumns, attended_row, created, device_row, json,
    ledger_row, numbered, placed_op, said_row, waiting_op,
};
use crate::tx::{AreaRow, DeviceRow, LedgerRow, NewArea, Tx, Waiting, WaitingOp, Writes, shared_verbs};
use jiff::civil::Date;
use rounds_domain::attendance::Attended;
use rounds_domain::{AreaId, DeviceId, OpId, PlacedOp, RecordId};
use sqlx::query::Query;
use sqlx::sqlite::{Sqlite, SqliteArguments};
use sqlx::{AssertSqlSafe, Transaction, query, query_as, query_scalar};
use std::fmt::Write;
use uuid::Uuid;

/// Rows per statement: the largest first. SQLite takes at most 32,766 placeholders.
const ROWS_PER_STATEMENT: [usize; 5] = [256, 64, 16, 4, 1];

/// A transaction that holds SQLite's one write lock.
pub(crate) struct SqliteTx(pub(crate) Transaction<'static, Sqlite>);

/// A JSON array of ids in hexadecimal, for `IN (SELECT unhex(value) FROM json_each($1))`.
pub(crate) fn hex_list(ids: impl IntoIterator<Item = Uuid>) -> String {
    let mut list = String::from("[");
    for id in ids {
        let separator = if list.len() > 1 { "," } else { "" };
        let _ = write!(list, "{separator}\"{}\"", id.simple()); // writing to a String cannot fail
    }
    list.push(']');
    list
}

fn hexadecimal(hash: &[u8]) -> String {
    hash.iter().fold(String::with_capacity(2 * hash.len()), |mut text, byte| {
        let _ = write!(text, "{byte:02x}"); // writing to a String cannot fail
        text
    })
}

type Bound<'q> = Query<'q, Sqlite, SqliteArguments>;

impl SqliteTx {
    /// Runs `head (?, ?, ...), (?, ?, ...) tail` over all rows, in as few statements as possible.
    async fn in_rows<R: Sync>(
        &mut self,
        head: &str,
        columns: usize,
        tail: &str,
        rows: &[R],
        bind: impl for<'q> Fn(Bound<'q>, &'q R) -> Bound<'q>,
    ) -> Result<(), Error> {
        let mut rest = rows;
        while !rest.is_empty() {
            let size = ROWS_PER_STATEMENT.into_iter().find(|size| *size <= rest.len()).unwrap_or(1);
            let (now, later) = rest.split_at(size);
            rest = later;
            let row = format!("({})", vec!["?"; columns].join(","));
            let sql = format!("{head} {} {tail}", vec![row; size].join(","));
            // Only numbers of placeholders differ; no value is ever part of the text.
            let mut statement = query(AssertSqlSafe(sql));
            for row in now {
                statement = bind(statement, row);
            }
            statement.execute(&mut *self.0).await?;
        }
        Ok(())
    }
}

impl Tx for SqliteTx {
    async fn lock_devices(&mut self, ids: &[DeviceId]) -> Result<Vec<DeviceRow>, Error> {
        // The transaction holds the only write lock: nothing more to lock.
        let rows = query_as(AssertSqlSafe(format!(
            "SELECT {DEVICE_ROW} FROM devices WHERE id IN (SELECT unhex(value) FROM json_each($1))"
        )))
        .bind(hex_list(ids.iter().map(|id| id.0)))
        .fetch_all(&mut *self.0)
        .await?;
        Ok(rows.into_iter().map(device_row).collect())
    }

    async fn ledger(&mut self, ids: &[OpId]) -> Result<Vec<LedgerRow>, Error> {
        let list: Vec<_> = ids.iter().map(|id| (id.device.0.simple().to_string(), id.seq)).collect();
        let rows = query_as(
            "SELECT o.device, o.seq, o.hash, o.outcome, o.reason, o.detail
             FROM json_each($1) j JOIN ops o ON o.device = unhex(j.value ->> 0) AND o.seq = j.value ->> 1",
        )
        .bind(json(&list)?)
        .fetch_all(&mut *self.0)
        .await?;
        rows.into_iter().map(ledger_row).collect()
    }

    async fn said(&mut self, what: &[(RecordId, [u8; 32])]) -> Result<Vec<(DeviceId, LedgerRow)>, Error> {
        let list: Vec<_> =
            what.iter().map(|(id, hash)| (id.0.simple().to_string(), hexadecimal(hash))).collect();
        let rows = query_as(
            "SELECT coalesce(d.first_device, d.id), o.device, o.seq, o.hash, o.outcome, o.reason, o.detail
             FROM json_each($1) j JOIN ops o ON o.record = unhex(j.value ->> 0) AND o.hash = unhex(j.value ->> 1)
             JOIN devices d ON d.id = o.device",
        )
        .bind(json(&list)?)
        .fetch_all(&mut *self.0)
        .await?;
        rows.into_iter().map(said_row).collect()
    }

    async fn area_depth(&mut self, id: AreaId) -> Result<usize, Error> {
        let depth: i64 = query_scalar("SELECT count(*) FROM area_lines WHERE descendant = $1")
            .bind(id.0)
            .fetch_one(&mut *self.0)
            .await?;
        Ok(depth as usize)
    }

    async fn add_area(&mut self, area: &NewArea) -> Result<bool, Error> {
        let added =
            query("INSERT INTO areas (id, parent, time_zone) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING")
                .bind(area.id.0)
                .bind(area.parent.map(|id| id.0))
                .bind(&area.time_zone)
                .execute(&mut *self.0)
                .await?;
        let is_new = added.rows_affected() == 1;
        if is_new {
            query(
                "INSERT INTO area_lines (ancestor, descendant)
                 SELECT ancestor, $1 FROM area_lines WHERE descendant = $2 UNION ALL SELECT $1, $1",
            )
            .bind(area.id.0)
            .bind(area.parent.map(|id| id.0))
            .execute(&mut *self.0)
            .await?;
        }
        Ok(is_new)
    }

    async fn lock_areas(&mut self, ids: &[AreaId]) -> Result<Vec<AreaRow>, Error> {
        let rows: Vec<(Uuid, String, i64)> = query_as(
            "SELECT id, time_zone, head FROM areas WHERE id IN (SELECT unhex(value) FROM json_each($1))",
        )
        .bind(hex_list(ids.iter().map(|id| id.0)))
        .fetch_all(&mut *self.0)
        .await?;
        Ok(rows
            .into_iter()
            .map(|(id, time_zone, head)| AreaRow { id: AreaId(id), time_zone, head: head as u64 })
            .collect())
    }

    async fn records(&mut self, ids: &[RecordId]) -> Result<Vec<Numbered>, Error> {
        let rows =
            query_as("SELECT number, body FROM records WHERE id IN (SELECT unhex(value) FROM json_each($1))")
                .bind(hex_list(ids.iter().map(|id| id.0)))
                .fetch_all(&mut *self.0)
                .await?;
        rows.into_iter().map(numbered).collect()
    }

    async fn ops_of(&mut self, records: &[RecordId]) -> Result<Vec<PlacedOp>, Error> {
        let rows = query_as(
            "SELECT device, seq, stamp, at_ms, worker, body FROM ops
             WHERE state = 0 AND record IN (SELECT unhex(value) FROM json_each($1))",
        )
        .bind(hex_list(records.iter().map(|id| id.0)))
        .fetch_all(&mut *self.0)
        .await?;
        rows.into_iter().map(placed_op).collect()
    }

    async fn quarantined(&mut self, records: &[RecordId]) -> Result<Vec<RecordId>, Error> {
        let bodies: Vec<String> = query_scalar(
            "SELECT body FROM ops
             WHERE state = 1 AND record IN (SELECT unhex(value) FROM json_each($1)) AND body IS NOT NULL",
        )
        .bind(hex_list(records.iter().map(|id| id.0)))
        .fetch_all(&mut *self.0)
        .await?;
        created(&bodies)
    }

    async fn orphaned(&mut self, records: &[RecordId]) -> Result<Vec<RecordId>, Error> {
        let ids: Vec<Uuid> = query_scalar(
            "SELECT DISTINCT record FROM ops
             WHERE reason IS NOT NULL AND state = 0 AND record IN (SELECT unhex(value) FROM json_each($1))",
        )
        .bind(hex_list(records.iter().map(|id| id.0)))
        .fetch_all(&mut *self.0)
        .await?;
        Ok(ids.into_iter().map(RecordId).collect())
    }

    async fn attended(&mut self, what: &[Attended]) -> Result<Vec<(Attended, Date, i64)>, Error> {
        let hex = |id: Uuid| id.simple().to_string();
        let list: Vec<_> =
            what.iter().map(|what| (hex(what.area.0), what.work.as_str(), hex(what.subject.0))).collect();
        let rows = query_as(
            "SELECT a.area, a.work, a.subject, a.day, a.count
             FROM json_each($1) j JOIN attended a ON a.area = unhex(j.value ->> 0) AND a.work = j.value ->> 1
             AND a.subject = unhex(j.value ->> 2)",
        )
        .bind(json(&list)?)
        .fetch_all(&mut *self.0)
        .await?;
        rows.into_iter().map(attended_row).collect()
    }

    async fn claim(&mut self, which: Waiting) -> Result<Vec<WaitingOp>, Error> {
        // The transaction holds the only write lock: nothing more to lock.
        let (sql, id, number) = which.select();
        let mut statement = query_as(sql).bind(id);
        if let Some(number) = number {
            statement = statement.bind(number);
        }
        let rows = statement.fetch_all(&mut *self.0).await?;
        rows.into_iter().map(waiting_op).collect()
    }

    shared_verbs!();

    async fn write(&mut self, writes: &Writes) -> Result<(), Error> {
        let ops = writes.ops.iter().map(OpColumns::of).collect::<Result<Vec<_>, _>>()?;
        self.in_rows(
            "INSERT INTO ops (device, seq, record, area, state, stamp, at_ms, received_ms, doubtful, worker,
             group_first, hash, outcome, reason, detail, body, raw) VALUES",
            17,
            "",
            &ops,
            |statement, op| {
                statement
                    .bind(op.device)
                    .bind(op.seq)
                    .bind(op.record)
                    .bind(op.area)
                    .bind(op.state)
                    .bind(op.stamp)
                    .bind(op.at_ms)
                    .bind(op.received_ms)
                    .bind(op.doubtful)
                    .bind(op.worker)
                    .bind(op.group_first)
                    .bind(op.hash)
                    .bind(op.outcome)
                    .bind(op.reason)
                    .bind(op.detail)
                    .bind(op.body.as_deref())
                    .bind(op.raw)
            },
        )
        .await?;
        for (id, op) in &writes.released {
            query(
                "UPDATE ops SET state = 0, record = $3, area = $4, body = $5 WHERE device = $1 AND seq = $2",
            )
            .bind(id.device.0)
            .bind(id.seq as i64)
            .bind(op.record.0)
            .bind(op.area.0)
            .bind(json(op)?)
            .execute(&mut *self.0)
            .await?;
        }
        for (records, tail) in [(&writes.created, ""), (&writes.changed, REPLACE_RECORD)] {
            let records = records.iter().map(RecordColumns::of).collect::<Result<Vec<_>, _>>()?;
            self.in_rows(
                "INSERT INTO records (id, area, number, kind, status, subject, code, external_ref, disputed, deleted,
                 due_ms, assignee, day, body) VALUES",
                14,
                tail,
                &records,
                |statement, record| {
                    statement
                        .bind(record.id)
                        .bind(record.area)
                        .bind(record.number)
                        .bind(record.kind)
                        .bind(record.status)
                        .bind(record.subject)
                        .bind(record.code)
                        .bind(record.external_ref)
                        .bind(record.disputed)
                        .bind(record.deleted)
                        .bind(record.due_ms)
                        .bind(record.assignee)
                        .bind(record.day.as_deref())
                        .bind(record.body.as_str())
                },
            )
            .await?;
        }
        for (area, record) in &writes.arrivals {
            query("DELETE FROM departures WHERE area = $1 AND record = $2")
                .bind(area.0)
                .bind(record.0)
                .execute(&mut *self.0)
                .await?;
        }
        self.in_rows(
            "INSERT INTO departures (area, record, number) VALUES",
            3,
            "ON CONFLICT (area, record) DO UPDATE SET number = excluded.number",
            &writes.departures,
            |statement, (area, record, number)| statement.bind(area.0).bind(record.0).bind(*number as i64),
        )
        .await?;
        let tallies: Vec<_> =
            writes.tallies.iter().map(|(key, count)| (key, key.day.to_string(), *count)).collect();
        self.in_rows(
            "INSERT INTO tallies (area, unit, day, measure, count) VALUES",
            5,
            "ON CONFLICT (area, unit, day, measure) DO UPDATE SET count = count + excluded.count",
            &tallies,
            |statement, (key, day, count)| {
                let statement = statement.bind(key.area.0).bind(key.unit.name()).bind(day.as_str());
                statement.bind(key.measure.as_str()).bind(*count)
            },
        )
        .await?;
        let attended: Vec<_> =
            writes.attended.iter().map(|(what, day, count)| (what, day.to_string(), *count)).collect();
        self.in_rows(
            "INSERT INTO attended (area, work, subject, day, count) VALUES",
            5,
            "ON CONFLICT (area, work, subject, day) DO UPDATE SET count = count + excluded.count",
            &attended,
            |statement, (what, day, count)| {
                let statement = statement.bind(what.area.0).bind(what.work.as_str()).bind(what.subject.0);
                statement.bind(day.as_str()).bind(*count)
            },
        )
        .await?;
        let late: Vec<_> = writes
            .late
            .iter()
            .map(|((area, day, received_ms), ops)| (area, day.to_string(), *received_ms, *ops))
            .collect();
        self.in_rows(
            "INSERT INTO late_arrivals (area, day, received_ms, ops) VALUES",
            4,
            "ON CONFLICT (area, day, received_ms) DO UPDATE SET ops = ops + excluded.ops",
            &late,
            |statement, (area, day, received_ms, ops)| {
                statement.bind(area.0).bind(day.as_str()).bind(*received_ms).bind(*ops)
            },
        )
        .await?;
        self.in_rows(
            "WITH moved (id, head) AS (VALUES",
            2,
            ") UPDATE areas SET head = moved.head FROM moved WHERE areas.id = moved.id",
            &writes.heads,
            |statement, (area, head)| statement.bind(area.0).bind(*head as i64),
        )
        .await?;
        self.in_rows(
            "WITH moved (id, acknowledged_through, forked_at, lost_ops, last_stamp, last_at_ms) AS (VALUES",
            6,
            ") UPDATE devices SET acknowledged_through = moved.acknowledged_through, forked_at = moved.forked_at,
             lost_ops = moved.lost_ops, last_stamp = moved.last_stamp, last_at_ms = moved.last_at_ms
             FROM moved WHERE devices.id = moved.id",
            &writes.devices,
            |statement, device| {
                statement
                    .bind(device.id.0)
                    .bind(device.acknowledged_through as i64)
                    .bind(device.forked_at.map(|seq| seq as i64))
                    .bind(device.lost_ops as i64)
                    .bind(device.last_stamp as i64)
                    .bind(device.last_at_ms)
            },
        )
        .await?;
        self.in_rows(
            "WITH seen (id, seen_ms, unsent_ops) AS (VALUES",
            3,
            &format!(
                ") UPDATE devices SET seen_ms = seen.seen_ms, unsent_ops = seen.unsent_ops FROM seen
                 WHERE devices.id = seen.id AND (devices.seen_ms <= seen.seen_ms
                     OR devices.seen_ms >= seen.seen_ms + {CONTACT_BACK_MS})"
            ),
            &writes.contacts,
            |statement, contact| {
                statement.bind(contact.device.0).bind(contact.seen_ms).bind(contact.unsent_ops as i64)
            },
        )
        .await?;
        self.in_rows(
            "INSERT INTO waiting_jobs (id, area, after_number, through_number, queued_ms) VALUES",
            5,
            "ON CONFLICT DO NOTHING",
            &writes.jobs,
            |statement, (job, queued_ms)| {
                statement
                    .bind(job.id.0)
                    .bind(job.area.0)
                    .bind(job.after as i64)
                    .bind(job.through as i64)
                    .bind(*queued_ms)
            },
        )
        .await?;
        self.in_rows(
            "INSERT INTO timers (record, area, at_ms) VALUES",
            3,
            &format!(
                "ON CONFLICT (record) DO UPDATE SET area = excluded.area, at_ms = CASE
                 WHEN timers.at_ms <= {} THEN excluded.at_ms ELSE min(timers.at_ms, excluded.at_ms) END",
                writes.timers_at_ms
            ),
            &writes.timers,
            |statement, timer| statement.bind(timer.record.0).bind(timer.area.0).bind(timer.at_ms),
        )
        .await
    }

    async fn commit(self) -> Result<(), Error> {
        Ok(self.0.commit().await?)
    }
}
