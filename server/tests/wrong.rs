//! The real command where something is wrong or missing: it says so and what to do, and does nothing in silence. What
//! concerns others is on record, too.

#![allow(clippy::unwrap_used)] // a test that cannot go on has failed

use rounds_device::{Device, enrol};
use rounds_domain::{Body, RecordId, Role, body};
use rounds_store::{AuditFilter, Channel, NewDelivery, Tried};
use rounds_tests::{Said, TestServer, new_id, on_both_databases};
use std::path::Path;
use tempfile::TempDir;
use tokio::process::Command;

async fn rounds(folder: &Path, args: &[&str]) -> Said {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rounds"));
    for variable in ["ROUNDS_DATABASE", "ROUNDS_DEVICE", "ROUNDS_PUBLIC_URL", "ROUNDS_CONTACT_KEY"] {
        command.env_remove(variable);
    }
    Said::by(command.args(args).current_dir(folder).env("RUST_LOG", "off")).await
}

/// Why it did not do it; it must have printed nothing.
async fn refused(folder: &Path, args: &[&str]) -> String {
    let said = rounds(folder, args).await;
    assert!(!said.ok && said.out.is_empty(), "{args:?}: {said:?}");
    said.beside
}

/// A file of a device that a server knows, in a folder.
async fn enrolled(server: &TestServer, code: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let mut device = Device::open(folder.path().join("phone")).unwrap();
    enrol(&mut device, &server.url(), None, code, "a phone").await.unwrap();
    folder
}

fn is_empty(folder: &Path) -> bool {
    std::fs::read_dir(folder).unwrap().next().is_none()
}

#[tokio::test]
async fn a_mistyped_database_is_told_and_not_made() {
    let folder = tempfile::tempdir().unwrap();
    let id = new_id().to_string();
    let commands: [&[&str]; 17] = [
        &["verify"],
        &["verify", "--recount"],
        &["jobs", "list"],
        &["jobs", "retry", "--all"],
        &["audit", "list"],
        &["audit", "verify"],
        &["deliveries", "list"],
        &["deliveries", "retry", &id],
        &["contacts", "reset", "--yes"],
        &["code", "--role", "admin"],
        &["plan", "preview", "--template", "elevator-maintenance", "--area", "North"],
        &["plan", "apply", "--template", "elevator-maintenance", "--area", "North"],
        &["link", "show", "calendar", &id],
        &["link", "revoke", "calendar", &id],
        &["export", "assets", "--area", "North", "--out", "assets.csv"],
        &["import", "assets", "assets.csv", "--area", "North", "--ref", "id", "--dry-run"],
        &["worker"],
    ];
    let register = tempfile::tempdir().unwrap();
    std::fs::write(register.path().join("assets.csv"), "id,name\n1,Bench\n").unwrap();
    for command in commands {
        let place = if command[0] == "import" { register.path() } else { folder.path() };
        let said = refused(place, &[command, &["--database", "sqlite:roundz.db"]].concat()).await;
        assert!(said.contains("there is no database roundz.db") && said.contains("--database"), "{said}");
        assert!(!place.join("roundz.db").exists(), "{command:?}");
    }
    assert!(is_empty(folder.path()), "nor is anything else made");
}

