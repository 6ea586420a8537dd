//! The area that a file is imported into, and the areas below it that a column names.

use super::{Error, Setup};
use rounds_domain::{Action, AreaId, Body, ClockReading, Kind, Op, RecordId, Refusal, body};
use rounds_store::{RecordFilter, Store};
use std::collections::HashMap;
use uuid::Uuid;

/// Most areas that one file makes. More are a sign of the wrong column.
pub const NEW_AREAS_MAX: usize = 1_000;

/// An area and those right below it.
pub(super) struct Tree {
    /// The area that the import is for.
    pub(super) area: AreaId,
    /// The top of the tree that it is in.
    pub(super) city: RecordId,
    time_zone: String,
    below: HashMap<String, AreaId>,
    level: String,
    made: usize,
}

/// An area that is not there yet.
pub(super) struct NewArea {
    pub(super) id: AreaId,
    pub(super) body: body::Area,
}

impl NewArea {
    /// The op that makes it.
    pub(super) fn op(self, clock: ClockReading) -> Op {
        Op {
            record: self.id.into(),
            area: self.id,
            kind: Kind::Area,
            action: Action::Create(Box::new(Body::Area(self.body))),
            clock,
            observed: 0,
            scope_version: 0,
        }
    }
}

impl Tree {
    /// Finds the area by its id or name. One that is not there can be made if its time zone is known.
    pub(super) async fn find(
        store: &Store,
        wanted: &str,
        time_zone: Option<&str>,
        level: &str,
    ) -> Result<(Self, Option<NewArea>), Error> {
        let areas = areas(store).await?;
        let tree = |area: AreaId, time_zone: &str, below| Self {
            area,
            city: top(&areas, area),
            time_zone: time_zone.to_owned(),
            below,
            level: level.to_owned(),
            made: 0,
        };
        let found: Vec<(&AreaId, &body::Area)> = match Uuid::parse_str(wanted) {
            Ok(id) => areas.iter().filter(|(area, _)| area.0 == id).collect(),
            Err(_) => areas.iter().filter(|(_, area)| area.name == wanted).collect(),
        };
        match (found[..].as_ref(), time_zone) {
            ([(_, area)], Some(zone)) if area.time_zone != zone => {
                Err(Setup::OtherTimeZone { area: wanted.to_owned(), zone: area.time_zone.clone() }.into())
            }
            ([(id, area)], _) => {
                let below = areas
                    .iter()
                    .filter(|(_, other)| other.parent == Some(RecordId::from(**id)))
                    .map(|(id, area)| (area.name.clone(), *id))
                    .collect();
                Ok((tree(**id, &area.time_zone, below), None))
            }
            ([], Some(zone)) if Uuid::parse_str(wanted).is_err() => {
                let id: AreaId = RecordId(store.epoch()).derived(&format!("area/{wanted}")).into();
                let body = body::Area {
                    name: wanted.to_owned(),
                    time_zone: zone.to_owned(),
                    ..body::Area::default()
                };
                Body::Area(body.clone()).check().map_err(Setup::Area)?;
                Ok((tree(id, zone, HashMap::new()), Some(NewArea { id, body })))
            }
            ([], _) => {
                let mut names: Vec<&str> = areas.values().map(|area| area.name.as_str()).collect();
                names.sort_unstable();
                names.truncate(20);
                Err(Setup::NoArea {
                    name: wanted.to_owned(),
                    known: if names.is_empty() { "none".to_owned() } else { names.join(", ") },
                }
                .into())
            }
            (several, _) => {
                let ids: Vec<String> = several.iter().map(|(id, _)| id.to_string()).collect();
                Err(Setup::Areas { name: wanted.to_owned(), ids: ids.join(", ") }.into())
            }
        }
    }

    /// The area of this name right below; the import's own for an empty name. Says so where it has to be made first.
    ///
    /// # Errors
    /// What is wrong with a name that no area can have.
    pub(super) fn below(&self, name: &str) -> Result<(AreaId, Option<NewArea>), String> {
        if name.is_empty() {
            return Ok((self.area, None));
        }
        if let Some(id) = self.below.get(name) {
            return Ok((*id, None));
        }
        let id: AreaId = RecordId::from(self.area).derived(&format!("area/{name}")).into();
        let body = body::Area {
            name: name.to_owned(),
            parent: Some(self.area.into()),
            level: self.level.clone(),
            time_zone: self.time_zone.clone(),
            code: String::new(),
        };
        let unfit =
            |refusal: Refusal| format!("column {}: no area can be called so: {}", self.level, refusal.detail);
        Body::Area(body.clone()).check().map_err(unfit)?;
        Ok((id, Some(NewArea { id, body })))
    }

    /// Counts an area in that is made now. False: it would be one too many.
    pub(super) fn add(&mut self, area: &NewArea) -> bool {
        if self.made == NEW_AREAS_MAX {
            return false;
        }
        self.made += 1;
        self.below.insert(area.body.name.clone(), area.id);
        true
    }
}

async fn areas(store: &Store) -> Result<HashMap<AreaId, body::Area>, Error> {
    const PAGE_RECORDS: u32 = 1_000;
    let mut areas = HashMap::new();
    let mut filter = RecordFilter::of(Kind::Area, store.areas().await?, PAGE_RECORDS);
    loop {
        let page = store.records(&filter).await?;
        for numbered in &page {
            if let Ok(Body::Area(area)) = numbered.record.body() {
                areas.insert(numbered.record.area, area);
            }
        }
        let Some(last) = page.last().filter(|_| page.len() == PAGE_RECORDS as usize) else {
            return Ok(areas);
        };
        filter.after = Some((last.record.area, last.number, last.record.id));
    }
}

fn top(areas: &HashMap<AreaId, body::Area>, area: AreaId) -> RecordId {
    let mut top = RecordId::from(area);
    while let Some(parent) = areas.get(&top.into()).and_then(|area| area.parent) {
        top = parent;
    }
    top
}
