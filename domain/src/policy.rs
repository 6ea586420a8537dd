//! What a city decides for an area and those below it, without a release: policies, the nearest first.

use crate::body::{Body, Policy};
use crate::follow_up::Around;
use crate::record::Record;

/// What a policy says; nothing if it was deleted.
pub(crate) fn said(record: &Record) -> Option<Policy> {
    match record.body() {
        Ok(Body::Policy(policy)) if record.deleted.is_none() => Some(policy),
        _ => None,
    }
}

/// What the policies around a record say.
pub(crate) fn all(around: &Around) -> Vec<Policy> {
    around.policies.iter().filter_map(|record| said(record)).collect()
}

/// How many days after what called for them follow-ups of a sort are due: as the nearest policy for the sort says, else
/// as is built in. None: the policy wants none.
pub(crate) fn due_days(sort: &str, built_in: &[u32], around: &Around) -> Vec<i64> {
    let policies = all(around);
    let of_sort = policies.iter().find(|policy| policy.sort == sort && !policy.due_days.is_empty());
    let days = of_sort.map_or(built_in, |policy| &policy.due_days);
    days.iter().filter(|days| **days > 0).map(|days| i64::from(*days)).collect()
}

/// Since when the policies for a sort are as they are, in ms since 1970 UTC, as far as they tell. What was over before
/// may have been decided by another.
pub(crate) fn since_ms(sort: &str, around: &Around) -> i64 {
    let decides = |record: &&&Record| record.deleted.is_some() || record.text("sort") == sort;
    around.policies.iter().filter(decides).map(|record| record.changed.at_ms).max().unwrap_or(i64::MIN)
}
