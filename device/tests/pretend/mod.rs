//! A pretend server: the same fold over ops in memory, and no more of a server than a device can tell.

#![allow(clippy::unwrap_used, dead_code)] // a helper that fails is a test that fails; not every test uses each

use prost::Message as _;
use rounds_device::{Asked, Device, Draft, Identity, Next, Progress, Size};
use rounds_domain::body::{self, Fields};
use rounds_domain::verdict::Reason;
use rounds_domain::{
    Action, AreaId, Body, ClockReading, DeviceId, Kind, OrderKey, Outcome, PlacedOp, Record, RecordId,
    Refusal, Role, Verdict, fold,
};
use rounds_proto::{decode_op, record_to_wire, v1, verdict_to_wire};
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

pub(crate) fn area(n: u128) -> AreaId {
    AreaId(Uuid::from_u128(0xa0_0000 + n))
}

pub(crate) fn id(n: u128) -> RecordId {
    RecordId(Uuid::from_u128(n))
}

pub(crate) fn device_id(n: u128) -> DeviceId {
    DeviceId(Uuid::from_u128(0xd0_0000 + n))
}

pub(crate) fn clock(wall_ms: i64) -> ClockReading {
    ClockReading { wall_ms, boot: 1, monotonic_ms: wall_ms }
}

pub(crate) fn place(name: &str) -> Body {
    Body::Place(body::Place { name: name.to_owned(), sort: "building".to_owned(), ..Default::default() })
}

pub(crate) fn request(category: &str) -> Body {
    Body::Request(body::Request {
        category: category.to_owned(),
        channel: "visit".to_owned(),
        ..Default::default()
    })
}

pub(crate) fn fields<const N: usize>(values: [(&str, serde_json::Value); N]) -> Fields {
    values.map(|(field, value)| (field.to_owned(), value)).into_iter().collect()
}

pub(crate) fn step(seen: &Record, to: &str) -> Draft {
    Draft::on(seen, Action::Step(rounds_domain::op::Step { to: to.to_owned(), ..Default::default() }))
}

/// A device in a fresh directory, enrolled as number `n`.
pub(crate) fn enrolled(n: u128) -> (tempfile::TempDir, Device) {
    let dir = tempfile::tempdir().unwrap();
    let mut device = Device::open(path(&dir)).unwrap();
    device.enrolled(identity(n)).unwrap();
    (dir, device)
}

pub(crate) fn path(dir: &tempfile::TempDir) -> std::path::PathBuf {
    dir.path().join("device.db")
}

pub(crate) fn identity(n: u128) -> Identity {
    Identity {
        device: device_id(n),
        token: format!("token-{n}"),
        role: Role::Admin,
        worker: Some(id(900 + n)),
        server_url: "http://127.0.0.1:1".to_owned(),
        ca_pem: None,
    }
}

/// Asks once and takes the answer.
pub(crate) fn sync_once(device: &mut Device, server: &mut Server) -> Progress {
    let asked = device.request(clock(server.now_ms), Size::default()).unwrap();
    let answer = server.answer(&asked, device);
    device.take(&asked, answer).unwrap()
}

/// Asks until there is no more to do at once. Answers what was left to do.
pub(crate) fn sync(device: &mut Device, server: &mut Server) -> Next {
    for _ in 0..1_000 {
        match sync_once(device, server).next {
            Next::AskAgain => {}
            Next::Fork { .. } => {
                let from = device.identity().unwrap().device;
                let new = server.fork(from);
                device.fork(from, new, "forked".to_owned()).unwrap();
            }
            next => return next,
        }
    }
    panic!("it does not come to rest");
}

#[derive(Clone)]
pub(crate) struct Known {
    bytes: Vec<u8>,
    followed_by: u32,
    verdict: Verdict,
}

