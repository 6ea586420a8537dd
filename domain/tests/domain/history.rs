//! Random histories of one record: ops of three devices, of every action, with right and wrong bases.

use super::sample::{area, bodies, device, op, placed, record_id, step_to, values};
use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;
use rounds_domain::op::{Change, Step};
use rounds_domain::status::stages;
use rounds_domain::{Action, AreaId, Body, Kind, OpId, OrderKey, PlacedOp, Record, apply, fold};
use std::collections::BTreeMap;

const DEVICES: u128 = 3;
const OPS_MAX: usize = 14;

/// How the property tests run: a failing seed is kept, and tried first from then on.
pub(crate) fn runs(cases: u32) -> ProptestConfig {
    ProptestConfig {
        cases,
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct("tests/failing_seed.txt"))),
        ..ProptestConfig::default()
    }
}

/// Any kind.
pub(crate) fn kinds() -> impl Strategy<Value = Kind> {
    prop::sample::select(Kind::ALL)
}

/// Ops about one record of this kind. Seqs are dense, and stamps grow with them; devices' stamps may be equal.
pub(crate) fn histories(kind: Kind) -> BoxedStrategy<Vec<PlacedOp>> {
    let acts = prop::collection::vec((0..DEVICES, 0..3_i64, actions(kind)), 0..OPS_MAX);
    (creations(kind), prop::bool::weighted(0.9), acts)
        .prop_map(move |(creation, created_first, acts)| {
            let first = created_first.then_some((0, 0, creation));
            let mut seqs = BTreeMap::new();
            let mut minutes = BTreeMap::new();
            first
                .into_iter()
                .chain(acts)
                .map(|(device, pause, action)| {
                    let seq: &mut u64 = seqs.entry(device).or_default();
                    let minute: &mut i64 = minutes.entry(device).or_default();
                    *seq += 1;
                    *minute += 1 + pause;
                    placed(device, *seq, *minute, op(kind, action))
                })
                .collect()
        })
        .boxed()
}

/// A history and some arrival of it: any order, some ops more than once.
pub(crate) fn arrivals() -> impl Strategy<Value = (Vec<PlacedOp>, Vec<PlacedOp>)> {
    kinds().prop_flat_map(histories).prop_flat_map(|ops| {
        let again = prop::sample::subsequence(ops.clone(), 0..=ops.len());
        (Just(ops.clone()), again.prop_map(move |again| [ops.clone(), again].concat()).prop_shuffle())
    })
}

fn creations(kind: Kind) -> BoxedStrategy<Action> {
    bodies(kind).prop_map(|body| Action::Create(Box::new(body))).boxed()
}

fn actions(kind: Kind) -> BoxedStrategy<Action> {
    let edits = prop::collection::vec(changes(kind), 1..4)
        .prop_map(|changes| Action::Edit { changes, reason: "seen otherwise".to_owned() });
    let moves = (0..3_u128).prop_map(|to| Action::Move { to: area(to) });
    let settlements = prop::collection::vec((0..DEVICES, 1..8_u64), 1..4).prop_map(|ops| Action::Settle {
        disputes: ops.into_iter().map(|(number, seq)| OpId { device: device(number), seq }).collect(),
    });
    let deletions = Just(Action::Delete { reason: "a mistake".to_owned() });
    prop_oneof![
        2 => creations(kind),
        8 => edits,
        6 => steps(kind),
        2 => moves,
        2 => settlements,
        1 => deletions,
    ]
    .boxed()
}

/// A change of any field; its base is right about as often as not.
fn changes(kind: Kind) -> impl Strategy<Value = Change> {
    prop::sample::select(Body::field_names(kind)).prop_flat_map(move |field| {
        let values = prop::sample::select(values(kind, field));
        (values.clone(), values).prop_map(move |(base, value)| Change {
            field: field.to_owned(),
            base,
            value,
        })
    })
}

fn steps(kind: Kind) -> BoxedStrategy<Action> {
    let all = stages(kind).map_or(&["open"][..], |stages| stages.all); // one that does not fit is kept without effect
    (prop::sample::select(all), prop::option::of(Just(record_id(61))))
        .prop_map(|(to, evidence)| Action::Step(Step { evidence, ..step_to(to) }))
        .boxed()
}

/// Takes ops in as they arrive, as a store does: the next in the order is applied, a late one folds the record anew, and
/// so does the one that creates it.
#[derive(Clone, Default)]
pub(crate) struct Arrivals<'a> {
    pub(crate) record: Option<Record>,
    ops: BTreeMap<OrderKey, &'a PlacedOp>,
}

impl<'a> Arrivals<'a> {
    pub(crate) fn take(&mut self, placed: &'a PlacedOp) {
        let last = self.ops.last_key_value().map(|(key, _)| *key);
        if self.ops.insert(placed.key, placed).is_some() {
            return; // a duplicate
        }
        if self.record.is_some() && last.is_some_and(|last| last < placed.key) {
            apply(&mut self.record, placed);
        } else {
            let ops: Vec<PlacedOp> = self.ops.values().map(|placed| (*placed).clone()).collect();
            self.record = fold(&ops).0;
        }
    }
}

/// The area that the histories begin in.
pub(crate) fn home() -> AreaId {
    area(0)
}

proptest! {
    #![proptest_config(runs(64))]

    /// Or the properties would be about other things than what people can do.
    #[test]
    fn generated_ops_pass_the_check_unless_they_touch_what_is_fixed(
        ops in kinds().prop_flat_map(histories)
    ) {
        for placed in &ops {
            let kind = placed.op.kind;
            match (&placed.op.action, placed.op.check()) {
                (_, Ok(())) => {}
                (Action::Step(_), Err(_)) => prop_assert!(stages(kind).is_none()),
                (Action::Move { to }, Err(_)) => prop_assert!(kind == Kind::Area || *to == home()),
                (Action::Delete { .. }, Err(_)) => prop_assert_eq!(kind, Kind::Area),
                (Action::Edit { .. }, Err(refusal)) => {
                    use rounds_domain::verdict::Reason;
                    let fixed = matches!(refusal.reason, Reason::FieldFixed | Reason::WrongKind);
                    prop_assert!(fixed, "{}", refusal);
                }
                (_, Err(refusal)) => prop_assert!(false, "{}", refusal),
            }
        }
    }
}
