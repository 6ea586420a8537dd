//! Registers into records: `rounds import`.
//!
//! A file is read row by row, and what it says becomes ops like everybody's, so there is one history. A row's record
//! has an id that follows from its key in the register: the same file twice creates nothing and changes nothing, and
//! a row that changed becomes an edit of just the fields that changed. What people changed in the meantime is not
//! undone, see [`merge`].

mod mapping;
mod merge;
mod report;
mod source;
mod template;
mod tree;
mod value;

pub use source::ROW_BYTES_MAX;
pub use tree::NEW_AREAS_MAX;

use crate::Clock;
use futures_util::StreamExt as _;
use mapping::{Claim, Mapping, PlaceSaid, Reading};
use merge::{LastSaid, body, difference, is_same, is_touched};
use report::Report;
use rounds_domain::limit::BATCH_OPS_MAX;
use rounds_domain::{
    Action, AreaId, ClockReading, DeviceId, Kind, Op, Outcome, Record, RecordId, Refusal, Role,
};
use rounds_proto::encode_op;
use rounds_store::{Arrival, Batch, Content, Receipt, Store, content_hash};
use source::{Row, Source};
use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet, VecDeque};
use std::io::{Read, Write};
use tokio::task::JoinHandle;
use tree::Tree;
use uuid::Uuid;

/// Most rows of one file. Of each, some 40 bytes stay in memory, to know a key that comes twice.
pub const ROWS_MAX: u64 = 5_000_000;
/// Rows that are taken in together: each may bring its place, and both may be edited and moved.
const CHUNK_ROWS: usize = BATCH_OPS_MAX / 4;
/// Batches that wait for their commit while the next rows are read.
const BATCHES_IN_FLIGHT: usize = 8;
/// Records that are looked up at the same time.
const LOOKUPS: usize = 16;

/// What to import, and how to read it.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Assets, places, organizations or workers.
    pub kind: Kind,
    /// The id or name of the area that gets the records.
    pub area: String,
    /// Makes the area at the top of a new tree, with this time zone, if there is none of the name.
    pub time_zone: Option<String>,
    /// The column that names the area below, which is made if it is not there.
    pub area_column: Option<String>,
    /// The column with the key in the register, or a text with several: `{block}-{lot}`.
    pub reference: Option<String>,
    /// Tells this register's keys from those of others; the name of the key's column if not given.
    pub register: Option<String>,
    /// Columns and the fields that they say.
    pub map: Vec<(String, String)>,
    /// Fields and what they say: a text that may name columns, `{house_number} {street_name}`.
    pub set: Vec<(String, String)>,
    /// Columns that nothing else uses become attributes.
    pub keep_rest: bool,
    /// The column with the key of the place, or a text with several.
    pub place_ref: Option<String>,
    /// Tells the keys of places from those of other registers; the name of the key's column if not given.
    pub place_register: Option<String>,
    /// Fields of the place and what they say. If none, the place must be there already.
    pub place: Vec<(String, String)>,
    /// Where positions may be; those elsewhere are rejected.
    pub bounds: Option<Bounds>,
    /// The encoding of the file, as the web calls it: `utf-8`, `gb18030`, `windows-1252`.
    pub encoding: String,
    /// What is between two columns.
    pub delimiter: u8,
    /// Check everything and change nothing.
    pub dry_run: bool,
}

impl Settings {
    /// Records of this kind into this area, from a file of comma-separated values in UTF-8.
    pub fn new(kind: Kind, area: &str) -> Self {
        Self {
            kind,
            area: area.to_owned(),
            time_zone: None,
            area_column: None,
            reference: None,
            register: None,
            map: Vec::new(),
            set: Vec::new(),
            keep_rest: false,
            place_ref: None,
            place_register: None,
            place: Vec::new(),
            bounds: None,
            encoding: "utf-8".to_owned(),
            delimiter: b',',
            dry_run: false,
        }
    }
}

/// A part of the world, in degrees. It does not span the date line.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Bounds {
    /// Degrees north of its southern edge.
    pub south: f64,
    /// Degrees east of its western edge.
    pub west: f64,
    /// Degrees north of its northern edge.
    pub north: f64,
    /// Degrees east of its eastern edge.
    pub east: f64,
}

impl Bounds {
    fn hold(self, latitude: f64, longitude: f64) -> bool {
        (self.south..=self.north).contains(&latitude) && (self.west..=self.east).contains(&longitude)
    }
}

