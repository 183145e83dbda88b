"""Waiting for caches: until they may answer, and until they have applied an event."""

import asyncio

from asgi_isr.engine.cache import PageCache
from asgi_isr.events import Invalidation, encode
from asgi_isr.logs.memory import MemoryLog

TIMEOUT_S = 5.0
_POLL_S = 0.001


async def ready(*caches: PageCache, timeout_s: float = TIMEOUT_S) -> None:
    """Wait until each of `caches` has joined its log and may call pages fresh.

    Raises `TimeoutError` after `timeout_s` seconds.
    """
    async with asyncio.timeout(timeout_s):
        for cache in caches:
            while not _may_answer(cache):  # noqa: ASYNC110  a lease has no event
                await asyncio.sleep(_POLL_S)


def _may_answer(cache: PageCache) -> bool:
    status = cache.status()
    return status.joined and status.lease_remaining_s > 0


async def invalidate(
    log: MemoryLog,
    *caches: PageCache,
    tags: tuple[str, ...] = (),
    paths: tuple[str, ...] = (),
    mode: str = "hard",
    timeout_s: float = TIMEOUT_S,
) -> int:
    """Publish an invalidation, wait until each of `caches` has applied it; return its sequence.

    Raises `InvalidEventError` for an event that must not be published, `LogUnavailableError` when
    the log is down, and `TimeoutError` when a cache has not applied it within `timeout_s` seconds.
    """
    seq = log.publish(encode(Invalidation(tags=tags, paths=paths, mode=mode)))
    for cache in caches:
        if not await cache.applied(seq, timeout_s=timeout_s):
            raise TimeoutError(f"an instance has not applied event {seq} within {timeout_s:g} s")
    return seq
