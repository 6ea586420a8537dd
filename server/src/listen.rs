//! Takes connections: how many, of whom, and for how long. What is said on them is looked at elsewhere.

use crate::limit::{
    ACCEPT_PAUSE, ADDRESS_CONNECTION_EVERY, ADDRESS_CONNECTIONS_AT_ONCE, ADDRESS_SHARE, CONNECTION_AGE_MAX,
    CONNECTION_GRACE, CONNECTION_WINDOW_BYTES, CONNECTIONS_MAX, FIRST_CALL_TIMEOUT, HEADER_BYTES_MAX,
    HEADER_TIMEOUT, HTTP1_HEADER_BYTES_MAX, IDLE_TIMEOUT, KEEP_ALIVE_INTERVAL, KEEP_ALIVE_TIMEOUT,
    MALFORMED_STREAMS_MAX, STALL_TIMEOUT, STREAM_WINDOW_BYTES, STREAMS_PER_CONNECTION_MAX,
    TLS_HANDSHAKE_TIMEOUT,
};
use crate::quota::Quota;
use crate::serve::wait;
use crate::share::Shares;
use axum::Router;
use axum::body::{Body, Bytes, HttpBody};
use axum::http::Request;
use hyper::body::{Frame, Incoming, SizeHint};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, Ipv6Addr};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, Sleep, sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tower_service::Service as _;

/// How many connections there may be, and for how long.
#[derive(Clone, Debug)]
pub struct ConnectionLimits {
    /// Connections at a time.
    pub connections_max: usize,
    /// Connections of one address at a time.
    pub per_address_max: usize,
    /// Connections that one address can open at once,
    pub per_address_at_once: u32,
    /// and how long until there is one more.
    pub per_address_every: Duration,
    /// How long agreeing on TLS may take.
    pub tls_timeout: Duration,
    /// How long the headers of a call over HTTP/1 may take.
    pub header_timeout: Duration,
    /// When a connection is closed on which no call has come.
    pub first_call_timeout: Duration,
    /// When a connection is closed on which nothing goes on.
    pub idle_timeout: Duration,
    /// When a connection is closed though something goes on, but for a tenth that chance adds.
    pub age_max: Duration,
    /// How long what goes on may go on, on a connection that is to be closed.
    pub grace: Duration,
    /// When a connection is given up that takes nothing of what is sent.
    pub stall_timeout: Duration,
    /// How often a connection over HTTP/2 is asked for a sign of life,
    pub keep_alive_every: Duration,
    /// and when it is closed because none comes.
    pub keep_alive_timeout: Duration,
}

impl ConnectionLimits {
    /// So many connections, of one address a quarter of them.
    pub fn of(connections_max: usize) -> Self {
        Self {
            connections_max,
            per_address_max: connections_max.div_ceil(ADDRESS_SHARE),
            per_address_at_once: ADDRESS_CONNECTIONS_AT_ONCE,
            per_address_every: ADDRESS_CONNECTION_EVERY,
            tls_timeout: TLS_HANDSHAKE_TIMEOUT,
            header_timeout: HEADER_TIMEOUT,
            first_call_timeout: FIRST_CALL_TIMEOUT,
            idle_timeout: IDLE_TIMEOUT,
            age_max: CONNECTION_AGE_MAX,
            grace: CONNECTION_GRACE,
            stall_timeout: STALL_TIMEOUT,
            keep_alive_every: KEEP_ALIVE_INTERVAL,
            keep_alive_timeout: KEEP_ALIVE_TIMEOUT,
        }
    }
}

impl Default for ConnectionLimits {
    fn default() -> Self {
        Self::of(CONNECTIONS_MAX)
    }
}

/// Whom a connection is with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer(pub(crate) IpAddr);

/// What connections lead to.
#[derive(Clone)]
pub(crate) struct Door {
    pub(crate) app: Router,
    pub(crate) tls: Option<TlsAcceptor>,
    pub(crate) limits: ConnectionLimits,
    /// Between 0 and 1, by chance: spreads the ends of connections.
    pub(crate) chance: f64,
    pub(crate) stopping: watch::Receiver<bool>,
}

impl Door {
    /// Takes connections until the server is told to stop, and then waits until the last one has ended.
    pub(crate) async fn keep(self, listener: TcpListener) {
        let builder = Arc::new(builder(&self.limits));
        let seats = Shares::new(self.limits.connections_max, self.limits.per_address_max);
        let opened = Quota::new(self.limits.per_address_at_once, self.limits.per_address_every);
        let started = Instant::now();
        let (open, mut all_closed) = mpsc::channel::<()>(1);
        loop {
            let accepted = tokio::select! {
                () = wait(self.stopping.clone()) => break,
                accepted = listener.accept() => accepted,
            };
            let (stream, peer) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    // The system may be out of files for a while; asking again at once would only burn the processor.
                    tracing::warn!(%error, "a connection could not be taken");
                    sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let peer = Peer(peer.ip().to_canonical());
            let uptime_ms = i64::try_from(started.elapsed().as_millis()).unwrap_or(i64::MAX);
            if opened.take(network(peer.0), uptime_ms).is_err() {
                tracing::debug!(peer = %peer.0, "too many new connections");
                continue; // it is closed
            }
            let Some(seat) = seats.take(network(peer.0), 1) else {
                tracing::debug!(peer = %peer.0, "too many connections");
                continue; // it is closed
            };
            let _ = stream.set_nodelay(true); // it is only slower without
            let (door, builder, open) = (self.clone(), builder.clone(), open.clone());
            tokio::spawn(async move {
                let line = Line { stream, stalled: None, patience: door.limits.stall_timeout };
                if let Some(stream) = door.agree(line).await {
                    door.converse(stream, peer, &builder).await;
                }
                drop((seat, open));
            });
        }
        drop((listener, open));
        let _ = all_closed.recv().await; // nobody says anything: it ends when all have let go
    }

