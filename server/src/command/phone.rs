//! What this machine knows of clocks and chance, as a phone.

use clap::Args;
use rounds_device::Phone;
use rounds_domain::ClockReading;
use rounds_server::{Clock, Random};

/// The clocks of the phone, which may be made to lie.
#[derive(Args, Clone, Debug)]
pub(crate) struct Clocks {
    /// What the wall clock shows, instead of the truth: 1970-01-01T00:00:00Z
    #[arg(long, global = true, hide = true, value_name = "TIME")]
    wall_clock: Option<jiff::Timestamp>,
    /// As if the device had been started anew: other ops than before with --boot of another number.
    #[arg(long, global = true, hide = true, value_name = "NUMBER")]
    boot: Option<u64>,
}

impl Clocks {
    /// What the clocks show now.
    pub(crate) fn reading(&self) -> ClockReading {
        let wall_ms = self.wall_clock.map_or_else(|| Clock::system().now_ms(), |at| at.as_millisecond());
        let (boot, monotonic_ms) = since_boot().unwrap_or_default();
        ClockReading { wall_ms, boot: self.boot.unwrap_or(boot), monotonic_ms }
    }
}

impl Phone for Clocks {
    fn clock(&self) -> ClockReading {
        self.reading()
    }

    fn random(&self) -> u64 {
        // Only spreads tries out in time; without chance they are a little less spread.
        Random::system().id(0).map_or(0, |id| id.as_u64_pair().1 << 2) // behind the two bits of the variant
    }
}

/// A number for this start of the machine, and the milliseconds since; `None` where the system does not tell.
fn since_boot() -> Option<(u64, i64)> {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let boot = uuid::Uuid::parse_str(boot.trim()).ok()?;
    let uptime = std::fs::read_to_string("/proc/uptime").ok()?;
    let seconds: f64 = uptime.split_whitespace().next()?.parse().ok()?;
    Some((boot.as_u64_pair().0 >> 1, (seconds * 1_000.0) as i64)) // SQLite and JSON keep 63 bits
}
