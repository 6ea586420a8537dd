//! The real command against a server: what is due, and why.

#![allow(clippy::unwrap_used)] // a test that cannot go on has failed

use rounds_device::{Device, enrol};
use rounds_domain::body::{self, FollowUp, Plan};
use rounds_domain::op::{Change, Step};
use rounds_domain::{Action, AreaId, Body, Kind, RecordId, Role};
use rounds_proto::v1;
use rounds_tests::{Act, TestServer};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::process::Output;
use tokio::process::Command;

/// A street with an elevator and a plan, and a coordinator who is also the worker Lin of the group Green hands.
struct Street {
    server: TestServer,
    north: AreaId,
    yard: AreaId,
    elevator: RecordId,
    lin: RecordId,
    group: RecordId,
    plan: RecordId,
    files: tempfile::TempDir,
}

impl Street {
    async fn new() -> Self {
        let server = TestServer::start_on_sqlite().await;
        let north = server.area("North", None).await;
        let yard = server.area("Yard", Some(north)).await;
        let asset = body::Asset { name: "Elevator 2".into(), sort: "elevator".into(), ..Default::default() };
        let elevator = server.add(north, Body::Asset(asset)).await;
        let worker = body::Worker { name: "Lin".into(), ..Default::default() };
        let lin = server.add(north, Body::Worker(worker)).await;
        let group =
            body::Group { name: "Green hands".into(), skill: "environment".into(), members: vec![lin] };
        let group = server.add(north, Body::Group(group)).await;
        let plan = Plan {
            subject: Some(elevator),
            sort: "maintenance".into(),
            rule: "FREQ=DAILY;INTERVAL=30".into(),
            ..Default::default()
        };
        let plan = server.add(north, Body::Plan(plan)).await;
        let files = tempfile::tempdir().unwrap();
        let street = Self { server, north, yard, elevator, lin, group, plan, files };
        street.enrol("coordinator", Role::Coordinator, Some(lin)).await;
        street
    }

    fn file(&self, name: &str) -> PathBuf {
        self.files.path().join(name)
    }

    async fn enrol(&self, name: &str, role: Role, worker: Option<RecordId>) {
        let request = v1::CreateCodeRequest {
            role: rounds_proto::role_to_wire(role).into(),
            areas: vec![self.north.to_string()],
            worker: worker.map(|worker| worker.to_string()).unwrap_or_default(),
            ..Default::default()
        };
        let code = self.server.code_for(request).await;
        let mut device = Device::open(self.file(name)).unwrap();
        enrol(&mut device, &self.server.url(), None, &code, name).await.unwrap();
    }

    async fn due(&self, area: AreaId, due: &str, of: FollowUp) -> RecordId {
        let due_at_ms = Some(due.parse::<jiff::Timestamp>().unwrap().as_millisecond());
        let body = FollowUp { source: Some(self.plan), due_at_ms, ..of };
        self.server.add(area, Body::FollowUp(body)).await
    }

    async fn command(&self, name: &str, args: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rounds"));
        command.arg("followups").args(args).arg("--store").arg(self.file(name)).env_remove("ROUNDS_DEVICE");
        command.output().await.unwrap()
    }

