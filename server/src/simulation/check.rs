//! What must hold when all is quiet.

use super::ledger::{Key, key as key_of};
use super::phone::Phone;
use super::site::Site;
use super::tap::may_see;
use super::world::World;
use super::{Kept, Promise, promised};
use rounds_domain::clock::stamp_limit;
use rounds_domain::{AreaId, DeviceId, Kind, OpId, Outcome, Record, RecordId, Role};
use rounds_proto::decode_op;
use rounds_store::{Access, StoredOp};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Everything on the server, area by area, as devices get it.
pub(super) type Everything = BTreeMap<AreaId, Arc<Vec<Record>>>;

/// Reads everything in these areas.
pub(super) async fn everything(site: &mut Site, areas: impl Iterator<Item = AreaId>) -> Kept<Everything> {
    let mut all = Everything::new();
    for area in areas {
        all.insert(area, site.records(area).await?);
    }
    Ok(all)
}

/// Whether a device shows just what the server has for it.
pub(super) fn agrees(
    phone: &Phone,
    scope: &BTreeMap<AreaId, Access>,
    all: &Everything,
    promise: Promise,
) -> Kept {
    let mut wanted: BTreeMap<RecordId, &Record> = BTreeMap::new();
    for area in scope.keys() {
        let of_area = all.get(area).map_or(&[][..], |records| records.as_slice());
        let seen =
            of_area.iter().filter(|record| record.deleted.is_none() && may_see(scope, *area, record.kind));
        wanted.extend(seen.map(|record| (record.id, record)));
    }
    for kind in Kind::ALL {
        for view in phone.device.list(*kind)? {
            let record = view.record;
            match wanted.remove(&record.id) {
                Some(on_server) => promised(*on_server == record, promise, || {
                    format!("a device shows {record:?}, and the server has {on_server:?}")
                })?,
                None => {
                    promised(false, promise, || format!("a device shows what it should not: {record:?}"))?
                }
            }
        }
    }
    promised(wanted.is_empty(), promise, || {
        format!("a device lacks {} records, the first is {:?}", wanted.len(), wanted.values().next())
    })
}

