//! Every cell of every table of stages, written out from the rules of the field.
//!
//! A row is the stage that a record has, a column the stage asked for: `x` is allowed, `.` is not.

use super::sample::{create, op, placed, step};
use rounds_domain::record::{Matter, Standing};
use rounds_domain::status::stages;
use rounds_domain::verdict::Reason;
use rounds_domain::{Effect, Kind, Record, apply};

/// Open, triaged, referred, in progress, resolved (the partner's word), verified (ours), closed; rejected; reopened
/// when the same trouble is back. A holder may hand back; the team may find that it is not resolved.
const REQUEST: &str = "
             open triaged referred in_progress resolved verified closed rejected
open         .    x       .        .           .        .        .      x
triaged      .    .       x        x           .        .        .      x
referred     .    x       .        x           x        .        .      .
in_progress  .    x       .        .           x        .        .      .
resolved     .    .       .        x           .        x        .      .
verified     .    .       .        .           .        .        x      .
closed       x    .       .        .           .        .        .      .
rejected     x    .       .        .           .        .        .      .
";

/// Found, stopped, reported, agreed, removed, restored, closed, some of which may be left out on the way to its
/// removal; restoring is left out where there is nothing to plant. Found again after it was removed: reopened.
const VIOLATION: &str = "
             found stopped reported agreed removed restored closed
found        .     x       x        x      x       .        .
stopped      .     .       x        x      x       .        .
reported     .     .       .        x      x       .        .
agreed       .     .       .        .      x       .        .
removed      x     .       .        .      .       x        x
restored     x     .       .        .      .       .        x
closed       x     .       .        .      .       .        .
";

/// Done once; a second completion is evidence. What was missed or cancelled may have been done all the same. Open
/// again: the inspection that was taken for its completion was amended, or a clock that ran ahead called it missed.
const FOLLOW_UP: &str = "
             open done missed cancelled
open         .    x    x      x
done         x    .    .      .
missed       x    x    .      x
cancelled    x    x    .      .
";

/// Confirmed in its window, or it lapses and falls back to the team; a late confirmation is welcome.
const ADOPTION: &str = "
             offered confirmed lapsed ended
offered      .       x         x      .
confirmed    .       .         x      x
lapsed       .       x         .      x
ended        .       .         .      .
";

/// Raised and withdrawn as its cause comes and goes; seen by whom it is for, perhaps before it was withdrawn.
const NOTICE: &str = "
             raised seen withdrawn
raised       .      x    x
seen         .      .    x
withdrawn    x      x    .
";

const TABLES: [(Kind, &str); 5] = [
    (Kind::Request, REQUEST),
    (Kind::Violation, VIOLATION),
    (Kind::FollowUp, FOLLOW_UP),
    (Kind::Adoption, ADOPTION),
    (Kind::Notice, NOTICE),
];

/// The cells of a table: from, to, and whether it is allowed.
fn cells(table: &'static str) -> Vec<(&'static str, &'static str, bool)> {
    let mut lines = table.trim_start_matches('\n').lines();
    let columns: Vec<_> = lines.next().expect("a heading").split_whitespace().collect();
    lines
        .flat_map(|line| {
            let mut words = line.split_whitespace();
            let from = words.next().expect("a stage");
            let marks: Vec<_> = words.collect();
            assert_eq!(marks.len(), columns.len(), "the row of {from} is whole");
            columns.clone().into_iter().zip(marks).map(move |(to, mark)| (from, to, mark == "x"))
        })
        .collect()
}

/// A record of this kind in this stage, and the place of the next op.
fn record_in(kind: Kind, stage: &str) -> Record {
    let mut record = None;
    apply(&mut record, &placed(0, 1, 0, op(kind, create(kind))));
    let mut record = record.expect("it was created");
    record.status = stage.to_owned();
    record
}

