//! Follow-ups of plans: what recurs.
//!
//! By the calendar, each time that the rule names has a window, and work within it does it, but for work on the day of
//! the next one, which does that. After completion, the rule counts from the last completion, or from the day on which one
//! was missed.

mod past;

use self::past::Made;
use super::{Around, CalledFor, Done, LOOK_BACK_DAYS, Wanted, Window, last_step};
use crate::body::{Body, FollowUp, Plan};
use crate::id::RecordId;
use crate::kind::Kind;
use crate::notice::{Addressee, WantedNotice, awake};
use crate::record::{Record, Standing};
use crate::recurrence::{Occurrence, Rule, TIMES_MAX, day_end_ms, day_start_ms, days_later, local_day};
use jiff::civil::Date;
use jiff::tz::TimeZone;
use std::collections::{BTreeMap, BTreeSet};

/// Follow-ups exist so many days before they are due; the next one always.
pub const HORIZON_DAYS: i64 = 14;
/// A rule that names no day outside the resting months for so many tries has none.
const TRIES_MAX: usize = 400;
/// Most follow-ups of one plan that are looked at together.
const CANDIDATES_MAX: usize = TIMES_MAX;
/// More times than this are not done ahead of their days.
const AHEAD_MAX: usize = 32;

const DAY_MS: i64 = 24 * 3_600_000;

/// A time at which a plan's work is due, and its window.
#[derive(Clone, PartialEq, Debug)]
struct Candidate {
    id: RecordId,
    name: String,
    due_ms: i64,
    opens_ms: i64,
    expires_ms: Option<i64>,
    rule: String,
    done: Option<Done>,
    /// When it was due before somebody else gave it another day.
    was_due_ms: Option<i64>,
}

/// What is known of a plan when it is looked at.
struct Known<'a> {
    completions: &'a [Completion],
    /// What the plan as it is says about times before this counts for nothing.
    since_ms: i64,
    /// What fell due before, and stays as it is.
    settled: BTreeSet<RecordId>,
    /// The day on which the last of those was due that nobody did in time.
    undone_on: Option<Date>,
}

/// Work that counts for a plan.
#[derive(Clone, Copy, PartialEq, Debug)]
struct Completion {
    done: Done,
    /// The follow-up that it names, or that it did before the plan was as it is.
    names: Option<RecordId>,
}

pub(super) fn called_for(plan: &Record, around: &Around) -> CalledFor {
    let Ok(Body::Plan(said)) = plan.body() else { return CalledFor::default() };
    let mut called = CalledFor::default();
    let is_gone = |id| around.nearby.iter().any(|near| near.id == id && near.deleted.is_some());
    if said.subject.is_some_and(is_gone) {
        return called;
    }
    let mut completions = completions(plan, &said, around);
    let calendar = Calendar::of(plan.id, &said, local_day(plan.created.at_ms, around.zone), around.zone);

    // What fell due under an earlier version of the plan stays as that said.
    let since_ms = plan.changed.at_ms.max(look_back_ms(around));
    let made = past::made(around);
    let chain = said.after_completion.then(|| calendar.chain(&said, &completions, &made, around.now_ms));
    let given: BTreeMap<RecordId, Done> =
        chain.iter().flat_map(|(links, _)| links).filter_map(|it| Some((it.id, it.done?))).collect();
    called.follow_ups = past::follow_ups(&made, &said, &calendar, &given, &mut completions, since_ms, around);

    if !said.resting {
        let named: Vec<Done> = completions.iter().filter(|it| it.names.is_some()).map(|it| it.done).collect();
        let is_made: BTreeSet<RecordId> = made.iter().map(|it| it.record.id).collect();
        let (candidates, moments) = chain.unwrap_or_else(|| {
            let known = Known::of(&completions, since_ms, &called.follow_ups, around.zone);
            calendar.times(&said, &known, &made, around.now_ms)
        });
        called.moments.extend(moments);
        let last_expired = candidates
            .iter()
            .filter(|it| it.expires_ms.is_some_and(|expires_ms| expires_ms < around.now_ms))
            .map(|it| it.due_ms)
            .max();
        let current = candidates.last().filter(|_| said.after_completion).map(|it| it.id);
        // What would wait for ever under the plan as it was is of the plan as it is; one that waits is enough.
        let waits = |it: &&Wanted| it.done.is_none() && it.follow_up.expires_at_ms.is_none();
        let waiting: BTreeSet<RecordId> = called.follow_ups.iter().filter(waits).map(|it| it.id).collect();
        if said.after_completion && candidates.last().is_some_and(|it| it.done.is_none()) {
            called.follow_ups.retain(|it| !waiting.contains(&it.id));
        }
        let is_ours =
            |it: &Candidate| it.due_ms >= since_ms || current == Some(it.id) || waiting.contains(&it.id);
        for candidate in candidates.into_iter().filter(is_ours) {
            let id = candidate.id;
            let does_another = |it: &Wanted| it.id != id && it.done.is_some() && it.done == candidate.done;
            let is_named = candidate.done.is_some_and(|done| named.contains(&done));
            if said.after_completion && !is_named && called.follow_ups.iter().any(does_another) {
                continue; // the work did one that was due before the plan was as it is
            }
            let is_expired = candidate.expires_ms.is_some_and(|expires_ms| expires_ms < around.now_ms);
            let is_late = is_expired && candidate.done.is_none() && !is_made.contains(&id);
            if is_late && !catches_up(&said.catch_up, Some(candidate.due_ms) == last_expired) {
                continue;
            }
            called.follow_ups.retain(|wanted| wanted.id != id);
            called.follow_ups.push(follow_up(plan, &said, id, candidate, around));
        }
    }
    gaps(plan, &said, &completions, &calendar, around, &mut called);
    switched_off(plan, &said, around, &mut called);
    called
}

