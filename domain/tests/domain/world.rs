//! One elevator or planting, its plan, and what becomes of it: what the tests of plans live in.

#![allow(clippy::unwrap_used)] // a test that cannot go on has failed

use super::sample::{area, device, op, placed, record_id};
use jiff::civil::Date;
use jiff::tz::TimeZone;
use rounds_domain::body::{Inspection, Notice, Plan, Visit};
use rounds_domain::follow_up::{Around, Mend, called_for, look};
use rounds_domain::recurrence::{day_end_ms, day_start_ms, local_day};
use rounds_domain::{Action, Body, Change, Effect, Kind, Op, PlacedOp, Record, RecordId, Role, apply, fold};
use serde_json::{Value, json};
use std::collections::BTreeMap;

pub(super) const SYSTEM: u128 = 8;

pub(super) const HOUR_MS: i64 = 3_600_000;

pub(super) fn shanghai() -> TimeZone {
    TimeZone::get("Asia/Shanghai").unwrap()
}

/// One elevator or planting, its plan, and what becomes of it as time passes.
pub(super) struct World {
    pub(super) zone: TimeZone,
    /// All records but follow-ups and notices.
    pub(super) near: BTreeMap<RecordId, Option<Record>>,
    pub(super) made: BTreeMap<RecordId, Option<Record>>,
    /// All ops about follow-ups and notices.
    taken_in: Vec<PlacedOp>,
    pub(super) plan: RecordId,
    pub(super) ops: u64,
    pub(super) next_ms: Option<i64>,
    pub(super) policies: Vec<Record>,
    /// Follow-ups that are over are given to `look` if they fell due within so many days; None: all are.
    pub(super) reads_back_days: Option<i64>,
}

