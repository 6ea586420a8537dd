//! What plans call for: by the calendar and after completion, in seasons and phases, within legal gaps, on time and
//! late.

#![allow(clippy::unwrap_used)] // a test that cannot go on has failed

use super::sample::{record_id, step};
use super::world::{HOUR_MS, World, maintenance, shanghai, watering};
use jiff::civil::{Date, date};
use jiff::tz::TimeZone;
use proptest::prelude::*;
use rounds_domain::body::{Asset, Plan};
use rounds_domain::follow_up::{HORIZON_DAYS, preview};
use rounds_domain::recurrence::local_day;
use rounds_domain::{Action, Body, Kind, RecordId};
use serde_json::{Value, json};
use std::collections::BTreeMap;

#[test]
fn a_plan_calls_for_what_is_due_within_the_horizon_and_always_for_the_next() {
    let mut world = World::of(maintenance(), shanghai());
    world.look(world.at(date(2026, 1, 1), 0));
    assert_eq!(world.due_days(), [date(2026, 1, 1)]);
    world.look(world.at(date(2026, 1, 2), 0));
    assert_eq!(world.due_days(), [date(2026, 1, 1), date(2026, 1, 16)], "{HORIZON_DAYS} days ahead");

    let yearly = Plan { rule: "FREQ=YEARLY".to_owned(), from: "2026-03-01".to_owned(), ..maintenance() };
    let mut world = World::of(Plan { gap_days_max: None, ..yearly }, shanghai());
    world.look(world.at(date(2026, 3, 20), 0));
    assert_eq!(world.due_days().last(), Some(&date(2027, 3, 1)), "also if it is a year away");
}

#[test]
fn work_within_the_window_does_a_follow_up_that_no_phone_linked_and_work_outside_does_not() {
    let mut world = World::of(maintenance(), shanghai());
    let start = world.at(date(2026, 1, 1), 0);
    world.done(world.at(date(2026, 1, 1), 9));
    world.done(world.at(date(2026, 1, 10), 9)); // before the window of the 16th opens
    world.look(start + 9 * HOUR_MS);
    world.look(world.at(date(2026, 1, 12), 0));
    let stages = world.follow_ups();
    assert_eq!(stages[&date(2026, 1, 1)], "done");
    assert_eq!(stages[&date(2026, 1, 16)], "open");
    let shown = world.done(world.at(date(2026, 1, 14), 9));
    world.look(world.at(date(2026, 1, 14), 10));
    let done = world.follow_up_on(date(2026, 1, 16));
    assert_eq!(done.status, "done");
    let step = &done.steps.last().unwrap().step;
    assert_eq!((step.evidence, step.done_at_ms), (Some(shown), Some(world.at(date(2026, 1, 14), 9))));
}

#[test]
fn an_inspection_of_another_sort_does_not_do_it_and_one_without_a_sort_only_if_there_is_one_plan() {
    let mut world = World::of(maintenance(), shanghai());
    let yearly = Plan { sort: "statutory_inspection".to_owned(), gap_days_max: None, ..maintenance() };
    let at_ms = world.at(date(2026, 1, 1), 0);
    world.act(at_ms, record_id(2), Kind::Plan, Action::Create(Box::new(Body::Plan(yearly))));
    world.inspected(world.at(date(2026, 1, 1), 9), "statutory_inspection", None);
    world.inspected(world.at(date(2026, 1, 1), 10), "", None);
    world.look(world.at(date(2026, 1, 1), 11));
    assert_eq!(world.follow_ups()[&date(2026, 1, 1)], "open");
    world.inspected(world.at(date(2026, 1, 1), 12), "maintenance", None);
    world.look(world.at(date(2026, 1, 1), 13));
    assert_eq!(world.follow_ups()[&date(2026, 1, 1)], "done");
}

#[test]
fn a_visit_does_a_plan_s_work_if_it_was_for_that_and_somebody_answered() {
    let mut world = World::of(maintenance(), shanghai());
    let visits =
        [("routine", "met", "open"), ("maintenance", "no_answer", "open"), ("maintenance", "met", "done")];
    for (hour, (purpose, outcome, expected)) in (9..).zip(visits) {
        let at_ms = world.at(date(2026, 1, 1), hour);
        world.visited(at_ms, purpose, outcome);
        world.look(at_ms);
        assert_eq!(world.follow_ups()[&date(2026, 1, 1)], expected, "{purpose}, {outcome}");
    }
}

