//! The page on which a partner answers for one request that was referred to it, without signing in: whoever has the
//! link from the mail or web hook can.
//!
//! The link is signed, expires, and can be revoked. It opens what the partner needs to know of that request, and lets
//! it do what the role of partners allows, under a device of its organization: take it on, send it back, say how it
//! goes, say that it is solved. That it is solved is the partner's word; the team looks on site before it closes it.

use crate::edge::too_often;
use crate::error::Error;
use crate::shared::Shared;
use askama::Template;
use axum::Form;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Redirect, Response};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use rounds_domain::op::Step;
use rounds_domain::record::{Standing, StepTaken};
use rounds_domain::{Action, ClockReading, DeviceId, Kind, Language, Op, Outcome, Record, RecordId, Role};
use rounds_store::{Arrival, Batch, Content, Link, content_hash};
use serde::Deserialize;
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

const MINUTE_MS: i64 = 60 * 1_000;
const HOUR_MS: i64 = 60 * MINUTE_MS;
const DAY_MS: i64 = 24 * HOUR_MS;

/// The path of a page: request, organization, when it expires (seconds since 1970 UTC), token.
pub(crate) const PATH: &str = "/r/{request}/{organization}/{expires}/{token}";

/// What the path says.
type Named = (Uuid, Uuid, i64, String);

/// A form that was sent.
#[derive(Deserialize, Debug)]
pub(crate) struct Answer {
    /// What to do: `in_progress`, `triaged`, `resolved`, or `progress`.
    act: String,
    /// Why, how it goes, or what was done.
    #[serde(default)]
    text: String,
    /// The stamp of the request as the page showed it.
    seen: u64,
}

/// What stands above the history.
#[derive(Clone, Copy, PartialEq)]
enum Remark {
    None,
    /// Something happened while the page was open, and what was entered was not taken.
    Stale,
    /// Sending it back needs a reason, and a report its text.
    TextNeeded,
    /// The text is too long or has characters that cannot be kept.
    TextUnfit,
}

/// Shows the page.
pub(crate) async fn show(
    State(shared): State<Arc<Shared>>,
    path: Result<Path<Named>, PathRejection>,
    headers: HeaderMap,
) -> Response {
    let language = language(&headers);
    let Ok(Path(named)) = path else { return Closed::Unknown.page(language) };
    match shared.open(&named).await {
        Ok(opened) => shared.page(&opened, language, Remark::None, String::new()).await,
        Err(closed) => closed.page(language),
    }
}

/// Takes an answer.
pub(crate) async fn answer(
    State(shared): State<Arc<Shared>>,
    path: Result<Path<Named>, PathRejection>,
    headers: HeaderMap,
    Form(answer): Form<Answer>,
) -> Response {
    let language = language(&headers);
    let Ok(Path(named)) = path else { return Closed::Unknown.page(language) };
    // One after the other, so that the same form sent twice at once is seen to be the same.
    let _turn = shared.partner_turn.lock().await;
    let opened = match shared.open(&named).await {
        Ok(opened) => opened,
        Err(closed) => return closed.page(language),
    };
    match shared.take(&opened, &answer).await {
        Ok(Remark::None) => secured(Redirect::to(&path_of(&named)).into_response()),
        Ok(remark) => match shared.open(&named).await {
            Ok(opened) => shared.page(&opened, language, remark, answer.text).await,
            Err(closed) => closed.page(language),
        },
        Err(Error::DeviceRevoked) => Closed::Unknown.page(language),
        Err(error) => Closed::from(error).page(language),
    }
}

fn path_of((request, organization, expires, token): &Named) -> String {
    let link = Link::referral(RecordId(*request), RecordId(*organization), expires.saturating_mul(1_000));
    link.path(token)
}

/// A link that opened.
struct Opened {
    request: Record,
    organization: RecordId,
    expires_ms: i64,
}

/// Why a link did not open.
enum Closed {
    /// Not one of ours, or it was withdrawn, with the link, the device or the organization: there is no telling which.
    Unknown,
    /// Its time is over.
    Expired,
    /// The request is not with this partner, or not any more.
    Elsewhere,
    /// Whoever has it called too often: again after this.
    TooOften(Duration),
    /// The database does not answer.
    Unavailable,
}