/// What came of an import.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Summary {
    /// Rows that were read.
    pub rows: u64,
    /// Of them: records that are new,
    pub created: u64,
    /// records that now say something else,
    pub changed: u64,
    /// records that said so already,
    pub unchanged: u64,
    /// rows that say the same as an earlier row,
    pub repeated: u64,
    /// and rows that were not taken in; they are in the report.
    pub rejected: u64,
    /// Places that came along and are new.
    pub places_created: u64,
    /// Places that came along and now say something else.
    pub places_changed: u64,
    /// Rows that describe a place otherwise than the row that came first, whose word counts.
    pub places_disputed: u64,
    /// Areas that are new.
    pub areas_created: u64,
    /// Fields that people changed since the last import, and the register did not: they stay.
    pub kept: u64,
    /// Edits of fields that people had changed as well: both values are kept, for a coordinator to look at.
    pub conflicts: u64,
    /// The first rejected rows, with their numbers and reasons.
    pub first_rejected: Vec<(u64, String)>,
    /// Columns that nothing was made of.
    pub unused_columns: Vec<String>,
}

/// Rejected rows that the summary tells of; the report has all.
const FIRST_REJECTED_MAX: usize = 10;

/// How far an import is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Progress {
    /// Rows that were read.
    pub rows: u64,
    /// Rows that were rejected.
    pub rejected: u64,
    /// Bytes of the file that were read.
    pub bytes: u64,
}

