"""All SQL of the receipts: one, a page of a list, merging and pruning."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Any, TypeAlias

import msgspec
from perfcheck_contracts import Receipt

from perfcheck_api.db import Connection, Database
from perfcheck_api.receipts.model import FIRST, Position, ReceiptFilter

# Idempotency keys are pruned with the receipts, under one lock; they are another feature's.
PruneKeys: TypeAlias = Callable[[Connection], Awaitable[int]]

_COLUMNS = (
    "event_id, at, source, stage::text, event, seq, committed_at, published_at, applied, warmed,"
    " cdn, dead"
)
# A publisher chooses the ids of its events, also one that another has. The plain id is the key of a
# receipt that was written with its event in the outbox; of any other event the key is the id, a
# space, and the source, so that nobody can write into a receipt but of its own source. An id has no
# space, which is less than all that it has, so keys of one id stand together, the plain one first.
RECEIPT = f"""
SELECT {_COLUMNS} FROM receipts
WHERE event_id >= %(id)s AND event_id < %(id)s || '!'
AND (%(source)s::text IS NULL OR source = %(source)s)
ORDER BY event_id LIMIT 1
"""  # noqa: S608  ours

# A page is found by walking an index from the cursor on, past rows that do not fit. The walk is
# bounded: an index for each filter would cost every event more than lists are worth.
_WALK = """
    SELECT * FROM receipts
    WHERE {narrowed} (at, event_id) < (%(at)s, %(id)s) AND at >= %(since)s
    ORDER BY at DESC, event_id DESC
"""
_LIST = f"""
SELECT {_COLUMNS} FROM ({_WALK} LIMIT %(walked_max)s) AS walked
WHERE (%(source)s::text IS NULL OR source = %(source)s)
AND (%(stage)s::receipt_stage IS NULL OR stage = %(stage)s)
AND (%(tag)s::text IS NULL OR jsonb_exists(event -> 'tags', %(tag)s))
ORDER BY at DESC, event_id DESC LIMIT %(limit)s
"""  # noqa: S608  ours
_WALKS_END = f"SELECT at, event_id FROM ({_WALK} OFFSET %(walked_max)s - 1 LIMIT 1) AS walked"  # noqa: S608  ours
_OF_SOURCE = "source = %(source)s AND"
_OF_DEAD = "dead <> '' AND"

LIST = _LIST.format(narrowed="")
LIST_OF_SOURCE = _LIST.format(narrowed=_OF_SOURCE)
LIST_DEAD = _LIST.format(narrowed=_OF_DEAD)
# Where a walk ended that found less than a page.
END_OF_LIST = _WALKS_END.format(narrowed="")
END_OF_SOURCE = _WALKS_END.format(narrowed=_OF_SOURCE)
END_DEAD = _WALKS_END.format(narrowed=_OF_DEAD)

# Parts never erase each other, whatever their order and however often they come. 'dead' wins until
# the letter was retried; of deaths and retries the one counts that the broker took later. Of two
# sequences the higher counts: the log lost the event, and got it again. Rows are taken in the order
# of their keys, so that two who merge the same wait for each other instead of for ever.
MERGE = """
INSERT INTO receipts AS r (event_id, source, stage, event, seq, committed_at, published_at,
    applied, warmed, cdn, dead, ended_at)
SELECT coalesce(
        (SELECT o.event_id FROM receipts o WHERE o.event_id = g.id AND o.source = g.source),
        g.id || ' ' || g.source
    ) AS key,
    g.source, g.stage, g.event, g.seq, g.committed_at, g.published_at,
    g.applied, g.warmed, merged_purges('[]', g.cdn), g.dead, g.ended_at
FROM jsonb_to_recordset(%(parts)s::jsonb) AS g (id text, source text, stage receipt_stage,
    event jsonb, seq bigint, committed_at timestamptz, published_at timestamptz, applied jsonb,
    warmed jsonb, cdn jsonb, dead text, ended_at timestamptz)
