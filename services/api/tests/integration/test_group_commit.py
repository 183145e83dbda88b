"""Group commit on real PostgreSQL: who shares a transaction, and what one does to the others."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import psycopg
from asgi_isr.errors import InvalidEventError
from asgi_isr.events import Invalidation
from asgi_isr.testing import eventually
from perfcheck_api.db import Database
from perfcheck_api.errors import DatabaseUnavailableError
from perfcheck_api.invalidations.group_commit import GroupCommit
from perfcheck_chassis.secret import Secret

LOCK = b"LOCK TABLE outbox IN ACCESS EXCLUSIVE MODE"
ROWS = "SELECT id, xmin::text FROM outbox ORDER BY id"


@asynccontextmanager
async def _running(
    url: str, *, waiting_max: int = 1000, statement_timeout_s: float = 10
) -> AsyncIterator[GroupCommit]:
    database = Database(
        Secret(url), pool_size_min=1, pool_size_max=2, pool_timeout_s=5,
        statement_timeout_s=statement_timeout_s,
    )  # fmt: skip
    async with database.opened(), asyncio.TaskGroup() as group:
        commits = GroupCommit(database, waiting_max=waiting_max)
        task = group.create_task(commits.run())
        yield commits
        task.cancel()


async def _blocked(url: str) -> None:
    """Wait until somebody waits for a lock in this database."""
    sql = b"SELECT 1 FROM pg_locks JOIN pg_database d ON d.oid = database WHERE NOT granted"
    sql += b" AND d.datname = current_database()"
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:

        async def somebody() -> bool:
            return await (await connection.execute(sql)).fetchone() is not None

        await eventually(somebody, timeout_s=10)


def _named(number: int) -> Invalidation:
    return Invalidation(tags=(f"t{number}",))


async def test_what_waits_meanwhile_is_committed_together(schema_url: str, fetch: Any) -> None:
    """The first goes alone, those that come while it commits share the next transaction."""
    async with (
        _running(schema_url) as commits,
        await psycopg.AsyncConnection.connect(schema_url) as blocker,
        asyncio.TaskGroup() as group,
    ):
        await blocker.execute(LOCK)
        tasks = [group.create_task(commits.append(_named(0)))]
        await _blocked(schema_url)
        tasks += [group.create_task(commits.append(_named(number))) for number in range(1, 21)]
        given_up = group.create_task(commits.append(_named(99)))
        await asyncio.sleep(0)
        given_up.cancel()
        await blocker.rollback()
    rows = fetch(schema_url, ROWS)
    assert [task.result().source_seq for task in tasks] == [number for number, _ in rows]
    assert [xmin for _, xmin in rows[1:]] == [rows[1][1]] * 20
    assert rows[0][1] != rows[1][1]


async def test_a_bad_event_harms_no_other(schema_url: str, fetch: Any) -> None:
    """Only whoever published what cannot be stored learns of it."""
    async with _running(schema_url) as commits:
        first, bad, last = await asyncio.gather(
            commits.append(_named(1)),
            commits.append(Invalidation(tags=("a b",))),
            commits.append(_named(2)),
            return_exceptions=True,
        )
    assert isinstance(bad, InvalidEventError)
    assert not isinstance(first, BaseException)
    assert not isinstance(last, BaseException)
    assert [first.source_seq, last.source_seq] == [number for number, _ in fetch(schema_url, ROWS)]


async def test_all_of_a_group_learn_that_the_database_is_away(schema_url: str, fetch: Any) -> None:
    """Nobody waits for ever, nothing is written, and beyond the bound nobody waits at all."""
    async with (
        _running(schema_url, waiting_max=3, statement_timeout_s=0.3) as commits,
        await psycopg.AsyncConnection.connect(schema_url) as blocker,
    ):
        await blocker.execute(LOCK)
        outcomes = await asyncio.gather(
            *(commits.append(_named(number)) for number in range(5)), return_exceptions=True
        )
        assert {type(outcome) for outcome in outcomes} == {DatabaseUnavailableError}
        await blocker.rollback()
        assert fetch(schema_url, ROWS) == []
        assert (await commits.append(_named(9))).source_seq > 0
