//! What one transaction does with the ops of many devices.
//!
//! The order of locks is devices, then areas, each by id, so commits of many servers cannot wait for each other in a
//! circle. Whoever holds an area's row is the only one who changes its records and its head.

mod desk;
mod known;

use crate::Error;
use crate::batch::{Arrival, Batch, Content, Receipt};
use crate::device::Contact;
use crate::overtaken::{acting_looks, without_overtaken};
use crate::timer::Timer;
use crate::tx::{AreaRow, DeviceRow, LedgerRow, NewArea, NewOp, PlacedOpRow, Tx, Waiting, WaitingOp, Writes};
use desk::Desk;
use known::Known;
use rounds_domain::bug::{Bug, is_injected};
use rounds_domain::clock::{Corrected, correct, stamp, stamp_limit};
use rounds_domain::limit::{AREA_DEPTH_MAX, GROUP_OPS_MAX, GROUP_PAGE_BYTES_MAX};
use rounds_domain::verdict::Reason;
use rounds_domain::{
    Action, AreaId, Body, DeviceId, Op, OpId, OrderKey, Outcome, PlacedOp, RecordId, Refusal, Verdict, weight,
};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};

/// A device that claims to have let go of more ops than anybody can record is not believed.
const HOLDS_FROM_MAX: u64 = 1 << 62;
/// A contact that was noted so much later than another that comes now was noted by a clock that was ahead and was set
/// back: the other counts. By less, it is servers whose clocks differ.
pub(crate) const CONTACT_BACK_MS: i64 = 60_000;

/// What a transaction did.
pub(crate) struct Committed {
    /// One per batch.
    pub(crate) receipts: Vec<Receipt>,
    /// Areas with new numbers.
    pub(crate) moved: Vec<AreaId>,
}

/// What came of a transaction.
pub(crate) enum Attempt<R> {
    /// Everything is written; commit it.
    Done(R),
    /// These areas are needed as well: undo, and try again with them.
    NeedsAreas(BTreeSet<AreaId>),
}

/// An op on its way in.
struct Incoming {
    id: OpId,
    stamp: u64,
    at_ms: i64,
    worker: Option<RecordId>,
    doubtful: bool,
    received_ms: i64,
    group_first: u64,
    hash: [u8; 32],
    content: Content,
    /// It was in quarantine until now, so its row exists.
    released: bool,
    /// Its author looks after what follows from it.
    settled: bool,
}

impl Incoming {
    fn key(&self) -> OrderKey {
        OrderKey { stamp: self.stamp, device: self.id.device, seq: self.id.seq }
    }

    fn op(&self) -> Option<&Op> {
        self.content.op()
    }

    fn admitted(&self) -> Option<&Op> {
        self.content.admitted()
    }

    fn refuse(&mut self, refusal: Refusal) {
        if let Content::Admitted(op) = &self.content {
            // An op that the server refuses here was well-formed: its content is its JSON.
            let raw = serde_json::to_vec(op).unwrap_or_default();
            self.content = Content::Refused { refusal, raw, op: Some(op.clone()) };
        }
    }
}

