//! Ops in: S1, S2, S3 and S7.

use crate::asked::{Asked, Kind};
use crate::line::{Bound, Line, median, rate, timed};
use crate::phone::{Chance, Phone, Prepared, visit};
use crate::site::{Ground, batch};
use crate::sync::plain::{Plain, rows};
use futures_util::future::join_all;
use rounds_domain::{DeviceId, Outcome};
use rounds_store::{Batch, Store};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::broadcast::error::RecvError;

const PHONES: usize = 64;
const OPS_PER_CALL: usize = 50;

/// SQLite: acknowledged ops/s of 64 devices beside plain upserts.
pub(crate) async fn s1(asked: &Asked) -> Line {
    pushes("S1", Kind::Sqlite, asked).await
}

/// PostgreSQL: the same over 64 areas.
pub(crate) async fn s2(asked: &Asked) -> Line {
    pushes("S2", Kind::Postgres, asked).await
}

async fn pushes(id: &'static str, kind: Kind, asked: &Asked) -> Line {
    let calls = asked.size(4, 20);
    let site = Ground::lay(kind, PHONES).await.open().await;
    let plain = Plain::create(&site.ground).await;
    let commits = Commits::count(&site.ground.store);
    let mut phones = site.phones(PHONES).await;
    let mut chance = Chance(1);
    let ops = PHONES * calls * OPS_PER_CALL;
    let (mut figures, mut yardsticks, mut stored) = (Vec::new(), Vec::new(), 0);
    let mut ops_per_commit = 0;
    for turn in 0..=asked.turns() {
        let prepared = phones.iter_mut().map(|it| it.prepare(calls, OPS_PER_CALL, &mut chance)).collect();
        let before = commits.so_far();
        let (back, took) = timed(push(&mut phones, prepared)).await;
        stored += ops;
        assert_eq!(back, ops + if turn == 0 { PHONES } else { 0 }, "each phone gets its own visits back");
        assert_eq!(site.ground.number("SELECT count(*) FROM records WHERE kind = 9").await, stored);
        ops_per_commit = ops / (commits.so_far() - before).max(1);

        let rows = rows(&site.ground, ops).await;
        let ((), plain_took) = timed(plain.upsert(rows, ops_per_commit)).await;
        assert_eq!(plain.count().await, stored);
        if turn > 0 {
            figures.push(rate(ops, took)); // the first turn warms both up
            yardsticks.push(rate(ops, plain_took));
        }
    }
    plain.close().await;
    site.close().await;
    let (figure, yardstick) = (median(figures), median(yardsticks));
    Line {
        id,
        database: kind.name(),
        figure: format!("{figure:.0} ops/s, {ops_per_commit} in a commit"),
        yardstick: format!("{yardstick:.0} rows/s"),
        value: figure / yardstick,
        floor: Bound::AtLeast(0.20),
        goal: Bound::AtLeast(0.50),
    }
}

/// Every phone makes its calls, one after the other, all phones at once. Answers how many records came back.
pub(crate) async fn push(phones: &mut [Phone], prepared: Vec<Prepared>) -> usize {
    let pushes = phones.iter_mut().zip(prepared).map(|(phone, calls)| {
        let mut phone = phone.clone();
        tokio::spawn(async move {
            let mut back = 0;
            for ops in calls {
                back += phone.sync(ops).await;
            }
            (phone, back)
        })
    });
    let pushed: Vec<_> = join_all(pushes).await;
    let mut back = 0;
    for (phone, done) in phones.iter_mut().zip(pushed) {
        let (after, came) = done.expect("a phone that ends");
        *phone = after;
        back += came;
    }
    back
}

/// Counts the commits of a store by its hints: one for each.
struct Commits(Arc<AtomicUsize>);

impl Commits {
    fn count(store: &Store) -> Self {
        let count = Arc::new(AtomicUsize::new(0));
        let (counter, mut hints) = (count.clone(), store.watch());
        tokio::spawn(async move {
            loop {
                let came = match hints.recv().await {
                    Ok(_) => 1,
                    Err(RecvError::Lagged(missed)) => missed as usize,
                    Err(RecvError::Closed) => break,
                };
                counter.fetch_add(came, Ordering::Relaxed);
            }
        });
        Self(count)
    }

