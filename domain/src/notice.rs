//! Who is told what, and when: reminders before and after something is due, alerts, digests.
//!
//! A notice's id derives from its cause and its step, so each step reaches its reader at most once, whatever is run
//! again. If somebody else has to be told, or of another time, that is another notice.

use crate::body::{Body, Notice, Policy, ReminderStep};
use crate::follow_up::Around;
use crate::follow_up::{CalledFor, Mend, Standing, last_step};
use crate::id::RecordId;
use crate::kind::Kind;
use crate::op::{Action, Step};
use crate::policy;
use crate::record::Record;
use crate::recurrence::{days_later, local_day, moment_ms};
use jiff::civil::{Date, Time, Weekday};
use std::collections::{BTreeMap, BTreeSet};

const MINUTE_MS: i64 = 60_000;
/// Minutes from the end of a day back to its 8 o'clock, when people begin their day.
const MORNING: i32 = -16 * 60;
const DAY_MINUTES: i32 = 24 * 60;
/// Quiet hours where no policy says any.
const QUIET: (Time, Time) = (Time::constant(21, 0, 0, 0), Time::constant(7, 0, 0, 0));
/// Digests are sent at this local time, if that is not quiet.
const DIGEST_TIME: Time = Time::constant(8, 0, 0, 0);
/// A digest that could not be sent for longer is not sent any more.
const DIGEST_LATE_MS_MAX: i64 = 24 * 60 * MINUTE_MS;

/// Somebody that is told.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Addressee {
    Worker(RecordId),
    Group(RecordId),
    Organization(RecordId),
    /// Those with this role in the area.
    Role(&'static str),
}

/// A notice that should exist.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct WantedNotice {
    pub(crate) id: RecordId,
    /// What it is about.
    pub(crate) subject: RecordId,
    pub(crate) sort: &'static str,
    pub(crate) at_ms: i64,
    pub(crate) due_at_ms: Option<i64>,
    pub(crate) to: Addressee,
}

/// Who is told when about follow-ups of a sort where no policy says anything: offsets from when it is due, and who.
fn built_in_steps(sort: &str) -> Vec<ReminderStep> {
    let steps: &[(i32, &str)] = match sort {
        // Overdue by a day is an alert to the supervisor, not a colour on a list.
        "maintenance" | "statutory_inspection" => &[
            (MORNING - DAY_MINUTES, "responsible"),
            (MORNING, "responsible"),
            (MORNING + DAY_MINUTES, "coordinator"),
            (MORNING + 2 * DAY_MINUTES, "supervisor"),
        ],
        // Announced 90, 30 and 7 days ahead; a lapse without a successor is an alert.
        "contract_expiry" => &[
            (MORNING - 90 * DAY_MINUTES, "coordinator"),
            (MORNING - 30 * DAY_MINUTES, "coordinator"),
            (MORNING - 7 * DAY_MINUTES, "coordinator"),
            (MORNING + DAY_MINUTES, "supervisor"),
        ],
        // They come too often to be told of each in advance.
        "watering" => &[(MORNING + DAY_MINUTES, "responsible"), (MORNING + 3 * DAY_MINUTES, "coordinator")],
        "referral_chase" => &[(0, "responsible"), (0, "coordinator"), (3 * DAY_MINUTES, "supervisor")],
        _ => &[
            (MORNING, "responsible"),
            (MORNING + DAY_MINUTES, "responsible"),
            (MORNING + 3 * DAY_MINUTES, "coordinator"),
        ],
    };
    steps
        .iter()
        .map(|(offset_minutes, to)| ReminderStep { offset_minutes: *offset_minutes, to: (*to).to_owned() })
        .collect()
}

/// The steps and the quiet hours for follow-ups of a sort: of the nearest policy for it, else of the nearest for all.
fn rules(sort: &str, around: &Around) -> (Vec<ReminderStep>, Option<(Time, Time)>) {
    let policies = policy::all(around);
    let of = |wanted: &str| policies.iter().find(|policy| policy.sort == wanted && !policy.steps.is_empty());
    let steps =
        of(sort).or_else(|| of("")).map_or_else(|| built_in_steps(sort), |policy| policy.steps.clone());
    (steps, quiet_hours(&policies))
}

/// How many days before it is due the first one is told about a follow-up of a sort.
pub(crate) fn days_ahead(sort: &str, around: &Around) -> i64 {
    let (steps, _) = rules(sort, around);
    let ahead = steps.iter().map(|step| -i64::from(step.offset_minutes) / i64::from(DAY_MINUTES)).max();
    ahead.unwrap_or_default().max(0)
}

