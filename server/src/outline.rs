//! A summary as people read it: sections of figures, each with its label, in one of the languages.
//!
//! Pages, tables and briefs all show these sections, so that the same figure has the same label and place everywhere.

use rounds_domain::language::Words;
use rounds_domain::summary::{Figure, Spread, Summary};
use rounds_domain::tally::{ALERTS, TIMED_REQUEST_STAGES, TIMED_VIOLATION_STAGES};
use rounds_domain::{Kind, Language, status};
use std::collections::BTreeMap;

/// Figures that belong together.
#[derive(Clone, PartialEq, Debug)]
pub struct Section {
    /// Its name, in every language the same.
    pub key: &'static str,
    /// What is over it.
    pub title: String,
    /// Its figures.
    pub rows: Vec<Row>,
    /// How long things took.
    pub times: Vec<Time>,
}

/// A figure and what people call it.
#[derive(Clone, PartialEq, Debug)]
pub struct Row {
    /// What people call it.
    pub label: String,
    /// A part of the row above that is not a part itself.
    pub is_part: bool,
    /// The figure.
    pub figure: Figure,
}

/// How long something took, and what people call it.
#[derive(Clone, PartialEq, Debug)]
pub struct Time {
    /// What people call it.
    pub label: String,
    /// How long it took.
    pub spread: Spread,
}

/// The sections of a summary. `names` are those of organizations, groups and commitments by their ids.
pub fn outline(summary: &Summary, names: &BTreeMap<String, String>, words: &Words) -> Vec<Section> {
    let writer = Writer { summary, names, words, language: words.language };
    let sections = [
        writer.visits(),
        writer.requests(),
        writer.partners(),
        writer.violations(),
        writer.follow_ups(),
        writer.works(),
        writer.inspections(),
        writer.groups(),
        writer.commitments(),
    ];
    sections.into_iter().filter(|section| !section.rows.is_empty()).collect()
}

struct Writer<'a> {
    summary: &'a Summary,
    names: &'a BTreeMap<String, String>,
    words: &'a Words,
    language: Language,
}

