//! The records behind a figure.

use super::figures::Asked as Of;
use super::frame::Frame;
use super::reader::Reader;
use super::show::{Piece, title};
use crate::error::Error;
use crate::outline::outline;
use askama::Template;
use axum::extract::Query;
use axum::response::Response;
use rounds_domain::RecordId;
use rounds_domain::summary::{Figure, Summary};
use serde::Deserialize;
use std::collections::BTreeMap;

/// Rows of a page.
const ROWS: u32 = 50;

/// What the page is asked for.
#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct Asked {
    figure: String,
    period: String,
    day: String,
    /// Where the page begins; empty for the first.
    from: String,
}

/// Shows the page.
pub(super) async fn show(reader: Reader, Query(asked): Query<Asked>) -> Response {
    let page = page(&reader, &asked).await;
    reader.answer(page)
}

#[derive(Template)]
#[template(path = "dashboard/behind.html")]
struct BehindPage {
    frame: Frame,
    period: String,
    rows: Vec<Row>,
    more: String,
    back: String,
}

struct Row {
    href: String,
    title: String,
    kind: &'static str,
    about: Piece,
    area: String,
    at: String,
    stage: String,
    status: String,
}

async fn page(reader: &Reader, asked: &Asked) -> Result<BehindPage, Error> {
    let of = Of { period: asked.period.clone(), day: asked.day.clone() };
    let ground = reader.ground(&of).await?;
    let (found, next) =
        reader.shared.list_behind(&reader.caller, &ground, &asked.figure, &asked.from, ROWS).await?;
    let about: Vec<RecordId> = found.iter().filter_map(|numbered| numbered.record.subject()).collect();
    let named = reader.named(about).await?;
    let rows = found
        .iter()
        .map(|numbered| {
            let record = &numbered.record;
            Row {
                href: reader.record_link(record.id),
                title: title(&reader.words, record),
                kind: reader.language.kind(record.kind),
                about: record.subject().map_or_else(|| Piece::plain(""), |id| reader.piece(&named, id)),
                area: reader.tree.name(record.area).to_owned(),
                at: reader.moment(record.created.at_ms),
                stage: reader.language.stage(record.kind, &record.status).to_owned(),
                status: record.status.clone(),
            }
        })
        .collect();
    let asked_of = [("period", asked.period.as_str()), ("day", asked.day.as_str())];
    let more = match next.as_str() {
        "" => String::new(),
        next => {
            let more = [&asked_of[..], &[("figure", asked.figure.as_str()), ("from", next)]].concat();
            reader.link("/behind", &more)
        }
    };
    Ok(BehindPage {
        frame: reader.frame(&label(reader, &asked.figure).await?, "/"),
        period: format!("{} – {}", ground.period.first, ground.period.last),
        rows,
        more,
        back: reader.link("/", &asked_of),
    })
}

/// What people call a figure; its name where the outline has no place for it.
async fn label(reader: &Reader, figure: &str) -> Result<String, Error> {
    let ids: Vec<RecordId> = figure.split('/').filter_map(|part| part.parse().ok()).collect();
    let named = reader.named(ids).await?;
    let names: BTreeMap<String, String> = figure
        .split('/')
        .filter_map(|part| {
            let record = named.get(part.parse().ok()?)?;
            Some((part.to_owned(), title(&reader.words, record)))
        })
        .collect();
    let alone = Figure { name: figure.to_owned(), value: 1.0, before: None, of: None };
    let summary = Summary { figures: vec![alone], spreads: Vec::new() };
    let sections = outline(&summary, &names, &reader.words);
    let found = sections.iter().find_map(|section| {
        let row = section.rows.iter().find(|row| row.figure.name == figure)?;
        let is_whole = section.title == row.label;
        Some(if is_whole { row.label.clone() } else { format!("{}: {}", section.title, row.label) })
    });
    Ok(found.unwrap_or_else(|| figure.to_owned()))
}
