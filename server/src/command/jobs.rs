//! `rounds jobs`: what the worker has to do, did, and could not do, straight from the database.

use super::print::{hint, say};
use super::{DATABASE_DEFAULT, moment, open, with_causes};
use clap::{Args, Subcommand, ValueEnum};
use rounds_server::Clock;
use rounds_store::{AuditAction, NewAudit, Store};
use rounds_worker::{Job, JobFilter, JobKind, JobRun, JobState, Jobs};
use serde_json::{Value, json};
use std::process::ExitCode;
use std::sync::Arc;

/// Records of a job that are named; the rest is counted.
const RECORDS_SHOWN: usize = 3;
/// Starts of one job that `show` shows.
const RUNS_SHOWN: u32 = 20;

/// See what the worker has to do and could not do, and decide what becomes of it. Whoever can write the database can.
#[derive(Args, Debug)]
pub(crate) struct JobsCommand {
    #[command(subcommand)]
    act: Act,
    /// The database: sqlite:PATH or postgres://USER@HOST/DATABASE
    #[arg(long, value_name = "URL", env = "ROUNDS_DATABASE", default_value = DATABASE_DEFAULT, hide_env_values = true, global = true)]
    database: String,
    /// How to print.
    #[arg(long, value_enum, default_value_t = Format::Text, global = true)]
    format: Format,
}

#[derive(Clone, Copy, PartialEq, Debug, ValueEnum)]
enum Format {
    /// A line each, for people.
    Text,
    /// A JSON object a line, for scripts.
    Json,
}

#[derive(Subcommand, Debug)]
enum Act {
    /// List jobs, those first that were given up. Without --state those that are done are left out.
    List {
        /// Only those here in their life.
        #[arg(long, value_enum)]
        state: Option<State>,
        /// Only this kind: look, wake or deliver.
        #[arg(long)]
        kind: Option<JobKind>,
        /// Most that are shown.
        #[arg(long, value_name = "JOBS", default_value_t = 100)]
        limit: u32,
    },
    /// Show a job whole, with its starts and how they ended.
    Show {
        /// Its id.
        id: String,
    },
    /// Let a job that was given up start anew.
    #[command(group(clap::ArgGroup::new("which").required(true).args(["id", "all"])))]
    Retry {
        /// Its id.
        id: Option<String>,
        /// All that were given up.
        #[arg(long)]
        all: bool,
    },
    /// Forget a job that nobody works on: what it asked for is left undone.
    Drop {
        /// Its id.
        id: String,
    },
    /// Start no more jobs of a kind, in any process, until it is resumed. Those that run come to their end.
    Pause {
        /// The kind: look, wake or deliver.
        kind: JobKind,
    },
    /// Start jobs of a kind again.
    Resume {
        /// The kind: look, wake or deliver.
        kind: JobKind,
    },
    /// List the last starts of jobs and how they ended, newest first.
    History {
        /// Only this kind: look, wake or deliver.
        #[arg(long)]
        kind: Option<JobKind>,
        /// Most that are shown.
        #[arg(long, value_name = "STARTS", default_value_t = 100)]
        limit: u32,
    },
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum State {
    Waiting,
    Paused,
    Running,
    Dead,
    Done,
}

impl State {
    fn of_jobs(self) -> JobState {
        match self {
            Self::Waiting => JobState::Waiting,
            Self::Paused => JobState::Paused,
            Self::Running => JobState::Running,
            Self::Dead => JobState::Dead,
            Self::Done => JobState::Done,
        }
    }
}

impl JobsCommand {
    /// Does what was asked and prints what there is to say.
    pub(crate) async fn run(self) -> Result<ExitCode, String> {
        let store = open(&self.database).await?;
        let jobs = match Jobs::open(&store).await {
            Ok(jobs) => jobs,
            Err(error) => return Err(with_causes(&error)),
        };
        let done = self.act(&store, &jobs).await;
        store.close().await;
        done.map(|()| ExitCode::SUCCESS)
    }

