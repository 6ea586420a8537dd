//! Records as they are at one moment.

use super::sample::*;
use rounds_domain::{AreaId, Kind, RecordId};
use rounds_store::Snapshot;
use rounds_tests::on_both_databases;

/// All pages of an area.
async fn all(snapshot: &mut Snapshot, kind: Kind, area: AreaId, limit: u32) -> Vec<RecordId> {
    let mut found = Vec::new();
    let mut after = None;
    loop {
        let page = snapshot.page(kind, area, None, after, limit).await.unwrap();
        assert!(page.len() <= limit as usize);
        let Some(last) = page.last() else { return found };
        after = Some((last.number, last.record.id));
        found.extend(page.iter().map(|numbered| numbered.record.id));
    }
}

on_both_databases! {
    async fn a_snapshot_has_every_record_once_as_it_was_whatever_is_written_meanwhile(database: &TestDatabase) {
        let store = database.open().await;
        plant(&store, [(area(1), None), (area(2), None)]).await;
        let mut phone = Phone::enrol(&store, 1).await;
        phone.send(&store, (0..30).map(|n| create_place(record(n), area(1), "4-2-301"))).await;
        phone.send_group(&store, [create_place(record(30), area(1), "a"), create_place(record(31), area(1), "b")]).await;
        phone.send(&store, [create_visit(record(90), area(1), "met"), delete(record(29), area(1), Kind::Place)]).await;
        let mut snapshot = store.snapshot().await.unwrap();
        let first = snapshot.page(Kind::Place, area(1), None, None, 7).await.unwrap();
        phone
            .send(&store, [
                rename(record(2), area(1), "4-2-301", "renamed"),
                rename(record(20), area(1), "4-2-301", "renamed"),
                move_to(record(21), area(1), Kind::Place, area(2)),
                delete(record(22), area(1), Kind::Place),
                create_place(record(40), area(1), "a new one"),
            ])
            .await;
        let last = first.last().map(|numbered| (numbered.number, numbered.record.id));
        let rest = snapshot.page(Kind::Place, area(1), None, last, 100).await.unwrap();
        let mut seen: Vec<RecordId> = first.iter().chain(&rest).map(|numbered| numbered.record.id).collect();
        seen.sort();
        let expected: Vec<RecordId> = (0..32).filter(|n| *n != 29).map(record).collect();
        assert_eq!(seen, expected);
        assert!(rest.iter().all(|numbered| numbered.record.text("name") != "renamed"));
        assert_eq!(snapshot.count(Kind::Place, area(1)).await.unwrap(), 31);
        assert_eq!(snapshot.count(Kind::Place, area(2)).await.unwrap(), 0);
        drop(snapshot);

        let mut snapshot = store.snapshot().await.unwrap();
        let whole = all(&mut snapshot, Kind::Place, area(1), 100).await;
        for limit in [1, 2, 7] {
            assert_eq!(all(&mut snapshot, Kind::Place, area(1), limit).await, whole);
        }
        assert!(whole.contains(&record(40)) && !whole.contains(&record(22)));
        drop(snapshot);
        store.close().await;
    }

    async fn a_snapshot_tells_what_is_due_in_a_period(database: &TestDatabase) {
        let store = database.open().await;
        plant(&store, [(area(1), None)]).await;
        let mut phone = Phone::enrol(&store, 1).await;
        phone.send(&store, [create_follow_up(record(1), area(1))]).await; // due at the start
        let mut snapshot = store.snapshot().await.unwrap();
        for (due, expected) in [
            (START_MS..START_MS + 1, 1),
            (START_MS + 1..i64::MAX, 0),
            (i64::MIN..START_MS, 0),
        ] {
            let found = snapshot.page(Kind::FollowUp, area(1), Some(due), None, 10).await.unwrap();
            assert_eq!(found.len(), expected);
        }
        drop(snapshot);
        store.close().await;
    }
}
