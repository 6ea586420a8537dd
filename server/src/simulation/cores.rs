//! Many histories at a time, one on each core.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;

/// Does something for each number below `count`, on all cores at a time, and hears what came of it in the order in
/// which it ends.
///
/// Each thread stays on one core, and so do those that it starts: a history and its database take turns, thousands of
/// times a second, and a turn that goes to another core takes longer to get there than to be taken. On Linux; elsewhere
/// the system decides.
pub fn on_all_cores<T: Send>(count: u64, work: impl Fn(u64) -> T + Sync, hear: impl FnMut(T)) {
    let next = AtomicU64::new(0);
    std::thread::scope(|scope| {
        let (ended, all) = mpsc::channel();
        let wanted = usize::try_from(count).unwrap_or(usize::MAX);
        for core in cores().into_iter().take(wanted) {
            let (ended, next, work) = (ended.clone(), &next, &work);
            scope.spawn(move || {
                stay_on(core);
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    if at >= count || ended.send(work(at)).is_err() {
                        return;
                    }
                }
            });
        }
        drop(ended);
        all.into_iter().for_each(hear);
    });
}

/// The cores that there are for this program. None is any of them.
fn cores() -> Vec<Option<usize>> {
    let count = std::thread::available_parallelism().map_or(1, usize::from);
    let mut cores = own_cores();
    cores.resize(count, None);
    cores
}

#[cfg(target_os = "linux")]
fn own_cores() -> Vec<Option<usize>> {
    use rustix::thread::{CpuSet, sched_getaffinity, sched_getcpu};
    let Ok(own) = sched_getaffinity(None) else { return Vec::new() };
    let here = sched_getcpu(); // the first: other programs that do the same may be on the others
    let own = (0..CpuSet::MAX_CPU).filter(|core| own.is_set(*core));
    let (before, from_here): (Vec<usize>, Vec<usize>) = own.partition(|core| *core < here);
    from_here.into_iter().chain(before).map(Some).collect()
}

#[cfg(target_os = "linux")]
fn stay_on(core: Option<usize>) {
    use rustix::thread::{CpuSet, sched_setaffinity};
    if let Some(core) = core {
        let mut only = CpuSet::new();
        only.set(core);
        // Where that is not allowed, all takes longer and nothing is lost.
        let _ = sched_setaffinity(None, &only);
    }
}

#[cfg(not(target_os = "linux"))]
fn own_cores() -> Vec<Option<usize>> {
    Vec::new()
}

#[cfg(not(target_os = "linux"))]
fn stay_on(_: Option<usize>) {}
