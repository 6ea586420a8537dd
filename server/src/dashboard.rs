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

/// Paths of pages, and what answers there.
pub(crate) type Routes = Vec<(&'static str, MethodRouter<Arc<Shared>>)>;

/// The pages, and the files that they need.
pub(crate) fn pages() -> Router<Arc<Shared>> {
    let pages = routed(routes())
        .layer(DefaultBodyLimit::max(FORM_BYTES_MAX))
        .layer(middleware::from_fn(guard::guard));
    pages.merge(routed(files()))
}

/// A router of these.
pub(crate) fn routed(routes: Routes) -> Router<Arc<Shared>> {
    routes.into_iter().fold(Router::new(), |router, (path, answer)| router.route(path, answer))
}

/// The pages.
pub(crate) fn routes() -> Routes {
    vec![
        ("/", get(overview::show)),
        ("/behind", get(behind::show)),
        ("/download", get(download::file)),
        ("/follow-ups", get(follow_ups::show)),
        ("/referrals", get(referrals::show)),
        ("/record/{id}", get(record::show)),
        ("/record/{id}/contact", post(record::show_contact)),
        ("/conflicts", get(conflicts::show).post(conflicts::settle)),
        ("/quarantine", get(quarantine::show)),
        ("/quarantine/{device}/{seq}", get(quarantine::show_one).post(quarantine::decide)),
        ("/devices", get(devices::show)),
        ("/devices/enrol", get(enrolment::show).post(enrolment::make)),
        ("/devices/{device}/revoke", post(devices::revoke)),
        ("/jobs", get(jobs::show).post(jobs::act)),
        ("/sign-in", post(session::sign_in)),
        ("/sign-out", post(session::sign_out)),
        ("/language", post(session::choose_language)),
        ("/live", get(live::live)),
    ]
}

/// The files that the pages need, for whoever asks.
pub(crate) fn files() -> Routes {
    vec![
        ("/dashboard.css", file("text/css", include_str!("../templates/dashboard/dashboard.css"))),
        ("/dashboard.js", file("text/javascript", include_str!("../templates/dashboard/dashboard.js"))),
        ("/icon.svg", file("image/svg+xml", include_str!("../templates/dashboard/icon.svg"))),
    ]
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
