//! What was due before a plan was as it is, or long ago, stays as it was.

#![allow(clippy::unwrap_used)] // a test that cannot go on has failed

use super::sample::record_id;
use super::world::{World, maintenance, shanghai, watering};
use jiff::civil::{Date, date};
use rounds_domain::body::Plan;
use rounds_domain::follow_up::{HORIZON_DAYS, LOOK_BACK_DAYS};
use rounds_domain::recurrence::{day_end_ms, days_later, local_day};
use rounds_domain::{Action, Body, Change, Kind};
use serde_json::{Value, json};

#[test]
fn a_changed_plan_changes_what_is_to_come_and_leaves_what_was_due() {
    let mut world = World::of(Plan { gap_days_max: None, ..maintenance() }, shanghai());
    world.live_until(world.at(date(2026, 1, 1), 0), world.at(date(2026, 1, 12), 0));
    let first = world.near[&world.plan].as_ref().unwrap().changed.op;
    world.edit_plan(world.at(date(2026, 1, 12), 1), "rule", json!("FREQ=WEEKLY;BYDAY=MO"));
    let second = world.near[&world.plan].as_ref().unwrap().changed.op;
    world.look(world.at(date(2026, 1, 12), 2));
    let stages = world.follow_ups();
    assert_eq!(stages[&date(2026, 1, 1)], "missed");
    assert_eq!(stages.keys().nth(1), Some(&date(2026, 1, 12)), "a Monday");
    assert!(!stages.contains_key(&date(2026, 1, 16)));
    let (before, after) = (world.follow_up_on(date(2026, 1, 1)), world.follow_up_on(date(2026, 1, 12)));
    assert_eq!(before.text("cause"), first.to_string(), "each names the version that called for it");
    assert_eq!(
        (after.text("cause"), after.text("rule")),
        (second.to_string().as_str(), "FREQ=WEEKLY;BYDAY=MO")
    );
}

#[test]
fn what_was_cancelled_when_its_plan_changed_stays_cancelled() {
    let changed = || {
        let mut world = World::of(Plan { gap_days_max: None, ..maintenance() }, shanghai());
        world.done(world.at(date(2026, 1, 1), 9));
        world.look(world.at(date(2026, 1, 2), 0));
        world.edit_plan(world.at(date(2026, 1, 12), 1), "rule", json!("FREQ=WEEKLY;BYDAY=MO"));
        world.look(world.at(date(2026, 1, 12), 2));
        assert_eq!(world.follow_up_on(date(2026, 1, 16)).status, "cancelled");
        world
    };
    let mut world = changed();
    world.edit_plan(world.at(date(2026, 1, 30), 9), "worker", json!(record_id(71)));
    world.look(world.at(date(2026, 1, 30), 10));
    assert_eq!(world.follow_up_on(date(2026, 1, 16)).status, "cancelled", "another worker");

    let mut world = changed();
    world.look(world.at(date(2026, 4, 27), 0));
    assert_eq!(world.follow_up_on(date(2026, 1, 16)).status, "cancelled", "100 days later");

    let mut world = changed();
    world.done(world.at(date(2026, 1, 17), 9));
    world.edit_plan(world.at(date(2026, 1, 30), 9), "worker", json!(record_id(71)));
    world.look(world.at(date(2026, 1, 30), 10));
    assert_eq!(world.follow_up_on(date(2026, 1, 16)).status, "cancelled", "work in what was its window");

    let mut world = World::of(maintenance(), shanghai());
    world.done(world.at(date(2026, 1, 1), 9));
    world.look(world.at(date(2026, 1, 2), 0));
    world.edit_plan(world.at(date(2026, 1, 10), 9), "resting", json!(true));
    world.look(world.at(date(2026, 1, 10), 10));
    world.edit_plan(world.at(date(2026, 3, 1), 9), "resting", Value::Null);
    world.look(world.at(date(2026, 3, 1), 10));
    assert_eq!(world.follow_up_on(date(2026, 1, 16)).status, "cancelled", "the plan rested then");
}

