//! The words of records as a city calls them.

use super::Language;
use crate::body::Term;
use std::collections::HashMap;

/// What people read for the words of records, in one language: as the terms of the city say, else as is built in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Words {
    /// The language.
    pub language: Language,
    of_city: HashMap<(String, String), String>,
}

impl Words {
    /// With the terms of a city. Of two for the same word the later one counts; one without a label in this language
    /// says nothing.
    pub fn new(language: Language, terms: impl IntoIterator<Item = Term>) -> Self {
        let mut of_city = HashMap::new();
        for term in terms {
            let label = language.of([term.label_en, term.label_zh_hans, term.label_zh_hant]);
            if !label.is_empty() {
                of_city.insert((term.vocabulary, term.word), label);
            }
        }
        Self { language, of_city }
    }

    /// What people read for a word of a vocabulary; the word itself where nobody says anything else.
    pub fn label<'a>(&'a self, vocabulary: &str, word: &'a str) -> &'a str {
        let of_city = self.of_city.get(&(vocabulary.to_owned(), word.to_owned()));
        of_city.map_or_else(|| self.language.label(vocabulary, word), String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_called_as_the_city_says_else_as_is_built_in() {
        let term = |word: &str, label_en: &str, label_zh_hans: &str| Term {
            vocabulary: "request_category".to_owned(),
            word: word.to_owned(),
            label_en: label_en.to_owned(),
            label_zh_hans: label_zh_hans.to_owned(),
            ..Term::default()
        };
        let terms = [term("stray_dogs", "Stray dogs", "流浪犬"), term("water", "", "水务")];
        let label =
            |language, word| Words::new(language, terms.clone()).label("request_category", word).to_owned();
        assert_eq!(label(Language::English, "stray_dogs"), "Stray dogs");
        assert_eq!(label(Language::SimplifiedChinese, "stray_dogs"), "流浪犬");
        assert_eq!(label(Language::TraditionalChinese, "stray_dogs"), "stray_dogs");
        assert_eq!(label(Language::SimplifiedChinese, "water"), "水务");
        assert_eq!(label(Language::English, "water"), Language::English.label("request_category", "water"));
        assert_eq!(
            Words::new(Language::English, terms.clone()).label("visit_outcome", "stray_dogs"),
            "stray_dogs"
        );
    }
}
