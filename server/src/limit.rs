//! Every limit of the edge, with its unit. Those of the ops themselves are in `rounds_domain::limit`.

use std::time::Duration;

/// Largest request message, in bytes after decompression.
pub const REQUEST_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Largest answer message, in bytes. Pages are cut well before. A group that cannot be split comes near, and does not fit
/// if it is of several records that each carry all that a record can.
pub const RESPONSE_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Records of a page are encoded into no more than this, in bytes, so that the answer stays below the 4 MiB that
/// gRPC clients take by default.
pub const PAGE_BYTES_MAX: usize = 3 * 1024 * 1024;
/// Records in a page of the feed, where the device does not say how many it wants.
pub const FEED_RECORDS_DEFAULT: u32 = 2_000;
/// Most records in a page of the feed.
pub const FEED_RECORDS_MAX: u32 = 5_000;
/// A device that says that it holds more unsent ops than this holds so many.
pub const UNSENT_OPS_MAX: u64 = 1_000_000_000;
/// Entries of any list, where the caller does not say how many it wants.
pub const LIST_DEFAULT: u32 = 100;
/// Most records in one page of a list.
pub const LIST_RECORDS_MAX: u32 = 1_000;
/// Most devices, disputes or quarantined ops in one page of a list.
pub const LIST_MAX: u32 = 500;
/// Records are read so many at a time, or as many as the page has, where only some of them are listed.
pub const SCANNED_RECORDS_PAGE: u32 = 500;
/// Records that one page of a partner's list looks at to find those that were referred to it.
pub const PARTNER_RECORDS_SCANNED_MAX: usize = 10_000;
/// Calls of a partner's page that whoever has the link can make at once,
pub const PARTNER_CALLS_MAX: u32 = 60;
/// and how long until there is one more.
pub const PARTNER_CALL_EVERY: Duration = Duration::from_secs(2);
/// Fetches of a calendar that all who have its link can make at once: programs look every hour,
pub const CALENDAR_CALLS_MAX: u32 = 60;
/// and how long until there is one more.
pub const CALENDAR_CALL_EVERY: Duration = Duration::from_secs(10);
/// Codes that can be tried without success from an address at once. A code has 100 bits, so nobody guesses one; this
/// keeps those who try from keeping the database busy.
pub const FAILED_CODES_MAX: u32 = 20;
/// How long until there is one more.
pub const FAILED_CODE_EVERY: Duration = Duration::from_secs(3);
/// Files of records that are written at a time for the dashboard; others wait.
pub const EXPORTS_MAX: usize = 2;
/// A file is sent in pieces of so many bytes.
pub const FILE_CHUNK_BYTES: usize = 64 * 1024;
/// Faults that an error names: its details travel in a header, and clients take little there.
pub const VIOLATIONS_MAX: usize = 10;

/// What may wait in quarantine of a device that was revoked, in bytes: what it sent, and a KiB for each op. That is
/// more than fifty thousand ops of usual size, far beyond what an honest phone holds; whoever has a lost one must not
/// fill the disk with it.
pub const REVOKED_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Copies of one phone that get names of their own, and copies of those: whoever has one could make names without end.
pub const COPIES_MAX: u64 = 64;
/// How long a one-time code is good, in seconds, where nobody says otherwise: a day.
pub const CODE_VALID_SECONDS_DEFAULT: u32 = 24 * 60 * 60;
/// How long a one-time code is good at most, in seconds: 30 days.
pub const CODE_VALID_SECONDS_MAX: u32 = 30 * 24 * 60 * 60;

