//! Who may do what, as one table. Where (which areas) is the server's question.

use crate::body::Body;
use crate::kind::{Kind, Nature};
use crate::op::Action;
use serde::{Deserialize, Serialize};

/// What somebody may do. Bound to a device when it is enrolled.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(i16)]
pub enum Role {
    /// Field worker, volunteer, building lead: records what happens.
    Field = 1,
    /// Plans, refers, mends: everything within the own areas.
    Coordinator = 2,
    /// Reads everything within the own areas, and says of notices that they were seen.
    Supervisor = 3,
    /// Answers for the requests that were referred to its organization.
    Partner = 4,
    /// Everything, and enrolment.
    Admin = 5,
    /// The worker process: follow-ups, notices, and adoptions that lapse.
    System = 6,
}

impl Role {
    /// Every role.
    pub const ALL: &[Role] =
        &[Role::Field, Role::Coordinator, Role::Supervisor, Role::Partner, Role::Admin, Role::System];

    /// The number that the wire and the databases use.
    pub fn number(self) -> i16 {
        self as i16
    }

    /// The role with this number.
    pub fn from_number(number: i16) -> Option<Self> {
        Self::ALL.iter().copied().find(|role| role.number() == number)
    }

    /// The role as the command line says it.
    pub fn name(self) -> &'static str {
        match self {
            Role::Field => "field",
            Role::Coordinator => "coordinator",
            Role::Supervisor => "supervisor",
            Role::Partner => "partner",
            Role::Admin => "admin",
            Role::System => "system",
        }
    }

    /// Whether this role may act in this way on records of this kind.
    pub fn may(self, action: &Action, kind: Kind) -> bool {
        match self {
            Role::Admin => true,
            // Words of the vocabulary and the tree's roots belong to the whole city.
            Role::Coordinator => match action {
                Action::Create(body) => match body.as_ref() {
                    Body::Area(area) => area.parent.is_some(),
                    _ => kind != Kind::Term,
                },
                _ => kind != Kind::Term,
            },
            Role::Field => match action {
                Action::Create(_) => {
                    kind.nature() == Nature::Fact
                        || matches!(kind, Kind::Request | Kind::Violation | Kind::Adoption)
                }
                // What is wrong on a door or a plate is seen by who stands before it.
                Action::Edit { .. } => {
                    kind.nature() == Nature::Fact
                        || matches!(kind, Kind::Request | Kind::Violation | Kind::Place | Kind::Asset)
                }
                // A notice is raised and withdrawn by the worker.
                Action::Step(step) => kind != Kind::Notice || step.to == "seen",
                Action::Move { .. } | Action::Delete { .. } | Action::Settle { .. } => false,
            },
            // Resolved is the partner's word; verified, closed and rejected are ours.
            Role::Partner => match action {
                Action::Step(step) => {
                    kind == Kind::Request
                        && matches!(step.to.as_str(), "in_progress" | "resolved" | "triaged")
                }
                _ => false,
            },
            Role::System => match kind {
                Kind::FollowUp | Kind::Notice => {
                    !matches!(action, Action::Delete { .. } | Action::Settle { .. })
                }
                Kind::Adoption => matches!(action, Action::Step(_)),
                _ => false,
            },
            // Whoever is told says so; a supervisor changes nothing else.
            Role::Supervisor => {
                matches!(action, Action::Step(step) if kind == Kind::Notice && step.to == "seen")
            }
        }
    }

    /// Whether this role may see and mend quarantine, conflicts and devices of its areas.
    pub fn coordinates(self) -> bool {
        matches!(self, Role::Coordinator | Role::Admin)
    }
}
