//! What is pulled, and what becomes of it when areas, names and servers change.

#![allow(clippy::unwrap_used)] // a helper that fails is a test that fails

mod pretend;

use pretend::{
    Server, area, clock, device_id, enrolled, fields, id, path, place, request, shown, step, sync, sync_once,
    wanted,
};
use rounds_device::{Device, Draft, Error, Next, Size, Standing, State};
use rounds_domain::body::{self, Body};
use rounds_domain::{Action, ContactData, Kind, RecordId};
use rounds_proto::v1::{self, feed_item::Item};
use serde_json::json;

fn new_place(n: u128, in_area: u128) -> Draft {
    Draft::create(id(n), area(in_area), place(&format!("Building {n}")))
}

fn moved(device: &Device, n: u128, to: u128) -> Draft {
    Draft::on(&device.view(id(n)).unwrap().unwrap().record, Action::Move { to: area(to) })
}

fn ids(device: &Device, kind: Kind) -> Vec<RecordId> {
    device.list(kind).unwrap().into_iter().map(|view| view.record.id).collect()
}

#[test]
fn what_is_recorded_shows_at_once_and_looks_the_same_after_the_round_trip() {
    let mut server = Server::with(&[1]);
    let (_dir, mut device) = enrolled(1);
    device.record(clock(1), vec![Draft::create(id(1), area(1), request("water"))]).unwrap();
    let view = device.view(id(1)).unwrap().unwrap();
    assert_eq!((view.record.status.as_str(), view.unsent_ops), ("open", 1));
    device.record(clock(2), vec![step(&view.record, "triaged")]).unwrap();
    let edit = Draft::edit(&view.record, fields([("description", json!("no water on floor 3"))]), "");
    device.record(clock(3), vec![edit]).unwrap();

    let before = device.view(id(1)).unwrap().unwrap();
    assert_eq!((before.record.status.as_str(), before.unsent_ops), ("triaged", 3));
    sync(&mut device, &mut server);
    let after = device.view(id(1)).unwrap().unwrap();
    assert_eq!(after.unsent_ops, 0);
    let mut expected = before.record;
    expected.through = after.record.through; // its place in the order is the server's to know,
    expected.writers.clear(); // and who wrote what stays there
    assert_eq!(after.record, expected);
    assert_eq!(shown(&device), wanted(&server, &device));
}

#[test]
fn what_is_acknowledged_shows_until_the_last_page_brings_it() {
    let mut server = Server::with(&[1, 2]);
    let (_dir2, mut other) = enrolled(2);
    other.record(clock(1), (10..20).map(|n| new_place(n, 1)).collect()).unwrap();
    sync(&mut other, &mut server);
    server.page_records = 3;
    server.safe_to_forget_through = 1;
    let (_dir, mut device) = enrolled(1);
    device.record(clock(1), vec![new_place(1, 1)]).unwrap();
    assert_eq!(sync_once(&mut device, &mut server).next, Next::AskAgain);
    assert_eq!(device.pending().unwrap(), []);
    assert_eq!(ids(&device, Kind::Place), [1, 10, 11, 12].map(id));
    assert_eq!(sync(&mut device, &mut server), Next::Rest);
    assert_eq!(shown(&device), wanted(&server, &device));
}

#[test]
fn an_op_in_a_record_that_came_with_its_verdict_is_not_folded_in_twice() {
    let mut server = Server::with(&[1, 2]);
    let (_dir, mut device) = enrolled(1);
    device.record(clock(1), vec![Draft::create(id(9), area(1), request("water"))]).unwrap();
    sync(&mut device, &mut server);
    let (_dir2, mut other) = enrolled(2);
    other.record(clock(2), (10..20).map(|n| new_place(n, 2)).collect()).unwrap();
    sync(&mut other, &mut server);

    let seen = device.view(id(9)).unwrap().unwrap().record;
    device.record(clock(3), vec![step(&seen, "triaged")]).unwrap();
    server.page_records = 3; // the request and two of the places, with more to come
    assert_eq!(sync_once(&mut device, &mut server).next, Next::AskAgain);
    let record = device.view(id(9)).unwrap().unwrap().record;
    assert_eq!(&record, &pretend::through_the_wire(server.record(id(9)).unwrap()));
    assert_eq!((record.status.as_str(), record.steps.len()), ("triaged", 1));
}

