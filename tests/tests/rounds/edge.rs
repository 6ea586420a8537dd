//! A hostile network: connections and calls that are made to cost something cost little, and those of others go on.

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use http_body_util::Full;
use hyper::Request;
use prost::bytes::Bytes;
use rounds_domain::limit::OP_BYTES_MAX;
use rounds_domain::{AreaId, DeviceId, RecordId, Role};
use rounds_proto::v1;
use rounds_proto::v1::device_service_client::DeviceServiceClient;
use rounds_server::limit::{
    ADDRESS_CALLS_MAX, ADDRESS_SHARE, CODE_TRIES_MAX, DEVICE_CALLS_MAX, DEVICE_WATCHES_MAX,
    DEVICE_WORKING_BYTES_MAX, DRAIN_TIMEOUT, FAILED_CODES_MAX, PAGE_BYTES_MAX, READING_BYTES_MAX,
    REQUEST_BYTES_MAX, TOKEN_ANSWER_BYTES_MAX, TOKEN_READING_BYTES_MAX, WORKING_BYTES_MAX,
};
use rounds_server::secret::token_hash;
use rounds_server::{ConnectionLimits, Tls};
use rounds_store::{NewCode, Pool};
use rounds_tests::hostile::{self, answered, closed, connect_from, half_a_call};
use rounds_tests::{Peer, TestDatabase, TestServer, http, new_id, on_both_databases, reason, visit};
use std::future::poll_fn;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tonic::codec::CompressionEncoding;
use tonic::codegen::Service as _;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

const SOON: Duration = Duration::from_millis(200);
const SYNC: &str = "/rounds.v1.SyncService/Sync";

async fn server_with(limits: ConnectionLimits) -> TestServer {
    TestServer::start_on_sqlite_with(|config| config.connections = limits).await
}

fn address(server: &TestServer) -> SocketAddr {
    server.url().replace("http://", "").parse().unwrap()
}

async fn connect(server: &TestServer) -> TcpStream {
    TcpStream::connect(address(server)).await.unwrap()
}

/// A line from another address of this machine.
async fn channel_from(server: &TestServer, source: [u8; 4]) -> Channel {
    let endpoint = Endpoint::from_shared(server.url()).unwrap();
    endpoint.local_address(Some(source.into())).connect().await.unwrap()
}

async fn phone(server: &TestServer) -> (Peer, AreaId) {
    let area = server.area("North", None).await;
    (server.enrol(Role::Field, &[area]).await, area)
}

/// Whoever means well is served.
async fn assert_serves(server: &TestServer) {
    assert!(server.admin.directory().list_terms(v1::ListTermsRequest::default()).await.is_ok());
}

#[tokio::test]
async fn a_connection_on_which_nothing_is_said_is_closed() {
    let server = server_with(ConnectionLimits { first_call_timeout: SOON, ..Default::default() }).await;
    closed(connect(&server).await).await;
    let mut half = connect(&server).await;
    half.write_all(b"PRI * HTTP/2.0\r\n").await.unwrap(); // neither one nor the other version
    closed(half).await;
    let mut whole = connect(&server).await;
    whole.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
    closed(whole).await;
    assert_serves(&server).await;
    server.stop().await;
}

#[tokio::test]
async fn a_server_that_stops_waits_for_no_connection_on_which_nothing_goes_on() {
    let hour = Duration::from_secs(60 * 60);
    let limits = ConnectionLimits { first_call_timeout: hour, idle_timeout: hour, ..Default::default() };
    let server = server_with(limits).await;
    assert_serves(&server).await;
    let channel = server.channel().await; // stays open, as that of the administrator
    let stopped = tokio::time::timeout(DRAIN_TIMEOUT / 2, server.stop()).await;
    assert!(stopped.is_ok());
    drop(channel);
}

#[tokio::test]
async fn whoever_gives_no_sign_of_life_is_let_go_of() {
    let limits = ConnectionLimits { keep_alive_every: SOON, keep_alive_timeout: SOON, ..Default::default() };
    let server = server_with(limits).await;
    closed(hostile::dead_call(connect(&server).await).await.unwrap()).await;
    assert_serves(&server).await;
    server.stop().await;
}

