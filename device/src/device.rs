//! The core: what is recorded goes in, a question to the server comes out, its answer goes in.

use crate::draft::Draft;
use crate::error::Error;
use crate::store::{self, Meta, Store};
use crate::{BATCH_BYTES_MAX, contact, outbox};
use prost::Message as _;
use rounds_domain::bug::{Bug, is_injected};
use rounds_domain::limit::{BATCH_OPS_MAX, GROUP_OPS_MAX};
use rounds_domain::verdict::Reason;
use rounds_domain::{AreaId, ClockReading, DeviceId, Op, Record, RecordId, Refusal, Role, Verdict};
use rounds_proto::{clock_to_wire, encode_op, id_from_wire, record_from_wire, v1, verdict_from_wire};
use rusqlite::Connection;
use std::fmt;
use std::path::Path;

/// An enrolled phone, laptop or program: one file.
#[derive(Debug)]
pub struct Device {
    pub(crate) store: Store,
}

/// Who a device is, and who its server is.
#[derive(Clone, PartialEq)]
pub struct Identity {
    /// Its name, given by the server.
    pub device: DeviceId,
    /// Its secret.
    pub token: String,
    /// What it may do.
    pub role: Role,
    /// The worker that it was enrolled for.
    pub worker: Option<RecordId>,
    /// The server: `https://rounds.example.org`.
    pub server_url: String,
    /// The certificates that vouch for the server, as PEM; those of the web if absent.
    pub ca_pem: Option<Vec<u8>>,
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}) at {}", self.device, self.role.name(), self.server_url) // the token is a secret
    }
}

/// How things stand with a device.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Standing {
    /// It has no server yet.
    NotEnrolled,
    /// All is well.
    Good,
    /// Another phone uses the same name, and this one is the copy; the next sync gives it a name of its own.
    Forked {
        /// The first op that the server knows otherwise.
        at_seq: u64,
    },
    /// It was revoked, and still has ops to hand over. It records nothing new.
    Revoked,
    /// It was revoked, handed everything over, and was wiped.
    Wiped,
}

/// A device at a glance.
#[derive(Clone, PartialEq, Debug)]
pub struct Status {
    /// How things stand.
    pub standing: Standing,
    /// Who it is; none if it was not enrolled, or was wiped.
    pub identity: Option<Identity>,
    /// Ops recorded under its present name.
    pub recorded_ops: u64,
    /// Ops that have no verdict.
    pub unsent_ops: u64,
    /// Records of the server that it holds.
    pub records: u64,
    /// The version of its assignment; 0 before the first sync.
    pub scope_version: u64,
}

/// How much goes into one call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Size {
    /// Most ops; a single group may be larger.
    pub ops_max: usize,
    /// Most records to answer with; 0 leaves it to the server.
    pub records_max: u32,
}

impl Default for Size {
    fn default() -> Self {
        Self { ops_max: BATCH_OPS_MAX, records_max: 0 }
    }
}

/// Where halving the answers begins: about what a server sends unasked.
const RECORDS_TO_HALVE: u32 = 1_024;

impl Size {
    /// Half as much as went out and came back; at least one of each.
    pub(crate) fn halved(self, sent: usize) -> Self {
        let records_max = if self.records_max == 0 { RECORDS_TO_HALVE } else { self.records_max };
        let ops_max = match sent {
            0 => self.ops_max,
            sent => (sent.min(self.ops_max) / 2).max(1),
        };
        Self { ops_max, records_max: (records_max / 2).max(1) }
    }

    /// Twice as much, up to what goes into one call by default.
    pub(crate) fn doubled(self) -> Self {
        let records_max = if self.records_max < RECORDS_TO_HALVE / 2 { self.records_max * 2 } else { 0 };
        Self { ops_max: (self.ops_max * 2).min(BATCH_OPS_MAX), records_max }
    }
}

