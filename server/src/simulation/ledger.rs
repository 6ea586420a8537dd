//! What was recorded and what the server said of it, written down beside the system, to be held against it.

use super::{Kept, Promise, promised};
use rounds_domain::verdict::Reason;
use rounds_domain::{Action, DeviceId, OpId, Outcome, RecordId, Verdict};
use rounds_proto::{decode_op, v1};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};

/// Names the content of an op: the bytes as they are sent.
pub(super) type Key = [u8; 16];

pub(super) fn key(bytes: &[u8]) -> Key {
    let mut key = [0; 16];
    key.copy_from_slice(&Sha256::digest(bytes)[..16]);
    key
}

/// An op that somebody recorded.
pub(super) struct Recorded {
    pub(super) bytes: Vec<u8>,
    /// The devices that have it, and have to bring it to the server, or bring it again.
    pub(super) holders: BTreeSet<usize>,
    /// Its area was the author's, as far as the author was told.
    is_fair: bool,
    /// The largest stamp of what its author had seen.
    pub(super) seen_stamp: u64,
}

/// Ops that belong together.
pub(super) struct Group {
    pub(super) ops: Vec<Key>,
    /// Records that they create.
    pub(super) records: Vec<RecordId>,
    /// Another op was recorded on one of them: from then on they need not be in one page.
    pub(super) is_touched: bool,
}

/// What the server has, as far as it said so, in this epoch.
#[derive(Clone, Default)]
pub(super) struct Known {
    pub(super) committed: BTreeMap<OpId, (Key, Verdict)>,
    /// The name that each op came with first.
    pub(super) names: BTreeMap<Key, OpId>,
    /// How far each device was told that its ops are in.
    acknowledged: BTreeMap<DeviceId, u64>,
    /// Records that were sent as deleted.
    pub(super) deleted: BTreeSet<RecordId>,
    /// Ops that left quarantine again.
    pub(super) released: BTreeSet<OpId>,
}

#[derive(Default)]
pub(super) struct Ledger {
    pub(super) recorded: BTreeMap<Key, Recorded>,
    pub(super) groups: Vec<Group>,
    group_of: BTreeMap<RecordId, usize>,
    pub(super) known: Known,
}

impl Ledger {
    /// A device recorded these together.
    pub(super) fn record(&mut self, phone: usize, ops: Vec<Vec<u8>>, is_fair: bool, seen_stamp: u64) {
        let mut group = Group { ops: Vec::new(), records: Vec::new(), is_touched: false };
        for bytes in ops {
            let key = key(&bytes);
            group.ops.push(key);
            if let Ok(op) = decode_op(&bytes) {
                if let Some(before) = self.group_of.get(&op.record) {
                    self.groups[*before].is_touched = true;
                }
                if matches!(op.action, Action::Create(_)) {
                    group.records.push(op.record);
                } else {
                    group.is_touched = true;
                }
            }
            self.recorded
                .insert(key, Recorded { bytes, holders: BTreeSet::from([phone]), is_fair, seen_stamp });
        }
        if group.ops.len() > 1 {
            for record in &group.records {
                self.group_of.insert(*record, self.groups.len());
            }
            self.groups.push(group);
        }
    }

    /// Records that came together before anybody had a device.
    pub(super) fn plant(&mut self, records: Vec<RecordId>) {
        for record in &records {
            self.group_of.insert(*record, self.groups.len());
        }
        self.groups.push(Group { ops: Vec::new(), records, is_touched: false });
    }

    /// What was known of areas when ops were recorded is not known any more.
    pub(super) fn forget_fairness(&mut self) {
        self.recorded.values_mut().for_each(|recorded| recorded.is_fair = false);
    }

    /// The group that created a record, if its records must still be in one page.
    pub(super) fn whole_group_of(&self, record: RecordId) -> Option<&Group> {
        let group = &self.groups[*self.group_of.get(&record)?];
        // A coordinator decides about each op that was refused by itself.
        let names = group.ops.iter().filter_map(|key| self.known.names.get(key));
        let is_released = names.into_iter().any(|id| self.known.released.contains(id));
        (!group.is_touched && !is_released).then_some(group)
    }

