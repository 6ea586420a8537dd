//! Which places and assets were attended to, counted so that each counts once in any period.
//!
//! "Dwellings reached in March" is no sum of days: one that was reached twice counts once. But each day on which
//! something was attended to knows how long before that was last so, and within a period exactly one day of each thing
//! has its last time before the period. So a counter by day and by the days since the time before gives the number of
//! different things in any period, and adds up over areas. The same is kept by month for long periods, and by the first
//! day in each month for the last month of those that are not over.
//!
//! Who was reached "in the last 90 days" is asked on every page, so that is kept as a stock: it goes up and down by days.

use crate::id::{AreaId, RecordId};
use crate::kind::Kind;
use crate::record::Record;
use crate::recurrence::{days_later, local_day};
use crate::summary::NOT_REACHED_DAYS;
use crate::tally::{Tallies, TallyKey, Unit, add, part};
use jiff::civil::Date;
use jiff::tz::TimeZone;
use std::collections::{BTreeMap, BTreeSet};

/// The work of calling at a door that was opened; other work is in the words of plans: `maintenance`, `watering`.
pub const MET: &str = "met";
/// Days since the time before are told apart up to so many; that many stand for more, and for never before. Longest
/// period that can be counted by day.
pub const GAP_DAYS_MAX: i64 = 92;
/// The same for months.
pub const GAP_MONTHS_MAX: i64 = 25;
/// The measure that tells how many were reached of late.
pub const REACHED: &str = "reached/met";

/// Something was attended to on some day.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Attended {
    /// The area of the visit or inspection.
    pub area: AreaId,
    /// The place or asset.
    pub subject: RecordId,
    /// What was done: [`MET`] or a word of plans.
    pub work: String,
}

/// What a visit or inspection shows to have been attended to, and on which local day. Nothing for what was deleted,
/// doors that were not opened, and checks without work.
pub fn attended(record: &Record, zone: &TimeZone) -> Option<(Attended, Date)> {
    let work = match record.kind {
        _ if record.deleted.is_some() => return None,
        Kind::Visit if record.text("outcome") == MET => MET.to_owned(),
        Kind::Inspection if !record.text("sort").is_empty() => part(record.text("sort")),
        _ => return None,
    };
    let attended = Attended { area: record.area, subject: record.subject()?, work };
    Some((attended, local_day(record.created.at_ms, zone)))
}

/// Adds `sign` times what the days on which one thing was attended to contribute.
pub fn tally_days(tallies: &mut Tallies, what: &Attended, days: &BTreeSet<Date>, sign: i64) {
    let mut count = |unit: Unit, day: Date, gap: i64| {
        let measure = format!("{}/{gap}", what.work);
        add(tallies, TallyKey { area: what.area, unit, day, measure }, sign);
    };
    let mut before: Option<Date> = None;
    for day in days.iter().copied() {
        let since = |before: Date| day.since(before).map_or(GAP_DAYS_MAX, |span| span.get_days().into());
        count(Unit::AttendedDay, day, before.map_or(GAP_DAYS_MAX, since).min(GAP_DAYS_MAX));
        let months = before.map_or(GAP_MONTHS_MAX, |before| months_between(before, day));
        if months > 0 {
            let gap = months.min(GAP_MONTHS_MAX);
            count(Unit::AttendedMonth, day.first_of_month(), gap);
            count(Unit::AttendedMonthDay, day, gap);
        }
        before = Some(day);
    }
    if what.work == MET {
        tally_reached(tallies, what, days, sign);
    }
}

/// Each time that somebody is reached who was not for [`NOT_REACHED_DAYS`], one more is reached of late, and one fewer
/// as soon as that was so many days ago: the sum of [`REACHED`] up to a day is how many were in so many days up to it.
fn tally_reached(tallies: &mut Tallies, what: &Attended, days: &BTreeSet<Date>, sign: i64) {
    let mut count = |day: Date, change: i64| {
        let key = TallyKey { area: what.area, unit: Unit::Day, day, measure: REACHED.to_owned() };
        add(tallies, key, sign * change);
    };
    let mut until: Option<Date> = None; // the first day on which it is no longer of late
    for day in days.iter().copied() {
        match until {
            Some(until) if day <= until => {}
            _ => {
                until.into_iter().for_each(|until| count(until, -1));
                count(day, 1);
            }
        }
        until = Some(days_later(day, NOT_REACHED_DAYS));
    }
    until.into_iter().for_each(|until| count(until, -1));
}

/// How many months there are from one month to another.
pub fn months_between(from: Date, to: Date) -> i64 {
    let month = |day: Date| i64::from(day.year()) * 12 + i64::from(day.month());
    month(to) - month(from)
}

/// Of counters `WORK/GAP`, how many different things they stand for in the period that begins on `first`: those whose
/// time before lies before it.
///
/// A period of at most [`GAP_DAYS_MAX`] days is counted by day. One that begins with a month and has at most
/// [`GAP_MONTHS_MAX`] of them is counted by month; if it ends within a month, that one by its days instead.
pub fn different<'a>(
    unit: Unit,
    first: Date,
    counters: impl IntoIterator<Item = (Date, &'a str, i64)>,
) -> BTreeMap<String, i64> {
    let mut found: BTreeMap<String, i64> = BTreeMap::new();
    for (day, measure, count) in counters {
        let Some((work, gap)) = measure.rsplit_once('/') else { continue };
        let Ok(gap) = gap.parse::<i64>() else { continue };
        let into_period = match unit {
            Unit::AttendedMonth | Unit::AttendedMonthDay => months_between(first, day),
            _ => day.since(first).map_or(0, |span| span.get_days().into()),
        };
        if gap > into_period {
            *found.entry(work.to_owned()).or_default() += count;
        }
    }
    found
}
