//! What has to be done because of what happened.

use super::history::{histories, runs};
use super::sample::{DAY_MS, START_MS, area, body, create, device, edit, op, placed, record_id, step};
use proptest::prelude::*;
use rounds_domain::body::FollowUp;
use rounds_domain::follow_up::{self, Around, Mend, RECHECK_DAYS, is_source};
use rounds_domain::{Action, Body, Kind, Op, PlacedOp, Record, RecordId, Role, apply, fold};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};

const DAY_MINUTES: i64 = 24 * 60;
/// The number of the device that creates and mends follow-ups.
const SYSTEM: u128 = 8;

fn record(ops: &[PlacedOp]) -> Record {
    fold(ops).0.expect("somebody created it")
}

/// The ops of a violation by one device: its creation, then steps at these minutes.
fn violation(steps: &[(i64, &str)]) -> Vec<PlacedOp> {
    let creation = placed(0, 1, 0, op(Kind::Violation, create(Kind::Violation)));
    let steps =
        (2..).zip(steps).map(|(seq, (minute, to))| placed(0, seq, *minute, op(Kind::Violation, step(to))));
    [creation].into_iter().chain(steps).collect()
}

/// The zone of these tests.
static UTC: jiff::tz::TimeZone = jiff::tz::TimeZone::UTC;

/// What is around a record at the beginning of these tests, when nothing has expired.
fn around<'a>(follow_ups: &'a [Record], nearby: &'a [Record]) -> Around<'a> {
    Around {
        now_ms: START_MS,
        zone: &UTC,
        system: device(SYSTEM),
        follow_ups,
        notices: &[],
        nearby,
        policies: &[],
    }
}

fn called_for(record: &Record) -> Vec<(RecordId, FollowUp)> {
    let wanted = follow_up::called_for(record, &around(&[], &[]));
    wanted.into_iter().map(|wanted| (wanted.id, wanted.follow_up)).collect()
}

fn due_days(record: &Record) -> Vec<i64> {
    called_for(record).iter().map(|(_, it)| (it.due_at_ms.expect("it is due") - START_MS) / DAY_MS).collect()
}

#[test]
fn a_removed_violation_is_looked_at_again_after_7_30_and_90_days() {
    let ops = violation(&[(DAY_MINUTES, "removed")]);
    let removed_ms = ops[1].at_ms;
    let called_for = called_for(&record(&ops));
    assert_eq!(called_for.len(), 3);
    for ((id, follow_up), days) in called_for.iter().zip([7, 30, 90]) {
        let due_at_ms = removed_ms + days * DAY_MS;
        let expected = FollowUp {
            subject: Some(record_id(60)),
            source: Some(record_id(0)),
            sort: "recheck".to_owned(),
            opens_at_ms: Some(due_at_ms - 2 * DAY_MS),
            due_at_ms: Some(due_at_ms),
            expires_at_ms: Some(due_at_ms + 7 * DAY_MS),
            cause: ops[1].id().to_string(),
            rule: format!("{days} days after removal"),
            ..FollowUp::default()
        };
        assert_eq!(follow_up, &expected);
        assert_eq!(
            *id,
            record_id(0).derived(&format!("recheck/{}/{days}", ops[1].id())),
            "the cause names it"
        );
    }
    assert_eq!(RECHECK_DAYS, [7, 30, 90]);
}

#[test]
fn what_was_only_found_stopped_reported_or_agreed_calls_for_nothing() {
    let ops = violation(&[(1, "stopped"), (2, "reported"), (3, "agreed"), (4, "restored")]);
    for taken in 1..=ops.len() {
        assert_eq!(called_for(&record(&ops[..taken])), []);
    }
}

#[test]
fn a_removal_that_stops_counting_because_of_a_late_op_calls_for_no_rechecks_any_more() {
    let ops = violation(&[(10, "stopped"), (20, "removed")]);
    assert_eq!(called_for(&record(&ops)).len(), 3);

    // It turns out that it had been removed and closed before: the later removal does not count.
    let late = [
        placed(1, 1, 5, op(Kind::Violation, step("removed"))),
        placed(1, 2, 6, op(Kind::Violation, step("closed"))),
    ];
    let all: Vec<_> = ops.iter().chain(&late).cloned().collect();
    let called_for = called_for(&record(&all));
    let by_late: Vec<_> =
        RECHECK_DAYS.map(|days| record_id(0).derived(&format!("recheck/{}/{days}", late[0].id()))).into();
    assert_eq!(called_for.into_iter().map(|(id, _)| id).collect::<Vec<_>>(), by_late);
}

