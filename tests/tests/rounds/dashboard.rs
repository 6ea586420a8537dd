//! The dashboard, as a browser uses it.

mod conflicts;
mod figures;
mod lists;

use http_body_util::{BodyExt as _, Full};
use hyper::header::{ACCEPT_LANGUAGE, CONTENT_TYPE, COOKIE, LOCATION, ORIGIN, SET_COOKIE};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use prost::bytes::Bytes;
use rounds_domain::{Action, AreaId, Body, Kind, RecordId, Role, body};
use rounds_proto::v1;
use rounds_store::{
    AuditAction, AuditFilter, Channel, DeliveryState, Device, DeviceFilter, NewDelivery, Tried,
};
use rounds_tests::{Act, Peer, TestDatabase, TestServer, http, new_id, on_both_databases, visit};
use std::time::{Duration, Instant};
use tokio::net::TcpStream;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const DAY_MS: i64 = 24 * 60 * 60 * 1_000;

/// Every page that lists something, and who coordinates may see it.
const PAGES: [&str; 8] =
    ["/", "/follow-ups", "/referrals", "/conflicts", "/quarantine", "/devices", "/devices/enrol", "/jobs"];

/// A server with two areas.
struct Town {
    server: TestServer,
    north: AreaId,
    south: AreaId,
    dwelling: RecordId,
}

/// A browser, with its cookies and the language that it would rather read.
#[derive(Clone)]
struct Browser<'a> {
    server: &'a TestServer,
    cookie: String,
    language: &'static str,
}

impl Town {
    async fn on(database: &TestDatabase) -> Self {
        Self::of(TestServer::start(database).await).await
    }

    async fn on_sqlite() -> Self {
        Self::of(TestServer::start_on_sqlite().await).await
    }

    async fn of(server: TestServer) -> Self {
        let north = server.area("North", None).await;
        let south = server.area("South", None).await;
        let dwelling = server.dwelling(north, "4-2-301").await;
        Self { server, north, south, dwelling }
    }

    fn stranger(&self) -> Browser<'_> {
        Browser { server: &self.server, cookie: String::new(), language: "en" }
    }

    /// A browser that signed in with this role for North.
    async fn browser(&self, role: Role) -> Browser<'_> {
        let areas = if role == Role::Admin { &[][..] } else { &[self.north] };
        let code = self.server.code(role, areas).await;
        let answer = self.stranger().sign_in(&code).await;
        assert_eq!(answer.status(), StatusCode::SEE_OTHER, "{answer:?}");
        Browser { cookie: cookie_of(&answer), ..self.stranger() }
    }

    fn renamed(&self, name: &str) -> Act {
        Act::edit(self.dwelling, self.north, Kind::Place, "name", "4-2-301".into(), name.into())
    }

    /// Two phones rename the dwelling without knowing of each other: B holds, A was before.
    async fn conflict(&self) -> (Peer, Peer) {
        let mut one = self.server.enrol(Role::Field, &[self.north]).await;
        let mut other = self.server.enrol(Role::Field, &[self.north]).await;
        one.act(vec![self.renamed("A")]).await;
        self.server.clock.advance(Duration::from_secs(1));
        other.act(vec![self.renamed("B")]).await;
        self.server.clock.advance(Duration::from_secs(1));
        (one, other)
    }

    async fn name(&self) -> String {
        self.server.store.record(self.dwelling).await.unwrap().unwrap().record.text("name").to_owned()
    }

    async fn browsers(&self) -> Vec<Device> {
        let devices = self.server.store.devices(&DeviceFilter::default(), None, 100).await.unwrap();
        devices.into_iter().filter(|device| device.label == "Browser").collect()
    }

    /// A plan of the dwelling, and follow-ups of it that are due so many days from now.
    async fn follow_ups(&self, sort: &str, days: &[i64]) -> Vec<RecordId> {
        let plan = body::Plan {
            subject: Some(self.dwelling),
            sort: sort.to_owned(),
            rule: "FREQ=DAILY".to_owned(),
            ..body::Plan::default()
        };
        let plan = self.server.add(self.north, Body::Plan(plan)).await;
        let now_ms = self.server.clock.now_ms();
        let mut made = Vec::new();
        for day in days {
            let follow_up = body::FollowUp {
                subject: Some(self.dwelling),
                source: Some(plan),
                sort: sort.to_owned(),
                due_at_ms: Some(now_ms + day * DAY_MS),
                ..body::FollowUp::default()
            };
            made.push(self.server.add(self.north, Body::FollowUp(follow_up)).await);
        }
        made
    }
}

