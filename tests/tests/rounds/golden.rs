//! What every release wrote is read, and taken in, as it was then.

use prost::Message as _;
use rounds_device::{Device, Identity, Size};
use rounds_domain::{ClockReading, Kind, Role};
use rounds_proto::v1;
use rounds_store::{RecordFilter, Store};
use rounds_tests::golden::{Golden, GoldenOp, last_migration};
use rounds_tests::{Peer, TestDatabase, TestServer, assert_sound, on_both_databases};

/// The ops of the release as its phone sends them.
fn sealed(ops: &[GoldenOp]) -> Vec<v1::SealedOp> {
    ops.iter().map(|op| v1::SealedOp::decode(op.sealed.as_slice()).unwrap()).collect()
}

/// A phone of the release, in the hands of this test.
async fn phone_of(golden: &Golden, server: &TestServer) -> Peer {
    let phone = golden.phone();
    let peer = server.admin.clone();
    let mut peer = peer.with_token(phone.device.parse().unwrap(), &phone.token);
    peer.cursor = phone.cursor;
    peer
}

fn outcomes(answer: &v1::SyncResponse) -> Vec<String> {
    answer.verdicts.iter().map(|verdict| verdict.outcome().as_str_name().to_owned()).collect()
}

fn expected(ops: &[GoldenOp]) -> Vec<String> {
    ops.iter().map(|op| op.outcome.clone()).collect()
}

/// The database says of its records what it should, and the phone of the release goes on as if nothing had happened.
async fn assert_usable(golden: &Golden, database: &TestDatabase) {
    let server = TestServer::start(database).await;
    assert_sound(&server.store).await;
    assert_found(&server.store).await;
    let ops = golden.ops();
    let mut phone = phone_of(golden, &server).await;
    let answer = phone.send(sealed(&ops)).await.unwrap();
    assert_eq!(answer.standing(), v1::DeviceStanding::Good);
    assert_eq!(outcomes(&answer), expected(&ops), "a retry is answered as it was then");
    let mine = |item: &v1::FeedItem| matches!(&item.item, Some(v1::feed_item::Item::LeftArea(_)));
    assert!(!answer.feed.iter().any(mine), "its cursor is understood");
    phone.seq = ops.len() as u64;
    let place = server.dwelling(rounds_domain::AreaId(area_of(&ops)), "new").await;
    let verdicts = phone.act(vec![rounds_tests::visit(rounds_domain::AreaId(area_of(&ops)), place)]).await;
    assert_eq!(verdicts[0].outcome(), v1::Outcome::Applied, "{verdicts:?}");
    assert_sound(&server.store).await;
    server.stop().await;
}

/// The area of the second op, which creates it.
fn area_of(ops: &[GoldenOp]) -> uuid::Uuid {
    let op = v1::Op::decode(sealed(ops)[1].op.as_ref()).unwrap();
    op.area.parse().unwrap()
}

/// What is searched by columns that came with later migrations is found.
async fn assert_found(store: &Store) {
    let areas = store.areas().await.unwrap();
    let filter = |kind| RecordFilter::of(kind, areas.clone(), 1_000);
    let follow_ups = store.records(&filter(Kind::FollowUp)).await.unwrap();
    let due = RecordFilter { due_from_ms: Some(0), ..filter(Kind::FollowUp) };
    let due = store.records(&due).await.unwrap();
    assert!(!follow_ups.is_empty() && follow_ups.len() == due.len(), "by when they are due");
    let called_for = RecordFilter { due_from_ms: Some(0), ..filter(Kind::Notice) };
    let called_for = store.records(&called_for).await.unwrap();
    assert!(
        !called_for.is_empty()
            && store.records(&filter(Kind::Notice)).await.unwrap().len() == called_for.len()
    );
    let open = follow_ups.iter().find(|numbered| numbered.record.status == "open").unwrap();
    let assigned = store.assigned(open.record.reference("worker").unwrap(), 0, 100).await.unwrap();
    assert_eq!(assigned, std::slice::from_ref(&open.record), "by who does them");
}

