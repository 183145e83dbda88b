"""A page is kept only if it was made from what the log told of last (rule 13)."""

from collections.abc import AsyncIterator
from typing import NamedTuple

import pytest
from asgi_isr import CacheMiddleware, PageCache
from asgi_isr.events import mark_body
from asgi_isr.logs import MemoryLog
from asgi_isr.testing import RecordingApp, eventually, invalidate, ready, request

ORIGIN = b"cache-origin"


class Site(NamedTuple):
    """An app behind a cache, which names what it makes its page from."""

    log: MemoryLog
    cache: PageCache
    app: RecordingApp
    asgi: CacheMiddleware

    async def tell(self, origin: str, *, source: str = "shop") -> None:
        """Have a source tell in the log what its data comes from."""
        seq = self.log.publish(mark_body("m"), source=source, source_seq=1, origin=origin)
        assert await self.cache.applied(seq, timeout_s=5)

    async def get(self, origin: str = "") -> str:
        """Ask for the page; the app makes it from `origin`. Return its `Cache-Status`."""
        self.app.headers["/"] = [(ORIGIN, origin.encode())] if origin else []
        reply = await request(self.asgi, "/")
        assert reply.status == 200
        assert "cache-origin" not in reply.headers
        return reply.cache_status


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    """Give an app behind a cache that has joined."""
    log, app = MemoryLog(), RecordingApp()
    async with PageCache(log=log) as cache:
        await ready(cache)
        yield Site(log, cache, app, CacheMiddleware(app, cache))


async def test_made_from_what_the_log_tells_of(site: Site) -> None:
    """It is kept, and what it was made from is not said to clients."""
    await site.tell("a")
    assert "stored" in await site.get("shop=a")
    assert "hit" in await site.get("shop=a")


@pytest.mark.parametrize("named", ["shop=b", "shop=a, shop=b", "shop", "other=a", "shop=a, x=a"])
async def test_made_from_something_else(site: Site, named: str) -> None:
    """It is served, by no other cache kept, and made again each time."""
    await site.tell("a")
    for _ in range(2):
        assert "detail=other-origin" in await site.get(named)
    assert "stored" in await site.get("shop=a")


async def test_before_the_log_told_of_any(site: Site) -> None:
    """Nothing is kept of an app that names what the log does not; else all is."""
    await site.tell("a", source="other")
    assert "detail=other-origin" in await site.get("shop=a")
    assert "stored" in await site.get()


async def test_another_takes_its_place(site: Site) -> None:
    """A page that is made meanwhile from the one before is not kept, one of the new one is."""
    await site.tell("a")
    assert "stored" in await site.get("shop=a")
    await invalidate(site.log, site.cache, tags=("*",))
    await site.tell("b")
    assert "detail=other-origin" in await site.get("shop=a")
    assert "stored" in await site.get("shop=b")


async def test_a_gap_in_the_log_leaves_none_known(site: Site) -> None:
    """What the log told before is not believed; the next message tells it again."""
    await site.tell("a")
    site.log.recreate(1_000)

    async def rejoined() -> bool:
        return (site.cache.status().position or 0) >= 999

    await eventually(rejoined)
    assert "detail=other-origin" in await site.get("shop=a")
    await site.tell("a")
    assert "stored" in await site.get("shop=a")
