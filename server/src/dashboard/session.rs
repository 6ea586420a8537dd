//! Signing in and out. A browser is a device like any other: it is enrolled with a one-time code, and its token is
//! kept in a cookie that no script can read.

use super::frame::{self, Choice, Here, LANGUAGE_COOKIE, cookie, language, languages, own_path, rendered};
use super::reader::{Reader, may_enter};
use super::text::{Text, text};
use crate::edge::{Origin, too_often};
use crate::error::Error;
use crate::shared::Shared;
use askama::Template;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{AppendHeaders, IntoResponse, Redirect, Response};
use axum::{Extension, Form};
use rounds_domain::{DeviceId, Language};
use rounds_proto::v1;
use rounds_store::{AuditAction, NewAudit};
use serde::Deserialize;
use std::sync::Arc;

/// The cookie with the token of the browser's device.
const TOKEN_COOKIE: &str = "rounds_token";
/// How long cookies are kept, in seconds: browsers keep none for longer than 400 days.
const COOKIE_SECONDS: u32 = 400 * 24 * 60 * 60;

/// The token of the browser's device.
pub(super) fn token(headers: &HeaderMap) -> Option<String> {
    cookie(headers, TOKEN_COOKIE)
}

/// The form that signs in.
#[derive(Deserialize)]
pub(super) struct Entry {
    code: String,
    label: String,
    #[serde(default)]
    to: String,
}

/// The page for somebody who is not signed in.
pub(super) fn asked_to_sign_in(language: Language, here: &Here, revoked: bool) -> Response {
    let said = if revoked { text(language).revoked } else { "" };
    let status = if here.path == "/" { StatusCode::OK } else { StatusCode::UNAUTHORIZED };
    let page =
        SignInPage { from_elsewhere: here.from_elsewhere, ..SignInPage::of(language, &here.path, said) };
    rendered(status, &page)
}

/// Enrols the browser.
pub(super) async fn sign_in(
    State(shared): State<Arc<Shared>>,
    origin: Option<Extension<Origin>>,
    headers: HeaderMap,
    Form(entry): Form<Entry>,
) -> Response {
    let language = language(&headers);
    let text = text(language);
    let again = |status, said| rendered(status, &SignInPage::of(language, &entry.to, said));
    let request =
        v1::EnrolRequest { code: entry.code.clone(), label: entry.label.clone(), ..Default::default() };
    let enrolled = match shared.enrol(request, origin.map(|Extension(origin)| origin)).await {
        Ok(enrolled) => enrolled,
        Err(Error::RateLimited(wait)) => {
            return too_often(wait, again(StatusCode::TOO_MANY_REQUESTS, text.too_many_tries));
        }
        Err(Error::CodeInvalid) => return again(StatusCode::UNPROCESSABLE_ENTITY, text.code_invalid),
        Err(Error::Refused(_)) => return again(StatusCode::UNPROCESSABLE_ENTITY, text.label_unfit),
        Err(error) => {
            tracing::warn!(error = &error as &dyn std::error::Error, "a browser could not be enrolled");
            return again(StatusCode::SERVICE_UNAVAILABLE, text.unavailable);
        }
    };
    if !rounds_proto::role_from_wire(enrolled.role).is_ok_and(may_enter) {
        let device: Result<DeviceId, _> = enrolled.device.parse();
        if let Ok(device) = device
            && let Err(error) = turn_away(&shared, device).await
        {
            tracing::warn!(error = &error as &dyn std::error::Error, %device, "a browser could not be revoked");
        }
        return again(StatusCode::FORBIDDEN, text.not_for_partners);
    }
    let cookie = remember(TOKEN_COOKIE, &enrolled.token, &shared, &headers);
    (AppendHeaders([(header::SET_COOKIE, cookie)]), Redirect::to(own_path(&entry.to))).into_response()
}

/// Ends the enrolment of somebody for whom these pages are not.
async fn turn_away(shared: &Shared, device: DeviceId) -> Result<(), Error> {
    let now_ms = shared.clock.now_ms();
    shared.store.audit(NewAudit::of_system(now_ms, AuditAction::DeviceRevoked, device)).await?;
    Ok(shared.store.sign_out(device, now_ms).await?)
}

/// Ends the browser's enrolment: its device is revoked, and the cookie is gone.
pub(super) async fn sign_out(reader: Reader, headers: HeaderMap) -> Response {
    let Reader { shared, caller, language, .. } = &reader;
    if let Err(error) = shared.note(caller, AuditAction::SignOut, caller.device.id, "").await {
        return reader.failed(&error);
    }
    if let Err(error) = shared.store.sign_out(caller.device.id, shared.clock.now_ms()).await {
        return reader.failed(&error.into());
    }
    tracing::info!(device = %caller.device.id, "a browser signed out");
    let cookie = set_cookie(TOKEN_COOKIE, "", 0, is_encrypted(shared, &headers));
    let page = SignInPage::of(*language, "/", text(*language).signed_out);
    (AppendHeaders([(header::SET_COOKIE, cookie)]), rendered(StatusCode::OK, &page)).into_response()
}

/// The form that chooses a language.
#[derive(Deserialize)]
pub(super) struct Chosen {
    language: String,
    #[serde(default)]
    to: String,
}

/// Remembers a language.
pub(super) async fn choose_language(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    Form(chosen): Form<Chosen>,
) -> Response {
    let Some(language) = Language::from_tag(&chosen.language) else {
        return frame::plain(StatusCode::NOT_FOUND, language(&headers), text(language(&headers)).not_found);
    };
    let cookie = remember(LANGUAGE_COOKIE, language.tag(), &shared, &headers);
    (AppendHeaders([(header::SET_COOKIE, cookie)]), Redirect::to(own_path(&chosen.to))).into_response()
}

/// The header that keeps something in a cookie for as long as browsers do.
pub(super) fn remember(name: &str, value: &str, shared: &Shared, headers: &HeaderMap) -> String {
    set_cookie(name, value, COOKIE_SECONDS, is_encrypted(shared, headers))
}

fn set_cookie(name: &str, value: &str, seconds: u32, encrypted: bool) -> String {
    let secure = if encrypted { "; Secure" } else { "" };
    format!("{name}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}")
}

/// Whether the browser speaks TLS, with this server or with what stands before it.
fn is_encrypted(shared: &Shared, headers: &HeaderMap) -> bool {
    shared.has_tls || headers.get("x-forwarded-proto").is_some_and(|proto| proto == "https")
}

#[derive(Template)]
#[template(path = "dashboard/sign_in.html")]
struct SignInPage {
    tag: &'static str,
    text: &'static Text,
    languages: [Choice; 3],
    to: String,
    said: &'static str,
    /// The same page again, asked for by itself, brings the cookie that a browser keeps back from links elsewhere.
    from_elsewhere: bool,
}

impl SignInPage {
    fn of(language: Language, to: &str, said: &'static str) -> Self {
        let (tag, text, to) = (language.tag(), text(language), own_path(to).to_owned());
        Self { tag, text, languages: languages(language), to, said, from_elsewhere: false }
    }
}
