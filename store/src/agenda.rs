//! Follow-ups as a calendar shows them: how many are due when, and those of a time in the order of their urgency.

use crate::database::read_on;
use crate::row::parse;
use crate::{Error, Store};
use rounds_domain::{AreaId, Kind, Record, RecordId};
use sqlx::{AssertSqlSafe, query_as};
use uuid::Uuid;

/// Which follow-ups.
#[derive(Clone, Debug)]
pub struct AgendaFilter<'a> {
    /// In one of these areas.
    pub areas: &'a [AreaId],
    /// In this stage; in any if empty.
    pub status: &'a str,
    /// Of this sort; of any if empty.
    pub sort: &'a str,
    /// Due at this time or later, in ms since 1970 UTC.
    pub from_ms: i64,
    /// Due before this time, in ms since 1970 UTC.
    pub before_ms: i64,
}

/// So many follow-ups of one area, sort and stage are due at the same time.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct DueCount {
    /// The area.
    pub area: AreaId,
    /// When they are due, in ms since 1970 UTC.
    pub due_ms: i64,
    /// Their sort.
    pub sort: String,
    /// Their stage.
    pub status: String,
    /// How many.
    pub count: u64,
}

impl Store {
    /// Follow-ups by when they are due, then by their ids, at most `limit`, behind the one that is due then and has that
    /// id.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn agenda(
        &self,
        filter: &AgendaFilter<'_>,
        after: Option<(i64, RecordId)>,
        limit: u32,
    ) -> Result<Vec<Record>, Error> {
        let sql = format!(
            "SELECT due_ms, id, body FROM records WHERE {} AND (due_ms, id) > ($7, $8)
             ORDER BY due_ms, id LIMIT $9",
            self.agenda_condition()
        );
        let (after_ms, after_id) = after.map_or((i64::MIN, Uuid::nil()), |(due_ms, id)| (due_ms, id.0));
        let mut found: Vec<(i64, Uuid, String)> = Vec::new();
        for area in filter.areas {
            let of_area: Vec<(i64, Uuid, String)> = read_on!(&self.shared.database, pool => {
                query_as(AssertSqlSafe(sql.as_str()))
                    .bind(area.0)
                    .bind(filter.from_ms)
                    .bind(filter.before_ms)
                    .bind(Kind::FollowUp.number())
                    .bind(filter.status)
                    .bind(filter.sort)
                    .bind(after_ms)
                    .bind(after_id)
                    .bind(i64::from(limit))
                    .fetch_all(pool)
                    .await?
            });
            found.extend(of_area);
            found.sort();
            found.truncate(limit as usize);
        }
        found.iter().map(|(_, _, body)| parse(body)).collect()
    }

    /// How many follow-ups are due when, in no order.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn agenda_counts(&self, filter: &AgendaFilter<'_>) -> Result<Vec<DueCount>, Error> {
        let sql = format!(
            "SELECT due_ms, coalesce({sort}, ''), status, count(*) FROM records WHERE {}
             GROUP BY due_ms, coalesce({sort}, ''), status",
            self.agenda_condition(),
            sort = self.sort_column(),
        );
        let mut counts = Vec::new();
        for area in filter.areas {
            let of_area: Vec<(i64, String, String, i64)> = read_on!(&self.shared.database, pool => {
                query_as(AssertSqlSafe(sql.as_str()))
                    .bind(area.0)
                    .bind(filter.from_ms)
                    .bind(filter.before_ms)
                    .bind(Kind::FollowUp.number())
                    .bind(filter.status)
                    .bind(filter.sort)
                    .fetch_all(pool)
                    .await?
            });
            counts.extend(of_area.into_iter().map(|(due_ms, sort, status, count)| DueCount {
                area: *area,
                due_ms,
                sort,
                status,
                count: count.unsigned_abs(),
            }));
        }
        Ok(counts)
    }

    fn agenda_condition(&self) -> String {
        format!(
            "area = $1 AND due_ms >= $2 AND due_ms < $3 AND kind = $4 AND (status = $5 OR $5 = '')
             AND ($6 = '' OR {} = $6) AND NOT deleted",
            self.sort_column()
        )
    }

    /// What a follow-up's body says of its sort, in the words of each database.
    fn sort_column(&self) -> &'static str {
        if self.is_postgres() { "(body::json #>> '{fields,sort}')" } else { "(body ->> '$.fields.sort')" }
    }
}
