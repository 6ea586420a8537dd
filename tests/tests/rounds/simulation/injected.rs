//! Known bugs, put in one at a time, and the seeds that find them.

use rounds_domain::bug::{Bug, inject};
use rounds_server::simulation::{Broken, Settings, on_all_cores, run};
use std::collections::BTreeMap;

/// The first of so many seeds at which a promise is broken because of this bug.
pub(crate) fn find(bug: Bug, seeds_max: u64) -> Option<Broken> {
    let _injected = inject(bug);
    // Small worlds: a seed takes less than a second.
    (0..seeds_max).find_map(|seed| run(&Settings::new(seed, 5, 2)).err().map(|broken| *broken))
}

/// The same for all of them, on all cores.
pub(crate) fn find_all(seeds_max: u64) -> BTreeMap<Bug, Option<Broken>> {
    let mut all = BTreeMap::new();
    let find = |at| (Bug::ALL[at as usize], find(Bug::ALL[at as usize], seeds_max));
    on_all_cores(Bug::ALL.len() as u64, find, |(bug, found)| drop(all.insert(bug, found)));
    all
}
