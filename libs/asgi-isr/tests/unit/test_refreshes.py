"""What a refresh and a failing app cost, where the shared store or credentials take part."""

from typing import Any

from asgi_isr.stores import MemoryStore
from asgi_isr.testing import FakeClock, eventually, request
from asgi_isr.types import Receive, Scope, Send

PAGE = "/page"


async def test_refresh_does_not_take_the_page_that_it_refreshes(site: Any) -> None:
    """A page made by a machine whose clock is ahead is refreshed nevertheless, by a render."""
    site.app.cache_control = "max-age=100, stale-while-revalidate=100"
    maker = await site.instance()
    assert "stored" in (await request(maker, PAGE)).cache_status
    await eventually(lambda: len(site.store) == 1)
    clock = site.clock = FakeClock(wall=site.clock.wall() - 5)
    behind = await site.instance()
    assert "detail=shared" in (await request(behind, PAGE)).cache_status
    await site.publish(PAGE, mode="soft")
    clock.advance(1)
    assert "stale-while-revalidate" in (await request(behind, PAGE)).cache_status
    await eventually(lambda: len(site.app.renders) == 2)


async def test_failing_app_is_asked_once_for_a_request_with_credentials(site: Any) -> None:
    """A stale page that is not for this client is no reason to hold back the app's error."""
    site.app.cache_control = "max-age=10, stale-if-error=100"
    app = await site.instance()
    await request(app, PAGE)
    site.clock.advance(20)
    site.app.status = 503
    reply = await request(app, PAGE, headers={"authorization": "somebody"})
    assert (reply.status, len(site.app.renders)) == (503, 2)
    assert "stale-if-error" in (await request(app, PAGE)).cache_status


class CountingStore(MemoryStore):
    """Counts what is put into it."""

    puts = 0

    async def put(self, key: str, value: bytes, *, fence: int, ttl_s: float) -> bool:
        """Count, and keep it."""
        self.puts += 1
        return await super().put(key, value, fence=fence, ttl_s=ttl_s)


async def confirming(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with a page that is to be asked for each time, or confirm it."""
    del receive
    known = dict(scope["headers"]).get(b"if-none-match") == b'"one"'
    fields = [(b"cache-control", b"no-cache"), (b"etag", b'"one"')]
    await send({"type": "http.response.start", "status": 304 if known else 200, "headers": fields})
    await send({"type": "http.response.body", "body": b"" if known else b"page"})


async def test_page_that_is_asked_for_each_time_is_stored_once(site: Any) -> None:
    """Each request asks the app, and no 304 writes the page into the store again."""
    site.app, site.store = confirming, CountingStore(site.clock)
    app = await site.instance()
    replies = [await request(app, PAGE) for _ in range(10)]
    assert {reply.body for reply in replies} == {b"page"}
    assert all("fwd-status=304" in reply.cache_status for reply in replies[1:])
    assert site.store.puts == 1
