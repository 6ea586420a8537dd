//! Calendars that programs subscribe to: what a worker, group or organization has to do.
//!
//! Follow-ups are events, not tasks (VTODO): Google Calendar and Outlook leave tasks of subscribed calendars out, and
//! Apple's programs show them in neither of their two. An event ends when its follow-up is due, so it stands on the day
//! on which there is still time for it, and takes up nobody's free time. Times are in UTC: every program shows them in
//! its own zone.

use crate::edge::too_often;
use crate::error::Error;
use crate::shared::Shared;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use icalendar::{Calendar, Component, Event, EventLike};
use jiff::Timestamp;
use rounds_domain::{Kind, Language, Record, RecordId};
use rounds_store::{Link, Purpose, Store};
use sha2::{Digest, Sha256};
use std::sync::Arc;
use uuid::Uuid;

const MINUTE_MS: i64 = 60 * 1_000;
const DAY_MS: i64 = 24 * 60 * MINUTE_MS;
/// How long an event is: long enough to be seen.
const EVENT_MS: i64 = 30 * MINUTE_MS;
/// What is overdue for longer is left out.
const OVERDUE_DAYS_MAX: i64 = 60;
/// Most events of a calendar.
const EVENTS_MAX: u32 = 1_000;
/// How often programs should look.
const REFRESH: &str = "PT1H";

/// The path of a calendar: whose it is, and the token with `.ics` behind it.
pub(crate) const PATH: &str = "/calendar/{kind}/{id}/{token}";

/// The path of somebody's calendar on the server. `None`: this kind of record has none.
pub fn calendar_path(kind: Kind, id: RecordId, token: &str) -> Option<String> {
    has_calendar(kind).then(|| format!("/calendar/{}/{id}/{token}.ics", kind.name()))
}

fn has_calendar(kind: Kind) -> bool {
    matches!(kind, Kind::Worker | Kind::Group | Kind::Organization)
}

/// Answers a calendar. Whatever is wrong with the path is answered alike.
pub(crate) async fn show(
    State(shared): State<Arc<Shared>>,
    path: Result<Path<(String, Uuid, String)>, PathRejection>,
    headers: HeaderMap,
) -> Response {
    let Ok(Path((kind, id, token))) = path else { return crate::web::not_found(headers).await };
    match shared.calendar(&kind, RecordId(id), &token, &headers).await {
        Ok(Some(answer)) => answer,
        Ok(None) => crate::web::not_found(headers).await,
        Err(Error::RateLimited(wait)) => {
            let said = "This calendar was fetched too often: try again later.\n";
            too_often(wait, ([(header::CACHE_CONTROL, "no-store")], said))
        }
        Err(error) => {
            tracing::warn!(error = &error as &dyn std::error::Error, "a calendar could not be shown");
            (StatusCode::SERVICE_UNAVAILABLE, "This does not work at the moment: try again.\n")
                .into_response()
        }
    }
}

impl Shared {
    async fn calendar(
        &self,
        kind: &str,
        id: RecordId,
        token: &str,
        headers: &HeaderMap,
    ) -> Result<Option<Response>, Error> {
        let Some(token) = token.strip_suffix(".ics") else { return Ok(None) };
        let link = Link::of(Purpose::Calendar, id);
        if !self.store.is_link_token(&self.link_key, &link, token).await? {
            return Ok(None);
        }
        self.calendar_calls.take(id, self.clock.now_ms()).map_err(Error::RateLimited)?;
        let Some(whose) = self.store.record(id).await?.map(|numbered| numbered.record) else {
            return Ok(None);
        };
        let is_over = whose.deleted.is_some() || whose.fields.contains_key("left");
        if whose.kind.name() != kind || !has_calendar(whose.kind) || is_over {
            return Ok(None);
        }
        let language = headers.get(header::ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok());
        let language = Language::preferred(language.unwrap_or_default());
        let from_ms = self.clock.now_ms() - OVERDUE_DAYS_MAX * DAY_MS;
        let follow_ups = self.store.assigned(id, from_ms, EVENTS_MAX).await?;
        let text = calendar(&self.store, &whose, &follow_ups, language).await?;
        Ok(Some(answered(text, headers)))
    }
}

async fn calendar(
    store: &Store,
    whose: &Record,
    follow_ups: &[Record],
    language: Language,
) -> Result<String, Error> {
    let mut calendar = Calendar::empty();
    calendar.append_property(("VERSION", "2.0"));
    calendar.append_property(("PRODID", "-//Rounds//Rounds//EN"));
    calendar.name(whose.text("name"));
    calendar.append_property(("REFRESH-INTERVAL;VALUE=DURATION", REFRESH));
    calendar.append_property(("X-PUBLISHED-TTL", REFRESH));
    for follow_up in follow_ups {
        let Some(due_ms) = follow_up.fields.get("due_at_ms").and_then(serde_json::Value::as_i64) else {
            continue;
        };
        let changed = utc(follow_up.changed.at_ms);
        let mut event = Event::new();
        event
            .uid(&follow_up.id.to_string())
            // Without them the library would take the time of now, and the calendar would change each time.
            .add_property("DTSTAMP", &changed)
            .add_property("LAST-MODIFIED", &changed)
            .add_property("DTSTART", utc(due_ms.saturating_sub(EVENT_MS)))
            .add_property("DTEND", utc(due_ms))
            .add_property("TRANSP", "TRANSPARENT")
            .add_property("CLASS", "PRIVATE");
        let mut summary = language.work(follow_up.text("sort")).to_owned();
        let place = store.place_name(follow_up.reference("subject"), follow_up).await?;
        if !place.is_empty() {
            event.location(&place);
            summary = format!("{summary} · {place}");
        }
        event.summary(&summary);
        calendar.push(event.done());
    }
    Ok(calendar.done().to_string())
}

/// The calendar, or that it is the one that the program has.
fn answered(text: String, headers: &HeaderMap) -> Response {
    let tag = format!("\"{}\"", BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(text.as_bytes())));
    let known = headers.get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok());
    let is_known = known.is_some_and(|known| {
        known.split(',').any(|one| one.trim().trim_start_matches("W/") == tag || one.trim() == "*")
    });
    let caching = [(header::ETAG, tag), (header::CACHE_CONTROL, "private, no-cache".to_owned())];
    if is_known {
        return (StatusCode::NOT_MODIFIED, caching).into_response();
    }
    let kept_close = [
        (header::CONTENT_TYPE, "text/calendar; charset=utf-8"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::VARY, "accept-language"),
    ];
    (caching, kept_close, text).into_response()
}

/// A moment as calendars write it in UTC.
fn utc(ms: i64) -> String {
    let at = Timestamp::from_millisecond(ms).unwrap_or(Timestamp::UNIX_EPOCH);
    at.strftime("%Y%m%dT%H%M%SZ").to_string()
}
