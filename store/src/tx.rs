//! What a commit needs from a database: a small set of verbs over sets of rows.
//!
//! Both databases implement them with the same names and the same promises. A verb works on a whole set at a time,
//! because a statement per row costs more than the row.

use crate::Error;
use crate::batch::Job;
use crate::device::Contact;
use crate::feed::Numbered;
use crate::timer::Timer;
use jiff::civil::Date;
use rounds_domain::attendance::Attended;
use rounds_domain::tally::Tallies;
use rounds_domain::verdict::Reason;
use rounds_domain::{AreaId, DeviceId, OpId, PlacedOp, RecordId, Verdict};
use std::collections::BTreeMap;

/// What a device has done so far.
#[derive(Clone, Debug)]
pub(crate) struct DeviceRow {
    pub(crate) id: DeviceId,
    pub(crate) worker: Option<RecordId>,
    /// Which device its phone was first, if one goes by several names: copies that got names of their own, phones that
    /// were enrolled again.
    pub(crate) phone: Option<DeviceId>,
    pub(crate) acknowledged_through: u64,
    pub(crate) forked_at: Option<u64>,
    pub(crate) lost_ops: u64,
    pub(crate) last_stamp: u64,
    pub(crate) last_at_ms: i64,
}

/// The verdict that an op got, and the hash of what it said.
#[derive(Clone, Debug)]
pub(crate) struct LedgerRow {
    pub(crate) id: OpId,
    pub(crate) hash: [u8; 32],
    pub(crate) verdict: Verdict,
}

/// An area, locked until the end of the transaction.
#[derive(Clone, Debug)]
pub(crate) struct AreaRow {
    pub(crate) id: AreaId,
    pub(crate) time_zone: String,
    pub(crate) head: u64,
}

/// An area that is new in this transaction.
#[derive(Clone, Debug)]
pub(crate) struct NewArea {
    pub(crate) id: AreaId,
    pub(crate) parent: Option<AreaId>,
    pub(crate) time_zone: String,
}

/// An op to be kept.
#[derive(Clone, Debug)]
pub(crate) struct NewOp {
    pub(crate) placed: PlacedOpRow,
    pub(crate) received_ms: i64,
    pub(crate) doubtful: bool,
    pub(crate) group_first: u64,
    pub(crate) hash: [u8; 32],
    pub(crate) verdict: Verdict,
    /// It is in under another name already: this one only answers with the verdict that it has.
    pub(crate) known: bool,
    /// The bytes as sent, for ops in quarantine only.
    pub(crate) raw: Option<Vec<u8>>,
}

/// The place of an op and, if it could be read, its content.
#[derive(Clone, Debug)]
pub(crate) struct PlacedOpRow {
    pub(crate) id: OpId,
    pub(crate) stamp: u64,
    pub(crate) at_ms: i64,
    pub(crate) worker: Option<RecordId>,
    pub(crate) op: Option<rounds_domain::Op>,
}

/// An op that waits in quarantine.
#[derive(Clone, Debug)]
pub(crate) struct WaitingOp {
    pub(crate) placed: PlacedOpRow,
    pub(crate) group_first: u64,
    pub(crate) reason: Reason,
}

/// Which ops in quarantine.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Waiting {
    /// This one.
    Op(OpId),
    /// All of the group whose first op this is.
    Group(OpId),
    /// Those that went there because the creation of this record did.
    DependingOn(RecordId),
}

/// A record to be written.
#[derive(Debug)]
pub(crate) struct Written {
    pub(crate) numbered: Numbered,
    /// The local day on which it is counted, if it is.
    pub(crate) day: Option<Date>,
}

