//! YEAR: a year over whole registers of elevators and trees, with work that comes early, on time, late, offline or
//! never, workers that are killed, and clocks that jump. What stands at the end is held against a count of its own.

use crate::asked::{Asked, Kind};
use crate::line::{Bound, Line, timed};
use jiff::civil::date;
use rounds_domain::AreaId;
use rounds_domain::template::Template;
use rounds_store::{RecordFilter, Store};
use rounds_tests::year::Year;
use rounds_tests::{TestClock, new_id};
use rounds_worker::Options;
use std::path::{Path, PathBuf};
use tokio::process::Command;

/// Days between two kills of the worker, and between two jumps of the clock.
const KILL_DAYS: usize = 17;
const JUMP_DAYS: usize = 61;

/// What the registers say, as the README imports them.
const ELEVATORS: &[&str] = &[
    "--area=New York",
    "--time-zone=America/New_York",
    "--area-column=borough",
    "--ref=device_number",
    "--set=name={device_type} {device_number}",
    "--set=sort=elevator",
    "--place-ref=bin",
    "--place=name={house_number} {street_name}",
    "--place=sort=building",
];
const TREES: &[&str] = &[
    "--area=San Francisco",
    "--time-zone=America/Los_Angeles",
    "--ref=TreeID",
    "--set=name=Tree {TreeID}",
    "--set=sort=tree",
    "--bounds=37.6,-122.6,37.9,-122.3",
];

pub(crate) async fn year(kind: Kind, asked: &Asked) -> Line {
    let samples = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("data");
    let (elevators, trees) = match asked.setting::<PathBuf>("--registers") {
        Some(folder) => (folder.join("elevators_nyc_2015.csv"), folder.join("street_trees_sf.csv")),
        None => (samples.join("elevators.csv"), samples.join("trees.csv")),
    };
    let database = kind.create().await;
    import(&asked.rounds, database.url(), &elevators, ELEVATORS).await;
    import(&asked.rounds, database.url(), &trees, TREES).await;
    let store = database.open().await;
    let plan = |name: &str| Template::named(name).expect("a template");
    let (new_york, san_francisco) = (area(&store, "New York").await, area(&store, "San Francisco").await);
    let length = asked.setting("--days").unwrap_or(365);
    let every = |days: usize| (days as i64 / 2..length).step_by(days);
    let year = Year {
        seed: 7,
        first_day: date(2026, 1, 15),
        days: length,
        kills: every(KILL_DAYS).collect(),
        jumps: every(JUMP_DAYS).collect(),
        plans: vec![
            (plan("elevator-maintenance"), new_york),
            (plan("elevator-inspection"), new_york),
            (plan("watering-trees"), san_francisco),
        ],
    };
    // It ends here if anything is missing, is there twice, or should not be there.
    let clock = TestClock::default();
    let (report, took) = timed(year.live(&store, &clock, || Options::new(new_id()))).await;
    store.close().await;
    Line {
        id: "YEAR",
        database: kind.name(),
        figure: format!(
            "{} days, {} kills, {} jumps of the clock, {report}, in {:.0} s",
            year.days,
            year.kills.len(),
            year.jumps.len(),
            took.as_secs_f64()
        ),
        yardstick: "-".to_owned(),
        value: 0.0,
        floor: Bound::AtMost(0.0),
        goal: Bound::AtMost(0.0),
    }
}

async fn import(rounds: &Path, database: &str, register: &Path, settings: &[&str]) {
    let mut command = Command::new(rounds);
    command.args(["import", "assets"]).arg(register).args(settings).args(["--database", database]);
    let report = std::env::temp_dir().join(format!("rejected_{}.csv", new_id().simple()));
    let output = command.arg("--report").arg(&report).output().await.expect("the program");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let _ = std::fs::remove_file(report); // there is none if every row was taken
}

async fn area(store: &Store, name: &str) -> AreaId {
    let areas = store.areas().await.expect("a database");
    let filter = RecordFilter::of(rounds_domain::Kind::Area, areas, 1_000);
    let found = store.records(&filter).await.expect("a database");
    found.into_iter().find(|it| it.record.text("name") == name).expect("an area of that name").record.area
}
