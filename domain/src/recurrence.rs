//! When something recurs: RFC 5545 rules in local time.
//!
//! Rules are counted in local time without a zone, and each local time is then looked up in the area's zone. So eight
//! o'clock stays eight o'clock through a change of the clocks, a time that is skipped in spring is taken an hour later,
//! and of one that comes twice in autumn the first is taken.

use jiff::civil::{Date, DateTime, Time};
use jiff::tz::TimeZone;
use rrule::RRuleSet;

/// A rule that can be counted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rule {
    text: String,
    /// It says the hours; else things are due at the end of the day.
    has_hours: bool,
}

/// Most times that are counted at once.
pub const TIMES_MAX: usize = 1_000;
/// Rarer than this is no recurrence: 30 years, in days.
const DAYS_MAX: i64 = 30 * 366;

impl Rule {
    /// Reads a rule, such as `FREQ=DAILY;INTERVAL=15`.
    ///
    /// # Errors
    /// What is wrong with it, and what to do.
    pub fn parse(text: &str) -> Result<Self, String> {
        let upper = text.to_ascii_uppercase();
        if upper.contains('\n') || upper.contains('\r') || upper.contains(':') {
            return Err("write the rule alone, without RRULE: and DTSTART".to_owned());
        }
        for part in ["FREQ=HOURLY", "FREQ=MINUTELY", "FREQ=SECONDLY"] {
            if upper.contains(part) {
                return Err(format!("{part}: plans recur by days or longer; name hours with BYHOUR"));
            }
        }
        if upper.contains("UNTIL=") || upper.contains("COUNT=") {
            return Err("UNTIL and COUNT: give the plan a last day instead".to_owned());
        }
        let rule = Self { has_hours: upper.contains("BYHOUR="), text: upper };
        let start = DateTime::constant(2024, 1, 1, 0, 0, 0, 0);
        let set = rule.set(start)?;
        match set.into_iter().next() {
            Some(_) => Ok(rule),
            None => Err("no day is like that".to_owned()),
        }
    }

    fn set(&self, start: DateTime) -> Result<RRuleSet, String> {
        let start = start.strftime("%Y%m%dT%H%M%SZ");
        format!("DTSTART:{start}\nRRULE:{}", self.text)
            .parse()
            .map_err(|error| format!("is no recurrence rule of RFC 5545: {error}"))
    }

    /// The times on days from `from` up to and including `until`, counted from `start`, in their order; at most
    /// [`TIMES_MAX`].
    pub fn between(&self, start: Date, from: Date, until: Date) -> Vec<Occurrence> {
        let Ok(set) = self.set(start.to_datetime(Time::midnight())) else { return Vec::new() }; // it was parsed before
        self.times(&set)
            .skip_while(|occurrence| occurrence.day() < from)
            .take_while(|occurrence| occurrence.day() <= until)
            .take(TIMES_MAX)
            .collect()
    }

    /// The first time on a day that is not before `from`, counted from `start`. None: not within 30 years.
    pub fn next(&self, start: Date, from: Date) -> Option<Occurrence> {
        let set = self.set(start.to_datetime(Time::midnight())).ok()?; // it was parsed before
        let last = days_later(from, DAYS_MAX);
        self.times(&set)
            .take_while(|occurrence| occurrence.day() <= last)
            .find(|occurrence| occurrence.day() >= from)
    }

    fn times<'a>(&self, set: &'a RRuleSet) -> impl Iterator<Item = Occurrence> + use<'a> {
        let has_hours = self.has_hours;
        set.into_iter()
            .map_while(|time| jiff::Timestamp::from_second(time.timestamp()).ok())
            .map(move |time| Occurrence { at: TimeZone::UTC.to_datetime(time), has_hours })
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
    zone.to_ambiguous_zoned(at).compatible().map_or(i64::MAX, |zoned| zoned.timestamp().as_millisecond())
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
    let at = jiff::Timestamp::from_millisecond(at_ms).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    zone.to_datetime(at).date()
}

/// A day so many days later; earlier if negative.
pub fn days_later(day: Date, days: i64) -> Date {
    day.checked_add(jiff::Span::new().days(days)).unwrap_or(if days < 0 { Date::MIN } else { Date::MAX })
}
