//! Random histories of many devices, cut and arriving in any order, on both databases.

use super::sample::*;
use proptest::prelude::*;
use proptest::test_runner::{FileFailurePersistence, TestRunner};
use rounds_domain::clock::{correct, stamp};
use rounds_domain::{
    Action, AreaId, ClockReading, Kind, Op, OrderKey, Outcome, PlacedOp, Record, RecordId, Verdict, fold,
};
use rounds_store::{Arrival, Batch, FeedItem, Store};
use rounds_tests::{TestDatabase, assert_sound};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

const DEVICES: usize = 3;
const RECORDS: usize = 4;
const AREAS: u128 = 3;
const KINDS: [Kind; RECORDS] = [Kind::Place, Kind::Request, Kind::FollowUp, Kind::Violation];

/// What a device does next: on which record, after how many minutes, and how many ops belong together with it.
#[derive(Clone, Debug)]
struct Act {
    record: usize,
    pause: i64,
    what: What,
    followed_by: usize,
}

#[derive(Clone, Debug)]
enum What {
    Create,
    Describe { base: u8, text: u8 },
    Step(u8),
    Move(u128),
    Delete,
}

/// What all devices do, and in which pieces it arrives: the device and the number of ops.
#[derive(Clone, Debug)]
struct Case {
    devices: Vec<Vec<Act>>,
    arrivals: Vec<(usize, usize)>,
}

fn cases() -> impl Strategy<Value = Case> {
    let what = prop_oneof![
        3 => Just(What::Create),
        6 => (0..3_u8, 0..3_u8).prop_map(|(base, text)| What::Describe { base, text }),
        6 => (0..8_u8).prop_map(What::Step),
        3 => (0..AREAS).prop_map(What::Move),
        1 => Just(What::Delete),
    ];
    let act = (0..RECORDS, 0..3_i64, what, prop_oneof![3 => Just(0_usize), 1 => 1..3_usize])
        .prop_map(|(record, pause, what, followed_by)| Act { record, pause, what, followed_by });
    let devices = prop::collection::vec(prop::collection::vec(act, 0..14), DEVICES);
    let arrivals = prop::collection::vec((0..DEVICES, 1..8_usize), 0..16);
    (devices, arrivals).prop_map(|(devices, arrivals)| Case { devices, arrivals })
}

/// The ids of one case: each has its own, so that all cases can share a database.
struct Names {
    case: u128,
}

impl Names {
    fn area(&self, n: u128) -> AreaId {
        area(self.case * 10 + n)
    }

    fn record(&self, n: usize) -> RecordId {
        record(self.case * 10 + n as u128)
    }

    fn device(&self, n: usize) -> u128 {
        self.case * 10 + n as u128
    }

    fn op(&self, act: &Act) -> Op {
        let (id, home, kind) = (self.record(act.record), self.area(0), KINDS[act.record]);
        let text = |n: u8| ["nothing", "something", "anything"][n as usize];
        match &act.what {
            What::Create => match kind {
                Kind::Place => create_place(id, home, text(0)),
                Kind::Request => create_request(id, home),
                Kind::FollowUp => create_follow_up(id, home),
                _ => create_violation(id, home),
            },
            What::Describe { base, text: to } => {
                let field = match kind {
                    Kind::Place => "name",
                    Kind::Request | Kind::Violation => "description",
                    _ => "sort",
                };
                let change = rounds_domain::Change {
                    field: field.to_owned(),
                    base: text(*base).into(),
                    value: text(*to).into(),
                };
                on(id, home, kind, Action::Edit { changes: vec![change], reason: String::new() })
            }
            What::Step(n) => {
                let all = rounds_domain::status::stages(kind).map_or(&["open"][..], |stages| stages.all);
                step(id, home, kind, all[*n as usize % all.len()])
            }
            What::Move(to) => move_to(id, home, kind, self.area(*to)),
            What::Delete => delete(id, home, kind),
        }
    }

