-- Each time that contact data was given or taken back, by the key that it came with: what is sent again changes nothing,
-- though it was replaced or erased meanwhile. Times are ms since 1970 UTC, and later than all that were there before of
-- the same request.
CREATE TABLE contact_puts (
    request BLOB NOT NULL,
    key BLOB NOT NULL,
    put_ms INTEGER NOT NULL,
    PRIMARY KEY (request, key)
) STRICT, WITHOUT ROWID;
-- Of those that are there the keys are not known.
INSERT INTO contact_puts (request, key, put_ms) SELECT request, request, put_ms FROM contacts;
