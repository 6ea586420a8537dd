//! Ops in, records out. The numbers in comments are those of the invariants of the sync design.

use prost::Message as _;
use rounds_domain::op::Step;
use rounds_domain::{Action, AreaId, Body, Kind, Op, RecordId, Role, body};
use rounds_proto::v1::device_service_client::DeviceServiceClient;
use rounds_proto::v1::{self, DeviceStanding, Outcome};
use rounds_server::limit::{COPIES_MAX, REQUEST_BYTES_MAX, REVOKED_BYTES_MAX};
use rounds_tests::{Act, Peer, TestDatabase, TestServer, new_id, on_both_databases, reason, visit};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::Duration;
use tonic::Code;

/// One area with a dwelling, and phones for it.
struct Street {
    server: TestServer,
    area: AreaId,
    dwelling: RecordId,
}

impl Street {
    /// A device as an administrator sees it listed.
    async fn listed(&self, id: &str) -> v1::Device {
        let listed = self.server.admin.devices().list_devices(v1::ListDevicesRequest::default()).await;
        let mut devices = listed.unwrap().into_inner().devices.into_iter();
        devices.find(|device| device.id == id).unwrap()
    }

    async fn start(database: &TestDatabase) -> Self {
        Self::of(TestServer::start(database).await).await
    }

    async fn start_on_sqlite() -> Self {
        Self::of(TestServer::start_on_sqlite().await).await
    }

    async fn of(server: TestServer) -> Self {
        let area = server.area("North", None).await;
        let dwelling = server.dwelling(area, "4-2-301").await;
        Self { server, area, dwelling }
    }

    async fn phone(&self) -> Peer {
        self.server.enrol(Role::Field, &[self.area]).await
    }

    fn visit(&self) -> Act {
        visit(self.area, self.dwelling)
    }

    fn renamed(&self, base: &str, name: &str) -> Act {
        Act::edit(self.dwelling, self.area, Kind::Place, "name", base.into(), name.into())
    }
}

fn outcomes(verdicts: &[v1::Verdict]) -> Vec<(Outcome, &str)> {
    verdicts.iter().map(|verdict| (verdict.outcome(), verdict.reason.as_str())).collect()
}

fn place_name(record: &v1::Record) -> &str {
    match record.body.as_ref().and_then(|body| body.body.as_ref()) {
        Some(v1::body::Body::Place(place)) => &place.name,
        other => panic!("not a place: {other:?}"),
    }
}

fn left_areas(feed: &[v1::FeedItem]) -> Vec<&str> {
    let left = feed.iter().filter_map(|item| match &item.item {
        Some(v1::feed_item::Item::LeftArea(area)) => Some(area.as_str()),
        _ => None,
    });
    left.collect()
}