impl Browser<'_> {
    async fn get(&self, path: &str) -> Response<Bytes> {
        let request = Request::get(path)
            .header("host", "localhost")
            .header(ACCEPT_LANGUAGE, self.language)
            .header(COOKIE, &self.cookie);
        http(self.server, request.body(Full::default()).unwrap()).await
    }

    async fn page(&self, path: &str) -> String {
        let answer = self.get(path).await;
        let (status, page) = told(answer);
        assert_eq!(status, StatusCode::OK, "{path}: {page}");
        page
    }

    async fn status(&self, path: &str) -> StatusCode {
        self.get(path).await.status()
    }

    async fn post(&self, path: &str, form: &[(&str, &str)]) -> Response<Bytes> {
        self.post_from(Some("http://localhost"), path, form).await
    }

    async fn post_from(&self, origin: Option<&str>, path: &str, form: &[(&str, &str)]) -> Response<Bytes> {
        let encoded = |text: &str| text.bytes().map(|byte| format!("%{byte:02X}")).collect::<String>();
        let form: Vec<_> = form.iter().map(|(name, value)| format!("{name}={}", encoded(value))).collect();
        let mut request = Request::post(path)
            .header("host", "localhost")
            .header(ACCEPT_LANGUAGE, self.language)
            .header(COOKIE, &self.cookie)
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded");
        if let Some(origin) = origin {
            request = request.header(ORIGIN, origin);
        }
        http(self.server, request.body(Full::from(form.join("&"))).unwrap()).await
    }

    async fn sign_in(&self, code: &str) -> Response<Bytes> {
        self.post("/sign-in", &[("code", code), ("label", "Browser"), ("to", "/")]).await
    }
}

fn told(answer: Response<Bytes>) -> (StatusCode, String) {
    (answer.status(), String::from_utf8(answer.body().to_vec()).unwrap())
}

fn cookie_of(answer: &Response<Bytes>) -> String {
    answer.headers()[SET_COOKIE].to_str().unwrap().split(';').next().unwrap().to_owned()
}

fn leads_to(answer: &Response<Bytes>) -> &str {
    assert_eq!(answer.status(), StatusCode::SEE_OTHER, "{answer:?}");
    answer.headers()[LOCATION].to_str().unwrap()
}

/// The first link of the page that begins so.
fn link_from(page: &str, start: &str) -> String {
    let at = page.find(&format!("href=\"{start}")).unwrap_or_else(|| panic!("no link to {start} in {page}"));
    page[at + 6..].split('"').next().unwrap().replace("&#38;", "&")
}

