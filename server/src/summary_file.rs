//! A summary as a table for spreadsheets and analyses.

use crate::export::{Cell, Column, Error, Table, TableFormat, TableWriter};
use crate::outline::outline;
use jiff::tz::TimeZone;
use rounds_domain::column::Form;
use rounds_domain::language::Words;
use rounds_domain::summary::Report;

/// The figures and times as a table, a row each.
///
/// # Errors
/// When the format cannot tell it, which is a fault in this program.
pub fn summary_file(report: &Report, words: &Words, format: TableFormat) -> Result<Vec<u8>, Error> {
    let column = |name: &str, form| Column { name: name.to_owned(), form };
    let columns = vec![
        column("section", Form::Text),
        column("label", Form::Text),
        column("figure", Form::Text),
        column("value", Form::Number),
        column("before", Form::Number),
        column("of", Form::Number),
        column("median_hours", Form::Number),
        column("p90_hours", Form::Number),
    ];
    let zone = TimeZone::get(&report.time_zone).unwrap_or(TimeZone::UTC);
    let name = format!("{} {}", report.period.first, report.period.last);
    let table = Table { name, columns, zone, written_ms: report.as_of_ms };
    let hours = |ms: i64| Cell::Number(ms as f64 / 3_600_000.0);
    let some = |value: Option<f64>| value.map_or(Cell::Empty, Cell::Number);
    let mut content = Vec::new();
    let mut writer = TableWriter::begin(table, format, &mut content)?;
    for section in outline(&report.summary, &report.names, words) {
        let text = |text: &str| Cell::Text(text.to_owned());
        for row in &section.rows {
            let figure = &row.figure;
            let value = Cell::Number(figure.value);
            let cells = [text(&section.title), text(&row.label), text(&figure.name), value];
            let more = [some(figure.before), some(figure.of), Cell::Empty, Cell::Empty];
            writer.row(&[&cells[..], &more[..]].concat())?;
        }
        for time in &section.times {
            let spread = &time.spread;
            let value = Cell::Number(spread.count as f64);
            let cells = [text(&section.title), text(&time.label), text(&spread.name), value];
            let more = [Cell::Empty, Cell::Empty, hours(spread.median_ms), hours(spread.p90_ms)];
            writer.row(&[&cells[..], &more[..]].concat())?;
        }
    }
    writer.end()?;
    Ok(content)
}