impl Writer<'_> {
    fn section(&self, key: &'static str, title: [&str; 3]) -> Section {
        Section { key, title: self.language.of(title).to_owned(), rows: Vec::new(), times: Vec::new() }
    }

    /// A figure, zero if there is none.
    fn row(&self, label: impl Into<String>, name: &str, is_part: bool) -> Row {
        let none = || Figure { name: name.to_owned(), value: 0.0, before: Some(0.0), of: None };
        let figure = self.summary.figure(name).cloned().unwrap_or_else(none);
        Row { label: label.into(), is_part, figure }
    }

    fn say(&self, label: [&str; 3], name: &str, is_part: bool) -> Row {
        self.row(self.language.of(label), name, is_part)
    }

    /// The figures one level below a name, the largest first.
    fn parts(&self, name: &str, label: impl Fn(&str) -> String) -> Vec<Row> {
        let mut parts: Vec<Row> = self
            .summary
            .below(name)
            .map(|(word, figure)| Row { label: label(word), is_part: true, figure: figure.clone() })
            .collect();
        parts.sort_by(|one, other| other.figure.value.total_cmp(&one.figure.value));
        parts
    }

    fn vocabulary(&self, vocabulary: &str, name: &str) -> Vec<Row> {
        self.parts(name, |word| self.words.label(vocabulary, word).to_owned())
    }

    /// The stages of a kind in their order: how many ever came there.
    fn funnel(&self, kind: Kind, name: &str) -> Vec<Row> {
        let stages = status::stages(kind).map_or(&[][..], |stages| stages.all);
        stages
            .iter()
            .map(|stage| self.row(self.language.stage(kind, stage), &format!("{name}/{stage}"), true))
            .collect()
    }

    fn times(&self, kind: Kind, name: &str, stages: &[&str]) -> Vec<Time> {
        let until = |stage: &str| match self.language {
            Language::English => format!("Until {}", self.language.stage(kind, stage).to_lowercase()),
            _ => format!("至{}", self.language.stage(kind, stage)),
        };
        stages
            .iter()
            .filter_map(|stage| {
                let spread = self.summary.spread(&format!("{name}/time_to/{stage}"))?.clone();
                Some(Time { label: until(stage), spread })
            })
            .collect()
    }

    fn visits(&self) -> Section {
        let mut section = self.section("visit", ["Visits", "走访", "走訪"]);
        let rows = &mut section.rows;
        rows.push(self.say(["Visits", "走访次数", "走訪次數"], "visit", false));
        rows.extend(self.vocabulary("visit_outcome", "visit/outcome"));
        rows.push(self.say(["Dwellings reached", "已见到的住户", "已見到的住戶"], "dwelling/reached", false));
        rows.push(self.say(
            ["Dwellings not reached for long", "长期未见到的住户", "長期未見到的住戶"],
            "dwelling/not_reached",
            false,
        ));
        section
    }

    fn requests(&self) -> Section {
        let mut section = self.section("request", ["Requests", "诉求", "訴求"]);
        let rows = &mut section.rows;
        rows.push(self.say(["Requests raised", "新增诉求", "新增訴求"], "request", false));
        rows.extend(self.vocabulary("request_category", "request/category"));
        rows.push(self.say(["How they came", "诉求来源", "訴求來源"], "request", false));
        rows.extend(self.vocabulary("request_channel", "request/channel"));
        rows.push(self.say(["How far they came", "办理进展", "辦理進展"], "request", false));
        rows.extend(self.funnel(Kind::Request, "request/reached"));
        section.times = self.times(Kind::Request, "request", &TIMED_REQUEST_STAGES);
        section
    }

    fn partners(&self) -> Section {
        let mut section = self.section("partner", ["With partners", "协作单位办理情况", "協作單位辦理情況"]);
        let mut ids: Vec<&str> = Vec::new();
        for figure in &self.summary.figures {
            let id =
                figure.name.strip_prefix("request/organization/").and_then(|rest| rest.split('/').next());
            if let Some(id) = id.filter(|id| !ids.contains(id)) {
                ids.push(id);
            }
        }
        ids.sort_by_key(|id| self.name(id));
        for id in ids {
            let below = format!("request/organization/{id}/status");
            let parts = self.parts(&below, |stage| self.language.stage(Kind::Request, stage).to_owned());
            let value = parts.iter().map(|row| row.figure.value).sum();
            let before = parts.iter().map(|row| row.figure.before).sum();
            let figure = Figure { name: format!("request/organization/{id}"), value, before, of: None };
            section.rows.push(Row { label: self.name(id), is_part: false, figure });
            section.rows.extend(parts);
            if let Some(spread) = self.summary.spread(&format!("request/organization/{id}/time_to/resolved"))
            {
                section.times.push(Time { label: self.name(id), spread: spread.clone() });
            }
        }
        section
    }

    fn violations(&self) -> Section {
        let mut section = self.section("violation", ["Violations", "违规事项", "違規事項"]);
        let rows = &mut section.rows;
        rows.push(self.say(["Violations found", "发现违规", "發現違規"], "violation", false));
        rows.extend(self.vocabulary("violation_sort", "violation/sort"));
        rows.push(self.say(["How far they came", "处置进展", "處置進展"], "violation", false));
        rows.extend(self.funnel(Kind::Violation, "violation/reached"));
        section.times = self.times(Kind::Violation, "violation", &TIMED_VIOLATION_STAGES);
        section
    }

    fn follow_ups(&self) -> Section {
        let mut section = self.section("follow_up", ["Follow-ups", "待办", "待辦"]);
        let rows = &mut section.rows;
        rows.push(self.say(["Due in the period", "本期到期", "本期到期"], "follow_up/due", false));
        for (state, label) in [
            ("on_time", ["On time", "按时完成", "按時完成"]),
            ("late", ["Late", "逾期完成", "逾期完成"]),
            ("missed", ["Missed", "未完成", "未完成"]),
            ("open", ["Open", "待完成", "待完成"]),
        ] {
            rows.push(self.say(label, &format!("follow_up/{state}"), true));
        }
        rows.push(self.say(
            ["Overdue since before today", "今日之前到期未完成", "今日之前到期未完成"],
            "follow_up/overdue",
            false,
        ));
        rows.extend(self.parts("follow_up/overdue", |sort| self.language.work(sort).to_owned()));
        for alert in ALERTS {
            rows.push(self.row(self.language.notice(alert), &format!("alert/{alert}"), false));
        }
        section
    }

    /// What is to be done again and again, and whether it was.
    fn works(&self) -> Section {
        let mut section = self.section("work", ["Looked after", "设施与绿化养护", "設施與綠化養護"]);
        for (name, figure) in self.summary.figures.iter().map(|figure| (figure.name.as_str(), figure)) {
            let label = match name.split('/').collect::<Vec<_>>().as_slice() {
                ["in_time", work, days] => {
                    let work = self.language.work(work);
                    match self.language {
                        Language::English => format!("{work}: done within {days} days, as the law asks"),
                        Language::SimplifiedChinese => format!("{work}：在法定{days}天内完成"),
                        Language::TraditionalChinese => format!("{work}：在法定{days}天內完成"),
                    }
                }
                ["attended", work] => {
                    let work = self.language.work(work);
                    match self.language {
                        Language::English => format!("{work}: done in the period"),
                        Language::SimplifiedChinese => format!("{work}：本期已完成"),
                        Language::TraditionalChinese => format!("{work}：本期已完成"),
                    }
                }
                _ => continue,
            };
            section.rows.push(Row { label, is_part: false, figure: figure.clone() });
        }
        section
    }

    fn inspections(&self) -> Section {
        let mut section = self.section("inspection", ["Inspections", "检查", "檢查"]);
        section.rows.push(self.say(["Inspections", "检查次数", "檢查次數"], "inspection", false));
        section.rows.extend(self.vocabulary("inspection_result", "inspection/result"));
        section
    }

    fn groups(&self) -> Section {
        let mut section = self.section("group", ["Groups", "小组", "小組"]);
        let mut groups: BTreeMap<&str, Vec<&Figure>> = BTreeMap::new();
        for figure in &self.summary.figures {
            if let Some((id, _)) =
                figure.name.strip_prefix("follow_up/group/").and_then(|rest| rest.split_once('/'))
            {
                groups.entry(id).or_default().push(figure);
            }
        }
        for (id, figures) in groups {
            let value = figures.iter().map(|figure| figure.value).sum();
            let before = figures.iter().map(|figure| figure.before).sum();
            let figure = Figure { name: format!("follow_up/group/{id}"), value, before, of: None };
            section.rows.push(Row { label: self.name(id), is_part: false, figure });
            for figure in figures {
                let state = figure.name.rsplit('/').next().unwrap_or_default();
                section.rows.push(Row {
                    label: self.due_state(state).to_owned(),
                    is_part: true,
                    figure: figure.clone(),
                });
            }
        }
        section
    }

    fn due_state<'a>(&self, state: &'a str) -> &'a str {
        let labels = match state {
            "on_time" => ["On time", "按时完成", "按時完成"],
            "late" => ["Late", "逾期完成", "逾期完成"],
            "missed" => ["Missed", "未完成", "未完成"],
            "open" => ["Open", "待完成", "待完成"],
            "cancelled" => ["Cancelled", "已取消", "已取消"],
            _ => return state,
        };
        self.language.of(labels)
    }

    fn commitments(&self) -> Section {
        let mut section = self.section("commitment", ["Commitments", "承诺事项", "承諾事項"]);
        section.rows = self.parts("commitment", |id| self.name(id));
        for row in &mut section.rows {
            row.is_part = false;
        }
        section
    }

    fn name(&self, id: &str) -> String {
        self.names.get(id).cloned().unwrap_or_else(|| id.to_owned())
    }
}

/// A number as people read it: whole where it is whole.
pub fn number(value: f64) -> String {
    if value.fract() == 0.0 { format!("{value:.0}") } else { format!("{value:.1}") }
}

/// The change against the period before, with its sign; nothing where there is no period before.
pub fn change(figure: &Figure) -> String {
    match figure.before {
        None => String::new(),
        Some(before) => match figure.value - before {
            0.0 => "0".to_owned(),
            change if change > 0.0 => format!("+{}", number(change)),
            change => format!("−{}", number(-change)),
        },
    }
}

/// How much of the whole a figure is, in per cent; nothing where it is no part.
pub fn share(figure: &Figure) -> String {
    match figure.of {
        Some(of) if of > 0.0 => format!("{:.0} %", figure.value / of * 100.0),
        _ => String::new(),
    }
}
