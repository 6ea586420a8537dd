//! What happens when: one thing after the other, in an order that follows from the seed.

use super::check::{Everything, agrees, everything};
use super::ledger::{Known, Ledger};
use super::phone::Phone;
use super::site::{Now, Site, Waiting};
use super::town::Town;
use super::{Fault, Kept, Promise, Report, Settings, Stop, promised, tap};
use crate::chance::Chance;
use crate::secret::token_hash;
use prost::Message as _;
use rounds_device::{Device, Identity, Next};
use rounds_domain::verdict::Reason;
use rounds_domain::{Action, AreaId, DeviceId, Kind, OpId, Record, RecordId, Role};
use rounds_proto::{decode_op, v1};
use rounds_store::{Access, Memory, NewCode, Receipt};
use rounds_worker::DEVICE;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

/// 2026-11-02T00:00:00Z: the days before and after it have clocks that change, in ms since 1970 UTC.
const START_MS: i64 = 1_793_577_600_000;
const SECOND_MS: i64 = 1_000;
const MINUTE_MS: i64 = 60 * SECOND_MS;
const HOUR_MS: i64 = 60 * MINUTE_MS;
const DAY_MS: i64 = 24 * HOUR_MS;
/// Times that somebody records something, for each device and day.
const ACTS_PER_DAY: i64 = 5;
/// Times that a device calls, for each day.
const CALLS_PER_DAY: i64 = 4;
/// Mishaps for each 100 device-days.
const MISHAPS_PER_100: i64 = 40;
/// A backup that is restored is at most so old: less than devices keep what was acknowledged.
const BACKUP_AGE_MAX_MS: i64 = 13 * HOUR_MS;
/// Rounds in which everything must have come to rest.
const ROUNDS_MAX: usize = 12;
/// Calls in a row after which a device must have come to rest, by far.
const CALLS_MAX: usize = 400;

/// Something that happens at some time.
enum Event {
    /// Somebody records something.
    Act(usize),
    /// A device calls, if it does not wait for an answer.
    Wake(usize),
    /// A device gives a call up.
    GiveUp { phone: usize, number: u64 },
    /// A call reaches the server.
    Arrive { phone: usize, generation: u64, number: u64, token: [u8; 32], bytes: Vec<u8> },
    /// The server commits what waits.
    Commit,
    /// An answer reaches the device.
    Answer { phone: usize, generation: u64, number: u64, answer: Answer },
    /// A device has a network again.
    Connect(usize),
    /// The server is started again.
    Restart,
    /// Something goes wrong.
    Mishap,
    /// The worker looks.
    Work,
    /// The database is backed up.
    BackUp,
}

/// What comes back.
#[derive(Clone)]
enum Answer {
    /// An answer, and what the server has for the device at this moment if that is looked at.
    Bytes {
        bytes: Vec<u8>,
        all: Option<Arc<Everything>>,
        roots: BTreeSet<AreaId>,
    },
    Failed(Code, String),
}

struct Backup {
    memory: Memory,
    known: Known,
    taken_ms: i64,
}

pub(super) struct World<'a> {
    settings: &'a Settings,
    chance: Chance,
    /// What people do, apart from what goes wrong: one does not change the other's dice.
    people: Chance,
    now: Now,
    queue: BTreeMap<(i64, u64), Event>,
    next: u64,
    pub(super) town: Town,
    pub(super) site: Site,
    pub(super) phones: Vec<Phone>,
    pub(super) ledger: Ledger,
    pub(super) report: Report,
    trace: Sha256,
    backup: Option<Backup>,
    /// When backups that were restored had been taken, and when they were restored.
    restored: Vec<(i64, i64)>,
    /// An administrator, who decides about devices.
    office: String,
    /// The last fault was over: from now on everything works.
    is_calm: bool,
    commit_is_due: bool,
}

/// Lives through it all. With the promise that was broken, it says on which day.
pub(super) async fn live(settings: &Settings) -> Result<Report, (i64, Stop)> {
    let now = Now::at(START_MS);
    let day = |now: &Now| (now.ms() - START_MS) / DAY_MS;
    let mut world = World::begin(settings, &now).await.map_err(|stop| (0, stop))?;
    let lived = async {
        world.days().await?;
        world.calm_down().await?;
        world.check().await
    };
    lived.await.map_err(|stop| (day(&now), stop))?;
    let World { mut report, trace, site, backup, .. } = world;
    report.trace = trace.finalize()[..8].iter().map(|byte| format!("{byte:02x}")).collect();
    site.close().await;
    if let Some(backup) = backup {
        backup.memory.close().await;
    }
    Ok(report)
}

