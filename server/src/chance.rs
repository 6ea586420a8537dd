//! Chance that comes out the same for the same seed.

use rounds_domain::RecordId;
use uuid::Uuid;

/// Somebody's own dice: what others throw does not change what falls here.
#[derive(Clone, Debug)]
pub(crate) struct Chance(fastrand::Rng);

impl Chance {
    /// The dice of the one with this name.
    pub(crate) fn of(seed: u64, name: &str) -> Self {
        let mixed = Uuid::new_v5(&Uuid::from_u64_pair(seed, seed), name.as_bytes());
        Self(fastrand::Rng::with_seed(mixed.as_u64_pair().0))
    }

    /// True so many times in a hundred.
    pub(crate) fn percent(&mut self, percent: u32) -> bool {
        self.0.u32(0..100) < percent
    }

    /// A number from the first to the last.
    pub(crate) fn between(&mut self, first: i64, last: i64) -> i64 {
        self.0.i64(first..=last)
    }

    /// One of these.
    pub(crate) fn pick<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        &choices[self.0.usize(0..choices.len())]
    }

    /// One of these, each as often as its weight says.
    pub(crate) fn weighted<'a, T>(&mut self, choices: &'a [(T, u32)]) -> &'a T {
        let mut left = self.0.u32(0..choices.iter().map(|(_, weight)| weight).sum());
        let chosen = choices.iter().find(|(_, weight)| {
            let found = left < *weight;
            left = left.saturating_sub(*weight);
            found
        });
        &chosen.unwrap_or(&choices[0]).0
    }

    /// Any number.
    pub(crate) fn number(&mut self) -> u64 {
        self.0.u64(..)
    }

    /// The id of something that was made at this time.
    pub(crate) fn id(&mut self, at_ms: i64) -> RecordId {
        let mut random = [0; 10];
        self.0.fill(&mut random);
        let ms = u64::try_from(at_ms).unwrap_or_default();
        RecordId(uuid::Builder::from_unix_timestamp_millis(ms, &random).into_uuid())
    }
}
