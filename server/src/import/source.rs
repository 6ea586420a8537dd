//! Reading the file: rows with their numbers, one at a time, whatever the size of the file.

use super::{Error, Setup};
use csv::ByteRecord;
use encoding_rs::Encoding;
use std::io::Read;

/// Longest row, in bytes. A longer one is a quote that was not closed, and would swallow the rest of the file.
pub const ROW_BYTES_MAX: u64 = 1024 * 1024;

/// A row as it is in the file.
#[derive(Clone, Debug)]
pub(super) struct Row {
    /// Its number as spreadsheets count: the header is row 1.
    pub(super) number: u64,
    /// Its columns as they are in the file.
    pub(super) raw: ByteRecord,
}

/// A file of comma-separated values.
pub(super) struct Source<R> {
    reader: csv::Reader<Gate<R>>,
    encoding: &'static Encoding,
    header: Vec<String>,
    raw_header: ByteRecord,
    /// The number of the last row that was read.
    number: u64,
}

impl<R: Read> Source<R> {
    /// Reads the header.
    pub(super) fn open(input: R, encoding: &str, delimiter: u8) -> Result<Self, Error> {
        let encoding = Encoding::for_label(encoding.as_bytes())
            .filter(|encoding| encoding.is_ascii_compatible()) // or commas would be found where there are none
            .ok_or_else(|| Setup::Encoding(encoding.to_owned()))?;
        let mut reader = csv::ReaderBuilder::new()
            .delimiter(delimiter)
            .has_headers(false)
            .flexible(true) // a row that is too short is a fault of the row, not of the file
            .from_reader(Gate { inner: input, left: ROW_BYTES_MAX });
        let mut raw_header = ByteRecord::new();
        if !reader.read_byte_record(&mut raw_header).map_err(|error| fault(error, 1))? {
            return Err(Setup::Empty.into());
        }
        let mut source = Self { reader, encoding, header: Vec::new(), raw_header, number: 1 };
        let raw = source.raw_header.clone();
        source.header = source.decode(&raw).map_err(|_| Setup::HeaderEncoding(encoding.name().to_owned()))?;
        if let [only] = &source.header[..]
            && only.contains([',', ';', '\t', '|'])
        {
            return Err(Setup::Delimiter(only.clone()).into());
        }
        Ok(source)
    }

    /// The names of the columns.
    pub(super) fn header(&self) -> &[String] {
        &self.header
    }

    /// The header as it is in the file.
    pub(super) fn raw_header(&self) -> &ByteRecord {
        &self.raw_header
    }

    /// How many bytes were read so far.
    pub(super) fn bytes(&self) -> u64 {
        self.reader.position().byte()
    }

    /// The next row.
    pub(super) fn next(&mut self) -> Result<Option<Row>, Error> {
        self.reader.get_mut().left = ROW_BYTES_MAX;
        let mut raw = ByteRecord::new();
        if !self.reader.read_byte_record(&mut raw).map_err(|error| fault(error, self.number + 1))? {
            return Ok(None);
        }
        self.number += 1;
        Ok(Some(Row { number: self.number, raw }))
    }

    /// The columns of a row as text.
    ///
    /// # Errors
    /// What is wrong with the row, and what to do.
    pub(super) fn columns(&self, row: &Row) -> Result<Vec<String>, String> {
        if row.raw.len() != self.raw_header.len() {
            let (found, wanted) = (row.raw.len(), self.raw_header.len());
            return Err(format!(
                "the row has {found} columns, the header {wanted}: look for a comma or quote too many"
            ));
        }
        self.decode(&row.raw).map_err(|at| {
            let column = self.header.get(at).map_or("", String::as_str);
            let encoding = self.encoding.name();
            format!("column {column}: is not {encoding}: mend it, or say the file's own with --encoding")
        })
    }

    /// Answers the number of the column that cannot be read.
    fn decode(&self, raw: &ByteRecord) -> Result<Vec<String>, usize> {
        raw.iter()
            .enumerate()
            .map(|(at, bytes)| {
                let text = self.encoding.decode_without_bom_handling_and_without_replacement(bytes);
                text.map(|text| text.trim().to_owned()).ok_or(at)
            })
            .collect()
    }
}

