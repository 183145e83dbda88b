"""The outbox: an event is a row, written in the transaction of the change that it announces.

Rows are published in the order of their ids, which is the order of their commits: a trigger makes
writers of the outbox wait for each other until they commit. So no row becomes visible below one
that was seen, and "every row up to N is in the log" is a statement that stays true. The price is
that transactions with events commit one after the other; append last, and they hardly meet. The
wait is bounded by `lock_timeout`.

A row that the log will never take is dead: it says why in `dead_reason`, and is passed over.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from asgi_isr.events import SUBJECT_PREFIX, Invalidation, encode

from perfcheck_api.db import Connection

SOURCE = "api"
SUBJECT = f"{SUBJECT_PREFIX}.{SOURCE}"
CHANNEL = "perfcheck_outbox"  # a trigger notifies it, see migrations
APPEND_EVENTS_MAX = 1000  # of one statement

# Identities are drawn after the sort, so ids follow the order of the events.
APPEND = """
INSERT INTO outbox (subject, payload)
SELECT %s, e.payload FROM unnest(%s::bytea[]) WITH ORDINALITY AS e (payload, n) ORDER BY e.n
RETURNING id, event_id
"""

# `attempts` must be on record before the broker sees the event: a duplicate answer to a first
# attempt is an error, to a second one it is not. It need not survive a crash of the server, so this
# commit does not wait for the disk (`unhurried`); it is on the way of every invalidation.
CLAIM = """
WITH unhurried AS MATERIALIZED (
    SELECT set_config('synchronous_commit', 'off', true)
), oldest AS (
    SELECT id, octet_length(payload) AS bytes FROM outbox
    WHERE published_at IS NULL AND dead_reason IS NULL ORDER BY id LIMIT %s
), next AS (
    SELECT id FROM (
        SELECT id, sum(bytes) OVER (ORDER BY id) - bytes AS bytes_before FROM oldest
    ) o WHERE bytes_before < %s
), claimed AS (
    UPDATE outbox o SET attempts = attempts + 1 FROM next, unhurried WHERE o.id = next.id
    RETURNING o.id, o.event_id, o.subject, o.payload, o.event_time, o.attempts
)
SELECT id, event_id, subject, payload, event_time, attempts FROM claimed ORDER BY id
"""

ACKNOWLEDGED = """
INSERT INTO relay_state AS s (source, seq, message_id) VALUES (%s, %s, %s)
ON CONFLICT (source) DO UPDATE
SET seq = excluded.seq, message_id = excluded.message_id, updated_at = now()
WHERE s.seq < excluded.seq
"""
# One statement is one transaction and one round trip. The lag is of one clock, the database's.
PUBLISHED = """
WITH acknowledged AS (
    INSERT INTO relay_state AS s (source, seq, message_id) VALUES (%s, %s, %s)
    ON CONFLICT (source) DO UPDATE
    SET seq = excluded.seq, message_id = excluded.message_id, updated_at = now()
    WHERE s.seq < excluded.seq
), published AS (
    UPDATE outbox o SET published_at = clock_timestamp(), seq = p.seq
    FROM unnest(%s::bigint[], %s::bigint[]) AS p (id, seq)
    WHERE o.id = p.id
    RETURNING extract(epoch FROM o.published_at - o.event_time)::float8 AS lag_s
)
SELECT lag_s FROM published
"""
LAST_ACKNOWLEDGED = "SELECT seq, message_id FROM relay_state WHERE source = %s"

DEAD = """
UPDATE outbox SET dead_reason = %s WHERE id = %s AND published_at IS NULL AND dead_reason IS NULL
"""

# Below the oldest unpublished row everything is in the log, or dead; without one, all that is.
PUBLISHED_THROUGH = """
SELECT coalesce(
    (SELECT min(id) - 1 FROM outbox WHERE published_at IS NULL AND dead_reason IS NULL),
    (SELECT max(id) FROM outbox),
    0
)
"""
NEWEST = "SELECT coalesce(max(id), 0) FROM outbox"

# How many rows wait, counted up to ten thousand, and how long the oldest one does, in seconds.
BACKLOG = """
SELECT count(*), coalesce(extract(epoch FROM clock_timestamp() - min(event_time)), 0)::float8
FROM (
    SELECT event_time FROM outbox WHERE published_at IS NULL AND dead_reason IS NULL
    ORDER BY id LIMIT 10000
) unpublished
"""

# The newest published rows at or below a sequence, to find what a log still holds.
PUBLISHED_UP_TO = "SELECT seq, event_id FROM outbox WHERE seq <= %s ORDER BY seq DESC LIMIT %s"
UNPUBLISH = """
WITH forgotten AS (DELETE FROM relay_state WHERE source = %s)
UPDATE outbox SET published_at = NULL, seq = NULL WHERE seq > %s
"""

# Published rows are kept for a day, and the newest of them for ever: a log that lost its end is
# mended from them.
PRUNE = """
DELETE FROM outbox WHERE id IN (
    SELECT id FROM outbox
    WHERE (published_at < now() - make_interval(secs => %s)
        OR dead_reason IS NOT NULL AND created_at < now() - make_interval(secs => %s))
    AND id < (SELECT max(id) FROM outbox) - %s
    LIMIT %s
)
"""


class Appended(NamedTuple):
    """A row that was written: its place in the outbox, and the id of its event."""

    id: int
    event_id: UUID


class Pending(NamedTuple):
    """A row to publish; `attempts` counts this one."""

    id: int
    event_id: UUID
    subject: str
    payload: bytes
    event_time: datetime
    attempts: int


class Acknowledged(NamedTuple):
    """A message that the log said it holds at `seq`."""

    seq: int
    message_id: UUID


async def append(connection: Connection, event: Invalidation) -> Appended:
    """Write `event` in the caller's transaction. Raises as `append_many` does."""
    [appended] = await append_many(connection, [event])
    return appended


