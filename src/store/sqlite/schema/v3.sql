-- What a relay has yet to deliver, written with the event that its filter took; gone when it is delivered.
-- `lane`: what keeps its order (a message, or the number that replies). Of a lane at most one delivery is 'due', its oldest; those
-- after it are 'behind'. 'dead': given up, kept until its event goes.
-- `since`: when its age began to count, that is, its arrival or the last `smscope relay retry`.
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
CREATE INDEX relay_deliveries_due ON relay_deliveries (relay, due_at) WHERE state = 'due';
CREATE INDEX relay_deliveries_of_lane ON relay_deliveries (relay, lane, id);
CREATE INDEX relay_deliveries_oldest ON relay_deliveries (relay, state, event);
