//! Many devices, a server and its worker through many days in which everything goes wrong that can: `rounds simulate`.
//!
//! Devices, store, server and worker are the real ones; the device's file and the database are in memory, and what goes
//! over the air is what would, as bytes. Only time, chance, the air and the people are made up, from one seed, and one
//! thing happens after the other. So a seed always gives the same history, and a broken promise can be looked at again.

mod check;
mod cores;
mod ledger;
mod phone;
mod shrink;
mod site;
mod tap;
mod town;
mod world;

pub use cores::on_all_cores;
pub use shrink::shrink;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// What can go wrong.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Fault {
    /// A call does not reach the server.
    LostRequest,
    /// A call was served, and the answer does not reach the device.
    LostAnswer,
    /// A call reaches the server twice.
    Doubled,
    /// Calls and answers are under way for hours, and overtake each other.
    Delayed,
    /// A device is without a network for days.
    Outage,
    /// The server ends at any moment, and is started again.
    ServerCrash,
    /// A device is switched off while a call is under way.
    PhoneCrash,
    /// A device loses everything, and is enrolled anew.
    Reinstall,
    /// A device is copied, and both go on.
    Copy,
    /// The server is restored from a backup.
    Restore,
    /// The clock of a device is wrong, by years or since 1970.
    Clock,
    /// A device gets other areas.
    Reassign,
    /// A device is revoked.
    Revoke,
    /// Somebody records what cannot be read, or what the role does not allow.
    Poison,
    /// A coordinator releases or dismisses what is in quarantine.
    Release,
}

impl Fault {
    /// All of them.
    pub const ALL: &[Fault] = &[
        Fault::LostRequest,
        Fault::LostAnswer,
        Fault::Doubled,
        Fault::Delayed,
        Fault::Outage,
        Fault::ServerCrash,
        Fault::PhoneCrash,
        Fault::Reinstall,
        Fault::Copy,
        Fault::Restore,
        Fault::Clock,
        Fault::Reassign,
        Fault::Revoke,
        Fault::Poison,
        Fault::Release,
    ];

    /// Whether it is the server that it happens to, of which there is one however many devices there are.
    fn is_of_server(self) -> bool {
        matches!(self, Fault::ServerCrash | Fault::Restore)
    }

    /// As the command line says it.
    pub fn name(self) -> &'static str {
        match self {
            Fault::LostRequest => "lost-request",
            Fault::LostAnswer => "lost-answer",
            Fault::Doubled => "doubled",
            Fault::Delayed => "delayed",
            Fault::Outage => "outage",
            Fault::ServerCrash => "server-crash",
            Fault::PhoneCrash => "phone-crash",
            Fault::Reinstall => "reinstall",
            Fault::Copy => "copy",
            Fault::Restore => "restore",
            Fault::Clock => "clock",
            Fault::Reassign => "reassign",
            Fault::Revoke => "revoke",
            Fault::Poison => "poison",
            Fault::Release => "release",
        }
    }

    /// The fault that is called so.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|fault| fault.name() == name)
    }
}

/// What is promised, see PROTOCOL.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Promise {
    /// 1: when all is quiet, every device equals the server for its areas.
    Convergence,
    /// 2: what was acknowledged is there, and so is what was recorded on a device that still exists.
    Survival,
    /// 3: each op takes effect once, and gets one verdict for ever.
    Once,
    /// 4: a finished pull holds every commit up to its cursor.
    NoHole,
    /// 5: cursors never go backwards within an epoch.
    Cursor,
    /// 6: groups are atomic, at rest and on every device.
    Groups,
    /// 7: after the last fault every outbox drains.
    Liveness,
    /// 8: no byte of an area reaches a device outside of it.
    Scope,
    /// 9: nothing that was deleted comes back.
    NoResurrection,
    /// 10: cause comes before effect, whatever the clocks say.
    Order,
    /// 11: records, follow-ups and summaries follow from the ops.
    Recomputation,
    /// Nothing fails that has no reason to.
    Sound,
}

