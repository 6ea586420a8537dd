//! What others may send by mistake, and what they are told.

#![allow(clippy::unwrap_used)] // a helper that fails is a test that fails

use prost::Message as _;
use rounds_domain::limit::OP_BYTES_MAX;
use rounds_domain::op::SCHEMA_VERSION;
use rounds_domain::verdict::Reason;
use rounds_domain::{Action, Change, Refusal};
use rounds_proto::prost_types::FieldMask;
use rounds_proto::v1::{self, body, op};
use rounds_proto::{decode_op, op_from_wire};
use serde_json::Value;

const ID: &str = "01939f2c-7a5e-7b1c-9d7e-3f5a1c2b4d6e";

fn place() -> v1::Place {
    v1::Place { name: "Building 4".to_owned(), sort: "building".to_owned(), ..Default::default() }
}

fn said(body: body::Body) -> Option<v1::Body> {
    Some(v1::Body { body: Some(body) })
}

fn create() -> v1::Op {
    v1::Op {
        schema_version: SCHEMA_VERSION,
        record: ID.to_owned(),
        area: ID.to_owned(),
        kind: v1::Kind::Place.into(),
        action: Some(op::Action::Create(v1::Create { body: said(body::Body::Place(place())) })),
        ..Default::default()
    }
}

fn edit(fields: &[&str], body: v1::Place, base: Option<v1::Place>) -> v1::Op {
    let edit = v1::Edit {
        body: said(body::Body::Place(body)),
        fields: Some(FieldMask { paths: fields.iter().map(|&field| field.to_owned()).collect() }),
        base: base.and_then(|base| said(body::Body::Place(base))),
        reason: String::new(),
    };
    v1::Op { action: Some(op::Action::Edit(edit)), ..create() }
}

fn refusal(op: v1::Op) -> Refusal {
    decode_op(&op.encode_to_vec()).unwrap_err()
}

#[test]
fn an_unknown_schema_is_refused() {
    for schema_version in [0, SCHEMA_VERSION + 1] {
        let refusal = refusal(v1::Op { schema_version, ..create() });
        assert_eq!(refusal.reason, Reason::UnknownSchema);
    }
}

#[test]
fn an_unknown_kind_is_refused() {
    for kind in [0, 21, -1, 1 << 20] {
        assert_eq!(refusal(v1::Op { kind, ..create() }).reason, Reason::UnknownKind);
    }
}

#[test]
fn an_op_without_an_action_known_here_is_refused() {
    assert_eq!(refusal(v1::Op { action: None, ..create() }).reason, Reason::UnknownKind);
}

#[test]
fn a_body_of_another_kind_is_refused() {
    let refused = refusal(v1::Op { kind: v1::Kind::Asset.into(), ..create() });
    assert_eq!(refused.reason, Reason::WrongKind);
    assert_eq!(refused.detail, "create.body: says place, where the op says asset");
    let refused = refusal(v1::Op { kind: v1::Kind::Asset.into(), ..edit(&["name"], place(), None) });
    assert_eq!(refused.reason, Reason::WrongKind);
}

#[test]
fn a_body_of_a_kind_not_known_here_is_refused() {
    let create = op::Action::Create(v1::Create { body: Some(v1::Body::default()) });
    assert_eq!(refusal(v1::Op { action: Some(create), ..self::create() }).reason, Reason::UnknownKind);
}

#[test]
fn what_is_no_uuid_is_refused_with_the_name_of_its_field() {
    let refused = refusal(v1::Op { record: "4711".to_owned(), ..create() });
    assert_eq!(refused.reason, Reason::Invalid);
    assert!(refused.detail.starts_with("record: is no UUID"), "{refused}");
    assert!(refusal(v1::Op { area: String::new(), ..create() }).detail.starts_with("area: "));
    let parent = v1::Place { parent: "next door".to_owned(), ..place() };
    let create = op::Action::Create(v1::Create { body: said(body::Body::Place(parent)) });
    let refused = refusal(v1::Op { action: Some(create), ..self::create() });
    assert!(refused.detail.starts_with("Place.parent: is no UUID"), "{refused}");
}

#[test]
fn a_number_that_json_cannot_say_is_refused() {
    for latitude in [f64::NAN, f64::INFINITY] {
        let place = v1::Place { latitude: Some(latitude), ..place() };
        let refused = refusal(edit(&["latitude"], place, None));
        assert_eq!(refused.detail, "Place.latitude: must be a finite number");
    }
}

#[test]
fn an_unknown_field_in_a_mask_is_refused_with_a_list_of_those_there_are() {
    let refused = refusal(edit(&["name", "colour"], place(), None));
    assert_eq!(refused.reason, Reason::Invalid);
    assert_eq!(
        refused.detail,
        "edit.fields: a place has no field \"colour\"; it has name, sort, parent, code, address, latitude, \
         longitude, external_ref"
    );
    assert!(refusal(edit(&["name", "place.name"], place(), None)).detail.contains("place.name"));
}

#[test]
fn a_field_named_in_the_mask_and_empty_in_the_body_is_emptied() {
    let base = v1::Place { code: "A1".to_owned(), ..Default::default() };
    let op = op_from_wire(edit(&["code", "name", "code"], place(), Some(base))).unwrap();
    let changes = vec![
        Change { field: "code".to_owned(), base: "A1".into(), value: Value::Null },
        Change { field: "name".to_owned(), base: Value::Null, value: "Building 4".into() },
    ];
    assert_eq!(op.action, Action::Edit { changes, reason: String::new() });
}

#[test]
fn an_edit_without_a_body_is_refused_and_does_not_empty_fields() {
    let mut op = edit(&["code"], place(), None);
    if let Some(op::Action::Edit(edit)) = &mut op.action {
        edit.body = None;
    }
    assert_eq!(refusal(op).detail, "edit.body: is needed, with the new values");
}

#[test]
fn bytes_that_are_no_op_are_malformed() {
    assert_eq!(decode_op(&[0xff; 9]).unwrap_err().reason, Reason::Malformed);
}

#[test]
fn an_op_at_the_limit_is_read_and_one_byte_more_is_refused() {
    let sized = |chars: usize| {
        let place = v1::Place { address: "x".repeat(chars), ..place() };
        let create = op::Action::Create(v1::Create { body: said(body::Body::Place(place)) });
        v1::Op { action: Some(create), ..self::create() }.encode_to_vec()
    };
    let envelope = sized(OP_BYTES_MAX - 1_000).len() - (OP_BYTES_MAX - 1_000);
    let largest = sized(OP_BYTES_MAX - envelope);
    assert_eq!(largest.len(), OP_BYTES_MAX);
    assert!(decode_op(&largest).is_ok());
    let refused = decode_op(&sized(OP_BYTES_MAX - envelope + 1)).unwrap_err();
    assert_eq!(refused.reason, Reason::Invalid);
}
