//! The figures of a period on the overview: sections, areas beside each other, and how they went over time.

use super::chart::{self, Bar};
use super::download::{KINDS, may_download};
use super::frame::Link;
use super::reader::Reader;
use crate::brief::{completeness, partner, warnings};
use crate::error::Error;
use crate::outline::{self, Section, change, number, share};
use crate::partner::duration;
use crate::summary::{Division, Ground, TimeUnit};
use jiff::civil::Date;
use rounds_domain::summary::{Figure, Freshness, Period, Summary};
use rounds_proto::v1::SummaryScope;
use serde::Deserialize;
use std::collections::BTreeMap;

/// Which period is looked at.
#[derive(Deserialize, Default, Clone)]
#[serde(default)]
pub(super) struct Asked {
    /// `week` if empty.
    pub(super) period: String,
    /// A day in it; today if empty.
    pub(super) day: String,
}

impl Asked {
    fn period(&self) -> &str {
        if self.period.is_empty() { "week" } else { &self.period }
    }
}

/// What the page shows of a period.
pub(super) struct Figures {
    pub(super) freshness: Freshness,
    pub(super) periods: Vec<Link>,
    pub(super) earlier: String,
    pub(super) later: String,
    pub(super) period: String,
    pub(super) compared: String,
    pub(super) complete: String,
    pub(super) warnings: Vec<String>,
    pub(super) charts: Vec<Chart>,
    pub(super) downloads: Vec<Download>,
    pub(super) areas: Vec<AreaRow>,
    pub(super) sections: Vec<SectionText>,
    pub(super) commitments: Vec<CommitmentRow>,
}

/// A thing that can be had as files.
pub(super) struct Download {
    pub(super) name: &'static str,
    pub(super) files: Vec<Link>,
}

/// A figure over time.
pub(super) struct Chart {
    pub(super) title: &'static str,
    /// The same in words.
    pub(super) told: String,
    pub(super) svg: String,
}

/// An area beside others.
pub(super) struct AreaRow {
    pub(super) name: String,
    pub(super) href: String,
    pub(super) visits: String,
    pub(super) reached: Part,
    pub(super) requests: String,
    pub(super) in_time: Part,
    pub(super) on_time: String,
    pub(super) overdue: String,
}

/// How much of a whole: in words, and of 100.
#[derive(Default)]
pub(super) struct Part {
    pub(super) told: String,
    pub(super) percent: Option<u8>,
}

impl Part {
    fn of(figure: Option<&Figure>) -> Self {
        let Some(figure) = figure else { return Self::default() };
        let whole = figure.of.filter(|of| *of > 0.0);
        let percent = whole.map(|of| (figure.value / of * 100.0).clamp(0.0, 100.0) as u8);
        Self { told: share(figure), percent }
    }
}

pub(super) struct SectionText {
    pub(super) key: &'static str,
    pub(super) title: String,
    pub(super) rows: Vec<FigureRow>,
    pub(super) times: Vec<TimeRow>,
}

pub(super) struct FigureRow {
    pub(super) label: String,
    pub(super) href: String,
    pub(super) is_part: bool,
    pub(super) value: String,
    pub(super) change: String,
    pub(super) share: String,
}

pub(super) struct TimeRow {
    pub(super) label: String,
    pub(super) href: String,
    pub(super) count: i64,
    pub(super) median: String,
    pub(super) p90: String,
}

pub(super) struct CommitmentRow {
    pub(super) goal: String,
    pub(super) href: String,
    pub(super) partner: String,
    pub(super) done: String,
    pub(super) promised: String,
    pub(super) due: String,
}

impl Reader {
    /// The ground of the chosen area and a period.
    pub(super) async fn ground(&self, asked: &Asked) -> Result<Ground, Error> {
        let scope = SummaryScope {
            area: self.chosen.map(|area| area.to_string()).unwrap_or_default(),
            period: asked.period().to_owned(),
            day: asked.day.clone(),
            ..SummaryScope::default()
        };
        self.shared.ground(&self.caller, &scope).await
    }
}

/// Asks for a period and puts it into words. `since_ms` is when the reader looked last, in ms since 1970 UTC.
pub(super) async fn figures(reader: &Reader, asked: &Asked, since_ms: i64) -> Result<Figures, Error> {
    let (language, text) = (reader.language, reader.text);
    let name = asked.period();
    let ground = reader.ground(asked).await?;
    let report = reader.shared.summarize(&reader.caller, &ground, Division::Area, since_ms, None).await?;
    let unit = match name {
        "day" | "week" | "month" => TimeUnit::Day,
        "quarter" => TimeUnit::Week,
        _ => TimeUnit::Month,
    };
    let trend = reader.shared.trend(&ground, unit).await?;
    let Period { first, last } = ground.period;
    let link = |name: &str, day: &str| reader.link("/", &[("period", name), ("day", day)]);
    let periods = [
        ("day", text.a_day),
        ("week", text.a_week),
        ("month", text.a_month),
        ("quarter", text.a_quarter),
        ("year", text.a_year),
    ];
    let periods = periods.map(|(period, label)| Link {
        name: label.to_owned(),
        href: link(period, &asked.day),
        is_current: period == name,
    });
    let rows: Vec<AreaRow> =
        report.parts.iter().map(|(area, summary)| area_row(asked, area, &report.names, summary)).collect();
    let charts = [
        (text.visits_over_time, "visit"),
        (text.requests_over_time, "request"),
        (text.violations_over_time, "violation"),
    ];
    let charts = charts.map(|(title, figure)| chart(title, figure, ground.period, unit, &trend));
    let sections = outline::outline(&report.summary, &report.names, &reader.words);
    let sections = sections.iter().filter(|section| section.key != "commitment");
    let sections = sections.map(|section| section_text(reader, asked, section)).collect();
    let commitments = report.commitments.iter().map(|progress| CommitmentRow {
        goal: progress.goal.clone(),
        href: reader.record_link(progress.commitment),
        partner: partner(&report, progress),
        done: number(progress.done),
        promised: format!("{} {}", number(progress.quantity), progress.unit),
        due: progress.due.clone(),
    });
    Ok(Figures {
        freshness: report.freshness,
        periods: periods.into(),
        earlier: link(name, &first.yesterday().unwrap_or(first).to_string()),
        later: link(name, &last.tomorrow().unwrap_or(last).to_string()),
        period: days(first, last),
        compared: format!("{} {}", text.compared_with, days(report.before.first, report.before.last)),
        complete: completeness(&report, language),
        warnings: warnings(&report, language),
        charts: charts.into_iter().filter(|chart| !chart.svg.is_empty()).collect(),
        downloads: downloads(reader, asked),
        areas: rows,
        sections,
        commitments: commitments.collect(),
    })
}

