//! Who is told of what plans call for, when, and of what the law does not allow.

#![allow(clippy::unwrap_used)] // a test that cannot go on has failed

use super::sample::{record_id, step};
use super::world::{HOUR_MS, World, maintenance, shanghai};
use jiff::civil::{Date, date};
use rounds_domain::body::{Adoption, Plan};
use rounds_domain::recurrence::{day_end_ms, day_start_ms};
use rounds_domain::{Action, Body, Change, Kind, RecordId, fold};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// Somebody made a policy; those before are nearer.
fn decided(world: &mut World, policy: &Value) {
    let body = Body::from_fields(Kind::Policy, policy.as_object().unwrap().clone()).unwrap();
    let id = record_id(500 + world.policies.len() as u128);
    let made = world.placed(1, 0, id, Kind::Policy, Action::Create(Box::new(body)));
    world.policies.extend(fold(&[made]).0);
}

/// What was told by 20 January of work of this sort that was done on the 1st and is due again on the 16th.
fn told_of(sort: &str, policies: &[Value]) -> Vec<(String, String, Date)> {
    let plan = Plan { sort: sort.to_owned(), gap_days_max: None, ..maintenance() };
    let mut world = World::of(plan, shanghai());
    for policy in policies {
        decided(&mut world, policy);
    }
    world.done(world.at(date(2026, 1, 1), 9));
    world.live_until(world.at(date(2026, 1, 1), 10), world.at(date(2026, 1, 20), 0));
    world.notices()
}

/// A notice of January.
fn notice(sort: &str, to: &str, day: i8) -> (String, String, Date) {
    (sort.to_owned(), to.to_owned(), date(2026, 1, day))
}

/// What is told of maintenance that is due on the 16th, where no policy has other steps.
fn built_in_for_maintenance() -> [(String, String, Date); 4] {
    [
        notice("reminder", "worker", 15),
        notice("reminder", "worker", 16),
        notice("overdue", "coordinator", 17),
        notice("overdue", "supervisor", 18),
    ]
}

#[test]
fn an_alert_for_a_gap_is_raised_once_the_day_after_and_withdrawn_by_a_late_truth() {
    let mut world = World::of(maintenance(), shanghai());
    world.done(world.at(date(2026, 1, 1), 9));
    let gap =
        |world: &World| world.notices().into_iter().filter(|(sort, _, _)| sort == "gap").collect::<Vec<_>>();
    world.live_until(world.at(date(2026, 1, 1), 10), world.at(date(2026, 1, 16), 23));
    assert_eq!(gap(&world), []);
    world.live_until(world.at(date(2026, 1, 17), 0), world.at(date(2026, 1, 20), 0));
    assert_eq!(gap(&world), [("gap".to_owned(), "supervisor".to_owned(), date(2026, 1, 17))]);
    // It was done on the 15th: the phone was offline.
    world.done(world.at(date(2026, 1, 15), 9));
    world.look(world.at(date(2026, 1, 20), 1));
    assert_eq!(gap(&world), []);
}

#[test]
fn an_alert_for_a_gap_stays_when_the_plan_is_switched_off_or_ends_after_it() {
    let gap = |world: &World| world.notices().into_iter().any(|(sort, _, _)| sort == "gap");
    let overdue = |plan: Plan| {
        let mut world = World::of(plan, shanghai());
        world.done(world.at(date(2026, 1, 1), 9));
        world.live_until(world.at(date(2026, 1, 1), 10), world.at(date(2026, 1, 20), 0));
        assert!(gap(&world));
        world
    };
    let mut world = overdue(maintenance());
    world.edit_plan(world.at(date(2026, 1, 20), 1), "resting", json!(true));
    world.live_until(world.at(date(2026, 1, 20), 8), world.at(date(2026, 2, 20), 0));
    assert!(gap(&world), "it rests");
    let mut world = overdue(Plan { until: "2026-01-20".to_owned(), ..maintenance() });
    world.live_until(world.at(date(2026, 1, 21), 8), world.at(date(2026, 2, 20), 0));
    assert!(gap(&world), "it ended");
    // It was done on the 15th: the phone was offline. What follows is no gap of a plan that is off.
    world.done(world.at(date(2026, 1, 15), 9));
    world.live_until(world.at(date(2026, 2, 20), 1), world.at(date(2026, 3, 20), 0));
    assert!(!gap(&world));
}

