//! Which counters add up to a period: as few as there are.

use jiff::civil::Date;
use rounds_domain::recurrence::days_later;
use rounds_domain::tally::Unit;

/// Counters of one unit, from the first day to the last, that are added or taken away.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Segment {
    /// What the counters' days stand for.
    pub(crate) unit: Unit,
    /// The first day.
    pub(crate) first: Date,
    /// The last day.
    pub(crate) last: Date,
    /// 1, or -1 for what is taken away: a year without its last days is that, not eleven months and some days.
    pub(crate) sign: i64,
}

/// The counters that add up to those of the days from the first to the last.
pub(crate) fn segments(first: Date, last: Date) -> Vec<Segment> {
    cover(first, last, &[Unit::Year, Unit::Month])
}

/// Whole months and the days around them, none of which is taken away.
pub(crate) fn months_and_days(first: Date, last: Date) -> Vec<Segment> {
    split(first, last, Unit::Month, &|first, last| cover(first, last, &[]))
}

fn cover(first: Date, last: Date, units: &[Unit]) -> Vec<Segment> {
    match units.split_first() {
        _ if first > last => Vec::new(),
        None => vec![Segment { unit: Unit::Day, first, last, sign: 1 }],
        Some((unit, shorter)) => {
            split(first, last, *unit, &|first, last| within(first, last, *unit, shorter))
        }
    }
}

/// Whole years or months, and what `rest` says of the days before and after them.
fn split(first: Date, last: Date, unit: Unit, rest: &dyn Fn(Date, Date) -> Vec<Segment>) -> Vec<Segment> {
    let (begin, end) = (begin_of(unit, first), end_of(unit, last));
    let whole_first = if begin == first { first } else { days_later(end_of(unit, first), 1) };
    let whole_last = if end == last { last } else { days_later(begin_of(unit, last), -1) };
    if whole_first > whole_last || begin_of(unit, whole_first) != whole_first {
        return match begin == begin_of(unit, last) {
            true => rest(first, last),
            false => [rest(first, end_of(unit, first)), rest(begin_of(unit, last), last)].concat(),
        };
    }
    let mut segments = vec![Segment { unit, first: whole_first, last: whole_last, sign: 1 }];
    if first < whole_first {
        segments.extend(rest(first, days_later(whole_first, -1)));
    }
    if whole_last < last {
        segments.extend(rest(days_later(whole_last, 1), last));
    }
    segments
}

/// Days within one year or month: themselves, or the whole without the days around them.
fn within(first: Date, last: Date, unit: Unit, shorter: &[Unit]) -> Vec<Segment> {
    let inside = cover(first, last, shorter);
    let (begin, end) = (begin_of(unit, first), end_of(unit, first));
    let mut around = vec![Segment { unit, first: begin, last: end, sign: 1 }];
    let mut take_away = |first, last| {
        let taken = cover(first, last, shorter).into_iter();
        around.extend(taken.map(|segment| Segment { sign: -segment.sign, ..segment }));
    };
    if begin < first {
        take_away(begin, days_later(first, -1));
    }
    if last < end {
        take_away(days_later(last, 1), end);
    }
    if counters(&around) < counters(&inside) { around } else { inside }
}

/// How many counters of one measure and area these are at most.
fn counters(segments: &[Segment]) -> i64 {
    let length = |segment: &Segment| {
        let days = segment.last.since(segment.first).map_or(0, |span| i64::from(span.get_days())) + 1;
        match segment.unit {
            Unit::Year => days / 365,
            Unit::Month => days / 28,
            _ => days,
        }
    };
    segments.iter().map(length).sum()
}

fn begin_of(unit: Unit, day: Date) -> Date {
    if unit == Unit::Year { day.first_of_year() } else { day.first_of_month() }
}

fn end_of(unit: Unit, day: Date) -> Date {
    if unit == Unit::Year { day.last_of_year() } else { day.last_of_month() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::date;
    use std::collections::BTreeMap;

    /// How often each day is counted.
    fn counted(segments: &[Segment]) -> BTreeMap<Date, i64> {
        let mut counted: BTreeMap<Date, i64> = BTreeMap::new();
        for segment in segments {
            let mut day = segment.first;
            while day <= segment.last {
                *counted.entry(day).or_default() += segment.sign;
                day = days_later(day, 1);
            }
        }
        counted.retain(|_, times| *times != 0);
        counted
    }

    #[test]
    fn every_day_of_a_period_is_counted_once_by_few_counters() {
        let start = date(2023, 12, 20);
        for from in (0..420).step_by(7) {
            for length in [1, 2, 6, 7, 20, 28, 31, 45, 92, 200, 331, 365, 400, 800] {
                let (first, last) = (days_later(start, from), days_later(start, from + length - 1));
                for segments in [segments(first, last), months_and_days(first, last)] {
                    let days = counted(&segments);
                    assert!(days.values().all(|times| *times == 1), "{first} to {last}: {segments:?}");
                    assert_eq!(days.len() as i64, length, "{first} to {last}: {segments:?}");
                    assert_eq!((days.keys().next(), days.keys().last()), (Some(&first), Some(&last)));
                }
                assert!(counters(&segments(first, last)) <= 45, "{first} to {last}");
            }
        }
    }

    #[test]
    fn a_year_so_far_is_the_year_without_its_last_days() {
        let segment = |unit, first, last, sign| Segment { unit, first, last, sign };
        assert_eq!(
            segments(date(2025, 1, 1), date(2025, 11, 26)),
            [
                segment(Unit::Year, date(2025, 1, 1), date(2025, 12, 31), 1),
                segment(Unit::Month, date(2025, 12, 1), date(2025, 12, 31), -1),
                segment(Unit::Day, date(2025, 11, 27), date(2025, 11, 30), -1),
            ]
        );
        assert_eq!(segments(date(2026, 3, 8), date(2026, 3, 7)), []);
    }

    #[test]
    fn a_period_may_go_on_for_ever() {
        let covered = segments(date(2026, 11, 27), Date::MAX);
        assert_eq!(covered.iter().map(|segment| segment.last).max(), Some(Date::MAX));
        assert!(covered.contains(&Segment {
            unit: Unit::Year,
            first: date(2027, 1, 1),
            last: Date::MAX,
            sign: 1
        }));
        let day = Segment { unit: Unit::Day, first: Date::MAX, last: Date::MAX, sign: 1 };
        assert_eq!(segments(Date::MAX, Date::MAX), [day]);
    }
}