/// What fell due before, and is over, stays as it is.
fn look_back_ms(around: &Around) -> i64 {
    around.now_ms - LOOK_BACK_DAYS * DAY_MS
}

impl<'a> Known<'a> {
    fn of(completions: &'a [Completion], since_ms: i64, settled: &[Wanted], zone: &TimeZone) -> Self {
        let ends_ms = |it: &Wanted| it.follow_up.expires_at_ms.unwrap_or(i64::MAX);
        let is_undone = |it: &&Wanted| it.done.is_none_or(|done| done.at_ms > ends_ms(it));
        let undone = settled.iter().filter(is_undone);
        let undone_on = undone.filter_map(|it| it.follow_up.due_at_ms).max().map(|ms| local_day(ms, zone));
        let settled = settled.iter().map(|it| it.id).collect();
        Self { completions, since_ms, settled, undone_on }
    }
}

impl Candidate {
    /// Gives it the day and the end that somebody else gave to the follow-up that was made for it.
    fn put_off_as(&mut self, it: &Made) {
        if it.is_postponed {
            let window =
                Window { opens_ms: Some(self.opens_ms), due_ms: self.due_ms, expires_ms: self.expires_ms };
            let Window { opens_ms, due_ms, expires_ms } = window.moved_to(it.due_ms);
            self.was_due_ms = Some(self.due_ms);
            self.opens_ms = opens_ms.unwrap_or(self.opens_ms);
            self.due_ms = due_ms;
            self.expires_ms = expires_ms;
        }
        self.expires_ms = it.closes_ms.or(self.expires_ms);
    }
}

/// Whether one that nobody made in time, and that can no longer be done in time, is made now.
fn catches_up(catch_up: &str, is_last: bool) -> bool {
    match catch_up {
        "all" => true,
        "skip" => false,
        _ => is_last,
    }
}

fn follow_up(plan: &Record, said: &Plan, id: RecordId, candidate: Candidate, around: &Around) -> Wanted {
    let adopted = around.near(Kind::Adoption).find(|adoption| adoption.status == "confirmed");
    // Who adopted it has until it is due; then it falls back to the team.
    let adoption = adopted.filter(|_| around.now_ms <= candidate.due_ms).map(|adoption| adoption.id);
    let team = |who: Option<RecordId>| if adoption.is_some() { None } else { who };
    let follow_up = FollowUp {
        subject: said.subject,
        source: Some(plan.id),
        sort: said.sort.clone(),
        opens_at_ms: Some(candidate.opens_ms),
        due_at_ms: Some(candidate.due_ms),
        expires_at_ms: candidate.expires_ms,
        worker: team(said.worker),
        group: team(said.group),
        organization: team(said.organization),
        adoption,
        cause: plan.changed.op.to_string(),
        rule: candidate.rule,
    };
    Wanted { id, follow_up, done: candidate.done }
}

