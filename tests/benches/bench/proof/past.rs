//! P13: databases of every release, as they were at every migration, are opened, sound, and gone on with.

use crate::asked::Kind;
use crate::line::{Bound, Line};
use prost::Message as _;
use rounds_proto::v1;
use rounds_tests::golden::Golden;
use rounds_tests::{TestServer, assert_sound};

/// Every release from each of its migrations on. What fails ends the program, and says where.
pub(crate) async fn p13(kind: Kind) -> Line {
    let (mut databases, mut ops, mut wrong) = (0, 0, 0);
    for golden in Golden::all() {
        for migration in 1..=golden.migration() {
            let database = kind.create().await;
            golden.fill(&database, migration).await;
            let server = TestServer::start(&database).await;
            assert_sound(&server.store).await;
            let phone = golden.phone();
            let mut peer =
                server.admin.clone().with_token(phone.device.parse().expect("an id"), &phone.token);
            peer.cursor = phone.cursor;
            let known = golden.ops();
            let sealed = known.iter().map(|op| v1::SealedOp::decode(op.sealed.as_slice()).expect("an op"));
            let answer = peer.send(sealed.collect()).await.expect("an answer");
            let outcomes = answer.verdicts.iter().map(|verdict| verdict.outcome().as_str_name());
            wrong += known.iter().zip(outcomes).filter(|(op, outcome)| op.outcome != *outcome).count();
            databases += 1;
            ops += known.len();
            server.stop().await;
        }
    }
    Line {
        id: "P13",
        database: kind.name(),
        figure: format!("{databases} old databases opened and sound, {ops} old ops answered"),
        yardstick: format!("{} releases", Golden::all().len()),
        value: wrong as f64,
        floor: Bound::AtMost(0.0),
        goal: Bound::AtMost(0.0),
    }
}
