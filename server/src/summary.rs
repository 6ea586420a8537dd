//! Asking for summaries: from areas and a period to figures, and from a figure to the records behind it.

use crate::access;
use crate::error::Error;
use crate::limit::{BEHIND_RECORDS_SCANNED_MAX, SCANNED_RECORDS_PAGE, SILENT_HOURS, SUMMARY_RECORDS_PAGE};
use crate::segment::{Segment, months_and_days, segments};
use crate::shared::Shared;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use rounds_domain::attendance::{GAP_DAYS_MAX, GAP_MONTHS_MAX, MET, REACHED, different, months_between};
use rounds_domain::recurrence::{day_start_ms, days_later, local_day};
use rounds_domain::summary::{
    Behind, Counted, NOT_REACHED_DAYS, Period, Progress, Report, Summary, behind, is_behind, summarize,
};
use rounds_domain::tally::{EVER, Unit};
use rounds_domain::{AreaId, Body, Kind, Record, RecordId};
use rounds_proto::{id_from_wire, v1};
use rounds_store::{Caller, Numbered, RecordFilter, Store, Sum, SumFilter};
use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

/// The last day of all.
const FAR: Date = Date::constant(9999, 12, 31);

/// What a summary is divided into.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Division {
    /// Nothing.
    None,
    /// The areas directly below.
    Area,
    /// Times.
    Time(TimeUnit),
}

/// How long the parts of a period are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum TimeUnit {
    /// A day.
    Day,
    /// A week, from Monday.
    Week,
    /// A month.
    Month,
}

impl TimeUnit {
    /// The name of such a period.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
        }
    }
}

/// Which areas and days somebody asks about. Made by [`Shared::ground`].
#[derive(Clone, Debug)]
pub(crate) struct Ground {
    /// The area that was asked for; none for all of the caller's.
    pub(crate) area: Option<AreaId>,
    /// All of them.
    pub(crate) areas: Vec<AreaId>,
    /// Whose days count.
    pub(crate) zone: TimeZone,
    /// The day that it is now.
    pub(crate) today: Date,
    /// The period.
    pub(crate) period: Period,
    /// After how many days a dwelling counts as not reached.
    pub(crate) not_reached_days: i64,
}

impl Ground {
    /// The day up to which windows go: the last of a period, or today if it is not over. What can still be done is not
    /// late.
    fn end(&self, period: Period) -> Date {
        period.last.min(self.today)
    }
}

/// The days in one of which something has to have been attended to, so that it was so of late on the last of them. A
/// dwelling is reached for so many days; work is done in time until so many days later, that day included.
fn window(work: &str, days: i64, end: Date) -> (Date, Date) {
    let days_before = if work == MET { days.saturating_sub(1) } else { days };
    (days_later(end, days_before.saturating_neg()), end)
}

/// Reads which period somebody asks for.
fn period(scope: &v1::SummaryScope, today: Date) -> Result<Period, Error> {
    let date = |field: &str, text: &str| {
        text.parse::<Date>().map_err(|_| Error::invalid(field, "is no date: write it as 2026-11-22"))
    };
    match (scope.period.as_str(), scope.first.as_str(), scope.last.as_str()) {
        ("", "", "") => Period::named("week", today).map_err(|what| Error::invalid("scope.period", &what)),
        ("", first, last) => Period::range(date("scope.first", first)?, date("scope.last", last)?)
            .map_err(|what| Error::invalid("scope.last", &what)),
        (name, "", "") => {
            let day = if scope.day.is_empty() { today } else { date("scope.day", &scope.day)? };
            Period::named(name, day).map_err(|what| Error::invalid("scope.period", &what))
        }
        _ => Err(Error::invalid("scope.period", "give a period, or the first and last day, not both")),
    }
}

