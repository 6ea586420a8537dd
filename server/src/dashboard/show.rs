//! How records and times are told to people.

use super::reader::Reader;
use crate::access;
use crate::error::Error;
use crate::partner::duration;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use rounds_domain::language::Words;
use rounds_domain::{DeviceId, Kind, Record, RecordId};
use std::collections::{BTreeSet, HashMap};

/// A text that may lead to a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) text: String,
    /// Empty if it leads nowhere.
    pub(super) href: String,
}

impl Piece {
    pub(super) fn plain(text: impl Into<String>) -> Self {
        Self { text: text.into(), href: String::new() }
    }
}

/// Records that others name, as far as the reader sees them.
pub(super) struct Named(HashMap<RecordId, Record>);

impl Reader {
    /// Reads records that others name, and the places that these are in.
    pub(super) async fn named(&self, ids: Vec<RecordId>) -> Result<Named, Error> {
        let mut named = HashMap::new();
        let mut wanted: BTreeSet<RecordId> = ids.into_iter().collect();
        for _ in 0..2 {
            let ids: Vec<RecordId> = wanted.into_iter().filter(|id| !named.contains_key(id)).collect();
            let found = self.shared.store.records_of(&ids).await?;
            wanted = found.iter().filter_map(around).collect();
            let seen = found.into_iter().filter(|record| access::may_read(&self.caller, record));
            named.extend(seen.map(|record| (record.id, record)));
        }
        Ok(Named(named))
    }

    /// A named record as a link with its title. What the reader does not see is told like what is not there.
    pub(super) fn piece(&self, named: &Named, id: RecordId) -> Piece {
        match named.0.get(&id) {
            Some(record) => Piece { text: named.place(&self.words, record), href: self.record_link(id) },
            None => Piece::plain(self.text.not_visible),
        }
    }

    /// What people call these devices.
    pub(super) async fn device_labels(
        &self,
        devices: impl IntoIterator<Item = DeviceId>,
    ) -> Result<HashMap<DeviceId, String>, Error> {
        let mut labels = HashMap::new();
        for id in devices.into_iter().collect::<BTreeSet<_>>() {
            if let Some(device) = self.shared.store.device(id).await? {
                labels.insert(id, device.label);
            }
        }
        Ok(labels)
    }

    /// The page of a record.
    pub(super) fn record_link(&self, id: RecordId) -> String {
        self.link(&format!("/record/{id}"), &[])
    }

    /// How long ago something was.
    pub(super) fn ago(&self, ms: i64) -> String {
        let long = duration(self.language, (self.now_ms() - ms).max(0));
        format!("{}{long}{}", self.text.ago_before, self.text.ago_after)
    }

    /// A moment in the zone of the area that was chosen.
    pub(super) fn moment(&self, ms: i64) -> String {
        moment(ms, &self.zone)
    }
}

impl Named {
    /// What people call a record, with the place that it is in.
    fn place(&self, words: &Words, record: &Record) -> String {
        let title = title(words, record);
        match around(record).and_then(|id| self.0.get(&id)) {
            Some(around) => format!("{title} · {}", around.text("name")),
            None => title,
        }
    }

    pub(super) fn get(&self, id: RecordId) -> Option<&Record> {
        self.0.get(&id)
    }
}

/// The place that a place or asset is in.
fn around(record: &Record) -> Option<RecordId> {
    record.subject().filter(|_| matches!(record.kind, Kind::Place | Kind::Asset))
}

/// What people call a record.
pub(super) fn title(words: &Words, record: &Record) -> String {
    let language = words.language;
    let title = match record.kind {
        Kind::Request => words.label("request_category", record.text("category")),
        Kind::Violation => words.label("violation_sort", record.text("sort")),
        Kind::Visit => words.label("visit_outcome", record.text("outcome")),
        Kind::Inspection => words.label("inspection_result", record.text("result")),
        Kind::Plan | Kind::FollowUp => language.work(record.text("sort")),
        Kind::Notice => language.notice(record.text("sort")),
        Kind::Contract => language.work(record.text("covers")),
        Kind::Commitment => record.text("goal"),
        Kind::Attachment => record.text("media_type"),
        Kind::Term => record.text("word"),
        _ => record.text("name"),
    };
    match title {
        "" => language.kind(record.kind).to_owned(),
        title => title.to_owned(),
    }
}

/// Who has to do a follow-up or plan.
pub(super) fn responsible(record: &Record) -> Option<RecordId> {
    ["worker", "group", "organization", "adoption"].into_iter().find_map(|field| record.reference(field))
}

/// When a record is due, in ms since 1970 UTC.
pub(super) fn due_ms(record: &Record) -> Option<i64> {
    record.fields.get("due_at_ms").and_then(serde_json::Value::as_i64)
}

/// A moment as people read it.
pub(super) fn moment(ms: i64, zone: &TimeZone) -> String {
    match Timestamp::from_millisecond(ms) {
        Ok(at) => zone.to_datetime(at).strftime("%Y-%m-%d %H:%M").to_string(),
        Err(_) => String::new(),
    }
}
