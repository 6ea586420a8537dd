//! A device that speaks `rounds.v1` by hand: it numbers ops and keeps its cursor, and does nothing else by itself.

use crate::act::Act;
use crate::server::TestClock;
use prost::Message as _;
use rounds_domain::{AreaId, DeviceId, Op, RecordId};
use rounds_proto::v1::contact_service_client::ContactServiceClient;
use rounds_proto::v1::device_service_client::DeviceServiceClient;
use rounds_proto::v1::directory_service_client::DirectoryServiceClient;
use rounds_proto::v1::history_service_client::HistoryServiceClient;
use rounds_proto::v1::summary_service_client::SummaryServiceClient;
use rounds_proto::v1::sync_service_client::SyncServiceClient;
use rounds_proto::{op_to_wire, v1};
use std::collections::BTreeMap;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Channel;
use tonic::{Request, Status};
use tonic_types::StatusExt as _;

type SignedIn = InterceptedService<Channel, Bearer>;

/// Adds the token, if there is one, to every call.
#[derive(Clone)]
pub struct Bearer(Option<MetadataValue<Ascii>>);

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(token) = &self.0 {
            request.metadata_mut().insert("authorization", token.clone());
        }
        Ok(request)
    }
}

/// A device that speaks `rounds.v1` by hand. A clone is the copy of a phone, with the same name and numbers.
#[derive(Clone)]
pub struct Peer {
    /// Its name.
    pub id: DeviceId,
    /// Its token.
    pub token: String,
    /// The number of its last op.
    pub seq: u64,
    /// The cursor of its last sync.
    pub cursor: Vec<u8>,
    /// The assignment that it knows.
    pub scope_version: u64,
    /// The records that it has, as its syncs told it.
    pub records: BTreeMap<RecordId, v1::Record>,
    channel: Channel,
    clock: TestClock,
}

impl Peer {
    /// Turns a one-time code into a device.
    pub async fn enrol(channel: Channel, clock: TestClock, code: &str) -> Result<Self, Status> {
        let request =
            v1::EnrolRequest { code: code.to_owned(), label: "test".to_owned(), ..Default::default() };
        let answer = DeviceServiceClient::new(channel.clone()).enrol(request).await?.into_inner();
        Ok(Self::known(channel, clock, answer.device.parse().expect("an id"), answer.token))
    }

    /// A device that has this name and token. Without a token, empty, it is nobody.
    pub fn known(channel: Channel, clock: TestClock, id: DeviceId, token: String) -> Self {
        Self {
            id,
            token,
            seq: 0,
            cursor: Vec::new(),
            scope_version: 0,
            records: BTreeMap::new(),
            channel,
            clock,
        }
    }

    /// The same line with the name and token of another device.
    pub fn with_token(self, id: DeviceId, token: &str) -> Self {
        Self { id, token: token.to_owned(), seq: 0, cursor: Vec::new(), records: BTreeMap::new(), ..self }
    }

    /// Goes on over another connection.
    pub fn reconnect(&mut self, channel: Channel) {
        self.channel = channel;
    }

    fn signed_in(&self) -> SignedIn {
        let token = (!self.token.is_empty()).then(|| format!("Bearer {}", self.token));
        let token = token.map(|token| token.parse().expect("a token of letters and digits"));
        InterceptedService::new(self.channel.clone(), Bearer(token))
    }

    /// The client of `SyncService`.
    pub fn sync(&self) -> SyncServiceClient<SignedIn> {
        SyncServiceClient::new(self.signed_in()).max_decoding_message_size(16 * 1024 * 1024)
    }

    /// The client of `DeviceService`.
    pub fn devices(&self) -> DeviceServiceClient<SignedIn> {
        DeviceServiceClient::new(self.signed_in())
    }

    /// The client of `DirectoryService`.
    pub fn directory(&self) -> DirectoryServiceClient<SignedIn> {
        DirectoryServiceClient::new(self.signed_in())
    }

    /// The client of `HistoryService`.
    pub fn history(&self) -> HistoryServiceClient<SignedIn> {
        HistoryServiceClient::new(self.signed_in())
    }

    /// The client of `ContactService`.
    pub fn contacts(&self) -> ContactServiceClient<SignedIn> {
        ContactServiceClient::new(self.signed_in())
    }

    /// The client of `SummaryService`.
    pub fn summaries(&self) -> SummaryServiceClient<SignedIn> {
        SummaryServiceClient::new(self.signed_in())
    }

