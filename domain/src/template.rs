//! Plans that most cities want, as data. A template is a beginning: every value of a plan made from it can be changed.

use crate::body::{Phase, Plan};
use crate::kind::Kind;

/// A plan for many things of a sort.
#[derive(Clone, Copy, Debug)]
pub struct Template {
    /// What it is called on the command line.
    pub name: &'static str,
    /// What it is for.
    pub about: &'static str,
    /// The kind of the things: assets or places.
    pub kind: Kind,
    /// Their sorts.
    pub sorts: &'static [&'static str],
    plan: fn() -> Plan,
}

impl Template {
    /// The plan, without subject, first day and whoever does it.
    pub fn plan(&self) -> Plan {
        (self.plan)()
    }

    /// The template with this name.
    pub fn named(name: &str) -> Option<&'static Self> {
        TEMPLATES.iter().find(|template| template.name == name)
    }
}

/// Months in which nothing is watered where it freezes.
const FROZEN_MONTHS: [u32; 3] = [12, 1, 2];

/// Every template.
pub const TEMPLATES: &[Template] = &[
    Template {
        name: "elevator-maintenance",
        about: "routine maintenance: every 14 days from the last, at most 15 days apart (TSG T5002, China)",
        kind: Kind::Asset,
        sorts: &["elevator"],
        plan: || Plan {
            sort: "maintenance".to_owned(),
            rule: "FREQ=DAILY;INTERVAL=14".to_owned(),
            after_completion: true,
            gap_days_max: Some(15),
            opens_days: Some(4),
            expires_days: Some(15),
            mandated: true,
            ..Plan::default()
        },
    },
    Template {
        name: "elevator-inspection",
        about: "yearly statutory inspection, by the calendar",
        kind: Kind::Asset,
        sorts: &["elevator"],
        plan: || Plan {
            sort: "statutory_inspection".to_owned(),
            rule: "FREQ=YEARLY".to_owned(),
            opens_days: Some(30),
            expires_days: Some(60),
            mandated: true,
            ..Plan::default()
        },
    },
    Template {
        name: "watering-pots",
        about: "pots: daily from June to September",
        kind: Kind::Asset,
        sorts: &["pots"],
        plan: || Plan {
            rule: "FREQ=DAILY;BYMONTH=6,7,8,9".to_owned(),
            expires_days: Some(1),
            after_completion: false,
            ..watering()
        },
    },
    Template {
        name: "watering-beds",
        about: "beds and climbing plants: three days after the last time, not in winter",
        kind: Kind::Asset,
        sorts: &["bed", "climbing_plants"],
        plan: || Plan { rule: "FREQ=DAILY;INTERVAL=3".to_owned(), ..watering() },
    },
    Template {
        name: "watering-trees",
        about: "trees and lawns: a week after the last time, not in winter",
        kind: Kind::Asset,
        sorts: &["tree", "lawn"],
        plan: || Plan { rule: "FREQ=WEEKLY".to_owned(), expires_days: Some(6), ..watering() },
    },
    Template {
        name: "watering-new",
        about: "new plantings: daily for two weeks, every third day until week 12, then weekly, not in winter",
        kind: Kind::Asset,
        sorts: &["tree", "bed", "lawn", "climbing_plants"],
        plan: || Plan {
            rule: "FREQ=WEEKLY".to_owned(),
            phases: vec![
                Phase { until_day: 14, rule: "FREQ=DAILY".to_owned() },
                Phase { until_day: 84, rule: "FREQ=DAILY;INTERVAL=3".to_owned() },
            ],
            ..watering()
        },
    },
    Template {
        name: "dwelling-visit",
        about: "a visit where nobody was met for 90 days",
        kind: Kind::Place,
        sorts: &["dwelling"],
        plan: || Plan {
            sort: "visit".to_owned(),
            rule: "FREQ=DAILY;INTERVAL=90".to_owned(),
            after_completion: true,
            opens_days: Some(14),
            ..Plan::default()
        },
    },
];

fn watering() -> Plan {
    Plan {
        sort: "watering".to_owned(),
        after_completion: true,
        opens_days: Some(1),
        expires_days: Some(3),
        resting_months: FROZEN_MONTHS.to_vec(),
        catch_up: "skip".to_owned(),
        ..Plan::default()
    }
}