/// The work that counts for a plan, in the order in which it was done.
fn completions(plan: &Record, said: &Plan, around: &Around) -> Vec<Completion> {
    let mut completions: Vec<Completion> = Vec::new();
    let ours = |id: RecordId| around.follow_ups.iter().any(|follow_up| follow_up.id == id);
    for fact in around.facts() {
        let names = fact.reference("follow_up").filter(|id| ours(*id));
        let is_about_it = said.subject.is_some() && fact.reference("subject") == said.subject;
        let fits = match fact.kind {
            Kind::Inspection => match fact.text("sort") {
                "" => is_only_plan(plan, local_day(fact.created.at_ms, around.zone), around),
                sort => sort == said.sort,
            },
            // To reach a dwelling is to meet somebody there, whatever for.
            _ if said.sort == "visit" => fact.text("outcome") == "met",
            _ => fact.text("purpose") == said.sort && fact.text("outcome") != "no_answer",
        };
        if names.is_some() || (is_about_it && fits) {
            let done = Done { at_ms: fact.created.at_ms, evidence: Some(fact.id) };
            completions.push(Completion { done, names });
        }
    }
    let shown: BTreeSet<RecordId> = completions.iter().filter_map(|it| it.done.evidence).collect();
    for follow_up in around.follow_ups {
        let Some(done) = around.said_done(follow_up) else { continue };
        if repeats(follow_up, &shown, around) {
            continue;
        }
        match completions
            .iter_mut()
            .find(|it| it.done.evidence.is_some() && it.done.evidence == done.evidence)
        {
            Some(known) => known.names = Some(follow_up.id),
            None => completions.push(Completion { done, names: Some(follow_up.id) }),
        }
    }
    completions.sort_by_key(|it| (it.done.at_ms, it.done.evidence, it.names));
    completions
}

/// Whether no other plan for the same place or asset was on that day, as far as is known: work of no sort is this one's.
fn is_only_plan(plan: &Record, day: Date, around: &Around) -> bool {
    let on = |at_ms: i64| local_day(at_ms, around.zone);
    around.near(Kind::Plan).filter(|other| other.id != plan.id).all(|other| {
        let begins = other.text("from").parse().unwrap_or(on(other.created.at_ms));
        let ends = other.text("until").parse().unwrap_or(Date::MAX);
        let rests = other.fields.get("resting").is_some_and(|resting| *resting == true);
        !(begins..=ends).contains(&day) || (rests && day >= on(other.changed.at_ms))
    })
}

/// Whether people called done what the worker had seen done, and that counts: they tell of no other work.
fn repeats(follow_up: &Record, shown: &BTreeSet<RecordId>, around: &Around) -> bool {
    let said = around.said_step(follow_up);
    let seen = last_step(follow_up).and_then(|taken| taken.step.evidence);
    said.is_some_and(|said| said.standing == Standing::Repeated) && seen.is_some_and(|id| shown.contains(&id))
}

/// The rules of a plan over the time.
struct Calendar<'a> {
    plan: RecordId,
    zone: &'a TimeZone,
    begins: Date,
    ends: Date,
    resting_months: Vec<u32>,
    /// Rules with the day on which each begins, the last one last.
    rules: Vec<(Date, Rule, String)>,
}

impl<'a> Calendar<'a> {
    fn of(plan: RecordId, said: &Plan, made_on: Date, zone: &'a TimeZone) -> Self {
        let begins = said.from.parse().unwrap_or(made_on);
        let mut rules = Vec::new();
        let mut start = begins;
        for phase in &said.phases {
            if let Ok(rule) = Rule::parse(&phase.rule) {
                rules.push((start, rule, phase.rule.clone()));
                start = days_later(begins, i64::from(phase.until_day));
            }
        }
        if let Ok(rule) = Rule::parse(&said.rule) {
            rules.push((start, rule, said.rule.clone()));
        }
        Self {
            plan,
            zone,
            begins,
            ends: said.until.parse().unwrap_or(Date::MAX),
            resting_months: said.resting_months.clone(),
            rules,
        }
    }

    fn rests(&self, day: Date) -> bool {
        self.resting_months.contains(&(day.month().unsigned_abs().into()))
    }

    /// The rule of a day.
    fn rule_on(&self, day: Date) -> Option<&(Date, Rule, String)> {
        self.rules.iter().rev().find(|(start, _, _)| *start <= day).or(self.rules.first())
    }

    /// When the last one is due that was made by the rules as they are.
    fn newest_ms(&self, made: &[Made]) -> Option<i64> {
        let is_ours = |it: &&Made| self.rules.iter().any(|(_, _, text)| *text == it.says.rule);
        let stands = |it: &&Made| !it.is_postponed && it.record.status != "cancelled";
        made.iter().filter(is_ours).filter(stands).map(|it| it.due_ms).max()
    }

