//! What is there: areas, places, what is looked after, who does it, and what was promised.

use super::calendar::{Calendar, TIME_ZONE};
use super::word::{COMMUNITIES, PARTNERS, SKILLS, WORKERS};
use crate::chance::Chance;
use rounds_device::Draft;
use rounds_domain::body::{self, Attribute, Question};
use rounds_domain::limit::GROUP_OPS_MAX;
use rounds_domain::{AreaId, Body, RecordId};

/// Grid cells of a community.
const CELLS: usize = 3;
/// Buildings of a grid cell.
const BUILDINGS: usize = 3;
/// Entrances of a building; each has an elevator.
const ENTRANCES: usize = 2;
/// Storeys of a building, with two dwellings at each entrance.
const STOREYS: usize = 4;
/// Plantings of a grid cell: their sort and name.
const PLANTINGS: &[(&str, &str)] = &[
    ("tree", "Row of plane trees"),
    ("bed", "Rose bed"),
    ("lawn", "Lawn"),
    ("pots", "Flower pots"),
    ("climbing_plants", "Wisteria at the wall"),
];

/// What everybody in the demo knows by heart.
pub(super) struct Neighbourhood {
    pub(super) district: AreaId,
    pub(super) communities: Vec<Community>,
    pub(super) partners: Vec<RecordId>,
    pub(super) elevator_checklist: RecordId,
    pub(super) planting_checklist: RecordId,
    /// What the administrator records to make it.
    pub(super) drafts: Vec<Draft>,
}

/// A community.
pub(super) struct Community {
    pub(super) name: &'static str,
    pub(super) area: AreaId,
    pub(super) coordinator: RecordId,
    pub(super) coordinator_name: &'static str,
    /// The commitment that pupils' plantings count for.
    pub(super) flowers: RecordId,
    pub(super) cells: Vec<Cell>,
}

/// A grid cell, where a volunteer makes the round.
pub(super) struct Cell {
    pub(super) area: AreaId,
    pub(super) volunteers: Vec<(RecordId, String)>,
    pub(super) green: RecordId,
    pub(super) buildings: Vec<RecordId>,
    pub(super) dwellings: Vec<RecordId>,
    pub(super) elevators: Vec<RecordId>,
    pub(super) plantings: Vec<RecordId>,
    /// Degrees north and east of its middle.
    pub(super) middle: (f64, f64),
}

impl Neighbourhood {
    /// Plans everything, for so many communities and volunteers.
    pub(super) fn plan(
        chance: &mut Chance,
        calendar: &Calendar,
        communities: usize,
        volunteers: usize,
    ) -> Self {
        let mut plan = Plan { chance, calendar, at_ms: calendar.start_ms(), drafts: Vec::new() };
        let district = plan.area("Riverside District", "district", None);
        let street = plan.area("Willow Lane", "sub_district", Some(district));
        let partners = plan.partners(district);
        let [elevator_checklist, planting_checklist] = plan.checklists(district);
        plan.terms(district);
        plan.policy(district);
        let care =
            partners[PARTNERS.iter().position(|partner| partner.sort == "elevator_maintenance").unwrap_or(0)];
        let parks = partners[PARTNERS.iter().position(|partner| partner.sort == "green").unwrap_or(0)];
        let mut names = WORKERS.iter().copied().cycle();
        let known = &COMMUNITIES[..communities.clamp(1, COMMUNITIES.len())];
        let mut communities: Vec<Community> = known
            .iter()
            .enumerate()
            .map(|(at, (name, _))| {
                let area = plan.area(name, "community", Some(street));
                let coordinator_name = names.next().unwrap_or("Lin");
                let coordinator = plan.worker(area, coordinator_name);
                let flowers = plan.commitments(area, &partners);
                let cells = (0..CELLS).map(|cell| plan.cell(at, cell, area, care, parks)).collect();
                Community { name, area, coordinator, coordinator_name, flowers, cells }
            })
            .collect();
        for number in 0..volunteers {
            let community = number % communities.len();
            let cell = number / communities.len() % CELLS;
            let name = names.next().unwrap_or("Wei").to_owned();
            let worker = plan.worker(communities[community].area, &name);
            communities[community].cells[cell].volunteers.push((worker, name));
        }
        for community in &communities {
            plan.groups(community);
        }
        let drafts = plan.drafts;
        Self { district, communities, partners, elevator_checklist, planting_checklist, drafts }
    }

