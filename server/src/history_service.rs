//! `HistoryService`: how things came about, and what waits for a coordinator.

use crate::access::{self, Inspector};
use crate::error::{Error, unreadable};
use crate::limit::{LIST_MAX, PAGE_BYTES_MAX};
use crate::page;
use crate::shared::Shared;
use prost::Message as _;
use rounds_domain::{Action, OpId, PlacedOp, RecordId, Role, fold};
use rounds_proto::v1::history_service_server::HistoryService;
use rounds_proto::{decode_op, encode_op, id_from_wire, op_from_wire, op_to_wire, v1, verdict_to_wire};
use rounds_store::{AuditAction, Caller, QuarantinePage, QuarantinedOp, RecordFilter, StoredOp};
use std::collections::HashMap;
use std::sync::Arc;
use tonic::{Request, Response, Status};

/// The service.
pub(crate) struct History(pub(crate) Arc<Shared>);

#[tonic::async_trait]
impl HistoryService for History {
    async fn list_ops(
        &self,
        request: Request<v1::ListOpsRequest>,
    ) -> Result<Response<v1::ListOpsResponse>, Status> {
        let caller = access::admit(&self.0.store, request.metadata()).await?;
        Ok(Response::new(self.0.list_ops(&caller, request.into_inner()).await?))
    }

    async fn list_disputes(
        &self,
        request: Request<v1::ListDisputesRequest>,
    ) -> Result<Response<v1::ListDisputesResponse>, Status> {
        let caller = access::admit(&self.0.store, request.metadata()).await?;
        Ok(Response::new(self.0.list_disputes(&caller, request.into_inner()).await?))
    }

    async fn list_quarantine(
        &self,
        request: Request<v1::ListQuarantineRequest>,
    ) -> Result<Response<v1::ListQuarantineResponse>, Status> {
        let caller = access::admit(&self.0.store, request.metadata()).await?;
        Ok(Response::new(self.0.list_quarantine(&caller, request.into_inner()).await?))
    }

    async fn release(
        &self,
        request: Request<v1::ReleaseRequest>,
    ) -> Result<Response<v1::ReleaseResponse>, Status> {
        let caller = access::admit(&self.0.store, request.metadata()).await?;
        Ok(Response::new(self.0.release(&caller, request.into_inner()).await?))
    }
}

impl Shared {
    async fn list_ops(
        &self,
        caller: &Caller,
        request: v1::ListOpsRequest,
    ) -> Result<v1::ListOpsResponse, Error> {
        let id = id_from_wire("record", &request.record)?;
        let after = page::after_op(&request.page_token)?;
        let (mut entries, _) = self.history(caller, id, usize::MAX).await?;
        if let Some(after) = after {
            let last = entries.iter().position(|entry| op_of(entry) == Some(after));
            entries.drain(..=last.ok_or_else(page::unknown)?);
        }
        let mut bytes = 0;
        let fits = |entry: &&v1::HistoryEntry| {
            bytes += entry.encoded_len();
            bytes <= PAGE_BYTES_MAX
        };
        let fitting = entries.iter().take_while(fits).count().max(1);
        let rest = entries.split_off(fitting.min(entries.len()));
        let last = entries.last().filter(|_| !rest.is_empty()).and_then(op_of);
        Ok(v1::ListOpsResponse { entries, next_page_token: last.map(page::op_token).unwrap_or_default() })
    }

    /// The newest ops behind a record, at most so many, in their order; and how many there are before them. What each
    /// does today hangs on all of them.
    pub(crate) async fn history(
        &self,
        caller: &Caller,
        id: RecordId,
        newest: usize,
    ) -> Result<(Vec<v1::HistoryEntry>, usize), Error> {
        access::not_partner(caller, "read histories")?;
        let deleted = self.readable_record(caller, id).await?.record.deleted.is_some();
        let ops = self.store.ops_of(id).await?;
        let placed: Vec<PlacedOp> = ops.iter().map(|stored| stored.placed.clone()).collect();
        let (_, effects) = fold(&placed);
        let today: HashMap<OpId, _> =
            effects.into_iter().map(|(op, effect)| (op.id(), effect.verdict())).collect();
        let before = ops.len().saturating_sub(newest);
        let entries = ops.iter().skip(before).map(|stored| {
            let mut entry = entry(stored, !deleted)?;
            let seq = stored.placed.key.seq;
            entry.today = today.get(&stored.placed.id()).map(|verdict| verdict_to_wire(seq, verdict));
            Ok(entry)
        });
        Ok((entries.collect::<Result<_, Error>>()?, before))
    }

    async fn list_disputes(
        &self,
        caller: &Caller,
        request: v1::ListDisputesRequest,
    ) -> Result<v1::ListDisputesResponse, Error> {
        access::coordinates(caller, "list disputes")?;
        let mut areas = access::own_areas(caller);
        if !request.area.is_empty() {
            let area = id_from_wire("area", &request.area)?;
            areas = self.narrowed(areas, area, false).await?;
        }
        let filter = RecordFilter {
            kind: None,
            areas,
            subject: None,
            code: None,
            external_ref: None,
            status: None,
            disputed: true,
            due_from_ms: None,
            due_until_ms: None,
            after: page::after_record(&request.page_token)?,
            limit: page::size(request.page_size, LIST_MAX)?,
        };
        if filter.areas.is_empty() {
            return Ok(v1::ListDisputesResponse::default());
        }
        let v1::ListRecordsResponse { records, next_page_token } = self.records_page(caller, filter).await?;
        Ok(v1::ListDisputesResponse { records, next_page_token })
    }

