//! A smaller history in which the same promise is broken.

use super::{Broken, Fault, run};

/// Tries fewer days, fewer devices and fewer faults, one after the other, at most `tries_max` histories. Answers the
/// smallest in which the same promise is broken, which may be the one that was given.
pub fn shrink(broken: Broken, tries_max: usize) -> Broken {
    let mut smallest = broken;
    let mut tries = 0;
    let mut is_smaller = true;
    while is_smaller && tries < tries_max {
        is_smaller = false;
        let settings = &smallest.settings;
        let mut candidates = Vec::new();
        for days in [settings.days / 2, settings.days.saturating_sub(1)] {
            if days > 0 && days < settings.days {
                candidates.push(super::Settings { days, ..settings.clone() });
            }
        }
        for devices in [settings.devices / 2, settings.devices.saturating_sub(1)] {
            if devices > 0 && devices < settings.devices {
                candidates.push(super::Settings { devices, ..settings.clone() });
            }
        }
        for fault in Fault::ALL.iter().filter(|fault| settings.faults.contains(fault)) {
            let mut fewer = settings.clone();
            fewer.faults.remove(fault);
            candidates.push(fewer);
        }
        for candidate in candidates {
            if tries == tries_max {
                break;
            }
            tries += 1;
            if let Err(again) = run(&candidate)
                && again.promise == smallest.promise
            {
                smallest = *again;
                is_smaller = true;
                break;
            }
        }
    }
    smallest
}
