//! Things to test the store with: phones that number their ops, acts, and a reader that keeps what it pulled.

use rounds_domain::body::{Area, FollowUp, Place, Request, Violation, Visit, Worker};
use rounds_domain::op::Step;
use rounds_domain::verdict::Reason;
use rounds_domain::{
    Action, AreaId, Body, Change, ClockReading, DeviceId, Kind, Op, OpId, Outcome, Record, RecordId, Refusal,
    Role,
};
use rounds_store::{
    Access, Arrival, Batch, Content, FeedItem, NewCode, Numbered, Position, Receipt, Store, content_hash,
};
use serde_json::json;
use std::collections::BTreeMap;
use uuid::Uuid;

/// When the histories of these tests begin, in ms since 1970 UTC.
pub(super) const START_MS: i64 = 1_795_000_000_000;
pub(super) const MINUTE_MS: i64 = 60_000;
/// When the server receives every batch: after everything that happens in these tests.
pub(super) const RECEIVED_MS: i64 = START_MS + 400 * 24 * 60 * MINUTE_MS;

pub(super) fn record(number: u128) -> RecordId {
    RecordId(Uuid::from_u128(0x1000_0000 + number))
}

pub(super) fn area(number: u128) -> AreaId {
    AreaId(Uuid::from_u128(0x2000_0000 + number))
}

pub(super) fn device(number: u128) -> DeviceId {
    DeviceId(Uuid::from_u128(0x3000_0000 + number))
}

/// An op whose device's clocks showed so many minutes after the start.
pub(super) fn at(minute: i64, op: Op) -> Op {
    Op { clock: ClockReading { wall_ms: START_MS + minute * MINUTE_MS, ..op.clock }, ..op }
}

pub(super) fn on(record: RecordId, area: AreaId, kind: Kind, action: Action) -> Op {
    let clock = ClockReading { wall_ms: START_MS, boot: 0, monotonic_ms: 0 };
    Op { record, area, kind, action, clock, observed: 0, scope_version: 1 }
}

pub(super) fn create(record: RecordId, area: AreaId, body: Body) -> Op {
    on(record, area, body.kind(), Action::Create(Box::new(body)))
}

pub(super) fn create_area(id: AreaId, parent: Option<AreaId>) -> Op {
    let body = Area {
        name: format!("Area {id}"),
        parent: parent.map(RecordId::from),
        time_zone: "Asia/Shanghai".to_owned(),
        ..Area::default()
    };
    create(id.into(), id, Body::Area(body))
}

pub(super) fn create_place(id: RecordId, area: AreaId, name: &str) -> Op {
    let body = Place { name: name.to_owned(), sort: "dwelling".to_owned(), ..Place::default() };
    create(id, area, Body::Place(body))
}

pub(super) fn create_visit(id: RecordId, area: AreaId, outcome: &str) -> Op {
    create_visit_at(id, area, record(0), outcome)
}

pub(super) fn create_worker(id: RecordId, area: AreaId) -> Op {
    create(id, area, Body::Worker(Worker { name: "Lin".to_owned(), ..Worker::default() }))
}

pub(super) fn create_visit_at(id: RecordId, area: AreaId, dwelling: RecordId, outcome: &str) -> Op {
    let body = Visit {
        subject: Some(dwelling),
        purpose: "routine".to_owned(),
        outcome: outcome.to_owned(),
        ..Visit::default()
    };
    create(id, area, Body::Visit(body))
}

pub(super) fn create_request(id: RecordId, area: AreaId) -> Op {
    let body = Request { category: "water".to_owned(), channel: "visit".to_owned(), ..Request::default() };
    create(id, area, Body::Request(body))
}

pub(super) fn create_violation(id: RecordId, area: AreaId) -> Op {
    let body = Violation { sort: "dumping".to_owned(), ..Violation::default() };
    create(id, area, Body::Violation(body))
}

pub(super) fn create_follow_up(id: RecordId, area: AreaId) -> Op {
    let body = FollowUp {
        source: Some(record(0)),
        sort: "recheck".to_owned(),
        due_at_ms: Some(START_MS),
        ..FollowUp::default()
    };
    create(id, area, Body::FollowUp(body))
}

