//! The records that a transaction works on: read when it begins, changed op by op, written at its end.

use super::Incoming;
use crate::Error;
use crate::batch::Job;
use crate::count::Count;
use crate::feed::Numbered;
use crate::tx::{AreaRow, Tx, Writes, Written};
use jiff::tz::TimeZone;
use rounds_domain::bug::{Bug, is_injected};
use rounds_domain::recurrence::local_day;
use rounds_domain::{
    Action, AreaId, Effect, History, Op, OrderKey, Outcome, PlacedOp, Record, RecordId, apply, follow_up,
};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

/// A record while ops are taken in.
struct Working {
    before: Option<Numbered>,
    now: Option<Record>,
    /// All of its ops, once they were needed.
    history: Option<History>,
    /// Ops were taken into the history, and what the record is now was not worked out yet.
    is_stale: bool,
    /// The ops of this transaction, which the database has not got yet.
    taken: Vec<PlacedOp>,
    number: Option<u64>,
    /// Something may follow from it that nobody looks after yet.
    unsettled: bool,
}

/// The records that a transaction works on.
pub(super) struct Desk {
    records: HashMap<RecordId, Working>,
    /// Records whose creation waits in quarantine.
    pub(super) quarantined: HashSet<RecordId>,
    departures: BTreeMap<(AreaId, RecordId), u64>,
}

impl Desk {
    /// Reads what the units are about.
    pub(super) async fn open<T: Tx>(tx: &mut T, units: &[Vec<Incoming>]) -> Result<Self, Error> {
        let mut first_key: BTreeMap<RecordId, OrderKey> = BTreeMap::new();
        let mut not_created: BTreeSet<RecordId> = BTreeSet::new();
        let mut moved: BTreeSet<RecordId> = BTreeSet::new();
        for incoming in units.iter().flatten() {
            let Some(op) = incoming.admitted() else { continue };
            let key = first_key.entry(op.record).or_insert(incoming.key());
            *key = incoming.key().min(*key);
            if !matches!(op.action, Action::Create(_)) {
                not_created.insert(op.record);
            }
            if matches!(op.action, Action::Move { .. }) {
                moved.insert(op.record);
            }
        }
        let ids: Vec<RecordId> = first_key.keys().copied().collect();
        let found = if ids.is_empty() { Vec::new() } else { tx.records(&ids).await? };
        let mut desk =
            Self { records: HashMap::new(), quarantined: HashSet::new(), departures: BTreeMap::new() };
        for numbered in found {
            let working = Working {
                now: Some(numbered.record.clone()),
                number: None,
                history: None,
                is_stale: false,
                taken: Vec::new(),
                unsettled: false,
                before: Some(numbered),
            };
            desk.records.insert(working.id(), working);
        }
        let absent: Vec<RecordId> = ids.iter().copied().filter(|id| !desk.records.contains_key(id)).collect();
        for id in &absent {
            let working = Working {
                before: None,
                now: None,
                history: None,
                is_stale: false,
                taken: Vec::new(),
                number: None,
                unsettled: false,
            };
            desk.records.insert(*id, working);
        }
        let mut late: Vec<RecordId> = ids
            .iter()
            .copied()
            .filter(|id| desk.record(*id).is_some_and(|it| first_key[id] < it.through))
            .filter(|_| !is_injected(Bug::LateOpLast))
            .collect();
        if !absent.is_empty() {
            late.extend(tx.orphaned(&absent).await?);
            let asked: Vec<RecordId> = absent.into_iter().filter(|id| not_created.contains(id)).collect();
            if !asked.is_empty() {
                desk.quarantined.extend(tx.quarantined(&asked).await?);
            }
        }
        let moved: Vec<RecordId> = moved.into_iter().collect();
        if !moved.is_empty() {
            late.extend(tx.orphaned(&moved).await?); // what waited for them in the area that they come to
        }
        desk.load_histories(tx, &late).await?;
        Ok(desk)
    }

    async fn load_histories<T: Tx>(&mut self, tx: &mut T, ids: &[RecordId]) -> Result<(), Error> {
        if ids.is_empty() {
            return Ok(());
        }
        for id in ids {
            if let Some(working) = self.records.get_mut(id) {
                working.begin_history();
            }
        }
        for placed in tx.ops_of(ids).await? {
            if let Some(history) =
                self.records.get_mut(&placed.op.record).and_then(|working| working.history.as_mut())
            {
                history.add(placed);
            }
        }
        Ok(())
    }

    /// The record as it is. Where ops came late, it is in its area, and what it says is as it was.
    pub(super) fn record(&self, id: RecordId) -> Option<&Record> {
        self.records.get(&id)?.now.as_ref()
    }

    /// Whether a create comes before the one that the record has, and says something else, or that it is elsewhere. Folded
    /// in, it would put another thing in the record's place, and what was deleted could be there again.
    pub(super) fn is_taken(&self, op: &Op, key: OrderKey) -> bool {
        let Some(working) = self.records.get(&op.record) else { return false };
        let Some(record) = &working.now else { return false };
        if !matches!(op.action, Action::Create(_)) {
            return false;
        }
        let mut known = working.history.iter().flat_map(History::ops).chain(&working.taken);
        let created = known.find(|placed| placed.id() == record.created.op);
        let is_same = |created: &PlacedOp| created.op.action == op.action && created.op.area == op.area;
        created.is_some_and(|created| key < created.key && !is_same(created))
    }