#[test]
fn missed_is_not_deleted_and_can_be_completed_late_judged_by_when_the_work_was_done() {
    let mut world = World::of(maintenance(), shanghai());
    world.live_until(world.at(date(2026, 1, 1), 0), world.at(date(2026, 1, 12), 0));
    assert_eq!(world.follow_ups()[&date(2026, 1, 1)], "missed");
    // A phone that was offline says on the 12th what was done on the 2nd.
    world.done(world.at(date(2026, 1, 2), 9));
    world.look(world.at(date(2026, 1, 12), 1));
    let done = world.follow_up_on(date(2026, 1, 1));
    assert_eq!(done.status, "done");
    assert_eq!(done.steps.last().unwrap().step.done_at_ms, Some(world.at(date(2026, 1, 2), 9)));
}

#[test]
fn work_that_names_a_missed_follow_up_completes_it_after_its_window() {
    let mut world = World::of(maintenance(), shanghai());
    world.live_until(world.at(date(2026, 1, 1), 0), world.at(date(2026, 1, 13), 0));
    let missed = world.follow_up_on(date(2026, 1, 1)).id;
    world.inspected(world.at(date(2026, 1, 13), 9), "maintenance", Some(missed));
    world.look(world.at(date(2026, 1, 13), 10));
    let stages = world.follow_ups();
    assert_eq!((stages[&date(2026, 1, 1)].as_str(), stages[&date(2026, 1, 16)].as_str()), ("done", "open"));
}

#[test]
fn what_the_phone_itself_called_done_stays_done() {
    let mut world = World::of(maintenance(), shanghai());
    world.look(world.at(date(2026, 1, 1), 0));
    let id = world.follow_up_on(date(2026, 1, 1)).id;
    let done = rounds_domain::op::Step { to: "done".to_owned(), ..Default::default() };
    world.act_on(world.at(date(2026, 1, 1), 9), id, Kind::FollowUp, Action::Step(done));
    world.live_until(world.at(date(2026, 1, 1), 10), world.at(date(2026, 1, 14), 0));
    assert_eq!(world.follow_ups()[&date(2026, 1, 1)], "done");
}

fn said_done() -> Action {
    Action::Step(rounds_domain::op::Step { to: "done".to_owned(), ..Default::default() })
}

#[test]
fn what_somebody_called_done_after_the_worker_did_stays_done_without_the_work_that_the_worker_knew() {
    let mut world = World::of(maintenance(), shanghai());
    world.look(world.at(date(2026, 1, 1), 0));
    let inspection = world.done(world.at(date(2026, 1, 1), 9));
    world.look(world.at(date(2026, 1, 1), 10));
    let id = world.follow_up_on(date(2026, 1, 1)).id;
    world.act_on(world.at(date(2026, 1, 1), 11), id, Kind::FollowUp, said_done());
    let reason = "another elevator".to_owned();
    world.act(world.at(date(2026, 1, 1), 12), inspection, Kind::Inspection, Action::Delete { reason });
    world.live_until(world.at(date(2026, 1, 1), 13), world.at(date(2026, 1, 14), 0));
    assert_eq!(world.follow_ups()[&date(2026, 1, 1)], "done");
    world.edit_plan(world.at(date(2026, 1, 14), 1), "worker", json!(record_id(71)));
    world.look(world.at(date(2026, 1, 14), 2));
    assert_eq!(world.follow_ups()[&date(2026, 1, 1)], "done");
    let gaps = world.notices().into_iter().filter(|(sort, _, _)| sort == "gap").count();
    assert_eq!(gaps, 0);
}

#[test]
fn what_a_phone_called_done_before_the_plan_was_off_for_a_day_is_done_whenever_it_says_so() {
    for days_late in 0..=5 {
        let mut world = World::of(maintenance(), shanghai());
        world.done(world.at(date(2026, 1, 1), 9));
        world.look(world.at(date(2026, 1, 2), 0));
        let id = world.follow_up_on(date(2026, 1, 16)).id;
        let done_ms = world.at(date(2026, 1, 9), 9);
        for day in 9..=14 {
            if days_late == day - 9 {
                world.act_on_late(done_ms, id, said_done());
            }
            let resting = match day {
                10 | 13 => Some(json!(true)),
                11 => Some(Value::Null),
                _ => None,
            };
            if let Some(resting) = resting {
                world.edit_plan(world.at(date(2026, 1, day), 10), "resting", resting);
            }
            world.look(world.at(date(2026, 1, day), 11));
        }
        assert_eq!(world.made[&id].as_ref().unwrap().status, "done", "{days_late} days late");
    }
}

#[test]
fn what_somebody_opened_again_does_not_stay_done_because_somebody_called_it_done_before() {
    let mut world = World::of(maintenance(), shanghai());
    world.look(world.at(date(2026, 1, 1), 0));
    let id = world.follow_up_on(date(2026, 1, 1)).id;
    world.act_on(world.at(date(2026, 1, 1), 9), id, Kind::FollowUp, said_done());
    world.look(world.at(date(2026, 1, 1), 10));
    let open = rounds_domain::op::Step { to: "open".to_owned(), ..Default::default() };
    world.act_on(world.at(date(2026, 1, 1), 11), id, Kind::FollowUp, Action::Step(open));
    world.look(world.at(date(2026, 1, 1), 12));
    assert_eq!(world.follow_ups()[&date(2026, 1, 1)], "open");
}

