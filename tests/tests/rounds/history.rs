//! How things came about, and what waits for a coordinator.

use prost::Message as _;
use rounds_domain::{Action, AreaId, Body, Change, Kind, Op, OpId, RecordId, Role, body};
use rounds_proto::v1::{self, Outcome};
use rounds_store::AuditFilter;
use rounds_tests::{Act, Peer, TestDatabase, TestServer, on_both_databases, reason, visit};
use serde_json::json;
use std::time::Duration;
use tonic::Code;

fn place() -> Body {
    Body::Place(body::Place { name: "4-2-302".into(), sort: "dwelling".into(), ..Default::default() })
}

fn every_entry() -> AuditFilter {
    AuditFilter { limit: 1_000, ..AuditFilter::default() }
}

struct Street {
    server: TestServer,
    area: AreaId,
    dwelling: RecordId,
    phone: Peer,
    coordinator: Peer,
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
        let coordinator = server.enrol(Role::Coordinator, &[area]).await;
        Self { server, area, dwelling, phone, coordinator }
    }

    fn renamed(&self, name: &str) -> Act {
        Act::edit(self.dwelling, self.area, Kind::Place, "name", "4-2-301".into(), name.into())
    }

    async fn entries(&self) -> Vec<v1::HistoryEntry> {
        let request = v1::ListOpsRequest { record: self.dwelling.to_string(), ..Default::default() };
        self.coordinator.history().list_ops(request).await.unwrap().into_inner().entries
    }

    async fn waiting(&self) -> Vec<v1::QuarantinedOp> {
        let request = v1::ListQuarantineRequest::default();
        self.coordinator.history().list_quarantine(request).await.unwrap().into_inner().ops
    }

    async fn release(&self, seq: u64, mended: Option<v1::Op>) -> Result<v1::Verdict, tonic::Status> {
        let request = v1::ReleaseRequest { device: self.phone.id.to_string(), seq, mended, dismiss: false };
        let answer = self.coordinator.history().release(request).await?;
        Ok(answer.into_inner().verdict.expect("a verdict"))
    }
}

