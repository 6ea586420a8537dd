//! The views for reports: what is true now, as rows, and nothing else.

use super::sample::*;
use rounds_domain::body::{Asset, FollowUp, Plan};
use rounds_domain::column::{Form, columns};
use rounds_domain::{Body, Kind, Outcome};
use rounds_store::{Error, Store};
use rounds_tests::{TestDatabase, on_both_databases, whole_body};
use serde_json::{Value, json};

/// The names of a view's columns, in their order.
async fn names(database: &TestDatabase, store: &Store, view: &str) -> Vec<String> {
    let sql = match database.is_postgres() {
        true => format!(
            "SELECT attname::text FROM pg_attribute WHERE attrelid = '{view}'::regclass ORDER BY attnum"
        ),
        false => format!("SELECT name FROM pragma_table_info('{view}') ORDER BY cid"),
    };
    database.texts(store, &sql).await.unwrap()
}

/// The rows of a view, by their first column.
async fn rows(database: &TestDatabase, store: &Store, view: &str) -> Vec<Value> {
    let names = names(database, store, view).await;
    let sql = match database.is_postgres() {
        true => format!("SELECT row_to_json(v)::text FROM {view} AS v ORDER BY 1"),
        false => {
            // As JSON it would write fewer digits of a number than there are.
            let whole = |name| {
                format!(
                    "CASE typeof(\"{name}\") WHEN 'real' THEN printf('%!.17g', \"{name}\") ELSE \"{name}\" END"
                )
            };
            let pairs: Vec<String> = names.iter().map(|name| format!("'{name}', {}", whole(name))).collect();
            format!("SELECT json_object({}) FROM {view} ORDER BY 1", pairs.join(", "))
        }
    };
    let rows = database.texts(store, &sql).await.unwrap();
    rows.iter().map(|row| serde_json::from_str(row).unwrap()).collect()
}

/// What the columns of a kind are, of records that are there.
fn shown(kind: Kind) -> Vec<(&'static str, Form)> {
    let all = columns(kind).into_iter().map(|column| (column.name, column.form));
    all.filter(|(name, _)| kind != Kind::Worker || ["id", "name"].contains(name)).collect()
}

/// A value of a view as records have it.
fn as_recorded(form: Form, value: &Value) -> Value {
    match (form, value) {
        (_, Value::Null) => Value::Null,
        (Form::Moment, Value::String(text)) => {
            json!(text.parse::<jiff::Timestamp>().unwrap().as_millisecond())
        }
        (Form::YesNo, Value::Number(number)) => json!(number.as_i64() == Some(1)), // SQLite has no other
        (Form::Number, Value::String(text)) => json!(text.parse::<f64>().unwrap()),
        (Form::List, Value::String(text)) => serde_json::from_str(text).unwrap(),
        (Form::Moment | Form::YesNo, other) if !other.is_boolean() => panic!("{form:?}: {other}"),
        (_, other) => other.clone(),
    }
}

/// Brings a database to where an older release left it: the views are as these statements say.
async fn as_an_older_release_left_it(database: &TestDatabase, sql: &str) {
    database.open().await.close().await;
    database.execute(sql).await.unwrap();
}