    async fn list_quarantine(
        &self,
        caller: &Caller,
        request: v1::ListQuarantineRequest,
    ) -> Result<v1::ListQuarantineResponse, Error> {
        access::coordinates(caller, "see the quarantine")?;
        let size = page::size(request.page_size, LIST_MAX)?;
        let after = page::after_op(&request.page_token)?;
        let areas = access::own_areas_or_all(caller);
        let QuarantinePage { ops: found, more } =
            self.store.quarantine(areas.as_deref(), after, size).await?;
        let last = found.last().filter(|_| more);
        let mut next_page_token = last.map(|op| page::op_token(op.id)).unwrap_or_default();
        let mut ops: Vec<v1::QuarantinedOp> = Vec::with_capacity(found.len());
        let mut bytes = 0;
        for (at, quarantined) in found.iter().enumerate() {
            let op = quarantined_to_wire(quarantined);
            bytes += op.encoded_len();
            if at > 0 && bytes > PAGE_BYTES_MAX {
                next_page_token = page::op_token(found[at - 1].id);
                break;
            }
            ops.push(op);
        }
        Ok(v1::ListQuarantineResponse { ops, next_page_token })
    }

    pub(crate) async fn release(
        &self,
        caller: &Caller,
        request: v1::ReleaseRequest,
    ) -> Result<v1::ReleaseResponse, Error> {
        access::coordinates(caller, "release ops from quarantine")?;
        let id = OpId { device: id_from_wire("device", &request.device)?, seq: request.seq };
        let quarantined = self.store.quarantined(id).await?.ok_or(Error::NotFound("op in quarantine"))?;
        if !self.sees_quarantined(caller, &quarantined).await? {
            return Err(Error::NotFound("op in quarantine"));
        }
        if request.dismiss {
            if request.mended.is_some() {
                return Err(Error::invalid("dismiss", "take the op in as mended, or lay it aside: not both"));
            }
            self.note(caller, AuditAction::QuarantineDismissed, id, "").await?;
            return match self.store.dismiss(id).await? {
                true => Ok(v1::ReleaseResponse { verdict: None }),
                false => Err(Error::NotFound("op in quarantine")),
            };
        }
        let op = match request.mended {
            Some(mended) => op_from_wire(mended)?,
            None => match quarantined.op {
                Some(op) => op,
                // Perhaps this server understands what the one that took it in did not.
                None => decode_op(&quarantined.raw)?,
            },
        };
        // The coordinator answers for it: its role and its areas count, not those of the author.
        if let Some(refusal) = Inspector::of_present(&self.store, caller).look(&op).await? {
            return Err(refusal.into());
        }
        self.note(caller, AuditAction::QuarantineReleased, id, "").await?;
        let verdict = self.store.release(id, op).await?.ok_or(Error::NotFound("op in quarantine"))?;
        tracing::info!(op = %id, by = %caller.device.id, "released an op from quarantine");
        Ok(v1::ReleaseResponse { verdict: Some(verdict_to_wire(id.seq, &verdict)) })
    }

    /// As in the list of the quarantine: an op is seen by whoever holds the area that it names, and by those about
    /// its device if it names none.
    pub(crate) async fn sees_quarantined(
        &self,
        caller: &Caller,
        quarantined: &QuarantinedOp,
    ) -> Result<bool, Error> {
        match &quarantined.op {
            _ if caller.device.role == Role::Admin => Ok(true),
            Some(op) => Ok(caller.holds(op.area)),
            None => {
                let device = self.store.device(quarantined.id.device).await?;
                Ok(device.is_some_and(|device| access::sees_device(caller, &device)))
            }
        }
    }
}

/// The op that an entry is about.
fn op_of(entry: &v1::HistoryEntry) -> Option<OpId> {
    Some(OpId { device: entry.device.parse().ok()?, seq: entry.seq })
}

/// One op of a history. What a deleted record said is told to nobody any more.
fn entry(stored: &StoredOp, with_content: bool) -> Result<v1::HistoryEntry, Error> {
    let PlacedOp { key, at_ms, worker, op } = &stored.placed;
    let shown = with_content || matches!(op.action, Action::Delete { .. });
    Ok(v1::HistoryEntry {
        device: key.device.to_string(),
        seq: key.seq,
        op: if shown { Some(op_to_wire(op).map_err(unreadable)?) } else { None },
        at_ms: *at_ms,
        received_at_ms: stored.received_ms,
        time_doubtful: stored.doubtful,
        stamp: key.stamp,
        worker: worker.map(|id| id.to_string()).unwrap_or_default(),
        verdict: Some(verdict_to_wire(key.seq, &stored.verdict)),
        today: None,
    })
}

fn quarantined_to_wire(quarantined: &QuarantinedOp) -> v1::QuarantinedOp {
    v1::QuarantinedOp {
        device: quarantined.id.device.to_string(),
        seq: quarantined.id.seq,
        op: as_sent(quarantined),
        reason: quarantined.refusal.reason.as_str().to_owned(),
        detail: quarantined.refusal.detail.clone(),
        received_at_ms: quarantined.received_ms,
        area: quarantined.op.as_ref().map(|op| op.area.to_string()).unwrap_or_default(),
    }
}

/// The op as its device encodes it. The store keeps the raw bytes of those that the edge refused; of those that were
/// refused later it has the content.
fn as_sent(quarantined: &QuarantinedOp) -> Vec<u8> {
    let encoded = match &quarantined.op {
        Some(op) if decode_op(&quarantined.raw).is_err() => encode_op(op).ok(),
        _ => None,
    };
    encoded.unwrap_or_else(|| quarantined.raw.clone())
}
