//! Backups of SQLite databases, and what a database has to be told that was made from a backup.
//!
//! A backup is the database as it was at one moment, with a seal of 64 bytes behind it. A database never has its
//! length, so no program of ours takes a backup for one, and works in it, before it was restored.
//!
//! It is made with `VACUUM INTO`, which reads one snapshot: writers go on meanwhile. SQLite's online backup API does
//! so only if it copies everything in one step, and then it also copies what was deleted; in several steps it begins
//! anew with each commit of another process, and beside a server that is written to it never ends.

use crate::Error;
use crate::database::{POSTGRES_APPLICATION, SQLITE_BUSY_TIMEOUT, connect_error, is_postgres, sqlite_path};
use sha2::{Digest as _, Sha256};
use sqlx::postgres::PgConnectOptions;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteLockingMode, SqliteSynchronous};
use sqlx::{ConnectOptions as _, Connection as _, SqliteConnection, query, query_scalar};
use std::fs::File;
use std::io::{self, Read, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::str::FromStr as _;
use std::time::Duration;
use tempfile::{Builder, NamedTempFile};
use uuid::Uuid;

/// How a seal begins.
const SEAL_NAME: &[u8; 16] = b"rounds backup 1\n";
/// A name, when it was made, how long the database is, and a hash over all of that.
const SEAL_BYTES: usize = 64;
/// How much of it is in the hash.
const SEAL_HASHED_BYTES: usize = SEAL_BYTES - 32;
/// Every page of SQLite is a multiple of this.
const SQLITE_PAGE_UNIT_BYTES: u64 = 512;
/// How much of a file is read at a time.
const CHUNK_BYTES: usize = 1024 * 1024;
/// Faults in a database that are told one by one.
const FAULTS_TOLD_MAX: usize = 10;

/// Numbers of assignments that are left out after a restore. Those given out since the backup may still be on devices,
/// and must not be given out for other assignments: far fewer than this.
pub(crate) const SCOPE_VERSIONS_SKIPPED: i64 = 1_000_000;

/// What is different in a database that was restored.
macro_rules! begin_anew {
    ($connection:expr, $new_epoch:expr) => {{
        let epoch = query("UPDATE meta SET value = $1 WHERE key = 'epoch'")
            .bind($new_epoch.to_string())
            .execute($connection)
            .await?;
        if epoch.rows_affected() != 1 {
            return Err(Error::Unsuitable("this is no database of Rounds".to_owned()));
        }
        query("UPDATE codes SET expires_ms = 0 WHERE used_by IS NULL").execute($connection).await?;
        query("UPDATE devices SET scope_version = scope_version + $1")
            .bind($crate::backup::SCOPE_VERSIONS_SKIPPED)
            .execute($connection)
            .await?;
    }};
}
pub(crate) use begin_anew;

/// What a backup says of itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Backup {
    /// When it was begun, in ms since 1970 UTC. Everything that was acknowledged before is in it.
    pub made_ms: i64,
    /// How long the database in it is, in bytes.
    pub database_bytes: u64,
}

/// Writes the SQLite database that the URL names into a new file, as it is at one moment; servers may go on writing.
/// The file gets its name when it is whole and on disk. Only its owner can read it: it holds everything.
///
/// The database is left as it is, of whatever release it may be.
///
/// # Errors
/// [`Error::Unsuitable`] says what is wrong with the URL, the database or the file's name; [`Error::Unavailable`] where
/// there is no room.
pub async fn back_up(url: &str, file: &Path, now_ms: i64) -> Result<Backup, Error> {
    if is_postgres(url) {
        return Err(Error::Unsuitable(
            "PostgreSQL makes its own backups: pg_dump --format=custom --file=FILE URL".to_owned(),
        ));
    }
    let path = sqlite_path(url)?;
    refuse_if_there(file)?;
    if !path.exists() {
        return Err(Error::Unsuitable(format!("{}: there is no such database", path.display())));
    }
    refuse_sealed(path)?;
    let options =
        SqliteConnectOptions::new().filename(path).read_only(true).busy_timeout(SQLITE_BUSY_TIMEOUT);
    let mut connection = options.disable_statement_logging().connect().await?;
    known(&mut connection, path).await?;
    let copy = new_beside(file)?;
    query("VACUUM INTO $1").bind(text(copy.path())?).execute(&mut connection).await?;
    connection.close().await?;
    let to = file.to_owned();
    blocking(move || seal(copy, &to, now_ms)).await?.map_err(|error| told(file, &error))
}

