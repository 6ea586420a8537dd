//! P3: ops that arrive in any order, twice or late give one record. The histories are those of the domain's own tests.

#[allow(dead_code)] // the domain's tests use the rest
#[path = "../../../../domain/tests/domain/every_interleaving.rs"]
mod every_interleaving;
#[allow(dead_code)] // the domain's tests use the rest
#[path = "../../../../domain/tests/domain/history.rs"]
mod history;
#[allow(dead_code)] // the domain's tests use the rest
#[path = "../../../../domain/tests/domain/sample.rs"]
mod sample;
#[path = "../../../../domain/tests/domain/whole.rs"]
mod whole;

use crate::asked::Asked;
use crate::line::{Bound, Line};
use every_interleaving::{
    INTERLEAVINGS, every_interleaving_gives_one_record, inspection_of_three, request_of_three,
    violation_of_three,
};
use history::{Arrivals, arrivals};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use rounds_domain::fold;
use std::panic::catch_unwind;

/// Random histories in random arrivals, and every interleaving of the ops of three devices.
pub(crate) fn p3(asked: &Asked) -> Line {
    let cases = asked.setting("--cases").unwrap_or(asked.size(20_000, 1_000_000));
    let mut wrong = random(cases);
    let of_three = [request_of_three(), violation_of_three(), inspection_of_three()];
    for outboxes in &of_three {
        wrong += usize::from(catch_unwind(|| every_interleaving_gives_one_record(outboxes)).is_err());
    }
    Line {
        id: "P3",
        database: "-",
        figure: format!(
            "{cases} random cases, and {} interleavings of 3 devices x 4 ops: all of {} histories",
            of_three.len() * INTERLEAVINGS,
            of_three.len()
        ),
        yardstick: "-".to_owned(),
        value: wrong as f64,
        floor: Bound::AtMost(0.0),
        goal: Bound::AtMost(0.0),
    }
}

/// Answers how many cases failed: none, or one, at which it stops and which it prints.
fn random(cases: u32) -> usize {
    let config = ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() };
    let tried = TestRunner::new(config).run(&arrivals(), |(ops, arrived)| {
        let mut taken = Arrivals::default();
        arrived.iter().for_each(|placed| taken.take(placed));
        let (record, effects) = fold(&ops);
        prop_assert_eq!(&taken.record, &record);
        let (again, same_effects) = fold(&arrived);
        prop_assert_eq!(again, record);
        prop_assert_eq!(same_effects, effects);
        Ok(())
    });
    match tried {
        Ok(()) => 0,
        Err(error) => {
            eprintln!("P3: {error}");
            1
        }
    }
}
