//! Group commit: batches that wait at the same time are committed together.
//!
//! A commit costs a write to the disk whatever its size, so while one is under way the next one gathers. SQLite has
//! one writer and so one lane; on PostgreSQL batches go to a lane by their area, so that what would wait for the same
//! area's row is committed together instead.

use crate::batch::{Batch, Content, Receipt};
use crate::commit::{Attempt, Committed, release, take_in};
use crate::database::Begin;
use crate::device::Contact;
use crate::tx::Tx;
use crate::{Error, Hints};
use futures_util::FutureExt;
use rounds_domain::bug::{Bug, is_injected};
use rounds_domain::{Op, OpId};
use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::panic::AssertUnwindSafe;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

/// Most ops in one commit, so that memory and the wait of the first are bounded.
const COMMIT_OPS_MAX: usize = 4_000;
/// Most batches that wait in a lane; more wait at the door,
const LANE_BATCHES_MAX: usize = 1_024;
/// but not for longer than this.
const DOOR_WAIT_MAX: Duration = if cfg!(test) { Duration::from_millis(20) } else { Duration::from_secs(10) };
/// How often a commit is tried again that lost against another server.
const CONTENTION_TRIES_MAX: usize = 5;

type Answer = oneshot::Sender<Result<Receipt, Error>>;

enum Work {
    TakeIn(Batch, Answer),
    Release(OpId, Op, Answer),
    Contact(Contact),
}

/// The lanes to the database.
#[derive(Debug)]
pub(crate) struct Committer {
    lanes: Vec<mpsc::Sender<Work>>,
    tasks: Vec<JoinHandle<()>>,
}

impl Committer {
    pub(crate) fn start(database: impl Begin, lanes: usize, hints: &Hints) -> Self {
        let mut committer = Self { lanes: Vec::new(), tasks: Vec::new() };
        for _ in 0..lanes {
            let (sender, receiver) = mpsc::channel(LANE_BATCHES_MAX);
            committer.lanes.push(sender);
            committer.tasks.push(tokio::spawn(run_lane(database.clone(), receiver, hints.clone())));
        }
        committer
    }

    pub(crate) async fn submit(&self, batch: Batch) -> Result<Receipt, Error> {
        let area = batch.arrivals.iter().find_map(|arrival| match &arrival.content {
            Content::Admitted(op) => Some(op.area),
            Content::Refused { .. } => None,
        });
        let lane = self.lane(&area);
        Self::ask(lane, |answer| Work::TakeIn(batch, answer)).await
    }

    pub(crate) async fn release(&self, id: OpId, op: Op) -> Result<Receipt, Error> {
        let lane = self.lane(&Some(op.area));
        Self::ask(lane, |answer| Work::Release(id, op, answer)).await
    }

    pub(crate) fn note(&self, contact: Contact) {
        if let Some(lane) = self.lane(&contact.device) {
            let _ = lane.try_send(Work::Contact(contact)); // where the lane is full: the device will call again
        }
    }

    /// Lets go of the lanes and waits until they have done what they were given.
    pub(crate) async fn close(&mut self) {
        self.lanes.clear();
        for task in self.tasks.drain(..) {
            let _ = task.await; // a lane that panicked has nothing more to do
        }
    }

    fn lane(&self, key: &impl Hash) -> Option<&mpsc::Sender<Work>> {
        let mut hasher = DefaultHasher::new();
        key.hash(&mut hasher);
        let count = self.lanes.len().max(1);
        self.lanes.get((hasher.finish() % count as u64) as usize)
    }

    async fn ask(
        lane: Option<&mpsc::Sender<Work>>,
        work: impl FnOnce(Answer) -> Work,
    ) -> Result<Receipt, Error> {
        let (answer, receipt) = oneshot::channel();
        let lane = lane.ok_or(Error::Closed)?;
        let place = tokio::time::timeout(DOOR_WAIT_MAX, lane.reserve()).await.map_err(|_| Error::Busy)?;
        place.map_err(|_| Error::Closed)?.send(work(answer));
        receipt.await.map_err(|_| Error::Closed)?
    }
}

