"""A log that lost its tail, and an instance that was not there before."""

from typing import Any

from asgi_isr.coherence import encode_snapshot, snapshot_key
from asgi_isr.testing import eventually, ready, request


async def test_page_of_the_last_lost_event_is_mistrusted(site: Any) -> None:
    """A page as new as the last of the lost events is as little trusted as those before it."""
    app = await site.instance(lease_s=0.3)
    last = 0
    for _ in range(20):
        last = (await site.log.mark()).seq
    assert await site.caches[0].applied(last, timeout_s=5.0)
    await request(app, "/a")
    site.log.truncate(last - 15)
    await eventually(lambda: site.caches[0].counters.rejoins >= 2, timeout_s=5.0)
    site.app.bodies["/a"] = b"new"
    assert await site.publish("/a") < last
    while (await site.log.mark()).seq <= last + 1:
        pass
    assert await site.caches[0].applied(last + 2, timeout_s=5.0)
    await ready(*site.caches)
    assert (await request(app, "/a")).body == b"new"


async def test_newcomer_mistrusts_pages_from_beyond_a_lost_tail(site: Any) -> None:
    """Events that reuse sequences are not taken for older than pages of the lost ones."""
    app = await site.instance()
    last = 0
    for _ in range(20):
        last = (await site.log.mark()).seq
    assert await site.caches[0].applied(last, timeout_s=5.0)
    await request(app, "/a")
    snapshot = site.caches[0].session.follower.snapshot()
    await site.store.put(snapshot_key("isr"), encode_snapshot(snapshot), fence=last, ttl_s=60.0)
    site.log.truncate(last - 15)
    newcomer = await site.instance()
    site.caches = site.caches[1:]
    site.app.bodies["/a"] = b"new"
    assert await site.publish("/a") < last
    assert (await request(newcomer, "/a")).body == b"new"