    async fn act(&self, store: &Store, jobs: &Jobs) -> Result<(), String> {
        let note = async |action, on: &str| {
            let entry = NewAudit::of_operator(Clock::system().now_ms(), action, on);
            store.audit(entry).await.map_err(|error| with_causes(&error))
        };
        match &self.act {
            Act::List { state, kind, limit } => self.list(jobs, *state, *kind, *limit).await,
            Act::Show { id } => self.show(jobs, id).await,
            Act::Retry { id: Some(id), .. } => {
                note(AuditAction::JobsRetried, id).await?;
                match jobs.retry(id).await.map_err(said)? {
                    true => self.say(json!({ "retried": 1 }), "it starts anew"),
                    false => Err(no_such(jobs, id, "was not given up, so there is nothing to retry").await),
                }
            }
            Act::Retry { id: None, .. } => {
                note(AuditAction::JobsRetried, "").await?;
                let retried = jobs.retry_all().await.map_err(said)?;
                self.say(json!({ "retried": retried }), &format!("{retried} start anew"))
            }
            Act::Drop { id } => {
                note(AuditAction::JobDropped, id).await?;
                match jobs.drop(id).await.map_err(said)? {
                    true => self.say(json!({ "dropped": 1 }), "dropped"),
                    false => Err(no_such(
                        jobs,
                        id,
                        "is being worked on or done: wait for its end, or stop the worker",
                    )
                    .await),
                }
            }
            Act::Pause { kind } => {
                note(AuditAction::JobsPaused, kind.as_str()).await?;
                let clock = Clock::system();
                let paused =
                    jobs.pause(*kind, &(Arc::new(move || clock.now_ms()) as _)).await.map_err(said)?;
                let text = if paused { "paused" } else { "is paused already" };
                self.say(json!({ "paused": kind.as_str() }), &format!("{kind} {text}"))
            }
            Act::Resume { kind } => {
                note(AuditAction::JobsResumed, kind.as_str()).await?;
                let resumed = jobs.resume(*kind).await.map_err(said)?;
                let text = if resumed { "resumed" } else { "is not paused" };
                self.say(json!({ "resumed": kind.as_str() }), &format!("{kind} {text}"))
            }
            Act::History { kind, limit } => {
                for run in jobs.history(None, *kind, *limit).await.map_err(said)? {
                    match self.format {
                        Format::Json => say!("{}", run_json(&run)),
                        Format::Text => say!("{}\t{}", run.job, run_text(&run)),
                    }
                }
                Ok(())
            }
        }
    }

    async fn list(
        &self,
        jobs: &Jobs,
        state: Option<State>,
        kind: Option<JobKind>,
        limit: u32,
    ) -> Result<(), String> {
        let filter = JobFilter { state: state.map(State::of_jobs), kind, limit };
        let found = jobs.list(filter).await.map_err(said)?;
        for job in &found {
            match self.format {
                Format::Json => say!("{}", job_json(job)),
                Format::Text => say!("{}", job_text(job)),
            }
        }
        if found.is_empty() {
            hint!("there are none");
        }
        for (kind, since_ms) in jobs.paused().await.map_err(said)? {
            hint!("{kind} is paused since {}: rounds jobs resume {kind}", moment(since_ms));
        }
        if found.iter().any(|job| job.state == JobState::Dead) {
            hint!(
                "Dead jobs are not started again by themselves. When the reason is mended: rounds jobs retry ID, or"
            );
            hint!("--all. If what they ask for is not wanted any more: rounds jobs drop ID.");
        }
        if found.len() == limit as usize {
            hint!("There may be more: --limit shows more than {limit}.");
        }
        Ok(())
    }

