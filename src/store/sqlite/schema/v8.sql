-- Receipts are known by what they say from here on; those of messages up to this one by how it was written, too.
INSERT INTO meta (key, value) VALUES ('spelled_to', (SELECT coalesce(max(id), 0) FROM messages));

-- A message is known by its id and recipient in one spelling: those that were written otherwise get it, and the key of it.
CREATE TABLE respelled (
  id         INTEGER PRIMARY KEY,
  old_key    INTEGER NOT NULL,
  new_key    INTEGER NOT NULL,
  message_id TEXT NOT NULL,
  part       TEXT NOT NULL,
  is_pending INTEGER NOT NULL
) STRICT;
INSERT INTO respelled
SELECT id, key, message_key(source, new_id, new_part), new_id, new_part, state IN ('scheduled', 'enroute')
FROM (
  SELECT
    id, key, source, message_id, part, state,
    plain_id(message_id) AS new_id,
    CASE WHEN part = '' OR number IS NULL THEN part ELSE plain_number(number) END AS new_part
  FROM messages
  WHERE part <> '' OR (length(message_id) = 36 AND message_id GLOB '*[A-F]*')
)
WHERE new_id <> message_id OR new_part <> part;
CREATE INDEX respelled_by_key ON respelled (new_key);

-- One that was written in two ways was counted as two messages. History stays; what comes from now on is of one of them, of which all
-- their receipts are known: the one that is spelled so already, else one that is settled, else the first.
CREATE TABLE owners (new_key INTEGER PRIMARY KEY, id INTEGER NOT NULL) STRICT;
INSERT INTO owners
SELECT key, min(message) FROM message_keys WHERE key IN (SELECT new_key FROM respelled) GROUP BY key;
INSERT OR IGNORE INTO owners
SELECT key, min(id) FROM messages
WHERE id > coalesce((SELECT value FROM meta WHERE key = 'keys_indexed_to'), 0) AND key IN (SELECT new_key FROM respelled)
GROUP BY key;
INSERT OR IGNORE INTO owners
SELECT new_key, id FROM respelled ORDER BY new_key, is_pending, id;
INSERT OR IGNORE INTO receipt_keys
SELECT o.id, k.key
FROM respelled AS r JOIN owners AS o ON o.new_key = r.new_key JOIN receipt_keys AS k ON k.message = r.id
WHERE o.id <> r.id;

DELETE FROM respelled WHERE id NOT IN (SELECT id FROM owners);
DELETE FROM message_keys WHERE (key, message) IN (SELECT old_key, id FROM respelled);
INSERT OR IGNORE INTO message_keys SELECT new_key, id FROM respelled ORDER BY new_key;
UPDATE messages SET key = r.new_key, message_id = r.message_id, part = r.part FROM respelled AS r WHERE messages.id = r.id;
DROP TABLE owners;
DROP TABLE respelled;

-- A legacy id covers many recipients: their messages are found by it, too.
INSERT OR IGNORE INTO message_keys SELECT id_key(source, message_id) AS key, id FROM messages WHERE part <> '' ORDER BY key;

-- The same of replies.
UPDATE OR IGNORE event_keys SET key = 'reply:' || plain_id(substr(key, 7))
WHERE length(key) = 42 AND key GLOB 'reply:*[A-F]*';