/// A place gets another name by somebody who saw `base`.
pub(super) fn rename(id: RecordId, area: AreaId, base: &str, name: &str) -> Op {
    let changes = vec![Change { field: "name".to_owned(), base: json!(base), value: json!(name) }];
    on(id, area, Kind::Place, Action::Edit { changes, reason: String::new() })
}

pub(super) fn step(id: RecordId, area: AreaId, kind: Kind, to: &str) -> Op {
    let step = Step {
        to: to.to_owned(),
        reason: "because".to_owned(),
        organization: Some(record(1)),
        due_at_ms: Some(RECEIVED_MS),
        ..Step::default()
    };
    on(id, area, kind, Action::Step(step))
}

pub(super) fn move_to(id: RecordId, area: AreaId, kind: Kind, to: AreaId) -> Op {
    on(id, area, kind, Action::Move { to })
}

pub(super) fn delete(id: RecordId, area: AreaId, kind: Kind) -> Op {
    on(id, area, kind, Action::Delete { reason: "entered twice".to_owned() })
}

/// Somebody who sends ops: gives them their numbers and envelopes.
pub(super) struct Phone {
    pub(super) id: DeviceId,
    next: u64,
}

impl Phone {
    pub(super) async fn enrol(store: &Store, number: u128) -> Self {
        let id = device(number);
        store.internal_device(id, "a phone", Role::Admin, 1).await.unwrap();
        Self::of(id)
    }

    /// A later name of the phone that was this other device first.
    pub(super) async fn again(store: &Store, number: u128, first: u128) -> Self {
        let (id, hash) = (device(number), content_hash(0, &number.to_be_bytes()));
        let code = NewCode {
            hash,
            role: Role::Admin,
            areas: Vec::new(),
            worker: None,
            organization: None,
            maker: None,
            expires_ms: i64::MAX,
        };
        store.create_code(code).await.unwrap();
        store.enrol(hash, id, "a phone", hash, Some(device(first)), 1).await.unwrap().unwrap();
        Self::of(id)
    }

    /// A device that is enrolled.
    pub(super) fn of(id: DeviceId) -> Self {
        Self { id, next: 1 }
    }

    /// The next op, alone.
    pub(super) fn one(&mut self, op: Op) -> Arrival {
        self.arrival(0, op)
    }

    /// The next ops, as one atomic group.
    pub(super) fn group(&mut self, ops: impl IntoIterator<Item = Op>) -> Vec<Arrival> {
        let ops: Vec<Op> = ops.into_iter().collect();
        let last = ops.len() - 1;
        ops.into_iter().enumerate().map(|(at, op)| self.arrival((last - at) as u32, op)).collect()
    }

    fn arrival(&mut self, followed_by: u32, op: Op) -> Arrival {
        let seq = Some(self.next);
        self.next += 1;
        let hash = content_hash(followed_by, &serde_json::to_vec(&op).unwrap());
        Arrival { seq, followed_by, hash, content: Content::Admitted(op) }
    }

    pub(super) fn op_id(&self, seq: u64) -> OpId {
        OpId { device: self.id, seq }
    }

    /// A call with these.
    pub(super) fn batch(&self, arrivals: Vec<Arrival>) -> Batch {
        Batch {
            device: self.id,
            arrivals,
            clock: ClockReading { wall_ms: RECEIVED_MS, boot: 0, monotonic_ms: 0 },
            received_ms: RECEIVED_MS,
            holds_from: 0,
            settled: None,
        }
    }

    pub(super) async fn submit(&self, store: &Store, arrivals: Vec<Arrival>) -> Receipt {
        store.submit(self.batch(arrivals)).await.unwrap()
    }

    /// Sends ops that were not sent before, each by itself. Answers their outcomes.
    pub(super) async fn send(&mut self, store: &Store, ops: impl IntoIterator<Item = Op>) -> Vec<Outcome> {
        let arrivals = ops.into_iter().map(|op| self.one(op)).collect();
        outcomes(&self.submit(store, arrivals).await)
    }

