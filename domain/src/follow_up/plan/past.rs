//! What fell due before a plan was as it is now: it keeps the window that it had, and work in it does no other.

use super::{Calendar, Completion, DAY_MS, look_back_ms};
use crate::body::{Body, FollowUp, Plan};
use crate::follow_up::mend::given_by_others;
use crate::follow_up::{Around, Done, Wanted, last_step};
use crate::id::RecordId;
use crate::record::{Record, StepTaken};
use crate::recurrence::{day_start_ms, days_later, local_day};
use serde_json::Value;
use std::collections::BTreeMap;

/// A follow-up that was made for a plan.
pub(super) struct Made<'a> {
    pub(super) record: &'a Record,
    pub(super) says: FollowUp,
    pub(super) due_ms: i64,
    /// Somebody else gave it this day, which says nothing about the calendar.
    pub(super) is_postponed: bool,
    /// Somebody else said that it can be done until then.
    pub(super) closes_ms: Option<i64>,
    is_cancelled_by_us: bool,
}

/// The follow-ups that were made for a plan, in the order in which they are due.
pub(super) fn made<'a>(around: &Around<'a>) -> Vec<Made<'a>> {
    let ours = |record: &&Record| record.created.op.device == around.system && record.deleted.is_none();
    let read = |record: &'a Record| {
        let Ok(Body::FollowUp(says)) = record.body() else { return None };
        let due_ms = says.due_at_ms.unwrap_or_default();
        let given = |field| given_by_others(record, field, around.system).and_then(Value::as_i64);
        let (is_postponed, closes_ms) = (given("due_at_ms").is_some(), given("expires_at_ms"));
        let by_us = |taken: &StepTaken| taken.trace.op.device == around.system;
        let is_cancelled_by_us = record.status == "cancelled" && last_step(record).is_some_and(by_us);
        Some(Made { record, says, due_ms, is_postponed, closes_ms, is_cancelled_by_us })
    };
    let mut made: Vec<Made> = around.follow_ups.iter().filter(ours).filter_map(read).collect();
    made.sort_by_key(|it| (it.due_ms, it.record.id));
    made
}

/// Those that fell due before `since_ms`, and those that were done and that the plan as it is leaves no time for.
/// `given` says what does which of them if the plan was always as it is.
pub(super) fn follow_ups(
    made: &[Made],
    said: &Plan,
    calendar: &Calendar,
    given: &BTreeMap<RecordId, Done>,
    completions: &mut [Completion],
    since_ms: i64,
    around: &Around,
) -> Vec<Wanted> {
    let begins_ms = |it: &Made| if it.is_postponed { it.opens_ms() } else { it.due_ms };
    let is_off = |it: &Made| said.resting || local_day(begins_ms(it), around.zone) > calendar.ends;
    let stays = |it: &Made| it.due_ms < since_ms || (it.record.status == "done" && is_off(it));
    // What the worker cancelled comes back only if the plan as it is calls for it.
    let past: Vec<&Made> = made.iter().filter(|it| stays(it) && !it.is_cancelled_by_us).collect();
    let (named, shown) = (named_work(completions), shown_work(&past, completions));
    let given = given_work(given, completions);
    let mut kept: BTreeMap<usize, usize> = BTreeMap::new(); // for how many of those that come
    shown.values().chain(given.values()).for_each(|at| *kept.entry(*at).or_default() += 1);
    let mut wanted = Vec::new();
    let mut used: BTreeMap<usize, RecordId> = BTreeMap::new();
    for (at, it) in past.iter().enumerate() {
        let id = it.record.id;
        for at in [shown.get(&id), given.get(&id)].into_iter().flatten() {
            kept.entry(*at).and_modify(|count| *count -= 1);
        }
        let next_day_ms = match said.after_completion {
            true => i64::MAX,
            false => it.next_day_ms(&past[at + 1..], made, calendar, since_ms),
        };
        let ends_ms = it.says.expires_at_ms.unwrap_or(i64::MAX);
        // Work that names one may do what comes next as well.
        let is_named = |at: &usize| completions.get(*at).is_some_and(|work| work.names.is_some());
        let is_free = |at: &usize| !used.contains_key(at) || is_named(at);
        let in_time = |at: &usize| completions.get(*at).is_some_and(|work| work.done.at_ms <= ends_ms);
        let given = given.get(&id).copied().filter(in_time).filter(is_free);
        // Work that did it before its window opened still does.
        let shown = shown.get(&id).copied().filter(is_free);
        let does_another = |at: usize, work: &Completion| {
            work.names.is_some() || !is_free(&at) || kept.get(&at).is_some_and(|count| *count > 0)
        };
        let ends_ms = ends_ms.min(next_day_ms.saturating_sub(1));
        let fitting = || it.fitting(completions, ends_ms, does_another, said.after_completion, around);
        let found = named.get(&id).copied().or(given).or_else(|| fitting().into_iter().chain(shown).min());
        let work = found.and_then(|at| completions.get(at)).map(|work| work.done);
        if it.due_ms < since_ms || work.is_some() {
            wanted.push(Wanted { id, follow_up: it.says.clone(), done: work.or(it.done_long_ago(around)) });
        }
        if let Some(at) = found {
            used.entry(at).or_insert(id);
        }
    }
    // By the calendar, what did one that fell due does none of those to come.
    for (at, id) in used.into_iter().filter(|_| !said.after_completion) {
        if let Some(work) = completions.get_mut(at) {
            work.names.get_or_insert(id);
        }
    }
    wanted
}

