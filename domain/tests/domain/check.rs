//! What an op must be to be taken in: everything needed is there and within its limits, and a refusal says which
//! field is wrong and what to do.

use super::sample::{area, body, create, device, edit, from_json, op, record_id, step_to};
use rounds_domain::kind::Nature;
use rounds_domain::limit::{LIST_ENTRIES_MAX, NAME_CHARS_MAX, QUANTITY_MAX, TEXT_CHARS_MAX};
use rounds_domain::op::{Change, Step};
use rounds_domain::status::stages;
use rounds_domain::verdict::Reason;
use rounds_domain::{Action, Body, Kind, Op, OpId, RecordId, Refusal};
use serde_json::{Value, json};

/// The fields that are needed, by kind, as the protocol says.
const NEEDED: [(Kind, &[&str]); 20] = [
    (Kind::Area, &["name", "time_zone"]),
    (Kind::Place, &["name", "sort"]),
    (Kind::Asset, &["name", "sort"]),
    (Kind::Organization, &["name"]),
    (Kind::Commitment, &["organization", "goal"]),
    (Kind::Contract, &["organization", "subject", "covers"]),
    (Kind::Worker, &["name"]),
    (Kind::Group, &["name", "skill"]),
    (Kind::Visit, &["subject", "purpose", "outcome"]),
    (Kind::Inspection, &["subject", "result"]),
    (Kind::Request, &["category", "channel"]),
    (Kind::Violation, &["sort"]),
    (Kind::Plan, &["subject", "sort", "rule"]),
    (Kind::FollowUp, &["source", "sort", "due_at_ms"]),
    (Kind::Adoption, &["asset"]),
    (Kind::Attachment, &["subject", "media_type", "size_bytes", "sha256"]),
    (Kind::Checklist, &["name", "series", "version"]),
    (Kind::Term, &["vocabulary", "word"]),
    (Kind::Notice, &["subject", "sort", "at_ms"]),
    (Kind::Policy, &[]),
];

/// Texts of 4,000 characters. Every other free text is a name of 200.
const TEXTS: [&str; 6] = ["note", "description", "findings", "tasks", "reason", "rule"];

/// Fields whose text has a form of its own.
const FORMED: [&str; 11] = [
    "time_zone",
    "sha256",
    "since",
    "due",
    "from",
    "until",
    "confirm_by",
    "catch_up",
    "quiet_from",
    "quiet_until",
    "digest",
];

/// The rule of a plan has a form of its own; that of a follow-up says it in words.
fn is_formed(kind: Kind, field: &str) -> bool {
    FORMED.contains(&field) || (kind, field) == (Kind::Plan, "rule")
}

/// What a plan says of whether, where and when something falls due.
const SCHEDULE: [&str; 10] = [
    "subject",
    "sort",
    "rule",
    "phases",
    "from",
    "until",
    "resting_months",
    "resting",
    "gap_days_max",
    "mandated",
];

/// The sample of a kind with one field changed.
fn with(kind: Kind, field: &str, value: Value) -> Option<Body> {
    let mut fields = body(kind).fields();
    if value.is_null() {
        fields.remove(field);
    } else {
        fields.insert(field.to_owned(), value);
    }
    from_json(kind, &Value::Object(fields))
}

fn created(body: Body) -> Result<(), Refusal> {
    op(body.kind(), Action::Create(Box::new(body))).check()
}

fn created_with(kind: Kind, field: &str, value: Value) -> Result<(), Refusal> {
    created(with(kind, field, value).expect("the value has the type of the field"))
}

/// Asserts that it is refused as invalid, and that the explanation names the field.
fn assert_names(result: Result<(), Refusal>, field: &str) {
    let refusal = result.expect_err(&format!("{field} should be refused"));
    assert_eq!(refusal.reason, Reason::Invalid, "{refusal}");
    assert!(refusal.detail.contains(field), "{refusal} does not name {field}");
}

fn is_reference(kind: Kind, field: &str) -> bool {
    body(kind).fields()[field].as_str().is_some_and(|text| text.parse::<RecordId>().is_ok())
}

fn string_fields() -> impl Iterator<Item = (Kind, &'static str)> {
    Kind::ALL.iter().flat_map(|&kind| {
        let fields = Body::field_names(kind).iter().copied();
        let strings = fields.filter(move |field| body(kind).fields()[*field].is_string());
        strings.filter(move |field| !is_reference(kind, field)).map(move |field| (kind, field))
    })
}