#[test]
fn another_worker_for_a_plan_opens_nothing_again_that_was_done_early() {
    let mut world = World::of(watering(), shanghai());
    for day in [1, 2] {
        world.done(world.at(date(2026, 6, day), 9));
        world.look(world.at(date(2026, 6, day), 10));
    }
    let before = world.follow_ups();
    assert_eq!(before[&date(2026, 6, 4)], "done", "by the work of the 2nd");
    world.edit_plan(world.at(date(2026, 6, 5), 9), "worker", json!(record_id(71)));
    world.look(world.at(date(2026, 6, 5), 10));
    assert_eq!(world.follow_ups(), before);
    world.look(world.at(date(2026, 6, 7), 1));
    assert_eq!(world.follow_ups()[&date(2026, 6, 4)], "done");
}

#[test]
fn work_that_did_one_that_was_due_before_a_change_of_the_plan_does_no_other_after_it() {
    let mut world = World::of(Plan { gap_days_max: None, ..maintenance() }, shanghai());
    world.live_until(world.at(date(2026, 1, 1), 0), world.at(date(2026, 1, 11), 8));
    world.done(world.at(date(2026, 1, 11), 9)); // does the one of the 1st, and fits that of the 16th
    world.look(world.at(date(2026, 1, 11), 10));
    let before = world.follow_ups();
    assert_eq!((before[&date(2026, 1, 1)].as_str(), before[&date(2026, 1, 16)].as_str()), ("done", "open"));
    world.edit_plan(world.at(date(2026, 1, 12), 9), "worker", json!(record_id(71)));
    world.look(world.at(date(2026, 1, 12), 10));
    assert_eq!(world.follow_ups(), before);
}

#[test]
fn work_that_did_one_does_not_do_the_next_when_they_are_long_ago() {
    let mut world = World::of(Plan { gap_days_max: None, ..maintenance() }, shanghai());
    world.reads_back_days = Some(2 * LOOK_BACK_DAYS);
    world.live_until(world.at(date(2026, 1, 1), 0), world.at(date(2026, 1, 11), 8));
    world.done(world.at(date(2026, 1, 11), 9));
    world.live_until(world.at(date(2026, 1, 11), 10), world.at(date(2026, 1, 28), 0));
    assert_eq!(world.follow_ups()[&date(2026, 1, 16)], "missed");
    for day in [date(2026, 4, 27), date(2026, 7, 25), date(2026, 12, 1)] {
        world.look(world.at(day, 0));
        let stages = world.follow_ups();
        let both = (stages[&date(2026, 1, 1)].as_str(), stages[&date(2026, 1, 16)].as_str());
        assert_eq!(both, ("done", "missed"), "{day}");
    }
}

#[test]
fn work_that_comes_after_a_change_of_the_plan_does_what_was_due_before_once() {
    let plan = Plan { rule: "FREQ=DAILY".to_owned(), opens_days: None, gap_days_max: None, ..maintenance() };
    let mut world = World::of(plan, shanghai());
    world.live_until(world.at(date(2026, 1, 1), 0), world.at(date(2026, 1, 5), 8));
    world.edit_plan(world.at(date(2026, 1, 5), 9), "worker", json!(record_id(71)));
    world.look(world.at(date(2026, 1, 5), 10));
    world.done(world.at(date(2026, 1, 3), 9)); // the phone was offline
    world.look(world.at(date(2026, 1, 5), 11));
    let done: Vec<Date> =
        world.follow_ups().into_iter().filter(|(_, stage)| stage == "done").map(|(day, _)| day).collect();
    assert_eq!(done, [date(2026, 1, 3)]);
}

#[test]
fn a_rule_that_becomes_more_frequent_makes_those_of_the_next_days_alone() {
    let yearly = Plan { rule: "FREQ=YEARLY".to_owned(), from: "2026-03-01".to_owned(), ..maintenance() };
    let mut world = World::of(Plan { gap_days_max: None, ..yearly }, shanghai());
    world.done(world.at(date(2026, 3, 1), 9));
    world.look(world.at(date(2026, 3, 20), 0));
    assert_eq!(world.due_days(), [date(2026, 3, 1), date(2027, 3, 1)]);
    world.edit_plan(world.at(date(2026, 3, 20), 9), "rule", json!("FREQ=DAILY"));
    world.look(world.at(date(2026, 3, 20), 10));
    let horizon = days_later(date(2026, 3, 20), HORIZON_DAYS);
    assert_eq!(world.due_days().last(), Some(&horizon));
    assert_eq!(world.due_days().len(), 2 + HORIZON_DAYS as usize);
}

