//! When something recurs: RFC 5545 rules in local time.
//!
//! Rules are counted in local time without a zone, and each local time is then looked up in the area's zone. So eight
//! o'clock stays eight o'clock through a change of the clocks, a time that is skipped in spring is taken later by what
//! the clocks are put forward, and of one that comes twice in autumn the first is taken.

use crate::limit::NAME_CHARS_MAX;
use chrono::TimeZone as _;
use jiff::Span;
use jiff::civil::{Date, DateTime, Time};
use jiff::tz::TimeZone;
use rrule::{Frequency, RRule, RRuleSet, Tz, Unvalidated};
use std::collections::BTreeMap;

/// A rule that can be counted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rule {
    said: RRule<Unvalidated>,
    frequency: Frequency,
    /// Every how many days, weeks, months or years.
    interval: u16,
    /// It says the hours; else things are due at the end of the day.
    has_hours: bool,
    /// It says nothing of days or hours: they are those that it is counted from.
    is_bare: bool,
}

/// Most times on one day.
pub const TIMES_A_DAY_MAX: usize = 24;
/// Most times that are counted at once: of as many days as follow-ups are looked at, and some.
pub const TIMES_MAX: usize = 120 * TIMES_A_DAY_MAX;
/// Rarer than this is no recurrence: 30 years, in days.
const DAYS_MAX: i64 = 30 * 366;
/// What a rule may say in numbers.
const NUMBERS: [&str; 7] =
    ["BYMONTH", "BYMONTHDAY", "BYYEARDAY", "BYWEEKNO", "BYHOUR", "BYMINUTE", "BYSETPOS"];

impl Rule {
    /// Reads a rule, such as `FREQ=DAILY;INTERVAL=15`.
    ///
    /// # Errors
    /// What is wrong with it, and what to do. Of the rule's own words it repeats numbers alone.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.len() > NAME_CHARS_MAX {
            return Err(format!("longer than {NAME_CHARS_MAX} characters: shorten it"));
        }
        let text = text.to_ascii_uppercase();
        let parts = parts(&text)?;
        let values = |name: &str| parts.get(name).map_or(0, |value| value.split(',').count());
        if values("BYMINUTE") > 0 && values("BYHOUR") == 0 {
            return Err("BYMINUTE: name the hours as well, with BYHOUR".to_owned());
        }
        if values("BYHOUR") * values("BYMINUTE").max(1) > TIMES_A_DAY_MAX {
            return Err(format!("more than {TIMES_A_DAY_MAX} times a day: name fewer hours and minutes"));
        }
        let (frequency, interval) = (frequency(parts.get("FREQ"))?, interval(parts.get("INTERVAL"))?);
        let weeks = if frequency == Frequency::Yearly && values("BYMONTH") == 0 { 53 } else { 5 };
        let days = parts.get("BYDAY").and_then(|days| Some((days, numbered(days, weeks)?)));
        let text = days.map_or_else(|| text.clone(), |(said, days)| text.replace(said, &days));
        let said = format!("RRULE:{text}").parse().map_err(unknown)?;
        let has_hours = values("BYHOUR") > 0;
        let is_bare = !parts.keys().any(|name| name.starts_with("BY"));
        let rule = Self { said, frequency, interval, has_hours, is_bare };
        if i64::from(rule.interval) * longest_days(rule.frequency) > DAYS_MAX {
            return Err("INTERVAL: rarer than once in 30 years".to_owned());
        }
        if parts.get("BYDAY").is_some_and(|days| days.contains(|letter: char| letter.is_ascii_digit()))
            && !matches!(rule.frequency, Frequency::Monthly | Frequency::Yearly)
        {
            return Err("BYDAY: days are numbered in MONTHLY and YEARLY rules only".to_owned());
        }
        // Whether there is such a day at all does not hang on the interval, nor on the day on which a plan begins.
        let set = set(rule.said.clone().interval(1), Date::constant(2024, 1, 1))?;
        match set.into_iter().next() {
            Some(_) => Ok(rule),
            None => Err("no day is like that".to_owned()),
        }
    }

    /// The times on days from `from` up to and including `until`, counted from `start`, in their order; at most
    /// [`TIMES_MAX`].
    pub fn between(&self, start: Date, from: Date, until: Date) -> Vec<Occurrence> {
        let Ok(set) = set(self.said.clone(), self.shifted(start, from)) else { return Vec::new() }; // it was parsed before
        self.times(&set)
            .skip_while(|occurrence| occurrence.day() < from)
            .take_while(|occurrence| occurrence.day() <= until)
            .take(TIMES_MAX)
            .collect()
    }

    /// The first time on a day that is not before `from`, counted from `start`. None: not within 30 years.
    pub fn next(&self, start: Date, from: Date) -> Option<Occurrence> {
        let set = set(self.said.clone(), self.shifted(start, from)).ok()?; // it was parsed before
        let last = days_later(from.max(start), DAYS_MAX);
        self.times(&set)
            .take_while(|occurrence| occurrence.day() <= last)
            .find(|occurrence| occurrence.day() >= from)
    }

    /// The first time on a day that is not before `from`, counted from a day on which it was done. A month that is too
    /// short for that day is not left out, as [`Self::next`] does: its last day is taken.
    pub fn next_after(&self, done_on: Date, from: Date) -> Option<Occurrence> {
        let next = self.next(done_on, from);
        let last_of_month = self.months_later(done_on, from).map(Occurrence::on);
        next.into_iter().chain(last_of_month).min()
    }

    /// The first day that is not before `from` and whole steps of months after `start`, or the last of its month.
    fn months_later(&self, start: Date, from: Date) -> Option<Date> {
        let (months, _) = step(self.frequency);
        if months == 0 || !self.is_bare {
            return None;
        }
        let months = months * i64::from(self.interval);
        let steps =
            i64::from((from - start).get_days()) / (longest_days(self.frequency) * i64::from(self.interval));
        (steps.max(1)..)
            .map_while(|steps| start.checked_add(Span::new().try_months(months * steps).ok()?).ok())
            .find(|day| *day >= from)
    }

    /// A later start that gives the same times from `from` on: what began 20 years ago is not counted from there.
    fn shifted(&self, start: Date, from: Date) -> Date {
        let interval = i64::from(self.interval);
        let (months, days) = step(self.frequency);
        let steps = i64::from((from - start).get_days()) / (longest_days(self.frequency) * interval);
        // One step less: of the first week only what is left of it is counted, which BYSETPOS would notice.
        // From the 31st or from 29 February on, not every step ends on such a day: an earlier one does.
        (1..steps)
            .rev()
            .map(|steps| steps * interval)
            .filter_map(|by| start.checked_add(Span::new().months(months * by).days(days * by)).ok())
            .find(|later| months == 0 || later.day() == start.day())
            .unwrap_or(start)
    }

    fn times<'a>(&self, set: &'a RRuleSet) -> impl Iterator<Item = Occurrence> + use<'a> {
        let has_hours = self.has_hours;
        set.into_iter()
            .map_while(|time| jiff::Timestamp::from_second(time.timestamp()).ok())
            .map(move |time| Occurrence { at: TimeZone::UTC.to_datetime(time), has_hours })
    }
}

