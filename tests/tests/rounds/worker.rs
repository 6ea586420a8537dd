//! What the worker promises: what happened becomes follow-ups, once, whatever stops in between.

use rounds_domain::op::Step;
use rounds_domain::{
    Action, AreaId, Body, Change, ClockReading, DeviceId, Kind, Op, Outcome, Record, RecordId, Role, body,
};
use rounds_store::{Arrival, Batch, Content, RecordFilter, Store, content_hash};
use rounds_tests::{Act, TestClock, TestDatabase, new_id, on_both_databases};
use rounds_worker::{DEVICE, Error, Fault, Options, Worker};
use serde_json::json;
use sqlx::{Connection, Executor, PgConnection};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::mpsc;

const HOUR: Duration = Duration::from_secs(60 * 60);
const DAY_MS: i64 = 24 * 60 * 60 * 1_000;

/// A store with one area, and people who act in it.
pub(super) struct Field {
    pub(super) store: Store,
    pub(super) clock: TestClock,
    pub(super) area: AreaId,
    phone: DeviceId,
}

impl Field {
    pub(super) async fn on(database: &TestDatabase) -> Self {
        let store = database.open().await;
        let field =
            Self { store, clock: TestClock::default(), area: AreaId(new_id()), phone: DeviceId(new_id()) };
        field.enrol(field.phone).await;
        let area = body::Area {
            name: "Riverside".to_owned(),
            time_zone: "Asia/Shanghai".to_owned(),
            ..body::Area::default()
        };
        field.act([Act::create_with_id(field.area.into(), field.area, Body::Area(area))]).await;
        field
    }

    async fn enrol(&self, phone: DeviceId) {
        self.store.internal_device(phone, "a phone", Role::Admin, self.clock.now_ms()).await.unwrap();
    }

    /// Somebody acts now.
    pub(super) async fn act(&self, acts: impl IntoIterator<Item = Act>) {
        self.bring(self.phone, acts.into_iter().map(|act| act.op(&self.clock))).await;
    }

    /// A phone brings what it recorded.
    async fn bring(&self, phone: DeviceId, ops: impl IntoIterator<Item = Op>) {
        let now_ms = self.clock.now_ms();
        let arrivals = ops.into_iter().map(|op| Arrival {
            seq: None,
            followed_by: 0,
            hash: content_hash(0, &serde_json::to_vec(&op).unwrap()),
            content: Content::Admitted(op),
        });
        let batch = Batch {
            device: phone,
            arrivals: arrivals.collect(),
            clock: ClockReading { wall_ms: now_ms, boot: 0, monotonic_ms: 0 },
            received_ms: now_ms,
            holds_from: 0,
            settled: None,
        };
        let receipt = self.store.submit(batch).await.unwrap();
        let applied = receipt.verdicts.iter().all(|(_, verdict)| verdict.outcome == Outcome::Applied);
        assert!(applied, "{receipt:?}");
    }

    async fn area_below(&self, name: &str, parent: Option<AreaId>) -> AreaId {
        let id = AreaId(new_id());
        let area = body::Area {
            name: name.to_owned(),
            parent: parent.map(RecordId::from),
            time_zone: "Asia/Shanghai".to_owned(),
            ..body::Area::default()
        };
        self.act([Act::create_with_id(id.into(), id, Body::Area(area))]).await;
        id
    }

    /// A violation that was found and removed now.
    pub(super) async fn removed_violation(&self) -> RecordId {
        self.removed_violation_in(self.area).await
    }

    async fn removed_violation_in(&self, area: AreaId) -> RecordId {
        let violation = self.found_violation_in(area).await;
        self.act([step(violation, area, "removed")]).await;
        violation
    }

    async fn found_violation(&self) -> RecordId {
        self.found_violation_in(self.area).await
    }

    async fn found_violation_in(&self, area: AreaId) -> RecordId {
        let dumping = body::Violation { sort: "dumping".to_owned(), ..body::Violation::default() };
        let act = Act::create(area, Body::Violation(dumping));
        let violation = act.record();
        self.act([act]).await;
        violation
    }

    /// A plan for a planting, due first on the 30th of November, and its adoption, which has to be confirmed by the 24th.
    async fn adopted_planting(&self) -> (RecordId, RecordId) {
        let planting = RecordId(new_id());
        let plan = body::Plan {
            subject: Some(planting),
            sort: "watering".to_owned(),
            rule: "FREQ=WEEKLY".to_owned(),
            from: "2026-11-30".to_owned(),
            ..body::Plan::default()
        };
        let adoption = body::Adoption {
            asset: Some(planting),
            confirm_by: "2026-11-24".to_owned(),
            ..body::Adoption::default()
        };
        let plan = Act::create(self.area, Body::Plan(plan));
        let adoption = Act::create(self.area, Body::Adoption(adoption));
        let ids = (plan.record(), adoption.record());
        self.act([plan, adoption]).await;
        ids
    }

