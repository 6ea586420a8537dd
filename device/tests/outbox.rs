//! What is recorded is never lost, never cut, and sent in order.

#![allow(clippy::unwrap_used)] // a helper that fails is a test that fails

mod pretend;

use pretend::{
    Server, area, clock, device_id, enrolled, fields, id, path, place, request, step, sync, sync_once,
};
use rounds_device::{BATCH_BYTES_MAX, Device, Draft, Error, Next, Size, State};
use rounds_domain::limit::{BATCH_OPS_MAX, GROUP_OPS_MAX};
use rounds_domain::op::Step;
use rounds_domain::verdict::Reason;
use rounds_domain::{Action, Body, ContactData, Kind, OpId, Role};
use rounds_proto::v1;
use serde_json::{Value, json};
use std::fs;
use tempfile::TempDir;

fn new_place(n: u128) -> Draft {
    Draft::create(id(n), area(1), place(&format!("Building {n}")))
}

fn seqs(request: &v1::SyncRequest) -> Vec<(u64, u32)> {
    request.ops.iter().map(|sealed| (sealed.seq, sealed.followed_by)).collect()
}

/// The file and its log as they are now, without any good-bye: what a dead phone has.
fn killed(dir: &TempDir) -> TempDir {
    let dead = tempfile::tempdir().unwrap();
    for name in ["device.db", "device.db-wal"] {
        fs::copy(dir.path().join(name), dead.path().join(name)).unwrap();
    }
    dead
}

#[test]
fn what_is_recorded_survives_a_loss_of_power_at_any_moment() {
    let (dir, mut device) = enrolled(1);
    for n in 1..=20 {
        device.record(clock(n), vec![new_place(n as u128)]).unwrap();
        let dead = killed(&dir);
        let reopened = Device::open(path(&dead)).unwrap();
        assert_eq!(reopened.pending().unwrap().len(), n as usize);
        assert_eq!(reopened.list(Kind::Place).unwrap().len(), n as usize);
    }
}

#[test]
fn a_phone_that_died_keeps_no_contact_data_that_it_had_deleted() {
    let (dir, mut device) = enrolled(1);
    device.record(clock(1), vec![Draft::create(id(1), area(1), request("water"))]).unwrap();
    for name in ["Zhao Qinglan", "Somebody else"] {
        device.give_contact(id(1), &ContactData { name: name.to_owned(), ..Default::default() }).unwrap();
    }
    let dead = killed(&dir);
    let holds = |name: &str| {
        let files =
            ["device.db", "device.db-wal"].map(|file| fs::read(dead.path().join(file)).unwrap_or_default());
        files.iter().any(|bytes| bytes.windows(name.len()).any(|window| window == name.as_bytes()))
    };
    assert!(holds("Zhao Qinglan"), "the log has it");
    let reopened = Device::open(path(&dead)).unwrap();
    assert!(holds("Somebody else") && !holds("Zhao Qinglan"));
    drop(reopened);
}

#[test]
fn numbers_are_dense_and_go_on_after_reopening() {
    let (dir, mut device) = enrolled(1);
    assert_eq!(device.record(clock(1), vec![new_place(1), new_place(2)]).unwrap(), [1, 2]);
    drop(device);
    let mut device = Device::open(path(&dir)).unwrap();
    assert_eq!(device.record(clock(2), vec![new_place(3)]).unwrap(), [3]);
}

#[test]
fn two_hands_on_one_file_share_its_numbers() {
    let (dir, mut device) = enrolled(1);
    let mut other = Device::open(path(&dir)).unwrap();
    assert_eq!(device.record(clock(1), vec![new_place(1)]).unwrap(), [1]);
    assert_eq!(other.record(clock(1), vec![new_place(2)]).unwrap(), [2]);
    assert_eq!(device.record(clock(1), vec![new_place(3)]).unwrap(), [3]);
    assert_eq!(other.pending().unwrap(), device.pending().unwrap());
}

