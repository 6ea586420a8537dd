//! Codes, devices, callers and their scope.

use super::sample::*;
use rounds_domain::{AreaId, DeviceId, OpId, Outcome, Role};
use rounds_store::{Access, Caller, Contact, Device, DeviceFilter, NewCode, Pool, Store};
use rounds_tests::{TestDatabase, on_both_databases};
use sqlx::{Connection as _, PgConnection};
use std::collections::BTreeMap;

const CODE: [u8; 32] = [1; 32];
const TOKEN: [u8; 32] = [2; 32];

fn code(hash: [u8; 32], role: Role, areas: &[AreaId]) -> NewCode {
    NewCode {
        hash,
        role,
        areas: areas.to_vec(),
        worker: Some(record(70)),
        organization: None,
        maker: None,
        expires_ms: START_MS + 1_000,
    }
}

/// A device with the token `[number; 32]`.
async fn enrol(store: &Store, number: u8, role: Role, areas: &[AreaId]) -> Device {
    store.create_code(code([number; 32], role, areas)).await.unwrap();
    let id = device(u128::from(number));
    store.enrol([number; 32], id, "a phone", [number; 32], None, START_MS).await.unwrap().unwrap()
}

async fn call(store: &Store, token: u8) -> Caller {
    store.caller([token; 32]).await.unwrap().unwrap()
}

fn scope(caller: &Caller) -> BTreeMap<AreaId, Access> {
    caller.scope.iter().map(|scoped| (scoped.area, scoped.access)).collect()
}

/// A city, two districts, and two communities in the first of them.
async fn plant_city(store: &Store) {
    let areas = [(1, None), (2, Some(1)), (3, Some(1)), (4, Some(2)), (5, Some(2))];
    plant(store, areas.map(|(id, parent)| (area(id), parent.map(area)))).await;
}