impl<'a> World<'a> {
    async fn begin(settings: &'a Settings, now: &Now) -> Kept<Self> {
        let mut chance = Chance::of(settings.seed, "simulation");
        let site = Site::new(now.clone(), Chance::of(settings.seed, "server")).await?;
        let store = site.store()?;
        let (town, groups) = Town::build(&store, settings.devices, now.ms(), &mut chance).await?;
        let mut ledger = Ledger::default();
        groups.into_iter().for_each(|records| ledger.plant(records));
        let mut world = Self {
            settings,
            people: Chance::of(settings.seed, "people"),
            now: now.clone(),
            queue: BTreeMap::new(),
            next: 0,
            town,
            site,
            phones: Vec::new(),
            ledger,
            report: Report::default(),
            trace: Sha256::new(),
            backup: None,
            restored: Vec::new(),
            office: String::new(),
            is_calm: false,
            commit_is_due: false,
            chance,
        };
        world.office = world.enrol(Role::Admin, &BTreeSet::new()).await?.token;
        for _ in 0..settings.devices {
            world.add_phone().await?;
        }
        for hour in (3..i64::from(settings.days) * 24).step_by(5) {
            let at_ms = START_MS + hour * HOUR_MS;
            world.at(at_ms, Event::Work);
            if hour % 2 == 0 {
                world.at(at_ms + 1, Event::BackUp);
            }
        }
        let mishaps = settings.devices as i64 * i64::from(settings.days) * MISHAPS_PER_100 / 100;
        for _ in 0..mishaps.max(2) {
            let at_ms = START_MS + world.chance.between(HOUR_MS, i64::from(settings.days) * DAY_MS);
            world.at(at_ms, Event::Mishap);
        }
        Ok(world)
    }

    /// Has something happen at this time.
    fn at(&mut self, at_ms: i64, event: Event) {
        self.queue.insert((at_ms.max(self.now.ms()), self.next), event);
        self.next += 1;
    }

    /// Has something happen after a time between these.
    fn soon(&mut self, from_ms: i64, to_ms: i64, event: Event) {
        let at_ms = self.now.ms() + self.chance.between(from_ms, to_ms);
        self.at(at_ms, event);
    }

    /// Notes what happened: every word of it decides on the hash.
    fn note(&mut self, what: &str, numbers: &[u64]) {
        tracing::trace!(at = self.now.ms() - START_MS, ?numbers, "{what}");
        self.trace.update(self.now.ms().to_be_bytes());
        self.trace.update(what.as_bytes());
        for number in numbers {
            self.trace.update(number.to_be_bytes());
        }
    }

    /// Whether this goes wrong now, where it can, in so many of 1,000 cases.
    fn fails(&mut self, fault: Fault, permille: i64) -> bool {
        let fails = self.chance.between(0, 999) < permille;
        let fails = fails && !self.is_calm && self.settings.faults.contains(&fault);
        if fails {
            *self.report.faults.entry(fault).or_default() += 1;
        }
        fails
    }

    async fn days(&mut self) -> Kept {
        let end_ms = START_MS + i64::from(self.settings.days) * DAY_MS;
        while let Some(((at_ms, _), event)) = self.queue.pop_first() {
            if at_ms >= end_ms {
                self.queue.insert((at_ms, 0), event);
                break;
            }
            self.now.set(at_ms);
            self.happen(event).await?;
        }
        self.now.set(end_ms);
        Ok(())
    }

    async fn happen(&mut self, event: Event) -> Kept {
        match event {
            Event::Act(phone) => self.act(phone),
            Event::Wake(phone) => self.call(phone),
            Event::GiveUp { phone, number } => {
                let phone_now = &mut self.phones[phone];
                if phone_now.waits_for == Some(number) {
                    phone_now.waits_for = None;
                    phone_now.failures += 1;
                    let failures = phone_now.failures.min(6);
                    self.soon(SECOND_MS, MINUTE_MS << failures, Event::Wake(phone));
                }
                Ok(())
            }
            Event::Arrive { phone, generation, number, token, bytes } => {
                self.arrive(phone, generation, number, token, bytes).await
            }
            Event::Commit => self.commit().await,
            Event::Answer { phone, generation, number, answer } => {
                self.hear(phone, generation, number, answer).await
            }
            Event::Connect(phone) => {
                self.phones[phone].is_connected = true;
                self.call(phone)
            }
            Event::Restart => self.restart().await,
            Event::Mishap => self.mishap().await,
            Event::Work => self.work().await.map(drop),
            Event::BackUp => self.back_up().await,
        }
    }

    // --- Devices -------------------------------------------------------------------------------------------------

