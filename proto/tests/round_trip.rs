//! What is written and read again is the same, for every kind of body, op and record.

#![allow(clippy::unwrap_used)] // a helper that fails is a test that fails

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use prost::Message as _;
use rounds_domain::body::Fields;
use rounds_domain::op::Step;
use rounds_domain::record::{Amendment, Dispute, Matter, Standing, StepTaken, Trace};
use rounds_domain::verdict::Reason;
use rounds_domain::{
    Action, AreaId, Body, Change, ClockReading, DeviceId, Kind, Op, OpId, OrderKey, Outcome, Record,
    RecordId, Role, Verdict,
};
use rounds_proto::*;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use uuid::Uuid;

/// Values of every type that a field can have. Those that a field takes are found by trying.
fn candidate() -> impl Strategy<Value = Value> {
    let text = "[a-z0-9 \u{4e00}-\u{4e20}]{1,12}";
    prop_oneof![
        text.prop_map(Value::from),
        record_id().prop_map(|id| id.to_string().into()),
        (-180.0..180.0f64).prop_map(Value::from),
        any::<u32>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        Just(Value::from(true)),
        vec(record_id(), 1..4).prop_map(|ids| json!(ids)),
        vec(1..=12u32, 1..4).prop_map(|months| json!(months)),
        vec((text, text), 1..4).prop_map(|pairs| pairs
            .into_iter()
            .map(|(name, value)| json!({ "name": name, "value": value }))
            .collect()),
        vec((text, text), 1..4).prop_map(|pairs| pairs
            .into_iter()
            .map(|(key, value)| json!({ "key": key, "value": value }))
            .collect()),
        vec((text, text, any::<bool>()), 1..4).prop_map(|questions| questions
            .into_iter()
            .map(|(key, text, required)| json!({ "key": key, "text": text, "required": required }))
            .collect()),
        vec((any::<u32>(), text), 1..4).prop_map(|phases| phases
            .into_iter()
            .map(|(until_day, rule)| json!({ "until_day": until_day, "rule": rule }))
            .collect()),
        vec((any::<i32>(), text), 1..4).prop_map(|steps| steps
            .into_iter()
            .map(|(minutes, to)| json!({ "offset_minutes": minutes, "to": to }))
            .collect()),
    ]
}

fn fits(kind: Kind, field: &str, value: &Value) -> bool {
    let fields = Fields::from_iter([(field.to_owned(), value.clone())]);
    Body::from_fields(kind, fields).is_ok_and(|body| body.fields().contains_key(field))
}

/// Fields of a kind with values that fit. Each name of the kind gets a value if one of many candidates fits.
fn fields(kind: Kind) -> impl Strategy<Value = Fields> {
    vec(candidate(), 48).prop_map(move |candidates| {
        let mut fields = Fields::new();
        for (at, name) in Body::field_names(kind).iter().enumerate() {
            let mut turned = candidates.iter().cycle().skip(at * 5).take(candidates.len());
            if let Some(value) = turned.find(|value| fits(kind, name, value)) {
                fields.insert((*name).to_owned(), value.clone());
            }
        }
        Body::from_fields(kind, fields).unwrap().fields()
    })
}

fn kind() -> impl Strategy<Value = Kind> {
    select(Kind::ALL)
}

fn record_id() -> impl Strategy<Value = RecordId> {
    any::<u128>().prop_map(|bits| RecordId(Uuid::from_u128(bits)))
}

fn op_id() -> impl Strategy<Value = OpId> {
    (any::<u128>(), any::<u64>())
        .prop_map(|(bits, seq)| OpId { device: DeviceId(Uuid::from_u128(bits)), seq })
}