/// Largest request message of services that take no batches, in bytes after decompression: an op that was mended, and
/// some.
pub const SMALL_REQUEST_BYTES_MAX: usize = 128 * 1024;
/// Bytes of requests that are read at the same time, of everybody together, as they come over the line. Who waits for
/// the rest of a request holds what came of it.
pub const READING_BYTES_MAX: usize = 96 * 1024 * 1024;
/// Answers that were made and not fetched yet, of everybody together, in bytes as they go out. Whoever asks and reads
/// nothing of the answer has the server hold it.
pub const ANSWER_BYTES_MAX: usize = 256 * 1024 * 1024;
/// The same of whoever has one token.
pub const TOKEN_ANSWER_BYTES_MAX: usize = 2 * RESPONSE_BYTES_MAX;
/// Answers of fewer bytes are not counted: each costs no more than the call itself.
pub const SMALL_ANSWER_BYTES: usize = 16 * 1024;
/// Bytes of batches that are worked on, or wait for it, at the same time, after decompression.
pub const WORKING_BYTES_MAX: usize = 64 * 1024 * 1024;
/// The same of whoever has one token.
pub const DEVICE_WORKING_BYTES_MAX: usize = 2 * REQUEST_BYTES_MAX;
/// Streams of hints of one device: those of a phone, or of the open pages of a browser.
pub const DEVICE_WATCHES_MAX: usize = 32;
/// What one address may have at most of what all have together, as a part of it: connections, and bytes that are read.
pub const ADDRESS_SHARE: usize = 4;
/// Bytes of requests that are read at the same time of whoever has one token, wherever they come from: a phone sends one
/// batch after the other, and again when it heard nothing.
pub const TOKEN_READING_BYTES_MAX: usize = 2 * REQUEST_BYTES_MAX;

/// Connections at a time, where nobody says otherwise.
pub const CONNECTIONS_MAX: usize = 10_000;
/// Connections that an address can open at once: many phones come through one address of their network.
pub const ADDRESS_CONNECTIONS_AT_ONCE: u32 = 1_000;
/// How long until there is one more: 100 a second.
pub const ADDRESS_CONNECTION_EVERY: Duration = Duration::from_millis(10);
/// How long the headers of a call over HTTP/1 may take, from when the last call ended.
pub const HEADER_TIMEOUT: Duration = Duration::from_secs(20);
/// Largest headers of a call over HTTP/1, in bytes.
pub const HTTP1_HEADER_BYTES_MAX: usize = 64 * 1024;
/// A connection on which no call has come by then is closed.
pub const FIRST_CALL_TIMEOUT: Duration = Duration::from_secs(30);
/// A connection without any call for so long is closed.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(10 * 60);
/// A connection is closed when it is so old; up to a tenth more by chance, so that those that came together do not come
/// back together.
pub const CONNECTION_AGE_MAX: Duration = Duration::from_secs(60 * 60);
/// How long calls may go on, hints among them, on a connection that is to be closed.
pub const CONNECTION_GRACE: Duration = Duration::from_secs(90);
/// A connection that takes nothing of what is sent for so long is given up.
pub const STALL_TIMEOUT: Duration = Duration::from_secs(60);
/// How much may be sent to the server unasked, in bytes: on one stream of a connection,
pub const STREAM_WINDOW_BYTES: u32 = 256 * 1024;
/// and on all of them.
pub const CONNECTION_WINDOW_BYTES: u32 = 1024 * 1024;

/// Calls that a device can make at once. After days offline a phone needs about one per thousand ops and one per
/// thousand records, and some more for its bytes: this is for a hundred thousand of them, and more.
pub const DEVICE_CALLS_MAX: u32 = 1_200;
/// How long until there is one more: 20 a second.
pub const DEVICE_CALL_EVERY: Duration = Duration::from_millis(50);
/// A `Sync` counts as one call more of its device for each so many bytes of its message, unpacked: a few KiB on the line can
/// be some MiB of work. A message that was unpacked in vain counts as the largest.
pub const CALL_BYTES: usize = 64 * 1024;
/// Calls that can be made from an address at once: many phones come through one address of their network.
pub const ADDRESS_CALLS_MAX: u32 = 12_000;
/// How long until there is one more: 200 a second.
pub const ADDRESS_CALL_EVERY: Duration = Duration::from_millis(5);
/// How often the same code can be tried at once,
pub const CODE_TRIES_MAX: u32 = 10;
/// and how long until there is one more.
pub const CODE_TRY_EVERY: Duration = Duration::from_secs(60);
/// How long a token that was known is taken to be, before a request is read whole. Every call looks again after that.
pub const TOKEN_KNOWN: Duration = Duration::from_secs(60);

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
