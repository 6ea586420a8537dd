//! `DeviceService`: who may call, in which role, for which areas.

use crate::access;
use crate::edge::Origin;
use crate::error::Error;
use crate::limit::{CODE_VALID_SECONDS_DEFAULT, CODE_VALID_SECONDS_MAX, COPIES_MAX, LIST_MAX};
use crate::page;
use crate::secret::{Random, code_hash, token_hash};
use crate::shared::Shared;
use rounds_domain::limit::{LIST_ENTRIES_MAX, NAME_CHARS_MAX};
use rounds_domain::{AreaId, DeviceId, Kind, OpId, RecordId, Role};
use rounds_proto::v1::device_service_server::DeviceService;
use rounds_proto::{id_from_wire, role_from_wire, role_to_wire, timestamp_to_wire, v1};
use rounds_store::{AuditAction, Caller, Device, DeviceFilter, NewAudit, NewCode};
use std::sync::Arc;
use tonic::{Request, Response, Status};

/// The service.
pub(crate) struct Devices(pub(crate) Arc<Shared>);

#[tonic::async_trait]
impl DeviceService for Devices {
    async fn enrol(&self, request: Request<v1::EnrolRequest>) -> Result<Response<v1::EnrolResponse>, Status> {
        let origin = request.extensions().get().copied();
        Ok(Response::new(self.0.enrol(request.into_inner(), origin).await?))
    }

    async fn create_code(
        &self,
        request: Request<v1::CreateCodeRequest>,
    ) -> Result<Response<v1::CreateCodeResponse>, Status> {
        let caller = access::admit(&self.0.store, request.metadata()).await?;
        Ok(Response::new(self.0.create_code(&caller, request.into_inner()).await?))
    }

    async fn list_devices(
        &self,
        request: Request<v1::ListDevicesRequest>,
    ) -> Result<Response<v1::ListDevicesResponse>, Status> {
        let caller = access::admit(&self.0.store, request.metadata()).await?;
        Ok(Response::new(self.0.list_devices(&caller, request.into_inner()).await?))
    }

    async fn revoke(
        &self,
        request: Request<v1::RevokeRequest>,
    ) -> Result<Response<v1::RevokeResponse>, Status> {
        let caller = access::admit(&self.0.store, request.metadata()).await?;
        Ok(Response::new(self.0.revoke(&caller, request.into_inner()).await?))
    }

    async fn rotate(
        &self,
        request: Request<v1::RotateRequest>,
    ) -> Result<Response<v1::RotateResponse>, Status> {
        let caller = access::admit(&self.0.store, request.metadata()).await?;
        Ok(Response::new(self.0.rotate(&caller).await?))
    }

    async fn assign(
        &self,
        request: Request<v1::AssignRequest>,
    ) -> Result<Response<v1::AssignResponse>, Status> {
        let caller = access::admit(&self.0.store, request.metadata()).await?;
        Ok(Response::new(self.0.assign(&caller, request.into_inner()).await?))
    }

    async fn fork(&self, request: Request<v1::ForkRequest>) -> Result<Response<v1::ForkResponse>, Status> {
        // The copy of a revoked device too: else it could never hand over what it holds.
        let caller = access::identify(&self.0.store, access::token(request.metadata())?).await?;
        Ok(Response::new(self.0.fork(&caller, request.into_inner()).await?))
    }
}

impl Shared {
    /// Turns a code into a device. Whoever tries codes in vain has to wait.
    pub(crate) async fn enrol(
        &self,
        request: v1::EnrolRequest,
        origin: Option<Origin>,
    ) -> Result<v1::EnrolResponse, Error> {
        let Some(origin) = origin.filter(|_| self.rate_limits) else { return self.enrolled(request).await };
        let now_ms = self.uptime_ms();
        self.failed_codes.take(origin, now_ms).map_err(Error::RateLimited)?;
        self.codes_tried.take(code_hash(&request.code), now_ms).map_err(Error::RateLimited)?;
        let enrolled = self.enrolled(request).await;
        if !matches!(enrolled, Err(Error::CodeInvalid)) {
            self.failed_codes.give_back(&origin);
        }
        enrolled
    }

    async fn enrolled(&self, request: v1::EnrolRequest) -> Result<v1::EnrolResponse, Error> {
        let label = request.label.trim();
        if label.is_empty() || label.chars().count() > NAME_CHARS_MAX || label.chars().any(char::is_control) {
            let what = format!("say what people call the device, in 1 to {NAME_CHARS_MAX} characters");
            return Err(Error::invalid("label", &what));
        }
        let first_device = match request.first_device.as_str() {
            "" => None,
            id => Some(id_from_wire("first_device", id)?),
        };
        let now_ms = self.clock.now_ms();
        let id = DeviceId(self.random.id(now_ms)?);
        let token = self.random.token()?;
        let device = self
            .store
            .enrol(code_hash(&request.code), id, label, token_hash(&token), first_device, now_ms)
            .await?
            .ok_or(Error::CodeInvalid)?;
        Ok(v1::EnrolResponse {
            device: device.id.to_string(),
            token,
            role: role_to_wire(device.role).into(),
            worker: device.worker.map(|id| id.to_string()).unwrap_or_default(),
        })
    }

