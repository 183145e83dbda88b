"""One render in the fleet: instances in processes of their own, over real NATS and Valkey."""

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import msgspec
import pytest
from asgi_isr import Invalidation
from asgi_isr.logs.nats import NatsLog
from asgi_isr.stores.redis import RedisStore
from asgi_isr.testing import eventually
from perfcheck_embedded import Servers, servers
from redis.asyncio import Redis

PROGRAM = Path(__file__).with_name("fleet_instance.py")
ANSWER_S_MAX = 30.0  # who takes so long has no time limit
CLIENTS = 32  # of each instance
LOCK = "isr:lock::test/page"


class Instance:
    """One process of the fleet."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    def tell(self, do: str, **arguments: Any) -> None:
        """Send a command."""
        assert self.process.stdin is not None
        self.process.stdin.write(msgspec.json.encode({"do": do, **arguments}) + b"\n")

    async def answer(self) -> dict[str, Any]:
        """Return the next answer."""
        assert self.process.stdout is not None
        async with asyncio.timeout(ANSWER_S_MAX):
            return dict(msgspec.json.decode(await self.process.stdout.readline()))

    async def call(self, do: str, **arguments: Any) -> dict[str, Any]:
        """Send a command and return its answer."""
        self.tell(do, **arguments)
        return await self.answer()

    async def end(self) -> None:
        """Let it end in order; kill it if it does not."""
        assert self.process.stdin is not None
        if self.process.returncode is None:
            self.process.stdin.close()
            try:
                async with asyncio.timeout(5):
                    await self.process.wait()
            except TimeoutError:
                self.process.kill()
        await self.process.wait()


Start = Callable[..., Awaitable[Instance]]


@pytest.fixture
def fleet_servers() -> Iterator[Servers]:
    """Give a NATS and a Valkey of this test's own."""
    with servers(postgres=False) as running:
        yield running


@pytest.fixture
async def start(fleet_servers: Servers) -> AsyncIterator[Start]:
    """Give a function that starts an instance and returns when it has joined."""
    async with AsyncExitStack() as stack:

        async def start_one(*, render_s: float = 0.1, **settings: Any) -> Instance:
            fleet = {
                "nats_url": fleet_servers.nats_url,
                "valkey_url": fleet_servers.valkey_url,
                "render_s": render_s,
                # A busy machine must not look like a failing store where none is meant.
                "settings": {"store_timeout_s": 2.0, "lock_wait_s": 10.0, **settings},
            }
            process = await asyncio.create_subprocess_exec(
                sys.executable, str(PROGRAM), msgspec.json.encode(fleet).decode(),
                stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
            )  # fmt: skip
            instance = Instance(process)
            stack.push_async_callback(instance.end)
            assert await instance.answer() == {"ready": True}
            return instance

        yield start_one


@pytest.fixture
async def log(fleet_servers: Servers) -> AsyncIterator[NatsLog]:
    """Give the writers' side of the log."""
    found = NatsLog(fleet_servers.nats_url, publish_marks=True, timeout_s=10)
    yield found
    await found.close()


async def change(log: NatsLog, *instances: Instance) -> None:
    """Publish a hard invalidation; return when each instance has applied it."""
    position = await log.publish(Invalidation(paths=("/page",)))
    for instance in instances:
        assert await instance.call("wait", position=position) == {"reached": True}


async def ask_all(*instances: Instance) -> list[dict[str, Any]]:
    """Let all clients of all instances ask at once."""
    for instance in instances:
        instance.tell("ask", count=CLIENTS)
    return [await instance.answer() for instance in instances]


async def renders(*instances: Instance) -> int:
    """Return how often the fleet has rendered."""
    return sum([(await instance.call("count"))["renders"] for instance in instances])


async def test_one_render_for_each_version(start: Start, log: NatsLog) -> None:
    """64 clients over two instances after a hard event: one render, and all get its page."""
    one, two = await start(), await start()
    before: list[str] = []
    for version in range(1, 6):
        await change(log, one, two)
        answers = await ask_all(one, two)
        assert [answer["statuses"] for answer in answers] == [[200], [200]]
        assert answers[0]["bodies"] == answers[1]["bodies"] != before
        assert len(answers[0]["bodies"]) == 1
        before = answers[0]["bodies"]
        assert await renders(one, two) == version


async def test_one_render_in_each_instance_without_the_store(
    fleet_servers: Servers, start: Start, log: NatsLog
) -> None:
    """With the store down an event costs one render in each process, and nobody an error."""
    one, two = await start(), await start()
    await ask_all(one, two)
    assert await renders(one, two) == 1
    await fleet_servers.kill("valkey")
    await change(log, one, two)
    answers = await ask_all(one, two)
    assert [(answer["statuses"], len(answer["bodies"])) for answer in answers] == [([200], 1)] * 2
    assert await renders(one, two) == 3
    assert (await one.call("count"))["store"] > 0


@pytest.mark.parametrize(
    ("lock_ttl_s", "lock_wait_s"), [(1.0, 60.0), (60.0, 1.0)], ids=["lock ends", "wait ends"]
)
async def test_killed_holder_of_the_lock(
    start: Start, lock_ttl_s: float, lock_wait_s: float
) -> None:
    """When the instance that renders for all is killed, others wait a bounded time, then render."""
    terms = {"lock_ttl_s": lock_ttl_s, "lock_wait_s": lock_wait_s}
    dying, other = await start(**terms), await start(**terms)
    assert await dying.call("hold") == {"rendering": True}
    dying.process.kill()
    await dying.process.wait()
    answer = await other.call("ask", count=CLIENTS)
    assert answer["statuses"] == [200]
    assert answer["took_s"] > 0.3
    assert await renders(other) == 1


async def test_lock_of_another_is_not_released(fleet_servers: Servers, start: Start) -> None:
    """An instance whose render outlived its lock leaves the lock to the one that took it since."""
    slow = await start(lock_ttl_s=0.3, render_s=0.0)
    store = RedisStore(fleet_servers.valkey_url, timeout_s=5)
    assert await slow.call("hold") == {"rendering": True}
    await eventually(lambda: store.lock(LOCK, "another", ttl_s=60), timeout_s=ANSWER_S_MAX)
    slow.tell("release")
    assert (await slow.answer())["statuses"] == [200]
    # It stores the page, then gives back its lock: each is a script that this server learns.
    admin = Redis.from_url(fleet_servers.valkey_url)

    async def asked_twice() -> bool:
        return bool((await admin.info("commandstats")).get("cmdstat_eval", {}).get("calls") == 2)

    await eventually(asked_twice, timeout_s=ANSWER_S_MAX)
    await admin.aclose()
    assert not await store.lock(LOCK, "third", ttl_s=60)
    await store.close()
