//! What a digest counts and names, and from when.

use super::{HOUR, Site};
use rounds_domain::op::Step;
use rounds_domain::{AreaId, Body, Kind, RecordId, body};
use rounds_store::Timer;
use rounds_tests::{Act, MailServer, new_id, on_both_databases};
use rounds_worker::Worker;
use std::time::Duration;

impl Site {
    /// A follow-up in an area that was due an hour ago, and comes to be missed now.
    async fn missed(&self, area: AreaId) -> RecordId {
        let follow_up = body::FollowUp {
            source: Some(RecordId(new_id())),
            sort: "maintenance".to_owned(),
            due_at_ms: Some(self.clock.now_ms() - HOUR.as_millis() as i64),
            ..body::FollowUp::default()
        };
        let follow_up = self.add(area, Body::FollowUp(follow_up)).await;
        let missed = Step { to: "missed".to_owned(), ..Step::default() };
        let act = Act::step(follow_up, area, Kind::FollowUp, missed);
        self.act_with(vec![act], Some(Vec::new())).await;
        follow_up
    }

    /// The digest of an area is called for now, as it is this often. Answers the text of the mail.
    async fn digest(&self, area: AreaId, how_often: &str, worker: &Worker, mail: &mut MailServer) -> String {
        let policy = body::Policy {
            digest: how_often.to_owned(),
            supervisor_email: "head@example.org".to_owned(),
            ..body::Policy::default()
        };
        let notice = body::Notice {
            subject: Some(self.add(area, Body::Policy(policy)).await),
            sort: "digest".to_owned(),
            at_ms: Some(self.clock.now_ms()),
            role: "supervisor".to_owned(),
            ..body::Notice::default()
        };
        let act = Act::create(area, Body::Notice(notice));
        let timer = Timer { area, ..self.timer(act.record()) };
        self.act_with(vec![act], Some(vec![timer])).await;
        worker.drained().await.unwrap();
        mail.next().await["text"].as_str().unwrap().to_owned()
    }
}

/// Whether a line of a text is this.
fn says(text: &str, line: &str) -> bool {
    text.lines().any(|it| it.trim_end() == line)
}

