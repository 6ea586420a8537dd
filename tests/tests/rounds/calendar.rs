//! Calendars that programs subscribe to.

use http_body_util::Full;
use hyper::header::{ETAG, IF_NONE_MATCH};
use hyper::{Request, Response, StatusCode};
use prost::bytes::Bytes;
use rounds_domain::op::Step;
use rounds_domain::{Action, AreaId, Body, Kind, RecordId, body};
use rounds_server::calendar_path;
use rounds_server::limit::{CALENDAR_CALL_EVERY, CALENDAR_CALLS_MAX};
use rounds_store::{Link, Purpose};
use rounds_tests::{Act, TestDatabase, TestServer, http, on_both_databases};
use serde_json::Value;
use std::time::Duration;

const HOUR_MS: i64 = 60 * 60 * 1_000;

async fn path(server: &TestServer, kind: Kind, id: RecordId) -> String {
    let key = server.store.link_key([0; 32]).await.unwrap();
    let token = server.store.link_token(&key, &Link::of(Purpose::Calendar, id)).await.unwrap();
    calendar_path(kind, id, &token).unwrap()
}

async fn get(server: &TestServer, path: &str, known: &str) -> Response<Bytes> {
    let request = Request::get(path).header("host", "localhost").header(IF_NONE_MATCH, known);
    http(server, request.body(Full::default()).unwrap()).await
}

/// The lines of a calendar, unfolded as RFC 5545 says.
fn lines(answer: &Response<Bytes>) -> Vec<String> {
    let text = std::str::from_utf8(answer.body()).unwrap();
    assert!(text.ends_with("END:VCALENDAR\r\n"), "{text}");
    assert!(text.split("\r\n").all(|line| line.len() <= 75), "{text}");
    text.replace("\r\n ", "").split("\r\n").map(str::to_owned).collect()
}

fn values(lines: &[String], name: &str) -> Vec<String> {
    let prefix = format!("{name}:");
    lines.iter().filter_map(|line| line.strip_prefix(&prefix).map(str::to_owned)).collect()
}

struct Team {
    server: TestServer,
    area: AreaId,
    asset: RecordId,
    worker: RecordId,
    group: RecordId,
}

impl Team {
    async fn on(database: &TestDatabase) -> Self {
        let server = TestServer::start(database).await;
        let area = server.area("Riverside", None).await;
        let building = body::Place {
            name: "Building 4, the one; by the river".to_owned(),
            sort: "building".to_owned(),
            ..body::Place::default()
        };
        let building = server.add(area, Body::Place(building)).await;
        let asset = body::Asset {
            name: "电梯二号".to_owned(),
            sort: "elevator".to_owned(),
            place: Some(building),
            ..body::Asset::default()
        };
        let asset = server.add(area, Body::Asset(asset)).await;
        let worker = body::Worker { name: "Li".to_owned(), ..body::Worker::default() };
        let worker = server.add(area, Body::Worker(worker)).await;
        let group =
            body::Group { name: "Elevators".to_owned(), skill: "safety".to_owned(), members: vec![worker] };
        let group = server.add(area, Body::Group(group)).await;
        Self { server, area, asset, worker, group }
    }

    async fn follow_up(&self, due_at_ms: i64, to: impl FnOnce(&mut body::FollowUp)) -> RecordId {
        let mut follow_up = body::FollowUp {
            subject: Some(self.asset),
            source: Some(self.asset),
            sort: "maintenance".to_owned(),
            due_at_ms: Some(due_at_ms),
            rule: "an inner matter".to_owned(),
            ..body::FollowUp::default()
        };
        to(&mut follow_up);
        self.server.add(self.area, Body::FollowUp(follow_up)).await
    }
}

