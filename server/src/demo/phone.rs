//! A phone of the demo: the offline client with a file of its own, over gRPC, with clocks that may lie.

use super::Error;
use super::calendar::{DAY_MS, Hands};
use crate::chance::Chance;
use crate::secret::{Random, code_hash, token_hash};
use rounds_device::{Client, Device, Draft, Identity, Phone as Sensors, View};
use rounds_domain::{AreaId, ClockReading, DeviceId, Kind, RecordId, Role};
use rounds_store::{NewCode, Store};
use std::path::Path;

/// A phone runs so long before it is started again, in ms.
const BOOT_MS: i64 = 45 * DAY_MS;

/// Who holds a phone.
pub(super) struct Holder<'a> {
    pub(super) label: &'a str,
    pub(super) role: Role,
    pub(super) areas: Vec<AreaId>,
    pub(super) worker: Option<RecordId>,
    pub(super) organization: Option<RecordId>,
}

/// Enrols a device as a one-time code does. Its name follows from the seed, its token does not: it is a secret.
pub(super) async fn enrol(
    store: &Store,
    random: &Random,
    chance: &mut Chance,
    holder: &Holder<'_>,
    now_ms: i64,
) -> Result<(DeviceId, String), Error> {
    let (code, token) = (random.code()?, random.token()?);
    let new = NewCode {
        hash: code_hash(&code),
        role: holder.role,
        areas: holder.areas.clone(),
        worker: holder.worker,
        organization: holder.organization,
        maker: None,
        expires_ms: now_ms + DAY_MS,
    };
    store.create_code(new).await?;
    let id = DeviceId(chance.id(now_ms).0);
    store.enrol(code_hash(&code), id, holder.label, token_hash(&token), None, now_ms).await?;
    Ok((id, token))
}

/// A phone and its clocks.
pub(super) struct Phone {
    client: Client,
    clocks: Clocks,
    /// Ops that it recorded.
    pub(super) ops: u64,
    /// Calls that it made.
    pub(super) calls: u64,
}

struct Clocks {
    hands: Hands,
    /// How far its wall clock is ahead, in ms.
    ahead_ms: i64,
    boot: u64,
}

impl Clocks {
    fn reading(&self, at_ms: i64) -> ClockReading {
        let starts = at_ms.div_euclid(BOOT_MS);
        ClockReading {
            wall_ms: at_ms + self.ahead_ms,
            boot: self.boot.wrapping_add(starts.unsigned_abs()) >> 1, // SQLite and JSON keep 63 bits
            monotonic_ms: at_ms.rem_euclid(BOOT_MS),
        }
    }
}

impl Sensors for Clocks {
    fn clock(&self) -> ClockReading {
        self.reading(self.hands.now_ms())
    }

    fn random(&self) -> u64 {
        0 // only spreads tries out in time, and here is only one who tries
    }
}

impl Phone {
    /// A phone for somebody who was enrolled.
    pub(super) fn new(
        folder: &Path,
        url: &str,
        hands: &Hands,
        chance: &mut Chance,
        holder: &Holder<'_>,
        (device, token): (DeviceId, String),
    ) -> Result<Self, Error> {
        let mut file = Device::open(folder.join(format!("{device}.db")))?;
        file.enrolled(Identity {
            device,
            token,
            role: holder.role,
            worker: holder.worker,
            server_url: url.to_owned(),
            ca_pem: None,
        })?;
        let ahead_ms = if chance.percent(15) {
            chance.between(-90, 90) * 60_000
        } else {
            chance.between(-20_000, 20_000)
        };
        let clocks = Clocks { hands: hands.clone(), ahead_ms, boot: chance.number() & 0xffff_ffff_ffff };
        Ok(Self { client: Client::new(file)?, clocks, ops: 0, calls: 0 })
    }

    /// Records what was done together at this time.
    pub(super) fn record(&mut self, at_ms: i64, group: Vec<Draft>) -> Result<(), Error> {
        self.ops += group.len() as u64;
        self.client.device_mut().record(self.clocks.reading(at_ms), group)?;
        Ok(())
    }

    /// All records of a kind that it sees.
    pub(super) fn list(&self, kind: Kind) -> Result<Vec<View>, Error> {
        Ok(self.client.device().list(kind)?)
    }

    /// What is due.
    pub(super) fn today(&self, now_ms: i64) -> Result<Vec<View>, Error> {
        Ok(self.client.device().today(now_ms)?)
    }

    /// One record as it sees it.
    pub(super) fn view(&self, id: RecordId) -> Result<Option<View>, Error> {
        Ok(self.client.device().view(id)?)
    }

    /// Brings phone and server together, at the time that the server's clock shows.
    pub(super) async fn sync(&mut self) -> Result<(), Error> {
        let summary = self.client.sync_until_quiet(&self.clocks).await?;
        self.calls += u64::from(summary.calls);
        Ok(())
    }
}