/// Everything that a commit writes.
#[derive(Debug, Default)]
pub(crate) struct Writes {
    pub(crate) ops: Vec<NewOp>,
    /// Ops that leave quarantine, with what they say now.
    pub(crate) released: Vec<(OpId, rounds_domain::Op)>,
    /// Records that are new. It is contention if somebody else creates one of them at the same time, in another area.
    pub(crate) created: Vec<Written>,
    /// Records that were there before.
    pub(crate) changed: Vec<Written>,
    /// Records that left an area, and the number there.
    pub(crate) departures: Vec<(AreaId, RecordId, u64)>,
    /// Records that are in an area (again), so that no departure from it may be left.
    pub(crate) arrivals: Vec<(AreaId, RecordId)>,
    pub(crate) tallies: Tallies,
    /// By how much the times change that something was attended to on a day.
    pub(crate) attended: Vec<(Attended, Date, i64)>,
    /// How many ops came later than on the day on which they happened, by area, that day and when they came.
    pub(crate) late: BTreeMap<(AreaId, Date, i64), i64>,
    pub(crate) heads: Vec<(AreaId, u64)>,
    pub(crate) devices: Vec<DeviceRow>,
    pub(crate) contacts: Vec<Contact>,
    pub(crate) jobs: Vec<(Job, i64)>,
    /// In the order of the records, each once.
    pub(crate) timers: Vec<Timer>,
    /// What they were worked out for: timers that were due by then have had their turn.
    pub(crate) timers_at_ms: i64,
}

/// A transaction that may write. Dropping it undoes everything.
pub(crate) trait Tx: Send {
    /// Locks these devices against other commits, in the order of their ids, and reads them. Unknown ones are left out.
    fn lock_devices(
        &mut self,
        ids: &[DeviceId],
    ) -> impl Future<Output = Result<Vec<DeviceRow>, Error>> + Send;
    /// The verdicts of these ops, where they have one.
    fn ledger(&mut self, ids: &[OpId]) -> impl Future<Output = Result<Vec<LedgerRow>, Error>> + Send;
    /// The verdicts of ops about these records that say this, each with the phone that brought it: which device it was
    /// first.
    fn said(
        &mut self,
        what: &[(RecordId, [u8; 32])],
    ) -> impl Future<Output = Result<Vec<(DeviceId, LedgerRow)>, Error>> + Send;
    /// How many areas are above this one, itself included; 0 if there is no such area.
    fn area_depth(&mut self, id: AreaId) -> impl Future<Output = Result<usize, Error>> + Send;
    /// Adds an area to the tree and locks it. False: it is there already. Its parent is there.
    fn add_area(&mut self, area: &NewArea) -> impl Future<Output = Result<bool, Error>> + Send;
    /// Locks these areas against other commits, in the order of their ids, and reads them. Unknown ones are left out.
    fn lock_areas(&mut self, ids: &[AreaId]) -> impl Future<Output = Result<Vec<AreaRow>, Error>> + Send;
    /// These records, where they exist.
    fn records(&mut self, ids: &[RecordId]) -> impl Future<Output = Result<Vec<Numbered>, Error>> + Send;
    /// All ops of these records that were taken in.
    fn ops_of(&mut self, records: &[RecordId]) -> impl Future<Output = Result<Vec<PlacedOp>, Error>> + Send;
    /// Those of these records whose creation waits in quarantine.
    fn quarantined(
        &mut self,
        records: &[RecordId],
    ) -> impl Future<Output = Result<Vec<RecordId>, Error>> + Send;
    /// Those of these records which had ops before they were created.
    fn orphaned(&mut self, records: &[RecordId])
    -> impl Future<Output = Result<Vec<RecordId>, Error>> + Send;
    /// How often these were attended to, by day, as far as it was committed.
    fn attended(
        &mut self,
        what: &[Attended],
    ) -> impl Future<Output = Result<Vec<(Attended, Date, i64)>, Error>> + Send;
    /// Locks ops in quarantine against other releases and dismissals, and reads them. Those that are not there (any
    /// more) are left out.
    fn claim(&mut self, which: Waiting) -> impl Future<Output = Result<Vec<WaitingOp>, Error>> + Send;
    /// Records of an area behind this place, by their numbers, deleted ones too; and the day on which each is counted.
    fn records_in(
        &mut self,
        area: AreaId,
        after: (u64, RecordId),
        limit: u32,
    ) -> impl Future<Output = Result<Vec<Written>, Error>> + Send;
    /// The records of an area that changed behind a number, at most so many: the number of each, and its subject.
    fn changed_since(
        &mut self,
        area: AreaId,
        number: u64,
        limit: u32,
    ) -> impl Future<Output = Result<Vec<(u64, RecordId, Option<RecordId>)>, Error>> + Send;
    /// The counters of an area.
    fn tallies_in(&mut self, area: AreaId) -> impl Future<Output = Result<Tallies, Error>> + Send;
    /// How often things were attended to in an area.
    fn attended_in(
        &mut self,
        area: AreaId,
    ) -> impl Future<Output = Result<Vec<(Attended, Date, i64)>, Error>> + Send;
    /// Forgets the counters of an area, so that all of them can be written anew.
    fn forget_counters(&mut self, area: AreaId) -> impl Future<Output = Result<(), Error>> + Send;
    /// Writes everything.
    fn write(&mut self, writes: &Writes) -> impl Future<Output = Result<(), Error>> + Send;
    /// Makes it last. After an error the commit may or may not have happened; a retry finds out.
    fn commit(self) -> impl Future<Output = Result<(), Error>> + Send;
}

