//! A record is the fold of its ops: it depends on which ops there are, and on nothing else.

use super::history::{Arrivals, arrivals, histories, kinds, runs};
use super::sample::{DAY_MS, START_MS, area, body, create, edit, op, placed, record_id, step, step_to};
use proptest::prelude::*;
use rounds_domain::body::Place;
use rounds_domain::limit::{RECORD_ENTRIES_BYTES_MAX, RECORD_ENTRIES_MAX, TEXT_CHARS_MAX};
use rounds_domain::op::{Change, Step};
use rounds_domain::record::{Matter, Standing};
use rounds_domain::verdict::Reason;
use rounds_domain::{
    Action, Body, DeviceId, Effect, History, Kind, Op, PlacedOp, Record, apply, fold, weight,
};
use serde_json::{Value, json};
use uuid::Uuid;

/// A plan that turns out to have been mandated was not deleted: a test of its own.
fn kinds_but_plans() -> impl Strategy<Value = Kind> {
    kinds().prop_filter("no plan", |kind| *kind != Kind::Plan)
}

fn stored<T: serde::Serialize>(record: &T) -> String {
    serde_json::to_string(record).expect("a record is JSON")
}

fn stored_and_read_back(record: &Option<Record>) -> Option<Record> {
    serde_json::from_str(&stored(record)).expect("and can be read back")
}

proptest! {
    #![proptest_config(runs(2_000))]

    #[test]
    fn any_order_and_repetition_folds_to_the_same_record((ops, arrived) in arrivals()) {
        let (record, effects) = fold(&ops);
        let (same, same_effects) = fold(&arrived);
        prop_assert_eq!(&same, &record);
        prop_assert_eq!(same_effects, effects);
    }

    #[test]
    fn taking_ops_in_as_they_arrive_gives_the_same_record((ops, arrived) in arrivals()) {
        let mut arrivals = Arrivals::default();
        arrived.iter().for_each(|placed| arrivals.take(placed));
        prop_assert_eq!(arrivals.record, fold(&ops).0);
    }

    #[test]
    fn an_op_that_comes_late_does_what_it_does_at_its_place((_, arrived) in arrivals()) {
        let mut history = History::default();
        let mut known: Vec<PlacedOp> = Vec::new();
        for placed in arrived {
            let (before, key) = (fold(&known).0, placed.key);
            let is_create = matches!(placed.op.action, Action::Create(_));
            prop_assert_eq!(history.ends_before(key), known.iter().all(|other| other.key < key));
            known.push(placed.clone());
            let (record, effects) = fold(&known);
            if known.len().is_multiple_of(3) {
                history.add(placed);
            } else {
                let own = effects.into_iter().find(|(other, _)| other.key == key);
                prop_assert_eq!(Some(history.take(placed)), own.map(|(_, effect)| effect));
            }
            prop_assert_eq!(history.record(), record.clone());
            if let (Some(before), Some(record)) = (before, record) && history.stays() && !is_create {
                prop_assert_eq!((before.area, before.former_areas), (record.area, record.former_areas));
                prop_assert!(before.created == record.created);
            }
        }
    }

    #[test]
    fn a_record_that_was_stored_halfway_goes_on_the_same(
        (mut ops, at) in kinds().prop_flat_map(histories).prop_flat_map(|ops| (Just(ops.clone()), 0..=ops.len()))
    ) {
        ops.sort_by_key(|placed| placed.key);
        if let Some(creation) = ops.iter().position(|placed| matches!(placed.op.action, Action::Create(_))) {
            ops[..=creation].rotate_right(1);
        }
        let (record, effects) = fold(&ops);
        let mut halfway = None;
        let mut seen: Vec<Effect> = ops[..at].iter().map(|placed| apply(&mut halfway, placed)).collect();
        let mut resumed = stored_and_read_back(&halfway);
        prop_assert_eq!(&resumed, &halfway);
        seen.extend(ops[at..].iter().map(|placed| apply(&mut resumed, placed)));
        prop_assert_eq!(resumed, record);
        prop_assert_eq!(seen, effects.into_iter().map(|(_, effect)| effect).collect::<Vec<_>>());
    }

    #[test]
    fn a_coordinate_is_the_same_after_it_was_stored(latitude in -90.0..=90.0, longitude in -180.0..=180.0) {
        let Body::Place(mut place) = body(Kind::Place) else { unreachable!("it is a place") };
        (place.latitude, place.longitude) = (Some(latitude), Some(longitude));
        let action = Action::Create(Box::new(Body::Place(place)));
        let (record, _) = fold(&[placed(0, 1, 0, op(Kind::Place, action))]);
        prop_assert_eq!(stored_and_read_back(&record), record);
    }

    #[test]
    fn what_was_deleted_stays_deleted_whatever_arrives_late((ops, late) in kinds_but_plans().prop_flat_map(|kind| {
        (histories(kind), histories(kind))
    })) {
        let (before, _) = fold(&ops);
        let late = late.into_iter().map(|mut placed| {
            let of_a_phone_that_was_away = placed.key.device.0.as_u128() + 9;
            placed.key.device = DeviceId(Uuid::from_u128(of_a_phone_that_was_away));
            placed
        });
        let (after, _) = fold(&ops.iter().cloned().chain(late).collect::<Vec<_>>());
        if before.is_some_and(|record| record.deleted.is_some()) {
            let after = after.expect("it is still known");
            prop_assert!(after.deleted.is_some());
            prop_assert!(after.fields.is_empty() && after.writers.is_empty());
            prop_assert!(after.steps.is_empty() && after.amendments.is_empty() && after.disputes.is_empty());
        }
    }

    #[test]
    fn a_record_can_always_be_read_as_its_kind(ops in kinds().prop_flat_map(histories)) {
        if let (Some(record), _) = fold(&ops) {
            let body = record.body().expect("the fields fit the kind");
            prop_assert_eq!(body.fields(), record.fields, "and empty fields are absent");
        }
    }
}

