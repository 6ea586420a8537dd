//! Who may do what, where.

use prost::Message as _;
use rounds_domain::op::Step;
use rounds_domain::{Body, Kind, RecordId, Role, body};
use rounds_proto::v1::{self, Outcome};
use rounds_tests::{Act, Peer, TestServer, on_both_databases, reason, visit};
use std::collections::BTreeSet;
use tonic::{Code, Status};

fn code<T>(answer: Result<T, Status>) -> Code {
    answer.err().map_or(Code::Ok, |status| status.code())
}

#[tokio::test]
async fn each_role_may_make_the_calls_of_its_row_and_no_other() {
    let server = TestServer::start_on_sqlite().await;
    let area = server.area("North", None).await;
    let dwelling = server.dwelling(area, "4-2-301").await;
    let water = Body::Organization(body::Organization { name: "Water".into(), ..Default::default() });
    let water = server.add(area, water).await;
    let met = visit(area, dwelling);
    let visited = met.record();
    server.admin.change(vec![met.op(&server.clock)]).await;

    use Code::{NotFound, Ok, PermissionDenied};
    const NO: Code = PermissionDenied;
    let table: [(&str, [Code; 5]); 15] = [
        // of             field     coord. superv. partner   admin
        ("sync", [Ok, Ok, Ok, NO, Ok]),
        ("watch", [Ok, Ok, Ok, NO, Ok]),
        ("create_code", [NO, Ok, NO, NO, Ok]),
        ("list_devices", [NO, Ok, NO, NO, Ok]),
        ("revoke", [NO, Ok, NO, NO, Ok]),
        ("assign", [NO, Ok, NO, NO, Ok]),
        ("rotate", [Ok, Ok, Ok, Ok, Ok]),
        ("list_visits", [Ok, Ok, Ok, NO, Ok]),
        ("list_requests", [Ok, Ok, Ok, Ok, Ok]),
        ("get_visit", [Ok, Ok, Ok, NotFound, Ok]),
        ("change", [Ok, Ok, NO, NO, Ok]),
        ("list_terms", [Ok, Ok, Ok, Ok, Ok]),
        ("list_ops", [Ok, Ok, Ok, NO, Ok]),
        ("list_disputes", [NO, Ok, NO, NO, Ok]),
        ("list_quarantine", [NO, Ok, NO, NO, Ok]),
    ];
    let roles = [Role::Field, Role::Coordinator, Role::Supervisor, Role::Partner, Role::Admin];
    for (column, role) in roles.into_iter().enumerate() {
        let mut peer = match role {
            Role::Partner => server.enrol_partner(water, &[area]).await,
            Role::Admin => server.enrol(role, &[]).await,
            _ => server.enrol(role, &[area]).await,
        };
        for (call, expected) in &table {
            let target = server.enrol(Role::Field, &[area]).await.id.to_string();
            let areas = vec![area.to_string()];
            let list = |kind: v1::Kind| v1::ListRecordsRequest { kind: kind.into(), ..Default::default() };
            let answer = match *call {
                "sync" => code(peer.sync().sync(v1::SyncRequest::default()).await),
                "watch" => code(peer.sync().watch(v1::WatchRequest {}).await),
                "create_code" => {
                    let role = v1::Role::Field.into();
                    code(
                        peer.devices()
                            .create_code(v1::CreateCodeRequest { role, areas, ..Default::default() })
                            .await,
                    )
                }
                "list_devices" => code(peer.devices().list_devices(v1::ListDevicesRequest::default()).await),
                "revoke" => code(peer.devices().revoke(v1::RevokeRequest { device: target }).await),
                "assign" => code(peer.devices().assign(v1::AssignRequest { device: target, areas }).await),
                "rotate" => {
                    let answer = peer.devices().rotate(v1::RotateRequest {}).await;
                    if let Result::Ok(answer) = &answer {
                        peer.token.clone_from(&answer.get_ref().token);
                    }
                    code(answer)
                }
                "list_visits" => code(peer.directory().list_records(list(v1::Kind::Visit)).await),
                "list_requests" => code(peer.directory().list_records(list(v1::Kind::Request)).await),
                "get_visit" => code(peer.get(visited).await),
                "change" => code(peer.try_change(vec![visit(area, dwelling).op(&server.clock)], false).await),
                "list_terms" => code(peer.directory().list_terms(v1::ListTermsRequest::default()).await),
                "list_ops" => code(
                    peer.history()
                        .list_ops(v1::ListOpsRequest { record: visited.to_string(), ..Default::default() })
                        .await,
                ),
                "list_disputes" => {
                    code(peer.history().list_disputes(v1::ListDisputesRequest::default()).await)
                }
                "list_quarantine" => {
                    code(peer.history().list_quarantine(v1::ListQuarantineRequest::default()).await)
                }
                other => panic!("{other}"),
            };
            assert_eq!(answer, expected[column], "{call} by {}", role.name());
        }
    }
    server.stop().await;
}

