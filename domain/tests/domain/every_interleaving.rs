//! Every order in which the ops of three devices can arrive, one by one: 12! / (4! 4! 4!) = 34,650 for each history.

use super::history::Arrivals;
use super::sample::{create, edit, op, placed, step, step_to};
use rounds_domain::op::Step;
use rounds_domain::{Action, Kind, OpId, PlacedOp, Record, fold};
use serde_json::json;

const OPS_EACH: usize = 4;
pub(crate) const INTERLEAVINGS: usize = 34_650;

pub(crate) type Outboxes = [[PlacedOp; OPS_EACH]; 3];

/// Walks the tree of arrivals; every leaf is one interleaving of the three outboxes.
fn walk<'a>(outboxes: &'a Outboxes, taken: [usize; 3], arrived: &Arrivals<'a>, expected: &Record) -> usize {
    if taken == [OPS_EACH; 3] {
        assert_eq!(arrived.record.as_ref(), Some(expected));
        return 1;
    }
    let mut leaves = 0;
    for device in 0..3 {
        if let Some(next) = outboxes[device].get(taken[device]) {
            let mut arrived = arrived.clone();
            arrived.take(next);
            let mut taken = taken;
            taken[device] += 1;
            leaves += walk(outboxes, taken, &arrived, expected);
        }
    }
    leaves
}

pub(crate) fn every_interleaving_gives_one_record(outboxes: &Outboxes) -> Record {
    let ops: Vec<PlacedOp> = outboxes.iter().flatten().cloned().collect();
    let expected = fold(&ops).0.expect("somebody created it");
    assert_eq!(walk(outboxes, [0; 3], &Arrivals::default(), &expected), INTERLEAVINGS);
    expected
}

/// Numbers a device's ops; `minutes` are their places in the order.
fn outbox(kind: Kind, device: u128, acts: [(i64, Action); OPS_EACH]) -> [PlacedOp; OPS_EACH] {
    let mut seq = 0;
    acts.map(|(minute, action)| {
        seq += 1;
        placed(device, seq, minute, op(kind, action))
    })
}

pub(crate) fn request_of_three() -> Outboxes {
    let category = |base: &str, value: &str| edit(&[("category", json!(base), json!(value))]);
    let settled = super::sample::device(1);
    [
        outbox(
            Kind::Request,
            0,
            [
                (0, create(Kind::Request)),
                (2, step("triaged")),
                (5, edit(&[("description", json!("no water on the sixth floor"), json!("the tap drips"))])),
                (8, step("referred")),
            ],
        ),
        outbox(
            Kind::Request,
            1,
            [
                (1, category("water", "heating")),
                (5, category("water", "power")), // the same place in the order as device 0's third: the device decides
                (7, step("rejected")),
                (9, Action::Move { to: super::sample::area(1) }),
            ],
        ),
        outbox(
            Kind::Request,
            2,
            [
                (1, create(Kind::Request)),
                (
                    6,
                    Action::Step(Step { evidence: Some(super::sample::record_id(61)), ..step_to("triaged") }),
                ),
                (8, category("heating", "noise")),
                (10, Action::Settle { disputes: vec![OpId { device: settled, seq: 2 }] }),
            ],
        ),
    ]
}

#[test]
fn of_a_request_that_three_people_work_on() {
    let record = every_interleaving_gives_one_record(&request_of_three());
    assert_eq!(record.text("category"), "noise");
    assert_eq!(record.text("description"), "the tap drips");
    assert_eq!(record.status, "rejected", "the referral came after the rejection");
    assert_eq!(record.area, super::sample::area(1));
    assert_eq!(record.disputes.len(), 2, "the clash of noise with power, and the referral; one was settled");
}

pub(crate) fn violation_of_three() -> Outboxes {
    [
        outbox(
            Kind::Violation,
            0,
            [
                (0, create(Kind::Violation)),
                (2, step("stopped")),
                (4, step("removed")),
                (6, edit(&[("description", json!("rubble in the yard"), json!("rubble at the gate"))])),
            ],
        ),
        outbox(
            Kind::Violation,
            1,
            [
                (1, edit(&[("description", json!("rubble in the yard"), json!("a wall"))])),
                (3, step("reported")),
                (5, Action::Delete { reason: "counted twice".to_owned() }),
                (7, create(Kind::Violation)),
            ],
        ),
        outbox(
            Kind::Violation,
            2,
            [
                (0, create(Kind::Violation)),
                (3, Action::Move { to: super::sample::area(1) }),
                (5, step("restored")),
                (8, step("found")),
            ],
        ),
    ]
}

#[test]
fn of_a_violation_that_one_of_three_people_deletes() {
    let record = every_interleaving_gives_one_record(&violation_of_three());
    assert_eq!(record.deleted.as_deref(), Some("counted twice"));
    assert!(record.fields.is_empty());
    assert_eq!(record.area, super::sample::area(1));
}

pub(crate) fn inspection_of_three() -> Outboxes {
    let findings = |base: &str, value: &str| edit(&[("findings", json!(base), json!(value))]);
    [
        outbox(
            Kind::Inspection,
            0,
            [
                (0, create(Kind::Inspection)),
                (3, findings("the door is slow", "the door sticks")),
                (6, findings("the door sticks", "the door jams")),
                (9, edit(&[("result", json!("needs_attention"), json!("fail"))])),
            ],
        ),
        outbox(
            Kind::Inspection,
            1,
            [
                (3, findings("the door is slow", "the lamp is out")),
                (4, edit(&[("result", json!("needs_attention"), json!("pass"))])),
                (5, edit(&[("findings", json!("the lamp is out"), json!(null))])),
                (9, step("open")),
            ],
        ),
        outbox(
            Kind::Inspection,
            2,
            [
                (1, findings("the door is slow", "the door is slow")),
                (5, findings("the door is slow", "the rope is worn")),
                (5, edit(&[("checklist", json!(super::sample::record_id(60)), json!(null))])),
                (7, Action::Settle { disputes: vec![OpId { device: super::sample::device(1), seq: 1 }] }),
            ],
        ),
    ]
}

#[test]
fn of_an_inspection_that_three_people_amend() {
    let record = every_interleaving_gives_one_record(&inspection_of_three());
    assert_eq!(record.text("findings"), "the door jams");
    assert_eq!(record.text("result"), "fail");
    assert_eq!(record.amendments[0].before["findings"], json!("the door is slow"));
}
