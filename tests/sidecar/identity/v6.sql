PRAGMA application_id = 1936552803;
PRAGMA user_version = 6;
PRAGMA foreign_keys=OFF;
BEGIN TRANSACTION;
CREATE TABLE meta (
  key   TEXT PRIMARY KEY,
  value ANY NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO meta VALUES('created_at',1795743803881);
INSERT INTO meta VALUES('erasure_salt',X'51e61e8f40ca0f7dcdd35f4d058a02beb5a4c95dd504daea74d4c3014223569c');
INSERT INTO meta VALUES('erasures',1795743808016);
INSERT INTO meta VALUES('seen_at',1795743803911);
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
INSERT INTO events VALUES(1,1795743805714,'smsmode','message.enroute',1,'{"kind":"message.enroute","source":"smsmode","channel":"SMS","flow":"unknown","country":"FR","message_id":"plus","status":"0","number":"33612345678"}',NULL,'GET','smsID=plus&statut=0&numero=%2B33612345678',NULL,X'');
INSERT INTO events VALUES(2,1795743805728,'smsmode','message.delivered',2,'{"kind":"message.delivered","source":"smsmode","occurred_at":"2026-11-26T19:00:05Z","channel":"SMS","flow":"unknown","country":"FR","message_id":"national","status":"11","number":"33612345678"}',NULL,'GET','smsID=national&statut=11&numero=0612345678&date_reception=2026-11-26%2020:00:05',NULL,X'');
INSERT INTO events VALUES(3,1795743805792,'smsmode','message.enroute',3,'{"kind":"message.enroute","source":"smsmode","channel":"SMS","flow":"unknown","message_id":"no-plan","status":"0","number":"+999 12345678"}',NULL,'GET','smsID=no-plan&statut=0&numero=%2B999+12345678',NULL,X'');
INSERT INTO events VALUES(4,1795743805855,'smsmode','message.enroute',4,'{"kind":"message.enroute","source":"smsmode","channel":"SMS","flow":"unknown","message_id":"bare","status":"0"}',NULL,'GET','smsID=bare&statut=0',NULL,X'');
INSERT INTO events VALUES(5,1795743805898,'smsmode','message.enroute',5,'{"kind":"message.enroute","source":"smsmode","channel":"SMS","flow":"unknown","country":"FR","message_id":"twin","status":"0","number":"33612345678"}',NULL,'GET','smsID=twin&statut=0&numero=33612345678',NULL,X'');
INSERT INTO events VALUES(6,1795743805960,'smsmode','message.delivered',6,'{"kind":"message.delivered","source":"smsmode","channel":"SMS","flow":"unknown","country":"FR","message_id":"twin","status":"011","number":"33612345678"}',NULL,'GET','smsID=twin&statut=011&numero=%2B33612345678',NULL,X'');
INSERT INTO events VALUES(7,1795743806057,'smsmode','message.enroute',7,'{"kind":"message.enroute","source":"smsmode","channel":"SMS","flow":"unknown","country":"FR","message_id":"erased","status":"0","erased":true}',NULL,'GET',NULL,NULL,NULL);
INSERT INTO events VALUES(8,1795743806116,'smsmode','reply.received',NULL,'{"kind":"reply.received","source":"smsmode","occurred_at":"2026-01-01T11:22:33Z","channel":"SMS","country":"FR","message_id":"50c4e77b1794ecf6477726f61260a64d91c345dbf8ca2e66b87aff93214d71a6","number":"33612345678","originator":"36111","text":"oui"}',NULL,'GET','emetteur=0612345678&message=oui&numero=36111&date_reception=01012026-122233',NULL,X'');
INSERT INTO events VALUES(9,1795743806162,'smsmode','message.enroute',8,'{"kind":"message.enroute","source":"smsmode","channel":"unknown","flow":"unknown","country":"FR","message_id":"67C15045-96E8-4E5A-9C3B-0123456789AB","status":"ENROUTE","number":"33612345678"}',NULL,'POST','','application/json',X'7b226d6573736167654964223a2236374331353034352d393645382d344535412d394333422d303132333435363738394142222c22737461747573223a7b2276616c7565223a22454e524f555445227d2c22726563697069656e74223a7b22746f223a223333363132333435363738227d7d');
INSERT INTO events VALUES(10,1795743806174,'smsmode','message.delivered',9,'{"kind":"message.delivered","source":"smsmode","occurred_at":"2026-11-26T19:00:05Z","channel":"unknown","flow":"unknown","country":"FR","message_id":"time","status":"Delivered","number":"33612345678"}',NULL,'POST','','application/json',X'7b226d6573736167654964223a2274696d65222c22737461747573223a7b2276616c7565223a2244656c697665726564222c2264656c697665727944617465223a22323032362d31312d32365432303a30303a3035227d2c22726563697069656e74223a7b22746f223a223333363132333435363738227d7d');
INSERT INTO events VALUES(11,1795743806194,'smsmode','reply.received',NULL,'{"kind":"reply.received","source":"smsmode","channel":"unknown","country":"FR","message_id":"0A0F1A28-2E33-4E1D-8D8D-0123456789AB","number":"33612345678","text":"oui"}',NULL,'POST','','application/json',X'7b226d6573736167654964223a2230413046314132382d324533332d344531442d384438442d303132333435363738394142222c22646972656374696f6e223a224d4f222c2266726f6d223a223333363132333435363738222c22626f6479223a7b2274657874223a226f7569227d7d');
INSERT INTO events VALUES(12,1795743806208,'smsmode','webhook.unrecognized',NULL,'{"kind":"webhook.unrecognized","source":"smsmode","why":"broken JSON"}',NULL,'POST','','application/json',X'7b226d6573736167654964223a22737572726f67617465222c22737461747573223a7b2276616c7565223a2244454c495645524544227d2c22726563697069656e74223a7b22746f223a223333363132333435363738227d2c22726566436c69656e74223a22637574205c7564383364227d');
INSERT INTO events VALUES(13,1795743806220,'smsmode','webhook.unrecognized',NULL,'{"kind":"webhook.unrecognized","source":"smsmode","why":"no messageId"}',NULL,'POST','','application/json',X'7b22636c69636b223a2268747470733a2f2f6578616d706c652e636f6d2f227d');
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
, erased_at INTEGER) STRICT;
INSERT INTO messages VALUES(1,83118021597566563,'smsmode','plus','+33612345678','enroute',NULL,'SMS','unknown','FR','33612345678',NULL,NULL,NULL,NULL,NULL,NULL,1795743805714,1795743805714,1795743805714,1795743805714,NULL,NULL);
INSERT INTO messages VALUES(2,7240867776989163121,'smsmode','national','0612345678','delivered',NULL,'SMS','unknown','FR','33612345678',NULL,NULL,NULL,NULL,NULL,NULL,1795743805728,1795743805728,1795743805728,1795743805728,1795743805728,NULL);
INSERT INTO messages VALUES(3,7740135999133351927,'smsmode','no-plan','+999 12345678','enroute',NULL,'SMS','unknown','unknown','+999 12345678',NULL,NULL,NULL,NULL,NULL,NULL,1795743805792,1795743805792,1795743805792,1795743805792,NULL,NULL);
INSERT INTO messages VALUES(4,3858721260161931037,'smsmode','bare','','enroute',NULL,'SMS','unknown','unknown',NULL,NULL,NULL,NULL,NULL,NULL,NULL,1795743805855,1795743805855,1795743805855,1795743805855,NULL,NULL);
INSERT INTO messages VALUES(5,-55536181390399245,'smsmode','twin','33612345678','enroute',NULL,'SMS','unknown','FR','33612345678',NULL,NULL,NULL,NULL,NULL,NULL,1795743805898,1795743805898,1795743805898,1795743805898,NULL,NULL);
INSERT INTO messages VALUES(6,-4888946535921378238,'smsmode','twin','+33612345678','delivered',NULL,'SMS','unknown','FR','33612345678',NULL,NULL,NULL,NULL,NULL,NULL,1795743805960,1795743805960,1795743805960,1795743805960,1795743805960,NULL);
INSERT INTO messages VALUES(7,-7316067588622456849,'smsmode','erased','~9a9bc7ecae56a14d929ab19da0e1e0ee','enroute',NULL,'SMS','unknown','FR',NULL,NULL,NULL,NULL,NULL,NULL,NULL,1795743806057,1795743806057,1795743806057,1795743806057,NULL,1795743808016);
INSERT INTO messages VALUES(8,494105377044773208,'smsmode','67C15045-96E8-4E5A-9C3B-0123456789AB','','enroute',NULL,'unknown','unknown','FR','33612345678',NULL,NULL,NULL,NULL,NULL,NULL,1795743806162,1795743806162,1795743806162,1795743806162,NULL,NULL);
INSERT INTO messages VALUES(9,7020906659301053029,'smsmode','time','','delivered',NULL,'unknown','unknown','FR','33612345678',NULL,NULL,NULL,NULL,NULL,NULL,1795743806174,1795743806174,1795743806174,1795743806174,1795743806174,NULL);
CREATE TABLE message_keys (
  key     INTEGER NOT NULL,
  message INTEGER NOT NULL,
  PRIMARY KEY (key, message)
) STRICT, WITHOUT ROWID;
INSERT INTO message_keys VALUES(-7316067588622456849,7);
CREATE TABLE receipt_keys (
  message INTEGER NOT NULL,
  key     INTEGER NOT NULL,
  PRIMARY KEY (message, key)
) STRICT, WITHOUT ROWID;
INSERT INTO receipt_keys VALUES(1,5997827637683642615);
INSERT INTO receipt_keys VALUES(2,-606528904333335615);
INSERT INTO receipt_keys VALUES(3,5997827637683642615);
INSERT INTO receipt_keys VALUES(4,5997827637683642615);
INSERT INTO receipt_keys VALUES(5,5997827637683642615);
INSERT INTO receipt_keys VALUES(6,-5943637552307092831);
INSERT INTO receipt_keys VALUES(7,5997827637683642615);
INSERT INTO receipt_keys VALUES(8,-4539967129883355000);
INSERT INTO receipt_keys VALUES(9,7858083180258352214);
CREATE TABLE event_keys (
  id          INTEGER PRIMARY KEY,
  received_at INTEGER NOT NULL,
  source      TEXT NOT NULL,
  key         TEXT NOT NULL, erased INTEGER,
  UNIQUE (source, key)
) STRICT;
INSERT INTO event_keys VALUES(1,1795743806116,'smsmode','reply:50c4e77b1794ecf6477726f61260a64d91c345dbf8ca2e66b87aff93214d71a6',NULL);
INSERT INTO event_keys VALUES(2,1795743806194,'smsmode','reply:0A0F1A28-2E33-4E1D-8D8D-0123456789AB',NULL);
INSERT INTO event_keys VALUES(3,1795743806208,'smsmode','sha256:05ab124f6094fa8dbb0ebcc3bfd0ce27adfaac4cda7bb724b07c61bd0905f2cc',NULL);
INSERT INTO event_keys VALUES(4,1795743806220,'smsmode','sha256:94469d3f8262470e3a995fe506ca603c5b7a33a8d93e42b41953f1023594bcdf',NULL);
CREATE TABLE ledger (
  metric TEXT NOT NULL,
  labels TEXT NOT NULL,
  value  INTEGER NOT NULL,
  PRIMARY KEY (metric, labels)
) STRICT, WITHOUT ROWID;
INSERT INTO ledger VALUES('sms_message_parts_total','{"source":"smsmode","channel":"SMS","country":"FR"}',0);
INSERT INTO ledger VALUES('sms_message_parts_total','{"source":"smsmode","channel":"SMS","country":"unknown"}',0);
INSERT INTO ledger VALUES('sms_message_parts_total','{"source":"smsmode","channel":"unknown","country":"FR"}',0);
INSERT INTO ledger VALUES('sms_messages_corrected_total','{"source":"smsmode","channel":"SMS","flow":"unknown","country":"FR","from":"expired"}',0);
INSERT INTO ledger VALUES('sms_messages_corrected_total','{"source":"smsmode","channel":"SMS","flow":"unknown","country":"FR","from":"failed"}',0);
INSERT INTO ledger VALUES('sms_messages_corrected_total','{"source":"smsmode","channel":"SMS","flow":"unknown","country":"unknown","from":"expired"}',0);
INSERT INTO ledger VALUES('sms_messages_corrected_total','{"source":"smsmode","channel":"SMS","flow":"unknown","country":"unknown","from":"failed"}',0);
INSERT INTO ledger VALUES('sms_messages_corrected_total','{"source":"smsmode","channel":"unknown","flow":"unknown","country":"FR","from":"expired"}',0);
INSERT INTO ledger VALUES('sms_messages_corrected_total','{"source":"smsmode","channel":"unknown","flow":"unknown","country":"FR","from":"failed"}',0);
INSERT INTO ledger VALUES('sms_messages_delivered_total','{"source":"smsmode","channel":"SMS","flow":"unknown","country":"FR"}',2);
INSERT INTO ledger VALUES('sms_messages_delivered_total','{"source":"smsmode","channel":"SMS","flow":"unknown","country":"unknown"}',0);
INSERT INTO ledger VALUES('sms_messages_delivered_total','{"source":"smsmode","channel":"unknown","flow":"unknown","country":"FR"}',1);
INSERT INTO ledger VALUES('sms_messages_expired_total','{"source":"smsmode","channel":"SMS","flow":"unknown","country":"FR"}',0);
INSERT INTO ledger VALUES('sms_messages_expired_total','{"source":"smsmode","channel":"SMS","flow":"unknown","country":"unknown"}',0);
INSERT INTO ledger VALUES('sms_messages_expired_total','{"source":"smsmode","channel":"unknown","flow":"unknown","country":"FR"}',0);
INSERT INTO ledger VALUES('sms_messages_failed_total','{"source":"smsmode","channel":"SMS","flow":"unknown","country":"FR","reason":"blacklisted"}',0);
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
INSERT INTO ledger VALUES('sms_messages_failed_total','{"source":"smsmode","channel":"SMS","flow":"unknown","country":"unknown","reason":"blacklisted"}',0);
INSERT INTO ledger VALUES('sms_messages_failed_total','{"source":"smsmode","channel":"SMS","flow":"unknown","country":"unknown","reason":"cancelled"}',0);
INSERT INTO ledger VALUES('sms_messages_failed_total','{"source":"smsmode","channel":"SMS","flow":"unknown","country":"unknown","reason":"content"}',0);
INSERT INTO ledger VALUES('sms_messages_failed_total','{"source":"smsmode","channel":"SMS","flow":"unknown","country":"unknown","reason":"credit"}',0);
INSERT INTO ledger VALUES('sms_messages_failed_total','{"source":"smsmode","channel":"SMS","flow":"unknown","country":"unknown","reason":"expired"}',0);
INSERT INTO ledger VALUES('sms_messages_failed_total','{"source":"smsmode","channel":"SMS","flow":"unknown","country":"unknown","reason":"handset_absent"}',0);
INSERT INTO ledger VALUES('sms_messages_failed_total','{"source":"smsmode","channel":"SMS","flow":"unknown","country":"unknown","reason":"handset_error"}',0);
INSERT INTO ledger VALUES('sms_messages_failed_total','{"source":"smsmode","channel":"SMS","flow":"unknown","country":"unknown","reason":"invalid_number"}',0);
INSERT INTO ledger VALUES('sms_messages_failed_total','{"source":"smsmode","channel":"SMS","flow":"unknown","country":"unknown","reason":"limit"}',0);
INSERT INTO ledger VALUES('sms_messages_failed_total','{"source":"smsmode","channel":"SMS","flow":"unknown","country":"unknown","reason":"network"}',0);
INSERT INTO ledger VALUES('sms_messages_failed_total','{"source":"smsmode","channel":"SMS","flow":"unknown","country":"unknown","reason":"not_supported"}',0);
INSERT INTO ledger VALUES('sms_messages_failed_total','{"source":"smsmode","channel":"SMS","flow":"unknown","country":"unknown","reason":"portability"}',0);
INSERT INTO ledger VALUES('sms_messages_failed_total','{"source":"smsmode","channel":"SMS","flow":"unknown","country":"unknown","reason":"provider_error"}',0);
INSERT INTO ledger VALUES('sms_messages_failed_total','{"source":"smsmode","channel":"SMS","flow":"unknown","country":"unknown","reason":"roaming"}',0);
INSERT INTO ledger VALUES('sms_messages_failed_total','{"source":"smsmode","channel":"SMS","flow":"unknown","country":"unknown","reason":"routing"}',0);
INSERT INTO ledger VALUES('sms_messages_failed_total','{"source":"smsmode","channel":"SMS","flow":"unknown","country":"unknown","reason":"spam_filtered"}',0);
INSERT INTO ledger VALUES('sms_messages_failed_total','{"source":"smsmode","channel":"SMS","flow":"unknown","country":"unknown","reason":"unknown"}',0);
INSERT INTO ledger VALUES('sms_messages_failed_total','{"source":"smsmode","channel":"unknown","flow":"unknown","country":"FR","reason":"blacklisted"}',0);
INSERT INTO ledger VALUES('sms_messages_failed_total','{"source":"smsmode","channel":"unknown","flow":"unknown","country":"FR","reason":"cancelled"}',0);
INSERT INTO ledger VALUES('sms_messages_failed_total','{"source":"smsmode","channel":"unknown","flow":"unknown","country":"FR","reason":"content"}',0);
INSERT INTO ledger VALUES('sms_messages_failed_total','{"source":"smsmode","channel":"unknown","flow":"unknown","country":"FR","reason":"credit"}',0);
INSERT INTO ledger VALUES('sms_messages_failed_total','{"source":"smsmode","channel":"unknown","flow":"unknown","country":"FR","reason":"expired"}',0);
INSERT INTO ledger VALUES('sms_messages_failed_total','{"source":"smsmode","channel":"unknown","flow":"unknown","country":"FR","reason":"handset_absent"}',0);
INSERT INTO ledger VALUES('sms_messages_failed_total','{"source":"smsmode","channel":"unknown","flow":"unknown","country":"FR","reason":"handset_error"}',0);
INSERT INTO ledger VALUES('sms_messages_failed_total','{"source":"smsmode","channel":"unknown","flow":"unknown","country":"FR","reason":"invalid_number"}',0);
INSERT INTO ledger VALUES('sms_messages_failed_total','{"source":"smsmode","channel":"unknown","flow":"unknown","country":"FR","reason":"limit"}',0);
INSERT INTO ledger VALUES('sms_messages_failed_total','{"source":"smsmode","channel":"unknown","flow":"unknown","country":"FR","reason":"network"}',0);
INSERT INTO ledger VALUES('sms_messages_failed_total','{"source":"smsmode","channel":"unknown","flow":"unknown","country":"FR","reason":"not_supported"}',0);
INSERT INTO ledger VALUES('sms_messages_failed_total','{"source":"smsmode","channel":"unknown","flow":"unknown","country":"FR","reason":"portability"}',0);
INSERT INTO ledger VALUES('sms_messages_failed_total','{"source":"smsmode","channel":"unknown","flow":"unknown","country":"FR","reason":"provider_error"}',0);
INSERT INTO ledger VALUES('sms_messages_failed_total','{"source":"smsmode","channel":"unknown","flow":"unknown","country":"FR","reason":"roaming"}',0);
INSERT INTO ledger VALUES('sms_messages_failed_total','{"source":"smsmode","channel":"unknown","flow":"unknown","country":"FR","reason":"routing"}',0);
INSERT INTO ledger VALUES('sms_messages_failed_total','{"source":"smsmode","channel":"unknown","flow":"unknown","country":"FR","reason":"spam_filtered"}',0);
INSERT INTO ledger VALUES('sms_messages_failed_total','{"source":"smsmode","channel":"unknown","flow":"unknown","country":"FR","reason":"unknown"}',0);
INSERT INTO ledger VALUES('sms_messages_pending','{"source":"smsmode","channel":"SMS","flow":"unknown","country":"FR","state":"enroute"}',3);
INSERT INTO ledger VALUES('sms_messages_pending','{"source":"smsmode","channel":"SMS","flow":"unknown","country":"FR","state":"scheduled"}',0);
INSERT INTO ledger VALUES('sms_messages_pending','{"source":"smsmode","channel":"SMS","flow":"unknown","country":"unknown","state":"enroute"}',2);
INSERT INTO ledger VALUES('sms_messages_pending','{"source":"smsmode","channel":"SMS","flow":"unknown","country":"unknown","state":"scheduled"}',0);
INSERT INTO ledger VALUES('sms_messages_pending','{"source":"smsmode","channel":"unknown","flow":"unknown","country":"FR","state":"enroute"}',1);
INSERT INTO ledger VALUES('sms_messages_pending','{"source":"smsmode","channel":"unknown","flow":"unknown","country":"FR","state":"scheduled"}',0);
INSERT INTO ledger VALUES('sms_messages_read_total','{"source":"smsmode","channel":"SMS","flow":"unknown","country":"FR"}',0);
INSERT INTO ledger VALUES('sms_messages_read_total','{"source":"smsmode","channel":"SMS","flow":"unknown","country":"unknown"}',0);
INSERT INTO ledger VALUES('sms_messages_read_total','{"source":"smsmode","channel":"unknown","flow":"unknown","country":"FR"}',0);
INSERT INTO ledger VALUES('sms_messages_total','{"source":"smsmode","channel":"SMS","flow":"unknown","country":"FR"}',5);
INSERT INTO ledger VALUES('sms_messages_total','{"source":"smsmode","channel":"SMS","flow":"unknown","country":"unknown"}',2);
INSERT INTO ledger VALUES('sms_messages_total','{"source":"smsmode","channel":"unknown","flow":"unknown","country":"FR"}',2);
INSERT INTO ledger VALUES('sms_receipts_reconciled_total','{"source":"smsmode","outcome":"delivered"}',0);
INSERT INTO ledger VALUES('sms_receipts_reconciled_total','{"source":"smsmode","outcome":"failed"}',0);
INSERT INTO ledger VALUES('sms_receipts_reconciled_total','{"source":"smsmode","outcome":"pending"}',0);
INSERT INTO ledger VALUES('sms_receipts_reconciled_total','{"source":"smsmode","outcome":"read"}',0);
INSERT INTO ledger VALUES('sms_receipts_reconciled_total','{"source":"smsmode","outcome":"unknown"}',0);
INSERT INTO ledger VALUES('sms_receipts_total','{"source":"smsmode","channel":"SMS","status":"0","outcome":"pending"}',5);
INSERT INTO ledger VALUES('sms_receipts_total','{"source":"smsmode","channel":"SMS","status":"011","outcome":"delivered"}',1);
INSERT INTO ledger VALUES('sms_receipts_total','{"source":"smsmode","channel":"SMS","status":"11","outcome":"delivered"}',1);
INSERT INTO ledger VALUES('sms_receipts_total','{"source":"smsmode","channel":"unknown","status":"DELIVERED","outcome":"delivered"}',0);
INSERT INTO ledger VALUES('sms_receipts_total','{"source":"smsmode","channel":"unknown","status":"Delivered","outcome":"delivered"}',1);
INSERT INTO ledger VALUES('sms_receipts_total','{"source":"smsmode","channel":"unknown","status":"ENROUTE","outcome":"pending"}',1);
INSERT INTO ledger VALUES('sms_receipts_total','{"source":"smsmode","channel":"unknown","status":"READ","outcome":"read"}',0);
INSERT INTO ledger VALUES('sms_receipts_total','{"source":"smsmode","channel":"unknown","status":"SCHEDULED","outcome":"pending"}',0);
INSERT INTO ledger VALUES('sms_receipts_total','{"source":"smsmode","channel":"unknown","status":"UNDELIVERABLE","outcome":"failed"}',0);
INSERT INTO ledger VALUES('sms_receipts_total','{"source":"smsmode","channel":"unknown","status":"UNDELIVERED","outcome":"failed"}',0);
INSERT INTO ledger VALUES('sms_replies_total','{"source":"smsmode","channel":"SMS","kind":"reply"}',1);
INSERT INTO ledger VALUES('sms_replies_total','{"source":"smsmode","channel":"SMS","kind":"stop"}',0);
INSERT INTO ledger VALUES('sms_replies_total','{"source":"smsmode","channel":"unknown","kind":"reply"}',1);
INSERT INTO ledger VALUES('sms_replies_total','{"source":"smsmode","channel":"unknown","kind":"stop"}',0);
CREATE TABLE label_values (
  label TEXT NOT NULL,
  value TEXT NOT NULL,
  PRIMARY KEY (label, value)
) STRICT, WITHOUT ROWID;
INSERT INTO label_values VALUES('status','0');
INSERT INTO label_values VALUES('status','011');
INSERT INTO label_values VALUES('status','11');
INSERT INTO label_values VALUES('status','Delivered');
CREATE TABLE cursors (
  name     TEXT PRIMARY KEY,
  position INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE relay_deliveries (
  id       INTEGER PRIMARY KEY,
  relay    TEXT NOT NULL,
  event    INTEGER NOT NULL,
  lane     INTEGER NOT NULL,
  state    TEXT NOT NULL,
  due_at   INTEGER NOT NULL,
  since    INTEGER NOT NULL,
  attempts INTEGER NOT NULL,
  error    TEXT
) STRICT;
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
CREATE TABLE conversation_keys (
  key     INTEGER PRIMARY KEY,
  message INTEGER NOT NULL
) STRICT;
CREATE TABLE resends (
  id          INTEGER PRIMARY KEY,
  rule        TEXT NOT NULL,
  source      TEXT NOT NULL,
  message     INTEGER NOT NULL UNIQUE,
  event       INTEGER NOT NULL,
  attempt     INTEGER NOT NULL,
  state       TEXT NOT NULL,
  due_at      INTEGER NOT NULL,
  until       INTEGER NOT NULL,
  asked_at    INTEGER,
  expects     INTEGER,
  replacement INTEGER,
  outcome     TEXT
) STRICT;
DELETE FROM sqlite_sequence;
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
CREATE INDEX relay_deliveries_due ON relay_deliveries (relay, due_at) WHERE state = 'due';
CREATE INDEX relay_deliveries_of_lane ON relay_deliveries (relay, lane, id);
CREATE INDEX relay_deliveries_oldest ON relay_deliveries (relay, state, event);
CREATE INDEX conversation_keys_of_message ON conversation_keys (message);
CREATE INDEX resends_due ON resends (source, due_at) WHERE state = 'waiting';
CREATE INDEX resends_asked ON resends (rule, asked_at) WHERE asked_at IS NOT NULL;
CREATE INDEX resends_expecting ON resends (expects) WHERE expects IS NOT NULL;
CREATE UNIQUE INDEX resends_by_replacement ON resends (replacement) WHERE replacement IS NOT NULL;
COMMIT;