on_both_databases! {
    async fn a_page_calls_things_as_the_city_does_in_the_readers_language(database: &TestDatabase) {
        let town = Town::on(database).await;
        let term = body::Term {
            vocabulary: "request_category".to_owned(),
            word: "stray_dogs".to_owned(),
            label_en: "Stray dogs".to_owned(),
            label_zh_hans: "流浪犬".to_owned(),
            ..body::Term::default()
        };
        town.server.add(town.north, Body::Term(term)).await;
        let request = body::Request {
            subject: Some(town.dwelling),
            category: "stray_dogs".to_owned(),
            channel: "visit".to_owned(),
            ..body::Request::default()
        };
        let request = town.server.add(town.north, Body::Request(request)).await;
        let browser = town.browser(Role::Supervisor).await;
        for (language, label) in [("en", "Stray dogs"), ("zh-CN", "流浪犬"), ("zh-TW", "stray_dogs")] {
            let browser = Browser { language, ..browser.clone() };
            let shown = format!("<th scope=\"row\">{label}</th>");
            let overview = browser.page("/?period=day").await;
            assert!(overview.contains(&shown), "{language}: {overview}");
            let title = format!("</span> {label}");
            let page = browser.page(&format!("/record/{request}")).await;
            assert!(page.contains(&title), "{language}: {page}");
        }
        town.server.stop().await;
    }

    async fn a_browser_signs_in_with_a_code_and_out_again(database: &TestDatabase) {
        let town = Town::on(database).await;
        let stranger = town.stranger();
        let page = stranger.page("/").await;
        assert!(page.contains("One-time code") && !page.contains("<nav"), "{page}");
        let (status, page) = told(stranger.get("/follow-ups?view=week").await);
        assert_eq!(status, StatusCode::UNAUTHORIZED);
        assert!(page.contains("name=\"to\" value=\"/follow-ups?view=week\""), "{page}");

        let code = town.server.code(Role::Coordinator, &[town.north]).await;
        assert_eq!(stranger.sign_in("7K2MX").await.status(), StatusCode::UNPROCESSABLE_ENTITY);
        assert_eq!(town.browsers().await.len(), 0);
        let form = [("code", code.as_str()), ("label", "Browser"), ("to", "/follow-ups?view=week")];
        let answer = stranger.post("/sign-in", &form).await;
        assert_eq!(leads_to(&answer), "/follow-ups?view=week");
        let set = answer.headers()[SET_COOKIE].to_str().unwrap();
        for attribute in ["Path=/", "HttpOnly", "SameSite=Strict", "Max-Age=34560000"] {
            assert!(set.contains(attribute), "{set}");
        }
        let browser = Browser { cookie: cookie_of(&answer), ..stranger.clone() };
        let page = browser.page("/").await;
        assert!(page.contains("Coordinator") && page.contains("href=\"/quarantine\""), "{page}");
        let again = stranger.sign_in(&code).await;
        assert_eq!(again.status(), StatusCode::UNPROCESSABLE_ENTITY, "a code is good once");

        let answer = browser.post("/sign-out", &[]).await;
        assert_eq!(answer.status(), StatusCode::OK);
        assert!(answer.headers()[SET_COOKIE].to_str().unwrap().starts_with("rounds_token=; Path=/; Max-Age=0"));
        assert!(town.browsers().await[0].revoked_ms.is_some());
        assert_eq!(browser.status("/follow-ups").await, StatusCode::UNAUTHORIZED, "the old cookie is worth nothing");
        let left = AuditFilter { action: Some(AuditAction::SignOut), limit: 10, ..AuditFilter::default() };
        let noted = town.server.store.audit_entries(&left).await.unwrap();
        assert_eq!(noted.iter().map(|entry| entry.device).collect::<Vec<_>>(), [Some(town.browsers().await[0].id)]);
        town.server.stop().await;
    }

    async fn ops_in_quarantine_are_mended_released_and_dismissed(database: &TestDatabase) {
        let town = Town::on(database).await;
        let mut phone = town.server.enrol(Role::Field, &[town.north]).await;
        let mut spoilt = visit(town.north, town.dwelling).op(&town.server.clock);
        let Action::Create(content) = &mut spoilt.action else { panic!() };
        let Body::Visit(visited) = content.as_mut() else { panic!() };
        visited.outcome.clear();
        let away = visit(town.south, town.dwelling);
        let ops = vec![phone.seal_op(&spoilt), phone.seal_bytes(b"not an op".to_vec()), phone.seal(away)];
        phone.send(ops).await.unwrap();
        let browser = town.browser(Role::Admin).await;
        let page = browser.page("/quarantine").await;
        for shown in ["A field is not as it should be", "It cannot be read", "Outside of the author"] {
            assert!(page.contains(shown), "{shown} is not in {page}");
        }
        let path = |seq: u64| format!("/quarantine/{}/{seq}", phone.id);

        let refused = browser.post(&path(1), &[("act", "release")]).await;
        let (status, page) = told(refused);
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
        assert!(page.contains("outcome"), "it says what is wrong: {page}");
        let refused = browser.post(&path(1), &[("act", "mend"), ("op", "{")]).await;
        assert_eq!(refused.status(), StatusCode::UNPROCESSABLE_ENTITY);
        let Action::Create(content) = &mut spoilt.action else { panic!() };
        let Body::Visit(visited) = content.as_mut() else { panic!() };
        visited.outcome = "met".into();
        let mended = serde_json::to_string(&spoilt).unwrap();
        let done = browser.post(&path(1), &[("act", "mend"), ("op", &mended)]).await;
        assert_eq!(leads_to(&done), "/quarantine?said=released");
        assert!(town.server.store.record(spoilt.record).await.unwrap().is_some());

        let page = browser.page(&path(2)).await;
        assert!(page.contains("6e 6f 74 20 61 6e 20 6f 70") && !page.contains("<textarea"), "{page}");
        let done = browser.post(&path(2), &[("act", "dismiss")]).await;
        assert_eq!(leads_to(&done), "/quarantine?said=dismissed");
        let done = browser.post(&path(3), &[("act", "release")]).await;
        assert_eq!(leads_to(&done), "/quarantine?said=released", "an administrator holds South");
        assert!(browser.page("/quarantine").await.contains("There is nothing here"));
        assert_eq!(browser.status(&path(2)).await, StatusCode::NOT_FOUND);
        town.server.stop().await;
    }

    async fn a_device_is_enrolled_by_the_code_of_the_page_and_revoked(database: &TestDatabase) {
        let town = Town::on(database).await;
        let browser = town.browser(Role::Coordinator).await;
        let north = town.north.to_string();
        let form = [("role", "field"), ("areas", north.as_str()), ("worker", ""), ("organization", "")];
        let (status, page) = told(browser.post("/devices/enrol", &form).await);
        assert_eq!(status, StatusCode::OK, "{page}");
        assert!(page.contains("<svg"), "a QR code");
        assert!(page.contains(" data-still"), "a code that is shown once must not be read anew by itself");
        let (_, rest) = page.split_once("class=\"one-time\">").unwrap();
        let code = rest.split('<').next().unwrap();
        let phone = Peer::enrol(town.server.channel().await, town.server.clock.clone(), code).await.unwrap();
        let page = browser.page("/devices").await;
        let revoke = format!("/devices/{}/revoke", phone.id);
        assert!(page.contains(&revoke) && page.contains(">test<"), "{page}");
        assert_eq!(leads_to(&browser.post(&revoke, &[]).await), "/devices?said=revoked");
        assert!(town.server.store.device(phone.id).await.unwrap().unwrap().revoked_ms.is_some());
        assert!(!browser.page("/devices").await.contains(&revoke), "once is enough");

        // The same rules as those of DeviceService.
        for (role, areas, status) in [
            ("admin", "", StatusCode::FORBIDDEN),
            ("field", "", StatusCode::UNPROCESSABLE_ENTITY),
            ("nobody", &*north, StatusCode::UNPROCESSABLE_ENTITY),
            ("partner", &*north, StatusCode::UNPROCESSABLE_ENTITY),
            ("field", &*town.south.to_string(), StatusCode::NOT_FOUND),
        ] {
            let form = [("role", role), ("areas", areas)];
            let form = if areas.is_empty() { &form[..1] } else { &form[..] };
            assert_eq!(browser.post("/devices/enrol", form).await.status(), status, "{role} {areas}");
        }
        town.server.stop().await;
    }

    async fn kinds_of_jobs_are_paused_and_resumed_by_administrators(database: &TestDatabase) {
        let town = Town::on(database).await;
        let admin = town.browser(Role::Admin).await;
        assert!(admin.page("/jobs").await.contains("Look at what changed"));
        let pause = [("act", "pause"), ("on", "look")];
        assert_eq!(leads_to(&admin.post("/jobs", &pause).await), "/jobs?said=paused");
        assert_eq!(leads_to(&admin.post("/jobs", &pause).await), "/jobs?said=nothing", "paused already");
        assert!(admin.page("/jobs").await.contains("paused since 2026-11-22"));
        let coordinator = town.browser(Role::Coordinator).await;
        assert_eq!(coordinator.post("/jobs", &[("act", "resume"), ("on", "look")]).await.status(), StatusCode::FORBIDDEN);
        let resume = [("act", "resume"), ("on", "look")];
        assert_eq!(leads_to(&admin.post("/jobs", &resume).await), "/jobs?said=resumed");
        assert!(!admin.page("/jobs").await.contains("paused since"));
        for action in [AuditAction::JobsPaused, AuditAction::JobsResumed] {
            let filter = AuditFilter { action: Some(action), limit: 1, ..AuditFilter::default() };
            assert_eq!(town.server.store.audit_entries(&filter).await.unwrap()[0].subject, "look");
        }
        for (act, on, status) in [
            ("retry", "nothing", StatusCode::SEE_OTHER),
            ("drop", "nothing", StatusCode::SEE_OTHER),
            ("pause", "nothing", StatusCode::NOT_FOUND),
            ("explode", "", StatusCode::NOT_FOUND),
        ] {
            assert_eq!(admin.post("/jobs", &[("act", act), ("on", on)]).await.status(), status, "{act}");
        }
        town.server.stop().await;
    }

    async fn whoever_has_a_message_tried_again_is_on_record(database: &TestDatabase) {
        let town = Town::on(database).await;
        let (store, now_ms) = (&town.server.store, town.server.clock.now_ms());
        let message = NewDelivery {
            notice: RecordId(new_id()),
            area: town.north,
            channel: Channel::Email,
            address: "desk@example.org".to_owned(),
        };
        store.add_deliveries(std::slice::from_ref(&message), now_ms).await.unwrap();
        let claimed = store.claim_delivery(message.id(), now_ms, now_ms + 1).await.unwrap().unwrap();
        assert!(store.end_try(&claimed, &Tried::Failed("no such mailbox".to_owned()), now_ms).await.unwrap());

        let admin = town.browser(Role::Admin).await;
        let id = message.id().to_string();
        let retry = [("act", "retry_delivery"), ("on", id.as_str())];
        assert_eq!(leads_to(&admin.post("/jobs", &retry).await), "/jobs?said=retried");
        assert_eq!(store.deliveries(None, 10).await.unwrap()[0].state, DeliveryState::Failing);
        let retried = AuditFilter { action: Some(AuditAction::DeliveryRetried), limit: 10, ..AuditFilter::default() };
        let noted = store.audit_entries(&retried).await.unwrap();
        assert_eq!(noted.len(), 1);
        assert_eq!((noted[0].device, noted[0].subject.as_str()), (Some(town.browsers().await[0].id), id.as_str()));
        town.server.stop().await;
    }

    async fn an_open_page_hears_within_two_seconds_that_a_phone_synced(database: &TestDatabase) {
        let town = Town::on(database).await;
        let browser = town.browser(Role::Supervisor).await;
        let page = browser.page("/follow-ups").await;
        let (_, rest) = page.split_once("data-at=\"").unwrap();
        let at = rest.split('"').next().unwrap();

        let stream = TcpStream::connect(town.server.url().replace("http://", "")).await.unwrap();
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        let connection = tokio::spawn(connection);
        let request = Request::get(format!("/live?at={at}"))
            .header("host", "localhost")
            .header(COOKIE, &browser.cookie)
            .body(Full::<Bytes>::default())
            .unwrap();
        let mut answer = sender.send_request(request).await.unwrap();
        assert_eq!(answer.headers()[CONTENT_TYPE], "text/event-stream");
        // South is none of this browser's business.
        let mut elsewhere = town.server.enrol(Role::Field, &[town.south]).await;
        let place = body::Place { name: "Shed".into(), sort: "building".into(), ..Default::default() };
        town.server.admin.change(vec![Act::create(town.south, Body::Place(place)).op(&town.server.clock)]).await;
        elsewhere.pull().await;
        let mut phone = town.server.enrol(Role::Field, &[town.north]).await;
        let synced = Instant::now();
        phone.act(vec![visit(town.north, town.dwelling)]).await;
        let event = tokio::time::timeout(Duration::from_secs(30), answer.body_mut().frame()).await.expect("an event");
        let event = event.unwrap().unwrap().into_data().unwrap();
        assert_eq!(event, "event: moved\ndata: areas\n\n");
        assert!(synced.elapsed() < Duration::from_secs(2), "{:?}", synced.elapsed());
        let page = browser.page("/follow-ups").await;
        assert!(!page.contains(&format!("data-at=\"{at}\"")), "the page that is read now is newer");
        drop((answer, sender));
        connection.await.unwrap().ok();
        town.server.stop().await;
    }

}

