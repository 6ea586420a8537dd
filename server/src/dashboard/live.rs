//! Tells an open page that what it shows may have changed.

use super::reader::Reader;
use super::session;
use crate::secret::token_hash;
use crate::watch::Watch;
use axum::extract::Query;
use axum::http::{HeaderMap, StatusCode};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use serde::Deserialize;
use std::convert::Infallible;
use std::time::Duration;

/// What happens within so long is told once.
const DEBOUNCE: Duration = Duration::from_millis(300);

/// How far the caller's areas were when the page was read.
#[derive(Deserialize)]
pub(super) struct Asked {
    #[serde(default)]
    at: u64,
}

/// A stream of events `moved`, each when areas of the caller moved since the page was read or since the last one.
/// It ends when the browser is revoked or the server stops.
pub(super) async fn live(reader: Reader, headers: HeaderMap, Query(asked): Query<Asked>) -> Response {
    let Some(token) = session::token(&headers) else { return StatusCode::UNAUTHORIZED.into_response() };
    let watch = match Watch::open(reader.shared.clone(), token_hash(&token)).await {
        Ok(watch) => watch,
        Err(error) => return reader.failed(&error),
    };
    let is_behind = watch.heads() != asked.at;
    let events = stream::unfold((watch, is_behind), |(mut watch, is_behind)| async move {
        if !is_behind {
            watch.moved().await.ok()?;
        }
        tokio::time::sleep(DEBOUNCE).await;
        watch.forget();
        // Browsers pass no event on that has no data.
        Some((Ok::<_, Infallible>(Event::default().event("moved").data("areas")), (watch, false)))
    });
    Sse::new(events).keep_alive(KeepAlive::default()).into_response()
}