fn effects(ops: &[PlacedOp]) -> Vec<Effect> {
    fold(ops).1.into_iter().map(|(_, effect)| effect).collect()
}

fn reason(effect: &Effect) -> Option<Reason> {
    match effect {
        Effect::NotApplied(refusal) => Some(refusal.reason),
        _ => None,
    }
}

#[test]
fn creating_the_same_thing_again_is_merged_and_another_thing_under_its_name_is_not_applied() {
    for &kind in Kind::ALL {
        let ops = [
            placed(0, 1, 0, op(kind, create(kind))),
            placed(1, 1, 1, op(kind, create(kind))),
            placed(2, 1, 2, op(kind, Action::Create(Box::new(other_body(kind))))),
        ];
        let effects = effects(&ops);
        assert_eq!(effects[..2], [Effect::Applied, Effect::Merged], "{kind:?}");
        assert_eq!(reason(&effects[2]), Some(Reason::AlreadyExists), "{kind:?}");
    }
}

fn other_body(kind: Kind) -> Body {
    let (first, _) = fold(&[placed(0, 1, 0, op(kind, create(kind)))]);
    let mut fields = first.expect("it was created").fields;
    let field = Body::field_names(kind).iter().find(|field| {
        let others = super::sample::values(kind, field);
        others.iter().any(|value| fields.get(**field).is_some_and(|said| said != value))
    });
    let field = *field.expect("some field may have another value");
    let value = super::sample::values(kind, field).into_iter().find(|value| *value != fields[field]);
    fields.insert(field.to_owned(), value.expect("there is another value"));
    Body::from_fields(kind, fields).expect("it fits")
}

