//! The brief: a summary as a page of Markdown, ready to send.

use crate::outline::{Section, change, number, outline, share};
use crate::partner::duration;
use askama::Template;
use jiff::tz::TimeZone;
use rounds_domain::summary::{Period, Progress, Report};
use rounds_domain::{Language, language};

/// Writes the brief of an area. What comes from records is quoted, so that it cannot change the page.
///
/// # Errors
/// When the template cannot be filled in, which is a fault in this program.
pub fn brief(area: &str, report: &Report, words: &language::Words) -> Result<String, String> {
    let language = words.language;
    let sections = outline(&report.summary, &report.names, words);
    let of = |texts: [&str; 3]| language.of(texts).to_owned();
    let page = Page {
        title: match language {
            Language::English => format!("Brief: {}", quoted(area)),
            _ => format!("{}{}", quoted(area), language.of(["", "工作简报", "工作簡報"])),
        },
        period: period(report, language),
        complete: completeness(report, language),
        warnings: warnings(report, language),
        sections: sections
            .iter()
            .filter(|section| section.key != "commitment")
            .map(section_text(language))
            .collect(),
        commitments: report
            .commitments
            .iter()
            .map(|commitment| CommitmentText {
                goal: quoted(&commitment.goal),
                partner: quoted(&partner(report, commitment)),
                done: number(commitment.done),
                promised: format!("{} {}", number(commitment.quantity), quoted(&commitment.unit)),
                due: commitment.due.clone(),
            })
            .collect(),
        words: Words {
            figure: of(["Figure", "指标", "指標"]),
            value: of(["Now", "本期", "本期"]),
            before: of(["Before", "上期", "上期"]),
            change: of(["Change", "变化", "變化"]),
            share: of(["Share", "占比", "佔比"]),
            time: of(["Time", "用时", "用時"]),
            count: of(["Cases", "件数", "件數"]),
            median: of(["Median", "中位数", "中位數"]),
            p90: of(["9 in 10 within", "九成不超过", "九成不超過"]),
            commitments: of(["Commitments", "承诺事项", "承諾事項"]),
            goal: of(["Goal", "目标", "目標"]),
            partner: of(["Partner", "协作单位", "協作單位"]),
            done: of(["Done", "已完成", "已完成"]),
            promised: of(["Promised", "承诺", "承諾"]),
            due: of(["Until", "期限", "期限"]),
        },
        foot: of([
            "Every figure opens the records behind it in Rounds.",
            "每项数据均可在 Rounds 中查看对应记录。",
            "每項數據均可在 Rounds 中檢視對應記錄。",
        ]),
    };
    page.render().map_err(|error| error.to_string())
}

/// From which day to which, and what it is compared with.
pub fn period(report: &Report, language: Language) -> String {
    let Report { period: Period { first, last }, before, time_zone, .. } = report;
    let (before_first, before_last) = (before.first, before.last);
    match language {
        Language::English => {
            format!("{first} to {last}, against {before_first} to {before_last} ({time_zone})")
        }
        Language::SimplifiedChinese => {
            format!("{first} 至 {last}，对比 {before_first} 至 {before_last}（{time_zone}）")
        }
        Language::TraditionalChinese => {
            format!("{first} 至 {last}，對比 {before_first} 至 {before_last}（{time_zone}）")
        }
    }
}

/// How complete the summary is.
pub fn completeness(report: &Report, language: Language) -> String {
    let zone = TimeZone::get(&report.time_zone).unwrap_or(TimeZone::UTC);
    let moment = |ms: i64| match jiff::Timestamp::from_millisecond(ms) {
        Ok(at) => at.to_zoned(zone.clone()).strftime("%Y-%m-%d %H:%M").to_string(),
        Err(_) => String::new(),
    };
    let as_of = moment(report.as_of_ms);
    let freshness = report.freshness;
    let heard = freshness.devices - freshness.silent_devices;
    let (all, hours) = (freshness.devices, freshness.silent_hours);
    match language {
        Language::English => {
            format!("As of {as_of}. {heard} of {all} phones were heard of in the last {hours} hours.")
        }
        Language::SimplifiedChinese => {
            format!("截至 {as_of}。{all} 部手机中有 {heard} 部在最近 {hours} 小时内有联系。")
        }
        Language::TraditionalChinese => {
            format!("截至 {as_of}。{all} 部手機中有 {heard} 部在最近 {hours} 小時內有聯繫。")
        }
    }
}

