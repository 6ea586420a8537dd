//! Who may do what: every role, every act, every kind.

use super::sample::{area, body, create, edit, step};
use rounds_domain::{Action, Body, Kind, OpId, Role};
use serde_json::json;

/// The order of the columns.
const ROLES: [Role; 6] =
    [Role::Field, Role::Coordinator, Role::Supervisor, Role::Partner, Role::Admin, Role::System];

/// What each role may do to records of each kind: `c`reate, `e`dit, `s`tep, `m`ove, `d`elete, se`t`tle.
/// Which stages a partner may step to, and the field of a notice, are tests of their own below; a kind without stages
/// refuses steps by itself.
const TABLE: &str = "
               field  coordinator supervisor partner admin  system
area           --s--- cesmdt      ------     ------  cesmdt ------
place          -es--- cesmdt      ------     ------  cesmdt ------
asset          -es--- cesmdt      ------     ------  cesmdt ------
organization   --s--- cesmdt      ------     ------  cesmdt ------
commitment     --s--- cesmdt      ------     ------  cesmdt ------
contract       --s--- cesmdt      ------     ------  cesmdt ------
worker         --s--- cesmdt      ------     ------  cesmdt ------
group          --s--- cesmdt      ------     ------  cesmdt ------
visit          ces--- cesmdt      ------     ------  cesmdt ------
inspection     ces--- cesmdt      ------     ------  cesmdt ------
request        ces--- cesmdt      ------     --s---  cesmdt ------
violation      ces--- cesmdt      ------     ------  cesmdt ------
plan           --s--- cesmdt      ------     ------  cesmdt ------
follow_up      --s--- cesmdt      ------     ------  cesmdt cesm--
adoption       c-s--- cesmdt      ------     ------  cesmdt --s---
attachment     ces--- cesmdt      ------     ------  cesmdt ------
checklist      --s--- cesmdt      ------     ------  cesmdt ------
term           --s--- ------      ------     ------  cesmdt ------
notice         --s--- cesmdt      --s---     ------  cesmdt cesm--
policy         --s--- cesmdt      ------     ------  cesmdt ------
";

fn acts(kind: Kind) -> [(char, Action); 6] {
    [
        ('c', create(kind)),
        ('e', edit(&[("name", json!(null), json!("a word"))])),
        ('s', step(if kind == Kind::Notice { "seen" } else { "resolved" })),
        ('m', Action::Move { to: area(1) }),
        ('d', Action::Delete { reason: "a mistake".to_owned() }),
        ('t', Action::Settle { disputes: Vec::<OpId>::new() }),
    ]
}

#[test]
fn every_cell_of_the_role_table_is_as_written() {
    let mut lines = TABLE.trim_start_matches('\n').lines();
    let columns: Vec<_> = lines.next().expect("a heading").split_whitespace().collect();
    assert_eq!(columns, ROLES.map(Role::name));
    let rows: Vec<Vec<_>> = lines.map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows.len(), Kind::ALL.len(), "a row per kind");
    for (row, &kind) in rows.iter().zip(Kind::ALL) {
        assert_eq!(row[0], kind.name());
        for (role, cell) in ROLES.into_iter().zip(&row[1..]) {
            let may: String = acts(kind)
                .map(|(letter, action)| if role.may(&action, kind) { letter } else { '-' })
                .into_iter()
                .collect();
            assert_eq!(may, **cell, "{} on {}", role.name(), kind.name());
        }
    }
}

#[test]
fn resolved_is_the_partners_word_and_verified_is_ours() {
    let stages = ["open", "triaged", "referred", "in_progress", "resolved", "verified", "closed", "rejected"];
    let partner: Vec<_> =
        stages.iter().copied().filter(|to| Role::Partner.may(&step(to), Kind::Request)).collect();
    assert_eq!(partner, ["triaged", "in_progress", "resolved"], "takes it on, does it, or sends it back");
    for role in [Role::Field, Role::Coordinator, Role::Admin] {
        assert!(stages.iter().all(|to| role.may(&step(to), Kind::Request)), "{}", role.name());
    }
}

#[test]
fn who_is_in_the_field_or_supervises_says_of_a_notice_that_it_was_seen_and_no_more() {
    let stages = ["raised", "seen", "withdrawn"];
    let may =
        |role: Role| stages.into_iter().filter(|to| role.may(&step(to), Kind::Notice)).collect::<Vec<_>>();
    for role in [Role::Field, Role::Supervisor] {
        assert_eq!(may(role), ["seen"], "{}", role.name());
    }
    for role in [Role::Coordinator, Role::Admin, Role::System] {
        assert_eq!(may(role), stages, "{}", role.name());
    }
    assert!(may(Role::Partner).is_empty());
}

#[test]
fn only_an_administrator_plants_a_new_tree_of_areas() {
    let Body::Area(mut root) = body(Kind::Area) else { unreachable!("it is an area") };
    root.parent = None;
    let plant = Action::Create(Box::new(Body::Area(root)));
    let may: Vec<_> = ROLES.into_iter().filter(|role| role.may(&plant, Kind::Area)).collect();
    assert_eq!(may, [Role::Admin]);
}

#[test]
fn coordinators_and_administrators_see_and_mend_quarantine_and_nobody_else() {
    let coordinates: Vec<_> = ROLES.into_iter().filter(|role| role.coordinates()).collect();
    assert_eq!(coordinates, [Role::Coordinator, Role::Admin]);
}

#[test]
fn every_role_has_its_number_and_no_other_number_has_a_role() {
    assert_eq!(Role::ALL.len(), ROLES.len());
    for &role in Role::ALL {
        assert_eq!(Role::from_number(role.number()), Some(role));
    }
    for number in [i16::MIN, -1, 0, 7, i16::MAX] {
        assert_eq!(Role::from_number(number), None);
    }
}

#[test]
fn every_kind_has_its_number_and_no_other_number_has_a_kind() {
    for (at, &kind) in Kind::ALL.iter().enumerate() {
        assert_eq!(usize::try_from(kind.number()), Ok(at + 1), "the numbers of the wire have no gaps");
        assert_eq!(Kind::from_number(kind.number()), Some(kind));
    }
    for number in [i16::MIN, -1, 0, 21, i16::MAX] {
        assert_eq!(Kind::from_number(number), None);
    }
}