#[test]
fn what_was_done_after_a_missed_one_stays_done_when_the_missed_one_is_long_ago() {
    let mut world = World::of(maintenance(), shanghai());
    let day = |n: i64| days_later(date(2026, 1, 1), 15 * n);
    world.done(world.at(day(0), 9));
    world.live_until(world.at(day(0), 10), world.at(day(2), 8));
    for n in 2..=7 {
        world.done(world.at(day(n), 9));
        let until = day(n + 1).min(date(2026, 4, 28));
        world.live_until(world.at(day(n), 10), world.at(until, 0));
    }
    let stages = world.follow_ups();
    for n in 0..=7 {
        let expected = if n == 1 { "missed" } else { "done" };
        assert_eq!(stages.get(&day(n)).map(String::as_str), Some(expected), "{}", day(n));
    }
}

#[test]
fn another_worker_for_a_plan_leaves_the_next_one_open_while_one_is_overdue() {
    let mut world = World::of(maintenance(), shanghai());
    world.done(world.at(date(2026, 1, 1), 9));
    world.live_until(world.at(date(2026, 1, 1), 10), world.at(date(2026, 1, 18), 0));
    let before = world.follow_ups();
    assert_eq!((before[&date(2026, 1, 16)].as_str(), before[&date(2026, 1, 31)].as_str()), ("open", "open"));
    world.edit_plan(world.at(date(2026, 1, 18), 1), "worker", json!(record_id(71)));
    world.look(world.at(date(2026, 1, 18), 2));
    assert_eq!(world.follow_ups(), before);
    assert_eq!(world.follow_up_on(date(2026, 1, 31)).reference("worker"), Some(record_id(71)));
}

#[test]
fn work_that_only_its_follow_up_tells_of_leaves_no_gap_when_that_is_not_read_any_more() {
    for is_said_by_hand in [true, false] {
        let mut world = World::of(maintenance(), shanghai());
        world.reads_back_days = Some(2 * LOOK_BACK_DAYS);
        let yearly = Plan { sort: "statutory_inspection".to_owned(), gap_days_max: None, ..maintenance() };
        let at_ms = world.at(date(2026, 1, 1), 0);
        world.act(at_ms, record_id(2), Kind::Plan, Action::Create(Box::new(Body::Plan(yearly))));
        for n in 0..24 {
            let day = days_later(date(2026, 1, 1), 15 * n);
            world.look(world.at(day, 0));
            let id = world.follow_up_on(day).id;
            let at_ms = world.at(day, 9);
            if is_said_by_hand {
                let done = rounds_domain::op::Step { to: "done".to_owned(), ..Default::default() };
                world.act_on(at_ms, id, Kind::FollowUp, Action::Step(done));
            } else {
                world.inspected(at_ms, "", Some(id));
            }
            world.look(world.at(day, 10));
            assert_eq!(world.follow_up_on(day).status, "done");
            let ever = world.made.values().flatten().filter(|it| it.text("sort") == "gap").count();
            assert_eq!(ever, 0, "{day}, by hand: {is_said_by_hand}");
        }
    }
}

#[test]
fn one_that_somebody_put_off_for_a_year_brings_no_others_with_it() {
    let plan = Plan { rule: "FREQ=DAILY".to_owned(), gap_days_max: None, ..maintenance() };
    let mut world = World::of(plan, shanghai());
    world.look(world.at(date(2026, 1, 1), 0));
    let before = world.due_days();
    let put_off = world.follow_up_on(date(2026, 1, 10));
    let due_ms = put_off.fields["due_at_ms"].as_i64().unwrap();
    let changes = vec![Change {
        field: "due_at_ms".to_owned(),
        base: json!(due_ms),
        value: json!(day_end_ms(date(2027, 1, 10), &world.zone)),
    }];
    let edit = Action::Edit { changes, reason: "next year".to_owned() };
    world.act_on(world.at(date(2026, 1, 1), 9), put_off.id, Kind::FollowUp, edit);
    world.look(world.at(date(2026, 1, 1), 10));
    let mut expected: Vec<Date> = before.into_iter().filter(|day| *day != date(2026, 1, 10)).collect();
    expected.push(date(2027, 1, 10));
    assert_eq!(world.due_days(), expected);
    world.look(world.at(date(2026, 1, 4), 0));
    let horizon = days_later(date(2026, 1, 4), HORIZON_DAYS);
    let beyond: Vec<Date> = world.due_days().into_iter().filter(|day| *day > horizon).collect();
    assert_eq!(beyond, [date(2027, 1, 10)]);
    assert_eq!(world.follow_ups()[&date(2027, 1, 10)], "open");
}