#[test]
fn the_limits_are_those_that_the_protocol_tells_clients() {
    use rounds_domain::limit::{
        BATCH_OPS_MAX, GROUP_OPS_MAX, GROUP_PAGE_BYTES_MAX, OP_BYTES_MAX, RECORD_ENTRIES_BYTES_MAX,
        RECORD_ENTRIES_MAX,
    };
    assert_eq!((NAME_CHARS_MAX, TEXT_CHARS_MAX, LIST_ENTRIES_MAX), (200, 4_000, 256));
    assert_eq!((GROUP_OPS_MAX, BATCH_OPS_MAX, OP_BYTES_MAX), (64, 1_000, 65_536));
    assert_eq!(GROUP_PAGE_BYTES_MAX, 2 * 1_048_576);
    assert_eq!((RECORD_ENTRIES_MAX, RECORD_ENTRIES_BYTES_MAX), (200, 1_048_576));
}

#[test]
fn the_sample_of_every_kind_is_taken_in() {
    for &kind in Kind::ALL {
        assert_eq!(op(kind, create(kind)).check(), Ok(()), "{kind:?}");
    }
}

#[test]
fn a_body_without_a_needed_field_is_refused_by_name_and_without_any_other_it_is_taken_in() {
    for (kind, needed) in NEEDED {
        for &field in Body::field_names(kind) {
            let result = created_with(kind, field, Value::Null);
            if needed.contains(&field) {
                assert_names(result, &format!("{kind:?}.{field}"));
            } else {
                assert_eq!(result, Ok(()), "{kind:?}.{field}");
            }
        }
        for field in needed.iter().filter(|field| body(kind).fields()[**field].is_string()) {
            if !is_reference(kind, field) {
                assert_names(created_with(kind, field, json!("  ")), &format!("{kind:?}.{field}"));
            }
        }
    }
}

#[test]
fn a_needed_field_cannot_be_emptied_by_an_edit() {
    for (kind, needed) in NEEDED {
        for &field in needed {
            let result = op(kind, edit(&[(field, body(kind).fields()[field].clone(), Value::Null)])).check();
            assert!(result.is_err(), "{kind:?}.{field}");
        }
    }
}

#[test]
fn every_text_is_taken_in_at_its_limit_and_refused_one_past_it() {
    for (kind, field) in string_fields().filter(|(kind, field)| !is_formed(*kind, field)) {
        let chars_max = if TEXTS.contains(&field) { TEXT_CHARS_MAX } else { NAME_CHARS_MAX };
        for letter in ["a", "界", "🪴"] {
            assert_eq!(
                created_with(kind, field, json!(letter.repeat(chars_max))),
                Ok(()),
                "{kind:?}.{field}"
            );
            let past = json!(letter.repeat(chars_max + 1));
            assert_names(created_with(kind, field, past.clone()), &format!("{kind:?}.{field}"));
            assert!(op(kind, edit(&[(field, Value::Null, past)])).check().is_err(), "{kind:?}.{field}");
        }
        assert_names(created_with(kind, field, json!("a\0b")), &format!("{kind:?}.{field}"));
    }
}

#[test]
fn every_list_is_taken_in_at_its_limit_and_refused_one_past_it() {
    let lists = [
        (Kind::Group, "members", json!(record_id(1))),
        (Kind::Asset, "attributes", json!({ "name": "a", "value": "b" })),
        (Kind::Inspection, "answers", json!({ "key": "a", "value": "b" })),
        (Kind::Checklist, "questions", json!({ "key": "a", "text": "b", "required": true })),
        (Kind::Plan, "phases", json!({ "until_day": 14, "rule": "FREQ=DAILY" })),
        (Kind::Policy, "steps", json!({ "offset_minutes": -60, "to": "responsible" })),
    ];
    for (kind, field, entry) in lists {
        assert_eq!(
            created_with(kind, field, json!(vec![entry.clone(); LIST_ENTRIES_MAX])),
            Ok(()),
            "{kind:?}"
        );
        let past = json!(vec![entry; LIST_ENTRIES_MAX + 1]);
        assert_names(created_with(kind, field, past), &format!("{kind:?}.{field}"));
    }
}

