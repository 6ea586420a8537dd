//! PostgreSQL servers of a test's own: to stop, start again, copy and fail over.

use crate::new_id;
use std::ffi::OsStr;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tempfile::TempDir;
use tokio::io::copy_bidirectional;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Oldest version that is looked for.
const OLDEST_MAJOR: u32 = 15;
/// Newest version that is looked for.
const NEWEST_MAJOR: u32 = 40;
/// Ports below those that systems give to outgoing connections.
const PORTS: std::ops::Range<u16> = 20_000..32_000;
/// How long each file of its log is, in bytes: short, so that a table can be longer.
pub(crate) const LOG_FILE_BYTES: u64 = 1024 * 1024;
/// Ports that are tried.
const TRIES: usize = 20;

/// What a replica must have before a commit is acknowledged.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Replication {
    /// The commit, on disk: nothing acknowledged is lost when it takes over.
    Synchronous,
    /// What it got so far.
    Asynchronous,
}

/// A PostgreSQL server, gone when it is dropped.
#[derive(Debug)]
pub struct Cluster {
    /// Where it listens.
    pub address: SocketAddr,
    folder: TempDir,
}

impl Cluster {
    /// A new, empty server.
    ///
    /// # Panics
    /// When there are no server binaries on this machine, or it does not start.
    pub fn start() -> Self {
        let cluster = Self::at(free_port());
        let whose = ["-D", "data", "-U", "rounds", "--auth=trust", "--no-sync"];
        cluster.must("initdb", [&whose[..], &["--locale=C", "--encoding=UTF8", "--wal-segsize=1"]].concat());
        let settings = "
            listen_addresses = '127.0.0.1'
            unix_socket_directories = ''
            max_connections = 120
            fsync = on
            synchronous_commit = on
            timezone = 'UTC'
            hot_standby = on
            wal_level = replica
        ";
        let file = cluster.folder.path().join("data/postgresql.auto.conf");
        std::fs::write(&file, settings).expect("its settings");
        cluster.start_again();
        cluster
    }

    fn at(port: u16) -> Self {
        let folder = tempfile::Builder::new().prefix("rounds_cluster_").tempdir().expect("a folder");
        if is_root() {
            let owner = ["-R", &format!("{}:", server_user()), &folder.path().display().to_string()]
                .map(str::to_owned);
            let given = Command::new("chown").args(owner).status().expect("chown");
            assert!(given.success());
        }
        Self { address: SocketAddr::from(([127, 0, 0, 1], port)), folder }
    }

    /// The URL of one of its databases.
    pub fn url(&self) -> String {
        url_at(self.address)
    }

    /// A server that follows this one.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn replica(&self, replication: Replication) -> Self {
        let replica = Self::at(free_port());
        let from = self.address.port().to_string();
        let arguments =
            ["-D", "data", "-h", "127.0.0.1", "-p", &from, "-U", "rounds", "-R", "-c", "fast", "--no-sync"];
        replica.must("pg_basebackup", arguments);
        replica.start_again();
        if replication == Replication::Synchronous {
            self.execute("ALTER SYSTEM SET synchronous_standby_names = '*'").await;
            self.execute("SELECT pg_reload_conf()").await;
        }
        let follows = match replication {
            Replication::Synchronous => "sync_state = 'sync'",
            Replication::Asynchronous => "state = 'streaming'",
        };
        while self.count(&format!("SELECT count(*) FROM pg_stat_replication WHERE {follows}")).await == 0 {
            tokio::task::yield_now().await;
        }
        replica
    }

    /// Ends every process of it at once, as a loss of power does.
    ///
    /// # Panics
    /// When it does not run.
    pub fn stop(&self) {
        self.must("pg_ctl", ["-D", "data", "-m", "immediate", "-w", "stop"]);
    }

    /// Starts it where it was.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start_again(&self) {
        let port = format!("-p {}", self.address.port());
        self.must("pg_ctl", ["-D", "data", "-l", "log", "-w", "-t", "60", "-o", &port, "start"]);
    }

    /// Starts it again, whether it runs, was ended or ended itself.
    ///
    /// # Panics
    /// When it does not start.
    pub fn restart(&self) {
        let port = format!("-p {}", self.address.port());
        let arguments =
            ["-D", "data", "-l", "log", "-m", "immediate", "-w", "-t", "60", "-o", &port, "restart"];
        self.must("pg_ctl", arguments);
    }

    /// How long files of its processes may become from now on, in bytes or `unlimited`, those of processes that it
    /// starts later among them: what goes beyond fails, as on a disk without room.
    ///
    /// # Panics
    /// When it does not run, or this is not Linux.
    pub fn limit_files(&self, bytes: &str) {
        let file = std::fs::read_to_string(self.folder.path().join("data/postmaster.pid")).expect("it runs");
        let first = file.lines().next().expect("an id");
        self.limit_files_of(first, bytes).expect("prlimit of util-linux");
        let children = format!("/proc/{first}/task/{first}/children");
        for child in std::fs::read_to_string(children).expect("what Linux tells").split_whitespace() {
            let _ = self.limit_files_of(child, bytes); // one that ended meanwhile writes nothing more
        }
    }

    fn limit_files_of(&self, process: &str, bytes: &str) -> Result<(), String> {
        let soft = format!("--fsize={bytes}:unlimited");
        self.run(Path::new("prlimit"), ["--pid", process, &soft])
    }

    /// Makes a replica a server of its own, that may be written to.
    ///
    /// # Panics
    /// When it is none.
    pub fn promote(&self) {
        self.must("pg_ctl", ["-D", "data", "-w", "promote"]);
    }

    async fn execute(&self, sql: &'static str) {
        use sqlx::{Connection as _, Executor as _};
        let mut connection = sqlx::PgConnection::connect(&self.url()).await.expect("a server that answers");
        connection.execute(sql).await.expect(sql);
        connection.close().await.expect("a server that answers");
    }

    async fn count(&self, sql: &str) -> i64 {
        use sqlx::Connection as _;
        let mut connection = sqlx::PgConnection::connect(&self.url()).await.expect("a server that answers");
        let sql = sqlx::AssertSqlSafe(sql.to_owned()); // the tests' own text
        let count = sqlx::query_scalar(sql).fetch_one(&mut connection).await.expect("a number");
        connection.close().await.expect("a server that answers");
        count
    }

    /// Runs one of PostgreSQL's programs.
    fn must<A: AsRef<OsStr>>(&self, program: &str, arguments: impl IntoIterator<Item = A>) {
        if let Err(said) = self.run(&postgres_program(program), arguments) {
            let log = std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
            panic!("{program}: {said}{log}");
        }
    }

    /// Runs a program in its folder, as its user: PostgreSQL refuses to be root's. Answers what a program said that
    /// failed.
    fn run<A: AsRef<OsStr>>(
        &self,
        program: &Path,
        arguments: impl IntoIterator<Item = A>,
    ) -> Result<(), String> {
        let mut command = if is_root() {
            let user = server_user();
            let mut command = Command::new("setpriv");
            command
                .args([format!("--reuid={user}"), format!("--regid={user}"), "--clear-groups".to_owned()])
                .arg(program);
            command
        } else {
            Command::new(program)
        };
        command.args(arguments).current_dir(self.folder.path()).env("LC_ALL", "C").stdin(Stdio::null());
        // What it starts goes on with its output: a pipe would never end.
        let said = self.folder.path().join("said");
        let output = || std::fs::File::options().create(true).append(true).open(&said).expect("a file");
        let done = command.stdout(output()).stderr(output()).status().expect("a program that starts");
        if done.success() { Ok(()) } else { Err(std::fs::read_to_string(said).unwrap_or_default()) }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if self.folder.path().join("data/postmaster.pid").exists() && !std::thread::panicking() {
            self.stop();
        }
    }
}

