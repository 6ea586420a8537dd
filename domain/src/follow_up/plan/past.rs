//! What fell due before a plan was as it is now: it keeps the window that it had, and work in it does no other.

use super::{Completion, DAY_MS, look_back_ms};
use crate::body::{Body, FollowUp, Plan};
use crate::follow_up::mend::given_by_others;
use crate::follow_up::{Around, Done, Wanted, last_step};
use crate::id::RecordId;
use crate::record::{Record, StepTaken};
use crate::recurrence::{day_start_ms, local_day};
use jiff::civil::Date;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

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

/// Those that fell due before `since_ms`.
pub(super) fn follow_ups(
    made: &[Made],
    said: &Plan,
    completions: &mut [Completion],
    since_ms: i64,
    around: &Around,
) -> Vec<Wanted> {
    let (named, shown) = (named_work(completions), shown_work(made, completions));
    let shown_at: BTreeSet<usize> = shown.values().copied().collect();
    let mut wanted = Vec::new();
    let mut used: BTreeMap<usize, RecordId> = BTreeMap::new();
    for (at, it) in made.iter().enumerate() {
        let id = it.record.id;
        // What the worker cancelled comes back only if the plan as it is calls for it.
        if it.due_ms >= since_ms || it.is_cancelled_by_us {
            continue;
        }
        let following = made.iter().skip(at + 1).filter(|_| !said.after_completion);
        let next_day_ms = it.next_day_ms(following, around);
        let does_another = |at: usize, work: &Completion| {
            let shows = || it.record.status != "done" && shown_at.contains(&at);
            work.names.is_some() || used.contains_key(&at) || shows()
        };
        let fitting = || it.fitting(completions, next_day_ms, does_another, said.after_completion, around);
        let shown = shown.get(&id).copied();
        // Work that did it before its window opened still does.
        let first = || [fitting(), shown.filter(|at| !used.contains_key(at))].into_iter().flatten().min();
        let found = named.get(&id).copied().or_else(first).or(shown);
        let work = found.and_then(|at| completions.get(at)).map(|work| work.done);
        wanted.push(Wanted { id, follow_up: it.says.clone(), done: it.done_long_ago(around).or(work) });
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

/// Where the work is that shows each of those that are done, if it still counts.
fn shown_work(made: &[Made], completions: &[Completion]) -> BTreeMap<RecordId, usize> {
    let shown = |(at, work): (usize, &Completion)| Some((work.done.evidence?, (at, work.names)));
    let shown: BTreeMap<RecordId, _> = completions.iter().enumerate().filter_map(shown).collect();
    let shows = |it: &Made| {
        let evidence = last_step(it.record).filter(|taken| taken.step.to == "done")?.step.evidence?;
        let (at, names) = shown.get(&evidence)?;
        names.is_none_or(|named| named == it.record.id).then_some((it.record.id, *at))
    };
    made.iter().filter_map(shows).collect()
}

impl Made<'_> {
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

    /// Where the first work is that fits and does no other.
    fn fitting(
        &self,
        completions: &[Completion],
        next_day_ms: i64,
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
        let opens_ms = self.says.opens_at_ms.unwrap_or(self.due_ms);
        let ends_ms = self.says.expires_at_ms.unwrap_or(i64::MAX).min(next_day_ms.saturating_sub(1));
        let first = completions.partition_point(|work| work.done.at_ms < opens_ms);
        let in_window = completions.iter().enumerate().skip(first);
        let mut in_window = in_window.take_while(|(_, work)| work.done.at_ms <= ends_ms);
        in_window.find(|(at, work)| !does_another(*at, work) && !is_more(work)).map(|(at, _)| at)
    }

    /// When the day begins on which the next one is due: work from then on is that one's.
    fn next_day_ms<'m>(&self, mut following: impl Iterator<Item = &'m Made<'m>>, around: &Around) -> i64 {
        let due_on = |it: &Made| -> Date { local_day(it.due_ms, around.zone) };
        let is_next = |it: &&Made| !it.is_postponed && !it.is_cancelled_by_us && due_on(it) > due_on(self);
        following.find(is_next).map_or(i64::MAX, |next| day_start_ms(due_on(next), around.zone))
    }
}
