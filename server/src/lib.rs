//! gRPC services, sign-in and the `rounds` command.
//!
//! [`serve()`] is the whole server; `main` and the tests call it alike.

mod access;
pub mod brief;
mod calendar;
mod chance;
pub mod clock;
mod contact_service;
mod cursor;
mod dashboard;
pub mod demo;
mod device_service;
mod directory_service;
mod edge;
pub mod error;
pub mod export;
mod history_service;
pub mod import;
pub mod limit;
mod listen;
pub mod outline;
mod page;
mod partner;
pub mod planning;
mod quota;
pub mod secret;
mod segment;
mod serve;
mod share;
mod shared;
pub mod simulation;
mod summary;
mod summary_file;
mod summary_service;
mod sync;
pub mod untrusted;
mod watch;
mod web;
mod words;

pub use calendar::calendar_path;
pub use clock::Clock;
pub use listen::ConnectionLimits;
pub use partner::duration;
pub use secret::Random;
pub use serve::{Config, ServeError, Serving, Tls, serve};
pub use summary_file::summary_file;
pub use web::page_paths;