    /// What a device sends, and where each op must come to stand, worked out without the store.
    async fn outbox(
        &self,
        store: &Store,
        device: usize,
        acts: &[Act],
    ) -> (Phone, Vec<Arrival>, Vec<PlacedOp>) {
        let mut phone = Phone::enrol(store, self.device(device)).await;
        let now = ClockReading { wall_ms: RECEIVED_MS, boot: 0, monotonic_ms: 0 };
        let (mut minute, mut last_at_ms, mut last_stamp) = (0, 1, 0);
        let (mut arrivals, mut placed) = (Vec::new(), Vec::new());
        let mut rest = acts;
        while let Some(first) = rest.first() {
            let (group, later) = rest.split_at((1 + first.followed_by).min(rest.len()));
            rest = later;
            let mut ops = Vec::new();
            for act in group {
                minute += act.pause;
                let op = at(minute, self.op(act));
                last_at_ms = correct(op.clock, now, RECEIVED_MS, last_at_ms).at_ms;
                last_stamp = stamp(last_at_ms, 0, last_stamp);
                let seq = placed.len() as u64 + 1;
                let key = OrderKey { stamp: last_stamp, device: phone.id, seq };
                placed.push(PlacedOp { key, at_ms: last_at_ms, worker: None, op: op.clone() });
                ops.push(op);
            }
            arrivals.extend(phone.group(ops));
        }
        (phone, arrivals, placed)
    }
}

/// The calls of a case: the pieces as drawn, then what is left. Pieces overlap, and what is not taken in comes again.
fn calls(case: &Case, outboxes: &[(Phone, Vec<Arrival>, Vec<PlacedOp>)]) -> Vec<Batch> {
    let mut sent = [0; DEVICES];
    let mut calls = Vec::new();
    let all = case.arrivals.iter().copied().chain((0..DEVICES).map(|device| (device, usize::MAX)));
    for (device, count) in all {
        let (phone, arrivals, _) = &outboxes[device];
        let from = sent[device].min(arrivals.len());
        let to = from.saturating_add(count).min(arrivals.len());
        calls.push(phone.batch(arrivals[from..to].to_vec()));
        // Only whole groups are taken in; the next piece begins where the last group began.
        let whole = arrivals[from..to].iter().enumerate().rev().find(|(_, it)| it.followed_by == 0);
        sent[device] = whole.map_or(from, |(at, _)| from + at + 1);
    }
    calls
}

/// What the store says of a case, for comparison.
#[derive(PartialEq, Debug)]
struct Outcomes {
    verdicts: Vec<Vec<(u64, Verdict)>>,
    records: Vec<Option<Record>>,
    feeds: Vec<FeedItem>,
}

async fn look(store: &Store, names: &Names) -> (Vec<Option<Record>>, Vec<FeedItem>) {
    let mut records = Vec::new();
    for n in 0..RECORDS {
        records.push(store.record(names.record(n)).await.unwrap().map(|numbered| numbered.record));
    }
    let mut reader = Reader::of((0..AREAS).map(|n| names.area(n)));
    let (mut items, more) = reader.page(store, 1_000).await;
    assert!(!more);
    // What has one number comes in any order.
    items.sort_by_key(|item| match item {
        FeedItem::Record(numbered) => (numbered.record.area, numbered.number, numbered.record.id),
        FeedItem::Departure { area, record } => (*area, u64::MAX, *record),
    });
    (records, items)
}

async fn plant_areas(store: &Store, names: &Names) {
    plant(store, (0..AREAS).map(|n| (names.area(n), None))).await;
}