impl From<Error> for Closed {
    fn from(error: Error) -> Self {
        let error = &error as &dyn std::error::Error;
        tracing::warn!(error, "a partner's page could not be shown");
        Self::Unavailable
    }
}

impl From<rounds_store::Error> for Closed {
    fn from(error: rounds_store::Error) -> Self {
        Error::from(error).into()
    }
}

impl Shared {
    async fn open(&self, (request, organization, expires, token): &Named) -> Result<Opened, Closed> {
        let (request, organization) = (RecordId(*request), RecordId(*organization));
        let expires_ms = expires.checked_mul(1_000).ok_or(Closed::Unknown)?;
        let link = Link::referral(request, organization, expires_ms);
        if !self.store.is_link_token(&self.link_key, &link, token).await? {
            return Err(Closed::Unknown);
        }
        self.partner_calls.take((request, organization), self.clock.now_ms()).map_err(Closed::TooOften)?;
        if expires_ms <= self.clock.now_ms() {
            return Err(Closed::Expired);
        }
        let device = self.store.device(partner_device(organization)).await?;
        let partner = self.store.record(organization).await?;
        if device.is_some_and(|device| device.revoked_ms.is_some())
            || partner.is_some_and(|partner| partner.record.deleted.is_some())
        {
            return Err(Closed::Unknown);
        }
        let request = self.store.record(request).await?.map(|numbered| numbered.record);
        match request {
            Some(request)
                if request.kind == Kind::Request
                    && request.deleted.is_none()
                    && request.reference("referred_to") == Some(organization) =>
            {
                Ok(Opened { request, organization, expires_ms })
            }
            _ => Err(Closed::Elsewhere),
        }
    }

    /// Does what the partner answered, or says why not.
    async fn take(&self, opened: &Opened, answer: &Answer) -> Result<Remark, Error> {
        let now_ms = self.clock.now_ms();
        let device = partner_device(opened.organization);
        let (request, text) = (&opened.request, answer.text.trim());
        let to = if answer.act == "progress" { "in_progress" } else { answer.act.as_str() };
        if text.is_empty() && matches!(answer.act.as_str(), "progress" | "triaged") {
            return Ok(Remark::TextNeeded);
        }
        let is_said = request.steps.last().is_some_and(|last| {
            last.trace.op.device == device && last.step.to == to && last.step.reason == text
        });
        if is_said && answer.seen != request.through.stamp {
            return Ok(Remark::None); // the same form once more
        }
        if answer.seen != request.through.stamp || !acts(&request.status).contains(&answer.act.as_str()) {
            return Ok(Remark::Stale);
        }
        let step = Step { to: to.to_owned(), reason: text.to_owned(), ..Step::default() };
        let clock = ClockReading { wall_ms: now_ms, boot: 0, monotonic_ms: 0 };
        let op = Op {
            record: request.id,
            area: request.area,
            kind: Kind::Request,
            action: Action::Step(step),
            clock,
            observed: answer.seen,
            scope_version: 0,
        };
        if op.check().is_err() {
            return Ok(Remark::TextUnfit);
        }
        if !Role::Partner.may(&op.action, op.kind) {
            return Ok(Remark::Stale);
        }
        let organization = self.store.record(opened.organization).await?;
        let name = organization.as_ref().map_or("", |numbered| numbered.record.text("name"));
        let label = format!("partner page of {name}");
        let device = self.store.internal_device(device, &label, Role::Partner, now_ms).await?;
        if device.revoked_ms.is_some() {
            return Err(Error::DeviceRevoked);
        }
        // The server numbers the op, so no retry is ever compared with it.
        let hash = content_hash(0, op.record.0.as_bytes());
        let batch = Batch {
            device: device.id,
            arrivals: vec![Arrival { seq: None, followed_by: 0, hash, content: Content::Admitted(op) }],
            clock,
            received_ms: now_ms,
            holds_from: 0,
            settled: None,
        };
        let receipt = self.store.submit(batch).await?;
        let took_effect = receipt
            .verdicts
            .iter()
            .all(|(_, verdict)| matches!(verdict.outcome, Outcome::Applied | Outcome::Merged));
        Ok(if took_effect { Remark::None } else { Remark::Stale })
    }

