//! What goes over the air is looked at by somebody who trusts neither side.

use super::ledger::Ledger;
use super::town::Town;
use super::{Kept, Promise, promised};
use crate::cursor::Cursor;
use rounds_domain::{AreaId, DeviceId, Kind, RecordId};
use rounds_proto::{kind_from_wire, v1};
use rounds_store::Access;
use std::collections::BTreeMap;
use uuid::Uuid;

/// An answer on its way to a device that may see these areas.
pub(super) fn look(
    ledger: &mut Ledger,
    device: DeviceId,
    scope: &BTreeMap<AreaId, Access>,
    epoch: Uuid,
    request: &v1::SyncRequest,
    response: &v1::SyncResponse,
) -> Kept {
    use v1::feed_item::Item;
    let through = response.acknowledged_through;
    ledger.acknowledge(device, through)?;
    promised(response.safe_to_forget_through <= through, Promise::Survival, || {
        format!("{} may be forgotten, and {through} was acknowledged", response.safe_to_forget_through)
    })?;
    if response.standing() == v1::DeviceStanding::Revoked {
        return promised(response.feed.is_empty(), Promise::Scope, || {
            "a revoked device got records".to_owned()
        });
    }
    let before = Cursor::read(&request.cursor, epoch)?.numbers();
    let after = Cursor::read(&response.cursor, epoch)?.numbers();
    for (place, number) in before {
        let now = after.get(&place);
        promised(now.is_none_or(|now| *now >= number), Promise::Cursor, || {
            format!("the cursor went from {number} to {now:?} in area {}", place.0)
        })?;
    }
    for item in &response.feed {
        match &item.item {
            Some(Item::Record(record)) => {
                let (area, id): (AreaId, RecordId) = (record.area.parse()?, record.id.parse()?);
                let kind = kind_from_wire(record.kind)?;
                promised(may_see(scope, area, kind), Promise::Scope, || {
                    format!("a {} of area {area} was sent to device {device}", kind.name())
                })?;
                if kind != Kind::Plan {
                    ledger.sent(id, record.deleted)?; // a plan may turn out to be required by law
                }
            }
            Some(Item::Departure(departure)) => {
                let area: AreaId = departure.area.parse()?;
                promised(scope.contains_key(&area), Promise::Scope, || {
                    format!("a departure from area {area} was told to device {device}")
                })?;
            }
            Some(Item::LeftArea(_)) | None => {}
        }
    }
    Ok(())
}

/// Whether a device with these areas may see records of this kind in that one.
pub(super) fn may_see(scope: &BTreeMap<AreaId, Access>, area: AreaId, kind: Kind) -> bool {
    match scope.get(&area) {
        Some(Access::Full) => true,
        Some(Access::Reference) => kind.is_reference(),
        None => false,
    }
}

impl Town {
    /// The areas of a device with these roots; `has_all` for administrators.
    pub(super) fn scope(
        &self,
        roots: impl Iterator<Item = AreaId>,
        has_all: bool,
    ) -> BTreeMap<AreaId, Access> {
        if has_all {
            return self.parents.keys().map(|area| (*area, Access::Full)).collect();
        }
        let roots: Vec<AreaId> = roots.collect();
        let mut scope = BTreeMap::new();
        for area in self.parents.keys() {
            if self.line(*area).any(|above| roots.contains(&above)) {
                scope.insert(*area, Access::Full);
            }
        }
        for root in roots {
            for above in self.line(root) {
                scope.entry(above).or_insert(Access::Reference);
            }
        }
        scope
    }

    /// An area and those above it.
    fn line(&self, area: AreaId) -> impl Iterator<Item = AreaId> {
        std::iter::successors(Some(area), |area| self.parents.get(area).copied().flatten())
    }
}
