//! What comes out of the store: pages of areas' feeds, records, histories, quarantine.

use crate::device::Access;
use crate::row::due_ms;
use rounds_domain::{AreaId, Kind, Op, OpId, PlacedOp, Record, RecordId, Refusal, Verdict};
use std::ops::Range;

/// From where to read on in an area.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Position {
    /// The area.
    pub area: AreaId,
    /// How much of it.
    pub access: Access,
    /// The number up to which the reader has everything; 0 for nothing yet.
    pub after: u64,
}

/// An entry of an area's feed.
#[derive(Clone, PartialEq, Debug)]
pub enum FeedItem {
    /// The record as it is now.
    Record(Box<Numbered>),
    /// The record went from this area to another.
    Departure {
        /// The area it left.
        area: AreaId,
        /// The record.
        record: RecordId,
    },
}

/// A record and its number in its area's feed.
#[derive(Clone, PartialEq, Debug)]
pub struct Numbered {
    /// The number of the commit unit that last touched it.
    pub number: u64,
    /// The record.
    pub record: Record,
}

/// A page of the feeds.
#[derive(Clone, PartialEq, Debug)]
pub struct Page {
    /// What is new. What has one number, as records of a group have, is never split over two pages.
    pub items: Vec<FeedItem>,
    /// The wanted areas with `after` moved on by what is in the page.
    pub positions: Vec<Position>,
    /// There is more.
    pub more: bool,
}

/// The place of a record in a list: its area, its number, its id. In a list of what is due, its time in ms since 1970
/// UTC is in the place of the number.
pub type Place = (AreaId, u64, RecordId);

/// Which records to list. All conditions hold together.
#[derive(Clone, PartialEq, Debug)]
pub struct RecordFilter {
    /// Of this kind; any if none.
    pub kind: Option<Kind>,
    /// In one of these areas.
    pub areas: Vec<AreaId>,
    /// About this record.
    pub subject: Option<RecordId>,
    /// With this printed code.
    pub code: Option<String>,
    /// With this key of the register that they were imported from.
    pub external_ref: Option<String>,
    /// In this stage.
    pub status: Option<String>,
    /// Only those with disputes.
    pub disputed: bool,
    /// Only follow-ups that are due, and notices that were called for, at this time or later, in ms since 1970 UTC.
    /// With this or `due_until_ms` the list is in the order of these times, and nothing from before 1970 is in it.
    pub due_from_ms: Option<i64>,
    /// Only those before this time, in ms since 1970 UTC.
    pub due_until_ms: Option<i64>,
    /// Only those behind this place: that of the last of the page before.
    pub after: Option<Place>,
    /// At most so many.
    pub limit: u32,
}

impl RecordFilter {
    /// All records of a kind in these areas, at most `limit`.
    pub fn of(kind: Kind, areas: Vec<AreaId>, limit: u32) -> Self {
        Self {
            kind: Some(kind),
            areas,
            subject: None,
            code: None,
            external_ref: None,
            status: None,
            disputed: false,
            due_from_ms: None,
            due_until_ms: None,
            after: None,
            limit,
        }
    }

    /// The place of a record in this list, from which the next page goes on.
    pub fn place(&self, numbered: &Numbered) -> Place {
        let record = &numbered.record;
        let within_area = match self.is_by_due() {
            true => due_ms(record).map_or(0, i64::unsigned_abs), // none is from before 1970
            false => numbered.number,
        };
        (record.area, within_area, record.id)
    }

    pub(crate) fn is_by_due(&self) -> bool {
        self.due_from_ms.is_some() || self.due_until_ms.is_some()
    }

    /// The first time that is listed, and the first behind it, in ms since 1970 UTC.
    pub(crate) fn due_range(&self) -> Range<i64> {
        self.due_from_ms.unwrap_or(0).max(0)..self.due_until_ms.unwrap_or(i64::MAX)
    }
}

/// An op with all that is known of its arrival.
#[derive(Clone, PartialEq, Debug)]
pub struct StoredOp {
    /// The op in its place.
    pub placed: PlacedOp,
    /// When the server received it, in ms since 1970 UTC.
    pub received_ms: i64,
    /// The device's clock could not tell when it happened.
    pub doubtful: bool,
    /// What became of it on arrival.
    pub verdict: Verdict,
}

/// A page of the quarantine.
#[derive(Clone, PartialEq, Debug)]
pub struct QuarantinePage {
    /// What waits, by the names of the ops.
    pub ops: Vec<QuarantinedOp>,
    /// There is more behind them.
    pub more: bool,
}

/// An op in quarantine.
#[derive(Clone, PartialEq, Debug)]
pub struct QuarantinedOp {
    /// Its name.
    pub id: OpId,
    /// Its bytes as sent if [`Content::Refused`](crate::Content::Refused) brought it; else its content as JSON.
    pub raw: Vec<u8>,
    /// Why it is there.
    pub refusal: Refusal,
    /// When the server received it, in ms since 1970 UTC.
    pub received_ms: i64,
    /// The op as far as it could be read.
    pub op: Option<Op>,
}