#[test]
fn a_gap_between_two_completions_that_only_shows_later_is_an_alert_too_if_it_is_a_day_too_long() {
    for (days, alerts) in [(15, 0), (16, 1)] {
        let mut world = World::of(maintenance(), shanghai());
        world.done(world.at(date(2026, 1, 1), 9));
        world.done(world.at(date(2026, 1, 1 + days), 9));
        world.look(world.at(date(2026, 1, 20), 0));
        let gaps = world.notices().into_iter().filter(|(sort, _, _)| sort == "gap").count();
        assert_eq!(gaps, alerts, "{days} days");
    }
}

#[test]
fn a_plan_that_is_switched_off_calls_for_nothing_more_and_a_mandated_one_says_so_to_the_supervisor() {
    let mut world = World::of(maintenance(), shanghai());
    world.done(world.at(date(2026, 1, 1), 9));
    world.look(world.at(date(2026, 1, 10), 0));
    assert_eq!(world.due_days().len(), 2);
    world.edit_plan(world.at(date(2026, 1, 10), 9), "resting", json!(true));
    world.look(world.at(date(2026, 1, 10), 10));
    assert_eq!(world.due_days(), [date(2026, 1, 1)]);
    assert!(world.notices().contains(&("plan_off".to_owned(), "supervisor".to_owned(), date(2026, 1, 10))));
    world.edit_plan(world.at(date(2026, 1, 10), 11), "resting", Value::Null);
    world.look(world.at(date(2026, 1, 10), 12));
    assert_eq!(world.due_days(), [date(2026, 1, 1), date(2026, 1, 16)], "the same one is open again");
    assert!(world.notices().iter().all(|(sort, _, _)| sort != "plan_off"));
}

#[test]
fn a_plan_of_which_the_law_was_taken_back_says_so() {
    let mut world = World::of(maintenance(), shanghai());
    world.edit_plan(world.at(date(2026, 1, 10), 9), "mandated", Value::Null);
    world.look(world.at(date(2026, 1, 10), 10));
    assert!(world.notices().iter().any(|(sort, to, _)| sort == "plan_off" && to == "supervisor"));
}

/// The alerts that a plan is off: stage, and when they were called for.
fn alerts_of_plans_that_are_off(world: &World) -> Vec<(String, i64)> {
    let all = world.made.values().flatten().filter(|it| it.text("sort") == "plan_off");
    all.map(|it| (it.status.clone(), it.fields["at_ms"].as_i64().unwrap())).collect()
}

#[test]
fn each_time_that_a_plan_is_switched_off_is_told_once_whatever_is_edited_later() {
    for (field, off, on) in [("mandated", Value::Null, json!(true)), ("resting", json!(true), json!(false))] {
        let mut world = World::of(maintenance(), shanghai());
        let off_ms = world.at(date(2026, 1, 10), 9);
        world.edit_plan(off_ms, field, off.clone());
        world.look(world.at(date(2026, 1, 10), 10));
        let told = [("raised".to_owned(), off_ms)];
        assert_eq!(alerts_of_plans_that_are_off(&world), told, "{field}");
        world.edit_plan(world.at(date(2026, 1, 20), 10), "worker", json!(record_id(71)));
        world.look(world.at(date(2026, 1, 20), 11));
        assert_eq!(alerts_of_plans_that_are_off(&world), told, "{field}: another worker");
        world.edit_plan(world.at(date(2026, 1, 20), 23), "worker", json!(record_id(72)));
        world.look(world.at(date(2026, 1, 20), 23) + 1);
        assert_eq!(alerts_of_plans_that_are_off(&world), told, "{field}: another worker, at night");
        if field == "resting" {
            world.edit_plan(world.at(date(2026, 1, 21), 9), field, on);
            world.look(world.at(date(2026, 1, 21), 10));
            world.edit_plan(world.at(date(2026, 1, 22), 9), field, off);
            world.look(world.at(date(2026, 1, 22), 10));
            let mut told = alerts_of_plans_that_are_off(&world);
            told.sort();
            let again_ms = world.at(date(2026, 1, 22), 9);
            assert_eq!(told, [("raised".to_owned(), again_ms), ("withdrawn".to_owned(), off_ms)]);
        }
    }
}

