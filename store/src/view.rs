//! Read-only views for reports: `report_visits`, `report_requests`, ... one per kind, with the columns that exports have.
//!
//! They are not in the migrations: they follow the fields of the bodies, so a new field is a new column and needs no
//! migration on either database. Opening makes what is missing, under a lock, and leaves alone what has every column
//! that this program knows. So an older program takes no column away that a newer one made, and what others were
//! granted on a view stays: PostgreSQL lets a view get more columns, at its end, without being dropped.
//!
//! A migration that changes what the views read (`records.body`, say) or has to change what a column says drops them
//! first: they are made anew right after it, and whoever was granted them has to be granted them again.

use crate::Error;
use rounds_domain::Kind;
use rounds_domain::column::{Column, Form, MOMENTS_MS, Source, columns};
use sqlx::{AssertSqlSafe, PgPool, SqlitePool, query, query_as, raw_sql};
use std::collections::HashMap;
use std::fmt::Write as _;
use std::ops::RangeInclusive;

/// Servers that open the same PostgreSQL at once look after the views one after another. A number of our own.
const POSTGRES_LOCK: i64 = 0x726f_756e_6473_0001;
/// PostgreSQL cannot change a view while somebody reads it. A report that takes longer does not keep a server from
/// starting: the next start does it.
const POSTGRES_LOCK_TIMEOUT: &str = "SET LOCAL lock_timeout = '5s'";
/// What PostgreSQL says when it took longer.
const LOCK_NOT_AVAILABLE: &str = "55P03";

/// Of workers nothing is shown but these.
const WORKER_COLUMNS: [&str; 2] = ["id", "name"];

/// A view as it should be.
struct View {
    name: String,
    /// Names, and the expression for each.
    columns: Vec<(String, String)>,
    /// What the expressions are about.
    from: String,
}

/// The names of a view's columns in their order, and for PostgreSQL their types.
type Existing = HashMap<String, Vec<(String, String)>>;

impl View {
    /// Whether it has to be made: it is not there, or lacks a column.
    fn is_missing(&self, existing: &Existing) -> bool {
        let there = existing.get(&self.name).map(Vec::as_slice).unwrap_or_default();
        self.columns.iter().any(|(name, _)| !there.iter().any(|(known, _)| known == name))
    }

    /// The statement behind it, with the columns of `there` first, as they are.
    fn select(&self, there: &[(String, String)]) -> String {
        let kept = there.iter().map(|(name, form)| {
            let known = self.columns.iter().find(|(known, _)| known == name);
            let expression = known.map_or_else(|| format!("NULL::{form}"), |(_, known)| known.clone());
            (name.clone(), expression)
        });
        let new = self.columns.iter().filter(|(name, _)| !there.iter().any(|(known, _)| known == name));
        let listed: Vec<String> = kept
            .chain(new.cloned())
            .map(|(name, expression)| format!("{expression} AS \"{name}\""))
            .collect();
        format!("SELECT {} FROM {}", listed.join(", "), self.from)
    }
}

/// Makes the views of SQLite that are missing or lack a column. The caller holds the lock of the file.
pub(crate) async fn complete_sqlite(writer: &SqlitePool) -> Result<(), Error> {
    let rows: Vec<(String, String)> = query_as(
        "SELECT views.name, columns.name FROM sqlite_schema AS views, pragma_table_info(views.name) AS columns
         WHERE views.type = 'view' AND views.name LIKE 'report\\_%' ESCAPE '\\' ORDER BY views.name, columns.cid",
    )
    .fetch_all(writer)
    .await?;
    let existing = by_view(rows.into_iter().map(|(view, column)| (view, column, String::new())));
    let mut sql = String::new();
    for view in views(&Sqlite).iter().filter(|view| view.is_missing(&existing)) {
        let name = &view.name;
        let _ = write!(sql, "DROP VIEW IF EXISTS {name}; CREATE VIEW {name} AS {}; ", view.select(&[]));
    }
    if !sql.is_empty() {
        let mut tx = writer.begin_with("BEGIN IMMEDIATE").await?;
        raw_sql(AssertSqlSafe(sql)).execute(&mut *tx).await?; // of our own names only
        tx.commit().await?;
    }
    Ok(())
}

