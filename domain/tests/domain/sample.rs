//! Things to test with: a whole body of every kind, other values for every field, and ops in their places.

use super::whole::whole;
use proptest::prelude::*;
use rounds_domain::body::Fields;
use rounds_domain::op::{Change, Step};
use rounds_domain::{Action, AreaId, Body, ClockReading, DeviceId, Kind, Op, OrderKey, PlacedOp, RecordId};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::LazyLock;
use uuid::Uuid;

pub(crate) const DAY_MS: i64 = 86_400_000;
/// When the histories of these tests begin, in ms since 1970 UTC.
pub(crate) const START_MS: i64 = 1_795_000_000_000;

pub(crate) fn record_id(number: u128) -> RecordId {
    RecordId(Uuid::from_u128(0x1000 + number))
}

pub(crate) fn area(number: u128) -> AreaId {
    AreaId(Uuid::from_u128(0x2000 + number))
}

pub(crate) fn device(number: u128) -> DeviceId {
    DeviceId(Uuid::from_u128(0x3000 + number))
}

/// A body of this kind in which every field says something.
pub(crate) fn body(kind: Kind) -> Body {
    from_json(kind, &whole(kind)).expect("the sample fits its kind")
}

/// A body with these fields, if they fit the kind.
pub(crate) fn from_json(kind: Kind, fields: &Value) -> Option<Body> {
    Body::from_fields(kind, fields.as_object()?.clone()).ok()
}

/// An op of device 0 in area 0 about record 0.
pub(crate) fn op(kind: Kind, action: Action) -> Op {
    Op {
        record: if kind == Kind::Area { area(0).into() } else { record_id(0) },
        area: area(0),
        kind,
        action,
        clock: ClockReading { wall_ms: START_MS, boot: 1, monotonic_ms: 0 },
        observed: 0,
        scope_version: 1,
    }
}

/// The op of a device with this seq, in a place and at a time that follow from `minute`.
pub(crate) fn placed(device_number: u128, seq: u64, minute: i64, op: Op) -> PlacedOp {
    let at_ms = START_MS + minute * 60_000;
    PlacedOp {
        key: OrderKey { stamp: rounds_domain::clock::stamp(at_ms, 0, 0), device: device(device_number), seq },
        at_ms,
        worker: Some(record_id(100 + device_number)),
        op,
    }
}

pub(crate) fn create(kind: Kind) -> Action {
    Action::Create(Box::new(body(kind)))
}

pub(crate) fn step(to: &str) -> Action {
    Action::Step(step_to(to))
}

/// A step with all that any stage asks for.
pub(crate) fn step_to(to: &str) -> Step {
    Step {
        to: to.to_owned(),
        reason: "because".to_owned(),
        organization: Some(record_id(50)),
        due_at_ms: Some(START_MS + 7 * DAY_MS),
        ..Step::default()
    }
}

pub(crate) fn edit(changes: &[(&str, Value, Value)]) -> Action {
    Action::Edit {
        changes: changes
            .iter()
            .map(|(field, base, value)| Change {
                field: (*field).to_owned(),
                base: base.clone(),
                value: value.clone(),
            })
            .collect(),
        reason: "seen otherwise".to_owned(),
    }
}

/// Values that this field of this kind may have, at least two of them: null is one if it may be empty.
pub(crate) fn values(kind: Kind, field: &str) -> Vec<Value> {
    static VALUES: LazyLock<HashMap<(Kind, &str), Vec<Value>>> = LazyLock::new(|| {
        let fields = Kind::ALL
            .iter()
            .flat_map(|&kind| Body::field_names(kind).iter().map(move |field| (kind, *field)));
        let fitting = |(kind, field)| {
            let any = some_of_every_type().into_iter().chain([Value::Null]);
            ((kind, field), any.filter(|value| fits(kind, field, value)).collect())
        };
        fields.map(fitting).collect()
    });
    VALUES[&(kind, field)].clone()
}

/// Whether a body of this kind with this value in this field is taken in, and says just this value.
fn fits(kind: Kind, field: &str, value: &Value) -> bool {
    let mut fields = whole_fields(kind);
    fields.remove(field);
    if !value.is_null() {
        fields.insert(field.to_owned(), value.clone());
    }
    Body::from_fields(kind, fields).is_ok_and(|body| {
        let said = body.fields().remove(field).unwrap_or(Value::Null);
        said == *value && op(kind, Action::Create(Box::new(body))).check().is_ok()
    })
}

/// Bodies of this kind, each field with one of its values.
pub(crate) fn bodies(kind: Kind) -> BoxedStrategy<Body> {
    let fields: Vec<_> = Body::field_names(kind)
        .iter()
        .map(|field| {
            let choice = prop::sample::select(values(kind, field));
            choice.prop_map(move |value| ((*field).to_owned(), value))
        })
        .collect();
    fields
        .prop_map(move |fields| {
            let said: Fields = fields.into_iter().filter(|(_, value)| !value.is_null()).collect();
            Body::from_fields(kind, said).expect("every value fits its field")
        })
        .boxed()
}

fn some_of_every_type() -> Vec<Value> {
    vec![
        json!("a word"),
        json!("FREQ=WEEKLY;BYDAY=MO,TH"),
        json!("skip"),
        json!("weekly"),
        json!("06:30"),
        json!("二号楼"),
        json!("2026-11-22"),
        json!("2028-02-29"),
        json!("Asia/Shanghai"),
        json!("Europe/Berlin"),
        json!("0".repeat(64)),
        json!("9af0".repeat(16)),
        json!(record_id(70)),
        json!(record_id(71)),
        json!(31.238_914_203_517_4),
        json!(-0.1),
        json!(1),
        json!(7),
        json!(START_MS),
        json!(true),
        json!([1, 2, 12]),
        json!([6]),
        json!([record_id(72), record_id(73)]),
        json!([record_id(72)]),
        json!([{ "name": "capacity_lbs", "value": "2500" }]),
        json!([{ "name": "capacity_lbs", "value": "" }, { "name": "maker", "value": "Otis" }]),
        json!([{ "key": "door", "value": "yes" }]),
        json!([{ "key": "door", "value": "no" }]),
        json!([{ "key": "door", "text": "Does the door close?", "required": true }]),
        json!([{ "key": "door", "text": "Does the door close by itself?", "required": false }]),
        json!([{ "until_day": 84, "rule": "FREQ=DAILY;INTERVAL=3" }]),
        json!([{ "offset_minutes": 0, "to": "supervisor" }]),
    ]
}

fn whole_fields(kind: Kind) -> Fields {
    whole(kind).as_object().expect("the sample is an object").clone()
}

#[test]
fn every_field_of_every_kind_is_in_the_sample_and_has_another_value() {
    for &kind in Kind::ALL {
        let said = body(kind).fields();
        for field in Body::field_names(kind) {
            assert!(said.get(*field).is_some(), "{kind:?}.{field} is missing in the sample");
            let others = values(kind, field).into_iter().filter(|value| *value != said[*field]).count();
            assert!(others >= 1, "{kind:?}.{field} has no other value");
        }
    }
}
