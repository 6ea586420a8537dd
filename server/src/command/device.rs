//! `rounds device`: a shell plays a phone. A thin layer over the device library.

use super::phone::Clocks;
use super::print::{self, say};
use super::{moment, with_causes};
use clap::{Args, Subcommand};
use rounds_device::{Client, Device, Draft, Next, View, enrol};
use rounds_domain::body::{self, Answer, Fields};
use rounds_domain::op::Step;
use rounds_domain::record::{Matter, Standing};
use rounds_domain::{Action, AreaId, Body, ContactData, DeviceId, Kind, OpId, Record, RecordId};
use rounds_server::{Clock, Random};
use serde_json::Value;
use std::io::{BufRead, IsTerminal};
use std::path::PathBuf;
use std::process::ExitCode;

/// Be a phone: what it records is kept in one file, and sent when it syncs.
#[derive(Args, Debug)]
pub(crate) struct DeviceCommand {
    /// The file of the phone.
    #[arg(long, value_name = "FILE", env = "ROUNDS_DEVICE", default_value = "device.rounds")]
    store: PathBuf,
    /// Print JSON, for scripts.
    #[arg(long, global = true)]
    json: bool,
    #[command(flatten)]
    clocks: Clocks,
    #[command(subcommand)]
    act: Act,
}

