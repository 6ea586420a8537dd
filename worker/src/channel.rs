//! Tells people who have no phone of ours: partners by web hook and mail, coordinators and supervisors by mail.
//!
//! A notice that is raised becomes deliveries, one for each address of its addressee ([`announce`]). Each is sent by a
//! job that looks again whether the notice still stands ([`deliver`]). Until an address has taken it, a delivery is in
//! the store, with the time of its next try: whatever stops in between, it is tried again.
//!
//! Once for the reader: a delivery that was sent is never sent again, and nobody sends one that somebody else has
//! claimed. What no sender can know is whether an address took a message if it crashed before it could write that
//! down; then the same message goes out again, under the same name (`Message-ID`, `webhook-id`), by which the receiver
//! can tell.

mod digest;
mod hook;
mod mail;
mod message;
mod phrase;
mod trust;

use crate::job::{PRIORITY_MAX, Released, Work};
use crate::queue::STARTS_MAX;
use crate::runtime::Shared;
use crate::{Error, with_causes};
use digest::Digest;
use hook::Hook;
use mail::Mail;
use message::Message;
use rounds_domain::body::Policy;
use rounds_domain::{AreaId, Body, Language, Record, RecordId};
use rounds_store::{Channel, Delivery, LinkKey, NewDelivery, Store, Tried};
use std::time::Duration;
use tokio::time::Instant;
use trust::Trust;

const SECOND_MS: i64 = 1_000;
const MINUTE_MS: i64 = 60 * SECOND_MS;
const HOUR_MS: i64 = 60 * MINUTE_MS;

/// How long a claim counts: longer than any channel takes to give up, see [`ANSWER_TIME_MAX`].
const CLAIM_MS: i64 = 90 * SECOND_MS;
/// How long to wait after the first try; four times as long after each further one,
const PAUSE_FIRST_MS: i64 = 30 * SECOND_MS;
/// and never longer than this, not counting the spread:
const PAUSE_MS_MAX: i64 = 6 * HOUR_MS;
/// which makes of it so much at most.
const SPREAD_THOUSANDTHS_MAX: i64 = 1_500;
/// Tries after which a delivery is given up: about two and a half days.
const ATTEMPTS_MAX: u32 = 16;
/// Jobs of deliveries that are in the runner's table, for each that may be sent at the same time: so few do not keep
/// others from it.
const JOBS_PER_SLOT: usize = 4;
/// A web hook, or the server that takes all mail, may be sent to by so many jobs at the same time as one part in this of
/// all that may send: one that does not answer must not keep the others waiting.
const SLOTS_PER_SERVER: usize = 2;
/// How long before a claim ends nobody tries any more to write down what came of it,
const CLAIM_REST: Duration = Duration::from_secs(5);
/// and how long to wait before the next try when the database did not take it.
const AGAIN_PAUSE: Duration = Duration::from_secs(1);
/// How long it is kept what became of a delivery: longer than any notice is of interest.
const KEPT_MS: i64 = 400 * 24 * HOUR_MS;
/// Longest error that is kept, in characters.
const ERROR_CHARS_MAX: usize = 500;

/// The longest that an address may be given to answer: less than a claim counts, and than a job may take.
pub const ANSWER_TIME_MAX: Duration = Duration::from_secs(30);

/// How people outside are told.
#[derive(Clone, Debug)]
pub struct ChannelOptions {
    /// What links are signed with, see [`Store::link_key`].
    pub link_key: LinkKey,
    /// Where the pages of the server are for people outside, such as `https://rounds.example.org`; without it messages
    /// carry no links.
    pub public_url: Option<String>,
    /// How to send mail; without it mail is not sent.
    pub mail: Option<MailOptions>,
    /// The language of mails.
    pub language: Language,
    /// Web hooks may be in plain text, and at private addresses. Whoever may edit organizations can then make this
    /// machine call others of its network.
    pub allow_private_hooks: bool,
    /// Certificates of authorities, as PEM, that are trusted for mail and web hooks beside those of Mozilla's list.
    pub trusted_certificates: Option<Vec<u8>>,
    /// How long an address may take to answer; what takes longer is tried again. At most [`ANSWER_TIME_MAX`].
    pub answer_time: Duration,
}

