//! Yardsticks: what the databases can do when nobody asks for more than rows in a table.

use crate::site::Ground;
use futures_util::future::join_all;
use rounds_store::Pool;
use sqlx::postgres::PgPoolOptions;
use sqlx::sqlite::{SqlitePoolOptions, SqliteSynchronous};
use sqlx::{AssertSqlSafe, PgPool, SqlitePool, query, query_as};
use std::collections::VecDeque;
use uuid::Uuid;

/// A row of the plain table: a record's id, area, number and body.
pub(crate) type Row = (Uuid, Uuid, i64, String);

/// Rows in one statement on SQLite.
const ROWS_PER_STATEMENT: usize = 256;
const POSTGRES_CONNECTIONS: usize = 16;

/// One table with two indexes.
pub(crate) enum Plain {
    Sqlite(SqlitePool),
    Postgres(PgPool),
}

/// What the server keeps in its records, as rows of the plain table under new ids.
pub(crate) async fn rows(ground: &Ground, count: usize) -> Vec<Row> {
    let sql = "SELECT id, area, number, body FROM records WHERE kind = 9 LIMIT $1";
    let rows: Vec<Row> = match ground.store.pool() {
        Pool::Sqlite(pool) => query_as(sql).bind(count as i64).fetch_all(&pool).await.expect("rows"),
        Pool::Postgres(pool) => query_as(sql).bind(count as i64).fetch_all(&pool).await.expect("rows"),
    };
    assert_eq!(rows.len(), count);
    rows.into_iter().map(|(_, area, number, body)| (Uuid::now_v7(), area, number, body)).collect()
}

impl Plain {
    /// A table beside the store's, with the same settings. On SQLite in a file of its own.
    pub(crate) async fn create(ground: &Ground) -> Self {
        let plain = match ground.store.pool() {
            Pool::Sqlite(pool) => {
                let mut path = pool.connect_options().get_filename().to_owned();
                path.set_file_name("plain.db");
                let options = pool.connect_options().as_ref().clone().filename(path);
                let options = options.synchronous(SqliteSynchronous::Full).pragma("cache_size", "-16384");
                let one = SqlitePoolOptions::new().max_connections(1);
                Plain::Sqlite(one.connect_with(options).await.expect("a file"))
            }
            Pool::Postgres(pool) => {
                let options = pool.connect_options().as_ref().clone();
                let some = PgPoolOptions::new().max_connections(POSTGRES_CONNECTIONS as u32);
                Plain::Postgres(some.connect_with(options).await.expect("a connection"))
            }
        };
        match &plain {
            Plain::Sqlite(pool) => {
                let sql = "CREATE TABLE plain (id BLOB NOT NULL, area BLOB NOT NULL, number INTEGER NOT NULL,
                           body TEXT NOT NULL) STRICT";
                query(sql).execute(pool).await.expect("a table");
                index(|sql| query(sql).execute(pool)).await;
            }
            Plain::Postgres(pool) => {
                let sql = "CREATE TABLE plain (id uuid NOT NULL, area uuid NOT NULL, number bigint NOT NULL,
                           body text NOT NULL)";
                query(sql).execute(pool).await.expect("a table");
                index(|sql| query(sql).execute(pool)).await;
            }
        }
        plain
    }

    /// Upserts all rows, so many in one commit.
    pub(crate) async fn upsert(&self, rows: Vec<Row>, rows_per_commit: usize) {
        let mut commits: VecDeque<Vec<Row>> = VecDeque::new();
        let mut rows = rows.into_iter().peekable();
        while rows.peek().is_some() {
            commits.push_back(rows.by_ref().take(rows_per_commit.max(1)).collect());
        }
        match self {
            Plain::Sqlite(pool) => {
                for commit in commits {
                    upsert_sqlite(pool, &commit).await;
                }
            }
            Plain::Postgres(pool) => {
                let commits = std::sync::Mutex::new(commits);
                let connections = (0..POSTGRES_CONNECTIONS).map(|_| async {
                    loop {
                        let next = commits.lock().expect("nobody panicked").pop_front();
                        let Some(commit) = next else { break };
                        upsert_postgres(pool, &commit).await;
                    }
                });
                join_all(connections).await;
            }
        }
    }

    pub(crate) async fn count(&self) -> usize {
        let sql = "SELECT count(*) FROM plain";
        let count: i64 = match self {
            Plain::Sqlite(pool) => sqlx::query_scalar(sql).fetch_one(pool).await.expect("a count"),
            Plain::Postgres(pool) => sqlx::query_scalar(sql).fetch_one(pool).await.expect("a count"),
        };
        count as usize
    }

    pub(crate) async fn close(self) {
        match self {
            Plain::Sqlite(pool) => pool.close().await,
            Plain::Postgres(pool) => pool.close().await,
        }
    }
}

async fn index<F, T>(run: impl Fn(&'static str) -> F)
where
    F: Future<Output = Result<T, sqlx::Error>>,
{
    run("CREATE UNIQUE INDEX plain_id ON plain (id)").await.expect("an index");
    run("CREATE INDEX plain_area ON plain (area, number)").await.expect("an index");
}

async fn upsert_sqlite(pool: &SqlitePool, rows: &[Row]) {
    let mut tx = pool.begin_with("BEGIN IMMEDIATE").await.expect("a transaction");
    for some in rows.chunks(ROWS_PER_STATEMENT) {
        let places = vec!["(?,?,?,?)"; some.len()].join(",");
        let mut statement = query(AssertSqlSafe(format!(
            "INSERT INTO plain (id, area, number, body) VALUES {places} ON CONFLICT (id) DO UPDATE
             SET area = excluded.area, number = excluded.number, body = excluded.body"
        )));
        for (id, area, number, body) in some {
            statement = statement.bind(id).bind(area).bind(number).bind(body.as_str());
        }
        statement.execute(&mut *tx).await.expect("an upsert");
    }
    tx.commit().await.expect("a commit");
}

async fn upsert_postgres(pool: &PgPool, rows: &[Row]) {
    query(
        "INSERT INTO plain (id, area, number, body)
         SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::bigint[], $4::text[])
         ON CONFLICT (id) DO UPDATE SET area = excluded.area, number = excluded.number, body = excluded.body",
    )
    .bind(rows.iter().map(|row| row.0).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| row.1).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| row.2).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| row.3.as_str()).collect::<Vec<_>>())
    .execute(pool)
    .await
    .expect("an upsert");
}