#[tokio::test]
async fn wrong_values_are_refused_with_what_to_write_instead() {
    let folder = tempfile::tempdir().unwrap();
    let id = new_id().to_string();
    let backwards = ["--since", "2026-05-02", "--through", "2026-05-01", "--time-zone", "Asia/Shanghai"];
    let preview = [&["plan", "preview", "--template", "elevator-maintenance"], &backwards[..]].concat();
    let cases: [(&[&str], &str); 18] = [
        (&preview, "2026-05-01 is before 2026-05-02"),
        (&["device", "status"], "there is no file device.rounds of a device"),
        (&["device", "--store", "fone", "sync"], "there is no file fone of a device"),
        (&["device", "today"], "`rounds device enrol`"),
        (&["disputes"], "`rounds device enrol`"),
        (&["serve", "--connections", "0"], "at least 1"),
        (&["serve", "--connections", "many"], "at least 1"),
        (&["serve", "--listen", "localhost:8397"], "write it as 127.0.0.1:8321"),
        (&["serve", "--public-url", "foo"], "write it as https://rounds.example.org"),
        (&["serve", "--public-url", "ftp://rounds.example.org"], "write it as https://rounds.example.org"),
        (&["worker", "--public-url", "https://"], "write it as https://rounds.example.org"),
        (&["link", "show", "calendar", &id, "--public-url", "foo"], "write it as https://rounds.example.org"),
        (&["serve", "--origin", "foo"], "write it as https://rounds.example.org"),
        (&["serve", "--origin", "*"], "write it as https://rounds.example.org"),
        (&["serve", "--origin", "https://rounds.example.org/"], "without what comes behind"),
        (&["followups", "list", "--stage", "nosuch"], "open, done, missed, cancelled"),
        (&["summary", "--not-reached-days", "0"], "is not in 1.."),
        (&["device", "inspect", "4-2", "--result", "maybe"], "pass, fail, needs_attention"),
    ];
    for (args, expected) in cases {
        let said = refused(folder.path(), args).await;
        assert!(said.contains(expected), "{args:?}: {said}");
    }
    assert!(is_empty(folder.path()), "nothing was begun");
}

#[tokio::test]
async fn the_program_says_its_own_name_and_what_it_is_for() {
    let folder = tempfile::tempdir().unwrap();
    let version = rounds(folder.path(), &["--version"]).await.out;
    assert_eq!(version, format!("rounds {}\n", env!("CARGO_PKG_VERSION")));
    let help = rounds(folder.path(), &["--help"]).await.out;
    assert!(help.starts_with("Sync backend and follow-up worker"), "{help}");
    let help = rounds(folder.path(), &["device", "visit", "--help"]).await.out;
    assert!(help.contains("--store") && !help.contains("--boot") && !help.contains("--wall-clock"), "{help}");
}

#[tokio::test]
async fn a_certificate_that_is_none_is_told_by_its_name() {
    let folder = tempfile::tempdir().unwrap();
    for letter in ["cert.pem", "key.pem"] {
        std::fs::write(folder.path().join(letter), "Dear Rounds").unwrap();
    }
    let serve = ["serve", "--no-worker", "--listen", "127.0.0.1:0", "--database", "sqlite:rounds.db"];
    let files = ["--tls-cert", "cert.pem", "--tls-key", "key.pem"];
    let said = refused(folder.path(), &[&serve[..], &files].concat()).await;
    assert!(said.contains("cert.pem") && said.contains("there is no certificate"), "{said}");
}

#[tokio::test]
async fn a_server_that_is_away_is_told() {
    let server = TestServer::start_on_sqlite().await;
    let folder = enrolled(&server, &server.code(Role::Admin, &[]).await).await;
    server.stop().await;
    for args in [&["devices", "list"][..], &["summary"], &["disputes"], &["device", "sync"]] {
        let said = refused(folder.path(), &[args, &["--store", "phone"]].concat()).await;
        assert!(said.contains("the server cannot be reached now"), "{args:?}: {said}");
    }
}

