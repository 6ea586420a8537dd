//! What follows from what happened once, as the policies have it, and who is told: rechecks, second calls, referrals and
//! their verification, contracts that end, dwellings where nobody was met.

#![allow(clippy::unwrap_used)] // a test that cannot go on has failed

use super::history::runs;
use super::sample::{DAY_MS, START_MS, area, device, edit, op, placed, record_id, step};
use jiff::civil::{Date, DateTime, date};
use jiff::tz::TimeZone;
use proptest::prelude::*;
use rounds_domain::body::{Contract, Inspection, Plan, Policy, ReminderStep, Request, Violation, Visit};
use rounds_domain::follow_up::{Around, Mend, look};
use rounds_domain::recurrence::{day_end_ms, day_start_ms, local_day};
use rounds_domain::template::Template;
use rounds_domain::{Action, Body, Effect, Kind, Op, PlacedOp, Record, RecordId, Role, apply, op as ops};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

const SYSTEM: u128 = 8;
const SOURCE: u128 = 1;
const PLACE: u128 = 60;

const HOUR_MS: i64 = 3_600_000;

/// One source at one place, what else happened there, and what becomes of it as time passes.
struct Place {
    zone: TimeZone,
    near: BTreeMap<RecordId, Option<Record>>,
    /// The policies, nearest first.
    policies: Vec<Option<Record>>,
    made: BTreeMap<RecordId, Option<Record>>,
    ops: u64,
}

impl Place {
    fn with(at_ms: i64, source: Body) -> Self {
        let zone = TimeZone::get("Asia/Shanghai").unwrap();
        let mut place =
            Self { zone, near: BTreeMap::new(), policies: Vec::new(), made: BTreeMap::new(), ops: 0 };
        place.add(at_ms, SOURCE, source);
        place
    }

    fn placed(&mut self, by: u128, at_ms: i64, record: RecordId, kind: Kind, action: Action) -> PlacedOp {
        self.ops += 1;
        let mut placed = placed(by, self.ops, 0, Op { record, area: area(0), ..op(kind, action) });
        placed.at_ms = at_ms;
        placed.key.stamp = rounds_domain::clock::stamp(at_ms, 0, 0);
        placed
    }

    fn add(&mut self, at_ms: i64, record: u128, body: Body) {
        self.act(at_ms, record, body.kind(), Action::Create(Box::new(body)));
    }

    fn act(&mut self, at_ms: i64, record: u128, kind: Kind, action: Action) {
        let placed = self.placed(1, at_ms, record_id(record), kind, action);
        assert_eq!(placed.op.check(), Ok(()));
        assert_eq!(apply(self.near.entry(record_id(record)).or_default(), &placed), Effect::Applied);
    }

    /// The same, if it may be.
    fn try_act(&mut self, at_ms: i64, record: u128, kind: Kind, action: Action) {
        let placed = self.placed(1, at_ms, record_id(record), kind, action);
        if placed.op.check().is_ok() {
            apply(self.near.entry(record_id(record)).or_default(), &placed);
        }
    }

    /// Somebody made a policy that is nearer than those before.
    fn policy(&mut self, at_ms: i64, policy: Policy) {
        let id = record_id(500 + self.policies.len() as u128);
        let create = Action::Create(Box::new(Body::Policy(policy)));
        let placed = self.placed(1, at_ms, id, Kind::Policy, create);
        assert_eq!(placed.op.check(), Ok(()));
        let mut made = None;
        apply(&mut made, &placed);
        self.policies.insert(0, made);
    }

    /// Somebody changes the nearest policy.
    fn change_policy(&mut self, at_ms: i64, action: Action) {
        let id = self.policies[0].as_ref().unwrap().id;
        let placed = self.placed(1, at_ms, id, Kind::Policy, action);
        assert_eq!(placed.op.check(), Ok(()));
        assert_eq!(apply(&mut self.policies[0], &placed), Effect::Applied);
    }

    fn set_due_days(&mut self, at_ms: i64, days: &[u32]) {
        let before = self.policies[0].as_ref().unwrap().fields.get("due_days").cloned();
        let value = if days.is_empty() { Value::Null } else { json!(days) };
        let base = before.unwrap_or(Value::Null);
        if base != value {
            self.change_policy(at_ms, edit(&[("due_days", base, value)]));
        }
    }

