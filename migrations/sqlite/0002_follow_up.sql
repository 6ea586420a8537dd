-- When follow-ups and notices are due, and when the worker has to look at something again.

ALTER TABLE records ADD COLUMN due_ms INTEGER;
CREATE INDEX records_due ON records (area, due_ms) WHERE due_ms IS NOT NULL;

-- The next time at which something about a record changes by itself: it falls due, expires, comes into the horizon.
CREATE TABLE timers (
    record BLOB PRIMARY KEY,
    area BLOB NOT NULL,
    at_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX timers_next ON timers (area, at_ms);
