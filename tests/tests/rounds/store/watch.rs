//! Hints that areas moved.

use super::sample::*;
use rounds_domain::AreaId;
use rounds_tests::on_both_databases;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::broadcast::Receiver;
use tokio::time::timeout;

/// Far more than the seconds within which a hint has to come.
const PATIENCE: Duration = Duration::from_secs(30);

/// Waits until a hint names the area.
async fn hears_of(hints: &mut Receiver<Arc<[AreaId]>>, area: AreaId) {
    timeout(PATIENCE, async { while !hints.recv().await.unwrap().contains(&area) {} })
        .await
        .unwrap_or_else(|_| panic!("nobody told of {area}"));
}

on_both_databases! {
    async fn a_commit_of_this_process_is_told_before_it_is_answered(database: &TestDatabase) {
        let store = database.open().await;
        plant(&store, [(area(1), None), (area(2), None)]).await;
        let mut phone = Phone::enrol(&store, 1).await;
        let mut hints = store.watch();
        phone
            .send(&store, [
                at(1, create_place(record(1), area(1), "a place")),
                at(2, move_to(record(1), area(1), rounds_domain::Kind::Place, area(2))),
            ])
            .await;
        let mut moved = hints.try_recv().unwrap().to_vec();
        moved.sort();
        assert_eq!(moved, [area(1), area(2)]);
    }

    async fn commits_of_another_process_are_told_from_the_first_on(database: &TestDatabase) {
        let (store, other) = (database.open().await, database.open().await);
        plant(&store, [(area(1), None), (area(2), None)]).await;
        let mut phone = Phone::enrol(&other, 1).await;
        let mut hints = store.watch();
        phone.send(&other, [create_place(record(1), area(1), "a place")]).await;
        hears_of(&mut hints, area(1)).await;
        phone.send(&other, [create_place(record(2), area(2), "a place")]).await;
        hears_of(&mut hints, area(2)).await;
        // Somebody who comes later, and after nobody was there for a while.
        drop(hints);
        let mut hints = store.watch();
        phone.send(&other, [create_place(record(3), area(1), "a place")]).await;
        hears_of(&mut hints, area(1)).await;
    }
}
