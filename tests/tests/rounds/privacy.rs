//! Rounds is no tool for watching people: no table, view or export has a column for who somebody is.

use rounds_domain::Kind;
use rounds_domain::column::columns;
use rounds_tests::on_both_databases;

#[path = "../../../domain/tests/domain/forbidden.rs"]
mod forbidden;

use forbidden::FORBIDDEN;

/// What would say how to reach somebody in words of its own. `contacts` has it, encrypted, and nothing else has.
const REACHED: [&str; 3] = ["contact", "email", "wechat"];

/// The mailboxes of a partner and of two functions.
const MAILBOXES: [(&str, &str); 3] = [
    ("report_organizations", "email"),
    ("report_policies", "coordinator_email"),
    ("report_policies", "supervisor_email"),
];

fn is_personal(name: &str) -> bool {
    name.split('_').any(|word| FORBIDDEN.contains(&word) || REACHED.contains(&word))
}

on_both_databases! {
    async fn no_column_of_a_table_or_view_is_about_a_person(database: &TestDatabase) {
        let store = database.open().await;
        rounds_worker::Jobs::open(&store).await.unwrap(); // those of the job runner too
        let sql = match database.is_postgres() {
            true => {
                "SELECT table_name || '.' || column_name FROM information_schema.columns
                 WHERE table_schema NOT IN ('pg_catalog', 'information_schema')"
            }
            false => {
                "SELECT tables.name || '.' || columns.name
                 FROM sqlite_schema AS tables, pragma_table_info(tables.name) AS columns
                 WHERE tables.type IN ('table', 'view')"
            }
        };
        let found = database.texts(&store, sql).await.unwrap();
        for known in ["ops.body", "records.body", "contacts.sealed", "audit.subject", "report_requests.category"] {
            assert!(found.iter().any(|column| column == known), "{known} was not looked at");
        }
        for column in &found {
            let (table, name) = column.split_once('.').unwrap();
            if !MAILBOXES.contains(&(table, name)) {
                assert!(!is_personal(name), "{column}");
            }
        }
        let mut of_contacts: Vec<&str> =
            found.iter().filter_map(|column| column.strip_prefix("contacts.")).collect();
        of_contacts.sort_unstable();
        assert_eq!(of_contacts, ["half", "put_ms", "request", "sealed"], "nothing that could be read");
        store.close().await;
    }
}

#[test]
fn no_column_of_an_export_is_about_a_person() {
    for &kind in Kind::ALL {
        for column in columns(kind) {
            let view = format!("report_{}", kind.plural());
            if !MAILBOXES.contains(&(view.as_str(), column.name)) {
                assert!(!is_personal(column.name), "{kind:?}.{}", column.name);
            }
        }
    }
}