    /// A new identity, for a code as an administrator makes them.
    async fn enrol(&mut self, role: Role, roots: &BTreeSet<AreaId>) -> Kept<Identity> {
        let shared = self.site.shared()?;
        let code = shared.random.code()?;
        let new = NewCode {
            hash: crate::secret::code_hash(&code),
            role,
            areas: roots.iter().copied().collect(),
            worker: None,
            organization: None,
            expires_ms: self.now.ms() + DAY_MS,
        };
        shared.store.create_code(new).await?;
        let enrolled = shared.enrol(v1::EnrolRequest { code, label: "a phone".to_owned() }, None).await?;
        Ok(Identity {
            device: enrolled.device.parse()?,
            token: enrolled.token,
            role,
            worker: None,
            server_url: "https://rounds.example.org".to_owned(),
            ca_pem: None,
        })
    }

    /// Somebody gets a device.
    async fn add_phone(&mut self) -> Kept {
        let role = *self.chance.weighted(&[
            (Role::Field, 60),
            (Role::Coordinator, 24),
            (Role::Supervisor, 4),
            (Role::Admin, 12),
        ]);
        let mut roots = BTreeSet::new();
        if role != Role::Admin {
            for _ in 0..*self.chance.pick(&[1, 1, 2]) {
                roots.insert(*self.chance.pick(&self.town.communities));
            }
            if self.chance.percent(8) {
                roots.insert(self.town.district);
            }
        }
        let mut identity = self.enrol(role, &roots).await?;
        if self.settings.faults.contains(&Fault::Poison) && self.chance.percent(15) {
            identity.role = Role::Admin; // the device lets its user do what the server will not
        }
        let mut device = Device::in_memory()?;
        device.enrolled(identity)?;
        let phone = Phone::new(device, role, roots, &self.now, &mut self.chance);
        self.phones.push(phone);
        self.begin_life(self.phones.len() - 1);
        Ok(())
    }

    fn begin_life(&mut self, phone: usize) {
        self.soon(MINUTE_MS, DAY_MS / ACTS_PER_DAY, Event::Act(phone));
        self.soon(SECOND_MS, DAY_MS / CALLS_PER_DAY, Event::Wake(phone));
    }

    fn act(&mut self, number: usize) -> Kept {
        if self.phones[number].is_gone {
            return Ok(());
        }
        self.soon(MINUTE_MS, 2 * DAY_MS / ACTS_PER_DAY, Event::Act(number));
        let poison = self.fails(Fault::Poison, 15);
        let phone = &self.phones[number];
        let group = self.town.act(phone, poison, self.now.ms(), &mut self.people)?;
        if group.is_empty() {
            return Ok(());
        }
        // Its areas as it knows them, or as they are: work in them is accepted, however late it comes.
        let held = phone.told.iter().chain(&phone.roots).copied();
        let is_held =
            self.town.scope(held, phone.role == Role::Admin).get(&group[0].area) == Some(&Access::Full);
        let moves = group.iter().any(|draft| matches!(draft.action, Action::Move { .. }));
        let is_fair = is_held && !moves;
        let made: Vec<RecordId> = group.iter().map(|draft| draft.record).collect();
        let ops = self.phones[number].record(group)?;
        self.report.recorded += ops.len() as u64;
        self.note("record", &[number as u64, ops.len() as u64]);
        if !ops.is_empty() {
            self.phones[number].note_seen(made.into_iter(), &mut self.people);
            self.ledger.record(number, ops, is_fair);
        }
        Ok(())
    }

    /// A device calls.
    fn call(&mut self, number: usize) -> Kept {
        let phone = &self.phones[number];
        if phone.is_gone || !phone.is_connected || phone.waits_for.is_some() {
            return Ok(());
        }
        let call = self.next;
        let token = token_hash(&phone.identity()?.token);
        let generation = phone.generation;
        let epoch = self.site.running().map(|shared| shared.store.epoch());
        let request = self.phones[number].ask(call)?;
        if let Some(epoch) = epoch {
            self.phones[number].check_cursor(&request.cursor, epoch)?;
        }
        let bytes = request.encode_to_vec();
        self.note("call", &[number as u64, call, bytes.len() as u64]);
        self.soon(20 * SECOND_MS, 3 * MINUTE_MS, Event::GiveUp { phone: number, number: call });
        let mut copies = 1;
        if self.fails(Fault::LostRequest, 60) {
            copies = 0;
        } else if self.fails(Fault::Doubled, 60) {
            copies = 2;
        }
        for _ in 0..copies {
            let (from_ms, to_ms) =
                if self.fails(Fault::Delayed, 50) { (MINUTE_MS, 30 * HOUR_MS) } else { (10, 2_000) };
            let bytes = bytes.clone();
            let event = Event::Arrive { phone: number, generation, number: call, token, bytes };
            self.soon(from_ms, to_ms, event);
        }
        Ok(())
    }

