//! A real server on a free port of this machine.

use crate::act::{Act, new_id};
use crate::database::{EPOCH, TestDatabase};
use crate::peer::Peer;
use rounds_domain::{AreaId, Body, RecordId, Role, body};
use rounds_proto::v1;
use rounds_server::secret::code_hash;
use rounds_server::{Clock, Config, Random, Serving, serve};
use rounds_store::{NewCode, Store};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;
use tokio::sync::oneshot;
use tonic::transport::{Channel, Endpoint};

/// 2026-11-22T08:00:00Z, when tests begin, in ms since 1970 UTC.
const START_MS: i64 = 1_795_334_400_000;

/// A clock that stands still until a test moves it.
#[derive(Clone, Debug)]
pub struct TestClock(Arc<AtomicI64>);

impl TestClock {
    /// Milliseconds since 1970 UTC.
    pub fn now_ms(&self) -> i64 {
        self.0.load(Ordering::SeqCst)
    }

    /// Moves it on.
    pub fn advance(&self, time: Duration) {
        self.0.fetch_add(time.as_millis() as i64, Ordering::SeqCst);
    }

    /// Sets it, back too.
    pub fn set(&self, now_ms: i64) {
        self.0.store(now_ms, Ordering::SeqCst);
    }

    /// The same clock for the server.
    pub fn clock(&self) -> Clock {
        let clock = self.clone();
        Clock::new(move || clock.now_ms())
    }
}

impl Default for TestClock {
    fn default() -> Self {
        Self(Arc::new(AtomicI64::new(START_MS)))
    }
}

/// A running server with a database of its own.
pub struct TestServer {
    /// What it keeps.
    pub store: Store,
    /// Its clock.
    pub clock: TestClock,
    /// An administrator.
    pub admin: Peer,
    config: Config,
    serving: Serving,
    stop: oneshot::Sender<()>,
    database_url: String,
    /// A database that nobody else holds on to.
    own: Option<TestDatabase>,
}

impl TestServer {
    /// A server as `rounds serve` starts it, on a new database.
    pub async fn start(database: &TestDatabase) -> Self {
        Self::start_with(database, |_| {}).await
    }

    /// The same on SQLite, for what no database has to do with.
    pub async fn start_on_sqlite() -> Self {
        Self::start_on_sqlite_with(|_| {}).await
    }

    /// The same, with another configuration.
    pub async fn start_on_sqlite_with(configure: impl FnOnce(&mut Config)) -> Self {
        let database = TestDatabase::sqlite().await;
        let server = Self::start_with(&database, configure).await;
        Self { own: Some(database), ..server }
    }

    /// The same, with another configuration.
    pub async fn start_with(database: &TestDatabase, configure: impl FnOnce(&mut Config)) -> Self {
        Self::start_at_with(database.url(), configure).await
    }

    /// The same on a database that this URL names.
    pub async fn start_at(database_url: &str) -> Self {
        Self::start_at_with(database_url, |_| {}).await
    }

    async fn start_at_with(database_url: &str, configure: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config::local(0);
        configure(&mut config);
        let clock = TestClock::default();
        let (store, serving, stop) = run(database_url, &config, &clock).await;
        let code = admin_code(&store, &clock).await;
        let channel = connect(&serving, &config).await;
        let admin = Peer::enrol(channel, clock.clone(), &code).await.expect("an administrator");
        let database_url = database_url.to_owned();
        Self { store, clock, admin, config, serving, stop, database_url, own: None }
    }

    /// The server's URL.
    pub fn url(&self) -> String {
        url(&self.serving, &self.config)
    }

    /// The URL of the server's database.
    pub fn database_url(&self) -> &str {
        &self.database_url
    }

    /// A new connection.
    pub async fn channel(&self) -> Channel {
        connect(&self.serving, &self.config).await
    }

    /// A one-time code.
    pub async fn code(&self, role: Role, areas: &[AreaId]) -> String {
        self.code_for(v1::CreateCodeRequest {
            role: rounds_proto::role_to_wire(role).into(),
            areas: areas.iter().map(AreaId::to_string).collect(),
            ..v1::CreateCodeRequest::default()
        })
        .await
    }

    /// A one-time code for what this asks.
    pub async fn code_for(&self, request: v1::CreateCodeRequest) -> String {
        self.admin.devices().create_code(request).await.expect("a code").into_inner().code
    }

    /// Enrols a device with this role for these areas.
    pub async fn enrol(&self, role: Role, areas: &[AreaId]) -> Peer {
        let code = self.code(role, areas).await;
        Peer::enrol(self.channel().await, self.clock.clone(), &code).await.expect("a device")
    }

