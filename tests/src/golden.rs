//! What earlier releases wrote: `tests/data/golden` has a folder for each, and none of it is ever changed. The program
//! `golden` writes the folder of a release, when it is made.

use crate::database::TestDatabase;
use rounds_store::Store;
use serde_json::Value;
use sqlx::migrate::Migrator;
use sqlx::{PgPool, SqlitePool};
use std::borrow::Cow;
use std::path::{Path, PathBuf};

static SQLITE_MIGRATIONS: Migrator = sqlx::migrate!("../migrations/sqlite");
static POSTGRES_MIGRATIONS: Migrator = sqlx::migrate!("../migrations/postgres");

/// What one release wrote.
#[derive(Clone, Debug)]
pub struct Golden {
    folder: PathBuf,
}

/// An op as a phone sent it, and what became of it.
#[derive(Clone, PartialEq, Debug)]
pub struct GoldenOp {
    /// What it does: `create area`, `step request`.
    pub name: String,
    /// The encoded `SealedOp`.
    pub sealed: Vec<u8>,
    /// The outcome of its verdict.
    pub outcome: String,
}

/// The phone of a release.
#[derive(Clone, PartialEq, Debug)]
pub struct GoldenPhone {
    /// Its name.
    pub device: String,
    /// Its token.
    pub token: String,
    /// The cursor of its last sync.
    pub cursor: Vec<u8>,
}

impl Golden {
    /// Every release that there is something of.
    ///
    /// # Panics
    /// If the folder is not there.
    pub fn all() -> Vec<Self> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/golden");
        let entries = std::fs::read_dir(folder).expect("golden files");
        let mut folders: Vec<PathBuf> = entries.map(|entry| entry.expect("a folder").path()).collect();
        folders.sort();
        folders.into_iter().map(|folder| Self { folder }).collect()
    }

    /// The name of the release.
    pub fn release(&self) -> Cow<'_, str> {
        self.folder.file_name().unwrap_or_default().to_string_lossy()
    }

    fn lines(&self, name: &str) -> Vec<Vec<String>> {
        let path = self.folder.join(name);
        let text =
            std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        text.lines().map(|line| line.split('\t').map(str::to_owned).collect()).collect()
    }

    /// The ops of its phone, in their order.
    pub fn ops(&self) -> Vec<GoldenOp> {
        let ops = self.lines("ops.tsv").into_iter().map(|line| GoldenOp {
            name: line[0].clone(),
            outcome: line[1].clone(),
            sealed: bytes(&line[2]),
        });
        ops.collect()
    }

    /// Encoded `SyncResponse`s with everything that a feed can have in it, in their order.
    pub fn answers(&self) -> Vec<Vec<u8>> {
        self.lines("answers.tsv").into_iter().map(|line| bytes(&line[0])).collect()
    }

    /// The phone that sent the ops.
    pub fn phone(&self) -> GoldenPhone {
        let line = self.lines("phone.tsv").remove(0);
        GoldenPhone { device: line[0].clone(), token: line[1].clone(), cursor: bytes(&line[2]) }
    }

    /// Encoded requests, each with the method that takes it: `SyncService/Sync`.
    pub fn requests(&self) -> Vec<(String, Vec<u8>)> {
        self.lines("requests.tsv").into_iter().map(|line| (line[0].clone(), bytes(&line[1]))).collect()
    }

    /// The last migration of the release.
    ///
    /// # Panics
    /// If the file of the database does not say.
    pub fn migration(&self) -> i64 {
        self.lines("database.jsonl")[0][0].parse().expect("the number of the last migration")
    }

    /// Fills a database as it was at a migration with what the release kept, as far as there was room for it then.
    ///
    /// # Panics
    /// If it does not fit.
    pub async fn fill(&self, database: &TestDatabase, migration: i64) {
        migrate(database, migration).await;
        let mut rows = Vec::new();
        for line in self.lines("database.jsonl").into_iter().skip(1) {
            let row: Value = serde_json::from_str(&line.join("\t")).expect("a row");
            rows.push((row["table"].as_str().expect("a table").to_owned(), row["row"].clone()));
        }
        let mut sql = String::new();
        let columns = columns(database).await;
        for (table, row) in &rows {
            let fields = row.as_object().expect("a row");
            let known: Vec<(&str, &str, &Value)> = columns
                .iter()
                .filter(|(of, ..)| of == table)
                .filter_map(|(_, name, form)| Some((name.as_str(), form.as_str(), fields.get(name)?)))
                .collect();
            if known.is_empty() {
                continue; // it came later
            }
            let names: Vec<&str> = known.iter().map(|(name, ..)| *name).collect();
            let values: Vec<String> =
                known.iter().map(|(_, form, value)| literal(database.is_postgres(), form, value)).collect();
            sql.push_str(&format!(
                "INSERT INTO {table} ({}) VALUES ({}) ON CONFLICT DO NOTHING;\n",
                names.join(", "),
                values.join(", ")
            ));
        }
        if columns.iter().any(|(table, ..)| table == "audit_head") {
            sql = format!("DELETE FROM audit_head;\n{sql}"); // the migration made one
        }
        if migration < self.migration() {
            // What was counted, and which columns were filled, was another program's then.
            sql.push_str("DELETE FROM meta WHERE key IN ('tally_version', 'record_columns');\n");
        }
        database.execute(&sql).await.expect("rows that fit");
    }
}