fn step() -> impl Strategy<Value = Step> {
    let optional_id = || proptest::option::of(record_id());
    let optional_ms = any::<Option<i64>>;
    (".{0,9}", ".{0,9}", optional_id(), optional_ms(), optional_id(), ".{0,9}", optional_ms()).prop_map(
        |(to, reason, organization, due_at_ms, evidence, outcome, done_at_ms)| Step {
            to,
            reason,
            organization,
            due_at_ms,
            evidence,
            outcome,
            done_at_ms,
        },
    )
}

fn changes(kind: Kind) -> impl Strategy<Value = Vec<Change>> {
    (fields(kind), fields(kind), any::<u32>()).prop_map(move |(mut values, mut base, dropped)| {
        let names = Body::field_names(kind).iter().enumerate();
        let mut changes: Vec<Change> = names
            .filter(|(at, _)| dropped & (1 << at) == 0)
            .map(|(at, name)| {
                let base = base.remove(*name).filter(|_| at % 3 != 1).unwrap_or(Value::Null);
                let value = values.remove(*name).filter(|_| at % 3 != 2).unwrap_or(Value::Null);
                Change { field: (*name).to_owned(), base, value }
            })
            .collect();
        changes.sort_by(|a, b| a.field.cmp(&b.field));
        changes
    })
}

fn action(kind: Kind) -> impl Strategy<Value = Action> {
    prop_oneof![
        fields(kind)
            .prop_map(move |fields| Action::Create(Box::new(Body::from_fields(kind, fields).unwrap()))),
        (changes(kind), ".{0,9}").prop_map(|(changes, reason)| Action::Edit { changes, reason }),
        step().prop_map(Action::Step),
        record_id().prop_map(|to| Action::Move { to: to.into() }),
        ".{0,9}".prop_map(|reason| Action::Delete { reason }),
        vec(op_id(), 0..4).prop_map(|disputes| Action::Settle { disputes }),
    ]
}

fn clock() -> impl Strategy<Value = ClockReading> {
    any::<(i64, u64, i64)>().prop_map(|(wall_ms, boot, monotonic_ms)| ClockReading {
        wall_ms,
        boot,
        monotonic_ms,
    })
}

fn op() -> impl Strategy<Value = Op> {
    kind().prop_flat_map(|kind| {
        (record_id(), record_id(), action(kind), clock(), any::<(u64, u64)>()).prop_map(
            move |(record, area, action, clock, (observed, scope_version))| Op {
                record,
                area: area.into(),
                kind,
                action,
                clock,
                observed,
                scope_version,
            },
        )
    })
}

fn trace() -> impl Strategy<Value = Trace> {
    (op_id(), any::<i64>(), proptest::option::of(record_id())).prop_map(|(op, at_ms, worker)| Trace {
        op,
        at_ms,
        worker,
    })
}

fn matter() -> impl Strategy<Value = Matter> {
    prop_oneof![
        (".{0,9}", candidate(), candidate(), op_id())
            .prop_map(|(field, kept, other, other_op)| Matter::Field { field, kept, other, other_op }),
        (".{0,9}", ".{0,9}").prop_map(|(from, to)| Matter::Step { from, to }),
    ]
}

fn step_taken() -> impl Strategy<Value = StepTaken> {
    let standing = select(&[Standing::Applied, Standing::Repeated, Standing::NotApplied][..]);
    (trace(), ".{0,9}", step(), standing).prop_map(|(trace, from, step, standing)| StepTaken {
        trace,
        from,
        step,
        standing,
    })
}

