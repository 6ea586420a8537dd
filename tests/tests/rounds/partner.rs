//! What partners can do on their pages, and what they cannot.

use http_body_util::Full;
use hyper::header::{ACCEPT_LANGUAGE, CONTENT_TYPE, LOCATION};
use hyper::{Request, Response, StatusCode};
use prost::bytes::Bytes;
use rounds_domain::limit::BATCH_OPS_MAX;
use rounds_domain::op::Step;
use rounds_domain::record::Standing;
use rounds_domain::{Action, AreaId, Body, Kind, Record, RecordId, body};
use rounds_proto::v1;
use rounds_server::limit::{PARTNER_CALLS_MAX, PARTNER_RECORDS_SCANNED_MAX};
use rounds_store::{Link, LinkKey, Purpose};
use rounds_tests::{Act, TestDatabase, TestServer, http, on_both_databases};
use serde_json::json;
use std::time::Duration;

const HOUR: Duration = Duration::from_secs(60 * 60);
const DAY_MS: i64 = 24 * 60 * 60 * 1_000;

/// A server with a community, two partners, and a request that was referred to the first.
struct Desk {
    server: TestServer,
    key: LinkKey,
    area: AreaId,
    water: RecordId,
    power: RecordId,
    request: RecordId,
}

impl Desk {
    async fn on(database: &TestDatabase) -> Self {
        let server = TestServer::start(database).await;
        let key = server.store.link_key([0; 32]).await.unwrap();
        let area = server.area("Riverside", None).await;
        let organization = |name: &str| {
            Body::Organization(body::Organization { name: name.to_owned(), ..body::Organization::default() })
        };
        let water = server.add(area, organization("Water Company")).await;
        let power = server.add(area, organization("Power Company")).await;
        let place = server.dwelling(area, "4-2-301").await;
        let request = body::Request {
            subject: Some(place),
            category: "water".to_owned(),
            channel: "phone".to_owned(),
            description: "No water <b>since</b> this morning.".to_owned(),
            ..body::Request::default()
        };
        let request = server.add(area, Body::Request(request)).await;
        let desk = Self { server, key, area, water, power, request };
        desk.team_steps("triaged").await;
        desk.server.clock.advance(HOUR * 2);
        desk.refer(water).await;
        desk
    }

    async fn refer(&self, organization: RecordId) {
        let due_at_ms = Some(self.server.clock.now_ms() + DAY_MS);
        let step = Step {
            to: "referred".to_owned(),
            organization: Some(organization),
            due_at_ms,
            reason: format!("for {organization}"),
            ..Step::default()
        };
        self.team(Act::step(self.request, self.area, Kind::Request, step)).await;
    }

    async fn team_steps(&self, to: &str) {
        let step = Step { to: to.to_owned(), ..Step::default() };
        self.team(Act::step(self.request, self.area, Kind::Request, step)).await;
    }

    async fn team(&self, act: Act) {
        let verdicts = self.server.admin.change(vec![act.op(&self.server.clock)]).await;
        assert_eq!(verdicts[0].outcome(), v1::Outcome::Applied, "{verdicts:?}");
        self.server.clock.advance(Duration::from_secs(1));
    }

    async fn link_of(&self, organization: RecordId) -> String {
        let link = Link::referral(self.request, organization, self.server.clock.now_ms() + 30 * DAY_MS);
        link.path(&self.server.store.link_token(&self.key, &link).await.unwrap())
    }

    async fn record(&self) -> Record {
        self.server.store.record(self.request).await.unwrap().unwrap().record
    }

    async fn get(&self, path: &str) -> (StatusCode, String) {
        text(self.get_in("en", path).await)
    }

    async fn get_in(&self, language: &str, path: &str) -> Response<Bytes> {
        let request = Request::get(path).header("host", "localhost").header(ACCEPT_LANGUAGE, language);
        http(&self.server, request.body(Full::default()).unwrap()).await
    }