#[test]
fn what_somebody_put_off_comes_back_with_a_plan_that_was_off_for_a_day() {
    let mut world = World::of(Plan { gap_days_max: None, ..maintenance() }, shanghai());
    world.look(world.at(date(2026, 1, 2), 0));
    let put_off = world.follow_up_on(date(2026, 1, 1));
    let base = put_off.fields["due_at_ms"].clone();
    let value = json!(day_end_ms(date(2026, 1, 20), &world.zone));
    let changes = vec![Change { field: "due_at_ms".to_owned(), base, value }];
    let edit = Action::Edit { changes, reason: "nobody was at home".to_owned() };
    world.act_on(world.at(date(2026, 1, 2), 9), put_off.id, Kind::FollowUp, edit);
    for (day, resting, stage) in [(9, true, "cancelled"), (10, false, "open")] {
        world.edit_plan(world.at(date(2026, 1, day), 9), "resting", json!(resting));
        world.look(world.at(date(2026, 1, day), 10));
        assert_eq!(world.follow_up_on(date(2026, 1, 20)).status, stage);
    }
}

#[test]
fn an_overdue_one_that_the_law_asked_for_stays_overdue_when_the_plan_gets_another_worker() {
    let monthly = Plan { rule: "FREQ=MONTHLY;BYMONTHDAY=-1".to_owned(), expires_days: None, ..maintenance() };
    let mut world = World::of(Plan { from: "2026-03-20".to_owned(), ..monthly }, shanghai());
    world.done(world.at(date(2026, 3, 30), 9));
    world.live_until(world.at(date(2026, 3, 30), 10), world.at(date(2026, 4, 17), 0));
    assert_eq!(world.follow_ups()[&date(2026, 4, 14)], "open", "15 days after the 30th of March");
    world.edit_plan(world.at(date(2026, 4, 17), 9), "worker", json!(record_id(71)));
    world.look(world.at(date(2026, 4, 17), 10));
    assert_eq!(world.follow_ups()[&date(2026, 4, 14)], "open");
    world.done(world.at(date(2026, 4, 18), 9));
    world.look(world.at(date(2026, 4, 18), 10));
    assert_eq!(world.follow_ups()[&date(2026, 4, 14)], "done");
}

/// Every 15 days after the last time, for as long as it takes.
fn endless() -> Plan {
    Plan { after_completion: true, opens_days: None, expires_days: None, gap_days_max: None, ..maintenance() }
}

fn open_days(world: &World) -> Vec<Date> {
    world.open().iter().map(|it| local_day(it.fields["due_at_ms"].as_i64().unwrap(), &world.zone)).collect()
}

#[test]
fn after_completion_work_before_its_window_opened_still_does_it_when_the_rule_changes() {
    let mut world = World::of(endless(), shanghai());
    for day in [5, 18] {
        world.done(world.at(date(2026, 1, day), 9)); // the second does what is due on the 20th
        world.look(world.at(date(2026, 1, day), 10));
    }
    world.edit_plan(world.at(date(2026, 1, 24), 9), "rule", json!("FREQ=DAILY;INTERVAL=5"));
    world.look(world.at(date(2026, 1, 24), 10));
    assert_eq!(open_days(&world), [date(2026, 1, 23)], "five days after the 18th");
    world.done(world.at(date(2026, 1, 26), 9));
    world.look(world.at(date(2026, 1, 26), 10));
    assert_eq!(open_days(&world), [date(2026, 1, 31)]);
}

#[test]
fn after_completion_what_has_no_end_gets_the_one_that_the_plan_gives_it() {
    let mut world = World::of(endless(), shanghai());
    world.look(world.at(date(2026, 1, 1), 9));
    world.edit_plan(world.at(date(2026, 1, 4), 9), "expires_days", json!(1));
    world.look(world.at(date(2026, 1, 4), 10));
    assert_eq!(world.follow_ups()[&date(2026, 1, 1)], "missed");
    assert_eq!(open_days(&world), [date(2026, 1, 16)]);
}

