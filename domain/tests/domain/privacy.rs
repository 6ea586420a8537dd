//! Rounds records places, things, services and requests; it is no tool for watching people.

use super::forbidden::FORBIDDEN;
use super::sample::body;
use rounds_domain::column::columns;
use rounds_domain::{Body, Kind};
use serde_json::Value;

/// Kinds whose records may be called by a name: places, things, partners, and how to call a worker at work.
const NAMED: [Kind; 8] = [
    Kind::Area,
    Kind::Place,
    Kind::Asset,
    Kind::Organization,
    Kind::Worker,
    Kind::Group,
    Kind::Checklist,
    Kind::Term,
];

/// The names of the fields of a value, at all depths.
fn names(value: &Value) -> Vec<String> {
    match value {
        Value::Object(fields) => {
            fields.iter().flat_map(|(name, value)| [vec![name.clone()], names(value)].concat()).collect()
        }
        Value::Array(entries) => entries.iter().flat_map(names).collect(),
        _ => Vec::new(),
    }
}

#[test]
fn no_field_of_any_kind_describes_a_person() {
    for &kind in Kind::ALL {
        let listed = Body::field_names(kind).iter().map(|name| (*name).to_owned());
        for name in listed.chain(names(&Value::Object(body(kind).fields()))) {
            for word in name.split('_') {
                assert!(!FORBIDDEN.contains(&word), "{kind:?}.{name}");
            }
        }
    }
}

#[test]
fn only_places_things_partners_and_workers_have_names() {
    for &kind in Kind::ALL {
        let has_name = Body::field_names(kind).contains(&"name");
        assert!(!has_name || NAMED.contains(&kind), "{kind:?} has a name");
    }
}

#[test]
fn of_a_worker_nothing_is_kept_but_how_to_call_them_at_work() {
    assert_eq!(Body::field_names(Kind::Worker), ["name", "external_ref", "left"]);
}

#[test]
fn the_only_mailboxes_are_an_organizations_and_those_of_two_functions() {
    let mailboxes: Vec<_> = Kind::ALL
        .iter()
        .flat_map(|&kind| Body::field_names(kind).iter().map(move |name| (kind, *name)))
        .filter(|(_, name)| name.contains("mail"))
        .collect();
    let expected = [
        (Kind::Organization, "email"),
        (Kind::Policy, "coordinator_email"),
        (Kind::Policy, "supervisor_email"),
    ];
    assert_eq!(mailboxes, expected, "of an organization or a function, never of a person");
}

#[test]
fn no_table_says_who_did_or_does_what() {
    for &kind in Kind::ALL {
        for column in columns(kind) {
            assert!(!column.name.split('_').any(|word| word == "worker"), "{kind:?}.{}", column.name);
        }
    }
}
