//! The server's side: the database, and the server that runs on it, until it does not.

use super::{Kept, Stop};
use crate::chance::Chance;
use crate::device_service::Devices;
use crate::secret::Random;
use crate::shared::Shared;
use crate::sync::Call;
use crate::{Clock, Config};
use rounds_domain::{AreaId, Record};
use rounds_proto::v1::device_service_server::DeviceService;
use rounds_proto::{record_from_wire, record_to_wire, v1};
use rounds_store::{Access, FeedItem, Memory, Position, Store};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tonic::{Request, Response, Status};
use uuid::Uuid;

/// How long devices keep ops that were acknowledged. Backups that are restored are younger.
pub(super) const ACKNOWLEDGED_KEPT: Duration = Duration::from_secs(14 * 60 * 60);

/// The time as it is, which no clock has to show.
#[derive(Clone, Debug)]
pub(super) struct Now(Arc<AtomicI64>);

impl Now {
    pub(super) fn at(ms: i64) -> Self {
        Self(Arc::new(AtomicI64::new(ms)))
    }

    pub(super) fn ms(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }

    pub(super) fn set(&self, ms: i64) {
        self.0.store(ms, Ordering::Relaxed);
    }
}

/// A call that waits at the server for its commit.
pub(super) struct Waiting {
    pub(super) phone: usize,
    pub(super) generation: u64,
    pub(super) number: u64,
    pub(super) request: v1::SyncRequest,
    pub(super) call: Call,
}

/// What was read of an area: in which epoch, up to where, and what.
struct Read {
    epoch: Uuid,
    positions: Vec<Position>,
    records: Arc<Vec<Record>>,
}

/// The server and its database.
pub(super) struct Site {
    pub(super) memory: Memory,
    /// None while the server is down.
    running: Option<Arc<Shared>>,
    /// Calls that were looked at, to be committed together.
    pub(super) door: Vec<Waiting>,
    read: BTreeMap<AreaId, Read>,
    now: Now,
    random: Random,
}

impl Site {
    pub(super) async fn new(now: Now, mut chance: Chance) -> Kept<Self> {
        let epoch = chance.id(now.ms()).0;
        let dice = Mutex::new(chance);
        let random = Random::new(move |buffer| {
            let mut dice = dice.lock().unwrap_or_else(PoisonError::into_inner);
            for byte in buffer {
                *byte = dice.number() as u8; // the lowest of its bytes
            }
            Ok(())
        });
        let memory = Memory::new().await?;
        let mut site = Self { memory, running: None, door: Vec::new(), read: BTreeMap::new(), now, random };
        site.start(epoch).await?;
        Ok(site)
    }

    /// Starts the server; `epoch` is for a new database.
    pub(super) async fn start(&mut self, epoch: Uuid) -> Kept {
        if self.running.is_some() {
            return Ok(());
        }
        let store = self.memory.open(epoch).await?;
        let now = self.now.clone();
        let (_, stopping) = tokio::sync::watch::channel(false);
        let link_key = store.link_key(self.random.key()?).await?;
        let config = Config { acknowledged_kept: ACKNOWLEDGED_KEPT, ..Config::local(0) };
        let clock = Clock::new(move || now.ms());
        let shared = Shared::new(&config, store, clock, self.random.clone(), link_key, stopping);
        self.running = Some(Arc::new(shared));
        Ok(())
    }

    /// Ends the server: what it had not committed is gone.
    pub(super) async fn end(&mut self) {
        self.door.clear();
        if let Some(running) = self.running.take() {
            running.store.close().await;
        }
    }

    /// Puts a backup in the place of the database, as another epoch.
    pub(super) async fn restore(&mut self, backup: &Memory, epoch: Uuid) -> Kept {
        self.end().await;
        let restored = backup.copied().await?;
        restored.begin_epoch(epoch).await?;
        std::mem::replace(&mut self.memory, restored).close().await;
        self.start(epoch).await
    }

    pub(super) async fn close(mut self) {
        self.end().await;
        self.memory.close().await;
    }

    /// The server, unless it is down.
    pub(super) fn running(&self) -> Option<Arc<Shared>> {
        self.running.clone()
    }

    /// The server, which must be up.
    pub(super) fn shared(&self) -> Kept<Arc<Shared>> {
        let down = || Stop { promise: super::Promise::Sound, what: "the server is down".to_owned() };
        self.running.clone().ok_or_else(down)
    }

    pub(super) fn store(&self) -> Kept<Store> {
        Ok(self.shared()?.store.clone())
    }

    /// A device's call to have a name of its own.
    pub(super) async fn fork(
        &self,
        token: &str,
        request: v1::ForkRequest,
    ) -> Result<v1::ForkResponse, Status> {
        let Some(shared) = self.running() else { return Err(Status::unavailable("down")) };
        let request = signed(token, request)?;
        Devices(shared).fork(request).await.map(Response::into_inner)
    }

    /// What a coordinator does to a device.
    pub(super) async fn assign(&self, token: &str, device: String, areas: Vec<String>) -> Result<(), Status> {
        let Some(shared) = self.running() else { return Err(Status::unavailable("down")) };
        let request = signed(token, v1::AssignRequest { device, areas })?;
        Devices(shared).assign(request).await.map(drop)
    }

    /// The same, for good.
    pub(super) async fn revoke(&self, token: &str, device: String) -> Result<(), Status> {
        let Some(shared) = self.running() else { return Err(Status::unavailable("down")) };
        let request = signed(token, v1::RevokeRequest { device })?;
        Devices(shared).revoke(request).await.map(drop)
    }

    /// Everything in an area, deleted ones too, as a device gets it.
    pub(super) async fn records(&mut self, area: AreaId) -> Kept<Arc<Vec<Record>>> {
        let store = self.store()?;
        let epoch = store.epoch();
        if let Some(read) = self.read.get(&area)
            && read.epoch == epoch
            && store.pull(&read.positions, 1).await?.items.is_empty()
        {
            return Ok(read.records.clone()); // nothing has moved since
        }
        let mut wanted = vec![Position { area, access: Access::Full, after: 0 }];
        let mut records = Vec::new();
        loop {
            let page = store.pull(&wanted, 5_000).await?;
            for item in &page.items {
                if let FeedItem::Record(numbered) = item {
                    records.push(through_the_wire(&numbered.record)?);
                }
            }
            wanted = page.positions;
            if !page.more {
                let records = Arc::new(records);
                self.read.insert(area, Read { epoch, positions: wanted, records: records.clone() });
                return Ok(records);
            }
        }
    }
}

/// A record as a device can know it.
pub(super) fn through_the_wire(record: &Record) -> Kept<Record> {
    let wire = record_to_wire(record, 0).map_err(|refusal| Stop {
        promise: super::Promise::Sound,
        what: format!("record {} cannot be sent: {refusal}", record.id),
    })?;
    Ok(record_from_wire(wire)?.0)
}

fn signed<T>(token: &str, message: T) -> Result<Request<T>, Status> {
    let mut request = Request::new(message);
    let value =
        format!("Bearer {token}").parse().map_err(|_| Status::internal("a token that cannot be sent"))?;
    request.metadata_mut().insert("authorization", value);
    Ok(request)
}