on_both_databases! {
    async fn what_one_phone_records_reaches_the_other(database: &TestDatabase) {
        let street = Street::start(database).await;
        let (mut one, mut other) = (street.phone().await, street.phone().await);
        let met = street.visit();
        let id = met.record();
        assert_eq!(outcomes(&one.act(vec![met]).await), [(Outcome::Applied, "")]);
        other.pull().await;
        one.pull().await;
        assert!(other.records.contains_key(&id));
        assert_eq!(one.records, other.records, "1: both equal the server");
        let server = street.server.admin.get(id).await.unwrap();
        assert_eq!(one.records[&id], server);
        street.server.stop().await;
    }

    async fn a_clash_on_one_field_keeps_both_values_and_is_listed(database: &TestDatabase) {
        let street = Street::start(database).await;
        let (mut one, mut other) = (street.phone().await, street.phone().await);
        let first = street.renamed("4-2-301", "4-2-301 A");
        let second = street.renamed("4-2-301", "4-2-301 B");
        assert_eq!(outcomes(&one.act(vec![first]).await), [(Outcome::Applied, "")]);
        street.server.clock.advance(Duration::from_secs(1));
        assert_eq!(outcomes(&other.act(vec![second]).await), [(Outcome::ConflictRecorded, "")]);
        one.pull().await;
        other.pull().await;
        assert_eq!(one.records, other.records);
        let record = &one.records[&street.dwelling];
        assert_eq!(place_name(record), "4-2-301 B");
        let Some(v1::dispute::Matter::Field(dispute)) = &record.disputes[0].matter else { panic!("{record:?}") };
        assert_eq!((dispute.kept_json.as_str(), dispute.other_json.as_str()), ("\"4-2-301 B\"", "\"4-2-301 A\""));
        let coordinator = street.server.enrol(Role::Coordinator, &[street.area]).await;
        let listed = coordinator.history().list_disputes(v1::ListDisputesRequest::default()).await.unwrap();
        assert_eq!(listed.into_inner().records, std::slice::from_ref(record));
        street.server.stop().await;
    }

    async fn a_clash_has_the_same_end_whoever_comes_first(database: &TestDatabase) {
        let street = Street::start(database).await;
        let (mut one, mut other) = (street.phone().await, street.phone().await);
        let early = one.seal(street.renamed("4-2-301", "early"));
        street.server.clock.advance(Duration::from_secs(60));
        let late = other.seal(street.renamed("4-2-301", "late"));
        street.server.clock.advance(Duration::from_secs(60));
        other.send(vec![late]).await.unwrap();
        let verdict = &one.send(vec![early]).await.unwrap().verdicts[0];
        assert_eq!(verdict.outcome(), Outcome::Applied, "at its place nobody had changed the field yet");
        let record = street.server.admin.get(street.dwelling).await.unwrap();
        assert_eq!(place_name(&record), "late");
        assert_eq!(record.disputes.len(), 1);
        street.server.stop().await;
    }

    /// 3
    async fn each_op_takes_effect_once_and_gets_one_verdict_for_ever(database: &TestDatabase) {
        let street = Street::start(database).await;
        let mut phone = street.phone().await;
        let ops = vec![
            phone.seal(street.visit()),
            phone.seal(street.renamed("not what it was", "4-2-302")),
            phone.seal_bytes(b"not an op".to_vec()),
            phone.seal(Act::step(street.dwelling, street.area, Kind::Place, Step::default())),
            phone.seal(street.visit()),
        ];
        let first = phone.send(ops.clone()).await.unwrap();
        assert_eq!(first.acknowledged_through, 5);
        let again = phone.send(ops.clone()).await.unwrap();
        assert_eq!(again.verdicts, first.verdicts);
        assert_eq!(again.standing(), DeviceStanding::Good);
        let part = phone.send(ops[2..4].to_vec()).await.unwrap();
        assert_eq!(part.verdicts, first.verdicts[2..4]);
        let server = street.server.restart().await;
        phone.reconnect(server.channel().await);
        let after = phone.send(ops).await.unwrap();
        assert_eq!(after.verdicts, first.verdicts, "2: acknowledged survives a restart");
        let visits = server.admin.directory().list_records(v1::ListRecordsRequest {
            kind: v1::Kind::Visit.into(),
            ..Default::default()
        }).await;
        assert_eq!(visits.unwrap().into_inner().records.len(), 2);
        server.stop().await;
    }

    /// 3
    async fn retries_at_the_same_time_get_the_same_verdicts(database: &TestDatabase) {
        let street = Street::start(database).await;
        let mut phone = street.phone().await;
        let ops: Vec<_> = (0..20).map(|_| phone.seal(street.visit())).collect();
        let calls = (0..8).map(|_| {
            let (mut copy, ops) = (phone.clone(), ops.clone());
            async move { copy.send(ops).await.unwrap().verdicts }
        });
        let answers = futures_util::future::join_all(calls).await;
        for verdicts in &answers {
            assert!(verdicts.iter().all(|verdict| verdict.outcome() == Outcome::Applied), "{verdicts:?}");
        }
        phone.pull().await;
        assert_eq!(phone.records.values().filter(|record| record.kind() == v1::Kind::Visit).count(), 20);
        street.server.stop().await;
    }

    async fn an_op_behind_a_gap_waits_for_those_before_it(database: &TestDatabase) {
        let street = Street::start(database).await;
        let mut phone = street.phone().await;
        let ops: Vec<_> = (0..4).map(|_| phone.seal(street.visit())).collect();
        phone.send(ops[..1].to_vec()).await.unwrap();
        let answer = phone.send(ops[2..].to_vec()).await.unwrap();
        let retry = [(Outcome::Retry, "SEQUENCE_GAP"), (Outcome::Retry, "BEHIND")];
        assert_eq!(outcomes(&answer.verdicts), retry);
        assert_eq!(answer.acknowledged_through, 1);
        let answer = phone.send(ops[1..].to_vec()).await.unwrap();
        assert_eq!(answer.acknowledged_through, 4);
        street.server.stop().await;
    }

    async fn a_phone_that_let_go_of_ops_that_the_server_lost_goes_on(database: &TestDatabase) {
        let street = Street::start(database).await;
        let mut phone = street.phone().await;
        let ops: Vec<_> = (0..3).map(|_| phone.seal(street.visit())).collect();
        let request = v1::SyncRequest {
            ops: ops[2..].to_vec(),
            holds_from: 3,
            clock: Some(phone.clocks()),
            ..Default::default()
        };
        let answer = phone.sync().sync(request).await.unwrap().into_inner();
        assert_eq!(outcomes(&answer.verdicts), [(Outcome::Applied, "")]);
        assert_eq!(answer.acknowledged_through, 3);
        assert_eq!(street.listed(&phone.id.to_string()).await.lost_ops, 2);
        street.server.stop().await;
    }

    /// 6
    async fn a_group_is_taken_in_whole_or_not_at_all(database: &TestDatabase) {
        let street = Street::start(database).await;
        let mut phone = street.phone().await;
        let raised = |category: &str| Act::create(street.area, Body::Request(body::Request {
            category: category.to_owned(),
            channel: "visit".to_owned(),
            ..body::Request::default()
        }));
        let group = |phone: &mut Peer, category: &str| {
            let mut group = vec![phone.seal(street.visit()), phone.seal(raised(category))];
            group[0].followed_by = 1;
            group
        };
        let whole = group(&mut phone, "water");
        let cut = phone.send(whole[..1].to_vec()).await.unwrap();
        assert_eq!(outcomes(&cut.verdicts), [(Outcome::Retry, "GROUP_INCOMPLETE")]);
        let answer = phone.send(whole).await.unwrap();
        assert_eq!(outcomes(&answer.verdicts), [(Outcome::Applied, ""), (Outcome::Applied, "")]);
        let numbers: BTreeSet<u64> = answer.feed.iter().filter_map(|item| match &item.item {
            Some(v1::feed_item::Item::Record(record)) if record.kind() != v1::Kind::Place && record.kind() != v1::Kind::Area => Some(record.number),
            _ => None,
        }).collect();
        assert_eq!(numbers.len(), 1, "one number, so no page can come between them");
        let bad = group(&mut phone, "");
        let answer = phone.send(bad).await.unwrap();
        let refused = [(Outcome::Quarantined, "GROUP_REFUSED"), (Outcome::Quarantined, "INVALID")];
        assert_eq!(outcomes(&answer.verdicts), refused);
        assert!(answer.feed.is_empty(), "nothing of it took effect");
        street.server.stop().await;
    }

    async fn a_copy_of_a_phone_is_told_so_and_goes_on_under_another_name(database: &TestDatabase) {
        let street = Street::start(database).await;
        let mut phone = street.phone().await;
        phone.act(vec![street.visit()]).await;
        let mut copy = phone.clone();
        phone.act(vec![street.visit()]).await;
        let lost = street.visit();
        let answer = copy.seal(lost.clone());
        let answer = copy.send(vec![answer]).await.unwrap();
        assert_eq!((answer.standing(), answer.forked_at_seq), (DeviceStanding::Forked, 2));
        let fork = v1::ForkRequest { forked_at_seq: 1, ..v1::ForkRequest::default() };
        let refused = copy.devices().fork(fork).await.unwrap_err();
        assert_eq!(reason(&refused), "NOT_FORKED", "they have the first op in common");
        let fork = v1::ForkRequest { forked_at_seq: 2, ..v1::ForkRequest::default() };
        let forked = copy.devices().fork(fork).await.unwrap().into_inner();
        assert_eq!(street.listed(&forked.device).await.copy_of, phone.id.to_string());
        (copy.id, copy.token, copy.seq) = (forked.device.parse().unwrap(), forked.token, 0);
        assert_eq!(outcomes(&copy.act(vec![lost.clone()]).await), [(Outcome::Applied, "")]);
        let answer = phone.send(Vec::new()).await.unwrap();
        assert_eq!(answer.standing(), DeviceStanding::Good, "the first of the two goes on as before");
        assert_eq!(outcomes(&phone.act(vec![street.visit()]).await), [(Outcome::Applied, "")]);
        copy.pull().await;
        assert_eq!(copy.records.values().filter(|record| record.kind() == v1::Kind::Visit).count(), 4);
        street.server.stop().await;
    }

    async fn the_same_op_in_a_group_of_another_size_is_of_another_history(database: &TestDatabase) {
        let street = Street::start(database).await;
        let mut phone = street.phone().await;
        let sealed = phone.seal(street.visit());
        assert_eq!(outcomes(&phone.send(vec![sealed.clone()]).await.unwrap().verdicts), [(Outcome::Applied, "")]);
        let in_a_group = v1::SealedOp { followed_by: 1, ..sealed };
        let answer = phone.send(vec![in_a_group]).await.unwrap();
        assert_eq!((answer.standing(), answer.forked_at_seq), (DeviceStanding::Forked, 1));
        street.server.stop().await;
    }

    async fn copies_that_hold_the_same_op_get_the_same_name_and_hand_it_over_once(database: &TestDatabase) {
        let street = Street::start(database).await;
        let mut phone = street.phone().await;
        let mut copies = [phone.clone(), phone.clone()];
        phone.act(vec![street.visit()]).await;
        let sealed = copies[0].seal(street.visit());
        let fork = v1::ForkRequest { forked_at_seq: 1, op: sealed.op.to_vec() };
        let mut names = Vec::new();
        for copy in &mut copies {
            let answer = copy.send(vec![sealed.clone()]).await.unwrap();
            assert_eq!((answer.standing(), answer.forked_at_seq), (DeviceStanding::Forked, 1));
            let lost = copy.devices().fork(fork.clone()).await.unwrap().into_inner();
            let forked = copy.devices().fork(fork.clone()).await.unwrap().into_inner();
            assert_eq!(forked, lost, "the answer may have been lost");
            (copy.id, copy.token) = (forked.device.parse().unwrap(), forked.token.clone());
            let answer = copy.send(vec![sealed.clone()]).await.unwrap();
            assert_eq!((outcomes(&answer.verdicts), answer.standing()), (vec![(Outcome::Applied, "")], DeviceStanding::Good));
            names.push(forked);
        }
        assert_eq!(names[0], names[1]);
        let another = v1::ForkRequest { op: copies[0].seal(street.visit()).op.to_vec(), ..fork };
        let other = phone.devices().fork(another).await.unwrap().into_inner();
        assert_ne!((other.device, other.token), (names[0].device.clone(), names[0].token.clone()));
        phone.pull().await;
        assert_eq!(phone.records.values().filter(|record| record.kind() == v1::Kind::Visit).count(), 2);
        street.server.stop().await;
    }

    async fn a_device_that_is_no_copy_gets_no_second_name(database: &TestDatabase) {
        let street = Street::start(database).await;
        let phone = street.phone().await;
        let fork = v1::ForkRequest { forked_at_seq: 1, ..v1::ForkRequest::default() };
        let refused = phone.devices().fork(fork).await.unwrap_err();
        assert_eq!((refused.code(), reason(&refused).as_str()), (Code::FailedPrecondition, "NOT_FORKED"));
        street.server.stop().await;
    }

    async fn the_last_ops_of_a_revoked_phone_are_kept_and_it_gets_nothing_more(database: &TestDatabase) {
        let street = Street::start(database).await;
        let mut phone = street.phone().await;
        phone.pull().await;
        let ops = vec![phone.seal(street.visit()), phone.seal_bytes(b"not an op".to_vec())];
        let revoke = v1::RevokeRequest { device: phone.id.to_string() };
        street.server.admin.devices().revoke(revoke).await.unwrap();
        street.server.dwelling(street.area, "4-2-302").await;
        let answer = phone.send(ops).await.unwrap();
        assert_eq!(answer.standing(), DeviceStanding::Revoked);
        let kept = [(Outcome::Quarantined, "DEVICE_REVOKED"), (Outcome::Quarantined, "MALFORMED")];
        assert_eq!(outcomes(&answer.verdicts), kept);
        assert_eq!(answer.acknowledged_through, 2, "so it may wipe itself");
        assert!(answer.feed.is_empty() && answer.cursor.is_empty() && !answer.more);
        let waiting = street.server.admin.history().list_quarantine(v1::ListQuarantineRequest::default()).await;
        assert_eq!(waiting.unwrap().into_inner().ops.len(), 2);
        street.server.stop().await;
    }

    async fn a_revoked_phone_does_not_fill_the_disk_and_goes_on_once_somebody_looked_at_it(database: &TestDatabase) {
        let street = Street::start(database).await;
        let mut phone = street.phone().await;
        let revoke = v1::RevokeRequest { device: phone.id.to_string() };
        street.server.admin.devices().revoke(revoke).await.unwrap();
        let large = vec![0; REQUEST_BYTES_MAX - 1024];
        let first = phone.seal_bytes(large.clone());
        let mut op = first.clone();
        let mut sent = 0;
        let refused = loop {
            match phone.send(vec![op.clone()]).await {
                Ok(answer) => assert_eq!(outcomes(&answer.verdicts), [(Outcome::Quarantined, "INVALID")]),
                Err(status) => break status,
            }
            sent += large.len() as u64;
            op = phone.seal_bytes(large.clone());
        };
        assert_eq!((refused.code(), reason(&refused).as_str()), (Code::Unauthenticated, "DEVICE_REVOKED"));
        let most = REVOKED_BYTES_MAX + REQUEST_BYTES_MAX as u64;
        assert!((REVOKED_BYTES_MAX - REQUEST_BYTES_MAX as u64..most).contains(&sent), "{sent} bytes");
        let again = phone.send(vec![first]).await.unwrap();
        assert_eq!(outcomes(&again.verdicts), [(Outcome::Quarantined, "INVALID")], "what was taken in has its verdict");
        let device = phone.id.to_string();
        let dismiss = v1::ReleaseRequest { device, seq: 1, mended: None, dismiss: true };
        street.server.admin.history().release(dismiss).await.unwrap();
        let answer = phone.send(vec![op]).await.unwrap();
        assert_eq!(outcomes(&answer.verdicts), [(Outcome::Quarantined, "INVALID")], "it still had it");
        street.server.stop().await;
    }

    /// 3
    async fn phones_that_were_enrolled_again_hand_over_once_what_both_hold(database: &TestDatabase) {
        let street = Street::start(database).await;
        // Both were this one, which the server does not know any more, and one of them got a copy since.
        let first_device = new_id().to_string();
        let again = async |first_device: &str| {
            let code = street.server.code(Role::Field, &[street.area]).await;
            let request = v1::EnrolRequest { code, label: "phone".to_owned(), first_device: first_device.to_owned() };
            let mut devices = DeviceServiceClient::new(street.server.channel().await);
            devices.enrol(request).await.map(tonic::Response::into_inner)
        };
        let mut phone = street.phone().await;
        let ops = vec![phone.seal(street.visit()), phone.seal(street.renamed("4-2-301", "4-2-302"))];
        let mut verdicts = Vec::new();
        for _ in 0..2 {
            let enrolled = again(&first_device).await.unwrap();
            let mut phone = phone.clone().with_token(enrolled.device.parse().unwrap(), &enrolled.token);
            verdicts.push(phone.send(ops.clone()).await.unwrap().verdicts);
            let mut copy = phone.clone();
            phone.seq = 2;
            phone.act(vec![street.visit()]).await;
            copy.seq = 2;
            let sealed = copy.seal(street.visit());
            copy.send(vec![sealed.clone()]).await.unwrap();
            let fork = v1::ForkRequest { forked_at_seq: 3, ..v1::ForkRequest::default() };
            let name = copy.devices().fork(fork).await.unwrap().into_inner();
            let mut copy = copy.with_token(name.device.parse().unwrap(), &name.token);
            verdicts.push(copy.send(ops.clone()).await.unwrap().verdicts);
        }
        assert!(verdicts.iter().all(|given| *given == verdicts[0]), "{verdicts:?}");
        assert_eq!(outcomes(&verdicts[0]), [(Outcome::Applied, ""); 2]);
        let mut other = street.phone().await;
        other.pull().await;
        assert_eq!(other.records.values().filter(|record| record.kind() == v1::Kind::Visit).count(), 3);
        // Whoever was nothing before brings another op.
        let taken_in = async || street.server.store.ops_of(street.dwelling).await.unwrap().len();
        assert_eq!(taken_in().await, 2);
        let enrolled = again("").await.unwrap();
        let mut stranger = phone.with_token(enrolled.device.parse().unwrap(), &enrolled.token);
        stranger.send(ops).await.unwrap();
        assert_eq!(taken_in().await, 3);
        let refused = again("no id").await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument);
        assert!(refused.message().contains("first_device"), "{refused:?}");
        street.server.stop().await;
    }

    async fn there_is_an_end_to_the_names_of_copies_and_of_their_copies(database: &TestDatabase) {
        let street = Street::start(database).await;
        let mut phone = street.phone().await;
        let mut copy = phone.clone();
        phone.act(vec![street.visit()]).await;
        let sealed = copy.seal(street.visit());
        copy.send(vec![sealed.clone()]).await.unwrap();
        let known = v1::ForkRequest { forked_at_seq: 1, op: sealed.op.to_vec() };
        let name = copy.devices().fork(known.clone()).await.unwrap().into_inner();
        (copy.id, copy.token, copy.seq) = (name.device.parse().unwrap(), name.token.clone(), 0);
        let mut copys_copy = copy.clone();
        copy.act(vec![street.visit()]).await;
        copys_copy.act(vec![street.visit()]).await;
        let fork = v1::ForkRequest { forked_at_seq: 1, ..v1::ForkRequest::default() };
        for n in 1..COPIES_MAX {
            let of = if n % 2 == 0 { &phone } else { &copy };
            of.devices().fork(fork.clone()).await.unwrap();
        }
        for of in [&phone, &copy] {
            let refused = of.devices().fork(fork.clone()).await.unwrap_err();
            let said = (refused.code(), reason(&refused));
            assert_eq!((said.0, said.1.as_str()), (Code::FailedPrecondition, "TOO_MANY_COPIES"));
        }
        assert_eq!(phone.devices().fork(known).await.unwrap().into_inner(), name, "who has a name gets it again");
        street.server.stop().await;
    }

    /// 8
    async fn a_reassigned_phone_drops_the_old_area_and_its_work_there_is_still_taken(database: &TestDatabase) {
        let street = Street::start(database).await;
        let south = street.server.area("South", None).await;
        let there = street.server.dwelling(south, "9-9-909").await;
        let mut phone = street.phone().await;
        phone.pull().await;
        let before = phone.seal(street.visit());
        let assign = v1::AssignRequest { device: phone.id.to_string(), areas: vec![south.to_string()] };
        street.server.admin.devices().assign(assign).await.unwrap();
        let answer = phone.send(vec![before]).await.unwrap();
        assert_eq!(outcomes(&answer.verdicts), [(Outcome::Applied, "")]);
        assert_eq!(left_areas(&answer.feed), [street.area.to_string()]);
        assert!(phone.records_in(street.area).is_empty());
        assert!(phone.records.contains_key(&there), "it is filled with its new area");
        let after = phone.act(vec![street.visit()]).await;
        assert_eq!(outcomes(&after), [(Outcome::Quarantined, "NOT_IN_SCOPE")]);
        assert!(phone.pull().await.is_empty(), "an area is dropped once");
        street.server.stop().await;
    }

    /// 8
    async fn each_op_of_a_call_is_judged_by_the_areas_that_its_author_knew_of(database: &TestDatabase) {
        let street = Street::start(database).await;
        let south = street.server.area("South", None).await;
        let mut phone = street.phone().await;
        phone.pull().await;
        let before = phone.seal(street.visit());
        let assign = v1::AssignRequest { device: phone.id.to_string(), areas: vec![south.to_string()] };
        street.server.admin.devices().assign(assign).await.unwrap();
        phone.pull().await;
        let after = phone.seal(street.visit());
        let answer = phone.send(vec![before, after]).await.unwrap();
        let judged = [(Outcome::Applied, ""), (Outcome::Quarantined, "NOT_IN_SCOPE")];
        assert_eq!(outcomes(&answer.verdicts), judged);
        street.server.stop().await;
    }

    /// 8
    async fn no_byte_of_an_area_reaches_a_device_outside_its_membership(database: &TestDatabase) {
        let server = TestServer::start(database).await;
        let district = server.area("District", None).await;
        let north = server.area("North", Some(district)).await;
        let south = server.area("South", Some(district)).await;
        let word = body::Term { vocabulary: "request_category".into(), word: "lift".into(), ..Default::default() };
        let word = server.add(district, Body::Term(word)).await;
        let above = server.dwelling(district, "0-0-000").await;
        let beside = server.dwelling(south, "9-9-909").await;
        let here = server.dwelling(north, "4-2-301").await;
        let mut phone = server.enrol(Role::Field, &[north]).await;
        phone.pull().await;
        let has: BTreeSet<RecordId> = phone.records.keys().copied().collect();
        let own = BTreeSet::from([district.into(), north.into(), word, here]);
        assert_eq!(has, own, "its area, the tree above, and what is kept once for all below");
        for (id, name) in [(above, "above"), (beside, "beside"), (RecordId(uuid::Uuid::from_u128(1)), "absent")] {
            let refused = phone.get(id).await.unwrap_err();
            assert_eq!((refused.code(), refused.message()), (Code::NotFound, "there is no such record in your areas"), "{name}");
        }
        let forged = phone.act(vec![visit(south, beside), visit(north, beside)]).await;
        assert_eq!(forged[0].reason, "NOT_IN_SCOPE");
        let edit = Act::edit(beside, north, Kind::Place, "name", "9-9-909".into(), "mine".into());
        assert_eq!(outcomes(&phone.act(vec![edit]).await), [(Outcome::Quarantined, "NOT_IN_SCOPE")], "under an own area's name");
        server.stop().await;
    }

    /// 8
    async fn a_record_that_moves_leaves_the_phones_of_its_old_area(database: &TestDatabase) {
        let street = Street::start(database).await;
        let south = street.server.area("South", None).await;
        let mut stays = street.phone().await;
        let mut gets = street.server.enrol(Role::Field, &[south]).await;
        stays.pull().await;
        let late = stays.seal(street.renamed("4-2-301", "4-2-301 A"));
        let moved = Act::on(street.dwelling, street.area, Kind::Place, Action::Move { to: south });
        street.server.admin.change(vec![moved.op(&street.server.clock)]).await;
        stays.pull().await;
        gets.pull().await;
        assert!(!stays.records.contains_key(&street.dwelling));
        assert!(gets.records.contains_key(&street.dwelling));
        let answer = stays.send(vec![late]).await.unwrap();
        assert_eq!(outcomes(&answer.verdicts), [(Outcome::Applied, "")], "recorded before the move was known");
        assert!(answer.feed.is_empty());
        gets.pull().await;
        assert_eq!(place_name(&gets.records[&street.dwelling]), "4-2-301 A");
        street.server.stop().await;
    }

    /// 4
    async fn after_something_left_an_area_the_others_are_read_before_the_pull_ends(database: &TestDatabase) {
        let street = Street::start(database).await;
        let south = street.server.area("South", None).await;
        let away = street.server.area("Away", None).await;
        let mut phone = street.server.enrol(Role::Field, &[street.area, south]).await;
        phone.pull().await;
        let moved = Act::on(street.dwelling, street.area, Kind::Place, Action::Move { to: away });
        street.server.admin.change(vec![moved.op(&street.server.clock)]).await;
        // It might have gone to the other area after it was seen that nothing is new there.
        assert!(phone.send(Vec::new()).await.unwrap().more);
        assert!(!phone.send(Vec::new()).await.unwrap().more);
        street.server.stop().await;
    }

    /// 10
    async fn a_phone_at_1970_is_taken_as_it_is(database: &TestDatabase) {
        let street = Street::start(database).await;
        let mut phone = street.phone().await;
        let clock = rounds_domain::ClockReading { wall_ms: 3_600_000, boot: 7, monotonic_ms: 60_000 };
        let recorded = Op { clock, ..street.visit().op(&street.server.clock) };
        let unknown = Op { clock: rounds_domain::ClockReading { boot: 6, ..clock }, ..street.visit().op(&street.server.clock) };
        let ops = vec![phone.seal_op(&unknown), phone.seal_op(&recorded)];
        let request = v1::SyncRequest {
            ops,
            clock: Some(v1::ClockReading { wall_ms: 3_600_000, boot: 7, monotonic_ms: 120_000 }),
            ..Default::default()
        };
        let answer = phone.sync().sync(request).await.unwrap().into_inner();
        assert_eq!(outcomes(&answer.verdicts), [(Outcome::Applied, ""), (Outcome::Applied, "")]);
        let history = async |op: &Op| {
            let list = v1::ListOpsRequest { record: op.record.to_string(), ..Default::default() };
            street.server.admin.history().list_ops(list).await.unwrap().into_inner().entries.remove(0)
        };
        let known = history(&recorded).await;
        assert_eq!(known.at_ms, street.server.clock.now_ms(), "no earlier than the op before it");
        assert_eq!(known.op.unwrap().clock.unwrap().wall_ms, 3_600_000, "what the phone said is kept");
        assert!(history(&unknown).await.time_doubtful);
        street.server.stop().await;
    }

    /// 4
    async fn a_finished_pull_holds_every_commit_up_to_its_heads_while_others_write(database: &TestDatabase) {
        let street = Street::start(database).await;
        let mut reader = street.phone().await;
        let mut writers = Vec::new();
        for _ in 0..4 {
            writers.push(street.phone().await);
        }
        let writing = futures_util::future::join_all(writers.iter_mut().map(async |writer| {
            for _ in 0..10 {
                let acts = (0..15).map(|_| street.visit()).collect();
                writer.act(acts).await;
            }
        }));
        let reading = async {
            for _ in 0..30 {
                let request = v1::SyncRequest {
                    cursor: reader.cursor.clone(),
                    page_records_max: 10,
                    ..Default::default()
                };
                let answer = reader.sync().sync(request).await.unwrap().into_inner();
                reader.take(&answer);
            }
        };
        tokio::join!(writing, reading);
        reader.pull().await;
        let mut fresh = street.phone().await;
        fresh.pull().await;
        assert_eq!(reader.records, fresh.records);
        assert_eq!(reader.records.len(), 4 * 10 * 15 + 2);
        street.server.stop().await;
    }

    /// 5
    async fn a_sync_with_nothing_new_answers_nothing(database: &TestDatabase) {
        let street = Street::start(database).await;
        let mut phone = street.phone().await;
        phone.act(vec![street.visit()]).await;
        phone.pull().await;
        let cursor = phone.cursor.clone();
        let answer = phone.send(Vec::new()).await.unwrap();
        assert!(answer.feed.is_empty() && answer.verdicts.is_empty() && !answer.more);
        assert_eq!(answer.cursor, cursor);
        assert_eq!(answer.acknowledged_through, 1);
        street.server.stop().await;
    }

    /// 9
    async fn a_late_phone_brings_nothing_back_that_was_deleted(database: &TestDatabase) {
        let street = Street::start(database).await;
        let (mut late, mut other) = (street.phone().await, street.phone().await);
        late.pull().await;
        let edit = late.seal(street.renamed("4-2-301", "back again"));
        let gone = Act::on(street.dwelling, street.area, Kind::Place, Action::Delete { reason: "torn down".into() });
        street.server.admin.change(vec![gone.op(&street.server.clock)]).await;
        street.server.clock.advance(Duration::from_secs(1));
        let again = late.seal(Act::create_with_id(street.dwelling, street.area, Body::Place(body::Place {
            name: "4-2-301".into(),
            sort: "dwelling".into(),
            ..Default::default()
        })));
        late.send(vec![edit, again]).await.unwrap();
        other.pull().await;
        let record = &other.records[&street.dwelling];
        assert!(record.deleted && record.body.is_none(), "{record:?}");
        street.server.stop().await;
    }

    async fn acknowledged_ops_may_be_forgotten_after_the_days_that_they_are_kept(database: &TestDatabase) {
        let street = Street::start(database).await;
        let day = Duration::from_secs(24 * 60 * 60);
        let mut phone = street.phone().await;
        phone.act(vec![street.visit()]).await;
        assert_eq!(phone.send(Vec::new()).await.unwrap().safe_to_forget_through, 0);
        street.server.clock.advance(7 * day);
        assert_eq!(phone.send(Vec::new()).await.unwrap().safe_to_forget_through, 1);
        street.server.stop().await;
    }

    async fn a_tree_of_areas_and_what_is_in_them_comes_in_one_call(database: &TestDatabase) {
        let server = TestServer::start(database).await;
        let district = server.area("District", None).await;
        let mut coordinator = server.enrol(Role::Coordinator, &[district]).await;
        let child = |parent: AreaId| {
            let id = AreaId(rounds_tests::new_id());
            let body = body::Area {
                name: "Cell".into(),
                parent: Some(parent.into()),
                time_zone: "Asia/Shanghai".into(),
                ..Default::default()
            };
            (id, Act::create_with_id(id.into(), id, Body::Area(body)))
        };
        let (cell, planted) = child(district);
        let (inner, below) = child(cell);
        let place = body::Place { name: "1-1-101".into(), sort: "dwelling".into(), ..Default::default() };
        let filled = Act::create(inner, Body::Place(place));
        let dwelling = filled.record();
        let verdicts = coordinator.act(vec![planted, below, filled]).await;
        assert_eq!(outcomes(&verdicts), [(Outcome::Applied, ""); 3]);
        coordinator.pull().await;
        assert!(coordinator.records.contains_key(&dwelling));
        let (_, root) = child(AreaId(rounds_tests::new_id()));
        assert_eq!(outcomes(&coordinator.act(vec![root]).await), [(Outcome::Quarantined, "NOT_IN_SCOPE")]);
        server.stop().await;
    }

    /// 8
    async fn whoever_knows_an_areas_id_cannot_make_it_a_child_of_an_own_one(database: &TestDatabase) {
        let server = TestServer::start(database).await;
        let north = server.area("North", None).await;
        let south = server.area("South", None).await;
        let mut coordinator = server.enrol(Role::Coordinator, &[north]).await;
        let body = body::Area {
            name: "South".into(),
            parent: Some(north.into()),
            time_zone: "Asia/Shanghai".into(),
            ..Default::default()
        };
        let claim = Act::create_with_id(south.into(), south, Body::Area(body));
        let place = body::Place { name: "mine".into(), sort: "dwelling".into(), ..Default::default() };
        let verdicts = coordinator.act(vec![claim, Act::create(south, Body::Place(place))]).await;
        assert_eq!(outcomes(&verdicts), [(Outcome::Quarantined, "NOT_IN_SCOPE"); 2]);
        server.stop().await;
    }

    async fn a_page_of_large_records_stays_below_what_clients_take(database: &TestDatabase) {
        let street = Street::start(database).await;
        let mut author = street.server.enrol(Role::Coordinator, &[street.area]).await;
        let large = || {
            let attributes = (0..256).map(|n| body::Attribute { name: format!("{n}"), value: "长".repeat(60) });
            Act::create(street.area, Body::Asset(body::Asset {
                name: "Elevator".into(),
                sort: "elevator".into(),
                attributes: attributes.collect(),
                ..Default::default()
            }))
        };
        author.act((0..70).map(|_| large()).collect()).await;
        author.act((0..70).map(|_| large()).collect()).await;
        let mut phone = street.phone().await;
        let mut pages = 0;
        loop {
            let answer = phone.send(Vec::new()).await.unwrap();
            assert!(answer.encoded_len() < 4 * 1024 * 1024, "{} bytes", answer.encoded_len());
            pages += 1;
            if !answer.more {
                break;
            }
        }
        assert!(pages > 1);
        assert_eq!(phone.records.len(), 142);
        street.server.stop().await;
    }
}

