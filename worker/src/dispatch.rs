//! Moves what waits, and what has become due, from the store's tables into the runner's.
//!
//! The runner's table is kept small, which is what keeps it fast, and fair: each area may have a few jobs in it, and
//! the first job of an area goes before the second of any other. What does not fit waits in the store's own tables,
//! where it costs nothing.

use crate::handle::pause_max;
use crate::job::{JOB_TIMERS_MAX, JobKind, Released, merge, wake};
use crate::queue::Load;
use crate::reconcile::DEVICE;
use crate::runtime::Shared;
use crate::{Error, channel};
use rounds_domain::{AreaId, RecordId};
use rounds_store::Timer;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, sleep_until};

/// Most jobs in the runner's table that could run or do, whosever they are.
const JOBS_MAX: usize = 512;
/// Most of them that are of one area.
const AREA_JOBS_MAX: usize = 32;
/// Most waiting jobs that are read at once. Those of one area become few jobs.
const WAITING_MAX: u32 = 5_000;
/// Most timers that are read at once.
const TIMERS_MAX: u32 = 10_000;

/// A clock that was set back by more than this had been ahead; less is the servers' clocks being set right all the time.
const CLOCK_BACK_MS: i64 = 60_000;

/// Shortest time between two moves. Each costs the store a commit of its own; those of a busy time are worth one.
const DISPATCH_GAP: Duration = Duration::from_millis(50);

/// What a move came to.
#[derive(Debug, Default)]
struct Moved {
    /// All that was found was moved, so there may be more.
    more: bool,
    /// Something stayed behind because there was no room.
    held_back: bool,
    /// How long until the next timer is due, if there is one.
    next_timer: Option<Duration>,
}

/// Moves jobs whenever the store hints that something happened, a timer is due, or there is room again, and at
/// intervals, until it is told to stop.
pub(crate) async fn run(shared: Arc<Shared>) {
    let mut hints = shared.store.watch();
    let mut tick = interval(shared.options.look_every);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut hinting = true;
    let mut latest_ms = i64::MIN;
    loop {
        // One reading for both: whatever is called for by it is put right once the clock is set back behind it.
        let (began, now_ms) = (Instant::now(), (shared.clock)());
        let looked = look_again_if_set_back(&shared, now_ms, &mut latest_ms).await;
        let moved = match looked {
            Ok(()) => dispatch(&shared, now_ms).await,
            Err(error) => Err(error),
        };
        let moved = moved.unwrap_or_else(|error| {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(error, "jobs wait: they could not be dispatched");
            Moved::default()
        });
        shared.note_progress(); // also if nothing was moved: other processes may have done something
        let timer = moved.next_timer.unwrap_or(Duration::MAX).saturating_sub(began.elapsed());
        tokio::select! {
            () = shared.stopped() => return,
            () = std::future::ready(()), if moved.more => {}
            _ = tick.tick() => {}
            () = sleep(timer), if moved.next_timer.is_some() => {}
            () = shared.room.notified(), if moved.held_back => {}
            hint = hints.recv(), if hinting => hinting = !matches!(hint, Err(RecvError::Closed)),
        }
        tokio::select! {
            () = shared.stopped() => return,
            () = sleep_until(began + DISPATCH_GAP) => {}
        }
        while let Ok(_) | Err(tokio::sync::broadcast::error::TryRecvError::Lagged(_)) = hints.try_recv() {}
    }
}

/// Has everything looked at again if the clock had been ahead and was set back: what was called for then is not called
/// for now, and nobody would look before that time comes.
async fn look_again_if_set_back(shared: &Shared, now_ms: i64, latest_ms: &mut i64) -> Result<(), Error> {
    if *latest_ms == i64::MIN {
        // How far the workers before this one were, with all that they did.
        *latest_ms = shared.store.last_act_ms(DEVICE).await?.unwrap_or(now_ms);
    }
    if now_ms < latest_ms.saturating_sub(CLOCK_BACK_MS) {
        tracing::warn!(
            ahead_ms = *latest_ms - now_ms,
            "the clock was set back: everything is looked at again"
        );
        shared.store.look_at_all_again(now_ms).await?;
        channel::bring_back(shared, now_ms).await?;
        shared.queue.bring_back(pause_max(shared.options.retry_after)).await?;
        *latest_ms = now_ms;
    }
    *latest_ms = now_ms.max(*latest_ms);
    Ok(())
}

