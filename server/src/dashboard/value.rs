//! What a field says, as people read it.

use super::reader::Reader;
use super::show::{Named, Piece};
use rounds_domain::language::Words;
use rounds_domain::{Kind, RecordId};
use serde_json::Value;

/// Fields that name another record.
const REFERENCES: [&str; 16] = [
    "parent",
    "place",
    "organization",
    "group",
    "subject",
    "worker",
    "follow_up",
    "violation",
    "visit",
    "checklist",
    "source",
    "adoption",
    "asset",
    "referred_to",
    "members",
    "evidence",
];

/// The records that a field names.
pub(super) fn references(field: &str, value: &Value) -> Vec<RecordId> {
    if !REFERENCES.contains(&field) {
        return Vec::new();
    }
    let one = |value: &Value| value.as_str()?.parse().ok();
    match value {
        Value::Array(all) => all.iter().filter_map(one).collect(),
        value => one(value).into_iter().collect(),
    }
}

impl Reader {
    /// What a field of a record of this kind says; nothing if it is empty.
    pub(super) fn pieces(&self, named: &Named, kind: Kind, field: &str, value: &Value) -> Vec<Piece> {
        if REFERENCES.contains(&field) {
            return references(field, value).into_iter().map(|id| self.piece(named, id)).collect();
        }
        match value {
            Value::Null => Vec::new(),
            Value::Array(all) => all.iter().map(|one| Piece::plain(self.entry(one))).collect(),
            Value::Bool(true) => vec![Piece::plain(self.text.yes)],
            Value::Bool(false) => vec![Piece::plain(self.text.no)],
            Value::Number(number) => match number.as_i64().filter(|_| field.ends_with("_ms")) {
                Some(ms) => vec![Piece::plain(self.moment(ms))],
                None => vec![Piece::plain(number.to_string())],
            },
            Value::String(word) => vec![Piece::plain(label(&self.words, kind, field, word))],
            Value::Object(_) => vec![Piece::plain(self.entry(value))],
        }
    }

    /// The same in one line.
    pub(super) fn line(&self, named: &Named, kind: Kind, field: &str, value: &Value) -> String {
        let pieces = self.pieces(named, kind, field, value);
        let texts: Vec<_> = pieces.into_iter().map(|piece| piece.text).collect();
        if texts.is_empty() { self.text.empty.to_owned() } else { texts.join(", ") }
    }

    /// An entry of a list: an answer, a question, a phase, a step.
    fn entry(&self, value: &Value) -> String {
        let said = |value: &Value| match value {
            Value::String(text) => text.clone(),
            Value::Bool(true) => self.text.yes.to_owned(),
            Value::Bool(false) => self.text.no.to_owned(),
            other => other.to_string(),
        };
        match value {
            Value::Object(fields) => fields.values().map(said).collect::<Vec<_>>().join(": "),
            other => said(other),
        }
    }
}

/// What people read for a word.
fn label(words: &Words, kind: Kind, field: &str, word: &str) -> String {
    let language = words.language;
    let label = match (kind, field) {
        (Kind::Request, "category") => words.label("request_category", word),
        (Kind::Request, "channel") => words.label("request_channel", word),
        (Kind::Visit, "outcome") => words.label("visit_outcome", word),
        (Kind::Visit, "purpose") => words.label("visit_purpose", word),
        (Kind::Inspection, "result") => words.label("inspection_result", word),
        (Kind::Violation, "sort") => words.label("violation_sort", word),
        (Kind::Notice, "sort") => language.notice(word),
        (Kind::Plan | Kind::FollowUp | Kind::Inspection | Kind::Policy, "sort")
        | (Kind::Contract, "covers") => language.work(word),
        (_, "sort" | "skill" | "level") => language.thing(word),
        _ => word,
    };
    label.to_owned()
}
