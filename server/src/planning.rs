//! Plans for many things at once: one plan for each asset or place of a sort, from a template.

use crate::clock::Clock;
use rounds_domain::body::Plan;
use rounds_domain::recurrence::days_later;
use rounds_domain::template::Template;
use rounds_domain::{
    Action, AreaId, Body, ClockReading, DeviceId, Kind, Op, Record, RecordId, Refusal, Role,
};
use rounds_proto::encode_op;
use rounds_store::{Arrival, Batch, Content, RecordFilter, Store, content_hash};
use std::collections::HashSet;
use uuid::Uuid;

/// Things that are read, and plans that are written, at once.
const PAGE_RECORDS: u32 = 500;

/// What came of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Planned {
    /// Things of the sort.
    pub things: u64,
    /// Plans that were made.
    pub made: u64,
    /// Things that had their plan from this template already.
    pub there: u64,
    /// Things that have another plan of the same sort, and got none beside it.
    pub others: u64,
}

/// Why it ended.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The store could not.
    #[error(transparent)]
    Store(#[from] rounds_store::Error),
    /// The plan is none.
    #[error("the plan cannot be taken in: {0}")]
    Plan(Refusal),
}

/// The device of this program that plans from templates are the ops of.
pub fn device() -> DeviceId {
    DeviceId(Uuid::new_v5(&Uuid::NAMESPACE_URL, b"rounds:plan"))
}

/// The id of the plan that a thing gets from a template, so that it gets it once.
pub fn plan_id(thing: RecordId, template: &Template) -> RecordId {
    thing.derived(&format!("plan/{}", template.name))
}

/// What to make.
#[derive(Clone, Debug)]
pub struct Planning {
    /// For the things of its sorts.
    pub template: &'static Template,
    /// What each plan says, but for its subject.
    pub plan: Plan,
    /// Plans begin on so many different days from `plan.from` on, so that not everything is due at once. 0 is 1.
    pub spread_days: u32,
    /// Only things in these areas.
    pub areas: Vec<AreaId>,
    /// Things that have another plan of the same sort get one as well: each time they would be due twice.
    pub beside_others: bool,
    /// Count, and make nothing.
    pub dry_run: bool,
}

/// Makes a plan for each thing of the template's sorts in the areas that has none from it yet, and no other of the same
/// sort.
///
/// # Errors
/// When the store cannot be reached, or the plan is none. What was made until then stays, and is found again.
pub async fn apply(
    store: &Store,
    clock: &Clock,
    planning: &Planning,
    mut progress: impl FnMut(Planned),
) -> Result<Planned, Error> {
    store.internal_device(device(), "plans", Role::Coordinator, clock.now_ms()).await?;
    let mut planned = Planned::default();
    let template = planning.template;
    let mut filter = RecordFilter::of(template.kind, planning.areas.clone(), PAGE_RECORDS);
    loop {
        let page = store.records(&filter).await?;
        filter.after = page.last().map(|last| (last.record.area, last.number, last.record.id));
        let is_whole = page.len() == PAGE_RECORDS as usize;
        let things: Vec<Record> = page
            .into_iter()
            .map(|numbered| numbered.record)
            .filter(|thing| template.sorts.contains(&thing.text("sort")))
            .collect();
        let ids: Vec<RecordId> = things.iter().map(|thing| plan_id(thing.id, template)).collect();
        let there: HashSet<RecordId> =
            store.records_of(&ids).await?.into_iter().map(|record| record.id).collect();
        let mut missing: Vec<(&Record, &RecordId)> =
            things.iter().zip(&ids).filter(|(_, id)| !there.contains(*id)).collect();
        if !planning.beside_others {
            let subjects: Vec<RecordId> = missing.iter().map(|(thing, _)| thing.id).collect();
            let others = planned_otherwise(store, &subjects, &planning.plan).await?;
            missing.retain(|(thing, _)| !others.contains(&thing.id));
            planned.others += others.len() as u64;
        }
        let now_ms = clock.now_ms();
        let reading = ClockReading { wall_ms: now_ms, boot: 0, monotonic_ms: 0 };
        let arrivals: Vec<Arrival> = missing
            .into_iter()
            .map(|(thing, id)| arrival(thing, *id, planning, reading))
            .collect::<Result<_, _>>()
            .map_err(Error::Plan)?;
        planned.things += things.len() as u64;
        planned.there += there.len() as u64;
        planned.made += arrivals.len() as u64;
        if !arrivals.is_empty() && !planning.dry_run {
            let (clock, received_ms) = (reading, now_ms);
            let batch =
                Batch { device: device(), arrivals, clock, received_ms, holds_from: 0, settled: None };
            store.submit(batch).await?;
        }
        progress(planned);
        if !is_whole {
            return Ok(planned);
        }
    }
}

/// Which of these things have a plan of the same sort that does not end before this one begins.
async fn planned_otherwise(
    store: &Store,
    things: &[RecordId],
    plan: &Plan,
) -> Result<HashSet<RecordId>, Error> {
    let is_same = |record: &Record| {
        let until = record.text("until");
        record.kind == Kind::Plan
            && record.deleted.is_none()
            && record.text("sort") == plan.sort
            && (until.is_empty() || until >= plan.from.as_str())
    };
    // Follow-ups that are over are not asked for: of them there are most.
    let about = store.about(things, i64::MAX).await?;
    let plans = about.iter().map(|numbered| &numbered.record).filter(|record| is_same(record));
    Ok(plans.filter_map(Record::subject).collect())
}

fn arrival(
    thing: &Record,
    id: RecordId,
    planning: &Planning,
    clock: ClockReading,
) -> Result<Arrival, Refusal> {
    let mut plan = Plan { subject: Some(thing.id), ..planning.plan.clone() };
    if let Ok(from) = plan.from.parse() {
        let days = id.0.as_u128() % u128::from(planning.spread_days.max(1));
        plan.from = days_later(from, days as i64).to_string();
    }
    let action = Action::Create(Box::new(Body::Plan(plan)));
    let op =
        Op { record: id, area: thing.area, kind: Kind::Plan, action, clock, observed: 0, scope_version: 0 };
    op.check()?;
    let hash = content_hash(0, &encode_op(&op)?);
    Ok(Arrival { seq: None, followed_by: 0, hash, content: Content::Admitted(op) })
}
