//! The device and a server over real gRPC.

#![allow(clippy::unwrap_used)] // a helper that fails is a test that fails

mod pretend;

use pretend::{Server, area, clock, device_id, id, path, place, shown, wanted};
use rounds_device::{CallError, Client, Device, Draft, Ended, Error, Next, Phone, Standing, enrol, run};
use rounds_domain::{ClockReading, DeviceId, Role};
use rounds_proto::v1;
use rounds_proto::v1::device_service_server::{DeviceService, DeviceServiceServer};
use rounds_proto::v1::sync_service_server::{SyncService, SyncServiceServer};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::sync::{Notify, mpsc};
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::codec::CompressionEncoding::Zstd;
use tonic::transport::{Identity, ServerTlsConfig};
use tonic::{Code, Request, Response, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

/// What the pretend server does over the wire.
#[derive(Default)]
struct Wire {
    server: Option<Server>,
    tokens: HashMap<String, DeviceId>,
    /// Larger batches are out of range.
    ops_max: Option<usize>,
    /// Larger pages are out of range.
    records_max: Option<u32>,
    /// What the next calls answer instead.
    failures: Vec<Status>,
    /// The sizes of the batches that were sent.
    batches: Vec<usize>,
    syncs: usize,
    hints: Option<mpsc::Sender<Result<v1::WatchResponse, Status>>>,
    /// What those said that they were first who enrolled.
    enrolled: Vec<String>,
}

impl Wire {
    fn server(&mut self) -> &mut Server {
        self.server.as_mut().unwrap()
    }

    fn caller<T>(&self, request: &Request<T>) -> Result<DeviceId, Status> {
        let value = request.metadata().get("authorization").and_then(|value| value.to_str().ok());
        let token = value.and_then(|value| value.strip_prefix("Bearer ")).unwrap_or_default();
        let unknown = || {
            let details = ErrorDetails::with_error_info("TOKEN_UNKNOWN", "rounds", HashMap::new());
            Status::with_error_details(Code::Unauthenticated, "the token names nobody", details)
        };
        self.tokens.get(token).copied().ok_or_else(unknown)
    }
}

#[derive(Clone)]
struct Service(Arc<Mutex<Wire>>);

#[tonic::async_trait]
impl SyncService for Service {
    async fn sync(&self, request: Request<v1::SyncRequest>) -> Result<Response<v1::SyncResponse>, Status> {
        let mut wire = self.0.lock().unwrap();
        wire.syncs += 1;
        if let Some(status) = wire.failures.pop() {
            return Err(status);
        }
        let caller = wire.caller(&request)?;
        let request = request.into_inner();
        wire.batches.push(request.ops.len());
        if wire.ops_max.is_some_and(|max| request.ops.len() > max) {
            return Err(Status::out_of_range("the message is too large"));
        }
        if wire.records_max.is_some_and(|max| request.page_records_max == 0 || request.page_records_max > max)
        {
            // As tonic says of what is too large once it is unpacked.
            let said =
                "Error decompressing: size limit, of 4194304 bytes, exceeded while decompressing message";
            return Err(Status::resource_exhausted(said));
        }
        Ok(Response::new(wire.server().sync(caller, &request)))
    }

    type WatchStream = Pin<Box<ReceiverStream<Result<v1::WatchResponse, Status>>>>;

    async fn watch(&self, request: Request<v1::WatchRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let mut wire = self.0.lock().unwrap();
        wire.caller(&request)?;
        let (sender, receiver) = mpsc::channel(8);
        sender.try_send(Ok(v1::WatchResponse::default())).unwrap();
        wire.hints = Some(sender);
        Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
    }
}

#[tonic::async_trait]
impl DeviceService for Service {
    async fn enrol(&self, request: Request<v1::EnrolRequest>) -> Result<Response<v1::EnrolResponse>, Status> {
        if request.get_ref().code != "GOOD-CODE" {
            let details = ErrorDetails::with_error_info("CODE_INVALID", "rounds", HashMap::new());
            return Err(Status::with_error_details(Code::Unauthenticated, "the code is unknown", details));
        }
        self.0.lock().unwrap().enrolled.push(request.into_inner().first_device);
        Ok(Response::new(v1::EnrolResponse {
            device: device_id(1).to_string(),
            token: "token-1".to_owned(),
            role: v1::Role::Admin.into(),
            worker: id(901).to_string(),
        }))
    }

    async fn fork(&self, request: Request<v1::ForkRequest>) -> Result<Response<v1::ForkResponse>, Status> {
        let mut wire = self.0.lock().unwrap();
        let caller = wire.caller(&request)?;
        let new = wire.server().fork(caller);
        wire.tokens.insert("token-of-the-copy".to_owned(), new);
        Ok(Response::new(v1::ForkResponse { device: new.to_string(), token: "token-of-the-copy".to_owned() }))
    }

    async fn create_code(
        &self,
        _: Request<v1::CreateCodeRequest>,
    ) -> Result<Response<v1::CreateCodeResponse>, Status> {
        Err(Status::unimplemented(""))
    }
    async fn list_devices(
        &self,
        _: Request<v1::ListDevicesRequest>,
    ) -> Result<Response<v1::ListDevicesResponse>, Status> {
        Err(Status::unimplemented(""))
    }
    async fn revoke(&self, _: Request<v1::RevokeRequest>) -> Result<Response<v1::RevokeResponse>, Status> {
        Err(Status::unimplemented(""))
    }
    async fn rotate(&self, _: Request<v1::RotateRequest>) -> Result<Response<v1::RotateResponse>, Status> {
        Err(Status::unimplemented(""))
    }
    async fn assign(&self, _: Request<v1::AssignRequest>) -> Result<Response<v1::AssignResponse>, Status> {
        Err(Status::unimplemented(""))
    }
}

struct Steady;

impl Phone for Steady {
    fn clock(&self) -> ClockReading {
        clock(1_000)
    }
    fn random(&self) -> u64 {
        0
    }
}

/// A server on a port of its own, with devices 1 and 2.
async fn serve() -> (Service, String) {
    let (service, address) = serve_with(None).await;
    (service, format!("http://{address}"))
}

async fn serve_with(tls: Option<ServerTlsConfig>) -> (Service, SocketAddr) {
    let tokens = HashMap::from([1, 2].map(|n| (format!("token-{n}"), device_id(n))));
    let wire = Wire { server: Some(Server::with(&[1, 2])), tokens, ..Wire::default() };
    let service = Service(Arc::new(Mutex::new(wire)));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let sync = SyncServiceServer::new(service.clone()).accept_compressed(Zstd).send_compressed(Zstd);
    let mut builder = tonic::transport::Server::builder();
    if let Some(tls) = tls {
        builder = builder.tls_config(tls).unwrap();
    }
    let router = builder.add_service(sync).add_service(DeviceServiceServer::new(service.clone()));
    tokio::spawn(router.serve_with_incoming(TcpListenerStream::new(listener)));
    (service, address)
}

/// Device `n` of that server, with this many places recorded.
async fn client(url: &str, n: u128, places: u128) -> (TempDir, Client) {
    let dir = tempfile::tempdir().unwrap();
    let mut device = Device::open(path(&dir)).unwrap();
    device.enrolled(rounds_device::Identity { server_url: url.to_owned(), ..pretend::identity(n) }).unwrap();
    for at in 0..places {
        device.record(clock(1), vec![new_place(n * 1_000 + at)]).unwrap();
    }
    (dir, Client::new(device).unwrap())
}

fn new_place(n: u128) -> Draft {
    Draft::create(id(n), area(1), place(&format!("Building {n}")))
}

#[tokio::test]
async fn a_code_makes_a_device_that_syncs() {
    let (service, url) = serve().await;
    let dir = tempfile::tempdir().unwrap();
    let mut device = Device::open(path(&dir)).unwrap();
    let wrong = enrol(&mut device, &url, None, "BAD-CODE", "phone").await.unwrap_err();
    assert!(matches!(&wrong, CallError::SignedOut { reason, .. } if reason == "CODE_INVALID"), "{wrong}");
    assert_eq!(device.status().unwrap().standing, Standing::NotEnrolled);

    let identity = enrol(&mut device, &url, None, "GOOD-CODE", "phone").await.unwrap();
    assert_eq!((identity.device, identity.role), (device_id(1), Role::Admin));
    assert_eq!(device.identity().unwrap(), identity);
    let again = enrol(&mut device, &url, None, "GOOD-CODE", "phone").await.unwrap_err();
    assert!(matches!(again, CallError::Device(Error::AlreadyEnrolled(_))));

    assert_eq!(service.0.lock().unwrap().enrolled, [""], "it was nothing before");

    device.record(clock(1), vec![new_place(1)]).unwrap();
    let mut client = Client::new(device).unwrap();
    let summary = client.sync_until_quiet(&Steady).await.unwrap();
    assert_eq!((summary.acknowledged, summary.pulled, summary.next), (1, 1, Next::Rest));
    assert_eq!(shown(client.device()), wanted(service.0.lock().unwrap().server(), client.device()));
}

/// The restored server knows device 1, and this was device 2.
#[tokio::test]
async fn a_device_that_a_restored_server_does_not_know_is_enrolled_again_and_hands_over_what_it_holds() {
    let (service, url) = serve().await;
    let (dir, mut client) = client(&url, 2, 5).await;
    service.0.lock().unwrap().server().safe_to_forget_through = 2;
    client.sync_until_quiet(&Steady).await.unwrap();
    client.device_mut().record(clock(2), vec![new_place(7), new_place(8)]).unwrap();
    {
        let mut wire = service.0.lock().unwrap();
        wire.server = Some(Server::with(&[1]).restored());
        wire.tokens = HashMap::from([("token-1".to_owned(), device_id(1))]);
    }
    let unknown = client.sync_until_quiet(&Steady).await;
    assert!(matches!(&unknown, Err(CallError::SignedOut { reason, .. }) if reason == "TOKEN_UNKNOWN"));
    drop(client);

    let mut device = Device::open(path(&dir)).unwrap();
    let identity = enrol(&mut device, &url, None, "GOOD-CODE", "phone").await.unwrap();
    assert_eq!(service.0.lock().unwrap().enrolled, [device_id(2).to_string()]);
    assert_eq!((identity.device, device.status().unwrap().unsent_ops), (device_id(1), 5));
    assert_eq!(device.status().unwrap().scope_version, 0, "its areas are those of a new device");
    let mut client = Client::new(device).unwrap();
    let summary = client.sync_until_quiet(&Steady).await.unwrap();
    assert_eq!((summary.acknowledged, summary.next), (5, Next::Rest));
    let known: Vec<_> = shown(client.device()).iter().map(|record| record.id).collect();
    assert_eq!(known, [7, 8, 2_002, 2_003, 2_004].map(id), "two were forgotten before");
    assert_eq!(shown(client.device()), wanted(service.0.lock().unwrap().server(), client.device()));
}

#[tokio::test]
async fn a_client_signs_with_the_name_that_another_one_with_the_same_file_got() {
    let (service, url) = serve().await;
    let (dir, mut client) = client(&url, 2, 1).await;
    let mut other = Device::open(path(&dir)).unwrap();
    let known = other.identity().unwrap();
    let identity = rounds_device::Identity { device: device_id(1), token: "token-1".to_owned(), ..known };
    other.enrolled_again(identity).unwrap();
    {
        let mut wire = service.0.lock().unwrap();
        wire.server = Some(Server::with(&[1]));
        wire.tokens = HashMap::from([("token-1".to_owned(), device_id(1))]);
    }
    let summary = client.sync_until_quiet(&Steady).await.unwrap();
    assert_eq!((summary.acknowledged, summary.next), (1, Next::Rest));
}

#[tokio::test]
async fn a_device_is_not_enrolled_again_at_another_server() {
    let (_service, url) = serve().await;
    let (elsewhere, other_url) = serve().await;
    elsewhere.0.lock().unwrap().tokens.remove("token-2");
    let (dir, client) = client(&url, 2, 1).await;
    drop(client);
    let mut device = Device::open(path(&dir)).unwrap();
    for url in [url, other_url] {
        let refused = enrol(&mut device, &url, None, "GOOD-CODE", "phone").await;
        assert!(matches!(refused, Err(CallError::Device(Error::AlreadyEnrolled(_)))), "{refused:?}");
    }
    assert_eq!(device.status().unwrap().unsent_ops, 1);
}

#[tokio::test]
async fn a_server_is_trusted_for_the_certificates_that_the_device_was_given_and_no_others() {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let identity = Identity::from_pem(made.cert.pem(), made.signing_key.serialize_pem());
    let (_service, address) = serve_with(Some(ServerTlsConfig::new().identity(identity))).await;
    let url = format!("https://localhost:{}", address.port());
    let dir = tempfile::tempdir().unwrap();
    let mut device = Device::open(path(&dir)).unwrap();

    let distrusted = enrol(&mut device, &url, None, "GOOD-CODE", "phone").await.unwrap_err();
    assert!(distrusted.to_string().contains("certificate"), "{distrusted}");
    enrol(&mut device, &url, Some(made.cert.pem().into()), "GOOD-CODE", "phone").await.unwrap();
    device.record(clock(1), vec![new_place(1)]).unwrap();
    drop(device);
    let mut client = Client::new(Device::open(path(&dir)).unwrap()).unwrap();
    assert_eq!(
        client.sync_until_quiet(&Steady).await.unwrap().acknowledged,
        1,
        "the file remembers whom to trust"
    );
}

#[tokio::test]
async fn a_batch_that_is_too_large_is_split_until_it_fits() {
    let (service, url) = serve().await;
    service.0.lock().unwrap().ops_max = Some(30);
    let (_dir, mut client) = client(&url, 1, 100).await;
    let summary = client.sync_until_quiet(&Steady).await.unwrap();
    assert_eq!((summary.acknowledged, summary.next), (100, Next::Rest));
    assert_eq!(service.0.lock().unwrap().batches, [100, 50, 25, 25, 25, 25]);
}

#[tokio::test]
async fn a_line_that_is_too_slow_for_a_batch_gets_smaller_ones_until_one_gets_through() {
    let (service, url) = serve().await;
    service.0.lock().unwrap().failures = vec![Status::deadline_exceeded("the time of the call is over"); 2];
    let (_dir, mut client) = client(&url, 1, 10).await;
    for _ in 0..2 {
        assert!(matches!(client.sync_until_quiet(&Steady).await, Err(CallError::NotNow { .. })));
    }
    let summary = client.sync_until_quiet(&Steady).await.unwrap();
    assert_eq!((summary.acknowledged, summary.next), (10, Next::Rest));
    assert_eq!(service.0.lock().unwrap().batches, [2, 4, 4]);
}

#[tokio::test]
async fn an_answer_that_is_too_large_is_asked_for_in_smaller_pages() {
    let (service, url) = serve().await;
    service.0.lock().unwrap().records_max = Some(100);
    let (_dir, mut client) = client(&url, 1, 3).await;
    assert_eq!(client.sync_until_quiet(&Steady).await.unwrap().next, Next::Rest);
}

#[tokio::test]
async fn what_is_too_large_however_small_is_an_error_and_no_endless_try() {
    let (service, url) = serve().await;
    service.0.lock().unwrap().ops_max = Some(0);
    let (_dir, mut client) = client(&url, 1, 3).await;
    assert!(matches!(client.sync_until_quiet(&Steady).await, Err(CallError::Refused { .. })));
    assert!(service.0.lock().unwrap().syncs < 20);
}

#[tokio::test]
async fn a_copy_gets_another_name_without_anybody_asking() {
    let (service, url) = serve().await;
    let (_dir, mut original) = client(&url, 1, 1).await;
    let (_dir2, mut copy) = client(&url, 1, 0).await;
    copy.device_mut().record(clock(2), vec![new_place(7)]).unwrap();
    original.sync_until_quiet(&Steady).await.unwrap();
    let summary = copy.sync_until_quiet(&Steady).await.unwrap();
    assert!(summary.forked);
    assert_eq!(summary.next, Next::Rest);
    assert_ne!(copy.device().identity().unwrap().device, device_id(1));
    original.sync_until_quiet(&Steady).await.unwrap();
    assert_eq!(shown(copy.device()), shown(original.device()));
    assert_eq!(shown(copy.device()).len(), 2);
    drop(service);
}

#[tokio::test]
async fn a_cursor_that_the_server_does_not_know_is_replaced_by_a_new_start() {
    let (service, url) = serve().await;
    let (_dir, mut client) = client(&url, 1, 3).await;
    client.sync_until_quiet(&Steady).await.unwrap();
    let details = ErrorDetails::with_error_info("CURSOR_INVALID", "rounds", HashMap::new());
    let invalid = Status::with_error_details(Code::InvalidArgument, "the cursor is not mine", details);
    service.0.lock().unwrap().failures = vec![invalid.clone()];
    let summary = client.sync_until_quiet(&Steady).await.unwrap();
    assert_eq!((summary.pulled, summary.next), (3, Next::Rest));

    let (_dir, mut fresh) = self::client(&url, 2, 0).await;
    service.0.lock().unwrap().failures = vec![invalid];
    assert!(matches!(fresh.sync_until_quiet(&Steady).await, Err(CallError::Refused { .. })));
}

#[tokio::test]
async fn errors_say_whether_another_try_can_help_and_when() {
    let (service, url) = serve().await;
    let (_dir, mut client) = client(&url, 1, 1).await;
    for code in [Code::Unavailable, Code::ResourceExhausted] {
        let details = ErrorDetails::with_retry_info(Some(Duration::from_secs(7)));
        service.0.lock().unwrap().failures =
            vec![Status::with_error_details(code, "there is too much to do", details)];
        match client.sync_until_quiet(&Steady).await {
            Err(CallError::NotNow { retry_after, detail }) => {
                assert_eq!(
                    (retry_after, detail.as_str()),
                    (Some(Duration::from_secs(7)), "there is too much to do")
                );
            }
            other => panic!("{other:?}"),
        }
    }
    service.0.lock().unwrap().tokens.clear();
    let unknown = client.sync_until_quiet(&Steady).await;
    assert!(matches!(&unknown, Err(CallError::SignedOut { reason, .. }) if reason == "TOKEN_UNKNOWN"));
    assert_eq!(client.device().status().unwrap().unsent_ops, 1);
}

#[tokio::test]
async fn without_a_network_nothing_is_lost() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let (_dir, mut client) = client(&url, 1, 1).await;
    let error = client.sync_until_quiet(&Steady).await.unwrap_err();
    assert!(matches!(error, CallError::NotNow { .. }) && error.to_string().contains("refused"), "{error}");
    assert_eq!(client.device().pending().unwrap().len(), 1);
}