/// How to send mail.
#[derive(Clone)]
pub struct MailOptions {
    /// The sender: `Rounds <rounds@example.org>`.
    pub from: String,
    /// `smtps://USER:PASSWORD@HOST`, `smtp://USER:PASSWORD@HOST?tls=required`, or `smtp://HOST` without a password.
    pub smtp_url: String,
}

impl std::fmt::Debug for MailOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MailOptions").field("from", &self.from).finish_non_exhaustive() // the URL has a password
    }
}

/// The ways out.
#[derive(Debug)]
pub struct Channels {
    link_key: LinkKey,
    public_url: Option<String>,
    language: Language,
    hook: Hook,
    mail: Option<Mail>,
}

impl Channels {
    /// Channels that work like this.
    ///
    /// # Errors
    /// Which option cannot be, and what to write instead.
    pub fn new(options: ChannelOptions) -> Result<Self, String> {
        let answer_time = options.answer_time.min(ANSWER_TIME_MAX);
        let trust = Trust::read(options.trusted_certificates.as_deref())?;
        Ok(Self {
            link_key: options.link_key,
            public_url: options.public_url.map(|url| url.trim_end_matches('/').to_owned()),
            language: options.language,
            hook: Hook::new(options.allow_private_hooks, &trust, answer_time)?,
            mail: options.mail.as_ref().map(|mail| Mail::new(mail, &trust, answer_time)).transpose()?,
        })
    }
}

