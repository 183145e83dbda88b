"""All SQL of the relay: rows to publish, what the log acknowledged, what waits.

"Every row up to N is in the log" stays true once it is, since rows become visible in the order of
their ids (see the package).

A row that the log will never take is published as an event that names everything: rather too much
becomes old than too little. Its receipt says why.
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from perfcheck_api.db import Connection, Database
from perfcheck_api.locks import RATES_LOCK
from perfcheck_api.outbox.model import OUTBOX_SOURCE, Acknowledged, Backlog, Pending
from perfcheck_api.outbox.witness import Place

# How far the database is, for a witness. What is flushed survives a crash of the server; what is
# only written may not.
PLACE = """
SELECT concat_ws('/', t.oid, pg_relation_filenode(t.oid)) AS outbox, coalesce(n.id, 0) AS row,
    coalesce(n.event_id::text, '') AS event,
    (pg_current_wal_flush_lsn() - '0/0')::bigint AS wal,
    (extract(epoch FROM clock_timestamp()) * 1000000)::bigint AS time
FROM (SELECT 'outbox'::regclass::oid AS oid) t LEFT JOIN (
    SELECT id, event_id FROM outbox ORDER BY id DESC LIMIT 1
) n ON true
"""
PLACE_NOW = f"SELECT row_to_json(p)::text FROM ({PLACE}) p"  # noqa: S608  ours
HOLDS_ROW = "SELECT EXISTS (SELECT FROM outbox WHERE id = %s AND event_id::text = %s)"
HOLDS_EVENT = "SELECT EXISTS (SELECT FROM outbox WHERE event_id::text = %s)"
# In the turn of whoever appends: a trigger reads this sequence and sets it (migration 0007).
RAISE_NUMBERS = """
WITH turn AS MATERIALIZED (SELECT pg_advisory_xact_lock(%s))
SELECT setval('outbox_id_seq', greatest(last_value, %s)) FROM outbox_id_seq, turn
"""

# `attempts` must be on record before the broker sees the event: a duplicate answer to a first
# attempt is another's doing, to a second one it is not. It need not survive a crash of the server,
# so this commit does not wait for the disk (`unhurried`); it is on the way of every invalidation.
# With the rows, and where there are none, comes how far the database is.
CLAIM = f"""
WITH place AS MATERIALIZED ({PLACE}), unhurried AS MATERIALIZED (
    SELECT set_config('synchronous_commit', 'off', true)
), oldest AS (
    SELECT id, octet_length(payload) AS bytes FROM outbox
    WHERE published_at IS NULL ORDER BY id LIMIT %s
), next AS (
    SELECT id FROM (
        SELECT id, sum(bytes) OVER (ORDER BY id) - bytes AS bytes_before FROM oldest
    ) o WHERE bytes_before < %s
), claimed AS (
    UPDATE outbox o SET attempts = attempts + 1, dedup_id = coalesce(dedup_id, gen_random_uuid())
    FROM next, unhurried WHERE o.id = next.id
    RETURNING o.id, o.event_id, o.dedup_id, o.subject, o.payload, o.event_time, o.attempts,
        o.traceparent
)
SELECT row_to_json(p)::text,
    id, event_id, dedup_id, subject, payload, event_time, attempts, traceparent
