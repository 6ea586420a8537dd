//! All ops of a record, where some come late.

use crate::clock::OrderKey;
use crate::fold::{Effect, apply, fold};
use crate::op::{Action, PlacedOp};
use crate::record::Record;
use std::collections::BTreeMap;
use std::ops::Bound::{Excluded, Unbounded};

/// The ops of a record in their order. One that comes late takes effect at its own place; of many that come one behind
/// the other, all are looked at once, not once for each.
#[derive(Clone, Default, Debug)]
pub struct History {
    ops: BTreeMap<OrderKey, PlacedOp>,
    /// The first that creates the record.
    creation: Option<OrderKey>,
    /// Some op moves the record.
    moves: bool,
    /// The record as it is behind an op, from which those that come next go on.
    behind: Option<(OrderKey, Record)>,
}

impl History {
    /// Adds an op.
    pub fn add(&mut self, placed: PlacedOp) {
        let key = placed.key;
        self.behind = self.behind.take().filter(|(at, _)| *at < key);
        match placed.op.action {
            Action::Create(_) if self.creation.is_none_or(|creation| key < creation) => {
                self.creation = Some(key);
                self.behind = None;
            }
            Action::Move { .. } => self.moves = true,
            _ => {}
        }
        self.ops.insert(key, placed);
    }

    /// Adds an op, and answers what it does at its place, see [`fold`].
    pub fn take(&mut self, placed: PlacedOp) -> Effect {
        let key = placed.key;
        self.add(placed);
        let mut record = None;
        if let Some(creation) = self.creation.filter(|creation| *creation != key) {
            let mut from = Unbounded;
            if let Some((at, behind)) = self.behind.take() {
                (record, from) = (Some(behind), Excluded(at));
            } else {
                apply(&mut record, &self.ops[&creation]);
            }
            for (_, next) in self.ops.range((from, Excluded(key))) {
                apply(&mut record, next); // the creation once more changes nothing
            }
        }
        let effect = apply(&mut record, &self.ops[&key]);
        // Behind the creation, what is before it in the order comes first.
        self.behind = record.filter(|_| self.creation != Some(key)).map(|record| (key, record));
        effect
    }

    /// The record, if any op created it.
    pub fn record(&self) -> Option<Record> {
        fold(self.ops.values()).0
    }

    /// Whether nothing is in the order behind this.
    pub fn ends_before(&self, key: OrderKey) -> bool {
        self.ops.range((Excluded(key), Unbounded)).next().is_none() && !self.ops.contains_key(&key)
    }

    /// Whether no op moves the record: then no other can change which area it is in.
    pub fn stays(&self) -> bool {
        !self.moves
    }

    /// All ops.
    pub fn ops(&self) -> impl Iterator<Item = &PlacedOp> {
        self.ops.values()
    }
}

impl Extend<PlacedOp> for History {
    fn extend<T: IntoIterator<Item = PlacedOp>>(&mut self, ops: T) {
        ops.into_iter().for_each(|placed| self.add(placed));
    }
}
