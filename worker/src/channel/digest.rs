//! Digests: what a coordinator or supervisor should know of the day or the week, in one mail.

use super::Failure;
use super::message::{Message, moment};
use super::phrase::{self, Words};
use askama::Template;
use rounds_domain::record::Standing;
use rounds_domain::{AreaId, Kind, Language, Record};
use rounds_store::{DueFilter, Store};

const DAY_MS: i64 = 24 * 60 * 60 * 1_000;
/// What was due longer before the last digest and was missed since is not searched for.
const MISSED_LOOK_BACK_MS: i64 = 60 * DAY_MS;
/// What a section names; it counts all.
const NAMED_MAX: u32 = 20;
/// Missed follow-ups that are looked at.
const MISSED_MAX: u32 = 10_000;

/// What a digest says.
#[derive(Debug)]
pub(super) struct Digest {
    overdue: Section,
    due_today: Section,
    due_this_week: Section,
    missed: Section,
    gaps: Section,
}

#[derive(Debug, Default)]
struct Section {
    count: u64,
    /// What of the first of them: what has to be done, when, where.
    named: Vec<(String, i64, String)>,
}

#[derive(Template)]
#[template(path = "digest.txt", escape = "none")]
struct DigestText<'a> {
    words: &'a Words,
    area: &'a str,
    sections: Vec<Shown>,
}

struct Shown {
    title: &'static str,
    count: u64,
    lines: Vec<String>,
    more: bool,
}

impl Digest {
    /// Looks at what is true now in the area of the notice and below.
    pub(super) async fn gather(store: &Store, message: &Message) -> Result<Self, Failure> {
        let at_ms = message.at_ms;
        let areas = store.subtree(message.area).await?;
        let since_ms = last_digest_ms(message, is_weekly(store, message).await?);
        let tomorrow_ms = next_midnight_ms(message);
        let open = |from_ms, before_ms| DueFilter {
            kind: Kind::FollowUp,
            areas: &areas,
            status: "open",
            from_ms,
            before_ms,
        };
        let raised = DueFilter { kind: Kind::Notice, status: "raised", ..open(since_ms + 1, at_ms + 1) };
        Ok(Self {
            overdue: section(store, &open(i64::MIN, at_ms)).await?,
            due_today: section(store, &open(at_ms, tomorrow_ms)).await?,
            due_this_week: section(store, &open(tomorrow_ms, at_ms + 7 * DAY_MS)).await?,
            missed: missed(store, &areas, since_ms, at_ms).await?,
            gaps: gaps(store, &raised).await?,
        })
    }

    /// The text of the mail.
    pub(super) fn text(&self, message: &Message, language: Language) -> String {
        let words = phrase::words(language);
        let shown = |title, section: &Section| Shown {
            title,
            count: section.count,
            lines: section
                .named
                .iter()
                .map(|(work, at_ms, place)| {
                    format!("{}  {}  {place}", moment(*at_ms, &message.zone), language.work(work))
                })
                .collect(),
            more: section.count > section.named.len() as u64,
        };
        let text = DigestText {
            words,
            area: message.area_name(),
            sections: vec![
                shown(words.gaps, &self.gaps),
                shown(words.missed, &self.missed),
                shown(words.overdue, &self.overdue),
                shown(words.due_today, &self.due_today),
                shown(words.due_this_week, &self.due_this_week),
            ],
        };
        text.render().unwrap_or_default() // only writing into a string could fail
    }
}

async fn is_weekly(store: &Store, message: &Message) -> Result<bool, Failure> {
    let policy = message.subject_id().map(|id| store.record(id));
    let Some(policy) = policy else { return Ok(false) };
    Ok(policy.await?.is_some_and(|numbered| numbered.record.text("digest") == "weekly"))
}

/// When the digest before was called for: at the same time of the day in the area, a day or a week earlier.
fn last_digest_ms(message: &Message, is_weekly: bool) -> i64 {
    let days = if is_weekly { 7 } else { 1 };
    let before = jiff::Timestamp::from_millisecond(message.at_ms)
        .ok()
        .and_then(|at| at.to_zoned(message.zone.clone()).checked_sub(jiff::Span::new().days(days)).ok());
    before.map_or(message.at_ms - days * DAY_MS, |before| before.timestamp().as_millisecond())
}

/// The end of the day on which the digest was called for, in the area.
fn next_midnight_ms(message: &Message) -> i64 {
    let day = jiff::Timestamp::from_millisecond(message.at_ms).ok().and_then(|at| {
        let today = at.to_zoned(message.zone.clone()).start_of_day().ok()?;
        today.checked_add(jiff::Span::new().days(1)).ok()
    });
    day.map_or(message.at_ms + DAY_MS, |day| day.timestamp().as_millisecond())
}

async fn section(store: &Store, filter: &DueFilter<'_>) -> Result<Section, Failure> {
    let mut section = Section { count: store.count_due(filter).await?, named: Vec::new() };
    for record in store.due(filter, NAMED_MAX).await? {
        section.named.push(line(store, &record, "due_at_ms").await?);
    }
    Ok(section)
}

/// Follow-ups that came to be missed in this time, whenever they were due.
async fn missed(store: &Store, areas: &[AreaId], since_ms: i64, at_ms: i64) -> Result<Section, Failure> {
    let filter = DueFilter {
        kind: Kind::FollowUp,
        areas,
        status: "missed",
        from_ms: since_ms - MISSED_LOOK_BACK_MS,
        before_ms: at_ms,
    };
    // What was due of late is what came to be missed of late.
    let mut found = store.last_due(&filter, MISSED_MAX).await?;
    found.retain(|record| last_step_ms(record).is_some_and(|ms| since_ms < ms && ms <= at_ms));
    let mut section = Section { count: found.len() as u64, named: Vec::new() };
    for record in found.iter().rev().take(NAMED_MAX as usize) {
        section.named.push(line(store, record, "due_at_ms").await?);
    }
    Ok(section)
}

fn last_step_ms(record: &Record) -> Option<i64> {
    let last = record.steps.iter().rev().find(|taken| taken.standing == Standing::Applied)?;
    Some(last.trace.at_ms)
}

/// Alerts for gaps; several people may have been told of the same one.
async fn gaps(store: &Store, raised: &DueFilter<'_>) -> Result<Section, Failure> {
    let mut about = std::collections::BTreeMap::new();
    for notice in store.due(raised, MISSED_MAX).await? {
        if notice.text("sort") == "gap"
            && let Some(subject) = notice.subject()
        {
            about.insert(subject, notice);
        }
    }
    let mut section = Section { count: about.len() as u64, named: Vec::new() };
    for (subject, notice) in about.iter().take(NAMED_MAX as usize) {
        if let Some(plan) = store.record(*subject).await? {
            let (work, _, place) = line(store, &plan.record, "due_at_ms").await?;
            section.named.push((work, ms(notice, "at_ms"), place));
        }
    }
    Ok(section)
}

async fn line(store: &Store, record: &Record, when: &str) -> Result<(String, i64, String), Failure> {
    let place = store.place_name(record.reference("subject"), record).await?;
    Ok((record.text("sort").to_owned(), ms(record, when), place))
}

fn ms(record: &Record, field: &str) -> i64 {
    record.fields.get(field).and_then(serde_json::Value::as_i64).unwrap_or_default()
}
