-- Records of a kind and stage in an area, in the order of its feed: the few among the many visits, inspections and
-- follow-ups (9, 10, 14), which are found by their days, subjects and due times.
CREATE INDEX records_kind ON records (area, kind, status, number) WHERE kind NOT IN (9, 10, 14);
-- What is due and not done yet, however much was done before.
CREATE INDEX records_open ON records (area, due_ms) WHERE status = 'open' AND due_ms IS NOT NULL;

-- What came late is asked for by when it came: since the reader looked last.
CREATE TABLE late (
    area BLOB NOT NULL,
    received_ms INTEGER NOT NULL,
    day TEXT NOT NULL,
    ops INTEGER NOT NULL,
    PRIMARY KEY (area, received_ms, day)
) STRICT, WITHOUT ROWID;
INSERT INTO late (area, received_ms, day, ops) SELECT area, received_ms, day, ops FROM late_arrivals;
DROP TABLE late_arrivals;
ALTER TABLE late RENAME TO late_arrivals;

-- Places that are no dwellings are few: which of those that were met are some is found by looking at all of them. The
-- text is looked at as it is: a record that cannot be read as JSON stops nothing. Quotes within values are escaped.
CREATE INDEX records_no_dwelling ON records (area, id) WHERE kind = 2 AND instr(body, '"sort":"dwelling"') = 0;
