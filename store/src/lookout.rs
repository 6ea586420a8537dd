//! Looks out for commits that other processes make to the same database, so that watchers hear of them.

use crate::database::{Database, read_on};
use crate::{Error, Hints};
use rounds_domain::AreaId;
use sqlx::postgres::PgListener;
use sqlx::query_as;
use std::collections::HashMap;
use std::time::Duration;
use uuid::Uuid;

/// How often to look where nobody tells, or where a notification was lost.
const LOOK_INTERVAL: Duration = Duration::from_secs(2);

/// Runs until it is aborted. Without anybody watching it does not touch the database.
pub(crate) async fn watch(database: Database, hints: Hints) {
    // Empty while nobody watches: what moved since the first one came cannot be told, so that one hears of all areas.
    let mut known: HashMap<Uuid, i64> = HashMap::new();
    let mut listener = None;
    loop {
        wait(&database, &mut listener).await;
        if hints.receiver_count() == 0 {
            known.clear();
            continue;
        }
        match heads(&database).await {
            Ok(heads) => {
                let is_new = |(id, head): &(&Uuid, &i64)| known.get(id) != Some(head);
                let moved: Vec<AreaId> = heads.iter().filter(is_new).map(|(id, _)| AreaId(*id)).collect();
                if !moved.is_empty() {
                    let _ = hints.send(moved.into()); // they may all have gone
                }
                known = heads;
            }
            Err(error) => tracing::warn!(%error, "cannot look for commits of others"),
        }
    }
}

async fn heads(database: &Database) -> Result<HashMap<Uuid, i64>, Error> {
    let rows: Vec<(Uuid, i64)> =
        read_on!(database, pool => query_as("SELECT id, head FROM areas").fetch_all(pool).await?);
    Ok(rows.into_iter().collect())
}

/// Waits for a notification of PostgreSQL, or for the interval.
async fn wait(database: &Database, listener: &mut Option<PgListener>) {
    let interval = tokio::time::sleep(LOOK_INTERVAL);
    let Database::Postgres { pool, .. } = database else {
        interval.await;
        return;
    };
    if listener.is_none() {
        *listener = connect(pool).await;
    }
    match listener {
        Some(open) => tokio::select! {
            () = interval => {}
            heard = open.recv() => {
                if heard.is_err() {
                    *listener = None;
                } else {
                    while open.next_buffered().is_some() {} // one look is enough for all of them
                }
            }
        },
        None => interval.await,
    }
}

async fn connect(pool: &sqlx::PgPool) -> Option<PgListener> {
    let mut listener = PgListener::connect_with(pool).await.ok()?;
    listener.listen("rounds").await.ok()?;
    Some(listener)
}
