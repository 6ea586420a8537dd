//! Tests of the whole: real server, worker and devices on both databases.

mod act;
mod cluster;
mod crew;
mod database;
pub mod fuzz;
pub mod gap;
pub mod golden;
pub mod hostile;
mod http;
pub mod kill;
mod mail;
mod peer;
mod program;
pub mod restore;
pub mod rights;
pub mod room;
mod server;
mod whole;
mod writer;
pub mod year;

pub use act::{Act, new_id, visit};
pub use cluster::{Cluster, Replication, Switch, postgres_program};
pub use crew::{Crew, Outcome};
pub use database::{EPOCH, POSTGRES_URL_VARIABLE, TestDatabase, assert_sound};
pub use http::http;
pub use mail::{MailServer, foreign_python};
pub use peer::{Peer, reason};
pub use program::{Program, Said, rounds, rounds_must};
pub use server::{TestClock, TestServer};
pub use whole::{HARD_TEXT, MOMENT_MS, whole_body};

/// Makes two tests of each function: one on SQLite, one on PostgreSQL, each with a database of its own.
///
/// ```text
/// on_both_databases! {
///     async fn a_promise_holds(database: &TestDatabase) { ... }
/// }
/// ```
/// The tests are called `a_promise_holds::on_sqlite` and `a_promise_holds::on_postgres`.
#[macro_export]
macro_rules! on_both_databases {
    ($($(#[$attribute:meta])* async fn $name:ident($database:ident: &TestDatabase) $body:block)*) => {
        $(
            mod $name {
                #[allow(unused_imports)] // some tests use nothing of what surrounds them
                use super::*;

                $(#[$attribute])*
                async fn run($database: &$crate::TestDatabase) $body

                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn on_sqlite() {
                    run(&$crate::TestDatabase::sqlite().await).await;
                }

                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn on_postgres() {
                    run(&$crate::TestDatabase::postgres().await).await;
                }
            }
        )*
    };
}
