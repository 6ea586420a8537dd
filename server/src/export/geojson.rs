//! Maps: a table as a GeoJSON FeatureCollection (RFC 7946).

use super::Error;
use super::table::{Cell, Column, Table, iso};
use jiff::tz::TimeZone;
use rounds_domain::column::Form;
use serde::{Serialize, Serializer};
use serde_json::{Number, Value};
use std::io::Write;

/// Digits behind the point: 6 are a tenth of a metre.
const SCALE: f64 = 1e6;

/// A position in WGS 84.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Point {
    /// Degrees north.
    pub(super) latitude: f64,
    /// Degrees east.
    pub(super) longitude: f64,
}

#[derive(Serialize)]
struct Feature<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    id: Option<&'a Value>,
    geometry: Option<Geometry>,
    properties: InOrder<'a>,
}

#[derive(Serialize)]
struct Geometry {
    #[serde(rename = "type")]
    kind: &'static str,
    coordinates: [f64; 2],
}

/// Names and values as an object, in the order of the columns.
struct InOrder<'a>(&'a [(&'a str, Value)]);

impl Serialize for InOrder<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

/// Writes features as they come: the first column of each is its id, the others its properties.
pub(super) struct GeoJson<W: Write> {
    out: W,
    columns: Vec<Column>,
    zone: TimeZone,
    rows: u64,
}

impl<W: Write> GeoJson<W> {
    pub(super) fn begin(table: Table, mut out: W) -> Result<Self, Error> {
        out.write_all(b"{\"type\":\"FeatureCollection\",\"features\":[")?;
        Ok(Self { out, columns: table.columns, zone: table.zone, rows: 0 })
    }

    pub(super) fn feature(&mut self, cells: &[Cell], point: Option<Point>) -> Result<(), Error> {
        let named = self.columns.iter().zip(cells);
        let properties: Vec<(&str, Value)> = named
            .map(|(column, cell)| (column.name.as_str(), value(cell, column.form, &self.zone)))
            .collect();
        let feature = Feature {
            kind: "Feature",
            id: properties.first().map(|(_, id)| id),
            geometry: point.map(|point| Geometry {
                kind: "Point",
                coordinates: [rounded(point.longitude), rounded(point.latitude)],
            }),
            properties: InOrder(&properties),
        };
        self.out.write_all(if self.rows == 0 { b"\n" } else { b",\n" })?;
        serde_json::to_writer(&mut self.out, &feature).map_err(std::io::Error::from)?;
        self.rows += 1;
        Ok(())
    }

    /// Ends it. Answers how many features it has.
    pub(super) fn end(mut self) -> Result<u64, Error> {
        self.out.write_all(b"\n]}\n")?;
        self.out.flush()?;
        Ok(self.rows)
    }
}

fn value(cell: &Cell, form: Form, zone: &TimeZone) -> Value {
    match cell {
        Cell::Empty => Value::Null,
        Cell::Text(text) if form == Form::List => serde_json::from_str(text).unwrap_or_default(),
        Cell::Text(text) => text.as_str().into(),
        Cell::Integer(number) => (*number).into(),
        Cell::Number(number) => Number::from_f64(*number).map_or(Value::Null, Value::Number),
        Cell::YesNo(yes) => (*yes).into(),
        Cell::Date(date) => date.to_string().into(),
        Cell::Moment(ms) => iso(*ms, zone).into(),
    }
}

fn rounded(degrees: f64) -> f64 {
    (degrees * SCALE).round() / SCALE + 0.0 // which makes 0 of -0
}