/// Takes in batches of many devices. `extra_areas` are those that an earlier attempt found to be needed.
pub(crate) async fn take_in<T: Tx>(
    tx: &mut T,
    batches: &[Batch],
    contacts: &[Contact],
    extra_areas: &BTreeSet<AreaId>,
) -> Result<Attempt<Committed>, Error> {
    let contacted = contacts.iter().map(|contact| contact.device);
    let ids: BTreeSet<DeviceId> = batches.iter().map(|batch| batch.device).chain(contacted).collect();
    let locked = tx.lock_devices(&ids.into_iter().collect::<Vec<_>>()).await?;
    let mut devices: HashMap<DeviceId, DeviceRow> =
        locked.into_iter().map(|device| (device.id, device)).collect();

    let mut areas = lock_areas(tx, &(extra_areas | &named_by(batches))).await?;
    let (batches, overtaken) = without_overtaken(tx, batches).await?;
    let ledger = ledger(tx, &batches, &devices).await?;
    let mut known = Known::read(tx, &batches, &devices).await?;
    let mut sorted = Vec::with_capacity(batches.len());
    let mut units = Vec::new();
    let mut pending = HashMap::new();
    for batch in &batches {
        let Some(device) = devices.get_mut(&batch.device) else {
            return Err(Error::Unreadable(format!("no device {}", batch.device)));
        };
        let (batch_sorted, new) = sort_out(batch, device, &ledger, &mut pending);
        sorted.push(batch_sorted);
        units
            .extend(new.into_iter().map(|unit| known.take_out(unit, device)).filter(|unit| !unit.is_empty()));
    }
    let mut writes = Writes { contacts: latest(contacts), timers: timers(&batches), ..Writes::default() };
    let setting = batches.iter().filter(|batch| batch.settled.is_some());
    writes.timers_at_ms = setting.map(|batch| batch.received_ms).min().unwrap_or_default();
    match apply_units(tx, units, &mut areas, &mut writes).await? {
        Attempt::NeedsAreas(missing) => return Ok(Attempt::NeedsAreas(extra_areas | &missing)),
        Attempt::Done(()) => {}
    }
    known.answer(&mut writes);
    let verdicts: HashMap<OpId, &Verdict> = writes.ops.iter().map(|op| (op.placed.id, &op.verdict)).collect();
    let mut receipts = Vec::with_capacity(batches.len());
    for ((batch, Sorted { mut receipt, awaited }), overtaken) in batches.iter().zip(sorted).zip(overtaken) {
        receipt.overtaken = overtaken;
        for at in awaited {
            let (seq, verdict) = &mut receipt.verdicts[at];
            if let Some(given) = verdicts.get(&OpId { device: batch.device, seq: *seq }) {
                verdict.clone_from(given);
            }
        }
        receipts.push(receipt);
    }
    writes.devices = devices.into_values().collect();
    tx.write(&writes).await?;
    Ok(Attempt::Done(Committed { receipts, moved: moved(&writes) }))
}

/// The timers that these batches set; the earliest of each record counts: to look too late costs more than to look once
/// more.
fn timers(batches: &[Cow<Batch>]) -> Vec<Timer> {
    let settled = batches.iter().filter_map(|batch| batch.settled.as_ref());
    let all =
        settled.flat_map(|it| it.timers.iter().chain(it.looks.iter().flat_map(|look| look.timers.iter())));
    let mut timers: BTreeMap<RecordId, Timer> = BTreeMap::new();
    for timer in all {
        let earliest_ms = timers.get(&timer.record).map_or(timer.at_ms, |other| other.at_ms.min(timer.at_ms));
        timers.insert(timer.record, Timer { at_ms: earliest_ms, ..*timer });
    }
    timers.into_values().collect()
}

/// The last contact of each device.
fn latest(contacts: &[Contact]) -> Vec<Contact> {
    let mut latest: BTreeMap<DeviceId, Contact> = BTreeMap::new();
    for contact in contacts {
        let kept = latest.entry(contact.device).or_insert(*contact);
        if contact.seen_ms > kept.seen_ms {
            *kept = *contact;
        }
    }
    latest.into_values().collect()
}

