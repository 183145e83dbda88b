"""The cache over a real server that is frozen, killed, or not there yet; it recovers by itself."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from itertools import count

import pytest
from asgi_isr import CacheMiddleware, CacheSettings, PageCache
from asgi_isr.logs import MemoryLog
from asgi_isr.pages.breaker import OPEN_S
from asgi_isr.stores.redis import RedisStore
from asgi_isr.testing import RecordingApp, Reply, eventually, ready, request
from perfcheck_embedded import Servers

Freeze = Callable[[Servers, str], Awaitable[None]]
NewCache = Callable[[], PageCache]
TIMEOUT_S = 0.1
# Who takes so long has no time limit; tests/unit/test_store_from_the_start.py is exact.
ENDLESS_S = 30.0


@pytest.fixture
def app() -> RecordingApp:
    """Give the app of all instances."""
    return RecordingApp("max-age=1000")


@pytest.fixture
def new_cache(store_server: Servers) -> NewCache:
    """Give a function that makes instances which follow one log and use the server."""
    log = MemoryLog()

    def make() -> PageCache:
        # The time limits are the cache's: the store's own would come too late.
        store = RedisStore(store_server.valkey_url, timeout_s=2 * ENDLESS_S)
        return PageCache(CacheSettings(store_timeout_s=TIMEOUT_S), log=log, store=store)

    return make


async def ask(app: RecordingApp, cache: PageCache, path: str) -> Reply:
    """Return the reply to a request."""
    async with asyncio.timeout(ENDLESS_S):
        reply = await request(CacheMiddleware(app, cache), path)
    assert reply.status == 200
    return reply


async def costs_little(app: RecordingApp, cache: PageCache, name: str) -> None:
    """Assert that each request is answered, and that soon few of them ask the store at all."""
    await asyncio.gather(*(ask(app, cache, f"/{name}/crowd/{n}") for n in range(20)))
    assert cache.session.shared is not None
    assert cache.session.shared.failing
    failures, opened = cache.counters.store_failures, time.monotonic()
    for number in range(50):
        await ask(app, cache, f"/{name}/{number}")
    probes = cache.counters.store_failures - failures
    # What was under way when it opened may fail yet.
    assert probes <= 3 + (time.monotonic() - opened) / OPEN_S
    assert "detail=local" in (await ask(app, cache, f"/{name}/0")).cache_status


async def recovers(app: RecordingApp, cache: PageCache, new_cache: NewCache) -> None:
    """Assert that the store is used again without anybody's doing, for all instances."""
    numbers = count()

    async def used_again() -> bool:
        await ask(app, cache, f"/recovery/{next(numbers)}")
        return cache.session.shared is not None and not cache.session.shared.failing

    await eventually(used_again, timeout_s=ENDLESS_S, poll_s=0.05)
    await ask(app, cache, "/recovered")
    async with new_cache() as other:
        await ready(other, timeout_s=ENDLESS_S)
        assert "detail=shared" in (await ask(app, other, "/recovered")).cache_status


async def test_frozen_at_start(
    freeze: Freeze, store_server: Servers, app: RecordingApp, new_cache: NewCache
) -> None:
    """An instance that starts beside a frozen store answers at once, and joins in bounded time."""
    await freeze(store_server, "valkey")
    async with new_cache() as cache:
        assert "detail=not-joined" in (await ask(app, cache, "/before")).cache_status
        await ready(cache, timeout_s=ENDLESS_S)
        await costs_little(app, cache, "frozen")
        await store_server.resume("valkey")
        await recovers(app, cache, new_cache)


async def test_not_there_at_start(
    store_server: Servers, app: RecordingApp, new_cache: NewCache
) -> None:
    """An instance starts without its store, and uses it from when it is there."""
    await store_server.kill("valkey")
    async with new_cache() as cache:
        await ready(cache, timeout_s=ENDLESS_S)
        await costs_little(app, cache, "absent")
        await store_server.restart("valkey")
        await recovers(app, cache, new_cache)


@pytest.mark.parametrize("outage", ["frozen", "killed"])
async def test_lost_in_operation(
    freeze: Freeze, store_server: Servers, app: RecordingApp, new_cache: NewCache, outage: str
) -> None:
    """A store that goes away in operation takes no local page along, and comes back by itself."""
    async with AsyncExitStack() as stack:
        cache = await stack.enter_async_context(new_cache())
        await ready(cache, timeout_s=ENDLESS_S)
        await ask(app, cache, "/warm")
        if outage == "frozen":
            await freeze(store_server, "valkey")
        else:
            await store_server.kill("valkey")
        assert "detail=local" in (await ask(app, cache, "/warm")).cache_status
        await costs_little(app, cache, outage)
        if outage == "frozen":
            await store_server.resume("valkey")
        else:
            await store_server.restart("valkey")
        await recovers(app, cache, new_cache)


async def test_entry_of_another_version_or_damaged_is_a_miss(
    store_server: Servers, app: RecordingApp, new_cache: NewCache
) -> None:
    """Bytes of another release, or half of a page, are counted, rendered again and replaced."""
    store = RedisStore(store_server.valkey_url, timeout_s=5)
    async with new_cache() as one:
        await ready(one)
        for path in ("/version", "/damaged"):
            await ask(app, one, path)
        keys = {path: f"isr:page::test{path}" for path in ("/version", "/damaged")}

        async def all_stored() -> bool:
            return None not in [await store.get(key) for key in keys.values()]

        await eventually(all_stored, timeout_s=5)
        good = {path: await store.get(key) or b"" for path, key in keys.items()}
        bad = {"/version": b"\xff" + good["/version"][1:], "/damaged": good["/damaged"][:-7]}
        for path, key in keys.items():
            assert await store.put(key, bad[path], fence=10, ttl_s=600)
        async with new_cache() as two:
            await ready(two)
            for path in keys:
                assert "stored" in (await ask(app, two, path)).cache_status
            assert two.counters.corrupt >= 2
    await store.close()
