//! Who looks at a page: the browser's device, in which language, at which of its areas.

use super::area::Tree;
use super::frame::{self, Frame, Here};
use super::session;
use super::text::{Text, text};
use crate::access;
use crate::edge::too_often;
use crate::error::Error;
use crate::limit::CONTACT_INTERVAL_MS;
use crate::secret::token_hash;
use crate::shared::Shared;
use askama::Template;
use axum::extract::{FromRequestParts, Query};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Redirect, Response};
use jiff::tz::TimeZone;
use rounds_domain::language::Words;
use rounds_domain::{AreaId, Language, Role};
use rounds_store::{Caller, Contact};
use serde::Deserialize;
use std::sync::Arc;
use std::time::Duration;

/// Who looks at a page, and at what.
pub(super) struct Reader {
    pub(super) shared: Arc<Shared>,
    pub(super) caller: Caller,
    pub(super) language: Language,
    /// The same with what the caller's areas call things.
    pub(super) words: Words,
    pub(super) text: &'static Text,
    /// The caller's own areas and those above them.
    pub(super) tree: Tree,
    /// The area that was chosen; all of the caller's if none.
    pub(super) chosen: Option<AreaId>,
    /// The caller's own areas at and below the one that was chosen.
    pub(super) areas: Vec<AreaId>,
    /// The zone of the area that was chosen, in which days and times are told.
    pub(super) zone: TimeZone,
    here: Here,
    said: String,
}

/// What every page may be asked with.
#[derive(Deserialize)]
struct Asked {
    #[serde(default)]
    area: String,
    #[serde(default)]
    said: String,
}

/// Why somebody does not see a page.
pub(super) enum Refused {
    /// Not signed in. With the device revoked it says so.
    SignIn { language: Language, here: Here, revoked: bool },
    /// Too many pages were asked for: again after this.
    TooOften(Language, Duration),
    /// No such area, or it is not the caller's.
    NotFound(Language),
    /// The database does not answer.
    Unavailable(Language),
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        match self {
            Self::SignIn { language, here, revoked } => session::asked_to_sign_in(language, &here, revoked),
            Self::TooOften(language, wait) => {
                let said = text(language).unavailable;
                too_often(wait, frame::plain(StatusCode::TOO_MANY_REQUESTS, language, said))
            }
            Self::NotFound(language) => {
                frame::plain(StatusCode::NOT_FOUND, language, text(language).not_found)
            }
            Self::Unavailable(language) => {
                frame::plain(StatusCode::SERVICE_UNAVAILABLE, language, text(language).unavailable)
            }
        }
    }
}

impl FromRequestParts<Arc<Shared>> for Reader {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, shared: &Arc<Shared>) -> Result<Self, Refused> {
        let language = frame::language(&parts.headers);
        let here = Here::of(parts);
        let unavailable = |error: Error| {
            tracing::warn!(error = &error as &dyn std::error::Error, "a page could not be shown");
            Refused::Unavailable(language)
        };
        let caller = match session::token(&parts.headers) {
            Some(token) => {
                if let Err(Error::RateLimited(wait)) = shared.count_call(token_hash(&token)) {
                    return Err(Refused::TooOften(language, wait));
                }
                shared.store.caller(token_hash(&token)).await.map_err(|error| unavailable(error.into()))?
            }
            None => None,
        };
        let is_revoked = caller.as_ref().is_some_and(|caller| caller.device.revoked_ms.is_some());
        let Some(caller) = caller.filter(|caller| may_enter(caller.device.role) && !is_revoked) else {
            return Err(Refused::SignIn { language, here, revoked: is_revoked });
        };
        note_contact(shared, &caller);
        let Query(asked) =
            Query::<Asked>::try_from_uri(&parts.uri).map_err(|_| Refused::NotFound(language))?;
        let tree = Tree::of(&shared.store, &caller).await.map_err(unavailable)?;
        let own = access::own_areas(&caller);
        let (chosen, areas) = match asked.area.as_str() {
            "" => (None, own),
            id => {
                let area = id.parse().map_err(|_| Refused::NotFound(language))?;
                match shared.narrowed(own, area, true).await {
                    Ok(areas) => (Some(area), areas),
                    Err(Error::NotFound(_)) => return Err(Refused::NotFound(language)),
                    Err(error) => return Err(unavailable(error)),
                }
            }
        };
        let zone = tree.zone(chosen.or_else(|| access::home_area(&caller)));
        let words = shared.words(&caller, language).await.map_err(unavailable)?;
        let shared = shared.clone();
        Ok(Self {
            shared,
            caller,
            language,
            words,
            text: text(language),
            tree,
            chosen,
            areas,
            zone,
            here,
            said: asked.said,
        })
    }
}

