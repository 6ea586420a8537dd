//! The dashboard: pages for supervisors and coordinators, under the same rights as the services.

mod area;
mod behind;
mod chart;
mod conflicts;
mod devices;
mod download;
mod enrolment;
mod figures;
mod follow_ups;
mod frame;
mod guard;
mod jobs;
mod live;
mod overview;
mod quarantine;
mod reader;
mod record;
mod referrals;
mod session;
mod show;
mod text;
mod value;

use crate::shared::Shared;
use axum::extract::DefaultBodyLimit;
use axum::http::header;
use axum::routing::{MethodRouter, get, post};
use axum::{Router, middleware};
use std::sync::Arc;
use text::text;

/// Largest form, in bytes: an op that was mended, as JSON, each character of which may take three bytes or more.
const FORM_BYTES_MAX: usize = 1024 * 1024;

/// The pages, and the files that they need.
pub(crate) fn pages() -> Router<Arc<Shared>> {
    Router::new()
        .route("/", get(overview::show))
        .route("/behind", get(behind::show))
        .route("/download", get(download::file))
        .route("/follow-ups", get(follow_ups::show))
        .route("/referrals", get(referrals::show))
        .route("/record/{id}", get(record::show))
        .route("/record/{id}/contact", post(record::show_contact))
        .route("/conflicts", get(conflicts::show).post(conflicts::settle))
        .route("/quarantine", get(quarantine::show))
        .route("/quarantine/{device}/{seq}", get(quarantine::show_one).post(quarantine::decide))
        .route("/devices", get(devices::show))
        .route("/devices/enrol", get(enrolment::show).post(enrolment::make))
        .route("/devices/{device}/revoke", post(devices::revoke))
        .route("/jobs", get(jobs::show).post(jobs::act))
        .route("/sign-in", post(session::sign_in))
        .route("/sign-out", post(session::sign_out))
        .route("/language", post(session::choose_language))
        .route("/live", get(live::live))
        .layer(DefaultBodyLimit::max(FORM_BYTES_MAX))
        .layer(middleware::from_fn(guard::guard))
        .route("/dashboard.css", file("text/css", include_str!("../templates/dashboard/dashboard.css")))
        .route("/dashboard.js", file("text/javascript", include_str!("../templates/dashboard/dashboard.js")))
        .route("/icon.svg", file("image/svg+xml", include_str!("../templates/dashboard/icon.svg")))
}

/// A file that is part of this program.
fn file(media_type: &'static str, content: &'static str) -> MethodRouter<Arc<Shared>> {
    let headers = [
        (header::CONTENT_TYPE, media_type),
        (header::CACHE_CONTROL, "max-age=300"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    get(async move || (headers, content))
}
