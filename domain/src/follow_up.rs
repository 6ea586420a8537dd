//! What has to be done because of what happened: a pure function from a record, and what is around it, to the
//! follow-ups and notices that should exist now.
//!
//! Ids derive from the cause, so asking twice asks for the same ones. Asking late, or again after a crash, changes
//! nothing that was right.

mod event;
mod mend;
mod plan;

pub use event::RECHECK_DAYS;
pub(crate) use mend::Standing;
pub use mend::{Mend, mend};
pub use plan::{HORIZON_DAYS, Preview, preview};

use crate::body::FollowUp;
use crate::id::{DeviceId, RecordId};
use crate::kind::Kind;
use crate::notice::{WantedNotice, mend_notices};
use crate::record::{Record, StepTaken};
use jiff::tz::TimeZone;
use std::collections::BTreeSet;

/// How far back follow-ups are looked at, in days: what fell due before, and is over, stays as it is.
pub const LOOK_BACK_DAYS: i64 = 100;

/// What is around a record when it is looked at.
#[derive(Clone, Copy, Debug)]
pub struct Around<'a> {
    /// The time, in ms since 1970 UTC.
    pub now_ms: i64,
    /// The time zone of the record's area.
    pub zone: &'a TimeZone,
    /// The device that creates and mends follow-ups and notices.
    pub system: DeviceId,
    /// The follow-ups whose source is the record, deleted ones too; those that fell due more than twice
    /// [`LOOK_BACK_DAYS`] ago and are over may be missing.
    pub follow_ups: &'a [Record],
    /// The notices about the record and its follow-ups.
    pub notices: &'a [Record],
    /// What is known about the same place or asset: the thing itself, visits, inspections, plans, contracts, adoptions.
    pub nearby: &'a [Record],
    /// The policies of the area, then of the areas above it, nearest first.
    pub policies: &'a [&'a Record],
}

/// What should be done now, and when to look again.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Outlook {
    /// What it takes, in this order.
    pub mends: Vec<Mend>,
    /// When something changes by itself, in ms since 1970 UTC. It is after the time that was looked at.
    pub next_ms: Option<i64>,
}

/// A follow-up that should exist.
#[derive(Clone, PartialEq, Debug)]
pub struct Wanted {
    /// Its id, derived from its cause.
    pub id: RecordId,
    /// What it should say.
    pub follow_up: FollowUp,
    /// The work, if it was done.
    pub done: Option<Done>,
}

/// When something may be done, in ms since 1970 UTC.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct Window {
    pub(crate) opens_ms: Option<i64>,
    pub(crate) due_ms: i64,
    pub(crate) expires_ms: Option<i64>,
}

impl Window {
    /// The same for something that is due at another time: it closes as much later, or opens as much earlier.
    pub(crate) fn moved_to(self, due_ms: i64) -> Self {
        let by_ms = due_ms.saturating_sub(self.due_ms);
        let opens_ms = self.opens_ms.map(|opens_ms| opens_ms.saturating_add(by_ms.min(0)));
        let expires_ms = self.expires_ms.map(|expires_ms| expires_ms.saturating_add(by_ms.max(0)));
        Self { opens_ms, due_ms, expires_ms }
    }
}

/// Work that was done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Done {
    /// When, in ms since 1970 UTC.
    pub at_ms: i64,
    /// The visit or inspection that shows it.
    pub evidence: Option<RecordId>,
}

/// What a record calls for.
#[derive(Clone, PartialEq, Debug, Default)]
pub(crate) struct CalledFor {
    pub(crate) follow_ups: Vec<Wanted>,
    pub(crate) notices: Vec<WantedNotice>,
    /// Moments at which it may call for something else.
    pub(crate) moments: Vec<i64>,
}

/// Whether a change of this record may change what should be done about it or about what is near it.
pub fn is_cause(record: &Record) -> bool {
    // Whatever is deleted may be what a plan is about.
    record.deleted.is_some()
        || is_source(record.kind)
        || matches!(record.kind, Kind::Inspection | Kind::FollowUp)
}

/// Whether follow-ups and notices can follow from records of this kind.
pub fn is_source(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::Violation
            | Kind::Visit
            | Kind::Plan
            | Kind::Request
            | Kind::Contract
            | Kind::Adoption
            | Kind::Policy
    )
}

/// The follow-ups that should exist because of this record.
pub fn called_for(source: &Record, around: &Around) -> Vec<Wanted> {
    call(source, around).follow_ups
}

/// What should be done now about a record, its follow-ups and notices.
pub fn look(source: &Record, around: &Around) -> Outlook {
    let called = call(source, around);
    let mut mends = event::own_mends(source, around);
    mends.extend(mend(source, &called.follow_ups, around));
    let standing = mend::after(&called.follow_ups, around);
    let (notice_mends, mut moments) = mend_notices(source, called.notices, &standing, around);
    mends.extend(notice_mends);
    moments.extend(called.moments);
    for state in &standing {
        if state.is_open() {
            moments.extend(state.follow_up.expires_at_ms.map(|expires_ms| expires_ms.saturating_add(1)));
            moments.extend(
                state
                    .follow_up
                    .adoption
                    .and(state.follow_up.due_at_ms)
                    .map(|due_ms| due_ms.saturating_add(1)),
            );
        }
    }
    let next_ms = moments.into_iter().filter(|moment| *moment > around.now_ms && *moment < i64::MAX).min();
    Outlook { mends, next_ms }
}