#[derive(Subcommand, Debug)]
enum Act {
    /// Become a device of a server, with a one-time code.
    Enrol {
        /// The code; "-" reads it from the input, so that it does not show in lists of processes.
        #[arg(long, default_value = "-")]
        code: String,
        /// The server.
        #[arg(long, default_value = "http://127.0.0.1:8321")]
        server: String,
        /// What people call the device.
        #[arg(long, default_value = "shell")]
        label: String,
        /// Certificates that vouch for the server, in PEM, if those of the web do not.
        #[arg(long, value_name = "FILE")]
        ca: Option<PathBuf>,
    },
    /// Say who the device is, and how things stand.
    Status,
    /// Send what was recorded, and fetch what changed.
    Sync,
    /// List what is due.
    Today,
    /// List records of a kind, or places and assets of a sort: visit, request, dwelling, elevator, ...
    List {
        /// The kind or sort.
        what: String,
    },
    /// Show a record.
    Show {
        /// Its id, the beginning of its id, or its printed code.
        record: String,
    },
    /// Record a visit, with the requests raised in it.
    Visit {
        /// The dwelling or organization: its id, the beginning of it, or its printed code.
        subject: String,
        /// What for: routine, recheck, persuasion, ...
        #[arg(long, default_value = "routine")]
        purpose: String,
        /// What came of it: met, no_answer, refused, moved, ...
        #[arg(long)]
        outcome: String,
        /// What there is to say about the place or the service.
        #[arg(long, default_value = "")]
        note: String,
        /// A request that was raised: CATEGORY=DESCRIPTION. May be repeated.
        #[arg(long, value_name = "CATEGORY=DESCRIPTION", value_parser = pair)]
        request: Vec<(String, String)>,
        /// The follow-up that it does.
        #[arg(long, value_name = "ID")]
        follow_up: Option<String>,
    },
    /// Record an inspection.
    Inspect {
        /// The asset or place.
        subject: String,
        /// pass, fail or needs_attention.
        #[arg(long)]
        result: String,
        /// What was found.
        #[arg(long, default_value = "")]
        findings: String,
        /// An answer to a question of the checklist. May be repeated.
        #[arg(long, value_name = "KEY=VALUE", value_parser = pair)]
        answer: Vec<(String, String)>,
        /// What was done with it, in the words of plans: maintenance, watering; nothing for a check only.
        #[arg(long, default_value = "")]
        sort: String,
        /// The checklist.
        #[arg(long, value_name = "ID")]
        checklist: Option<String>,
        /// The follow-up that it does.
        #[arg(long, value_name = "ID")]
        follow_up: Option<String>,
        /// The commitment that the work is a part of.
        #[arg(long, value_name = "ID")]
        commitment: Option<String>,
        /// How much of the commitment was done, in its unit; 1 if not said.
        #[arg(long)]
        quantity: Option<f64>,
    },
    /// Record a request.
    Request {
        /// Where the trouble is.
        subject: String,
        /// water, power, heating, elevator, noise, ...
        #[arg(long)]
        category: String,
        /// visit, meeting, phone, walk_in, ...
        #[arg(long, default_value = "walk_in")]
        channel: String,
        /// What is asked for.
        #[arg(long, default_value = "")]
        description: String,
        /// Ask for the name and the phone number of who raised it, or read a line for each from the input. They are in no
        /// list of processes, and in no record: see `contact`.
        #[arg(long)]
        contact: bool,
    },
    /// Ask the server how to reach who raised a request. It writes down who asked.
    Contact {
        /// The request.
        request: String,
    },
    /// Record a violation.
    Violation {
        /// Where.
        subject: String,
        /// illegal_structure, occupied_green, dumping, graffiti, ...
        #[arg(long)]
        sort: String,
        /// What is there to see.
        #[arg(long, default_value = "")]
        description: String,
    },
    /// Create a record of any kind.
    Create {
        /// The kind.
        kind: String,
        /// The area: its id or name. Not for areas.
        #[arg(long, default_value = "")]
        area: String,
        /// What it says.
        #[arg(value_name = "FIELD=VALUE", value_parser = pair)]
        fields: Vec<(String, String)>,
    },
    /// Change fields of a record; an empty value empties the field.
    Edit {
        /// The record.
        record: String,
        /// The fields.
        #[arg(value_name = "FIELD=VALUE", required = true, value_parser = pair)]
        fields: Vec<(String, String)>,
        /// Why; needed to amend a visit or an inspection.
        #[arg(long, default_value = "")]
        reason: String,
    },
    /// Take a record to another stage.
    Step {
        /// The request, violation, follow-up or adoption.
        record: String,
        /// The stage: triaged, referred, stopped, removed, done, ...
        to: String,
        /// Why.
        #[arg(long, default_value = "")]
        reason: String,
        /// The organization that a request is referred to.
        #[arg(long, value_name = "ID")]
        organization: Option<String>,
        /// Until when: 2026-12-01T12:00:00Z. A referral without it gets the time that its category allows.
        #[arg(long, value_name = "TIME")]
        due: Option<jiff::Timestamp>,
        /// The visit, inspection or attachment that shows it.
        #[arg(long, value_name = "ID")]
        evidence: Option<String>,
        /// What came of it, for a follow-up that is done.
        #[arg(long, default_value = "")]
        outcome: String,
        /// When the work was done, if that was before now: 2026-11-20T09:00:00Z
        #[arg(long, value_name = "TIME")]
        done: Option<jiff::Timestamp>,
    },
    /// Move a record to another area, as a coordinator.
    Move {
        /// The record.
        record: String,
        /// The area: its id or name.
        area: String,
    },
    /// Delete a record for ever, as a coordinator.
    Delete {
        /// The record.
        record: String,
        /// Why.
        #[arg(long)]
        reason: String,
    },
    /// Lay the disputes of a record aside, as a coordinator who has looked at them.
    Settle {
        /// The record.
        record: String,
    },
    /// List what the server does not have yet or did not do as asked, and why.
    Pending,
    /// Print all of that, ops included, to be kept elsewhere.
    Export,
    /// Show an op no more in `pending`.
    Dismiss {
        /// The op, as `pending` names it: DEVICE/NUMBER.
        op: String,
    },
}

