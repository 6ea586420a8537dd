//! What every call goes through before it is looked into: whose it is, whether it comes too often, how long it may
//! take, and how much of it is read.

use crate::access;
use crate::error::Error;
use crate::limit::{CALL_TIMEOUT, TOKEN_KNOWN};
use crate::listen::{Peer, network};
use crate::share::{Holder, Shares, Taken};
use crate::shared::Shared;
use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use hyper::body::{Frame, SizeHint};
use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::time::Instant;
use tonic::{Code, Status};

/// Tokens that are remembered to be known.
const TOKENS_MAX: usize = 100_000;

/// Where a call comes from, as far as calls are counted.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Origin(pub(crate) IpAddr);

/// Whatever calls a service.
pub(crate) async fn call(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    let refused = |error: Error| Status::from(error).into_http::<Body>();
    let request = match shared.received(request) {
        Ok(request) => request,
        Err(error) => return refused(error),
    };
    let request = match needs_token(request.uri().path()) {
        true => shared.known(request).await,
        false => Ok(request),
    };
    let request = match request {
        Ok(request) => request,
        Err(error) => return refused(error),
    };
    let time = grpc_timeout(request.headers()).map_or(CALL_TIMEOUT, |asked| asked.min(CALL_TIMEOUT));
    match tokio::time::timeout(time, next.run(request)).await {
        Ok(answer) => too_large(answer),
        // What was under way for it is dropped: it does not go on for nobody.
        Err(_) => Status::deadline_exceeded("the time of the call is over").into_http(),
    }
}

/// A message that is too large is out of range, packed or not: sending it again is no use, half of it may be.
fn too_large(mut answer: Response) -> Response {
    let said = |name| answer.headers().get(name).map_or(&b""[..], |value| value.as_bytes());
    if said("grpc-status") == b"8"
        && said("grpc-message").starts_with(b"Error%20decompressing:%20size%20limit")
    {
        answer.headers_mut().insert("grpc-status", HeaderValue::from(Code::OutOfRange as u16));
    }
    answer
}

/// Whoever asks for a page.
pub(crate) async fn page(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    match shared.received(request) {
        Ok(request) => match tokio::time::timeout(CALL_TIMEOUT, next.run(request)).await {
            Ok(answer) => answer,
            Err(_) => (StatusCode::SERVICE_UNAVAILABLE, "This took too long: try again.\n").into_response(),
        },
        Err(Error::RateLimited(wait)) => too_often(wait, "Too many calls: wait a little.\n"),
        Err(_) => (StatusCode::SERVICE_UNAVAILABLE, "This does not work now: try again.\n").into_response(),
    }
}

/// Says when to come back.
pub(crate) fn too_often(wait: Duration, page: impl IntoResponse) -> Response {
    let seconds = wait.as_millis().div_ceil(1_000).to_string();
    (StatusCode::TOO_MANY_REQUESTS, [(header::RETRY_AFTER, seconds)], page).into_response()
}

/// Everything of `rounds.v1` but the call that makes a token.
fn needs_token(path: &str) -> bool {
    path.starts_with("/rounds.v1.") && path != "/rounds.v1.DeviceService/Enrol"
}

impl Shared {
    /// Counts the call, and what is read of it from now on.
    fn received(&self, mut request: Request) -> Result<Request, Error> {
        let peer = request.extensions().get::<Peer>().map_or(Ipv4Addr::LOCALHOST.into(), |peer| peer.0);
        let origin = Origin(network(origin(request.headers(), peer, self.proxies)));
        if self.rate_limits {
            self.address_calls.take(origin, self.uptime_ms()).map_err(Error::RateLimited)?;
        }
        request.extensions_mut().insert(origin);
        metered(request, &self.reading, origin.0)
    }

    /// Looks whether somebody has the token, before anything is read that can be large. What a call may do is looked at
    /// when it is there as a whole.
    async fn known(&self, request: Request) -> Result<Request, Error> {
        let token = access::token_of(request.headers())?;
        self.count_call(token)?;
        if !self.tokens.knows(token) {
            access::identify(&self.store, token).await?;
            self.tokens.learn(token);
        }
        metered(request, &self.reading_of_token, token)
    }

    /// Counts a call of whoever has this token.
    ///
    /// # Errors
    /// `RATE_LIMITED`.
    pub(crate) fn count_call(&self, token: [u8; 32]) -> Result<(), Error> {
        match self.rate_limits {
            true => self.device_calls.take(token, self.uptime_ms()).map_err(Error::RateLimited),
            false => Ok(()),
        }
    }
}

/// Tokens that somebody had a moment ago.
#[derive(Default)]
pub(crate) struct KnownTokens(Mutex<HashMap<[u8; 32], Instant>>);

