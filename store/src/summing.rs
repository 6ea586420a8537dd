//! Reading what summaries are made of: sums of counters, what was attended to, what came late, and the records behind.

use crate::database::{Database, in_areas, read_on};
use crate::feed::Numbered;
use crate::row::{date, numbered};
use crate::sqlite::hex_list;
use crate::{Error, Store};
use jiff::civil::Date;
use rounds_domain::summary::Late;
use rounds_domain::tally::Unit;
use rounds_domain::{AreaId, Kind, RecordId};
use sqlx::query_as;
use std::collections::{BTreeSet, HashSet};
use uuid::Uuid;

/// Which counters to add up.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct SumFilter {
    /// Of these areas.
    pub areas: Vec<AreaId>,
    /// What their days stand for.
    pub unit: Unit,
    /// From this day on.
    pub first: Date,
    /// Until this day, itself included.
    pub last: Date,
    /// A sum for each area.
    pub by_area: bool,
    /// A sum for each day.
    pub by_day: bool,
    /// Only measures below this one, such as `worker/ID`; if none, all but those of workers.
    pub under: Option<String>,
}

/// A sum of counters; it is not zero.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sum {
    /// Of this area, if sums by area were asked for.
    pub area: Option<AreaId>,
    /// Of this day, if sums by day were asked for.
    pub day: Option<Date>,
    /// What was counted.
    pub measure: String,
    /// How much.
    pub count: i64,
}

/// The place of a record in a list by days.
pub type DayPlace = (AreaId, Date, RecordId);

