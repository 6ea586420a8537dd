//! The `rounds` program as it is installed, and what an operator does with it.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Output, Stdio};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

/// A running `rounds serve`. Dropping it kills it.
#[derive(Debug)]
pub struct Program {
    /// Where it listens.
    pub address: SocketAddr,
    child: Child,
}

impl Program {
    /// Starts it. It is ready when this returns: it says so itself.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn start(rounds: &Path, database: &str, listen: &str) -> Self {
        let mut command = Command::new(rounds);
        command.args(["serve", "--database", database, "--listen", listen, "--no-rate-limits"]);
        Self::run(command).await
    }

    /// Starts it through another program, which becomes it in the end.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn run(mut command: Command) -> Self {
        let mut child = command
            .env("RUST_LOG", "off")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("the program");
        let mut lines = BufReader::new(child.stdout.take().expect("its output")).lines();
        let first = lines.next_line().await.expect("its output").expect("the server starts");
        let address = first.rsplit(' ').next().and_then(|address| address.parse().ok());
        let address = address.unwrap_or_else(|| panic!("it said {first:?}"));
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Self { address, child }
    }

    /// The id of its process.
    ///
    /// # Panics
    /// When it has ended.
    pub fn id(&self) -> u32 {
        self.child.id().expect("a process that runs")
    }

    /// Kills it with SIGKILL, whatever is under way, and waits until it is gone.
    ///
    /// # Panics
    /// When it cannot be killed.
    pub async fn kill(mut self) {
        self.child.kill().await.expect("a process that can be killed");
    }
}

/// Runs a command of the program to its end.
///
/// # Panics
/// When it does not start.
pub async fn rounds(rounds: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(rounds);
    command.args(arguments).env_remove("ROUNDS_DATABASE").env("RUST_LOG", "off").kill_on_drop(true);
    command.output().await.expect("the program")
}

/// The same, where it must do what it was told. Answers what it printed.
///
/// # Panics
/// When it does not.
pub async fn rounds_must(program: &Path, arguments: &[&str]) -> String {
    let output = rounds(program, arguments).await;
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

/// What a command said.
#[derive(Debug)]
pub struct Said {
    /// It did what it was told.
    pub ok: bool,
    /// What it printed.
    pub out: String,
    /// What it said beside that.
    pub beside: String,
}

impl Said {
    /// Waits until a command has ended.
    ///
    /// # Panics
    /// When it does not start, or prints what is no text.
    pub async fn by(command: &mut Command) -> Self {
        let output = command.kill_on_drop(true).output().await.expect("the program");
        let text = |bytes| String::from_utf8(bytes).expect("text");
        Self { ok: output.status.success(), out: text(output.stdout), beside: text(output.stderr) }
    }
}
