//! Ops that are in already under another name of the same phone.
//!
//! A phone may go by several names: a copy of it gets one of its own, and one that is enrolled again gets another. What
//! several of them hold is brought under each of these names, as the same bytes. It gets the verdict that it has, and takes
//! effect once.

use super::{Incoming, keep};
use crate::Error;
use crate::batch::Batch;
use crate::tx::{DeviceRow, NewOp, PlacedOpRow, Tx, Writes};
use rounds_domain::{DeviceId, OpId, RecordId, Verdict};
use std::borrow::Cow;
use std::collections::HashMap;

/// A phone, by the device that it was first, and the hash of what it says.
type Saying = (DeviceId, [u8; 32]);

/// What phones said before.
pub(super) struct Known {
    verdicts: HashMap<Saying, Verdict>,
    /// Under which name they said it, in this transaction too.
    said_as: HashMap<Saying, OpId>,
    again: Vec<(Incoming, Saying)>,
}

impl Known {
    /// Reads which ops that are new under the name that they come with are in under another. The areas that they name are
    /// locked, so nobody takes one of them in meanwhile.
    pub(super) async fn read<T: Tx>(
        tx: &mut T,
        batches: &[Cow<'_, Batch>],
        devices: &HashMap<DeviceId, DeviceRow>,
    ) -> Result<Self, Error> {
        let mut new: Vec<(RecordId, [u8; 32])> = Vec::new();
        for batch in batches {
            let Some(device) = devices.get(&batch.device).filter(|device| device.phone.is_some()) else {
                continue;
            };
            let is_new = |seq: u64| seq > device.acknowledged_through;
            let arrivals = batch.arrivals.iter().filter(|arrival| arrival.seq.is_some_and(is_new));
            new.extend(arrivals.filter_map(|arrival| Some((arrival.content.op()?.record, arrival.hash))));
        }
        let mut known = Self { verdicts: HashMap::new(), said_as: HashMap::new(), again: Vec::new() };
        if !new.is_empty() {
            for (phone, row) in tx.said(&new).await? {
                known.said_as.insert((phone, row.hash), row.id);
                known.verdicts.insert((phone, row.hash), row.verdict);
            }
        }
        Ok(known)
    }

    /// What is new of this unit. So is what a device brings once more under its own name, and what nobody can read: it
    /// waits in quarantine under each name.
    pub(super) fn take_out(&mut self, unit: Vec<Incoming>, device: &DeviceRow) -> Vec<Incoming> {
        let Some(phone) = device.phone else { return unit };
        let mut new = Vec::with_capacity(unit.len());
        for incoming in unit {
            let saying = (phone, incoming.hash);
            let is_readable = incoming.op().is_some();
            if is_readable && self.said_as.entry(saying).or_insert(incoming.id).device != incoming.id.device {
                self.again.push((incoming, saying));
            } else {
                new.push(incoming);
            }
        }
        new
    }

    /// Gives what was taken out the verdicts that it has, those of this transaction among them.
    pub(super) fn answer(self, writes: &mut Writes) {
        for (incoming, saying) in self.again {
            let here = || writes.ops.iter().find(|op| self.said_as.get(&saying) == Some(&op.placed.id));
            let verdict = self.verdicts.get(&saying).or_else(|| Some(&here()?.verdict));
            let Some(verdict) = verdict.cloned() else { continue };
            let kept = keep(incoming, verdict);
            let placed = PlacedOpRow { op: None, ..kept.placed };
            writes.ops.push(NewOp { placed, raw: None, known: true, ..kept });
        }
    }
}