    pub(super) async fn follow_ups_of(&self, source: RecordId) -> Vec<Record> {
        let mut found = self.about(source, Kind::FollowUp).await;
        found.sort_by_key(due_ms);
        found
    }

    /// What the notices about a follow-up are now.
    async fn notices_of(&self, follow_up: RecordId) -> Vec<String> {
        self.about(follow_up, Kind::Notice).await.into_iter().map(|notice| notice.status).collect()
    }

    async fn about(&self, subject: RecordId, kind: Kind) -> Vec<Record> {
        let areas = self.store.areas().await.unwrap();
        let filter = RecordFilter { subject: Some(subject), ..RecordFilter::of(kind, areas, 1_000) };
        let found = self.store.records(&filter).await.unwrap();
        found.into_iter().map(|numbered| numbered.record).collect()
    }

    /// How many ops the worker made so far.
    pub(super) async fn ops_of_the_worker(&self) -> u64 {
        self.store.device(DEVICE).await.unwrap().map_or(0, |device| device.acknowledged_through)
    }

    pub(super) async fn worker(&self) -> Worker {
        self.worker_with(options()).await
    }

    pub(super) async fn worker_with(&self, options: Options) -> Worker {
        let clock = self.clock.clone();
        Worker::start(self.store.clone(), Arc::new(move || clock.now_ms()), options).await.unwrap()
    }

    pub(super) async fn close(self, worker: Worker) {
        worker.stop().await;
        self.store.close().await;
    }
}

/// As the product has them, but that failed jobs are started again at once.
pub(super) fn options() -> Options {
    Options { retry_after: Duration::ZERO, ..Options::new(new_id()) }
}

/// For jobs that come into the table behind the store's back, so that nobody hints at them.
pub(super) fn unhinted() -> Options {
    Options { look_every: Duration::from_millis(20), ..options() }
}

fn step(violation: RecordId, area: AreaId, to: &str) -> Act {
    Act::step(violation, area, Kind::Violation, Step { to: to.to_owned(), ..Step::default() })
}

/// A visit that calls for a second one.
fn nobody_answered(door: RecordId, area: AreaId) -> Act {
    let visit = body::Visit {
        subject: Some(door),
        purpose: "routine".to_owned(),
        outcome: "no_answer".to_owned(),
        ..body::Visit::default()
    };
    Act::create(area, Body::Visit(visit))
}

fn due_ms(follow_up: &Record) -> i64 {
    follow_up.fields["due_at_ms"].as_i64().unwrap()
}

fn statuses(follow_ups: &[Record]) -> Vec<&str> {
    follow_ups.iter().map(|follow_up| follow_up.status.as_str()).collect()
}

/// The job runner's table of jobs.
pub(super) fn jobs(database: &TestDatabase) -> &'static str {
    if database.is_postgres() { "apalis.jobs" } else { "Jobs" }
}

pub(super) async fn count_jobs(database: &TestDatabase, store: &Store, condition: &str) -> i64 {
    let sql = format!("SELECT count(*) FROM {} WHERE {condition}", jobs(database));
    database.number(store, &sql).await.unwrap()
}

/// Lets the worker look at everything in an area again, under this name.
async fn wait_again(database: &TestDatabase, id: RecordId, area: AreaId) {
    let quote = |id: uuid::Uuid| {
        if database.is_postgres() { format!("'{id}'") } else { format!("X'{}'", id.simple()) }
    };
    let sql = format!("INSERT INTO waiting_jobs VALUES ({}, {}, 0, 1000, 0)", quote(id.0), quote(area.0));
    database.execute(&sql).await.unwrap();
}

