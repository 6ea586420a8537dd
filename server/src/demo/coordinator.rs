//! Coordinators at their laptops: who gets a request, what was solved, what is closed.

use super::Error;
use super::calendar::{DAY_MS, Day, Watch};
use super::neighbourhood::{Community, Neighbourhood};
use super::phone::Phone;
use super::volunteer::{days_since_change, step};
use super::word::{CATEGORIES, PARTNERS, descriptions};
use crate::chance::Chance;
use rounds_device::Draft;
use rounds_domain::body;
use rounds_domain::op::Step;
use rounds_domain::{Action, Body, Kind, Record};

/// Days after the last recheck at which a violation is closed.
const CLOSED_AFTER_DAYS: i64 = 95;

/// A coordinator of a community.
pub(super) struct Coordinator {
    pub(super) phone: Phone,
    pub(super) community: usize,
    pub(super) chance: Chance,
}

impl Coordinator {
    /// The morning at the desk, with what came in until the evening before.
    pub(super) fn morning(&mut self, all: &Neighbourhood, day: Day) -> Result<(), Error> {
        if day.is_sunday() {
            return Ok(());
        }
        let community = &all.communities[self.community];
        let mut watch = Watch { at_ms: day.at(8, 40) };
        for view in self.phone.list(Kind::Request)? {
            let request = view.record;
            if let Some(draft) = self.next_of_request(all, &request, watch.at_ms) {
                let at_ms = watch.pass(2);
                self.record(day, at_ms, vec![draft])?;
            }
        }
        for view in self.phone.list(Kind::Violation)? {
            let violation = view.record;
            let next = match violation.status.as_str() {
                "stopped" if self.chance.percent(50) => "reported",
                "removed" | "restored" if days_since_change(&violation, watch.at_ms) > CLOSED_AFTER_DAYS => {
                    "closed"
                }
                _ => continue,
            };
            let at_ms = watch.pass(2);
            self.record(day, at_ms, vec![step(&violation, next, None)])?;
        }
        if self.chance.percent(30) {
            self.take_call(community, day, &mut watch)?;
        }
        Ok(())
    }

    fn record(&mut self, day: Day, at_ms: i64, group: Vec<Draft>) -> Result<(), Error> {
        if day.has_come(at_ms) { self.phone.record(at_ms, group) } else { Ok(()) }
    }

    fn next_of_request(&mut self, all: &Neighbourhood, request: &Record, at_ms: i64) -> Option<Draft> {
        let to = |to: &str, reason: &str| {
            Some(Draft::on(
                request,
                Action::Step(Step { to: to.to_owned(), reason: reason.to_owned(), ..Step::default() }),
            ))
        };
        let days = days_since_change(request, at_ms);
        match request.status.as_str() {
            "open" if self.chance.percent(80) => match self.chance.percent(6) {
                true => to("rejected", "Not a matter for the neighbourhood team; told whom to ask."),
                false => to("triaged", ""),
            },
            "triaged" if self.chance.percent(70) => {
                let category = request.text("category");
                let partner = PARTNERS.iter().position(|partner| partner.categories.contains(&category));
                let Some(partner) = partner else { return to("in_progress", "") };
                let step = Step {
                    to: "referred".to_owned(),
                    organization: Some(all.partners[partner]),
                    due_at_ms: Some(at_ms + self.chance.between(5, 14) * DAY_MS),
                    ..Step::default()
                };
                Some(Draft::on(request, Action::Step(step)))
            }
            "in_progress"
                if request.reference("referred_to").is_none() && days >= 2 && self.chance.percent(40) =>
            {
                to("resolved", "")
            }
            "resolved" if days >= 1 && self.chance.percent(50) => match self.chance.percent(14) {
                true => to("in_progress", "Looked at it: the trouble is still there."),
                false => to("verified", ""),
            },
            "verified" if days >= 1 && self.chance.percent(60) => to("closed", ""),
            "closed" if (20..60).contains(&days) && self.chance.percent(1) => {
                to("open", "The same trouble is back.")
            }
            _ => None,
        }
    }

    /// Somebody calls, comes in, or speaks up at the meeting.
    fn take_call(&mut self, community: &Community, day: Day, watch: &mut Watch) -> Result<(), Error> {
        let at_ms = watch.pass(self.chance.between(5, 30));
        let cell = self.chance.pick(&community.cells);
        let category = *self.chance.weighted(CATEGORIES);
        let body = body::Request {
            subject: Some(*self.chance.pick(&cell.buildings)),
            category: category.to_owned(),
            channel: (*self.chance.weighted(&[("phone", 60), ("walk_in", 25), ("meeting", 15)])).to_owned(),
            description: (*self.chance.pick(descriptions(category))).to_owned(),
            ..body::Request::default()
        };
        let id = self.chance.id(at_ms);
        self.record(day, at_ms, vec![Draft::create(id, cell.area, Body::Request(body))])
    }
}
