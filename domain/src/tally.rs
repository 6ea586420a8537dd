//! What a record contributes to the summaries: counters by area, local day, month or year, and measure.
//!
//! Applying an op takes away what the record contributed before and adds what it contributes now, so a summary is
//! a sum of counters and equals a recount. Months, years and all time are kept beside days, so that a year costs one
//! counter and not 365.
//!
//! | measure | of | on the day that |
//! | --- | --- | --- |
//! | `visit/outcome/WORD` | visits | it took place |
//! | `inspection/result/WORD` | inspections | it took place |
//! | `request/category/WORD`, `request/channel/WORD`, `request/status/STAGE` | requests | it was raised |
//! | `request/reached/STAGE` | requests that ever came to a stage | it was raised |
//! | `request/time_to/STAGE/BUCKET` | how long it took from being raised | it was raised |
//! | `request/organization/ID/status/STAGE` | requests that a partner has or had last | it was raised |
//! | `request/organization/ID/time_to/resolved/BUCKET` | how long it took from the referral | it was raised |
//! | `violation/sort/WORD`, `violation/status/STAGE`, `violation/reached/STAGE` | violations | it was found |
//! | `violation/time_to/STAGE/BUCKET` | how long it took from being found | it was found |
//! | `follow_up/sort/WORD/STATE`, STATE as [`due_state`] says | follow-ups | it is due |
//! | `follow_up/group/ID/STATE`, `follow_up/organization/ID/STATE` | those given to a group or partner | it is due |
//! | `alert/WORD` | notices that a law or a plan was not kept | it was raised |
//! | `place/WORD`, `asset/WORD`, `plan/WORD` | what there is, by sort | it was recorded |
//! | `plan/WORD/gap/DAYS` | plans whose law allows so many days between two | it was recorded |
//! | `commitment/ID` | work linked to a commitment, in thousandths of its unit | it was done |
//! | `worker/ID/visit`, `worker/ID/inspection`, `worker/ID/follow_up/STATE` | for the worker and the own coordinator only | as above |
//!
//! The measures of [`attendance`](crate::attendance) are kept in the same counters; its
//! [`REACHED`](crate::attendance::REACHED) goes up and down, so that its sum up to a day is a stock.

use crate::id::AreaId;
use crate::kind::Kind;
use crate::limit::QUANTITY_MAX;
use crate::record::{Record, Standing, StepTaken};
use crate::recurrence::local_day;
use crate::status::stages;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use std::collections::BTreeMap;

/// Goes up with each change of what records contribute: a database that was counted by another is counted again.
pub const VERSION: u32 = 5;

/// A word of a record as a part of a measure: a slash in it would make two parts.
pub(crate) fn part(word: &str) -> String {
    word.replace('/', "\u{2215}")
}

/// Stages whose times from the beginning are measured.
pub const TIMED_REQUEST_STAGES: [&str; 3] = ["referred", "resolved", "verified"];
/// See [`TIMED_REQUEST_STAGES`]. "Find early, stop early, report early, remove early."
pub const TIMED_VIOLATION_STAGES: [&str; 3] = ["stopped", "reported", "removed"];
/// Sorts of notices that are alerts: something that must not happen has happened.
pub const ALERTS: [&str; 2] = ["gap", "plan_off"];
/// What a commitment counts in: a thousandth of its unit.
pub const QUANTITY_PARTS: f64 = 1_000.0;

/// What a counter's day stands for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Unit {
    /// A local day.
    Day,
    /// A local month, named by its first day.
    Month,
    /// A local year, named by its first day.
    Year,
    /// All time, named by [`EVER`].
    Ever,
    /// A local day on which something was [attended](crate::attendance) to.
    AttendedDay,
    /// A local month in which something was attended to, named by its first day.
    AttendedMonth,
    /// The first local day in a month on which something was attended to.
    AttendedMonthDay,
}

/// The day of counters for all time.
pub const EVER: Date = Date::constant(1, 1, 1);

impl Unit {
    /// Every unit.
    pub const ALL: [Unit; 7] = [
        Unit::Day,
        Unit::Month,
        Unit::Year,
        Unit::Ever,
        Unit::AttendedDay,
        Unit::AttendedMonth,
        Unit::AttendedMonthDay,
    ];

    /// The word that the database uses.
    pub fn name(self) -> &'static str {
        match self {
            Unit::Day => "day",
            Unit::Month => "month",
            Unit::Year => "year",
            Unit::Ever => "ever",
            Unit::AttendedDay => "attended_day",
            Unit::AttendedMonth => "attended_month",
            Unit::AttendedMonthDay => "attended_month_day",
        }
    }

    /// The unit that the database calls so.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|unit| unit.name() == name)
    }
}