#[test]
fn an_op_in_a_record_that_came_before_its_verdict_is_not_folded_in_twice() {
    let mut server = Server::with(&[1]);
    let (_dir, mut device) = enrolled(1);
    device.record(clock(1), vec![Draft::create(id(9), area(1), request("water"))]).unwrap();
    sync(&mut device, &mut server);
    let seen = device.view(id(9)).unwrap().unwrap().record;
    device.record(clock(2), vec![new_place(1, 1)]).unwrap();
    device.record(clock(3), vec![step(&seen, "triaged")]).unwrap();
    let asked = device.request(clock(server.now_ms), Size::default()).unwrap();
    server.answer(&asked, &device); // is lost, and the next batch is smaller
    let size = Size { ops_max: 1, ..Size::default() };
    let asked = device.request(clock(server.now_ms), size).unwrap();
    let answer = server.answer(&asked, &device);
    device.take(&asked, answer).unwrap();
    assert_eq!(device.status().unwrap().unsent_ops, 1);
    let record = device.view(id(9)).unwrap().unwrap().record;
    assert_eq!((record.status.as_str(), record.steps.len()), ("triaged", 1));
}

#[test]
fn an_op_behind_which_others_changed_the_record_is_not_folded_in_twice() {
    let visit = body::Visit {
        subject: Some(id(1)),
        purpose: "routine".into(),
        outcome: "met".into(),
        ..Default::default()
    };
    for (record, draft, field) in [
        (id(1), new_place(1, 1), "name"), // their edit is kept as a dispute,
        (id(2), Draft::create(id(2), area(1), Body::Visit(visit)), "note"), // or beside another amendment
    ] {
        let mut server = Server::with(&[1, 2]);
        let (_dir, mut device) = enrolled(1);
        let (_dir2, mut other) = enrolled(2);
        device.record(clock(1), vec![draft]).unwrap();
        sync(&mut device, &mut server);
        sync(&mut other, &mut server);
        let edit = |device: &Device, text: &str| {
            Draft::edit(
                &device.view(record).unwrap().unwrap().record,
                fields([(field, json!(text))]),
                "mistaken",
            )
        };
        device.record(clock(2), vec![edit(&device, "ours")]).unwrap();
        let asked = device.request(clock(server.now_ms), Size::default()).unwrap();
        server.answer(&asked, &device); // is lost
        other.record(clock(3), vec![edit(&other, "theirs")]).unwrap();
        other.record(clock(3), (10..20).map(|n| new_place(n, 2)).collect()).unwrap();
        sync(&mut other, &mut server);
        server.page_records = 3; // the record is among the first, with more to come
        assert_eq!(sync_once(&mut device, &mut server).next, Next::AskAgain);
        let shown = device.view(record).unwrap().unwrap().record;
        assert_eq!(&shown, &pretend::through_the_wire(server.record(record).unwrap()));
        assert_eq!(shown.text(field), "theirs");
    }
}

#[test]
fn a_clash_on_a_field_shows_to_its_author_before_and_after_the_sync() {
    let mut server = Server::with(&[1, 2]);
    let (_dir, mut device) = enrolled(1);
    let (_dir2, mut other) = enrolled(2);
    device.record(clock(1), vec![new_place(1, 1)]).unwrap();
    sync(&mut device, &mut server);
    sync(&mut other, &mut server);
    let edit = |device: &Device, name: &str| {
        Draft::edit(&device.view(id(1)).unwrap().unwrap().record, fields([("name", json!(name))]), "")
    };
    other.record(clock(2), vec![edit(&other, "North house")]).unwrap();
    device.record(clock(3), vec![edit(&device, "South house")]).unwrap();
    sync(&mut other, &mut server);
    sync(&mut device, &mut server);
    sync(&mut other, &mut server);
    assert_eq!(device.pending().unwrap()[0].state, State::Conflict);
    for device in [&device, &other] {
        let record = device.view(id(1)).unwrap().unwrap().record;
        assert_eq!((record.text("name"), record.disputes.len()), ("South house", 1));
        assert_eq!(shown(device), wanted(&server, device));
    }
}

#[test]
fn an_area_that_is_left_takes_all_of_its_records_along_and_nothing_else() {
    let mut server = Server::with(&[1]);
    let (_dir, mut device) = enrolled(1);
    for n in 1..=4 {
        device.record(clock(1), vec![new_place(n, 1)]).unwrap();
        device.record(clock(1), vec![new_place(10 + n, 2)]).unwrap();
    }
    sync(&mut device, &mut server);
    // Recorded before the change was known: it is still taken in.
    device.record(clock(2), vec![new_place(5, 1)]).unwrap();
    server.assign(1, &[2]);
    sync(&mut device, &mut server);
    assert_eq!(ids(&device, Kind::Place), [11, 12, 13, 14].map(id));
    assert!(server.record(id(5)).is_some());
    assert_eq!(device.status().unwrap().scope_version, 2);
    server.assign(1, &[1]);
    sync(&mut device, &mut server);
    assert_eq!(ids(&device, Kind::Place), [1, 2, 3, 4, 5].map(id));
}