    async fn post(&self, path: &str, act: &str, written: &str, seen: &str) -> Response<Bytes> {
        let form = format!("seen={seen}&text={}&act={act}", written.replace(' ', "+"));
        let request = Request::post(path)
            .header("host", "localhost")
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded");
        http(&self.server, request.body(Full::from(form)).unwrap()).await
    }

    /// Neither opens the page nor takes an answer, and says so.
    async fn sees_that_it_was_withdrawn(&self, path: &str, seen: &str) {
        let answers = [self.get_in("en", path).await, self.post(path, "resolved", "", seen).await];
        for (status, page) in answers.map(text) {
            assert_eq!(status, StatusCode::NOT_FOUND);
            assert!(page.contains("withdrawn") && !page.contains("No water"), "{page}");
        }
    }

    /// Opens the page and answers at once, a minute later.
    async fn answer(&self, path: &str, act: &str, written: &str) -> StatusCode {
        self.server.clock.advance(Duration::from_secs(60));
        let (status, page) = self.get(path).await;
        assert_eq!(status, StatusCode::OK, "{page}");
        self.post(path, act, written, &seen(&page)).await.status()
    }
}

fn text(answer: Response<Bytes>) -> (StatusCode, String) {
    (answer.status(), String::from_utf8(answer.body().to_vec()).unwrap())
}

/// What the page says that it saw.
fn seen(page: &str) -> String {
    let (_, rest) = page.split_once("name=\"seen\" value=\"").expect("a form");
    rest.split('"').next().unwrap().to_owned()
}

