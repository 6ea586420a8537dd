//! When things recur: the answers of RFC 5545, in local time, through every change of the clocks.

use super::history::runs;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use proptest::prelude::*;
use rounds_domain::recurrence::{
    Occurrence, Rule, TIMES_A_DAY_MAX, TIMES_MAX, day_end_ms, day_start_ms, days_later, local_day,
};

fn date(text: &str) -> Date {
    text.parse().expect("a date")
}

fn rule(text: &str) -> Rule {
    Rule::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn zone(name: &str) -> TimeZone {
    TimeZone::get(name).expect("a time zone")
}

/// A moment, in ms since 1970 UTC.
fn ms(text: &str) -> i64 {
    text.parse::<jiff::Timestamp>().expect("a time").as_millisecond()
}

/// The first days of a rule from its start on, as many as are expected.
fn assert_days(start: &str, text: &str, expected: &str) {
    let expected: Vec<_> = expected.split_whitespace().map(date).collect();
    let last = *expected.last().expect("some day");
    let days: Vec<_> =
        rule(text).between(date(start), date(start), last).into_iter().map(Occurrence::day).collect();
    assert_eq!(days, expected, "{text} from {start}");
}

/// When the occurrence on this day is due.
fn due(text: &str, day: &str, zone_name: &str) -> i64 {
    let found = rule(text).next(date(day), date(day)).expect("it recurs");
    assert_eq!(found.day(), date(day), "{text}");
    found.due_ms(&zone(zone_name))
}

#[test]
fn the_examples_of_the_rfc_have_its_answers() {
    for (start, text, expected) in [
        ("1997-09-02", "FREQ=DAILY", "1997-09-02 1997-09-03 1997-09-04 1997-09-05 1997-09-06"),
        ("1997-09-02", "FREQ=DAILY;INTERVAL=2", "1997-09-02 1997-09-04 1997-09-06 1997-09-08 1997-09-10"),
        ("1997-09-02", "FREQ=DAILY;INTERVAL=10", "1997-09-02 1997-09-12 1997-09-22 1997-10-02 1997-10-12"),
        ("1998-01-30", "FREQ=DAILY;BYMONTH=1", "1998-01-30 1998-01-31 1999-01-01 1999-01-02"),
        (
            "1998-01-30",
            "FREQ=YEARLY;BYMONTH=1;BYDAY=SU,MO,TU,WE,TH,FR,SA",
            "1998-01-30 1998-01-31 1999-01-01",
        ),
        ("1997-09-02", "FREQ=WEEKLY", "1997-09-02 1997-09-09 1997-09-16 1997-09-23 1997-09-30 1997-10-07"),
        ("1997-09-02", "FREQ=WEEKLY;INTERVAL=2;WKST=SU", "1997-09-02 1997-09-16 1997-09-30 1997-10-14"),
        ("1997-09-02", "FREQ=WEEKLY;WKST=SU;BYDAY=TU,TH", "1997-09-02 1997-09-04 1997-09-09 1997-09-11"),
        (
            "1997-09-01",
            "FREQ=WEEKLY;INTERVAL=2;WKST=SU;BYDAY=MO,WE,FR",
            "1997-09-01 1997-09-03 1997-09-05 1997-09-15 1997-09-17 1997-09-19 1997-09-29 1997-10-01",
        ),
        // The day on which weeks begin makes a difference.
        (
            "1997-08-05",
            "FREQ=WEEKLY;INTERVAL=2;BYDAY=TU,SU;WKST=MO",
            "1997-08-05 1997-08-10 1997-08-19 1997-08-24",
        ),
        (
            "1997-08-05",
            "FREQ=WEEKLY;INTERVAL=2;BYDAY=TU,SU;WKST=SU",
            "1997-08-05 1997-08-17 1997-08-19 1997-08-31",
        ),
        ("1997-09-05", "FREQ=MONTHLY;BYDAY=1FR", "1997-09-05 1997-10-03 1997-11-07 1997-12-05 1998-01-02"),
        (
            "1997-09-07",
            "FREQ=MONTHLY;INTERVAL=2;BYDAY=1SU,-1SU",
            "1997-09-07 1997-09-28 1997-11-02 1997-11-30 1998-01-04 1998-01-25 1998-03-01 1998-03-29",
        ),
        ("1997-09-22", "FREQ=MONTHLY;BYDAY=-2MO", "1997-09-22 1997-10-20 1997-11-17 1997-12-22 1998-01-19"),
        ("1997-09-28", "FREQ=MONTHLY;BYMONTHDAY=-3", "1997-09-28 1997-10-29 1997-11-28 1997-12-29"),
        ("1997-09-02", "FREQ=MONTHLY;BYMONTHDAY=2,15", "1997-09-02 1997-09-15 1997-10-02 1997-10-15"),
        (
            "1997-09-30",
            "FREQ=MONTHLY;BYMONTHDAY=1,-1",
            "1997-09-30 1997-10-01 1997-10-31 1997-11-01 1997-11-30",
        ),
        (
            "1997-09-10",
            "FREQ=MONTHLY;INTERVAL=18;BYMONTHDAY=10,11,12,13,14,15",
            "1997-09-10 1997-09-11 1997-09-12 1997-09-13 1997-09-14 1997-09-15 1999-03-10 1999-03-11",
        ),
        (
            "1997-09-02",
            "FREQ=MONTHLY;INTERVAL=2;BYDAY=TU",
            "1997-09-02 1997-09-09 1997-09-16 1997-09-23 1997-09-30 1997-11-04 1997-11-11",
        ),
        ("1997-06-10", "FREQ=YEARLY;BYMONTH=6,7", "1997-06-10 1997-07-10 1998-06-10 1998-07-10"),
        (
            "1997-03-10",
            "FREQ=YEARLY;INTERVAL=2;BYMONTH=1,2,3",
            "1997-03-10 1999-01-10 1999-02-10 1999-03-10 2001-01-10",
        ),
        (
            "1997-01-01",
            "FREQ=YEARLY;INTERVAL=3;BYYEARDAY=1,100,200",
            "1997-01-01 1997-04-10 1997-07-19 2000-01-01 2000-04-09 2000-07-18 2003-01-01",
        ),
        ("1997-05-19", "FREQ=YEARLY;BYDAY=20MO", "1997-05-19 1998-05-18 1999-05-17"),
        ("1997-05-12", "FREQ=YEARLY;BYWEEKNO=20;BYDAY=MO", "1997-05-12 1998-05-11 1999-05-17"),
        ("1997-03-13", "FREQ=YEARLY;BYMONTH=3;BYDAY=TH", "1997-03-13 1997-03-20 1997-03-27 1998-03-05"),
        ("1997-09-02", "FREQ=MONTHLY;BYDAY=FR;BYMONTHDAY=13", "1998-02-13 1998-03-13 1998-11-13 1999-08-13"),
        (
            "1997-09-13",
            "FREQ=MONTHLY;BYDAY=SA;BYMONTHDAY=7,8,9,10,11,12,13",
            "1997-09-13 1997-10-11 1997-11-08 1997-12-13 1998-01-10 1998-02-07",
        ),
        (
            "1996-11-05",
            "FREQ=YEARLY;INTERVAL=4;BYMONTH=11;BYDAY=TU;BYMONTHDAY=2,3,4,5,6,7,8",
            "1996-11-05 2000-11-07 2004-11-02",
        ),
        ("1997-09-04", "FREQ=MONTHLY;BYDAY=TU,WE,TH;BYSETPOS=3", "1997-09-04 1997-10-07 1997-11-06"),
        (
            "1997-09-29",
            "FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-2",
            "1997-09-29 1997-10-30 1997-11-27 1997-12-30 1998-01-29 1998-02-26 1998-03-30",
        ),
        ("2007-01-15", "FREQ=MONTHLY;BYMONTHDAY=15,30", "2007-01-15 2007-01-30 2007-02-15 2007-03-15"),
    ] {
        assert_days(start, text, expected);
    }
}

#[test]
fn days_with_and_without_a_number_are_all_that_are_one_of_them() {
    for rest in ["FREQ=MONTHLY", "FREQ=YEARLY;BYMONTH=3,4", "FREQ=YEARLY"] {
        // A year with 53 Mondays, and one without.
        let [start, until] = [date("2024-01-01"), date("2025-12-31")];
        let on = |days: &str| rule(&format!("{rest};BYDAY={days}")).between(start, start, until);
        let mut each: Vec<_> = ["MO", "2FR", "-1SU"].into_iter().flat_map(on).collect();
        each.sort();
        assert_eq!(on("MO,2FR,-1SU"), each, "{rest}");
    }
    let last_but_one =
        rule("FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,2FR;BYSETPOS=-2").next(date("2026-11-01"), date("2026-11-01"));
    assert_eq!(last_but_one.unwrap().day(), date("2026-11-26"));
}

#[test]
fn several_times_a_day_are_several_occurrences_with_names_of_their_own() {
    let often = rule("FREQ=DAILY;BYHOUR=9,10,11,12,13,14,15,16;BYMINUTE=0,20,40");
    let times = often.between(date("1997-09-02"), date("1997-09-03"), date("1997-09-03"));
    assert_eq!(times.len(), 24);
    assert_eq!(times[0].name(), "1997-09-03T09:00");
    assert_eq!(times[1].name(), "1997-09-03T09:20");
    assert_eq!(times[23].name(), "1997-09-03T16:40");
    assert_eq!(
        rule("FREQ=DAILY").between(times[0].day(), times[0].day(), times[0].day())[0].name(),
        "1997-09-03"
    );
}

#[test]
fn a_rule_is_read_in_any_case_and_order() {
    assert_eq!(rule("interval=15;freq=daily"), rule("FREQ=DAILY;INTERVAL=15"));
}

#[test]
fn from_the_31st_short_months_are_skipped_and_the_last_day_is_asked_for_with_minus_one() {
    assert_days("2026-01-31", "FREQ=MONTHLY", "2026-01-31 2026-03-31 2026-05-31 2026-07-31 2026-08-31");
    assert_days(
        "2027-12-31",
        "FREQ=MONTHLY;BYMONTHDAY=-1",
        "2027-12-31 2028-01-31 2028-02-29 2028-03-31 2028-04-30",
    );
    assert_days("2026-01-15", "FREQ=MONTHLY;BYMONTHDAY=-1", "2026-01-31 2026-02-28");
}

#[test]
fn what_began_on_29_february_recurs_in_leap_years_and_1900_and_2100_are_none() {
    assert_days("2024-02-29", "FREQ=YEARLY", "2024-02-29 2028-02-29 2032-02-29");
    assert_days("1896-02-29", "FREQ=YEARLY", "1896-02-29 1904-02-29");
    assert_days("2092-02-29", "FREQ=YEARLY", "2092-02-29 2096-02-29 2104-02-29");
    let every_fourth = rule("FREQ=YEARLY;INTERVAL=4");
    let next = every_fourth.next(date("1996-02-29"), date("2098-01-01")).expect("it recurs");
    assert_eq!(next.day(), date("2104-02-29"));
    assert_days("2027-02-28", "FREQ=DAILY", "2027-02-28 2027-03-01");
    assert_days("2028-02-28", "FREQ=DAILY", "2028-02-28 2028-02-29 2028-03-01");
}

#[test]
fn weeks_are_counted_from_the_start_and_not_from_the_day_that_asks() {
    let fortnight = rule("FREQ=WEEKLY;INTERVAL=2;BYDAY=MO,FR");
    for (from, expected) in [
        ("2026-11-16", "2026-11-23"),
        ("2026-11-22", "2026-11-23"),
        ("2026-11-23", "2026-11-23"),
        ("2026-11-24", "2026-11-27"),
        ("2026-11-28", "2026-12-07"),
    ] {
        let next = fortnight.next(date("2006-01-02"), date(from)).expect("it recurs");
        assert_eq!(next.day(), date(expected), "from {from}");
    }
}

#[test]
fn nothing_recurs_before_it_began() {
    let daily = rule("FREQ=DAILY");
    let (start, before) = (date("2026-06-01"), date("2020-01-01"));
    assert_eq!(daily.next(start, before).map(Occurrence::day), Some(start));
    assert_eq!(daily.between(start, before, date("2026-05-31")), []);
    assert_eq!(daily.between(start, before, start).len(), 1);
    assert_eq!(daily.between(start, date("2026-07-02"), date("2026-07-01")), [], "no days are asked for");
}

#[test]
fn what_has_no_hour_is_due_at_the_very_end_of_its_day() {
    for (day, zone_name, end) in [
        ("2026-11-22", "Asia/Shanghai", "2026-11-22T15:59:59.999Z"),
        ("2026-11-22", "Asia/Urumqi", "2026-11-22T17:59:59.999Z"),
        ("2026-11-22", "America/New_York", "2026-11-23T04:59:59.999Z"),
        ("2026-03-29", "Europe/Berlin", "2026-03-29T21:59:59.999Z"), // 23 hours
        ("2026-10-25", "Europe/Berlin", "2026-10-25T22:59:59.999Z"), // 25 hours
        ("2026-04-23", "Africa/Cairo", "2026-04-23T21:59:59.999Z"),  // the next day begins at one
        ("2011-12-29", "Pacific/Apia", "2011-12-30T09:59:59.999Z"),  // the next day is left out
        ("2026-12-31", "UTC", "2026-12-31T23:59:59.999Z"),
    ] {
        assert_eq!(due("FREQ=DAILY", day, zone_name), ms(end), "{day} in {zone_name}");
    }
}

#[test]
fn a_day_has_23_or_25_hours_where_the_clocks_change_and_half_an_hour_less_on_lord_howe() {
    let hour_ms = 3_600_000.0;
    for (day, zone_name, hours) in [
        ("2026-03-28", "Europe/Berlin", 24.0),
        ("2026-03-29", "Europe/Berlin", 23.0),
        ("2026-10-25", "Europe/Berlin", 25.0),
        ("2026-03-08", "America/New_York", 23.0),
        ("2026-11-01", "America/New_York", 25.0),
        ("2026-10-04", "Australia/Lord_Howe", 23.5),
        ("2026-04-05", "Australia/Lord_Howe", 24.5),
        ("1991-04-14", "Asia/Shanghai", 23.0),
        ("2026-04-14", "Asia/Shanghai", 24.0),
        ("2026-04-24", "Africa/Cairo", 23.0),
    ] {
        let zone = zone(zone_name);
        let (start_ms, end_ms) = (day_start_ms(date(day), &zone), day_end_ms(date(day), &zone));
        assert_eq!((end_ms + 1 - start_ms) as f64 / hour_ms, hours, "{day} in {zone_name}");
        assert_eq!((local_day(start_ms, &zone), local_day(end_ms, &zone)), (date(day), date(day)));
        assert_eq!(local_day(start_ms - 1, &zone), days_later(date(day), -1), "{day} in {zone_name}");
        assert_eq!(local_day(end_ms + 1, &zone), days_later(date(day), 1), "{day} in {zone_name}");
    }
}

#[test]
fn eight_o_clock_stays_eight_o_clock_through_both_changes_of_the_clocks() {
    for (day, zone_name, at) in [
        ("2026-03-28", "Europe/Berlin", "2026-03-28T07:00:00Z"),
        ("2026-03-29", "Europe/Berlin", "2026-03-29T06:00:00Z"),
        ("2026-10-24", "Europe/Berlin", "2026-10-24T06:00:00Z"),
        ("2026-10-25", "Europe/Berlin", "2026-10-25T07:00:00Z"),
        ("2026-03-07", "America/New_York", "2026-03-07T13:00:00Z"),
        ("2026-03-08", "America/New_York", "2026-03-08T12:00:00Z"),
        ("2026-07-01", "Asia/Shanghai", "2026-07-01T00:00:00Z"),
        ("2026-12-01", "Asia/Shanghai", "2026-12-01T00:00:00Z"),
        ("1991-07-01", "Asia/Shanghai", "1991-06-30T23:00:00Z"), // the last year with summer time
        ("2026-07-01", "Asia/Urumqi", "2026-07-01T02:00:00Z"),
    ] {
        assert_eq!(due("FREQ=DAILY;BYHOUR=8", day, zone_name), ms(at), "{day} in {zone_name}");
    }
}

#[test]
fn a_time_that_is_skipped_is_taken_later_and_of_one_that_comes_twice_the_first() {
    for (time, day, zone_name, at) in [
        ("BYHOUR=2;BYMINUTE=30", "2026-03-29", "Europe/Berlin", "2026-03-29T03:30:00+02:00"),
        ("BYHOUR=2;BYMINUTE=30", "2026-10-25", "Europe/Berlin", "2026-10-25T02:30:00+02:00"),
        ("BYHOUR=2;BYMINUTE=30", "2026-03-08", "America/New_York", "2026-03-08T03:30:00-04:00"),
        ("BYHOUR=1;BYMINUTE=30", "2026-11-01", "America/New_York", "2026-11-01T01:30:00-04:00"),
        ("BYHOUR=2;BYMINUTE=15", "2026-10-04", "Australia/Lord_Howe", "2026-10-04T02:45:00+11:00"),
        ("BYHOUR=1;BYMINUTE=45", "2026-04-05", "Australia/Lord_Howe", "2026-04-05T01:45:00+11:00"),
        ("BYHOUR=2;BYMINUTE=30", "1991-04-14", "Asia/Shanghai", "1991-04-14T03:30:00+09:00"),
    ] {
        assert_eq!(
            due(&format!("FREQ=DAILY;{time}"), day, zone_name),
            ms(at),
            "{time} on {day} in {zone_name}"
        );
    }
}

#[test]
fn a_rule_that_cannot_be_counted_is_refused_with_what_to_do() {
    let too_long = format!("FREQ=DAILY;BYMONTHDAY={}", vec!["1"; 100].join(","));
    for (text, told) in [
        ("", "parts"),
        ("every other tuesday", "parts"),
        ("FREQ", "parts"),
        ("FREQ=DAILY;", "parts"),
        (";;;", "parts"),
        ("FREQ=DAILY;每天", "parts"),
        ("FREQ=每天", "FREQ: use one of DAILY"),
        ("FREQ=", "FREQ: use one of DAILY"),
        ("FREQ=HOURLY", "BYHOUR"),
        ("FREQ=MINUTELY;INTERVAL=15", "BYHOUR"),
        ("freq=secondly", "BYHOUR"),
        ("INTERVAL=15", "FREQ is missing"),
        ("FREQ=DAILY;UNTIL=20271231", "UNTIL: give the plan a last day"),
        ("FREQ=DAILY;COUNT=10", "COUNT: give the plan a last day"),
        ("RRULE:FREQ=DAILY", "alone"),
        ("DTSTART:20260101T000000Z\nRRULE:FREQ=DAILY", "alone"),
        ("DTSTART=20260101;FREQ=DAILY", "alone"),
        ("FREQ=DAILY\nFREQ=WEEKLY", "alone"),
        ("FREQ=DAILY;FREQ=WEEKLY", "FREQ is there twice"),
        ("FREQ=DAILY;BYSECOND=30", "BYSECOND"),
        ("FREQ=DAILY;BYEASTER=1", "RFC 5545 does not know"),
        ("FREQ=DAILY;X-MOON=FULL", "RFC 5545 does not know"),
        ("FREQ=DAILY; INTERVAL=2", "RFC 5545 does not know"),
        ("FREQ=DAILY;INTERVAL=0", "INTERVAL: write a whole number from 1 on"),
        ("FREQ=DAILY;INTERVAL=-1", "INTERVAL: write a whole number from 1 on"),
        ("FREQ=DAILY;INTERVAL=two", "INTERVAL: write a whole number from 1 on"),
        ("FREQ=YEARLY;INTERVAL=31", "INTERVAL: rarer than"),
        ("FREQ=DAILY;INTERVAL=65535", "INTERVAL: rarer than"),
        ("FREQ=MONTHLY;BYMONTHDAY=last", "BYMONTHDAY: write numbers"),
        ("FREQ=MONTHLY;BYMONTHDAY=", "BYMONTHDAY: write numbers"),
        ("FREQ=MONTHLY;BYMONTHDAY=32", "BYMONTHDAY"),
        ("FREQ=MONTHLY;BYMONTHDAY=0", "BYMONTHDAY"),
        ("FREQ=YEARLY;BYMONTH=13", "BYMONTH"),
        ("FREQ=DAILY;BYHOUR=24", "BYHOUR"),
        ("FREQ=DAILY;BYHOUR=8;BYMINUTE=60", "BYMINUTE"),
        ("FREQ=DAILY;BYMINUTE=30", "BYMINUTE: name the hours as well"),
        ("FREQ=DAILY;BYHOUR=1,2,3,4,5,6,7,8,9,10,11,12,13;BYMINUTE=0,30", "more than 24 times a day"),
        ("FREQ=WEEKLY;BYDAY=FOOMO", "BYDAY: write days"),
        ("FREQ=WEEKLY;BYDAY=星期一", "BYDAY: write days"),
        ("FREQ=MONTHLY;BYDAY=0MO", "BYDAY: write days"),
        ("FREQ=MONTHLY;BYDAY=99999MO", "BYDAY: write days"),
        ("FREQ=WEEKLY;BYDAY=2MO", "BYDAY: days are numbered in MONTHLY and YEARLY"),
        ("FREQ=WEEKLY;WKST=2MO", "WKST"),
        ("FREQ=WEEKLY;BYMONTHDAY=3", "BYMONTHDAY"),
        ("FREQ=MONTHLY;BYYEARDAY=100", "BYYEARDAY"),
        ("FREQ=MONTHLY;BYWEEKNO=20", "BYWEEKNO"),
        ("FREQ=MONTHLY;BYDAY=MO;BYSETPOS=0", "BYSETPOS"),
        ("FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30", "no day is like that"),
        ("FREQ=MONTHLY;BYDAY=MO;BYSETPOS=6", "no day is like that"),
        (&too_long, "longer than 200"),
        (&"FREQ=DAILY;".repeat(10_000), "longer than 200"),
    ] {
        let error = Rule::parse(text).expect_err(text);
        assert!(error.contains(told), "{text}: {error}");
    }
}

#[test]
fn whether_a_rule_recurs_does_not_hang_on_where_its_interval_begins() {
    assert_days("2025-03-10", "FREQ=MONTHLY;INTERVAL=12;BYMONTH=3", "2025-03-10 2026-03-10");
    assert_days("2026-02-01", "FREQ=YEARLY;INTERVAL=2;BYMONTH=2;BYMONTHDAY=29", "2028-02-29 2032-02-29");
    let never = rule("FREQ=YEARLY;INTERVAL=2;BYMONTH=2;BYMONTHDAY=29");
    assert_eq!(never.next(date("2025-01-01"), date("2026-01-01")), None, "no odd year is a leap year");
    assert_eq!(never.between(date("2025-01-01"), date("2026-01-01"), date("9999-12-31")), []);
}

#[test]
fn a_hostile_rule_ends_in_bounded_time() {
    let began = std::time::Instant::now();
    for text in [
        "FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30",
        "FREQ=WEEKLY;BYDAY=MO;BYSETPOS=20",
        "FREQ=MONTHLY;BYMONTH=2;BYMONTHDAY=31",
        "FREQ=YEARLY;BYWEEKNO=1;BYMONTH=6;BYDAY=MO,TU,WE,TH,FR,SA,SU",
        "FREQ=YEARLY;BYMONTHDAY=31;BYMONTH=2,4,6,9,11",
    ] {
        (0..20).for_each(|_| assert!(Rule::parse(text).is_err(), "{text}"));
    }
    let since_ever = date("0001-01-01");
    for text in ["FREQ=DAILY", "FREQ=DAILY;INTERVAL=7", "FREQ=WEEKLY", "FREQ=MONTHLY", "FREQ=YEARLY"] {
        assert!(rule(text).next(since_ever, date("9990-01-01")).is_some(), "{text}");
    }
    let often =
        rule("FREQ=YEARLY;BYDAY=MO,TU,WE,TH,FR,SA,SU;BYHOUR=1,2,3,4,5,6,7,8,9,10,11,12;BYMINUTE=0,30");
    assert_eq!(often.between(since_ever, since_ever, Date::MAX).len(), TIMES_MAX);
    assert!(began.elapsed() < std::time::Duration::from_secs(20), "{:?}", began.elapsed());
}

#[test]
fn no_time_and_no_day_is_too_far_away() {
    for name in ["Asia/Shanghai", "America/New_York", "Pacific/Apia"] {
        let zone = zone(name);
        for at_ms in [i64::MIN, -1, 0, i64::MAX] {
            let day = local_day(at_ms, &zone);
            assert!(day_start_ms(day, &zone) <= day_end_ms(day, &zone));
        }
        assert!(local_day(i64::MIN, &zone) < local_day(i64::MAX, &zone));
    }
    assert_eq!((days_later(Date::MAX, 1), days_later(Date::MIN, -1)), (Date::MAX, Date::MIN));
    let daily = rule("FREQ=DAILY");
    assert!(daily.next(Date::MIN, Date::MAX).is_none_or(|found| found.day() == Date::MAX));
}

#[test]
fn so_many_days_that_no_calendar_has_them_end_on_its_first_or_last_day() {
    let day = date("2026-01-01");
    for days in [4_294_967_295, i64::MAX] {
        assert_eq!((days_later(day, days), days_later(day, -days)), (Date::MAX, Date::MIN), "{days}");
    }
}

#[test]
fn the_nth_day_of_a_week_is_the_same_counted_from_the_start_or_from_later_on() {
    let first_of_two = rule("FREQ=WEEKLY;INTERVAL=17;BYDAY=TH,SU;BYSETPOS=1");
    let (start, from) = (date("2009-07-10"), date("2010-07-02")); // both are Fridays
    assert_eq!(first_of_two.next(start, from).map(Occurrence::day), Some(date("2010-10-28")));
}

/// Rules that can be counted, of every frequency.
fn rules() -> impl Strategy<Value = Rule> {
    let frequency = prop::sample::select(vec!["DAILY", "WEEKLY", "MONTHLY", "YEARLY"]);
    let numbers = |range: std::ops::RangeInclusive<i32>| {
        prop::option::weighted(0.3, prop::collection::vec(range, 1..4)).prop_map(|numbers| {
            numbers.map(|numbers| numbers.iter().map(i32::to_string).collect::<Vec<_>>().join(","))
        })
    };
    let days = prop::sample::subsequence(vec!["MO", "TU", "WE", "TH", "FR", "SA", "SU"], 1..4);
    let days = prop::option::weighted(0.3, days).prop_map(|days| days.map(|days| days.join(",")));
    let parts = (1..40u16, numbers(1..=12), numbers(-31..=31), days, numbers(-3..=3), numbers(0..=23));
    (frequency, parts).prop_filter_map("it can be counted", |(frequency, parts)| {
        let (interval, months, month_days, days, positions, hours) = parts;
        let mut text = format!("FREQ={frequency};INTERVAL={interval}");
        for (name, value) in [
            ("BYMONTH", months),
            ("BYMONTHDAY", month_days),
            ("BYDAY", days),
            ("BYSETPOS", positions),
            ("BYHOUR", hours),
        ] {
            if let Some(value) = value {
                text += &format!(";{name}={value}");
            }
        }
        Rule::parse(&text).ok()
    })
}

fn dates() -> impl Strategy<Value = Date> {
    (0..20_000i64).prop_map(|days| days_later(date("1990-01-01"), days))
}

/// Texts that are rules, nearly rules and no rules at all.
fn texts() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "FREQ=",
        "DAILY",
        "WEEKLY",
        "MONTHLY",
        "YEARLY",
        "HOURLY",
        ";",
        ";",
        "=",
        ",",
        "INTERVAL=",
        "BYMONTH=",
        "BYMONTHDAY=",
        "BYYEARDAY=",
        "BYWEEKNO=",
        "BYDAY=",
        "BYHOUR=",
        "BYMINUTE=",
        "BYSECOND=",
        "BYSETPOS=",
        "WKST=",
        "UNTIL=",
        "COUNT=",
        "BYEASTER=",
        "MO",
        "SU",
        "-1",
        "0",
        "1",
        "29",
        "53",
        "366",
        "65535",
        "+5",
        "-53",
        "界",
        "\n",
        ":",
        "RRULE",
        "DTSTART",
        "\0",
        " ",
        "9999999999",
    ]);
    let parts = prop::collection::vec(
        (
            prop::sample::select(vec![
                "INTERVAL",
                "BYMONTH",
                "BYMONTHDAY",
                "BYYEARDAY",
                "BYWEEKNO",
                "BYDAY",
                "BYHOUR",
                "BYMINUTE",
                "BYSETPOS",
                "WKST",
            ]),
            prop_oneof![
                prop::collection::vec(-60..60i32, 1..4).prop_map(|numbers| numbers
                    .iter()
                    .map(i32::to_string)
                    .collect::<Vec<_>>()
                    .join(",")),
                prop::sample::select(vec!["MO", "TU,SU", "1MO", "-1FR", "53SU", "-53SA,5WE"])
                    .prop_map(str::to_owned),
            ],
        ),
        0..5,
    );
    let frequency = prop::sample::select(vec!["DAILY", "WEEKLY", "MONTHLY", "YEARLY"]);
    let nearly = (frequency, parts).prop_map(|(frequency, parts)| {
        let parts: Vec<_> = parts.into_iter().map(|(name, value)| format!(";{name}={value}")).collect();
        format!("FREQ={frequency}{}", parts.concat())
    });
    prop_oneof![
        nearly,
        prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat()),
        any::<String>()
    ]
}

