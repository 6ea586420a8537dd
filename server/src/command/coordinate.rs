//! What a coordinator does from a shell, over gRPC, with the token of an enrolled device file.

use super::device::op_id;
use super::print::{hint, say};
use super::{moment, open_device, with_causes};
use clap::{Args, Subcommand};
use rounds_device::{CallError, Identity};
use rounds_domain::body::Term;
use rounds_domain::language::Words;
use rounds_domain::{AreaId, Kind, Language, Op, OpId, Record, RecordId};
use rounds_proto::v1::device_service_client::DeviceServiceClient;
use rounds_proto::v1::directory_service_client::DirectoryServiceClient;
use rounds_proto::v1::history_service_client::HistoryServiceClient;
use rounds_proto::{decode_op, id_from_wire, kind_to_wire, op_from_wire, op_to_wire, record_from_wire, v1};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};
use tonic::{Request, Status};

/// Rows per page of a list.
const PAGE_ROWS: i32 = 500;

/// Whose sign-in to use.
#[derive(Args, Debug)]
pub(super) struct SignIn {
    /// The file of an enrolled device, see `rounds device enrol`.
    #[arg(long, value_name = "FILE", env = "ROUNDS_DEVICE", default_value = "device.rounds", global = true)]
    store: PathBuf,
    /// Print JSON, one object a line, for scripts.
    #[arg(long, global = true)]
    pub(super) json: bool,
}

/// See devices, revoke them, give them other areas.
#[derive(Args, Debug)]
pub(crate) struct Devices {
    #[command(flatten)]
    sign_in: SignIn,
    #[command(subcommand)]
    act: DevicesAct,
}

#[derive(Subcommand, Debug)]
enum DevicesAct {
    /// List the devices of the own areas.
    List,
    /// Revoke a device: at its next contact it hands over its work and wipes itself.
    Revoke {
        /// Its id.
        device: String,
    },
    /// Give a device other areas.
    Assign {
        /// Its id.
        device: String,
        /// The ids of the areas from now on.
        #[arg(required = true)]
        areas: Vec<String>,
    },
}

/// See what could not be taken in, and release or dismiss it.
#[derive(Args, Debug)]
pub(crate) struct Quarantine {
    #[command(flatten)]
    sign_in: SignIn,
    #[command(subcommand)]
    act: QuarantineAct,
}

#[derive(Subcommand, Debug)]
enum QuarantineAct {
    /// List the ops in quarantine.
    List,
    /// Show an op in quarantine whole, as JSON.
    Show {
        /// The op: DEVICE/NUMBER.
        op: String,
    },
    /// Take an op in after all, as it is or as mended.
    Release {
        /// The op: DEVICE/NUMBER.
        op: String,
        /// What to take in instead: the JSON that `show` prints, mended.
        #[arg(long, value_name = "FILE")]
        mended: Option<PathBuf>,
    },
    /// Lay an op aside; it stays on record.
    Dismiss {
        /// The op: DEVICE/NUMBER.
        op: String,
    },
}

/// See records on which two people disagree.
#[derive(Args, Debug)]
pub(crate) struct Disputes {
    #[command(flatten)]
    sign_in: SignIn,
}

/// See the ops behind a record, in their order, with what became of them on arrival and what they do today.
#[derive(Args, Debug)]
pub(crate) struct History {
    #[command(flatten)]
    sign_in: SignIn,
    /// The record's id.
    record: String,
}

/// A line to the server, signed in.
pub(super) struct Line {
    channel: Channel,
    authorization: MetadataValue<Ascii>,
}

impl SignIn {
    fn identity(&self) -> Result<Identity, String> {
        open_device(&self.store)?.identity().map_err(|error| with_causes(&error))
    }

    /// The worker whom the device was enrolled for.
    pub(super) fn worker(&self) -> Result<RecordId, String> {
        let nobody =
            "the device was enrolled for no worker: nothing is its own; enrol it with a code for a worker";
        self.identity()?.worker.ok_or_else(|| nobody.to_owned())
    }

