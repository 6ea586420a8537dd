//! Bad input: a specific answer, nothing lost, and the rest goes through.

use prost::Message as _;
use rounds_domain::limit::{BATCH_OPS_MAX, GROUP_OPS_MAX, OP_BYTES_MAX};
use rounds_domain::{Action, AreaId, Body, Kind, RecordId, Role, body};
use rounds_proto::op_to_wire;
use rounds_proto::v1::{self, Outcome};
use rounds_tests::{Act, Peer, TestDatabase, TestServer, on_both_databases, reason, visit};
use std::time::Duration;
use tonic::Code;
use tonic_types::StatusExt as _;

struct Street {
    server: TestServer,
    area: AreaId,
    dwelling: RecordId,
    phone: Peer,
}

impl Street {
    async fn start(database: &TestDatabase) -> Self {
        Self::of(TestServer::start(database).await).await
    }

    async fn start_on_sqlite() -> Self {
        Self::of(TestServer::start_on_sqlite().await).await
    }

    async fn of(server: TestServer) -> Self {
        let area = server.area("North", None).await;
        let dwelling = server.dwelling(area, "4-2-301").await;
        let phone = server.enrol(Role::Field, &[area]).await;
        Self { server, area, dwelling, phone }
    }

    /// The bytes of a visit, changed before they are sent.
    fn visit(&self, change: impl FnOnce(&mut v1::Op)) -> Vec<u8> {
        let mut op = op_to_wire(&visit(self.area, self.dwelling).op(&self.server.clock)).unwrap();
        change(&mut op);
        op.encode_to_vec()
    }
}

fn violations(status: &tonic::Status) -> Vec<String> {
    let details = status.get_error_details();
    let violations = details.bad_request().map(|bad| bad.field_violations.clone()).unwrap_or_default();
    violations.into_iter().map(|violation| violation.field).collect()
}

on_both_databases! {
    /// 7
    async fn every_outbox_drains_whatever_poison_it_held(database: &TestDatabase) {
        let mut street = Street::start(database).await;
        let poison: Vec<(&str, Vec<u8>)> = vec![
            ("MALFORMED", b"\xff\xff\xff".to_vec()),
            ("MALFORMED", street.visit(|_| {})[..20].to_vec()),
            ("UNKNOWN_SCHEMA", Vec::new()),
            ("UNKNOWN_SCHEMA", street.visit(|op| op.schema_version = 2)),
            ("UNKNOWN_KIND", street.visit(|op| op.kind = 99)),
            ("UNKNOWN_KIND", street.visit(|op| op.action = None)),
            ("INVALID", street.visit(|op| op.record = "7".into())),
            ("INVALID", street.visit(|op| op.area.clear())),
            ("WRONG_KIND", street.visit(|op| op.kind = v1::Kind::Inspection.into())),
            ("INVALID", street.visit(|op| op.action = Some(v1::op::Action::Create(v1::Create { body: None })))),
            ("NOT_IN_SCOPE", street.visit(|op| op.area = uuid::Uuid::from_u128(1).to_string())),
            ("FORBIDDEN", street.visit(|op| op.action = Some(v1::op::Action::Delete(v1::Delete { reason: "x".into() })))),
        ];
        let mut ops = Vec::new();
        for (_, bytes) in &poison {
            ops.push(street.phone.seal_bytes(bytes.clone()));
            let good = street.visit(|_| {});
            ops.push(street.phone.seal_bytes(good));
        }
        let answer = street.phone.send(ops).await.unwrap();
        assert_eq!(answer.acknowledged_through, 2 * poison.len() as u64);
        for (pair, (expected, _)) in answer.verdicts.chunks(2).zip(&poison) {
            assert_eq!((pair[0].outcome(), pair[0].reason.as_str()), (Outcome::Quarantined, *expected), "{pair:?}");
            assert!(!pair[0].detail.is_empty(), "it says what to do: {pair:?}");
            assert_eq!(pair[1].outcome(), Outcome::Applied, "{pair:?}");
        }
        let waiting = street.server.admin.history().list_quarantine(v1::ListQuarantineRequest::default()).await;
        let kept: Vec<Vec<u8>> = waiting.unwrap().into_inner().ops.into_iter().map(|op| op.op).collect();
        assert_eq!(kept, poison.into_iter().map(|(_, bytes)| bytes).collect::<Vec<_>>(), "kept whole");
        street.server.stop().await;
    }

    async fn as_many_ops_as_the_limit_are_taken_in_one_call(database: &TestDatabase) {
        let mut street = Street::start(database).await;
        let ops: Vec<_> = (0..BATCH_OPS_MAX).map(|_| street.phone.seal(visit(street.area, street.dwelling))).collect();
        let answer = street.phone.send(ops).await.unwrap();
        assert!(answer.verdicts.iter().all(|verdict| verdict.outcome() == Outcome::Applied));
        assert_eq!(answer.acknowledged_through, BATCH_OPS_MAX as u64);
        street.server.stop().await;
    }

    async fn a_group_of_64_is_taken_and_one_of_65_is_kept_aside(database: &TestDatabase) {
        let mut street = Street::start(database).await;
        let group = |phone: &mut Peer, size: usize| -> Vec<v1::SealedOp> {
            let mut ops: Vec<_> = (0..size).map(|_| phone.seal(visit(street.area, street.dwelling))).collect();
            for (at, op) in ops.iter_mut().enumerate() {
                op.followed_by = (size - 1 - at) as u32;
            }
            ops
        };
        let fits = group(&mut street.phone, GROUP_OPS_MAX);
        let too_large = group(&mut street.phone, GROUP_OPS_MAX + 1);
        let behind = vec![street.phone.seal(visit(street.area, street.dwelling))];
        let answer = street.phone.send([fits, too_large, behind].concat()).await.unwrap();
        let (fits, rest) = answer.verdicts.split_at(GROUP_OPS_MAX);
        assert!(fits.iter().all(|verdict| verdict.outcome() == Outcome::Applied));
        assert_eq!((rest[0].outcome(), rest[0].reason.as_str()), (Outcome::Quarantined, "INVALID"));
        assert_eq!(rest.last().unwrap().outcome(), Outcome::Applied, "what is behind it goes through");
        assert_eq!(answer.acknowledged_through, 2 * GROUP_OPS_MAX as u64 + 2);
        street.server.stop().await;
    }
}