ORDER BY key
ON CONFLICT (event_id) DO UPDATE SET
    stage = CASE
        WHEN excluded.ended_at >= coalesce(r.ended_at, '-infinity') THEN excluded.stage
        WHEN r.ended_at IS NOT NULL THEN r.stage
        ELSE greatest(r.stage, excluded.stage) END,
    event = CASE WHEN r.event = '{}' THEN excluded.event ELSE r.event END,
    seq = greatest(r.seq, excluded.seq),
    committed_at = coalesce(r.committed_at, excluded.committed_at),
    published_at = greatest(r.published_at, excluded.published_at),
    applied = fuller(r.applied, excluded.applied, 'instances'),
    warmed = fuller(r.warmed, excluded.warmed, 'pages'),
    cdn = CASE WHEN excluded.cdn = '[]' THEN r.cdn ELSE merged_purges(r.cdn, excluded.cdn) END,
    dead = CASE
        WHEN excluded.ended_at >= coalesce(r.ended_at, '-infinity') THEN excluded.dead
        ELSE r.dead END,
    ended_at = greatest(r.ended_at, excluded.ended_at)
"""

TRY_PRUNE = "SELECT pg_try_advisory_xact_lock(%(prune_lock)s)"
PRUNE_RECEIPTS = """
WITH cutoff AS (
    SELECT greatest(
        now() - make_interval(secs => %(age_s)s),
        (SELECT at FROM receipts ORDER BY at DESC OFFSET %(rows_kept)s LIMIT 1)
    ) AS at
)
DELETE FROM receipts WHERE event_id = ANY (ARRAY(
    SELECT event_id FROM receipts WHERE at <= (SELECT at FROM cutoff) ORDER BY at
    LIMIT %(rows_max)s
))
"""


async def receipt(database: Database, event_id: str, source: str | None) -> Receipt | None:
    """Return one receipt, or None; without a `source` that of the outbox comes before others."""
    row = await database.row(RECEIPT, {"id": event_id, "source": source})
    return None if row is None else _receipt(row)


async def receipts(
    database: Database, wanted: ReceiptFilter, *, walked_max: int
) -> tuple[list[Receipt], Position | None]:
    """Return a page of receipts, newest first, and the position from which to go on, if any."""
    page, end = LIST, END_OF_LIST
    if wanted.stage == "dead":
        page, end = LIST_DEAD, END_DEAD
    elif wanted.source is not None:
        page, end = LIST_OF_SOURCE, END_OF_SOURCE
    after = wanted.after or Position(wanted.until or FIRST.at, FIRST.id)
    parameters = {
        "source": wanted.source,
        "stage": wanted.stage,
        "tag": wanted.tag,
        "since": wanted.since or datetime.min.replace(tzinfo=FIRST.at.tzinfo),
        "at": after.at,
        "id": after.id,
        "limit": wanted.limit,
        "walked_max": walked_max,
    }
    rows = await database.rows(page, parameters)
    found = [_receipt(row) for row in rows]
    if len(rows) == wanted.limit:
        return found, Position(rows[-1][1], rows[-1][0])
    last = await database.row(end, parameters)
    return found, None if last is None else Position(*last)


def _receipt(row: Sequence[Any]) -> Receipt:
    event_id, _, source, stage, event, seq, committed, published, applied, warmed, cdn, dead = row
    return msgspec.convert(
        {
            "id": event_id.partition(" ")[0],
            "source": source,
            "stage": stage,
            **{name: event[name] for name in ("tags", "paths", "mode", "reason") if name in event},
            "seq": seq,
            "committed_at": committed,
            "published_at": published,
            "applied": applied,
            "warmed": warmed,
            "cdn": cdn,
            "dead": dead,
        },
        Receipt,
    )


async def merge(connection: Connection, parts: bytes) -> None:
    """Put receipts, whole or in part, to what is known; `parts` has each event once (see `model`).

    Raises `psycopg.DataError` (alias `DataError`) when PostgreSQL cannot hold one of them.
    """
    await connection.execute(MERGE, {"parts": parts.decode()})


async def prune(
    connection: Connection,
    *,
    prune_lock: int,
    age_s: float,
    rows_kept: int,
    rows_max: int,
    prune_keys: PruneKeys,
) -> int:
    """Delete up to `rows_max` old receipts, and what `prune_keys` does, unless another is at it.

    Receipts go that are older than `age_s`, or beyond the newest `rows_kept`. Returns how many rows
    went of the table that lost most.
    """
    async with connection.transaction():
        cursor = await connection.execute(TRY_PRUNE, {"prune_lock": prune_lock})
        row = await cursor.fetchone()
        if row is None or not row[0]:
            return 0
        bounds = {"age_s": age_s, "rows_kept": rows_kept, "rows_max": rows_max}
        gone = (await connection.execute(PRUNE_RECEIPTS, bounds)).rowcount
        return max(gone, await prune_keys(connection))