#[test]
fn entries_of_lists_have_limits_of_their_own() {
    let name_max = "a".repeat(NAME_CHARS_MAX);
    let text_max = "a".repeat(TEXT_CHARS_MAX);
    let cases = [
        (Kind::Asset, "attributes", "name", &name_max, json!({ "name": "a", "value": "b" })),
        (Kind::Asset, "attributes", "value", &name_max, json!({ "name": "a", "value": "b" })),
        (Kind::Inspection, "answers", "key", &name_max, json!({ "key": "a", "value": "b" })),
        (Kind::Inspection, "answers", "value", &text_max, json!({ "key": "a", "value": "b" })),
        (
            Kind::Checklist,
            "questions",
            "key",
            &name_max,
            json!({ "key": "a", "text": "b", "required": true }),
        ),
        (
            Kind::Checklist,
            "questions",
            "text",
            &text_max,
            json!({ "key": "a", "text": "b", "required": true }),
        ),
    ];
    for (kind, field, part, longest, mut entry) in cases {
        entry[part] = json!(longest);
        assert_eq!(created_with(kind, field, json!([entry])), Ok(()), "{field}.{part}");
        entry[part] = json!(format!("{longest}a"));
        assert_names(created_with(kind, field, json!([entry])), field);
        entry[part] = json!("a\0");
        assert_names(created_with(kind, field, json!([entry])), field);
        if part == "name" || part == "key" {
            entry[part] = json!(" ");
            assert_names(created_with(kind, field, json!([entry])), field);
        }
    }
}

#[test]
fn a_time_zone_is_one_that_exists() {
    for zone in ["Asia/Shanghai", "Europe/Berlin", "America/Argentina/Ushuaia", "UTC"] {
        assert_eq!(created_with(Kind::Area, "time_zone", json!(zone)), Ok(()), "{zone}");
    }
    for zone in ["Asia/Peking", "+08:00", "CST-8", "Mars/Olympus", " ", "Asia/Shanghai\0"] {
        assert_names(created_with(Kind::Area, "time_zone", json!(zone)), "Area.time_zone");
    }
}

#[test]
fn a_date_is_written_in_one_way_and_exists() {
    let dates = [
        (Kind::Asset, "since"),
        (Kind::Commitment, "due"),
        (Kind::Contract, "from"),
        (Kind::Contract, "until"),
        (Kind::Plan, "from"),
        (Kind::Plan, "until"),
        (Kind::Adoption, "confirm_by"),
    ];
    for (kind, field) in dates {
        for date in ["1998-05-01", "2028-02-29", "0001-01-01", "9999-12-31"] {
            assert_eq!(created_with(kind, field, json!(date)), Ok(()), "{date}");
        }
        for date in [
            "2026-02-29",
            "2026-13-01",
            "2026-11-31",
            "2026-00-10",
            "20261122",
            "2026-11-22T00:00",
            "2026-11-22 ",
            "2026-11-22[UTC]",
            "2026-1-2",
            "22.11.2026",
            "11/22/2026",
            "2026-W47-7",
            "today",
            "二〇二六年",
        ] {
            assert_names(created_with(kind, field, json!(date)), &format!("{kind:?}.{field}"));
        }
    }
}

#[test]
fn coordinates_are_on_the_globe() {
    for kind in [Kind::Place, Kind::Asset, Kind::Violation] {
        for (field, max) in [("latitude", 90.0), ("longitude", 180.0)] {
            for degrees in [-max, -0.0, 0.0, max] {
                assert_eq!(created_with(kind, field, json!(degrees)), Ok(()), "{kind:?}.{field} {degrees}");
            }
            for degrees in [max + 1e-9, -max - 1e-9, 1e300] {
                assert_names(created_with(kind, field, json!(degrees)), &format!("{kind:?}.{field}"));
            }
        }
    }
}

#[test]
fn what_is_no_number_is_refused() {
    for number in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let Body::Place(mut place) = body(Kind::Place) else { unreachable!("it is a place") };
        place.latitude = Some(number);
        assert_names(created(Body::Place(place.clone())), "Place.latitude");
        (place.latitude, place.longitude) = (None, Some(number));
        assert_names(created(Body::Place(place)), "Place.longitude");
        let Body::Commitment(mut commitment) = body(Kind::Commitment) else { unreachable!("it is one") };
        commitment.quantity = Some(number);
        assert_names(created(Body::Commitment(commitment)), "Commitment.quantity");
    }
}

