//! P8: rows that readers missed beside writers that dawdle.

use crate::asked::{Asked, Kind};
use crate::line::{Bound, Line};
use rounds_tests::gap::write_beside_readers;

pub(crate) async fn p8(asked: &Asked) -> Line {
    let rows = asked.setting("--stored").unwrap_or(asked.size(5_000, 1_000_000));
    let gaps = write_beside_readers(&Kind::Postgres.create().await, rows).await;
    Line {
        id: "P8",
        database: Kind::Postgres.name(),
        figure: format!(
            "{} rows of {} writers at a time, read in {} pages: {} missed, {} cursors went back",
            gaps.rows, gaps.writers, gaps.pages, gaps.missed, gaps.backwards
        ),
        yardstick: "-".to_owned(),
        value: (gaps.missed + gaps.backwards) as f64,
        floor: Bound::AtMost(0.0),
        goal: Bound::AtMost(0.0),
    }
}