fn record() -> impl Strategy<Value = Record> {
    let history = |kind| {
        let amendment = (trace(), ".{0,9}", fields(kind)).prop_map(|(trace, reason, before)| Amendment {
            trace,
            reason,
            before,
        });
        let dispute = (op_id(), matter()).prop_map(|(op, matter)| Dispute { op, matter });
        (vec(step_taken(), 0..3), vec(amendment, 0..3), vec(dispute, 0..3))
    };
    kind().prop_flat_map(move |kind| {
        let ids = (record_id(), record_id(), vec(record_id().prop_map(AreaId::from), 0..3));
        (ids, fields(kind), ".{0,9}", (trace(), trace()), history(kind), any::<u64>(), any::<bool>())
            .prop_map(
                move |(
                    (id, area, former_areas),
                    fields,
                    status,
                    (created, changed),
                    (steps, amendments, disputes),
                    stamp,
                    deleted,
                )| {
                    Record {
                        id,
                        kind,
                        area: area.into(),
                        former_areas,
                        fields: if deleted { Fields::new() } else { fields },
                        status,
                        created,
                        changed,
                        writers: BTreeMap::new(),
                        steps,
                        amendments,
                        disputes,
                        deleted: deleted.then(|| "twice there".to_owned()),
                        through: OrderKey { stamp, device: changed.op.device, seq: changed.op.seq },
                    }
                },
            )
    })
}

proptest! {
    #[test]
    fn an_op_is_the_same_after_the_wire(op in op()) {
        let bytes = encode_op(&op).unwrap();
        prop_assert_eq!(&decode_op(&bytes).unwrap(), &op);
        prop_assert_eq!(encode_op(&op).unwrap(), bytes);
    }

    #[test]
    fn a_record_is_the_same_after_the_wire(record in record(), number: u64) {
        let bytes = record_to_wire(&record, number).unwrap().encode_to_vec();
        let read = record_from_wire(v1::Record::decode(&bytes[..]).unwrap()).unwrap();
        prop_assert_eq!(read, (record, number));
    }

    #[test]
    fn any_bytes_are_an_op_or_a_refusal(bytes in vec(any::<u8>(), 0..200)) {
        let _ = decode_op(&bytes);
    }

    #[test]
    fn a_damaged_op_is_an_op_or_a_refusal(op in op(), at: prop::sample::Index, bits in 1..=255u8) {
        let mut bytes = encode_op(&op).unwrap();
        let at = at.index(bytes.len());
        bytes[at] ^= bits;
        if let Ok(read) = decode_op(&bytes) {
            prop_assert_eq!(decode_op(&encode_op(&read).unwrap()).unwrap(), read);
        }
    }

    #[test]
    fn a_clock_is_the_same_after_the_wire(clock in clock()) {
        prop_assert_eq!(clock_from_wire(clock_to_wire(clock)), clock);
    }
}

/// A value that some field of every type takes, and none of them empty.
fn one_of_each() -> [Value; 11] {
    let id = RecordId(Uuid::from_u128(7));
    [
        json!("word"),
        json!(id),
        json!(7),
        json!(true),
        json!([id]),
        json!([1, 2]),
        json!([{ "name": "capacity_lbs", "value": "2500" }]),
        json!([{ "key": "doors", "text": "Do the doors close?", "required": true }]),
        json!([{ "key": "doors", "value": "yes" }]),
        json!([{ "until_day": 14, "rule": "FREQ=DAILY" }]),
        json!([{ "offset_minutes": -60, "to": "coordinator" }]),
    ]
}

#[test]
fn no_field_of_any_kind_is_lost_on_the_wire() {
    for kind in Kind::ALL {
        let fields: Fields = Body::field_names(*kind)
            .iter()
            .map(|name| {
                let value = one_of_each().into_iter().find(|value| fits(*kind, name, value));
                ((*name).to_owned(), value.unwrap_or_else(|| panic!("{kind:?}.{name}: add a value for it")))
            })
            .collect();
        let body = Body::from_fields(*kind, fields).unwrap();
        assert_eq!(body.fields().len(), Body::field_names(*kind).len(), "{kind:?}");
        let bytes = body_to_wire(body.clone()).encode_to_vec();
        assert_eq!(body_from_wire(v1::Body::decode(&bytes[..]).unwrap()).unwrap(), body);
    }
}

