-- Ids of the outbox in the order of commits: whoever appends waits until the one before has ended.
-- Identities are drawn when a row is made, which is after this trigger, and a commit is visible
-- before its locks are free. So who sees an id sees every lower one that will ever be, and "every
-- row up to N is in the log" means something (header Cache-Sequence).

CREATE FUNCTION outbox_take_turn() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(7265003);
    RETURN NULL;
END
$$;

CREATE TRIGGER outbox_take_turn BEFORE INSERT ON outbox
    FOR EACH STATEMENT EXECUTE FUNCTION outbox_take_turn();

-- Why the log will never take a row; it is not tried again and holds up no other.
ALTER TABLE outbox ADD COLUMN dead_reason text;
ALTER TABLE outbox ADD CONSTRAINT outbox_dead_is_unpublished
    CHECK (dead_reason IS NULL OR published_at IS NULL);

DROP INDEX outbox_unpublished;
CREATE INDEX outbox_unpublished ON outbox (id) WHERE published_at IS NULL AND dead_reason IS NULL;
CREATE INDEX outbox_dead ON outbox (created_at) WHERE dead_reason IS NOT NULL;
