//! Writes down which jobs start and how they end, those of the same moment together.

use crate::Error;
use crate::queue::{End, Queue, Start};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};

/// Most starts and ends in one commit.
const GROUP_MAX: usize = 256;
/// How long to wait when the database did not take something.
const AGAIN_PAUSE: Duration = Duration::from_secs(1);

/// Takes starts and ends. While a group is being written the next one gathers, so that a slow database makes larger
/// groups, and nobody waits for others to come.
#[derive(Clone, Debug)]
pub(crate) struct Ledger {
    entries: mpsc::Sender<Entry>,
    stopping: watch::Receiver<bool>,
}

/// An entry, and who waits for it.
#[derive(Debug)]
struct Entry {
    what: What,
    /// Whether it was written; an error says that nobody knows.
    answer: oneshot::Sender<Result<bool, ()>>,
}

#[derive(Clone, Debug)]
enum What {
    Start(Start),
    End(Box<End>),
}

impl Ledger {
    /// A ledger, and what keeps it for as long as it is polled.
    pub(crate) fn new(
        queue: Queue,
        stopping: watch::Receiver<bool>,
    ) -> (Self, impl Future<Output = ()> + Send) {
        let (entries, received) = mpsc::channel(GROUP_MAX);
        (Self { entries, stopping }, keep(queue, received))
    }

    /// Says that a job starts. False: it must not, because it is not ours any more, or its kind is paused.
    pub(crate) async fn start(&self, start: Start) -> bool {
        self.enter(What::Start(start)).await
    }

    /// Says how a job ended. False: it is not ours any more, and nothing was written.
    pub(crate) async fn end(&self, end: End) -> bool {
        self.enter(What::End(Box::new(end))).await
    }

    /// While the database is gone this waits: a job is ours until its end is written.
    async fn enter(&self, what: What) -> bool {
        let mut stopping = self.stopping.clone();
        loop {
            let (answer, answered) = oneshot::channel();
            if self.entries.send(Entry { what: what.clone(), answer }).await.is_err() {
                return false; // the worker was dropped: whoever comes next does it again
            }
            if let Ok(Ok(written)) = answered.await {
                return written;
            }
            tokio::select! {
                _ = stopping.wait_for(|stopping| *stopping) => return false, // the same
                () = tokio::time::sleep(AGAIN_PAUSE) => {}
            }
        }
    }
}

async fn keep(queue: Queue, mut received: mpsc::Receiver<Entry>) {
    let mut group = Vec::new();
    while received.recv_many(&mut group, GROUP_MAX).await > 0 {
        let group = std::mem::take(&mut group);
        match write(&queue, &group).await {
            Ok(written) => answer(group, written),
            // The database looked at it and did not like something in it: the others shall not suffer for that.
            Err(Error::Unavailable(sqlx::Error::Database(error))) if group.len() > 1 => {
                tracing::warn!(%error, "starts and ends of jobs are written one by one");
                for entry in group {
                    let one = [entry];
                    match write(&queue, &one).await {
                        Ok(written) => answer(one, written),
                        Err(error) => refuse(one, &error),
                    }
                }
            }
            Err(error) => refuse(group, &error),
        }
    }
}

/// Writes entries in one commit. Answers for each whether it was ours to write.
async fn write(queue: &Queue, group: &[Entry]) -> Result<Vec<bool>, Error> {
    let (mut starts, mut ends) = (Vec::new(), Vec::new());
    for entry in group {
        match &entry.what {
            What::Start(start) => starts.push(start.clone()),
            What::End(end) => ends.push(End::clone(end)),
        }
    }
    let (started, ended) = queue.write(&starts, &ends).await?;
    let (mut started, mut ended) = (started.into_iter(), ended.into_iter());
    let answers = group.iter().map(|entry| match entry.what {
        What::Start(_) => started.next().unwrap_or_default(),
        What::End(_) => ended.next().unwrap_or_default(),
    });
    Ok(answers.collect())
}

fn answer(group: impl IntoIterator<Item = Entry>, written: Vec<bool>) {
    for (entry, written) in group.into_iter().zip(written) {
        let _ = entry.answer.send(Ok(written)); // who asked may have been dropped
    }
}

fn refuse(group: impl IntoIterator<Item = Entry>, error: &Error) {
    tracing::warn!(error = error as &dyn std::error::Error, "starts and ends of jobs are not written yet");
    for entry in group {
        let _ = entry.answer.send(Err(())); // the same
    }
}
