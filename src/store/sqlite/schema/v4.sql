-- Who wants no messages, and who does again: the latest word of each number to each sender of a source.
-- `id` grows with each change and is never used twice: changes are asked for after one.
-- `person` is a keyed hash of the number, by which it is found; `number` goes when the person is erased, the opt-out stays.
CREATE TABLE opt_outs (
  id     INTEGER PRIMARY KEY AUTOINCREMENT,
  source TEXT NOT NULL,
  person TEXT NOT NULL,
  sender TEXT NOT NULL,
  number TEXT,
  state  TEXT NOT NULL,
  since  INTEGER NOT NULL,
  origin TEXT NOT NULL,
  UNIQUE (source, person, sender)
) STRICT;

-- The last message to a number, and the last with a refClient of one's own: what a reply answers that does not say so.
-- `key` is a keyed hash of either. Only where conversations are followed.
CREATE TABLE conversation_keys (
  key     INTEGER PRIMARY KEY,
  message INTEGER NOT NULL
) STRICT;
CREATE INDEX conversation_keys_of_message ON conversation_keys (message);
