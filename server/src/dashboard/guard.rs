//! What holds for every page of the dashboard: headers that keep it to itself, and forms from nowhere else.

use super::frame;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::Response;

/// No script, style or picture but our own files; nobody may put a page into a frame.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

/// Refuses what was not sent by a page of this server, and adds the headers.
pub(super) async fn guard(request: Request, next: Next) -> Response {
    let is_act = !matches!(*request.method(), Method::GET | Method::HEAD);
    let mut answer = if is_act && !is_own(request.headers(), request.uri()) {
        let language = frame::language(request.headers());
        frame::plain(StatusCode::FORBIDDEN, language, super::text(language).foreign_form)
    } else {
        next.run(request).await
    };
    let headers = answer.headers_mut();
    let own = [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        // Not no-referrer: browsers would then send forms with the origin "null".
        (header::REFERRER_POLICY, "same-origin"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    for (name, value) in own {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.insert("x-robots-tag", HeaderValue::from_static("noindex"));
    headers.insert(header::VARY, HeaderValue::from_static("accept-language, cookie"));
    answer
}

/// Whether a page of this server sent the form, as the browser says it.
fn is_own(headers: &HeaderMap, uri: &Uri) -> bool {
    let said = |name: header::HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    // Browsers say it on encrypted connections and on this machine. "none" is the person, by the address bar.
    if let Some(site) = headers.get("sec-fetch-site").and_then(|value| value.to_str().ok()) {
        return matches!(site, "same-origin" | "none");
    }
    let host = said(header::HOST).or_else(|| uri.authority().map(|authority| authority.as_str()));
    let origin = said(header::ORIGIN).and_then(|origin| origin.split_once("://")).map(|(_, host)| host);
    origin.is_some() && origin == host
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own(said: &[(&'static str, &str)]) -> bool {
        let mut headers = HeaderMap::new();
        for (name, value) in said {
            headers.insert(*name, value.parse().unwrap());
        }
        is_own(&headers, &Uri::from_static("/sign-out"))
    }

    #[test]
    fn a_form_is_taken_from_a_page_of_the_same_origin_only() {
        assert!(own(&[("host", "rounds.example.org"), ("sec-fetch-site", "same-origin")]));
        assert!(!own(&[("host", "rounds.example.org"), ("sec-fetch-site", "same-site")]));
        assert!(!own(&[("sec-fetch-site", "cross-site"), ("host", "a"), ("origin", "http://a")]));
        assert!(own(&[("host", "10.0.0.1:8321"), ("origin", "http://10.0.0.1:8321")]));
        assert!(!own(&[("host", "10.0.0.1:8321"), ("origin", "http://10.0.0.1")]));
        assert!(!own(&[("host", "10.0.0.1:8321"), ("origin", "null")]));
        assert!(!own(&[("host", "10.0.0.1:8321")]), "who does not say where it is from");
    }
}
