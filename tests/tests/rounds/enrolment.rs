//! Codes, tokens, revocation, assignment.

use http_body_util::Full;
use hyper::header::{CONTENT_TYPE, COOKIE, ORIGIN, SET_COOKIE};
use hyper::{Request, StatusCode};
use rounds_domain::{Action, Body, DeviceId, Kind, RecordId, Role, body};
use rounds_proto::v1;
use rounds_server::limit::LIST_MAX;
use rounds_tests::{Act, Peer, TestServer, http, on_both_databases, reason, visit};
use std::time::Duration;
use tonic::Code;

on_both_databases! {
    async fn a_code_works_once(database: &TestDatabase) {
        let server = TestServer::start(database).await;
        let area = server.area("North", None).await;
        let code = server.code(Role::Field, &[area]).await;
        let enrol = async || Peer::enrol(server.channel().await, server.clock.clone(), &code).await;
        assert!(enrol().await.is_ok());
        let refused = enrol().await.err().unwrap();
        assert_eq!((refused.code(), reason(&refused).as_str()), (Code::Unauthenticated, "CODE_INVALID"));
        server.stop().await;
    }

    async fn of_two_that_use_a_code_at_once_one_gets_in(database: &TestDatabase) {
        let server = TestServer::start(database).await;
        let area = server.area("North", None).await;
        let code = server.code(Role::Field, &[area]).await;
        let (first, second) = (server.channel().await, server.channel().await);
        let (first, second) = tokio::join!(
            Peer::enrol(first, server.clock.clone(), &code),
            Peer::enrol(second, server.clock.clone(), &code),
        );
        assert_ne!(first.is_ok(), second.is_ok());
        server.stop().await;
    }

    async fn a_code_is_good_until_its_time_and_not_after(database: &TestDatabase) {
        let server = TestServer::start(database).await;
        let area = server.area("North", None).await;
        let request = v1::CreateCodeRequest {
            role: v1::Role::Field.into(),
            areas: vec![area.to_string()],
            valid_seconds: 60,
            ..v1::CreateCodeRequest::default()
        };
        let in_time = server.code_for(request.clone()).await;
        let late = server.code_for(request).await;
        server.clock.advance(Duration::from_millis(59_999));
        assert!(Peer::enrol(server.channel().await, server.clock.clone(), &in_time).await.is_ok());
        server.clock.advance(Duration::from_millis(1));
        let refused = Peer::enrol(server.channel().await, server.clock.clone(), &late).await.err().unwrap();
        assert_eq!(reason(&refused), "CODE_INVALID");
        server.stop().await;
    }

    async fn a_code_is_good_for_nothing_once_the_device_that_made_it_is_revoked(database: &TestDatabase) {
        let server = TestServer::start(database).await;
        let area = server.area("North", None).await;
        let coordinator = server.enrol(Role::Coordinator, &[area]).await;
        let request = v1::CreateCodeRequest {
            role: v1::Role::Field.into(),
            areas: vec![area.to_string()],
            ..v1::CreateCodeRequest::default()
        };
        let code = coordinator.devices().create_code(request).await.unwrap().into_inner().code;
        let of_another = server.code(Role::Field, &[area]).await;
        let revoke = v1::RevokeRequest { device: coordinator.id.to_string() };
        server.admin.devices().revoke(revoke).await.unwrap();
        let refused = Peer::enrol(server.channel().await, server.clock.clone(), &code).await.err().unwrap();
        assert_eq!((refused.code(), reason(&refused).as_str()), (Code::Unauthenticated, "CODE_INVALID"));
        assert!(Peer::enrol(server.channel().await, server.clock.clone(), &of_another).await.is_ok());
        server.stop().await;
    }

    async fn a_code_is_good_for_nothing_once_the_device_that_made_it_lost_an_area(database: &TestDatabase) {
        let server = TestServer::start(database).await;
        let north = server.area("North", None).await;
        let south = server.area("South", None).await;
        let coordinator = server.enrol(Role::Coordinator, &[north, south]).await;
        let make = async |area: rounds_domain::AreaId| {
            let areas = vec![area.to_string()];
            let request = v1::CreateCodeRequest { role: v1::Role::Field.into(), areas, ..Default::default() };
            coordinator.devices().create_code(request).await.unwrap().into_inner().code
        };
        let assign = async |areas: &[rounds_domain::AreaId]| {
            let areas = areas.iter().map(ToString::to_string).collect();
            let request = v1::AssignRequest { device: coordinator.id.to_string(), areas };
            server.admin.devices().assign(request).await.unwrap();
        };
        let enrol = async |code: &str| Peer::enrol(server.channel().await, server.clock.clone(), code).await;
        let code = make(south).await;
        let of_another = server.code(Role::Field, &[south]).await;
        assign(&[north]).await;
        let refused = enrol(&code).await.err().unwrap();
        assert_eq!((refused.code(), reason(&refused).as_str()), (Code::Unauthenticated, "CODE_INVALID"));
        assert!(enrol(&of_another).await.is_ok());

        let code = make(north).await;
        assign(&[north, south]).await;
        assert!(enrol(&code).await.is_ok(), "an area more takes nothing away");
        server.stop().await;
    }

    async fn a_revoked_device_is_refused_by_every_service_but_the_one_that_takes_its_last_ops(database: &TestDatabase) {
        let server = TestServer::start(database).await;
        let area = server.area("North", None).await;
        let mut phone = server.enrol(Role::Field, &[area]).await;
        let request = v1::RevokeRequest { device: phone.id.to_string() };
        server.admin.devices().revoke(request).await.unwrap();
        let refused = phone.get(area.into()).await.unwrap_err();
        assert_eq!((refused.code(), reason(&refused).as_str()), (Code::Unauthenticated, "DEVICE_REVOKED"));
        let refused = phone.devices().rotate(v1::RotateRequest {}).await.unwrap_err();
        assert_eq!(reason(&refused), "DEVICE_REVOKED");
        let refused = phone.sync().watch(v1::WatchRequest {}).await.err().unwrap();
        assert_eq!(reason(&refused), "DEVICE_REVOKED");
        let answer = phone.send(Vec::new()).await.unwrap();
        assert_eq!(answer.standing(), v1::DeviceStanding::Revoked);
        server.stop().await;
    }

    async fn revoking_twice_changes_nothing(database: &TestDatabase) {
        let server = TestServer::start(database).await;
        let area = server.area("North", None).await;
        let phone = server.enrol(Role::Field, &[area]).await;
        let revoke = async || {
            let request = v1::RevokeRequest { device: phone.id.to_string() };
            server.admin.devices().revoke(request).await.unwrap();
            let devices = server.admin.devices().list_devices(v1::ListDevicesRequest::default()).await.unwrap();
            let listed = devices.into_inner().devices.into_iter().find(|it| it.id == phone.id.to_string());
            listed.unwrap().revoked.unwrap()
        };
        let first = revoke().await;
        server.clock.advance(Duration::from_secs(5));
        assert_eq!(revoke().await, first, "the time of the first stays");
        server.stop().await;
    }

    async fn a_token_that_was_replaced_ends_at_once(database: &TestDatabase) {
        let server = TestServer::start(database).await;
        let area = server.area("North", None).await;
        let mut phone = server.enrol(Role::Field, &[area]).await;
        let old = phone.clone();
        phone.token = phone.devices().rotate(v1::RotateRequest {}).await.unwrap().into_inner().token;
        assert!(phone.get(area.into()).await.is_ok());
        let refused = old.get(area.into()).await.unwrap_err();
        assert_eq!((refused.code(), reason(&refused).as_str()), (Code::Unauthenticated, "TOKEN_UNKNOWN"));
        server.stop().await;
    }

    async fn a_list_of_devices_says_who_called_when_and_what_they_still_hold(database: &TestDatabase) {
        let server = TestServer::start(database).await;
        let area = server.area("North", None).await;
        let silent = server.enrol(Role::Field, &[area]).await;
        let mut phone = server.enrol(Role::Field, &[area]).await;
        let dwelling = server.dwelling(area, "4-2-301").await;
        let called_ms = server.clock.now_ms();
        let ops = vec![phone.seal(visit(area, dwelling))];
        let request = v1::SyncRequest { ops, unsent_ops: 7, clock: Some(phone.clocks()), ..Default::default() };
        phone.sync().sync(request).await.unwrap();
        let server = server.restart().await; // contacts are written soon, and before the store closes
        let listed = listed(&server, 100).await;
        let phone = listed.iter().find(|device| device.id == phone.id.to_string()).unwrap();
        assert_eq!(phone.last_contact, Some(rounds_proto::timestamp_to_wire(called_ms)));
        assert_eq!((phone.unsent_ops, phone.acknowledged_through), (6, 1));
        assert_eq!(phone.areas, [area.to_string()]);
        let silent = listed.iter().find(|device| device.id == silent.id.to_string()).unwrap();
        assert_eq!(silent.last_contact, None);
        server.stop().await;
    }

    async fn a_list_of_devices_comes_in_pages_and_leaves_none_out(database: &TestDatabase) {
        let server = TestServer::start(database).await;
        let area = server.area("North", None).await;
        for _ in 0..4 {
            server.enrol(Role::Field, &[area]).await;
        }
        let mut ids: Vec<String> = listed(&server, 2).await.into_iter().map(|device| device.id).collect();
        assert_eq!(ids.len(), 5);
        ids.dedup();
        assert_eq!(ids.len(), 5, "none comes twice");
        server.stop().await;
    }

    async fn a_code_needs_areas_that_its_maker_holds(database: &TestDatabase) {
        let server = TestServer::start(database).await;
        let north = server.area("North", None).await;
        let south = server.area("South", None).await;
        let coordinator = server.enrol(Role::Coordinator, &[north]).await;
        let code = async |role: v1::Role, areas: &[rounds_domain::AreaId]| {
            let areas = areas.iter().map(ToString::to_string).collect();
            let request = v1::CreateCodeRequest { role: role.into(), areas, ..Default::default() };
            coordinator.devices().create_code(request).await
        };
        assert!(code(v1::Role::Field, &[north]).await.is_ok());
        assert_eq!(code(v1::Role::Field, &[south]).await.unwrap_err().code(), Code::NotFound);
        assert_eq!(code(v1::Role::Field, &[north, south]).await.unwrap_err().code(), Code::NotFound);
        assert_eq!(code(v1::Role::Field, &[]).await.unwrap_err().code(), Code::InvalidArgument);
        assert_eq!(code(v1::Role::Admin, &[]).await.unwrap_err().code(), Code::PermissionDenied);
        assert_eq!(code(v1::Role::Unspecified, &[north]).await.unwrap_err().code(), Code::InvalidArgument);
        assert_eq!(code(v1::Role::Partner, &[north]).await.unwrap_err().code(), Code::InvalidArgument);
        server.stop().await;
    }

    async fn a_code_is_for_a_worker_and_an_organization_that_its_maker_sees(database: &TestDatabase) {
        let server = TestServer::start(database).await;
        let [north, south] = [server.area("North", None).await, server.area("South", None).await];
        let worker = || Body::Worker(body::Worker { name: "Lin".into(), ..Default::default() });
        let company = || Body::Organization(body::Organization { name: "Water".into(), ..Default::default() });
        let coordinator = server.enrol(Role::Coordinator, &[north]).await;
        let code = async |worker: Option<RecordId>, organization: Option<RecordId>| {
            let role = if organization.is_some() { v1::Role::Partner } else { v1::Role::Field };
            let name = |id: Option<RecordId>| id.map(|id| id.to_string()).unwrap_or_default();
            let request = v1::CreateCodeRequest {
                role: role.into(),
                areas: vec![north.to_string()],
                worker: name(worker),
                organization: name(organization),
                ..Default::default()
            };
            coordinator.devices().create_code(request).await.map_err(|refused| refused.code()).map(|_| ())
        };
        let [lin, water] = [server.add(north, worker()).await, server.add(north, company()).await];
        assert_eq!(code(Some(lin), None).await, Ok(()));
        assert_eq!(code(None, Some(water)).await, Ok(()));
        assert_eq!(code(Some(water), None).await, Err(Code::NotFound), "is no worker");
        assert_eq!(code(None, Some(lin)).await, Err(Code::NotFound), "is no organization");
        let [far, foreign] = [server.add(south, worker()).await, server.add(south, company()).await];
        assert_eq!(code(Some(far), None).await, Err(Code::NotFound), "of another area");
        assert_eq!(code(None, Some(foreign)).await, Err(Code::NotFound), "of another area");
        for (id, kind) in [(lin, Kind::Worker), (water, Kind::Organization)] {
            let delete = Action::Delete { reason: "left".into() };
            server.admin.change(vec![Act::on(id, north, kind, delete).op(&server.clock)]).await;
        }
        assert_eq!(code(Some(lin), None).await, Err(Code::NotFound), "deleted");
        assert_eq!(code(None, Some(water)).await, Err(Code::NotFound), "deleted");
        server.stop().await;
    }

    async fn nobody_revokes_or_assigns_what_the_server_does_by_itself(database: &TestDatabase) {
        let server = TestServer::start(database).await;
        let north = server.area("North", None).await;
        let worker = DeviceId(rounds_tests::new_id());
        let now_ms = server.clock.now_ms();
        server.store.internal_device(worker, "worker", Role::System, now_ms).await.unwrap();
        let device = worker.to_string();
        let revoke = v1::RevokeRequest { device: device.clone() };
        assert_eq!(server.admin.devices().revoke(revoke).await.unwrap_err().code(), Code::NotFound);
        let assign = v1::AssignRequest { device, areas: vec![north.to_string()] };
        assert_eq!(server.admin.devices().assign(assign).await.unwrap_err().code(), Code::NotFound);
        server.stop().await;
    }

    async fn a_device_is_assigned_by_who_holds_its_areas_and_the_new_ones(database: &TestDatabase) {
        let server = TestServer::start(database).await;
        let north = server.area("North", None).await;
        let south = server.area("South", None).await;
        let coordinator = server.enrol(Role::Coordinator, &[north]).await;
        let phone = server.enrol(Role::Field, &[north]).await;
        let other = server.enrol(Role::Field, &[south]).await;
        let assign = async |who: &Peer, device: &Peer, area: rounds_domain::AreaId| {
            let request = v1::AssignRequest { device: device.id.to_string(), areas: vec![area.to_string()] };
            who.devices().assign(request).await.map(|answer| answer.into_inner().scope_version)
        };
        assert_eq!(assign(&coordinator, &phone, south).await.unwrap_err().code(), Code::NotFound);
        assert_eq!(assign(&coordinator, &other, north).await.unwrap_err().code(), Code::NotFound);
        assert_eq!(assign(&server.admin, &phone, south).await.unwrap(), 2);
        assert_eq!(assign(&coordinator, &phone, north).await.unwrap_err().code(), Code::NotFound, "gone");
        let refused = assign(&server.admin, &server.admin, north).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument);
        server.stop().await;
    }
}

