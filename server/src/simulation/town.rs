//! What is there at the beginning, and what people do.

use super::phone::{POISON, Phone};
use super::{Kept, Promise, promised};
use crate::chance::Chance;
use rounds_device::Draft;
use rounds_domain::body::{
    Area, Asset, Checklist, Fields, Inspection, Organization, Place, Plan, Policy, Request, Term, Violation,
    Visit,
};
use rounds_domain::op::Step;
use rounds_domain::recurrence::local_day;
use rounds_domain::status::stages;
use rounds_domain::{
    Action, AreaId, Body, ClockReading, DeviceId, Kind, Op, Outcome, Record, RecordId, Role,
};
use rounds_store::{Arrival, Batch, Content, RecordFilter, Store, content_hash};
use serde_json::json;
use std::collections::BTreeMap;

/// Dwellings of a building: with it, they are one group.
const DWELLINGS: usize = 12;
/// Buildings of a community: a first sync has several pages of the smallest size, cut within buildings.
const BUILDINGS: usize = 5;
/// Community areas for so many devices.
const DEVICES_PER_COMMUNITY: usize = 8;

/// The tree of areas, and words that are said once.
pub(super) struct Town {
    pub(super) district: AreaId,
    pub(super) communities: Vec<AreaId>,
    pub(super) parents: BTreeMap<AreaId, Option<AreaId>>,
    /// Dwellings, buildings and assets at the beginning.
    places: BTreeMap<AreaId, Vec<RecordId>>,
    partner: RecordId,
    checklist: RecordId,
    texts: u64,
}

impl Town {
    /// Builds it, as an import would.
    /// Answers which records belong together, too.
    pub(super) async fn build(
        store: &Store,
        devices: usize,
        now_ms: i64,
        chance: &mut Chance,
    ) -> Kept<(Self, Vec<Vec<RecordId>>)> {
        let district = AreaId::from(chance.id(now_ms));
        let count = (devices / DEVICES_PER_COMMUNITY).max(3);
        let communities: Vec<AreaId> = (0..count).map(|_| AreaId::from(chance.id(now_ms))).collect();
        let mut town = Self {
            district,
            communities: communities.clone(),
            parents: BTreeMap::new(),
            places: BTreeMap::new(),
            partner: chance.id(now_ms),
            checklist: chance.id(now_ms),
            texts: 0,
        };
        let mut groups =
            vec![vec![(district, RecordId::from(district), area("District", None, "Asia/Shanghai"))]];
        let partner = Organization { name: "Water works".into(), sort: "water".into(), ..Default::default() };
        groups.push(vec![(district, town.partner, Body::Organization(partner))]);
        let checklist = Checklist {
            name: "Monthly".into(),
            series: "monthly".into(),
            version: Some(1),
            ..Default::default()
        };
        groups.push(vec![(district, town.checklist, Body::Checklist(checklist))]);
        let office = Place { name: "Office".into(), sort: "building".into(), ..Default::default() };
        groups.push(vec![(district, chance.id(now_ms), Body::Place(office))]);
        for (at, community) in communities.iter().enumerate() {
            let zone = ["Asia/Shanghai", "America/New_York"][at % 2];
            let body = area(&format!("Community {at}"), Some(district), zone);
            groups.push(vec![(*community, RecordId::from(*community), body)]);
            for number in 0..BUILDINGS {
                groups.push(town.building(*community, number % 3 == 0, now_ms, chance));
            }
        }
        let together =
            groups.iter().map(|group| group.iter().map(|(_, record, _)| *record).collect()).collect();
        let importer = DeviceId(chance.id(now_ms).0);
        store.internal_device(importer, "import", Role::Admin, now_ms).await?;
        let clock = ClockReading { wall_ms: now_ms, boot: 0, monotonic_ms: 0 };
        let arrivals = groups.into_iter().flat_map(|group| {
            let last = group.len() - 1;
            group.into_iter().enumerate().map(move |(at, (area, record, body))| {
                let (kind, action) = (body.kind(), Action::Create(Box::new(body)));
                let op = Op { record, area, kind, action, clock, observed: 0, scope_version: 0 };
                let followed_by = (last - at) as u32; // a building is small
                let hash = content_hash(followed_by, record.0.as_bytes());
                Arrival { seq: None, followed_by, hash, content: Content::Admitted(op) }
            })
        });
        let batch = Batch {
            device: importer,
            arrivals: arrivals.collect(),
            clock,
            received_ms: now_ms,
            holds_from: 0,
            settled: None,
        };
        for (seq, verdict) in store.submit(batch).await?.verdicts {
            promised(verdict.outcome == Outcome::Applied, Promise::Sound, || {
                format!("op {seq} of the import: {verdict:?}")
            })?;
        }
        town.read_tree(store).await?;
        Ok((town, together))
    }

