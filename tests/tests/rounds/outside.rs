//! Who is told outside of Rounds, and of what: whom it concerns, and nothing that is for others.

use super::channel::{Receiver, Site};
use axum::response::Redirect;
use rounds_domain::body::ReminderStep;
use rounds_domain::op::Step;
use rounds_domain::{AreaId, Body, Kind, RecordId, body};
use rounds_store::DeliveryState;
use rounds_tests::{Act, MailServer, new_id, on_both_databases};
use serde_json::Value;
use std::time::Duration;
use tokio::net::TcpListener;

const HOUR: Duration = Duration::from_secs(60 * 60);

/// The URL of a web hook that sends whoever comes on to another, with all that they bring.
async fn redirecting(to: &str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    let answer = Redirect::temporary(to);
    let app = axum::Router::new().route("/hook", axum::routing::post(move || std::future::ready(answer)));
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    url
}

/// To whom mails went that nobody asked for until now, by their addresses.
async fn mailed(mail: &mut MailServer) -> Vec<String> {
    let sent = mail.rest().await;
    let mut to: Vec<_> = sent.iter().map(|sent| sent["to"][0].as_str().unwrap().to_owned()).collect();
    to.sort();
    to
}

on_both_databases! {
    async fn a_supervisor_is_mailed_what_the_worker_itself_raises(database: &TestDatabase) {
        let mut mail = MailServer::start().await;
        let site = Site::on(database, "", "").await;
        let worker = site.worker(Some(&mail)).await;
        let rechecks = body::Policy {
            sort: "recheck".to_owned(),
            steps: vec![ReminderStep { offset_minutes: 0, to: "supervisor".to_owned() }],
            quiet_from: "00:00".to_owned(), // no hour is quiet
            quiet_until: "00:00".to_owned(),
            supervisor_email: "rechecks@example.org".to_owned(),
            ..body::Policy::default()
        };
        let digests = body::Policy {
            supervisor_email: "digests@example.org".to_owned(),
            digest: "daily".to_owned(),
            ..body::Policy::default()
        };
        let policies = [rechecks, digests].map(|policy| Act::create(site.district, Body::Policy(policy)));
        let violation = body::Violation { sort: "dumping".to_owned(), ..body::Violation::default() };
        let found = Act::create(site.community, Body::Violation(violation));
        let removed = Step { to: "removed".to_owned(), ..Step::default() };
        let removed = Act::step(found.record(), site.community, Kind::Violation, removed);
        site.act(policies.into_iter().chain([found, removed]).collect()).await;
        worker.drained().await.unwrap();

        site.clock.advance(HOUR * 17); // from 16:00 there past 8 o'clock of the next day
        worker.drained().await.unwrap();
        assert_eq!(mailed(&mut mail).await, ["digests@example.org"]);
        site.clock.advance(HOUR * 24 * 8); // the first recheck is overdue
        worker.drained().await.unwrap();
        assert_eq!(mailed(&mut mail).await, ["digests@example.org", "rechecks@example.org"]);
        site.close(worker).await;
    }

    async fn a_redirect_is_not_followed(database: &TestDatabase) {
        let mut elsewhere = Receiver::start().await;
        let site = Site::on(database, &redirecting(&elsewhere.url).await, "").await;
        let worker = site.worker(None).await;
        site.refer(site.referred_request().await).await;
        worker.drained().await.unwrap();
        assert_eq!(elsewhere.posted().len(), 0);
        let failing = site.only_delivery().await;
        assert_eq!(failing.state, DeliveryState::Failing);
        assert!(failing.last_error.contains("307"), "{}", failing.last_error);
        site.close(worker).await;
    }

    async fn a_partner_is_told_nothing_of_a_request_that_was_referred_to_another(database: &TestDatabase) {
        let mut hook = Receiver::start().await;
        let site = Site::on(database, "", "").await;
        let worker = site.worker(None).await;
        let other = body::Organization {
            name: "Power Company".to_owned(),
            web_hook: hook.url.clone(),
            ..body::Organization::default()
        };
        let other = site.add(site.district, Body::Organization(other)).await;
        let request = site.referred_request().await;
        site.raise(body::Notice {
            subject: Some(request),
            sort: "referral".to_owned(),
            organization: Some(other),
            ..body::Notice::default()
        }).await;
        worker.drained().await.unwrap();

        let message = hook.posted()[0].json();
        let subject = &message["subject"];
        assert_eq!(subject["id"], request.to_string());
        assert_eq!((subject.get("category"), subject.get("description")), (None, None));
        assert_eq!(message["link"], Value::Null);
        site.close(worker).await;
    }

    async fn a_digest_tells_of_no_area_above_or_beside_its_own(database: &TestDatabase) {
        let mut mail = MailServer::start().await;
        let site = Site::on(database, "", "").await;
        let worker = site.worker(Some(&mail)).await;
        let beside = AreaId(new_id());
        let hillside = body::Area {
            name: "Hillside".to_owned(),
            parent: Some(site.district.into()),
            time_zone: "Asia/Shanghai".to_owned(),
            ..body::Area::default()
        };
        site.act(vec![Act::create_with_id(beside.into(), beside, Body::Area(hillside))]).await;
        for area in [site.community, beside, site.district] {
            let overdue = body::FollowUp {
                source: Some(RecordId(new_id())),
                sort: "maintenance".to_owned(),
                due_at_ms: Some(site.clock.now_ms() - 30 * 3_600_000),
                ..body::FollowUp::default()
            };
            site.add(area, Body::FollowUp(overdue)).await;
        }
        let policy =
            body::Policy { supervisor_email: "head@example.org".to_owned(), ..body::Policy::default() };
        let policy = site.add(site.community, Body::Policy(policy)).await;
        site.raise(body::Notice {
            subject: Some(policy),
            sort: "digest".to_owned(),
            role: "supervisor".to_owned(),
            ..body::Notice::default()
        }).await;
        worker.drained().await.unwrap();

        let sent = mail.next().await;
        let text = sent["text"].as_str().unwrap();
        assert!(text.contains("Overdue: 1"), "{text}");
        assert_eq!(text.matches("Maintenance").count(), 1, "{text}");
        site.close(worker).await;
    }
}