#[test]
fn whoever_calls_done_what_the_worker_saw_done_tells_of_no_other_work() {
    let mut world = World::of(watering(), shanghai());
    world.done(world.at(date(2026, 6, 1), 9));
    world.look(world.at(date(2026, 6, 1), 10));
    let id = world.follow_up_on(date(2026, 6, 1)).id;
    world.act_on(world.at(date(2026, 6, 2), 11), id, Kind::FollowUp, said_done());
    world.look(world.at(date(2026, 6, 2), 12));
    let stages: Vec<_> = world.follow_ups().into_iter().collect();
    assert_eq!(stages, [(date(2026, 6, 1), "done".to_owned()), (date(2026, 6, 4), "open".to_owned())]);
}

#[test]
fn work_that_turns_out_not_to_have_been_done_opens_its_follow_up_again() {
    let mut world = World::of(maintenance(), shanghai());
    let inspection = world.done(world.at(date(2026, 1, 1), 9));
    world.look(world.at(date(2026, 1, 1), 10));
    assert_eq!(world.follow_ups()[&date(2026, 1, 1)], "done");
    let reason = "another elevator".to_owned();
    world.act(world.at(date(2026, 1, 1), 11), inspection, Kind::Inspection, Action::Delete { reason });
    world.look(world.at(date(2026, 1, 1), 12));
    assert_eq!(world.follow_ups()[&date(2026, 1, 1)], "open");
}

#[test]
fn the_law_pulls_the_next_one_ahead_of_the_calendar() {
    let mut world = World::of(maintenance(), shanghai());
    world.done(world.at(date(2026, 1, 1), 9));
    world.done(world.at(date(2026, 1, 12), 9)); // four days early
    world.look(world.at(date(2026, 1, 18), 0));
    assert_eq!(world.due_days().last(), Some(&date(2026, 1, 27)), "15 days after the 12th, not on the 31st");
}

#[test]
fn after_completion_the_next_one_counts_from_the_work_and_by_the_calendar_it_does_not() {
    let mut world = World::of(watering(), shanghai());
    world.done(world.at(date(2026, 6, 2), 9)); // a day late
    world.look(world.at(date(2026, 6, 2), 10));
    assert_eq!(world.due_days(), [date(2026, 6, 1), date(2026, 6, 5)]);

    let mut world = World::of(Plan { after_completion: false, ..watering() }, shanghai());
    world.done(world.at(date(2026, 6, 2), 9));
    world.look(world.at(date(2026, 6, 2), 10));
    assert_eq!(world.due_days()[..2], [date(2026, 6, 1), date(2026, 6, 4)]);
}

#[test]
fn after_completion_a_missed_one_counts_as_the_last_and_a_second_watering_on_one_day_changes_nothing() {
    let mut world = World::of(watering(), shanghai());
    world.live_until(world.at(date(2026, 6, 1), 0), world.at(date(2026, 6, 4), 1));
    let stages: Vec<_> = world.follow_ups().into_iter().collect();
    let expected = [(date(2026, 6, 1), "missed".to_owned()), (date(2026, 6, 4), "open".to_owned())];
    assert_eq!(stages, expected);
    world.done(world.at(date(2026, 6, 4), 8));
    world.done(world.at(date(2026, 6, 4), 18));
    world.look(world.at(date(2026, 6, 4), 19));
    assert_eq!(world.due_days().last(), Some(&date(2026, 6, 7)));
}

/// Watering on fixed days.
fn by_the_calendar(rule: &str, expires_days: Option<u32>) -> Plan {
    Plan { rule: rule.to_owned(), after_completion: false, expires_days, ..watering() }
}

/// Each that was made: when it is due (day and hour), its stage, and whether it was done in time.
fn in_time(world: &World) -> Vec<(i8, i8, String, bool)> {
    let all = world.made.values().flatten().filter(|it| it.kind == Kind::FollowUp);
    let told = all.filter(|it| it.status != "cancelled").map(|it| {
        let due_ms = it.fields["due_at_ms"].as_i64().unwrap();
        let due = world.zone.to_datetime(jiff::Timestamp::from_millisecond(due_ms).unwrap());
        let done_ms = it.steps.last().and_then(|taken| taken.step.done_at_ms);
        (due.day(), due.hour(), it.status.clone(), done_ms.is_some_and(|done_ms| done_ms <= due_ms))
    });
    let mut told: Vec<_> = told.collect();
    told.sort();
    told
}

