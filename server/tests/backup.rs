//! The real program, its database backed up while phones push, lost, and restored: the phones go on, nothing that was
//! acknowledged is lost, nothing is there twice.

#![allow(clippy::unwrap_used)] // a test that cannot go on has failed

use rounds_tests::restore::lose_and_restore;
use rounds_tests::{Outcome, TestDatabase, rounds, rounds_must};
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

const ROUNDS: &str = env!("CARGO_BIN_EXE_rounds");
/// Ops that are acknowledged before the backup, and again before its database is lost.
const OPS: u64 = 300;

/// Where a database is and how it is copied.
struct Ground {
    first: TestDatabase,
    second: TestDatabase,
    folder: TempDir,
}

impl Ground {
    async fn sqlite() -> Self {
        let (first, second) = (TestDatabase::sqlite().await, TestDatabase::sqlite().await);
        Self { first, second, folder: tempfile::tempdir().unwrap() }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

async fn command(arguments: &[&str]) -> String {
    rounds_must(Path::new(ROUNDS), arguments).await
}

/// What a command says that does not do it.
async fn refusal(arguments: &[&str]) -> String {
    let output = rounds(Path::new(ROUNDS), arguments).await;
    assert!(!output.status.success(), "{arguments:?}");
    String::from_utf8(output.stderr).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn phones_go_on_after_a_restore_and_nothing_acknowledged_is_lost_on_sqlite() {
    phones_go_on_after_a_restore(TestDatabase::sqlite().await, TestDatabase::sqlite().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn phones_go_on_after_a_restore_and_nothing_acknowledged_is_lost_on_postgres() {
    phones_go_on_after_a_restore(TestDatabase::postgres().await, TestDatabase::postgres().await).await;
}

async fn phones_go_on_after_a_restore(first: TestDatabase, second: TestDatabase) {
    let restored = lose_and_restore(Path::new(ROUNDS), &first, &second, OPS).await;
    assert!(restored.in_backup >= OPS, "{restored:?}");
    assert!(restored.in_backup < restored.at_the_loss, "the backup is older: {restored:?}");
    assert!(restored.outcome.recorded > restored.at_the_loss, "{restored:?}");
    assert_eq!(restored.outcome, Outcome::well(restored.outcome.recorded));
    let verified = command(&["verify", "--database", second.url()]).await;
    assert!(verified.contains("0 differences"), "{verified}");
}

#[tokio::test]
async fn a_backup_that_is_not_as_it_was_written_is_refused() {
    let ground = Ground::sqlite().await;
    ground.first.open().await.close().await;
    let file = ground.file("rounds.backup");
    command(&["backup", "--database", ground.first.url(), "--out", file.to_str().unwrap()]).await;
    let whole = fs::read(&file).unwrap();
    let database_bytes = whole.len() - 64;

    let flipped = |at: usize| {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        bytes
    };
    let bare = whole[..database_bytes].to_vec();
    let mut longer = whole.clone();
    longer.push(0);
    let shorter_inside = [&whole[..4096], &whole[8192..]].concat();
    let damaged = [
        ("empty", Vec::new(), "cut short"),
        ("only the database", bare, "does not end with the checksum"),
        ("cut short", whole[..whole.len() / 2].to_vec(), "does not end with the checksum"),
        ("without its last byte", whole[..whole.len() - 1].to_vec(), "does not end with the checksum"),
        ("with a byte more", longer, "does not end with the checksum"),
        ("with a page missing", shorter_inside, "bytes were written into it"),
        ("with a flipped bit at its start", flipped(0), "checksum is another"),
        ("with a flipped bit", flipped(database_bytes / 2), "checksum is another"),
        ("with another time", flipped(database_bytes + 23), "checksum is another"),
        ("with another length", flipped(database_bytes + 31), "bytes were written into it"),
        ("with another checksum", flipped(whole.len() - 1), "checksum is another"),
        ("a letter", b"This is a letter, and no backup. ".repeat(100), "does not end with the checksum"),
    ];
    for (name, bytes, said) in damaged {
        let bad = ground.file("bad.backup");
        fs::write(&bad, bytes).unwrap();
        let bad = bad.to_str().unwrap();
        for arguments in
            [vec!["restore", bad, "--database", ground.second.url()], vec!["backup", "--verify", bad]]
        {
            let message = refusal(&arguments).await;
            assert!(message.contains(bad) && message.contains(said), "{name}: {message}");
        }
        assert!(!path(ground.second.url()).exists(), "{name}: nothing is left behind");
    }
    let folder: Vec<_> = fs::read_dir(path(ground.second.url()).parent().unwrap()).unwrap().collect();
    assert!(folder.is_empty(), "{folder:?}");

    command(&["backup", "--verify", file.to_str().unwrap()]).await;
    command(&["restore", file.to_str().unwrap(), "--database", ground.second.url(), "--verify"]).await;
}

#[tokio::test]
async fn a_database_that_was_damaged_before_it_was_backed_up_is_not_restored() {
    let ground = Ground::sqlite().await;
    ground.first.open().await.close().await;
    // An index says something else than its table.
    ground
        .first
        .execute(
            "PRAGMA writable_schema = ON; INSERT INTO ops (device, seq, state, stamp, at_ms, received_ms, doubtful,
                 group_first, hash, outcome, detail) VALUES (x'01', 1, 0, 1, 1, 1, 0, 1, x'', 'APPLIED', '');
             UPDATE sqlite_schema SET sql = 'CREATE UNIQUE INDEX ops_name ON ops (seq, device)' WHERE name = 'ops_name'",
        )
        .await
        .unwrap();
    let file = ground.file("rounds.backup");
    command(&["backup", "--database", ground.first.url(), "--out", file.to_str().unwrap()]).await;
    let message = refusal(&["restore", file.to_str().unwrap(), "--database", ground.second.url()]).await;
    assert!(message.contains("was damaged") && message.contains("ops_name"), "{message}");
    assert!(!path(ground.second.url()).exists());
}

#[tokio::test]
async fn nothing_that_is_there_is_overwritten() {
    let ground = Ground::sqlite().await;
    ground.first.open().await.close().await;
    let file = ground.file("rounds.backup");
    let backup = file.to_str().unwrap();
    command(&["backup", "--database", ground.first.url(), "--out", backup]).await;
    let before = fs::read(&file).unwrap();
    let message = refusal(&["backup", "--database", ground.first.url(), "--out", backup]).await;
    assert!(message.contains("is not overwritten"), "{message}");
    assert_eq!(fs::read(&file).unwrap(), before);

    let message = refusal(&["restore", backup, "--database", ground.first.url()]).await;
    assert!(message.contains("is not overwritten"), "{message}");
    // The log of a database that was moved away would become part of the new one.
    let log = format!("{}-wal", path(ground.second.url()).display());
    fs::write(&log, "").unwrap();
    let message = refusal(&["restore", backup, "--database", ground.second.url()]).await;
    assert!(message.contains(&log) && message.contains("is not overwritten"), "{message}");
}

#[tokio::test]
async fn a_backup_is_taken_for_no_database() {
    let ground = Ground::sqlite().await;
    ground.first.open().await.close().await;
    let file = ground.file("rounds.db");
    let (backup, url) = (file.to_str().unwrap(), format!("sqlite:{}", file.display()));
    command(&["backup", "--database", ground.first.url(), "--out", backup]).await;
    let elsewhere = ground.file("another.backup");
    for arguments in [
        vec!["serve", "--database", &url],
        vec!["verify", "--database", &url],
        vec!["restored", "--database", &url],
        vec!["backup", "--database", &url, "--out", elsewhere.to_str().unwrap()],
    ] {
        let message = refusal(&arguments).await;
        assert!(message.contains("is a backup") && message.contains("rounds restore"), "{message}");
    }
    command(&["backup", "--verify", backup]).await;
}

#[tokio::test]
async fn what_is_no_database_of_ours_is_not_backed_up() {
    let ground = Ground::sqlite().await;
    let out = ground.file("rounds.backup");
    let arguments = ["backup", "--database", ground.first.url(), "--out", out.to_str().unwrap()];
    let message = refusal(&arguments).await;
    assert!(message.contains("there is no such database"), "{message}");
    assert!(!path(ground.first.url()).exists(), "nothing is made");
    fs::write(path(ground.first.url()), "This is a letter, not a database. ".repeat(100)).unwrap();
    let message = refusal(&arguments).await;
    assert!(message.contains("not a database"), "{message}");
    fs::remove_file(path(ground.first.url())).unwrap();
    fs::File::create(path(ground.first.url())).unwrap();
    let message = refusal(&arguments).await;
    assert!(message.contains("no database of Rounds"), "{message}");
    assert!(!out.exists());
}

#[tokio::test]
async fn postgresql_makes_its_own_backups() {
    let url = "postgres://rounds@127.0.0.1:1/rounds";
    let message = refusal(&["backup", "--database", url, "--out", "rounds.backup"]).await;
    assert!(message.contains("pg_dump"), "{message}");
    let message = refusal(&["restore", "rounds.backup", "--database", url]).await;
    assert!(message.contains("pg_restore") && message.contains("rounds restored"), "{message}");
}

fn path(url: &str) -> PathBuf {
    PathBuf::from(url.strip_prefix("sqlite:").unwrap())
}
