//! P7: one op in a thousand that no server can take in.

use crate::asked::{Asked, Kind};
use crate::line::{Bound, Line};
use crate::phone::{Chance, visit};
use crate::site::Ground;
use rounds_domain::AreaId;
use rounds_proto::{encode_op, v1};
use uuid::Uuid;

const OPS: usize = 1_000;
const OPS_PER_CALL: usize = 50;

/// Ops that are wrong in a way of their own.
fn poisons(area: AreaId) -> [(&'static str, Vec<u8>); 5] {
    let good = visit(area, &mut Chance(1));
    let encode = |op| encode_op(&op).expect("an op");
    let elsewhere = visit(AreaId(Uuid::now_v7()), &mut Chance(1));
    let mut newer = encode(good);
    newer.extend([0x08, 0x63]); // the last schema_version counts: 99
    [
        ("no op", vec![0xff; 3]),
        ("nothing", Vec::new()),
        ("of a newer schema", newer),
        ("of a foreign area", encode(elsewhere)),
        ("too large", vec![0x2a; 65 * 1024]),
    ]
}

pub(crate) async fn p7(kind: Kind, asked: &Asked) -> Line {
    let site = Ground::lay(kind, 1).await.open().await;
    let poisons = poisons(site.ground.areas[0]);
    let rounds = asked.size(1, 10);
    let (mut applied, mut explained, mut stuck) = (0, 0, 0);
    for (round, (name, poison)) in (0..rounds).flat_map(|round| poisons.iter().map(move |it| (round, it))) {
        let mut phone = site.phone(site.ground.areas[0]).await;
        let mut calls = phone.prepare(OPS / OPS_PER_CALL, OPS_PER_CALL, &mut Chance(round as u64));
        let at = (round * 37 + name.len() * 101) % OPS;
        calls[at / OPS_PER_CALL][at % OPS_PER_CALL].op = poison.clone().into();
        let mut acknowledged = 0;
        for call in calls {
            let answer = phone.ask(call).await;
            acknowledged = answer.acknowledged_through;
            for verdict in answer.verdicts {
                match verdict.outcome() {
                    v1::Outcome::Applied => applied += 1,
                    v1::Outcome::Quarantined
                        if !verdict.detail.is_empty() && verdict.seq == at as u64 + 1 =>
                    {
                        explained += 1;
                    }
                    _ => eprintln!("P7, {name}: {verdict:?}"),
                }
            }
        }
        stuck += OPS as u64 - acknowledged;
    }
    let outboxes = rounds * poisons.len();
    let in_quarantine = site.ground.number("SELECT count(*) FROM ops WHERE state = 1").await;
    site.close().await;
    let wrong = (outboxes * (OPS - 1) - applied) + (outboxes - explained) + stuck as usize;
    Line {
        id: "P7",
        database: kind.name(),
        figure: format!(
            "{outboxes} outboxes of {OPS} with a bad op: {applied} applied, {explained} explained, {in_quarantine} in \
             quarantine, {stuck} stuck"
        ),
        yardstick: "-".to_owned(),
        value: (wrong + outboxes.abs_diff(in_quarantine)) as f64,
        floor: Bound::AtMost(0.0),
        goal: Bound::AtMost(0.0),
    }
}
