//! No room: the real program may not make its files longer than some place, or the database refuses a write.

use crate::cluster::LOG_FILE_BYTES;
use crate::writer::Writer;
use crate::{Act, Cluster, Crew, Outcome, Program, TestDatabase, assert_sound, new_id, visit};
use rounds_domain::RecordId;
use rounds_store::Store;
use sqlx::{Connection as _, SqliteConnection};
use std::path::Path;
use std::time::{Duration, Instant};
use tokio::process::Command;

const PHONES: usize = 4;
/// The header of SQLite's log, that of a page in it, and a page, in bytes: each is a write of its own.
const LOG_HEADER_BYTES: u64 = 32;
const FRAME_HEADER_BYTES: u64 = 24;
const PAGE_BYTES: u64 = 4096;
/// Calls that have to fail for want of room.
const FAILURES: u64 = 2;
/// A process may write what it likes.
const UNLIMITED: &str = "unlimited";

/// What came of it.
#[derive(Clone, Copy, Debug)]
pub struct OutOfRoom {
    /// What became of the phones' work.
    pub outcome: Outcome,
    /// The longest time from there being room again until an op was acknowledged.
    pub healed_after: Duration,
}

/// Lets phones push to the program on SQLite. For each of these numbers the database's log begins anew and has room for
/// so many writes less one; every third time half of the next fits. Once phones are told that it does not go, there is
/// room again; with `kill`, every so many times the server is killed with -9 first.
///
/// # Panics
/// When the program does not start, or there is no `prlimit`, which Linux has.
pub async fn run_out_of_room(
    rounds: &Path,
    database: &TestDatabase,
    writes: impl Iterator<Item = u64>,
    kill: usize,
) -> OutOfRoom {
    let mut server = start(rounds, database, "127.0.0.1:0").await;
    let address = server.address.to_string();
    let store = database.open().await;
    let mut crew = Crew::begin(&store, server.address, PHONES).await;
    store.close().await;
    let mut healed_after = Duration::ZERO;
    for (turn, write) in writes.enumerate() {
        crew.acknowledged_more(1).await;
        begin_log_anew(database).await;
        limit(&server, &place(write, turn).to_string()).await;
        crew.failed_more(FAILURES).await;
        if turn % kill == kill - 1 {
            server.kill().await;
            server = start(rounds, database, &address).await;
        } else {
            limit(&server, UNLIMITED).await;
        }
        let begun = Instant::now();
        crew.acknowledged_more(1).await;
        healed_after = healed_after.max(begun.elapsed());
    }
    let outcome = crew.finish(database).await;
    server.kill().await;
    OutOfRoom { outcome, healed_after }
}

/// Where the log ends if this write is the first that has no room.
fn place(write: u64, turn: usize) -> u64 {
    let frames = (write.saturating_sub(1)) / 2;
    let header = if write.is_multiple_of(2) { FRAME_HEADER_BYTES } else { 0 };
    let torn = if turn % 3 == 2 { FRAME_HEADER_BYTES / 2 } else { 0 };
    LOG_HEADER_BYTES + frames * (FRAME_HEADER_BYTES + PAGE_BYTES) + header + torn
}

/// A program that is told of a write beyond the limit, as of a full disk, instead of being ended for it.
async fn start(rounds: &Path, database: &TestDatabase, listen: &str) -> Program {
    let mut command = Command::new("sh");
    command.args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\""]).arg(rounds);
    command.args(["serve", "--database", database.url(), "--listen", listen]);
    Program::run(command).await
}

/// How long files of the program may become, in bytes.
async fn limit(server: &Program, bytes: &str) {
    let arguments = ["--pid".to_owned(), server.id().to_string(), format!("--fsize={bytes}:unlimited")];
    let limited = Command::new("prlimit").args(arguments).status().await.expect("prlimit of util-linux");
    assert!(limited.success());
}

/// Lets phones push to the program on a PostgreSQL of its own. Each time its tables may not become longer than they are,
/// every second time its log neither, for which PostgreSQL ends itself. Once phones are told that it does not go, there is
/// room again, and PostgreSQL is started again where it had ended.
///
/// # Panics
/// When something does not start, or this is not Linux.
pub async fn run_out_of_room_on_postgres(rounds: &Path, times: usize) -> OutOfRoom {
    let cluster = Cluster::start();
    let database = TestDatabase::on_cluster(cluster.url());
    let server = Program::start(rounds, database.url(), "127.0.0.1:0").await;
    let store = database.open().await;
    let mut crew = Crew::begin(&store, server.address, PHONES).await;
    let mut healed_after = Duration::ZERO;
    for turn in 0..times {
        crew.acknowledged_more(1).await;
        while tables_bytes(&database, &store).await < LOG_FILE_BYTES {
            crew.acknowledged_more(1).await;
        }
        let takes_log = turn % 2 == 1;
        let bytes = match takes_log {
            true => PAGE_BYTES,
            false => tables_bytes(&database, &store).await,
        };
        cluster.limit_files(&bytes.to_string());
        crew.failed_more(FAILURES).await;
        if takes_log {
            cluster.restart();
        }
        cluster.limit_files(UNLIMITED);
        let begun = Instant::now();
        crew.acknowledged_more(1).await;
        healed_after = healed_after.max(begun.elapsed());
    }
    let outcome = crew.finish(&database).await;
    server.kill().await;
    assert_sound(&store).await;
    store.close().await;
    OutOfRoom { outcome, healed_after }
}