#[tokio::test]
async fn a_connection_is_told_how_many_calls_it_may_carry_and_how_large_their_headers_may_be() {
    const MAX_CONCURRENT_STREAMS: u16 = 3;
    const INITIAL_WINDOW_SIZE: u16 = 4;
    const MAX_HEADER_LIST_SIZE: u16 = 6;
    let server = TestServer::start_on_sqlite().await;
    let said = hostile::settings_of(connect(&server).await).await.unwrap();
    assert_eq!(said.get(&MAX_CONCURRENT_STREAMS), Some(&100));
    assert_eq!(said.get(&INITIAL_WINDOW_SIZE), Some(&(256 * 1024)));
    assert_eq!(said.get(&MAX_HEADER_LIST_SIZE), Some(&(16 * 1024)));
    server.stop().await;
}

#[tokio::test]
async fn a_connection_on_which_nothing_goes_on_any_more_is_closed() {
    let limits = ConnectionLimits { first_call_timeout: SOON, idle_timeout: SOON, ..Default::default() };
    let server = server_with(limits).await;
    let mut stream = connect(&server).await;
    stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    assert!(answered(&mut stream).await.ends_with("ok\n"));
    closed(stream).await;
    let device = DeviceId(new_id());
    let code = NewCode {
        hash: [1; 32],
        role: Role::Field,
        areas: Vec::new(),
        worker: None,
        organization: None,
        maker: None,
        expires_ms: i64::MAX,
    };
    server.store.create_code(code).await.unwrap();
    server.store.enrol([1; 32], device, "phone", token_hash("A"), None, 0).await.unwrap();
    let watcher = Peer::known(server.channel().await, server.clock.clone(), device, "A".to_owned());
    let mut hints = watcher.sync().watch(v1::WatchRequest {}).await.unwrap().into_inner();
    hints.message().await.unwrap();
    let more = tokio::time::timeout(5 * SOON, hints.message()).await;
    assert!(more.is_err(), "whoever listens for hints has a call under way");
    drop(hints);
    server.stop().await;
}

#[tokio::test]
async fn a_connection_gets_no_older_than_it_may_and_calls_go_on_over_another() {
    let server = server_with(ConnectionLimits { age_max: SOON, grace: SOON, ..Default::default() }).await;
    let (watcher, area) = phone(&server).await;
    let mut hints = watcher.sync().watch(v1::WatchRequest {}).await.unwrap().into_inner();
    let ended = async { while let Ok(Some(_)) = hints.message().await {} };
    tokio::time::timeout(Duration::from_secs(30), ended).await.unwrap();
    assert!(watcher.get(area.into()).await.is_ok());
    server.stop().await;
}

#[tokio::test]
async fn headers_that_trickle_in_are_not_waited_for() {
    let server = server_with(ConnectionLimits { header_timeout: SOON, ..Default::default() }).await;
    let slow = hostile::trickle(connect(&server).await, SOON / 10);
    tokio::time::timeout(Duration::from_secs(30), slow).await.unwrap();
    assert_serves(&server).await;
    server.stop().await;
}

#[tokio::test]
async fn a_call_whose_time_is_over_is_given_up_though_its_rest_may_come() {
    let server = TestServer::start_on_sqlite().await;
    let (phone, _) = phone(&server).await;
    let headers = format!("authorization: Bearer {}\r\ngrpc-timeout: 200m\r\n", phone.token);
    let mut slow = half_a_call(connect(&server).await, SYNC, &headers, 1_000, 100).await.unwrap();
    let answer = answered(&mut slow).await;
    assert!(answer.contains("grpc-status: 4"), "deadline exceeded: {answer}");
    server.stop().await;
}

#[tokio::test]
async fn agreeing_on_tls_is_not_waited_for() {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let tls = Tls {
        certificates: made.cert.pem().into_bytes(),
        key: made.signing_key.serialize_pem().into_bytes(),
    };
    let server = TestServer::start_on_sqlite_with(|config| {
        config.tls = Some(tls);
        config.connections.tls_timeout = SOON;
    })
    .await;
    let port = server.url().rsplit(':').next().unwrap().parse().unwrap();
    let mut half = TcpStream::connect(SocketAddr::from(([127, 0, 0, 1], port))).await.unwrap();
    half.write_all(b"\x16\x03\x01\x02\x00\x01").await.unwrap();
    closed(half).await;
    assert_serves(&server).await;
    server.stop().await;
}

