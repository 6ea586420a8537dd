//! Devices and the server talk: calls, what the server makes of them, and answers, each of which may be lost.

use super::{Answer, CALLS_PER_DAY, DAY_MS, Event, HOUR_MS, MINUTE_MS, SECOND_MS, World, hash};
use crate::secret::token_hash;
use crate::simulation::check::{agrees, everything};
use crate::simulation::site::Waiting;
use crate::simulation::{Fault, Kept, Promise, promised, tap};
use prost::Message as _;
use rounds_device::Next;
use rounds_domain::{AreaId, DeviceId, Kind, RecordId, Role};
use rounds_proto::{decode_op, v1};
use rounds_store::Receipt;
use std::collections::BTreeSet;
use std::sync::Arc;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

impl World<'_> {
    /// A device calls.
    pub(super) fn call(&mut self, number: usize) -> Kept {
        let phone = &self.phones[number];
        if phone.is_gone || !phone.is_connected || phone.waits_for.is_some() {
            return Ok(());
        }
        let call = self.next;
        let token = token_hash(&phone.identity()?.token);
        let generation = phone.generation;
        let epoch = self.site.running().map(|shared| shared.store.epoch());
        let request = self.phones[number].ask(call)?;
        self.phones[number].check_cursor(&request.cursor, epoch)?;
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
    pub(super) async fn hear(&mut self, number: usize, generation: u64, call: u64, answer: Answer) -> Kept {
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
        let seen_stamp = stamp_of(&response);
        let told_ms = response.server_time_ms;
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
        if progress.restored {
            phone.is_anew = true;
        } else {
            (phone.told, phone.told_ms) = (roots, told_ms);
            phone.seen_stamp = phone.seen_stamp.max(seen_stamp);
        }
        // What a restored server sends is not taken in before everything is pulled anew, and by a device that was revoked
        // before the restore not at all.
        let seen = if progress.pulled == 0 { Vec::new() } else { seen };
        let mut groups: Vec<_> = seen.iter().filter_map(|id| self.ledger.whole_group_of(*id)).collect();
        groups.dedup_by_key(|group| std::ptr::from_ref(*group)); // most of a group comes in one go
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
                phone.is_anew = false;
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
    pub(super) async fn fail(&mut self, number: usize, is_awaited: bool, code: Code, reason: &str) -> Kept {
        match code {
            Code::Unavailable => {}
            // The server does not know the device any more, as it was restored from an older backup.
            Code::Unauthenticated if reason == "TOKEN_UNKNOWN" => {
                let is_undone = self.is_undone(self.phones[number].enrolled_ms);
                promised(is_undone, Promise::Sound, || format!("device {number} is not known any more"))?;
                if self.site.running().is_some() {
                    return self.enrol_again(number).await;
                }
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
    pub(super) async fn fork(&mut self, number: usize, at_seq: u64) -> Kept {
        let again = |world: &mut Self| world.soon(MINUTE_MS, HOUR_MS, Event::Wake(number));
        if self.fails(Fault::LostRequest, 100) {
            again(self);
            return Ok(());
        }
        let phone = &self.phones[number];
        let identity = phone.identity()?;
        match self.site.fork(&identity.token, phone.device.fork_request(at_seq)?).await {
            Ok(_) if self.fails(Fault::LostAnswer, 100) => again(self),
            Ok(answer) => {
                let device: DeviceId = answer.device.parse()?;
                let now_ms = self.now.ms();
                let areas = self.site.store()?.device(device).await?.map(|device| device.areas);
                let phone = &mut self.phones[number];
                phone.device.fork(identity.device, device, answer.token)?;
                phone.roots = areas.unwrap_or_default().into_iter().collect(); // another copy may have got the name before
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

    // --- The server ----------------------------------------------------------------------------------------------

    /// A call reaches the server.
    pub(super) async fn arrive(
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
    pub(super) async fn commit(&mut self) -> Kept {
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
    pub(super) async fn answer(&mut self, waiting: Waiting, receipt: Option<Receipt>) -> Kept {
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

/// The largest stamp of these records.
fn stamp_of(response: &v1::SyncResponse) -> u64 {
    use v1::feed_item::Item;
    let stamps = response.feed.iter().map(|item| match &item.item {
        Some(Item::Record(record)) => record.stamp,
        _ => 0,
    });
    stamps.max().unwrap_or_default()
}

/// Whether an area may be there because of this call.
fn may_plant(request: &v1::SyncRequest) -> bool {
    request.ops.iter().any(|sealed| decode_op(&sealed.op).is_ok_and(|op| op.kind == Kind::Area))
}

fn number_of(device: DeviceId) -> u64 {
    device.0.as_u64_pair().1
}

/// The code and machine-readable reason of a call that failed.
fn said(status: &Status) -> (Code, String) {
    let reason = status.get_details_error_info().map(|info| info.reason);
    (status.code(), reason.unwrap_or_else(|| status.message().to_owned()))
}