    /// Somebody brings one of the follow-ups that are there to a stage, if it may come to it.
    fn say(&mut self, at_ms: i64, which: usize, stage: &str) {
        let there = self.made.values().flatten().filter(|it| it.kind == Kind::FollowUp);
        let Some(id) = there.map(|it| it.id).nth(which) else { return };
        let mut said = self.placed(1, at_ms, id, Kind::FollowUp, step(stage));
        let record = self.made.get_mut(&id).unwrap();
        said.key.stamp = said.key.stamp.max(record.as_ref().unwrap().through.stamp + 1);
        apply(record, &said);
    }

    /// The worker looks.
    fn look(&mut self, now_ms: i64) -> Option<i64> {
        let next_ms = self.look_once(now_ms).1;
        assert_eq!(self.look_once(now_ms).0, [], "looking once is enough");
        next_ms
    }

    fn look_once(&mut self, now_ms: i64) -> (Vec<Mend>, Option<i64>) {
        let nearby: Vec<Record> = self.near.values().flatten().cloned().collect();
        let made: Vec<Record> = self.made.values().flatten().cloned().collect();
        let of = |kind: Kind| made.iter().filter(|it| it.kind == kind).cloned().collect::<Vec<_>>();
        let (follow_ups, notices) = (of(Kind::FollowUp), of(Kind::Notice));
        let kept = self.policies.clone();
        let policies: Vec<&Record> = kept.iter().flatten().collect();
        let around = Around {
            now_ms,
            zone: &self.zone.clone(),
            system: device(SYSTEM),
            follow_ups: &follow_ups,
            notices: &notices,
            nearby: &nearby,
            policies: &policies,
        };
        let outlook = look(self.near[&record_id(SOURCE)].as_ref().unwrap(), &around);
        for mend in &outlook.mends {
            assert!(Role::System.may(&mend.action, mend.kind), "{mend:?}");
            let mut placed = self.placed(SYSTEM, now_ms, mend.record, mend.kind, mend.action.clone());
            assert_eq!(placed.op.check(), Ok(()), "{mend:?}");
            let record = self.made.entry(mend.record).or_default();
            if let Some(record) = record {
                placed.key.stamp = placed.key.stamp.max(record.through.stamp + 1);
            }
            assert_eq!(apply(record, &placed), Effect::Applied, "{mend:?}");
        }
        (outlook.mends, outlook.next_ms)
    }

    /// Looks whenever there is reason to, until then.
    fn live_until(&mut self, from_ms: i64, until_ms: i64) {
        let mut now_ms = from_ms;
        while now_ms < until_ms {
            now_ms = self.look(now_ms).unwrap_or(until_ms).min(until_ms);
        }
        self.look(until_ms);
    }

    /// The follow-ups that were not cancelled: on which day since the start they are due, and their stage.
    fn follow_ups(&self) -> Vec<(i64, String)> {
        let all = self.made.values().flatten();
        let standing = all.filter(|it| it.kind == Kind::FollowUp && it.status != "cancelled");
        let mut found: Vec<_> = standing
            .map(|it| ((it.fields["due_at_ms"].as_i64().unwrap() - START_MS) / DAY_MS, it.status.clone()))
            .collect();
        found.sort();
        found
    }

    /// Who was told on which day of what, and it stands.
    fn told(&self) -> Vec<(Date, String, String)> {
        let all = self.made.values().flatten();
        let standing = all.filter(|it| it.kind == Kind::Notice && it.status != "withdrawn");
        let day = |it: &Record| local_day(it.fields["at_ms"].as_i64().unwrap(), &self.zone);
        let mut told: Vec<_> = standing
            .map(|it| {
                let role = it.text("role");
                let to = if role.is_empty() { "partner" } else { role };
                (day(it), it.text("sort").to_owned(), to.to_owned())
            })
            .collect();
        told.sort();
        told
    }
}

fn standing(stages: &[(i64, &str)]) -> Vec<(i64, String)> {
    stages.iter().map(|(day, stage)| (*day, (*stage).to_owned())).collect()
}

/// A violation that was removed at the start.
fn removed() -> Place {
    let dumping =
        Violation { subject: Some(record_id(PLACE)), sort: "dumping".to_owned(), ..Violation::default() };
    let mut place = Place::with(START_MS - DAY_MS, Body::Violation(dumping));
    place.act(START_MS, SOURCE, Kind::Violation, step("removed"));
    place
}

/// A visit at the start.
fn visited(outcome: &str) -> Place {
    Place::with(START_MS, Body::Visit(visit(outcome)))
}

fn visit(outcome: &str) -> Visit {
    let (purpose, outcome) = ("routine".to_owned(), outcome.to_owned());
    Visit { subject: Some(record_id(PLACE)), purpose, outcome, ..Visit::default() }
}