#[test]
fn a_quantity_is_taken_in_at_its_limit_and_refused_one_past_it() {
    for kind in [Kind::Inspection, Kind::Commitment] {
        assert_eq!(created_with(kind, "quantity", json!(1e9)), Ok(()), "{kind:?}");
        assert_eq!(created_with(kind, "quantity", json!(QUANTITY_MAX)), Ok(()), "{kind:?}");
        for quantity in [QUANTITY_MAX + 1.0, 1e300] {
            assert_names(created_with(kind, "quantity", json!(quantity)), &format!("{kind:?}.quantity"));
        }
    }
}

#[test]
fn a_hash_is_64_lower_case_hexadecimal_digits() {
    for hash in
        ["", "9af", &"g".repeat(64), &"A".repeat(64), &"0".repeat(63), &"0".repeat(65), &"界".repeat(64)]
    {
        assert_names(created_with(Kind::Attachment, "sha256", json!(hash)), "Attachment.sha256");
    }
}

#[test]
fn a_legal_gap_has_a_day_at_least() {
    assert_eq!(created_with(Kind::Plan, "gap_days_max", json!(1)), Ok(()));
    assert_names(created_with(Kind::Plan, "gap_days_max", json!(0)), "Plan.gap_days_max");
}

#[test]
fn resting_months_are_months() {
    let months: Vec<u32> = (1..=12).collect();
    assert_eq!(created_with(Kind::Plan, "resting_months", json!(months)), Ok(()));
    for months in [vec![0], vec![13], vec![u32::MAX], [1].repeat(13)] {
        assert_names(created_with(Kind::Plan, "resting_months", json!(months)), "Plan.resting_months");
    }
}

#[test]
fn a_plan_and_each_of_its_phases_has_a_rule_that_can_be_counted() {
    for rule in ["FREQ=DAILY;INTERVAL=15", "freq=monthly;bymonthday=-1", "FREQ=DAILY;BYHOUR=8;BYMINUTE=30"] {
        assert_eq!(created_with(Kind::Plan, "rule", json!(rule)), Ok(()), "{rule}");
        let phases = json!([{ "until_day": 14, "rule": rule }]);
        assert_eq!(created_with(Kind::Plan, "phases", phases), Ok(()), "{rule}");
    }
    for rule in
        [" ", "every day", "FREQ=HOURLY", "FREQ=DAILY;COUNT=3", "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30", "a\0"]
    {
        assert_names(created_with(Kind::Plan, "rule", json!(rule)), "Plan.rule");
        let phases = json!([{ "until_day": 14, "rule": "FREQ=DAILY" }, { "until_day": 84, "rule": rule }]);
        assert_names(created_with(Kind::Plan, "phases", phases.clone()), "Plan.phases");
        assert_names(op(Kind::Plan, edit(&[("phases", Value::Null, phases)])).check(), "Plan.phases");
    }
}

#[test]
fn phases_come_in_the_order_of_their_ages() {
    let phases = |days: &[u32]| {
        let phases: Vec<_> =
            days.iter().map(|day| json!({ "until_day": day, "rule": "FREQ=DAILY" })).collect();
        created_with(Kind::Plan, "phases", json!(phases))
    };
    assert_eq!(phases(&[14, 84, u32::MAX]), Ok(()));
    assert_names(phases(&[84, 14]), "Plan.phases");
}

#[test]
fn a_word_of_a_few_is_one_of_them_or_nothing() {
    for (kind, field, words) in [
        (Kind::Plan, "catch_up", &["latest", "all", "skip"][..]),
        (Kind::Policy, "digest", &["daily", "weekly"][..]),
    ] {
        for word in words {
            assert_eq!(created_with(kind, field, json!(word)), Ok(()), "{kind:?}.{field} {word}");
        }
        for word in ["never", "Daily", "ALL", " all", "latest\0"] {
            let result = created_with(kind, field, json!(word));
            assert!(
                words.iter().all(|word| result.as_ref().is_err_and(|refused| refused.detail.contains(word)))
            );
            assert_names(result, &format!("{kind:?}.{field}"));
        }
    }
}