    pub(super) fn open(&self) -> Result<Line, String> {
        let Identity { server_url, ca_pem, token, .. } = self.identity()?;
        let mut endpoint = Endpoint::from_shared(server_url.clone()).map_err(|error| error.to_string())?;
        if server_url.starts_with("https:") {
            let tls = match ca_pem {
                Some(pem) => ClientTlsConfig::new().ca_certificate(Certificate::from_pem(pem)),
                None => ClientTlsConfig::new().with_enabled_roots(),
            };
            endpoint = endpoint.tls_config(tls).map_err(|error| with_causes(&error))?;
        }
        let authorization = format!("Bearer {token}").parse().map_err(|_| "the token is damaged")?;
        Ok(Line { channel: endpoint.connect_lazy(), authorization })
    }
}

impl Line {
    pub(super) fn signed<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request.metadata_mut().insert("authorization", self.authorization.clone());
        request
    }

    pub(super) fn channel(&self) -> Channel {
        self.channel.clone()
    }

    fn devices(&self) -> DeviceServiceClient<Channel> {
        DeviceServiceClient::new(self.channel.clone())
    }

    pub(super) fn directory(&self) -> DirectoryServiceClient<Channel> {
        DirectoryServiceClient::new(self.channel.clone())
    }

    pub(super) fn history(&self) -> HistoryServiceClient<Channel> {
        HistoryServiceClient::new(self.channel.clone())
    }
}

impl Line {
    /// All pages of a list of records.
    pub(super) async fn records(&self, request: v1::ListRecordsRequest) -> Result<Vec<Record>, String> {
        let mut request = v1::ListRecordsRequest { page_size: PAGE_ROWS, ..request };
        let mut records = Vec::new();
        loop {
            let page = self.directory().list_records(self.signed(request.clone())).await.map_err(said)?;
            let page = page.into_inner();
            for record in page.records {
                records.push(record_from_wire(record).map_err(|refusal| refusal.detail)?.0);
            }
            if page.next_page_token.is_empty() {
                return Ok(records);
            }
            request.page_token = page.next_page_token;
        }
    }

    /// All pages of the ops behind a record.
    pub(super) async fn ops(&self, record: RecordId) -> Result<Vec<v1::HistoryEntry>, String> {
        let mut request = v1::ListOpsRequest { record: record.to_string(), ..Default::default() };
        let mut entries = Vec::new();
        loop {
            let page = self.history().list_ops(self.signed(request.clone())).await.map_err(said)?;
            let page = page.into_inner();
            entries.extend(page.entries);
            if page.next_page_token.is_empty() {
                return Ok(entries);
            }
            request.page_token = page.next_page_token;
        }
    }

    /// What the caller's areas call things.
    pub(super) async fn words(&self, language: Language) -> Result<Words, String> {
        let answer = self.directory().list_terms(self.signed(v1::ListTermsRequest::default())).await;
        let terms = answer.map_err(said)?.into_inner().terms.into_iter().map(|term| Term {
            vocabulary: term.vocabulary,
            word: term.word,
            label_en: term.label_en,
            label_zh_hans: term.label_zh_hans,
            label_zh_hant: term.label_zh_hant,
            ..Term::default()
        });
        Ok(Words::new(language, terms))
    }

    /// The areas that the caller sees, with those above them.
    pub(super) async fn areas(&self) -> Result<HashMap<AreaId, Record>, String> {
        let request = v1::ListRecordsRequest { kind: kind_to_wire(Kind::Area).into(), ..Default::default() };
        Ok(self.records(request).await?.into_iter().map(|record| (record.area, record)).collect())
    }
}