#[test]
fn a_violation_that_is_found_again_is_rechecked_after_its_next_removal_and_no_longer_after_the_first() {
    let again = violation(&[(0, "removed"), (10 * DAY_MINUTES, "found"), (20 * DAY_MINUTES, "removed")]);
    assert_eq!(due_days(&record(&again[..2])), [7, 30, 90]);
    assert_eq!(due_days(&record(&again[..3])), [7], "what was due before it was found again was rightly due");
    assert_eq!(due_days(&record(&again)), [7, 27, 50, 110]);
}

#[test]
fn a_closed_violation_is_still_rechecked() {
    let ops = violation(&[(0, "removed"), (1, "restored"), (2, "closed")]);
    assert_eq!(due_days(&record(&ops)), [7, 30, 90]);
}

#[test]
fn a_deleted_record_calls_for_nothing() {
    let mut ops = violation(&[(0, "removed")]);
    ops.push(placed(0, 3, 5, op(Kind::Violation, Action::Delete { reason: "counted twice".to_owned() })));
    assert_eq!(called_for(&record(&ops)), []);
}

fn visit(outcome: &str) -> Vec<PlacedOp> {
    let Body::Visit(mut visit) = body(Kind::Visit) else { unreachable!("it is a visit") };
    visit.outcome = outcome.to_owned();
    vec![placed(0, 1, 0, op(Kind::Visit, Action::Create(Box::new(Body::Visit(visit)))))]
}

#[test]
fn a_visit_where_nobody_answered_calls_for_a_second_call_by_the_same_worker() {
    let visited = record(&visit("no_answer"));
    let [(id, second_call)] = &called_for(&visited)[..] else { panic!("one second call") };
    assert_eq!(*id, visited.id.derived("second_call"));
    assert_eq!((second_call.sort.as_str(), second_call.worker), ("second_call", visited.created.worker));
    assert_eq!((second_call.source, second_call.subject), (Some(visited.id), visited.subject()));
    assert_eq!(second_call.opens_at_ms, Some(START_MS + 18 * 3_600_000));
    assert_eq!(second_call.due_at_ms, Some(START_MS + 3 * DAY_MS));
    assert_eq!(second_call.expires_at_ms, Some(START_MS + 7 * DAY_MS));
    for outcome in ["met", "refused", "moved"] {
        assert_eq!(called_for(&record(&visit(outcome))), [], "{outcome}");
    }
}

#[test]
fn an_amendment_takes_the_second_call_back_or_calls_for_it() {
    let amended = |from: &str, to: &str| {
        let mut ops = visit(from);
        ops.push(placed(0, 2, 5, op(Kind::Visit, edit(&[("outcome", json!(from), json!(to))]))));
        called_for(&record(&ops)).len()
    };
    assert_eq!(amended("no_answer", "met"), 0);
    assert_eq!(amended("met", "no_answer"), 1);
}

/// The ops of an adoption that is to be confirmed by the end of 2026, and was not: the worker lapsed it.
fn lapsed() -> Vec<PlacedOp> {
    let creation = placed(0, 1, 0, op(Kind::Adoption, create(Kind::Adoption)));
    let mends = looked_at(&record(std::slice::from_ref(&creation)), 60);
    assert_eq!(mends.len(), 1, "{mends:?}");
    let lapse = placed(SYSTEM, 1, 60 * DAY_MINUTES, op(Kind::Adoption, mends[0].action.clone()));
    vec![creation, lapse]
}

/// What the worker mends so many days after the start.
fn looked_at(source: &Record, days: i64) -> Vec<Mend> {
    let now_ms = START_MS + days * DAY_MS;
    follow_up::look(source, &Around { now_ms, ..around(&[], &[]) }).mends
}

#[test]
fn an_adoption_that_was_confirmed_in_time_is_confirmed_again_when_that_comes_late() {
    let mut ops = lapsed();
    assert_eq!(record(&ops).status, "lapsed");
    assert_eq!(looked_at(&record(&ops), 61), []);
    ops.push(placed(1, 1, DAY_MINUTES, op(Kind::Adoption, step("confirmed")))); // arrives late
    let mends = looked_at(&record(&ops), 61);
    assert_eq!(mends.len(), 1, "{mends:?}");
    assert_eq!((mends[0].record, mends[0].kind), (ops[0].op.record, Kind::Adoption));
    assert!(Role::System.may(&mends[0].action, Kind::Adoption), "{mends:?}");
    ops.push(placed(SYSTEM, 2, 61 * DAY_MINUTES, op(Kind::Adoption, mends[0].action.clone())));
    assert_eq!(ops[3].op.check(), Ok(()));
    assert_eq!(record(&ops).status, "confirmed");
    assert_eq!(looked_at(&record(&ops), 62), [], "looking once is enough");
}

