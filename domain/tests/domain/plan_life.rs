//! Whatever happens to a plan and what is called for by it: work that becomes known late or was none, days that are put
//! off, what is given up, a plan that is edited.

#![allow(clippy::unwrap_used)] // a test that cannot go on has failed

use super::sample::{record_id, step};
use super::world::{HOUR_MS, World};
use jiff::civil::date;
use jiff::tz::TimeZone;
use proptest::prelude::*;
use rounds_domain::body::Plan;
use rounds_domain::follow_up::{LOOK_BACK_DAYS, Mend};
use rounds_domain::op::Step;
use rounds_domain::recurrence::{day_end_ms, days_later, local_day};
use rounds_domain::{Action, Change, Kind, RecordId};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

const MINUTE_MS: i64 = 60_000;

/// What happens.
#[derive(Clone, Debug)]
enum Event {
    /// Work on its asset; it is known so many hours later.
    Work { known_after: i64 },
    /// Somebody gives the n-th of those that are open another day or end, so many days from its own.
    Give { n: usize, field: &'static str, days: i64 },
    /// Somebody brings the n-th of all, in the order of their ids, to this stage, if it may come to it.
    Say { n: usize, stage: &'static str },
    /// Somebody gives up the n-th of those that are open.
    GiveUp { n: usize },
    /// The n-th work that is known turns out to have been somewhere else.
    Delete { n: usize },
    /// The coordinator has the plan say something else.
    Edit { field: &'static str, value: Value },
}

/// The same, and people say of follow-ups what became of them.
fn more_events() -> impl Strategy<Value = Vec<(i64, Event)>> {
    let stage = prop::sample::select(vec!["done", "missed", "open", "cancelled"]);
    let say = (0..12_usize, stage).prop_map(|(n, stage)| Event::Say { n, stage });
    let said = prop::collection::vec((0..24 * 45_i64, say), 0..5);
    (events(), said).prop_map(|(events, said)| [events, said].concat())
}

fn events() -> impl Strategy<Value = Vec<(i64, Event)>> {
    let work = prop::sample::select(vec![0, 1, 30, 100]).prop_map(|known_after| Event::Work { known_after });
    let field = prop::sample::select(vec!["due_at_ms", "due_at_ms", "expires_at_ms"]);
    let give = (0..3_usize, field, -6..20_i64).prop_map(|(n, field, days)| Event::Give { n, field, days });
    let give_up = (0..3_usize).prop_map(|n| Event::GiveUp { n });
    let delete = (0..4_usize).prop_map(|n| Event::Delete { n });
    let said = vec![
        ("worker", json!(record_id(71))),
        ("rule", json!("FREQ=DAILY;INTERVAL=5")),
        ("expires_days", json!(6)),
        ("until", json!("2026-04-20")),
        ("resting", json!(true)),
        ("resting", json!(false)),
    ];
    let edit = prop::sample::select(said).prop_map(|(field, value)| Event::Edit { field, value });
    prop::collection::vec(
        (0..24 * 40_i64, prop_oneof![4 => work, 4 => give, 1 => give_up, 1 => delete, 1 => edit]),
        0..10,
    )
}

/// The hour of some work, how many hours later it is known, and whether it names what was missed last.
fn work() -> impl Strategy<Value = (i64, i64, bool)> {
    (0..24 * 150_i64, prop::sample::select(vec![0, 1, 30, 200]), prop::bool::weighted(0.3))
}

fn plans() -> impl Strategy<Value = Plan> {
    super::plan::plans(vec!["FREQ=DAILY;INTERVAL=15", "FREQ=DAILY;INTERVAL=3", "FREQ=WEEKLY;BYDAY=MO,TH"])
}

/// Lives it, looking when something happened, when a moment has come, and at these hours. Answers what came of looking
/// at these hours, for no reason.
fn live(plan: &Plan, events: &[(i64, Event)], looks: &BTreeSet<i64>) -> (World, Vec<Mend>) {
    let mut world = World::of(plan.clone(), TimeZone::get("Europe/Berlin").unwrap());
    let start_ms = world.at(date(2026, 3, 20), 0);
    let mut known: BTreeMap<i64, Vec<(i64, &Event)>> = BTreeMap::new();
    for (hour, event) in events {
        let after = if let Event::Work { known_after } = event { *known_after } else { 0 };
        known.entry(hour + after).or_default().push((start_ms + hour * HOUR_MS, event));
    }
    let mut now_ms = start_ms;
    let mut unasked = Vec::new();
    world.look(now_ms);
    for hour in 0..=24 * 50 {
        let then_ms = start_ms + hour * HOUR_MS;
        world.live_by_timers_between(now_ms, then_ms);
        now_ms = then_ms;
        for (at_ms, event) in known.remove(&hour).unwrap_or_default() {
            happen(&mut world, event, at_ms, now_ms);
            now_ms += MINUTE_MS;
            world.look(now_ms);
        }
        if looks.contains(&hour) {
            now_ms += MINUTE_MS;
            world.live_by_timers_between(now_ms, now_ms + 1);
            unasked.extend(world.look(now_ms));
        }
    }
    (world, unasked)
}

/// Something happened at `at_ms`, and is known now.
fn happen(world: &mut World, event: &Event, at_ms: i64, now_ms: i64) {
    match event {
        Event::Work { .. } => {
            world.done(at_ms + MINUTE_MS);
        }
        Event::Give { n, field, days } => give(world, now_ms, *n, field, *days),
        Event::Say { n, stage } => {
            let all = world.made.values().flatten().filter(|it| it.kind == Kind::FollowUp);
            if let Some(id) = all.map(|it| it.id).nth(*n) {
                world.act_on(now_ms, id, Kind::FollowUp, step(stage));
            }
        }
        Event::GiveUp { n } => {
            let reason = "not needed".to_owned();
            let cancelled = Step { to: "cancelled".to_owned(), reason, ..Step::default() };
            if let Some(id) = world.open().get(*n).map(|it| it.id) {
                world.act_on(now_ms, id, Kind::FollowUp, Action::Step(cancelled));
            }
        }
        Event::Delete { n } => {
            let mut work = world.near.values().flatten().filter(|it| it.kind == Kind::Inspection);
            let id = work.nth(*n).filter(|it| it.deleted.is_none()).map(|it| it.id);
            if let Some(id) = id {
                let deletion = Action::Delete { reason: "somewhere else".to_owned() };
                world.act(now_ms, id, Kind::Inspection, deletion);
            }
        }
        Event::Edit { field, value } => {
            let says = &world.near[&world.plan].as_ref().unwrap().fields;
            if says.get(*field) != Some(value) {
                world.edit_plan(now_ms, field, value.clone());
            }
        }
    }
}

/// Gives the n-th of those that are open another day or end.
fn give(world: &mut World, at_ms: i64, n: usize, field: &str, days: i64) {
    let Some(asked) = world.open().get(n).copied() else { return };
    let (id, base) = (asked.id, asked.fields.get(field).cloned().unwrap_or(Value::Null));
    let own = local_day(asked.fields["due_at_ms"].as_i64().unwrap(), &world.zone);
    let day = days_later(own, days).max(local_day(at_ms, &world.zone));
    let value = json!(day_end_ms(day, &world.zone));
    if base != value {
        let changes = vec![Change { field: field.to_owned(), base, value }];
        let edit = Action::Edit { changes, reason: "nobody is there before".to_owned() };
        world.act_on(at_ms, id, Kind::FollowUp, edit);
    }
}

/// By id: stage, when it is due, and until when it can be done.
fn standing(world: &World) -> BTreeMap<RecordId, (String, Value, Value)> {
    let all = world.made.values().flatten();
    all.filter(|it| it.kind == Kind::FollowUp && it.status != "cancelled")
        .map(|it| {
            let field = |name: &str| it.fields.get(name).cloned().unwrap_or(Value::Null);
            (it.id, (it.status.clone(), field("due_at_ms"), field("expires_at_ms")))
        })
        .collect()
}

proptest! {
    #![proptest_config(super::history::runs(60))]

    /// That the worker looks more often than it has to changes nothing.
    #[test]
    fn looking_more_often_ends_at_the_same_whatever_happens(
        plan in plans(),
        events in events(),
        looks in prop::collection::btree_set(0..24 * 50_i64, 0..12),
    ) {
        let (often, seldom) = (live(&plan, &events, &looks).0, live(&plan, &events, &BTreeSet::new()).0);
        prop_assert_eq!(standing(&often), standing(&seldom));
        prop_assert_eq!(often.notices(), seldom.notices());
    }

    /// Where nothing happened, a look before the moment that the last one named changes nothing.
    #[test]
    fn nothing_changes_by_itself_before_the_moment_that_a_look_names(
        plan in plans(),
        events in more_events(),
        looks in prop::collection::btree_set(0..24 * 50_i64, 1..12),
    ) {
        prop_assert_eq!(live(&plan, &events, &looks).1, []);
    }

    /// What is long ago stays what it became: that time passes changes nothing but at the moments that were told.
    #[test]
    fn looking_again_much_later_changes_nothing(
        plan in plans(),
        work in prop::collection::vec(work(), 0..20),
        looks in prop::collection::btree_set(24 * 100..24 * 250_i64, 1..6),
    ) {
        let mut world = World::of(plan, TimeZone::get("Europe/Berlin").unwrap());
        world.reads_back_days = Some(2 * LOOK_BACK_DAYS);
        let start_ms = world.at(date(2026, 3, 20), 0);
        let mut events: Vec<(i64, Option<(i64, bool)>)> = looks.iter().map(|hour| (*hour, None)).collect();
        events.extend(work.iter().map(|(hour, known_after, named)| (hour + known_after, Some((*hour, *named)))));
        events.sort();
        let mut now_ms = start_ms;
        world.look(now_ms);
        for (hour, worked) in events {
            let then_ms = start_ms + hour * HOUR_MS + MINUTE_MS;
            world.live_by_timers_between(now_ms, then_ms);
            now_ms = then_ms.max(now_ms);
            match worked {
                Some((worked, names_missed)) => {
                    let named = world.last_missed().filter(|_| names_missed);
                    world.inspected(start_ms + worked * HOUR_MS, "", named);
                    now_ms += MINUTE_MS;
                    world.look(now_ms);
                }
                None => prop_assert_eq!(world.look(now_ms), []),
            }
        }
    }

    /// Work does one follow-up.
    #[test]
    fn no_work_does_two_whatever_happens(plan in plans(), events in events()) {
        let world = live(&plan, &events, &BTreeSet::new()).0;
        let mut shown = world.evidence(world.at(date(2026, 5, 9), 0));
        let count = shown.len();
        shown.sort();
        shown.dedup();
        prop_assert_eq!(shown.len(), count);
    }

    /// One is to come, as long as the plan is on and nobody gave it up; after completion one only.
    #[test]
    fn there_is_always_a_next_one_whatever_happens(plan in plans(), events in events()) {
        let is_given_up = |event: &Event| {
            matches!(event, Event::GiveUp { .. } | Event::Edit { field: "until" | "resting", .. })
        };
        let events: Vec<_> = events.into_iter().filter(|(_, event)| !is_given_up(event)).collect();
        let world = live(&plan, &events, &BTreeSet::new()).0;
        let open = standing(&world).values().filter(|(status, _, _)| status == "open").count();
        prop_assert!(open >= 1, "{:?}", standing(&world));
        prop_assert!(!plan.after_completion || open == 1, "{:?}", standing(&world));
    }
}
