//! A record is the fold of its ops in one total order, whatever the order in which they arrive.

use super::sample::*;
use rounds_domain::clock::stamp_limit;
use rounds_domain::verdict::Reason;
use rounds_domain::{Kind, Op, Outcome, PlacedOp, RecordId, fold};
use rounds_store::{Arrival, Batch, Content, Receipt, Store};
use rounds_tests::{assert_sound, on_both_databases};

/// The record is what its ops fold to.
async fn equals_the_fold(store: &Store, id: RecordId) {
    let ops: Vec<PlacedOp> = store.ops_of(id).await.unwrap().into_iter().map(|it| it.placed).collect();
    let record = store.record(id).await.unwrap().map(|numbered| numbered.record);
    assert_eq!(record, fold(&ops).0);
}

/// Submits at the same time, on these stores in turn.
async fn submit_together(stores: &[Store], batches: Vec<Batch>) -> Vec<Receipt> {
    let tasks: Vec<_> = batches
        .into_iter()
        .enumerate()
        .map(|(n, batch)| {
            let store = stores[n % stores.len()].clone();
            tokio::spawn(async move { store.submit(batch).await.unwrap() })
        })
        .collect();
    let mut receipts = Vec::new();
    for task in tasks {
        receipts.push(task.await.unwrap());
    }
    receipts
}