/// Reads a backup from end to end and answers what it says of itself.
///
/// # Errors
/// [`Error::Unsuitable`] if it is none, or is not whole.
pub async fn check_backup(file: &Path) -> Result<Backup, Error> {
    let file = file.to_owned();
    blocking(move || unseal(&file, &mut io::sink())).await?
}

/// Makes the new SQLite database that the URL names from a backup, see [`restored`]. It is there when it is whole,
/// sound and on disk, or not at all.
///
/// # Errors
/// [`Error::Unsuitable`] says what is wrong with the backup, or that there is a database of that name already.
pub async fn restore(file: &Path, url: &str, new_epoch: Uuid) -> Result<Backup, Error> {
    if is_postgres(url) {
        return Err(Error::Unsuitable(
            "PostgreSQL restores its own backups, with pg_restore; then say so: rounds restored --database URL"
                .to_owned(),
        ));
    }
    let path = sqlite_path(url)?.to_owned();
    // The log of a database that was here before would become part of this one.
    for kept_beside in ["", "-wal", "-shm", "-journal"] {
        let mut name = path.clone().into_os_string();
        name.push(kept_beside);
        refuse_if_there(Path::new(&name))?;
    }
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(|error| told(folder, &error))?;
    }
    let mut copy = new_beside(&path)?;
    let from = file.to_owned();
    let (backup, copy) =
        blocking(move || unseal(&from, copy.as_file_mut()).map(|backup| (backup, copy))).await??;

    // Nobody else knows of the copy yet: it needs no journal.
    let options = SqliteConnectOptions::new()
        .filename(copy.path())
        .journal_mode(SqliteJournalMode::Memory)
        .synchronous(SqliteSynchronous::Off);
    let mut connection = options.disable_statement_logging().connect().await?;
    known(&mut connection, file).await?;
    let faults: Vec<String> =
        query_scalar(sqlx::AssertSqlSafe(format!("PRAGMA integrity_check({FAULTS_TOLD_MAX})")))
            .fetch_all(&mut connection)
            .await?;
    if faults != ["ok"] {
        let name = file.display();
        return Err(Error::Unsuitable(format!(
            "{name}: the database in it was damaged: {}",
            faults.join("; ")
        )));
    }
    let mut tx = connection.begin().await?;
    begin_anew!(&mut *tx, new_epoch);
    tx.commit().await?;
    connection.close().await?;
    let to = path.clone();
    blocking(move || keep(copy, &to)).await?.map_err(|error| told(&path, &error))?;
    Ok(backup)
}

/// Tells a database that it was restored by other means: it gets a new epoch, so that devices ask for everything anew,
/// and send again what they still hold and it does not have. One-time codes that are open in it are void, because they
/// may have been used since.
///
/// # Errors
/// [`Error::Unsuitable`] while a server or worker has it open, or if it is no database of ours; [`Error::Unavailable`].
pub async fn restored(url: &str, new_epoch: Uuid) -> Result<(), Error> {
    if is_postgres(url) {
        let options =
            PgConnectOptions::from_str(url).map_err(|error| Error::Unsuitable(error.to_string()))?;
        let mut connection = options.connect().await.map_err(|error| connect_error(error, "PostgreSQL"))?;
        let mut tx = connection.begin().await?;
        let is_ours: bool =
            query_scalar("SELECT to_regclass('meta') IS NOT NULL").fetch_one(&mut *tx).await?;
        if !is_ours {
            return Err(Error::Unsuitable("this is no database of Rounds".to_owned()));
        }
        let others: i64 = query_scalar(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = $1",
        )
        .bind(POSTGRES_APPLICATION)
        .fetch_one(&mut *tx)
        .await?;
        if others > 0 {
            return Err(in_use());
        }
        begin_anew!(&mut *tx, new_epoch);
        tx.commit().await?;
        return Ok(connection.close().await?);
    }
    let path = sqlite_path(url)?;
    refuse_sealed(path)?;
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(false)
        .locking_mode(SqliteLockingMode::Exclusive)
        .busy_timeout(Duration::ZERO)
        .synchronous(SqliteSynchronous::Full);
    let opened = async {
        let mut connection = options.connect().await?;
        connection.begin_with("BEGIN EXCLUSIVE").await?.rollback().await?;
        Ok(connection)
    };
    let mut connection = opened.await.map_err(|error: sqlx::Error| {
        let code = error
            .as_database_error()
            .and_then(|error| error.code())
            .and_then(|code| code.parse::<u32>().ok());
        match code.unwrap_or_default() & 0xff {
            5 => in_use(), // the upper bits only say more
            _ => connect_error(error, &path.display().to_string()),
        }
    })?;
    known(&mut connection, path).await?;
    let mut tx = connection.begin_with("BEGIN EXCLUSIVE").await?;
    begin_anew!(&mut *tx, new_epoch);
    tx.commit().await?;
    Ok(connection.close().await?)
}