#[test]
fn only_a_step_says_to_whom_a_request_is_referred() {
    let (record, _) = fold(&[placed(0, 1, 0, op(Kind::Request, create(Kind::Request)))]);
    let record = record.expect("it was created");
    assert!(!record.fields.contains_key("referred_to") && !record.fields.contains_key("due_at_ms"));

    let (record, _) = fold(&[
        placed(0, 1, 0, op(Kind::Request, create(Kind::Request))),
        placed(0, 2, 1, op(Kind::Request, step("triaged"))),
        placed(0, 3, 2, op(Kind::Request, step("referred"))),
    ]);
    let record = record.expect("it was created");
    assert_eq!(record.reference("referred_to"), Some(super::sample::record_id(50)));
    assert!(record.fields.contains_key("due_at_ms"));

    let (record, _) = fold(&[
        placed(0, 1, 0, op(Kind::Request, create(Kind::Request))),
        placed(0, 2, 1, op(Kind::Request, step("triaged"))),
        placed(0, 3, 2, op(Kind::Request, step("referred"))),
        placed(0, 4, 3, op(Kind::Request, step("triaged"))),
    ]);
    let record = record.expect("it was created");
    assert_eq!(record.reference("referred_to"), None, "the partner sent it back");
    assert!(!record.fields.contains_key("due_at_ms"));
}

/// A request that was referred to organization 50.
fn referred() -> Vec<PlacedOp> {
    let steps = (2..).zip(["triaged", "referred"]);
    let steps = steps.map(|(seq, to)| placed(0, seq, seq as i64, op(Kind::Request, step(to))));
    [placed(0, 1, 1, op(Kind::Request, create(Kind::Request)))].into_iter().chain(steps).collect()
}

#[test]
fn a_request_that_is_opened_again_is_with_nobody() {
    let mut ops = referred();
    let steps = (4..).zip(["resolved", "verified", "closed", "open"]);
    ops.extend(steps.map(|(seq, to)| placed(0, seq, seq as i64, op(Kind::Request, step(to)))));
    let closed = fold(&ops[..6]).0.expect("it was created");
    assert_eq!(closed.reference("referred_to"), Some(record_id(50)), "it says who did it");
    let record = fold(&ops).0.expect("it was created");
    assert_eq!(record.status, "open");
    assert!(!record.fields.contains_key("referred_to") && !record.fields.contains_key("due_at_ms"));
}

#[test]
fn a_request_that_is_referred_is_not_referred_to_somebody_else_or_for_another_time_in_silence() {
    for otherwise in [
        Step { organization: Some(record_id(51)), ..step_to("referred") },
        Step { due_at_ms: Some(START_MS + 8 * DAY_MS), ..step_to("referred") },
    ] {
        let mut ops = referred();
        ops.push(placed(1, 1, 4, op(Kind::Request, Action::Step(otherwise))));
        assert_eq!(reason(&effects(&ops)[3]), Some(Reason::StepNotAllowed));
        let record = fold(&ops).0.expect("it was created");
        assert_eq!(record.fields, fold(&referred()).0.expect("it was created").fields);
        let taken = record.steps.last().expect("every step is kept");
        assert_eq!((taken.trace.op, taken.standing), (ops[3].id(), Standing::NotApplied));
        assert_eq!(record.disputes.len(), 1, "a coordinator sees it");
        assert_eq!(record.disputes[0].op, ops[3].id());
        let matter = Matter::Step { from: "referred".to_owned(), to: "referred".to_owned() };
        assert_eq!(record.disputes[0].matter, matter);
    }
}

#[test]
fn to_refer_a_request_again_to_whom_it_is_referred_is_merged() {
    for again in [step_to("referred"), Step { due_at_ms: None, ..step_to("referred") }] {
        let mut ops = referred();
        ops.push(placed(1, 1, 4, op(Kind::Request, Action::Step(again))));
        assert_eq!(effects(&ops)[3], Effect::Merged);
        let record = fold(&ops).0.expect("it was created");
        assert_eq!(record.steps.last().expect("every step is kept").standing, Standing::Repeated);
        assert!(record.disputes.is_empty(), "nobody sees an error");
        assert_eq!(record.fields, fold(&referred()).0.expect("it was created").fields);
    }
}

