import asyncio
from typing import Any

import psycopg
import pytest
from asgi_isr.events import Invalidation
from asgi_isr.testing import eventually
from perfcheck_api import outbox
from perfcheck_api.db import Connection
from perfcheck_api.db import connect as connect_to_database
from perfcheck_chassis.secret import Secret

LAST = "2026-10-30"
VISIBLE = "SELECT array_agg(id ORDER BY id) FROM outbox"
WAITING = """
SELECT count(*) FROM pg_locks
WHERE locktype = 'advisory' AND NOT granted
AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""


def _open(url: str, *, statement_timeout_s: float = 20) -> Any:
    return connect_to_database(Secret(url), name="test", statement_timeout_s=statement_timeout_s)


async def _write(connection: Connection, *reasons: str) -> list[int]:
    events = [Invalidation(tags=("x",), reason=reason) for reason in reasons]
    return [row.source_seq for row in await outbox.append_many(connection, events)]


async def test_ids_are_in_the_order_of_commits(*, schema_url: str, fetch: Any) -> None:
    """Who appends while another has, and has not committed, waits and gets the higher ids."""

    async def other_waits() -> bool:
        return bool(fetch(schema_url, WAITING) == [(1,)])

    async def append_and_commit(connection: Connection) -> list[int]:
        async with connection.transaction():
            return await _write(connection, "second")

    async with _open(schema_url) as one, _open(schema_url) as two:
        async with one.transaction():
            first = await _write(one, "first")
            waiting = asyncio.ensure_future(append_and_commit(two))
            await eventually(other_waits, timeout_s=20)
            first += await _write(one, "after the other came")
            assert fetch(schema_url, VISIBLE) == [(None,)]
        second = await waiting
    assert first[0] < first[1] < second[0]
    assert fetch(schema_url, VISIBLE) == [(first + second,)]


async def test_a_transaction_that_is_rolled_back_lets_the_next_one_append(
    *, schema_url: str, fetch: Any
) -> None:
    """Its rows are never seen, and who waited for it goes on with a higher id."""
    async with _open(schema_url) as one, _open(schema_url) as two:
        async with one.transaction(force_rollback=True):
            undone = await _write(one, "undone")
            waiting = asyncio.ensure_future(_write(two, "kept"))
        kept = await waiting
    assert kept > undone
    assert fetch(schema_url, VISIBLE) == [(kept,)]


async def test_the_wait_for_a_turn_is_bounded(*, schema_url: str, fetch: Any) -> None:
    """Behind a transaction that does not end, an append fails after the connection's limit."""
    async with (
        _open(schema_url) as one,
        _open(schema_url, statement_timeout_s=0.2) as two,
        one.transaction(),
    ):
        first = await _write(one, "holds on")
        with pytest.raises((psycopg.errors.LockNotAvailable, psycopg.errors.QueryCanceled)):
            await _write(two, "in vain")
    assert fetch(schema_url, VISIBLE) == [(first,)]


async def test_a_write_behind_one_that_does_not_end_is_refused(
    *, copy_url: str, open_client: Any, no_nats_url: str, fetch: Any
) -> None:
    """It is answered 503 with the reason and when to try again, and changes nothing."""
    async with (
        open_client(copy_url, nats_url=no_nats_url, statement_timeout_s=0.3) as client,
        _open(copy_url) as one,
    ):
        before = await client.get(f"/days/{LAST}")
        async with one.transaction():
            first = await _write(one, "holds on")
            answers = [
                await client.patch(f"/days/{LAST}", {"rates": {"USD": 2}}),
                await client.post("/invalidations", {"tags": ["x"]}),
            ]
        assert [answer.status for answer in answers] == [503, 503]
        for answer in answers:
            assert int(answer.headers["retry-after"]) >= 1
            assert "took too long" in answer.json()["detail"]
        assert (await client.get(f"/days/{LAST}")).json() == before.json()
    assert fetch(copy_url, VISIBLE) == [(first,)]


_NOW_US = "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint"


async def test_numbers_begin_with_the_time(*, schema_url: str, fetch: Any) -> None:
    """Each statement's numbers are at least the microseconds since 1970, and follow each other."""
    [(before,)] = fetch(schema_url, _NOW_US)
    async with _open(schema_url) as connection:
        first = await _write(connection, "a", "b", "c")
        [(between,)] = fetch(schema_url, _NOW_US)
        second = await _write(connection, "d")
    assert first == list(range(first[0], first[0] + 3))
    assert before < first[0] < between < second[0] < 2**53


@pytest.mark.parametrize(
    "kept",
    ["SELECT setval('outbox_id_seq', 1)", "DELETE FROM outbox"],
    ids=["the table alone", "the sequence alone"],
)
async def test_a_clock_that_was_ahead_repeats_no_number(
    *, schema_url: str, fetch: Any, kept: str
) -> None:
    """When it is right again, numbers count on from the highest one that is known."""
    ahead = 2**52
    fetch(schema_url, f"SELECT setval('outbox_id_seq', {ahead})")
    async with _open(schema_url) as connection:
        assert await _write(connection, "ahead") == [ahead + 1]
        fetch(schema_url, kept)
        assert await _write(connection, "right again") == [ahead + 2]
