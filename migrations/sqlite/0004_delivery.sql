-- What is told to people outside of Rounds, and the links that they hold.

-- One message to one address. Its id derives from notice, channel and address, so it is there once.
-- state: waiting, sending (somebody claimed it), failing (to be tried again), sent, failed (given up), withdrawn.
-- turn: goes up with each claim, and each time that it is put back by hand: it names the job that does it, and whoever
-- has an older one may not write.
-- next_ms: when to release a job for it; null while one is released or when it has ended.
CREATE TABLE deliveries (
    id BLOB PRIMARY KEY,
    notice BLOB NOT NULL,
    area BLOB NOT NULL,
    channel TEXT NOT NULL,
    address TEXT NOT NULL,
    state TEXT NOT NULL,
    turn INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    last_error TEXT NOT NULL,
    created_ms INTEGER NOT NULL,
    next_ms INTEGER,
    ended_ms INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX deliveries_next ON deliveries (next_ms) WHERE next_ms IS NOT NULL;
CREATE INDEX deliveries_state ON deliveries (state, created_ms);

-- Versions of links that were revoked; where there is no row it is 1. No secret is kept here: they are computed.
CREATE TABLE links (
    purpose TEXT NOT NULL,
    subject BLOB NOT NULL,
    version INTEGER NOT NULL,
    PRIMARY KEY (purpose, subject)
) STRICT, WITHOUT ROWID;

-- Who does a follow-up: a worker, group or organization. Calendars are made of the open ones.
ALTER TABLE records ADD COLUMN assignee BLOB;
CREATE INDEX records_assignee ON records (assignee, due_ms) WHERE assignee IS NOT NULL AND status = 'open';
-- Groups are few; a worker's are found by looking at all of them.
CREATE INDEX records_group ON records (id) WHERE kind = 8;
