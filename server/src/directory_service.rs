//! `DirectoryService`: records for those who have no store of their own.

use crate::access::{self, Inspector};
use crate::error::{Error, Violation, unreadable};
use crate::limit::{LIST_RECORDS_MAX, PAGE_BYTES_MAX, PARTNER_RECORDS_SCANNED_MAX, SCANNED_RECORDS_PAGE};
use crate::page;
use crate::shared::Shared;
use prost::Message as _;
use rounds_domain::limit::{BATCH_OPS_MAX, GROUP_OPS_MAX};
use rounds_domain::{AreaId, ClockReading, Kind, Op, RecordId, Role, vocabulary};
use rounds_proto::v1::directory_service_server::DirectoryService;
use rounds_proto::{
    encode_op, id_from_wire, kind_from_wire, op_from_wire, record_to_wire, v1, verdict_to_wire,
};
use rounds_store::{Arrival, Batch, Caller, Content, Numbered, Place, RecordFilter, content_hash};
use std::collections::BTreeMap;
use std::sync::Arc;
use tonic::{Request, Response, Status};

/// The service.
pub(crate) struct Directory(pub(crate) Arc<Shared>);

#[tonic::async_trait]
impl DirectoryService for Directory {
    async fn list_records(
        &self,
        request: Request<v1::ListRecordsRequest>,
    ) -> Result<Response<v1::ListRecordsResponse>, Status> {
        let caller = access::admit(&self.0.store, request.metadata()).await?;
        Ok(Response::new(self.0.list_records(&caller, request.into_inner()).await?))
    }

    async fn get_record(
        &self,
        request: Request<v1::GetRecordRequest>,
    ) -> Result<Response<v1::GetRecordResponse>, Status> {
        let caller = access::admit(&self.0.store, request.metadata()).await?;
        let id = id_from_wire("id", &request.get_ref().id).map_err(Error::from)?;
        let numbered = self.0.readable_record(&caller, id).await?;
        Ok(Response::new(v1::GetRecordResponse { record: Some(to_wire(&numbered)?) }))
    }

    async fn change(
        &self,
        request: Request<v1::ChangeRequest>,
    ) -> Result<Response<v1::ChangeResponse>, Status> {
        let token = access::token(request.metadata())?;
        let _room = self.0.room(token, request.get_ref().encoded_len())?;
        let caller = access::admit(&self.0.store, request.metadata()).await?;
        Ok(Response::new(self.0.change(&caller, request.into_inner()).await?))
    }

    async fn list_terms(
        &self,
        request: Request<v1::ListTermsRequest>,
    ) -> Result<Response<v1::ListTermsResponse>, Status> {
        let caller = access::admit(&self.0.store, request.metadata()).await?;
        Ok(Response::new(self.0.list_terms(&caller, request.into_inner()).await?))
    }
}

impl Shared {
    /// A record that the caller sees.
    pub(crate) async fn readable_record(&self, caller: &Caller, id: RecordId) -> Result<Numbered, Error> {
        let numbered = self.store.record(id).await?;
        numbered
            .filter(|numbered| access::may_read(caller, &numbered.record))
            .ok_or(Error::NotFound("record"))
    }

    async fn list_records(
        &self,
        caller: &Caller,
        request: v1::ListRecordsRequest,
    ) -> Result<v1::ListRecordsResponse, Error> {
        let kind = kind_from_wire(request.kind)?;
        if kind != Kind::Request {
            access::not_partner(caller, "list anything but requests")?;
        }
        let size = page::size(request.page_size, LIST_RECORDS_MAX)?;
        let subject = match request.subject.as_str() {
            "" => None,
            subject => Some(id_from_wire("subject", subject)?),
        };
        let mut areas = access::readable_areas(caller, kind);
        if !request.area.is_empty() {
            let area = id_from_wire("area", &request.area)?;
            areas = self.narrowed(areas, area, request.subtree).await?;
        }
        let filter = RecordFilter {
            subject,
            code: filled("code", request.code)?,
            external_ref: filled("external_ref", request.external_ref)?,
            status: filled("status", request.status)?,
            due_from_ms: request.due_from_ms,
            due_until_ms: request.due_until_ms,
            after: page::after_record(&request.page_token)?,
            ..RecordFilter::of(kind, areas, size)
        };
        if filter.areas.is_empty() {
            return Ok(v1::ListRecordsResponse::default());
        }
        self.records_page(caller, filter).await
    }

