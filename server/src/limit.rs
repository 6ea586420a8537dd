//! Every limit of the edge, with its unit. Those of the ops themselves are in `rounds_domain::limit`.

use std::time::Duration;

/// Largest request message, in bytes after decompression.
pub const REQUEST_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Largest answer message, in bytes. Pages are cut well before; only a group that cannot be split comes near.
pub const RESPONSE_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Records of a page are encoded into no more than this, in bytes, so that the answer stays below the 4 MiB that
/// gRPC clients take by default.
pub const PAGE_BYTES_MAX: usize = 3 * 1024 * 1024;
/// Records in a page of the feed, where the device does not say how many it wants.
pub const FEED_RECORDS_DEFAULT: u32 = 2_000;
/// Most records in a page of the feed.
pub const FEED_RECORDS_MAX: u32 = 5_000;
/// Entries of any list, where the caller does not say how many it wants.
pub const LIST_DEFAULT: u32 = 100;
/// Most records in one page of a list.
pub const LIST_RECORDS_MAX: u32 = 1_000;
/// Most devices, disputes or quarantined ops in one page of a list.
pub const LIST_MAX: u32 = 500;
/// Records that one page of a partner's list looks at to find those that were referred to it.
pub const PARTNER_RECORDS_SCANNED_MAX: u32 = 10_000;
/// Calls of a partner's page that whoever has the link can make at once,
pub const PARTNER_CALLS_MAX: u32 = 60;
/// and how long until there is one more.
pub const PARTNER_CALL_EVERY: Duration = Duration::from_secs(2);
/// Codes that can be tried on the dashboard at once, by everybody together. A code has 100 bits, so nobody guesses one;
/// this keeps those who try from keeping the database busy.
pub const SIGN_INS_MAX: u32 = 20;
/// How long until there is one more.
pub const SIGN_IN_EVERY: Duration = Duration::from_secs(3);
/// Files of records that are written at a time for the dashboard; others wait.
pub const EXPORTS_MAX: usize = 2;
/// A file is sent in pieces of so many bytes.
pub const FILE_CHUNK_BYTES: usize = 64 * 1024;
/// Faults that an error names: its details travel in a header, and clients take little there.
pub const VIOLATIONS_MAX: usize = 10;

/// How long a one-time code is good, in seconds, where nobody says otherwise: a day.
pub const CODE_VALID_SECONDS_DEFAULT: u32 = 24 * 60 * 60;
/// How long a one-time code is good at most, in seconds: 30 days.
pub const CODE_VALID_SECONDS_MAX: u32 = 30 * 24 * 60 * 60;

/// Calls at a time on one connection.
pub const STREAMS_PER_CONNECTION_MAX: u32 = 100;
/// Malformed streams after which a connection is closed.
pub const MALFORMED_STREAMS_MAX: usize = 64;
/// Largest headers of a call, in bytes.
pub const HEADER_BYTES_MAX: u32 = 16 * 1024;
/// A TLS handshake that takes longer is given up.
pub const TLS_HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// A call that has not begun to answer by then is given up. What it handed to the store may still be committed; a
/// retry finds out.
pub const CALL_TIMEOUT: Duration = Duration::from_secs(60);
/// A connection is asked for a sign of life so often,
pub const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(60);
/// and closed when none comes for so long.
pub const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(20);
/// How long to wait before taking connections again when the system has no room for another.
pub const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How long calls may go on after the server was told to stop.
pub const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);
/// How often a watching device is looked at anew: whether it was revoked, and whether areas moved by commits of
/// other server processes.
pub const WATCH_RECHECK: Duration = Duration::from_secs(5);
/// A contact with which nothing changed is noted at most so often per device, in ms.
pub const CONTACT_INTERVAL_MS: i64 = 60_000;
/// Clients are asked to try again after this when the store is not available.
pub const RETRY_DELAY: Duration = Duration::from_secs(1);

/// A phone that was not heard of for so many hours is called silent.
pub const SILENT_HOURS: i32 = 24;
/// Areas, commitments and names of a summary are read so many at a time.
pub const SUMMARY_RECORDS_PAGE: u32 = 500;
/// Records that one page of those behind a figure looks at to find them.
pub const BEHIND_RECORDS_SCANNED_MAX: usize = 20_000;
