//! The one place where a call is bound to its caller: who it is, what its role allows, and which areas are its own.
//!
//! What is outside the caller's areas answers exactly like what does not exist.

use crate::error::Error;
use crate::secret::token_hash;
use axum::http::HeaderMap;
use rounds_domain::verdict::Reason;
use rounds_domain::{Action, AreaId, Body, Kind, Op, Record, RecordId, Refusal, Role};
use rounds_store::{Access, Caller, Device, Store};
use std::collections::{HashMap, HashSet};
use tonic::metadata::MetadataMap;

/// The hash of the token that a call carries.
///
/// # Errors
/// `TOKEN_MISSING`.
pub(crate) fn token(metadata: &MetadataMap) -> Result<[u8; 32], Error> {
    token_of(metadata.as_ref())
}

/// The same of a call that was not looked into yet.
///
/// # Errors
/// `TOKEN_MISSING`.
pub(crate) fn token_of(headers: &HeaderMap) -> Result<[u8; 32], Error> {
    let value = headers.get("authorization").and_then(|value| value.to_str().ok());
    let token = value
        .and_then(|value| value.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    token.map(|(_, token)| token_hash(token.trim())).ok_or(Error::TokenMissing)
}

/// Who calls. The device may be revoked: only `Sync`, which takes its last ops in, goes on with that.
///
/// # Errors
/// `TOKEN_UNKNOWN`.
pub(crate) async fn identify(store: &Store, token: [u8; 32]) -> Result<Caller, Error> {
    store.caller(token).await?.ok_or(Error::TokenUnknown)
}

/// Who calls, if it may.
///
/// # Errors
/// `TOKEN_MISSING`, `TOKEN_UNKNOWN`, `DEVICE_REVOKED`.
pub(crate) async fn admit(store: &Store, metadata: &MetadataMap) -> Result<Caller, Error> {
    not_revoked(identify(store, token(metadata)?).await?)
}

/// The caller, unless it was revoked.
///
/// # Errors
/// `DEVICE_REVOKED`.
pub(crate) fn not_revoked(caller: Caller) -> Result<Caller, Error> {
    if caller.device.revoked_ms.is_some() { Err(Error::DeviceRevoked) } else { Ok(caller) }
}

/// Lets coordinators and administrators pass; `what` they want is said to the others.
///
/// # Errors
/// `FORBIDDEN`.
pub(crate) fn coordinates(caller: &Caller, what: &'static str) -> Result<(), Error> {
    if caller.device.role.coordinates() { Ok(()) } else { forbids(caller, what) }
}

/// Keeps partners out: they see the requests that were referred to them, and nothing of how an area is doing.
///
/// # Errors
/// `FORBIDDEN`.
pub(crate) fn not_partner(caller: &Caller, what: &'static str) -> Result<(), Error> {
    match caller.device.role {
        Role::Field | Role::Coordinator | Role::Supervisor | Role::Admin => Ok(()),
        Role::Partner | Role::System => forbids(caller, what),
    }
}

fn forbids(caller: &Caller, what: &'static str) -> Result<(), Error> {
    Err(Error::RoleForbids { role: caller.device.role, what })
}

/// The caller's areas in which it sees records of this kind.
pub(crate) fn readable_areas(caller: &Caller, kind: Kind) -> Vec<AreaId> {
    let seen = caller.scope.iter().filter(|scoped| scoped.access == Access::Full || kind.is_reference());
    seen.map(|scoped| scoped.area).collect()
}

/// The caller's own areas.
pub(crate) fn own_areas(caller: &Caller) -> Vec<AreaId> {
    caller.scope.iter().filter(|scoped| scoped.access == Access::Full).map(|scoped| scoped.area).collect()
}

/// The same for the store's lists: `None`, all there is, for administrators.
pub(crate) fn own_areas_or_all(caller: &Caller) -> Option<Vec<AreaId>> {
    if caller.device.role == Role::Admin { None } else { Some(own_areas(caller)) }
}

/// The area whose days and times count where the caller looks at all of its areas.
pub(crate) fn home_area(caller: &Caller) -> Option<AreaId> {
    caller.device.areas.first().copied().or_else(|| own_areas(caller).first().copied())
}

/// Whether the caller sees this record.
pub(crate) fn may_read(caller: &Caller, record: &Record) -> bool {
    let in_scope = match caller.access(record.area) {
        Some(Access::Full) => true,
        Some(Access::Reference) => record.kind.is_reference(),
        None => false,
    };
    in_scope && (caller.device.role != Role::Partner || is_referred_to(record, caller.device.organization))
}

fn is_referred_to(record: &Record, organization: Option<RecordId>) -> bool {
    record.kind == Kind::Request && organization.is_some() && record.reference("referred_to") == organization
}

/// Whether the caller may see a device: one of its areas is the caller's.
pub(crate) fn sees_device(caller: &Caller, device: &Device) -> bool {
    caller.device.role == Role::Admin || device.areas.iter().any(|area| caller.holds(*area))
}

/// Lets the caller change a device: all of its areas are the caller's.
///
/// # Errors
/// `NOT_FOUND` if it may not even see it, `NOT_IN_SCOPE` if the device serves other areas as well.
pub(crate) fn may_manage(caller: &Caller, device: &Device) -> Result<(), Error> {
    if !sees_device(caller, device) {
        return Err(Error::NotFound("device"));
    }
    if caller.device.role == Role::Admin || device.areas.iter().all(|area| caller.holds(*area)) {
        return Ok(());
    }
    Err(Error::AreaForbids("the device serves areas that are not yours as well: ask an administrator"))
}

/// Looks at ops one after the other: well-formed, allowed for the role, in an area of the caller.
///
/// It remembers areas that earlier ops create, so that a batch may plant a tree of areas and fill it.
pub(crate) struct Inspector<'a> {
    store: &'a Store,
    caller: &'a Caller,
    /// Areas that the device was told the end of only after it recorded the op are its areas still.
    past: bool,
    held: HashMap<(AreaId, u64), bool>,
    born: HashSet<AreaId>,
}

