//! `rounds import`: a register into the database.

use super::print;
use super::progress::Display;
use super::{DATABASE_DEFAULT, open, with_causes};
use clap::{Args, ValueEnum};
use rounds_domain::Kind;
use rounds_server::Clock;
use rounds_server::import::{self, Bounds, Settings, Summary};
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Import a register: assets, places, organizations or workers from a file of comma-separated values.
///
/// Straight into the database, beside a running server or without one. Each row becomes a record whose id follows
/// from its key (--ref), so the same file may be imported again: what is new is added, what the register changed is
/// changed, and what people changed meanwhile stays. Columns that are called like a field need no --map.
#[derive(Args, Debug)]
pub(crate) struct Import {
    /// What the rows are.
    #[arg(value_enum)]
    what: What,
    /// The file. Its first line names the columns.
    file: PathBuf,
    /// The area that gets the records: its name or id.
    #[arg(long)]
    area: String,
    /// Make the area, at the top of a new tree, if there is none of that name: its time zone, such as Asia/Shanghai.
    #[arg(long)]
    time_zone: Option<String>,
    /// The column that names an area below it, for each row. Areas that are not there are made.
    #[arg(long, value_name = "COLUMN")]
    area_column: Option<String>,
    /// The column with the key of each row in the register, or a text with several: "{block}-{lot}".
    #[arg(long = "ref", value_name = "COLUMN")]
    reference: Option<String>,
    /// A name for the register, which tells its keys from those of others. The name of the key's column if not given.
    #[arg(long, value_name = "NAME")]
    register: Option<String>,
    /// Which field a column is. Assets have attributes as well: --map maker=attributes.manufacturer
    #[arg(long, value_name = "COLUMN=FIELD", value_parser = pair)]
    map: Vec<(String, String)>,
    /// What a field says: a text, which may name columns: --set "name={type} {number}"
    #[arg(long, value_name = "FIELD=TEXT", value_parser = pair)]
    set: Vec<(String, String)>,
    /// Keep the columns that nothing else uses as attributes (assets only).
    #[arg(long)]
    keep_rest: bool,
    /// The column with the key of the place: of an asset, or around a place.
    #[arg(long, value_name = "COLUMN")]
    place_ref: Option<String>,
    /// A name for the register of places, if --register gave one when they were imported.
    #[arg(long, value_name = "NAME")]
    place_register: Option<String>,
    /// What a field of that place says, as --set does: the place is made along with the first row that names it. At
    /// least name=... and sort=...; without any, the place has to be there already.
    #[arg(long, value_name = "FIELD=TEXT", value_parser = pair)]
    place: Vec<(String, String)>,
    /// Reject positions that are not between these degrees, as a fault of the register.
    #[arg(long, value_name = "SOUTH,WEST,NORTH,EAST", value_parser = bounds, allow_hyphen_values = true)]
    bounds: Option<Bounds>,
    /// The encoding of the file: utf-8, gb18030, big5, windows-1252, ...
    #[arg(long, default_value = "utf-8")]
    encoding: String,
    /// What is between two columns: one character, or "tab".
    #[arg(long, default_value = ",", value_parser = delimiter)]
    delimiter: u8,
    /// Check everything and change nothing.
    #[arg(long)]
    dry_run: bool,
    /// Where rejected rows go, with the reason for each. Mended there, it can be imported like the file itself.
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// The database: sqlite:PATH or postgres://USER@HOST/DATABASE
    #[arg(long, value_name = "URL", env = "ROUNDS_DATABASE", default_value = DATABASE_DEFAULT, hide_env_values = true)]
    database: String,
}

#[derive(Clone, Copy, ValueEnum, Debug)]
enum What {
    Assets,
    Places,
    Organizations,
    Workers,
}

