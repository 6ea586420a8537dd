//! A phone at the command line: how it finds, records, sends and shows.

use crate::command::phone::Clocks;
use crate::command::print::{self, say};
use crate::command::{moment, with_causes};
use rounds_device::{Client, Device, Draft, Next, View, enrol};
use rounds_domain::body::Fields;
use rounds_domain::op::Step;
use rounds_domain::record::{Matter, Standing};
use rounds_domain::vocabulary::BUILT_IN;
use rounds_domain::{Action, AreaId, Body, ContactData, DeviceId, Kind, OpId, Record, RecordId};
use rounds_server::{Clock, Random};
use serde_json::Value;
use std::io::{BufRead, IsTerminal};
use std::path::PathBuf;
use std::process::ExitCode;

/// The phone, and how it talks.
pub(super) struct Shell {
    pub(super) device: Device,
    pub(super) clocks: Clocks,
    pub(super) json: bool,
}

impl Shell {
    pub(super) async fn enrol(
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

    pub(super) fn status(&self) -> Result<(), String> {
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

    pub(super) async fn sync(self) -> Result<ExitCode, String> {
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

    pub(super) async fn contact(self, request: &str) -> Result<ExitCode, String> {
        let request = self.find(request)?.record.id;
        let client = Client::new(self.device).map_err(|error| with_causes(&error))?;
        match client.read_contact(request).await.map_err(|error| with_causes(&error))? {
            Some(ContactData { name, phone }) => say!("{name}\t{phone}"),
            None => say!("nobody said how to reach them, or it was erased"),
        }
        Ok(ExitCode::SUCCESS)
    }

    pub(super) fn list(&self, what: &str) -> Result<(), String> {
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

    pub(super) fn show(&self, wanted: &str) -> Result<(), String> {
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

    pub(super) fn create(
        &mut self,
        kind: &str,
        area: &str,
        fields: Vec<(String, String)>,
    ) -> Result<(), String> {
        let kind = Kind::ALL.iter().copied().find(|it| it.name() == kind);
        let kind = kind.ok_or("there is no such kind of record")?;
        let id = new_id()?;
        let area = if kind == Kind::Area { AreaId::from(id) } else { self.find_area(area)? };
        let body = Body::from_fields(kind, values(kind, fields)?).map_err(|error| error.to_string())?;
        self.record(vec![Draft::create(id, area, body)])
    }

    /// Records a group in which a visit or inspection does a follow-up.
    pub(super) fn record_done(
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
    pub(super) fn due_ms(
        &self,
        seen: &Record,
        to: &str,
        said: Option<jiff::Timestamp>,
    ) -> Result<Option<i64>, String> {
        match said {
            None if seen.kind == Kind::Request && to == "referred" => {
                let now_ms = self.clocks.reading().wall_ms;
                self.device.referral_due_ms(seen, now_ms).map(Some).map_err(|error| with_causes(&error))
            }
            said => Ok(said.map(jiff::Timestamp::as_millisecond)),
        }
    }

    pub(super) fn record(&mut self, group: Vec<Draft>) -> Result<(), String> {
        let ids: Vec<RecordId> = group.iter().map(|draft| draft.record).collect();
        let seqs = self.device.record(self.clocks.reading(), group).map_err(|error| with_causes(&error))?;
        for (id, seq) in ids.into_iter().zip(seqs) {
            say!("{id}\trecorded as op {seq}");
        }
        Ok(())
    }

    pub(super) fn pending(&self) -> Result<(), String> {
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

    pub(super) fn print(&self, views: &[View]) {
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

    /// Refuses a word that is neither built in nor one of the city's terms on this phone: it may be mistyped.
    pub(super) fn check_word(&self, vocabulary: &str, word: &str) -> Result<(), String> {
        let terms = self.device.list(Kind::Term).map_err(|error| with_causes(&error))?;
        let built_in = BUILT_IN.iter().filter(|(name, _)| *name == vocabulary);
        let mut known: Vec<&str> =
            built_in.flat_map(|(_, words)| words.iter().map(|[word, ..]| *word)).collect();
        let of_vocabulary = terms.iter().filter(|view| view.record.text("vocabulary") == vocabulary);
        known.extend(of_vocabulary.map(|view| view.record.text("word")));
        if known.contains(&word) {
            return Ok(());
        }
        let (what, known) = (vocabulary.replace('_', " "), known.join(", "));
        Err(format!("no {what} is called {word}; there are: {known}; say --new-word if it is meant so"))
    }

    /// The record with this id, beginning of an id, or printed code.
    pub(super) fn find(&self, wanted: &str) -> Result<View, String> {
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

    pub(super) fn find_id(&self, wanted: Option<&str>) -> Result<Option<RecordId>, String> {
        wanted.map(|wanted| self.find(wanted).map(|view| view.record.id)).transpose()
    }

    pub(super) fn find_area(&self, wanted: &str) -> Result<AreaId, String> {
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
pub(super) fn values(kind: Kind, texts: Vec<(String, String)>) -> Result<Fields, String> {
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

pub(super) fn new_id() -> Result<RecordId, String> {
    Random::system().id(Clock::system().now_ms()).map(RecordId).map_err(|error| error.to_string())
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
pub(super) fn read_contact() -> Result<ContactData, String> {
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
