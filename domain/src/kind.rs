//! The nouns of the field, and how each of them may change.

use serde::{Deserialize, Serialize};

/// How records of a kind change over time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Nature {
    /// Described by editable fields, merged field by field.
    Described,
    /// Something that happened. It is amended with a reason, and what it said before is kept.
    Fact,
    /// Said once. A change is a new record (a checklist's next version).
    Fixed,
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident = $number:literal $name:literal $plural:literal $nature:ident),* $(,)?) => {
        /// A noun of the field. The numbers are those of `rounds.v1.Kind` and of the databases.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        #[repr(i16)]
        pub enum Kind {
            $($(#[$doc])* $kind = $number),*
        }

        impl Kind {
            /// Every kind, in the order of the numbers.
            pub const ALL: &[Kind] = &[$(Kind::$kind),*];

            /// The kind with this number, if there is one.
            pub fn from_number(number: i16) -> Option<Self> {
                match number {
                    $($number => Some(Kind::$kind),)*
                    _ => None,
                }
            }

            /// The noun in lower case, as the command line and the logs say it.
            pub fn name(self) -> &'static str {
                match self {
                    $(Kind::$kind => $name),*
                }
            }

            /// The noun for several of them, as exports and SQL views are called.
            pub fn plural(self) -> &'static str {
                match self {
                    $(Kind::$kind => $plural),*
                }
            }

            /// How records of this kind change.
            pub fn nature(self) -> Nature {
                match self {
                    $(Kind::$kind => Nature::$nature),*
                }
            }
        }
    };
}

kinds! {
    /// A node of the tree of areas: the unit of assignment, of access and of sync.
    Area = 1 "area" "areas" Described,
    /// A building, entrance, dwelling, green space or public ground.
    Place = 2 "place" "places" Described,
    /// Something looked after at a place: an elevator, a planting, a meter.
    Asset = 3 "asset" "assets" Described,
    /// A partner.
    Organization = 4 "organization" "organizations" Described,
    /// What a partner promised: goal, quantity, unit, due date.
    Commitment = 5 "commitment" "commitments" Described,
    /// A partner looks after a place or asset from one day until another.
    Contract = 6 "contract" "contracts" Described,
    /// Someone of the team or a volunteer, as far as work is given to them.
    Worker = 7 "worker" "workers" Described,
    /// Volunteers with a common skill.
    Group = 8 "group" "groups" Described,
    /// One call at a dwelling or organization.
    Visit = 9 "visit" "visits" Fact,
    /// One check of an asset or place against a checklist.
    Inspection = 10 "inspection" "inspections" Fact,
    /// Something residents ask for or complain of.
    Request = 11 "request" "requests" Described,
    /// An illegal structure, destroyed green, dumping.
    Violation = 12 "violation" "violations" Described,
    /// A recurrence rule on an asset.
    Plan = 13 "plan" "plans" Described,
    /// One thing due.
    FollowUp = 14 "follow_up" "follow_ups" Described,
    /// A household or group takes on a planting.
    Adoption = 15 "adoption" "adoptions" Described,
    /// A photo or file: what is known of it, not its bytes.
    Attachment = 16 "attachment" "attachments" Fact,
    /// One version of a list of questions.
    Checklist = 17 "checklist" "checklists" Fixed,
    /// A word of a vocabulary: a category, a kind of violation, an outcome.
    Term = 18 "term" "terms" Described,
    /// Something that somebody should know: a reminder, an alert.
    Notice = 19 "notice" "notices" Described,
    /// Who is told when, in an area.
    Policy = 20 "policy" "policies" Described,
}

impl Kind {
    /// The number that the wire and the databases use.
    pub fn number(self) -> i16 {
        self as i16
    }

    /// Whether a phone also receives records of this kind from the areas above its own.
    ///
    /// Checklists, words, partners and groups are kept once, high in the tree, and needed everywhere below.
    pub fn is_reference(self) -> bool {
        matches!(self, Kind::Area | Kind::Organization | Kind::Group | Kind::Checklist | Kind::Term)
    }
}
