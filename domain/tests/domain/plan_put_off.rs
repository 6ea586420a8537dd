//! Follow-ups of plans to which somebody gave another day, or another end.

use super::sample::record_id;
use super::world::{HOUR_MS, World, maintenance, shanghai, watering};
use jiff::civil::{Date, date};
use rounds_domain::body::Plan;
use rounds_domain::op::Step;
use rounds_domain::recurrence::day_end_ms;
use rounds_domain::{Action, Change, Kind};
use serde_json::{Value, json};

/// Every 15 days by the calendar, without a law; done within 10 days.
fn fortnightly() -> Plan {
    Plan { gap_days_max: None, ..maintenance() }
}

/// A world that was looked at on 2 January at 9, and that time.
fn begun(plan: Plan) -> (World, i64) {
    let mut world = World::of(plan, shanghai());
    let start_ms = world.at(date(2026, 1, 2), 9);
    world.look(start_ms);
    (world, start_ms)
}

/// Somebody says of the follow-up of a day that `field` is the end of another, at this time; then it is looked at.
fn give(world: &mut World, at_ms: i64, of: Date, field: &str, to: Date) {
    let asked = world.follow_up_on(of);
    let base = asked.fields.get(field).cloned().unwrap_or(Value::Null);
    let value = json!(day_end_ms(to, &world.zone));
    let changes = vec![Change { field: field.to_owned(), base, value }];
    let edit = Action::Edit { changes, reason: "nobody is there before".to_owned() };
    world.act_on(at_ms, asked.id, Kind::FollowUp, edit);
    world.look(at_ms + HOUR_MS);
}

fn status_on(world: &World, day: Date) -> String {
    world.follow_up_on(day).status
}

#[test]
fn what_was_put_off_is_missed_as_much_later() {
    let (mut world, start_ms) = begun(fortnightly());
    // Due on the 16th, and to be done until the 26th.
    give(&mut world, start_ms, date(2026, 1, 16), "due_at_ms", date(2026, 1, 29));
    let closes = world.follow_up_on(date(2026, 1, 29)).fields["expires_at_ms"].clone();
    assert_eq!(closes, json!(day_end_ms(date(2026, 2, 8), &world.zone)));
    for (day, status) in
        [(date(2026, 1, 28), "open"), (date(2026, 2, 8), "open"), (date(2026, 2, 9), "missed")]
    {
        world.look(world.at(day, 12));
        assert_eq!(status_on(&world, date(2026, 1, 29)), status, "on {day}");
    }
}

#[test]
fn work_on_the_day_to_which_it_was_put_off_does_it_and_no_other() {
    let (mut world, start_ms) = begun(fortnightly());
    world.done(world.at(date(2026, 1, 1), 9));
    give(&mut world, start_ms, date(2026, 1, 16), "due_at_ms", date(2026, 1, 29));
    world.done(world.at(date(2026, 1, 29), 9));
    world.look(world.at(date(2026, 1, 30), 0));
    assert_eq!(status_on(&world, date(2026, 1, 29)), "done");
    assert_eq!(status_on(&world, date(2026, 1, 31)), "open");
}

#[test]
fn work_that_does_what_is_due_then_does_not_do_what_was_put_off() {
    let mut world =
        World::of(Plan { rule: "FREQ=DAILY".to_owned(), opens_days: None, ..fortnightly() }, shanghai());
    let start_ms = world.at(date(2026, 1, 2), 9);
    world.look(start_ms);
    give(&mut world, start_ms, date(2026, 1, 3), "due_at_ms", date(2026, 1, 20));
    world.done(world.at(date(2026, 1, 4), 9));
    world.look(world.at(date(2026, 1, 4), 10));
    assert_eq!(status_on(&world, date(2026, 1, 4)), "done");
    let open_on_20: Vec<String> = world
        .made
        .values()
        .flatten()
        .filter(|it| it.fields.get("due_at_ms") == Some(&json!(day_end_ms(date(2026, 1, 20), &world.zone))))
        .map(|it| it.status.clone())
        .collect();
    assert_eq!(open_on_20, ["open"], "the one that was put off; that of the 20th is not made yet");
    // More than is due on a day does it, early as it is.
    world.done(world.at(date(2026, 1, 5), 9));
    world.done(world.at(date(2026, 1, 5), 10));
    world.look(world.at(date(2026, 1, 5), 11));
    assert_eq!(status_on(&world, date(2026, 1, 20)), "done");
}