    /// The same for a group.
    pub(super) async fn send_group(
        &mut self,
        store: &Store,
        ops: impl IntoIterator<Item = Op>,
    ) -> Vec<Outcome> {
        let arrivals = self.group(ops);
        outcomes(&self.submit(store, arrivals).await)
    }
}

/// The same arrival, kept aside by the server's edge.
pub(super) fn refused(arrival: Arrival) -> Arrival {
    let Content::Admitted(op) = &arrival.content else { return arrival };
    let raw = serde_json::to_vec(op).unwrap();
    let refusal = Refusal::new(Reason::Forbidden, "not yours to do");
    Arrival { content: Content::Refused { refusal, raw, op: Some(op.clone()) }, ..arrival }
}

pub(super) fn outcomes(receipt: &Receipt) -> Vec<Outcome> {
    receipt.verdicts.iter().map(|(_, verdict)| verdict.outcome).collect()
}

pub(super) fn reasons(receipt: &Receipt) -> Vec<Option<Reason>> {
    receipt.verdicts.iter().map(|(_, verdict)| verdict.reason).collect()
}

/// Creates areas, each below its parent.
pub(super) async fn plant(store: &Store, areas: impl IntoIterator<Item = (AreaId, Option<AreaId>)>) {
    let gardener = Phone::enrol(store, 0xffff).await;
    let arrivals: Vec<Arrival> = areas
        .into_iter()
        .map(|(id, parent)| {
            let op = at(-1, create_area(id, parent));
            Arrival { seq: None, followed_by: 0, hash: [0; 32], content: Content::Admitted(op) }
        })
        .collect();
    let receipt = gardener.submit(store, arrivals).await;
    assert!(outcomes(&receipt).iter().all(|outcome| *outcome == Outcome::Applied), "{receipt:?}");
}

/// A record that must be there.
pub(super) async fn read(store: &Store, id: RecordId) -> Record {
    store.record(id).await.unwrap().expect("the record is there").record
}

/// Somebody who pulls areas and keeps what came.
#[derive(Clone)]
pub(super) struct Reader {
    pub(super) positions: Vec<Position>,
    pub(super) records: BTreeMap<RecordId, Numbered>,
}

impl Reader {
    pub(super) fn of(areas: impl IntoIterator<Item = AreaId>) -> Self {
        let position = |area| Position { area, access: Access::Full, after: 0 };
        Self { positions: areas.into_iter().map(position).collect(), records: BTreeMap::new() }
    }

    /// Takes one page in; answers what was in it, and whether there is more.
    pub(super) async fn page(&mut self, store: &Store, limit: u32) -> (Vec<FeedItem>, bool) {
        let page = store.pull(&self.positions, limit).await.unwrap();
        for (before, now) in self.positions.iter().zip(&page.positions) {
            assert_eq!((before.area, before.access), (now.area, now.access));
            assert!(before.after <= now.after, "the cursor went back: {before:?} to {now:?}");
        }
        for item in &page.items {
            match item {
                FeedItem::Record(numbered) => {
                    let at = self.positions.iter().position(|it| it.area == numbered.record.area).unwrap();
                    let (from, to) = (self.positions[at].after, page.positions[at].after);
                    assert!(
                        from < numbered.number && numbered.number <= to,
                        "{} is outside of the page",
                        numbered.number
                    );
                    self.records.insert(numbered.record.id, (**numbered).clone());
                }
                FeedItem::Departure { area, record } => {
                    if self.records.get(record).is_some_and(|it| it.record.area == *area) {
                        self.records.remove(record);
                    }
                }
            }
        }
        self.positions = page.positions;
        (page.items, page.more)
    }

    /// Takes pages in until there are no more. Answers how many.
    pub(super) async fn finish(&mut self, store: &Store, limit: u32) -> usize {
        let mut pages = 1;
        while self.page(store, limit).await.1 {
            pages += 1;
        }
        pages
    }

    /// The record as this reader has it.
    pub(super) fn get(&self, id: RecordId) -> Option<&Record> {
        Some(&self.records.get(&id)?.record)
    }
}