fn not_reached_days(scope: &v1::SummaryScope) -> Result<i64, Error> {
    match scope.not_reached_days {
        0 => Ok(NOT_REACHED_DAYS),
        days @ 1.. => Ok(days.into()),
        _ => Err(Error::invalid("scope.not_reached_days", "must not be negative; 0 means 90")),
    }
}

impl Shared {
    /// The areas and days that a caller asks about.
    ///
    /// # Errors
    /// `NOT_FOUND` for an area that is not the caller's, `FORBIDDEN` for partners, and what is wrong with the period.
    pub(crate) async fn ground(&self, caller: &Caller, scope: &v1::SummaryScope) -> Result<Ground, Error> {
        access::not_partner(caller, "read summaries")?;
        let area: Option<AreaId> = match scope.area.as_str() {
            "" => None,
            area => Some(id_from_wire("scope.area", area)?),
        };
        let own = access::own_areas(caller);
        let areas = match area {
            Some(area) => self.narrowed(own, area, true).await?,
            None => own,
        };
        let zone_name = match area.or_else(|| access::home_area(caller)) {
            Some(area) => self.store.time_zone(area).await?,
            None => None,
        };
        // It was checked when the area was made.
        let zone = zone_name.and_then(|name| TimeZone::get(&name).ok()).unwrap_or(TimeZone::UTC);
        let today = local_day(self.clock.now_ms(), &zone);
        let period = period(scope, today)?;
        let not_reached_days = not_reached_days(scope)?;
        Ok(Ground { area, areas, zone, today, period, not_reached_days })
    }

    /// The summary of some ground. `since_ms` is from when on late arrivals are told; with a worker, only what that
    /// one did.
    ///
    /// # Errors
    /// `FORBIDDEN` for the figures of another worker, if the caller does not coordinate; when the store fails.
    pub(crate) async fn summarize(
        &self,
        caller: &Caller,
        ground: &Ground,
        division: Division,
        since_ms: i64,
        worker: Option<RecordId>,
    ) -> Result<Report, Error> {
        if worker.is_some() && worker != caller.device.worker {
            access::coordinates(caller, "read the figures of another worker")?;
        }
        let now_ms = self.clock.now_ms();
        let before = ground.period.before(ground.today);
        let mut counting = Counting::new(&self.store, ground, worker, division == Division::Area);
        let summary = counting.compared(&ground.areas, before).await?;
        let parts = match division {
            Division::None => Vec::new(),
            Division::Area => {
                let mut parts = Vec::new();
                for (area, below) in self.children(ground).await? {
                    parts.push((area.to_string(), counting.compared(&below, before).await?));
                }
                parts
            }
            Division::Time(unit) => counting.over_time(unit).await?,
        };
        let freshness = self.store.freshness(&ground.areas, now_ms, SILENT_HOURS).await?;
        let days = (before.first.min(ground.period.first), ground.period.last);
        let late = self.store.late_arrivals(&ground.areas, days, since_ms).await?;
        let commitments = match worker {
            Some(_) => Vec::new(),
            None => self.commitments(ground, &summary).await?,
        };
        let names = self.names(caller, &summary, &parts, &commitments).await?;
        Ok(Report {
            period: ground.period,
            before,
            time_zone: ground.zone.iana_name().unwrap_or("UTC").to_owned(),
            as_of_ms: now_ms,
            summary,
            parts,
            freshness,
            late,
            commitments,
            names,
        })
    }

    /// How a period went, by days, weeks or months.
    ///
    /// # Errors
    /// When the store fails.
    pub(crate) async fn trend(
        &self,
        ground: &Ground,
        unit: TimeUnit,
    ) -> Result<Vec<(String, Summary)>, Error> {
        Counting::new(&self.store, ground, None, false).over_time(unit).await
    }

