//! `rounds export`: the records of a kind as a file, in memory that does not grow with them. The columns are those of
//! [`rounds_domain::column`]: nobody who did something is in them.
//!
//! [`TableWriter`] writes any other table in the same formats.

mod csv;
mod geojson;
mod parquet;
mod position;
mod table;
mod xlsx;

pub use table::{Cell, Column, Table, TableFormat, TableWriter, Written};

use crate::clock::Clock;
use geojson::GeoJson;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use position::Positions;
use rounds_domain::column::{self, Form, MOMENTS_MS, Source, columns};
use rounds_domain::{AreaId, Kind, Record};
use rounds_store::{Numbered, RecordFilter, Store};
use serde_json::Value;
use std::collections::HashMap;
use std::io::Write;
use std::ops::Range;

/// Records that are read at once.
const PAGE_RECORDS: u32 = 500;

/// What to export, and how.
#[derive(Clone, Debug)]
pub struct Export {
    /// The records: of this kind,
    pub kind: Kind,
    /// of this area and those below it. Moments are told in its time zone.
    pub area: AreaId,
    /// Only those from this local day on: follow-ups by when they are due, notices by when they were called for, all
    /// others by when they began.
    pub from: Option<Date>,
    /// Only those up to this local day, itself included.
    pub until: Option<Date>,
    /// How they are written.
    pub format: Format,
}

/// The formats of exports.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Format {
    /// A table.
    Table(TableFormat),
    /// GeoJSON as RFC 7946 has it: a feature for each record, at its coordinates or those of what it is about (rounded
    /// to 6 digits), if that is in these areas or in one that the record was in, or nowhere. Lists are JSON as they are.
    GeoJson,
}

/// How far it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Progress {
    /// Records that were written.
    pub written: u64,
    /// Records that were looked at.
    pub looked_at: u64,
    /// Records that will be looked at. `None`: only some of them, and nobody counted them.
    pub total: Option<u64>,
}

