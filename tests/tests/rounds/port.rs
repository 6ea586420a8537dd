//! What else is on the port: health, reflection, gRPC-web, compression, pages, TLS.

use http_body_util::Full;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Request, Response, StatusCode};
use prost::bytes::Bytes;
use rounds_domain::Role;
use rounds_proto::v1;
use rounds_server::{Config, Random, ServeError, Tls, serve};
use rounds_tests::{TestClock, TestDatabase, TestServer, http, visit};
use std::time::Duration;
use tokio::net::TcpStream;
use tonic::codec::CompressionEncoding;
use tonic::{Code, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;

fn get(path: &str) -> Request<Full<Bytes>> {
    Request::get(path).header("host", "localhost").body(Full::default()).unwrap()
}

/// A gRPC-web call with this message.
fn web(path: &str, message: &[u8]) -> Request<Full<Bytes>> {
    let mut body = vec![0];
    body.extend(u32::try_from(message.len()).unwrap().to_be_bytes());
    body.extend(message);
    Request::post(path)
        .header("host", "localhost")
        .header(CONTENT_TYPE, "application/grpc-web+proto")
        .body(Full::from(body))
        .unwrap()
}

async fn services(server: &TestServer) -> Result<Vec<String>, Status> {
    let ask = |request| ServerReflectionRequest { host: String::new(), message_request: Some(request) };
    let asked = futures_util::stream::iter([ask(MessageRequest::ListServices(String::new()))]);
    let mut client = ServerReflectionClient::new(server.channel().await);
    let mut answers = client.server_reflection_info(asked).await?.into_inner();
    match answers.message().await?.and_then(|answer| answer.message_response) {
        Some(MessageResponse::ListServicesResponse(list)) => {
            Ok(list.service.into_iter().map(|it| it.name).collect())
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn health_is_told_for_the_server_and_for_each_service() {
    let server = TestServer::start_on_sqlite().await;
    let mut client = HealthClient::new(server.channel().await);
    for service in ["", "rounds.v1.SyncService", "rounds.v1.DirectoryService"] {
        let answer = client.check(HealthCheckRequest { service: service.into() }).await.unwrap();
        assert_eq!(answer.into_inner().status, 1, "{service}");
    }
    let unknown = client.check(HealthCheckRequest { service: "rounds.v1.Nothing".into() }).await;
    assert_eq!(unknown.unwrap_err().code(), Code::NotFound);
    server.stop().await;
}

#[tokio::test]
async fn the_protos_are_told_unless_that_is_switched_off() {
    let server = TestServer::start_on_sqlite().await;
    let told = services(&server).await.unwrap();
    for service in ["SyncService", "DeviceService", "DirectoryService", "HistoryService"] {
        assert!(told.contains(&format!("rounds.v1.{service}")), "{told:?}");
    }
    server.stop().await;
    let server = TestServer::start_on_sqlite_with(|config| config.reflection = false).await;
    assert_eq!(services(&server).await.unwrap_err().code(), Code::Unimplemented);
    server.stop().await;
}

#[tokio::test]
async fn grpc_web_is_spoken_on_the_same_port() {
    let server = TestServer::start_on_sqlite().await;
    let answer = http(&server, web("/grpc.health.v1.Health/Check", &[])).await;
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(&answer.body()[..7], [0, 0, 0, 0, 2, 0x08, 1], "one message: SERVING");
    let trailers = String::from_utf8_lossy(&answer.body()[7..]).into_owned();
    assert!(trailers.contains("grpc-status:0"), "{trailers}");
    server.stop().await;
}

#[tokio::test]
async fn a_message_that_is_no_protobuf_is_refused() {
    let server = TestServer::start_on_sqlite().await;
    let mut request = web("/rounds.v1.SyncService/Sync", b"\xff\xff\xff\xff");
    let token = format!("Bearer {}", server.admin.token).parse().unwrap(); // without, nothing of it would be read
    request.headers_mut().insert("authorization", token);
    let answer = http(&server, request).await;
    let status = answer.headers().get("grpc-status").cloned();
    assert_eq!(status, Some(HeaderValue::from_static("13")), "{answer:?}");
    server.stop().await;
}

#[tokio::test]
async fn pages_of_other_origins_may_call_only_if_they_are_named() {
    let preflight = |origin: &str| {
        let mut request = web("/rounds.v1.SyncService/Sync", &[]);
        *request.method_mut() = hyper::Method::OPTIONS;
        request.headers_mut().insert("origin", origin.parse().unwrap());
        request.headers_mut().insert("access-control-request-method", HeaderValue::from_static("POST"));
        request
    };
    let allowed = |answer: &Response<Bytes>| answer.headers().get("access-control-allow-origin").cloned();
    let server = TestServer::start_on_sqlite().await;
    assert_eq!(allowed(&http(&server, preflight("https://rounds.example.org")).await), None);
    server.stop().await;
    let origin = HeaderValue::from_static("https://rounds.example.org");
    let named = origin.clone();
    let server = TestServer::start_on_sqlite_with(|config| config.origins = vec![named]).await;
    assert_eq!(allowed(&http(&server, preflight("https://rounds.example.org")).await), Some(origin));
    assert_eq!(allowed(&http(&server, preflight("https://elsewhere.example.org")).await), None);
    server.stop().await;
}

#[tokio::test]
async fn pages_are_answered_to_browsers_and_a_status_to_callers() {
    let server = TestServer::start_on_sqlite().await;
    assert_eq!(http(&server, get("/")).await.status(), StatusCode::OK);
    assert_eq!(http(&server, get("/healthz")).await.body(), "ok\n");
    assert_eq!(http(&server, get("/no/such/page")).await.status(), StatusCode::NOT_FOUND);
    let answer = http(&server, web("/rounds.v1.NoService/Nothing", &[])).await;
    assert_eq!(answer.headers().get("grpc-status"), Some(&HeaderValue::from_static("12")), "{answer:?}");
    server.stop().await;
}

#[tokio::test]
async fn gzip_and_zstd_are_spoken_by_every_service() {
    let server = TestServer::start_on_sqlite().await;
    let area = server.area("North", None).await;
    let dwelling = server.dwelling(area, "4-2-301").await;
    let mut phone = server.enrol(Role::Field, &[area]).await;
    for encoding in [CompressionEncoding::Gzip, CompressionEncoding::Zstd] {
        let mut client = phone.sync().send_compressed(encoding).accept_compressed(encoding);
        let ops = vec![phone.seal(visit(area, dwelling))];
        let request = v1::SyncRequest { ops, clock: Some(phone.clocks()), ..Default::default() };
        let answer = client.sync(request).await.unwrap();
        let name = encoding.to_string();
        assert_eq!(answer.metadata().get("grpc-encoding").unwrap().to_str().unwrap(), name);
        assert_eq!(answer.into_inner().verdicts[0].outcome(), v1::Outcome::Applied);
        let mut client = HealthClient::new(server.channel().await).send_compressed(encoding);
        assert!(client.check(HealthCheckRequest::default()).await.is_ok(), "{name}");
        let mut client = ServerReflectionClient::new(server.channel().await).send_compressed(encoding);
        let ask = MessageRequest::ListServices(String::new());
        let ask = ServerReflectionRequest { host: String::new(), message_request: Some(ask) };
        let mut answers =
            client.server_reflection_info(futures_util::stream::iter([ask])).await.unwrap().into_inner();
        assert!(answers.message().await.is_ok(), "{name}");
    }
    server.stop().await;
}

#[tokio::test]
async fn tls_is_spoken_where_there_is_a_certificate() {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let tls = Tls {
        certificates: made.cert.pem().into_bytes(),
        key: made.signing_key.serialize_pem().into_bytes(),
    };
    let server = TestServer::start_on_sqlite_with(|config| config.tls = Some(tls)).await;
    let area = server.area("North", None).await;
    let mut phone = server.enrol(Role::Field, &[area]).await;
    assert_eq!(phone.pull().await.len(), 1);
    let plain = server.url().replace("https://localhost", "http://127.0.0.1");
    let plain = tonic::transport::Endpoint::from_shared(plain).unwrap().connect().await;
    if let Ok(channel) = plain {
        let refused = HealthClient::new(channel).check(HealthCheckRequest::default()).await;
        assert!(refused.is_err(), "plain text on a port with TLS");
    }
    server.stop().await;
}

#[tokio::test]
async fn the_server_does_not_start_where_it_would_be_open_or_broken() {
    let database = TestDatabase::sqlite().await;
    let store = rounds_store::Store::open(database.url(), rounds_tests::new_id()).await.unwrap();
    let start = async |change: fn(&mut Config)| {
        let mut config = Config::local(0);
        change(&mut config);
        let clock = TestClock::default().clock();
        serve(config, store.clone(), clock, Random::system(), std::future::pending()).await
    };
    let open = start(|config| config.listen = ([0, 0, 0, 0], 0).into()).await;
    assert!(matches!(open, Err(ServeError::Plaintext(_))), "{open:?}");
    let allowed = start(|config| {
        config.listen = ([0, 0, 0, 0], 0).into();
        config.allow_plaintext = true;
    });
    let allowed = allowed.await.unwrap();
    let broken = |config: &mut Config| {
        config.tls = Some(Tls { certificates: b"no certificate".to_vec(), key: b"no key".to_vec() });
    };
    assert!(matches!(start(broken).await, Err(ServeError::Tls(_))));
    let config = Config { listen: allowed.address, allow_plaintext: true, ..Config::local(0) };
    let clock = TestClock::default().clock();
    let taken = serve(config, store.clone(), clock, Random::system(), std::future::pending()).await;
    assert!(matches!(taken, Err(ServeError::Bind { .. })), "{taken:?}");
    store.close().await;
}

#[tokio::test]
async fn what_is_wrong_with_a_certificate_or_its_key_is_told() {
    let database = TestDatabase::sqlite().await;
    let store = database.open().await;
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let certificate = made.cert.pem().into_bytes();
    let letter = b"Dear Rounds".to_vec();
    for (certificates, key, expected) in [
        (letter.clone(), made.signing_key.serialize_pem().into_bytes(), "there is no certificate"),
        (certificate.clone(), letter, "there is no private key"),
        (certificate.clone(), certificate, "there is no private key"),
    ] {
        let config = Config { tls: Some(Tls { certificates, key }), ..Config::local(0) };
        let clock = TestClock::default().clock();
        let refused = serve(config, store.clone(), clock, Random::system(), std::future::pending()).await;
        let told = refused.unwrap_err().to_string();
        assert!(told.contains(expected), "{told}");
    }
    store.close().await;
}

#[tokio::test]
async fn stopping_lets_a_call_under_way_end() {
    let server = TestServer::start_on_sqlite().await;
    let area = server.area("North", None).await;
    let dwelling = server.dwelling(area, "4-2-301").await;
    let mut phone = server.enrol(Role::Field, &[area]).await;
    let ops: Vec<_> = (0..1_000).map(|_| phone.seal(visit(area, dwelling))).collect();
    let (answer, ()) = tokio::join!(phone.send(ops), async {
        tokio::task::yield_now().await; // the call goes out first
        server.stop().await;
    });
    match answer {
        Ok(answer) => assert_eq!(answer.acknowledged_through, 1_000),
        Err(status) => assert_eq!(status.code(), Code::Unavailable, "{status:?}"),
    }
}

#[tokio::test]
async fn a_client_that_opens_a_connection_and_says_nothing_does_not_keep_the_server_from_stopping() {
    let server = TestServer::start_on_sqlite().await;
    let silent = TcpStream::connect(server.url().replace("http://", "")).await.unwrap();
    let stopped = tokio::time::timeout(Duration::from_secs(30), server.stop()).await;
    assert!(stopped.is_ok());
    drop(silent);
}
