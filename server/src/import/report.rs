//! The file of rejected rows: where they are, why, and what they said, so that it can be mended and imported again.

use super::Error;
use csv::ByteRecord;
use std::io::Write;

/// The columns that the report adds. They are left out when a mended report is imported.
pub(super) const ADDED_COLUMNS: [&str; 2] = ["rounds_row", "rounds_reason"];

/// Writes rejected rows.
pub(super) struct Report<W: Write>(csv::Writer<W>);

impl<W: Write> Report<W> {
    /// Begins a report on a file with this header.
    pub(super) fn begin(output: W, delimiter: u8, header: &ByteRecord) -> Result<Self, Error> {
        let writer = csv::WriterBuilder::new().flexible(true).delimiter(delimiter).from_writer(output);
        let mut report = Self(writer);
        let [row, reason] = ADDED_COLUMNS;
        report.write(row, reason, header)?;
        Ok(report)
    }

    /// Adds a row, its columns as they were, whatever their encoding.
    pub(super) fn reject(&mut self, number: u64, reason: &str, columns: &ByteRecord) -> Result<(), Error> {
        self.write(&number.to_string(), reason, columns)
    }

    /// Ends the report.
    pub(super) fn end(mut self) -> Result<(), Error> {
        self.0.flush().map_err(Error::Report)
    }

    fn write(&mut self, number: &str, reason: &str, columns: &ByteRecord) -> Result<(), Error> {
        let columns = [number.as_bytes(), reason.as_bytes()].into_iter().chain(columns.iter());
        self.0.write_record(columns).map_err(|error| Error::Report(std::io::Error::other(error)))
    }
}
