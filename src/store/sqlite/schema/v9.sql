-- What was not understood, for `smscope reprocess`.
CREATE INDEX events_unrecognized ON events (id) WHERE kind = 'webhook.unrecognized';