    async fn page(&self, opened: &Opened, language: Language, remark: Remark, text: String) -> Response {
        let status = match remark {
            Remark::None => StatusCode::OK,
            Remark::Stale => StatusCode::CONFLICT,
            Remark::TextNeeded | Remark::TextUnfit => StatusCode::UNPROCESSABLE_ENTITY,
        };
        match self.shown(opened, language, remark, text).await {
            Ok(page) => rendered(status, &page),
            Err(error) => Closed::from(error).page(language),
        }
    }

    async fn shown(
        &self,
        opened: &Opened,
        language: Language,
        remark: Remark,
        text: String,
    ) -> Result<RequestPage, Error> {
        let now_ms = self.clock.now_ms();
        let request = &opened.request;
        let words = words(language);
        let name = async |id: Option<RecordId>| -> Result<Option<Record>, rounds_store::Error> {
            let Some(id) = id else { return Ok(None) };
            Ok(self.store.record(id).await?.map(|numbered| numbered.record))
        };
        let area = name(Some(request.area.into())).await?;
        let zone_name = area.as_ref().map_or("UTC", |area| area.text("time_zone")).to_owned();
        let zone = TimeZone::get(&zone_name).unwrap_or(TimeZone::UTC);
        let organization = name(Some(opened.organization)).await?;
        let due_ms = request.fields.get("due_at_ms").and_then(serde_json::Value::as_i64);
        let device = partner_device(opened.organization);
        let of_city = rounds_domain::language::Words::new(language, self.store.terms(request.area).await?);
        let acts = acts(&request.status);
        Ok(RequestPage {
            language: language.tag(),
            words,
            remark: match remark {
                Remark::None => "",
                Remark::Stale => words.stale,
                Remark::TextNeeded => words.text_needed,
                Remark::TextUnfit => words.text_unfit,
            },
            organization: organization.as_ref().map_or("", |record| record.text("name")).to_owned(),
            area: area.as_ref().map_or("", |area| area.text("name")).to_owned(),
            category: of_city.label("request_category", request.text("category")).to_owned(),
            description: request.text("description").to_owned(),
            place: self.store.place_name(request.subject(), request).await?,
            stage: stage(language, &request.status).to_owned(),
            due: due_ms.map(|ms| moment(ms, &zone)).unwrap_or_default(),
            left: due_ms
                .filter(|_| !acts.is_empty())
                .map_or_else(String::new, |ms| left(language, ms.saturating_sub(now_ms))),
            overdue: due_ms.is_some_and(|ms| ms < now_ms) && !acts.is_empty(),
            clocks: clocks(request, opened.organization, language, now_ms),
            history: history(request, opened.organization, device, language, now_ms, &zone),
            zone: zone_name,
            can_accept: acts.contains(&"in_progress"),
            can_report: acts.contains(&"progress"),
            can_resolve: acts.contains(&"resolved"),
            can_return: acts.contains(&"triaged"),
            seen: request.through.stamp,
            text,
            expires: moment(opened.expires_ms, &zone),
        })
    }
}

/// What a partner may do to a request in this stage.
fn acts(status: &str) -> &'static [&'static str] {
    match status {
        "referred" => &["in_progress", "resolved", "triaged"],
        "in_progress" => &["progress", "resolved", "triaged"],
        _ => &[],
    }
}

/// The device under which an organization answers on its pages; the same for ever.
fn partner_device(organization: RecordId) -> DeviceId {
    DeviceId(organization.derived("partner page").0)
}

/// An entry of the history.
struct Entry {
    at: String,
    stage: String,
    holder: String,
    text: String,
    /// How long it stayed so.
    lasted: String,
}

/// How long somebody has had it.
struct Clock {
    holder: String,
    lasted: String,
}

/// Who has a request after a step.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Holder {
    /// The team.
    Team,
    /// The organization that asks.
    You,
    /// Another organization.
    Other,
    /// It is over.
    Nobody,
}

impl Holder {
    fn name(self, language: Language) -> &'static str {
        let words = words(language);
        match self {
            Self::Team => words.team,
            Self::You => words.you,
            Self::Other => words.other,
            Self::Nobody => "",
        }
    }
}