on_both_databases! {
    async fn a_digest_counts_what_is_due_overdue_and_missed_in_the_area_and_below(database: &TestDatabase) {
        let mut mail = MailServer::start().await;
        let site = Site::on(database, "", "").await;
        let worker = site.worker(Some(&mail)).await;
        let elevator = body::Asset { name: "Elevator 2".to_owned(), sort: "elevator".to_owned(), ..Default::default() };
        let elevator = site.add(site.community, Body::Asset(elevator)).await;
        let follow_up = async |hours: i64, area| {
            let follow_up = body::FollowUp {
                subject: Some(elevator),
                source: Some(RecordId(new_id())),
                sort: "maintenance".to_owned(),
                due_at_ms: Some(site.clock.now_ms() + hours * 3_600_000),
                ..body::FollowUp::default()
            };
            site.add(area, Body::FollowUp(follow_up)).await
        };
        for _ in 0..23 {
            follow_up(-30, site.community).await;
        }
        follow_up(3, site.community).await; // it is 16:00 there
        follow_up(30, site.district).await;
        follow_up(24 * 8, site.district).await;
        let missed = follow_up(-100, site.community).await;
        let act = Act::step(missed, site.community, Kind::FollowUp, Step { to: "missed".to_owned(), ..Step::default() });
        site.act_with(vec![act], Some(Vec::new())).await;
        let plan = body::Plan {
            subject: Some(elevator),
            sort: "maintenance".to_owned(),
            rule: "FREQ=DAILY;INTERVAL=14".to_owned(),
            ..body::Plan::default()
        };
        let plan = site.add(site.community, Body::Plan(plan)).await;
        for role in ["coordinator", "supervisor"] {
            let gap = body::Notice {
                subject: Some(plan),
                sort: "gap".to_owned(),
                at_ms: Some(site.clock.now_ms()),
                role: role.to_owned(),
                ..body::Notice::default()
            };
            site.add(site.community, Body::Notice(gap)).await;
        }
        site.clock.advance(Duration::from_secs(1));
        let policy = body::Policy {
            supervisor_email: "head@example.org".to_owned(),
            ..body::Policy::default()
        };
        let policy = site.add(site.district, Body::Policy(policy)).await;
        let notice = body::Notice {
            subject: Some(policy),
            sort: "digest".to_owned(),
            at_ms: Some(site.clock.now_ms()),
            role: "supervisor".to_owned(),
            ..body::Notice::default()
        };
        let act = Act::create(site.district, Body::Notice(notice));
        let timer = Timer { area: site.district, ..site.timer(act.record()) };
        site.act_with(vec![act], Some(vec![timer])).await;
        worker.drained().await.unwrap();
        let sent = mail.next().await;
        assert_eq!(sent["to"], serde_json::json!(["head@example.org"]));
        let text = sent["text"].as_str().unwrap();
        for line in ["Overdue: 23", "Due today: 1", "Due within a week: 1", "Missed since the last digest: 1", "Longer without than the law allows: 1"] {
            assert!(text.contains(line), "{line} is not in {text}");
        }
        assert_eq!(text.matches("Maintenance  Elevator 2").count(), 20 + 4, "{text}");
        assert!(text.contains("2026-11-22 19:00  Maintenance"), "{text}");
        site.close(worker).await;
    }

    async fn a_weekly_digest_tells_what_was_missed_in_seven_days_and_a_daily_one_in_one(database: &TestDatabase) {
        let mut mail = MailServer::start().await;
        let site = Site::on(database, "", "").await;
        let worker = site.worker(Some(&mail)).await;
        for days in [2, 6] {
            site.missed(site.community).await; // eight days before, and six days before
            site.clock.advance(HOUR * 24 * days);
        }
        for (how_often, count) in [("weekly", "1"), ("daily", "none")] {
            let text = site.digest(site.district, how_often, &worker, &mut mail).await;
            assert!(says(&text, &format!("Missed since the last digest: {count}")), "{how_often}: {text}");
        }
        site.close(worker).await;
    }

    async fn a_digest_goes_on_where_the_last_one_ended_though_the_clocks_went_forward(database: &TestDatabase) {
        let mut mail = MailServer::start().await;
        let site = Site::on(database, "", "").await;
        let worker = site.worker(Some(&mail)).await;
        let berlin = AreaId(new_id());
        let area = body::Area {
            name: "Riverside in Berlin".to_owned(),
            time_zone: "Europe/Berlin".to_owned(),
            ..body::Area::default()
        };
        site.act(vec![Act::create_with_id(berlin.into(), berlin, Body::Area(area))]).await;
        let set = |time: &str| site.clock.set(time.parse::<jiff::Timestamp>().unwrap().as_millisecond());
        // The last one was called for at 08:00 in winter time.
        for missed in ["2027-03-27T06:30:00Z", "2027-03-27T07:30:00Z"] {
            set(missed);
            site.missed(berlin).await;
        }
        set("2027-03-28T06:00:00Z"); // 08:00 in summer time
        let text = site.digest(berlin, "daily", &worker, &mut mail).await;
        assert!(says(&text, "Missed since the last digest: 1"), "{text}");
        site.close(worker).await;
    }

    async fn a_digest_tells_what_was_missed_of_late_however_much_was_before(database: &TestDatabase) {
        let mut mail = MailServer::start().await;
        let site = Site::on(database, "", "").await;
        let worker = site.worker(Some(&mail)).await;
        let before = site.missed(site.community).await;
        let other_id = if database.is_postgres() { "gen_random_uuid()" } else { "randomblob(16)" };
        let columns = "area, number, kind, status, subject, code, external_ref, disputed, deleted, assignee, day, body";
        database
            .execute(&format!(
                "WITH RECURSIVE others (earlier_ms) AS (
                     SELECT 1 UNION ALL SELECT earlier_ms + 1 FROM others WHERE earlier_ms < 10000
                 )
                 INSERT INTO records (id, due_ms, {columns})
                 SELECT {other_id}, due_ms - earlier_ms, {columns} FROM records, others WHERE id = {}",
                database.literal(before.0)
            ))
            .await
            .unwrap();
        site.clock.advance(HOUR * 24 * 2);
        site.missed(site.community).await;
        let text = site.digest(site.district, "daily", &worker, &mut mail).await;
        assert!(says(&text, "Missed since the last digest: 1"), "{text}");
        site.close(worker).await;
    }
}
