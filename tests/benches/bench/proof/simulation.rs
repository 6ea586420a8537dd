//! P1 and P2: devices, server and worker in a world where everything fails.

#[path = "../../../tests/rounds/simulation/injected.rs"]
mod injected;

use crate::asked::Asked;
use crate::line::{Bound, Line};
use injected::find;
use rounds_domain::bug::Bug;
use rounds_server::simulation::{Report, Settings, run};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
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
    let total = Mutex::new(Report::default());
    let began = Instant::now();
    let broken = on_all_cores(seeds, |seed| match run(&Settings::new(seed, devices, days)) {
        Ok(report) => {
            let mut total = total.lock().expect("nobody panics with it");
            total.device_days += report.device_days;
            total.recorded += report.recorded;
            false
        }
        Err(broken) => {
            eprintln!("P1: {broken}");
            true
        }
    });
    let took = began.elapsed().as_secs_f64();
    let total = total.into_inner().expect("nobody panicked with it");
    let (device_days, recorded) = (total.device_days, total.recorded);
    Line {
        id: "P1",
        database: "memory",
        figure: format!(
            "{seeds} seeds of {devices} devices x {days} days: {:.0} device-years, {recorded} ops, {:.0} device-days/s",
            device_days as f64 / 365.0,
            device_days as f64 / took
        ),
        yardstick: "-".to_owned(),
        value: broken as f64,
        floor: Bound::AtMost(0.0),
        goal: Bound::AtMost(0.0),
    }
}

/// Known bugs that are found.
pub(crate) fn p2(_: &Asked) -> Line {
    let first = Mutex::new(vec![None; Bug::ALL.len()]);
    let missed = on_all_cores(Bug::ALL.len() as u64, |at| {
        let at = at as usize;
        let found = find(Bug::ALL[at], SEEDS_MAX).map(|broken| broken.settings.seed + 1);
        first.lock().expect("nobody panics with it")[at] = found;
        found.is_none()
    });
    let first = first.into_inner().expect("nobody panicked with it");
    let each: Vec<String> = Bug::ALL
        .iter()
        .zip(first)
        .map(|(bug, seeds)| match seeds {
            Some(seeds) => format!("{bug:?} {seeds}"),
            None => format!("{bug:?} not"),
        })
        .collect();
    let found = Bug::ALL.len() - missed;
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

/// Does something for each number, and counts those for which it is so.
fn on_all_cores(count: u64, is_so: impl Fn(u64) -> bool + Sync) -> usize {
    let next = AtomicU64::new(0);
    let so = AtomicU64::new(0);
    let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get());
    std::thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    if at >= count {
                        return;
                    }
                    so.fetch_add(u64::from(is_so(at)), Ordering::Relaxed);
                }
            });
        }
    });
    so.into_inner() as usize
}