    /// A device hears from the server.
    async fn hear(&mut self, number: usize, generation: u64, call: u64, answer: Answer) -> Kept {
        let phone = &mut self.phones[number];
        if phone.is_gone || phone.generation != generation {
            return Ok(()); // whoever asked is not there any more
        }
        let is_awaited = phone.waits_for == Some(call);
        if is_awaited {
            phone.waits_for = None;
        }
        let Some(asked) = phone.asked.get(&call) else { return Ok(()) };
        let (bytes, all, roots) = match answer {
            Answer::Bytes { bytes, all, roots } => (bytes, all, roots),
            Answer::Failed(code, reason) => return self.fail(number, is_awaited, code, &reason).await,
        };
        let response = v1::SyncResponse::decode(bytes.as_slice())?;
        let seen: Vec<RecordId> = records_of(&response)?;
        let progress = phone.device.take(asked, response)?;
        self.note("hear", &[number as u64, call, progress.acknowledged as u64, progress.pulled as u64]);
        if progress.stale {
            if is_awaited {
                self.soon(0, 100, Event::Wake(number));
            }
            return Ok(());
        }
        promised(progress.unreadable.is_none(), Promise::Sound, || format!("{:?}", progress.unreadable))?;
        let phone = &mut self.phones[number];
        phone.failures = 0;
        if !progress.restored {
            phone.told = roots;
        }
        // The answer of a server that was restored since is not taken in: everything is pulled anew.
        let seen = if progress.restored { Vec::new() } else { seen };
        let groups = seen.iter().filter_map(|id| self.ledger.whole_group_of(*id));
        for group in groups {
            for member in &group.records {
                promised(phone.device.view(*member)?.is_some(), Promise::Groups, || {
                    format!("a device has a part of a group, and lacks {member}")
                })?;
            }
        }
        phone.note_seen(seen.into_iter(), &mut self.people);
        match progress.next {
            Next::AskAgain => self.soon(0, 100, Event::Wake(number)),
            Next::AskLater => self.soon(MINUTE_MS, HOUR_MS, Event::Wake(number)),
            Next::Rest => {
                self.report.syncs += 1;
                for pending in phone.device.pending()? {
                    if self.people.percent(20) {
                        phone.device.dismiss(pending.op)?; // its user has seen it
                    }
                }
                if let Some(all) = all
                    && phone.device.status()?.unsent_ops == 0
                {
                    let scope = self.town.scope(phone.roots.iter().copied(), phone.role == Role::Admin);
                    agrees(phone, &scope, &all, Promise::NoHole)?;
                }
                self.soon(HOUR_MS, 2 * DAY_MS / CALLS_PER_DAY, Event::Wake(number));
            }
            Next::Fork { at_seq } => self.fork(number, at_seq).await?,
            Next::Wiped => {
                phone.is_gone = true;
                self.note("wiped", &[number as u64]);
                let unsaved = self.ledger.lose(number);
                promised(unsaved == 0, Promise::Survival, || {
                    format!("device {number} was wiped with {unsaved} ops that nobody else has")
                })?;
            }
        }
        Ok(())
    }

    /// A call came to nothing.
    async fn fail(&mut self, number: usize, is_awaited: bool, code: Code, reason: &str) -> Kept {
        match code {
            Code::Unavailable => {}
            // The server does not know the device any more, as it was restored from an older backup.
            Code::Unauthenticated if reason == "TOKEN_UNKNOWN" => {
                let enrolled_ms = self.phones[number].enrolled_ms;
                let is_in_between =
                    self.restored.iter().any(|(taken_ms, at_ms)| (*taken_ms..=*at_ms).contains(&enrolled_ms));
                promised(is_in_between, Promise::Sound, || format!("device {number} is not known any more"))?;
                self.report.stranded += self.ledger.lose(number);
                return self.reinstall(number).await;
            }
            _ => {
                let what = format!("a call of device {number} failed: {code:?} {reason}");
                return promised(false, Promise::Liveness, || what);
            }
        }
        if is_awaited {
            self.phones[number].failures += 1;
            self.soon(MINUTE_MS, 20 * MINUTE_MS, Event::Wake(number));
        }
        Ok(())
    }

    /// A device that turned out to be a copy gets a name of its own.
    async fn fork(&mut self, number: usize, at_seq: u64) -> Kept {
        let again = |world: &mut Self| world.soon(MINUTE_MS, HOUR_MS, Event::Wake(number));
        if self.fails(Fault::LostRequest, 100) {
            again(self);
            return Ok(());
        }
        let phone = &self.phones[number];
        match self.site.fork(&phone.identity()?.token, at_seq).await {
            Ok(_) if self.fails(Fault::LostAnswer, 100) => again(self),
            Ok(answer) => {
                let device: DeviceId = answer.device.parse()?;
                let now_ms = self.now.ms();
                let phone = &mut self.phones[number];
                phone.device.fork(device, answer.token, at_seq)?;
                phone.enrolled_ms = now_ms;
                self.note("fork", &[number as u64, at_seq, number_of(device)]);
                self.soon(0, 100, Event::Wake(number));
            }
            Err(status) => {
                let (code, reason) = said(&status);
                if reason == "DEVICE_REVOKED" || reason == "NOT_FORKED" {
                    again(self); // the next sync says so
                } else {
                    self.fail(number, true, code, &reason).await?;
                }
            }
        }
        Ok(())
    }

