//! Opening and closing a database.

use super::sample::*;
use rounds_domain::Outcome;
use rounds_store::{Error, Store};
use rounds_tests::{EPOCH, TestDatabase, on_both_databases};
use uuid::Uuid;

/// What an error says to people.
fn told(opened: Result<Store, Error>) -> String {
    match opened {
        Err(Error::Unsuitable(what)) => what,
        other => panic!("not refused as unsuitable: {other:?}"),
    }
}

on_both_databases! {
    async fn a_database_keeps_the_epoch_that_it_was_made_with(database: &TestDatabase) {
        let store = database.open().await;
        assert_eq!(store.epoch(), EPOCH);
        store.close().await;
        let again = Store::open(database.url(), Uuid::from_u128(1)).await.unwrap();
        assert_eq!(again.epoch(), EPOCH);
        again.close().await;
    }

    async fn many_processes_may_open_a_new_database_at_the_same_time(database: &TestDatabase) {
        let tasks: Vec<_> = (0..8_u128)
            .map(|n| {
                let url = database.url().to_owned();
                tokio::spawn(async move { Store::open(&url, Uuid::from_u128(n)).await.unwrap() })
            })
            .collect();
        let mut stores = Vec::new();
        for task in tasks {
            stores.push(task.await.unwrap());
        }
        assert!(stores.iter().all(|store| store.epoch() == stores[0].epoch()), "they agree on what it is");
        plant(&stores[0], [(area(1), None)]).await;
        for (n, store) in stores.iter().enumerate() {
            let mut phone = Phone::enrol(store, n as u128).await;
            let outcomes = phone.send(store, [create_place(record(n as u128), area(1), "a place")]).await;
            assert_eq!(outcomes, [Outcome::Applied]);
        }
    }

    async fn an_older_program_refuses_a_newer_database_and_says_so(database: &TestDatabase) {
        database.open().await.close().await;
        let migration = if database.is_postgres() { "'\\x00', true" } else { "x'00', 1" };
        let sql = format!(
            "INSERT INTO _sqlx_migrations (version, description, checksum, success, execution_time)
             VALUES (9000, 'of next year', {migration}, 0)"
        );
        database.execute(&sql).await.unwrap();
        let what = told(Store::open(database.url(), EPOCH).await);
        assert!(what.contains("9000") && what.contains("newer release"), "{what}");
    }

    async fn a_database_whose_past_is_another_is_refused(database: &TestDatabase) {
        database.open().await.close().await;
        let checksum = if database.is_postgres() { "'\\x00'" } else { "x'00'" };
        let sql = format!("UPDATE _sqlx_migrations SET checksum = {checksum} WHERE version = 1");
        database.execute(&sql).await.unwrap();
        told(Store::open(database.url(), EPOCH).await);
    }

    async fn a_closed_store_takes_nothing_and_has_everything_that_it_took(database: &TestDatabase) {
        let store = database.open().await;
        plant(&store, [(area(1), None)]).await;
        let mut tasks = Vec::new();
        for n in 0..30_u128 {
            let mut phone = Phone::enrol(&store, n).await;
            let arrival = phone.one(create_place(record(n), area(1), "a place"));
            let (store, batch) = (store.clone(), phone.batch(vec![arrival]));
            tasks.push(tokio::spawn(async move { (n, store.submit(batch).await) }));
        }
        tokio::task::yield_now().await;
        store.close().await;
        let mut taken = Vec::new();
        for task in tasks {
            match task.await.unwrap() {
                (n, Ok(receipt)) => {
                    assert_eq!(outcomes(&receipt), [Outcome::Applied]);
                    taken.push(n);
                }
                (_, Err(Error::Closed)) => {}
                (_, Err(error)) => panic!("{error:?}"),
            }
        }
        let late = Phone::of(device(0)).batch(Vec::new());
        assert!(matches!(store.submit(late).await, Err(Error::Closed)));
        assert!(store.record(record(0)).await.is_err());

        let store = database.open().await;
        for n in 0..30 {
            let is_there = store.record(record(n)).await.unwrap().is_some();
            assert_eq!(is_there, taken.contains(&n));
        }
    }
}

#[tokio::test]
async fn a_url_of_no_known_database_is_refused() {
    for url in ["", "sqlite:", "sqlite::memory:", "mysql://root@127.0.0.1/rounds", "rounds.db", "postgres"] {
        let what = told(Store::open(url, EPOCH).await);
        assert!(what.contains("sqlite:PATH"), "{url}: {what}");
    }
}

#[tokio::test]
async fn what_is_committed_to_a_file_is_on_the_disk() {
    let database = TestDatabase::sqlite().await;
    let store = database.open().await;
    // On the connection that writes. 2 is FULL: below that, the last commits are lost with the power.
    assert_eq!(database.number(&store, "PRAGMA synchronous").await.unwrap(), 2);
    store.close().await;
}

#[tokio::test]
async fn a_file_that_is_no_database_is_refused_and_left_alone() {
    let database = TestDatabase::sqlite().await;
    let path = database.url().strip_prefix("sqlite:").unwrap();
    let text = "This is a letter, not a database. ".repeat(100);
    std::fs::write(path, &text).unwrap();
    let what = told(Store::open(database.url(), EPOCH).await);
    assert!(what.contains(path), "{what}");
    assert_eq!(std::fs::read_to_string(path).unwrap(), text);
}

#[tokio::test]
async fn a_folder_is_no_database_and_a_missing_one_is_made() {
    let database = TestDatabase::sqlite().await;
    let path = database.url().strip_prefix("sqlite:").unwrap();
    let nested = format!("sqlite:{path}.d/of/its/own/rounds.db");
    Store::open(&nested, EPOCH).await.unwrap().close().await;
    let folder = format!("sqlite:{path}.d");
    let what = told(Store::open(&folder, EPOCH).await);
    assert!(what.contains(".d"), "{what}");
}

#[tokio::test]
async fn a_database_file_may_have_any_name() {
    let database = TestDatabase::sqlite().await;
    let folder = std::path::Path::new(database.url().strip_prefix("sqlite:").unwrap()).parent().unwrap();
    for name in ["rounds.lock", "rounds", "rounds.db.lock", "my rounds?mode=ro&x=#1%20.db", "居.db"] {
        let url = format!("sqlite:{}", folder.join(name).display());
        let store = Store::open(&url, EPOCH).await.unwrap();
        plant(&store, [(area(1), None)]).await;
        store.close().await;
        let again = Store::open(&url, Uuid::nil()).await.unwrap();
        assert_eq!((again.epoch(), again.areas().await.unwrap()), (EPOCH, vec![area(1)]), "{name}");
        again.close().await;
        assert!(folder.join(name).exists(), "{name}");
    }
}

#[tokio::test]
async fn a_database_that_the_server_does_not_have_is_refused() {
    let database = TestDatabase::postgres().await;
    let what = told(Store::open(&format!("{}_of_nobody", database.url()), EPOCH).await);
    assert!(what.contains("_of_nobody"), "{what}");
}
