//! What goes wrong by itself or is decided by people in the office: crashes, restores, copies, clocks, other areas.

use super::{Backup, DAY_MS, Event, HOUR_MS, MINUTE_MS, SECOND_MS, World};
use crate::simulation::phone::Phone;
use crate::simulation::{Fault, Kept};
use rounds_device::Device;
use rounds_domain::verdict::Reason;
use rounds_domain::{AreaId, OpId, Role};
use std::collections::BTreeSet;
use tonic::{Code, Status};

/// A backup that is restored is at most so old: less than devices keep what was acknowledged.
const BACKUP_AGE_MAX_MS: i64 = 13 * HOUR_MS;

impl World<'_> {
    /// Somebody's device lost everything, and is enrolled anew.
    pub(super) async fn reinstall(&mut self, number: usize) -> Kept {
        self.ledger.lose(number);
        let (role, roots) = (self.phones[number].role, self.phones[number].roots.clone());
        let identity = self.enrol(role, &roots, None).await?;
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

    /// The server was restored from a backup of before a device was enrolled: its user enrols it again.
    pub(super) async fn enrol_again(&mut self, number: usize) -> Kept {
        let (role, roots) = (self.phones[number].role, self.phones[number].roots.clone());
        let first_device = self.phones[number].device.first_device()?;
        let identity = self.enrol(role, &roots, Some(first_device)).await?;
        let now_ms = self.now.ms();
        self.phones[number].enrol_again(identity, now_ms)?;
        self.report.enrolled_again += 1;
        self.note("enrol again", &[number as u64]);
        self.soon(SECOND_MS, HOUR_MS, Event::Wake(number));
        Ok(())
    }

    pub(super) async fn crash(&mut self) -> Kept {
        self.site.end().await;
        self.commit_is_due = false;
        self.note("crash", &[]);
        self.soon(SECOND_MS, 2 * HOUR_MS, Event::Restart);
        Ok(())
    }

    pub(super) async fn restart(&mut self) -> Kept {
        let epoch = self.chance.id(self.now.ms()).0;
        self.site.start(epoch).await
    }

    pub(super) async fn back_up(&mut self) -> Kept {
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
    pub(super) async fn restore(&mut self) -> Kept {
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

    // --- What goes wrong -----------------------------------------------------------------------------------------

    pub(super) async fn mishap(&mut self) -> Kept {
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
    pub(super) fn copy(&mut self, number: usize) -> Kept {
        let original = &self.phones[number];
        let mut copy = Phone::new(
            original.device.copied()?,
            original.role,
            original.roots.clone(),
            &self.now,
            &mut self.chance,
        );
        copy.seen.clone_from(&original.seen);
        copy.seen_stamp = original.seen_stamp;
        copy.told.clone_from(&original.told);
        (copy.told_ms, copy.is_anew) = (original.told_ms, original.is_anew);
        copy.moved.clone_from(&original.moved);
        copy.enrolled_ms = original.enrolled_ms;
        self.phones.push(copy);
        let copy = self.phones.len() - 1;
        self.ledger.copy(number, copy);
        self.begin_life(copy);
        Ok(())
    }

    pub(super) fn disturb_clock(&mut self, number: usize) {
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

    pub(super) async fn reassign(&mut self, number: usize) -> Kept {
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
    pub(super) fn decided(&self, done: Result<(), Status>) -> Kept {
        match done {
            Ok(()) => Ok(()),
            Err(status) if matches!(status.code(), Code::Unavailable | Code::NotFound) => Ok(()),
            Err(status) => Err(status.into()),
        }
    }

    /// A coordinator decides about an op in quarantine.
    pub(super) async fn release(&mut self) -> Kept {
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
}
