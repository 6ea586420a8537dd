//! The figures of the overview, and what leads on from them.

use super::{Browser, DAY, Town, cookie_of, link_from, told};
use hyper::StatusCode;
use rounds_domain::{AreaId, Body, Role, body};
use rounds_proto::v1::Outcome;
use rounds_store::{AuditAction, AuditFilter};
use rounds_tests::{Act, new_id, on_both_databases, visit};
use std::time::Duration;

on_both_databases! {
    async fn every_number_on_the_overview_opens_the_records_behind_it(database: &TestDatabase) {
        let town = Town::on(database).await;
        let mut phone = town.server.enrol(Role::Field, &[town.north]).await;
        let visits = [visit(town.north, town.dwelling), visit(town.north, town.dwelling)];
        let ids = visits.clone().map(|visit| visit.record());
        phone.act(visits.into()).await;
        let browser = town.browser(Role::Supervisor).await;
        let page = browser.page("/").await;
        assert!(page.contains("aria-label=\"Visits: 2\""), "{page}");
        assert!(page.contains("aria-label=\"Dwellings reached: 1\""), "{page}");
        assert!(page.contains("<svg") && page.contains("2026-11-22: 2"), "the chart tells the same: {page}");
        let behind = browser.page(&link_from(&page, "/behind?figure=visit\"")).await;
        for id in ids {
            assert!(behind.contains(&format!("/record/{id}")), "{behind}");
        }
        let reached = browser.page(&link_from(&page, "/behind?figure=dwelling%2Freached\"")).await;
        assert!(reached.contains(&format!("/record/{}", town.dwelling)), "{reached}");
        for (language, words) in [("zh-CN", ["走访次数", "已见到的住户"]), ("zh-TW", ["走訪次數", "已見到的住戶"])] {
            let page = Browser { language, ..browser.clone() }.page("/?period=month").await;
            for word in words {
                assert!(page.contains(word), "{word}: {page}");
            }
        }
        let elsewhere = format!("/behind?figure=visit&area={}", town.south);
        assert_eq!(browser.status(&elsewhere).await, StatusCode::NOT_FOUND);
        assert_eq!(browser.status("/behind?figure=moon").await, StatusCode::NOT_FOUND);
        assert_eq!(browser.status("/?period=fortnight").await, StatusCode::UNPROCESSABLE_ENTITY);
        assert_eq!(browser.status("/?period=week&day=2026-02-30").await, StatusCode::UNPROCESSABLE_ENTITY);
        town.server.stop().await;
    }

    async fn figures_and_records_can_be_had_as_files(database: &TestDatabase) {
        let town = Town::on(database).await;
        let mut phone = town.server.enrol(Role::Field, &[town.north]).await;
        let visited = visit(town.north, town.dwelling);
        let id = visited.record();
        phone.act(vec![visited]).await;
        let browser = town.browser(Role::Supervisor).await;
        let page = browser.page("/?period=day&day=2026-11-22").await;
        for what in ["summary", "visits", "requests", "places"] {
            for format in ["csv", "xlsx", "parquet"] {
                let link = format!("/download?what={what}&format={format}");
                let link = link_from(&page, &link.replace('&', "&#38;"));
                let answer = browser.get(&link).await;
                assert_eq!(answer.status(), StatusCode::OK, "{link}");
                let named = answer.headers()["content-disposition"].to_str().unwrap().to_owned();
                assert!(named.starts_with("attachment; filename=\"") && named.contains(what), "{named}");
                let begins: &[u8] = match format {
                    "csv" => "\u{feff}".as_bytes(),
                    "xlsx" => b"PK",
                    _ => b"PAR1",
                };
                assert!(answer.body().starts_with(begins), "{link}");
            }
        }
        let visits = browser.page("/download?what=visits&format=csv&period=day&day=2026-11-22").await;
        assert!(visits.contains(&id.to_string()), "{visits}");
        let visits = browser.page("/download?what=visits&format=csv&period=day&day=2026-11-21").await;
        assert!(!visits.contains(&id.to_string()), "another day: {visits}");
        let places = browser.page("/download?what=places&format=geojson&period=day&day=2026-11-21").await;
        assert!(places.contains(&town.dwelling.to_string()), "it stands there on any day: {places}");
        let figures = browser.page("/download?what=summary&format=csv").await;
        assert!(figures.contains("visit/outcome/met,1"), "{figures}");
        assert!(browser.page("/download?what=summary&format=md").await.starts_with("# Brief: "));

        let exports = AuditFilter { action: Some(AuditAction::Export), limit: 1, ..AuditFilter::default() };
        let noted = &town.server.store.audit_entries(&exports).await.unwrap()[0];
        assert_eq!((noted.subject.as_str(), noted.detail.as_str()), (town.north.to_string().as_str(), "places"));

        let elsewhere = format!("/download?what=places&format=csv&area={}", town.south);
        assert_eq!(browser.status(&elsewhere).await, StatusCode::NOT_FOUND);
        for unknown in ["what=devices&format=csv", "what=visits&format=exe", "what=summary&format=geojson"] {
            assert_eq!(browser.status(&format!("/download?{unknown}")).await, StatusCode::NOT_FOUND, "{unknown}");
        }
        let field = town.browser(Role::Field).await;
        assert!(!field.page("/").await.contains("/download"));
        assert_eq!(field.status("/download?what=visits&format=csv").await, StatusCode::FORBIDDEN);
        let (status, page) = told(town.browser(Role::Admin).await.get("/download?what=visits&format=csv").await);
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "there are two areas at the top");
        assert!(page.contains("choose one"), "{page}");
        town.server.stop().await;
    }

    async fn what_came_late_is_told_until_the_next_sitting(database: &TestDatabase) {
        let town = Town::on(database).await;
        let mut phone = town.server.enrol(Role::Field, &[town.north]).await;
        let late = phone.seal(visit(town.north, town.dwelling)); // on a Sunday
        let browser = town.browser(Role::Supervisor).await;
        town.server.clock.advance(DAY);
        let mut looked = String::new();
        let mut last_week = async || {
            let cookie = format!("{}; {looked}", browser.cookie);
            let answer = Browser { cookie, ..browser.clone() }.get("/?day=2026-11-22").await;
            looked = cookie_of(&answer);
            told(answer).1
        };
        let news = "on a later day than their own and restated this period: 1.";
        assert!(!last_week().await.contains(news));
        town.server.clock.advance(Duration::from_secs(60));
        phone.send(vec![late]).await.unwrap();
        town.server.clock.advance(DAY);
        assert!(last_week().await.contains(news), "it came since the last sitting");
        town.server.clock.advance(Duration::from_secs(60));
        assert!(last_week().await.contains(news), "looking again does not hide it");
        town.server.clock.advance(Duration::from_secs(60 * 60));
        assert!(!last_week().await.contains(news), "it was seen");
        town.server.stop().await;
    }

    async fn a_page_of_all_areas_tells_days_and_times_in_one_zone(database: &TestDatabase) {
        let town = Town::on(database).await;
        let far = AreaId(new_id());
        let body = body::Area {
            name: "Alphabet City".into(), // before North by its name, after it by its age
            time_zone: "America/New_York".into(),
            ..Default::default()
        };
        let made = Act::create_with_id(far.into(), far, Body::Area(body)).op(&town.server.clock);
        assert_eq!(town.server.admin.change(vec![made]).await[0].outcome(), Outcome::Applied);
        let code = town.server.code(Role::Supervisor, &[town.north, far]).await;
        let answer = town.stranger().sign_in(&code).await;
        let browser = Browser { cookie: cookie_of(&answer), ..town.stranger() };
        town.server.clock.advance(Duration::from_secs(10 * 60 * 60)); // in Shanghai it is the 23rd
        let page = browser.page("/?period=day").await;
        assert!(page.contains("<span class=\"period\">2026-11-23</span>"), "{page}");
        assert!(page.contains("Times in Asia/Shanghai"), "{page}");
        let page = browser.page(&format!("/?period=day&area={far}")).await;
        assert!(page.contains("<span class=\"period\">2026-11-22</span>"), "{page}");
        assert!(page.contains("Times in America/New_York"), "{page}");
        town.server.stop().await;
    }
}
