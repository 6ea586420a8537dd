//! How to reach who raised a request: never in a record, never lost, read by those who handle it, and gone in time.

mod phone;

use http_body_util::Full;
use hyper::header::{CONTENT_TYPE, COOKIE, ORIGIN, SET_COOKIE};
use hyper::{Request, StatusCode};
use rounds_device::{Device, enrol};
use rounds_domain::op::Step;
use rounds_domain::{Action, AreaId, Body, ContactData, Kind, RecordId, Role, body};
use rounds_proto::v1;
use rounds_server::Config;
use rounds_store::{AuditAction, AuditFilter, ContactKeeping, Store, Vault};
use rounds_tests::golden::migrate;
use rounds_tests::{Act, Peer, TestDatabase, TestServer, http, new_id, on_both_databases, reason};
use rounds_worker::{ChannelOptions, Channels, Options, Worker};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tonic::Code;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const KEPT: Duration = Duration::from_secs(30 * 24 * 60 * 60);
const NAME: &str = "Zhao Qinglan-canary";
const PHONE: &str = "+86 138 0013 8000";

fn contact() -> ContactData {
    ContactData { name: NAME.to_owned(), phone: PHONE.to_owned() }
}

fn keeping(folder: &TempDir) -> ContactKeeping {
    let vault = Vault::open(folder.path().join("key"), *new_key(1)).unwrap();
    ContactKeeping { vault: Arc::new(vault), kept: KEPT }
}

fn new_key(n: u8) -> Box<[u8; 32]> {
    Box::new([n; 32])
}

/// A server that keeps contact data, with two areas and a request in the first.
struct Town {
    server: TestServer,
    north: AreaId,
    south: AreaId,
    dwelling: RecordId,
    request: RecordId,
    files: TempDir,
}

impl Town {
    async fn on(database: &TestDatabase) -> Self {
        let files = tempfile::tempdir().unwrap();
        let contacts = Some(keeping(&files));
        let server = TestServer::start_with(database, |config: &mut Config| config.contacts = contacts).await;
        let north = server.area("North", None).await;
        let south = server.area("South", None).await;
        let dwelling = server.dwelling(north, "4-2-301").await;
        let request = server.add(north, Body::Request(leak(dwelling))).await;
        Self { server, north, south, dwelling, request, files }
    }

    async fn phone_of(&self, worker: Option<RecordId>) -> Peer {
        let code = self
            .server
            .code_for(v1::CreateCodeRequest {
                role: v1::Role::Field.into(),
                areas: vec![self.north.to_string()],
                worker: worker.map(|id| id.to_string()).unwrap_or_default(),
                ..v1::CreateCodeRequest::default()
            })
            .await;
        Peer::enrol(self.server.channel().await, self.server.clock.clone(), &code).await.unwrap()
    }

    /// The backup of contact data is restored, and the server that starts with it erases it again.
    async fn brings_none_back(self, database: &TestDatabase) {
        database.execute("INSERT INTO contacts SELECT * FROM backup; DROP TABLE backup").await.unwrap();
        assert!(self.server.store.has_contact(self.request).await.unwrap());
        let Self { server, request, files, .. } = self;
        let server = server.restart().await;
        assert!(!server.store.has_contact(request).await.unwrap());
        server.stop().await;
        drop(files);
    }

    /// The file `phone`, enrolled for North.
    async fn device(&self) -> Device {
        let mut device = Device::open(self.files.path().join("phone")).unwrap();
        let code = self.server.code(Role::Field, &[self.north]).await;
        enrol(&mut device, &self.server.url(), None, &code, "phone").await.unwrap();
        device
    }

    async fn give(&self) {
        put(&self.server.admin, self.request, &contact()).await.unwrap();
    }

    async fn take_back(&self) {
        put(&self.server.admin, self.request, &ContactData::default()).await.unwrap();
    }

    async fn steps(&self, stages: &[&str]) {
        for to in stages {
            self.step(self.request, to).await;
        }
    }

    async fn step(&self, request: RecordId, to: &str) {
        let step = Step { to: to.to_owned(), reason: "so it is".to_owned(), ..Step::default() };
        self.act(Act::step(request, self.north, Kind::Request, step)).await;
    }

    async fn delete(&self, request: RecordId) {
        let delete = Action::Delete { reason: "entered twice".to_owned() };
        self.act(Act::on(request, self.north, Kind::Request, delete)).await;
    }

    async fn act(&self, act: Act) {
        let verdicts = self.server.admin.change(vec![act.op(&self.server.clock)]).await;
        assert_eq!(verdicts[0].outcome(), v1::Outcome::Applied, "{verdicts:?}");
        self.server.clock.advance(Duration::from_secs(1));
    }

    /// A worker starts, does what is due, and stops.
    async fn work(&self) {
        let worker = self.worker().await;
        assert_eq!(worker.drained().await.unwrap(), 0);
        worker.stop().await;
    }

