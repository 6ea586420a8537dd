//! The real command: contact data from the input of a shell to whoever handles the request, and into no log.

#![allow(clippy::unwrap_used)] // a test that cannot go on has failed

use rounds_domain::{ContactData, RecordId};
use rounds_store::Vault;
use rounds_tests::{new_id, on_both_databases};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, Command};

const NAME: &str = "Zhao-Qinglan-canary";
const PHONE: &str = "13800138000";

/// A folder with a database and a phone.
struct Folder(tempfile::TempDir);

impl Folder {
    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rounds"));
        command
            .args(arguments)
            .current_dir(self.0.path())
            .env("ROUNDS_DATABASE", "sqlite:rounds.db")
            .env("ROUNDS_DEVICE", "phone")
            .env_remove("ROUNDS_CONTACT_KEY");
        command
    }

    async fn output(&self, arguments: &[&str], input: &str) -> Output {
        let mut command = self.command(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(input.as_bytes()).await.unwrap();
        drop(stdin);
        child.wait_with_output().await.unwrap()
    }

    async fn run(&self, arguments: &[&str], input: &str) -> String {
        let output = self.output(arguments, input).await;
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// A server that logs all that it can.
    async fn serve(&self) -> (Child, String) {
        let log = File::options().create(true).append(true).open(self.path("log")).unwrap();
        let mut command = self.command(&["serve", "--listen", "127.0.0.1:0"]);
        command.env("RUST_LOG", "trace").stdout(Stdio::piped()).stderr(log).kill_on_drop(true);
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let line = lines.next_line().await.unwrap().unwrap();
        let address = line.rsplit(' ').next().unwrap().to_owned();
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        (child, format!("http://{address}"))
    }
}

fn holds(path: &Path, part: &str) -> bool {
    let bytes = std::fs::read(path).unwrap_or_default();
    bytes.windows(part.len()).any(|window| window == part.as_bytes())
}

#[tokio::test]
async fn contact_data_is_typed_handed_over_read_and_in_no_log() {
    let folder = Folder(tempfile::tempdir().unwrap());
    let (server, url) = folder.serve().await;
    let code = folder.run(&["code", "--role", "admin"], "").await;
    folder.run(&["device", "enrol", "--server", &url], &code).await;
    folder.run(&["device", "create", "area", "name=North", "time_zone=Asia/Shanghai"], "").await;
    folder.run(&["device", "sync"], "").await;
    let place = ["device", "create", "place", "--area", "North", "name=4-2", "sort=dwelling", "code=X1"];
    folder.run(&place, "").await;
    let asked = ["device", "request", "X1", "--category", "water", "--contact"];
    let told = folder.run(&asked, &format!("{NAME}\n{PHONE}\n")).await;
    let request = told.split('\t').next().unwrap();
    let held = folder.run(&["device", "export"], "").await;
    assert!(held.contains(request) && !held.contains(NAME));
    folder.run(&["device", "sync"], "").await;
    assert_eq!(folder.run(&["device", "contact", request], "").await, format!("{NAME}\t{PHONE}\n"));
    assert!(folder.path("rounds.db.contact-key").exists(), "beside the database");

    let listed = folder.run(&["audit", "list", "--action", "contact.read"], "").await;
    assert!(listed.contains(request) && listed.lines().count() == 1, "{listed}");
    let listed = folder.run(&["audit", "list", "--json"], "").await;
    for action in ["code.made", "sign_in", "contact.put", "contact.read"] {
        assert!(listed.contains(&format!("\"{action}\"")), "{action}: {listed}");
    }
    let told = folder.run(&["audit", "verify"], "").await;
    let head = told.trim().rsplit(' ').next().unwrap().to_owned();
    folder.run(&["audit", "verify", "--noted", &head], "").await;
    let other = "0123456789abcdef".repeat(4);
    assert!(!folder.output(&["audit", "verify", "--noted", &other], "").await.status.success());

    drop(server);
    let log = folder.path("log");
    assert!(holds(&log, "PutContact") || holds(&log, "contacts"), "the log tells of the call");
    for file in ["log", "rounds.db", "rounds.db-wal", "rounds.db.contact-key", "phone", "phone-wal"] {
        assert!(!holds(&folder.path(file), NAME) && !holds(&folder.path(file), PHONE), "{file}");
    }
}

#[tokio::test]
async fn a_lost_key_file_is_told_and_given_up_only_when_asked_to() {
    let folder = Folder(tempfile::tempdir().unwrap());
    let (server, _) = folder.serve().await;
    drop(server);
    std::fs::remove_file(folder.path("rounds.db.contact-key")).unwrap();
    let output = folder.output(&["serve", "--listen", "127.0.0.1:0"], "").await;
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && told.contains("rounds contacts reset"), "{told}");
    folder.run(&["contacts", "reset", "--yes"], "").await;
    let (server, _) = folder.serve().await;
    drop(server);
    assert!(folder.run(&["audit", "list"], "").await.contains("contact.reset"));
}

on_both_databases! {
    async fn contact_data_is_given_up_only_without_its_key_file_and_when_somebody_says_yes(database: &TestDatabase) {
        let files = tempfile::tempdir().unwrap();
        let key_file = files.path().join("key");
        let (store, request) = (database.open().await, RecordId(new_id()));
        let vault = Vault::open(&key_file, [7; 32]).unwrap();
        store.bind_contact_key(&vault).await.unwrap();
        let contact = ContactData { name: NAME.into(), phone: PHONE.into() };
        store.put_contact(&vault, request, request.0, &contact, [9; 32], 1).await.unwrap();
        let reset = async |more: &[&str]| {
            let mut command = Command::new(env!("CARGO_BIN_EXE_rounds"));
            command.args(["contacts", "reset", "--database", database.url()]).args(more);
            command.env_remove("ROUNDS_DATABASE").env("ROUNDS_CONTACT_KEY", &key_file);
            let output = command.output().await.unwrap();
            (output.status.success(), String::from_utf8([output.stdout, output.stderr].concat()).unwrap())
        };
        let (done, told) = reset(&["--yes"]).await;
        assert!(!done && told.contains(key_file.to_str().unwrap()) && told.contains("nothing to give up"), "{told}");
        std::fs::remove_file(&key_file).unwrap();
        let (done, told) = reset(&[]).await;
        assert!(!done && told.contains("of 1 requests") && told.contains("--yes"), "{told}");
        assert_eq!(store.contact(&vault, request).await.unwrap(), Some(contact), "nothing was done so far");

        Vault::open(&key_file, [8; 32]).unwrap(); // another one is of no use
        let (done, told) = reset(&["--yes"]).await;
        assert!(done && told.contains("of 1 requests"), "{told}");
        assert!(!store.has_contact(request).await.unwrap());
        store.close().await;
    }
}