#[tokio::test]
async fn each_role_sees_the_pages_that_the_services_would_answer_it() {
    let town = Town::on_sqlite().await;
    let may = [
        (Role::Field, &PAGES[..3]),
        (Role::Supervisor, &PAGES[..3]),
        (Role::Coordinator, &PAGES[..7]),
        (Role::Admin, &PAGES[..]),
    ];
    for (role, pages) in may {
        let browser = town.browser(role).await;
        let start = browser.page("/").await;
        for path in PAGES {
            let expected = if pages.contains(&path) { StatusCode::OK } else { StatusCode::FORBIDDEN };
            assert_eq!(browser.status(path).await, expected, "{path} for {role:?}");
            let is_linked = start.contains(&format!("href=\"{path}\""));
            assert!(path == "/devices/enrol" || is_linked == pages.contains(&path), "{path} for {role:?}");
        }
    }
    let water = body::Organization { name: "Water".into(), ..Default::default() };
    let water = town.server.add(town.north, Body::Organization(water)).await;
    let code = v1::CreateCodeRequest {
        role: v1::Role::Partner.into(),
        areas: vec![town.north.to_string()],
        organization: water.to_string(),
        ..Default::default()
    };
    let code = town.server.code_for(code).await;
    let (status, page) = told(town.stranger().sign_in(&code).await);
    assert_eq!(status, StatusCode::FORBIDDEN);
    assert!(page.contains("Partners answer by the link"), "{page}");
    let of_partner: Vec<_> =
        town.browsers().await.into_iter().filter(|one| one.role == Role::Partner).collect();
    assert!(of_partner[0].revoked_ms.is_some());
    town.server.stop().await;
}

