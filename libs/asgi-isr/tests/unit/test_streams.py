"""A response that streams to one client holds up nobody else, here or in the fleet."""

import asyncio
from typing import Any

import pytest
from asgi_isr import CacheMiddleware, PageCache
from asgi_isr.testing import eventually, request
from asgi_isr.types import Message, Receive, Scope, Send

PAGE = "/events"


class Stream:
    """An app that streams: a first part at once, the rest when `gate` is set."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.streaming = asyncio.Event()
        self.ready = asyncio.Event()
        self.ready.set()
        self.ended: list[str] = []
        self.fault: Exception | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Stream."""
        del scope, receive
        await self.ready.wait()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"one", "more_body": True})
        self.streaming.set()
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.ended.append("cancelled")
            raise
        if self.fault is not None:
            raise self.fault
        await send({"type": "http.response.body", "body": b"two"})
        self.ended.append("whole")


async def test_second_client_of_a_stream_gets_its_own(site: Any) -> None:
    """Whoever waited with the first client is answered by the app as soon as it streams."""
    stream = Stream()
    app = CacheMiddleware(stream, (await site.instance()).cache)
    heard = asyncio.Event()
    stream.ready.clear()

    async def second(scope: Scope, receive: Receive, send: Send) -> None:
        async def hearing(message: Message) -> None:
            await send(message)
            if message.get("body") == b"one":
                heard.set()

        await app(scope, receive, hearing)

    async with asyncio.timeout(5), asyncio.TaskGroup() as tasks:
        replies = [tasks.create_task(request(app, PAGE))]
        await asyncio.sleep(0)
        replies.append(tasks.create_task(request(second, PAGE)))
        await asyncio.sleep(0)
        stream.ready.set()
        await heard.wait()
        stream.gate.set()
    assert [reply.result().body for reply in replies] == [b"onetwo", b"onetwo"]


async def test_stream_gives_the_fleets_lock_back_at_once(site: Any) -> None:
    """Another instance does not wait for a page that streams to a client of this one."""
    stream = Stream()
    app = CacheMiddleware(stream, (await site.instance()).cache)
    async with asyncio.timeout(5), asyncio.TaskGroup() as tasks:
        tasks.create_task(request(app, PAGE))
        await stream.streaming.wait()
        await eventually(lambda: not site.store.locks)
        stream.gate.set()


async def test_stream_may_take_longer_than_a_render(site: Any) -> None:
    """`render_timeout_s` ends when the response goes to its client."""
    stream = Stream()
    app = CacheMiddleware(stream, (await site.instance(render_timeout_s=0.02)).cache)
    async with asyncio.timeout(5), asyncio.TaskGroup() as tasks:
        reply = tasks.create_task(request(app, PAGE))
        await stream.streaming.wait()
        await asyncio.sleep(0.05)  # past the limit of a render
        stream.gate.set()
    assert reply.result().body == b"onetwo"


async def test_stream_ends_with_its_client(site: Any) -> None:
    """When the server cancels the request, the app does not go on streaming to nobody."""
    stream = Stream()
    app = CacheMiddleware(stream, (await site.instance()).cache)
    async with asyncio.timeout(5):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.02):
                await request(app, PAGE)
        await eventually(lambda: stream.ended == ["cancelled"])


async def test_stream_that_the_cache_cuts_off_is_no_whole_response(site: Any) -> None:
    """When the cache closes first, the server hears of an error, so that it ends no body well."""
    stream = Stream()
    async with PageCache(log=site.log, clock=site.clock) as cache:
        await eventually(lambda: cache.status().joined, timeout_s=5, poll_s=0)
        reply = asyncio.ensure_future(request(CacheMiddleware(stream, cache), PAGE))
        await stream.streaming.wait()
    with pytest.raises(ConnectionAbortedError):
        await reply


async def test_broken_stream_fails_its_own_client_alone(site: Any) -> None:
    """An error on the way (a client gone, an app that fails) is no answer to those who waited."""
    stream = Stream()
    app = CacheMiddleware(stream, (await site.instance()).cache)
    stream.ready.clear()
    stream.gate.set()

    async def gone(scope: Scope, receive: Receive, send: Send) -> None:
        async def closed(_: Message) -> None:
            raise OSError("the client has gone")

        del send
        await app(scope, receive, closed)

    async with asyncio.timeout(5):
        first = asyncio.ensure_future(request(gone, PAGE))
        await asyncio.sleep(0)
        second = asyncio.ensure_future(request(app, PAGE))
        await asyncio.sleep(0)
        stream.ready.set()
        with pytest.raises(OSError, match="the client has gone"):
            await first
        assert (await second).body == b"onetwo"


async def test_apps_own_time_limit_is_its_own_error(site: Any) -> None:
    """A TimeoutError of the app is not taken for the limit on its render."""
    app = await site.instance()
    site.app.error = TimeoutError("the database")
    with pytest.raises(TimeoutError, match="the database"):
        await request(app, PAGE)
