//! Small atomic groups: together or not at all.

use super::sample::*;
use rounds_domain::limit::{GROUP_OPS_MAX, TEXT_CHARS_MAX};
use rounds_domain::op::Step;
use rounds_domain::verdict::Reason;
use rounds_domain::{Action, Kind, Op, Outcome};
use rounds_store::{Arrival, FeedItem};
use rounds_tests::on_both_databases;

fn places(area_number: u128, numbers: std::ops::Range<u128>) -> Vec<Op> {
    numbers.map(|n| create_place(record(n), area(area_number), "a place")).collect()
}

on_both_databases! {
    async fn a_group_is_taken_in_under_one_number(database: &TestDatabase) {
        let store = database.open().await;
        plant(&store, [(area(1), None)]).await;
        let mut phone = Phone::enrol(&store, 1).await;
        let outcomes = phone.send_group(&store, places(1, 1..4)).await;
        assert_eq!(outcomes, [Outcome::Applied; 3]);
        let first = store.record(record(1)).await.unwrap().unwrap().number;
        for n in 2..4 {
            assert_eq!(store.record(record(n)).await.unwrap().unwrap().number, first);
        }
        phone.send(&store, places(1, 4..6)).await;
        let singles = [store.record(record(4)).await.unwrap(), store.record(record(5)).await.unwrap()];
        assert_eq!(singles.map(|it| it.unwrap().number), [first + 1, first + 2]);
    }

    async fn a_group_of_records_that_fit_into_no_message_comes_in_pages_that_do(database: &TestDatabase) {
        const RECORDS: u128 = 12;
        let store = database.open().await;
        plant(&store, [(area(1), None)]).await;
        let mut phone = Phone::enrol(&store, 1).await;
        let reason = "很".repeat(TEXT_CHARS_MAX);
        let begin = Step { to: "triaged".to_owned(), reason, ..Step::default() };
        for n in 1..=RECORDS {
            phone.send(&store, [create_request(record(n), area(1))]).await;
            let steps = (0..40).map(|_| on(record(n), area(1), Kind::Request, Action::Step(begin.clone())));
            phone.send(&store, steps).await;
        }
        let mut reader = Reader::of([area(1)]);
        reader.finish(&store, 1_000).await;

        let group = (1..=RECORDS).map(|n| step(record(n), area(1), Kind::Request, "referred"));
        let outcomes = phone.send_group(&store, group).await;
        assert_eq!(outcomes, [Outcome::Applied; RECORDS as usize]);
        let mut of_pages = Vec::new();
        loop {
            let (items, more) = reader.page(&store, 1_000).await;
            of_pages.push(items.len());
            let bytes = |item: &FeedItem| match item {
                FeedItem::Record(numbered) => serde_json::to_vec(&numbered.record).unwrap().len(),
                FeedItem::Departure { .. } => 0,
            };
            assert!(items.iter().map(bytes).sum::<usize>() < 3 * 1024 * 1024, "{of_pages:?}");
            if !more {
                break;
            }
        }
        assert_eq!(of_pages, [4, 4, 4]);
        for n in 1..=RECORDS {
            assert_eq!(reader.get(record(n)).unwrap().status, "referred");
        }
        let of = async |n| store.record(record(n)).await.unwrap().unwrap().number;
        assert_eq!(of(1).await, of(4).await, "as many as have room come together");

        // Those that older releases gave one number come in one page still.
        let last = of(RECORDS).await;
        let one = format!("UPDATE records SET number = {last} WHERE number BETWEEN {} AND {last}", of(1).await);
        database.execute(&one).await.unwrap();
        let mut reader = Reader::of([area(1)]);
        while reader.get(record(1)).is_none() {
            reader.page(&store, 1_000).await;
        }
        assert!(reader.get(record(RECORDS)).is_some());
    }

    async fn where_one_op_of_a_group_is_refused_all_are(database: &TestDatabase) {
        let store = database.open().await;
        plant(&store, [(area(1), None), (area(2), None)]).await;
        let mut phone = Phone::enrol(&store, 1).await;
        phone.send(&store, places(2, 100..101)).await;

        // By the server's edge, by each member in turn.
        for bad in 0..3 {
            let first = 1 + bad * 3;
            let mut group = phone.group(places(1, first..first + 3));
            group[bad as usize] = refused(group[bad as usize].clone());
            let receipt = phone.submit(&store, group).await;
            assert_eq!(outcomes(&receipt), [Outcome::Quarantined; 3]);
            for (n, reason) in reasons(&receipt).into_iter().enumerate() {
                let expected = if n as u128 == bad { Reason::Forbidden } else { Reason::GroupRefused };
                assert_eq!(reason, Some(expected));
            }
        }
        // By the store: the record of the last is in another area.
        let mut ops = places(1, 10..12);
        ops.push(rename(record(100), area(1), "a place", "not yours"));
        let group = phone.group(ops);
        let receipt = phone.submit(&store, group).await;
        assert_eq!(outcomes(&receipt), [Outcome::Quarantined; 3]);
        assert_eq!(
            reasons(&receipt),
            [Some(Reason::GroupRefused), Some(Reason::GroupRefused), Some(Reason::NotInScope)]
        );

        for n in 1..12 {
            assert_eq!(store.record(record(n)).await.unwrap(), None, "{n}");
            assert_eq!(store.ops_of(record(n)).await.unwrap(), []);
        }
        assert_eq!(read(&store, record(100)).await.text("name"), "a place");
        assert_eq!(store.quarantine(None, None, 100).await.unwrap().ops.len(), 12);
    }

    async fn a_refused_group_stops_no_other(database: &TestDatabase) {
        let store = database.open().await;
        plant(&store, [(area(1), None)]).await;
        let mut phone = Phone::enrol(&store, 1).await;
        let mut arrivals = phone.group(places(1, 1..3));
        arrivals[0] = refused(arrivals[0].clone());
        arrivals.extend(phone.group(places(1, 3..5)));
        arrivals.push(phone.one(create_place(record(5), area(1), "a place")));
        let receipt = phone.submit(&store, arrivals).await;
        assert_eq!(outcomes(&receipt)[2..], [Outcome::Applied; 3]);
    }

    async fn an_incomplete_group_is_answered_with_retry_and_nothing_of_it_is_kept(database: &TestDatabase) {
        let store = database.open().await;
        plant(&store, [(area(1), None)]).await;
        let mut phone = Phone::enrol(&store, 1).await;
        let mut arrivals = vec![phone.one(create_place(record(1), area(1), "a place"))];
        arrivals.extend(phone.group(places(1, 2..5)));

        let receipt = phone.submit(&store, arrivals[..3].to_vec()).await;
        assert_eq!(outcomes(&receipt), [Outcome::Applied, Outcome::Retry, Outcome::Retry]);
        assert_eq!(reasons(&receipt), [None, Some(Reason::GroupIncomplete), Some(Reason::Behind)]);
        assert_eq!(receipt.acknowledged_through, 1);
        assert_eq!(store.record(record(2)).await.unwrap(), None);

        let receipt = phone.submit(&store, arrivals).await;
        assert_eq!(outcomes(&receipt), [Outcome::Applied; 4]);
    }

    async fn a_group_with_a_hole_in_it_is_incomplete(database: &TestDatabase) {
        let store = database.open().await;
        plant(&store, [(area(1), None)]).await;
        let mut phone = Phone::enrol(&store, 1).await;
        let mut arrivals = phone.group(places(1, 1..4));
        arrivals.push(phone.one(create_place(record(4), area(1), "a place")));

        let cut = vec![arrivals[0].clone(), arrivals[2].clone(), arrivals[3].clone()];
        let receipt = phone.submit(&store, cut).await;
        assert_eq!(outcomes(&receipt), [Outcome::Retry; 3]);
        assert_eq!(reasons(&receipt)[0], Some(Reason::GroupIncomplete));
        assert_eq!(receipt.acknowledged_through, 0);

        let receipt = phone.submit(&store, arrivals).await;
        assert_eq!(outcomes(&receipt), [Outcome::Applied; 4]);
        assert_eq!(receipt.forked_at, None);
    }

    async fn a_group_of_the_largest_size_is_taken_in(database: &TestDatabase) {
        let store = database.open().await;
        plant(&store, [(area(1), None)]).await;
        let mut phone = Phone::enrol(&store, 1).await;
        let outcomes = phone.send_group(&store, places(1, 1..1 + GROUP_OPS_MAX as u128)).await;
        assert_eq!(outcomes, [Outcome::Applied; GROUP_OPS_MAX]);
    }

    async fn a_group_over_the_limit_is_refused_as_a_whole(database: &TestDatabase) {
        let store = database.open().await;
        plant(&store, [(area(1), None)]).await;
        let mut phone = Phone::enrol(&store, 1).await;
        for (from, size) in [(1, GROUP_OPS_MAX as u128 + 1), (1_000, 3 * GROUP_OPS_MAX as u128)] {
            let group = phone.group(places(1, from..from + size));
            let receipt = phone.submit(&store, group).await;
            assert_eq!(outcomes(&receipt), vec![Outcome::Quarantined; size as usize]);
            assert_eq!(reasons(&receipt)[0], Some(Reason::Invalid));
            assert!(reasons(&receipt)[1..].iter().all(|reason| *reason == Some(Reason::GroupRefused)));
        }
        let outcomes = phone.send(&store, places(1, 2_000..2_001)).await;
        assert_eq!(outcomes, [Outcome::Applied]);
    }

    async fn a_group_that_claims_to_be_endless_is_refused(database: &TestDatabase) {
        let store = database.open().await;
        plant(&store, [(area(1), None)]).await;
        let mut phone = Phone::enrol(&store, 1).await;
        let arrival = phone.one(create_place(record(1), area(1), "a place"));
        let receipt = phone.submit(&store, vec![Arrival { followed_by: u32::MAX, ..arrival }]).await;
        assert_eq!(outcomes(&receipt), [Outcome::Quarantined]);
    }

    async fn a_group_about_two_areas_is_refused(database: &TestDatabase) {
        let store = database.open().await;
        plant(&store, [(area(1), None), (area(2), None)]).await;
        let mut phone = Phone::enrol(&store, 1).await;
        let mut ops = places(1, 1..3);
        ops.extend(places(2, 3..4));
        let group = phone.group(ops);
        let receipt = phone.submit(&store, group).await;
        assert_eq!(outcomes(&receipt), [Outcome::Quarantined; 3]);
        assert_eq!(reasons(&receipt)[0], Some(Reason::Invalid));
        assert_eq!(store.record(record(1)).await.unwrap(), None);
    }

    async fn a_refused_group_leaves_no_area_behind(database: &TestDatabase) {
        let store = database.open().await;
        plant(&store, [(area(1), None)]).await;
        let mut phone = Phone::enrol(&store, 1).await;

        let mut by_the_edge = phone.group([create_area(area(2), None), create_place(record(2), area(2), "in it")]);
        by_the_edge[1] = refused(by_the_edge[1].clone());
        let by_the_store =
            phone.group([create_area(area(3), None), rename(record(3), area(1), "in", "another area")]);
        let without_a_parent = vec![phone.one(create_area(area(4), Some(area(99))))];
        for arrivals in [by_the_edge, by_the_store, without_a_parent] {
            let receipt = phone.submit(&store, arrivals).await;
            assert!(outcomes(&receipt).iter().all(|outcome| *outcome == Outcome::Quarantined), "{receipt:?}");
        }
        // The id of a place is no area's.
        phone.send(&store, [create_place(record(7), area(1), "a place")]).await;
        let not_an_area = record(7).into();
        assert_eq!(phone.send(&store, [create_area(not_an_area, None)]).await, [Outcome::Quarantined]);

        assert_eq!(store.areas().await.unwrap(), [area(1)]);
        for gone in [area(2), area(3), area(4), not_an_area] {
            assert_eq!(store.subtree(gone).await.unwrap(), []);
            let outcomes = phone.send(&store, [create_place(record(9), gone, "a place")]).await;
            assert_eq!(outcomes, [Outcome::Quarantined]);
        }
    }

    async fn a_new_area_and_what_is_in_it_can_come_in_one_group(database: &TestDatabase) {
        let store = database.open().await;
        plant(&store, [(area(1), None)]).await;
        let mut phone = Phone::enrol(&store, 1).await;
        let outcomes = phone
            .send_group(&store, [create_area(area(2), Some(area(1))), create_place(record(2), area(2), "in it")])
            .await;
        assert_eq!(outcomes, [Outcome::Applied; 2]);
        assert_eq!(store.subtree(area(1)).await.unwrap(), [area(1), area(2)]);
    }

    async fn later_ops_of_a_group_see_what_earlier_ones_did(database: &TestDatabase) {
        let store = database.open().await;
        plant(&store, [(area(1), None), (area(2), None)]).await;
        let mut phone = Phone::enrol(&store, 1).await;
        let outcomes = phone
            .send_group(
                &store,
                [
                    at(1, create_place(record(1), area(1), "first")),
                    at(2, rename(record(1), area(1), "first", "second")),
                    at(3, move_to(record(1), area(1), Kind::Place, area(2))),
                    at(4, rename(record(1), area(1), "second", "third")),
                ],
            )
            .await;
        assert_eq!(outcomes, [Outcome::Applied; 4]);
        let place = read(&store, record(1)).await;
        assert_eq!((place.text("name"), place.area), ("third", area(2)));
    }

    async fn what_leaves_an_area_and_comes_back_in_one_group_has_not_left(database: &TestDatabase) {
        let store = database.open().await;
        plant(&store, [(area(1), None), (area(2), None)]).await;
        let mut phone = Phone::enrol(&store, 1).await;
        phone.send(&store, [at(1, create_place(record(1), area(1), "a place"))]).await;
        let mut reader = Reader::of([area(1)]);
        reader.finish(&store, 64).await;
        let moves = [
            at(2, move_to(record(1), area(1), Kind::Place, area(2))),
            at(3, move_to(record(1), area(1), Kind::Place, area(1))),
        ];
        assert_eq!(phone.send_group(&store, moves).await, [Outcome::Applied; 2]);
        let (items, _) = reader.page(&store, 64).await;
        assert!(matches!(items.as_slice(), [FeedItem::Record(there)] if there.record.area == area(1)), "{items:?}");
    }

    async fn groups_are_never_split_over_pages(database: &TestDatabase) {
        let store = database.open().await;
        plant(&store, [(area(1), None), (area(2), None)]).await;
        let mut phone = Phone::enrol(&store, 1).await;
        let mut next = 1;
        for (n, size) in [1, 64, 3, 61, 2, 64, 64, 1, 1, 30, 40, 64, 5].into_iter().enumerate() {
            let home = 1 + (n as u128 % 2);
            phone.send_group(&store, places(home, next..next + size)).await;
            next += size;
        }
        // A whole group that leaves is as much a group.
        let leaving: Vec<Op> =
            (2..66).map(|n| move_to(record(n), area(2), Kind::Place, area(1))).collect();
        assert_eq!(phone.send_group(&store, leaving).await, [Outcome::Applied; 64]);

        for limit in [0, 1, 64, 65, 66, 100, 128, 129, 1_000] {
            let mut reader = Reader::of([area(1), area(2)]);
            let mut seen = std::collections::BTreeSet::new();
            let mut more = true;
            while more {
                let items;
                (items, more) = reader.page(&store, limit).await;
                assert!(!items.is_empty() || !more, "each page gets on");
                let units: std::collections::BTreeSet<_> = items
                    .iter()
                    .filter_map(|item| match item {
                        FeedItem::Record(numbered) => Some((numbered.record.area, numbered.number)),
                        FeedItem::Departure { .. } => None,
                    })
                    .collect();
                let departures =
                    items.iter().filter(|item| matches!(item, FeedItem::Departure { .. })).count();
                assert!(departures == 0 || departures == 64, "{departures} of 64 that left together");
                assert!(seen.is_disjoint(&units), "with pages of {limit}");
                seen.extend(units);
            }
            assert_eq!(reader.records.len() as u128, next - 1 + 2); // and the two areas
        }
    }

    async fn pages_that_are_cut_by_their_size_in_bytes_split_no_group(database: &TestDatabase) {
        let store = database.open().await;
        plant(&store, [(area(1), None)]).await;
        let mut phone = Phone::enrol(&store, 1).await;
        let note = "\u{5c45}".repeat(4_000); // 12 kB
        for group in 0..20_u128 {
            let visits = (0..40_u128).map(|n| {
                let visit = create_visit(record(group * 40 + n), area(1), "met");
                let mut body = match visit.action {
                    rounds_domain::Action::Create(body) => body,
                    other => panic!("{other:?}"),
                };
                if let rounds_domain::Body::Visit(visit) = body.as_mut() {
                    visit.note.clone_from(&note);
                }
                create(record(group * 40 + n), area(1), *body)
            });
            phone.send_group(&store, visits).await;
        }
        let mut reader = Reader::of([area(1)]);
        let mut seen = std::collections::BTreeMap::new();
        let mut pages = 0;
        let mut more = true;
        while more {
            let items;
            (items, more) = reader.page(&store, 10_000).await;
            pages += 1;
            let mut bytes = 0;
            for item in &items {
                let FeedItem::Record(numbered) = item else { continue };
                bytes += serde_json::to_vec(&numbered.record).unwrap().len();
                let page = seen.entry(numbered.number).or_insert(pages);
                assert_eq!(*page, pages, "the group at {} is on two pages", numbered.number);
            }
            assert!(bytes <= 3 * 1024 * 1024, "{bytes} bytes on a page");
        }
        assert!(pages > 1);
        assert_eq!(reader.records.len(), 801);
    }
}