#[tokio::test]
async fn days_at_the_end_of_the_calendar_and_behind_it_are_answered() {
    let town = Town::on_sqlite().await;
    let browser = town.browser(Role::Supervisor).await;
    for path in [
        "/?period=year&day=9999-01-01",
        "/?period=month&day=9999-12-31",
        "/?period=week&day=9999-12-31",
        "/follow-ups?day=9999-12-15",
        "/follow-ups?view=week&day=9999-12-31",
        "/behind?figure=in_time/x/99999999",
        "/behind?figure=in_time/x/9223372036854775807",
    ] {
        let status = browser.status(path).await;
        assert!(!status.is_server_error(), "{path}: {status}");
    }
    town.server.stop().await;
}

#[tokio::test]
async fn what_is_in_other_areas_answers_like_what_is_not_there() {
    let town = Town::on_sqlite().await;
    let shed = body::Place { name: "Shed".into(), sort: "building".into(), ..Default::default() };
    let shed = town.server.add(town.south, Body::Place(shed)).await;
    let mut phone = town.server.enrol(Role::Field, &[town.south]).await;
    let bytes = phone.seal_bytes(b"not an op".to_vec());
    phone.send(vec![bytes]).await.unwrap();
    let browser = town.browser(Role::Coordinator).await;
    let nobody = new_id();
    for (there, nowhere) in [
        (format!("/record/{shed}"), format!("/record/{nobody}")),
        (format!("/follow-ups?area={}", town.south), format!("/follow-ups?area={nobody}")),
        (format!("/quarantine/{}/1", phone.id), format!("/quarantine/{nobody}/1")),
    ] {
        let (one, other) = (told(browser.get(&there).await), told(browser.get(&nowhere).await));
        assert_eq!(one.0, StatusCode::NOT_FOUND, "{there}");
        let plain = |page: String| page.replace(&there, "").replace(&nowhere, "");
        assert_eq!(plain(one.1), plain(other.1), "{there}");
    }
    let shed = shed.to_string();
    let settle =
        [("record", shed.as_str()), ("device", &*nobody.to_string()), ("seq", "1"), ("choice", "keep")];
    assert_eq!(browser.post("/conflicts", &settle).await.status(), StatusCode::NOT_FOUND);
    let revoke = format!("/devices/{}/revoke", phone.id);
    assert_eq!(browser.post(&revoke, &[]).await.status(), StatusCode::NOT_FOUND);
    assert!(town.server.store.device(phone.id).await.unwrap().unwrap().revoked_ms.is_none());
    let dismiss = format!("/quarantine/{}/1", phone.id);
    assert_eq!(browser.post(&dismiss, &[("act", "dismiss")]).await.status(), StatusCode::NOT_FOUND);
    assert_eq!(town.server.store.quarantine(None, None, 10).await.unwrap().ops.len(), 1);
    town.server.stop().await;
}