/// Verbs whose statements both databases understand.
macro_rules! shared_verbs {
    () => {
        async fn records_in(
            &mut self,
            area: AreaId,
            (number, id): (u64, RecordId),
            limit: u32,
        ) -> Result<Vec<crate::tx::Written>, Error> {
            let rows: Vec<(i64, String, Option<String>)> = query_as(
                "SELECT number, body, day FROM records WHERE area = $1 AND (number, id) > ($2, $3)
                 ORDER BY number, id LIMIT $4",
            )
            .bind(area.0)
            .bind(number as i64)
            .bind(id.0)
            .bind(i64::from(limit))
            .fetch_all(&mut *self.0)
            .await?;
            let written = |(number, body, day): (i64, String, Option<String>)| {
                let day = day.as_deref().map(crate::row::date).transpose()?;
                Ok(crate::tx::Written { numbered: numbered((number, body))?, day })
            };
            rows.into_iter().map(written).collect()
        }

        async fn changed_since(
            &mut self,
            area: AreaId,
            number: u64,
            limit: u32,
        ) -> Result<Vec<(u64, RecordId, Option<RecordId>)>, Error> {
            let rows: Vec<(i64, Uuid, Option<Uuid>)> = query_as(
                "SELECT number, id, subject FROM records WHERE area = $1 AND number > $2 ORDER BY number LIMIT $3",
            )
            .bind(area.0)
            .bind(number as i64)
            .bind(i64::from(limit))
            .fetch_all(&mut *self.0)
            .await?;
            let changed = |(number, id, subject): (i64, Uuid, Option<Uuid>)| {
                (number as u64, RecordId(id), subject.map(RecordId))
            };
            Ok(rows.into_iter().map(changed).collect())
        }

        async fn tallies_in(&mut self, area: AreaId) -> Result<rounds_domain::tally::Tallies, Error> {
            let rows = query_as(
                "SELECT area, unit, day, measure, count FROM tallies WHERE area = $1 AND count <> 0",
            )
            .bind(area.0)
            .fetch_all(&mut *self.0)
            .await?;
            rows.into_iter().map(crate::row::counter).collect()
        }

        async fn attended_in(&mut self, area: AreaId) -> Result<Vec<(Attended, Date, i64)>, Error> {
            let rows = query_as(
                "SELECT area, work, subject, day, count FROM attended WHERE area = $1 AND count <> 0",
            )
            .bind(area.0)
            .fetch_all(&mut *self.0)
            .await?;
            rows.into_iter().map(attended_row).collect()
        }

        async fn forget_counters(&mut self, area: AreaId) -> Result<(), Error> {
            query("DELETE FROM tallies WHERE area = $1").bind(area.0).execute(&mut *self.0).await?;
            query("DELETE FROM attended WHERE area = $1").bind(area.0).execute(&mut *self.0).await?;
            Ok(())
        }
    };
}

pub(crate) use shared_verbs;
