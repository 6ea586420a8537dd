//! `rounds export`: records as a file.

use super::print::hint;
use super::progress::Display;
use super::{DATABASE_DEFAULT, file_beside, find_area, open, with_causes};
use clap::{Args, ValueEnum};
use jiff::civil::Date;
use rounds_domain::Kind;
use rounds_server::Clock;
use rounds_server::export::{self, Error, Export, Format, Progress, TableFormat, Written};
use rounds_store::{AuditAction, NewAudit, Store};
use std::io::{BufWriter, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use tempfile::NamedTempFile;

/// Export records of one kind as a table or a map.
///
/// Straight from the database, beside a running server or without one: the records of an area and all below it, as they
/// are at one moment. Deleted ones are left out, and so is who did something. Times are those of the area's time zone.
#[derive(Args, Debug)]
pub(crate) struct ExportCommand {
    /// What to export: assets, visits, requests, follow_ups, ...
    #[arg(value_parser = kind)]
    kind: Kind,
    /// The area: its name or id.
    #[arg(long)]
    area: String,
    /// The first day: of when they began; for follow-ups of when they are due, for notices of when they were called for.
    #[arg(long, value_name = "DATE")]
    from: Option<Date>,
    /// The last day.
    #[arg(long, value_name = "DATE")]
    until: Option<Date>,
    /// How it is written. If not given, as the name of the file ends.
    #[arg(long, value_enum)]
    format: Option<FormatName>,
    /// The file. "-" is the standard output, for csv and geojson.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Replace the file if it is there.
    #[arg(long)]
    force: bool,
    /// Begin a csv with the mark by which Excel knows UTF-8.
    #[arg(long)]
    bom: bool,
    /// The database: sqlite:PATH or postgres://USER@HOST/DATABASE
    #[arg(long, value_name = "URL", env = "ROUNDS_DATABASE", default_value = DATABASE_DEFAULT, hide_env_values = true)]
    database: String,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum, Debug)]
enum FormatName {
    Csv,
    Xlsx,
    Geojson,
    Parquet,
}

impl ExportCommand {
    /// Writes the file, or none.
    pub(crate) async fn run(self) -> Result<ExitCode, String> {
        let name = self.format_name()?;
        let format = match name {
            FormatName::Csv => Format::Table(TableFormat::Csv { byte_order_mark: self.bom }),
            FormatName::Xlsx => Format::Table(TableFormat::Xlsx),
            FormatName::Geojson => Format::GeoJson,
            FormatName::Parquet => Format::Table(TableFormat::Parquet),
        };
        if self.bom && name != FormatName::Csv {
            return Err("--bom is for csv only".to_owned());
        }
        if let (Some(from), Some(until)) = (self.from, self.until)
            && until < from
        {
            return Err(format!("--until {until} is before --from {from}"));
        }
        // On disk first under another name: whoever looks sees the whole file or none.
        let target = match self.is_standard_output() {
            true if matches!(name, FormatName::Xlsx | FormatName::Parquet) => {
                return Err("xlsx and parquet are written to files only: name one with --out".to_owned());
            }
            true => None,
            false => Some(self.begin_file()?),
        };
        let store = open(&self.database).await?;
        let done = self.write(&store, format, target).await;
        store.close().await;
        let written = done?;
        hint!("{} {}", written.rows, self.kind.plural());
        if written.cut > 0 {
            hint!(
                "{} texts are longer than Excel takes and were cut: csv and parquet have all of them",
                written.cut
            );
        }
        Ok(ExitCode::SUCCESS)
    }

    fn format_name(&self) -> Result<FormatName, String> {
        let ending = self.out.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
        let by_ending = || FormatName::from_str(ending, true).ok();
        self.format.or_else(by_ending).ok_or_else(|| {
            "say which --format: csv, xlsx, geojson or parquet, or let the name of the file end so".to_owned()
        })
    }

    fn is_standard_output(&self) -> bool {
        self.out == Path::new("-")
    }

    /// A file beside the one that is asked for.
    fn begin_file(&self) -> Result<NamedTempFile, String> {
        let path = self.out.display();
        if self.out.is_dir() {
            return Err(format!("{path} is a folder: name a file in it"));
        }
        if self.out.exists() && !self.force {
            return Err(format!("{path} is there already: name another file, or say --force to replace it"));
        }
        file_beside(&self.out)
    }

    async fn write(
        &self,
        store: &Store,
        format: Format,
        target: Option<NamedTempFile>,
    ) -> Result<Written, String> {
        let area = find_area(store, &self.area).await?;
        let entry = NewAudit::of_operator(Clock::system().now_ms(), AuditAction::Export, area);
        store.audit(entry.with(self.kind.plural())).await.map_err(|error| with_causes(&error))?;
        let export = Export { kind: self.kind, area, from: self.from, until: self.until, format };
        let Some(mut file) = target else {
            return self.run_until_stopped(store, &export, &mut std::io::stdout()).await;
        };
        let written = self.run_until_stopped(store, &export, file.as_file_mut()).await?;
        let path = self.out.display();
        file.as_file().sync_all().map_err(|error| format!("{path}: {error}"))?;
        let kept = match self.force {
            true => file.persist(&self.out),
            false => file.persist_noclobber(&self.out), // somebody else may have made it meanwhile
        };
        kept.map_err(|error| match error.error.kind() {
            ErrorKind::AlreadyExists => {
                format!("{path} is there by now: name another file, or say --force to replace it")
            }
            _ => format!("{path}: {}", error.error),
        })?;
        Ok(written)
    }

    /// Exports, unless somebody stops it: then what was begun is taken away.
    async fn run_until_stopped<W: Write + Send>(
        &self,
        store: &Store,
        export: &Export,
        out: W,
    ) -> Result<Written, String> {
        let mut display = None;
        let clock = Clock::system();
        let show = |progress: Progress| {
            let display = display.get_or_insert_with(|| Display::new(progress.total));
            display.show(
                progress.looked_at,
                progress.written,
                format!("{} {}", progress.written, self.kind.plural()),
            );
        };
        let done = tokio::select! {
            done = export::export(store, export, BufWriter::new(out), &clock, show) => done,
            _ = tokio::signal::ctrl_c() => return Err("stopped: nothing was exported".to_owned()),
        };
        if let Some(display) = &display {
            display.end();
        }
        done.map_err(|error| match error {
            Error::Write(error) if error.kind() == ErrorKind::BrokenPipe => {
                "whoever reads the output went away before its end".to_owned()
            }
            Error::Write(error) => format!("{}: {error}", self.out.display()),
            error => with_causes(&error),
        })
    }
}

/// A kind by its noun, for one or several.
fn kind(text: &str) -> Result<Kind, String> {
    let wanted = text.to_lowercase().replace('-', "_");
    let is_wanted = |kind: &&Kind| kind.name() == wanted || kind.plural() == wanted;
    Kind::ALL.iter().find(is_wanted).copied().ok_or_else(|| {
        let known: Vec<&str> = Kind::ALL.iter().map(|kind| kind.plural()).collect();
        format!("there are no {text}; there are: {}", known.join(", "))
    })
}