#[test]
fn a_late_completion_of_what_was_called_missed_or_cancelled_meanwhile_is_no_dispute() {
    for overtaken in ["missed", "cancelled"] {
        let ops = [
            placed(0, 1, 0, op(Kind::FollowUp, create(Kind::FollowUp))),
            placed(8, 1, 4 * 24 * 60, op(Kind::FollowUp, step(overtaken))),
            placed(1, 1, 2 * 24 * 60, op(Kind::FollowUp, step("done"))), // arrives on the fifth day
        ];
        let record = fold(&ops).0.expect("it was created");
        assert_eq!(record.status, "done");
        assert_eq!(record.disputes, [], "nobody sees an error");
        let standings: Vec<_> = record.steps.iter().map(|taken| taken.standing).collect();
        assert_eq!(standings, [Standing::Applied, Standing::NotApplied], "{overtaken} is kept");
    }
}

#[test]
fn steps_that_were_applied_are_not_let_go_of_for_those_that_were_repeated() {
    let mut ops = referred();
    ops.extend((4..=RECORD_ENTRIES_MAX as u64 + 60).map(|seq| {
        placed(0, seq, seq as i64, op(Kind::Request, step("in_progress"))) // the first is applied
    }));
    let record = fold(&ops).0.expect("it was created");
    let applied = record.steps.iter().filter(|taken| taken.standing == Standing::Applied);
    let stages: Vec<&str> = applied.map(|taken| taken.step.to.as_str()).collect();
    assert_eq!(stages, ["triaged", "referred", "in_progress"]);
    assert!(record.steps.len() <= RECORD_ENTRIES_MAX);
    let last = record.steps.last().expect("the latest is kept");
    assert_eq!(last.trace.op, ops.last().expect("there are ops").id());
}

#[test]
fn an_op_behind_an_earlier_creation_that_turned_up_sees_what_that_says() {
    let place = |name: &str| {
        let Body::Place(place) = body(Kind::Place) else { unreachable!("it is a place") };
        let place = Body::Place(Place { name: name.to_owned(), ..place });
        op(Kind::Place, Action::Create(Box::new(place)))
    };
    let rename = |base: &str, name: &str| op(Kind::Place, edit(&[("name", json!(base), json!(name))]));
    let mut history = History::default();
    history.add(placed(0, 1, 30, place("old")));
    let nothing = op(Kind::Place, Action::Settle { disputes: Vec::new() });
    assert_eq!(history.take(placed(1, 1, 5, nothing)), Effect::Merged);
    history.add(placed(2, 1, 10, place("new")));
    assert_eq!(history.take(placed(1, 2, 6, rename("new", "newer"))), Effect::Applied);
    assert_eq!(history.take(placed(1, 3, 20, rename("newer", "newest"))), Effect::Applied);
}

#[test]
fn what_is_before_the_creation_in_the_order_takes_effect_behind_it() {
    let ops = [
        placed(1, 1, 5, op(Kind::FollowUp, step("done"))),
        placed(8, 1, 9, op(Kind::FollowUp, create(Kind::FollowUp))), // made again, after a restore
        placed(8, 2, 12, op(Kind::FollowUp, step("missed"))),
    ];
    let record = fold(&ops).0.expect("it was created");
    assert_eq!((record.status.as_str(), record.through), ("done", ops[2].key));
    assert_eq!(fold(&ops[..2]).0.expect("it was created").through, ops[1].key);
    assert_eq!(fold(&ops[..1]).0, None);
}

#[test]
fn ops_of_another_kind_and_after_the_deletion_have_no_effect_and_say_why() {
    let ops = [
        placed(0, 2, 1, op(Kind::Violation, create(Kind::Violation))),
        placed(0, 3, 2, op(Kind::Place, create(Kind::Place))),
        placed(0, 4, 3, op(Kind::Violation, Action::Delete { reason: "a mistake".to_owned() })),
        placed(0, 5, 4, op(Kind::Violation, step("stopped"))),
        placed(0, 6, 5, op(Kind::Violation, create(Kind::Violation))),
    ];
    let reasons: Vec<_> = effects(&ops).iter().map(reason).collect();
    let expected = [None, Some(Reason::WrongKind), None, Some(Reason::Deleted), Some(Reason::Deleted)];
    assert_eq!(reasons, expected);
}

