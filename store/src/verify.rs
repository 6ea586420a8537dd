//! What is kept beside the ops, held against the ops; and counted again where the way of counting changed.

use crate::count::Count;
use crate::database::{Begin, BeginRead, Database, read_on, write_on};
use crate::row::COLUMNS_VERSION;
use crate::sqlite::SqliteTx;
use crate::tx::{Tx, Writes};
use crate::{Error, Store};
use jiff::civil::Date;
use jiff::tz::TimeZone;
use rounds_domain::attendance::Attended;
use rounds_domain::tally::{self, TallyKey};
use rounds_domain::{AreaId, PlacedOp, RecordId, fold};
use sqlx::{query, query_as, query_scalar};
use std::collections::{BTreeMap, HashMap};
use uuid::Uuid;

/// Records that are read at a time.
const PAGE_RECORDS: u32 = 500;
/// Faults that are told one by one; more are counted only.
const FAULTS_TOLD_MAX: usize = 1_000;

/// Something that does not follow from the ops.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Fault {
    /// A record is not the fold of its ops.
    Record(RecordId),
    /// Ops make a record that is not there.
    Absent(RecordId),
    /// A record is found under another day than the one on which it is counted.
    Day(RecordId),
    /// A counter of the summaries.
    Counter {
        /// Which.
        key: TallyKey,
        /// What it says.
        kept: i64,
        /// What it should say.
        counted: i64,
    },
    /// How often something was attended to on a day.
    Attended {
        /// What.
        what: Attended,
        /// The day.
        day: Date,
        /// What is kept.
        kept: i64,
        /// What it should be.
        counted: i64,
    },
}

/// What was looked at, and what is wrong.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Verified {
    /// Records that were folded again.
    pub records: u64,
    /// Their ops.
    pub ops: u64,
    /// Counters that were counted again.
    pub counters: u64,
    /// Faults, the first 1,000 of them.
    pub faults: Vec<Fault>,
    /// All faults.
    pub faults_total: u64,
}

impl Verified {
    fn fault(&mut self, fault: Fault) {
        self.faults_total += 1;
        if self.faults.len() < FAULTS_TOLD_MAX {
            self.faults.push(fault);
        }
    }
}

impl Store {
    /// Folds every record again from its ops and counts again what summaries are made of, one area at a time, each as
    /// it is at one moment: on PostgreSQL what is written into it meanwhile waits. Memory is bounded by the counters of
    /// the largest area. `progress` hears how many records were looked at.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn verify(&self, mut progress: impl FnMut(u64)) -> Result<Verified, Error> {
        let mut verified = Verified::default();
        for area in self.areas().await? {
            match &self.shared.database {
                Database::Sqlite { readers, .. } => {
                    verify_area(&mut SqliteTx(readers.begin_read().await?), area, &mut verified).await?;
                }
                Database::Postgres { pool, .. } => {
                    verify_area(&mut pool.begin_write().await?, area, &mut verified).await?;
                }
            }
            progress(verified.records);
        }
        let lost: Vec<Uuid> = read_on!(&self.shared.database, pool => {
            query_scalar(
                "SELECT DISTINCT record FROM ops WHERE state = 0 AND NOT EXISTS
                 (SELECT 1 FROM records WHERE records.id = ops.record)",
            )
            .fetch_all(pool)
            .await?
        });
        for id in lost.into_iter().map(RecordId) {
            let ops: Vec<PlacedOp> = self.ops_of(id).await?.into_iter().map(|stored| stored.placed).collect();
            if fold(&ops).0.is_some() && self.record(id).await?.is_none() {
                verified.fault(Fault::Absent(id));
            }
        }
        Ok(verified)
    }

    /// Counts again from the records what summaries are made of, one area at a time; what is written meanwhile waits.
    ///
    /// # Errors
    /// [`Error::Unavailable`]; areas that were done stay done.
    pub async fn recount(&self) -> Result<(), Error> {
        self.recount_and(false).await
    }

    /// The same; with `rewrite`, every record is written again as it is, so that its columns are what they should be, and
    /// deleted ones are folded again.
    async fn recount_and(&self, rewrite: bool) -> Result<(), Error> {
        for area in self.areas().await? {
            match &self.shared.database {
                Database::Sqlite { writer, .. } => {
                    recount_area(writer.begin_write().await?, area, rewrite).await?
                }
                Database::Postgres { pool, .. } => {
                    recount_area(pool.begin_write().await?, area, rewrite).await?
                }
            }
        }
        Ok(())
    }

    /// Counts again if another version of this program counted; fills columns that came later, and folds deleted records
    /// again as now.
    pub(crate) async fn recount_if_outdated(&self) -> Result<(), Error> {
        let wanted =
            [("tally_version", tally::VERSION.to_string()), ("record_columns", COLUMNS_VERSION.to_string())];
        let known: Vec<(String, String)> = read_on!(&self.shared.database, pool => {
            query_as("SELECT key, value FROM meta WHERE key IN ('tally_version', 'record_columns')")
                .fetch_all(pool)
                .await?
        });
        let is_known = |(key, value): &(&str, String)| known.iter().any(|(k, v)| k == key && v == value);
        if wanted.iter().all(is_known) {
            return Ok(());
        }
        self.recount_and(!is_known(&wanted[1])).await?;
        write_on!(&self.shared.database, tx => {
            for (key, value) in &wanted {
                query(
                    "INSERT INTO meta (key, value) VALUES ($1, $2)
                     ON CONFLICT (key) DO UPDATE SET value = excluded.value",
                )
                .bind(*key)
                .bind(value)
                .execute(&mut *tx)
                .await?;
            }
        });
        Ok(())
    }
}

