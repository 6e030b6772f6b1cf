-- Fewer bytes and fewer pages for each event.

-- A receipt's record and request are in `packed`, compressed (src/store/sqlite/packing.rs); `event` has what SQL is asked for most.
-- Everything else, and what has been redacted, stays as it is in `event`, `method`, `query`, `content_type` and `body`.
ALTER TABLE events ADD COLUMN packed BLOB;

-- The events of a message are a chain, from its newest one on: `previous` is the one before. An index would cost each event a page.
ALTER TABLE events ADD COLUMN previous INTEGER;
ALTER TABLE messages ADD COLUMN newest_event INTEGER;
UPDATE events SET previous = chain.previous
FROM (SELECT id, lag(id) OVER (PARTITION BY message ORDER BY id) AS previous FROM events WHERE message IS NOT NULL) AS chain
WHERE events.id = chain.id AND chain.previous IS NOT NULL;
UPDATE messages SET newest_event = (SELECT max(id) FROM events WHERE message = messages.id);
DROP INDEX events_of_message;

-- The receipts of a message, by which a retry is recognized: eight bytes each, in its row. Written by src/store/sqlite/receipt_keys.rs.
ALTER TABLE messages ADD COLUMN receipts BLOB NOT NULL DEFAULT x'';

-- One index of what is pending instead of two.
DROP INDEX messages_pending;
DROP INDEX messages_oldest;
CREATE INDEX messages_pending ON messages (source, state, first_seen, pending_since) WHERE state IN ('scheduled', 'enroute');

-- The values of the counters apart from their names: those that a commit changes are on one page.
CREATE TABLE series (
  id     INTEGER PRIMARY KEY,
  metric TEXT NOT NULL,
  labels TEXT NOT NULL,
  UNIQUE (metric, labels)
) STRICT;
CREATE TABLE counters (
  series INTEGER PRIMARY KEY,
  value  INTEGER NOT NULL
) STRICT;
INSERT INTO series (metric, labels) SELECT metric, labels FROM ledger ORDER BY metric, labels;
INSERT INTO counters SELECT s.id, l.value FROM series AS s JOIN ledger AS l ON l.metric = s.metric AND l.labels = s.labels;
DROP TABLE ledger;

-- For people: the durable counters.
CREATE VIEW ledger AS SELECT metric, labels, value FROM series JOIN counters ON series = id;

-- For people: the journal without the raw request, times readable. What a packed event shares with its message is the message's.
DROP VIEW event_log;
CREATE VIEW event_log AS
SELECT
  e.id,
  strftime('%Y-%m-%d %H:%M:%f', e.received_at / 1000.0, 'unixepoch') AS received,
  e.source,
  e.kind,
  e.event ->> '$.occurred_at'  AS occurred,
  coalesce(e.event ->> '$.message_id', m.message_id) AS message_id,
  coalesce(e.event ->> '$.ref_client', m.ref_client) AS ref_client,
  coalesce(e.event ->> '$.campaign_id', m.campaign_id) AS campaign_id,
  coalesce(e.event ->> '$.number', m.number) AS number,
  e.event ->> '$.status'       AS status,
  e.event ->> '$.detail'       AS detail,
  e.event ->> '$.reason'       AS reason,
  coalesce(e.event ->> '$.country', m.country) AS country,
  coalesce(e.event ->> '$.mccmnc', m.mccmnc) AS mccmnc,
  e.event ->> '$.text'         AS text,
  e.message
FROM events AS e LEFT JOIN messages AS m ON m.id = e.message AND e.packed IS NOT NULL;
