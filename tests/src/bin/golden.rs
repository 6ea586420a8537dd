//! Writes what this release writes, for the releases after it to read: `golden FOLDER`, once, when a release is made.
//! `golden FOLDER CORPUS` also puts it where the targets of `rounds_tests::fuzz` begin.
//!
//! Ops of every kind and action with what became of them, the feed that follows, requests of every method, and a
//! database with all of it. `rounds_tests::golden` reads it.

use rounds_domain::op::Step;
use rounds_domain::status::stages;
use rounds_domain::{Action, AreaId, Body, Change, Kind, Op, OpId, RecordId, Role, body};
use rounds_proto::v1;
use rounds_tests::fuzz::METHODS;
use rounds_tests::golden::{dumped, hexadecimal};
use rounds_tests::{Act, Peer, TestDatabase, TestServer, new_id};
use serde_json::{Value, json};
use std::error::Error;
use std::path::Path;
use std::time::Duration;

#[path = "../../../domain/tests/domain/whole.rs"]
mod whole;

/// What a phone did, with the names of it all.
struct Writer {
    server: TestServer,
    phone: Peer,
    ops: Vec<String>,
}

impl Writer {
    /// Sends one group, and notes what became of it. Answers the outcomes.
    async fn send(&mut self, name: &str, mut group: Vec<v1::SealedOp>) -> Vec<String> {
        let count = group.len();
        for (at, sealed) in group.iter_mut().enumerate() {
            sealed.followed_by = (count - 1 - at) as u32;
        }
        let answer = self.phone.send(group.clone()).await.expect("an answer");
        let outcomes: Vec<String> =
            answer.verdicts.iter().map(|verdict| verdict.outcome().as_str_name().to_owned()).collect();
        for (sealed, outcome) in group.iter().zip(&outcomes) {
            let bytes = prost::Message::encode_to_vec(sealed);
            self.ops.push(format!("{name}\t{outcome}\t{}", hexadecimal(&bytes)));
        }
        self.server.clock.advance(Duration::from_secs(60));
        outcomes
    }

    async fn act(&mut self, name: &str, act: Act) -> String {
        let sealed = self.phone.seal(act);
        self.send(name, vec![sealed]).await.remove(0)
    }