/// A question to the server, to be handed back with the answer.
#[derive(Clone, PartialEq, Debug)]
pub struct Asked {
    /// What to send.
    pub request: v1::SyncRequest,
    /// Under which name.
    pub device: DeviceId,
    /// How many answers had been taken in then.
    answers: u64,
}

/// What to do after an answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Next {
    /// Nothing: the outbox is empty, and there is nothing more to pull.
    Rest,
    /// Ask again at once.
    AskAgain,
    /// Ask again in a while: the server put ops off.
    AskLater,
    /// Call `DeviceService.Fork`, then [`Device::fork`], then ask again.
    Fork {
        /// The first op that the server knows otherwise.
        at_seq: u64,
    },
    /// Nothing ever again: the device was revoked, and is wiped.
    Wiped,
}

/// What an answer brought.
#[derive(Clone, PartialEq, Debug)]
pub struct Progress {
    /// Ops that got their verdict.
    pub acknowledged: usize,
    /// Entries of the feed that were taken in.
    pub pulled: usize,
    /// What to do now.
    pub next: Next,
    /// The answer came too late, after another; nothing of it was taken in.
    pub stale: bool,
    /// The server was restored from a backup: what it had forgotten is sent again.
    pub restored: bool,
    /// Why nothing was pulled, if the records cannot be read by this program: it needs an upgrade.
    pub unreadable: Option<Refusal>,
}

