//! `rounds device`: a shell plays a phone. A thin layer over the device library.

mod shell;

use super::phone::Clocks;
use super::print;
use super::{open_device, with_causes};
use clap::{Args, Subcommand};
use rounds_device::{Device, Draft};
use rounds_domain::body::{self, Answer};
use rounds_domain::op::Step;
use rounds_domain::vocabulary::REQUEST_CATEGORY;
use rounds_domain::{Action, Body};
use rounds_server::Clock;
use shell::{Shell, new_id, read_contact, values};
use std::path::PathBuf;
use std::process::ExitCode;

pub(crate) use shell::op_id;

/// Be a phone: what it records is kept in one file, and sent when it syncs.
#[derive(Args, Debug)]
pub(crate) struct DeviceCommand {
    /// The file of the phone.
    #[arg(long, value_name = "FILE", env = "ROUNDS_DEVICE", default_value = "device.rounds", global = true)]
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
        /// Record words that the city has no terms for yet, too.
        #[arg(long)]
        new_word: bool,
    },
    /// Record an inspection.
    Inspect {
        /// The asset or place.
        subject: String,
        /// What came of it.
        #[arg(long, value_parser = ["pass", "fail", "needs_attention"])]
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
        /// Record words that the city has no terms for yet, too.
        #[arg(long)]
        new_word: bool,
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
        /// Record words that the city has no terms for yet, too.
        #[arg(long)]
        new_word: bool,
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
        let device = match &self.act {
            Act::Enrol { .. } => Device::open(&self.store).map_err(|error| with_causes(&error))?,
            _ => open_device(&self.store)?,
        };
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
            Act::Visit { subject, purpose, outcome, note, request, follow_up, new_word } => {
                if !new_word {
                    shell.check_word("visit_purpose", &purpose)?;
                    shell.check_word("visit_outcome", &outcome)?;
                    request
                        .iter()
                        .try_for_each(|(category, _)| shell.check_word(REQUEST_CATEGORY, category))?;
                }
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
            Act::Request { subject, category, channel, description, contact, new_word } => {
                if !new_word {
                    shell.check_word(REQUEST_CATEGORY, &category)?;
                    shell.check_word("request_channel", &channel)?;
                }
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
            Act::Violation { subject, sort, description, new_word } => {
                if !new_word {
                    shell.check_word("violation_sort", &sort)?;
                }
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

fn pair(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write it as NAME=VALUE")?;
    Ok((name.trim().to_owned(), value.trim().to_owned()))
}
