-- Receipts: what became of each invalidation. One row for an event of the outbox is written with it;
-- the rest comes later and in parts (see 'merge' below).

CREATE TYPE receipt_stage AS ENUM ('committed', 'published', 'applied', 'done', 'dead');

-- The order of the values above is that in which a stage advances; of 'done' and 'dead' the later
-- counts: a dead letter may be retried, and the second purge of what was done may fail.
--
-- No index holds a column that parts change, but for 'dead', which seldom does: so an update stays
-- within its page (HOT), for which the pages keep some room.
CREATE TABLE receipts (
    event_id text COLLATE "C" PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT now(),  -- since when the event is known here
    source text COLLATE "C" NOT NULL,
    stage receipt_stage NOT NULL DEFAULT 'committed',
    event jsonb NOT NULL DEFAULT '{}',  -- tags, paths, mode and reason
    seq bigint,
    committed_at timestamptz,
    published_at timestamptz,
    applied jsonb,
    warmed jsonb,
    cdn jsonb NOT NULL DEFAULT '[]',
    dead text NOT NULL DEFAULT '',
    ended_at timestamptz  -- when the broker took the part that said 'done' or 'dead'
) WITH (fillfactor = 70);

CREATE INDEX receipts_at ON receipts (at, event_id);
CREATE INDEX receipts_source ON receipts (source, at, event_id);
CREATE INDEX receipts_dead ON receipts (at, event_id) WHERE dead <> '';

-- The source of an event is the tail of its subject, 'cache.invalidations.v1.<source>'. A reason may
-- hold the character NUL, which JSON can write and PostgreSQL cannot keep.
CREATE FUNCTION outbox_receipts() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO receipts (event_id, source, event, committed_at)
    SELECT w.event_id::text, substr(w.subject, length('cache.invalidations.v1.') + 1),
        replace(convert_from(w.payload, 'UTF8'), '\u0000', '\ufffd')::jsonb, w.event_time
    FROM written w;
    RETURN NULL;
END
$$;

CREATE TRIGGER outbox_receipts AFTER INSERT ON outbox REFERENCING NEW TABLE AS written
    FOR EACH STATEMENT EXECUTE FUNCTION outbox_receipts();

-- How far a purge has come; what is not given was only submitted.
CREATE FUNCTION purge_rank(purge jsonb) RETURNS integer LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE purge ->> 'status' WHEN 'completed' THEN 2 WHEN 'refused' THEN 1 ELSE 0 END
$$;

-- The fuller of two objects, by the count that `member` names; of equal ones always the same.
CREATE FUNCTION fuller(old jsonb, new jsonb, member text) RETURNS jsonb LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN old IS NULL THEN new WHEN new IS NULL THEN old
        WHEN ((new ->> member)::integer, new) > ((old ->> member)::integer, old) THEN new
        ELSE old END
$$;

-- One purge from two parts: members of the one that has come further win, or was tried later; the
-- others stay.
CREATE FUNCTION merged_purge(old jsonb, new jsonb) RETURNS jsonb LANGUAGE sql STABLE AS $$
    SELECT CASE WHEN old IS NULL THEN new WHEN new IS NULL THEN old
        WHEN (purge_rank(new), coalesce((new ->> 'submitted_at')::timestamptz, '-infinity'), new)
            > (purge_rank(old), coalesce((old ->> 'submitted_at')::timestamptz, '-infinity'), old)
        THEN old || new ELSE new || old END
$$;

-- The purges of one event: one of each provider, and one more for its second.
CREATE FUNCTION merged_purges(old jsonb, new jsonb) RETURNS jsonb LANGUAGE sql STABLE AS $$
    SELECT coalesce(jsonb_agg(merged_purge(o.purge, n.purge) ORDER BY provider, again), '[]')
    FROM (
        SELECT purge, purge ->> 'provider' AS provider,
            coalesce((purge ->> 'again')::boolean, false) AS again
        FROM jsonb_array_elements(old) AS purge
    ) AS o FULL JOIN (
        SELECT DISTINCT ON (provider, again) purge, purge ->> 'provider' AS provider,
            coalesce((purge ->> 'again')::boolean, false) AS again
        FROM jsonb_array_elements(new) AS purge
        ORDER BY provider, again, purge_rank(purge) DESC
    ) AS n USING (provider, again)
$$;

-- Answers to requests with an Idempotency-Key, for a day: the same key gets the same event.
CREATE TABLE idempotency_keys (
    caller text COLLATE "C" NOT NULL,
    key text COLLATE "C" NOT NULL,
    body_hash bytea NOT NULL,
    outbox_id bigint NOT NULL,
    event_id uuid NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (caller, key)
);

CREATE INDEX idempotency_keys_created ON idempotency_keys (created_at);