#[tokio::test]
async fn one_address_does_not_take_the_connections_of_others() {
    let limits = ConnectionLimits { connections_max: 5, per_address_max: 3, ..Default::default() };
    let server = server_with(limits).await; // whose administrator has one
    let to = address(&server);
    let held = [connect(&server).await, connect(&server).await];
    closed(connect(&server).await).await;
    let others =
        [connect_from([127, 0, 0, 2], to).await.unwrap(), connect_from([127, 0, 0, 3], to).await.unwrap()];
    closed(connect_from([127, 0, 0, 4], to).await.unwrap()).await; // there are five in all
    drop(held);
    let mut again = loop {
        // It takes a moment until the server knows that somebody left.
        let mut stream = connect(&server).await;
        let asked = stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
        if asked.is_ok() && answered(&mut stream).await.ends_with("ok\n") {
            break stream;
        }
    };
    again.shutdown().await.unwrap();
    drop(others);
    assert_serves(&server).await;
    server.stop().await;
}

#[tokio::test]
async fn whoever_asks_and_never_reads_is_let_go_of() {
    let server = server_with(ConnectionLimits { stall_timeout: SOON, ..Default::default() }).await;
    let deaf = hostile::never_read(connect(&server).await, "/dashboard.js");
    tokio::time::timeout(Duration::from_secs(30), deaf).await.unwrap();
    assert_serves(&server).await;
    server.stop().await;
}

#[tokio::test]
async fn floods_of_calls_that_are_no_calls_end_the_connection_and_nobody_elses() {
    let server = TestServer::start_on_sqlite().await;
    let most = 20_000;
    let malformed = hostile::malformed_calls(connect(&server).await, most).await;
    assert!(malformed < most, "malformed calls");
    let endless = hostile::endless_headers(connect(&server).await, most).await;
    assert!(endless < 1_000, "{endless} pieces of one call's headers");
    assert_serves(&server).await;
    server.stop().await;
}

/// Those of which the server may take all: each costs it next to nothing.
#[tokio::test]
async fn floods_of_what_is_allowed_keep_nobody_else_waiting() {
    let server = TestServer::start_on_sqlite().await;
    let most = 20_000;
    let began = Instant::now();
    let flood = async {
        hostile::rapid_reset(connect(&server).await, most).await;
        hostile::pings(connect(&server).await, most).await;
        hostile::settings(connect(&server).await, most).await;
        hostile::empty_data(connect(&server).await, most).await;
    };
    let honest = async {
        for _ in 0..100 {
            assert_serves(&server).await;
        }
    };
    let both = async { tokio::join!(flood, honest) };
    let both = tokio::time::timeout(Duration::from_secs(60), both).await;
    assert!(both.is_ok(), "{:?}", began.elapsed());
    server.stop().await;
}

#[tokio::test]
async fn headers_past_the_limit_are_refused() {
    let server = TestServer::start_on_sqlite().await;
    let mut long = connect(&server).await;
    let ask = format!("GET / HTTP/1.1\r\nhost: localhost\r\ncookie: {}\r\n\r\n", "c".repeat(100 * 1024));
    let _ = long.write_all(ask.as_bytes()).await; // the answer may come before its end
    let answer = answered(&mut long).await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431"), "{answer}");
    let mut request = tonic::Request::new(v1::ListTermsRequest::default());
    request.metadata_mut().insert("x-long", "l".repeat(20 * 1024).parse().unwrap());
    assert!(server.admin.directory().list_terms(request).await.is_err());
    assert_serves(&server).await;
    server.stop().await;
}

#[tokio::test]
async fn a_message_that_grows_when_it_is_unpacked_is_refused() {
    let server = TestServer::start_on_sqlite().await;
    let (mut phone, _) = phone(&server).await;
    for encoding in [CompressionEncoding::Gzip, CompressionEncoding::Zstd] {
        let ops = vec![phone.seal_bytes(vec![0; 64 * 1024 * 1024])]; // some KiB when packed
        let request = v1::SyncRequest { ops, ..Default::default() };
        let mut client = phone.sync().send_compressed(encoding).max_encoding_message_size(usize::MAX);
        let refused = client.sync(request).await.unwrap_err();
        assert_eq!(refused.code(), Code::OutOfRange, "{refused:?}");
    }
    server.stop().await;
}

