//! Tables as files: columns of known types, rows of cells, written as they come.

use super::Error;
use super::csv::CsvTable;
use super::parquet::ParquetTable;
use super::xlsx::XlsxTable;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};
use rounds_domain::column::Form;
use std::io::Write;

/// A table: what its columns are.
#[derive(Clone, Debug)]
pub struct Table {
    /// What it is called; a sheet of a workbook has this name. At most 31 characters, none of `[ ] : * ? / \`.
    pub name: String,
    /// Its columns.
    pub columns: Vec<Column>,
    /// Where moments are told in local time.
    pub zone: TimeZone,
    /// When it is written, in ms since 1970 UTC.
    pub written_ms: i64,
}

/// A column of a table.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Column {
    /// What it is called. No other is called like it.
    pub name: String,
    /// What its cells are.
    pub form: Form,
}

/// A cell. Which columns may have it is said by its form.
#[derive(Clone, PartialEq, Debug)]
pub enum Cell {
    /// Nothing is said; any column may have it.
    Empty,
    /// Of [`Form::Text`], [`Form::Reference`] and [`Form::List`], whose text is JSON.
    Text(String),
    /// Of [`Form::Integer`].
    Integer(i64),
    /// Of [`Form::Number`].
    Number(f64),
    /// Of [`Form::YesNo`].
    YesNo(bool),
    /// Of [`Form::Date`].
    Date(Date),
    /// Of [`Form::Moment`], in ms since 1970 UTC.
    Moment(i64),
}

impl Cell {
    pub(super) fn fits(&self, form: Form) -> bool {
        match self {
            Self::Empty => true,
            Self::Text(_) => matches!(form, Form::Text | Form::Reference | Form::List),
            Self::Integer(_) => form == Form::Integer,
            Self::Number(_) => form == Form::Number,
            Self::YesNo(_) => form == Form::YesNo,
            Self::Date(_) => form == Form::Date,
            Self::Moment(_) => form == Form::Moment,
        }
    }
}

/// A moment in a zone. `None`: it is in none of the years 1 to 9999, which ISO 8601 and others can write.
pub(super) fn local(ms: i64, zone: &TimeZone) -> Option<Zoned> {
    let zoned = Timestamp::from_millisecond(ms).ok()?.to_zoned(zone.clone());
    (1..=9999).contains(&zoned.year()).then_some(zoned)
}

/// A moment as ISO 8601 says it, in a zone, with its offset: `2026-11-22T16:00:00+08:00`. See [`local`].
pub(super) fn iso(ms: i64, zone: &TimeZone) -> Option<String> {
    let zoned = local(ms, zone)?;
    Some(zoned.timestamp().display_with_offset(zoned.offset()).to_string())
}

/// How a table is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TableFormat {
    /// Comma-separated values as RFC 4180 has them, in UTF-8. Moments in the table's zone with their offset, lists as
    /// JSON. A text that a spreadsheet would take for a formula gets an apostrophe before it.
    Csv {
        /// Begin with the mark by which Excel knows UTF-8.
        byte_order_mark: bool,
    },
    /// A workbook of Excel with one sheet. Dates and moments are Excel's, in the table's zone; moments in whole ms.
    Xlsx,
    /// Apache Parquet. Moments are instants.
    Parquet,
}

/// What became of a table.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Written {
    /// Its rows.
    pub rows: u64,
    /// Texts that were cut, because the format does not take longer ones.
    pub cut: u64,
}

/// Writes a table, row by row, in memory that does not grow with it.
pub struct TableWriter<W: Write + Send> {
    columns: Vec<Column>,
    rows: u64,
    format: Writer<W>,
}

enum Writer<W: Write + Send> {
    Csv(Box<CsvTable<W>>),
    Xlsx(Box<XlsxTable<W>>),
    Parquet(Box<ParquetTable<W>>),
}

impl<W: Write + Send> TableWriter<W> {
    /// Begins a table. Its header is written even if no row follows.
    ///
    /// # Errors
    /// What the output says.
    pub fn begin(table: Table, format: TableFormat, out: W) -> Result<Self, Error> {
        let columns = table.columns.clone();
        let format = match format {
            TableFormat::Csv { byte_order_mark } => {
                Writer::Csv(Box::new(CsvTable::begin(table, byte_order_mark, out)?))
            }
            TableFormat::Xlsx => Writer::Xlsx(Box::new(XlsxTable::begin(table, out)?)),
            TableFormat::Parquet => Writer::Parquet(Box::new(ParquetTable::begin(&table, out)?)),
        };
        Ok(Self { columns, rows: 0, format })
    }

    /// Writes the next row: one cell for each column, in their order.
    ///
    /// # Errors
    /// What the output says; [`Error::Unfit`] if these are no cells of these columns; [`Error::TooManyRows`].
    pub fn row(&mut self, cells: &[Cell]) -> Result<(), Error> {
        if let Some((column, _)) =
            self.columns.iter().zip(cells).find(|(column, cell)| !cell.fits(column.form))
        {
            return Err(Error::Unfit(column.name.clone()));
        }
        if cells.len() != self.columns.len() {
            return Err(Error::Unfit(format!("{} of {}", cells.len(), self.columns.len())));
        }
        match &mut self.format {
            Writer::Csv(table) => table.row(cells)?,
            Writer::Xlsx(table) => table.row(cells)?,
            Writer::Parquet(table) => table.row(cells)?,
        }
        self.rows += 1;
        Ok(())
    }

    /// Ends the table. Without this the output is of no use.
    ///
    /// # Errors
    /// What the output says.
    pub fn end(self) -> Result<Written, Error> {
        let cut = match self.format {
            Writer::Csv(table) => table.end().map(|()| 0)?,
            Writer::Xlsx(table) => table.end()?,
            Writer::Parquet(table) => table.end().map(|()| 0)?,
        };
        Ok(Written { rows: self.rows, cut })
    }
}
