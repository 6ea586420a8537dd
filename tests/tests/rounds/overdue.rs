//! What counts as overdue.

use jiff::civil::date;
use jiff::tz::TimeZone;
use rounds_domain::recurrence::day_start_ms;
use rounds_domain::{Body, RecordId, body};
use rounds_proto::v1;
use rounds_tests::{TestServer, new_id, on_both_databases};

const OVERDUE: &str = "follow_up/overdue";

on_both_databases! {
    async fn what_is_due_today_is_not_overdue(database: &TestDatabase) {
        let server = TestServer::start(database).await; // the 22nd of November, 16:00 there
        let area = server.area("East", None).await;
        let due = async |due_at_ms| {
            let follow_up = body::FollowUp {
                source: Some(RecordId(new_id())),
                sort: "recheck".to_owned(),
                due_at_ms: Some(due_at_ms),
                ..body::FollowUp::default()
            };
            server.add(area, Body::FollowUp(follow_up)).await
        };
        let today_ms = day_start_ms(date(2026, 11, 22), &TimeZone::get("Asia/Shanghai").unwrap());
        let yesterday = due(today_ms - 1).await;
        due(today_ms).await;

        let scope = v1::SummaryScope {
            area: area.to_string(),
            period: "week".to_owned(),
            ..v1::SummaryScope::default()
        };
        let request = v1::SummarizeRequest { scope: Some(scope.clone()), ..v1::SummarizeRequest::default() };
        let told = server.admin.summaries().summarize(request).await.unwrap().into_inner().summary.unwrap();
        let overdue = told.figures.iter().find(|figure| figure.name == OVERDUE).unwrap();
        assert_eq!(overdue.value, 1.0);
        let request = v1::ListBehindRequest {
            figure: OVERDUE.to_owned(),
            scope: Some(scope),
            page_size: 10,
            ..v1::ListBehindRequest::default()
        };
        let listed = server.admin.summaries().list_behind(request).await.unwrap().into_inner().records;
        assert_eq!(listed.iter().map(|it| it.id.as_str()).collect::<Vec<_>>(), [yesterday.to_string()]);
        server.stop().await;
    }
}