async fn lock<T: Tx>(tx: &mut T, area: AreaId) -> Result<TimeZone, Error> {
    let row = tx.lock_areas(&[area]).await?.pop();
    let zone = row.and_then(|row| TimeZone::get(&row.time_zone).ok());
    zone.ok_or_else(|| Error::Unreadable(format!("time zone of area {area}")))
}

async fn verify_area<T: Tx>(tx: &mut T, area: AreaId, verified: &mut Verified) -> Result<(), Error> {
    let zone = lock(tx, area).await?;
    let mut count = Count::default();
    let mut after = (0, RecordId(Uuid::nil()));
    loop {
        let page = tx.records_in(area, after, PAGE_RECORDS).await?;
        let Some(last) = page.last() else { break };
        after = (last.numbered.number, last.numbered.record.id);
        let ids: Vec<RecordId> = page.iter().map(|written| written.numbered.record.id).collect();
        let mut ops: HashMap<RecordId, Vec<PlacedOp>> = HashMap::new();
        for placed in tx.ops_of(&ids).await? {
            verified.ops += 1;
            ops.entry(placed.op.record).or_default().push(placed);
        }
        for written in page {
            verified.records += 1;
            let kept = written.numbered.record;
            let folded = fold(ops.get(&kept.id).into_iter().flatten()).0;
            if folded.as_ref() != Some(&kept) {
                verified.fault(Fault::Record(kept.id));
            }
            if folded.and_then(|record| count.take(&record, &zone, 1)) != written.day {
                verified.fault(Fault::Day(kept.id));
            }
        }
    }
    let (counted, attended) = count.whole();
    let kept = tx.tallies_in(area).await?;
    for (key, kept, counted) in differences(kept, counted, &mut verified.counters) {
        verified.fault(Fault::Counter { key, kept, counted });
    }
    let days = |rows: Vec<(Attended, Date, i64)>| -> BTreeMap<(Attended, Date), i64> {
        rows.into_iter().map(|(what, day, times)| ((what, day), times)).collect()
    };
    let kept = days(tx.attended_in(area).await?);
    for ((what, day), kept, counted) in differences(kept, days(attended), &mut verified.counters) {
        verified.fault(Fault::Attended { what, day, kept, counted });
    }
    Ok(())
}

/// The keys at which two maps differ, with both values; 0 where there is none. Adds how many keys there are.
fn differences<K: Ord + Clone>(
    kept: BTreeMap<K, i64>,
    mut counted: BTreeMap<K, i64>,
    keys: &mut u64,
) -> Vec<(K, i64, i64)> {
    let mut different = Vec::new();
    for (key, kept) in kept {
        *keys += 1;
        let counted = counted.remove(&key).unwrap_or_default();
        if kept != counted {
            different.push((key, kept, counted));
        }
    }
    for (key, counted) in counted {
        *keys += 1;
        different.push((key, 0, counted));
    }
    different
}

async fn recount_area<T: Tx>(mut tx: T, area: AreaId, rewrite: bool) -> Result<(), Error> {
    let zone = lock(&mut tx, area).await?;
    let mut count = Count::default();
    let mut after = (0, RecordId(Uuid::nil()));
    loop {
        let page = tx.records_in(area, after, PAGE_RECORDS).await?;
        let Some(last) = page.last() else { break };
        after = (last.numbered.number, last.numbered.record.id);
        let mut writes = Writes::default();
        for mut written in page {
            let record = &mut written.numbered.record;
            if rewrite
                && record.deleted.is_some()
                && let Some(folded) = fold(&tx.ops_of(&[record.id]).await?).0
            {
                *record = folded;
            }
            let day = count.take(&written.numbered.record, &zone, 1);
            if rewrite || day != written.day {
                written.day = day;
                writes.changed.push(written);
            }
        }
        tx.write(&writes).await?;
    }
    tx.forget_counters(area).await?;
    let (tallies, attended) = count.whole();
    tx.write(&Writes { tallies, attended, ..Writes::default() }).await?;
    tx.commit().await
}