    /// The areas directly below the one that was asked for, the caller's roots if none was: by name, and with all areas
    /// below them.
    async fn children(&self, ground: &Ground) -> Result<Vec<(AreaId, Vec<AreaId>)>, Error> {
        let ids: Vec<RecordId> = ground.areas.iter().map(|area| RecordId::from(*area)).collect();
        let records = self.store.records_of(&ids).await?;
        let areas: HashMap<AreaId, &Record> = records.iter().map(|record| (record.area, record)).collect();
        let parent = |area: AreaId| areas.get(&area)?.reference("parent").map(AreaId::from);
        let is_child = |area: AreaId| match ground.area {
            Some(asked) => parent(area) == Some(asked),
            None => parent(area).is_none_or(|parent| !areas.contains_key(&parent)),
        };
        let mut children: BTreeMap<(&str, AreaId), Vec<AreaId>> = BTreeMap::new();
        for area in &ground.areas {
            let mut next = Some(*area);
            while let Some(above) = next.filter(|above| !is_child(*above)) {
                next = parent(above);
            }
            if let Some(record) = next.and_then(|child| areas.get(&child)) {
                children.entry((record.text("name"), record.area)).or_default().push(*area);
            }
        }
        Ok(children.into_iter().map(|((_, area), below)| (area, below)).collect())
    }

    async fn all(&self, kind: Kind, areas: &[AreaId]) -> Result<Vec<Record>, Error> {
        if areas.is_empty() {
            return Ok(Vec::new());
        }
        let mut filter = RecordFilter::of(kind, areas.to_vec(), SUMMARY_RECORDS_PAGE);
        let mut all = Vec::new();
        loop {
            let page = self.store.records(&filter).await?;
            filter.after = page.last().map(|numbered| filter.place(numbered));
            let is_last = page.len() < SUMMARY_RECORDS_PAGE as usize;
            all.extend(page.into_iter().map(|numbered| numbered.record));
            if is_last {
                return Ok(all);
            }
        }
    }

    async fn commitments(&self, ground: &Ground, summary: &Summary) -> Result<Vec<Progress>, Error> {
        let records = self.all(Kind::Commitment, &ground.areas).await?;
        Ok(records
            .into_iter()
            .filter_map(|record| match record.body() {
                Ok(Body::Commitment(said)) => Some(Progress {
                    commitment: record.id,
                    organization: said.organization,
                    goal: said.goal,
                    quantity: said.quantity.unwrap_or_default(),
                    unit: said.unit,
                    due: said.due,
                    done: summary.value(&format!("commitment/{}", record.id)),
                }),
                _ => None,
            })
            .collect())
    }

    /// The names of organizations, groups, commitments and areas that figures and parts name by their ids, of those that
    /// the caller may know: an op may name any id.
    async fn names(
        &self,
        caller: &Caller,
        summary: &Summary,
        parts: &[(String, Summary)],
        commitments: &[Progress],
    ) -> Result<BTreeMap<String, String>, Error> {
        let mut ids: BTreeSet<RecordId> = parts.iter().filter_map(|(key, _)| key.parse().ok()).collect();
        ids.extend(commitments.iter().filter_map(|progress| progress.organization));
        for figure in &summary.figures {
            ids.extend(figure.name.split('/').filter_map(|part| part.parse::<RecordId>().ok()));
        }
        let records = self.store.records_of(&ids.into_iter().collect::<Vec<_>>()).await?;
        Ok(records
            .into_iter()
            .filter(|record| access::may_read(caller, record))
            .map(|record| {
                let field = if record.kind == Kind::Commitment { "goal" } else { "name" };
                (record.id.to_string(), record.text(field).to_owned())
            })
            .collect())
    }

