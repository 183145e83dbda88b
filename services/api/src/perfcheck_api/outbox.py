"""The outbox: an event is a row, written in the transaction of the change that it announces.

Rows are published in the order of their ids. Ids are given before the commit, so a row may become
visible after one with a higher id was published; therefore the relay asks for what is unpublished,
never for what lies beyond a cursor.
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

APPEND = "INSERT INTO outbox (subject, payload) VALUES (%s, %s) RETURNING id, event_id"

# `attempts` must be on record before the broker sees the event: a duplicate answer to a first
# attempt is an error, to a second one it is not. It need not survive a crash of the server, so this
# commit does not wait for the disk; it is on the way of every invalidation.
CLAIM = """
WITH next AS (
    SELECT id FROM outbox WHERE published_at IS NULL ORDER BY id LIMIT %s
), claimed AS (
    UPDATE outbox o SET attempts = attempts + 1 FROM next WHERE o.id = next.id
    RETURNING o.id, o.event_id, o.subject, o.payload, o.event_time, o.attempts
)
SELECT id, event_id, subject, payload, event_time, attempts FROM claimed ORDER BY id
"""
ASYNC_COMMIT = "SET LOCAL synchronous_commit = off"

PUBLISHED = """
UPDATE outbox o SET published_at = clock_timestamp(), seq = p.seq
FROM unnest(%s::bigint[], %s::bigint[]) AS p (id, seq)
WHERE o.id = p.id
"""

ACKNOWLEDGED = """
INSERT INTO relay_state AS s (source, seq, message_id) VALUES (%s, %s, %s)
ON CONFLICT (source) DO UPDATE
SET seq = excluded.seq, message_id = excluded.message_id, updated_at = now()
WHERE s.seq < excluded.seq
"""
LAST_ACKNOWLEDGED = "SELECT seq, message_id FROM relay_state WHERE source = %s"

# The newest published rows at or below a sequence, to find what a log still holds.
PUBLISHED_UP_TO = "SELECT seq, event_id FROM outbox WHERE seq <= %s ORDER BY seq DESC LIMIT %s"
UNPUBLISH = "UPDATE outbox SET published_at = NULL, seq = NULL WHERE seq > %s"
FORGET_ACKNOWLEDGED = "DELETE FROM relay_state WHERE source = %s"

# Published rows are kept for a day, and the newest of them for ever: a log that lost its end is
# mended from them.
PRUNE = """
DELETE FROM outbox WHERE id IN (
    SELECT id FROM outbox
    WHERE published_at < now() - make_interval(secs => %s)
    AND id < (SELECT max(id) FROM outbox) - %s
    ORDER BY published_at LIMIT %s
)
"""


class Appended(NamedTuple):
    """A row that the caller's transaction wrote."""

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
    """Write `event` in the caller's transaction; return its number and id.

    Raises:
        asgi_isr.errors.InvalidEventError: if the event must not be published.

    """
    cursor = await connection.execute(APPEND, (SUBJECT, encode(event)))
    row = await cursor.fetchone()
    if row is None:
        raise RuntimeError("INSERT … RETURNING gave no row")
    return Appended(*row)


async def claim(connection: Connection, *, rows_max: int) -> list[Pending]:
    """Return the oldest unpublished rows in order, this attempt counted."""
    async with connection.transaction():
        await connection.execute(ASYNC_COMMIT)
        cursor = await connection.execute(CLAIM, (rows_max,))
        return [Pending(*row) for row in await cursor.fetchall()]


async def mark_published(
    connection: Connection, published: Sequence[tuple[Pending, int]], last: Acknowledged
) -> None:
    """Record sequences of published rows, and the newest message that the log acknowledged."""
    ids = [row.id for row, _ in published]
    seqs = [seq for _, seq in published]
    async with connection.transaction():
        await connection.execute(PUBLISHED, (ids, seqs))
        await connection.execute(ACKNOWLEDGED, (SOURCE, *last))


async def mark_acknowledged(connection: Connection, last: Acknowledged) -> None:
    """Record a message that the log acknowledged and that is no row: a mark."""
    await connection.execute(ACKNOWLEDGED, (SOURCE, *last))


async def last_acknowledged(connection: Connection) -> Acknowledged | None:
    """Return the newest message that the log acknowledged, or None before the first."""
    row = await (await connection.execute(LAST_ACKNOWLEDGED, (SOURCE,))).fetchone()
    return Acknowledged(*row) if row is not None else None


async def published_up_to(connection: Connection, seq: int, *, rows_max: int) -> list[Acknowledged]:
    """Return published rows with a sequence of at most `seq`, newest first."""
    cursor = await connection.execute(PUBLISHED_UP_TO, (seq, rows_max))
    return [Acknowledged(*row) for row in await cursor.fetchall()]


async def unpublish_after(connection: Connection, seq: int) -> int:
    """Make rows published after `seq` unpublished again, as the log lost them; return how many."""
    async with connection.transaction():
        cursor = await connection.execute(UNPUBLISH, (seq,))
        await connection.execute(FORGET_ACKNOWLEDGED, (SOURCE,))
        return cursor.rowcount


async def prune(connection: Connection, *, age_s: float, rows_kept: int, rows_max: int) -> int:
    """Delete up to `rows_max` rows published longer than `age_s` ago; return how many.

    The newest `rows_kept` rows stay, however old.
    """
    parameters: tuple[Any, ...] = (age_s, rows_kept, rows_max)
    return (await connection.execute(PRUNE, parameters)).rowcount