/// A request that was referred the day before the start.
fn referred() -> Place {
    let (category, channel) = ("water".to_owned(), "visit".to_owned());
    let request = Request { subject: Some(record_id(PLACE)), category, channel, ..Request::default() };
    let mut place = Place::with(START_MS - DAY_MS, Body::Request(request));
    place.act(START_MS - DAY_MS + 1, SOURCE, Kind::Request, step("triaged"));
    place.act(START_MS - DAY_MS + 2, SOURCE, Kind::Request, step("referred"));
    place
}

fn due_days(sort: &str, days: &[u32]) -> Policy {
    Policy { sort: sort.to_owned(), due_days: days.to_vec(), ..Policy::default() }
}

/// Somebody looks again at a place where something was removed.
fn rechecked(place: &mut Place, at_ms: i64) {
    let id = 1_000 + u128::from(place.ops);
    let body = Visit { purpose: "recheck".to_owned(), ..visit("met") };
    place.add(at_ms, id, Body::Visit(body));
}

#[test]
fn the_nearest_policy_for_a_sort_says_when_what_happened_once_is_followed_up() {
    let after = |mut place: Place, policies: &[Policy]| {
        for policy in policies {
            place.policy(START_MS - DAY_MS, policy.clone());
        }
        place.look(START_MS + 1);
        place.follow_ups().into_iter().map(|(day, _)| day).collect::<Vec<_>>()
    };
    let resolved = || {
        let mut place = referred();
        place.act(START_MS, SOURCE, Kind::Request, step("resolved"));
        place
    };
    type Case = (&'static str, fn() -> Place, &'static [i64]);
    let cases: [Case; 2] =
        [("recheck", removed, &[7, 30, 90]), ("second_call", || visited("no_answer"), &[3])];
    for (sort, place, built_in) in cases {
        let other = due_days("maintenance", &[1]);
        assert_eq!(after(place(), &[]), built_in, "{sort}");
        assert_eq!(after(place(), &[other, due_days("", &[5]), due_days(sort, &[])]), built_in, "{sort}");
        assert_eq!(after(place(), &[due_days(sort, &[14])]), [14], "{sort}");
        assert_eq!(after(place(), &[due_days(sort, &[14]), due_days(sort, &[21])]), [21], "{sort}");
        assert_eq!(after(place(), &[due_days(sort, &[14]), due_days(sort, &[])]), [14], "{sort}");
        assert_eq!(after(place(), &[due_days(sort, &[0])]), [] as [i64; 0], "{sort}");
    }
    assert_eq!(after(removed(), &[due_days("recheck", &[14, 60])]), [14, 60]);
    assert_eq!(after(visited("no_answer"), &[due_days("second_call", &[1, 9])]), [1], "it is due once");
    // The referral itself is due when its step says.
    assert_eq!(after(resolved(), &[]), [7, 7]);
    assert_eq!(after(resolved(), &[due_days("verification", &[2])]), [2, 7]);
    assert_eq!(after(resolved(), &[due_days("verification", &[0])]), [7]);
}

#[test]
fn a_policy_that_changes_is_about_what_is_to_come() {
    let mut place = removed();
    place.policy(START_MS, due_days("recheck", &[2, 10, 20, 40]));
    place.live_until(START_MS + 1, START_MS + 5 * DAY_MS);
    rechecked(&mut place, START_MS + 9 * DAY_MS); // two days before it is due: it opens then
    place.live_until(START_MS + 5 * DAY_MS, START_MS + 9 * DAY_MS + 1);
    assert_eq!(
        place.follow_ups(),
        standing(&[(2, "done"), (10, "done"), (20, "open"), (40, "open")]),
        "the one visit fits both windows"
    );

    place.set_due_days(START_MS + 9 * DAY_MS + 2, &[20, 50]);
    place.look(START_MS + 9 * DAY_MS + 3);
    assert_eq!(
        place.follow_ups(),
        standing(&[(2, "done"), (10, "done"), (20, "open"), (50, "open")]),
        "what was done or fell due stays"
    );
    place.live_until(START_MS + 9 * DAY_MS + 3, START_MS + 28 * DAY_MS);
    assert_eq!(place.follow_ups(), standing(&[(2, "done"), (10, "done"), (20, "missed"), (50, "open")]));

    let gone = Action::Delete { reason: "as everywhere".to_owned() };
    place.change_policy(START_MS + 28 * DAY_MS + 1, gone);
    place.look(START_MS + 28 * DAY_MS + 2);
    assert_eq!(
        place.follow_ups(),
        standing(&[(2, "done"), (10, "done"), (20, "missed"), (30, "open"), (90, "open")]),
        "the built-in days of which one was over before are not made up for"
    );
}