    /// A page of the records behind a figure, at most `limit`, and the token of the next page.
    ///
    /// # Errors
    /// `NOT_FOUND` where no figure has this name, `FORBIDDEN` for those of another worker.
    pub(crate) async fn list_behind(
        &self,
        caller: &Caller,
        ground: &Ground,
        figure: &str,
        token: &str,
        limit: u32,
    ) -> Result<(Vec<Numbered>, String), Error> {
        let behind = behind(figure).filter(|_| !figure.contains('\0')).ok_or(Error::NotFound("figure"))?;
        if let Some(worker) = figure.strip_prefix("worker/") {
            let worker = worker.split('/').next().and_then(|id| id.parse::<RecordId>().ok());
            if worker.is_none() || worker != caller.device.worker {
                access::coordinates(caller, "read the figures of another worker")?;
            }
        }
        let Period { first, last } = ground.period;
        let end = ground.end(ground.period);
        match behind {
            Behind::Counted { kind, until } => {
                let days = (if until { EVER } else { first }, last);
                self.counted_behind(ground, figure, kind, days, token, limit).await
            }
            Behind::Overdue(sort) => self.overdue(ground, sort.as_deref(), token, limit).await,
            Behind::Attended { work, days } => {
                let days = days.map_or((first, last), |days| window(&work, days, end));
                let after = crate::page::after_id(token)?;
                let is_met = work == MET;
                let ids = self.store.attended_list(&ground.areas, &work, days, after, limit).await?;
                let next = crate::page::next(&ids, limit, |id| id.to_string());
                let mut found = self.store.numbered_of(&ids).await?;
                let is_dwelling =
                    |record: &Record| record.kind == Kind::Place && record.text("sort") == "dwelling";
                found.retain(|numbered| !is_met || is_dwelling(&numbered.record));
                // What was attended to here may be elsewhere by now, and an op may name any id.
                found.retain(|numbered| access::may_read(caller, &numbered.record));
                Ok((found, next))
            }
            Behind::NotReached => {
                let of_late = window(MET, ground.not_reached_days, end);
                let (mut found, next) = self
                    .counted_behind(ground, "place/dwelling", Kind::Place, (EVER, last), token, limit)
                    .await?;
                let ids: Vec<RecordId> = found.iter().map(|numbered| numbered.record.id).collect();
                let reached = self.store.attended_among(&ground.areas, MET, of_late, &ids).await?;
                found.retain(|numbered| !reached.contains(&numbered.record.id));
                Ok((found, next))
            }
        }
    }

    async fn counted_behind(
        &self,
        ground: &Ground,
        figure: &str,
        kind: Kind,
        days: (Date, Date),
        token: &str,
        limit: u32,
    ) -> Result<(Vec<Numbered>, String), Error> {
        let mut after = crate::page::after_day(token)?;
        let read_at_once = limit.max(SCANNED_RECORDS_PAGE);
        let mut found = Vec::new();
        let mut scanned = 0;
        loop {
            let page = self.store.counted_records(&ground.areas, kind, days, after, read_at_once).await?;
            let is_last = page.len() < read_at_once as usize;
            scanned += page.len();
            for (place, numbered) in page {
                if is_behind(&numbered.record, &ground.zone, figure) {
                    if found.len() == limit as usize {
                        return Ok((found, after.map(crate::page::day_token).unwrap_or_default()));
                    }
                    found.push(numbered);
                }
                after = Some(place);
            }
            if is_last {
                return Ok((found, String::new()));
            }
            if found.len() == limit as usize || scanned >= BEHIND_RECORDS_SCANNED_MAX {
                return Ok((found, after.map(crate::page::day_token).unwrap_or_default()));
            }
        }
    }

