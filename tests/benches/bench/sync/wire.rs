//! On the wire: a server that only answers, and a meter between a device and its server.

use rounds_proto::v1;
use rounds_proto::v1::sync_service_server::{SyncService, SyncServiceServer};
use std::net::SocketAddr;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_stream::Empty;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};

/// A server on a free port that gives the same answer to every sync, and does nothing else.
pub(crate) struct Echo {
    pub(crate) address: SocketAddr,
    task: JoinHandle<Result<(), tonic::transport::Error>>,
    stop: oneshot::Sender<()>,
}

struct Always(v1::SyncResponse);

#[tonic::async_trait]
impl SyncService for Always {
    async fn sync(&self, _: Request<v1::SyncRequest>) -> Result<Response<v1::SyncResponse>, Status> {
        Ok(Response::new(self.0.clone()))
    }

    type WatchStream = Empty<Result<v1::WatchResponse, Status>>;

    async fn watch(&self, _: Request<v1::WatchRequest>) -> Result<Response<Self::WatchStream>, Status> {
        Err(Status::unimplemented("not needed here"))
    }
}

impl Echo {
    pub(crate) async fn start(answer: v1::SyncResponse) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
        let (stop, stopped) = oneshot::channel::<()>();
        let service = SyncServiceServer::new(Always(answer));
        let serving = Server::builder().add_service(service).serve_with_incoming_shutdown(incoming, async {
            let _ = stopped.await; // a benchmark that panicked drops the sender
        });
        Self { address, task: tokio::spawn(serving), stop }
    }

    pub(crate) async fn stop(self) {
        self.stop.send(()).expect("a server that runs");
        self.task.await.expect("a server that ends").expect("a server that ends well");
    }
}

/// Passes one connection on, and counts its bytes in both directions.
pub(crate) struct Meter {
    pub(crate) address: SocketAddr,
    task: JoinHandle<u64>,
}

impl Meter {
    pub(crate) async fn start(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let task = tokio::spawn(async move {
            let (mut device, _) = listener.accept().await.expect("a device");
            let mut server = TcpStream::connect(server).await.expect("a server");
            let passed = tokio::io::copy_bidirectional(&mut device, &mut server).await;
            let (up, down) = passed.expect("both ends close in order");
            up + down
        });
        Self { address, task }
    }

    /// The bytes of the connection, once it was closed.
    pub(crate) async fn bytes(self) -> u64 {
        self.task.await.expect("a connection")
    }
}