FROM place p LEFT JOIN claimed ON true ORDER BY id
"""  # noqa: S608  ours
CLAIM_ONE = """
UPDATE outbox SET attempts = attempts + 1 WHERE id = %s
RETURNING id, event_id, dedup_id, subject, payload, event_time, attempts, traceparent
"""
REDRAW = """
UPDATE outbox SET dedup_id = gen_random_uuid(), attempts = 1 WHERE id = %s RETURNING dedup_id
"""

ACKNOWLEDGED = """
INSERT INTO relay_state AS s (source, seq, message_id) VALUES (%s, %s, %s)
ON CONFLICT (source) DO UPDATE
SET seq = excluded.seq, message_id = excluded.message_id, updated_at = now()
WHERE s.seq < excluded.seq
"""
# One statement is one transaction and one round trip. The lag is of one clock, the database's.
PUBLISHED = f"""
WITH acknowledged AS ({ACKNOWLEDGED}), published AS (
    UPDATE outbox o SET published_at = clock_timestamp(), seq = p.seq
    FROM unnest(%s::bigint[], %s::bigint[]) AS p (id, seq)
    WHERE o.id = p.id
    RETURNING extract(epoch FROM o.published_at - o.event_time)::float8 AS lag_s
)
SELECT lag_s FROM published
"""  # noqa: S608  ours
LAST_ACKNOWLEDGED = "SELECT seq, message_id FROM relay_state WHERE source = %s"

REFUSED = "UPDATE receipts SET dead = %s WHERE event_id = %s"

# Below the oldest unpublished row everything is in the log; without one, all that is.
PUBLISHED_THROUGH = """
SELECT coalesce(
    (SELECT min(id) - 1 FROM outbox WHERE published_at IS NULL),
    (SELECT max(id) FROM outbox),
    0
)
"""
NEWEST = "SELECT coalesce(max(id), 0) FROM outbox"

# How many rows wait, counted up to ten thousand, and how long the oldest one does, in seconds.
BACKLOG_ROWS = """
SELECT count(*), coalesce(extract(epoch FROM clock_timestamp() - min(event_time)), 0)::float8
FROM (
    SELECT event_time FROM outbox WHERE published_at IS NULL
    ORDER BY id LIMIT 10000
) unpublished
"""

# The newest published rows at or below a sequence, to find what a log still holds. Without an id of
# the log's own, a row was published by a release that used the event's.
PUBLISHED_UP_TO = """
SELECT seq, coalesce(dedup_id, event_id) FROM outbox WHERE seq <= %s ORDER BY seq DESC LIMIT %s
"""
# The log showed what these rows were published under: they get ids that nobody has seen.
UNPUBLISH = """
WITH forgotten AS (DELETE FROM relay_state WHERE source = %s)
UPDATE outbox SET published_at = NULL, seq = NULL, attempts = 0, dedup_id = gen_random_uuid()
WHERE seq > %s
"""

# Published rows are kept for a day, and the newest of them for ever: a log that lost its end is
# repaired from them.
PRUNE = """
DELETE FROM outbox WHERE id IN (
    SELECT id FROM outbox
    WHERE published_at < now() - make_interval(secs => %s)
    AND id < (SELECT id FROM outbox ORDER BY id DESC OFFSET %s LIMIT 1)
    LIMIT %s
)
"""


async def place(connection: Connection) -> Place:
    """Return how far the database is."""
    return _place(await (await connection.execute(PLACE_NOW.encode())).fetchone())


async def holds_row(connection: Connection, place: Place) -> bool:
    """Say whether the row that was the newest at `place` is there."""
    return not place.row or await _true(connection, HOLDS_ROW, place.row, place.event)


async def holds_event(connection: Connection, event_id: str) -> bool:
    """Say whether there is a row of this event."""
    return await _true(connection, HOLDS_EVENT, event_id)


async def raise_numbers(connection: Connection, number: int) -> None:
    """Have the rows of this transaction, and all later ones, get numbers above `number`."""
    await connection.execute(RAISE_NUMBERS, (RATES_LOCK, number))


async def claim(
    connection: Connection, *, rows_max: int, bytes_max: int
) -> tuple[Place, list[Pending]]:
    """Return how far the database is, and its oldest unpublished rows, this attempt counted.

    They are in order, and the last one is the first that reaches `bytes_max`: one row is given if
    there is any.
    """
    rows = await (await connection.execute(CLAIM, (rows_max, bytes_max))).fetchall()
    return _place(rows[0]), [Pending(*row[1:]) for row in rows if row[1] is not None]


async def claim_one(connection: Connection, source_seq: int) -> Pending:
    """Return one row, this attempt counted."""
    row = await (await connection.execute(CLAIM_ONE, (source_seq,))).fetchone()
    if row is None:
        raise RuntimeError(f"there is no outbox row {source_seq}")
    return Pending(*row)


async def redraw(connection: Connection, row: Pending) -> Pending:
    """Return `row` with another id for the log; the attempt with it is the first."""
    drawn = await (await connection.execute(REDRAW, (row.source_seq,))).fetchone()
    if drawn is None:
        raise RuntimeError(f"outbox row {row.source_seq} is gone before it was published")
    return row._replace(dedup_id=drawn[0], attempts=1)


async def mark_published(
    connection: Connection, published: Sequence[tuple[Pending, int]], last: Acknowledged
) -> list[float]:
    """Record sequences of published rows, and the newest message that the log acknowledged.

    Return for each how long ago it was written, in seconds.
    """
    ids = [row.source_seq for row, _ in published]
    seqs = [seq for _, seq in published]
    cursor = await connection.execute(PUBLISHED, (OUTBOX_SOURCE, *last, ids, seqs))
    return [lag_s for (lag_s,) in await cursor.fetchall()]


async def mark_refused(connection: Connection, row: Pending, reason: str) -> None:
    """Say in the receipt of `row` why the log will never take it as it is."""
    await connection.execute(REFUSED, (reason, str(row.event_id)))


async def mark_acknowledged(connection: Connection, last: Acknowledged) -> None:
    """Record a message that the log acknowledged and that is no row: a mark."""
    await connection.execute(ACKNOWLEDGED, (OUTBOX_SOURCE, *last))


async def last_acknowledged(connection: Connection) -> Acknowledged | None:
    """Return the newest message that the log acknowledged, or None before the first."""
    row = await (await connection.execute(LAST_ACKNOWLEDGED, (OUTBOX_SOURCE,))).fetchone()
    return Acknowledged(*row) if row is not None else None


async def published_through(connection: Connection) -> int:
    """Return the highest N for which every row up to N is in the log; 0 before the first.

    Rows that do not exist yet get higher ids.
    """
    return await _number(connection, PUBLISHED_THROUGH)


async def backlog(database: Database) -> Backlog | None:
    """Return what waits to be published."""
    row = await database.row(BACKLOG_ROWS)
    return None if row is None else Backlog(*row)


async def newest(connection: Connection) -> int:
    """Return the highest id of all rows, 0 before the first."""
    return await _number(connection, NEWEST)


async def published_up_to(connection: Connection, seq: int, *, rows_max: int) -> list[Acknowledged]:
    """Return published rows with a sequence of at most `seq`, newest first."""
    cursor = await connection.execute(PUBLISHED_UP_TO, (seq, rows_max))
    return [Acknowledged(*row) for row in await cursor.fetchall()]


async def unpublish_after(connection: Connection, seq: int) -> int:
    """Make rows published after `seq` unpublished again, as the log lost them; return how many."""
    return (await connection.execute(UNPUBLISH, (OUTBOX_SOURCE, seq))).rowcount


async def prune(connection: Connection, *, age_s: float, rows_kept: int, rows_max: int) -> int:
    """Delete up to `rows_max` rows that were published more than `age_s` ago; return how many.

    The newest `rows_kept` rows stay, however old.
    """
    return (await connection.execute(PRUNE, (age_s, rows_kept, rows_max))).rowcount


async def _number(connection: Connection, query: str) -> int:
    row = await (await connection.execute(query.encode())).fetchone()
    if row is None:
        raise RuntimeError("an aggregate gave no row")
    return int(row[0])


async def _true(connection: Connection, query: str, *parameters: object) -> bool:
    row = await (await connection.execute(query.encode(), parameters)).fetchone()
    return row is not None and bool(row[0])


def _place(row: Sequence[Any] | None) -> Place:
    if row is None:
        raise RuntimeError("the outbox gave no place")
    return msgspec.json.decode(row[0], type=Place)