    /// A building with its dwellings, and what is looked after in it.
    fn building(
        &mut self,
        area: AreaId,
        is_planned: bool,
        now_ms: i64,
        chance: &mut Chance,
    ) -> Vec<(AreaId, RecordId, Body)> {
        let building = chance.id(now_ms);
        let place = |name: String, sort: &str, parent| {
            Body::Place(Place { name, sort: sort.to_owned(), parent, ..Default::default() })
        };
        let mut all = vec![(area, building, place("Building".into(), "building", None))];
        for number in 0..DWELLINGS {
            all.push((area, chance.id(now_ms), place(format!("{number}"), "dwelling", Some(building))));
        }
        let elevator = chance.id(now_ms);
        let asset = Asset {
            name: "Elevator".into(),
            sort: "elevator".into(),
            place: Some(building),
            ..Default::default()
        };
        all.push((area, elevator, Body::Asset(asset)));
        self.places.entry(area).or_default().extend(all.iter().map(|(_, id, _)| *id));
        if is_planned {
            all.push((area, chance.id(now_ms), Body::Plan(plan(elevator, now_ms, chance))));
        }
        all
    }

    /// Reads the tree of areas anew.
    pub(super) async fn read_tree(&mut self, store: &Store) -> Kept {
        let ids = store.areas().await?;
        let records = store.records(&RecordFilter::of(Kind::Area, ids, 100_000)).await?;
        let parent = |record: &Record| record.reference("parent").map(AreaId::from);
        self.parents = records.iter().map(|it| (it.record.area, parent(&it.record))).collect();
        Ok(())
    }

    /// A text that nobody else writes.
    fn text(&mut self) -> String {
        self.texts += 1;
        format!("note {}", self.texts)
    }

    /// What somebody records next, if anything comes to mind.
    pub(super) fn act(
        &mut self,
        phone: &Phone,
        poison: bool,
        now_ms: i64,
        chance: &mut Chance,
    ) -> Kept<Vec<Draft>> {
        let does = *chance.weighted(&[
            (Self::visit as Deed, 30),
            (Self::request, 8),
            (Self::violation, 8),
            (Self::inspection, 10),
            (Self::edit, 22),
            (Self::step, 22),
            (Self::office, 20),
        ]);
        let mut group = does(self, phone, now_ms, chance)?;
        if poison && let Some(draft) = group.last_mut() {
            self.spoil(draft);
        }
        Ok(group)
    }

    /// Makes an op one that cannot be read where it arrives.
    fn spoil(&mut self, draft: &mut Draft) {
        let text = format!("{POISON} {}", self.text());
        match &mut draft.action {
            Action::Create(body) => match body.as_mut() {
                Body::Visit(visit) => visit.note = text,
                Body::Request(request) => request.description = text,
                Body::Violation(violation) => violation.description = text,
                Body::Inspection(inspection) => inspection.findings = text,
                _ => {}
            },
            Action::Step(step) => step.reason = text,
            Action::Edit { reason, .. } => *reason = text,
            _ => {}
        }
    }

    /// A place that somebody knows, and the area that it was in when last seen.
    fn place(&self, phone: &Phone, chance: &mut Chance) -> Kept<Option<(RecordId, AreaId)>> {
        if let Some(seen) = seen(phone, chance, |record| matches!(record.kind, Kind::Place | Kind::Asset))? {
            return Ok(Some((seen.id, seen.area)));
        }
        let Some(root) = phone.roots.iter().next() else { return Ok(None) };
        let places = self.places.get(root).map_or(&[][..], Vec::as_slice);
        Ok((!places.is_empty()).then(|| (*chance.pick(places), *root)))
    }

