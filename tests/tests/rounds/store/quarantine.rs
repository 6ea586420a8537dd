//! Ops that cannot be taken in as they are: kept whole, released at their own place, or laid aside.

use super::sample::*;
use rounds_domain::body::Area;
use rounds_domain::limit::GROUP_OPS_MAX;
use rounds_domain::verdict::Reason;
use rounds_domain::{AreaId, Body, Kind, Op, OpId, Outcome, PlacedOp, RecordId, fold};
use rounds_store::{Arrival, Content, QuarantinedOp, Store};
use rounds_tests::{assert_sound, on_both_databases};

async fn in_quarantine(store: &Store) -> Vec<OpId> {
    store.quarantine(None, None, 1_000).await.unwrap().ops.iter().map(|op| op.id).collect()
}

fn op_of(arrival: &Arrival) -> Op {
    match &arrival.content {
        Content::Admitted(op) => op.clone(),
        Content::Refused { op, .. } => op.clone().expect("it can be read"),
    }
}

async fn release(store: &Store, id: OpId, op: Op) -> Outcome {
    store.release(id, op).await.unwrap().expect("it is in quarantine").outcome
}

async fn equals_the_fold(store: &Store, id: RecordId) {
    let ops: Vec<PlacedOp> = store.ops_of(id).await.unwrap().into_iter().map(|it| it.placed).collect();
    let record = store.record(id).await.unwrap().map(|numbered| numbered.record);
    assert_eq!(record, fold(&ops).0);
    assert_sound(store).await;
}

