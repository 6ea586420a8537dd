//! Jobs: what the worker has to do and could not do, and messages that do not arrive. For administrators.

use super::frame::Frame;
use super::reader::Reader;
use super::show::Piece;
use crate::error::Error;
use crate::shared::Shared;
use askama::Template;
use axum::Form;
use axum::response::Response;
use rounds_domain::{RecordId, Role};
use rounds_store::{AuditAction, Delivery, DeliveryState, Store};
use rounds_worker::{Job, JobFilter, JobKind, JobState, Jobs};
use serde::Deserialize;
use std::sync::Arc;
use tokio::runtime::Handle;
use tokio::task::spawn_blocking;

/// Jobs that were given up, and messages of each state, that are shown.
const ROWS: u32 = 100;
/// Records of a job that are named.
const RECORDS_SHOWN: usize = 3;

/// What was asked for.
#[derive(Deserialize)]
pub(super) struct Asked {
    /// `retry`, `retry_all`, `drop`, `pause`, `resume`, `retry_delivery`.
    act: String,
    /// The job, kind of jobs, or message.
    #[serde(default)]
    on: String,
}

/// Shows the page.
pub(super) async fn show(reader: Reader) -> Response {
    let page = page(&reader).await;
    reader.answer(page)
}

/// Does what was asked for.
pub(super) async fn act(reader: Reader, Form(asked): Form<Asked>) -> Response {
    match do_it(&reader, &asked).await {
        Ok(said) => reader.done("/jobs", said),
        Err(error) => reader.failed(&error),
    }
}

#[derive(Template)]
#[template(path = "dashboard/jobs.html")]
struct JobsPage {
    frame: Frame,
    action: String,
    kinds: Vec<KindRow>,
    dead: Vec<DeadRow>,
    deliveries: Vec<DeliveryRow>,
}

struct KindRow {
    name: &'static str,
    /// Empty for those that cannot be read.
    kind: &'static str,
    waiting: u64,
    running: u64,
    paused: u64,
    dead: u64,
    /// Since when the kind is paused; empty if it is not.
    paused_since: String,
}

struct DeadRow {
    id: String,
    kind: &'static str,
    area: String,
    about: Vec<Piece>,
    left: usize,
    starts: u32,
    at: String,
    error: String,
}

struct DeliveryRow {
    id: RecordId,
    channel: &'static str,
    address: String,
    state: &'static str,
    stage: &'static str,
    notice: String,
    attempts: u32,
    next: String,
    error: String,
}

impl Shared {
    /// The worker's jobs.
    pub(super) async fn jobs(&self) -> Result<&Jobs, Error> {
        self.jobs.get_or_try_init(|| open(self.store.clone())).await
    }
}

/// Opens the jobs on a thread of its own: sqlx's migrations are futures that stay on one thread.
async fn open(store: Store) -> Result<Jobs, Error> {
    let runtime = Handle::current();
    let opened = spawn_blocking(move || runtime.block_on(Jobs::open(&store))).await;
    opened.map_err(|_| Error::Stopping)?.map_err(unavailable)
}

/// What the job runner cannot do is told like what the store cannot.
pub(super) fn unavailable(error: rounds_worker::Error) -> Error {
    match error {
        rounds_worker::Error::Store(error) => error.into(),
        rounds_worker::Error::Unavailable(error) => rounds_store::Error::Unavailable(Arc::new(error)).into(),
        rounds_worker::Error::Unsuitable(what) => rounds_store::Error::Unsuitable(what).into(),
    }
}

fn only_admins(reader: &Reader) -> Result<(), Error> {
    let role = reader.caller.device.role;
    if role == Role::Admin { Ok(()) } else { Err(Error::RoleForbids { role, what: "see jobs" }) }
}