    fn visit(&mut self, phone: &Phone, now_ms: i64, chance: &mut Chance) -> Kept<Vec<Draft>> {
        let Some((subject, area)) = self.place(phone, chance)? else { return Ok(Vec::new()) };
        let visit = chance.id(now_ms);
        let body = Visit {
            subject: Some(subject),
            purpose: "routine".into(),
            outcome: (*chance.pick(&["met", "no_answer", "refused"])).to_owned(),
            note: self.text(),
            ..Default::default()
        };
        let mut group = vec![Draft::create(visit, area, Body::Visit(body))];
        for _ in 0..*chance.pick(&[0, 0, 0, 1, 2]) {
            let request = Request { visit: Some(visit), ..self.new_request(subject, chance) };
            group.push(Draft::create(chance.id(now_ms), area, Body::Request(request)));
        }
        Ok(group)
    }

    fn new_request(&mut self, subject: RecordId, chance: &mut Chance) -> Request {
        Request {
            subject: Some(subject),
            category: (*chance.pick(&["water", "power", "noise"])).to_owned(),
            channel: "visit".into(),
            description: self.text(),
            ..Default::default()
        }
    }

    fn request(&mut self, phone: &Phone, now_ms: i64, chance: &mut Chance) -> Kept<Vec<Draft>> {
        let Some((subject, area)) = self.place(phone, chance)? else { return Ok(Vec::new()) };
        let body = Body::Request(self.new_request(subject, chance));
        Ok(vec![Draft::create(chance.id(now_ms), area, body)])
    }

    fn violation(&mut self, phone: &Phone, now_ms: i64, chance: &mut Chance) -> Kept<Vec<Draft>> {
        let Some((subject, area)) = self.place(phone, chance)? else { return Ok(Vec::new()) };
        let violation = chance.id(now_ms);
        let body = Violation {
            subject: Some(subject),
            sort: "dumping".into(),
            description: self.text(),
            ..Default::default()
        };
        let created = Draft::create(violation, area, Body::Violation(body));
        if chance.percent(70) {
            return Ok(vec![created]);
        }
        // It was removed on the spot.
        let step = Step { to: "removed".into(), reason: self.text(), ..Default::default() };
        let kind = Kind::Violation;
        Ok(vec![created, Draft { record: violation, area, kind, action: Action::Step(step) }])
    }

    fn inspection(&mut self, phone: &Phone, now_ms: i64, chance: &mut Chance) -> Kept<Vec<Draft>> {
        let Some((subject, area)) = self.place(phone, chance)? else { return Ok(Vec::new()) };
        let due = seen(phone, chance, |record| record.kind == Kind::FollowUp)?;
        let body = Inspection {
            subject: Some(subject),
            sort: "maintenance".into(),
            checklist: Some(self.checklist),
            result: (*chance.pick(&["pass", "fail", "needs_attention"])).to_owned(),
            findings: self.text(),
            follow_up: due.filter(|_| chance.percent(30)).map(|due| due.id),
            ..Default::default()
        };
        Ok(vec![Draft::create(chance.id(now_ms), area, Body::Inspection(body))])
    }

    fn edit(&mut self, phone: &Phone, _: i64, chance: &mut Chance) -> Kept<Vec<Draft>> {
        let Some(seen) = seen(phone, chance, |record| text_field(record.kind).is_some())? else {
            return Ok(Vec::new());
        };
        let text = self.text();
        let mut fields = Fields::new();
        if let Some(field) = text_field(seen.kind) {
            fields.insert(field.to_owned(), json!(text));
        }
        Ok(vec![Draft::edit(&seen, fields, &text)])
    }

    fn step(&mut self, phone: &Phone, now_ms: i64, chance: &mut Chance) -> Kept<Vec<Draft>> {
        let Some(seen) = seen(phone, chance, |record| stages(record.kind).is_some())? else {
            return Ok(Vec::new());
        };
        let Some(stages) = stages(seen.kind) else { return Ok(Vec::new()) };
        // A notice is raised and withdrawn by the worker.
        let may = |to: &&str| seen.kind != Kind::Notice || *to == "seen";
        let may_follow = |to: &&str| stages.allow(&seen.status, to);
        let allowed: Vec<&str> = stages
            .all
            .iter()
            .copied()
            .filter(may)
            .filter(|to| may_follow(to) || chance.percent(10))
            .collect();
        if allowed.is_empty() {
            return Ok(Vec::new());
        }
        let step = Step {
            to: (*chance.pick(&allowed)).to_owned(),
            reason: self.text(),
            organization: Some(self.partner),
            due_at_ms: Some(now_ms + 24 * 3_600_000),
            ..Default::default()
        };
        Ok(vec![Draft::on(&seen, Action::Step(step))])
    }

