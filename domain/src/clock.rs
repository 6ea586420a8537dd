//! Three times for every op: what the device's clock said, when the server received it, and the time worked
//! out from both, which is used for order. Nothing is refused for its clock.

use crate::id::DeviceId;
use crate::limit::{CLOCK_DOUBT_MS, CLOCK_LEAD_MS, CLOCK_RESET_BELOW_MS};
use serde::{Deserialize, Serialize};

/// What a device's clocks show at one moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ClockReading {
    /// Wall clock, ms since 1970 UTC. May be wrong by years.
    pub wall_ms: i64,
    /// Changes at each start of the device; 0 if unknown.
    pub boot: u64,
    /// Milliseconds since that start, from a clock that nobody can set.
    pub monotonic_ms: i64,
}

/// When something happened, as well as it can be known.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Corrected {
    /// Milliseconds since 1970 UTC.
    pub at_ms: i64,
    /// Nothing better than a wall clock that is known to be wrong was there to tell it, or it had to be moved.
    pub doubtful: bool,
}

/// Works out when an op was recorded.
///
/// `recorded` is the device's clocks then, `now` the same clocks at the call that brings the op, `received_ms`
/// the server's clock at that call. Within one start of the device its monotonic clock tells the age of the op;
/// otherwise the wall clock has to. The result is never after `received_ms`, and never before `previous_ms`, the
/// corrected time of the device's op before this one, or of its enrolment: one device acts in order. Where the wall
/// clock had lost its battery and has been set since, nothing tells the age: then `previous_ms` is the best guess, as
/// it leaves room for the ops behind.
pub fn correct(recorded: ClockReading, now: ClockReading, received_ms: i64, previous_ms: i64) -> Corrected {
    let same_boot =
        recorded.boot != 0 && recorded.boot == now.boot && recorded.monotonic_ms <= now.monotonic_ms;
    let reset = recorded.wall_ms < CLOCK_RESET_BELOW_MS && now.wall_ms >= CLOCK_RESET_BELOW_MS;
    let estimate_ms = if same_boot {
        received_ms.saturating_sub(now.monotonic_ms.saturating_sub(recorded.monotonic_ms))
    } else if reset {
        previous_ms
    } else {
        received_ms.saturating_sub(now.wall_ms.saturating_sub(recorded.wall_ms))
    };
    let at_ms = estimate_ms.min(received_ms).max(previous_ms.min(received_ms));
    let wall_is_wrong = now.wall_ms.abs_diff(received_ms) > CLOCK_DOUBT_MS;
    let moved = at_ms.abs_diff(estimate_ms) > CLOCK_DOUBT_MS;
    Corrected { at_ms, doubtful: moved || (!same_boot && (reset || wall_is_wrong)) }
}

/// Bits of a stamp that count ops within one millisecond.
const COUNTER_BITS: u32 = 16;

/// The hybrid logical clock stamp of an op: milliseconds shifted left by 16, plus a counter.
///
/// It follows the corrected time, and is always after everything that its author had seen (`observed`) and after
/// the author's op before (`previous`), so cause comes before effect whatever the clocks say.
/// Source of the method: Kulkarni et al., "Logical Physical Clocks", 2014.
pub fn stamp(at_ms: i64, observed: u64, previous: u64) -> u64 {
    let physical = (at_ms.max(0) as u64) << COUNTER_BITS;
    physical.max(observed.saturating_add(1)).max(previous.saturating_add(1))
}

/// The milliseconds within a stamp.
pub fn stamp_ms(stamp: u64) -> i64 {
    (stamp >> COUNTER_BITS) as i64
}

/// The largest `observed` that a device may claim at this time: it cannot have seen the future, but another server,
/// whose clock is ahead by up to [`CLOCK_LEAD_MS`].
pub fn stamp_limit(received_ms: i64) -> u64 {
    let latest_ms = received_ms.saturating_add(CLOCK_LEAD_MS).max(0);
    ((latest_ms as u64) << COUNTER_BITS) | ((1 << COUNTER_BITS) - 1)
}

/// The place of an op in the one total order: stamp, then device, then the device's own sequence.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct OrderKey {
    /// Hybrid logical clock stamp, see [`stamp`].
    pub stamp: u64,
    /// Breaks ties between devices.
    pub device: DeviceId,
    /// Breaks ties within a device.
    pub seq: u64,
}
