//! A limit on wrong codes. A code has 100 bits and is good once, so nobody guesses one; this keeps those who try from
//! keeping the database busy.

use std::sync::Mutex;

/// Wrong codes that may be tried at once.
const TRIES_MAX: i64 = 20;
/// One more may be tried after so long, in ms.
const TRY_MS: i64 = 3_000;

/// How many wrong codes were tried lately, by everybody together: a bucket that runs empty with time.
#[derive(Default)]
pub(crate) struct Tries(Mutex<(i64, i64)>);

impl Tries {
    /// Whether another code may be tried at this time, in ms since 1970 UTC.
    pub(crate) fn may_try(&self, now_ms: i64) -> bool {
        self.level(now_ms, 0) <= (TRIES_MAX - 1) * TRY_MS
    }

    /// Notes that a wrong code was tried.
    pub(crate) fn note_wrong(&self, now_ms: i64) {
        self.level(now_ms, TRY_MS);
    }

    /// What is in the bucket, with this added. Each wrong code is worth the time that it takes to run out.
    fn level(&self, now_ms: i64, added_ms: i64) -> i64 {
        let mut bucket = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let (level, at_ms) = *bucket;
        let level = (level - (now_ms - at_ms).max(0)).max(0) + added_ms;
        *bucket = (level, now_ms);
        level
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_wrong_codes_in_a_row_are_refused_until_some_time_has_passed() {
        let tries = Tries::default();
        for _ in 0..TRIES_MAX {
            assert!(tries.may_try(1_000_000));
            tries.note_wrong(1_000_000);
        }
        assert!(!tries.may_try(1_000_000));
        assert!(!tries.may_try(1_000_000 + TRY_MS - 1));
        assert!(tries.may_try(1_000_000 + TRY_MS));
        tries.note_wrong(1_000_000 + TRY_MS);
        assert!(!tries.may_try(1_000_000 + TRY_MS));
        assert!(tries.may_try(1_000_000 + TRY_MS * (TRIES_MAX + 2)));
    }

    #[test]
    fn a_clock_that_goes_back_locks_nobody_out_for_longer() {
        let tries = Tries::default();
        (0..TRIES_MAX).for_each(|_| tries.note_wrong(9_000_000));
        assert!(!tries.may_try(1_000_000));
        assert!(tries.may_try(1_000_000 + TRY_MS));
    }
}
