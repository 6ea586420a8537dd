//! Summaries: figures that add up, say how complete they are, and lead to the records behind them.

use jiff::ToSpan as _;
use jiff::civil::{Date, date};
use rounds_domain::body::{self, Request, Visit};
use rounds_domain::op::Step;
use rounds_domain::{AreaId, Body, Kind, RecordId, Role};
use rounds_proto::v1;
use rounds_tests::{Act, Peer, TestServer, assert_sound, on_both_databases, reason};
use std::collections::BTreeSet;
use std::time::Duration;
use tonic::{Code, Status};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

fn met(area: AreaId, dwelling: RecordId, outcome: &str) -> Act {
    let body = Visit {
        subject: Some(dwelling),
        purpose: "routine".to_owned(),
        outcome: outcome.to_owned(),
        ..Visit::default()
    };
    Act::create(area, Body::Visit(body))
}

fn ask(area: Option<AreaId>) -> v1::SummarizeRequest {
    of(area, |_| {})
}

/// The week, but for what is said otherwise.
fn of(area: Option<AreaId>, say: impl FnOnce(&mut v1::SummaryScope)) -> v1::SummarizeRequest {
    let area = area.map(|area| area.to_string()).unwrap_or_default();
    let mut scope = v1::SummaryScope { area, period: "week".to_owned(), ..v1::SummaryScope::default() };
    say(&mut scope);
    v1::SummarizeRequest { scope: Some(scope), ..v1::SummarizeRequest::default() }
}

fn days(area: Option<AreaId>, first: &str, last: &str) -> v1::SummarizeRequest {
    of(area, |scope| {
        scope.period.clear();
        scope.first = first.to_owned();
        scope.last = last.to_owned();
    })
}

async fn summarize(peer: &Peer, request: v1::SummarizeRequest) -> Result<v1::SummarizeResponse, Status> {
    Ok(peer.summaries().summarize(request).await?.into_inner())
}

async fn behind(peer: &Peer, area: AreaId, figure: &str, page_size: i32) -> Result<Vec<v1::Record>, Status> {
    let mut request = v1::ListBehindRequest {
        figure: figure.to_owned(),
        scope: ask(Some(area)).scope,
        page_size,
        ..v1::ListBehindRequest::default()
    };
    let mut all = Vec::new();
    loop {
        let page = peer.summaries().list_behind(request.clone()).await?.into_inner();
        assert!(page.records.len() <= page_size as usize);
        all.extend(page.records);
        if page.next_page_token.is_empty() {
            return Ok(all);
        }
        request.page_token = page.next_page_token;
    }
}

fn value(summary: &v1::Summary, name: &str) -> f64 {
    summary.figures.iter().find(|figure| figure.name == name).map_or(0.0, |figure| figure.value)
}