#[test]
fn a_plan_that_ended_says_so_in_the_morning_after_its_last_day() {
    let mut world = World::of(Plan { until: "2026-01-31".to_owned(), ..maintenance() }, shanghai());
    world.live_by_timers(world.at(date(2026, 1, 1), 0), world.at(date(2026, 2, 1), 0));
    world.look(world.at(date(2026, 2, 1), 0));
    assert_eq!(alerts_of_plans_that_are_off(&world), [], "in the quiet hours");
    world.live_by_timers(world.at(date(2026, 2, 1), 0), world.at(date(2026, 2, 2), 0));
    let told = [("raised".to_owned(), world.at(date(2026, 2, 1), 7))];
    assert_eq!(alerts_of_plans_that_are_off(&world), told);
    world.edit_plan(world.at(date(2026, 3, 1), 23), "worker", json!(record_id(71)));
    world.live_by_timers(world.at(date(2026, 3, 1), 23), world.at(date(2026, 3, 3), 0));
    assert_eq!(alerts_of_plans_that_are_off(&world), told);
}

#[test]
fn after_a_long_stop_late_ones_are_made_as_the_plan_says_and_nobody_is_flooded() {
    for (catch_up, expected) in [("all", 6), ("latest", 1), ("", 1), ("skip", 0)] {
        let plan = Plan { catch_up: catch_up.to_owned(), gap_days_max: None, ..maintenance() };
        let mut world = World::of(Plan { rule: "FREQ=DAILY;INTERVAL=10".to_owned(), ..plan }, shanghai());
        world.look(world.at(date(2026, 1, 1), 0));
        world.look(world.at(date(2026, 3, 15), 12)); // nothing ran for ten weeks
        let missed = world.follow_ups().into_values().filter(|status| status == "missed").count();
        let made_late = missed - 2; // those of the 1st and the 11th were there before
        assert_eq!(made_late, expected - usize::from(catch_up == "all"), "{catch_up}");
        let told: BTreeSet<_> = world.notices().into_iter().map(|(_, to, _)| to).collect();
        assert!(world.notices().len() <= 2 * told.len(), "{:?}", world.notices());
    }
}

#[test]
fn reminders_come_step_by_step_each_once_and_go_when_the_work_was_done() {
    let mut world = World::of(Plan { gap_days_max: None, ..maintenance() }, shanghai());
    world.done(world.at(date(2026, 1, 1), 9));
    world.live_until(world.at(date(2026, 1, 1), 10), world.at(date(2026, 1, 19), 0));
    assert_eq!(world.notices(), built_in_for_maintenance());
    world.done(world.at(date(2026, 1, 18), 20));
    world.look(world.at(date(2026, 1, 19), 1));
    assert_eq!(world.notices(), [], "what nobody has seen is taken back");
}

#[test]
fn each_sort_is_told_of_step_by_step() {
    assert_eq!(told_of("statutory_inspection", &[]), built_in_for_maintenance());
    let late = [notice("overdue", "worker", 17), notice("overdue", "coordinator", 19)];
    assert_eq!(told_of("watering", &[]), late);
    assert_eq!(told_of("recheck", &[]), [&[notice("reminder", "worker", 16)][..], &late].concat());
}

#[test]
fn a_policy_without_steps_leaves_the_built_in_ones() {
    for sort in ["", "maintenance"] {
        let mailbox = json!({ "sort": sort, "supervisor_email": "head@city.example" });
        assert_eq!(told_of("maintenance", &[mailbox]), built_in_for_maintenance(), "{sort}");
    }
}

#[test]
fn a_policy_for_a_sort_counts_before_a_nearer_one_for_all() {
    let step = |to: &str| json!([{ "offset_minutes": 60, "to": to }]);
    let for_all = json!({ "steps": step("coordinator") });
    let for_it = json!({ "sort": "maintenance", "steps": step("supervisor") });
    assert_eq!(told_of("maintenance", &[for_all, for_it]), [notice("overdue", "supervisor", 17)]);
}

#[test]
fn a_group_is_told_of_what_it_has_to_do_or_adopted_and_a_household_of_nothing() {
    let told = |plan: Plan, adoption: Option<Adoption>| {
        let mut world = World::of(plan, shanghai());
        if let Some(adoption) = adoption {
            let (at_ms, id) = (world.at(date(2026, 1, 1), 0), record_id(3));
            let adoption = Adoption { asset: Some(record_id(60)), ..adoption };
            world.act(at_ms, id, Kind::Adoption, Action::Create(Box::new(Body::Adoption(adoption))));
            world.act(at_ms + 1, id, Kind::Adoption, step("confirmed"));
        }
        world.done(world.at(date(2026, 1, 1), 9));
        world.live_until(world.at(date(2026, 1, 1), 10), world.at(date(2026, 1, 15), 9));
        let notices = world.made.values().flatten().filter(|it| it.kind == Kind::Notice);
        notices.map(|it| it.reference("group")).collect::<Vec<_>>()
    };
    let plan = Plan { gap_days_max: None, ..maintenance() };
    let given = Plan { worker: None, group: Some(record_id(80)), ..plan.clone() };
    assert_eq!(told(given, None), [Some(record_id(80))]);
    let group = Adoption { group: Some(record_id(81)), ..Adoption::default() };
    assert_eq!(told(plan.clone(), Some(group)), [Some(record_id(81))]);
    let household = Adoption { place: Some(record_id(61)), ..Adoption::default() };
    assert!(told(plan, Some(household)).is_empty());
}

