//! Quarantine: ops that could not be taken in as they were, and what becomes of them.

use super::frame::Frame;
use super::reader::Reader;
use super::record::act;
use super::show::{Named, title};
use super::value::references;
use crate::access;
use crate::error::{Error, unreadable};
use crate::page::{after_op, op_token};
use askama::Template;
use axum::Form;
use axum::extract::{Path, Query};
use axum::http::StatusCode;
use axum::response::Response;
use rounds_domain::{Action, Body, Op, OpId, Outcome, RecordId};
use rounds_proto::{decode_op, op_to_wire, v1, verdict_from_wire};
use rounds_store::QuarantinedOp;
use serde::Deserialize;
use std::fmt::Write as _;

/// Ops of a page.
const ROWS: u32 = 50;
/// Bytes that are shown of an op that cannot be read, the first: enough to see whose it may be.
const BYTES_SHOWN: usize = 4 * 1024;

/// Where the page begins.
#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct Asked {
    after: String,
}

/// What was decided on one op.
#[derive(Deserialize)]
pub(super) struct Decision {
    /// `release`, `mend` or `dismiss`.
    act: String,
    /// The op as JSON, for `mend`.
    #[serde(default)]
    op: String,
}

/// Shows the list.
pub(super) async fn show(reader: Reader, Query(asked): Query<Asked>) -> Response {
    let page = list(&reader, &asked).await;
    reader.answer(page)
}

/// Shows one op.
pub(super) async fn show_one(reader: Reader, Path((device, seq)): Path<(String, u64)>) -> Response {
    let page = one(&reader, &device, seq, String::new(), None).await;
    reader.answer(page)
}

/// Does what was decided.
pub(super) async fn decide(
    reader: Reader,
    Path((device, seq)): Path<(String, u64)>,
    Form(decision): Form<Decision>,
) -> Response {
    let mended = (decision.act == "mend").then_some(decision.op.as_str());
    let why = match release(&reader, &device, seq, &decision.act, mended).await {
        Ok(Released::Done(said)) => return reader.done("/quarantine", said),
        Ok(Released::Waits(why)) => why,
        Err(error @ Error::Refused(_)) => error.to_string(),
        Err(error) => return reader.failed(&error),
    };
    match one(&reader, &device, seq, why, mended).await {
        Ok(page) => super::frame::rendered(StatusCode::UNPROCESSABLE_ENTITY, &page),
        Err(error) => reader.failed(&error),
    }
}

#[derive(Template)]
#[template(path = "dashboard/quarantine.html")]
struct QuarantinePage {
    frame: Frame,
    rows: Vec<Row>,
    more: String,
}

struct Row {
    href: String,
    what: String,
    why: &'static str,
    detail: String,
    device: String,
    area: String,
    received: String,
}

#[derive(Template)]
#[template(path = "dashboard/quarantined.html")]
struct QuarantinedPage {
    frame: Frame,
    row: Row,
    lines: Vec<(String, String)>,
    record: String,
    /// The op as JSON; empty if it cannot be read.
    op: String,
    /// The first of its bytes in hexadecimal, if it cannot be read.
    bytes: String,
    /// Why what was tried did not work.
    refused: String,
}

async fn list(reader: &Reader, asked: &Asked) -> Result<QuarantinePage, Error> {
    let Reader { shared, caller, text, .. } = reader;
    access::coordinates(caller, "see the quarantine")?;
    let page = shared.store.quarantine(reader.areas_or_all(), after_op(&asked.after)?, ROWS).await?;
    let found = page.ops;
    let more = match found.last().filter(|_| page.more) {
        Some(last) => reader.link("/quarantine", &[("after", &op_token(last.id))]),
        None => String::new(),
    };
    let ops: Vec<Option<Op>> = found.iter().map(readable).collect();
    let named = reader.named(ops.iter().flatten().flat_map(mentioned).collect()).await?;
    let labels = reader.device_labels(found.iter().map(|quarantined| quarantined.id.device)).await?;
    let rows = found.iter().zip(&ops).map(|(quarantined, op)| {
        let label = labels.get(&quarantined.id.device).cloned().unwrap_or_default();
        row(reader, &named, quarantined, op.as_ref(), label)
    });
    Ok(QuarantinePage { frame: reader.frame(text.quarantine, "/quarantine"), rows: rows.collect(), more })
}