/// Why there is no export.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The store could not.
    #[error(transparent)]
    Store(#[from] rounds_store::Error),
    /// The output could not be written.
    #[error(transparent)]
    Write(#[from] std::io::Error),
    /// A sheet of Excel does not take so many.
    #[error("a sheet of Excel takes {0} rows: choose a shorter period, an area below, or csv or parquet")]
    TooManyRows(u64),
    /// A row has cells that its table does not have: a fault in this program.
    #[error("a cell does not fit its column: {0}")]
    Unfit(String),
    /// The area is not there.
    #[error("there is no area {0}")]
    NoArea(AreaId),
}

enum Output<W: Write + Send> {
    Table(TableWriter<W>),
    Map(GeoJson<W>, Positions),
}

/// Writes the records, as all of them are at one moment, without deleted ones: area by area, by their numbers.
/// `out` is complete when this answers, and of no use if it does not.
///
/// # Errors
/// See [`Error`].
pub async fn export<W: Write + Send>(
    store: &Store,
    export: &Export,
    out: W,
    clock: &Clock,
    mut progress: impl FnMut(Progress),
) -> Result<Written, Error> {
    let no_area = || Error::NoArea(export.area);
    let (zone, _) = store.policies(export.area).await?.ok_or_else(no_area)?;
    let zone = TimeZone::get(&zone).unwrap_or(TimeZone::UTC); // areas have zones that exist
    let areas = store.subtree(export.area).await?;
    let names = area_names(store, &areas).await?;
    let period = period(export, &zone);
    let is_by_due = period.is_some() && matches!(export.kind, Kind::FollowUp | Kind::Notice);
    let columns = columns(export.kind);
    let table = Table {
        name: export.kind.plural().to_owned(),
        columns: columns
            .iter()
            .map(|column| Column { name: column.name.to_owned(), form: column.form })
            .collect(),
        zone,
        written_ms: clock.now_ms(),
    };
    let mut output = match export.format {
        Format::Table(format) => Output::Table(TableWriter::begin(table, format, out)?),
        Format::GeoJson => Output::Map(GeoJson::begin(table, out)?, Positions::within(areas.iter().copied())),
    };

    let mut snapshot = store.snapshot().await?;
    let mut told = Progress { written: 0, looked_at: 0, total: None };
    if !is_by_due {
        let mut total = 0;
        for area in &areas {
            total += snapshot.count(export.kind, *area).await?;
        }
        told.total = Some(total);
    }
    for area in &areas {
        let due_ms = period.clone().filter(|_| is_by_due);
        let mut after = None;
        loop {
            let mut page = snapshot.page(export.kind, *area, due_ms.clone(), after, PAGE_RECORDS).await?;
            let Some(last) = page.last() else { break };
            after = Some((last.number, last.record.id));
            told.looked_at += page.len() as u64;
            if let (Some(period), false) = (&period, is_by_due) {
                page.retain(|numbered| period.contains(&numbered.record.created.at_ms));
            }
            output.write(store, &page, &columns, &names).await?;
            told.written += page.len() as u64;
            progress(told);
        }
    }
    output.end()
}

impl<W: Write + Send> Output<W> {
    async fn write(
        &mut self,
        store: &Store,
        page: &[Numbered],
        columns: &[column::Column],
        names: &HashMap<AreaId, String>,
    ) -> Result<(), Error> {
        let cells = |numbered: &Numbered| -> Vec<Cell> {
            columns.iter().map(|column| cell(numbered, column, names)).collect()
        };
        match self {
            Self::Table(table) => page.iter().try_for_each(|numbered| table.row(&cells(numbered))),
            Self::Map(map, positions) => {
                let points = positions.of(store, page.iter().map(|numbered| &numbered.record)).await?;
                page.iter().zip(points).try_for_each(|(numbered, point)| map.feature(&cells(numbered), point))
            }
        }
    }

    fn end(self) -> Result<Written, Error> {
        match self {
            Self::Table(table) => table.end(),
            Self::Map(map, _) => Ok(Written { rows: map.end()?, cut: 0 }),
        }
    }
}

async fn area_names(store: &Store, areas: &[AreaId]) -> Result<HashMap<AreaId, String>, Error> {
    let mut filter = RecordFilter::of(Kind::Area, areas.to_vec(), PAGE_RECORDS);
    let mut names = HashMap::new();
    loop {
        let page = store.records(&filter).await?;
        let Some(last) = page.last() else { return Ok(names) };
        filter.after = Some(filter.place(last));
        names.extend(page.into_iter().map(|numbered| {
            let Record { area, .. } = numbered.record;
            (area, numbered.record.text("name").to_owned())
        }));
    }
}

/// The time that is asked for, in ms since 1970 UTC. `None`: all of it.
fn period(export: &Export, zone: &TimeZone) -> Option<Range<i64>> {
    if export.from.is_none() && export.until.is_none() {
        return None;
    }
    let start_ms = |day: Date| day.to_zoned(zone.clone()).map(|start| start.timestamp().as_millisecond());
    let from_ms = export.from.and_then(|day| start_ms(day).ok()).unwrap_or(i64::MIN);
    let day_after = export.until.and_then(|day| day.tomorrow().ok());
    let until_ms = day_after.and_then(|day| start_ms(day).ok()).unwrap_or(i64::MAX);
    Some(from_ms..until_ms)
}

fn cell(numbered: &Numbered, column: &column::Column, names: &HashMap<AreaId, String>) -> Cell {
    let record = &numbered.record;
    match column.source {
        Source::Id => Cell::Text(record.id.to_string()),
        Source::Area => Cell::Text(record.area.to_string()),
        Source::AreaName => text(names.get(&record.area).map(String::as_str).unwrap_or_default()),
        Source::Number => Cell::Integer(numbered.number as i64),
        Source::Status => text(&record.status),
        Source::CreatedAt => moment(record.created.at_ms),
        Source::ChangedAt => moment(record.changed.at_ms),
        Source::Field(field) => value(record.fields.get(field), column.form),
    }
}

fn value(value: Option<&Value>, form: Form) -> Cell {
    let Some(value) = value else {
        return if form == Form::YesNo { Cell::YesNo(false) } else { Cell::Empty };
    };
    let fitting = match form {
        Form::Text | Form::Reference => value.as_str().map(text),
        Form::Integer => value.as_i64().map(Cell::Integer),
        Form::Number => value.as_f64().map(Cell::Number),
        Form::YesNo => value.as_bool().map(Cell::YesNo),
        Form::Date => value.as_str().and_then(date),
        Form::Moment => value.as_i64().map(moment),
        Form::List => Some(Cell::Text(value.to_string())),
    };
    fitting.unwrap_or(Cell::Empty)
}

fn text(text: &str) -> Cell {
    if text.is_empty() { Cell::Empty } else { Cell::Text(text.to_owned()) }
}

/// A day; none of the year 0, which most programs do not have.
fn date(text: &str) -> Option<Cell> {
    let date: Date = text.parse().ok()?;
    (date.year() >= 1).then_some(Cell::Date(date))
}

/// A moment; empty if a table cannot tell it.
fn moment(ms: i64) -> Cell {
    if MOMENTS_MS.contains(&ms) { Cell::Moment(ms) } else { Cell::Empty }
}
