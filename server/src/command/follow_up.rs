//! What is due and why, from a shell, over gRPC, with the token of an enrolled device file.

use super::coordinate::{Line, SignIn, find_area, said};
use super::print::{self, hint, say};
use clap::{Args, Subcommand, ValueEnum};
use jiff::civil::Date;
use jiff::tz::TimeZone;
use rounds_domain::op::Step;
use rounds_domain::recurrence::{day_end_ms, day_start_ms, days_later, local_day};
use rounds_domain::{Action, Kind, Record, RecordId};
use rounds_proto::{id_from_wire, kind_to_wire, op_from_wire, record_from_wire, v1};
use rounds_server::Clock;
use serde_json::{Value, json};
use std::collections::{BTreeSet, HashMap};
use std::ops::Range;
use std::process::ExitCode;
use std::str::FromStr;

/// See what is due, and why.
#[derive(Args, Debug)]
pub(crate) struct FollowUps {
    #[command(flatten)]
    sign_in: SignIn,
    #[command(subcommand)]
    act: Act,
}

#[derive(Subcommand, Debug)]
enum Act {
    /// List follow-ups, the most urgent first.
    List(List),
    /// Say why there is a follow-up: what it follows from, the rule, and the op that caused it.
    Why {
        /// The follow-up's id.
        follow_up: String,
    },
}

#[derive(Args, Debug)]
struct List {
    /// today, overdue, week (today and the six days after it), or a day: 2026-12-01. Days are those of the area.
    #[arg(long, value_name = "WHEN")]
    due: Option<Due>,
    /// Only in this area and those below it: its id or name.
    #[arg(long, value_name = "AREA")]
    area: Option<String>,
    /// Only of this sort: maintenance, watering, recheck, second_call, ...
    #[arg(long, value_name = "SORT")]
    kind: Option<String>,
    /// Only those of the worker whom the device was enrolled for, of that worker's groups, and of what these adopted.
    #[arg(long)]
    mine: bool,
    /// Only in this stage.
    #[arg(long, default_value = "open", value_parser = ["open", "done", "missed", "cancelled"])]
    stage: String,
    /// How to print them; JSON is one object a line.
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum, Debug)]
enum Format {
    Table,
    Json,
}

/// When something is due, in the days of its area.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Due {
    Today,
    Overdue,
    Week,
    On(Date),
}

impl FromStr for Due {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "today" => Ok(Self::Today),
            "overdue" => Ok(Self::Overdue),
            "week" => Ok(Self::Week),
            day => day
                .parse()
                .map(Self::On)
                .map_err(|_| "use today, overdue, week, or a day: 2026-12-01".to_owned()),
        }
    }
}

impl Due {
    /// The first ms, and the first behind it, since 1970 UTC.
    fn range(self, now_ms: i64, zone: &TimeZone) -> Range<i64> {
        let days =
            |first: Date, last: Date| day_start_ms(first, zone)..day_end_ms(last, zone).saturating_add(1);
        let today = local_day(now_ms, zone);
        match self {
            Self::Overdue => 0..now_ms,
            Self::Today => days(today, today),
            Self::Week => days(today, days_later(today, 6)),
            Self::On(day) => days(day, day),
        }
    }
}

