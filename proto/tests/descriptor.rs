//! What the protos may and may not say.

#![allow(clippy::unwrap_used)] // a helper that fails is a test that fails

use prost::Message as _;
use prost_types::field_descriptor_proto::Type;
use prost_types::{DescriptorProto, FileDescriptorSet};
use rounds_domain::Kind;
use rounds_proto::prost_types;
use rounds_proto::{FILE_DESCRIPTOR_SET, kind_from_wire, kind_to_wire, v1};

fn descriptors() -> FileDescriptorSet {
    FileDescriptorSet::decode(FILE_DESCRIPTOR_SET).unwrap()
}

fn messages() -> Vec<DescriptorProto> {
    fn walk(message: DescriptorProto, found: &mut Vec<DescriptorProto>) {
        for nested in &message.nested_type {
            walk(nested.clone(), found);
        }
        found.push(message);
    }
    let mut found = Vec::new();
    let ours = descriptors().file.into_iter().filter(|file| file.package() == "rounds.v1");
    ours.flat_map(|file| file.message_type).for_each(|message| walk(message, &mut found));
    assert!(found.len() > 50, "the descriptor set is not whole");
    found
}

/// Words that would make a record about a person. A field whose name holds one of them must not exist.
const PERSONAL: &str = "
    age alias belief biometric birth birthday blood born caste child children citizen citizenship credit
    criminal debt descent diagnosis disability disease education employer ethnic ethnicity face faith
    family father fingerprint gait gender gps health hukou husband id_card id_number imei income iris
    kin loyalty marital married medical military minority mother movement movements nation nationality
    national_id occupation orientation origin parents partisan party passport person petition plate
    political politics profession profile race relative relatives religion religious resident residents
    risk salary score sex sibling social_credit spouse surname tenant track tracking trail union voice
    wages watch_list wealth wife";

/// Words that would let somebody be called. Only as text; `last_contact` of a device is a time.
const CONTACT: &str = "
    contact mobile phone tel telephone wechat whatsapp";

/// Whether a name in snake case has this word or these words in a row.
fn holds(name: &str, word: &str) -> bool {
    format!("_{name}_").contains(&format!("_{word}_"))
}

#[test]
fn no_field_is_about_a_person() {
    for message in messages() {
        for field in &message.field {
            let word = PERSONAL.split_whitespace().find(|word| holds(field.name(), word));
            assert_eq!(word, None, "{}.{}", message.name(), field.name());
        }
        assert!(
            !PERSONAL.split_whitespace().any(|word| holds(&message.name().to_lowercase(), word)),
            "{}",
            message.name()
        );
    }
}

#[test]
fn no_field_holds_how_to_reach_somebody_but_in_the_one_message_for_it() {
    for message in messages().into_iter().filter(|message| message.name() != "Contact") {
        for field in message.field.iter().filter(|field| matches!(field.r#type(), Type::String | Type::Bytes))
        {
            let word = CONTACT.split_whitespace().find(|word| holds(field.name(), word));
            assert_eq!(word, None, "{}.{}", message.name(), field.name());
        }
    }
}

#[test]
fn how_to_reach_somebody_is_given_and_read_by_itself_and_in_nothing_else() {
    let (mut names, mut holders) = (Vec::new(), Vec::new());
    for message in messages() {
        if message.name() == "Contact" {
            names.extend(message.field.iter().map(|field| field.name().to_owned()));
        }
        let held = message.field.iter().filter(|field| field.type_name() == ".rounds.v1.Contact");
        holders.extend(held.map(|_| message.name().to_owned()));
    }
    holders.sort();
    assert_eq!(names, ["name", "phone"]);
    assert_eq!(holders, ["PutContactRequest", "ReadContactResponse"]);
}

#[test]
fn the_words_are_found_whole_and_within_a_name() {
    assert!(
        holds("gender", "gender") && holds("id_number_hash", "id_number") && holds("home_phone", "phone")
    );
    assert!(!holds("trace", "race") && !holds("place", "face"));
}

#[test]
fn the_numbers_of_kinds_are_those_of_the_domain() {
    let files = descriptors().file;
    let kinds = files.iter().flat_map(|file| &file.enum_type).find(|it| it.name() == "Kind").unwrap();
    assert_eq!(kinds.value.len(), Kind::ALL.len() + 1);
    for kind in Kind::ALL {
        let value = kinds.value.iter().find(|value| value.number() == i32::from(kind.number())).unwrap();
        assert_eq!(value.name(), format!("KIND_{}", kind.name().to_uppercase()));
        assert_ne!(kind_to_wire(*kind), v1::Kind::Unspecified);
        assert_eq!(kind_from_wire(kind_to_wire(*kind).into()).unwrap(), *kind);
    }
}

#[test]
fn the_numbers_of_bodies_are_those_of_their_kinds() {
    let body = messages().into_iter().find(|message| message.name() == "Body").unwrap();
    assert_eq!(body.field.len(), Kind::ALL.len());
    for kind in Kind::ALL {
        let field = body.field.iter().find(|field| field.name() == kind.name()).unwrap();
        assert_eq!(field.number(), i32::from(kind.number()), "{kind:?}");
    }
}

#[test]
fn others_see_an_op_in_its_envelope() {
    let sealed = messages().into_iter().find(|message| message.name() == "SealedOp").unwrap();
    let op = sealed.field.iter().find(|field| field.name() == "op").unwrap();
    assert_eq!((op.r#type(), op.type_name()), (Type::Message, ".rounds.v1.Op"));
}