async fn page(reader: &Reader) -> Result<JobsPage, Error> {
    only_admins(reader)?;
    let Reader { shared, text, .. } = reader;
    let jobs = shared.jobs().await?;
    let counts = jobs.counts().await.map_err(unavailable)?;
    let paused = jobs.paused().await.map_err(unavailable)?;
    let mut kinds: Vec<Option<JobKind>> = JobKind::ALL.into_iter().map(Some).collect();
    if counts.iter().any(|(kind, ..)| kind.is_none()) {
        kinds.push(None);
    }
    let kinds = kinds.into_iter().map(|kind| {
        let count = |state| {
            let of_state =
                counts.iter().filter(|(of_kind, of_state, _)| (*of_kind, *of_state) == (kind, state));
            of_state.map(|(.., count)| count).sum()
        };
        let since = paused.iter().find(|(paused, _)| Some(*paused) == kind);
        KindRow {
            name: kind_name(reader, kind),
            kind: kind.map_or("", JobKind::as_str),
            waiting: count(JobState::Waiting),
            running: count(JobState::Running),
            paused: count(JobState::Paused),
            dead: count(JobState::Dead),
            paused_since: since.map(|(_, since_ms)| reader.moment(*since_ms)).unwrap_or_default(),
        }
    });
    let kinds = kinds.collect();

    let filter = JobFilter { state: Some(JobState::Dead), kind: None, limit: ROWS };
    let dead = jobs.list(filter).await.map_err(unavailable)?;
    let mut deliveries = shared.store.deliveries(Some(DeliveryState::Failed), ROWS).await?;
    deliveries.extend(shared.store.deliveries(Some(DeliveryState::Failing), ROWS).await?);
    let named = dead.iter().flat_map(|job| job.records.iter().take(RECORDS_SHOWN).copied());
    let named = reader.named(named.collect()).await?;
    Ok(JobsPage {
        frame: reader.frame(text.jobs, "/jobs"),
        action: reader.link("/jobs", &[]),
        kinds,
        dead: dead
            .into_iter()
            .map(|job| {
                let about = job.records.iter().take(RECORDS_SHOWN);
                let about = about.filter(|id| named.get(**id).is_some()).map(|id| reader.piece(&named, *id));
                dead_row(reader, &job, about.collect())
            })
            .collect(),
        deliveries: deliveries.into_iter().map(|delivery| delivery_row(reader, delivery)).collect(),
    })
}

fn kind_name(reader: &Reader, kind: Option<JobKind>) -> &'static str {
    match kind {
        Some(JobKind::Look) => reader.text.job_look,
        Some(JobKind::Wake) => reader.text.job_wake,
        Some(JobKind::Deliver) => reader.text.job_deliver,
        None => reader.text.job_unreadable,
    }
}

fn dead_row(reader: &Reader, job: &Job, about: Vec<Piece>) -> DeadRow {
    DeadRow {
        kind: kind_name(reader, job.kind),
        area: job.area.map(|area| reader.tree.name(area).to_owned()).unwrap_or_default(),
        left: job.records.len().saturating_sub(RECORDS_SHOWN),
        about,
        starts: job.starts,
        at: job.ended_ms.map(|ms| reader.moment(ms)).unwrap_or_default(),
        error: job.error.clone().unwrap_or_default(),
        id: job.id.clone(),
    }
}

fn delivery_row(reader: &Reader, delivery: Delivery) -> DeliveryRow {
    let text = reader.text;
    let is_failed = delivery.state == DeliveryState::Failed;
    DeliveryRow {
        id: delivery.id,
        channel: match delivery.channel {
            rounds_store::Channel::Email => text.by_email,
            rounds_store::Channel::WebHook => text.by_web_hook,
        },
        address: delivery.address,
        state: delivery.state.name(),
        stage: if is_failed { text.delivery_failed } else { text.delivery_failing },
        notice: reader.record_link(delivery.notice),
        attempts: delivery.attempts,
        next: delivery.next_ms.map(|ms| reader.moment(ms)).unwrap_or_default(),
        error: delivery.last_error,
    }
}

/// Does it, and answers what to say.
async fn do_it(reader: &Reader, asked: &Asked) -> Result<&'static str, Error> {
    only_admins(reader)?;
    let jobs = reader.shared.jobs().await?;
    let kind = || asked.on.parse::<JobKind>().map_err(|_| Error::NotFound("kind of jobs"));
    let clock = reader.shared.clock.clone();
    let noted = match asked.act.as_str() {
        "retry" | "retry_all" => Some(AuditAction::JobsRetried),
        "drop" => Some(AuditAction::JobDropped),
        "retry_delivery" => Some(AuditAction::DeliveryRetried),
        "pause" => kind().map(|_| Some(AuditAction::JobsPaused))?,
        "resume" => kind().map(|_| Some(AuditAction::JobsResumed))?,
        _ => None,
    };
    if let Some(action) = noted {
        reader.shared.note(&reader.caller, action, &asked.on, "").await?;
    }
    let (done, said) = match asked.act.as_str() {
        "retry" => (jobs.retry(&asked.on).await, "retried"),
        "retry_all" => (jobs.retry_all().await.map(|count| count > 0), "retried"),
        "drop" => (jobs.drop(&asked.on).await, "dropped"),
        "pause" => (jobs.pause(kind()?, &(Arc::new(move || clock.now_ms()) as _)).await, "paused"),
        "resume" => (jobs.resume(kind()?).await, "resumed"),
        "retry_delivery" => {
            let delivery = asked.on.parse().map_err(|_| Error::NotFound("message"))?;
            (Ok(reader.shared.store.retry_delivery(delivery, reader.now_ms()).await?), "retried")
        }
        _ => return Err(Error::NotFound("action")),
    };
    Ok(if done.map_err(unavailable)? { said } else { "nothing" })
}
