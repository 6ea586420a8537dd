//! What every call goes through before it is looked into: whose it is, whether it comes too often, how long it may
//! take, and how much of it is read.

use crate::access;
use crate::error::Error;
use crate::limit::{CALL_BYTES, CALL_TIMEOUT, REQUEST_BYTES_MAX, SMALL_ANSWER_BYTES, TOKEN_KNOWN};
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
use std::future::poll_fn;
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
    let needs_token = needs_token(request.uri().path());
    let request = match needs_token {
        true => shared.known(request).await,
        false => Ok(request),
    };
    let request = match request {
        Ok(request) => request,
        Err(error) => return refused(error),
    };
    // Those who need none have one share together: tokens can be made up.
    let token = access::token_of(request.headers()).ok().filter(|_| needs_token).unwrap_or_default();
    let time = grpc_timeout(request.headers()).map_or(CALL_TIMEOUT, |asked| asked.min(CALL_TIMEOUT));
    match tokio::time::timeout(time, next.run(request)).await {
        Ok(mut answer) => {
            if was_unpacked_in_vain(&answer) {
                shared.charge_bytes(token, REQUEST_BYTES_MAX);
                // Sending it again is no use, half of it may be: as for one that is too large and not packed.
                answer.headers_mut().insert("grpc-status", HeaderValue::from(Code::OutOfRange as u16));
            }
            held(&shared.answers, token, answer).await.unwrap_or_else(refused)
        }
        // What was under way for it is dropped: it does not go on for nobody.
        Err(_) => Status::deadline_exceeded("the time of the call is over").into_http(),
    }
}

/// Keeps room for an answer until the last of it has gone out, or was given up. What was done for the call is done, as
/// when its answer is lost on the way.
///
/// # Errors
/// `BUSY`: its holder has not fetched what was answered before.
async fn held<K: Holder>(answers: &Shares<K>, holder: K, answer: Response) -> Result<Response, Error> {
    if answer.body().is_end_stream() {
        return Ok(answer);
    }
    let (parts, mut rest) = answer.into_parts();
    // The answer of a call is there as a whole; the next of a stream may take its time.
    let first = poll_fn(|context| Poll::Ready(Pin::new(&mut rest).poll_frame(context))).await;
    let first = match first {
        Poll::Ready(Some(Ok(frame))) => Some(Ok(match frame.into_data() {
            Ok(bytes) if bytes.len() >= SMALL_ANSWER_BYTES => {
                let room = answers.take(holder, bytes.len()).ok_or(Error::Busy)?;
                Frame::data(Bytes::from_owner(Held { bytes, _room: room }))
            }
            Ok(bytes) => Frame::data(bytes),
            Err(frame) => frame,
        })),
        Poll::Ready(other) => other,
        Poll::Pending => None,
    };
    Ok(Response::from_parts(parts, Body::new(Begun { first, rest })))
}

/// Bytes of an answer, with their room. The connection lets go of the answer as soon as it has all of it, and of these
/// only once they have gone out.
struct Held<K: Holder> {
    bytes: Bytes,
    _room: Taken<K>,
}