    /// The first time by the calendar on a day that is not before `from`.
    fn next(&self, from: Date) -> Option<(Occurrence, &str)> {
        let mut from = from.max(self.begins);
        for _ in 0..TRIES_MAX {
            let (start, rule, text) = self.rule_on(from)?;
            let occurrence = rule.next(*start, from)?;
            let next_phase = self.rules.iter().map(|(start, _, _)| *start).find(|start| *start > from);
            if let Some(next_phase) = next_phase.filter(|next_phase| occurrence.day() >= *next_phase) {
                from = next_phase;
                continue;
            }
            if occurrence.day() > self.ends {
                return None;
            }
            if !self.rests(occurrence.day()) {
                return Some((occurrence, text));
            }
            from = days_later(occurrence.day(), 1);
        }
        None
    }

    /// The times by the calendar on these days, and the one after them.
    fn between(&self, from: Date, until: Date) -> (Vec<(Occurrence, String)>, Option<Occurrence>) {
        let mut times = Vec::new();
        for (at, (start, rule, text)) in self.rules.iter().enumerate() {
            let phase_end = self.rules.get(at + 1).map_or(Date::MAX, |(next, _, _)| days_later(*next, -1));
            let last = until.min(phase_end).min(self.ends);
            let named = rule.between(*start, from.max(*start), last).into_iter();
            times.extend(named.filter(|it| !self.rests(it.day())).map(|it| (it, text.clone())));
        }
        times.truncate(CANDIDATES_MAX);
        (times, self.next(days_later(until, 1)).map(|(occurrence, _)| occurrence))
    }

    fn candidate(&self, said: &Plan, occurrence: Occurrence, rule: &str) -> Candidate {
        let due_ms = occurrence.due_ms(self.zone);
        self.window(said, occurrence.name(), due_ms, rule)
    }

    fn id(&self, name: &str) -> RecordId {
        self.plan.derived(&format!("due/{name}"))
    }

    fn window(&self, said: &Plan, name: String, due_ms: i64, rule: &str) -> Candidate {
        let day = local_day(due_ms, self.zone);
        let opens = days_later(day, -i64::from(said.opens_days.unwrap_or(0)));
        let expires_ms =
            said.expires_days.map(|days| day_end_ms(days_later(day, i64::from(days)), self.zone));
        Candidate {
            id: self.id(&name),
            name,
            due_ms,
            opens_ms: day_start_ms(opens, self.zone),
            expires_ms,
            rule: rule.to_owned(),
            done: None,
            was_due_ms: None,
        }
    }

    /// By the calendar: each time with the work that does it, and when there is another one. One is always to come that
    /// nothing did yet.
    fn times(&self, said: &Plan, known: &Known, made: &[Made], now_ms: i64) -> (Vec<Candidate>, Vec<i64>) {
        let horizon_ms = now_ms + HORIZON_DAYS * DAY_MS;
        let mut until_ms = self.newest_ms(made).map_or(horizon_ms, |newest_ms| newest_ms.max(horizon_ms));
        let mut ahead = 0;
        loop {
            let (mut candidates, following_ms, moments) =
                self.windows(said, known.since_ms, now_ms, until_ms);
            self.put_off(said, made, known.since_ms, &mut candidates);
            candidates.retain(|it| !known.settled.contains(&it.id));
            self.assign(said, known, &mut candidates);
            let is_to_come = |it: &Candidate| it.due_ms > now_ms && it.done.is_none();
            ahead += 1;
            match following_ms.filter(|_| ahead < AHEAD_MAX && !candidates.iter().any(is_to_come)) {
                Some(next_ms) => until_ms = next_ms,
                None => return (candidates, moments),
            }
        }
    }

