//! Phones that record and sync while somebody does harm to their server, and what became of what they recorded.

use crate::database::TestDatabase;
use crate::new_id;
use crate::server::TestClock;
use crate::writer::Writer;
use rounds_device::{Asked, Device, Draft, Next, Size, enrol};
use rounds_domain::{AreaId, Body, ClockReading, DeviceId, Kind, RecordId, Role, body};
use rounds_proto::v1;
use rounds_proto::v1::sync_service_client::SyncServiceClient;
use rounds_server::secret::code_hash;
use rounds_store::{NewCode, Store};
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;
use tempfile::TempDir;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};

/// Visits that are recorded before each sync.
const VISITS_PER_SYNC: usize = 10;
/// Whoever holds so many ops that were not acknowledged records no more for now.
const UNSENT_MAX: u64 = 200;
/// How long a phone waits after a call that came to nothing, as phones do: without, those of a server that is down would
/// take the processor from the one that starts. No test concludes anything from it.
const PAUSE: Duration = Duration::from_millis(5);
/// How long a call may take.
const CALL_TIMEOUT: Duration = Duration::from_secs(30);
/// Records that are read from the store at a time.
const PAGE_RECORDS: u32 = 1_000;

/// How far all phones together are.
#[derive(Clone, Copy, Default, Debug)]
struct Progress {
    acknowledged: i64,
    /// Calls of any phone that were answered,
    answers: u64,
    /// and those that were not.
    failures: u64,
}

/// Phones that record visits to one area and sync all the time.
pub struct Crew {
    /// Where they work.
    pub area: AreaId,
    phones: Vec<JoinHandle<Phone>>,
    progress: watch::Receiver<Progress>,
    stop: watch::Sender<bool>,
    _files: TempDir,
}

/// What became of what a crew recorded. All of it was acknowledged in the end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Outcome {
    /// Visits that were recorded.
    pub recorded: u64,
    /// Those that the server does not have.
    pub lost: u64,
    /// Those that took effect more than once, and ops that got more than one number.
    pub doubled: u64,
    /// Ops that the server had acknowledged and, in the same epoch, did not know any more.
    pub taken_back: u64,
    /// Visits that phones do not show in the end though the server has them, or the other way round.
    pub unlike: u64,
}

impl Outcome {
    /// Nothing is wrong with so many visits.
    pub fn well(recorded: u64) -> Self {
        Self { recorded, lost: 0, doubled: 0, taken_back: 0, unlike: 0 }
    }

    /// How much is wrong.
    pub fn wrong(&self) -> u64 {
        self.lost + self.doubled + self.taken_back + self.unlike
    }
}

impl Crew {
    /// Enrols phones at the server that listens there, on the database of this store, and lets them begin, in a
    /// new area.
    ///
    /// # Panics
    /// When server or database do not answer.
    pub async fn begin(store: &Store, server: SocketAddr, phones: usize) -> Self {
        let area = Writer::enrol(store).await.area(store).await;
        let files = tempfile::tempdir().expect("a folder");
        let (told, progress) = watch::channel(Progress::default());
        let stop = watch::channel(false).0;
        let mut tasks = Vec::with_capacity(phones);
        for number in 0..phones {
            let code = new_id().to_string();
            let new = NewCode {
                hash: code_hash(&code),
                role: Role::Field,
                areas: vec![area],
                worker: None,
                organization: None,
                maker: None,
                expires_ms: i64::MAX,
            };
            store.create_code(new).await.expect("a database that answers");
            let mut device = Device::open(files.path().join(format!("{number}.phone"))).expect("a file");
            let url = format!("http://{server}");
            enrol(&mut device, &url, None, &code, "phone").await.expect("a server that answers");
            let channel = Endpoint::from_shared(url).expect("a URL").tcp_nodelay(true).connect_lazy();
            let phone = Phone::new(device, channel, area);
            tasks.push(tokio::spawn(phone.work(told.clone(), stop.subscribe())));
        }
        Self { area, phones: tasks, progress, stop, _files: files }
    }