#[test]
fn who_has_it_now_is_told_and_who_had_it_no_longer_is() {
    let mut world = World::of(Plan { gap_days_max: None, ..maintenance() }, shanghai());
    world.done(world.at(date(2026, 1, 1), 9));
    world.live_until(world.at(date(2026, 1, 1), 10), world.at(date(2026, 1, 15), 9));
    let told = |world: &World| {
        let standing = world.made.values().flatten().filter(|it| it.kind == Kind::Notice);
        standing.filter(|it| it.status == "raised").map(|it| it.reference("worker")).collect::<Vec<_>>()
    };
    assert_eq!(told(&world), [Some(record_id(70))]);
    for (hour, worker) in [(10, 71), (11, 70), (12, 71)] {
        world.edit_plan(world.at(date(2026, 1, 15), hour), "worker", json!(record_id(worker)));
        world.look(world.at(date(2026, 1, 15), hour));
        assert_eq!(told(&world), [Some(record_id(worker))]);
    }
    // What somebody deleted is not said again, to nobody.
    for notice in
        world.made.values().flatten().filter(|it| it.kind == Kind::Notice).map(|it| it.id).collect::<Vec<_>>()
    {
        let reason = "enough".to_owned();
        world.act_on(world.at(date(2026, 1, 15), 13), notice, Kind::Notice, Action::Delete { reason });
    }
    assert_eq!(world.look(world.at(date(2026, 1, 15), 14)), []);
}

#[test]
fn of_what_was_put_off_people_are_told_when_it_is_due_now() {
    let mut world = World::of(Plan { gap_days_max: None, ..maintenance() }, shanghai());
    world.live_until(world.at(date(2026, 1, 1), 0), world.at(date(2026, 1, 1), 9));
    let told = |world: &World, id: RecordId| {
        let of_it =
            world.made.values().flatten().filter(|it| it.subject() == Some(id) && it.status == "raised");
        of_it.map(|it| it.fields["due_at_ms"].as_i64().unwrap()).collect::<BTreeSet<_>>()
    };
    let put_off = world.follow_up_on(date(2026, 1, 1));
    let (due_ms, later_ms) =
        (day_end_ms(date(2026, 1, 1), &world.zone), day_end_ms(date(2026, 1, 5), &world.zone));
    assert_eq!(told(&world, put_off.id), [due_ms].into());
    let changes = vec![Change { field: "due_at_ms".to_owned(), base: json!(due_ms), value: json!(later_ms) }];
    let edit = Action::Edit { changes, reason: "nobody was at home".to_owned() };
    world.act_on(world.at(date(2026, 1, 1), 10), put_off.id, Kind::FollowUp, edit);
    world.look(world.at(date(2026, 1, 1), 11));
    assert_eq!(told(&world, put_off.id), [].into());
    world.live_until(world.at(date(2026, 1, 1), 12), world.at(date(2026, 1, 4), 9));
    assert_eq!(told(&world, put_off.id), [later_ms].into());
}

#[test]
fn a_policy_sets_the_steps_and_nobody_is_told_in_the_quiet_hours() {
    let mut world = World::of(Plan { gap_days_max: None, ..maintenance() }, shanghai());
    let policy = json!({
        "sort": "maintenance", "quiet_from": "20:00", "quiet_until": "09:30",
        "steps": [{ "offset_minutes": 60, "to": "supervisor" }],
    });
    decided(&mut world, &policy);
    world.live_until(world.at(date(2026, 1, 1), 0), world.at(date(2026, 1, 2), 9));
    assert_eq!(world.notices(), []);
    world.look(day_start_ms(date(2026, 1, 2), &world.zone) + 9 * HOUR_MS + 30 * 60_000);
    assert_eq!(world.notices(), [("overdue".to_owned(), "supervisor".to_owned(), date(2026, 1, 2))]);
}