#[tokio::test]
async fn one_op_more_than_the_limit_says_to_split() {
    let mut street = Street::start_on_sqlite().await;
    let ops = (0..=BATCH_OPS_MAX).map(|_| street.phone.seal(visit(street.area, street.dwelling))).collect();
    let refused = street.phone.send(ops).await.unwrap_err();
    assert_eq!((refused.code(), reason(&refused).as_str()), (Code::InvalidArgument, "BATCH_TOO_LARGE"));
    assert!(refused.message().contains("split"));
    street.server.stop().await;
}

#[tokio::test]
async fn an_op_of_64_kib_is_taken_and_one_byte_more_is_kept_aside() {
    let mut street = Street::start_on_sqlite().await;
    // An unknown field, which a newer client may send, makes it as long as wanted.
    let padded = |bytes: usize| {
        let op = street.visit(|_| {});
        let room = bytes - op.len() - 5;
        let mut padding = vec![0xfa, 0x3f]; // field 127, bytes
        prost::encoding::encode_varint(room as u64, &mut padding);
        padding.resize(padding.len() + room, 0);
        [op, padding].concat()
    };
    let (fits, too_large) = (padded(OP_BYTES_MAX), padded(OP_BYTES_MAX + 1));
    assert_eq!((fits.len(), too_large.len()), (OP_BYTES_MAX, OP_BYTES_MAX + 1));
    let ops = vec![street.phone.seal_bytes(fits), street.phone.seal_bytes(too_large)];
    let verdicts = street.phone.send(ops).await.unwrap().verdicts;
    assert_eq!(verdicts[0].outcome(), Outcome::Applied, "{verdicts:?}");
    assert_eq!((verdicts[1].outcome(), verdicts[1].reason.as_str()), (Outcome::Quarantined, "INVALID"));
    street.server.stop().await;
}

#[tokio::test]
async fn a_message_past_the_limit_is_out_of_range() {
    let mut street = Street::start_on_sqlite().await;
    let ops = vec![street.phone.seal_bytes(vec![0; rounds_server::limit::REQUEST_BYTES_MAX])];
    assert_eq!(street.phone.send(ops).await.unwrap_err().code(), Code::OutOfRange);
    street.server.stop().await;
}

