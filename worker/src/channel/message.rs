//! What a message says, gathered when it is sent.

use super::phrase::{self, Words};
use super::{Channels, Failure};
use askama::Template;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use rounds_domain::{AreaId, Kind, Language, Record, RecordId};
use rounds_store::{Link, Purpose, Store};
use serde::Serialize;

const DAY_MS: i64 = 24 * 60 * 60 * 1_000;
/// A link is good for so long after what it is about was due, and at least for so long after it was sent.
const LINK_DAYS: i64 = 30;

/// What a message says.
#[derive(Debug)]
pub(super) struct Message {
    notice: RecordId,
    /// The sort of the notice.
    pub(super) sort: String,
    pub(super) at_ms: i64,
    due_ms: Option<i64>,
    pub(super) area: AreaId,
    area_name: String,
    pub(super) zone: TimeZone,
    about: About,
    /// The partner that it goes to, if it goes to one.
    organization: Option<RecordId>,
    /// Where a partner answers.
    link: Option<String>,
}

/// What a message is about.
#[derive(Debug, Default)]
struct About {
    kind: &'static str,
    id: String,
    /// Of what sort it is: what has to be done, what a contract covers.
    sort: String,
    /// The name of the place or asset, and of what it is in.
    place: String,
    /// The request, if the addressee answers for it.
    request: Option<Referred>,
}

/// A request, as far as the partner may know it that it was referred to.
#[derive(Debug)]
struct Referred {
    category: String,
    /// What the city calls the category.
    category_label: String,
    description: String,
}

#[derive(Serialize)]
struct HookMessage<'a> {
    id: String,
    notice: String,
    sort: &'a str,
    at: Option<String>,
    due: Option<String>,
    area: HookArea<'a>,
    subject: HookSubject<'a>,
    link: Option<&'a str>,
}

#[derive(Serialize)]
struct HookArea<'a> {
    id: String,
    name: &'a str,
}

#[derive(Serialize)]
struct HookSubject<'a> {
    kind: &'a str,
    id: &'a str,
    sort: &'a str,
    place: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    category: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
}

#[derive(Template)]
#[template(path = "notice.txt", escape = "none")]
struct NoticeText<'a> {
    words: &'a Words,
    title: String,
    area: &'a str,
    place: &'a str,
    due: Option<String>,
    category: Option<&'a str>,
    description: Option<&'a str>,
    link: Option<&'a str>,
}

impl Message {
    /// Looks at what is true now.
    pub(super) async fn gather(store: &Store, channels: &Channels, notice: &Record) -> Result<Self, Failure> {
        let record = async |id: Option<RecordId>| match id {
            Some(id) => store.record(id).await.map(|found| found.map(|numbered| numbered.record)),
            None => Ok(None),
        };
        let ms = |record: &Record, field| record.fields.get(field).and_then(serde_json::Value::as_i64);
        let area = record(Some(notice.area.into())).await?;
        let area = area.as_ref();
        let at_ms = ms(notice, "at_ms").unwrap_or(notice.created.at_ms);
        let due_ms = ms(notice, "due_at_ms");
        let organization = notice.reference("organization");
        let mut message = Self {
            notice: notice.id,
            sort: notice.text("sort").to_owned(),
            at_ms,
            due_ms,
            area: notice.area,
            area_name: area.map_or("", |area| area.text("name")).to_owned(),
            zone: area.and_then(|area| TimeZone::get(area.text("time_zone")).ok()).unwrap_or(TimeZone::UTC),
            about: About::default(),
            organization,
            link: None,
        };
        let Some(subject) = record(notice.subject()).await? else { return Ok(message) };
        message.about.kind = subject.kind.name();
        message.about.id = subject.id.to_string();
        let sort = if subject.kind == Kind::Contract { "covers" } else { "sort" };
        message.about.sort = subject.text(sort).to_owned();
        message.about.place = store.place_name(subject.reference("subject"), &subject).await?;
        let request = match subject.kind {
            Kind::Request => Some(subject),
            Kind::FollowUp => {
                record(subject.reference("source")).await?.filter(|it| it.kind == Kind::Request)
            }
            _ => None,
        };
        if let (Some(request), Some(organization)) = (request, organization)
            && request.reference("referred_to") == Some(organization)
        {
            if let Some(url) = &channels.public_url {
                let until_ms = due_ms.unwrap_or(at_ms).max(at_ms).saturating_add(LINK_DAYS * DAY_MS);
                let link = Link::referral(request.id, organization, until_ms);
                let token = store.link_token(&channels.link_key, &link).await?;
                message.link = Some(format!("{url}{}", link.path(&token)));
            }
            if message.about.place.is_empty() {
                message.about.place = store.place_name(request.reference("subject"), &request).await?;
            }
            let words =
                rounds_domain::language::Words::new(channels.language, store.terms(request.area).await?);
            message.about.request = Some(Referred {
                category: request.text("category").to_owned(),
                category_label: words.label("request_category", request.text("category")).to_owned(),
                description: request.text("description").to_owned(),
            });
        }
        Ok(message)
    }

