//! Referrals: requests that are with partners, when they are due, and who has had them for how long.

use super::frame::{Frame, Link};
use super::reader::Reader;
use super::show::{Piece, due_ms, title};
use crate::access;
use crate::error::Error;
use crate::limit::LIST_RECORDS_MAX;
use crate::partner::{Holder, duration, held};
use askama::Template;
use axum::extract::Query;
use axum::response::Response;
use rounds_domain::{AreaId, Kind, Record, RecordId};
use rounds_store::{RecordFilter, Store};
use serde::Deserialize;
use std::collections::{BTreeMap, HashMap};

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

/// A request that is with a partner now: as much as it takes to count and to sort it.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Referred {
    /// When it is due, in ms since 1970 UTC; the end of time if it does not say.
    due_ms: i64,
    id: RecordId,
    organization: RecordId,
}

impl Referred {
    fn of(record: &Record) -> Option<Self> {
        // What the team serves itself is in progress, too.
        let organization = record.reference("referred_to")?;
        Some(Self { due_ms: due_ms(record).unwrap_or(i64::MAX), id: record.id, organization })
    }

    /// Whether the partner is late.
    pub(super) fn is_overdue(&self, now_ms: i64) -> bool {
        self.due_ms < now_ms
    }
}

/// Requests in these areas that are with partners now, the most urgent first. There may be many: of each page that is
/// read no more stays than this.
pub(super) async fn referred(store: &Store, areas: &[AreaId]) -> Result<Vec<Referred>, Error> {
    let mut found = Vec::new();
    for status in ["referred", "in_progress"] {
        let mut filter = RecordFilter {
            status: Some(status.to_owned()),
            ..RecordFilter::of(Kind::Request, areas.to_vec(), LIST_RECORDS_MAX)
        };
        loop {
            let page = store.records(&filter).await?;
            found.extend(page.iter().filter_map(|numbered| Referred::of(&numbered.record)));
            filter.after = page.last().map(|last| filter.place(last));
            if page.len() < LIST_RECORDS_MAX as usize {
                break;
            }
        }
    }
    found.sort_unstable();
    Ok(found)
}

/// These records in this order, as far as the reader still sees them.
async fn in_order(reader: &Reader, ids: &[RecordId]) -> Result<Vec<Record>, Error> {
    let found = reader.shared.store.records_of(ids).await?;
    let seen = found.into_iter().filter(|record| access::may_read(&reader.caller, record));
    let mut by_id: HashMap<RecordId, Record> = seen.map(|record| (record.id, record)).collect();
    Ok(ids.iter().filter_map(|id| by_id.remove(id)).collect())
}

async fn page(reader: &Reader, asked: &Asked) -> Result<ReferralsPage, Error> {
    let Reader { shared, text, language, words, .. } = reader;
    let now_ms = reader.now_ms();
    let all = referred(&shared.store, &reader.areas).await?;
    let mut by_organization: BTreeMap<RecordId, (usize, usize)> = BTreeMap::new();
    for request in &all {
        let (open, overdue) = by_organization.entry(request.organization).or_default();
        *open += 1;
        *overdue += usize::from(request.is_overdue(now_ms));
    }
    let chosen: Option<RecordId> = asked.organization.parse().ok();
    let only_overdue = asked.show == "overdue";
    let shown = all.iter().filter(|request| {
        (!only_overdue || request.is_overdue(now_ms))
            && chosen.is_none_or(|chosen| request.organization == chosen)
    });
    let shown: Vec<RecordId> = shown.skip(asked.after).take(ROWS + 1).map(|request| request.id).collect();
    let (ids, is_more) = (&shown[..shown.len().min(ROWS)], shown.len() > ROWS);
    let rows = in_order(reader, ids).await?;
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
        let left_ms = due_ms(record).map(|due_ms| due_ms.saturating_sub(now_ms));
        let is_overdue = left_ms.is_some_and(|left_ms| left_ms < 0);
        let left = left_ms.map(|left_ms| duration(*language, left_ms.saturating_abs())).unwrap_or_default();
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
