"""Asks this service for pages, so that they are stored before somebody else asks.

Each page is asked for as any client would ask, by a plain GET without credentials through the page
cache, inside this process: what is fresh already costs a look-up, what is not is rendered and
stored for all instances. A page for which there is no time left is not in the result.
"""

import asyncio
from urllib.parse import unquote

from asgi_isr import PageCache
from asgi_isr.asgi import request
from perfcheck_chassis.asgi import ASGIApp
from perfcheck_contracts import WarmedPage, WarmResult, WarmWrite

__all__ = ["CONCURRENCY", "Warming"]

CONCURRENCY = 4


class Warming:
    """Asks the service itself for pages; `app` is set once the service is put together."""

    def __init__(self, cache: PageCache) -> None:
        self.app: ASGIApp | None = None
        self.bypass = cache.settings.bypass
        self._cache = cache

    async def warm(self, asked: WarmWrite) -> WarmResult:
        """Wait until the log is applied up to `asked.seq`, then ask for the pages, four at once."""
        clock = self._cache.clock.monotonic
        deadline_s = clock() + asked.timeout_s
        pages: dict[str, WarmedPage] = {}
        if not await self._cache.applied(asked.seq, timeout_s=asked.timeout_s):
            return WarmResult(pages=[])
        once = list(dict.fromkeys(asked.paths))
        paths = iter(once)

        async def work() -> None:
            for path in paths:  # shared: each is taken once
                try:
                    async with asyncio.timeout(max(deadline_s - clock(), 0)):
                        pages[path] = await self._ask(path)
                except TimeoutError:
                    return

        async with asyncio.TaskGroup() as group:
            for _ in range(CONCURRENCY):
                group.create_task(work())
        return WarmResult(pages=[pages[path] for path in once if path in pages])

    async def _ask(self, path: str) -> WarmedPage:
        if self.app is None:
            raise RuntimeError("`app` is not set yet")
        encoded, _, query = path.partition("?")
        reply = await request(
            self.app,
            unquote(encoded),
            raw_path=encoded.encode(),
            query=query,
            headers={"host": "localhost"},
        )
        return WarmedPage(path=path, status=reply.status, cache_status=reply.cache_status)
