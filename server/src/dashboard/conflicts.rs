//! Conflicts: where two people disagree, and what a coordinator decides.

use super::frame::Frame;
use super::reader::Reader;
use super::show::title;
use super::value::references;
use crate::access;
use crate::error::{Error, unreadable};
use crate::page::{self, after_record, record_token};
use askama::Template;
use axum::Form;
use axum::extract::Query;
use axum::response::Response;
use rounds_domain::record::{Dispute, Matter};
use rounds_domain::{Action, Change, ClockReading, DeviceId, Kind, Op, OpId, Outcome, Record, RecordId};
use rounds_proto::{op_to_wire, v1, verdict_from_wire};
use rounds_store::RecordFilter;
use serde::Deserialize;
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};

/// Records of a page.
const ROWS: u32 = 30;

/// Where the page begins.
#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct Asked {
    after: String,
}

/// What was decided on what one op brought about.
struct Decision {
    record: RecordId,
    op: OpId,
    /// What the form said: `choice.FIELD` is `keep` or `other`, `now.FIELD` the value that held when the page was read, as
    /// JSON.
    said: HashMap<String, String>,
}

impl Decision {
    fn read(said: HashMap<String, String>) -> Option<Self> {
        let record = said.get("record")?.parse().ok()?;
        let op = OpId { device: said.get("device")?.parse().ok()?, seq: said.get("seq")?.parse().ok()? };
        Some(Self { record, op, said })
    }

    fn choice(&self, field: &str) -> Option<&str> {
        self.said.get(&format!("choice.{field}")).map(String::as_str)
    }

    /// The value that the page showed.
    fn shown(&self, field: &str) -> Option<Value> {
        serde_json::from_str(self.said.get(&format!("now.{field}"))?).ok()
    }

    fn reason(&self) -> String {
        self.said.get("reason").map(|reason| reason.trim().to_owned()).unwrap_or_default()
    }

    /// The changes that were chosen. `None`: the page showed something else than what is so by now.
    fn changes(&self, record: &Record) -> Result<Option<Vec<Change>>, Error> {
        let mut changes = Vec::new();
        for (field, other) in others(record, self.op) {
            let now = record.fields.get(field).unwrap_or(&Value::Null);
            match self.choice(field) {
                None => return Ok(None), // it came in after the page was read
                Some("keep") => {}
                Some("other") if self.shown(field).as_ref() != Some(now) => return Ok(None),
                Some("other") if other.value == now => {}
                Some("other") => changes.push(Change {
                    field: field.to_owned(),
                    base: now.clone(),
                    value: other.value.clone(),
                }),
                Some(_) => return Err(Error::invalid("choice", "say keep or other")),
            }
        }
        Ok(Some(changes))
    }
}

/// What a field said before an op whose author had not seen it.
struct Other<'a> {
    value: &'a Value,
    by: OpId,
}

/// The fields that an op changed without its author having seen what they said. Of one that it changed twice, what it
/// said at first.
fn others(record: &Record, op: OpId) -> BTreeMap<&str, Other<'_>> {
    let mut others = BTreeMap::new();
    for dispute in record.disputes.iter().filter(|dispute| dispute.op == op) {
        if let Matter::Field { field, other, other_op, .. } = &dispute.matter {
            others.entry(field.as_str()).or_insert(Other { value: other, by: *other_op });
        }
    }
    others
}

/// The ops that raised the disputes of a record.
fn raised_by(record: &Record) -> Vec<OpId> {
    let mut ops = Vec::new();
    for dispute in &record.disputes {
        if !ops.contains(&dispute.op) {
            ops.push(dispute.op);
        }
    }
    ops
}

/// Shows the page.
pub(super) async fn show(reader: Reader, Query(asked): Query<Asked>) -> Response {
    let page = page(&reader, &asked).await;
    reader.answer(page)
}

/// Does what was decided.
pub(super) async fn settle(reader: Reader, Form(said): Form<HashMap<String, String>>) -> Response {
    let Some(decision) = Decision::read(said) else {
        return reader.failed(&Error::invalid("form", "is not whole: load the page again"));
    };
    match decide(&reader, &decision).await {
        Ok(true) => reader.done("/conflicts", "settled"),
        Ok(false) => reader.done("/conflicts", "changed_meanwhile"),
        Err(error) => reader.failed(&error),
    }
}

#[derive(Template)]
#[template(path = "dashboard/conflicts.html")]
struct ConflictsPage {
    frame: Frame,
    action: String,
    rows: Vec<Row>,
    more: String,
}

struct Row {
    href: String,
    title: String,
    kind: &'static str,
    area: String,
    record: RecordId,
    needs_reason: bool,
    conflicts: Vec<Conflict>,
}

/// What one op brought about: it is decided as a whole.
struct Conflict {
    device: DeviceId,
    seq: u64,
    by: String,
    /// Steps that were not allowed.
    steps: Vec<String>,
    fields: Vec<Sides>,
}

