//! How often something may be called: so many times at once, and then once in a while.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Fewer keys than this are kept though their calls are long over.
const KEYS_KEPT: usize = 1_000;
/// Most keys. Where there are more, all are forgotten: somebody has very many addresses, and memory is not theirs to
/// fill.
const KEYS_MAX: usize = 200_000;

/// Counts calls by key, in memory: each server process by itself.
pub(crate) struct Quota<K> {
    calls_max: u32,
    every_ms: i64,
    counted: Mutex<Counted<K>>,
}

struct Counted<K> {
    /// When each key will have all of its calls again, in ms since 1970 UTC.
    whole_at_ms: HashMap<K, i64>,
    /// Keys at which those that have all of their calls are forgotten.
    sweep_at: usize,
}

impl<K: Eq + Hash> Quota<K> {
    /// Each key has `calls_max` calls, and gets one back after each `every`.
    pub(crate) fn new(calls_max: u32, every: Duration) -> Self {
        let counted = Counted { whole_at_ms: HashMap::new(), sweep_at: KEYS_KEPT };
        let every_ms = i64::try_from(every.as_millis()).unwrap_or(i64::MAX);
        Self { calls_max, every_ms, counted: Mutex::new(counted) }
    }

    /// Takes a call of a key.
    ///
    /// # Errors
    /// How long until the key has another.
    pub(crate) fn take(&self, key: K, now_ms: i64) -> Result<(), Duration> {
        let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        if counted.whole_at_ms.len() >= counted.sweep_at {
            counted.whole_at_ms.retain(|_, whole_at_ms| *whole_at_ms > now_ms);
            if counted.whole_at_ms.len() >= KEYS_MAX {
                counted.whole_at_ms = HashMap::new();
            }
            counted.sweep_at = KEYS_KEPT.max(counted.whole_at_ms.len() * 2);
        }
        let all_ms = self.every_ms.saturating_mul(self.calls_max.into());
        let whole_at_ms = counted.whole_at_ms.entry(key).or_insert(now_ms);
        // A clock that went back must not lock anybody out.
        let next_ms = (*whole_at_ms).clamp(now_ms, now_ms + all_ms) + self.every_ms;
        let over_ms = next_ms - (now_ms + all_ms);
        if over_ms > 0 {
            return Err(Duration::from_millis(over_ms.unsigned_abs()));
        }
        *whole_at_ms = next_ms;
        Ok(())
    }

    /// Takes so many calls more of a key, or all that it has left.
    pub(crate) fn charge(&self, key: K, calls: u32, now_ms: i64) {
        let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        let whole_at_ms = counted.whole_at_ms.entry(key).or_insert(now_ms);
        let none_left_ms = now_ms.saturating_add(self.every_ms.saturating_mul(self.calls_max.into()));
        let charged_ms = self.every_ms.saturating_mul(calls.into());
        *whole_at_ms = (*whole_at_ms).max(now_ms).saturating_add(charged_ms).min(none_left_ms);
    }

    /// Gives back a call that was taken: it was none of those that are to be counted.
    pub(crate) fn give_back(&self, key: &K) {
        let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(whole_at_ms) = counted.whole_at_ms.get_mut(key) {
            *whole_at_ms -= self.every_ms;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_its_calls_and_gets_them_back_one_by_one() {
        let quota = Quota::new(3, Duration::from_millis(100));
        let now_ms = 1_000_000;
        for _ in 0..3 {
            assert_eq!(quota.take("one", now_ms), Ok(()));
        }
        assert_eq!(quota.take("one", now_ms), Err(Duration::from_millis(100)));
        assert_eq!(quota.take("one", now_ms + 60), Err(Duration::from_millis(40)), "asking costs nothing");
        assert_eq!(quota.take("other", now_ms), Ok(()), "each for itself");
        assert_eq!(quota.take("one", now_ms + 100), Ok(()));
        assert!(quota.take("one", now_ms + 100).is_err());
        for _ in 0..3 {
            assert_eq!(quota.take("one", now_ms + 10_000), Ok(()), "never more than all");
        }
        assert!(quota.take("one", now_ms + 10_000).is_err());
        assert!(
            quota.take("one", 0).is_err_and(|wait| wait <= Duration::from_millis(100)),
            "the clock went back"
        );
    }

    #[test]
    fn a_call_that_is_given_back_can_be_made_again() {
        let quota = Quota::new(1, Duration::from_millis(100));
        for _ in 0..3 {
            assert_eq!(quota.take("one", 1_000), Ok(()));
            quota.give_back(&"one");
        }
        assert_eq!(quota.take("one", 1_000), Ok(()));
        assert!(quota.take("one", 1_000).is_err());
    }

    #[test]
    fn a_key_that_is_charged_has_so_many_fewer_and_never_fewer_than_none() {
        let quota = Quota::new(10, Duration::from_millis(100));
        quota.charge("one", 8, 1_000);
        assert_eq!(quota.take("one", 1_000), Ok(()));
        assert_eq!(quota.take("one", 1_000), Ok(()));
        assert_eq!(quota.take("one", 1_000), Err(Duration::from_millis(100)));
        quota.charge("one", 1_000_000, 1_000);
        assert_eq!(quota.take("one", 1_000), Err(Duration::from_millis(100)), "it has one more as soon");
        assert_eq!(quota.take("other", 1_000), Ok(()));
    }

    #[test]
    fn whoever_has_very_many_addresses_does_not_fill_the_memory() {
        let quota = Quota::new(3, Duration::from_secs(60 * 60));
        for key in 0..3 * KEYS_MAX {
            assert_eq!(quota.take(key, 1_000), Ok(()));
        }
        assert!(quota.counted.lock().unwrap().whole_at_ms.len() <= 2 * KEYS_MAX);
    }

    #[test]
    fn keys_that_have_all_their_calls_are_forgotten() {
        let quota = Quota::new(3, Duration::from_millis(100));
        for key in 0..10 * KEYS_KEPT {
            assert_eq!(quota.take(key, key as i64 * 1_000), Ok(()));
        }
        assert!(quota.counted.lock().unwrap().whole_at_ms.len() <= KEYS_KEPT);
    }
}
