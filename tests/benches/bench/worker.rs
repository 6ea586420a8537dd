//! `scripts/bench worker`: how fast jobs are done, and how late, beside a yardstick measured in the same run.
//!
//! One line per row and database, the columns separated by tabs. The rows and what they are held against are in
//! `scripts/bench`.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a benchmark that cannot go on says where and ends
#![allow(clippy::disallowed_methods)] // it measures time, makes ids, and has a main that reads its arguments

mod worker {
    pub(crate) mod drain;
    pub(crate) mod due;
    pub(crate) mod killed;
    #[path = "../sync/line.rs"]
    pub(crate) mod line;
    pub(crate) mod plan;
    pub(crate) mod year;
}

use rounds_tests::TestDatabase;
use std::path::PathBuf;
use worker::line::Line;
use worker::{drain, due, killed, plan, year};

const USAGE: &str = "scripts/bench worker [--quick] [--only W1,W4] [--database sqlite|postgres] [--kills KILLS]\n       \
     scripts/bench worker --only YEAR [--registers FOLDER] [--days DAYS] [--database sqlite|postgres]";

/// A kind of database.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    Sqlite,
    Postgres,
}

impl Kind {
    const ALL: [Kind; 2] = [Kind::Sqlite, Kind::Postgres];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Kind::Sqlite => "sqlite",
            Kind::Postgres => "postgres",
        }
    }

    pub(crate) async fn create(self) -> TestDatabase {
        match self {
            Kind::Sqlite => TestDatabase::sqlite().await,
            Kind::Postgres => TestDatabase::postgres().await,
        }
    }
}

/// What was asked for.
#[derive(Debug)]
pub(crate) struct Asked {
    /// The `rounds` program.
    pub(crate) rounds: PathBuf,
    /// How often workers are killed, if that was said.
    pub(crate) kills: Option<usize>,
    /// Where the whole registers are; otherwise there are samples.
    pub(crate) registers: Option<PathBuf>,
    /// How long the year is.
    pub(crate) days: i64,
    quick: bool,
    only: Vec<String>,
    databases: Vec<Kind>,
}

impl Asked {
    /// Reads the path of the `rounds` program and the arguments of `scripts/bench worker`.
    fn read(mut arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut asked = Self {
            rounds: arguments.next().ok_or("the path of the rounds program is needed")?.into(),
            kills: None,
            registers: None,
            days: 365,
            quick: false,
            only: Vec::new(),
            databases: Kind::ALL.to_vec(),
        };
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().ok_or_else(|| format!("{argument} needs a value"));
            match argument.as_str() {
                "--quick" => asked.quick = true,
                "--only" => asked.only = value()?.split(',').map(str::to_uppercase).collect(),
                "--kills" => asked.kills = Some(value()?.parse().map_err(|_| "--kills is a number")?),
                "--registers" => asked.registers = Some(value()?.into()),
                "--days" => asked.days = value()?.parse().map_err(|_| "--days is a number")?,
                "--database" => {
                    let name = value()?;
                    let kind = Kind::ALL.into_iter().find(|kind| kind.name() == name);
                    asked.databases = vec![kind.ok_or("--database is sqlite or postgres")?];
                }
                other => return Err(format!("{other} is not known")),
            }
        }
        Ok(asked)
    }

    fn wants(&self, id: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|wanted| wanted == id)
    }

    /// How often figure and yardstick are measured in turn.
    pub(crate) fn turns(&self) -> usize {
        if self.quick { 3 } else { 5 }
    }

    /// One of two sizes.
    pub(crate) fn size<T>(&self, quick: T, full: T) -> T {
        if self.quick { quick } else { full }
    }
}

#[tokio::main]
async fn main() {
    let asked = match Asked::read(std::env::args().skip(1)) {
        Ok(asked) => asked,
        Err(what) => {
            eprintln!("{what}\nusage: {USAGE}");
            std::process::exit(64);
        }
    };
    println!("{}", Line::HEADER);
    let mut report = Report { failed: false };
    for kind in &asked.databases {
        measure(*kind, &asked, &mut report).await;
    }
    std::process::exit(i32::from(report.failed));
}

/// Says each line as soon as it is known.
struct Report {
    failed: bool,
}

impl Report {
    fn add(&mut self, line: Line) {
        println!("{line}");
        self.failed |= line.fails();
    }
}

async fn measure(kind: Kind, asked: &Asked, report: &mut Report) {
    if asked.wants("W1") {
        report.add(drain::w1(kind, asked).await);
    }
    if asked.wants("W2") {
        report.add(plan::w2(kind, asked).await);
    }
    if asked.wants("W3") {
        report.add(plan::w3(kind, asked).await);
    }
    if asked.wants("W4") {
        report.add(due::w4(kind, asked).await);
    }
    if asked.wants("P5") {
        report.add(killed::p5(kind, asked).await);
    }
    // It takes as long as all others, so it is done only when it is asked for.
    if asked.only.iter().any(|wanted| wanted == "YEAR") {
        report.add(year::year(kind, asked).await);
    }
}