impl World<'_> {
    /// All promises, once everything is drained.
    pub(super) async fn check(&mut self) -> Kept {
        let store = self.site.store()?;
        self.town.read_tree(&store).await?;
        let all = everything(&mut self.site, self.town.parents.keys().copied()).await?;
        self.report.records = all.values().map(|records| records.len() as u64).sum();
        let mut homes: BTreeMap<RecordId, AreaId> = BTreeMap::new();
        for record in all.values().flat_map(|records| records.iter()) {
            let before = homes.insert(record.id, record.area);
            promised(before.is_none(), Promise::Scope, || format!("record {} is in two areas", record.id))?;
            if record.kind != Kind::Plan {
                self.ledger.sent(record.id, record.deleted.is_some())?;
            }
        }
        for phone in self.phones.iter().filter(|phone| !phone.is_gone) {
            let scope = self.town.scope(phone.roots.iter().copied(), phone.role == Role::Admin);
            agrees(phone, &scope, &all, Promise::Convergence)?;
            let unsent = phone.device.status()?.unsent_ops;
            promised(unsent == 0, Promise::Liveness, || format!("a device still has {unsent} unsent ops"))?;
        }
        self.check_ops().await?;
        let verified = store.verify(|_| {}).await?;
        promised(verified.faults_total == 0, Promise::Recomputation, || {
            format!("{} differences, the first is {:?}", verified.faults_total, verified.faults.first())
        })
    }

    /// Every op is there once, as it was recorded, with the verdict that was told; and in an order in which nothing is
    /// before its cause.
    async fn check_ops(&self) -> Kept {
        for (key, recorded) in &self.ledger.recorded {
            let is_there = recorded.holders.is_empty() || self.ledger.is_committed(key);
            promised(is_there, Promise::Survival, || {
                let holders = &recorded.holders;
                format!("an op of devices {holders:?} never came in: {:?}", decode_op(&recorded.bytes))
            })?;
        }
        let store = self.site.store()?;
        let mut stored: BTreeMap<OpId, StoredOp> = BTreeMap::new();
        let decoded: BTreeMap<Key, _> = self
            .ledger
            .recorded
            .iter()
            .filter_map(|(key, recorded)| Some((*key, decode_op(&recorded.bytes).ok()?)))
            .collect();
        let records: BTreeSet<RecordId> = decoded.values().map(|op| op.record).collect();
        for record in records {
            for op in store.ops_of(record).await? {
                stored.insert(op.placed.id(), op);
            }
        }
        for (id, (key, verdict)) in &self.ledger.known.committed {
            let first = self.ledger.known.names[key];
            if first != *id {
                promised(!stored.contains_key(id), Promise::Once, || {
                    format!("op {id} was taken in before, as {first}")
                })?;
                continue;
            }
            let Some(op) = stored.get(id) else {
                let kept = store.quarantined(*id).await?;
                let is_kept = kept.is_some() || self.ledger.known.released.contains(id);
                promised(is_kept, Promise::Survival, || {
                    format!("op {id} was acknowledged, and is not there")
                })?;
                promised(verdict.outcome == Outcome::Quarantined, Promise::Once, || {
                    format!("op {id} is in quarantine, and its verdict was {verdict:?}")
                })?;
                if let Some(kept) = kept
                    && !decoded.contains_key(key)
                {
                    promised(key_of(&kept.raw) == *key, Promise::Survival, || {
                        format!("op {id} is kept with other bytes")
                    })?;
                }
                continue;
            };
            promised(op.verdict == *verdict, Promise::Once, || {
                format!("op {id} has the verdict {:?}, and {verdict:?} was told", op.verdict)
            })?;
            let as_recorded = decoded.get(key) == Some(&op.placed.op);
            promised(as_recorded, Promise::Survival, || format!("op {id} is kept with other content"))?;
        }
        self.check_groups()?;
        self.check_order(&stored)
    }

    /// Either all ops of a group were taken in, or none.
    fn check_groups(&self) -> Kept {
        let names = &self.ledger.known.names;
        for group in &self.ledger.groups {
            let ids: Vec<&OpId> = group.ops.iter().filter_map(|key| names.get(key)).collect();
            let kept_aside = |id: &&&OpId| {
                self.ledger.known.committed[**id].1.outcome == Outcome::Quarantined
                    && !self.ledger.known.released.contains(**id)
            };
            let aside = ids.iter().filter(kept_aside).count();
            let was_released = ids.iter().any(|id| self.ledger.known.released.contains(*id));
            promised(was_released || aside == 0 || aside == ids.len(), Promise::Groups, || {
                format!("{aside} of {} ops of a group are in quarantine: {ids:?}", ids.len())
            })?;
            promised(ids.is_empty() || ids.len() == group.ops.len(), Promise::Groups, || {
                format!("{} of {} ops of a group came in: {ids:?}", ids.len(), group.ops.len())
            })?;
        }
        Ok(())
    }

    fn check_order(&self, stored: &BTreeMap<OpId, StoredOp>) -> Kept {
        let mut last: BTreeMap<DeviceId, u64> = BTreeMap::new();
        for (id, op) in stored {
            let stamp = op.placed.key.stamp;
            let committed = self.ledger.known.committed.get(id);
            let recorded = committed.and_then(|(key, _)| self.ledger.recorded.get(key));
            let seen_stamp = recorded.map_or(0, |recorded| recorded.seen_stamp);
            let observed = op.placed.op.observed.max(seen_stamp).min(stamp_limit(op.received_ms));
            promised(stamp > observed, Promise::Order, || {
                format!("op {id} comes before something that its author had seen")
            })?;
            let before = last.insert(id.device, stamp);
            promised(before.is_none_or(|before| before < stamp), Promise::Order, || {
                format!("op {id} comes before the op that its author recorded before it")
            })?;
        }
        Ok(())
    }
}