#[test]
fn a_record_that_moved_is_where_it_went_in_whatever_order_that_is_told() {
    let mut server = Server::with(&[1]);
    let (_dir, mut device) = enrolled(1);
    device.record(clock(1), vec![new_place(1, 1), new_place(2, 1)]).unwrap();
    sync(&mut device, &mut server);
    server.assign(1, &[1, 2, 3]);
    device.record(clock(2), vec![moved(&device, 1, 2)]).unwrap();
    let asked = device.request(clock(3), Size::default()).unwrap();
    let answer = server.answer(&asked, &device);
    assert!(matches!(answer.feed[0].item, Some(Item::Departure(_))), "this one comes first here");

    for reversed in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let mut told = Device::open(path(&dir)).unwrap();
        told.enrolled(pretend::identity(1)).unwrap();
        let first = told.request(clock(1), Size::default()).unwrap();
        let before = v1::Record { number: 1, ..old_record(&device) };
        let page = v1::SyncResponse {
            feed: vec![v1::FeedItem { item: Some(Item::Record(before)) }],
            more: true,
            verdicts: Vec::new(),
            ..answer.clone()
        };
        told.take(&first, page).unwrap();
        assert_eq!(told.view(id(1)).unwrap().unwrap().record.area, area(1));
        let second = told.request(clock(2), Size::default()).unwrap();
        let mut page = v1::SyncResponse { verdicts: Vec::new(), ..answer.clone() };
        if reversed {
            page.feed.reverse();
        }
        told.take(&second, page).unwrap();
        assert_eq!(told.view(id(1)).unwrap().unwrap().record.area, area(2), "reversed: {reversed}");
    }
}

/// Place 1 as it was in area 1, with what was recorded since left out.
fn old_record(device: &Device) -> v1::Record {
    let mut record = device.view(id(1)).unwrap().unwrap().record;
    record.area = area(1);
    record.former_areas.clear();
    record.through.stamp = 1;
    rounds_proto::record_to_wire(&record, 1).unwrap()
}

#[test]
fn a_record_that_moved_out_of_reach_is_gone() {
    let mut server = Server::with(&[1, 2]);
    server.assign(1, &[1]);
    let (_dir, mut device) = enrolled(1);
    let (_dir2, mut other) = enrolled(2);
    other.record(clock(1), vec![new_place(1, 1), new_place(2, 1)]).unwrap();
    sync(&mut other, &mut server);
    sync(&mut device, &mut server);
    other.record(clock(2), vec![moved(&other, 1, 2)]).unwrap();
    sync(&mut other, &mut server);
    sync(&mut device, &mut server);
    assert_eq!(ids(&device, Kind::Place), [id(2)]);
    assert_eq!(ids(&other, Kind::Place), [id(1), id(2)]);
}

#[test]
fn nothing_that_was_deleted_comes_back() {
    let mut server = Server::with(&[1, 2]);
    let (_dir, mut device) = enrolled(1);
    let (_dir2, mut other) = enrolled(2);
    device.record(clock(1), vec![new_place(1, 1)]).unwrap();
    sync(&mut device, &mut server);
    sync(&mut other, &mut server);
    let seen = other.view(id(1)).unwrap().unwrap().record;
    other
        .record(clock(2), vec![Draft::on(&seen, Action::Delete { reason: "torn down".to_owned() })])
        .unwrap();
    assert_eq!(ids(&other, Kind::Place), []);
    sync(&mut other, &mut server);
    device.record(clock(3), vec![Draft::edit(&seen, fields([("name", json!("new"))]), "")]).unwrap();
    sync(&mut device, &mut server);
    assert_eq!(ids(&device, Kind::Place), []);
    assert_eq!(device.pending().unwrap()[0].reason, "DELETED");
    device.record(clock(4), vec![new_place(1, 1)]).unwrap();
    assert_eq!(ids(&device, Kind::Place), []);
}

