-- The field's words for order and blocking, and for what was requested until when.
DROP INDEX relay_deliveries_of_lane;
ALTER TABLE relay_deliveries RENAME COLUMN lane TO ordering_key;
CREATE INDEX relay_deliveries_in_order ON relay_deliveries (relay, ordering_key, id);
UPDATE relay_deliveries SET state = 'blocked' WHERE state = 'behind';
DROP INDEX resends_asked;
ALTER TABLE resends RENAME COLUMN asked_at TO requested_at;
ALTER TABLE resends RENAME COLUMN until TO deadline;
CREATE INDEX resends_requested ON resends (rule, requested_at) WHERE requested_at IS NOT NULL;
UPDATE resends SET state = 'requested' WHERE state = 'asked';