#[test]
fn by_the_calendar_one_missed_day_makes_no_later_one_late() {
    for expires_days in [Some(1), Some(3), None] {
        let plan = Plan { opens_days: Some(1), ..by_the_calendar("FREQ=DAILY", expires_days) };
        let mut world = World::of(plan, shanghai());
        let mut before_ms = world.at(date(2026, 6, 1), 0);
        for day in [2, 3, 4] {
            let at_ms = world.at(date(2026, 6, day), 9);
            world.live_until(before_ms, at_ms);
            world.done(at_ms);
            before_ms = at_ms + HOUR_MS;
        }
        world.look(before_ms);
        let told: Vec<_> = in_time(&world).into_iter().filter(|(day, ..)| *day <= 4).collect();
        let first = if expires_days == Some(3) { "open" } else { "missed" };
        let done = |day| (day, 23, "done".to_owned(), true);
        assert_eq!(told, [(1, 23, first.to_owned(), false), done(2), done(3), done(4)], "{expires_days:?}");
    }
}

#[test]
fn by_the_calendar_work_does_what_was_due_before_until_the_day_of_the_next_or_if_it_names_it() {
    let mut world = World::of(by_the_calendar("FREQ=DAILY;INTERVAL=3", Some(5)), shanghai());
    world.live_until(world.at(date(2026, 6, 1), 0), world.at(date(2026, 6, 4), 8));
    let first = world.follow_up_on(date(2026, 6, 1)).id;
    world.done(world.at(date(2026, 6, 4), 9));
    world.look(world.at(date(2026, 6, 4), 10));
    let stages = world.follow_ups();
    assert_eq!((stages[&date(2026, 6, 1)].as_str(), stages[&date(2026, 6, 4)].as_str()), ("open", "done"));
    world.inspected(world.at(date(2026, 6, 4), 11), "watering", Some(first));
    world.look(world.at(date(2026, 6, 4), 12));
    assert_eq!(world.follow_ups()[&date(2026, 6, 1)], "done");

    let mut world = World::of(by_the_calendar("FREQ=DAILY;INTERVAL=3", Some(5)), shanghai());
    world.live_until(world.at(date(2026, 6, 1), 0), world.at(date(2026, 6, 3), 8));
    world.done(world.at(date(2026, 6, 3), 20));
    world.look(world.at(date(2026, 6, 3), 21));
    let stages = world.follow_ups();
    assert_eq!((stages[&date(2026, 6, 1)].as_str(), stages[&date(2026, 6, 4)].as_str()), ("done", "open"));
}

#[test]
fn of_several_times_a_day_a_later_one_takes_no_work_from_an_earlier_one_of_its_day() {
    let twice = by_the_calendar("FREQ=DAILY;BYHOUR=7,19", Some(1));
    let mut world = World::of(twice, shanghai());
    world.live_until(world.at(date(2026, 6, 1), 0), world.at(date(2026, 6, 1), 20));
    world.done(world.at(date(2026, 6, 1), 20)); // does that of the morning, late
    world.done(world.at(date(2026, 6, 2), 6));
    world.done(world.at(date(2026, 6, 2), 18));
    world.look(world.at(date(2026, 6, 2), 20));
    let told: Vec<_> = in_time(&world).into_iter().filter(|(day, ..)| *day <= 2).collect();
    let told_of = |day, hour, stage: &str, is_in_time| (day, hour, stage.to_owned(), is_in_time);
    let expected = [
        told_of(1, 7, "done", false),
        told_of(1, 19, "open", false),
        told_of(2, 7, "done", true),
        told_of(2, 19, "done", true),
    ];
    assert_eq!(told, expected);
}

#[test]
fn after_work_on_the_last_days_of_a_month_a_shorter_month_is_not_left_out() {
    let next = |rule: &str, done_on: Date| {
        let plan = Plan {
            rule: rule.to_owned(),
            after_completion: true,
            from: done_on.to_string(),
            gap_days_max: None,
            ..maintenance()
        };
        let mut world = World::of(plan, shanghai());
        world.done(world.at(done_on, 9));
        world.look(world.at(done_on, 10));
        world.due_days().last().copied()
    };
    for (rule, done_on, expected) in [
        ("FREQ=MONTHLY", date(2026, 1, 31), date(2026, 2, 28)),
        ("FREQ=MONTHLY", date(2026, 1, 28), date(2026, 2, 28)),
        ("FREQ=MONTHLY;INTERVAL=3", date(2026, 8, 31), date(2026, 11, 30)),
        ("FREQ=YEARLY", date(2028, 2, 29), date(2029, 2, 28)),
        ("FREQ=YEARLY;INTERVAL=4;WKST=MO", date(2028, 2, 29), date(2032, 2, 29)),
        // These name a day.
        ("FREQ=MONTHLY;BYMONTHDAY=31", date(2026, 1, 31), date(2026, 3, 31)),
        ("FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=29", date(2028, 2, 29), date(2032, 2, 29)),
        ("FREQ=MONTHLY;BYDAY=-1FR", date(2026, 1, 31), date(2026, 2, 27)),
    ] {
        assert_eq!(next(rule, done_on), Some(expected), "{rule} after {done_on}");
    }
    let calendar = Plan { from: "2026-01-31".to_owned(), ..by_the_calendar("FREQ=MONTHLY", None) };
    let zone = shanghai();
    let days: Vec<Date> = preview(&calendar, date(2026, 1, 31), date(2026, 6, 1), &zone)
        .iter()
        .map(|it| local_day(it.due_ms, &zone))
        .collect();
    assert_eq!(days, [date(2026, 1, 31), date(2026, 3, 31), date(2026, 5, 31)], "as the standard says");
}