/// The length of the shortest table that every commit makes longer, in bytes.
async fn tables_bytes(database: &TestDatabase, store: &Store) -> u64 {
    let sql = "SELECT least(pg_relation_size('ops'), pg_relation_size('records'))";
    u64::try_from(database.number(store, sql).await.expect("a database that answers")).expect("a length")
}

async fn begin_log_anew(database: &TestDatabase) {
    let mut connection = SqliteConnection::connect(database.url()).await.expect("a database");
    loop {
        let (is_busy, _, _): (bool, i64, i64) = sqlx::query_as("PRAGMA wal_checkpoint(TRUNCATE)")
            .fetch_one(&mut connection)
            .await
            .expect("a checkpoint");
        if !is_busy {
            break;
        }
    }
    connection.close().await.expect("a database");
}

/// What a commit writes into.
const TABLES: [&str; 10] = [
    "ops",
    "records",
    "departures",
    "tallies",
    "attended",
    "late_arrivals",
    "areas",
    "devices",
    "waiting_jobs",
    "timers",
];
/// Visits in a commit: enough for 500 rows.
const VISITS: usize = 200;

/// What came of writes that were refused.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Refused {
    /// Writes that were refused, each in a commit of its own.
    pub writes: usize,
    /// Commits that were acknowledged all the same.
    pub acknowledged: usize,
    /// Commits of which something is there all the same.
    pub kept: usize,
    /// Commits of others that failed once there was room again.
    pub unhealed: usize,
}

impl Refused {
    /// How much is wrong.
    pub fn wrong(&self) -> usize {
        self.acknowledged + self.kept + self.unhealed
    }
}

/// Commits visits, and for each of these numbers the database refuses that write of a row: on PostgreSQL as on a full
/// disk. In the end it takes them in.
///
/// # Panics
/// When the database does not answer otherwise.
pub async fn refuse_each_write(database: &TestDatabase, writes: impl Iterator<Item = u64>) -> Refused {
    let store = database.open().await;
    let (writer, other) = (Writer::enrol(&store).await, Writer::enrol(&store).await);
    let area = other.area(&store).await;
    prepare_refusals(database).await;
    let visits: Vec<Act> = (0..VISITS).map(|_| visit(area, RecordId(new_id()))).collect();
    let batch = writer.batch(visits, Some(1));
    let mut refused = Refused::default();
    for write in writes {
        refuse_write(database, write).await;
        refused.acknowledged += usize::from(store.submit(batch.clone()).await.is_ok());
        refuse_write(database, 0).await;
        let known = store.device(writer.device).await.expect("a database").expect("its device");
        let ops = format!("SELECT count(*) FROM ops WHERE device = {}", database.literal(writer.device.0));
        let is_there = database.number(&store, &ops).await.expect("a number") > 0;
        refused.kept += usize::from(is_there || known.acknowledged_through > 0);
        let small = other.batch([visit(area, RecordId(new_id()))], None);
        refused.unhealed += usize::from(store.submit(small).await.is_err());
        refused.writes += 1;
    }
    let receipt = store.submit(batch).await.expect("a commit");
    assert_eq!(receipt.acknowledged_through, VISITS as u64);
    assert_sound(&store).await;
    store.close().await;
    refused
}

/// The database can be told which write of a row fails, counted in each transaction.
async fn prepare_refusals(database: &TestDatabase) {
    let mut sql = "CREATE TABLE refusal (at INT NOT NULL, so_far INT NOT NULL);
                   INSERT INTO refusal (at, so_far) VALUES (0, 0);"
        .to_owned();
    let action = if database.is_postgres() {
        sql += "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                    UPDATE refusal SET so_far = so_far + 1 WHERE at > 0;
                    IF EXISTS (SELECT 1 FROM refusal WHERE at > 0 AND so_far >= at) THEN
                        RAISE EXCEPTION 'no room' USING ERRCODE = 'disk_full';
                    END IF;
                    IF TG_OP = 'DELETE' THEN RETURN OLD; END IF;
                    RETURN NEW;
                END $$;";
        "FOR EACH ROW EXECUTE FUNCTION refuse();"
    } else {
        "BEGIN
             UPDATE refusal SET so_far = so_far + 1 WHERE at > 0;
             SELECT RAISE(ABORT, 'no room') FROM refusal WHERE at > 0 AND so_far >= at;
         END;"
    };
    for table in TABLES {
        for event in ["INSERT", "UPDATE", "DELETE"] {
            sql += &format!("CREATE TRIGGER refuse_{table}_{event} BEFORE {event} ON {table} {action}");
        }
    }
    database.execute(&sql).await.expect("triggers");
}

/// From now on this write of a row fails, in every transaction. Counted from 1; 0: none.
async fn refuse_write(database: &TestDatabase, write: u64) {
    let sql = format!("UPDATE refusal SET at = {write}, so_far = 0");
    database.execute(&sql).await.expect("a database that answers");
}