/// What to simulate.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Settings {
    /// Decides everything that is left to chance.
    pub seed: u64,
    /// Devices at the beginning.
    pub devices: usize,
    /// Days until all is quiet.
    pub days: u32,
    /// What goes wrong.
    pub faults: BTreeSet<Fault>,
}

impl Settings {
    /// All faults.
    pub fn new(seed: u64, devices: usize, days: u32) -> Self {
        Self { seed, devices, days, faults: Fault::ALL.iter().copied().collect() }
    }
}

impl fmt::Display for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "--seed {} --devices {} --days {}", self.seed, self.devices, self.days)?;
        for fault in Fault::ALL.iter().filter(|fault| !self.faults.contains(fault)) {
            write!(f, " --without {}", fault.name())?;
        }
        Ok(())
    }
}

/// What happened.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Report {
    /// A hash of all that happened: the same seed gives the same.
    pub trace: String,
    /// Days that devices lived, one for each day of each device.
    pub device_days: u64,
    /// Ops that people recorded.
    pub recorded: u64,
    /// Ops that were committed, retries and those that a restore lost in between not counted.
    pub committed: u64,
    /// Ops that are in quarantine at the end.
    pub quarantined: u64,
    /// Ops of the worker.
    pub worker_ops: u64,
    /// Records at the end.
    pub records: u64,
    /// Calls that reached the server.
    pub calls: u64,
    /// Times that a device had everything.
    pub syncs: u64,
    /// Commits of devices' ops,
    pub commits: u64,
    /// and those in which several devices shared one.
    pub shared_commits: u64,
    /// Devices that were enrolled again, as the server was restored from a backup of before their enrolment.
    pub enrolled_again: u64,
    /// How often what went wrong.
    pub faults: BTreeMap<Fault, u64>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { trace, device_days, recorded, committed, quarantined, worker_ops, .. } = self;
        let Self { records, calls, syncs, commits, shared_commits, enrolled_again, faults, .. } = self;
        write!(
            f,
            "{trace} {device_days} device-days, {recorded} ops recorded, {committed} committed in {commits} commits \
             ({shared_commits} shared), {quarantined} in quarantine, {enrolled_again} enrolled again, {worker_ops} of the worker, \
             {records} records, {calls} calls, {syncs} syncs; faults:"
        )?;
        for (fault, times) in faults {
            write!(f, " {} {times}", fault.name())?;
        }
        Ok(())
    }
}

/// A promise that was broken.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Broken {
    /// With what it happens again.
    pub settings: Settings,
    /// Which.
    pub promise: Promise,
    /// How.
    pub what: String,
    /// On which day.
    pub day: i64,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { settings, promise, what, day } = self;
        write!(f, "{promise:?} is broken on day {day}: {what}\n  again: rounds simulate {settings}")
    }
}

/// A promise that was broken, where it is found.
#[derive(Debug)]
struct Stop {
    promise: Promise,
    what: String,
}

type Kept<T = ()> = Result<T, Stop>;

impl<E: std::error::Error> From<E> for Stop {
    fn from(error: E) -> Self {
        Self { promise: Promise::Sound, what: format!("{error} ({error:?})") }
    }
}

/// Says that a promise was broken unless `holds`.
fn promised(holds: bool, promise: Promise, what: impl FnOnce() -> String) -> Kept {
    if holds { Ok(()) } else { Err(Stop { promise, what: what() }) }
}

/// Lives through it, and says which promise was broken, if one was.
///
/// It must not be called on a thread of a runtime: it has one of its own, of this thread, so that nothing happens in
/// another order.
///
/// # Errors
/// The promise that was broken first.
pub fn run(settings: &Settings) -> Result<Report, Box<Broken>> {
    let broken = |day, stop: Stop| {
        Box::new(Broken { settings: settings.clone(), promise: stop.promise, what: stop.what, day })
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| broken(0, error.into()))?;
    runtime.block_on(world::live(settings)).map_err(|(day, stop)| broken(day, stop))
}