on_both_databases! {
    async fn a_calendar_has_what_is_open_for_a_worker_and_its_groups_and_only_that(database: &TestDatabase) {
        let team = Team::on(database).await;
        let now_ms = team.server.clock.now_ms();
        let own = team.follow_up(now_ms + HOUR_MS, |it| it.worker = Some(team.worker)).await;
        let of_group = team.follow_up(now_ms + 2 * HOUR_MS, |it| it.group = Some(team.group)).await;
        let done = team.follow_up(now_ms + HOUR_MS, |it| it.worker = Some(team.worker)).await;
        team.follow_up(now_ms + HOUR_MS, |it| it.worker = Some(team.asset)).await; // somebody else's
        let step = Step { to: "done".to_owned(), ..Step::default() };
        let act = Act::step(done, team.area, Kind::FollowUp, step);
        team.server.admin.change(vec![act.op(&team.server.clock)]).await;

        let of_worker = path(&team.server, Kind::Worker, team.worker).await;
        let answer = get(&team.server, &of_worker, "").await;
        assert_eq!(answer.headers()["content-type"], "text/calendar; charset=utf-8");
        let lines = lines(&answer);
        assert_eq!(values(&lines, "UID"), [own.to_string(), of_group.to_string()]);
        // 2026-11-22T08:00Z and what it took to make the team.
        let due = |ms: i64| jiff::Timestamp::from_millisecond(ms).unwrap().strftime("%Y%m%dT%H%M%SZ").to_string();
        assert_eq!(values(&lines, "DTEND"), [due(now_ms + HOUR_MS), due(now_ms + 2 * HOUR_MS)]);
        assert_eq!(values(&lines, "DTSTART")[0], due(now_ms + HOUR_MS / 2));
        assert_eq!(values(&lines, "LOCATION")[0], "电梯二号\\, Building 4\\, the one\\; by the river");
        assert_eq!(values(&lines, "SUMMARY")[0], "Maintenance · 电梯二号\\, Building 4\\, the one\\; by the river");
        assert!(!lines.iter().any(|line| line.contains("inner matter")), "{lines:?}");

        let of_group_path = path(&team.server, Kind::Group, team.group).await;
        let answer = get(&team.server, &of_group_path, "").await;
        assert_eq!(values(&self::lines(&answer), "UID"), [of_group.to_string()]);
        team.server.stop().await;
    }

    async fn the_calendar_of_a_worker_who_was_deleted_is_gone(database: &TestDatabase) {
        let team = Team::on(database).await;
        let calendar = path(&team.server, Kind::Worker, team.worker).await;
        assert_eq!(get(&team.server, &calendar, "").await.status(), StatusCode::OK);
        let gone = Action::Delete { reason: "left the team".to_owned() };
        let act = Act::on(team.worker, team.area, Kind::Worker, gone);
        team.server.admin.change(vec![act.op(&team.server.clock)]).await;
        assert_eq!(get(&team.server, &calendar, "").await.status(), StatusCode::NOT_FOUND);
        team.server.stop().await;
    }

    async fn the_calendar_of_a_worker_who_left_is_gone_until_it_is_back(database: &TestDatabase) {
        let team = Team::on(database).await;
        let calendar = path(&team.server, Kind::Worker, team.worker).await;
        let left = async |before: Value, now: Value| {
            let act = Act::edit(team.worker, team.area, Kind::Worker, "left", before, now);
            team.server.admin.change(vec![act.op(&team.server.clock)]).await;
            team.server.clock.advance(Duration::from_secs(1));
            get(&team.server, &calendar, "").await.status()
        };
        assert_eq!(left(Value::Null, true.into()).await, StatusCode::NOT_FOUND);
        assert_eq!(left(true.into(), Value::Null).await, StatusCode::OK);
        team.server.stop().await;
    }

    async fn what_is_given_to_somebody_else_changes_calendars(database: &TestDatabase) {
        let team = Team::on(database).await;
        let due_at_ms = team.server.clock.now_ms() + HOUR_MS;
        let given = team.follow_up(due_at_ms, |it| it.worker = Some(team.worker)).await;
        let other = body::Worker { name: "Wu".to_owned(), ..body::Worker::default() };
        let other = team.server.add(team.area, Body::Worker(other)).await;
        let (was, is) = (team.worker.to_string().into(), other.to_string().into());
        let act = Act::edit(given, team.area, Kind::FollowUp, "worker", was, is);
        team.server.admin.change(vec![act.op(&team.server.clock)]).await;
        for (worker, has) in [(team.worker, vec![]), (other, vec![given.to_string()])] {
            let answer = get(&team.server, &path(&team.server, Kind::Worker, worker).await, "").await;
            assert_eq!(values(&lines(&answer), "UID"), has);
        }
        team.server.stop().await;
    }

    async fn a_calendar_names_no_place_of_another_area(database: &TestDatabase) {
        let team = Team::on(database).await;
        let elsewhere = team.server.area("Hillside", None).await;
        let foreign = team.server.dwelling(elsewhere, "9-9-999").await;
        let due_at_ms = team.server.clock.now_ms() + HOUR_MS;
        team.follow_up(due_at_ms, |it| (it.worker, it.subject) = (Some(team.worker), Some(foreign))).await;
        let answer = get(&team.server, &path(&team.server, Kind::Worker, team.worker).await, "").await;
        assert_eq!(values(&lines(&answer), "SUMMARY"), ["Maintenance"]);
        team.server.stop().await;
    }

    async fn a_calendar_that_did_not_change_is_not_sent_again(database: &TestDatabase) {
        let team = Team::on(database).await;
        let now_ms = team.server.clock.now_ms();
        team.follow_up(now_ms + HOUR_MS, |it| it.worker = Some(team.worker)).await;
        let path = path(&team.server, Kind::Worker, team.worker).await;
        let first = get(&team.server, &path, "").await;
        let tag = first.headers()[ETAG].to_str().unwrap().to_owned();
        team.server.clock.advance(Duration::from_secs(100));
        let again = get(&team.server, &path, &tag).await;
        assert_eq!((again.status(), again.body().len()), (StatusCode::NOT_MODIFIED, 0));
        assert_eq!(get(&team.server, &path, &format!("\"other\", W/{tag}")).await.status(), StatusCode::NOT_MODIFIED);
        team.follow_up(now_ms + 3 * HOUR_MS, |it| it.worker = Some(team.worker)).await;
        let changed = get(&team.server, &path, &tag).await;
        assert_eq!(changed.status(), StatusCode::OK);
        assert_ne!(changed.headers()[ETAG], tag.as_str());
        team.server.stop().await;
    }

    async fn a_calendar_whose_link_was_revoked_answers_as_if_it_had_never_been(database: &TestDatabase) {
        let team = Team::on(database).await;
        let good = path(&team.server, Kind::Worker, team.worker).await;
        assert_eq!(get(&team.server, &good, "").await.status(), StatusCode::OK);
        let missing = get(&team.server, "/nothing/here", "").await;
        let others = path(&team.server, Kind::Group, team.group).await;
        let wrong = [
            good.replace("/worker/", "/group/"),
            good.replace("/worker/", "/place/"),
            good.replace(&team.worker.to_string(), &team.group.to_string()),
            good.replace(".ics", ""),
            format!("/calendar/worker/{}/AAAA.ics", team.worker),
            "/calendar/worker/nobody/AAAA.ics".to_owned(),
            path(&team.server, Kind::Worker, team.asset).await, // signed, but no worker
            others.replace("/group/", "/worker/"),
        ];
        team.server.store.revoke_links(Purpose::Calendar, team.worker).await.unwrap();
        for path in wrong.into_iter().chain([good]) {
            let answer = get(&team.server, &path, "").await;
            assert_eq!(answer.status(), StatusCode::NOT_FOUND, "{path}");
            assert_eq!(answer.body(), missing.body(), "{path}");
            assert_eq!(
                answer.headers().keys().collect::<Vec<_>>(),
                missing.headers().keys().collect::<Vec<_>>(),
                "{path}"
            );
        }
        let next = path(&team.server, Kind::Worker, team.worker).await;
        assert_eq!(get(&team.server, &next, "").await.status(), StatusCode::OK);
        team.server.stop().await;
    }
}

