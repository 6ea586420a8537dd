//! Plans for many things at once: one plan for each asset or place of a sort, from a template.

use crate::clock::Clock;
use rounds_domain::body::Plan;
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

/// Makes a plan like `plan` for each thing of the template's sorts in these areas that has none from it yet. With
/// `dry_run` it only counts.
///
/// # Errors
/// When the store cannot be reached, or the plan is none. What was made until then stays, and is found again.
pub async fn apply(
    store: &Store,
    clock: &Clock,
    template: &Template,
    plan: &Plan,
    areas: Vec<AreaId>,
    dry_run: bool,
    mut progress: impl FnMut(Planned),
) -> Result<Planned, Error> {
    store.internal_device(device(), "plans", Role::Coordinator, clock.now_ms()).await?;
    let mut planned = Planned::default();
    let mut filter = RecordFilter::of(template.kind, areas, PAGE_RECORDS);
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
        let now_ms = clock.now_ms();
        let reading = ClockReading { wall_ms: now_ms, boot: 0, monotonic_ms: 0 };
        let missing = things.iter().zip(&ids).filter(|(_, id)| !there.contains(*id));
        let arrivals: Vec<Arrival> = missing
            .map(|(thing, id)| arrival(thing, *id, plan, reading))
            .collect::<Result<_, _>>()
            .map_err(Error::Plan)?;
        planned.things += things.len() as u64;
        planned.there += there.len() as u64;
        planned.made += arrivals.len() as u64;
        if !arrivals.is_empty() && !dry_run {
            let (clock, received_ms) = (reading, now_ms);
            let batch = Batch { device: device(), arrivals, clock, received_ms, holds_from: 0, timers: None };
            store.submit(batch).await?;
        }
        progress(planned);
        if !is_whole {
            return Ok(planned);
        }
    }
}

fn arrival(thing: &Record, id: RecordId, plan: &Plan, clock: ClockReading) -> Result<Arrival, Refusal> {
    let plan = Plan { subject: Some(thing.id), ..plan.clone() };
    let action = Action::Create(Box::new(Body::Plan(plan)));
    let op =
        Op { record: id, area: thing.area, kind: Kind::Plan, action, clock, observed: 0, scope_version: 0 };
    op.check()?;
    let hash = content_hash(0, &encode_op(&op)?);
    Ok(Arrival { seq: None, followed_by: 0, hash, content: Content::Admitted(op) })
}