async fn run_lane(database: impl Begin, mut waiting: mpsc::Receiver<Work>, hints: Hints) {
    let mut next = waiting.recv().await;
    while let Some(first) = next.take() {
        let mut batches = Vec::new();
        let mut answers = Vec::new();
        let mut contacts = Vec::new();
        let mut releases = Vec::new();
        let mut ops = 0;
        let mut more = Some(first);
        while let Some(work) = more.take() {
            match work {
                // Nobody waits for it any more; whoever sent it will send it again.
                Work::TakeIn(_, answer) | Work::Release(_, _, answer) if answer.is_closed() => {}
                Work::TakeIn(batch, answer) => {
                    ops += batch.arrivals.len();
                    batches.push(batch);
                    answers.push(answer);
                }
                Work::Release(id, op, answer) => releases.push((id, op, answer)),
                Work::Contact(contact) => contacts.push(contact),
            }
            if ops < COMMIT_OPS_MAX {
                more = waiting.try_recv().ok();
            }
        }
        if !batches.is_empty() || !contacts.is_empty() {
            let receipts = commit_together(&database, &batches, &contacts, &hints).await;
            for (answer, receipt) in answers.into_iter().zip(receipts) {
                let _ = answer.send(receipt); // the caller may have gone; the commit stands
            }
        }
        for (id, op, answer) in releases {
            let committed = try_commit(&database, &Task::Release(id, &op), &hints).await;
            let receipt = committed.and_then(|mut receipts| receipts.pop().ok_or(Error::Closed));
            let _ = answer.send(receipt);
        }
        next = waiting.recv().await;
    }
}

/// Commits batches together; where that fails because of what is in them, each by itself.
async fn commit_together(
    database: &impl Begin,
    batches: &[Batch],
    contacts: &[Contact],
    hints: &Hints,
) -> Vec<Result<Receipt, Error>> {
    match try_commit(database, &Task::TakeIn(batches, contacts), hints).await {
        Ok(receipts) => receipts.into_iter().map(Ok).collect(),
        Err(error) if batches.len() > 1 && error.is_about_content() => {
            tracing::warn!(%error, batches = batches.len(), "a common commit failed; trying one by one");
            let mut receipts = Vec::with_capacity(batches.len());
            for batch in batches {
                let one = try_commit(database, &Task::TakeIn(std::slice::from_ref(batch), &[]), hints).await;
                receipts.push(one.and_then(|mut receipts| receipts.pop().ok_or(Error::Closed)));
            }
            receipts
        }
        Err(error) => {
            tracing::warn!(%error, source = ?error, batches = batches.len(), "a commit failed");
            batches.iter().map(|_| Err(error.again())).collect()
        }
    }
}

enum Task<'a> {
    TakeIn(&'a [Batch], &'a [Contact]),
    Release(OpId, &'a Op),
}

async fn try_commit(database: &impl Begin, task: &Task<'_>, hints: &Hints) -> Result<Vec<Receipt>, Error> {
    let mut extra_areas = BTreeSet::new();
    let mut lost = 0;
    loop {
        // A fault that some content brings to light must end neither the lane nor what waits beside it.
        let attempt = AssertUnwindSafe(commit_once(database, task, &extra_areas)).catch_unwind().await;
        match attempt.unwrap_or_else(|_| Err(Error::Unreadable("a commit panicked".to_owned()))) {
            Ok(Attempt::Done(committed)) => {
                if !committed.moved.is_empty() {
                    let _ = hints.send(committed.moved.into()); // nobody may be listening
                }
                return Ok(committed.receipts);
            }
            Ok(Attempt::NeedsAreas(areas)) => {
                let before = extra_areas.len();
                extra_areas.extend(areas);
                if extra_areas.len() == before {
                    return Err(Error::Unreadable("a record is in an area that does not exist".to_owned()));
                }
            }
            Err(error) if error.is_contention() && lost < CONTENTION_TRIES_MAX => lost += 1,
            Err(error) => return Err(error),
        }
    }
}

async fn commit_once(
    database: &impl Begin,
    task: &Task<'_>,
    extra_areas: &BTreeSet<rounds_domain::AreaId>,
) -> Result<Attempt<Committed>, Error> {
    let mut tx = database.begin_write().await?;
    let attempt = match task {
        Task::TakeIn(batches, contacts) => take_in(&mut tx, batches, contacts, extra_areas).await?,
        Task::Release(id, op) => release(&mut tx, *id, op, extra_areas).await?,
    };
    if let Attempt::Done(_) = attempt {
        if is_lost_by_a_bug(task) {
            return Ok(attempt);
        }
        tx.commit().await?;
    }
    Ok(attempt)
}

