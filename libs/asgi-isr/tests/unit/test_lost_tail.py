"""A log that lost events which it had acknowledged (rules 6 to 8): nothing older is trusted."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any

from asgi_isr import CacheMiddleware, CacheSettings, Invalidation, PageCache
from asgi_isr.errors import LogUnavailableError
from asgi_isr.events import encode
from asgi_isr.logs import MemoryLog
from asgi_isr.ports import Bounds, LogMessage, Mark
from asgi_isr.reports import PopularPages, Report
from asgi_isr.testing import eventually, request

PAGE = "/page"


async def test_rejoin_in_a_shorter_log_trusts_no_page_from_before(site: Any) -> None:
    """The base never falls: a page that a lost hard event ended is not even served as stale."""
    site.app.cache_control = "max-age=100, stale-while-revalidate=60"
    app = await site.instance()
    await request(app, PAGE)  # stored for all
    fence = app.cache.session.follower.position
    site.app.bodies[PAGE] = b"new"
    await site.publish(PAGE)
    consumed = app.cache.session.follower.position
    site.log.marks_down = True  # the relay has not noticed yet
    rejoins = app.cache.counters.rejoins
    site.log.truncate(fence)
    # the follower's own pause before it tries again
    await eventually(lambda: app.cache.counters.rejoins != rejoins, timeout_s=5)
    assert app.cache.session.index.base >= consumed
    assert (await request(app, PAGE)).body == b"new"


class SlowLink:
    """A log whose delivery can be held up, and cut once."""

    def __init__(self, log: MemoryLog) -> None:
        self._log = log
        self.delivers = asyncio.Event()
        self.delivers.set()
        self.marked = asyncio.Event()
        self.cut = False

    async def bounds(self) -> Bounds:
        """Ask the log."""
        return await self._log.bounds()

    async def stamp(self, seq: int) -> str | None:
        """Ask the log."""
        return await self._log.stamp(seq)

    async def announce(self, event: Invalidation) -> int:
        """Ask the log."""
        return await self._log.announce(event)

    async def mark(self) -> Mark:
        """Ask the log, and say that it answered."""
        mark = await self._log.mark()
        self.marked.set()
        return mark

    async def register(self, report: Report) -> None:
        """Tell the log."""
        await self._log.register(report)

    async def report(self, report: Report) -> None:
        """Tell the log."""
        await self._log.report(report)

    async def popular(self, pages: PopularPages) -> None:
        """Tell the log."""
        await self._log.popular(pages)

    async def read(self, after: int) -> AsyncGenerator[Sequence[LogMessage], None]:
        """Deliver while `delivers` is set."""
        await self.delivers.wait()
        async with aclosing(self._log.read(after)) as batches:
            async for batch in batches:
                await self.delivers.wait()
                if self.cut:
                    self.cut = False
                    raise LogUnavailableError("cut")
                yield batch

    async def close(self) -> None:
        """Leave the log to the test."""


async def test_lost_mark_gives_no_lease(site: Any) -> None:
    """Another event at a mark's sequence proves nothing: events before it may be lost as well."""
    log: MemoryLog = site.log
    link = SlowLink(log)
    cache = PageCache(CacheSettings(lease_s=0.6), log=link, clock=site.clock)
    async with cache, asyncio.timeout(20):
        await eventually(lambda: cache.session.lease.until >= site.clock.monotonic(), timeout_s=20)
        app = CacheMiddleware(site.app, cache)
        await request(app, PAGE)
        consumed = cache.session.follower.position
        assert consumed is not None
        link.delivers.clear()
        site.app.bodies[PAGE] = b"new"
        log.publish(encode(Invalidation(paths=(PAGE,))))  # this instance will never see it
        site.clock.advance(10)
        link.marked.clear()
        await link.marked.wait()
        await asyncio.sleep(0)
        last = (await log.bounds()).last
        failures = cache.counters.lease_failures
        log.marks_down = True
        log.truncate(consumed)
        for _ in range(last - consumed):
            log.publish(encode(Invalidation(tags=("other",))))
        link.cut = True
        link.delivers.set()
        await eventually(lambda: cache.counters.lease_failures != failures, timeout_s=20)
        assert cache.session.follower.position == last
        assert cache.session.lease.until <= site.clock.monotonic()
        assert (await request(app, PAGE)).body == b"new"
