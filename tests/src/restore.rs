//! A database that is backed up while phones push, lost, and made again from the backup.

use crate::{Crew, Outcome, Program, TestDatabase, postgres_program, rounds_must};
use rounds_domain::Kind;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};
use tokio::process::Command;

const PHONES: usize = 4;

/// What came of it.
#[derive(Clone, Copy, Debug)]
pub struct Restored {
    /// What became of the phones' work.
    pub outcome: Outcome,
    /// Visits in the backup.
    pub in_backup: u64,
    /// Ops of the phones that had been acknowledged when the database was lost.
    pub at_the_loss: u64,
    /// How long the backup took.
    pub backup_took: Duration,
    /// How long it took to make the database again.
    pub restore_took: Duration,
    /// How large the database was, in bytes.
    pub database_bytes: u64,
}

/// Lets phones push to the program on the first database; backs it up once `ops` of theirs were acknowledged, kills the
/// server once as many more were, restores to the second database, and goes on until as many more are acknowledged.
///
/// # Panics
/// When one of the programs does not do what it was told.
pub async fn lose_and_restore(
    rounds: &Path,
    first: &TestDatabase,
    second: &TestDatabase,
    ops: u64,
) -> Restored {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("rounds.backup");
    let backup = file.to_str().expect("a name");
    let server = Program::start(rounds, first.url(), "127.0.0.1:0").await;
    let store = first.open().await;
    let mut crew = Crew::begin(&store, server.address, PHONES).await;
    store.close().await;
    crew.acknowledged_more(ops).await;
    let database_bytes = bytes(first).await;
    let begun = Instant::now();
    match first.is_postgres() {
        true => postgres("pg_dump", &["--format=custom", "--file", backup, first.url()]).await,
        false => rounds_must(rounds, &["backup", "--database", first.url(), "--out", backup]).await,
    };
    let backup_took = begun.elapsed();
    crew.acknowledged_more(ops).await;

    let (address, at_the_loss) = (server.address.to_string(), crew.acknowledged());
    server.kill().await;
    let begun = Instant::now();
    if first.is_postgres() {
        postgres("pg_restore", &["--exit-on-error", "--dbname", second.url(), backup]).await;
        rounds_must(rounds, &["restored", "--database", second.url()]).await;
    } else {
        rounds_must(rounds, &["restore", backup, "--database", second.url()]).await;
        let key_file = |url: &str| format!("{}.contact-key", url.trim_start_matches("sqlite:"));
        std::fs::copy(key_file(first.url()), key_file(second.url())).expect("the key file is taken along");
    }
    let restore_took = begun.elapsed();
    let store = second.open().await;
    let count = format!(
        "SELECT count(*) FROM records WHERE kind = {} AND area = {}",
        Kind::Visit.number(),
        second.literal(crew.area.0)
    );
    let in_backup = second.number(&store, &count).await.expect("a number") as u64;
    store.close().await;

    let server = Program::start(rounds, second.url(), &address).await;
    crew.answered_more(2 * PHONES as u64).await; // each has heard of the other epoch
    crew.acknowledged_more(ops).await;
    let outcome = crew.finish(second).await;
    server.kill().await;
    Restored { outcome, in_backup, at_the_loss, backup_took, restore_took, database_bytes }
}

async fn bytes(database: &TestDatabase) -> u64 {
    let store = database.open().await;
    let sql = match database.is_postgres() {
        true => "SELECT pg_database_size(current_database())",
        false => "SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()",
    };
    let bytes = database.number(&store, sql).await.expect("a number");
    store.close().await;
    bytes as u64
}

/// Runs one of PostgreSQL's programs for users.
async fn postgres(program: &str, arguments: &[&str]) -> String {
    let mut command = Command::new(postgres_program(program));
    let output =
        command.args(arguments).stdin(Stdio::null()).kill_on_drop(true).output().await.expect("a program");
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
    String::new()
}