#[test]
fn after_work_before_a_plan_begins_its_first_day_is_not_left_out_in_a_shorter_month() {
    let plan = Plan {
        rule: "FREQ=MONTHLY".to_owned(),
        after_completion: true,
        from: "2026-04-15".to_owned(),
        gap_days_max: None,
        ..maintenance()
    };
    let mut world = World::of(plan, shanghai());
    world.done(world.at(date(2026, 1, 31), 9));
    world.look(world.at(date(2026, 4, 15), 10));
    assert_eq!(world.due_days().last(), Some(&date(2026, 4, 30)));
}

#[test]
fn a_young_planting_has_rules_of_its_own_by_its_age() {
    let plan = Plan {
        rule: "FREQ=WEEKLY".to_owned(),
        phases: vec![
            rounds_domain::body::Phase { until_day: 14, rule: "FREQ=DAILY".to_owned() },
            rounds_domain::body::Phase { until_day: 84, rule: "FREQ=DAILY;INTERVAL=3".to_owned() },
        ],
        ..watering()
    };
    for after_completion in [true, false] {
        let plan = Plan { after_completion, ..plan.clone() };
        let zone = shanghai();
        let days: Vec<i64> = preview(&plan, date(2026, 6, 1), date(2026, 9, 30), &zone)
            .iter()
            .map(|it| i64::from((local_day(it.due_ms, &zone) - date(2026, 6, 1)).get_days()))
            .collect();
        let steps: Vec<i64> = days.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert!(steps[..13].iter().all(|step| *step == 1), "{steps:?}");
        assert!(steps[14..30].iter().all(|step| *step == 3), "{steps:?}");
        assert!(steps[steps.len() - 4..].iter().all(|step| *step == 7), "{steps:?}");
    }
}

#[test]
fn nothing_is_due_in_the_months_in_which_a_plan_rests_and_the_first_comes_right_after() {
    let plan = Plan {
        resting_months: vec![12, 1, 2],
        rule: "FREQ=WEEKLY".to_owned(),
        from: "2026-11-20".to_owned(),
        ..watering()
    };
    let zone = shanghai();
    let days = |plan: &Plan| -> Vec<Date> {
        let all = preview(plan, date(2026, 11, 20), date(2027, 3, 10), &zone);
        all.iter().map(|it| local_day(it.due_ms, &zone)).collect()
    };
    let after = days(&plan);
    assert_eq!(after, [date(2026, 11, 20), date(2026, 11, 27), date(2027, 3, 1), date(2027, 3, 8)]);
    let calendar = days(&Plan { after_completion: false, ..plan });
    assert_eq!(calendar, [date(2026, 11, 20), date(2026, 11, 27), date(2027, 3, 5)]);
}

#[test]
fn a_plan_that_is_over_or_rests_takes_no_work_from_another() {
    let last_year = Plan { from: "2025-01-01".to_owned(), until: "2025-12-31".to_owned(), ..maintenance() };
    let resting = Plan { resting: true, ..maintenance() };
    let to_come = Plan { from: "2026-02-01".to_owned(), ..maintenance() };
    for (other, status) in
        [(last_year, "done"), (resting, "done"), (to_come, "done"), (maintenance(), "open")]
    {
        let mut world = World::of(maintenance(), shanghai());
        let at_ms = world.at(date(2026, 1, 1), 1);
        world.act(at_ms, record_id(2), Kind::Plan, Action::Create(Box::new(Body::Plan(other))));
        world.done(world.at(date(2026, 1, 2), 9)); // it does not say what was done
        world.look(world.at(date(2026, 1, 2), 10));
        assert_eq!(world.follow_up_on(date(2026, 1, 1)).status, status);
    }
}

