//! Comma-separated values that are safe to open in a spreadsheet.

use super::Error;
use super::table::{Cell, Table, iso};
use csv::Writer;
use jiff::tz::TimeZone;
use std::borrow::Cow;
use std::io::Write;

/// How Excel knows UTF-8.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
/// What a spreadsheet takes for the beginning of a formula, as OWASP lists it (CSV injection); the last four are the
/// full-width forms, which East Asian versions take too.
const FORMULA_STARTS: [char; 11] = ['=', '+', '-', '@', '\t', '\r', '\n', '＝', '＋', '－', '＠'];

pub(super) struct CsvTable<W: Write> {
    writer: Writer<W>,
    zone: TimeZone,
}

impl<W: Write> CsvTable<W> {
    pub(super) fn begin(table: Table, byte_order_mark: bool, mut out: W) -> Result<Self, Error> {
        if byte_order_mark {
            out.write_all(BYTE_ORDER_MARK)?;
        }
        let mut writer = Writer::from_writer(out);
        writer.write_record(table.columns.iter().map(|column| column.name.as_str())).map_err(failed)?;
        Ok(Self { writer, zone: table.zone })
    }

    pub(super) fn row(&mut self, cells: &[Cell]) -> Result<(), Error> {
        for cell in cells {
            let field: Cow<'_, str> = match cell {
                Cell::Empty => "".into(),
                Cell::Text(text) => harmless(text),
                Cell::Integer(number) => number.to_string().into(),
                Cell::Number(number) => number.to_string().into(),
                Cell::YesNo(yes) => if *yes { "true" } else { "false" }.into(),
                Cell::Date(date) => date.to_string().into(),
                Cell::Moment(ms) => iso(*ms, &self.zone).unwrap_or_default().into(),
            };
            self.writer.write_field(field.as_bytes()).map_err(failed)?;
        }
        self.writer.write_record(None::<&[u8]>).map_err(failed)
    }

    pub(super) fn end(mut self) -> Result<(), Error> {
        Ok(self.writer.flush()?)
    }
}

/// A text that no spreadsheet takes for a formula.
fn harmless(text: &str) -> Cow<'_, str> {
    if text.starts_with(FORMULA_STARTS) { format!("'{text}").into() } else { text.into() }
}

fn failed(error: csv::Error) -> Error {
    match error.into_kind() {
        csv::ErrorKind::Io(error) => error.into(),
        other => std::io::Error::other(format!("{other:?}")).into(),
    }
}