#[tokio::test]
async fn every_page_is_in_the_readers_language_and_lets_nothing_in_or_out() {
    let town = Town::on_sqlite().await;
    town.conflict().await;
    town.follow_ups("maintenance", &[-1, 1]).await;
    let mut phone = town.server.enrol(Role::Field, &[town.north]).await;
    let bytes = phone.seal_bytes(b"not an op".to_vec());
    phone.send(vec![bytes]).await.unwrap();
    let admin = town.browser(Role::Admin).await;
    let record = format!("/record/{}", town.dwelling);
    let quarantined = format!("/quarantine/{}/1", phone.id);
    let north = format!("/?area={}", town.north);
    let paths = PAGES.iter().copied().chain([record.as_str(), &quarantined, &north, "/record/nothing"]);
    for (language, tag, title) in
        [("en", "en", "Sign out"), ("zh-CN", "zh-Hans", "退出"), ("zh-TW", "zh-Hant", "登出")]
    {
        for path in paths.clone() {
            let answer = Browser { language, ..admin.clone() }.get(path).await;
            let headers = answer.headers().clone();
            let policy = headers["content-security-policy"].to_str().unwrap();
            assert!(
                policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"),
                "{policy}"
            );
            assert!(!policy.contains("unsafe"), "{policy}");
            assert_eq!(headers["x-content-type-options"], "nosniff");
            assert_eq!(headers["referrer-policy"], "same-origin");
            assert_eq!(headers["cache-control"], "no-store");
            let (status, page) = told(answer);
            assert_eq!(
                status,
                if path.ends_with("nothing") { StatusCode::NOT_FOUND } else { StatusCode::OK }
            );
            assert!(
                page.contains(&format!("<html lang=\"{tag}\">")) && page.contains(title),
                "{path}: {page}"
            );
            for unsafe_part in ["<style", " style=", "<script>", " onclick=", "javascript:"] {
                assert!(!page.contains(unsafe_part), "{unsafe_part} in {path}");
            }
        }
    }
    // A language that was chosen outweighs the browser's.
    let answer = admin.post("/language", &[("language", "zh-Hant"), ("to", "/jobs")]).await;
    assert_eq!(leads_to(&answer), "/jobs");
    let cookie = format!("{}; {}", admin.cookie, cookie_of(&answer));
    let page = Browser { cookie, ..admin.clone() }.page("/jobs").await;
    assert!(page.contains("<html lang=\"zh-Hant\">"), "{page}");
    let answer = admin.post("/language", &[("language", "en"), ("to", "//elsewhere.example.org")]).await;
    assert_eq!(leads_to(&answer), "/");
    town.server.stop().await;
}