    /// What coordinators do, and others cannot.
    fn office(&mut self, phone: &Phone, now_ms: i64, chance: &mut Chance) -> Kept<Vec<Draft>> {
        let text = self.text();
        let Some(record) = seen(phone, chance, |record| record.kind != Kind::Area)? else {
            return Ok(Vec::new());
        };
        let draft = match chance.between(0, 19) {
            0..=5 => {
                let to = *chance.pick(&self.communities);
                if to == record.area {
                    return Ok(Vec::new());
                }
                Draft::on(&record, Action::Move { to })
            }
            6..=9 => Draft::on(&record, Action::Delete { reason: text }),
            10..=11 => {
                let disputes = record.disputes.iter().map(|dispute| dispute.op).collect();
                Draft::on(&record, Action::Settle { disputes })
            }
            12..=13 => {
                let place = Place { name: text, sort: "dwelling".into(), ..Default::default() };
                Draft::create(chance.id(now_ms), record.area, Body::Place(place))
            }
            14..=15 => {
                let body = Body::Plan(plan(record.id, now_ms, chance));
                Draft::create(chance.id(now_ms), record.area, body)
            }
            16 => {
                let born = AreaId::from(chance.id(now_ms));
                let body = area(&text, Some(record.area), "Europe/Berlin");
                Draft::create(born.into(), born, body)
            }
            17 => {
                let days = chance.between(1, 4) as u32;
                let policy =
                    Policy { sort: "recheck".into(), due_days: vec![days, days + 5], ..Default::default() };
                Draft::create(chance.id(now_ms), record.area, Body::Policy(policy))
            }
            18 => {
                let term = Term { vocabulary: "outcome".into(), word: text, ..Default::default() };
                Draft::create(chance.id(now_ms), record.area, Body::Term(term))
            }
            // Somebody else's id, with other content.
            _ => Draft::create(record.id, record.area, Body::Request(self.new_request(record.id, chance))),
        };
        Ok(vec![draft])
    }
}

/// Something that people do.
type Deed = fn(&mut Town, &Phone, i64, &mut Chance) -> Kept<Vec<Draft>>;

/// A record that somebody has in mind, as the device shows it.
fn seen(phone: &Phone, chance: &mut Chance, wanted: impl Fn(&Record) -> bool) -> Kept<Option<Record>> {
    for _ in 0..5 {
        if phone.seen.is_empty() {
            break;
        }
        // What is new is on everybody's mind.
        let latest = phone.seen.len().saturating_sub(if chance.percent(50) { 12 } else { usize::MAX });
        let id = *chance.pick(&phone.seen[latest..]);
        if let Some(view) = phone.device.view(id)?
            && view.record.deleted.is_none()
            && wanted(&view.record)
        {
            return Ok(Some(view.record));
        }
    }
    Ok(None)
}

/// A field of this kind that is free text.
fn text_field(kind: Kind) -> Option<&'static str> {
    match kind {
        Kind::Place | Kind::Asset | Kind::Organization => Some("name"),
        Kind::Visit => Some("note"),
        Kind::Inspection => Some("findings"),
        Kind::Request | Kind::Violation => Some("description"),
        _ => None,
    }
}

fn area(name: &str, parent: Option<AreaId>, time_zone: &str) -> Body {
    let (name, time_zone) = (name.to_owned(), time_zone.to_owned());
    Body::Area(Area { name, parent: parent.map(RecordId::from), time_zone, ..Default::default() })
}

fn plan(subject: RecordId, now_ms: i64, chance: &mut Chance) -> Plan {
    Plan {
        subject: Some(subject),
        sort: "maintenance".into(),
        rule: (*chance.pick(&["FREQ=DAILY;INTERVAL=2", "FREQ=DAILY;INTERVAL=5", "FREQ=WEEKLY;BYDAY=MO,TH"]))
            .to_owned(),
        from: local_day(now_ms, &jiff::tz::TimeZone::UTC).to_string(),
        after_completion: chance.percent(50),
        gap_days_max: chance.percent(50).then_some(4),
        opens_days: Some(1),
        expires_days: Some(1),
        ..Default::default()
    }
}
