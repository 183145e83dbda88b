"""What a client that may write, or only tries to, can do to pages of others."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from typing import Any

import pytest
from asgi_isr.events import Invalidation
from asgi_isr.keys import TAG_CHARS_MAX
from asgi_isr.logs import MemoryLog
from asgi_isr.ports import LogMessage
from asgi_isr.testing import eventually, request
from asgi_isr.types import Receive, Scope, Send


@pytest.mark.parametrize("path", ["/*", "/pairs/*", "/pairs/%2A", "/pairs/%252a"])
async def test_star_in_a_path_is_no_wildcard(site: Any, path: str) -> None:
    """A POST to a path that ends in a star ends that page alone, not all below."""
    app = await site.instance()
    await request(app, "/pairs/usd")
    await request(app, path, method="POST")
    assert "hit" in (await request(app, "/pairs/usd")).cache_status


@pytest.mark.parametrize("target", ["/*", "/pairs/*", "/pairs/%2a"])
async def test_star_in_a_location_is_no_wildcard(site: Any, target: str) -> None:
    """A redirect to a path that ends in a star ends that page alone, not all below."""
    site.app.headers["/login"] = [(b"location", target.encode())]
    app = await site.instance()
    await request(app, "/pairs/usd")
    await request(app, "/login", method="POST")
    assert "hit" in (await request(app, "/pairs/usd")).cache_status


@pytest.mark.parametrize("path", ["/tags/c#", "/a*b", "/a/*", "/für", "/100%", "/a/%23"])
async def test_page_at_an_odd_path_ends_with_its_change(site: Any, path: str) -> None:
    """A POST ends the page at its path at all instances, whatever characters the path holds."""
    app, other = await site.instance(shared=False), await site.instance(shared=False)
    for instance in (app, other):
        await request(instance, path)
        assert "hit" in (await request(instance, path)).cache_status
    await request(app, path, method="POST")
    assert await site.caches[1].session.follower.wait_for((await site.log.bounds()).last, 5.0)
    for instance in (app, other):
        assert "uri-miss" in (await request(instance, path)).cache_status


async def test_method_as_long_as_a_novel_is_announced(site: Any) -> None:
    """However long its method, an unsafe request that succeeds is announced to all."""
    app = await site.instance()
    await request(app, "/a", method="X" * 3000)
    assert site.caches[0].counters.unsafe == 1
    assert site.caches[0].counters.unannounced == 0


async def test_long_paths_weigh_no_more_than_tags(site: Any) -> None:
    """What a client's POSTs leave in the index is bounded; pages at long paths end all the same."""
    path = "/" + "ü" * 500 + "/" + "x" * 500
    app = await site.instance()
    await request(app, path)
    await request(app, path, method="POST")
    assert max(map(len, site.caches[0].session.index.hard)) <= TAG_CHARS_MAX
    assert "uri-miss" in (await request(app, path)).cache_status
    await site.publish(path.rpartition("/")[0] + "/*")
    assert "uri-miss" in (await request(app, path)).cache_status


class Shop:
    """An app with one value: GET reads it and then waits for `gate`, any other method sets it."""

    def __init__(self) -> None:
        self.value = b"old"
        self.gate = asyncio.Event()
        self.gate.set()
        self.reading = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        await receive()
        body = self.value
        if scope["method"] == "GET":
            self.reading.set()
            await self.gate.wait()
        else:
            self.value = b"new"
        fields = [(b"cache-control", b"max-age=60")]
        await send({"type": "http.response.start", "status": 200, "headers": fields})
        await send({"type": "http.response.body", "body": body})


class Link:
    """An instance's link to `log`: it delivers while `delivering` is set, takes while `taking` is.

    `announce` raises `error` if there is one.
    """

    def __init__(self, log: MemoryLog) -> None:
        self._log = log
        self.delivering = asyncio.Event()
        self.taking = asyncio.Event()
        self.announcing = asyncio.Event()
        self.error: Exception | None = None
        self.delivering.set()
        self.taking.set()
        self.bounds = log.bounds
        self.stamp = log.stamp
        self.mark = log.mark
        self.close = log.close
        self.register, self.report, self.popular = log.register, log.report, log.popular

    async def read(self, after: int) -> AsyncGenerator[Sequence[LogMessage], None]:
        """Yield batches as they may be delivered."""
        async for batch in self._log.read(after):
            await self.delivering.wait()
            yield batch

    async def announce(self, event: Invalidation) -> int:
        """Append an event once that may be."""
        self.announcing.set()
        await self.taking.wait()
        if self.error is not None:
            raise self.error
        return await self._log.announce(event)


async def test_render_begun_before_a_change_is_not_taken_after_it(site: Any) -> None:
    """Whoever asks after a change gets it, also while a render from before it is under way."""
    site.app, site.log = Shop(), Link(site.log)
    app = await site.instance(shared=False)
    site.app.gate.clear()
    async with asyncio.TaskGroup() as tasks:
        before = tasks.create_task(request(app, "/a"))
        await site.app.reading.wait()
        site.log.delivering.clear()
        await request(app, "/a", method="POST")
        after = tasks.create_task(request(app, "/a"))
        await asyncio.sleep(0)  # it waits for the render under way, and will not take its page
        site.app.gate.set()
    assert after.result().body == b"new"
    assert "overtaken" in before.result().cache_status


async def test_page_of_an_instance_that_is_ahead_is_judged_by_the_change(site: Any) -> None:
    """An instance that lags behind takes no page from before its own change out of the store."""
    site.app = Shop()
    ahead = await site.instance()
    log, site.log = site.log, Link(site.log)
    lagging = await site.instance()
    link, last = site.log, (await log.mark()).seq
    for cache in site.caches:
        assert await cache.applied(last, timeout_s=5.0)
    link.delivering.clear()
    assert await site.caches[0].session.follower.wait_for((await log.mark()).seq, 5.0)
    await request(ahead, "/a")
    await eventually(lambda: len(site.store) == 1)
    await request(lagging, "/a", method="POST")
    assert (await request(lagging, "/a")).body == b"new"


async def test_change_is_announced_although_its_client_leaves(site: Any) -> None:
    """A client that goes away while its change is announced keeps nobody from hearing of it."""
    site.app, site.log = Shop(), Link(site.log)
    app = await site.instance()
    position = site.caches[0].session.follower.position
    site.log.taking.clear()
    async with asyncio.TaskGroup() as tasks:
        leaving = tasks.create_task(request(app, "/a", method="POST"))
        await site.log.announcing.wait()
        leaving.cancel()
    site.log.taking.set()
    await eventually(lambda: site.caches[0].session.follower.position > position)


async def test_log_that_breaks_its_promise_spoils_no_change(site: Any) -> None:
    """Whatever the log raises, the client of a change gets the app's answer, and it is counted."""
    site.app, site.log = Shop(), Link(site.log)
    app = await site.instance()
    site.log.error = ValueError("not promised")
    assert (await request(app, "/a", method="POST")).status == 200
    assert site.caches[0].counters.unannounced == 1
