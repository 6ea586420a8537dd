//! A database that was restored by other means, and is told so.

use super::sample::{area, plant};
use rounds_domain::{DeviceId, Role};
use rounds_store::{Error, NewCode, restored};
use rounds_tests::{EPOCH, TestDatabase, new_id, on_both_databases};
use uuid::Uuid;

const AGAIN: Uuid = Uuid::from_u128(0xe1);

on_both_databases! {
    async fn a_database_that_was_restored_has_another_epoch_and_void_codes(database: &TestDatabase) {
        let store = database.open().await;
        for hash in [[1; 32], [2; 32]] {
            let (role, areas, expires_ms) = (Role::Admin, Vec::new(), i64::MAX);
            store.create_code(NewCode { hash, role, areas, worker: None, organization: None, maker: None, expires_ms }).await.unwrap();
        }
        let device = DeviceId(new_id());
        store.enrol([1; 32], device, "a phone", [3; 32], None, 1).await.unwrap().expect("a code that is good");
        store.close().await;
        told(database).await;

        let store = database.open().await;
        assert_eq!(store.epoch(), AGAIN);
        assert_eq!(store.caller([3; 32]).await.unwrap().expect("it is known still").device.id, device);
        let late = store.enrol([2; 32], DeviceId(new_id()), "a phone", [4; 32], None, 1).await.unwrap();
        assert_eq!(late, None, "somebody may have used the code since the backup");
        store.close().await;
    }

    async fn work_recorded_after_the_backup_is_not_taken_for_that_of_a_later_assignment(database: &TestDatabase) {
        let store = database.open().await;
        plant(&store, [1, 2, 3].map(|n| (area(n), None))).await;
        let (role, areas, expires_ms) = (Role::Field, vec![area(1)], i64::MAX);
        store.create_code(NewCode { hash: [1; 32], role, areas, worker: None, organization: None, maker: None, expires_ms }).await.unwrap();
        let device = DeviceId(new_id());
        store.enrol([1; 32], device, "a phone", [3; 32], None, 1).await.unwrap().expect("a code that is good");
        store.close().await;
        // It got areas 1 and 2 as version 2 after the backup, and then this was restored.
        told(database).await;

        let store = database.open().await;
        let version = store.assign(device, &[area(3)]).await.unwrap().expect("it is known still");
        assert!(version > 2, "{version} is of another assignment");
        assert!(store.held(device, area(1), 2).await.unwrap(), "it did not know of the end when it knew version 2");
        assert!(!store.held(device, area(1), version).await.unwrap());
        store.close().await;
    }

    async fn a_database_in_use_is_not_told_that_it_was_restored(database: &TestDatabase) {
        let store = database.open().await;
        let refused = restored(database.url(), AGAIN).await;
        assert!(matches!(&refused, Err(Error::Unsuitable(what)) if what.contains("stop all")), "{refused:?}");
        store.close().await;
        told(database).await;
        let store = database.open().await;
        assert_eq!(store.epoch(), AGAIN);
        store.close().await;
    }

    async fn what_is_no_database_of_ours_is_not_told_anything(database: &TestDatabase) {
        let refused = restored(database.url(), AGAIN).await;
        assert!(matches!(refused, Err(Error::Unsuitable(_))), "{refused:?}");
        let store = database.open().await;
        assert_eq!(store.epoch(), EPOCH);
        store.close().await;
    }
}

/// PostgreSQL takes a moment to notice that somebody has gone.
async fn told(database: &TestDatabase) {
    while let Err(error) = restored(database.url(), AGAIN).await {
        let Error::Unsuitable(what) = error else { panic!("{error:?}") };
        assert!(database.is_postgres() && what.contains("stop all"), "{what}");
    }
}