#[derive(Clone, Default)]
pub(crate) struct Member {
    ops: BTreeMap<u64, Known>,
    last_stamp: u64,
    scope: BTreeSet<AreaId>,
    scope_version: u64,
    revoked: bool,
}

/// The server.
#[derive(Clone)]
pub(crate) struct Server {
    pub(crate) epoch: u128,
    pub(crate) now_ms: i64,
    /// Ops that are put off: from this record's on.
    pub(crate) put_off: Option<RecordId>,
    /// Ops on this record go to quarantine.
    pub(crate) refuse: Option<RecordId>,
    pub(crate) safe_to_forget_through: u64,
    pub(crate) page_records: usize,
    pub(crate) members: BTreeMap<DeviceId, Member>,
    pub(crate) ops: BTreeMap<RecordId, Vec<PlacedOp>>,
    pub(crate) records: BTreeMap<RecordId, (u64, Record)>,
    pub(crate) departures: BTreeMap<(AreaId, RecordId), u64>,
    pub(crate) heads: BTreeMap<AreaId, u64>,
}

impl Server {
    /// With devices of the numbers, each for all of areas 1 to 3.
    pub(crate) fn with(devices: &[u128]) -> Self {
        let scope = BTreeSet::from([1, 2, 3].map(area));
        let member = Member { scope, scope_version: 1, ..Member::default() };
        Self {
            epoch: 1,
            now_ms: 1_000_000_000_000,
            put_off: None,
            refuse: None,
            safe_to_forget_through: 0,
            page_records: 1_000,
            members: devices.iter().map(|n| (device_id(*n), member.clone())).collect(),
            ops: BTreeMap::new(),
            records: BTreeMap::new(),
            departures: BTreeMap::new(),
            heads: BTreeMap::new(),
        }
    }

    /// This state, as the backup that the server was restored from.
    pub(crate) fn restored(self) -> Self {
        Self { epoch: self.epoch + 1, ..self }
    }

    pub(crate) fn assign(&mut self, device: u128, areas: &[u128]) {
        let member = self.members.get_mut(&device_id(device)).unwrap();
        member.scope = areas.iter().copied().map(area).collect();
        member.scope_version += 1;
    }

    pub(crate) fn revoke(&mut self, device: u128) {
        self.members.get_mut(&device_id(device)).unwrap().revoked = true;
    }

    pub(crate) fn fork(&mut self, device: DeviceId) -> DeviceId {
        let member = &self.members[&device];
        let (scope, revoked) = (member.scope.clone(), member.revoked);
        let member = Member { scope, scope_version: 1, revoked, ..Member::default() };
        let new = device_id(1_000 + self.members.len() as u128);
        self.members.insert(new, member);
        new
    }

    pub(crate) fn record(&self, id: RecordId) -> Option<&Record> {
        self.records.get(&id).map(|(_, record)| record)
    }

    /// The records in a device's areas, without deleted ones.
    pub(crate) fn records_for(&self, device: DeviceId) -> Vec<Record> {
        let scope = &self.members[&device].scope;
        let records = self.records.values().map(|(_, record)| record.clone());
        records.filter(|record| scope.contains(&record.area) && record.deleted.is_none()).collect()
    }

    /// How many ops of a device took effect or were kept.
    pub(crate) fn known_ops(&self, device: DeviceId) -> usize {
        self.members[&device].ops.len()
    }

    pub(crate) fn op_bytes(&self, device: DeviceId) -> Vec<Vec<u8>> {
        self.members[&device].ops.values().map(|known| known.bytes.clone()).collect()
    }

    pub(crate) fn answer(&mut self, asked: &Asked, device: &Device) -> v1::SyncResponse {
        self.sync(device.identity().unwrap().device, &asked.request)
    }

