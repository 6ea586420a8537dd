//! What strangers can send, read as the server and the phones read it. Nothing that is sent may end a program, keep it
//! busy, or fill its memory.
//!
//! [`TARGETS`] are run by the suite over mutations of the corpus in `tests/data/fuzz`, a bounded number of them, and by
//! `fuzz/` with libFuzzer for as long as somebody likes.

use jiff::tz::TimeZone;
use prost::Message as _;
use rounds_domain::body::Fields;
use rounds_domain::follow_up::{Around, look};
use rounds_domain::recurrence::Rule;
use rounds_domain::{
    AreaId, Body, ContactData, DeviceId, Kind, Op, OrderKey, PlacedOp, RecordId, attendance, fold, tally,
};
use rounds_proto::v1;
use rounds_proto::{
    body_from_wire, body_to_wire, decode_op, encode_op, id_from_wire, kind_from_wire, op_from_wire,
    record_from_wire, record_to_wire, report_from_wire, role_from_wire, verdict_from_wire,
};
use rounds_server::import::{self, Settings};
use rounds_server::untrusted;
use rounds_store::{Link, LinkKey, Purpose};
use std::path::{Path, PathBuf};
use uuid::Uuid;

/// Something that reads what strangers send.
pub type Target = fn(&[u8]);

/// Every target, by its name: that of its folder in the corpus, and of its program in `fuzz/`.
pub const TARGETS: [(&str, Target); 9] = [
    ("request", request),
    ("op", op),
    ("body", body),
    ("answer", answer),
    ("cursor", cursor),
    ("page_token", page_token),
    ("link_token", link_token),
    ("import", import),
    ("rule", rule),
];

/// Largest input, in bytes: that of an op, and four times that of a row that says much.
pub const INPUT_BYTES_MAX: usize = 64 * 1024;
/// When everything happens, in ms since 1970 UTC.
const NOW_MS: i64 = 1_795_334_400_000;

/// The methods of [`request`], by the first byte of its input.
pub const METHODS: [&str; 20] = [
    "SyncService/Sync",
    "SyncService/Watch",
    "DirectoryService/Change",
    "HistoryService/Release",
    "DirectoryService/ListRecords",
    "DeviceService/CreateCode",
    "DeviceService/Enrol",
    "DeviceService/ListDevices",
    "HistoryService/ListDisputes",
    "HistoryService/ListQuarantine",
    "HistoryService/ListOps",
    "DirectoryService/GetRecord",
    "DeviceService/Assign",
    "DeviceService/Revoke",
    "DeviceService/Fork",
    "SummaryService/Summarize",
    "SummaryService/ListBehind",
    "ContactService/PutContact",
    "DirectoryService/ListTerms",
    "ContactService/ReadContact",
];

/// A message to the server: its first byte says of which method.
pub fn request(data: &[u8]) {
    let Some((method, data)) = data.split_first() else { return };
    macro_rules! read {
        ($message:ident) => {
            v1::$message::decode(data).ok()
        };
    }
    match usize::from(*method) % METHODS.len() {
        0 => {
            let Some(request) = read!(SyncRequest) else { return };
            request.ops.iter().for_each(|sealed| op(&sealed.op));
            cursor(&request.cursor);
            let _ = rounds_proto::clock_from_wire(request.clock.unwrap_or_default());
        }
        2 => {
            let Some(request) = read!(ChangeRequest) else { return };
            request.ops.into_iter().for_each(wire_op);
        }
        3 => {
            let Some(request) = read!(ReleaseRequest) else { return };
            ids(&[&request.device]);
            request.mended.into_iter().for_each(wire_op);
        }
        4 => {
            let Some(request) = read!(ListRecordsRequest) else { return };
            let _ = kind_from_wire(request.kind);
            ids(&[&request.area, &request.subject]);
            page(request.page_size, &request.page_token);
        }
        5 => {
            let Some(request) = read!(CreateCodeRequest) else { return };
            let _ = role_from_wire(request.role);
            ids(&[&request.worker, &request.organization]);
            request.areas.iter().for_each(|area| ids(&[area]));
        }
        6 => {
            let Some(request) = read!(EnrolRequest) else { return };
            untrusted::secrets(&request.code);
        }
        7 => read!(ListDevicesRequest).iter().for_each(|it| page(it.page_size, &it.page_token)),
        8 => read!(ListDisputesRequest).iter().for_each(|it| page(it.page_size, &it.page_token)),
        9 => read!(ListQuarantineRequest).iter().for_each(|it| page(it.page_size, &it.page_token)),
        10 => read!(ListOpsRequest).iter().for_each(|it| ids(&[&it.record])),
        11 => read!(GetRecordRequest).iter().for_each(|it| ids(&[&it.id])),
        12 => read!(AssignRequest).iter().for_each(|it| it.areas.iter().for_each(|area| ids(&[area]))),
        13 => read!(RevokeRequest).iter().for_each(|it| ids(&[&it.device])),
        14 => drop(read!(ForkRequest)),
        15 => drop(read!(SummarizeRequest)),
        16 => drop(read!(ListBehindRequest)),
        17 => {
            let Some(request) = read!(PutContactRequest) else { return };
            let v1::Contact { name, phone } = request.contact.unwrap_or_default();
            let _ = ContactData { name, phone }.check();
            ids(&[&request.request, &request.idempotency_key]);
        }
        18 => drop(read!(ListTermsRequest)),
        19 => drop(read!(ReadContactRequest)),
        _ => drop((read!(RotateRequest), read!(WatchRequest))),
    }
}

