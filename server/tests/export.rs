//! The real command: files that are whole or not there, and what it says when it cannot.

#![allow(clippy::unwrap_used)] // a test that cannot go on has failed

use rounds_domain::Body;
use rounds_domain::body::Asset;
use rounds_tests::TestServer;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use tokio::io::AsyncReadExt;
use tokio::process::Command;

/// A server with assets in the area North, and a folder to export to.
struct Register {
    server: TestServer,
    folder: tempfile::TempDir,
}

impl Register {
    async fn with(assets: usize) -> Self {
        let server = TestServer::start_on_sqlite().await;
        let north = server.area("North", None).await;
        for n in 0..assets {
            let asset = Asset { name: format!("Bench {n}"), sort: "bench".into(), ..Asset::default() };
            server.add(north, Body::Asset(asset)).await;
        }
        Self { server, folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rounds"));
        command
            .args(["export", "--database", self.server.database_url()])
            .args(arguments)
            .current_dir(self.folder.path());
        command
    }

    async fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().await.unwrap()
    }

    /// What it says when it refuses. Nothing is left behind.
    async fn refusal(&self, arguments: &[&str]) -> String {
        let before = self.files();
        let output = self.run(arguments).await;
        assert!(!output.status.success(), "{arguments:?}");
        assert!(output.stdout.is_empty());
        assert_eq!(self.files(), before, "{arguments:?}");
        String::from_utf8(output.stderr).unwrap()
    }

    fn files(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let entries = std::fs::read_dir(self.folder.path()).unwrap();
        let mut files: Vec<_> = entries
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.is_file())
            .map(|path| (path.clone(), std::fs::read(path).unwrap()))
            .collect();
        files.sort();
        files
    }
}

fn lines(output: &[u8]) -> usize {
    output.iter().filter(|byte| **byte == b'\n').count()
}

#[tokio::test]
async fn a_file_is_written_in_the_format_that_its_name_says_and_is_all_that_is_left() {
    let register = Register::with(3).await;
    for name in ["assets.csv", "assets.xlsx", "assets.geojson", "assets.parquet"] {
        let output = register.run(&["assets", "--area", "North", "--out", name]).await;
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{name}: {said}");
        assert!(said.ends_with("3 assets\n"), "{said}");
    }
    let names: Vec<PathBuf> = register.files().into_iter().map(|(path, _)| path).collect();
    let expected = ["assets.csv", "assets.geojson", "assets.parquet", "assets.xlsx"];
    assert_eq!(names, expected.map(|name| register.path(name)));
    let begins = |name: &str, mark: &[u8]| std::fs::read(register.path(name)).unwrap().starts_with(mark);
    assert!(begins("assets.csv", b"id,area,"));
    assert!(begins("assets.xlsx", b"PK"));
    assert!(begins("assets.geojson", b"{\"type\":\"FeatureCollection\""));
    assert!(begins("assets.parquet", b"PAR1"));
}

#[tokio::test]
async fn a_file_that_is_there_is_replaced_only_when_that_is_asked_for() {
    let register = Register::with(1).await;
    std::fs::write(register.path("assets.csv"), "mine").unwrap();
    let export = ["asset", "--area", "North", "--out", "assets.csv"];
    let said = register.refusal(&export).await;
    assert!(said.contains("assets.csv") && said.contains("--force"), "{said}");
    let output = register.run(&[&export[..], &["--force"]].concat()).await;
    assert!(output.status.success());
    assert_eq!(lines(&std::fs::read(register.path("assets.csv")).unwrap()), 2);
}

#[tokio::test]
async fn what_cannot_be_done_is_refused_with_what_to_do_and_leaves_nothing_behind() {
    let register = Register::with(1).await;
    std::fs::create_dir(register.path("folder")).unwrap();
    let cases: [(&[&str], &str); 10] = [
        (&["bicycles", "--area", "North", "--out", "a.csv"], "there are: areas, places, assets"),
        (&["assets", "--area", "South", "--out", "a.csv"], "there is no area South; there are: North"),
        (&["assets", "--area", "North", "--out", "a.txt"], "--format"),
        (&["assets", "--area", "North", "--out", "folder", "--format", "csv"], "is a folder"),
        (&["assets", "--area", "North", "--out", "nowhere/a.csv"], "there is no folder nowhere"),
        (&["assets", "--area", "North", "--out", "-"], "--format"),
        (&["assets", "--area", "North", "--out", "-", "--format", "xlsx"], "--out"),
        (&["assets", "--area", "North", "--out", "-", "--format", "parquet"], "--out"),
        (&["assets", "--area", "North", "--out", "a.xlsx", "--bom"], "csv only"),
        (
            &["assets", "--area", "North", "--out", "a.csv", "--from", "2026-02-01", "--until", "2026-01-01"],
            "before --from",
        ),
    ];
    for (arguments, part) in cases {
        let said = register.refusal(arguments).await;
        assert!(said.contains(part), "{arguments:?}: {said}");
    }
    let output = Command::new(env!("CARGO_BIN_EXE_rounds"))
        .args(["export", "assets", "--area", "North", "--out", "a.csv", "--database", "sqlite:none.db"])
        .current_dir(register.folder.path())
        .output()
        .await
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && said.contains("there is no database none.db"), "{said}");
    assert_eq!(register.files(), [], "nor is a database made");
}

#[tokio::test]
async fn the_standard_output_has_the_table_and_nothing_else() {
    let register = Register::with(2).await;
    let output = register.run(&["assets", "--area", "North", "--out", "-", "--format", "csv"]).await;
    assert!(output.status.success());
    assert_eq!(lines(&output.stdout), 3);
    let output = register.run(&["assets", "--area", "North", "--out", "-", "--format", "geojson"]).await;
    let map: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(map["features"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn a_reader_that_goes_away_is_told_apart_from_a_fault() {
    let register = Register::with(1).await;
    let mut process = register
        .command(&["assets", "--area", "North", "--out", "-", "--format", "csv"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(process.stdout.take()); // before anything was written
    let mut said = String::new();
    process.stderr.take().unwrap().read_to_string(&mut said).await.unwrap();
    assert!(!process.wait().await.unwrap().success());
    assert!(said.contains("whoever reads the output"), "{said}");
}

#[cfg(unix)]
#[tokio::test]
async fn a_file_may_be_read_by_those_whom_the_users_mask_lets() {
    use std::os::unix::fs::PermissionsExt as _;
    let register = Register::with(0).await;
    let plain = register.path("plain");
    std::fs::write(&plain, "").unwrap();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode();
    assert!(register.run(&["assets", "--area", "North", "--out", "assets.csv"]).await.status.success());
    assert_eq!(mode(&register.path("assets.csv")), mode(&plain));
}
