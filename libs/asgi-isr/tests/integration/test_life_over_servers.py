"""One cache with a log and a store of real servers, opened by one event loop after another."""

import asyncio
import gc
from collections.abc import Callable
from pathlib import Path

from asgi_isr import CacheMiddleware, PageCache
from asgi_isr.logs.nats import NatsLog
from asgi_isr.stores.redis import RedisStore
from asgi_isr.testing import RecordingApp, ready, request
from nats.aio.client import Client
from perfcheck_embedded import Servers
from redis.asyncio.connection import AbstractConnection

OPENINGS = 15
CALLERS = 8
TIMEOUT_S = 10.0
PAGE = "/page"
OF_ONE_OPENING = (Client, AbstractConnection, asyncio.Task, asyncio.AbstractEventLoop)


def held() -> tuple[int, int]:
    """Return how many connections, tasks and loops are in memory, and how many descriptors open."""
    gc.collect()
    parts = sum(isinstance(one, OF_ONE_OPENING) for one in gc.get_objects())
    return parts, len(list(Path("/proc/self/fd").iterdir()))


async def contend(log: NatsLog, store: RedisStore, app: CacheMiddleware) -> None:
    """Have callers wait for each other: to connect, for a free connection, for one render."""
    await asyncio.gather(*(log.bounds() for _ in range(CALLERS)))
    await asyncio.gather(*(store.get("key") for _ in range(CALLERS)))
    async with app.cache as cache:
        await ready(cache, timeout_s=TIMEOUT_S)
        await asyncio.gather(*(log.bounds() for _ in range(CALLERS)))
        replies = await asyncio.gather(*(request(app, PAGE) for _ in range(CALLERS)))
        assert sum("collapsed" in reply.cache_status for reply in replies) == CALLERS - 1
        seq = await cache.invalidate(paths=(PAGE,))
        assert await cache.applied(seq, timeout_s=TIMEOUT_S)
        assert "hit" not in (await request(app, PAGE)).cache_status


def test_given_log_and_store_open_again_in_each_loop(
    steady_servers: Servers, drop_stream_of: Callable[[str], None]
) -> None:
    """Fifteen loops in turn, with contended locks and connections; nothing is left of any."""
    drop_stream_of(steady_servers.nats_url)
    log = NatsLog(steady_servers.nats_url, publish_marks=True, timeout_s=TIMEOUT_S)
    store = RedisStore(
        steady_servers.valkey_url, connections_max=2, timeout_s=TIMEOUT_S, namespace="life:"
    )
    app = CacheMiddleware(RecordingApp(), PageCache(log=log, store=store))
    kept = []
    for _ in range(OPENINGS):
        asyncio.run(contend(log, store, app))
        kept.append(held())
    assert set(kept[1:]) == {kept[1]}  # after the first one imports and caches are there
