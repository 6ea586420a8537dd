//! How far areas are, from a shell, over gRPC, with the token of an enrolled device file.

use super::coordinate::{Line, SignIn, said};
use super::print::lines;
use super::with_causes;
use clap::{Args, ValueEnum};
use jiff::tz::TimeZone;
use rounds_domain::column::Form;
use rounds_domain::{AreaId, Kind, Language};
use rounds_proto::v1::summary_service_client::SummaryServiceClient;
use rounds_proto::v1::sync_service_client::SyncServiceClient;
use rounds_proto::{kind_to_wire, record_from_wire, v1};
use rounds_server::brief::{brief, completeness, period, summary_from_wire, warnings};
use rounds_server::export::{Cell, Column, Table, TableFormat, TableWriter};
use rounds_server::outline::{change, duration, number, outline, share};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::File;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

/// Areas per page of a list.
const PAGE_ROWS: i32 = 500;
/// Clears a terminal and goes to its upper left corner (ECMA-48: ED, CUP).
const CLEAR: &str = "\x1b[2J\x1b[H";

/// See how far areas are in a period, compared with the one before.
#[derive(Args, Debug)]
pub(crate) struct Summary {
    #[command(flatten)]
    sign_in: SignIn,
    #[command(flatten)]
    what: What,
    /// How to write it: a table for people, JSON for scripts, a brief in Markdown to send on, or a file for spreadsheets
    /// and analyses.
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
    /// The file to write, which must not be there yet; standard output if not said.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// See a summary live: it is printed anew whenever something changed.
#[derive(Args, Debug)]
pub(crate) struct Top {
    #[command(flatten)]
    sign_in: SignIn,
    #[command(flatten)]
    what: What,
}

#[derive(Args, Debug)]
struct What {
    /// The area with all below it: its id or name. All of your areas if not said.
    #[arg(long, value_name = "AREA")]
    area: Option<String>,
    /// day, week, month, quarter or year: the one that --day, or today, is in.
    #[arg(long, value_name = "PERIOD", default_value = "week", conflicts_with_all = ["from", "until"])]
    period: String,
    /// A day in the period: 2026-11-22.
    #[arg(long, value_name = "DAY", conflicts_with_all = ["from", "until"])]
    day: Option<String>,
    /// The first day, instead of a period.
    #[arg(long, value_name = "DAY", requires = "until")]
    from: Option<String>,
    /// The last day.
    #[arg(long, value_name = "DAY", requires = "from")]
    until: Option<String>,
    /// After how many days without meeting anybody a dwelling counts as not reached.
    #[arg(long, value_name = "DAYS", default_value_t = 90)]
    not_reached_days: i32,
    /// en, zh-Hans or zh-Hant.
    #[arg(long, value_name = "LANGUAGE", default_value = "en", value_parser = language)]
    language: Language,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum, Debug)]
enum Format {
    Table,
    Json,
    Md,
    Csv,
    Xlsx,
    Parquet,
}

fn language(text: &str) -> Result<Language, String> {
    Language::from_tag(text).ok_or_else(|| "use en, zh-Hans or zh-Hant".to_owned())
}

