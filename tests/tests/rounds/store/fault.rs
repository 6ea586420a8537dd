//! What fails fails alone, acknowledges nothing, and works again once it is mended.

use super::sample::*;
use rounds_domain::{ContactData, DeviceId, Kind, Outcome, PlacedOp, fold};
use rounds_store::{Batch, Error, Receipt, Store, Vault};
use rounds_tests::room::{Refused, refuse_each_write};
use rounds_tests::{TestDatabase, assert_sound, new_id, on_both_databases};
use sqlx::{Connection as _, PgConnection};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;

async fn submit_all(store: &Store, batches: Vec<Batch>) -> Vec<Result<Receipt, Error>> {
    let tasks: Vec<_> = batches
        .into_iter()
        .map(|batch| {
            let store = store.clone();
            tokio::spawn(async move { store.submit(batch).await })
        })
        .collect();
    let mut answers = Vec::new();
    for task in tasks {
        answers.push(task.await.unwrap());
    }
    answers
}

/// Makes the database refuse ops that say "poison". With `whole`, SQLite undoes the transaction by itself, as it does
/// when the disk is full.
async fn poison(database: &TestDatabase, whole: bool) {
    let sql = if database.is_postgres() {
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
             $$ BEGIN RAISE EXCEPTION 'poisoned'; END $$;
         CREATE TRIGGER poison BEFORE INSERT ON ops FOR EACH ROW WHEN (NEW.body LIKE '%poison%')
             EXECUTE FUNCTION refuse();"
    } else if whole {
        "CREATE TRIGGER poison BEFORE INSERT ON ops WHEN NEW.body LIKE '%poison%'
             BEGIN SELECT RAISE(ROLLBACK, 'poisoned'); END;"
    } else {
        "CREATE TRIGGER poison BEFORE INSERT ON ops WHEN NEW.body LIKE '%poison%'
             BEGIN SELECT RAISE(ABORT, 'poisoned'); END;"
    };
    database.execute(sql).await.unwrap();
}

async fn poison_stops_nobody_else(database: &TestDatabase, whole: bool) {
    let store = database.open().await;
    plant(&store, [(area(1), None)]).await;
    poison(database, whole).await;
    let mut phones = Vec::new();
    for n in 0..16 {
        phones.push(Phone::enrol(&store, n).await);
    }
    for round in 0..5_u128 {
        let batches: Vec<Batch> = phones
            .iter_mut()
            .enumerate()
            .map(|(n, phone)| {
                let name = if n % 5 == 3 { "poison" } else { "a place" };
                let arrival = phone.one(create_place(record(round * 100 + n as u128), area(1), name));
                phone.batch(vec![arrival])
            })
            .collect();
        for (n, answer) in submit_all(&store, batches).await.into_iter().enumerate() {
            let id = record(round * 100 + n as u128);
            match answer {
                _ if n % 5 == 3 && round > 0 => {} // behind the first, which it never got rid of
                Ok(receipt) => {
                    assert_ne!(n % 5, 3);
                    assert_eq!(outcomes(&receipt), [Outcome::Applied]);
                    assert!(store.record(id).await.unwrap().is_some());
                }
                Err(error) => {
                    assert_eq!(n % 5, 3, "{error:?}");
                    assert!(matches!(error, Error::Unavailable(_)));
                    assert_eq!(store.record(id).await.unwrap(), None);
                }
            }
        }
    }
    assert_sound(&store).await;
}

