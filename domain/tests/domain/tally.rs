//! Summaries are sums of counters that are kept by difference, and equal a recount.

use super::history::{Arrivals, histories, runs};
use super::sample::{DAY_MS, START_MS, area, body, op, placed, record_id, step};
use jiff::civil::date;
use jiff::tz::TimeZone;
use proptest::prelude::*;
use rounds_domain::tally::{Tallies, TallyKey, tally};
use rounds_domain::{Action, AreaId, Body, Kind, PlacedOp, Record, fold};

const HOUR_MS: i64 = 3_600_000;

/// Areas 0, 1 and 2 keep the days of different places.
fn zone(of: AreaId) -> TimeZone {
    let names = ["Asia/Shanghai", "America/New_York", "Europe/Berlin"];
    let at = (0..3_u8).position(|number| area(number.into()) == of).expect("one of the three areas");
    TimeZone::get(names[at]).expect("it exists")
}

fn add(tallies: &mut Tallies, record: Option<&Record>, sign: i64) {
    if let Some(record) = record {
        tally(tallies, record, &zone(record.area), sign);
    }
}

fn counted(kinds: Vec<Kind>) -> impl Strategy<Value = Vec<PlacedOp>> {
    let kinds = prop::collection::vec(prop::sample::select(kinds), 1..4);
    kinds
        .prop_flat_map(|kinds| kinds.into_iter().map(histories).collect::<Vec<_>>())
        .prop_map(|histories| {
            let numbered = (0..).zip(histories);
            let renamed = numbered.flat_map(|(number, ops)| {
                ops.into_iter().map(move |mut placed| {
                    placed.op.record = record_id(200 + number);
                    placed
                })
            });
            renamed.collect::<Vec<_>>()
        })
        .prop_shuffle()
}

proptest! {
    #![proptest_config(runs(1_000))]

    #[test]
    fn tallies_by_difference_equal_a_recount(
        ops in counted(vec![Kind::Visit, Kind::Inspection, Kind::Request, Kind::Violation, Kind::FollowUp, Kind::Place])
    ) {
        let mut kept = Tallies::new();
        let mut arrivals = std::collections::BTreeMap::<_, Arrivals>::new();
        for placed in &ops {
            let arrival = arrivals.entry(placed.op.record).or_default();
            let before = arrival.record.clone();
            arrival.take(placed);
            add(&mut kept, before.as_ref(), -1);
            add(&mut kept, arrival.record.as_ref(), 1);
        }
        let mut recounted = Tallies::new();
        for record in arrivals.keys() {
            let of_record: Vec<_> = ops.iter().filter(|placed| placed.op.record == *record).cloned().collect();
            add(&mut recounted, fold(&of_record).0.as_ref(), 1);
        }
        prop_assert!(recounted.values().all(|count| *count > 0), "nothing is counted less than never");
        prop_assert_eq!(kept, recounted);
    }
}

fn measures(record: &Record) -> Vec<(String, i64)> {
    let mut tallies = Tallies::new();
    add(&mut tallies, Some(record), 1);
    tallies.into_iter().map(|(key, count)| (key.measure, count)).collect()
}

fn created(body: Body) -> Record {
    let kind = body.kind();
    fold(&[placed(0, 1, 0, op(kind, Action::Create(Box::new(body))))]).0.expect("it was created")
}

/// The first op of a kind at the start, then steps after so many hours.
fn after_steps(kind: Kind, steps: &[(i64, &str)]) -> Record {
    let first = placed(0, 1, 0, op(kind, super::sample::create(kind)));
    let steps = (2..).zip(steps).map(|(seq, (hours, to))| placed(0, seq, hours * 60, op(kind, step(to))));
    fold(&[first].into_iter().chain(steps).collect::<Vec<_>>()).0.expect("it was created")
}

#[test]
fn each_kind_counts_what_its_summary_asks_for() {
    let one =
        |measures: &[&str]| measures.iter().map(|measure| ((*measure).to_owned(), 1)).collect::<Vec<_>>();
    assert_eq!(measures(&created(body(Kind::Visit))), one(&["visit/outcome/met"]));
    assert_eq!(measures(&created(body(Kind::Inspection))), one(&["inspection/result/needs_attention"]));
    assert_eq!(
        measures(&created(body(Kind::Request))),
        one(&["request/category/water", "request/channel/visit", "request/status/open"]),
    );
    assert_eq!(
        measures(&created(body(Kind::Violation))),
        one(&["violation/sort/dumping", "violation/status/found"]),
    );
    assert_eq!(measures(&created(body(Kind::FollowUp))), one(&["follow_up/recheck/open"]));
    let counted = [Kind::Visit, Kind::Inspection, Kind::Request, Kind::Violation, Kind::FollowUp];
    for kind in Kind::ALL.iter().filter(|kind| !counted.contains(kind)) {
        assert_eq!(measures(&created(body(*kind))), [], "{kind:?}");
    }
}

