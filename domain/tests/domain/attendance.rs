//! Each thing counts once in any period, however often it was attended to.

use jiff::ToSpan as _;
use jiff::civil::{Date, date};
use proptest::prelude::*;
use rounds_domain::attendance::{
    Attended, GAP_DAYS_MAX, GAP_MONTHS_MAX, MET, REACHED, different, months_between, tally_days,
};
use rounds_domain::summary::NOT_REACHED_DAYS;
use rounds_domain::tally::{Tallies, Unit};
use std::collections::BTreeSet;

use super::history::runs;
use super::sample::{area, record_id};

const FIRST: Date = date(2025, 11, 20);

fn what(number: u128) -> Attended {
    Attended { area: area(0), subject: record_id(number), work: MET.to_owned() }
}

fn counters(things: &[BTreeSet<Date>]) -> Tallies {
    let mut tallies = Tallies::new();
    for (number, days) in (0..).zip(things) {
        tally_days(&mut tallies, &what(number), days, 1);
    }
    tallies
}

fn found(tallies: &Tallies, unit: Unit, first: Date, last: Date) -> i64 {
    let within = tallies.iter().filter(|(key, _)| key.unit == unit && (first..=last).contains(&key.day));
    let counters = within.map(|(key, count)| (key.day, key.measure.as_str(), *count));
    different(unit, first, counters).get(MET).copied().unwrap_or_default()
}

fn things() -> impl Strategy<Value = Vec<BTreeSet<Date>>> {
    let day = (0..900_i64).prop_map(|days| FIRST + days.days());
    prop::collection::vec(prop::collection::btree_set(day, 0..12), 0..8)
}

proptest! {
    #![proptest_config(runs(1_000))]

    #[test]
    fn different_things_in_a_period_of_days_are_told_by_the_counters(
        things in things(), offset in 0..900_i64, length in 1..=GAP_DAYS_MAX
    ) {
        let (first, last) = (FIRST + offset.days(), FIRST + (offset + length - 1).days());
        let expected = things.iter().filter(|days| days.range(first..=last).next().is_some()).count();
        prop_assert_eq!(found(&counters(&things), Unit::AttendedDay, first, last), expected as i64);
    }

    #[test]
    fn different_things_in_a_period_of_months_are_told_by_the_counters(
        things in things(), offset in 0..30_i64, length in 1..=GAP_MONTHS_MAX
    ) {
        let first = (FIRST + offset.months()).first_of_month();
        let last = (first + (length - 1).months()).last_of_month();
        prop_assert_eq!(months_between(first, last) + 1, length);
        let expected = things.iter().filter(|days| days.range(first..=last).next().is_some()).count();
        prop_assert_eq!(found(&counters(&things), Unit::AttendedMonth, first, last), expected as i64);
    }

    #[test]
    fn different_things_from_a_months_beginning_to_any_day_are_told_by_the_counters(
        things in things(), offset in 0..30_i64, length in 1..=700_i64
    ) {
        let first = (FIRST + offset.months()).first_of_month();
        let last = first + (length - 1).days();
        let (rest, tallies) = (last.first_of_month(), counters(&things));
        let within = tallies.iter().filter(|(key, _)| match key.unit {
            Unit::AttendedMonth => key.day >= first && key.day < rest,
            Unit::AttendedMonthDay => key.day >= rest && key.day <= last,
            _ => false,
        });
        let sums = within.map(|(key, count)| (key.day, key.measure.as_str(), *count));
        let told = different(Unit::AttendedMonth, first, sums).get(MET).copied().unwrap_or_default();
        let expected = things.iter().filter(|days| days.range(first..=last).next().is_some()).count();
        prop_assert_eq!(told, expected as i64);
    }

    #[test]
    fn who_was_reached_of_late_is_a_stock_that_goes_up_and_down(things in things(), offset in 0..1_000_i64) {
        let today = FIRST + offset.days();
        let from = today - (NOT_REACHED_DAYS - 1).days();
        let told: i64 = counters(&things)
            .iter()
            .filter(|(key, _)| key.unit == Unit::Day && key.measure == REACHED && key.day <= today)
            .map(|(_, change)| change)
            .sum();
        let expected = things.iter().filter(|days| days.range(from..=today).next().is_some()).count();
        prop_assert_eq!(told, expected as i64);
    }

    #[test]
    fn a_day_more_or_less_changes_the_counters_as_a_recount_would(
        mut things in things(), change in 0..900_i64
    ) {
        let mut kept = counters(&things);
        let Some(days) = things.first_mut() else { return Ok(()) };
        let day = FIRST + change.days();
        tally_days(&mut kept, &what(0), days, -1);
        if !days.insert(day) {
            days.remove(&day);
        }
        tally_days(&mut kept, &what(0), days, 1);
        prop_assert_eq!(kept, counters(&things));
    }
}
