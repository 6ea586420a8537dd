//! Plans for many things at once.

use super::worker::Field;
use rounds_domain::template::Template;
use rounds_domain::{Body, Kind, body};
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
            let planning = Planning { template, plan, spread_days: 14, areas, dry_run };
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
}
