//! Clocks lie. Nothing is refused for its clock, and no clock can put an effect before its cause.

use super::history::runs;
use super::sample::{DAY_MS, START_MS, device};
use proptest::prelude::*;
use rounds_domain::clock::{Corrected, correct, stamp, stamp_limit, stamp_ms};
use rounds_domain::limit::{CLOCK_DOUBT_MS, CLOCK_LEAD_MS, CLOCK_RESET_BELOW_MS};
use rounds_domain::{ClockReading, OrderKey};

const HOUR_MS: i64 = 3_600_000;
const YEAR_MS: i64 = 365 * DAY_MS;
/// When the server receives the ops of these tests.
const RECEIVED_MS: i64 = START_MS;

fn reading(boot: u64, wall_ms: i64, monotonic_ms: i64) -> ClockReading {
    ClockReading { wall_ms, boot, monotonic_ms }
}

fn sure(at_ms: i64) -> Corrected {
    Corrected { at_ms, doubtful: false }
}

fn doubtful(at_ms: i64) -> Corrected {
    Corrected { at_ms, doubtful: true }
}

#[test]
fn a_good_clock_is_believed_also_days_later_and_after_a_restart() {
    let recorded = reading(1, RECEIVED_MS - 3 * DAY_MS, 50);
    let same_start = reading(1, RECEIVED_MS, 50 + 3 * DAY_MS);
    assert_eq!(correct(recorded, same_start, RECEIVED_MS, 0), sure(RECEIVED_MS - 3 * DAY_MS));
    assert_eq!(correct(recorded, reading(2, RECEIVED_MS, 9), RECEIVED_MS, 0), sure(RECEIVED_MS - 3 * DAY_MS));
    assert_eq!(correct(recorded, reading(0, RECEIVED_MS, 9), RECEIVED_MS, 0), sure(RECEIVED_MS - 3 * DAY_MS));
}

#[test]
fn a_clock_that_is_an_hour_or_a_year_off_does_not_matter_within_one_start() {
    for off_ms in [-YEAR_MS, -HOUR_MS, HOUR_MS, YEAR_MS] {
        let recorded = reading(7, RECEIVED_MS - 2 * HOUR_MS + off_ms, 100);
        let now = reading(7, RECEIVED_MS + off_ms, 100 + 2 * HOUR_MS);
        assert_eq!(correct(recorded, now, RECEIVED_MS, 0), sure(RECEIVED_MS - 2 * HOUR_MS));
    }
}

#[test]
fn a_clock_that_is_off_by_the_same_before_and_after_a_restart_still_tells_the_age_but_is_doubted() {
    for off_ms in [-YEAR_MS, -HOUR_MS, HOUR_MS, YEAR_MS] {
        let recorded = reading(7, RECEIVED_MS - 2 * HOUR_MS + off_ms, 100);
        let now = reading(8, RECEIVED_MS + off_ms, 5);
        assert_eq!(correct(recorded, now, RECEIVED_MS, 0), doubtful(RECEIVED_MS - 2 * HOUR_MS));
    }
}

#[test]
fn a_wall_clock_that_is_set_within_one_start_changes_nothing() {
    let recorded = reading(3, RECEIVED_MS + YEAR_MS, 1_000);
    let set_right = reading(3, RECEIVED_MS, 1_000 + HOUR_MS);
    assert_eq!(correct(recorded, set_right, RECEIVED_MS, 0), sure(RECEIVED_MS - HOUR_MS));

    let set_back = reading(3, RECEIVED_MS - DAY_MS, 1_000 + HOUR_MS);
    assert_eq!(correct(recorded, set_back, RECEIVED_MS, 0), sure(RECEIVED_MS - HOUR_MS));
}

