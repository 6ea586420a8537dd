//! One port for everything: gRPC, gRPC-web, health, reflection and pages.

use crate::clock::Clock;
use crate::contact_service::Contacts;
use crate::device_service::Devices;
use crate::directory_service::Directory;
use crate::edge;
use crate::history_service::History;
use crate::limit::{
    DRAIN_TIMEOUT, REQUEST_BYTES_MAX, RESPONSE_BYTES_MAX, SMALL_REQUEST_BYTES_MAX, WATCH_RECHECK,
};
use crate::listen::{ConnectionLimits, Door};
use crate::secret::Random;
use crate::shared::Shared;
use crate::summary_service::Summaries;
use crate::sync::Sync as SyncApi;
use crate::web::pages;
use axum::http::{HeaderName, HeaderValue, Method, header};
use axum::middleware;
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
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls;
use tokio_rustls::rustls::pki_types::pem::{self, PemObject as _};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tonic::codec::CompressionEncoding;
use tonic::service::Routes;
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
    /// How many connections there may be, and for how long.
    pub connections: ConnectionLimits,
    /// Limit how often devices and addresses call, and addresses connect.
    pub rate_limits: bool,
    /// So many proxies stand before the server: who calls is whom the outermost names in `x-forwarded-for`. All
    /// connections are with them then, so no address is kept to a share or a pace of those.
    pub proxies: usize,
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
            connections: ConnectionLimits::default(),
            rate_limits: true,
            proxies: 0,
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
    task: JoinHandle<()>,
}

impl Serving {
    /// Waits until the server has stopped, and calls under way have ended or were given up.
    ///
    /// # Errors
    /// When it stopped otherwise than by being told to.
    pub async fn stopped(self) -> Result<(), String> {
        self.task.await.map_err(|error| format!("the server failed: {error}"))
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

    let key = random.key()?;
    let chance = f64::from(key[0]) / f64::from(u8::MAX);
    let link_key = store.link_key(key).await?;
    let (stop, stopping) = tokio::sync::watch::channel(false);
    let shared = Arc::new(Shared::new(&config, store, clock, random, link_key, stopping.clone()));
    let mut limits = config.connections.clone();
    if config.proxies > 0 {
        limits.per_address_max = limits.connections_max;
    }
    if config.proxies > 0 || !config.rate_limits {
        limits.per_address_at_once = u32::MAX;
    }
    let tls = config.tls.as_ref().map(acceptor).transpose()?;
    let app = app(&config, shared).await?;
    let door = Door { app, tls, limits, chance, stopping: stopping.clone() };
    tokio::spawn(async move {
        shutdown.await;
        let _ = stop.send(true); // nobody listens if the server has ended already
    });
    let task = tokio::spawn(async move {
        tokio::select! {
            () = door.keep(listener) => {}
            () = async { wait(stopping).await; tokio::time::sleep(DRAIN_TIMEOUT).await } => {
                tracing::warn!("some calls had not ended and were given up");
            }
        }
    });
    Ok(Serving { address, task })
}

/// Waits until the server is told to stop.
pub(crate) async fn wait(mut stopping: tokio::sync::watch::Receiver<bool>) {
    let _ = stopping.wait_for(|stopping| *stopping).await; // without a sender it stops as well
}

/// What agrees on TLS with whoever comes.
fn acceptor(tls: &Tls) -> Result<TlsAcceptor, ServeError> {
    let unusable = |error: &dyn std::error::Error| ServeError::Tls(with_causes(error));
    let certificates = CertificateDer::pem_slice_iter(&tls.certificates)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| unusable(&error))?;
    if certificates.is_empty() {
        return Err(ServeError::Tls("there is no certificate in PEM".to_owned()));
    }
    let key = PrivateKeyDer::from_pem_slice(&tls.key).map_err(|error| match error {
        pem::Error::NoItemsFound => ServeError::Tls("there is no private key in PEM".to_owned()),
        error => unusable(&error),
    })?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(certificates, key))
        .map_err(|error| unusable(&error))?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

macro_rules! with_limits {
    ($service:expr) => {
        with_limits!($service, SMALL_REQUEST_BYTES_MAX)
    };
    ($service:expr, $request_bytes_max:expr) => {
        $service
            .accept_compressed(CompressionEncoding::Zstd)
            .accept_compressed(CompressionEncoding::Gzip)
            .send_compressed(CompressionEncoding::Zstd)
            .send_compressed(CompressionEncoding::Gzip)
            .max_decoding_message_size($request_bytes_max)
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
        .add_service(with_limits!(SyncServiceServer::new(SyncApi(shared.clone())), REQUEST_BYTES_MAX))
        .add_service(with_limits!(DeviceServiceServer::new(Devices(shared.clone()))))
        .add_service(with_limits!(DirectoryServiceServer::new(Directory(shared.clone())), REQUEST_BYTES_MAX))
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
    let pages = pages(shared.clone());
    let calls = routes
        .into_axum_router()
        .route_layer(middleware::from_fn_with_state(shared, edge::call))
        .route_layer(tonic_web::GrpcWebLayer::new());
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
