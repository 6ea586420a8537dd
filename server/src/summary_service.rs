//! `SummaryService`: how far areas are.

use crate::access;
use crate::directory_service::to_wire;
use crate::error::Error;
use crate::limit::{LIST_RECORDS_MAX, PAGE_BYTES_MAX};
use crate::page;
use crate::shared::Shared;
use crate::summary::{Division, TimeUnit};
use prost::Message as _;
use rounds_domain::RecordId;
use rounds_proto::v1::summary_service_server::SummaryService;
use rounds_proto::{id_from_wire, report_to_wire, v1};
use std::sync::Arc;
use tonic::{Request, Response, Status};

/// The service.
pub(crate) struct Summaries(pub(crate) Arc<Shared>);

#[tonic::async_trait]
impl SummaryService for Summaries {
    async fn summarize(
        &self,
        request: Request<v1::SummarizeRequest>,
    ) -> Result<Response<v1::SummarizeResponse>, Status> {
        let caller = access::admit(&self.0.store, request.metadata()).await?;
        let request = request.into_inner();
        let division = division(request.division)?;
        let worker = match request.worker.as_str() {
            "" => None,
            worker => Some(id_from_wire::<RecordId>("worker", worker).map_err(Error::from)?),
        };
        let ground = self.0.ground(&caller, &request.scope.unwrap_or_default()).await?;
        let report = self.0.summarize(&caller, &ground, division, request.since_ms, worker).await?;
        Ok(Response::new(report_to_wire(report)))
    }

    async fn list_behind(
        &self,
        request: Request<v1::ListBehindRequest>,
    ) -> Result<Response<v1::ListBehindResponse>, Status> {
        let caller = access::admit(&self.0.store, request.metadata()).await?;
        let request = request.into_inner();
        let size = page::size(request.page_size, LIST_RECORDS_MAX)?;
        let ground = self.0.ground(&caller, &request.scope.unwrap_or_default()).await?;
        let mut limit = size;
        loop {
            let (found, next_page_token) =
                self.0.list_behind(&caller, &ground, &request.figure, &request.page_token, limit).await?;
            let records = found.iter().map(to_wire).collect::<Result<Vec<_>, Error>>()?;
            let bytes: usize = records.iter().map(v1::Record::encoded_len).sum();
            if bytes <= PAGE_BYTES_MAX || limit == 1 {
                return Ok(Response::new(v1::ListBehindResponse { records, next_page_token }));
            }
            limit = (limit / 2).max(1); // large records: a page of fewer of them
        }
    }
}

fn division(number: i32) -> Result<Division, Error> {
    let known = v1::Division::try_from(number)
        .map_err(|_| Error::invalid("division", "is not one that this server knows"))?;
    Ok(match known {
        v1::Division::Unspecified => Division::None,
        v1::Division::Area => Division::Area,
        v1::Division::Day => Division::Time(TimeUnit::Day),
        v1::Division::Week => Division::Time(TimeUnit::Week),
        v1::Division::Month => Division::Time(TimeUnit::Month),
    })
}
