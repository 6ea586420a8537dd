//! Which column says what: from the command line and the header to what a row claims.

use super::report::ADDED_COLUMNS;
use super::template::{Template, place_of};
use super::value::Form;
use super::{Bounds, Settings, Setup};
use rounds_domain::body::{Attribute, Fields};
use rounds_domain::{AreaId, Body, Kind, RecordId};
use serde_json::Value;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

/// What a column is about.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Target {
    /// A field of the record.
    Field(&'static str),
    /// One of its attributes.
    Attribute(String),
}

impl Target {
    /// The field of the record that holds it.
    pub(super) fn field(&self) -> &'static str {
        match self {
            Self::Field(field) => field,
            Self::Attribute(_) => "attributes",
        }
    }

    fn name(&self) -> String {
        match self {
            Self::Field(field) => (*field).to_owned(),
            Self::Attribute(name) => format!("attributes.{name}"),
        }
    }

    /// What these fields say about it; null for nothing.
    pub(super) fn of(&self, fields: &Fields) -> Value {
        match self {
            Self::Field(field) => fields.get(*field).cloned().unwrap_or(Value::Null),
            Self::Attribute(name) => {
                let found = attributes(fields).into_iter().find(|attribute| attribute.name == *name);
                found.map_or(Value::Null, |attribute| attribute.value.into())
            }
        }
    }
}

/// The attributes among the fields of a record.
pub(super) fn attributes(fields: &Fields) -> Vec<Attribute> {
    let list = fields.get("attributes").cloned();
    list.and_then(|list| serde_json::from_value(list).ok()).unwrap_or_default() // a record's own are readable
}

/// What the register says of one thing.
#[derive(Clone, Debug)]
pub(super) struct Claim {
    pub(super) id: RecordId,
    pub(super) kind: Kind,
    pub(super) area: AreaId,
    pub(super) targets: Arc<[Target]>,
    /// One for each target; null where the register says nothing.
    pub(super) values: Vec<Value>,
}

impl Claim {
    /// The fields of a record that says just this.
    pub(super) fn fields(&self) -> Fields {
        let mut fields = Fields::new();
        let mut attributes = Vec::new();
        for (target, value) in self.targets.iter().zip(&self.values) {
            match (target, value) {
                (_, Value::Null) => {}
                (Target::Field(field), value) => {
                    fields.insert((*field).to_owned(), value.clone());
                }
                (Target::Attribute(name), value) => {
                    let value = value.as_str().unwrap_or_default();
                    attributes.push(serde_json::json!({ "name": name, "value": value }));
                }
            }
        }
        if !attributes.is_empty() {
            fields.insert("attributes".to_owned(), attributes.into());
        }
        fields
    }

    /// Tells whether two rows claim the same.
    pub(super) fn fingerprint(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.area.hash(&mut hasher);
        for value in &self.values {
            value.to_string().hash(&mut hasher);
        }
        hasher.finish()
    }
}

/// What the columns of a file say.
pub(super) struct Mapping {
    kind: Kind,
    /// The key of a thing in the register.
    key: Template,
    /// Tells this register's keys from those of others.
    register: String,
    record: Shape,
    place: Option<PlaceMapping>,
    area: Option<usize>,
    bounds: Option<Bounds>,
    header: Vec<String>,
}

struct PlaceMapping {
    key: Template,
    register: String,
    /// The field that names the place.
    field: &'static str,
    /// What is said of the place; nothing where it has to be there already.
    shape: Option<Shape>,
    bounds: Option<Bounds>,
}

struct Shape {
    targets: Arc<[Target]>,
    templates: Vec<Template>,
}

/// What a row says.
pub(super) struct Reading {
    pub(super) record: Claim,
    pub(super) place: PlaceSaid,
}

/// What a row says of the place.
pub(super) enum PlaceSaid {
    Nothing,
    /// Which one it is; it has to be there, or to be a row before.
    Named(RecordId),
    /// All of it.
    Described(Claim),
    /// An earlier row said all of it, as its place or as its own record.
    SaidBefore(RecordId),
}

impl PlaceSaid {
    /// Which one it is.
    pub(super) fn id(&self) -> Option<RecordId> {
        match self {
            Self::Nothing => None,
            Self::Named(id) | Self::SaidBefore(id) => Some(*id),
            Self::Described(claim) => Some(claim.id),
        }
    }
}

