//! What comes out of the store: pages of areas' feeds, records, histories, quarantine.

use crate::device::Access;
use rounds_domain::{AreaId, Kind, Op, OpId, PlacedOp, Record, RecordId, Refusal, Verdict};

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
    /// What is new. What was committed as one group is never split over two pages.
    pub items: Vec<FeedItem>,
    /// The wanted areas with `after` moved on by what is in the page.
    pub positions: Vec<Position>,
    /// There is more.
    pub more: bool,
}

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
    /// Only those behind this place: area, number and id of the last of the page before.
    pub after: Option<(AreaId, u64, RecordId)>,
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
            after: None,
            limit,
        }
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
