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
//!
//! ```
//! # use rounds_domain::{AreaId, Body, ClockReading, DeviceId, Kind, RecordId, Role, body};
//! # use rounds_device::{Device, Draft, Identity};
//! # use uuid::uuid;
//! # let dir = tempfile::tempdir()?;
//! # let identity = Identity {
//! #     device: DeviceId(uuid!("01a204b4-2931-7fd8-a86d-4abe83994a9d")), token: "secret".into(), role: Role::Field,
//! #     worker: None, server_url: "https://rounds.example.org".into(), ca_pem: None,
//! # };
//! # let area = AreaId(uuid!("01a204b4-2931-7fd8-a86d-4abe83994a9e"));
//! # let dwelling = Some(RecordId(uuid!("01a204b4-2931-7fd8-a86d-4abe83994a9f")));
//! # let now = ClockReading { wall_ms: 0, boot: 0, monotonic_ms: 0 };
//! # let (new_visit, new_request) = (
//! #     RecordId(uuid!("01a204b4-2931-7fd8-a86d-4abe83994aa0")),
//! #     RecordId(uuid!("01a204b4-2931-7fd8-a86d-4abe83994aa1")),
//! # );
//! let mut device = Device::open(dir.path().join("device.db"))?;
//! device.enrolled(identity)?; // once; `enrol` gets the identity for a one-time code
//!
//! let visit = body::Visit { subject: dwelling, purpose: "routine".into(), outcome: "met".into(), ..Default::default() };
//! let request = body::Request {
//!     subject: dwelling, category: "water".into(), channel: "visit".into(), visit: Some(new_visit), ..Default::default()
//! };
//! device.record(now, vec![
//!     Draft::create(new_visit, area, Body::Visit(visit)),
//!     Draft::create(new_request, area, Body::Request(request)),
//! ])?;
//! assert_eq!(device.list(Kind::Request)?[0].record.status, "open");
//! assert_eq!(device.pending()?[1].what, "new request: water");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod client;
mod contact;
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
