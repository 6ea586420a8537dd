//! The table, and how each of its calls is made.

use super::Seen;
use super::ground::{Caller, Ground, Relation, visited};
use crate::act::{Act, new_id};
use crate::peer::Peer;
use rounds_domain::op::Step;
use rounds_domain::{Action, Kind, RecordId, Role};
use rounds_proto::{op_to_wire, v1};
use std::time::Duration;
use tonic::Status;

/// Columns: the call; with or about what; three letters for somebody without a token, with an unknown one, and with one
/// that was revoked; then for each role a letter for each area that the call can be about: the caller's own, one below,
/// the one above, one beside, one elsewhere, and one that there is not. A single letter holds for all of them.
///
/// ```text
/// +  done, or told what only those of the area may read     m  TOKEN_MISSING     F  FORBIDDEN
/// =  told what those of the areas below may read            u  TOKEN_UNKNOWN     S  NOT_IN_SCOPE
/// .  told nothing of it                                     r  DEVICE_REVOKED    N  NOT_FOUND
/// ?  UNKNOWN_RECORD: not applied                            c  CODE_INVALID      k  NOT_FORKED
/// x  INVALID: a record moves to where it is already
/// ```
///
/// An op that goes to quarantine has the letter of its reason. What is not the caller's has the letter of what is not
/// there, but for two: ops about a record that is elsewhere, because they take effect by themselves once a record turns
/// up; and devices that serve an area of the caller beside others, which it sees.
pub(super) const TABLE: &str = "
SyncService/Sync              pulling                        mu.  ++=...  ++=...  ++=...  F       +++++.
SyncService/Sync              pulling behind its cursor      mu.  ..=...  ..=...  ..=...  F       ......
SyncService/Sync              a visit there                  mur  ++SSSS  ++SSSS  F       F       +++++S
SyncService/Sync              an edit there, called here     mur  +SSSS?  +SSSS?  F       F       +SSSS?
SyncService/Watch             hints of it                    mur  +++...  +++...  +++...  F       +++++.
DeviceService/Enrol           a made-up code                 ccc  c       c       c       c       c
DeviceService/CreateCode      for a phone there              mur  F       ++NNNN  F       F       +++++N
DeviceService/CreateCode      for an administrator           mur  F       F       F       F       +
DeviceService/CreateCode      for a worker of it             mur  F       ++NNNN  F       F       +++++N
DeviceService/CreateCode      for an organization of it      mur  F       +++NNN  F       F       +++++N
DeviceService/ListDevices     all                            mur  F       ++....  F       F       +++++.
DeviceService/Revoke          a phone there                  mur  F       ++NNNN  F       F       +++++N
DeviceService/Revoke          a phone here and there         mur  F       ++SSSN  F       F       +++++N
DeviceService/Rotate          its own token                  mur  +       +       +       +       +
DeviceService/Assign          a phone there to here          mur  F       ++NNNN  F       F       +++++N
DeviceService/Assign          a phone here to there          mur  F       ++NNNN  F       F       +++++N
DeviceService/Fork            itself, no copy                muk  k       k       k       k       k
DirectoryService/ListRecords  places there                   mur  ++NNNN  ++NNNN  ++NNNN  F       +++++N
DirectoryService/ListRecords  places of all areas            mur  ++....  ++....  ++....  F       +++++.
DirectoryService/ListRecords  places, its page token         mur  ++....  ++....  ++....  F       +++++.
DirectoryService/ListRecords  checklists there               mur  ===NNN  ===NNN  ===NNN  F       =====N
DirectoryService/ListRecords  requests there                 mur  ++NNNN  ++NNNN  ++NNNN  ..NNNN  +++++N
DirectoryService/GetRecord    a visit                        mur  ++NNNN  ++NNNN  ++NNNN  N       +++++N
DirectoryService/GetRecord    a checklist                    mur  ===NNN  ===NNN  ===NNN  N       =====N
DirectoryService/GetRecord    a request referred to it       mur  ++NNNN  ++NNNN  ++NNNN  ++NNNN  +++++N
DirectoryService/Change       a visit there                  mur  ++SSSS  ++SSSS  F       F       +++++S
DirectoryService/Change       an edit there, called here     mur  +SSSS?  +SSSS?  F       F       +SSSS?
DirectoryService/Change       a move from here to there      mur  xFFFFF  x+SSSS  xFFFFF  xFFFFF  x++++S
DirectoryService/Change       progress of a referred one     mur  ++SSSS  ++SSSS  F       ++SSSS  +++++S
DirectoryService/ListTerms    all                            mur  ===...  ===...  ===...  ===...  =====.
ContactService/PutContact     to a request there             mur  ++NNNN  ++NNNN  F       F       +++++N
ContactService/ReadContact    of a request there             mur  FFNNNN  ++NNNN  FFNNNN  FFNNNN  +++++N
HistoryService/ListOps        of a visit                     mur  ++NNNN  ++NNNN  ++NNNN  F       +++++N
HistoryService/ListDisputes   there                          mur  F       ++NNNN  F       F       +++++N
HistoryService/ListDisputes   of all areas                   mur  F       ++....  F       F       +++++.
HistoryService/ListQuarantine of all areas                   mur  F       ++....  F       F       +++++.
HistoryService/Release        an op there, mended            mur  F       ++NNNN  F       F       +++++N
HistoryService/Release        an op there, dismissed         mur  F       ++NNNN  F       F       +++++N
HistoryService/Release        an op here, mended to there    mur  F       ++SSSS  F       F       +++++S
SummaryService/Summarize      there                          mur  ++NNNN  ++NNNN  ++NNNN  F       +++++N
SummaryService/Summarize      by area                        mur  =.....  =.....  =.....  F       ....=.
SummaryService/Summarize      of a worker of it              mur  F       +       F       F       +
SummaryService/ListBehind     visits there                   mur  ++NNNN  ++NNNN  ++NNNN  F       +++++N
SummaryService/ListBehind     visits, its page token         mur  ++....  ++....  ++....  F       +++++.
";

