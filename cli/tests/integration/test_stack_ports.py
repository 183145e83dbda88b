"""`perfcheck up` when another program takes one of its ports between choosing and binding."""

import shutil
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from asgi_isr.testing import eventually
from perfcheck import exits
from perfcheck.environment import environ
from perfcheck.stack import status
from perfcheck.stack.processes import running_stack
from perfcheck_embedded import LOOPBACK, Event, free_ports, new_shared_subdirectory

NATS, API = 2, 3  # their places among the ports
RECOVERY_S_MAX = 60.0


@pytest.fixture
def directory() -> Iterator[Path]:
    """Give a place that every account may pass through, as PostgreSQL needs when root runs this."""
    place = new_shared_subdirectory("test-")
    yield place / "state"
    shutil.rmtree(place)


async def test_everything_starts_on_new_ports(directory: Path) -> None:
    """A server's port is taken, then on kept data a service's: all addresses are the new ones."""
    assert await started_anew(directory, NATS) == ["nats"]
    assert await started_anew(directory, API) == ["api"]


async def started_anew(directory: Path, place: int) -> list[str]:
    """Run a stack whose port at `place` is taken at first; return whose port was found taken."""
    chosen: list[list[int]] = []
    events: list[Event] = []
    with ExitStack() as takers:

        def choose(count: int) -> list[int]:
            chosen.append(free_ports(count))
            if len(chosen) == 1:
                takers.enter_context(socket.create_server((LOOPBACK, chosen[0][place])))
            return chosen[-1]

        async def healthy() -> bool:
            return status.exit_code(await status.ask(directory)) == exits.PASS

        async with running_stack(
            directory, environ(), bffs=1, on_event=events.append, choose_ports=choose
        ) as (run, _):
            told = [run.database_url, run.valkey_url, run.nats_url, run.urls.api]
            told += [run.urls.revalidator, *run.urls.bff]
            assert [urlsplit(url).port for url in told] == chosen[1]
            await eventually(healthy, timeout_s=RECOVERY_S_MAX)
    assert len(chosen) == 2
    return [event.name for event in events if "new ports" in event.detail]