/// Partners have a page of their own for each request; the system has no browser.
pub(super) fn may_enter(role: Role) -> bool {
    matches!(role, Role::Field | Role::Coordinator | Role::Supervisor | Role::Admin)
}

/// A browser has no ops of its own to send, so that it looks is all there is to note.
fn note_contact(shared: &Shared, caller: &Caller) {
    let (now_ms, device) = (shared.clock.now_ms(), &caller.device);
    if now_ms.saturating_sub(device.seen_ms).abs() >= CONTACT_INTERVAL_MS {
        shared.store.note_contact(Contact {
            device: device.id,
            seen_ms: now_ms,
            unsent_ops: device.unsent_ops,
        });
    }
}

impl Reader {
    /// The server's time, in ms since 1970 UTC.
    pub(super) fn now_ms(&self) -> i64 {
        self.shared.clock.now_ms()
    }

    /// The caller's own areas at and below the chosen one, for lists that answer administrators with all there is.
    pub(super) fn areas_or_all(&self) -> Option<&[AreaId]> {
        let is_all = self.caller.device.role == Role::Admin && self.chosen.is_none();
        (!is_all).then_some(self.areas.as_slice())
    }

    /// A link to another page, in the same area, with these questions that are not empty.
    pub(super) fn link(&self, path: &str, asked: &[(&str, &str)]) -> String {
        let area = self.chosen.map(|area| area.to_string()).unwrap_or_default();
        link(path, &[&[("area", area.as_str())], asked].concat())
    }

    /// Leads on to a page that says what was done.
    pub(super) fn done(&self, path: &str, said: &str) -> Response {
        Redirect::to(&self.link(path, &[("said", said)])).into_response()
    }

    /// What is around the content of a page. `path` is the page of the navigation that it belongs to.
    pub(super) fn frame(&self, title: &str, path: &str) -> Frame {
        Frame::of(self, title, path, &self.here, &self.said)
    }

    /// Answers a page, or why there is none.
    pub(super) fn answer(&self, page: Result<impl Template, Error>) -> Response {
        match page {
            Ok(page) => frame::rendered(StatusCode::OK, &page),
            Err(error) => self.failed(&error),
        }
    }

    /// Says why something could not be done or shown.
    pub(super) fn failed(&self, error: &Error) -> Response {
        let (status, text, detail) = match error {
            Error::NotFound(_) => (StatusCode::NOT_FOUND, self.text.not_found, String::new()),
            Error::RoleForbids { .. } => (StatusCode::FORBIDDEN, self.text.forbidden, String::new()),
            Error::AreaForbids(_) => (StatusCode::FORBIDDEN, self.text.could_not, error.to_string()),
            Error::Refused(_) => (StatusCode::UNPROCESSABLE_ENTITY, self.text.could_not, error.to_string()),
            _ => {
                tracing::warn!(error = error as &dyn std::error::Error, "a page could not be shown");
                (StatusCode::SERVICE_UNAVAILABLE, self.text.unavailable, String::new())
            }
        };
        let page = FailedPage { frame: self.frame(self.text.could_not, ""), text, detail };
        frame::rendered(status, &page)
    }
}

/// A path with these questions that are not empty.
pub(super) fn link(path: &str, asked: &[(&str, &str)]) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.extend_pairs(asked.iter().filter(|(_, value)| !value.is_empty()));
    let query = query.finish();
    if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") }
}

#[derive(Template)]
#[template(path = "dashboard/failed.html")]
struct FailedPage {
    frame: Frame,
    text: &'static str,
    detail: String,
}
