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
use rounds_domain::record::Matter;
use rounds_domain::{Action, Change, ClockReading, DeviceId, Kind, Op, OpId, Outcome, Record, RecordId};
use rounds_proto::{op_to_wire, v1, verdict_from_wire};
use rounds_store::RecordFilter;
use serde::Deserialize;
use serde_json::Value;

/// Records of a page.
const ROWS: u32 = 30;

/// Where the page begins.
#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct Asked {
    after: String,
}

/// What was decided on one conflict.
#[derive(Deserialize)]
pub(super) struct Decision {
    record: RecordId,
    device: DeviceId,
    seq: u64,
    /// `keep` or `other`.
    choice: String,
    /// The value that held when the page was read, as JSON; empty for a step.
    #[serde(default)]
    kept: String,
    #[serde(default)]
    reason: String,
}

/// Shows the page.
pub(super) async fn show(reader: Reader, Query(asked): Query<Asked>) -> Response {
    let page = page(&reader, &asked).await;
    reader.answer(page)
}

/// Does what was decided.
pub(super) async fn settle(reader: Reader, Form(decision): Form<Decision>) -> Response {
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
    conflicts: Vec<Conflict>,
}

struct Conflict {
    record: RecordId,
    device: DeviceId,
    seq: u64,
    what: String,
    /// Empty for a step.
    kept: String,
    kept_by: String,
    other: String,
    other_by: String,
    kept_json: String,
    needs_reason: bool,
    is_step: bool,
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
    for dispute in records.iter().flat_map(|record| &record.disputes) {
        devices.push(dispute.op.device);
        if let Matter::Field { field, kept, other, other_op } = &dispute.matter {
            ids.extend(references(field, kept).into_iter().chain(references(field, other)));
            devices.push(other_op.device);
        }
    }
    let labels = reader.device_labels(devices).await?;
    let named = reader.named(ids).await?;
    let by = |op: OpId| labels.get(&op.device).cloned().unwrap_or_default();
    let rows = records.iter().map(|record| {
        let kind = record.kind;
        let conflicts = record.disputes.iter().map(|dispute| {
            let blank = Conflict {
                record: record.id,
                device: dispute.op.device,
                seq: dispute.op.seq,
                what: String::new(),
                kept: String::new(),
                kept_by: by(dispute.op),
                other: String::new(),
                other_by: String::new(),
                kept_json: String::new(),
                needs_reason: needs_reason(record),
                is_step: false,
            };
            match &dispute.matter {
                Matter::Field { field, kept, other, other_op } => Conflict {
                    what: language.field(field).to_owned(),
                    kept: reader.line(&named, kind, field, kept),
                    other: reader.line(&named, kind, field, other),
                    other_by: by(*other_op),
                    kept_json: kept.to_string(),
                    ..blank
                },
                Matter::Step { from, to } => {
                    let stage = |status| language.stage(kind, status);
                    let what =
                        format!("{} {} · {} {}", text.wanted_when, stage(to), text.when_it_was, stage(from));
                    Conflict { what, is_step: true, ..blank }
                }
            }
        });
        Row {
            href: reader.record_link(record.id),
            title: title(words, record),
            kind: language.kind(kind),
            area: reader.tree.name(record.area).to_owned(),
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

/// False: it is not as the page showed it any more, and nothing was done.
async fn decide(reader: &Reader, decision: &Decision) -> Result<bool, Error> {
    let Reader { shared, caller, .. } = reader;
    access::coordinates(caller, "settle disputes")?;
    let record = shared.readable_record(caller, decision.record).await?.record;
    let op = OpId { device: decision.device, seq: decision.seq };
    let Some(dispute) = record.disputes.iter().find(|dispute| dispute.op == op) else { return Ok(false) };
    let mut actions = Vec::new();
    if let Matter::Field { field, kept, other, .. } = &dispute.matter {
        let value = record.fields.get(field).unwrap_or(&Value::Null);
        let shown: Option<Value> = serde_json::from_str(&decision.kept).ok();
        if shown.as_ref() != Some(kept) || value != kept {
            return Ok(false);
        }
        if decision.choice == "other" {
            let change = Change { field: field.clone(), base: kept.clone(), value: other.clone() };
            let reason = decision.reason.trim().to_owned();
            actions.push(Action::Edit { changes: vec![change], reason });
        }
    }
    actions.push(Action::Settle { disputes: vec![op] });
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