/// Why nothing was imported.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)] // each says itself
pub enum Setup {
    #[error("the file is empty: its first line has to name the columns")]
    Empty,
    #[error("the header is not {0}: say the encoding of the file with --encoding (UTF-16: save it as UTF-8)")]
    HeaderEncoding(String),
    #[error("encoding {0}: not one that can be read; use utf-8, gb18030, big5, windows-1252, ...")]
    Encoding(String),
    #[error("the header is one column, {0:?}: say what is between columns with --delimiter")]
    Delimiter(String),
    #[error("there is no column {name}: the file has {header}")]
    NoColumn { name: String, header: String },
    #[error("the header names the column {0} twice: give one of them another name")]
    ColumnTwice(String),
    #[error("{kind}: there is no field {name}; there are {known}")]
    NoField { kind: &'static str, name: String, known: String },
    #[error("field {0}: was said twice; say it once")]
    Twice(String),
    #[error("say with --ref which column has the key of each row: the file has {0}")]
    NoRef(String),
    #[error("--place describes a place: say with --place-ref which column has its key")]
    PlaceWithoutRef,
    #[error("--place needs at least name=... and sort=...")]
    PlaceIncomplete,
    #[error("a {0} has no place: leave --place-ref out")]
    NoPlaces(&'static str),
    #[error("there is no area {name}: --time-zone ZONE makes a new tree of that name; known areas: {known}")]
    NoArea { name: String, known: String },
    #[error("there are several areas {name}: say which with its id: {ids}")]
    Areas { name: String, ids: String },
    #[error("area {area} has the time zone {zone}: leave --time-zone out")]
    OtherTimeZone { area: String, zone: String },
    #[error("the area cannot be made: {0}")]
    Area(Refusal),
}

/// Why an import ended early. Rows that were taken in before stay; the same import may be run again.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The settings do not fit the file or the database.
    #[error(transparent)]
    Setup(#[from] Setup),
    /// The file cannot be read on.
    #[error("row {row}: {what}; the rows before it were imported")]
    Read {
        /// The row from which on it cannot be read.
        row: u64,
        /// Why.
        what: String,
    },
    /// The file is too long.
    #[error("the file has more than {ROWS_MAX} rows: split it")]
    TooManyRows,
    /// The file names more new areas than one file makes.
    #[error(
        "row {row}: --area-column has more than {NEW_AREAS_MAX} names that are new: is it the right column? the rows \
         before it were imported"
    )]
    TooManyAreas {
        /// The row that names one too many.
        row: u64,
    },
    /// The report cannot be written.
    #[error("the report cannot be written: {0}")]
    Report(#[source] std::io::Error),
    /// The database failed.
    #[error("{0}")]
    Store(#[from] rounds_store::Error),
    /// The database did not take in an area.
    #[error("area: {0}")]
    Area(Refusal),
    /// A fault in this program.
    #[error("a batch was lost: {0}")]
    Lost(#[from] tokio::task::JoinError),
}

impl Error {
    /// Whether rows were imported before it, and the report says which of them were rejected.
    pub fn is_behind_rows(&self) -> bool {
        match self {
            Self::Read { row, .. } => *row > 1, // the first is the header
            Self::TooManyRows | Self::TooManyAreas { .. } => true,
            Self::Setup(_) | Self::Report(_) | Self::Store(_) | Self::Area(_) | Self::Lost(_) => false,
        }
    }
}

/// The device of this program that the register's words are the ops of.
pub fn device() -> DeviceId {
    DeviceId(Uuid::new_v5(&Uuid::NAMESPACE_URL, b"rounds:import"))
}

/// Imports a file. Rejected rows go to `report`, in the order of the file.
///
/// # Errors
/// [`Setup`] if nothing could be done; else what ended it early.
pub async fn import(
    store: &Store,
    settings: &Settings,
    input: impl Read,
    report: impl Write,
    clock: &Clock,
    mut progress: impl FnMut(Progress),
) -> Result<Summary, Error> {
    let mut source = Source::open(input, &settings.encoding, settings.delimiter)?;
    let mapping = Mapping::new(settings, source.header())?;
    let level = settings.area_column.as_deref().unwrap_or_default();
    let (mut tree, new_root) =
        Tree::find(store, &settings.area, settings.time_zone.as_deref(), level).await?;
    let report = Report::begin(report, settings.delimiter, source.raw_header())?;
    let mut desk = Desk::open(store, settings.dry_run, clock, report).await?;
    desk.summary.unused_columns = mapping.unused().into_iter().map(str::to_owned).collect();
    if let Some(root) = new_root {
        desk.make_area(root).await?;
    }
    loop {
        let mut chunk = Vec::with_capacity(CHUNK_ROWS);
        let mut end = None;
        while chunk.len() < CHUNK_ROWS && end.is_none() {
            match next_line(&mut source, &mapping, &mut tree, &mut desk).await {
                Ok(Some(line)) => chunk.push(line),
                Ok(None) => end = Some(Ok(())),
                Err(error) => end = Some(Err(error)), // the rows before it are taken in first
            }
        }
        desk.take_in(chunk).await?;
        progress(Progress {
            rows: desk.summary.rows,
            rejected: desk.summary.rejected,
            bytes: source.bytes(),
        });
        if let Some(end) = end {
            let summary = desk.close().await?;
            return end.map(|()| summary);
        }
    }
}

/// The next row, compared with those before it. Its area is made if it is not there: for a row that was read, or a fault
/// in a row would leave an area behind that nobody wants.
async fn next_line<R: Read, W: Write>(
    source: &mut Source<R>,
    mapping: &Mapping,
    tree: &mut Tree,
    desk: &mut Desk<'_, W>,
) -> Result<Option<Line>, Error> {
    let Some(row) = source.next()? else { return Ok(None) };
    let read = source.columns(&row).and_then(|columns| {
        let (area, new) = tree.below(mapping.area(&columns))?;
        Ok((mapping.read(&columns, tree.city, area)?, new))
    });
    let reading = match read {
        Ok((reading, None)) => Ok(reading),
        Ok((reading, Some(area))) => {
            if !tree.add(&area) {
                return Err(Error::TooManyAreas { row: row.number });
            }
            desk.make_area(area).await?;
            Ok(reading)
        }
        Err(reason) => Err(reason),
    };
    desk.first_look(row, reading).map(Some)
}

/// Reads a file as an import does, and holds it against nothing: how many rows there are, and how many of them cannot be
/// read. The area is not looked at.
///
/// # Errors
/// [`Setup`], or a file that cannot be read on.
pub fn read_through(settings: &Settings, input: impl Read) -> Result<(u64, u64), Error> {
    let mut source = Source::open(input, &settings.encoding, settings.delimiter)?;
    let mapping = Mapping::new(settings, source.header())?;
    let nobody = Uuid::nil();
    let (mut rows, mut rejected) = (0, 0);
    while let Some(row) = source.next()? {
        let reading = source.columns(&row).and_then(|columns| {
            let _ = mapping.area(&columns);
            mapping.read(&columns, RecordId(nobody), AreaId(nobody))
        });
        rows += 1;
        rejected += u64::from(reading.is_err());
    }
    Ok((rows, rejected))
}

/// A row and what becomes of it.
struct Line {
    row: Row,
    fate: Fate,
    place: Become,
}

impl Line {
    fn new(row: Row, fate: Fate) -> Self {
        Self { row, fate, place: Become::Unchanged }
    }
}

enum Fate {
    /// It was read, and has to be compared with what is there.
    Read(Reading),
    Rejected(String),
    Repeated,
    Settled(Become),
}

/// What becomes of a record.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Become {
    Created,
    Changed,
    Unchanged,
}

/// A batch under way, and the lines that it is about.
struct Waiting {
    lines: Vec<Line>,
    /// The line of each op.
    lines_of_ops: Vec<usize>,
    receipt: Option<JoinHandle<Result<Receipt, rounds_store::Error>>>,
}

/// What is said of a thing for the first time in a file.
struct Said {
    row: u64,
    fingerprint: u64,
}

struct Desk<'a, W: Write> {
    store: &'a Store,
    clock: &'a Clock,
    dry_run: bool,
    report: Report<W>,
    summary: Summary,
    said: HashMap<RecordId, Said>,
    /// What earlier rows said all of, and cannot be: other rows must not count on it.
    refused: HashSet<RecordId>,
    waiting: VecDeque<Waiting>,
}

impl<'a, W: Write> Desk<'a, W> {
    async fn open(
        store: &'a Store,
        dry_run: bool,
        clock: &'a Clock,
        report: Report<W>,
    ) -> Result<Self, Error> {
        if !dry_run {
            store.internal_device(device(), "import", Role::Admin, clock.now_ms()).await?;
        }
        Ok(Self {
            store,
            clock,
            dry_run,
            report,
            summary: Summary::default(),
            said: HashMap::new(),
            refused: HashSet::new(),
            waiting: VecDeque::new(),
        })
    }

