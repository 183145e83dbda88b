"""Read your writes over real NATS and Valkey, with one of two instances cut off from events."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, aclosing

import pytest
from asgi_isr import CacheMiddleware, CacheSettings, PageCache
from asgi_isr.events import (
    MARK_SUBJECT_PREFIX,
    SEQUENCE_HEADER,
    Invalidation,
    encode,
    mark_body,
    subject_of,
)
from asgi_isr.logs.nats import NatsLog, ensure_stream
from asgi_isr.ports import LogMessage
from asgi_isr.stores.redis import RedisStore
from asgi_isr.testing import RecordingApp, Reply, eventually, ready, request
from nats.js import JetStreamContext
from perfcheck_embedded import Servers

SOURCE = "shop"
PAGE = "/page"
OLD, NEW = b"page /page", b"new"


class HeldLog(NatsLog):
    """A log whose events do not come while `gate` is not set: a frozen link."""

    def __init__(self, url: str) -> None:
        super().__init__(url, publish_marks=True, timeout_s=5)
        self.gate = asyncio.Event()
        self.gate.set()

    async def read(self, after: int) -> AsyncGenerator[Sequence[LogMessage], None]:
        """Yield what comes, once the gate is open."""
        async with aclosing(super().read(after)) as batches:
            async for batch in batches:
                await self.gate.wait()
                yield batch


def written(headers: list[tuple[bytes, bytes]]) -> tuple[str, int] | None:
    """Read `X-Written: 7`, which nobody signed."""
    return next(((SOURCE, int(value)) for name, value in headers if name == b"x-written"), None)


class Pair:
    """Two instances of one site; `late` hears of events while `log.gate` is set."""

    def __init__(self, url: str, js: JetStreamContext) -> None:
        self.app = RecordingApp("max-age=1000")
        self.log = HeldLog(url)
        self.prompt: CacheMiddleware
        self.late: CacheMiddleware
        self._url = url
        self._js = js

    async def start(self, stack: AsyncExitStack, valkey_url: str, wait_s: float) -> None:
        """Start both, let each hold the page of before, and cut the late one off."""
        settings = CacheSettings(
            namespace="own-writes", store_timeout_s=2.0, lease_s=60.0, consistency_wait_s=wait_s
        )
        found = []
        for log in (NatsLog(self._url, publish_marks=True, timeout_s=5), self.log):
            cache = PageCache(settings, log=log, store=RedisStore(valkey_url))
            await stack.enter_async_context(cache)
            await ready(cache, timeout_s=20)
            found.append(CacheMiddleware(self.app, cache, read_your_writes=written))
        self.prompt, self.late = found
        for instance in found:
            await request(instance, PAGE)
            assert "hit" in (await request(instance, PAGE)).cache_status
        self.log.gate.clear()

    async def write(self, number: int, *, counted: bool = True) -> None:
        """Change the page and publish it; the prompt instance has applied it afterwards."""
        self.app.bodies[PAGE] = NEW
        fields = {SEQUENCE_HEADER: str(number)} if counted else None
        body = encode(Invalidation(paths=(PAGE,)))
        ack = await self._js.publish(subject_of(SOURCE), body, headers=fields)
        assert await self.prompt.cache.applied(ack.seq, timeout_s=10.0)

    async def mark(self, number: int) -> None:
        """Publish a mark that says how far the source has come."""
        await self._js.publish(
            f"{MARK_SUBJECT_PREFIX}.{SOURCE}",
            mark_body(f"mark-{number}"),
            headers={SEQUENCE_HEADER: str(number)},
        )


async def ask(instance: CacheMiddleware, number: int) -> Reply:
    """Ask for the page as the client that wrote this number."""
    return await request(instance, PAGE, headers={"X-Written": str(number)})


Start = Callable[[float], Awaitable[Pair]]


@pytest.fixture
async def start(steady_servers: Servers, js: JetStreamContext) -> AsyncIterator[Start]:
    """Give a function that starts a pair which waits so long for a client's own write."""
    await ensure_stream(js)
    async with AsyncExitStack() as stack:

        async def start_pair(wait_s: float) -> Pair:
            pair = Pair(steady_servers.nats_url, js)
            await pair.start(stack, steady_servers.valkey_url, wait_s)
            return pair

        yield start_pair


async def test_the_writer_gets_its_write_from_both(start: Start) -> None:
    """Of the instance that hears nothing the app answers; others get its page, within the lease."""
    pair = await start(0.05)
    await pair.write(7)
    assert [(await ask(one, 7)).body for one in (pair.prompt, pair.late)] == [NEW, NEW]
    alone = await ask(pair.late, 7)
    assert alone.cache_status == "asgi-isr; fwd=bypass; detail=read-your-writes"
    assert alone.headers["cdn-cache-control"] == "no-store"
    other = await request(pair.late, PAGE)
    assert (other.body, "; hit" in other.cache_status) == (OLD, True)
    pair.log.gate.set()

    async def kept() -> bool:
        return "; hit" in (await ask(pair.late, 7)).cache_status

    await eventually(kept, timeout_s=10)
    assert (await request(pair.late, PAGE)).body == NEW


async def test_the_writer_waits_for_what_is_only_late(start: Start) -> None:
    """An event that comes within the bound is waited for; the page of the fleet is the answer."""
    pair = await start(20.0)
    await pair.write(7)
    await ask(pair.prompt, 7)
    rendered = len(pair.app.renders)
    async with asyncio.TaskGroup() as tasks:
        reply = tasks.create_task(ask(pair.late, 7))
        await eventually(lambda: pair.late.cache.counters.awaited, poll_s=0)
        pair.log.gate.set()
    assert reply.result().body == NEW
    assert "detail=shared" in reply.result().cache_status
    assert len(pair.app.renders) == rendered
    assert pair.late.cache.counters.unreached == 0


async def test_a_mark_tells_that_a_write_has_come(start: Start) -> None:
    """Where the event itself names no number, the next mark of its source does."""
    pair = await start(20.0)
    pair.log.gate.set()
    await pair.write(7, counted=False)
    async with asyncio.TaskGroup() as tasks:
        waiting = [tasks.create_task(ask(one, 7)) for one in (pair.prompt, pair.late)]
        await eventually(lambda: pair.prompt.cache.counters.awaited, poll_s=0)
        await eventually(lambda: pair.late.cache.counters.awaited, poll_s=0)
        await pair.mark(8)
    assert [task.result().body for task in waiting] == [NEW, NEW]
