-- Of which device this one is a copy that got a name of its own: revoked together with it.
ALTER TABLE devices ADD COLUMN copy_of BLOB;
CREATE INDEX devices_copy_of ON devices (copy_of) WHERE copy_of IS NOT NULL;
