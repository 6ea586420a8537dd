//! Pages of lists: how many entries, and from where to go on.

use crate::error::Error;
use crate::limit::LIST_DEFAULT;
use rounds_domain::{DeviceId, OpId, RecordId};
use rounds_store::{DayPlace, Place};

/// How many entries a caller gets that asks for so many.
///
/// # Errors
/// A negative number.
pub(crate) fn size(asked: i32, max: u32) -> Result<u32, Error> {
    match u32::try_from(asked) {
        Ok(0) => Ok(LIST_DEFAULT.min(max)),
        Ok(asked) => Ok(asked.min(max)),
        Err(_) => Err(Error::invalid("page_size", "must not be negative; 0 leaves it to the server")),
    }
}

/// The last entry of a page, as the token that asks for the next one. A page that is not full is the last.
pub(crate) fn next<T>(entries: &[T], size: u32, token: impl FnOnce(&T) -> String) -> String {
    match entries.last() {
        Some(last) if entries.len() >= size as usize => token(last),
        _ => String::new(),
    }
}

/// The token of a list of devices.
pub(crate) fn device_token(id: DeviceId) -> String {
    id.0.simple().to_string()
}

/// Reads the token of a list of devices; empty for the first page.
///
/// # Errors
/// A token that this server did not give out.
pub(crate) fn after_device(token: &str) -> Result<Option<DeviceId>, Error> {
    if token.is_empty() { Ok(None) } else { token.parse().map(Some).map_err(|_| unknown()) }
}

/// The token of a list of ops.
pub(crate) fn op_token(op: OpId) -> String {
    format!("{}.{}", op.device.0.simple(), op.seq)
}

/// Reads the token of a list of ops; empty for the first page.
///
/// # Errors
/// A token that this server did not give out.
pub(crate) fn after_op(token: &str) -> Result<Option<OpId>, Error> {
    if token.is_empty() {
        return Ok(None);
    }
    let read = || {
        let (device, seq) = token.split_once('.')?;
        Some(OpId { device: device.parse().ok()?, seq: seq.parse().ok()? })
    };
    read().map(Some).ok_or_else(unknown)
}

/// The token of a list of records.
pub(crate) fn record_token((area, number, record): Place) -> String {
    format!("{}.{number}.{}", area.0.simple(), record.0.simple())
}

/// Reads the token of a list of records; empty for the first page.
///
/// # Errors
/// A token that this server did not give out.
pub(crate) fn after_record(token: &str) -> Result<Option<Place>, Error> {
    if token.is_empty() {
        return Ok(None);
    }
    let read = || {
        let (area, rest) = token.split_once('.')?;
        let (number, record) = rest.split_once('.')?;
        Some((area.parse().ok()?, number.parse().ok()?, record.parse().ok()?))
    };
    read().map(Some).ok_or_else(unknown)
}

/// The token of a list of records by days.
pub(crate) fn day_token((area, day, record): DayPlace) -> String {
    format!("{}.{day}.{}", area.0.simple(), record.0.simple())
}

/// Reads the token of a list of records by days; empty for the first page.
///
/// # Errors
/// A token that this server did not give out.
pub(crate) fn after_day(token: &str) -> Result<Option<DayPlace>, Error> {
    if token.is_empty() {
        return Ok(None);
    }
    let read = || {
        let (area, rest) = token.split_once('.')?;
        let (day, record) = rest.split_once('.')?;
        Some((area.parse().ok()?, day.parse().ok()?, record.parse().ok()?))
    };
    read().map(Some).ok_or_else(unknown)
}

/// Reads the token of a list by ids, which is the last id; empty for the first page.
///
/// # Errors
/// A token that this server did not give out.
pub(crate) fn after_id(token: &str) -> Result<Option<RecordId>, Error> {
    if token.is_empty() { Ok(None) } else { token.parse().map(Some).map_err(|_| unknown()) }
}

/// The refusal of a token that this server did not give out.
pub(crate) fn unknown() -> Error {
    Error::invalid("page_token", "is not one that this server gave out: begin without one")
}

#[cfg(test)]
mod tests {
    use super::*;
    use rounds_domain::AreaId;
    use uuid::Uuid;

    #[test]
    fn a_page_has_as_many_entries_as_were_asked_for_up_to_the_limit() {
        assert_eq!(size(0, 500).unwrap(), 100);
        assert_eq!(size(1, 500).unwrap(), 1);
        assert_eq!(size(500, 500).unwrap(), 500);
        assert_eq!(size(501, 500).unwrap(), 500);
        assert!(size(-1, 500).is_err());
    }

    #[test]
    fn a_token_leads_on_from_where_the_page_ended() {
        let id = Uuid::from_u128(77);
        assert_eq!(after_device(&device_token(DeviceId(id))).unwrap(), Some(DeviceId(id)));
        let op = OpId { device: DeviceId(id), seq: u64::MAX };
        assert_eq!(after_op(&op_token(op)).unwrap(), Some(op));
        let place = (AreaId(id), 9, RecordId(Uuid::from_u128(78)));
        assert_eq!(after_record(&record_token(place)).unwrap(), Some(place));
    }

    #[test]
    fn a_list_begins_without_a_token() {
        assert_eq!(after_device("").unwrap(), None);
        assert_eq!(after_op("").unwrap(), None);
        assert_eq!(after_record("").unwrap(), None);
    }

    #[test]
    fn a_token_of_another_list_is_refused() {
        let id = DeviceId(Uuid::from_u128(77));
        let device = device_token(id);
        let op = op_token(OpId { device: id, seq: 1 });
        let record = record_token((AreaId(id.0), 9, RecordId(id.0)));
        for token in ["x", "7.", ".7", "..", &op, &record] {
            assert!(after_device(token).is_err(), "{token}");
        }
        for token in ["x", "7.", ".7", "..", &device, &record] {
            assert!(after_op(token).is_err(), "{token}");
        }
        for token in ["x", "7.", ".7", "..", &device, &op] {
            assert!(after_record(token).is_err(), "{token}");
        }
    }

    #[test]
    fn a_page_that_is_not_full_is_the_last() {
        assert_eq!(next(&[1, 2], 2, i32::to_string), "2");
        assert_eq!(next(&[1], 2, i32::to_string), "");
        assert_eq!(next(&[], 2, i32::to_string), "");
    }
}