fn quiet_hours(policies: &[Policy]) -> Option<(Time, Time)> {
    let Some(said) = policies.iter().find(|policy| !policy.quiet_from.is_empty()) else { return Some(QUIET) };
    let from = said.quiet_from.parse().ok()?;
    let until = said.quiet_until.parse().unwrap_or(QUIET.1);
    (from != until).then_some((from, until))
}

/// The moment, or the end of the quiet hours that it falls into.
fn awake_ms(at_ms: i64, quiet: Option<(Time, Time)>, around: &Around) -> i64 {
    let Some((from, until)) = quiet else { return at_ms };
    let Ok(at) = jiff::Timestamp::from_millisecond(at_ms) else { return at_ms };
    let local = around.zone.to_datetime(at);
    let (day, time) = (local.date(), local.time());
    let wakes_on = match from < until {
        true if (from..until).contains(&time) => Some(day),
        false if time >= from => Some(days_later(day, 1)),
        false if time < until => Some(day),
        _ => None,
    };
    wakes_on.map_or(at_ms, |day| moment_ms(day.to_datetime(until), around.zone))
}

/// What it takes to make the notices about a record those that should exist, and moments at which others are due.
///
/// `called` are those that the record itself calls for; the others follow from its follow-ups. Of the steps that
/// have passed for one reader only the last is raised: after a long stop nobody is flooded.
pub(crate) fn mend_notices(
    source: &Record,
    called: Vec<WantedNotice>,
    standing: &[Standing],
    around: &Around,
) -> (Vec<Mend>, Vec<i64>) {
    let mut moments = Vec::new();
    let mut may_stay: BTreeSet<RecordId> = called.iter().map(|notice| notice.id).collect();
    let mut wanted = called;
    // Of those that were missed, only the last one is worth a word.
    let last_due =
        standing.iter().rposition(|it| it.follow_up.due_at_ms.is_some_and(|due| due <= around.now_ms));
    for (at, state) in standing.iter().enumerate() {
        if state.is_open() || (state.status == "missed" && Some(at) == last_due) {
            remind(state, around, &mut wanted, &mut may_stay, &mut moments);
        }
    }
    // Whoever calls one missed before it is due does not end what is said of it then.
    if standing.iter().any(|state| state.status == "missed") {
        moments.extend(standing.iter().filter_map(|state| state.follow_up.due_at_ms));
    }
    let existing: BTreeMap<RecordId, &Record> = around.notices.iter().map(|it| (it.id, it)).collect();
    let mut mends = Vec::new();
    for notice in around.notices {
        let ours = notice.created.op.device == around.system && notice.deleted.is_none();
        let withdrawn = last_step(notice).is_none_or(|taken| taken.trace.op.device == around.system);
        if ours && notice.status == "raised" && !may_stay.contains(&notice.id) {
            mends.push(mended(notice, "withdrawn"));
        } else if ours
            && withdrawn
            && notice.status == "withdrawn"
            && wanted.iter().any(|it| it.id == notice.id)
        {
            mends.push(mended(notice, "raised"));
        }
    }
    for notice in wanted.into_iter().filter(|notice| !existing.contains_key(&notice.id)) {
        let id = notice.id;
        let action = Action::Create(Box::new(Body::Notice(notice.body())));
        mends.push(Mend { record: id, kind: Kind::Notice, area: source.area, action });
    }
    (mends, moments)
}

fn mended(notice: &Record, stage: &str) -> Mend {
    let action = Action::Step(Step { to: stage.to_owned(), ..Step::default() });
    Mend { record: notice.id, kind: Kind::Notice, area: notice.area, action }
}

/// The steps of one follow-up.
fn remind(
    state: &Standing,
    around: &Around,
    wanted: &mut Vec<WantedNotice>,
    may_stay: &mut BTreeSet<RecordId>,
    moments: &mut Vec<i64>,
) {
    let Some(due_ms) = state.follow_up.due_at_ms else { return };
    let (steps, quiet) = rules(&state.follow_up.sort, around);
    let mut latest: BTreeMap<Addressee, (i64, WantedNotice)> = BTreeMap::new();
    for step in steps {
        let Some(to) = addressee(&step.to, state, around) else { continue };
        let at_ms =
            awake_ms(due_ms.saturating_add(i64::from(step.offset_minutes) * MINUTE_MS), quiet, around);
        if at_ms > around.now_ms {
            moments.push(at_ms);
            continue;
        }
        let id = state.id.derived(&format!("notice/{}/{}", step.offset_minutes, step.to));
        let sort = if around.now_ms > due_ms { "overdue" } else { "reminder" };
        let mut notice = WantedNotice { id, subject: state.id, sort, at_ms, due_at_ms: Some(due_ms), to };
        // Somebody else has it now, or it is due at another time: what was said stays what it was.
        let is_other = |told: &Record| told.id == id && told.deleted.is_none() && !notice.says_as(told);
        if around.notices.iter().any(is_other) {
            notice.id = id.derived(&format!("{due_ms}/{to:?}"));
        }
        may_stay.insert(notice.id);
        if latest.get(&to).is_none_or(|(before_ms, _)| *before_ms <= at_ms) {
            latest.insert(to, (at_ms, notice));
        }
    }
    wanted.extend(latest.into_values().map(|(_, notice)| notice));
}