impl<'a> Inspector<'a> {
    /// For ops that the caller recorded, perhaps long ago.
    pub(crate) fn of_recorded(store: &'a Store, caller: &'a Caller) -> Self {
        Self { store, caller, past: true, held: HashMap::new(), born: HashSet::new() }
    }

    /// For what the caller does at this moment.
    pub(crate) fn of_present(store: &'a Store, caller: &'a Caller) -> Self {
        Self { past: false, ..Self::of_recorded(store, caller) }
    }

    /// Why the op cannot be taken in; `None` if it can. Whether its record is or was in the area that it names is the
    /// store's to see; what is done now needs the area that the record is in.
    ///
    /// # Errors
    /// When the store cannot be asked.
    pub(crate) async fn look(&mut self, op: &Op) -> Result<Option<Refusal>, rounds_store::Error> {
        if let Err(refusal) = op.check() {
            return Ok(Some(refusal));
        }
        let role = self.caller.device.role;
        if !role.may(&op.action, op.kind) {
            let detail = format!("the role {} may not do this to a {}", role.name(), op.kind.name());
            return Ok(Some(Refusal::new(Reason::Forbidden, detail)));
        }
        if !self.holds(op.area, op.scope_version).await?
            && let Some(refusal) = self.look_at_birth(op).await?
        {
            return Ok(Some(refusal));
        }
        if let Action::Move { to } = op.action
            && !self.holds(to, op.scope_version).await?
        {
            return Ok(Some(Refusal::new(
                Reason::NotInScope,
                "move.to: the area is not one of the author's",
            )));
        }
        if self.past && role != Role::Partner {
            return Ok(None);
        }
        let record = self.store.record(op.record).await?.map(|numbered| numbered.record);
        if role == Role::Partner && !record.as_ref().is_some_and(|record| may_read(self.caller, record)) {
            return Ok(Some(Refusal::new(Reason::NotInScope, "record: no such request was referred to you")));
        }
        // Work that was recorded before a move was known counts under the area that the record was in; what is done now
        // does not.
        if !self.past
            && let Some(record) = record
            && !self.holds(record.area, op.scope_version).await?
        {
            return Ok(Some(Refusal::new(Reason::NotInScope, "there is no such record in this area")));
        }
        Ok(None)
    }

    /// The op is about an area that the author does not hold: it may create it below one that it holds.
    async fn look_at_birth(&mut self, op: &Op) -> Result<Option<Refusal>, rounds_store::Error> {
        let not_held = Refusal::new(Reason::NotInScope, "area: it is not one of the author's");
        let Action::Create(body) = &op.action else { return Ok(Some(not_held)) };
        let Body::Area(area) = body.as_ref() else { return Ok(Some(not_held)) };
        if let Some(parent) = area.parent
            && !self.holds(parent.into(), op.scope_version).await?
        {
            return Ok(Some(Refusal::new(Reason::NotInScope, "Area.parent: it is not one of the author's")));
        }
        // Else whoever knows the id of somebody's area could call it a child of an own one, and write into it.
        if self.store.record(op.record).await?.is_some() {
            return Ok(Some(not_held));
        }
        self.born.insert(op.area);
        Ok(None)
    }

