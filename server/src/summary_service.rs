//! `SummaryService`: how far areas are.

use crate::access;
use crate::directory_service::to_wire;
use crate::error::Error;
use crate::limit::{LIST_RECORDS_MAX, PAGE_BYTES_MAX, SILENT_HOURS};
use crate::page;
use crate::shared::Shared;
use crate::summary::{Answer, Division, Ground, Said};
use prost::Message as _;
use rounds_domain::summary::{Figure, Spread, Summary};
use rounds_domain::{AreaId, RecordId};
use rounds_proto::v1::summary_service_server::SummaryService;
use rounds_proto::{id_from_wire, v1};
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
        let said = Said {
            period: &request.period,
            day: &request.day,
            first: &request.first,
            last: &request.last,
            not_reached_days: request.not_reached_days,
        };
        let ground = self.0.ground(&caller, area(&request.area)?, said).await?;
        let answer = self.0.summarize(&caller, &ground, division, request.since_ms, worker).await?;
        Ok(Response::new(answer_to_wire(ground, answer)))
    }

    async fn list_behind(
        &self,
        request: Request<v1::ListBehindRequest>,
    ) -> Result<Response<v1::ListBehindResponse>, Status> {
        let caller = access::admit(&self.0.store, request.metadata()).await?;
        let request = request.into_inner();
        let size = page::size(request.page_size, LIST_RECORDS_MAX)?;
        let said = Said {
            period: &request.period,
            day: &request.day,
            first: &request.first,
            last: &request.last,
            not_reached_days: request.not_reached_days,
        };
        let ground = self.0.ground(&caller, area(&request.area)?, said).await?;
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

fn area(text: &str) -> Result<Option<AreaId>, Error> {
    if text.is_empty() { Ok(None) } else { Ok(Some(id_from_wire("area", text)?)) }
}

fn division(number: i32) -> Result<Division, Error> {
    let known = v1::Division::try_from(number)
        .map_err(|_| Error::invalid("division", "is not one that this server knows"))?;
    Ok(match known {
        v1::Division::Unspecified => Division::None,
        v1::Division::Area => Division::Area,
        v1::Division::Day => Division::Day,
        v1::Division::Week => Division::Week,
        v1::Division::Month => Division::Month,
    })
}

pub(crate) fn answer_to_wire(ground: Ground, answer: Answer) -> v1::SummarizeResponse {
    let freshness = answer.freshness;
    let late = answer.late.iter().map(|late| v1::LateDay {
        day: late.day.to_string(),
        ops: late.ops,
        received_ms: late.received_ms,
    });
    let parts = answer.parts.into_iter();
    let commitments = answer.commitments.into_iter().map(|commitment| v1::CommitmentProgress {
        commitment: commitment.id.to_string(),
        organization: commitment.organization.map(|id| id.to_string()).unwrap_or_default(),
        goal: commitment.goal,
        quantity: commitment.quantity,
        unit: commitment.unit,
        due: commitment.due,
        done: commitment.done,
    });
    v1::SummarizeResponse {
        first: ground.period.first.to_string(),
        last: ground.period.last.to_string(),
        before_first: answer.before.first.to_string(),
        before_last: answer.before.last.to_string(),
        time_zone: ground.zone_name,
        as_of_ms: answer.as_of_ms,
        summary: Some(summary_to_wire(answer.summary)),
        parts: parts
            .map(|(key, summary)| v1::SummaryPart { key, summary: Some(summary_to_wire(summary)) })
            .collect(),
        freshness: Some(v1::SummaryFreshness {
            devices: freshness.devices,
            silent_devices: freshness.silent_devices,
            silent_hours: SILENT_HOURS,
            unsent_ops: freshness.unsent_ops,
            quarantined_ops: freshness.quarantined_ops,
            disputed_records: freshness.disputed_records,
            heard_ms: freshness.heard_ms,
            late: late.collect(),
        }),
        commitments: commitments.collect(),
        names: answer.names.into_iter().collect(),
    }
}

fn summary_to_wire(summary: Summary) -> v1::Summary {
    let figure = |figure: Figure| v1::Figure {
        name: figure.name,
        value: figure.value,
        before: figure.before,
        of: figure.of,
    };
    let spread = |spread: Spread| v1::Spread {
        name: spread.name,
        count: spread.count,
        median_ms: spread.median_ms,
        p90_ms: spread.p90_ms,
        median_before_ms: spread.median_before_ms,
    };
    v1::Summary {
        figures: summary.figures.into_iter().map(figure).collect(),
        spreads: summary.spreads.into_iter().map(spread).collect(),
    }
}