impl Device {
    /// Opens a device's file, or makes one that is not enrolled. Only the file's owner can read it.
    ///
    /// # Errors
    /// When the file cannot be opened, or is of a newer version of this program.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, Error> {
        let store = Store::open(path.as_ref())?;
        let device = Self { store };
        if device.status()?.standing == Standing::Wiped {
            device.store.shred()?; // the program may have ended before it could
        }
        Ok(device)
    }

    /// A device without a file, for simulations: it is gone when it is dropped.
    ///
    /// # Errors
    /// When there is no memory.
    pub fn in_memory() -> Result<Self, Error> {
        Ok(Self { store: Store::in_memory()? })
    }

    /// A copy without a file, for simulations: what somebody gets who copies a phone.
    ///
    /// # Errors
    /// When there is no memory.
    pub fn copied(&self) -> Result<Self, Error> {
        Ok(Self { store: self.store.copied()? })
    }

    /// Makes this the file of the device that the server enrolled.
    ///
    /// # Errors
    /// [`Error::AlreadyEnrolled`], [`Error::Revoked`].
    pub fn enrolled(&mut self, identity: Identity) -> Result<(), Error> {
        self.store.write(|tx| {
            let mut meta = Meta::load(tx)?;
            match meta.enrolled() {
                Ok(device) => return Err(Error::AlreadyEnrolled(device)),
                Err(Error::NotEnrolled) => {}
                Err(error) => return Err(error),
            }
            meta.device = Some(identity.device);
            meta.token = identity.token;
            meta.role = Some(identity.role);
            meta.worker = identity.worker;
            meta.server_url = identity.server_url;
            meta.ca_pem = identity.ca_pem;
            meta.save(tx)
        })
    }

    /// Who this device is.
    ///
    /// # Errors
    /// [`Error::NotEnrolled`], or [`Error::Revoked`] for one that was wiped.
    pub fn identity(&self) -> Result<Identity, Error> {
        self.store.read(|tx| identity(&Meta::load(tx)?))
    }

    /// Which device this phone was first: another one, if it has another name by now. Copies of it have that in common.
    ///
    /// # Errors
    /// As [`identity`](Self::identity).
    pub fn first_device(&self) -> Result<DeviceId, Error> {
        self.store.read(|tx| {
            let meta = Meta::load(tx)?;
            let device = meta.enrolled()?;
            Ok(meta.first_device.unwrap_or(device))
        })
    }

    /// The device at a glance.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn status(&self) -> Result<Status, Error> {
        self.store.read(|tx| {
            let meta = Meta::load(tx)?;
            Ok(Status {
                standing: match meta.device {
                    None if meta.revoked => Standing::Wiped,
                    None => Standing::NotEnrolled,
                    Some(_) if meta.revoked => Standing::Revoked,
                    Some(_) if meta.forked_at > 0 => Standing::Forked { at_seq: meta.forked_at },
                    Some(_) => Standing::Good,
                },
                identity: identity(&meta).ok(),
                recorded_ops: meta.next_seq - 1,
                unsent_ops: meta.device.map_or(Ok(0), |device| outbox::unsent(tx, device))?,
                records: tx
                    .query_row("SELECT COUNT(*) FROM record WHERE deleted = 0", [], |row| row.get(0))?,
                scope_version: meta.scope_version,
            })
        })
    }

    /// Records what somebody did, all of it or nothing. It is on disk when this returns, and shows at once.
    ///
    /// A group is atomic on the server and on every other device too: a visit with the requests raised in it. It is
    /// about one area. `now` are the device's clocks at this moment. Answers the ops' numbers.
    ///
    /// # Errors
    /// [`Error::Refused`] for what the server would refuse as well, [`Error::NotEnrolled`], [`Error::Revoked`].
    pub fn record(&mut self, now: ClockReading, group: Vec<Draft>) -> Result<Vec<u64>, Error> {
        self.store.write(|tx| {
            let mut meta = Meta::load(tx)?;
            let device = meta.enrolled()?;
            if meta.revoked {
                return Err(Error::Revoked);
            }
            let ops = check(&meta, now, group)?;
            let first_seq = meta.next_seq;
            for (behind, (op, bytes)) in ops.into_iter().rev().enumerate().rev() {
                let sealed = v1::SealedOp {
                    seq: meta.next_seq,
                    followed_by: behind as u32, // at most GROUP_OPS_MAX
                    op: bytes.into(),
                };
                outbox::add(tx, device, &sealed, &op)?;
                meta.next_seq += 1;
            }
            meta.save(tx)?;
            Ok((first_seq..meta.next_seq).collect())
        })
    }

    /// What to ask the server now. Nothing changes by asking, so it may be asked any number of times.
    ///
    /// # Errors
    /// [`Error::NotEnrolled`], or [`Error::Revoked`] for one that was wiped.
    pub fn request(&self, now: ClockReading, size: Size) -> Result<Asked, Error> {
        self.store.read(|tx| {
            let meta = Meta::load(tx)?;
            let device = meta.enrolled()?;
            let request = v1::SyncRequest {
                ops: outbox::batch(tx, device, size)?,
                cursor: meta.cursor.clone(),
                clock: Some(clock_to_wire(now)),
                holds_from: outbox::holds_from(tx, device, &meta)?,
                unsent_ops: outbox::unsent(tx, device)?,
                page_records_max: size.records_max,
            };
            Ok(Asked { request, device, answers: meta.answers })
        })
    }

    /// Takes in the server's answer, all of it or nothing.
    ///
    /// Only an answer to the latest question counts: one that another has overtaken changes nothing, as the server
    /// says the same again when it is asked again.
    ///
    /// # Errors
    /// [`Error::Answer`] for an answer that is none. Then, and when the file cannot be written, ask again.
    pub fn take(&mut self, asked: &Asked, answer: v1::SyncResponse) -> Result<Progress, Error> {
        let answer = Answer::read(answer)?;
        let progress = self.store.write(|tx| take(tx, asked, answer))?;
        if progress.next == Next::Wiped
            && let Err(error) = self.store.shred()
        {
            // Somebody else has the file open. Everything is deleted, and the next to open it shreds the rest.
            tracing::warn!(%error, "the wiped file still holds traces");
        }
        Ok(progress)
    }

    /// The question for a name of its own, for a device that turned out to be a copy. The same one as long as the op is
    /// held with which it differs.
    ///
    /// # Errors
    /// [`Error::NotEnrolled`], or [`Error::Revoked`] for one that was wiped.
    pub fn fork_request(&self, at_seq: u64) -> Result<v1::ForkRequest, Error> {
        self.store.read(|tx| {
            let op = outbox::op(tx, Meta::load(tx)?.enrolled()?, at_seq)?.unwrap_or_default();
            Ok(v1::ForkRequest { forked_at_seq: at_seq, op })
        })
    }

    /// Becomes another device, as this one turned out to be a copy: whatever is held goes out again under the new name,
    /// with its order and groups. What the server has it knows; after a restore nobody else may hold it. Records are
    /// pulled anew. Nothing is done if it is not `from` any more, under whose name it was asked: somebody else with the
    /// same file was faster.
    ///
    /// # Errors
    /// [`Error::NotEnrolled`], or [`Error::Revoked`] for one that was wiped.
    pub fn fork(&mut self, from: DeviceId, device: DeviceId, token: String) -> Result<(), Error> {
        self.store.write(|tx| {
            let mut meta = Meta::load(tx)?;
            if meta.enrolled()? != from {
                return Ok(());
            }
            go_on_as(tx, &mut meta, device, token)?;
            meta.save(tx)
        })
    }

    /// Becomes another device, as the server does not know this one any more: whatever is held goes out again under the
    /// new name, with its order and groups. Records are pulled anew.
    ///
    /// # Errors
    /// [`Error::NotEnrolled`], or [`Error::Revoked`] for one that was wiped.
    pub fn enrolled_again(&mut self, identity: Identity) -> Result<(), Error> {
        self.store.write(|tx| {
            let mut meta = Meta::load(tx)?;
            meta.role = Some(identity.role);
            meta.worker = identity.worker;
            meta.ca_pem = identity.ca_pem;
            // What was said of the one before: it may have been revoked, and had its areas at other times.
            meta.revoked = false;
            meta.scope_version = 0;
            go_on_as(tx, &mut meta, identity.device, identity.token)?;
            meta.save(tx)
        })
    }

    /// Forgets how far it has pulled: the next calls pull everything. What the server no longer sends is dropped at
    /// the end of that, and not before. All that is held goes out again: without a cursor nobody would be told of a
    /// restore before its ops are taken in, and the numbers of those may by now be another's.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn pull_anew(&mut self) -> Result<(), Error> {
        self.store.write(|tx| {
            let mut meta = Meta::load(tx)?;
            if let Some(device) = meta.device {
                outbox::unsend_after(tx, device, meta.forgotten_through)?;
            }
            pull_anew(tx, &mut meta)?;
            meta.save(tx)
        })
    }
}

