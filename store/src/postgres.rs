//! The verbs of a commit on PostgreSQL.
//!
//! Many rows go in one statement as arrays, one per column: COPY would stall for about 45 ms on each batch, because
//! the driver leaves Nagle's algorithm on for it.

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
use sqlx::postgres::Postgres;
use sqlx::{AssertSqlSafe, Transaction, query, query_as, query_scalar};
use uuid::Uuid;

/// A transaction at READ COMMITTED; what it changes it has locked before it read it.
pub(crate) struct PostgresTx(pub(crate) Transaction<'static, Postgres>);

fn column<'r, R, V>(rows: &'r [R], value: impl Fn(&'r R) -> V) -> Vec<V> {
    rows.iter().map(value).collect()
}

impl Tx for PostgresTx {
    async fn lock_devices(&mut self, ids: &[DeviceId]) -> Result<Vec<DeviceRow>, Error> {
        let rows = query_as(AssertSqlSafe(format!(
            "SELECT {DEVICE_ROW} FROM devices WHERE id = ANY($1) ORDER BY id FOR UPDATE"
        )))
        .bind(column(ids, |id| id.0))
        .fetch_all(&mut *self.0)
        .await?;
        Ok(rows.into_iter().map(device_row).collect())
    }

    async fn ledger(&mut self, ids: &[OpId]) -> Result<Vec<LedgerRow>, Error> {
        let rows = query_as(
            "SELECT o.device, o.seq, o.hash, o.outcome, o.reason, o.detail
             FROM unnest($1::uuid[], $2::bigint[]) AS j (device, seq) JOIN ops o USING (device, seq)",
        )
        .bind(column(ids, |id| id.device.0))
        .bind(column(ids, |id| id.seq as i64))
        .fetch_all(&mut *self.0)
        .await?;
        rows.into_iter().map(ledger_row).collect()
    }

    async fn said(&mut self, what: &[(RecordId, [u8; 32])]) -> Result<Vec<(DeviceId, LedgerRow)>, Error> {
        let rows = query_as(
            "SELECT coalesce(d.first_device, d.id), o.device, o.seq, o.hash, o.outcome, o.reason, o.detail
             FROM ops o JOIN devices d ON d.id = o.device WHERE o.record = ANY($1) AND o.hash = ANY($2)",
        )
        .bind(column(what, |(id, _)| id.0))
        .bind(column(what, |(_, hash)| hash.as_slice()))
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
        let rows: Vec<(Uuid, String, i64)> =
            query_as("SELECT id, time_zone, head FROM areas WHERE id = ANY($1) ORDER BY id FOR UPDATE")
                .bind(column(ids, |id| id.0))
                .fetch_all(&mut *self.0)
                .await?;
        Ok(rows
            .into_iter()
            .map(|(id, time_zone, head)| AreaRow { id: AreaId(id), time_zone, head: head as u64 })
            .collect())
    }

    async fn records(&mut self, ids: &[RecordId]) -> Result<Vec<Numbered>, Error> {
        let rows = query_as("SELECT number, body FROM records WHERE id = ANY($1)")
            .bind(column(ids, |id| id.0))
            .fetch_all(&mut *self.0)
            .await?;
        rows.into_iter().map(numbered).collect()
    }

    async fn ops_of(&mut self, records: &[RecordId]) -> Result<Vec<PlacedOp>, Error> {
        let rows = query_as(
            "SELECT device, seq, stamp, at_ms, worker, body FROM ops WHERE state = 0 AND record = ANY($1)",
        )
        .bind(column(records, |id| id.0))
        .fetch_all(&mut *self.0)
        .await?;
        rows.into_iter().map(placed_op).collect()
    }

    async fn quarantined(&mut self, records: &[RecordId]) -> Result<Vec<RecordId>, Error> {
        let bodies: Vec<String> =
            query_scalar("SELECT body FROM ops WHERE state = 1 AND record = ANY($1) AND body IS NOT NULL")
                .bind(column(records, |id| id.0))
                .fetch_all(&mut *self.0)
                .await?;
        created(&bodies)
    }

    async fn orphaned(&mut self, records: &[RecordId]) -> Result<Vec<RecordId>, Error> {
        let ids: Vec<Uuid> = query_scalar(
            "SELECT DISTINCT record FROM ops
             WHERE reason IS NOT NULL AND state = 0 AND record = ANY($1)",
        )
        .bind(column(records, |id| id.0))
        .fetch_all(&mut *self.0)
        .await?;
        Ok(ids.into_iter().map(RecordId).collect())
    }

    async fn attended(&mut self, what: &[Attended]) -> Result<Vec<(Attended, Date, i64)>, Error> {
        let rows = query_as(
            "SELECT a.area, a.work, a.subject, a.day, a.count
             FROM unnest($1::uuid[], $2::text[], $3::uuid[]) AS j (area, work, subject)
             JOIN attended a ON a.area = j.area AND a.work = j.work AND a.subject = j.subject",
        )
        .bind(column(what, |what| what.area.0))
        .bind(column(what, |what| what.work.as_str()))
        .bind(column(what, |what| what.subject.0))
        .fetch_all(&mut *self.0)
        .await?;
        rows.into_iter().map(attended_row).collect()
    }

    async fn claim(&mut self, which: Waiting) -> Result<Vec<WaitingOp>, Error> {
        let (sql, id, number) = which.select();
        let mut statement = query_as(AssertSqlSafe(format!("{sql} FOR UPDATE"))).bind(id);
        if let Some(number) = number {
            statement = statement.bind(number);
        }
        let rows = statement.fetch_all(&mut *self.0).await?;
        rows.into_iter().map(waiting_op).collect()
    }

    shared_verbs!();

    async fn write(&mut self, writes: &Writes) -> Result<(), Error> {
        if !writes.ops.is_empty() {
            let ops = writes.ops.iter().map(OpColumns::of).collect::<Result<Vec<_>, _>>()?;
            query(
                "INSERT INTO ops (device, seq, record, area, state, stamp, at_ms, received_ms, doubtful, worker,
                 group_first, hash, outcome, reason, detail, body, raw)
                 SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::uuid[], $4::uuid[], $5::smallint[],
                 $6::bigint[], $7::bigint[], $8::bigint[], $9::boolean[], $10::uuid[], $11::bigint[], $12::bytea[],
                 $13::text[], $14::text[], $15::text[], $16::text[], $17::bytea[])",
            )
            .bind(column(&ops, |op| op.device))
            .bind(column(&ops, |op| op.seq))
            .bind(column(&ops, |op| op.record))
            .bind(column(&ops, |op| op.area))
            .bind(column(&ops, |op| op.state))
            .bind(column(&ops, |op| op.stamp))
            .bind(column(&ops, |op| op.at_ms))
            .bind(column(&ops, |op| op.received_ms))
            .bind(column(&ops, |op| op.doubtful))
            .bind(column(&ops, |op| op.worker))
            .bind(column(&ops, |op| op.group_first))
            .bind(column(&ops, |op| op.hash))
            .bind(column(&ops, |op| op.outcome))
            .bind(column(&ops, |op| op.reason))
            .bind(column(&ops, |op| op.detail))
            .bind(column(&ops, |op| op.body.as_deref()))
            .bind(column(&ops, |op| op.raw))
            .execute(&mut *self.0)
            .await?;
        }
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
            if records.is_empty() {
                continue;
            }
            let records = records.iter().map(RecordColumns::of).collect::<Result<Vec<_>, _>>()?;
            // No value is ever part of the text.
            query(AssertSqlSafe(format!(
                "INSERT INTO records (id, area, number, kind, status, subject, code, external_ref, disputed, deleted,
                 due_ms, assignee, day, body)
                 SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::bigint[], $4::smallint[], $5::text[], $6::uuid[],
                 $7::text[], $8::text[], $9::boolean[], $10::boolean[], $11::bigint[], $12::uuid[],
                 $13::text[], $14::text[]) {tail}"
            )))
            .bind(column(&records, |record| record.id))
            .bind(column(&records, |record| record.area))
            .bind(column(&records, |record| record.number))
            .bind(column(&records, |record| record.kind))
            .bind(column(&records, |record| record.status))
            .bind(column(&records, |record| record.subject))
            .bind(column(&records, |record| record.code))
            .bind(column(&records, |record| record.external_ref))
            .bind(column(&records, |record| record.disputed))
            .bind(column(&records, |record| record.deleted))
            .bind(column(&records, |record| record.due_ms))
            .bind(column(&records, |record| record.assignee))
            .bind(column(&records, |record| record.day.as_deref()))
            .bind(column(&records, |record| record.body.as_str()))
            .execute(&mut *self.0)
            .await?;
        }
        for (area, record) in &writes.arrivals {
            query("DELETE FROM departures WHERE area = $1 AND record = $2")
                .bind(area.0)
                .bind(record.0)
                .execute(&mut *self.0)
                .await?;
        }
        if !writes.departures.is_empty() {
            query(
                "INSERT INTO departures (area, record, number)
                 SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::bigint[])
                 ON CONFLICT (area, record) DO UPDATE SET number = excluded.number",
            )
            .bind(column(&writes.departures, |(area, _, _)| area.0))
            .bind(column(&writes.departures, |(_, record, _)| record.0))
            .bind(column(&writes.departures, |(_, _, number)| *number as i64))
            .execute(&mut *self.0)
            .await?;
        }
        if !writes.tallies.is_empty() {
            let tallies: Vec<_> = writes.tallies.iter().collect();
            query(
                "INSERT INTO tallies (area, unit, day, measure, count)
                 SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::bigint[])
                 ON CONFLICT (area, unit, day, measure) DO UPDATE SET count = tallies.count + excluded.count",
            )
            .bind(column(&tallies, |(key, _)| key.area.0))
            .bind(column(&tallies, |(key, _)| key.unit.name()))
            .bind(column(&tallies, |(key, _)| key.day.to_string()))
            .bind(column(&tallies, |(key, _)| key.measure.as_str()))
            .bind(column(&tallies, |(_, count)| **count))
            .execute(&mut *self.0)
            .await?;
        }
        if !writes.attended.is_empty() {
            query(
                "INSERT INTO attended (area, work, subject, day, count)
                 SELECT * FROM unnest($1::uuid[], $2::text[], $3::uuid[], $4::text[], $5::bigint[])
                 ON CONFLICT (area, work, subject, day) DO UPDATE SET count = attended.count + excluded.count",
            )
            .bind(column(&writes.attended, |(what, _, _)| what.area.0))
            .bind(column(&writes.attended, |(what, _, _)| what.work.as_str()))
            .bind(column(&writes.attended, |(what, _, _)| what.subject.0))
            .bind(column(&writes.attended, |(_, day, _)| day.to_string()))
            .bind(column(&writes.attended, |(_, _, count)| *count))
            .execute(&mut *self.0)
            .await?;
        }
        if !writes.late.is_empty() {
            let late: Vec<_> = writes.late.iter().collect();
            query(
                "INSERT INTO late_arrivals (area, day, received_ms, ops)
                 SELECT * FROM unnest($1::uuid[], $2::text[], $3::bigint[], $4::bigint[])
                 ON CONFLICT (area, day, received_ms) DO UPDATE SET ops = late_arrivals.ops + excluded.ops",
            )
            .bind(column(&late, |((area, _, _), _)| area.0))
            .bind(column(&late, |((_, day, _), _)| day.to_string()))
            .bind(column(&late, |((_, _, received_ms), _)| *received_ms))
            .bind(column(&late, |(_, ops)| **ops))
            .execute(&mut *self.0)
            .await?;
        }
        if !writes.heads.is_empty() {
            query(
                "UPDATE areas SET head = moved.head
                 FROM unnest($1::uuid[], $2::bigint[]) AS moved (id, head) WHERE areas.id = moved.id",
            )
            .bind(column(&writes.heads, |(area, _)| area.0))
            .bind(column(&writes.heads, |(_, head)| *head as i64))
            .execute(&mut *self.0)
            .await?;
        }
        if !writes.devices.is_empty() {
            query(
                "UPDATE devices SET acknowledged_through = moved.acknowledged_through, forked_at = moved.forked_at,
                 lost_ops = moved.lost_ops, last_stamp = moved.last_stamp, last_at_ms = moved.last_at_ms
                 FROM unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[])
                 AS moved (id, acknowledged_through, forked_at, lost_ops, last_stamp, last_at_ms)
                 WHERE devices.id = moved.id",
            )
            .bind(column(&writes.devices, |device| device.id.0))
            .bind(column(&writes.devices, |device| device.acknowledged_through as i64))
            .bind(column(&writes.devices, |device| device.forked_at.map(|seq| seq as i64)))
            .bind(column(&writes.devices, |device| device.lost_ops as i64))
            .bind(column(&writes.devices, |device| device.last_stamp as i64))
            .bind(column(&writes.devices, |device| device.last_at_ms))
            .execute(&mut *self.0)
            .await?;
        }
        if !writes.contacts.is_empty() {
            query(
                "UPDATE devices SET seen_ms = seen.seen_ms, unsent_ops = seen.unsent_ops
                 FROM unnest($1::uuid[], $2::bigint[], $3::bigint[]) AS seen (id, seen_ms, unsent_ops)
                 WHERE devices.id = seen.id
                     AND (devices.seen_ms <= seen.seen_ms OR devices.seen_ms >= seen.seen_ms + $4)",
            )
            .bind(column(&writes.contacts, |contact| contact.device.0))
            .bind(column(&writes.contacts, |contact| contact.seen_ms))
            .bind(column(&writes.contacts, |contact| contact.unsent_ops as i64))
            .bind(CONTACT_BACK_MS)
            .execute(&mut *self.0)
            .await?;
        }
        if !writes.jobs.is_empty() {
            query(
                "INSERT INTO waiting_jobs (id, area, after_number, through_number, queued_ms)
                 SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::bigint[], $4::bigint[], $5::bigint[])
                 ON CONFLICT DO NOTHING",
            )
            .bind(column(&writes.jobs, |(job, _)| job.id.0))
            .bind(column(&writes.jobs, |(job, _)| job.area.0))
            .bind(column(&writes.jobs, |(job, _)| job.after as i64))
            .bind(column(&writes.jobs, |(job, _)| job.through as i64))
            .bind(column(&writes.jobs, |(_, queued_ms)| *queued_ms))
            .execute(&mut *self.0)
            .await?;
        }
        if !writes.timers.is_empty() {
            query(
                "INSERT INTO timers (record, area, at_ms)
                 SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::bigint[])
                 ON CONFLICT (record) DO UPDATE SET area = excluded.area, at_ms = CASE
                 WHEN timers.at_ms <= $4 THEN excluded.at_ms ELSE least(timers.at_ms, excluded.at_ms) END",
            )
            .bind(column(&writes.timers, |timer| timer.record.0))
            .bind(column(&writes.timers, |timer| timer.area.0))
            .bind(column(&writes.timers, |timer| timer.at_ms))
            .bind(writes.timers_at_ms)
            .execute(&mut *self.0)
            .await?;
        }
        Ok(())
    }

    async fn commit(mut self) -> Result<(), Error> {
        // One notification per commit: PostgreSQL takes a global lock for it. Other servers then look for themselves.
        query("SELECT pg_notify('rounds', '')").execute(&mut *self.0).await?;
        Ok(self.0.commit().await?)
    }
}