/// Why a delivery could not be tried.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error(transparent)]
    Store(#[from] rounds_store::Error),
    #[error(transparent)]
    Queue(#[from] Error),
    #[error("this worker was started without channels")]
    NoChannels,
}

/// Why a message was not taken.
#[derive(Debug)]
enum NotSent {
    /// Another try may do better.
    Yet(String),
    /// No other try will.
    Ever(String),
}

/// Sees to it that a notice reaches its addressee outside, if it is raised and its addressee has an address. Workers
/// and groups have it in the inbox of their phones.
///
/// Done twice, it is sent once.
pub(crate) async fn announce(shared: &Shared, notice: &Record) -> Result<(), Failure> {
    if shared.options.channels.is_none() || !stands(notice) {
        return Ok(());
    }
    let new = deliveries(&shared.store, notice).await?;
    if !new.is_empty() {
        shared.store.add_deliveries(&new, (shared.clock)()).await?;
        release_due(shared, (shared.clock)()).await?;
    }
    Ok(())
}

/// Releases jobs for the deliveries that are due, the addresses in turn, as far as there is room for them. True: there
/// may be more.
pub(crate) async fn release_due(shared: &Shared, now_ms: i64) -> Result<bool, Error> {
    let jobs_max = JOBS_PER_SLOT * shared.options.outside_slots();
    let limit = u32::try_from(jobs_max).unwrap_or(u32::MAX);
    let mut due = shared.store.due_deliveries(now_ms, at_once(shared), limit).await?;
    if due.is_empty() {
        return Ok(false);
    }
    due.truncate(jobs_max.saturating_sub(shared.queue.load().await?.deliveries));
    if due.is_empty() {
        return Ok(true);
    }
    let jobs: Vec<_> = due.iter().map(job).collect();
    shared.queue.release(&jobs).await?;
    shared.store.deliveries_released(&due).await?;
    shared.wake.notify_one();
    Ok(true) // of a server only a few were asked for
}

/// How many messages are sent to one server at the same time.
fn at_once(shared: &Shared) -> u32 {
    u32::try_from((shared.options.outside_slots() / SLOTS_PER_SERVER).max(1)).unwrap_or(u32::MAX)
}

/// Brings back in time what a clock called for that was ahead and was set back.
pub(crate) async fn bring_back(shared: &Shared, now_ms: i64) -> Result<(), Error> {
    let pause_until_ms = now_ms + PAUSE_MS_MAX * SPREAD_THOUSANDTHS_MAX / 1_000;
    Ok(shared.store.bring_deliveries_back(now_ms, now_ms + CLAIM_MS, pause_until_ms).await?)
}

/// Forgets deliveries that ended long ago.
pub(crate) async fn purge(shared: &Shared) -> Result<(), Error> {
    Ok(shared.store.forget_deliveries((shared.clock)() - KEPT_MS).await?)
}

/// Each turn of a delivery has a job of its own name: released twice it is there once.
fn job(delivery: &Delivery) -> Released {
    let id = delivery.id.derived(&format!("turn/{}", delivery.turn));
    let work = Work::Deliver { area: delivery.area, delivery: delivery.id };
    Released { priority: PRIORITY_MAX, ..Released::new(id, work) }
}

/// Sends a delivery, unless it was sent, or somebody else is at it.
pub(crate) async fn deliver(shared: &Shared, id: RecordId) -> Result<(), Failure> {
    let Some(channels) = &shared.options.channels else { return Err(Failure::NoChannels) };
    let (now_ms, began) = ((shared.clock)(), Instant::now());
    let Some(claimed) = claim(shared, id, now_ms).await? else { return Ok(()) };
    let sent = match claimed.unended {
        ..STARTS_MAX => send(&shared.store, channels, &claimed, now_ms)
            .await
            .unwrap_or_else(|error| Some(Err(NotSent::Yet(with_causes(&error))))),
        STARTS_MAX.. => Some(Err(NotSent::Ever(format!(
            "{STARTS_MAX} times in a row the process that sent it ended: it may be what ends them"
        )))),
    };
    let tried = match sent {
        None => Tried::Withdrawn,
        Some(Ok(())) => Tried::Sent,
        Some(Err(NotSent::Ever(reason))) => Tried::Failed(shortened(&reason)),
        Some(Err(NotSent::Yet(reason))) if claimed.attempts >= ATTEMPTS_MAX => {
            Tried::Failed(shortened(&reason))
        }
        Some(Err(NotSent::Yet(reason))) => {
            Tried::Again((shared.clock)() + pause_ms(&claimed), shortened(&reason))
        }
    };
    if let Tried::Again(_, reason) | Tried::Failed(reason) = &tried {
        tracing::warn!(delivery = %id, channel = claimed.channel.name(), reason, "a message was not taken");
    }
    if !end_try(shared, &claimed, &tried, began).await? {
        tracing::warn!(delivery = %id, "a try ended after its claim had");
    }
    if tried == Tried::Withdrawn
        && let Some(notice) = shared.store.record(claimed.notice).await?
    {
        // If it was raised again meanwhile, whoever announced that found it still being sent.
        announce(shared, &notice.record).await?;
    }
    Ok(())
}

/// Takes a delivery on, unless it was sent, somebody else is at it, or as many as may are being sent to its server.
async fn claim(shared: &Shared, id: RecordId, now_ms: i64) -> Result<Option<Delivery>, Failure> {
    // One after the other: two at once would each not see the other's claim.
    let _turn = shared.claiming.lock().await;
    if shared.store.put_back_delivery(id, now_ms, at_once(shared)).await? {
        return Ok(None);
    }
    Ok(shared.store.claim_delivery(id, now_ms, now_ms + CLAIM_MS).await?)
}

/// Writes down what came of a try that began then. What was taken and is not written down is sent again: so while the
/// database is gone this waits, almost as long as the claim counts.
async fn end_try(
    shared: &Shared,
    claimed: &Delivery,
    tried: &Tried,
    began: Instant,
) -> Result<bool, Failure> {
    let until = began + Duration::from_millis(CLAIM_MS.unsigned_abs()).saturating_sub(CLAIM_REST);
    loop {
        let error = match shared.store.end_try(claimed, tried, (shared.clock)()).await {
            Ok(written) => return Ok(written),
            Err(error) => error,
        };
        if Instant::now() + AGAIN_PAUSE >= until {
            return Err(error.into());
        }
        tracing::warn!(delivery = %claimed.id, %error, "what came of a try is not written down yet");
        tokio::select! {
            () = shared.stopped() => return Err(error.into()),
            () = tokio::time::sleep(AGAIN_PAUSE) => {}
        }
    }
}

/// Sends it. `None`: what it would say is no longer so, or it has to go to another address by now.
async fn send(
    store: &Store,
    channels: &Channels,
    delivery: &Delivery,
    now_ms: i64,
) -> Result<Option<Result<(), NotSent>>, Failure> {
    let Some(notice) = store.record(delivery.notice).await?.map(|numbered| numbered.record) else {
        return Ok(None);
    };
    if !stands(&notice) {
        return Ok(None);
    }
    let now = deliveries(store, &notice).await?;
    if !now.iter().any(|it| it.id() == delivery.id) {
        store.add_deliveries(&now, now_ms).await?;
        return Ok(None);
    }
    let message = Message::gather(store, channels, &notice).await?;
    Ok(Some(match delivery.channel {
        Channel::WebHook => {
            let key = message.hook_key(store, channels).await?;
            channels.hook.post(delivery, &message.to_json(delivery.id), &key, now_ms).await
        }
        Channel::Email => match &channels.mail {
            None => Err(NotSent::Yet(
                "no mail server is set: start the worker with --mail-from, and with ROUNDS_SMTP_URL in its environment"
                    .to_owned(),
            )),
            Some(mail) => {
                let text = match message.sort.as_str() {
                    "digest" => Digest::gather(store, &message).await?.text(&message, channels.language),
                    _ => message.text(channels.language),
                };
                mail.send(delivery, &message.title(channels.language), text).await
            }
        },
    }))
}

/// Nobody withdrew it, and nobody has seen it.
fn stands(notice: &Record) -> bool {
    notice.deleted.is_none() && notice.status == "raised"
}

/// What has to go out of a notice, as things stand.
async fn deliveries(store: &Store, notice: &Record) -> Result<Vec<NewDelivery>, Failure> {
    let to = addresses(store, notice).await?.into_iter();
    let new =
        to.map(|(channel, address)| NewDelivery { notice: notice.id, area: notice.area, channel, address });
    Ok(new.collect())
}

/// Where the addressee of a notice can be reached.
async fn addresses(store: &Store, notice: &Record) -> Result<Vec<(Channel, String)>, Failure> {
    let mut found = Vec::new();
    if let Some(organization) = notice.reference("organization") {
        if let Some(record) = store.record(organization).await?.map(|numbered| numbered.record)
            && record.deleted.is_none()
        {
            found.push((Channel::WebHook, record.text("web_hook").to_owned()));
            found.push((Channel::Email, record.text("email").to_owned()));
        }
    } else if !notice.text("role").is_empty() {
        found.push((Channel::Email, mailbox(store, notice).await?));
    }
    found.retain(|(_, address)| !address.is_empty());
    Ok(found)
}

/// The mailbox of the notice's role: of the policy that a digest is about; else of the nearest policy for the sort of
/// the follow-up, or if there is none for any sort.
async fn mailbox(store: &Store, notice: &Record) -> Result<String, Failure> {
    let about = match notice.subject() {
        Some(id) => store.record(id).await?.map(|numbered| numbered.record),
        None => None,
    };
    let of_role = |policy: &Policy| match notice.text("role") {
        "coordinator" => policy.coordinator_email.clone(),
        "supervisor" => policy.supervisor_email.clone(),
        _ => String::new(),
    };
    if let Some(Body::Policy(policy)) = about.as_ref().and_then(|record| record.body().ok()) {
        return Ok(of_role(&policy));
    }
    let sort = about.as_ref().map_or("", |record| record.text("sort"));
    let policies = policies(store, notice.area).await?;
    let nearest = |sort: &str| {
        let mut of_sort = policies.iter().filter(|policy| policy.sort == sort).map(of_role);
        of_sort.find(|email| !email.is_empty())
    };
    Ok(nearest(sort).or_else(|| nearest("")).unwrap_or_default())
}

async fn policies(store: &Store, area: AreaId) -> Result<Vec<Policy>, Failure> {
    let found = store.policies(area).await?.map_or_else(Vec::new, |(_, records)| records);
    let policies = found.iter().filter_map(|record| match record.body() {
        Ok(Body::Policy(policy)) => Some(policy),
        _ => None,
    });
    Ok(policies.collect())
}

/// How long until the next try: four times as long each time, and between half and one and a half of that, so that
/// those that failed together do not come back together.
fn pause_ms(claimed: &Delivery) -> i64 {
    let grown = PAUSE_FIRST_MS << (2 * claimed.attempts.saturating_sub(1)).min(20);
    let seed = claimed.id.derived(&claimed.turn.to_string()).0.as_u128() % 1_000;
    let spread_thousandths = SPREAD_THOUSANDTHS_MAX - 1_000 + seed as i64;
    grown.min(PAUSE_MS_MAX) * spread_thousandths / 1_000
}

fn shortened(error: &str) -> String {
    error.chars().filter(|it| *it != '\0').take(ERROR_CHARS_MAX).collect() // PostgreSQL keeps no zero in a text
}
