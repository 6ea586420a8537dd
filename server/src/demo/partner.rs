//! Partners, who answer for what was referred to them, without a store of their own.

use super::Error;
use crate::chance::Chance;
use rounds_proto::v1::directory_service_client::DirectoryServiceClient;
use rounds_proto::v1::{self, ChangeRequest, ListRecordsRequest};
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::Channel;
use tonic::{Request, Status};

/// Requests that a partner looks at in one go.
const PAGE_RECORDS: i32 = 200;

/// A partner at a web form.
pub(super) struct Partner {
    directory: DirectoryServiceClient<Channel>,
    authorization: MetadataValue<Ascii>,
    chance: Chance,
    /// How many of a hundred they solve each time that they look.
    diligence: u32,
    /// Ops that it recorded.
    pub(super) ops: u64,
    /// Calls that it made.
    pub(super) calls: u64,
}

impl Partner {
    pub(super) fn new(channel: Channel, token: &str, mut chance: Chance) -> Result<Self, Error> {
        let authorization = format!("Bearer {token}").parse().map_err(|_| Error::Token)?;
        let diligence = *chance.pick(&[12, 20, 30, 40]);
        Ok(Self {
            directory: DirectoryServiceClient::new(channel),
            authorization,
            chance,
            diligence,
            ops: 0,
            calls: 0,
        })
    }

    /// Looks at what was referred, and says how it goes.
    pub(super) async fn look(&mut self) -> Result<(), Error> {
        let mut ops = Vec::new();
        for record in self.list("referred").await? {
            if self.chance.percent(60) {
                ops.push(step(&record, "in_progress"));
            }
        }
        for record in self.list("in_progress").await? {
            if self.chance.percent(self.diligence) {
                ops.push(step(&record, "resolved"));
            }
        }
        if !ops.is_empty() {
            self.ops += ops.len() as u64;
            let request = self.signed(ChangeRequest { ops, atomic: false });
            self.directory.change(request).await?;
        }
        Ok(())
    }

    async fn list(&mut self, status: &str) -> Result<Vec<v1::Record>, Status> {
        let request = ListRecordsRequest {
            kind: v1::Kind::Request.into(),
            status: status.to_owned(),
            page_size: PAGE_RECORDS,
            ..ListRecordsRequest::default()
        };
        let request = self.signed(request);
        Ok(self.directory.list_records(request).await?.into_inner().records)
    }

    fn signed<T>(&mut self, message: T) -> Request<T> {
        self.calls += 1;
        let mut request = Request::new(message);
        request.metadata_mut().insert("authorization", self.authorization.clone());
        request
    }
}

fn step(record: &v1::Record, to: &str) -> v1::Op {
    v1::Op {
        schema_version: rounds_domain::op::SCHEMA_VERSION,
        record: record.id.clone(),
        area: record.area.clone(),
        kind: record.kind,
        observed: record.stamp,
        action: Some(v1::op::Action::Step(v1::Step { to: to.to_owned(), ..v1::Step::default() })),
        ..v1::Op::default()
    }
}