#[tokio::test]
async fn whoever_sends_again_and_again_what_grows_is_soon_not_read_any_more() {
    let server = TestServer::start_on_sqlite().await;
    let (good, area) = phone(&server).await;
    for (bytes, code) in
        [(REQUEST_BYTES_MAX + 1, Code::OutOfRange), (REQUEST_BYTES_MAX - 1_000, Code::InvalidArgument)]
    {
        let bad = server.enrol(Role::Field, &[area]).await;
        let first = v1::SealedOp { seq: 0, followed_by: 0, op: vec![0; bytes].into() }; // the first is number 1
        let request = v1::SyncRequest { ops: vec![first], ..Default::default() };
        let packing = bad.sync().send_compressed(CompressionEncoding::Zstd);
        let mut client = packing.max_encoding_message_size(usize::MAX);
        assert_eq!(client.sync(request.clone()).await.unwrap_err().code(), code);
        let again = async || client.sync(request.clone()).await;
        let (count, refused) = until_limited(DEVICE_CALLS_MAX, again).await;
        assert!(wait_of(&refused) > Duration::ZERO);
        assert!(count < DEVICE_CALLS_MAX / 4, "{count} times: each counts as many calls");
    }
    good.sync().sync(v1::SyncRequest::default()).await.unwrap();
    server.stop().await;
}

#[tokio::test]
async fn an_address_that_connects_all_the_time_is_not_let_in_and_others_are() {
    let limits = ConnectionLimits {
        per_address_at_once: 3,
        per_address_every: Duration::from_secs(60 * 60),
        ..Default::default()
    };
    let server = server_with(limits).await;
    let ask = || async {
        let mut stream = connect_from([127, 0, 0, 2], address(&server)).await.unwrap();
        let _ = stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
        answered(&mut stream).await
    };
    for _ in 0..3 {
        assert!(ask().await.starts_with("HTTP/1.1 200"));
    }
    assert_eq!(ask().await, "", "it is closed, and nothing is said");
    assert_serves(&server).await;
    server.stop().await;
}

#[tokio::test]
async fn nothing_large_is_read_from_whom_nobody_knows() {
    let server = TestServer::start_on_sqlite().await;
    for (headers, status) in [("", "16"), ("authorization: Bearer AAAA\r\n", "16")] {
        let stream = connect(&server).await;
        let mut stream = half_a_call(stream, SYNC, headers, REQUEST_BYTES_MAX, 0).await.unwrap();
        let answer = answered(&mut stream).await;
        assert!(answer.contains(&format!("grpc-status: {status}")), "{answer}");
    }
    let made_up =
        v1::EnrolRequest { code: "7".repeat(1024 * 1024), label: "phone".into(), ..Default::default() };
    let refused = DeviceServiceClient::new(server.channel().await).enrol(made_up).await.unwrap_err();
    assert_eq!(refused.code(), Code::OutOfRange);
    server.stop().await;
}

#[tokio::test]
async fn what_is_nested_without_end_is_refused_and_ends_nothing() {
    let server = TestServer::start_on_sqlite().await;
    let (mut phone, area) = phone(&server).await;
    let nested = [0xa3, 0x06].repeat(OP_BYTES_MAX / 2); // field 100, begin of a group: each in the one before
    let op = phone.seal_bytes(nested.clone());
    let verdicts = phone.send(vec![op]).await.unwrap().verdicts;
    assert_eq!(verdicts[0].reason, "MALFORMED");
    assert!(verdicts[0].detail.contains("recursion limit"), "{verdicts:?}");

    let length = u32::try_from(nested.len()).unwrap().to_be_bytes();
    let message = [&[0][..], &length, &nested].concat();
    let request = Request::post(SYNC)
        .header("host", "localhost")
        .header("content-type", "application/grpc-web+proto")
        .header("authorization", format!("Bearer {}", phone.token))
        .body(Full::new(Bytes::from(message)))
        .unwrap();
    let answer = http(&server, request).await;
    let said = format!("{:?} {}", answer.headers(), String::from_utf8_lossy(answer.body()));
    assert!(said.contains("recursion%20limit"), "{said}");
    let dwelling = server.dwelling(area, "4-2-301").await;
    assert_eq!(phone.act(vec![visit(area, dwelling)]).await.len(), 1, "it goes on");
    server.stop().await;
}

