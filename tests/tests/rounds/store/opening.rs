//! Opening and closing a database.

use rounds_store::Store;
use rounds_tests::{EPOCH, on_both_databases};
use uuid::Uuid;

on_both_databases! {
    async fn a_database_keeps_the_epoch_that_it_was_made_with(database: &TestDatabase) {
        let store = database.open().await;
        assert_eq!(store.epoch(), EPOCH);
        store.close().await;
        let again = Store::open(database.url(), Uuid::from_u128(1)).await.unwrap();
        assert_eq!(again.epoch(), EPOCH);
        again.close().await;
    }
}
