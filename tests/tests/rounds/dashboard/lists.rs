//! Lists of follow-ups and referrals, and the page of a record.

use super::{DAY, DAY_MS, Town, link_from};
use rounds_domain::{Body, Kind, RecordId, Role, body};
use rounds_proto::v1::Outcome;
use rounds_tests::{Act, on_both_databases, visit};
use serde_json::json;
use std::time::Duration;

on_both_databases! {
    async fn follow_ups_are_counted_by_day_and_listed_by_urgency(database: &TestDatabase) {
        let town = Town::on(database).await;
        let made = town.follow_ups("maintenance", &[-2, -1, 1, 1]).await;
        town.follow_ups("watering", &[1]).await;
        let browser = town.browser(Role::Supervisor).await;
        // It is the 22nd, 16 h in Shanghai.
        let page = browser.page("/follow-ups").await;
        assert!(page.contains("2026-11") && page.contains("4-2-301"), "{page}");
        assert_eq!(page.matches("<th scope=\"row\">").count(), 2, "what is overdue comes first");
        let first = page.find(&made[0].to_string()).unwrap();
        assert!(first < page.find(&made[1].to_string()).unwrap());
        let page = browser.page(&link_from(&page, "/follow-ups?day=2026-11-01&#38;on=2026-11-23")).await;
        assert_eq!(page.matches("<th scope=\"row\">").count(), 3);
        let page = browser.page("/follow-ups?on=2026-11-23&sort=watering").await;
        assert_eq!(page.matches("<th scope=\"row\">").count(), 1);
        for (asked, rows) in [("show=today", 0), ("show=open", 5), ("show=done", 0), ("show=all&view=week&day=2026-11-23", 3)] {
            let page = browser.page(&format!("/follow-ups?{asked}")).await;
            assert_eq!(page.matches("<th scope=\"row\">").count(), rows, "{asked}");
        }
        let overview = browser.page("/").await;
        assert!(overview.contains("<strong>2</strong> Overdue follow-ups"), "{overview}");
        town.server.stop().await;
    }

    async fn a_long_list_goes_on_where_the_page_ended(database: &TestDatabase) {
        let town = Town::on(database).await;
        let made = town.follow_ups("watering", &[-1; 60]).await;
        let browser = town.browser(Role::Field).await;
        let first = browser.page("/follow-ups").await;
        let next = browser.page(&link_from(&first, "/follow-ups?day=2026-11-01&#38;show=overdue&#38;after=")).await;
        let has = |page: &str, id: &RecordId| page.contains(&format!("href=\"/record/{id}\""));
        let on = |page: &str| made.iter().filter(|id| has(page, id)).count();
        assert_eq!((on(&first), on(&next)), (50, 10));
        assert!(made.iter().all(|id| has(&first, id) != has(&next, id)));
        town.server.stop().await;
    }

    async fn a_record_tells_how_it_came_about_and_what_is_about_it(database: &TestDatabase) {
        let town = Town::on(database).await;
        let (_, mut phone) = town.conflict().await;
        let call = visit(town.north, town.dwelling);
        let id = call.record();
        phone.act(vec![call]).await;
        let browser = town.browser(Role::Supervisor).await;
        let page = browser.page(&format!("/record/{}", town.dwelling)).await;
        for shown in [
            "Dwelling", "Recorded", "Name: 4-2-301 → B", "Applied, with a conflict", "test", "Met",
            &format!("/record/{id}"),
        ] {
            assert!(page.contains(shown), "{shown} is not in {page}");
        }
        let page = browser.page(&format!("/record/{id}")).await;
        assert!(page.contains("Routine") && page.contains(&format!("href=\"/record/{}\"", town.dwelling)), "{page}");
        town.server.stop().await;
    }

    async fn referrals_are_told_by_partner_with_their_clocks(database: &TestDatabase) {
        let town = Town::on(database).await;
        let water = body::Organization { name: "Water & Co".into(), ..Default::default() };
        let water = town.server.add(town.north, Body::Organization(water)).await;
        let request = body::Request {
            subject: Some(town.dwelling),
            category: "water".into(),
            channel: "phone".into(),
            ..Default::default()
        };
        let request = town.server.add(town.north, Body::Request(request)).await;
        town.server.clock.advance(Duration::from_secs(2 * 60 * 60));
        for step in [
            json!({ "to": "triaged" }),
            json!({ "to": "referred", "organization": water, "due_at_ms": town.server.clock.now_ms() + DAY_MS }),
        ] {
            let step = serde_json::from_value(step).unwrap();
            let act = Act::step(request, town.north, Kind::Request, step);
            let verdicts = town.server.admin.change(vec![act.op(&town.server.clock)]).await;
            assert_eq!(verdicts[0].outcome(), Outcome::Applied);
            town.server.clock.advance(Duration::from_secs(1));
        }
        let browser = town.browser(Role::Coordinator).await;
        let page = browser.page("/referrals").await;
        for shown in ["Water &#38; Co", "Referred", "23 h 59 min", ">2 h<"] {
            assert!(page.contains(shown), "{shown} is not in {page}");
        }
        assert!(browser.page("/referrals?show=overdue").await.contains("There is nothing here"));
        town.server.clock.advance(DAY + Duration::from_secs(60));
        assert!(browser.page("/referrals?show=overdue").await.contains("1 min late"));
        assert!(browser.page("/").await.contains("<strong>1</strong> Overdue referrals"));
        town.server.stop().await;
    }

    async fn referrals_are_listed_by_urgency_whenever_they_are_due(database: &TestDatabase) {
        let town = Town::on(database).await;
        let water = body::Organization { name: "Water & Co".into(), ..Default::default() };
        let water = town.server.add(town.north, Body::Organization(water)).await;
        let now_ms = town.server.clock.now_ms();
        let due = |hours: i64| now_ms + hours * 60 * 60 * 1_000;
        // The first and the last moment that can be said, and more in between than a page shows.
        let mut all = vec![i64::MIN, i64::MAX];
        all.extend((1..=100).map(due));
        let mut made = Vec::new();
        for due_ms in all.iter().rev() {
            let request = body::Request {
                subject: Some(town.dwelling),
                category: "water".into(),
                channel: "phone".into(),
                ..Default::default()
            };
            let request = Act::create(town.north, Body::Request(request));
            let id = request.record();
            let step = |step| {
                let step = serde_json::from_value(step).unwrap();
                Act::step(id, town.north, Kind::Request, step)
            };
            let referred = step(json!({ "to": "referred", "organization": water, "due_at_ms": due_ms }));
            let acts = [request, step(json!({ "to": "triaged" })), referred];
            let verdicts = town.server.admin.change(acts.map(|act| act.op(&town.server.clock)).into()).await;
            assert!(verdicts.iter().all(|verdict| verdict.outcome() == Outcome::Applied), "{verdicts:?}");
            made.push((*due_ms, id));
        }
        made.sort();
        let browser = town.browser(Role::Coordinator).await;
        let first = browser.page("/referrals").await;
        let next = browser.page(&link_from(&first, "/referrals?after=100")).await;
        let listed: Vec<&str> = [&first, &next]
            .into_iter()
            .flat_map(|page| page.split("<th scope=\"row\"><a href=\"/record/").skip(1))
            .map(|row| row.split('"').next().unwrap())
            .collect();
        let expected: Vec<String> = made.iter().map(|(_, id)| id.to_string()).collect();
        assert_eq!(listed, expected);
        assert!(browser.page("/").await.contains("<strong>1</strong> Overdue referrals"));
        town.server.stop().await;
    }
}