    /// Somebody copied a device.
    pub(super) fn copy(&mut self, phone: usize, copy: usize) {
        for recorded in self.recorded.values_mut() {
            if recorded.holders.contains(&phone) {
                recorded.holders.insert(copy);
            }
        }
    }

    /// A device is gone with all that it held. Answers how many ops nobody has now.
    pub(super) fn lose(&mut self, phone: usize) -> u64 {
        let mut lost = 0;
        for (key, recorded) in &mut self.recorded {
            if recorded.holders.remove(&phone) && recorded.holders.is_empty() {
                lost += u64::from(!self.known.names.contains_key(key));
            }
        }
        lost
    }

    /// The server committed what a call brought.
    pub(super) fn commit(
        &mut self,
        device: DeviceId,
        request: &v1::SyncRequest,
        verdicts: &[(u64, Verdict)],
    ) -> Kept<u64> {
        let mut new = 0;
        for (seq, verdict) in verdicts.iter().filter(|(_, verdict)| verdict.outcome != Outcome::Retry) {
            let id = OpId { device, seq: *seq };
            let sealed = request.ops.iter().find(|sealed| sealed.seq == *seq);
            let key = sealed.map(|sealed| key(&sealed.op)).unwrap_or_default();
            let recorded = self.recorded.get(&key);
            promised(recorded.is_some(), Promise::Once, || {
                format!("op {id} got a verdict, and nobody recorded it")
            })?;
            let is_foreign = verdict.reason == Some(Reason::NotInScope);
            promised(!is_foreign || recorded.is_none_or(|it| !it.is_fair), Promise::Survival, || {
                format!("op {id} was recorded in an area of its author, and is refused: {verdict:?}")
            })?;
            if let Some((known, before)) = self.known.committed.get(&id) {
                promised(*known == key, Promise::Survival, || {
                    format!("op {id} was acknowledged for another, which is lost")
                })?;
                promised(before == verdict, Promise::Once, || {
                    format!("op {id} has the verdict {before:?}, and now {verdict:?}")
                })?;
                continue;
            }
            let first = *self.known.names.entry(key).or_insert(id);
            if let Some((_, before)) = self.known.committed.get(&first) {
                // Copies of a phone that hold the same op may get different names.
                promised(before == verdict, Promise::Once, || {
                    format!("op {id} has the verdict {before:?} as {first}, and now {verdict:?}")
                })?;
            } else {
                new += 1;
            }
            self.known.committed.insert(id, (key, verdict.clone()));
        }
        Ok(new)
    }

    /// Whether the server said that it has an op.
    pub(super) fn is_committed(&self, key: &Key) -> bool {
        self.known.names.contains_key(key)
    }

    /// The server told a device how far its ops are in.
    pub(super) fn acknowledge(&mut self, device: DeviceId, through: u64) -> Kept {
        let before = self.known.acknowledged.entry(device).or_default();
        let was = *before;
        *before = through.max(was);
        promised(through >= was, Promise::Cursor, || {
            format!("device {device} was acknowledged through {was}, and now through {through}")
        })
    }

    /// Records of which the server said that they are deleted stay so.
    pub(super) fn sent(&mut self, record: RecordId, is_deleted: bool) -> Kept {
        if is_deleted {
            self.known.deleted.insert(record);
        }
        promised(is_deleted || !self.known.deleted.contains(&record), Promise::NoResurrection, || {
            format!("record {record} was deleted, and is sent again")
        })
    }

    /// How many ops are in quarantine, by the reason.
    pub(super) fn quarantined(&self) -> BTreeMap<&'static str, u64> {
        let mut by_reason = BTreeMap::new();
        for id in self.known.names.values() {
            let verdict = &self.known.committed[id].1;
            if verdict.outcome == Outcome::Quarantined
                && !self.known.released.contains(id)
                && let Some(reason) = verdict.reason
            {
                *by_reason.entry(reason.as_str()).or_default() += 1;
            }
        }
        by_reason
    }
}