    fn now(&self) -> ClockReading {
        ClockReading { wall_ms: self.clock.now_ms(), boot: 0, monotonic_ms: 0 }
    }

    /// Areas have to be there before anything is written into them.
    async fn make_area(&mut self, area: tree::NewArea) -> Result<(), Error> {
        self.summary.areas_created += 1;
        if self.dry_run {
            return Ok(());
        }
        let clock = self.now();
        let arrival = arrival(area.op(clock)).map_err(Error::Area)?;
        let receipt = self.store.submit(batch(vec![arrival], clock)).await?;
        match receipt.verdicts.first() {
            Some((_, verdict)) if verdict.outcome == Outcome::Quarantined => Err(Error::Area(Refusal::new(
                rounds_domain::verdict::Reason::Invalid,
                verdict.detail.clone(),
            ))),
            _ => Ok(()),
        }
    }

    /// Compares a row with those before it.
    fn first_look(&mut self, row: Row, reading: Result<Reading, String>) -> Result<Line, Error> {
        self.summary.rows += 1;
        if self.summary.rows > ROWS_MAX {
            return Err(Error::TooManyRows);
        }
        let mut reading = match reading {
            Ok(reading) => reading,
            Err(reason) => return Ok(Line::new(row, Fate::Rejected(reason))),
        };
        // It need not be in the database yet: it may be in a batch under way, or in the same one.
        if let PlaceSaid::Named(id) = reading.place
            && self.said.contains_key(&id)
        {
            reading.place = PlaceSaid::SaidBefore(id);
        }
        let fingerprint = reading.record.fingerprint();
        match self.said.entry(reading.record.id) {
            Entry::Vacant(entry) => {
                entry.insert(Said { row: row.number, fingerprint });
            }
            Entry::Occupied(entry) if entry.get().fingerprint == fingerprint => {
                return Ok(Line::new(row, Fate::Repeated));
            }
            Entry::Occupied(entry) => {
                let reason = format!("row {} has the same key and says otherwise", entry.get().row);
                return Ok(Line::new(row, Fate::Rejected(reason)));
            }
        }
        if let PlaceSaid::Described(claim) = &reading.place {
            let (id, fingerprint) = (claim.id, claim.fingerprint());
            match self.said.entry(id) {
                Entry::Vacant(entry) => {
                    entry.insert(Said { row: row.number, fingerprint });
                }
                Entry::Occupied(entry) => {
                    self.summary.places_disputed += u64::from(entry.get().fingerprint != fingerprint);
                    reading.place = PlaceSaid::SaidBefore(id);
                }
            }
        }
        Ok(Line::new(row, Fate::Read(reading)))
    }

