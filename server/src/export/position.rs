//! Where records are: at their own coordinates, or at those of what they are about.

use super::geojson::Point;
use rounds_domain::{Kind, Record, RecordId};
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
#[derive(Default)]
pub(super) struct Positions {
    known: HashMap<RecordId, Step>,
}

/// What is known of a record: where it is, or which record to ask.
#[derive(Clone, Copy)]
enum Step {
    At(Point),
    Ask(RecordId),
    Nowhere,
}

impl Positions {
    /// Where each of these is; `None` if nothing on its way has coordinates.
    pub(super) async fn of(
        &mut self,
        store: &Store,
        records: impl Iterator<Item = &Record>,
    ) -> Result<Vec<Option<Point>>, Error> {
        let mut steps: Vec<Step> = records.map(step).collect();
        if self.known.len() > REMEMBERED_MAX {
            self.known.clear();
        }
        for _ in 0..STEPS_MAX {
            let asked: HashSet<RecordId> = steps
                .iter()
                .filter_map(|step| match step {
                    Step::Ask(id) if !self.known.contains_key(id) => Some(*id),
                    _ => None,
                })
                .collect();
            let asked: Vec<RecordId> = asked.into_iter().collect();
            self.known.extend(asked.iter().map(|id| (*id, Step::Nowhere))); // unless they are found
            let found = store.records_of(&asked).await?;
            self.known.extend(found.iter().map(|record| (record.id, step(record))));
            for step in &mut steps {
                if let Step::Ask(id) = step {
                    *step = self.known.get(id).copied().unwrap_or(Step::Nowhere);
                }
            }
        }
        let at = |step| match step {
            Step::At(point) => Some(point),
            Step::Ask(_) | Step::Nowhere => None,
        };
        Ok(steps.into_iter().map(at).collect())
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
