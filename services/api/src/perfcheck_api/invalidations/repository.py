"""All SQL of the invalidations: idempotency keys, kept with the answer that they got."""

from typing import NamedTuple

from perfcheck_api.db import Connection
from perfcheck_api.outbox import Appended

# A key that is under way is one whose lock somebody holds: the lock ends with the transaction.
TRY_KEY = "SELECT pg_try_advisory_xact_lock(%(key_lock)s)"
KEPT_KEY = """
SELECT body_hash, outbox_id, event_id FROM idempotency_keys
WHERE caller = %(caller)s AND key = %(key)s
AND created_at > now() - make_interval(secs => %(lifetime_s)s)
"""
KEEP_KEY = """
INSERT INTO idempotency_keys AS k (caller, key, body_hash, outbox_id, event_id)
VALUES (%(caller)s, %(key)s, %(body_hash)s, %(outbox_id)s, %(event_id)s)
ON CONFLICT (caller, key) DO UPDATE SET body_hash = excluded.body_hash,
    outbox_id = excluded.outbox_id, event_id = excluded.event_id, created_at = now()
"""
PRUNE_KEYS = """
DELETE FROM idempotency_keys WHERE (caller, key) IN (
    SELECT caller, key FROM idempotency_keys
    WHERE created_at <= now() - make_interval(secs => %(lifetime_s)s)
    ORDER BY created_at LIMIT %(rows_max)s
)
"""


class KeptAnswer(NamedTuple):
    """What a request with an Idempotency-Key did."""

    body_hash: bytes
    appended: Appended


async def try_key(connection: Connection, key_lock: int) -> bool:
    """Take the lock of a key until the transaction ends; return whether it was free."""
    row = await (await connection.execute(TRY_KEY, {"key_lock": key_lock})).fetchone()
    return row is not None and bool(row[0])


async def kept_answer(
    connection: Connection, *, caller: str, key: str, lifetime_s: float
) -> KeptAnswer | None:
    """Return what `caller` did with `key` within `lifetime_s`."""
    parameters = {"caller": caller, "key": key, "lifetime_s": lifetime_s}
    row = await (await connection.execute(KEPT_KEY, parameters)).fetchone()
    return None if row is None else KeptAnswer(row[0], Appended(row[1], row[2]))


async def keep_answer(connection: Connection, *, caller: str, key: str, answer: KeptAnswer) -> None:
    """Keep what `caller` did with `key`."""
    parameters = {
        "caller": caller,
        "key": key,
        "body_hash": answer.body_hash,
        "outbox_id": answer.appended.source_seq,
        "event_id": answer.appended.event_id,
    }
    await connection.execute(KEEP_KEY, parameters)


async def prune_keys(connection: Connection, *, lifetime_s: float, rows_max: int) -> int:
    """Delete up to `rows_max` keys that are older than `lifetime_s`; return how many."""
    bounds = {"lifetime_s": lifetime_s, "rows_max": rows_max}
    return (await connection.execute(PRUNE_KEYS, bounds)).rowcount