    async fn record(&self, id: RecordId) -> rounds_domain::Record {
        self.server.store.record(id).await.expect("a database").expect("a record").record
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let folder = std::env::args().nth(1).ok_or("usage: golden FOLDER [CORPUS]")?;
    let folder = Path::new(&folder);
    let corpus = std::env::args().nth(2);
    std::fs::create_dir_all(folder)?;
    let database = TestDatabase::sqlite().await;
    let server = TestServer::start(&database).await;
    let phone = server.enrol(Role::Admin, &[]).await;
    let mut writer = Writer { server, phone, ops: Vec::new() };

    let district = AreaId(new_id());
    writer.act("create area", area(district, "District", None)).await;
    let home = AreaId(new_id());
    writer.act("create area below", area(home, "Riverside", Some(district))).await;
    let other = AreaId(new_id());
    writer.act("create area beside", area(other, "Hillside", Some(district))).await;
    let mut second = writer.server.enrol(Role::Field, &[home]).await;

    for &kind in Kind::ALL.iter().filter(|kind| **kind != Kind::Area) {
        let fields = whole::whole(kind).as_object().cloned().ok_or("fields")?;
        let id = RecordId(new_id());
        let create = Act::create_with_id(id, home, Body::from_fields(kind, fields)?);
        let outcome = writer.act(&format!("create {}", kind.name()), create).await;
        assert_eq!(outcome, "OUTCOME_APPLIED", "{kind:?}");
        if let Some(edit) = edit_of(&writer.record(id).await) {
            writer.act(&format!("edit {}", kind.name()), Act::on(id, home, kind, edit)).await;
        }
        if let Some(stages) = stages(kind) {
            let to = stages.steps.iter().find(|(from, _)| *from == stages.first()).ok_or("a step")?.1;
            let step = Act::step(id, home, kind, step(to));
            writer.act(&format!("step {}", kind.name()), step).await;
        }
        if matches!(kind, Kind::Asset) {
            // Two who did not know of each other, and a third who looked at it.
            let rename = Act::edit(id, home, kind, "name", json!("what nobody saw"), json!("Elevator 3"));
            assert_eq!(writer.act("edit against another", rename).await, "OUTCOME_CONFLICT_RECORDED");
            let disputes = vec![OpId { device: writer.phone.id, seq: writer.phone.seq }];
            writer.act("settle asset", Act::on(id, home, kind, Action::Settle { disputes })).await;
        }
        if matches!(kind, Kind::Contract) {
            let reason = "entered twice".to_owned();
            writer.act("delete contract", Act::on(id, home, kind, Action::Delete { reason })).await;
        }
    }
    let due = body::FollowUp {
        source: Some(RecordId(new_id())),
        sort: "recheck".to_owned(),
        due_at_ms: Some(1_795_600_000_000),
        worker: Some(RecordId(new_id())),
        ..body::FollowUp::default()
    };
    writer.act("create follow_up that is open", Act::create(home, Body::FollowUp(due))).await;
    let request = Act::create(home, Body::Request(plain_request()));
    let id = request.record();
    writer.act("create request", request).await;
    for to in ["triaged", "referred", "in_progress", "resolved", "verified", "closed"] {
        writer.act(&format!("step request to {to}"), Act::step(id, home, Kind::Request, step(to))).await;
    }
    writer.act("step that is not allowed", Act::step(id, home, Kind::Request, step("verified"))).await;
    let place = body::Place { name: "4-2-302".into(), sort: "dwelling".into(), ..body::Place::default() };
    let place = Act::create(home, Body::Place(place));
    let moved = place.record();
    writer.act("create place to move", place).await;
    writer.act("move place", Act::on(moved, home, Kind::Place, Action::Move { to: other })).await;
    let visit = rounds_tests::visit(home, moved);
    let raised = Act::create(home, Body::Request(plain_request()));
    let group = vec![writer.phone.seal(visit), writer.phone.seal(raised)];
    writer.send("visit with a request", group).await;
    let malformed = writer.phone.seal_bytes(b"no op".to_vec());
    writer.send("bytes that are no op", vec![malformed]).await;
    let newer = Op { ..Act::create(home, Body::Request(plain_request())).op(&writer.server.clock) };
    let mut newer = rounds_proto::op_to_wire(&newer).map_err(|refusal| refusal.detail)?;
    newer.schema_version = 99;
    let newer = writer.phone.seal_bytes(prost::Message::encode_to_vec(&newer));
    writer.send("op of a newer schema", vec![newer]).await;

    let mut answers = Vec::new();
    let mut pull = async |peer: &mut Peer| {
        let answer = peer.send(Vec::new()).await.expect("an answer");
        assert!(!answer.more, "one page has it all");
        answers.push(hexadecimal(&prost::Message::encode_to_vec(&answer)));
    };
    pull(&mut second).await;
    let back = Act::on(moved, other, Kind::Place, Action::Move { to: home });
    writer.act("move place back", back).await;
    pull(&mut second).await;
    writer.act("move place again", Act::on(moved, home, Kind::Place, Action::Move { to: other })).await;
    pull(&mut second).await;
    let assign = v1::AssignRequest { device: second.id.to_string(), areas: vec![other.to_string()] };
    writer.server.admin.devices().assign(assign).await?;
    pull(&mut second).await;
    writer.phone.pull().await;

    let phone = &writer.phone;
    let told = format!("{}\t{}\t{}\n", phone.id, phone.token, hexadecimal(&phone.cursor));
    std::fs::write(folder.join("phone.tsv"), told)?;
    std::fs::write(folder.join("ops.tsv"), writer.ops.join("\n") + "\n")?;
    std::fs::write(folder.join("answers.tsv"), answers.join("\n") + "\n")?;
    std::fs::write(folder.join("requests.tsv"), requests(&writer, home, id))?;
    std::fs::write(folder.join("database.jsonl"), dumped(&database, &writer.server.store).await)?;
    if let Some(corpus) = corpus {
        begin_corpus(Path::new(&corpus), &writer, &answers)?;
    }
    writer.server.stop().await;
    Ok(())
}

/// Writes the inputs that `rounds_tests::fuzz` begins with, as far as they are what this release writes.
fn begin_corpus(corpus: &Path, writer: &Writer, answers: &[String]) -> Result<(), Box<dyn Error>> {
    let write = |target: &str, name: &str, bytes: &[u8]| {
        let folder = corpus.join(target);
        std::fs::create_dir_all(&folder)?;
        std::fs::write(folder.join(name.replace([' ', '/'], "_")), bytes)
    };
    for line in &writer.ops {
        let parts: Vec<&str> = line.split('\t').collect();
        let sealed = rounds_tests::golden::bytes(parts[2]);
        let sealed: v1::SealedOp = prost::Message::decode(sealed.as_slice())?;
        write("op", parts[0], &sealed.op)?;
    }
    for line in requests(writer, AreaId(new_id()), RecordId(new_id())).lines() {
        let (method, hexadecimal) = line.split_once('\t').ok_or("a request")?;
        let Some(number) = METHODS.iter().position(|known| *known == method) else { continue };
        write("request", method, &[&[number as u8], &*rounds_tests::golden::bytes(hexadecimal)].concat())?;
    }
    for (number, kind) in Kind::ALL.iter().enumerate() {
        let json = serde_json::to_vec(&whole::whole(*kind))?;
        write("body", kind.name(), &[&[number as u8], &*json].concat())?;
    }
    for (number, answer) in answers.iter().enumerate().skip(1) {
        write("answer", &number.to_string(), &rounds_tests::golden::bytes(answer))?;
    }
    write("cursor", "phone", &writer.phone.cursor)?;
    Ok(())
}

fn area(id: AreaId, name: &str, parent: Option<AreaId>) -> Act {
    let body = body::Area {
        name: name.to_owned(),
        parent: parent.map(RecordId::from),
        time_zone: "Asia/Shanghai".to_owned(),
        ..body::Area::default()
    };
    Act::create_with_id(id.into(), id, Body::Area(body))
}

fn plain_request() -> body::Request {
    body::Request { category: "water".into(), channel: "visit".into(), ..body::Request::default() }
}

fn step(to: &str) -> Step {
    Step {
        to: to.to_owned(),
        reason: "so it is".to_owned(),
        organization: (to == "referred").then(|| RecordId(new_id())),
        due_at_ms: (to == "referred").then_some(1_795_600_000_000),
        evidence: Some(RecordId(new_id())),
        outcome: "met".to_owned(),
        done_at_ms: None,
    }
}

/// An edit of the first field that may be changed. None: this kind is what it is for ever.
fn edit_of(record: &rounds_domain::Record) -> Option<Action> {
    let edits = record.fields.iter().flat_map(|(field, base)| {
        [json!("another"), json!(5), Value::Null].map(|value| {
            let changes = vec![Change { field: field.clone(), base: base.clone(), value }];
            Action::Edit { changes, reason: "seen otherwise".to_owned() }
        })
    });
    let check = |action: &Action| {
        let op = Op {
            record: record.id,
            area: record.area,
            kind: record.kind,
            action: action.clone(),
            clock: rounds_domain::ClockReading { wall_ms: 0, boot: 0, monotonic_ms: 0 },
            observed: 0,
            scope_version: 0,
        };
        op.check().is_ok()
    };
    edits.into_iter().find(check)
}

/// A request of every method, each with something in every field.
fn requests(writer: &Writer, area: AreaId, record: RecordId) -> String {
    let (area, record, device) = (area.to_string(), record.to_string(), writer.phone.id.to_string());
    let sealed: Vec<u8> =
        writer.ops[0].rsplit('\t').next().map(rounds_tests::golden::bytes).unwrap_or_default();
    let sealed: v1::SealedOp = prost::Message::decode(sealed.as_slice()).expect("an op");
    let op: v1::Op = prost::Message::decode(sealed.op.as_ref()).expect("an op");
    let mut lines = Vec::new();
    let mut add = |method: &str, bytes: Vec<u8>| lines.push(format!("{method}\t{}", hexadecimal(&bytes)));
    macro_rules! add {
        ($method:literal, $message:expr) => {
            add($method, prost::Message::encode_to_vec(&$message))
        };
    }
    let sync = v1::SyncRequest {
        ops: vec![sealed],
        cursor: writer.phone.cursor.clone(),
        clock: Some(v1::ClockReading { wall_ms: 1_795_334_400_000, boot: 7, monotonic_ms: 1_000 }),
        holds_from: 1,
        unsent_ops: 1,
        page_records_max: 100,
    };
    add!("SyncService/Sync", sync);
    add!("SyncService/Watch", v1::WatchRequest {});
    add!(
        "DeviceService/Enrol",
        v1::EnrolRequest {
            code: "7K2MX-AAAAA-BBBBB-CCCCC".into(),
            label: "phone".into(),
            ..Default::default()
        }
    );
    let code = v1::CreateCodeRequest {
        role: v1::Role::Field.into(),
        areas: vec![area.clone()],
        worker: record.clone(),
        organization: record.clone(),
        valid_seconds: 60,
    };
    add!("DeviceService/CreateCode", code);
    add!(
        "DeviceService/ListDevices",
        v1::ListDevicesRequest { page_size: 10, page_token: device.replace('-', "") }
    );
    add!("DeviceService/Revoke", v1::RevokeRequest { device: device.clone() });
    add!("DeviceService/Rotate", v1::RotateRequest {});
    add!("DeviceService/Assign", v1::AssignRequest { device: device.clone(), areas: vec![area.clone()] });
    add!("DeviceService/Fork", v1::ForkRequest { forked_at_seq: 3, ..Default::default() });
    let list = v1::ListRecordsRequest {
        kind: v1::Kind::Request.into(),
        area: area.clone(),
        subtree: true,
        subject: record.clone(),
        code: "QR".into(),
        external_ref: "house/7".into(),
        status: "open".into(),
        page_size: 10,
        page_token: format!("{}.7.{}", area.replace('-', ""), record.replace('-', "")),
        ..v1::ListRecordsRequest::default()
    };
    add!("DirectoryService/ListRecords", list);
    add!("DirectoryService/GetRecord", v1::GetRecordRequest { id: record.clone() });
    add!("DirectoryService/Change", v1::ChangeRequest { ops: vec![op.clone()], atomic: true });
    add!("DirectoryService/ListTerms", v1::ListTermsRequest::default());
    add!("HistoryService/ListOps", v1::ListOpsRequest { record: record.clone(), ..Default::default() });
    let disputes = v1::ListDisputesRequest { area: area.clone(), page_size: 10, page_token: String::new() };
    add!("HistoryService/ListDisputes", disputes);
    let quarantine =
        v1::ListQuarantineRequest { page_size: 10, page_token: format!("{}.7", device.replace('-', "")) };
    add!("HistoryService/ListQuarantine", quarantine);
    let release = v1::ReleaseRequest { device, seq: 3, mended: Some(op), dismiss: false };
    add!("HistoryService/Release", release);
    let scope = v1::SummaryScope {
        area,
        period: "month".into(),
        day: "2026-11-22".into(),
        first: "2026-11-01".into(),
        last: "2026-11-30".into(),
        not_reached_days: 60,
    };
    let summarize = v1::SummarizeRequest {
        scope: Some(scope.clone()),
        division: v1::Division::Week.into(),
        since_ms: 1_795_334_400_000,
        worker: record.clone(),
    };
    add!("SummaryService/Summarize", summarize);
    add!(
        "SummaryService/ListBehind",
        v1::ListBehindRequest { scope: Some(scope), ..v1::ListBehindRequest::default() }
    );
    let contact = Some(v1::Contact { name: "Zhao".into(), phone: "138 0013 8000".into() });
    let idempotency_key = "01939f2c-7a5e-4b1c-9d7e-3f5a1c2b4d6e".to_owned();
    add!(
        "ContactService/PutContact",
        v1::PutContactRequest { request: record.clone(), contact, idempotency_key }
    );
    add!("ContactService/ReadContact", v1::ReadContactRequest { request: record });
    lines.join("\n") + "\n"
}