#[tokio::test]
async fn one_address_does_not_fill_the_memory_with_halves_of_calls() {
    let server = TestServer::start_on_sqlite().await;
    let (mut mine, area) = phone(&server).await;
    let dwelling = server.dwelling(area, "4-2-301").await;
    let mut bad = Vec::new();
    for _ in 0..=READING_BYTES_MAX / ADDRESS_SHARE / TOKEN_READING_BYTES_MAX {
        bad.push(server.enrol(Role::Field, &[area]).await.token);
    }
    let mut held = Vec::new();
    for token in &bad {
        // Each with no more than what one token may have.
        held.extend(halves_of_calls(&server, token, TOKEN_READING_BYTES_MAX, |_| [127, 0, 0, 1]).await);
    }
    assert_one_is_refused(&mut held).await;
    let mut other = mine.clone();
    other.reconnect(channel_from(&server, [127, 0, 0, 2]).await);
    assert_eq!(other.act(vec![visit(area, dwelling)]).await.len(), 1, "another address is served");
    drop(held);
    mine.seq = other.seq;
    until_there_is_room(&mut mine, area, dwelling).await;
    server.stop().await;
}

#[tokio::test]
async fn one_token_does_not_fill_the_memory_from_many_addresses() {
    let server = TestServer::start_on_sqlite().await;
    let (mut mine, area) = phone(&server).await;
    let dwelling = server.dwelling(area, "4-2-301").await;
    let mut bad = server.enrol(Role::Field, &[area]).await;
    let mut held = halves_of_calls(&server, &bad.token, READING_BYTES_MAX, |at| [127, 0, 1, at]).await;
    assert_one_is_refused(&mut held).await;
    assert_eq!(mine.act(vec![visit(area, dwelling)]).await.len(), 1, "another phone is served");
    drop(held);
    until_there_is_room(&mut bad, area, dwelling).await;
    server.stop().await;
}

#[tokio::test]
async fn whoever_asks_and_fetches_no_answer_does_not_fill_the_memory() {
    let server = TestServer::start_on_sqlite().await;
    let (mut phone, area) = phone(&server).await;
    let large = phone.seal_bytes(vec![0; PAGE_BYTES_MAX]);
    phone.send(vec![large]).await.unwrap();
    let coordinator = server.enrol(Role::Coordinator, &[area]).await;
    // The connection takes next to nothing of an answer before it is read.
    let endpoint = Endpoint::from_shared(server.url()).unwrap().initial_stream_window_size(1_000);
    let mut channel = endpoint.connect().await.unwrap();
    let mut held = Vec::new();
    for _ in 0..TOKEN_ANSWER_BYTES_MAX / PAGE_BYTES_MAX {
        held.push(unread(&mut channel, &server, &coordinator).await);
    }
    assert!(held.iter().all(|answer| !answer.headers().contains_key("grpc-status")));
    let refused = unread(&mut channel, &server, &coordinator).await;
    assert_eq!(refused.headers()["grpc-status"], "14");
    let list = async |who: &Peer| who.history().list_quarantine(v1::ListQuarantineRequest::default()).await;
    assert!(list(&server.admin).await.is_ok(), "another is served");
    assert!(coordinator.get(area.into()).await.is_ok(), "and what is small");
    drop(held);
    while let Err(status) = list(&coordinator).await {
        // It takes a moment until the server knows that nobody wants them any more.
        assert_eq!(reason(&status), "BUSY");
    }
    server.stop().await;
}

/// Asks for what is in quarantine, and reads no more of the answer than its headers.
async fn unread(
    channel: &mut Channel,
    server: &TestServer,
    who: &Peer,
) -> hyper::Response<tonic::body::Body> {
    let nothing_asked = Full::new(Bytes::from_static(&[0; 5]));
    let request = Request::post(format!("{}/rounds.v1.HistoryService/ListQuarantine", server.url()))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("authorization", format!("Bearer {}", who.token))
        .body(tonic::body::Body::new(nothing_asked))
        .unwrap();
    poll_fn(|context| channel.poll_ready(context)).await.unwrap();
    channel.call(request).await.unwrap()
}