impl Store {
    /// Adds counters up.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn sums(&self, filter: &SumFilter) -> Result<Vec<Sum>, Error> {
        let area = if filter.by_area { "area" } else { "CAST(NULL AS uuid)" };
        let day = if filter.by_day { "day" } else { "CAST(NULL AS text)" };
        // `0` comes after `/`: these are the measures that begin with it.
        let (from, to) = match &filter.under {
            Some(under) => (format!("{under}/"), format!("{under}0")),
            None => ("worker/".to_owned(), "worker0".to_owned()),
        };
        let wanted = if filter.under.is_some() { "" } else { "NOT" };
        let text = format!(
            "SELECT {area}, {day}, measure, CAST(sum(count) AS bigint) FROM tallies
             WHERE area IN {{areas}} AND unit = $2 AND day BETWEEN $3 AND $4
             AND {wanted} (measure >= $5 AND measure < $6)
             GROUP BY 1, 2, 3 HAVING sum(count) <> 0"
        );
        let rows: Vec<(Option<Uuid>, Option<String>, String, i64)> =
            in_areas!(self, filter.areas, text, fetch_all, |statement| statement
                .bind(filter.unit.name())
                .bind(filter.first.to_string())
                .bind(filter.last.to_string())
                .bind(&from)
                .bind(&to));
        rows.into_iter()
            .map(|(area, day, measure, count)| {
                let day = day.as_deref().map(date).transpose()?;
                Ok(Sum { area: area.map(AreaId), day, measure, count })
            })
            .collect()
    }

    /// How many different places and assets were attended to by this work, from the first day to the last. Costs as
    /// much as there are of them; [`attendance`](rounds_domain::attendance) says what costs less.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn attended_count(
        &self,
        areas: &[AreaId],
        work: &str,
        (first, last): (Date, Date),
    ) -> Result<i64, Error> {
        let text = "SELECT count(DISTINCT subject), 0 FROM attended
                    WHERE area IN {areas} AND work = $2 AND day BETWEEN $3 AND $4 AND count > 0";
        let (count, _): (i64, i32) = in_areas!(self, areas, text, fetch_one, |statement| statement
            .bind(work)
            .bind(first.to_string())
            .bind(last.to_string()));
        Ok(count)
    }

    /// Which organizations, and places that are no dwellings, are among what was attended to by this work, and where.
    /// Costs as much as there are of them; places are looked for in the area that they are in.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn attended_others(
        &self,
        areas: &[AreaId],
        work: &str,
        (first, last): (Date, Date),
    ) -> Result<Vec<(AreaId, RecordId)>, Error> {
        let is_no_dwelling = match &self.shared.database {
            Database::Sqlite { .. } => r#"instr(r.body, '"sort":"dwelling"') = 0"#,
            Database::Postgres { .. } => r#"strpos(r.body, '"sort":"dwelling"') = 0"#,
        };
        // CROSS JOIN: the few of them first, by an index of their own, then whether each was attended to.
        let text = format!(
            "SELECT DISTINCT a.area, a.subject FROM records r CROSS JOIN attended a
             WHERE r.kind = 4 AND a.subject = r.id AND a.area IN {{areas}} AND a.work = $2
             AND a.day BETWEEN $3 AND $4 AND a.count > 0
             UNION
             SELECT a.area, a.subject FROM records r CROSS JOIN attended a
             WHERE r.kind = 2 AND {is_no_dwelling} AND r.area IN {{areas}} AND a.subject = r.id AND a.area = r.area
             AND a.work = $2 AND a.day BETWEEN $3 AND $4 AND a.count > 0"
        );
        let rows: Vec<(Uuid, Uuid)> = in_areas!(self, areas, text, fetch_all, |statement| statement
            .bind(work)
            .bind(first.to_string())
            .bind(last.to_string()));
        Ok(rows.into_iter().map(|(area, subject)| (AreaId(area), RecordId(subject))).collect())
    }

    /// Places and assets that were attended to by this work, by id, behind `after`, at most `limit`.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn attended_list(
        &self,
        areas: &[AreaId],
        work: &str,
        (first, last): (Date, Date),
        after: Option<RecordId>,
        limit: u32,
    ) -> Result<Vec<RecordId>, Error> {
        let text = "SELECT DISTINCT subject, 0 FROM attended
                    WHERE area IN {areas} AND work = $2 AND day BETWEEN $3 AND $4 AND count > 0 AND subject > $5
                    ORDER BY subject LIMIT $6";
        let rows: Vec<(Uuid, i32)> = in_areas!(self, areas, text, fetch_all, |statement| statement
            .bind(work)
            .bind(first.to_string())
            .bind(last.to_string())
            .bind(after.map_or(Uuid::nil(), |id| id.0))
            .bind(i64::from(limit)));
        Ok(rows.into_iter().map(|(id, _)| RecordId(id)).collect())
    }

    /// Which of these were attended to by this work.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn attended_among(
        &self,
        areas: &[AreaId],
        work: &str,
        (first, last): (Date, Date),
        among: &[RecordId],
    ) -> Result<HashSet<RecordId>, Error> {
        let text = "SELECT DISTINCT subject, 0 FROM attended
                    WHERE area IN {areas} AND work = $2 AND day BETWEEN $3 AND $4 AND count > 0 AND subject IN {among}";
        let text = match &self.shared.database {
            Database::Sqlite { .. } => text.replace("{among}", "(SELECT unhex(value) FROM json_each($5))"),
            // The list as text for both, so that it is bound in one way.
            Database::Postgres { .. } => {
                text.replace("{among}", "(SELECT value::uuid FROM jsonb_array_elements_text($5::jsonb))")
            }
        };
        let rows: Vec<(Uuid, i32)> = in_areas!(self, areas, text, fetch_all, |statement| statement
            .bind(work)
            .bind(first.to_string())
            .bind(last.to_string())
            .bind(hex_list(among.iter().map(|id| id.0))));
        Ok(rows.into_iter().map(|(id, _)| RecordId(id)).collect())
    }

    /// Ops that happened on one of these days and were received on a later one, after `since_ms` (ms since 1970 UTC),
    /// by day.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn late_arrivals(
        &self,
        areas: &[AreaId],
        (first, last): (Date, Date),
        since_ms: i64,
    ) -> Result<Vec<Late>, Error> {
        let text = "SELECT day, CAST(sum(ops) AS bigint), max(received_ms) FROM late_arrivals
                    WHERE area IN {areas} AND day BETWEEN $2 AND $3 AND received_ms > $4 GROUP BY day ORDER BY day";
        let rows: Vec<(String, i64, i64)> = in_areas!(self, areas, text, fetch_all, |statement| statement
            .bind(first.to_string())
            .bind(last.to_string())
            .bind(since_ms));
        rows.into_iter()
            .map(|(day, ops, received_ms)| Ok(Late { day: date(&day)?, ops, received_ms }))
            .collect()
    }

    /// Records of a kind that are counted on one of these days, by area, day and id, behind `after`, at most `limit`.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn counted_records(
        &self,
        areas: &[AreaId],
        kind: Kind,
        (first, last): (Date, Date),
        after: Option<DayPlace>,
        limit: u32,
    ) -> Result<Vec<(DayPlace, Numbered)>, Error> {
        let areas: BTreeSet<AreaId> = areas.iter().copied().collect();
        let mut found = Vec::new();
        for area in areas {
            let room = (limit as usize).saturating_sub(found.len());
            let (day, id) = match after {
                _ if room == 0 => break,
                Some((after_area, _, _)) if area < after_area => continue,
                Some((after_area, day, id)) if area == after_area => (day, id.0),
                _ => (first, Uuid::nil()),
            };
            let rows: Vec<(String, i64, String)> = read_on!(&self.shared.database, pool => {
                query_as(
                    "SELECT day, number, body FROM records WHERE area = $1 AND kind = $2 AND day >= $3 AND day <= $4
                     AND (day, id) > ($3, $5) ORDER BY day, id LIMIT $6",
                )
                .bind(area.0)
                .bind(kind.number())
                .bind(day.max(first).to_string())
                .bind(last.to_string())
                .bind(id)
                .bind(room as i64)
                .fetch_all(pool)
                .await?
            });
            for (day, number, body) in rows {
                let record = numbered((number, body))?;
                found.push(((area, date(&day)?, record.record.id), record));
            }
        }
        Ok(found)
    }
}