/// Who is told of a follow-up; what nobody is responsible for is the coordinator's.
fn addressee(to: &str, state: &Standing, around: &Around) -> Option<Addressee> {
    let follow_up = &state.follow_up;
    match to {
        "coordinator" => Some(Addressee::Role("coordinator")),
        "supervisor" => Some(Addressee::Role("supervisor")),
        _ => {
            if let Some(adoption) = follow_up.adoption {
                // A household has no phone of ours; what it does not do falls back to the team when it is due.
                let adoption = around.nearby.iter().find(|record| record.id == adoption)?;
                return adoption.reference("group").map(Addressee::Group);
            }
            let worker = follow_up.worker.map(Addressee::Worker);
            let group = follow_up.group.map(Addressee::Group);
            let organization = follow_up.organization.map(Addressee::Organization);
            worker.or(group).or(organization).or(Some(Addressee::Role("coordinator")))
        }
    }
}

/// The moment, or the end of the quiet hours of its area that it falls into.
pub(crate) fn awake(at_ms: i64, around: &Around) -> i64 {
    awake_ms(at_ms, quiet_hours(&policy::all(around)), around)
}

/// The digests that a policy asks for: the last one that is due, if it is not too late for it.
pub(crate) fn digests(source: &Record, around: &Around) -> CalledFor {
    let mut called = CalledFor::default();
    let Some(said) = policy::said(source) else { return called };
    let is_weekly = said.digest == "weekly";
    if said.digest.is_empty() {
        return called;
    }
    let today = local_day(around.now_ms, around.zone);
    let quiet = quiet_hours(std::slice::from_ref(&said));
    let at_ms = |day: Date| awake_ms(moment_ms(day.to_datetime(DIGEST_TIME), around.zone), quiet, around);
    for day in (-7..=7).map(|days| days_later(today, days)) {
        if is_weekly && day.weekday() != Weekday::Monday {
            continue;
        }
        let at_ms = at_ms(day);
        if at_ms > around.now_ms {
            called.moments.push(at_ms);
            continue;
        }
        if at_ms <= around.now_ms - DIGEST_LATE_MS_MAX || at_ms < source.created.at_ms {
            continue;
        }
        let mailboxes = [("coordinator", &said.coordinator_email), ("supervisor", &said.supervisor_email)];
        for (role, _) in mailboxes.into_iter().filter(|(_, email)| !email.is_empty()) {
            called.notices.push(WantedNotice {
                id: source.id.derived(&format!("digest/{day}/{role}")),
                subject: source.id,
                sort: "digest",
                at_ms,
                due_at_ms: None,
                to: Addressee::Role(role),
            });
        }
    }
    called
}

impl WantedNotice {
    /// Whether a notice that is there says the same to the same one.
    fn says_as(&self, told: &Record) -> bool {
        let is_to = match self.to {
            Addressee::Worker(id) => told.reference("worker") == Some(id),
            Addressee::Group(id) => told.reference("group") == Some(id),
            Addressee::Organization(id) => told.reference("organization") == Some(id),
            Addressee::Role(role) => told.text("role") == role,
        };
        is_to && told.fields.get("due_at_ms").and_then(serde_json::Value::as_i64) == self.due_at_ms
    }

    fn body(&self) -> Notice {
        let mut notice = Notice {
            subject: Some(self.subject),
            sort: self.sort.to_owned(),
            at_ms: Some(self.at_ms),
            due_at_ms: self.due_at_ms,
            ..Notice::default()
        };
        match self.to {
            Addressee::Worker(id) => notice.worker = Some(id),
            Addressee::Group(id) => notice.group = Some(id),
            Addressee::Organization(id) => notice.organization = Some(id),
            Addressee::Role(role) => notice.role = role.to_owned(),
        }
        notice
    }
}
