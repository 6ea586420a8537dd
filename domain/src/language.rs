//! The languages that people are written to in.

mod label;
mod words;

pub use words::Words;

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

    /// The sort of a notice as people read it; the word itself where there is no other.
    pub fn notice(self, sort: &str) -> &str {
        self.phrase(NOTICES, sort)
    }

    /// What has to be done, in the words of plans and follow-ups, as people read it; the word itself where there is no
    /// other.
    pub fn work(self, sort: &str) -> &str {
        self.phrase(WORK, sort)
    }

    fn phrase<'a>(self, phrases: &[(&str, [&'static str; 3])], word: &'a str) -> &'a str {
        let found = phrases.iter().find(|(name, _)| *name == word);
        found.map_or(word, |(_, texts)| self.of(*texts))
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

/// Sorts of notices.
const NOTICES: &[(&str, [&str; 3])] = &[
    ("reminder", ["Reminder", "提醒", "提醒"]),
    ("overdue", ["Overdue", "逾期", "逾期"]),
    ("gap", ["Alert: longer than the law allows", "警告：超过法定间隔", "警告：超過法定間隔"]),
    (
        "plan_off",
        [
            "Alert: a plan that the law requires was switched off",
            "警告：法定计划被停用",
            "警告：法定計畫被停用",
        ],
    ),
    ("referral", ["Referred to you", "转办", "轉辦"]),
    ("digest", ["Digest", "汇总", "彙總"]),
];

/// What has to be done, in the words of plans and follow-ups.
const WORK: &[(&str, [&str; 3])] = &[
    ("maintenance", ["Maintenance", "维护保养", "維護保養"]),
    ("statutory_inspection", ["Statutory inspection", "法定检验", "法定檢驗"]),
    ("watering", ["Watering", "浇水", "澆水"]),
    ("recheck", ["Recheck", "复查", "複查"]),
    ("second_call", ["Second call", "再次上门", "再次上門"]),
    ("referral_chase", ["Referral without an answer", "转办催办", "轉辦催辦"]),
    ("verification", ["Verification on site", "现场核实", "現場核實"]),
    ("contract_expiry", ["Contract expires", "合同到期", "合約到期"]),
    ("confirmation", ["Confirmation", "确认", "確認"]),
    ("planting", ["Planting", "种植", "種植"]),
    ("visit", ["Visit", "走访", "走訪"]),
];

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
