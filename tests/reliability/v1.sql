PRAGMA application_id = 1936552803;
PRAGMA user_version = 1;
PRAGMA foreign_keys=OFF;
BEGIN TRANSACTION;
CREATE TABLE meta (
  key   TEXT PRIMARY KEY,
  value ANY NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO meta VALUES('created_at',1795520170572);
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
INSERT INTO events VALUES(1,1795520172599,'smsmode','message.enroute',1,'{"kind":"message.enroute","source":"smsmode","channel":"SMS","flow":"unknown","country":"FR","message_id":"pending","status":"ENROUTE","number":"33612345678"}',NULL,'POST','','application/json',X'7b226d6573736167654964223a2270656e64696e67222c2274797065223a22534d53222c22646972656374696f6e223a224d54222c22726563697069656e74223a7b22746f223a223333363132333435363738227d2c22737461747573223a7b2276616c7565223a22454e524f555445227d7d');
INSERT INTO events VALUES(2,1795520172615,'smsmode','message.delivered',2,'{"kind":"message.delivered","source":"smsmode","channel":"SMS","flow":"unknown","country":"FR","message_id":"delivered","status":"DELIVERED","number":"33612345678","parts":2,"cost_micros":45000,"currency":"EUR","text":"Bonjour"}',NULL,'POST','','application/json',X'7b226d6573736167654964223a2264656c697665726564222c2274797065223a22534d53222c22646972656374696f6e223a224d54222c22726563697069656e74223a7b22746f223a223333363132333435363738227d2c22737461747573223a7b2276616c7565223a2244454c495645524544227d2c227072696365223a7b22616d6f756e74223a22302e303435222c2263757272656e6379223a22455552227d2c22626f6479223a7b2274657874223a22426f6e6a6f7572222c226d65737361676550617274436f756e74223a327d7d');
INSERT INTO events VALUES(3,1795520172627,'smsmode','message.failed',3,'{"kind":"message.failed","source":"smsmode","channel":"SMS","flow":"unknown","country":"FR","message_id":"failed","status":"UNDELIVERED","detail":"BLACKLISTED","reason":"blacklisted","number":"33612345678"}',NULL,'POST','','application/json',X'7b226d6573736167654964223a226661696c6564222c2274797065223a22534d53222c22646972656374696f6e223a224d54222c22726563697069656e74223a7b22746f223a223333363132333435363738227d2c22737461747573223a7b2276616c7565223a22554e44454c495645524544222c2264657461696c223a22424c41434b4c4953544544227d7d');
INSERT INTO events VALUES(4,1795520172643,'smsmode','message.delivered',4,'{"kind":"message.delivered","source":"smsmode","channel":"SMS","flow":"unknown","country":"FR","message_id":"listed-1","status":"DELIVERED","number":"33612345678"}',NULL,'POST','','application/json',X'5b7b226d6573736167654964223a226c69737465642d31222c2274797065223a22534d53222c22646972656374696f6e223a224d54222c22726563697069656e74223a7b22746f223a223333363132333435363738227d2c22737461747573223a7b2276616c7565223a2244454c495645524544227d7d2c7b226d6573736167654964223a226c69737465642d32222c2274797065223a22534d53222c22646972656374696f6e223a224d54222c22726563697069656e74223a7b22746f223a223333363132333435363738227d2c22737461747573223a7b2276616c7565223a2252454144227d7d5d');
INSERT INTO events VALUES(5,1795520172643,'smsmode','message.read',5,'{"kind":"message.read","source":"smsmode","channel":"SMS","flow":"unknown","country":"FR","message_id":"listed-2","status":"READ","number":"33612345678"}',4,NULL,NULL,NULL,NULL);
INSERT INTO events VALUES(6,1795520172677,'smsmode','reply.received',2,'{"kind":"reply.received","source":"smsmode","channel":"unknown","country":"FR","message_id":"reply","origin_message_id":"delivered","number":"33612345678","originator":"36034","text":"Merci"}',NULL,'POST','','application/json',X'7b226d6573736167654964223a227265706c79222c22646972656374696f6e223a224d4f222c2266726f6d223a223333363132333435363738222c22726563697069656e74223a7b22746f223a223336303334227d2c22626f6479223a7b2274657874223a224d65726369227d2c226f726967696e4d6573736167654964223a2264656c697665726564227d');
INSERT INTO events VALUES(7,1795520172720,'smsmode','reply.stop',NULL,'{"kind":"reply.stop","source":"smsmode","channel":"unknown","country":"FR","message_id":"stop","number":"33612345678","originator":"36034","text":"STOP"}',NULL,'POST','','application/json',X'7b226d6573736167654964223a2273746f70222c22646972656374696f6e223a224d4f222c2266726f6d223a223333363132333435363738222c22726563697069656e74223a7b22746f223a223336303334227d2c22626f6479223a7b2274657874223a2253544f50227d7d');
INSERT INTO events VALUES(8,1795520172759,'smsmode','webhook.unrecognised',NULL,'{"kind":"webhook.unrecognised","source":"smsmode","why":"no messageId"}',NULL,'POST','','application/json',X'7b22636c69636b223a2268747470733a2f2f6578616d706c652e636f6d2f227d');
INSERT INTO events VALUES(9,1795520172795,'smsmode','message.delivered',6,'{"kind":"message.delivered","source":"smsmode","occurred_at":"2026-11-01T11:00:00Z","channel":"SMS","flow":"unknown","country":"FR","message_id":"legacy","status":"11","number":"33612345678"}',NULL,'GET','smsID=legacy&statut=11&numero=33612345678&date_reception=2026-11-01%2012:00:00',NULL,X'');
INSERT INTO events VALUES(10,1795520172839,'smsmode','message.read',6,'{"kind":"message.read","source":"smsmode","channel":"SMS","flow":"unknown","country":"FR","message_id":"legacy","status":"100","number":"33612345678","trace":"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}',NULL,'GET','smsID=legacy&statut=100&numero=33612345678',NULL,X'');
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
INSERT INTO messages VALUES(1,3266223913348100397,'smsmode','pending','','enroute',NULL,'SMS','unknown','FR','33612345678',NULL,NULL,NULL,NULL,NULL,NULL,1795520172599,1795520172599,1795520172599,1795520172599,NULL);
INSERT INTO messages VALUES(2,6092442376265534254,'smsmode','delivered','','delivered',NULL,'SMS','unknown','FR','33612345678',NULL,NULL,NULL,2,45000,'EUR',1795520172615,1795520172615,1795520172615,1795520172615,1795520172615);
INSERT INTO messages VALUES(3,-1396975289344004020,'smsmode','failed','','failed','blacklisted','SMS','unknown','FR','33612345678',NULL,NULL,NULL,NULL,NULL,NULL,1795520172627,1795520172627,1795520172627,1795520172627,1795520172627);
INSERT INTO messages VALUES(4,7530038507774056315,'smsmode','listed-1','','delivered',NULL,'SMS','unknown','FR','33612345678',NULL,NULL,NULL,NULL,NULL,NULL,1795520172643,1795520172643,1795520172643,1795520172643,1795520172643);
INSERT INTO messages VALUES(5,-6890562186803287600,'smsmode','listed-2','','read',NULL,'SMS','unknown','FR','33612345678',NULL,NULL,NULL,NULL,NULL,NULL,1795520172643,1795520172643,1795520172643,1795520172643,1795520172643);
INSERT INTO messages VALUES(6,-2199475920390436496,'smsmode','legacy','33612345678','read',NULL,'SMS','unknown','FR','33612345678',NULL,NULL,NULL,NULL,NULL,NULL,1795520172795,1795520172795,1795520172795,1795520172839,1795520172839);
CREATE TABLE message_keys (
  key     INTEGER NOT NULL,
  message INTEGER NOT NULL,
  PRIMARY KEY (key, message)
) STRICT, WITHOUT ROWID;
CREATE TABLE receipt_keys (
  message INTEGER NOT NULL,
  key     INTEGER NOT NULL,
  PRIMARY KEY (message, key)
) STRICT, WITHOUT ROWID;
INSERT INTO receipt_keys VALUES(1,-4539967129883355000);
INSERT INTO receipt_keys VALUES(2,-6916863021057593390);
INSERT INTO receipt_keys VALUES(3,9173176386312748873);
INSERT INTO receipt_keys VALUES(4,-6916863021057593390);
INSERT INTO receipt_keys VALUES(5,-5028890977736628497);
INSERT INTO receipt_keys VALUES(6,-1210217434928203541);
INSERT INTO receipt_keys VALUES(6,3894668297365018611);
CREATE TABLE event_keys (
  id          INTEGER PRIMARY KEY,
  received_at INTEGER NOT NULL,
  source      TEXT NOT NULL,
  key         TEXT NOT NULL,
  UNIQUE (source, key)
) STRICT;
INSERT INTO event_keys VALUES(1,1795520172677,'smsmode','reply:reply');
INSERT INTO event_keys VALUES(2,1795520172720,'smsmode','reply:stop');
INSERT INTO event_keys VALUES(3,1795520172759,'smsmode','sha256:94469d3f8262470e3a995fe506ca603c5b7a33a8d93e42b41953f1023594bcdf');
CREATE TABLE ledger (
  metric TEXT NOT NULL,
  labels TEXT NOT NULL,
  value  INTEGER NOT NULL,
  PRIMARY KEY (metric, labels)
) STRICT, WITHOUT ROWID;
INSERT INTO ledger VALUES('sms_message_cost_total','{"source":"smsmode","channel":"SMS","country":"FR","currency":"EUR"}',45000);
INSERT INTO ledger VALUES('sms_message_failed_cost_total','{"source":"smsmode","channel":"SMS","country":"FR","currency":"EUR"}',0);
INSERT INTO ledger VALUES('sms_message_parts_total','{"source":"smsmode","channel":"SMS","country":"FR"}',2);
INSERT INTO ledger VALUES('sms_messages_corrected_total','{"source":"smsmode","channel":"SMS","flow":"unknown","country":"FR","from":"expired"}',0);
INSERT INTO ledger VALUES('sms_messages_corrected_total','{"source":"smsmode","channel":"SMS","flow":"unknown","country":"FR","from":"failed"}',0);
INSERT INTO ledger VALUES('sms_messages_delivered_total','{"source":"smsmode","channel":"SMS","flow":"unknown","country":"FR"}',4);
INSERT INTO ledger VALUES('sms_messages_expired_total','{"source":"smsmode","channel":"SMS","flow":"unknown","country":"FR"}',0);
INSERT INTO ledger VALUES('sms_messages_failed_total','{"source":"smsmode","channel":"SMS","flow":"unknown","country":"FR","reason":"blacklisted"}',1);
INSERT INTO ledger VALUES('sms_messages_failed_total','{"source":"smsmode","channel":"SMS","flow":"unknown","country":"FR","reason":"cancelled"}',0);
INSERT INTO ledger VALUES('sms_messages_failed_total','{"source":"smsmode","channel":"SMS","flow":"unknown","country":"FR","reason":"content"}',0);
INSERT INTO ledger VALUES('sms_messages_failed_total','{"source":"smsmode","channel":"SMS","flow":"unknown","country":"FR","reason":"credit"}',0);
INSERT INTO ledger VALUES('sms_messages_failed_total','{"source":"smsmode","channel":"SMS","flow":"unknown","country":"FR","reason":"expired"}',0);
INSERT INTO ledger VALUES('sms_messages_failed_total','{"source":"smsmode","channel":"SMS","flow":"unknown","country":"FR","reason":"handset_absent"}',0);
INSERT INTO ledger VALUES('sms_messages_failed_total','{"source":"smsmode","channel":"SMS","flow":"unknown","country":"FR","reason":"handset_error"}',0);
INSERT INTO ledger VALUES('sms_messages_failed_total','{"source":"smsmode","channel":"SMS","flow":"unknown","country":"FR","reason":"invalid_number"}',0);
INSERT INTO ledger VALUES('sms_messages_failed_total','{"source":"smsmode","channel":"SMS","flow":"unknown","country":"FR","reason":"limit"}',0);
INSERT INTO ledger VALUES('sms_messages_failed_total','{"source":"smsmode","channel":"SMS","flow":"unknown","country":"FR","reason":"network"}',0);
INSERT INTO ledger VALUES('sms_messages_failed_total','{"source":"smsmode","channel":"SMS","flow":"unknown","country":"FR","reason":"not_supported"}',0);
INSERT INTO ledger VALUES('sms_messages_failed_total','{"source":"smsmode","channel":"SMS","flow":"unknown","country":"FR","reason":"portability"}',0);
INSERT INTO ledger VALUES('sms_messages_failed_total','{"source":"smsmode","channel":"SMS","flow":"unknown","country":"FR","reason":"provider_error"}',0);
INSERT INTO ledger VALUES('sms_messages_failed_total','{"source":"smsmode","channel":"SMS","flow":"unknown","country":"FR","reason":"roaming"}',0);
INSERT INTO ledger VALUES('sms_messages_failed_total','{"source":"smsmode","channel":"SMS","flow":"unknown","country":"FR","reason":"routing"}',0);
INSERT INTO ledger VALUES('sms_messages_failed_total','{"source":"smsmode","channel":"SMS","flow":"unknown","country":"FR","reason":"spam_filtered"}',0);
INSERT INTO ledger VALUES('sms_messages_failed_total','{"source":"smsmode","channel":"SMS","flow":"unknown","country":"FR","reason":"unknown"}',0);
INSERT INTO ledger VALUES('sms_messages_pending','{"source":"smsmode","channel":"SMS","flow":"unknown","country":"FR","state":"enroute"}',1);
INSERT INTO ledger VALUES('sms_messages_pending','{"source":"smsmode","channel":"SMS","flow":"unknown","country":"FR","state":"scheduled"}',0);
INSERT INTO ledger VALUES('sms_messages_read_total','{"source":"smsmode","channel":"SMS","flow":"unknown","country":"FR"}',2);
INSERT INTO ledger VALUES('sms_messages_total','{"source":"smsmode","channel":"SMS","flow":"unknown","country":"FR"}',6);
INSERT INTO ledger VALUES('sms_receipts_total','{"source":"smsmode","channel":"SMS","status":"100","outcome":"read"}',1);
INSERT INTO ledger VALUES('sms_receipts_total','{"source":"smsmode","channel":"SMS","status":"11","outcome":"delivered"}',1);
INSERT INTO ledger VALUES('sms_receipts_total','{"source":"smsmode","channel":"SMS","status":"DELIVERED","outcome":"delivered"}',2);
INSERT INTO ledger VALUES('sms_receipts_total','{"source":"smsmode","channel":"SMS","status":"ENROUTE","outcome":"pending"}',1);
INSERT INTO ledger VALUES('sms_receipts_total','{"source":"smsmode","channel":"SMS","status":"READ","outcome":"read"}',1);
INSERT INTO ledger VALUES('sms_receipts_total','{"source":"smsmode","channel":"SMS","status":"SCHEDULED","outcome":"pending"}',0);
INSERT INTO ledger VALUES('sms_receipts_total','{"source":"smsmode","channel":"SMS","status":"UNDELIVERABLE","outcome":"failed"}',0);
INSERT INTO ledger VALUES('sms_receipts_total','{"source":"smsmode","channel":"SMS","status":"UNDELIVERED","outcome":"failed"}',1);
INSERT INTO ledger VALUES('sms_replies_total','{"source":"smsmode","channel":"SMS","kind":"reply"}',0);
INSERT INTO ledger VALUES('sms_replies_total','{"source":"smsmode","channel":"SMS","kind":"stop"}',0);
INSERT INTO ledger VALUES('sms_replies_total','{"source":"smsmode","channel":"unknown","kind":"reply"}',1);
INSERT INTO ledger VALUES('sms_replies_total','{"source":"smsmode","channel":"unknown","kind":"stop"}',1);
CREATE TABLE label_values (
  label TEXT NOT NULL,
  value TEXT NOT NULL,
  PRIMARY KEY (label, value)
) STRICT, WITHOUT ROWID;
INSERT INTO label_values VALUES('status','100');
INSERT INTO label_values VALUES('status','11');
CREATE TABLE cursors (
  name     TEXT PRIMARY KEY,
  position INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO cursors VALUES('otlp-logs',0);
CREATE INDEX events_of_message ON events (message) WHERE message IS NOT NULL;
CREATE INDEX events_failed ON events (received_at) WHERE kind = 'message.failed';
CREATE INDEX events_replies ON events (received_at) WHERE kind IN ('reply.received', 'reply.stop');
CREATE INDEX messages_pending ON messages (pending_since) WHERE state IN ('scheduled', 'enroute');
CREATE INDEX messages_oldest ON messages (source, first_seen) WHERE state = 'enroute';
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
CREATE VIEW message_log AS
SELECT
  id, source, message_id, number, state, reason, channel, flow, country, mccmnc, ref_client, campaign_id,
  strftime('%Y-%m-%d %H:%M:%f', first_seen / 1000.0, 'unixepoch')  AS first_seen,
  strftime('%Y-%m-%d %H:%M:%f', last_event / 1000.0, 'unixepoch')  AS last_event,
  strftime('%Y-%m-%d %H:%M:%f', settled_at / 1000.0, 'unixepoch')  AS settled
FROM messages;
COMMIT;