impl DeviceCommand {
    /// Does it.
    pub(crate) async fn run(self) -> Result<ExitCode, String> {
        let device = Device::open(&self.store).map_err(|error| with_causes(&error))?;
        let mut shell = Shell { device, clocks: self.clocks, json: self.json };
        match self.act {
            Act::Enrol { code, server, label, ca } => shell.enrol(&code, &server, &label, ca).await,
            Act::Status => shell.status(),
            Act::Sync => return shell.sync().await,
            Act::Today => {
                let due =
                    shell.device.today(Clock::system().now_ms()).map_err(|error| with_causes(&error))?;
                shell.print(&due);
                Ok(())
            }
            Act::List { what } => shell.list(&what),
            Act::Show { record } => shell.show(&record),
            Act::Visit { subject, purpose, outcome, note, request, follow_up } => {
                let subject = shell.find(&subject)?.record;
                let visit = new_id()?;
                let follow_up = shell.find_id(follow_up.as_deref())?;
                let body = body::Visit {
                    subject: Some(subject.id),
                    purpose,
                    outcome: outcome.clone(),
                    note,
                    follow_up,
                    violation: None,
                };
                let mut group = vec![Draft::create(visit, subject.area, Body::Visit(body))];
                for (category, description) in request {
                    let body = body::Request {
                        subject: Some(subject.id),
                        category,
                        channel: "visit".to_owned(),
                        description,
                        visit: Some(visit),
                        ..body::Request::default()
                    };
                    group.push(Draft::create(new_id()?, subject.area, Body::Request(body)));
                }
                shell.record_done(group, follow_up, visit, &outcome)
            }
            Act::Inspect {
                subject,
                result,
                findings,
                answer,
                sort,
                checklist,
                follow_up,
                commitment,
                quantity,
            } => {
                let subject = shell.find(&subject)?.record;
                let inspection = new_id()?;
                let follow_up = shell.find_id(follow_up.as_deref())?;
                let body = body::Inspection {
                    subject: Some(subject.id),
                    checklist: shell.find_id(checklist.as_deref())?,
                    answers: answer.into_iter().map(|(key, value)| Answer { key, value }).collect(),
                    result: result.clone(),
                    findings,
                    follow_up,
                    sort,
                    commitment: shell.find_id(commitment.as_deref())?,
                    quantity,
                };
                let group = vec![Draft::create(inspection, subject.area, Body::Inspection(body))];
                shell.record_done(group, follow_up, inspection, &result)
            }
            Act::Request { subject, category, channel, description, contact } => {
                let contact = if contact { Some(read_contact()?) } else { None };
                let subject = shell.find(&subject)?.record;
                let body = body::Request {
                    subject: Some(subject.id),
                    category,
                    channel,
                    description,
                    ..body::Request::default()
                };
                let request = new_id()?;
                shell.record(vec![Draft::create(request, subject.area, Body::Request(body))])?;
                match contact {
                    Some(contact) if !contact.is_empty() => {
                        let given = shell.device.give_contact(request, &contact);
                        given.map_err(|error| with_causes(&error))
                    }
                    _ => Ok(()),
                }
            }
            Act::Contact { request } => return shell.contact(&request).await,
            Act::Violation { subject, sort, description } => {
                let subject = shell.find(&subject)?.record;
                let body = body::Violation {
                    subject: Some(subject.id),
                    sort,
                    description,
                    ..body::Violation::default()
                };
                shell.record(vec![Draft::create(new_id()?, subject.area, Body::Violation(body))])
            }
            Act::Create { kind, area, fields } => shell.create(&kind, &area, fields),
            Act::Edit { record, fields, reason } => {
                let seen = shell.find(&record)?.record;
                let values = values(seen.kind, fields)?;
                shell.record(vec![Draft::edit(&seen, values, &reason)])
            }
            Act::Step { record, to, reason, organization, due, evidence, outcome, done } => {
                let seen = shell.find(&record)?.record;
                let step = Step {
                    due_at_ms: shell.due_ms(&seen, &to, due)?,
                    to,
                    reason,
                    organization: shell.find_id(organization.as_deref())?,
                    evidence: shell.find_id(evidence.as_deref())?,
                    outcome,
                    done_at_ms: done.map(jiff::Timestamp::as_millisecond),
                };
                shell.record(vec![Draft::on(&seen, Action::Step(step))])
            }
            Act::Move { record, area } => {
                let seen = shell.find(&record)?.record;
                let to = shell.find_area(&area)?;
                shell.record(vec![Draft::on(&seen, Action::Move { to })])
            }
            Act::Delete { record, reason } => {
                let seen = shell.find(&record)?.record;
                shell.record(vec![Draft::on(&seen, Action::Delete { reason })])
            }
            Act::Settle { record } => {
                let seen = shell.find(&record)?.record;
                let disputes = seen.disputes.iter().map(|dispute| dispute.op).collect();
                shell.record(vec![Draft::on(&seen, Action::Settle { disputes })])
            }
            Act::Pending => shell.pending(),
            Act::Export => {
                let exported = shell.device.export().map_err(|error| with_causes(&error))?;
                print::lines(format_args!("{exported}"));
                Ok(())
            }
            Act::Dismiss { op } => {
                let op = op_id(&op)?;
                shell.device.dismiss(op).map_err(|error| with_causes(&error))
            }
        }?;
        Ok(ExitCode::SUCCESS)
    }
}

/// The phone, and how it talks.
struct Shell {
    device: Device,
    clocks: Clocks,
    json: bool,
}

