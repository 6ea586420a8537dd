//! What is secret is not in the database, which is copied, backed up and read by others.

use rounds_domain::{Body, RecordId, Role, body};
use rounds_proto::v1;
use rounds_store::{Link, Purpose, Store};
use rounds_tests::{Peer, TestDatabase, TestServer, http, new_id, on_both_databases, visit};
use sqlx::AssertSqlSafe;
use std::collections::BTreeMap;
use std::path::Path;

/// All that a database holds, as bytes.
async fn everything(database: &TestDatabase, store: &Store) -> Vec<u8> {
    if !database.is_postgres() {
        // Every page, in use or not, and what was not carried over yet.
        let file = database.url().strip_prefix("sqlite:").unwrap().to_owned();
        let files = ["", "-wal"].map(|end| format!("{file}{end}"));
        return files
            .iter()
            .filter(|file| Path::new(file).exists())
            .flat_map(|file| std::fs::read(file).unwrap())
            .collect();
    }
    let tables = "SELECT quote_ident(schemaname) || '.' || quote_ident(tablename) FROM pg_tables \
                  WHERE schemaname NOT IN ('pg_catalog', 'information_schema')";
    let mut all = Vec::new();
    for table in database.texts(store, tables).await.unwrap() {
        let rows =
            database.texts(store, &AssertSqlSafe(format!("SELECT t::text FROM {table} t")).0).await.unwrap();
        all.extend(rows.concat().into_bytes());
    }
    all
}

on_both_databases! {
    async fn tokens_codes_and_links_are_not_in_the_database(database: &TestDatabase) {
        let server = TestServer::start(database).await;
        let area = server.area("North", None).await;
        let dwelling = server.dwelling(area, "4-2-301 stands there").await;
        let worker = body::Worker { name: "Li".into(), ..Default::default() };
        let worker = server.add(area, Body::Worker(worker)).await;
        let mut secrets = BTreeMap::new();
        secrets.insert("a code that is open", server.code(Role::Field, &[area]).await);
        let code = server.code(Role::Field, &[area]).await;
        let mut phone = Peer::enrol(server.channel().await, server.clock.clone(), &code).await.unwrap();
        secrets.insert("a code that was used", code);
        secrets.insert("a token that was replaced", phone.token.clone());
        phone.token = phone.devices().rotate(v1::RotateRequest {}).await.unwrap().into_inner().token;
        secrets.insert("a token", phone.token.clone());
        phone.act(vec![visit(area, dwelling)]).await;
        let code = server.code(Role::Supervisor, &[area]).await;
        let form = format!("code={code}&label=Browser");
        let request = hyper::Request::post("/sign-in").header("host", "localhost").header("origin", "http://localhost");
        let request = request.header("content-type", "application/x-www-form-urlencoded");
        let answer = http(&server, request.body(form.into()).unwrap()).await;
        let cookie = answer.headers()["set-cookie"].to_str().unwrap();
        let cookie = cookie.strip_prefix("rounds_token=").unwrap().split(';').next().unwrap();
        secrets.insert("the code of a browser", code);
        secrets.insert("a cookie", cookie.to_owned());
        let key = server.store.link_key([7; 32]).await.unwrap();
        let referral = Link::referral(RecordId(new_id()), worker, 1_000_000);
        for (what, link) in [("a calendar", Link::of(Purpose::Calendar, worker)), ("a partner's page", referral)] {
            secrets.insert(what, server.store.link_token(&key, &link).await.unwrap());
        }
        secrets.insert("the administrator's token", server.admin.token.clone());
        let kept = everything(database, &server.store).await;
        let holds = |text: &str| kept.windows(text.len()).any(|window| window == text.as_bytes());
        assert!(holds("stands there"), "all of it is looked at");
        for (what, secret) in secrets {
            assert!(!secret.is_empty());
            assert!(!holds(&secret), "{what}");
            assert!(!holds(&secret.replace('-', "")), "{what}, as it is hashed");
        }
        server.stop().await;
    }
}

#[cfg(unix)]
#[tokio::test]
async fn nobody_but_its_owner_can_read_a_new_database() {
    use std::os::unix::fs::PermissionsExt as _;
    let database = TestDatabase::sqlite().await;
    let server = TestServer::start(&database).await;
    server.area("North", None).await; // what was written is beside the database still
    let file = database.url().strip_prefix("sqlite:").unwrap();
    for end in ["", "-wal", "-shm", ".lock"] {
        let mode = std::fs::metadata(format!("{file}{end}")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{file}{end}");
    }
    server.stop().await;
}
