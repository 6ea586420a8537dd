//! One record: what it says, how it came about, and what belongs to it.

use super::frame::Frame;
use super::reader::Reader;
use super::show::{Named, Piece, due_ms, title};
use super::value::references;
use crate::access;
use crate::error::Error;
use askama::Template;
use axum::extract::Path;
use axum::response::Response;
use rounds_domain::record::{Matter, Standing, Trace};
use rounds_domain::{Action, Body, ContactData, DeviceId, Kind, Op, Record, RecordId, Verdict};
use rounds_proto::{op_from_wire, v1, verdict_from_wire};
use rounds_store::RecordFilter;
use std::collections::BTreeMap;

/// Ops of a history that are shown, the newest.
const OPS_SHOWN: usize = 200;
/// Linked records of a kind that are shown.
const LINKED_SHOWN: usize = 20;
/// Linked records that are looked at.
const LINKED_MAX: u32 = 2_000;
/// Follow-ups of what is linked are shown back to so long ago, in ms.
const FOLLOW_UPS_SINCE_MS: i64 = 60 * 24 * 60 * 60 * 1_000;

/// Shows the page.
pub(super) async fn show(reader: Reader, Path(id): Path<String>) -> Response {
    let page = page(&reader, &id, None).await;
    reader.answer(page)
}

/// Shows the page with how to reach who raised the request. That it was asked for is on record, so it is no link that
/// anything could follow by itself.
pub(super) async fn show_contact(reader: Reader, Path(id): Path<String>) -> Response {
    let page = page_with_contact(&reader, &id).await;
    reader.answer(page)
}

async fn page_with_contact(reader: &Reader, id: &str) -> Result<RecordPage, Error> {
    let request = id.parse().map_err(|_| Error::NotFound("record"))?;
    let contact = reader.shared.read_contact(&reader.caller, request).await?;
    page(reader, id, contact).await
}

#[derive(Template)]
#[template(path = "dashboard/record.html")]
struct RecordPage {
    frame: Frame,
    kind: &'static str,
    area: String,
    stage: String,
    status: String,
    /// Why it was deleted; empty if it was not.
    deleted: String,
    fields: Vec<Field>,
    /// Where to ask how to reach who raised it; empty if nobody said so, or it is not for the reader.
    contact_form: String,
    /// How to reach them, once it was asked for.
    contact: Option<ContactData>,
    not_applied: Vec<Event>,
    amendments: Vec<Event>,
    disputes: Vec<String>,
    conflicts: String,
    events: Vec<Event>,
    events_left: usize,
    linked: Vec<Linked>,
}

struct Field {
    name: String,
    pieces: Vec<Piece>,
}

/// Something that happened to the record.
struct Event {
    what: String,
    lines: Vec<String>,
    evidence: Option<Piece>,
    at: String,
    received: String,
    doubtful: bool,
    by: String,
    worker: String,
    arrival: String,
    today: String,
    is_good: bool,
}

/// Linked records of a kind.
struct Linked {
    name: &'static str,
    rows: Vec<LinkedRow>,
    left: usize,
}

struct LinkedRow {
    href: String,
    title: String,
    at: String,
    stage: String,
    status: String,
}