    /// Somebody's device lost everything, and is enrolled anew.
    async fn reinstall(&mut self, number: usize) -> Kept {
        self.ledger.lose(number);
        let (role, roots) = (self.phones[number].role, self.phones[number].roots.clone());
        let identity = self.enrol(role, &roots).await?;
        let mut device = Device::in_memory()?;
        device.enrolled(identity)?;
        let new = Phone::new(device, role, roots, &self.now, &mut self.chance);
        let old = std::mem::replace(&mut self.phones[number], new);
        let phone = &mut self.phones[number];
        phone.generation = old.generation + 1;
        self.note("reinstall", &[number as u64]);
        self.soon(SECOND_MS, HOUR_MS, Event::Wake(number));
        Ok(())
    }

    // --- The server ----------------------------------------------------------------------------------------------

    /// A call reaches the server.
    async fn arrive(
        &mut self,
        phone: usize,
        generation: u64,
        number: u64,
        token: [u8; 32],
        bytes: Vec<u8>,
    ) -> Kept {
        let Some(shared) = self.site.running() else {
            let answer = Answer::Failed(Code::Unavailable, "down".to_owned());
            self.soon(10, 1_000, Event::Answer { phone, generation, number, answer });
            return Ok(());
        };
        self.report.calls += 1;
        let request = v1::SyncRequest::decode(bytes.as_slice())?;
        let call = match shared.receive(token, request.clone()).await {
            Ok(call) => call,
            Err(error) => {
                let (code, reason) = said(&Status::from(error));
                self.note(&reason, &[phone as u64, number]);
                let answer = Answer::Failed(code, reason);
                self.soon(10, 1_000, Event::Answer { phone, generation, number, answer });
                return Ok(());
            }
        };
        let waiting = Waiting { phone, generation, number, request, call };
        if waiting.call.batch.is_none() {
            return self.answer(waiting, None).await;
        }
        self.site.door.push(waiting);
        if !self.commit_is_due {
            self.commit_is_due = true;
            self.soon(0, 1_500, Event::Commit);
        }
        Ok(())
    }

    /// The server commits what waits, together.
    async fn commit(&mut self) -> Kept {
        self.commit_is_due = false;
        if self.site.door.is_empty() {
            return Ok(());
        }
        if self.fails(Fault::ServerCrash, 10) {
            return self.crash().await;
        }
        let mut waiting = std::mem::take(&mut self.site.door);
        let shared = self.site.shared()?;
        let batches: Vec<_> = waiting.iter_mut().filter_map(|waiting| waiting.call.batch.take()).collect();
        let devices: Vec<DeviceId> = batches.iter().map(|batch| batch.device).collect();
        self.report.commits += 1;
        self.report.shared_commits += u64::from(batches.len() > 1);
        let receipts =
            futures_util::future::join_all(batches.into_iter().map(|batch| shared.store.submit(batch))).await;
        let mut committed = Vec::new();
        for ((waiting, device), receipt) in waiting.into_iter().zip(devices).zip(receipts) {
            let receipt = receipt?;
            promised(receipt.lost == 0, Promise::Survival, || {
                format!("device {device} lost {} ops for good, and no backup was too old", receipt.lost)
            })?;
            let new = self.ledger.commit(device, &waiting.request, &receipt.verdicts)?;
            self.report.committed += new;
            let outcomes = receipt.verdicts.iter().map(|(seq, verdict)| seq * 16 + verdict.outcome as u64);
            let numbers: Vec<u64> = [waiting.phone as u64, number_of(device), receipt.acknowledged_through]
                .into_iter()
                .chain(outcomes)
                .collect();
            self.note("commit", &numbers);
            committed.push((waiting, receipt));
        }
        if committed.iter().any(|(waiting, _)| may_plant(&waiting.request)) {
            self.town.read_tree(&shared.store).await?;
        }
        if self.fails(Fault::ServerCrash, 10) {
            return self.crash().await;
        }
        for (waiting, receipt) in committed {
            self.answer(waiting, Some(receipt)).await?;
        }
        Ok(())
    }