    async fn worker(&self) -> Worker {
        let store = &self.server.store;
        let channels = Channels::new(ChannelOptions {
            link_key: store.link_key([0; 32]).await.unwrap(),
            public_url: Some("https://rounds.example.org".to_owned()),
            mail: None,
            language: rounds_domain::Language::English,
            allow_private_hooks: false,
            trusted_certificates: None,
            answer_time: Duration::from_secs(1),
        });
        let options = Options {
            contacts: Some(keeping(&self.files)),
            channels: Some(Arc::new(channels.unwrap())),
            look_every: Duration::from_millis(10),
            ..Options::new(new_id())
        };
        let clock = self.server.clock.clone();
        Worker::start(store.clone(), Arc::new(move || clock.now_ms()), options).await.unwrap()
    }
}

fn leak(dwelling: RecordId) -> body::Request {
    body::Request {
        subject: Some(dwelling),
        category: "water".to_owned(),
        channel: "visit".to_owned(),
        description: "The pipe leaks.".to_owned(),
        ..body::Request::default()
    }
}

async fn put(peer: &Peer, request: RecordId, contact: &ContactData) -> Result<(), tonic::Status> {
    put_with(peer, request, contact, "").await
}

async fn put_with(
    peer: &Peer,
    request: RecordId,
    contact: &ContactData,
    key: &str,
) -> Result<(), tonic::Status> {
    let ContactData { name, phone } = contact.clone();
    let contact = Some(v1::Contact { name, phone });
    let (request, idempotency_key) = (request.to_string(), key.to_owned());
    peer.contacts().put_contact(v1::PutContactRequest { request, contact, idempotency_key }).await?;
    Ok(())
}

async fn read(peer: &Peer, request: RecordId) -> Result<Option<ContactData>, tonic::Status> {
    let answer =
        peer.contacts().read_contact(v1::ReadContactRequest { request: request.to_string() }).await?;
    Ok(answer.into_inner().contact.map(|v1::Contact { name, phone }| ContactData { name, phone }))
}

async fn code(peer: &Peer, request: RecordId) -> Code {
    read(peer, request).await.map_or_else(|status| status.code(), |_| Code::Ok)
}