async fn page(reader: &Reader, id: &str, contact: Option<ContactData>) -> Result<RecordPage, Error> {
    let Reader { shared, caller, language, words, text, .. } = reader;
    let id: RecordId = id.parse().map_err(|_| Error::NotFound("record"))?;
    let record = shared.readable_record(caller, id).await?.record;
    let (mut entries, events_left) = shared.history(caller, id, OPS_SHOWN).await?;
    let ops: Vec<Option<Op>> =
        entries.iter_mut().map(|entry| entry.op.take().and_then(|op| op_from_wire(op).ok())).collect();

    let named = reader.named(mentioned(&record, &ops, &entries)).await?;
    let of_entries = entries.iter().filter_map(|entry| entry.device.parse().ok());
    let devices: Vec<DeviceId> = of_entries.chain(traces(&record).map(|trace| trace.op.device)).collect();
    let labels = reader.device_labels(devices).await?;
    let label = |device: DeviceId| labels.get(&device).cloned().unwrap_or_default();
    let events = entries.iter().zip(&ops).rev().map(|(entry, op)| {
        let by = entry.device.parse().map(label).unwrap_or_default();
        event(reader, &named, record.kind, entry, op.as_ref(), by)
    });
    let events = events.collect();

    let fields =
        Body::field_names(record.kind).iter().filter(|field| **field != "cause").filter_map(|field| {
            let pieces = reader.pieces(&named, record.kind, field, record.fields.get(*field)?);
            (!pieces.is_empty()).then(|| Field { name: language.field(field).to_owned(), pieces })
        });
    let disputes = record.disputes.iter().map(|dispute| match &dispute.matter {
        Matter::Field { field, kept, other, .. } => {
            let value = |value| reader.line(&named, record.kind, field, value);
            format!("{}: {} · {}: {}", language.field(field), value(kept), text.other_value, value(other))
        }
        Matter::Step { from, to } => {
            let stage = |status| language.stage(record.kind, status);
            format!("{} {} · {} {}", text.wanted_when, stage(to), text.when_it_was, stage(from))
        }
    });
    let can_settle = caller.device.role.coordinates() && !record.disputes.is_empty();
    let marked = |trace: &Trace, what: String, lines: Vec<String>| Event {
        what,
        lines,
        evidence: None,
        at: reader.moment(trace.at_ms),
        received: String::new(),
        doubtful: false,
        by: label(trace.op.device),
        worker: trace.worker.map(|worker| reader.piece(&named, worker).text).unwrap_or_default(),
        arrival: String::new(),
        today: String::new(),
        is_good: true,
    };
    let not_applied =
        record.steps.iter().filter(|taken| taken.standing == Standing::NotApplied).map(|taken| {
            let stage = |status| language.stage(record.kind, status);
            let what = format!(
                "{} {} · {} {}",
                text.wanted_when,
                stage(&taken.step.to),
                text.when_it_was,
                stage(&taken.from)
            );
            marked(&taken.trace, what, said(&taken.step.reason))
        });
    let amendments = record.amendments.iter().map(|amendment| {
        let before = amendment.before.iter().map(|(field, value)| {
            format!(
                "{} {} {}",
                language.field(field),
                text.was,
                reader.line(&named, record.kind, field, value)
            )
        });
        marked(&amendment.trace, amendment.reason.clone(), before.collect())
    });
    let name = title(words, &record);
    Ok(RecordPage {
        kind: language.kind(record.kind),
        area: reader.tree.name(record.area).to_owned(),
        stage: language.stage(record.kind, &record.status).to_owned(),
        status: record.status.clone(),
        deleted: record.deleted.clone().unwrap_or_default(),
        fields: fields.collect(),
        contact_form: match contact.is_none() && has_contact(reader, &record).await? {
            true => reader.link(&format!("/record/{}/contact", record.id), &[]),
            false => String::new(),
        },
        contact,
        not_applied: not_applied.collect(),
        amendments: amendments.collect(),
        disputes: disputes.collect(),
        conflicts: if can_settle { reader.link("/conflicts", &[]) } else { String::new() },
        events,
        events_left,
        linked: linked(reader, &record).await?,
        frame: reader.frame(&name, ""),
    })
}

/// Whether the reader may ask how to reach who raised this, and somebody said so.
async fn has_contact(reader: &Reader, record: &Record) -> Result<bool, Error> {
    let Reader { shared, caller, .. } = reader;
    Ok(record.kind == Kind::Request
        && record.deleted.is_none()
        && shared.vault().is_ok()
        && shared.may_read_contact(caller, record).await?
        && shared.store.has_contact(record.id).await?)
}

fn said(text: &str) -> Vec<String> {
    if text.is_empty() { Vec::new() } else { vec![text.to_owned()] }
}

/// Every record that the page names.
fn mentioned(record: &Record, ops: &[Option<Op>], entries: &[v1::HistoryEntry]) -> Vec<RecordId> {
    let mut ids: Vec<RecordId> = Vec::new();
    let mut in_field = |field: &str, value| ids.extend(references(field, value));
    record.fields.iter().for_each(|(field, value)| in_field(field, value));
    for amendment in &record.amendments {
        amendment.before.iter().for_each(|(field, value)| in_field(field, value));
    }
    for op in ops.iter().flatten() {
        if let Action::Edit { changes, .. } = &op.action {
            changes.iter().for_each(|change| {
                in_field(&change.field, &change.base);
                in_field(&change.field, &change.value);
            });
        }
    }
    for op in ops.iter().flatten() {
        if let Action::Step(step) = &op.action {
            ids.extend(step.organization.into_iter().chain(step.evidence));
        }
    }
    ids.extend(entries.iter().filter_map(|entry| entry.worker.parse::<RecordId>().ok()));
    ids.extend(traces(record).filter_map(|trace| trace.worker));
    ids
}

/// Whence the record has what it says of its own past.
fn traces(record: &Record) -> impl Iterator<Item = &Trace> {
    let steps = record.steps.iter().map(|taken| &taken.trace);
    steps.chain(record.amendments.iter().map(|amendment| &amendment.trace))
}