#[tokio::test]
async fn words_that_nobody_knows_are_recorded_only_as_new_words() {
    let server = TestServer::start_on_sqlite().await;
    let north = server.area("North", None).await;
    let dwelling = server.dwelling(north, "4-2-301").await.to_string();
    let asleep =
        body::Term { vocabulary: "visit_outcome".into(), word: "asleep".into(), ..Default::default() };
    server.add(north, Body::Term(asleep)).await;
    let folder = enrolled(&server, &server.code(Role::Field, &[north]).await).await;
    let phone = |args: &[&str]| {
        let args: Vec<String> = args.iter().chain(&["--store", "phone"]).map(ToString::to_string).collect();
        let folder = folder.path().to_owned();
        async move {
            let args: Vec<&str> = ["device"].into_iter().chain(args.iter().map(String::as_str)).collect();
            rounds(&folder, &args).await
        }
    };
    assert!(phone(&["sync"]).await.ok);
    let mistyped: [(&[&str], &str); 6] = [
        (&["visit", &dwelling, "--outcome", "flew_away"], "met, no_answer, refused, moved, asleep"),
        (&["visit", &dwelling, "--outcome", "met", "--purpose", "rutine"], "routine, recheck"),
        (&["visit", &dwelling, "--outcome", "met", "--request", "watr=None"], "emergency, water"),
        (&["request", &dwelling, "--category", "watr"], "emergency, water"),
        (&["request", &dwelling, "--category", "water", "--channel", "pigeon"], "visit, meeting"),
        (&["violation", &dwelling, "--sort", "grafiti"], "illegal_structure, occupied_green"),
    ];
    for (args, known) in mistyped {
        let said = phone(args).await;
        assert!(!said.ok && said.beside.contains(known) && said.beside.contains("--new-word"), "{said:?}");
    }
    assert_eq!(phone(&["pending"]).await.out, "nothing is pending\n");
    for (args, _) in mistyped {
        let said = phone(&[args, &["--new-word"]].concat()).await;
        assert!(said.ok && said.out.contains("recorded as op"), "{args:?}: {said:?}");
    }
    assert!(phone(&["visit", &dwelling, "--outcome", "asleep"]).await.ok, "the city says so");
    server.stop().await;
}