proptest! {
    #![proptest_config(runs(1_000))]

    #[test]
    fn between_is_next_again_and_again(rule in rules(), start in dates(), from in dates(), days in 0..300i64) {
        let until = days_later(from, days);
        let mut expected = Vec::new();
        let mut at = from;
        while let Some(found) = rule.next(start, at).filter(|found| found.day() <= until) {
            expected.push(found.day());
            at = days_later(found.day(), 1);
        }
        let times = rule.between(start, from, until);
        prop_assert!(times.is_sorted());
        let mut found: Vec<_> = times.iter().map(|found| found.day()).collect();
        found.dedup();
        prop_assert_eq!(found, expected);
        prop_assert!(times.len() <= TIMES_MAX);
        prop_assert!(times.chunk_by(|one, other| one.day() == other.day()).all(|day| day.len() <= TIMES_A_DAY_MAX));
    }

    #[test]
    fn times_are_the_same_counted_from_the_start_or_from_later_on(
        rule in rules(), start in dates(), later in 0..3_000i64,
    ) {
        let from = days_later(start, later);
        let until = days_later(from, 200);
        let mut all = rule.between(start, start, until); // from its very start
        prop_assume!(all.len() < TIMES_MAX);
        all.retain(|found| found.day() >= from);
        prop_assert_eq!(rule.between(start, from, until), all);
    }

    #[test]
    fn no_text_makes_it_panic(text in texts(), start in dates(), from in dates()) {
        if let Ok(rule) = Rule::parse(&text) {
            rule.next(start, from);
            rule.between(start, from, days_later(from, 400));
            rule.next(Date::MIN, Date::MAX);
            rule.next(Date::MAX, Date::MIN);
        }
    }
}