    /// The server answers a call.
    async fn answer(&mut self, waiting: Waiting, receipt: Option<Receipt>) -> Kept {
        let Waiting { phone, generation, number, request, call } = waiting;
        let shared = self.site.shared()?;
        let device = call.device();
        let response = shared.answer(call, receipt).await?;
        let roots = shared.store.device(device).await?.map(|device| device.areas).unwrap_or_default();
        let is_admin = self.phones[phone].role == Role::Admin;
        let roots: BTreeSet<AreaId> = roots.into_iter().collect();
        let scope = self.town.scope(roots.iter().copied(), is_admin);
        let epoch = shared.store.epoch();
        tap::look(&mut self.ledger, device, &scope, epoch, &request, &response)?;
        let all = match !response.more && self.chance.percent(8) {
            true => Some(Arc::new(everything(&mut self.site, scope.keys().copied()).await?)),
            false => None,
        };
        let bytes = response.encode_to_vec();
        self.note("answer", &[phone as u64, number, hash(&bytes)]);
        if self.fails(Fault::LostAnswer, 60) {
            return Ok(());
        }
        let copies = if self.fails(Fault::Doubled, 40) { 2 } else { 1 };
        for copy in 0..copies {
            let is_late = self.fails(Fault::Delayed, 50);
            let (from_ms, to_ms) = if is_late { (MINUTE_MS, 30 * HOUR_MS) } else { (10, 2_000) };
            // What the server has by then is something else.
            let all = all.clone().filter(|_| copy == 0 && !is_late);
            let answer = Answer::Bytes { bytes: bytes.clone(), all, roots: roots.clone() };
            self.soon(from_ms, to_ms, Event::Answer { phone, generation, number, answer });
        }
        Ok(())
    }

    async fn crash(&mut self) -> Kept {
        self.site.end().await;
        self.commit_is_due = false;
        self.note("crash", &[]);
        self.soon(SECOND_MS, 2 * HOUR_MS, Event::Restart);
        Ok(())
    }

    async fn restart(&mut self) -> Kept {
        let epoch = self.chance.id(self.now.ms()).0;
        self.site.start(epoch).await
    }

    async fn back_up(&mut self) -> Kept {
        if self.site.running().is_none() || !self.settings.faults.contains(&Fault::Restore) {
            return Ok(());
        }
        let backup = Backup {
            memory: self.site.memory.copied().await?,
            known: self.ledger.known.clone(),
            taken_ms: self.now.ms(),
        };
        if let Some(before) = self.backup.replace(backup) {
            before.memory.close().await;
        }
        Ok(())
    }

    /// The server is restored from its last backup.
    async fn restore(&mut self) -> Kept {
        let epoch = self.chance.id(self.now.ms()).0;
        let Some(backup) = &self.backup else { return Ok(()) };
        if self.now.ms() - backup.taken_ms > BACKUP_AGE_MAX_MS {
            return Ok(());
        }
        self.site.restore(&backup.memory, epoch).await?;
        self.restored.push((backup.taken_ms, self.now.ms()));
        self.ledger.known = backup.known.clone();
        self.commit_is_due = false;
        let store = self.site.store()?;
        self.town.read_tree(&store).await?;
        for phone in self.phones.iter_mut().filter(|phone| !phone.is_gone) {
            if let Some(device) = store.device(phone.device.identity()?.device).await? {
                phone.roots = device.areas.into_iter().collect();
            }
        }
        self.ledger.forget_fairness(); // what a device knew of its areas is of another history
        self.note("restore", &[]);
        Ok(())
    }

    /// The worker looks at all that is to be looked at. Answers how much it did.
    async fn work(&mut self) -> Kept<usize> {
        let Ok(store) = self.site.store() else { return Ok(0) };
        let now = self.now.clone();
        let clock: rounds_worker::Clock = Arc::new(move || now.ms());
        let mut done = 0;
        for _ in 0..ROUNDS_MAX {
            let step = rounds_worker::step(&store, &clock).await?;
            self.note("work", &[step.done as u64, step.overtaken as u64]);
            done += step.done;
            promised(step.overtaken == 0, Promise::Recomputation, || {
                format!("{} looks came to nothing, and nobody was in between", step.overtaken)
            })?;
            if step.done == 0 {
                return Ok(done);
            }
        }
        promised(false, Promise::Liveness, || "the worker does not come to rest".to_owned())?;
        Ok(done)
    }

    // --- What goes wrong -----------------------------------------------------------------------------------------