    /// By the calendar: each time, when the one after them is due, and when that is there.
    fn windows(
        &self,
        said: &Plan,
        since_ms: i64,
        now_ms: i64,
        until_ms: i64,
    ) -> (Vec<Candidate>, Option<i64>, Vec<i64>) {
        let (from, until) = (local_day(since_ms, self.zone), local_day(until_ms, self.zone));
        let (mut times, mut following) = self.between(from, until);
        let is_ahead = |occurrence: Occurrence| occurrence.due_ms(self.zone) > now_ms;
        if let Some(next) = following.filter(|_| !times.iter().any(|(time, _)| is_ahead(*time))) {
            let text = self.rule_on(next.day()).map(|(_, _, text)| text.clone()).unwrap_or_default();
            times.push((next, text));
            following = self.next(days_later(next.day(), 1)).map(|(occurrence, _)| occurrence);
        }
        let following_ms = following.map(|occurrence| occurrence.due_ms(self.zone));
        // Without any work the next one is there as soon as its day is within the horizon, or as none is ahead.
        let near = following.map(|next| day_start_ms(next.day(), self.zone) - HORIZON_DAYS * DAY_MS);
        let none_ahead = times.last().map(|(last, _)| last.due_ms(self.zone));
        let mut candidates: Vec<Candidate> =
            times.iter().map(|(time, rule)| self.candidate(said, *time, rule)).collect();
        if said.expires_days.is_none() {
            // It can be done until the next one is due.
            for at in 0..candidates.len() {
                candidates[at].expires_ms = candidates.get(at + 1).map(|next| next.due_ms).or(following_ms);
            }
        }
        (candidates, following_ms, near.into_iter().chain(none_ahead).collect())
    }

    /// Gives what somebody else put off the day and the end that it has now. It is called for also if its own day was
    /// before the plan was as it is, unless the plan ended before it could be done.
    fn put_off(&self, said: &Plan, made: &[Made], since_ms: i64, windows: &mut Vec<Candidate>) {
        for it in made.iter().filter(|it| it.is_put_off() && it.due_ms >= since_ms) {
            if let Some(window) = windows.iter_mut().find(|window| window.id == it.record.id) {
                window.put_off_as(it);
                continue;
            }
            let mut window = self.window(said, String::new(), it.due_ms, &it.says.rule);
            window.opens_ms = it.says.opens_at_ms.unwrap_or(window.opens_ms);
            if it.is_postponed && local_day(window.opens_ms, self.zone) <= self.ends {
                let expires_ms = window.expires_ms.max(it.says.expires_at_ms);
                let expires_ms = it.closes_ms.or(expires_ms.filter(|expires_ms| *expires_ms >= it.due_ms));
                windows.push(Candidate {
                    id: it.record.id,
                    expires_ms,
                    was_due_ms: Some(it.due_ms),
                    ..window
                });
            }
        }
        windows.sort_by_key(|it| (it.due_ms, it.was_due_ms.is_some()));
    }

    /// Says of each time by the calendar which work does it. The law may ask for the next one after some work earlier
    /// than the calendar does.
    fn assign(&self, said: &Plan, known: &Known, candidates: &mut [Candidate]) {
        let mut rest = known.completions;
        let mut last = self.begins;
        let mut is_next = true; // the first that nothing did since the last work
        let by_calendar = candidates.iter().filter(|it| it.was_due_ms.is_none());
        let due_on: Vec<Date> = by_calendar.map(|it| local_day(it.due_ms, self.zone)).collect();
        let is_named = |id| known.completions.iter().any(|it| it.names == Some(id));
        let undone = candidates.iter().filter(|it| !is_named(it.id));
        let mut put_off: Vec<(RecordId, i64)> =
            undone.filter_map(|it| Some((it.id, it.was_due_ms?))).collect();
        let mut left: Vec<Completion> = Vec::new(); // work that did nothing that was due before
        for candidate in candidates.iter_mut() {
            let id = candidate.id;
            let next_day_ms = self.next_day_ms(&due_on, local_day(candidate.due_ms, self.zone));
            let mut window;
            loop {
                window = candidate.clone();
                // What nobody did before is what the law asks for first, also if somebody put it off.
                let since_last = day_end_ms(last, self.zone)..candidate.due_ms;
                let is_put_off = candidate.was_due_ms.is_some()
                    || put_off.iter().any(|(_, was_due_ms)| since_last.contains(was_due_ms));
                if is_next && !is_put_off && known.undone_on.is_none_or(|undone_on| undone_on < last) {
                    self.keep_within_gap(said, last, known.since_ms, &mut window);
                }
                let Some(completion) = rest.first() else { break };
                let at_ms = completion.done.at_ms;
                let is_anothers = completion.names.is_some_and(|named| named != id);
                let in_time = window.expires_ms.is_none_or(|expires_ms| at_ms <= expires_ms);
                if at_ms >= window.opens_ms && !(is_anothers && in_time) {
                    break;
                }
                (last, is_next) = (local_day(at_ms, self.zone), true);
                left.extend(rest.first().filter(|work| work.names.is_none()));
                rest = &rest[1..];
            }
            let is_in_window = |it: &Completion| {
                (window.opens_ms..=window.expires_ms.unwrap_or(i64::MAX)).contains(&it.done.at_ms)
            };
            let left_over = left.iter().position(is_in_window).filter(|_| candidate.was_due_ms.is_some());
            let fits =
                |it: &&Completion| is_in_window(it) && (it.names == Some(id) || it.done.at_ms < next_day_ms);
            if let Some(at) = left_over {
                window.done = Some(left.remove(at).done);
            } else if let Some(completion) = rest.first().filter(fits) {
                window.done = Some(completion.done);
                (last, is_next) = (local_day(completion.done.at_ms, self.zone), true);
                rest = &rest[1..];
            } else {
                // Work that names it does it, however late.
                window.done = known.completions.iter().find(|it| it.names == Some(id)).map(|it| it.done);
                let is_known = |done: Done| local_day(done.at_ms, self.zone) <= last;
                is_next &= window.was_due_ms.is_some() && window.done.is_some_and(is_known);
            }
            put_off.retain(|(it, _)| *it != id || window.done.is_none());
            *candidate = window;
        }
    }

