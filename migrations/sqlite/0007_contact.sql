-- How to reach who raised a request: encrypted, and erased by deleting the row. Times are ms since 1970 UTC.

-- The key of each has two halves: this one, and the one in the server's key file, which is in no database. A new one is
-- made whenever something is put, so no key is used twice. Nothing else of the database holds names or numbers.
CREATE TABLE contacts (
    request BLOB PRIMARY KEY,
    half BLOB NOT NULL,
    sealed BLOB NOT NULL,
    put_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
