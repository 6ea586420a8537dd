//! Where records are: at their own coordinates, or at those of what they are about.
//!
//! A record may name any id: what is neither in an area that is exported nor in one that the record was in is not
//! followed, or a map would show where things of other areas are.

use super::geojson::Point;
use rounds_domain::{AreaId, Kind, Record, RecordId};
use rounds_store::{Error, Store};
use std::collections::{HashMap, HashSet};

/// Fields that lead from a record to where it is, the nearest first: the place of an asset, the dwelling of a visit, the
/// planting of an adoption, the building around an entrance, the visit in which a request was raised.
const WAYS: [&str; 5] = ["place", "subject", "asset", "parent", "visit"];
/// Longest way that is gone: a notice about the visit to a dwelling in an entrance of a building has five steps.
const STEPS_MAX: usize = 8;
/// Records on the way that are remembered; a few megabytes.
const REMEMBERED_MAX: usize = 50_000;

/// Finds where records are, and remembers what it met on the way.
pub(super) struct Positions {
    /// Those that are exported.
    areas: HashSet<AreaId>,
    /// What was met, and in which area. `None`: there is no such record.
    known: HashMap<RecordId, Option<(AreaId, Step)>>,
}

/// What is known of a record: where it is, or which record to ask.
#[derive(Clone, Copy)]
enum Step {
    At(Point),
    Ask(RecordId),
    Nowhere,
}

impl Positions {
    /// For an export of these areas.
    pub(super) fn within(areas: impl IntoIterator<Item = AreaId>) -> Self {
        Self { areas: areas.into_iter().collect(), known: HashMap::new() }
    }

    /// Where each of these is; `None` if nothing on its way has coordinates.
    pub(super) async fn of<'r>(
        &mut self,
        store: &Store,
        records: impl Iterator<Item = &'r Record>,
    ) -> Result<Vec<Option<Point>>, Error> {
        let mut ways: Vec<(&Record, Step)> = records.map(|record| (record, step(record))).collect();
        if self.known.len() > REMEMBERED_MAX {
            self.known.clear();
        }
        for _ in 0..STEPS_MAX {
            let asked: HashSet<RecordId> = ways
                .iter()
                .filter_map(|(_, step)| match step {
                    Step::Ask(id) if !self.known.contains_key(id) => Some(*id),
                    _ => None,
                })
                .collect();
            let asked: Vec<RecordId> = asked.into_iter().collect();
            self.known.extend(asked.iter().map(|id| (*id, None))); // unless they are found
            let found = store.records_of(&asked).await?;
            self.known.extend(found.iter().map(|record| (record.id, Some((record.area, step(record))))));
            for (record, step) in &mut ways {
                if let Step::Ask(id) = step {
                    let met = self.known.get(id).copied().flatten();
                    let is_near =
                        |area: &AreaId| self.areas.contains(area) || record.former_areas.contains(area);
                    *step = met.filter(|(area, _)| is_near(area)).map_or(Step::Nowhere, |(_, next)| next);
                }
            }
        }
        let at = |step| match step {
            Step::At(point) => Some(point),
            Step::Ask(_) | Step::Nowhere => None,
        };
        Ok(ways.into_iter().map(|(_, step)| at(step)).collect())
    }
}

fn step(record: &Record) -> Step {
    let degrees = |field| record.fields.get(field).and_then(serde_json::Value::as_f64);
    if let (Some(latitude), Some(longitude)) = (degrees("latitude"), degrees("longitude")) {
        return Step::At(Point { latitude, longitude });
    }
    if record.kind == Kind::Area {
        return Step::Nowhere; // what is above it is no place
    }
    WAYS.iter().find_map(|field| record.reference(field)).map_or(Step::Nowhere, Step::Ask)
}
