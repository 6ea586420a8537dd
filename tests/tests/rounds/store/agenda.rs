//! Follow-ups as a calendar shows them.

use rounds_domain::{Body, RecordId, body};
use rounds_store::{AgendaFilter, DueCount};
use rounds_tests::{TestServer, new_id, on_both_databases};

on_both_databases! {
    async fn an_agenda_is_in_the_order_of_urgency_over_all_areas_and_goes_on_behind_any_entry(database: &TestDatabase) {
        let server = TestServer::start(database).await;
        let areas = [server.area("North", None).await, server.area("South", None).await];
        let mut wanted: Vec<(i64, RecordId)> = Vec::new();
        for (at, due_ms) in [3_000, 1_000, 2_000, 1_000, 2_000, 9_000].into_iter().enumerate() {
            let follow_up = body::FollowUp {
                source: Some(RecordId(new_id())),
                sort: if at < 4 { "maintenance" } else { "watering" }.to_owned(),
                due_at_ms: Some(due_ms),
                ..body::FollowUp::default()
            };
            wanted.push((due_ms, server.add(areas[at % 2], Body::FollowUp(follow_up)).await));
        }
        wanted.sort();
        let all = AgendaFilter { areas: &areas, status: "open", sort: "", from_ms: 1_000, before_ms: 9_000 };
        wanted.retain(|(due_ms, _)| *due_ms < 9_000);
        let mut found = Vec::new();
        while let Some(next) = server.store.agenda(&all, found.last().copied(), 1).await.unwrap().pop() {
            found.push((next.fields["due_at_ms"].as_i64().unwrap(), next.id));
        }
        assert_eq!(found, wanted);
        let ids = |records: Vec<rounds_domain::Record>| records.len();
        let only = |sort, status| AgendaFilter { sort, status, ..all.clone() };
        assert_eq!(ids(server.store.agenda(&only("watering", ""), None, 9).await.unwrap()), 1);
        assert_eq!(ids(server.store.agenda(&only("", "done"), None, 9).await.unwrap()), 0);

        let mut counts = server.store.agenda_counts(&only("maintenance", "")).await.unwrap();
        counts.sort();
        let count = |area: usize, due_ms, count| DueCount {
            area: areas[area], due_ms, sort: "maintenance".into(), status: "open".into(), count,
        };
        let mut wanted = vec![count(0, 3_000, 1), count(1, 1_000, 2), count(0, 2_000, 1)];
        wanted.sort();
        assert_eq!(counts, wanted);
        server.stop().await;
    }
}