fn plan(mandated: bool) -> Action {
    let Body::Plan(mut plan) = body(Kind::Plan) else { unreachable!("it is a plan") };
    plan.mandated = mandated;
    Action::Create(Box::new(Body::Plan(plan)))
}

fn deletion() -> Action {
    Action::Delete { reason: "a mistake".to_owned() }
}

#[test]
fn a_mandated_plan_is_not_deleted_before_somebody_said_why_it_is_no_longer_mandated() {
    let ops = [
        placed(0, 1, 0, op(Kind::Plan, plan(true))),
        placed(0, 2, 1, op(Kind::Plan, deletion())),
        placed(0, 3, 2, op(Kind::Plan, edit(&[("mandated", json!(true), json!(null))]))),
        placed(0, 4, 3, op(Kind::Plan, deletion())),
    ];
    let record = fold(&ops[..2]).0.expect("it was created");
    assert_eq!(record.deleted, None);
    assert_eq!(record.fields, body(Kind::Plan).fields(), "it says what it said");
    let effects = effects(&ops);
    let Effect::NotApplied(refusal) = &effects[1] else { panic!("{:?}", effects[1]) };
    assert_eq!(refusal.reason, Reason::StepNotAllowed);
    assert!(refusal.detail.contains("first say why it is no longer mandated"), "{refusal}");
    assert_eq!(effects[2..], [Effect::Applied, Effect::Applied]);
    assert!(fold(&ops).0.expect("it is still known").deleted.is_some());
}

#[test]
fn a_plan_that_no_law_requires_is_deleted_like_anything_else() {
    let ops = [placed(0, 1, 0, op(Kind::Plan, plan(false))), placed(0, 2, 1, op(Kind::Plan, deletion()))];
    assert_eq!(effects(&ops)[1], Effect::Applied);
}

/// The one exception to: deleted is final. Who deleted it had not seen that the law requires it.
#[test]
fn a_plan_that_turns_out_to_have_been_mandated_was_not_deleted() {
    let ops = [
        placed(0, 1, 0, op(Kind::Plan, plan(false))),
        placed(0, 2, 9, op(Kind::Plan, deletion())),
        placed(1, 1, 5, op(Kind::Plan, edit(&[("mandated", json!(null), json!(true))]))), // arrives late
    ];
    assert!(fold(&ops[..2]).0.expect("it is still known").deleted.is_some());
    let record = fold(&ops).0.expect("it was created");
    assert_eq!((record.deleted.as_deref(), &record.fields["mandated"]), (None, &json!(true)));
}

#[test]
fn a_record_that_moves_is_in_one_area_and_remembers_each_former_one_once() {
    let to = |number| Action::Move { to: super::sample::area(number) };
    let ops = [
        placed(0, 1, 0, op(Kind::Asset, create(Kind::Asset))),
        placed(0, 2, 1, op(Kind::Asset, to(1))),
        placed(0, 3, 2, op(Kind::Asset, to(2))),
        placed(0, 4, 3, op(Kind::Asset, to(2))),
        placed(0, 5, 4, op(Kind::Asset, to(1))),
    ];
    assert_eq!(effects(&ops)[3], Effect::Merged);
    let record = fold(&ops).0.expect("it was created");
    assert_eq!(record.area, super::sample::area(1));
    assert_eq!(record.former_areas, [super::sample::area(0), super::sample::area(2)]);
}