#[tokio::test]
async fn a_form_of_another_site_changes_nothing() {
    let town = Town::on_sqlite().await;
    let browser = town.browser(Role::Admin).await;
    let phone = town.server.enrol(Role::Field, &[town.north]).await;
    let revoke = format!("/devices/{}/revoke", phone.id);
    for path in ["/sign-out", "/sign-in", "/language", "/jobs", "/conflicts", "/devices/enrol", &revoke] {
        for origin in [None, Some("null"), Some("http://elsewhere.example.org"), Some("http://localhost:81")]
        {
            let answer = browser.post_from(origin, path, &[("act", "pause"), ("on", "look")]).await;
            assert_eq!(answer.status(), StatusCode::FORBIDDEN, "{path} from {origin:?}");
        }
    }
    assert!(town.server.store.device(phone.id).await.unwrap().unwrap().revoked_ms.is_none());
    assert_eq!(browser.status("/jobs").await, StatusCode::OK, "still signed in");
    assert!(!browser.page("/jobs").await.contains("paused since"));
    assert_eq!(browser.status("/sign-out").await, StatusCode::METHOD_NOT_ALLOWED);
    town.server.stop().await;
}

#[tokio::test]
async fn a_cookie_is_sent_over_encrypted_connections_only_where_there_are_any() {
    let town = Town::on_sqlite().await;
    let code = town.server.code(Role::Admin, &[]).await;
    let form = format!("code={code}&label=Browser&to=/");
    let request = Request::post("/sign-in")
        .header("host", "rounds.example.org")
        .header("origin", "https://rounds.example.org")
        .header("x-forwarded-proto", "https")
        .header(CONTENT_TYPE, "application/x-www-form-urlencoded");
    let answer = http(&town.server, request.body(Full::from(form)).unwrap()).await;
    assert!(answer.headers()[SET_COOKIE].to_str().unwrap().ends_with("; Secure"), "{answer:?}");
    town.server.stop().await;
}

