//! What a job says: which kind of work, and on what. Ids and numbers only; the handler looks at the rest itself.

use rounds_domain::{AreaId, RecordId};
use rounds_store::{Job, Timer};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use uuid::Uuid;

/// The version of payloads that this code writes.
const PAYLOAD_VERSION: u32 = 1;
/// Longest run of feed numbers in one job: so long a failed job has to start over.
const JOB_NUMBERS_MAX: u64 = 1_000;
/// Most records whose timers are due in one job.
pub(crate) const JOB_TIMERS_MAX: usize = 100;
/// The priority of jobs that are started before all others.
pub(crate) const PRIORITY_MAX: i32 = i32::MAX;
/// What the names of jobs are derived in, so that they are no names of anything else.
const NAMES: Uuid = Uuid::from_u128(0x6f0e_3c1a_5b52_5c0f_9a64_7d1f_0c88_b703);

/// A job as it is in apalis' table.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Released {
    /// Its name there. The same name is there once.
    pub(crate) id: RecordId,
    /// What has to be done.
    pub(crate) work: Work,
    /// Jobs with more of it are started first. At least 0.
    pub(crate) priority: i32,
    /// How often what it asks for was started already, as part of another job.
    pub(crate) starts: u32,
    /// It may end the process: nothing else runs beside it.
    pub(crate) alone: bool,
}

impl Released {
    /// A job that nobody has tried yet. The same id is released once.
    pub(crate) fn new(id: RecordId, work: Work) -> Self {
        Self { id, work, priority: 0, starts: 0, alone: false }
    }
}

/// What has to be done.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(crate) enum Work {
    /// Make what the records that changed call for.
    #[serde(alias = "reconcile")]
    Look {
        /// The area that they are in.
        area: AreaId,
        /// Records with numbers above this,
        after: u64,
        /// up to this one.
        through: u64,
    },
    /// Look at records again whose time has come.
    Wake {
        /// The area that they are in.
        area: AreaId,
        /// The records, 100 at most.
        records: Vec<RecordId>,
    },
    /// Send a message to one address.
    Deliver {
        /// The area of what it is about.
        area: AreaId,
        /// The message.
        delivery: RecordId,
    },
}

/// The kinds of jobs.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum JobKind {
    /// Make what the records that changed call for.
    Look,
    /// Look at records again whose time has come.
    Wake,
    /// Send a message to one address.
    Deliver,
}

impl JobKind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Look, Self::Wake, Self::Deliver];

    /// As it is written in payloads, tables and commands.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Look => "look",
            Self::Wake => "wake",
            Self::Deliver => "deliver",
        }
    }
}

impl fmt::Display for JobKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for JobKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = Self::ALL.into_iter().find(|kind| kind.as_str() == text);
        known.ok_or_else(|| format!("there is no kind of job {text}; there are: look, wake, deliver"))
    }
}

#[derive(Serialize, Deserialize)]
struct Payload {
    version: u32,
    #[serde(flatten)]
    work: Work,
}

impl Work {
    pub(crate) fn kind(&self) -> JobKind {
        match self {
            Self::Look { .. } => JobKind::Look,
            Self::Wake { .. } => JobKind::Wake,
            Self::Deliver { .. } => JobKind::Deliver,
        }
    }

    pub(crate) fn area(&self) -> AreaId {
        match self {
            Self::Look { area, .. } | Self::Wake { area, .. } | Self::Deliver { area, .. } => *area,
        }
    }

    /// Whether it is about more than one record, as far as the payload tells.
    pub(crate) fn is_batch(&self) -> bool {
        match self {
            Self::Look { after, through, .. } => through - after > 1,
            Self::Wake { records, .. } => records.len() > 1,
            Self::Deliver { .. } => false,
        }
    }

    /// The payload, as JSON.
    pub(crate) fn to_json(&self) -> String {
        let payload = Payload { version: PAYLOAD_VERSION, work: self.clone() };
        serde_json::to_string(&payload).unwrap_or_default() // ids and numbers are always JSON
    }

    /// Reads a payload.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn from_json(payload: &[u8]) -> Result<Self, String> {
        #[derive(Deserialize)]
        struct Version {
            version: u32,
        }
        let Version { version } =
            serde_json::from_slice(payload).map_err(|error| format!("the payload is no job: {error}"))?;
        if version != PAYLOAD_VERSION {
            return Err(format!("the payload has version {version}, this worker knows {PAYLOAD_VERSION}"));
        }
        let payload: Payload =
            serde_json::from_slice(payload).map_err(|error| format!("the payload is no job: {error}"))?;
        match payload.work {
            Work::Look { after, through, .. } if through < after => {
                Err(format!("the payload is no job: it ends at {through}, before it begins at {after}"))
            }
            work => Ok(work),
        }
    }
}

