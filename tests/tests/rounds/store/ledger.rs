//! Every op takes effect once and gets one verdict for ever, whatever became of the calls that brought it.

use super::sample::*;
use rounds_domain::verdict::Reason;
use rounds_domain::{Kind, Outcome, Verdict};
use rounds_store::{Arrival, Batch, Content, Error, Receipt, Store};
use rounds_tests::on_both_databases;
use std::collections::BTreeMap;

/// One op for each outcome that stays.
fn one_of_each(phone: &mut Phone) -> Vec<Arrival> {
    let (home, place) = (area(1), record(1));
    let mut arrivals = vec![
        phone.one(at(1, create_place(place, home, "4-2-301"))),
        phone.one(at(2, rename(place, home, "4-2-301", "4-2-302"))),
        phone.one(at(3, rename(place, home, "4-2-302", "4-2-302"))),
        phone.one(at(4, rename(place, home, "4-2-301", "4-2-303"))),
        phone.one(at(5, rename(record(2), home, "", "nobody knows it"))),
        phone.one(at(6, create_place(record(3), home, "forbidden"))),
        phone.one(at(7, create_place(record(4), area(99), "no such area"))),
    ];
    arrivals[5] = refused(arrivals[5].clone());
    arrivals
}

const ONE_OF_EACH: [Outcome; 7] = [
    Outcome::Applied,
    Outcome::Applied,
    Outcome::Merged,
    Outcome::ConflictRecorded,
    Outcome::NotApplied,
    Outcome::Quarantined,
    Outcome::Quarantined,
];