#[test]
fn after_a_battery_swap_1970_is_no_time_of_an_op() {
    let in_1970 = reading(4, 12 * HOUR_MS, HOUR_MS);

    // Set right without a restart: the monotonic clock tells.
    let now = reading(4, RECEIVED_MS, 3 * HOUR_MS);
    assert_eq!(correct(in_1970, now, RECEIVED_MS, 0), sure(RECEIVED_MS - 2 * HOUR_MS));

    // Set right after another restart: nothing tells. The op before leaves room for those behind.
    let now = reading(5, RECEIVED_MS, 10);
    let monday_ms = RECEIVED_MS - 3 * DAY_MS;
    assert_eq!(correct(in_1970, now, RECEIVED_MS, monday_ms), doubtful(monday_ms));
    let wednesday = reading(5, RECEIVED_MS - DAY_MS, 0);
    assert_eq!(
        correct(wednesday, reading(6, RECEIVED_MS, 0), RECEIVED_MS, monday_ms),
        sure(RECEIVED_MS - DAY_MS)
    );

    // Never set: what passed since is all there is to go by.
    let still_in_1970 = reading(5, 15 * HOUR_MS, 10);
    assert_eq!(correct(in_1970, still_in_1970, RECEIVED_MS, 0), doubtful(RECEIVED_MS - 3 * HOUR_MS));
}

#[test]
fn a_wall_clock_counts_as_reset_one_below_the_limit_and_not_at_it() {
    let now = reading(2, RECEIVED_MS, 0);
    let at_limit = correct(reading(1, CLOCK_RESET_BELOW_MS, 0), now, RECEIVED_MS, 0);
    assert_eq!(at_limit, sure(CLOCK_RESET_BELOW_MS));
    let enrolled_ms = RECEIVED_MS - DAY_MS;
    let below = correct(reading(1, CLOCK_RESET_BELOW_MS - 1, 0), now, RECEIVED_MS, enrolled_ms);
    assert_eq!(below, doubtful(enrolled_ms));
}

#[test]
fn two_starts_that_nobody_could_tell_apart_are_not_taken_for_one() {
    let recorded = reading(0, RECEIVED_MS - DAY_MS, 1_000);
    let now = reading(0, RECEIVED_MS, 2_000); // boot 0 is unknown
    assert_eq!(correct(recorded, now, RECEIVED_MS, 0), sure(RECEIVED_MS - DAY_MS));
}

#[test]
fn the_future_is_clamped_to_the_receipt_and_doubted() {
    let recorded = reading(1, RECEIVED_MS + YEAR_MS, 0); // a year ahead then, right now
    assert_eq!(correct(recorded, reading(2, RECEIVED_MS, 0), RECEIVED_MS, 0), doubtful(RECEIVED_MS));
}

#[test]
fn an_op_is_never_before_the_op_before_it() {
    let now = reading(2, RECEIVED_MS, 0);
    let previous_ms = RECEIVED_MS - HOUR_MS;
    let set_back = reading(1, RECEIVED_MS - DAY_MS, 0);
    assert_eq!(correct(set_back, now, RECEIVED_MS, previous_ms), doubtful(previous_ms));
}

#[test]
fn a_monotonic_clock_that_runs_backwards_is_not_believed() {
    let recorded = reading(1, RECEIVED_MS - HOUR_MS, 5_000);
    let now = reading(1, RECEIVED_MS, 4_999); // the same boot number by chance
    assert_eq!(correct(recorded, now, RECEIVED_MS, 0), sure(RECEIVED_MS - HOUR_MS));
}

#[test]
fn a_clock_is_doubted_one_past_the_limit_and_not_at_it() {
    let limit_ms = CLOCK_DOUBT_MS as i64;
    for (off_ms, expected) in
        [(limit_ms, false), (limit_ms + 1, true), (-limit_ms, false), (-limit_ms - 1, true)]
    {
        let recorded = reading(1, RECEIVED_MS - HOUR_MS + off_ms, 0);
        let corrected = correct(recorded, reading(2, RECEIVED_MS + off_ms, 0), RECEIVED_MS, 0);
        assert_eq!(corrected.doubtful, expected, "off by {off_ms} ms");
    }
    for (moved_ms, expected) in [(limit_ms, false), (limit_ms + 1, true)] {
        let recorded = reading(1, RECEIVED_MS - HOUR_MS - moved_ms, 0);
        let corrected = correct(recorded, reading(2, RECEIVED_MS, 0), RECEIVED_MS, RECEIVED_MS - HOUR_MS);
        assert_eq!(corrected.doubtful, expected, "moved by {moved_ms} ms");
    }
}