    pub(crate) fn sync(&mut self, device: DeviceId, request: &v1::SyncRequest) -> v1::SyncResponse {
        self.now_ms += 1;
        let mut forked_at_seq = 0;
        let mut stopped = self.is_stale(&request.cursor).then_some(Reason::Behind);
        let mut verdicts = Vec::new();
        for sealed in &request.ops {
            let retry = |reason| Verdict::because(Outcome::Retry, Refusal::new(reason, "again"));
            let taken = match stopped {
                Some(reason) => Err(reason), // behind one that was not taken in, none is
                None => self.look(device, sealed, request.holds_from),
            };
            let verdict = match taken {
                Ok(verdict) => verdict,
                Err(reason) => {
                    if reason == Reason::AlreadyExists {
                        forked_at_seq = sealed.seq;
                    }
                    stopped = Some(Reason::Behind);
                    retry(reason)
                }
            };
            verdicts.push(verdict_to_wire(sealed.seq, &verdict));
        }
        let member = &self.members[&device];
        let standing = match (member.revoked, forked_at_seq) {
            (true, _) => v1::DeviceStanding::Revoked,
            (false, 0) => v1::DeviceStanding::Good,
            (false, _) => v1::DeviceStanding::Forked,
        };
        let acknowledged_through = member.ops.keys().last().copied().unwrap_or(0);
        let (feed, cursor, more) = match member.revoked {
            true => Default::default(),
            false => self.pull(member, &request.cursor),
        };
        v1::SyncResponse {
            verdicts,
            acknowledged_through,
            safe_to_forget_through: self.safe_to_forget_through,
            feed,
            cursor,
            more,
            scope_version: member.scope_version,
            standing: standing.into(),
            forked_at_seq,
            server_time_ms: self.now_ms,
            epoch: self.epoch.to_string(),
        }
    }

    /// Whether a cursor is of another epoch: the device does not know of the restore.
    fn is_stale(&self, cursor: &[u8]) -> bool {
        let read = serde_json::from_slice::<(u128, BTreeMap<AreaId, u64>)>(cursor);
        read.is_ok_and(|(epoch, _)| epoch != self.epoch)
    }

    fn look(&mut self, device: DeviceId, sealed: &v1::SealedOp, holds_from: u64) -> Result<Verdict, Reason> {
        let member = self.members.get_mut(&device).unwrap();
        if let Some(known) = member.ops.get(&sealed.seq) {
            let same = known.bytes == sealed.op && known.followed_by == sealed.followed_by;
            return if same { Ok(known.verdict.clone()) } else { Err(Reason::AlreadyExists) };
        }
        let expected = (member.ops.keys().last().copied().unwrap_or(0) + 1).max(holds_from);
        if sealed.seq != expected {
            return Err(Reason::SequenceGap);
        }
        let same = |known: &&Known| known.bytes == sealed.op && known.followed_by == sealed.followed_by;
        if let Some(known) = self.members.values().flat_map(|member| member.ops.values()).find(same).cloned()
        {
            let verdict = known.verdict.clone();
            self.members.get_mut(&device).unwrap().ops.insert(sealed.seq, known);
            return Ok(verdict); // of another name of the phone
        }
        let member = self.members.get_mut(&device).unwrap();
        let op = decode_op(&sealed.op).unwrap();
        op.check().unwrap();
        if self.put_off == Some(op.record) {
            return Err(Reason::GroupIncomplete);
        }
        let stamp = ((self.now_ms as u64) << 16).max(member.last_stamp + 1).max(op.observed + 1);
        member.last_stamp = stamp;
        let (revoked, refused) = (member.revoked, self.refuse == Some(op.record));
        let verdict = if revoked || refused {
            let reason = if revoked { Reason::DeviceRevoked } else { Reason::Forbidden };
            Verdict::because(Outcome::Quarantined, Refusal::new(reason, "kept aside"))
        } else {
            let key = OrderKey { stamp, device, seq: sealed.seq };
            let worker = Some(id(device.0.as_u128() - 0xd0_0000 + 900));
            self.apply(PlacedOp { key, at_ms: op.clock.wall_ms, worker, op })
        };
        let known =
            Known { bytes: sealed.op.to_vec(), followed_by: sealed.followed_by, verdict: verdict.clone() };
        self.members.get_mut(&device).unwrap().ops.insert(sealed.seq, known);
        Ok(verdict)
    }