/// The stages that the request went through: when, the stage, who had it from then on, and the step if it was one.
fn stays(request: &Record, organization: RecordId) -> Vec<(i64, &str, Holder, Option<&StepTaken>)> {
    let mut stays = vec![(request.created.at_ms, "open", Holder::Team, None)];
    let mut referred = Holder::Team;
    for taken in request.steps.iter().filter(|taken| taken.standing != Standing::NotApplied) {
        let holder = match taken.step.to.as_str() {
            "referred" => {
                let is_you = taken.step.organization == Some(organization);
                referred = if is_you { Holder::You } else { Holder::Other };
                referred
            }
            "in_progress" => referred,
            "triaged" | "open" => {
                referred = Holder::Team;
                Holder::Team
            }
            "closed" | "rejected" => Holder::Nobody,
            _ => Holder::Team, // resolved: the team has to look
        };
        stays.push((taken.trace.at_ms, taken.step.to.as_str(), holder, Some(taken)));
    }
    stays
}

/// How long each holder has had a request, all in all, in ms, as the organization sees it; those that never had it are
/// left out.
pub(crate) fn held(request: &Record, organization: RecordId, now_ms: i64) -> Vec<(Holder, i64)> {
    let stays = stays(request, organization);
    let ends = stays.iter().skip(1).map(|(at_ms, ..)| *at_ms);
    let mut sums = [(Holder::Team, 0), (Holder::You, 0), (Holder::Other, 0)];
    for ((from_ms, _, holder, _), until_ms) in stays.iter().zip(ends.chain([now_ms])) {
        for (of, sum) in &mut sums {
            if of == holder {
                *sum += (until_ms - from_ms).max(0);
            }
        }
    }
    sums.into_iter().filter(|(_, sum)| *sum > 0).collect()
}

/// The same for the page.
fn clocks(request: &Record, organization: RecordId, language: Language, now_ms: i64) -> Vec<Clock> {
    let had = held(request, organization, now_ms).into_iter();
    had.map(|(holder, sum)| Clock {
        holder: holder.name(language).to_owned(),
        lasted: duration(language, sum),
    })
    .collect()
}

/// The history, newest first. Reasons are shown from the time on that it was referred to this partner.
fn history(
    request: &Record,
    organization: RecordId,
    device: DeviceId,
    language: Language,
    now_ms: i64,
    zone: &TimeZone,
) -> Vec<Entry> {
    let stays = stays(request, organization);
    let first = stays.iter().position(|(_, _, holder, _)| *holder == Holder::You).unwrap_or(usize::MAX);
    let ends: Vec<i64> = stays.iter().skip(1).map(|(at_ms, ..)| *at_ms).chain([now_ms]).collect();
    let mut entries: Vec<Entry> = stays
        .iter()
        .zip(ends)
        .enumerate()
        .map(|(at, ((from_ms, status, holder, taken), until_ms))| {
            let repeated = taken.is_some_and(|taken| taken.standing == Standing::Repeated);
            let by_you = taken.is_some_and(|taken| taken.trace.op.device == device);
            let stage = if repeated { words(language).reported } else { stage(language, status) };
            let text = taken.filter(|_| at >= first || by_you).map_or("", |taken| taken.step.reason.as_str());
            Entry {
                at: moment(*from_ms, zone),
                stage: stage.to_owned(),
                holder: holder.name(language).to_owned(),
                text: text.to_owned(),
                lasted: duration(language, (until_ms - from_ms).max(0)),
            }
        })
        .collect();
    entries.reverse();
    entries
}

/// A length of time in its two largest units.
pub fn duration(language: Language, ms: i64) -> String {
    let words = words(language);
    let (days, hours, minutes) = (ms / DAY_MS, ms % DAY_MS / HOUR_MS, ms % HOUR_MS / MINUTE_MS);
    let parts = [(days, words.days), (hours, words.hours), (minutes, words.minutes)];
    let shown: Vec<String> = parts
        .iter()
        .skip_while(|(count, _)| *count == 0)
        .take(2)
        .filter(|(count, _)| *count > 0)
        .map(|(count, unit)| format!("{count} {unit}"))
        .collect();
    if shown.is_empty() { format!("0 {}", words.minutes) } else { shown.join(" ") }
}

fn left(language: Language, ms: i64) -> String {
    let words = words(language);
    let (before, after) = if ms < 0 { words.late } else { words.left };
    format!("{before}{}{after}", duration(language, ms.saturating_abs()))
}

fn moment(ms: i64, zone: &TimeZone) -> String {
    match Timestamp::from_millisecond(ms) {
        Ok(at) => zone.to_datetime(at).strftime("%Y-%m-%d %H:%M").to_string(),
        Err(_) => String::new(),
    }
}

