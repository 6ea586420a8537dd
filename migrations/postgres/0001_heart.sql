-- The heart: what people did (ops), what is true now (records), counters (tallies). Times are ms since 1970 UTC.

CREATE TABLE meta (
    key text PRIMARY KEY,
    value text NOT NULL
);

-- One row per area: its place in the tree, and the number of its last commit. Whoever writes into an area holds this
-- row until the commit, so numbers become visible in their order.
CREATE TABLE areas (
    id uuid PRIMARY KEY,
    parent uuid,
    time_zone text NOT NULL,
    head bigint NOT NULL DEFAULT 0
);

-- Every pair of an area and an area below it, itself included.
CREATE TABLE area_lines (
    ancestor uuid NOT NULL,
    descendant uuid NOT NULL,
    PRIMARY KEY (ancestor, descendant)
);
CREATE INDEX area_lines_up ON area_lines (descendant);

-- Append-only: only `state`, and with it `body`, ever changes, when a coordinator releases or dismisses an op.
-- state: 0 taken in, 1 in quarantine, 2 dismissed.
CREATE TABLE ops (
    device uuid NOT NULL,
    seq bigint NOT NULL,
    record uuid,
    area uuid,
    state smallint NOT NULL,
    stamp bigint NOT NULL,
    at_ms bigint NOT NULL,
    received_ms bigint NOT NULL,
    doubtful boolean NOT NULL,
    worker uuid,
    group_first bigint NOT NULL,
    hash bytea NOT NULL,
    outcome text NOT NULL,
    reason text,
    detail text NOT NULL,
    body text,
    raw bytea
);
CREATE UNIQUE INDEX ops_name ON ops (device, seq);
CREATE INDEX ops_record ON ops (record) WHERE record IS NOT NULL;
CREATE INDEX ops_quarantine ON ops (device, seq) WHERE state = 1;
-- Finds ops that came, or left quarantine, before their record: few have a reason.
CREATE INDEX ops_orphan ON ops (record) WHERE reason IS NOT NULL;

-- One row per thing: the fold of its ops, and the columns that are searched.
CREATE TABLE records (
    id uuid NOT NULL,
    area uuid NOT NULL,
    number bigint NOT NULL,
    kind smallint NOT NULL,
    status text NOT NULL,
    subject uuid,
    code text,
    external_ref text,
    disputed boolean NOT NULL,
    deleted boolean NOT NULL,
    body text NOT NULL
);
CREATE UNIQUE INDEX records_id ON records (id);
CREATE INDEX records_feed ON records (area, number);
CREATE INDEX records_subject ON records (subject) WHERE subject IS NOT NULL;
CREATE INDEX records_code ON records (code) WHERE code IS NOT NULL;
CREATE INDEX records_external_ref ON records (external_ref) WHERE external_ref IS NOT NULL;
CREATE INDEX records_disputed ON records (area, number) WHERE disputed;

-- Records that went from an area to another.
CREATE TABLE departures (
    area uuid NOT NULL,
    record uuid NOT NULL,
    number bigint NOT NULL,
    PRIMARY KEY (area, record)
);
CREATE INDEX departures_feed ON departures (area, number);

-- Counters by area, local day and measure; none is zero.
CREATE TABLE tallies (
    area uuid NOT NULL,
    day text NOT NULL,
    measure text NOT NULL,
    count bigint NOT NULL,
    PRIMARY KEY (area, day, measure)
);

-- Who may call. `token_hash` is null for devices of the server itself.
CREATE TABLE devices (
    id uuid PRIMARY KEY,
    label text NOT NULL,
    role smallint NOT NULL,
    worker uuid,
    organization uuid,
    token_hash bytea,
    scope_version bigint NOT NULL,
    enrolled_ms bigint NOT NULL,
    seen_ms bigint NOT NULL DEFAULT 0,
    revoked_ms bigint,
    acknowledged_through bigint NOT NULL DEFAULT 0,
    unsent_ops bigint NOT NULL DEFAULT 0,
    forked_at bigint,
    lost_ops bigint NOT NULL DEFAULT 0,
    last_stamp bigint NOT NULL DEFAULT 0,
    last_at_ms bigint NOT NULL
);
CREATE UNIQUE INDEX devices_token ON devices (token_hash) WHERE token_hash IS NOT NULL;

-- The roots that a device has (left_version is null) and had.
CREATE TABLE device_areas (
    device uuid NOT NULL,
    area uuid NOT NULL,
    since_version bigint NOT NULL,
    left_version bigint,
    PRIMARY KEY (device, area, since_version)
);
CREATE INDEX device_areas_area ON device_areas (area) WHERE left_version IS NULL;

-- One-time codes, by their hash.
CREATE TABLE codes (
    hash bytea PRIMARY KEY,
    role smallint NOT NULL,
    worker uuid,
    organization uuid,
    areas text NOT NULL,
    expires_ms bigint NOT NULL,
    used_by uuid
);

-- What the worker has to do because of committed ops, until it is in the job runner's own table. (Its name on SQLite
-- is Jobs, so ours cannot be jobs.)
CREATE TABLE waiting_jobs (
    id uuid PRIMARY KEY,
    area uuid NOT NULL,
    after_number bigint NOT NULL,
    through_number bigint NOT NULL,
    queued_ms bigint NOT NULL
);
CREATE INDEX waiting_jobs_oldest ON waiting_jobs (queued_ms);
