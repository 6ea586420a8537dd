//! The feeds of areas: what a reader gets, page by page, whatever is written meanwhile.

use super::sample::*;
use rounds_domain::body::{Asset, Attribute, Organization, Term};
use rounds_domain::{AreaId, Body, Kind, Outcome, RecordId};
use rounds_store::{Access, FeedItem, Position, Store};
use rounds_tests::gap::write_beside_readers;
use rounds_tests::{TestDatabase, on_both_databases};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Which records a reader has in each area, told by the feed alone.
struct Shelves {
    reader: Reader,
    areas: BTreeMap<AreaId, BTreeSet<RecordId>>,
}

impl Shelves {
    fn of(areas: impl IntoIterator<Item = AreaId>) -> Self {
        Self { reader: Reader::of(areas), areas: BTreeMap::new() }
    }

    async fn finish(&mut self, store: &Store) {
        loop {
            let (items, more) = self.reader.page(store, 64).await;
            for item in items {
                match item {
                    FeedItem::Record(numbered) => {
                        self.areas.entry(numbered.record.area).or_default().insert(numbered.record.id);
                    }
                    FeedItem::Departure { area, record } => {
                        self.areas.entry(area).or_default().remove(&record);
                    }
                }
            }
            if !more {
                return;
            }
        }
    }

    fn holds(&self, area: AreaId, record: RecordId) -> bool {
        self.areas.get(&area).is_some_and(|records| records.contains(&record))
    }
}

/// Something of about 100 kB.
fn large_asset() -> Asset {
    let attribute = Attribute { name: "n".repeat(200), value: "v".repeat(200) };
    Asset {
        name: "Lift".into(),
        sort: "elevator".into(),
        attributes: vec![attribute; 240],
        ..Asset::default()
    }
}

