//! Pages: what a person or a load balancer sees that opens the port in a browser.

use crate::shared::Shared;
use crate::{calendar, dashboard, partner};
use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use std::sync::Arc;

/// How pages look.
const STYLE: &str = include_str!("../templates/page.css");

/// Largest form, in bytes: a text of 4,000 characters, each of which may take 12 bytes in a form.
const FORM_BYTES_MAX: usize = 64 * 1024;

/// The pages.
pub(crate) fn pages(shared: Arc<Shared>) -> Router {
    Router::new()
        .route(calendar::PATH, get(calendar::show))
        .route(partner::PATH, get(partner::show).post(partner::answer))
        .layer(DefaultBodyLimit::max(FORM_BYTES_MAX))
        .merge(dashboard::pages())
        .route(
            "/page.css",
            get(async || {
                ([(header::CONTENT_TYPE, "text/css"), (header::CACHE_CONTROL, "max-age=3600")], STYLE)
            }),
        )
        .with_state(shared)
        .route("/healthz", get(async || "ok\n"))
}

/// What answers where there is nothing: a page for a browser, a status for a gRPC client.
pub(crate) async fn not_found(headers: HeaderMap) -> Response {
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    if content_type.is_some_and(|content_type| content_type.starts_with("application/grpc")) {
        return tonic::Status::unimplemented("no such service").into_http::<axum::body::Body>();
    }
    (StatusCode::NOT_FOUND, "There is no such page.\n").into_response()
}
