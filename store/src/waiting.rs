//! Jobs that committed ops left for the worker, until the job runner has them in its own table.

use crate::batch::Job;
use crate::database::{Database, read_on};
use crate::{Error, Store};
use rounds_domain::{AreaId, RecordId};
use sqlx::{AssertSqlSafe, query, query_as};
use uuid::Uuid;

/// Most waiting jobs of one area that are read at once.
const AREA_JOBS_MAX: u32 = 200;

impl Store {
    /// Jobs that wait to be handed to the runner: the oldest of each area, then the second oldest of each, and so on;
    /// at most 200 of one area and `limit` in all.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn waiting_jobs(&self, limit: u32) -> Result<Vec<Job>, Error> {
        // The areas are found by jumping through the index: a backlog of one does not make the others dearer.
        let of_each_area = match &self.shared.database {
            Database::Sqlite { .. } => {
                "places CROSS JOIN waiting_jobs ON waiting_jobs.id IN (
                     SELECT id FROM waiting_jobs AS oldest
                     WHERE oldest.area = places.area ORDER BY oldest.through_number, oldest.id LIMIT $1
                 )"
            }
            Database::Postgres { .. } => {
                "places CROSS JOIN LATERAL (
                     SELECT * FROM waiting_jobs AS oldest
                     WHERE oldest.area = places.area ORDER BY oldest.through_number, oldest.id LIMIT $1
                 ) AS waiting_jobs"
            }
        };
        let text = format!(
            "WITH RECURSIVE places (area) AS (
                 SELECT (SELECT area FROM waiting_jobs ORDER BY area LIMIT 1)
                 UNION ALL
                 SELECT (SELECT area FROM waiting_jobs WHERE waiting_jobs.area > places.area ORDER BY area LIMIT 1)
                 FROM places WHERE places.area IS NOT NULL
             )
             SELECT waiting_jobs.id, waiting_jobs.area, after_number, through_number FROM {of_each_area}
             ORDER BY row_number() OVER (PARTITION BY waiting_jobs.area ORDER BY through_number, waiting_jobs.id), queued_ms
             LIMIT $2"
        );
        let rows: Vec<(Uuid, Uuid, i64, i64)> = read_on!(&self.shared.database, pool => {
            query_as(AssertSqlSafe(text))
                .bind(i64::from(AREA_JOBS_MAX))
                .bind(i64::from(limit))
                .fetch_all(pool)
                .await?
        });
        let job = |(id, area, after, through): (_, _, i64, i64)| Job {
            id: RecordId(id),
            area: AreaId(area),
            after: after as u64,
            through: through as u64,
        };
        Ok(rows.into_iter().map(job).collect())
    }

    /// Forgets jobs that the runner has in its own table, in the same database: from there on it keeps them.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn jobs_handed_over(&self, ids: &[RecordId]) -> Result<(), Error> {
        match &self.shared.database {
            Database::Sqlite { writer, .. } => {
                let ids: Vec<_> = ids.iter().map(|id| id.0.simple().to_string()).collect();
                query("DELETE FROM waiting_jobs WHERE id IN (SELECT unhex(value) FROM json_each($1))")
                    .bind(serde_json::to_string(&ids).unwrap_or_default()) // text is always JSON
                    .execute(writer)
                    .await?;
            }
            Database::Postgres { pool, .. } => {
                query("DELETE FROM waiting_jobs WHERE id = ANY($1)")
                    .bind(ids.iter().map(|id| id.0).collect::<Vec<_>>())
                    .execute(pool)
                    .await?;
            }
        }
        Ok(())
    }
}
