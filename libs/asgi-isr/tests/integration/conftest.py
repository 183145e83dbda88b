"""Real servers for the stores and logs, and each store and log for the contract tests."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import aclosing
from dataclasses import dataclass

import pytest
from asgi_isr.events import STREAM, SUBJECT_PREFIX
from asgi_isr.logs.memory import MemoryLog
from asgi_isr.logs.nats import NatsLog, close, connect, ensure_stream
from asgi_isr.ports import Log, LogMessage, Store, SystemClock
from asgi_isr.stores.memory import MemoryStore
from asgi_isr.stores.redis import RedisStore
from nats.js import JetStreamContext
from nats.js.errors import NotFoundError
from perfcheck_embedded import Servers, servers


@pytest.fixture(scope="session")
def steady_servers() -> Iterator[Servers]:
    """Give one Valkey and one NATS for all tests that do them no harm."""
    with servers(postgres=False) as running:
        yield running


@pytest.fixture
def valkey() -> Iterator[Servers]:
    """Give a Valkey that the test may freeze and kill."""
    with servers(postgres=False, nats=False) as running:
        yield running


@pytest.fixture
def nats_server() -> Iterator[Servers]:
    """Give a NATS that the test may freeze and kill."""
    with servers(postgres=False, valkey=False) as running:
        yield running


@pytest.fixture(params=["memory", "valkey"])
async def store(request: pytest.FixtureRequest) -> AsyncIterator[Store]:
    """Give each store in turn; Valkey with a time limit that a busy machine keeps."""
    if request.param == "memory":
        found: Store = MemoryStore(SystemClock())
    else:
        running: Servers = request.getfixturevalue("steady_servers")
        found = RedisStore(running.valkey_url, timeout_s=5, namespace=f"{request.node.name}:")
    yield found
    await found.close()


@pytest.fixture
async def js(steady_servers: Servers) -> AsyncIterator[JetStreamContext]:
    """Give JetStream on the steady server, without the stream."""
    client = await connect(steady_servers.nats_url, name="test", timeout_s=10)
    context = client.jetstream()
    await drop_stream(context)
    yield context
    await close(client)


async def drop_stream(js: JetStreamContext) -> None:
    """Delete the stream if it is there."""
    try:
        await js.delete_stream(STREAM)
    except NotFoundError:
        return


@dataclass(frozen=True)
class LogCase:
    """A log, and what its port does not offer: appending bytes, and losing everything."""

    log: Log
    append: Callable[[bytes], Awaitable[int]]
    recreate: Callable[[], Awaitable[None]]


@pytest.fixture(params=["memory", "nats"])
async def case(request: pytest.FixtureRequest) -> AsyncIterator[LogCase]:
    """Give each log in turn, empty."""
    if request.param == "memory":
        yield _memory_case()
        return
    running: Servers = request.getfixturevalue("steady_servers")
    client = await connect(running.nats_url, name="test", timeout_s=10)
    context = client.jetstream()
    log = NatsLog(running.nats_url, publish_marks=True, timeout_s=10)

    async def append(body: bytes) -> int:
        return (await context.publish(f"{SUBJECT_PREFIX}.test", body, timeout=10)).seq

    async def recreate() -> None:
        await drop_stream(context)
        await ensure_stream(context)

    await recreate()
    yield LogCase(log, append, recreate)
    await log.close()
    await close(client)


def _memory_case() -> LogCase:
    log = MemoryLog(first_seq=1000)

    async def append(body: bytes) -> int:
        return log.publish(body)

    async def recreate() -> None:
        log.recreate((await log.bounds()).last + 1_000_000)

    return LogCase(log, append, recreate)


@pytest.fixture
def take() -> Callable[[Log, int, int], Awaitable[list[LogMessage]]]:
    """Give a function that reads `count` messages above a position, within 10 s."""

    async def read(log: Log, after: int, count: int) -> list[LogMessage]:
        found: list[LogMessage] = []
        async with asyncio.timeout(10), aclosing(log.read(after)) as batches:
            async for batch in batches:
                found += batch
                if len(found) >= count:
                    break
        return found

    return read
