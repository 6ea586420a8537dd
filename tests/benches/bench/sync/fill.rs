//! A database that has been in use for a while.

use crate::phone::{Chance, visit};
use crate::site::{Ground, submit};
use rounds_domain::Op;
use rounds_domain::limit::BATCH_OPS_MAX;

/// Ops that are recorded one by one; more are copies of them.
const SEEDS: usize = 10_000;

impl Ground {
    /// Records so many visits over all areas, past the wire. Beyond [`SEEDS`] they are copied within the database, with
    /// other devices, numbers and ids; the ids are older than those of visits to come, as they would be.
    ///
    /// Answers how many there are: a multiple of the number of areas.
    pub(crate) async fn fill(&self, visits: usize) -> usize {
        let each = visits.min(SEEDS) / self.areas.len();
        let seeds = each * self.areas.len();
        let mut chance = Chance(7);
        for area in &self.areas {
            let ops: Vec<Op> = (0..each).map(|_| visit(*area, &mut chance)).collect();
            self.record(ops).await;
        }
        let copies = (visits / seeds).saturating_sub(1);
        if copies > 0 {
            self.copy(copies, each + 1).await;
        }
        let stored = self.number("SELECT count(*) FROM ops WHERE seq > 0").await - self.areas.len();
        assert_eq!(stored, seeds * (copies + 1));
        assert_eq!(self.number("SELECT count(*) FROM records").await, stored + self.areas.len());
        stored
    }

    /// Somebody records all this, about the first op's area. All of it must take effect.
    pub(crate) async fn record(&self, ops: Vec<Op>) {
        let Some(first) = ops.first() else { return };
        let (author, _) = self.enrol(first.area).await;
        let mut ops = ops.into_iter().peekable();
        while ops.peek().is_some() {
            submit(&self.store, author, ops.by_ref().take(BATCH_OPS_MAX).collect()).await;
        }
    }

    /// Copies all visits so often. `step` is more than any number that an area has.
    async fn copy(&self, copies: usize, step: usize) {
        if self.database.is_postgres() {
            self.execute(&copy_sql(
                POSTGRES,
                step,
                &format!("CROSS JOIN generate_series(1, {copies}) AS c (n)"),
            ))
            .await;
            self.execute("ANALYZE").await; // as autovacuum will have done by then
        } else {
            self.execute("CREATE TABLE seeds AS SELECT max(o.rowid) AS ops, max(r.rowid) AS records FROM ops o, records r")
                .await;
            for n in 1..=copies {
                self.execute(&copy_sql(
                    SQLITE,
                    step,
                    &format!("CROSS JOIN (SELECT {n} AS n) AS c CROSS JOIN seeds"),
                ))
                .await;
            }
            self.execute("DROP TABLE seeds").await;
        }
    }

    async fn execute(&self, sql: &str) {
        self.database.execute(sql).await.expect("a statement that runs");
    }
}

/// What the two databases say differently: an id with another beginning, and which rows to copy.
struct Dialect {
    device: &'static str,
    record: &'static str,
    seeds_ops: &'static str,
    seeds_records: &'static str,
}

const POSTGRES: Dialect = Dialect {
    device: "(lpad(to_hex(c.n), 8, '0') || substr(replace(device::text, '-', ''), 9))::uuid",
    record: "(lpad(to_hex(1700000000000 + c.n), 12, '0') || substr(replace(ID::text, '-', ''), 13))::uuid",
    seeds_ops: "TRUE",
    seeds_records: "TRUE",
};

const SQLITE: Dialect = Dialect {
    device: "unhex(printf('%08x', c.n) || substr(hex(device), 9))",
    record: "unhex(printf('%012x', 1700000000000 + c.n) || substr(hex(ID), 13))",
    seeds_ops: "o.rowid <= seeds.ops",
    seeds_records: "r.rowid <= seeds.records",
};

fn copy_sql(dialect: Dialect, step: usize, copies: &str) -> String {
    let Dialect { device, record, seeds_ops, seeds_records } = dialect;
    let (op_record, id) = (record.replace("ID", "o.record"), record.replace("ID", "r.id"));
    let visit = "kind = 9";
    format!(
        "INSERT INTO ops (device, seq, record, area, state, stamp, at_ms, received_ms, doubtful, worker, group_first,
             hash, outcome, reason, detail, body, raw)
         SELECT {device}, seq, {op_record}, area, state, stamp, at_ms, received_ms, doubtful, worker, group_first,
             hash, outcome, reason, detail, body, raw
         FROM ops o {copies} WHERE {seeds_ops} AND o.record IN (SELECT id FROM records WHERE {visit});
         INSERT INTO records (id, area, number, kind, status, subject, code, external_ref, disputed, deleted, body)
         SELECT {id}, area, number + c.n * {step}, kind, status, subject, code, external_ref, disputed, deleted, body
         FROM records r {copies} WHERE {seeds_records} AND {visit};
         UPDATE areas SET head = (SELECT max(number) FROM records WHERE records.area = areas.id);"
    )
}
