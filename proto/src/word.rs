//! The small things: ids, kinds, roles, clocks.

use crate::v1;
use rounds_domain::verdict::Reason;
use rounds_domain::{ClockReading, Kind, Refusal, Role};
use std::str::FromStr;

/// Reads an id.
///
/// # Errors
/// A [`Refusal`] that names the field.
pub fn id_from_wire<T: FromStr>(field: &str, text: &str) -> Result<T, Refusal> {
    text.parse()
        .map_err(|_| Refusal::invalid(field, "is no UUID: write it as 01939f2c-7a5e-7b1c-9d7e-3f5a1c2b4d6e"))
}

/// Reads an id that may be empty.
pub(crate) fn optional_id_from_wire<T: FromStr>(field: &str, text: &str) -> Result<Option<T>, Refusal> {
    if text.is_empty() { Ok(None) } else { id_from_wire(field, text).map(Some) }
}

/// Writes an id that may be empty.
pub(crate) fn optional_id_to_wire<T: ToString>(id: Option<T>) -> String {
    id.map(|id| id.to_string()).unwrap_or_default()
}

/// Reads a kind.
///
/// # Errors
/// `UNKNOWN_KIND` for one that is not said or not known.
pub fn kind_from_wire(number: i32) -> Result<Kind, Refusal> {
    i16::try_from(number)
        .ok()
        .and_then(Kind::from_number)
        .ok_or_else(|| Refusal::new(Reason::UnknownKind, format!("kind: {number} is no kind known here")))
}

/// Writes a kind. A test holds that the numbers are the same.
pub fn kind_to_wire(kind: Kind) -> v1::Kind {
    v1::Kind::try_from(i32::from(kind.number())).unwrap_or(v1::Kind::Unspecified)
}

/// Reads a role. The server's own, [`Role::System`], cannot be said on the wire.
///
/// # Errors
/// A [`Refusal`] for one that is not said or not known.
pub fn role_from_wire(number: i32) -> Result<Role, Refusal> {
    i16::try_from(number).ok().and_then(Role::from_number).filter(|role| *role != Role::System).ok_or_else(
        || Refusal::invalid("role", "name a role: field, coordinator, supervisor, partner or admin"),
    )
}

/// Writes a role; [`Role::System`], the server's own, as unspecified.
pub fn role_to_wire(role: Role) -> v1::Role {
    v1::Role::try_from(i32::from(role.number())).unwrap_or(v1::Role::Unspecified)
}

/// Reads the clocks of a device. Nothing is refused for its clock.
pub fn clock_from_wire(clock: v1::ClockReading) -> ClockReading {
    let v1::ClockReading { wall_ms, boot, monotonic_ms } = clock;
    ClockReading { wall_ms, boot, monotonic_ms }
}

/// Writes the clocks of a device.
pub fn clock_to_wire(clock: ClockReading) -> v1::ClockReading {
    let ClockReading { wall_ms, boot, monotonic_ms } = clock;
    v1::ClockReading { wall_ms, boot, monotonic_ms }
}

/// Writes a time in ms since 1970 UTC.
pub fn timestamp_to_wire(at_ms: i64) -> prost_types::Timestamp {
    prost_types::Timestamp {
        seconds: at_ms.div_euclid(1_000),
        nanos: (at_ms.rem_euclid(1_000) * 1_000_000) as i32,
    }
}