on_both_databases! {
    async fn nothing_brings_a_deleted_record_back_or_takes_its_place(database: &TestDatabase) {
        let store = database.open().await;
        plant(&store, [(area(1), None), (area(2), None)]).await;
        let (mut ours, mut theirs) = (Phone::enrol(&store, 1).await, Phone::enrol(&store, 2).await);
        let gone = [at(10, create_place(record(1), area(1), "Gate")), at(11, delete(record(1), area(1), Kind::Place))];
        ours.send(&store, gone).await;

        // Recorded before, by its clock: folded in, it would come first, and the deletion would be of another kind.
        let usurpers = [at(1, create_request(record(1), area(1))), at(2, create_place(record(1), area(1), "Wall"))];
        assert_eq!(theirs.send(&store, usurpers).await, [Outcome::Quarantined, Outcome::Quarantined]);
        assert_eq!(in_quarantine(&store).await.len(), 2);
        let elsewhere = [at(3, create_place(record(1), area(2), "Gate"))];
        assert_eq!(theirs.send(&store, elsewhere).await, [Outcome::Quarantined]);
        let same = [at(3, create_place(record(1), area(1), "Gate"))];
        assert_eq!(theirs.send(&store, same).await, [Outcome::Applied]);
        assert!(read(&store, record(1)).await.deleted.is_some());
        equals_the_fold(&store, record(1)).await;
    }

    async fn an_op_in_quarantine_is_kept_whole(database: &TestDatabase) {
        let store = database.open().await;
        plant(&store, [(area(1), None)]).await;
        let mut phone = Phone::enrol(&store, 1).await;
        let by_the_edge = refused(phone.one(at(1, create_visit(record(1), area(1), "met"))));
        let mut unreadable = refused(phone.one(at(2, create_visit(record(2), area(1), "met"))));
        if let Content::Refused { raw, op, refusal } = &mut unreadable.content {
            *raw = vec![0, 1, 254, 255];
            *op = None;
            refusal.reason = Reason::Malformed;
        }
        let by_the_store = phone.one(at(3, create_visit(record(3), area(99), "met")));
        phone.submit(&store, vec![by_the_edge.clone(), unreadable.clone(), by_the_store.clone()]).await;

        let found = store.quarantine(None, None, 10).await.unwrap().ops;
        assert_eq!(found.len(), 3);
        for (n, (kept, arrival)) in found.iter().zip([&by_the_edge, &unreadable]).enumerate() {
            let Content::Refused { refusal, raw, op } = &arrival.content else { panic!("{arrival:?}") };
            let expected = QuarantinedOp {
                id: phone.op_id(n as u64 + 1),
                raw: raw.clone(),
                refusal: refusal.clone(),
                received_ms: RECEIVED_MS,
                op: op.clone(),
            };
            assert_eq!(*kept, expected);
            assert_eq!(store.quarantined(kept.id).await.unwrap().as_ref(), Some(kept));
        }
        assert_eq!(found[2].op, Some(op_of(&by_the_store)));
        assert_eq!(found[2].refusal.reason, Reason::NotInScope);
        for n in 1..4 {
            assert_eq!(store.record(record(n)).await.unwrap(), None);
            assert_eq!(store.ops_of(record(n)).await.unwrap(), []);
        }
        assert_eq!(store.quarantined(phone.op_id(4)).await.unwrap(), None);
    }

    async fn what_is_refused_about_a_record_that_is_not_there_holds_back_nobody_else(database: &TestDatabase) {
        let store = database.open().await;
        plant(&store, [(area(1), None)]).await;
        let (mut one, mut other) = (Phone::enrol(&store, 1).await, Phone::enrol(&store, 2).await);
        let refused = refused(one.one(at(2, step(record(1), area(1), Kind::Request, "triaged"))));
        one.submit(&store, vec![refused]).await;
        let outcomes = other.send(&store, [at(3, step(record(1), area(1), Kind::Request, "triaged"))]).await;
        assert_eq!(outcomes, [Outcome::NotApplied], "it takes effect when the request comes");
        one.send(&store, [at(1, create_request(record(1), area(1)))]).await;
        assert_eq!(read(&store, record(1)).await.status, "triaged");
        store.close().await;
    }

    async fn ops_about_a_record_whose_creation_is_in_quarantine_follow_it_in_and_out(database: &TestDatabase) {
        let store = database.open().await;
        plant(&store, [(area(1), None)]).await;
        let mut phone = Phone::enrol(&store, 1).await;
        let mut other = Phone::enrol(&store, 2).await;
        let creation = refused(phone.one(at(1, create_request(record(1), area(1)))));
        let arrivals = vec![
            creation.clone(),
            phone.one(at(2, step(record(1), area(1), Kind::Request, "triaged"))),
        ];
        let receipt = phone.submit(&store, arrivals).await;
        assert_eq!(reasons(&receipt), [Some(Reason::Forbidden), Some(Reason::DependsOnQuarantined)]);
        // Later calls and other devices too.
        let outcomes = phone.send(&store, [at(4, step(record(1), area(1), Kind::Request, "resolved"))]).await;
        assert_eq!(outcomes, [Outcome::Quarantined]);
        let outcomes = other.send(&store, [at(3, step(record(1), area(1), Kind::Request, "in_progress"))]).await;
        assert_eq!(outcomes, [Outcome::Quarantined]);

        assert_eq!(release(&store, phone.op_id(1), op_of(&creation)).await, Outcome::Applied);
        assert_eq!(in_quarantine(&store).await, []);
        let request = read(&store, record(1)).await;
        assert_eq!((request.status.as_str(), request.steps.len(), request.disputes.len()), ("resolved", 3, 0));
        equals_the_fold(&store, record(1)).await;
        assert_eq!(phone.send(&store, [at(5, step(record(1), area(1), Kind::Request, "verified"))]).await, [
            Outcome::Applied
        ]);
    }

    async fn a_group_follows_the_one_that_was_refused_and_so_does_what_depends_on_its_members(database: &TestDatabase) {
        let store = database.open().await;
        plant(&store, [(area(1), None)]).await;
        let mut phone = Phone::enrol(&store, 1).await;
        let mut group = phone.group([
            at(1, create_visit(record(1), area(1), "met")),
            at(1, create_request(record(2), area(1))),
            at(1, create_request(record(3), area(1))),
        ]);
        group[0] = refused(group[0].clone());
        phone.submit(&store, group.clone()).await;
        let outcomes = phone.send(&store, [at(2, step(record(2), area(1), Kind::Request, "triaged"))]).await;
        assert_eq!(outcomes, [Outcome::Quarantined]);
        // And a group that depends on that one: its other member follows as well.
        let outcomes = phone
            .send_group(&store, [
                at(3, create_place(record(4), area(1), "a place")),
                at(3, step(record(3), area(1), Kind::Request, "triaged")),
            ])
            .await;
        assert_eq!(outcomes, [Outcome::Quarantined; 2]);
        let outcomes = phone.send(&store, [at(4, rename(record(4), area(1), "a place", "a name"))]).await;
        assert_eq!(outcomes, [Outcome::Quarantined]);

        assert_eq!(release(&store, phone.op_id(1), op_of(&group[0])).await, Outcome::Applied);
        assert_eq!(in_quarantine(&store).await, []);
        let numbers = [1, 2, 3].map(record);
        let mut reader = Reader::of([area(1)]);
        reader.finish(&store, 64).await;
        for id in numbers {
            equals_the_fold(&store, id).await;
        }
        assert_eq!(read(&store, record(2)).await.status, "triaged");
        assert_eq!(read(&store, record(3)).await.status, "triaged");
        assert_eq!(read(&store, record(4)).await.text("name"), "a name");
    }

    async fn a_released_group_has_one_number(database: &TestDatabase) {
        let store = database.open().await;
        plant(&store, [(area(1), None)]).await;
        let mut phone = Phone::enrol(&store, 1).await;
        let mut group = phone.group((0..5).map(|n| create_place(record(n), area(1), "a place")));
        group[2] = refused(group[2].clone());
        phone.submit(&store, group.clone()).await;
        assert_eq!(release(&store, phone.op_id(3), op_of(&group[2])).await, Outcome::Applied);
        let first = store.record(record(0)).await.unwrap().unwrap().number;
        for n in 1..5 {
            assert_eq!(store.record(record(n)).await.unwrap().unwrap().number, first);
        }
    }

    async fn a_member_of_a_refused_group_does_not_come_out_before_the_one_that_was_refused(database: &TestDatabase) {
        let store = database.open().await;
        plant(&store, [(area(1), None)]).await;
        let mut phone = Phone::enrol(&store, 1).await;
        let mut group = phone.group((0..4).map(|n| create_place(record(n), area(1), "a place")));
        group[0] = refused(group[0].clone());
        group[2] = refused(group[2].clone());
        phone.submit(&store, group.clone()).await;

        let verdict = store.release(phone.op_id(2), op_of(&group[1])).await.unwrap().unwrap();
        assert_eq!((verdict.outcome, verdict.reason), (Outcome::Quarantined, Some(Reason::GroupRefused)));
        assert_eq!(store.record(record(1)).await.unwrap(), None);
        // The others come with the last of those that were refused for a reason of their own.
        assert_eq!(release(&store, phone.op_id(3), op_of(&group[2])).await, Outcome::Applied);
        assert_eq!(in_quarantine(&store).await, [phone.op_id(1), phone.op_id(2), phone.op_id(4)]);
        assert_eq!(release(&store, phone.op_id(1), op_of(&group[0])).await, Outcome::Applied);
        assert_eq!(in_quarantine(&store).await, []);
        for n in 0..4 {
            equals_the_fold(&store, record(n)).await;
        }
    }

    async fn a_member_of_a_group_comes_out_alone_where_the_refused_one_was_dismissed(database: &TestDatabase) {
        let store = database.open().await;
        plant(&store, [(area(1), None)]).await;
        let mut phone = Phone::enrol(&store, 1).await;
        let mut group = phone.group((0..3).map(|n| create_place(record(n), area(1), "a place")));
        group[0] = refused(group[0].clone());
        phone.submit(&store, group.clone()).await;
        assert!(store.dismiss(phone.op_id(1)).await.unwrap());
        assert_eq!(release(&store, phone.op_id(2), op_of(&group[1])).await, Outcome::Applied);
        assert_eq!(store.record(record(0)).await.unwrap(), None);
    }

    async fn a_group_over_the_limit_comes_out_in_pages_that_can_be_read(database: &TestDatabase) {
        let store = database.open().await;
        plant(&store, [(area(1), None)]).await;
        let mut phone = Phone::enrol(&store, 1).await;
        let size = 3 * GROUP_OPS_MAX;
        let group = phone.group((0..size as u128).map(|n| create_place(record(n), area(1), "a place")));
        phone.submit(&store, group.clone()).await;
        assert_eq!(release(&store, phone.op_id(1), op_of(&group[0])).await, Outcome::Applied);
        assert_eq!(in_quarantine(&store).await, []);
        let mut reader = Reader::of([area(1)]);
        assert!(reader.finish(&store, 64).await <= 5);
        assert_eq!(reader.records.len(), size + 1);
    }

    async fn an_op_is_released_at_its_own_place_in_the_order(database: &TestDatabase) {
        let store = database.open().await;
        plant(&store, [(area(1), None)]).await;
        let mut phone = Phone::enrol(&store, 1).await;
        let mut other = Phone::enrol(&store, 2).await;
        phone.send(&store, [at(1, create_place(record(1), area(1), "first"))]).await;
        let edit = refused(phone.one(at(2, rename(record(1), area(1), "first", "second"))));
        phone.submit(&store, vec![edit.clone()]).await;
        assert_eq!(other.send(&store, [at(3, rename(record(1), area(1), "first", "third"))]).await, [
            Outcome::Applied
        ]);

        assert_eq!(release(&store, phone.op_id(2), op_of(&edit)).await, Outcome::Applied);
        let place = read(&store, record(1)).await;
        assert_eq!(place.text("name"), "third", "the later one in the order is kept");
        assert_eq!(place.disputes.len(), 1);
        let order: Vec<OpId> =
            store.ops_of(record(1)).await.unwrap().iter().map(|it| it.placed.id()).collect();
        assert_eq!(order, [phone.op_id(1), phone.op_id(2), other.op_id(1)]);
        equals_the_fold(&store, record(1)).await;
    }

    async fn an_op_is_released_as_it_was_mended(database: &TestDatabase) {
        let store = database.open().await;
        plant(&store, [(area(1), None), (area(2), None)]).await;
        let mut phone = Phone::enrol(&store, 1).await;
        let mut unreadable = refused(phone.one(at(1, create_place(record(1), area(1), "a place"))));
        if let Content::Refused { op, .. } = &mut unreadable.content {
            *op = None;
        }
        let wrong_area = phone.one(at(2, create_place(record(2), area(99), "a place")));
        phone.submit(&store, vec![unreadable, wrong_area]).await;
        let mended = at(1, create_place(record(1), area(1), "mended"));
        assert_eq!(release(&store, phone.op_id(1), mended.clone()).await, Outcome::Applied);
        let moved = at(2, create_place(record(3), area(2), "mended"));
        assert_eq!(release(&store, phone.op_id(2), moved).await, Outcome::Applied);
        assert_eq!(store.ops_of(record(1)).await.unwrap()[0].placed.op, mended);
        assert_eq!(store.ops_of(record(2)).await.unwrap(), []);
        equals_the_fold(&store, record(1)).await;
        equals_the_fold(&store, record(3)).await;
    }

    async fn the_verdict_that_the_device_got_does_not_change(database: &TestDatabase) {
        let store = database.open().await;
        plant(&store, [(area(1), None)]).await;
        let mut phone = Phone::enrol(&store, 1).await;
        let arrivals: Vec<Arrival> =
            (0..2).map(|n| refused(phone.one(create_place(record(n), area(1), "a place")))).collect();
        let receipt = phone.submit(&store, arrivals.clone()).await;
        release(&store, phone.op_id(1), op_of(&arrivals[0])).await;
        store.dismiss(phone.op_id(2)).await.unwrap();
        assert_eq!(phone.submit(&store, arrivals).await, receipt);
        assert_eq!(store.ops_of(record(0)).await.unwrap()[0].verdict, receipt.verdicts[0].1);
    }

    async fn an_op_that_is_refused_again_stays_and_its_followers_with_it(database: &TestDatabase) {
        let store = database.open().await;
        plant(&store, [(area(1), None)]).await;
        let mut phone = Phone::enrol(&store, 1).await;
        let creation = phone.one(at(1, create_place(record(1), area(99), "a place")));
        let mut arrivals = vec![creation.clone(), phone.one(at(2, rename(record(1), area(1), "a place", "a name")))];
        arrivals.extend(phone.group([
            at(3, create_place(record(2), area(1), "a place")),
            at(3, rename(record(1), area(1), "a name", "another")),
        ]));
        assert_eq!(outcomes(&phone.submit(&store, arrivals).await), [Outcome::Quarantined; 4]);

        let verdict = store.release(phone.op_id(1), op_of(&creation)).await.unwrap().unwrap();
        assert_eq!((verdict.outcome, verdict.reason), (Outcome::Quarantined, Some(Reason::NotInScope)));
        assert_eq!(in_quarantine(&store).await, [1, 2, 3, 4].map(|seq| phone.op_id(seq)));
        assert_eq!(store.record(record(2)).await.unwrap(), None);

        let mended = at(1, create_place(record(1), area(1), "a place"));
        assert_eq!(release(&store, phone.op_id(1), mended).await, Outcome::Applied);
        assert_eq!(in_quarantine(&store).await, []);
        assert_eq!(read(&store, record(1)).await.text("name"), "another");
        assert_eq!(read(&store, record(2)).await.text("name"), "a place");
    }

    async fn work_where_a_move_went_that_a_restore_undid_waits_until_it_is_released_for_its_area(database: &TestDatabase) {
        let store = database.open().await;
        plant(&store, [(area(1), None), (area(2), None)]).await;
        let (mut author, mut phone) = (Phone::enrol(&store, 1).await, Phone::enrol(&store, 2).await);
        author.send(&store, [at(1, create_place(record(1), area(1), "a place"))]).await;
        // The phone has seen that the place moved to the other area; the database is of before.
        let work = [
            phone.one(at(3, rename(record(1), area(2), "a place", "a name"))),
            phone.one(at(4, rename(record(1), area(2), "a name", "another name"))),
        ];
        let receipt = phone.submit(&store, work.to_vec()).await;
        assert_eq!(outcomes(&receipt), [Outcome::Quarantined; 2]);
        assert_eq!(reasons(&receipt)[0], Some(Reason::NotInScope));

        let verdict = store.release(phone.op_id(1), op_of(&work[0])).await.unwrap().unwrap();
        assert_eq!((verdict.outcome, verdict.reason), (Outcome::Quarantined, Some(Reason::NotInScope)));
        let here = at(3, rename(record(1), area(1), "a place", "a name"));
        assert_eq!(release(&store, phone.op_id(1), here).await, Outcome::Applied);
        // Moved again or not: at the place of the work in the order it was in the area that it came from.
        author.send(&store, [at(5, move_to(record(1), area(1), Kind::Place, area(2)))]).await;
        assert_eq!(release(&store, phone.op_id(2), op_of(&work[1])).await, Outcome::NotApplied);
        let place = read(&store, record(1)).await;
        assert_eq!((place.text("name"), place.area), ("a name", area(2)));
        equals_the_fold(&store, record(1)).await;
    }

    async fn an_op_released_before_its_record_is_there_counts_when_it_turns_up(database: &TestDatabase) {
        let store = database.open().await;
        plant(&store, [(area(1), None)]).await;
        let mut phone = Phone::enrol(&store, 1).await;
        let mut author = Phone::enrol(&store, 2).await;
        let creation = refused(phone.one(at(1, create_place(record(1), area(1), "a place"))));
        let edit = phone.one(at(2, rename(record(1), area(1), "a place", "a name")));
        let forbidden = refused(phone.one(at(3, rename(record(2), area(1), "a place", "a name"))));
        phone.submit(&store, vec![creation.clone(), edit.clone(), forbidden.clone()]).await;
        for (seq, arrival) in [(2, edit), (3, forbidden)] {
            assert_eq!(release(&store, phone.op_id(seq), op_of(&arrival)).await, Outcome::NotApplied);
        }
        assert_eq!(in_quarantine(&store).await, [phone.op_id(1)]);

        assert_eq!(release(&store, phone.op_id(1), op_of(&creation)).await, Outcome::Applied);
        author.send(&store, [at(1, create_place(record(2), area(1), "a place"))]).await;
        for n in [1, 2] {
            assert_eq!(read(&store, record(n)).await.text("name"), "a name");
            equals_the_fold(&store, record(n)).await;
        }
    }

    async fn released_twice_at_the_same_time_it_takes_effect_once(database: &TestDatabase) {
        let stores = [database.open().await, database.open().await];
        plant(&stores[0], [(area(1), None)]).await;
        let mut phone = Phone::enrol(&stores[0], 1).await;
        phone.send(&stores[0], [create_follow_up(record(1), area(1))]).await;
        for round in 0..20 {
            let done = refused(phone.one(at(round, step(record(1), area(1), Kind::FollowUp, "done"))));
            phone.submit(&stores[0], vec![done.clone()]).await;
            let tasks: Vec<_> = (0..4)
                .map(|n| {
                    let (store, id, op) = (stores[n % 2].clone(), phone.op_id(round as u64 + 2), op_of(&done));
                    tokio::spawn(async move { store.release(id, op).await.unwrap() })
                })
                .collect();
            let mut released = 0;
            for task in tasks {
                released += usize::from(task.await.unwrap().is_some());
            }
            assert_eq!(released, 1);
            assert_eq!(read(&stores[0], record(1)).await.steps.len(), round as usize + 1);
        }
        equals_the_fold(&stores[0], record(1)).await;
    }

    async fn nothing_waits_for_an_op_that_was_dismissed(database: &TestDatabase) {
        let store = database.open().await;
        plant(&store, [(area(1), None)]).await;
        let mut phone = Phone::enrol(&store, 1).await;
        let creation = refused(phone.one(at(1, create_request(record(1), area(1)))));
        phone.submit(&store, vec![creation]).await;
        let device = phone.op_id(1).device;
        assert!(store.quarantined(phone.op_id(1)).await.unwrap().is_some());
        assert!(store.quarantined_bytes(device).await.unwrap() > 1024);

        assert!(store.dismiss(phone.op_id(1)).await.unwrap());
        assert_eq!(store.quarantined(phone.op_id(1)).await.unwrap(), None);
        assert_eq!(store.quarantined_bytes(device).await.unwrap(), 0);
        let outcomes = phone.send(&store, [at(2, step(record(1), area(1), Kind::Request, "triaged"))]).await;
        assert_eq!(outcomes, [Outcome::NotApplied], "the request may come another way");
        assert_eq!(in_quarantine(&store).await, []);
    }

    async fn an_op_is_either_released_or_dismissed(database: &TestDatabase) {
        let stores = [database.open().await, database.open().await];
        plant(&stores[0], [(area(1), None)]).await;
        let mut phone = Phone::enrol(&stores[0], 1).await;
        for round in 0..20 {
            let creation = refused(phone.one(create_place(record(round), area(1), "a place")));
            phone.submit(&stores[0], vec![creation.clone()]).await;
            let id = phone.op_id(round as u64 + 1);
            let releasing = {
                let (store, op) = (stores[0].clone(), op_of(&creation));
                tokio::spawn(async move { store.release(id, op).await.unwrap().is_some() })
            };
            let dismissing = {
                let store = stores[1].clone();
                tokio::spawn(async move { store.dismiss(id).await.unwrap() })
            };
            let (released, dismissed) = (releasing.await.unwrap(), dismissing.await.unwrap());
            assert!(released != dismissed, "released: {released}, dismissed: {dismissed}");
            assert_eq!(stores[0].record(record(round)).await.unwrap().is_some(), released);
        }
    }

    async fn nothing_that_depends_on_it_stays_behind_when_an_op_is_released(database: &TestDatabase) {
        let stores = [database.open().await, database.open().await];
        plant(&stores[0], [(area(1), None)]).await;
        for round in 0..20_u128 {
            let mut phone = Phone::enrol(&stores[0], 2 * round).await;
            let mut other = Phone::enrol(&stores[0], 2 * round + 1).await;
            let id = record(round);
            let creation = refused(phone.one(at(0, create_follow_up(id, area(1)))));
            phone.submit(&stores[0], vec![creation.clone()]).await;
            let working = {
                let store = stores[1].clone();
                tokio::spawn(async move {
                    for minute in 1..6 {
                        other.send(&store, [at(minute, step(id, area(1), Kind::FollowUp, "done"))]).await;
                    }
                })
            };
            assert_eq!(release(&stores[0], phone.op_id(1), op_of(&creation)).await, Outcome::Applied);
            working.await.unwrap();
            assert_eq!(in_quarantine(&stores[0]).await, []);
            assert_eq!(read(&stores[0], id).await.steps.len(), 5);
        }
    }

    async fn a_dismissed_op_is_out_of_the_list_and_stays_on_record(database: &TestDatabase) {
        let store = database.open().await;
        plant(&store, [(area(1), None)]).await;
        let mut phone = Phone::enrol(&store, 1).await;
        let creation = refused(phone.one(at(1, create_place(record(1), area(1), "a place"))));
        let edit = phone.one(at(2, rename(record(1), area(1), "a place", "a name")));
        phone.submit(&store, vec![creation.clone(), edit.clone()]).await;
        assert!(store.dismiss(phone.op_id(1)).await.unwrap());
        assert!(!store.dismiss(phone.op_id(1)).await.unwrap(), "it is not in quarantine any more");
        assert_eq!(store.release(phone.op_id(1), op_of(&creation)).await.unwrap(), None);
        assert_eq!(in_quarantine(&store).await, [phone.op_id(2)]);
        assert_eq!(store.record(record(1)).await.unwrap(), None);
        let kept = database.number(&store, "SELECT count(*) FROM ops WHERE state = 2 AND raw IS NOT NULL").await;
        assert_eq!(kept.unwrap(), 1);
        assert!(!store.dismiss(phone.op_id(9)).await.unwrap());
        assert!(!store.dismiss(OpId { device: device(77), seq: 1 }).await.unwrap());
    }

    async fn what_was_never_in_quarantine_is_not_released(database: &TestDatabase) {
        let store = database.open().await;
        plant(&store, [(area(1), None)]).await;
        let mut phone = Phone::enrol(&store, 1).await;
        phone.send(&store, [create_place(record(1), area(1), "a place")]).await;
        for id in [phone.op_id(1), phone.op_id(2), OpId { device: device(77), seq: 1 }] {
            assert_eq!(store.release(id, create_place(record(2), area(1), "another")).await.unwrap(), None);
        }
        assert_eq!(store.record(record(2)).await.unwrap(), None);
    }

    async fn an_area_comes_out_as_it_was_mended(database: &TestDatabase) {
        let store = database.open().await;
        plant(&store, [(area(1), None)]).await;
        let mut phone = Phone::enrol(&store, 1).await;
        let orphan = phone.one(at(1, create_area(area(2), Some(area(99)))));
        assert_eq!(outcomes(&phone.submit(&store, vec![orphan]).await), [Outcome::Quarantined]);
        let body = |parent: AreaId| {
            Body::Area(Area {
                name: "Mended".into(),
                parent: Some(parent.into()),
                time_zone: "Europe/Berlin".into(),
                ..Area::default()
            })
        };
        let again = create(area(2).into(), area(2), body(area(98)));
        assert_eq!(release(&store, phone.op_id(1), again).await, Outcome::Quarantined);
        let mended = create(area(2).into(), area(2), body(area(1)));
        assert_eq!(release(&store, phone.op_id(1), mended).await, Outcome::Applied);
        assert_eq!(store.subtree(area(1)).await.unwrap(), [area(1), area(2)]);
        // Days are counted in its zone.
        phone.send(&store, [at(900, create_visit(record(1), area(2), "met"))]).await;
        assert_sound(&store).await;
    }

    async fn a_coordinator_sees_what_names_an_own_area_or_comes_from_a_device_there(database: &TestDatabase) {
        let store = database.open().await;
        plant(&store, [(area(1), None), (area(2), None)]).await;
        let mut phones = Vec::new();
        for n in 0..4 {
            let phone = Phone::enrol(&store, n).await;
            store.assign(phone.id, &[area(1 + n % 2)]).await.unwrap().unwrap();
            phones.push(phone);
        }
        store.assign(phones[3].id, &[]).await.unwrap().unwrap(); // has none any more
        let mut expected = [Vec::new(), Vec::new()];
        for (n, phone) in phones.iter_mut().enumerate() {
            let mut arrivals = Vec::new();
            for m in 0..6_u64 {
                let named = 1 + (m as u128 / 2) % 2;
                let mut arrival =
                    refused(phone.one(create_place(record(n as u128 * 10 + m as u128), area(named), "a place")));
                let mut seen_in = Some(named as usize - 1);
                if m % 3 == 0 {
                    if let Content::Refused { op, .. } = &mut arrival.content {
                        *op = None;
                    }
                    seen_in = (n < 3).then_some(n % 2);
                }
                if let Some(seen_in) = seen_in {
                    expected[seen_in].push(phone.op_id(m + 1));
                }
                arrivals.push(arrival);
            }
            phone.submit(&store, arrivals).await;
        }
        for (n, expected) in expected.iter().enumerate() {
            for limit in [1, 2, 5, 100] {
                let mut found = Vec::new();
                loop {
                    let page =
                        store.quarantine(Some(&[area(n as u128 + 1)]), found.last().copied(), limit).await.unwrap();
                    assert!(page.ops.len() <= limit as usize);
                    found.extend(page.ops.iter().map(|op| op.id));
                    if !page.more {
                        break;
                    }
                }
                assert_eq!(found, *expected);
            }
        }
        assert_eq!(store.quarantine(Some(&[]), None, 100).await.unwrap().ops, []);
        assert_eq!(in_quarantine(&store).await.len(), 24);
    }
}
