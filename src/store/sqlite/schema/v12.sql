-- Searches for users, without a scan.

-- Finds messages by the provider's id, the number and refClient. Written by src/store/sqlite/search_index.rs, a run of messages at once.
CREATE TABLE search_index (
  id      INTEGER PRIMARY KEY,
  entries BLOB NOT NULL
) STRICT;

-- The keys of an event whose number or refClient its message has not: of a reply to no known message, for one.
-- Those of earlier events are written by src/store/sqlite/own_keys.rs.
ALTER TABLE events ADD COLUMN number_key INTEGER;
ALTER TABLE events ADD COLUMN ref_key INTEGER;
CREATE INDEX events_by_number ON events (number_key) WHERE number_key IS NOT NULL;
CREATE INDEX events_by_ref ON events (ref_key) WHERE ref_key IS NOT NULL;
