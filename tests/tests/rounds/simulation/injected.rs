//! Known bugs, put in one at a time, and the seeds that find them.

use rounds_domain::bug::{Bug, inject};
use rounds_server::simulation::{Broken, Settings, run};

/// The first of so many seeds at which a promise is broken because of this bug.
pub(crate) fn find(bug: Bug, seeds_max: u64) -> Option<Broken> {
    let _injected = inject(bug);
    // Small worlds: a seed takes less than a second.
    (0..seeds_max).find_map(|seed| run(&Settings::new(seed, 5, 2)).err().map(|broken| *broken))
}
