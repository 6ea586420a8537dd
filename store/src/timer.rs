//! Timers: when the worker has to look at a record again, because something about it changes by itself.

use crate::database::{Database, read_on, write_on};
use crate::sqlite::hex_list;
use crate::{Error, Store};
use rounds_domain::{AreaId, DeviceId, Kind, RecordId};
use sqlx::{AssertSqlSafe, query, query_as, query_scalar};
use uuid::Uuid;

/// The areas that have timers, found by jumping through the index from one to the next: what it costs is the number of
/// areas, however many timers each has.
const AREAS: &str = "WITH RECURSIVE places (area) AS (
        SELECT (SELECT area FROM timers ORDER BY area LIMIT 1)
        UNION ALL
        SELECT (SELECT area FROM timers WHERE timers.area > places.area ORDER BY area LIMIT 1)
        FROM places WHERE places.area IS NOT NULL
    )";

/// Numbers of a feed whose records get their timers in one transaction.
const STRIDE_NUMBERS: i64 = 10_000;

/// When to look at a record again. A record has one timer at most.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Timer {
    /// The record to look at.
    pub record: RecordId,
    /// The area that it is in.
    pub area: AreaId,
    /// When, in ms since 1970 UTC.
    pub at_ms: i64,
}

/// Numbers of the feeds of some areas.
struct Stride {
    areas: Vec<Uuid>,
    after: i64,
    through: i64,
}

/// All numbers up to these heads, in strides: many small areas together, and a large one in parts.
fn strides(heads: Vec<(Uuid, i64)>) -> Vec<Stride> {
    let (large, small): (Vec<_>, Vec<_>) = heads.into_iter().partition(|(_, head)| *head > STRIDE_NUMBERS);
    let mut strides: Vec<Stride> = Vec::new();
    let mut room = 0;
    for (area, head) in small {
        if head > room {
            strides.push(Stride { areas: Vec::new(), after: 0, through: STRIDE_NUMBERS });
            room = STRIDE_NUMBERS;
        }
        room -= head;
        if let Some(last) = strides.last_mut() {
            last.areas.push(area);
        }
    }
    for (area, head) in large {
        let parts = (0..head).step_by(STRIDE_NUMBERS as usize);
        strides.extend(parts.map(|after| Stride {
            areas: vec![area],
            after,
            through: after + STRIDE_NUMBERS,
        }));
    }
    strides
}