/// A field with two values.
struct Sides {
    field: String,
    name: String,
    now: String,
    now_by: String,
    now_json: String,
    other: String,
    other_by: String,
}

async fn page(reader: &Reader, asked: &Asked) -> Result<ConflictsPage, Error> {
    let Reader { shared, caller, text, language, words, .. } = reader;
    access::coordinates(caller, "list disputes")?;
    let filter = RecordFilter {
        kind: None,
        disputed: true,
        after: after_record(&asked.after)?,
        ..RecordFilter::of(Kind::Area, reader.areas.clone(), ROWS)
    };
    let found = shared.store.records(&filter).await?;
    let after = page::next(&found, ROWS, |last| record_token(filter.place(last)));
    let records: Vec<Record> = found.into_iter().map(|numbered| numbered.record).collect();

    let (mut ids, mut devices) = (Vec::new(), Vec::new());
    for record in &records {
        for op in raised_by(record) {
            devices.push(op.device);
            for (field, other) in others(record, op) {
                ids.extend(record.fields.get(field).into_iter().flat_map(|now| references(field, now)));
                ids.extend(references(field, other.value));
                devices.extend([other.by.device, writer(record, field).device]);
            }
        }
    }
    let labels = reader.device_labels(devices).await?;
    let named = reader.named(ids).await?;
    let by = |op: OpId| labels.get(&op.device).cloned().unwrap_or_default();
    let rows = records.iter().map(|record| {
        let kind = record.kind;
        let sides = |(field, other): (&str, Other<'_>)| {
            let now = record.fields.get(field).unwrap_or(&Value::Null);
            Sides {
                field: field.to_owned(),
                name: language.field(field).to_owned(),
                now: reader.line(&named, kind, field, now),
                now_by: by(writer(record, field)),
                now_json: now.to_string(),
                other: reader.line(&named, kind, field, other.value),
                other_by: by(other.by),
            }
        };
        let step = |dispute: &Dispute| match &dispute.matter {
            Matter::Step { from, to } => {
                let stage = |status| language.stage(kind, status);
                Some(format!("{} {} · {} {}", text.wanted_when, stage(to), text.when_it_was, stage(from)))
            }
            Matter::Field { .. } => None,
        };
        let conflicts = raised_by(record).into_iter().map(|op| Conflict {
            device: op.device,
            seq: op.seq,
            by: by(op),
            steps: record.disputes.iter().filter(|dispute| dispute.op == op).filter_map(step).collect(),
            fields: others(record, op).into_iter().map(sides).collect(),
        });
        Row {
            href: reader.record_link(record.id),
            title: title(words, record),
            kind: language.kind(kind),
            area: reader.tree.name(record.area).to_owned(),
            record: record.id,
            needs_reason: needs_reason(record),
            conflicts: conflicts.collect(),
        }
    });
    Ok(ConflictsPage {
        frame: reader.frame(text.conflicts, "/conflicts"),
        action: reader.link("/conflicts", &[]),
        rows: rows.collect(),
        more: if after.is_empty() { after } else { reader.link("/conflicts", &[("after", &after)]) },
    })
}

/// Whether an edit of this record has to say why.
fn needs_reason(record: &Record) -> bool {
    record.kind == Kind::Plan || record.kind.nature() == rounds_domain::kind::Nature::Fact
}

/// The op that set what a field says now.
fn writer(record: &Record, field: &str) -> OpId {
    record.writers.get(field).copied().unwrap_or(record.created.op)
}

/// False: it is not as the page showed it any more, and nothing was done.
async fn decide(reader: &Reader, decision: &Decision) -> Result<bool, Error> {
    let Reader { shared, caller, .. } = reader;
    access::coordinates(caller, "settle disputes")?;
    let record = shared.readable_record(caller, decision.record).await?.record;
    if !raised_by(&record).contains(&decision.op) {
        return Ok(false);
    }
    let Some(changes) = decision.changes(&record)? else { return Ok(false) };
    let mut actions = Vec::new();
    if !changes.is_empty() {
        actions.push(Action::Edit { changes, reason: decision.reason() });
    }
    actions.push(Action::Settle { disputes: vec![decision.op] });
    let ops = actions.into_iter().map(|action| {
        op_to_wire(&Op {
            record: record.id,
            area: record.area,
            kind: record.kind,
            action,
            clock: ClockReading { wall_ms: reader.now_ms(), boot: 0, monotonic_ms: 0 },
            observed: record.through.stamp,
            scope_version: caller.device.scope_version,
        })
        .map_err(unreadable)
    });
    let ops = ops.collect::<Result<Vec<_>, _>>()?;
    let answer = shared.change(caller, v1::ChangeRequest { ops, atomic: true }).await?;
    let took_effect = answer.verdicts.into_iter().all(|verdict| {
        let verdict = verdict_from_wire(verdict).map(|(_, verdict)| verdict.outcome);
        matches!(verdict, Ok(Outcome::Applied | Outcome::Merged))
    });
    Ok(took_effect)
}