    /// The key that messages to the web hook of the organization are signed with.
    pub(super) async fn hook_key(&self, store: &Store, channels: &Channels) -> Result<Vec<u8>, Failure> {
        let Some(organization) = self.organization else { return Ok(Vec::new()) };
        let link = Link::of(Purpose::WebHook, organization);
        Ok(store.link_secret(&channels.link_key, &link).await?.to_vec())
    }

    /// The message for a program.
    pub(super) fn to_json(&self, delivery: RecordId) -> String {
        let rfc3339 = |ms| Timestamp::from_millisecond(ms).ok().map(|at| at.to_string());
        let request = self.about.request.as_ref();
        let message = HookMessage {
            id: delivery.to_string(),
            notice: self.notice.to_string(),
            sort: &self.sort,
            at: rfc3339(self.at_ms),
            due: self.due_ms.and_then(rfc3339),
            area: HookArea { id: self.area.to_string(), name: &self.area_name },
            subject: HookSubject {
                kind: self.about.kind,
                id: &self.about.id,
                sort: &self.about.sort,
                place: &self.about.place,
                category: request.map(|request| request.category.as_str()),
                description: request.map(|request| request.description.as_str()),
            },
            link: self.link.as_deref(),
        };
        serde_json::to_string(&message).unwrap_or_default() // strings are always JSON
    }

    /// What the mail's subject says. It names what has to be done and where, and nothing else: it is seen by more eyes
    /// than the text.
    pub(super) fn title(&self, language: Language) -> String {
        let mut title = language.notice(&self.sort).to_owned();
        let work = match &self.about.request {
            Some(request) => &request.category_label,
            None => language.work(&self.about.sort),
        };
        let place = if self.about.place.is_empty() { &self.area_name } else { &self.about.place };
        for part in [work, place.as_str()].into_iter().filter(|part| !part.is_empty()) {
            title.push_str(" · ");
            title.push_str(part);
        }
        title
    }

    /// The text of a mail.
    pub(super) fn text(&self, language: Language) -> String {
        let request = self.about.request.as_ref();
        let text = NoticeText {
            words: phrase::words(language),
            title: self.title(language),
            area: &self.area_name,
            place: &self.about.place,
            due: self.due_ms.map(|ms| moment(ms, &self.zone)),
            category: request.map(|request| request.category_label.as_str()),
            description: request.map(|request| request.description.as_str()),
            link: self.link.as_deref(),
        };
        text.render().unwrap_or_default() // only writing into a string could fail
    }

    /// The record that it is about.
    pub(super) fn subject_id(&self) -> Option<RecordId> {
        self.about.id.parse().ok()
    }

    /// The name of the area, for a digest.
    pub(super) fn area_name(&self) -> &str {
        &self.area_name
    }
}

/// A moment as people of the area read it.
pub(super) fn moment(ms: i64, zone: &TimeZone) -> String {
    match Timestamp::from_millisecond(ms) {
        Ok(at) => zone.to_datetime(at).strftime("%Y-%m-%d %H:%M").to_string(),
        Err(_) => String::new(),
    }
}