/// Names one counter: an area (not its subtree), a day or month there, and what is counted.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct TallyKey {
    /// The area.
    pub area: AreaId,
    /// What its day stands for.
    pub unit: Unit,
    /// The day, or the first day of the month, in the area's time zone.
    pub day: Date,
    /// What is counted: `visit/outcome/met`.
    pub measure: String,
}

/// Counters and by how much they change; none is zero.
pub type Tallies = BTreeMap<TallyKey, i64>;

/// What a record contributes: to each of these measures as much, on this one day.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Contribution {
    /// The day, in the time zone of the record's area.
    pub day: Date,
    /// The measures, and by how much.
    pub measures: Vec<(String, i64)>,
}

impl Contribution {
    /// Whether the record is one of those behind a figure: the measure itself, or all measures below it.
    pub fn is_behind(&self, figure: &str) -> bool {
        self.measures.iter().any(|(measure, _)| is_within(measure, figure))
    }
}

/// Whether a measure is counted in a figure: `visit/outcome/met` is within `visit/outcome`, and within itself.
pub fn is_within(measure: &str, figure: &str) -> bool {
    measure.strip_prefix(figure).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// What the record contributes to the counters of its area; nothing if it was deleted or its kind is not counted.
pub fn contribution(record: &Record, zone: &TimeZone) -> Option<Contribution> {
    if record.deleted.is_some() {
        return None;
    }
    let mut measures = Vec::new();
    let mut at_ms = record.created.at_ms;
    let mut add = |measure: String, count: i64| measures.push((measure, count));
    match record.kind {
        Kind::Visit => {
            add(format!("visit/outcome/{}", part(record.text("outcome"))), 1);
            if let Some(worker) = record.created.worker {
                add(format!("worker/{worker}/visit"), 1);
            }
        }
        Kind::Inspection => {
            add(format!("inspection/result/{}", part(record.text("result"))), 1);
            if let Some(worker) = record.created.worker {
                add(format!("worker/{worker}/inspection"), 1);
            }
            if let Some(commitment) = record.reference("commitment") {
                add(format!("commitment/{commitment}"), quantity_parts(record));
            }
        }
        Kind::Request => {
            add(format!("request/category/{}", part(record.text("category"))), 1);
            add(format!("request/channel/{}", part(record.text("channel"))), 1);
            staged(record, "request", &TIMED_REQUEST_STAGES, &mut add);
            if let Some(organization) = record.reference("referred_to") {
                add(format!("request/organization/{organization}/status/{}", record.status), 1);
                if let Some(took_ms) = time_of_partner(record) {
                    let bucket = bucket(took_ms);
                    add(format!("request/organization/{organization}/time_to/resolved/{bucket}"), 1);
                }
            }
        }
        Kind::Violation => {
            add(format!("violation/sort/{}", part(record.text("sort"))), 1);
            staged(record, "violation", &TIMED_VIOLATION_STAGES, &mut add);
        }
        Kind::FollowUp => {
            at_ms = due_ms(record);
            let state = due_state(record);
            add(format!("follow_up/sort/{}/{state}", part(record.text("sort"))), 1);
            for who in ["group", "organization"] {
                if let Some(id) = record.reference(who) {
                    add(format!("follow_up/{who}/{id}/{state}"), 1);
                }
            }
            if let Some(worker) = record.reference("worker") {
                add(format!("worker/{worker}/follow_up/{state}"), 1);
            }
        }
        Kind::Notice => {
            let sort = record.text("sort");
            if !ALERTS.contains(&sort) || record.status == "withdrawn" {
                return None;
            }
            at_ms = moment(record, "at_ms").unwrap_or(at_ms);
            add(format!("alert/{sort}"), 1);
        }
        Kind::Place => add(format!("place/{}", part(record.text("sort"))), 1),
        Kind::Asset => add(format!("asset/{}", part(record.text("sort"))), 1),
        Kind::Plan => {
            let sort = part(record.text("sort"));
            match record.fields.get("gap_days_max").and_then(serde_json::Value::as_u64) {
                Some(days) => add(format!("plan/{sort}/gap/{days}"), 1),
                None => add(format!("plan/{sort}"), 1),
            }
        }
        _ => return None,
    }
    Some(Contribution { day: local_day(at_ms, zone), measures })
}

/// Adds to one counter.
pub fn add(tallies: &mut Tallies, key: TallyKey, count: i64) {
    match tallies.entry(key) {
        std::collections::btree_map::Entry::Vacant(entry) => {
            if count != 0 {
                entry.insert(count);
            }
        }
        std::collections::btree_map::Entry::Occupied(mut entry) => {
            *entry.get_mut() += count;
            if *entry.get() == 0 {
                entry.remove();
            }
        }
    }
}

/// Adds the months, the years, and all time, of counters that were kept by day.
pub fn add_longer(tallies: &mut Tallies) {
    let mut longer = Tallies::new();
    for (key, count) in tallies.iter().filter(|(key, _)| key.unit == Unit::Day) {
        add(
            &mut longer,
            TallyKey { unit: Unit::Month, day: key.day.first_of_month(), ..key.clone() },
            *count,
        );
        add(&mut longer, TallyKey { unit: Unit::Year, day: key.day.first_of_year(), ..key.clone() }, *count);
        add(&mut longer, TallyKey { unit: Unit::Ever, day: EVER, ..key.clone() }, *count);
    }
    for (key, count) in longer {
        add(tallies, key, count);
    }
}

/// How a follow-up stands against the time that it was due: `open`, `on_time`, `late`, `missed` or `cancelled`. Done
/// work is judged by when it was done, whenever it became known.
pub fn due_state(follow_up: &Record) -> &str {
    if follow_up.status != "done" {
        return &follow_up.status;
    }
    let done_ms = applied(follow_up)
        .filter(|taken| taken.step.to == "done")
        .last()
        .map_or(follow_up.changed.at_ms, |taken| taken.step.done_at_ms.unwrap_or(taken.trace.at_ms));
    if done_ms <= due_ms(follow_up) { "on_time" } else { "late" }
}

/// The measures of kinds that go through stages.
fn staged(record: &Record, kind: &str, timed: &[&str], add: &mut impl FnMut(String, i64)) {
    add(format!("{kind}/status/{}", record.status), 1);
    let all = stages(record.kind).map_or(&[][..], |stages| stages.all);
    for (at, stage) in all.iter().enumerate() {
        let reached_ms = match at {
            0 => Some(record.created.at_ms),
            _ => applied(record).find(|taken| taken.step.to == *stage).map(|taken| taken.trace.at_ms),
        };
        let Some(reached_ms) = reached_ms else { continue };
        add(format!("{kind}/reached/{stage}"), 1);
        if timed.contains(stage) {
            add(format!("{kind}/time_to/{stage}/{}", bucket(reached_ms - record.created.at_ms)), 1);
        }
    }
}

/// How long the partner that has the request, or had it last, took to call it resolved, in ms.
fn time_of_partner(request: &Record) -> Option<i64> {
    let taken: Vec<&StepTaken> = applied(request).collect();
    let referred = taken.iter().rposition(|taken| taken.step.to == "referred")?;
    let resolved = taken[referred..].iter().find(|taken| taken.step.to == "resolved")?;
    Some(resolved.trace.at_ms - taken[referred].trace.at_ms)
}

fn applied(record: &Record) -> impl Iterator<Item = &StepTaken> {
    record.steps.iter().filter(|taken| taken.standing == Standing::Applied)
}

fn moment(record: &Record, field: &str) -> Option<i64> {
    record.fields.get(field).and_then(serde_json::Value::as_i64)
}

fn due_ms(follow_up: &Record) -> i64 {
    moment(follow_up, "due_at_ms").unwrap_or(follow_up.created.at_ms)
}

/// Work that does not say how much it was is one.
fn quantity_parts(inspection: &Record) -> i64 {
    let quantity = inspection.fields.get("quantity").and_then(serde_json::Value::as_f64).unwrap_or(1.0);
    (quantity.clamp(0.0, QUANTITY_MAX) * QUANTITY_PARTS).round() as i64 // more could be said before there was a limit
}

/// Steps into which a bucket of times is finer than a doubling.
const BUCKET_STEPS: u32 = 8;
const MINUTE_MS: i64 = 60_000;

/// The bucket of a time: whole minutes up to 16, then eight to each doubling, so that a bucket is at most an eighth of
/// what is in it. Buckets add up over areas and days, which medians do not.
pub fn bucket(time_ms: i64) -> u32 {
    let minutes = (time_ms / MINUTE_MS).max(0);
    if minutes < 16 {
        return minutes as u32;
    }
    let doublings = i64::BITS - 1 - minutes.leading_zeros(); // 4 or more
    let step = (minutes >> (doublings - 3)) as u32 - BUCKET_STEPS;
    16 + (doublings - 4) * BUCKET_STEPS + step
}

/// The shortest time in a bucket and the shortest behind it, in ms.
pub fn bucket_range(bucket: u32) -> (i64, i64) {
    (bucket_start(bucket), bucket_start(bucket + 1))
}

fn bucket_start(bucket: u32) -> i64 {
    if bucket < 16 {
        return i64::from(bucket) * MINUTE_MS;
    }
    let (doublings, step) = ((bucket - 16) / BUCKET_STEPS + 4, (bucket - 16) % BUCKET_STEPS);
    let minutes = i64::from(BUCKET_STEPS + step).checked_shl(doublings - 3).unwrap_or(i64::MAX / MINUTE_MS);
    minutes.saturating_mul(MINUTE_MS)
}