async fn submit_all(store: &Store, batches: Vec<Batch>) -> Vec<Receipt> {
    let tasks: Vec<_> = batches
        .into_iter()
        .map(|batch| {
            let store = store.clone();
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
    async fn acknowledged_ops_are_there_after_reopening(database: &TestDatabase) {
        let store = database.open().await;
        plant(&store, [(area(1), None)]).await;
        let mut phone = Phone::enrol(&store, 1).await;
        let arrivals = one_of_each(&mut phone);
        let receipt = phone.submit(&store, arrivals.clone()).await;
        let place = store.record(record(1)).await.unwrap().unwrap();
        drop(store); // as a process that ends

        let store = database.open().await;
        assert_eq!(store.record(record(1)).await.unwrap().unwrap(), place);
        assert_eq!(store.ops_of(record(1)).await.unwrap().len(), 4);
        assert_eq!(store.quarantine(None, None, 10).await.unwrap().ops.len(), 2);
        assert_eq!(store.device(phone.id).await.unwrap().unwrap().acknowledged_through, 7);
        assert_eq!(phone.submit(&store, arrivals).await, receipt);
    }

    async fn a_duplicate_gets_the_same_verdict(database: &TestDatabase) {
        let store = database.open().await;
        plant(&store, [(area(1), None)]).await;
        let mut phone = Phone::enrol(&store, 1).await;
        let arrivals = one_of_each(&mut phone);
        let first = phone.submit(&store, arrivals.clone()).await;
        assert_eq!(outcomes(&first), ONE_OF_EACH);
        let place = store.record(record(1)).await.unwrap();

        for from in (0..arrivals.len()).rev() {
            for to in from + 1..=arrivals.len() {
                let again = phone.submit(&store, arrivals[from..to].to_vec()).await;
                assert_eq!(again.verdicts, first.verdicts[from..to]);
                assert_eq!(again.acknowledged_through, 7);
                assert_eq!(again.forked_at, None);
            }
        }
        assert_eq!(store.record(record(1)).await.unwrap(), place);
        assert_eq!(store.ops_of(record(1)).await.unwrap().len(), 4);
    }

    async fn a_duplicate_is_told_by_its_bytes_whatever_the_edge_makes_of_it_now(database: &TestDatabase) {
        let store = database.open().await;
        plant(&store, [(area(1), None)]).await;
        let mut phone = Phone::enrol(&store, 1).await;
        let arrival = phone.one(create_place(record(1), area(1), "4-2-301"));
        let first = phone.submit(&store, vec![arrival.clone()]).await;
        let again = phone.submit(&store, vec![refused(arrival)]).await;
        assert_eq!(again, first);
        assert_eq!(store.quarantine(None, None, 10).await.unwrap().ops, []);
    }

    async fn duplicates_in_flight_at_the_same_time_get_the_same_verdict(database: &TestDatabase) {
        // Two stores are two servers: a phone that lost its connection may come back to the other one.
        let stores = [database.open().await, database.open().await];
        plant(&stores[0], [(area(1), None)]).await;
        let mut phone = Phone::enrol(&stores[0], 1).await;
        let arrivals = one_of_each(&mut phone);
        let tasks: Vec<_> = (0..16)
            .map(|n| {
                let (store, batch) = (stores[n % 2].clone(), phone.batch(arrivals.clone()));
                tokio::spawn(async move { store.submit(batch).await.unwrap() })
            })
            .collect();
        for task in tasks {
            let receipt = task.await.unwrap();
            assert_eq!(outcomes(&receipt), ONE_OF_EACH);
            assert_eq!((receipt.acknowledged_through, receipt.forked_at), (7, None));
        }
        assert_eq!(stores[0].ops_of(record(1)).await.unwrap().len(), 4);
    }

    async fn an_op_takes_effect_once_under_duplicate_cut_reordered_and_concurrent_calls(database: &TestDatabase) {
        const OPS: usize = 60;
        let stores = [database.open().await, database.open().await];
        plant(&stores[0], [(area(1), None)]).await;
        let mut phone = Phone::enrol(&stores[0], 1).await;
        // A second completion is kept as evidence: each op leaves exactly one entry.
        let mut arrivals = vec![phone.one(create_follow_up(record(1), area(1)))];
        for minute in 1..OPS as i64 {
            arrivals.push(phone.one(at(minute, step(record(1), area(1), Kind::FollowUp, "done"))));
        }
        let mut known: BTreeMap<u64, Verdict> = BTreeMap::new();
        let mut round = 0;
        while known.len() < OPS {
            round += 1;
            let windows = (0..OPS).step_by(7).rev().map(|from| (from, (from + 15).min(OPS)));
            let tasks: Vec<_> = windows
                .map(|(from, to)| {
                    let (store, batch) = (stores[from % 2].clone(), phone.batch(arrivals[from..to].to_vec()));
                    tokio::spawn(async move { store.submit(batch).await.unwrap() })
                })
                .collect();
            for task in tasks {
                let receipt = task.await.unwrap();
                assert_eq!(receipt.forked_at, None);
                for (seq, verdict) in receipt.verdicts {
                    if verdict.outcome != Outcome::Retry {
                        assert_eq!(*known.entry(seq).or_insert(verdict.clone()), verdict);
                    }
                }
            }
            assert!(round <= OPS, "each round takes at least one op in");
        }
        let follow_up = read(&stores[0], record(1)).await;
        assert_eq!(follow_up.steps.len(), OPS - 1);
        assert_eq!(stores[0].ops_of(record(1)).await.unwrap().len(), OPS);
    }

    async fn a_gap_is_answered_with_retry_and_stops_what_is_behind(database: &TestDatabase) {
        let store = database.open().await;
        plant(&store, [(area(1), None)]).await;
        let mut phone = Phone::enrol(&store, 1).await;
        let places: Vec<Arrival> =
            (1..=4).map(|n| phone.one(at(n, create_place(record(n as u128), area(1), "a place")))).collect();

        let receipt = phone.submit(&store, places[1..].to_vec()).await;
        assert_eq!(outcomes(&receipt), [Outcome::Retry; 3]);
        assert_eq!(reasons(&receipt), [Some(Reason::SequenceGap), Some(Reason::Behind), Some(Reason::Behind)]);
        assert_eq!(receipt.acknowledged_through, 0);

        let cut = vec![places[0].clone(), places[2].clone(), places[3].clone()];
        let receipt = phone.submit(&store, cut).await;
        assert_eq!(outcomes(&receipt), [Outcome::Applied, Outcome::Retry, Outcome::Retry]);
        assert_eq!(receipt.verdicts.iter().map(|(seq, _)| *seq).collect::<Vec<_>>(), [1, 3, 4]);
        assert_eq!(receipt.acknowledged_through, 1);
        assert_eq!(store.record(record(3)).await.unwrap(), None);

        let receipt = phone.submit(&store, places).await;
        assert_eq!(outcomes(&receipt), [Outcome::Applied; 4]);
    }

    async fn only_retry_stops_what_is_behind(database: &TestDatabase) {
        let store = database.open().await;
        plant(&store, [(area(1), None)]).await;
        let mut phone = Phone::enrol(&store, 1).await;
        let mut arrivals = one_of_each(&mut phone);
        arrivals.push(phone.one(at(8, create_place(record(8), area(1), "the last"))));
        let receipt = phone.submit(&store, arrivals).await;
        assert_eq!(receipt.acknowledged_through, 8);
        assert_eq!(receipt.verdicts[7].1, Verdict::plain(Outcome::Applied));
    }

    async fn what_copies_bring_under_two_names_takes_effect_once_and_has_one_verdict(database: &TestDatabase) {
        let store = database.open().await;
        plant(&store, [(area(1), None)]).await;
        let (mut phone, mut copy) = (Phone::enrol(&store, 1).await, Phone::again(&store, 2, 1).await);
        let mut arrivals = one_of_each(&mut phone);
        arrivals.extend(phone.group([8, 9].map(|n| create_place(record(n), area(1), "together"))));
        let mut by_copy = one_of_each(&mut copy);
        by_copy.extend(copy.group([8, 9].map(|n| create_place(record(n), area(1), "together"))));
        let first = phone.submit(&store, arrivals.clone()).await;
        assert_eq!(outcomes(&first)[..7], ONE_OF_EACH);
        let (place, together) = (read(&store, record(1)).await, read(&store, record(9)).await);

        // What the edge makes of them now, and which of them come in one call, makes no difference.
        by_copy[3] = refused(by_copy[3].clone());
        let mut second = copy.submit(&store, by_copy[..3].to_vec()).await;
        second.verdicts.extend(copy.submit(&store, by_copy[3..].to_vec()).await.verdicts);
        assert_eq!(second.verdicts, first.verdicts);
        assert_eq!(copy.submit(&store, by_copy.clone()).await.verdicts, first.verdicts, "and again");
        assert_eq!(phone.submit(&store, arrivals).await.verdicts, first.verdicts);
        assert_eq!((read(&store, record(1)).await, read(&store, record(9)).await), (place, together));
        assert_eq!(store.ops_of(record(1)).await.unwrap().len(), 4);
        let waiting = store.quarantine(None, None, 10).await.unwrap().ops;
        assert_eq!(waiting.iter().map(|op| op.id).collect::<Vec<_>>(), [phone.op_id(6), phone.op_id(7)]);

        // One that leaves quarantine leaves it once.
        let op = create_place(record(3), area(1), "forbidden");
        assert_eq!(store.release(copy.op_id(6), op.clone()).await.unwrap(), None);
        assert_eq!(store.release(phone.op_id(6), op).await.unwrap(), Some(Verdict::plain(Outcome::Applied)));
        assert_eq!(copy.submit(&store, by_copy).await.verdicts, first.verdicts, "the verdict is for ever");
        assert_eq!(store.ops_of(record(3)).await.unwrap().len(), 1);

        // What the copy does next comes after what it brought.
        let renamed = rename(record(1), area(1), "4-2-303", "4-2-304");
        assert_eq!(copy.send(&store, [at(10, renamed)]).await, [Outcome::Applied]);
        assert_eq!(read(&store, record(1)).await.text("name"), "4-2-304");
    }

    async fn what_copies_bring_at_the_same_time_takes_effect_once(database: &TestDatabase) {
        // Two stores are two servers; what comes to one of them at the same time meets in one commit.
        let stores = [database.open().await, database.open().await];
        plant(&stores[0], [(area(1), None)]).await;
        let mut filler = Phone::enrol(&stores[0], 1).await;
        for round in 0..20 {
            let (id, mut calls) = (record(10 + round), Vec::new());
            for (n, store) in stores.iter().cycle().take(6).enumerate() {
                let mut copy = Phone::again(store, 100 * round + 100 + n as u128, 1000).await;
                let op = copy.one(create_place(id, area(1), "a place"));
                // One of them may do less than the others.
                let arrivals = vec![if n == 1 { refused(op) } else { op }];
                calls.push((store.clone(), copy.batch(arrivals)));
            }
            let filling = filler.one(at(round as i64, create_place(record(1), area(1), "filler")));
            calls.insert(0, (stores[0].clone(), filler.batch(vec![filling])));
            let tasks: Vec<_> = calls
                .into_iter()
                .map(|(store, batch)| tokio::spawn(async move { store.submit(batch).await.unwrap() }))
                .collect();
            let mut receipts = Vec::new();
            for task in tasks {
                receipts.push(task.await.unwrap());
            }
            let verdicts = &receipts[1].verdicts;
            assert!(receipts[1..].iter().all(|receipt| receipt.verdicts == *verdicts), "{receipts:?}");
            let waiting = stores[0].quarantine(None, None, 1_000).await.unwrap().ops;
            let waiting = waiting.iter().filter(|op| op.op.as_ref().is_some_and(|op| op.record == id)).count();
            assert_eq!(stores[0].ops_of(id).await.unwrap().len() + waiting, 1);
        }
    }

    async fn what_a_phone_and_copies_of_its_copies_bring_takes_effect_once(database: &TestDatabase) {
        let store = database.open().await;
        plant(&store, [(area(1), None)]).await;
        let mut phone = Phone::enrol(&store, 1).await;
        phone.send(&store, [create_follow_up(record(1), area(1))]).await;
        let mut from = phone.op_id(2);
        let mut copies = Vec::new();
        for number in [2, 3, 4] {
            store.fork(from, device(number), [number as u8; 32], START_MS).await.unwrap().unwrap();
            let copy = Phone::of(device(number));
            from = copy.op_id(1);
            copies.push(copy);
        }
        let done = step(record(1), area(1), Kind::FollowUp, "done");
        for mut bringer in [copies.remove(1), copies.remove(1), phone, copies.remove(0)] {
            bringer.send(&store, [done.clone()]).await;
            assert_eq!(store.ops_of(record(1)).await.unwrap().len(), 2, "{}", bringer.id);
        }
    }

    async fn what_other_phones_bring_is_another_op_though_its_bytes_are_the_same(database: &TestDatabase) {
        let store = database.open().await;
        plant(&store, [(area(1), None)]).await;
        // The first one is what two others were; who else says the same is none of them.
        let (mut phone, mut stranger) = (Phone::again(&store, 1, 9).await, Phone::enrol(&store, 2).await);
        let mut copy = Phone::again(&store, 3, 9).await;
        let other = &mut Phone::again(&store, 4, 8).await;
        let done = step(record(1), area(1), Kind::FollowUp, "done");
        phone.send(&store, [create_follow_up(record(1), area(1)), done.clone()]).await;
        assert_eq!(store.ops_of(record(1)).await.unwrap().len(), 2);
        for (phone, count) in [(&mut stranger, 3), (other, 4), (&mut copy, 4)] {
            phone.send(&store, [done.clone()]).await;
            assert_eq!(store.ops_of(record(1)).await.unwrap().len(), count);
        }
    }

    async fn what_a_phone_records_twice_is_two_ops(database: &TestDatabase) {
        let store = database.open().await;
        plant(&store, [(area(1), None)]).await;
        let mut phone = Phone::again(&store, 1, 9).await;
        let done = step(record(1), area(1), Kind::FollowUp, "done");
        // Its clock stands still, and it does not say when it was started.
        phone.send(&store, [create_follow_up(record(1), area(1)), done.clone(), done.clone()]).await;
        phone.send(&store, [done]).await;
        assert_eq!(store.ops_of(record(1)).await.unwrap().len(), 4);
    }

    async fn another_content_under_a_known_number_is_a_fork(database: &TestDatabase) {
        let store = database.open().await;
        plant(&store, [(area(1), None)]).await;
        let mut phone = Phone::enrol(&store, 1).await;
        let mut copy = Phone::enrol(&store, 1).await;
        phone.send(&store, [at(1, create_place(record(1), area(1), "the same"))]).await;
        copy.one(at(1, create_place(record(1), area(1), "the same")));
        phone.send(&store, [at(2, create_place(record(2), area(1), "by the phone"))]).await;

        let arrivals = vec![
            copy.one(at(2, create_place(record(3), area(1), "by its copy"))),
            copy.one(at(3, create_place(record(4), area(1), "by its copy"))),
        ];
        let receipt = copy.submit(&store, arrivals).await;
        assert_eq!(receipt.forked_at, Some(2));
        assert_eq!(receipt.verdicts.len(), 2);
        assert_eq!(outcomes(&receipt), [Outcome::Retry; 2]);
        assert_eq!(receipt.acknowledged_through, 2);
        assert_eq!(store.record(record(3)).await.unwrap(), None);
        assert_eq!(store.record(record(4)).await.unwrap(), None);
        assert_eq!(store.device(phone.id).await.unwrap().unwrap().forked_at, Some(2));

        // The phone itself goes on.
        let outcomes = phone.send(&store, [at(3, create_place(record(5), area(1), "by the phone"))]).await;
        assert_eq!(outcomes, [Outcome::Applied]);
    }

    async fn the_first_fork_of_several_counts(database: &TestDatabase) {
        let store = database.open().await;
        plant(&store, [(area(1), None)]).await;
        let mut phone = Phone::enrol(&store, 1).await;
        phone.send(&store, (1..=3).map(|n| at(1, create_place(record(n), area(1), "by the phone")))).await;
        for seq in [3, 2, 3] {
            let mut copy = Phone::of(phone.id);
            let by_copy = copy.one(at(1, create_place(record(4), area(1), "by a copy")));
            let receipt = copy.submit(&store, vec![Arrival { seq: Some(seq), ..by_copy }]).await;
            assert_eq!(receipt.forked_at, Some(seq));
        }
        assert_eq!(store.device(phone.id).await.unwrap().unwrap().forked_at, Some(2));
    }

    async fn another_size_of_the_group_under_a_known_number_is_a_fork(database: &TestDatabase) {
        let store = database.open().await;
        plant(&store, [(area(1), None)]).await;
        let mut phone = Phone::enrol(&store, 1).await;
        let mut copy = Phone::enrol(&store, 1).await;
        let op = create_place(record(1), area(1), "a place");
        phone.send(&store, [op.clone()]).await;
        let group = copy.group([op, create_place(record(2), area(1), "another")]);
        assert_eq!(copy.submit(&store, group).await.forked_at, Some(1));
    }

    async fn a_copy_never_gets_the_verdict_of_the_other_phone(database: &TestDatabase) {
        let store = database.open().await;
        plant(&store, [(area(1), None)]).await;
        // Both come at the same time, so that they meet in one commit.
        for round in 0..20 {
            let mut filler = Phone::enrol(&store, 1000 + round).await;
            let mut phone = Phone::enrol(&store, 2000 + round).await;
            let mut copy = Phone::enrol(&store, 2000 + round).await;
            let [a, b, c] = [0, 1, 2].map(|n| record(3 * round + n));
            let filling = filler.one(create_place(a, area(1), "filler"));
            let by_phone = vec![phone.one(create_place(b, area(1), "phone")), phone.one(rename(b, area(1), "", "x"))];
            let by_copy = vec![copy.one(create_place(c, area(1), "copy")), copy.one(rename(c, area(1), "", "y"))];
            let batches =
                vec![filler.batch(vec![filling]), phone.batch(by_phone), copy.batch(by_copy)];
            let receipts = submit_all(&store, batches).await;
            let forked: Vec<&Receipt> = receipts.iter().filter(|receipt| receipt.forked_at.is_some()).collect();
            assert_eq!(forked.len(), 1, "one of the two comes second: {receipts:?}");
            assert_eq!(forked[0].forked_at, Some(1));
            assert_eq!(outcomes(forked[0]), [Outcome::Retry; 2]);
        }
    }

    async fn ops_that_the_server_numbers_get_the_next_numbers(database: &TestDatabase) {
        let store = database.open().await;
        plant(&store, [(area(1), None)]).await;
        let mut phone = Phone::enrol(&store, 1).await;
        let mut all = Vec::new();
        for n in 0..4 {
            let arrivals: Vec<Arrival> = (0..2)
                .map(|m| {
                    let arrival = phone.one(at(n, create_place(record(n as u128 * 2 + m), area(1), "a place")));
                    Arrival { seq: None, ..arrival }
                })
                .collect();
            all.push(phone.batch(arrivals));
        }
        let receipts = submit_all(&store, all).await;
        let mut numbers: Vec<u64> =
            receipts.iter().flat_map(|receipt| receipt.verdicts.iter().map(|(seq, _)| *seq)).collect();
        numbers.sort();
        assert_eq!(numbers, [1, 2, 3, 4, 5, 6, 7, 8]);
        for receipt in &receipts {
            assert_eq!(outcomes(receipt), [Outcome::Applied; 2]);
            assert_eq!(receipt.verdicts[0].0 + 1, receipt.verdicts[1].0, "a batch keeps its order");
        }
    }

    async fn ops_that_a_restored_database_no_longer_has_are_counted_as_lost(database: &TestDatabase) {
        let store = database.open().await;
        plant(&store, [(area(1), None)]).await;
        let mut phone = Phone::enrol(&store, 1).await;
        let places: Vec<Arrival> =
            (1..=7).map(|n| phone.one(at(n, create_place(record(n as u128), area(1), "a place")))).collect();
        phone.submit(&store, places[..3].to_vec()).await;

        // The backup was made after the third; the phone was told long ago to forget the fourth and fifth.
        let batch = Batch { holds_from: 6, ..phone.batch(places[5..].to_vec()) };
        let receipt = store.submit(batch.clone()).await.unwrap();
        assert_eq!(receipt.lost, 2);
        assert_eq!(outcomes(&receipt), [Outcome::Applied; 2]);
        assert_eq!(receipt.acknowledged_through, 7);
        assert_eq!(store.device(phone.id).await.unwrap().unwrap().lost_ops, 2);

        let again = store.submit(batch).await.unwrap();
        assert_eq!((again.lost, again.verdicts), (0, receipt.verdicts));
        assert_eq!(store.device(phone.id).await.unwrap().unwrap().lost_ops, 2);

        // Whoever still has what was let go of is another phone than the one that let go of it.
        let receipt = phone.submit(&store, places[3..].to_vec()).await;
        assert_eq!(receipt.forked_at, Some(4));
    }

    async fn nothing_is_lost_where_the_device_still_holds_what_is_missing(database: &TestDatabase) {
        let store = database.open().await;
        plant(&store, [(area(1), None)]).await;
        let mut phone = Phone::enrol(&store, 1).await;
        let places: Vec<Arrival> =
            (1..=3).map(|n| phone.one(at(n, create_place(record(n as u128), area(1), "a place")))).collect();
        for (holds_from, seq) in [(1, 1), (2, 2), (1, 3)] {
            let arrivals = vec![places[seq - 1].clone()];
            let receipt = store.submit(Batch { holds_from, ..phone.batch(arrivals) }).await.unwrap();
            assert_eq!((receipt.lost, outcomes(&receipt)), (0, vec![Outcome::Applied]));
        }
    }

    async fn absurd_numbers_of_one_device_stop_no_other(database: &TestDatabase) {
        let store = database.open().await;
        plant(&store, [(area(1), None)]).await;
        let mut odd = Phone::enrol(&store, 1).await;
        let mut phone = Phone::enrol(&store, 2).await;
        let arrival = odd.one(create_place(record(1), area(1), "a place"));
        for holds_from in [u64::MAX, u64::MAX - 1, i64::MAX as u64, i64::MAX as u64 + 1, 1 << 40] {
            for seq in [0, 1, holds_from, i64::MAX as u64, u64::MAX] {
                let arrivals = vec![Arrival { seq: Some(seq), ..arrival.clone() }, arrival.clone()];
                // What it answers is the device's own trouble, but it answers.
                store.submit(Batch { holds_from, ..odd.batch(arrivals) }).await.unwrap();
            }
        }
        let outcomes = phone.send(&store, [create_place(record(2), area(1), "a place")]).await;
        assert_eq!(outcomes, [Outcome::Applied]);
        let device = store.device(odd.id).await.unwrap().unwrap();
        assert!(device.acknowledged_through <= i64::MAX as u64, "{device:?}");
        assert!(device.lost_ops <= i64::MAX as u64, "{device:?}");
    }

    async fn a_batch_of_an_unknown_device_is_an_error_of_its_own(database: &TestDatabase) {
        let store = database.open().await;
        plant(&store, [(area(1), None)]).await;
        let mut phone = Phone::enrol(&store, 1).await;
        let mut batches = Vec::new();
        for n in 0..4 {
            let arrival = phone.one(create_place(record(n), area(1), "a place"));
            batches.push(phone.batch(vec![arrival]));
        }
        let stranger = Batch { device: device(77), ..batches[0].clone() };
        let tasks: Vec<_> = [stranger.clone()]
            .into_iter()
            .chain(batches)
            .chain([stranger])
            .map(|batch| {
                let store = store.clone();
                tokio::spawn(async move { store.submit(batch).await })
            })
            .collect();
        let mut answers = Vec::new();
        for task in tasks {
            answers.push(task.await.unwrap());
        }
        assert!(matches!(answers[0], Err(Error::Unreadable(_))), "{answers:?}");
        assert!(matches!(answers[5], Err(Error::Unreadable(_))), "{answers:?}");
        assert!(answers[1..5].iter().all(Result::is_ok), "{answers:?}");
    }

    async fn an_empty_batch_is_answered(database: &TestDatabase) {
        let store = database.open().await;
        let phone = Phone::enrol(&store, 1).await;
        let receipt = phone.submit(&store, Vec::new()).await;
        assert_eq!((receipt.verdicts.len(), receipt.acknowledged_through, receipt.lost), (0, 0, 0));
    }

    async fn an_op_without_a_readable_content_has_its_number_and_verdict_too(database: &TestDatabase) {
        let store = database.open().await;
        plant(&store, [(area(1), None)]).await;
        let mut phone = Phone::enrol(&store, 1).await;
        let mut arrival = refused(phone.one(create_place(record(1), area(1), "a place")));
        if let Content::Refused { raw, op, .. } = &mut arrival.content {
            *raw = vec![0, 159, 146, 150];
            *op = None;
        }
        let receipt = phone.submit(&store, vec![arrival.clone()]).await;
        assert_eq!(outcomes(&receipt), [Outcome::Quarantined]);
        assert_eq!(phone.submit(&store, vec![arrival]).await, receipt);
    }
}
