//! Reading what is due: follow-ups by when they are due, notices by when they were called for.

use crate::database::{in_areas, read_on};
use crate::row::parse;
use crate::{Error, Store};
use rounds_domain::{AreaId, Kind, Record, RecordId};
use sqlx::{AssertSqlSafe, query_as, query_scalar};

/// Which follow-ups or notices: in these areas, in this stage, due from one time until before another.
#[derive(Clone, Debug)]
pub struct DueFilter<'a> {
    /// [`Kind::FollowUp`] or [`Kind::Notice`]; other kinds are never due.
    pub kind: Kind,
    /// In one of these areas.
    pub areas: &'a [AreaId],
    /// In this stage.
    pub status: &'a str,
    /// At this time or later, in ms since 1970 UTC.
    pub from_ms: i64,
    /// Before this time, in ms since 1970 UTC.
    pub before_ms: i64,
}

impl Store {
    /// Open follow-ups of a worker, of the groups that it is a member of, of a group or of an organization, by when they
    /// are due, at most `limit`. Those that fell due before `from_ms` (ms since 1970 UTC) are left out.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn assigned(&self, assignee: RecordId, from_ms: i64, limit: u32) -> Result<Vec<Record>, Error> {
        let groups: Vec<String> = read_on!(&self.shared.database, pool => {
            query_scalar("SELECT body FROM records WHERE kind = 8 AND NOT deleted").fetch_all(pool).await?
        });
        let mut assignees = vec![assignee];
        for group in &groups {
            let group: Record = parse(group)?;
            let members = group.fields.get("members").and_then(serde_json::Value::as_array);
            let assignee = assignee.to_string();
            if members.is_some_and(|members| members.iter().any(|member| *member == assignee)) {
                assignees.push(group.id);
            }
        }
        let mut found: Vec<(i64, String)> = Vec::new();
        for assignee in assignees {
            let of_assignee: Vec<(i64, String)> = read_on!(&self.shared.database, pool => {
                query_as(
                    "SELECT due_ms, body FROM records WHERE assignee = $1 AND due_ms >= $2 AND status = 'open'
                     AND NOT deleted ORDER BY due_ms LIMIT $3",
                )
                .bind(assignee.0)
                .bind(from_ms)
                .bind(i64::from(limit))
                .fetch_all(pool)
                .await?
            });
            found.extend(of_assignee);
        }
        found.sort();
        found.truncate(limit as usize);
        found.iter().map(|(_, body)| parse(body)).collect()
    }

    /// How many there are.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn count_due(&self, filter: &DueFilter<'_>) -> Result<u64, Error> {
        let sql =
            format!("SELECT count(*), 0 FROM records WHERE area IN {{areas}} AND {}", filter.condition());
        let (count, _): (i64, i32) = in_areas!(self, filter.areas, sql, fetch_one, |statement| statement
            .bind(filter.from_ms)
            .bind(filter.before_ms)
            .bind(filter.kind.number())
            .bind(filter.status));
        Ok(count.unsigned_abs())
    }

    /// The first of them that are due, at most `limit`.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn due(&self, filter: &DueFilter<'_>, limit: u32) -> Result<Vec<Record>, Error> {
        self.due_from_one_end(filter, false, limit).await
    }

    /// The last of them that are due, at most `limit`, the last one first.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn last_due(&self, filter: &DueFilter<'_>, limit: u32) -> Result<Vec<Record>, Error> {
        self.due_from_one_end(filter, true, limit).await
    }

    async fn due_from_one_end(
        &self,
        filter: &DueFilter<'_>,
        last_first: bool,
        limit: u32,
    ) -> Result<Vec<Record>, Error> {
        let order = if last_first { "DESC" } else { "ASC" };
        let sql = format!(
            "SELECT due_ms, body FROM records WHERE area = $1 AND {} ORDER BY due_ms {order} LIMIT $6",
            filter.condition()
        );
        let mut found: Vec<(i64, String)> = Vec::new();
        for area in filter.areas {
            let of_area: Vec<(i64, String)> = read_on!(&self.shared.database, pool => {
                query_as(AssertSqlSafe(sql.as_str()))
                    .bind(area.0)
                    .bind(filter.from_ms)
                    .bind(filter.before_ms)
                    .bind(filter.kind.number())
                    .bind(filter.status)
                    .bind(i64::from(limit))
                    .fetch_all(pool)
                    .await?
            });
            found.extend(of_area);
            found.sort();
            if last_first {
                found.reverse();
            }
            found.truncate(limit as usize);
        }
        found.iter().map(|(_, body)| parse(body)).collect()
    }
}

impl DueFilter<'_> {
    /// The condition, with its arguments from the second on. What is open says so, as the index of what is open does.
    fn condition(&self) -> String {
        let is_open = if self.status == "open" { " AND status = 'open'" } else { "" };
        format!("due_ms >= $2 AND due_ms < $3 AND kind = $4 AND status = $5{is_open} AND NOT deleted")
    }
}
