//! Q1: a summary costs the same however much was recorded. Q2: and far less than to count the records.

use super::city::City;
use crate::asked::{Asked, Kind};
use crate::line::{Bound, Line, median, timed};
use crate::site::{Site, connect, now_ms};
use jiff::civil::{Date, date};
use jiff::tz::TimeZone;
use rounds_domain::recurrence::local_day;
use rounds_domain::{Kind as Noun, Role};
use rounds_proto::v1::summary_service_client::SummaryServiceClient;
use rounds_proto::v1::{self, SummarizeRequest, SummaryScope};
use std::time::Duration;
use tonic::Request;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::Channel;

/// Calls in a turn, of which the 99th percentile counts.
const CALLS: usize = 200;

/// Ops of the yardstick.
const FEW: usize = 10_000;

/// A supervisor who asks for the year of a city.
struct Supervisor {
    site: Site,
    client: SummaryServiceClient<Channel>,
    token: MetadataValue<Ascii>,
    area: String,
    ops: usize,
}

impl Supervisor {
    async fn of(kind: Kind, ops: usize, first: Date) -> Self {
        let City { ground, root, ops } = City::found(kind, ops, first).await;
        let token = ground.enrol_as(Role::Supervisor, root).await.1;
        let site = ground.open().await;
        let client = SummaryServiceClient::new(connect(site.address).await);
        let token = format!("Bearer {token}").parse().expect("a token of letters and digits");
        Self { site, client, token, area: root.to_string(), ops }
    }

    async fn year(&mut self) -> v1::Summary {
        let scope =
            SummaryScope { area: self.area.clone(), period: "year".to_owned(), ..SummaryScope::default() };
        // As for a page that was looked at just now; what came late before was told.
        let since_ms = now_ms();
        let asked = SummarizeRequest { scope: Some(scope), since_ms, ..SummarizeRequest::default() };
        let mut request = Request::new(asked);
        request.metadata_mut().insert("authorization", self.token.clone());
        self.client.summarize(request).await.expect("a summary").into_inner().summary.expect("figures")
    }
}

fn p99(mut times: Vec<Duration>) -> f64 {
    times.sort();
    times[times.len() * 99 / 100].as_secs_f64() * 1_000.0
}

/// The same numbers, counted with SQL over the records: the work of the year by sort and stage.
fn counting_sql(kind: Kind, days: (Date, Date)) -> String {
    let field = |name: &str| match kind {
        Kind::Sqlite => format!("body ->> '$.fields.{name}'"),
        Kind::Postgres => format!("body::jsonb -> 'fields' ->> '{name}'"),
    };
    let (visit, inspection, request, violation) =
        (Noun::Visit.number(), Noun::Inspection.number(), Noun::Request.number(), Noun::Violation.number());
    format!(
        "SELECT CAST(sum(n) AS bigint) FROM (SELECT kind, status, word, count(*) AS n FROM (
             SELECT kind, status, CASE kind WHEN {visit} THEN {} WHEN {inspection} THEN {} WHEN {request} THEN {}
                 ELSE {} END AS word
             FROM records WHERE kind IN ({visit}, {inspection}, {request}, {violation}) AND NOT deleted
             AND day BETWEEN '{}' AND '{}') AS counted GROUP BY kind, status, word) AS figures",
        field("outcome"),
        field("result"),
        field("category"),
        field("sort"),
        days.0,
        days.1
    )
}

/// How many dwellings were reached in the year.
fn reached_sql(kind: Kind, days: (Date, Date)) -> String {
    let outcome = match kind {
        Kind::Sqlite => "body ->> '$.fields.outcome'",
        Kind::Postgres => "body::jsonb -> 'fields' ->> 'outcome'",
    };
    format!(
        "SELECT count(DISTINCT subject) FROM records WHERE kind = {} AND NOT deleted
         AND day BETWEEN '{}' AND '{}' AND {outcome} = 'met'",
        Noun::Visit.number(),
        days.0,
        days.1
    )
}

fn value(summary: &v1::Summary, name: &str) -> usize {
    let figure = summary.figures.iter().find(|figure| figure.name == name);
    figure.unwrap_or_else(|| panic!("no figure {name}")).value as usize
}

pub(crate) async fn q1_q2(kind: Kind, asked: &Asked) -> Vec<Line> {
    let today = local_day(now_ms(), &TimeZone::get("Asia/Shanghai").expect("a time zone"));
    let days = (date(today.year(), 1, 1), date(today.year(), 12, 31));
    let first = date(today.year() - 1, 1, 1); // the year before is what it is compared with
    let stored = asked.setting("--stored").unwrap_or(asked.size(100_000, 1_000_000));
    let mut large = Supervisor::of(kind, stored, first).await;
    let mut small = Supervisor::of(kind, FEW, first).await;
    let (mut figures, mut yardsticks, mut counts) = (Vec::new(), Vec::new(), Vec::new());
    for turn in 0..=asked.turns() {
        let (mut times, mut small_times) = (Vec::new(), Vec::new());
        for _ in 0..CALLS {
            times.push(timed(large.year()).await.1);
            small_times.push(timed(small.year()).await.1);
        }
        let ground = &large.site.ground;
        let ((counted, reached), took) = timed(async {
            (ground.number(&counting_sql(kind, days)).await, ground.number(&reached_sql(kind, days)).await)
        })
        .await;
        let summary = large.year().await;
        let told = ["visit", "inspection", "request", "violation"].map(|name| value(&summary, name));
        assert_eq!((told.iter().sum::<usize>(), value(&summary, "dwelling/reached")), (counted, reached));
        if turn > 0 {
            figures.push(p99(times)); // the first turn warms everything up
            yardsticks.push(p99(small_times));
            counts.push(took.as_secs_f64() * 1_000.0);
        }
    }
    let ops = (large.ops, small.ops);
    large.site.close().await;
    small.site.close().await;
    let (figure, yardstick, count) = (median(figures), median(yardsticks), median(counts));
    let p99 = format!("p99 {figure:.1} ms, {} ops", ops.0);
    let q1 = Line {
        id: "Q1",
        database: kind.name(),
        figure: p99.clone(),
        yardstick: format!("p99 {yardstick:.1} ms, {} ops", ops.1),
        value: figure / yardstick,
        floor: Bound::AtMost(2.0),
        goal: Bound::AtMost(1.2),
    };
    let q2 = Line {
        id: "Q2",
        database: kind.name(),
        figure: p99,
        yardstick: format!("{count:.0} ms with SQL over the records"),
        value: count / figure,
        floor: Bound::AtLeast(100.0),
        goal: Bound::AtLeast(1_000.0),
    };
    vec![q1, q2]
}
