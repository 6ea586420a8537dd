//! Records by what is asked of them, areas, and what changed.

use super::sample::*;
use rounds_domain::body::{Asset, FollowUp, Notice, Organization, Place, Policy, Term};
use rounds_domain::{Action, AreaId, Body, Change, Kind, Op, Outcome, RecordId};
use rounds_store::{Batch, Numbered, RecordFilter, Store};
use rounds_tests::on_both_databases;
use serde_json::json;
use std::collections::BTreeSet;

fn ids(found: &[Numbered]) -> Vec<RecordId> {
    found.iter().map(|numbered| numbered.record.id).collect()
}

fn place(id: u128, in_area: u128, code: &str, external_ref: &str) -> rounds_domain::Op {
    let body = Place {
        name: "4-2-301".into(),
        sort: "dwelling".into(),
        code: code.into(),
        external_ref: external_ref.into(),
        ..Place::default()
    };
    create(record(id), area(in_area), Body::Place(body))
}

fn elevator(id: u128, in_area: u128, at_place: u128) -> rounds_domain::Op {
    let body = Asset {
        name: "Elevator 1".into(),
        sort: "elevator".into(),
        place: Some(record(at_place)),
        code: "QR-7".into(),
        ..Asset::default()
    };
    create(record(id), area(in_area), Body::Asset(body))
}

fn organization(id: u128, in_area: u128) -> Op {
    let body = Organization { name: "Water".into(), ..Organization::default() };
    create(record(id), area(in_area), Body::Organization(body))
}

fn follow_up(id: u128, in_area: u128, due_at_ms: i64) -> rounds_domain::Op {
    let body = FollowUp {
        source: Some(record(99)),
        sort: "recheck".into(),
        due_at_ms: Some(due_at_ms),
        ..FollowUp::default()
    };
    create(record(id), area(in_area), Body::FollowUp(body))
}

fn notice(id: u128, in_area: u128, at_ms: i64, due_at_ms: i64) -> rounds_domain::Op {
    let body = Notice {
        subject: Some(record(99)),
        sort: "reminder".into(),
        at_ms: Some(at_ms),
        due_at_ms: Some(due_at_ms),
        ..Notice::default()
    };
    create(record(id), area(in_area), Body::Notice(body))
}

/// Any kind in any of these areas.
fn anything(areas: &[u128]) -> RecordFilter {
    RecordFilter {
        kind: None,
        ..RecordFilter::of(Kind::Place, areas.iter().map(|n| area(*n)).collect(), 100)
    }
}

/// All pages of a list.
async fn all(store: &Store, filter: &RecordFilter) -> Vec<Numbered> {
    let mut filter = filter.clone();
    let mut found: Vec<Numbered> = Vec::new();
    loop {
        let page = store.records(&filter).await.unwrap();
        assert!(page.len() <= filter.limit as usize);
        let Some(last) = page.last() else { return found };
        filter.after = Some(filter.place(last));
        found.extend(page);
    }
}

/// The whole of a list, in its order: its pages hold the same, however long they are.
async fn whole_and_in_pages(store: &Store, filter: &RecordFilter) -> Vec<Numbered> {
    let whole = store.records(&RecordFilter { limit: 1_000, ..filter.clone() }).await.unwrap();
    assert!(whole.is_sorted_by_key(|it| (it.record.area, it.number, it.record.id)));
    for limit in [1, 2, 7, 50] {
        assert_eq!(all(store, &RecordFilter { limit, ..filter.clone() }).await, whole);
    }
    assert_eq!(store.records(&RecordFilter { limit: 0, ..filter.clone() }).await.unwrap(), []);
    whole
}