    /// What the command says.
    async fn told(&self, args: &[&str]) -> String {
        let output = self.command("coordinator", args).await;
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{args:?}: {said}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// The ids that a list has, in its order.
    async fn listed(&self, args: &[&str]) -> Vec<RecordId> {
        let args = [&["list", "--format", "json"], args].concat();
        let told = self.told(&args).await;
        let lines = told.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        lines.map(|line| line["follow_up"].as_str().unwrap().parse().unwrap()).collect()
    }
}

fn sort(sort: &str) -> FollowUp {
    FollowUp { sort: sort.to_owned(), ..FollowUp::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_has_what_is_due_where_by_whom_and_of_which_sort() {
    let street = Street::new().await;
    // In Shanghai the first of December begins at four in the afternoon UTC.
    let late = street.due(street.north, "2040-11-30T15:59:59Z", sort("maintenance")).await;
    let lins = FollowUp { worker: Some(street.lin), ..sort("watering") };
    let first = street.due(street.north, "2040-11-30T16:00:00Z", lins).await;
    let groups =
        FollowUp { group: Some(street.group), subject: Some(street.elevator), ..sort("maintenance") };
    let last = street.due(street.yard, "2040-12-01T15:59:59Z", groups).await;
    let next = street.due(street.yard, "2040-12-01T16:00:00Z", sort("maintenance")).await;
    let long_ago = street.due(street.yard, "1998-05-01T00:00:00Z", sort("recheck")).await;

    assert_eq!(street.listed(&[]).await, [long_ago, late, first, last, next], "the most urgent first");
    assert_eq!(street.listed(&["--due", "2040-12-01"]).await, [first, last]);
    assert_eq!(street.listed(&["--due", "2040-11-30"]).await, [late]);
    assert_eq!(street.listed(&["--due", "overdue"]).await, [long_ago]);
    assert_eq!(street.listed(&["--due", "today"]).await, []);
    assert_eq!(street.listed(&["--area", "Yard"]).await, [long_ago, last, next]);
    assert_eq!(
        street.listed(&["--area", &street.north.to_string(), "--due", "2040-12-01"]).await,
        [first, last]
    );
    assert_eq!(street.listed(&["--kind", "maintenance"]).await, [late, last, next]);
    assert_eq!(
        street.listed(&["--mine"]).await,
        [first, last],
        "a worker's and those of the worker's groups"
    );
    let done = Step { to: "done".to_owned(), ..Step::default() };
    street
        .server
        .admin
        .change(vec![Act::step(last, street.yard, Kind::FollowUp, done).op(&street.server.clock)])
        .await;
    assert_eq!(street.listed(&["--mine"]).await, [first]);
    assert_eq!(street.listed(&["--stage", "done"]).await, [last]);

    let table = street.told(&["list", "--due", "overdue"]).await;
    assert_eq!(table, format!("1998-05-01 08:00\toverdue\trecheck\t\tYard\t\t{long_ago}\n"));
    let table = street.told(&["list", "--stage", "done"]).await;
    let expected = "2040-12-01 23:59\tdone\tmaintenance\tElevator 2\tYard\tGreen hands";
    assert_eq!(table, format!("{expected}\t{last}\n"));
    let adopted = async |group: Option<RecordId>| {
        let adoption = body::Adoption { asset: Some(street.elevator), group, ..Default::default() };
        let adoption = Some(street.server.add(street.yard, Body::Adoption(adoption)).await);
        street.due(street.yard, "2040-12-03T00:00:00Z", FollowUp { adoption, ..sort("watering") }).await
    };
    let (of_group, _of_household) = (adopted(Some(street.group)).await, adopted(None).await);
    assert_eq!(street.listed(&["--mine"]).await, [first, of_group], "and what a group adopted");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_listed_is_refused_with_what_to_do() {
    let street = Street::new().await;
    street.enrol("nobody", Role::Coordinator, None).await;
    let cases: [(&[&str], &str); 5] = [
        (&["list", "--due", "someday"], "use today, overdue, week, or a day: 2026-12-01"),
        (&["list", "--area", "South"], "there is no area South among yours; there are: North, Yard"),
        (&["list", "--mine"], "enrolled for no worker"),
        (&["why", "7"], "follow_up: is no UUID"),
        (&["why", "01939f2c-7a5e-7b1c-9d7e-3f5a1c2b4d6e"], "there is no follow-up"),
    ];
    for (args, told) in cases {
        let output = street.command("nobody", args).await;
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && said.contains(told), "{args:?}: {said}");
    }
    let output = street.command("nobody", &["why", &street.plan.to_string()]).await;
    assert!(String::from_utf8(output.stderr).unwrap().contains("is a plan, no follow-up"));
}

#[tokio::test(flavor = "multi_thread")]
async fn why_names_the_version_of_the_plan_the_rule_and_the_op() {
    let street = Street::new().await;
    let changes = vec![Change {
        field: "rule".to_owned(),
        base: json!("FREQ=DAILY;INTERVAL=30"),
        value: json!("FREQ=DAILY;INTERVAL=15"),
    }];
    let edit = Action::Edit { changes, reason: "the law says 15 days".to_owned() };
    let edit = Act::on(street.plan, street.north, Kind::Plan, edit).op(&street.server.clock);
    let verdicts = street.server.admin.change(vec![edit]).await;
    assert_eq!(verdicts[0].outcome(), v1::Outcome::Applied, "{verdicts:?}");
    let plan = street.server.store.record(street.plan).await.unwrap().unwrap().record;
    let cause = plan.changed.op.to_string();
    let of = FollowUp {
        subject: Some(street.elevator),
        cause: cause.clone(),
        rule: "FREQ=DAILY;INTERVAL=15".to_owned(),
        ..sort("maintenance")
    };
    let id = street.due(street.north, "2026-12-01T15:59:59Z", of).await;

    let told = street.told(&["why", &id.to_string()]).await;
    for line in [
        "maintenance of Elevator 2, due 2026-12-01 23:59: open".to_owned(),
        format!("it follows from the plan maintenance ({})", street.plan),
        "by the rule: FREQ=DAILY;INTERVAL=15".to_owned(),
        format!(
            "version 2 of the plan: 2026-11-22 16:00, op {cause}: changed rule, because: the law says 15 days"
        ),
    ] {
        assert!(told.lines().any(|told| told == line), "{line} is not in\n{told}");
    }
    let told: Value = serde_json::from_str(&street.told(&["why", &id.to_string(), "--json"]).await).unwrap();
    assert_eq!((&told["version"], &told["cause"]), (&json!(2), &json!(cause)));
    assert_eq!(told["source"], json!(street.plan));

    let without = street.due(street.north, "2026-12-02T15:59:59Z", sort("maintenance")).await;
    let told = street.told(&["why", &without.to_string()]).await;
    assert!(told.contains("it does not say which op called for it"), "{told}");
}