/// Work that was recorded where it was, before anybody there knew: it is told that the record is deleted, and not that it is
/// none of the author's.
#[test]
fn a_record_that_was_deleted_after_it_moved_remembers_where_it_was() {
    let elsewhere = Op { area: area(1), ..op(Kind::Asset, deletion()) };
    let ops = [
        placed(0, 1, 0, op(Kind::Asset, create(Kind::Asset))),
        placed(0, 2, 1, op(Kind::Asset, Action::Move { to: area(1) })),
        placed(0, 3, 2, elsewhere),
        placed(1, 1, 3, op(Kind::Asset, edit(&[("name", json!("Elevator"), json!("Lift"))]))),
    ];
    assert_eq!(reason(&effects(&ops)[3]), Some(Reason::Deleted));
    assert_eq!(fold(&ops).0.expect("it is still known").former_areas, [area(0)]);
}

/// It moved, and people recorded work on it where it went. Then it turns out that it had been deleted before: they, too, are
/// told so, and not that it is none of theirs.
#[test]
fn a_record_that_turns_out_to_have_been_deleted_before_it_moved_remembers_where_it_went() {
    let to = |number| Action::Move { to: area(number) };
    let there = |number, action| Op { area: area(number), ..op(Kind::Asset, action) };
    let ops = [
        placed(0, 1, 0, op(Kind::Asset, create(Kind::Asset))),
        placed(1, 1, 2, op(Kind::Asset, to(1))),
        placed(1, 2, 3, there(1, to(2))),
        placed(2, 1, 4, there(2, edit(&[("name", json!("Elevator"), json!("Lift"))]))),
        placed(3, 1, 1, op(Kind::Asset, deletion())), // arrives late
    ];
    assert_eq!(fold(&ops[..4]).0.expect("it is there").area, area(2));
    let (record, effects) = fold(&ops);
    let record = record.expect("it is still known");
    assert_eq!((record.area, record.former_areas), (area(0), vec![area(1), area(2)]));
    for (_, effect) in &effects[2..] {
        assert_eq!(reason(effect), Some(Reason::Deleted));
    }
}

#[test]
fn an_op_that_names_an_area_in_which_the_record_never_was_is_as_if_it_had_not_come() {
    let elsewhere =
        Op { area: area(7), ..op(Kind::Place, Action::Delete { reason: "not yours".to_owned() }) };
    let creation = placed(0, 1, 0, op(Kind::Place, create(Kind::Place)));
    let ops = [creation.clone(), placed(1, 1, 1, elsewhere)];
    let (record, effects) = fold(&ops);
    assert_eq!(record, fold(&[creation]).0);
    assert_eq!(reason(&effects[1].1), Some(Reason::NotInScope));
}

#[test]
fn a_record_carries_200_entries_of_each_sort_and_lets_go_of_the_oldest() {
    let mut ops = vec![placed(0, 1, 0, op(Kind::Visit, create(Kind::Visit)))];
    let amend = |n: usize| {
        let (base, value) = (json!(format!("note {}", n - 1)), json!(format!("note {n}")));
        op(Kind::Visit, edit(&[("note", base, value)]))
    };
    ops.extend((1..=RECORD_ENTRIES_MAX).map(|n| placed(0, n as u64 + 1, n as i64, amend(n))));
    let record = fold(&ops).0.expect("it was created");
    assert_eq!(record.amendments.len(), RECORD_ENTRIES_MAX);
    assert_eq!(record.amendments[0].trace.op.seq, 2);

    let n = RECORD_ENTRIES_MAX + 1;
    ops.push(placed(0, n as u64 + 1, n as i64, amend(n)));
    let record = fold(&ops).0.expect("it was created");
    assert_eq!(record.amendments.len(), RECORD_ENTRIES_MAX);
    assert_eq!(record.amendments[0].trace.op.seq, 3);

    let mut ops = vec![placed(0, 1, 0, op(Kind::Violation, create(Kind::Violation)))];
    ops.extend((1..=n as u64).map(|n| placed(0, n + 1, n as i64, op(Kind::Violation, step("restored")))));
    let record = fold(&ops).0.expect("it was created");
    assert_eq!((record.steps.len(), record.disputes.len()), (RECORD_ENTRIES_MAX, RECORD_ENTRIES_MAX));
    assert_eq!((record.steps[0].trace.op.seq, record.disputes[0].op.seq), (3, 3));
}