#[test]
fn after_completion_what_was_put_off_is_followed_by_no_other_before_it() {
    let mut world = World::of(watering(), shanghai());
    let (due, later) = (date(2026, 6, 1), date(2026, 6, 21));
    let start_ms = world.at(due, 9);
    world.look(start_ms);
    give(&mut world, start_ms, due, "due_at_ms", later);
    world.live_until(world.at(due, 12), world.at(later, 12));
    assert_eq!(world.due_days(), [later]);
    assert_eq!(status_on(&world, later), "open");
    world.done(world.at(later, 13));
    world.look(world.at(later, 14));
    assert_eq!(status_on(&world, later), "done");
    assert_eq!(world.due_days().len(), 2, "the next one counts from then");
}

#[test]
fn until_when_it_can_be_done_is_what_somebody_said() {
    for (closes, on_the_20th, on_the_28th) in
        [(date(2026, 1, 18), "missed", "missed"), (date(2026, 1, 30), "open", "open")]
    {
        let (mut world, start_ms) = begun(fortnightly());
        give(&mut world, start_ms, date(2026, 1, 16), "expires_at_ms", closes);
        world.look(world.at(date(2026, 1, 20), 12));
        assert_eq!(status_on(&world, date(2026, 1, 16)), on_the_20th);
        world.look(world.at(date(2026, 1, 28), 12));
        assert_eq!(status_on(&world, date(2026, 1, 16)), on_the_28th);
    }
}

#[test]
fn what_was_brought_forward_opens_earlier() {
    let (mut world, start_ms) = begun(fortnightly());
    world.done(world.at(date(2026, 1, 1), 9));
    give(&mut world, start_ms, date(2026, 1, 16), "due_at_ms", date(2026, 1, 8));
    world.done(world.at(date(2026, 1, 8), 9)); // it opened on the 11th
    world.look(world.at(date(2026, 1, 9), 0));
    assert_eq!(status_on(&world, date(2026, 1, 8)), "done");
}

#[test]
fn what_was_put_off_and_is_done_leaves_the_law_its_say() {
    let (mut world, start_ms) = begun(maintenance());
    world.done(world.at(date(2026, 1, 1), 9));
    give(&mut world, start_ms, date(2026, 1, 16), "due_at_ms", date(2026, 1, 20));
    world.done(world.at(date(2026, 1, 12), 9));
    world.look(world.at(date(2026, 1, 13), 9));
    world.look(world.at(date(2026, 1, 20), 9));
    assert_eq!(world.due_days(), [1, 20, 27].map(|day| date(2026, 1, day)), "15 days after the 12th");
}

#[test]
fn after_completion_one_that_is_given_its_own_first_day_is_followed_by_the_next() {
    let mut world = World::of(watering(), shanghai());
    world.look(world.at(date(2026, 6, 1), 0));
    world.done(world.at(date(2026, 6, 1), 9));
    let at_ms = world.at(date(2026, 6, 1), 10);
    world.look(at_ms);
    give(&mut world, at_ms, date(2026, 6, 4), "due_at_ms", date(2026, 6, 1));
    world.live_until(at_ms, world.at(date(2026, 6, 9), 9));
    assert!(world.follow_ups().values().any(|status| status == "open"), "{:?}", world.follow_ups());
}

#[test]
fn what_was_put_off_after_its_plan_was_edited_keeps_its_window_and_gets_what_the_plan_says() {
    let (mut world, _) = begun(fortnightly());
    world.done(world.at(date(2026, 1, 1), 9));
    world.edit_plan(world.at(date(2026, 1, 18), 9), "worker", json!(record_id(71)));
    let later_ms = world.at(date(2026, 1, 20), 9);
    give(&mut world, later_ms, date(2026, 1, 16), "due_at_ms", date(2026, 1, 29));
    world.look(world.at(date(2026, 1, 28), 9));
    let put_off = world.follow_up_on(date(2026, 1, 29));
    assert_eq!(put_off.status, "open", "its window was over on the 26th");
    assert_eq!(put_off.reference("worker"), Some(record_id(71)));
    world.done(world.at(date(2026, 1, 29), 9));
    world.look(world.at(date(2026, 1, 30), 9));
    for (edited_on, worker) in [(30, 72), (31, 73)] {
        world.edit_plan(world.at(date(2026, 1, edited_on), 10), "worker", json!(record_id(worker)));
        world.look(world.at(date(2026, 1, edited_on), 11));
        assert_eq!(status_on(&world, date(2026, 1, 29)), "done");
        assert_eq!(status_on(&world, date(2026, 1, 31)), "open");
    }
}