#[test]
fn times_to_a_stage_go_into_buckets_that_double() {
    for (hours, bucket) in [(0, 0), (1, 1), (2, 2), (3, 2), (4, 3), (7, 3), (8, 4), (24, 5), (24 * 30, 10)] {
        let violation = after_steps(Kind::Violation, &[(hours, "stopped")]);
        let measure = format!("violation/time_to/stopped/{bucket}");
        assert!(measures(&violation).contains(&(measure, 1)), "{hours} h: {:?}", measures(&violation));
    }
    let steps = [(1, "triaged"), (2, "referred"), (9, "resolved"), (40, "verified"), (41, "closed")];
    let measured = measures(&after_steps(Kind::Request, &steps));
    for measure in ["referred/2", "resolved/4", "verified/6"] {
        assert!(measured.contains(&(format!("request/time_to/{measure}"), 1)), "{measure}: {measured:?}");
    }
}

#[test]
fn the_time_to_a_stage_is_that_of_the_first_step_that_counted() {
    let steps = [(1, "restored"), (4, "removed"), (8, "found"), (100, "removed")];
    let measured = measures(&after_steps(Kind::Violation, &steps));
    let times: Vec<_> = measured.iter().filter(|(measure, _)| measure.contains("time_to")).collect();
    assert_eq!(times, [&("violation/time_to/removed/3".to_owned(), 1)]);

    let measured = measures(&after_steps(Kind::Violation, &[(4, "removed"), (5, "stopped")]));
    assert!(!measured.iter().any(|(measure, _)| measure.contains("time_to/stopped")), "{measured:?}");
}

#[test]
fn a_day_is_that_of_the_area_also_where_clocks_change() {
    let berlin = TimeZone::get("Europe/Berlin").expect("it exists");
    let on = |at: &str, zone: &TimeZone| {
        let mut visit = created(body(Kind::Visit));
        visit.created.at_ms = at.parse::<jiff::Timestamp>().expect("a time").as_millisecond();
        let mut tallies = Tallies::new();
        tally(&mut tallies, &visit, zone, 1);
        tallies.into_keys().next().expect("one counter").day
    };
    let shanghai = TimeZone::get("Asia/Shanghai").expect("it exists");
    assert_eq!(on("2026-11-22T15:59:59Z", &shanghai), date(2026, 11, 22));
    assert_eq!(on("2026-11-22T16:00:00Z", &shanghai), date(2026, 11, 23));
    // Midnight in Berlin is 22:00 UTC in summer and 23:00 in winter.
    assert_eq!(on("2026-10-24T22:00:00Z", &berlin), date(2026, 10, 25));
    assert_eq!(on("2026-10-25T22:59:59Z", &berlin), date(2026, 10, 25));
    assert_eq!(on("2026-10-25T23:00:00Z", &berlin), date(2026, 10, 26));
}

#[test]
fn a_late_truth_is_counted_on_its_own_day_and_a_moved_record_in_its_own_area() {
    let monday = placed(1, 1, 0, op(Kind::Visit, super::sample::create(Kind::Visit)));
    let record = fold(std::slice::from_ref(&monday)).0.expect("it was created");
    assert_eq!(record.created.at_ms, START_MS);
    let key = |record: &Record| {
        let mut tallies = Tallies::new();
        add(&mut tallies, Some(record), 1);
        tallies.into_keys().next().expect("one counter")
    };
    let day = jiff::Timestamp::from_millisecond(START_MS).expect("in range").to_zoned(zone(area(0))).date();
    assert_eq!(key(&record), TallyKey { area: area(0), day, measure: "visit/outcome/met".to_owned() });

    let moved = placed(1, 2, 3 * DAY_MS / 60_000, op(Kind::Visit, Action::Move { to: area(1) }));
    let record = fold(&[monday, moved]).0.expect("it was created");
    assert_eq!(key(&record).area, area(1));
    assert!(record.changed.at_ms - START_MS >= 71 * HOUR_MS, "the day is that of the visit, not of the move");
}

#[test]
fn what_was_deleted_counts_nowhere() {
    let first = placed(0, 1, 0, op(Kind::Visit, super::sample::create(Kind::Visit)));
    let gone = placed(0, 2, 1, op(Kind::Visit, Action::Delete { reason: "a mistake".to_owned() }));
    assert_eq!(measures(&fold(&[first, gone]).0.expect("it is still known")), []);
}
