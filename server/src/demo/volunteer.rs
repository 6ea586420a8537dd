//! Volunteers on their rounds: doors, elevators, plantings, and what they come across.

use super::Error;
use super::calendar::{DAY_MS, Day, Watch};
use super::neighbourhood::{Cell, Neighbourhood, rounded};
use super::phone::Phone;
use super::word::{
    CATEGORIES, CATEGORIES_WINTER, ELEVATOR_FINDINGS, NOTES, PLANTING_FINDINGS, VIOLATIONS, descriptions,
    sight,
};
use crate::chance::Chance;
use rounds_device::Draft;
use rounds_domain::body::{self, Answer};
use rounds_domain::op::Step;
use rounds_domain::{Action, Body, Kind, Record, RecordId};

const OUTCOMES: &[(&str, u32)] = &[("met", 64), ("no_answer", 27), ("refused", 5), ("moved", 4)];
const RESULTS: &[(&str, u32)] = &[("pass", 88), ("needs_attention", 9), ("fail", 3)];
/// Days between two checks of an elevator.
const ELEVATOR_DAYS: i64 = 13;
/// Days between two waterings.
const WATERING_DAYS: i64 = 4;

/// A volunteer with a phone.
pub(super) struct Volunteer {
    pub(super) phone: Phone,
    pub(super) community: usize,
    pub(super) cell: usize,
    pub(super) chance: Chance,
    next_dwelling: usize,
    /// The morning of the day on which the phone last met the server, in ms since 1970 UTC.
    synced_ms: i64,
    /// The day on which each elevator and each planting was last seen to.
    elevators: Vec<i64>,
    plantings: Vec<i64>,
}

impl Volunteer {
    pub(super) fn new(phone: Phone, community: usize, cell: usize, of: &Cell, mut chance: Chance) -> Self {
        let elevators = of.elevators.iter().map(|_| chance.between(-ELEVATOR_DAYS, 0)).collect();
        let plantings = of.plantings.iter().map(|_| chance.between(-WATERING_DAYS, 0)).collect();
        let next_dwelling = chance.between(0, of.dwellings.len() as i64 - 1) as usize;
        Self { phone, community, cell, chance, next_dwelling, synced_ms: 0, elevators, plantings }
    }

    /// A round, on some days, and at the end of it most often a signal.
    pub(super) async fn round(
        &mut self,
        all: &Neighbourhood,
        day: Day,
        has_signal: bool,
    ) -> Result<(), Error> {
        let out = if day.is_sunday() { 5 } else { 30 };
        if !self.chance.percent(out) {
            return Ok(());
        }
        self.work(all, day)?;
        if has_signal && self.chance.percent(80) {
            self.phone.sync().await?;
            self.synced_ms = day.at(0, 0);
        }
        Ok(())
    }

    fn work(&mut self, all: &Neighbourhood, day: Day) -> Result<(), Error> {
        let cell = &all.communities[self.community].cells[self.cell];
        let start = if self.chance.percent(60) { day.at(9, 0) } else { day.at(14, 0) };
        let mut watch = Watch { at_ms: start };
        watch.pass(self.chance.between(0, 60));
        self.follow_up(cell, day, &mut watch)?;
        for _ in 0..self.chance.between(2, 5) {
            self.call(cell, day, &mut watch)?;
        }
        self.check_elevators(all, cell, day, &mut watch)?;
        self.water(all, cell, day, &mut watch)?;
        self.see_to_violations(cell, day, &mut watch)?;
        if self.chance.percent(5) {
            self.find_violation(cell, day, &mut watch)?;
        }
        Ok(())
    }

    fn record(&mut self, day: Day, at_ms: i64, group: Vec<Draft>) -> Result<(), Error> {
        if day.has_come(at_ms) { self.phone.record(at_ms, group) } else { Ok(()) }
    }

    /// One door after the other, so that each has its turn.
    fn call(&mut self, cell: &Cell, day: Day, watch: &mut Watch) -> Result<(), Error> {
        let at_ms = watch.pass(self.chance.between(4, 11));
        let dwelling = cell.dwellings[self.next_dwelling % cell.dwellings.len()];
        self.next_dwelling += 1;
        let outcome = *self.chance.weighted(OUTCOMES);
        let (visit, draft) = self.visit(cell, at_ms, dwelling, "routine", outcome, None, None);
        let mut group = vec![draft];
        if outcome == "met" && self.chance.percent(9) {
            let winter = matches!(day.month(), 11 | 12 | 1 | 2 | 3);
            let category = *self.chance.weighted(if winter { CATEGORIES_WINTER } else { CATEGORIES });
            group.push(self.request(cell, at_ms, dwelling, category, Some(visit)));
        }
        self.record(day, at_ms, group)
    }