#[test]
fn an_adoption_that_somebody_called_lapsed_stays_lapsed() {
    let mut ops = lapsed();
    ops[1] = placed(1, 2, 2 * DAY_MINUTES, op(Kind::Adoption, step("lapsed")));
    ops.push(placed(1, 1, DAY_MINUTES, op(Kind::Adoption, step("confirmed"))));
    assert_eq!(record(&ops).status, "lapsed");
    assert_eq!(looked_at(&record(&ops), 61), []);
}

#[test]
fn only_kinds_that_can_call_for_follow_ups_are_looked_at() {
    for &kind in Kind::ALL {
        let can = matches!(
            kind,
            Kind::Violation
                | Kind::Visit
                | Kind::Plan
                | Kind::Request
                | Kind::Contract
                | Kind::Adoption
                | Kind::Policy
        );
        assert_eq!(is_source(kind), can, "{kind:?}");
    }
}

// ---- mending

/// The follow-ups of one source, as they come about by mending and by what others do to them.
#[derive(Default)]
struct World {
    follow_ups: BTreeMap<RecordId, Option<Record>>,
    ops: u64,
}

impl World {
    fn existing(&self) -> Vec<Record> {
        self.follow_ups.values().flatten().cloned().collect()
    }

    /// Somebody does something to a follow-up.
    fn act(&mut self, by: u128, record: RecordId, action: Action) {
        self.ops += 1;
        let of = self.follow_ups.entry(record).or_default();
        let area = of.as_ref().map_or(area(0), |record| record.area);
        let asked = Op { record, area, ..op(Kind::FollowUp, action) };
        apply(of, &placed(by, self.ops, 1_000_000 + self.ops as i64, asked));
    }

    /// Mends once; every mend must be one that the system may make, that is well-formed, and that has effect.
    fn mend(&mut self, source: &Record) -> Vec<Mend> {
        let mends = mend_of(source, self);
        for mend in &mends {
            let asked =
                Op { record: mend.record, area: mend.area, ..op(Kind::FollowUp, mend.action.clone()) };
            assert_eq!(asked.check(), Ok(()));
            assert!(Role::System.may(&mend.action, Kind::FollowUp));
            self.ops += 1;
            let place = placed(SYSTEM, self.ops, 1_000_000 + self.ops as i64, asked);
            let effect = apply(self.follow_ups.entry(mend.record).or_default(), &place);
            assert_eq!(effect, rounds_domain::Effect::Applied, "{mend:?}");
        }
        assert_eq!(mend_of(source, self), [], "mending once is enough");
        mends
    }

    fn statuses(&self) -> Vec<(RecordId, String)> {
        self.follow_ups
            .iter()
            .map(|(id, it)| (*id, it.as_ref().expect("it is there").status.clone()))
            .collect()
    }

    fn open(&self) -> BTreeSet<RecordId> {
        self.statuses().into_iter().filter(|(_, status)| status == "open").map(|(id, _)| id).collect()
    }
}

fn mend_of(source: &Record, world: &World) -> Vec<Mend> {
    let existing = world.existing();
    let around = around(&existing, &[]);
    follow_up::mend(source, &follow_up::called_for(source, &around), &around)
}

fn ids(source: &Record) -> BTreeSet<RecordId> {
    called_for(source).into_iter().map(|(id, _)| id).collect()
}

#[test]
fn mending_creates_what_is_missing_once_in_the_area_of_the_source() {
    let removed = record(&violation(&[(0, "removed")]));
    let mut world = World::default();
    assert_eq!(world.mend(&removed).len(), 3);
    assert_eq!(world.mend(&removed), []);
    assert_eq!(world.open(), ids(&removed));
    assert!(world.existing().iter().all(|follow_up| follow_up.area == removed.area));
}

#[test]
fn mending_cancels_what_is_open_or_missed_and_no_longer_called_for_and_leaves_what_was_done() {
    let mut ops = violation(&[(0, "removed")]);
    let mut world = World::default();
    world.mend(&record(&ops));
    let [done, missed, _] = *world.open().into_iter().collect::<Vec<_>>() else { panic!("three rechecks") };
    world.act(1, done, step("done"));
    world.act(1, missed, step("missed"));

    ops.push(placed(0, 3, 5, op(Kind::Violation, Action::Delete { reason: "counted twice".to_owned() })));
    assert_eq!(world.mend(&record(&ops)).len(), 2);
    let cancelled = world.statuses().iter().filter(|(_, status)| status == "cancelled").count();
    assert_eq!(cancelled, 2);
    assert!(world.statuses().contains(&(done, "done".to_owned())));
}