/// The times that a rule names from the beginning of a day on, in local time. rrule counts in chrono's time.
fn set(rule: RRule<Unvalidated>, start: Date) -> Result<RRuleSet, String> {
    let (year, month, day) = (start.year().into(), start.month().unsigned_abs(), start.day().unsigned_abs());
    let start = Tz::UTC.with_ymd_and_hms(year, month.into(), day.into(), 0, 0, 0);
    let start = start.single().ok_or_else(|| "begins on a day that cannot be counted from".to_owned())?;
    Ok(rule.build(start).map_err(unknown)?.limit())
}

fn unknown(error: rrule::RRuleError) -> String {
    format!("is no recurrence rule of RFC 5545: {error}")
}

/// The parts of a rule by their names.
fn parts(text: &str) -> Result<BTreeMap<&str, &str>, String> {
    if text.contains([':', '\n', '\r']) || text.starts_with("DTSTART") {
        return Err("write the rule alone, without RRULE: and DTSTART".to_owned());
    }
    let mut parts = BTreeMap::new();
    for part in text.split(';') {
        let Some((name, value)) = part.split_once('=') else {
            return Err("write its parts with =, and ; between them: FREQ=DAILY;INTERVAL=15".to_owned());
        };
        match name {
            "FREQ" | "INTERVAL" => {}
            "UNTIL" | "COUNT" => return Err(format!("{name}: give the plan a last day instead")),
            "BYSECOND" => {
                return Err(format!("{name}: nothing is due by the second; name hours and minutes"));
            }
            "BYHOUR" | "BYMINUTE" if value.split(',').all(|number| number.parse::<u8>().is_ok()) => {}
            _ if NUMBERS.contains(&name) && value.split(',').all(is_number) => {}
            _ if NUMBERS.contains(&name) => {
                return Err(format!("{name}: write numbers, with , between them"));
            }
            "BYDAY" if value.split(',').all(is_weekday) => {}
            "WKST" if value.len() == 2 && is_weekday(value) => {}
            "BYDAY" | "WKST" => {
                return Err(format!(
                    "{name}: write days as MO, TU, WE, TH, FR, SA, SU; the last Friday is -1FR"
                ));
            }
            _ => return Err("it has a part that RFC 5545 does not know".to_owned()),
        }
        if parts.insert(name, value).is_some() {
            return Err(format!("{name} is there twice"));
        }
    }
    Ok(parts)
}

