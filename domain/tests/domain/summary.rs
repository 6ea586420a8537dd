//! From counters to figures, and back to the records behind them.

use super::sample::{body, op, placed};
use jiff::civil::date;
use jiff::tz::TimeZone;
use proptest::prelude::*;
use rounds_domain::summary::{Behind, Counted, Period, behind, is_behind, quantile_ms, summarize};
use rounds_domain::tally::{bucket, contribution};
use rounds_domain::{Action, Kind, fold};
use std::collections::BTreeMap;

const MINUTE_MS: i64 = 60_000;

fn sums(counts: &[(&str, i64)]) -> BTreeMap<String, i64> {
    counts.iter().map(|(measure, count)| ((*measure).to_owned(), *count)).collect()
}

#[test]
fn periods_are_those_of_the_calendar() {
    let period = |name| Period::named(name, date(2026, 11, 26)).expect("it is one"); // a Thursday
    let days = |first, last| Period { first, last };
    assert_eq!(period("day"), days(date(2026, 11, 26), date(2026, 11, 26)));
    assert_eq!(period("week"), days(date(2026, 11, 23), date(2026, 11, 29)));
    assert_eq!(period("month"), days(date(2026, 11, 1), date(2026, 11, 30)));
    assert_eq!(period("quarter"), days(date(2026, 10, 1), date(2026, 12, 31)));
    assert_eq!(period("year"), days(date(2026, 1, 1), date(2026, 12, 31)));
    assert!(Period::named("fortnight", date(2026, 11, 26)).expect_err("there is none").contains("week"));
    assert_eq!(Period::named("week", date(2026, 11, 23)), Period::named("week", date(2026, 11, 29)));
}

#[test]
fn a_period_is_compared_with_as_much_of_the_one_before_as_has_passed() {
    let week = Period::named("week", date(2026, 11, 26)).expect("it is one");
    let before = |today| week.before(today);
    let days = |first, last| Period { first, last };
    assert_eq!(before(date(2026, 11, 26)), days(date(2026, 11, 16), date(2026, 11, 19)));
    assert_eq!(before(date(2026, 11, 29)), days(date(2026, 11, 16), date(2026, 11, 22)));
    assert_eq!(before(date(2027, 3, 1)), days(date(2026, 11, 16), date(2026, 11, 22)));
    let march = Period::named("month", date(2026, 3, 31)).expect("it is one");
    assert_eq!(march.before(date(2026, 3, 31)), days(date(2026, 2, 1), date(2026, 2, 28)));
    assert_eq!(march.before(date(2026, 3, 30)), days(date(2026, 2, 1), date(2026, 2, 28)));
    assert_eq!(march.before(date(2026, 3, 2)), days(date(2026, 2, 1), date(2026, 2, 2)));
    let some = Period::range(date(2026, 5, 3), date(2026, 5, 12)).expect("it is one");
    assert_eq!(some.before(date(2026, 6, 1)), days(date(2026, 4, 23), date(2026, 5, 2)));
}

#[test]
fn a_range_begins_before_it_ends() {
    assert!(Period::range(date(2026, 5, 3), date(2026, 5, 2)).expect_err("it is none").contains("after"));
    let first = date(2000, 1, 1);
    let last = |days: i64| first + jiff::Span::new().days(days - 1);
    assert!(Period::range(first, last(Period::DAYS_MAX)).is_ok());
    assert!(Period::range(first, last(Period::DAYS_MAX + 1)).is_err());
}

#[test]
fn figures_add_up_what_was_counted() {
    let now = Counted {
        within: sums(&[
            ("visit/outcome/met", 5),
            ("visit/outcome/no_answer", 2),
            ("request/status/open", 3),
            ("request/category/water", 3),
            ("follow_up/sort/watering/on_time", 4),
            ("follow_up/sort/watering/late", 1),
            ("follow_up/sort/recheck/on_time", 1),
            ("follow_up/sort/recheck/cancelled", 9),
        ]),
        until: sums(&[("place/dwelling", 40), ("plan/maintenance/gap/15", 4), ("commitment/x", 12_500)]),
        overdue: sums(&[("recheck", 2), ("watering", 1)]),
        attended: sums(&[("met", 6), ("maintenance", 3)]),
        others_met: 1,
        lately: BTreeMap::from([(("met".to_owned(), 90), 30), (("maintenance".to_owned(), 15), 3)]),
        others_met_lately: 2,
        not_reached_days: 90,
    };
    let before = Counted {
        within: sums(&[("visit/outcome/met", 4), ("visit/outcome/moved", 1)]),
        ..Counted::default()
    };
    let summary = summarize(&now, Some(&before));
    for (name, value) in [
        ("visit", 7.0),
        ("visit/outcome/met", 5.0),
        ("visit/outcome/moved", 0.0),
        ("request", 3.0),
        ("dwelling/reached", 5.0),
        ("dwelling/not_reached", 12.0),
        ("follow_up/due", 6.0),
        ("follow_up/on_time", 5.0),
        ("follow_up/late", 1.0),
        ("follow_up/missed", 0.0),
        ("follow_up/cancelled", 9.0),
        ("follow_up/overdue", 3.0),
        ("follow_up/overdue/recheck", 2.0),
        ("in_time/maintenance/15", 3.0),
        ("attended/maintenance", 3.0),
        ("commitment/x", 12.5),
    ] {
        assert_eq!(summary.value(name), value, "{name}");
    }
    let figure = |name| summary.figure(name).expect("it is there");
    assert_eq!(figure("visit").before, Some(5.0));
    assert_eq!(figure("visit/outcome/moved").before, Some(1.0), "what there is no more is not forgotten");
    assert_eq!(figure("dwelling/reached").of, Some(40.0));
    assert_eq!(figure("in_time/maintenance/15").of, Some(4.0));
    assert_eq!(figure("follow_up/overdue").before, None, "it is not of a period");
    let outcomes: Vec<_> =
        summary.below("visit/outcome").map(|(word, figure)| (word, figure.value)).collect();
    assert_eq!(outcomes, [("met", 5.0), ("moved", 0.0), ("no_answer", 2.0)]);
}