#[derive(Template)]
#[template(path = "partner.html")]
struct RequestPage {
    language: &'static str,
    words: &'static Words,
    remark: &'static str,
    organization: String,
    area: String,
    category: String,
    description: String,
    place: String,
    stage: String,
    due: String,
    left: String,
    overdue: bool,
    zone: String,
    clocks: Vec<Clock>,
    history: Vec<Entry>,
    can_accept: bool,
    can_report: bool,
    can_resolve: bool,
    can_return: bool,
    seen: u64,
    text: String,
    expires: String,
}

#[derive(Template)]
#[template(path = "partner_closed.html")]
struct ClosedPage {
    language: &'static str,
    words: &'static Words,
    text: &'static str,
}

impl Closed {
    fn page(self, language: Language) -> Response {
        let words = words(language);
        let wait = match &self {
            Self::TooOften(wait) => Some(*wait),
            _ => None,
        };
        let (status, text) = match self {
            Self::TooOften(_) => (StatusCode::TOO_MANY_REQUESTS, words.too_often),
            Self::Unknown => (StatusCode::NOT_FOUND, words.unknown),
            Self::Expired => (StatusCode::GONE, words.expired),
            Self::Elsewhere => (StatusCode::GONE, words.elsewhere),
            Self::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, words.unavailable),
        };
        let page = rendered(status, &ClosedPage { language: language.tag(), words, text });
        match wait {
            Some(wait) => too_often(wait, page),
            None => page,
        }
    }
}

fn rendered(status: StatusCode, page: &impl Template) -> Response {
    match page.render() {
        Ok(html) => secured((status, Html(html)).into_response()),
        Err(error) => {
            tracing::error!(error = &error as &dyn std::error::Error, "a page cannot be written");
            secured(StatusCode::INTERNAL_SERVER_ERROR.into_response())
        }
    }
}

/// The link is the secret: it must not go on to anybody else, nor stay in a cache.
fn secured(mut answer: Response) -> Response {
    let headers = answer.headers_mut();
    let policy =
        "default-src 'none'; style-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'";
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert("x-robots-tag", HeaderValue::from_static("noindex"));
    headers.insert(header::VARY, HeaderValue::from_static("accept-language"));
    answer
}

fn language(headers: &HeaderMap) -> Language {
    let accepted = headers.get(header::ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok());
    Language::preferred(accepted.unwrap_or_default())
}

/// What people read for a stage.
fn stage(language: Language, status: &str) -> &str {
    const STAGES: &[(&str, [&str; 3])] = &[
        ("open", ["Raised", "已受理", "已受理"]),
        ("triaged", ["With the team", "团队处理", "團隊處理"]),
        ("referred", ["Referred", "已转办", "已轉辦"]),
        ("in_progress", ["In progress", "办理中", "辦理中"]),
        ("resolved", ["Solved, to be verified", "已办结，待核实", "已辦結，待核實"]),
        ("verified", ["Verified", "已核实", "已核實"]),
        ("closed", ["Closed", "已关闭", "已關閉"]),
        ("rejected", ["Rejected", "不予受理", "不予受理"]),
    ];
    let found = STAGES.iter().find(|(name, _)| *name == status);
    found.map_or(status, |(_, texts)| language.of(*texts))
}

/// The words of the page.
struct Words {
    title: &'static str,
    due: &'static str,
    place: &'static str,
    for_organization: &'static str,
    who_had_it: &'static str,
    history: &'static str,
    team: &'static str,
    you: &'static str,
    other: &'static str,
    accept: &'static str,
    report: &'static str,
    reported: &'static str,
    resolve: &'static str,
    send_back: &'static str,
    your_text: &'static str,
    text_hint: &'static str,
    nothing_to_do: &'static str,
    link_until: &'static str,
    times_in: &'static str,
    days: &'static str,
    hours: &'static str,
    minutes: &'static str,
    left: (&'static str, &'static str),
    late: (&'static str, &'static str),
    stale: &'static str,
    text_needed: &'static str,
    text_unfit: &'static str,
    unknown: &'static str,
    expired: &'static str,
    elsewhere: &'static str,
    too_often: &'static str,
    unavailable: &'static str,
}

fn words(language: Language) -> &'static Words {
    let [english, simplified, traditional] = &WORDS;
    language.of([english, simplified, traditional])
}

