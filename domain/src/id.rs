//! Typed identifiers. All but [`OpId`] are UUIDs; new ones are version 7 so that they sort by age.

use serde::{Deserialize, Serialize};
use std::fmt;
use uuid::Uuid;

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }

        impl std::str::FromStr for $name {
            type Err = uuid::Error;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Uuid::parse_str(text).map(Self)
            }
        }
    };
}

uuid_id! {
    /// Names one thing for ever: a place, an asset, a visit. Chosen by whoever creates it.
    RecordId
}
uuid_id! {
    /// Names an area. An area is a record too; its record has the same UUID.
    AreaId
}
uuid_id! {
    /// Names one enrolled phone, laptop or program that sends ops. Given out by the server.
    DeviceId
}

impl From<AreaId> for RecordId {
    fn from(area: AreaId) -> Self {
        Self(area.0)
    }
}

impl From<RecordId> for AreaId {
    fn from(record: RecordId) -> Self {
        Self(record.0)
    }
}

impl RecordId {
    /// The id of a thing that follows from another thing, so that making it twice makes it once.
    ///
    /// `what` names the thing among all that follow from `self`, for example `recheck/30`.
    pub fn derived(self, what: &str) -> Self {
        Self(Uuid::new_v5(&self.0, what.as_bytes()))
    }
}

/// The identity of an op: the device that recorded it and its place in that device's own dense sequence.
///
/// The first op of a device has `seq` 1; there are no gaps.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct OpId {
    /// Who recorded it.
    pub device: DeviceId,
    /// Its number on that device, from 1, without gaps.
    pub seq: u64,
}

impl fmt::Display for OpId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.device, self.seq)
    }
}