#[test]
fn what_mending_cancelled_is_open_again_when_its_cause_is_back() {
    let ops = violation(&[(10, "removed"), (20, "found"), (30, "removed")]);
    let late = [
        placed(1, 1, 5, op(Kind::Violation, step("removed"))),
        placed(1, 2, 6, op(Kind::Violation, step("found"))),
    ];
    let before = record(&ops[..2]);
    let mut world = World::default();
    world.mend(&before);
    assert_eq!(world.open(), ids(&before));

    let between = record(&[&ops[..1], &late[..1], &ops[1..2]].concat());
    world.mend(&between);
    assert_eq!(world.open(), ids(&between), "the earlier removal is the one that counts");
    assert!(world.open().is_disjoint(&ids(&before)));

    let after = record(&[&ops[..1], &late[..], &ops[1..2]].concat());
    world.mend(&after);
    assert_eq!(
        world.open(),
        ids(&before),
        "it was found again in between, so the later one counts after all"
    );
}

#[test]
fn mending_leaves_alone_what_others_did() {
    let removed = record(&violation(&[(0, "removed")]));
    let mut world = World::default();
    world.mend(&removed);
    let [cancelled, deleted, assigned] = *world.open().into_iter().collect::<Vec<_>>() else {
        panic!("three")
    };
    world.act(1, cancelled, step("cancelled"));
    world.act(1, deleted, Action::Delete { reason: "a mistake".to_owned() });
    world.act(1, assigned, edit(&[("group", json!(null), json!(record_id(80)))]));
    assert_eq!(world.mend(&removed), []);

    let by_hand = record_id(90);
    world.act(1, by_hand, create(Kind::FollowUp));
    assert_eq!(world.mend(&removed), [], "a follow-up that a coordinator made is the coordinator's");
}

#[test]
fn mending_follows_an_amended_source_to_another_door_and_a_moved_one_to_another_area() {
    let mut ops = visit("no_answer");
    let mut world = World::default();
    world.mend(&record(&ops));

    ops.push(placed(
        0,
        2,
        5,
        op(Kind::Visit, edit(&[("subject", json!(record_id(60)), json!(record_id(61)))])),
    ));
    ops.push(placed(0, 3, 6, op(Kind::Visit, Action::Move { to: area(1) })));
    assert_eq!(world.mend(&record(&ops)).len(), 2);
    let [second_call] = &world.existing()[..] else { panic!("one second call") };
    assert_eq!(second_call.reference("subject"), Some(record_id(61)));
    assert_eq!(second_call.area, area(1));
}

proptest! {
    #![proptest_config(runs(500))]

    #[test]
    fn the_same_record_calls_for_the_same_follow_ups_each_once(
        ops in prop::sample::select(vec![Kind::Violation, Kind::Visit]).prop_flat_map(histories)
    ) {
        if let (Some(record), _) = fold(&ops) {
            let called_for = called_for(&record);
            prop_assert_eq!(&called_for, &super::follow_up::called_for(&record.clone()));
            prop_assert_eq!(ids(&record).len(), called_for.len());
            for (_, follow_up) in called_for {
                prop_assert_eq!(follow_up.source, Some(record.id));
                let window = (follow_up.opens_at_ms, follow_up.due_at_ms, follow_up.expires_at_ms);
                prop_assert!(window.0 < window.1 && window.1 < window.2);
                let creation = op(Kind::FollowUp, Action::Create(Box::new(Body::FollowUp(follow_up))));
                prop_assert_eq!(creation.check(), Ok(()));
            }
        }
    }

    #[test]
    fn mending_after_every_arrival_ends_where_mending_once_at_the_end_does(
        ops in prop::sample::select(vec![Kind::Violation, Kind::Visit]).prop_flat_map(histories).prop_shuffle()
    ) {
        let mut step_by_step = World::default();
        for arrived in 1..=ops.len() {
            if let (Some(source), _) = fold(&ops[..arrived]) {
                step_by_step.mend(&source);
            }
        }
        let Some(source) = fold(&ops).0 else { return Ok(()) };
        let mut at_once = World::default();
        at_once.mend(&source);
        prop_assert_eq!(step_by_step.open(), at_once.open());
        prop_assert_eq!(at_once.open(), ids(&source));
        for id in at_once.open() {
            let (mended, fresh) = (&step_by_step.follow_ups[&id], &at_once.follow_ups[&id]);
            let says = |record: &Option<Record>| record.as_ref().map(|record| record.fields.clone());
            prop_assert_eq!(says(mended), says(fresh));
        }
    }
}