on_both_databases! {
    async fn ops_of_every_release_become_what_they_became_then(database: &TestDatabase) {
        for golden in Golden::all() {
            let server = TestServer::start(database).await;
            // The phone has the name that it had, as its ops name each other.
            let phone = golden.phone();
            let known = server.enrol(Role::Admin, &[]).await;
            let (new, old) = match database.is_postgres() {
                true => (format!("'{}'", phone.device), format!("'{}'", known.id)),
                false => (format!("x'{}'", phone.device.replace('-', "")), format!("x'{}'", known.id.0.simple())),
            };
            // Enrolled when nothing had happened yet: nothing of a device is older than its enrolment.
            database
                .execute(&format!("UPDATE devices SET id = {new}, enrolled_ms = 0, last_at_ms = 0 WHERE id = {old}"))
                .await
                .unwrap();
            let token = known.token.clone();
            let mut peer = known.with_token(phone.device.parse().unwrap(), &token);
            let ops = golden.ops();
            let answer = peer.send(sealed(&ops)).await.unwrap();
            let became: Vec<_> = ops.iter().map(|op| &op.name).zip(outcomes(&answer)).collect();
            let then: Vec<_> = ops.iter().map(|op| &op.name).zip(expected(&ops)).collect();
            assert_eq!(became, then, "{}", golden.release());
            assert_sound(&server.store).await;
            for kind in Kind::ALL {
                let done = |action: &str| ops.iter().any(|op| op.name == format!("{action} {}", kind.name()));
                assert!(done("create"), "{kind:?} is in the samples");
                assert!(matches!(kind, Kind::Area | Kind::Checklist) || done("edit"), "{kind:?} is in the samples");
            }
            server.stop().await;
        }
    }

    async fn a_database_of_every_release_is_taken_over_as_it_is(database: &TestDatabase) {
        for golden in Golden::all() {
            golden.fill(database, golden.migration()).await;
            assert_usable(&golden, database).await;
        }
    }
}

/// A test for each migration: from a database that is so old.
macro_rules! from_each_migration {
    ($($name:ident: $migration:literal,)*) => {
        const TESTED: &[i64] = &[$($migration),*];
        $(
            mod $name {
                use super::*;

                async fn run(database: TestDatabase) {
                    for golden in Golden::all().iter().filter(|golden| golden.migration() >= $migration) {
                        golden.fill(&database, $migration).await;
                        assert_usable(golden, &database).await;
                    }
                }

                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn on_sqlite() {
                    run(TestDatabase::sqlite().await).await;
                }

                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn on_postgres() {
                    run(TestDatabase::postgres().await).await;
                }
            }
        )*
    };
}

from_each_migration! {
    a_database_with_one_migration_is_brought_up_to_date: 1,
    a_database_with_two_migrations_is_brought_up_to_date: 2,
    a_database_with_three_migrations_is_brought_up_to_date: 3,
    a_database_with_four_migrations_is_brought_up_to_date: 4,
    a_database_with_five_migrations_is_brought_up_to_date: 5,
    a_database_with_six_migrations_is_brought_up_to_date: 6,
    a_database_with_seven_migrations_is_brought_up_to_date: 7,
    a_database_with_eight_migrations_is_brought_up_to_date: 8,
    a_database_with_nine_migrations_is_brought_up_to_date: 9,
    a_database_with_ten_migrations_is_brought_up_to_date: 10,
    a_database_with_eleven_migrations_is_brought_up_to_date: 11,
    a_database_with_twelve_migrations_is_brought_up_to_date: 12,
}

#[test]
fn every_migration_but_the_last_is_one_that_a_database_is_brought_up_from() {
    let all: Vec<i64> = (1..last_migration()).collect();
    assert_eq!(TESTED, all, "there is a new migration: add a test for the one before it");
}