#[test]
fn a_second_call_keeps_its_time_once_it_fell_due() {
    let mut place = visited("no_answer");
    place.policy(START_MS, due_days("second_call", &[3]));
    place.look(START_MS + 1);
    place.set_due_days(START_MS + DAY_MS, &[5]);
    place.look(START_MS + DAY_MS + 1);
    assert_eq!(place.follow_ups(), standing(&[(5, "open")]));
    place.live_until(START_MS + DAY_MS + 1, START_MS + 6 * DAY_MS);
    place.set_due_days(START_MS + 6 * DAY_MS, &[0]);
    place.look(START_MS + 6 * DAY_MS + 1);
    assert_eq!(place.follow_ups(), standing(&[(5, "open")]));
    place.live_until(START_MS + 6 * DAY_MS + 1, START_MS + 20 * DAY_MS);
    assert_eq!(place.follow_ups(), standing(&[(5, "missed")]));
}

#[test]
fn a_second_call_is_done_by_the_next_visit_from_its_window_on() {
    let mut place = visited("no_answer");
    for (n, hours, stage) in [(2, 17, "open"), (3, 18, "done")] {
        let at_ms = START_MS + hours * HOUR_MS;
        place.add(at_ms, n, Body::Visit(visit("no_answer")));
        place.look(at_ms);
        assert_eq!(place.follow_ups(), standing(&[(3, stage)]), "after {hours} hours");
    }
}

#[test]
fn switching_second_calls_on_makes_none_for_calls_of_long_ago() {
    let mut place = visited("no_answer");
    place.policy(START_MS, due_days("second_call", &[0]));
    place.live_until(START_MS + 1, START_MS + 200 * DAY_MS);
    place.set_due_days(START_MS + 200 * DAY_MS, &[3]);
    place.look(START_MS + 200 * DAY_MS + 1);
    assert_eq!(place.follow_ups(), []);
    assert_eq!(place.told(), []);
}

#[test]
fn a_partner_is_told_at_once_and_asked_when_its_time_is_up() {
    let mut place = referred();
    let due_ms = START_MS + 7 * DAY_MS;
    place.look(START_MS);
    assert_eq!(place.follow_ups(), standing(&[(7, "open")]));
    let day = |ms| local_day(ms, &place.zone);
    let told = |day: Date, sort: &str, to: &str| (day, sort.to_owned(), to.to_owned());
    let referred = told(day(START_MS - DAY_MS), "referral", "partner");
    assert_eq!(place.told(), std::slice::from_ref(&referred));
    let due_on = day(due_ms);
    place.live_until(START_MS, due_ms + DAY_MS);
    let asked = ["coordinator", "partner"].map(|to| told(due_on, "reminder", to));
    assert_eq!(place.told(), [&[referred][..], &asked].concat());
    place.live_until(due_ms + DAY_MS, due_ms + 5 * DAY_MS);
    assert!(place.told().iter().any(|(_, sort, to)| sort == "overdue" && to == "supervisor"));

    place.act(due_ms + 5 * DAY_MS + 1, SOURCE, Kind::Request, step("resolved"));
    place.look(due_ms + 5 * DAY_MS + 2);
    assert_eq!(place.follow_ups(), standing(&[(7, "done"), (19, "open")]), "resolved is to be verified");
    place.act(due_ms + 6 * DAY_MS, SOURCE, Kind::Request, step("verified"));
    place.look(due_ms + 6 * DAY_MS + 1);
    assert_eq!(place.follow_ups(), standing(&[(7, "done"), (19, "done")]));
}

