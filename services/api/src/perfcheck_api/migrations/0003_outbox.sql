-- Invalidations on their way to the log (rule 1 of the coherence protocol): a row is written in the
-- transaction of the change that it announces, and published by the relay after the commit.

CREATE TABLE outbox (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    event_id uuid NOT NULL DEFAULT gen_random_uuid() UNIQUE,
    subject text NOT NULL,
    payload bytea NOT NULL,
    event_time timestamptz NOT NULL DEFAULT clock_timestamp(),
    created_at timestamptz NOT NULL DEFAULT now(),
    attempts integer NOT NULL DEFAULT 0,
    published_at timestamptz,
    seq bigint,
    CHECK ((published_at IS NULL) = (seq IS NULL))
);

CREATE INDEX outbox_unpublished ON outbox (id) WHERE published_at IS NULL;
CREATE INDEX outbox_published ON outbox (published_at) WHERE published_at IS NOT NULL;
CREATE INDEX outbox_seq ON outbox (seq) WHERE seq IS NOT NULL;

-- The last message that the log acknowledged to the relay, an event or a mark (rule 7).
CREATE TABLE relay_state (
    source text PRIMARY KEY,
    seq bigint NOT NULL,
    message_id uuid NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT now()
);

-- Whoever writes a row wakes the relay, without having to remember to.
CREATE FUNCTION outbox_wake() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('perfcheck_outbox', '');
    RETURN NULL;
END
$$;

CREATE TRIGGER outbox_wake AFTER INSERT ON outbox
    FOR EACH STATEMENT EXECUTE FUNCTION outbox_wake();