/// Makes the views of PostgreSQL that are missing or lack a column, beside other processes that do the same.
pub(crate) async fn complete_postgres(pool: &PgPool) -> Result<(), Error> {
    let mut tx = pool.begin().await?;
    query("SELECT pg_advisory_xact_lock($1)").bind(POSTGRES_LOCK).execute(&mut *tx).await?;
    let rows: Vec<(String, String, String)> = query_as(
        "SELECT class.relname::text, column_.attname::text, format_type(column_.atttypid, column_.atttypmod)
         FROM pg_class AS class JOIN pg_attribute AS column_ ON column_.attrelid = class.oid AND column_.attnum > 0
         WHERE class.relkind = 'v' AND class.relnamespace = current_schema()::regnamespace
         AND class.relname LIKE 'report\\_%' ORDER BY class.relname, column_.attnum",
    )
    .fetch_all(&mut *tx)
    .await?;
    let existing = by_view(rows);
    let mut sql = String::new();
    for view in views(&Postgres).iter().filter(|view| view.is_missing(&existing)) {
        let there = existing.get(&view.name).map(Vec::as_slice).unwrap_or_default();
        let _ = write!(sql, "CREATE OR REPLACE VIEW {} AS {}; ", view.name, view.select(there));
    }
    if !sql.is_empty() {
        query(POSTGRES_LOCK_TIMEOUT).execute(&mut *tx).await?;
        match raw_sql(AssertSqlSafe(sql)).execute(&mut *tx).await.map_err(Error::from) {
            Err(error) if error.database_code().as_deref() == Some(LOCK_NOT_AVAILABLE) => {
                tracing::warn!(
                    "somebody reads the views for reports: their new columns have to wait for another start"
                );
                return Ok(());
            }
            done => done?,
        };
    }
    tx.commit().await?;
    Ok(())
}

fn by_view(rows: impl IntoIterator<Item = (String, String, String)>) -> Existing {
    let mut existing = Existing::new();
    for (view, column, form) in rows {
        existing.entry(view).or_default().push((column, form));
    }
    existing
}

fn views(dialect: &dyn Dialect) -> Vec<View> {
    let mut views: Vec<View> = Kind::ALL.iter().map(|kind| of_kind(*kind, dialect)).collect();
    views.push(tree(dialect));
    views
}

fn of_kind(kind: Kind, dialect: &dyn Dialect) -> View {
    let mut shown = columns(kind);
    if kind == Kind::Worker {
        shown.retain(|column| WORKER_COLUMNS.contains(&column.name));
    }
    View {
        name: format!("report_{}", kind.plural()),
        from: format!("{} WHERE r.kind = {} AND NOT r.deleted", dialect.records(kind), kind.number()),
        columns: shown.iter().map(|column| (column.name.to_owned(), dialect.expression(column))).collect(),
    }
}

/// Every pair of an area and an area that it is within, itself included.
fn tree(dialect: &dyn Dialect) -> View {
    let column = |name: &str, record: &str, path: &[&str]| (name.to_owned(), dialect.text(record, path));
    View {
        name: "report_area_tree".to_owned(),
        columns: vec![
            ("area".to_owned(), dialect.id("r")),
            column("area_name", "r", &["fields", "name"]),
            ("within".to_owned(), dialect.id("a")),
            column("within_name", "a", &["fields", "name"]),
        ],
        from: "area_lines JOIN records AS r ON r.id = descendant JOIN records AS a ON a.id = ancestor
               WHERE NOT r.deleted AND NOT a.deleted"
            .to_owned(),
    }
}

/// How a database reads records, as JSON in `body` of the tables `r` and, for the area of `r`, `a`.
trait Dialect {
    /// The records of a kind with their areas.
    fn records(&self, kind: Kind) -> String;
    /// The id of a record.
    fn id(&self, table: &str) -> String;
    /// The text at a path.
    fn text(&self, table: &str, path: &[&str]) -> String;
    /// What a column tells.
    fn expression(&self, column: &Column) -> String;
}

