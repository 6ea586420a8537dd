//! Summaries: from counters to the figures that people read, and from a figure back to the records behind it.
//!
//! A figure has a name that stays: pages, files and calls show the same figure under the same name, and whoever has a
//! name can ask for the records behind it. Names are those of [measures](crate::tally), and these:
//!
//! | figure | what |
//! | --- | --- |
//! | `visit`, `inspection`, `request`, `violation` | all of them in the period |
//! | `dwelling/reached` | different dwellings at which somebody was met in the period, of all |
//! | `dwelling/not_reached` | dwellings at which nobody was met for some days up to the period's end, or up to today if it is not over, of all |
//! | `attended/WORK` | different things on which work was done in the period, of those with a plan for it |
//! | `in_time/WORK/DAYS` | different things on which work was done at most as many days before the period's end as the law allows, or before today if it is not over, of those with a plan for it |
//! | `follow_up/due` | follow-ups due in the period, without cancelled ones |
//! | `follow_up/on_time`, `/late`, `/missed`, `/open`, `/cancelled` | those that stand so |
//! | `follow_up/overdue`, `follow_up/overdue/WORD` | open ones that were due before today, whatever the period |

use crate::attendance::MET;
use crate::id::RecordId;
use crate::kind::Kind;
use crate::record::Record;
use crate::tally::{QUANTITY_PARTS, bucket_range, contribution, due_state, is_within};
use jiff::civil::{Date, Weekday};
use jiff::tz::TimeZone;
use jiff::{Span, ToSpan};
use std::collections::{BTreeMap, BTreeSet};

/// Days without meeting anybody after which a dwelling counts as not reached, if the reader does not say otherwise: as
/// in the plan template `dwelling-visit`.
pub const NOT_REACHED_DAYS: i64 = 90;

/// States of follow-ups against the time at which they were due.
pub const DUE_STATES: [&str; 5] = ["on_time", "late", "missed", "open", "cancelled"];

/// Local days from the first to the last, both included.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Period {
    /// The first day.
    pub first: Date,
    /// The last day.
    pub last: Date,
}

impl Period {
    /// The names of periods.
    pub const NAMES: [&str; 5] = ["day", "week", "month", "quarter", "year"];

    /// The calendar day, week (from Monday), month, quarter or year that this day is in.
    ///
    /// # Errors
    /// Which names there are.
    pub fn named(name: &str, day: Date) -> Result<Self, String> {
        let first = match name {
            "day" => day,
            "week" => day.checked_sub(i64::from(day.weekday().since(Weekday::Monday)).days()).unwrap_or(day),
            "month" => day.first_of_month(),
            "quarter" => Date::new(day.year(), (day.month() - 1) / 3 * 3 + 1, 1).unwrap_or(day),
            "year" => day.first_of_year(),
            _ => return Err(format!("there is no period {name}: use one of {}", Self::NAMES.join(", "))),
        };
        let last = moved(moved(first, length(name)), -1.days());
        Ok(Self { first, last })
    }

    /// Days from the first to the last.
    ///
    /// # Errors
    /// When the first is after the last, or they are more than [`Period::DAYS_MAX`] days apart.
    pub fn range(first: Date, last: Date) -> Result<Self, String> {
        let period = Self { first, last };
        match period.days() {
            ..1 => Err(format!("the first day, {first}, is after the last, {last}")),
            days if days > Self::DAYS_MAX => Err(format!("a period has at most {} days", Self::DAYS_MAX)),
            _ => Ok(period),
        }
    }

    /// Longest period, in days: twenty years and a bit.
    pub const DAYS_MAX: i64 = 7_500;

    /// How many days.
    pub fn days(&self) -> i64 {
        self.last.since(self.first).map_or(0, |span| i64::from(span.get_days())) + 1
    }

    /// What it is compared with: the period before, and where this one is not over yet, as much of it as has passed.
    pub fn before(&self, today: Date) -> Self {
        let whole = Self::NAMES.into_iter().find(|name| Self::named(name, self.first).as_ref() == Ok(self));
        let first = match whole {
            Some(name) => moved(self.first, -length(name)),
            None => moved(self.first, -self.days().days()),
        };
        let end = moved(self.first, -1.days());
        let passed = Self { first: self.first, last: self.last.min(today) }.days();
        let is_over = today >= self.last;
        let last = if is_over || passed < 1 { end } else { moved(first, (passed - 1).days()).min(end) };
        Self { first, last }
    }
}

fn length(name: &str) -> Span {
    match name {
        "day" => 1.day(),
        "week" => 7.days(),
        "month" => 1.month(),
        "quarter" => 3.months(),
        _ => 1.year(),
    }
}

fn moved(day: Date, span: Span) -> Date {
    day.saturating_add(span)
}

