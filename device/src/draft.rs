//! What somebody is about to record.

use rounds_domain::body::Fields;
use rounds_domain::{Action, AreaId, Body, Change, Kind, Record, RecordId};
use serde_json::Value;

/// One thing that somebody does to one record, before the device puts its clock and number to it.
#[derive(Clone, PartialEq, Debug)]
pub struct Draft {
    /// The record.
    pub record: RecordId,
    /// The record's area.
    pub area: AreaId,
    /// What kind of record it is.
    pub kind: Kind,
    /// What is done.
    pub action: Action,
}

impl Draft {
    /// Something new. `record` is a fresh UUID version 7; an area is recorded in itself.
    pub fn create(record: RecordId, area: AreaId, body: Body) -> Self {
        Self { record, area, kind: body.kind(), action: Action::Create(Box::new(body)) }
    }

    /// Other values for some fields of a record as its author sees it; null empties a field.
    pub fn edit(seen: &Record, values: Fields, reason: &str) -> Self {
        let changes = values
            .into_iter()
            .map(|(field, value)| {
                let base = seen.fields.get(&field).cloned().unwrap_or(Value::Null);
                Change { field, base, value }
            })
            .collect();
        Self::on(seen, Action::Edit { changes, reason: reason.to_owned() })
    }

    /// Something else done to a record as its author sees it: a step, a move, a deletion.
    pub fn on(seen: &Record, action: Action) -> Self {
        Self { record: seen.id, area: seen.area, kind: seen.kind, action }
    }
}
