//! One port for everything: gRPC, gRPC-web, health, reflection and pages.

use crate::clock::Clock;
use crate::contact_service::Contacts;
use crate::device_service::Devices;
use crate::directory_service::Directory;
use crate::history_service::History;
use crate::limit::{
    self, ACCEPT_PAUSE, CALL_TIMEOUT, DRAIN_TIMEOUT, HEADER_BYTES_MAX, KEEP_ALIVE_INTERVAL,
    KEEP_ALIVE_TIMEOUT, MALFORMED_STREAMS_MAX, REQUEST_BYTES_MAX, RESPONSE_BYTES_MAX,
    STREAMS_PER_CONNECTION_MAX, TLS_HANDSHAKE_TIMEOUT, WATCH_RECHECK,
};
use crate::quota::Quota;
use crate::secret::Random;
use crate::shared::Shared;
use crate::summary_service::Summaries;
use crate::sync::Sync as SyncApi;
use crate::web::pages;
use axum::http::{HeaderName, HeaderValue, Method, header};
use futures_util::StreamExt as _;
use rounds_proto::v1::contact_service_server::ContactServiceServer;
use rounds_proto::v1::device_service_server::DeviceServiceServer;
use rounds_proto::v1::directory_service_server::DirectoryServiceServer;
use rounds_proto::v1::history_service_server::HistoryServiceServer;
use rounds_proto::v1::summary_service_server::SummaryServiceServer;
use rounds_proto::v1::sync_service_server::SyncServiceServer;
use rounds_store::{ContactKeeping, Store};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tonic::codec::CompressionEncoding;
use tonic::service::Routes;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Identity, Server, ServerTlsConfig};
use tower_http::cors::CorsLayer;

/// How to serve.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where to listen. Port 0 takes any that is free.
    pub listen: SocketAddr,
    /// Certificate and key; plain text if none.
    pub tls: Option<Tls>,
    /// Serve plain text also to other machines. For a network in which something else encrypts.
    pub allow_plaintext: bool,
    /// Tell the services and messages to whoever asks.
    pub reflection: bool,
    /// Web pages of these origins may call, such as `https://rounds.example.org`.
    pub origins: Vec<HeaderValue>,
    /// How long devices keep ops that were acknowledged. A backup that is older than this can lose work.
    pub acknowledged_kept: Duration,
    /// How contact data of requests is kept; none is taken if nothing is said.
    pub contacts: Option<ContactKeeping>,
    /// How often a watching device is looked at anew.
    pub watch_recheck: Duration,
}

/// What the server shows to be known by, in PEM.
#[derive(Clone)]
pub struct Tls {
    /// The certificate and those that lead from it to a root.
    pub certificates: Vec<u8>,
    /// Its private key.
    pub key: Vec<u8>,
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tls")
    }
}

impl Config {
    /// A server for this machine only, with everything else as most will want it.
    pub fn local(port: u16) -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], port)),
            tls: None,
            allow_plaintext: false,
            reflection: true,
            origins: Vec::new(),
            acknowledged_kept: Duration::from_secs(7 * 24 * 60 * 60),
            contacts: None,
            watch_recheck: WATCH_RECHECK,
        }
    }
}