#[test]
fn a_record_fits_into_one_message_however_large_what_was_done_to_it() {
    let answers = |letter: &str| json!({"notes": letter.repeat(60_000)});
    let swap = |n: u64| {
        let value = answers(if n.is_multiple_of(2) { "a" } else { "b" });
        op(Kind::Inspection, edit(&[("answers", Value::Null, value)]))
    };
    let mut ops = vec![placed(0, 1, 0, op(Kind::Inspection, create(Kind::Inspection)))];
    ops.extend((2..=150).map(|n| placed(0, n, n as i64, swap(n))));
    let record = fold(&ops).0.expect("it was created");
    let last = ops.last().expect("there are ops").id();
    assert_eq!(record.disputes.last().map(|it| it.op), Some(last), "the newest is kept");
    assert_eq!(record.amendments.last().map(|it| it.trace.op), Some(last));
    assert!(record.disputes.len() > 5 && record.amendments.len() > 10, "as many as there is room for");
    assert!(stored(&record).len() < 3 * RECORD_ENTRIES_BYTES_MAX);
    weighs_what_it_takes(&record);
    weighs_what_it_takes(&fold(&ops[..2]).0.expect("it was created")); // nearly all in a field

    let refused = |n: u64| {
        let reason = "x".repeat(TEXT_CHARS_MAX);
        placed(
            0,
            n,
            n as i64,
            op(
                Kind::Violation,
                Action::Step(Step {
                    to: "restored".to_owned(),
                    outcome: reason.clone(),
                    reason,
                    ..Step::default()
                }),
            ),
        )
    };
    let mut ops = vec![
        placed(0, 1, 0, op(Kind::Violation, create(Kind::Violation))),
        placed(0, 2, 1, op(Kind::Violation, step("stopped"))),
    ];
    ops.extend((3..=300).map(refused));
    let record = fold(&ops).0.expect("it was created");
    assert_eq!(record.steps[0].step.to, "stopped", "what is counted goes last");
    assert!(stored(&record).len() < 2 * RECORD_ENTRIES_BYTES_MAX);
    weighs_what_it_takes(&record);
}

fn weighs_what_it_takes(record: &Record) {
    let (weight, stored) = (weight(record), stored(record).len());
    assert!((stored * 9 / 10..stored * 11 / 10).contains(&weight), "{weight} for {stored} bytes");
}

#[test]
fn through_is_the_last_op_even_if_that_changed_nothing_and_changed_is_the_last_that_did() {
    let ops = [
        placed(0, 1, 0, op(Kind::Violation, create(Kind::Violation))),
        placed(0, 2, 1, op(Kind::Violation, step("stopped"))),
        placed(0, 3, 2, op(Kind::Violation, step("restored"))),
        placed(0, 4, 3, op(Kind::Violation, create(Kind::Violation))),
    ];
    let record = fold(&ops).0.expect("it was created");
    assert_eq!(record.through, ops[3].key);
    assert_eq!(record.changed.op, ops[1].id());
    assert_eq!(record.changed.at_ms, ops[1].at_ms);
    assert_eq!(record.created.op, ops[0].id());
}

#[test]
fn an_edit_that_names_a_field_twice_keeps_what_the_fact_said_at_first() {
    let changes = ["first", "second"].map(|value| Change {
        field: "note".to_owned(),
        base: json!("the tap drips"),
        value: json!(value),
    });
    let ops = [
        placed(0, 1, 0, op(Kind::Visit, create(Kind::Visit))),
        placed(0, 2, 1, op(Kind::Visit, Action::Edit { changes: changes.into(), reason: "no".to_owned() })),
    ];
    let record = fold(&ops).0.expect("it was created");
    assert_eq!(record.amendments[0].before["note"], json!("the tap drips"));
}