impl Import {
    /// Runs the import, and says what came of it. The exit code is 0 unless nothing could be done.
    ///
    /// # Errors
    /// What kept it from beginning, or ended it early, for people.
    pub(crate) async fn run(self) -> Result<ExitCode, String> {
        let settings = self.settings();
        let in_file = |error: &dyn std::fmt::Display| format!("{}: {error}", self.file.display());
        let file = File::open(&self.file).map_err(|error| in_file(&error))?;
        let length = file.metadata().map_or(0, |metadata| metadata.len());
        if self.dry_run
            && let Some(path) = self.database.strip_prefix("sqlite:")
            && !Path::new(path).exists()
        {
            return Err(format!(
                "there is no database {path}, and a dry run makes none: start the server once"
            ));
        }
        let report: Box<dyn Write> = match &self.report {
            Some(path) => {
                let report = File::create(path).map_err(|error| format!("{}: {error}", path.display()))?;
                Box::new(std::io::BufWriter::new(report))
            }
            None => Box::new(std::io::sink()),
        };
        let clock = Clock::system();
        let store = open(&self.database).await?;
        let mut display = Display::new(Some(length));
        let result = import::import(&store, &settings, file, report, &clock, |progress| {
            let message = format!("{} rows, {} rejected", progress.rows, progress.rejected);
            display.show(progress.bytes, progress.rows, message);
        })
        .await;
        display.end();
        store.close().await;
        let summary = result.map_err(|error| match &error {
            import::Error::Store(_) => format!("{}; run the same import again", with_causes(&error)),
            _ => in_file(&error),
        })?;
        print::lines(format_args!("{}", self.tell(&summary)));
        let is_nothing_done = summary.rows > 0 && summary.rejected == summary.rows;
        Ok(if is_nothing_done { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }

    fn settings(&self) -> Settings {
        let kind = match self.what {
            What::Assets => Kind::Asset,
            What::Places => Kind::Place,
            What::Organizations => Kind::Organization,
            What::Workers => Kind::Worker,
        };
        Settings {
            time_zone: self.time_zone.clone(),
            area_column: self.area_column.clone(),
            reference: self.reference.clone(),
            register: self.register.clone(),
            map: self.map.clone(),
            set: self.set.clone(),
            keep_rest: self.keep_rest,
            place_ref: self.place_ref.clone(),
            place_register: self.place_register.clone(),
            place: self.place.clone(),
            bounds: self.bounds,
            encoding: self.encoding.clone(),
            delimiter: self.delimiter,
            dry_run: self.dry_run,
            ..Settings::new(kind, &self.area)
        }
    }

    fn tell(&self, summary: &Summary) -> String {
        let mut lines = vec![format!(
            "{}{} rows: {} new, {} changed, {} unchanged, {} repeated, {} rejected",
            if self.dry_run { "dry run, nothing was written; " } else { "" },
            summary.rows,
            summary.created,
            summary.changed,
            summary.unchanged,
            summary.repeated,
            summary.rejected
        )];
        let mut add = |count: u64, what: &str| {
            if count > 0 {
                lines.push(format!("{count} {what}"));
            }
        };
        add(summary.areas_created, "new areas");
        add(summary.places_created, "new places");
        add(summary.places_changed, "changed places");
        add(
            summary.places_disputed,
            "rows describe their place otherwise than the row before: the first one counts",
        );
        add(summary.kept, "fields stay as people changed them since the last import");
        add(
            summary.conflicts,
            "edits of fields that people had changed too: both values are kept as conflicts",
        );
        if !summary.unused_columns.is_empty() {
            lines.push(format!("not imported: {}", summary.unused_columns.join(", ")));
        }
        for (row, reason) in &summary.first_rejected {
            lines.push(format!("row {row}: {reason}"));
        }
        if summary.rejected > summary.first_rejected.len() as u64 {
            lines.push(format!("... and {} more", summary.rejected - summary.first_rejected.len() as u64));
        }
        match &self.report {
            Some(path) if summary.rejected > 0 => {
                lines.push(format!("rejected rows are in {}", path.display()))
            }
            None if summary.rejected > 0 => {
                lines.push("--report FILE writes the rejected rows down".to_owned())
            }
            _ => {}
        }
        lines.join("\n") + "\n"
    }
}

/// `a=b`; what is behind the first mark may hold others.
fn pair(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write it as NAME=VALUE")?;
    Ok((name.trim().to_owned(), value.trim().to_owned()))
}

fn bounds(text: &str) -> Result<Bounds, String> {
    let degrees: Result<Vec<f64>, _> = text.split(',').map(|part| part.trim().parse()).collect();
    match degrees.as_deref() {
        Ok([south, west, north, east]) if south <= north && west <= east => {
            Ok(Bounds { south: *south, west: *west, north: *north, east: *east })
        }
        _ => Err("write four numbers: SOUTH,WEST,NORTH,EAST".to_owned()),
    }
}

fn delimiter(text: &str) -> Result<u8, String> {
    match text.as_bytes() {
        b"tab" | b"\\t" => Ok(b'\t'),
        [byte] if byte.is_ascii() => Ok(*byte),
        _ => Err("one character, or tab".to_owned()),
    }
}
