"""Marks integration tests by their folder, and gives every test its instances of the cache."""

import asyncio
import selectors
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from asgi_isr import CacheMiddleware, CacheSettings, PageCache
from asgi_isr.logs import MemoryLog
from asgi_isr.ports import Store
from asgi_isr.stores import MemoryStore
from asgi_isr.testing import FakeClock, RecordingApp, invalidate, ready
from hypothesis import settings

HERE = Path(__file__).parent
# The same examples each time, kept nowhere; how long one takes says how busy the machine is.
settings.register_profile("steady", derandomize=True, database=None, deadline=None)
settings.load_profile("steady")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what stands below tests/integration: it talks to real servers."""
    for item in items:
        if item.path.is_relative_to(HERE / "integration"):
            item.add_marker("integration")


class Site:
    """Instances of a cache over one app, one log and one store, all in this process."""

    def __init__(self, stack: AsyncExitStack) -> None:
        self._stack = stack
        self.clock = FakeClock()
        self.log = MemoryLog(first_seq=1_000)
        self.store: Store = MemoryStore(self.clock)
        self.app = RecordingApp()
        self.caches: list[PageCache] = []

    async def instance(self, *, shared: bool = True, **settings: object) -> CacheMiddleware:
        """Start an instance and wait until it may call pages fresh."""
        cache = PageCache(
            CacheSettings(**settings),  # type: ignore[arg-type]  # as the test gives them
            log=self.log,
            store=self.store if shared else None,
            clock=self.clock,
        )
        await self._stack.enter_async_context(cache)
        self.caches.append(cache)
        await ready(cache)
        return CacheMiddleware(self.app, cache)

    async def publish(self, *tags: str, mode: str = "hard", seen: bool = True) -> int:
        """Publish an invalidation; with `seen` wait until every instance has consumed it."""
        paths = tuple(tag for tag in tags if tag.startswith("/"))
        names = tuple(tag for tag in tags if not tag.startswith("/"))
        seen_by = self.caches if seen else ()
        return await invalidate(self.log, *seen_by, tags=names, paths=paths, mode=mode)

    async def quiet(self) -> None:
        """Wait until every instance has consumed what the log holds."""
        last = (await self.log.bounds()).last
        for cache in self.caches:
            if not await cache.applied(last, timeout_s=5.0):
                raise TimeoutError(f"an instance has not applied event {last}")


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    """One log, one store, one app; instances as the test asks for them."""
    async with AsyncExitStack() as stack:
        yield Site(stack)


class VirtualSelector(selectors.SelectSelector):
    """Never waits: time jumps instead."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[Any]:
        """Move the clock to the next timer."""
        self.now += max(0.0, timeout or 0.0)
        return super().select(0)


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop on virtual time."""

    def __init__(self) -> None:
        self._virtual = VirtualSelector()
        super().__init__(self._virtual)

    def time(self) -> float:
        """Return the virtual seconds."""
        return 1_000.0 + self._virtual.now


@pytest.fixture
def virtual_time() -> Iterator[asyncio.Runner]:
    """Run coroutines on virtual time."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        yield runner