#[cfg(unix)]
#[test]
fn only_its_owner_can_read_the_file_with_the_token() {
    use std::os::unix::fs::PermissionsExt as _;
    let (dir, mut device) = enrolled(1);
    device.record(clock(1), vec![new_place(1)]).unwrap();
    for entry in fs::read_dir(dir.path()).unwrap() {
        let entry = entry.unwrap();
        assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{:?}", entry.path());
    }
}

#[test]
fn bad_input_is_told_at_the_door_and_leaves_nothing_behind() {
    let (_dir, mut device) = enrolled(1);
    let nameless = Draft::create(id(2), area(1), place(" "));
    let refused = device.record(clock(1), vec![new_place(1), nameless]).unwrap_err();
    assert_eq!(refused.to_string(), "op 1 of the group: INVALID: Place.name: is needed");
    let elsewhere = Draft { area: area(2), ..new_place(2) };
    let refused = device.record(clock(1), vec![new_place(1), elsewhere]).unwrap_err();
    assert!(matches!(refused, Error::Refused { at: 1, .. }), "{refused}");
    assert!(device.record(clock(1), vec![]).is_err());
    assert!(device.record(clock(1), (0..=GROUP_OPS_MAX as u128).map(new_place).collect()).is_err());
    assert_eq!(device.pending().unwrap(), []);
    assert_eq!(device.list(Kind::Place).unwrap(), []);
    assert_eq!(device.record(clock(1), (0..GROUP_OPS_MAX as u128).map(new_place).collect()).unwrap()[0], 1);
}

#[test]
fn what_the_role_forbids_is_told_at_the_door() {
    let dir = tempfile::tempdir().unwrap();
    let mut device = Device::open(path(&dir)).unwrap();
    device.enrolled(rounds_device::Identity { role: Role::Field, ..pretend::identity(1) }).unwrap();
    match device.record(clock(1), vec![new_place(1)]) {
        Err(Error::Refused { at: 0, refusal }) => assert_eq!(refused_words(&refusal), "FORBIDDEN"),
        other => panic!("{other:?}"),
    }
    fn refused_words(refusal: &rounds_domain::Refusal) -> &'static str {
        refusal.reason.as_str()
    }
}