    /// Agrees on TLS, where that is wanted. `None`: it came to nothing.
    async fn agree(&self, line: Line<TcpStream>) -> Option<Box<dyn Stream>> {
        let Some(tls) = &self.tls else { return Some(Box::new(line)) };
        match timeout(self.limits.tls_timeout, tls.accept(line)).await {
            Ok(Ok(stream)) => return Some(Box::new(stream)),
            Ok(Err(error)) => tracing::debug!(%error, "no TLS was agreed on"),
            Err(_) => tracing::debug!("agreeing on TLS took too long"),
        }
        None
    }

    async fn converse(&self, stream: Box<dyn Stream>, peer: Peer, builder: &auto::Builder<TokioExecutor>) {
        let calls = Arc::new(Calls::default());
        let service = service_fn(|request: Request<Incoming>| {
            let (mut app, under_way) = (self.app.clone(), Calls::begin(&calls));
            async move {
                let mut request = request.map(Body::new);
                request.extensions_mut().insert(peer);
                let answer = app.call(request).await?;
                Ok::<_, Infallible>(answer.map(|body| Tracked { body, _under_way: under_way }))
            }
        });
        let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
        let grace = tokio::select! {
            ended = &mut connection => return tell(ended),
            grace = self.time_to_close(&calls) => {
                connection.as_mut().graceful_shutdown();
                grace
            }
        };
        match timeout(grace, connection).await {
            Ok(ended) => tell(ended),
            Err(_) => tracing::debug!("a connection was closed though something went on"),
        }
    }

    /// Waits until a connection has been open for long enough, or without any call for too long. Answers how long it may
    /// take to end.
    async fn time_to_close(&self, calls: &Calls) -> Duration {
        let age = self.limits.age_max + self.limits.age_max.mul_f64(self.chance / 10.0);
        let quiet = async {
            let mut begun = 0;
            sleep(self.limits.first_call_timeout).await;
            while calls.under_way.load(Ordering::Relaxed) > 0 || calls.begun.load(Ordering::Relaxed) != begun
            {
                begun = calls.begun.load(Ordering::Relaxed);
                sleep(self.limits.idle_timeout).await;
            }
        };
        tokio::select! {
            () = sleep(age) => self.limits.grace,
            () = quiet => self.limits.first_call_timeout, // the other side says that it heard, and nothing else
            () = wait(self.stopping.clone()) => self.limits.grace,
        }
    }
}

fn tell(ended: Result<(), Box<dyn std::error::Error + Send + Sync>>) {
    if let Err(error) = ended {
        tracing::debug!(error = &*error as &dyn std::error::Error, "a connection broke");
    }
}

fn builder(limits: &ConnectionLimits) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    // Browsers without TLS, for pages and gRPC-web.
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_timeout)
        .max_buf_size(HTTP1_HEADER_BYTES_MAX);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_PER_CONNECTION_MAX)
        .max_local_error_reset_streams(MALFORMED_STREAMS_MAX)
        .max_pending_accept_reset_streams(MALFORMED_STREAMS_MAX)
        .max_header_list_size(HEADER_BYTES_MAX)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .keep_alive_interval(limits.keep_alive_every)
        .keep_alive_timeout(limits.keep_alive_timeout);
    builder
}

/// Whose an address is: of IPv6, whoever has one has 2^64 of them.
pub(crate) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into(),
        v4 => v4,
    }
}

/// The calls of a connection.
#[derive(Default)]
struct Calls {
    begun: AtomicUsize,
    under_way: AtomicUsize,
}

impl Calls {
    fn begin(calls: &Arc<Self>) -> UnderWay {
        calls.begun.fetch_add(1, Ordering::Relaxed);
        calls.under_way.fetch_add(1, Ordering::Relaxed);
        UnderWay(calls.clone())
    }
}

/// A call, until its answer is told or was given up.
struct UnderWay(Arc<Calls>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Ordering::Relaxed);
    }
}

/// An answer of which the connection knows that it is under way.
struct Tracked {
    body: Body,
    _under_way: UnderWay,
}

impl HttpBody for Tracked {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A line with or without TLS: of one type, so that the program holds the code of a connection once.
trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// A line that breaks when what is written to it does not go away.
struct Line<S> {
    stream: S,
    stalled: Option<Pin<Box<Sleep>>>,
    patience: Duration,
}

impl<S> Line<S> {
    /// Looks at how writing went.
    fn judge<T>(&mut self, context: &mut Context<'_>, went: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if went.is_ready() {
            self.stalled = None;
            return went;
        }
        let patience = self.patience;
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep(patience)));
        stalled.as_mut().poll(context).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Line<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Line<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let went = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.judge(context, went)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let went = Pin::new(&mut self.stream).poll_flush(context);
        self.judge(context, went)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let went = Pin::new(&mut self.stream).poll_shutdown(context);
        self.judge(context, went)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let went = Pin::new(&mut self.stream).poll_write_vectored(context, pieces);
        self.judge(context, went)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_one_address_of_ipv6_has_all_of_its_network() {
        let of = |text: &str| network(text.parse().unwrap());
        assert_eq!(of("2001:db8:1:2::7"), of("2001:db8:1:2:ffff::1"));
        assert_ne!(of("2001:db8:1:2::7"), of("2001:db8:1:3::7"));
        assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
        assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
    }
}