/// Makes one job of those of an area that wait together: a busy area is looked through once, not once per commit. Says
/// which of them each job stands for.
///
/// The job has the name of the last of them. After a crash before they were forgotten here, the same ones give the
/// same name again, or more of them give another: at worst something is looked at twice.
pub(crate) fn merge(waiting: &[Job]) -> Vec<(Released, Vec<RecordId>)> {
    let mut sorted: Vec<&Job> = waiting.iter().collect();
    sorted.sort_by_key(|job| (job.area, job.through));
    let mut merged: Vec<(Released, Vec<RecordId>)> = Vec::new();
    for job in sorted {
        if let Some((Released { id, work: Work::Look { area, after, through }, .. }, ids)) = merged.last_mut()
            && *area == job.area
            && job.through - *after <= JOB_NUMBERS_MAX
        {
            *after = (*after).min(job.after);
            *through = job.through;
            *id = job.id;
            ids.push(job.id);
            continue;
        }
        let work = Work::Look { area: job.area, after: job.after, through: job.through };
        merged.push((Released::new(job.id, work), vec![job.id]));
    }
    merged
}

/// Makes jobs of timers that are due, up to 100 of one area in each. Says which of them each job stands for.
///
/// The name of a job derives from its timers: the same ones give the same job.
pub(crate) fn wake(due: &[Timer]) -> Vec<(Released, Vec<Timer>)> {
    let mut sorted: Vec<Timer> = due.to_vec();
    sorted.sort_by_key(|timer| (timer.area, timer.at_ms, timer.record));
    let of_one_area = sorted.chunk_by(|one, next| one.area == next.area);
    of_one_area
        .flat_map(|timers| timers.chunks(JOB_TIMERS_MAX))
        .map(|timers| {
            let name: Vec<u8> = timers
                .iter()
                .flat_map(|timer| [&timer.record.0.as_bytes()[..], &timer.at_ms.to_be_bytes()].concat())
                .collect();
            let records = timers.iter().map(|timer| timer.record).collect();
            let work = Work::Wake { area: timers[0].area, records };
            (Released::new(RecordId(Uuid::new_v5(&NAMES, &name)), work), timers.to_vec())
        })
        .collect()
}

/// The name of the part of a job that is about one record.
pub(crate) fn part_id(whole: RecordId, record: RecordId) -> RecordId {
    RecordId(Uuid::new_v5(&whole.0, record.0.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timer(record: u128, area: u128, at_ms: i64) -> Timer {
        Timer { record: RecordId(Uuid::from_u128(record)), area: AreaId(Uuid::from_u128(area)), at_ms }
    }

    fn waiting(id: u128, area: u128, after: u64, through: u64) -> Job {
        Job { id: RecordId(Uuid::from_u128(id)), area: AreaId(Uuid::from_u128(area)), after, through }
    }

    #[test]
    fn the_same_timers_make_the_same_jobs_and_others_make_others() {
        let due: Vec<_> = (0..250).map(|n| timer(n, n % 2, 1_000 - n as i64)).collect();
        let jobs = wake(&due);
        assert_eq!(jobs.iter().map(|(_, timers)| timers.len()).collect::<Vec<_>>(), [100, 25, 100, 25]);
        assert!(jobs.iter().all(|(job, timers)| timers.iter().all(|timer| timer.area == job.work.area())));

        let again: Vec<_> = due.iter().rev().copied().collect();
        assert_eq!(wake(&again), jobs);

        let later: Vec<_> = due.iter().map(|timer| Timer { at_ms: timer.at_ms + 1, ..*timer }).collect();
        assert!(wake(&later).iter().zip(&jobs).all(|((later, _), (job, _))| later.id != job.id));
    }

    #[test]
    fn what_waits_for_an_area_is_one_job_until_it_is_long() {
        let jobs = [
            waiting(1, 1, 0, 600),
            waiting(2, 2, 4, 9),
            waiting(3, 1, 600, 1_000),
            waiting(4, 1, 1_000, 1_001),
        ];
        let merged = merge(&jobs);
        let names = |n: usize| merged[n].1.iter().map(|id| id.0.as_u128()).collect::<Vec<_>>();
        assert_eq!((names(0), names(1), names(2)), (vec![1, 3], vec![4], vec![2]));
        assert_eq!(merged[0].0.id, jobs[2].id);
        assert_eq!(merged[0].0.work, Work::Look { area: jobs[0].area, after: 0, through: 1_000 });
    }

    #[test]
    fn a_payload_is_read_as_it_was_written() {
        let (area, record) = (AreaId(Uuid::from_u128(1)), RecordId(Uuid::from_u128(2)));
        for work in [
            Work::Look { area, after: 3, through: 7 },
            Work::Wake { area, records: vec![record] },
            Work::Deliver { area, delivery: record },
        ] {
            assert_eq!(Work::from_json(work.to_json().as_bytes()), Ok(work.clone()));
            assert!(work.to_json().contains(&format!(r#""kind":"{}""#, work.kind())), "{work:?}");
        }
        let backwards = Work::Look { area, after: 7, through: 3 }.to_json();
        assert!(Work::from_json(backwards.as_bytes()).unwrap_err().contains("before it begins"));
    }
}
