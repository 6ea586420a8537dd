//! Summaries are sums of counters that are kept by difference, and equal a recount.

use super::history::{Arrivals, histories, runs};
use super::sample::{DAY_MS, START_MS, area, body, op, placed, record_id, step};
use jiff::civil::date;
use jiff::tz::TimeZone;
use proptest::prelude::*;
use rounds_domain::tally::{Tallies, TallyKey, Unit, bucket, bucket_range, contribution};
use rounds_domain::{Action, AreaId, Body, Kind, PlacedOp, Record, fold};

const HOUR_MS: i64 = 3_600_000;

/// Areas 0, 1 and 2 keep the days of different places.
fn zone(of: AreaId) -> TimeZone {
    let names = ["Asia/Shanghai", "America/New_York", "Europe/Berlin"];
    let at = (0..3_u8).position(|number| area(number.into()) == of).expect("one of the three areas");
    TimeZone::get(names[at]).expect("it exists")
}

fn add(tallies: &mut Tallies, record: Option<&Record>, sign: i64) {
    let Some(record) = record else { return };
    let Some(contribution) = contribution(record, &zone(record.area)) else { return };
    for (measure, count) in contribution.measures {
        let key = TallyKey { area: record.area, unit: Unit::Day, day: contribution.day, measure };
        rounds_domain::tally::add(tallies, key, sign * count);
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
    let one = |measures: &[&str]| {
        let mut measures: Vec<_> = measures.iter().map(|measure| ((*measure).to_owned(), 1)).collect();
        measures.sort();
        measures
    };
    let worker =
        placed(0, 1, 0, op(Kind::Visit, super::sample::create(Kind::Visit))).worker.expect("a worker");
    let id = record_id(60);
    assert_eq!(
        measures(&created(body(Kind::Visit))),
        one(&["visit/outcome/met", &format!("worker/{worker}/visit")])
    );
    let inspection = measures(&created(body(Kind::Inspection)));
    let linked =
        inspection.iter().find(|(measure, _)| measure.starts_with("commitment/")).expect("it is linked");
    assert_eq!(linked.1, 12_500, "in thousandths");
    let others: Vec<_> = inspection.iter().filter(|(_, count)| *count == 1).cloned().collect();
    assert_eq!(others, one(&["inspection/result/needs_attention", &format!("worker/{worker}/inspection")]));
    assert_eq!(
        measures(&created(Body::Request(rounds_domain::body::Request {
            category: "water".to_owned(),
            channel: "visit".to_owned(),
            ..Default::default()
        }))),
        one(&[
            "request/category/water",
            "request/channel/visit",
            "request/status/open",
            "request/reached/open"
        ]),
    );
    assert_eq!(
        measures(&created(body(Kind::Violation))),
        one(&["violation/sort/dumping", "violation/status/found", "violation/reached/found"]),
    );
    let whose = ["sort/recheck".to_owned(), format!("group/{id}"), format!("organization/{id}")];
    let mut follow_up: Vec<_> = whose.iter().map(|whose| format!("follow_up/{whose}/open")).collect();
    follow_up.push(format!("worker/{id}/follow_up/open"));
    let follow_up: Vec<&str> = follow_up.iter().map(String::as_str).collect();
    assert_eq!(measures(&created(body(Kind::FollowUp))), one(&follow_up));
    assert_eq!(measures(&created(body(Kind::Place))), one(&["place/dwelling"]));
    assert_eq!(measures(&created(body(Kind::Asset))), one(&["asset/elevator"]));
    assert_eq!(measures(&created(body(Kind::Plan))), one(&["plan/maintenance/gap/15"]));
    assert_eq!(measures(&created(body(Kind::Notice))), [], "a reminder is no alert");
    let counted = [
        Kind::Visit,
        Kind::Inspection,
        Kind::Request,
        Kind::Violation,
        Kind::FollowUp,
        Kind::Place,
        Kind::Asset,
        Kind::Plan,
    ];
    for kind in Kind::ALL.iter().filter(|kind| !counted.contains(kind)) {
        assert_eq!(measures(&created(body(*kind))), [], "{kind:?}");
    }
}

#[test]
fn an_alert_counts_until_it_is_withdrawn() {
    let Body::Notice(mut gap) = body(Kind::Notice) else { unreachable!("it is a notice") };
    gap.sort = "gap".to_owned();
    let raised = placed(0, 1, 0, op(Kind::Notice, Action::Create(Box::new(Body::Notice(gap)))));
    let withdrawn = placed(0, 2, 1, op(Kind::Notice, step("withdrawn")));
    let of = |ops: &[PlacedOp]| measures(&fold(ops).0.expect("it was created"));
    assert_eq!(of(std::slice::from_ref(&raised)), [("alert/gap".to_owned(), 1)]);
    assert_eq!(of(&[raised, withdrawn]), []);
}

#[test]
fn a_bucket_of_times_is_at_most_an_eighth_of_what_is_in_it() {
    const MINUTE_MS: i64 = 60_000;
    let mut next = 0;
    for bucket in 0..200 {
        let (from_ms, to_ms) = bucket_range(bucket);
        assert_eq!(from_ms, next, "buckets leave nothing out");
        assert!(to_ms > from_ms);
        assert!(to_ms - from_ms <= (from_ms / 8).max(MINUTE_MS), "{bucket}: {from_ms} to {to_ms}");
        next = to_ms;
    }
    for minutes in (0..2_000).chain([10_000, 525_600, 5_256_000]) {
        for ms in [minutes * MINUTE_MS, minutes * MINUTE_MS + MINUTE_MS - 1] {
            let (from_ms, to_ms) = bucket_range(bucket(ms));
            assert!((from_ms..to_ms).contains(&ms), "{ms} is not in its bucket");
        }
    }
    assert_eq!(bucket(-1), 0, "clocks lie");
}

#[test]
fn the_time_to_each_stage_is_counted() {
    let steps = [(1, "triaged"), (2, "referred"), (9, "resolved"), (40, "verified"), (41, "closed")];
    let measured = measures(&after_steps(Kind::Request, &steps));
    for (stage, hours) in [("referred", 2), ("resolved", 9), ("verified", 40)] {
        let measure = format!("request/time_to/{stage}/{}", bucket(hours * HOUR_MS));
        assert!(measured.contains(&(measure.clone(), 1)), "{measure}: {measured:?}");
    }
    for stage in ["open", "triaged", "referred", "resolved", "verified", "closed"] {
        assert!(measured.contains(&(format!("request/reached/{stage}"), 1)), "{stage}");
    }
    let partners = measured.iter().filter(|(measure, _)| {
        measure.starts_with("request/organization/")
            && measure.ends_with(&format!("/time_to/resolved/{}", bucket(7 * HOUR_MS)))
    });
    assert_eq!(partners.count(), 1, "the partner's clock begins with the referral: {measured:?}");
}

#[test]
fn a_request_that_went_to_a_second_partner_counts_from_then_on() {
    let steps = [(1, "triaged"), (2, "referred"), (30, "triaged"), (31, "referred"), (36, "resolved")];
    let measured = measures(&after_steps(Kind::Request, &steps));
    let taken = format!("/time_to/resolved/{}", bucket(5 * HOUR_MS));
    let is_partners =
        |measure: &str| measure.starts_with("request/organization/") && measure.contains("/time_to/");
    let times: Vec<&String> =
        measured.iter().map(|(measure, _)| measure).filter(|it| is_partners(it)).collect();
    assert!(matches!(times[..], [time] if time.ends_with(&taken)), "{times:?}");
}

#[test]
fn the_time_to_a_stage_is_that_of_the_first_step_that_counted() {
    let steps = [(1, "restored"), (4, "removed"), (8, "found"), (100, "removed")];
    let measured = measures(&after_steps(Kind::Violation, &steps));
    let times: Vec<_> = measured.iter().filter(|(measure, _)| measure.contains("time_to")).collect();
    assert_eq!(times, [&(format!("violation/time_to/removed/{}", bucket(4 * HOUR_MS)), 1)]);

    let measured = measures(&after_steps(Kind::Violation, &[(4, "removed"), (5, "stopped")]));
    assert!(!measured.iter().any(|(measure, _)| measure.contains("time_to/stopped")), "{measured:?}");
}

#[test]
fn a_follow_up_is_counted_on_the_day_that_it_is_due_and_judged_by_when_the_work_was_done() {
    let due_ms = body(Kind::FollowUp).fields()["due_at_ms"].as_i64().expect("a time");
    let state = |done_ms: i64| {
        let first = placed(0, 1, 0, op(Kind::FollowUp, super::sample::create(Kind::FollowUp)));
        let done = rounds_domain::op::Step {
            to: "done".to_owned(),
            done_at_ms: Some(done_ms),
            ..rounds_domain::op::Step::default()
        };
        // The phone comes back weeks later.
        let done = placed(0, 2, 40 * 24 * 60, op(Kind::FollowUp, Action::Step(done)));
        let record = fold(&[first, done]).0.expect("it was created");
        let contribution = contribution(&record, &zone(record.area)).expect("it is counted");
        let due = jiff::Timestamp::from_millisecond(due_ms).expect("a time").to_zoned(zone(record.area));
        assert_eq!(contribution.day, due.date());
        rounds_domain::tally::due_state(&record).to_owned()
    };
    assert_eq!(state(due_ms), "on_time");
    assert_eq!(state(due_ms + 1), "late");
}

#[test]
fn a_day_is_that_of_the_area_also_where_clocks_change() {
    let berlin = TimeZone::get("Europe/Berlin").expect("it exists");
    let on = |at: &str, zone: &TimeZone| {
        let mut visit = created(body(Kind::Visit));
        visit.created.at_ms = at.parse::<jiff::Timestamp>().expect("a time").as_millisecond();
        contribution(&visit, zone).expect("it is counted").day
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
    assert_eq!(
        key(&record),
        TallyKey { area: area(0), unit: Unit::Day, day, measure: "visit/outcome/met".to_owned() }
    );

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
