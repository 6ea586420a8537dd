//! Apache Parquet, a group of rows at a time.

use super::Error;
use super::table::{Cell, Table};
use jiff::civil::{Date, date};
use parquet::basic::{Compression, LogicalType, Repetition, TimeUnit, Type as Physical, ZstdLevel};
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, DataType, DoubleType, Int32Type, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedColumnWriter, SerializedFileWriter};
use parquet::schema::types::{Type, TypePtr};
use rounds_domain::column::Form;
use std::io::Write;
use std::sync::Arc;

/// Rows of a group; fewer if their texts are long.
const GROUP_ROWS_MAX: usize = 65_536;
/// A group ends after so many bytes of text, so that it fits into memory.
const GROUP_BYTES_MAX: usize = 32 * 1024 * 1024;
/// The days of Parquet are counted from here.
const EPOCH: Date = date(1970, 1, 1);

pub(super) struct ParquetTable<W: Write + Send> {
    writer: SerializedFileWriter<W>,
    /// What the group under way has, column by column.
    columns: Vec<Group>,
    rows: usize,
    bytes: usize,
}

/// A column of a group: its values, and for each row whether it has one (1) or not (0).
struct Group {
    values: Values,
    levels: Vec<i16>,
}

enum Values {
    Text(Vec<ByteArray>),
    Integer(Vec<i64>),
    Number(Vec<f64>),
    YesNo(Vec<bool>),
    Days(Vec<i32>),
}

impl<W: Write + Send> ParquetTable<W> {
    pub(super) fn begin(table: &Table, out: W) -> Result<Self, Error> {
        let fields: Result<Vec<TypePtr>, ParquetError> =
            table.columns.iter().map(|column| field(&column.name, column.form).map(Arc::new)).collect();
        let schema = Type::group_type_builder("rounds")
            .with_fields(fields.map_err(failed)?)
            .build()
            .map_err(failed)?;
        let properties =
            WriterProperties::builder().set_compression(Compression::ZSTD(ZstdLevel::default())).build();
        let writer =
            SerializedFileWriter::new(out, Arc::new(schema), Arc::new(properties)).map_err(failed)?;
        let columns = table.columns.iter().map(|column| Group::of(column.form)).collect();
        Ok(Self { writer, columns, rows: 0, bytes: 0 })
    }

    pub(super) fn row(&mut self, cells: &[Cell]) -> Result<(), Error> {
        for (column, cell) in self.columns.iter_mut().zip(cells) {
            column.push(cell);
            if let Cell::Text(text) = cell {
                self.bytes += text.len();
            }
        }
        self.rows += 1;
        if self.rows == GROUP_ROWS_MAX || self.bytes >= GROUP_BYTES_MAX {
            self.write_group()?;
        }
        Ok(())
    }

    pub(super) fn end(mut self) -> Result<(), Error> {
        if self.rows > 0 {
            self.write_group()?;
        }
        self.writer.close().map_err(failed)?;
        Ok(())
    }

    fn write_group(&mut self) -> Result<(), Error> {
        let mut group = self.writer.next_row_group().map_err(failed)?;
        for column in &mut self.columns {
            let Some(mut writer) = group.next_column().map_err(failed)? else { break };
            column.write(&mut writer).map_err(failed)?;
            writer.close().map_err(failed)?;
        }
        group.close().map_err(failed)?;
        (self.rows, self.bytes) = (0, 0);
        Ok(())
    }
}

impl Group {
    fn of(form: Form) -> Self {
        let values = match form {
            Form::Text | Form::Reference | Form::List => Values::Text(Vec::new()),
            Form::Integer | Form::Moment => Values::Integer(Vec::new()),
            Form::Number => Values::Number(Vec::new()),
            Form::YesNo => Values::YesNo(Vec::new()),
            Form::Date => Values::Days(Vec::new()),
        };
        Self { values, levels: Vec::new() }
    }

    fn push(&mut self, cell: &Cell) {
        match (&mut self.values, cell) {
            (Values::Text(values), Cell::Text(text)) => values.push(text.as_str().into()),
            (Values::Integer(values), Cell::Integer(value) | Cell::Moment(value)) => values.push(*value),
            (Values::Number(values), Cell::Number(value)) => values.push(*value),
            (Values::YesNo(values), Cell::YesNo(value)) => values.push(*value),
            (Values::Days(values), Cell::Date(day)) => values.push(days(*day)),
            (_, _) => return self.levels.push(0), // empty: cells of another form do not come here
        }
        self.levels.push(1);
    }

    /// Writes what it has and begins anew.
    fn write(&mut self, writer: &mut SerializedColumnWriter<'_>) -> Result<(), ParquetError> {
        match &mut self.values {
            Values::Text(values) => write::<ByteArrayType>(writer, values, &self.levels)?,
            Values::Integer(values) => write::<Int64Type>(writer, values, &self.levels)?,
            Values::Number(values) => write::<DoubleType>(writer, values, &self.levels)?,
            Values::YesNo(values) => write::<BoolType>(writer, values, &self.levels)?,
            Values::Days(values) => write::<Int32Type>(writer, values, &self.levels)?,
        }
        self.levels.clear();
        Ok(())
    }
}

fn write<T: DataType>(
    writer: &mut SerializedColumnWriter<'_>,
    values: &mut Vec<T::T>,
    levels: &[i16],
) -> Result<(), ParquetError> {
    writer.typed::<T>().write_batch(values, Some(levels), None)?;
    values.clear();
    Ok(())
}

fn field(name: &str, form: Form) -> Result<Type, ParquetError> {
    let (physical, logical) = match form {
        Form::Text | Form::Reference | Form::List => (Physical::BYTE_ARRAY, Some(LogicalType::String)),
        Form::Integer => (Physical::INT64, None),
        Form::Number => (Physical::DOUBLE, None),
        Form::YesNo => (Physical::BOOLEAN, None),
        Form::Date => (Physical::INT32, Some(LogicalType::Date)),
        Form::Moment => (Physical::INT64, Some(LogicalType::timestamp(true, TimeUnit::MILLIS))),
    };
    Type::primitive_type_builder(name, physical)
        .with_repetition(Repetition::OPTIONAL)
        .with_logical_type(logical)
        .build()
}

fn days(day: Date) -> i32 {
    (day - EPOCH).get_days()
}

fn failed(error: ParquetError) -> Error {
    match error {
        ParquetError::External(cause) => match cause.downcast::<std::io::Error>() {
            Ok(error) => (*error).into(),
            Err(other) => std::io::Error::other(other).into(),
        },
        other => std::io::Error::other(other).into(),
    }
}
