//! `rounds simulate`: many devices through many days in which everything goes wrong.

use super::print::{hint, say};
use clap::Args;
use rounds_server::Clock;
use rounds_server::simulation::{Broken, Fault, Report, Settings, on_all_cores, run, shrink};
use std::process::ExitCode;

/// Histories that are tried to find a smaller one in which the same promise is broken.
const SHRINK_TRIES_MAX: usize = 60;

/// Have many devices work with a server through many days in which lines, devices, clocks and the server fail, all of it
/// in memory and in no time, and check what is promised. The same seed gives the same history.
#[derive(Args, Debug)]
pub(crate) struct Simulate {
    /// The first seed.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many seeds, one after the other.
    #[arg(long, default_value_t = 1)]
    seeds: u64,
    /// Devices at the beginning of each.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    devices: u32,
    /// Days of each.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=3_650))]
    days: u32,
    /// Leave out what can go wrong: lost-request, lost-answer, doubled, delayed, outage, server-crash, phone-crash,
    /// reinstall, copy, restore, clock, reassign, revoke, poison or release. Can be given several times.
    #[arg(long, value_name = "FAULT", value_parser = fault)]
    without: Vec<Fault>,
    /// Say a broken promise as it was found, without looking for a smaller history.
    #[arg(long)]
    no_shrink: bool,
}

fn fault(name: &str) -> Result<Fault, String> {
    let names = || Fault::ALL.iter().map(|fault| fault.name()).collect::<Vec<_>>().join(", ");
    Fault::parse(name).ok_or_else(|| format!("there are: {}", names()))
}

impl Simulate {
    /// Lives through the seeds, on all cores. A broken promise makes the exit code 1.
    pub(crate) fn run(self) -> Result<ExitCode, String> {
        let clock = Clock::system();
        let began_ms = clock.now_ms();
        let (mut device_days, mut all_broken) = (0, 0);
        let live = |at| self.live(self.seed.wrapping_add(at));
        on_all_cores(self.seeds, live, |(seed, lived)| match lived {
            Ok(report) => {
                device_days += report.device_days;
                say!("seed {seed}: ok {report}");
            }
            Err(broken) => {
                all_broken += 1;
                say!("seed {seed}: FAIL {broken}");
            }
        });
        let seconds = (clock.now_ms() - began_ms) as f64 / 1_000.0;
        let rate = device_days as f64 / seconds.max(0.001);
        hint!(
            "{} seeds, {device_days} device-days in {seconds:.1} s ({rate:.0}/s): {all_broken} broken",
            self.seeds
        );
        Ok(if all_broken == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    fn live(&self, seed: u64) -> (u64, Result<Report, Broken>) {
        let mut settings = Settings::new(seed, self.devices as usize, self.days);
        settings.faults.retain(|fault| !self.without.contains(fault));
        let lived = run(&settings).map_err(|broken| match self.no_shrink {
            true => *broken,
            false => shrink(*broken, SHRINK_TRIES_MAX),
        });
        (seed, lived)
    }
}