    /// When the day begins on which the next one is due: work from then on is that one's, or one missed day would make
    /// every later one late.
    fn next_day_ms(&self, due_on: &[Date], day: Date) -> i64 {
        let later = due_on.get(due_on.partition_point(|it| *it <= day));
        later.map_or(i64::MAX, |later| day_start_ms(*later, self.zone))
    }

    /// Of times before `since_ms` nothing is known here: what the law asked for then was another one's.
    fn keep_within_gap(&self, said: &Plan, last: Date, since_ms: i64, candidate: &mut Candidate) {
        let Some(gap_days) = said.gap_days_max else { return };
        let latest_ms = day_end_ms(days_later(last, i64::from(gap_days)), self.zone);
        if latest_ms >= candidate.due_ms || latest_ms < since_ms {
            return;
        }
        let earlier = self.window(said, candidate.name.clone(), latest_ms, &candidate.rule);
        let expires_ms = earlier.expires_ms.or(candidate.expires_ms);
        *candidate = Candidate { expires_ms, ..earlier };
    }

    /// After completion: a chain from one completion, or missed one, to the next; and when its last one is missed, also
    /// if somebody cancelled or deleted it.
    fn chain(
        &self,
        said: &Plan,
        completions: &[Completion],
        made: &[Made],
        now_ms: i64,
    ) -> (Vec<Candidate>, Vec<i64>) {
        let look_back = local_day(now_ms - 2 * LOOK_BACK_DAYS * DAY_MS, self.zone);
        let day_of = |completion: &Completion| local_day(completion.done.at_ms, self.zone);
        let mut rest = completions;
        let mut anchor: Option<Date> = None;
        // The chain depends on nothing before a completion: old ones need not be gone through.
        while let [first, more @ ..] = rest
            && (day_of(first) < self.begins || more.first().is_some_and(|next| day_of(next) < look_back))
        {
            anchor = Some(day_of(first));
            rest = more;
        }
        let mut candidates = Vec::new();
        while candidates.len() < CANDIDATES_MAX {
            let Some((occurrence, rule, is_moved)) = self.after(anchor) else { break };
            let name = anchor.map_or_else(|| "first".to_owned(), |anchor| format!("after-{anchor}"));
            let mut candidate = self.window(said, name, occurrence.due_ms(self.zone), rule);
            let put_off = made.iter().find(|it| it.is_put_off() && it.record.id == candidate.id);
            if let Some(it) = put_off {
                candidate.put_off_as(it);
            }
            let closes_ms = put_off.and_then(|it| it.closes_ms);
            let put_off = put_off.filter(|it| it.is_postponed);
            // It can be done until the day before the one after it is due: two of a kind are never open.
            let due_day = put_off.map_or(occurrence.day(), |it| local_day(it.due_ms, self.zone));
            if let (Some(expires_ms), Some((after, _, _))) = (candidate.expires_ms, self.after(Some(due_day)))
            {
                let last_day = days_later(after.day(), -1).max(due_day);
                candidate.expires_ms = Some(expires_ms.min(day_end_ms(last_day, self.zone)));
            }
            candidate.expires_ms = closes_ms.or(candidate.expires_ms);
            if let Some(gap_days) = said.gap_days_max.filter(|_| put_off.is_none()) {
                let last = anchor.unwrap_or(self.begins);
                let latest_ms = day_end_ms(days_later(last, i64::from(gap_days)), self.zone);
                if latest_ms < candidate.due_ms {
                    let earlier = self.window(said, candidate.name.clone(), latest_ms, rule);
                    candidate = Candidate { expires_ms: candidate.expires_ms, ..earlier };
                }
            }
            // Work again on the day of the last changes nothing; on any later day it moves the next.
            while let [first, more @ ..] = rest
                && anchor.is_some_and(|anchor| day_of(first) <= anchor)
            {
                rest = more;
            }
            let next = rest
                .first()
                .filter(|it| candidate.expires_ms.is_none_or(|expires_ms| it.done.at_ms <= expires_ms));
            if let Some(completion) = next {
                anchor = Some(day_of(completion));
                rest = &rest[1..];
                // The last work before a rest is none of the first after it.
                if !is_moved || completion.done.at_ms >= candidate.opens_ms {
                    candidate.done = Some(completion.done);
                    candidates.push(candidate);
                }
                continue;
            }
            let is_missed = candidate.expires_ms.is_some_and(|expires_ms| now_ms > expires_ms);
            let due_day = local_day(candidate.due_ms, self.zone);
            candidates.push(candidate);
            if !is_missed {
                break;
            }
            anchor = anchor.map(|anchor| days_later(anchor, 1)).max(Some(due_day));
        }
        // Work that names one that was missed does that too, however late.
        for completion in completions {
            let names = |it: &Candidate| completion.names == Some(it.id);
            if let Some(named) = candidates.iter_mut().find(|it| names(it)) {
                named.done.get_or_insert(completion.done);
            }
        }
        let last = candidates.last().and_then(|it| it.expires_ms);
        (candidates, last.map(|expires_ms| expires_ms.saturating_add(1)).into_iter().collect())
    }

