//! What plans call for: by the calendar and after completion, in seasons and phases, within legal gaps, on time and
//! late, and who is told.

#![allow(clippy::unwrap_used)] // a test that cannot go on has failed

use super::sample::{area, device, op, placed, record_id};
use jiff::civil::{Date, date};
use jiff::tz::TimeZone;
use proptest::prelude::*;
use rounds_domain::body::{Inspection, Notice, Plan};
use rounds_domain::follow_up::{Around, HORIZON_DAYS, LOOK_BACK_DAYS, Mend, look, preview};
use rounds_domain::recurrence::{day_end_ms, day_start_ms, days_later, local_day};
use rounds_domain::{Action, Body, Change, Effect, Kind, Op, PlacedOp, Record, RecordId, Role, apply, fold};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

const SYSTEM: u128 = 8;
const HOUR_MS: i64 = 3_600_000;

fn shanghai() -> TimeZone {
    TimeZone::get("Asia/Shanghai").unwrap()
}

/// One elevator or planting, its plan, and what becomes of it as time passes.
struct World {
    zone: TimeZone,
    /// All records but follow-ups and notices.
    near: BTreeMap<RecordId, Option<Record>>,
    made: BTreeMap<RecordId, Option<Record>>,
    /// All ops about follow-ups and notices.
    taken_in: Vec<PlacedOp>,
    plan: RecordId,
    ops: u64,
    next_ms: Option<i64>,
    policies: Vec<Record>,
    /// Follow-ups that are over are given to `look` if they fell due within so many days; None: all are.
    reads_back_days: Option<i64>,
}

impl World {
    /// A plan that was made at the beginning of its first day.
    fn of(plan: Plan, zone: TimeZone) -> Self {
        let from: Date = plan.from.parse().unwrap();
        let id = record_id(1);
        let near = BTreeMap::new();
        let mut world = Self {
            zone,
            near,
            made: BTreeMap::new(),
            taken_in: Vec::new(),
            plan: id,
            ops: 0,
            next_ms: None,
            policies: Vec::new(),
            reads_back_days: None,
        };
        let at_ms = day_start_ms(from, &world.zone);
        world.act(at_ms, id, Kind::Plan, Action::Create(Box::new(Body::Plan(plan))));
        world
    }

    fn at(&self, day: Date, hour: i64) -> i64 {
        day_start_ms(day, &self.zone) + hour * HOUR_MS
    }

    fn placed(&mut self, by: u128, at_ms: i64, record: RecordId, kind: Kind, action: Action) -> PlacedOp {
        self.ops += 1;
        let asked = Op { record, area: area(0), ..op(kind, action) };
        let mut placed = placed(by, self.ops, 0, asked);
        placed.at_ms = at_ms;
        placed.key.stamp = rounds_domain::clock::stamp(at_ms, 0, 0);
        placed
    }

    fn act(&mut self, at_ms: i64, record: RecordId, kind: Kind, action: Action) {
        let placed = self.placed(1, at_ms, record, kind, action);
        let effect = apply(self.near.entry(record).or_default(), &placed);
        assert_eq!(effect, Effect::Applied);
    }

    /// Somebody does something to a follow-up or notice.
    fn act_on(&mut self, at_ms: i64, record: RecordId, kind: Kind, action: Action) {
        let mut placed = self.placed(1, at_ms, record, kind, action);
        placed.key.stamp = placed.key.stamp.max(self.made[&record].as_ref().unwrap().through.stamp + 1);
        apply(self.made.get_mut(&record).unwrap(), &placed);
        self.taken_in.push(placed);
    }

    /// A phone that was offline brings what somebody did to a follow-up then: it takes its place among what others did.
    fn act_on_late(&mut self, at_ms: i64, record: RecordId, action: Action) {
        let late = self.placed(1, at_ms, record, Kind::FollowUp, action);
        self.taken_in.push(late);
        let of_it = |placed: &&PlacedOp| placed.op.record == record;
        let ops: Vec<PlacedOp> = self.taken_in.iter().filter(of_it).cloned().collect();
        self.made.insert(record, fold(&ops).0);
    }

