//! P11: every call of every service and every page, by everybody, about areas near and far.

use crate::asked::Kind;
use crate::line::{Bound, Line};
use rounds_tests::rights::{hold_against_table, hold_pages_against_table, serve};

/// Answers that are not as the tables say, or tell what is not the caller's.
pub(crate) async fn p11(kind: Kind) -> Line {
    let (mut tried, mut faults, mut of) = (0, Vec::new(), Vec::new());
    for is_calls in [true, false] {
        let database = kind.create().await;
        let (server, _key_file) = serve(&database).await;
        let rights = match is_calls {
            true => hold_against_table(&server, None).await,
            false => hold_pages_against_table(&server).await,
        };
        server.stop().await;
        tried += rights.tried;
        faults.extend(rights.faults);
        of.push(rights.calls);
    }
    for fault in &faults {
        eprintln!("P11: {fault}");
    }
    Line {
        id: "P11",
        database: kind.name(),
        figure: format!(
            "{} calls and {} paths of pages, by 8 callers, about 6 areas: {tried} answers",
            of[0], of[1]
        ),
        yardstick: "-".to_owned(),
        value: faults.len() as f64,
        floor: Bound::AtMost(0.0),
        goal: Bound::AtMost(0.0),
    }
}