    /// Takes an op in. Answers its effect, and the areas that moved because of it.
    pub(super) async fn take<T: Tx>(
        &mut self,
        tx: &mut T,
        placed: PlacedOp,
        settled: bool,
    ) -> Result<(Effect, Vec<AreaId>), Error> {
        let id = placed.op.record;
        let is_late = self.record(id).is_some_and(|record| placed.key < record.through)
            && !is_injected(Bug::LateOpLast);
        if is_late && self.records.get(&id).is_some_and(|working| working.history.is_none()) {
            self.load_histories(tx, &[id]).await?; // late only against another op of this transaction
        }
        let Some(working) = self.records.get_mut(&id) else {
            return Err(Error::Unreadable(format!("record {id} was not read")));
        };
        if working.now.is_none() && working.history.is_none() && !working.taken.is_empty() {
            working.begin_history(); // ops that came before their record
        }
        working.unsettled |= !settled;
        let area_before = working.now.as_ref().map(|record| record.area);
        if working.history.as_ref().is_some_and(|history| history.ends_before(placed.key)) {
            working.catch_up();
        }
        let effect = match &mut working.history {
            // What waits behind it, say for a move, may take effect now.
            Some(history) if working.now.is_some() && history.ends_before(placed.key) => {
                history.add(placed.clone());
                apply(&mut working.now, &placed)
            }
            Some(history) => {
                let is_create = matches!(placed.op.action, Action::Create(_));
                let effect = history.take(placed);
                // Many may come late, so what they come to together is worked out once, unless others have to know.
                working.is_stale = history.stays() && !is_create;
                if !working.is_stale {
                    working.now = history.record();
                }
                effect
            }
            None => {
                let effect = apply(&mut working.now, &placed);
                working.taken.push(placed);
                effect
            }
        };
        let area_now = working.now.as_ref().map(|record| record.area);
        let mut touched: Vec<AreaId> = area_before.into_iter().chain(area_now).collect();
        touched.dedup();
        Ok((effect, touched))
    }

    /// Notes that a record moved on to a number in an area where it is, or that it left the area at this number.
    pub(super) fn number(&mut self, id: RecordId, area: AreaId, number: u64) {
        let Some(working) = self.records.get_mut(&id) else { return };
        if working.now.as_ref().is_some_and(|record| record.area == area) {
            working.number = Some(number);
            self.departures.remove(&(area, id));
        } else if !is_injected(Bug::DepartureUnsaid) {
            self.departures.insert((area, id), number);
        }
    }

    /// Collects what changed.
    pub(super) async fn close<T: Tx>(
        self,
        tx: &mut T,
        areas: &BTreeMap<AreaId, AreaRow>,
        heads: &BTreeMap<AreaId, u64>,
        writes: &mut Writes,
    ) -> Result<(), Error> {
        let zones = zones(areas)?;
        let zone = |area: AreaId| {
            zones.get(&area).ok_or_else(|| Error::Unreadable(format!("area {area} was not locked")))
        };
        let mut count = Count::default();
        let mut sources: BTreeSet<AreaId> = BTreeSet::new();
        for mut working in self.records.into_values() {
            working.catch_up();
            let (Some(number), Some(record)) = (working.number, working.now) else { continue };
            if let Some(before) = &working.before
                && !is_injected(Bug::TallyKept)
            {
                count.take(&before.record, zone(before.record.area)?, -1);
            }
            if let Some(before) = &working.before
                && before.record.area != record.area
            {
                writes.arrivals.push((record.area, record.id));
            }
            let day = count.take(&record, zone(record.area)?, 1);
            if working.unsettled && follow_up::is_cause(&record) {
                sources.insert(record.area);
            }
            let records = if working.before.is_some() { &mut writes.changed } else { &mut writes.created };
            records.push(Written { numbered: Numbered { number, record }, day });
        }
        for records in [&mut writes.created, &mut writes.changed] {
            records.sort_by_key(|Written { numbered: Numbered { number, record }, .. }| {
                (record.area, *number, record.id)
            });
        }
        count.close(tx, writes).await?;
        writes.departures =
            self.departures.into_iter().map(|((area, record), number)| (area, record, number)).collect();
        for op in writes.ops.iter().filter(|op| op.verdict.outcome != Outcome::Quarantined) {
            let Some(zone) = op.placed.op.as_ref().and_then(|placed| zones.get(&placed.area)) else {
                continue;
            };
            let day = local_day(op.placed.at_ms, zone);
            if let Some(placed) = &op.placed.op
                && day < local_day(op.received_ms, zone)
            {
                *writes.late.entry((placed.area, day, op.received_ms)).or_default() += 1;
            }
        }
        let received_ms = writes.ops.iter().map(|op| op.received_ms).max().unwrap_or_default();
        for (id, area) in areas {
            let after = heads.get(id).copied().unwrap_or_default();
            if area.head > after {
                writes.heads.push((*id, area.head));
                if sources.contains(id) {
                    let name = RecordId::from(*id).derived(&format!("reconcile/{}", area.head));
                    let job = Job { id: name, area: *id, after, through: area.head };
                    writes.jobs.push((job, received_ms));
                }
            }
        }
        Ok(())
    }
}

impl Working {
    fn begin_history(&mut self) {
        self.history.get_or_insert_default().extend(self.taken.drain(..));
    }

    /// Works out what the record is now.
    fn catch_up(&mut self) {
        if std::mem::take(&mut self.is_stale)
            && let Some(history) = &self.history
        {
            self.now = history.record();
        }
    }

    fn id(&self) -> RecordId {
        self.now.as_ref().map_or(RecordId(uuid::Uuid::nil()), |record| record.id)
    }
}

fn zones(areas: &BTreeMap<AreaId, AreaRow>) -> Result<HashMap<AreaId, TimeZone>, Error> {
    let zone = |area: &AreaRow| {
        let found = TimeZone::get(&area.time_zone);
        found.map_err(|_| Error::Unreadable(format!("time zone {} of area {}", area.time_zone, area.id)))
    };
    areas.iter().map(|(id, area)| Ok((*id, zone(area)?))).collect()
}