    /// Those of the caller's areas that it asks for.
    pub(crate) async fn narrowed(
        &self,
        areas: Vec<AreaId>,
        area: AreaId,
        subtree: bool,
    ) -> Result<Vec<AreaId>, Error> {
        if !areas.contains(&area) {
            return Err(Error::NotFound("area"));
        }
        if !subtree {
            return Ok(vec![area]);
        }
        let below = self.store.subtree(area).await?;
        Ok(below.into_iter().filter(|area| areas.contains(area)).collect())
    }

    /// A page of the records that the caller sees, cut where it would become too large.
    pub(crate) async fn records_page(
        &self,
        caller: &Caller,
        mut filter: RecordFilter,
    ) -> Result<v1::ListRecordsResponse, Error> {
        let size = filter.limit as usize;
        // Only a partner sees less than there is in its areas, and looks further.
        if caller.device.role == Role::Partner {
            filter.limit = filter.limit.max(SCANNED_RECORDS_PAGE);
        }
        let mut records = Vec::new();
        let mut bytes = 0;
        let mut looked_at = 0;
        loop {
            let found = self.store.records(&filter).await?;
            let is_last = found.len() < filter.limit as usize;
            looked_at += found.len();
            for numbered in &found {
                if access::may_read(caller, &numbered.record) {
                    let record = to_wire(numbered)?;
                    bytes += record.encoded_len();
                    if records.len() == size || (bytes > PAGE_BYTES_MAX && !records.is_empty()) {
                        return Ok(page_of(records, filter.after));
                    }
                    records.push(record);
                }
                filter.after = Some(filter.place(numbered));
            }
            if is_last {
                return Ok(page_of(records, None));
            }
            if records.len() == size || looked_at >= PARTNER_RECORDS_SCANNED_MAX {
                return Ok(page_of(records, filter.after));
            }
        }
    }

    pub(crate) async fn change(
        &self,
        caller: &Caller,
        request: v1::ChangeRequest,
    ) -> Result<v1::ChangeResponse, Error> {
        let limit = if request.atomic { GROUP_OPS_MAX } else { BATCH_OPS_MAX };
        if request.ops.is_empty() || request.ops.len() > limit {
            return Err(Error::invalid("ops", &format!("send 1 to {limit} in one call")));
        }
        let now_ms = self.clock.now_ms();
        let clock = ClockReading { wall_ms: now_ms, boot: 0, monotonic_ms: 0 };
        let ops = self.presentable(caller, request.ops, clock).await?;
        let last = ops.len() - 1;
        let arrivals = ops.into_iter().enumerate().map(|(at, op)| {
            let followed_by = if request.atomic { (last - at) as u32 } else { 0 };
            let hash = content_hash(followed_by, &encode_op(&op)?);
            Ok(Arrival { seq: None, followed_by, hash, content: Content::Admitted(op) })
        });
        let batch = Batch {
            device: caller.device.id,
            arrivals: arrivals.collect::<Result<_, Error>>()?,
            clock,
            received_ms: now_ms,
            holds_from: 0,
            settled: None,
        };
        let receipt = self.store.submit(batch).await?;
        let verdicts = receipt.verdicts.iter().map(|(seq, verdict)| verdict_to_wire(*seq, verdict)).collect();
        Ok(v1::ChangeResponse { verdicts })
    }

