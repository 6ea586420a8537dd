//! What a job says: which kind of work, and on what. Ids and numbers only; the handler looks at the rest itself.

use rounds_domain::{AreaId, RecordId};
use rounds_store::Job;
use serde::{Deserialize, Serialize};

/// The version of payloads that this code writes.
const PAYLOAD_VERSION: u32 = 1;
/// Longest run of feed numbers in one job: so long a failed job has to start over.
const JOB_NUMBERS_MAX: u64 = 1_000;

/// A job as it is in apalis' table.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Released {
    /// Its name there. The same name is there once.
    pub(crate) id: RecordId,
    /// What has to be done.
    pub(crate) work: Work,
}

/// What has to be done.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(crate) enum Work {
    /// Make the follow-ups of the records that changed those that they call for.
    Reconcile {
        /// The area that they are in.
        area: AreaId,
        /// Records with numbers above this,
        after: u64,
        /// up to this one.
        through: u64,
    },
}

#[derive(Serialize, Deserialize)]
struct Payload {
    version: u32,
    #[serde(flatten)]
    work: Work,
}

impl Work {
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
        Ok(payload.work)
    }
}

/// Makes one job of those of an area that wait together: a busy area is looked through once, not once per commit.
///
/// The job has the name of the last of them. After a crash before they were forgotten here, the same ones give the
/// same name again, or more of them give another: at worst something is looked at twice.
pub(crate) fn merge(waiting: &[Job]) -> Vec<Released> {
    let mut sorted: Vec<&Job> = waiting.iter().collect();
    sorted.sort_by_key(|job| (job.area, job.through));
    let mut merged: Vec<Released> = Vec::new();
    for job in sorted {
        if let Some(Released { id, work: Work::Reconcile { area, after, through } }) = merged.last_mut()
            && *area == job.area
            && job.through - *after <= JOB_NUMBERS_MAX
        {
            *after = (*after).min(job.after);
            *through = job.through;
            *id = job.id;
            continue;
        }
        let work = Work::Reconcile { area: job.area, after: job.after, through: job.through };
        merged.push(Released { id: job.id, work });
    }
    merged
}
