-- Numbers of the outbox never repeat, not even in a database that was put back to an earlier state:
-- each is more than the one before and at least the microseconds since 1970. Tasks and tokens
-- remember numbers from before, and would else take a write they have not seen for one they have.
-- Where the clock goes back, or was far ahead, numbers count on from the highest one.
--
-- Taken with the turn (migration 0004), so numbers stay in the order of commits. The sequence says
-- what was given, also to a transaction that was rolled back; the table, what a restore of rows
-- alone brought.

CREATE OR REPLACE FUNCTION outbox_take_turn() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(7265003);
    PERFORM setval('outbox_id_seq', greatest(
        last_value,
        (SELECT max(id) FROM outbox),
        (extract(epoch FROM clock_timestamp()) * 1000000)::bigint
    )) FROM outbox_id_seq;
    RETURN NULL;
END
$$;