#[test]
fn quiet_hours_that_say_no_end_last_until_seven() {
    let mut world = World::of(Plan { gap_days_max: None, ..maintenance() }, shanghai());
    let policy = json!({ "quiet_from": "20:00", "steps": [{ "offset_minutes": 60, "to": "supervisor" }] });
    decided(&mut world, &policy);
    world.live_until(world.at(date(2026, 1, 1), 0), world.at(date(2026, 1, 2), 7) - 1);
    assert_eq!(world.notices(), [], "one o'clock at night");
    world.look(world.at(date(2026, 1, 2), 7));
    assert_eq!(world.notices().len(), 1);
}

#[test]
fn what_falls_into_quiet_hours_is_told_at_their_end_and_the_rest_at_once() {
    let at = |day: i8, hour: i64| day_start_ms(date(2026, 1, day), &shanghai()) + hour * HOUR_MS;
    // The quiet hours, a step in minutes after the end of 1 January, when it is due, and when that step is told.
    let cases = [
        ("", "", -120, at(2, 7)),
        ("", "", 60, at(2, 7)),
        ("00:00", "06:00", 60, at(2, 6)),
        ("00:00", "06:00", -120, at(1, 22) - 1),
        ("00:00", "00:00", 60, at(2, 1) - 1),
    ];
    for (from, until, offset_minutes, told_ms) in cases {
        let mut world = World::of(Plan { gap_days_max: None, ..maintenance() }, shanghai());
        let steps = json!([{ "offset_minutes": offset_minutes, "to": "supervisor" }]);
        decided(&mut world, &json!({ "quiet_from": from, "quiet_until": until, "steps": steps }));
        world.live_until(at(1, 0), told_ms - 1);
        assert_eq!(world.notices(), [], "{from} to {until}, {offset_minutes}");
        world.look(told_ms);
        assert_eq!(world.notices().len(), 1, "{from} to {until}, {offset_minutes}");
    }
}

#[test]
fn one_that_somebody_called_missed_too_early_is_told_of_in_time() {
    let mut world = World::of(maintenance(), shanghai());
    world.look(world.at(date(2026, 1, 2), 0));
    let early = world.follow_up_on(date(2026, 1, 16)).id;
    let at_ms = world.at(date(2026, 1, 3), 9);
    let missed = rounds_domain::op::Step { to: "missed".to_owned(), ..Default::default() };
    world.act_on(at_ms, early, Kind::FollowUp, Action::Step(missed));
    world.live_by_timers(at_ms + 1, world.at(date(2026, 1, 20), 0));
    let told = world.made.values().flatten().filter(|it| it.kind == Kind::Notice && it.status == "raised");
    assert!(told.into_iter().any(|it| it.subject() == Some(early)));
    assert_eq!(world.look_once(world.at(date(2026, 1, 20), 0)), [], "nobody was told too late");
}

#[test]
fn an_alert_for_a_gap_waits_for_the_end_of_the_quiet_hours() {
    let mut world = World::of(maintenance(), shanghai());
    world.done(world.at(date(2026, 1, 1), 9));
    world.live_until(world.at(date(2026, 1, 1), 10), world.at(date(2026, 1, 16), 23));
    let gap =
        |world: &World| world.notices().into_iter().filter(|(sort, _, _)| sort == "gap").collect::<Vec<_>>();
    world.look(world.at(date(2026, 1, 17), 0) + 5 * 60_000);
    assert_eq!(gap(&world), []);
    assert_eq!(world.next_ms, Some(world.at(date(2026, 1, 17), 7)));
    world.look(world.at(date(2026, 1, 17), 7));
    assert_eq!(gap(&world), [("gap".to_owned(), "supervisor".to_owned(), date(2026, 1, 17))]);
}

#[test]
fn a_gap_that_passed_before_a_plan_ended_is_told_of_though_nobody_looked_before() {
    for (done_on, alerts) in [(1, 1), (10, 0)] {
        let mut world = World::of(Plan { until: "2026-01-20".to_owned(), ..maintenance() }, shanghai());
        world.done(world.at(date(2026, 1, done_on), 9));
        world.look(world.at(date(2026, 1, 28), 12));
        let gaps = world.notices().into_iter().filter(|(sort, _, _)| sort == "gap").count();
        assert_eq!(gaps, alerts, "done on {done_on} January: the law asks for it again in 15 days");
    }
}
