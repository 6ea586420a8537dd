//! Plans for many things at once.

use super::worker::Field;
use rounds_domain::template::Template;
use rounds_domain::{Action, Body, Kind, body};
use rounds_server::planning::{self, Planning};
use rounds_store::RecordFilter;
use rounds_tests::{Act, on_both_databases};

on_both_databases! {
    async fn plans_are_made_once_for_their_sorts_and_none_in_a_dry_run(database: &TestDatabase) {
        let field = Field::on(database).await;
        let things = ["elevator", "bench"].map(|sort| {
            let asset = body::Asset { name: sort.to_owned(), sort: sort.to_owned(), ..body::Asset::default() };
            Act::create(field.area, Body::Asset(asset))
        });
        let elevator = things[0].record();
        field.act(things).await;
        let template = Template::named("elevator-maintenance").unwrap();
        let made_and_there = async |dry_run| {
            let (plan, areas) = (template.plan(), vec![field.area]);
            let planning = Planning { template, plan, spread_days: 14, areas, beside_others: false, dry_run };
            let clock = field.clock.clock();
            let planned = planning::apply(&field.store, &clock, &planning, |_| {}).await.unwrap();
            (planned.made, planned.there)
        };
        let planned_for = async || {
            let filter = RecordFilter::of(Kind::Plan, vec![field.area], 10);
            let plans = field.store.records(&filter).await.unwrap();
            plans.into_iter().map(|numbered| numbered.record.subject()).collect::<Vec<_>>()
        };
        assert_eq!(made_and_there(true).await, (1, 0));
        assert!(planned_for().await.is_empty());
        assert_eq!(made_and_there(false).await, (1, 0));
        assert_eq!(planned_for().await, [Some(elevator)]);
        assert_eq!(made_and_there(false).await, (0, 1));
        assert_eq!(planned_for().await, [Some(elevator)]);
        field.store.close().await;
    }

    async fn what_has_another_plan_of_the_sort_gets_none_beside_it_unless_that_is_asked_for(database: &TestDatabase) {
        let field = Field::on(database).await;
        let elevators = ["planned", "ended", "deleted", "inspected"].map(|name| {
            let (name, sort) = (name.to_owned(), "elevator".to_owned());
            Act::create(field.area, Body::Asset(body::Asset { name, sort, ..body::Asset::default() }))
        });
        let [planned, ended, deleted, inspected] = [0, 1, 2, 3].map(|at: usize| elevators[at].record());
        field.act(elevators).await;
        let by_hand = |subject, sort: &str, until: &str| {
            let plan = body::Plan {
                subject: Some(subject),
                sort: sort.to_owned(),
                rule: "FREQ=MONTHLY".to_owned(),
                from: "2026-01-01".to_owned(),
                until: until.to_owned(),
                ..body::Plan::default()
            };
            Act::create(field.area, Body::Plan(plan))
        };
        let mistaken = by_hand(deleted, "maintenance", "");
        let delete = Action::Delete { reason: "entered twice".to_owned() };
        let delete = Act::on(mistaken.record(), field.area, Kind::Plan, delete);
        field
            .act([
                by_hand(planned, "maintenance", "2027-12-31"),
                by_hand(ended, "maintenance", "2026-06-30"),
                by_hand(inspected, "statutory_inspection", ""),
                mistaken,
                delete,
            ])
            .await;
        let template = Template::named("elevator-maintenance").unwrap();
        let made_there_and_others = async |beside_others, dry_run| {
            let plan = body::Plan { from: "2026-11-22".to_owned(), ..template.plan() };
            let areas = vec![field.area];
            let planning = Planning { template, plan, spread_days: 1, areas, beside_others, dry_run };
            let clock = field.clock.clock();
            let planned = planning::apply(&field.store, &clock, &planning, |_| {}).await.unwrap();
            assert_eq!(planned.things, 4);
            (planned.made, planned.there, planned.others)
        };
        assert_eq!(made_there_and_others(false, true).await, (3, 0, 1));
        assert_eq!(made_there_and_others(true, true).await, (4, 0, 0));
        assert_eq!(made_there_and_others(false, false).await, (3, 0, 1));
        assert_eq!(field.store.record(planning::plan_id(planned, template)).await.unwrap(), None);
        assert_eq!(made_there_and_others(false, false).await, (0, 3, 1));
        assert_eq!(made_there_and_others(true, false).await, (1, 3, 0));
        assert_eq!(made_there_and_others(false, false).await, (0, 4, 0));
        field.store.close().await;
    }
}
