-- A message whose recipient has been erased: what comes of it later is kept without anything of the person.
ALTER TABLE messages ADD COLUMN erased_at INTEGER;

-- A reply or an unrecognised request that has been erased: a request that brings it again is not kept as it came.
ALTER TABLE event_keys ADD COLUMN erased INTEGER;

-- Keys the hash that stands for the recipient in the identity of an erased legacy message.
INSERT INTO meta (key, value) VALUES ('erasure_salt', randomblob(32));

-- What was deleted before secure_delete was on is still to be read in free pages: all of them are used once, and given back as zeros.
CREATE TABLE scrub (page BLOB) STRICT;
INSERT INTO scrub
WITH RECURSIVE free (page) AS (SELECT freelist_count FROM pragma_freelist_count UNION ALL SELECT page - 1 FROM free WHERE page > 1)
SELECT zeroblob((SELECT page_size - 100 FROM pragma_page_size)) FROM (SELECT page FROM free WHERE page > 0 ORDER BY page);
DROP TABLE scrub;
-- The same on pages that are in use is done by the next erasure.
INSERT INTO meta (key, value) VALUES ('scrub_due', 1);