#[test]
fn days_until_something_is_due_are_in_their_order_and_none_is_0_alone() {
    let days = |days: &[u32]| created_with(Kind::Policy, "due_days", json!(days));
    let many: Vec<u32> = (1..=256).collect();
    for right in [&[7, 30, 90][..], &[0], &[1], &[3_650], &many] {
        assert_eq!(days(right), Ok(()), "{right:?}");
    }
    let too_many: Vec<u32> = (1..=257).collect();
    for wrong in [&[0, 7][..], &[7, 7], &[30, 7], &[3_651], &too_many] {
        assert_names(days(wrong), "Policy.due_days");
    }
}

#[test]
fn a_reminder_goes_to_the_responsible_the_coordinator_or_the_supervisor() {
    let steps = |to: &str, minutes: i32| {
        created_with(Kind::Policy, "steps", json!([{ "offset_minutes": minutes, "to": to }]))
    };
    for to in ["responsible", "coordinator", "supervisor"] {
        for minutes in [i32::MIN, -1_440, 0, i32::MAX] {
            assert_eq!(steps(to, minutes), Ok(()), "{to}");
        }
    }
    for to in ["", "mayor", "Coordinator", "partner"] {
        assert_names(steps(to, 0), "Policy.steps");
    }
}

#[test]
fn a_time_of_day_is_written_in_one_way() {
    for field in ["quiet_from", "quiet_until"] {
        for time in ["00:00", "07:00", "21:30", "23:59"] {
            assert_eq!(created_with(Kind::Policy, field, json!(time)), Ok(()), "{time}");
        }
        for time in [
            "7:00",
            "24:00",
            "21:60",
            "21:00:00",
            "21.00",
            "T2100",
            "21h00",
            "9 pm",
            "noon!",
            "+1:00",
            "二十一点",
        ] {
            assert_names(created_with(Kind::Policy, field, json!(time)), &format!("Policy.{field}"));
        }
    }
}

#[test]
fn what_the_law_requires_of_a_plan_is_not_changed_in_silence() {
    let edited = |field: &str, reason: &str| {
        let value = body(Kind::Plan).fields()[field].clone();
        let changes = vec![Change { field: field.to_owned(), base: Value::Null, value }];
        op(Kind::Plan, Action::Edit { changes, reason: reason.to_owned() }).check()
    };
    for &field in Body::field_names(Kind::Plan) {
        assert_eq!(edited(field, "the elevator was taken out"), Ok(()), "{field}");
        if SCHEDULE.contains(&field) {
            assert_names(edited(field, ""), "edit.reason");
            assert_names(edited(field, " \n"), field);
        } else {
            assert_eq!(
                edited(field, ""),
                Ok(()),
                "{field}: who does it, and how long it may be done, needs none"
            );
        }
    }
    let emptied = vec![
        Change { field: "worker".to_owned(), base: Value::Null, value: json!(record_id(1)) },
        Change { field: "mandated".to_owned(), base: json!(true), value: Value::Null },
    ];
    let result = op(Kind::Plan, Action::Edit { changes: emptied, reason: String::new() }).check();
    assert_names(result, "edit.reason");
}

#[test]
fn a_body_of_another_kind_than_the_op_is_refused() {
    for &kind in Kind::ALL {
        for &other in Kind::ALL.iter().filter(|other| **other != kind) {
            let refusal = op(kind, create(other)).check().expect_err("the kinds differ");
            assert_eq!(refusal.reason, Reason::WrongKind, "{kind:?} with the body of {other:?}");
        }
    }
}

#[test]
fn an_area_is_recorded_in_itself() {
    let elsewhere = Op { record: record_id(9), ..op(Kind::Area, create(Kind::Area)) };
    assert_names(elsewhere.check(), "area");
}

#[test]
fn areas_neither_move_nor_go() {
    for action in [Action::Move { to: area(1) }, Action::Delete { reason: "a mistake".to_owned() }] {
        let refusal = op(Kind::Area, action).check().expect_err("areas stay");
        assert_eq!(refusal.reason, Reason::WrongKind);
    }
}

#[test]
fn a_move_goes_somewhere_else() {
    assert_eq!(op(Kind::Asset, Action::Move { to: area(1) }).check(), Ok(()));
    assert_names(op(Kind::Asset, Action::Move { to: area(0) }).check(), "move.to");
}

#[test]
fn a_deletion_says_why_within_the_limit() {
    let delete = |reason: &str| op(Kind::Place, Action::Delete { reason: reason.to_owned() }).check();
    assert_eq!(delete(&"界".repeat(TEXT_CHARS_MAX)), Ok(()));
    for reason in ["", " \n", "a\0", &"界".repeat(TEXT_CHARS_MAX + 1)] {
        assert_names(delete(reason), "delete.reason");
    }
}