async fn one(
    reader: &Reader,
    device: &str,
    seq: u64,
    refused: String,
    mended: Option<&str>,
) -> Result<QuarantinedPage, Error> {
    let Reader { shared, caller, .. } = reader;
    access::coordinates(caller, "see the quarantine")?;
    let nothing = || Error::NotFound("op in quarantine");
    let id = OpId { device: device.parse().map_err(|_| nothing())?, seq };
    let quarantined = shared.store.quarantined(id).await?.ok_or_else(nothing)?;
    if !shared.sees_quarantined(caller, &quarantined).await? {
        return Err(nothing());
    }
    let op = readable(&quarantined);
    let named = reader.named(op.iter().flat_map(mentioned).collect()).await?;
    let label = reader.device_labels([id.device]).await?.remove(&id.device).unwrap_or_default();
    let row = row(reader, &named, &quarantined, op.as_ref(), label);
    let as_json = |op: &Op| serde_json::to_string_pretty(op).unwrap_or_default(); // texts and numbers
    let record = op.as_ref().filter(|op| named.get(op.record).is_some());
    Ok(QuarantinedPage {
        frame: reader.frame(&row.what, "/quarantine"),
        lines: op.as_ref().map(|op| lines(reader, &named, op)).unwrap_or_default(),
        record: record.map(|op| reader.record_link(op.record)).unwrap_or_default(),
        bytes: if op.is_none() { hexadecimal(&quarantined.raw) } else { String::new() },
        op: mended.map_or_else(|| op.as_ref().map(as_json).unwrap_or_default(), str::to_owned),
        row,
        refused,
    })
}

/// The op, as far as it can be read by now.
fn readable(quarantined: &QuarantinedOp) -> Option<Op> {
    quarantined.op.clone().or_else(|| decode_op(&quarantined.raw).ok())
}

/// The first of these bytes.
fn hexadecimal(bytes: &[u8]) -> String {
    let mut text = String::new();
    for byte in bytes.iter().take(BYTES_SHOWN) {
        let space = if text.is_empty() { "" } else { " " };
        let _ = write!(text, "{space}{byte:02x}"); // a String takes everything
    }
    if bytes.len() > BYTES_SHOWN {
        text.push_str(" …");
    }
    text
}

fn mentioned(op: &Op) -> Vec<RecordId> {
    let mut ids = vec![op.record];
    match &op.action {
        Action::Create(body) => {
            ids.extend(body.fields().iter().flat_map(|(field, value)| references(field, value)));
        }
        Action::Edit { changes, .. } => ids.extend(changes.iter().flat_map(|change| {
            [references(&change.field, &change.base), references(&change.field, &change.value)].concat()
        })),
        Action::Step(step) => ids.extend(step.organization.into_iter().chain(step.evidence)),
        Action::Move { .. } | Action::Delete { .. } | Action::Settle { .. } => {}
    }
    ids
}

fn row(reader: &Reader, named: &Named, quarantined: &QuarantinedOp, op: Option<&Op>, device: String) -> Row {
    let OpId { device: id, seq } = quarantined.id;
    let what = match op {
        Some(op) => {
            let (what, ..) = act(reader, named, op.kind, op);
            let kind = reader.language.kind(op.kind);
            match named.get(op.record) {
                Some(record) => format!("{kind}: {} · {what}", title(&reader.words, record)),
                None => format!("{kind} · {what}"),
            }
        }
        None => reader.text.job_unreadable.to_owned(),
    };
    Row {
        href: reader.link(&format!("/quarantine/{id}/{seq}"), &[]),
        what,
        why: reader.language.reason(quarantined.refusal.reason),
        detail: quarantined.refusal.detail.clone(),
        device,
        area: op.map_or("", |op| reader.tree.name(op.area)).to_owned(),
        received: reader.moment(quarantined.received_ms),
    }
}

/// What the op says, field by field.
fn lines(reader: &Reader, named: &Named, op: &Op) -> Vec<(String, String)> {
    if let Action::Create(body) = &op.action {
        let fields = body.fields();
        let names = Body::field_names(op.kind).iter();
        let said = names.filter_map(|field| Some((*field, fields.get(*field)?)));
        return said
            .map(|(field, value)| {
                (reader.language.field(field).to_owned(), reader.line(named, op.kind, field, value))
            })
            .collect();
    }
    let (what, lines, _) = act(reader, named, op.kind, op);
    vec![(what, lines.join("\n"))]
}

/// What became of a decision.
enum Released {
    /// It is out of quarantine, and this is said.
    Done(&'static str),
    /// It is still there, and why.
    Waits(String),
}

async fn release(
    reader: &Reader,
    device: &str,
    seq: u64,
    act: &str,
    mended: Option<&str>,
) -> Result<Released, Error> {
    let mended = match mended {
        Some(json) => {
            let op: Op =
                serde_json::from_str(json).map_err(|error| Error::invalid("op", &error.to_string()))?;
            Some(op_to_wire(&op).map_err(unreadable)?)
        }
        None => None,
    };
    let dismiss = act == "dismiss";
    let request = v1::ReleaseRequest { device: device.to_owned(), seq, mended, dismiss };
    let Some(verdict) = reader.shared.release(&reader.caller, request).await?.verdict else {
        return Ok(Released::Done("dismissed"));
    };
    let (_, verdict) = verdict_from_wire(verdict)?;
    Ok(match (verdict.outcome, verdict.reason) {
        (Outcome::Quarantined, Some(reason)) => {
            Released::Waits(format!("{} {}", reader.language.reason(reason), verdict.detail))
        }
        _ => Released::Done("released"),
    })
}
