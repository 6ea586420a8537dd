//! Things to test with: a whole body of every kind, other values for every field, and ops in their places.

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

fn whole(kind: Kind) -> Value {
    let id = record_id(60);
    match kind {
        Kind::Area => json!({
            "name": "Riverside", "parent": id, "level": "community", "time_zone": "Asia/Shanghai", "code": "310101",
        }),
        Kind::Place => json!({
            "name": "4-2-301", "sort": "dwelling", "parent": id, "code": "QR-4-2-301", "address": "4 Long Lane",
            "latitude": 31.23, "longitude": 121.47, "external_ref": "house/7",
        }),
        Kind::Asset => json!({
            "name": "Elevator 2", "sort": "elevator", "place": id, "code": "QR-E2", "latitude": 31.23,
            "longitude": 121.47, "external_ref": "elevator/2", "since": "1998-05-01",
            "attributes": [{ "name": "capacity_lbs", "value": "2500" }],
        }),
        Kind::Organization => json!({
            "name": "Water works", "sort": "water", "email": "desk@water.example",
            "web_hook": "https://water.example/hook", "external_ref": "partner/1",
        }),
        Kind::Commitment => json!({
            "organization": id, "goal": "green the yard", "quantity": 1000.0, "unit": "pots", "tasks": "plant, water",
            "group": id, "due": "2026-12-31",
        }),
        Kind::Contract => json!({
            "organization": id, "subject": id, "covers": "maintenance", "from": "2026-01-01", "until": "2026-12-31",
        }),
        Kind::Worker => json!({ "name": "Lin", "external_ref": "staff/9", "left": true }),
        Kind::Group => json!({ "name": "Green hands", "skill": "environment", "members": [id] }),
        Kind::Visit => json!({
            "subject": id, "purpose": "routine", "outcome": "met", "note": "the tap drips", "follow_up": id,
            "violation": id,
        }),
        Kind::Inspection => json!({
            "subject": id, "checklist": id, "answers": [{ "key": "door", "value": "yes" }],
            "result": "needs_attention", "findings": "the door is slow", "follow_up": id, "sort": "maintenance",
            "commitment": id, "quantity": 12.5,
        }),
        Kind::Request => json!({
            "subject": id, "category": "water", "channel": "visit", "description": "no water on the sixth floor",
            "visit": id, "referred_to": id, "due_at_ms": START_MS,
        }),
        Kind::Violation => json!({
            "subject": id, "sort": "dumping", "description": "rubble in the yard", "visit": id, "latitude": 31.23,
            "longitude": 121.47,
        }),
        Kind::Plan => json!({
            "subject": id, "sort": "maintenance", "rule": "FREQ=DAILY;INTERVAL=15", "from": "2026-01-01",
            "until": "2026-12-31", "resting_months": [1, 2], "after_completion": true, "gap_days_max": 15,
            "opens_days": 3, "expires_days": 1, "worker": id, "group": id, "organization": id, "mandated": true,
            "phases": [{ "until_day": 14, "rule": "FREQ=DAILY" }], "catch_up": "all", "resting": true,
        }),
        Kind::FollowUp => json!({
            "subject": id, "source": id, "sort": "recheck", "opens_at_ms": START_MS, "due_at_ms": START_MS + DAY_MS,
            "expires_at_ms": START_MS + 2 * DAY_MS, "worker": id, "group": id, "organization": id, "adoption": id,
            "cause": format!("{}/7", device(0)), "rule": "30 days after removal",
        }),
        Kind::Adoption => json!({ "asset": id, "place": id, "group": id, "confirm_by": "2026-12-31" }),
        Kind::Attachment => json!({
            "subject": id, "media_type": "image/jpeg", "size_bytes": 4096, "sha256": "9af0".repeat(16),
            "stage": "before",
        }),
        Kind::Checklist => json!({
            "name": "Elevator, monthly", "series": "elevator-monthly", "version": 3,
            "questions": [{ "key": "door", "text": "Does the door close?", "required": true }],
        }),
        Kind::Term => json!({
            "vocabulary": "request_category", "word": "water", "label_en": "Water", "label_zh_hans": "供水",
            "label_zh_hant": "供水", "retired": true, "due_hours": 24,
        }),
        Kind::Notice => json!({
            "subject": id, "sort": "overdue", "at_ms": START_MS, "due_at_ms": START_MS - DAY_MS, "worker": id,
            "group": id, "organization": id, "role": "coordinator",
        }),
        Kind::Policy => json!({
            "sort": "maintenance", "steps": [{ "offset_minutes": -1440, "to": "responsible" }],
            "quiet_from": "21:00", "quiet_until": "07:00", "coordinator_email": "office@city.example",
            "supervisor_email": "head@city.example", "digest": "daily", "due_days": [14, 60],
        }),
    }
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