fn event(
    reader: &Reader,
    named: &Named,
    kind: Kind,
    entry: &v1::HistoryEntry,
    op: Option<&Op>,
    by: String,
) -> Event {
    let text = reader.text;
    let (what, lines, evidence) = match op {
        Some(op) => act(reader, named, kind, op),
        None => (text.content_gone.to_owned(), Vec::new(), None),
    };
    let verdict = |wire: &Option<v1::Verdict>| wire.clone().and_then(|wire| verdict_from_wire(wire).ok());
    let (arrival, today) = (verdict(&entry.verdict), verdict(&entry.today));
    let told = |verdict: &Option<(u64, Verdict)>| match verdict {
        Some((_, Verdict { outcome, reason, .. })) => {
            let outcome = reader.language.outcome(*outcome);
            match reason {
                Some(reason) => format!("{outcome}: {}", reader.language.reason(*reason)),
                None => outcome.to_owned(),
            }
        }
        None => String::new(),
    };
    let is_good = |verdict: &Option<(u64, Verdict)>| {
        use rounds_domain::Outcome::{Applied, Merged};
        verdict.as_ref().is_none_or(|(_, verdict)| matches!(verdict.outcome, Applied | Merged))
    };
    let worker: Option<RecordId> = entry.worker.parse().ok();
    Event {
        what,
        lines,
        evidence,
        at: reader.moment(entry.at_ms),
        received: reader.moment(entry.received_at_ms),
        doubtful: entry.time_doubtful,
        by,
        worker: worker.map(|id| reader.piece(named, id).text).unwrap_or_default(),
        arrival: told(&arrival),
        today: if today == arrival { String::new() } else { told(&today) },
        is_good: is_good(&arrival) && is_good(&today),
    }
}

/// What was done, with its details and what shows it.
pub(super) fn act(
    reader: &Reader,
    named: &Named,
    kind: Kind,
    op: &Op,
) -> (String, Vec<String>, Option<Piece>) {
    let Reader { text, language, .. } = reader;
    match &op.action {
        Action::Create(_) => (text.created.to_owned(), Vec::new(), None),
        Action::Edit { changes, reason } => {
            let what =
                if kind.nature() == rounds_domain::kind::Nature::Fact { text.amended } else { text.edited };
            let changes = changes.iter().map(|change| {
                let value = |value| reader.line(named, kind, &change.field, value);
                format!(
                    "{}: {} → {}",
                    language.field(&change.field),
                    value(&change.base),
                    value(&change.value)
                )
            });
            (what.to_owned(), changes.chain(said(reason)).collect(), None)
        }
        Action::Step(step) => {
            let mut lines = Vec::new();
            if let Some(organization) = step.organization {
                lines.push(reader.piece(named, organization).text);
            }
            if let Some(due_ms) = step.due_at_ms {
                lines.push(format!("{} {}", text.due, reader.moment(due_ms)));
            }
            lines.extend(said(&step.outcome).into_iter().chain(said(&step.reason)));
            let what = format!("{} {}", text.stepped, language.stage(kind, &step.to));
            (what, lines, step.evidence.map(|id| reader.piece(named, id)))
        }
        Action::Move { to } => {
            let name = reader.tree.name(*to);
            let name = if name.is_empty() { text.not_visible } else { name };
            (format!("{} {name}", text.moved), Vec::new(), None)
        }
        Action::Delete { reason } => (text.deleted.to_owned(), said(reason), None),
        Action::Settle { .. } => (text.settled.to_owned(), Vec::new(), None),
    }
}

/// What is about this record, and the follow-ups of that.
async fn linked(reader: &Reader, record: &Record) -> Result<Vec<Linked>, Error> {
    let Reader { shared, caller, language, words, .. } = reader;
    let areas = caller.scope.iter().map(|scoped| scoped.area).collect();
    let filter = RecordFilter {
        kind: None,
        subject: Some(record.id),
        ..RecordFilter::of(record.kind, areas, LINKED_MAX)
    };
    let found = shared.store.records(&filter).await?;
    let mut found: Vec<Record> = found.into_iter().map(|numbered| numbered.record).collect();
    // A follow-up is about its source, so those of a thing are about its plans and requests.
    let sources: Vec<RecordId> = found
        .iter()
        .filter(|one| rounds_domain::follow_up::is_source(one.kind) && one.kind != Kind::Policy)
        .map(|one| one.id)
        .collect();
    if matches!(record.kind, Kind::Place | Kind::Asset) {
        let since_ms = reader.now_ms() - FOLLOW_UPS_SINCE_MS;
        let about = shared.store.about(&sources, since_ms).await?;
        let about = about.into_iter().map(|numbered| numbered.record);
        found.extend(about.filter(|one| one.kind == Kind::FollowUp && one.deleted.is_none()));
    }
    let mut by_kind: BTreeMap<Kind, Vec<Record>> = BTreeMap::new();
    for one in found.into_iter().filter(|one| access::may_read(caller, one) && one.id != record.id) {
        by_kind.entry(one.kind).or_default().push(one);
    }
    let at_ms =
        |one: &Record| due_ms(one).filter(|_| one.kind == Kind::FollowUp).unwrap_or(one.created.at_ms);
    let linked = by_kind.into_iter().map(|(kind, mut records)| {
        records.sort_by_key(|one| (std::cmp::Reverse(at_ms(one)), one.id));
        let left = records.len().saturating_sub(LINKED_SHOWN);
        let rows = records.iter().take(LINKED_SHOWN).map(|one| LinkedRow {
            href: reader.record_link(one.id),
            title: title(words, one),
            at: reader.moment(at_ms(one)),
            stage: language.stage(kind, &one.status).to_owned(),
            status: one.status.clone(),
        });
        Linked { name: language.kinds(kind), rows: rows.collect(), left }
    });
    Ok(linked.collect())
}
