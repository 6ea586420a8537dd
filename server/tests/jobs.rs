//! The real command on the jobs of a worker that gave some up: what people read, and what they can do about it.

#![allow(clippy::unwrap_used)] // a test that cannot go on has failed

use rounds_domain::RecordId;
use rounds_store::{AuditFilter, Store};
use rounds_tests::kill::removed_violations;
use rounds_tests::{Said, TestClock, TestDatabase, new_id, on_both_databases};
use rounds_worker::{Options, Worker};
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;
use tokio::process::Command;

async fn rounds(database: &TestDatabase, args: &[&str]) -> Said {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rounds"));
    Said::by(command.arg("jobs").args(args).args(["--database", database.url()])).await
}

/// What it printed; it must have gone well.
async fn told(database: &TestDatabase, args: &[&str]) -> String {
    let said = rounds(database, args).await;
    assert!(said.ok, "{args:?}: {said:?}");
    said.out
}

/// Why it did not do it; it must have printed nothing.
async fn refused(database: &TestDatabase, args: &[&str]) -> String {
    let said = rounds(database, args).await;
    assert!(!said.ok && said.out.is_empty(), "{args:?}: {said:?}");
    said.beside
}

async fn worker(store: &Store, clock: &TestClock, error: Option<&'static str>) -> Worker {
    let clock = clock.clone();
    let fault =
        error.map(|error| Arc::new(move |_, _: &[RecordId]| Err(error.to_owned())) as rounds_worker::Fault);
    let options = Options {
        retry_after: Duration::ZERO,
        look_every: Duration::from_millis(20),
        fault,
        ..Options::new(new_id())
    };
    Worker::start(store.clone(), Arc::new(move || clock.now_ms()), options).await.unwrap()
}

/// Who did what to which jobs, as the audit log has it.
async fn noted_of(store: &Store) -> Vec<String> {
    let entries = store.audit_entries(&AuditFilter { limit: 100, ..AuditFilter::default() }).await.unwrap();
    let mut noted: Vec<_> =
        entries.iter().map(|it| (it.seq, format!("{} {} {}", it.role, it.action, it.subject))).collect();
    noted.sort();
    noted.into_iter().map(|(_, noted)| noted).filter(|noted| noted.contains(" job.")).collect()
}

/// The columns of each line.
fn columns(lines: &str) -> Vec<Vec<&str>> {
    lines.lines().map(|line| line.split('\t').collect()).collect()
}