#[tokio::test]
async fn a_cursor_of_nobody_is_refused_and_says_to_begin_anew() {
    let street = Street::start_on_sqlite().await;
    let mut phone = street.phone().await;
    phone.cursor = b"not a cursor".to_vec();
    let refused = phone.send(Vec::new()).await.unwrap_err();
    assert_eq!((refused.code(), reason(&refused).as_str()), (Code::InvalidArgument, "CURSOR_INVALID"));
    phone.cursor.clear();
    assert!(phone.send(Vec::new()).await.is_ok());
    street.server.stop().await;
}

#[tokio::test]
async fn ops_of_a_device_that_does_not_know_of_a_restore_wait_until_it_does() {
    let street = Street::start_on_sqlite().await;
    let mut phone = street.phone().await;
    let op = phone.seal(street.visit());
    let other_epoch = [&[0x0a, 16][..], &[7; 16]].concat(); // a cursor with no area in it
    phone.cursor = other_epoch;
    let answer = phone.send(vec![op.clone()]).await.unwrap();
    assert_eq!(outcomes(&answer.verdicts), [(Outcome::Retry, "BEHIND")]);
    assert_eq!(answer.acknowledged_through, 0);
    let answer = phone.send(vec![op]).await.unwrap();
    assert_eq!(outcomes(&answer.verdicts), [(Outcome::Applied, "")]);
    street.server.stop().await;
}

#[tokio::test]
async fn a_cursor_grants_nothing() {
    let server = TestServer::start_on_sqlite().await;
    let north = server.area("North", None).await;
    let south = server.area("South", None).await;
    server.dwelling(south, "9-9-909").await;
    let mut insider = server.enrol(Role::Field, &[south]).await;
    let request = v1::SyncRequest { page_records_max: 1, ..Default::default() };
    insider.take(&insider.sync().sync(request).await.unwrap().into_inner());
    let mut phone = server.enrol(Role::Field, &[north]).await;
    phone.cursor = insider.cursor.clone();
    let feed = phone.pull().await;
    assert_eq!(left_areas(&feed), [south.to_string()]);
    assert!(phone.records_in(south).is_empty());
    server.stop().await;
}

#[tokio::test]
async fn an_edit_of_what_it_says_already_is_merged() {
    let street = Street::start_on_sqlite().await;
    let mut phone = street.phone().await;
    let same = Act::edit(street.dwelling, street.area, Kind::Place, "name", Value::Null, json!("4-2-301"));
    assert_eq!(outcomes(&phone.act(vec![same]).await), [(Outcome::Merged, "")]);
    street.server.stop().await;
}
