//! What somebody asks a benchmark for.

use rounds_tests::TestDatabase;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::str::FromStr;

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

/// What was asked for: `sync --quick --only S1,S4 --database sqlite --stored 1000000`.
#[derive(Debug)]
pub(crate) struct Asked {
    /// `sync`, `worker`, `summary` or `proof`.
    pub(crate) what: String,
    /// The `rounds` program.
    pub(crate) rounds: PathBuf,
    /// The databases to measure on.
    pub(crate) databases: Vec<Kind>,
    quick: bool,
    only: Vec<String>,
    more: BTreeMap<String, String>,
}

/// Settings of single rows.
const MORE: [&str; 8] =
    ["--stored", "--kills", "--registers", "--days", "--devices", "--cases", "--seeds", "--seconds"];

impl Asked {
    /// Reads the path of the `rounds` program and the arguments of `scripts/bench` and
    /// `scripts/proof`.
    pub(crate) fn read(mut arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let rounds = arguments.next().ok_or("the path of the rounds program is needed")?.into();
        let what = arguments.next().ok_or("say what to measure")?;
        let databases = vec![Kind::Sqlite, Kind::Postgres];
        let mut asked =
            Self { what, rounds, databases, quick: false, only: Vec::new(), more: BTreeMap::new() };
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().ok_or_else(|| format!("{argument} needs a value"));
            match argument.as_str() {
                "--quick" => asked.quick = true,
                "--only" => asked.only = value()?.split(',').map(str::to_uppercase).collect(),
                "--database" => {
                    let name = value()?;
                    let kind = Kind::ALL.into_iter().find(|kind| kind.name() == name);
                    asked.databases = vec![kind.ok_or("--database is sqlite or postgres")?];
                }
                other if MORE.contains(&other) => {
                    let value = value()?;
                    asked.more.insert(argument, value);
                }
                other => return Err(format!("{other} is not known")),
            }
        }
        Ok(asked)
    }

    /// Whether this row is asked for, by its name or with all others.
    pub(crate) fn wants(&self, id: &str) -> bool {
        self.only.is_empty() || self.names(id)
    }

    /// Whether this row is asked for by its name.
    pub(crate) fn names(&self, id: &str) -> bool {
        self.only.iter().any(|wanted| wanted == id)
    }

    /// The value of a setting such as `--kills`, if it was given.
    pub(crate) fn setting<T: FromStr>(&self, name: &str) -> Option<T> {
        let text = self.more.get(name)?;
        Some(text.parse().unwrap_or_else(|_| panic!("{name} {text}: that cannot be read")))
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