#[test]
fn work_in_the_longer_time_that_somebody_gave_does_it() {
    let (mut world, start_ms) = begun(Plan { expires_days: Some(2), ..fortnightly() });
    give(&mut world, start_ms, date(2026, 1, 16), "expires_at_ms", date(2026, 1, 25));
    world.done(world.at(date(2026, 1, 22), 9));
    world.look(world.at(date(2026, 1, 23), 9));
    assert_eq!(status_on(&world, date(2026, 1, 16)), "done");
}

#[test]
fn work_that_did_what_was_put_off_is_not_taken_from_what_comes_next() {
    let (mut world, start_ms) = begun(fortnightly());
    give(&mut world, start_ms, date(2026, 1, 16), "due_at_ms", date(2026, 2, 10));
    for (month, day) in [(1, 1), (1, 20), (1, 31)] {
        world.done(world.at(date(2026, month, day), 9));
    }
    world.look(world.at(date(2026, 2, 5), 9));
    assert_eq!(status_on(&world, date(2026, 2, 10)), "done", "by the work of the 20th");
    world.done(world.at(date(2026, 2, 11), 9));
    world.look(world.at(date(2026, 2, 12), 9));
    assert_eq!(status_on(&world, date(2026, 2, 15)), "done");
}

#[test]
fn what_was_put_off_and_given_up_takes_no_work() {
    let (mut world, start_ms) = begun(fortnightly());
    world.done(world.at(date(2026, 1, 1), 9));
    give(&mut world, start_ms, date(2026, 1, 16), "due_at_ms", date(2026, 1, 29));
    let id = world.follow_up_on(date(2026, 1, 29)).id;
    let cancelled = Step { to: "cancelled".to_owned(), reason: "not needed".to_owned(), ..Step::default() };
    world.act_on(start_ms + 2 * HOUR_MS, id, Kind::FollowUp, Action::Step(cancelled));
    world.done(world.at(date(2026, 1, 29), 9));
    world.look(world.at(date(2026, 1, 30), 9));
    assert_eq!(status_on(&world, date(2026, 1, 31)), "done");
}

#[test]
fn after_completion_what_the_chain_left_behind_is_not_open_beside_it() {
    let mut world = World::of(watering(), shanghai());
    world.look(world.at(date(2026, 6, 1), 0));
    let at_ms = world.at(date(2026, 6, 4), 9);
    world.look(at_ms); // the first was missed
    give(&mut world, at_ms, date(2026, 6, 4), "due_at_ms", date(2026, 6, 10));
    world.done(world.at(date(2026, 6, 2), 9)); // a phone that was away
    world.look(world.at(date(2026, 6, 5), 9));
    let open: Vec<Date> =
        world.follow_ups().into_iter().filter(|(_, status)| status == "open").map(|(day, _)| day).collect();
    assert_eq!(open, [date(2026, 6, 5)]);
}

#[test]
fn what_was_put_off_ends_with_its_plan_if_it_could_not_be_done_before() {
    for (of, to, status) in [(31, date(2026, 2, 10), "cancelled"), (16, date(2026, 2, 9), "open")] {
        let mut world = World::of(fortnightly(), shanghai());
        world.done(world.at(date(2026, 1, 1), 9));
        let at_ms = world.at(date(2026, 1, 17), 9);
        world.look(at_ms);
        give(&mut world, at_ms, date(2026, 1, of), "due_at_ms", to);
        world.edit_plan(world.at(date(2026, 1, 19), 9), "until", json!("2026-01-20"));
        world.look(world.at(date(2026, 1, 22), 9));
        assert_eq!(status_on(&world, to), status);
    }
}

#[test]
fn after_completion_one_is_open_whatever_day_a_changed_rule_begins_with() {
    let weekly = Plan {
        rule: "FREQ=WEEKLY;BYDAY=MO,FR".to_owned(),
        after_completion: true,
        expires_days: None,
        ..fortnightly()
    };
    let (mut world, start_ms) = begun(weekly);
    give(&mut world, start_ms, date(2026, 1, 2), "expires_at_ms", date(2026, 1, 2));
    world.look(world.at(date(2026, 1, 3), 9));
    world.edit_plan(world.at(date(2026, 1, 7), 9), "rule", json!("FREQ=DAILY;INTERVAL=5"));
    world.look(world.at(date(2026, 1, 7), 10));
    assert_eq!(world.open().len(), 1, "{:?}", world.follow_ups());
}
