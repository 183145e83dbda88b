"""What store, log, app or shutdown do in the middle of something leaves nobody waiting."""

import asyncio
from contextlib import AsyncExitStack
from typing import Any

import pytest
from asgi_isr import CacheMiddleware, CacheSettings, PageCache
from asgi_isr.coherence.follower import WAITERS_MAX
from asgi_isr.logs import MemoryLog
from asgi_isr.ports import Mark
from asgi_isr.testing import Fault, FaultyStore, eventually, ready, request

PAGE = "/page"
KEY = "test/page"


class OutcryError(BaseException):
    """No `Exception`."""


class FaultyLog(MemoryLog):
    """Raises an error of its own from the first marks."""

    faults = 2

    async def mark(self) -> Mark:
        """Fail, later work."""
        if self.faults:
            self.faults -= 1
            raise ValueError("an answer of another form")
        return await super().mark()


async def test_stores_own_error_costs_a_page_in_the_store_only(site: Any) -> None:
    """An error that the store should not raise ends neither the request nor the instance."""
    site.store = FaultyStore(site.store)
    site.store.inject(Fault.FAIL, on={"put"}, error=RuntimeError("the transport is closed"))
    app = await site.instance()
    for path in (PAGE, "/other", PAGE):
        assert (await request(app, path)).status == 200
    assert app.cache.counters.store_failures == 2


async def test_lock_is_given_back_when_the_page_cannot_be_stored(site: Any) -> None:
    """Other instances need not wait for a lock whose page was lost."""
    kept, site.store = site.store, FaultyStore(site.store)
    site.store.inject(Fault.FAIL, on={"put"})
    app = await site.instance()
    await request(app, PAGE)
    await eventually(lambda: site.store.asked["unlock"] == 1)
    assert not kept.locks


async def test_lock_whose_answer_was_lost_is_given_back(site: Any) -> None:
    """A lock that the store may have given is given back after the render."""
    kept, site.store = site.store, FaultyStore(site.store)
    site.store.inject(Fault.ANSWER_LOST, on={"lock"})
    app = await site.instance()
    await request(app, PAGE)
    await eventually(lambda: site.store.asked["unlock"] == 1)
    assert (site.store.failed[Fault.ANSWER_LOST], kept.locks) == (1, {})


async def test_event_between_the_store_and_the_answer(site: Any) -> None:
    """A page from the store that an event overtakes before it goes out is not served as fresh."""
    one, two = await site.instance(), await site.instance()
    await request(one, PAGE)
    site.app.bodies[PAGE] = b"new"
    cache, reply = two.cache, asyncio.ensure_future(request(two, PAGE))
    async with asyncio.timeout(5):
        await eventually(
            lambda: cache.session.renders.under_way(KEY) is not None, timeout_s=5, poll_s=0
        )
        flight = cache.session.renders.under_way(KEY)
        # The callbacks of a future run in order: this one before the request that waits goes on.
        # An event of few names is applied without a pause.
        flight.done.add_done_callback(
            lambda _: next(cache.session.follower._apply(_events(site)).__await__(), None)
        )
        assert (await reply).body == b"new"


def _events(site: Any) -> list[Any]:
    log = site.log
    seq = log.publish(b'{"paths":["/page"]}')
    return [log.messages[seq]]


async def test_stored_page_helps_a_new_instance_when_the_app_fails(site: Any) -> None:
    """`stale-if-error` holds for the first request of a page on an instance as well."""
    site.app.cache_control = "max-age=10, stale-if-error=1000"
    one, two = [await site.instance(lease_s=10_000) for _ in range(2)]
    await request(one, PAGE)
    site.clock.advance(20)
    site.app.status = 503
    assert "detail=stale-if-error" in (await request(two, PAGE)).cache_status


async def test_outcry_of_the_app_reaches_its_client_and_no_further(site: Any) -> None:
    """An exception that is no `Exception` is raised where the request is; the instance goes on."""

    async def crying(*_: Any) -> None:
        raise OutcryError

    cache = (await site.instance()).cache
    with pytest.raises(OutcryError):
        await request(CacheMiddleware(crying, cache), PAGE)
    assert (await request(CacheMiddleware(site.app, cache), PAGE)).status == 200


async def test_requests_of_the_last_moment_are_answered(site: Any) -> None:
    """While and after the cache closes, the app answers; a stale page is served without refresh."""
    site.app.cache_control = "max-age=10, stale-while-revalidate=1000"
    async with AsyncExitStack() as stack:
        cache = PageCache(CacheSettings(lease_s=10_000), log=site.log, clock=site.clock)
        await stack.enter_async_context(cache)
        app = CacheMiddleware(site.app, cache)
        await ready(cache)
        await request(app, PAGE)
        site.app.started.clear()
        site.app.gate.clear()
        waiting = asyncio.ensure_future(request(app, "/slow"))
        await site.app.started.wait()
        unstarted = asyncio.ensure_future(request(app, "/unstarted"))
        await asyncio.sleep(0)  # its render is to begin at the next turn, and will be cancelled
        assert cache.session.renders.under_way("test/unstarted")
    site.app.gate.set()
    site.clock.advance(20)
    async with asyncio.timeout(5):
        assert (await waiting).status == 200
        assert (await unstarted).status == 200
        assert "detail=closing" in (await request(app, "/late")).cache_status
        assert "stale-while-revalidate" in (await request(app, PAGE)).cache_status


async def test_lock_is_given_back_at_shutdown(site: Any) -> None:
    """The instance that takes over need not wait for the lock of one that stopped."""
    store = FaultyStore(site.store)
    store.inject(Fault.LOSE, on={"close"})  # its server outlives this process
    async with PageCache(log=site.log, store=store, clock=site.clock) as cache:
        await ready(cache)
        site.app.gate.clear()
        waiting = asyncio.ensure_future(request(CacheMiddleware(site.app, cache), PAGE))
        await site.app.started.wait()
        assert site.store.locks
    assert not site.store.locks
    site.app.gate.set()
    await waiting


async def test_waits_that_ended_leave_room_for_others(site: Any) -> None:
    """Clients that wait for positions far ahead do not use up the places of others."""
    follower = (await site.instance()).cache.session.follower
    for _ in range(WAITERS_MAX + 10):
        assert not await follower.wait_for(10**18, 0)
    following = asyncio.ensure_future(follower.wait_for(follower.position + 1, 5))
    await asyncio.sleep(0)
    await site.publish("anything")
    assert await following


async def test_logs_own_error_does_not_end_the_lease_for_good(site: Any) -> None:
    """An error that the log should not raise costs one try; the lease comes with the next."""
    site.log = FaultyLog(first_seq=1_000)
    async with PageCache(CacheSettings(lease_s=0.1), log=site.log, clock=site.clock) as cache:
        await ready(cache)
    assert cache.counters.lease_failures == 2