    /// What makes it, in groups that are recorded together: each about one area.
    pub(super) fn take_groups(&mut self) -> Vec<Vec<Draft>> {
        let mut groups: Vec<Vec<Draft>> = Vec::new();
        for draft in std::mem::take(&mut self.drafts) {
            match groups.last_mut() {
                Some(group) if group[0].area == draft.area && group.len() < GROUP_OPS_MAX => {
                    group.push(draft)
                }
                _ => groups.push(vec![draft]),
            }
        }
        groups
    }
}

struct Plan<'a> {
    chance: &'a mut Chance,
    calendar: &'a Calendar,
    at_ms: i64,
    drafts: Vec<Draft>,
}

impl Plan<'_> {
    fn add(&mut self, area: AreaId, body: Body) -> RecordId {
        let id = self.chance.id(self.at_ms);
        self.drafts.push(Draft::create(id, area, body));
        id
    }

    fn area(&mut self, name: &str, level: &str, parent: Option<AreaId>) -> AreaId {
        let id = self.chance.id(self.at_ms);
        let body = body::Area {
            name: name.to_owned(),
            parent: parent.map(RecordId::from),
            level: level.to_owned(),
            time_zone: TIME_ZONE.to_owned(),
            code: String::new(),
        };
        self.drafts.push(Draft::create(id, id.into(), Body::Area(body)));
        id.into()
    }

    fn worker(&mut self, area: AreaId, name: &str) -> RecordId {
        self.add(area, Body::Worker(body::Worker { name: name.to_owned(), ..body::Worker::default() }))
    }

    fn partners(&mut self, district: AreaId) -> Vec<RecordId> {
        PARTNERS
            .iter()
            .map(|partner| {
                let body = body::Organization {
                    name: partner.name.to_owned(),
                    sort: partner.sort.to_owned(),
                    email: partner.email.to_owned(),
                    ..body::Organization::default()
                };
                self.add(district, Body::Organization(body))
            })
            .collect()
    }

    fn checklists(&mut self, district: AreaId) -> [RecordId; 2] {
        let mut checklist = |name: &str, series: &str, questions: &[(&str, &str, bool)]| {
            let questions = questions.iter().map(|(key, text, required)| Question {
                key: (*key).to_owned(),
                text: (*text).to_owned(),
                required: *required,
            });
            let body = body::Checklist {
                name: name.to_owned(),
                series: series.to_owned(),
                version: Some(1),
                questions: questions.collect(),
            };
            self.add(district, Body::Checklist(body))
        };
        let elevator = checklist(
            "Elevator, every two weeks",
            "elevator",
            &[
                ("call", "Is the emergency call answered?", true),
                ("door", "Does the door open again at an obstacle?", true),
                ("level", "Does the car stop level with the floor?", true),
                ("light", "Does the light work?", false),
            ],
        );
        let planting = checklist(
            "Planting",
            "planting",
            &[("watered", "Was it watered?", true), ("condition", "How does it look?", false)],
        );
        [elevator, planting]
    }

    /// Words of this city.
    fn terms(&mut self, district: AreaId) {
        let body = body::Term {
            vocabulary: "request_category".to_owned(),
            word: "charging".to_owned(),
            label_en: "Charging of electric bicycles".to_owned(),
            label_zh_hans: "电动自行车充电".to_owned(),
            label_zh_hant: "電動自行車充電".to_owned(),
            ..body::Term::default()
        };
        self.add(district, Body::Term(body));
    }

    /// When the phones are silent, and where digests go.
    fn policy(&mut self, district: AreaId) {
        let body = body::Policy {
            quiet_from: "21:00".to_owned(),
            quiet_until: "07:00".to_owned(),
            coordinator_email: "coordinators@riverside.example.org".to_owned(),
            supervisor_email: "supervisors@riverside.example.org".to_owned(),
            digest: "weekly".to_owned(),
            ..body::Policy::default()
        };
        self.add(district, Body::Policy(body));
    }

    /// Answers the first of them: the flowers.
    fn commitments(&mut self, area: AreaId, partners: &[RecordId]) -> RecordId {
        let promised = [
            (8, "Flowers for the entrances", 1_000.0, "pots", "Pupils plant them in spring and autumn."),
            (
                9,
                "Benches for the elderly",
                12.0,
                "benches",
                "The bank pays, the property management sets them up.",
            ),
        ];
        let commitments = promised.map(|(partner, goal, quantity, unit, tasks)| {
            let body = body::Commitment {
                organization: Some(partners[partner]),
                goal: goal.to_owned(),
                quantity: Some(quantity),
                unit: unit.to_owned(),
                tasks: tasks.to_owned(),
                group: None,
                due: self.date(self.calendar.days + 40),
            };
            self.add(area, Body::Commitment(body))
        });
        commitments[0]
    }

    fn groups(&mut self, community: &Community) {
        let members: Vec<RecordId> = community
            .cells
            .iter()
            .flat_map(|cell| cell.volunteers.iter().map(|(worker, _)| *worker))
            .collect();
        for (skill, name) in SKILLS {
            let body = body::Group {
                name: format!("{name}, {}", community.name),
                skill: (*skill).to_owned(),
                members: members.iter().copied().filter(|_| self.chance.percent(60)).collect(),
            };
            self.add(community.area, Body::Group(body));
        }
    }

    fn cell(
        &mut self,
        community: usize,
        number: usize,
        parent: AreaId,
        care: RecordId,
        parks: RecordId,
    ) -> Cell {
        let (name, letters) = COMMUNITIES[community];
        let area = self.area(&format!("{name} {}", number + 1), "grid_cell", Some(parent));
        let middle = (31.200 + community as f64 * 0.012, 121.400 + number as f64 * 0.006);
        let mut cell = Cell {
            area,
            volunteers: Vec::new(),
            green: RecordId::from(area),
            buildings: Vec::new(),
            dwellings: Vec::new(),
            elevators: Vec::new(),
            plantings: Vec::new(),
            middle,
        };
        cell.green = self.place(
            &cell,
            None,
            "green_space",
            "Green by the pond",
            &format!("{letters}-G{}", number + 1),
        );
        self.place(&cell, None, "public_ground", "Square", &format!("{letters}-S{}", number + 1));
        for at in 0..BUILDINGS {
            self.building(&mut cell, number * BUILDINGS + at + 1, letters, care);
        }
        for (at, (sort, name)) in PLANTINGS.iter().enumerate() {
            let code = format!("{letters}-P{}{}", number + 1, at + 1);
            let planting = self.asset(&cell, cell.green, sort, name, &code, Vec::new());
            self.plan(&cell, planting, "watering", parks);
            cell.plantings.push(planting);
        }
        cell
    }

    fn building(&mut self, cell: &mut Cell, number: usize, letters: &str, care: RecordId) {
        let building =
            self.place(cell, None, "building", &format!("Building {number}"), &format!("{letters}-{number}"));
        cell.buildings.push(building);
        for entrance in 1..=ENTRANCES {
            let name = format!("{number}-{entrance}");
            let code = format!("{letters}-{name}");
            let door = self.place(cell, Some(building), "entrance", &name, &code);
            for storey in 1..=STOREYS {
                for side in 1..=2 {
                    let name = format!("{name}-{storey}0{side}");
                    let code = format!("{letters}-{name}");
                    let dwelling = self.place(cell, Some(door), "dwelling", &name, &code);
                    cell.dwellings.push(dwelling);
                }
            }
            let maker = *self.chance.pick(&["Otis", "Schindler", "KONE", "Mitsubishi"]);
            let attributes = vec![
                Attribute { name: "manufacturer".to_owned(), value: maker.to_owned() },
                Attribute { name: "capacity_kg".to_owned(), value: "630".to_owned() },
            ];
            let elevator = self.asset(
                cell,
                door,
                "elevator",
                &format!("Elevator {name}"),
                &format!("{code}-E"),
                attributes,
            );
            self.contracts(cell, elevator, care);
            self.plan(cell, elevator, "maintenance", care);
            self.plan(cell, elevator, "statutory_inspection", care);
            cell.elevators.push(elevator);
        }
    }

    fn place(
        &mut self,
        cell: &Cell,
        parent: Option<RecordId>,
        sort: &str,
        name: &str,
        code: &str,
    ) -> RecordId {
        let (latitude, longitude) = self.near(cell);
        let is_large = parent.is_none();
        let body = body::Place {
            name: name.to_owned(),
            sort: sort.to_owned(),
            parent,
            code: code.to_owned(),
            address: if sort == "building" { format!("Willow Lane, {name}") } else { String::new() },
            latitude: is_large.then_some(latitude),
            longitude: is_large.then_some(longitude),
            external_ref: String::new(),
        };
        self.add(cell.area, Body::Place(body))
    }

    fn asset(
        &mut self,
        cell: &Cell,
        place: RecordId,
        sort: &str,
        name: &str,
        code: &str,
        attributes: Vec<Attribute>,
    ) -> RecordId {
        let since = self.chance.between(400, 9_000);
        let body = body::Asset {
            name: name.to_owned(),
            sort: sort.to_owned(),
            place: Some(place),
            code: code.to_owned(),
            attributes,
            since: self.date(-since),
            ..body::Asset::default()
        };
        self.add(cell.area, Body::Asset(body))
    }

    /// A year each, one after the other. Now and then nobody thought of the next one.
    fn contracts(&mut self, cell: &Cell, elevator: RecordId, care: RecordId) {
        let mut from = -self.chance.between(1, 360);
        while from <= self.calendar.days {
            let body = body::Contract {
                organization: Some(care),
                subject: Some(elevator),
                covers: "maintenance".to_owned(),
                from: self.date(from),
                until: self.date(from + 364),
            };
            self.add(cell.area, Body::Contract(body));
            from += 365;
            if self.chance.percent(8) {
                return;
            }
        }
    }

    fn plan(&mut self, cell: &Cell, subject: RecordId, sort: &str, organization: RecordId) {
        let body = match sort {
            // The rule of the country: at most 15 days apart, and an inspection each year.
            "maintenance" => body::Plan {
                rule: "FREQ=DAILY;INTERVAL=15".to_owned(),
                gap_days_max: Some(15),
                opens_days: Some(3),
                expires_days: Some(1),
                mandated: true,
                ..body::Plan::default()
            },
            "statutory_inspection" => body::Plan {
                rule: "FREQ=YEARLY".to_owned(),
                opens_days: Some(30),
                expires_days: Some(1),
                mandated: true,
                ..body::Plan::default()
            },
            _ => body::Plan {
                rule: "FREQ=DAILY;INTERVAL=3".to_owned(),
                resting_months: vec![1, 2, 11, 12],
                after_completion: true,
                expires_days: Some(3),
                ..body::Plan::default()
            },
        };
        let body = body::Plan {
            subject: Some(subject),
            sort: sort.to_owned(),
            from: self.date(0),
            organization: Some(organization),
            ..body
        };
        self.add(cell.area, Body::Plan(body));
    }

    fn near(&mut self, cell: &Cell) -> (f64, f64) {
        let off = |chance: &mut Chance| chance.between(-200, 200) as f64 / 100_000.0;
        (rounded(cell.middle.0 + off(self.chance)), rounded(cell.middle.1 + off(self.chance)))
    }

    fn date(&self, day: i64) -> String {
        self.calendar.day(day).date.to_string()
    }
}

/// Degrees as a phone writes them: to the metre.
pub(super) fn rounded(degrees: f64) -> f64 {
    (degrees * 100_000.0).round() / 100_000.0
}