on_both_databases! {
    async fn a_removed_violation_gets_its_rechecks_once(database: &TestDatabase) {
        let field = Field::on(database).await;
        let worker = field.worker().await;
        let violation = field.removed_violation().await;
        let removed_ms = field.clock.now_ms();
        assert_eq!(worker.drained().await.unwrap(), 0);

        let rechecks = field.follow_ups_of(violation).await;
        let due: Vec<_> = rechecks.iter().map(|recheck| due_ms(recheck) - removed_ms).collect();
        assert_eq!(due, [7 * DAY_MS, 30 * DAY_MS, 90 * DAY_MS]);
        assert_eq!(statuses(&rechecks), ["open"; 3]);
        assert!(rechecks.iter().all(|recheck| recheck.area == field.area && recheck.created.op.device == DEVICE));

        field.clock.advance(HOUR);
        field.act([step(violation, field.area, "restored")]).await;
        assert_eq!(worker.drained().await.unwrap(), 0);
        assert_eq!(field.follow_ups_of(violation).await, rechecks);
        assert_eq!(field.ops_of_the_worker().await, 3);
        field.close(worker).await;
    }

    async fn of_many_that_come_in_one_commit_none_is_left_out(database: &TestDatabase) {
        let field = Field::on(database).await;
        let worker = field.worker().await;
        let dumping = || Body::Violation(body::Violation { sort: "dumping".to_owned(), ..body::Violation::default() });
        let found: Vec<Act> = (0..250).map(|_| Act::create(field.area, dumping())).collect();
        let violations: Vec<RecordId> = found.iter().map(Act::record).collect();
        let removed = violations.iter().map(|violation| step(*violation, field.area, "removed"));
        field.act(found.into_iter().chain(removed)).await;
        assert_eq!(worker.drained().await.unwrap(), 0);
        for violation in violations {
            assert_eq!(statuses(&field.follow_ups_of(violation).await), ["open"; 3]);
        }
        field.close(worker).await;
    }

    async fn looking_at_everything_again_changes_nothing(database: &TestDatabase) {
        let field = Field::on(database).await;
        let worker = field.worker_with(unhinted()).await;
        let violation = field.removed_violation().await;
        worker.drained().await.unwrap();
        let before = field.follow_ups_of(violation).await;
        let done = count_jobs(database, &field.store, "status = 'Done'").await;

        wait_again(database, RecordId(new_id()), field.area).await;
        assert_eq!(worker.drained().await.unwrap(), 0);
        let done_again = count_jobs(database, &field.store, "status = 'Done'").await;
        assert_eq!(done_again, done + 1, "it did look again");
        assert_eq!(field.follow_ups_of(violation).await, before);
        assert_eq!(field.ops_of_the_worker().await, 3);
        field.close(worker).await;
    }

    async fn a_late_op_takes_the_rechecks_of_a_removal_back(database: &TestDatabase) {
        let field = Field::on(database).await;
        let worker = field.worker().await;
        let away = DeviceId(new_id());
        field.enrol(away).await;
        let violation = field.found_violation().await;
        let found_ms = field.clock.now_ms();
        field.clock.advance(HOUR * 5);
        field.act([step(violation, field.area, "removed")]).await;
        worker.drained().await.unwrap();
        let first = field.follow_ups_of(violation).await;
        assert_eq!(first.len(), 3);

        // A phone that was away saw it removed, and closed it, before.
        field.clock.advance(HOUR * 24);
        let late = [("removed", 1), ("closed", 2)].map(|(to, hours)| {
            let mut op = step(violation, field.area, to).op(&field.clock);
            op.clock.wall_ms = found_ms + hours * HOUR.as_millis() as i64;
            op
        });
        field.bring(away, late).await;
        worker.drained().await.unwrap();

        let all = field.follow_ups_of(violation).await;
        let (open, taken_back): (Vec<_>, Vec<_>) = all.into_iter().partition(|it| it.status == "open");
        assert_eq!(statuses(&taken_back), ["cancelled"; 3]);
        assert_eq!(taken_back.iter().map(|it| it.id).collect::<Vec<_>>(), first.iter().map(|it| it.id).collect::<Vec<_>>());
        let removed_ms = found_ms + HOUR.as_millis() as i64;
        let due: Vec<_> = open.iter().map(|recheck| due_ms(recheck) - removed_ms).collect();
        assert_eq!(due, [7 * DAY_MS, 30 * DAY_MS, 90 * DAY_MS], "as of the removal that counts");
        field.close(worker).await;
    }

    async fn an_amended_visit_moves_and_cancels_its_second_call(database: &TestDatabase) {
        let field = Field::on(database).await;
        let worker = field.worker().await;
        let [wrong_door, right_door] = [RecordId(new_id()), RecordId(new_id())];
        let visited = nobody_answered(wrong_door, field.area);
        let visit = visited.record();
        field.act([visited]).await;
        worker.drained().await.unwrap();
        let [second_call] = &field.follow_ups_of(visit).await[..] else { panic!("one second call") };
        assert_eq!(second_call.reference("subject"), Some(wrong_door));

        let amend = |field_name: &str, base, value| {
            let changes = vec![Change { field: field_name.to_owned(), base, value }];
            let amendment = Action::Edit { changes, reason: "misread".to_owned() };
            Act::on(visit, field.area, Kind::Visit, amendment)
        };
        field.clock.advance(HOUR);
        field.act([amend("subject", json!(wrong_door), json!(right_door))]).await;
        worker.drained().await.unwrap();
        let [second_call] = &field.follow_ups_of(visit).await[..] else { panic!("one second call") };
        assert_eq!(second_call.reference("subject"), Some(right_door));
        assert_eq!(second_call.status, "open");

        field.clock.advance(HOUR);
        field.act([amend("outcome", json!("no_answer"), json!("met"))]).await;
        worker.drained().await.unwrap();
        assert_eq!(statuses(&field.follow_ups_of(visit).await), ["cancelled"]);
        field.close(worker).await;
    }

    async fn nobody_is_told_of_a_follow_up_that_was_deleted(database: &TestDatabase) {
        let field = Field::on(database).await;
        let worker = field.worker().await;
        let violation = field.removed_violation().await;
        worker.drained().await.unwrap();
        let [first, second, _] = &field.follow_ups_of(violation).await[..] else { panic!("three rechecks") };
        field.clock.advance(HOUR * 24 * 8); // the first is overdue by a day
        worker.drained().await.unwrap();
        assert_eq!(field.notices_of(first.id).await, ["raised"]);

        let delete = |follow_up: &Record| {
            let action = Action::Delete { reason: "the house was torn down".to_owned() };
            Act::on(follow_up.id, field.area, Kind::FollowUp, action)
        };
        field.act([delete(first), delete(second)]).await;
        assert_eq!(worker.drained().await.unwrap(), 0);
        assert_eq!(field.notices_of(first.id).await, ["withdrawn"], "what was said of it");
        field.clock.advance(HOUR * 24 * 30); // the second would be overdue
        worker.drained().await.unwrap();
        assert_eq!(field.notices_of(second.id).await, Vec::<String>::new());
        assert_eq!(statuses(&field.follow_ups_of(violation).await), ["open"], "neither comes back");
        field.close(worker).await;
    }

    async fn nobody_is_told_of_a_follow_up_whose_id_was_taken_for_something_else(database: &TestDatabase) {
        let field = Field::on(database).await;
        let worker = field.worker_with(unhinted()).await;
        let door = RecordId(new_id());
        let visited = nobody_answered(door, field.area);
        let second_call = visited.record().derived("second_call");
        let lamp = body::Request { subject: Some(door), ..body::Request::default() };
        field.act([visited, Act::create_with_id(second_call, field.area, Body::Request(lamp))]).await;
        for _ in 0..30 {
            field.clock.advance(HOUR * 24);
            wait_again(database, RecordId(new_id()), field.area).await;
            worker.drained().await.unwrap();
        }
        assert_eq!(field.notices_of(second_call).await, Vec::<String>::new());
        assert_eq!(field.ops_of_the_worker().await, 0, "nothing is made of it");
        field.close(worker).await;
    }

    async fn whoever_calls_it_done_ends_what_was_said_of_it(database: &TestDatabase) {
        let field = Field::on(database).await;
        let worker = field.worker_with(unhinted()).await;
        let violation = field.removed_violation().await;
        worker.drained().await.unwrap();
        let first = field.follow_ups_of(violation).await[0].id;
        field.clock.advance(HOUR * 24 * 8); // it is overdue by a day
        worker.drained().await.unwrap();
        assert_eq!(field.notices_of(first).await, ["raised"]);

        let done = Step { to: "done".to_owned(), ..Step::default() };
        field.act([Act::step(first, field.area, Kind::FollowUp, done)]).await;
        worker.drained().await.unwrap();
        assert_eq!(field.notices_of(first).await, ["withdrawn"]);
        field.close(worker).await;
    }

    async fn a_successor_that_comes_or_goes_is_seen_at_once(database: &TestDatabase) {
        let field = Field::on(database).await;
        let worker = field.worker().await;
        let [elevator, partner] = [RecordId(new_id()), RecordId(new_id())];
        let contract = async |from: &str, until: &str| {
            let contract = body::Contract {
                organization: Some(partner),
                subject: Some(elevator),
                covers: "maintenance".to_owned(),
                from: from.to_owned(),
                until: until.to_owned(),
            };
            let made = Act::create(field.area, Body::Contract(contract));
            let id = made.record();
            field.act([made]).await;
            id
        };
        let ending = contract("2026-01-01", "2026-12-31").await;
        let state = async || {
            worker.drained().await.unwrap();
            field.follow_ups_of(ending).await[0].status.clone()
        };
        assert_eq!(state().await, "open");
        let successor = contract("2027-01-01", "2027-12-31").await;
        assert_eq!(state().await, "done");
        let gone = Action::Delete { reason: "it was not signed after all".to_owned() };
        field.act([Act::on(successor, field.area, Kind::Contract, gone)]).await;
        assert_eq!(state().await, "open");
        field.close(worker).await;
    }

    async fn an_adoption_lapses_after_its_last_day_and_a_confirmed_one_takes_the_work(database: &TestDatabase) {
        let field = Field::on(database).await;
        let worker = field.worker_with(unhinted()).await;
        let away = DeviceId(new_id());
        field.enrol(away).await;
        let (plan, adoption) = field.adopted_planting().await;
        let (other_plan, other) = field.adopted_planting().await;
        let status = async |adoption| {
            worker.drained().await.unwrap();
            field.store.record(adoption).await.unwrap().unwrap().record.status
        };
        let who_has = async |plan| {
            worker.drained().await.unwrap();
            field.follow_ups_of(plan).await[0].reference("adoption")
        };
        let confirmed = |adoption| {
            let step = Step { to: "confirmed".to_owned(), ..Step::default() };
            Act::step(adoption, field.area, Kind::Adoption, step)
        };
        assert_eq!(who_has(other_plan).await, None);
        field.act([confirmed(other)]).await;
        assert_eq!(who_has(other_plan).await, Some(other), "at once");

        field.clock.advance(HOUR * (2 * 24 + 7)); // from 16:00 there to 23:00 of the last day
        assert_eq!(status(adoption).await, "offered");
        let late = confirmed(adoption).op(&field.clock);
        field.clock.advance(HOUR * 2);
        assert_eq!(status(adoption).await, "lapsed");
        assert_eq!(status(other).await, "confirmed");
        assert_eq!(who_has(plan).await, None);

        // Somebody had confirmed it in time, on a phone that was away.
        field.bring(away, [late]).await;
        assert_eq!(status(adoption).await, "confirmed");
        assert_eq!(who_has(plan).await, Some(adoption), "at once");
        field.close(worker).await;
    }

    async fn work_that_turns_out_to_be_none_leaves_its_follow_up_open(database: &TestDatabase) {
        let field = Field::on(database).await;
        let worker = field.worker().await;
        let [here, elsewhere] = [RecordId(new_id()), RecordId(new_id())];
        let dumping = body::Violation { subject: Some(here), sort: "dumping".to_owned(), ..body::Violation::default() };
        let found = Act::create(field.area, Body::Violation(dumping));
        let violation = found.record();
        field.act([found, step(violation, field.area, "removed")]).await;
        field.clock.advance(HOUR * 24 * 7);
        let state = async || {
            worker.drained().await.unwrap();
            field.follow_ups_of(violation).await[0].status.clone()
        };
        let come_again = async || {
            let visit = body::Visit {
                subject: Some(here),
                purpose: "recheck".to_owned(),
                outcome: "met".to_owned(),
                ..body::Visit::default()
            };
            let visit = Act::create(field.area, Body::Visit(visit));
            let id = visit.record();
            field.act([visit]).await;
            id
        };
        assert_eq!(state().await, "open");
        let visit = come_again().await;
        assert_eq!(state().await, "done");
        let changes = vec![Change { field: "subject".to_owned(), base: json!(here), value: json!(elsewhere) }];
        let amendment = Action::Edit { changes, reason: "another door".to_owned() };
        field.act([Act::on(visit, field.area, Kind::Visit, amendment)]).await;
        assert_eq!(state().await, "open", "it was somewhere else");

        let visit = come_again().await;
        assert_eq!(state().await, "done");
        let action = Action::Delete { reason: "recorded by mistake".to_owned() };
        field.act([Act::on(visit, field.area, Kind::Visit, action)]).await;
        assert_eq!(state().await, "open", "there was none");
        field.close(worker).await;
    }

    async fn a_policy_that_changes_takes_effect_at_once_in_its_area_and_below(database: &TestDatabase) {
        let field = Field::on(database).await;
        let worker = field.worker_with(unhinted()).await;
        let below = field.area_below("Courtyard", Some(field.area)).await;
        let beside = field.area_below("Hillside", None).await;
        let mut violations = Vec::new();
        for area in [field.area, below, beside] {
            violations.push(field.removed_violation_in(area).await);
        }
        worker.drained().await.unwrap();
        let due_days = async |violation| -> Vec<i64> {
            let open = field.follow_ups_of(violation).await.into_iter().filter(|it| it.status == "open");
            open.map(|recheck| (due_ms(&recheck) - field.clock.now_ms()) / DAY_MS).collect()
        };
        for violation in &violations {
            assert_eq!(due_days(*violation).await, [7, 30, 90]);
        }

        let rechecks =
            body::Policy { sort: "recheck".to_owned(), due_days: vec![14, 60], ..body::Policy::default() };
        let made = Act::create(field.area, Body::Policy(rechecks));
        let policy = made.record();
        field.act([made]).await;
        assert_eq!(worker.drained().await.unwrap(), 0);
        assert_eq!(due_days(violations[0]).await, [14, 60]);
        assert_eq!(due_days(violations[1]).await, [14, 60]);
        assert_eq!(due_days(violations[2]).await, [7, 30, 90], "it is not below the policy's area");

        let gone = Action::Delete { reason: "as everywhere".to_owned() };
        field.act([Act::on(policy, field.area, Kind::Policy, gone)]).await;
        assert_eq!(worker.drained().await.unwrap(), 0);
        for violation in &violations {
            assert_eq!(due_days(*violation).await, [7, 30, 90]);
        }
        field.close(worker).await;
    }

    async fn what_the_worker_does_comes_after_what_it_saw_though_no_time_passed(database: &TestDatabase) {
        let field = Field::on(database).await;
        let worker = field.worker().await;
        let violation = field.removed_violation().await;
        worker.drained().await.unwrap();
        let recheck = field.follow_ups_of(violation).await[0].id;

        for _ in 0..10 {
            field.found_violation().await; // so that the phone's stamps are ahead of the worker's
        }
        let missed = Step { to: "missed".to_owned(), ..Step::default() };
        field.act([Act::step(recheck, field.area, Kind::FollowUp, missed)]).await;
        let gone = Action::Delete { reason: "entered twice".to_owned() };
        field.act([Act::on(violation, field.area, Kind::Violation, gone)]).await;
        assert_eq!(worker.drained().await.unwrap(), 0);

        let recheck = field.store.record(recheck).await.unwrap().unwrap().record;
        let steps: Vec<_> = recheck.steps.iter().map(|taken| taken.step.to.as_str()).collect();
        assert_eq!(steps, ["missed", "cancelled"]);
        assert_eq!(recheck.disputes, []);
        field.close(worker).await;
    }

    async fn what_a_clock_that_ran_ahead_called_for_is_put_right_when_it_is_set_back(database: &TestDatabase) {
        let field = Field::on(database).await;
        let worker = field.worker_with(unhinted()).await;
        let begins_ms = field.clock.now_ms();
        let violation = field.removed_violation().await;
        worker.drained().await.unwrap();
        field.clock.advance(HOUR * 24 * 60);
        worker.drained().await.unwrap();
        assert_eq!(statuses(&field.follow_ups_of(violation).await), ["missed", "missed", "open"]);
        let mut hints = field.store.watch();
        field.clock.set(begins_ms + HOUR.as_millis() as i64);
        while statuses(&field.follow_ups_of(violation).await) != ["open"; 3] {
            hints.recv().await.unwrap();
        }
        // Also by one that was not there when the clock was ahead.
        worker.drained().await.unwrap();
        field.clock.advance(HOUR * 24 * 60);
        worker.drained().await.unwrap();
        worker.stop().await;
        field.clock.set(begins_ms + 2 * HOUR.as_millis() as i64);
        let worker = field.worker().await;
        while statuses(&field.follow_ups_of(violation).await) != ["open"; 3] {
            hints.recv().await.unwrap();
        }
        field.close(worker).await;
    }

    async fn what_happened_while_no_worker_ran_is_done_when_one_starts(database: &TestDatabase) {
        let field = Field::on(database).await;
        let violations = [field.removed_violation().await, field.removed_violation().await];
        let worker = field.worker().await;
        assert_eq!(worker.drained().await.unwrap(), 0);
        for violation in violations {
            assert_eq!(field.follow_ups_of(violation).await.len(), 3);
        }
        assert_eq!(count_jobs(database, &field.store, "true").await, 1, "what waits for one area is one job");
        field.close(worker).await;
    }

    async fn a_job_that_was_released_but_not_yet_forgotten_is_released_once(database: &TestDatabase) {
        let field = Field::on(database).await;
        field.removed_violation().await;
        let waiting = field.store.waiting_jobs(100).await.unwrap();
        let last = waiting.iter().max_by_key(|job| job.through).unwrap().id;
        let worker = field.worker_with(unhinted()).await;
        worker.drained().await.unwrap();

        wait_again(database, last, field.area).await; // as if the worker had ended before it was forgotten
        worker.drained().await.unwrap();
        assert_eq!(field.store.waiting_jobs(100).await.unwrap(), []);
        assert_eq!(count_jobs(database, &field.store, "true").await, 1);
        field.close(worker).await;
    }

    async fn a_poisoned_job_is_given_up_and_the_worker_lives_on(database: &TestDatabase) {
        let field = Field::on(database).await;
        let worker = field.worker().await;
        let payloads = [
            "no JSON",
            "[]",
            "{}",
            r#"{"version":2,"kind":"reconcile"}"#,
            r#"{"version":1,"kind":"juggle"}"#,
            r#"{"version":1,"kind":"reconcile","area":"nowhere","after":0,"through":1}"#,
        ];
        for (n, payload) in payloads.iter().enumerate() {
            let bytes = if database.is_postgres() {
                format!("convert_to('{payload}', 'UTF8')")
            } else {
                format!("CAST('{payload}' AS BLOB)")
            };
            let sql = format!(
                "INSERT INTO {} (job, id, job_type) VALUES ({bytes}, '01KB0000000000000000000{n:03}', 'rounds')",
                jobs(database)
            );
            database.execute(&sql).await.unwrap();
        }
        let violation = field.removed_violation().await;

        assert_eq!(worker.drained().await.unwrap(), payloads.len() as u64);
        assert_eq!(field.follow_ups_of(violation).await.len(), 3);
        let says_why = "status = 'Killed' AND CAST(last_result AS TEXT) LIKE '%payload%'";
        assert_eq!(count_jobs(database, &field.store, says_why).await, payloads.len() as i64);
        assert_eq!(count_jobs(database, &field.store, "attempts > 1").await, 0, "they are not tried again");
        field.close(worker).await;
    }

    async fn a_job_that_panics_is_started_five_times_and_then_given_up(database: &TestDatabase) {
        let field = Field::on(database).await;
        let violation = field.removed_violation().await;
        let starts = Arc::new(AtomicUsize::new(0));
        let fault = {
            let starts = starts.clone();
            move |_, records: &[RecordId]| {
                if records.contains(&violation) {
                    starts.fetch_add(1, Ordering::SeqCst);
                    panic!("the clock fell off the wall");
                }
                Ok(())
            }
        };
        let worker = field.worker_with(Options { fault: Some(Arc::new(fault)), ..options() }).await;
        assert_eq!(worker.drained().await.unwrap(), 1);
        assert_eq!(starts.load(Ordering::SeqCst), 5);
        assert_eq!(field.follow_ups_of(violation).await, []);
        let says_why = "status = 'Killed' AND attempts = 5 AND CAST(last_result AS TEXT) LIKE '%fell off the wall%'";
        assert_eq!(count_jobs(database, &field.store, says_why).await, 1);

        let other = field.removed_violation().await;
        assert_eq!(worker.drained().await.unwrap(), 1);
        assert_eq!(field.follow_ups_of(other).await.len(), 3, "the worker lives on");
        field.close(worker).await;
    }

    async fn a_worker_that_stops_ends_what_it_began_and_gives_back_the_rest(database: &TestDatabase) {
        let field = Field::on(database).await;
        let mut violations = Vec::new();
        for n in 0..4_u8 {
            let area = field.area_below(&format!("Courtyard {n}"), None).await;
            violations.push(field.removed_violation_in(area).await);
        }
        let held = Held::default();
        let (fault, mut began) = held.fault();
        let worker = field.worker_with(Options { concurrency: 1, fault: Some(fault), ..options() }).await;
        began.recv().await.unwrap();

        tokio::join!(worker.stop(), async { held.let_go() });
        assert_eq!(count_jobs(database, &field.store, "status = 'Done'").await, 1);
        let untouched = "status = 'Pending' AND attempts = 0 AND lock_by IS NULL";
        assert_eq!(count_jobs(database, &field.store, untouched).await, 3);
        assert_eq!(field.ops_of_the_worker().await, 3);

        let next = field.worker().await;
        assert_eq!(next.drained().await.unwrap(), 0);
        for violation in violations {
            assert_eq!(field.follow_ups_of(violation).await.len(), 3);
        }
        field.close(next).await;
    }

    async fn what_a_dead_worker_held_is_done_by_the_next(database: &TestDatabase) {
        let field = Field::on(database).await;
        let violation = field.removed_violation().await;
        let held = Held::default();
        let (fault, mut began) = held.fault();
        let dead = field.worker_with(Options { fault: Some(fault), ..options() }).await;
        began.recv().await.unwrap();
        drop(dead);
        held.let_go();

        // It was last seen long ago.
        let workers = if database.is_postgres() { "apalis.workers SET last_seen = to_timestamp(0)" } else { "Workers SET last_seen = 0" };
        database.execute(&format!("UPDATE {workers}")).await.unwrap();
        let next = field.worker_with(Options { heartbeat: Duration::from_secs(1), ..options() }).await;
        assert_eq!(next.drained().await.unwrap(), 0);
        assert_eq!(field.follow_ups_of(violation).await.len(), 3);
        field.close(next).await;
    }

    async fn two_workers_on_one_database_do_each_thing_once(database: &TestDatabase) {
        let field = Field::on(database).await;
        let (one, other) = (field.worker().await, field.worker().await);
        let mut violations = Vec::new();
        for _ in 0..20 {
            violations.push(field.removed_violation().await);
        }
        assert_eq!(one.drained().await.unwrap(), 0);
        assert_eq!(other.drained().await.unwrap(), 0);
        for violation in violations {
            let rechecks = field.follow_ups_of(violation).await;
            assert_eq!(statuses(&rechecks), ["open"; 3]);
            assert!(rechecks.iter().all(|recheck| recheck.disputes.is_empty()));
        }
        one.stop().await;
        field.close(other).await;
    }

    async fn done_jobs_are_forgotten_after_a_while(database: &TestDatabase) {
        let field = Field::on(database).await;
        let worker = field.worker().await;
        field.removed_violation().await;
        worker.drained().await.unwrap();
        worker.stop().await;
        let long_ago = if database.is_postgres() { "to_timestamp(0)" } else { "0" };
        database.execute(&format!("UPDATE {} SET done_at = {long_ago}", jobs(database))).await.unwrap();

        let next = field.worker().await;
        assert_eq!(count_jobs(database, &field.store, "true").await, 0);
        let violation = field.removed_violation().await;
        next.drained().await.unwrap();
        assert_eq!(field.follow_ups_of(violation).await.len(), 3);
        field.close(next).await;
    }

    async fn a_database_with_the_tables_of_the_job_runner_opens_again(database: &TestDatabase) {
        let field = Field::on(database).await;
        let worker = field.worker().await;
        field.close(worker).await;
        let store = database.open().await;
        let field = Field { store, clock: TestClock::default(), area: AreaId(new_id()), phone: DeviceId(new_id()) };
        let worker = field.worker().await;
        assert_eq!(worker.drained().await.unwrap(), 0);
        field.close(worker).await;
    }
}