    /// Enrols a partner that acts for an organization.
    pub async fn enrol_partner(&self, organization: RecordId, areas: &[AreaId]) -> Peer {
        let code = self
            .code_for(v1::CreateCodeRequest {
                role: v1::Role::Partner.into(),
                areas: areas.iter().map(AreaId::to_string).collect(),
                organization: organization.to_string(),
                ..v1::CreateCodeRequest::default()
            })
            .await;
        Peer::enrol(self.channel().await, self.clock.clone(), &code).await.expect("a device")
    }

    /// Adds an area to the tree, and moves the clock on by a second.
    pub async fn area(&self, name: &str, parent: Option<AreaId>) -> AreaId {
        let area = AreaId(new_id());
        let body = body::Area {
            name: name.to_owned(),
            parent: parent.map(RecordId::from),
            time_zone: "Asia/Shanghai".to_owned(),
            ..body::Area::default()
        };
        self.do_and_wait(Act::create_with_id(area.into(), area, Body::Area(body))).await;
        area
    }

    /// Adds a dwelling, and moves the clock on by a second.
    pub async fn dwelling(&self, area: AreaId, name: &str) -> RecordId {
        let body =
            body::Place { name: name.to_owned(), sort: "dwelling".to_owned(), ..body::Place::default() };
        self.add(area, Body::Place(body)).await
    }

    /// Adds a record, as the administrator, and moves the clock on by a second.
    pub async fn add(&self, area: AreaId, body: Body) -> RecordId {
        let act = Act::create(area, body);
        let record = act.record();
        self.do_and_wait(act).await;
        record
    }

    /// What tests do afterwards comes later by the clock too.
    async fn do_and_wait(&self, act: Act) {
        let verdicts = self.admin.change(vec![act.op(&self.clock)]).await;
        assert_eq!(verdicts[0].outcome(), v1::Outcome::Applied, "{verdicts:?}");
        self.clock.advance(Duration::from_secs(1));
    }

    /// Stops the server as SIGTERM does, and starts another on the same database.
    pub async fn restart(self) -> Self {
        let Self { store, clock, mut admin, config, serving, stop, database_url, own } = self;
        end(store, serving, stop).await;
        let (store, serving, stop) = run(&database_url, &config, &clock).await;
        admin.reconnect(connect(&serving, &config).await);
        Self { store, clock, admin, config, serving, stop, database_url, own }
    }

    /// Stops the server as SIGTERM does. Every test ends with it: what does not stop is found there.
    pub async fn stop(self) {
        let Self { store, serving, stop, own, .. } = self;
        end(store, serving, stop).await;
        drop(own);
    }
}

async fn run(
    database_url: &str,
    config: &Config,
    clock: &TestClock,
) -> (Store, Serving, oneshot::Sender<()>) {
    let store = Store::open(database_url, EPOCH).await.expect("a database that opens");
    let (stop, stopped) = oneshot::channel::<()>();
    let shutdown = async {
        let _ = stopped.await; // a test that panicked drops the sender
    };
    let serving = serve(config.clone(), store.clone(), clock.clock(), Random::system(), shutdown);
    (store, serving.await.expect("a server that starts"), stop)
}

async fn end(store: Store, serving: Serving, stop: oneshot::Sender<()>) {
    stop.send(()).expect("a server that runs");
    serving.stopped().await.expect("a server that stops");
    store.close().await;
}

fn url(serving: &Serving, config: &Config) -> String {
    match config.tls {
        Some(_) => format!("https://localhost:{}", serving.address.port()),
        None => format!("http://{}", serving.address),
    }
}

async fn connect(serving: &Serving, config: &Config) -> Channel {
    let mut endpoint = Endpoint::from_shared(url(serving, config)).expect("a URL");
    if let Some(tls) = &config.tls {
        let root = tonic::transport::Certificate::from_pem(&tls.certificates);
        let tls = tonic::transport::ClientTlsConfig::new().ca_certificate(root);
        endpoint = endpoint.tls_config(tls).expect("a certificate");
    }
    endpoint.connect().await.expect("a server that answers")
}

async fn admin_code(store: &Store, clock: &TestClock) -> String {
    let code = Random::system().code().expect("randomness");
    let new = NewCode {
        hash: code_hash(&code),
        role: Role::Admin,
        areas: Vec::new(),
        worker: None,
        organization: None,
        maker: None,
        expires_ms: clock.now_ms() + 1,
    };
    store.create_code(new).await.expect("a database that answers");
    code
}
