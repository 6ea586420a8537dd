//! Deliveries: what is told to people outside of Rounds, one message to one address each.
//!
//! A delivery is done by jobs, one after the other: whoever wants to send it claims it first. A claim counts for a
//! while, and schedules the next try for when it no longer does; so a delivery whose sender crashed is tried again, and
//! nobody sends it beside one that may still be at it.

use crate::database::{read_on, write_on};
use crate::{Error, Store};
use rounds_domain::{AreaId, RecordId};
use sqlx::{AssertSqlSafe, query, query_as};
use uuid::Uuid;

/// How a message travels.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Channel {
    /// By mail.
    Email,
    /// As a signed POST.
    WebHook,
}

impl Channel {
    /// The channel as the command line and the database say it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Email => "email",
            Self::WebHook => "web_hook",
        }
    }

    fn parse(text: &str) -> Result<Self, Error> {
        [Self::Email, Self::WebHook]
            .into_iter()
            .find(|channel| channel.name() == text)
            .ok_or_else(|| Error::Unreadable(format!("channel {text}")))
    }
}

/// How far a delivery is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DeliveryState {
    /// To be sent.
    Waiting,
    /// Somebody claimed it.
    Sending,
    /// Could not be sent, and is tried again.
    Failing,
    /// The address took it.
    Sent,
    /// Given up.
    Failed,
    /// What it would have said was no longer so.
    Withdrawn,
}

impl DeliveryState {
    /// Every state.
    pub const ALL: [Self; 6] =
        [Self::Waiting, Self::Sending, Self::Failing, Self::Sent, Self::Failed, Self::Withdrawn];

    /// The state as the command line and the database say it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Sending => "sending",
            Self::Failing => "failing",
            Self::Sent => "sent",
            Self::Failed => "failed",
            Self::Withdrawn => "withdrawn",
        }
    }

    fn parse(text: &str) -> Result<Self, Error> {
        Self::ALL
            .into_iter()
            .find(|state| state.name() == text)
            .ok_or_else(|| Error::Unreadable(format!("state {text} of a delivery")))
    }
}

/// A message that should go to an address.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NewDelivery {
    /// The notice that it tells of.
    pub notice: RecordId,
    /// The notice's area.
    pub area: AreaId,
    /// How it travels.
    pub channel: Channel,
    /// Where to: a mailbox or a URL.
    pub address: String,
}

impl NewDelivery {
    /// Its name: the same notice by the same channel to the same address is one delivery.
    pub fn id(&self) -> RecordId {
        self.notice.derived(&format!("{}/{}", self.channel.name(), self.address))
    }
}

/// A message to an address, and how far it is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Delivery {
    /// Its name, see [`NewDelivery::id`].
    pub id: RecordId,
    /// The notice that it tells of.
    pub notice: RecordId,
    /// The notice's area.
    pub area: AreaId,
    /// How it travels.
    pub channel: Channel,
    /// Where to: a mailbox or a URL.
    pub address: String,
    /// How far it is.
    pub state: DeliveryState,
    /// Goes up with each claim, and whenever it is put back.
    pub turn: u64,
    /// How often somebody claimed it, since it was called for or put back.
    pub attempts: u32,
    /// How often in a row somebody claimed it and did not say what came of it, not counting whoever has it now.
    pub unended: u32,
    /// What went wrong last; empty if nothing did.
    pub last_error: String,
    /// When it was called for, in ms since 1970 UTC.
    pub created_ms: i64,
    /// When to release a job for it, in ms since 1970 UTC.
    pub next_ms: Option<i64>,
    /// When it was sent, given up or withdrawn, in ms since 1970 UTC.
    pub ended_ms: Option<i64>,
}

/// What came of a try.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Tried {
    /// The address took it.
    Sent,
    /// It is tried again at this time, in ms since 1970 UTC.
    Again(i64, String),
    /// It is given up.
    Failed(String),
    /// What it would have said is no longer so.
    Withdrawn,
}

/// Deliveries that are due of which it is looked at once whose turn it is.
const DUE_READ_MAX: u32 = 1_000;
/// Who takes a message: one server takes all mail.
const SERVER: &str = "CASE channel WHEN 'email' THEN 'mail' ELSE address END";
const COLUMNS: &str = "id, notice, area, channel, address, state, turn, attempts, unended, last_error, created_ms, next_ms, \
     ended_ms";

#[derive(sqlx::FromRow)]
struct Row {
    id: Uuid,
    notice: Uuid,
    area: Uuid,
    channel: String,
    address: String,
    state: String,
    turn: i64,
    attempts: i64,
    unended: i64,
    last_error: String,
    created_ms: i64,
    next_ms: Option<i64>,
    ended_ms: Option<i64>,
}

impl Row {
    fn delivery(self) -> Result<Delivery, Error> {
        Ok(Delivery {
            id: RecordId(self.id),
            notice: RecordId(self.notice),
            area: AreaId(self.area),
            channel: Channel::parse(&self.channel)?,
            address: self.address,
            state: DeliveryState::parse(&self.state)?,
            turn: self.turn as u64,
            attempts: self.attempts as u32,
            unended: self.unended as u32,
            last_error: self.last_error,
            created_ms: self.created_ms,
            next_ms: self.next_ms,
            ended_ms: self.ended_ms,
        })
    }
}