/// Moves what waits and what is due, if there is room. If this process ends between the steps, the same is moved again
/// under the same names.
async fn dispatch(shared: &Shared, now_ms: i64) -> Result<Moved, Error> {
    let paused = shared.queue.paused().await?;
    let is_paused = |kind| paused.iter().any(|(paused, _)| *paused == kind);
    let mut moved = Moved::default();
    if shared.options.channels.is_some() && !is_paused(JobKind::Deliver) {
        moved.held_back = channel::release_due(shared, now_ms).await?;
    }
    let waiting = match is_paused(JobKind::Look) {
        true => Vec::new(),
        false => merge(&shared.store.waiting_jobs(WAITING_MAX).await?),
    };
    let due = match is_paused(JobKind::Wake) {
        true => Vec::new(),
        false => {
            let per_area = u32::try_from(JOB_TIMERS_MAX * AREA_JOBS_MAX).unwrap_or(u32::MAX);
            wake(&shared.store.due_timers(now_ms, per_area, TIMERS_MAX).await?)
        }
    };
    let found = waiting.len() + due.len();
    let mut has_room = true;
    if found > 0 {
        let looks = waiting.into_iter().map(|(job, ids)| (job, Source::Waiting(ids)));
        let wakes = due.into_iter().map(|(job, timers)| (job, Source::Timers(timers)));
        let chosen = choose(&shared.queue.load().await?, looks.chain(wakes));
        has_room = chosen.len() == found;
        moved.held_back |= !has_room;
        moved.more = has_room && !chosen.is_empty();
        hand_over(shared, chosen).await?;
    }
    if !is_paused(JobKind::Wake) && has_room {
        // One that is due already was set meanwhile.
        let until = |at_ms: i64| u64::try_from(at_ms.saturating_sub(now_ms)).unwrap_or_default();
        let next_ms = shared.store.next_timer_ms().await?;
        moved.next_timer = next_ms.map(|at_ms| Duration::from_millis(until(at_ms)));
    }
    Ok(moved)
}

/// Where the store has what a job is made of.
#[derive(Debug)]
enum Source {
    Waiting(Vec<RecordId>),
    Timers(Vec<Timer>),
}

/// Those jobs for which there is room, each with its place among those of its area as its priority.
fn choose(load: &Load, found: impl Iterator<Item = (Released, Source)>) -> Vec<(Released, Source)> {
    let mut by_area: HashMap<AreaId, usize> = load.by_area.clone();
    let mut ranked: Vec<(usize, Released, Source)> = found
        .map(|(job, source)| {
            let rank = by_area.entry(job.work.area()).or_default();
            *rank += 1;
            (*rank - 1, job, source)
        })
        .filter(|(rank, _, _)| *rank < AREA_JOBS_MAX)
        .collect();
    ranked.sort_by_key(|(rank, _, _)| *rank);
    ranked.truncate(JOBS_MAX.saturating_sub(load.total));
    let with_priority = |(rank, job, source): (usize, Released, Source)| {
        let priority = i32::try_from(AREA_JOBS_MAX - rank).unwrap_or_default();
        (Released { priority, ..job }, source)
    };
    ranked.into_iter().map(with_priority).collect()
}

async fn hand_over(shared: &Shared, chosen: Vec<(Released, Source)>) -> Result<(), Error> {
    let (mut jobs, mut ids, mut timers) = (Vec::new(), Vec::new(), Vec::new());
    for (job, source) in chosen {
        jobs.push(job);
        match source {
            Source::Waiting(of_job) => ids.extend(of_job),
            Source::Timers(of_job) => timers.extend(of_job),
        }
    }
    if jobs.is_empty() {
        return Ok(());
    }
    shared.queue.release(&jobs).await?;
    shared.wake.notify_one();
    if !ids.is_empty() {
        shared.store.jobs_handed_over(&ids).await?;
    }
    if !timers.is_empty() {
        shared.store.timers_handed_over(&timers).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::Work;
    use uuid::Uuid;

    fn area(n: u128) -> AreaId {
        AreaId(Uuid::from_u128(n))
    }

    fn found(n: u128, of: u128) -> (Released, Source) {
        let work = Work::Look { area: area(of), after: 0, through: 1 };
        (Released::new(RecordId(Uuid::from_u128(n)), work), Source::Waiting(Vec::new()))
    }

    #[test]
    fn a_backlog_leaves_room_and_the_first_place_to_other_areas() {
        let backlog = (0..1_000).map(|n| found(n, 1));
        let chosen = choose(&Load::default(), backlog.chain([found(5_000, 2)]));
        let of = |n: u128| chosen.iter().filter(move |(job, _)| job.work.area() == area(n));
        assert_eq!(of(1).count(), AREA_JOBS_MAX);
        let priority = of(2).next().expect("the other area's job").0.priority;
        assert_eq!(of(1).filter(|(job, _)| job.priority >= priority).count(), 1);

        let by_area = HashMap::from([(area(1), AREA_JOBS_MAX - 1)]);
        let load = Load { total: JOBS_MAX - 2, by_area, ..Load::default() };
        let chosen = choose(&load, (0..1_000).map(|n| found(n, 1)).chain([found(5_000, 2), found(5_001, 3)]));
        let areas: Vec<_> = chosen.iter().map(|(job, _)| job.work.area()).collect();
        assert_eq!(areas, [area(2), area(3)], "who has nothing there comes first");
    }

    #[test]
    fn a_full_table_takes_no_more() {
        let load = Load { total: JOBS_MAX + 3, ..Load::default() };
        assert!(choose(&load, [found(1, 1)].into_iter()).is_empty());
    }
}
