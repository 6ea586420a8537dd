//! `rounds ... | head`: whoever reads what a command prints may stop at any line.

#![allow(clippy::unwrap_used)] // a test that cannot go on has failed

use rounds_device::{Device, enrol};
use rounds_domain::{Body, RecordId, Role, body};
use rounds_tests::kill::removed_violations;
use rounds_tests::{TestClock, TestServer, new_id};
use rounds_worker::{Options, Worker};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncReadExt as _;
use tokio::process::Command;

#[tokio::test(flavor = "multi_thread")]
async fn who_stops_reading_has_read_enough() {
    let server = TestServer::start_on_sqlite().await;
    let north = server.area("North", None).await;
    let elevator = body::Asset { name: "Elevator 2".into(), sort: "elevator".into(), ..Default::default() };
    let elevator = server.add(north, Body::Asset(elevator)).await;
    let group = body::Group { name: "Green hands".into(), skill: "environment".into(), ..Default::default() };
    let group = server.add(north, Body::Group(group)).await.to_string();
    removed_violations(&server.store, &TestClock::default(), 3, 1).await;
    let broken: rounds_worker::Fault = Arc::new(|_, _: &[RecordId]| Err("it is broken".to_owned()));
    let options = Options { retry_after: Duration::ZERO, fault: Some(broken), ..Options::new(new_id()) };
    let worker = Worker::start(server.store.clone(), Arc::new(|| 0), options).await.unwrap();
    assert!(worker.drained().await.unwrap() >= 3);
    worker.stop().await;
    let files = tempfile::tempdir().unwrap();
    let phone = files.path().join("phone");
    let code = server.code(Role::Admin, &[]).await;
    enrol(&mut Device::open(&phone).unwrap(), &server.url(), None, &code, "a desk").await.unwrap();

    let (phone, elevator) = (phone.to_str().unwrap(), elevator.to_string());
    let database = ["--database", server.database_url()];
    let desk = ["--store", phone];
    let commands: [(&[&str], &[&str]); 15] = [
        (&["jobs", "list"], &database),
        (&["jobs", "list", "--format", "json"], &database),
        (&["jobs", "history"], &database),
        (&["jobs", "pause", "wake"], &database),
        (&["code", "--role", "admin"], &database),
        (&["plan", "templates"], &[]),
        (&["plan", "preview", "--template", "elevator-maintenance", "--area", "North"], &database),
        (&["link", "show", "calendar", &group], &database),
        (&["deliveries", "list"], &database),
        (&["followups", "list"], &desk),
        (&["devices", "list"], &desk),
        (&["quarantine", "list"], &desk),
        (&["history", &elevator], &desk),
        (&["device", "--store", phone, "sync"], &[]),
        (&["device", "--store", phone, "list", "asset"], &[]),
    ];
    for (words, place) in commands {
        let args = [words, place].concat();
        let run = |args: &[&str]| {
            let mut command = Command::new(env!("CARGO_BIN_EXE_rounds"));
            command.args(args).env_remove("ROUNDS_DEVICE").env_remove("ROUNDS_DATABASE");
            command
        };
        let whole = run(&args).output().await.unwrap();
        let beside = String::from_utf8(whole.stderr).unwrap();
        assert!(whole.status.success(), "{args:?} works at all: {beside}");

        // Nobody reads what it prints.
        let mut command = run(&args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(command.stdout.take());
        let mut beside = String::new();
        command.stderr.take().unwrap().read_to_string(&mut beside).await.unwrap();
        assert!(command.wait().await.unwrap().success(), "{args:?}: {beside}");
        assert!(!beside.contains("panicked"), "{args:?}: {beside}");

        // Nobody reads what it says beside it.
        let mut command = run(&args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(command.stderr.take());
        let mut printed = Vec::new();
        command.stdout.take().unwrap().read_to_end(&mut printed).await.unwrap();
        assert!(command.wait().await.unwrap().success(), "{args:?}");
        let says_the_same = words[0] != "device" && words[0] != "code" && words[1] != "pause";
        if says_the_same {
            assert_eq!(printed.len(), whole.stdout.len(), "{args:?}");
        }
    }
    server.stop().await;
}