    /// The time that follows an anchor; the first of all if there is none. Says whether it had to be moved because the
    /// plan rests.
    fn after(&self, anchor: Option<Date>) -> Option<(Occurrence, &str, bool)> {
        let Some(anchor) = anchor else {
            return self.next(self.begins).map(|(occurrence, text)| (occurrence, text, false));
        };
        let (_, rule, text) = self.rule_on(anchor)?;
        let occurrence = rule.next_after(anchor, days_later(anchor, 1).max(self.begins))?;
        let mut day = occurrence.day();
        for _ in 0..12 {
            if !self.rests(day) {
                break;
            }
            day = days_later(day.last_of_month(), 1);
        }
        let is_moved = day != occurrence.day();
        let moved = if is_moved { Occurrence::on(day) } else { occurrence };
        (day <= self.ends && !self.rests(day)).then_some((moved, text.as_str(), is_moved))
    }
}

/// An alert for each time between two completions that was longer than the law allows.
fn gaps(
    plan: &Record,
    said: &Plan,
    completions: &[Completion],
    calendar: &Calendar,
    around: &Around,
    called: &mut CalledFor,
) {
    let Some(gap_days) = said.gap_days_max.map(i64::from) else { return };
    let planned_since = local_day(plan.created.at_ms, around.zone).max(calendar.begins);
    let mut days: Vec<Date> = completions.iter().map(|it| local_day(it.done.at_ms, around.zone)).collect();
    // Before there was a plan, nobody promised anything.
    let before = days.iter().rposition(|day| *day <= planned_since);
    days.drain(..before.unwrap_or(0));
    if before.is_none() {
        days.insert(0, planned_since);
    }
    let is_ended = said.resting || local_day(around.now_ms, around.zone) > calendar.ends;
    for (at, day) in days.iter().enumerate() {
        let latest_ms = day_end_ms(days_later(*day, gap_days), around.zone);
        let id = || plan.id.derived(&format!("gap/{day}"));
        let (next, latest) = (days.get(at + 1), days_later(*day, gap_days));
        // One that passed or was told while the plan was on did happen.
        let is_known = || (!said.resting && latest < calendar.ends) || stands(id(), around);
        let is_too_long = match next {
            Some(next) => *next > latest && is_known(),
            None => around.now_ms > latest_ms && is_known(),
        };
        if !is_too_long && (next.is_some() || is_ended) {
            continue; // nothing to say, and nothing to wait for
        }
        let at_ms = awake(latest_ms.saturating_add(1), around);
        if at_ms > around.now_ms && !is_ended {
            called.moments.push(at_ms);
        }
        // Work of before is not all known any more, so what was said about that time stays as it was said.
        let is_news = at_ms <= around.now_ms && latest_ms >= look_back_ms(around);
        let id = id();
        if is_too_long && (is_news || stands(id, around)) {
            called.notices.push(WantedNotice {
                id,
                subject: plan.id,
                sort: "gap",
                at_ms,
                due_at_ms: Some(latest_ms),
                to: Addressee::Role("supervisor"),
            });
        }
    }
}