/// All devices, in pages of this size.
async fn listed(server: &TestServer, page_size: i32) -> Vec<v1::Device> {
    let mut devices = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = v1::ListDevicesRequest { page_size, page_token };
        let page = server.admin.devices().list_devices(request).await.unwrap().into_inner();
        assert!(page.devices.len() <= page_size as usize);
        devices.extend(page.devices);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return devices;
        }
    }
}

#[tokio::test]
async fn a_label_of_200_characters_is_taken_and_one_of_201_is_not() {
    let server = TestServer::start_on_sqlite().await;
    let area = server.area("North", None).await;
    let code = server.code(Role::Field, &[area]).await;
    let mut client =
        rounds_proto::v1::device_service_client::DeviceServiceClient::new(server.channel().await);
    for label in ["", "  ", &"楼".repeat(201), "a\nb"] {
        let request = v1::EnrolRequest { code: code.clone(), label: label.to_owned(), ..Default::default() };
        assert_eq!(client.enrol(request).await.unwrap_err().code(), Code::InvalidArgument, "{label:?}");
    }
    let request = v1::EnrolRequest {
        code: code.to_lowercase().replace('-', " "),
        label: "楼".repeat(200),
        ..Default::default()
    };
    client.enrol(request).await.unwrap();
    server.stop().await;
}

