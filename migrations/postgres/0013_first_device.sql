-- Which device a phone was first, of one that goes by a later name: of a copy that got a name of its own, and of a phone
-- that was enrolled again. What several names of one phone bring takes effect once.
ALTER TABLE devices ADD COLUMN first_device UUID;
UPDATE devices SET first_device = (
    WITH RECURSIVE origin (id, copy_of) AS (
        SELECT devices.id, devices.copy_of
        UNION SELECT d.id, d.copy_of FROM devices AS d JOIN origin ON d.id = origin.copy_of)
    SELECT id FROM origin WHERE copy_of IS NULL
) WHERE copy_of IS NOT NULL;
CREATE INDEX devices_first_device ON devices (first_device) WHERE first_device IS NOT NULL;
