//! Whose turn it is, who is at it, and what becomes of a message when somebody crashes, hangs, or has a wrong clock.

use super::{DAY_MS, HOUR, MINUTE, Receiver, Site, failing};
use rounds_domain::op::Step;
use rounds_domain::{AreaId, Body, Kind, RecordId, body};
use rounds_store::{Channel, Delivery, DeliveryState, NewDelivery, Store, Tried};
use rounds_tests::{Act, TestClock, TestDatabase, new_id, on_both_databases};
use tokio::net::TcpListener;

impl Site {
    /// Another partner, with this web hook.
    async fn partner(&self, web_hook: &str) -> RecordId {
        let partner = body::Organization {
            name: "Heating Company".to_owned(),
            web_hook: web_hook.to_owned(),
            ..body::Organization::default()
        };
        self.add(self.district, Body::Organization(partner)).await
    }

    /// Tells a partner of something.
    async fn tell(&self, organization: RecordId) -> RecordId {
        self.raise(body::Notice {
            subject: Some(RecordId(new_id())),
            sort: "referral".to_owned(),
            organization: Some(organization),
            ..body::Notice::default()
        })
        .await
    }
}

/// A message to be sent, to a mailbox or a web hook.
async fn add(store: &Store, address: &str, now_ms: i64) -> RecordId {
    let channel = if address.starts_with("https:") { Channel::WebHook } else { Channel::Email };
    let (notice, area) = (RecordId(new_id()), AreaId(new_id()));
    let message = NewDelivery { notice, area, channel, address: address.to_owned() };
    store.add_deliveries(std::slice::from_ref(&message), now_ms).await.unwrap();
    message.id()
}

/// What is due, in its turn.
async fn due(store: &Store, now_ms: i64, at_once: u32, limit: u32) -> Vec<RecordId> {
    let due = store.due_deliveries(now_ms, at_once, limit).await.unwrap();
    due.into_iter().map(|delivery| delivery.id).collect()
}

/// Has the database do something, SQLite this and PostgreSQL that, before it writes that a delivery is in this state.
async fn before(database: &TestDatabase, state: &str, [sqlite, postgres]: [&str; 2]) {
    let sql = match database.is_postgres() {
        true => format!(
            "CREATE FUNCTION meanwhile() RETURNS trigger LANGUAGE plpgsql AS
                 $$ BEGIN {postgres}; RETURN NEW; END $$;
             CREATE TRIGGER meanwhile BEFORE UPDATE ON deliveries FOR EACH ROW WHEN (NEW.state = '{state}')
                 EXECUTE FUNCTION meanwhile();"
        ),
        false => format!(
            "CREATE TRIGGER meanwhile BEFORE UPDATE ON deliveries WHEN NEW.state = '{state}'
                 BEGIN {sqlite}; END;"
        ),
    };
    database.execute(&sql).await.unwrap();
}

