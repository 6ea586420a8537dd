-- How often in a row a delivery was begun by somebody who never said what came of it: each of them ended meanwhile.
ALTER TABLE deliveries ADD COLUMN unended INTEGER NOT NULL DEFAULT 0;