on_both_databases! {
    async fn a_cursor_never_skips_a_late_commit(database: &TestDatabase) {
        const WRITERS: u128 = 12;
        const BATCHES: u128 = 20;
        const AREAS: u128 = 3;
        // Two stores on one database are two servers.
        let stores = [database.open().await, database.open().await];
        plant(&stores[0], (1..=AREAS).map(|n| (area(n), None))).await;
        let writing = Arc::new(AtomicUsize::new(WRITERS as usize));
        let mut writers = Vec::new();
        for writer in 0..WRITERS {
            let store = stores[writer as usize % 2].clone();
            let mut phone = Phone::enrol(&store, writer).await;
            let writing = writing.clone();
            writers.push(tokio::spawn(async move {
                for batch in 0..BATCHES {
                    // A batch about two areas holds both, so that commits end in another order than they began.
                    let id = |n: u128| record(writer * 10_000 + batch * 10 + n);
                    let home = |n: u128| area(1 + (writer + batch + n) % AREAS);
                    let minute = batch as i64 * 10;
                    let mut ops = vec![
                        at(minute, create_place(id(0), home(0), "new")),
                        at(minute + 1, create_place(id(1), home(1), "new")),
                        at(minute + 2, rename(id(0), home(0), "new", "newer")),
                    ];
                    if batch > 0 {
                        let before = record(writer * 10_000 + (batch - 1) * 10 + 1);
                        ops.push(at(minute + 3, rename(before, home(0), "new", "newer")));
                    }
                    let outcomes = phone.send(&store, ops).await;
                    assert!(outcomes.iter().all(|outcome| *outcome == Outcome::Applied), "{outcomes:?}");
                }
                writing.fetch_sub(1, Ordering::SeqCst);
            }));
        }
        let readers: Vec<_> = (0..4)
            .map(|n| {
                let (store, writing) = (stores[n % 2].clone(), writing.clone());
                tokio::spawn(async move {
                    let mut reader = Reader::of((1..=AREAS).map(area));
                    while writing.load(Ordering::SeqCst) > 0 {
                        reader.page(&store, 64).await;
                    }
                    reader.finish(&store, 64).await;
                    reader
                })
            })
            .collect();
        for writer in writers {
            writer.await.unwrap();
        }
        let mut fresh = Reader::of((1..=AREAS).map(area));
        fresh.finish(&stores[0], 1_000).await;
        assert_eq!(fresh.records.len() as u128, WRITERS * BATCHES * 2 + AREAS);
        for reader in readers {
            let reader = reader.await.unwrap();
            let missing: Vec<_> =
                fresh.records.keys().filter(|id| !reader.records.contains_key(id)).collect();
            assert_eq!(missing, Vec::<&RecordId>::new());
            assert_eq!(reader.records, fresh.records);
        }
    }

    async fn a_finished_pull_is_a_snapshot(database: &TestDatabase) {
        const PAIRS: u128 = 100;
        let store = database.open().await;
        plant(&store, [(area(1), None)]).await;
        let mut phone = Phone::enrol(&store, 1).await;
        let left = |pair| record(2 * pair);
        let right = |pair| record(2 * pair + 1);
        for pair in 0..PAIRS {
            let twins = [create_place(left(pair), area(1), "0"), create_place(right(pair), area(1), "0")];
            phone.send_group(&store, twins).await;
        }
        let writing = Arc::new(AtomicUsize::new(1));
        let writer = {
            let (store, writing) = (store.clone(), writing.clone());
            tokio::spawn(async move {
                let mut names = vec!["0".to_owned(); PAIRS as usize];
                for round in 1..300_u128 {
                    let pair = round * 37 % PAIRS;
                    let before = std::mem::replace(&mut names[pair as usize], round.to_string());
                    let twins = [left(pair), right(pair)]
                        .map(|id| at(round as i64, rename(id, area(1), &before, &round.to_string())));
                    assert_eq!(phone.send_group(&store, twins).await, [Outcome::Applied; 2]);
                }
                writing.store(0, Ordering::SeqCst);
            })
        };
        let mut reader = Reader::of([area(1)]);
        loop {
            let last = writing.load(Ordering::SeqCst) == 0;
            reader.finish(&store, 64).await;
            for pair in 0..PAIRS {
                let twins = [left(pair), right(pair)].map(|id| reader.get(id).unwrap().text("name").to_owned());
                assert_eq!(twins[0], twins[1], "a pull saw half of a group");
            }
            // A first sync of somebody else, of many pages, sees no half either.
            let mut newcomer = Reader::of([area(1)]);
            newcomer.finish(&store, 64).await;
            for pair in 0..PAIRS {
                let twins = [left(pair), right(pair)].map(|id| newcomer.get(id).unwrap().text("name").to_owned());
                assert_eq!(twins[0], twins[1], "a first pull saw half of a group");
            }
            if last {
                break;
            }
        }
        writer.await.unwrap();
    }

    async fn a_record_is_in_one_area_at_a_time_at_every_checkpoint(database: &TestDatabase) {
        const RECORDS: u128 = 70;
        let stores = [database.open().await, database.open().await];
        plant(&stores[0], [(area(1), None), (area(2), None), (area(3), None)]).await;
        let mut phone = Phone::enrol(&stores[0], 1).await;
        phone.send(&stores[0], (0..RECORDS).map(|n| create_place(record(n), area(1), "a place"))).await;
        let writing = Arc::new(AtomicUsize::new(3));
        let mut movers = Vec::new();
        for mover in 0..3_u128 {
            let store = stores[mover as usize % 2].clone();
            let mut phone = Phone::enrol(&store, 10 + mover).await;
            let writing = writing.clone();
            movers.push(tokio::spawn(async move {
                for round in 0..60_u128 {
                    // All movers move the same records, so a move names an area that may be a former one by now.
                    let id = record((round * 11 + mover) % RECORDS);
                    let to = area(2 + (round + mover) % 2);
                    let minute = round as i64;
                    let outcomes = phone
                        .send(&store, [
                            at(minute, move_to(id, area(1), Kind::Place, to)),
                            at(minute, move_to(id, area(1), Kind::Place, area(1))),
                            at(minute, move_to(id, area(1), Kind::Place, to)),
                        ])
                        .await;
                    assert!(!outcomes.contains(&Outcome::Retry));
                    assert!(!outcomes.contains(&Outcome::Quarantined));
                }
                writing.fetch_sub(1, Ordering::SeqCst);
            }));
        }
        let mut shelves = Shelves::of([area(3), area(1), area(2)]);
        loop {
            let last = writing.load(Ordering::SeqCst) == 0;
            shelves.finish(&stores[1]).await;
            for n in 0..RECORDS {
                let places = [1, 2, 3].map(|it| shelves.holds(area(it), record(n)));
                assert_eq!(places.iter().filter(|held| **held).count(), 1, "record {n} is in {places:?}");
            }
            if last {
                break;
            }
        }
        for mover in movers {
            mover.await.unwrap();
        }
        for n in 0..RECORDS {
            assert!(shelves.holds(read(&stores[0], record(n)).await.area, record(n)));
        }
    }

    async fn a_record_that_moves_departs_from_one_area_and_turns_up_in_the_other(database: &TestDatabase) {
        let store = database.open().await;
        plant(&store, [(area(1), None), (area(2), None)]).await;
        let mut phone = Phone::enrol(&store, 1).await;
        let mut there = Shelves::of([area(1)]);
        let mut here = Shelves::of([area(2)]);
        let id = record(1);
        let expect = async |there: &mut Shelves, here: &mut Shelves, held: [bool; 2]| {
            there.finish(&store).await;
            here.finish(&store).await;
            assert_eq!([there.holds(area(1), id), here.holds(area(2), id)], held);
        };
        phone.send(&store, [at(1, create_place(id, area(1), "a place"))]).await;
        expect(&mut there, &mut here, [true, false]).await;
        phone.send(&store, [at(2, move_to(id, area(1), Kind::Place, area(2)))]).await;
        expect(&mut there, &mut here, [false, true]).await;
        phone.send(&store, [at(3, move_to(id, area(2), Kind::Place, area(1)))]).await;
        expect(&mut there, &mut here, [true, false]).await;
        // There and back in one commit.
        phone
            .send(&store, [
                at(4, move_to(id, area(1), Kind::Place, area(2))),
                at(5, move_to(id, area(2), Kind::Place, area(1))),
            ])
            .await;
        expect(&mut there, &mut here, [true, false]).await;
        phone.send(&store, [at(6, move_to(id, area(1), Kind::Place, area(2)))]).await;
        expect(&mut there, &mut here, [false, true]).await;

        // Somebody who comes new, or was away for all of it, ends with the same.
        let mut new = Shelves::of([area(1), area(2)]);
        new.finish(&store).await;
        assert_eq!([new.holds(area(1), id), new.holds(area(2), id)], [false, true]);
    }

    async fn a_departure_has_its_place_in_the_order_of_the_feed(database: &TestDatabase) {
        let store = database.open().await;
        plant(&store, [(area(1), None), (area(2), None)]).await;
        let mut phone = Phone::enrol(&store, 1).await;
        for n in 0..200 {
            phone.send(&store, [create_place(record(n), area(1), "a place")]).await;
        }
        let mut early = Shelves::of([area(1)]);
        early.finish(&store).await;
        // Half of them leave, one by one, between others that are changed; then some come back.
        for n in (0..200).step_by(2) {
            phone
                .send(&store, [
                    at(1, move_to(record(n), area(1), Kind::Place, area(2))),
                    at(1, rename(record(n + 1), area(1), "a place", "changed")),
                ])
                .await;
        }
        for n in (0..200).step_by(10) {
            phone.send(&store, [at(2, move_to(record(n), area(2), Kind::Place, area(1)))]).await;
        }
        let mut new = Shelves::of([area(1)]);
        new.finish(&store).await;
        early.finish(&store).await;
        let mut expected: BTreeSet<RecordId> =
            (0..200).filter(|n| n % 2 == 1 || n % 10 == 0).map(record).collect();
        expected.insert(area(1).into());
        assert_eq!(early.areas[&area(1)], expected);
        assert_eq!(new.areas[&area(1)], expected);
    }

    async fn a_record_that_a_late_move_takes_elsewhere_departs(database: &TestDatabase) {
        let store = database.open().await;
        plant(&store, [(area(1), None), (area(2), None), (area(3), None)]).await;
        let mut phone = Phone::enrol(&store, 1).await;
        let mut other = Phone::enrol(&store, 2).await;
        let id = record(1);
        phone.send(&store, [at(1, create_place(id, area(1), "a place"))]).await;
        phone.send(&store, [at(9, rename(id, area(1), "a place", "another name"))]).await;
        let mut reader = Shelves::of([area(1), area(2), area(3)]);
        reader.finish(&store).await;
        assert!(reader.holds(area(1), id));
        assert_eq!(other.send(&store, [at(5, move_to(id, area(1), Kind::Place, area(2)))]).await, [
            Outcome::Applied
        ]);
        reader.finish(&store).await;
        assert_eq!([1, 2, 3].map(|n| reader.holds(area(n), id)), [false, true, false]);
        // A later op that named the former area still reaches it, and a move that is earlier in the order does not.
        phone.send(&store, [at(10, rename(id, area(1), "another name", "the last"))]).await;
        assert_eq!(read(&store, id).await.text("name"), "the last");
        let mut third = Phone::enrol(&store, 3).await;
        third.send(&store, [at(3, move_to(id, area(1), Kind::Place, area(3)))]).await;
        reader.finish(&store).await;
        assert_eq!([1, 2, 3].map(|n| reader.holds(area(n), id)), [false, true, false]);
        assert_eq!(reader.reader.get(id).unwrap(), &read(&store, id).await);
    }

    async fn a_deleted_record_is_sent_as_a_tombstone_without_what_it_said(database: &TestDatabase) {
        let store = database.open().await;
        plant(&store, [(area(1), None)]).await;
        let mut phone = Phone::enrol(&store, 1).await;
        phone.send(&store, [at(1, create_place(record(1), area(1), "a place"))]).await;
        let mut reader = Reader::of([area(1)]);
        reader.finish(&store, 64).await;
        phone.send(&store, [at(2, delete(record(1), area(1), Kind::Place))]).await;
        let late = phone.send(&store, [at(3, rename(record(1), area(1), "a place", "back again"))]).await;
        assert_eq!(late, [Outcome::NotApplied]);
        reader.finish(&store, 64).await;
        let mut new = Reader::of([area(1)]);
        new.finish(&store, 64).await;
        for reader in [reader, new] {
            let tombstone = reader.get(record(1)).unwrap();
            assert!(tombstone.deleted.is_some() && tombstone.fields.is_empty(), "{tombstone:?}");
        }
    }

    async fn a_page_of_large_records_ends_before_it_is_too_large_to_send(database: &TestDatabase) {
        const PAGE_BYTES_MAX: usize = 3 * 1024 * 1024;
        const RECORDS: u128 = 120;
        let store = database.open().await;
        plant(&store, [(area(1), None), (area(2), None)]).await;
        let mut phone = Phone::enrol(&store, 1).await;
        for n in 0..RECORDS {
            let op = create(record(n), area(1 + n % 2), Body::Asset(large_asset()));
            assert_eq!(phone.send(&store, [op]).await, [Outcome::Applied]);
        }
        let mut reader = Reader::of([area(1), area(2)]);
        let mut came: Vec<RecordId> = Vec::new();
        loop {
            let (items, more) = reader.page(&store, 1_000).await;
            let mut sizes = Vec::new();
            for item in &items {
                let FeedItem::Record(numbered) = item else { panic!("{item:?}") };
                sizes.push(serde_json::to_vec(&numbered.record).unwrap().len());
                came.push(numbered.record.id);
            }
            let bytes = sizes.iter().sum::<usize>();
            assert!(bytes <= PAGE_BYTES_MAX, "{bytes} bytes in {} records", items.len());
            if !more {
                break;
            }
        }
        came.sort();
        let mut expected: Vec<RecordId> = (0..RECORDS).map(record).collect();
        expected.extend([RecordId::from(area(1)), RecordId::from(area(2))]);
        expected.sort();
        assert_eq!(came, expected, "each came once");
    }

    async fn what_has_no_room_beside_what_another_area_sends_comes_in_the_next_page(database: &TestDatabase) {
        let store = database.open().await;
        plant(&store, [(area(1), None), (area(2), None)]).await;
        let mut phone = Phone::enrol(&store, 1).await;
        let mut reader = Reader::of([area(1), area(2)]);
        reader.finish(&store, 1_000).await;
        let assets = |area_number, numbers: std::ops::Range<u128>| {
            numbers.map(move |n| create(record(n), area(area_number), Body::Asset(large_asset())))
        };
        phone.send(&store, assets(1, 1..31)).await;
        phone.send(&store, assets(2, 31..32)).await;
        for expected in [(30, true), (1, false)] {
            let (items, more) = reader.page(&store, 1_000).await;
            assert_eq!((items.len(), more), expected);
        }
    }

    async fn an_area_above_sends_the_reference_kinds_only(database: &TestDatabase) {
        let store = database.open().await;
        plant(&store, [(area(1), None), (area(2), Some(area(1)))]).await;
        let mut phone = Phone::enrol(&store, 1).await;
        let organization =
            |n| create(record(n), area(1), Body::Organization(Organization { name: "W".into(), ..Default::default() }));
        let term = Term { vocabulary: "request_category".into(), word: "ice".into(), ..Default::default() };
        phone.send(&store, [organization(1), create(record(2), area(1), Body::Term(term))]).await;
        for n in 100..300 {
            phone.send(&store, [create_place(record(n), area(1), "a place")]).await;
        }
        phone.send(&store, [organization(3)]).await;

        let above = Position { area: area(1), access: Access::Reference, after: 0 };
        let mut reader = Reader::of([]);
        reader.positions.push(above);
        assert_eq!(reader.finish(&store, 64).await, 1, "what is left out does not fill pages");
        let held: Vec<RecordId> = reader.records.keys().copied().collect();
        assert_eq!(held, [record(1), record(2), record(3), area(1).into()]);

        // Not even the name of another kind's record gets out when it leaves.
        phone
            .send(&store, [
                at(1, move_to(record(100), area(1), Kind::Place, area(2))),
                at(1, move_to(record(3), area(1), Kind::Organization, area(2))),
            ])
            .await;
        let (items, _) = reader.page(&store, 64).await;
        assert_eq!(items, [FeedItem::Departure { area: area(1), record: record(3) }]);
        let (items, more) = reader.page(&store, 64).await;
        assert_eq!((items, more), (Vec::new(), false));
    }

    async fn what_is_new_is_pulled_once(database: &TestDatabase) {
        let store = database.open().await;
        plant(&store, [(area(1), None), (area(2), None)]).await;
        let mut phone = Phone::enrol(&store, 1).await;
        let mut reader = Reader::of([area(1), area(2)]);
        reader.finish(&store, 64).await;
        phone.send(&store, [create_place(record(1), area(2), "a place")]).await;
        let before = reader.positions.clone();
        let (items, more) = reader.page(&store, 64).await;
        assert_eq!((items.len(), more), (1, false));
        assert_eq!(reader.positions[0], before[0]);
        let (items, more) = reader.page(&store, 64).await;
        assert_eq!((items.len(), more), (0, false));
    }

    async fn an_area_that_does_not_exist_has_an_empty_feed(database: &TestDatabase) {
        let store = database.open().await;
        plant(&store, [(area(1), None)]).await;
        let mut reader = Reader::of([area(99), area(1)]);
        reader.finish(&store, 64).await;
        assert_eq!(reader.positions.iter().map(|it| it.after).collect::<Vec<_>>(), [0, 1]);
    }

    async fn a_position_ahead_of_the_area_stays_where_it_is(database: &TestDatabase) {
        let store = database.open().await;
        plant(&store, [(area(1), None)]).await;
        let mut reader = Reader::of([area(1)]);
        reader.positions[0].after = 1_000;
        let (items, more) = reader.page(&store, 64).await;
        assert_eq!((items.len(), more, reader.positions[0].after), (0, false, 1_000));
    }
}

/// 4. `scripts/proof --only P8` writes a million.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_reader_misses_anything_of_many_writers_that_dawdle_in_their_commits() {
    let gaps = write_beside_readers(&TestDatabase::postgres().await, 4_000).await;
    assert_eq!((gaps.writers, gaps.rows, gaps.missed, gaps.backwards), (64, 4_000, 0, 0), "{gaps:?}");
}
