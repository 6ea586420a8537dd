//! gRPC services, sign-in and the `rounds` command.
//!
//! [`serve()`] is the whole server; `main` and the tests call it alike.

mod access;
pub mod brief;
mod calendar;
pub mod clock;
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
mod summary;
mod summary_service;
mod sync;
mod watch;
mod web;
mod words;

pub use calendar::calendar_path;
pub use clock::Clock;
pub use listen::ConnectionLimits;
pub use partner::duration;
pub use secret::Random;
pub use serve::{Config, ServeError, Serving, Tls, serve};
pub use web::page_paths;
