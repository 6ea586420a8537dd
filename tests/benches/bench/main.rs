//! `scripts/bench`: how fast Rounds is, beside a yardstick measured in the same run. `scripts/proof`: whether what it
//! promises holds.
//!
//! One line per row and database, the columns separated by tabs. The rows and what they are held against are in these
//! scripts.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a benchmark that cannot go on says where and ends
#![allow(clippy::disallowed_methods)] // it measures time, makes ids, and has a main that reads its arguments

mod asked;
mod line;
mod phone;
mod proof;
mod site;
mod summary;
mod sync;
mod worker;

use asked::Asked;
use line::{Line, Report};

#[tokio::main]
async fn main() {
    let asked = match Asked::read(std::env::args().skip(1)) {
        Ok(asked) => asked,
        Err(what) => {
            eprintln!("scripts/bench, scripts/proof: {what}");
            std::process::exit(64);
        }
    };
    println!("{}", Line::HEADER);
    let mut report = Report::default();
    match asked.what.as_str() {
        "sync" => sync::measure(&asked, &mut report).await,
        "worker" => worker::measure(&asked, &mut report).await,
        "proof" => proof::measure(&asked, &mut report).await,
        _ => summary::measure(&asked, &mut report).await,
    }
    std::process::exit(i32::from(report.failed));
}
