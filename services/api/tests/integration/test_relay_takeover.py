"""Two processes of the service on one outbox; the one that publishes dies or stands still."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
from asgi_isr.events import SEQUENCE_HEADER, STREAM, Invalidation
from asgi_isr.testing import eventually
from nats.js import JetStreamContext
from perfcheck_api import outbox
from perfcheck_api.db import connect as connect_to_database
from perfcheck_api.outbox.model import OUTBOX_SUBJECT
from perfcheck_chassis.secret import Secret
from perfcheck_embedded import Servers, free_port

ROWS = "SELECT id, event_id::text, seq FROM outbox ORDER BY id"
ENDLESS_S = 30  # who takes so long never takes over


class Instance:
    """A process of the service, with its worker in a process group of its own."""

    def __init__(self, folder: Path, name: str, database_url: str, nats_url: str) -> None:
        self._port = free_port()
        environ = {
            "PATH": os.defpath,
            "PERFCHECK_DATABASE_URL": database_url,
            "PERFCHECK_NATS_URL": nats_url,
            "PERFCHECK_TOKEN_KEY": "a key that only this test knows, of 32 bytes and more",
            "PERFCHECK_HOST": "127.0.0.1",
            "PERFCHECK_PORT": str(self._port),
            "PERFCHECK_INSTANCE_ID": name,
        }
        self._log = (folder / f"{name}.log").open("wb")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "perfcheck_api"],
            env=environ,
            stdout=self._log,
            stderr=self._log,
            start_new_session=True,
        )

    def signal(self, number: int) -> None:
        """Send a signal to all of it."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)

    def close(self) -> None:
        """Kill what is left of it."""
        self.signal(signal.SIGKILL)
        self._process.wait(timeout=10)
        self._log.close()

    async def metrics(self) -> list[str] | None:
        """Return the lines of its metrics, None while it does not answer."""
        return await asyncio.to_thread(self._get)

    async def up(self) -> bool:
        """Whether it answers."""
        return await self.metrics() is not None

    async def active(self) -> bool:
        """Whether it says that it is the one that publishes."""
        return "perfcheck_relay_active 1.0" in (await self.metrics() or [])

    def _get(self) -> list[str] | None:
        connection = HTTPConnection("127.0.0.1", self._port, timeout=5)
        try:
            connection.request("GET", "/metrics")
            return connection.getresponse().read().decode().splitlines()
        except OSError:
            return None
        finally:
            connection.close()


@pytest.fixture
def instance(
    tmp_path: Path, schema_url: str, running: Servers
) -> Iterator[Callable[[str], Instance]]:
    """Give a function that starts a process of the service by name; all are killed at the end."""
    started: list[Instance] = []

    def start(name: str) -> Instance:
        started.append(Instance(tmp_path, name, schema_url, running.nats_urls["api"]))
        return started[-1]

    yield start
    for one in started:
        one.close()


async def _write_until(url: str, stop: asyncio.Event) -> None:
    """Append about a hundred rows a second."""
    async with connect_to_database(
        Secret(url), name="test", statement_timeout_s=ENDLESS_S
    ) as connection:
        while not stop.is_set():
            await outbox.append(connection, Invalidation(tags=("x",)))
            with suppress(TimeoutError):
                async with asyncio.timeout(0.01):
                    await stop.wait()


async def _next_row(js: JetStreamContext) -> None:
    """Wait until the log has grown."""
    end = (await js.stream_info(STREAM)).state.last_seq

    async def grown() -> bool:
        return bool((await js.stream_info(STREAM)).state.last_seq > end)

    await eventually(grown, timeout_s=ENDLESS_S)


async def _check(js: JetStreamContext, start: int, rows: list[tuple[int, str, int]]) -> None:
    """Assert that the log has each row once, in order, and true numbers."""
    last = (await js.stream_info(STREAM)).state.last_seq
    identities: list[str] = []
    number_of = {identity: number for number, identity, _ in rows}
    reached = 0
    for seq in range(start, last + 1):
        message = await js.get_msg(STREAM, seq=seq)
        headers = message.headers or {}
        if message.subject == OUTBOX_SUBJECT:
            identities.append(headers["ce-id"])
            reached = number_of[identities[-1]]
        assert int(headers[SEQUENCE_HEADER]) <= reached
    assert identities == [identity for _, identity, _ in rows]


async def _two(instance: Callable[[str], Instance]) -> tuple[Instance, Instance]:
    """Return the one that publishes and one that stands by."""
    one = instance("one")
    await eventually(one.active, timeout_s=ENDLESS_S)
    two = instance("two")

    await eventually(two.up, timeout_s=ENDLESS_S)
    return one, two


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "frozen"])
async def test_a_standby_takes_over(
    *,
    instance: Any,
    schema_url: str,
    js: JetStreamContext,
    fetch: Any,
    all_published: Any,
    number: int,
) -> None:
    """Nothing is lost, order is kept, and one that thaws stands by and disturbs nobody."""
    first, second = await _two(instance)
    start = (await js.stream_info(STREAM)).state.last_seq + 1
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(_write_until(schema_url, stop))
        await _next_row(js)
        assert not await second.active()
        first.signal(number)
        await eventually(second.active, timeout_s=ENDLESS_S)
        await _next_row(js)
        if number == signal.SIGSTOP:
            first.signal(signal.SIGCONT)

            async def stands_by() -> bool:
                return not await first.active()

            await eventually(stands_by, timeout_s=ENDLESS_S)
            await _next_row(js)
            assert await second.active()
        stop.set()
    await all_published(schema_url)
    await _check(js, start, fetch(schema_url, ROWS))