on_both_databases! {
    async fn a_partner_takes_on_reports_and_solves_what_was_referred_to_it(database: &TestDatabase) {
        let desk = Desk::on(database).await;
        let link = desk.link_of(desk.water).await;
        let (status, page) = desk.get(&link).await;
        assert_eq!(status, StatusCode::OK);
        for shown in ["Riverside", "4-2-301", "Water Company", "No water &#60;b&#62;since", "23 h 59 min left", "2026-11-23"] {
            assert!(page.contains(shown), "{shown} is not in {page}");
        }
        assert!(!page.contains("Report progress"), "it was not taken on yet");
        let term = body::Term {
            vocabulary: "request_category".to_owned(),
            word: "water".to_owned(),
            label_en: "Waterworks".to_owned(),
            ..body::Term::default()
        };
        desk.server.add(desk.area, Body::Term(term)).await;
        assert!(desk.get(&link).await.1.contains("Waterworks"), "as the city calls it");

        assert_eq!(desk.answer(&link, "in_progress", "").await, StatusCode::SEE_OTHER);
        assert_eq!(desk.record().await.status, "in_progress");
        assert_eq!(desk.answer(&link, "progress", "valve+ordered").await, StatusCode::SEE_OTHER);
        assert_eq!(desk.answer(&link, "resolved", "valve+replaced").await, StatusCode::SEE_OTHER);
        let record = desk.record().await;
        assert_eq!(record.status, "resolved");
        let said: Vec<_> = record.steps[2..]
            .iter()
            .map(|taken| (taken.step.to.as_str(), taken.step.reason.as_str(), taken.standing))
            .collect();
        assert_eq!(said, [
            ("in_progress", "", Standing::Applied),
            ("in_progress", "valve ordered", Standing::Repeated),
            ("resolved", "valve replaced", Standing::Applied),
        ]);
        assert_eq!(record.disputes, []);

        // Now the team has to look; the page tells what was done and who had it for how long.
        desk.server.clock.advance(HOUR * 5);
        let (status, page) = desk.get(&link).await;
        assert_eq!(status, StatusCode::OK);
        assert!(!page.contains("<form"), "there is nothing to do");
        for shown in ["valve ordered", "valve replaced", "<dt>the team</dt><dd>7 h", "<dt>you</dt><dd>3 min"] {
            assert!(page.contains(shown), "{shown} is not in {page}");
        }
        // What the team looks at and finds not solved is the partner's again.
        desk.team_steps("in_progress").await;
        assert!(desk.get(&link).await.1.contains("<form"));
        desk.server.stop().await;
    }

    async fn a_page_tells_of_any_time_at_which_a_request_is_due(database: &TestDatabase) {
        let desk = Desk::on(database).await;
        for due_ms in [i64::MIN, i64::MAX] {
            desk.team_steps("triaged").await;
            let step = Step {
                to: "referred".to_owned(),
                organization: Some(desk.water),
                due_at_ms: Some(due_ms),
                ..Step::default()
            };
            desk.team(Act::step(desk.request, desk.area, Kind::Request, step)).await;
            let (status, page) = desk.get(&desk.link_of(desk.water).await).await;
            assert_eq!(status, StatusCode::OK, "{page}");
        }
        desk.server.stop().await;
    }

    async fn a_partners_list_ends_with_the_last_request_that_was_referred_to_it(database: &TestDatabase) {
        let desk = Desk::on(database).await;
        for _ in 0..3 {
            let request = body::Request {
                category: "water".to_owned(),
                channel: "phone".to_owned(),
                ..body::Request::default()
            };
            desk.server.add(desk.area, Body::Request(request)).await;
        }
        let partner = desk.server.enrol_partner(desk.water, &[desk.area]).await;
        let request = v1::ListRecordsRequest {
            kind: v1::Kind::Request.into(),
            page_size: 1,
            ..v1::ListRecordsRequest::default()
        };
        let page = partner.directory().list_records(request).await.unwrap().into_inner();
        let listed: Vec<_> = page.records.into_iter().map(|record| record.id).collect();
        assert_eq!(listed, [desk.request.to_string()]);
        assert_eq!(page.next_page_token, "", "behind it there is nothing for this partner");
        desk.server.stop().await;
    }

    async fn a_page_of_a_partners_list_looks_at_10000_records_and_the_next_goes_on(database: &TestDatabase) {
        let desk = Desk::on(database).await;
        let request = || body::Request { category: "water".to_owned(), channel: "phone".to_owned(), ..Default::default() };
        for _ in 0..PARTNER_RECORDS_SCANNED_MAX / BATCH_OPS_MAX {
            let acts = (0..BATCH_OPS_MAX).map(|_| Act::create(desk.area, Body::Request(request())));
            desk.server.admin.change(acts.map(|act| act.op(&desk.server.clock)).collect()).await;
        }
        let partner = desk.server.enrol_partner(desk.water, &[desk.area]).await;
        let list = async |page_token: String| {
            let kind = v1::Kind::Request.into();
            let request = v1::ListRecordsRequest { kind, page_size: 10, page_token, ..v1::ListRecordsRequest::default() };
            let page = partner.directory().list_records(request).await.unwrap().into_inner();
            (page.records.into_iter().map(|record| record.id).collect::<Vec<_>>(), page.next_page_token)
        };
        let (listed, next) = list(String::new()).await;
        assert_eq!(listed, [desk.request.to_string()]);
        assert_ne!(next, "", "there are more requests than are looked at");
        assert_eq!(list(next).await, (Vec::new(), String::new()));
        desk.server.stop().await;
    }

    async fn a_page_names_no_place_of_another_area(database: &TestDatabase) {
        let desk = Desk::on(database).await;
        let elsewhere = desk.server.area("Hillside", None).await;
        let foreign = desk.server.dwelling(elsewhere, "9-9-999").await;
        let subject = desk.record().await.text("subject").to_owned();
        let (is, was) = (foreign.to_string().into(), subject.into());
        desk.team(Act::edit(desk.request, desk.area, Kind::Request, "subject", was, is)).await;
        let (status, page) = desk.get(&desk.link_of(desk.water).await).await;
        assert_eq!(status, StatusCode::OK);
        assert!(!page.contains("9-9-999"), "{page}");
        desk.server.stop().await;
    }

    async fn what_is_sent_back_needs_a_reason_and_is_the_teams_again(database: &TestDatabase) {
        let desk = Desk::on(database).await;
        let link = desk.link_of(desk.water).await;
        let (_, page) = desk.get(&link).await;
        let (status, answer) = text(desk.post(&link, "triaged", "+", &seen(&page)).await);
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
        assert!(answer.contains("Please say why"), "{answer}");
        let (status, _) = text(desk.post(&link, "triaged", &"x".repeat(4_001), &seen(&page)).await);
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "longer than a text may be");
        let (status, _) = text(desk.post(&link, "triaged", &"x".repeat(64 * 1024), &seen(&page)).await);
        assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
        assert_eq!(desk.record().await.status, "referred");

        let sent = desk.post(&link, "triaged", "not our pipe", &seen(&page)).await;
        assert_eq!(sent.status(), StatusCode::SEE_OTHER);
        assert_eq!(sent.headers()[LOCATION], link.as_str());
        let record = desk.record().await;
        assert_eq!((record.status.as_str(), record.reference("referred_to")), ("triaged", None));
        assert_eq!(record.steps.last().unwrap().step.reason, "not our pipe");
        let (status, page) = desk.get(&link).await;
        assert_eq!(status, StatusCode::GONE);
        assert!(page.contains("the team has it now") && !page.contains("No water"), "{page}");
        desk.server.stop().await;
    }

    async fn a_link_opens_one_request_to_one_partner_until_it_expires_or_is_revoked(database: &TestDatabase) {
        let desk = Desk::on(database).await;
        let link = desk.link_of(desk.water).await;
        let simple = |id: RecordId| id.0.simple().to_string();
        let other = RecordId(rounds_tests::new_id());
        let forged = [
            link.replace(&simple(desk.request), &simple(other)),
            link.replace(&simple(desk.water), &simple(desk.power)),
            link.replacen("/179", "/279", 1), // later
            link[..link.len() - 1].to_owned(),
            format!("{link}A"),
            "/r/a/b/c/d".to_owned(),
        ];
        for path in forged {
            assert_ne!(path, link);
            let (status, page) = desk.get(&path).await;
            assert_eq!(status, StatusCode::NOT_FOUND, "{path}");
            assert!(!page.contains("No water"));
            assert_eq!(desk.post(&path, "in_progress", "", "0").await.status(), StatusCode::NOT_FOUND);
        }

        // The other partner has a good link of its own, but not the request.
        let of_other = desk.link_of(desk.power).await;
        assert_eq!(desk.get(&of_other).await.0, StatusCode::GONE);
        let (_, page) = desk.get(&link).await;
        assert_eq!(desk.post(&of_other, "resolved", "", &seen(&page)).await.status(), StatusCode::GONE);
        assert_eq!(desk.record().await.status, "referred");

        desk.server.store.revoke_links(Purpose::Referral, desk.water).await.unwrap();
        assert_eq!(desk.get(&link).await.0, StatusCode::NOT_FOUND);
        let again = desk.link_of(desk.water).await;
        assert_eq!(desk.get(&again).await.0, StatusCode::OK);
        desk.server.clock.advance(HOUR * 24 * 30);
        assert_eq!(desk.get(&again).await.0, StatusCode::GONE);
        let (status, page) = text(desk.post(&again, "in_progress", "", &seen(&page)).await);
        assert_eq!(status, StatusCode::GONE);
        assert!(page.contains("expired"), "{page}");
        assert_eq!(desk.record().await.status, "referred");
        desk.server.stop().await;
    }

    async fn a_partner_says_that_it_is_solved_and_no_more_than_that(database: &TestDatabase) {
        let desk = Desk::on(database).await;
        let link = desk.link_of(desk.water).await;
        for act in ["verified", "closed", "rejected", "referred", "open", "progress", "", "delete"] {
            let status = desk.answer(&link, act, "x").await;
            assert_eq!(status, StatusCode::CONFLICT, "{act}");
        }
        let record = desk.record().await;
        assert_eq!((record.status.as_str(), record.steps.len()), ("referred", 2));
        assert_eq!(desk.answer(&link, "resolved", "").await, StatusCode::SEE_OTHER);
        // It cannot take its word back, or say more.
        let seen = desk.record().await.through.stamp.to_string();
        for act in ["in_progress", "triaged", "verified"] {
            assert_eq!(desk.post(&link, act, "x", &seen).await.status(), StatusCode::CONFLICT, "{act}");
        }
        assert_eq!(desk.record().await.status, "resolved");
        desk.server.stop().await;
    }

    async fn the_same_form_sent_twice_counts_once(database: &TestDatabase) {
        let desk = Desk::on(database).await;
        let link = desk.link_of(desk.water).await;
        assert_eq!(desk.answer(&link, "in_progress", "").await, StatusCode::SEE_OTHER);
        let (_, page) = desk.get(&link).await;
        let seen = seen(&page);
        let post = || desk.post(&link, "progress", "valve ordered", &seen);
        let answers = futures_util::future::join_all((0..16).map(|_| post())).await;
        assert!(answers.iter().all(|answer| answer.status() == StatusCode::SEE_OTHER), "{answers:?}");
        assert_eq!(post().await.status(), StatusCode::SEE_OTHER, "and once more");
        assert_eq!(desk.record().await.steps.len(), 4);
        desk.server.stop().await;
    }

    async fn a_page_that_is_out_of_date_says_what_happened_and_keeps_what_was_written(database: &TestDatabase) {
        let desk = Desk::on(database).await;
        let link = desk.link_of(desk.water).await;
        let (_, page) = desk.get(&link).await;
        let base = json!("No water <b>since</b> this morning.");
        desk.team(Act::edit(desk.request, desk.area, Kind::Request, "description", base, json!("No water in stairwell 2"))).await;
        let (status, answer) = text(desk.post(&link, "resolved", "all done", &seen(&page)).await);
        assert_eq!(status, StatusCode::CONFLICT);
        for shown in ["was not taken", "No water in stairwell 2", ">all done</textarea>"] {
            assert!(answer.contains(shown), "{shown} is not in {answer}");
        }
        assert_eq!(desk.record().await.status, "referred");
        assert_eq!(desk.post(&link, "resolved", "all done", &seen(&answer)).await.status(), StatusCode::SEE_OTHER);
        assert_eq!(desk.record().await.status, "resolved");
        desk.server.stop().await;
    }

    async fn a_partner_whose_device_was_revoked_answers_no_more(database: &TestDatabase) {
        let desk = Desk::on(database).await;
        let link = desk.link_of(desk.water).await;
        assert_eq!(desk.answer(&link, "in_progress", "").await, StatusCode::SEE_OTHER);
        let device = desk.record().await.steps.last().unwrap().trace.op.device;
        let (_, page) = desk.get(&link).await;
        desk.server.store.revoke(device, desk.server.clock.now_ms()).await.unwrap();
        desk.sees_that_it_was_withdrawn(&link, &seen(&page)).await;
        assert_eq!(desk.record().await.status, "in_progress");
        let later = desk.link_of(desk.water).await;
        desk.sees_that_it_was_withdrawn(&later, &seen(&page)).await;
        desk.server.stop().await;
    }

    async fn a_partner_that_was_deleted_sees_no_page_and_answers_no_more(database: &TestDatabase) {
        let desk = Desk::on(database).await;
        let link = desk.link_of(desk.water).await;
        let (_, page) = desk.get(&link).await;
        let gone = Action::Delete { reason: "entered twice".to_owned() };
        desk.team(Act::on(desk.water, desk.area, Kind::Organization, gone)).await;
        desk.sees_that_it_was_withdrawn(&link, &seen(&page)).await;
        assert_eq!(desk.record().await.status, "referred");
        desk.server.stop().await;
    }
}

