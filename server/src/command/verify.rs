//! `rounds verify`: whether all that is kept follows from the ops.

use super::print::say;
use super::{DATABASE_DEFAULT, open, with_causes};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use rounds_store::{Fault, Store};
use std::process::ExitCode;

/// Fold every record again from its ops, count summaries again, and report any difference. Areas are looked at one
/// after the other; what is written into one meanwhile waits.
#[derive(Args, Debug)]
pub(crate) struct Verify {
    /// The database: sqlite:PATH or postgres://USER@HOST/DATABASE
    #[arg(long, value_name = "URL", env = "ROUNDS_DATABASE", default_value = DATABASE_DEFAULT, hide_env_values = true)]
    database: String,
    /// Count summaries again from the records first, and keep that.
    #[arg(long)]
    recount: bool,
}

impl Verify {
    /// Looks at everything. Differences make the exit code 1.
    pub(crate) async fn run(self) -> Result<ExitCode, String> {
        let store = open(&self.database).await?;
        if self.recount {
            store.recount().await.map_err(|error| with_causes(&error))?;
        }
        let is_sound = report(&store).await;
        store.close().await;
        Ok(if is_sound? { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

/// Folds and counts everything again and prints the differences. Whether there are none.
pub(crate) async fn report(store: &Store) -> Result<bool, String> {
    let bar = ProgressBar::new_spinner();
    if let Ok(style) = ProgressStyle::with_template("{spinner} {pos} records ({per_sec})") {
        bar.set_style(style);
    }
    let verified = store.verify(|records| bar.set_position(records)).await;
    bar.finish_and_clear();
    let verified = verified.map_err(|error| with_causes(&error))?;
    for fault in &verified.faults {
        say!("{}", in_words(fault));
    }
    let (records, ops, counters) = (verified.records, verified.ops, verified.counters);
    say!("{records} records from {ops} ops, {counters} counters: {} differences", verified.faults_total);
    Ok(verified.faults_total == 0)
}

fn in_words(fault: &Fault) -> String {
    match fault {
        Fault::Record(id) => format!("record {id} is not the fold of its ops"),
        Fault::Absent(id) => format!("record {id} is missing: its ops are there"),
        Fault::Day(id) => format!("record {id} is found under another day than its own"),
        Fault::Counter { key, kept, counted } => {
            let (area, unit, day, measure) = (key.area, key.unit.name(), key.day, &key.measure);
            format!("area {area}, {unit} {day}, {measure}: {kept} is kept, {counted} was counted")
        }
        Fault::Attended { what, day, kept, counted } => {
            let (area, work, subject) = (what.area, &what.work, what.subject);
            format!("area {area}, {work} at {subject} on {day}: {kept} is kept, {counted} was counted")
        }
    }
}