/// Why the server did not start.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// Tokens and records would travel in the open.
    #[error(
        "{0} is reachable from other machines, and there is no certificate: give --tls-cert and --tls-key, or \
         --allow-plaintext if something else encrypts"
    )]
    Plaintext(SocketAddr),
    /// The address is in use, or not of this machine.
    #[error("cannot listen on {address}: {source}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        source: std::io::Error,
    },
    /// Certificate or key cannot be used.
    #[error("the certificate or its key cannot be used: {0}")]
    Tls(String),
    /// The protos cannot be shown: a fault in this program.
    #[error("reflection: {0}")]
    Reflection(#[from] tonic_reflection::server::Error),
    /// The key of links cannot be had: no randomness.
    #[error(transparent)]
    Random(#[from] crate::error::Error),
    /// The database does not answer.
    #[error(transparent)]
    Store(#[from] rounds_store::Error),
}

/// A server that answers.
#[derive(Debug)]
pub struct Serving {
    /// Where it listens.
    pub address: SocketAddr,
    task: JoinHandle<Result<(), tonic::transport::Error>>,
}

impl Serving {
    /// Waits until the server has stopped, and calls under way have ended or were given up.
    ///
    /// # Errors
    /// When it stopped otherwise than by being told to.
    pub async fn stopped(self) -> Result<(), String> {
        match self.task.await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(format!("the server failed: {error}")),
            Err(error) => Err(format!("the server failed: {error}")),
        }
    }
}

/// Serves until `shutdown` ends. When this returns, the port is open and calls are answered.
///
/// # Errors
/// When the configuration does not allow to serve, or the address cannot be had.
pub async fn serve(
    config: Config,
    store: Store,
    clock: Clock,
    random: Random,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<Serving, ServeError> {
    if config.tls.is_none() && !config.allow_plaintext && !config.listen.ip().is_loopback() {
        return Err(ServeError::Plaintext(config.listen));
    }
    if let Some(contacts) = &config.contacts {
        // Before anybody can ask: a restored backup brings nothing back that was erased since.
        store.bind_contact_key(&contacts.vault).await?;
        store.erase_due_contacts(contacts, clock.now_ms()).await?;
    }
    let bind_error = |source| ServeError::Bind { address: config.listen, source };
    let listener = TcpListener::bind(config.listen).await.map_err(bind_error)?;
    let address = listener.local_addr().map_err(bind_error)?;

    let link_key = store.link_key(random.key()?).await?;
    let (stop, stopping) = tokio::sync::watch::channel(false);
    let shared = Arc::new(Shared {
        store,
        clock,
        random,
        link_key,
        contacts: config.contacts.clone(),
        partner_turn: tokio::sync::Mutex::new(()),
        sign_ins: Quota::new(limit::SIGN_INS_MAX, limit::SIGN_IN_EVERY),
        jobs: Default::default(),
        exports: tokio::sync::Semaphore::new(limit::EXPORTS_MAX),
        has_tls: config.tls.is_some(),
        partner_calls: Quota::new(limit::PARTNER_CALLS_MAX, limit::PARTNER_CALL_EVERY),
        acknowledged_kept: config.acknowledged_kept,
        watch_recheck: config.watch_recheck,
        stopping: stopping.clone(),
    });
    let app = app(&config, shared).await?;
    let mut server = builder();
    if let Some(tls) = &config.tls {
        let identity = Identity::from_pem(&tls.certificates, &tls.key);
        let tls = ServerTlsConfig::new().identity(identity).timeout(TLS_HANDSHAKE_TIMEOUT);
        server = server.tls_config(tls).map_err(|error| ServeError::Tls(with_causes(&error)))?;
    }
    // The system may be out of files for a while; asking again at once would only burn the processor.
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true)).then(async |accepted| {
        if accepted.is_err() {
            tokio::time::sleep(ACCEPT_PAUSE).await;
        }
        accepted
    });
    let stopped = wait(stopping.clone());
    let serving = server.add_routes(Routes::from(app)).serve_with_incoming_shutdown(incoming, stopped);
    tokio::spawn(async move {
        shutdown.await;
        let _ = stop.send(true); // nobody listens if the server has ended already
    });
    let task = tokio::spawn(async move {
        tokio::select! {
            ended = serving => ended,
            () = async { wait(stopping).await; tokio::time::sleep(DRAIN_TIMEOUT).await } => {
                tracing::warn!("some calls had not ended and were given up");
                Ok(())
            }
        }
    });
    Ok(Serving { address, task })
}

async fn wait(mut stopping: tokio::sync::watch::Receiver<bool>) {
    let _ = stopping.wait_for(|stopping| *stopping).await; // without a sender it stops as well
}

