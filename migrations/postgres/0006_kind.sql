-- Records of a kind and stage in an area, in the order of its feed: the few among the many visits, inspections and
-- follow-ups (9, 10, 14), which are found by their days, subjects and due times.
CREATE INDEX records_kind ON records (area, kind, status, number) WHERE kind NOT IN (9, 10, 14);
