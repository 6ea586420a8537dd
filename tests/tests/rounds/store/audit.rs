//! The audit log: a chain that nobody can change without a trace.

use super::sample::*;
use rounds_domain::Role;
use rounds_store::{AuditAction, AuditFault, AuditFilter, NewAudit, Store};
use rounds_tests::{TestDatabase, on_both_databases};
use sha2::{Digest, Sha256};

async fn note(store: &Store, at_ms: i64, subject: &str) {
    store.audit(NewAudit::of_operator(at_ms, AuditAction::Export, subject)).await.unwrap();
}

async fn fault(store: &Store) -> Option<AuditFault> {
    store.verify_audit(None).await.unwrap().fault
}

/// Changes the log as somebody with all rights on the database could.
async fn force(database: &TestDatabase, sql: &str) {
    let past = match database.is_postgres() {
        true => format!("ALTER TABLE audit DISABLE TRIGGER ALL; {sql}; ALTER TABLE audit ENABLE TRIGGER ALL"),
        false => format!(
            "DROP TRIGGER audit_is_not_changed; DROP TRIGGER audit_is_not_cut; {sql};
             CREATE TRIGGER audit_is_not_changed BEFORE UPDATE ON audit BEGIN SELECT RAISE(ABORT, 'no'); END;
             CREATE TRIGGER audit_is_not_cut BEFORE DELETE ON audit BEGIN SELECT RAISE(ABORT, 'no'); END"
        ),
    };
    database.execute(&past).await.unwrap();
}