fn identity(meta: &Meta) -> Result<Identity, Error> {
    Ok(Identity {
        device: meta.enrolled()?,
        token: meta.token.clone(),
        role: meta.role.ok_or_else(|| Error::Unreadable("the role".to_owned()))?,
        worker: meta.worker,
        server_url: meta.server_url.clone(),
        ca_pem: meta.ca_pem.clone(),
    })
}

/// Gives the device another name, under which the ops that are held get the numbers from 1 on.
fn go_on_as(tx: &Connection, meta: &mut Meta, device: DeviceId, token: String) -> Result<(), Error> {
    let before = meta.enrolled()?;
    let moved = outbox::renumber(tx, before, device, meta.forgotten_through)?;
    meta.first_device.get_or_insert(before);
    meta.device = Some(device);
    meta.token = token;
    meta.next_seq = moved + 1;
    meta.forgotten_through = 0;
    meta.forked_at = 0;
    pull_anew(tx, meta)
}

fn pull_anew(tx: &Connection, meta: &mut Meta) -> Result<(), Error> {
    meta.cursor.clear();
    meta.answers += 1; // an answer that is still on its way is for the old cursor, perhaps for the old name
    store::doubt_records(tx)
}

/// The ops of a group and their bytes, if the server would take them in.
fn check(meta: &Meta, clock: ClockReading, group: Vec<Draft>) -> Result<Vec<(Op, Vec<u8>)>, Error> {
    let refused = |at| move |refusal| Error::Refused { at, refusal };
    if group.is_empty() || group.len() > GROUP_OPS_MAX {
        let what = format!("holds {} ops: record 1 to {GROUP_OPS_MAX} together", group.len());
        return Err(refused(0)(Refusal::invalid("group", &what)));
    }
    let area = group[0].area;
    let mut ops = Vec::with_capacity(group.len());
    for (at, draft) in group.into_iter().enumerate() {
        let Draft { record, area: in_area, kind, action } = draft;
        if in_area != area {
            let what = "is not that of the first op: a group is about one area";
            return Err(refused(at)(Refusal::invalid("area", what)));
        }
        if !meta.role.is_some_and(|role| role.may(&action, kind)) {
            let role = meta.role.map_or("none", Role::name);
            let detail = format!("the role {role} may not do this to a {}", kind.name());
            return Err(refused(at)(Refusal::new(Reason::Forbidden, detail)));
        }
        let (observed, scope_version) = (meta.observed, meta.scope_version);
        let op = Op { record, area, kind, action, clock, observed, scope_version };
        op.check().map_err(refused(at))?;
        let bytes = encode_op(&op).map_err(refused(at))?;
        ops.push((op, bytes));
    }
    if ops.iter().map(|(_, bytes)| bytes.len()).sum::<usize>() > BATCH_BYTES_MAX {
        let what = format!("larger than {BATCH_BYTES_MAX} bytes: record it in parts");
        return Err(refused(0)(Refusal::invalid("group", &what)));
    }
    Ok(ops)
}