async def append_many(connection: Connection, events: Sequence[Invalidation]) -> list[Appended]:
    """Write `events` in the caller's transaction, with one statement; return their rows in order.

    Until that transaction ends no other can append.

    Raises:
        asgi_isr.errors.InvalidEventError: if one of them must not be published.
        ValueError: for more than `APPEND_EVENTS_MAX`.

    """
    if len(events) > APPEND_EVENTS_MAX:
        raise ValueError(f"{len(events)} events: append at most {APPEND_EVENTS_MAX} at once")
    cursor = await connection.execute(APPEND, (SUBJECT, [encode(event) for event in events]))
    return sorted(Appended(*row) for row in await cursor.fetchall())


async def claim(connection: Connection, *, rows_max: int, bytes_max: int) -> list[Pending]:
    """Return the oldest unpublished rows in order, this attempt counted.

    The last one is the first that reaches `bytes_max`, so one row is always given.
    """
    cursor = await connection.execute(CLAIM, (rows_max, bytes_max))
    return [Pending(*row) for row in await cursor.fetchall()]


async def mark_published(
    connection: Connection, published: Sequence[tuple[Pending, int]], last: Acknowledged
) -> list[float]:
    """Record sequences of published rows, and the newest message that the log acknowledged.

    Return for each how long ago it was written, in seconds.
    """
    ids = [row.id for row, _ in published]
    seqs = [seq for _, seq in published]
    cursor = await connection.execute(PUBLISHED, (SOURCE, *last, ids, seqs))
    return [lag_s for (lag_s,) in await cursor.fetchall()]


async def mark_dead(connection: Connection, row: Pending, reason: str) -> None:
    """Record that the log will never take `row`, and why."""
    await connection.execute(DEAD, (reason, row.id))


async def mark_acknowledged(connection: Connection, last: Acknowledged) -> None:
    """Record a message that the log acknowledged and that is no row: a mark."""
    await connection.execute(ACKNOWLEDGED, (SOURCE, *last))


async def last_acknowledged(connection: Connection) -> Acknowledged | None:
    """Return the newest message that the log acknowledged, or None before the first."""
    row = await (await connection.execute(LAST_ACKNOWLEDGED, (SOURCE,))).fetchone()
    return Acknowledged(*row) if row is not None else None


async def published_through(connection: Connection) -> int:
    """Return the highest N for which every row up to N is in the log or dead; 0 before the first.

    Rows that do not exist yet get higher ids.
    """
    return await _number(connection, PUBLISHED_THROUGH)


async def newest(connection: Connection) -> int:
    """Return the highest id of all rows, 0 before the first."""
    return await _number(connection, NEWEST)


async def published_up_to(connection: Connection, seq: int, *, rows_max: int) -> list[Acknowledged]:
    """Return published rows with a sequence of at most `seq`, newest first."""
    cursor = await connection.execute(PUBLISHED_UP_TO, (seq, rows_max))
    return [Acknowledged(*row) for row in await cursor.fetchall()]


async def unpublish_after(connection: Connection, seq: int) -> int:
    """Make rows published after `seq` unpublished again, as the log lost them; return how many."""
    return (await connection.execute(UNPUBLISH, (SOURCE, seq))).rowcount


async def prune(connection: Connection, *, age_s: float, rows_kept: int, rows_max: int) -> int:
    """Delete up to `rows_max` rows that were published more than `age_s` ago; return how many.

    So go dead ones that were written then. The newest `rows_kept` rows stay, however old.
    """
    parameters: tuple[Any, ...] = (age_s, age_s, rows_kept, rows_max)
    return (await connection.execute(PRUNE, parameters)).rowcount


async def _number(connection: Connection, query: str) -> int:
    row = await (await connection.execute(query.encode())).fetchone()
    if row is None:
        raise RuntimeError("an aggregate gave no row")
    return int(row[0])
