//! How far areas are, from a shell, over gRPC, with the token of an enrolled device file.

use super::coordinate::{Line, SignIn, find_area, said};
use super::print::lines;
use super::with_causes;
use clap::{Args, ValueEnum};
use rounds_domain::Language;
use rounds_domain::language::Words;
use rounds_domain::summary::Report;
use rounds_proto::v1::summary_service_client::SummaryServiceClient;
use rounds_proto::v1::sync_service_client::SyncServiceClient;
use rounds_proto::{report_from_wire, v1};
use rounds_server::brief::{brief, completeness, period, warnings};
use rounds_server::duration;
use rounds_server::export::TableFormat;
use rounds_server::outline::{change, number, outline, share};
use rounds_server::summary_file;
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::fs::File;
use std::io::{ErrorKind, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use unicode_width::UnicodeWidthStr as _;

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
    #[arg(long, value_name = "DAYS", default_value_t = 90, value_parser = clap::value_parser!(i32).range(1..))]
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
        let report = asking.ask().await?;
        let format = if self.sign_in.json { Format::Json } else { self.format };
        let file = |format| summary_file(&report, &asking.words, format).map_err(|error| with_causes(&error));
        let content = match format {
            Format::Table => table(&asking.name, &report, &asking.words).into_bytes(),
            Format::Json => format!("{}\n", as_json(&report)).into_bytes(),
            Format::Md => brief(&asking.name, &report, &asking.words)?.into_bytes(),
            Format::Csv => file(TableFormat::Csv { byte_order_mark: false })?,
            Format::Xlsx => file(TableFormat::Xlsx)?,
            Format::Parquet => file(TableFormat::Parquet)?,
        };
        match (&self.out, std::str::from_utf8(&content)) {
            (Some(path), _) => write_new(path, &content)?,
            (None, Ok(text)) => lines(format_args!("{text}")),
            (None, Err(_)) => return Err("say with --out which file to write: it is no text".to_owned()),
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Writes a file that is not there yet.
fn write_new(path: &Path, content: &[u8]) -> Result<(), String> {
    let written = File::create_new(path).and_then(|mut out| out.write_all(content));
    written.map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => format!("{} is there already: name another file", path.display()),
        _ => format!("{}: {error}", path.display()),
    })
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
        let begin = if std::io::stdout().is_terminal() { CLEAR } else { "" };
        loop {
            let report = asking.ask().await?;
            match self.sign_in.json {
                true => lines(format_args!("{}\n", as_json(&report))),
                false => lines(format_args!("{begin}{}\n", table(&asking.name, &report, &asking.words))),
            }
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
    words: Words,
    request: v1::SummarizeRequest,
}

impl Asking {
    async fn of(sign_in: &SignIn, what: &What) -> Result<Self, String> {
        let line = sign_in.open()?;
        let area = match &what.area {
            Some(wanted) => {
                let areas = line.areas().await?;
                let area = find_area(&areas, wanted)?;
                Some((area, areas[&area].text("name").to_owned()))
            }
            None => None,
        };
        let named = what.from.is_none();
        let all = what.language.of(["All areas", "全部区域", "全部區域"]).to_owned();
        let scope = v1::SummaryScope {
            area: area.as_ref().map(|(id, _)| id.to_string()).unwrap_or_default(),
            period: if named { what.period.clone() } else { String::new() },
            day: what.day.clone().unwrap_or_default(),
            first: what.from.clone().unwrap_or_default(),
            last: what.until.clone().unwrap_or_default(),
            not_reached_days: what.not_reached_days,
        };
        let request = v1::SummarizeRequest { scope: Some(scope), ..v1::SummarizeRequest::default() };
        let words = line.words(what.language).await?;
        Ok(Self { line, name: area.map_or(all, |(_, name)| name), words, request })
    }

    async fn ask(&self) -> Result<Report, String> {
        let request = self.line.signed(self.request.clone());
        let mut client = SummaryServiceClient::new(self.line.channel());
        let answer = client.summarize(request).await.map_err(said)?.into_inner();
        report_from_wire(answer).map_err(|refusal| refusal.detail)
    }
}

fn table(name: &str, report: &Report, words: &Words) -> String {
    let language = words.language;
    let mut text = format!("{name}  {}\n{}\n", period(report, language), completeness(report, language));
    for warning in warnings(report, language) {
        let _ = writeln!(text, "! {warning}"); // writing to a String cannot fail
    }
    for section in outline(&report.summary, &report.names, words) {
        let _ = writeln!(text, "\n{}", section.title);
        for row in &section.rows {
            let indent = if row.is_part { "    " } else { "  " };
            let label = padded(&format!("{indent}{}", row.label), 52);
            let (value, change, share) = (number(row.figure.value), change(&row.figure), share(&row.figure));
            let _ = writeln!(text, "{label} {value:>9} {change:>8} {share:>6}");
        }
        for time in &section.times {
            let label = padded(&format!("  {}", time.label), 52);
            let median = duration(language, time.spread.median_ms);
            let p90 = duration(language, time.spread.p90_ms);
            let _ = writeln!(text, "{label} {:>9} {} … {}", time.spread.count, median, p90);
        }
    }
    text
}

/// Fills up to a width in columns of a terminal.
fn padded(text: &str, columns: usize) -> String {
    format!("{text}{}", " ".repeat(columns.saturating_sub(text.width())))
}

fn as_json(report: &Report) -> Value {
    let Report { period, before, summary, freshness, .. } = report;
    json!({
        "first": period.first.to_string(), "last": period.last.to_string(),
        "before_first": before.first.to_string(), "before_last": before.last.to_string(),
        "time_zone": report.time_zone, "as_of_ms": report.as_of_ms,
        "figures": summary.figures.iter().map(|figure| json!({
            "name": figure.name, "value": figure.value, "before": figure.before, "of": figure.of,
        })).collect::<Vec<_>>(),
        "times": summary.spreads.iter().map(|spread| json!({
            "name": spread.name, "count": spread.count, "median_ms": spread.median_ms, "p90_ms": spread.p90_ms,
            "median_before_ms": spread.median_before_ms,
        })).collect::<Vec<_>>(),
        "commitments": report.commitments.iter().map(|progress| json!({
            "commitment": progress.commitment, "organization": progress.organization, "goal": progress.goal,
            "quantity": progress.quantity, "unit": progress.unit, "due": progress.due, "done": progress.done,
        })).collect::<Vec<_>>(),
        "freshness": {
            "devices": freshness.devices, "silent_devices": freshness.silent_devices,
            "silent_hours": freshness.silent_hours, "unsent_ops": freshness.unsent_ops,
            "quarantined_ops": freshness.quarantined_ops, "disputed_records": freshness.disputed_records,
            "heard_ms": freshness.heard_ms,
            "late": report.late.iter().map(|late| json!({
                "day": late.day.to_string(), "ops": late.ops, "received_ms": late.received_ms,
            })).collect::<Vec<_>>(),
        },
        "names": report.names,
    })
}