on_both_databases! {
    async fn a_summary_adds_up_a_subtree_and_every_number_opens_the_records_behind_it(database: &TestDatabase) {
        let server = TestServer::start(database).await; // a Sunday
        let district = server.area("District", None).await;
        let (east, west) = (server.area("East", Some(district)).await, server.area("West", Some(district)).await);
        let (one, two) = (server.dwelling(east, "1").await, server.dwelling(east, "2").await);
        let three = server.dwelling(west, "3").await;
        let mut phone = server.enrol(Role::Field, &[district]).await;
        phone.act(vec![met(east, one, "met"), met(east, one, "met"), met(east, two, "no_answer")]).await;
        phone.act(vec![met(west, three, "met")]).await;
        let request = Act::create(west, Body::Request(Request {
            subject: Some(three),
            category: "water".to_owned(),
            channel: "visit".to_owned(),
            ..Request::default()
        }));
        let id = request.record();
        phone.act(vec![request]).await;
        server.clock.advance(Duration::from_secs(3 * 60 * 60));
        let step = |to: &str| Act::step(id, west, Kind::Request, Step { to: to.to_owned(), ..Step::default() });
        phone.act(vec![step("triaged"), step("in_progress"), step("resolved")]).await;

        let supervisor = server.enrol(Role::Supervisor, &[district]).await;
        let divided = v1::SummarizeRequest { division: v1::Division::Area.into(), ..ask(Some(district)) };
        let answer = summarize(&supervisor, divided).await.unwrap();
        let summary = answer.summary.clone().unwrap();
        for (name, expected) in [
            ("visit", 4.0),
            ("visit/outcome/met", 3.0),
            ("dwelling/reached", 2.0),
            ("dwelling/not_reached", 1.0),
            ("place/dwelling", 3.0),
            ("request", 1.0),
            ("request/category/water", 1.0),
            ("request/reached/resolved", 1.0),
            ("request/status/resolved", 1.0),
        ] {
            assert_eq!(value(&summary, name), expected, "{name}");
        }
        let reached = summary.figures.iter().find(|figure| figure.name == "dwelling/reached").unwrap();
        assert_eq!((reached.of, reached.before), (Some(3.0), Some(0.0)));
        let resolved = summary.spreads.iter().find(|spread| spread.name == "request/time_to/resolved").unwrap();
        let hours = resolved.median_ms as f64 / 3_600_000.0;
        assert!(resolved.count == 1 && (2.6..3.4).contains(&hours), "{resolved:?}");
        let parts: Vec<_> = answer.parts.iter().map(|part| {
            (answer.names[&part.key].as_str(), value(part.summary.as_ref().unwrap(), "visit"))
        }).collect();
        assert_eq!(parts, [("East", 3.0), ("West", 1.0)]);
        for (area, told) in [(district, &answer.summary), (east, &answer.parts[0].summary), (west, &answer.parts[1].summary)] {
            let alone = summarize(&supervisor, ask(Some(area))).await.unwrap().summary;
            assert_eq!(&alone, told, "by areas and alone");
        }
        assert_eq!((answer.first.as_str(), answer.last.as_str()), ("2026-11-16", "2026-11-22"));
        assert_eq!(answer.time_zone, "Asia/Shanghai");

        // Page by page, each number is the number of records behind it.
        for figure in &summary.figures {
            if figure.name.starts_with("plan/") {
                continue; // there are none here
            }
            let records = behind(&supervisor, district, &figure.name, 2).await.unwrap();
            assert_eq!(records.len() as f64, figure.value, "{}", figure.name);
        }
        assert_eq!(behind(&supervisor, east, "visit", 100).await.unwrap().len(), 3);
        assert_sound(&server.store).await;
        server.stop().await;
    }

    async fn who_is_met_at_a_building_or_a_partners_is_no_dwelling_reached(database: &TestDatabase) {
        let server = TestServer::start(database).await;
        let area = server.area("East", None).await;
        let dwelling = server.dwelling(area, "1").await;
        let building = body::Place { name: "4".to_owned(), sort: "building".to_owned(), ..body::Place::default() };
        let building = server.add(area, Body::Place(building)).await;
        let partner = body::Organization { name: "Waterworks".to_owned(), ..body::Organization::default() };
        let partner = server.add(area, Body::Organization(partner)).await;
        let mut phone = server.enrol(Role::Field, &[area]).await;
        phone.act([dwelling, building, partner].map(|subject| met(area, subject, "met")).to_vec()).await;
        let summary = summarize(&phone, ask(Some(area))).await.unwrap().summary.unwrap();
        let told = ["visit", "dwelling/reached", "dwelling/not_reached", "place/dwelling"];
        assert_eq!(told.map(|name| value(&summary, name)), [3.0, 1.0, 0.0, 1.0]);
        assert_eq!(behind(&phone, area, "dwelling/reached", 10).await.unwrap().len(), 1);
        server.stop().await;
    }

    async fn any_period_tells_what_a_count_of_the_records_tells(database: &TestDatabase) {
        let server = TestServer::start(database).await;
        let area = server.area("East", None).await;
        let mut dwellings = Vec::new();
        for number in 0..6 {
            dwellings.push(server.dwelling(area, &number.to_string()).await);
        }
        let mut phone = server.enrol(Role::Field, &[area]).await;
        // Some often, some seldom, over more than a year; each at its local day.
        let first = date(2026, 11, 22);
        let mut visited: Vec<(Date, RecordId)> = Vec::new();
        let mut passed = 0;
        for step in 0..40_usize {
            let dwelling = dwellings[[0, 1, 0, 2, 0, 1, 3, 0][step % 8] + step / 20];
            phone.act(vec![met(area, dwelling, "met")]).await;
            visited.push((first + passed.days(), dwelling));
            let days = [1, 3, 0, 9, 14, 2, 30, 21][step % 8];
            passed += days;
            server.clock.advance(DAY * days as u32);
        }
        for (from, until) in [
            (date(2026, 11, 22), date(2026, 11, 22)),
            (date(2026, 11, 22), date(2027, 2, 21)), // 92 days
            (date(2026, 12, 3), date(2027, 3, 5)),   // 93 days
            (date(2026, 12, 1), date(2027, 2, 28)),
            (date(2026, 12, 1), date(2027, 5, 31)), // whole months
            (date(2026, 12, 1), date(2027, 6, 9)),  // whole months and a part of one
            (date(2026, 12, 20), date(2027, 8, 9)),
            (date(2026, 1, 1), date(2027, 12, 31)),
            (date(2027, 6, 1), date(2027, 6, 30)),
        ] {
            let request = days(Some(area), &from.to_string(), &until.to_string());
            let summary = summarize(&phone, request).await.unwrap().summary.unwrap();
            let counted: Vec<_> = visited.iter().filter(|(day, _)| (from..=until).contains(day)).collect();
            assert_eq!(value(&summary, "visit"), counted.len() as f64, "{from} to {until}");
            let reached = |from: Date, until: Date| {
                let within = visited.iter().filter(|(day, _)| (from..=until).contains(day));
                within.map(|(_, dwelling)| *dwelling).collect::<BTreeSet<_>>().len()
            };
            assert_eq!(value(&summary, "dwelling/reached"), reached(from, until) as f64, "{from} to {until}");
            let there = if until < first { 0 } else { dwellings.len() };
            let end = until.min(first + passed.days()); // a period that is not over
            let not_reached = there - reached(end - 89.days(), end);
            assert_eq!(value(&summary, "dwelling/not_reached"), not_reached as f64, "{from} to {until}");
        }
        server.stop().await;
    }

    async fn work_is_in_time_until_the_last_day_that_the_law_allows(database: &TestDatabase) {
        let server = TestServer::start(database).await; // a Sunday, the 22nd of November
        let area = server.area("East", None).await;
        let elevator = body::Asset { name: "1".to_owned(), sort: "elevator".to_owned(), ..body::Asset::default() };
        let elevator = server.add(area, Body::Asset(elevator)).await;
        for (sort, gap_days) in [("maintenance", 15), ("descaling", 92)] {
            let plan = body::Plan {
                subject: Some(elevator),
                sort: sort.to_owned(),
                rule: "FREQ=DAILY;INTERVAL=14".to_owned(),
                gap_days_max: Some(gap_days),
                ..body::Plan::default()
            };
            server.add(area, Body::Plan(plan)).await;
        }
        let mut phone = server.enrol(Role::Field, &[area]).await;
        let done = |sort: &str| {
            let inspection = body::Inspection {
                subject: Some(elevator),
                result: "pass".to_owned(),
                sort: sort.to_owned(),
                ..body::Inspection::default()
            };
            Act::create(area, Body::Inspection(inspection))
        };
        phone.act(vec![done("maintenance"), done("descaling")]).await;
        let this_week = async |figure: &str| {
            let summary = summarize(&phone, ask(Some(area))).await.unwrap().summary.unwrap();
            let listed = behind(&phone, area, figure, 10).await.unwrap();
            let told = value(&summary, figure);
            assert_eq!(told, listed.len() as f64, "{figure}");
            told
        };
        assert_eq!(this_week("in_time/maintenance/15").await, 1.0);
        assert_eq!(this_week("in_time/descaling/92").await, 1.0);
        // A Monday: the week goes on until the 13th, and by then it may be done again.
        server.clock.advance(DAY * 15);
        assert_eq!(this_week("in_time/maintenance/15").await, 1.0, "on the last day that the law allows");
        server.clock.advance(DAY);
        assert_eq!(this_week("in_time/maintenance/15").await, 0.0, "a day late");
        server.clock.advance(DAY * 76); // 92 in all
        assert_eq!(this_week("in_time/descaling/92").await, 1.0);
        server.clock.advance(DAY);
        assert_eq!(this_week("in_time/descaling/92").await, 0.0);

        // Of periods that are over, their last day counts.
        for (last, in_time) in [("2026-12-07", 1.0), ("2026-12-08", 0.0)] {
            let summary = summarize(&phone, days(Some(area), "2026-12-01", last)).await.unwrap().summary.unwrap();
            assert_eq!(value(&summary, "in_time/maintenance/15"), in_time, "until {last}");
        }
        server.stop().await;
    }

    async fn a_dwelling_is_not_missed_before_its_days_are_over(database: &TestDatabase) {
        let server = TestServer::start(database).await; // a Sunday, the 22nd of November
        let area = server.area("East", None).await;
        let dwelling = server.dwelling(area, "1").await;
        let mut phone = server.enrol(Role::Field, &[area]).await;
        phone.act(vec![met(area, dwelling, "met")]).await;
        let mut passed = 0;
        // Each a day within a week that is not over, and the day after.
        for (days, last_day) in [(30_i32, 29_u32), (0, 89), (95, 94)] {
            for (day, not_reached) in [(last_day, 0.0), (last_day + 1, 1.0)] {
                server.clock.advance(DAY * (day - passed));
                passed = day;
                let week = of(Some(area), |scope| scope.not_reached_days = days);
                let summary = summarize(&phone, week.clone()).await.unwrap().summary.unwrap();
                let told = value(&summary, "dwelling/not_reached");
                assert_eq!(told, not_reached, "of {days} days, {day} days later");
                let request = v1::ListBehindRequest {
                    figure: "dwelling/not_reached".to_owned(),
                    scope: week.scope,
                    page_size: 10,
                    ..v1::ListBehindRequest::default()
                };
                let listed = phone.summaries().list_behind(request).await.unwrap().into_inner().records;
                assert_eq!(listed.len() as f64, told, "of {days} days, {day} days later");
            }
        }
        server.stop().await;
    }

    async fn a_list_of_what_is_behind_a_figure_ends_with_the_last_of_it(database: &TestDatabase) {
        let server = TestServer::start(database).await;
        let area = server.area("East", None).await;
        let dwelling = server.dwelling(area, "1").await;
        let mut phone = server.enrol(Role::Field, &[area]).await;
        for outcome in ["met", "refused", "met", "refused", "met", "met"] {
            phone.act(vec![met(area, dwelling, outcome)]).await;
            server.clock.advance(DAY);
        }
        let mut request = v1::ListBehindRequest {
            figure: "visit/outcome/refused".to_owned(),
            scope: days(Some(area), "2026-11-22", "2026-11-30").scope,
            page_size: 1,
            ..v1::ListBehindRequest::default()
        };
        let first = phone.summaries().list_behind(request.clone()).await.unwrap().into_inner();
        request.page_token = first.next_page_token;
        let second = phone.summaries().list_behind(request).await.unwrap().into_inner();
        assert_eq!((first.records.len(), second.records.len()), (1, 1));
        assert!(first.records[0].id != second.records[0].id && second.next_page_token.is_empty());
        server.stop().await;
    }

    async fn freshness_counts_phones_that_serve_the_area_and_no_others(database: &TestDatabase) {
        let server = TestServer::start(database).await;
        let district = server.area("District", None).await;
        let (east, west) = (server.area("East", Some(district)).await, server.area("West", Some(district)).await);
        let corner = server.area("Corner", Some(east)).await;
        let disputed = async |area: AreaId| {
            let body = Request { category: "water".to_owned(), channel: "visit".to_owned(), ..Request::default() };
            let request = server.add(area, Body::Request(body)).await;
            let step = Step { to: "closed".to_owned(), ..Step::default() }; // nobody looked at it yet
            let step = Act::step(request, area, Kind::Request, step).op(&server.clock);
            assert_eq!(server.admin.change(vec![step]).await[0].outcome(), v1::Outcome::NotApplied);
            request
        };
        disputed(east).await;
        disputed(west).await;
        let deletion = rounds_domain::Action::Delete { reason: "entered twice".to_owned() };
        let deletion = Act::on(disputed(east).await, east, Kind::Request, deletion).op(&server.clock);
        assert_eq!(server.admin.change(vec![deletion]).await[0].outcome(), v1::Outcome::Applied);

        let call = async |area: AreaId, unsent_ops: u64| {
            let phone = server.enrol(Role::Field, &[area]).await;
            let clock = Some(phone.clocks());
            let request = v1::SyncRequest { unsent_ops, clock, ..v1::SyncRequest::default() };
            phone.sync().sync(request).await.unwrap();
            phone.id.to_string()
        };
        call(district, 1).await;
        server.clock.advance(DAY * 2);
        let heard_ms = server.clock.now_ms();
        for (area, unsent_ops) in [(east, 2), (corner, 4), (west, 8)] {
            call(area, unsent_ops).await;
        }
        let (assigned, revoked) = (call(east, 16).await, call(east, 32).await);
        let assign = v1::AssignRequest { device: assigned, areas: vec![west.to_string()] };
        server.admin.devices().assign(assign).await.unwrap();
        server.admin.devices().revoke(v1::RevokeRequest { device: revoked }).await.unwrap();

        let server = server.restart().await; // contacts are written soon, and before the store closes
        let freshness = summarize(&server.admin, ask(Some(east))).await.unwrap().freshness.unwrap();
        let phones = (freshness.devices, freshness.silent_devices, freshness.unsent_ops, freshness.heard_ms);
        assert_eq!(phones, (3, 1, 1 + 2 + 4, heard_ms));
        assert_eq!(freshness.disputed_records, 1);

        for area in [district, east, corner, west] {
            let mut phone = server.enrol(Role::Field, &[area]).await;
            let op = phone.seal_bytes(b"not an op".to_vec());
            phone.send(vec![op]).await.unwrap();
        }
        let freshness = summarize(&server.admin, ask(Some(east))).await.unwrap().freshness.unwrap();
        assert_eq!(freshness.quarantined_ops, 2, "those who hold the east see to what names no area there and below");
        server.stop().await;
    }

    async fn a_late_upload_changes_last_weeks_number_and_the_summary_says_so(database: &TestDatabase) {
        let server = TestServer::start(database).await;
        let area = server.area("East", None).await;
        let dwelling = server.dwelling(area, "1").await;
        let mut phone = server.enrol(Role::Field, &[area]).await;
        let supervisor = server.enrol(Role::Supervisor, &[area]).await;
        phone.pull().await;
        let visit = phone.seal(met(area, dwelling, "met")); // on Sunday, in a basement
        server.clock.advance(DAY * 2);
        let last_week = of(Some(area), |scope| scope.day = "2026-11-22".to_owned());
        let seen = summarize(&supervisor, last_week.clone()).await.unwrap();
        assert_eq!(value(seen.summary.as_ref().unwrap(), "visit"), 0.0);
        let freshness = seen.freshness.unwrap();
        assert_eq!((freshness.devices, freshness.silent_devices), (1, 1), "the phone is in the basement still");
        assert_eq!(freshness.late, []);

        server.clock.advance(Duration::from_secs(60));
        phone.send(vec![visit]).await.unwrap(); // on Tuesday
        let since = v1::SummarizeRequest { since_ms: seen.as_of_ms, ..last_week.clone() };
        let restated = summarize(&supervisor, since).await.unwrap();
        assert_eq!(value(restated.summary.as_ref().unwrap(), "visit"), 1.0);
        let late = restated.freshness.unwrap().late;
        assert_eq!(late.len(), 1);
        assert_eq!((late[0].day.as_str(), late[0].ops), ("2026-11-22", 1));
        let this_week = summarize(&supervisor, ask(Some(area))).await.unwrap().summary.unwrap();
        let visits = this_week.figures.iter().find(|figure| figure.name == "visit").unwrap();
        assert_eq!((visits.value, visits.before), (0.0, Some(0.0)), "Sunday is no part of Monday and Tuesday");
        let now = v1::SummarizeRequest { since_ms: restated.as_of_ms, ..last_week };
        assert_eq!(summarize(&supervisor, now).await.unwrap().freshness.unwrap().late, []);
        server.stop().await;
    }

    async fn a_period_is_told_by_days_weeks_and_months(database: &TestDatabase) {
        let server = TestServer::start(database).await;
        let area = server.area("East", None).await;
        let dwelling = server.dwelling(area, "1").await;
        let mut phone = server.enrol(Role::Field, &[area]).await;
        for days in [1, 1, 7, 30] {
            phone.act(vec![met(area, dwelling, "met")]).await;
            server.clock.advance(DAY * days);
        }
        let parts = async |division: v1::Division| {
            let request = days(Some(area), "2026-11-01", "2026-12-31");
            let request = v1::SummarizeRequest { division: division.into(), ..request };
            let answer = summarize(&phone, request).await.unwrap();
            let parts = answer.parts.into_iter().map(|part| (part.key, value(&part.summary.unwrap(), "visit")));
            parts.collect::<Vec<_>>()
        };
        let told = |parts: &[(&str, f64)]| {
            parts.iter().map(|(day, visits)| ((*day).to_owned(), *visits)).collect::<Vec<_>>()
        };
        let by_day = [("2026-11-22", 1.0), ("2026-11-23", 1.0), ("2026-11-24", 1.0), ("2026-12-01", 1.0)];
        assert_eq!(parts(v1::Division::Day).await, told(&by_day));
        let weeks = [("2026-11-16", 1.0), ("2026-11-23", 2.0), ("2026-11-30", 1.0)];
        assert_eq!(parts(v1::Division::Week).await, told(&weeks));
        assert_eq!(parts(v1::Division::Month).await, told(&[("2026-11-01", 3.0), ("2026-12-01", 1.0)]));
        server.stop().await;
    }

    async fn figures_of_a_worker_are_for_that_worker_and_for_coordinators(database: &TestDatabase) {
        let server = TestServer::start(database).await;
        let area = server.area("East", None).await;
        let dwelling = server.dwelling(area, "1").await;
        let worker = async |name: &str| {
            server.add(area, Body::Worker(body::Worker { name: name.to_owned(), ..body::Worker::default() })).await
        };
        let (lin, wei) = (worker("Lin").await, worker("Wei").await);
        let phone = async |worker: RecordId| {
            let code = server.code_for(v1::CreateCodeRequest {
                role: v1::Role::Field.into(),
                areas: vec![area.to_string()],
                worker: worker.to_string(),
                ..v1::CreateCodeRequest::default()
            }).await;
            Peer::enrol(server.channel().await, server.clock.clone(), &code).await.unwrap()
        };
        let (mut lins, weis) = (phone(lin).await, phone(wei).await);
        lins.act(vec![met(area, dwelling, "met"), met(area, dwelling, "met")]).await;
        let own = |worker: RecordId| v1::SummarizeRequest { worker: worker.to_string(), ..ask(Some(area)) };
        let visits = |answer: v1::SummarizeResponse| {
            value(&answer.summary.unwrap(), &format!("worker/{lin}/visit"))
        };
        assert_eq!(visits(summarize(&lins, own(lin)).await.unwrap()), 2.0);
        let coordinator = server.enrol(Role::Coordinator, &[area]).await;
        assert_eq!(visits(summarize(&coordinator, own(lin)).await.unwrap()), 2.0);
        let supervisor = server.enrol(Role::Supervisor, &[area]).await;
        for other in [&weis, &supervisor] {
            let refused = summarize(other, own(lin)).await.unwrap_err();
            assert_eq!(refused.code(), Code::PermissionDenied);
            let refused = behind(other, area, &format!("worker/{lin}/visit"), 10).await.unwrap_err();
            assert_eq!(refused.code(), Code::PermissionDenied);
            let all = summarize(other, ask(Some(area))).await.unwrap().summary.unwrap();
            assert!(all.figures.iter().all(|figure| !figure.name.contains("worker")), "nobody is ranked");
        }
        assert_eq!(behind(&lins, area, &format!("worker/{lin}/visit"), 10).await.unwrap().len(), 2);
        server.stop().await;
    }

    async fn summaries_are_bound_to_the_areas_of_the_caller(database: &TestDatabase) {
        let server = TestServer::start(database).await;
        let (east, west) = (server.area("East", None).await, server.area("West", None).await);
        let dwelling = server.dwelling(west, "1").await;
        let mut phone = server.enrol(Role::Field, &[west]).await;
        phone.act(vec![met(west, dwelling, "met")]).await;
        let supervisor = server.enrol(Role::Supervisor, &[east]).await;
        let refused = summarize(&supervisor, ask(Some(west))).await.unwrap_err();
        assert_eq!((refused.code(), reason(&refused).as_str()), (Code::NotFound, "NOT_FOUND"));
        assert_eq!(behind(&supervisor, west, "visit", 10).await.unwrap_err().code(), Code::NotFound);
        assert_eq!(value(&summarize(&supervisor, ask(None)).await.unwrap().summary.unwrap(), "visit"), 0.0);
        assert_eq!(value(&summarize(&server.admin, ask(None)).await.unwrap().summary.unwrap(), "visit"), 1.0);
        let water = body::Organization { name: "Water".to_owned(), ..body::Organization::default() };
        let water = server.add(west, Body::Organization(water)).await;
        let partner = server.enrol_partner(water, &[west]).await;
        assert_eq!(summarize(&partner, ask(Some(west))).await.unwrap_err().code(), Code::PermissionDenied);
        server.stop().await;
    }

    async fn what_was_moved_elsewhere_is_not_behind_the_figures_of_its_former_area(database: &TestDatabase) {
        let server = TestServer::start(database).await;
        let (east, west) = (server.area("East", None).await, server.area("West", None).await);
        let dwelling = server.dwelling(east, "1").await;
        let mut phone = server.enrol(Role::Field, &[east]).await;
        let supervisor = server.enrol(Role::Supervisor, &[east]).await;
        phone.act(vec![met(east, dwelling, "met")]).await;
        assert_eq!(behind(&supervisor, east, "dwelling/reached", 10).await.unwrap().len(), 1);

        let moved = Act::on(dwelling, east, Kind::Place, rounds_domain::Action::Move { to: west });
        let verdicts = server.admin.change(vec![moved.op(&server.clock)]).await;
        assert_eq!(verdicts[0].outcome(), v1::Outcome::Applied);
        for peer in [&supervisor, &phone] {
            assert_eq!(behind(peer, east, "dwelling/reached", 10).await.unwrap(), []);
        }
        let admin = behind(&server.admin, east, "dwelling/reached", 10).await.unwrap();
        assert_eq!(admin.len(), 1, "who may read West reads it");
        server.stop().await;
    }

    async fn figures_tell_nothing_of_what_an_op_names_in_areas_of_others(database: &TestDatabase) {
        let server = TestServer::start(database).await;
        let (east, west) = (server.area("East", None).await, server.area("West", None).await);
        let dwelling = server.dwelling(east, "1").await;
        let organization = async |name: &str| {
            let body = body::Organization { name: name.to_owned(), ..body::Organization::default() };
            server.add(west, Body::Organization(body)).await
        };
        let (water, power) = (organization("Water").await, organization("Power").await);
        let pots = body::Commitment {
            organization: Some(water),
            goal: "Pots".to_owned(),
            ..body::Commitment::default()
        };
        let pots = server.add(west, Body::Commitment(pots)).await;
        let tree = body::Asset { name: "Old oak".to_owned(), sort: "tree".to_owned(), ..body::Asset::default() };
        let tree = server.add(west, Body::Asset(tree)).await;

        let request = Request { category: "water".to_owned(), channel: "visit".to_owned(), ..Request::default() };
        let request = server.add(east, Body::Request(request)).await;
        let due_at_ms = Some(server.clock.now_ms());
        for step in [
            Step { to: "triaged".to_owned(), ..Step::default() },
            Step { to: "referred".to_owned(), organization: Some(water), due_at_ms, ..Step::default() },
        ] {
            let step = Act::step(request, east, Kind::Request, step).op(&server.clock);
            assert_eq!(server.admin.change(vec![step]).await[0].outcome(), v1::Outcome::Applied);
        }
        let follow_up = body::FollowUp {
            source: Some(request),
            sort: "recheck".to_owned(),
            due_at_ms,
            organization: Some(power),
            ..body::FollowUp::default()
        };
        server.add(east, Body::FollowUp(follow_up)).await;
        for (subject, commitment) in [(dwelling, Some(pots)), (tree, None)] {
            let inspection = body::Inspection {
                subject: Some(subject),
                result: "pass".to_owned(),
                sort: "watering".to_owned(),
                commitment,
                ..body::Inspection::default()
            };
            server.add(east, Body::Inspection(inspection)).await;
        }

        let supervisor = server.enrol(Role::Supervisor, &[east]).await;
        let names = async |peer: &Peer| {
            let names = summarize(peer, ask(Some(east))).await.unwrap().names;
            [water, power, pots].map(|id| names.get(&id.to_string()).cloned())
        };
        assert_eq!(names(&server.admin).await, ["Water", "Power", "Pots"].map(|name| Some(name.to_owned())));
        assert_eq!(names(&supervisor).await, [None, None, None]);
        let watered = async |peer: &Peer| {
            let records = behind(peer, east, "attended/watering", 10).await.unwrap();
            records.into_iter().map(|record| record.id).collect::<BTreeSet<_>>()
        };
        let both = BTreeSet::from([dwelling.to_string(), tree.to_string()]);
        assert_eq!(watered(&server.admin).await, both);
        assert_eq!(watered(&supervisor).await, BTreeSet::from([dwelling.to_string()]));
        server.stop().await;
    }

    async fn any_number_of_days_without_a_visit_can_be_asked_for(database: &TestDatabase) {
        let server = TestServer::start(database).await;
        let area = server.area("East", None).await;
        let (one, two) = (server.dwelling(area, "1").await, server.dwelling(area, "2").await);
        let mut phone = server.enrol(Role::Field, &[area]).await;
        phone.act(vec![met(area, one, "met")]).await;
        let longest = of(Some(area), |scope| scope.not_reached_days = i32::MAX);
        let summary = summarize(&phone, longest.clone()).await.unwrap().summary.unwrap();
        assert_eq!(value(&summary, "dwelling/not_reached"), 1.0);
        let request = v1::ListBehindRequest {
            figure: "dwelling/not_reached".to_owned(),
            scope: longest.scope,
            page_size: 10,
            ..v1::ListBehindRequest::default()
        };
        let records = phone.summaries().list_behind(request).await.unwrap().into_inner().records;
        assert_eq!(records.iter().map(|record| record.id.as_str()).collect::<Vec<_>>(), [two.to_string()]);
        server.stop().await;
    }

    async fn a_question_that_makes_no_sense_is_told_what_is_wrong(database: &TestDatabase) {
        let server = TestServer::start(database).await;
        let area = server.area("East", None).await;
        let wrong = |request: v1::SummarizeRequest| {
            let admin = server.admin.clone();
            async move {
                let refused = summarize(&admin, request).await.unwrap_err();
                assert_eq!(refused.code(), Code::InvalidArgument, "{refused:?}");
                refused.message().to_owned()
            }
        };
        assert!(wrong(of(None, |scope| scope.period = "fortnight".into())).await.contains("week"));
        assert!(wrong(of(None, |scope| scope.day = "tomorrow".into())).await.contains("2026-11-22"));
        assert!(wrong(v1::SummarizeRequest { division: 99, ..ask(None) }).await.contains("division"));
        assert!(wrong(v1::SummarizeRequest { worker: "x".into(), ..ask(None) }).await.contains("worker"));
        assert!(wrong(days(Some(area), "2026-11-22", "2026-11-21")).await.contains("after"));
        assert!(wrong(days(Some(area), "2026-11-22", "")).await.contains("last"));
        assert!(wrong(of(None, |scope| scope.not_reached_days = -1)).await.contains("negative"));
        let no_figure = behind(&server.admin, area, "moon/phase", 10).await.unwrap_err();
        assert_eq!(no_figure.code(), Code::NotFound);
        server.stop().await;
    }
}