impl<K: Holder> AsRef<[u8]> for Held<K> {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// An answer of which the first is there.
struct Begun {
    first: Option<Result<Frame<Bytes>, axum::Error>>,
    rest: Body,
}

impl HttpBody for Begun {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        match self.first.take() {
            Some(first) => Poll::Ready(Some(first)),
            None => Pin::new(&mut self.rest).poll_frame(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.first.is_none() && self.rest.is_end_stream()
    }
}

/// Whether a message turned out to be too large only when it had been unpacked as far as it may be.
fn was_unpacked_in_vain(answer: &Response) -> bool {
    let said = |name| answer.headers().get(name).map_or(&b""[..], |value| value.as_bytes());
    said("grpc-status") == b"8" && said("grpc-message").starts_with(b"Error%20decompressing:%20size%20limit")
}

/// Whoever asks for a page.
pub(crate) async fn page(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    let uri = request.uri().clone();
    if uri.query().is_some_and(|query| query.contains("%00")) {
        // Neither database finds anything by a NUL character, and PostgreSQL does not even look.
        return (StatusCode::BAD_REQUEST, "There is no such page.\n").into_response();
    }
    match shared.received(request) {
        Ok(request) => match tokio::time::timeout(CALL_TIMEOUT, next.run(request)).await {
            Ok(answer) => answer,
            Err(_) => (StatusCode::SERVICE_UNAVAILABLE, took_too_long(uri.path())).into_response(),
        },
        Err(Error::RateLimited(wait)) => too_often(wait, "Too many calls: wait a little.\n"),
        Err(_) => (StatusCode::SERVICE_UNAVAILABLE, "This does not work now: try again.\n").into_response(),
    }
}

/// What helps whoever asked for a page that took too long.
fn took_too_long(path: &str) -> &'static str {
    match path {
        "/download" => {
            "Writing this file takes too long for a page: choose a shorter period or a smaller area, or ask whoever \
             runs the server for a file of `rounds export`.\n"
        }
        _ => "This took too long: try again.\n",
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
        let now = Instant::now();
        if !self.tokens.knows(token, now) {
            access::identify(&self.store, token).await?;
            self.tokens.learn(token, now);
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

    /// Counts a call of whoever has this token as more than one, for so many bytes of its message.
    pub(crate) fn charge_bytes(&self, token: [u8; 32], bytes: usize) {
        if self.rate_limits && bytes >= CALL_BYTES {
            let calls = u32::try_from(bytes / CALL_BYTES).unwrap_or(u32::MAX);
            self.device_calls.charge(token, calls, self.uptime_ms());
        }
    }
}

/// Tokens that somebody had a moment ago.
#[derive(Default)]
pub(crate) struct KnownTokens(Mutex<HashMap<[u8; 32], Instant>>);

impl KnownTokens {
    fn knows(&self, token: [u8; 32], now: Instant) -> bool {
        let tokens = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        tokens.get(&token).is_some_and(|since| now.duration_since(*since) < TOKEN_KNOWN)
    }

    fn learn(&self, token: [u8; 32], now: Instant) {
        let mut tokens = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if tokens.len() >= TOKENS_MAX {
            tokens.clear(); // they are looked up once more
        }
        tokens.insert(token, now);
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
    fn a_token_is_looked_up_again_after_a_while() {
        let (tokens, now) = (KnownTokens::default(), Instant::now());
        assert!(!tokens.knows([1; 32], now));
        tokens.learn([1; 32], now);
        assert!(tokens.knows([1; 32], now) && !tokens.knows([2; 32], now));
        assert!(!tokens.knows([1; 32], now + TOKEN_KNOWN));
    }

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

    #[tokio::test]
    async fn an_answer_has_its_room_until_the_last_of_it_has_gone_out() {
        let answers = Shares::new(5 * SMALL_ANSWER_BYTES, 3 * SMALL_ANSWER_BYTES);
        let answer = |holder, bytes: usize| held(&answers, holder, Response::new(Body::from(vec![7; bytes])));
        let large = 2 * SMALL_ANSWER_BYTES;
        let one = answer("one", large).await.unwrap();
        assert!(matches!(answer("one", large).await, Err(Error::Busy)), "its share is 3");
        let other = answer("other", large).await.unwrap();
        assert!(matches!(answer("third", large).await, Err(Error::Busy)), "there are 5");
        assert!(answer("third", SMALL_ANSWER_BYTES - 1).await.is_ok(), "small ones are not counted");
        drop(other);

        let mut body = one.into_body();
        let frame = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await.unwrap().unwrap();
        let mut left = frame.into_data().unwrap();
        assert!(body.is_end_stream());
        drop(body);
        assert_eq!(left.split_off(1).len(), large - 1, "what has gone out of it");
        assert!(answer("one", large).await.is_err(), "the connection still holds the rest");
        drop(left);
        assert!(answer("one", large).await.is_ok());
    }

    #[tokio::test]
    async fn an_answer_goes_out_as_it_was_made() {
        let answers = Shares::new(usize::MAX, usize::MAX);
        for text in ["", "a few bytes", &"many bytes".repeat(SMALL_ANSWER_BYTES)] {
            let answer = held(&answers, "one", Response::new(Body::from(text.to_owned()))).await.unwrap();
            assert_eq!(axum::body::to_bytes(answer.into_body(), usize::MAX).await.unwrap(), text);
        }
    }

    #[test]
    fn a_file_that_takes_too_long_is_to_be_had_in_another_way() {
        assert!(took_too_long("/download").contains("rounds export"));
        assert!(took_too_long("/").contains("try again"));
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
