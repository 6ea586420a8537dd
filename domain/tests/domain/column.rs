//! Records as rows.

use rounds_domain::column::{Form, Source, columns};
use rounds_domain::{Body, Kind};
use std::collections::BTreeSet;

#[test]
fn every_field_but_the_worker_is_a_column_of_a_name_of_its_own() {
    for &kind in Kind::ALL {
        let columns = columns(kind);
        let names: BTreeSet<&str> = columns.iter().map(|column| column.name).collect();
        assert_eq!(names.len(), columns.len(), "{kind:?}");
        let fields: Vec<&str> = columns
            .iter()
            .filter_map(|column| match column.source {
                Source::Field(field) => Some(field),
                _ => None,
            })
            .collect();
        let expected: Vec<&str> =
            Body::field_names(kind).iter().copied().filter(|field| *field != "worker").collect();
        assert_eq!(fields, expected, "{kind:?}");
    }
}

#[test]
fn days_and_moments_are_told_from_texts_and_numbers() {
    let form =
        |kind, name| columns(kind).into_iter().find(|column| column.name == name).map(|column| column.form);
    assert_eq!(form(Kind::Asset, "since"), Some(Form::Date));
    assert_eq!(form(Kind::Asset, "name"), Some(Form::Text));
    assert_eq!(form(Kind::Asset, "attributes"), Some(Form::List));
    assert_eq!(form(Kind::FollowUp, "due_at"), Some(Form::Moment));
    assert_eq!(form(Kind::FollowUp, "due_at_ms"), None);
    assert_eq!(form(Kind::Notice, "at"), Some(Form::Moment));
    assert_eq!(form(Kind::Attachment, "size_bytes"), Some(Form::Integer));
    assert_eq!(form(Kind::Plan, "gap_days_max"), Some(Form::Integer));
    assert_eq!(form(Kind::Plan, "mandated"), Some(Form::YesNo));
    assert_eq!(form(Kind::Visit, "follow_up"), Some(Form::Reference));
    assert_eq!(form(Kind::Commitment, "quantity"), Some(Form::Number));
}
