-- The heart: what people did (ops), what is true now (records), counters (tallies). Times are ms since 1970 UTC.

CREATE TABLE meta (
    key TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- One row per area: its place in the tree, and the number of its last commit. Whoever writes into an area holds this
-- row until the commit, so numbers become visible in their order.
CREATE TABLE areas (
    id BLOB PRIMARY KEY,
    parent BLOB,
    time_zone TEXT NOT NULL,
    head INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;

-- Every pair of an area and an area below it, itself included.
CREATE TABLE area_lines (
    ancestor BLOB NOT NULL,
    descendant BLOB NOT NULL,
    PRIMARY KEY (ancestor, descendant)
) STRICT, WITHOUT ROWID;
CREATE INDEX area_lines_up ON area_lines (descendant);

-- Append-only: only `state`, and with it `body`, ever changes, when a coordinator releases or dismisses an op.
-- state: 0 taken in, 1 in quarantine, 2 dismissed.
-- Rows are wide: a table with rowids keeps the tree flat.
CREATE TABLE ops (
    device BLOB NOT NULL,
    seq INTEGER NOT NULL,
    record BLOB,
    area BLOB,
    state INTEGER NOT NULL,
    stamp INTEGER NOT NULL,
    at_ms INTEGER NOT NULL,
    received_ms INTEGER NOT NULL,
    doubtful INTEGER NOT NULL,
    worker BLOB,
    group_first INTEGER NOT NULL,
    hash BLOB NOT NULL,
    outcome TEXT NOT NULL,
    reason TEXT,
    detail TEXT NOT NULL,
    body TEXT,
    raw BLOB
) STRICT;
CREATE UNIQUE INDEX ops_name ON ops (device, seq);
CREATE INDEX ops_record ON ops (record) WHERE record IS NOT NULL;
CREATE INDEX ops_quarantine ON ops (device, seq) WHERE state = 1;
-- Finds ops that came, or left quarantine, before their record: few have a reason.
CREATE INDEX ops_orphan ON ops (record) WHERE reason IS NOT NULL;

-- One row per thing: the fold of its ops, and the columns that are searched.
CREATE TABLE records (
    id BLOB NOT NULL,
    area BLOB NOT NULL,
    number INTEGER NOT NULL,
    kind INTEGER NOT NULL,
    status TEXT NOT NULL,
    subject BLOB,
    code TEXT,
    external_ref TEXT,
    disputed INTEGER NOT NULL,
    deleted INTEGER NOT NULL,
    body TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX records_id ON records (id);
CREATE INDEX records_feed ON records (area, number);
CREATE INDEX records_subject ON records (subject) WHERE subject IS NOT NULL;
CREATE INDEX records_code ON records (code) WHERE code IS NOT NULL;
CREATE INDEX records_external_ref ON records (external_ref) WHERE external_ref IS NOT NULL;
CREATE INDEX records_disputed ON records (area, number) WHERE disputed;

-- Records that went from an area to another.
CREATE TABLE departures (
    area BLOB NOT NULL,
    record BLOB NOT NULL,
    number INTEGER NOT NULL,
    PRIMARY KEY (area, record)
) STRICT, WITHOUT ROWID;
CREATE INDEX departures_feed ON departures (area, number);

-- Counters by area, local day and measure; none is zero.
CREATE TABLE tallies (
    area BLOB NOT NULL,
    day TEXT NOT NULL,
    measure TEXT NOT NULL,
    count INTEGER NOT NULL,
    PRIMARY KEY (area, day, measure)
) STRICT, WITHOUT ROWID;

-- Who may call. `token_hash` is null for devices of the server itself.
CREATE TABLE devices (
    id BLOB PRIMARY KEY,
    label TEXT NOT NULL,
    role INTEGER NOT NULL,
    worker BLOB,
    organization BLOB,
    token_hash BLOB,
    scope_version INTEGER NOT NULL,
    enrolled_ms INTEGER NOT NULL,
    seen_ms INTEGER NOT NULL DEFAULT 0,
    revoked_ms INTEGER,
    acknowledged_through INTEGER NOT NULL DEFAULT 0,
    unsent_ops INTEGER NOT NULL DEFAULT 0,
    forked_at INTEGER,
    lost_ops INTEGER NOT NULL DEFAULT 0,
    last_stamp INTEGER NOT NULL DEFAULT 0,
    last_at_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX devices_token ON devices (token_hash) WHERE token_hash IS NOT NULL;

-- The roots that a device has (left_version is null) and had.
CREATE TABLE device_areas (
    device BLOB NOT NULL,
    area BLOB NOT NULL,
    since_version INTEGER NOT NULL,
    left_version INTEGER,
    PRIMARY KEY (device, area, since_version)
) STRICT, WITHOUT ROWID;
CREATE INDEX device_areas_area ON device_areas (area) WHERE left_version IS NULL;

-- One-time codes, by their hash.
CREATE TABLE codes (
    hash BLOB PRIMARY KEY,
    role INTEGER NOT NULL,
    worker BLOB,
    organization BLOB,
    areas TEXT NOT NULL,
    expires_ms INTEGER NOT NULL,
    used_by BLOB
) STRICT, WITHOUT ROWID;

-- What the worker has to do because of committed ops, until it is in the job runner's own table. (Its name on SQLite
-- is Jobs, so ours cannot be jobs.)
CREATE TABLE waiting_jobs (
    id BLOB PRIMARY KEY,
    area BLOB NOT NULL,
    after_number INTEGER NOT NULL,
    through_number INTEGER NOT NULL,
    queued_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX waiting_jobs_oldest ON waiting_jobs (queued_ms);