#[test]
fn a_partner_is_asked_again_when_the_team_finds_that_it_resolved_nothing() {
    let mut place = referred();
    let day = |days: i64| START_MS + days * DAY_MS;
    place.look(START_MS);
    place.act(day(1), SOURCE, Kind::Request, step("resolved"));
    place.look(day(1) + 1);
    assert_eq!(place.follow_ups(), standing(&[(7, "done"), (8, "open")]));
    place.act(day(2), SOURCE, Kind::Request, step("in_progress")); // not solved
    place.live_until(day(2) + 1, day(30));
    assert_eq!(place.follow_ups(), standing(&[(7, "open"), (8, "done")]));
    let asked: Vec<_> = place.told().into_iter().filter(|(_, sort, _)| sort != "referral").collect();
    let on = |days| local_day(day(days), &place.zone);
    let told = |days, sort: &str, to: &str| (on(days), sort.to_owned(), to.to_owned());
    let expected = [
        told(7, "reminder", "coordinator"),
        told(7, "reminder", "partner"),
        told(10, "overdue", "supervisor"),
    ];
    assert_eq!(asked, expected);

    place.act(day(31), SOURCE, Kind::Request, step("resolved"));
    place.look(day(31) + 1);
    assert_eq!(place.follow_ups(), standing(&[(7, "done"), (8, "done"), (38, "open")]));
}

#[test]
fn what_a_partner_resolved_stays_so_when_the_team_takes_up_the_same_trouble_later() {
    let mut place = referred();
    let steps = ["resolved", "verified", "closed", "open", "triaged", "in_progress"];
    for (at, to) in (1..).zip(steps) {
        place.act(START_MS + at * DAY_MS, SOURCE, Kind::Request, step(to));
        place.look(START_MS + at * DAY_MS + 1);
    }
    assert_eq!(place.follow_ups(), standing(&[(7, "done"), (8, "done")]));
}

/// A contract for an elevator that ends on the last day of 2026.
fn contract() -> Contract {
    Contract {
        organization: Some(record_id(50)),
        subject: Some(record_id(PLACE)),
        covers: "maintenance".to_owned(),
        from: "2026-01-01".to_owned(),
        until: "2026-12-31".to_owned(),
    }
}

/// That contract, to be looked after from the start on.
fn ending() -> Place {
    Place::with(START_MS - 300 * DAY_MS, Body::Contract(contract()))
}

fn on(place: &Place, day: Date) -> i64 {
    day_start_ms(day, &place.zone)
}

#[test]
fn the_end_of_a_contract_is_announced_90_30_and_7_days_ahead_and_a_lapse_is_an_alert() {
    let mut place = ending();
    let from_ms = on(&place, date(2026, 6, 1));
    assert_eq!(place.look(from_ms), Some(on(&place, date(2026, 10, 2))));
    place.live_until(from_ms, on(&place, date(2026, 10, 2)) - 1);
    assert!(place.follow_ups().is_empty() && place.told().is_empty(), "not before 90 days ahead");
    let told = |day: Date, sort: &str, to: &str| (day, sort.to_owned(), to.to_owned());
    let steps = [
        told(date(2026, 10, 2), "reminder", "coordinator"),
        told(date(2026, 12, 1), "reminder", "coordinator"),
        told(date(2026, 12, 24), "reminder", "coordinator"),
        told(date(2027, 1, 1), "overdue", "supervisor"),
    ];
    let mut before_ms = on(&place, date(2026, 10, 2)) - 1;
    for (count, (day, ..)) in (1..).zip(&steps) {
        let ms = on(&place, *day) + DAY_MS / 2;
        place.live_until(before_ms, ms);
        before_ms = ms;
        assert_eq!(place.told(), steps[..count], "at noon of {day}");
    }

    let successor = Contract { from: "2027-01-01".to_owned(), until: "2027-12-31".to_owned(), ..contract() };
    place.add(before_ms + 1, 2, Body::Contract(successor));
    place.look(before_ms + 2);
    assert_eq!(place.follow_ups().len(), 1);
    assert_eq!(place.follow_ups()[0].1, "done");
    assert_eq!(place.told(), [], "what nobody has seen is taken back");
}

/// The stage of what a contract's end calls for, a month before it, if there is this other one.
fn stage_beside(other: Contract) -> String {
    let mut place = ending();
    place.add(START_MS - 299 * DAY_MS, 2, Body::Contract(other));
    place.look(on(&place, date(2026, 12, 1)));
    let [(_, stage)] = &place.follow_ups()[..] else { panic!("one follow-up") };
    stage.clone()
}

#[test]
fn a_contract_for_something_else_or_with_a_hole_before_it_is_no_successor() {
    for (covers, from) in [("inspection", "2027-01-01"), ("maintenance", "2027-01-02")] {
        let (covers, from) = (covers.to_owned(), from.to_owned());
        let other = Contract { covers, from, until: "2027-12-31".to_owned(), ..contract() };
        assert_eq!(stage_beside(other), "open");
    }
}