#[tokio::test]
async fn whoever_calls_too_often_has_to_wait_and_nobody_else_has() {
    let database = TestDatabase::sqlite().await;
    let desk = Desk::on(&database).await;
    let (link, of_other) = (desk.link_of(desk.water).await, desk.link_of(desk.power).await);
    let (_, page) = desk.get(&link).await;
    for _ in 1..PARTNER_CALLS_MAX {
        assert_eq!(desk.get(&link).await.0, StatusCode::OK);
    }
    let refused = desk.get_in("zh-CN", &link).await;
    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(refused.headers()["retry-after"], "2");
    assert_eq!(refused.headers()["cache-control"], "no-store");
    assert!(text(refused).1.contains("过于频繁"));
    let posted = desk.post(&link, "in_progress", "", &seen(&page)).await;
    assert_eq!(posted.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(desk.record().await.status, "referred", "nothing was taken");
    // A later link of the same partner to the same request has no calls of its own.
    desk.server.clock.advance(Duration::from_secs(1));
    let again = desk.get_in("en", &desk.link_of(desk.water).await).await;
    assert_eq!(again.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(again.headers()["retry-after"], "1");
    assert_eq!(desk.get(&of_other).await.0, StatusCode::GONE, "others are answered");
    assert_eq!(
        desk.get(&format!("{link}A")).await.0,
        StatusCode::NOT_FOUND,
        "who has no link learns nothing"
    );

    desk.server.clock.advance(Duration::from_secs(1));
    assert_eq!(desk.post(&link, "in_progress", "", &seen(&page)).await.status(), StatusCode::SEE_OTHER);
    assert_eq!(desk.get(&link).await.0, StatusCode::TOO_MANY_REQUESTS);
    desk.server.clock.advance(HOUR);
    assert_eq!(desk.get(&link).await.0, StatusCode::OK);
    desk.server.stop().await;
}

#[tokio::test]
async fn the_page_is_in_the_readers_language_and_lets_nothing_out() {
    let database = TestDatabase::sqlite().await;
    let desk = Desk::on(&database).await;
    let link = desk.link_of(desk.water).await;
    for (language, tag, words) in [
        ("zh-CN", "zh-Hans", "转办给您的诉求"),
        ("zh-TW,en;q=0.5", "zh-Hant", "轉辦給您的訴求"),
        ("fr", "en", "referred to you"),
    ] {
        let answer = desk.get_in(language, &link).await;
        let headers = answer.headers();
        assert_eq!(headers["referrer-policy"], "no-referrer");
        assert_eq!(headers["cache-control"], "no-store");
        assert_eq!(headers["x-content-type-options"], "nosniff");
        let policy = headers["content-security-policy"].to_str().unwrap();
        assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
        let (_, page) = text(answer);
        assert!(page.contains(&format!("<html lang=\"{tag}\">")) && page.contains(words), "{page}");
        assert!(!page.contains("<script") && !page.contains("style="), "{page}");
    }
    let style = desk.get("/page.css").await;
    assert!(style.0 == StatusCode::OK && style.1.contains("prefers-color-scheme"));
    // Why the team referred it is said; what it said before is its own matter.
    let (_, page) = desk.get(&link).await;
    assert!(page.contains(&format!("for {}", desk.water)), "{page}");
    let step = |to: &str, reason: &str| {
        let step = Step { to: to.to_owned(), reason: reason.to_owned(), ..Step::default() };
        Act::on(desk.request, desk.area, Kind::Request, Action::Step(step))
    };
    desk.team(step("triaged", "an inner matter")).await;
    desk.refer(desk.power).await;
    let (_, page) = desk.get(&desk.link_of(desk.power).await).await;
    assert!(!page.contains("an inner matter") && !page.contains(&format!("for {}", desk.water)), "{page}");
    assert!(page.contains("another partner"), "{page}");
    desk.server.stop().await;
}