    /// Maintenance or watering is done.
    fn done(&mut self, at_ms: i64) -> RecordId {
        self.inspected(at_ms, "", None)
    }

    fn inspected(&mut self, at_ms: i64, sort: &str, follow_up: Option<RecordId>) -> RecordId {
        let id = record_id(1000 + u128::from(self.ops));
        let body = Inspection {
            subject: Some(record_id(60)),
            result: "pass".to_owned(),
            sort: sort.to_owned(),
            follow_up,
            ..Inspection::default()
        };
        self.act(at_ms, id, Kind::Inspection, Action::Create(Box::new(Body::Inspection(body))));
        id
    }

    fn edit_plan(&mut self, at_ms: i64, field: &str, value: Value) {
        let base = self.near[&self.plan].as_ref().unwrap().fields.get(field).cloned().unwrap_or(Value::Null);
        let changes = vec![Change { field: field.to_owned(), base, value }];
        self.act(at_ms, self.plan, Kind::Plan, Action::Edit { changes, reason: "decided so".to_owned() });
    }

    /// The worker looks, as it does at `now_ms`.
    fn look(&mut self, now_ms: i64) -> Vec<Mend> {
        let mends = self.look_once(now_ms);
        assert_eq!(self.look_once(now_ms), [], "looking once is enough");
        mends
    }

    fn look_once(&mut self, now_ms: i64) -> Vec<Mend> {
        let nearby: Vec<Record> = self.near.values().flatten().cloned().collect();
        let is_read = |it: &&Record| !self.is_over_for_long(it, now_ms);
        let made: Vec<Record> = self.made.values().flatten().filter(is_read).cloned().collect();
        let of = |kind: Kind| made.iter().filter(|it| it.kind == kind).cloned().collect::<Vec<_>>();
        let (follow_ups, notices) = (of(Kind::FollowUp), of(Kind::Notice));
        let policies: Vec<&Record> = self.policies.iter().collect();
        let around = Around {
            now_ms,
            zone: &self.zone.clone(),
            system: device(SYSTEM),
            follow_ups: &follow_ups,
            notices: &notices,
            nearby: &nearby,
            policies: &policies,
        };
        let plan = self.near[&self.plan].clone().unwrap();
        let outlook = look(&plan, &around);
        assert!(outlook.next_ms.is_none_or(|next_ms| next_ms > now_ms));
        self.next_ms = outlook.next_ms;
        for mend in &outlook.mends {
            assert!(Role::System.may(&mend.action, mend.kind), "{mend:?}");
            let mut placed = self.placed(SYSTEM, now_ms, mend.record, mend.kind, mend.action.clone());
            assert_eq!(placed.op.check(), Ok(()), "{mend:?}");
            let record = self.made.entry(mend.record).or_default();
            if let Some(record) = record {
                placed.key.stamp = placed.key.stamp.max(record.through.stamp + 1);
            }
            assert_eq!(apply(record, &placed), Effect::Applied, "{mend:?}");
            self.taken_in.push(placed);
        }
        outlook.mends
    }

    fn is_over_for_long(&self, record: &Record, now_ms: i64) -> bool {
        let Some(days) = self.reads_back_days else { return false };
        let is_over = matches!(record.status.as_str(), "done" | "cancelled");
        let due_ms = record.fields.get("due_at_ms").and_then(Value::as_i64);
        let is_old = due_ms.is_some_and(|due_ms| due_ms < now_ms - days * 24 * HOUR_MS);
        record.kind == Kind::FollowUp && is_over && is_old
    }

    /// Looks when the worker is woken, until then.
    fn live_by_timers(&mut self, from_ms: i64, until_ms: i64) {
        let mut next_ms = Some(from_ms);
        while let Some(now_ms) = next_ms.filter(|now_ms| *now_ms <= until_ms) {
            self.look(now_ms);
            next_ms = self.next_ms;
        }
    }