fn ids(texts: &[&str]) {
    for text in texts {
        let _ = id_from_wire::<RecordId>("id", text);
    }
}

fn page(size: i32, token: &str) {
    untrusted::page_size(size);
    untrusted::page_token(token);
}

/// The bytes of an op. One that can be taken in says the same when it is written again.
pub fn op(data: &[u8]) {
    let Ok(op) = decode_op(data) else { return };
    taken_in(&op);
}

fn wire_op(wire: v1::Op) {
    let Ok(op) = op_from_wire(wire) else { return };
    taken_in(&op);
}

fn taken_in(op: &Op) {
    if op.check().is_err() {
        return;
    }
    let bytes = match encode_op(op) {
        Ok(bytes) => bytes,
        Err(refusal) => {
            assert!(
                refusal.detail.contains("larger than"),
                "an op that can be taken in can be sent: {refusal}"
            );
            return;
        }
    };
    assert_eq!(decode_op(&bytes).as_ref(), Ok(op), "what was written is read again");
    let json = serde_json::to_string(op).expect("an op that can be taken in can be stored");
    assert_eq!(serde_json::from_str::<Op>(&json).ok().as_ref(), Some(op), "what was stored is read again");
    let placed = |seq: u64, op: Op| PlacedOp {
        key: OrderKey { stamp: seq << 20, device: DeviceId(Uuid::from_u128(1)), seq },
        at_ms: NOW_MS,
        worker: None,
        op,
    };
    // After a record of its kind, and alone.
    let blank = Body::from_fields(op.kind, Fields::new()).ok();
    let create = blank.map(|body| Op { action: rounds_domain::Action::Create(Box::new(body)), ..op.clone() });
    let ops: Vec<PlacedOp> =
        create.into_iter().chain([op.clone()]).zip(1..).map(|(op, seq)| placed(seq, op)).collect();
    for ops in [&ops[..], &ops[ops.len() - 1..]] {
        let (Some(record), _) = fold(ops) else { continue };
        let wire = record_to_wire(&record, 7).expect("a record that is there can be sent");
        record_from_wire(wire).expect("and read");
        let _ = tally::contribution(&record, &TimeZone::UTC);
        let _ = attendance::attended(&record, &TimeZone::UTC);
        let around = Around {
            now_ms: NOW_MS,
            zone: &TimeZone::UTC,
            system: DeviceId(Uuid::from_u128(3)),
            follow_ups: &[],
            notices: &[],
            nearby: &[],
            policies: &[],
        };
        let _ = look(&record, &around);
    }
}

/// A body as JSON, its first byte the kind: what an export of another system, a page or a tool brings. Answers to a
/// checklist are in it.
pub fn body(data: &[u8]) {
    let Some((kind, data)) = data.split_first() else { return };
    let kind = Kind::ALL[usize::from(*kind) % Kind::ALL.len()];
    let Ok(fields) = serde_json::from_slice::<Fields>(data) else { return };
    let Ok(body) = Body::from_fields(kind, fields) else { return };
    let wire = body_to_wire(body.clone());
    assert_eq!(body_from_wire(wire).as_ref(), Ok(&body), "what was written is read again");
    taken_in(&Op {
        record: RecordId(Uuid::from_u128(2)),
        area: AreaId(Uuid::from_u128(2)),
        kind,
        action: rounds_domain::Action::Create(Box::new(body)),
        clock: rounds_domain::ClockReading { wall_ms: NOW_MS, boot: 1, monotonic_ms: 1 },
        observed: 0,
        scope_version: 1,
    });
}

/// What a server sends to a phone.
pub fn answer(data: &[u8]) {
    if let Ok(report) = v1::SummarizeResponse::decode(data) {
        let _ = report_from_wire(report);
    }
    let Ok(answer) = v1::SyncResponse::decode(data) else { return };
    for verdict in answer.verdicts {
        let _ = verdict_from_wire(verdict);
    }
    for item in answer.feed {
        if let Some(v1::feed_item::Item::Record(record)) = item.item {
            let _ = record_from_wire(record);
        }
    }
}

/// A cursor, as a phone brings it back.
pub fn cursor(data: &[u8]) {
    untrusted::cursor(data, crate::EPOCH);
}

/// The token of a page.
pub fn page_token(data: &[u8]) {
    let Ok(token) = std::str::from_utf8(data) else { return };
    untrusted::page_token(token);
    untrusted::secrets(token);
}