    async fn overdue(
        &self,
        ground: &Ground,
        sort: Option<&str>,
        token: &str,
        limit: u32,
    ) -> Result<(Vec<Numbered>, String), Error> {
        let today_ms = day_start_ms(ground.today, &ground.zone);
        let mut filter = RecordFilter {
            status: Some("open".to_owned()),
            due_until_ms: Some(today_ms),
            after: crate::page::after_record(token)?,
            ..RecordFilter::of(Kind::FollowUp, ground.areas.clone(), limit.max(SCANNED_RECORDS_PAGE))
        };
        let mut found = Vec::new();
        let mut scanned = 0;
        loop {
            let page = self.store.records(&filter).await?;
            let is_last = page.len() < filter.limit as usize;
            scanned += page.len();
            for numbered in page {
                let place = filter.place(&numbered);
                if sort.is_none_or(|sort| numbered.record.text("sort") == sort) {
                    if found.len() == limit as usize {
                        return Ok((found, filter.after.map(crate::page::record_token).unwrap_or_default()));
                    }
                    found.push(numbered);
                }
                filter.after = Some(place);
            }
            if is_last {
                return Ok((found, String::new()));
            }
            if found.len() == limit as usize || scanned >= BEHIND_RECORDS_SCANNED_MAX {
                return Ok((found, filter.after.map(crate::page::record_token).unwrap_or_default()));
            }
        }
    }
}

/// Reads counters for one question.
struct Counting<'a> {
    store: &'a Store,
    ground: &'a Ground,
    worker: Option<RecordId>,
    /// The ground is told area by area: what is read of it is read once for all of them.
    by_area: bool,
    sums: HashMap<SumFilter, HashMap<Option<AreaId>, Vec<Sum>>>,
    others: HashMap<(Date, Date), Vec<(AreaId, RecordId)>>,
}

impl<'a> Counting<'a> {
    fn new(store: &'a Store, ground: &'a Ground, worker: Option<RecordId>, by_area: bool) -> Self {
        Self { store, ground, worker, by_area, sums: HashMap::new(), others: HashMap::new() }
    }
}