on_both_databases! {
    async fn records_are_found_by_what_is_asked_of_them(database: &TestDatabase) {
        let store = database.open().await;
        plant(&store, [(area(1), None), (area(2), None)]).await;
        let mut phone = Phone::enrol(&store, 1).await;
        phone
            .send(&store, [
                at(1, place(1, 1, "QR-7", "register/1")),
                at(2, place(2, 1, "QR-8", "register/2")),
                at(3, place(3, 2, "QR-7", "register/1")),
                at(4, elevator(4, 1, 1)),
                at(5, elevator(5, 1, 2)),
                at(6, create_request(record(6), area(1))),
                at(7, create_request(record(7), area(1))),
                at(8, step(record(7), area(1), Kind::Request, "triaged")),
                at(9, step(record(6), area(1), Kind::Request, "verified")), // not allowed: a dispute
            ])
            .await;
        let found = async |filter: RecordFilter| ids(&store.records(&filter).await.unwrap());
        let of = |kind, areas: &[u128]| RecordFilter { kind: Some(kind), ..anything(areas) };
        let code = |filter: RecordFilter, code: &str| RecordFilter { code: Some(code.into()), ..filter };

        assert_eq!(found(of(Kind::Place, &[1])).await, [record(1), record(2)]);
        assert_eq!(found(of(Kind::Place, &[1, 2])).await, [record(1), record(2), record(3)]);
        assert_eq!(found(of(Kind::Place, &[2, 1, 2])).await, [record(1), record(2), record(3)]);
        assert_eq!(found(of(Kind::Place, &[])).await, []);
        assert_eq!(found(of(Kind::Place, &[99])).await, []);
        assert_eq!(found(code(anything(&[1, 2]), "QR-7")).await, [record(1), record(4), record(5), record(3)]);
        assert_eq!(found(code(of(Kind::Place, &[1, 2]), "QR-7")).await, [record(1), record(3)]);
        assert_eq!(found(code(of(Kind::Place, &[2]), "QR-7")).await, [record(3)]);
        assert_eq!(found(code(anything(&[1]), "qr-7")).await, [], "a code is exact");
        let external = RecordFilter { external_ref: Some("register/1".into()), ..anything(&[1]) };
        assert_eq!(found(external).await, [record(1)]);
        let subject = RecordFilter { subject: Some(record(1)), ..anything(&[1]) };
        assert_eq!(found(subject.clone()).await, [record(4)]);
        assert_eq!(found(code(subject, "QR-8")).await, [], "all conditions hold together");
        let status = |status: &str| RecordFilter { status: Some(status.into()), ..of(Kind::Request, &[1]) };
        assert_eq!(found(status("triaged")).await, [record(7)]);
        assert_eq!(found(status("open")).await, [record(6)]);
        assert_eq!(found(status("closed")).await, []);
        let disputed = RecordFilter { disputed: true, ..anything(&[1, 2]) };
        assert_eq!(found(disputed.clone()).await, [record(6)]);
        assert_eq!(found(RecordFilter { status: Some("triaged".into()), ..disputed }).await, []);
    }

    async fn what_is_due_is_listed_by_its_time(database: &TestDatabase) {
        let store = database.open().await;
        plant(&store, [(area(1), None), (area(2), None)]).await;
        let mut phone = Phone::enrol(&store, 1).await;
        phone
            .send(&store, [
                at(1, follow_up(1, 1, 300)),
                at(2, follow_up(2, 1, 100)),
                at(3, follow_up(3, 2, 200)),
                at(4, follow_up(4, 1, 200)),
                at(5, follow_up(5, 1, 200)),
                at(6, follow_up(6, 1, -5)), // from before there was Rounds
                at(7, notice(7, 1, 150, 300)),
                at(8, place(8, 1, "", "")),
                at(9, step(record(5), area(1), Kind::FollowUp, "done")),
                at(10, follow_up(9, 1, 250)),
                at(11, delete(record(9), area(1), Kind::FollowUp)),
            ])
            .await;
        let due = |from: Option<i64>, until: Option<i64>| RecordFilter {
            due_from_ms: from,
            due_until_ms: until,
            kind: Some(Kind::FollowUp),
            ..anything(&[1, 2])
        };
        let found = async |filter: RecordFilter| ids(&store.records(&filter).await.unwrap());
        let all_due = [record(2), record(4), record(5), record(1), record(3)];
        assert_eq!(found(due(Some(0), None)).await, all_due, "area by area");
        assert_eq!(found(due(Some(i64::MIN), Some(i64::MAX))).await, all_due);
        assert_eq!(found(due(None, Some(200))).await, [record(2)], "before, not at");
        assert_eq!(found(due(Some(200), Some(300))).await, [record(4), record(5), record(3)], "at or later");
        assert_eq!(found(due(Some(301), None)).await, []);
        assert_eq!(found(due(Some(300), Some(100))).await, []);
        let open = RecordFilter { status: Some("open".into()), ..due(Some(200), Some(300)) };
        assert_eq!(found(open).await, [record(4), record(3)]);
        let notices = |until| RecordFilter { kind: Some(Kind::Notice), ..due(Some(0), Some(until)) };
        assert_eq!(found(notices(151)).await, [record(7)], "a notice by when it was called for");
        assert_eq!(found(notices(150)).await, []);
        let of_any_kind = RecordFilter { kind: None, ..due(Some(0), Some(200)) };
        assert_eq!(found(of_any_kind).await, [record(2), record(7)]);
        let of_source = RecordFilter { subject: Some(record(99)), ..due(Some(0), Some(250)) };
        assert_eq!(found(of_source).await, [record(2), record(4), record(5), record(3)]);
        let disputed = RecordFilter { disputed: true, ..due(Some(0), None) };
        assert_eq!(found(disputed).await, []);

        let whole = store.records(&due(Some(0), None)).await.unwrap();
        for limit in [1, 2, 3] {
            assert_eq!(all(&store, &RecordFilter { limit, ..due(Some(0), None) }).await, whole);
        }
        let first = RecordFilter { limit: 2, ..due(Some(0), None) };
        let page = store.records(&first).await.unwrap();
        phone.send(&store, [at(12, step(record(2), area(1), Kind::FollowUp, "done"))]).await;
        let rest = RecordFilter { after: Some(first.place(&page[1])), ..due(Some(0), None) };
        assert_eq!(found(rest).await, all_due[2..], "what changes and stays due when it was does not come again");
    }

    async fn what_is_put_off_is_listed_at_its_new_time(database: &TestDatabase) {
        let store = database.open().await;
        plant(&store, [(area(1), None)]).await;
        let mut phone = Phone::enrol(&store, 1).await;
        phone.send(&store, [at(1, follow_up(1, 1, 100))]).await;
        let changes = vec![Change { field: "due_at_ms".into(), base: json!(100), value: json!(300) }];
        let put_off = on(record(1), area(1), Kind::FollowUp, Action::Edit { changes, reason: String::new() });
        phone.send(&store, [at(2, put_off)]).await;
        let due = async |from: i64, until: i64| {
            let filter = RecordFilter { due_from_ms: Some(from), due_until_ms: Some(until), ..anything(&[1]) };
            ids(&store.records(&filter).await.unwrap())
        };
        assert_eq!(due(0, 200).await, []);
        assert_eq!(due(200, 400).await, [record(1)]);
    }

    async fn what_is_searched_follows_the_record(database: &TestDatabase) {
        let store = database.open().await;
        plant(&store, [(area(1), None), (area(2), None)]).await;
        let mut phone = Phone::enrol(&store, 1).await;
        phone.send(&store, [at(1, place(1, 1, "QR-7", ""))]).await;
        let by_code = |areas: &[u128]| RecordFilter { code: Some("QR-7".into()), ..anything(areas) };
        phone.send(&store, [at(2, move_to(record(1), area(1), Kind::Place, area(2)))]).await;
        assert_eq!(store.records(&by_code(&[1])).await.unwrap(), []);
        assert_eq!(ids(&store.records(&by_code(&[2])).await.unwrap()), [record(1)]);
        // An earlier creation under the same name turns up, of another kind: it does not take its place.
        let mut late = Phone::enrol(&store, 2).await;
        late.send(&store, [at(0, create_visit(record(1), area(1), "met"))]).await;
        assert_eq!(ids(&store.records(&by_code(&[1, 2])).await.unwrap()), [record(1)]);
        let visits = RecordFilter { kind: Some(Kind::Visit), ..anything(&[1, 2]) };
        assert_eq!(store.records(&visits).await.unwrap(), []);
    }

    async fn deleted_records_are_in_no_list(database: &TestDatabase) {
        let store = database.open().await;
        plant(&store, [(area(1), None)]).await;
        let mut phone = Phone::enrol(&store, 1).await;
        phone
            .send(&store, [
                at(1, place(1, 1, "QR-7", "")),
                at(2, elevator(2, 1, 1)),
                at(3, delete(record(1), area(1), Kind::Place)),
                at(4, delete(record(2), area(1), Kind::Asset)),
            ])
            .await;
        assert_eq!(ids(&store.records(&anything(&[1])).await.unwrap()), [RecordId::from(area(1))]);
        let by_code = RecordFilter { code: Some("QR-7".into()), ..anything(&[1]) };
        assert_eq!(store.records(&by_code).await.unwrap(), []);
        assert!(read(&store, record(1)).await.deleted.is_some(), "by its name it is still found");
    }

    async fn pages_of_a_list_hold_each_record_once_in_one_order(database: &TestDatabase) {
        let store = database.open().await;
        plant(&store, [(area(1), None), (area(2), None), (area(3), None)]).await;
        let mut phone = Phone::enrol(&store, 1).await;
        for n in 0..40_u128 {
            let home = 1 + n % 3;
            phone.send_group(&store, [place(2 * n, home, "QR-7", ""), elevator(2 * n + 1, home, 0)]).await;
        }
        let filters = [
            anything(&[1, 2, 3]),
            anything(&[2, 3]),
            RecordFilter { kind: Some(Kind::Asset), ..anything(&[1, 2, 3]) },
            RecordFilter { code: Some("QR-7".into()), ..anything(&[1, 3]) },
            RecordFilter { subject: Some(record(0)), ..anything(&[1, 2, 3]) },
        ];
        for filter in filters {
            assert!(whole_and_in_pages(&store, &filter).await.len() >= 26);
        }
    }

    async fn pages_of_what_is_read_from_all_areas_at_once_hold_each_record_once_in_one_order(database: &TestDatabase) {
        let store = database.open().await;
        plant(&store, (1..=5).map(|n| (area(n), None))).await;
        let mut phone = Phone::enrol(&store, 1).await;
        // Written in another order than they are listed in: the last areas and ids first. All of an area have one number.
        for home in (1..=5_u128).rev() {
            let (partners, requests) = (100 * home..100 * home + 4, 100 * home + 50..100 * home + 54);
            let made = partners.clone().map(|n| organization(n, home));
            let raised = requests.clone().map(|n| create_request(record(n), area(home)));
            phone.send(&store, made.chain(raised).rev()).await;
            let renamed = partners.map(|n| {
                let renamed = rename(record(n), area(home), "Water", "Waterworks");
                Op { kind: Kind::Organization, ..renamed }
            });
            let steps = |n| ["triaged", "referred"].map(|to| step(record(n), area(home), Kind::Request, to));
            let outcomes = phone.send_group(&store, renamed.chain(requests.flat_map(steps))).await;
            assert_eq!(outcomes, [Outcome::Applied; 12]);
        }
        let of = |kind| RecordFilter::of(kind, (1..=5).map(area).collect(), 100);
        let referred = RecordFilter { status: Some("referred".into()), ..of(Kind::Request) };
        for filter in [of(Kind::Organization), referred] {
            assert_eq!(whole_and_in_pages(&store, &filter).await.len(), 20);
        }
    }

    async fn a_page_is_full_whatever_was_deleted_before_what_is_in_it(database: &TestDatabase) {
        let store = database.open().await;
        plant(&store, [(area(1), None)]).await;
        let mut phone = Phone::enrol(&store, 1).await;
        let doomed = (0..10).flat_map(|n| {
            [at(1, organization(n, 1)), at(2, delete(record(n), area(1), Kind::Organization))]
        });
        phone.send(&store, doomed.chain([organization(10, 1), organization(11, 1)])).await;
        for kind in [Some(Kind::Organization), None] {
            let filter = RecordFilter { kind, limit: 2, ..anything(&[1]) };
            assert_eq!(store.records(&filter).await.unwrap().len(), 2, "{kind:?}");
        }
    }

    async fn whoever_raised_a_record_is_who_was_first_to_be_taken_in(database: &TestDatabase) {
        let store = database.open().await;
        plant(&store, [(area(1), None)]).await;
        let [mut refused_one, mut first, mut second] =
            [Phone::enrol(&store, 1).await, Phone::enrol(&store, 2).await, Phone::enrol(&store, 3).await];
        let create = || create_request(record(1), area(1));
        let come = async |phone: &mut Phone, op: Op, is_refused: bool, minute: i64| {
            let arrival = phone.one(op);
            let arrivals = vec![if is_refused { refused(arrival) } else { arrival }];
            let batch = Batch { received_ms: RECEIVED_MS + minute * MINUTE_MS, ..phone.batch(arrivals) };
            outcomes(&store.submit(batch).await.unwrap())
        };
        assert_eq!(come(&mut refused_one, at(1, create()), true, 1).await, [Outcome::Quarantined]);
        assert_eq!(store.raised_by(record(1)).await.unwrap(), None);
        assert_eq!(come(&mut first, at(9, create()), false, 2).await, [Outcome::Applied]);
        assert_eq!(come(&mut second, at(2, create()), false, 3).await, [Outcome::Applied], "the same, and earlier");
        let raised = store.raised_by(record(1)).await.unwrap().expect("it was taken in");
        assert_eq!(raised.id(), first.op_id(1));
    }

    async fn words_come_from_above_and_policies_from_near(database: &TestDatabase) {
        let store = database.open().await;
        plant(&store, [(area(1), None), (area(2), Some(area(1)))]).await;
        let mut phone = Phone::enrol(&store, 1).await;
        let word = |id: u128, of: u128, word: &str| {
            let (vocabulary, word) = ("visit_outcome".to_owned(), word.to_owned());
            create(record(id), area(of), Body::Term(Term { vocabulary, word, ..Term::default() }))
        };
        let policy = |id: u128, of: u128| {
            create(record(id), area(of), Body::Policy(Policy { sort: "recheck".to_owned(), ..Policy::default() }))
        };
        let visit = create_visit_at(record(9), area(2), area(2).into(), "met");
        let ops = [word(3, 2, "asleep"), word(1, 1, "away"), word(2, 1, "out"), policy(4, 1), policy(5, 2), visit];
        assert_eq!(phone.send(&store, ops).await, [Outcome::Applied; 6]);
        let words = store.terms(area(2)).await.unwrap().into_iter().map(|term| term.word).collect::<Vec<_>>();
        assert_eq!(words, ["away", "out", "asleep"], "its own come last");
        assert_eq!(store.terms(area(1)).await.unwrap().len(), 2);
        let policies = async |of| -> Vec<RecordId> {
            store.policies(of).await.unwrap().unwrap().1.into_iter().map(|policy| policy.id).collect()
        };
        assert_eq!(policies(area(2)).await, [record(5), record(4)], "its own come first");
        assert_eq!(policies(area(1)).await, [record(4)]);
        phone.send(&store, [at(1, delete(record(5), area(2), Kind::Policy))]).await;
        assert_eq!(policies(area(2)).await, [record(5), record(4)], "it says since when it holds no more");
    }

    async fn what_is_about_a_record_is_told_but_for_work_that_was_over_long_ago(database: &TestDatabase) {
        let store = database.open().await;
        plant(&store, [(area(1), None)]).await;
        let mut phone = Phone::enrol(&store, 1).await;
        let day = 24 * 60 * MINUTE_MS;
        let work = |id: u128, due_at_ms: i64| {
            let (source, sort) = (Some(record(50)), "verification".to_owned());
            let due_at_ms = Some(due_at_ms);
            create(record(id), area(1), Body::FollowUp(FollowUp { source, sort, due_at_ms, ..FollowUp::default() }))
        };
        let visit = create_visit_at(record(9), area(1), record(50), "met");
        let other = create_visit_at(record(8), area(1), record(51), "met");
        phone.send(&store, (1..6).map(|id| work(id, START_MS)).chain([work(6, START_MS + day), visit, other])).await;
        let steps = [(1, "done"), (2, "cancelled"), (3, "missed"), (6, "done")];
        phone.send(&store, steps.map(|(id, to)| at(1, step(record(id), area(1), Kind::FollowUp, to)))).await;
        phone.send(&store, [at(2, delete(record(5), area(1), Kind::FollowUp))]).await;
        let about = async |since_ms| {
            let found = store.about(&[record(50)], since_ms).await.unwrap();
            found.into_iter().map(|numbered| numbered.record.id).collect::<BTreeSet<_>>()
        };
        assert_eq!(about(START_MS).await, [1, 2, 3, 4, 6, 9].map(record).into());
        assert_eq!(about(START_MS + day).await, [3, 4, 6, 9].map(record).into());
        assert_eq!(about(START_MS + 2 * day).await, [3, 4, 9].map(record).into());
    }

    async fn a_record_that_is_written_while_pages_are_read_is_never_left_out(database: &TestDatabase) {
        let store = database.open().await;
        plant(&store, [(area(1), None)]).await;
        let mut phone = Phone::enrol(&store, 1).await;
        phone.send(&store, (0..60).map(|n| place(n, 1, "", ""))).await;
        let mut filter = RecordFilter { limit: 5, ..RecordFilter::of(Kind::Place, vec![area(1)], 5) };
        let mut seen = BTreeSet::new();
        let mut round = 0;
        loop {
            let page = store.records(&filter).await.unwrap();
            let Some(last) = page.last() else { break };
            filter.after = Some((last.record.area, last.number, last.record.id));
            seen.extend(ids(&page));
            if round < 10 {
                let touched = [round, 59 - round].map(|n| rename(record(n), area(1), "4-2-301", "renamed"));
                phone.send(&store, touched).await;
            }
            round += 1;
        }
        assert_eq!(seen.len(), 60);
    }

    async fn the_tree_is_told_below_any_area(database: &TestDatabase) {
        let store = database.open().await;
        let areas = [(1, None), (2, Some(1)), (3, Some(2)), (4, Some(1)), (5, None)];
        plant(&store, areas.map(|(id, parent)| (area(id), parent.map(area)))).await;
        let below = async |n| store.subtree(area(n)).await.unwrap();
        let areas = |numbers: &[u128]| numbers.iter().map(|n| area(*n)).collect::<Vec<AreaId>>();
        assert_eq!(below(1).await, areas(&[1, 2, 3, 4]));
        assert_eq!(below(2).await, areas(&[2, 3]));
        assert_eq!(below(5).await, areas(&[5]));
        assert_eq!(below(99).await, []);
        assert_eq!(store.areas().await.unwrap(), areas(&[1, 2, 3, 4, 5]));
    }

    async fn the_tree_has_eight_levels_and_no_more(database: &TestDatabase) {
        let store = database.open().await;
        let depth = rounds_domain::limit::AREA_DEPTH_MAX as u128;
        plant(&store, (1..=depth).map(|n| (area(n), (n > 1).then(|| area(n - 1))))).await;
        let mut phone = Phone::enrol(&store, 1).await;
        let receipt = {
            let arrival = phone.one(create_area(area(90), Some(area(depth))));
            phone.submit(&store, vec![arrival]).await
        };
        assert_eq!(reasons(&receipt), [Some(rounds_domain::verdict::Reason::Invalid)]);
        assert_eq!(store.areas().await.unwrap().len() as u128, depth);
    }

    async fn an_area_created_by_many_at_the_same_time_is_one(database: &TestDatabase) {
        let stores = [database.open().await, database.open().await];
        plant(&stores[0], [(area(1), None)]).await;
        for round in 10..20_u128 {
            let mut tasks = Vec::new();
            for n in 0..6_u128 {
                let store = stores[n as usize % 2].clone();
                let mut phone = Phone::enrol(&store, round * 10 + n).await;
                tasks.push(tokio::spawn(async move {
                    phone
                        .send(&store, [
                            at(n as i64, create_area(area(round), Some(area(1)))),
                            at(n as i64, create_place(record(round * 10 + n), area(round), "a place")),
                        ])
                        .await
                }));
            }
            for task in tasks {
                let outcomes = task.await.unwrap();
                assert_eq!(outcomes[1], rounds_domain::Outcome::Applied, "{outcomes:?}");
            }
            let places = RecordFilter::of(Kind::Place, vec![area(round)], 100);
            assert_eq!(stores[0].records(&places).await.unwrap().len(), 6);
        }
        assert_eq!(stores[0].subtree(area(1)).await.unwrap().len(), 11);
    }

    async fn what_changed_between_two_numbers_is_told(database: &TestDatabase) {
        let store = database.open().await;
        plant(&store, [(area(1), None)]).await;
        let mut phone = Phone::enrol(&store, 1).await;
        phone.send(&store, (1..=6).map(|n| at(n as i64, place(n, 1, "", "")))).await; // numbers 2 to 7
        let changed = async |after, through| ids(&store.changed(area(1), after, through).await.unwrap());
        assert_eq!(changed(2, 4).await, [record(2), record(3)]);
        phone.send(&store, [at(9, rename(record(2), area(1), "4-2-301", "a name"))]).await;
        assert_eq!(changed(2, 4).await, [record(3)], "it is at a later number now");
        assert_eq!(changed(7, 8).await, [record(2)]);
        assert_eq!(changed(8, 100).await, []);
    }
}
