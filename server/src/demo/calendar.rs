//! The time of the demo: days that pass in no time, until it is now.

use crate::Clock;
use jiff::civil::{Date, Weekday};
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

/// Where the neighbourhood is.
pub(super) const TIME_ZONE: &str = "Asia/Shanghai";
const MINUTE_MS: i64 = 60_000;
/// A day, in ms.
pub(super) const DAY_MS: i64 = 24 * 60 * MINUTE_MS;

/// A clock that the demo moves on, and that server and worker go by meanwhile.
#[derive(Clone, Debug)]
pub(super) struct Hands(Arc<AtomicI64>);

impl Hands {
    pub(super) fn at(ms: i64) -> Self {
        Self(Arc::new(AtomicI64::new(ms)))
    }

    pub(super) fn now_ms(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Moves on to this time; never back.
    pub(super) fn advance_to(&self, ms: i64) {
        self.0.fetch_max(ms, Ordering::Relaxed);
    }

    /// Moves on to this time of the day, if it has come. Answers whether it has.
    pub(super) fn reach(&self, day: Day, hour: i64, minute: i64) -> bool {
        let at_ms = day.at(hour, minute);
        if day.has_come(at_ms) {
            self.advance_to(at_ms);
        }
        day.has_come(at_ms)
    }

    pub(super) fn clock(&self) -> Clock {
        let hands = self.clone();
        Clock::new(move || hands.now_ms())
    }
}

/// The days from the beginning of the history until now.
#[derive(Clone, Debug)]
pub(super) struct Calendar {
    zone: TimeZone,
    first: Date,
    /// How many days there are, the last one being today.
    pub(super) days: i64,
    /// Nothing is later than this, in ms since 1970 UTC.
    pub(super) now_ms: i64,
}

impl Calendar {
    /// The days that end now.
    pub(super) fn until(now_ms: i64, days: u32) -> Self {
        let zone = TimeZone::get(TIME_ZONE).unwrap_or(TimeZone::UTC); // the zones are built in
        let now = Timestamp::from_millisecond(now_ms).unwrap_or(Timestamp::UNIX_EPOCH);
        let first = zone.to_datetime(now).date().saturating_sub(Span::new().days(i64::from(days)));
        Self { zone, first, days: i64::from(days) + 1, now_ms }
    }

    /// A day by its number, from 0.
    pub(super) fn day(&self, number: i64) -> Day {
        let date = self.first.saturating_add(Span::new().days(number));
        let midnight =
            date.to_zoned(self.zone.clone()).map_or(0, |midnight| midnight.timestamp().as_millisecond());
        Day { number, date, midnight_ms: midnight, now_ms: self.now_ms }
    }

    /// When the neighbourhood is set up: in the first morning.
    pub(super) fn start_ms(&self) -> i64 {
        self.day(0).at(7, 0)
    }
}

/// A day in the neighbourhood.
#[derive(Clone, Copy, Debug)]
pub(super) struct Day {
    /// Its number in the calendar, from 0.
    pub(super) number: i64,
    pub(super) date: Date,
    midnight_ms: i64,
    now_ms: i64,
}

impl Day {
    /// A time of this day, in ms since 1970 UTC.
    pub(super) fn at(&self, hour: i64, minute: i64) -> i64 {
        self.midnight_ms + (hour * 60 + minute) * MINUTE_MS
    }

    /// Whether it has come.
    pub(super) fn has_come(&self, at_ms: i64) -> bool {
        at_ms <= self.now_ms
    }

    pub(super) fn month(&self) -> u32 {
        self.date.month().unsigned_abs().into()
    }

    pub(super) fn is_sunday(&self) -> bool {
        self.date.weekday() == Weekday::Sunday
    }
}

/// A point in time that moves on as somebody works.
pub(super) struct Watch {
    pub(super) at_ms: i64,
}

impl Watch {
    /// Some minutes later.
    pub(super) fn pass(&mut self, minutes: i64) -> i64 {
        self.at_ms += minutes * MINUTE_MS;
        self.at_ms
    }
}