fn readings() -> impl Strategy<Value = ClockReading> {
    let walls = prop_oneof![any::<i64>(), 0..3 * RECEIVED_MS, Just(0), Just(i64::MIN), Just(i64::MAX)];
    let monotonics = prop_oneof![any::<i64>(), 0..YEAR_MS];
    (walls, 0..3_u64, monotonics).prop_map(|(wall_ms, boot, monotonic_ms)| ClockReading {
        wall_ms,
        boot,
        monotonic_ms,
    })
}

proptest! {
    #![proptest_config(runs(5_000))]

    #[test]
    fn whatever_the_clocks_say_an_op_is_between_the_op_before_it_and_its_receipt(
        recorded in readings(), now in readings(), received_ms in 0..2 * RECEIVED_MS, previous_ms in 0..2 * RECEIVED_MS
    ) {
        let at_ms = correct(recorded, now, received_ms, previous_ms).at_ms;
        prop_assert!(at_ms <= received_ms);
        prop_assert!(at_ms >= previous_ms.min(received_ms));
    }

    #[test]
    fn what_a_device_does_in_order_stays_in_order(
        recorded in prop::collection::vec(readings(), 1..20), now in readings()
    ) {
        let (mut previous_ms, mut previous) = (0, 0);
        for (seq, recorded) in (1..).zip(recorded) {
            let at_ms = correct(recorded, now, RECEIVED_MS, previous_ms).at_ms;
            let next = stamp(at_ms, 0, previous);
            prop_assert!(at_ms >= previous_ms);
            let key = |stamp, seq| OrderKey { stamp, device: device(0), seq };
            prop_assert!(seq == 1 || key(previous, seq - 1) < key(next, seq));
            (previous_ms, previous) = (at_ms, next);
        }
    }

    #[test]
    fn a_stamp_is_after_all_that_the_author_had_seen_and_done_whatever_the_time(
        at_ms in prop_oneof![any::<i64>(), 0..RECEIVED_MS],
        observed in 0..=stamp_limit(RECEIVED_MS),
        previous in 0..=stamp_limit(RECEIVED_MS),
    ) {
        let at_ms = at_ms.min(RECEIVED_MS);
        let stamp = stamp(at_ms, observed, previous);
        prop_assert!(stamp > observed && stamp > previous);
        prop_assert!(stamp_ms(stamp) >= at_ms);
    }

    #[test]
    fn a_stamp_follows_the_time_where_nothing_was_seen_later(at_ms in 0..RECEIVED_MS, before_ms in 1..RECEIVED_MS) {
        let seen = stamp(at_ms.saturating_sub(before_ms), 0, 0);
        prop_assert_eq!(stamp_ms(stamp(at_ms, seen, seen)), at_ms);
    }
}

#[test]
fn nobody_has_seen_the_future_but_what_a_server_gave_whose_clock_is_ahead() {
    let limit = stamp_limit(RECEIVED_MS);
    assert!(stamp(RECEIVED_MS, 0, 0) <= limit, "what was just done may have been seen");
    assert!(stamp(RECEIVED_MS + CLOCK_LEAD_MS, 0, 0) <= limit, "there");
    assert!(stamp(RECEIVED_MS + CLOCK_LEAD_MS + 1, 0, 0) > limit);
}

#[test]
fn the_order_is_by_stamp_then_device_then_seq() {
    let key = |stamp, number, seq| OrderKey { stamp, device: device(number), seq };
    let ordered = [key(1, 2, 9), key(2, 1, 9), key(2, 2, 1), key(2, 2, 2), key(3, 0, 0)];
    assert!(ordered.is_sorted());
}