on_both_databases! {
    async fn a_message_is_put_back_only_when_it_is_due_and_while_others_are_being_sent(database: &TestDatabase) {
        let store = database.open().await;
        let [first, second] = [add(&store, "a@example.org", 0).await, add(&store, "b@example.org", 0).await];
        let claim = async |id, now_ms, until_ms| store.claim_delivery(id, now_ms, until_ms).await.unwrap().is_some();
        let put_back = async |id, now_ms| store.put_back_delivery(id, now_ms, 1).await.unwrap();
        assert!(!put_back(second, 10).await, "nothing is being sent");
        assert!(claim(first, 10, 20).await);
        assert!(put_back(second, 10).await);
        assert!(!put_back(second, 20).await, "whoever was at the first has taken too long");
        assert!(claim(first, 20, 100).await && claim(second, 20, 30).await);
        assert!(!put_back(second, 25).await, "somebody is at it");
        assert!(put_back(second, 30).await);
        store.close().await;
    }

    async fn a_sender_that_crashed_is_followed_by_another_only_after_its_claim(database: &TestDatabase) {
        let (mut hook, site, worker) = failing(database).await;
        hook.answer(200);
        hook.posted();

        // Somebody else takes it on and ends before it can write down what came of it.
        site.clock.advance(MINUTE);
        worker.stop().await;
        let failing = site.only_delivery().await;
        let now_ms = site.clock.now_ms();
        let claimed = site.store.claim_delivery(failing.id, now_ms, now_ms + 90_000).await.unwrap().unwrap();
        assert_eq!(site.store.claim_delivery(failing.id, now_ms, now_ms + 90_000).await.unwrap(), None);
        let worker = site.worker(None).await;
        worker.drained().await.unwrap();
        assert_eq!(hook.posted().len(), 0, "somebody may still be at it");
        assert_eq!(site.only_delivery().await.state, DeliveryState::Sending);

        site.clock.advance(MINUTE * 2);
        worker.drained().await.unwrap();
        let posted = hook.posted();
        assert_eq!(posted.len(), 1);
        assert_eq!(posted[0].header("webhook-id"), failing.id.to_string());
        // The first, if it lives after all, may not write any more.
        let late = Tried::Failed("too late".to_owned());
        assert!(!site.store.end_try(&claimed, &late, site.clock.now_ms()).await.unwrap());
        assert_eq!(site.only_delivery().await.state, DeliveryState::Sent);
        site.close(worker).await;
    }

    async fn a_delivery_that_was_claimed_before_its_release_was_noted_is_due_again(database: &TestDatabase) {
        let store = database.open().await;
        let now_ms = TestClock::default().now_ms();
        add(&store, "desk@water.example.org", now_ms).await;
        let due = store.due_deliveries(now_ms, 1, 10).await.unwrap();
        assert!(store.claim_delivery(due[0].id, now_ms, now_ms + 90_000).await.unwrap().is_some());
        store.deliveries_released(&due).await.unwrap();
        assert_eq!(store.due_deliveries(now_ms + 90_000, 1, 10).await.unwrap().len(), 1, "should its sender crash");
        store.close().await;
    }

    async fn addresses_take_turns_and_none_is_sent_more_at_once_than_may_be(database: &TestDatabase) {
        let store = database.open().await;
        let now_ms = TestClock::default().now_ms();
        let mut busy = Vec::new();
        for n in 0..5 {
            busy.push(add(&store, "https://busy.example.org", n).await);
        }
        let late = add(&store, "https://late.example.org", 50).await;
        let early = add(&store, "https://early.example.org", 40).await;
        assert_eq!(due(&store, now_ms, 10, 4).await, [busy[0], early, late, busy[1]]);
        assert_eq!(due(&store, now_ms, 2, 10).await, [busy[0], early, late, busy[1]]);

        let until_ms = now_ms + 90_000;
        let claim = async |id| store.claim_delivery(id, now_ms, until_ms).await.unwrap().unwrap();
        claim(busy[0]).await;
        assert_eq!(due(&store, now_ms, 2, 10).await, [early, late, busy[1]]);
        assert!(!store.put_back_delivery(busy[1], now_ms, 2).await.unwrap(), "there is room for it");
        let second = claim(busy[1]).await;
        assert_eq!(due(&store, now_ms, 2, 10).await, [early, late]);
        assert!(!store.put_back_delivery(early, now_ms, 2).await.unwrap(), "it goes elsewhere");

        // A job for one of the others, that was released before.
        let released = store.due_deliveries(now_ms, 10, 10).await.unwrap();
        let released: Vec<_> = released.into_iter().filter(|it| it.address == "https://busy.example.org").collect();
        store.deliveries_released(&released).await.unwrap();
        assert!(store.put_back_delivery(busy[2], now_ms, 2).await.unwrap());
        assert_eq!(due(&store, now_ms, 2, 10).await, [early, late]);
        assert!(store.end_try(&second, &Tried::Sent, now_ms).await.unwrap());
        assert_eq!(due(&store, now_ms, 2, 10).await, [early, late, busy[2]]);
        assert_eq!(due(&store, until_ms, 2, 10).await, [early, late, busy[2], busy[0]], "should its sender crash");
        store.close().await;
    }

    async fn mailboxes_take_turns_and_share_the_room_of_the_server_that_takes_mail(database: &TestDatabase) {
        let store = database.open().await;
        let now_ms = TestClock::default().now_ms();
        let mut busy = Vec::new();
        for n in 0..3 {
            busy.push(add(&store, "busy@example.org", n).await);
        }
        let late = add(&store, "late@example.org", 50).await;
        let hook = add(&store, "https://example.org", 60).await;
        assert_eq!(due(&store, now_ms, 2, 10).await, [busy[0], late, hook]);
        let claim = async |id| store.claim_delivery(id, now_ms, now_ms + 90_000).await.unwrap().unwrap();
        claim(busy[0]).await;
        assert_eq!(due(&store, now_ms, 2, 10).await, [late, hook]);
        claim(late).await;
        assert_eq!(due(&store, now_ms, 2, 10).await, [hook]);
        assert!(!store.put_back_delivery(hook, now_ms, 2).await.unwrap(), "it goes elsewhere");
        assert!(store.put_back_delivery(busy[1], now_ms, 2).await.unwrap());
        store.close().await;
    }

    async fn an_address_that_does_not_answer_keeps_no_message_from_another(database: &TestDatabase) {
        let silent = TcpListener::bind("127.0.0.1:0").await.unwrap(); // it takes connections, and no more
        let url = format!("http://{}/hook", silent.local_addr().unwrap());
        let mut hook = Receiver::start().await;
        let site = Site::on(database, &url, "").await;
        let other = site.partner(&hook.url).await;
        for _ in 0..50 {
            site.tell(site.organization).await;
        }
        let worker = site.worker(None).await;
        let _under_way = [silent.accept().await.unwrap(), silent.accept().await.unwrap()];
        site.tell(other).await;
        hook.posted.recv().await.unwrap();
        let to_silent: Vec<_> = site.deliveries().await.into_iter().filter(|it| it.address == url).collect();
        let are = |state| to_silent.iter().filter(|it| it.state == state).count();
        assert_eq!(are(DeliveryState::Sending), 2, "half of all that may be under way");
        assert_eq!(are(DeliveryState::Waiting), to_silent.len() - 2, "the other waited for none of them");
        drop(worker);
        site.store.close().await;
    }

    async fn a_message_that_was_taken_is_sent_once_though_that_could_not_be_written_down_at_first(database: &TestDatabase) {
        let mut hook = Receiver::start().await;
        let site = Site::on(database, &hook.url, "").await;
        let worker = site.worker(None).await;
        before(database, "sent", ["SELECT RAISE(ABORT, 'not now')", "RAISE EXCEPTION 'not now'"]).await;
        site.tell(site.organization).await;
        hook.posted.recv().await.unwrap();
        assert_eq!(site.only_delivery().await.state, DeliveryState::Sending);
        let on = if database.is_postgres() { "ON deliveries" } else { "" };
        database.execute(&format!("DROP TRIGGER meanwhile {on}")).await.unwrap();
        worker.drained().await.unwrap();
        assert_eq!(site.only_delivery().await.state, DeliveryState::Sent);
        site.clock.advance(MINUTE * 2); // its claim would be over
        worker.drained().await.unwrap();
        assert_eq!(hook.posted().len(), 0);
        site.close(worker).await;
    }

    async fn a_notice_that_is_raised_again_while_its_message_is_withdrawn_is_sent(database: &TestDatabase) {
        let (mut hook, site, worker) = failing(database).await;
        let notice = site.only_delivery().await.notice;
        hook.answer(200);
        hook.posted();
        site.step_notice(notice, "withdrawn").await;
        worker.drained().await.unwrap();
        let raise = "UPDATE records SET status = 'raised',
                         body = replace(body, '\"status\":\"withdrawn\"', '\"status\":\"raised\"')
                     WHERE id = NEW.notice";
        before(database, "withdrawn", [raise; 2]).await;
        site.clock.advance(HOUR);
        worker.drained().await.unwrap();
        assert_eq!(hook.posted().len(), 1);
        assert_eq!(site.only_delivery().await.state, DeliveryState::Sent);
        site.close(worker).await;
    }

    async fn what_a_clock_that_ran_ahead_put_off_is_sent_when_it_is_set_back(database: &TestDatabase) {
        let mut hook = Receiver::start().await;
        let site = Site::on(database, &hook.url, "").await;
        let worker = site.worker(None).await;
        let begins_ms = site.clock.now_ms();
        hook.answer(500);
        site.clock.advance(HOUR * 24 * 30);
        site.tell(site.organization).await;
        worker.drained().await.unwrap();
        assert_eq!(hook.posted().len(), 1);
        hook.answer(200);
        site.clock.set(begins_ms + HOUR.as_millis() as i64);
        hook.posted.recv().await.unwrap();
        worker.drained().await.unwrap();
        assert_eq!(site.only_delivery().await.state, DeliveryState::Sent);
        site.close(worker).await;
    }

    async fn no_delivery_waits_longer_than_any_pause_once_the_clock_was_set_back(database: &TestDatabase) {
        let store = database.open().await;
        let now_ms = TestClock::default().now_ms();
        let ahead_ms = now_ms + 30 * DAY_MS;
        let (claim_ms, pause_ms) = (90_000, HOUR.as_millis() as i64);
        let claim = async |id, at_ms| store.claim_delivery(id, at_ms, at_ms + claim_ms).await.unwrap().unwrap();
        let fail = async |id, at_ms, until_ms| {
            let tried = Tried::Again(until_ms, "500".to_owned());
            assert!(store.end_try(&claim(id, at_ms).await, &tried, at_ms).await.unwrap());
        };
        let waiting = add(&store, "https://a.example.org", ahead_ms).await;
        let failing = add(&store, "https://b.example.org", ahead_ms).await;
        fail(failing, ahead_ms, ahead_ms + 1).await;
        let claimed = add(&store, "https://c.example.org", ahead_ms).await;
        claim(claimed, ahead_ms).await;
        let pausing = add(&store, "https://d.example.org", now_ms).await;
        fail(pausing, now_ms, now_ms + pause_ms).await;

        store.bring_deliveries_back(now_ms, now_ms + claim_ms, now_ms + pause_ms).await.unwrap();
        let due_at = async |at_ms| {
            let mut found = due(&store, at_ms, 1, 10).await;
            found.sort();
            found
        };
        let sorted = |mut ids: Vec<RecordId>| {
            ids.sort();
            ids
        };
        assert_eq!(due_at(now_ms).await, sorted(vec![waiting, failing]));
        assert_eq!(due_at(now_ms + claim_ms - 1).await, sorted(vec![waiting, failing]), "its sender may be at it");
        assert_eq!(due_at(now_ms + claim_ms).await, sorted(vec![waiting, failing, claimed]));
        assert_eq!(due_at(now_ms + pause_ms - 1).await, sorted(vec![waiting, failing, claimed]), "it failed just now");
        assert_eq!(due_at(now_ms + pause_ms).await, sorted(vec![waiting, failing, claimed, pausing]));
        store.close().await;
    }

    async fn a_delivery_whose_job_was_dropped_can_be_tried_again(database: &TestDatabase) {
        let store = database.open().await;
        let now_ms = TestClock::default().now_ms();
        let id = add(&store, "desk@water.example.org", now_ms).await;
        assert!(!store.retry_delivery(id, now_ms).await.unwrap(), "it is due anyway");
        let released = store.due_deliveries(now_ms, 1, 10).await.unwrap();
        store.deliveries_released(&released).await.unwrap();
        assert_eq!(due(&store, now_ms, 1, 10).await, []);
        assert!(store.retry_delivery(id, now_ms).await.unwrap());
        let [again] = &store.due_deliveries(now_ms, 1, 10).await.unwrap()[..] else { panic!("it is due") };
        assert_eq!((again.id, again.state), (id, DeliveryState::Waiting));
        assert!(again.turn > released[0].turn, "the name of its job is a new one");
        store.close().await;
    }

    async fn a_message_that_ends_whoever_sends_it_is_given_up_after_five_of_them(database: &TestDatabase) {
        let (mut hook, site, worker) = failing(database).await;
        hook.posted();
        worker.stop().await;
        let id = site.only_delivery().await.id;
        let claim = async || {
            site.clock.advance(MINUTE * 2);
            let now_ms = site.clock.now_ms();
            site.store.claim_delivery(id, now_ms, now_ms + 90_000).await.unwrap().unwrap()
        };

        // Four that end, and one that does not: it begins anew.
        for unended in 0..4 {
            assert_eq!(claim().await.unended, unended);
        }
        let later = Tried::Again(site.clock.now_ms(), "500".to_owned());
        assert!(site.store.end_try(&claim().await, &later, site.clock.now_ms()).await.unwrap());
        for unended in 0..5 {
            assert_eq!(claim().await.unended, unended);
        }

        hook.answer(200);
        site.clock.advance(MINUTE * 2);
        let worker = site.worker(None).await;
        worker.drained().await.unwrap();
        assert_eq!(hook.posted().len(), 0, "a sixth is not tried");
        let given_up = site.only_delivery().await;
        assert_eq!(given_up.state, DeliveryState::Failed);
        assert!(given_up.last_error.contains("5 times in a row"), "{}", given_up.last_error);

        // Somebody mended what was wrong.
        assert!(site.store.retry_delivery(id, site.clock.now_ms()).await.unwrap());
        worker.drained().await.unwrap();
        assert_eq!(hook.posted().len(), 1);
        site.close(worker).await;
    }

    async fn messages_to_a_server_that_does_not_answer_keep_no_other_work_from_being_done(database: &TestDatabase) {
        let silent = TcpListener::bind("127.0.0.1:0").await.unwrap(); // it takes connections, and no more
        let url = format!("http://{}/hook", silent.local_addr().unwrap());
        let site = Site::on(database, &url, "").await;
        let worker = site.worker(None).await;
        let request = site.referred_request().await;
        for _ in 0..50 {
            site.refer(request).await;
        }
        let violation = body::Violation { sort: "dumping".to_owned(), ..body::Violation::default() };
        let violation = site.add(site.community, Body::Violation(violation)).await;
        let mut hints = site.store.watch();
        let removed = Step { to: "removed".to_owned(), ..Step::default() };
        site.act(vec![Act::step(violation, site.community, Kind::Violation, removed)]).await;
        while site.store.about(&[violation], 0).await.unwrap().is_empty() {
            hints.recv().await.unwrap();
        }
        let is_under_way = |it: &Delivery| matches!(it.state, DeliveryState::Waiting | DeliveryState::Sending);
        assert!(site.deliveries().await.iter().all(is_under_way), "it waited for messages");
        drop(worker);
        site.store.close().await;
    }
}