#[tokio::test]
async fn of_a_large_op_that_cannot_be_read_the_first_bytes_are_shown() {
    let town = Town::on_sqlite().await;
    let mut phone = town.server.enrol(Role::Field, &[town.north]).await;
    let ops = vec![phone.seal_bytes(vec![0xab; 1024 * 1024]), phone.seal_bytes(vec![0xab, 0xcd])];
    phone.send(ops).await.unwrap();
    let browser = town.browser(Role::Coordinator).await;
    let large = browser.page(&format!("/quarantine/{}/1", phone.id)).await;
    assert!(large.contains("ab ab ab ab …<"), "{large}");
    assert!(large.len() < 64 * 1024, "{} bytes", large.len());
    let small = browser.page(&format!("/quarantine/{}/2", phone.id)).await;
    assert!(small.contains(">ab cd<"), "{small}");
    town.server.stop().await;
}

#[tokio::test]
async fn a_page_is_not_looked_for_by_what_no_record_can_say() {
    let town = Town::on_sqlite().await;
    let browser = town.browser(Role::Supervisor).await;
    for path in ["/follow-ups?sort=%00", "/follow-ups?show=%00", "/behind?figure=attended/%00"] {
        assert_eq!(browser.status(path).await, StatusCode::BAD_REQUEST, "{path}");
    }
    town.server.stop().await;
}