on_both_databases! {
    async fn what_follows_a_late_op_in_one_commit_sees_what_it_did(database: &TestDatabase) {
        let store = database.open().await;
        plant(&store, [(area(1), None)]).await;
        let mut phone = Phone::enrol(&store, 1).await;
        let again = at(30, step(record(1), area(1), Kind::Request, "open"));
        phone.send(&store, [at(1, create_request(record(1), area(1))), again]).await;
        let mut late = Phone::enrol(&store, 2).await;
        let steps = [(5, "triaged"), (40, "referred"), (50, "in_progress")];
        let steps = steps.map(|(minute, to)| at(minute, step(record(1), area(1), Kind::Request, to)));
        assert_eq!(late.send(&store, steps).await, [Outcome::Applied; 3]);
        assert_eq!(read(&store, record(1)).await.status, "in_progress");
    }

    async fn what_follows_a_late_creation_in_one_commit_is_held_against_it(database: &TestDatabase) {
        let store = database.open().await;
        plant(&store, [(area(1), None)]).await;
        let mut phone = Phone::enrol(&store, 1).await;
        phone.send(&store, [at(30, create_place(record(1), area(1), "a name"))]).await;
        let mut late = Phone::enrol(&store, 2).await;
        let creations = [(5, "a name"), (10, "another")];
        let creations = creations.map(|(minute, name)| at(minute, create_place(record(1), area(1), name)));
        assert_eq!(late.send(&store, creations).await, [Outcome::Applied, Outcome::NotApplied]);
        assert_eq!(read(&store, record(1)).await.created.op, late.op_id(1));
    }

    async fn a_late_op_takes_effect_at_its_own_place(database: &TestDatabase) {
        let store = database.open().await;
        plant(&store, [(area(1), None)]).await;
        let mut phone = Phone::enrol(&store, 1).await;
        let mut late = Phone::enrol(&store, 2).await;
        let id = record(1);
        phone.send(&store, [at(1, create_request(id, area(1)))]).await;
        // On Thursday somebody closes; on Tuesday another, long without a signal, had rejected.
        let on = |minute, to| at(minute, step(id, area(1), Kind::Request, to));
        let outcomes = phone.send(&store, [on(10, "triaged"), on(20, "in_progress")]).await;
        assert_eq!(outcomes, [Outcome::Applied; 2]);
        let number = store.record(id).await.unwrap().unwrap().number;
        assert_eq!(late.send(&store, [on(5, "rejected")]).await, [Outcome::Applied]);

        let request = store.record(id).await.unwrap().unwrap();
        assert_eq!(request.record.status, "rejected");
        assert_eq!(request.record.disputes.len(), 2, "the steps that do not count any more are shown");
        assert!(request.number > number, "its readers hear of it");
        equals_the_fold(&store, id).await;
        // The verdicts of the others stay what they were.
        let verdicts: Vec<Outcome> =
            store.ops_of(id).await.unwrap().iter().map(|it| it.verdict.outcome).collect();
        assert_eq!(verdicts, [Outcome::Applied; 4]);
    }

    async fn ops_of_one_commit_that_come_in_another_order_are_folded_in_theirs(database: &TestDatabase) {
        let store = database.open().await;
        plant(&store, [(area(1), None)]).await;
        for round in 0..10_u128 {
            let id = record(round);
            let mut phones = Vec::new();
            for n in 0..6 {
                phones.push(Phone::enrol(&store, 10 * round + n).await);
            }
            phones[0].send(&store, [at(0, create_follow_up(id, area(1)))]).await;
            let batches: Vec<Batch> = phones
                .iter_mut()
                .enumerate()
                .map(|(n, phone)| {
                    let steps = ["done", "cancelled", "open"]
                        .iter()
                        .enumerate()
                        .map(|(m, to)| at(100 - 10 * n as i64 + m as i64, step(id, area(1), Kind::FollowUp, to)));
                    let arrivals: Vec<Arrival> = steps.map(|op| phone.one(op)).collect();
                    phone.batch(arrivals)
                })
                .collect();
            submit_together(std::slice::from_ref(&store), batches).await;
            equals_the_fold(&store, id).await;
        }
    }

    async fn an_op_for_an_unknown_record_applies_when_the_record_turns_up(database: &TestDatabase) {
        let store = database.open().await;
        plant(&store, [(area(1), None)]).await;
        let mut phone = Phone::enrol(&store, 1).await;
        let mut author = Phone::enrol(&store, 2).await;
        let edit = phone.one(at(5, rename(record(1), area(1), "a place", "a better name")));
        let receipt = phone.submit(&store, vec![edit.clone()]).await;
        assert_eq!(outcomes(&receipt), [Outcome::NotApplied]);
        assert_eq!(reasons(&receipt), [Some(Reason::UnknownRecord)]);
        let before = phone.one(at(6, step(record(2), area(1), Kind::FollowUp, "done")));
        phone.submit(&store, vec![before]).await;

        let outcomes = author
            .send(&store, [
                at(1, create_place(record(1), area(1), "a place")),
                at(2, create_follow_up(record(2), area(1))),
                at(3, rename(record(1), area(1), "a place", "another name")),
            ])
            .await;
        assert_eq!(outcomes, [Outcome::Applied; 3]);
        assert_eq!(read(&store, record(1)).await.text("name"), "a better name");
        assert_eq!(read(&store, record(2)).await.status, "done");
        equals_the_fold(&store, record(1)).await;
        equals_the_fold(&store, record(2)).await;
        assert_eq!(phone.submit(&store, vec![edit]).await.verdicts, receipt.verdicts, "the verdict stays");
    }

    async fn what_a_phone_did_to_a_follow_up_that_a_restored_server_makes_again_is_done(database: &TestDatabase) {
        let store = database.open().await;
        plant(&store, [(area(1), None)]).await;
        let (mut phone, mut worker) = (Phone::enrol(&store, 1).await, Phone::enrol(&store, 2).await);
        let (done, made) = (step(record(2), area(1), Kind::FollowUp, "done"), create_follow_up(record(2), area(1)));
        phone.send(&store, [at(5, done)]).await;
        worker.send(&store, [at(9, made)]).await;
        assert_eq!(read(&store, record(2)).await.status, "done");
        equals_the_fold(&store, record(2)).await;

        // Also if the phone comes later.
        let (done, made) = (step(record(3), area(1), Kind::FollowUp, "done"), create_follow_up(record(3), area(1)));
        worker.send(&store, [at(19, made)]).await;
        assert_eq!(phone.send(&store, [at(15, done)]).await, [Outcome::Applied]);
        assert_eq!(read(&store, record(3)).await.status, "done");
        equals_the_fold(&store, record(3)).await;
        store.close().await;
    }

    async fn an_op_for_an_unknown_record_applies_when_the_record_turns_up_in_the_same_commit(database: &TestDatabase) {
        let store = database.open().await;
        plant(&store, [(area(1), None)]).await;
        // In one batch.
        let mut phone = Phone::enrol(&store, 1).await;
        let outcomes = phone
            .send(&store, [
                at(1, rename(record(1), area(1), "a place", "an early name")),
                at(2, create_place(record(1), area(1), "a place")),
                at(3, rename(record(1), area(1), "an early name", "a better name")),
            ])
            .await;
        assert_eq!(outcomes, [Outcome::NotApplied, Outcome::Applied, Outcome::Applied]);
        equals_the_fold(&store, record(1)).await;
        assert_eq!(read(&store, record(1)).await.text("name"), "a better name");

        // In batches that meet: whichever comes first, the edit is later in the order.
        for round in 10..30_u128 {
            let mut filler = Phone::enrol(&store, 3 * round).await;
            let mut editor = Phone::enrol(&store, 3 * round + 1).await;
            let mut author = Phone::enrol(&store, 3 * round + 2).await;
            let id = record(round);
            let filling = filler.one(create_place(record(100 + round), area(1), "a place"));
            let edit = editor.one(at(5, rename(id, area(1), "a place", "a better name")));
            let creation = author.one(at(1, create_place(id, area(1), "a place")));
            let batches =
                vec![filler.batch(vec![filling]), editor.batch(vec![edit]), author.batch(vec![creation])];
            submit_together(std::slice::from_ref(&store), batches).await;
            assert_eq!(read(&store, id).await.text("name"), "a better name");
            equals_the_fold(&store, id).await;
        }
    }

    async fn an_op_that_waits_for_its_record_moves_it_when_it_turns_up(database: &TestDatabase) {
        let store = database.open().await;
        plant(&store, [(area(1), None), (area(2), None)]).await;
        let mut phone = Phone::enrol(&store, 1).await;
        let mut author = Phone::enrol(&store, 2).await;
        phone.send(&store, [at(5, move_to(record(1), area(1), Kind::Place, area(2)))]).await;
        author.send(&store, [at(1, create_place(record(1), area(1), "a place"))]).await;
        assert_eq!(read(&store, record(1)).await.area, area(2));
        equals_the_fold(&store, record(1)).await;
        let mut reader = Reader::of([area(1), area(2)]);
        reader.finish(&store, 64).await;
        assert_eq!(reader.get(record(1)), Some(&read(&store, record(1)).await));
    }

    async fn a_move_to_an_area_that_does_not_exist_stops_nothing(database: &TestDatabase) {
        let store = database.open().await;
        plant(&store, [(area(1), None)]).await;
        let mut phone = Phone::enrol(&store, 1).await;
        let arrivals = vec![
            phone.one(at(1, move_to(record(1), area(1), Kind::Place, area(99)))), // not even the record is there
            phone.one(at(2, create_place(record(1), area(1), "a place"))),
            phone.one(at(3, move_to(record(1), area(1), Kind::Place, area(99)))),
            phone.one(at(4, rename(record(1), area(1), "a place", "a name"))),
        ];
        let receipt = phone.submit(&store, arrivals).await;
        assert_eq!(outcomes(&receipt), [
            Outcome::Quarantined,
            Outcome::Applied,
            Outcome::Quarantined,
            Outcome::Applied,
        ]);
        assert_eq!(reasons(&receipt)[2], Some(Reason::NotInScope));
        let mut later = Phone::enrol(&store, 2).await;
        assert_eq!(later.send(&store, [at(9, rename(record(1), area(1), "a name", "x"))]).await, [Outcome::Applied]);
    }

    async fn an_op_that_cannot_be_read_leaves_the_times_of_those_behind_it_as_they_were(database: &TestDatabase) {
        let store = database.open().await;
        plant(&store, [(area(1), None)]).await;
        let mut phone = Phone::enrol(&store, 1).await;
        let mut arrivals: Vec<Arrival> =
            (1..4).map(|n| phone.one(at(n as i64, create_visit(record(n), area(1), "met")))).collect();
        arrivals[1] = refused(arrivals[1].clone());
        if let Content::Refused { op, .. } = &mut arrivals[1].content {
            *op = None;
        }
        phone.submit(&store, arrivals).await;
        for n in [1, 3] {
            let stored = &store.ops_of(record(n)).await.unwrap()[0];
            assert_eq!(stored.placed.at_ms, START_MS + n as i64 * MINUTE_MS);
            assert!(!stored.doubtful);
        }
    }

    async fn what_nobody_can_have_seen_is_not_believed(database: &TestDatabase) {
        let store = database.open().await;
        plant(&store, [(area(1), None)]).await;
        let (mut phone, mut other) = (Phone::enrol(&store, 1).await, Phone::enrol(&store, 2).await);
        let for_ever = at(2, rename(record(1), area(1), "a place", "its name for ever"));
        let ops = [at(1, create_place(record(1), area(1), "a place")), Op { observed: u64::MAX - 1, ..for_ever }];
        assert_eq!(phone.send(&store, ops).await, [Outcome::Applied; 2]);
        let stamp = store.ops_of(record(1)).await.unwrap()[1].placed.key.stamp;
        assert_eq!(stamp, stamp_limit(RECEIVED_MS) + 1, "right behind the last that it can have seen");

        // So there is room for whoever has seen it.
        let renamed = at(3, rename(record(1), area(1), "its name for ever", "a name"));
        let arrival = other.one(Op { observed: stamp, ..renamed });
        let batch = Batch { received_ms: RECEIVED_MS + MINUTE_MS, ..other.batch(vec![arrival]) };
        assert_eq!(outcomes(&store.submit(batch).await.unwrap()), [Outcome::Applied]);
        assert_eq!(store.ops_of(record(1)).await.unwrap()[2].placed.key.stamp, stamp + 1);
        assert_eq!(read(&store, record(1)).await.text("name"), "a name");
        equals_the_fold(&store, record(1)).await;
    }

    async fn an_edit_under_a_former_area_is_taken_in(database: &TestDatabase) {
        let store = database.open().await;
        plant(&store, [(area(1), None), (area(2), None), (area(3), None)]).await;
        let mut phone = Phone::enrol(&store, 1).await;
        phone
            .send(&store, [
                at(1, create_place(record(1), area(1), "a place")),
                at(2, move_to(record(1), area(1), Kind::Place, area(2))),
                at(3, move_to(record(1), area(2), Kind::Place, area(3))),
            ])
            .await;
        let mut late = Phone::enrol(&store, 2).await;
        let outcomes = late
            .send(&store, [
                at(4, rename(record(1), area(1), "a place", "second")),
                at(5, rename(record(1), area(2), "second", "third")),
                at(6, rename(record(1), area(3), "third", "fourth")),
            ])
            .await;
        assert_eq!(outcomes, [Outcome::Applied; 3]);
        let numbered = store.record(record(1)).await.unwrap().unwrap();
        assert_eq!((numbered.record.text("name"), numbered.record.area), ("fourth", area(3)));
        let mut reader = Reader::of([area(3)]);
        reader.finish(&store, 64).await;
        assert_eq!(reader.records[&record(1)], numbered);
    }

    async fn work_where_a_record_went_that_had_been_deleted_before_is_told_so(database: &TestDatabase) {
        let store = database.open().await;
        plant(&store, [(area(1), None), (area(2), None)]).await;
        let mut phone = Phone::enrol(&store, 1).await;
        phone
            .send(&store, [
                at(1, create_place(record(1), area(1), "a place")),
                at(3, move_to(record(1), area(1), Kind::Place, area(2))),
            ])
            .await;
        let mut late = Phone::enrol(&store, 2).await;
        assert_eq!(late.send(&store, [at(2, delete(record(1), area(1), Kind::Place))]).await, [Outcome::Applied]);
        let edit = phone.one(at(4, rename(record(1), area(2), "a place", "another name")));
        let receipt = phone.submit(&store, vec![edit]).await;
        assert_eq!((outcomes(&receipt), reasons(&receipt)), (vec![Outcome::NotApplied], vec![Some(Reason::Deleted)]));
        equals_the_fold(&store, record(1)).await;
    }

    async fn an_edit_under_a_foreign_area_goes_to_quarantine(database: &TestDatabase) {
        let store = database.open().await;
        plant(&store, [(area(1), None), (area(2), None)]).await;
        let mut phone = Phone::enrol(&store, 1).await;
        phone.send(&store, [at(1, create_place(record(1), area(1), "a place"))]).await;
        let arrivals = vec![
            phone.one(at(2, rename(record(1), area(2), "a place", "not yours"))),
            phone.one(at(3, create_place(record(1), area(2), "a place"))),
            phone.one(at(4, move_to(record(1), area(2), Kind::Place, area(2)))),
            phone.one(at(5, delete(record(1), area(2), Kind::Place))),
        ];
        let receipt = phone.submit(&store, arrivals).await;
        assert_eq!(reasons(&receipt), [Some(Reason::NotInScope); 4]);
        assert_eq!(outcomes(&receipt), [Outcome::Quarantined; 4]);
        let place = read(&store, record(1)).await;
        assert_eq!((place.text("name"), place.area), ("a place", area(1)));
    }

    async fn an_op_that_waits_under_a_foreign_area_takes_no_effect_when_the_record_turns_up(database: &TestDatabase) {
        let store = database.open().await;
        plant(&store, [(area(1), None), (area(2), None)]).await;
        let mut stranger = Phone::enrol(&store, 1).await;
        let mut author = Phone::enrol(&store, 2).await;
        // Whoever can guess the id of what will be made in another area must not write into it beforehand.
        let early: Vec<Op> = vec![
            at(5, rename(record(1), area(2), "a place", "not yours")),
            at(6, delete(record(1), area(2), Kind::Place)),
        ];
        assert_eq!(stranger.send(&store, early).await, [Outcome::NotApplied; 2]);
        let outcomes = author
            .send(&store, [
                at(1, create_place(record(1), area(1), "a place")),
                at(9, rename(record(1), area(1), "a place", "a name")),
            ])
            .await;
        assert_eq!(outcomes, [Outcome::Applied; 2]);
        let place = read(&store, record(1)).await;
        assert_eq!((place.text("name"), place.area, &place.deleted), ("a name", area(1), &None));
        assert_eq!(place.disputes, []);
        equals_the_fold(&store, record(1)).await;
    }

    async fn an_op_that_waits_applies_when_its_record_is_moved_into_its_area_before_it(database: &TestDatabase) {
        let store = database.open().await;
        plant(&store, [(area(1), None), (area(2), None)]).await;
        let mut stranger = Phone::enrol(&store, 1).await;
        let mut author = Phone::enrol(&store, 2).await;
        let mut mover = Phone::enrol(&store, 3).await;
        let early = stranger.send(&store, [at(9, rename(record(1), area(2), "a place", "a name"))]).await;
        assert_eq!(early, [Outcome::NotApplied]);
        author.send(&store, [at(1, create_place(record(1), area(1), "a place"))]).await;
        assert_eq!(read(&store, record(1)).await.text("name"), "a place", "it is not there yet");
        equals_the_fold(&store, record(1)).await;
        let moved = mover.send(&store, [at(5, move_to(record(1), area(1), Kind::Place, area(2)))]).await;
        assert_eq!(moved, [Outcome::Applied]);
        let place = read(&store, record(1)).await;
        assert_eq!((place.text("name"), place.area), ("a name", area(2)));
        equals_the_fold(&store, record(1)).await;
        let mut reader = Reader::of([area(1), area(2)]);
        reader.finish(&store, 64).await;
        assert_eq!(reader.get(record(1)), Some(&place));
        assert_sound(&store).await;
    }

    async fn one_record_created_in_two_areas_at_the_same_time_is_in_one(database: &TestDatabase) {
        let stores = [database.open().await, database.open().await];
        plant(&stores[0], [(area(1), None), (area(2), None)]).await;
        for round in 0..30_u128 {
            let id = record(round);
            let mut batches = Vec::new();
            for n in 0..4 {
                let mut phone = Phone::enrol(&stores[0], 4 * round + n).await;
                let home = area(1 + n % 2);
                let arrivals = vec![
                    phone.one(at(n as i64, create_place(id, home, "a place"))),
                    phone.one(at(10 + n as i64, rename(id, home, "a place", "a name"))),
                ];
                batches.push(phone.batch(arrivals));
            }
            let receipts = submit_together(&stores, batches).await;
            let record = read(&stores[0], id).await;
            equals_the_fold(&stores[0], id).await;
            for (n, receipt) in receipts.iter().enumerate() {
                let is_home = record.area == area(1 + n as u128 % 2);
                let quarantined = outcomes(receipt).contains(&Outcome::Quarantined);
                assert_eq!(is_home, !quarantined, "{receipts:?}");
            }
        }
        let mut reader = Reader::of([area(1), area(2)]);
        reader.finish(&stores[0], 1_000).await;
        assert_sound(&stores[0]).await;
        for round in 0..30 {
            assert_eq!(reader.get(record(round)), Some(&read(&stores[0], record(round)).await));
        }
    }

    async fn an_op_for_an_unknown_record_and_its_record_may_come_at_the_same_time(database: &TestDatabase) {
        let stores = [database.open().await, database.open().await];
        plant(&stores[0], [(area(1), None), (area(2), None)]).await;
        for round in 0..30_u128 {
            let id = record(round);
            let mut batches = Vec::new();
            for n in 0..4 {
                let mut phone = Phone::enrol(&stores[0], 4 * round + n).await;
                let arrivals = match n {
                    0 => vec![phone.one(at(1, create_place(id, area(1), "a place")))],
                    // Half of them name another area, which another lane works on.
                    _ => vec![phone.one(at(5 + n as i64, rename(id, area(1 + n % 2), "a place", "a name")))],
                };
                batches.push(phone.batch(arrivals));
            }
            submit_together(&stores, batches).await;
            equals_the_fold(&stores[0], id).await;
            assert_eq!(read(&stores[0], id).await.text("name"), "a name");
        }
    }
}
