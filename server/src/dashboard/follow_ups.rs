//! Follow-ups: a calendar of what is due when, and those of a time, the most urgent first.

use super::frame::{Frame, Link};
use super::reader::Reader;
use super::show::{Piece, due_ms, responsible};
use crate::error::Error;
use askama::Template;
use axum::extract::Query;
use axum::response::Response;
use jiff::civil::Date;
use rounds_domain::recurrence::{day_end_ms, day_start_ms, days_later, local_day};
use rounds_domain::{Kind, Record, RecordId};
use rounds_store::{AgendaFilter, DueCount};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};

/// Rows of a page.
const ROWS: u32 = 50;
const WEEK_DAYS: usize = 7;

/// What the page is asked for.
#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct Asked {
    /// `week` or `month`.
    view: String,
    /// A day of the period that the calendar shows.
    day: String,
    /// The day whose follow-ups are listed; the whole period if empty.
    on: String,
    /// `overdue`, `today`, a stage, or `all`.
    show: String,
    sort: String,
    /// Behind this one: when it is due, and its id.
    after: String,
}

/// Shows the page.
pub(super) async fn show(reader: Reader, Query(asked): Query<Asked>) -> Response {
    let page = page(&reader, &asked).await;
    reader.answer(page)
}

#[derive(Template)]
#[template(path = "dashboard/follow_ups.html")]
struct FollowUpsPage {
    frame: Frame,
    views: [Link; 2],
    earlier: String,
    today: String,
    later: String,
    period: String,
    weekdays: [&'static str; WEEK_DAYS],
    weeks: Vec<Vec<Day>>,
    lists: Vec<Link>,
    /// What is listed: a day or the period; empty where the list has a time of its own.
    listed: String,
    whole_period: String,
    sorts: Vec<Choice>,
    kept: Vec<(&'static str, String)>,
    rows: Vec<Row>,
    more: String,
}

/// A day of the calendar.
struct Day {
    name: String,
    number: i8,
    href: String,
    is_today: bool,
    is_listed: bool,
    is_outside: bool,
    overdue: u64,
    open: u64,
    missed: u64,
    done: u64,
}

struct Choice {
    word: String,
    name: String,
    is_current: bool,
}

struct Row {
    href: String,
    sort: String,
    due: String,
    late: String,
    about: Piece,
    whom: Piece,
    area: String,
    stage: String,
    is_overdue: bool,
    status: String,
}

/// The days that a calendar shows, and the period that they are shown for.
struct Period {
    is_week: bool,
    first: Date,
    last: Date,
    /// The Monday of the first week.
    from: Date,
    weeks: usize,
}

impl Period {
    fn of(day: Date, is_week: bool) -> Self {
        let (first, last) = match is_week {
            true => (monday(day), days_later(monday(day), 6)),
            false => (day.first_of_month(), day.last_of_month()),
        };
        let from = monday(first);
        let weeks = from.duration_until(last).as_hours().unsigned_abs() as usize / (7 * 24) + 1;
        Self { is_week, first, last, from, weeks }
    }

    fn name(&self) -> String {
        match self.is_week {
            true => format!("{} – {}", self.first, self.last),
            false => self.first.strftime("%Y-%m").to_string(),
        }
    }
}

fn monday(day: Date) -> Date {
    days_later(day, -i64::from(day.weekday().to_monday_zero_offset()))
}

async fn page(reader: &Reader, asked: &Asked) -> Result<FollowUpsPage, Error> {
    let Reader { shared, text, language, areas, zone, .. } = reader;
    let now_ms = reader.now_ms();
    let today = local_day(now_ms, zone);
    let on: Option<Date> = asked.on.parse().ok();
    let period = Period::of(asked.day.parse().ok().or(on).unwrap_or(today), asked.view == "week");
    let until = days_later(period.from, (period.weeks * WEEK_DAYS) as i64 - 1);
    let starts_ms = |day| day_start_ms(day, zone).max(0);
    let ends_ms = |day| day_end_ms(day, zone).saturating_add(1);

    let in_calendar = AgendaFilter {
        areas,
        status: "",
        sort: "",
        from_ms: starts_ms(period.from),
        before_ms: ends_ms(until),
    };
    let counts = shared.store.agenda_counts(&in_calendar).await?;
    let mut sorts: BTreeSet<&str> = counts.iter().map(|count| count.sort.as_str()).collect();
    sorts.insert(asked.sort.as_str());
    let of_sort = counts.iter().filter(|count| asked.sort.is_empty() || count.sort == asked.sort);
    let mut by_day: BTreeMap<Date, Vec<&DueCount>> = BTreeMap::new();
    for count in of_sort {
        by_day.entry(local_day(count.due_ms, zone)).or_default().push(count);
    }

    let view = if period.is_week { "week" } else { "" };
    let anchor = period.first.to_string();
    let on_text = on.map(|on| on.to_string()).unwrap_or_default();
    let show = match asked.show.as_str() {
        "" if on.is_some() => "all",
        "" => "overdue",
        show => show,
    };
    let link = |changes: &[(&'static str, &str)]| {
        let mut asked =
            vec![("view", view), ("day", &anchor), ("on", &on_text), ("show", show), ("sort", &asked.sort)];
        for (name, value) in changes {
            asked.retain(|(other, _)| other != name);
            asked.push((*name, *value));
        }
        reader.link("/follow-ups", &asked)
    };

    let weeks = (0..period.weeks).map(|week| {
        let days = (0..WEEK_DAYS).map(|at| {
            let date = days_later(period.from, (week * WEEK_DAYS + at) as i64);
            let counted = |meets: &dyn Fn(&DueCount) -> bool| {
                let of_day = by_day.get(&date).into_iter().flatten();
                of_day.filter(|count| meets(count)).map(|count| count.count).sum()
            };
            let name = date.to_string();
            Day {
                number: date.day(),
                href: link(&[("on", &name), ("show", "all")]),
                is_today: date == today,
                is_listed: on == Some(date),
                is_outside: date < period.first || date > period.last,
                overdue: counted(&|count| count.status == "open" && count.due_ms < now_ms),
                open: counted(&|count| count.status == "open" && count.due_ms >= now_ms),
                missed: counted(&|count| count.status == "missed"),
                done: counted(&|count| count.status == "done"),
                name,
            }
        });
        days.collect()
    });
    let weeks: Vec<Vec<Day>> = weeks.collect();

    let (first, last) = on.map_or((period.first, period.last), |on| (on, on));
    let (status, from_ms, before_ms, has_own_time) = match show {
        "overdue" => ("open", 0, now_ms, true),
        "today" => ("open", now_ms, ends_ms(today), true),
        "all" => ("", starts_ms(first), ends_ms(last), false),
        stage => (stage, starts_ms(first), ends_ms(last), false),
    };
    let filter = AgendaFilter { areas, status, sort: &asked.sort, from_ms, before_ms };
    let mut found = shared.store.agenda(&filter, after(&asked.after), ROWS + 1).await?;
    let is_more = found.len() > ROWS as usize;
    found.truncate(ROWS as usize);
    let last_shown =
        found.last().map(|record| format!("{}.{}", due_ms(record).unwrap_or_default(), record.id));
    let more = last_shown.filter(|_| is_more).map(|after| link(&[("after", &after)])).unwrap_or_default();

    let lists = [
        ("overdue", text.overdue),
        ("today", text.due_today),
        ("all", text.all),
        ("open", text.open),
        ("done", text.done),
        ("missed", text.missed),
        ("cancelled", text.cancelled),
    ];
    let tab = |href, name: &str, is_current| Link { name: name.to_owned(), href, is_current };
    let sorts = sorts.into_iter().map(|sort| Choice {
        word: sort.to_owned(),
        name: if sort.is_empty() { text.all.to_owned() } else { language.work(sort).to_owned() },
        is_current: sort == asked.sort,
    });
    let kept = [("view", view), ("day", &anchor), ("on", &on_text), ("show", show)];
    let chosen = reader.chosen.map(|area| area.to_string()).unwrap_or_default();
    let kept = kept.into_iter().chain([("area", chosen.as_str())]).filter(|(_, value)| !value.is_empty());
    Ok(FollowUpsPage {
        frame: reader.frame(text.follow_ups, "/follow-ups"),
        views: [
            tab(link(&[("view", ""), ("on", "")]), text.month, !period.is_week),
            tab(link(&[("view", "week"), ("on", "")]), text.week, period.is_week),
        ],
        earlier: link(&[("day", &days_later(period.first, -1).to_string()), ("on", "")]),
        today: link(&[("day", &today.to_string()), ("on", "")]),
        later: link(&[("day", &days_later(period.last, 1).to_string()), ("on", "")]),
        period: period.name(),
        weekdays: [
            text.monday,
            text.tuesday,
            text.wednesday,
            text.thursday,
            text.friday,
            text.saturday,
            text.sunday,
        ],
        weeks,
        lists: lists.map(|(word, name)| tab(link(&[("show", word)]), name, word == show)).into(),
        listed: match (has_own_time, on) {
            (true, _) => String::new(),
            (false, Some(on)) => on.to_string(),
            (false, None) => period.name(),
        },
        whole_period: if on.is_some() && !has_own_time { link(&[("on", "")]) } else { String::new() },
        sorts: sorts.collect(),
        kept: kept.map(|(name, value)| (name, value.to_owned())).collect(),
        rows: rows(reader, &found).await?,
        more,
    })
}

/// Reads where a page begins; from the start if that cannot be read.
fn after(text: &str) -> Option<(i64, RecordId)> {
    let (due_ms, id) = text.split_once('.')?;
    Some((due_ms.parse().ok()?, id.parse().ok()?))
}

async fn rows(reader: &Reader, found: &[Record]) -> Result<Vec<Row>, Error> {
    let names = found.iter().flat_map(|record| [record.reference("subject"), responsible(record)]);
    let named = reader.named(names.flatten().collect()).await?;
    let now_ms = reader.now_ms();
    let nothing = || Piece::plain("");
    Ok(found
        .iter()
        .map(|record| {
            let due_ms = due_ms(record).unwrap_or_default();
            let is_overdue = record.status == "open" && due_ms < now_ms;
            Row {
                href: reader.record_link(record.id),
                sort: reader.language.work(record.text("sort")).to_owned(),
                due: reader.moment(due_ms),
                late: if is_overdue {
                    crate::partner::duration(reader.language, now_ms.saturating_sub(due_ms))
                } else {
                    String::new()
                },
                about: record.reference("subject").map_or_else(nothing, |id| reader.piece(&named, id)),
                whom: responsible(record).map_or_else(nothing, |id| reader.piece(&named, id)),
                area: reader.tree.name(record.area).to_owned(),
                stage: match is_overdue {
                    true => reader.text.overdue.to_owned(),
                    false => reader.language.stage(Kind::FollowUp, &record.status).to_owned(),
                },
                is_overdue,
                status: record.status.clone(),
            }
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_month_is_shown_in_whole_weeks_that_begin_on_mondays() {
        let day = |text: &str| text.parse::<Date>().unwrap();
        let month = Period::of(day("2026-11-26"), false);
        assert_eq!((month.first, month.last), (day("2026-11-01"), day("2026-11-30")));
        assert_eq!((month.from, month.weeks), (day("2026-10-26"), 6));
        let short = Period::of(day("2027-02-09"), false);
        assert_eq!((short.from, short.weeks), (day("2027-02-01"), 4));
        let week = Period::of(day("2026-11-29"), true);
        assert_eq!(
            (week.first, week.last, week.from, week.weeks),
            (day("2026-11-23"), day("2026-11-29"), day("2026-11-23"), 1)
        );
    }
}
