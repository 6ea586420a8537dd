//! `scripts/bench sync`: how fast devices and server agree, beside a yardstick measured in the same run.
//!
//! One line per row and database, the columns separated by tabs. The rows and what they are held against are in
//! `scripts/bench`.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a benchmark that cannot go on says where and ends
#![allow(clippy::disallowed_methods)] // it measures time, makes ids, and has a main that reads its arguments

mod sync {
    pub(crate) mod fill;
    pub(crate) mod line;
    pub(crate) mod phone;
    pub(crate) mod plain;
    pub(crate) mod program;
    pub(crate) mod pull;
    pub(crate) mod push;
    pub(crate) mod site;
    pub(crate) mod wire;
}

use std::path::PathBuf;
use sync::line::Line;
use sync::site::Kind;
use sync::{program, pull, push};

const USAGE: &str = "scripts/bench sync [--quick] [--only S1,S4] [--database sqlite|postgres] [--stored OPS]";

/// What was asked for.
#[derive(Debug)]
pub(crate) struct Asked {
    /// The `rounds` program.
    pub(crate) rounds: PathBuf,
    /// How many ops S7 stores, if that was said.
    pub(crate) stored: Option<usize>,
    quick: bool,
    only: Vec<String>,
    databases: Vec<Kind>,
}

impl Asked {
    /// Reads the path of the `rounds` program and the arguments of `scripts/bench sync`.
    fn read(mut arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut asked = Self {
            rounds: arguments.next().ok_or("the path of the rounds program is needed")?.into(),
            stored: None,
            quick: false,
            only: Vec::new(),
            databases: Kind::ALL.to_vec(),
        };
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().ok_or_else(|| format!("{argument} needs a value"));
            match argument.as_str() {
                "--quick" => asked.quick = true,
                "--only" => asked.only = value()?.split(',').map(str::to_uppercase).collect(),
                "--stored" => {
                    asked.stored = Some(value()?.parse().map_err(|_| "--stored is a number of ops")?)
                }
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
    if asked.wants("S11") {
        report.add(program::s11_size(&asked));
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
    match kind {
        Kind::Sqlite if asked.wants("S1") => report.add(push::s1(asked).await),
        Kind::Postgres if asked.wants("S2") => report.add(push::s2(asked).await),
        _ => {}
    }
    if asked.wants("S3") && kind == Kind::Postgres {
        report.add(push::s3(asked).await);
    }
    if asked.wants("S4") {
        report.add(pull::s4(kind, asked).await);
    }
    if asked.wants("S5") {
        report.add(pull::s5(kind, asked).await);
    }
    if asked.wants("S6") {
        report.add(pull::s6(kind, asked).await);
    }
    if asked.wants("S7") {
        report.add(push::s7(kind, asked).await);
    }
    if asked.wants("S8") {
        program::s8(kind, asked).await.into_iter().for_each(|line| report.add(line));
    }
    if asked.wants("S9") {
        report.add(pull::s9(kind, asked).await);
    }
    if asked.wants("S10") {
        report.add(program::s10(kind, asked).await);
    }
    if asked.wants("S11") {
        report.add(program::s11(kind, asked).await);
    }
}
