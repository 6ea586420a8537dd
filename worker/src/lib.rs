//! Jobs on apalis: what happened becomes follow-ups.
//!
//! The way of a job: the store writes it beside the ops that cause it, in their transaction (`waiting_jobs`). The
//! [dispatcher](dispatch) moves it into apalis' table, [apalis](runtime) hands it to a [handler](handle), and the
//! handler looks at what is true now before it acts. Whatever stops in between, the job is still in one of the two
//! tables, and doing it twice changes nothing.

mod channel;
mod dispatch;
mod handle;
mod job;
mod jobs;
mod ledger;
mod poll;
mod queue;
mod reconcile;
mod runtime;
mod step;

pub use channel::{ANSWER_TIME_MAX, ChannelOptions, Channels, MailOptions};
pub use job::JobKind;
pub use jobs::{Job, JobFilter, JobRun, JobState, Jobs};
pub use reconcile::DEVICE;
pub use runtime::{Clock, Fault, Options, Worker};
pub use step::{Step, step};

/// Why the worker could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The store could not.
    #[error(transparent)]
    Store(#[from] rounds_store::Error),
    /// The tables of the job runner cannot be reached. Worth trying again.
    #[error("the tables of the job runner are not available")]
    Unavailable(#[from] sqlx::Error),
    /// The database is not one that the job runner can work with; says what to do.
    #[error("{0}")]
    Unsuitable(String),
}

/// An error and what caused it, in one line.
fn with_causes(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(cause) => format!("{error}: {}", with_causes(cause)),
        None => error.to_string(),
    }
}