on_both_databases! {
    async fn the_audit_log_is_listed_as_it_was_written_and_found_whole(database: &TestDatabase) {
        let store = database.open().await;
        assert_eq!(fault(&store).await, None, "an empty one");
        let phone = store.internal_device(device(1), "a phone", Role::Coordinator, 0).await.unwrap();
        note(&store, 1, "50%_\\of").await;
        let entry = NewAudit::of(&phone, 2, AuditAction::ContactRead, record(7));
        store.audit(entry.with("over the phone")).await.unwrap();
        store.audit(NewAudit::of_system(3, AuditAction::ContactErased, record(7))).await.unwrap();

        let all = store.audit_entries(&AuditFilter { limit: 10, ..AuditFilter::default() }).await.unwrap();
        let told: Vec<_> = all
            .iter()
            .map(|entry| (entry.seq, entry.at_ms, entry.device, entry.role.as_str(), entry.action.as_str()))
            .collect();
        assert_eq!(
            told,
            [
                (1, 1, None, "operator", "export"),
                (2, 2, Some(device(1)), "coordinator", "contact.read"),
                (3, 3, None, "system", "contact.erased"),
            ]
        );
        assert_eq!((all[1].subject.as_str(), all[1].detail.as_str()), (&*record(7).to_string(), "over the phone"));
        let found = async |filter: AuditFilter| -> Vec<u64> {
            store.audit_entries(&filter).await.unwrap().iter().map(|entry| entry.seq).collect()
        };
        let all = AuditFilter { limit: 10, ..AuditFilter::default() };
        assert_eq!(found(AuditFilter { subject: Some(record(7).to_string()), ..all.clone() }).await, [2, 3]);
        assert_eq!(found(AuditFilter { subject: Some("50%_\\".to_owned()), ..all.clone() }).await, [1]);
        assert_eq!(found(AuditFilter { subject: Some("5%".to_owned()), ..all.clone() }).await, [0_u64; 0]);
        assert_eq!(found(AuditFilter { action: Some(AuditAction::ContactRead), ..all.clone() }).await, [2]);
        assert_eq!(found(AuditFilter { from_ms: Some(2), ..all.clone() }).await, [2, 3]);
        assert_eq!(found(AuditFilter { limit: 1, ..all }).await, [3], "the last ones");

        let verified = store.verify_audit(None).await.unwrap();
        assert_eq!((verified.entries, verified.fault.clone()), (3, None));
        note(&store, 4, "later").await;
        assert_eq!(store.verify_audit(Some(verified.head)).await.unwrap().fault, None, "what was noted is in it");
        assert_eq!(store.verify_audit(Some([9; 32])).await.unwrap().fault, Some(AuditFault::Unknown));
        store.close().await;
    }

    async fn the_database_itself_refuses_to_change_or_cut_the_audit_log(database: &TestDatabase) {
        let store = database.open().await;
        note(&store, 1, "a").await;
        for sql in ["UPDATE audit SET subject = 'b'", "DELETE FROM audit"] {
            let refused = database.execute(sql).await.unwrap_err().to_string();
            assert!(refused.contains("append-only"), "{sql}: {refused}");
        }
        if database.is_postgres() {
            let refused = database.execute("TRUNCATE audit").await.unwrap_err().to_string();
            assert!(refused.contains("append-only"), "{refused}");
        }
        assert_eq!(fault(&store).await, None);
        store.close().await;
    }

    async fn the_hash_of_an_entry_is_over_the_one_before_and_every_part(database: &TestDatabase) {
        let store = database.open().await;
        let phone = store.internal_device(device(1), "a phone", Role::Coordinator, 0).await.unwrap();
        note(&store, 1, "居").await;
        let read = NewAudit::of(&phone, 2, AuditAction::ContactRead, record(7));
        store.audit(read.with("over the phone")).await.unwrap();
        note(&store, 3, "all").await;
        let all = AuditFilter { limit: 10, ..AuditFilter::default() };
        let mut before = [0_u8; 32];
        for entry in store.audit_entries(&all).await.unwrap() {
            let mut hash = Sha256::new();
            hash.update(before);
            hash.update(entry.seq.to_be_bytes());
            hash.update(entry.at_ms.to_be_bytes());
            hash.update(entry.device.map_or([0; 16], |id| id.0.into_bytes()));
            for part in [&entry.role, &entry.action, &entry.subject, &entry.detail] {
                hash.update((part.len() as u64).to_be_bytes());
                hash.update(part.as_bytes());
            }
            before = hash.finalize().into();
            assert_eq!(entry.hash, before, "{entry:?}");
        }
        let verified = store.verify_audit(None).await.unwrap();
        assert_eq!((verified.entries, verified.head), (3, before));
        store.close().await;
    }

    async fn an_entry_that_was_changed_is_found(database: &TestDatabase) {
        let store = database.open().await;
        let by_another = format!("SET device = {} WHERE seq = 3", database.literal(device(1).0));
        let subjects: Vec<String> = (1..=5).map(|n| format!("subject {n}")).collect();
        for (at, subject) in subjects.iter().enumerate() {
            note(&store, at as i64, subject).await;
        }
        for change in [
            "SET subject = 'subject X' WHERE seq = 3",
            "SET at_ms = 77 WHERE seq = 3",
            by_another.as_str(),
            "SET role = 'admin' WHERE seq = 3",
            "SET action = 'sign_in' WHERE seq = 3",
            "SET detail = 'nothing to see' WHERE seq = 3",
            // Over the border between two parts.
            "SET role = 'operatore', action = 'xport' WHERE seq = 3",
        ] {
            force(database, "CREATE TABLE kept AS SELECT * FROM audit WHERE seq = 3").await;
            force(database, &format!("UPDATE audit {change}")).await;
            assert_eq!(fault(&store).await, Some(AuditFault::Changed(3)), "{change}");
            force(database, "DELETE FROM audit WHERE seq = 3; INSERT INTO audit SELECT * FROM kept; DROP TABLE kept")
                .await;
            assert_eq!(fault(&store).await, None);
        }
        store.close().await;
    }

    async fn an_entry_that_was_taken_out_or_put_in_is_found(database: &TestDatabase) {
        let store = database.open().await;
        for at in 1..=5 {
            note(&store, at, "a").await;
        }
        let head = store.verify_audit(None).await.unwrap().head;
        force(database, "CREATE TABLE kept AS SELECT * FROM audit").await;
        let back = "DELETE FROM audit; INSERT INTO audit SELECT * FROM kept";
        for (change, found) in [
            ("DELETE FROM audit WHERE seq = 3", AuditFault::Missing(3)),
            ("DELETE FROM audit WHERE seq = 5", AuditFault::Missing(5)),
            ("DELETE FROM audit", AuditFault::Missing(1)),
            ("INSERT INTO audit SELECT 6, at_ms, device, role, action, subject, detail, hash FROM kept WHERE seq = 5", AuditFault::Behind(6)),
            ("INSERT INTO audit SELECT 0, at_ms, device, role, action, subject, detail, hash FROM kept WHERE seq = 5", AuditFault::Behind(0)),
        ] {
            force(database, change).await;
            assert_eq!(fault(&store).await, Some(found), "{change}");
            force(database, back).await;
            assert_eq!(fault(&store).await, None);
        }
        // Cut, and the head with it: only who noted the hash before can tell.
        force(
            database,
            "DELETE FROM audit WHERE seq > 3; UPDATE audit_head SET seq = 3, hash = (SELECT hash FROM audit WHERE seq = 3)",
        )
        .await;
        assert_eq!(fault(&store).await, None);
        assert_eq!(store.verify_audit(Some(head)).await.unwrap().fault, Some(AuditFault::Unknown));
        store.close().await;
    }

    async fn many_servers_write_one_chain(database: &TestDatabase) {
        let mut stores = Vec::new();
        for _ in 0..3 {
            stores.push(database.open().await);
        }
        let mut tasks = Vec::new();
        for n in 0..60 {
            let store = stores[n % 3].clone();
            tasks.push(tokio::spawn(async move { note(&store, n as i64, &n.to_string()).await }));
        }
        for task in tasks {
            task.await.unwrap();
        }
        let verified = stores[0].verify_audit(None).await.unwrap();
        assert_eq!((verified.entries, verified.fault), (60, None));
        for store in stores {
            store.close().await;
        }
    }
}
