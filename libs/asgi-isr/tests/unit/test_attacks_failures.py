"""What an app can do that takes more than its own answer along."""

import asyncio
from typing import Any

from asgi_isr.rendering.renders import RENDERS_MAX
from asgi_isr.testing import eventually, request
from asgi_isr.types import Receive, Scope, Send


class Status(int):
    """A status of a type that no encoder knows."""


async def test_page_that_cannot_be_encoded_ends_no_cache(site: Any) -> None:
    """A page that cannot go to the store is answered, and the cache lives on."""
    site.app.status = Status(200)
    app = await site.instance()
    assert "stored" in (await request(app, "/a")).cache_status
    site.app.status = 200
    await request(app, "/b")
    assert "hit" in (await request(app, "/b")).cache_status
    assert await site.store.lock("isr:lock::test/a", "us", ttl_s=1.0)  # it was given back


async def test_flood_of_misses_starts_a_bounded_number_of_renders(site: Any) -> None:
    """Beyond so many renders at a time the app answers each client itself, and nothing is held."""
    app = await site.instance(shared=False)
    cache = site.caches[0]
    site.app.gate.clear()
    async with asyncio.TaskGroup() as tasks:
        flood = [
            tasks.create_task(request(app, f"/{number}")) for number in range(RENDERS_MAX + 100)
        ]
        joining = tasks.create_task(request(app, "/0"))
        await eventually(lambda: len(site.app.renders) == len(flood))
        assert cache.counters.renders == RENDERS_MAX
        site.app.gate.set()
    assert "collapsed" in joining.result().cache_status
    assert sum("detail=busy" in reply.result().cache_status for reply in flood) == 100
    assert "stored" in (await request(app, "/later")).cache_status


class Changing:
    """An app that answers 304 to any question, with `etag` as it is then."""

    def __init__(self) -> None:
        self.etag = b'"1"'

    async def __call__(self, scope: Scope, _: Receive, send: Send) -> None:
        """Answer one request."""
        asked = any(
            name in {b"if-none-match", b"if-modified-since"} for name, _ in scope["headers"]
        )
        fields = [
            (b"cache-control", b"max-age=10"),
            (b"etag", self.etag),
            (b"last-modified", b"Tue, 24 Nov 2026 00:00:00 GMT"),
        ]
        status = 304 if asked else 200
        await send({"type": "http.response.start", "status": status, "headers": fields})
        await send({"type": "http.response.body", "body": b"" if asked else self.etag})


async def test_304_with_another_validator_confirms_nothing(site: Any) -> None:
    """A 304 that names another ETag than the page's is about another page: it is rendered again."""
    site.app = Changing()
    app = await site.instance()
    await request(app, "/a")
    site.clock.advance(11)
    assert "fwd-status=304" in (await request(app, "/a")).cache_status
    site.clock.advance(11)
    site.app.etag = b'"2"'  # changed within the second of Last-Modified
    reply = await request(app, "/a")
    assert (reply.status, reply.body, reply.headers["etag"]) == (200, b'"2"', '"2"')
