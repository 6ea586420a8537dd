//! A device, its clocks and its line to the server.

use super::site::Now;
use super::{Kept, Promise, promised};
use crate::chance::Chance;
use crate::cursor::Cursor;
use rounds_device::{Asked, Device, Draft, Identity, Size};
use rounds_domain::{AreaId, ClockReading, DeviceId, RecordId, Role};
use rounds_proto::v1;
use rounds_store::Access;
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

/// Text that makes an op one that cannot be read when it arrives.
pub(super) const POISON: &str = "POISON";
/// Answers to so many calls back can still arrive.
const CALLS_KEPT: usize = 6;
/// Records that somebody has in mind.
const SEEN_MAX: usize = 200;

/// A device.
pub(super) struct Phone {
    pub(super) device: Device,
    pub(super) clocks: Clocks,
    /// What the server thinks it may do. The device itself may think otherwise.
    pub(super) role: Role,
    /// The roots of its areas.
    pub(super) roots: BTreeSet<AreaId>,
    /// The same as the device was last told.
    pub(super) told: BTreeSet<AreaId>,
    /// When the server looked at what it told.
    pub(super) told_ms: i64,
    /// The server was restored, as it heard or learned when it was not known any more, and it has not pulled everything
    /// anew: some of what it shows never was.
    pub(super) is_anew: bool,
    /// Records that its user moved: the server may have refused it.
    pub(super) moved: BTreeSet<RecordId>,
    /// Another one after each start and enrolment: what was under way then is gone.
    pub(super) generation: u64,
    pub(super) is_connected: bool,
    /// It was wiped, or nobody has it any more.
    pub(super) is_gone: bool,
    /// The call that it waits for.
    pub(super) waits_for: Option<u64>,
    /// Questions whose answers may still arrive.
    pub(super) asked: BTreeMap<u64, Asked>,
    pub(super) size: Size,
    /// Calls in a row that came to nothing.
    pub(super) failures: u32,
    /// How far it has read, as of its last call.
    cursor: BTreeMap<(AreaId, Access), u64>,
    /// Records that its user has seen.
    pub(super) seen: Vec<RecordId>,
    /// The largest stamp of all records that it ever got.
    pub(super) seen_stamp: u64,
    pub(super) enrolled_ms: i64,
}

impl Phone {
    pub(super) fn new(
        device: Device,
        role: Role,
        roots: BTreeSet<AreaId>,
        now: &Now,
        chance: &mut Chance,
    ) -> Self {
        let size =
            Size { ops_max: *chance.pick(&[1, 3, 20, 1_000]), records_max: *chance.pick(&[0, 64, 100]) };
        Self {
            device,
            clocks: Clocks::new(now, chance),
            role,
            told: roots.clone(),
            told_ms: now.ms(),
            is_anew: false,
            moved: BTreeSet::new(),
            roots,
            generation: 0,
            is_connected: true,
            is_gone: false,
            waits_for: None,
            asked: BTreeMap::new(),
            size,
            failures: 0,
            cursor: BTreeMap::new(),
            seen: Vec::new(),
            seen_stamp: 0,
            enrolled_ms: now.ms(),
        }
    }

    pub(super) fn identity(&self) -> Kept<Identity> {
        Ok(self.device.identity()?)
    }

    pub(super) fn id(&self) -> Kept<DeviceId> {
        Ok(self.identity()?.device)
    }

    /// Records what was done together. Answers the ops as they will be sent; none if the device does not let its user.
    pub(super) fn record(&mut self, group: Vec<Draft>) -> Kept<Vec<Vec<u8>>> {
        let reading = self.clocks.reading();
        let seqs = match self.device.record(reading, group) {
            Ok(seqs) => seqs,
            Err(rounds_device::Error::Refused { .. } | rounds_device::Error::Revoked) => {
                return Ok(Vec::new());
            }
            Err(error) => return Err(error.into()),
        };
        let all = Size { ops_max: usize::MAX, records_max: 0 };
        let mut request = self.device.request(reading, all)?.request;
        poison(&mut request);
        let new = request.ops.into_iter().filter(|sealed| seqs.contains(&sealed.seq));
        Ok(new.map(|sealed| sealed.op.to_vec()).collect())
    }

