-- Times are Unix milliseconds, days are days since 1970-01-01 by the server's clock, money is in millionths.
-- A text has no NUL: src/store/postgres/texts.rs replaces it.

-- Single values: fleet_id, created_at, hash_key, erasure_salt, erasures, seen_at, spelled_to, inbox_rate, over_limit, and of what may be deleted with
-- the newest rows of a table the newest ids: journal_head (of the partitions that have been dropped), delivery_head, resend_head.
CREATE TABLE smscope.meta (
  key   text PRIMARY KEY,
  value text NOT NULL
);

-- Who leads. Each transaction of the leader renews the row of its epoch, and finds none once another leads.
CREATE TABLE smscope.lease (
  name    text PRIMARY KEY,
  epoch   bigint NOT NULL,
  holder  uuid NOT NULL,
  version int NOT NULL,
  until   timestamptz NOT NULL,
  -- The time of the newest push of metrics: the next one is later, by any leader.
  told_at timestamptz NOT NULL
) WITH (fillfactor = 10);

CREATE TABLE smscope.replicas (
  id            uuid PRIMARY KEY,
  name          text NOT NULL,
  version       int NOT NULL,
  config_digest bytea NOT NULL,
  started_at    timestamptz NOT NULL,
  seen          timestamptz NOT NULL
) WITH (fillfactor = 10);

-- What replicas write, in one statement per batch.

CREATE SEQUENCE smscope.received_id;

-- Each batch of a front door: its requests, packed (src/store/postgres/packed.rs). An element is NULL where all of the request was
-- erased, or nothing in it was new.
CREATE TABLE smscope.received (
  day      int NOT NULL,
  id       bigint NOT NULL,
  format   smallint NOT NULL,
  requests bytea[] NOT NULL,
  PRIMARY KEY (id, day)
) PARTITION BY RANGE (day);
-- It is compressed already.
ALTER TABLE smscope.received ALTER COLUMN requests SET STORAGE EXTERNAL;

-- The dedup keys that answer a retry. `bucket`: the day of the status where that is within the last days, else 0.
CREATE TABLE smscope.dedup (
  bucket   int NOT NULL,
  key      uuid NOT NULL,
  received bigint NOT NULL,
  PRIMARY KEY (bucket, key)
) PARTITION BY LIST (bucket);
CREATE TABLE smscope.dedup_0 PARTITION OF smscope.dedup FOR VALUES IN (0);

-- Batches of which the leader has not processed all: `requests` are the subscripts of those that it has not.
CREATE TABLE smscope.inbox (
  id          bigint PRIMARY KEY,
  day         int NOT NULL,
  received_at timestamptz NOT NULL,
  requests    smallint[] NOT NULL
);
ALTER TABLE smscope.inbox SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 20000, autovacuum_vacuum_cost_delay = 0);

-- Requests that the leader could not process, out of its way, and why. `content` is what can be read of it, as it was unpacked.
CREATE TABLE smscope.inbox_stuck (
  id      bigint NOT NULL,
  day     int NOT NULL,
  request smallint NOT NULL,
  error   text NOT NULL,
  content text,
  PRIMARY KEY (id, request)
);

-- What the leader alone writes.

-- `key` is a hash of source, message_id and part; `id_key` one of source and message_id, of legacy messages with a recipient.
CREATE TABLE smscope.messages (
  id            bigint PRIMARY KEY,
  key           uuid NOT NULL UNIQUE,
  id_key        uuid,
  source        text NOT NULL,
  message_id    text NOT NULL,
  part          text NOT NULL,
  state         text NOT NULL,
  reason        text,
  channel       text NOT NULL,
  flow          text NOT NULL,
  country       text NOT NULL,
  number        text,
  ref_client    text,
  campaign_id   text,
  mccmnc        text,
  parts         int,
  cost_micros   bigint,
  currency      text,
  accepted_at   bigint NOT NULL,
  first_seen    bigint NOT NULL,
  pending_since bigint NOT NULL,
  last_event    bigint NOT NULL,
  settled_at    bigint,
  erased_at     bigint,
  newest_event  bigint,
  receipts      bytea NOT NULL
) WITH (fillfactor = 80);
CREATE INDEX messages_of_id ON smscope.messages (id_key) WHERE id_key IS NOT NULL;

-- The messages that are pending, apart, so that a change of a message touches no index.
CREATE TABLE smscope.pending (
  message       bigint PRIMARY KEY,
  source        text NOT NULL,
  state         text NOT NULL,
  first_seen    bigint NOT NULL,
  pending_since bigint NOT NULL
);
CREATE INDEX pending_oldest ON smscope.pending (source, state, first_seen, pending_since);

-- The journal. The request of an event is element `received_index` of the batch `received` (of `received_day`), or that of the event `request`.
CREATE TABLE smscope.journal (
  day            int NOT NULL,
  position       bigint NOT NULL,
  received_at    bigint NOT NULL,
  source         text NOT NULL,
  kind           text NOT NULL,
  message        bigint,
  previous       bigint,
  event          text NOT NULL,
  request        bigint,
  received       bigint,
  received_day   int,
  received_index smallint,
  PRIMARY KEY (position, day)
) PARTITION BY RANGE (day);
CREATE INDEX journal_unrecognized ON smscope.journal (position) WHERE kind = 'webhook.unrecognized';
-- A hash, since an id may be longer than what a B-tree takes.
CREATE INDEX journal_replies ON smscope.journal USING hash ((event::json ->> 'message_id')) WHERE kind IN ('reply.received', 'reply.stop');