on_both_databases! {
    async fn a_code_becomes_a_device(database: &TestDatabase) {
        let store = database.open().await;
        plant_city(&store).await;
        let new = NewCode { organization: Some(record(71)), ..code(CODE, Role::Partner, &[area(4), area(3)]) };
        store.create_code(new).await.unwrap();
        let enrolled = store.enrol(CODE, device(1), "Lan's phone", TOKEN, None, START_MS).await.unwrap().unwrap();
        let expected = Device {
            id: device(1),
            label: "Lan's phone".into(),
            role: Role::Partner,
            worker: Some(record(70)),
            organization: Some(record(71)),
            scope_version: 1,
            enrolled_ms: START_MS,
            seen_ms: 0,
            revoked_ms: None,
            acknowledged_through: 0,
            unsent_ops: 0,
            forked_at: None,
            copy_of: None,
            lost_ops: 0,
            areas: vec![area(3), area(4)],
        };
        assert_eq!(enrolled, expected);
        assert_eq!(store.device(device(1)).await.unwrap(), Some(expected.clone()));
        assert_eq!(store.caller(TOKEN).await.unwrap().unwrap().device, expected);
        assert_eq!(store.device(device(2)).await.unwrap(), None);
        assert_eq!(store.caller([9; 32]).await.unwrap(), None);
    }

    async fn a_code_works_once(database: &TestDatabase) {
        let stores = [database.open().await, database.open().await];
        for round in 0..10_u8 {
            let hash = [round; 32];
            stores[0].create_code(code(hash, Role::Field, &[area(1)])).await.unwrap();
            let tasks: Vec<_> = (0..4_u8)
                .map(|n| {
                    let store = stores[n as usize % 2].clone();
                    let (id, token) = (device(u128::from(round) * 4 + u128::from(n)), [round * 4 + n; 32]);
                    tokio::spawn(async move { store.enrol(hash, id, "a phone", token, None, START_MS).await.unwrap() })
                })
                .collect();
            let mut enrolled = Vec::new();
            for task in tasks {
                enrolled.extend(task.await.unwrap());
            }
            assert_eq!(enrolled.len(), 1);
            let late = stores[0].enrol(hash, device(900), "another", [255; 32], None, START_MS).await.unwrap();
            assert_eq!(late, None);
        }
        assert_eq!(stores[0].devices(&DeviceFilter::default(), None, 100).await.unwrap().len(), 10);
    }

    async fn a_code_works_until_its_time(database: &TestDatabase) {
        let store = database.open().await;
        for (n, now_ms, works) in [(1, START_MS + 999, true), (2, START_MS + 1_000, false), (3, i64::MAX, false)] {
            store.create_code(code([n; 32], Role::Field, &[])).await.unwrap();
            let enrolled = store.enrol([n; 32], device(n.into()), "", [n; 32], None, now_ms).await.unwrap();
            assert_eq!(enrolled.is_some(), works, "{now_ms}");
        }
        assert_eq!(store.enrol([9; 32], device(9), "", [9; 32], None, START_MS).await.unwrap(), None, "no such code");
    }

    async fn a_code_ends_with_its_maker_unless_that_signed_out_itself(database: &TestDatabase) {
        let store = database.open().await;
        let revoked = enrol(&store, 1, Role::Coordinator, &[area(1)]).await;
        let signed_out = enrol(&store, 2, Role::Coordinator, &[area(1)]).await;
        for (n, maker) in [(11, Some(revoked.id)), (12, Some(signed_out.id)), (13, None)] {
            let new = NewCode { maker, ..code([n; 32], Role::Field, &[area(1)]) };
            store.create_code(new).await.unwrap();
        }
        assert!(store.revoke(revoked.id, START_MS).await.unwrap());
        store.sign_out(signed_out.id, START_MS).await.unwrap();
        assert_eq!(store.device(signed_out.id).await.unwrap().unwrap().revoked_ms, Some(START_MS));
        for (n, works) in [(11, false), (12, true), (13, true)] {
            let enrolled = store.enrol([n; 32], device(n.into()), "", [n; 32], None, START_MS).await.unwrap();
            assert_eq!(enrolled.is_some(), works, "{n}");
        }
    }

    async fn a_code_can_still_be_used_after_an_error(database: &TestDatabase) {
        let store = database.open().await;
        enrol(&store, 1, Role::Field, &[]).await;
        store.create_code(code(CODE.map(|_| 50), Role::Field, &[area(1)])).await.unwrap();
        // The id and the token are taken: the caller has to make others.
        assert!(store.enrol([50; 32], device(1), "", [51; 32], None, START_MS).await.is_err());
        assert!(store.enrol([50; 32], device(2), "", [1; 32], None, START_MS).await.is_err());
        assert!(store.enrol([50; 32], device(2), "", [51; 32], None, START_MS).await.unwrap().is_some());
    }

    async fn a_device_has_its_subtrees_in_full_and_what_is_above_them_as_reference(database: &TestDatabase) {
        let store = database.open().await;
        plant_city(&store).await;
        enrol(&store, 1, Role::Field, &[area(2)]).await;
        enrol(&store, 2, Role::Coordinator, &[area(4)]).await;
        enrol(&store, 3, Role::Field, &[area(4), area(2)]).await;
        enrol(&store, 4, Role::Field, &[area(5), area(3)]).await;
        enrol(&store, 5, Role::Field, &[]).await;
        enrol(&store, 6, Role::Field, &[area(99)]).await;
        let (full, reference) = (Access::Full, Access::Reference);
        let expected = [
            (1, vec![(1, reference), (2, full), (4, full), (5, full)]),
            (2, vec![(1, reference), (2, reference), (4, full)]),
            (3, vec![(1, reference), (2, full), (4, full), (5, full)]),
            (4, vec![(1, reference), (2, reference), (3, full), (5, full)]),
            (5, vec![]),
            (6, vec![]),
        ];
        for (token, areas) in expected {
            let caller = call(&store, token).await;
            let expected: BTreeMap<AreaId, Access> = areas.iter().map(|(n, access)| (area(*n), *access)).collect();
            assert_eq!(scope(&caller), expected, "device {token}");
            assert_eq!(caller.scope.len(), expected.len(), "each once");
            assert!(caller.scope.is_sorted_by_key(|scoped| scoped.area));
            for n in 1..=5 {
                assert_eq!(caller.access(area(n)), expected.get(&area(n)).copied());
                assert_eq!(caller.holds(area(n)), expected.get(&area(n)) == Some(&full));
            }
            let listed = store.device(device(token.into())).await.unwrap().unwrap();
            assert_eq!(caller.device, listed, "both tell the same of a device");
        }
    }

    async fn administrators_and_the_system_have_every_area(database: &TestDatabase) {
        let store = database.open().await;
        plant_city(&store).await;
        enrol(&store, 1, Role::Admin, &[]).await;
        enrol(&store, 2, Role::Admin, &[area(4)]).await;
        for token in [1, 2] {
            let caller = call(&store, token).await;
            assert_eq!(scope(&caller), (1..=5).map(|n| (area(n), Access::Full)).collect());
        }
    }

    async fn a_caller_sees_the_heads_and_the_tree_of_the_moment(database: &TestDatabase) {
        let store = database.open().await;
        plant_city(&store).await;
        enrol(&store, 1, Role::Field, &[area(2)]).await;
        let mut phone = Phone::enrol(&store, 100).await;
        phone.send(&store, [create_place(record(1), area(4), "a"), create_place(record(2), area(4), "b")]).await;
        let head = |caller: &Caller, n| caller.scope.iter().find(|it| it.area == area(n)).unwrap().head;
        let caller = call(&store, 1).await;
        assert_eq!([head(&caller, 4), head(&caller, 5)], [3, 1]);
        phone.send(&store, [create_area(area(6), Some(area(5)))]).await;
        let caller = call(&store, 1).await;
        assert_eq!([head(&caller, 5), head(&caller, 6)], [1, 1]);
        assert!(caller.holds(area(6)), "what is planted below an area belongs to those who have it");
    }

    async fn a_revoked_device_is_still_named_by_its_token(database: &TestDatabase) {
        let store = database.open().await;
        plant_city(&store).await;
        enrol(&store, 1, Role::Field, &[area(2)]).await;
        assert!(store.revoke(device(1), START_MS + 5).await.unwrap());
        assert!(store.revoke(device(1), START_MS + 9).await.unwrap());
        assert_eq!(call(&store, 1).await.device.revoked_ms, Some(START_MS + 5), "the first time counts");
        assert!(!store.revoke(device(2), START_MS).await.unwrap(), "there is none");
    }

    async fn the_ops_of_a_revoked_device_are_taken_into_quarantine(database: &TestDatabase) {
        let store = database.open().await;
        plant(&store, [(area(1), None)]).await;
        let mut phone = Phone::enrol(&store, 1).await;
        store.revoke(phone.id, START_MS).await.unwrap();
        let arrival = refused(phone.one(create_place(record(1), area(1), "a place")));
        let receipt = phone.submit(&store, vec![arrival]).await;
        assert_eq!((outcomes(&receipt), receipt.acknowledged_through), (vec![Outcome::Quarantined], 1));
    }

    async fn an_old_token_names_nobody_after_rotation(database: &TestDatabase) {
        let store = database.open().await;
        enrol(&store, 1, Role::Field, &[]).await;
        assert!(store.rotate(device(1), [9; 32]).await.unwrap());
        assert_eq!(store.caller([1; 32]).await.unwrap(), None);
        assert_eq!(call(&store, 9).await.device.id, device(1));
        assert!(!store.rotate(device(2), [8; 32]).await.unwrap(), "there is none");
    }

    async fn an_assignment_changes_the_scope_at_once_and_counts_its_versions(database: &TestDatabase) {
        let store = database.open().await;
        plant_city(&store).await;
        enrol(&store, 1, Role::Field, &[area(4), area(3)]).await;
        assert_eq!(store.assign(device(1), &[area(5), area(4)]).await.unwrap(), Some(2));
        let caller = call(&store, 1).await;
        assert_eq!(caller.device.scope_version, 2);
        assert_eq!(caller.device.areas, [area(4), area(5)]);
        assert!(!caller.holds(area(3)) && caller.holds(area(5)));
        // Back again, and named twice.
        assert_eq!(store.assign(device(1), &[area(3), area(3)]).await.unwrap(), Some(3));
        assert_eq!(call(&store, 1).await.device.areas, [area(3)]);
        assert_eq!(store.assign(device(1), &[]).await.unwrap(), Some(4));
        assert_eq!(call(&store, 1).await.scope, []);
        assert_eq!(store.assign(device(2), &[area(3)]).await.unwrap(), None, "there is none");
    }

    async fn work_recorded_before_the_end_of_an_assignment_was_known_is_held(database: &TestDatabase) {
        let store = database.open().await;
        plant_city(&store).await;
        enrol(&store, 1, Role::Field, &[area(2)]).await;
        let held = async |n, version| store.held(device(1), area(n), version).await.unwrap();
        assert!(held(2, 1).await && held(4, 1).await && held(4, 0).await && held(4, u64::MAX).await);
        assert!(!held(1, 1).await && !held(3, 1).await && !held(99, 1).await);

        store.assign(device(1), &[area(3)]).await.unwrap(); // version 2
        assert!(held(4, 1).await, "recorded when the device knew version 1");
        assert!(!held(4, 2).await, "recorded when it knew of the end");
        assert!(held(3, 1).await && held(3, 2).await);
        store.assign(device(1), &[area(5)]).await.unwrap(); // version 3
        assert!(!held(4, 2).await && held(4, 1).await && held(3, 2).await && !held(3, 3).await && held(5, 3).await);
        store.assign(device(1), &[area(4)]).await.unwrap(); // version 4
        assert!(held(4, 4).await && held(4, 2).await);
        assert!(!store.held(device(2), area(4), 1).await.unwrap());
    }

    async fn concurrent_assignments_end_with_one_of_them(database: &TestDatabase) {
        let stores = [database.open().await, database.open().await];
        plant_city(&stores[0]).await;
        enrol(&stores[0], 1, Role::Field, &[]).await;
        let tasks: Vec<_> = (0..12_usize)
            .map(|n| {
                let store = stores[n % 2].clone();
                let areas = [area(1 + n as u128 % 5), area(1 + (n as u128 + 1) % 5)];
                tokio::spawn(async move { (store.assign(device(1), &areas).await.unwrap().unwrap(), areas) })
            })
            .collect();
        let mut by_version = BTreeMap::new();
        for task in tasks {
            let (version, areas) = task.await.unwrap();
            by_version.insert(version, areas);
        }
        assert_eq!(by_version.len(), 12, "each has its version");
        let mut last = by_version[&13].to_vec();
        last.sort();
        assert_eq!(call(&stores[1], 1).await.device.areas, last);
    }

    async fn a_copy_becomes_a_device_with_the_same_role_areas_and_holder(database: &TestDatabase) {
        let store = database.open().await;
        plant_city(&store).await;
        enrol(&store, 1, Role::Coordinator, &[area(2)]).await;
        store.assign(device(1), &[area(3)]).await.unwrap();
        let made = store.fork(OpId { device: device(1), seq: 1 }, device(2), TOKEN, START_MS + 7).await.unwrap().unwrap();
        assert_eq!((made.role, made.worker, made.areas.as_slice()), (Role::Coordinator, Some(record(70)), &[area(3)][..]));
        assert_eq!((made.acknowledged_through, made.forked_at, made.enrolled_ms), (0, None, START_MS + 7));
        assert_eq!(made.copy_of, Some(device(1)));
        assert_eq!(store.caller(TOKEN).await.unwrap().unwrap().device.id, device(2));
        assert!(store.held(device(2), area(4), 1).await.unwrap(), "what it recorded for the old area counts too");
        assert!(!store.held(device(2), area(4), 2).await.unwrap());

        let again = store.fork(OpId { device: device(1), seq: 1 }, device(2), TOKEN, START_MS + 8).await.unwrap();
        assert_eq!(again, Some(made), "the answer may have been lost");
        assert_eq!(store.fork(OpId { device: device(1), seq: 1 }, device(2), [10; 32], START_MS).await.unwrap(), None, "it has another token");

        assert_eq!(store.fork(OpId { device: device(9), seq: 1 }, device(10), [10; 32], START_MS).await.unwrap(), None, "there is none");
        store.revoke(device(1), START_MS).await.unwrap();
        let copy = store.fork(OpId { device: device(1), seq: 1 }, device(11), [11; 32], START_MS).await.unwrap().unwrap();
        assert!(copy.revoked_ms.is_some(), "what was revoked stays so under another name");
        let left = database.number(&store, "SELECT count(*) FROM device_areas WHERE device NOT IN (SELECT id FROM devices)");
        assert_eq!(left.await.unwrap(), 0);
    }

    async fn a_copy_asked_for_again_gets_at_no_name_that_may_do_more(database: &TestDatabase) {
        let store = database.open().await;
        plant_city(&store).await;
        enrol(&store, 1, Role::Coordinator, &[area(2), area(3)]).await;
        let again = async || store.fork(OpId { device: device(1), seq: 1 }, device(2), TOKEN, START_MS).await.unwrap();
        let made = again().await.expect("a device");
        assert_eq!(again().await, Some(made));
        store.assign(device(1), &[area(3)]).await.unwrap();
        assert_eq!(again().await, None, "the other lost an area that the copy has");
        store.assign(device(2), &[area(3)]).await.unwrap();
        assert!(again().await.is_some());
        store.revoke(device(1), START_MS).await.unwrap();
        assert!(again().await.is_some_and(|copy| copy.revoked_ms.is_some()), "so that it can hand over what it holds");
    }

    async fn copies_are_revoked_with_the_device_that_they_are_copies_of(database: &TestDatabase) {
        let store = database.open().await;
        plant_city(&store).await;
        for n in [1, 9] {
            enrol(&store, n, Role::Coordinator, &[area(2)]).await;
        }
        // A copy, a copy of the copy, and a copy of another device.
        for (of, copy) in [(1, 2), (2, 3), (9, 10)] {
            let from = OpId { device: device(of), seq: 1 };
            store.fork(from, device(copy), [copy as u8; 32], START_MS).await.unwrap().unwrap();
        }
        assert!(store.revoke(device(2), START_MS + 5).await.unwrap());
        assert!(store.revoke(device(1), START_MS + 9).await.unwrap());
        let mut revoked = Vec::new();
        for n in [1, 2, 3, 9, 10] {
            revoked.push(store.device(device(n)).await.unwrap().unwrap().revoked_ms.map(|ms| ms - START_MS));
        }
        assert_eq!(revoked, [Some(9), Some(5), Some(5), None, None]);
    }

    async fn the_ops_of_a_copy_keep_their_time(database: &TestDatabase) {
        let store = database.open().await;
        plant(&store, [(area(1), None)]).await;
        enrol(&store, 1, Role::Field, &[area(1)]).await;
        // Long after its enrolment it turns out that there are two; what the copy recorded before was before.
        let later = START_MS + 100_000 * MINUTE_MS;
        store.fork(OpId { device: device(1), seq: 1 }, device(2), TOKEN, later).await.unwrap().unwrap();
        let mut copy = Phone::of(device(2));
        copy.send(&store, [at(5, create_visit(record(1), area(1), "met"))]).await;
        assert_eq!(read(&store, record(1)).await.created.at_ms, START_MS + 5 * MINUTE_MS);
    }

    async fn the_ops_of_a_copy_come_after_those_before_its_fork(database: &TestDatabase) {
        let store = database.open().await;
        plant(&store, [(area(1), None)]).await;
        enrol(&store, 1, Role::Field, &[area(1)]).await;
        let mut phone = Phone::of(device(1));
        phone.send(&store, [at(9, create_place(record(1), area(1), "a place"))]).await;
        let from = OpId { device: device(1), seq: 2 };
        store.fork(from, device(2), TOKEN, START_MS + 20 * MINUTE_MS).await.unwrap().unwrap();
        // Its clock was slow, and it had not seen the place.
        let mut copy = Phone::of(device(2));
        copy.send(&store, [at(5, rename(record(1), area(1), "a place", "the place"))]).await;
        assert_eq!(read(&store, record(1)).await.text("name"), "the place");
    }

    async fn an_internal_device_is_the_same_each_time(database: &TestDatabase) {
        let store = database.open().await;
        plant(&store, [(area(1), None)]).await;
        let made = store.internal_device(device(1), "worker", Role::System, START_MS).await.unwrap();
        let mut phone = Phone::of(device(1));
        phone.send(&store, [create_place(record(1), area(1), "a place")]).await;
        let again = store.internal_device(device(1), "worker", Role::System, START_MS + 5).await.unwrap();
        assert_eq!(again, Device { acknowledged_through: 1, ..made });
    }

    async fn devices_are_listed_by_their_roots_and_in_pages(database: &TestDatabase) {
        let store = database.open().await;
        plant_city(&store).await;
        for n in 1..=9_u8 {
            enrol(&store, n, Role::Field, &[area(1 + u128::from(n) % 3)]).await;
        }
        store.assign(device(9), &[area(2), area(3)]).await.unwrap();
        let expected = |areas: Option<&[u128]>| -> Vec<DeviceId> {
            let has = |n: u128| match n {
                9 => vec![2, 3],
                n => vec![1 + n % 3],
            };
            (1..=9)
                .filter(|n| areas.is_none_or(|areas| has(*n).iter().any(|root| areas.contains(root))))
                .map(device)
                .collect()
        };
        for areas in [None, Some(&[1_u128][..]), Some(&[2]), Some(&[2, 3]), Some(&[4]), Some(&[])] {
            let ids: Option<Vec<AreaId>> = areas.map(|areas| areas.iter().map(|n| area(*n)).collect());
            let filter = DeviceFilter { areas: ids.as_deref(), ..DeviceFilter::default() };
            for limit in [1, 2, 4, 100] {
                let mut found: Vec<DeviceId> = Vec::new();
                loop {
                    let page = store.devices(&filter, found.last().copied(), limit).await.unwrap();
                    if page.is_empty() {
                        break;
                    }
                    assert!(page.len() <= limit as usize);
                    found.extend(page.iter().map(|device| device.id));
                }
                assert_eq!(store.count_devices(&filter).await.unwrap(), found.len() as u64);
                // Planting made one more, without areas.
                found.retain(|id| *id != device(0xffff));
                assert_eq!(found, expected(areas));
            }
        }
    }

    async fn a_device_in_a_list_has_all_of_its_roots_whichever_of_them_are_asked_for(database: &TestDatabase) {
        let store = database.open().await;
        plant_city(&store).await;
        enrol(&store, 1, Role::Field, &[area(5), area(2), area(3)]).await;
        enrol(&store, 2, Role::Field, &[area(4)]).await;
        enrol(&store, 3, Role::Admin, &[]).await;
        store.assign(device(1), &[area(5), area(3)]).await.unwrap();
        for areas in [Some(&[area(5)][..]), None] {
            let filter = DeviceFilter { areas, ..DeviceFilter::default() };
            for listed in store.devices(&filter, None, 100).await.unwrap() {
                assert_eq!(Some(&listed), store.device(listed.id).await.unwrap().as_ref());
            }
        }
        let left = [area(2)];
        let filter = DeviceFilter { areas: Some(&left), ..DeviceFilter::default() };
        assert_eq!(store.devices(&filter, None, 100).await.unwrap(), []);
    }

    async fn phones_that_nobody_has_heard_of_are_counted_as_they_are_listed(database: &TestDatabase) {
        let store = database.open().await;
        plant_city(&store).await;
        for n in [1, 2, 3, 5] {
            enrol(&store, n, Role::Field, &[area(2)]).await;
        }
        enrol(&store, 4, Role::Coordinator, &[area(2)]).await;
        enrol(&store, 6, Role::Field, &[area(3)]).await;
        store.revoke(device(3), START_MS).await.unwrap();
        store.note_contact(Contact { device: device(2), seen_ms: START_MS + 500, unsent_ops: 0 });
        store.close().await; // waits for what is under way
        let store = database.open().await;
        let silent = async |areas: Option<&[AreaId]>, since_ms| {
            let filter = DeviceFilter { areas, silent_since_ms: Some(since_ms) };
            let listed = store.devices(&filter, None, 100).await.unwrap();
            assert_eq!(store.count_devices(&filter).await.unwrap(), listed.len() as u64);
            listed.into_iter().map(|device| device.id).collect::<Vec<_>>()
        };
        assert_eq!(silent(None, START_MS - 1).await, [], "they were enrolled later");
        assert_eq!(silent(None, START_MS).await, [1, 5, 6].map(device), "2 called later");
        assert_eq!(silent(None, START_MS + 500).await, [1, 2, 5, 6].map(device));
        assert_eq!(silent(Some(&[area(2), area(4)]), START_MS).await, [1, 5].map(device));
        assert_eq!(silent(Some(&[]), START_MS).await, []);
    }

    async fn a_contact_is_noted(database: &TestDatabase) {
        let store = database.open().await;
        for n in 1..=3_u8 {
            enrol(&store, n, Role::Field, &[]).await;
        }
        for (n, seen_ms, unsent_ops) in [(1, 500, 7), (1, 400, 3), (2, 600, 0), (77, 1, 1)] {
            store.note_contact(Contact { device: device(n), seen_ms: START_MS + seen_ms, unsent_ops });
        }
        store.close().await; // waits for what is under way
        let store = database.open().await;
        let seen = async |n| {
            let device = store.device(device(n)).await.unwrap().unwrap();
            (device.seen_ms, device.unsent_ops)
        };
        assert_eq!(seen(1).await, (START_MS + 500, 7), "the last one counts");
        assert_eq!(seen(2).await, (START_MS + 600, 0));
        assert_eq!(seen(3).await, (0, 0));
    }

    async fn a_contact_by_a_clock_that_was_ahead_gives_way_to_the_next(database: &TestDatabase) {
        let store = database.open().await;
        enrol(&store, 1, Role::Field, &[]).await;
        store.close().await;
        let (day_ms, minute_ms) = (24 * 60 * MINUTE_MS, MINUTE_MS);
        // The clocks of servers differ by less than a minute.
        for (seen_ms, counts_ms) in [(day_ms, day_ms), (0, 0), (minute_ms - 1, minute_ms - 1), (0, minute_ms - 1)] {
            let store = database.open().await;
            store.note_contact(Contact { device: device(1), seen_ms: START_MS + seen_ms, unsent_ops: 0 });
            store.close().await; // waits for what is under way
            let store = database.open().await;
            let device = store.device(device(1)).await.unwrap().unwrap();
            assert_eq!(device.seen_ms, START_MS + counts_ms, "after a contact at {seen_ms}");
            store.close().await;
        }
    }
}