/// The files that the reader may take away: of the figures, and of the records if one area is meant.
fn downloads(reader: &Reader, asked: &Asked) -> Vec<Download> {
    if !may_download(reader.caller.device.role) {
        return Vec::new();
    }
    let text = reader.text;
    let file = |what: &str, name: &str, format: &str| Link {
        name: name.to_owned(),
        href: reader.link(
            "/download",
            &[("what", what), ("format", format), ("period", asked.period()), ("day", &asked.day)],
        ),
        is_current: false,
    };
    let tables = |what: &str| {
        [("CSV", "csv"), ("Excel", "xlsx"), ("Parquet", "parquet")]
            .map(|(name, format)| file(what, name, format))
    };
    let mut figures: Vec<Link> = vec![file("summary", text.the_brief, "md")];
    figures.extend(tables("summary"));
    let mut downloads = vec![Download { name: text.these_figures, files: figures }];
    if reader.chosen.or_else(|| reader.tree.only_top()).is_some() {
        downloads.extend(KINDS.iter().map(|kind| {
            let mut files = Vec::from(tables(kind.plural()));
            files.push(file(kind.plural(), "GeoJSON", "geojson"));
            Download { name: reader.language.kinds(*kind), files }
        }));
    }
    downloads
}

fn days(first: Date, last: Date) -> String {
    if first == last { first.to_string() } else { format!("{first} – {last}") }
}

/// The records behind a figure.
fn behind_link(reader: &Reader, asked: &Asked, figure: &str) -> String {
    reader.link("/behind", &[("figure", figure), ("period", &asked.period), ("day", &asked.day)])
}

fn section_text(reader: &Reader, asked: &Asked, section: &Section) -> SectionText {
    SectionText {
        key: section.key,
        title: section.title.clone(),
        rows: section
            .rows
            .iter()
            .map(|row| FigureRow {
                label: row.label.clone(),
                href: behind_link(reader, asked, &row.figure.name),
                is_part: row.is_part,
                value: number(row.figure.value),
                change: change(&row.figure),
                share: share(&row.figure),
            })
            .collect(),
        times: section
            .times
            .iter()
            .map(|time| TimeRow {
                label: time.label.clone(),
                href: behind_link(reader, asked, &time.spread.name),
                count: time.spread.count,
                median: duration(reader.language, time.spread.median_ms),
                p90: duration(reader.language, time.spread.p90_ms),
            })
            .collect(),
    }
}

fn area_row(asked: &Asked, area: &str, names: &BTreeMap<String, String>, summary: &Summary) -> AreaRow {
    let value = |name: &str| number(summary.value(name));
    let in_time = summary.figures.iter().find(|figure| figure.name.starts_with("in_time/"));
    let due = summary.value("follow_up/due") - summary.value("follow_up/open");
    let on_time = match due > 0.0 {
        true => format!("{:.0} %", summary.value("follow_up/on_time") / due * 100.0),
        false => String::new(),
    };
    let asked = [("area", area), ("period", asked.period.as_str()), ("day", asked.day.as_str())];
    AreaRow {
        name: names.get(area).cloned().unwrap_or_default(),
        href: super::reader::link("/", &asked),
        visits: value("visit"),
        reached: Part::of(summary.figure("dwelling/reached")),
        requests: value("request"),
        in_time: Part::of(in_time),
        on_time,
        overdue: value("follow_up/overdue"),
    }
}

/// A figure for each day, week or month of the period, those without anything too.
fn chart(
    title: &'static str,
    figure: &str,
    period: Period,
    unit: TimeUnit,
    parts: &[(String, Summary)],
) -> Chart {
    let mut bars: Vec<Bar> = Vec::new();
    let mut told: Vec<String> = Vec::new();
    let mut at = Period::named(unit.name(), period.first).unwrap_or(period);
    while at.first <= period.last {
        let key = at.first.to_string();
        let value =
            parts.iter().find(|(day, _)| *day == key).map_or(0.0, |(_, summary)| summary.value(figure));
        told.push(format!("{key}: {}", number(value)));
        let label =
            if unit == TimeUnit::Month { at.first.strftime("%Y-%m") } else { at.first.strftime("%m-%d") };
        bars.push((label.to_string(), value));
        match at.last.tomorrow().ok().and_then(|next| Period::named(unit.name(), next).ok()) {
            Some(next) if next.first > at.first => at = next,
            _ => break, // the calendar ends
        }
    }
    let svg = if bars.iter().all(|(_, value)| *value == 0.0) { String::new() } else { chart::bars(&bars) };
    Chart { title, told: told.join("; "), svg }
}
