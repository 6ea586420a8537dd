//! The languages that people are written to in.

use crate::vocabulary::BUILT_IN;

/// A language that Rounds writes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Language {
    /// English.
    #[default]
    English,
    /// Chinese in simplified characters.
    SimplifiedChinese,
    /// Chinese in traditional characters.
    TraditionalChinese,
}

impl Language {
    /// Every language.
    pub const ALL: [Self; 3] = [Self::English, Self::SimplifiedChinese, Self::TraditionalChinese];

    /// The language's tag, as web pages say it.
    pub fn tag(self) -> &'static str {
        self.of(["en", "zh-Hans", "zh-Hant"])
    }

    /// The one of the three that is in this language: English, Simplified, Traditional Chinese.
    pub fn of<T>(self, [english, simplified, traditional]: [T; 3]) -> T {
        match self {
            Self::English => english,
            Self::SimplifiedChinese => simplified,
            Self::TraditionalChinese => traditional,
        }
    }

    /// The language that a browser would rather read, by its header `Accept-Language`; English if it names none.
    pub fn preferred(accepted: &str) -> Self {
        let mut best = (0.0, Self::default());
        for range in accepted.split(',') {
            let mut parts = range.split(';');
            let tag = parts.next().unwrap_or_default().trim();
            let weight = parts.find_map(|part| part.trim().strip_prefix("q=")?.parse().ok()).unwrap_or(1.0);
            if let Some(language) = Self::from_tag(tag)
                && weight > best.0
            {
                best = (weight, language);
            }
        }
        best.1
    }

    /// The language of a tag such as `zh-TW`. Chinese is Simplified unless script or region say otherwise.
    pub fn from_tag(tag: &str) -> Option<Self> {
        let tag = tag.to_ascii_lowercase();
        let mut parts = tag.split('-');
        match parts.next()? {
            "en" => Some(Self::English),
            "zh" => {
                let parts: Vec<_> = parts.collect();
                let is_traditional = !parts.contains(&"hans")
                    && parts.iter().any(|part| matches!(*part, "hant" | "tw" | "hk" | "mo"));
                Some(if is_traditional { Self::TraditionalChinese } else { Self::SimplifiedChinese })
            }
            _ => None,
        }
    }

    /// What people read for a word of a vocabulary; the word itself where it is not built in.
    pub fn label<'a>(self, vocabulary: &str, word: &'a str) -> &'a str {
        let words = BUILT_IN.iter().find(|(name, _)| *name == vocabulary).map_or(&[][..], |(_, words)| words);
        let found = words.iter().find(|[name, ..]| *name == word);
        found.map_or(word, |[_, english, simplified, traditional]| {
            self.of([*english, *simplified, *traditional])
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_browser_is_answered_in_the_language_that_it_would_rather_read() {
        let preferred = [
            ("", Language::English),
            ("fr, de;q=0.9", Language::English),
            ("fr, zh-CN;q=0.9, en;q=0.8", Language::SimplifiedChinese),
            ("zh-TW,zh;q=0.9,en;q=0.8", Language::TraditionalChinese),
            ("zh-Hant-CN", Language::TraditionalChinese),
            ("zh-Hans-HK", Language::SimplifiedChinese),
            ("en-GB;q=0.7, ZH-hk;q=0.8", Language::TraditionalChinese),
            ("en;q=x, zh", Language::English),
        ];
        for (accepted, language) in preferred {
            assert_eq!(Language::preferred(accepted), language, "{accepted}");
        }
    }

    #[test]
    fn a_word_is_read_in_the_language_or_as_it_is() {
        assert_eq!(Language::TraditionalChinese.label("request_category", "elevator"), "電梯");
        assert_eq!(Language::English.label("request_category", "stray_dogs"), "stray_dogs");
    }
}