    async fn show(&self, jobs: &Jobs, id: &str) -> Result<(), String> {
        let Some(job) = jobs.get(id).await.map_err(said)? else {
            return Err(no_such(jobs, id, "").await);
        };
        let runs = jobs.history(Some(id), None, RUNS_SHOWN).await.map_err(said)?;
        if self.format == Format::Json {
            let runs: Vec<_> = runs.iter().map(run_json).collect();
            say!("{}", json!({ "job": job_json(&job), "runs": runs }));
            return Ok(());
        }
        say!("{}", job_text(&job));
        for record in &job.records {
            say!("  record {record}");
        }
        for run in &runs {
            say!("  {}", run_text(run));
        }
        if job.state == JobState::Dead {
            hint!("When the reason is mended: rounds jobs retry {id}");
            hint!("If what it asks for is not wanted any more: rounds jobs drop {id}");
        }
        Ok(())
    }

    fn say(&self, json: Value, text: &str) -> Result<(), String> {
        match self.format {
            Format::Json => say!("{json}"),
            Format::Text => say!("{text}"),
        }
        Ok(())
    }
}

fn said(error: rounds_worker::Error) -> String {
    with_causes(&error)
}

/// Why a job is not as somebody thought.
async fn no_such(jobs: &Jobs, id: &str, otherwise: &str) -> String {
    match jobs.get(id).await {
        Ok(Some(job)) => format!("job {id} is {} and {otherwise}", job.state),
        Ok(None) => format!("there is no job {id}; rounds jobs list shows those that there are"),
        Err(error) => said(error),
    }
}

fn job_text(job: &Job) -> String {
    let kind = job.kind.map_or("unreadable", JobKind::as_str);
    let area = job.area.map_or("-".to_owned(), |area| area.to_string());
    let when = match (job.state, job.ended_ms) {
        (JobState::Done, Some(at_ms)) => format!("done {}", moment(at_ms)),
        (JobState::Dead, Some(at_ms)) => format!("given up {}", moment(at_ms)),
        (JobState::Waiting | JobState::Paused, _) => format!("from {}", moment(job.run_at_ms)),
        _ => String::new(),
    };
    let starts = match job.starts {
        1 => "1 start".to_owned(),
        starts => format!("{starts} starts"),
    };
    let error = job.error.as_deref().unwrap_or_default().replace(['\n', '\t'], " ");
    let about = about(job);
    format!("{}\t{}\t{kind}\tarea {area}\t{about}\t{starts}\t{when}\t{error}", job.id, job.state)
        .trim_end()
        .to_owned()
}

/// What a job is about.
fn about(job: &Job) -> String {
    let shown: Vec<_> = job.records.iter().take(RECORDS_SHOWN).map(ToString::to_string).collect();
    match (job.records.len(), job.numbers) {
        (0, Some((after, through))) if through - after == 1 => {
            format!("number {through} of the feed, changed since")
        }
        (0, Some((after, through))) => format!("numbers {} to {through} of the feed", after + 1),
        (0, None) => "-".to_owned(),
        (count, _) if count > RECORDS_SHOWN => {
            format!("records {} and {} more", shown.join(", "), count - RECORDS_SHOWN)
        }
        (1, _) => format!("record {}", shown[0]),
        (_, _) => format!("records {}", shown.join(", ")),
    }
}

fn job_json(job: &Job) -> Value {
    json!({
        "id": job.id,
        "state": job.state.as_str(),
        "kind": job.kind.map(JobKind::as_str),
        "area": job.area,
        "records": job.records,
        "numbers": job.numbers,
        "starts": job.starts,
        "error": job.error,
        "run_at_ms": job.run_at_ms,
        "ended_ms": job.ended_ms,
    })
}

fn run_text(run: &JobRun) -> String {
    let error = run.error.as_deref().unwrap_or_default().replace(['\n', '\t'], " ");
    let area = run.area.map_or("-".to_owned(), |area| area.to_string());
    let (at, ms) = (moment(run.started_ms), run.duration_ms);
    format!("{at}\t{}\tarea {area}\t{}\t{ms} ms\t{error}", run.kind, run.outcome).trim_end().to_owned()
}

fn run_json(run: &JobRun) -> Value {
    json!({
        "job": run.job,
        "kind": run.kind,
        "area": run.area,
        "started_ms": run.started_ms,
        "duration_ms": run.duration_ms,
        "outcome": run.outcome,
        "error": run.error,
    })
}