    async fn mishap(&mut self) -> Kept {
        let faults: Vec<Fault> = [
            Fault::Outage,
            Fault::Outage,
            Fault::ServerCrash,
            Fault::PhoneCrash,
            Fault::Reinstall,
            Fault::Copy,
            Fault::Copy,
            Fault::Restore,
            Fault::Clock,
            Fault::Clock,
            Fault::Reassign,
            Fault::Reassign,
            Fault::Reassign,
            Fault::Revoke,
            Fault::Release,
            Fault::Release,
        ]
        .to_vec();
        let fault = *self.chance.pick(&faults);
        let number = self.chance.between(0, self.phones.len() as i64 - 1) as usize;
        // A copy that is revoked is worth a closer look.
        let number = if fault == Fault::Revoke { self.phones.len() - 1 - number % 3 } else { number };
        if self.phones[number].is_gone || !self.fails(fault, 1_000) {
            return Ok(());
        }
        self.note(fault.name(), &[number as u64]);
        match fault {
            Fault::Outage => {
                self.phones[number].is_connected = false;
                self.soon(HOUR_MS, 3 * DAY_MS, Event::Connect(number));
                Ok(())
            }
            Fault::ServerCrash if self.site.running().is_some() => self.crash().await,
            Fault::PhoneCrash => {
                self.phones[number].restart(&mut self.chance);
                if self.chance.percent(20) {
                    self.phones[number].device.pull_anew()?; // as after a cursor that no server knows
                }
                self.soon(SECOND_MS, HOUR_MS, Event::Wake(number));
                Ok(())
            }
            Fault::Reinstall if self.site.running().is_some() => self.reinstall(number).await,
            Fault::Copy => self.copy(number),
            Fault::Restore => self.restore().await,
            Fault::Clock => {
                self.disturb_clock(number);
                Ok(())
            }
            Fault::Reassign => self.reassign(number).await,
            Fault::Revoke if self.chance.percent(40) => {
                let device = self.phones[number].id()?.to_string();
                self.decided(self.site.revoke(&self.office, device).await)
            }
            Fault::Release => self.release().await,
            _ => Ok(()),
        }
    }

    /// Somebody copies a device. From then on both record and call, under one name.
    fn copy(&mut self, number: usize) -> Kept {
        let original = &self.phones[number];
        let mut copy = Phone::new(
            original.device.copied()?,
            original.role,
            original.roots.clone(),
            &self.now,
            &mut self.chance,
        );
        copy.seen.clone_from(&original.seen);
        copy.enrolled_ms = original.enrolled_ms;
        self.phones.push(copy);
        let copy = self.phones.len() - 1;
        self.ledger.copy(number, copy);
        self.begin_life(copy);
        Ok(())
    }

    fn disturb_clock(&mut self, number: usize) {
        let choice = self.chance.between(0, 4);
        let wrong_ms = match choice {
            0 => self.chance.between(-5 * 365, 5 * 365) * DAY_MS,
            1 => self.chance.between(-300, 300) * MINUTE_MS,
            2 => self.chance.between(-40, 40) * DAY_MS,
            _ => 0,
        };
        let phone = &mut self.phones[number];
        match choice {
            3 => phone.clocks.lose_battery(&mut self.chance),
            _ => phone.clocks.set_ahead(wrong_ms),
        }
    }

    async fn reassign(&mut self, number: usize) -> Kept {
        if self.phones[number].role == Role::Admin {
            return Ok(());
        }
        let mut roots = BTreeSet::new();
        for _ in 0..*self.chance.pick(&[1, 1, 2]) {
            roots.insert(*self.chance.pick(&self.town.communities));
        }
        let device = self.phones[number].id()?;
        let areas = roots.iter().map(AreaId::to_string).collect();
        let assigned = self.site.assign(&self.office, device.to_string(), areas).await;
        if assigned.is_ok() {
            for phone in self.phones.iter_mut().filter(|phone| !phone.is_gone) {
                if phone.device.identity()?.device == device {
                    phone.roots.clone_from(&roots); // its copies too
                }
            }
        }
        self.decided(assigned)
    }

    /// What the office did may fail because the server is down, or the device is not known after a restore.
    fn decided(&self, done: Result<(), Status>) -> Kept {
        match done {
            Ok(()) => Ok(()),
            Err(status) if matches!(status.code(), Code::Unavailable | Code::NotFound) => Ok(()),
            Err(status) => Err(status.into()),
        }
    }

    /// A coordinator decides about an op in quarantine.
    async fn release(&mut self) -> Kept {
        let Ok(store) = self.site.store() else { return Ok(()) };
        let released = &self.ledger.known.released;
        let kept: Vec<OpId> = self
            .ledger
            .known
            .committed
            .iter()
            .filter(|(id, (_, verdict))| {
                verdict.outcome == rounds_domain::Outcome::Quarantined
                    && verdict.reason != Some(Reason::Malformed)
                    && !released.contains(id)
            })
            .map(|(id, _)| *id)
            .collect();
        if kept.is_empty() {
            return Ok(());
        }
        let id = *self.chance.pick(&kept);
        let Some(op) = store.quarantined(id).await?.and_then(|kept| kept.op) else { return Ok(()) };
        if self.chance.percent(25) {
            store.dismiss(id).await?;
            self.note("dismiss", &[id.seq]);
        } else {
            let verdict = store.release(id, op).await?;
            self.note("release", &[id.seq, verdict.map_or(0, |verdict| verdict.outcome as u64)]);
        }
        // It takes along what waited for it.
        for id in kept {
            if store.quarantined(id).await?.is_none() {
                self.ledger.known.released.insert(id);
            }
        }
        self.town.read_tree(&store).await
    }