/// What the counters of some areas say about a period.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Counted {
    /// Sums of measures within the period.
    pub within: BTreeMap<String, i64>,
    /// Sums of measures up to the end of the period: what there is by then.
    pub until: BTreeMap<String, i64>,
    /// Sums of open follow-ups that were due before today, by sort.
    pub overdue: BTreeMap<String, i64>,
    /// How many different things were attended to in the period, by work.
    pub attended: BTreeMap<String, i64>,
    /// How many of those that were met are no dwellings, but organizations and other places.
    pub others_met: i64,
    /// How many different things were attended to in so many days up to the period's end, or up to today if it is not over, by work and days.
    pub lately: BTreeMap<(String, i64), i64>,
    /// The same in [`Counted::not_reached_days`].
    pub others_met_lately: i64,
    /// After how many days a dwelling counts as not reached.
    pub not_reached_days: i64,
}

/// A number with its name.
#[derive(Clone, PartialEq, Debug)]
pub struct Figure {
    /// Its name, under which the records behind it are found.
    pub name: String,
    /// The number. Of commitments in their unit, else a whole number.
    pub value: f64,
    /// The same in the period before; none for what is not of a period.
    pub before: Option<f64>,
    /// Out of how many, for those that are a part of something.
    pub of: Option<f64>,
}

/// How long something took.
#[derive(Clone, PartialEq, Debug)]
pub struct Spread {
    /// Its name: `request/time_to/resolved`.
    pub name: String,
    /// Of how many.
    pub count: i64,
    /// The median, in ms. Exact to an eighth, as all of these.
    pub median_ms: i64,
    /// Nine in ten took no longer, in ms.
    pub p90_ms: i64,
    /// The median in the period before, if there was any.
    pub median_before_ms: Option<i64>,
}

/// What people read.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Summary {
    /// Figures by their names. Those of the built-in outline are there even if zero.
    pub figures: Vec<Figure>,
    /// How long things took.
    pub spreads: Vec<Spread>,
}

impl Summary {
    /// A figure; zero if it is not there.
    pub fn value(&self, name: &str) -> f64 {
        self.figure(name).map_or(0.0, |figure| figure.value)
    }

    /// A figure.
    pub fn figure(&self, name: &str) -> Option<&Figure> {
        self.figures.iter().find(|figure| figure.name == name)
    }

    /// The figures one level below a name, with the last part of theirs: the outcomes of `visit/outcome`.
    pub fn below<'a>(&'a self, name: &'a str) -> impl Iterator<Item = (&'a str, &'a Figure)> {
        self.figures.iter().filter_map(move |figure| {
            let rest = figure.name.strip_prefix(name)?.strip_prefix('/')?;
            (!rest.contains('/')).then_some((rest, figure))
        })
    }

    /// How long something took, if it ever happened.
    pub fn spread(&self, name: &str) -> Option<&Spread> {
        self.spreads.iter().find(|spread| spread.name == name)
    }
}

/// The summary of a period beside the one before.
pub fn summarize(now: &Counted, before: Option<&Counted>) -> Summary {
    let (values, values_before) = (values(now), before.map(values));
    let names: BTreeSet<&String> =
        values.keys().chain(values_before.iter().flat_map(BTreeMap::keys)).collect();
    let figures = names.into_iter().map(|name| {
        let value = values.get(name).copied().unwrap_or_default();
        let is_of_a_period = !name.starts_with("follow_up/overdue");
        let before = values_before.as_ref().filter(|_| is_of_a_period);
        Figure {
            name: name.clone(),
            value: value.value,
            before: before.map(|before| before.get(name).map_or(0.0, |it| it.value)),
            of: value.of,
        }
    });
    Summary { figures: figures.collect(), spreads: spreads(now, before) }
}

/// How complete what is known of some areas is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Freshness {
    /// Phones of the field that serve one of the areas and were not revoked.
    pub devices: i64,
    /// Those of them that were not heard of for [`Freshness::silent_hours`].
    pub silent_devices: i64,
    /// After how many hours a phone that was not heard of is silent.
    pub silent_hours: i32,
    /// Ops that phones said to hold still when they called last.
    pub unsent_ops: i64,
    /// When the last of them called, in ms since 1970 UTC; 0 if none ever did.
    pub heard_ms: i64,
    /// Ops that wait in quarantine.
    pub quarantined_ops: i64,
    /// Records with disputes.
    pub disputed_records: i64,
}

/// Ops that happened on one day and were received on a later one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Late {
    /// The local day on which they happened.
    pub day: Date,
    /// How many.
    pub ops: i64,
    /// When the last of them was received, in ms since 1970 UTC.
    pub received_ms: i64,
}