fn url_at(address: SocketAddr) -> String {
    format!("postgres://rounds@{address}/postgres")
}

/// One of PostgreSQL's programs, of the version that `scripts/with-postgres` would take.
///
/// # Panics
/// When there is none on this machine.
pub fn postgres_program(name: &str) -> PathBuf {
    folders()
        .find(|folder| ["initdb", "pg_ctl", "postgres", name].iter().all(|it| folder.join(it).exists()))
        .map(|folder| folder.join(name))
        .unwrap_or_else(|| {
            panic!("no server binaries of PostgreSQL here: scripts/with-postgres says how to get them")
        })
}

#[allow(clippy::disallowed_methods)] // the test binary has no main of its own that could read it
fn folders() -> impl Iterator<Item = PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let in_path: Vec<PathBuf> = std::env::split_paths(&path).collect();
    let versions = (OLDEST_MAJOR..=NEWEST_MAJOR).rev().flat_map(|major| {
        [
            format!("/usr/lib/postgresql/{major}/bin"),
            format!("/usr/pgsql-{major}/bin"),
            format!("/opt/homebrew/opt/postgresql@{major}/bin"),
            format!("/usr/local/opt/postgresql@{major}/bin"),
        ]
    });
    in_path.into_iter().chain(versions.map(PathBuf::from))
}

fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output().expect("id");
    id.stdout.trim_ascii() == b"0"
}

fn server_user() -> &'static str {
    let is_there =
        |user: &&str| Command::new("id").arg(user).stderr(Stdio::null()).stdout(Stdio::null()).status();
    let found = ["postgres", "nobody"].into_iter().find(|user| is_there(user).is_ok_and(|it| it.success()));
    found.expect("PostgreSQL does not run as root: a user postgres or nobody")
}

fn free_port() -> u16 {
    for _ in 0..TRIES {
        let chance = new_id().as_u128() as u16;
        let port = PORTS.start + chance % (PORTS.end - PORTS.start);
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
    panic!("no free port in {PORTS:?}");
}

/// An address that leads to one server or another, as a name or an address that moves does.
#[derive(Debug)]
pub struct Switch {
    /// Where it listens.
    pub address: SocketAddr,
    to: watch::Sender<SocketAddr>,
    task: JoinHandle<()>,
}

impl Switch {
    /// An address that leads there.
    ///
    /// # Panics
    /// When there is no free port.
    pub async fn to(server: SocketAddr) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("its address");
        let to = watch::channel(server).0;
        let target = to.subscribe();
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let target = target.clone();
                tokio::spawn(pass_on(client, target));
            }
        });
        Self { address, to, task }
    }

    /// The URL of the database at the address.
    pub fn url(&self) -> String {
        url_at(self.address)
    }

    /// From now on it leads there. What was connected before is cut off.
    pub fn turn(&self, server: SocketAddr) {
        self.to.send_replace(server);
    }
}

impl Drop for Switch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn pass_on(mut client: tokio::net::TcpStream, mut target: watch::Receiver<SocketAddr>) {
    let server = *target.borrow_and_update();
    let Ok(mut server) = tokio::net::TcpStream::connect(server).await else { return };
    let _ = (client.set_nodelay(true), server.set_nodelay(true)); // slower without
    tokio::select! {
        _ = copy_bidirectional(&mut client, &mut server) => {}
        _ = target.changed() => {}
    }
}