#[test]
fn a_settlement_names_1_to_256_disputes() {
    let settle = |count| {
        let disputes = vec![OpId { device: device(0), seq: 1 }; count];
        op(Kind::Place, Action::Settle { disputes }).check()
    };
    assert_eq!((settle(1), settle(LIST_ENTRIES_MAX)), (Ok(()), Ok(())));
    assert_names(settle(0), "settle.disputes");
    assert_names(settle(LIST_ENTRIES_MAX + 1), "settle.disputes");
}

#[test]
fn an_edit_names_1_to_256_changes() {
    let change = Change { field: "name".to_owned(), base: Value::Null, value: json!("a word") };
    let edits = |count| {
        let changes = vec![change.clone(); count];
        op(Kind::Place, Action::Edit { changes, reason: String::new() }).check()
    };
    assert_eq!((edits(1), edits(LIST_ENTRIES_MAX)), (Ok(()), Ok(())));
    assert_names(edits(0), "edit.fields");
    assert_names(edits(LIST_ENTRIES_MAX + 1), "edit.fields");
}

#[test]
fn an_amendment_of_a_fact_says_why_and_other_edits_need_not() {
    for &kind in Kind::ALL.iter().filter(|kind| kind.nature() != Nature::Fixed) {
        let names = Body::field_names(kind).iter().copied();
        let field = names.filter(|field| kind != Kind::Plan || !SCHEDULE.contains(field)).find(|field| {
            let said = body(kind).fields()[*field].clone();
            op(kind, edit(&[(field, Value::Null, said)])).check().is_ok()
        });
        let field = field.expect("some field can be edited");
        let said = body(kind).fields()[field].clone();
        let edited = |reason: &str| {
            let changes = vec![Change { field: field.to_owned(), base: Value::Null, value: said.clone() }];
            op(kind, Action::Edit { changes, reason: reason.to_owned() }).check()
        };
        assert_eq!(edited(&"a".repeat(TEXT_CHARS_MAX)), Ok(()), "{kind:?}");
        assert_names(edited(&"a".repeat(TEXT_CHARS_MAX + 1)), "edit.reason");
        if kind.nature() == Nature::Fact {
            assert_names(edited(" "), "edit.reason");
        } else {
            assert_eq!(edited(""), Ok(()), "{kind:?}");
        }
    }
}

#[test]
fn a_checklist_is_never_edited() {
    let refusal =
        op(Kind::Checklist, edit(&[("name", json!("Elevator, monthly"), json!("Elevator"))])).check();
    assert_eq!(refusal.expect_err("the next version is a new record").reason, Reason::WrongKind);
}

#[test]
fn fields_that_shape_the_tree_or_belong_to_the_stages_are_set_once() {
    let fixed = [
        (Kind::Area, "parent"),
        (Kind::Area, "time_zone"),
        (Kind::Request, "referred_to"),
        (Kind::Request, "due_at_ms"),
        (Kind::FollowUp, "source"),
        (Kind::Term, "vocabulary"),
        (Kind::Term, "word"),
    ];
    for &kind in Kind::ALL.iter().filter(|kind| kind.nature() != Nature::Fixed) {
        for &field in Body::field_names(kind) {
            let said = body(kind).fields()[field].clone();
            let result = op(kind, edit(&[(field, Value::Null, said)])).check();
            if fixed.contains(&(kind, field)) {
                assert_eq!(result.expect_err(field).reason, Reason::FieldFixed, "{kind:?}.{field}");
            } else {
                assert_eq!(result, Ok(()), "{kind:?}.{field}");
            }
        }
    }
}

#[test]
fn an_edit_of_a_field_that_the_kind_has_not_is_refused() {
    for field in ["nickname", "", "names", "Name", "name.first"] {
        assert_names(op(Kind::Place, edit(&[(field, Value::Null, json!("x"))])).check(), "edit.fields");
    }
}

