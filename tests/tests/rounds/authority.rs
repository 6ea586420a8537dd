//! Partners and mail servers whose certificates are from an authority of the operator's own.

use super::channel::{Site, mail_options};
use axum::extract::State;
use axum::http::StatusCode;
use axum::serve::Listener;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rounds_store::DeliveryState;
use rounds_tests::{MailServer, TestDatabase};
use rounds_worker::{ChannelOptions, Channels};
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{self, ServerConfig};
use tokio_rustls::server::TlsStream;

/// An authority, and what it certified: that somebody is `localhost`.
struct Authority {
    /// The authority's own certificate, as PEM.
    trusted: Vec<u8>,
    certificate: PathBuf,
    key: PathBuf,
    _files: tempfile::TempDir,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "The city's own authority");
        let ca_key = KeyPair::generate().unwrap();
        let trusted = params.self_signed(&ca_key).unwrap().pem().into_bytes();
        let issuer = Issuer::new(params, ca_key);
        let key = KeyPair::generate().unwrap();
        let certified =
            CertificateParams::new(vec!["localhost".to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();
        let files = tempfile::tempdir().unwrap();
        let [certificate, key_file] = ["certificate.pem", "key.pem"].map(|name| files.path().join(name));
        std::fs::write(&certificate, certified.pem()).unwrap();
        std::fs::write(&key_file, key.serialize_pem()).unwrap();
        Self { trusted, certificate, key: key_file, _files: files }
    }

    fn acceptor(&self) -> TlsAcceptor {
        let certificate = CertificateDer::from_pem_file(&self.certificate).unwrap();
        let key = PrivateKeyDer::from_pem_file(&self.key).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .unwrap();
        TlsAcceptor::from(Arc::new(config))
    }
}

/// Takes connections over TLS; those that come to nothing are let go.
struct Encrypted(TcpListener, TlsAcceptor);

impl Listener for Encrypted {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, SocketAddr) {
        loop {
            let (stream, address) = self.0.accept().await.unwrap();
            if let Ok(stream) = self.1.accept(stream).await {
                return (stream, address);
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

/// A web hook over TLS: its URL, and what was posted there.
async fn receiver(authority: &Authority) -> (String, mpsc::UnboundedReceiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://localhost:{}/hook", listener.local_addr().unwrap().port());
    let (sender, posted) = mpsc::unbounded_channel();
    let take = async |State(sender): State<mpsc::UnboundedSender<String>>, body: String| {
        sender.send(body).unwrap();
        StatusCode::NO_CONTENT
    };
    let app = axum::Router::new().route("/hook", axum::routing::post(take)).with_state(sender);
    let encrypted = Encrypted(listener, authority.acceptor());
    tokio::spawn(async move { axum::serve(encrypted, app).await.unwrap() });
    (url, posted)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_web_hook_with_a_certificate_of_a_named_authority_is_called_and_without_it_is_not() {
    let authority = Authority::new();
    let (url, mut posted) = receiver(&authority).await;
    for (trusted, expected) in [
        (None, DeliveryState::Failing),
        (Some(Authority::new().trusted), DeliveryState::Failing),
        (Some(authority.trusted.clone()), DeliveryState::Sent),
    ] {
        let database = TestDatabase::sqlite().await;
        let site = Site::on(&database, &url, "").await;
        let worker =
            site.worker_telling(ChannelOptions { trusted_certificates: trusted, ..site.telling() }).await;
        site.refer(site.referred_request().await).await;
        worker.drained().await.unwrap();
        let delivery = site.only_delivery().await;
        assert_eq!(delivery.state, expected, "{delivery:?}");
        if expected == DeliveryState::Failing {
            assert!(delivery.last_error.contains("certificate"), "{}", delivery.last_error);
            assert!(posted.try_recv().is_err(), "nothing was said to a stranger");
        } else {
            assert!(posted.try_recv().unwrap().contains("No water since this morning."));
        }
        site.close(worker).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn mail_goes_to_a_server_with_a_certificate_of_a_named_authority_and_to_no_other() {
    let authority = Authority::new();
    let (certificate, key) = (&authority.certificate, &authority.key);
    let mut wrapped = MailServer::start_wrapped(certificate, key).await;
    let mut starttls = MailServer::start_with_starttls(certificate, key).await;
    let wrapped_url = format!("smtps://localhost:{}", wrapped.port());
    let starttls_url = format!("smtp://localhost:{}?tls=required", starttls.port());
    for (server, url) in [(&mut wrapped, wrapped_url), (&mut starttls, starttls_url)] {
        for (trusted, expected) in [
            (None, DeliveryState::Failing),
            (Some(Authority::new().trusted), DeliveryState::Failing),
            (Some(authority.trusted.clone()), DeliveryState::Sent),
        ] {
            let database = TestDatabase::sqlite().await;
            let site = Site::on(&database, "", "desk@water.example.org").await;
            let telling = ChannelOptions {
                mail: Some(mail_options(url.clone())),
                trusted_certificates: trusted,
                ..site.telling()
            };
            let worker = site.worker_telling(telling).await;
            site.refer(site.referred_request().await).await;
            worker.drained().await.unwrap();
            let delivery = site.only_delivery().await;
            assert_eq!(delivery.state, expected, "{url}: {delivery:?}");
            let mails = server.rest().await;
            if expected == DeliveryState::Failing {
                assert!(delivery.last_error.contains("certificate"), "{}", delivery.last_error);
                assert!(mails.is_empty(), "nothing was said to a stranger");
            } else {
                assert_eq!(mails.len(), 1);
                assert_eq!(mails[0]["to"], serde_json::json!(["desk@water.example.org"]));
            }
            site.close(worker).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mail_server_that_cannot_encrypt_gets_no_mail_where_encryption_is_needed() {
    let mut server = MailServer::start().await;
    let database = TestDatabase::sqlite().await;
    let site = Site::on(&database, "", "desk@water.example.org").await;
    let url = format!("smtp://localhost:{}?tls=required", server.port());
    let telling = ChannelOptions { mail: Some(mail_options(url)), ..site.telling() };
    let worker = site.worker_telling(telling).await;
    site.refer(site.referred_request().await).await;
    worker.drained().await.unwrap();
    let delivery = site.only_delivery().await;
    assert_ne!(delivery.state, DeliveryState::Sent, "{delivery:?}");
    assert_eq!(server.rest().await.len(), 0);
    site.close(worker).await;
}

#[tokio::test]
async fn certificates_that_cannot_be_trusted_are_named_at_the_start() {
    let database = TestDatabase::sqlite().await;
    let site = Site::on(&database, "", "").await;
    let telling = ChannelOptions { trusted_certificates: Some(b"no certificate".to_vec()), ..site.telling() };
    let refused = Channels::new(telling).unwrap_err();
    assert!(refused.contains("BEGIN CERTIFICATE"), "{refused}");
    site.store.close().await;
}
