//! What becomes of the work of two people on one record: nothing is overwritten in silence.

use super::sample::{body, create, device, edit, op, placed, record_id, step, step_to, values};
use rounds_domain::kind::Nature;
use rounds_domain::op::Step;
use rounds_domain::record::{Dispute, Matter, Standing};
use rounds_domain::{Action, Body, Effect, Kind, OpId, PlacedOp, Record, fold};
use serde_json::{Value, json};

/// Kinds that can be edited.
fn editable() -> impl Iterator<Item = Kind> {
    Kind::ALL.iter().copied().filter(|kind| kind.nature() != Nature::Fixed)
}

fn record(ops: &[PlacedOp]) -> Record {
    fold(ops).0.expect("somebody created it")
}

/// Fields of a kind that an edit may change, each with what the sample says and two other values.
fn fields(kind: Kind) -> Vec<(&'static str, Value, Value, Value)> {
    let said = record(&[placed(0, 1, 0, op(kind, create(kind)))]).fields;
    Body::field_names(kind)
        .iter()
        .filter_map(|&field| {
            let base = said.get(field)?.clone();
            let changed =
                |value: &Value| op(kind, edit(&[(field, base.clone(), value.clone())])).check().is_ok();
            let mut others = values(kind, field).into_iter().filter(|value| *value != base && changed(value));
            Some((field, base.clone(), others.next()?, others.next()?))
        })
        .collect()
}

#[test]
fn edits_of_different_fields_by_two_people_both_survive() {
    for kind in editable() {
        let fields = fields(kind);
        for (at, (one, one_base, one_value, _)) in fields.iter().enumerate() {
            for (other, other_base, other_value, _) in &fields[at + 1..] {
                let ops = [
                    placed(0, 1, 0, op(kind, create(kind))),
                    placed(1, 1, 1, op(kind, edit(&[(one, one_base.clone(), one_value.clone())]))),
                    placed(2, 1, 2, op(kind, edit(&[(other, other_base.clone(), other_value.clone())]))),
                ];
                let record = record(&ops);
                let field = |name: &str| record.fields.get(name).cloned().unwrap_or(Value::Null);
                assert_eq!((field(one), field(other)), (one_value.clone(), other_value.clone()), "{kind:?}");
                assert!(record.disputes.is_empty(), "{kind:?}: {one} and {other} do not touch each other");
            }
        }
    }
}

#[test]
fn edits_of_one_field_by_two_people_are_a_conflict_that_keeps_both_values_in_any_order_of_arrival() {
    for kind in editable() {
        for (field, base, one, other) in fields(kind) {
            let ops = [
                placed(0, 1, 0, op(kind, create(kind))),
                placed(1, 1, 1, op(kind, edit(&[(field, base.clone(), one.clone())]))),
                placed(2, 1, 2, op(kind, edit(&[(field, base.clone(), other.clone())]))),
            ];
            let mut reversed = ops.clone();
            reversed.reverse();
            for arrived in [&ops, &reversed] {
                let (record, effects) = fold(arrived);
                let record = record.expect("it was created");
                assert_eq!(effects[2].1, Effect::Conflict, "{kind:?}.{field}");
                assert_eq!(record.fields.get(field).cloned().unwrap_or(Value::Null), other);
                let matter = Matter::Field {
                    field: field.to_owned(),
                    kept: other.clone(),
                    other: one.clone(),
                    other_op: ops[1].id(),
                };
                assert_eq!(record.disputes, [Dispute { op: ops[2].id(), matter }], "{kind:?}.{field}");
            }
        }
    }
}

#[test]
fn two_people_who_say_the_same_agree() {
    for kind in editable() {
        for (field, base, value, _) in fields(kind) {
            let ops = [
                placed(0, 1, 0, op(kind, create(kind))),
                placed(1, 1, 1, op(kind, edit(&[(field, base.clone(), value.clone())]))),
                placed(2, 1, 2, op(kind, edit(&[(field, base.clone(), value.clone())]))),
            ];
            let (record, effects) = fold(&ops);
            assert_eq!(effects[2].1, Effect::Merged, "{kind:?}.{field}");
            assert!(record.expect("it was created").disputes.is_empty(), "{kind:?}.{field}");
        }
    }
}