#[tokio::test]
async fn batches_that_wait_for_the_database_have_only_so_much_room_for_each_device_and_for_all() {
    let database = TestDatabase::postgres().await;
    let held = database.open().await; // past the server
    let server = TestServer::start(&database).await;
    let area = server.area("North", None).await;
    let mut phones = Vec::new();
    for _ in 0..WORKING_BYTES_MAX / DEVICE_WORKING_BYTES_MAX + 2 {
        let mut phone = server.enrol(Role::Field, &[area]).await;
        phone.pull().await; // its token is known from now on
        phones.push(phone);
    }
    let most_of_one = DEVICE_WORKING_BYTES_MAX / REQUEST_BYTES_MAX;
    let Pool::Postgres(pool) = held.pool() else { panic!("it is PostgreSQL") };
    // One phone with a batch too many; and many phones, none with more than it may have.
    let (one, others) = phones.split_at_mut(1);
    for (phones, of_each) in [(one, most_of_one + 1), (others, most_of_one)] {
        let mut lock = pool.begin().await.unwrap();
        sqlx::query("LOCK TABLE devices IN ACCESS EXCLUSIVE MODE").execute(&mut *lock).await.unwrap();
        let mut calls = FuturesUnordered::new();
        for phone in phones {
            let op = phone.seal_bytes(vec![0; REQUEST_BYTES_MAX - 1024]); // some KiB when packed
            let request = v1::SyncRequest { ops: vec![op], ..Default::default() };
            for _ in 0..of_each {
                let mut client = phone.sync().send_compressed(CompressionEncoding::Gzip);
                let request = request.clone();
                calls.push(async move { client.sync(request).await });
            }
        }
        let first = calls.next().await.unwrap();
        assert_eq!(reason(&first.unwrap_err()), "BUSY", "all others wait for the lock");
        drop(calls);
        lock.rollback().await.unwrap();
    }
    let (dwelling, phone) = (server.dwelling(area, "4-2-301").await, &mut phones[0]);
    phone.seq = 0;
    until_there_is_room(phone, area, dwelling).await;
    held.close().await;
    server.stop().await;
}

on_both_databases! {
    async fn records_are_not_looked_for_by_what_none_can_say(database: &TestDatabase) {
        let server = TestServer::start(database).await;
        let base = v1::ListRecordsRequest { kind: v1::Kind::Asset.into(), ..Default::default() };
        for request in [
            v1::ListRecordsRequest { code: "\0".into(), ..base.clone() },
            v1::ListRecordsRequest { external_ref: "a\0".into(), ..base.clone() },
            v1::ListRecordsRequest { status: "\0b".into(), ..base },
        ] {
            let refused = server.admin.directory().list_records(request).await.unwrap_err();
            assert_eq!((refused.code(), reason(&refused).as_str()), (Code::InvalidArgument, "INVALID"));
        }
        for figure in ["attended/\0", "in_time/\0/7", "follow_up/overdue/\0"] {
            let request = v1::ListBehindRequest { figure: figure.into(), ..Default::default() };
            let refused = server.admin.summaries().list_behind(request).await.unwrap_err();
            assert_eq!(refused.code(), Code::NotFound, "{figure:?}");
        }
        server.stop().await;
    }
}

/// Calls of which only half comes, so many bytes in all.
async fn halves_of_calls(
    server: &TestServer,
    token: &str,
    bytes: usize,
    from: impl Fn(u8) -> [u8; 4],
) -> Vec<TcpStream> {
    let headers = format!("authorization: Bearer {token}\r\n");
    let half = REQUEST_BYTES_MAX / 2;
    let mut held = Vec::new();
    for at in 1..=bytes / half {
        let source = from(u8::try_from(at).unwrap());
        let stream = connect_from(source, address(server)).await.unwrap();
        held.push(half_a_call(stream, SYNC, &headers, REQUEST_BYTES_MAX, half).await.unwrap());
    }
    held
}

/// Which of them was refused depends on whose bytes came first.
async fn assert_one_is_refused(held: &mut [TcpStream]) {
    let mut busy = String::new();
    for stream in held {
        if let Ok(answer) = tokio::time::timeout(SOON, answered(stream)).await {
            busy.push_str(&answer);
        }
    }
    assert!(busy.contains("grpc-status: 14") && busy.contains("busy"), "{busy}");
}

/// It takes a moment until the server knows that those who held it are gone.
async fn until_there_is_room(phone: &mut Peer, area: AreaId, dwelling: RecordId) {
    loop {
        let ops = vec![phone.seal(visit(area, dwelling))];
        match phone.send(ops).await {
            Ok(_) => break,
            Err(status) => assert_eq!(reason(&status), "BUSY"),
        }
        phone.seq -= 1;
    }
}

/// Calls until it is told to wait.
async fn until_limited<T>(most: u32, mut call: impl AsyncFnMut() -> Result<T, Status>) -> (u32, Status) {
    for count in 0..most {
        if let Err(status) = call().await
            && status.code() == Code::ResourceExhausted
        {
            return (count, status);
        }
    }
    panic!("{most} calls, and no end");
}