    /// Looks whenever there is reason to, until then.
    fn live_until(&mut self, from_ms: i64, until_ms: i64) {
        let mut now_ms = from_ms;
        while now_ms <= until_ms {
            self.look(now_ms);
            match self.next_ms {
                Some(next_ms) if next_ms <= until_ms => now_ms = next_ms,
                _ => break,
            }
        }
        self.look(until_ms);
    }

    /// The follow-ups that were not cancelled: due day and stage.
    fn follow_ups(&self) -> BTreeMap<Date, String> {
        let all = self.made.values().flatten().filter(|it| it.kind == Kind::FollowUp);
        all.filter(|it| it.status != "cancelled")
            .map(|it| (local_day(it.fields["due_at_ms"].as_i64().unwrap(), &self.zone), it.status.clone()))
            .collect()
    }

    fn due_days(&self) -> Vec<Date> {
        self.follow_ups().into_keys().collect()
    }

    fn follow_up_on(&self, day: Date) -> Record {
        let due_ms = day_end_ms(day, &self.zone);
        let mut all = self.made.values().flatten().filter(|it| it.kind == Kind::FollowUp);
        all.find(|it| it.fields.get("due_at_ms") == Some(&json!(due_ms)))
            .cloned()
            .expect("a follow-up on that day")
    }

    /// The notices that stand: sort, to whom, local day of when they were called for.
    fn notices(&self) -> Vec<(String, String, Date)> {
        let standing = self.made.values().flatten();
        let mut notices: Vec<_> = standing
            .filter(|it| it.kind == Kind::Notice && it.status != "withdrawn")
            .map(|it| {
                let Ok(Body::Notice(Notice { sort, role, worker, at_ms, .. })) = it.body() else {
                    unreachable!()
                };
                let to = if worker.is_some() { "worker".to_owned() } else { role };
                (sort, to, local_day(at_ms.unwrap(), &self.zone))
            })
            .collect();
        notices.sort_by_key(|(_, _, day)| *day);
        notices
    }
}

/// Routine maintenance of an elevator from the first of January 2026.
fn maintenance() -> Plan {
    Plan {
        subject: Some(record_id(60)),
        sort: "maintenance".to_owned(),
        rule: "FREQ=DAILY;INTERVAL=15".to_owned(),
        from: "2026-01-01".to_owned(),
        opens_days: Some(5),
        expires_days: Some(10),
        gap_days_max: Some(15),
        worker: Some(record_id(70)),
        mandated: true,
        ..Plan::default()
    }
}

fn watering() -> Plan {
    Plan {
        subject: Some(record_id(60)),
        sort: "watering".to_owned(),
        rule: "FREQ=DAILY;INTERVAL=3".to_owned(),
        from: "2026-06-01".to_owned(),
        after_completion: true,
        expires_days: Some(2),
        worker: Some(record_id(70)),
        ..Plan::default()
    }
}

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
fn a_gap_between_two_completions_that_only_shows_later_is_an_alert_too() {
    let mut world = World::of(maintenance(), shanghai());
    world.done(world.at(date(2026, 1, 1), 9));
    world.done(world.at(date(2026, 1, 18), 9));
    world.look(world.at(date(2026, 1, 19), 0));
    let gaps = world.notices().into_iter().filter(|(sort, _, _)| sort == "gap").count();
    assert_eq!(gaps, 1, "17 days");
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
    let notice = |sort: &str, to: &str, day: i8| (sort.to_owned(), to.to_owned(), date(2026, 1, day));
    let told = [
        notice("reminder", "worker", 15),
        notice("reminder", "worker", 16),
        notice("overdue", "coordinator", 17),
        notice("overdue", "supervisor", 18),
    ];
    assert_eq!(world.notices(), told);
    world.done(world.at(date(2026, 1, 18), 20));
    world.look(world.at(date(2026, 1, 19), 1));
    assert_eq!(world.notices(), [], "what nobody has seen is taken back");
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
    let body = Body::from_fields(Kind::Policy, policy.as_object().unwrap().clone()).unwrap();
    let made = world.placed(1, 0, record_id(5), Kind::Policy, Action::Create(Box::new(body)));
    world.policies.extend(fold(&[made]).0);
    world.live_until(world.at(date(2026, 1, 1), 0), world.at(date(2026, 1, 2), 9));
    assert_eq!(world.notices(), []);
    world.look(day_start_ms(date(2026, 1, 2), &world.zone) + 9 * HOUR_MS + 30 * 60_000);
    assert_eq!(world.notices(), [("overdue".to_owned(), "supervisor".to_owned(), date(2026, 1, 2))]);
}