#[test]
fn after_completion_work_that_was_not_there_leaves_its_follow_up_to_what_came_next() {
    let mut world = World::of(endless(), shanghai());
    let mut work = Vec::new();
    for day in [1, 9, 10] {
        work.push(world.done(world.at(date(2026, 1, day), 9)));
        world.look(world.at(date(2026, 1, day), 10));
    }
    let deleted = Action::Delete { reason: "at another place".to_owned() };
    world.act(world.at(date(2026, 1, 23), 9), work[1], Kind::Inspection, deleted);
    world.look(world.at(date(2026, 1, 23), 10));
    world.edit_plan(world.at(date(2026, 1, 24), 9), "worker", json!(record_id(71)));
    world.look(world.at(date(2026, 1, 24), 10));
    assert_eq!(world.follow_ups()[&date(2026, 1, 16)], "done", "by the work of the tenth");
    assert_eq!(open_days(&world), [date(2026, 1, 25)]);
}

#[test]
fn after_completion_work_does_one_when_that_of_before_was_not_there() {
    let mut world = World::of(endless(), shanghai());
    let first = world.done(world.at(date(2026, 1, 1), 9));
    world.done(world.at(date(2026, 1, 2), 9)); // does what is due on the 16th
    world.look(world.at(date(2026, 1, 2), 10));
    world.edit_plan(world.at(date(2026, 1, 17), 9), "worker", json!(record_id(71)));
    world.look(world.at(date(2026, 1, 17), 10));
    let deleted = Action::Delete { reason: "at another place".to_owned() };
    world.act(world.at(date(2026, 1, 20), 9), first, Kind::Inspection, deleted);
    world.look(world.at(date(2026, 1, 20), 10));
    let stages = [(date(2026, 1, 1), "done".to_owned()), (date(2026, 1, 17), "open".to_owned())];
    assert_eq!(world.follow_ups(), stages.into());
}

#[test]
fn after_completion_early_work_that_is_known_late_leaves_all_done_when_another_worker_comes() {
    let mut world = World::of(endless(), shanghai());
    world.done(world.at(date(2026, 1, 1), 9));
    world.done(world.at(date(2026, 1, 17), 9)); // does what is due on the 16th
    world.look(world.at(date(2026, 1, 17), 10));
    world.done(world.at(date(2026, 1, 9), 9)); // that did it; the later one does what is due on the 24th
    world.look(world.at(date(2026, 1, 18), 9));
    world.edit_plan(world.at(date(2026, 1, 18), 10), "worker", json!(record_id(71)));
    world.look(world.at(date(2026, 1, 18), 11));
    let done = [1, 16, 24].map(|day| (date(2026, 1, day), "done".to_owned()));
    assert_eq!(world.follow_ups().into_iter().take(3).collect::<Vec<_>>(), done);
    assert_eq!(open_days(&world), [date(2026, 2, 1)]);
}

#[test]
fn what_was_done_ahead_of_its_day_stays_done_when_its_plan_is_switched_off() {
    for (field, value) in [("resting", json!(true)), ("until", json!("2026-01-13"))] {
        let mut world = World::of(Plan { gap_days_max: None, ..maintenance() }, shanghai());
        world.done(world.at(date(2026, 1, 12), 9)); // does what is due on the 16th
        world.look(world.at(date(2026, 1, 12), 10));
        world.edit_plan(world.at(date(2026, 1, 13), 9), field, value);
        world.look(world.at(date(2026, 1, 13), 10));
        assert_eq!(world.follow_ups()[&date(2026, 1, 16)], "done", "{field}");
        assert_eq!(open_days(&world), [], "{field}");
    }
}

#[test]
fn work_on_a_day_that_the_new_rule_does_not_name_does_what_was_due_before() {
    let rule = "FREQ=DAILY;INTERVAL=3".to_owned();
    let plan = Plan { rule, opens_days: None, expires_days: None, gap_days_max: None, ..maintenance() };
    let mut world = World::of(plan, shanghai());
    world.done(world.at(date(2026, 1, 10), 9));
    world.look(world.at(date(2026, 1, 10), 10));
    assert_eq!(world.follow_ups()[&date(2026, 1, 10)], "done");
    world.edit_plan(world.at(date(2026, 1, 10), 11), "rule", json!("FREQ=DAILY;INTERVAL=5"));
    world.look(world.at(date(2026, 1, 10), 12));
    assert_eq!(world.follow_ups()[&date(2026, 1, 7)], "done");
    assert_eq!(open_days(&world)[0], date(2026, 1, 11));
}

