//! A real mail server, not of our making.

use serde_json::Value;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

/// The Python that `scripts/foreign-python` makes.
pub fn foreign_python() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../target/foreign/python/bin/python")
}

/// A mail server on this machine that keeps nothing: each mail is handed to the test.
#[derive(Debug)]
pub struct MailServer {
    port: u16,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
    /// Ends with the test.
    _process: Child,
}

impl MailServer {
    /// Starts one.
    ///
    /// # Panics
    /// If there is no Python for it.
    pub async fn start() -> Self {
        Self::run(&[]).await
    }

    /// Starts one that encrypts from the start: `smtps://localhost`.
    ///
    /// # Panics
    /// If there is no Python for it.
    pub async fn start_wrapped(certificate: &Path, key: &Path) -> Self {
        Self::run(&[OsStr::new("wrapped"), certificate.as_ref(), key.as_ref()]).await
    }

    /// Starts one that takes mails only after STARTTLS.
    ///
    /// # Panics
    /// If there is no Python for it.
    pub async fn start_with_starttls(certificate: &Path, key: &Path) -> Self {
        Self::run(&[OsStr::new("starttls"), certificate.as_ref(), key.as_ref()]).await
    }

    async fn run(args: &[&OsStr]) -> Self {
        let python = foreign_python();
        let mut process = Command::new(&python)
            .arg(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("foreign/smtp.py"))
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}: scripts/foreign-python makes it", python.display()));
        let input = process.stdin.take().expect("a pipe");
        let output = BufReader::new(process.stdout.take().expect("a pipe")).lines();
        let mut server = Self { port: 0, input, output, _process: process };
        server.port = server.line().await.parse().expect("a port");
        server
    }

    /// Its URL.
    pub fn url(&self) -> String {
        format!("smtp://127.0.0.1:{}", self.port)
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The next mail that it takes, or that it refuses.
    pub async fn next(&mut self) -> Value {
        serde_json::from_str(&self.line().await).expect("a mail as JSON")
    }

    /// From now on it answers this to each mail: `451 busy`.
    pub async fn refuse(&mut self, answer: &str) {
        self.tell(&format!("refuse {answer}\n")).await;
    }

    /// From now on it takes mails again.
    pub async fn accept(&mut self) {
        self.tell("accept\n").await;
    }

    /// All that it took or refused until now and that nobody asked for.
    pub async fn rest(&mut self) -> Vec<Value> {
        self.input.write_all(b"accept\n").await.expect("a mail server that runs");
        let mut rest = Vec::new();
        loop {
            match self.line().await.as_str() {
                "ok" => return rest,
                mail => rest.push(serde_json::from_str(mail).expect("a mail as JSON")),
            }
        }
    }

    async fn tell(&mut self, what: &str) {
        self.input.write_all(what.as_bytes()).await.expect("a mail server that runs");
        assert_eq!(self.line().await, "ok", "take the mails before");
    }

    async fn line(&mut self) -> String {
        self.output.next_line().await.expect("a mail server that runs").expect("a mail server that runs")
    }
}