    /// How many ops the server has acknowledged so far, and not taken back.
    pub fn acknowledged(&self) -> u64 {
        self.progress.borrow().acknowledged.max(0) as u64
    }

    /// Waits until so many more ops are acknowledged than now.
    ///
    /// # Panics
    /// When a phone found something that no server may answer.
    pub async fn acknowledged_more(&mut self, ops: u64) {
        let wanted = self.progress.borrow().acknowledged + ops as i64;
        self.progress.wait_for(|now| now.acknowledged >= wanted).await.expect("phones that work");
    }

    /// Waits until the phones were answered so many more times than now.
    ///
    /// # Panics
    /// When a phone found something that no server may answer.
    pub async fn answered_more(&mut self, answers: u64) {
        let wanted = self.progress.borrow().answers + answers;
        self.progress.wait_for(|now| now.answers >= wanted).await.expect("phones that work");
    }

    /// Waits until so many more calls came to nothing than now.
    ///
    /// # Panics
    /// When a phone found something that no server may answer.
    pub async fn failed_more(&mut self, failures: u64) {
        let wanted = self.progress.borrow().failures + failures;
        self.progress.wait_for(|now| now.failures >= wanted).await.expect("phones that work");
    }

    /// Lets the phones record no more, and waits until each has handed over everything and shows what the server has.
    /// Then looks in the database, which may be another by now.
    ///
    /// # Panics
    /// When the database does not answer.
    pub async fn finish(self, database: &TestDatabase) -> Outcome {
        self.stop.send_replace(true);
        let mut phones = Vec::with_capacity(self.phones.len());
        for phone in self.phones {
            phones.push(phone.await.expect("a phone that went on to its end"));
        }
        let store = database.open().await;
        let visits = visits(&store, self.area).await;
        let recorded: BTreeSet<RecordId> = phones.iter().flat_map(|phone| &phone.recorded).copied().collect();
        let twice = format!(
            "SELECT count(*) FROM (SELECT record FROM ops WHERE record IN
             (SELECT id FROM records WHERE kind = {}) GROUP BY record HAVING count(*) > 1) AS twice",
            Kind::Visit.number()
        );
        let mut outcome = Outcome {
            recorded: recorded.len() as u64,
            lost: recorded.difference(&visits).count() as u64,
            doubled: database.number(&store, &twice).await.expect("a number") as u64,
            taken_back: 0,
            unlike: 0,
        };
        for mut phone in phones {
            phone.finish().await; // the others brought more after it had finished
            outcome.unlike += phone.shown().symmetric_difference(&visits).count() as u64;
            outcome.taken_back += phone.taken_back;
            let known = store.device(phone.id()).await.expect("a database").expect("its device");
            outcome.doubled += known.acknowledged_through.saturating_sub(phone.recorded.len() as u64);
        }
        store.close().await;
        outcome
    }
}

/// All visits of an area.
async fn visits(store: &Store, area: AreaId) -> BTreeSet<RecordId> {
    let mut snapshot = store.snapshot().await.expect("a database that answers");
    let (mut visits, mut after) = (BTreeSet::new(), None);
    loop {
        let page = snapshot.page(Kind::Visit, area, None, after, PAGE_RECORDS).await.expect("a page");
        let Some(last) = page.last() else { return visits };
        after = Some((last.number, last.record.id));
        visits.extend(page.iter().map(|numbered| numbered.record.id));
    }
}

/// A device in somebody's hand.
struct Phone {
    device: Device,
    service: SyncServiceClient<Channel>,
    token: MetadataValue<Ascii>,
    area: AreaId,
    recorded: Vec<RecordId>,
    monotonic_ms: i64,
    /// The epoch of the last answer, and what it acknowledged.
    told: (String, u64),
    taken_back: u64,
}

