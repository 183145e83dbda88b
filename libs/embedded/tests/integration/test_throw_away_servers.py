import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import nats as nats_client
import psycopg
import pytest
import redis.asyncio as redis
from asgi_isr.testing import eventually, eventually_sync
from perfcheck_embedded import ProcessFailedError, Servers, servers
from perfcheck_embedded.backends.probes import nats_ready, postgres_ready, valkey_ready


@pytest.fixture(scope="module")
def running() -> Iterator[Servers]:
    """One set for all tests here, though each test has its own event loop."""
    with servers() as started:
        yield started


async def _fetch(url: str, sql: str) -> object:
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        row = await (await connection.execute(sql)).fetchone()
        return row[0] if row else None


async def _expect_lost(connection: psycopg.AsyncConnection, sql: str) -> None:
    with pytest.raises(psycopg.OperationalError, match="server closed the connection"):
        await connection.execute(sql)


def _port(url: str) -> int:
    return int(url.rpartition(":")[2].partition("/")[0])


def _password(url: str) -> str:
    return str(urlsplit(url).password)


async def test_postgres_answers_as_an_ordinary_role(running: Servers) -> None:
    """It is version 18, the role is no superuser, and a wrong password is refused."""
    assert str(await _fetch(running.database_url, "SHOW server_version")).startswith("18.")
    super_user = "SELECT rolsuper FROM pg_roles WHERE rolname = current_user"
    assert await _fetch(running.database_url, super_user) is False
    wrong = f"postgresql://perfcheck:wrong@127.0.0.1:{_port(running.database_url)}/perfcheck"
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        await _fetch(wrong, "SELECT 1")


async def test_postgres_commits_survive_a_kill(running: Servers) -> None:
    """Even throw-away data loses no committed row when the server is killed and restarted."""
    async with await psycopg.AsyncConnection.connect(running.database_url) as connection:
        await connection.execute("CREATE TABLE kept AS SELECT generate_series(1, 100) AS n")
    await running.kill("postgres")
    with pytest.raises(psycopg.OperationalError):
        await _fetch(running.database_url, "SELECT 1")

    await running.restart("postgres")

    assert await _fetch(running.database_url, "SELECT count(*) FROM kept") == 100


async def test_a_busy_backend_ends_with_its_killed_server(
    running: Servers, wait_gone: Callable[..., None]
) -> None:
    """A backend in the middle of a long computation does not outlive the killed server."""
    connection = await psycopg.AsyncConnection.connect(running.database_url)
    backend = connection.info.backend_pid
    busy = "DO $$ BEGIN LOOP END LOOP; END $$"  # never looks whether its server lives
    active = (
        "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE 'DO $$ BEGIN%'"
    )
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(_expect_lost(connection, busy))

        async def is_busy() -> bool:
            return await _fetch(running.database_url, active) == 1

        await eventually(is_busy, timeout_s=20)
        await running.kill("postgres")
        wait_gone({backend}, timeout_s=0.1)
    await connection.close()

    await running.restart("postgres")


async def test_valkey_answers_and_forgets(running: Servers) -> None:
    """Valkey is a cache here: restarted, it is empty."""
    async with redis.Redis.from_url(running.valkey_url) as client:
        assert (await client.info("server"))["valkey_version"].startswith("9.")
        await client.set("key", "value")
        assert await client.get("key") == b"value"

        await running.restart("valkey")

    async with redis.Redis.from_url(running.valkey_url) as client:
        assert await client.get("key") is None


async def test_nats_keeps_acknowledged_messages_over_a_kill(running: Servers) -> None:
    """What JetStream acknowledged is there after kill -9 and a restart on the same port."""
    client = await nats_client.connect(running.nats_url)
    stream = client.jetstream()
    await stream.add_stream(name="KEPT", subjects=["kept.>"])
    for _ in range(20):
        await stream.publish("kept.x", b"body")
    await client.close()
    await running.kill("nats")

    await running.restart("nats")

    client = await nats_client.connect(running.nats_url)
    info = await client.jetstream().stream_info("KEPT")
    assert info.state.messages == 20
    await client.close()


@pytest.mark.parametrize("name", ["postgres", "valkey", "nats"])
async def test_a_paused_server_accepts_and_says_nothing(name: str, running: Servers) -> None:
    """A paused server is the worst neighbour: it can be connected to, and never answers."""
    probe = {
        "postgres": postgres_ready(
            _port(running.database_url), user="perfcheck", database="perfcheck"
        ),
        "valkey": valkey_ready(_port(running.valkey_url), password=_password(running.valkey_url)),
        "nats": nats_ready(
            _port(running.nats_url), user="test", password=_password(running.nats_url)
        ),
    }[name]
    assert await probe()

    await running.pause(name)
    try:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await probe()
    finally:
        await running.resume(name)

    assert await probe()


async def test_only_what_is_asked_for_is_started_and_all_of_it_ends(
    wait_gone: Callable[..., None],
) -> None:
    """Without PostgreSQL and NATS there is one process; afterwards neither it nor its files."""
    async with servers(postgres=False, nats=False) as started:
        pids = started.pids()
        assert (list(pids), started.database_url, started.nats_url) == (["valkey"], "", "")
        assert started.directory.is_dir()

    wait_gone(set(pids.values()), timeout_s=0.1)
    assert not started.directory.exists()


def test_a_server_that_dies_unasked_fails_the_block() -> None:
    """A crash nobody ordered is reported when the servers are left, naming the server."""

    def crash() -> None:
        with servers(postgres=False, nats=False) as started:
            os.kill(started.pids()["valkey"], signal.SIGKILL)
            eventually_sync(lambda: not started.pids(), timeout_s=20)

    with pytest.raises(ProcessFailedError, match=r"valkey: died \(killed by SIGKILL\)"):
        crash()


async def test_an_unknown_name_is_refused(running: Servers) -> None:
    """A misspelt server is named along with those there are."""
    with pytest.raises(ValueError, match="no process 'redis'; there are postgres, valkey, nats"):
        await running.kill("redis")


_PROGRAM = """
import sys, time
from perfcheck_embedded import servers
with servers(postgres=False, nats=False) as started:
    print(started.directory, *started.pids().values(), flush=True)
    time.sleep(600)
"""


def test_servers_of_a_killed_test_run_end_and_leave_no_files(
    wait_gone: Callable[..., None],
) -> None:
    """After kill -9 of the process that used them, servers and directory go by themselves."""
    argv = [sys.executable, "-c", _PROGRAM]
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as program:  # noqa: S603 - our own program
        assert program.stdout is not None
        directory, pid = program.stdout.readline().decode().split()
        program.kill()

    wait_gone({int(pid)})
    eventually_sync(lambda: not Path(directory).exists(), timeout_s=20)