#[tokio::test]
async fn a_supervisor_says_of_a_notice_that_it_was_seen_and_changes_nothing_else() {
    let server = TestServer::start_on_sqlite().await;
    let area = server.area("North", None).await;
    let dwelling = server.dwelling(area, "4-2-301").await;
    let notice = body::Notice {
        subject: Some(dwelling),
        sort: "overdue".into(),
        at_ms: Some(server.clock.now_ms()),
        role: "supervisor".into(),
        ..Default::default()
    };
    let notice = server.add(area, Body::Notice(notice)).await;
    let step = |to: &str| {
        let step = Step { to: to.into(), ..Default::default() };
        Act::step(notice, area, Kind::Notice, step)
    };
    let mut supervisor = server.enrol(Role::Supervisor, &[area]).await;
    let verdicts = supervisor.act(vec![step("withdrawn"), visit(area, dwelling), step("seen")]).await;
    let outcomes: Vec<_> = verdicts.iter().map(v1::Verdict::outcome).collect();
    assert_eq!(outcomes, [Outcome::Quarantined, Outcome::Quarantined, Outcome::Applied]);
    assert_eq!(supervisor.get(notice).await.unwrap().status, "seen");
    server.stop().await;
}

on_both_databases! {
    async fn a_partner_answers_for_what_was_referred_to_it(database: &TestDatabase) {
        let server = TestServer::start(database).await;
        let area = server.area("North", None).await;
        let organization = async |name: &str| {
            let body = body::Organization { name: name.into(), ..Default::default() };
            server.add(area, Body::Organization(body)).await
        };
        let (water, power) = (organization("Water").await, organization("Power").await);
        let raised = async |to: Option<RecordId>| {
            let body = body::Request { category: "water".into(), channel: "phone".into(), ..Default::default() };
            let request = server.add(area, Body::Request(body)).await;
            let due_at_ms = Some(server.clock.now_ms());
            let triaged = Step { to: "triaged".into(), ..Default::default() };
            let referred = Step { to: "referred".into(), organization: to, due_at_ms, ..Default::default() };
            for step in [Some(triaged), to.map(|_| referred)].into_iter().flatten() {
                let step = Act::step(request, area, Kind::Request, step).op(&server.clock);
                assert_eq!(server.admin.change(vec![step]).await[0].outcome(), Outcome::Applied);
            }
            request
        };
        let ours = raised(Some(water)).await;
        let theirs = raised(Some(power)).await;
        let nobodys = raised(None).await;
        let partner = server.enrol_partner(water, &[area]).await;
        let request = v1::ListRecordsRequest { kind: v1::Kind::Request.into(), page_size: 1, ..Default::default() };
        let listed = partner.directory().list_records(request).await.unwrap().into_inner().records;
        assert_eq!(listed.iter().map(|record| record.id.as_str()).collect::<Vec<_>>(), [ours.to_string()]);
        let step = async |request: RecordId, to: &str| {
            let step = Step { to: to.into(), ..Default::default() };
            partner.try_change(vec![Act::step(request, area, Kind::Request, step).op(&server.clock)], false).await
        };
        for other in [theirs, nobodys, RecordId(rounds_tests::new_id())] {
            assert_eq!(partner.get(other).await.unwrap_err().code(), Code::NotFound);
            assert_eq!(reason(&step(other, "in_progress").await.unwrap_err()), "NOT_IN_SCOPE");
        }
        assert_eq!(step(ours, "resolved").await.unwrap()[0].outcome(), Outcome::Applied);
        assert_eq!(reason(&step(ours, "verified").await.unwrap_err()), "FORBIDDEN", "verified is the team's word");
        assert_eq!(partner.get(ours).await.unwrap().status, "resolved");
        assert_eq!(step(ours, "triaged").await.unwrap()[0].outcome(), Outcome::NotApplied);
        server.stop().await;
    }

    async fn a_list_of_records_is_of_the_callers_areas_and_of_what_it_asks(database: &TestDatabase) {
        let server = TestServer::start(database).await;
        let district = server.area("District", None).await;
        let north = server.area("North", Some(district)).await;
        let south = server.area("South", Some(district)).await;
        for (area, name) in [(district, "0"), (north, "1"), (north, "2"), (south, "3")] {
            server.dwelling(area, name).await;
        }
        let coordinator = server.enrol(Role::Coordinator, &[north]).await;
        let names = async |who: &Peer, request: v1::ListRecordsRequest| {
            let mut names = Vec::new();
            let mut request = v1::ListRecordsRequest { kind: v1::Kind::Place.into(), page_size: 1, ..request };
            loop {
                let page = who.directory().list_records(request.clone()).await?.into_inner();
                for record in page.records {
                    let Some(v1::body::Body::Place(place)) = record.body.unwrap().body else { panic!() };
                    names.push(place.name);
                }
                request.page_token = page.next_page_token;
                if request.page_token.is_empty() {
                    names.sort();
                    return Ok::<_, Status>(names.concat());
                }
            }
        };
        let all = v1::ListRecordsRequest::default();
        let of = |area: rounds_domain::AreaId, subtree| v1::ListRecordsRequest {
            area: area.to_string(),
            subtree,
            ..Default::default()
        };
        assert_eq!(names(&server.admin, all.clone()).await.unwrap(), "0123");
        assert_eq!(names(&server.admin, of(district, false)).await.unwrap(), "0");
        assert_eq!(names(&server.admin, of(district, true)).await.unwrap(), "0123");
        assert_eq!(names(&coordinator, all).await.unwrap(), "12");
        assert_eq!(names(&coordinator, of(north, true)).await.unwrap(), "12");
        assert_eq!(names(&coordinator, of(south, true)).await.unwrap_err().code(), Code::NotFound);
        assert_eq!(names(&coordinator, of(district, true)).await.unwrap_err().code(), Code::NotFound);
        server.stop().await;
    }

    async fn a_list_of_large_records_comes_in_pages_and_leaves_none_out(database: &TestDatabase) {
        let server = TestServer::start(database).await;
        let area = server.area("North", None).await;
        let mut raised = BTreeSet::new();
        for _ in 0..3 {
            let requests = std::iter::repeat_with(|| {
                let (category, channel) = ("water".to_owned(), "visit".to_owned());
                let description = "\u{1f333}".repeat(4_000);
                let body = body::Request { category, channel, description, ..Default::default() };
                Act::create(area, Body::Request(body)).op(&server.clock)
            });
            let requests: Vec<_> = requests.take(100).collect();
            raised.extend(requests.iter().map(|op| op.record.to_string()));
            server.admin.change(requests).await;
        }
        let kind = v1::Kind::Request.into();
        let mut request = v1::ListRecordsRequest { kind, page_size: 1_000, ..Default::default() };
        let mut listed = Vec::new();
        loop {
            let page = server.admin.directory().list_records(request.clone()).await.unwrap().into_inner();
            assert!(page.encoded_len() < 4 * 1024 * 1024, "what clients take by default");
            listed.extend(page.records.into_iter().map(|record| record.id));
            request.page_token = page.next_page_token;
            if request.page_token.is_empty() {
                break;
            }
        }
        assert_eq!(listed.len(), raised.len());
        assert_eq!(listed.into_iter().collect::<BTreeSet<_>>(), raised);
        server.stop().await;
    }

    async fn a_record_is_found_by_its_printed_code_and_by_its_key_in_a_register(database: &TestDatabase) {
        let server = TestServer::start(database).await;
        let area = server.area("North", None).await;
        let lift = server.add(area, Body::Asset(body::Asset {
            name: "Lift 2".into(),
            sort: "elevator".into(),
            code: "QR-77".into(),
            external_ref: "1P100".into(),
            ..Default::default()
        })).await;
        let found = async |request: v1::ListRecordsRequest| {
            let request = v1::ListRecordsRequest { kind: v1::Kind::Asset.into(), ..request };
            let answer = server.admin.directory().list_records(request).await.unwrap().into_inner();
            answer.records.into_iter().map(|record| record.id).collect::<Vec<_>>()
        };
        let by = |code: &str, external_ref: &str| v1::ListRecordsRequest {
            code: code.into(),
            external_ref: external_ref.into(),
            ..Default::default()
        };
        assert_eq!(found(by("QR-77", "")).await, [lift.to_string()]);
        assert_eq!(found(by("", "1P100")).await, [lift.to_string()]);
        assert!(found(by("QR-77", "1P101")).await.is_empty());
        server.stop().await;
    }

    async fn a_citys_own_words_join_the_built_in_ones_and_may_replace_them(database: &TestDatabase) {
        let server = TestServer::start(database).await;
        let area = server.area("North", None).await;
        let term = |word: &str, label: &str| Body::Term(body::Term {
            vocabulary: "visit_outcome".into(),
            word: word.into(),
            label_en: label.into(),
            ..Default::default()
        });
        server.add(area, term("asleep", "Asleep")).await;
        server.add(area, term("met", "Spoken to")).await;
        let phone = server.enrol(Role::Field, &[area]).await;
        let terms = async |vocabulary: &str| {
            let request = v1::ListTermsRequest { vocabulary: vocabulary.into() };
            phone.directory().list_terms(request).await.unwrap().into_inner().terms
        };
        let labels: Vec<String> = terms("visit_outcome").await.into_iter().map(|term| term.label_en).collect();
        assert_eq!(labels, ["Asleep", "Spoken to", "Moved away", "No answer", "Refused"]);
        assert!(terms("").await.len() > 30);
        assert!(terms("no such vocabulary").await.is_empty());
        server.stop().await;
    }
}

