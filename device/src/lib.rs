//! The offline client that a field app embeds: local store, outbox, sync loop.
//!
//! One [`Device`] is one file. What is recorded is on disk when [`Device::record`] returns, whether there is a
//! signal or not, and shows at once in [`Device::view`], [`Device::list`] and [`Device::today`]. A [`Client`]
//! brings the device and its server together when there is a network: [`Client::sync_until_quiet`] once, or
//! [`run`] for as long as the app lives. What the server does not have yet, and why, is in [`Device::pending`].
//!
//! The device itself reads no clock, makes no ids and does no network I/O: all of that is handed in, so that the
//! same code runs in a phone and in a simulator. Its methods are short and blocking: they write to a local disk.
//!
//! Two processes, or two `Device`s, may have the same file open: every method is a transaction of its own. So an app
//! opens it a second time to record while [`run`] holds the first.

mod client;
mod device;
mod draft;
mod error;
mod outbox;
mod pending;
mod run;
mod store;
mod view;

pub use client::{CallError, Client, Phone, Summary, enrol};
pub use device::{Asked, Device, Identity, Next, Progress, Size, Standing, Status};
pub use draft::Draft;
pub use error::Error;
pub use pending::{Pending, State};
pub use run::{BACKOFF_MAX, Ended, backoff, run};
pub use view::View;

/// Most bytes of ops in one sync call, in bytes. The server takes 4 MiB for the whole message.
pub const BATCH_BYTES_MAX: usize = 3 * 1024 * 1024;
/// Largest answer that the client takes, in bytes.
pub const ANSWER_BYTES_MAX: usize = 16 * 1024 * 1024;