    // --- The end -------------------------------------------------------------------------------------------------

    /// The last fault heals, and everything comes to rest.
    async fn calm_down(&mut self) -> Kept {
        self.is_calm = true;
        self.restart().await?;
        for phone in &mut self.phones {
            phone.is_connected = true;
        }
        self.report.device_days = self.phones.len() as u64 * u64::from(self.settings.days);
        // What is still under way arrives, however late. Nobody records anything any more.
        let mut late: Vec<Event> = std::mem::take(&mut self.queue).into_values().collect();
        late.retain(|event| matches!(event, Event::Arrive { .. } | Event::Answer { .. } | Event::Commit));
        for event in late {
            self.now.set(self.now.ms() + MINUTE_MS);
            self.happen(event).await?;
        }
        self.commit().await?;
        let mut before = None;
        for _ in 0..ROUNDS_MAX {
            self.work().await?;
            for phone in 0..self.phones.len() {
                self.drain(phone).await?;
            }
            self.work().await?;
            let heads = self.heads().await?;
            if before.as_ref() == Some(&heads) {
                return self.check_worker().await;
            }
            before = Some(heads);
        }
        promised(false, Promise::Liveness, || "it does not come to rest".to_owned())
    }

    /// A device calls until it has everything.
    async fn drain(&mut self, number: usize) -> Kept {
        for _ in 0..CALLS_MAX {
            if self.phones[number].is_gone {
                return Ok(());
            }
            self.queue.clear();
            self.phones[number].waits_for = None;
            self.now.set(self.now.ms() + SECOND_MS);
            let syncs = self.report.syncs;
            self.call(number)?;
            while let Some(((at_ms, _), event)) = self.queue.pop_first() {
                if matches!(event, Event::Arrive { .. } | Event::Answer { .. } | Event::Commit) {
                    self.now.set(at_ms.max(self.now.ms()));
                    self.happen(event).await?;
                }
            }
            if self.report.syncs > syncs {
                return Ok(());
            }
        }
        let pending = self.phones[number].device.pending()?;
        let first = pending.iter().find(|pending| pending.reason != "FORBIDDEN");
        promised(false, Promise::Liveness, || {
            format!("device {number} does not come to rest; {} pending, {first:?}", pending.len())
        })
    }

    async fn heads(&self) -> Kept<Vec<(AreaId, u64)>> {
        let caller = self.site.store()?.caller(token_hash(&self.office)).await?;
        let scope = caller.map(|caller| caller.scope).unwrap_or_default();
        Ok(scope.into_iter().map(|scoped| (scoped.area, scoped.head)).collect())
    }

    /// Looking at everything again changes nothing.
    async fn check_worker(&mut self) -> Kept {
        let store = self.site.store()?;
        let before = store.device(DEVICE).await?.map_or(0, |device| device.acknowledged_through);
        store.look_again(self.town.district, self.now.ms()).await?;
        self.work().await?;
        let after = store.device(DEVICE).await?.map_or(0, |device| device.acknowledged_through);
        self.report.worker_ops = after;
        self.report.quarantined = self.ledger.quarantined().values().sum();
        tracing::debug!(quarantined = ?self.ledger.quarantined(), "all is quiet");
        if before == after {
            return Ok(());
        }
        let all = everything(&mut self.site, self.town.parents.keys().copied()).await?;
        let is_new = |record: &&Record| record.changed.op.device == DEVICE && record.changed.op.seq > before;
        let changed: Vec<&Record> = all.values().flat_map(|records| records.iter()).filter(is_new).collect();
        promised(false, Promise::Recomputation, || {
            format!("looking at everything again made {} more ops of the worker: {changed:?}", after - before)
        })
    }
}

/// The records that an answer brings.
fn records_of(response: &v1::SyncResponse) -> Kept<Vec<RecordId>> {
    use v1::feed_item::Item;
    let records = response.feed.iter().filter_map(|item| match &item.item {
        Some(Item::Record(record)) => Some(record.id.parse()),
        _ => None,
    });
    Ok(records.collect::<Result<_, _>>()?)
}

/// Whether an area may be there because of this call.
fn may_plant(request: &v1::SyncRequest) -> bool {
    request.ops.iter().any(|sealed| decode_op(&sealed.op).is_ok_and(|op| op.kind == Kind::Area))
}

fn number_of(device: DeviceId) -> u64 {
    device.0.as_u64_pair().1
}

fn hash(bytes: &[u8]) -> u64 {
    let hash = Sha256::digest(bytes);
    hash.iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// The code and machine-readable reason of a call that failed.
fn said(status: &Status) -> (Code, String) {
    let reason = status.get_details_error_info().map(|info| info.reason);
    (status.code(), reason.unwrap_or_else(|| status.message().to_owned()))
}
