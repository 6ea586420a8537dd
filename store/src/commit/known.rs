//! Ops that are in already under another name.
//!
//! No two phones record the same about a record at the same moment of the same clocks. Whoever brings the bytes that another
//! device brought is a copy of a phone that held them, and got another name than the copy that was faster. Such an op gets
//! the verdict that it has, and takes effect once.

use super::{Incoming, keep};
use crate::Error;
use crate::batch::Batch;
use crate::tx::{DeviceRow, NewOp, PlacedOpRow, Tx, Writes};
use rounds_domain::{DeviceId, RecordId, Verdict};
use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

/// What was said before, by the hashes of ops.
pub(super) struct Known {
    verdicts: HashMap<[u8; 32], Verdict>,
    /// Those that have a verdict, and those that get theirs in this transaction.
    said: HashSet<[u8; 32]>,
    again: Vec<Incoming>,
}

impl Known {
    /// Reads which ops that are new under the name that they come with are in under another. The areas that they name are
    /// locked, so nobody takes one of them in meanwhile.
    pub(super) async fn read<T: Tx>(
        tx: &mut T,
        batches: &[Cow<'_, Batch>],
        devices: &HashMap<DeviceId, DeviceRow>,
    ) -> Result<Self, Error> {
        let new: Vec<(RecordId, [u8; 32])> = batches
            .iter()
            .flat_map(|batch| {
                let through = devices.get(&batch.device).map_or(0, |device| device.acknowledged_through);
                batch.arrivals.iter().filter(move |arrival| arrival.seq.is_some_and(|seq| seq > through))
            })
            .filter_map(|arrival| Some((arrival.content.op()?.record, arrival.hash)))
            .collect();
        let rows = if new.is_empty() { Vec::new() } else { tx.said(&new).await? };
        let verdicts: HashMap<_, _> = rows.into_iter().map(|row| (row.hash, row.verdict)).collect();
        Ok(Self { said: verdicts.keys().copied().collect(), verdicts, again: Vec::new() })
    }

    /// What is new of this unit. Ops that the server numbers are: they have no other name. Those that nobody can read are,
    /// too: they wait in quarantine under each name.
    pub(super) fn take_out(&mut self, unit: Vec<Incoming>) -> Vec<Incoming> {
        let (new, again) = unit.into_iter().partition(|incoming| {
            !incoming.is_numbered || incoming.op().is_none() || self.said.insert(incoming.hash)
        });
        let again: Vec<Incoming> = again;
        self.again.extend(again);
        new
    }

    /// Gives what was taken out the verdicts that it has, those of this transaction among them.
    pub(super) fn answer(mut self, writes: &mut Writes) {
        self.verdicts.extend(writes.ops.iter().map(|op| (op.hash, op.verdict.clone())));
        for incoming in self.again {
            let Some(verdict) = self.verdicts.get(&incoming.hash) else { continue };
            let kept = keep(incoming, verdict.clone());
            let placed = PlacedOpRow { op: None, ..kept.placed };
            writes.ops.push(NewOp { placed, raw: None, known: true, ..kept });
        }
    }
}