/// All rows of all tables, as text; bytes are in hexadecimal.
async fn dump(database: &TestDatabase, store: &Store) -> String {
    let mut dump = String::new();
    if database.is_postgres() {
        let tables = "SELECT quote_ident(schemaname) || '.' || quote_ident(tablename) FROM pg_tables
                      WHERE schemaname NOT IN ('pg_catalog', 'information_schema')";
        for table in database.texts(store, tables).await.unwrap() {
            let rows = database.texts(store, &format!("SELECT t::text FROM {table} AS t")).await.unwrap();
            dump.push_str(&format!("{table}\n{}\n", rows.join("\n")));
        }
        return dump.to_lowercase();
    }
    let tables = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'";
    for table in database.texts(store, tables).await.unwrap() {
        let names = format!("SELECT 'quote(\"' || name || '\")' FROM pragma_table_info('{table}')");
        let columns = database.texts(store, &names).await.unwrap().join(" || ' ' || ");
        let rows = database.texts(store, &format!("SELECT {columns} FROM \"{table}\"")).await.unwrap();
        dump.push_str(&format!("{table}\n{}\n", rows.join("\n")));
    }
    dump.to_lowercase()
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Neither as text nor as bytes.
fn assert_no_canary(dump: &str) {
    for canary in [NAME, PHONE] {
        assert!(!dump.contains(&canary.to_lowercase()), "{canary} is readable");
        assert!(!dump.contains(&hexadecimal(canary.as_bytes())), "{canary} is readable");
    }
}

/// The bytes of the files of a SQLite database.
fn files_of(database: &TestDatabase) -> Vec<u8> {
    let path = database.url().strip_prefix("sqlite:").unwrap();
    let files = ["", "-wal"].map(|end| PathBuf::from(format!("{path}{end}")));
    files.iter().flat_map(|file| std::fs::read(file).unwrap_or_default()).collect()
}

fn holds(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

/// What the database has of the key, and what is encrypted with it.
async fn stored(database: &TestDatabase, store: &Store) -> Vec<String> {
    let hex = |column| match database.is_postgres() {
        true => format!("encode({column}, 'hex')"),
        false => format!("lower(hex({column}))"),
    };
    let sql = format!("SELECT {} || ' ' || {} FROM contacts", hex("half"), hex("sealed"));
    let rows = database.texts(store, &sql).await.unwrap();
    rows.iter().flat_map(|row| row.split(' ')).map(str::to_owned).collect()
}

fn bytes(hexadecimal: &str) -> Vec<u8> {
    (0..hexadecimal.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&hexadecimal[at..at + 2], 16).unwrap())
        .collect()
}

on_both_databases! {
    async fn contact_data_is_read_by_those_who_handle_the_request(database: &TestDatabase) {
        let town = Town::on(database).await;
        town.give().await;
        let named = |name: &str| Body::Worker(body::Worker { name: name.to_owned(), ..body::Worker::default() });
        let lin = town.server.add(town.north, named("Lin")).await;
        let wu = town.server.add(town.north, named("Wu")).await;
        let group = body::Group { name: "Pipes".into(), skill: "property".into(), members: vec![wu] };
        let group = town.server.add(town.north, Body::Group(group)).await;
        let due_at_ms = Some(town.server.clock.now_ms() + 1_000_000);
        let (phone_of_lin, phone_of_wu) = (town.phone_of(Some(lin)).await, town.phone_of(Some(wu)).await);
        let nobody = town.phone_of(None).await;
        let coordinator = town.server.enrol(Role::Coordinator, &[town.north]).await;
        let supervisor = town.server.enrol(Role::Supervisor, &[town.north]).await;
        let elsewhere = town.server.enrol(Role::Coordinator, &[town.south]).await;
        let partner = body::Organization { name: "Water Company".into(), ..body::Organization::default() };
        let partner = town.server.add(town.north, Body::Organization(partner)).await;
        let peer_of_partner = town.server.enrol_partner(partner, &[town.north]).await;
        town.steps(&["triaged"]).await;
        let step = Step { to: "referred".into(), organization: Some(partner), due_at_ms, ..Step::default() };
        let act = Act::step(town.request, town.north, Kind::Request, step);
        town.server.admin.change(vec![act.op(&town.server.clock)]).await;

        assert_eq!(read(&coordinator, town.request).await.unwrap(), Some(contact()));
        assert_eq!(code(&nobody, town.request).await, Code::PermissionDenied);
        assert_eq!(code(&supervisor, town.request).await, Code::PermissionDenied);
        assert_eq!(code(&peer_of_partner, town.request).await, Code::PermissionDenied, "though it was referred to it");
        assert_eq!(code(&elsewhere, town.request).await, Code::NotFound);
        assert_eq!(code(&coordinator, town.dwelling).await, Code::NotFound, "is no request");

        for (phone, given) in [(&phone_of_lin, (Some(lin), None)), (&phone_of_wu, (None, Some(group)))] {
            assert_eq!(code(phone, town.request).await, Code::PermissionDenied, "nothing was given to it yet");
            let follow_up = body::FollowUp {
                source: Some(town.request),
                sort: "verification".to_owned(),
                due_at_ms,
                worker: given.0,
                group: given.1,
                ..body::FollowUp::default()
            };
            let follow_up = town.server.add(town.north, Body::FollowUp(follow_up)).await;
            assert_eq!(read(phone, town.request).await.unwrap(), Some(contact()));
            let done = Step { to: "done".to_owned(), ..Step::default() };
            let act = Act::step(follow_up, town.north, Kind::FollowUp, done);
            town.server.admin.change(vec![act.op(&town.server.clock)]).await;
            assert_eq!(code(phone, town.request).await, Code::PermissionDenied, "it is done");
        }
        let reads = AuditFilter { action: Some(AuditAction::ContactRead), limit: 100, ..AuditFilter::default() };
        let read_by: Vec<_> =
            town.server.store.audit_entries(&reads).await.unwrap().iter().map(|entry| entry.device.unwrap()).collect();
        assert_eq!(read_by, [coordinator.id, phone_of_lin.id, phone_of_wu.id], "every read is on record, and no more");

        let follow_up = body::FollowUp {
            source: Some(town.request),
            sort: "verification".to_owned(),
            due_at_ms,
            group: Some(group),
            ..body::FollowUp::default()
        };
        town.server.add(town.north, Body::FollowUp(follow_up)).await;
        assert_eq!(read(&phone_of_wu, town.request).await.unwrap(), Some(contact()));
        let delete = Action::Delete { reason: "split up".to_owned() };
        town.act(Act::on(group, town.north, Kind::Group, delete)).await;
        assert_eq!(code(&phone_of_wu, town.request).await, Code::PermissionDenied, "the group is no more");

        assert_eq!(put(&supervisor, town.request, &contact()).await.unwrap_err().code(), Code::PermissionDenied);
        assert_eq!(put(&peer_of_partner, town.request, &contact()).await.unwrap_err().code(), Code::PermissionDenied);
        assert_eq!(put(&elsewhere, town.request, &contact()).await.unwrap_err().code(), Code::NotFound);
        put(&nobody, town.request, &ContactData { name: "Zhao".into(), ..contact() }).await.unwrap();
        assert_eq!(read(&coordinator, town.request).await.unwrap().unwrap().name, "Zhao");
        town.server.stop().await;
    }

    async fn what_is_taken_back_is_gone_though_it_was_given_by_a_clock_that_is_ahead(database: &TestDatabase) {
        let town = Town::on(database).await;
        let now_ms = town.server.clock.now_ms();
        town.server.clock.set(now_ms + 5_000); // that of another server
        town.give().await;
        town.server.clock.set(now_ms);
        put(&town.server.admin, town.request, &ContactData::default()).await.unwrap();
        assert_eq!(read(&town.server.admin, town.request).await.unwrap(), None);
        town.server.stop().await;
    }

    async fn what_is_given_after_an_erasure_stays_though_the_clock_was_set_back(database: &TestDatabase) {
        let town = Town::on(database).await;
        town.give().await;
        town.take_back().await;
        town.server.clock.set(town.server.clock.now_ms() - 5_000); // that of another server
        town.give().await;
        town.work().await;
        assert_eq!(read(&town.server.admin, town.request).await.unwrap(), Some(contact()));
        town.server.stop().await;
    }

    async fn what_is_given_while_what_was_there_is_erased_stays(database: &TestDatabase) {
        let town = Town::on(database).await;
        town.give().await;
        // Somebody gives it when the erasure has seen what there is, and erased nothing yet.
        let again = format!(
            "UPDATE contacts SET put_ms = put_ms + 1;
             INSERT INTO contact_puts (request, key, put_ms) SELECT request, {}, put_ms FROM contacts;",
            database.literal(new_id())
        );
        let trigger = if database.is_postgres() {
            format!("CREATE FUNCTION given() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN {again} RETURN NEW; END$$;
                     CREATE TRIGGER given AFTER INSERT ON audit FOR EACH ROW EXECUTE FUNCTION given()")
        } else {
            format!("CREATE TRIGGER given AFTER INSERT ON audit BEGIN {again} END")
        };
        database.execute(&trigger).await.unwrap();
        let (store, keeping) = (&town.server.store, keeping(&town.files));
        store.erase_contacts(&keeping.vault, &[town.request], None, town.server.clock.now_ms()).await.unwrap();
        database.execute(&format!("DROP TRIGGER given{}", if database.is_postgres() { " ON audit" } else { "" })).await.unwrap();
        town.work().await;
        assert_eq!(read(&town.server.admin, town.request).await.unwrap(), Some(contact()));
        town.take_back().await;
        assert_eq!(read(&town.server.admin, town.request).await.unwrap(), None);
        town.server.stop().await;
    }

    async fn what_is_sent_again_neither_comes_back_nor_takes_anything_away(database: &TestDatabase) {
        let town = Town::on(database).await;
        let (admin, store) = (&town.server.admin, &town.server.store);
        let [given, taken] = [new_id(), new_id()].map(|key| key.to_string());
        let other = ContactData { name: "Zhao".to_owned(), ..contact() };
        put_with(admin, town.request, &contact(), &given).await.unwrap();
        put(admin, town.request, &other).await.unwrap();
        put_with(admin, town.request, &contact(), &given).await.unwrap();
        assert_eq!(read(admin, town.request).await.unwrap(), Some(other.clone()), "the answer was lost, not the other one");
        put_with(admin, town.request, &ContactData::default(), &taken).await.unwrap();
        put_with(admin, town.request, &contact(), &given).await.unwrap();
        assert!(!store.has_contact(town.request).await.unwrap(), "taken back is taken back");
        put(admin, town.request, &other).await.unwrap();
        put_with(admin, town.request, &ContactData::default(), &taken).await.unwrap();
        assert_eq!(read(admin, town.request).await.unwrap(), Some(other), "given since");
        let puts = AuditFilter { action: Some(AuditAction::ContactPut), limit: 10, ..AuditFilter::default() };
        assert_eq!(store.audit_entries(&puts).await.unwrap().len(), 3, "what changes nothing is not on record");
        let wrong = put_with(admin, town.request, &contact(), "seven").await.unwrap_err();
        assert_eq!(wrong.code(), Code::InvalidArgument);
        town.server.stop().await;
    }

    async fn whoever_records_the_same_request_after_another_did_not_raise_it(database: &TestDatabase) {
        let town = Town::on(database).await;
        let (mut raiser, mut other) = (town.phone_of(None).await, town.phone_of(None).await);
        town.server.clock.advance(Duration::from_secs(60 * 60));
        let raised = Act::create(town.north, Body::Request(leak(town.dwelling)));
        let id = raised.record();
        assert_eq!(raiser.act(vec![raised.clone()]).await[0].outcome(), v1::Outcome::Applied);
        put(&raiser, id, &contact()).await.unwrap();

        // The same again, by a clock that is behind: in the order of the ops it would come first.
        let mut same = raised.op(&town.server.clock);
        same.clock.wall_ms -= 30 * 60 * 1_000;
        let same = other.seal_op(&same);
        town.server.clock.advance(Duration::from_secs(1));
        other.send(vec![same]).await.unwrap();
        let created = town.server.store.record(id).await.unwrap().unwrap().record.created;
        assert_eq!(created.op.device, other.id, "so says the record");
        assert_eq!(code(&other, id).await, Code::PermissionDenied);
        assert_eq!(read(&raiser, id).await.unwrap(), Some(contact()));

        // From other areas, contact data comes from whoever raised it alone.
        for phone in [&raiser, &other] {
            let areas = vec![town.south.to_string()];
            let request = v1::AssignRequest { device: phone.id.to_string(), areas };
            town.server.admin.devices().assign(request).await.unwrap();
        }
        put(&raiser, id, &contact()).await.unwrap();
        assert_eq!(put(&other, id, &contact()).await.unwrap_err().code(), Code::NotFound);
        town.server.stop().await;
    }

    async fn no_name_is_readable_in_the_database_and_nothing_is_left_when_its_time_is_over(database: &TestDatabase) {
        let town = Town::on(database).await;
        town.give().await;
        let partner = body::Organization {
            name: "Water Company".into(),
            email: "desk@example.org".into(),
            ..body::Organization::default()
        };
        let partner = town.server.add(town.north, Body::Organization(partner)).await;
        town.steps(&["triaged"]).await;
        let due_at_ms = Some(town.server.clock.now_ms() + 1_000_000);
        let step = Step { to: "referred".into(), organization: Some(partner), due_at_ms, ..Step::default() };
        let act = Act::step(town.request, town.north, Kind::Request, step);
        town.server.admin.change(vec![act.op(&town.server.clock)]).await;
        town.work().await;
        assert_eq!(read(&town.server.admin, town.request).await.unwrap(), Some(contact()));
        let before = dump(database, &town.server.store).await;
        let kept = stored(database, &town.server.store).await;
        assert!(kept.len() == 2 && kept.iter().all(|part| before.contains(part)), "what is encrypted is there");
        assert_no_canary(&before);

        town.steps(&["resolved", "verified", "closed"]).await;
        town.server.clock.advance(KEPT - DAY);
        town.work().await;
        assert_eq!(read(&town.server.admin, town.request).await.unwrap(), Some(contact()), "a day is left");
        town.server.clock.advance(DAY);
        town.work().await;
        assert_eq!(read(&town.server.admin, town.request).await.unwrap(), None);
        let after = dump(database, &town.server.store).await;
        assert!(after.contains(&town.request.to_string()), "the request stays");
        assert!(kept.iter().all(|part| !after.contains(part)), "neither key nor what it encrypted");
        assert_no_canary(&after);
        if !database.is_postgres() {
            let files = files_of(database);
            assert!(kept.iter().all(|part| !holds(&files, &bytes(part))), "nor in the room that it left");
        }
        let erased = AuditFilter {
            action: Some(AuditAction::ContactErased),
            subject: Some(town.request.to_string()),
            limit: 10,
            ..AuditFilter::default()
        };
        assert_eq!(town.server.store.audit_entries(&erased).await.unwrap().len(), 1);
        let refused = put(&town.server.admin, town.request, &contact()).await.unwrap_err();
        assert_eq!((refused.code(), reason(&refused).as_str()), (Code::FailedPrecondition, "REQUEST_CLOSED"));
        town.server.stop().await;
    }

    async fn contact_data_of_a_rejected_and_of_a_deleted_request_goes(database: &TestDatabase) {
        let town = Town::on(database).await;
        let store = &town.server.store;
        town.give().await;
        town.steps(&["rejected"]).await;
        town.server.clock.advance(KEPT);
        town.work().await;
        assert!(!store.has_contact(town.request).await.unwrap());

        let deleted = town.server.add(town.north, Body::Request(leak(town.dwelling))).await;
        put(&town.server.admin, deleted, &contact()).await.unwrap();
        town.delete(deleted).await;
        assert_eq!(code(&town.server.admin, deleted).await, Code::NotFound, "before it is erased");
        town.work().await;
        assert!(!store.has_contact(deleted).await.unwrap(), "at once");
        town.server.stop().await;
    }

    async fn a_request_that_is_opened_again_in_time_keeps_its_contact_data(database: &TestDatabase) {
        let town = Town::on(database).await;
        town.give().await;
        town.steps(&["rejected"]).await;
        town.server.clock.advance(KEPT - DAY);
        town.steps(&["open"]).await;
        town.server.clock.advance(KEPT * 2);
        town.work().await;
        assert_eq!(read(&town.server.admin, town.request).await.unwrap(), Some(contact()));
        town.server.stop().await;
    }

    async fn a_request_that_cannot_be_read_keeps_no_contact_data_of_others(database: &TestDatabase) {
        let town = Town::on(database).await;
        let store = &town.server.store;
        town.give().await;
        let other = town.server.add(town.north, Body::Request(leak(town.dwelling))).await;
        put(&town.server.admin, other, &contact()).await.unwrap();
        town.step(other, "rejected").await;
        let damaged = database.literal(town.request.0);
        database.execute(&format!("UPDATE records SET body = '{{' WHERE id = {damaged}")).await.unwrap();
        town.server.clock.advance(KEPT);
        let keeping = keeping(&town.files);
        assert_eq!(store.erase_due_contacts(&keeping, town.server.clock.now_ms()).await.unwrap(), 1);
        assert!(!store.has_contact(other).await.unwrap());
        assert!(store.has_contact(town.request).await.unwrap(), "nobody knows whether it is over");
        town.server.stop().await;
    }

    async fn contact_data_that_was_given_without_a_key_can_be_erased(database: &TestDatabase) {
        migrate(database, 11).await;
        let request = RecordId(new_id());
        let bytes = if database.is_postgres() { r"'\x00'" } else { "x'00'" };
        let values = format!("({}, {bytes}, {bytes}, 1)", database.literal(request.0));
        let sql = format!("INSERT INTO contacts (request, half, sealed, put_ms) VALUES {values}");
        database.execute(&sql).await.unwrap();
        let (store, folder) = (database.open().await, tempfile::tempdir().unwrap());
        store.erase_contacts(&keeping(&folder).vault, &[request], None, 2).await.unwrap();
        assert!(!store.has_contact(request).await.unwrap());
        store.close().await;
    }

    async fn contact_data_goes_in_time_though_something_else_cannot_be_forgotten(database: &TestDatabase) {
        let town = Town::on(database).await;
        town.give().await;
        town.steps(&["rejected"]).await;
        town.server.clock.advance(KEPT);
        database.execute("ALTER TABLE job_runs RENAME TO mislaid").await.unwrap();
        let worker = town.worker().await;
        assert!(!town.server.store.has_contact(town.request).await.unwrap());
        database.execute("ALTER TABLE mislaid RENAME TO job_runs").await.unwrap();
        assert_eq!(worker.drained().await.unwrap(), 0);
        worker.stop().await;
        town.server.stop().await;
    }

    async fn a_restored_backup_brings_nothing_back_that_was_erased_since(database: &TestDatabase) {
        let town = Town::on(database).await;
        town.give().await;
        database.execute("CREATE TABLE backup AS SELECT * FROM contacts").await.unwrap();
        town.server.clock.advance(DAY);
        town.take_back().await;
        assert_eq!(read(&town.server.admin, town.request).await.unwrap(), None, "taken back");
        database.execute("INSERT INTO contacts SELECT * FROM backup; DROP TABLE backup").await.unwrap();
        assert!(town.server.store.has_contact(town.request).await.unwrap());

        let Town { server, request, files, .. } = town;
        let server = server.restart().await;
        assert_eq!(read(&server.admin, request).await.unwrap(), None, "before anybody could ask");
        server.clock.advance(DAY);
        put(&server.admin, request, &contact()).await.unwrap();
        let server = server.restart().await;
        assert_eq!(read(&server.admin, request).await.unwrap(), Some(contact()), "what was given later stays");
        server.stop().await;
        drop(files);
    }

    async fn what_was_erased_twice_is_not_brought_back_by_a_backup_from_between(database: &TestDatabase) {
        let town = Town::on(database).await;
        town.give().await;
        town.server.clock.advance(DAY);
        town.take_back().await;
        town.server.clock.advance(DAY);
        town.give().await;
        database.execute("CREATE TABLE backup AS SELECT * FROM contacts").await.unwrap();
        town.server.clock.advance(DAY);
        town.take_back().await;
        town.brings_none_back(database).await;
    }

    async fn an_erasure_behind_a_line_that_was_cut_short_is_found_all_the_same(database: &TestDatabase) {
        let town = Town::on(database).await;
        town.give().await;
        let other = town.server.add(town.north, Body::Request(leak(town.dwelling))).await;
        put(&town.server.admin, other, &contact()).await.unwrap();
        database.execute("CREATE TABLE backup AS SELECT * FROM contacts").await.unwrap();
        town.server.clock.advance(DAY);
        put(&town.server.admin, other, &ContactData::default()).await.unwrap();
        let key = std::fs::OpenOptions::new().write(true).open(town.files.path().join("key")).unwrap();
        key.set_len(key.metadata().unwrap().len() - 5).unwrap(); // the end of the line, and of its time
        drop(key);
        put(&town.server.admin, town.request, &ContactData::default()).await.unwrap();
        town.brings_none_back(database).await;
    }

    async fn the_key_file_says_when_what_was_erased_was_given_and_when_it_was_erased(database: &TestDatabase) {
        let town = Town::on(database).await;
        let given_ms = town.server.clock.now_ms();
        town.give().await;
        town.server.clock.advance(DAY);
        town.take_back().await;
        let file = town.files.path().join("key");
        let mut lines = std::fs::read_to_string(&file).unwrap();
        let erased_ms = town.server.clock.now_ms();
        let last = format!("erased {} {given_ms} {erased_ms}", town.request);
        assert_eq!(lines.lines().last().unwrap(), last);

        // Lines of before have one time.
        town.server.clock.advance(DAY);
        town.give().await;
        let again_ms = town.server.clock.now_ms();
        lines.push_str(&format!("erased {} {again_ms}\n", town.request));
        std::fs::write(&file, lines).unwrap();
        let store = &town.server.store;
        assert_eq!(store.erase_due_contacts(&keeping(&town.files), again_ms).await.unwrap(), 1);
        assert!(!store.has_contact(town.request).await.unwrap());
        town.server.stop().await;
    }

    async fn whoever_takes_contact_data_back_is_on_record(database: &TestDatabase) {
        let town = Town::on(database).await;
        town.give().await;
        let phone = town.phone_of(None).await;
        put(&phone, town.request, &ContactData::default()).await.unwrap();
        let erased = AuditFilter { action: Some(AuditAction::ContactErased), limit: 10, ..AuditFilter::default() };
        let noted = town.server.store.audit_entries(&erased).await.unwrap();
        assert_eq!(noted.len(), 1);
        assert_eq!((noted[0].device, noted[0].role.as_str()), (Some(phone.id), "field"));
        assert_eq!(noted[0].subject, town.request.to_string());
        town.server.stop().await;
    }

    async fn an_erasure_does_not_wait_for_who_reads_an_old_state(database: &TestDatabase) {
        let town = Town::on(database).await;
        town.give().await;
        let store = &town.server.store;
        let mut snapshot = store.snapshot().await.unwrap();
        snapshot.page(Kind::Request, town.north, None, None, 10).await.unwrap();
        let begin = Instant::now();
        put(&town.server.admin, town.request, &ContactData::default()).await.unwrap();
        assert!(begin.elapsed() < Duration::from_secs(8), "SQLite would wait for ten seconds");
        drop(snapshot);
        assert_eq!(read(&town.server.admin, town.request).await.unwrap(), None);
        town.server.stop().await;
    }

    async fn a_database_is_opened_with_the_key_file_that_it_was_filled_with(database: &TestDatabase) {
        let town = Town::on(database).await;
        town.give().await;
        let store = &town.server.store;
        let other = Vault::open(town.files.path().join("other"), *new_key(2)).unwrap();
        let told = store.bind_contact_key(&other).await.unwrap_err().to_string();
        assert!(told.contains("other") && told.contains("rounds contacts reset"), "{told}");
        store.contact(&other, town.request).await.unwrap_err();
        let same = Vault::open(town.files.path().join("key"), *new_key(3)).unwrap();
        store.bind_contact_key(&same).await.unwrap();
        assert_eq!(store.contact(&same, town.request).await.unwrap(), Some(contact()), "a file keeps its key");

        assert_eq!(store.reset_contacts().await.unwrap(), 1);
        store.bind_contact_key(&other).await.unwrap();
        assert!(!store.has_contact(town.request).await.unwrap());
        town.server.stop().await;
    }

    async fn what_was_encrypted_for_one_request_is_not_that_of_another(database: &TestDatabase) {
        let town = Town::on(database).await;
        town.give().await;
        let other = town.server.add(town.north, Body::Request(leak(town.dwelling))).await;
        let id = match database.is_postgres() {
            true => format!("'{other}'"),
            false => format!("x'{}'", other.0.simple()),
        };
        database.execute(&format!("UPDATE contacts SET request = {id}")).await.unwrap();
        assert_eq!(code(&town.server.admin, other).await, Code::Internal);
        town.server.stop().await;
    }

    async fn without_its_half_in_the_row_nothing_can_be_read(database: &TestDatabase) {
        let town = Town::on(database).await;
        town.give().await;
        let half = "07".repeat(32);
        let half = match database.is_postgres() {
            true => format!("'\\x{half}'"),
            false => format!("x'{half}'"),
        };
        database.execute(&format!("UPDATE contacts SET half = {half}")).await.unwrap();
        assert_eq!(code(&town.server.admin, town.request).await, Code::Internal);
        town.server.stop().await;
    }

    async fn a_page_shows_contact_data_to_those_who_handle_the_request_when_they_ask(database: &TestDatabase) {
        let town = Town::on(database).await;
        let page_of = async |cookie: &str| {
            let request = Request::get(format!("/record/{}", town.request)).header("host", "localhost");
            let answer = http(&town.server, request.header(COOKIE, cookie).body(Full::default()).unwrap()).await;
            (answer.status(), String::from_utf8(answer.body().to_vec()).unwrap())
        };
        let ask = async |cookie: &str, origin: &str| {
            let request = Request::post(format!("/record/{}/contact", town.request))
                .header("host", "localhost")
                .header(ORIGIN, origin)
                .header(COOKIE, cookie);
            let answer = http(&town.server, request.body(Full::default()).unwrap()).await;
            (answer.status(), String::from_utf8(answer.body().to_vec()).unwrap())
        };
        let button = format!("action=\"/record/{}/contact\"", town.request);
        let coordinator = browser(&town, Role::Coordinator).await;
        let supervisor = browser(&town, Role::Supervisor).await;
        assert!(!page_of(&coordinator).await.1.contains(&button), "nobody said how to reach them");
        town.give().await;
        let (_, page) = page_of(&coordinator).await;
        assert!(page.contains(&button) && page.contains("Show contact") && !page.contains(NAME), "{page}");
        assert!(!page_of(&supervisor).await.1.contains(&button));

        assert_eq!(ask(&supervisor, "http://localhost").await.0, StatusCode::FORBIDDEN);
        assert_eq!(ask(&coordinator, "http://elsewhere.example").await.0, StatusCode::FORBIDDEN);
        let reads = AuditFilter { action: Some(AuditAction::ContactRead), limit: 10, ..AuditFilter::default() };
        assert_eq!(town.server.store.audit_entries(&reads).await.unwrap(), [], "nobody has read it yet");
        let (status, page) = ask(&coordinator, "http://localhost").await;
        assert_eq!(status, StatusCode::OK, "{page}");
        assert!(page.contains(NAME) && page.contains(PHONE), "{page}");
        assert_eq!(town.server.store.audit_entries(&reads).await.unwrap().len(), 1);
        town.server.stop().await;
    }
}

/// The cookie of a browser that signed in with this role for North.
async fn browser(town: &Town, role: Role) -> String {
    let code = town.server.code(role, &[town.north]).await;
    let form = format!("code={code}&label=Browser&to=/");
    let request = Request::post("/sign-in")
        .header("host", "localhost")
        .header(ORIGIN, "http://localhost")
        .header(CONTENT_TYPE, "application/x-www-form-urlencoded");
    let answer = http(&town.server, request.body(Full::from(form)).unwrap()).await;
    assert_eq!(answer.status(), StatusCode::SEE_OTHER, "{answer:?}");
    answer.headers()[SET_COOKIE].to_str().unwrap().split(';').next().unwrap().to_owned()
}

#[tokio::test]
async fn a_server_without_a_key_file_takes_no_contact_data() {
    let server = TestServer::start_on_sqlite().await;
    let area = server.area("North", None).await;
    let dwelling = server.dwelling(area, "4-2-301").await;
    let request = server.add(area, Body::Request(leak(dwelling))).await;
    for refused in
        [put(&server.admin, request, &contact()).await, read(&server.admin, request).await.map(|_| ())]
    {
        let refused = refused.unwrap_err();
        assert_eq!(
            (refused.code(), reason(&refused).as_str()),
            (Code::FailedPrecondition, "CONTACT_NOT_KEPT")
        );
    }
    server.stop().await;
}

#[tokio::test]
async fn contact_data_within_its_limits_is_taken_and_one_past_them_is_not() {
    let database = TestDatabase::sqlite().await;
    let town = Town::on(&database).await;
    let of = |name: usize, phone: usize| ContactData { name: "居".repeat(name), phone: "1".repeat(phone) };
    put(&town.server.admin, town.request, &of(200, 40)).await.unwrap();
    assert_eq!(read(&town.server.admin, town.request).await.unwrap(), Some(of(200, 40)));
    for bad in [of(201, 0), of(0, 41), ContactData { name: "a\nb".into(), phone: String::new() }] {
        let refused = put(&town.server.admin, town.request, &bad).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument);
        assert!(!refused.message().contains("居"), "what was sent is not repeated");
    }
    town.server.stop().await;
}

#[test]
fn a_file_that_is_no_key_file_is_refused_and_left_alone() {
    let files = tempfile::tempdir().unwrap();
    let path = files.path().join("letter");
    std::fs::write(&path, "Dear Rounds").unwrap();
    let told = Vault::open(&path, *new_key(1)).unwrap_err().to_string();
    assert!(told.contains("letter"), "{told}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "Dear Rounds");
    let told = Vault::open(files.path(), *new_key(1)).unwrap_err().to_string();
    assert!(told.contains("key file"), "{told}");
}

#[cfg(unix)]
#[test]
fn only_its_owner_can_read_a_new_key_file() {
    use std::os::unix::fs::PermissionsExt as _;
    let files = tempfile::tempdir().unwrap();
    let vault = Vault::open(files.path().join("key"), *new_key(1)).unwrap();
    let mode = std::fs::metadata(vault.path()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}