    /// What the phone says is due today. The worker makes follow-ups while phones sync, so whether those of that day
    /// came along is a matter of luck: they wait for the next round.
    fn follow_up(&mut self, cell: &Cell, day: Day, watch: &mut Watch) -> Result<(), Error> {
        let due = self.phone.today(watch.at_ms)?;
        // Elevators and plantings have their own turn.
        let mine = due.into_iter().map(|view| view.record).filter(|due| {
            due.created.at_ms < self.synced_ms && matches!(due.text("sort"), "recheck" | "second_call")
        });
        let mine: Vec<Record> = mine.take(3).collect();
        for due in mine {
            if !self.chance.percent(75) {
                continue;
            }
            let at_ms = watch.pass(self.chance.between(4, 11));
            let Some(subject) = due.reference("subject") else { continue };
            let group = if due.text("sort") == "recheck" {
                self.recheck(cell, at_ms, subject, &due)?
            } else {
                let outcome = *self.chance.weighted(OUTCOMES);
                let (visit, draft) = self.visit(cell, at_ms, subject, "routine", outcome, Some(due.id), None);
                vec![draft, done(&due, outcome, visit)]
            };
            self.record(day, at_ms, group)?;
        }
        Ok(())
    }

    fn recheck(
        &mut self,
        cell: &Cell,
        at_ms: i64,
        subject: RecordId,
        due: &Record,
    ) -> Result<Vec<Draft>, Error> {
        let violation = due.reference("source");
        let (visit, draft) = self.visit(cell, at_ms, subject, "recheck", "met", Some(due.id), violation);
        let found_again = self.chance.percent(10);
        let mut group = vec![draft, done(due, if found_again { "found_again" } else { "in_order" }, visit)];
        let seen = violation.map(|id| self.phone.view(id)).transpose()?.flatten();
        if let Some(seen) =
            seen.filter(|seen| found_again && matches!(seen.record.status.as_str(), "removed" | "restored"))
        {
            group.push(step(&seen.record, "found", Some(visit)));
        }
        Ok(group)
    }

    fn check_elevators(
        &mut self,
        all: &Neighbourhood,
        cell: &Cell,
        day: Day,
        watch: &mut Watch,
    ) -> Result<(), Error> {
        for at in due(&self.elevators, day.number, ELEVATOR_DAYS) {
            self.elevators[at] = day.number;
            let at_ms = watch.pass(self.chance.between(5, 9));
            let elevator = cell.elevators[at];
            let result = *self.chance.weighted(RESULTS);
            let findings = if result == "pass" { "" } else { *self.chance.pick(ELEVATOR_FINDINGS) };
            let word = if result == "fail" { "no" } else { "yes" };
            let answers = [("call", "yes"), ("door", word), ("level", "yes"), ("light", "yes")];
            let inspection =
                inspection(elevator, "maintenance", all.elevator_checklist, &answers, result, findings);
            let mut group = vec![Draft::create(self.chance.id(at_ms), cell.area, inspection)];
            if result == "fail" {
                group.push(self.request(cell, at_ms, elevator, "elevator", None));
            }
            self.record(day, at_ms, group)?;
        }
        Ok(())
    }

    fn water(&mut self, all: &Neighbourhood, cell: &Cell, day: Day, watch: &mut Watch) -> Result<(), Error> {
        if matches!(day.month(), 11 | 12 | 1 | 2) {
            return Ok(());
        }
        if matches!(day.month(), 3..=5 | 9 | 10) && self.chance.percent(12) {
            let at_ms = watch.pass(self.chance.between(20, 60));
            let planted = Body::Inspection(body::Inspection {
                subject: Some(cell.green),
                result: "pass".to_owned(),
                sort: "planting".to_owned(),
                commitment: Some(all.communities[self.community].flowers),
                quantity: Some(self.chance.between(10, 40) as f64),
                ..body::Inspection::default()
            });
            let group = vec![Draft::create(self.chance.id(at_ms), cell.area, planted)];
            self.record(day, at_ms, group)?;
        }
        for at in due(&self.plantings, day.number, WATERING_DAYS) {
            self.plantings[at] = day.number;
            let at_ms = watch.pass(self.chance.between(3, 8));
            let result = *self.chance.weighted(RESULTS);
            let findings = if result == "pass" { "" } else { *self.chance.pick(PLANTING_FINDINGS) };
            let condition = if result == "pass" { "good" } else { "poor" };
            let answers = [("watered", "yes"), ("condition", condition)];
            let planting = cell.plantings[at];
            let inspection =
                inspection(planting, "watering", all.planting_checklist, &answers, result, findings);
            let group = vec![Draft::create(self.chance.id(at_ms), cell.area, inspection)];
            self.record(day, at_ms, group)?;
        }
        Ok(())
    }