impl KnownTokens {
    fn knows(&self, token: [u8; 32]) -> bool {
        let tokens = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        tokens.get(&token).is_some_and(|since| since.elapsed() < TOKEN_KNOWN)
    }

    fn learn(&self, token: [u8; 32]) {
        let mut tokens = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if tokens.len() >= TOKENS_MAX {
            tokens.clear(); // they are looked up once more
        }
        tokens.insert(token, Instant::now());
    }
}

/// Who calls: the peer, or whom the outermost of so many trusted proxies says that it got the call from.
fn origin(headers: &HeaderMap, peer: IpAddr, proxies: usize) -> IpAddr {
    if proxies == 0 {
        return peer;
    }
    let said = headers.get_all("x-forwarded-for").into_iter().filter_map(|value| value.to_str().ok());
    let said: Vec<&str> = said.flat_map(|value| value.split(',')).map(str::trim).collect();
    // Each proxy adds whom it got the call from; what stands before that, anybody can write.
    let origin = said.len().checked_sub(proxies).and_then(|at| said[at].parse().ok());
    origin.unwrap_or(peer)
}

/// How long the caller waits for an answer, as it says itself: `10S`.
fn grpc_timeout(headers: &HeaderMap) -> Option<Duration> {
    let said = headers.get("grpc-timeout")?.to_str().ok()?;
    let (number, unit) = said.split_at_checked(said.len().checked_sub(1)?)?;
    let number: u64 = number.parse().ok().filter(|_| number.len() <= 8)?;
    Some(match unit {
        "H" => Duration::from_secs(number * 60 * 60),
        "M" => Duration::from_secs(number * 60),
        "S" => Duration::from_secs(number),
        "m" => Duration::from_millis(number),
        "u" => Duration::from_micros(number),
        "n" => Duration::from_nanos(number),
        _ => return None,
    })
}

/// Counts what is read of the request from now on as its holder's.
fn metered<K: Holder>(request: Request, reading: &Shares<K>, holder: K) -> Result<Request, Error> {
    let reading = reading.take(holder, 0).ok_or(Error::Busy)?;
    Ok(request.map(|body| Body::new(Metered { body, reading })))
}

/// A request that is read only as long as there is room for what was read.
struct Metered<K: Holder> {
    body: Body,
    reading: Taken<K>,
}

impl<K: Holder> HttpBody for Metered<K> {
    type Data = Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let Some(frame) = ready!(Pin::new(&mut self.body).poll_frame(context)) else {
            return Poll::Ready(None);
        };
        let frame = frame?;
        let bytes = frame.data_ref().map_or(0, Bytes::len);
        if !self.reading.more(bytes) {
            return Poll::Ready(Some(Err(Status::from(Error::Busy).into())));
        }
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caller_behind_proxies_is_whom_the_outermost_trusted_one_names() {
        let peer: IpAddr = "10.0.0.1".parse().unwrap();
        let of = |said: &[&'static str], proxies| {
            let mut headers = HeaderMap::new();
            for one in said {
                headers.append("x-forwarded-for", one.parse().unwrap());
            }
            origin(&headers, peer, proxies).to_string()
        };
        assert_eq!(of(&["192.0.2.1"], 0), "10.0.0.1", "nobody is trusted unasked");
        assert_eq!(of(&["192.0.2.1"], 1), "192.0.2.1");
        assert_eq!(
            of(&["1.1.1.1, 192.0.2.1"], 1),
            "192.0.2.1",
            "what the caller wrote itself does not count"
        );
        assert_eq!(of(&["1.1.1.1, 192.0.2.1", "10.0.0.2"], 2), "192.0.2.1");
        assert_eq!(of(&[], 1), "10.0.0.1");
        assert_eq!(of(&["nonsense"], 1), "10.0.0.1");
    }

    #[test]
    fn a_callers_patience_is_read_as_grpc_writes_it() {
        let of = |said: &'static str| {
            grpc_timeout(&HeaderMap::from_iter([("grpc-timeout".parse().unwrap(), said.parse().unwrap())]))
        };
        assert_eq!(of("10S"), Some(Duration::from_secs(10)));
        assert_eq!(of("2M"), Some(Duration::from_secs(120)));
        assert_eq!(of("250m"), Some(Duration::from_millis(250)));
        assert_eq!(of("99999999H"), Some(Duration::from_secs(99_999_999 * 3_600)));
        for odd in ["", "S", "10", "10X", "-1S", "999999999S", "十S"] {
            let headers = HeaderMap::from_iter([(
                "grpc-timeout".parse().unwrap(),
                axum::http::HeaderValue::from_bytes(odd.as_bytes()).unwrap(),
            )]);
            assert_eq!(grpc_timeout(&headers), None, "{odd}");
        }
    }
}