/// The area with this id or name.
pub(super) fn find_area(areas: &HashMap<AreaId, Record>, wanted: &str) -> Result<AreaId, String> {
    if let Some(id) = wanted.parse().ok().filter(|id| areas.contains_key(id)) {
        return Ok(id);
    }
    let is_named = |record: &&Record| record.text("name") == wanted;
    let named: Vec<AreaId> = areas.values().filter(is_named).map(|record| record.area).collect();
    match named.as_slice() {
        [one] => Ok(*one),
        [] => {
            let mut names: Vec<_> = areas.values().map(|record| record.text("name")).collect();
            names.sort_unstable();
            names.truncate(20);
            Err(format!("there is no area {wanted} among yours; there are: {}", names.join(", ")))
        }
        several => {
            let ids: Vec<_> = several.iter().map(AreaId::to_string).collect();
            Err(format!("several areas are called {wanted}; say which by its id: {}", ids.join(", ")))
        }
    }
}

/// What the server says; or, where it says nothing, what happened to the line.
pub(super) fn said(status: Status) -> String {
    match std::error::Error::source(&status) {
        Some(_) => CallError::from(status).to_string(),
        None => status.message().to_owned(),
    }
}

impl Devices {
    pub(crate) async fn run(self) -> Result<ExitCode, String> {
        let line = self.sign_in.open()?;
        match self.act {
            DevicesAct::List => list_devices(&line, self.sign_in.json).await?,
            DevicesAct::Revoke { device } => {
                line.devices().revoke(line.signed(v1::RevokeRequest { device })).await.map_err(said)?;
                say!("revoked");
            }
            DevicesAct::Assign { device, areas } => {
                let request = line.signed(v1::AssignRequest { device, areas });
                let answer = line.devices().assign(request).await.map_err(said)?.into_inner();
                say!("assigned; the assignment is number {}", answer.scope_version);
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

async fn list_devices(line: &Line, as_json: bool) -> Result<(), String> {
    let mut page_token = String::new();
    loop {
        let request = line.signed(v1::ListDevicesRequest { page_size: PAGE_ROWS, page_token });
        let answer = line.devices().list_devices(request).await.map_err(said)?.into_inner();
        for device in answer.devices {
            if as_json {
                say!("{}", device_json(&device));
                continue;
            }
            let seen = device.last_contact.map_or("never".to_owned(), |at| moment(at.seconds * 1_000));
            let mut notes = Vec::new();
            if let Some(at) = device.revoked {
                notes.push(format!("revoked {}", moment(at.seconds * 1_000)));
            }
            if device.forked_at_seq > 0 {
                notes.push(format!("a copy of it sent other ops from {} on", device.forked_at_seq));
            }
            if device.lost_ops > 0 {
                notes.push(format!("{} ops were lost with a restore", device.lost_ops));
            }
            let role = role_name(&device);
            say!(
                "{}\t{role}\t{}\tlast contact {seen}\t{} ops, {} unsent\t{}",
                device.id,
                device.label,
                device.acknowledged_through,
                device.unsent_ops,
                notes.join("; ")
            );
        }
        if answer.next_page_token.is_empty() {
            return Ok(());
        }
        page_token = answer.next_page_token;
    }
}

fn role_name(device: &v1::Device) -> String {
    device.role().as_str_name().trim_start_matches("ROLE_").to_lowercase()
}

fn device_json(device: &v1::Device) -> Value {
    let seconds = |at: &Option<_>| at.as_ref().map(|at: &rounds_proto::prost_types::Timestamp| at.seconds);
    json!({
        "device": device.id,
        "label": device.label,
        "role": role_name(device),
        "areas": device.areas,
        "worker": device.worker,
        "organization": device.organization,
        "enrolled_seconds": seconds(&device.enrolled),
        "last_contact_seconds": seconds(&device.last_contact),
        "revoked_seconds": seconds(&device.revoked),
        "acknowledged_through": device.acknowledged_through,
        "unsent_ops": device.unsent_ops,
        "forked_at_seq": device.forked_at_seq,
        "lost_ops": device.lost_ops,
    })
}

impl Quarantine {
    pub(crate) async fn run(self) -> Result<ExitCode, String> {
        let line = self.sign_in.open()?;
        match self.act {
            QuarantineAct::List => {
                let all = quarantine(&line).await?;
                if all.is_empty() {
                    hint!("there are none");
                }
                for kept in all {
                    if self.sign_in.json {
                        say!("{}", kept_json(&kept));
                        continue;
                    }
                    let what = match decode_op(&kept.op) {
                        Ok(op) => format!("{} {}", op.kind.name(), op.record),
                        Err(_) => format!("{} bytes that are no op", kept.op.len()),
                    };
                    let (device, seq, at) = (&kept.device, kept.seq, moment(kept.received_at_ms));
                    say!("{device}/{seq}\t{at}\t{what}\t{} {}", kept.reason, kept.detail);
                }
            }
            QuarantineAct::Show { op } => {
                let op = op_id(&op)?;
                let all = quarantine(&line).await?;
                let kept = all.iter().find(|kept| kept.device == op.device.to_string() && kept.seq == op.seq);
                let kept = kept.ok_or_else(|| format!("there is no op {op} in quarantine in your areas"))?;
                match decode_op(&kept.op) {
                    Ok(op) => say!("{}", serde_json::to_string_pretty(&op).unwrap_or_default()), // texts and numbers
                    Err(refusal) => say!("{} ({refusal})", hexadecimal(&kept.op)),
                }
                hint!("{}: {}", kept.reason, kept.detail);
            }
            QuarantineAct::Release { op, mended } => {
                let mended = mended.as_deref().map(read_op).transpose()?;
                let verdict = release(&line, op_id(&op)?, mended, false).await?.unwrap_or_default();
                let outcome = verdict.outcome().as_str_name().trim_start_matches("OUTCOME_").to_owned();
                say!("{}", format!("{outcome} {} {}", verdict.reason, verdict.detail).trim_end());
            }
            QuarantineAct::Dismiss { op } => {
                release(&line, op_id(&op)?, None, true).await?;
                say!("dismissed");
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

async fn release(
    line: &Line,
    op: OpId,
    mended: Option<v1::Op>,
    dismiss: bool,
) -> Result<Option<v1::Verdict>, String> {
    let request = v1::ReleaseRequest { device: op.device.to_string(), seq: op.seq, mended, dismiss };
    Ok(line.history().release(line.signed(request)).await.map_err(said)?.into_inner().verdict)
}

/// Reads an op as `show` prints it.
fn read_op(path: &Path) -> Result<v1::Op, String> {
    let in_file = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let text = std::fs::read_to_string(path).map_err(|error| in_file(&error))?;
    let op: Op = serde_json::from_str(&text).map_err(|error| in_file(&error))?;
    op_to_wire(&op).map_err(|refusal| in_file(&refusal.detail))
}

/// All ops in quarantine that the caller sees.
async fn quarantine(line: &Line) -> Result<Vec<v1::QuarantinedOp>, String> {
    let mut ops = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = line.signed(v1::ListQuarantineRequest { page_size: PAGE_ROWS, page_token });
        let answer = line.history().list_quarantine(request).await.map_err(said)?.into_inner();
        ops.extend(answer.ops);
        if answer.next_page_token.is_empty() {
            return Ok(ops);
        }
        page_token = answer.next_page_token;
    }
}

fn kept_json(kept: &v1::QuarantinedOp) -> Value {
    json!({
        "device": kept.device,
        "seq": kept.seq,
        "area": kept.area,
        "received_at_ms": kept.received_at_ms,
        "reason": kept.reason,
        "detail": kept.detail,
        "op": decode_op(&kept.op).map_or_else(|_| json!(hexadecimal(&kept.op)), |op| json!(op)),
    })
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Disputes {
    pub(crate) async fn run(self) -> Result<ExitCode, String> {
        let line = self.sign_in.open()?;
        let mut page_token = String::new();
        let mut is_any = false;
        loop {
            let message = v1::ListDisputesRequest { area: String::new(), page_size: PAGE_ROWS, page_token };
            let answer = line.history().list_disputes(line.signed(message)).await.map_err(said)?.into_inner();
            is_any |= !answer.records.is_empty();
            for record in answer.records {
                for dispute in record.disputes {
                    if self.sign_in.json {
                        say!("{}", dispute_json(&record.id, &dispute));
                        continue;
                    }
                    let matter = match dispute.matter {
                        Some(v1::dispute::Matter::Field(field)) => format!(
                            "{} is {} and was {} (op {}/{})",
                            field.field,
                            field.kept_json,
                            field.other_json,
                            field.other_device,
                            field.other_seq
                        ),
                        Some(v1::dispute::Matter::Step(step)) => {
                            format!("wanted {} when it was {}", step.to, step.from)
                        }
                        None => String::new(),
                    };
                    say!("{}\top {}/{}\t{matter}", record.id, dispute.device, dispute.seq);
                }
            }
            if answer.next_page_token.is_empty() {
                if !is_any {
                    hint!("there are none");
                }
                return Ok(ExitCode::SUCCESS);
            }
            page_token = answer.next_page_token;
        }
    }
}

fn dispute_json(record: &str, dispute: &v1::Dispute) -> Value {
    let value = |text: &str| serde_json::from_str::<Value>(text).unwrap_or_default(); // the server sends JSON
    let matter = match &dispute.matter {
        Some(v1::dispute::Matter::Field(field)) => json!({
            "field": field.field,
            "kept": value(&field.kept_json),
            "other": value(&field.other_json),
            "other_device": field.other_device,
            "other_seq": field.other_seq,
        }),
        Some(v1::dispute::Matter::Step(step)) => json!({ "from": step.from, "to": step.to }),
        None => Value::Null,
    };
    json!({ "record": record, "device": dispute.device, "seq": dispute.seq, "matter": matter })
}

impl History {
    pub(crate) async fn run(self) -> Result<ExitCode, String> {
        let line = self.sign_in.open()?;
        let record = id_from_wire("record", &self.record).map_err(|refusal| refusal.detail)?;
        for entry in line.ops(record).await? {
            if self.sign_in.json {
                say!("{}", entry_json(entry));
                continue;
            }
            let what = match entry.op.map(op_from_wire) {
                Some(Ok(op)) => serde_json::to_string(&op.action).unwrap_or_default(), // texts, numbers and lists
                Some(Err(_)) => "an op that this program cannot read".to_owned(),
                None => "what it said is not told any more: the record was deleted".to_owned(),
            };
            let doubt = if entry.time_doubtful { " (clock in doubt)" } else { "" };
            say!("{}/{}\t{}{doubt}\t{what}", entry.device, entry.seq, moment(entry.at_ms));
            say!(
                "\treceived {}; on arrival {}; today {}",
                moment(entry.received_at_ms),
                in_words(entry.verdict),
                in_words(entry.today)
            );
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn entry_json(entry: v1::HistoryEntry) -> Value {
    json!({
        "device": entry.device,
        "seq": entry.seq,
        "at_ms": entry.at_ms,
        "received_at_ms": entry.received_at_ms,
        "time_doubtful": entry.time_doubtful,
        "worker": entry.worker,
        "op": entry.op.and_then(|op| op_from_wire(op).ok()),
        "on_arrival": in_words(entry.verdict),
        "today": in_words(entry.today),
    })
}

fn in_words(verdict: Option<v1::Verdict>) -> String {
    let verdict = verdict.unwrap_or_default();
    let outcome = verdict.outcome().as_str_name().trim_start_matches("OUTCOME_").to_owned();
    [outcome, verdict.reason].join(" ").trim().to_owned()
}
