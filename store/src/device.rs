//! Devices: who may call, in which role, for which areas.

use rounds_domain::{AreaId, DeviceId, RecordId, Role};

/// A device as the store knows it.
#[derive(Clone, PartialEq, Debug)]
pub struct Device {
    /// Its id.
    pub id: DeviceId,
    /// What people call it.
    pub label: String,
    /// What it may do.
    pub role: Role,
    /// The worker that holds it.
    pub worker: Option<RecordId>,
    /// The organization that it acts for, if its role is partner.
    pub organization: Option<RecordId>,
    /// The version of its assignment, from 1.
    pub scope_version: u64,
    /// When it was enrolled, in ms since 1970 UTC.
    pub enrolled_ms: i64,
    /// Its last contact, at most a minute old, in ms since 1970 UTC; 0 if none.
    pub seen_ms: i64,
    /// When it was revoked.
    pub revoked_ms: Option<i64>,
    /// Every op up to this seq has its verdict.
    pub acknowledged_through: u64,
    /// How many ops it said it still held.
    pub unsent_ops: u64,
    /// The first op that two phones under this name disagreed on.
    pub forked_at: Option<u64>,
    /// Ops lost for good with a restore.
    pub lost_ops: u64,
    /// The device of which it is a copy that got a name of its own: revoked together with it.
    pub copy_of: Option<DeviceId>,
    /// The roots of its areas; empty for administrators and the system, who have all.
    pub areas: Vec<AreaId>,
}

/// Which devices.
#[derive(Clone, Copy, Default, Debug)]
pub struct DeviceFilter<'a> {
    /// With a root among these areas; all if none.
    pub areas: Option<&'a [AreaId]>,
    /// Only phones (the role is the field's) that were not revoked, and that nobody has heard of since this time, in ms
    /// since 1970 UTC: neither a call nor the enrolment came later.
    pub silent_since_ms: Option<i64>,
}

/// A one-time code for enrolment.
#[derive(Clone, PartialEq, Debug)]
pub struct NewCode {
    /// SHA-256 of the code; the code itself is not kept.
    pub hash: [u8; 32],
    /// The role of the device.
    pub role: Role,
    /// The roots of its areas.
    pub areas: Vec<AreaId>,
    /// The worker that will hold it.
    pub worker: Option<RecordId>,
    /// The organization of a partner.
    pub organization: Option<RecordId>,
    /// The device that made it, if one did: it is good for nothing once that is revoked, or loses an area.
    pub maker: Option<DeviceId>,
    /// Until when it is good, in ms since 1970 UTC.
    pub expires_ms: i64,
}

/// How much of an area a device receives.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Access {
    /// An area above its own: only the kinds that are kept once for all below, see `Kind::is_reference`.
    Reference,
    /// One of its own.
    Full,
}

/// An area in the scope of a device.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ScopedArea {
    /// The area.
    pub area: AreaId,
    /// How much of it.
    pub access: Access,
    /// The number of its last commit.
    pub head: u64,
}

/// A caller: the device that its token names, and its scope at this moment.
#[derive(Clone, PartialEq, Debug)]
pub struct Caller {
    /// The device. It may be revoked: the caller of this decides what that means.
    pub device: Device,
    /// Its areas, each once, sorted by id.
    pub scope: Vec<ScopedArea>,
}

impl Caller {
    /// Whether the area is one of the caller's own.
    pub fn holds(&self, area: AreaId) -> bool {
        self.access(area) == Some(Access::Full)
    }

    /// How much of an area the caller may see.
    pub fn access(&self, area: AreaId) -> Option<Access> {
        let at = self.scope.binary_search_by_key(&area, |scoped| scoped.area).ok()?;
        Some(self.scope[at].access)
    }
}

/// What a device said of itself at a call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Contact {
    /// The device.
    pub device: DeviceId,
    /// The server's clock at the call.
    pub seen_ms: i64,
    /// How many ops it still holds.
    pub unsent_ops: u64,
}