#[tokio::test]
async fn envelopes_out_of_order_are_refused_with_the_field() {
    let mut street = Street::start_on_sqlite().await;
    let one = street.phone.seal(visit(street.area, street.dwelling));
    let two = street.phone.seal(visit(street.area, street.dwelling));
    let zero = v1::SealedOp { seq: 0, ..one.clone() };
    let last = v1::SealedOp { seq: u64::MAX, ..one.clone() };
    for (ops, field) in [
        (vec![two.clone(), one.clone()], "ops[1].seq"),
        (vec![one.clone(), one.clone()], "ops[1].seq"),
        (vec![zero], "ops[0].seq"),
        (vec![last.clone(), last], "ops[1].seq"),
    ] {
        let refused = street.phone.send(ops).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument);
        assert_eq!(violations(&refused), [field]);
    }
    assert!(street.phone.send(vec![one, two]).await.is_ok());
    street.server.stop().await;
}

#[tokio::test]
async fn a_change_with_faults_names_each_and_changes_nothing() {
    let street = Street::start_on_sqlite().await;
    let clock = &street.server.clock;
    let good = visit(street.area, street.dwelling);
    let nameless = Body::Place(body::Place { sort: "dwelling".into(), ..Default::default() });
    let nameless = Act::create(street.area, nameless);
    let nowhere = visit(AreaId(rounds_tests::new_id()), street.dwelling);
    let ops = vec![good.clone().op(clock), nameless.clone().op(clock)];
    let refused = street.server.admin.try_change(ops, false).await.unwrap_err();
    assert_eq!((refused.code(), reason(&refused).as_str()), (Code::InvalidArgument, "INVALID"));
    assert_eq!(violations(&refused), ["ops[1].Place.name"]);
    let ops = vec![good.clone().op(clock), nameless.op(clock), nowhere.op(clock)];
    let refused = street.server.admin.try_change(ops, false).await.unwrap_err();
    assert_eq!((refused.code(), reason(&refused).as_str()), (Code::PermissionDenied, "NOT_IN_SCOPE"));
    assert_eq!(violations(&refused), ["ops[1].Place.name", "ops[2].area"]);
    assert_eq!(street.server.admin.get(good.record()).await.unwrap_err().code(), Code::NotFound);
    street.server.stop().await;
}

#[tokio::test]
async fn a_change_takes_1_to_1000_ops_and_64_if_atomic() {
    let street = Street::start_on_sqlite().await;
    let ops = |count: usize| -> Vec<_> {
        (0..count).map(|_| visit(street.area, street.dwelling).op(&street.server.clock)).collect()
    };
    let admin = &street.server.admin;
    for (count, atomic, fits) in [
        (0, false, false),
        (1, false, true),
        (BATCH_OPS_MAX, false, true),
        (BATCH_OPS_MAX + 1, false, false),
        (GROUP_OPS_MAX, true, true),
        (GROUP_OPS_MAX + 1, true, false),
    ] {
        let answer = admin.try_change(ops(count), atomic).await;
        assert_eq!(answer.is_ok(), fits, "{count} {atomic}");
        if let Err(refused) = answer {
            assert_eq!(violations(&refused), ["ops"]);
        }
    }
    street.server.stop().await;
}

#[tokio::test]
async fn an_atomic_change_about_two_areas_takes_no_effect() {
    let street = Street::start_on_sqlite().await;
    let south = street.server.area("South", None).await;
    let there = street.server.dwelling(south, "9-9-909").await;
    let acts = [visit(street.area, street.dwelling), visit(south, there)];
    let ids = acts.each_ref().map(Act::record);
    let ops = acts.map(|act| act.op(&street.server.clock)).to_vec();
    let verdicts = street.server.admin.try_change(ops, true).await.unwrap();
    assert!(verdicts.iter().all(|verdict| verdict.outcome() == Outcome::Quarantined), "{verdicts:?}");
    for id in ids {
        assert_eq!(street.server.admin.get(id).await.unwrap_err().code(), Code::NotFound);
    }
    street.server.stop().await;
}

#[tokio::test]
async fn a_change_that_is_repeated_is_merged() {
    let street = Street::start_on_sqlite().await;
    let op = visit(street.area, street.dwelling).op(&street.server.clock);
    assert_eq!(street.server.admin.change(vec![op.clone()]).await[0].outcome(), Outcome::Applied);
    assert_eq!(street.server.admin.change(vec![op]).await[0].outcome(), Outcome::Merged);
    street.server.stop().await;
}

