//! The cursor: how far a device has read, as opaque bytes that it keeps for the server.
//!
//! It grants nothing. What is read is worked out from the areas that the caller has at this moment; the cursor only
//! tells where to go on in them, and which areas the device must drop because they are the caller's no more.

use crate::error::Error;
use prost::Message;
use rounds_domain::AreaId;
use rounds_domain::bug::{Bug, is_injected};
use rounds_store::{Access, Position, ScopedArea};
use std::collections::BTreeMap;
use uuid::Uuid;

/// How far a device has read in each area, in one epoch of the server.
#[derive(Clone, PartialEq, Debug, Default)]
pub(crate) struct Cursor {
    areas: BTreeMap<AreaId, (Access, u64)>,
    mark: Mark,
    /// Of another epoch: everything that the device has is in doubt.
    stale: bool,
}

/// How far a device's ops were acknowledged at an earlier moment. Once that is as long ago as acknowledged ops are
/// kept, the device may forget them. Kept by the device itself, so that it costs the database nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Mark {
    acknowledged_through: u64,
    at_ms: i64,
    safe_to_forget_through: u64,
}

/// What a caller has to be told and sent.
#[derive(PartialEq, Debug)]
pub(crate) struct Plan {
    /// Areas that the device has to drop.
    pub(crate) left: Vec<AreaId>,
    /// Areas that moved since the device last read them, and from where to read on.
    pub(crate) wanted: Vec<Position>,
}

impl Cursor {
    /// Reads a cursor as a device sent it; empty bytes are the cursor of a device that has nothing.
    ///
    /// # Errors
    /// `CURSOR_INVALID` for bytes that no server of this program wrote.
    pub(crate) fn read(bytes: &[u8], epoch: Uuid) -> Result<Self, Error> {
        if bytes.is_empty() {
            return Ok(Self::default());
        }
        let wire = wire::Cursor::decode(bytes).map_err(|_| Error::CursorInvalid)?;
        let id = |bytes: &[u8]| Uuid::from_slice(bytes).map_err(|_| Error::CursorInvalid);
        let mut areas = BTreeMap::new();
        for area in &wire.areas {
            let access = if area.full { Access::Full } else { Access::Reference };
            areas.insert(AreaId(id(&area.id)?), (access, area.number));
        }
        if id(&wire.epoch)? != epoch {
            return Ok(Self { areas, mark: Mark::default(), stale: true });
        }
        let mark = Mark {
            acknowledged_through: wire.acknowledged_through,
            at_ms: wire.at_ms,
            safe_to_forget_through: wire.safe_to_forget_through,
        };
        Ok(Self { areas, mark, stale: false })
    }

    /// Whether it is of another epoch: the server was restored, and the device does not know.
    pub(crate) fn is_stale(&self) -> bool {
        self.stale
    }

    /// The number up to which the device has everything, by area and how much of it. Nothing if the device has to begin
    /// anew.
    pub(crate) fn numbers(&self) -> BTreeMap<(AreaId, Access), u64> {
        let fresh = self.areas.iter().filter(|_| !self.stale);
        fresh.map(|(area, (access, number))| ((*area, *access), *number)).collect()
    }

    /// Compares the cursor with the caller's scope.
    pub(crate) fn plan(&self, scope: &[ScopedArea]) -> Plan {
        let in_scope: BTreeMap<AreaId, Access> = scope.iter().map(|it| (it.area, it.access)).collect();
        let must_drop = |area: &AreaId, access: Access| match in_scope.get(area) {
            None => !is_injected(Bug::LeftAreaUnsaid),
            Some(now) => self.stale || *now < access,
        };
        let left =
            self.areas.iter().filter(|(area, (access, _))| must_drop(area, *access)).map(|(area, _)| *area);
        let wanted = scope.iter().filter_map(|scoped| {
            let ScopedArea { area, access, head } = *scoped;
            let after = self.number(area, access);
            (head > after).then_some(Position { area, access, after })
        });
        Plan { left: left.collect(), wanted: wanted.collect() }
    }

    /// The cursor after a page: the caller's areas, moved on by what was `read` of them.
    pub(crate) fn after(&self, scope: &[ScopedArea], read: &[Position]) -> Self {
        let read: BTreeMap<AreaId, u64> =
            read.iter().map(|position| (position.area, position.after)).collect();
        let areas = scope.iter().map(|scoped| {
            let before = self.number(scoped.area, scoped.access);
            let unread = if is_injected(Bug::CursorBack) { before / 2 } else { before };
            let number = read.get(&scoped.area).map_or(unread, |number| before.max(*number));
            (scoped.area, (scoped.access, number))
        });
        Self { areas: areas.collect(), mark: self.mark, stale: false }
    }