#[test]
fn quiet_hours_that_say_no_end_last_until_seven() {
    let mut world = World::of(Plan { gap_days_max: None, ..maintenance() }, shanghai());
    let policy = json!({ "quiet_from": "20:00", "steps": [{ "offset_minutes": 60, "to": "supervisor" }] });
    let body = Body::from_fields(Kind::Policy, policy.as_object().unwrap().clone()).unwrap();
    let made = world.placed(1, 0, record_id(5), Kind::Policy, Action::Create(Box::new(body)));
    world.policies.extend(fold(&[made]).0);
    world.live_until(world.at(date(2026, 1, 1), 0), world.at(date(2026, 1, 2), 7) - 1);
    assert_eq!(world.notices(), [], "one o'clock at night");
    world.look(world.at(date(2026, 1, 2), 7));
    assert_eq!(world.notices().len(), 1);
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
fn an_adopted_planting_falls_back_to_the_team_when_it_was_not_watered_in_time() {
    let mut world = World::of(watering(), shanghai());
    let adoption = rounds_domain::body::Adoption {
        asset: Some(record_id(60)),
        place: Some(record_id(61)),
        ..Default::default()
    };
    let at_ms = world.at(date(2026, 6, 1), 0);
    let confirmed = rounds_domain::op::Step { to: "confirmed".to_owned(), ..Default::default() };
    world.act(at_ms, record_id(3), Kind::Adoption, Action::Create(Box::new(Body::Adoption(adoption))));
    world.act(at_ms + 1, record_id(3), Kind::Adoption, Action::Step(confirmed));
    world.look(at_ms + 2);
    let given = world.follow_up_on(date(2026, 6, 1));
    assert_eq!((given.reference("adoption"), given.reference("worker")), (Some(record_id(3)), None));
    assert_eq!(world.next_ms, Some(world.at(date(2026, 6, 2), 0)), "one ms after the day");
    world.look(world.at(date(2026, 6, 2), 0));
    let back = world.follow_up_on(date(2026, 6, 1));
    assert_eq!((back.reference("adoption"), back.reference("worker")), (None, Some(record_id(70))));
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

#[derive(Clone, Debug)]
struct Life {
    plan: Plan,
    /// Hours from the start at which work was done, and how many hours later it was known.
    work: Vec<(i64, i64)>,
    /// Hours from the start at which somebody looked.
    looks: Vec<i64>,
}

fn lives() -> impl Strategy<Value = Life> {
    let rules = prop::sample::select(vec![
        "FREQ=DAILY",
        "FREQ=DAILY;INTERVAL=15",
        "FREQ=WEEKLY;BYDAY=MO,TH",
        "FREQ=MONTHLY;BYMONTHDAY=-1",
        "FREQ=DAILY;BYHOUR=7,19",
    ]);
    let plan = (rules, any::<bool>(), prop::option::of(0..4_u32), 0..3_u32, any::<bool>()).prop_map(
        |(rule, after_completion, expires_days, opens_days, gap)| Plan {
            rule: rule.to_owned(),
            after_completion: after_completion && !rule.contains("BYHOUR"),
            expires_days,
            opens_days: Some(opens_days),
            gap_days_max: gap.then_some(15),
            catch_up: "all".to_owned(),
            from: "2026-03-20".to_owned(), // the clocks change on the 29th
            ..maintenance()
        },
    );
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