impl Store {
    /// Keeps deliveries, due at once. Those that are there already stay as they are, but for those that were
    /// withdrawn: they come back.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn add_deliveries(&self, new: &[NewDelivery], now_ms: i64) -> Result<(), Error> {
        write_on!(&self.shared.database, tx => {
            for delivery in new {
                query(
                    "INSERT INTO deliveries (id, notice, area, channel, address, state, turn, attempts, last_error,
                     created_ms, next_ms) VALUES ($1, $2, $3, $4, $5, 'waiting', 0, 0, '', $6, $6)
                     ON CONFLICT (id) DO UPDATE SET state = 'waiting', turn = deliveries.turn + 1, attempts = 0,
                     unended = 0, next_ms = excluded.next_ms, ended_ms = NULL WHERE deliveries.state = 'withdrawn'",
                )
                .bind(delivery.id().0)
                .bind(delivery.notice.0)
                .bind(delivery.area.0)
                .bind(delivery.channel.name())
                .bind(&delivery.address)
                .bind(now_ms)
                .execute(&mut *tx)
                .await?;
            }
        });
        Ok(())
    }

    /// Deliveries that a job should be released for by now: the oldest of each address, then the second oldest of each,
    /// and so on; for one server so many that with those that are being sent there are `at_once` at most, and `limit` in
    /// all. One server takes all mail; every web hook is one. Of very many the oldest to servers with room are looked at,
    /// so each has its turn sooner or later.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn due_deliveries(
        &self,
        now_ms: i64,
        at_once: u32,
        limit: u32,
    ) -> Result<Vec<Delivery>, Error> {
        let sql = format!(
            "WITH to_address AS (
                 SELECT channel, address, count(*) AS count FROM deliveries
                 WHERE state = 'sending' AND next_ms > $1 GROUP BY channel, address
             ), to_server AS (
                 SELECT {SERVER} AS server, sum(count) AS count FROM to_address GROUP BY {SERVER}
             ), due AS (
                 SELECT deliveries.*, coalesce(to_address.count, 0) AS ahead, coalesce(to_server.count, 0) AS taken
                 FROM deliveries LEFT JOIN to_address USING (channel, address)
                 LEFT JOIN to_server ON server = {SERVER}
                 WHERE next_ms <= $1 AND coalesce(to_server.count, 0) < $2
                 ORDER BY next_ms LIMIT {DUE_READ_MAX}
             ), placed AS (
                 SELECT *, ahead + row_number() OVER (PARTITION BY channel, address ORDER BY next_ms, id) AS place
                 FROM due
             ), counted AS (
                 SELECT *, taken + row_number() OVER (PARTITION BY {SERVER} ORDER BY place, next_ms, id) AS room
                 FROM placed
             )
             SELECT {COLUMNS} FROM counted WHERE room <= $2 ORDER BY place, next_ms, id LIMIT $3"
        );
        let rows: Vec<Row> = read_on!(&self.shared.database, pool => {
            query_as(AssertSqlSafe(sql))
                .bind(now_ms)
                .bind(i64::from(at_once))
                .bind(i64::from(limit))
                .fetch_all(pool)
                .await?
        });
        rows.into_iter().map(Row::delivery).collect()
    }

    /// Notes that jobs were released for these, so that they are due no more. One that was claimed meanwhile stays as
    /// it is.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn deliveries_released(&self, released: &[Delivery]) -> Result<(), Error> {
        write_on!(&self.shared.database, tx => {
            for delivery in released {
                query("UPDATE deliveries SET next_ms = NULL WHERE id = $1 AND turn = $2")
                    .bind(delivery.id.0)
                    .bind(delivery.turn as i64)
                    .execute(&mut *tx)
                    .await?;
            }
        });
        Ok(())
    }

    /// Puts a delivery back while `at_once` others are being sent to its server, so that it is due when one of them has
    /// ended. False: there is room for it.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn put_back_delivery(&self, id: RecordId, now_ms: i64, at_once: u32) -> Result<bool, Error> {
        let changed = write_on!(&self.shared.database, tx => {
            query(
                "UPDATE deliveries SET turn = turn + 1, next_ms = $2
                 WHERE id = $1 AND state IN ('waiting', 'sending', 'failing') AND (next_ms IS NULL OR next_ms <= $2)
                     AND $3 <= (SELECT count(*) FROM deliveries AS others
                         WHERE others.state = 'sending' AND others.next_ms > $2
                             AND others.channel = deliveries.channel
                             AND (others.channel = 'email' OR others.address = deliveries.address))",
            )
            .bind(id.0)
            .bind(now_ms)
            .bind(i64::from(at_once))
            .execute(&mut *tx)
            .await?
            .rows_affected()
        });
        Ok(changed == 1)
    }

    /// Takes a delivery on, until `until_ms`: then it is due again unless [`Store::end_try`] said what came of it.
    /// `None`: it has ended, it is to be tried later, or somebody else is at it.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn claim_delivery(
        &self,
        id: RecordId,
        now_ms: i64,
        until_ms: i64,
    ) -> Result<Option<Delivery>, Error> {
        let sql = format!(
            "UPDATE deliveries SET state = 'sending', turn = turn + 1, attempts = attempts + 1, next_ms = $3,
             unended = CASE state WHEN 'sending' THEN unended + 1 ELSE 0 END
             WHERE id = $1 AND state IN ('waiting', 'sending', 'failing') AND (next_ms IS NULL OR next_ms <= $2)
             RETURNING {COLUMNS}"
        );
        let row: Option<Row> = write_on!(&self.shared.database, tx => {
            query_as(AssertSqlSafe(sql))
                .bind(id.0)
                .bind(now_ms)
                .bind(until_ms)
                .fetch_optional(&mut *tx)
                .await?
        });
        row.map(Row::delivery).transpose()
    }

    /// Writes down what came of a try. False: the claim was over, and nothing was written.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn end_try(&self, claimed: &Delivery, tried: &Tried, now_ms: i64) -> Result<bool, Error> {
        let (state, error, next_ms) = match tried {
            Tried::Sent => (DeliveryState::Sent, None, None),
            Tried::Again(next_ms, error) => (DeliveryState::Failing, Some(error), Some(*next_ms)),
            Tried::Failed(error) => (DeliveryState::Failed, Some(error), None),
            Tried::Withdrawn => (DeliveryState::Withdrawn, None, None),
        };
        let changed = write_on!(&self.shared.database, tx => {
            query(
                "UPDATE deliveries SET state = $3, last_error = coalesce($4, last_error), next_ms = $5, ended_ms = $6
                 WHERE id = $1 AND turn = $2",
            )
            .bind(claimed.id.0)
            .bind(claimed.turn as i64)
            .bind(state.name())
            .bind(error)
            .bind(next_ms)
            .bind(next_ms.is_none().then_some(now_ms))
            .execute(&mut *tx)
            .await?
            .rows_affected()
        });
        Ok(changed == 1)
    }

    /// Deliveries in this state, or in any, newest first.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn deliveries(&self, state: Option<DeliveryState>, limit: u32) -> Result<Vec<Delivery>, Error> {
        let sql = format!(
            "SELECT {COLUMNS} FROM deliveries WHERE state = $1 OR $1 = '' ORDER BY created_ms DESC, id LIMIT $2"
        );
        let rows: Vec<Row> = read_on!(&self.shared.database, pool => {
            query_as(AssertSqlSafe(sql))
                .bind(state.map_or("", DeliveryState::name))
                .bind(i64::from(limit))
                .fetch_all(pool)
                .await?
        });
        rows.into_iter().map(Row::delivery).collect()
    }

    /// Forgets what was sent, given up or withdrawn before this time, in ms since 1970 UTC. A notice that is still
    /// raised after that would be sent again.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn forget_deliveries(&self, ended_before_ms: i64) -> Result<(), Error> {
        write_on!(&self.shared.database, tx => {
            query("DELETE FROM deliveries WHERE ended_ms < $1").bind(ended_before_ms).execute(&mut *tx).await?;
        });
        Ok(())
    }

    /// Brings back in time what a clock called for that was ahead and was set back: what nobody has taken on and is to be
    /// tried later than after the longest pause is due now, and a claim counts no longer than one that begins now.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn bring_deliveries_back(
        &self,
        now_ms: i64,
        claim_until_ms: i64,
        pause_until_ms: i64,
    ) -> Result<(), Error> {
        write_on!(&self.shared.database, tx => {
            query(
                "UPDATE deliveries SET next_ms = CASE state WHEN 'sending' THEN $2 ELSE $1 END
                 WHERE next_ms > CASE state WHEN 'sending' THEN $2 WHEN 'failing' THEN $3 ELSE $1 END",
            )
            .bind(now_ms)
            .bind(claim_until_ms)
            .bind(pause_until_ms)
            .execute(&mut *tx)
            .await?;
        });
        Ok(())
    }

    /// Tries a delivery again now that failed, is failing, or waits for a job, which may have been dropped. False: there
    /// is none such.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn retry_delivery(&self, id: RecordId, now_ms: i64) -> Result<bool, Error> {
        let changed = write_on!(&self.shared.database, tx => {
            query(
                "UPDATE deliveries SET state = CASE state WHEN 'waiting' THEN 'waiting' ELSE 'failing' END,
                 turn = turn + 1, attempts = 0, unended = 0, next_ms = $2, ended_ms = NULL
                 WHERE id = $1 AND (state IN ('failing', 'failed') OR state = 'waiting' AND next_ms IS NULL)",
            )
            .bind(id.0)
            .bind(now_ms)
            .execute(&mut *tx)
            .await?
            .rows_affected()
        });
        Ok(changed == 1)
    }
}