#[test]
fn a_server_that_was_restored_gets_back_what_it_forgot() {
    let mut server = Server::with(&[1, 2]);
    let (_dir, mut device) = enrolled(1);
    let (_dir2, mut other) = enrolled(2);
    device.record(clock(1), vec![new_place(1, 1)]).unwrap();
    sync(&mut device, &mut server);
    let backup = server.clone();
    device.record(clock(2), vec![new_place(2, 1)]).unwrap();
    device.record(clock(2), vec![new_place(3, 1)]).unwrap();
    sync(&mut device, &mut server);
    other.record(clock(2), vec![new_place(4, 1)]).unwrap();
    sync(&mut other, &mut server);
    sync(&mut device, &mut server);
    assert_eq!(ids(&device, Kind::Place), [1, 2, 3, 4].map(id));

    server = backup.restored();
    device.record(clock(3), vec![new_place(5, 1)]).unwrap();
    let progress = sync_once(&mut device, &mut server);
    assert!(progress.restored && progress.next == Next::AskAgain);
    assert_eq!(device.status().unwrap().unsent_ops, 4, "all that it holds: the server compares");
    assert_eq!(ids(&device, Kind::Place), [1, 2, 3, 4, 5].map(id), "nothing flickers while it pulls anew");
    sync(&mut device, &mut server);
    assert_eq!(server.known_ops(device_id(1)), 4);
    assert_eq!(ids(&device, Kind::Place), [1, 2, 3, 5].map(id), "what the server knows nothing of is gone");
    sync(&mut other, &mut server);
    sync(&mut device, &mut server);
    assert_eq!(ids(&device, Kind::Place), [1, 2, 3, 4, 5].map(id), "until who recorded it brings it again");
    for device in [&device, &other] {
        assert_eq!(shown(device), wanted(&server, device));
    }
}

#[test]
fn what_was_dismissed_is_listed_again_when_the_server_forgot_it() {
    let mut server = Server::with(&[1]);
    let (_dir, mut device) = enrolled(1);
    let backup = server.clone();
    server.refuse = Some(id(1));
    device.record(clock(1), vec![new_place(1, 1)]).unwrap();
    sync(&mut device, &mut server);
    let refused = device.pending().unwrap()[0].op;
    device.dismiss(refused).unwrap();
    assert_eq!(device.pending().unwrap(), []);
    server = backup.restored();
    sync_once(&mut device, &mut server);
    let listed: Vec<_> = device.pending().unwrap().iter().map(|it| (it.op, it.state)).collect();
    assert_eq!(listed, [(refused, State::Unsent)]);
}

#[test]
fn what_the_server_acknowledges_no_more_is_sent_again_also_without_another_epoch() {
    let mut server = Server::with(&[1]);
    let (_dir, mut device) = enrolled(1);
    sync(&mut device, &mut server);
    let backup = server.clone();
    device.record(clock(2), vec![new_place(1, 1)]).unwrap();
    sync(&mut device, &mut server);
    server = backup; // by somebody who knew no better
    device.record(clock(3), vec![new_place(2, 1)]).unwrap();
    assert_eq!(sync(&mut device, &mut server), Next::Rest);
    assert_eq!(server.known_ops(device_id(1)), 2);
}

#[test]
fn an_answer_from_before_the_restore_acknowledges_nothing() {
    let mut server = Server::with(&[1]);
    let (_dir, mut device) = enrolled(1);
    sync(&mut device, &mut server);
    let backup = server.clone();
    device.record(clock(2), vec![new_place(1, 1)]).unwrap();
    let asked = device.request(clock(3), Size::default()).unwrap();
    let late = server.answer(&asked, &device);
    server = backup.restored();
    server.put_off = Some(id(1));
    assert_eq!(sync(&mut device, &mut server), Next::AskLater);
    assert!(device.take(&asked, late).unwrap().stale);
    assert_eq!(device.status().unwrap().unsent_ops, 1);
    server.put_off = None;
    sync(&mut device, &mut server);
    assert!(server.record(id(1)).is_some());
}

/// The phone itself, and a copy of its file with the folder that it is in.
fn copied(dir: &tempfile::TempDir, device: Device) -> (Device, tempfile::TempDir, Device) {
    drop(device); // what it wrote is in the file
    let copy_dir = tempfile::tempdir().unwrap();
    std::fs::copy(path(dir), path(&copy_dir)).unwrap();
    let (device, copy) = (Device::open(path(dir)).unwrap(), Device::open(path(&copy_dir)).unwrap());
    (device, copy_dir, copy)
}

#[test]
fn a_copy_whose_numbers_another_took_after_a_restore_finds_out_and_loses_nothing() {
    let mut server = Server::with(&[1]);
    let (dir, mut device) = enrolled(1);
    device.record(clock(1), vec![new_place(1, 1)]).unwrap();
    sync(&mut device, &mut server);
    let backup = server.clone();
    let (mut device, _copy_dir, mut copy) = copied(&dir, device);

    copy.record(clock(2), vec![new_place(2, 1)]).unwrap();
    sync(&mut copy, &mut server);
    server = backup.restored(); // without what the copy brought
    device.record(clock(3), vec![new_place(3, 1)]).unwrap();
    sync(&mut device, &mut server);
    copy.record(clock(4), vec![new_place(4, 1)]).unwrap();
    assert_eq!(sync(&mut copy, &mut server), Next::Rest);
    assert_eq!(ids(&copy, Kind::Place), [1, 2, 3, 4].map(id));
    assert_ne!(copy.identity().unwrap().device, device_id(1));
    assert_eq!(server.known_ops(device_id(1)), 2);
}