#[tokio::test]
async fn who_does_not_say_what_it_saw_knows_the_record_as_it_is() {
    let server = TestServer::start_on_sqlite().await;
    let area = server.area("North", None).await;
    let coordinator = server.enrol(Role::Coordinator, &[area]).await; // the older name comes first in the order
    server.clock.advance(Duration::from_secs(1));
    let place = body::Place { name: "4-2-301".into(), sort: "dwelling".into(), ..Default::default() };
    let created = Act::create(area, Body::Place(place));
    let id = created.record();
    let mut phone = server.enrol(Role::Coordinator, &[area]).await;
    phone.act(vec![created]).await;
    let edit = Act::edit(id, area, Kind::Place, "name", "4-2-301".into(), "A".into()).op(&server.clock);
    assert_eq!(
        coordinator.change(vec![edit]).await[0].outcome(),
        Outcome::Applied,
        "within the same millisecond"
    );
    server.stop().await;
}

#[tokio::test]
async fn wrong_ids_and_tokens_are_refused_with_the_field() {
    let street = Street::start_on_sqlite().await;
    let admin = &street.server.admin;
    let kind = v1::Kind::Visit.into();
    let list = |request: v1::ListRecordsRequest| async { admin.directory().list_records(request).await };
    let refused = [
        (list(v1::ListRecordsRequest::default()).await.unwrap_err(), "kind"),
        (
            list(v1::ListRecordsRequest { kind, area: "7".into(), ..Default::default() }).await.unwrap_err(),
            "area",
        ),
        (
            list(v1::ListRecordsRequest { kind, subject: "7".into(), ..Default::default() })
                .await
                .unwrap_err(),
            "subject",
        ),
        (
            list(v1::ListRecordsRequest { kind, page_size: -1, ..Default::default() }).await.unwrap_err(),
            "page_size",
        ),
        (
            list(v1::ListRecordsRequest { kind, page_token: "7".into(), ..Default::default() })
                .await
                .unwrap_err(),
            "page_token",
        ),
        (admin.directory().get_record(v1::GetRecordRequest { id: "7".into() }).await.unwrap_err(), "id"),
        (
            admin
                .history()
                .list_ops(v1::ListOpsRequest { record: "7".into(), ..Default::default() })
                .await
                .unwrap_err(),
            "record",
        ),
        (admin.history().release(v1::ReleaseRequest::default()).await.unwrap_err(), "device"),
        (admin.devices().revoke(v1::RevokeRequest { device: "7".into() }).await.unwrap_err(), "device"),
    ];
    for (status, field) in refused {
        assert_eq!(status.code(), Code::InvalidArgument, "{field}: {status:?}");
        assert_eq!(violations(&status), [field]);
    }
    let nobody = v1::RevokeRequest { device: rounds_tests::new_id().to_string() };
    assert_eq!(admin.devices().revoke(nobody).await.unwrap_err().code(), Code::NotFound);
    street.server.stop().await;
}

#[tokio::test]
async fn a_call_without_a_token_says_how_to_sign_in() {
    let street = Street::start_on_sqlite().await;
    let mut client = v1::sync_service_client::SyncServiceClient::new(street.server.channel().await);
    let refused = client.sync(v1::SyncRequest::default()).await.unwrap_err();
    assert_eq!((refused.code(), reason(&refused).as_str()), (Code::Unauthenticated, "TOKEN_MISSING"));
    assert!(refused.message().contains("authorization: Bearer"));
    let mut stranger = street.phone.clone();
    stranger.token = "A".repeat(52);
    let refused = stranger.get(street.dwelling).await.unwrap_err();
    assert_eq!((refused.code(), reason(&refused).as_str()), (Code::Unauthenticated, "TOKEN_UNKNOWN"));
    street.server.stop().await;
}

#[tokio::test]
async fn a_database_that_is_gone_is_worth_another_try() {
    let mut street = Street::start_on_sqlite().await;
    street.server.store.close().await;
    let ops = vec![street.phone.seal(visit(street.area, street.dwelling))];
    let refused = street.phone.send(ops).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable);
    assert!(refused.get_error_details().retry_info().is_some());
    street.server.stop().await;
}

#[tokio::test]
async fn a_delete_without_a_reason_is_refused() {
    let street = Street::start_on_sqlite().await;
    let delete = Action::Delete { reason: " ".into() };
    let op = Act::on(street.dwelling, street.area, Kind::Place, delete).op(&street.server.clock);
    let refused = street.server.admin.try_change(vec![op], false).await.unwrap_err();
    assert_eq!(violations(&refused), ["ops[0].delete.reason"]);
    street.server.stop().await;
}
