"""A store that is down, slow, frozen or lying costs a request one time limit at most."""

import asyncio
from typing import Any

from asgi_isr import CacheMiddleware, CacheSettings, PageCache
from asgi_isr.pages.breaker import FAILURES_MAX, OPEN_S
from asgi_isr.stores import MemoryStore
from asgi_isr.testing import Fault, FaultyStore, ready, request

PAGE = "/page"


async def test_pages_go_on_without_the_store(site: Any) -> None:
    """With the store down pages are rendered and kept in this process; failures are counted."""
    app = await site.instance()
    site.store.down = True
    assert (await request(app, PAGE)).status == 200
    assert "detail=local" in (await request(app, PAGE)).cache_status
    assert app.cache.counters.store_failures > 0


async def test_store_is_used_again_when_it_is_back(site: Any) -> None:
    """After the breaker's pause a success closes it."""
    one = await site.instance()
    site.store.down = True
    for number in range(FAILURES_MAX):
        await request(one, f"/{number}")
    assert one.cache.session.shared.failing
    site.store.down = False
    failures = one.cache.counters.store_failures
    await request(one, "/while-open")
    assert one.cache.counters.store_failures == failures
    site.clock.advance(OPEN_S)
    await request(one, PAGE)
    assert not one.cache.session.shared.failing


async def test_frozen_store_costs_one_time_limit(site: Any) -> None:
    """A store that never answers is given up after its limit, then left alone."""
    store = FaultyStore(MemoryStore(site.clock))
    store.inject(Fault.FREEZE)
    settings = CacheSettings(store_timeout_s=0.01)
    async with PageCache(settings, log=site.log, store=store, clock=site.clock) as cache:
        await ready(cache)
        app = CacheMiddleware(site.app, cache)
        async with asyncio.timeout(5):
            for number in range(20):
                assert (await request(app, f"/{number}")).status == 200
        assert store.asked.total() <= FAILURES_MAX + 1, (
            "one snapshot, then pages until the breaker opened"
        )


async def test_corrupt_page_is_a_miss(site: Any) -> None:
    """Bytes that are no page are counted, ignored and overwritten."""
    one, two = await site.instance(), await site.instance()
    await site.store.put("isr:page::test/page", b"\x01garbage", fence=0, ttl_s=100)
    assert "stored" in (await request(one, PAGE)).cache_status
    assert one.cache.counters.corrupt > 0
    assert "detail=shared" in (await request(two, PAGE)).cache_status


async def test_dead_lock_holder_holds_up_others_for_a_bounded_time(site: Any) -> None:
    """A lock that nobody gives back is waited for until `lock_wait_s`, then we render."""
    app = await site.instance(lock_wait_s=0.0)
    assert await site.store.lock("isr:lock::test/page", "dead", ttl_s=100)
    assert (await request(app, PAGE)).status == 200
    assert not await site.store.lock("isr:lock::test/page", "other", ttl_s=100), "not ours to free"