impl Store {
    /// Timers that are due: the oldest `per_area` of each area, the areas in turn (the oldest of each, then the second
    /// oldest of each), `limit` in all. What is not due costs nothing.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn due_timers(&self, now_ms: i64, per_area: u32, limit: u32) -> Result<Vec<Timer>, Error> {
        // A subquery per area: SQLite has no LATERAL, and PostgreSQL would look up `IN` by its own lights.
        let of_each_area = match &self.shared.database {
            Database::Sqlite { .. } => {
                "places CROSS JOIN timers ON timers.record IN (
                     SELECT record FROM timers AS due
                     WHERE due.area = places.area AND due.at_ms <= $1 ORDER BY due.at_ms, due.record LIMIT $2
                 )"
            }
            Database::Postgres { .. } => {
                "places CROSS JOIN LATERAL (
                     SELECT record, area, at_ms FROM timers AS due
                     WHERE due.area = places.area AND due.at_ms <= $1 ORDER BY due.at_ms, due.record LIMIT $2
                 ) AS timers"
            }
        };
        let text = format!(
            "{AREAS} SELECT timers.record, timers.area, timers.at_ms FROM {of_each_area}
             ORDER BY row_number() OVER (PARTITION BY timers.area ORDER BY timers.at_ms, timers.record),
                 timers.at_ms, timers.record
             LIMIT $3"
        );
        let rows: Vec<(Uuid, Uuid, i64)> = read_on!(&self.shared.database, pool => {
            query_as(AssertSqlSafe(text))
                .bind(now_ms)
                .bind(i64::from(per_area))
                .bind(i64::from(limit))
                .fetch_all(pool)
                .await?
        });
        let timer = |(record, area, at_ms)| Timer { record: RecordId(record), area: AreaId(area), at_ms };
        Ok(rows.into_iter().map(timer).collect())
    }

    /// When the first timer of all is due, in ms since 1970 UTC.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn next_timer_ms(&self) -> Result<Option<i64>, Error> {
        let text = format!(
            "{AREAS} SELECT min((SELECT at_ms FROM timers WHERE timers.area = places.area ORDER BY at_ms LIMIT 1))
             FROM places WHERE places.area IS NOT NULL"
        );
        Ok(read_on!(&self.shared.database, pool => query_scalar(AssertSqlSafe(text)).fetch_one(pool).await?))
    }

    /// Has every record looked at by then that policies of this area are for: those of the area and of the areas below
    /// it that call for follow-ups, and are not over. What is to be looked at earlier anyway stays so. Done in short
    /// transactions; done again, it does the rest.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn look_again(&self, area: AreaId, at_ms: i64) -> Result<(), Error> {
        let heads: Vec<(Uuid, i64)> = read_on!(&self.shared.database, pool => {
            query_as(
                "SELECT areas.id, areas.head FROM area_lines JOIN areas ON areas.id = area_lines.descendant
                 WHERE area_lines.ancestor = $1",
            )
            .bind(area.0)
            .fetch_all(pool)
            .await?
        });
        self.look_again_in(heads, at_ms).await
    }

    /// The same in all areas; and notices that somebody outside is to be told of later are looked at by then.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn look_at_all_again(&self, at_ms: i64) -> Result<(), Error> {
        let heads = read_on!(&self.shared.database, pool => {
            query_as("SELECT id, head FROM areas").fetch_all(pool).await?
        });
        self.look_again_in(heads, at_ms).await?;
        write_on!(&self.shared.database, tx => {
            query(
                "UPDATE timers SET at_ms = $1 WHERE at_ms > $1
                     AND EXISTS (SELECT 1 FROM records WHERE records.id = timers.record AND records.kind = $2)",
            )
            .bind(at_ms)
            .bind(Kind::Notice.number())
            .execute(&mut *tx)
            .await?;
        });
        Ok(())
    }

    async fn look_again_in(&self, heads: Vec<(Uuid, i64)>, at_ms: i64) -> Result<(), Error> {
        let least = if self.is_postgres() { "least" } else { "min" };
        let areas = match self.is_postgres() {
            true => "area = ANY($2)",
            false => "area IN (SELECT unhex(value) FROM json_each($2))",
        };
        let kinds = [Kind::Plan, Kind::Violation, Kind::Contract, Kind::Adoption, Kind::Policy];
        let kinds = kinds.map(|kind| kind.number().to_string()).join(", ");
        // Visits are many, and few of them are of doors that nobody answered. By id, as everybody sets timers.
        let text = format!(
            "INSERT INTO timers (record, area, at_ms)
             SELECT id, area, CAST($1 AS bigint) FROM records
             WHERE {areas} AND number > $3 AND number <= $4 AND NOT deleted
                 AND (kind IN ({kinds})
                      OR kind = {} AND body LIKE '%\"outcome\":\"no_answer\"%'
                      OR kind = {} AND status NOT IN ('closed', 'rejected'))
             ORDER BY id
             ON CONFLICT (record) DO UPDATE SET at_ms = {least}(timers.at_ms, excluded.at_ms)
             WHERE timers.at_ms > excluded.at_ms",
            Kind::Visit.number(),
            Kind::Request.number(),
        );
        for Stride { areas, after, through } in strides(heads) {
            match &self.shared.database {
                Database::Sqlite { writer, .. } => {
                    query(AssertSqlSafe(text.clone()))
                        .bind(at_ms)
                        .bind(hex_list(areas.iter().copied()))
                        .bind(after)
                        .bind(through)
                        .execute(writer)
                        .await?
                }
                .rows_affected(),
                Database::Postgres { pool, .. } => query(AssertSqlSafe(text.clone()))
                    .bind(at_ms)
                    .bind(&areas)
                    .bind(after)
                    .bind(through)
                    .execute(pool)
                    .await?
                    .rows_affected(),
            };
        }
        Ok(())
    }

    /// When a device acted last, or was enrolled, in ms since 1970 UTC.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn last_act_ms(&self, device: DeviceId) -> Result<Option<i64>, Error> {
        Ok(read_on!(&self.shared.database, pool => {
            query_scalar("SELECT last_at_ms FROM devices WHERE id = $1").bind(device.0).fetch_optional(pool).await?
        }))
    }

    /// Forgets timers of which the job runner has made jobs. One that was set to another time meanwhile stays.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn timers_handed_over(&self, timers: &[Timer]) -> Result<(), Error> {
        match &self.shared.database {
            Database::Sqlite { writer, .. } => {
                let rows: Vec<_> =
                    timers.iter().map(|timer| (timer.record.0.simple().to_string(), timer.at_ms)).collect();
                query(
                    "DELETE FROM timers WHERE (record, at_ms) IN (
                         SELECT unhex(value ->> 0), value ->> 1 FROM json_each($1)
                     )",
                )
                .bind(serde_json::to_string(&rows).unwrap_or_default()) // text and numbers are always JSON
                .execute(writer)
                .await?;
            }
            Database::Postgres { pool, .. } => {
                // A commit that holds one of them is setting it to another time; waiting for it could lock both up.
                query(
                    "DELETE FROM timers WHERE record IN (
                         SELECT timers.record FROM timers
                         JOIN unnest($1::uuid[], $2::bigint[]) AS over (record, at_ms)
                             ON over.record = timers.record AND over.at_ms = timers.at_ms
                         FOR UPDATE OF timers SKIP LOCKED
                     )",
                )
                .bind(timers.iter().map(|timer| timer.record.0).collect::<Vec<_>>())
                .bind(timers.iter().map(|timer| timer.at_ms).collect::<Vec<_>>())
                .execute(pool)
                .await?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_areas_are_looked_at_together_and_a_large_one_in_parts() {
        let area = Uuid::from_u128;
        let mut heads: Vec<(Uuid, i64)> = (1..=4).map(|n| (area(n), STRIDE_NUMBERS / 3)).collect();
        heads.push((area(5), 2 * STRIDE_NUMBERS + 1));
        heads.push((area(6), 0));
        let strides = strides(heads);
        let of = |n: u128| strides.iter().filter(move |stride| stride.areas.contains(&Uuid::from_u128(n)));
        assert_eq!(strides.len(), 2 + 3);
        assert!((1..=4).all(|n| of(n).count() == 1 && of(n).all(|it| it.after == 0)));
        let parts: Vec<_> = of(5).map(|it| (it.after, it.through)).collect();
        let part = |n| (n * STRIDE_NUMBERS, (n + 1) * STRIDE_NUMBERS);
        assert_eq!(parts, [part(0), part(1), part(2)]);
    }
}
