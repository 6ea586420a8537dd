//! The real command against a server: summaries from a shell, and whether they follow from the ops.

#![allow(clippy::unwrap_used)] // a test that cannot go on has failed

use rounds_device::{Device, enrol};
use rounds_domain::{AreaId, Role};
use rounds_tests::{TestServer, visit};
use serde_json::Value;
use std::process::{Output, Stdio};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;

/// A server with a supervisor, and an area in which somebody was met twice.
struct Town {
    server: TestServer,
    north: AreaId,
    files: tempfile::TempDir,
}

impl Town {
    async fn new() -> Self {
        let server = TestServer::start_on_sqlite().await;
        let north = server.area("North", None).await;
        let dwelling = server.dwelling(north, "4-2-301").await;
        let mut phone = server.enrol(Role::Field, &[north]).await;
        phone.act(vec![visit(north, dwelling), visit(north, dwelling)]).await;
        let files = tempfile::tempdir().unwrap();
        let code = server.code(Role::Supervisor, &[north]).await;
        let mut device = Device::open(files.path().join("supervisor")).unwrap();
        enrol(&mut device, &server.url(), None, &code, "supervisor").await.unwrap();
        Self { server, north, files }
    }

    fn command(&self, name: &str, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rounds"));
        command.arg(name).args(args).arg("--store").arg(self.files.path().join("supervisor"));
        command.env_remove("ROUNDS_DEVICE").current_dir(self.files.path()).kill_on_drop(true);
        command
    }

    async fn summary(&self, args: &[&str]) -> Output {
        self.command("summary", args).output().await.unwrap()
    }

    async fn said(&self, args: &[&str]) -> String {
        let output = self.summary(args).await;
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }
}

#[tokio::test]
async fn a_summary_is_told_as_a_table_as_json_as_a_brief_and_as_csv() {
    let town = Town::new().await;
    let table = town.said(&["--area", "North"]).await;
    assert!(table.starts_with("North  2026-11-16 to 2026-11-22, against"), "{table}");
    let row = |label: &str| table.lines().find(|line| line.trim_start().starts_with(label)).unwrap();
    assert_eq!(row("Visits  ").split_whitespace().collect::<Vec<_>>(), ["Visits", "2", "+2"]);
    assert!(row("Dwellings reached").ends_with("+1  100 %"), "{table}");

    let json: Value = serde_json::from_str(&town.said(&["--format", "json"]).await).unwrap();
    let figures = json["figures"].as_array().unwrap();
    let visits = figures.iter().find(|figure| figure["name"] == "visit/outcome/met").unwrap();
    assert_eq!((&visits["value"], &visits["before"]), (&2.0.into(), &0.0.into()));
    assert_eq!(json["freshness"]["devices"], 1);

    let north = town.north.to_string();
    let brief = town.said(&["--area", &north, "--format", "md", "--language", "zh-Hans"]).await;
    assert!(brief.starts_with("# North工作简报") && brief.contains("| 走访次数 | 2 | 0 | +2 |"), "{brief}");

    let csv = town.said(&["--period", "month", "--format", "csv"]).await;
    assert!(csv.lines().any(|line| line == "Visits,Met,visit/outcome/met,2,0,,,"), "{csv}");
    town.server.stop().await;
}

#[tokio::test]
async fn a_summary_for_spreadsheets_is_a_file_that_was_not_there() {
    let town = Town::new().await;
    for (format, start) in [("xlsx", &b"PK"[..]), ("parquet", b"PAR1")] {
        let output = town.summary(&["--format", format]).await;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && output.stdout.is_empty() && said.contains("--out"), "{said}");
        town.said(&["--format", format, "--out", format]).await;
        assert!(std::fs::read(town.files.path().join(format)).unwrap().starts_with(start));
        let again = town.summary(&["--format", format, "--out", format]).await;
        let said = String::from_utf8_lossy(&again.stderr);
        assert!(!again.status.success() && said.contains("is there already"), "what is there stays: {said}");
    }
    town.server.stop().await;
}

#[tokio::test]
async fn a_question_that_cannot_be_answered_is_told_why() {
    let town = Town::new().await;
    for (args, expected) in [
        (&["--area", "Nowhere"][..], "there is no area Nowhere among yours; there are: North"),
        (&["--period", "fortnight"], "there is no period fortnight: use one of day, week"),
        (&["--from", "2026-11-22", "--until", "2026-11-21"], "is after the last"),
        (&["--from", "2026-11-22"], "--until"),
        (&["--language", "fr"], "use en, zh-Hans or zh-Hant"),
    ] {
        let output = town.summary(args).await;
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains(expected), "{args:?}: {said}");
    }
    town.server.stop().await;
}

#[tokio::test]
async fn top_tells_anew_when_something_changed() {
    let town = Town::new().await;
    let mut top = town.command("top", &[]).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(top.stdout.take().unwrap()).lines();
    let mut until = async |wanted: &str| {
        while let Some(line) = lines.next_line().await.unwrap() {
            if line.split_whitespace().collect::<Vec<_>>().starts_with(&["Visits", wanted]) {
                return;
            }
        }
        panic!("it ended without {wanted} visits");
    };
    until("2").await;
    let dwelling = town.server.dwelling(town.north, "4-2-302").await;
    let mut phone = town.server.enrol(Role::Field, &[town.north]).await;
    phone.act(vec![visit(town.north, dwelling)]).await;
    until("3").await;
    top.kill().await.unwrap();
    town.server.stop().await;
}

#[tokio::test]
async fn top_tells_scripts_json_a_line_and_clears_no_screen_but_that_of_a_terminal() {
    let town = Town::new().await;
    let first_lines = async |args: &[&str], count: usize| {
        let mut top = town.command("top", args).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(top.stdout.take().unwrap()).lines();
        let mut first = Vec::new();
        while first.len() < count {
            first.push(lines.next_line().await.unwrap().unwrap());
        }
        top.kill().await.unwrap();
        first
    };
    let json: Value = serde_json::from_str(&first_lines(&["--json"], 1).await[0]).unwrap();
    assert!(json["figures"].as_array().unwrap().iter().any(|figure| figure["name"] == "visit/outcome/met"));
    let table = first_lines(&[], 4).await.join("\n");
    assert!(table.starts_with("All areas  ") && !table.contains('\x1b'), "{table:?}");
    town.server.stop().await;
}

#[tokio::test]
async fn verify_tells_what_does_not_follow_from_the_ops_and_recount_mends_it() {
    let database = rounds_tests::TestDatabase::sqlite().await;
    let server = TestServer::start(&database).await;
    let north = server.area("North", None).await;
    server.dwelling(north, "4-2-301").await;
    server.stop().await;
    let verify = async |args: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rounds"));
        let output =
            command.arg("verify").args(args).arg("--database").arg(database.url()).output().await.unwrap();
        (output.status.success(), String::from_utf8(output.stdout).unwrap())
    };
    let (is_sound, said) = verify(&[]).await;
    assert!(is_sound && said.ends_with(": 0 differences\n"), "{said}");
    database.execute("UPDATE tallies SET count = 7 WHERE unit = 'month'").await.unwrap();
    let (is_sound, said) = verify(&[]).await;
    assert!(!is_sound && said.contains("place/dwelling: 7 is kept, 1 was counted"), "{said}");
    let (is_sound, said) = verify(&["--recount"]).await;
    assert!(is_sound, "{said}");
}