impl Summary {
    /// Prints the summary.
    pub(crate) async fn run(self) -> Result<ExitCode, String> {
        let asking = Asking::of(&self.sign_in, &self.what).await?;
        let answer = asking.ask().await?;
        let format = if self.sign_in.json { Format::Json } else { self.format };
        let language = self.what.language;
        let content = match format {
            Format::Table => table(&asking.name, &answer, language).into_bytes(),
            Format::Json => format!("{}\n", as_json(&answer)).into_bytes(),
            Format::Md => brief(&asking.name, &answer, language)?.into_bytes(),
            Format::Csv => file(&answer, language, TableFormat::Csv { byte_order_mark: false })?,
            Format::Xlsx => file(&answer, language, TableFormat::Xlsx)?,
            Format::Parquet => file(&answer, language, TableFormat::Parquet)?,
        };
        match (&self.out, std::str::from_utf8(&content)) {
            (Some(path), _) => File::create_new(path)
                .and_then(|mut out| out.write_all(&content))
                .map_err(|error| format!("{}: {error}", path.display()))?,
            (None, Ok(text)) => lines(format_args!("{text}")),
            (None, Err(_)) => return Err("say with --out which file to write: it is no text".to_owned()),
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// The figures and times as a table, a row each.
fn file(answer: &v1::SummarizeResponse, language: Language, format: TableFormat) -> Result<Vec<u8>, String> {
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
    let zone = TimeZone::get(&answer.time_zone).unwrap_or(TimeZone::UTC);
    let name = format!("{} {}", answer.first, answer.last);
    let table = Table { name, columns, zone, written_ms: answer.as_of_ms };
    let names: BTreeMap<String, String> = answer.names.clone().into_iter().collect();
    let summary = summary_from_wire(answer.summary.clone().unwrap_or_default());
    let hours = |ms: i64| Cell::Number(ms as f64 / 3_600_000.0);
    let some = |value: Option<f64>| value.map_or(Cell::Empty, Cell::Number);
    let mut content = Vec::new();
    let write = || {
        let mut writer = TableWriter::begin(table, format, &mut content)?;
        for section in outline(&summary, &names, language) {
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
        writer.end()
    };
    write().map_err(|error: rounds_server::export::Error| with_causes(&error))?;
    Ok(content)
}

impl Top {
    /// Prints the summary again and again, until it is interrupted or the server ends.
    pub(crate) async fn run(self) -> Result<ExitCode, String> {
        let asking = Asking::of(&self.sign_in, &self.what).await?;
        let mut hints = SyncServiceClient::new(asking.line.channel())
            .watch(asking.line.signed(v1::WatchRequest::default()))
            .await
            .map_err(said)?
            .into_inner();
        loop {
            let answer = asking.ask().await?;
            lines(format_args!("{CLEAR}{}", table(&asking.name, &answer, self.what.language)));
            if hints.message().await.map_err(said)?.is_none() {
                return Err("the server ended the watch: start again".to_owned());
            }
        }
    }
}

/// A question that can be asked again.
struct Asking {
    line: Line,
    name: String,
    request: v1::SummarizeRequest,
}

impl Asking {
    async fn of(sign_in: &SignIn, what: &What) -> Result<Self, String> {
        let line = sign_in.open()?;
        let area = match &what.area {
            Some(wanted) => Some(find_area(&line, wanted).await?),
            None => None,
        };
        let named = what.from.is_none();
        let all = what.language.of(["All areas", "全部区域", "全部區域"]).to_owned();
        let request = v1::SummarizeRequest {
            area: area.as_ref().map(|(id, _)| id.to_string()).unwrap_or_default(),
            period: if named { what.period.clone() } else { String::new() },
            day: what.day.clone().unwrap_or_default(),
            first: what.from.clone().unwrap_or_default(),
            last: what.until.clone().unwrap_or_default(),
            not_reached_days: what.not_reached_days,
            ..v1::SummarizeRequest::default()
        };
        Ok(Self { line, name: area.map_or(all, |(_, name)| name), request })
    }

    async fn ask(&self) -> Result<v1::SummarizeResponse, String> {
        let request = self.line.signed(self.request.clone());
        let mut client = SummaryServiceClient::new(self.line.channel());
        Ok(client.summarize(request).await.map_err(said)?.into_inner())
    }
}

/// The area with this id or name among those that the caller sees.
async fn find_area(line: &Line, wanted: &str) -> Result<(AreaId, String), String> {
    let mut request = v1::ListRecordsRequest {
        kind: kind_to_wire(Kind::Area).into(),
        page_size: PAGE_ROWS,
        ..v1::ListRecordsRequest::default()
    };
    let mut found = Vec::new();
    let mut names = Vec::new();
    loop {
        let page =
            line.directory().list_records(line.signed(request.clone())).await.map_err(said)?.into_inner();
        for record in page.records {
            let (record, _) = record_from_wire(record).map_err(|refusal| refusal.detail)?;
            let name = record.text("name").to_owned();
            if record.id.to_string() == wanted || name == wanted {
                found.push((record.area, name));
            } else {
                names.push(name);
            }
        }
        if page.next_page_token.is_empty() {
            break;
        }
        request.page_token = page.next_page_token;
    }
    match found.len() {
        1 => Ok(found.remove(0)),
        0 => {
            names.sort();
            names.truncate(20);
            Err(format!("there is no area {wanted} among yours; there are: {}", names.join(", ")))
        }
        _ => {
            let ids: Vec<_> = found.iter().map(|(id, _)| id.to_string()).collect();
            Err(format!("several areas are called {wanted}; say which by its id: {}", ids.join(", ")))
        }
    }
}

fn table(name: &str, answer: &v1::SummarizeResponse, language: Language) -> String {
    let names: BTreeMap<String, String> = answer.names.clone().into_iter().collect();
    let summary = summary_from_wire(answer.summary.clone().unwrap_or_default());
    let mut text = format!("{name}  {}\n{}\n", period(answer, language), completeness(answer, language));
    for warning in warnings(answer, language) {
        let _ = writeln!(text, "! {warning}"); // writing to a String cannot fail
    }
    for section in outline(&summary, &names, language) {
        let _ = writeln!(text, "\n{}", section.title);
        for row in &section.rows {
            let indent = if row.is_part { "    " } else { "  " };
            let label = padded(&format!("{indent}{}", row.label), 52);
            let (value, change, share) = (number(row.figure.value), change(&row.figure), share(&row.figure));
            let _ = writeln!(text, "{label} {value:>9} {change:>8} {share:>6}");
        }
        for time in &section.times {
            let label = padded(&format!("  {}", time.label), 52);
            let median = duration(time.spread.median_ms, language);
            let p90 = duration(time.spread.p90_ms, language);
            let _ = writeln!(text, "{label} {:>9} {} … {}", time.spread.count, median, p90);
        }
    }
    text
}

/// Fills up to a width of columns; Chinese characters take two.
fn padded(text: &str, columns: usize) -> String {
    let width: usize = text.chars().map(|letter| if u32::from(letter) >= 0x2e80 { 2 } else { 1 }).sum();
    format!("{text}{}", " ".repeat(columns.saturating_sub(width)))
}

fn as_json(answer: &v1::SummarizeResponse) -> Value {
    let summary = answer.summary.clone().unwrap_or_default();
    let freshness = answer.freshness.clone().unwrap_or_default();
    json!({
        "first": answer.first, "last": answer.last,
        "before_first": answer.before_first, "before_last": answer.before_last,
        "time_zone": answer.time_zone, "as_of_ms": answer.as_of_ms,
        "figures": summary.figures.iter().map(|figure| json!({
            "name": figure.name, "value": figure.value, "before": figure.before, "of": figure.of,
        })).collect::<Vec<_>>(),
        "times": summary.spreads.iter().map(|spread| json!({
            "name": spread.name, "count": spread.count, "median_ms": spread.median_ms, "p90_ms": spread.p90_ms,
            "median_before_ms": spread.median_before_ms,
        })).collect::<Vec<_>>(),
        "commitments": answer.commitments.iter().map(|commitment| json!({
            "commitment": commitment.commitment, "organization": commitment.organization, "goal": commitment.goal,
            "quantity": commitment.quantity, "unit": commitment.unit, "due": commitment.due, "done": commitment.done,
        })).collect::<Vec<_>>(),
        "freshness": {
            "devices": freshness.devices, "silent_devices": freshness.silent_devices,
            "silent_hours": freshness.silent_hours, "unsent_ops": freshness.unsent_ops,
            "quarantined_ops": freshness.quarantined_ops, "disputed_records": freshness.disputed_records,
            "heard_ms": freshness.heard_ms,
            "late": freshness.late.iter().map(|late| json!({
                "day": late.day, "ops": late.ops, "received_ms": late.received_ms,
            })).collect::<Vec<_>>(),
        },
        "names": answer.names.iter().collect::<BTreeMap<_, _>>(),
    })
}