impl Shell {
    async fn enrol(
        &mut self,
        code: &str,
        server: &str,
        label: &str,
        ca: Option<PathBuf>,
    ) -> Result<(), String> {
        let ca = ca
            .map(|path| std::fs::read(&path).map_err(|error| format!("{}: {error}", path.display())))
            .transpose()?;
        let code = if code == "-" { read_code()? } else { code.to_owned() };
        let identity =
            enrol(&mut self.device, server, ca, &code, label).await.map_err(|error| with_causes(&error))?;
        say!("enrolled as {} ({})", identity.device, identity.role.name());
        Ok(())
    }

    fn status(&self) -> Result<(), String> {
        let status = self.device.status().map_err(|error| with_causes(&error))?;
        if let Some(identity) = &status.identity {
            say!("{identity:?}");
        }
        say!(
            "{:?}; {} records; {} ops recorded, {} not sent yet; assignment {}",
            status.standing,
            status.records,
            status.recorded_ops,
            status.unsent_ops,
            status.scope_version
        );
        Ok(())
    }

    async fn sync(self) -> Result<ExitCode, String> {
        let mut client = Client::new(self.device).map_err(|error| with_causes(&error))?;
        let summary = client.sync_until_quiet(&self.clocks).await.map_err(|error| with_causes(&error))?;
        say!("{} ops acknowledged, {} changes pulled", summary.acknowledged, summary.pulled);
        if summary.forked {
            say!(
                "this phone was a copy of another: it has a name of its own now, and sent its work under it"
            );
        }
        if let Some(refusal) = summary.unreadable {
            say!("the server sends what this program cannot read: upgrade it ({refusal})");
        }
        match summary.next {
            Next::Wiped => say!("this phone was revoked: its work was handed over, and it was wiped"),
            Next::AskLater => say!("the server put some ops off: sync again in a while"),
            _ => {}
        }
        let held = client.device().contacts_held().map_err(|error| with_causes(&error))?;
        if held > 0 {
            say!("the server has not taken the contact data of {held} requests yet");
        }
        let pending = client.device().pending().map_err(|error| with_causes(&error))?;
        if !pending.is_empty() {
            say!("{} ops are pending; `rounds device pending` says why", pending.len());
        }
        Ok(ExitCode::SUCCESS)
    }

    async fn contact(self, request: &str) -> Result<ExitCode, String> {
        let request = self.find(request)?.record.id;
        let client = Client::new(self.device).map_err(|error| with_causes(&error))?;
        match client.read_contact(request).await.map_err(|error| with_causes(&error))? {
            Some(ContactData { name, phone }) => say!("{name}\t{phone}"),
            None => say!("nobody said how to reach them, or it was erased"),
        }
        Ok(ExitCode::SUCCESS)
    }

    fn list(&self, what: &str) -> Result<(), String> {
        let listed = |kind| self.device.list(kind).map_err(|error| with_causes(&error));
        if let Some(kind) = Kind::ALL.iter().find(|kind| kind.name() == what) {
            self.print(&listed(*kind)?);
            return Ok(());
        }
        let mut views = listed(Kind::Place)?;
        views.extend(listed(Kind::Asset)?);
        views.retain(|view| view.record.text("sort") == what);
        if views.is_empty() {
            let kinds: Vec<_> = Kind::ALL.iter().map(|kind| kind.name()).collect();
            return Err(format!(
                "there is nothing of the sort {what} here; the kinds are {}",
                kinds.join(", ")
            ));
        }
        self.print(&views);
        Ok(())
    }

    fn show(&self, wanted: &str) -> Result<(), String> {
        let view = self.find(wanted)?;
        if self.json {
            self.print(std::slice::from_ref(&view));
            return Ok(());
        }
        let record = &view.record;
        say!("{} {}", record.kind.name(), record.id);
        say!("  area: {}", record.area);
        if !record.status.is_empty() {
            say!("  stage: {}", record.status);
        }
        for (field, value) in &record.fields {
            say!("  {field}: {}", plain(value));
        }
        say!("  created: {} by op {}", moment(record.created.at_ms), record.created.op);
        for taken in &record.steps {
            let standing = match taken.standing {
                Standing::Applied => "",
                Standing::Repeated => " (again)",
                Standing::NotApplied => " (not applied)",
            };
            say!("  {}: {} > {}{standing}", moment(taken.trace.at_ms), taken.from, taken.step.to);
        }
        for amendment in &record.amendments {
            let before: Vec<_> =
                amendment.before.iter().map(|(field, value)| format!("{field}: {}", plain(value))).collect();
            let at = moment(amendment.trace.at_ms);
            say!("  {at}: amended ({}); before, {}", amendment.reason, before.join(", "));
        }
        for dispute in &record.disputes {
            match &dispute.matter {
                Matter::Field { field, kept, other, other_op } => say!(
                    "  in dispute: {field} is {} (op {}), and was {} (op {other_op})",
                    plain(kept),
                    dispute.op,
                    plain(other)
                ),
                Matter::Step { from, to } => {
                    say!("  in dispute: op {} wanted {to} when it was {from}", dispute.op);
                }
            }
        }
        if view.unsent_ops > 0 {
            say!("  {} ops of it were not sent yet", view.unsent_ops);
        }
        Ok(())
    }