impl FollowUps {
    pub(crate) async fn run(self) -> Result<ExitCode, String> {
        let mut shell = Shell { line: self.sign_in.open()?, known: HashMap::new() };
        let now_ms = Clock::system().now_ms();
        match self.act {
            Act::List(list) => {
                let worker = if list.mine { Some(self.sign_in.worker()?) } else { None };
                let as_json = self.sign_in.json || list.format == Format::Json;
                shell.list(list, worker, now_ms, as_json).await?;
            }
            Act::Why { follow_up } => shell.why(&follow_up, self.sign_in.json).await?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

struct Shell {
    line: Line,
    /// Records that were asked for; `None` is not to be seen.
    known: HashMap<RecordId, Option<Record>>,
}

impl Shell {
    async fn list(
        &mut self,
        list: List,
        worker: Option<RecordId>,
        now_ms: i64,
        as_json: bool,
    ) -> Result<(), String> {
        let areas = self.line.areas().await?;
        let area = list.area.as_deref().map(|wanted| find_area(&areas, wanted)).transpose()?;
        let mine = match worker {
            Some(worker) => Some(self.mine(worker).await?),
            None => None,
        };
        let range = |zone: &TimeZone| list.due.map_or(0..i64::MAX, |due| due.range(now_ms, zone));
        // Days begin and end at different times in different areas: the longest is asked for.
        let ranges: Vec<_> = areas.values().map(|area| range(&area_zone(area))).collect();
        let request = v1::ListRecordsRequest {
            kind: kind_to_wire(Kind::FollowUp).into(),
            area: area.map(|area| area.to_string()).unwrap_or_default(),
            subtree: true,
            status: list.stage,
            due_from_ms: Some(ranges.iter().map(|range| range.start).min().unwrap_or(0)),
            due_until_ms: Some(ranges.iter().map(|range| range.end).max().unwrap_or(i64::MAX)),
            ..Default::default()
        };
        let mut found = self.line.records(request).await?;
        found.retain(|record| {
            let of_area = areas.get(&record.area);
            of_area.is_none_or(|area| range(&area_zone(area)).contains(&due_ms(record)))
                && list.kind.as_deref().is_none_or(|kind| record.text("sort") == kind)
                && mine.as_ref().is_none_or(|mine| {
                    let adopted = record.reference("adoption");
                    assignee(record).or(adopted).is_some_and(|id| mine.contains(&id))
                })
        });
        found.sort_by_key(|record| (due_ms(record), record.id));
        if found.is_empty() {
            hint!("there are none");
        }
        let mut lines = String::new();
        for record in found {
            let area = areas.get(&record.area);
            let zone = area.map_or(TimeZone::UTC, area_zone);
            let area_name = area.map_or_else(|| record.area.to_string(), |area| area.text("name").to_owned());
            let subject = self.name(record.reference("subject")).await?;
            let responsible = self.name(assignee(&record)).await?;
            let is_overdue = record.status == "open" && due_ms(&record) < now_ms;
            if as_json {
                let line = json!({
                    "follow_up": record.id, "stage": record.status, "sort": record.text("sort"),
                    "due_at_ms": due_ms(&record), "due": local_moment(due_ms(&record), &zone),
                    "overdue": is_overdue, "area": record.area, "area_name": area_name,
                    "subject": record.reference("subject"), "subject_name": subject,
                    "source": record.reference("source"), "responsible": assignee(&record),
                    "responsible_name": responsible,
                });
                lines += &format!("{line}\n");
                continue;
            }
            let mark = if is_overdue { "overdue" } else { record.status.as_str() };
            let (due, sort) = (local_moment(due_ms(&record), &zone), record.text("sort"));
            lines +=
                &format!("{due}\t{mark}\t{sort}\t{subject}\t{area_name}\t{responsible}\t{}\n", record.id);
        }
        print::lines(format_args!("{lines}"));
        Ok(())
    }

    async fn why(&mut self, wanted: &str, as_json: bool) -> Result<(), String> {
        let id: RecordId = id_from_wire("follow_up", wanted).map_err(|refusal| refusal.detail)?;
        let record =
            self.record(id).await?.ok_or_else(|| format!("there is no follow-up {wanted} in your areas"))?;
        if record.kind != Kind::FollowUp {
            return Err(format!("{wanted} is a {}, no follow-up", record.kind.name()));
        }
        let area = self.record(record.area.into()).await?;
        let zone = area.as_ref().map_or(TimeZone::UTC, area_zone);
        let source = match record.reference("source") {
            Some(source) => self.record(source).await?,
            None => None,
        };
        let versions = match &source {
            Some(source) => self.versions(source.id).await?,
            None => Vec::new(),
        };
        let cause = versions.iter().position(|version| version.op == record.text("cause"));
        let is_of_plan = source.as_ref().is_some_and(|source| source.kind == Kind::Plan);
        let version = cause.filter(|_| is_of_plan).map(|at| at + 1);
        if as_json {
            say!("{}", why_json(&record, source.as_ref(), cause.map(|at| &versions[at]), version));
            return Ok(());
        }
        let subject = self.name(record.reference("subject")).await?;
        let (sort, due) = (record.text("sort"), local_moment(due_ms(&record), &zone));
        say!("{sort} of {subject}, due {due}: {}", record.status);
        match &source {
            Some(source) => {
                say!("it follows from the {} {} ({})", source.kind.name(), title(source), source.id)
            }
            None => say!("what it follows from is not in your areas"),
        }
        if !record.text("rule").is_empty() {
            say!("by the rule: {}", record.text("rule"));
        }
        match cause {
            Some(at) => {
                let cause = &versions[at];
                let who = self.name(cause.worker).await?;
                let by = if who.is_empty() { String::new() } else { format!(" by {who}") };
                let when = local_moment(cause.at_ms, &zone);
                let which = match version {
                    Some(number) => format!("version {number} of the plan"),
                    None => "the cause".to_owned(),
                };
                let (op, what) = (&cause.op, &cause.what);
                say!("{which}: {when}{by}, op {op}: {what}");
            }
            None if record.text("cause").is_empty() => say!("it does not say which op called for it"),
            None => say!("called for by op {}, which cannot be shown", record.text("cause")),
        }
        say!("made {} by op {}", local_moment(record.created.at_ms, &zone), record.created.op);
        for taken in &record.steps {
            let who = self.name(taken.trace.worker).await?;
            let by = if who.is_empty() { String::new() } else { format!(" by {who}") };
            let when = local_moment(taken.trace.at_ms, &zone);
            say!("{when}{by}, op {}: {}", taken.trace.op, step_in_words(&taken.step));
        }
        Ok(())
    }

    /// The ops of a record that changed what it says, in their order: its versions.
    async fn versions(&self, record: RecordId) -> Result<Vec<Version>, String> {
        let took_effect = |entry: &v1::HistoryEntry| {
            let today = entry.today.as_ref().map(v1::Verdict::outcome);
            matches!(today, Some(v1::Outcome::Applied | v1::Outcome::ConflictRecorded))
        };
        let of_entry = |entry: v1::HistoryEntry| Version {
            op: format!("{}/{}", entry.device, entry.seq),
            at_ms: entry.at_ms,
            worker: entry.worker.parse().ok(),
            what: entry
                .op
                .and_then(|op| op_from_wire(op).ok())
                .map_or_else(String::new, |op| in_words(&op.action)),
        };
        Ok(self.line.ops(record).await?.into_iter().filter(took_effect).map(of_entry).collect())
    }

    /// The worker, the groups that it belongs to, and what these adopted.
    async fn mine(&self, worker: RecordId) -> Result<BTreeSet<RecordId>, String> {
        let request = v1::ListRecordsRequest { kind: kind_to_wire(Kind::Group).into(), ..Default::default() };
        let is_member = |group: &Record| {
            let members = group.fields.get("members").and_then(Value::as_array);
            members.is_some_and(|members| members.contains(&json!(worker)))
        };
        let groups = self.line.records(request).await?.into_iter().filter(is_member);
        let mut mine: BTreeSet<RecordId> = groups.map(|group| group.id).chain([worker]).collect();
        let request =
            v1::ListRecordsRequest { kind: kind_to_wire(Kind::Adoption).into(), ..Default::default() };
        let adoptions = self.line.records(request).await?.into_iter();
        let is_mine =
            |adoption: &Record| adoption.reference("group").is_some_and(|group| mine.contains(&group));
        let adopted: Vec<_> = adoptions.filter(is_mine).map(|adoption| adoption.id).collect();
        mine.extend(adopted);
        Ok(mine)
    }

    async fn record(&mut self, id: RecordId) -> Result<Option<Record>, String> {
        if let Some(known) = self.known.get(&id) {
            return Ok(known.clone());
        }
        let request = self.line.signed(v1::GetRecordRequest { id: id.to_string() });
        let found = match self.line.directory().get_record(request).await {
            Ok(answer) => answer.into_inner().record,
            Err(status) if status.code() == tonic::Code::NotFound => None,
            Err(status) => return Err(said(status)),
        };
        let record = found.map(record_from_wire).transpose().map_err(|refusal| refusal.detail)?;
        let record = record.map(|(record, _)| record);
        self.known.insert(id, record.clone());
        Ok(record)
    }

    /// What people call a record; its id where it cannot be seen, nothing where there is none.
    async fn name(&mut self, id: Option<RecordId>) -> Result<String, String> {
        let Some(id) = id else { return Ok(String::new()) };
        let record = self.record(id).await?;
        Ok(record
            .map(|record| title(&record))
            .filter(|title| !title.is_empty())
            .unwrap_or_else(|| id.to_string()))
    }
}

/// An op that changed what a record says.
struct Version {
    /// Device and number.
    op: String,
    at_ms: i64,
    worker: Option<RecordId>,
    what: String,
}

fn why_json(
    record: &Record,
    source: Option<&Record>,
    cause: Option<&Version>,
    version: Option<usize>,
) -> Value {
    json!({
        "follow_up": record.id,
        "stage": record.status,
        "sort": record.text("sort"),
        "due_at_ms": due_ms(record),
        "source": record.reference("source"),
        "source_kind": source.map(|source| source.kind.name()),
        "rule": record.text("rule"),
        "cause": record.text("cause"),
        "version": version,
        "cause_at_ms": cause.map(|cause| cause.at_ms),
        "cause_worker": cause.and_then(|cause| cause.worker),
        "cause_in_words": cause.map(|cause| cause.what.as_str()),
        "made_by": record.created.op.to_string(),
        "made_at_ms": record.created.at_ms,
    })
}

/// The time zone of this record of an area.
fn area_zone(area: &Record) -> TimeZone {
    TimeZone::get(area.text("time_zone")).unwrap_or(TimeZone::UTC) // a server that knows newer zones took it in
}

/// A moment as people read it where it happens.
fn local_moment(ms: i64, zone: &TimeZone) -> String {
    match jiff::Timestamp::from_millisecond(ms) {
        Ok(at) => zone.to_datetime(at).strftime("%Y-%m-%d %H:%M").to_string(),
        Err(_) => format!("{ms} ms"),
    }
}

fn due_ms(follow_up: &Record) -> i64 {
    follow_up.fields.get("due_at_ms").and_then(Value::as_i64).unwrap_or_default()
}

/// Who does it.
fn assignee(follow_up: &Record) -> Option<RecordId> {
    ["worker", "group", "organization"].iter().find_map(|field| follow_up.reference(field))
}

/// What people call a record.
fn title(record: &Record) -> String {
    let said = ["name", "sort", "category", "covers", "purpose"].iter().map(|field| record.text(field));
    said.into_iter().find(|said| !said.is_empty()).unwrap_or_default().to_owned()
}

fn in_words(action: &Action) -> String {
    let (what, reason) = match action {
        Action::Create(_) => ("created".to_owned(), ""),
        Action::Edit { changes, reason } => {
            let fields: Vec<_> = changes.iter().map(|change| change.field.as_str()).collect();
            (format!("changed {}", fields.join(", ")), reason.as_str())
        }
        Action::Step(step) => return step_in_words(step),
        Action::Move { to } => (format!("moved to area {to}"), ""),
        Action::Delete { reason } => ("deleted".to_owned(), reason.as_str()),
        Action::Settle { .. } => ("settled disputes".to_owned(), ""),
    };
    with_reason(what, reason)
}

fn step_in_words(step: &Step) -> String {
    let evidence = step.evidence.map_or_else(String::new, |id| format!(", as {id} shows"));
    with_reason(format!("became {}{evidence}", step.to), &step.reason)
}

fn with_reason(what: String, reason: &str) -> String {
    if reason.is_empty() { what } else { format!("{what}, because: {reason}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(text: &str) -> i64 {
        text.parse::<jiff::Timestamp>().unwrap().as_millisecond()
    }

    #[test]
    fn today_is_the_local_day_of_the_area() {
        let now_ms = ms("2026-11-22T20:00:00Z"); // in Shanghai it is Monday already
        let range = |due: Due, zone: &str| due.range(now_ms, &TimeZone::get(zone).unwrap());
        let shanghai = ms("2026-11-22T16:00:00Z")..ms("2026-11-23T16:00:00Z");
        assert_eq!(range(Due::Today, "Asia/Shanghai"), shanghai);
        assert_eq!(
            range(Due::Today, "Europe/Berlin"),
            ms("2026-11-21T23:00:00Z")..ms("2026-11-22T23:00:00Z")
        );
        assert_eq!(range(Due::Week, "Asia/Shanghai"), shanghai.start..ms("2026-11-29T16:00:00Z"));
        assert_eq!(range(Due::Overdue, "Asia/Shanghai"), 0..now_ms);
        let changing = Due::On("2026-10-25".parse().unwrap());
        assert_eq!(range(changing, "Europe/Berlin"), ms("2026-10-24T22:00:00Z")..ms("2026-10-25T23:00:00Z"));
    }

    #[test]
    fn when_is_said_in_words_or_as_a_day() {
        assert_eq!("today".parse(), Ok(Due::Today));
        assert_eq!("week".parse(), Ok(Due::Week));
        assert_eq!("overdue".parse(), Ok(Due::Overdue));
        assert_eq!("2026-12-01".parse(), Ok(Due::On("2026-12-01".parse().unwrap())));
        for text in ["", "tomorrow", "2026-13-01", "Today"] {
            assert!(text.parse::<Due>().unwrap_err().contains("2026-12-01"), "{text}");
        }
    }
}