fn fault(error: csv::Error, row: u64) -> Error {
    let what = match error.into_kind() {
        csv::ErrorKind::Io(error) => error.to_string(),
        other => format!("{other:?}"),
    };
    Error::Read { row, what }
}

/// Lets so many bytes through, so that no row grows without end.
struct Gate<R> {
    inner: R,
    left: u64,
}

impl<R: Read> Read for Gate<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if self.left == 0 {
            return Err(std::io::Error::other(format!(
                "a row of more than {ROW_BYTES_MAX} bytes: look for a quote that is not closed"
            )));
        }
        let read = self.inner.read(buffer)?;
        self.left = self.left.saturating_sub(read as u64);
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(file: &[u8], encoding: &str) -> Vec<Result<Vec<String>, String>> {
        let mut source = Source::open(file, encoding, b',').unwrap();
        let mut rows = Vec::new();
        while let Some(row) = source.next().unwrap() {
            rows.push(source.columns(&row));
        }
        rows
    }

    #[test]
    fn a_byte_order_mark_is_no_part_of_the_first_column() {
        let source = Source::open(&b"\xef\xbb\xbf\"id\",name\n"[..], "utf-8", b',').unwrap();
        assert_eq!(source.header(), ["id", "name"]);
    }

    #[test]
    fn rows_are_numbered_as_spreadsheets_do() {
        let mut source =
            Source::open(&b"id,name\r\n1,\"two\nlines\"\n2,b\r\n3,c"[..], "utf-8", b',').unwrap();
        let mut numbers = Vec::new();
        while let Some(row) = source.next().unwrap() {
            numbers.push((row.number, row.raw[0].to_vec()));
        }
        assert_eq!(numbers, [(2, b"1".to_vec()), (3, b"2".to_vec()), (4, b"3".to_vec())]);
    }

    #[test]
    fn a_file_may_be_in_the_encoding_of_its_country() {
        assert_eq!(
            rows(b"id,name\n1,Caf\xe9\n", "windows-1252"),
            [Ok(vec!["1".to_owned(), "Café".to_owned()])]
        );
        assert_eq!(
            rows(b"id,name\n1,\xb5\xe7\xcc\xdd\n", "gb18030"),
            [Ok(vec!["1".to_owned(), "电梯".to_owned()])]
        );
        let unreadable = rows(b"id,name\n1,Caf\xe9\n2,plain\n", "utf-8");
        assert!(unreadable[0].as_ref().unwrap_err().contains("column name"), "{unreadable:?}");
        assert!(unreadable[1].is_ok());
    }

    #[test]
    fn a_file_that_is_not_what_was_said_is_refused_with_what_to_do() {
        let open = |file: &[u8], encoding| Source::open(file, encoding, b',').err().unwrap().to_string();
        assert!(open(b"", "utf-8").contains("empty"));
        assert!(open(b"id\n", "klingon").contains("klingon"));
        assert!(open(b"id\n", "utf-16le").contains("utf-16le"));
        assert!(open(b"\xff\xfei\0d\0", "utf-8").contains("--encoding"));
        assert!(open(b"id;name\n1;a\n", "utf-8").contains("--delimiter"));
    }

    #[test]
    fn a_quote_that_is_never_closed_does_not_swallow_the_file() {
        let file = [b"id,name\n1,a\n2,\"b\n".to_vec(), vec![b'x'; 2 * ROW_BYTES_MAX as usize]].concat();
        let mut source = Source::open(&file[..], "utf-8", b',').unwrap();
        assert!(source.next().unwrap().is_some());
        let error = source.next().unwrap_err().to_string();
        assert!(error.contains("row 3") && error.contains("quote"), "{error}");
    }

    #[test]
    fn a_row_with_too_few_columns_is_refused_alone() {
        let rows = rows(b"id,name\n1\n2,b\n", "utf-8");
        assert!(rows[0].as_ref().unwrap_err().contains("1 columns, the header 2"));
        assert!(rows[1].is_ok());
    }
}
