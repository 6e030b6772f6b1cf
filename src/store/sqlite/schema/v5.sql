-- Failed messages that are to be sent again, or were. One row for each that failed, so that no failure is answered twice.
-- `state`: 'waiting' for its time; 'sending', the provider is being asked, or was when smscope ended; 'asked', the provider or whoever
-- takes the relayed event has been; 'ended', by itself. `until`: no later than that.
-- `event`: the journal row of the failure. `asked_at`: for the budget of an hour.
-- `expects`: a keyed hash by which the message that stands for this one is known where it comes without its id being known.
-- `replacement`: that message. `outcome`: 'recovered' or 'lost', once the end of the chain is known.
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
CREATE INDEX resends_due ON resends (source, due_at) WHERE state = 'waiting';
CREATE INDEX resends_asked ON resends (rule, asked_at) WHERE asked_at IS NOT NULL;
CREATE INDEX resends_expecting ON resends (expects) WHERE expects IS NOT NULL;
CREATE UNIQUE INDEX resends_by_replacement ON resends (replacement) WHERE replacement IS NOT NULL;