/// An answer, as far as it can be read.
struct Answer {
    verdicts: Vec<(u64, Verdict)>,
    /// Older programs than the server cannot always read what it sends; they can always unload.
    feed: Result<Vec<Item>, Refusal>,
    rest: v1::SyncResponse,
}

/// A new entry of a feed.
enum Item {
    Record(Box<Record>, Vec<u8>),
    Departure(RecordId, AreaId),
    LeftArea(AreaId),
}

impl Answer {
    fn read(mut answer: v1::SyncResponse) -> Result<Self, Error> {
        let verdicts = std::mem::take(&mut answer.verdicts);
        let verdicts: Result<Vec<_>, Refusal> = verdicts.into_iter().map(verdict_from_wire).collect();
        if answer.standing() == v1::DeviceStanding::Unspecified {
            return Err(Error::Answer(Refusal::invalid(
                "standing",
                "is not known here: upgrade this program",
            )));
        }
        let feed = std::mem::take(&mut answer.feed).into_iter().map(read_item).collect();
        Ok(Self { verdicts: verdicts.map_err(Error::Answer)?, feed, rest: answer })
    }
}

fn read_item(item: v1::FeedItem) -> Result<Item, Refusal> {
    use v1::feed_item::Item as Wire;
    Ok(match item.item {
        Some(Wire::Record(wire)) => {
            let bytes = wire.encode_to_vec();
            let (record, _) = record_from_wire(wire)?;
            Item::Record(Box::new(record), bytes)
        }
        Some(Wire::Departure(departure)) => Item::Departure(
            id_from_wire("departure.record", &departure.record)?,
            id_from_wire("departure.area", &departure.area)?,
        ),
        Some(Wire::LeftArea(area)) => Item::LeftArea(id_from_wire("left_area", &area)?),
        None => return Err(Refusal::invalid("feed", "holds an entry that is not known here")),
    })
}