    pub(crate) async fn create_code(
        &self,
        caller: &Caller,
        request: v1::CreateCodeRequest,
    ) -> Result<v1::CreateCodeResponse, Error> {
        access::coordinates(caller, "make enrolment codes")?;
        let role = role_from_wire(request.role)?;
        if role == Role::Admin && caller.device.role != Role::Admin {
            return Err(Error::RoleForbids { role: caller.device.role, what: "enrol administrators" });
        }
        let areas = roots_from_wire(&request.areas)?;
        if (role == Role::Admin) != areas.is_empty() {
            return Err(Error::invalid("areas", "name one or more; none for an administrator, who has all"));
        }
        hold_all(caller, &areas)?;
        if (role == Role::Partner) == request.organization.is_empty() {
            return Err(Error::invalid("organization", "is needed for a partner, and for nobody else"));
        }
        let worker = self.reference(caller, "worker", &request.worker, Kind::Worker).await?;
        let organization =
            self.reference(caller, "organization", &request.organization, Kind::Organization).await?;
        let seconds = match request.valid_seconds {
            0 => CODE_VALID_SECONDS_DEFAULT,
            seconds if seconds > CODE_VALID_SECONDS_MAX => {
                let what = format!("at most {CODE_VALID_SECONDS_MAX}; 0 means a day");
                return Err(Error::invalid("valid_seconds", &what));
            }
            seconds => seconds,
        };
        let expires_ms = self.clock.now_ms() + i64::from(seconds) * 1_000;
        let code = self.random.code()?;
        let hash = code_hash(&code);
        let named: Vec<String> = areas.iter().map(AreaId::to_string).collect();
        self.note(caller, AuditAction::CodeMade, named.join(" "), role.name()).await?;
        self.store
            .create_code(NewCode {
                hash,
                role,
                areas,
                worker,
                organization,
                maker: Some(caller.device.id),
                expires_ms,
            })
            .await?;
        Ok(v1::CreateCodeResponse { code, expires: Some(timestamp_to_wire(expires_ms)) })
    }

    /// Writes into the audit log what the caller is about to do.
    pub(crate) async fn note(
        &self,
        caller: &Caller,
        action: AuditAction,
        subject: impl std::fmt::Display,
        detail: impl std::fmt::Display,
    ) -> Result<(), Error> {
        let entry = NewAudit::of(&caller.device, self.clock.now_ms(), action, subject);
        Ok(self.store.audit(entry.with(detail)).await?)
    }

    /// Reads a field that names a record of this kind; it may be empty.
    async fn reference(
        &self,
        caller: &Caller,
        field: &str,
        id: &str,
        kind: Kind,
    ) -> Result<Option<RecordId>, Error> {
        if id.is_empty() {
            return Ok(None);
        }
        let id: RecordId = id_from_wire(field, id)?;
        let found = self.store.record(id).await?.is_some_and(|numbered| {
            let record = numbered.record;
            record.kind == kind && record.deleted.is_none() && access::may_read(caller, &record)
        });
        if found { Ok(Some(id)) } else { Err(Error::NotFound(kind.name())) }
    }

    pub(crate) async fn list_devices(
        &self,
        caller: &Caller,
        request: v1::ListDevicesRequest,
    ) -> Result<v1::ListDevicesResponse, Error> {
        access::coordinates(caller, "list devices")?;
        let size = page::size(request.page_size, LIST_MAX)?;
        let after = page::after_device(&request.page_token)?;
        let areas = access::own_areas_or_all(caller);
        let filter = DeviceFilter { areas: areas.as_deref(), ..DeviceFilter::default() };
        let devices = self.store.devices(&filter, after, size).await?;
        Ok(v1::ListDevicesResponse {
            next_page_token: page::next(&devices, size, |device| page::device_token(device.id)),
            // Those of the server itself cannot be revoked or assigned.
            devices: devices
                .iter()
                .filter(|device| device.role != Role::System)
                .map(device_to_wire)
                .collect(),
        })
    }

    pub(crate) async fn revoke(
        &self,
        caller: &Caller,
        request: v1::RevokeRequest,
    ) -> Result<v1::RevokeResponse, Error> {
        access::coordinates(caller, "revoke devices")?;
        let id = self.managed(caller, &request.device).await?.id;
        self.note(caller, AuditAction::DeviceRevoked, id, "").await?;
        self.store.revoke(id, self.clock.now_ms()).await?;
        tracing::info!(device = %id, by = %caller.device.id, "revoked a device");
        Ok(v1::RevokeResponse {})
    }