impl Phone {
    fn new(device: Device, channel: Channel, area: AreaId) -> Self {
        let token = device.identity().expect("an identity").token;
        let token = format!("Bearer {token}").parse().expect("a token of letters and digits");
        let service =
            SyncServiceClient::new(channel).max_decoding_message_size(rounds_device::ANSWER_BYTES_MAX);
        let told = (String::new(), 0);
        Self { device, service, token, area, recorded: Vec::new(), monotonic_ms: 0, told, taken_back: 0 }
    }

    /// Records and syncs until it is told to stop, then until the server has everything.
    async fn work(mut self, told: watch::Sender<Progress>, stop: watch::Receiver<bool>) -> Self {
        loop {
            let is_last = *stop.borrow();
            if !is_last && self.unsent() < UNSENT_MAX {
                self.record();
            }
            let before = self.unsent() as i64;
            let synced = self.sync(&told).await;
            let acknowledged = before - self.unsent() as i64;
            told.send_modify(|progress| progress.acknowledged += acknowledged);
            match synced {
                Ok(Next::Rest) if is_last => return self,
                Ok(_) => tokio::task::yield_now().await,
                Err(_) => {
                    told.send_modify(|progress| progress.failures += 1);
                    tokio::time::sleep(PAUSE).await; // phones back off, and nothing says when the server is there again
                }
            }
        }
    }

    /// Pulls what is new.
    async fn finish(&mut self) {
        let nobody = watch::channel(Progress::default()).0;
        loop {
            match self.sync(&nobody).await {
                Ok(Next::Rest) => return,
                Ok(_) => {}
                Err(_) => tokio::time::sleep(PAUSE).await, // as above: phones back off
            }
        }
    }

    fn id(&self) -> DeviceId {
        self.device.identity().expect("an identity").device
    }

    fn shown(&self) -> BTreeSet<RecordId> {
        self.device.list(Kind::Visit).expect("a file").into_iter().map(|view| view.record.id).collect()
    }

    fn unsent(&self) -> u64 {
        self.device.status().expect("a file").unsent_ops
    }

    /// The clocks, a second later at each look.
    fn clock(&mut self) -> ClockReading {
        self.monotonic_ms += 1_000;
        let wall_ms = TestClock::default().now_ms() - 1_000_000_000 + self.monotonic_ms;
        ClockReading { wall_ms, boot: 1, monotonic_ms: self.monotonic_ms }
    }

    fn record(&mut self) {
        for _ in 0..VISITS_PER_SYNC {
            let visit = RecordId(new_id());
            let body = body::Visit {
                subject: Some(RecordId(new_id())),
                purpose: "routine".to_owned(),
                outcome: "met".to_owned(),
                ..body::Visit::default()
            };
            let now = self.clock();
            self.device
                .record(now, vec![Draft::create(visit, self.area, Body::Visit(body))])
                .expect("a file");
            self.recorded.push(visit);
        }
    }

    /// Asks until there is nothing more to say, or an error comes.
    async fn sync(&mut self, told: &watch::Sender<Progress>) -> Result<Next, Status> {
        loop {
            let now = self.clock();
            let asked = self.device.request(now, Size::default()).expect("a file");
            let answer = self.ask(&asked).await?;
            let (epoch, acknowledged) = &self.told;
            if *epoch == answer.epoch {
                self.taken_back += acknowledged.saturating_sub(answer.acknowledged_through);
            }
            self.told = (answer.epoch.clone(), answer.acknowledged_through);
            told.send_modify(|progress| progress.answers += 1);
            match self.device.take(&asked, answer).expect("an answer that can be read").next {
                Next::AskAgain => {}
                Next::Fork { at_seq } => panic!("the server knows another op {at_seq}"),
                next => return Ok(next),
            }
        }
    }

    async fn ask(&mut self, asked: &Asked) -> Result<v1::SyncResponse, Status> {
        let mut request = Request::new(asked.request.clone());
        request.set_timeout(CALL_TIMEOUT);
        request.metadata_mut().insert("authorization", self.token.clone());
        Ok(self.service.sync(request).await?.into_inner())
    }
}