fn take(tx: &Connection, asked: &Asked, answer: Answer) -> Result<Progress, Error> {
    let mut progress = Progress {
        acknowledged: 0,
        pulled: 0,
        next: Next::AskAgain,
        stale: false,
        restored: false,
        unreadable: None,
    };
    let mut meta = Meta::load(tx)?;
    let device = meta.enrolled()?;
    if asked.answers != meta.answers && !is_injected(Bug::StaleAnswerTaken) {
        progress.stale = true;
        return Ok(progress);
    }
    meta.answers += 1;
    let Answer { verdicts, feed, rest } = answer;

    progress.restored =
        !meta.epoch.is_empty() && meta.epoch != rest.epoch && !is_injected(Bug::RestoreUnseen);
    // What the server has forgotten goes out again. After a restore that is all that is held: the numbers up to
    // `acknowledged_through` may by now be those of a copy of this phone, which only the bytes can tell.
    let known_through = match progress.restored {
        true => 0,
        false if is_injected(Bug::RestoreUnseen) => u64::MAX >> 1,
        false => rest.acknowledged_through,
    };
    let forgotten = outbox::unsend_after(tx, device, known_through.max(meta.forgotten_through))?;
    if progress.restored {
        pull_anew(tx, &mut meta)?;
    }
    meta.epoch.clone_from(&rest.epoch);

    for (seq, verdict) in &verdicts {
        progress.acknowledged += usize::from(outbox::note(tx, device, *seq, verdict)?);
    }
    let standing = rest.standing(); // one that is not known here keeps nobody from unloading
    meta.revoked |= standing == v1::DeviceStanding::Revoked;
    // Also where it was revoked: the copy of a revoked phone has work to hand over, and needs a name for that.
    meta.forked_at = if standing == v1::DeviceStanding::Good { 0 } else { rest.forked_at_seq };

    let mut more = progress.restored;
    if !progress.restored && !meta.revoked {
        match feed {
            Ok(items) => {
                progress.pulled = items.len();
                take_feed(tx, &mut meta, items)?;
                meta.cursor = rest.cursor;
                meta.scope_version = rest.scope_version;
                more = rest.more;
                if !more {
                    store::drop_doubted(tx)?;
                    outbox::settle(tx)?;
                }
            }
            Err(refusal) => progress.unreadable = Some(refusal),
        }
    }
    outbox::forget(tx, &mut meta, rest.safe_to_forget_through)?;

    let unsent = outbox::unsent(tx, device)?;
    let put_off = progress.acknowledged == 0 && !asked.request.ops.is_empty() && forgotten == 0;
    progress.next = match unsent {
        _ if meta.revoked && is_injected(Bug::WipedTooEarly) => Next::Wiped,
        0 if meta.revoked => Next::Wiped,
        _ if meta.forked_at > 0 => Next::Fork { at_seq: meta.forked_at },
        1.. if put_off && !more => Next::AskLater,
        0 if !more => Next::Rest,
        _ => Next::AskAgain,
    };
    if progress.next == Next::Wiped {
        wipe(tx, &mut meta)?;
    }
    meta.save(tx)?;
    Ok(progress)
}

fn take_feed(tx: &Connection, meta: &mut Meta, items: Vec<Item>) -> Result<(), Error> {
    for item in items {
        match item {
            Item::Record(record, wire) => {
                if !is_injected(Bug::SeenUnsaid) {
                    meta.observed = meta.observed.max(record.through.stamp);
                }
                store::put_record(tx, &record, &wire)?;
                outbox::settle_of(tx, record.id)?;
            }
            Item::Departure(record, area) => store::drop_record(tx, record, area)?,
            Item::LeftArea(area) => store::drop_area(tx, area)?,
        }
    }
    Ok(())
}

/// Leaves nothing but the mark that the device was revoked.
fn wipe(tx: &Connection, meta: &mut Meta) -> Result<(), Error> {
    tx.execute_batch("DELETE FROM record; DELETE FROM outbox;")?;
    contact::wipe(tx)?;
    *meta = Meta { revoked: true, next_seq: 1, ..Meta::default() };
    Ok(())
}