fn stands(notice: RecordId, around: &Around) -> bool {
    around.notices.iter().any(|told| told.id == notice && told.status != "withdrawn")
}

/// An alert for each way in which a plan which the law requires is switched off.
fn switched_off(plan: &Record, said: &Plan, around: &Around, called: &mut CalledFor) {
    let until = said.until.parse::<Date>().ok();
    let ended_ms = until.map(|until| day_end_ms(until, around.zone).saturating_add(1));
    called.moments.extend(ended_ms);
    let writer = |field: &str| plan.writers.get(field);
    if let Some(taken_back) = writer("mandated").filter(|_| !said.mandated) {
        tell_off(plan, &taken_back.to_string(), i64::MIN, around, called);
    }
    if said.mandated && said.resting {
        let rested = writer("resting").unwrap_or(&plan.created.op);
        tell_off(plan, &rested.to_string(), i64::MIN, around, called);
    }
    if let Some(ended_ms) = ended_ms.filter(|ended_ms| said.mandated && around.now_ms >= *ended_ms) {
        tell_off(plan, &said.until, ended_ms, around, called);
    }
}

/// The alert has the name of what switched the plan off, so whatever is edited later raises no other.
fn tell_off(plan: &Record, cause: &str, since_ms: i64, around: &Around, called: &mut CalledFor) {
    let id = plan.id.derived(&format!("off/{cause}"));
    let at_ms = awake(plan.changed.at_ms.max(since_ms), around);
    if at_ms > around.now_ms && !stands(id, around) {
        called.moments.push(at_ms);
        return;
    }
    called.notices.push(WantedNotice {
        id,
        subject: plan.id,
        sort: "plan_off",
        at_ms,
        due_at_ms: None,
        to: Addressee::Role("supervisor"),
    });
}

/// A time at which a plan would call for work.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Preview {
    /// When it would be due, in ms since 1970 UTC.
    pub due_ms: i64,
    /// From when it may be done, in ms since 1970 UTC.
    pub opens_ms: i64,
    /// When it would count as missed, in ms since 1970 UTC.
    pub expires_ms: Option<i64>,
    /// The rule that names it.
    pub rule: String,
}

/// What a plan would call for on these days if each were done on the day on which it is due. At most 1,000.
pub fn preview(said: &Plan, from: Date, until: Date, zone: &TimeZone) -> Vec<Preview> {
    let begins = said.from.parse().unwrap_or(from);
    let said = Plan { from: begins.to_string(), ..said.clone() };
    let calendar = Calendar::of(RecordId(uuid::Uuid::nil()), &said, begins, zone);
    let mut found: Vec<Preview> = Vec::new();
    let mut done_on: Option<Date> = None;
    let mut named: Option<Date> = None;
    while found.len() < CANDIDATES_MAX {
        let next = match (said.after_completion, named) {
            (true, _) => calendar.after(done_on).map(|(occurrence, text, _)| (occurrence, text)),
            (false, None) => calendar.next(from.max(begins)),
            (false, Some(named)) => calendar.next(days_later(named, 1)),
        };
        let Some((occurrence, rule)) = next else { break };
        let mut candidate = calendar.candidate(&said, occurrence, rule);
        if let (Some(gap_days), Some(last)) = (said.gap_days_max, done_on) {
            let latest_ms = day_end_ms(days_later(last, i64::from(gap_days)), zone);
            if latest_ms < candidate.due_ms {
                candidate = calendar.window(&said, candidate.name, latest_ms, rule);
            }
        }
        let day = local_day(candidate.due_ms, zone);
        if day > until {
            break;
        }
        (done_on, named) = (Some(day), Some(occurrence.day()));
        if day >= from {
            found.push(Preview {
                due_ms: candidate.due_ms,
                opens_ms: candidate.opens_ms,
                expires_ms: candidate.expires_ms,
                rule: candidate.rule,
            });
        }
    }
    found
}