/// What a partner promised, and how far it is.
#[derive(Clone, PartialEq, Debug)]
pub struct Progress {
    /// The commitment.
    pub commitment: RecordId,
    /// Who promised.
    pub organization: Option<RecordId>,
    /// What for.
    pub goal: String,
    /// How much.
    pub quantity: f64,
    /// Of what.
    pub unit: String,
    /// Until when, as an ISO date; empty if it does not say.
    pub due: String,
    /// How much was done by the end of the period.
    pub done: f64,
}

/// A summary, and what one has to know to read it.
#[derive(Clone, PartialEq, Debug)]
pub struct Report {
    /// The period.
    pub period: Period,
    /// The period that it is compared with.
    pub before: Period,
    /// The IANA name of the time zone whose days these are.
    pub time_zone: String,
    /// When it was computed, in ms since 1970 UTC.
    pub as_of_ms: i64,
    /// The figures.
    pub summary: Summary,
    /// The parts, by area or first day.
    pub parts: Vec<(String, Summary)>,
    /// How complete it is.
    pub freshness: Freshness,
    /// What came late to the period or the one before.
    pub late: Vec<Late>,
    /// What partners promised, and how far it is.
    pub commitments: Vec<Progress>,
    /// Names of what figures and parts name by their ids.
    pub names: BTreeMap<String, String>,
}

#[derive(Clone, Copy, Default)]
struct Value {
    value: f64,
    of: Option<f64>,
}

fn values(counted: &Counted) -> BTreeMap<String, Value> {
    let mut values: BTreeMap<String, Value> = BTreeMap::new();
    let mut put = |name: &str, value: i64, of: Option<i64>| {
        values.insert(name.to_owned(), Value { value: value as f64, of: of.map(|of| of as f64) });
    };
    let sum = |sums: &BTreeMap<String, i64>, name: &str| -> i64 {
        sums.iter().filter(|(measure, _)| is_within(measure, name)).map(|(_, count)| count).sum()
    };
    put("visit", sum(&counted.within, "visit/outcome"), None);
    put("inspection", sum(&counted.within, "inspection/result"), None);
    put("request", sum(&counted.within, "request/status"), None);
    put("violation", sum(&counted.within, "violation/status"), None);
    let dwellings = sum(&counted.until, "place/dwelling");
    let met = |sums: Option<&i64>, others: i64| sums.copied().unwrap_or_default() - others;
    put("dwelling/reached", met(counted.attended.get(MET), counted.others_met), Some(dwellings));
    let lately = counted.lately.get(&(MET.to_owned(), counted.not_reached_days));
    let reached_lately = met(lately, counted.others_met_lately);
    put("dwelling/not_reached", (dwellings - reached_lately).max(0), Some(dwellings));
    for state in DUE_STATES {
        let of_state = |(measure, _): &(&String, &i64)| {
            measure.strip_prefix("follow_up/sort/").is_some_and(|rest| rest.ends_with(&format!("/{state}")))
        };
        put(
            &format!("follow_up/{state}"),
            counted.within.iter().filter(of_state).map(|(_, n)| n).sum(),
            None,
        );
    }
    let due = sum(&counted.within, "follow_up/sort")
        - DUE_STATES.last().map_or(0, |cancelled| {
            let ends = format!("/{cancelled}");
            let cancelled = counted
                .within
                .iter()
                .filter(|(measure, _)| measure.starts_with("follow_up/sort/") && measure.ends_with(&ends));
            cancelled.map(|(_, count)| count).sum()
        });
    put("follow_up/due", due, None);
    put("follow_up/overdue", counted.overdue.values().sum(), None);
    for (sort, count) in &counted.overdue {
        put(&format!("follow_up/overdue/{sort}"), *count, None);
    }
    for alert in crate::tally::ALERTS {
        put(&format!("alert/{alert}"), sum(&counted.within, &format!("alert/{alert}")), None);
    }
    for (work, count) in counted.attended.iter().filter(|(work, _)| *work != MET) {
        put(&format!("attended/{work}"), *count, Some(sum(&counted.until, &format!("plan/{work}"))));
    }
    for ((work, days), count) in counted.lately.iter().filter(|((work, _), _)| work != MET) {
        let planned = sum(&counted.until, &format!("plan/{work}"));
        put(&format!("in_time/{work}/{days}"), *count, Some(planned));
    }
    for (measure, count) in &counted.within {
        let is_kept = ["visit/", "inspection/", "request/", "violation/", "follow_up/", "worker/"];
        if is_kept.iter().any(|kind| measure.starts_with(kind)) && !measure.contains("/time_to/") {
            put(measure, *count, None);
        }
    }
    for (measure, count) in &counted.until {
        if measure.starts_with("place/") || measure.starts_with("asset/") || measure.starts_with("plan/") {
            put(measure, *count, None);
        }
    }
    for (measure, parts) in counted.until.iter().filter(|(measure, _)| measure.starts_with("commitment/")) {
        let value = *parts as f64 / QUANTITY_PARTS;
        values.insert(measure.clone(), Value { value, of: None });
    }
    values
}