/// Where the first work is that names each.
fn named_work(completions: &[Completion]) -> BTreeMap<RecordId, usize> {
    completions.iter().enumerate().rev().filter_map(|(at, work)| Some((work.names?, at))).collect()
}

/// Where the work is that is given to each.
fn given_work(given: &BTreeMap<RecordId, Done>, completions: &[Completion]) -> BTreeMap<RecordId, usize> {
    let at = |done: &Done| completions.iter().position(|work| work.done == *done);
    given.iter().filter_map(|(id, done)| Some((*id, at(done)?))).collect()
}

/// Where the work is that shows each of those that are done, if it still counts.
fn shown_work(past: &[&Made], completions: &[Completion]) -> BTreeMap<RecordId, usize> {
    let shown = |(at, work): (usize, &Completion)| Some((work.done.evidence?, (at, work.names)));
    let shown: BTreeMap<RecordId, _> = completions.iter().enumerate().filter_map(shown).collect();
    let shows = |it: &&Made| {
        let evidence = last_step(it.record).filter(|taken| taken.step.to == "done")?.step.evidence?;
        let (at, names) = shown.get(&evidence)?;
        names.is_none_or(|named| named == it.record.id).then_some((it.record.id, *at))
    };
    past.iter().filter_map(shows).collect()
}

impl Made<'_> {
    fn opens_ms(&self) -> i64 {
        self.says.opens_at_ms.unwrap_or(self.due_ms)
    }

    /// Whether somebody else gave it another day or end, and did not cancel it.
    pub(super) fn is_put_off(&self) -> bool {
        let is_cancelled = self.record.status == "cancelled" && !self.is_cancelled_by_us;
        (self.is_postponed || self.closes_ms.is_some()) && !is_cancelled
    }

    fn is_long_ago(&self, around: &Around) -> bool {
        self.due_ms < look_back_ms(around)
    }

    /// What did it, if it was done so long ago that it stays as it is.
    fn done_long_ago(&self, around: &Around) -> Option<Done> {
        let taken = last_step(self.record).filter(|taken| taken.step.to == "done")?;
        let at_ms = taken.step.done_at_ms.unwrap_or(taken.trace.at_ms);
        self.is_long_ago(around).then_some(Done { at_ms, evidence: taken.step.evidence })
    }

    /// Where the first work in its window is that does no other.
    fn fitting(
        &self,
        completions: &[Completion],
        ends_ms: i64,
        does_another: impl Fn(usize, &Completion) -> bool,
        after_completion: bool,
        around: &Around,
    ) -> Option<usize> {
        // Of what did others long ago not all is known any more.
        if self.is_long_ago(around) && !matches!(self.record.status.as_str(), "open" | "done") {
            return None;
        }
        let day = |work: &Completion| local_day(work.done.at_ms, around.zone);
        // After completion, more work on the same day changes nothing.
        let is_more = |work: &Completion| {
            let near =
                |other: &Completion| other.done.at_ms.abs_diff(work.done.at_ms) < 2 * DAY_MS.unsigned_abs();
            let is_same_day = |other: &Completion| near(other) && day(other) == day(work);
            let mut others = completions.iter().enumerate();
            after_completion && others.any(|(at, other)| is_same_day(other) && does_another(at, other))
        };
        let first = completions.partition_point(|work| work.done.at_ms < self.opens_ms());
        let in_window = completions.iter().enumerate().skip(first);
        let mut in_window = in_window.take_while(|(_, work)| work.done.at_ms <= ends_ms);
        in_window.find(|(at, work)| !does_another(*at, work) && !is_more(work)).map(|(at, _)| at)
    }

    /// When the day begins on which the next one is due: work from then on is that one's. From `since_ms` on, the next
    /// one is what the plan as it is says.
    fn next_day_ms(&self, following: &[&Made], made: &[Made], calendar: &Calendar, since_ms: i64) -> i64 {
        let due_on = |it: &Made| local_day(it.due_ms, calendar.zone);
        let is_next = |it: &Made| !it.is_postponed && due_on(it) > due_on(self);
        let to_come = || {
            let mut from = local_day(since_ms, calendar.zone);
            loop {
                let (next, _) = calendar.next(from)?;
                let id = calendar.id(&next.name());
                let it = made.iter().find(|it| it.record.id == id);
                // The law may have asked for it earlier than the calendar does.
                let day = it.map_or(next.day(), due_on);
                if day > due_on(self) && !it.is_some_and(|it| it.is_postponed) {
                    return Some(day);
                }
                from = days_later(next.day(), 1);
            }
        };
        let day = following.iter().find(|it| is_next(it)).map(|it| due_on(it)).or_else(to_come);
        day.map_or(i64::MAX, |day| day_start_ms(day, calendar.zone))
    }
}