    fn find_violation(&mut self, cell: &Cell, day: Day, watch: &mut Watch) -> Result<(), Error> {
        let at_ms = watch.pass(2);
        let sort = *self.chance.weighted(VIOLATIONS);
        let is_green = matches!(sort, "occupied_green" | "destroyed_green");
        let subject = if is_green { cell.green } else { *self.chance.pick(&cell.buildings) };
        let off = |chance: &mut Chance| chance.between(-200, 200) as f64 / 100_000.0;
        let body = body::Violation {
            subject: Some(subject),
            sort: sort.to_owned(),
            description: sight(sort).to_owned(),
            visit: None,
            latitude: Some(rounded(cell.middle.0 + off(&mut self.chance))),
            longitude: Some(rounded(cell.middle.1 + off(&mut self.chance))),
        };
        let id = self.chance.id(at_ms);
        self.record(day, at_ms, vec![Draft::create(id, cell.area, Body::Violation(body))])
    }

    /// Persuasion takes several visits; the stages move on when it worked.
    fn see_to_violations(&mut self, cell: &Cell, day: Day, watch: &mut Watch) -> Result<(), Error> {
        let seen = self.phone.list(Kind::Violation)?;
        for violation in seen.into_iter().map(|view| view.record) {
            let Some(subject) = violation.reference("subject") else { continue };
            let next = match violation.status.as_str() {
                "found" if self.chance.percent(60) => Some("stopped"),
                "stopped" | "reported" if self.chance.percent(45) => {
                    let at_ms = watch.pass(self.chance.between(6, 15));
                    let outcome = *self.chance.weighted(OUTCOMES);
                    let (visit, draft) =
                        self.visit(cell, at_ms, subject, "persuasion", outcome, None, Some(violation.id));
                    let mut group = vec![draft];
                    if outcome == "met" && self.chance.percent(40) {
                        group.push(step(&violation, "agreed", Some(visit)));
                    }
                    self.record(day, at_ms, group)?;
                    None
                }
                "agreed" if self.chance.percent(45) => Some("removed"),
                "removed" if violation.text("sort").contains("green") && self.chance.percent(25) => {
                    Some("restored")
                }
                _ => None,
            };
            if let Some(next) = next {
                let at_ms = watch.pass(3);
                self.record(day, at_ms, vec![step(&violation, next, None)])?;
            }
        }
        Ok(())
    }

    #[allow(clippy::too_many_arguments)] // what a visit says
    fn visit(
        &mut self,
        cell: &Cell,
        at_ms: i64,
        subject: RecordId,
        purpose: &str,
        outcome: &str,
        follow_up: Option<RecordId>,
        violation: Option<RecordId>,
    ) -> (RecordId, Draft) {
        let note = if self.chance.percent(15) { *self.chance.pick(NOTES) } else { "" };
        let body = body::Visit {
            subject: Some(subject),
            purpose: purpose.to_owned(),
            outcome: outcome.to_owned(),
            note: note.to_owned(),
            follow_up,
            violation,
        };
        let id = self.chance.id(at_ms);
        (id, Draft::create(id, cell.area, Body::Visit(body)))
    }

    fn request(
        &mut self,
        cell: &Cell,
        at_ms: i64,
        subject: RecordId,
        category: &str,
        visit: Option<RecordId>,
    ) -> Draft {
        let body = body::Request {
            subject: Some(subject),
            category: category.to_owned(),
            channel: "visit".to_owned(),
            description: (*self.chance.pick(descriptions(category))).to_owned(),
            visit,
            ..body::Request::default()
        };
        Draft::create(self.chance.id(at_ms), cell.area, Body::Request(body))
    }
}

/// Those that were seen to so many days ago, at most two: a round is not endless.
fn due(last: &[i64], today: i64, days: i64) -> Vec<usize> {
    let mut due: Vec<usize> = (0..last.len()).filter(|at| last[*at] + days <= today).collect();
    due.sort_by_key(|at| last[*at]);
    due.truncate(2);
    due
}

fn inspection(
    subject: RecordId,
    sort: &str,
    checklist: RecordId,
    answers: &[(&str, &str)],
    result: &str,
    findings: &str,
) -> Body {
    let answers =
        answers.iter().map(|(key, value)| Answer { key: (*key).to_owned(), value: (*value).to_owned() });
    Body::Inspection(body::Inspection {
        subject: Some(subject),
        checklist: Some(checklist),
        answers: answers.collect(),
        result: result.to_owned(),
        findings: findings.to_owned(),
        sort: sort.to_owned(),
        ..body::Inspection::default()
    })
}

fn done(due: &Record, outcome: &str, evidence: RecordId) -> Draft {
    let step = Step {
        to: "done".to_owned(),
        outcome: outcome.to_owned(),
        evidence: Some(evidence),
        ..Step::default()
    };
    Draft::on(due, Action::Step(step))
}

/// A step to the next stage.
pub(super) fn step(of: &Record, to: &str, evidence: Option<RecordId>) -> Draft {
    Draft::on(of, Action::Step(Step { to: to.to_owned(), evidence, ..Step::default() }))
}

/// How many days ago a record last changed.
pub(super) fn days_since_change(record: &Record, at_ms: i64) -> i64 {
    (at_ms - record.changed.at_ms) / DAY_MS
}