impl Mapping {
    /// Reads the settings against the header.
    pub(super) fn new(settings: &Settings, header: &[String]) -> Result<Self, Setup> {
        let kind = settings.kind;
        let mut wanted: Vec<(Target, Template)> = Vec::new();
        for (column, field) in &settings.map {
            wanted.push((target(kind, field)?, Template::column(place_of(column, header)?)));
        }
        for (field, text) in &settings.set {
            wanted.push((target(kind, field)?, Template::parse(text, header)?));
        }
        for (at, (one, _)) in wanted.iter().enumerate() {
            if wanted[..at].iter().any(|(other, _)| other == one) {
                return Err(Setup::Twice(one.name()));
            }
        }
        // A column that is called like a field says that field, unless it was said what else it says.
        for (at, column) in header.iter().enumerate() {
            let name = column.to_ascii_lowercase();
            let is_mapped = settings.map.iter().any(|(mapped, _)| mapped == column);
            if let Ok(target @ Target::Field(field)) = target(kind, &name)
                && !matches!(field, "parent" | "place") // ids of records, which no register has
                && !is_mapped
                && !wanted.iter().any(|(other, _)| *other == target)
            {
                wanted.push((target, Template::column(at)));
            }
        }
        let key = record_key(settings, &wanted, header)?;
        wanted.retain(|(target, _)| *target != Target::Field("external_ref"));
        wanted.insert(0, (Target::Field("external_ref"), key.clone()));

        let place = PlaceMapping::new(settings, header)?;
        if let Some(place) = &place
            && wanted.iter().any(|(target, _)| *target == Target::Field(place.field))
        {
            return Err(Setup::Twice(place.field.to_owned()));
        }
        let area = settings.area_column.as_deref().map(|name| place_of(name, header)).transpose()?;
        if settings.keep_rest {
            let mut used: Vec<usize> = wanted.iter().flat_map(|(_, template)| template.columns()).collect();
            used.extend(place.iter().flat_map(PlaceMapping::columns));
            used.extend(area);
            let is_rest = |at: &usize, name: &str| !used.contains(at) && !ADDED_COLUMNS.contains(&name);
            for (at, column) in header.iter().enumerate().filter(|(at, name)| is_rest(at, name)) {
                wanted.push((target(kind, &format!("attributes.{column}"))?, Template::column(at)));
            }
        }
        let register = settings.register.clone().unwrap_or_else(|| names(&key, header));
        let mut record = Shape::new(wanted);
        if let Some(place) = &place {
            record.link(place.field);
        }
        Ok(Self {
            kind,
            key,
            register,
            record,
            place,
            area,
            bounds: settings.bounds,
            header: header.to_vec(),
        })
    }

    /// The columns that nothing is made of.
    pub(super) fn unused(&self) -> Vec<&str> {
        let mut used: Vec<usize> = self.record.columns().collect();
        used.extend(self.place.iter().flat_map(PlaceMapping::columns));
        used.extend(self.area);
        let names = self.header.iter().map(String::as_str).enumerate();
        names
            .filter(|(at, name)| !used.contains(at) && !ADDED_COLUMNS.contains(name))
            .map(|(_, name)| name)
            .collect()
    }

    /// The name of the area that a row belongs to; empty for the one that the import is for.
    pub(super) fn area<'a>(&self, columns: &'a [String]) -> &'a str {
        self.area.and_then(|at| columns.get(at)).map_or("", |name| name.trim())
    }

    /// What a row says. Ids follow from `city`, the top of the tree: a register is imported into any part of it.
    ///
    /// # Errors
    /// What is wrong with the row, and what to do.
    pub(super) fn read(&self, columns: &[String], city: RecordId, area: AreaId) -> Result<Reading, String> {
        let key = self.key.fill(columns);
        if key.is_empty() {
            let column = names(&self.key, &self.header);
            return Err(format!("column {column}: is empty: every row needs its key"));
        }
        let id = derived(city, self.kind, &self.register, &key);
        let place = match &self.place {
            Some(mapping) => mapping.read(columns, city, area)?,
            None => PlaceSaid::Nothing,
        };
        let mut values = self.record.read(columns)?;
        if self.place.is_some() {
            values.push(place.id().map_or(Value::Null, |id| id.to_string().into()));
        }
        check_position(&self.record.targets, &values, self.bounds)?;
        let targets = self.record.targets.clone();
        Ok(Reading { record: Claim { id, kind: self.kind, area, targets, values }, place })
    }
}

impl PlaceMapping {
    fn new(settings: &Settings, header: &[String]) -> Result<Option<Self>, Setup> {
        let Some(column) = &settings.place_ref else {
            return if settings.place.is_empty() { Ok(None) } else { Err(Setup::PlaceWithoutRef) };
        };
        let field = match settings.kind {
            Kind::Asset => "place",
            Kind::Place => "parent",
            _ => return Err(Setup::NoPlaces(settings.kind.name())),
        };
        let key = key(column, header)?;
        let mut wanted = vec![(Target::Field("external_ref"), key.clone())];
        for (field, text) in &settings.place {
            let target = target(Kind::Place, field)?;
            if wanted.iter().any(|(other, _)| *other == target) {
                return Err(Setup::Twice(format!("place {field}")));
            }
            wanted.push((target, Template::parse(text, header)?));
        }
        let is_missing = |field| !wanted.iter().any(|(target, _)| *target == Target::Field(field));
        if !settings.place.is_empty() && (is_missing("name") || is_missing("sort")) {
            return Err(Setup::PlaceIncomplete);
        }
        let shape = (!settings.place.is_empty()).then(|| Shape::new(wanted));
        let register = settings.place_register.clone().unwrap_or_else(|| names(&key, header));
        Ok(Some(Self { key, register, field, shape, bounds: settings.bounds }))
    }