    /// Whether the device has read further than there is: the database was set back, and nobody said so.
    pub(crate) fn is_ahead(&self, scope: &[ScopedArea]) -> bool {
        scope.iter().any(|scoped| self.number(scoped.area, scoped.access) > scoped.head)
    }

    /// The number up to which the device has everything in this area. What it has of an area that it got only in
    /// part, or in another epoch, counts for nothing.
    fn number(&self, area: AreaId, access: Access) -> u64 {
        match self.areas.get(&area) {
            Some((had, number)) if *had == access && !self.stale => *number,
            _ => 0,
        }
    }

    /// Notes how far the device's ops are acknowledged. Answers up to which it may forget them: those that were
    /// acknowledged `kept_ms` ago or longer. They go in steps, so it can take twice as long.
    pub(crate) fn safe_to_forget(&mut self, acknowledged_through: u64, now_ms: i64, kept_ms: i64) -> u64 {
        let mark = &mut self.mark;
        if mark.at_ms != 0 && now_ms.saturating_sub(mark.at_ms) >= kept_ms {
            mark.safe_to_forget_through = mark.acknowledged_through;
            mark.at_ms = 0;
        }
        if mark.at_ms == 0 {
            mark.acknowledged_through = acknowledged_through;
            mark.at_ms = now_ms;
        }
        mark.safe_to_forget_through
    }

    /// The bytes that the device gets.
    pub(crate) fn write(&self, epoch: Uuid) -> Vec<u8> {
        let areas = self.areas.iter().map(|(area, (access, number))| wire::Area {
            id: area.0.as_bytes().to_vec(),
            full: *access == Access::Full,
            number: *number,
        });
        let cursor = wire::Cursor {
            epoch: epoch.as_bytes().to_vec(),
            areas: areas.collect(),
            acknowledged_through: self.mark.acknowledged_through,
            at_ms: self.mark.at_ms,
            safe_to_forget_through: self.mark.safe_to_forget_through,
        };
        cursor.encode_to_vec()
    }
}