/// One call after the other; a reader pulls in between.
async fn in_turn(store: &Store, names: &Names, case: &Case) -> Outcomes {
    plant_areas(store, names).await;
    let mut outboxes = Vec::new();
    for (device, acts) in case.devices.iter().enumerate() {
        outboxes.push(names.outbox(store, device, acts).await);
    }
    let mut reader = Reader::of((0..AREAS).map(|n| names.area(n)));
    let mut verdicts = Vec::new();
    for batch in calls(case, &outboxes) {
        verdicts.push(store.submit(batch).await.unwrap().verdicts);
        reader.finish(store, 64).await;
    }
    let expected = expected(names, outboxes.iter().flat_map(|(_, _, placed)| placed.iter().cloned()));
    let (records, feeds) = look(store, names).await;
    assert_eq!(records, expected, "the records are the folds of all ops");
    for (n, record) in records.iter().enumerate() {
        assert_eq!(
            reader.get(names.record(n)),
            record.as_ref(),
            "a reader that was there all the time has them"
        );
    }
    Outcomes { verdicts, records, feeds }
}

/// All calls at the same time, again and again until everything has its verdict.
async fn at_once(store: &Store, names: &Names, case: &Case) {
    plant_areas(store, names).await;
    let mut outboxes = Vec::new();
    for (device, acts) in case.devices.iter().enumerate() {
        outboxes.push(names.outbox(store, device, acts).await);
    }
    let mut known: BTreeMap<(usize, u64), Verdict> = BTreeMap::new();
    let total: usize = outboxes.iter().map(|(_, arrivals, _)| arrivals.len()).sum();
    while known.len() < total {
        let before = known.len();
        let tasks: Vec<_> = calls(case, &outboxes)
            .into_iter()
            .chain(outboxes.iter().map(|(phone, arrivals, _)| phone.batch(arrivals.clone())))
            .map(|batch| {
                let store = store.clone();
                let device = outboxes.iter().position(|(phone, _, _)| phone.id == batch.device).unwrap();
                tokio::spawn(async move { (device, store.submit(batch).await.unwrap()) })
            })
            .collect();
        for task in tasks {
            let (device, receipt) = task.await.unwrap();
            assert_eq!(receipt.forked_at, None);
            for (seq, verdict) in receipt.verdicts {
                if verdict.outcome != Outcome::Retry {
                    assert_eq!(*known.entry((device, seq)).or_insert(verdict.clone()), verdict);
                }
            }
        }
        assert!(known.len() > before, "each round gets on");
    }
    let expected = expected(names, outboxes.iter().flat_map(|(_, _, placed)| placed.iter().cloned()));
    assert_eq!(look(store, names).await.0, expected, "the records are the folds of all ops");
}

fn expected(names: &Names, ops: impl Iterator<Item = PlacedOp>) -> Vec<Option<Record>> {
    let mut by_record: BTreeMap<RecordId, Vec<PlacedOp>> = BTreeMap::new();
    for placed in ops {
        by_record.entry(placed.op.record).or_default().push(placed);
    }
    (0..RECORDS).map(|n| by_record.get(&names.record(n)).and_then(|ops| fold(ops).0)).collect()
}

#[test]
fn any_arrival_gives_the_folds_of_all_ops_and_the_same_on_both_databases() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let databases =
        runtime.block_on(async { [TestDatabase::sqlite().await, TestDatabase::postgres().await] });
    let stores = runtime.block_on(async { [databases[0].open().await, databases[1].open().await] });
    let config = ProptestConfig {
        cases: 40,
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct("tests/failing_seed.txt"))),
        max_shrink_iters: 200, // each is a history written to two databases
        ..ProptestConfig::default()
    };
    let next = AtomicU64::new(0);
    let new_names = || Names { case: u128::from(next.fetch_add(1, Ordering::Relaxed)) };
    let checked = TestRunner::new(config).run(&cases(), |case| {
        runtime.block_on(async {
            let names = new_names();
            let on_sqlite = in_turn(&stores[0], &names, &case).await;
            let on_postgres = in_turn(&stores[1], &names, &case).await;
            assert!(on_sqlite == on_postgres, "{on_sqlite:#?}\n{on_postgres:#?}");
            let names = new_names();
            for store in &stores {
                at_once(store, &names, &case).await;
                assert_sound(store).await;
            }
        });
        Ok(())
    });
    if let Err(error) = checked {
        panic!("{error}");
    }
    runtime.block_on(async {
        for store in &stores {
            store.close().await;
        }
    });
}