/// Who made a commitment; empty if it does not say.
pub fn partner(report: &Report, progress: &Progress) -> String {
    let organization = progress.organization.map(|id| id.to_string()).unwrap_or_default();
    report.names.get(&organization).cloned().unwrap_or_default()
}

/// What a reader has to know before trusting the figures.
pub fn warnings(report: &Report, language: Language) -> Vec<String> {
    let freshness = report.freshness;
    let mut warnings = Vec::new();
    let mut warn = |count: i64, texts: [&str; 3]| {
        if count > 0 {
            warnings.push(language.of(texts).replace("{}", &count.to_string()));
        }
    };
    warn(
        freshness.unsent_ops,
        [
            "On phones, and not sent yet, so that figures may still grow: {}.",
            "手机上还有 {} 条记录尚未上传，数据可能继续增加。",
            "手機上還有 {} 筆記錄尚未上傳，數據可能繼續增加。",
        ],
    );
    warn(
        freshness.quarantined_ops,
        ["In quarantine, and not counted: {}.", "{} 条记录待审，未计入统计。", "{} 筆記錄待審，未計入統計。"],
    );
    warn(
        freshness.disputed_records,
        ["Records with conflicts: {}.", "{} 条记录存在冲突。", "{} 筆記錄存在衝突。"],
    );
    let late = |period: Period| -> i64 {
        let days = report.late.iter().filter(|late| (period.first..=period.last).contains(&late.day));
        days.map(|late| late.ops).sum()
    };
    warn(
        late(report.period),
        [
            "Entries that came on a later day than their own and restated this period: {}.",
            "本期有 {} 条记录于事后上传，数据已相应更正。",
            "本期有 {} 筆記錄於事後上傳，數據已相應更正。",
        ],
    );
    warn(
        late(report.before),
        [
            "Entries that came late and restated the period before: {}.",
            "上期有 {} 条记录于事后上传，数据已相应更正。",
            "上期有 {} 筆記錄於事後上傳，數據已相應更正。",
        ],
    );
    warnings
}

#[derive(Template)]
#[template(path = "brief.md", escape = "none")]
struct Page {
    title: String,
    period: String,
    complete: String,
    warnings: Vec<String>,
    sections: Vec<SectionText>,
    commitments: Vec<CommitmentText>,
    words: Words,
    foot: String,
}

struct SectionText {
    title: String,
    rows: Vec<RowText>,
    times: Vec<TimeText>,
}

struct RowText {
    label: String,
    value: String,
    before: String,
    change: String,
    share: String,
}

struct TimeText {
    label: String,
    count: i64,
    median: String,
    p90: String,
}

struct CommitmentText {
    goal: String,
    partner: String,
    done: String,
    promised: String,
    due: String,
}

struct Words {
    figure: String,
    value: String,
    before: String,
    change: String,
    share: String,
    time: String,
    count: String,
    median: String,
    p90: String,
    commitments: String,
    goal: String,
    partner: String,
    done: String,
    promised: String,
    due: String,
}

