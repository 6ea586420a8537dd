//! `ContactService`: how to reach who raised a request. Nothing else of the server reads it.

use crate::access;
use crate::error::Error;
use crate::shared::Shared;
use rounds_domain::contact::over_since_ms;
use rounds_domain::{ContactData, Kind, Record, RecordId, Role};
use rounds_proto::v1::contact_service_server::ContactService;
use rounds_proto::{id_from_wire, v1};
use rounds_store::{AuditAction, Caller, RecordFilter, Vault};
use std::sync::Arc;
use tonic::{Request, Response, Status};

/// Follow-ups of one request that are looked at.
const FOLLOW_UPS_MAX: u32 = 100;

/// The service.
pub(crate) struct Contacts(pub(crate) Arc<Shared>);

#[tonic::async_trait]
impl ContactService for Contacts {
    async fn put_contact(
        &self,
        request: Request<v1::PutContactRequest>,
    ) -> Result<Response<v1::PutContactResponse>, Status> {
        let caller = access::admit(&self.0.store, request.metadata()).await?;
        Ok(Response::new(self.0.put_contact(&caller, request.into_inner()).await?))
    }

    async fn read_contact(
        &self,
        request: Request<v1::ReadContactRequest>,
    ) -> Result<Response<v1::ReadContactResponse>, Status> {
        let caller = access::admit(&self.0.store, request.metadata()).await?;
        let id = id_from_wire("request", &request.into_inner().request).map_err(Error::from)?;
        let contact = self.0.read_contact(&caller, id).await?;
        let contact = contact.map(|ContactData { name, phone }| v1::Contact { name, phone });
        Ok(Response::new(v1::ReadContactResponse { contact }))
    }
}

impl Shared {
    async fn put_contact(
        &self,
        caller: &Caller,
        request: v1::PutContactRequest,
    ) -> Result<v1::PutContactResponse, Error> {
        let id: RecordId = id_from_wire("request", &request.request)?;
        let key = match request.idempotency_key.as_str() {
            "" => self.random.id(self.clock.now_ms())?,
            key => id_from_wire("idempotency_key", key)?,
        };
        let v1::Contact { name, phone } = request.contact.unwrap_or_default();
        let contact = ContactData { name: name.trim().to_owned(), phone: phone.trim().to_owned() };
        contact.check()?;
        access::not_partner(caller, "give contact data")?;
        if caller.device.role == Role::Supervisor {
            return Err(Error::RoleForbids { role: caller.device.role, what: "give contact data" });
        }
        let record = self.store.record(id).await?.map(|numbered| numbered.record);
        let record = record.filter(|record| record.kind == Kind::Request && record.deleted.is_none());
        let record = record.ok_or(Error::NotFound("request"))?;
        // Whoever raised it may have been given other areas meanwhile.
        if !access::may_read(caller, &record) && !self.raised(caller, id).await? {
            return Err(Error::NotFound("request"));
        }
        let vault = self.vault()?;
        let now_ms = self.clock.now_ms();
        if self.store.has_contact_put(id, key).await? {
            return Ok(v1::PutContactResponse {});
        }
        if contact.is_empty() {
            if self.store.has_contact(id).await? {
                self.store.erase_contacts(vault, &[id], Some(&caller.device), now_ms).await?;
            }
            self.store.note_contact_taken_back(id, key, now_ms).await?;
            return Ok(v1::PutContactResponse {});
        }
        if over_since_ms(&record).is_some() {
            return Err(Error::RequestClosed);
        }
        self.note(caller, AuditAction::ContactPut, id, "").await?;
        self.store.put_contact(vault, id, key, &contact, self.random.key()?, now_ms).await?;
        Ok(v1::PutContactResponse {})
    }

    /// How to reach who raised a request. That somebody asked is on record before they know.
    pub(crate) async fn read_contact(
        &self,
        caller: &Caller,
        id: RecordId,
    ) -> Result<Option<ContactData>, Error> {
        let record = self.readable_record(caller, id).await?.record;
        if record.kind != Kind::Request || record.deleted.is_some() {
            return Err(Error::NotFound("request"));
        }
        if !self.may_read_contact(caller, &record).await? {
            let what = "read contact data of requests that it does not handle";
            return Err(Error::RoleForbids { role: caller.device.role, what });
        }
        let vault = self.vault()?;
        self.note(caller, AuditAction::ContactRead, id, "").await?;
        Ok(self.store.contact(vault, id).await?)
    }

    /// Whether the caller handles a request that it sees: coordinators of its area do, who raised it does, and so do
    /// those whom an open follow-up of it is given to.
    pub(crate) async fn may_read_contact(&self, caller: &Caller, request: &Record) -> Result<bool, Error> {
        if !access::may_read(caller, request) {
            return Ok(false);
        }
        match caller.device.role {
            Role::Coordinator | Role::Admin => Ok(true),
            Role::Field if self.raised(caller, request.id).await? => Ok(true),
            Role::Field => match caller.device.worker {
                Some(worker) => self.is_given(request, worker).await,
                None => Ok(false),
            },
            Role::Supervisor | Role::Partner | Role::System => Ok(false),
        }
    }

    /// Whether the caller's device, or its worker with another device, raised the request: sent the first op that creates
    /// it. What the record says of its beginning is no proof: whoever got to know a request may create the same again,
    /// with a clock that puts it first.
    async fn raised(&self, caller: &Caller, request: RecordId) -> Result<bool, Error> {
        Ok(self.store.raised_by(request).await?.is_some_and(|by| {
            by.key.device == caller.device.id || (by.worker.is_some() && by.worker == caller.device.worker)
        }))
    }

    /// Whether an open follow-up of the request is given to the worker, or to one of its groups.
    async fn is_given(&self, request: &Record, worker: RecordId) -> Result<bool, Error> {
        let filter = RecordFilter {
            subject: Some(request.id),
            status: Some("open".to_owned()),
            ..RecordFilter::of(Kind::FollowUp, vec![request.area], FOLLOW_UPS_MAX)
        };
        for follow_up in self.store.records(&filter).await? {
            if follow_up.record.reference("worker") == Some(worker) {
                return Ok(true);
            }
            let Some(group) = follow_up.record.reference("group") else { continue };
            let group = self.store.record(group).await?.map(|numbered| numbered.record);
            let members = group.filter(|group| group.deleted.is_none());
            let members = members.and_then(|group| group.fields.get("members").cloned()).unwrap_or_default();
            let worker = serde_json::Value::String(worker.to_string());
            if members.as_array().is_some_and(|members| members.contains(&worker)) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The server's half of the keys.
    pub(crate) fn vault(&self) -> Result<&Vault, Error> {
        self.contacts.as_ref().map(|keeping| keeping.vault.as_ref()).ok_or(Error::ContactsNotKept)
    }
}