#[test]
fn a_contract_that_ends_no_later_is_no_successor() {
    for (from, until) in [("2025-01-01", "2025-12-31"), ("2026-06-01", "2026-12-31")] {
        let (from, until) = (from.to_owned(), until.to_owned());
        assert_eq!(stage_beside(Contract { from, until, ..contract() }), "open");
    }
}

#[test]
fn a_policy_announces_the_end_of_a_contract_as_early_as_it_says() {
    let mut place = ending();
    let half_a_year = ReminderStep { offset_minutes: -180 * 24 * 60 - 16 * 60, to: "supervisor".to_owned() };
    let policy = Policy { sort: "contract_expiry".to_owned(), steps: vec![half_a_year], ..Policy::default() };
    place.policy(START_MS - 300 * DAY_MS, policy);
    let day = local_day(day_end_ms(date(2026, 12, 31), &place.zone) - 180 * DAY_MS, &place.zone);
    place.live_until(on(&place, date(2026, 2, 1)), on(&place, day) - 1);
    assert_eq!(place.told(), []);
    place.live_until(on(&place, day) - 1, on(&place, day) + DAY_MS / 2);
    assert_eq!(place.told(), [(day, "reminder".to_owned(), "supervisor".to_owned())]);
}

/// A policy that asks for digests and has both mailboxes.
fn digest(how_often: &str) -> Policy {
    Policy {
        digest: how_often.to_owned(),
        coordinator_email: "office@city.example".to_owned(),
        supervisor_email: "head@city.example".to_owned(),
        ..Policy::default()
    }
}

/// The first three digests of a policy that was made at the start, on a Wednesday evening: when, and who gets them.
fn digests(policy: Policy) -> Vec<(DateTime, Vec<String>)> {
    let mut place = Place::with(START_MS, Body::Policy(policy));
    let mut next_ms = place.look(START_MS);
    assert_eq!(place.told(), [], "in the morning there was no policy");
    let mut found = Vec::new();
    while let Some(now_ms) = next_ms.filter(|_| found.len() < 3) {
        next_ms = place.look(now_ms);
        let at = place.zone.to_datetime(jiff::Timestamp::from_millisecond(now_ms).unwrap());
        found.push((at, place.told().into_iter().map(|(_, _, to)| to).collect()));
    }
    found
}

#[test]
fn a_digest_is_called_for_each_morning_or_on_mondays() {
    let expected = |days: [Date; 3], to: &[&str]| {
        let to: Vec<String> = to.iter().map(|to| (*to).to_owned()).collect();
        days.map(|day| (day.at(8, 0, 0, 0), to.clone()))
    };
    let both = ["coordinator", "supervisor"];
    let next_days = [date(2026, 11, 19), date(2026, 11, 20), date(2026, 11, 21)];
    assert_eq!(digests(digest("daily")), expected(next_days, &both));
    let mondays = [date(2026, 11, 23), date(2026, 11, 30), date(2026, 12, 7)];
    assert_eq!(digests(digest("weekly")), expected(mondays, &both));
    let one = Policy { coordinator_email: String::new(), ..digest("weekly") };
    assert_eq!(digests(one), expected(mondays, &["supervisor"]));
    assert_eq!(digests(digest("")), []);
}

#[test]
fn a_digest_that_is_a_day_late_is_not_called_for_any_more() {
    for (late_ms, told) in [(DAY_MS - 1, 2), (DAY_MS, 0)] {
        let mut place = Place::with(START_MS, Body::Policy(digest("weekly")));
        let monday_ms = on(&place, date(2026, 11, 23)) + 8 * HOUR_MS;
        place.look(monday_ms + late_ms);
        assert_eq!(place.told().len(), told, "{late_ms} ms late");
    }
}

