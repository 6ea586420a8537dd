//! The start: what needs attention, as counts that lead to their pages; and the figures of a period.

use super::figures::{self, Asked, Figures};
use super::frame::{Frame, cookie};
use super::reader::Reader;
use super::session::remember;
use super::{devices, jobs, referrals};
use crate::error::Error;
use askama::Template;
use axum::extract::Query;
use axum::http::{HeaderMap, header};
use axum::response::Response;
use rounds_domain::recurrence::{day_end_ms, day_start_ms, local_day};
use rounds_domain::{Kind, Role};
use rounds_store::{DeliveryState, DueFilter};
use rounds_worker::{JobFilter, JobState};

/// Beyond so many it is not worth counting on.
const COUNT_MAX: u32 = 1_000;

/// The cookie that says when the reader looked: before this sitting, and last.
const LOOKED_COOKIE: &str = "rounds_looked";
/// Who comes back after this long, in ms, looks anew: what came late meanwhile is news.
const SITTING_MS: i64 = 30 * 60_000;

/// Shows the page.
pub(super) async fn show(reader: Reader, headers: HeaderMap, Query(asked): Query<Asked>) -> Response {
    let now_ms = reader.now_ms();
    let said = cookie(&headers, LOOKED_COOKIE).unwrap_or_default();
    let times =
        said.split_once('.').and_then(|(before, last)| Some((before.parse().ok()?, last.parse().ok()?)));
    let before_ms: i64 = match times {
        Some((_, last_ms)) if now_ms - last_ms >= SITTING_MS => last_ms,
        Some((before_ms, _)) => before_ms,
        None => 0,
    };
    let page = page(&reader, &asked, before_ms).await;
    let mut answer = reader.answer(page);
    let looked = remember(LOOKED_COOKIE, &format!("{before_ms}.{now_ms}"), &reader.shared, &headers);
    if let Ok(looked) = looked.parse() {
        answer.headers_mut().append(header::SET_COOKIE, looked);
    }
    answer
}

#[derive(Template)]
#[template(path = "dashboard/overview.html")]
struct OverviewPage {
    frame: Frame,
    tiles: Vec<Tile>,
    figures: Figures,
}

/// A count that leads to its page.
struct Tile {
    name: &'static str,
    hint: &'static str,
    count: u64,
    href: String,
    is_urgent: bool,
}

async fn page(reader: &Reader, asked: &Asked, looked_ms: i64) -> Result<OverviewPage, Error> {
    let Reader { shared, text, areas, .. } = reader;
    let figures = figures::figures(reader, asked, looked_ms).await?;
    let (store, now_ms, role) = (&shared.store, reader.now_ms(), reader.caller.device.role);
    let follow_ups = async |status, from_ms, before_ms| {
        store.count_due(&DueFilter { kind: Kind::FollowUp, areas, status, from_ms, before_ms }).await
    };
    let tile = |name, count: u64, path: &str, asked: &[(&str, &str)], is_urgent| Tile {
        name,
        hint: "",
        count,
        href: reader.link(path, asked),
        is_urgent: is_urgent && count > 0,
    };
    let today = local_day(now_ms, &reader.zone);
    let month_ms = day_start_ms(today.first_of_month(), &reader.zone);
    let tonight_ms = day_end_ms(today, &reader.zone).saturating_add(1);
    let mut tiles = vec![
        tile(text.overdue_follow_ups, follow_ups("open", 0, now_ms).await?, "/follow-ups", &[], true),
        tile(
            text.due_today,
            follow_ups("open", now_ms, tonight_ms).await?,
            "/follow-ups",
            &[("show", "today")],
            false,
        ),
        tile(
            text.missed_month,
            follow_ups("missed", month_ms, now_ms).await?,
            "/follow-ups",
            &[("show", "missed")],
            true,
        ),
    ];
    let referred = referrals::referred(store, areas).await?;
    let late = referred.iter().filter(|request| request.is_overdue(now_ms)).count();
    tiles.push(tile(text.overdue_referrals, late as u64, "/referrals", &[("show", "overdue")], true));
    if role.coordinates() {
        let waiting = figures.freshness;
        let (conflicts, quarantined) = (waiting.disputed_records, waiting.quarantined_ops);
        tiles.push(tile(text.conflicts_open, conflicts.unsigned_abs(), "/conflicts", &[], true));
        tiles.push(tile(text.quarantine_open, quarantined.unsigned_abs(), "/quarantine", &[], true));
        let silent = store.count_devices(&devices::filter(reader, true)).await?;
        let silent = tile(text.silent_devices, silent, "/devices", &[("show", "silent")], true);
        tiles.push(Tile { hint: text.days_without_contact, ..silent });
    }
    if role == Role::Admin {
        let filter = JobFilter { state: Some(JobState::Dead), kind: None, limit: COUNT_MAX };
        let dead = shared.jobs().await?.list(filter).await.map_err(jobs::unavailable)?.len();
        tiles.push(tile(text.dead_jobs, dead as u64, "/jobs", &[], true));
        let mut failing = 0;
        for state in [DeliveryState::Failing, DeliveryState::Failed] {
            failing += store.deliveries(Some(state), COUNT_MAX).await?.len();
        }
        tiles.push(tile(text.failing_deliveries, failing as u64, "/jobs", &[], true));
    }
    Ok(OverviewPage { frame: reader.frame(text.overview, "/"), tiles, figures })
}