on_both_databases! {
    async fn a_history_says_what_became_of_an_op_on_arrival_and_what_it_does_today(database: &TestDatabase) {
        let mut street = Street::start(database).await;
        let early = street.phone.seal(street.renamed("early"));
        street.server.clock.advance(Duration::from_secs(60));
        let mut other = street.server.enrol(Role::Field, &[street.area]).await;
        other.act(vec![street.renamed("late")]).await;
        street.server.clock.advance(Duration::from_secs(60));
        street.phone.send(vec![early]).await.unwrap();
        let entries = street.entries().await;
        let said: Vec<_> = entries.iter().map(|entry| {
            let (arrival, today) = (entry.verdict.as_ref().unwrap(), entry.today.as_ref().unwrap());
            (entry.device == other.id.to_string(), arrival.outcome(), today.outcome())
        }).collect();
        assert_eq!(said, [
            (false, Outcome::Applied, Outcome::Applied),
            (false, Outcome::Applied, Outcome::Applied),
            (true, Outcome::Applied, Outcome::ConflictRecorded),
        ]);
        assert!(entries.windows(2).all(|pair| pair[0].stamp < pair[1].stamp));
        assert_eq!(entries[1].received_at_ms - entries[1].at_ms, 120_000);
        street.server.stop().await;
    }

    async fn a_settled_dispute_is_listed_no_more(database: &TestDatabase) {
        let mut street = Street::start(database).await;
        let mut other = street.server.enrol(Role::Field, &[street.area]).await;
        street.phone.act(vec![street.renamed("A")]).await;
        street.server.clock.advance(Duration::from_secs(1));
        other.act(vec![street.renamed("B")]).await;
        let listed = async || {
            let request = v1::ListDisputesRequest { area: street.area.to_string(), ..Default::default() };
            street.coordinator.history().list_disputes(request).await.unwrap().into_inner().records
        };
        let dispute = listed().await.remove(0).disputes.remove(0);
        let op = OpId { device: dispute.device.parse().unwrap(), seq: dispute.seq };
        let settle = Action::Settle { disputes: vec![op] };
        let settle = Act::on(street.dwelling, street.area, Kind::Place, settle).op(&street.server.clock);
        assert_eq!(street.coordinator.change(vec![settle]).await[0].outcome(), Outcome::Applied);
        assert!(listed().await.is_empty());
        street.server.stop().await;
    }

    async fn a_mended_op_takes_effect_at_its_own_place_and_its_verdict_stays(database: &TestDatabase) {
        let mut street = Street::start(database).await;
        let mut spoilt = visit(street.area, street.dwelling).op(&street.server.clock);
        let Action::Create(body) = &mut spoilt.action else { panic!() };
        let Body::Visit(visit) = body.as_mut() else { panic!() };
        visit.outcome.clear();
        let op = street.phone.seal_op(&spoilt);
        let verdict = street.phone.send(vec![op.clone()]).await.unwrap().verdicts;
        assert_eq!(verdict[0].outcome(), Outcome::Quarantined);
        let recorded_ms = street.server.clock.now_ms();
        street.server.clock.advance(Duration::from_secs(3_600));
        let waiting = street.waiting().await.remove(0);
        assert_eq!((waiting.seq, waiting.reason.as_str()), (1, "INVALID"));
        assert_eq!(waiting.area, street.area.to_string());
        let as_it_is = street.release(1, None).await.unwrap_err();
        assert_eq!(as_it_is.code(), Code::InvalidArgument, "still not an op that can be taken");
        let mut mended = v1::Op::decode(waiting.op.as_slice()).unwrap();
        let Some(v1::op::Action::Create(create)) = &mut mended.action else { panic!() };
        let Some(v1::body::Body::Visit(visit)) = &mut create.body.as_mut().unwrap().body else { panic!() };
        visit.outcome = "met".into();
        assert_eq!(street.release(1, Some(mended)).await.unwrap().outcome(), Outcome::Applied);
        let record = street.coordinator.get(spoilt.record).await.unwrap();
        assert_eq!(record.created.unwrap().at_ms, recorded_ms);
        assert!(street.waiting().await.is_empty());
        assert_eq!(street.release(1, None).await.unwrap_err().code(), Code::NotFound, "it is there no more");
        assert_eq!(street.phone.send(vec![op]).await.unwrap().verdicts, verdict, "the phone's verdict stays");
        street.server.stop().await;
    }

    async fn the_work_of_a_lost_phone_is_released(database: &TestDatabase) {
        let mut street = Street::start(database).await;
        let act = visit(street.area, street.dwelling);
        let op = street.phone.seal(act.clone());
        let revoke = v1::RevokeRequest { device: street.phone.id.to_string() };
        street.coordinator.devices().revoke(revoke).await.unwrap();
        street.phone.send(vec![op]).await.unwrap();
        assert_eq!(street.release(1, None).await.unwrap().outcome(), Outcome::Applied);
        assert!(street.coordinator.get(act.record()).await.is_ok());
        street.server.stop().await;
    }

    async fn a_dismissed_op_is_listed_no_more_and_takes_no_effect(database: &TestDatabase) {
        let mut street = Street::start(database).await;
        let op = street.phone.seal_bytes(b"not an op".to_vec());
        street.phone.send(vec![op]).await.unwrap();
        assert_eq!(street.waiting().await.len(), 1, "seen by who holds the phone's areas");
        let dismiss = v1::ReleaseRequest { device: street.phone.id.to_string(), seq: 1, mended: None, dismiss: true };
        assert!(street.coordinator.history().release(dismiss.clone()).await.unwrap().into_inner().verdict.is_none());
        assert!(street.waiting().await.is_empty());
        assert_eq!(street.coordinator.history().release(dismiss).await.unwrap_err().code(), Code::NotFound);
        street.server.stop().await;
    }

    async fn a_release_needs_areas_that_its_author_has_at_that_moment(database: &TestDatabase) {
        let mut street = Street::start(database).await;
        let south = street.server.area("South", None).await;
        let assign = async |areas: &[AreaId]| {
            let areas = areas.iter().map(AreaId::to_string).collect();
            let request = v1::AssignRequest { device: street.coordinator.id.to_string(), areas };
            street.server.admin.devices().assign(request).await.unwrap().into_inner().scope_version
        };
        let with_south = assign(&[street.area, south]).await;
        assign(&[street.area]).await;
        let op = street.phone.seal_bytes(b"not an op".to_vec());
        street.phone.send(vec![op]).await.unwrap();
        let op = Op { scope_version: with_south, ..Act::create(south, place()).op(&street.server.clock) };
        let mended = rounds_proto::op_to_wire(&op).unwrap();
        let refused = street.release(1, Some(mended)).await.unwrap_err();
        assert_eq!(reason(&refused), "NOT_IN_SCOPE", "though it was its area before");
        assert_eq!(street.waiting().await.len(), 1);
        street.server.stop().await;
    }

    async fn every_act_of_administration_is_on_record_with_who_did_it(database: &TestDatabase) {
        let Street { server, area, mut phone, coordinator, .. } = Street::start(database).await;
        let before = server.store.audit_entries(&every_entry()).await.unwrap().len();
        let request = v1::CreateCodeRequest {
            role: v1::Role::Field.into(),
            areas: vec![area.to_string()],
            ..v1::CreateCodeRequest::default()
        };
        let code = coordinator.devices().create_code(request).await.unwrap().into_inner().code;
        let other = Peer::enrol(server.channel().await, server.clock.clone(), &code).await.unwrap();
        let assign = v1::AssignRequest { device: other.id.to_string(), areas: vec![area.to_string()] };
        coordinator.devices().assign(assign).await.unwrap();
        other.devices().rotate(v1::RotateRequest {}).await.unwrap();
        let mut copy = phone.clone();
        let ops = [b"no op", b"none ", b"other"].map(|bytes| phone.seal_bytes(bytes.to_vec()));
        phone.send(ops.to_vec()).await.unwrap();
        let op = copy.seal_bytes(b"another".to_vec());
        copy.send(vec![op]).await.unwrap();
        let fork = v1::ForkRequest { forked_at_seq: 1, ..v1::ForkRequest::default() };
        let forked = copy.devices().fork(fork).await.unwrap().into_inner().device;
        let mended = Some(rounds_proto::op_to_wire(&Act::create(area, place()).op(&server.clock)).unwrap());
        let release = |seq, mended, dismiss| v1::ReleaseRequest { device: phone.id.to_string(), seq, mended, dismiss };
        coordinator.history().release(release(1, mended, false)).await.unwrap();
        coordinator.history().release(release(2, None, true)).await.unwrap();
        coordinator.history().release(release(3, None, false)).await.unwrap_err();
        coordinator.devices().revoke(v1::RevokeRequest { device: other.id.to_string() }).await.unwrap();

        let mut entries = server.store.audit_entries(&every_entry()).await.unwrap();
        entries.sort_by_key(|entry| entry.seq);
        let told: Vec<_> = entries[before..]
            .iter()
            .map(|entry| (entry.action.as_str(), entry.device.unwrap(), entry.subject.clone()))
            .collect();
        let [first, second] = [1, 2].map(|seq| OpId { device: phone.id, seq }.to_string());
        assert_eq!(told, [
            ("code.made", coordinator.id, area.to_string()),
            ("sign_in", other.id, other.id.to_string()),
            ("device.assigned", coordinator.id, other.id.to_string()),
            ("device.token_rotated", other.id, other.id.to_string()),
            ("device.forked", phone.id, forked),
            ("quarantine.released", coordinator.id, first),
            ("quarantine.dismissed", coordinator.id, second),
            ("device.revoked", coordinator.id, other.id.to_string()),
        ]);
        server.stop().await;
    }

    async fn an_op_that_names_no_area_waits_for_who_holds_a_root_of_its_device_now(database: &TestDatabase) {
        let mut street = Street::start(database).await;
        let south = street.server.area("South", None).await;
        let lane = street.server.area("Lane", Some(south)).await;
        let of_south = street.server.enrol(Role::Coordinator, &[south]).await;
        let of_lane = street.server.enrol(Role::Coordinator, &[lane]).await;
        let op = street.phone.seal_bytes(b"not an op".to_vec());
        street.phone.send(vec![op]).await.unwrap();
        let dismiss = v1::ReleaseRequest { device: street.phone.id.to_string(), seq: 1, mended: None, dismiss: true };
        // What the list shows, what the summary counts, and what can be decided on are the same.
        let sees = async |coordinator: &Peer| {
            let list = v1::ListQuarantineRequest::default();
            let listed = coordinator.history().list_quarantine(list).await.unwrap().into_inner().ops.len();
            let summary = coordinator.summaries().summarize(v1::SummarizeRequest::default()).await.unwrap();
            let counted = summary.into_inner().freshness.unwrap().quarantined_ops;
            assert_eq!(counted, listed as i64);
            listed
        };
        let coordinators = [&street.coordinator, &of_south, &of_lane];
        for (roots, expected) in [([street.area], [1, 0, 0]), ([south], [0, 1, 0]), ([lane], [0, 1, 1])] {
            let areas = roots.iter().map(ToString::to_string).collect();
            let request = v1::AssignRequest { device: street.phone.id.to_string(), areas };
            street.server.admin.devices().assign(request).await.unwrap();
            for (coordinator, expected) in coordinators.into_iter().zip(expected) {
                assert_eq!(sees(coordinator).await, expected, "roots {roots:?}");
                if expected == 0 {
                    let refused = coordinator.history().release(dismiss.clone()).await.unwrap_err();
                    assert_eq!(refused.code(), Code::NotFound);
                }
            }
        }
        of_lane.history().release(dismiss).await.unwrap();
        assert_eq!(sees(&of_south).await, 0);
        street.server.stop().await;
    }

    async fn the_quarantine_is_read_in_pages_of_so_many_bytes_and_none_of_it_is_left_out(database: &TestDatabase) {
        const MIB: usize = 1024 * 1024;
        let mut street = Street::start(database).await;
        let south = street.server.area("South", None).await;
        let mut beside = street.server.enrol(Role::Field, &[south]).await;
        for _ in 0..3 {
            for phone in [&mut street.phone, &mut beside] {
                let ops = vec![phone.seal_bytes(vec![0; MIB]), phone.seal_bytes(vec![0; MIB])];
                phone.send(ops).await.unwrap();
            }
        }
        let mut pages = Vec::new();
        let mut after = None;
        loop {
            let page = street.server.store.quarantine(Some(&[street.area]), after, 100).await.unwrap();
            after = page.ops.last().map(|op| op.id);
            assert!(page.ops.iter().all(|op| op.id.device == street.phone.id && op.raw.len() == MIB));
            pages.push(page.ops.iter().map(|op| op.id.seq).collect::<Vec<_>>());
            if !page.more {
                break;
            }
        }
        assert_eq!(pages, [[1, 2, 3], [4, 5, 6]], "3 MiB each, and nothing behind the last");

        let mut listed = Vec::new();
        let mut page_token = String::new();
        loop {
            let request = v1::ListQuarantineRequest { page_token, ..Default::default() };
            let page = street.coordinator.history().list_quarantine(request).await.unwrap().into_inner();
            listed.extend(page.ops.iter().map(|op| op.seq));
            page_token = page.next_page_token;
            if page_token.is_empty() {
                break;
            }
        }
        assert_eq!(listed, [1, 2, 3, 4, 5, 6]);
        street.server.stop().await;
    }

    async fn a_long_history_is_read_in_pages_and_none_of_it_is_left_out(database: &TestDatabase) {
        let mut street = Street::start(database).await;
        for round in 0..3 {
            let edits = (round * 100..).take(100).map(|n: usize| {
                let name = |n: usize| if n == 0 { json!("4-2-301") } else { json!(format!("door {n}")) };
                let changes = vec![Change { field: "name".to_owned(), base: name(n), value: name(n + 1) }];
                let edit = Action::Edit { changes, reason: "\u{1f333}".repeat(4_000) };
                street.phone.seal(Act::on(street.dwelling, street.area, Kind::Place, edit))
            });
            let edits = edits.collect();
            street.phone.send(edits).await.unwrap();
        }
        let mut request = v1::ListOpsRequest { record: street.dwelling.to_string(), ..Default::default() };
        let mut pages = Vec::new();
        loop {
            let page = street.coordinator.history().list_ops(request.clone()).await.unwrap().into_inner();
            assert!(page.encoded_len() < 4 * 1024 * 1024, "what clients take by default");
            pages.push(page.entries);
            request.page_token = page.next_page_token;
            if request.page_token.is_empty() {
                break;
            }
        }
        assert_eq!(pages.len(), 2);
        let seqs: Vec<u64> = pages.concat().into_iter().skip(1).map(|entry| entry.seq).collect();
        assert_eq!(seqs, (1..=300).collect::<Vec<_>>(), "behind its creation, in their order");
        request.page_token = format!("{}.301", street.phone.id.0.simple());
        let refused = street.coordinator.history().list_ops(request).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument);
        street.server.stop().await;
    }

    async fn what_depends_on_an_op_in_quarantine_follows_it_in_and_out(database: &TestDatabase) {
        let mut street = Street::start(database).await;
        let mut raised = Act::create(street.area, Body::Request(body::Request {
            category: "water".into(),
            channel: "visit".into(),
            ..Default::default()
        })).op(&street.server.clock);
        let step = rounds_domain::op::Step { to: "triaged".into(), ..Default::default() };
        let step = Act::step(raised.record, street.area, Kind::Request, step);
        let nowhere = AreaId(rounds_tests::new_id());
        let right = std::mem::replace(&mut raised.area, nowhere);
        let ops = vec![street.phone.seal_op(&raised), street.phone.seal(step)];
        let verdicts = street.phone.send(ops).await.unwrap().verdicts;
        let reasons: Vec<&str> = verdicts.iter().map(|verdict| verdict.reason.as_str()).collect();
        assert_eq!(reasons, ["NOT_IN_SCOPE", "DEPENDS_ON_QUARANTINED"]);
        raised.area = right;
        let mended = rounds_proto::op_to_wire(&raised).unwrap();
        let request = v1::ReleaseRequest {
            device: street.phone.id.to_string(),
            seq: 1,
            mended: Some(mended),
            dismiss: false,
        };
        street.server.admin.history().release(request).await.unwrap();
        assert_eq!(street.coordinator.get(raised.record).await.unwrap().status, "triaged");
        assert!(street.waiting().await.is_empty());
        street.server.stop().await;
    }

    async fn what_a_deleted_record_said_is_told_to_nobody(database: &TestDatabase) {
        let mut street = Street::start(database).await;
        street.phone.act(vec![street.renamed("secret")]).await;
        let delete = Action::Delete { reason: "asked for".into() };
        let delete = Act::on(street.dwelling, street.area, Kind::Place, delete).op(&street.server.clock);
        street.coordinator.change(vec![delete]).await;
        let entries = street.entries().await;
        assert_eq!(entries.len(), 3);
        assert!(entries[..2].iter().all(|entry| entry.op.is_none()), "{entries:?}");
        assert!(entries[2].op.is_some(), "who deleted it and why");
        street.server.stop().await;
    }
}

#[tokio::test]
async fn a_release_is_bound_to_the_role_and_areas_of_who_releases() {
    let mut street = Street::start_on_sqlite().await;
    let south = street.server.area("South", None).await;
    let elsewhere = street.server.enrol(Role::Coordinator, &[south]).await;
    let op = street.phone.seal_bytes(b"not an op".to_vec());
    let term = body::Term { vocabulary: "visit_outcome".into(), word: "asleep".into(), ..Default::default() };
    let term = street.phone.seal(Act::create(street.area, Body::Term(term)));
    street.phone.send(vec![op, term]).await.unwrap();
    let request =
        v1::ReleaseRequest { device: street.phone.id.to_string(), seq: 1, mended: None, dismiss: true };
    let refused = elsewhere.history().release(request).await.unwrap_err();
    assert_eq!(refused.code(), Code::NotFound, "of another area");
    let refused = street.release(2, None).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied, "words belong to the whole city");
    let away = visit(south, street.dwelling).op(&street.server.clock);
    let refused = street.release(1, Some(rounds_proto::op_to_wire(&away).unwrap())).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied, "into an area of somebody else");
    street.server.stop().await;
}