/// A line of the table.
pub(super) struct Row {
    pub(super) call: &'static str,
    pub(super) with: &'static str,
    columns: [&'static str; 6],
}

impl Row {
    /// Reads a line; `None` for one that is empty.
    pub(super) fn read(line: &'static str) -> Option<Self> {
        let (call, rest) = line.split_once(' ')?;
        let (with, columns) = rest.trim_start().split_once("  ")?;
        let columns: Vec<&str> = columns.split_whitespace().collect();
        let columns = columns.try_into().unwrap_or_else(|_| panic!("six columns: {line}"));
        Some(Self { call, with, columns })
    }

    /// What everybody is expected to get, about each area.
    pub(super) fn expected(&self) -> Vec<(Caller, [char; 6])> {
        columns(self.columns)
    }
}

/// Columns of a table by who calls: what is expected about each area.
pub(super) fn columns(columns: [&str; 6]) -> Vec<(Caller, [char; 6])> {
    let letters = |column: &str| match column.chars().collect::<Vec<_>>().as_slice() {
        [one] => [*one; 6],
        six => six.try_into().unwrap_or_else(|_| panic!("one letter or six: {column}")),
    };
    let unknown = [Caller::Nobody, Caller::Stranger, Caller::Revoked];
    let unknown = unknown.into_iter().enumerate().map(|(at, who)| match columns[0].len() {
        3 => (who, letters(&columns[0][at..=at])),
        _ => (who, letters(columns[0])),
    });
    let roles = [Role::Field, Role::Coordinator, Role::Supervisor, Role::Partner, Role::Admin];
    let known =
        roles.into_iter().zip(&columns[1..]).map(|(role, column)| (Caller::Device(role), letters(column)));
    unknown.chain(known).collect()
}

/// Makes a call about an area.
pub(super) async fn call(
    ground: &Ground<'_>,
    peer: &mut Peer,
    what: &str,
    relation: Relation,
) -> Result<Seen, Status> {
    let (place, own) = (ground.place(relation), ground.own());
    let clock = &ground.server.clock;
    let visit = |note: &str| Act::create(place.area, visited(place.dwelling, note));
    let seen = match what {
        "SyncService/Sync pulling" => {
            let mut all = String::new();
            peer.cursor.clear();
            loop {
                let answer = peer.send(Vec::new()).await?;
                all.push_str(&format!("{answer:?}"));
                if !answer.more {
                    break Seen::Told(all);
                }
            }
        }
        "SyncService/Sync pulling behind its cursor" => {
            peer.cursor = ground.cursor_of(relation).await;
            let answer = peer.send(Vec::new()).await?;
            Seen::Told(format!("{answer:?}"))
        }
        "SyncService/Sync a visit there" => {
            let op = peer.seal(visit("pushed"));
            Seen::Verdict(peer.send(vec![op]).await?.verdicts.remove(0))
        }
        "SyncService/Sync an edit there, called here" => {
            let op = peer.seal(edit_called_here(ground, relation));
            Seen::Verdict(peer.send(vec![op]).await?.verdicts.remove(0))
        }
        "SyncService/Watch hints of it" => watched(ground, peer, relation).await?,
        "DeviceService/Enrol a made-up code" => {
            let request = v1::EnrolRequest {
                code: new_id().to_string(),
                label: "phone".to_owned(),
                ..Default::default()
            };
            told(peer.devices().enrol(request).await?)
        }
        "DeviceService/CreateCode for a phone there" => {
            let areas = vec![place.area.to_string()];
            created(peer, v1::CreateCodeRequest { role: v1::Role::Field.into(), areas, ..Default::default() })
                .await?
        }
        "DeviceService/CreateCode for an administrator" => {
            created(peer, v1::CreateCodeRequest { role: v1::Role::Admin.into(), ..Default::default() })
                .await?
        }
        "DeviceService/CreateCode for a worker of it" => {
            let (role, areas) = (v1::Role::Field.into(), vec![own.area.to_string()]);
            let worker = place.worker.to_string();
            created(peer, v1::CreateCodeRequest { role, areas, worker, ..Default::default() }).await?
        }
        "DeviceService/CreateCode for an organization of it" => {
            let (role, areas) = (v1::Role::Partner.into(), vec![own.area.to_string()]);
            let organization = place.organization.to_string();
            created(peer, v1::CreateCodeRequest { role, areas, organization, ..Default::default() }).await?
        }
        "DeviceService/ListDevices all" => {
            ground.phone_of(&[relation]).await;
            let mut request = v1::ListDevicesRequest { page_size: 500, ..Default::default() };
            let mut all = String::new();
            loop {
                let answer = peer.devices().list_devices(request.clone()).await?.into_inner();
                all.push_str(&format!("{answer:?}"));
                request.page_token = answer.next_page_token;
                if request.page_token.is_empty() {
                    break Seen::Told(all);
                }
            }
        }
        "DeviceService/Revoke a phone there" => {
            let device = ground.phone_of(&[relation]).await.to_string();
            done(peer.devices().revoke(v1::RevokeRequest { device }).await?)
        }
        "DeviceService/Revoke a phone here and there" => {
            let device = ground.phone_of(&[Relation::Own, relation]).await.to_string();
            done(peer.devices().revoke(v1::RevokeRequest { device }).await?)
        }
        "DeviceService/Rotate its own token" => {
            peer.token = peer.devices().rotate(v1::RotateRequest {}).await?.into_inner().token;
            Seen::Done
        }
        "DeviceService/Assign a phone there to here" => {
            let device = ground.phone_of(&[relation]).await.to_string();
            let areas = vec![own.area.to_string()];
            done(peer.devices().assign(v1::AssignRequest { device, areas }).await?)
        }
        "DeviceService/Assign a phone here to there" => {
            let device = ground.phone_of(&[Relation::Own]).await.to_string();
            let areas = vec![place.area.to_string()];
            done(peer.devices().assign(v1::AssignRequest { device, areas }).await?)
        }
        "DeviceService/Fork itself, no copy" => {
            done(peer.devices().fork(v1::ForkRequest { forked_at_seq: 1, ..Default::default() }).await?)
        }
        "DirectoryService/ListRecords places there" => {
            let area = place.area.to_string();
            listed(peer, v1::ListRecordsRequest { kind: v1::Kind::Place.into(), area, ..Default::default() })
                .await?
        }
        "DirectoryService/ListRecords places of all areas" => {
            listed(peer, v1::ListRecordsRequest { kind: v1::Kind::Place.into(), ..Default::default() })
                .await?
        }
        "DirectoryService/ListRecords places, its page token" => {
            let page_token = format!("{}.0.{}", place.area.0.simple(), uuid::Uuid::nil().simple());
            let kind = v1::Kind::Place.into();
            listed(peer, v1::ListRecordsRequest { kind, page_token, ..Default::default() }).await?
        }
        "DirectoryService/ListRecords checklists there" => {
            let (kind, area) = (v1::Kind::Checklist.into(), place.area.to_string());
            listed(peer, v1::ListRecordsRequest { kind, area, ..Default::default() }).await?
        }
        "DirectoryService/ListRecords requests there" => {
            let (kind, area) = (v1::Kind::Request.into(), place.area.to_string());
            listed(peer, v1::ListRecordsRequest { kind, area, ..Default::default() }).await?
        }
        "DirectoryService/GetRecord a visit" => Seen::Told(format!("{:?}", peer.get(place.visit).await?)),
        "DirectoryService/GetRecord a checklist" => {
            Seen::Told(format!("{:?}", peer.get(place.checklist).await?))
        }
        "DirectoryService/GetRecord a request referred to it" => {
            peer.get(place.referred).await?;
            Seen::Done
        }
        "DirectoryService/Change a visit there" => changed(ground, peer, visit("changed")).await?,
        "DirectoryService/Change an edit there, called here" => {
            changed(ground, peer, edit_called_here(ground, relation)).await?
        }
        "DirectoryService/Change a move from here to there" => {
            let dwelling = ground.server.dwelling(own.area, "moves").await;
            let to = Action::Move { to: place.area };
            changed(ground, peer, Act::on(dwelling, own.area, Kind::Place, to)).await?
        }
        "DirectoryService/Change progress of a referred one" => {
            let step = Step { to: "in_progress".to_owned(), reason: "we look".to_owned(), ..Step::default() };
            changed(ground, peer, Act::step(place.referred, place.area, Kind::Request, step)).await?
        }
        "DirectoryService/ListTerms all" => {
            told(peer.directory().list_terms(v1::ListTermsRequest::default()).await?)
        }
        "ContactService/PutContact to a request there" => {
            let contact = Some(v1::Contact { name: "Resident".to_owned(), phone: "555 0100".to_owned() });
            let request = v1::PutContactRequest {
                request: place.referred.to_string(),
                contact,
                ..v1::PutContactRequest::default()
            };
            done(peer.contacts().put_contact(request).await?)
        }
        "ContactService/ReadContact of a request there" => {
            let request = v1::ReadContactRequest { request: place.referred.to_string() };
            done(peer.contacts().read_contact(request).await?)
        }
        "HistoryService/ListOps of a visit" => told(
            peer.history()
                .list_ops(v1::ListOpsRequest { record: place.visit.to_string(), ..Default::default() })
                .await?,
        ),
        "HistoryService/ListDisputes there" => {
            let request = v1::ListDisputesRequest { area: place.area.to_string(), ..Default::default() };
            told(peer.history().list_disputes(request).await?)
        }
        "HistoryService/ListDisputes of all areas" => {
            told(peer.history().list_disputes(v1::ListDisputesRequest::default()).await?)
        }
        "HistoryService/ListQuarantine of all areas" => {
            ground.quarantined(relation).await;
            let mut request = v1::ListQuarantineRequest { page_size: 500, ..Default::default() };
            let mut all = String::new();
            loop {
                let answer = peer.history().list_quarantine(request.clone()).await?.into_inner();
                for waiting in answer.ops {
                    all.push_str(&format!("{waiting:?} {}", String::from_utf8_lossy(&waiting.op)));
                }
                request.page_token = answer.next_page_token;
                if request.page_token.is_empty() {
                    break Seen::Told(all);
                }
            }
        }
        "HistoryService/Release an op there, mended" => {
            let op = ground.quarantined(relation).await;
            let mended = op_to_wire(&visit("mended").op(clock)).expect("an op that can be written");
            release(peer, op, Some(mended)).await?
        }
        "HistoryService/Release an op there, dismissed" => {
            let op = ground.quarantined(relation).await;
            release(peer, op, None).await?
        }
        "HistoryService/Release an op here, mended to there" => {
            let op = ground.quarantined(Relation::Own).await;
            let mended = op_to_wire(&visit("mended").op(clock)).expect("an op that can be written");
            release(peer, op, Some(mended)).await?
        }
        "SummaryService/Summarize there" => {
            let scope = Some(v1::SummaryScope { area: place.area.to_string(), ..Default::default() });
            done(peer.summaries().summarize(v1::SummarizeRequest { scope, ..Default::default() }).await?)
        }
        "SummaryService/Summarize by area" => {
            let request = v1::SummarizeRequest { division: v1::Division::Area.into(), ..Default::default() };
            told(peer.summaries().summarize(request).await?)
        }
        "SummaryService/Summarize of a worker of it" => {
            let worker = place.worker.to_string();
            done(peer.summaries().summarize(v1::SummarizeRequest { worker, ..Default::default() }).await?)
        }
        "SummaryService/ListBehind visits there" => {
            let scope = Some(v1::SummaryScope { area: place.area.to_string(), ..Default::default() });
            behind(peer, v1::ListBehindRequest { scope, ..Default::default() }).await?
        }
        "SummaryService/ListBehind visits, its page token" => {
            let page_token = format!("{}.2026-01-01.{}", place.area.0.simple(), uuid::Uuid::nil().simple());
            behind(peer, v1::ListBehindRequest { page_token, ..Default::default() }).await?
        }
        other => panic!("nobody knows how to make this call: {other}"),
    };
    Ok(seen)
}

fn done<T>(_: tonic::Response<T>) -> Seen {
    Seen::Done
}

fn told<T: std::fmt::Debug>(answer: tonic::Response<T>) -> Seen {
    Seen::Told(format!("{:?}", answer.get_ref()))
}

async fn created(peer: &Peer, request: v1::CreateCodeRequest) -> Result<Seen, Status> {
    Ok(done(peer.devices().create_code(request).await?))
}

async fn listed(peer: &Peer, request: v1::ListRecordsRequest) -> Result<Seen, Status> {
    let request = v1::ListRecordsRequest { page_size: 1_000, ..request };
    Ok(told(peer.directory().list_records(request).await?))
}

async fn behind(peer: &Peer, request: v1::ListBehindRequest) -> Result<Seen, Status> {
    let request = v1::ListBehindRequest { figure: "visit".to_owned(), page_size: 1_000, ..request };
    Ok(told(peer.summaries().list_behind(request).await?))
}

async fn changed(ground: &Ground<'_>, peer: &Peer, act: Act) -> Result<Seen, Status> {
    let mut verdicts = peer.try_change(vec![act.op(&ground.server.clock)], false).await?;
    Ok(Seen::Verdict(verdicts.remove(0)))
}

/// An edit of a dwelling elsewhere that says that the dwelling is in the caller's own area.
fn edit_called_here(ground: &Ground<'_>, relation: Relation) -> Act {
    let (dwelling, own) = match relation {
        Relation::Absent => (RecordId(new_id()), ground.own().area), // one that nobody has asked about
        _ => (ground.place(relation).dwelling, ground.own().area),
    };
    Act::edit(dwelling, own, Kind::Place, "address", "".into(), "seized".into())
}

async fn release(peer: &Peer, op: rounds_domain::OpId, mended: Option<v1::Op>) -> Result<Seen, Status> {
    let (device, seq, dismiss) = (op.device.to_string(), op.seq, mended.is_none());
    let answer = peer.history().release(v1::ReleaseRequest { device, seq, mended, dismiss }).await?;
    Ok(match answer.into_inner().verdict {
        Some(verdict) => Seen::Verdict(verdict),
        None => Seen::Done,
    })
}

/// Whether a caller that watches hears that something happened in an area. Something in its own area comes after, and
/// by then it would have heard: not by the first hint, because who just came hears of all its areas once more.
async fn watched(ground: &Ground<'_>, peer: &Peer, relation: Relation) -> Result<Seen, Status> {
    let mut hints = peer.sync().watch(v1::WatchRequest {}).await?.into_inner();
    hints.message().await?;
    ground.stir(relation).await;
    let (there, own) = (ground.place(relation).area.to_string(), ground.own().area.to_string());
    let mut heard = String::new();
    for _ in 0..4 {
        ground.stir(Relation::Own).await;
        loop {
            let hint = tokio::time::timeout(Duration::from_secs(30), hints.message()).await;
            let hint = hint.expect("a hint of the own area")?.expect("a stream that goes on");
            heard.push_str(&format!("{hint:?}"));
            if hint.areas.contains(&there) {
                return Ok(Seen::Done);
            }
            if hint.areas.contains(&own) {
                break;
            }
        }
    }
    Ok(Seen::Told(heard))
}
