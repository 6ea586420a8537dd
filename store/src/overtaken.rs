//! Looks that others overtook: what they rest on has changed since, so what they came to is not taken in.

use crate::Error;
use crate::batch::{Arrival, Batch, Look, Settled};
use crate::tx::Tx;
use rounds_domain::{AreaId, RecordId};
use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap, HashSet};

/// If more changed than this while somebody looked at records, they are looked at again without asking what it was.
const CHANGED_MAX: u32 = 10_000;

/// The looks that came to ops. Their areas have to be locked, whichever the ops are in: what changed there is asked for.
pub(crate) fn acting_looks(batches: &[Batch]) -> impl Iterator<Item = &Look> {
    let settled = batches.iter().filter_map(|batch| batch.settled.as_ref());
    settled.flat_map(|it| &it.looks).filter(|look| look.ops > 0)
}

/// The batches without the ops of looks that others overtook, in commits since or in this one; and what these looked
/// at. The areas are locked, so nobody changes anything meanwhile.
pub(crate) async fn without_overtaken<'a, T: Tx>(
    tx: &mut T,
    batches: &'a [Batch],
) -> Result<(Vec<Cow<'a, Batch>>, Vec<Vec<RecordId>>), Error> {
    let mut heads: BTreeMap<AreaId, u64> = BTreeMap::new();
    for look in acting_looks(batches) {
        let head = heads.entry(look.area).or_insert(look.head);
        *head = look.head.min(*head);
    }
    let mut changes = Changes::default();
    for (area, head) in heads {
        changes.add(area, tx.changed_since(area, head, CHANGED_MAX).await?);
    }
    Ok(batches.iter().map(|batch| changes.without_overtaken(batch)).unzip())
}

/// What others changed while records were looked at.
#[derive(Default)]
struct Changes {
    /// Records that changed, and those that they are about, with the last number of each.
    numbers: HashMap<RecordId, u64>,
    /// Areas in which too much changed to know it all.
    unknown: HashSet<AreaId>,
    /// Records that looks in this transaction change, and those that they are looks at.
    changed_here: HashSet<RecordId>,
    looked_at_here: HashSet<RecordId>,
}

impl Changes {
    fn add(&mut self, area: AreaId, changed: Vec<(u64, RecordId, Option<RecordId>)>) {
        if changed.len() as u64 >= u64::from(CHANGED_MAX) {
            self.unknown.insert(area);
        }
        for (number, record, subject) in changed {
            for id in subject.into_iter().chain([record]) {
                let last = self.numbers.entry(id).or_default();
                *last = number.max(*last);
            }
        }
    }

    fn overtook(&self, look: &Look) -> bool {
        // Policies are about the area that they are for.
        let mut rests_on = look.read.iter().copied().chain([look.area.into()]);
        self.unknown.contains(&look.area)
            || self.looked_at_here.contains(&look.source)
            || look.read.iter().any(|id| self.changed_here.contains(id))
            || rests_on.any(|id| self.numbers.get(&id).is_some_and(|number| *number > look.head))
    }

    /// The batch with what was not overtaken in it, and what the rest looked at.
    fn without_overtaken<'a>(&mut self, batch: &'a Batch) -> (Cow<'a, Batch>, Vec<RecordId>) {
        let Some(settled) = &batch.settled else { return (Cow::Borrowed(batch), Vec::new()) };
        let mut rest = batch.arrivals.as_slice();
        let (mut kept, mut overtaken): (Vec<(&Look, &[Arrival])>, Vec<RecordId>) = (Vec::new(), Vec::new());
        for look in &settled.looks {
            let (ops, behind_them) = rest.split_at(look.ops.min(rest.len()));
            rest = behind_them;
            if !ops.is_empty() && self.overtook(look) {
                overtaken.push(look.source);
                continue;
            }
            let changes = ops.iter().filter_map(|arrival| arrival.content.admitted());
            self.changed_here.extend(changes.map(|op| op.record));
            self.looked_at_here.extend((!ops.is_empty()).then_some(look.source));
            kept.push((look, ops));
        }
        if overtaken.is_empty() {
            return (Cow::Borrowed(batch), overtaken);
        }
        let arrivals = kept.iter().flat_map(|(_, ops)| *ops).chain(rest).cloned().collect();
        let looks = kept.iter().map(|(look, _)| (*look).clone()).collect();
        let settled = Some(Settled { timers: settled.timers.clone(), looks });
        let (clock, device) = (batch.clock, batch.device);
        let (received_ms, holds_from) = (batch.received_ms, batch.holds_from);
        (Cow::Owned(Batch { device, arrivals, clock, received_ms, holds_from, settled }), overtaken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    fn area(number: u128) -> AreaId {
        AreaId(Uuid::from_u128(number))
    }

    /// So many records changed that nobody read.
    fn others(count: u32) -> Vec<(u64, RecordId, Option<RecordId>)> {
        let changed = |number: u64| (number, RecordId(Uuid::from_u128(1_000 + u128::from(number))), None);
        (1..=u64::from(count)).map(changed).collect()
    }

    #[test]
    fn where_too_much_changed_to_know_it_all_every_look_is_done_again() {
        let look = |area: AreaId| {
            let source = RecordId(Uuid::from_u128(7));
            Look { source, area, head: 0, read: vec![source], ops: 1, timers: Vec::new() }
        };
        let mut changes = Changes::default();
        changes.add(area(1), others(CHANGED_MAX - 1));
        changes.add(area(2), others(CHANGED_MAX));
        assert!(!changes.overtook(&look(area(1))), "all that changed is known");
        assert!(changes.overtook(&look(area(2))), "there may be more");
    }
}
