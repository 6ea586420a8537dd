//! P1 and P2: devices, server and worker in a world where everything fails.

#[path = "../../../tests/rounds/simulation/injected.rs"]
mod injected;

use crate::asked::Asked;
use crate::line::{Bound, Line};
use injected::find_all;
use rounds_domain::bug::Bug;
use rounds_server::simulation::{Settings, on_all_cores, run};
use std::time::Instant;

/// Bugs that must be found.
const BUGS_MIN: usize = 12;
/// Seeds within which each must be found.
const SEEDS_MAX: u64 = 500;

/// Seeds at which a promise is broken.
pub(crate) fn p1(asked: &Asked) -> Line {
    let seeds = asked.setting("--seeds").unwrap_or(asked.size(40, 200));
    let devices = asked.setting("--devices").unwrap_or(asked.size(12, 200));
    let days = asked.setting("--days").unwrap_or(asked.size(5, 30));
    let began = Instant::now();
    let (mut device_days, mut recorded, mut broken) = (0, 0, 0);
    let live = |seed| run(&Settings::new(seed, devices, days));
    on_all_cores(seeds, live, |lived| match lived {
        Ok(report) => {
            device_days += report.device_days;
            recorded += report.recorded;
        }
        Err(found) => {
            eprintln!("P1: {found}");
            broken += 1;
        }
    });
    let took = began.elapsed().as_secs_f64();
    Line {
        id: "P1",
        database: "memory",
        figure: format!(
            "{seeds} seeds of {devices} devices x {days} days: {:.0} device-years, {recorded} ops, {:.0} device-days/s",
            device_days as f64 / 365.0,
            device_days as f64 / took
        ),
        yardstick: "-".to_owned(),
        value: f64::from(broken),
        floor: Bound::AtMost(0.0),
        goal: Bound::AtMost(0.0),
    }
}

/// Known bugs that are found.
pub(crate) fn p2(_: &Asked) -> Line {
    let all = find_all(SEEDS_MAX);
    let each: Vec<String> = all
        .iter()
        .map(|(bug, found)| match found {
            Some(broken) => format!("{bug:?} {}", broken.settings.seed + 1),
            None => format!("{bug:?} not"),
        })
        .collect();
    let found = all.values().flatten().count();
    Line {
        id: "P2",
        database: "memory",
        figure: format!("found after so many seeds: {}", each.join(", ")),
        yardstick: format!("{} bugs", Bug::ALL.len()),
        value: found as f64,
        floor: Bound::AtLeast(BUGS_MIN as f64),
        goal: Bound::AtLeast(Bug::ALL.len() as f64),
    }
}
