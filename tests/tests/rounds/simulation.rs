//! What is promised holds over days in which everything fails, and a simulation of them finds what is known to be wrong.

mod injected;

use injected::find;
use rounds_domain::bug::Bug;
use rounds_server::simulation::{Promise, Settings, run};

/// A seed that fails is printed as the command with which it fails again.
fn seeds_hold(seeds: std::ops::Range<u64>, devices: usize, days: u32) {
    for seed in seeds {
        if let Err(broken) = run(&Settings::new(seed, devices, days)) {
            panic!("{broken}");
        }
    }
}

macro_rules! hold {
    ($($name:ident: $seeds:expr, $devices:literal devices, $days:literal days;)*) => {
        $(
            #[test]
            fn $name() {
                seeds_hold($seeds, $devices, $days);
            }
        )*
    };
}

hold! {
    no_promise_is_broken_in_the_first_fifty_seeds: 0..50, 5 devices, 2 days;
    no_promise_is_broken_in_the_second_fifty_seeds: 50..100, 5 devices, 2 days;
    no_promise_is_broken_in_the_third_fifty_seeds: 100..150, 5 devices, 2 days;
    no_promise_is_broken_in_the_fourth_fifty_seeds: 150..200, 5 devices, 2 days;
}

/// Seeds that found something which was mended since, with the number of devices and days.
const ONCE_FAILED: &[(u64, usize, u32)] = &[
    // The copy of a phone lost an op whose number the phone took after a restore; those told of one that somebody called
    // missed too early were told too late.
    (1005, 20, 6),
    // Numbers of assignments were given out again after a restore; nobody looked where a deleted follow-up had been.
    (2, 20, 6),
    // Two copies of a phone handed the same op over, each under a name of its own.
    (6, 20, 6),
    // A plan went on about something that was deleted and was neither place nor asset.
    (74, 20, 6),
];

#[test]
fn seeds_that_once_failed_hold() {
    for (seed, devices, days) in ONCE_FAILED {
        seeds_hold(*seed..seed + 1, *devices, *days);
    }
}

#[test]
fn the_same_seed_gives_the_same_history_and_another_seed_another() {
    let trace = |seed| run(&Settings::new(seed, 6, 3)).expect("a seed that holds").trace;
    let first = trace(1);
    assert_eq!(first, trace(1));
    assert_ne!(first, trace(2));
}

/// Every fourth of the known bugs: the others are other tests', beside this one.
fn every_one_is_found(first: usize) {
    let some = Bug::ALL.iter().copied().skip(first).step_by(4);
    let missed: Vec<Bug> = some.filter(|bug| find(*bug, 500).is_none()).collect();
    assert_eq!(missed, []);
}

#[test]
fn every_known_bug_is_found_within_500_seeds_1_of_4() {
    every_one_is_found(0);
}

#[test]
fn every_known_bug_is_found_within_500_seeds_2_of_4() {
    every_one_is_found(1);
}

#[test]
fn every_known_bug_is_found_within_500_seeds_3_of_4() {
    every_one_is_found(2);
}

#[test]
fn every_known_bug_is_found_within_500_seeds_4_of_4() {
    every_one_is_found(3);
}

#[test]
fn a_bug_that_was_found_is_gone_when_it_is_taken_out() {
    let found = find(Bug::ScopeLeak, 500).expect("it is found");
    assert_eq!(found.promise, Promise::Scope);
    assert!(run(&found.settings).is_ok(), "{found}");
}