#[test]
fn what_was_done_ahead_of_its_day_is_followed_by_the_next_at_once() {
    let yearly = Plan { rule: "FREQ=YEARLY".to_owned(), gap_days_max: None, ..maintenance() };
    let mut world = World::of(Plan { opens_days: Some(30), ..yearly }, shanghai());
    world.look(world.at(date(2026, 1, 1), 0));
    for year in [2027, 2028] {
        world.done(world.at(date(year - 1, 12, 20), 9));
        world.look(world.at(date(year - 1, 12, 21), 9));
        assert_eq!(world.follow_ups()[&date(year, 1, 1)], "done");
        assert_eq!(world.follow_ups()[&date(year + 1, 1, 1)], "open");
    }
}

#[test]
fn nothing_falls_due_after_a_plan_s_last_day_or_while_it_rests() {
    let due_days = |plan: Plan| {
        let mut world = World::of(plan, shanghai());
        world.live_until(world.at(date(2026, 1, 1), 0), world.at(date(2026, 3, 1), 0));
        world.due_days()
    };
    for (after_completion, after_the_rest) in [(false, date(2026, 3, 2)), (true, date(2026, 3, 1))] {
        let plan = Plan { after_completion, gap_days_max: None, ..maintenance() };
        let ending = Plan { until: "2026-01-20".to_owned(), ..plan.clone() };
        assert_eq!(due_days(ending), [date(2026, 1, 1), date(2026, 1, 16)]);
        let resting = Plan { resting_months: vec![2], ..plan };
        let expected = [date(2026, 1, 1), date(2026, 1, 16), date(2026, 1, 31), after_the_rest];
        assert_eq!(due_days(resting), expected);
    }
}

#[test]
fn of_an_elevator_that_is_gone_nothing_is_due() {
    let mut world = World::of(maintenance(), shanghai());
    let elevator = Asset { name: "Elevator 2".to_owned(), sort: "elevator".to_owned(), ..Asset::default() };
    let at_ms = world.at(date(2026, 1, 2), 9);
    world.act(at_ms, record_id(60), Kind::Asset, Action::Create(Box::new(Body::Asset(elevator))));
    world.look(at_ms);
    assert_eq!(world.due_days(), [date(2026, 1, 1), date(2026, 1, 16)]);
    let reason = "taken down".to_owned();
    world.act(at_ms + 1, record_id(60), Kind::Asset, Action::Delete { reason });
    for day in [2, 20] {
        world.look(world.at(date(2026, 1, day), 10));
        assert!(world.due_days().is_empty(), "what was open is cancelled, and nothing is new");
        assert_eq!(world.notices(), []);
    }
}

#[test]
fn a_plan_that_counts_from_completion_goes_on_when_somebody_cancels_or_deletes_the_one_that_is_open() {
    let cancelled = rounds_domain::op::Step {
        to: "cancelled".to_owned(),
        reason: "nobody was there".to_owned(),
        ..Default::default()
    };
    let deleted = Action::Delete { reason: "nobody was there".to_owned() };
    for action in [Action::Step(cancelled), deleted] {
        let mut world = World::of(watering(), shanghai());
        world.look(world.at(date(2026, 6, 1), 0));
        let open = world.follow_up_on(date(2026, 6, 1)).id;
        let at_ms = world.at(date(2026, 6, 1), 9);
        world.act_on(at_ms, open, Kind::FollowUp, action);
        world.live_by_timers(at_ms + 1, world.at(date(2026, 6, 5), 0));
        let next = world.follow_up_on(date(2026, 6, 4));
        assert_eq!(next.status, "open");
    }
}

#[test]
fn the_worker_is_woken_for_every_follow_up_of_a_calendar_whatever_became_of_those_before() {
    let rules = ["FREQ=DAILY", "FREQ=WEEKLY;BYDAY=MO,TH", "FREQ=MONTHLY", "FREQ=DAILY;INTERVAL=40"];
    for rule in rules {
        for zone in ["Asia/Shanghai", "America/New_York"] {
            let zone = TimeZone::get(zone).unwrap();
            let plan = Plan { rule: rule.to_owned(), gap_days_max: None, ..maintenance() };
            let mut world = World::of(plan, zone);
            let start_ms = world.at(date(2026, 1, 1), 0);
            let mut now_ms = start_ms;
            for hours in 1..200 {
                let until_ms = start_ms + hours * 11 * HOUR_MS;
                world.live_by_timers(world.next_ms.unwrap_or(now_ms), until_ms);
                now_ms = until_ms;
                assert_eq!(world.look_once(now_ms), [], "{rule}: it was there in time");
                let open: Vec<RecordId> =
                    world.made.values().flatten().filter(|it| it.status == "open").map(|it| it.id).collect();
                for id in open {
                    let reason = "not needed".to_owned();
                    let step =
                        rounds_domain::op::Step { to: "cancelled".to_owned(), reason, ..Default::default() };
                    if world.made[&id].as_ref().unwrap().kind == Kind::FollowUp {
                        world.act_on(now_ms, id, Kind::FollowUp, Action::Step(step));
                    }
                }
                world.look(now_ms + 1);
            }
        }
    }
}