    fn create(&mut self, kind: &str, area: &str, fields: Vec<(String, String)>) -> Result<(), String> {
        let kind = Kind::ALL.iter().copied().find(|it| it.name() == kind);
        let kind = kind.ok_or("there is no such kind of record")?;
        let id = new_id()?;
        let area = if kind == Kind::Area { AreaId::from(id) } else { self.find_area(area)? };
        let body = Body::from_fields(kind, values(kind, fields)?).map_err(|error| error.to_string())?;
        self.record(vec![Draft::create(id, area, body)])
    }

    /// Records a group in which a visit or inspection does a follow-up.
    fn record_done(
        &mut self,
        mut group: Vec<Draft>,
        follow_up: Option<RecordId>,
        evidence: RecordId,
        outcome: &str,
    ) -> Result<(), String> {
        if let Some(id) = follow_up {
            let seen = self.find(&id.to_string())?.record;
            let step = Step {
                to: "done".to_owned(),
                evidence: Some(evidence),
                outcome: outcome.to_owned(),
                ..Step::default()
            };
            group.push(Draft::on(&seen, Action::Step(step)));
        }
        self.record(group)
    }

    /// Until when, in ms since 1970 UTC: as was said, or as long as the category of a referred request allows.
    fn due_ms(&self, seen: &Record, to: &str, said: Option<jiff::Timestamp>) -> Result<Option<i64>, String> {
        match said {
            None if seen.kind == Kind::Request && to == "referred" => {
                let now_ms = self.clocks.reading().wall_ms;
                self.device.referral_due_ms(seen, now_ms).map(Some).map_err(|error| with_causes(&error))
            }
            said => Ok(said.map(jiff::Timestamp::as_millisecond)),
        }
    }

    fn record(&mut self, group: Vec<Draft>) -> Result<(), String> {
        let ids: Vec<RecordId> = group.iter().map(|draft| draft.record).collect();
        let seqs = self.device.record(self.clocks.reading(), group).map_err(|error| with_causes(&error))?;
        for (id, seq) in ids.into_iter().zip(seqs) {
            say!("{id}\trecorded as op {seq}");
        }
        Ok(())
    }

    fn pending(&self) -> Result<(), String> {
        let pending = self.device.pending().map_err(|error| with_causes(&error))?;
        for one in &pending {
            if self.json {
                let line = serde_json::json!({
                    "op": one.op.to_string(), "record": one.record, "what": one.what,
                    "recorded_ms": one.recorded_ms, "state": one.state, "reason": one.reason, "detail": one.detail,
                });
                say!("{line}");
                continue;
            }
            say!("{}\t{}\t{}\t{}", one.op, moment(one.recorded_ms), one.what, one.state.words());
            if !one.reason.is_empty() {
                say!("\t{} {}", one.reason, one.detail);
            }
        }
        if pending.is_empty() && !self.json {
            say!("nothing is pending");
        }
        Ok(())
    }

    fn print(&self, views: &[View]) {
        for view in views {
            if self.json {
                // A record of strings, numbers and lists always has a JSON form.
                say!("{}", serde_json::to_string(&view.record).unwrap_or_default());
                continue;
            }
            let record = &view.record;
            let mark = if view.unsent_ops > 0 { "*" } else { " " };
            say!("{mark} {}\t{}\t{}\t{}", record.id, record.kind.name(), record.status, title(record));
        }
    }