impl Counting<'_> {
    /// The summary of some areas beside that of the period before.
    async fn compared(&mut self, areas: &[AreaId], before: Period) -> Result<Summary, Error> {
        let now = self.count(areas, self.ground.period, true).await?;
        let then = self.count(areas, before, false).await?;
        Ok(summarize(&now, Some(&then)))
    }

    async fn count(&mut self, areas: &[AreaId], period: Period, is_now: bool) -> Result<Counted, Error> {
        let not_reached_days = self.ground.not_reached_days;
        let mut counted = Counted { not_reached_days, ..Counted::default() };
        for segment in segments(period.first, period.last) {
            add(&mut counted.within, self.sums(areas, segment).await?, segment.sign);
        }
        if self.worker.is_some() {
            return Ok(counted);
        }
        let all = Segment { unit: Unit::Ever, first: EVER, last: EVER, sign: 1 };
        let ever = self.sums(areas, all).await?;
        let is_stock = |measure: &str| {
            ["place/", "asset/", "plan/", "commitment/", REACHED].iter().any(|kind| measure.starts_with(kind))
        };
        add(&mut counted.until, ever.iter().filter(|(measure, _)| is_stock(measure)).cloned(), 1);
        for segment in segments(days_later(period.last, 1), FAR) {
            let later = self.sums(areas, segment).await?;
            let later = later.into_iter().filter(|(measure, _)| is_stock(measure));
            add(&mut counted.until, later, -segment.sign);
        }
        // Who was reached of late will not be so any more one day, which says nothing yet.
        for segment in segments(days_later(self.ground.end(period), 1), period.last) {
            let to_come = self.sums(areas, segment).await?;
            let to_come = to_come.into_iter().filter(|(measure, _)| measure == REACHED);
            add(&mut counted.until, to_come, -segment.sign);
        }
        if is_now {
            let open = |(measure, count): (String, i64)| {
                let sort = measure.strip_prefix("follow_up/sort/")?.strip_suffix("/open")?;
                Some((sort.to_owned(), count))
            };
            add(&mut counted.overdue, ever.into_iter().filter_map(open), 1);
            for segment in segments(self.ground.today, FAR) {
                let not_yet = self.sums(areas, segment).await?;
                add(&mut counted.overdue, not_yet.into_iter().filter_map(open), -segment.sign);
            }
        }
        self.attended(areas, period, &mut counted).await?;
        Ok(counted)
    }

    /// Different things that were attended to: in the period, and in windows up to its end, or today if it is not over.
    async fn attended(
        &mut self,
        areas: &[AreaId],
        period: Period,
        counted: &mut Counted,
    ) -> Result<(), Error> {
        let Period { first, last } = period;
        let end = self.ground.end(period);
        let mut windows = BTreeSet::from([(MET.to_owned(), counted.not_reached_days)]);
        let mut works = BTreeSet::from([MET.to_owned()]);
        for measure in counted.until.keys() {
            let parts: Vec<&str> = measure.split('/').collect();
            match parts.as_slice() {
                ["plan", work, "gap", days] => {
                    works.insert((*work).to_owned());
                    windows.extend(days.parse().ok().map(|days| ((*work).to_owned(), days)));
                }
                ["plan", work] => drop(works.insert((*work).to_owned())),
                _ => {}
            }
        }
        counted.attended = if first.day() == 1 && months_between(first, last) < GAP_MONTHS_MAX {
            let rest = if last == last.last_of_month() { days_later(last, 1) } else { last.first_of_month() };
            let mut sums = Vec::new();
            for (unit, first, last) in
                [(Unit::AttendedMonth, first, days_later(rest, -1)), (Unit::AttendedMonthDay, rest, last)]
            {
                sums.extend(self.attended_sums(areas, unit, first, last, None).await?);
            }
            let sums = sums.iter().map(|(day, measure, count)| (*day, measure.as_str(), *count));
            different(Unit::AttendedMonth, first, sums)
        } else if period.days() <= GAP_DAYS_MAX {
            self.attended_within(areas, first, last, None).await?
        } else {
            let mut attended = BTreeMap::new();
            for work in works {
                let count = self.store.attended_count(areas, &work, (first, last)).await?;
                attended.insert(work, count);
            }
            attended
        };
        for (work, days) in windows {
            let (first, last) = window(&work, days, end);
            let length = Period { first, last }.days();
            let count = if work == MET && days == NOT_REACHED_DAYS {
                counted.until.get(REACHED).copied().unwrap_or_default()
            } else if length <= GAP_DAYS_MAX {
                let within = self.attended_within(areas, first, last, Some(&work)).await?;
                within.get(&work).copied().unwrap_or_default()
            } else {
                self.store.attended_count(areas, &work, (first, last)).await?
            };
            counted.lately.insert((work, days), count);
        }
        counted.others_met = self.others_met(areas, (first, last)).await?;
        let of_late = window(MET, counted.not_reached_days, end);
        counted.others_met_lately = self.others_met(areas, of_late).await?;
        Ok(())
    }

    /// Different things that were attended to within so few days that their counters tell; by one work if it is given.
    async fn attended_within(
        &mut self,
        areas: &[AreaId],
        first: Date,
        last: Date,
        work: Option<&str>,
    ) -> Result<BTreeMap<String, i64>, Error> {
        let sums = self.attended_sums(areas, Unit::AttendedDay, first, last, work).await?;
        let sums = sums.iter().map(|(day, measure, count)| (*day, measure.as_str(), *count));
        Ok(different(Unit::AttendedDay, first, sums))
    }

    /// A part for each day, week or month of the period that anything was counted in.
    async fn over_time(&mut self, unit: TimeUnit) -> Result<Vec<(String, Summary)>, Error> {
        let Period { first, last } = self.ground.period;
        let mut parts: BTreeMap<Date, Counted> = BTreeMap::new();
        let pieces = match unit {
            TimeUnit::Month => months_and_days(first, last),
            TimeUnit::Day | TimeUnit::Week => vec![Segment { unit: Unit::Day, first, last, sign: 1 }],
        };
        for Segment { unit: counter, first, last, .. } in pieces {
            let filter = SumFilter { by_day: true, ..self.filter(&self.ground.areas, counter, first, last) };
            for sum in self.read(&filter).await? {
                let day = sum.day.unwrap_or(first);
                let begins = Period::named(unit.name(), day).map_or(day, |part| part.first);
                add(&mut parts.entry(begins).or_default().within, [(sum.measure, sum.count)], 1);
            }
        }
        let is_of_time = |name: &str| {
            !["dwelling/", "follow_up/overdue"].iter().any(|of_things| name.starts_with(of_things))
        };
        Ok(parts
            .into_iter()
            .map(|(day, counted)| {
                let mut summary = summarize(&counted, None);
                summary.figures.retain(|figure| is_of_time(&figure.name));
                (day.to_string(), summary)
            })
            .collect())
    }

    fn filter(&self, areas: &[AreaId], unit: Unit, first: Date, last: Date) -> SumFilter {
        let under = self.worker.map(|worker| format!("worker/{worker}"));
        SumFilter { areas: areas.to_vec(), unit, first, last, by_area: false, by_day: false, under }
    }

    async fn sums(&mut self, areas: &[AreaId], segment: Segment) -> Result<Vec<(String, i64)>, Error> {
        let Segment { unit, first, last, .. } = segment;
        let sums = self.read(&self.filter(areas, unit, first, last)).await?;
        Ok(sums.into_iter().map(|sum| (sum.measure, sum.count)).collect())
    }

    async fn attended_sums(
        &mut self,
        areas: &[AreaId],
        unit: Unit,
        first: Date,
        last: Date,
        work: Option<&str>,
    ) -> Result<Vec<(Date, String, i64)>, Error> {
        let under = work.map(str::to_owned);
        let filter = SumFilter { by_day: true, under, ..self.filter(areas, unit, first, last) };
        let sums = self.read(&filter).await?;
        Ok(sums.into_iter().filter_map(|sum| Some((sum.day?, sum.measure, sum.count))).collect())
    }

    /// The sums that a filter asks for; one of some areas is answered from what was read of all.
    async fn read(&mut self, filter: &SumFilter) -> Result<Vec<Sum>, Error> {
        if !self.by_area {
            return Ok(self.store.sums(filter).await?);
        }
        let all = SumFilter { areas: self.ground.areas.clone(), by_area: true, ..filter.clone() };
        let read = match self.sums.entry(all) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => {
                let mut by_area: HashMap<Option<AreaId>, Vec<Sum>> = HashMap::new();
                for sum in self.store.sums(entry.key()).await? {
                    by_area.entry(sum.area).or_default().push(sum);
                }
                entry.insert(by_area)
            }
        };
        let mut added: BTreeMap<(Option<Date>, &str), i64> = BTreeMap::new();
        for sum in filter.areas.iter().filter_map(|area| read.get(&Some(*area))).flatten() {
            *added.entry((sum.day, &sum.measure)).or_default() += sum.count;
        }
        Ok(added
            .into_iter()
            .map(|((day, measure), count)| Sum { area: None, day, measure: measure.to_owned(), count })
            .collect())
    }

    /// How many were met in some areas that are no dwellings.
    async fn others_met(&mut self, areas: &[AreaId], days: (Date, Date)) -> Result<i64, Error> {
        let read = match self.others.entry(days) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => {
                let found = self.store.attended_others(&self.ground.areas, MET, days).await?;
                entry.insert(found)
            }
        };
        let areas: HashSet<&AreaId> = areas.iter().collect();
        let met: HashSet<RecordId> =
            read.iter().filter(|(area, _)| areas.contains(area)).map(|(_, other)| *other).collect();
        Ok(met.len() as i64)
    }
}

fn add(sums: &mut BTreeMap<String, i64>, more: impl IntoIterator<Item = (String, i64)>, sign: i64) {
    for (measure, count) in more {
        let sum = sums.entry(measure).or_default();
        *sum += sign * count;
    }
    sums.retain(|_, sum| *sum != 0);
}
