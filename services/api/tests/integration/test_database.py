import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import psycopg
import pytest
from asgi_isr.testing import eventually
from perfcheck_api.db import Database, connect
from perfcheck_api.errors import DatabaseUnavailableError, MigrationError
from perfcheck_api.migrations.migrate import Migration, migrate, packaged
from perfcheck_chassis.secret import Secret
from perfcheck_embedded import free_port, servers


async def _migrate(url: str, migrations: list[Migration]) -> list[str]:
    async with connect(Secret(url), name="test", statement_timeout_s=20) as connection:
        return [migration.name for migration in await migrate(connection, migrations)]


async def test_concurrent_migrates_apply_each_file_once(empty_url: str, fetch: Any) -> None:
    """Of several processes that migrate at once one does the work, the others find it done."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(_migrate(empty_url, packaged())) for _ in range(3)]
    names = [migration.name for migration in packaged()]
    assert sorted(task.result() for task in tasks) == [[], [], names]
    assert fetch(empty_url, "SELECT name FROM schema_migrations ORDER BY version") == [
        (name,) for name in names
    ]


async def test_a_changed_file_is_refused(schema_url: str, fetch: Any) -> None:
    """A migration that differs from what was applied stops everything, with its name."""
    changed = [packaged()[0]._replace(sql="SELECT 1"), *packaged()[1:]]
    new = Migration(len(changed) + 1, "new", "CREATE TABLE new ()")
    with pytest.raises(MigrationError, match=r"0001_rates\.sql was changed"):
        await _migrate(schema_url, [*changed, new])
    assert fetch(schema_url, "SELECT to_regclass('new')") == [(None,)]


async def test_a_failing_file_leaves_no_trace(schema_url: str, fetch: Any) -> None:
    """What a migration did before its error is rolled back, and a repaired one is applied."""
    number = len(packaged()) + 1
    broken = Migration(number, "broken", "CREATE TABLE half (); SELECT nonsense")
    with pytest.raises(MigrationError, match=f"{number:04}_broken.sql failed"):
        await _migrate(schema_url, [*packaged(), broken])
    assert fetch(schema_url, "SELECT to_regclass('half')") == [(None,)]
    repaired = broken._replace(sql="CREATE TABLE half ()")
    assert await _migrate(schema_url, [*packaged(), repaired]) == ["broken"]


@asynccontextmanager
async def _readers_blocked(url: str) -> AsyncIterator[None]:
    async with await psycopg.AsyncConnection.connect(url) as connection:
        await connection.execute("LOCK TABLE rates IN ACCESS EXCLUSIVE MODE")
        yield
        await connection.rollback()


async def _until_one_waits(url: str) -> None:
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:

        async def one() -> bool:
            return await (await connection.execute(waiting)).fetchone() == (1,)

        await eventually(one, timeout_s=10)


async def test_an_exhausted_pool_is_a_503(
    full_data: Any, open_client: Any, no_nats_url: str
) -> None:
    """A request that gets no connection in time is told to come back; later ones succeed."""
    async with (
        open_client(
            full_data.url,
            nats_url=no_nats_url,
            pool_size_min=1,
            pool_size_max=1,
            pool_timeout_s=0.1,
        ) as client,
        asyncio.TaskGroup() as group,
    ):
        async with _readers_blocked(full_data.url):
            # The one connection waits for the lock, the second request for the connection.
            blocked = group.create_task(client.get("/years"))
            await _until_one_waits(full_data.url)
            answer = await client.get("/years")
            assert (answer.status, answer.headers["retry-after"]) == (503, "1")
            assert "no database connection became free in time" in answer.json()["detail"]
        assert (await blocked).status == 200
        assert (await client.get("/years")).status == 200


async def test_a_slow_statement_is_ended(
    full_data: Any, open_client: Any, no_nats_url: str
) -> None:
    """PostgreSQL ends a statement at the limit, and the caller is answered 503."""
    async with (
        open_client(full_data.url, nats_url=no_nats_url, statement_timeout_s=0.1) as client,
        _readers_blocked(full_data.url),
    ):
        answer = await client.get("/years")
        assert (answer.status, answer.json()["type"]) == (503, "database-unavailable")
        assert "took too long" in answer.json()["detail"]


async def test_requests_survive_a_restart_of_postgres(open_client: Any, no_nats_url: str) -> None:
    """While PostgreSQL is away: 503 and not ready. Back again: no request fails, even the first."""
    with servers(valkey=False, nats=False) as own:
        await _migrate(own.database_url, packaged())
        async with open_client(
            own.database_url, nats_url=no_nats_url, pool_size_min=3, pool_timeout_s=0.5
        ) as client:
            assert (await client.get("/years")).status == 200
            await own.kill("postgres")
            assert (await client.get("/years")).status == 503
            assert (await client.send("GET", "/health")).status == 503
            await own.restart("postgres")

            async def ready() -> bool:
                return bool((await client.send("GET", "/health")).status == 200)

            await eventually(ready, timeout_s=20, poll_s=0.05)
            answers = [await client.get("/years") for _ in range(6)]
            assert [answer.status for answer in answers] == [200] * 6


async def test_a_restart_between_requests_goes_unnoticed(
    open_client: Any, no_nats_url: str
) -> None:
    """A read whose connection was closed meanwhile runs again on a new one."""
    with servers(valkey=False, nats=False) as own:
        await _migrate(own.database_url, packaged())
        async with open_client(
            own.database_url, nats_url=no_nats_url, pool_size_min=2, pool_size_max=4
        ) as client:
            assert (await client.get("/years")).status == 200
            await own.kill("postgres")
            await own.restart("postgres")
            assert (await client.get("/years")).status == 200


async def test_waiting_for_a_connection_is_bounded() -> None:
    """A database that cannot be reached is an error within the pool's time limit."""
    closed = Secret(f"postgresql://nobody@127.0.0.1:{free_port()}/none")
    database = Database(
        closed, pool_size_min=1, pool_size_max=1, pool_timeout_s=0.2, statement_timeout_s=1
    )
    async with database.opened():
        with pytest.raises(DatabaseUnavailableError, match="became free in time"):
            await database.row("SELECT 1")
