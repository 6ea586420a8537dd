//! Pages: what a person or a load balancer sees that opens the port in a browser.

use crate::dashboard::{self, Routes, routed};
use crate::shared::Shared;
use crate::{calendar, edge, partner};
use axum::extract::DefaultBodyLimit;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Router, middleware};
use std::sync::Arc;

/// How pages look.
const STYLE: &str = include_str!("../templates/page.css");

/// Largest form, in bytes: a text of 4,000 characters, each of which may take 12 bytes in a form.
const FORM_BYTES_MAX: usize = 64 * 1024;

/// The pages.
pub(crate) fn pages(shared: Arc<Shared>) -> Router {
    routed(linked())
        .layer(DefaultBodyLimit::max(FORM_BYTES_MAX))
        .merge(dashboard::pages())
        .merge(routed(open()))
        .layer(middleware::from_fn_with_state(shared.clone(), edge::page))
        .with_state(shared)
}

/// Pages for whoever has the link.
fn linked() -> Routes {
    vec![(calendar::PATH, get(calendar::show)), (partner::PATH, get(partner::show).post(partner::answer))]
}

/// What is for whoever asks.
fn open() -> Routes {
    let style = [(header::CONTENT_TYPE, "text/css"), (header::CACHE_CONTROL, "max-age=3600")];
    vec![("/page.css", get(async move || (style, STYLE))), ("/healthz", get(async || "ok\n"))]
}

/// The paths of all pages, in the way of axum: `/record/{id}`.
pub fn page_paths() -> Vec<&'static str> {
    let routes = [linked(), open(), dashboard::routes(), dashboard::files()];
    routes.into_iter().flatten().map(|(path, _)| path).collect()
}

/// What answers where there is nothing: a page for a browser, a status for a gRPC client.
pub(crate) async fn not_found(headers: HeaderMap) -> Response {
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    if content_type.is_some_and(|content_type| content_type.starts_with("application/grpc")) {
        return tonic::Status::unimplemented("no such service").into_http::<axum::body::Body>();
    }
    (StatusCode::NOT_FOUND, "There is no such page.\n").into_response()
}
