//! Bodies in which every field says something that the rules allow.

use rounds_domain::{Kind, RecordId};
use serde_json::{Value, json};
use uuid::Uuid;

const START_MS: i64 = 1_795_000_000_000;
const DAY_MS: i64 = 86_400_000;

/// The fields of a body of this kind, each with a value.
pub(crate) fn whole(kind: Kind) -> Value {
    let id = RecordId(Uuid::from_u128(0x103c));
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
            "cause": format!("{}/7", Uuid::from_u128(0x3000)), "rule": "30 days after removal",
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