    fn so_far(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

/// PostgreSQL: 16 devices into one hot area, through one store that groups their batches, and through a store for
/// each, which has nothing to group. At the store, as 16 phones that get each other's records back would measure the
/// feed.
pub(crate) async fn s3(asked: &Asked) -> Line {
    const DEVICES: usize = 16;
    let calls = asked.size(40, 200);
    let ground = Ground::lay(Kind::Postgres, 1).await;
    let mut alone = Vec::new();
    for _ in 0..DEVICES {
        alone.push(ground.database.open().await);
    }
    let together: Vec<Store> = (0..DEVICES).map(|_| ground.store.clone()).collect();
    let mut devices = Vec::new();
    for _ in 0..DEVICES {
        devices.push((ground.enrol(ground.areas[0]).await.0, 0));
    }
    let ops = DEVICES * calls;
    let (mut figures, mut yardsticks, mut stored) = (Vec::new(), Vec::new(), 0);
    for turn in 0..=asked.turns() {
        let (figure, yardstick) = (
            hot(&ground, &together, &mut devices, calls).await,
            hot(&ground, &alone, &mut devices, calls).await,
        );
        stored += 2 * ops;
        assert_eq!(ground.number("SELECT count(*) FROM ops").await, stored + 1, "and the area itself");
        if turn > 0 {
            figures.push(figure);
            yardsticks.push(yardstick);
        }
    }
    for store in alone {
        store.close().await;
    }
    ground.store.close().await;
    let (figure, yardstick) = (median(figures), median(yardsticks));
    Line {
        id: "S3",
        database: Kind::Postgres.name(),
        figure: format!("{figure:.0} ops/s"),
        yardstick: format!("{yardstick:.0} ops/s, a transaction each"),
        value: figure / yardstick,
        floor: Bound::AtLeast(3.0),
        goal: Bound::AtLeast(5.0),
    }
}

/// Every device hands its calls of one op to its store, one after the other, all devices at once. Answers ops/s.
async fn hot(ground: &Ground, stores: &[Store], devices: &mut [(DeviceId, u64)], calls: usize) -> f64 {
    let mut chance = Chance(3);
    let mut pushes = Vec::new();
    for ((device, seq), store) in devices.iter_mut().zip(stores) {
        let batches: Vec<Batch> = (0..calls)
            .map(|_| {
                *seq += 1;
                batch(*device, Some(*seq), vec![visit(ground.areas[0], &mut chance)])
            })
            .collect();
        let store = store.clone();
        pushes.push(async move {
            for batch in batches {
                let receipt = store.submit(batch).await.expect("a commit");
                assert_eq!(receipt.verdicts[0].1.outcome, Outcome::Applied);
            }
        });
    }
    let pushes = pushes.into_iter().map(tokio::spawn);
    let (ended, took) = timed(join_all(pushes)).await;
    ended.into_iter().for_each(|it| it.expect("a device that ends"));
    rate(devices.len() * calls, took)
}

/// Ops/s with many ops stored, beside ops/s with ten thousand.
pub(crate) async fn s7(kind: Kind, asked: &Asked) -> Line {
    const FEW: usize = 10_000;
    let calls = asked.size(4, 20);
    let large = Ground::lay(kind, PHONES).await;
    let stored = large.fill(asked.setting("--stored").unwrap_or(asked.size(100_000, 1_000_000))).await;
    let large = large.open().await;
    let mut phones = large.phones(PHONES).await;
    let mut chance = Chance(7);
    let ops = PHONES * calls * OPS_PER_CALL;
    let (mut figures, mut yardsticks) = (Vec::new(), Vec::new());
    for turn in 0..=asked.turns() {
        let small = Ground::lay(kind, PHONES).await;
        small.fill(FEW).await;
        let small = small.open().await; // a new one each time, or it would grow
        let mut small_phones = small.phones(PHONES).await;
        if turn == 0 {
            pull(&mut phones).await;
        }
        pull(&mut small_phones).await;
        let mut prepare = |phones: &mut [Phone]| -> Vec<Prepared> {
            phones.iter_mut().map(|it| it.prepare(calls, OPS_PER_CALL, &mut chance)).collect()
        };
        let (prepared, small_prepared) = (prepare(&mut phones), prepare(&mut small_phones));
        let (back, took) = timed(push(&mut phones, prepared)).await;
        let (small_back, small_took) = timed(push(&mut small_phones, small_prepared)).await;
        assert_eq!((back, small_back), (ops, ops), "each phone gets its own visits back");
        small.close().await;
        if turn > 0 {
            figures.push(rate(ops, took));
            yardsticks.push(rate(ops, small_took));
        }
    }
    large.close().await;
    let (figure, yardstick) = (median(figures), median(yardsticks));
    Line {
        id: "S7",
        database: kind.name(),
        figure: format!("{figure:.0} ops/s, {stored} stored"),
        yardstick: format!("{yardstick:.0} ops/s, {FEW} stored"),
        value: figure / yardstick,
        floor: Bound::AtLeast(0.8),
        goal: Bound::AtLeast(0.95),
    }
}

/// Every phone gets what its area holds.
async fn pull(phones: &mut [Phone]) {
    for phone in phones {
        while phone.sync(Vec::new()).await > 0 {}
    }
}
