//! The tree of the caller's areas: names, zones, and what the chooser shows of it.

use crate::error::Error;
use jiff::tz::TimeZone;
use rounds_domain::{AreaId, RecordId};
use rounds_store::{Access, Caller, Store};
use std::collections::{BTreeMap, HashMap};

/// The caller's own areas and those above them.
pub(super) struct Tree {
    areas: HashMap<AreaId, Node>,
    /// Own areas below each area, or at the top (`None`), by name.
    below: BTreeMap<Option<AreaId>, Vec<AreaId>>,
}

struct Node {
    name: String,
    zone: String,
    /// The own area above it.
    above: Option<AreaId>,
}

/// An area in a list that shows the tree by indentation.
pub(super) struct Line {
    pub(super) area: AreaId,
    pub(super) name: String,
    /// How many own areas are above it.
    pub(super) depth: usize,
}

impl Tree {
    pub(super) async fn of(store: &Store, caller: &Caller) -> Result<Self, Error> {
        let ids: Vec<RecordId> = caller.scope.iter().map(|scoped| scoped.area.into()).collect();
        let mut areas = HashMap::new();
        let mut below: BTreeMap<Option<AreaId>, Vec<AreaId>> = BTreeMap::new();
        for record in store.records_of(&ids).await? {
            let above = record.reference("parent").map(AreaId::from).filter(|above| caller.holds(*above));
            if caller.access(record.area) == Some(Access::Full) {
                below.entry(above).or_default().push(record.area);
            }
            let (name, zone) = (record.text("name").to_owned(), record.text("time_zone").to_owned());
            areas.insert(record.area, Node { name, zone, above });
        }
        let name = |area: &AreaId| (areas.get(area).map_or("", |node| &node.name).to_owned(), *area);
        below.values_mut().for_each(|areas| areas.sort_by_cached_key(name));
        Ok(Self { areas, below })
    }

    /// What people call an area; empty if the caller does not see it.
    pub(super) fn name(&self, area: AreaId) -> &str {
        self.areas.get(&area).map_or("", |node| &node.name)
    }

    /// The zone of an area.
    pub(super) fn zone(&self, area: Option<AreaId>) -> TimeZone {
        let zone = area.and_then(|area| self.areas.get(&area)).map_or("UTC", |node| &node.zone);
        TimeZone::get(zone).unwrap_or(TimeZone::UTC)
    }

    /// The area that is above all of the caller's, if there is one.
    pub(super) fn only_top(&self) -> Option<AreaId> {
        match self.below.get(&None)?.as_slice() {
            [area] => Some(*area),
            _ => None,
        }
    }

    /// All own areas, each above those below it.
    pub(super) fn all(&self) -> Vec<Line> {
        self.lines(None, 0, &|_| true)
    }

    /// The chosen area with those above it, beside each of them its neighbours, and those right below it: as much as a
    /// person can look through, however large the tree is.
    pub(super) fn around(&self, chosen: Option<AreaId>) -> Vec<Line> {
        let mut line = Vec::new();
        let mut next = chosen;
        while let Some(area) = next {
            line.push(area);
            next = self.areas.get(&area).and_then(|node| node.above);
        }
        // Where there is only one at the top it is open.
        let top = self.below.get(&None).map_or(&[][..], Vec::as_slice);
        self.lines(None, 0, &|area| line.contains(&area) || top == [area])
    }

    fn lines(&self, above: Option<AreaId>, depth: usize, is_open: &impl Fn(AreaId) -> bool) -> Vec<Line> {
        let mut lines = Vec::new();
        for area in self.below.get(&above).into_iter().flatten() {
            lines.push(Line { area: *area, name: self.name(*area).to_owned(), depth });
            if is_open(*area) {
                lines.extend(self.lines(Some(*area), depth + 1, is_open));
            }
        }
        lines
    }
}