impl World {
    /// A plan that was made at the beginning of its first day.
    pub(super) fn of(plan: Plan, zone: TimeZone) -> Self {
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

    pub(super) fn at(&self, day: Date, hour: i64) -> i64 {
        day_start_ms(day, &self.zone) + hour * HOUR_MS
    }

    pub(super) fn placed(
        &mut self,
        by: u128,
        at_ms: i64,
        record: RecordId,
        kind: Kind,
        action: Action,
    ) -> PlacedOp {
        self.ops += 1;
        let asked = Op { record, area: area(0), ..op(kind, action) };
        let mut placed = placed(by, self.ops, 0, asked);
        placed.at_ms = at_ms;
        placed.key.stamp = rounds_domain::clock::stamp(at_ms, 0, 0);
        placed
    }

    pub(super) fn act(&mut self, at_ms: i64, record: RecordId, kind: Kind, action: Action) {
        let placed = self.placed(1, at_ms, record, kind, action);
        let effect = apply(self.near.entry(record).or_default(), &placed);
        assert_eq!(effect, Effect::Applied);
    }

    /// Somebody does something to a follow-up or notice.
    pub(super) fn act_on(&mut self, at_ms: i64, record: RecordId, kind: Kind, action: Action) {
        let mut placed = self.placed(1, at_ms, record, kind, action);
        placed.key.stamp = placed.key.stamp.max(self.made[&record].as_ref().unwrap().through.stamp + 1);
        apply(self.made.get_mut(&record).unwrap(), &placed);
        self.taken_in.push(placed);
    }

    /// A phone that was offline brings what somebody did to a follow-up then: it takes its place among what others did.
    pub(super) fn act_on_late(&mut self, at_ms: i64, record: RecordId, action: Action) {
        let late = self.placed(1, at_ms, record, Kind::FollowUp, action);
        self.taken_in.push(late);
        let of_it = |placed: &&PlacedOp| placed.op.record == record;
        let ops: Vec<PlacedOp> = self.taken_in.iter().filter(of_it).cloned().collect();
        self.made.insert(record, fold(&ops).0);
    }

    /// Maintenance or watering is done.
    pub(super) fn done(&mut self, at_ms: i64) -> RecordId {
        self.inspected(at_ms, "", None)
    }

    pub(super) fn inspected(&mut self, at_ms: i64, sort: &str, follow_up: Option<RecordId>) -> RecordId {
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

    pub(super) fn visited(&mut self, at_ms: i64, purpose: &str, outcome: &str) {
        let id = record_id(1000 + u128::from(self.ops));
        let (purpose, outcome) = (purpose.to_owned(), outcome.to_owned());
        let body = Visit { subject: Some(record_id(60)), purpose, outcome, ..Visit::default() };
        self.act(at_ms, id, Kind::Visit, Action::Create(Box::new(Body::Visit(body))));
    }

    pub(super) fn edit_plan(&mut self, at_ms: i64, field: &str, value: Value) {
        let base = self.near[&self.plan].as_ref().unwrap().fields.get(field).cloned().unwrap_or(Value::Null);
        let changes = vec![Change { field: field.to_owned(), base, value }];
        self.act(at_ms, self.plan, Kind::Plan, Action::Edit { changes, reason: "decided so".to_owned() });
    }

    /// The worker looks, as it does at `now_ms`.
    pub(super) fn look(&mut self, now_ms: i64) -> Vec<Mend> {
        let mends = self.look_once(now_ms);
        assert_eq!(self.look_once(now_ms), [], "looking once is enough");
        mends
    }

    /// What this finds out about the plan.
    fn seen_from<T>(&self, now_ms: i64, of: impl Fn(&Record, &Around) -> T) -> T {
        let nearby: Vec<Record> = self.near.values().flatten().cloned().collect();
        let is_read = |it: &&Record| !self.is_over_for_long(it, now_ms);
        let made: Vec<Record> = self.made.values().flatten().filter(is_read).cloned().collect();
        let of_kind = |kind: Kind| made.iter().filter(|it| it.kind == kind).cloned().collect::<Vec<_>>();
        let (follow_ups, notices) = (of_kind(Kind::FollowUp), of_kind(Kind::Notice));
        let policies: Vec<&Record> = self.policies.iter().collect();
        let around = Around {
            now_ms,
            zone: &self.zone,
            system: device(SYSTEM),
            follow_ups: &follow_ups,
            notices: &notices,
            nearby: &nearby,
            policies: &policies,
        };
        of(self.near[&self.plan].as_ref().unwrap(), &around)
    }

    /// The work that does each follow-up, as far as the plan calls for them.
    pub(super) fn evidence(&self, now_ms: i64) -> Vec<RecordId> {
        let wanted = self.seen_from(now_ms, called_for);
        wanted.into_iter().filter_map(|it| it.done?.evidence).collect()
    }

    pub(super) fn look_once(&mut self, now_ms: i64) -> Vec<Mend> {
        let outlook = self.seen_from(now_ms, look);
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

    pub(super) fn is_over_for_long(&self, record: &Record, now_ms: i64) -> bool {
        let Some(days) = self.reads_back_days else { return false };
        let is_over = matches!(record.status.as_str(), "done" | "cancelled");
        let due_ms = record.fields.get("due_at_ms").and_then(Value::as_i64);
        let is_old = due_ms.is_some_and(|due_ms| due_ms < now_ms - days * 24 * HOUR_MS);
        record.kind == Kind::FollowUp && is_over && is_old
    }

    /// Looks when the worker is woken, until then.
    pub(super) fn live_by_timers(&mut self, from_ms: i64, until_ms: i64) {
        let mut next_ms = Some(from_ms);
        while let Some(now_ms) = next_ms.filter(|now_ms| *now_ms <= until_ms) {
            self.look(now_ms);
            next_ms = self.next_ms;
        }
    }

    /// Looks at the moments that were said the last time, until then.
    pub(super) fn live_by_timers_between(&mut self, from_ms: i64, until_ms: i64) {
        while let Some(now_ms) = self.next_ms.filter(|now_ms| *now_ms < until_ms) {
            self.look(now_ms.max(from_ms));
        }
    }

    /// Looks whenever there is reason to, until then.
    pub(super) fn live_until(&mut self, from_ms: i64, until_ms: i64) {
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
    pub(super) fn follow_ups(&self) -> BTreeMap<Date, String> {
        let all = self.made.values().flatten().filter(|it| it.kind == Kind::FollowUp);
        all.filter(|it| it.status != "cancelled")
            .map(|it| (local_day(it.fields["due_at_ms"].as_i64().unwrap(), &self.zone), it.status.clone()))
            .collect()
    }

    /// The follow-ups that are open, in the order in which they are due.
    pub(super) fn open(&self) -> Vec<&Record> {
        let all = self.made.values().flatten();
        let mut open: Vec<&Record> =
            all.filter(|it| it.kind == Kind::FollowUp && it.status == "open").collect();
        open.sort_by_key(|it| (it.fields["due_at_ms"].as_i64(), it.id));
        open
    }

    /// Of those that are missed, the one that was due last.
    pub(super) fn last_missed(&self) -> Option<RecordId> {
        let all = self.made.values().flatten();
        let missed = all.filter(|it| it.kind == Kind::FollowUp && it.status == "missed");
        missed.max_by_key(|it| (it.fields["due_at_ms"].as_i64(), it.id)).map(|it| it.id)
    }

    pub(super) fn due_days(&self) -> Vec<Date> {
        self.follow_ups().into_keys().collect()
    }

    pub(super) fn follow_up_on(&self, day: Date) -> Record {
        let due_ms = day_end_ms(day, &self.zone);
        let mut all = self.made.values().flatten().filter(|it| it.kind == Kind::FollowUp);
        all.find(|it| it.fields.get("due_at_ms") == Some(&json!(due_ms)))
            .cloned()
            .expect("a follow-up on that day")
    }

    /// The notices that stand: sort, to whom, local day of when they were called for.
    pub(super) fn notices(&self) -> Vec<(String, String, Date)> {
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
pub(super) fn maintenance() -> Plan {
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

pub(super) fn watering() -> Plan {
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
