"""All SQL of bulk loading."""

from collections.abc import Iterable

from perfcheck_api.db import Connection
from perfcheck_api.ingest.source import Quote
from perfcheck_api.locks import RATES_LOCK

LOCK_WRITERS = "SELECT pg_advisory_xact_lock(%s)"
KNOWN_CODES = "SELECT code FROM currencies"

STAGE = """
CREATE TEMPORARY TABLE stage (currency text NOT NULL, day date NOT NULL, rate numeric NOT NULL)
ON COMMIT DROP
"""
COPY = "COPY stage (currency, day, rate) FROM STDIN"

# Untouched rows are left alone: loading the same file again writes nothing. `xmax` is zero in a row
# that was inserted. The order is that of the primary key, which then grows at its end.
UPSERT = """
WITH written AS (
    INSERT INTO rates AS r (currency, day, rate)
    SELECT currency, day, rate FROM stage ORDER BY currency, day
    ON CONFLICT (currency, day) DO UPDATE SET rate = excluded.rate
    WHERE r.rate IS DISTINCT FROM excluded.rate
    RETURNING xmax = 0 AS fresh
)
SELECT count(*) FILTER (WHERE fresh), count(*) FILTER (WHERE NOT fresh) FROM written
"""

# Fresh statistics for good plans, and a visibility map for scans of the index alone.
SETTLE = "VACUUM (ANALYZE) rates"
HAS_RATES = "SELECT EXISTS (SELECT FROM rates)"

_CHUNK_ROWS = 5000


async def has_rates(connection: Connection) -> bool:
    """Return whether any rate is there."""
    row = await (await connection.execute(HAS_RATES)).fetchone()
    return row is not None and bool(row[0])


async def known_codes(connection: Connection) -> frozenset[str]:
    """Return the codes of all currencies that may have rates."""
    cursor = await connection.execute(KNOWN_CODES)
    return frozenset(row[0] for row in await cursor.fetchall())


async def lock_writers(connection: Connection) -> None:
    """Keep other transactions from changing rates until this one ends; wait for those that do."""
    await connection.execute(LOCK_WRITERS, (RATES_LOCK,))


async def upsert(connection: Connection, quotes: Iterable[Quote]) -> tuple[int, int]:
    """Write `quotes` in the caller's transaction; return how many were inserted and changed."""
    await connection.execute(STAGE)
    async with connection.cursor() as cursor:
        async with cursor.copy(COPY) as copy:
            lines: list[str] = []
            for quote in quotes:
                # Nothing to escape: code, date and number hold no tab, backslash or line end.
                lines.append(f"{quote.currency}\t{quote.day}\t{quote.rate}\n")
                if len(lines) >= _CHUNK_ROWS:
                    await copy.write("".join(lines))
                    lines.clear()
            await copy.write("".join(lines))
        await cursor.execute(UPSERT)
        row = await cursor.fetchone()
    return (row[0], row[1]) if row is not None else (0, 0)


async def settle(connection: Connection) -> None:
    """Let the first queries after a load be as fast as later ones; outside of a transaction."""
    await connection.execute(SETTLE)