#[test]
fn a_planting_is_the_team_s_until_an_adoption_is_confirmed_and_again_when_not_watered_in_time() {
    let mut world = World::of(watering(), shanghai());
    let adoption = rounds_domain::body::Adoption {
        asset: Some(record_id(60)),
        place: Some(record_id(61)),
        ..Default::default()
    };
    let at_ms = world.at(date(2026, 6, 1), 0);
    let whose = |world: &World| {
        let follow_up = world.follow_up_on(date(2026, 6, 1));
        (follow_up.reference("adoption"), follow_up.reference("worker"))
    };
    let (adopted, team) = ((Some(record_id(3)), None), (None, Some(record_id(70))));
    world.act(at_ms, record_id(3), Kind::Adoption, Action::Create(Box::new(Body::Adoption(adoption))));
    world.look(at_ms);
    assert_eq!(whose(&world), team, "nobody confirmed it");
    for (ms, stage, expected) in [(1, "confirmed", adopted), (2, "lapsed", team), (3, "confirmed", adopted)] {
        world.act(at_ms + ms, record_id(3), Kind::Adoption, step(stage));
        world.look(at_ms + ms);
        assert_eq!(whose(&world), expected, "{stage}");
    }
    assert_eq!(world.next_ms, Some(world.at(date(2026, 6, 2), 0)), "one ms after the day");
    world.look(world.at(date(2026, 6, 2), 0));
    assert_eq!(whose(&world), team);
}

#[test]
fn the_days_are_those_of_the_area_also_when_the_clocks_change() {
    let berlin = TimeZone::get("Europe/Berlin").unwrap();
    let daily = Plan {
        rule: "FREQ=DAILY;BYHOUR=8;BYMINUTE=0".to_owned(),
        from: "2026-03-27".to_owned(),
        after_completion: false,
        ..watering()
    };
    let due: Vec<String> = preview(&daily, date(2026, 3, 27), date(2026, 3, 30), &berlin)
        .iter()
        .map(|it| jiff::Timestamp::from_millisecond(it.due_ms).unwrap().to_string())
        .collect();
    let expected =
        ["2026-03-27T07:00:00Z", "2026-03-28T07:00:00Z", "2026-03-29T06:00:00Z", "2026-03-30T06:00:00Z"];
    assert_eq!(due, expected);
}

#[test]
fn a_clock_that_ran_ahead_leaves_nothing_behind_once_it_is_right() {
    let mut world = World::of(maintenance(), shanghai());
    world.look(world.at(date(2026, 1, 1), 0));
    world.look(world.at(date(2026, 1, 14), 0)); // two weeks ahead
    assert_eq!(world.follow_ups()[&date(2026, 1, 1)], "missed");
    world.look(world.at(date(2026, 1, 1), 1));
    assert_eq!(world.follow_ups()[&date(2026, 1, 1)], "open");
    let mut never_wrong = World::of(maintenance(), shanghai());
    never_wrong.look(never_wrong.at(date(2026, 1, 1), 1));
    assert_eq!(world.notices(), never_wrong.notices(), "nobody is left with an alert that never was");
}

#[test]
fn days_beyond_the_calendar_are_no_trouble_to_a_plan() {
    for after_completion in [true, false] {
        for [gap, opens, expires] in
            [[true, false, false], [false, true, false], [false, false, true], [true, true, true]]
        {
            let plan = Plan {
                gap_days_max: gap.then_some(u32::MAX),
                opens_days: opens.then_some(u32::MAX),
                expires_days: expires.then_some(u32::MAX),
                after_completion,
                ..maintenance()
            };
            preview(&plan, date(2026, 1, 1), date(2026, 3, 1), &shanghai());
            let mut world = World::of(plan, shanghai());
            world.look(world.at(date(2026, 1, 1), 0));
            assert_eq!(world.follow_ups()[&date(2026, 1, 1)], "open");
            world.done(world.at(date(2026, 1, 1), 9));
            world.look(world.at(date(2026, 1, 1), 10));
            world.look(world.at(date(2026, 1, 20), 0));
            assert_eq!(world.follow_ups()[&date(2026, 1, 1)], "done");
        }
    }
}

#[derive(Clone, Debug)]
struct Life {
    plan: Plan,
    /// Hours from the start at which work was done, and how many hours later it was known.
    work: Vec<(i64, i64)>,
    /// Hours from the start at which somebody looked.
    looks: Vec<i64>,
}