    /// The record with this id, beginning of an id, or printed code.
    fn find(&self, wanted: &str) -> Result<View, String> {
        let by_id = |id| self.device.view(id).map_err(|error| with_causes(&error));
        if let Ok(id) = wanted.parse::<RecordId>() {
            return by_id(id)?.ok_or_else(|| format!("this phone has no record {wanted}"));
        }
        let mut found = self.device.find_by_code(wanted).map_err(|error| with_causes(&error))?;
        if found.is_empty() {
            for kind in Kind::ALL {
                let listed = self.device.list(*kind).map_err(|error| with_causes(&error))?;
                found
                    .extend(listed.into_iter().filter(|view| view.record.id.to_string().starts_with(wanted)));
            }
        }
        match found.len() {
            1 => Ok(found.remove(0)),
            0 => Err(format!("this phone has no record with the code or id {wanted}")),
            several => Err(format!("{several} records begin with {wanted}: give more of the id")),
        }
    }

    fn find_id(&self, wanted: Option<&str>) -> Result<Option<RecordId>, String> {
        wanted.map(|wanted| self.find(wanted).map(|view| view.record.id)).transpose()
    }

    fn find_area(&self, wanted: &str) -> Result<AreaId, String> {
        let areas = self.device.list(Kind::Area).map_err(|error| with_causes(&error))?;
        let mut named = areas.iter().filter(|view| view.record.text("name") == wanted);
        match (named.next(), named.next()) {
            (Some(one), None) => Ok(one.record.area),
            (Some(_), Some(_)) => Err(format!("several areas are called {wanted}: give the id")),
            (None, _) => wanted.parse().map_err(|_| format!("this phone has no area {wanted}")),
        }
    }
}

/// What a record is, in a few words.
fn title(record: &Record) -> String {
    let fields = [
        "name",
        "sort",
        "category",
        "purpose",
        "outcome",
        "result",
        "due_at_ms",
        "description",
        "note",
        "findings",
    ];
    let said = fields.iter().filter_map(|field| match (*field, record.fields.get(*field)) {
        ("due_at_ms", Some(value)) => value.as_i64().map(|ms| format!("due {}", moment(ms))),
        (_, value) => value.map(plain),
    });
    said.collect::<Vec<_>>().join(", ")
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Texts as the values of fields: as they are where the field is a text, as JSON where it is not.
fn values(kind: Kind, texts: Vec<(String, String)>) -> Result<Fields, String> {
    let mut values = Fields::new();
    for (field, text) in texts {
        let fits = |value: &Value| {
            Body::from_fields(kind, Fields::from_iter([(field.clone(), value.clone())]))
                .is_ok_and(|body| body.fields().contains_key(&field))
        };
        let as_text = Value::String(text.clone());
        let value = match serde_json::from_str::<Value>(&text) {
            _ if text.is_empty() => Value::Null,
            _ if fits(&as_text) => as_text,
            Ok(json) if fits(&json) => json,
            _ => return Err(format!("a {} has no field {field} that could be {text}", kind.name())),
        };
        values.insert(field, value);
    }
    Ok(values)
}

fn new_id() -> Result<RecordId, String> {
    Random::system().id(Clock::system().now_ms()).map(RecordId).map_err(|error| error.to_string())
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write it as NAME=VALUE")?;
    Ok((name.trim().to_owned(), value.trim().to_owned()))
}

/// `DEVICE/NUMBER`.
pub(crate) fn op_id(text: &str) -> Result<OpId, String> {
    let id = text.split_once('/').and_then(|(device, seq)| {
        Some(OpId { device: device.parse::<DeviceId>().ok()?, seq: seq.parse().ok()? })
    });
    id.ok_or_else(|| format!("{text} does not name an op: write it as DEVICE/NUMBER"))
}

fn read_code() -> Result<String, String> {
    match read_line("code")?.as_str() {
        "" => Err("no code was given".to_owned()),
        code => Ok(code.to_owned()),
    }
}

/// How to reach somebody, from the input: the command line of a process is there for all to read.
fn read_contact() -> Result<ContactData, String> {
    let contact = ContactData { name: read_line("name")?, phone: read_line("phone")? };
    contact.check().map_err(|refusal| refusal.detail)?;
    Ok(contact)
}

/// A line of the input; whoever types is told which.
fn read_line(what: &str) -> Result<String, String> {
    let input = std::io::stdin();
    if input.is_terminal() {
        print::hinted(format_args!("{what}: "));
    }
    let mut line = String::new();
    input.lock().read_line(&mut line).map_err(|error| format!("cannot read the {what}: {error}"))?;
    Ok(line.trim().to_owned())
}