const WORDS: [Words; 3] = [
    Words {
        title: "A request that was referred to you",
        due: "Due",
        place: "Place",
        for_organization: "For",
        who_had_it: "Who has had it for how long",
        history: "History",
        team: "the team",
        you: "you",
        other: "another partner",
        accept: "Take it on",
        report: "Report progress",
        reported: "Progress",
        resolve: "It is solved",
        send_back: "Send it back",
        your_text: "What is there to say?",
        text_hint: "Needed to report progress and to send it back. No names or phone numbers, please.",
        nothing_to_do: "There is nothing for you to do at the moment.",
        link_until: "Whoever has this link can answer. It is good until",
        times_in: "Times in",
        days: "d",
        hours: "h",
        minutes: "min",
        left: ("", " left"),
        late: ("", " late"),
        stale: "Something happened while this page was open, so your answer was not taken. Look at the history, and \
                answer again if it is still right.",
        text_needed: "Please say why it is sent back, or how it goes.",
        text_unfit: "Please shorten the text: 4,000 characters are the most.",
        unknown: "There is no such page. The link is wrong, or it was withdrawn: ask the team for another.",
        expired: "This link has expired: ask the team for another.",
        elsewhere: "This request is not with you, or not any more. If you have just sent it back, the team has it now.",
        too_often: "This page was called too often. Please try again in a minute.",
        unavailable: "This does not work at the moment. Please try again in a minute.",
    },
    Words {
        title: "转办给您的诉求",
        due: "截止",
        place: "地点",
        for_organization: "承办",
        who_had_it: "各方持有时长",
        history: "办理记录",
        team: "团队",
        you: "贵单位",
        other: "其他单位",
        accept: "接办",
        report: "报告进展",
        reported: "进展",
        resolve: "已办结",
        send_back: "退回",
        your_text: "说明",
        text_hint: "报告进展和退回时必填。请勿填写姓名或电话。",
        nothing_to_do: "目前无需您办理。",
        link_until: "持有此链接者均可答复，有效期至",
        times_in: "时区",
        days: "天",
        hours: "小时",
        minutes: "分钟",
        left: ("剩余 ", ""),
        late: ("逾期 ", ""),
        stale: "页面打开期间情况有变，您的答复未被记录。请查看办理记录，如仍适用请重新提交。",
        text_needed: "请说明退回原因或办理进展。",
        text_unfit: "请缩短说明，最多 4000 字。",
        unknown: "没有此页面。链接有误或已被撤销，请向团队索取新链接。",
        expired: "此链接已过期，请向团队索取新链接。",
        elsewhere: "此诉求不在贵单位，或已不在贵单位。如果您刚刚退回，现由团队处理。",
        too_often: "访问过于频繁，请一分钟后再试。",
        unavailable: "暂时无法使用，请稍后再试。",
    },
    Words {
        title: "轉辦給您的訴求",
        due: "截止",
        place: "地點",
        for_organization: "承辦",
        who_had_it: "各方持有時長",
        history: "辦理記錄",
        team: "團隊",
        you: "貴單位",
        other: "其他單位",
        accept: "接辦",
        report: "回報進度",
        reported: "進度",
        resolve: "已辦結",
        send_back: "退回",
        your_text: "說明",
        text_hint: "回報進度和退回時必填。請勿填寫姓名或電話。",
        nothing_to_do: "目前無需您辦理。",
        link_until: "持有此連結者均可答覆，有效期至",
        times_in: "時區",
        days: "天",
        hours: "小時",
        minutes: "分鐘",
        left: ("剩餘 ", ""),
        late: ("逾期 ", ""),
        stale: "頁面開啟期間情況有變，您的答覆未被記錄。請查看辦理記錄，如仍適用請重新提交。",
        text_needed: "請說明退回原因或辦理進度。",
        text_unfit: "請縮短說明，最多 4000 字。",
        unknown: "沒有此頁面。連結有誤或已被撤銷，請向團隊索取新連結。",
        expired: "此連結已過期，請向團隊索取新連結。",
        elsewhere: "此訴求不在貴單位，或已不在貴單位。如果您剛剛退回，現由團隊處理。",
        too_often: "存取過於頻繁，請一分鐘後再試。",
        unavailable: "暫時無法使用，請稍後再試。",
    },
];