fn builder() -> Server {
    // What is not set here is unlimited: the builder takes hyper's own defaults away.
    Server::builder()
        .accept_http1(true) // browsers without TLS, for pages and gRPC-web
        .max_concurrent_streams(STREAMS_PER_CONNECTION_MAX)
        .http2_max_local_error_reset_streams(Some(MALFORMED_STREAMS_MAX))
        .http2_max_pending_accept_reset_streams(Some(MALFORMED_STREAMS_MAX))
        .http2_max_header_list_size(HEADER_BYTES_MAX)
        .http2_keepalive_interval(Some(KEEP_ALIVE_INTERVAL))
        .http2_keepalive_timeout(Some(KEEP_ALIVE_TIMEOUT))
        .timeout(CALL_TIMEOUT)
}

macro_rules! with_limits {
    ($service:expr) => {
        $service
            .accept_compressed(CompressionEncoding::Zstd)
            .accept_compressed(CompressionEncoding::Gzip)
            .send_compressed(CompressionEncoding::Zstd)
            .send_compressed(CompressionEncoding::Gzip)
            .max_decoding_message_size(REQUEST_BYTES_MAX)
            .max_encoding_message_size(RESPONSE_BYTES_MAX)
    };
}

async fn app(config: &Config, shared: Arc<Shared>) -> Result<axum::Router, ServeError> {
    let (reporter, health) = tonic_health::server::health_reporter();
    reporter.set_serving::<SyncServiceServer<SyncApi>>().await;
    reporter.set_serving::<DeviceServiceServer<Devices>>().await;
    reporter.set_serving::<DirectoryServiceServer<Directory>>().await;
    reporter.set_serving::<HistoryServiceServer<History>>().await;
    reporter.set_serving::<SummaryServiceServer<Summaries>>().await;
    reporter.set_serving::<ContactServiceServer<Contacts>>().await;
    let mut routes = Routes::new(with_limits!(health))
        .add_service(with_limits!(SyncServiceServer::new(SyncApi(shared.clone()))))
        .add_service(with_limits!(DeviceServiceServer::new(Devices(shared.clone()))))
        .add_service(with_limits!(DirectoryServiceServer::new(Directory(shared.clone()))))
        .add_service(with_limits!(HistoryServiceServer::new(History(shared.clone()))))
        .add_service(with_limits!(SummaryServiceServer::new(Summaries(shared.clone()))))
        .add_service(with_limits!(ContactServiceServer::new(Contacts(shared.clone()))));
    if config.reflection {
        let protos = || {
            tonic_reflection::server::Builder::configure()
                .register_encoded_file_descriptor_set(rounds_proto::FILE_DESCRIPTOR_SET)
                .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        };
        routes = routes
            .add_service(with_limits!(protos().build_v1()?))
            .add_service(with_limits!(protos().build_v1alpha()?)); // many tools ask for this one still
    }
    // The web layer would answer pages that are asked for over HTTP/1 with 400, so it is around the calls alone.
    let pages = pages(shared);
    let calls = routes.into_axum_router().route_layer(tonic_web::GrpcWebLayer::new());
    let mut app = calls.merge(pages).fallback(crate::web::not_found);
    if !config.origins.is_empty() {
        app = app.layer(cors(&config.origins));
    }
    Ok(app)
}

/// Lets web pages of these origins call.
fn cors(origins: &[HeaderValue]) -> CorsLayer {
    let shown = ["grpc-status", "grpc-message", "grpc-status-details-bin", "grpc-encoding"];
    let sent =
        ["x-grpc-web", "x-user-agent", "grpc-timeout", "grpc-accept-encoding"].map(HeaderName::from_static);
    CorsLayer::new()
        .allow_origin(origins.to_vec())
        .allow_methods([Method::POST])
        .allow_headers(
            [header::AUTHORIZATION, header::CONTENT_TYPE].into_iter().chain(sent).collect::<Vec<_>>(),
        )
        .expose_headers(shown.map(HeaderName::from_static))
        .max_age(Duration::from_secs(24 * 60 * 60))
}

fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