/// The number of the last migration of this program.
///
/// # Panics
/// If there is none.
pub fn last_migration() -> i64 {
    SQLITE_MIGRATIONS.iter().map(|migration| migration.version).max().expect("migrations")
}

/// Brings an empty database up to this migration.
pub async fn migrate(database: &TestDatabase, last: i64) {
    let until = |all: &'static Migrator| {
        let migrations = all.iter().filter(|migration| migration.version <= last).cloned().collect();
        Migrator { migrations: Cow::Owned(migrations), ..Migrator::DEFAULT }
    };
    if database.is_postgres() {
        let pool = PgPool::connect(database.url()).await.expect("a database");
        until(&POSTGRES_MIGRATIONS).run(&pool).await.expect("migrations that run");
        pool.close().await;
    } else {
        let pool = SqlitePool::connect(&format!("{}?mode=rwc", database.url())).await.expect("a database");
        until(&SQLITE_MIGRATIONS).run(&pool).await.expect("migrations that run");
        pool.close().await;
    }
}

/// Tables, their columns, and the type of each.
async fn columns(database: &TestDatabase) -> Vec<(String, String, String)> {
    if database.is_postgres() {
        let pool = PgPool::connect(database.url()).await.expect("a database");
        let sql =
            "SELECT table_name::text, column_name::text, data_type::text FROM information_schema.columns
                   WHERE table_schema = 'public'";
        let columns = sqlx::query_as(sql).fetch_all(&pool).await.expect("columns");
        pool.close().await;
        return columns;
    }
    let pool = SqlitePool::connect(database.url()).await.expect("a database");
    let sql = "SELECT tables.name, columns.name, columns.type
               FROM sqlite_schema AS tables, pragma_table_info(tables.name) AS columns WHERE tables.type = 'table'";
    let columns = sqlx::query_as(sql).fetch_all(&pool).await.expect("columns");
    pool.close().await;
    columns
}

/// A value as the database writes it.
fn literal(is_postgres: bool, form: &str, value: &Value) -> String {
    let quoted = |text: &str| format!("'{}'", text.replace('\'', "''"));
    match value {
        Value::Null => "NULL".to_owned(),
        Value::Number(number) if form == "boolean" => (number.as_i64() == Some(1)).to_string(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => match text.split_at(2) {
            ("x:", hex) if !is_postgres => format!("x'{hex}'"),
            ("x:", hex) if form == "uuid" => quoted(hex),
            ("x:", hex) => format!("decode('{hex}', 'hex')"),
            (_, text) => quoted(text),
        },
        other => panic!("no value of a database: {other}"),
    }
}

/// Everything that a SQLite database has in tables of ours, as the lines of `database.jsonl`.
///
/// # Panics
/// If it cannot be read.
pub async fn dumped(database: &TestDatabase, store: &Store) -> String {
    let mut lines = vec![last_migration().to_string()];
    let tables = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'
                  AND name NOT LIKE '\\_sqlx%' ESCAPE '\\' AND name NOT IN ('Jobs', 'Workers') ORDER BY name";
    for table in database.texts(store, tables).await.expect("tables") {
        let names = format!("SELECT name FROM pragma_table_info('{table}') ORDER BY cid");
        let pairs = database.texts(store, &names).await.expect("columns").into_iter().map(|name| {
            format!(
                "'{name}', CASE typeof(\"{name}\") WHEN 'blob' THEN 'x:' || lower(hex(\"{name}\"))
                 WHEN 'text' THEN 't:' || \"{name}\" ELSE \"{name}\" END"
            )
        });
        let pairs: Vec<String> = pairs.collect();
        let sql = format!(
            "SELECT json_object('table', '{table}', 'row', json_object({})) FROM \"{table}\" ORDER BY 1",
            pairs.join(", ")
        );
        lines.extend(database.texts(store, &sql).await.expect("rows"));
    }
    lines.join("\n") + "\n"
}

/// Bytes in hexadecimal.
pub fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The bytes of hexadecimal digits.
///
/// # Panics
/// If these are none.
pub fn bytes(hexadecimal: &str) -> Vec<u8> {
    let pairs = hexadecimal.as_bytes().chunks(2);
    pairs
        .map(|pair| {
            let pair = std::str::from_utf8(pair).expect("digits");
            u8::from_str_radix(pair, 16).expect("hexadecimal digits")
        })
        .collect()
}