#[test]
fn someone_who_saw_the_others_value_may_change_it_again() {
    for kind in editable() {
        for (field, base, one, other) in fields(kind) {
            let ops = [
                placed(0, 1, 0, op(kind, create(kind))),
                placed(1, 1, 1, op(kind, edit(&[(field, base, one.clone())]))),
                placed(2, 1, 2, op(kind, edit(&[(field, one, other.clone())]))),
            ];
            let (record, effects) = fold(&ops);
            assert_eq!(effects[2].1, Effect::Applied, "{kind:?}.{field}");
            let record = record.expect("it was created");
            assert_eq!(record.fields.get(field).cloned().unwrap_or(Value::Null), other);
            assert!(record.disputes.is_empty(), "{kind:?}.{field}");
        }
    }
}

#[test]
fn a_clash_with_what_the_creation_said_names_the_creation() {
    let ops = [
        placed(0, 1, 0, op(Kind::Place, create(Kind::Place))),
        placed(1, 1, 1, op(Kind::Place, edit(&[("name", json!("never its name"), json!("4-2-302"))]))),
    ];
    let [Dispute { matter: Matter::Field { other, other_op, .. }, .. }] = &record(&ops).disputes[..] else {
        panic!("one clash");
    };
    assert_eq!((other, *other_op), (&json!("4-2-301"), ops[0].id()));
}

#[test]
fn a_fact_keeps_what_it_said_before_and_who_amended_it_and_why() {
    for kind in editable().filter(|kind| kind.nature() == Nature::Fact) {
        for (field, base, one, other) in fields(kind) {
            let ops = [
                placed(0, 1, 0, op(kind, create(kind))),
                placed(1, 1, 1, op(kind, edit(&[(field, base.clone(), one.clone())]))),
                placed(2, 1, 2, op(kind, edit(&[(field, base.clone(), other.clone())]))),
            ];
            let amendments = record(&ops).amendments;
            assert_eq!(amendments.len(), 2, "{kind:?}.{field}");
            for (amendment, (placed, before)) in amendments.iter().zip([(&ops[1], base), (&ops[2], one)]) {
                assert_eq!(amendment.before.get(field), Some(&before), "{kind:?}.{field}");
                assert_eq!(amendment.reason, "seen otherwise");
                assert_eq!(amendment.trace.op, placed.id());
                assert_eq!((amendment.trace.at_ms, amendment.trace.worker), (placed.at_ms, placed.worker));
            }
        }
    }
}

#[test]
fn an_amendment_remembers_that_a_field_was_empty() {
    let Body::Visit(mut visit) = body(Kind::Visit) else { unreachable!("it is a visit") };
    visit.note = String::new();
    let ops = [
        placed(0, 1, 0, op(Kind::Visit, Action::Create(Box::new(Body::Visit(visit))))),
        placed(0, 2, 1, op(Kind::Visit, edit(&[("note", Value::Null, json!("the tap drips"))]))),
        placed(0, 3, 2, op(Kind::Visit, edit(&[("note", json!("the tap drips"), Value::Null)]))),
    ];
    let record = record(&ops);
    assert_eq!(record.amendments[0].before["note"], Value::Null);
    assert!(!record.fields.contains_key("note"), "an emptied field is absent");
}

#[test]
fn what_is_no_fact_carries_no_amendments() {
    let ops = [
        placed(0, 1, 0, op(Kind::Place, create(Kind::Place))),
        placed(0, 2, 1, op(Kind::Place, edit(&[("name", json!("4-2-301"), json!("4-2-302"))]))),
    ];
    assert!(record(&ops).amendments.is_empty());
}

fn settle(ops: &[OpId]) -> Action {
    Action::Settle { disputes: ops.to_vec() }
}