fn frequency(value: Option<&&str>) -> Result<Frequency, String> {
    match value {
        Some(&"DAILY") => Ok(Frequency::Daily),
        Some(&"WEEKLY") => Ok(Frequency::Weekly),
        Some(&"MONTHLY") => Ok(Frequency::Monthly),
        Some(&"YEARLY") => Ok(Frequency::Yearly),
        Some(_) => {
            Err("FREQ: use one of DAILY, WEEKLY, MONTHLY, YEARLY; hours are named with BYHOUR".to_owned())
        }
        None => Err("FREQ is missing: say how often, such as FREQ=DAILY".to_owned()),
    }
}

fn interval(value: Option<&&str>) -> Result<u16, String> {
    let Some(value) = value else { return Ok(1) };
    let interval = value.parse().ok().filter(|interval| *interval > 0);
    interval.ok_or_else(|| "INTERVAL: write a whole number from 1 on".to_owned())
}

/// The first is 1, the last is -1.
fn is_number(value: &str) -> bool {
    value.parse::<i16>().is_ok_and(|number| number != 0)
}

fn is_weekday(value: &str) -> bool {
    let number = ["MO", "TU", "WE", "TH", "FR", "SA", "SU"].iter().find_map(|day| value.strip_suffix(day));
    // Without a number every one of them is meant.
    number.is_some_and(|number| number.is_empty() || is_number(number))
}

/// Days of the week with and without a number, all with one; None: they are alike. RFC 5545 means all that are one of
/// them, and rrule takes those that are both. Of each there are at most so many `weeks`.
fn numbered(days: &str, weeks: u8) -> Option<String> {
    let has_number = |day: &str| day.len() > 2;
    if days.split(',').all(has_number) || !days.split(',').any(has_number) {
        return None;
    }
    let each = |day: &str| match has_number(day) {
        true => vec![day.to_owned()],
        false => (1..=weeks).map(|week| format!("{week}{day}")).collect(),
    };
    Some(days.split(',').flat_map(each).collect::<Vec<_>>().join(","))
}

/// How far one step goes, in months and in days.
fn step(frequency: Frequency) -> (i64, i64) {
    match frequency {
        Frequency::Yearly => (12, 0),
        Frequency::Monthly => (1, 0),
        Frequency::Weekly => (0, 7),
        _ => (0, 1), // hours and less are refused
    }
}

/// How long one step is at most, in days.
fn longest_days(frequency: Frequency) -> i64 {
    match step(frequency) {
        (12, _) => 366,
        (1, _) => 31,
        (_, days) => days,
    }
}

/// One time at which something is due.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Occurrence {
    at: DateTime,
    has_hours: bool,
}

impl Occurrence {
    /// Some time on this day.
    pub fn on(day: Date) -> Self {
        Self { at: day.to_datetime(Time::midnight()), has_hours: false }
    }

    /// The local day.
    pub fn day(self) -> Date {
        self.at.date()
    }

    /// When it is due, in ms since 1970 UTC: at its hour, or at the very end of its day.
    pub fn due_ms(self, zone: &TimeZone) -> i64 {
        match self.has_hours {
            true => moment_ms(self.at, zone),
            false => day_end_ms(self.day(), zone),
        }
    }

    /// Names it among the occurrences of a plan.
    pub fn name(self) -> String {
        match self.has_hours {
            true => self.at.strftime("%Y-%m-%dT%H:%M").to_string(),
            false => self.day().to_string(),
        }
    }
}

/// A local time, in ms since 1970 UTC.
pub fn moment_ms(at: DateTime, zone: &TimeZone) -> i64 {
    let beyond = if at.year() < 0 { i64::MIN } else { i64::MAX };
    zone.to_ambiguous_zoned(at).compatible().map_or(beyond, |zoned| zoned.timestamp().as_millisecond())
}

/// The beginning of a local day, in ms since 1970 UTC.
pub fn day_start_ms(day: Date, zone: &TimeZone) -> i64 {
    moment_ms(day.to_datetime(Time::midnight()), zone)
}

/// The last ms of a local day, in ms since 1970 UTC.
pub fn day_end_ms(day: Date, zone: &TimeZone) -> i64 {
    day.tomorrow().map_or(i64::MAX, |next| day_start_ms(next, zone) - 1)
}

/// The local day of a moment.
pub fn local_day(at_ms: i64, zone: &TimeZone) -> Date {
    let beyond = if at_ms < 0 { jiff::Timestamp::MIN } else { jiff::Timestamp::MAX };
    let at = jiff::Timestamp::from_millisecond(at_ms).unwrap_or(beyond);
    zone.to_datetime(at).date()
}

/// A day so many days later; earlier if negative. The first or last of the calendar where it has no such day.
pub fn days_later(day: Date, days: i64) -> Date {
    let later = jiff::Span::new().try_days(days).and_then(|span| day.checked_add(span));
    later.unwrap_or(if days < 0 { Date::MIN } else { Date::MAX })
}