#[test]
fn a_dwelling_where_nobody_was_met_for_90_days_is_due_again() {
    let template = Template::named("dwelling-visit").unwrap();
    let plan = Plan { subject: Some(record_id(PLACE)), from: "2026-11-19".to_owned(), ..template.plan() };
    let mut place = Place::with(START_MS, Body::Plan(plan));
    let first = local_day(START_MS, &place.zone);
    let due = |place: &Place| -> Vec<(i64, String)> {
        let all = place.made.values().flatten().filter(|it| it.kind == Kind::FollowUp);
        let day = |it: &Record| local_day(it.fields["due_at_ms"].as_i64().unwrap(), &place.zone);
        let mut due: Vec<_> = all
            .filter(|it| it.status != "cancelled")
            .map(|it| (i64::from((day(it) - first).get_days()), it.status.clone()))
            .collect();
        due.sort();
        due
    };
    place.look(START_MS + 1);
    place.add(START_MS + 2, 2, Body::Visit(visit("met")));
    place.look(START_MS + 3);
    assert_eq!(due(&place).last().unwrap(), &(90, "open".to_owned()));
    // At the door, but nobody was met: it stays due.
    for (n, outcome) in (3..).zip(["no_answer", "refused", "moved"]) {
        place.add(START_MS + 80 * DAY_MS + n as i64, n, Body::Visit(visit(outcome)));
        place.look(START_MS + 80 * DAY_MS + n as i64);
        assert_eq!(due(&place).last().unwrap(), &(90, "open".to_owned()), "{outcome}");
    }
    place.add(START_MS + 85 * DAY_MS, 9, Body::Visit(visit("met")));
    place.look(START_MS + 85 * DAY_MS + 1);
    assert_eq!(due(&place).last().unwrap(), &(175, "open".to_owned()), "90 days from the last time");

    let longer = Plan { rule: "FREQ=DAILY;INTERVAL=30".to_owned(), ..template.plan() };
    let changes = vec![ops::Change {
        field: "rule".to_owned(),
        base: json!(template.plan().rule),
        value: json!(longer.rule),
    }];
    let edit = Action::Edit { changes, reason: "every month in this street".to_owned() };
    place.act(START_MS + 86 * DAY_MS, SOURCE, Kind::Plan, edit);
    place.look(START_MS + 86 * DAY_MS + 1);
    assert_eq!(due(&place).last().unwrap(), &(115, "open".to_owned()), "N is a city's to set");
}

