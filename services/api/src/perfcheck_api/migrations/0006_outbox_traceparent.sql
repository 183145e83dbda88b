-- The W3C traceparent of the request that wrote an event; it travels with the event.
ALTER TABLE outbox ADD COLUMN traceparent text COLLATE "C";

-- In the place of a row that the log will never take, an event that names everything is published:
-- so each row is published in the end, and no other state is left.
UPDATE outbox SET dead_reason = NULL WHERE dead_reason IS NOT NULL;
ALTER TABLE outbox DROP COLUMN dead_reason;  -- with its constraint and indexes
CREATE INDEX outbox_unpublished ON outbox (id) WHERE published_at IS NULL;