fn in_use() -> Error {
    Error::Unsuitable("a server or worker has this database open: stop all of them first".to_owned())
}

/// Refuses what is no database of ours.
async fn known(connection: &mut SqliteConnection, path: &Path) -> Result<(), Error> {
    let epoch: Result<Option<String>, _> =
        query_scalar("SELECT value FROM meta WHERE key = 'epoch'").fetch_optional(connection).await;
    let what = match epoch.map_err(Error::from) {
        Ok(Some(_)) => return Ok(()),
        Ok(None) => "it has no epoch".to_owned(),
        Err(Error::Unavailable(error)) if Error::Unavailable(error.clone()).is_about_content() => {
            error.to_string()
        }
        Err(error) => return Err(error),
    };
    Err(Error::Unsuitable(format!("{}: this is no database of Rounds: {what}", path.display())))
}

/// Refuses a backup where a database is wanted.
pub(crate) fn refuse_sealed(path: &Path) -> Result<(), Error> {
    // A look at the length first: to open and close a database's file would let go of the locks that SQLite has on it.
    let is_sealed = std::fs::metadata(path)
        .is_ok_and(|it| it.len() % SQLITE_PAGE_UNIT_BYTES == SEAL_BYTES as u64)
        && File::open(path).and_then(|mut file| Seal::read(&mut file)).is_ok_and(|seal| seal.is_some());
    if !is_sealed {
        return Ok(());
    }
    let name = path.display();
    Err(Error::Unsuitable(format!(
        "{name} is a backup: make a database of it first: rounds restore {name} --database sqlite:NEW"
    )))
}

fn refuse_if_there(path: &Path) -> Result<(), Error> {
    if path.exists() {
        let name = path.display();
        return Err(Error::Unsuitable(format!(
            "{name} is there already, and is not overwritten: choose another name"
        )));
    }
    Ok(())
}

/// A file that goes away if nothing comes of it, where `path` will be.
fn new_beside(path: &Path) -> Result<NamedTempFile, Error> {
    Builder::new()
        .prefix(".rounds-")
        .suffix(".part")
        .tempfile_in(folder(path))
        .map_err(|error| told(path, &error))
}

fn folder(path: &Path) -> PathBuf {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
        _ => PathBuf::from("."),
    }
}

fn text(path: &Path) -> Result<&str, Error> {
    path.to_str().ok_or_else(|| Error::Unsuitable(format!("{}: the name is not UTF-8", path.display())))
}

fn told(path: &Path, error: &io::Error) -> Error {
    Error::Unsuitable(format!("{}: {error}", path.display()))
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Error> {
    tokio::task::spawn_blocking(work).await.map_err(|error| Error::Unsuitable(error.to_string()))
}

/// The end of a backup.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Seal {
    made_ms: i64,
    database_bytes: u64,
    hash: [u8; 32],
}

impl Seal {
    /// What the hash is over, beside the database.
    fn hashed(&self) -> [u8; SEAL_HASHED_BYTES] {
        let mut bytes = [0; SEAL_HASHED_BYTES];
        bytes[..16].copy_from_slice(SEAL_NAME);
        bytes[16..24].copy_from_slice(&self.made_ms.to_be_bytes());
        bytes[24..].copy_from_slice(&self.database_bytes.to_be_bytes());
        bytes
    }