    /// Compares rows with what is there, and sends off what has to be done.
    async fn take_in(&mut self, mut lines: Vec<Line>) -> Result<(), Error> {
        let existing = self.look_up(&lines).await?;
        let clock = self.now();
        let mut arrivals = Vec::new();
        let mut lines_of_ops = Vec::new();
        for (at, line) in lines.iter_mut().enumerate() {
            let Fate::Read(reading) = &line.fate else { continue };
            let before = arrivals.len();
            let (place, record) = self.compare(reading, &existing, clock, &mut arrivals).await?;
            if record.is_err() && !is_there(&existing, reading.record.id) {
                self.refused.insert(reading.record.id);
            }
            lines_of_ops.resize(lines_of_ops.len() + arrivals.len() - before, at);
            line.place = place;
            line.fate = record.map_or_else(Fate::Rejected, Fate::Settled);
        }
        let receipt = (!arrivals.is_empty() && !self.dry_run).then(|| {
            let store = self.store.clone();
            let batch = batch(arrivals, clock);
            tokio::spawn(async move { store.submit(batch).await })
        });
        self.waiting.push_back(Waiting { lines, lines_of_ops, receipt });
        while self.waiting.len() > BATCHES_IN_FLIGHT {
            self.settle_oldest().await?;
        }
        Ok(())
    }

    async fn look_up(&self, lines: &[Line]) -> Result<HashMap<RecordId, Record>, Error> {
        let ids = lines.iter().filter_map(|line| match &line.fate {
            Fate::Read(reading) => Some(reading),
            _ => None,
        });
        let ids: Vec<RecordId> =
            ids.flat_map(|reading| [Some(reading.record.id), reading.place.id()]).flatten().collect();
        let mut found =
            futures_util::stream::iter(ids).map(|id| self.store.record(id)).buffer_unordered(LOOKUPS);
        let mut records = HashMap::new();
        while let Some(record) = found.next().await {
            if let Some(numbered) = record? {
                records.insert(numbered.record.id, numbered.record);
            }
        }
        Ok(records)
    }

    /// Adds what has to be done for a row. Answers what becomes of its place and of its record, or why the row is
    /// rejected; its place stays then, as other rows count on it.
    async fn compare(
        &mut self,
        reading: &Reading,
        existing: &HashMap<RecordId, Record>,
        clock: ClockReading,
        ops: &mut Vec<Arrival>,
    ) -> Result<(Become, Result<Become, String>), Error> {
        let mut place = Become::Unchanged;
        match &reading.place {
            PlaceSaid::Nothing => {}
            PlaceSaid::Named(id) => {
                if !is_there(existing, *id) {
                    let reason = "place: there is none with this key, nor is it in an earlier row: import places first, \
                                  or describe them with --place";
                    return Ok((place, Err(reason.to_owned())));
                }
            }
            PlaceSaid::SaidBefore(id) => {
                if self.refused.contains(id) {
                    return Ok((place, Err("place: was refused in an earlier row".to_owned())));
                }
            }
            PlaceSaid::Described(claim) => {
                match self.merge(claim, existing.get(&claim.id), clock, ops).await? {
                    Ok(became) => place = became,
                    Err(reason) => {
                        self.refused.insert(claim.id);
                        return Ok((place, Err(format!("place: {reason}"))));
                    }
                }
            }
        }
        let record = existing.get(&reading.record.id);
        Ok((place, self.merge(&reading.record, record, clock, ops).await?))
    }

