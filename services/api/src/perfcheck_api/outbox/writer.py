"""Appending to the outbox, in the transaction of the change that an event announces."""

from collections.abc import Sequence

from asgi_isr.events import Invalidation, encode

from perfcheck_api.db import Connection
from perfcheck_api.outbox.model import OUTBOX_SUBJECT, Appended, traceparent_from

APPEND_EVENTS_MAX = 1000  # of one statement

# Identities are drawn after the sort, so ids follow the order of the events.
APPEND = """
INSERT INTO outbox (subject, payload, traceparent)
SELECT %s, e.payload, e.traceparent
FROM unnest(%s::text[], %s::bytea[]) WITH ORDINALITY AS e (traceparent, payload, n) ORDER BY e.n
RETURNING id, event_id
"""


async def append(
    connection: Connection, event: Invalidation, *, traceparent: str | None = None
) -> Appended:
    """Write `event` in the caller's transaction. Parameters and errors are `append_many`'s."""
    [appended] = await append_many(connection, [event], traceparents=[traceparent])
    return appended


async def append_many(
    connection: Connection,
    events: Sequence[Invalidation],
    *,
    traceparents: Sequence[str | None] | None = None,
) -> list[Appended]:
    """Write `events` in the caller's transaction, with one statement; return their rows in order.

    Until that transaction ends no other can append. `traceparents` are the headers of the requests
    that wrote them, and travel with them; one of another form is left out, as W3C Trace Context
    wants it (section 3.2).

    Raises:
        asgi_isr.errors.InvalidEventError: if one of them must not be published.
        ValueError: for more than `APPEND_EVENTS_MAX`.

    """
    if len(events) > APPEND_EVENTS_MAX:
        raise ValueError(f"{len(events)} events: append at most {APPEND_EVENTS_MAX} at once")
    payloads = [encode(event) for event in events]
    traced = [traceparent_from(text) for text in traceparents or [None] * len(events)]
    cursor = await connection.execute(APPEND, (OUTBOX_SUBJECT, traced, payloads))
    return sorted(Appended(*row) for row in await cursor.fetchall())
