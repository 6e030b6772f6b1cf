-- American spelling, as in all names from version 0.1.0 on.
UPDATE events
SET kind = 'webhook.unrecognized', event = json_set(event, '$.kind', 'webhook.unrecognized')
WHERE kind = 'webhook.unrecognised';