    /// The device that this names, if the caller may change it.
    async fn managed(&self, caller: &Caller, id: &str) -> Result<Device, Error> {
        let id: DeviceId = id_from_wire("device", id)?;
        let device = self.store.device(id).await?.filter(|device| device.role != Role::System);
        let device = device.ok_or(Error::NotFound("device"))?;
        access::may_manage(caller, &device)?;
        Ok(device)
    }

    async fn rotate(&self, caller: &Caller) -> Result<v1::RotateResponse, Error> {
        let token = self.random.token()?;
        self.note(caller, AuditAction::TokenRotated, caller.device.id, "").await?;
        if !self.store.rotate(caller.device.id, token_hash(&token)).await? {
            return Err(Error::NotFound("device"));
        }
        Ok(v1::RotateResponse { token })
    }

    async fn assign(&self, caller: &Caller, request: v1::AssignRequest) -> Result<v1::AssignResponse, Error> {
        access::coordinates(caller, "assign devices")?;
        let device = self.managed(caller, &request.device).await?;
        if device.role == Role::Admin {
            return Err(Error::invalid("device", "an administrator has all areas"));
        }
        let areas = roots_from_wire(&request.areas)?;
        if areas.is_empty() {
            return Err(Error::invalid("areas", "name one or more; to take all away, revoke the device"));
        }
        hold_all(caller, &areas)?;
        let named: Vec<String> = areas.iter().map(AreaId::to_string).collect();
        self.note(caller, AuditAction::DeviceAssigned, device.id, named.join(" ")).await?;
        let scope_version = self.store.assign(device.id, &areas).await?.ok_or(Error::NotFound("device"))?;
        tracing::info!(device = %device.id, by = %caller.device.id, scope_version, "assigned a device");
        Ok(v1::AssignResponse { scope_version })
    }

    async fn fork(&self, caller: &Caller, request: v1::ForkRequest) -> Result<v1::ForkResponse, Error> {
        if caller.device.forked_at.is_none_or(|first| request.forked_at_seq < first) {
            return Err(Error::NotForked);
        }
        let from = OpId { device: caller.device.id, seq: request.forked_at_seq };
        let now_ms = self.clock.now_ms();
        let mut sources = vec![(self.random.clone(), now_ms)];
        if !request.op.is_empty() {
            let (device, seq) = (caller.device.id.0, request.forked_at_seq.to_be_bytes());
            let what = [device.as_bytes(), &seq[..], &request.op[..]].concat();
            sources.insert(0, (Random::of_secret(&self.link_key, what), caller.device.enrolled_ms));
        }
        for (random, ms) in sources {
            let new = DeviceId(random.id(ms)?);
            let token = random.token()?;
            // Whoever has one device can make it a copy at any time, and each copy a copy again: there is an end to it.
            // One that has its name gets it again.
            if self.store.copies(caller.device.id).await? >= COPIES_MAX
                && self.store.device(new).await?.is_none()
            {
                return Err(Error::TooManyCopies);
            }
            self.note(caller, AuditAction::DeviceForked, new, "").await?;
            let device = self.store.fork(from, new, token_hash(&token), now_ms).await?;
            if let Some(device) = device {
                tracing::warn!(device = %caller.device.id, new = %device.id, "a copy of a device got a name of its own");
                return Ok(v1::ForkResponse { device: device.id.to_string(), token });
            }
        }
        Err(Error::NotFound("device"))
    }
}

fn roots_from_wire(areas: &[String]) -> Result<Vec<AreaId>, Error> {
    if areas.len() > LIST_ENTRIES_MAX {
        return Err(Error::invalid("areas", &format!("at most {LIST_ENTRIES_MAX}: name an area above them")));
    }
    let mut roots =
        areas.iter().map(|area| id_from_wire("areas", area)).collect::<Result<Vec<AreaId>, _>>()?;
    roots.sort_unstable();
    roots.dedup();
    Ok(roots)
}

fn hold_all(caller: &Caller, areas: &[AreaId]) -> Result<(), Error> {
    if areas.iter().all(|area| caller.holds(*area)) { Ok(()) } else { Err(Error::NotFound("area")) }
}

fn device_to_wire(device: &Device) -> v1::Device {
    v1::Device {
        id: device.id.to_string(),
        label: device.label.clone(),
        role: role_to_wire(device.role).into(),
        areas: device.areas.iter().map(AreaId::to_string).collect(),
        worker: device.worker.map(|id| id.to_string()).unwrap_or_default(),
        organization: device.organization.map(|id| id.to_string()).unwrap_or_default(),
        enrolled: Some(timestamp_to_wire(device.enrolled_ms)),
        last_contact: (device.seen_ms != 0).then(|| timestamp_to_wire(device.seen_ms)),
        revoked: device.revoked_ms.map(timestamp_to_wire),
        acknowledged_through: device.acknowledged_through,
        unsent_ops: device.unsent_ops,
        forked_at_seq: device.forked_at.unwrap_or_default(),
        copy_of: device.copy_of.map(|id| id.to_string()).unwrap_or_default(),
        lost_ops: device.lost_ops,
    }
}