#[test]
fn nothing_is_recorded_before_enrolment_and_nobody_enrols_twice() {
    let dir = tempfile::tempdir().unwrap();
    let mut device = Device::open(path(&dir)).unwrap();
    assert!(matches!(device.record(clock(1), vec![new_place(1)]), Err(Error::NotEnrolled)));
    assert!(matches!(device.request(clock(1), Size::default()), Err(Error::NotEnrolled)));
    device.enrolled(pretend::identity(1)).unwrap();
    match device.enrolled(pretend::identity(2)) {
        Err(Error::AlreadyEnrolled(device)) => assert_eq!(device, device_id(1)),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_group_says_how_many_follow_and_is_never_cut() {
    let (_dir, mut device) = enrolled(1);
    device.record(clock(1), vec![new_place(1)]).unwrap();
    device.record(clock(1), (2..=4).map(new_place).collect()).unwrap();
    device.record(clock(1), vec![new_place(5)]).unwrap();
    let sent = |ops_max| seqs(&device.request(clock(2), Size { ops_max, records_max: 0 }).unwrap().request);
    assert_eq!(sent(BATCH_OPS_MAX), [(1, 0), (2, 2), (3, 1), (4, 0), (5, 0)]);
    assert_eq!(sent(4), [(1, 0), (2, 2), (3, 1), (4, 0)]);
    for ops_max in 1..=3 {
        assert_eq!(sent(ops_max), [(1, 0)], "{ops_max}");
    }
}

#[test]
fn a_group_larger_than_the_size_is_sent_alone() {
    let (_dir, mut device) = enrolled(1);
    device.record(clock(1), (1..=4).map(new_place).collect()).unwrap();
    device.record(clock(1), vec![new_place(5)]).unwrap();
    let request = device.request(clock(2), Size { ops_max: 1, records_max: 7 }).unwrap().request;
    assert_eq!(seqs(&request), [(1, 3), (2, 2), (3, 1), (4, 0)]);
    assert_eq!((request.unsent_ops, request.holds_from, request.page_records_max), (5, 1, 7));
}

#[test]
fn a_batch_stays_within_its_limits() {
    let (_dir, mut device) = enrolled(1);
    for n in 0..BATCH_OPS_MAX as u128 / 50 + 1 {
        device.record(clock(1), (n * 50..n * 50 + 50).map(new_place).collect()).unwrap();
    }
    let request = device.request(clock(2), Size::default()).unwrap().request;
    assert_eq!(request.ops.len(), BATCH_OPS_MAX);
    assert_eq!(request.unsent_ops, BATCH_OPS_MAX as u64 + 50);

    let (_dir, mut device) = enrolled(2);
    let noted = |n: u128| {
        let note = "\u{5e7f}".repeat(4_000); // 12,000 bytes
        Draft::create(
            id(n),
            area(1),
            Body::Visit(rounds_domain::body::Visit {
                subject: Some(id(1)),
                purpose: "routine".to_owned(),
                outcome: "met".to_owned(),
                note,
                ..Default::default()
            }),
        )
    };
    for n in 0..10 {
        device.record(clock(1), (n * 50..n * 50 + 50).map(noted).collect()).unwrap();
    }
    let request = device.request(clock(2), Size::default()).unwrap().request;
    let bytes: usize = request.ops.iter().map(|sealed| sealed.op.len()).sum();
    assert!(bytes <= BATCH_BYTES_MAX && bytes > BATCH_BYTES_MAX - 50 * 13_000, "{bytes}");
    assert_eq!(request.ops.last().unwrap().followed_by, 0);
}

#[test]
fn an_op_tells_what_its_author_had_seen() {
    let mut server = Server::with(&[1, 2]);
    let (_dir, mut device) = enrolled(1);
    device.record(clock(5), vec![new_place(1)]).unwrap();
    sync(&mut device, &mut server);
    let (_dir, mut other) = enrolled(2);
    server.assign(2, &[1, 2]);
    sync(&mut other, &mut server);
    other.record(clock(7), vec![new_place(2)]).unwrap();
    let op = rounds_proto::decode_op(&other.request(clock(9), Size::default()).unwrap().request.ops[0].op)
        .unwrap();
    assert_eq!(op.observed, server.record(id(1)).unwrap().through.stamp);
    assert_eq!(op.scope_version, 2);
    assert_eq!(op.clock, clock(7));
}

#[test]
fn an_op_that_is_put_off_is_sent_again_before_those_behind_it() {
    let mut server = Server::with(&[1]);
    server.put_off = Some(id(2));
    let (_dir, mut device) = enrolled(1);
    for n in 1..=3 {
        device.record(clock(1), vec![new_place(n)]).unwrap();
    }
    assert_eq!(sync(&mut device, &mut server), Next::AskLater);
    let pending = device.pending().unwrap();
    let states: Vec<_> = pending.iter().map(|it| (it.op.seq, it.state, it.reason.as_str())).collect();
    assert_eq!(states, [(2, State::PutOff, "GROUP_INCOMPLETE"), (3, State::PutOff, "BEHIND")]);
    assert_eq!(seqs(&device.request(clock(2), Size::default()).unwrap().request), [(2, 0), (3, 0)]);
    assert_eq!(server.known_ops(device_id(1)), 1);

    server.put_off = None;
    assert_eq!(sync(&mut device, &mut server), Next::Rest);
    assert_eq!(device.pending().unwrap(), []);
    assert_eq!(server.known_ops(device_id(1)), 3);
}

#[test]
fn an_answer_that_is_lost_costs_a_second_try_and_nothing_else() {
    let mut server = Server::with(&[1]);
    let (_dir, mut device) = enrolled(1);
    device.record(clock(1), vec![new_place(1)]).unwrap();
    let asked = device.request(clock(2), Size::default()).unwrap();
    server.answer(&asked, &device); // and nobody hears it
    device.record(clock(3), vec![new_place(2)]).unwrap();
    assert_eq!(sync(&mut device, &mut server), Next::Rest);
    assert_eq!(server.known_ops(device_id(1)), 2);
    assert_eq!(pretend::shown(&device), pretend::wanted(&server, &device));
}

#[test]
fn an_answer_heard_twice_or_too_late_changes_nothing() {
    let mut server = Server::with(&[1, 2]);
    let (_dir, mut device) = enrolled(1);
    device.record(clock(1), vec![new_place(1)]).unwrap();
    let first = device.request(clock(2), Size::default()).unwrap();
    let answer = server.answer(&first, &device);
    assert_eq!(device.take(&first, answer.clone()).unwrap().acknowledged, 1);
    assert!(device.take(&first, answer.clone()).unwrap().stale);

    // The record goes elsewhere; then the old answer turns up again.
    let seen = device.view(id(1)).unwrap().unwrap().record;
    device.record(clock(3), vec![Draft::on(&seen, Action::Move { to: area(2) })]).unwrap();
    sync(&mut device, &mut server);
    assert!(device.take(&first, answer).unwrap().stale);
    assert_eq!(pretend::shown(&device), pretend::wanted(&server, &device));
    assert_eq!(device.request(clock(4), Size::default()).unwrap().request.ops, []);
}

#[test]
fn acknowledged_ops_are_kept_until_they_are_safe_to_forget() {
    let mut server = Server::with(&[1]);
    let (_dir, mut device) = enrolled(1);
    for n in 1..=4 {
        device.record(clock(1), vec![new_place(n)]).unwrap();
    }
    let holds_from = |device: &Device| device.request(clock(2), Size::default()).unwrap().request.holds_from;
    sync(&mut device, &mut server);
    assert_eq!(holds_from(&device), 1);
    server.safe_to_forget_through = 3;
    sync(&mut device, &mut server);
    assert_eq!(holds_from(&device), 4);
    server.safe_to_forget_through = 4;
    sync(&mut device, &mut server);
    assert_eq!(holds_from(&device), 0);
    assert_eq!(device.record(clock(5), vec![new_place(5)]).unwrap(), [5]);
    assert_eq!(holds_from(&device), 5);
    sync(&mut device, &mut server);
    assert_eq!(server.known_ops(device_id(1)), 5);
}

#[test]
fn a_verdict_that_its_author_should_know_of_stays_until_dismissed_and_hides_no_gap() {
    let mut server = Server::with(&[1]);
    let (_dir, mut device) = enrolled(1);
    server.refuse = Some(id(1));
    for n in 1..=3 {
        device.record(clock(1), vec![new_place(n)]).unwrap();
    }
    server.safe_to_forget_through = 2;
    sync(&mut device, &mut server);
    assert_eq!(device.request(clock(2), Size::default()).unwrap().request.holds_from, 3);
    let pending = device.pending().unwrap();
    assert_eq!((pending.len(), pending[0].state), (1, State::Quarantined));
    device.dismiss(pending[0].op).unwrap();
    assert_eq!(device.pending().unwrap(), []);
    assert!(matches!(device.dismiss(pending[0].op), Err(Error::UnknownOp(_))));
}

#[test]
fn an_op_without_a_verdict_cannot_be_dismissed() {
    let (_dir, mut device) = enrolled(1);
    device.record(clock(1), vec![new_place(1)]).unwrap();
    let op = OpId { device: device_id(1), seq: 1 };
    assert!(matches!(device.dismiss(op), Err(Error::NotAcknowledged(_))));
    assert_eq!(device.pending().unwrap().len(), 1);
}

#[test]
fn everything_that_is_not_well_is_listed_in_words_with_its_reason() {
    let mut server = Server::with(&[1, 2]);
    let (_dir, mut device) = enrolled(1);
    let (_dir2, mut other) = enrolled(2);
    device.record(clock(1), vec![new_place(1), Draft::create(id(2), area(1), request("water"))]).unwrap();
    sync(&mut device, &mut server);
    sync(&mut other, &mut server);

    let seen = |device: &Device, n| device.view(id(n)).unwrap().unwrap().record;
    let named =
        |device: &Device, name: &str| Draft::edit(&seen(device, 1), fields([("name", json!(name))]), "");
    let verified = step(&seen(&device, 2), "verified");
    other.record(clock(2), vec![named(&other, "North house")]).unwrap();
    sync(&mut other, &mut server);
    device.record(clock(3), vec![named(&device, "South house")]).unwrap();
    device.record(clock(3), vec![verified]).unwrap();
    server.refuse = Some(id(3));
    device.record(clock(3), vec![Draft::create(id(3), area(1), request("noise"))]).unwrap();
    sync(&mut device, &mut server);
    device
        .record(clock(9), vec![Draft::on(&seen(&device, 1), Action::Delete { reason: "gone".to_owned() })])
        .unwrap();

    let pending = device.pending().unwrap();
    let lines: Vec<_> = pending.iter().map(|it| (it.what.as_str(), it.state, it.reason.as_str())).collect();
    assert_eq!(
        lines,
        [
            ("change name of place \"South house\"", State::Conflict, ""),
            ("request \"water\": verified", State::NotApplied, "STEP_NOT_ALLOWED"),
            ("new request: noise", State::Quarantined, "FORBIDDEN"),
            ("delete place \"South house\"", State::Unsent, ""),
        ]
    );
    assert_eq!(pending[1].detail, "a request that is open cannot become verified");
    assert_eq!((pending[3].recorded_ms, pending[3].record), (9, id(1)));
}

#[test]
fn what_cannot_be_sent_any_more_can_be_saved_as_text() {
    let (_dir, mut device) = enrolled(1);
    device
        .record(
            clock(7),
            vec![
                Draft::create(id(1), area(1), request("water")),
                Draft {
                    record: id(1),
                    area: area(1),
                    kind: Kind::Request,
                    action: Action::Step(Step { to: "triaged".to_owned(), ..Default::default() }),
                },
            ],
        )
        .unwrap();
    let exported = device.export().unwrap();
    let lines: Vec<Value> = exported.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 2);
    assert_eq!(lines[0]["op"]["action"]["create"]["request"]["category"], "water");
    assert_eq!(lines[0]["followed_by"], 1);
    assert_eq!(lines[0]["state"], "unsent");
    assert_eq!(lines[1]["op"]["action"]["step"]["to"], "triaged");
    assert_eq!((&lines[1]["seq"], &lines[1]["recorded_ms"]), (&json!(2), &json!(7)));
    let op: rounds_domain::Op = serde_json::from_value(lines[1]["op"].clone()).unwrap();
    assert_eq!(op.record, id(1));
}

#[test]
fn a_file_of_a_newer_program_is_left_alone() {
    let (dir, device) = enrolled(1);
    drop(device);
    let raw = rusqlite::Connection::open(path(&dir)).unwrap();
    raw.execute_batch("PRAGMA user_version = 99").unwrap();
    assert!(matches!(Device::open(path(&dir)), Err(Error::Newer { found: 99, .. })));
    fs::write(path(&dir), "no database").unwrap();
    let _ = fs::remove_file(dir.path().join("device.db-wal"));
    assert!(matches!(Device::open(path(&dir)), Err(Error::Store(_))));
}

#[test]
fn a_record_that_this_program_cannot_read_keeps_no_op_from_its_verdict() {
    let mut server = Server::with(&[1]);
    let (_dir, mut device) = enrolled(1);
    device.record(clock(1), vec![new_place(1)]).unwrap();
    let asked = device.request(clock(2), Size::default()).unwrap();
    let mut answer = server.answer(&asked, &device);
    let future = v1::Record { kind: 99, ..Default::default() };
    answer.feed.push(v1::FeedItem { item: Some(v1::feed_item::Item::Record(future)) });
    let progress = device.take(&asked, answer).unwrap();
    assert_eq!(progress.acknowledged, 1);
    assert_eq!(progress.unreadable.unwrap().reason, Reason::UnknownKind);
    assert_eq!((progress.pulled, progress.next), (0, Next::Rest));
    assert_eq!(sync_once(&mut device, &mut server).pulled, 1, "the cursor stayed where it was");
}
