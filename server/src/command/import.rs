//! `rounds import`: a register into the database.

use super::print;
use super::progress::Display;
use super::{DATABASE_DEFAULT, file_beside, open, open_or_make, with_causes};
use clap::{Args, ValueEnum};
use rounds_domain::Kind;
use rounds_server::Clock;
use rounds_server::import::{self, Bounds, Settings, Summary};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use tempfile::NamedTempFile;

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
    /// Replace the report if it is there.
    #[arg(long, requires = "report")]
    force: bool,
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
        self.keep_apart()?;
        let settings = self.settings();
        let in_file = |error: &dyn std::fmt::Display| format!("{}: {error}", self.file.display());
        let file = File::open(&self.file).map_err(|error| in_file(&error))?;
        let length = file.metadata().map_or(0, |metadata| metadata.len());
        let (report, report_file) = self.begin_report()?;
        let clock = Clock::system();
        let store = match self.dry_run {
            true => open(&self.database).await?, // it changes nothing
            false => open_or_make(&self.database).await?,
        };
        let mut display = Display::new(Some(length));
        let result = import::import(&store, &settings, file, report, &clock, |progress| {
            let message = format!("{} rows, {} rejected", progress.rows, progress.rejected);
            display.show(progress.bytes, progress.rows, message);
        })
        .await;
        display.end();
        store.close().await;
        let is_whole = match &result {
            Ok(_) => true,
            Err(error) => error.is_behind_rows(),
        };
        let kept = match report_file.filter(|_| is_whole) {
            Some(file) => self.keep_report(file),
            None => Ok(()),
        };
        let summary = result.map_err(|error| match &error {
            import::Error::Store(_) => format!("{}; run the same import again", with_causes(&error)),
            _ => in_file(&error),
        })?;
        kept?;
        print::lines(format_args!("{}", self.tell(&summary)));
        let is_nothing_done = summary.rows > 0 && summary.rejected == summary.rows;
        Ok(if is_nothing_done { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }

    /// Refuses a report that would take the place of the file that is read.
    fn keep_apart(&self) -> Result<(), String> {
        match &self.report {
            Some(report) if is_same_file(&self.file, report) => {
                let report = report.display();
                Err(format!("{report} is the file that is imported: name another one for the report"))
            }
            _ => Ok(()),
        }
    }

    /// What the report is written to; and the new file, if it is to take the place of an earlier report at the end.
    fn begin_report(&self) -> Result<(Box<dyn Write>, Option<NamedTempFile>), String> {
        let Some(path) = &self.report else { return Ok((Box::new(std::io::sink()), None)) };
        let in_report = |error: std::io::Error| format!("{}: {error}", path.display());
        // A terminal or a pipe is written to as it is.
        if path.metadata().is_ok_and(|there| !there.is_file()) {
            let stream = File::options().write(true).open(path).map_err(in_report)?;
            return Ok((Box::new(BufWriter::new(stream)), None));
        }
        if path.exists() && !self.force {
            let path = path.display();
            return Err(format!(
                "{path} is there already: name another file for the report, or say --force to replace it"
            ));
        }
        let file = file_beside(path)?;
        let writer = file.reopen().map_err(in_report)?;
        Ok((Box::new(BufWriter::new(writer)), Some(file)))
    }

    /// Puts the report, now that it is whole, under its name.
    fn keep_report(&self, file: NamedTempFile) -> Result<(), String> {
        let Some(path) = &self.report else { return Ok(()) };
        file.as_file().sync_all().map_err(|error| format!("{}: {error}", path.display()))?;
        file.persist(path).map_err(|error| format!("{}: {}", path.display(), error.error))?;
        Ok(())
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

/// Whether both paths lead to one file. What is no file can be read and written side by side: a terminal, say.
fn is_same_file(one: &Path, other: &Path) -> bool {
    let (Ok(one_is), Ok(other_is)) = (one.metadata(), other.metadata()) else { return false };
    if !one_is.is_file() || !other_is.is_file() {
        return false;
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt as _;
        if (one_is.dev(), one_is.ino()) == (other_is.dev(), other_is.ino()) {
            return true;
        }
    }
    matches!((one.canonicalize(), other.canonicalize()), (Ok(one), Ok(other)) if one == other)
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

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser as _;

    /// The second row has no key.
    const REGISTER: &str = "id,name\n1,Bench\n,Nobody's\n";

    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        import: Import,
    }

    /// Imports benches.csv of a folder, with a report there.
    async fn run(folder: &Path, report: &str, more: &[&str]) -> Result<ExitCode, String> {
        let path = |name: &str| folder.join(name).display().to_string();
        let (file, report, database) = (path("benches.csv"), path(report), path("rounds.db"));
        let database = format!("sqlite:{database}");
        let line = [
            "rounds",
            "assets",
            file.as_str(),
            "--area=City",
            "--time-zone=Asia/Shanghai",
            "--ref=id",
            "--set=sort=bench",
            "--report",
            report.as_str(),
            "--database",
            database.as_str(),
        ];
        let line: Vec<&str> = line.into_iter().chain(more.iter().copied()).collect();
        Line::parse_from(line).import.run().await
    }

    fn hidden_files(folder: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(folder).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.starts_with('.')).collect()
    }

    #[tokio::test]
    async fn a_report_does_not_take_the_place_of_the_file_that_is_imported() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("benches.csv");
        std::fs::write(&file, REGISTER).unwrap();
        let mut names = vec!["benches.csv"];
        if cfg!(unix) {
            std::fs::hard_link(&file, folder.path().join("second.csv")).unwrap();
            names.push("second.csv");
        }
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink(&file, folder.path().join("link.csv")).unwrap();
            names.push("link.csv");
        }
        for name in names {
            for more in [vec![], vec!["--dry-run"]] {
                let told = run(folder.path(), name, &more).await.unwrap_err();
                assert!(told.contains(name) && told.contains("another"), "{told}");
                assert_eq!(std::fs::read_to_string(&file).unwrap(), REGISTER, "{name}");
            }
        }
        assert!(!folder.path().join("rounds.db").exists(), "it was refused before anything was done");
    }

    #[tokio::test]
    async fn an_earlier_report_is_replaced_only_when_that_is_asked_for() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("benches.csv"), REGISTER).unwrap();
        let report = folder.path().join("rejected.csv");
        std::fs::write(&report, "earlier").unwrap();
        let told = run(folder.path(), "rejected.csv", &[]).await.unwrap_err();
        assert!(told.contains("rejected.csv") && told.contains("--force"), "{told}");
        assert_eq!(std::fs::read_to_string(&report).unwrap(), "earlier");
        assert!(!folder.path().join("rounds.db").exists(), "it was refused before anything was done");
    }

    #[tokio::test]
    async fn a_dry_run_makes_no_database() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("benches.csv"), REGISTER).unwrap();
        let told = run(folder.path(), "rejected.csv", &["--dry-run"]).await.unwrap_err();
        assert!(told.contains("there is no database"), "{told}");
        assert!(!folder.path().join("rounds.db").exists() && !folder.path().join("rejected.csv").exists());
    }

    #[tokio::test]
    async fn an_earlier_report_stays_until_there_is_another() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("benches.csv"), REGISTER).unwrap();
        let report = folder.path().join("rejected.csv");
        std::fs::write(&report, "earlier").unwrap();
        let told = run(folder.path(), "rejected.csv", &["--force", "--map=colour=name"]).await.unwrap_err();
        assert!(told.contains("colour"), "{told}");
        assert_eq!(std::fs::read_to_string(&report).unwrap(), "earlier");
        assert!(hidden_files(folder.path()).is_empty());

        run(folder.path(), "rejected.csv", &["--force"]).await.unwrap();
        let now = std::fs::read_to_string(&report).unwrap();
        assert!(now.starts_with("rounds_row,rounds_reason,id,name\n3,"), "{now}");
        assert!(hidden_files(folder.path()).is_empty());
    }
}