#[test]
fn a_settled_dispute_stays_settled_when_a_late_op_folds_the_record_anew() {
    let name = |base: &str, value: &str| op(Kind::Place, edit(&[("name", json!(base), json!(value))]));
    let clash = OpId { device: device(2), seq: 1 };
    let ops = [
        placed(0, 1, 0, op(Kind::Place, create(Kind::Place))),
        placed(1, 1, 10, name("4-2-301", "one")),
        placed(2, 1, 20, name("4-2-301", "two")),
        placed(3, 1, 30, op(Kind::Place, settle(&[clash]))),
    ];
    assert!(record(&ops[..3]).disputes.iter().any(|dispute| dispute.op == clash));
    assert!(record(&ops).disputes.is_empty());

    // Late ops: before all, between the two, between the clash and its settlement, after it.
    for minute in [5, 15, 25, 35] {
        let late =
            placed(4, 1, minute, op(Kind::Place, edit(&[("address", json!("4 Long Lane"), json!("?"))])));
        let with_late: Vec<_> = ops.iter().cloned().chain([late]).collect();
        assert!(record(&with_late).disputes.is_empty(), "a late op at {minute}");
        let late = placed(4, 1, minute, name("4-2-301", "three"));
        let with_late: Vec<_> = ops.iter().cloned().chain([late]).collect();
        let open = record(&with_late).disputes;
        assert!(open.iter().all(|dispute| dispute.op != clash), "a late clash at {minute} is one of its own");
    }
}

#[test]
fn settling_twice_or_what_nobody_raised_is_merged_and_settles_nothing_else() {
    let ops = [
        placed(0, 1, 0, op(Kind::Violation, create(Kind::Violation))),
        placed(0, 2, 1, op(Kind::Violation, step("restored"))),
        placed(0, 3, 2, op(Kind::Violation, step("closed"))),
        placed(0, 4, 3, op(Kind::Violation, settle(&[OpId { device: device(0), seq: 2 }]))),
        placed(0, 5, 4, op(Kind::Violation, settle(&[OpId { device: device(0), seq: 2 }]))),
        placed(0, 6, 5, op(Kind::Violation, settle(&[OpId { device: device(7), seq: 3 }]))),
    ];
    let (record, effects) = fold(&ops);
    let effects: Vec<_> = effects[3..].iter().map(|(_, effect)| effect.clone()).collect();
    assert_eq!(effects, [Effect::Applied, Effect::Merged, Effect::Merged]);
    let disputes = record.expect("it was created").disputes;
    assert_eq!(disputes.iter().map(|dispute| dispute.op.seq).collect::<Vec<_>>(), [3]);
}

#[test]
fn of_two_completions_the_first_closes_the_follow_up_and_the_second_is_kept_as_evidence() {
    let done = |evidence| Action::Step(Step { evidence: Some(record_id(evidence)), ..step_to("done") });
    let first = placed(1, 1, 10, op(Kind::FollowUp, done(61)));
    let second = placed(2, 1, 20, op(Kind::FollowUp, done(62)));
    let creation = placed(0, 1, 0, op(Kind::FollowUp, create(Kind::FollowUp)));
    for arrived in [[&creation, &first, &second], [&second, &creation, &first]] {
        let record = record(&arrived.map(Clone::clone));
        assert_eq!(record.status, "done");
        let kept: Vec<_> = record.steps.iter().map(|taken| (taken.standing, taken.step.evidence)).collect();
        let expected = [(Standing::Applied, Some(record_id(61))), (Standing::Repeated, Some(record_id(62)))];
        assert_eq!(kept, expected);
        assert!(record.disputes.is_empty(), "nobody sees an error");
    }
}

#[test]
fn of_two_steps_on_one_request_both_are_kept_and_the_status_is_the_same_in_any_order_of_arrival() {
    let ops = [
        placed(0, 1, 0, op(Kind::Request, create(Kind::Request))),
        placed(0, 2, 1, op(Kind::Request, step("triaged"))),
        placed(1, 1, 10, op(Kind::Request, step("rejected"))),
        placed(2, 1, 20, op(Kind::Request, step("referred"))),
    ];
    let mut reversed = ops.clone();
    reversed.reverse();
    assert_eq!(record(&ops), record(&reversed));
    let record = record(&ops);
    assert_eq!(record.status, "rejected");
    let standings: Vec<_> = record.steps.iter().map(|taken| taken.standing).collect();
    assert_eq!(standings, [Standing::Applied, Standing::Applied, Standing::NotApplied]);
    assert_eq!(record.reference("referred_to"), None, "what did not apply left nothing behind");
}