fn section_text(language: Language) -> impl Fn(&Section) -> SectionText {
    move |section| SectionText {
        title: section.title.clone(),
        rows: section
            .rows
            .iter()
            .map(|row| RowText {
                label: format!("{}{}", if row.is_part { "– " } else { "" }, quoted(&row.label)),
                value: number(row.figure.value),
                before: row.figure.before.map(number).unwrap_or_default(),
                change: change(&row.figure),
                share: share(&row.figure),
            })
            .collect(),
        times: section
            .times
            .iter()
            .map(|time| TimeText {
                label: quoted(&time.label),
                count: time.spread.count,
                median: duration(language, time.spread.median_ms),
                p90: duration(language, time.spread.p90_ms),
            })
            .collect(),
    }
}

/// A name as text and nothing else: what Markdown would take for its own is escaped, and it stays on its line.
fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '\\' | '`' | '*' | '_' | '{' | '}' | '[' | ']' | '<' | '>' | '(' | ')' | '#' | '|' | '!' => {
                quoted.push('\\');
                quoted.push(letter);
            }
            '\n' | '\r' => quoted.push(' '),
            other => quoted.push(other),
        }
    }
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::date;
    use rounds_domain::summary::{Figure, Freshness, Late, Spread, Summary};
    use std::collections::BTreeMap;

    fn report() -> Report {
        let figure = |name: &str, value, before| Figure {
            name: name.to_owned(),
            value,
            before: Some(before),
            of: None,
        };
        let time = Spread {
            name: "request/time_to/resolved".to_owned(),
            count: 3,
            median_ms: 26 * 3_600_000,
            p90_ms: 90 * 60_000,
            median_before_ms: None,
        };
        Report {
            period: Period { first: date(2026, 11, 16), last: date(2026, 11, 22) },
            before: Period { first: date(2026, 11, 9), last: date(2026, 11, 15) },
            time_zone: "Asia/Shanghai".to_owned(),
            as_of_ms: 1_795_334_400_000,
            summary: Summary {
                figures: vec![
                    figure("visit", 7.0, 5.0),
                    figure("visit/outcome/met", 5.0, 5.0),
                    figure("request/category/water", 2.0, 3.0),
                ],
                spreads: vec![time],
            },
            parts: Vec::new(),
            freshness: Freshness {
                devices: 4,
                silent_devices: 1,
                silent_hours: 24,
                quarantined_ops: 2,
                ..Freshness::default()
            },
            late: vec![Late { day: date(2026, 11, 13), ops: 6, received_ms: 0 }],
            commitments: Vec::new(),
            names: BTreeMap::new(),
        }
    }

    #[test]
    fn a_brief_says_what_changed_how_long_things_took_and_how_complete_it_is() {
        let brief = brief("East *Lake*", &report(), &language::Words::new(Language::English, [])).unwrap();
        for line in [
            "# Brief: East \\*Lake\\*",
            "2026-11-16 to 2026-11-22, against 2026-11-09 to 2026-11-15 (Asia/Shanghai)",
            "As of 2026-11-22 16:00. 3 of 4 phones were heard of in the last 24 hours.",
            "> In quarantine, and not counted: 2.",
            "> Entries that came late and restated the period before: 6.",
            "| Visits | 7 | 5 | +2 |  |",
            "| – Met | 5 | 5 | 0 |  |",
            "| – Water | 2 | 3 | −1 |  |",
            "| Until resolved | 3 | 1 d 2 h | 1 h 30 min |",
        ] {
            assert!(brief.lines().any(|it| it == line), "no line {line:?} in\n{brief}");
        }
    }

    #[test]
    fn a_brief_is_there_in_each_language() {
        for (language, words) in [
            (Language::SimplifiedChinese, ["东湖工作简报", "走访次数", "供水", "2 条记录待审"]),
            (Language::TraditionalChinese, ["东湖工作簡報", "走訪次數", "供水", "2 筆記錄待審"]),
        ] {
            let brief = brief("东湖", &report(), &language::Words::new(language, [])).unwrap();
            for word in words {
                assert!(brief.contains(word), "no {word} in\n{brief}");
            }
            let english = brief.lines().find(|line| line.contains("Visits") || line.contains("Change"));
            assert_eq!(english, None);
        }
    }
}