/// [`Bug::AcknowledgedTooEarly`]: the process ends after the answer and before the commit, once in a while.
fn is_lost_by_a_bug(task: &Task<'_>) -> bool {
    is_injected(Bug::AcknowledgedTooEarly)
        && matches!(task, Task::TakeIn([batch, ..], _) if batch.received_ms % 16 == 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sqlite::SqliteTx;
    use rounds_domain::{ClockReading, DeviceId};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
    use tokio::sync::{Notify, broadcast};

    /// A database at which the first commit panics.
    #[derive(Clone)]
    struct Faulty(Arc<AtomicBool>);

    impl Begin for Faulty {
        type Tx = SqliteTx;

        async fn begin_write(&self) -> Result<SqliteTx, Error> {
            assert!(self.0.swap(true, Ordering::SeqCst), "a fault in this program");
            Err(Error::Unsuitable("the second is tried".to_owned()))
        }
    }

    /// A database that does not answer before it is told to, and counts how often it was asked.
    #[derive(Clone, Default)]
    struct Stuck {
        asked: Arc<AtomicUsize>,
        answers: Arc<Notify>,
    }

    impl Begin for Stuck {
        type Tx = SqliteTx;

        async fn begin_write(&self) -> Result<SqliteTx, Error> {
            self.asked.fetch_add(1, Ordering::SeqCst);
            self.answers.notified().await;
            Err(Error::Unsuitable("it answers".to_owned()))
        }
    }

    fn batch() -> Batch {
        Batch {
            device: DeviceId(uuid::Uuid::nil()),
            arrivals: Vec::new(),
            clock: ClockReading { wall_ms: 0, boot: 0, monotonic_ms: 0 },
            received_ms: 0,
            holds_from: 0,
            settled: None,
        }
    }

    #[tokio::test]
    async fn more_than_can_wait_is_told_to_come_back() {
        let (hints, _) = broadcast::channel(1);
        let stuck = Stuck::default();
        let committer = Arc::new(Committer::start(stuck.clone(), 1, &hints));
        let mut waiting = tokio::task::JoinSet::new();
        let mut submit = |count: usize| {
            for _ in 0..count {
                let committer = committer.clone();
                waiting.spawn(async move { committer.submit(batch()).await });
            }
        };
        submit(1);
        while stuck.asked.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
        submit(LANE_BATCHES_MAX + 9);
        for _ in 0..9 {
            let told = waiting.join_next().await.unwrap().unwrap();
            assert!(matches!(told, Err(Error::Busy)), "{told:?}");
        }
        let patient = tokio::time::timeout(3 * DOOR_WAIT_MAX, waiting.join_next()).await;
        assert!(patient.is_err(), "what is in the lane waits for its turn");
    }

    #[tokio::test]
    async fn what_nobody_waits_for_any_more_is_not_written() {
        let (hints, _) = broadcast::channel(1);
        let stuck = Stuck::default();
        let committer = Arc::new(Committer::start(stuck.clone(), 1, &hints));
        let first = tokio::spawn({
            let committer = committer.clone();
            async move { committer.submit(batch()).await }
        });
        while stuck.asked.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
        let mut given_up = Box::pin(committer.submit(batch()));
        tokio::select! {
            biased;
            _ = &mut given_up => panic!("it is not its turn"),
            () = std::future::ready(()) => {}
        }
        drop(given_up);
        let last = committer.submit(batch());
        stuck.answers.notify_one();
        assert!(first.await.unwrap().is_err());
        stuck.answers.notify_one();
        assert!(last.await.is_err());
        assert_eq!(stuck.asked.load(Ordering::SeqCst), 2);
    }

    #[tokio::test]
    async fn a_commit_that_panics_does_not_end_the_lane() {
        let (hints, _) = broadcast::channel(1);
        let committer = Committer::start(Faulty(Arc::default()), 1, &hints);
        assert!(matches!(committer.submit(batch()).await, Err(Error::Unreadable(_))));
        assert!(matches!(committer.submit(batch()).await, Err(Error::Unsuitable(_))));
    }
}