/// By chance alone, which is nothing here, it would try again at once.
#[tokio::test]
async fn a_server_that_asks_for_a_pause_is_not_called_before_it_is_over() {
    const PAUSE: Duration = Duration::from_millis(300);
    let (service, url) = serve().await;
    let (_dir, mut client) = client(&url, 1, 1).await;
    let details = ErrorDetails::with_retry_info(Some(PAUSE));
    service.0.lock().unwrap().failures =
        vec![Status::with_error_details(Code::Unavailable, "there is too much to do", details)];
    let wake = Notify::new();
    let (report, mut reports) = mpsc::unbounded_channel();
    let running = run(&mut client, &Steady, Duration::from_secs(86_400), &wake, |synced| {
        report.send((Instant::now(), synced.is_ok())).unwrap();
    });
    let heard = async { (reports.recv().await.unwrap(), reports.recv().await.unwrap()) };
    let ((refused_at, first), (asked_at, second)) = tokio::select! {
        ended = running => panic!("{ended:?}"),
        heard = heard => heard,
    };
    assert_eq!((first, second), (false, true));
    let waited = asked_at - refused_at;
    assert!(waited >= PAUSE, "{waited:?}");
}

#[tokio::test]
async fn while_it_runs_it_follows_hints_and_its_own_records_and_ends_when_it_is_wiped() {
    let (service, url) = serve().await;
    let (dir, mut client) = client(&url, 1, 1).await;
    let wake = Arc::new(Notify::new());
    let (report, mut reports) = mpsc::unbounded_channel();
    let running = {
        let wake = wake.clone();
        tokio::spawn(async move {
            let every = Duration::from_secs(86_400);
            run(&mut client, &Steady, every, &wake, |synced| {
                let synced =
                    synced.as_ref().map(|it| (it.acknowledged, it.next)).map_err(ToString::to_string);
                report.send(synced).unwrap();
            })
            .await
            .map_err(|error| error.to_string())
        })
    };
    assert_eq!(reports.recv().await.unwrap(), Ok((1, Next::Rest)), "at once");
    assert_eq!(reports.recv().await.unwrap(), Ok((0, Next::Rest)), "when the hints begin");

    let mut hand = Device::open(path(&dir)).unwrap();
    hand.record(clock(2), vec![new_place(1)]).unwrap();
    wake.notify_one();
    assert_eq!(reports.recv().await.unwrap(), Ok((1, Next::Rest)), "when something was recorded");

    let hints = service.0.lock().unwrap().hints.clone().unwrap();
    let fail = |status| service.0.lock().unwrap().failures.push(status);
    fail(Status::unavailable("not now"));
    hints.send(Ok(v1::WatchResponse::default())).await.unwrap();
    assert_eq!(reports.recv().await.unwrap(), Err("the server cannot be reached now: not now".to_owned()));
    assert_eq!(reports.recv().await.unwrap(), Ok((0, Next::Rest)), "again after a while");

    assert_eq!(reports.recv().await.unwrap(), Ok((0, Next::Rest)), "when the hints begin anew");
    let hints = service.0.lock().unwrap().hints.clone().unwrap();
    hints.send(Ok(v1::WatchResponse::default())).await.unwrap();
    assert_eq!(reports.recv().await.unwrap(), Ok((0, Next::Rest)), "when there is something new");

    service.0.lock().unwrap().server().revoke(1);
    wake.notify_one();
    while reports.recv().await.is_some_and(|report| report.is_ok_and(|(_, next)| next != Next::Wiped)) {}
    assert_eq!(running.await.unwrap(), Ok(Ended::Wiped));
}
