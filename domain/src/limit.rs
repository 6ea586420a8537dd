//! Every limit of the domain, with its unit. Enforced where ops come in, tested at the limit and one past it.

/// Longest name, title, code or external reference, in characters.
pub const NAME_CHARS_MAX: usize = 200;
/// Longest phone number, with whatever people write between and behind its digits, in characters.
pub const PHONE_CHARS_MAX: usize = 40;
/// Longest note, description, finding or reason, in characters.
pub const TEXT_CHARS_MAX: usize = 4_000;
/// Most entries in any list inside a body: answers, questions, attributes, members.
pub const LIST_ENTRIES_MAX: usize = 256;
/// Largest quantity of work or of a commitment. Counters add up very many of them.
pub const QUANTITY_MAX: f64 = 1e9;
/// Longest time after what happened at which a policy can have something due, in days.
pub const DUE_DAYS_MAX: u32 = 3_650;
/// Most ops in one atomic group.
pub const GROUP_OPS_MAX: usize = 64;
/// What the records of a group may take together, in bytes, to reach devices in one page: it has to fit into one message.
/// Records that take more come in several.
pub const GROUP_PAGE_BYTES_MAX: usize = 2 * 1024 * 1024;
/// Most ops in one sync call.
pub const BATCH_OPS_MAX: usize = 1_000;
/// Largest encoded op, in bytes.
pub const OP_BYTES_MAX: usize = 64 * 1024;
/// Deepest tree of areas, in levels.
pub const AREA_DEPTH_MAX: usize = 8;
/// Steps, amendments and disputes that a record itself carries; older ones are in its history.
pub const RECORD_ENTRIES_MAX: usize = 200;
/// Bytes of each of these three, as far as texts and values take them: a record fits into one message, whatever was done
/// to it.
pub const RECORD_ENTRIES_BYTES_MAX: usize = 1024 * 1024;
/// A wall clock that shows less was reset by a lost battery, in ms since 1970 UTC: 2020, before there was Rounds.
pub const CLOCK_RESET_BELOW_MS: i64 = 1_577_836_800_000;
/// How far ahead the clock of another server may be from which a device has what it saw, in ms.
pub const CLOCK_LEAD_MS: i64 = 60_000;
/// How far a device clock may disagree with the time we worked out before the op is marked doubtful, in ms.
pub const CLOCK_DOUBT_MS: u64 = 60_000;