fn wait_of(status: &Status) -> Duration {
    assert_eq!(reason(status), "RATE_LIMITED");
    status.get_error_details().retry_info().unwrap().retry_delay.unwrap()
}

#[tokio::test]
async fn a_device_has_only_so_many_streams_of_hints_and_another_has_its_own() {
    let server = TestServer::start_on_sqlite().await;
    let (one, area) = phone(&server).await;
    let other = server.enrol(Role::Field, &[area]).await;
    let mut held = Vec::new();
    for _ in 0..DEVICE_WATCHES_MAX {
        held.push(one.sync().watch(v1::WatchRequest {}).await.unwrap().into_inner());
    }
    let refused = one.sync().watch(v1::WatchRequest {}).await.err().unwrap();
    assert_eq!((refused.code(), reason(&refused).as_str()), (Code::ResourceExhausted, "RATE_LIMITED"));
    held.push(other.sync().watch(v1::WatchRequest {}).await.unwrap().into_inner());
    drop(held.remove(0));
    let again = loop {
        // It takes a moment until the server knows that somebody left.
        match one.sync().watch(v1::WatchRequest {}).await {
            Ok(hints) => break hints,
            Err(status) => assert_eq!(reason(&status), "RATE_LIMITED"),
        }
    };
    drop((held, again));
    server.stop().await;
}

#[tokio::test]
async fn a_device_that_calls_too_often_is_told_to_wait_and_for_how_long() {
    let server = TestServer::start_on_sqlite().await;
    let (one, area) = phone(&server).await;
    let other = server.enrol(Role::Field, &[area]).await;
    let (count, limited) = until_limited(20 * DEVICE_CALLS_MAX, async || {
        one.directory().list_terms(v1::ListTermsRequest::default()).await
    })
    .await;
    assert!(count >= DEVICE_CALLS_MAX, "{count}: enough for days offline");
    let wait = wait_of(&limited);
    assert!(wait <= Duration::from_secs(1), "{wait:?}");
    assert!(other.get(area.into()).await.is_ok(), "each for itself");
    // Asking costs nothing: it is served again as soon as it has a call again, which is what it was told to wait for.
    loop {
        match one.directory().list_terms(v1::ListTermsRequest::default()).await {
            Ok(_) => break,
            Err(status) => assert!(wait_of(&status) <= wait, "it never has to wait for longer: {status:?}"),
        }
    }
    server.stop().await;
}

#[tokio::test]
async fn an_address_that_calls_too_often_is_told_to_wait_though_its_devices_are_many() {
    let server = TestServer::start_on_sqlite().await;
    let area = server.area("North", None).await;
    let most = 2 * ADDRESS_CALLS_MAX;
    let mut calls = Vec::new();
    for _ in 0..most / DEVICE_CALLS_MAX {
        let token = server.enrol(Role::Field, &[area]).await.token;
        // Without a message: what the call is about is not looked into.
        calls.push(format!(
            "POST {SYNC} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/grpc-web+proto\r\n\
             content-length: 0\r\nauthorization: Bearer {token}\r\n\r\n"
        ));
    }
    // One device after the other, so that none of them calls too often.
    let calls = calls.concat().repeat(DEVICE_CALLS_MAX as usize);
    let stream = connect_from([127, 0, 0, 2], address(&server)).await.unwrap();
    let through = calls_through(stream, &calls, most).await;
    assert!((ADDRESS_CALLS_MAX..most).contains(&through), "{through} calls");
    assert_serves(&server).await; // another address
    server.stop().await;
}

/// Makes so many calls, each before the last is answered. Answers how many came through before one was told to wait.
async fn calls_through(stream: TcpStream, calls: &str, most: u32) -> u32 {
    let (reading, mut writing) = stream.into_split();
    let call = async {
        writing.write_all(calls.as_bytes()).await.unwrap();
        std::future::pending::<()>().await // the line stays open
    };
    let listen = async {
        let mut lines = BufReader::new(reading).split(b'\n');
        let mut through = 0;
        while through < most
            && let Some(line) = lines.next_segment().await.unwrap()
        {
            match String::from_utf8_lossy(&line).trim_end() {
                "grpc-status: 8" => break,
                line => through += u32::from(line.starts_with("grpc-status: ")),
            }
        }
        through
    };
    tokio::select! {
        () = call => 0,
        through = listen => through,
    }
}