#[test]
fn a_value_of_another_type_or_written_in_another_way_is_refused_by_name() {
    let wrong = [
        (Kind::Place, "name", json!(4)),
        (Kind::Place, "parent", json!("no uuid")),
        (Kind::Place, "latitude", json!("31.2")),
        (Kind::Group, "members", json!("one")),
        (Kind::Asset, "attributes", json!([{ "name": 1 }])),
        (Kind::Worker, "left", json!("yes")),
        (Kind::Plan, "gap_days_max", json!(-1)),
        // Another way to say what a record says otherwise: it would never match as a base.
        (Kind::Place, "code", json!("")),
        (Kind::Place, "latitude", json!(31)),
        (Kind::Place, "parent", json!("{0000003C-0000-0000-0000-000000000000}")),
        (Kind::Worker, "left", json!(false)),
        (Kind::Group, "members", json!([])),
        (Kind::Asset, "attributes", json!([{ "value": "Otis", "name": "maker", "unit": "" }])),
        (Kind::Plan, "phases", json!([{ "until_day": "14", "rule": "FREQ=DAILY" }])),
        (Kind::Plan, "resting", json!(false)),
        (Kind::Policy, "steps", json!([{ "offset_minutes": 0.5, "to": "supervisor" }])),
        (Kind::Policy, "steps", json!([])),
        (Kind::Term, "due_hours", json!(-1)),
    ];
    for (kind, field, value) in wrong {
        assert_names(op(kind, edit(&[(field, Value::Null, value)])).check(), field);
    }
}

#[test]
fn a_step_goes_to_a_stage_of_its_kind_and_the_refusal_names_them() {
    for &kind in Kind::ALL {
        let Some(stages) = stages(kind) else {
            let refusal = op(kind, Action::Step(step_to("open"))).check().expect_err("it has no stages");
            assert_eq!(refusal.reason, Reason::WrongKind, "{kind:?}");
            continue;
        };
        for stage in stages.all {
            assert_eq!(op(kind, Action::Step(step_to(stage))).check(), Ok(()), "{kind:?} {stage}");
        }
        for stage in ["", "Open", "finished"] {
            let result = op(kind, Action::Step(step_to(stage))).check();
            assert!(result.as_ref().is_err_and(|refusal| refusal.detail.contains(stages.first())));
            assert_names(result, "step.to");
        }
    }
}

#[test]
fn a_step_brings_what_its_stage_asks_for() {
    let request = |step: Step| op(Kind::Request, Action::Step(step)).check();
    assert_names(request(Step { organization: None, ..step_to("referred") }), "step.organization");
    assert_names(request(Step { due_at_ms: None, ..step_to("referred") }), "step.organization");
    assert_names(request(Step { reason: " ".to_owned(), ..step_to("rejected") }), "step.reason");
    let cancelled = Step { reason: String::new(), ..step_to("cancelled") };
    assert_names(op(Kind::FollowUp, Action::Step(cancelled)).check(), "step.reason");
    assert_eq!(request(Step { to: "triaged".to_owned(), ..Step::default() }), Ok(()));
}

#[test]
fn reason_and_outcome_of_a_step_have_limits() {
    let done = |reason: String, outcome: String| {
        op(Kind::FollowUp, Action::Step(Step { reason, outcome, ..step_to("done") })).check()
    };
    assert_eq!(done("界".repeat(TEXT_CHARS_MAX), "界".repeat(NAME_CHARS_MAX)), Ok(()));
    assert_names(done("界".repeat(TEXT_CHARS_MAX + 1), String::new()), "step.reason");
    assert_names(done(String::new(), "界".repeat(NAME_CHARS_MAX + 1)), "step.outcome");
    assert_names(done("a\0".to_owned(), String::new()), "step.reason");
}

#[test]
fn no_refusal_repeats_what_a_field_says() {
    let secret = "0123456789 knock twice ";
    let long = json!(secret.repeat(200));
    for (kind, field) in string_fields() {
        let refusal = created_with(kind, field, long.clone()).expect_err("it is too long for any field");
        assert!(!refusal.detail.contains("knock"), "{refusal}");
    }
    for (kind, field) in string_fields().filter(|(kind, field)| is_formed(*kind, field)) {
        for secret in
            ["knock twice", "FREQ=KNOCK", "KNOCK=1", "FREQ=DAILY;BYDAY=KNOCK", "FREQ=DAILY;INTERVAL=knock"]
        {
            let refusal = created_with(kind, field, json!(secret)).expect_err("it has another form");
            assert!(!refusal.detail.to_lowercase().contains("knock"), "{refusal}");
        }
    }
}
