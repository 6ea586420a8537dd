//! What somebody does, before it becomes an op of some device.

use crate::server::TestClock;
use rounds_domain::op::Step;
use rounds_domain::{Action, AreaId, Body, Change, ClockReading, Kind, Op, RecordId, body};
use serde_json::Value;
use uuid::Uuid;

/// What somebody does to one record.
#[derive(Clone, Debug)]
pub struct Act {
    record: RecordId,
    area: AreaId,
    kind: Kind,
    action: Action,
}

impl Act {
    /// Creates a record with a new id.
    pub fn create(area: AreaId, body: Body) -> Self {
        Self::create_with_id(RecordId(new_id()), area, body)
    }

    /// Creates a record.
    pub fn create_with_id(record: RecordId, area: AreaId, body: Body) -> Self {
        Self { record, area, kind: body.kind(), action: Action::Create(Box::new(body)) }
    }

    /// Does something else to a record.
    pub fn on(record: RecordId, area: AreaId, kind: Kind, action: Action) -> Self {
        Self { record, area, kind, action }
    }

    /// Sets one field to another value.
    pub fn edit(record: RecordId, area: AreaId, kind: Kind, field: &str, base: Value, value: Value) -> Self {
        let changes = vec![Change { field: field.to_owned(), base, value }];
        Self::on(record, area, kind, Action::Edit { changes, reason: String::new() })
    }

    /// Takes a step.
    pub fn step(record: RecordId, area: AreaId, kind: Kind, step: Step) -> Self {
        Self::on(record, area, kind, Action::Step(step))
    }

    /// The record that it is about.
    pub fn record(&self) -> RecordId {
        self.record
    }

    /// The op, recorded now by a device whose clock is right and that has seen nothing.
    pub fn op(self, clock: &TestClock) -> Op {
        Op {
            record: self.record,
            area: self.area,
            kind: self.kind,
            action: self.action,
            clock: ClockReading { wall_ms: clock.now_ms(), boot: 0, monotonic_ms: 0 },
            observed: 0,
            scope_version: 0,
        }
    }
}

/// Somebody was met at a dwelling.
pub fn visit(area: AreaId, dwelling: RecordId) -> Act {
    let body = body::Visit {
        subject: Some(dwelling),
        purpose: "routine".to_owned(),
        outcome: "met".to_owned(),
        ..body::Visit::default()
    };
    Act::create(area, Body::Visit(body))
}

/// An id that nothing else has.
#[allow(clippy::disallowed_methods)] // tests may make ids as they like
pub fn new_id() -> Uuid {
    Uuid::now_v7()
}