fn spreads(now: &Counted, before: Option<&Counted>) -> Vec<Spread> {
    let before = before.map(|before| histograms(&before.within)).unwrap_or_default();
    let spread = |(name, buckets): (String, BTreeMap<u32, i64>)| Spread {
        count: buckets.values().sum(),
        median_ms: quantile_ms(&buckets, 0.5),
        p90_ms: quantile_ms(&buckets, 0.9),
        median_before_ms: before.get(&name).map(|buckets| quantile_ms(buckets, 0.5)),
        name,
    };
    histograms(&now.within).into_iter().map(spread).collect()
}

fn histograms(sums: &BTreeMap<String, i64>) -> BTreeMap<String, BTreeMap<u32, i64>> {
    let mut all: BTreeMap<String, BTreeMap<u32, i64>> = BTreeMap::new();
    for (measure, count) in sums.iter().filter(|(measure, _)| measure.contains("/time_to/")) {
        let Some((name, bucket)) = measure.rsplit_once('/') else { continue };
        let Ok(bucket) = bucket.parse() else { continue };
        *all.entry(name.to_owned()).or_default().entry(bucket).or_default() += count;
    }
    all
}

/// The time that so large a part of all did not exceed, in ms: within its bucket as far in as its place among those of
/// the bucket.
pub fn quantile_ms(buckets: &BTreeMap<u32, i64>, part: f64) -> i64 {
    let total: i64 = buckets.values().sum();
    let wanted = part * total as f64;
    let mut passed = 0.0;
    for (bucket, count) in buckets {
        let count = *count as f64;
        if passed + count >= wanted && count > 0.0 {
            let (from_ms, to_ms) = bucket_range(*bucket);
            return from_ms + ((to_ms - from_ms) as f64 * ((wanted - passed) / count).clamp(0.0, 1.0)) as i64;
        }
        passed += count;
    }
    0
}

/// Where the records behind a figure are found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Behind {
    /// Records of a kind that are counted in the period, or at any time up to its end.
    Counted {
        /// The kind.
        kind: Kind,
        /// Up to the period's end, or up to today if it is not over, not only within it.
        until: bool,
    },
    /// Open follow-ups that were due before today, of this sort if it says one.
    Overdue(Option<String>),
    /// What was attended to by this work, in the period or in so many days up to its end.
    Attended {
        /// The work.
        work: String,
        /// Not in the period, but in so many days.
        days: Option<i64>,
    },
    /// Dwellings at which nobody was met.
    NotReached,
}

/// Where the records behind a figure are found; none if no figure has this name.
pub fn behind(name: &str) -> Option<Behind> {
    let counted = |kind, until| Some(Behind::Counted { kind, until });
    let parts: Vec<&str> = name.split('/').collect();
    match parts.as_slice() {
        ["visit", ..] | ["worker", _, "visit"] => counted(Kind::Visit, false),
        ["inspection", ..] | ["worker", _, "inspection"] => counted(Kind::Inspection, false),
        ["commitment", _] => counted(Kind::Inspection, true),
        ["request", ..] => counted(Kind::Request, false),
        ["violation", ..] => counted(Kind::Violation, false),
        ["follow_up", "overdue"] => Some(Behind::Overdue(None)),
        ["follow_up", "overdue", sort] => Some(Behind::Overdue(Some((*sort).to_owned()))),
        ["follow_up", ..] | ["worker", _, "follow_up", ..] => counted(Kind::FollowUp, false),
        ["alert", ..] => counted(Kind::Notice, false),
        ["place", ..] => counted(Kind::Place, true),
        ["asset", ..] => counted(Kind::Asset, true),
        ["plan", ..] => counted(Kind::Plan, true),
        ["dwelling", "reached"] => Some(Behind::Attended { work: MET.to_owned(), days: None }),
        ["dwelling", "not_reached"] => Some(Behind::NotReached),
        ["attended", work] => Some(Behind::Attended { work: (*work).to_owned(), days: None }),
        ["in_time", work, days] => {
            Some(Behind::Attended { work: (*work).to_owned(), days: Some(days.parse().ok()?) })
        }
        _ => None,
    }
}

/// Whether a record that is counted in the period is one of those behind a figure.
pub fn is_behind(record: &Record, zone: &TimeZone, name: &str) -> bool {
    let Some(contribution) = contribution(record, zone) else { return false };
    match name {
        "visit" | "inspection" | "request" | "violation" => true,
        "follow_up/due" => due_state(record) != "cancelled",
        _ => match name.strip_prefix("follow_up/").filter(|state| DUE_STATES.contains(state)) {
            Some(state) => due_state(record) == state,
            None => contribution.is_behind(name),
        },
    }
}
