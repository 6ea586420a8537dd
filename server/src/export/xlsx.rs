//! Workbooks of Excel.

use super::Error;
use super::table::{Cell, Table, iso, local};
use jiff::tz::TimeZone;
use rust_xlsxwriter::{DocProperties, Format, Workbook, XlsxError};
use std::io::Write;

/// Most rows of a sheet, its header included.
const ROWS_MAX: u32 = 1_048_576;
/// Longest text of a cell, in UTF-16 units.
const TEXT_UNITS_MAX: usize = 32_767;
/// Whole numbers up to here are exact in Excel, which has only floating point.
const EXACT_MAX: u64 = 1 << 53;
/// Width of columns, in characters.
const WIDTH: f64 = 20.0;
/// Excel counts days from 1900 on.
const YEAR_MIN: i16 = 1900;

pub(super) struct XlsxTable<W: Write + Send> {
    workbook: Workbook,
    out: W,
    zone: TimeZone,
    columns: u16,
    next_row: u32,
    date: Format,
    moment: Format,
    cut: u64,
}

impl<W: Write + Send> XlsxTable<W> {
    pub(super) fn begin(table: Table, out: W) -> Result<Self, Error> {
        let mut workbook = Workbook::new();
        let mut properties = DocProperties::new().set_title(&table.name);
        if let Some(zone) = table.zone.iana_name() {
            properties = properties.set_comment(format!("Times are those of {zone}."));
        }
        if let Some(at) = local(table.written_ms, &TimeZone::UTC) {
            properties = properties.set_creation_datetime(&at.datetime());
        }
        workbook.set_properties(&properties);
        let header = Format::new().set_bold();
        let date = Format::new().set_num_format("yyyy-mm-dd");
        let moment = Format::new().set_num_format("yyyy-mm-dd hh:mm:ss");
        let sheet = workbook.add_worksheet_with_constant_memory().map_err(failed)?;
        sheet.set_name(&table.name).map_err(failed)?;
        sheet.set_freeze_panes(1, 0).map_err(failed)?;
        let mut columns = 0;
        for column in &table.columns {
            sheet.set_column_width(columns, WIDTH).map_err(failed)?;
            sheet.write_string_with_format(0, columns, &column.name, &header).map_err(failed)?;
            columns += 1;
        }
        Ok(Self { workbook, out, zone: table.zone, columns, next_row: 1, date, moment, cut: 0 })
    }

    pub(super) fn row(&mut self, cells: &[Cell]) -> Result<(), Error> {
        if self.next_row == ROWS_MAX {
            return Err(Error::TooManyRows(u64::from(ROWS_MAX - 1)));
        }
        let row = self.next_row;
        let sheet = self.workbook.worksheet_from_index(0).map_err(failed)?;
        for (column, cell) in (0..self.columns).zip(cells) {
            // Texts are written as texts: none of them is a formula or a link, whatever it begins with.
            match cell {
                Cell::Empty => continue,
                Cell::Text(text) => {
                    let (text, is_cut) = shortened(text);
                    self.cut += u64::from(is_cut);
                    sheet.write_string(row, column, text).map_err(failed)?
                }
                Cell::Integer(number) if number.unsigned_abs() > EXACT_MAX => {
                    sheet.write_string(row, column, number.to_string()).map_err(failed)?
                }
                Cell::Integer(number) => sheet.write_number(row, column, *number as f64).map_err(failed)?,
                Cell::Number(number) => sheet.write_number(row, column, *number).map_err(failed)?,
                Cell::YesNo(yes) => sheet.write_boolean(row, column, *yes).map_err(failed)?,
                Cell::Date(date) if date.year() < YEAR_MIN => {
                    sheet.write_string(row, column, date.to_string()).map_err(failed)?
                }
                Cell::Date(date) => {
                    sheet.write_datetime_with_format(row, column, date, &self.date).map_err(failed)?
                }
                Cell::Moment(ms) => match local(*ms, &self.zone) {
                    None => continue,
                    Some(at) if at.year() < YEAR_MIN => sheet
                        .write_string(row, column, iso(*ms, &self.zone).unwrap_or_default())
                        .map_err(failed)?,
                    Some(at) => sheet
                        .write_datetime_with_format(row, column, at.datetime(), &self.moment)
                        .map_err(failed)?,
                },
            };
        }
        self.next_row += 1;
        Ok(())
    }

    /// Ends it. Answers how many texts were cut.
    pub(super) fn end(mut self) -> Result<u64, Error> {
        let sheet = self.workbook.worksheet_from_index(0).map_err(failed)?;
        if self.columns > 0 && self.next_row > 1 {
            sheet.autofilter(0, 0, self.next_row - 1, self.columns - 1).map_err(failed)?;
        }
        self.workbook.save_to_writer(&mut self.out).map_err(failed)?;
        self.out.flush()?;
        Ok(self.cut)
    }
}

/// As much of a text as a cell takes, and whether that is not all.
fn shortened(text: &str) -> (&str, bool) {
    if text.len() <= TEXT_UNITS_MAX {
        return (text, false); // a UTF-16 unit has at least one byte here
    }
    let mut units = 0;
    for (at, char) in text.char_indices() {
        units += char.len_utf16();
        if units > TEXT_UNITS_MAX {
            return (&text[..at], true);
        }
    }
    (text, false)
}

fn failed(error: XlsxError) -> Error {
    match error {
        XlsxError::IoError(error) => error.into(),
        other => std::io::Error::other(other).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sheet_that_is_full_says_so() {
        let table = Table { name: "full".into(), columns: vec![], zone: TimeZone::UTC, written_ms: 0 };
        let mut table = XlsxTable::begin(table, Vec::new()).unwrap();
        table.next_row = ROWS_MAX - 1;
        table.row(&[]).unwrap();
        assert!(matches!(table.row(&[]), Err(Error::TooManyRows(1_048_575))));
    }
}