#[test]
fn every_verdict_is_the_same_after_the_wire() {
    for outcome in Outcome::ALL {
        for reason in Reason::ALL.iter().copied().map(Some).chain([None]) {
            let verdict = Verdict { outcome: *outcome, reason, detail: "because".to_owned() };
            assert_eq!(verdict_from_wire(verdict_to_wire(9, &verdict)).unwrap(), (9, verdict));
        }
    }
}

#[test]
fn a_reason_of_a_newer_server_is_kept_as_text() {
    let wire = v1::Verdict {
        seq: 1,
        outcome: v1::Outcome::NotApplied.into(),
        reason: "TOO_WINDY".to_owned(),
        detail: "wait".to_owned(),
    };
    let (_, verdict) = verdict_from_wire(wire).unwrap();
    assert_eq!((verdict.reason, verdict.detail.as_str()), (None, "TOO_WINDY: wait"));
}

#[test]
fn every_role_but_the_servers_own_is_said_on_the_wire() {
    for role in Role::ALL {
        let wire = role_to_wire(*role);
        match role {
            Role::System => assert_eq!(wire, v1::Role::Unspecified),
            role => assert_eq!(role_from_wire(wire.into()).as_ref(), Ok(role)),
        }
    }
    assert!(role_from_wire(i32::from(Role::System.number())).is_err());
}

#[test]
fn a_time_before_1970_is_written_with_positive_nanoseconds() {
    let written = timestamp_to_wire(-1);
    assert_eq!((written.seconds, written.nanos), (-1, 999_000_000));
    let written = timestamp_to_wire(1_795_000_000_123);
    assert_eq!((written.seconds, written.nanos), (1_795_000_000, 123_000_000));
}

#[test]
fn a_sealed_op_has_the_bytes_of_the_op() {
    let op = vec![1, 2, 3];
    let sealed = v1::SealedOp { seq: 1, followed_by: 0, op: op.clone().into() };
    assert_eq!(sealed.encode_to_vec(), [&[0x08, 1, 0x1a, 3][..], &op].concat());
}

#[test]
fn a_summary_comes_back_as_it_was_sent() {
    use rounds_domain::summary::{Figure, Freshness, Late, Period, Progress, Report, Spread, Summary};
    let id = RecordId(uuid::Uuid::from_u128(7));
    let day = |day| jiff::civil::date(2026, 11, day);
    let figure = Figure { name: "visit".to_owned(), value: 7.5, before: Some(6.0), of: Some(9.0) };
    let spread = Spread {
        name: "request/time_to/resolved".to_owned(),
        count: 3,
        median_ms: 4,
        p90_ms: 5,
        median_before_ms: Some(6),
    };
    let summary = Summary { figures: vec![figure], spreads: vec![spread] };
    let progress = Progress {
        commitment: id,
        organization: Some(id),
        goal: "Flowers".to_owned(),
        quantity: 1_000.0,
        unit: "pots".to_owned(),
        due: "2026-12-31".to_owned(),
        done: 12.5,
    };
    let report = Report {
        period: Period { first: day(16), last: day(22) },
        before: Period { first: day(9), last: day(15) },
        time_zone: "Asia/Shanghai".to_owned(),
        as_of_ms: 1,
        parts: vec![("2026-11-16".to_owned(), summary.clone())],
        summary,
        freshness: Freshness {
            devices: 1,
            silent_devices: 2,
            silent_hours: 3,
            unsent_ops: 4,
            heard_ms: 5,
            quarantined_ops: 6,
            disputed_records: 7,
        },
        late: vec![Late { day: day(17), ops: 8, received_ms: 9 }],
        commitments: vec![progress],
        names: [(id.to_string(), "School".to_owned())].into(),
    };
    assert_eq!(report_from_wire(report_to_wire(report.clone())).as_ref(), Ok(&report));
    let mut wrong = report_to_wire(report);
    wrong.last = "tomorrow".to_owned();
    assert!(report_from_wire(wrong).unwrap_err().detail.starts_with("last: "));
}