#[test]
fn every_cell_of_every_table_is_as_the_rules_of_the_field_say() {
    for (kind, table) in TABLES {
        let stages = stages(kind).expect("the kind has stages");
        let cells = cells(table);
        let mut expected = stages.all.to_vec();
        expected.dedup();
        let rows: Vec<_> = cells.iter().step_by(expected.len()).map(|(from, _, _)| *from).collect();
        assert_eq!(rows, expected, "{kind:?}: the table has a row per stage");
        for (from, to, allowed) in cells {
            assert_eq!(stages.allow(from, to), allowed, "{kind:?}: {from} -> {to}");
        }
    }
}

#[test]
fn a_step_in_every_cell_is_applied_or_kept_as_evidence_or_kept_as_a_dispute() {
    for (kind, table) in TABLES {
        for (from, to, allowed) in cells(table) {
            let mut record = Some(record_in(kind, from));
            let asked = placed(1, 1, 1, op(kind, step(to)));
            let effect = apply(&mut record, &asked);
            let record = record.expect("it is there");
            let cell = format!("{kind:?}: {from} -> {to}");

            let taken = record.steps.last().expect("every step is kept");
            assert_eq!((taken.from.as_str(), taken.step.to.as_str()), (from, to), "{cell}");
            assert_eq!(taken.trace.op, asked.id(), "{cell}");
            if allowed {
                assert_eq!((effect, taken.standing), (Effect::Applied, Standing::Applied), "{cell}");
                assert_eq!(record.status, to, "{cell}");
                assert!(record.disputes.is_empty(), "{cell}");
            } else if from == to {
                assert_eq!((effect, taken.standing), (Effect::Merged, Standing::Repeated), "{cell}");
                assert_eq!(record.status, from, "{cell}");
                assert!(record.disputes.is_empty(), "{cell}: nobody sees an error");
            } else {
                let Effect::NotApplied(refusal) = effect else { panic!("{cell}: {effect:?}") };
                assert_eq!((refusal.reason, taken.standing), (Reason::StepNotAllowed, Standing::NotApplied));
                assert_eq!(record.status, from, "{cell}");
                if kind == Kind::FollowUp && from == "done" {
                    assert!(record.disputes.is_empty(), "{cell}: it was done, whoever thought otherwise");
                    continue;
                }
                let matter = Matter::Step { from: from.to_owned(), to: to.to_owned() };
                assert_eq!(record.disputes.last().expect("a coordinator sees it").matter, matter, "{cell}");
            }
        }
    }
}

#[test]
fn a_new_record_has_the_first_stage_and_kinds_without_stages_have_none() {
    let first = [
        (Kind::Request, "open"),
        (Kind::Violation, "found"),
        (Kind::FollowUp, "open"),
        (Kind::Adoption, "offered"),
        (Kind::Notice, "raised"),
    ];
    for &kind in Kind::ALL {
        let expected = first.iter().find(|(of, _)| *of == kind).map(|(_, stage)| *stage);
        let mut record = None;
        apply(&mut record, &placed(0, 1, 0, op(kind, create(kind))));
        assert_eq!(record.expect("it was created").status, expected.unwrap_or_default(), "{kind:?}");
        assert_eq!(stages(kind).is_some(), expected.is_some(), "{kind:?}");
    }
}

#[test]
fn from_every_stage_there_is_a_way_on_unless_the_thing_is_over() {
    let over = [(Kind::Adoption, "ended")];
    for (kind, table) in TABLES {
        for stage in stages(kind).expect("the kind has stages").all {
            let leaves = cells(table).iter().any(|(from, _, allowed)| from == stage && *allowed);
            assert_eq!(leaves, !over.contains(&(kind, stage)), "{kind:?}: {stage}");
        }
    }
}

#[test]
fn every_stage_can_be_reached() {
    for (kind, table) in TABLES {
        let stages = stages(kind).expect("the kind has stages");
        let mut reached = vec![stages.first()];
        let mut at = 0;
        while at < reached.len() {
            let from = reached[at];
            let next = cells(table).into_iter().filter(|(start, _, allowed)| *start == from && *allowed);
            let new: Vec<_> = next.map(|(_, to, _)| to).filter(|to| !reached.contains(to)).collect();
            reached.extend(new);
            at += 1;
        }
        assert_eq!(reached.len(), stages.all.len(), "{kind:?}: {reached:?}");
    }
}