#[tokio::test]
async fn codes_are_not_tried_without_end() {
    let server = TestServer::start_on_sqlite().await;
    let area = server.area("North", None).await;
    let try_code = async |channel: Channel, code: &str| {
        let request = v1::EnrolRequest { code: code.into(), label: "phone".into(), ..Default::default() };
        DeviceServiceClient::new(channel).enrol(request).await
    };
    // Whoever enrols a whole team does not try in vain.
    for _ in 0..2 * FAILED_CODES_MAX {
        let code = server.code(Role::Field, &[area]).await;
        assert!(try_code(server.channel().await, &code).await.is_ok());
    }
    let guesser = channel_from(&server, [127, 0, 0, 2]).await;
    let (count, limited) =
        until_limited(1_000, async || try_code(guesser.clone(), &new_id().to_string()).await).await;
    assert!((FAILED_CODES_MAX..FAILED_CODES_MAX + 10).contains(&count), "{count}");
    assert!(wait_of(&limited) <= Duration::from_secs(3));
    let (count, limited) = until_limited(1_000, async || {
        try_code(channel_from(&server, [127, 0, 0, 3]).await, "ONE-AND-THE-SAME").await
    })
    .await;
    assert_eq!(count, CODE_TRIES_MAX);
    assert!(wait_of(&limited) <= Duration::from_secs(60));
    let code = server.code(Role::Field, &[area]).await;
    assert!(try_code(guesser, &code).await.is_err(), "it has to wait");
    assert!(try_code(server.channel().await, &code).await.is_ok(), "nobody else has");
    server.stop().await;
}

#[tokio::test]
async fn a_browser_that_tries_codes_is_told_when_to_come_back() {
    let server = TestServer::start_on_sqlite_with(|config| config.proxies = 1).await;
    let try_code = async |origin: &str, code: &str| {
        let request = hyper::Request::post("/sign-in")
            .header("host", "localhost")
            .header("origin", "http://localhost")
            .header("x-forwarded-for", format!("203.0.113.7, {origin}"))
            .header("content-type", "application/x-www-form-urlencoded");
        let form = format!("code={code}&label=Browser");
        http(&server, request.body(form.into()).unwrap()).await
    };
    let mut tries = 0;
    let limited = loop {
        let answer = try_code("192.0.2.1", &format!("NO{tries}")).await;
        if answer.status() == 429 {
            break answer;
        }
        assert_eq!(answer.status(), 422);
        tries += 1;
        assert!(tries < 100);
    };
    assert!(tries >= FAILED_CODES_MAX, "{tries}");
    let wait: u64 = limited.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=3).contains(&wait), "{wait}");
    let area = server.area("North", None).await;
    let code = server.code(Role::Supervisor, &[area]).await;
    assert_eq!(try_code("192.0.2.1", &code).await.status(), 429, "a good one has to wait, too");
    assert_eq!(try_code("192.0.2.2", &code).await.status(), 303, "and is not used up: another origin");
    server.stop().await;
}

#[tokio::test]
async fn a_call_that_the_database_keeps_waiting_ends_and_burns_it_no_longer() {
    let database = TestDatabase::postgres().await;
    let held = database.open().await; // past the server
    let url = format!("{}?options[statement_timeout]=1s", database.url());
    let server = TestServer::start_at(&url).await;
    let (phone, area) = phone(&server).await;
    let Pool::Postgres(pool) = held.pool() else { panic!("it is PostgreSQL") };
    let mut lock = pool.begin().await.unwrap();
    sqlx::query("LOCK TABLE devices IN ACCESS EXCLUSIVE MODE").execute(&mut *lock).await.unwrap();
    let mut request = tonic::Request::new(v1::GetRecordRequest { id: area.to_string() });
    request.set_timeout(SOON);
    let refused = phone.directory().get_record(request).await.unwrap_err();
    assert!(matches!(refused.code(), Code::DeadlineExceeded | Code::Cancelled), "{refused:?}");
    let refused = phone.get(area.into()).await.unwrap_err();
    assert_eq!((refused.code(), reason(&refused).as_str()), (Code::Unavailable, "STORE_UNAVAILABLE"));
    let waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()";
    let waiting: i64 = sqlx::query_scalar(waiting).fetch_one(&mut *lock).await.unwrap();
    assert_eq!(waiting, 0, "nobody waits any more for what nobody wants");
    lock.rollback().await.unwrap();
    assert!(phone.get(area.into()).await.is_ok());
    held.close().await;
    server.stop().await;
}