/// The token of a link. Nobody guesses one.
pub fn link_token(data: &[u8]) {
    let Ok(token) = std::str::from_utf8(data) else { return };
    let id = RecordId(Uuid::from_u128(7));
    for link in [Link::of(Purpose::Calendar, id), Link::referral(id, id, NOW_MS)] {
        assert!(!LinkKey::of([7; 32]).is_token(&link, 1, token), "a token was guessed");
        let _ = link.path(token);
    }
}

/// A file to import, behind a line that says how: the encoding, then fields, columns and templates as the command line has
/// them, separated by tabs.
pub fn import(data: &[u8]) {
    let end = data.iter().position(|byte| *byte == b'\n').unwrap_or(data.len());
    let (how, file) = data.split_at(end);
    let Ok(how) = std::str::from_utf8(how) else { return };
    let mut parts = how.split('\t');
    let encoding = parts.next().unwrap_or_default().to_owned();
    let reference = parts.next().filter(|reference| !reference.is_empty()).map(str::to_owned);
    let mut settings =
        Settings { encoding, reference, keep_rest: true, ..Settings::new(Kind::Asset, "North") };
    for part in parts {
        match (part.split_once('='), part.split_once('>')) {
            (Some((field, said)), _) => settings.set.push((field.to_owned(), said.to_owned())),
            (None, Some((column, field))) => settings.map.push((column.to_owned(), field.to_owned())),
            (None, None) => settings.area_column = Some(part.to_owned()),
        }
    }
    let _ = import::read_through(&settings, file.get(1..).unwrap_or_default());
}

/// A recurrence rule. One that is taken has a next time, or none within 30 years, and says so soon.
pub fn rule(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(rule) = Rule::parse(text) else { return };
    let day = |text: &str| text.parse().expect("a day");
    let (start, from, until) = (day("2024-01-31"), day("2026-11-22"), day("2027-11-22"));
    let times = rule.between(start, from, until);
    assert!(times.iter().all(|time| (from..=until).contains(&time.day())), "{text}");
    let next = rule.next(start, from).map(|time| time.day());
    assert!(times.is_empty() || next == Some(times[0].day()), "{text}");
}

/// The corpus of a target, in the order of its names.
///
/// # Panics
/// If it is not there.
pub fn corpus(target: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/fuzz").join(target);
    let entries = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("a file").path()).collect();
    paths.sort();
    paths.iter().map(|path| std::fs::read(path).expect("a file")).collect()
}

/// Changes inputs a little, always in the same way for the same seed.
#[derive(Clone, Debug)]
pub struct Mutator {
    state: u64,
    words: Vec<Vec<u8>>,
}

/// Bytes that are at the edge of something: lengths that never end, signs, ends of texts, characters of two and four
/// bytes, halves of characters.
const EDGES: [&[u8]; 16] = [
    &[0],
    &[0xff],
    &[0x80],
    &[0x7f],
    &[0xff, 0xff, 0xff, 0xff, 0x0f],
    &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
    b"-9223372036854775808",
    b"18446744073709551615",
    b"1e400",
    "居".as_bytes(),
    "\u{1F600}".as_bytes(),
    &[0xe5, 0xb1],
    b"\"",
    b"\\u0000",
    b"{}",
    b",;=\t\n",
];

impl Mutator {
    /// One whose inputs are mixed with these words.
    pub fn new(seed: u64, words: Vec<Vec<u8>>) -> Self {
        Self { state: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1, words }
    }

    fn next(&mut self) -> u64 {
        // xorshift64*
        self.state ^= self.state >> 12;
        self.state ^= self.state << 25;
        self.state ^= self.state >> 27;
        self.state.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() >> 33) as usize % end.max(1)
    }

    /// Another input, from one of the corpus: up to eight changes.
    pub fn mutate(&mut self, input: &[u8]) -> Vec<u8> {
        let mut data = input.to_vec();
        for _ in 0..=self.below(8) {
            let at = self.below(data.len() + 1);
            let until = (at + 1 + self.below(16)).min(data.len());
            match self.below(8) {
                0 if at < data.len() => data[at] ^= 1 << self.below(8),
                1 if at < data.len() => data[at] = self.next() as u8,
                2 => drop(data.drain(at.min(until)..until)),
                3 => {
                    let edge = EDGES[self.below(EDGES.len())];
                    data.splice(at..at, edge.iter().copied());
                }
                4 => {
                    let part = data[at.min(until)..until].to_vec();
                    let times = 1 + self.below(64);
                    data.splice(at..at, part.repeat(times));
                }
                5 => data.truncate(at),
                6 if !self.words.is_empty() => {
                    let other = self.below(self.words.len());
                    let from = self.below(self.words[other].len() + 1);
                    let to = (from + self.below(64)).min(self.words[other].len());
                    let part = self.words[other][from..to].to_vec();
                    data.splice(at..at, part);
                }
                _ => data.insert(at, self.next() as u8),
            }
        }
        data.truncate(INPUT_BYTES_MAX);
        data
    }
}
