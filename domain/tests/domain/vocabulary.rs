//! The built-in words.

use super::sample::{from_json, op};
use rounds_domain::body::Term;
use rounds_domain::vocabulary::{BUILT_IN, DUE_HOURS, REQUEST_CATEGORY, due_hours};
use rounds_domain::{Action, Kind};
use serde_json::json;
use std::collections::BTreeSet;

#[test]
fn no_vocabulary_and_no_word_in_one_is_there_twice() {
    let names: BTreeSet<_> = BUILT_IN.iter().map(|(name, _)| name).collect();
    assert_eq!(names.len(), BUILT_IN.len());
    for (name, words) in BUILT_IN {
        for column in 0..4 {
            let different: BTreeSet<_> = words.iter().map(|word| word[column]).collect();
            assert_eq!(different.len(), words.len(), "{name}: two words are the same in column {column}");
        }
    }
}

#[test]
fn every_word_has_its_label_in_three_languages() {
    let chinese = |label: &str| label.chars().all(|letter| ('\u{4e00}'..='\u{9fff}').contains(&letter));
    for (name, words) in BUILT_IN {
        assert!(!words.is_empty(), "{name}");
        for [word, english, simplified, traditional] in *words {
            assert!(word.bytes().all(|byte| byte == b'_' || byte.is_ascii_lowercase()), "{name}: {word}");
            assert!(
                english.starts_with(|first: char| first.is_ascii_uppercase()),
                "{name}/{word}: {english}"
            );
            assert!(!simplified.is_empty() && chinese(simplified), "{name}/{word}: {simplified}");
            assert!(!traditional.is_empty() && chinese(traditional), "{name}/{word}: {traditional}");
        }
    }
}

#[test]
fn every_word_could_be_a_term_that_a_city_adds() {
    for (vocabulary, words) in BUILT_IN {
        for [word, english, simplified, traditional] in *words {
            let term = json!({
                "vocabulary": vocabulary, "word": word, "label_en": english, "label_zh_hans": simplified,
                "label_zh_hant": traditional,
            });
            let body = from_json(Kind::Term, &term).expect("it is a term");
            assert_eq!(op(Kind::Term, Action::Create(Box::new(body))).check(), Ok(()), "{vocabulary}/{word}");
        }
    }
}

#[test]
fn what_the_rules_and_the_sample_say_are_words_of_the_vocabulary() {
    let knows = |vocabulary: &str, word: &str| {
        let words = BUILT_IN.iter().find(|(name, _)| *name == vocabulary).map(|(_, words)| *words);
        words.is_some_and(|words| words.iter().any(|known| known[0] == word))
    };
    for (vocabulary, word) in [
        ("request_category", "emergency"),
        ("request_category", "complex"),
        ("visit_outcome", "met"),
        ("visit_outcome", "no_answer"), // calls for a second call
        ("visit_outcome", "refused"),
        ("visit_outcome", "moved"),
        ("visit_purpose", "recheck"),
        ("visit_purpose", "persuasion"),
        ("inspection_result", "pass"),
        ("inspection_result", "fail"),
        ("inspection_result", "needs_attention"),
        ("request_channel", "visit"),
        ("request_channel", "meeting"),
        ("request_channel", "phone"),
        ("request_channel", "walk_in"),
        ("violation_sort", "illegal_structure"),
        ("violation_sort", "graffiti"),
        ("violation_sort", "obstructing_vehicle"),
    ] {
        assert!(knows(vocabulary, word), "{vocabulary}/{word}");
    }
}

#[test]
fn how_long_a_partner_may_take_hangs_on_the_category() {
    let (_, categories) =
        BUILT_IN.iter().find(|(name, _)| *name == REQUEST_CATEGORY).expect("it is built in");
    for [category, ..] in *categories {
        let hours = match *category {
            "emergency" => 2,
            "water" | "power" | "heating" => 24,
            "complex" => 15 * 24,
            _ => 7 * 24,
        };
        assert_eq!(due_hours(category, []), hours, "{category}");
    }
    assert_eq!(due_hours("stray_dogs", []), 7 * 24, "a word that nobody has heard of");
    for (word, _) in DUE_HOURS {
        assert!(categories.iter().any(|category| category[0] == *word), "{word} is no category");
    }
}

#[test]
fn the_nearest_term_that_says_so_overrides_how_long_a_partner_may_take() {
    let term = |vocabulary: &str, word: &str, due_hours| Term {
        vocabulary: vocabulary.to_owned(),
        word: word.to_owned(),
        due_hours,
        ..Term::default()
    };
    let terms = [
        term("violation_sort", "water", Some(1)),
        term(REQUEST_CATEGORY, "waterway", Some(3)),
        term(REQUEST_CATEGORY, "water", None), // another label, no other time
        term(REQUEST_CATEGORY, "water", Some(12)),
        term(REQUEST_CATEGORY, "water", Some(48)),
        term(REQUEST_CATEGORY, "stray_dogs", Some(72)),
    ];
    assert_eq!(due_hours("water", &terms), 12);
    assert_eq!(due_hours("stray_dogs", &terms), 72);
    assert_eq!(due_hours("power", &terms), 24);
    assert_eq!(due_hours("water", &terms[..3]), 24);
}
