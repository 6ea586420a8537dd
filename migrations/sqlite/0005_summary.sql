-- Summaries: counters for days, months and all time, and what they are found by. Times are ms since 1970 UTC.

-- Counted anew when the program opens a database that another way of counting filled: `tally_version` in meta.
DROP TABLE tallies;
-- unit: what the day stands for. None of the counts is zero after a recount; between, a zero says nothing.
CREATE TABLE tallies (
    area BLOB NOT NULL,
    unit TEXT NOT NULL,
    day TEXT NOT NULL,
    measure TEXT NOT NULL,
    count INTEGER NOT NULL,
    PRIMARY KEY (area, unit, day, measure)
) STRICT, WITHOUT ROWID;

-- How often something was attended to on a day, by visits and inspections of this area.
CREATE TABLE attended (
    area BLOB NOT NULL,
    work TEXT NOT NULL,
    subject BLOB NOT NULL,
    day TEXT NOT NULL,
    count INTEGER NOT NULL,
    PRIMARY KEY (area, work, subject, day)
) STRICT, WITHOUT ROWID;

-- Ops that were received on a later local day than the one on which they happened.
CREATE TABLE late_arrivals (
    area BLOB NOT NULL,
    day TEXT NOT NULL,
    received_ms INTEGER NOT NULL,
    ops INTEGER NOT NULL,
    PRIMARY KEY (area, day, received_ms)
) STRICT, WITHOUT ROWID;

-- The local day on which a record is counted.
ALTER TABLE records ADD COLUMN day TEXT;
CREATE INDEX records_day ON records (area, kind, day) WHERE day IS NOT NULL;
-- Organizations are few: which of what was attended to are some is found by looking at all of them.
CREATE INDEX records_organization ON records (id) WHERE kind = 4;
