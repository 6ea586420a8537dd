//! Conflicts, and what is done about them.

use super::{Town, leads_to};
use rounds_domain::{Action, Body, Change, Kind, Role, body};
use rounds_proto::v1::Outcome;
use rounds_tests::{Act, on_both_databases};
use serde_json::Value;
use std::time::Duration;

on_both_databases! {
    async fn a_coordinator_settles_a_conflict_by_choosing_a_value(database: &TestDatabase) {
        let town = Town::on(database).await;
        let (_, later) = town.conflict().await;
        let browser = town.browser(Role::Coordinator).await;
        let page = browser.page("/conflicts").await;
        assert!(page.contains(">B</p>") && page.contains(">A</p>"), "{page}");
        let (record, device) = (town.dwelling.to_string(), later.id.to_string());
        let decide = async |choice: &str, now: &str| {
            let form = [
                ("record", record.as_str()),
                ("device", &device),
                ("seq", "1"),
                ("choice.name", choice),
                ("now.name", now),
            ];
            leads_to(&browser.post("/conflicts", &form).await).to_owned()
        };
        assert_eq!(decide("other", "\"C\"").await, "/conflicts?said=changed_meanwhile", "of a page out of date");
        assert_eq!(town.name().await, "B");
        assert_eq!(decide("other", "\"B\"").await, "/conflicts?said=settled");
        assert_eq!(town.name().await, "A");
        let page = browser.page("/conflicts?said=settled").await;
        assert!(page.contains("There is nothing here") && page.contains("The conflict is settled"), "{page}");
        assert_eq!(decide("keep", "\"B\"").await, "/conflicts?said=changed_meanwhile", "settled already");
        town.server.stop().await;
    }

    async fn a_value_that_holds_is_kept_and_the_conflict_is_gone(database: &TestDatabase) {
        let town = Town::on(database).await;
        let (_, later) = town.conflict().await;
        let browser = town.browser(Role::Admin).await;
        let form = [
            ("record", &*town.dwelling.to_string()),
            ("device", &later.id.to_string()),
            ("seq", "1"),
            ("choice.name", "keep"),
            ("now.name", "\"B\""),
        ];
        assert_eq!(leads_to(&browser.post("/conflicts", &form).await), "/conflicts?said=settled");
        assert_eq!(town.name().await, "B");
        let record = town.server.store.record(town.dwelling).await.unwrap().unwrap().record;
        assert!(record.disputes.is_empty());
        town.server.stop().await;
    }

    async fn all_fields_of_an_op_are_decided_at_once_and_each_by_itself(database: &TestDatabase) {
        let town = Town::on(database).await;
        let shed = body::Place {
            name: "Shed".into(),
            sort: "building".into(),
            code: "K0".into(),
            address: "Old Street 1".into(),
            ..Default::default()
        };
        let shed = town.server.add(town.north, Body::Place(shed)).await;
        let edited = |code: Value, address: Value| {
            let change = |field: &str, base: &str, value| Change { field: field.into(), base: base.into(), value };
            let changes = vec![change("code", "K0", code), change("address", "Old Street 1", address)];
            Act::on(shed, town.north, Kind::Place, Action::Edit { changes, reason: String::new() })
        };
        let mut one = town.server.enrol(Role::Field, &[town.north]).await;
        let mut other = town.server.enrol(Role::Field, &[town.north]).await;
        one.act(vec![edited("K1".into(), "New Street 2".into())]).await;
        town.server.clock.advance(Duration::from_secs(1));
        other.act(vec![edited(Value::Null, Value::Null)]).await;
        town.server.clock.advance(Duration::from_secs(1));
        let says = async || {
            let record = town.server.store.record(shed).await.unwrap().unwrap().record;
            [record.text("code").to_owned(), record.text("address").to_owned(), record.disputes.len().to_string()]
        };
        assert_eq!(says().await, ["", "", "2"]);

        let browser = town.browser(Role::Coordinator).await;
        let page = browser.page("/conflicts").await;
        assert_eq!(page.matches("class=\"conflict\"").count(), 1, "{page}");
        assert!(page.contains("name=\"choice.code\"") && page.contains("name=\"choice.address\""), "{page}");
        let (record, device) = (shed.to_string(), other.id.to_string());
        let decide = async |choices: &[(&str, &str)]| {
            let mut form = vec![("record", record.as_str()), ("device", device.as_str()), ("seq", "1")];
            form.extend([("now.code", "null"), ("now.address", "null")]);
            form.extend_from_slice(choices);
            leads_to(&browser.post("/conflicts", &form).await).to_owned()
        };
        assert_eq!(decide(&[("choice.address", "other")]).await, "/conflicts?said=changed_meanwhile");
        assert_eq!(says().await, ["", "", "2"], "nothing was decided on the code");
        let both = [("choice.code", "keep"), ("choice.address", "other")];
        assert_eq!(decide(&both).await, "/conflicts?said=settled");
        assert_eq!(says().await, ["", "New Street 2", "0"]);
        assert_eq!(town.server.store.ops_of(shed).await.unwrap().len(), 5, "one edit, and it is settled once");
        town.server.stop().await;
    }

    async fn a_conflict_can_be_settled_though_the_field_was_changed_since(database: &TestDatabase) {
        let town = Town::on(database).await;
        let (mut earlier, later) = town.conflict().await;
        let browser = town.browser(Role::Coordinator).await;
        let rename = async |is: &str, to: &str| {
            let act = Act::edit(town.dwelling, town.north, Kind::Place, "name", is.into(), to.into());
            let verdicts = town.server.admin.change(vec![act.op(&town.server.clock)]).await;
            assert_eq!(verdicts[0].outcome(), Outcome::Applied);
            town.server.clock.advance(Duration::from_secs(1));
        };
        let record = town.dwelling.to_string();
        let decide = async |device: String, seq: &str, choice: &str, now: &str| {
            let form = [
                ("record", record.as_str()),
                ("device", &device),
                ("seq", seq),
                ("choice.name", choice),
                ("now.name", now),
            ];
            leads_to(&browser.post("/conflicts", &form).await).to_owned()
        };
        rename("B", "C").await;
        let page = browser.page("/conflicts").await;
        assert!(page.contains(">C</p>") && page.contains(">A</p>") && !page.contains(">B</p>"), "{page}");
        let said = decide(later.id.to_string(), "1", "other", "\"B\"").await;
        assert_eq!(said, "/conflicts?said=changed_meanwhile", "the page did not show what holds now");
        assert_eq!(decide(later.id.to_string(), "1", "keep", "\"B\"").await, "/conflicts?said=settled");
        assert_eq!(town.name().await, "C");
        assert!(browser.page("/conflicts").await.contains("There is nothing here"));

        earlier.act(vec![town.renamed("D")]).await; // it still does not know of C
        town.server.clock.advance(Duration::from_secs(1));
        rename("D", "E").await;
        assert_eq!(decide(earlier.id.to_string(), "2", "other", "\"E\"").await, "/conflicts?said=settled");
        assert_eq!(town.name().await, "C");
        assert!(browser.page("/conflicts").await.contains("There is nothing here"));
        town.server.stop().await;
    }
}