/// Takes an op out of quarantine as `op`, and then what went there because of it. The receipt has the op's verdict, or
/// none if it is not in quarantine.
pub(crate) async fn release<T: Tx>(
    tx: &mut T,
    id: OpId,
    op: &Op,
    extra_areas: &BTreeSet<AreaId>,
) -> Result<Attempt<Committed>, Error> {
    let mut receipt = Receipt::default();
    let mut all_moved = BTreeSet::new();
    let Some(mut first) = tx.claim(Waiting::Op(id)).await?.pop() else {
        return Ok(Attempt::Done(Committed { receipts: vec![receipt], moved: Vec::new() }));
    };
    first.placed.op = Some(op.clone());
    let mut seen = BTreeSet::from([id]);
    let mut waiting = VecDeque::from(with_group(tx, first, &mut seen).await?);
    let mut locked = extra_areas.clone();
    while let Some(unit) = waiting.pop_front() {
        let is_first = receipt.verdicts.is_empty();
        let named = named_areas(&unit);
        if is_first {
            locked.extend(named);
        } else if !named.is_subset(&locked) {
            return Ok(Attempt::NeedsAreas(&locked | &named)); // locked later it would be out of order
        }
        let mut writes = Writes::default();
        let mut areas = lock_areas(tx, &locked).await?;
        match apply_units(tx, vec![unit], &mut areas, &mut writes).await? {
            Attempt::NeedsAreas(missing) => return Ok(Attempt::NeedsAreas(&locked | &missing)),
            Attempt::Done(()) => {}
        }
        let ops = std::mem::take(&mut writes.ops);
        if is_first {
            let verdict = ops.iter().find(|new| new.placed.id == id).map(|new| new.verdict.clone());
            receipt.verdicts.extend(verdict.map(|verdict| (id.seq, verdict)));
        }
        if ops.iter().any(|new| new.verdict.outcome == Outcome::Quarantined) {
            if is_first {
                break; // as before, and so does what waits for it
            }
            continue;
        }
        writes.released = ops.into_iter().filter_map(|new| Some((new.placed.id, new.placed.op?))).collect();
        tx.write(&writes).await?;
        all_moved.extend(moved(&writes));
        let records: BTreeSet<RecordId> = writes.released.iter().map(|(_, op)| op.record).collect();
        for record in records {
            for follower in tx.claim(Waiting::DependingOn(record)).await? {
                if seen.insert(follower.placed.id) {
                    waiting.extend(with_group(tx, follower, &mut seen).await?);
                }
            }
        }
    }
    Ok(Attempt::Done(Committed { receipts: vec![receipt], moved: all_moved.into_iter().collect() }))
}

/// The units in which an op leaves quarantine: with the rest of its group, unless another op of the group was refused
/// for a reason of its own, for which the rest then waits.
async fn with_group<T: Tx>(
    tx: &mut T,
    op: WaitingOp,
    seen: &mut BTreeSet<OpId>,
) -> Result<Vec<Vec<Incoming>>, Error> {
    let group_first = OpId { device: op.placed.id.device, seq: op.group_first };
    let group = tx.claim(Waiting::Group(group_first)).await?;
    let mut others: Vec<WaitingOp> =
        group.into_iter().filter(|other| other.placed.id != op.placed.id).collect();
    if let Some(refused) = others.iter().find(|other| other.reason != Reason::GroupRefused) {
        let waits = op.reason == Reason::GroupRefused;
        let mut alone = leaving(op);
        if waits {
            let detail = format!("release op {} of its group first: this one follows", refused.placed.id.seq);
            alone.refuse(Refusal::new(Reason::GroupRefused, detail));
        }
        return Ok(vec![vec![alone]]);
    }
    others.push(op);
    others.sort_by_key(|other| other.placed.id);
    seen.extend(others.iter().map(|other| other.placed.id));
    let unit: Vec<Incoming> = others.into_iter().map(leaving).collect();
    // One that was refused for its size has no place under one number.
    Ok(if unit.len() > GROUP_OPS_MAX { unit.into_iter().map(|one| vec![one]).collect() } else { vec![unit] })
}

fn leaving(waiting: WaitingOp) -> Incoming {
    let WaitingOp { placed, group_first, .. } = waiting;
    let content = match placed.op {
        Some(op) => Content::Admitted(op),
        None => Content::Refused {
            refusal: Refusal::new(Reason::Malformed, "it cannot be read"),
            raw: Vec::new(),
            op: None,
        },
    };
    Incoming {
        id: placed.id,
        stamp: placed.stamp,
        at_ms: placed.at_ms,
        worker: placed.worker,
        doubtful: false,
        received_ms: placed.at_ms,
        group_first,
        hash: [0; 32],
        content,
        released: true,
        settled: false,
    }
}

