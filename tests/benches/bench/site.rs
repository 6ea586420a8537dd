//! A server with its database, areas and enrolled phones.

use crate::asked::Kind;
use crate::phone::Phone;
use rounds_domain::{
    Action, AreaId, Body, ClockReading, DeviceId, Kind as Noun, Op, Outcome, RecordId, Role, body,
};
use rounds_server::secret::{code_hash, token_hash};
use rounds_server::{Clock, Config, Random, Serving, serve};
use rounds_store::{Arrival, Batch, Content, NewCode, Store};
use rounds_tests::TestDatabase;
use std::net::SocketAddr;
use tokio::sync::oneshot;
use tonic::transport::{Channel, Endpoint};
use uuid::Uuid;

/// A database with areas, and a store on it.
pub(crate) struct Ground {
    pub(crate) store: Store,
    pub(crate) areas: Vec<AreaId>,
    pub(crate) database: TestDatabase,
}

/// The ground with a real server on a free port of this machine.
pub(crate) struct Site {
    pub(crate) ground: Ground,
    pub(crate) address: SocketAddr,
    serving: Serving,
    stop: oneshot::Sender<()>,
}

pub(crate) fn now_ms() -> i64 {
    Clock::system().now_ms()
}

/// The clocks of a device whose wall clock is right.
pub(crate) fn clocks() -> ClockReading {
    ClockReading { wall_ms: now_ms(), boot: 0, monotonic_ms: 0 }
}

impl Ground {
    /// A new database with so many areas.
    pub(crate) async fn lay(kind: Kind, areas: usize) -> Self {
        Self::lay_with(kind, areas, false).await
    }

    /// A new database with so many areas, the first of which has all others in it.
    pub(crate) async fn lay_city(kind: Kind, areas: usize) -> Self {
        Self::lay_with(kind, areas, true).await
    }

    async fn lay_with(kind: Kind, areas: usize, is_city: bool) -> Self {
        let database = kind.create().await;
        let store = database.open().await;
        let admin = DeviceId(Uuid::now_v7());
        store.internal_device(admin, "bench", Role::Admin, now_ms()).await.expect("a device");
        let areas: Vec<AreaId> = (0..areas).map(|_| AreaId(Uuid::now_v7())).collect();
        let parent = |area: AreaId| areas.first().copied().filter(|first| is_city && area != *first);
        let ops: Vec<Op> = areas.iter().map(|area| create_area(*area, parent(*area))).collect();
        for some in ops.chunks(500) {
            submit(&store, admin, some.to_vec()).await;
        }
        Self { store, areas, database }
    }

    /// A one-time code for an area.
    pub(crate) async fn code(&self, role: Role, area: AreaId) -> String {
        let code = Random::system().code().expect("a code");
        let new = NewCode {
            hash: code_hash(&code),
            role,
            areas: vec![area],
            worker: None,
            organization: None,
            maker: None,
            expires_ms: now_ms() + 60_000,
        };
        self.store.create_code(new).await.expect("a code");
        code
    }

    /// Enrols a phone for an area. Answers its id and token.
    pub(crate) async fn enrol(&self, area: AreaId) -> (DeviceId, String) {
        self.enrol_as(Role::Field, area).await
    }

    /// Enrols a device for an area. Answers its id and token.
    pub(crate) async fn enrol_as(&self, role: Role, area: AreaId) -> (DeviceId, String) {
        let code = self.code(role, area).await;
        let token = Random::system().token().expect("a token");
        let id = DeviceId(Uuid::now_v7());
        let device =
            self.store.enrol(code_hash(&code), id, "bench", token_hash(&token), None, now_ms()).await;
        (device.expect("a database that answers").expect("a device").id, token)
    }

    /// The number that a query answers.
    pub(crate) async fn number(&self, sql: &str) -> usize {
        self.database.number(&self.store, sql).await.expect("a number") as usize
    }

    /// Starts a server.
    pub(crate) async fn open(self) -> Site {
        let (stop, stopped) = oneshot::channel::<()>();
        let shutdown = async {
            let _ = stopped.await; // a benchmark that panicked drops the sender
        };
        let serving = serve(
            Config { rate_limits: false, ..Config::local(0) },
            self.store.clone(),
            Clock::system(),
            Random::system(),
            shutdown,
        );
        let serving = serving.await.expect("a server that starts");
        Site { ground: self, address: serving.address, serving, stop }
    }
}

impl Site {
    /// A phone for each area in turn, each with a connection of its own.
    pub(crate) async fn phones(&self, count: usize) -> Vec<Phone> {
        let mut phones = Vec::with_capacity(count);
        for area in self.ground.areas.iter().cycle().take(count) {
            phones.push(self.phone(*area).await);
        }
        phones
    }

    /// A phone for an area.
    pub(crate) async fn phone(&self, area: AreaId) -> Phone {
        let (_, token) = self.ground.enrol(area).await;
        Phone::new(connect(self.address).await, &token, area)
    }

    pub(crate) async fn close(self) {
        self.stop.send(()).expect("a server that runs");
        self.serving.stopped().await.expect("a server that stops");
        self.ground.store.close().await;
    }
}

/// Where to connect to.
pub(crate) fn endpoint(address: SocketAddr) -> Endpoint {
    Endpoint::from_shared(format!("http://{address}")).expect("a URL").tcp_nodelay(true)
}

pub(crate) async fn connect(address: SocketAddr) -> Channel {
    endpoint(address).connect().await.expect("a server that answers")
}

/// An op that creates an area.
pub(crate) fn create_area(area: AreaId, parent: Option<AreaId>) -> Op {
    let body = body::Area {
        name: "Riverside".to_owned(),
        time_zone: "Asia/Shanghai".to_owned(),
        parent: parent.map(RecordId::from),
        ..body::Area::default()
    };
    Op {
        record: RecordId::from(area),
        area,
        kind: Noun::Area,
        action: Action::Create(Box::new(Body::Area(body))),
        clock: clocks(),
        observed: 0,
        scope_version: 1,
    }
}

/// A batch as the server would hand it to the store.
pub(crate) fn batch(device: DeviceId, first_seq: Option<u64>, ops: Vec<Op>) -> Batch {
    let arrivals = ops.into_iter().zip(0..).map(|(op, at)| Arrival {
        seq: first_seq.map(|first| first + at),
        followed_by: 0,
        hash: [0; 32],
        content: Content::Admitted(op),
    });
    Batch {
        device,
        arrivals: arrivals.collect(),
        clock: clocks(),
        received_ms: now_ms(),
        holds_from: 0,
        settled: None,
    }
}

/// Hands ops to the store past the wire. All of them must take effect.
pub(crate) async fn submit(store: &Store, device: DeviceId, ops: Vec<Op>) {
    let receipt = store.submit(batch(device, None, ops)).await.expect("a commit");
    for (_, verdict) in receipt.verdicts {
        assert_eq!(verdict.outcome, Outcome::Applied, "{verdict:?}");
    }
}
