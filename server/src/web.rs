//! Pages: what a person or a load balancer sees that opens the port in a browser.

use axum::Router;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

/// The pages.
pub(crate) fn pages() -> Router {
    Router::new()
        .route("/", get(async || "Rounds: offline-first sync for neighbourhood teams. This port speaks gRPC and gRPC-web.\n"))
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
