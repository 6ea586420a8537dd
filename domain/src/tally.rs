//! What a record contributes to the summaries: counters by area, local day and measure.
//!
//! Applying an op takes away what the record contributed before and adds what it contributes now, so a summary is
//! a sum of counters and equals a recount.

use crate::id::AreaId;
use crate::kind::Kind;
use crate::record::{Record, Standing};
use jiff::civil::Date;
use jiff::tz::TimeZone;
use std::collections::BTreeMap;

/// Names one counter: an area (not its subtree), a local day there, and what is counted.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct TallyKey {
    /// The area.
    pub area: AreaId,
    /// The day, in the area's time zone.
    pub day: Date,
    /// What is counted: `visit/outcome/met`.
    pub measure: String,
}

/// Counters and by how much they change; none is zero.
pub type Tallies = BTreeMap<TallyKey, i64>;

/// Adds `sign` times what the record contributes.
pub fn tally(tallies: &mut Tallies, record: &Record, zone: &TimeZone, sign: i64) {
    if record.deleted.is_some() {
        return;
    }
    let day = local_day(record.created.at_ms, zone);
    let mut add = |measure: String| {
        let key = TallyKey { area: record.area, day, measure };
        let count = tallies.entry(key).or_default();
        *count += sign;
    };
    match record.kind {
        Kind::Visit => add(format!("visit/outcome/{}", record.text("outcome"))),
        Kind::Inspection => add(format!("inspection/result/{}", record.text("result"))),
        Kind::Request => {
            add(format!("request/category/{}", record.text("category")));
            add(format!("request/channel/{}", record.text("channel")));
            add(format!("request/status/{}", record.status));
            for stage in ["referred", "resolved", "verified"] {
                if let Some(bucket) = time_to(record, stage) {
                    add(format!("request/time_to/{stage}/{bucket}"));
                }
            }
        }
        Kind::Violation => {
            add(format!("violation/sort/{}", record.text("sort")));
            add(format!("violation/status/{}", record.status));
            for stage in ["stopped", "reported", "removed"] {
                if let Some(bucket) = time_to(record, stage) {
                    add(format!("violation/time_to/{stage}/{bucket}"));
                }
            }
        }
        Kind::FollowUp => add(format!("follow_up/{}/{}", record.text("sort"), record.status)),
        _ => {}
    }
    tallies.retain(|_, count| *count != 0);
}

/// The histogram bucket of the time from its creation until a record first reached a stage: the number of binary
/// digits of the whole hours, so bucket `n` holds times below 2^n hours.
fn time_to(record: &Record, stage: &str) -> Option<u32> {
    let reached =
        record.steps.iter().find(|taken| taken.standing == Standing::Applied && taken.step.to == stage)?;
    let hours = (reached.trace.at_ms - record.created.at_ms).max(0) / 3_600_000;
    Some(i64::BITS - hours.leading_zeros())
}

fn local_day(at_ms: i64, zone: &TimeZone) -> Date {
    let at = jiff::Timestamp::from_millisecond(at_ms).unwrap_or(jiff::Timestamp::UNIX_EPOCH); // corrected, so in range
    zone.to_datetime(at).date()
}
