"""Real servers for the stores and logs, and each store and log for the contract tests."""

import asyncio
import os
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import ExitStack, aclosing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from asgi_isr.events import STREAM, SUBJECT_PREFIX
from asgi_isr.logs.memory import MemoryLog
from asgi_isr.logs.nats import NatsLog, close, connect, ensure_stream
from asgi_isr.ports import Log, LogMessage, Store, SystemClock
from asgi_isr.stores.memory import MemoryStore
from asgi_isr.stores.redis import RedisStore
from asgi_isr.testing import FaultyStore, eventually
from nats.aio.client import Client
from nats.js import JetStreamContext
from nats.js.errors import NotFoundError
from perfcheck_embedded import Servers, servers


@pytest.fixture(scope="session")
def steady_servers() -> Iterator[Servers]:
    """Give one Valkey and one NATS for all tests that do them no harm."""
    with servers(postgres=False) as running:
        yield running


@contextmanager
def redis_servers() -> Iterator[Servers]:
    """Run Redis in the place of Valkey; without `redis-server` the test is skipped.

    Where `ASGI_ISR_REQUIRE_REDIS` is 1, as in CI after it was installed, it fails instead.
    """
    if shutil.which("redis-server") is None:
        reason = "no redis-server on PATH (Debian: apt-get install redis-server)"
        if os.environ.get("ASGI_ISR_REQUIRE_REDIS") == "1":  # noqa: TID251  read here alone
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)
    with ExitStack() as stack:
        with pytest.MonkeyPatch.context() as environment:
            environment.setenv("PERFCHECK_VALKEY_SERVER", "redis-server")
            running = stack.enter_context(servers(postgres=False, nats=False))
        yield running


@pytest.fixture(scope="session")
def steady_redis() -> Iterator[Servers]:
    """Give one Redis for all tests that do it no harm."""
    with redis_servers() as running:
        yield running


@pytest.fixture(params=["valkey", "redis"])
def store_server(request: pytest.FixtureRequest) -> Iterator[Servers]:
    """Give a Valkey, then a Redis, that the test may freeze and kill under the name `valkey`."""
    with (
        redis_servers() if request.param == "redis" else servers(postgres=False, nats=False)
    ) as running:
        yield running


@pytest.fixture
def nats_server() -> Iterator[Servers]:
    """Give a NATS that the test may freeze and kill."""
    with servers(postgres=False, valkey=False) as running:
        yield running


@pytest.fixture(params=["memory", "faulty", "valkey", "redis"])
async def store(request: pytest.FixtureRequest) -> AsyncIterator[Store]:
    """Give each store in turn; a server's with a time limit that a busy machine keeps."""
    found: Store = MemoryStore(SystemClock())
    if request.param == "faulty":
        found = FaultyStore(found)  # without a fault it is as good as what it wraps
    elif request.param != "memory":
        name = "steady_servers" if request.param == "valkey" else "steady_redis"
        running: Servers = request.getfixturevalue(name)
        found = RedisStore(running.valkey_url, timeout_s=5, namespace=f"{request.node.name}:")
    yield found
    await found.close()


@pytest.fixture
async def new_client() -> AsyncIterator[Callable[[str], Awaitable[Client]]]:
    """Give a function that connects to a NATS; the connections are closed after the test."""
    opened: list[Client] = []

    async def open_client(url: str) -> Client:
        opened.append(await connect(url, name="test", timeout_s=10))
        return opened[-1]

    yield open_client
    for client in opened:
        await close(client)


@pytest.fixture
async def new_log() -> AsyncIterator[Callable[..., NatsLog]]:
    """Give a function that makes a `NatsLog`; the logs are closed after the test."""
    opened: list[NatsLog] = []

    def open_log(*args: Any, **options: Any) -> NatsLog:
        opened.append(NatsLog(*args, **options))
        return opened[-1]

    yield open_log
    for log in opened:
        await log.close()


@pytest.fixture
async def new_store() -> AsyncIterator[Callable[..., RedisStore]]:
    """Give a function that makes a `RedisStore`, patient unless told; closed after the test."""
    opened: list[RedisStore] = []

    def open_store(url: str, *, timeout_s: float = 5, **options: Any) -> RedisStore:
        opened.append(RedisStore(url, timeout_s=timeout_s, **options))
        return opened[-1]

    yield open_store
    for store in opened:
        await store.close()


@pytest.fixture
async def js(
    steady_servers: Servers, new_client: Callable[[str], Awaitable[Client]]
) -> JetStreamContext:
    """Give JetStream on the steady server, without the stream."""
    context = (await new_client(steady_servers.nats_url)).jetstream()
    await drop_stream(context)
    return context


@pytest.fixture
def freeze() -> Callable[[Servers, str], Awaitable[None]]:
    """Give a function that freezes a server and returns when each of its threads stands still."""

    async def pause(running: Servers, name: str) -> None:
        await running.pause(name)
        threads = Path(f"/proc/{running.pids()[name]}/task")
        await eventually(
            lambda: {_state(thread) for thread in threads.iterdir()} == {"T"}, timeout_s=5
        )

    return pause


def _state(thread: Path) -> str:
    # "pid (name) state ...", and the name may hold anything.
    return (thread / "stat").read_text().rpartition(")")[2].split()[0]


async def drop_stream(js: JetStreamContext) -> None:
    """Delete the stream if it is there."""
    try:
        await js.delete_stream(STREAM)
    except NotFoundError:
        return


@pytest.fixture
def drop_stream_of() -> Callable[[str], None]:
    """Give a function that deletes the stream of a server, in an event loop of its own."""

    async def drop(url: str) -> None:
        client = await connect(url, name="test")
        await drop_stream(client.jetstream())
        await close(client)

    return lambda url: asyncio.run(drop(url))


@dataclass(frozen=True)
class LogCase:
    """A log, and what its port does not offer: appending bytes, and losing everything."""

    log: Log
    append: Callable[[bytes], Awaitable[int]]
    recreate: Callable[[], Awaitable[None]]


@pytest.fixture(params=["memory", "nats"])
async def case(
    request: pytest.FixtureRequest,
    new_client: Callable[[str], Awaitable[Client]],
    new_log: Callable[..., NatsLog],
) -> LogCase:
    """Give each log in turn, empty."""
    if request.param == "memory":
        return _memory_case()
    running: Servers = request.getfixturevalue("steady_servers")
    context = (await new_client(running.nats_url)).jetstream()
    log = new_log(running.nats_url, publish_marks=True, timeout_s=10)

    async def append(body: bytes) -> int:
        return (await context.publish(f"{SUBJECT_PREFIX}.test", body, timeout=10)).seq

    async def recreate() -> None:
        await drop_stream(context)
        await ensure_stream(context)

    await recreate()
    return LogCase(log, append, recreate)


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
