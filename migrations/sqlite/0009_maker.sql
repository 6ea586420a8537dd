-- The device that made a one-time code: what it made ends with it.
ALTER TABLE codes ADD COLUMN maker BLOB;