#[test]
fn every_figure_leads_to_records() {
    let now = Counted {
        within: sums(&[
            ("visit/outcome/met", 1),
            ("request/organization/x/status/open", 1),
            ("alert/gap", 1),
        ]),
        until: sums(&[("place/dwelling", 1), ("asset/tree", 1), ("plan/watering", 1), ("commitment/x", 1)]),
        overdue: sums(&[("recheck", 1)]),
        attended: sums(&[("met", 1), ("watering", 1)]),
        lately: BTreeMap::from([(("met".to_owned(), 90), 1), (("maintenance".to_owned(), 15), 1)]),
        not_reached_days: 90,
        ..Counted::default()
    };
    for figure in summarize(&now, None).figures {
        assert!(behind(&figure.name).is_some(), "nothing is behind {}", figure.name);
    }
    assert_eq!(behind("moon/phase"), None);
    assert_eq!(
        behind("in_time/maintenance/15"),
        Some(Behind::Attended { work: "maintenance".to_owned(), days: Some(15) })
    );
}

#[test]
fn a_record_is_behind_each_figure_that_it_is_counted_in_and_no_other() {
    let visit = fold(&[placed(0, 1, 0, op(Kind::Visit, Action::Create(Box::new(body(Kind::Visit)))))]).0;
    let visit = visit.expect("it was created");
    let zone = TimeZone::UTC;
    for name in ["visit", "visit/outcome", "visit/outcome/met"] {
        assert!(is_behind(&visit, &zone, name), "{name}");
    }
    for name in ["visit/outcome/me", "visit/outcome/met/x", "visit/outcome/refused", "request/status/open"] {
        assert!(!is_behind(&visit, &zone, name), "{name}");
    }
    assert!(contribution(&visit, &zone).is_some());
}

#[test]
fn a_word_with_a_slash_is_one_word() {
    let request = |category: &str| {
        let body = rounds_domain::body::Request {
            category: category.to_owned(),
            channel: "visit".to_owned(),
            ..rounds_domain::body::Request::default()
        };
        let body = rounds_domain::Body::Request(body);
        fold(&[placed(0, 1, 0, op(Kind::Request, Action::Create(Box::new(body))))]).0.expect("it was created")
    };
    let odd = contribution(&request("water/gas"), &TimeZone::UTC).expect("it is counted");
    let within: BTreeMap<String, i64> = odd.measures.into_iter().collect();
    let summary = summarize(&Counted { within, ..Counted::default() }, None);
    let categories: Vec<_> = summary.below("request/category").collect();
    assert_eq!(categories.len(), 1);
    let name = &categories[0].1.name;
    assert!(is_behind(&request("water/gas"), &TimeZone::UTC, name));
    assert!(!is_behind(&request("water/gas"), &TimeZone::UTC, "request/category/water"));
    assert!(!is_behind(&request("water"), &TimeZone::UTC, name));
}

proptest! {
    #[test]
    fn a_median_is_off_by_no_more_than_its_bucket(mut minutes in prop::collection::vec(0..200_000_i64, 1..200)) {
        let mut buckets = BTreeMap::new();
        for minutes in &minutes {
            *buckets.entry(bucket(minutes * MINUTE_MS)).or_insert(0) += 1;
        }
        minutes.sort_unstable();
        for part in [0.5, 0.9] {
            // The smallest time that so large a part did not exceed.
            let exact = minutes[((part * minutes.len() as f64).ceil() as usize).max(1) - 1] * MINUTE_MS;
            let told = quantile_ms(&buckets, part);
            let off = (told - exact).abs();
            prop_assert!(off <= (exact / 8).max(MINUTE_MS), "{part}: {told} for {exact}");
        }
    }
}