    fn apply(&mut self, placed: PlacedOp) -> Verdict {
        let (id, name) = (placed.op.record, placed.id());
        let ops = self.ops.entry(id).or_default();
        ops.push(placed);
        let (record, effects) = fold(ops.iter());
        let (_, effect) = effects.into_iter().find(|(placed, _)| placed.id() == name).unwrap();
        let Some(record) = record else { return effect.verdict() };
        let mut number = |area| {
            let head = self.heads.entry(area).or_insert(0_u64);
            *head += 1;
            *head
        };
        if let Some((_, before)) = self.records.get(&id)
            && before.area != record.area
        {
            self.departures.insert((before.area, id), number(before.area));
        }
        self.departures.remove(&(record.area, id));
        self.records.insert(id, (number(record.area), record));
        effect.verdict()
    }

    fn pull(&self, member: &Member, cursor: &[u8]) -> (Vec<v1::FeedItem>, Vec<u8>, bool) {
        use v1::feed_item::Item;
        let (epoch, mut read): (u128, BTreeMap<AreaId, u64>) =
            if cursor.is_empty() { Default::default() } else { serde_json::from_slice(cursor).unwrap() };
        if epoch != self.epoch {
            read.clear();
        }
        let left: Vec<_> = read.keys().filter(|area| !member.scope.contains(area)).copied().collect();
        let mut feed = Vec::new();
        for area in left {
            read.remove(&area);
            feed.push(Item::LeftArea(area.to_string()));
        }
        let mut new = Vec::new();
        for area in &member.scope {
            let after = read.get(area).copied().unwrap_or(0);
            let records = self.records.values().filter(|(_, record)| record.area == *area);
            let records = records
                .map(|(number, record)| (*number, Item::Record(record_to_wire(record, *number).unwrap())));
            let departures = self.departures.iter().filter(|((from, _), _)| from == area);
            let departures = departures.map(|((from, record), number)| {
                let (record, area) = (record.to_string(), from.to_string());
                (*number, Item::Departure(v1::Departure { record, area }))
            });
            let mut items: Vec<_> = records.chain(departures).filter(|(number, _)| *number > after).collect();
            items.sort_by_key(|(number, _)| *number);
            new.extend(items.into_iter().map(|(number, item)| (*area, number, item)));
            read.entry(*area).or_insert(0);
        }
        let more = new.len() > self.page_records;
        for (area, number, item) in new.into_iter().take(self.page_records) {
            read.insert(area, number);
            feed.push(item);
        }
        let cursor = serde_json::to_vec(&(self.epoch, read)).unwrap();
        (feed.into_iter().map(|item| v1::FeedItem { item: Some(item) }).collect(), cursor, more)
    }
}

/// The record as a device can know it: without what the wire leaves out.
pub(crate) fn through_the_wire(record: &Record) -> Record {
    let bytes = record_to_wire(record, 0).unwrap().encode_to_vec();
    rounds_proto::record_from_wire(v1::Record::decode(&bytes[..]).unwrap()).unwrap().0
}

/// All records that a device shows.
pub(crate) fn shown(device: &Device) -> Vec<Record> {
    let mut shown: Vec<Record> =
        Kind::ALL.iter().flat_map(|kind| device.list(*kind).unwrap()).map(|view| view.record).collect();
    shown.sort_by_key(|record| record.id);
    shown
}

/// All records that a device should show when all is quiet.
pub(crate) fn wanted(server: &Server, device: &Device) -> Vec<Record> {
    let device = device.identity().unwrap().device;
    server.records_for(device).iter().map(through_the_wire).collect()
}