/// The cursor's bytes. Devices keep them over upgrades of the server: numbers are never used anew.
mod wire {
    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Cursor {
        #[prost(bytes = "vec", tag = "1")]
        pub(super) epoch: Vec<u8>,
        #[prost(message, repeated, tag = "2")]
        pub(super) areas: Vec<Area>,
        #[prost(uint64, tag = "3")]
        pub(super) acknowledged_through: u64,
        #[prost(int64, tag = "4")]
        pub(super) at_ms: i64,
        #[prost(uint64, tag = "5")]
        pub(super) safe_to_forget_through: u64,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Area {
        #[prost(bytes = "vec", tag = "1")]
        pub(super) id: Vec<u8>,
        #[prost(bool, tag = "2")]
        pub(super) full: bool,
        #[prost(uint64, tag = "3")]
        pub(super) number: u64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EPOCH: Uuid = Uuid::from_u128(1);
    const DAY_MS: i64 = 86_400_000;

    fn area(n: u128) -> AreaId {
        AreaId(Uuid::from_u128(n))
    }

    fn scoped(n: u128, access: Access, head: u64) -> ScopedArea {
        ScopedArea { area: area(n), access, head }
    }

    fn position(n: u128, access: Access, after: u64) -> Position {
        Position { area: area(n), access, after }
    }

    /// The cursor of a device that has read these areas to their heads.
    fn having(scope: &[ScopedArea]) -> Cursor {
        let read: Vec<Position> =
            scope.iter().map(|it| Position { area: it.area, access: it.access, after: it.head }).collect();
        Cursor::default().after(scope, &read)
    }

    #[test]
    fn a_new_device_reads_all_of_its_areas_from_zero() {
        let scope = [scoped(1, Access::Full, 5), scoped(2, Access::Reference, 3)];
        let plan = Cursor::read(&[], EPOCH).unwrap().plan(&scope);
        let wanted = vec![position(1, Access::Full, 0), position(2, Access::Reference, 0)];
        assert_eq!(plan, Plan { left: vec![], wanted });
    }

    #[test]
    fn an_area_that_did_not_move_is_not_read() {
        let scope = [scoped(1, Access::Full, 5), scoped(2, Access::Full, 9)];
        let cursor = having(&scope);
        assert_eq!(cursor.plan(&scope), Plan { left: vec![], wanted: vec![] });
        let moved = [scoped(1, Access::Full, 5), scoped(2, Access::Full, 10)];
        assert_eq!(cursor.plan(&moved).wanted, vec![position(2, Access::Full, 9)]);
    }

    #[test]
    fn a_cursor_is_read_as_it_was_written() {
        let mut cursor = having(&[scoped(1, Access::Full, 5), scoped(2, Access::Reference, 3)]);
        cursor.safe_to_forget(7, DAY_MS, DAY_MS);
        assert_eq!(Cursor::read(&cursor.write(EPOCH), EPOCH).unwrap(), cursor);
    }

    #[test]
    fn bytes_that_no_server_wrote_are_refused() {
        for bytes in [&b"\xff"[..], &[0x0a, 0x02, 1, 2], b"cursor", &[0x08, 0x01]] {
            assert!(matches!(Cursor::read(bytes, EPOCH), Err(Error::CursorInvalid)), "{bytes:?}");
        }
    }

    #[test]
    fn a_lost_area_is_dropped_once() {
        let cursor = having(&[scoped(1, Access::Full, 5), scoped(2, Access::Full, 9)]);
        let scope = [scoped(2, Access::Full, 9)];
        assert_eq!(cursor.plan(&scope), Plan { left: vec![area(1)], wanted: vec![] });
        assert_eq!(cursor.after(&scope, &[]).plan(&scope), Plan { left: vec![], wanted: vec![] });
    }

    #[test]
    fn an_area_regained_is_read_from_zero() {
        let cursor = having(&[scoped(1, Access::Full, 5)]).after(&[], &[]);
        let scope = [scoped(1, Access::Full, 5)];
        assert_eq!(cursor.plan(&scope).wanted, vec![position(1, Access::Full, 0)]);
    }

    #[test]
    fn an_area_that_is_seen_less_is_dropped_and_read_anew() {
        let cursor = having(&[scoped(1, Access::Full, 5)]);
        let plan = cursor.plan(&[scoped(1, Access::Reference, 5)]);
        assert_eq!(plan, Plan { left: vec![area(1)], wanted: vec![position(1, Access::Reference, 0)] });
    }

    #[test]
    fn an_area_that_is_seen_more_is_read_from_zero_and_kept() {
        let cursor = having(&[scoped(1, Access::Reference, 5)]);
        let plan = cursor.plan(&[scoped(1, Access::Full, 5)]);
        assert_eq!(plan, Plan { left: vec![], wanted: vec![position(1, Access::Full, 0)] });
    }

    #[test]
    fn after_a_restore_everything_is_dropped_and_read_anew() {
        let scope = [scoped(1, Access::Full, 5)];
        let bytes = having(&scope).write(EPOCH);
        let cursor = Cursor::read(&bytes, Uuid::from_u128(2)).unwrap();
        let plan = cursor.plan(&scope);
        assert_eq!(plan, Plan { left: vec![area(1)], wanted: vec![position(1, Access::Full, 0)] });
        let next = cursor.after(&scope, &[position(1, Access::Full, 2)]);
        assert_eq!(next.plan(&scope), Plan { left: vec![], wanted: vec![position(1, Access::Full, 2)] });
    }

    #[test]
    fn cursors_never_go_backwards_within_an_epoch() {
        let cursor = having(&[scoped(1, Access::Full, 5)]);
        let scope = [scoped(1, Access::Full, 4)];
        assert_eq!(cursor.plan(&scope).wanted, vec![]);
        assert!(cursor.is_ahead(&scope) && !cursor.is_ahead(&[scoped(1, Access::Full, 5)]));
        assert_eq!(cursor.after(&scope, &[position(1, Access::Full, 3)]).number(area(1), Access::Full), 5);
    }

    #[test]
    fn an_acknowledged_op_may_be_forgotten_when_it_is_old_enough() {
        let mut cursor = Cursor::default();
        assert_eq!(cursor.safe_to_forget(10, DAY_MS, 7 * DAY_MS), 0);
        assert_eq!(cursor.safe_to_forget(20, 8 * DAY_MS - 1, 7 * DAY_MS), 0);
        assert_eq!(cursor.safe_to_forget(30, 8 * DAY_MS, 7 * DAY_MS), 10);
        assert_eq!(cursor.safe_to_forget(40, 14 * DAY_MS, 7 * DAY_MS), 10);
        assert_eq!(cursor.safe_to_forget(40, 15 * DAY_MS, 7 * DAY_MS), 30);
        let restored = Cursor::read(&cursor.write(EPOCH), Uuid::from_u128(2)).unwrap();
        assert_eq!(restored.mark, Mark::default(), "what a backup holds is not known any more");
    }
}