on_both_databases! {
    async fn a_commit_that_fails_acknowledges_nothing_and_works_again_after_healing(database: &TestDatabase) {
        let store = database.open().await;
        plant(&store, [(area(1), None), (area(2), None)]).await;
        let mut phone = Phone::enrol(&store, 1).await;
        phone.send(&store, [at(0, create_violation(record(1), area(1)))]).await;
        let mut reader = Reader::of([area(1), area(2)]);
        reader.finish(&store, 64).await;
        // Whichever statement of the commit it is that fails.
        let tables = ["ops", "records", "departures", "tallies", "areas", "devices", "waiting_jobs"];
        for (n, table) in tables.into_iter().enumerate() {
            let minute = 10 * n as i64;
            let id = record(10 + n as u128);
            let arrivals = vec![
                phone.one(at(minute, create_violation(id, area(1)))),
                phone.one(at(minute + 1, step(id, area(1), Kind::Violation, "removed"))),
                phone.one(at(minute + 2, move_to(id, area(1), Kind::Violation, area(2)))),
            ];
            let before = store.device(phone.id).await.unwrap().unwrap();
            let jobs = store.waiting_jobs(100).await.unwrap();
            database.execute(&format!("ALTER TABLE {table} RENAME TO mislaid")).await.unwrap();
            let answer = store.submit(phone.batch(arrivals.clone())).await;
            assert!(matches!(answer, Err(Error::Unavailable(_))), "without {table}: {answer:?}");
            database.execute(&format!("ALTER TABLE mislaid RENAME TO {table}")).await.unwrap();

            assert_eq!(store.record(id).await.unwrap(), None, "without {table}");
            assert_eq!(store.ops_of(id).await.unwrap(), []);
            assert_eq!(store.device(phone.id).await.unwrap().unwrap(), before);
            assert_eq!(store.waiting_jobs(100).await.unwrap(), jobs);
            let (items, _) = reader.page(&store, 64).await;
            assert_eq!(items, [], "without {table}");

            let receipt = phone.submit(&store, arrivals).await;
            assert_eq!(outcomes(&receipt), [Outcome::Applied; 3]);
            reader.finish(&store, 64).await;
            assert_eq!(reader.get(id), Some(&read(&store, id).await));
        }
        assert_sound(&store).await;
    }

    /// `scripts/proof --only P6` has each from 1 to 500.
    async fn whichever_write_of_a_commit_fails_nothing_is_acknowledged_and_all_goes_on(database: &TestDatabase) {
        let refused = refuse_each_write(database, (1..=500).step_by(23)).await;
        assert_eq!(refused, Refused { writes: 22, ..Refused::default() });
    }

    async fn a_batch_that_the_database_refuses_stops_nobody_else(database: &TestDatabase) {
        poison_stops_nobody_else(database, false).await;
    }

    async fn a_batch_that_ends_the_transaction_stops_nobody_else(database: &TestDatabase) {
        poison_stops_nobody_else(database, true).await;
    }

    async fn a_record_that_cannot_be_read_stops_nobody_else(database: &TestDatabase) {
        let store = database.open().await;
        plant(&store, [(area(1), None)]).await;
        let mut phones = Vec::new();
        for n in 0..12_u128 {
            let mut phone = Phone::enrol(&store, n).await;
            phone.send(&store, [create_place(record(n), area(1), "a place")]).await;
            phones.push(phone);
        }
        database.execute("UPDATE records SET body = '{' WHERE body LIKE '%10000003%'").await.unwrap();
        let batches: Vec<Batch> = phones
            .iter_mut()
            .enumerate()
            .map(|(n, phone)| {
                let arrival = phone.one(at(1, rename(record(n as u128), area(1), "a place", "a name")));
                phone.batch(vec![arrival])
            })
            .collect();
        for (n, answer) in submit_all(&store, batches).await.into_iter().enumerate() {
            match answer {
                Ok(receipt) => assert_eq!((n != 3, outcomes(&receipt)), (true, vec![Outcome::Applied])),
                Err(error) => {
                    assert_eq!(n, 3);
                    assert!(matches!(error, Error::Unreadable(_)), "{error:?}");
                }
            }
        }
        assert!(matches!(store.record(record(3)).await, Err(Error::Unreadable(_))));
    }

    async fn two_servers_that_work_on_the_same_records_stop_each_other_in_nothing(database: &TestDatabase) {
        const AREAS: u128 = 5;
        const RECORDS: u128 = 6;
        let stores = [database.open().await, database.open().await];
        plant(&stores[0], (0..AREAS).map(|n| (area(n), None))).await;
        let mut author = Phone::enrol(&stores[0], 100).await;
        author.send(&stores[0], (0..RECORDS).map(|n| create_follow_up(record(n), area(0)))).await;
        let tasks: Vec<_> = (0..8_u128)
            .map(|n| {
                let store = stores[n as usize % 2].clone();
                tokio::spawn(async move {
                    let mut phone = Phone::enrol(&store, n).await;
                    for round in 0..15_u128 {
                        // Every batch needs several areas, and not always those that it names.
                        let id = |m: u128| record((n + round * 3 + m) % RECORDS);
                        let minute = round as i64;
                        let ops = [
                            move_to(id(0), area(0), Kind::FollowUp, area((n + round) % AREAS)),
                            step(id(1), area(0), Kind::FollowUp, "done"),
                            move_to(id(2), area(0), Kind::FollowUp, area((n * 2 + round) % AREAS)),
                            create_visit(record(1_000 + n * 100 + round), area((n + round + 1) % AREAS), "met"),
                        ];
                        let outcomes = phone.send(&store, ops.map(|op| at(minute, op))).await;
                        let lost = outcomes.iter().any(|it| matches!(it, Outcome::Retry | Outcome::Quarantined));
                        assert!(!lost, "{outcomes:?}");
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        let mut reader = Reader::of((0..AREAS).map(area));
        reader.finish(&stores[0], 64).await;
        let mut kept = 0;
        for n in 0..RECORDS {
            let ops: Vec<PlacedOp> =
                stores[1].ops_of(record(n)).await.unwrap().into_iter().map(|it| it.placed).collect();
            kept += ops.len();
            let record = read(&stores[0], record(n)).await;
            assert_eq!(Some(&record), fold(&ops).0.as_ref());
            assert_eq!(reader.get(record.id), Some(&record));
        }
        assert_eq!(kept, RECORDS as usize + 8 * 15 * 3);
        assert_sound(&stores[0]).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ops_take_effect_once_while_postgresql_drops_the_connections() {
    const OPS: i64 = 25;
    let database = TestDatabase::postgres().await;
    let store = database.open().await;
    plant(&store, [(area(1), None)]).await;
    let mut author = Phone::enrol(&store, 100).await;
    author.send(&store, [create_follow_up(record(1), area(1))]).await;
    let mut phones = Vec::new();
    for n in 0..4 {
        phones.push(Phone::enrol(&store, n).await);
    }
    let writing = Arc::new(AtomicUsize::new(phones.len()));
    let tasks: Vec<_> = phones
        .into_iter()
        .map(|mut phone| {
            let (store, writing) = (store.clone(), writing.clone());
            tokio::spawn(async move {
                let mut failed = 0;
                for n in 0..OPS {
                    let arrival = phone.one(at(n + 1, step(record(1), area(1), Kind::FollowUp, "done")));
                    let receipt = loop {
                        match store.submit(phone.batch(vec![arrival.clone()])).await {
                            Ok(receipt) => break receipt,
                            Err(Error::Unavailable(_)) => failed += 1, // done or not: the same again tells
                            Err(error) => panic!("{error:?}"),
                        }
                    };
                    assert_eq!(receipt.acknowledged_through, n as u64 + 1);
                    assert_ne!(outcomes(&receipt), [Outcome::Retry]);
                }
                writing.fetch_sub(1, Ordering::SeqCst);
                failed
            })
        })
        .collect();
    while writing.load(Ordering::SeqCst) > 0 {
        let drop_them = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                         WHERE datname = current_database() AND pid <> pg_backend_pid()";
        database.execute(drop_them).await.unwrap();
    }
    let mut failed = 0;
    for task in tasks {
        failed += task.await.unwrap();
    }
    assert!(failed > 0, "connections were dropped in the middle of commits");
    assert_eq!(read(&store, record(1)).await.steps.len(), 4 * OPS as usize);
    assert_sound(&store).await;
}

/// Whoever asked hangs up after each number of steps that it takes. Connections that are then in a transaction would
/// keep from others what is written on them next.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_is_given_up_leaves_no_transaction_behind() {
    let database = TestDatabase::postgres().await;
    let store = database.open().await;
    plant(&store, [(area(1), None)]).await;
    let rounds_store::Pool::Postgres(jobs) = store.pool() else { panic!("it is PostgreSQL") };
    let mut onlooker = PgConnection::connect(database.url()).await.unwrap();
    for steps in 1..20 {
        give_up_after(steps, store.revoke(DeviceId(new_id()), 0)).await;
        give_up_after(steps, jobs.begin()).await;
        let mut looks = 0;
        while in_transaction(&mut onlooker).await > 0 {
            looks += 1;
            assert!(
                looks < 10_000,
                "a connection waits in a transaction that nobody has, given up after {steps}"
            );
        }
    }
    onlooker.close().await.unwrap();
    store.close().await;
}

/// Whoever asked hangs up after each number of steps that it takes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_erasure_that_is_given_up_leaves_the_writer_of_sqlite_as_it_was() {
    let database = TestDatabase::sqlite().await;
    let store = database.open().await;
    let files = tempfile::tempdir().unwrap();
    let vault = Vault::open(files.path().join("key"), [1; 32]).unwrap();
    let contact = ContactData { name: "Zhao".to_owned(), phone: String::new() };
    for steps in 1..60 {
        let half = [steps as u8; 32];
        store.put_contact(&vault, record(1), new_id(), &contact, half, START_MS).await.unwrap();
        give_up_after(steps, store.erase_contacts(&vault, &[record(1)], None, START_MS)).await;
        let patience_ms = database.number(&store, "PRAGMA busy_timeout").await.unwrap();
        assert_eq!(patience_ms, 10_000, "given up after {steps}");
    }
    store.close().await;
}

async fn in_transaction(onlooker: &mut PgConnection) -> i64 {
    let sql = "SELECT count(*) FROM pg_stat_activity
               WHERE datname = current_database() AND state LIKE 'idle in transaction%'";
    sqlx::query_scalar(sql).fetch_one(onlooker).await.unwrap()
}

/// Lets a future make so many steps, each when it can go on, and drops it.
async fn give_up_after(steps: usize, future: impl Future) {
    let mut future = std::pin::pin!(future);
    let mut made = 0;
    std::future::poll_fn(|context| {
        made += 1;
        if future.as_mut().poll(context).is_ready() || made >= steps {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_waits_for_another_process_that_writes_to_the_same_sqlite_file() {
    let database = TestDatabase::sqlite().await;
    let (store, other) = (database.open().await, database.open().await);
    plant(&store, [(area(1), None)]).await;
    let mut phone = Phone::enrol(&store, 1).await;
    let rounds_store::Pool::Sqlite(pool) = other.pool() else { panic!("it is SQLite") };
    let writing = pool.begin_with("BEGIN IMMEDIATE").await.unwrap();
    let arrival = phone.one(create_place(record(1), area(1), "a place"));
    let waiting = {
        let (store, batch) = (store.clone(), phone.batch(vec![arrival]));
        tokio::spawn(async move { store.submit(batch).await.unwrap() })
    };
    assert_eq!(store.record(record(1)).await.unwrap(), None, "readers do not wait");
    writing.commit().await.unwrap();
    assert_eq!(outcomes(&waiting.await.unwrap()), [Outcome::Applied]);
}
