-- Times are Unix milliseconds. Money is in millionths.

CREATE TABLE meta (
  key   TEXT PRIMARY KEY,
  value ANY NOT NULL
) STRICT, WITHOUT ROWID;

-- The journal: every kept event, decoded (JSON, the type Record) and as it came. `id` is the place that cursors speak of.
-- A request with several events (a JSON array) is kept once: `request` is the id of the event that holds it.
CREATE TABLE events (
  id           INTEGER PRIMARY KEY,
  received_at  INTEGER NOT NULL,
  source       TEXT NOT NULL,
  kind         TEXT NOT NULL,
  message      INTEGER,
  event        TEXT NOT NULL,
  request      INTEGER,
  method       TEXT,
  query        TEXT,
  content_type TEXT,
  body         BLOB
) STRICT;
CREATE INDEX events_of_message ON events (message) WHERE message IS NOT NULL;
CREATE INDEX events_failed ON events (received_at) WHERE kind = 'message.failed';
CREATE INDEX events_replies ON events (received_at) WHERE kind IN ('reply.received', 'reply.stop');

-- What is known of each outbound message. Labels (channel, flow, country) are those of its first sight.
-- `accepted_at` is the provider's time of acceptance, else of sending, else that of first arrival here.
-- `part` is the recipient as written, for legacy messages whose id covers many recipients; else empty.
-- `key` is a hash of source, message_id and part: see message_keys.
CREATE TABLE messages (
  id            INTEGER PRIMARY KEY,
  key           INTEGER NOT NULL,
  source        TEXT NOT NULL,
  message_id    TEXT NOT NULL,
  part          TEXT NOT NULL,
  state         TEXT NOT NULL,
  reason        TEXT,
  channel       TEXT NOT NULL,
  flow          TEXT NOT NULL,
  country       TEXT NOT NULL,
  number        TEXT,
  ref_client    TEXT,
  campaign_id   TEXT,
  mccmnc        TEXT,
  parts         INTEGER,
  cost_micros   INTEGER,
  currency      TEXT,
  accepted_at   INTEGER NOT NULL,
  first_seen    INTEGER NOT NULL,
  pending_since INTEGER NOT NULL,
  last_event    INTEGER NOT NULL,
  settled_at    INTEGER
) STRICT;
CREATE INDEX messages_pending ON messages (pending_since) WHERE state IN ('scheduled', 'enroute');
CREATE INDEX messages_oldest ON messages (source, first_seen) WHERE state = 'enroute';

-- Finds a message by its key. Complete up to the message in meta's keys_indexed_to; the keys of later ones are in memory.
CREATE TABLE message_keys (
  key     INTEGER NOT NULL,
  message INTEGER NOT NULL,
  PRIMARY KEY (key, message)
) STRICT, WITHOUT ROWID;

-- Which receipts of a message have been taken: a hash of status value, detail and status time.
-- They sit beside their message, so that a burst of new messages touches few pages.
CREATE TABLE receipt_keys (
  message INTEGER NOT NULL,
  key     INTEGER NOT NULL,
  PRIMARY KEY (message, key)
) STRICT, WITHOUT ROWID;

-- Which replies and unrecognised requests have been taken.
CREATE TABLE event_keys (
  id          INTEGER PRIMARY KEY,
  received_at INTEGER NOT NULL,
  source      TEXT NOT NULL,
  key         TEXT NOT NULL,
  UNIQUE (source, key)
) STRICT;

-- The durable counters.
CREATE TABLE ledger (
  metric TEXT NOT NULL,
  labels TEXT NOT NULL,
  value  INTEGER NOT NULL,
  PRIMARY KEY (metric, labels)
) STRICT, WITHOUT ROWID;

-- The label values from outside that have a place under their cap.
CREATE TABLE label_values (
  label TEXT NOT NULL,
  value TEXT NOT NULL,
  PRIMARY KEY (label, value)
) STRICT, WITHOUT ROWID;

-- How far each reader of the journal has come.
CREATE TABLE cursors (
  name     TEXT PRIMARY KEY,
  position INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- For people: the journal without the raw request, times readable.
CREATE VIEW event_log AS
SELECT
  e.id,
  strftime('%Y-%m-%d %H:%M:%f', e.received_at / 1000.0, 'unixepoch') AS received,
  e.source,
  e.kind,
  e.event ->> '$.occurred_at'  AS occurred,
  e.event ->> '$.message_id'   AS message_id,
  e.event ->> '$.ref_client'   AS ref_client,
  e.event ->> '$.campaign_id'  AS campaign_id,
  e.event ->> '$.number'       AS number,
  e.event ->> '$.status'       AS status,
  e.event ->> '$.detail'       AS detail,
  e.event ->> '$.reason'       AS reason,
  e.event ->> '$.country'      AS country,
  e.event ->> '$.mccmnc'       AS mccmnc,
  e.event ->> '$.text'         AS text,
  e.message
FROM events AS e;

-- For people: the messages, times readable.
CREATE VIEW message_log AS
SELECT
  id, source, message_id, number, state, reason, channel, flow, country, mccmnc, ref_client, campaign_id,
  strftime('%Y-%m-%d %H:%M:%f', first_seen / 1000.0, 'unixepoch')  AS first_seen,
  strftime('%Y-%m-%d %H:%M:%f', last_event / 1000.0, 'unixepoch')  AS last_event,
  strftime('%Y-%m-%d %H:%M:%f', settled_at / 1000.0, 'unixepoch')  AS settled
FROM messages;