#[test]
fn a_copy_hands_over_what_a_restore_undid_and_nobody_else_holds() {
    let mut server = Server::with(&[1, 2]);
    let (dir, mut device) = enrolled(1);
    device.record(clock(1), vec![new_place(1, 1)]).unwrap();
    sync(&mut device, &mut server);
    let backup = server.clone();
    device.record(clock(1), vec![new_place(2, 1)]).unwrap();
    device.record(clock(1), vec![new_place(3, 1)]).unwrap();
    sync(&mut device, &mut server);
    let (mut device, _copy_dir, mut copy) = copied(&dir, device);
    device.record(clock(2), vec![new_place(4, 1)]).unwrap();
    sync(&mut device, &mut server);
    copy.record(clock(2), vec![new_place(5, 1)]).unwrap();
    assert_eq!(sync(&mut copy, &mut server), Next::Rest);
    let new = copy.identity().unwrap().device;
    assert_eq!((server.known_ops(device_id(1)), server.known_ops(new)), (4, 4));
    assert_eq!(server.ops.values().map(Vec::len).sum::<usize>(), 5, "none took effect twice");

    drop(device); // lost with all that it held
    server = backup.restored(); // which does not know the copy's name
    copy.enrolled_again(pretend::identity(2)).unwrap();
    assert_eq!(sync(&mut copy, &mut server), Next::Rest);
    assert_eq!(ids(&copy, Kind::Place), [1, 2, 3, 5].map(id));
    assert_eq!(shown(&copy), wanted(&server, &copy));
}

#[test]
fn whatever_is_held_goes_out_again_when_the_server_does_not_know_the_cursor() {
    let mut server = Server::with(&[1]);
    let (dir, mut device) = enrolled(1);
    sync(&mut device, &mut server);
    let backup = server.clone();
    let (mut device, _copy_dir, mut copy) = copied(&dir, device);
    device.record(clock(1), vec![new_place(1, 1)]).unwrap();
    sync(&mut device, &mut server);
    server = backup.restored(); // without that, and a copy takes its number
    copy.record(clock(2), vec![new_place(2, 1)]).unwrap();
    sync(&mut copy, &mut server);
    device.pull_anew().unwrap();
    device.record(clock(3), vec![new_place(3, 1)]).unwrap();
    assert_eq!(sync(&mut device, &mut server), Next::Rest);
    let new = device.identity().unwrap().device;
    assert_eq!((server.known_ops(device_id(1)), server.known_ops(new)), (1, 2), "none is there twice");
    assert_eq!(ids(&device, Kind::Place), [1, 2, 3].map(id));
}

#[test]
fn the_copy_of_a_revoked_phone_hands_its_work_over_too() {
    let mut server = Server::with(&[1]);
    let (dir, mut device) = enrolled(1);
    device.record(clock(1), vec![new_place(1, 1)]).unwrap();
    sync(&mut device, &mut server);
    let (mut device, _copy_dir, mut copy) = copied(&dir, device);
    device.record(clock(2), vec![new_place(2, 1)]).unwrap();
    sync(&mut device, &mut server);
    copy.record(clock(2), vec![new_place(3, 1)]).unwrap();
    let known = server.members.len();
    server.revoke(1);
    assert_eq!(sync(&mut copy, &mut server), Next::Wiped);
    assert_eq!(server.members.len(), known + 1);
    assert_eq!(server.known_ops(device_id(1_001)), 2, "what both have among it");
    assert_eq!(server.ops.values().map(Vec::len).sum::<usize>(), 2, "and that took effect once");
}

#[test]
fn ops_that_were_safe_to_forget_do_not_hold_up_a_restored_server() {
    let mut server = Server::with(&[1]);
    let (_dir, mut device) = enrolled(1);
    sync(&mut device, &mut server);
    let backup = server.clone();
    for n in 1..=3 {
        device.record(clock(1), vec![new_place(n, 1)]).unwrap();
    }
    server.safe_to_forget_through = 2;
    sync(&mut device, &mut server);
    server = backup.restored();
    assert_eq!(sync(&mut device, &mut server), Next::Rest);
    assert_eq!(ids(&device, Kind::Place), [id(3)]);
}