    /// Gives what was done its number on this device.
    pub fn seal(&mut self, act: Act) -> v1::SealedOp {
        let observed = self.records.values().map(|record| record.stamp).max().unwrap_or_default();
        let op = Op { observed, scope_version: self.scope_version, ..act.op(&self.clock) };
        self.seal_op(&op)
    }

    /// Gives an op its number on this device.
    pub fn seal_op(&mut self, op: &Op) -> v1::SealedOp {
        self.seal_bytes(op_to_wire(op).expect("an op that can be written").encode_to_vec())
    }

    /// Gives the bytes of an op their number on this device.
    pub fn seal_bytes(&mut self, bytes: Vec<u8>) -> v1::SealedOp {
        self.seq += 1;
        v1::SealedOp { seq: self.seq, followed_by: 0, op: bytes.into() }
    }

    /// The clocks of a device whose wall clock is right.
    pub fn clocks(&self) -> v1::ClockReading {
        v1::ClockReading { wall_ms: self.clock.now_ms(), boot: 0, monotonic_ms: 0 }
    }

    /// One call with these ops. Takes the answer in.
    pub async fn send(&mut self, ops: Vec<v1::SealedOp>) -> Result<v1::SyncResponse, Status> {
        let request = v1::SyncRequest {
            unsent_ops: ops.len() as u64,
            ops,
            cursor: self.cursor.clone(),
            clock: Some(self.clocks()),
            ..v1::SyncRequest::default()
        };
        let answer = self.sync().sync(request).await?.into_inner();
        self.take(&answer);
        Ok(answer)
    }

    /// Does these things and sends them in one call. Answers their verdicts.
    pub async fn act(&mut self, acts: Vec<Act>) -> Vec<v1::Verdict> {
        let ops = acts.into_iter().map(|act| self.seal(act)).collect();
        self.send(ops).await.expect("an answer").verdicts
    }

    /// Pulls until there is no more. Answers all that came.
    pub async fn pull(&mut self) -> Vec<v1::FeedItem> {
        let mut feed = Vec::new();
        loop {
            let answer = self.send(Vec::new()).await.expect("an answer");
            feed.extend(answer.feed);
            if !answer.more {
                return feed;
            }
        }
    }

    /// Takes an answer in, as PROTOCOL says.
    pub fn take(&mut self, answer: &v1::SyncResponse) {
        for item in &answer.feed {
            match item.item.clone().expect("an item") {
                v1::feed_item::Item::Record(record) => {
                    self.records.insert(record.id.parse().expect("an id"), record);
                }
                v1::feed_item::Item::Departure(left) => {
                    let id: RecordId = left.record.parse().expect("an id");
                    if self.records.get(&id).is_some_and(|record| record.area == left.area) {
                        self.records.remove(&id);
                    }
                }
                v1::feed_item::Item::LeftArea(area) => self.records.retain(|_, record| record.area != area),
            }
        }
        self.cursor.clone_from(&answer.cursor);
        self.scope_version = answer.scope_version;
    }

    /// The records that it has of an area.
    pub fn records_in(&self, area: AreaId) -> Vec<&v1::Record> {
        self.records.values().filter(|record| record.area == area.to_string()).collect()
    }

    /// Changes records without a store. Answers the verdicts.
    pub async fn change(&self, ops: Vec<Op>) -> Vec<v1::Verdict> {
        self.try_change(ops, false).await.expect("ops that can be taken")
    }

    /// The same, where it may be refused.
    pub async fn try_change(&self, ops: Vec<Op>, atomic: bool) -> Result<Vec<v1::Verdict>, Status> {
        let ops = ops.iter().map(|op| op_to_wire(op).expect("an op that can be written")).collect();
        let answer = self.directory().change(v1::ChangeRequest { ops, atomic }).await?;
        Ok(answer.into_inner().verdicts)
    }

    /// A record as the server has it.
    pub async fn get(&self, id: RecordId) -> Result<v1::Record, Status> {
        let answer = self.directory().get_record(v1::GetRecordRequest { id: id.to_string() }).await?;
        Ok(answer.into_inner().record.expect("a record"))
    }
}

/// The machine-readable reason of an error.
pub fn reason(status: &Status) -> String {
    status.get_error_details().error_info().map(|info| info.reason.clone()).unwrap_or_default()
}