    /// Reads ops that the caller does now, at the server's time. Whoever asks is there to mend a fault, so nothing
    /// of a request with one goes to quarantine.
    async fn presentable(
        &self,
        caller: &Caller,
        ops: Vec<v1::Op>,
        clock: ClockReading,
    ) -> Result<Vec<Op>, Error> {
        let mut inspector = Inspector::of_present(&self.store, caller);
        let mut read = Vec::with_capacity(ops.len());
        let mut violations = Vec::new();
        for (at, wire) in ops.into_iter().enumerate() {
            let refusal = match op_from_wire(wire) {
                Err(refusal) => Some(refusal),
                Ok(op) => {
                    let observed = self.observed(&op).await?;
                    let op = Op { clock, observed, scope_version: caller.device.scope_version, ..op };
                    let refusal = inspector.look(&op).await?;
                    read.push(op);
                    refusal
                }
            };
            violations.extend(refusal.map(|refusal| Violation { op: Some(at), refusal }));
        }
        if violations.is_empty() { Ok(read) } else { Err(Error::Refused(violations)) }
    }

    /// What the author of an op had seen. One that does not say is taken to know the record as it is now: it asks
    /// from afar, and what it does comes after what is there, whatever the clocks of several servers say.
    async fn observed(&self, op: &Op) -> Result<u64, Error> {
        if op.observed != 0 {
            return Ok(op.observed);
        }
        Ok(self.store.record(op.record).await?.map_or(0, |numbered| numbered.record.through.stamp))
    }

    async fn list_terms(
        &self,
        caller: &Caller,
        request: v1::ListTermsRequest,
    ) -> Result<v1::ListTermsResponse, Error> {
        // A record with a built-in's word says another label for it, or retires it.
        let mut terms = BTreeMap::new();
        for term in built_in_terms() {
            terms.insert((term.vocabulary.clone(), term.word.clone()), term);
        }
        for numbered in &self.terms(caller).await? {
            if let Some(term) = term_of(to_wire(numbered)?) {
                terms.insert((term.vocabulary.clone(), term.word.clone()), term);
            }
        }
        for term in terms.values_mut().filter(|term| term.vocabulary == vocabulary::REQUEST_CATEGORY) {
            term.due_hours = term.due_hours.or_else(|| Some(vocabulary::due_hours(&term.word, [])));
        }
        let asked = |vocabulary: &str| request.vocabulary.is_empty() || request.vocabulary == vocabulary;
        Ok(v1::ListTermsResponse {
            terms: terms.into_values().filter(|term| asked(&term.vocabulary)).collect(),
        })
    }
}

pub(crate) fn to_wire(numbered: &Numbered) -> Result<v1::Record, Error> {
    record_to_wire(&numbered.record, numbered.number).map_err(unreadable)
}

fn page_of(records: Vec<v1::Record>, after: Option<Place>) -> v1::ListRecordsResponse {
    let next_page_token = after.map(page::record_token).unwrap_or_default();
    v1::ListRecordsResponse { records, next_page_token }
}

/// A text of a filter, if there is one.
fn filled(field: &str, text: String) -> Result<Option<String>, Error> {
    if text.contains('\0') {
        return Err(Error::invalid(field, "contains a NUL character: no record has one"));
    }
    Ok(if text.is_empty() { None } else { Some(text) })
}

fn built_in_terms() -> impl Iterator<Item = v1::Term> {
    vocabulary::BUILT_IN.iter().flat_map(|(vocabulary, words)| {
        words.iter().map(|[word, label_en, label_zh_hans, label_zh_hant]| v1::Term {
            vocabulary: (*vocabulary).to_owned(),
            word: (*word).to_owned(),
            label_en: (*label_en).to_owned(),
            label_zh_hans: (*label_zh_hans).to_owned(),
            label_zh_hant: (*label_zh_hant).to_owned(),
            retired: false,
            due_hours: None,
        })
    })
}

fn term_of(record: v1::Record) -> Option<v1::Term> {
    match record.body?.body? {
        v1::body::Body::Term(term) => Some(term),
        _ => None,
    }
}