#[tokio::test]
async fn a_calendar_that_is_fetched_too_often_says_when_to_come_back() {
    let database = TestDatabase::sqlite().await;
    let team = Team::on(&database).await;
    let calendar = path(&team.server, Kind::Worker, team.worker).await;
    let of_group = path(&team.server, Kind::Group, team.group).await;
    for _ in 0..CALENDAR_CALLS_MAX {
        assert_eq!(get(&team.server, &calendar, "").await.status(), StatusCode::OK);
    }
    let refused = get(&team.server, &calendar, "").await;
    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(refused.headers()["retry-after"], CALENDAR_CALL_EVERY.as_secs().to_string().as_str());
    assert_eq!(refused.headers()["cache-control"], "no-store");
    assert_eq!(get(&team.server, &of_group, "").await.status(), StatusCode::OK, "others are answered");
    let wrong = calendar.replace(".ics", "A.ics");
    assert_eq!(
        get(&team.server, &wrong, "").await.status(),
        StatusCode::NOT_FOUND,
        "who has no link learns nothing"
    );

    team.server.clock.advance(CALENDAR_CALL_EVERY);
    assert_eq!(get(&team.server, &calendar, "").await.status(), StatusCode::OK);
    assert_eq!(get(&team.server, &calendar, "").await.status(), StatusCode::TOO_MANY_REQUESTS);
    team.server.stop().await;
}