fn moved(writes: &Writes) -> Vec<AreaId> {
    writes.heads.iter().map(|(area, _)| *area).collect()
}

/// Reads the verdicts that ops of these batches have already.
async fn ledger<T: Tx>(
    tx: &mut T,
    batches: &[Cow<'_, Batch>],
    devices: &HashMap<DeviceId, DeviceRow>,
) -> Result<HashMap<OpId, LedgerRow>, Error> {
    let known: Vec<OpId> = batches
        .iter()
        .flat_map(|batch| {
            let through = devices.get(&batch.device).map_or(0, |device| device.acknowledged_through);
            let seqs = batch.arrivals.iter().filter_map(|arrival| arrival.seq);
            seqs.filter(move |seq| *seq <= through).map(|seq| OpId { device: batch.device, seq })
        })
        .collect();
    if known.is_empty() {
        return Ok(HashMap::new());
    }
    Ok(tx.ledger(&known).await?.into_iter().map(|row| (row.id, row)).collect())
}

/// A batch whose new ops have their places, but no verdicts yet.
struct Sorted {
    receipt: Receipt,
    /// Which of the receipt's verdicts are those of ops that are new in this transaction.
    awaited: Vec<usize>,
}

/// Tells retries, copies and gaps from new ops, and gives the new ones their times and places in the order.
///
/// `pending` holds the hashes of ops that are new in this transaction: a device may have two calls under way that
/// carry the same ops.
fn sort_out(
    batch: &Batch,
    device: &mut DeviceRow,
    ledger: &HashMap<OpId, LedgerRow>,
    pending: &mut HashMap<OpId, [u8; 32]>,
) -> (Sorted, Vec<Vec<Incoming>>) {
    let mut receipt = Receipt::default();
    let mut awaited = Vec::new();
    let mut units: Vec<Vec<Incoming>> = Vec::new();
    if batch.holds_from > device.acknowledged_through + 1 && batch.holds_from <= HOLDS_FROM_MAX {
        // The device let go of ops that this database no longer has: it was restored from too old a backup.
        receipt.lost = batch.holds_from - 1 - device.acknowledged_through;
        device.lost_ops += receipt.lost;
        device.acknowledged_through = batch.holds_from - 1;
    }
    let mut rest = batch.arrivals.as_slice();
    while let Some(first) = rest.first() {
        let mut seq = first.seq.unwrap_or(device.acknowledged_through + 1);
        if is_injected(Bug::RetryTwice) {
            seq = seq.max(device.acknowledged_through + 1);
        }
        let id = OpId { device: batch.device, seq };
        if seq <= device.acknowledged_through {
            let known_hash = ledger.get(&id).map(|row| row.hash).or_else(|| pending.get(&id).copied());
            if known_hash != Some(first.hash) && !is_injected(Bug::ForkUnseen) {
                // Another content, or a number that was let go of: what comes now is another history.
                receipt.forked_at = Some(seq);
                device.forked_at = Some(device.forked_at.map_or(seq, |before| before.min(seq)));
                break;
            }
            if !ledger.contains_key(&id) {
                awaited.push(receipt.verdicts.len());
            }
            let mut verdict = ledger.get(&id).map_or_else(behind, |row| row.verdict.clone());
            if is_injected(Bug::VerdictOfRetry) {
                verdict = Verdict::plain(Outcome::Merged);
            }
            receipt.verdicts.push((seq, verdict));
            rest = &rest[1..];
            continue;
        }
        if seq != device.acknowledged_through + 1 {
            let next = device.acknowledged_through + 1;
            let refusal = Refusal::new(Reason::SequenceGap, format!("send op {next} first"));
            receipt.verdicts.push((seq, Verdict::because(Outcome::Retry, refusal)));
            rest = &rest[1..];
            break;
        }
        let size = (first.followed_by as usize).saturating_add(1);
        let is_next = |(at, arrival): &(usize, &Arrival)| arrival.seq.is_none_or(|it| it == seq + *at as u64);
        let count = rest.iter().take(size).enumerate().take_while(is_next).count();
        if size <= GROUP_OPS_MAX && count < size {
            let refusal = Refusal::new(
                Reason::GroupIncomplete,
                format!("send the group of {size} ops from {seq} on in one call"),
            );
            receipt.verdicts.push((seq, Verdict::because(Outcome::Retry, refusal)));
            rest = &rest[1..];
            break;
        }
        let (group, behind_it) = rest.split_at(count);
        rest = behind_it;
        let mut unit = place(batch, device, group);
        check_group(&mut unit, size);
        for incoming in &unit {
            pending.insert(incoming.id, incoming.hash);
            awaited.push(receipt.verdicts.len());
            receipt.verdicts.push((incoming.id.seq, behind()));
        }
        units.push(unit);
    }
    for (position, arrival) in rest.iter().enumerate() {
        let seq = arrival.seq.unwrap_or(device.acknowledged_through + 1 + position as u64);
        receipt.verdicts.push((seq, behind()));
    }
    receipt.acknowledged_through = device.acknowledged_through;
    (Sorted { receipt, awaited }, units)
}

fn behind() -> Verdict {
    Verdict::because(Outcome::Retry, Refusal::new(Reason::Behind, "an op before this one was not taken in"))
}

/// Gives the ops of a group their numbers, times and stamps.
fn place(batch: &Batch, device: &mut DeviceRow, group: &[Arrival]) -> Vec<Incoming> {
    let group_first = device.acknowledged_through + 1;
    group
        .iter()
        .map(|arrival| {
            let op = arrival.content.op();
            let observed = op.map_or(0, |op| op.observed).min(stamp_limit(batch.received_ms));
            let time = match op {
                Some(op) => correct(op.clock, batch.clock, batch.received_ms, device.last_at_ms),
                // Nothing tells when: at the time of the op before, so that those behind keep theirs.
                None => Corrected { at_ms: device.last_at_ms.min(batch.received_ms), doubtful: true },
            };
            device.last_at_ms = time.at_ms;
            device.last_stamp = match op {
                Some(op) if is_injected(Bug::OrderOfClocks) => stamp(op.clock.wall_ms, 0, 0),
                _ => stamp(time.at_ms, observed, device.last_stamp),
            };
            device.acknowledged_through += 1;
            Incoming {
                id: OpId { device: batch.device, seq: device.acknowledged_through },
                stamp: device.last_stamp,
                at_ms: time.at_ms,
                worker: device.worker,
                doubtful: time.doubtful,
                received_ms: batch.received_ms,
                group_first,
                hash: arrival.hash,
                content: arrival.content.clone(),
                released: false,
                settled: batch.settled.is_some(),
            }
        })
        .collect()
}

/// Refuses groups that are too large, or not about one area.
fn check_group(unit: &mut [Incoming], size: usize) {
    let areas: BTreeSet<AreaId> =
        unit.iter().filter_map(|incoming| incoming.op()).map(|op| op.area).collect();
    let refusal = if size > GROUP_OPS_MAX {
        Refusal::invalid("followed_by", &format!("a group has at most {GROUP_OPS_MAX} ops"))
    } else if areas.len() > 1 {
        Refusal::invalid("area", "all ops of a group name the same area")
    } else {
        return;
    };
    unit[0].refuse(refusal);
}

/// Locks areas, in the order of their ids.
async fn lock_areas<T: Tx>(
    tx: &mut T,
    wanted: &BTreeSet<AreaId>,
) -> Result<BTreeMap<AreaId, AreaRow>, Error> {
    if wanted.is_empty() {
        return Ok(BTreeMap::new());
    }
    let wanted: Vec<AreaId> = wanted.iter().copied().collect();
    Ok(tx.lock_areas(&wanted).await?.into_iter().map(|area| (area.id, area)).collect())
}

/// Takes units (single ops and groups) in, one after the other, and collects what has to be written. All areas that they
/// name are locked, where they exist.
async fn apply_units<T: Tx>(
    tx: &mut T,
    units: Vec<Vec<Incoming>>,
    areas: &mut BTreeMap<AreaId, AreaRow>,
    writes: &mut Writes,
) -> Result<Attempt<()>, Error> {
    let heads: BTreeMap<AreaId, u64> = areas.iter().map(|(id, area)| (*id, area.head)).collect();
    let mut desk = Desk::open(tx, &units).await?;

    for mut unit in units {
        refuse_unit(&mut unit, &desk, areas);
        if unit.iter().all(|incoming| incoming.admitted().is_some())
            && let Some(area) = add_areas(tx, &mut unit, areas).await?
        {
            return Ok(Attempt::NeedsAreas([area].into()));
        }
        let refused = unit.iter().any(|incoming| incoming.admitted().is_none())
            && !is_injected(Bug::GroupTornOnArrival);
        let mut numbers: BTreeMap<AreaId, u64> = BTreeMap::new();
        let mut weights: BTreeMap<RecordId, usize> = BTreeMap::new();
        let is_group = unit.len() > 1;
        for incoming in unit {
            let verdict = match (&incoming.content, refused) {
                (Content::Admitted(op), false) => {
                    let placed = PlacedOp {
                        key: incoming.key(),
                        at_ms: incoming.at_ms,
                        worker: incoming.worker,
                        op: op.clone(),
                    };
                    let (effect, touched) = desk.take(tx, placed, incoming.settled).await?;
                    if is_group {
                        weights.insert(op.record, desk.record(op.record).map_or(0, weight));
                    }
                    let is_too_large = weights.values().sum::<usize>() > GROUP_PAGE_BYTES_MAX;
                    if is_too_large || is_injected(Bug::GroupTornInFeed) {
                        numbers.clear();
                        weights.retain(|record, _| *record == op.record);
                    }
                    for area in touched.iter() {
                        let Some(row) = areas.get_mut(area) else {
                            return Ok(Attempt::NeedsAreas(touched.into_iter().collect()));
                        };
                        let number = *numbers.entry(*area).or_insert_with(|| {
                            row.head += 1;
                            row.head
                        });
                        desk.number(op.record, *area, number);
                    }
                    effect.verdict()
                }
                (Content::Refused { refusal, .. }, _) => {
                    Verdict::because(Outcome::Quarantined, refusal.clone())
                }
                (Content::Admitted(_), true) => Verdict::because(
                    Outcome::Quarantined,
                    Refusal::new(Reason::GroupRefused, "another op of its group was not taken in"),
                ),
            };
            if verdict.outcome == Outcome::Quarantined
                && let Some(op) = incoming.op()
                && matches!(op.action, Action::Create(_))
            {
                desk.quarantined.insert(op.record);
            }
            writes.ops.push(keep(incoming, verdict));
        }
    }
    desk.close(tx, areas, &heads, writes).await?;
    Ok(Attempt::Done(()))
}

/// The areas that the ops of a unit name.
fn named_areas(unit: &[Incoming]) -> BTreeSet<AreaId> {
    unit.iter().filter_map(Incoming::admitted).flat_map(areas_of).collect()
}

/// The areas that the ops of these batches name, and those that were looked at for them. Also those of refused ops: one
/// that others bring as well must not be taken in meanwhile.
fn named_by(batches: &[Batch]) -> BTreeSet<AreaId> {
    let arrivals = batches.iter().flat_map(|batch| &batch.arrivals);
    let named = arrivals.filter_map(|arrival| arrival.content.op()).flat_map(areas_of);
    named.chain(acting_looks(batches).map(|look| look.area)).collect()
}

fn areas_of(op: &Op) -> impl Iterator<Item = AreaId> + use<> {
    let to = match op.action {
        Action::Move { to } => Some(to),
        _ => None,
    };
    to.into_iter().chain([op.area])
}

/// Puts the areas that a unit creates into the tree, unless the unit has to be refused because of them. Answers an area
/// that somebody else created just now: it has to be locked first.
async fn add_areas<T: Tx>(
    tx: &mut T,
    unit: &mut [Incoming],
    areas: &mut BTreeMap<AreaId, AreaRow>,
) -> Result<Option<AreaId>, Error> {
    for incoming in unit {
        let Some(area) = incoming.admitted().and_then(created_area) else { continue };
        if areas.contains_key(&area.id) {
            continue;
        }
        let depth = match area.parent {
            Some(parent) => tx.area_depth(parent).await?,
            None => 0,
        };
        if area.parent.is_some() && depth == 0 {
            incoming.refuse(Refusal::invalid("Area.parent", "there is no such area: create it first"));
        } else if depth >= AREA_DEPTH_MAX {
            let what = format!("the tree is at most {AREA_DEPTH_MAX} levels deep");
            incoming.refuse(Refusal::invalid("Area.parent", &what));
        } else if tx.add_area(&area).await? {
            areas.insert(area.id, AreaRow { id: area.id, time_zone: area.time_zone, head: 0 });
        } else {
            return Ok(Some(area.id));
        }
    }
    Ok(None)
}

/// The area that this op creates, if it does.
fn created_area(op: &Op) -> Option<NewArea> {
    let Action::Create(body) = &op.action else { return None };
    let Body::Area(area) = body.as_ref() else { return None };
    Some(NewArea { id: op.area, parent: area.parent.map(AreaId::from), time_zone: area.time_zone.clone() })
}

/// Refuses the first op of a unit that cannot be taken in as things stand.
fn refuse_unit(unit: &mut [Incoming], desk: &Desk, areas: &BTreeMap<AreaId, AreaRow>) {
    let mut created: HashSet<RecordId> = HashSet::new();
    for incoming in unit {
        let Some(op) = incoming.admitted() else { return };
        let is_born = created_area(op).is_some() || created.contains(&op.area.into());
        let refusal = if !is_born && !areas.contains_key(&op.area) {
            Some(Refusal::new(Reason::NotInScope, "there is no such area among yours"))
        } else if matches!(op.action, Action::Move { to } if !areas.contains_key(&to)) {
            Some(Refusal::new(Reason::NotInScope, "move.to: there is no such area among yours"))
        } else if let Some(record) = desk.record(op.record) {
            let lives_there = record.area == op.area || record.former_areas.contains(&op.area);
            if !lives_there {
                Some(Refusal::new(Reason::NotInScope, "there is no such record in this area"))
            } else if desk.is_taken(op, incoming.key()) {
                Some(Refusal::new(
                    Reason::AlreadyExists,
                    "another op created this record, later than this one",
                ))
            } else {
                None
            }
        } else if matches!(op.action, Action::Create(_)) {
            created.insert(op.record);
            None
        } else if desk.quarantined.contains(&op.record) && !created.contains(&op.record) && !incoming.released
        {
            Some(Refusal::new(
                Reason::DependsOnQuarantined,
                "the op that creates this record is in quarantine",
            ))
        } else {
            None
        };
        if let Some(refusal) = refusal {
            incoming.refuse(refusal);
            return;
        }
    }
}

fn keep(incoming: Incoming, verdict: Verdict) -> NewOp {
    let mut incoming = incoming;
    if verdict.outcome == Outcome::Quarantined {
        incoming.refuse(Refusal::new(Reason::GroupRefused, ""));
    }
    let (op, raw) = match incoming.content {
        Content::Admitted(op) => (Some(op), None),
        Content::Refused { raw, op, .. } => (op, Some(raw)),
    };
    NewOp {
        placed: PlacedOpRow {
            id: incoming.id,
            stamp: incoming.stamp,
            at_ms: incoming.at_ms,
            worker: incoming.worker,
            op,
        },
        received_ms: incoming.received_ms,
        doubtful: incoming.doubtful,
        group_first: incoming.group_first,
        hash: incoming.hash,
        verdict,
        known: false,
        raw,
    }
}
