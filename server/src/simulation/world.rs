//! What happens when: one thing after the other, in an order that follows from the seed.

mod exchange;
mod mishap;

use super::check::{Everything, everything};
use super::ledger::{Known, Ledger};
use super::phone::Phone;
use super::site::{Now, Site};
use super::town::Town;
use super::{Fault, Kept, Promise, Report, Settings, Stop, promised};
use crate::chance::Chance;
use crate::secret::token_hash;
use rounds_device::{Device, Identity};
use rounds_domain::{Action, AreaId, DeviceId, Record, RecordId, Role};
use rounds_proto::v1;
use rounds_store::{Access, Memory, NewCode};
use rounds_worker::DEVICE;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tonic::Code;

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
/// In a world of more devices, the server fails as often as in one of so many: otherwise hundreds of devices would see it
/// down most of the day, and restored every few hours.
const DEVICES_FAILING_SERVER_MAX: i64 = 20;
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
        world.office = world.enrol(Role::Admin, &BTreeSet::new(), None).await?.token;
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
        let devices = self.settings.devices as i64;
        let is_one_of_many = fault.is_of_server() && devices > DEVICES_FAILING_SERVER_MAX;
        let is_its_share = !is_one_of_many || self.chance.between(1, devices) <= DEVICES_FAILING_SERVER_MAX;
        let fails = self.chance.between(0, 999) < permille && is_its_share;
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
    async fn enrol(
        &mut self,
        role: Role,
        roots: &BTreeSet<AreaId>,
        first_device: Option<DeviceId>,
    ) -> Kept<Identity> {
        let shared = self.site.shared()?;
        let code = shared.random.code()?;
        let new = NewCode {
            hash: crate::secret::code_hash(&code),
            role,
            areas: roots.iter().copied().collect(),
            worker: None,
            organization: None,
            maker: None,
            expires_ms: self.now.ms() + DAY_MS,
        };
        shared.store.create_code(new).await?;
        let first_device = first_device.map(|id| id.to_string()).unwrap_or_default();
        let request = v1::EnrolRequest { code, label: "a phone".to_owned(), first_device };
        let enrolled = shared.enrol(request, None).await?;
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
        let mut identity = self.enrol(role, &roots, None).await?;
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
        let is_lost = phone.is_anew || self.is_undone(phone.told_ms); // records are elsewhere than it shows, and areas too
        let held = phone.told.iter().chain(&phone.roots).copied();
        let is_held =
            self.town.scope(held, phone.role == Role::Admin).get(&group[0].area) == Some(&Access::Full);
        let made: Vec<RecordId> = group.iter().map(|draft| draft.record).collect();
        let moves = group.iter().any(|draft| matches!(draft.action, Action::Move { .. }));
        let is_fair = is_held && !is_lost && !moves && !phone.shows_own_move(&made)?;
        let phone = &mut self.phones[number];
        if moves {
            phone.moved.extend(&made);
        }
        let ops = phone.record(group)?;
        self.report.recorded += ops.len() as u64;
        self.note("record", &[number as u64, ops.len() as u64]);
        if !ops.is_empty() {
            self.phones[number].note_seen(made.into_iter(), &mut self.people);
            self.ledger.record(number, ops, is_fair, self.phones[number].seen_stamp);
        }
        Ok(())
    }

    /// Whether what the server did at this time is in no database any more, because a backup was restored.
    fn is_undone(&self, ms: i64) -> bool {
        self.restored.iter().any(|(taken_ms, at_ms)| (*taken_ms..=*at_ms).contains(&ms))
    }

    /// The worker looks at all that is to be looked at. Answers how much it did.
    async fn work(&mut self) -> Kept<usize> {
        let Ok(store) = self.site.store() else { return Ok(0) };
        let now = self.now.clone();
        let clock: rounds_worker::Clock = Arc::new(move || now.ms());
        let mut done = 0;
        for _ in 0..ROUNDS_MAX {
            let step = rounds_worker::step(&store, &clock).await?;
            self.note("work", &[step.done as u64, step.refused as u64]);
            done += step.done;
            promised(step.refused == 0, Promise::Recomputation, || {
                format!("{} looks came to nothing, and nobody was in between", step.refused)
            })?;
            if step.done == 0 {
                return Ok(done);
            }
        }
        promised(false, Promise::Liveness, || "the worker does not come to rest".to_owned())?;
        Ok(done)
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

    /// A device calls until it has everything. The time stands still: in a large world something is due every few minutes,
    /// and it would never come to rest.
    async fn drain(&mut self, number: usize) -> Kept {
        for _ in 0..CALLS_MAX {
            if self.phones[number].is_gone {
                return Ok(());
            }
            self.queue.clear();
            self.phones[number].waits_for = None;
            let syncs = self.report.syncs;
            self.call(number)?;
            while let Some((_, event)) = self.queue.pop_first() {
                if matches!(event, Event::Arrive { .. } | Event::Answer { .. } | Event::Commit) {
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

fn hash(bytes: &[u8]) -> u64 {
    let hash = Sha256::digest(bytes);
    hash.iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte))
}