/// A commit holds the device with the lower id, and then wants the other: were they locked in another order, each would
/// wait for the other, and the database would give up one of them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_is_revoked_with_its_copies_beside_a_commit_of_them() {
    let database = TestDatabase::postgres().await;
    let store = database.open().await;
    let other = database.open().await;
    enrol(&store, 9, Role::Field, &[area(1)]).await;
    store.fork(OpId { device: device(9), seq: 1 }, device(2), TOKEN, START_MS).await.unwrap().unwrap();
    let Pool::Postgres(pool) = other.pool() else { panic!("it is PostgreSQL") };
    let mut commit = pool.begin().await.unwrap();
    let lock = |id: DeviceId| sqlx::query("SELECT id FROM devices WHERE id = $1 FOR UPDATE").bind(id.0);
    lock(device(2)).execute(&mut *commit).await.unwrap();
    let revoking = {
        let store = store.clone();
        tokio::spawn(async move { store.revoke(device(9), START_MS + 5).await })
    };
    let mut onlooker = PgConnection::connect(database.url()).await.unwrap();
    let mut looks = 0;
    while waiting_for_locks(&mut onlooker).await == 0 {
        looks += 1;
        assert!(looks < 10_000, "it does not wait for the copy");
    }
    lock(device(9)).execute(&mut *commit).await.unwrap();
    commit.commit().await.unwrap();
    assert!(revoking.await.unwrap().unwrap());
    for n in [2, 9] {
        assert_eq!(store.device(device(n)).await.unwrap().unwrap().revoked_ms, Some(START_MS + 5));
    }
    onlooker.close().await.unwrap();
    other.close().await;
    store.close().await;
}

async fn waiting_for_locks(onlooker: &mut PgConnection) -> i64 {
    let sql = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()";
    sqlx::query_scalar(sql).fetch_one(onlooker).await.unwrap()
}