    async fn holds(&mut self, area: AreaId, scope_version: u64) -> Result<bool, rounds_store::Error> {
        if self.caller.holds(area) || self.born.contains(&area) {
            return Ok(true);
        }
        if !self.past {
            return Ok(false);
        }
        if let Some(held) = self.held.get(&(area, scope_version)) {
            return Ok(*held);
        }
        let held = self.store.held(self.caller.device.id, area, scope_version).await?;
        self.held.insert((area, scope_version), held);
        Ok(held)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rounds_domain::record::Trace;
    use rounds_domain::{DeviceId, OpId, OrderKey};
    use rounds_store::ScopedArea;
    use uuid::Uuid;

    fn area(n: u128) -> AreaId {
        AreaId(Uuid::from_u128(n))
    }

    /// A caller with area 1 as its own and area 2 above it.
    fn caller(role: Role) -> Caller {
        let device = Device {
            id: DeviceId(Uuid::from_u128(100)),
            label: String::new(),
            role,
            worker: None,
            organization: (role == Role::Partner).then_some(RecordId(Uuid::from_u128(50))),
            scope_version: 1,
            enrolled_ms: 0,
            seen_ms: 0,
            revoked_ms: None,
            acknowledged_through: 0,
            unsent_ops: 0,
            forked_at: None,
            lost_ops: 0,
            copy_of: None,
            areas: vec![area(1)],
        };
        let scoped = |n, access| ScopedArea { area: area(n), access, head: 0 };
        Caller { device, scope: vec![scoped(1, Access::Full), scoped(2, Access::Reference)] }
    }

    fn record(kind: Kind, in_area: u128) -> Record {
        let op = OpId { device: DeviceId(Uuid::from_u128(9)), seq: 1 };
        let trace = Trace { op, at_ms: 0, worker: None };
        Record {
            id: RecordId(Uuid::from_u128(7)),
            kind,
            area: area(in_area),
            former_areas: Vec::new(),
            fields: Default::default(),
            status: String::new(),
            created: trace,
            changed: trace,
            writers: Default::default(),
            steps: Vec::new(),
            amendments: Vec::new(),
            disputes: Vec::new(),
            deleted: None,
            through: OrderKey { stamp: 0, device: op.device, seq: 1 },
        }
    }

    #[test]
    fn a_bearer_token_is_needed_and_its_scheme_may_be_written_in_any_case() {
        let mut metadata = MetadataMap::new();
        assert!(matches!(token(&metadata), Err(Error::TokenMissing)));
        metadata.insert("authorization", "Basic abc".parse().unwrap());
        assert!(matches!(token(&metadata), Err(Error::TokenMissing)));
        metadata.insert("authorization", "bearer abc".parse().unwrap());
        assert_eq!(token(&metadata).unwrap(), token_hash("abc"));
    }

    #[test]
    fn a_record_is_seen_in_own_areas_and_above_them_if_it_is_kept_once_for_all_below() {
        for role in [Role::Field, Role::Coordinator, Role::Supervisor] {
            let caller = caller(role);
            assert!(may_read(&caller, &record(Kind::Visit, 1)));
            assert!(may_read(&caller, &record(Kind::Checklist, 2)));
            assert!(!may_read(&caller, &record(Kind::Visit, 2)), "{role:?} sees visits of the area above");
            assert!(!may_read(&caller, &record(Kind::Checklist, 3)));
        }
    }

    #[test]
    fn a_partner_sees_the_requests_that_were_referred_to_it_and_nothing_else() {
        let caller = caller(Role::Partner);
        let mut request = record(Kind::Request, 1);
        assert!(!may_read(&caller, &request), "referred to nobody");
        request.fields.insert("referred_to".to_owned(), Uuid::from_u128(50).to_string().into());
        assert!(may_read(&caller, &request));
        request.fields.insert("referred_to".to_owned(), Uuid::from_u128(51).to_string().into());
        assert!(!may_read(&caller, &request), "referred to another");
        assert!(!may_read(&caller, &record(Kind::Organization, 1)));
    }

    #[test]
    fn a_device_is_managed_by_who_holds_all_of_its_areas() {
        let coordinator = caller(Role::Coordinator);
        let mut device = caller(Role::Field).device;
        assert!(may_manage(&coordinator, &device).is_ok());
        device.areas.push(area(3));
        assert!(matches!(may_manage(&coordinator, &device), Err(Error::AreaForbids(_))));
        device.areas = vec![area(3)];
        assert!(matches!(may_manage(&coordinator, &device), Err(Error::NotFound(_))));
        device.areas.clear(); // an administrator's
        assert!(matches!(may_manage(&coordinator, &device), Err(Error::NotFound(_))));
        assert!(may_manage(&caller(Role::Admin), &device).is_ok());
    }
}
