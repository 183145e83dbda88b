-- The log takes an id once, whoever gives it. So what a row is published under is its own secret, and
-- not the id that everybody is told. NULL for rows from before: it is drawn when they are published.
ALTER TABLE outbox ADD COLUMN dedup_id uuid;
ALTER TABLE outbox ALTER COLUMN dedup_id SET DEFAULT gen_random_uuid();
