//! What people of the demo say and write.

/// Work names of volunteers and coordinators.
pub(super) const WORKERS: &[&str] = &[
    "Lin", "Wei", "Hua", "Ming", "Yun", "Bo", "Ping", "Qing", "Rui", "Tao", "Xin", "Zhen", "An", "Dong",
    "Fang", "Gang", "Hong", "Jun", "Kai", "Lan", "Na", "Peng", "Shan", "Yi",
];

/// Communities and the two letters that their codes begin with.
pub(super) const COMMUNITIES: &[(&str, &str)] = &[
    ("Magnolia Garden", "MG"),
    ("Old Foundry", "OF"),
    ("East Lake", "EL"),
    ("Plum Terrace", "PT"),
    ("Weavers' Yard", "WY"),
    ("North Gate", "NG"),
];

/// Skills of groups.
pub(super) const SKILLS: &[(&str, &str)] = &[
    ("environment", "Green hands"),
    ("mediation", "Good neighbours"),
    ("hardship_support", "Helping hands"),
    ("safety", "Night patrol"),
];

/// A partner: name, sort, mailbox, and the categories that are referred to it.
pub(super) struct Partner {
    pub(super) name: &'static str,
    pub(super) sort: &'static str,
    pub(super) email: &'static str,
    pub(super) categories: &'static [&'static str],
}

/// Who the team works with.
pub(super) const PARTNERS: &[Partner] = &[
    Partner {
        name: "Riverside Waterworks",
        sort: "water",
        email: "desk@water.example.org",
        categories: &["water"],
    },
    Partner { name: "City Power", sort: "power", email: "desk@power.example.org", categories: &["power"] },
    Partner {
        name: "District Heating",
        sort: "heating",
        email: "desk@heating.example.org",
        categories: &["heating"],
    },
    Partner {
        name: "LiftCare",
        sort: "elevator_maintenance",
        email: "service@liftcare.example.org",
        categories: &["elevator"],
    },
    Partner {
        name: "Sunrise Property Management",
        sort: "property",
        email: "office@sunrise.example.org",
        categories: &["property", "parking", "noise"],
    },
    Partner {
        name: "Housing Office",
        sort: "housing",
        email: "counter@housing.example.org",
        categories: &["other"],
    },
    Partner {
        name: "Parks Service",
        sort: "green",
        email: "parks@riverside.example.org",
        categories: &["green"],
    },
    Partner {
        name: "Enforcement Brigade",
        sort: "enforcement",
        email: "duty@enforcement.example.org",
        categories: &[],
    },
    Partner {
        name: "Riverside Primary School",
        sort: "school",
        email: "office@school.example.org",
        categories: &[],
    },
    Partner { name: "Harbour Bank", sort: "bank", email: "branch@bank.example.org", categories: &[] },
];

/// What is asked for, by category.
pub(super) fn descriptions(category: &str) -> &'static [&'static str] {
    match category {
        "water" => &[
            "No water above the fourth floor.",
            "The water is brown in the morning.",
            "The meter shaft drips.",
        ],
        "power" => &["The stairwell light is out.", "The fuse of the riser trips when it rains."],
        "heating" => {
            &["Radiators stay cold.", "The return pipe knocks at night.", "Only one of two risers gets warm."]
        }
        "elevator" => {
            &["It stops between floors.", "The door closes too fast for a wheelchair.", "It hums loudly."]
        }
        "property" => {
            &["Bins were not emptied for three days.", "The entrance door does not lock.", "The roof leaks."]
        }
        "noise" => &["Drilling during the midday rest.", "The ventilator of the shop runs all night."],
        "green" => &["A branch hangs over the path.", "The bed behind the house dries out."],
        "parking" => &["The fire lane is parked up.", "Bicycles block the ramp."],
        "hardship" => &["Needs help with the shopping after an operation.", "Needs help with a form."],
        "mediation" => &["Two households disagree about the shared balcony."],
        _ => &["Asks when the meeting is.", "Wants to know who answers for the wall."],
    }
}

/// Categories with how often they come up: in winter, and in the rest of the year.
pub(super) const CATEGORIES_WINTER: &[(&str, u32)] = &[
    ("heating", 30),
    ("water", 12),
    ("power", 10),
    ("elevator", 12),
    ("property", 14),
    ("noise", 6),
    ("parking", 6),
    ("hardship", 6),
    ("mediation", 2),
    ("other", 2),
];
pub(super) const CATEGORIES: &[(&str, u32)] = &[
    ("water", 16),
    ("power", 8),
    ("elevator", 16),
    ("property", 18),
    ("noise", 10),
    ("green", 12),
    ("parking", 10),
    ("hardship", 5),
    ("mediation", 3),
    ("other", 2),
];

/// What there is to say after a visit.
pub(super) const NOTES: &[&str] = &[
    "The handrail on the second floor is loose.",
    "All is well.",
    "Would like the meeting in the evening.",
    "The bell does not work; knock.",
    "Asked for the number of the heating desk.",
    "Offers to water the bed at the entrance.",
];

/// Kinds of violations, how often they come up, and what is there to see.
pub(super) const VIOLATIONS: &[(&str, u32)] = &[
    ("illegal_structure", 14),
    ("occupied_green", 20),
    ("destroyed_green", 10),
    ("dumping", 26),
    ("graffiti", 14),
    ("damaged_wall", 6),
    ("obstructing_vehicle", 10),
];

/// What is there to see of a violation.
pub(super) fn sight(sort: &str) -> &'static str {
    match sort {
        "illegal_structure" => "A shed of planks against the north wall.",
        "occupied_green" => "Vegetables and a fence on the common lawn.",
        "destroyed_green" => "The hedge was cut down for a parked van.",
        "dumping" => "Rubble and an old sofa beside the bins.",
        "graffiti" => "Paint on the wall of the entrance.",
        "damaged_wall" => "A hole was broken through the parapet.",
        _ => "A trailer stands on the fire lane.",
    }
}

/// Findings of an inspection that was not passed, for elevators and for plantings.
pub(super) const ELEVATOR_FINDINGS: &[&str] =
    &["The emergency call takes two minutes.", "The door edge is worn.", "The car stops 3 cm too high."];
pub(super) const PLANTING_FINDINGS: &[&str] =
    &["Aphids on the young shoots.", "The soil is compacted.", "Two pots are broken."];