    /// Adds the ops that make a record say what is claimed.
    async fn merge(
        &mut self,
        claim: &Claim,
        record: Option<&Record>,
        clock: ClockReading,
        ops: &mut Vec<Arrival>,
    ) -> Result<Result<Become, String>, Error> {
        let Some(record) = record else {
            let created = body(claim).and_then(|body| {
                let action = Action::Create(Box::new(body));
                admit(claim, claim.area, action, clock, 0)
            });
            return Ok(created.map(|arrival| {
                ops.push(arrival);
                Become::Created
            }));
        };
        if record.deleted.is_some() {
            return Ok(Err("it was deleted here, for good: leave it out, or give it another key".to_owned()));
        }
        if is_same(claim, record) {
            return Ok(Ok(Become::Unchanged));
        }
        let mut last = None;
        let mut moves = false;
        if is_touched(claim, record, device()) {
            let history = self.store.ops_of(record.id).await?;
            last = Some(LastSaid::of(history.iter().map(|op| &op.placed), device()));
            moves =
                record.area != claim.area && !self.store.subtree(claim.area).await?.contains(&record.area);
        }
        let difference = difference(claim, record, last.as_ref(), moves);
        self.summary.kept += difference.kept as u64;
        let mut added = Vec::new();
        for action in difference.actions {
            if is_another_sort(&action) {
                return Ok(Err(format!(
                    "sort: another {} has this key: if it is of another register, name the register with --register; \
                     if it became something else, change its sort by hand first",
                    claim.kind.name()
                )));
            }
            match admit(claim, record.area, action, clock, record.through.stamp) {
                Ok(arrival) => added.push(arrival),
                Err(reason) => return Ok(Err(reason)),
            }
        }
        let became = if added.is_empty() { Become::Unchanged } else { Become::Changed };
        ops.extend(added);
        Ok(Ok(became))
    }

    /// Waits for the oldest batch and says what became of its rows.
    async fn settle_oldest(&mut self) -> Result<(), Error> {
        let Some(mut waiting) = self.waiting.pop_front() else { return Ok(()) };
        if let Some(receipt) = waiting.receipt {
            let receipt = receipt.await??;
            for (at, (_, verdict)) in waiting.lines_of_ops.iter().zip(&receipt.verdicts) {
                match verdict.outcome {
                    Outcome::Applied | Outcome::Merged => {}
                    Outcome::ConflictRecorded => self.summary.conflicts += 1,
                    Outcome::NotApplied | Outcome::Quarantined | Outcome::Retry => {
                        let reason = verdict.reason.map(|reason| reason.as_str()).unwrap_or_default();
                        waiting.lines[*at].fate = Fate::Rejected(format!("{reason}: {}", verdict.detail));
                    }
                }
            }
        }
        for line in waiting.lines {
            self.count(line)?;
        }
        Ok(())
    }

    fn count(&mut self, line: Line) -> Result<(), Error> {
        let summary = &mut self.summary;
        match line.place {
            Become::Created => summary.places_created += 1,
            Become::Changed => summary.places_changed += 1,
            Become::Unchanged => {}
        }
        match line.fate {
            Fate::Repeated => summary.repeated += 1,
            Fate::Settled(Become::Created) => summary.created += 1,
            Fate::Settled(Become::Changed) => summary.changed += 1,
            Fate::Settled(Become::Unchanged) => summary.unchanged += 1,
            Fate::Rejected(reason) => {
                summary.rejected += 1;
                self.report.reject(line.row.number, &reason, &line.row.raw)?;
                if summary.first_rejected.len() < FIRST_REJECTED_MAX {
                    summary.first_rejected.push((line.row.number, reason));
                }
            }
            Fate::Read(_) => {} // it was compared before it came here
        }
        Ok(())
    }

    async fn close(mut self) -> Result<Summary, Error> {
        while !self.waiting.is_empty() {
            self.settle_oldest().await?;
        }
        self.report.end()?;
        Ok(self.summary)
    }
}

/// Whether there is such a record, and it was not deleted.
fn is_there(existing: &HashMap<RecordId, Record>, id: RecordId) -> bool {
    existing.get(&id).is_some_and(|record| record.deleted.is_none())
}

fn is_another_sort(action: &Action) -> bool {
    let Action::Edit { changes, .. } = action else { return false };
    changes.iter().any(|change| change.field == "sort" && !change.base.is_null() && !change.value.is_null())
}

/// An op on a claimed record, checked.
fn admit(
    claim: &Claim,
    area: AreaId,
    action: Action,
    clock: ClockReading,
    observed: u64,
) -> Result<Arrival, String> {
    let op = Op { record: claim.id, area, kind: claim.kind, action, clock, observed, scope_version: 0 };
    op.check().map_err(|refusal| refusal.detail)?;
    arrival(op).map_err(|refusal| refusal.detail)
}

fn arrival(op: Op) -> Result<Arrival, Refusal> {
    let hash = content_hash(0, &encode_op(&op)?);
    Ok(Arrival { seq: None, followed_by: 0, hash, content: Content::Admitted(op) })
}

fn batch(arrivals: Vec<Arrival>, clock: ClockReading) -> Batch {
    Batch { device: device(), arrivals, clock, received_ms: clock.wall_ms, holds_from: 0, settled: None }
}