-- Which replies and unrecognized requests are stored. `key` is a hash of source and key.
CREATE TABLE smscope.event_keys (
  key             uuid PRIMARY KEY,
  source          text NOT NULL,
  received_at     bigint NOT NULL,
  is_unrecognized boolean NOT NULL,
  is_erased       boolean NOT NULL DEFAULT false
);
CREATE INDEX event_keys_by_time ON smscope.event_keys (received_at);

CREATE TABLE smscope.series (
  id     bigint PRIMARY KEY,
  metric text NOT NULL,
  labels text NOT NULL
);
CREATE TABLE smscope.counters (
  series bigint PRIMARY KEY,
  value  bigint NOT NULL
) WITH (fillfactor = 50);
CREATE VIEW smscope.ledger AS SELECT metric, labels, value FROM smscope.series JOIN smscope.counters ON series = id;

CREATE TABLE smscope.label_values (
  label text NOT NULL,
  value text NOT NULL,
  PRIMARY KEY (label, value)
);

CREATE TABLE smscope.cursors (
  name     text PRIMARY KEY,
  position bigint NOT NULL
);

CREATE TABLE smscope.relay_deliveries (
  id           bigint PRIMARY KEY,
  relay        text NOT NULL,
  event        bigint NOT NULL,
  ordering_key bigint NOT NULL,
  state        text NOT NULL,
  due_at       bigint NOT NULL,
  since        bigint NOT NULL,
  attempts     int NOT NULL,
  error        text
);
-- With the id, in the order in which they are read: a backlog of one moment is not sorted for each.
CREATE INDEX relay_deliveries_due ON smscope.relay_deliveries (relay, due_at, id) WHERE state = 'due';
CREATE INDEX relay_deliveries_in_order ON smscope.relay_deliveries (ordering_key, relay, id);
CREATE INDEX relay_deliveries_oldest ON smscope.relay_deliveries (relay, state, event);

CREATE TABLE smscope.resends (
  id           bigint PRIMARY KEY,
  rule         text NOT NULL,
  source       text NOT NULL,
  message      bigint NOT NULL UNIQUE,
  event        bigint NOT NULL,
  attempt      int NOT NULL,
  state        text NOT NULL,
  due_at       bigint NOT NULL,
  deadline     bigint NOT NULL,
  requested_at bigint,
  expects      bigint,
  replacement  bigint,
  outcome      text
);
CREATE INDEX resends_due ON smscope.resends (source, due_at, id) WHERE state = 'waiting';
CREATE INDEX resends_requested ON smscope.resends (rule, requested_at) WHERE requested_at IS NOT NULL;
CREATE INDEX resends_expecting ON smscope.resends (expects) WHERE expects IS NOT NULL;
CREATE UNIQUE INDEX resends_by_replacement ON smscope.resends (replacement) WHERE replacement IS NOT NULL;

-- `person` is a keyed hash of the number; `sender` may be long, so what is unique is a hash of source, person and sender.
CREATE TABLE smscope.opt_outs (
  id     bigint PRIMARY KEY,
  key    uuid NOT NULL UNIQUE,
  source text NOT NULL,
  person text NOT NULL,
  sender text NOT NULL,
  number text,
  state  text NOT NULL,
  since  bigint NOT NULL,
  origin text NOT NULL
);
CREATE INDEX opt_outs_of_person ON smscope.opt_outs (source, person);

CREATE TABLE smscope.conversation_keys (
  key     bigint PRIMARY KEY,
  message bigint NOT NULL
);
CREATE INDEX conversation_keys_of_message ON smscope.conversation_keys (message);

-- Tables of the schema that an UPDATE has redacted, with the transaction: they are rewritten, partitions once their day is over, so that
-- nothing is left between rows. Those that are not due yet become so by the next erasure.
CREATE TABLE smscope.rewrites (
  relation   text PRIMARY KEY,
  day        int,
  is_due     boolean NOT NULL,
  changed_in xid8 NOT NULL,
  tried_at   timestamptz
);

-- What is personal is in no statistics, which would repeat it.
ALTER TABLE smscope.messages ALTER COLUMN part SET STATISTICS 0, ALTER COLUMN number SET STATISTICS 0,
  ALTER COLUMN ref_client SET STATISTICS 0;
ALTER TABLE smscope.opt_outs ALTER COLUMN number SET STATISTICS 0;
ALTER TABLE smscope.received ALTER COLUMN requests SET STATISTICS 0;
ALTER TABLE smscope.journal ALTER COLUMN event SET STATISTICS 0;
ALTER TABLE smscope.inbox_stuck ALTER COLUMN error SET STATISTICS 0, ALTER COLUMN content SET STATISTICS 0;

-- The requests of commands, which the leader executes, and the lines of its responses (JSON, src/control.rs). `begun_by`: the epoch of the
-- leader that executes it; the next one begins again. A request that is done is deleted, for it may name people.
CREATE TABLE smscope.tasks (
  id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  request  text,
  begun_by bigint,
  ended_at timestamptz
);
CREATE TABLE smscope.task_lines (
  n    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  task bigint NOT NULL,
  line text NOT NULL
);
ALTER TABLE smscope.tasks ALTER COLUMN request SET STATISTICS 0;
CREATE INDEX task_lines_of_task ON smscope.task_lines (task, n);