on_both_databases! {
    async fn what_was_given_up_is_listed_shown_retried_and_dropped(database: &TestDatabase) {
        let (store, clock) = (database.open().await, TestClock::default());
        assert_eq!(told(database, &["list"]).await, "", "before there ever was a worker");
        let areas = removed_violations(&store, &clock, 2, 1).await;
        let broken = worker(&store, &clock, Some("the valve\tis stuck\nin stairwell 2")).await;
        assert_eq!(broken.drained().await.unwrap(), 2);
        broken.stop().await;

        let listed = rounds(database, &["list"]).await;
        assert!(listed.ok);
        assert!(listed.beside.contains("rounds jobs retry ID"), "it says what to do: {listed:?}");
        let lines = columns(&listed.out);
        assert_eq!(lines.len(), 2);
        for line in &lines {
            let [id, state, kind, area, about, starts, when, error] = line[..] else { panic!("{line:?}") };
            assert_eq!((id.len(), state, kind, starts), (26, "dead", "look", "5 starts"));
            assert!(areas.iter().any(|of| area == format!("area {of}")), "{area}");
            assert!(about.starts_with("record "), "{about}");
            assert!(when.starts_with("given up 20") && when.ends_with('Z'), "{when}");
            assert_eq!(error, "the valve is stuck in stairwell 2", "an error stays in its line and column");
        }
        assert_eq!(told(database, &["list", "--state", "waiting"]).await, "");
        assert_eq!(told(database, &["list", "--kind", "deliver"]).await, "");
        let one = rounds(database, &["list", "--limit", "1"]).await;
        assert_eq!((one.out.lines().count(), one.beside.contains("There may be more")), (1, true));
        assert!(refused(database, &["list", "--kind", "juggle"]).await.contains("look, wake, deliver"));

        let as_json: Vec<Value> = told(database, &["list", "--format", "json"])
            .await
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        let (mended, unwanted) = (lines[0][0], lines[1][0]);
        for (job, id) in as_json.iter().zip([mended, unwanted]) {
            assert_eq!((job["id"].as_str(), job["state"].as_str()), (Some(id), Some("dead")));
            assert_eq!((job["kind"].as_str(), job["starts"].as_u64()), (Some("look"), Some(5)));
            assert_eq!(job["error"], "the valve\tis stuck\nin stairwell 2");
            assert_eq!(job["records"].as_array().unwrap().len(), 1);
        }

        let shown = told(database, &["show", mended]).await;
        let shown: Vec<&str> = shown.lines().collect();
        assert_eq!(shown[0].split('\t').collect::<Vec<_>>(), lines[0]);
        let record = as_json[0]["records"][0].as_str().unwrap();
        assert_eq!(shown[1], format!("  record {record}"));
        let outcomes: Vec<_> = shown[2..].iter().map(|run| run.split('\t').nth(3).unwrap()).collect();
        assert_eq!(outcomes.iter().filter(|outcome| **outcome == "dead").count(), 1, "{shown:?}");
        assert!(outcomes.iter().all(|outcome| ["dead", "failed"].contains(outcome)), "{shown:?}");
        let shown: Value = serde_json::from_str(&told(database, &["show", mended, "--format", "json"]).await).unwrap();
        assert_eq!((&shown["job"]["id"], shown["runs"].as_array().unwrap().len()), (&as_json[0]["id"], outcomes.len()));
        assert!(refused(database, &["show", "nonsense"]).await.contains("there is no job nonsense"));

        assert_eq!(told(database, &["retry", mended]).await, "it starts anew\n");
        assert!(refused(database, &["retry", mended]).await.contains("was not given up"));
        assert!(refused(database, &["retry", "nonsense"]).await.contains("there is no job nonsense"));
        assert!(!rounds(database, &["retry"]).await.ok, "which one?");
        assert_eq!(told(database, &["drop", unwanted]).await, "dropped\n");
        assert!(refused(database, &["drop", unwanted]).await.contains("there is no job"));
        let left = told(database, &["list"]).await;
        assert_eq!(columns(&left).iter().map(|line| (line[0], line[1])).collect::<Vec<_>>(), [(mended, "waiting")]);

        let works = worker(&store, &clock, None).await;
        assert_eq!(works.drained().await.unwrap(), 0);
        works.stop().await;
        assert_eq!(told(database, &["list"]).await, "");
        let done = told(database, &["list", "--state", "done"]).await;
        assert!(columns(&done).iter().any(|line| line[0] == mended && line[1] == "done"), "{done}");
        assert!(!done.contains(unwanted));
        let history = told(database, &["history", "--kind", "look"]).await;
        let of_mended: Vec<_> = columns(&history).into_iter().filter(|line| line[0] == mended).collect();
        assert_eq!(of_mended.len(), outcomes.len() + 1, "a start more than when it was given up");
        assert!(of_mended.iter().any(|line| line[4] == "done"), "{history}");
        assert!(refused(database, &["drop", mended]).await.contains("is done"));
        assert_eq!(told(database, &["retry", "--all"]).await, "0 start anew\n");
        let noted = noted_of(&store).await;
        assert_eq!(noted[0], format!("operator job.retried {mended}"));
        assert!(noted.contains(&format!("operator job.dropped {unwanted}")), "{noted:?}");
        store.close().await;
    }

    async fn all_that_was_given_up_can_be_retried_at_once(database: &TestDatabase) {
        let (store, clock) = (database.open().await, TestClock::default());
        removed_violations(&store, &clock, 2, 1).await;
        let broken = worker(&store, &clock, Some("the valve is stuck")).await;
        assert_eq!(broken.drained().await.unwrap(), 2);
        broken.stop().await;
        assert_eq!(told(database, &["retry", "--all"]).await, "2 start anew\n");
        let works = worker(&store, &clock, None).await;
        assert_eq!(works.drained().await.unwrap(), 0);
        works.stop().await;
        assert_eq!(told(database, &["list"]).await, "");
        store.close().await;
    }

    async fn a_kind_that_is_paused_waits_until_it_is_resumed(database: &TestDatabase) {
        let (store, clock) = (database.open().await, TestClock::default());
        assert_eq!(told(database, &["pause", "look"]).await, "look paused\n");
        assert_eq!(told(database, &["pause", "look"]).await, "look is paused already\n");
        removed_violations(&store, &clock, 1, 1).await;
        let works = worker(&store, &clock, None).await;
        let listed = rounds(database, &["list"]).await;
        assert!(listed.beside.contains("look is paused since 20"), "{listed:?}");
        assert!(listed.beside.contains("rounds jobs resume look"), "{listed:?}");
        assert_eq!(store.waiting_jobs(10).await.unwrap().len(), 1, "it is not even handed over");
        let as_json: Value = serde_json::from_str(&told(database, &["resume", "look", "--format", "json"]).await).unwrap();
        assert_eq!(as_json, serde_json::json!({ "resumed": "look" }));
        assert_eq!(works.drained().await.unwrap(), 0);
        assert_eq!(told(database, &["resume", "look"]).await, "look is not paused\n");
        assert!(refused(database, &["pause", "everything"]).await.contains("look, wake, deliver"));
        let paused = ["paused", "paused", "resumed", "resumed"].map(|done| format!("operator job.{done} look"));
        assert_eq!(noted_of(&store).await, paused, "somebody can find out why nothing was done");
        works.stop().await;
        store.close().await;
    }
}