#[test]
fn what_every_release_sent_to_phones_is_understood_by_them() {
    for golden in Golden::all() {
        let files = tempfile::tempdir().unwrap();
        let mut device = Device::open(files.path().join("phone")).unwrap();
        let identity = Identity {
            device: rounds_domain::DeviceId(uuid::Uuid::from_u128(1)),
            token: "a token".to_owned(),
            role: Role::Field,
            worker: None,
            server_url: "https://rounds.example.org".to_owned(),
            ca_pem: None,
        };
        device.enrolled(identity).unwrap();
        let now = ClockReading { wall_ms: 1_795_334_400_000, boot: 1, monotonic_ms: 0 };
        let mut held = Vec::new();
        for bytes in golden.answers() {
            let answer = v1::SyncResponse::decode(bytes.as_slice()).unwrap();
            assert_eq!(answer.encode_to_vec(), bytes, "a field is gone, or has another number");
            let asked = device.request(now, Size::default()).unwrap();
            let items = answer.feed.len();
            let progress = device.take(&asked, answer).unwrap();
            assert_eq!((progress.unreadable, progress.pulled), (None, items));
            held.push(Kind::ALL.iter().map(|kind| device.list(*kind).unwrap().len()).collect::<Vec<_>>());
        }
        let of = |at: usize, kind: Kind| held[at][Kind::ALL.iter().position(|it| *it == kind).unwrap()];
        for &kind in Kind::ALL.iter().filter(|kind| **kind != Kind::Contract) {
            assert!(of(0, kind) > 0, "{kind:?} is in the samples");
        }
        assert_eq!(of(0, Kind::Contract), 0, "it was deleted");
        assert_eq!(of(1, Kind::Place), of(0, Kind::Place) + 1, "a place came back");
        assert_eq!(of(2, Kind::Place), of(0, Kind::Place), "and left again");
        assert_eq!(of(3, Kind::Visit), 0, "its area was taken from the phone");
    }
}

/// Decodes a request, and encodes it again.
fn again(method: &str, bytes: &[u8]) -> Vec<u8> {
    macro_rules! messages {
        ($($name:literal => $message:ident,)*) => {
            match method {
                $($name => v1::$message::decode(bytes).unwrap().encode_to_vec(),)*
                other => panic!("there is no method {other} any more"),
            }
        };
    }
    messages! {
        "SyncService/Sync" => SyncRequest,
        "SyncService/Watch" => WatchRequest,
        "DeviceService/Enrol" => EnrolRequest,
        "DeviceService/CreateCode" => CreateCodeRequest,
        "DeviceService/ListDevices" => ListDevicesRequest,
        "DeviceService/Revoke" => RevokeRequest,
        "DeviceService/Rotate" => RotateRequest,
        "DeviceService/Assign" => AssignRequest,
        "DeviceService/Fork" => ForkRequest,
        "DirectoryService/ListRecords" => ListRecordsRequest,
        "DirectoryService/GetRecord" => GetRecordRequest,
        "DirectoryService/Change" => ChangeRequest,
        "DirectoryService/ListTerms" => ListTermsRequest,
        "HistoryService/ListOps" => ListOpsRequest,
        "HistoryService/ListDisputes" => ListDisputesRequest,
        "HistoryService/ListQuarantine" => ListQuarantineRequest,
        "HistoryService/Release" => ReleaseRequest,
        "SummaryService/Summarize" => SummarizeRequest,
        "SummaryService/ListBehind" => ListBehindRequest,
        "ContactService/PutContact" => PutContactRequest,
        "ContactService/ReadContact" => ReadContactRequest,
    }
}

#[test]
fn no_field_of_a_request_of_any_release_is_gone_or_has_another_number() {
    for golden in Golden::all() {
        for (method, bytes) in golden.requests() {
            assert_eq!(again(&method, &bytes), bytes, "{method} of {}", golden.release());
        }
    }
}