fn call(source: &Record, around: &Around) -> CalledFor {
    if source.deleted.is_some() {
        return CalledFor::default();
    }
    match source.kind {
        Kind::Plan => plan::called_for(source, around),
        Kind::Violation => event::rechecks(source, around),
        Kind::Visit if source.text("outcome") == "no_answer" => event::second_call(source, around),
        Kind::Request => event::referral(source, around),
        Kind::Contract => event::contract_expiry(source, around),
        Kind::Adoption => event::confirmation(source, around),
        Kind::Policy => crate::notice::digests(source, around),
        _ => CalledFor::default(),
    }
}

impl Around<'_> {
    /// The visits and inspections here, as they are now.
    pub(crate) fn facts(&self) -> impl Iterator<Item = &Record> {
        let is_fact = |record: &&Record| matches!(record.kind, Kind::Visit | Kind::Inspection);
        self.nearby.iter().filter(is_fact).filter(|record| record.deleted.is_none())
    }

    /// The records of a kind here, as they are now.
    pub(crate) fn near(&self, kind: Kind) -> impl Iterator<Item = &Record> {
        self.nearby.iter().filter(move |record| record.kind == kind && record.deleted.is_none())
    }

    /// The first work that does a follow-up: a fact that names it, or one that fits while its window is open.
    pub(crate) fn done_by(
        &self,
        id: RecordId,
        follow_up: &FollowUp,
        fits: impl Fn(&Record) -> bool,
    ) -> Option<Done> {
        let opens_ms = follow_up.opens_at_ms.unwrap_or(i64::MIN);
        let expires_ms = follow_up.expires_at_ms.unwrap_or(i64::MAX);
        let does = |fact: &&Record| match fact.reference("follow_up") {
            Some(named) => named == id,
            None => (opens_ms..=expires_ms).contains(&fact.created.at_ms) && fits(fact),
        };
        let first = self.facts().filter(does).min_by_key(|fact| (fact.created.at_ms, fact.id))?;
        Some(Done { at_ms: first.created.at_ms, evidence: Some(first.id) })
    }

    /// The work that people themselves called done on this follow-up, whatever the worker made of it since.
    pub(crate) fn said_done(&self, follow_up: &Record) -> Option<Done> {
        let taken = self.said_step(follow_up)?;
        let evidence = taken.step.evidence;
        let shown = evidence.and_then(|id| self.nearby.iter().find(|record| record.id == id));
        let at_ms = taken.step.done_at_ms.or(shown.map(|fact| fact.created.at_ms));
        Some(Done { at_ms: at_ms.unwrap_or(taken.trace.at_ms), evidence })
    }

    /// The first step by which people called a follow-up done, since people last brought it to another stage.
    pub(crate) fn said_step<'a>(&self, follow_up: &'a Record) -> Option<&'a StepTaken> {
        let mut said = None;
        for taken in follow_up.steps.iter().filter(|taken| taken.trace.op.device != self.system) {
            if taken.step.to == "done" {
                said = said.or(Some(taken));
            } else if is_applied(taken) {
                said = None;
            }
        }
        said
    }
}

/// The step that brought a record to the stage that it is in.
pub(crate) fn last_step(record: &Record) -> Option<&StepTaken> {
    record.steps.iter().rev().find(|taken| is_applied(taken))
}

fn is_applied(taken: &StepTaken) -> bool {
    taken.standing == crate::record::Standing::Applied
}

/// The records that may call for something else because this one changed. `near` is what is known about the same
/// place or asset, see [`Around::nearby`].
pub fn sources_of<'a>(cause: &'a Record, near: &'a [Record]) -> BTreeSet<RecordId> {
    let mut sources: BTreeSet<RecordId> = BTreeSet::new();
    if is_source(cause.kind) {
        sources.insert(cause.id);
    }
    if cause.kind == Kind::FollowUp {
        sources.extend(cause.subject());
    }
    if cause.deleted.is_some()
        || matches!(cause.kind, Kind::Visit | Kind::Inspection | Kind::Plan | Kind::Contract | Kind::Adoption)
    {
        let touched = |record: &&Record| match record.kind {
            Kind::Plan | Kind::Violation => true,
            Kind::Visit => record.text("outcome") == "no_answer",
            Kind::Contract => cause.kind == Kind::Contract,
            _ => false,
        };
        sources.extend(near.iter().filter(touched).map(|record| record.id));
    }
    sources
}

/// The place or asset around which a cause or source has to be looked at. What was deleted does not say any more what it
/// was about, but others may be about it.
pub fn site(record: &Record) -> Option<RecordId> {
    if record.deleted.is_some() {
        return Some(record.id);
    }
    match record.kind {
        Kind::Asset | Kind::Place => Some(record.id),
        Kind::Adoption => record.reference("asset"),
        Kind::FollowUp | Kind::Policy => None,
        _ => record.reference("subject"),
    }
}