#[tokio::test]
async fn coordinators_do_not_move_records_into_areas_of_others() {
    let server = TestServer::start_on_sqlite().await;
    let north = server.area("North", None).await;
    let south = server.area("South", None).await;
    let dwelling = server.dwelling(north, "4-2-301").await;
    let coordinator = server.enrol(Role::Coordinator, &[north]).await;
    let moved = rounds_domain::Action::Move { to: south };
    let moved = Act::on(dwelling, north, Kind::Place, moved).op(&server.clock);
    let refused = coordinator.try_change(vec![moved], false).await.unwrap_err();
    assert_eq!(reason(&refused), "NOT_IN_SCOPE");
    server.stop().await;
}

#[tokio::test]
async fn coordinators_do_not_change_what_was_moved_out_of_their_areas() {
    let server = TestServer::start_on_sqlite().await;
    let north = server.area("North", None).await;
    let west = server.area("West", None).await;
    let south = server.area("South", None).await;
    let body = body::Request { category: "water".into(), channel: "phone".into(), ..Default::default() };
    let request = server.add(north, Body::Request(body)).await;
    let coordinator = server.enrol(Role::Coordinator, &[north, west]).await;
    let move_to = |from, to| Act::on(request, from, Kind::Request, rounds_domain::Action::Move { to });
    let verdicts = server.admin.change(vec![move_to(north, south).op(&server.clock)]).await;
    assert_eq!(verdicts[0].outcome(), Outcome::Applied);
    let triaged = Step { to: "triaged".into(), ..Default::default() };
    for act in [
        Act::edit(request, north, Kind::Request, "description", serde_json::Value::Null, "mine".into()),
        Act::step(request, north, Kind::Request, triaged),
        move_to(north, west),
        move_to(south, north),
    ] {
        let refused = coordinator.try_change(vec![act.clone().op(&server.clock)], false).await.unwrap_err();
        assert_eq!(reason(&refused), "NOT_IN_SCOPE", "{act:?}");
    }
    let record = server.store.record(request).await.unwrap().unwrap().record;
    assert_eq!((record.area, record.status.as_str(), record.text("description")), (south, "open", ""));
    server.stop().await;
}