    fn columns(&self) -> impl Iterator<Item = usize> + '_ {
        self.shape.iter().flat_map(Shape::columns).chain(self.key.columns())
    }

    fn read(&self, columns: &[String], city: RecordId, area: AreaId) -> Result<PlaceSaid, String> {
        let key = self.key.fill(columns);
        if key.is_empty() {
            return Ok(PlaceSaid::Nothing);
        }
        let id = derived(city, Kind::Place, &self.register, &key);
        let Some(shape) = &self.shape else { return Ok(PlaceSaid::Named(id)) };
        let values = shape.read(columns).map_err(|what| format!("place: {what}"))?;
        check_position(&shape.targets, &values, self.bounds).map_err(|what| format!("place: {what}"))?;
        let claim = Claim { id, kind: Kind::Place, area, targets: shape.targets.clone(), values };
        // It is made at the first row that names it, and has to be whole then: later rows count on it.
        let body =
            Body::from_fields(Kind::Place, claim.fields()).map_err(|error| format!("place: {error}"))?;
        body.check().map_err(|refusal| refusal.detail)?;
        Ok(PlaceSaid::Described(claim))
    }
}

impl Shape {
    fn new(wanted: Vec<(Target, Template)>) -> Self {
        let (targets, templates): (Vec<_>, Vec<_>) = wanted.into_iter().unzip();
        Self { targets: targets.into(), templates }
    }

    /// Adds a field whose value is not in a column.
    fn link(&mut self, field: &'static str) {
        let mut targets = self.targets.to_vec();
        targets.push(Target::Field(field));
        self.targets = targets.into();
    }

    fn columns(&self) -> impl Iterator<Item = usize> + '_ {
        self.templates.iter().flat_map(Template::columns)
    }

    fn read(&self, columns: &[String]) -> Result<Vec<Value>, String> {
        let each = self.targets.iter().zip(&self.templates);
        each.map(|(target, template)| {
            let form = match target {
                Target::Field(field) => Form::of(field),
                Target::Attribute(_) => Form::Text,
            };
            form.read(&template.fill(columns)).map_err(|what| format!("{}: {what}", target.name()))
        })
        .collect()
    }
}

/// Half a position is none, and one that is far away is a fault of the register.
fn check_position(targets: &[Target], values: &[Value], bounds: Option<Bounds>) -> Result<(), String> {
    let value =
        |field| targets.iter().position(|target| *target == Target::Field(field)).map(|at| &values[at]);
    let number = |field| value(field).and_then(Value::as_f64);
    match (number("latitude"), number("longitude")) {
        (None, Some(_)) if value("latitude").is_some() => {
            Err("latitude: is missing, and there is a longitude".to_owned())
        }
        (Some(_), None) if value("longitude").is_some() => {
            Err("longitude: is missing, and there is a latitude".to_owned())
        }
        (Some(latitude), Some(longitude))
            if bounds.is_some_and(|bounds| !bounds.hold(latitude, longitude)) =>
        {
            Err("latitude, longitude: are outside of --bounds".to_owned())
        }
        _ => Ok(()),
    }
}

/// The id of a thing with a key in a register. The same in every import.
fn derived(city: RecordId, kind: Kind, register: &str, key: &str) -> RecordId {
    city.derived(&format!("{}/{register}/{key}", kind.name()))
}

fn target(kind: Kind, name: &str) -> Result<Target, Setup> {
    let name = name.trim();
    if kind == Kind::Asset
        && let Some(attribute) = name.strip_prefix("attributes.")
        && !attribute.is_empty()
    {
        return Ok(Target::Attribute(attribute.to_owned()));
    }
    let fields = Body::field_names(kind).iter().filter(|field| **field != "attributes");
    match fields.clone().find(|field| **field == name) {
        Some(field) => Ok(Target::Field(field)),
        None => {
            let mut known: Vec<&str> = fields.copied().collect();
            known.extend((kind == Kind::Asset).then_some("attributes.NAME"));
            Err(Setup::NoField { kind: kind.name(), name: name.to_owned(), known: known.join(", ") })
        }
    }
}

/// The key that was named, or what is mapped to `external_ref`.
fn record_key(
    settings: &Settings,
    wanted: &[(Target, Template)],
    header: &[String],
) -> Result<Template, Setup> {
    if let Some(text) = &settings.reference {
        return key(text, header);
    }
    let mapped = wanted.iter().find(|(target, _)| *target == Target::Field("external_ref"));
    mapped.map(|(_, template)| template.clone()).ok_or_else(|| Setup::NoRef(header.join(", ")))
}

/// A key is a column, or a text with several.
fn key(text: &str, header: &[String]) -> Result<Template, Setup> {
    let key = if text.contains('{') {
        Template::parse(text, header)?
    } else {
        Template::column(place_of(text, header)?)
    };
    if key.columns().next().is_none() { Err(Setup::NoRef(header.join(", "))) } else { Ok(key) }
}

fn names(template: &Template, header: &[String]) -> String {
    template.columns().map(|at| header[at].as_str()).collect::<Vec<_>>().join("-")
}