#[tokio::test]
async fn a_code_is_good_for_30_days_at_most() {
    let server = TestServer::start_on_sqlite().await;
    let area = server.area("North", None).await;
    let code = async |valid_seconds| {
        let areas = vec![area.to_string()];
        let role = v1::Role::Field.into();
        let request = v1::CreateCodeRequest { role, areas, valid_seconds, ..Default::default() };
        server.admin.devices().create_code(request).await.map(|answer| answer.into_inner().expires.unwrap())
    };
    let now = server.clock.now_ms() / 1_000;
    assert_eq!(code(0).await.unwrap().seconds, now + 24 * 60 * 60);
    assert_eq!(code(30 * 24 * 60 * 60).await.unwrap().seconds, now + 30 * 24 * 60 * 60);
    assert_eq!(code(30 * 24 * 60 * 60 + 1).await.unwrap_err().code(), Code::InvalidArgument);
    server.stop().await;
}

on_both_databases! {
    async fn a_code_may_be_for_each_worker_of_a_larger_city(database: &TestDatabase) {
        let server = TestServer::start(database).await;
        let area = server.area("North", None).await;
        let workers: Vec<Act> = (0..=LIST_MAX)
            .map(|n| {
                let worker = body::Worker { name: format!("Worker {n}"), ..body::Worker::default() };
                Act::create(area, Body::Worker(worker))
            })
            .collect();
        let ids: Vec<String> = workers.iter().map(|act| act.record().to_string()).collect();
        server.admin.change(workers.into_iter().map(|act| act.op(&server.clock)).collect()).await;

        let code = server.code(Role::Coordinator, &[area]).await;
        let sign_in = Request::post("/sign-in")
            .header("host", "localhost")
            .header(ORIGIN, "http://localhost")
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(Full::from(format!("code={code}&label=Browser&to=%2F")));
        let signed_in = http(&server, sign_in.unwrap()).await;
        let cookie = signed_in.headers()[SET_COOKIE].to_str().unwrap().split(';').next().unwrap();
        let request = Request::get("/devices/enrol").header("host", "localhost").header(COOKIE, cookie);
        let answer = http(&server, request.body(Full::default()).unwrap()).await;
        assert_eq!(answer.status(), StatusCode::OK);
        let page = std::str::from_utf8(answer.body()).unwrap();
        let missing: Vec<&String> =
            ids.iter().filter(|id| !page.contains(&format!("<option value=\"{id}\">"))).collect();
        assert_eq!(missing, Vec::<&String>::new());
        server.stop().await;
    }
}