#[test]
fn an_overdue_one_that_the_law_asked_for_is_done_late_when_the_plan_got_another_worker() {
    let mut world = World::of(maintenance(), shanghai());
    for day in [1, 12] {
        world.done(world.at(date(2026, 1, day), 9));
        world.look(world.at(date(2026, 1, day), 10));
    }
    world.live_until(world.at(date(2026, 1, 12), 11), world.at(date(2026, 1, 29), 8));
    assert_eq!(world.follow_ups()[&date(2026, 1, 27)], "open", "15 days after the 12th, and not on the 31st");
    world.edit_plan(world.at(date(2026, 1, 29), 9), "worker", json!(record_id(71)));
    world.look(world.at(date(2026, 1, 29), 10));
    world.done(world.at(date(2026, 2, 3), 9));
    world.look(world.at(date(2026, 2, 3), 10));
    assert_eq!(world.follow_ups()[&date(2026, 1, 27)], "done");
}

#[test]
fn after_completion_early_work_of_before_that_is_known_late_counts_though_its_follow_up_was_due_long_ago() {
    let mut world = World::of(endless(), shanghai());
    world.reads_back_days = Some(2 * LOOK_BACK_DAYS);
    world.look(world.at(date(2026, 1, 1), 9));
    for day in [20, 12] {
        world.done(world.at(date(2026, 7, day), 9)); // the second is known late
        world.look(world.at(date(2026, 7, 20), 30 - i64::from(day)));
    }
    assert_eq!(open_days(&world), [date(2026, 8, 4)]);
    assert_eq!(
        world.follow_ups()[&date(2026, 7, 27)],
        "done",
        "15 days after the 12th, by the work of the 20th"
    );
    world.done(world.at(date(2026, 8, 4), 9));
    world.look(world.at(date(2026, 8, 4), 10));
    assert_eq!(world.look(world.at(date(2026, 8, 10), 10)), []);
}

#[test]
fn after_completion_work_that_names_one_that_was_missed_does_what_comes_next_as_well() {
    let mut world = World::of(watering(), shanghai());
    world.live_until(world.at(date(2026, 6, 1), 0), world.at(date(2026, 6, 4), 8));
    let missed = world.follow_up_on(date(2026, 6, 1));
    assert_eq!(missed.status, "missed");
    world.inspected(world.at(date(2026, 6, 5), 9), "", Some(missed.id));
    world.look(world.at(date(2026, 6, 5), 10));
    let done = [1, 4].map(|day| (date(2026, 6, day), "done".to_owned()));
    assert_eq!(world.follow_ups().into_iter().take(2).collect::<Vec<_>>(), done);
    assert_eq!(open_days(&world), [date(2026, 6, 8)]);
    world.live_until(world.at(date(2026, 6, 5), 11), world.at(date(2026, 12, 31), 0));
    assert_eq!(world.follow_ups()[&date(2026, 6, 4)], "done", "also when the missed one is long ago");
}

#[test]
fn the_law_brings_nothing_forward_after_one_that_was_done_too_late_when_that_is_long_ago() {
    let mut world = World::of(maintenance(), shanghai());
    let [first, work] = [date(2026, 1, 3), date(2026, 2, 20)].map(|day| world.at(day, 8));
    world.done(first);
    world.live_until(world.at(date(2026, 1, 1), 0), work);
    world.inspected(work, "", Some(world.follow_up_on(date(2026, 1, 16)).id));
    // From then on the plan as it is says nothing any more about what was done too late, and still about the one behind.
    let long_after = world.at(days_later(date(2026, 1, 17), LOOK_BACK_DAYS), 12);
    world.live_until(work, long_after);
    world.look(long_after);
    assert_eq!(world.follow_up_on(date(2026, 1, 16)).status, "done");
    assert_eq!(world.follow_up_on(date(2026, 1, 31)).status, "missed");
}