    /// Whether it shows one of these where its own user moved it, which the server has not said anything of.
    pub(super) fn shows_own_move(&self, records: &[RecordId]) -> Kept<bool> {
        for record in records.iter().filter(|record| self.moved.contains(record)) {
            if self.device.view(*record)?.is_some_and(|view| view.unsent_ops > 0) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The next question to the server.
    pub(super) fn ask(&mut self, number: u64) -> Kept<v1::SyncRequest> {
        let asked = self.device.request(self.clocks.reading(), self.size)?;
        let mut request = asked.request.clone();
        poison(&mut request);
        self.asked.insert(number, asked);
        while self.asked.len() > CALLS_KEPT {
            self.asked.pop_first();
        }
        self.waits_for = Some(number);
        Ok(request)
    }

    /// Within an epoch, and unless it begins anew, a device never goes back to where it was before.
    /// While the server is down nobody can tell in which epoch it was.
    pub(super) fn check_cursor(&mut self, bytes: &[u8], epoch: Option<Uuid>) -> Kept {
        if bytes.is_empty() {
            self.cursor.clear();
        }
        let Some(epoch) = epoch else { return Ok(()) };
        let cursor = Cursor::read(bytes, epoch)?;
        let (now, before) = (cursor.numbers(), std::mem::take(&mut self.cursor));
        for (place, number) in before.iter().filter(|_| !cursor.is_stale()) {
            promised(now.get(place).is_none_or(|now| now >= number), Promise::Cursor, || {
                format!("a device went back from {number} in area {}", place.0)
            })?;
        }
        self.cursor = now;
        Ok(())
    }

    /// It is started again: what was under way is gone.
    pub(super) fn restart(&mut self, chance: &mut Chance) {
        self.forget_calls();
        self.clocks.start(chance);
    }

    /// The server does not know it any more: its user enrols it again.
    pub(super) fn enrol_again(&mut self, identity: Identity, now_ms: i64) -> Kept {
        self.device.enrolled_again(identity)?;
        self.forget_calls();
        self.is_anew = true;
        self.enrolled_ms = now_ms;
        Ok(())
    }

    fn forget_calls(&mut self) {
        self.generation += 1;
        self.waits_for = None;
        self.asked.clear();
    }

    pub(super) fn note_seen(&mut self, ids: impl Iterator<Item = RecordId>, chance: &mut Chance) {
        for id in ids {
            if self.seen.len() == SEEN_MAX {
                self.seen.swap_remove(chance.between(0, SEEN_MAX as i64 - 1) as usize);
            }
            self.seen.push(id); // the latest is the last
        }
    }
}

/// Cuts the end off the ops that say so: what a fault in an app's own code, or in its memory, might do. Always in the
/// same way, as the bytes on the device are what they are.
fn poison(request: &mut v1::SyncRequest) {
    for sealed in &mut request.ops {
        if sealed.op.windows(POISON.len()).any(|part| part == POISON.as_bytes()) {
            sealed.op = sealed.op.slice(..sealed.op.len() - 5);
        }
    }
}

/// The clocks of a device.
pub(super) struct Clocks {
    now: Now,
    ahead_ms: i64,
    boot: u64,
    booted_ms: i64,
    /// No two readings are the same.
    last_ms: i64,
}

impl Clocks {
    pub(super) fn new(now: &Now, chance: &mut Chance) -> Self {
        let ahead_ms = chance.between(-60_000, 60_000);
        let mut clocks = Self { now: now.clone(), ahead_ms, boot: 0, booted_ms: 0, last_ms: 0 };
        clocks.start(chance);
        clocks
    }

    /// The device is switched on.
    pub(super) fn start(&mut self, chance: &mut Chance) {
        self.boot = chance.number() >> 16;
        self.booted_ms = self.now.ms();
        self.last_ms = 0;
    }

    /// The wall clock shows something else from now on.
    pub(super) fn set_ahead(&mut self, ahead_ms: i64) {
        self.ahead_ms = ahead_ms;
    }

    /// The battery was out: it is 1 January 1970.
    pub(super) fn lose_battery(&mut self, chance: &mut Chance) {
        self.start(chance);
        self.ahead_ms = -self.now.ms();
    }

    pub(super) fn reading(&mut self) -> ClockReading {
        let now_ms = self.now.ms();
        self.last_ms = (now_ms - self.booted_ms).max(self.last_ms + 1);
        ClockReading { wall_ms: now_ms + self.ahead_ms, boot: self.boot, monotonic_ms: self.last_ms }
    }
}