/// Plans from 20 March 2026 by one of these rules: the clocks of Europe change on the 29th.
pub(super) fn plans(rules: Vec<&'static str>) -> impl Strategy<Value = Plan> {
    let rules = prop::sample::select(rules);
    (rules, any::<bool>(), prop::option::of(0..4_u32), 0..3_u32, any::<bool>()).prop_map(
        |(rule, after_completion, expires_days, opens_days, gap)| Plan {
            rule: rule.to_owned(),
            after_completion: after_completion && !rule.contains("BYHOUR"),
            expires_days,
            opens_days: Some(opens_days),
            gap_days_max: gap.then_some(15),
            catch_up: "all".to_owned(),
            from: "2026-03-20".to_owned(),
            ..maintenance()
        },
    )
}

fn lives() -> impl Strategy<Value = Life> {
    let plan = plans(vec![
        "FREQ=DAILY",
        "FREQ=DAILY;INTERVAL=15",
        "FREQ=WEEKLY;BYDAY=MO,TH",
        "FREQ=MONTHLY;BYMONTHDAY=-1",
        "FREQ=DAILY;BYHOUR=7,19",
    ]);
    let work = prop::collection::vec((0..24 * 40_i64, prop::sample::select(vec![0, 1, 30, 200])), 0..14);
    let looks = prop::collection::vec(0..24 * 40_i64, 0..10);
    (plan, work, looks).prop_map(|(plan, work, looks)| Life { plan, work, looks })
}

proptest! {
    #![proptest_config(super::history::runs(400))]

    /// Whenever it was looked at, and in whatever order the truth came in: what stands at the end is what looking once
    /// at the end finds.
    #[test]
    fn looking_often_ends_where_looking_once_at_the_end_does(life in lives()) {
        let berlin = TimeZone::get("Europe/Berlin").unwrap();
        let end_hour = 24 * 50;
        let live = |looks: &[i64]| {
            let mut world = World::of(life.plan.clone(), berlin.clone());
            let start_ms = world.at(date(2026, 3, 20), 0);
            let mut events: Vec<(i64, Option<i64>)> = looks.iter().map(|hour| (*hour, None)).collect();
            events.extend(life.work.iter().map(|(hour, late)| (hour + late, Some(*hour))));
            events.sort();
            for (hour, work) in events {
                match work {
                    Some(hour) => { world.done(start_ms + hour * HOUR_MS + 60_000); }
                    None => { world.look(start_ms + hour * HOUR_MS); }
                }
            }
            world.look(start_ms + end_hour * HOUR_MS);
            world
        };
        let (often, once) = (live(&life.looks), live(&[]));
        let standing = |world: &World| -> BTreeMap<RecordId, (String, Value)> {
            let all = world.made.values().flatten();
            all.filter(|it| it.kind == Kind::FollowUp && it.status != "cancelled")
                .map(|it| (it.id, (it.status.clone(), it.fields["due_at_ms"].clone())))
                .collect()
        };
        prop_assert_eq!(standing(&often), standing(&once));
        let gaps = |world: &World| world.notices().into_iter().filter(|(sort, _, _)| sort == "gap").collect::<Vec<_>>();
        prop_assert_eq!(gaps(&often), gaps(&once));
    }
    /// What fell due before a change, and what became of it, is history.
    #[test]
    fn another_worker_for_a_plan_changes_no_stage(life in lives(), edit_hour in 0..24 * 50_i64) {
        let mut world = World::of(life.plan, TimeZone::get("Europe/Berlin").unwrap());
        let start_ms = world.at(date(2026, 3, 20), 0);
        let mut hours: Vec<(i64, Option<i64>)> = life.looks.iter().map(|hour| (*hour, None)).collect();
        hours.extend(life.work.iter().map(|(hour, late)| (hour + late, Some(*hour))));
        hours.sort();
        for (hour, work) in hours.iter().filter(|(hour, _)| *hour < edit_hour) {
            match work {
                Some(worked_at) => { world.done(start_ms + worked_at * HOUR_MS + 60_000); }
                None => { world.look(start_ms + hour * HOUR_MS); }
            }
        }
        let edit_ms = start_ms + edit_hour * HOUR_MS;
        world.look(edit_ms);
        let stages = |world: &World| -> BTreeMap<RecordId, (Value, String)> {
            let all = world.made.values().flatten().filter(|it| it.kind == Kind::FollowUp);
            all.map(|it| (it.id, (it.fields["due_at_ms"].clone(), it.status.clone()))).collect()
        };
        let before = stages(&world);
        world.edit_plan(edit_ms, "worker", json!(record_id(71)));
        world.look(edit_ms);
        prop_assert_eq!(stages(&world), before);
    }
}