#[test]
fn a_copied_phone_gets_a_name_of_its_own_and_loses_nothing() {
    let mut server = Server::with(&[1]);
    let (dir, mut device) = enrolled(1);
    for n in 1..=2 {
        device.record(clock(1), vec![new_place(n, 1)]).unwrap();
    }
    server.refuse = Some(id(2));
    sync(&mut device, &mut server);
    let (mut device, _copy_dir, mut copy) = copied(&dir, device);

    device.record(clock(2), vec![new_place(3, 1)]).unwrap();
    copy.record(clock(3), vec![new_place(4, 1), new_place(5, 1)]).unwrap();
    copy.record(clock(3), vec![new_place(6, 1)]).unwrap();
    let sealed = copy.request(clock(4), Size::default()).unwrap().request.ops;
    sync(&mut device, &mut server);
    assert_eq!(sync_once(&mut copy, &mut server).next, Next::Fork { at_seq: 3 });
    assert_eq!(copy.status().unwrap().standing, Standing::Forked { at_seq: 3 });
    assert_eq!(copy.status().unwrap().unsent_ops, 3);
    let new = server.fork(device_id(1));
    copy.fork(device_id(1), new, "a new token".to_owned()).unwrap();
    copy.fork(device_id(1), device_id(60), "of another call".to_owned()).unwrap(); // it is that no more

    let identity = copy.identity().unwrap();
    assert_eq!((identity.device, identity.token.as_str()), (new, "a new token"));
    let renumbered = copy.request(clock(4), Size::default()).unwrap().request;
    assert_eq!(renumbered.cursor, Vec::<u8>::new());
    assert_eq!(renumbered.holds_from, 1);
    assert_eq!(renumbered.ops.iter().map(|sealed| sealed.seq).collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
    for (before, after) in sealed.iter().zip(&renumbered.ops[2..]) {
        assert_eq!((after.followed_by, &after.op), (before.followed_by, &before.op));
    }
    assert_eq!(copy.record(clock(5), vec![new_place(7, 1)]).unwrap(), [6]);
    sync(&mut copy, &mut server);
    sync(&mut device, &mut server);
    assert_eq!((server.known_ops(device_id(1)), server.known_ops(new)), (3, 6));
    for (device, name) in [(&mut device, device_id(1)), (&mut copy, new)] {
        assert_eq!(ids(device, Kind::Place), [1, 3, 4, 5, 6, 7].map(id));
        let pending = device.pending().unwrap();
        assert_eq!((pending.len(), pending[0].op.device), (1, name), "what was quarantined before the copy");
        device.dismiss(pending[0].op).unwrap();
        assert_eq!(device.pending().unwrap(), []);
        assert_eq!(shown(device), wanted(&server, device));
    }
}

#[test]
fn an_answer_from_before_everything_is_pulled_anew_brings_nothing() {
    let mut server = Server::with(&[1]);
    let (_dir, mut device) = enrolled(1);
    device.record(clock(1), vec![new_place(1, 1)]).unwrap();
    sync(&mut device, &mut server);
    let asked = device.request(clock(2), Size::default()).unwrap();
    let late = server.answer(&asked, &device);
    device.pull_anew().unwrap();
    assert!(device.take(&asked, late).unwrap().stale, "it goes on from where the device was");
    assert_eq!(sync(&mut device, &mut server), Next::Rest);
    assert_eq!(shown(&device), wanted(&server, &device));
}

#[test]
fn an_answer_to_the_old_name_means_nothing_under_the_new_one() {
    let mut server = Server::with(&[1]);
    let (_dir, mut device) = enrolled(1);
    device.record(clock(1), vec![new_place(1, 1)]).unwrap();
    let asked = device.request(clock(2), Size::default()).unwrap();
    let late = server.answer(&asked, &device);
    device.fork(device_id(1), device_id(50), "t".to_owned()).unwrap();
    assert!(device.take(&asked, late).unwrap().stale);
    assert_eq!(device.status().unwrap().unsent_ops, 1);
}

#[test]
fn a_revoked_device_is_wiped_once_it_has_handed_over_its_work_and_not_before() {
    let mut server = Server::with(&[1]);
    let (dir, mut device) = enrolled(1);
    let (secret, name, phone) = ("Building 4-2-301", "Zhao Qinglan", "+86 138 0013 8000");
    device.record(clock(1), vec![Draft::create(id(1), area(1), place(secret))]).unwrap();
    device.record(clock(1), vec![Draft::create(id(4), area(1), request("water"))]).unwrap();
    sync(&mut device, &mut server);
    let contact = ContactData { name: name.to_owned(), phone: phone.to_owned() };
    device.give_contact(id(4), &contact).unwrap();
    for n in 2..=3 {
        device.record(clock(2), vec![new_place(n, 1)]).unwrap();
    }
    server.revoke(1);
    server.put_off = Some(id(3));
    assert_eq!(sync(&mut device, &mut server), Next::AskLater);
    assert_eq!(device.status().unwrap().standing, Standing::Revoked);
    assert_eq!(device.status().unwrap().unsent_ops, 1);
    assert!(matches!(device.record(clock(3), vec![new_place(9, 1)]), Err(Error::Revoked)));
    assert_eq!(ids(&device, Kind::Place).len(), 2, "what was not handed over is still here");

    server.put_off = None;
    assert_eq!(sync(&mut device, &mut server), Next::Wiped);
    assert_eq!(server.known_ops(device_id(1)), 4);
    assert_eq!(device.status().unwrap().standing, Standing::Wiped);
    assert_eq!(device.contacts_held().unwrap(), 0);
    assert_eq!(device.status().unwrap().identity, None);
    assert!(matches!(device.request(clock(4), Size::default()), Err(Error::Revoked)));
    assert!(matches!(device.enrolled(pretend::identity(2)), Err(Error::Revoked)));
    assert_eq!(shown(&device), []);
    for entry in std::fs::read_dir(dir.path()).unwrap() {
        let path = entry.unwrap().path();
        let bytes = std::fs::read(&path).unwrap();
        for trace in [secret, name, phone, "token-1"] {
            assert!(
                !bytes.windows(trace.len()).any(|window| window == trace.as_bytes()),
                "{path:?}: {trace}"
            );
        }
    }
    drop(device);
    assert_eq!(Device::open(path(&dir)).unwrap().status().unwrap().standing, Standing::Wiped);
}

#[test]
fn a_device_remembers_what_it_was_first_whatever_names_it_gets() {
    let (dir, mut device) = enrolled(1);
    assert_eq!(device.first_device().unwrap(), device_id(1));
    device.record(clock(1), vec![new_place(1, 1)]).unwrap();
    device.fork(device_id(1), device_id(2), "token-2".to_owned()).unwrap();
    device.enrolled_again(pretend::identity(3)).unwrap();
    assert_eq!(
        (device.identity().unwrap().device, device.first_device().unwrap()),
        (device_id(3), device_id(1))
    );
    drop(device);
    assert_eq!(Device::open(path(&dir)).unwrap().first_device().unwrap(), device_id(1));
}

#[test]
fn a_revoked_device_that_is_enrolled_again_records_again() {
    let mut server = Server::with(&[1, 2]);
    let (_dir, mut device) = enrolled(1);
    device.record(clock(1), vec![new_place(1, 1)]).unwrap();
    server.revoke(1);
    server.put_off = Some(id(1));
    assert_eq!(sync(&mut device, &mut server), Next::AskLater);
    assert_eq!(device.status().unwrap().standing, Standing::Revoked);
    device.enrolled_again(pretend::identity(2)).unwrap();
    assert_eq!(device.status().unwrap().standing, Standing::Good);
    device.record(clock(2), vec![new_place(2, 1)]).unwrap();
    server.put_off = None;
    assert_eq!(sync(&mut device, &mut server), Next::Rest);
    assert_eq!(server.known_ops(device_id(2)), 2);
}

#[test]
fn a_restored_server_that_revokes_gets_back_what_it_forgot_before_the_wipe() {
    let mut server = Server::with(&[1]);
    let (_dir, mut device) = enrolled(1);
    sync(&mut device, &mut server);
    let backup = server.clone();
    device.record(clock(2), vec![new_place(1, 1)]).unwrap();
    sync(&mut device, &mut server);
    server = backup.restored();
    server.revoke(1);
    assert_eq!(sync(&mut device, &mut server), Next::Wiped);
    assert_eq!(server.known_ops(device_id(1)), 1);
}

#[test]
fn today_holds_what_may_be_done_now_with_the_most_urgent_first() {
    let mut server = Server::with(&[1]);
    let (_dir, mut device) = enrolled(1);
    let follow_up = |n: u128, opens: Option<i64>, due: i64| {
        let body = body::FollowUp {
            source: Some(id(99)),
            sort: "recheck".to_owned(),
            opens_at_ms: opens,
            due_at_ms: Some(due),
            ..Default::default()
        };
        Draft::create(id(n), area(1), Body::FollowUp(body))
    };
    device
        .record(
            clock(1),
            vec![
                follow_up(1, Some(100), 900),
                follow_up(2, None, 300),
                follow_up(3, Some(101), 200),
                follow_up(4, Some(50), 300),
            ],
        )
        .unwrap();
    sync(&mut device, &mut server);
    let today = |device: &Device, now_ms| -> Vec<RecordId> {
        device.today(now_ms).unwrap().into_iter().map(|view| view.record.id).collect()
    };
    assert_eq!(today(&device, 100), [2, 4, 1].map(id));
    assert_eq!(today(&device, 101), [3, 2, 4, 1].map(id));
    let seen = device.view(id(2)).unwrap().unwrap().record;
    device.record(clock(2), vec![step(&seen, "done")]).unwrap();
    device.record(clock(2), vec![follow_up(5, None, 1)]).unwrap();
    assert_eq!(today(&device, 100), [5, 4, 1].map(id), "before it is sent");
    sync(&mut device, &mut server);
    assert_eq!(today(&device, 100), [5, 4, 1].map(id));
}

#[test]
fn a_printed_code_finds_its_place_also_before_it_is_sent() {
    let mut server = Server::with(&[1]);
    let (_dir, mut device) = enrolled(1);
    let coded = |n: u128, code: &str| {
        let mut body = place("Building");
        if let Body::Place(place) = &mut body {
            place.code = code.to_owned();
        }
        Draft::create(id(n), area(1), body)
    };
    device.record(clock(1), vec![coded(1, "A1"), coded(2, "A2"), coded(3, "")]).unwrap();
    let found = |device: &Device, code: &str| -> Vec<RecordId> {
        device.find_by_code(code).unwrap().into_iter().map(|view| view.record.id).collect()
    };
    assert_eq!(found(&device, "A1"), [id(1)]);
    sync(&mut device, &mut server);
    assert_eq!(found(&device, "A1"), [id(1)]);
    assert_eq!(found(&device, ""), []);
    let seen = device.view(id(1)).unwrap().unwrap().record;
    device.record(clock(2), vec![Draft::edit(&seen, fields([("code", json!("A9"))]), "")]).unwrap();
    assert_eq!((found(&device, "A1"), found(&device, "A9")), (vec![], vec![id(1)]));
}

#[test]
fn a_referral_is_due_as_the_nearest_word_of_the_city_says_or_as_is_built_in() {
    const HOUR_MS: i64 = 3_600_000;
    let mut server = Server::with(&[1]);
    let (_dir, mut device) = enrolled(1);
    let community = |n: u128, parent: Option<u128>| {
        let body = body::Area {
            name: format!("Area {n}"),
            parent: parent.map(|n| area(n).into()),
            time_zone: "Asia/Shanghai".to_owned(),
            ..Default::default()
        };
        Draft::create(area(n).into(), area(n), Body::Area(body))
    };
    let word = |n: u128, in_area: u128, word: &str, due_hours: Option<u32>| {
        let body = body::Term {
            vocabulary: "request_category".to_owned(),
            word: word.to_owned(),
            due_hours,
            ..Default::default()
        };
        Draft::create(id(n), area(in_area), Body::Term(body))
    };
    device.record(clock(1), vec![community(1, None)]).unwrap();
    device.record(clock(2), vec![community(2, Some(1))]).unwrap();
    device.record(clock(3), vec![community(3, Some(2))]).unwrap();
    let due_hours = |device: &Device, category: &str| {
        let mut seen = device.view(area(3).into()).unwrap().unwrap().record;
        seen.kind = Kind::Request;
        seen.fields = fields([("category", json!(category))]);
        (device.referral_due_ms(&seen, 1_000).unwrap() - 1_000) / HOUR_MS
    };
    let all = ["emergency", "water", "noise", "complex", "stray_dogs"];
    assert_eq!(all.map(|category| due_hours(&device, category)), [2, 24, 7 * 24, 15 * 24, 7 * 24]);

    device.record(clock(4), vec![word(10, 1, "water", Some(48))]).unwrap();
    device.record(clock(5), vec![word(11, 1, "stray_dogs", Some(72))]).unwrap();
    assert_eq!(all.map(|category| due_hours(&device, category)), [2, 48, 7 * 24, 15 * 24, 72]);
    device.record(clock(6), vec![word(12, 3, "water", None)]).unwrap(); // a label, and no time
    assert_eq!(due_hours(&device, "water"), 48);
    device.record(clock(7), vec![word(13, 2, "water", Some(6))]).unwrap();
    assert_eq!(due_hours(&device, "water"), 6, "the nearest");
    sync(&mut device, &mut server);
    assert_eq!(due_hours(&device, "water"), 6, "and after the round trip");
}