on_both_databases! {
    async fn each_kind_has_a_view_that_tells_every_field_of_every_record(database: &TestDatabase) {
        let store = database.open().await;
        plant(&store, [(area(1), None)]).await;
        let mut phone = Phone::enrol(&store, 1).await;
        for &kind in Kind::ALL {
            let id = record(u128::from(kind.number().unsigned_abs()));
            let mut body = whole_body(kind);
            let op = match &mut body {
                Body::Area(inner) => {
                    inner.parent = Some(area(1).into());
                    create(area(2).into(), area(2), body)
                }
                _ => create(id, area(1), body),
            };
            let id = op.record;
            assert_eq!(phone.send(&store, [at(5, op)]).await, [Outcome::Applied], "{kind:?}");

            if kind == Kind::Request {
                // Two of its fields are set by steps.
                let steps = ["triaged", "referred"].map(|to| at(6, step(id, area(1), kind, to)));
                phone.send(&store, steps).await;
            }

            let view = format!("report_{}", kind.plural());
            let listed: Vec<&str> = shown(kind).into_iter().map(|(name, _)| name).collect();
            assert_eq!(names(database, &store, &view).await, listed, "{view} has other columns than exports");
            let found = store.record(id).await.unwrap().unwrap();
            let rows = rows(database, &store, &view).await;
            let row = rows.iter().find(|row| row["id"] == json!(id)).unwrap_or_else(|| panic!("{view}: {rows:?}"));
            let place = if kind == Kind::Area { area(2) } else { area(1) };
            for (name, form) in shown(kind) {
                let fields = &found.record.fields;
                let expected = match name {
                    "id" => json!(id),
                    "area" => json!(place),
                    "area_name" if kind == Kind::Area => fields["name"].clone(),
                    "area_name" => json!(format!("Area {}", area(1))),
                    "number" => json!(found.number),
                    "status" if found.record.status.is_empty() => Value::Null,
                    "status" => json!(found.record.status),
                    "created_at" => json!(found.record.created.at_ms),
                    "changed_at" => json!(found.record.changed.at_ms),
                    name => fields.get(name).or(fields.get(&format!("{name}_ms"))).cloned().unwrap_or_default(),
                };
                assert_ne!((expected.is_null(), name == "status"), (true, false), "{view}.{name}: the sample says nothing");
                assert_eq!(as_recorded(form, &row[name]), expected, "{view}.{name}");
            }
        }
        store.close().await;
    }

    async fn what_is_not_said_is_null_and_what_is_not_so_is_no(database: &TestDatabase) {
        let store = database.open().await;
        plant(&store, [(area(1), None)]).await;
        let mut phone = Phone::enrol(&store, 1).await;
        phone.send(&store, [create(record(1), area(1), Body::Plan(Plan::default()))]).await;
        let rows = rows(database, &store, "report_plans").await;
        for (name, form) in shown(Kind::Plan).into_iter().skip(7) {
            let expected = if form == Form::YesNo { json!(false) } else { Value::Null };
            assert_eq!(as_recorded(form, &rows[0][name]), expected, "{name}");
        }
        store.close().await;
    }

    async fn deleted_records_are_in_no_view(database: &TestDatabase) {
        let store = database.open().await;
        plant(&store, [(area(1), None), (area(2), Some(area(1)))]).await;
        let mut phone = Phone::enrol(&store, 1).await;
        phone
            .send(&store, [
                at(1, create_place(record(1), area(1), "a place")),
                at(2, create_place(record(2), area(1), "another")),
                at(3, delete(record(1), area(1), Kind::Place)),
                at(4, delete(area(2).into(), area(2), Kind::Area)),
            ])
            .await;
        let places = rows(database, &store, "report_places").await;
        assert_eq!(places.iter().map(|row| row["id"].clone()).collect::<Vec<_>>(), [json!(record(2))]);
        assert_eq!(rows(database, &store, "report_areas").await.len(), 1);
        let tree = rows(database, &store, "report_area_tree").await;
        assert_eq!(tree.iter().map(|row| row["area"].clone()).collect::<Vec<_>>(), [json!(area(1))]);
        store.close().await;
    }

    async fn the_tree_joins_records_to_every_area_above_them(database: &TestDatabase) {
        let store = database.open().await;
        plant(&store, [(area(1), None), (area(2), Some(area(1))), (area(3), None)]).await;
        let mut phone = Phone::enrol(&store, 1).await;
        let places = [(1, 1), (2, 2), (3, 2), (4, 3)];
        phone.send(&store, places.map(|(id, home)| create_place(record(id), area(home), "a place"))).await;
        let sql = format!(
            "SELECT count(*) FROM report_places p JOIN report_area_tree t ON t.area = p.area
             WHERE t.within_name = 'Area {}'",
            area(1)
        );
        assert_eq!(database.number(&store, &sql).await.unwrap(), 3);
        store.close().await;
    }

    async fn a_time_that_no_calendar_has_keeps_nobody_from_the_rest(database: &TestDatabase) {
        let store = database.open().await;
        plant(&store, [(area(1), None)]).await;
        let mut phone = Phone::enrol(&store, 1).await;
        let times = [i64::MIN, -62_135_596_800_001, -62_135_596_800_000, 253_402_300_799_999, 253_402_300_800_000, i64::MAX];
        for (n, due_at_ms) in times.into_iter().enumerate() {
            let follow_up = FollowUp { due_at_ms: Some(due_at_ms), ..FollowUp::default() };
            phone.send(&store, [create(record(n as u128), area(1), Body::FollowUp(follow_up))]).await;
        }
        let asset = |since: &str| Body::Asset(Asset { since: since.to_owned(), ..Asset::default() });
        phone
            .send(&store, [
                create(record(10), area(1), asset("0000-01-01")),
                create(record(11), area(1), asset("9999-12-31")),
            ])
            .await;
        let sql = "SELECT count(*) FROM report_follow_ups WHERE due_at IS NOT NULL";
        assert_eq!(database.number(&store, sql).await.unwrap(), 2, "those of the years 1 and 9999");
        assert_eq!(rows(database, &store, "report_follow_ups").await.len(), 6);
        assert_eq!(rows(database, &store, "report_assets").await[1]["since"], json!("9999-12-31"));
        store.close().await;
    }

    async fn a_view_of_an_older_release_gets_the_new_columns_at_its_end(database: &TestDatabase) {
        // Two columns, one of which this release does not know any more.
        let known = if database.is_postgres() { "r.id" } else { "json_extract(r.body, '$.id')" };
        as_an_older_release_left_it(
            database,
            &format!(
                "DROP VIEW report_places;
                 CREATE VIEW report_places AS SELECT {known} AS id, r.status AS colour FROM records r WHERE r.kind = 2;
                 {}",
                if database.is_postgres() { "GRANT SELECT ON report_places TO PUBLIC" } else { "" }
            ),
        )
        .await;
        let store = database.open().await;
        plant(&store, [(area(1), None)]).await;
        let mut phone = Phone::enrol(&store, 1).await;
        phone.send(&store, [create_place(record(1), area(1), "a place")]).await;
        let rows = rows(database, &store, "report_places").await;
        assert_eq!((&rows[0]["id"], &rows[0]["name"]), (&json!(record(1)), &json!("a place")));
        let names = names(database, &store, "report_places").await;
        let mut expected: Vec<&str> = columns(Kind::Place).into_iter().map(|column| column.name).collect();
        if database.is_postgres() {
            expected.insert(1, "colour"); // PostgreSQL takes none away from a view; it says nothing any more
            assert_eq!(rows[0]["colour"], Value::Null);
            let granted = "SELECT count(*) FROM information_schema.role_table_grants
                           WHERE table_name = 'report_places' AND grantee = 'PUBLIC'";
            assert_eq!(database.number(&store, granted).await.unwrap(), 1, "what was granted stays");
        }
        assert_eq!(names, expected);
        store.close().await;
    }

    async fn an_older_release_leaves_the_views_of_a_newer_one_alone(database: &TestDatabase) {
        let listed: Vec<String> =
            columns(Kind::Term).iter().map(|column| format!("NULL AS \"{}\"", column.name)).collect();
        let sql = format!(
            "DROP VIEW report_terms; CREATE VIEW report_terms AS SELECT {}, 'x' AS of_next_year",
            listed.join(", ")
        );
        as_an_older_release_left_it(database, &sql).await;
        let store = database.open().await;
        let names = names(database, &store, "report_terms").await;
        assert_eq!(names.last().map(String::as_str), Some("of_next_year"));
        store.close().await;
    }

    async fn many_releases_may_make_the_views_at_the_same_time(database: &TestDatabase) {
        as_an_older_release_left_it(
            database,
            "DROP VIEW report_visits; DROP VIEW report_places;
             CREATE VIEW report_places AS SELECT r.status AS colour FROM records r",
        )
        .await;
        let tasks: Vec<_> = (0..6)
            .map(|_| {
                let url = database.url().to_owned();
                tokio::spawn(async move { Store::open(&url, rounds_tests::EPOCH).await })
            })
            .collect();
        for task in tasks {
            let store: Result<Store, Error> = task.await.unwrap();
            assert!(rows(database, &store.unwrap(), "report_visits").await.is_empty());
        }
    }
}
