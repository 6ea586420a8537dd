//! Reading what is around a record: for the worker, which looks at many at once.

use crate::database::{Database, read_on};
use crate::feed::Numbered;
use crate::row::numbered;
use crate::sqlite::hex_list;
use crate::{Error, Store};
use rounds_domain::body::Term;
use rounds_domain::{AreaId, Body, Kind, Record, RecordId};
use sqlx::{query_as, query_scalar};
use std::collections::HashMap;
use uuid::Uuid;

/// Policies are kept with the areas that they are for, and found by the areas.
const POLICY: i16 = Kind::Policy as i16;
const TERM: i16 = Kind::Term as i16;
/// Follow-ups that are over and fell due before some time are left out.
const FOLLOW_UP: i16 = Kind::FollowUp as i16;

impl Store {
    /// These records, deleted ones too, where they exist. In no order.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn records_of(&self, ids: &[RecordId]) -> Result<Vec<Record>, Error> {
        Ok(self.numbered_of(ids).await?.into_iter().map(|numbered| numbered.record).collect())
    }

    /// The same with their numbers.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn numbered_of(&self, ids: &[RecordId]) -> Result<Vec<Numbered>, Error> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let rows: Vec<(i64, String)> =
            match &self.shared.database {
                Database::Sqlite { readers, .. } => query_as(
                    "SELECT number, body FROM records WHERE id IN (SELECT unhex(value) FROM json_each($1))",
                )
                .bind(hex_list(ids.iter().map(|id| id.0)))
                .fetch_all(readers)
                .await?,
                Database::Postgres { pool, .. } => {
                    query_as("SELECT number, body FROM records WHERE id = ANY($1)")
                        .bind(ids.iter().map(|id| id.0).collect::<Vec<_>>())
                        .fetch_all(pool)
                        .await?
                }
            };
        rows.into_iter().map(numbered).collect()
    }

    /// The same, each with the head of its area at that moment: what is read later is not older.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn records_and_heads(&self, ids: &[RecordId]) -> Result<Vec<(Record, u64)>, Error> {
        let rows: Vec<(i64, String)> = match &self.shared.database {
            Database::Sqlite { readers, .. } => {
                query_as(
                    "SELECT head, body FROM records JOIN areas ON areas.id = records.area
                     WHERE records.id IN (SELECT unhex(value) FROM json_each($1))",
                )
                .bind(hex_list(ids.iter().map(|id| id.0)))
                .fetch_all(readers)
                .await?
            }
            Database::Postgres { pool, .. } => {
                query_as(
                    "SELECT head, body FROM records JOIN areas ON areas.id = records.area
                     WHERE records.id = ANY($1)",
                )
                .bind(ids.iter().map(|id| id.0).collect::<Vec<_>>())
                .fetch_all(pool)
                .await?
            }
        };
        let read = rows.into_iter().map(numbered);
        read.map(|row| row.map(|Numbered { number, record }| (record, number))).collect()
    }

    /// The IANA name of an area's time zone. `None`: there is no such area.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn time_zone(&self, area: AreaId) -> Result<Option<String>, Error> {
        Ok(read_on!(&self.shared.database, pool => {
            query_scalar("SELECT time_zone FROM areas WHERE id = $1").bind(area.0).fetch_optional(pool).await?
        }))
    }

    /// Every record whose subject is one of these, but for follow-ups that are done or cancelled and were due before
    /// `since_ms` (ms since 1970 UTC). What was deleted is about nothing any more. In no order.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn about(&self, subjects: &[RecordId], since_ms: i64) -> Result<Vec<Numbered>, Error> {
        if subjects.is_empty() {
            return Ok(Vec::new());
        }
        let rows: Vec<(i64, String)> = match &self.shared.database {
            Database::Sqlite { readers, .. } => query_as(
                "SELECT number, body FROM records WHERE subject IN (SELECT unhex(value) FROM json_each($1))
                     AND NOT (kind = $2 AND due_ms < $3 AND status NOT IN ('open', 'missed'))",
            )
            .bind(hex_list(subjects.iter().map(|id| id.0)))
            .bind(FOLLOW_UP)
            .bind(since_ms)
            .fetch_all(readers)
            .await?,
            Database::Postgres { pool, .. } => {
                query_as(
                    "SELECT number, body FROM records WHERE subject = ANY($1)
                     AND NOT (kind = $2 AND due_ms < $3 AND status NOT IN ('open', 'missed'))",
                )
                .bind(subjects.iter().map(|id| id.0).collect::<Vec<_>>())
                .bind(FOLLOW_UP)
                .bind(since_ms)
                .fetch_all(pool)
                .await?
            }
        };
        rows.into_iter().map(numbered).collect()
    }

    /// The time zone of an area, and the policies for it: its own, then those of the areas above it, nearest first, and
    /// those of one area by their ids; deleted ones too, which say since when they no longer hold. `None`: there is no
    /// such area.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn policies(&self, area: AreaId) -> Result<Option<(String, Vec<Record>)>, Error> {
        let tree: Vec<(Uuid, Option<Uuid>, String)> = read_on!(&self.shared.database, pool => {
            query_as(
                "SELECT areas.id, areas.parent, areas.time_zone FROM areas
                 JOIN area_lines ON area_lines.ancestor = areas.id WHERE area_lines.descendant = $1",
            )
            .bind(area.0)
            .fetch_all(pool)
            .await?
        });
        let parents: HashMap<Uuid, Option<Uuid>> =
            tree.iter().map(|(id, parent, _)| (*id, *parent)).collect();
        let Some((_, _, zone)) = tree.into_iter().find(|(id, _, _)| *id == area.0) else { return Ok(None) };
        let mut policies = Vec::new();
        let mut at = Some(area.0);
        while let Some(id) = at.filter(|id| parents.contains_key(id)) {
            let bodies: Vec<String> = read_on!(&self.shared.database, pool => {
                query_scalar("SELECT body FROM records WHERE subject = $1 AND kind = $2 ORDER BY id")
                    .bind(id)
                    .bind(POLICY)
                    .fetch_all(pool)
                    .await?
            });
            policies.extend(read(bodies.into_iter().map(|body| (0, body)).collect())?);
            at = parents[&id];
        }
        Ok(Some((zone, policies)))
    }

    /// The name of a place or asset, and of the place that it is in, for whoever may know of `record`: "Elevator 2,
    /// Building 4". Empty if there is none. A record may name any id, so what is neither in an area that the record is
    /// or was in, nor below the one that it is in, is left out.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn place_name(&self, place: Option<RecordId>, record: &Record) -> Result<String, Error> {
        let mut names = Vec::new();
        let mut next = place;
        for _ in 0..2 {
            let Some(id) = next else { break };
            let Some(place) = self.record(id).await?.map(|numbered| numbered.record) else { break };
            let was_there = record.former_areas.contains(&place.area);
            if !was_there && !self.is_within(place.area, record.area).await? {
                break;
            }
            names.push(place.text("name").to_owned());
            next = place.subject().filter(|_| matches!(place.kind, Kind::Place | Kind::Asset));
        }
        names.retain(|name| !name.is_empty());
        Ok(names.join(", "))
    }

    async fn is_within(&self, area: AreaId, other: AreaId) -> Result<bool, Error> {
        if area == other {
            return Ok(true);
        }
        let lines: i64 = read_on!(&self.shared.database, pool => {
            query_scalar("SELECT count(*) FROM area_lines WHERE ancestor = $1 AND descendant = $2")
                .bind(other.0)
                .bind(area.0)
                .fetch_one(pool)
                .await?
        });
        Ok(lines > 0)
    }

    /// The words that hold in an area: those of the areas above it first, its own last.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn terms(&self, area: AreaId) -> Result<Vec<Term>, Error> {
        let rows: Vec<(i64, String)> = read_on!(&self.shared.database, pool => {
            query_as(
                "SELECT number, body FROM records
                 JOIN (SELECT ancestor, (SELECT count(*) FROM area_lines above
                                         WHERE above.descendant = line.ancestor) AS depth
                       FROM area_lines line WHERE descendant = $1) AS line ON line.ancestor = records.area
                 WHERE kind = $2 ORDER BY depth, number",
            )
            .bind(area.0)
            .bind(TERM)
            .fetch_all(pool)
            .await?
        });
        let terms = read(rows)?.into_iter().filter(|record| record.deleted.is_none());
        let terms = terms.filter_map(|record| match record.body() {
            Ok(Body::Term(term)) => Some(term),
            _ => None,
        });
        Ok(terms.collect())
    }
}

fn read(rows: Vec<(i64, String)>) -> Result<Vec<Record>, Error> {
    rows.into_iter().map(|row| numbered(row).map(|Numbered { record, .. }| record)).collect()
}