/// What happens, by the hours from the start.
#[derive(Clone, Debug)]
struct Life {
    /// The policy changes, to this.
    changes: BTreeMap<i64, Vec<u32>>,
    /// Somebody was there again.
    rechecks: BTreeSet<i64>,
    /// Somebody brought what it is about to this stage.
    steps: BTreeMap<i64, &'static str>,
    /// Somebody brought one of the follow-ups to this stage by hand.
    said: BTreeMap<i64, (usize, &'static str)>,
    /// The worker looked for no reason.
    looks: BTreeSet<i64>,
}

const LIFE_HOURS: i64 = 24 * 70;

fn lives() -> impl Strategy<Value = Life> {
    let days =
        prop::sample::select(vec![vec![], vec![0], vec![5], vec![14, 60], vec![7, 30, 90], vec![1, 2, 3]]);
    let said = (0..5_usize, prop::sample::select(vec!["done", "cancelled", "missed", "open"]));
    let stages = vec!["resolved", "verified", "closed", "open", "triaged", "in_progress", "found", "removed"];
    let hours = || 0..24 * 60_i64;
    (
        prop::collection::btree_map(hours(), days, 0..5),
        prop::collection::btree_set(hours(), 0..4),
        prop::collection::btree_map(hours(), prop::sample::select(stages), 0..6),
        prop::collection::btree_map(hours(), said, 0..4),
        prop::collection::btree_set(0..LIFE_HOURS, 0..12),
    )
        .prop_map(|(changes, rechecks, steps, said, looks)| Life {
            changes,
            rechecks,
            steps,
            said,
            looks,
        })
}

proptest! {
    #![proptest_config(runs(300))]

    /// Where nothing happened, a look before the moment that the last one named changes nothing.
    #[test]
    fn nothing_changes_by_itself_before_the_moment_that_a_look_names(
        life in lives(),
        (source, sort, kind) in prop::sample::select(vec![
            (removed as fn() -> Place, "recheck", Kind::Violation),
            (|| visited("no_answer"), "second_call", Kind::Visit),
            (referred, "verification", Kind::Request),
            (ending, "contract_expiry", Kind::Contract),
        ]),
    ) {
        let mut place = source();
        place.policy(START_MS, due_days(sort, &[10]));
        let mut next_ms = place.look(START_MS);
        let happens = life.changes.keys().chain(&life.rechecks).chain(life.said.keys()).chain(life.steps.keys());
        for hour in happens.chain(&life.looks).copied().collect::<BTreeSet<i64>>() {
            let at_ms = START_MS + hour * HOUR_MS;
            while let Some(moment_ms) = next_ms.filter(|moment_ms| *moment_ms <= at_ms) {
                next_ms = place.look(moment_ms);
            }
            if life.looks.contains(&hour) {
                prop_assert_eq!(place.look_once(at_ms).0, []);
            }
            if life.rechecks.contains(&hour) {
                rechecked(&mut place, at_ms);
            }
            if let Some(days) = life.changes.get(&hour) {
                place.set_due_days(at_ms, days);
            }
            if let Some(stage) = life.steps.get(&hour) {
                place.try_act(at_ms, SOURCE, kind, step(stage));
            }
            if let Some((which, stage)) = life.said.get(&hour) {
                place.say(at_ms, *which, stage);
            }
            next_ms = place.look(at_ms);
        }
    }

    /// The worker looks at once when the policy changes and when something happens; that it looks at other times too
    /// changes nothing.
    #[test]
    fn looking_more_often_than_needed_ends_where_looking_when_something_changed_does(life in lives()) {
        let live = |looks: &BTreeSet<i64>| {
            let mut place = removed();
            place.policy(START_MS, due_days("recheck", &[10]));
            place.look(START_MS);
            for hour in 0..=LIFE_HOURS {
                let now_ms = START_MS + hour * HOUR_MS;
                let mut is_moved = false;
                if life.rechecks.contains(&hour) {
                    rechecked(&mut place, now_ms + 1);
                    is_moved = true;
                }
                if let Some(days) = life.changes.get(&hour) {
                    place.set_due_days(now_ms + 2, days);
                    is_moved = true;
                }
                if is_moved || looks.contains(&hour) {
                    place.look(now_ms + 3);
                }
            }
            place.look(START_MS + LIFE_HOURS * HOUR_MS + 5);
            place.follow_ups()
        };
        prop_assert_eq!(live(&life.looks), live(&BTreeSet::new()));
    }
}

#[test]
fn an_inspection_that_names_the_violation_or_the_follow_up_is_a_recheck() {
    let mut place = removed();
    place.look(START_MS + 1);
    let first = place.made.values().flatten().find(|it| it.text("rule").starts_with("7 ")).unwrap().id;
    let shown = Inspection {
        subject: Some(record_id(PLACE)),
        result: "pass".to_owned(),
        follow_up: Some(first),
        ..Inspection::default()
    };
    place.add(START_MS + 6 * DAY_MS, 2, Body::Inspection(shown));
    place.look(START_MS + 6 * DAY_MS + 1);
    assert_eq!(place.follow_ups(), standing(&[(7, "done"), (30, "open"), (90, "open")]));
    let again = Visit { violation: Some(record_id(SOURCE)), ..visit("met") };
    place.add(START_MS + 29 * DAY_MS, 3, Body::Visit(again));
    place.look(START_MS + 29 * DAY_MS + 1);
    assert_eq!(place.follow_ups(), standing(&[(7, "done"), (30, "done"), (90, "open")]));
}

#[test]
fn a_visit_that_names_another_violation_is_no_recheck_of_this_one() {
    let mut place = removed();
    place.look(START_MS + 1);
    for (n, violation, expected) in [(2, 99, "open"), (3, SOURCE, "done")] {
        let recheck =
            Visit { purpose: "recheck".to_owned(), violation: Some(record_id(violation)), ..visit("met") };
        place.add(START_MS + 6 * DAY_MS + n as i64, n, Body::Visit(recheck));
        place.look(START_MS + 6 * DAY_MS + n as i64);
        assert_eq!(place.follow_ups(), standing(&[(7, expected), (30, "open"), (90, "open")]));
    }
}

#[test]
fn a_recheck_that_somebody_called_done_after_the_worker_did_stays_done() {
    let mut place = removed();
    place.look(START_MS + 1);
    rechecked(&mut place, START_MS + 6 * DAY_MS);
    place.look(START_MS + 6 * DAY_MS + 1);
    let of_it = |it: &&Record| it.kind == Kind::FollowUp && it.status == "done";
    let id = place.made.values().flatten().find(of_it).unwrap().id;
    let said = place.placed(1, START_MS + 6 * DAY_MS + 2, id, Kind::FollowUp, step("done"));
    assert_eq!(apply(place.made.get_mut(&id).unwrap(), &said), Effect::Merged);
    let visit = place.near.values().flatten().find(|it| it.kind == Kind::Visit).unwrap().id;
    let deleted = Action::Delete { reason: "at another place".to_owned() };
    let deletion = place.placed(1, START_MS + 6 * DAY_MS + 3, visit, Kind::Visit, deleted);
    assert_eq!(apply(place.near.get_mut(&visit).unwrap(), &deletion), Effect::Applied);
    place.look(START_MS + 6 * DAY_MS + 4);
    assert_eq!(place.follow_ups(), standing(&[(7, "done"), (30, "open"), (90, "open")]));
}