struct Sqlite;

impl Dialect for Sqlite {
    fn records(&self, _: Kind) -> String {
        "records AS r LEFT JOIN records AS a ON a.id = r.area".to_owned()
    }

    fn id(&self, table: &str) -> String {
        self.text(table, &["id"]) // the column has bytes
    }

    fn text(&self, table: &str, path: &[&str]) -> String {
        format!("json_extract({table}.body, '$.{}')", path.join("."))
    }

    fn expression(&self, column: &Column) -> String {
        let value = match column.source {
            Source::Id => self.id("r"),
            Source::Area => self.text("r", &["area"]),
            Source::AreaName => self.text("a", &["fields", "name"]),
            Source::Number => "r.number".to_owned(),
            Source::Status => "nullif(r.status, '')".to_owned(),
            Source::CreatedAt => self.text("r", &["created", "at_ms"]),
            Source::ChangedAt => self.text("r", &["changed", "at_ms"]),
            Source::Field(field) => self.text("r", &["fields", field]),
        };
        match column.form {
            Form::Moment => {
                let is_told = between(&MOMENTS_MS);
                format!(
                    "CASE WHEN {value} {is_told} THEN strftime('%Y-%m-%dT%H:%M:%fZ', {value} / 1000.0, 'unixepoch') END"
                )
            }
            Form::YesNo => format!("coalesce({value}, 0)"),
            _ => value,
        }
    }
}

struct Postgres;

impl Dialect for Postgres {
    /// Reads the JSON of a record once, not once per column.
    fn records(&self, kind: Kind) -> String {
        let fields: Vec<String> = columns(kind)
            .iter()
            .filter_map(|column| match (column.source, column.form) {
                (Source::Field(field), form) => Some(format!("\"{field}\" {}", json_type(form))),
                _ => None,
            })
            .collect();
        format!(
            "records AS r CROSS JOIN LATERAL jsonb_to_record(r.body::jsonb) AS b(created jsonb, changed jsonb, fields jsonb)
             CROSS JOIN LATERAL jsonb_to_record(b.fields) AS f({}) LEFT JOIN records AS a ON a.id = r.area",
            fields.join(", ")
        )
    }

    fn id(&self, table: &str) -> String {
        format!("{table}.id")
    }

    fn text(&self, table: &str, path: &[&str]) -> String {
        format!("{table}.body::jsonb #>> '{{{}}}'", path.join(","))
    }

    fn expression(&self, column: &Column) -> String {
        let value = match column.source {
            Source::Id => self.id("r"),
            Source::Area => "r.area".to_owned(),
            Source::AreaName => self.text("a", &["fields", "name"]),
            Source::Number => "r.number".to_owned(),
            Source::Status => "nullif(r.status, '')".to_owned(),
            Source::CreatedAt => "(b.created ->> 'at_ms')::bigint".to_owned(),
            Source::ChangedAt => "(b.changed ->> 'at_ms')::bigint".to_owned(),
            Source::Field(field) => format!("f.\"{field}\""),
        };
        match column.form {
            Form::Moment => {
                let is_told = between(&MOMENTS_MS);
                format!("CASE WHEN {value} {is_told} THEN to_timestamp({value} / 1000.0) END")
            }
            // The year 0, which ISO dates have, is none of PostgreSQL's.
            Form::Date => format!("CASE WHEN {value} >= '0001' THEN {value}::date END"),
            Form::YesNo => format!("coalesce({value}, false)"),
            _ => value,
        }
    }
}

fn between(range: &RangeInclusive<i64>) -> String {
    format!("BETWEEN {} AND {}", range.start(), range.end())
}

/// The type as which PostgreSQL takes a field out of the JSON.
fn json_type(form: Form) -> &'static str {
    match form {
        Form::Text | Form::Date => "text",
        Form::Integer | Form::Moment => "bigint",
        Form::Number => "double precision",
        Form::YesNo => "boolean",
        Form::Reference => "uuid",
        Form::List => "jsonb",
    }
}
