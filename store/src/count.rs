//! What a commit, or a recount, changes in the counters of summaries.

use crate::Error;
use crate::tx::{Tx, Writes};
use jiff::civil::Date;
use jiff::tz::TimeZone;
use rounds_domain::Record;
use rounds_domain::attendance::{Attended, attended, tally_days};
use rounds_domain::tally::{Tallies, TallyKey, Unit, add, add_longer, contribution};
use std::collections::{BTreeMap, BTreeSet};

/// How often something was attended to, by day.
type Days = BTreeMap<Date, i64>;

/// Changes of counters.
#[derive(Debug, Default)]
pub(crate) struct Count {
    tallies: Tallies,
    attended: BTreeMap<Attended, Days>,
}

impl Count {
    /// Adds `sign` times a record. Answers the local day on which it is counted, if it is.
    pub(crate) fn take(&mut self, record: &Record, zone: &TimeZone, sign: i64) -> Option<Date> {
        if let Some((what, day)) = attended(record, zone) {
            *self.attended.entry(what).or_default().entry(day).or_default() += sign;
        }
        let contribution = contribution(record, zone)?;
        let day = contribution.day;
        for (measure, count) in contribution.measures {
            add(
                &mut self.tallies,
                TallyKey { area: record.area, unit: Unit::Day, day, measure },
                sign * count,
            );
        }
        Some(day)
    }

    /// Puts into what is written how the counters change from what is committed.
    pub(crate) async fn close<T: Tx>(mut self, tx: &mut T, writes: &mut Writes) -> Result<(), Error> {
        for days in self.attended.values_mut() {
            days.retain(|_, count| *count != 0);
        }
        self.attended.retain(|_, days| !days.is_empty());
        if !self.attended.is_empty() {
            let what: Vec<Attended> = self.attended.keys().cloned().collect();
            let mut before: BTreeMap<Attended, Days> = BTreeMap::new();
            for (what, day, count) in tx.attended(&what).await? {
                before.entry(what).or_default().insert(day, count);
            }
            for (what, changes) in self.attended {
                let mut days = before.remove(&what).unwrap_or_default();
                tally_days(&mut self.tallies, &what, &counted(&days), -1);
                for (day, change) in &changes {
                    *days.entry(*day).or_default() += change;
                }
                tally_days(&mut self.tallies, &what, &counted(&days), 1);
                writes.attended.extend(changes.into_iter().map(|(day, change)| (what.clone(), day, change)));
            }
        }
        add_longer(&mut self.tallies);
        writes.tallies = self.tallies;
        Ok(())
    }

    /// All counters, where everything was taken in and nothing was there before.
    pub(crate) fn whole(mut self) -> (Tallies, Vec<(Attended, Date, i64)>) {
        let mut all = Vec::new();
        for (what, days) in self.attended {
            tally_days(&mut self.tallies, &what, &counted(&days), 1);
            all.extend(days.into_iter().map(|(day, count)| (what.clone(), day, count)));
        }
        add_longer(&mut self.tallies);
        (self.tallies, all)
    }
}

fn counted(days: &Days) -> BTreeSet<Date> {
    days.iter().filter(|(_, count)| **count > 0).map(|(day, _)| *day).collect()
}