    /// The seal of a file, if it ends with one.
    fn read(file: &mut File) -> io::Result<Option<Self>> {
        if file.metadata()?.len() < SEAL_BYTES as u64 {
            return Ok(None);
        }
        file.seek(SeekFrom::End(-(SEAL_BYTES as i64)))?;
        let (mut name, mut number, mut hash) = ([0; 16], [0; 8], [0; 32]);
        file.read_exact(&mut name)?;
        file.read_exact(&mut number)?;
        let made_ms = i64::from_be_bytes(number);
        file.read_exact(&mut number)?;
        let database_bytes = u64::from_be_bytes(number);
        file.read_exact(&mut hash)?;
        Ok((name == *SEAL_NAME).then_some(Self { made_ms, database_bytes, hash }))
    }
}

/// Puts the seal behind a database, and gives it its name.
fn seal(mut copy: NamedTempFile, to: &Path, made_ms: i64) -> io::Result<Backup> {
    let file = copy.as_file_mut();
    file.rewind()?;
    let mut hash = Sha256::new();
    let database_bytes = pass_on(file, u64::MAX, &mut hash, &mut io::sink())?;
    let mut seal = Seal { made_ms, database_bytes, hash: [0; 32] };
    hash.update(seal.hashed());
    seal.hash = hash.finalize().into();
    file.write_all(&seal.hashed())?;
    file.write_all(&seal.hash)?;
    keep(copy, to)?;
    Ok(Backup { made_ms, database_bytes })
}

/// Copies the database out of a backup, if it is whole.
fn unseal(path: &Path, into: &mut impl io::Write) -> Result<Backup, Error> {
    let name = path.display();
    let opened = || -> io::Result<(File, u64, Option<Seal>)> {
        let mut file = File::open(path)?;
        let (bytes, seal) = (file.metadata()?.len(), Seal::read(&mut file)?);
        file.rewind()?;
        Ok((file, bytes, seal))
    };
    let (mut file, bytes, seal) = opened().map_err(|error| told(path, &error))?;
    let seal = seal.ok_or_else(|| {
        let what = "it does not end with the checksum of a backup: it was cut short, or `rounds backup` did not make it";
        Error::Unsuitable(format!("{name}: {what}"))
    })?;
    if seal.database_bytes != bytes - SEAL_BYTES as u64 {
        let (has, wanted) = (bytes - SEAL_BYTES as u64, seal.database_bytes);
        return Err(Error::Unsuitable(format!(
            "{name}: {wanted} bytes were written into it, and it has {has}"
        )));
    }
    let mut hash = Sha256::new();
    pass_on(&mut file, seal.database_bytes, &mut hash, into).map_err(|error| told(path, &error))?;
    hash.update(seal.hashed());
    if hash.finalize().as_slice() != seal.hash {
        let what = "it was changed since it was made: its checksum is another";
        return Err(Error::Unsuitable(format!("{name}: {what}")));
    }
    Ok(Backup { made_ms: seal.made_ms, database_bytes: seal.database_bytes })
}

/// Reads at most so many bytes, and writes them to both. Answers how many there were.
fn pass_on(from: &mut File, bytes_max: u64, hash: &mut Sha256, to: &mut impl io::Write) -> io::Result<u64> {
    let mut from = from.take(bytes_max);
    let mut chunk = vec![0; CHUNK_BYTES];
    let mut bytes = 0;
    loop {
        let read = from.read(&mut chunk)?;
        if read == 0 {
            return Ok(bytes);
        }
        hash.update(&chunk[..read]);
        to.write_all(&chunk[..read])?;
        bytes += read as u64;
    }
}

/// Gives a file its name for good: it and its name are on disk, and it takes the place of none.
fn keep(copy: NamedTempFile, to: &Path) -> io::Result<()> {
    copy.as_file().sync_all()?;
    copy.persist_noclobber(to).map_err(|error| error.error)?;
    File::open(folder(to))?.sync_all()
}
