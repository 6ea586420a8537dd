//! Referrals: requests that are with partners, when they are due, and who has had them for how long.

use super::frame::{Frame, Link};
use super::reader::Reader;
use super::show::{Piece, due_ms, title};
use crate::error::Error;
use crate::limit::LIST_RECORDS_MAX;
use crate::partner::{Holder, duration, held};
use askama::Template;
use axum::extract::Query;
use axum::response::Response;
use rounds_domain::{AreaId, Kind, Record, RecordId};
use rounds_store::{RecordFilter, Store};
use serde::Deserialize;
use std::collections::BTreeMap;

/// Requests of a page.
const ROWS: usize = 100;

/// What the page is asked for.
#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct Asked {
    organization: String,
    /// `overdue`, or all.
    show: String,
    /// Behind so many.
    after: usize,
}

/// Shows the page.
pub(super) async fn show(reader: Reader, Query(asked): Query<Asked>) -> Response {
    let page = page(&reader, &asked).await;
    reader.answer(page)
}

#[derive(Template)]
#[template(path = "dashboard/referrals.html")]
struct ReferralsPage {
    frame: Frame,
    lists: [Link; 2],
    organizations: Vec<OrganizationRow>,
    rows: Vec<Row>,
    more: String,
}

/// How it stands with a partner.
struct OrganizationRow {
    link: Link,
    open: usize,
    overdue: usize,
}

struct Row {
    href: String,
    title: String,
    place: Piece,
    organization: String,
    stage: String,
    status: String,
    due: String,
    left: String,
    is_overdue: bool,
    with_team: String,
    with_partner: String,
    with_others: String,
}

/// Requests in these areas that are with partners now, the most urgent first.
pub(super) async fn referred(store: &Store, areas: &[AreaId]) -> Result<Vec<Record>, Error> {
    let mut found = Vec::new();
    for status in ["referred", "in_progress"] {
        let mut filter = RecordFilter {
            status: Some(status.to_owned()),
            ..RecordFilter::of(Kind::Request, areas.to_vec(), LIST_RECORDS_MAX)
        };
        loop {
            let page = store.records(&filter).await?;
            filter.after = page.last().map(|last| filter.place(last));
            let is_last = page.len() < LIST_RECORDS_MAX as usize;
            found.extend(page.into_iter().map(|numbered| numbered.record));
            if is_last {
                break;
            }
        }
    }
    // What the team serves itself is in progress, too.
    found.retain(|record| record.reference("referred_to").is_some());
    found.sort_by_key(|record| (due_ms(record).unwrap_or(i64::MAX), record.id));
    Ok(found)
}

/// Whether a partner is late with a request.
pub(super) fn is_overdue(record: &Record, now_ms: i64) -> bool {
    due_ms(record).is_some_and(|due_ms| due_ms < now_ms)
}

async fn page(reader: &Reader, asked: &Asked) -> Result<ReferralsPage, Error> {
    let Reader { shared, text, language, words, .. } = reader;
    let now_ms = reader.now_ms();
    let all = referred(&shared.store, &reader.areas).await?;
    let mut by_organization: BTreeMap<RecordId, (usize, usize)> = BTreeMap::new();
    for record in &all {
        let Some(organization) = record.reference("referred_to") else { continue };
        let (open, overdue) = by_organization.entry(organization).or_default();
        *open += 1;
        *overdue += usize::from(is_overdue(record, now_ms));
    }
    let chosen: Option<RecordId> = asked.organization.parse().ok();
    let only_overdue = asked.show == "overdue";
    let shown = all.iter().filter(|record| {
        (!only_overdue || is_overdue(record, now_ms))
            && chosen.is_none_or(|chosen| record.reference("referred_to") == Some(chosen))
    });
    let shown: Vec<&Record> = shown.skip(asked.after).take(ROWS + 1).collect();
    let (rows, is_more) = (&shown[..shown.len().min(ROWS)], shown.len() > ROWS);
    let places = rows.iter().filter_map(|record| record.subject());
    let named = reader.named(by_organization.keys().copied().chain(places).collect()).await?;

    let show = if only_overdue { "overdue" } else { "" };
    let link = |organization: &str, show: &str, after: &str| {
        reader.link("/referrals", &[("organization", organization), ("show", show), ("after", after)])
    };
    let mut organizations: Vec<OrganizationRow> = by_organization
        .into_iter()
        .map(|(id, (open, overdue))| {
            let is_current = chosen == Some(id);
            // Chosen once more, it is chosen no more.
            let href = link(&if is_current { String::new() } else { id.to_string() }, show, "");
            OrganizationRow {
                link: Link { name: reader.piece(&named, id).text, href, is_current },
                open,
                overdue,
            }
        })
        .collect();
    organizations.sort_by(|one, other| one.link.name.cmp(&other.link.name));
    let rows = rows.iter().map(|record| {
        let organization = record.reference("referred_to");
        let had = |holder| match organization
            .map(|id| held(record, id, now_ms))
            .into_iter()
            .flatten()
            .find(|(of, _)| *of == holder)
        {
            Some((_, ms)) => duration(*language, ms),
            None => String::new(),
        };
        let is_overdue = is_overdue(record, now_ms);
        let left =
            due_ms(record).map(|due_ms| duration(*language, (due_ms - now_ms).abs())).unwrap_or_default();
        Row {
            href: reader.record_link(record.id),
            title: title(words, record),
            place: record.subject().map_or_else(|| Piece::plain(""), |id| reader.piece(&named, id)),
            organization: organization.map(|id| reader.piece(&named, id).text).unwrap_or_default(),
            stage: language.stage(Kind::Request, &record.status).to_owned(),
            status: record.status.clone(),
            due: due_ms(record).map(|ms| reader.moment(ms)).unwrap_or_default(),
            left: if is_overdue { format!("{left} {}", text.late) } else { left },
            is_overdue,
            with_team: had(Holder::Team),
            with_partner: had(Holder::You),
            with_others: had(Holder::Other),
        }
    });
    let rows = rows.collect();
    let organization = chosen.map(|id| id.to_string()).unwrap_or_default();
    let tab = |name: &str, show_word: &str, is_current| Link {
        name: name.to_owned(),
        href: link(&organization, show_word, ""),
        is_current,
    };
    Ok(ReferralsPage {
        frame: reader.frame(text.referrals, "/referrals"),
        lists: [tab(text.all, "", !only_overdue), tab(text.only_overdue, "overdue", only_overdue)],
        organizations,
        rows,
        more: if is_more {
            link(&organization, show, &(asked.after + ROWS).to_string())
        } else {
            String::new()
        },
    })
}
