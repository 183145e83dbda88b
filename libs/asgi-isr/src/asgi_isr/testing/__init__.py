"""A test kit for apps behind the cache and for the cache itself: clock, client, app, store, events.

    log = MemoryLog()
    async with PageCache(log=log) as cache:
        await ready(cache)
        app = CacheMiddleware(my_app, cache)
        await request(app, "/products/42")
        assert "hit" in (await request(app, "/products/42")).cache_status
        await invalidate(log, cache, tags=("product:42",))
        assert "hit" not in (await request(app, "/products/42")).cache_status

`eventually` waits, within a limit, for what another task or server will make true. The kit needs no
server and no network; `FaultyStore` makes any store fail as servers do.
"""

from asgi_isr.asgi.client import Reply, request
from asgi_isr.testing.app import RecordingApp
from asgi_isr.testing.clock import FakeClock, LoopClock
from asgi_isr.testing.events import invalidate, ready
from asgi_isr.testing.eventually import eventually, eventually_sync
from asgi_isr.testing.store import Fault, FaultyStore

__all__ = [
    "FakeClock",
    "Fault",
    "FaultyStore",
    "LoopClock",
    "RecordingApp",
    "Reply",
    "eventually",
    "eventually_sync",
    "invalidate",
    "ready",
    "request",
]