/// Holds the first job where it begins.
#[derive(Default)]
pub(super) struct Held {
    doors: std::sync::Mutex<Option<std::sync::mpsc::Sender<()>>>,
}

impl Held {
    /// A fault at which the first job says that it began and waits until it is let go.
    pub(super) fn fault(&self) -> (Fault, mpsc::UnboundedReceiver<()>) {
        let (say, began) = mpsc::unbounded_channel();
        let (let_go, door) = std::sync::mpsc::channel();
        *self.doors.lock().unwrap() = Some(let_go);
        let door = std::sync::Mutex::new(door);
        let jobs = AtomicUsize::new(0);
        let held = move |_, _: &[RecordId]| {
            if jobs.fetch_add(1, Ordering::SeqCst) == 0 {
                let _ = say.send(());
                let _ = door.lock().unwrap().recv(); // an error: it was let go
            }
            Ok(())
        };
        (Arc::new(held), began)
    }

    pub(super) fn let_go(&self) {
        self.doors.lock().unwrap().take();
    }
}

#[tokio::test]
async fn a_user_who_may_not_create_the_extensions_is_told_what_to_do() {
    let database = TestDatabase::postgres().await;
    let user = format!("rounds_user_{}", new_id().simple());
    database
        .execute(&format!("CREATE ROLE {user} LOGIN; GRANT ALL ON SCHEMA public TO {user}"))
        .await
        .unwrap();
    let (scheme, rest) = database.url().split_once("://").unwrap();
    let (_, place) = rest.split_once('@').unwrap();
    let store = Store::open(&format!("{scheme}://{user}@{place}"), rounds_tests::EPOCH).await.unwrap();

    let refused = Worker::start(store.clone(), Arc::new(|| 0), options()).await;
    let Err(Error::Unsuitable(reason)) = refused else { panic!("{refused:?}") };
    assert!(reason.contains("CREATE EXTENSION hstore; CREATE EXTENSION pgcrypto"), "{reason}");

    store.close().await;
    database.execute(&format!("DROP OWNED BY {user}; DROP ROLE {user}")).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_takes_too_long_is_started_five_times_and_then_given_up() {
    let database = TestDatabase::postgres().await;
    let field = Field::on(&database).await;
    field.removed_violation().await;
    let mut locking = PgConnection::connect(database.url()).await.unwrap();
    locking.execute("BEGIN; LOCK TABLE records IN ACCESS EXCLUSIVE MODE").await.unwrap();

    let worker = field.worker_with(Options { job_time_max: Duration::from_millis(5), ..options() }).await;
    assert_eq!(worker.drained().await.unwrap(), 1);
    let says_why = "status = 'Killed' AND attempts = 5 AND CAST(last_result AS TEXT) LIKE '%took longer%'";
    assert_eq!(count_jobs(&database, &field.store, says_why).await, 1);

    locking.close().await.unwrap();
    field.close(worker).await;
}