on_both_databases! {
    async fn a_code_is_for_somebody_who_is_there_and_for_what_it_says(database: &TestDatabase) {
        let server = TestServer::start(database).await;
        let north = server.area("North", None).await;
        let dwelling = server.dwelling(north, "4-2-301").await.to_string();
        let li = body::Worker { name: "Li".into(), ..Default::default() };
        let li = server.add(north, Body::Worker(li)).await.to_string();
        let folder = tempfile::tempdir().unwrap();
        let nobody = new_id().to_string();
        let for_field = ["code", "--role", "field", "--area", "North", "--database", database.url()];
        let for_admin = ["code", "--role", "admin", "--database", database.url()];
        for (args, more, expected) in [
            (&for_field[..], ["--worker", &nobody], "is no worker"),
            (&for_field, ["--worker", &dwelling], "is no worker"),
            (&for_field, ["--organization", &li], "for partners only"),
            (&for_admin, ["--area", "North"], "has all areas"),
        ] {
            let said = refused(folder.path(), &[args, &more].concat()).await;
            assert!(said.contains(expected), "{more:?}: {said}");
        }
        assert!(rounds(folder.path(), &[&for_field[..], &["--worker", &li]].concat()).await.ok);
        server.stop().await;
    }

    async fn lists_with_nothing_in_them_say_so_beside_the_output(database: &TestDatabase) {
        let server = TestServer::start(database).await;
        let folder = enrolled(&server, &server.code(Role::Admin, &[]).await).await;
        let place = ["--database", database.url()];
        let desk = ["--store", "phone"];
        for (args, place) in [
            (&["jobs", "list"][..], place),
            (&["audit", "list", "--action", "export"], place),
            (&["deliveries", "list"], place),
            (&["quarantine", "list"], desk),
            (&["disputes"], desk),
            (&["followups", "list"], desk),
        ] {
            let said = rounds(folder.path(), &[args, &place].concat()).await;
            assert!(said.ok && said.out.is_empty() && said.beside.contains("there are none"), "{args:?}: {said:?}");
        }
        server.stop().await;
    }

    async fn each_message_that_is_tried_again_is_told_and_each_that_is_not(database: &TestDatabase) {
        let server = TestServer::start(database).await;
        let area = server.area("North", None).await;
        let now_ms = server.clock.now_ms();
        let messages = ["a@example.org", "b@example.org"].map(|address| NewDelivery {
            notice: RecordId(new_id()),
            area,
            channel: Channel::Email,
            address: address.to_owned(),
        });
        server.store.add_deliveries(&messages, now_ms).await.unwrap();
        for message in &messages {
            let claimed = server.store.claim_delivery(message.id(), now_ms, now_ms + 1).await.unwrap().unwrap();
            let tried = Tried::Failed("no such mailbox".to_owned());
            assert!(server.store.end_try(&claimed, &tried, now_ms).await.unwrap());
        }
        let folder = tempfile::tempdir().unwrap();
        let [first, second] = messages.each_ref().map(|message| message.id().to_string());
        let unknown = new_id().to_string();
        let retry = ["deliveries", "retry", &first, &unknown, &second, "--database", database.url()];
        let said = rounds(folder.path(), &retry).await;
        assert_eq!(said.out, format!("{first}\tis tried again\n{second}\tis tried again\n"));
        assert!(!said.ok && said.beside.contains(&unknown) && said.beside.contains("deliveries list"), "{said:?}");
        assert!(!said.beside.contains(&first), "{said:?}");
        server.stop().await;
    }

    async fn what_an_operator_does_is_on_record_though_it_comes_to_nothing(database: &TestDatabase) {
        let server = TestServer::start(database).await;
        let north = server.area("North", None).await;
        let li = body::Worker { name: "Li".into(), ..Default::default() };
        let li = server.add(north, Body::Worker(li)).await.to_string();
        let folder = tempfile::tempdir().unwrap();
        let message = new_id().to_string();
        let every = AuditFilter { limit: 1_000, ..AuditFilter::default() };
        let before = server.store.audit_entries(&every).await.unwrap().len();
        for args in [
            &["code", "--role", "field", "--area", "North"][..],
            &["link", "show", "calendar", &li],
            &["link", "revoke", "calendar", &li],
            &["export", "visits", "--area", "North", "--out", "visits.csv"],
        ] {
            let said = rounds(folder.path(), &[args, &["--database", database.url()]].concat()).await;
            assert!(said.ok, "{args:?}: {said:?}");
        }
        let retry = ["deliveries", "retry", &message, "--database", database.url()];
        assert!(!rounds(folder.path(), &retry).await.ok, "there is no such message");
        let mut entries = server.store.audit_entries(&every).await.unwrap();
        entries.sort_by_key(|entry| entry.seq);
        let noted: Vec<_> = entries[before..]
            .iter()
            .map(|entry| (entry.role.as_str(), entry.action.as_str(), entry.subject.as_str()))
            .collect();
        let north = north.to_string();
        assert_eq!(noted, [
            ("operator", "code.made", north.as_str()),
            ("operator", "link.shown", &li),
            ("operator", "link.revoked", &li),
            ("operator", "export", &north),
            ("operator", "delivery.retried", &message),
        ]);
        server.stop().await;
    }

    async fn a_calendar_for_this_machine_only_is_told(database: &TestDatabase) {
        let server = TestServer::start(database).await;
        let north = server.area("North", None).await;
        let li = body::Worker { name: "Li".into(), ..Default::default() };
        let li = server.add(north, Body::Worker(li)).await.to_string();
        let folder = tempfile::tempdir().unwrap();
        let show = ["link", "show", "calendar", &li, "--database", database.url()];
        let said = rounds(folder.path(), &show).await;
        assert!(said.out.starts_with("http://127.0.0.1:8321/calendar/worker/"), "{said:?}");
        assert!(said.beside.contains("--public-url"), "{said:?}");
        let public = ["--public-url", "https://rounds.example.org/"];
        let said = rounds(folder.path(), &[&show[..], &public].concat()).await;
        assert!(said.out.starts_with("https://rounds.example.org/calendar/worker/"), "{said:?}");
        assert_eq!(said.beside, "");
        server.stop().await;
    }
}
