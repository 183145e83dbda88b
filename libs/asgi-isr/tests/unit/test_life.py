"""A cache is made anywhere, opened in a loop, closed, and opened again; once at a time."""

import asyncio
import gc
import threading
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from asgi_isr import AlreadyOpenError, CacheMiddleware, NotOpenError, PageCache
from asgi_isr.coherence.follower import Follower
from asgi_isr.engine.session import Session
from asgi_isr.logs import MemoryLog
from asgi_isr.pages.entry import Entry
from asgi_isr.ports import Log, Store, SystemClock
from asgi_isr.stores import MemoryStore
from asgi_isr.testing import RecordingApp, eventually, ready, request
from asgi_isr.types import Message

PAGE = "/page"
CLIENTS = 8
OPENINGS = 50
LOOK_EVERY = 10  # openings: a look at the memory goes through every object of the process
# Over 40 openings: events that a given log keeps, and values of fields that pages share.
GROWTH_BYTES_MAX = 256 * 1024
OF_ONE_OPENING = (Session, Follower, Entry, asyncio.Task, asyncio.AbstractEventLoop)


async def use(app: CacheMiddleware) -> None:
    """Miss with many clients at once, hit, and invalidate: locks, waiters and tasks are at work."""
    cache = app.cache
    await ready(cache)
    replies = await asyncio.gather(*(request(app, PAGE) for _ in range(CLIENTS)))
    assert sum("collapsed" in reply.cache_status for reply in replies) == CLIENTS - 1
    assert "hit" in (await request(app, PAGE)).cache_status
    seq = await cache.invalidate(paths=(PAGE,))
    waits = [cache.applied(seq + ahead, timeout_s=5) for ahead in (0, 0)]
    assert await asyncio.gather(*waits) == [True, True]
    assert "stored" in (await request(app, PAGE)).cache_status


async def live(app: CacheMiddleware) -> None:
    """Open, use and close."""
    async with app.cache:
        await use(app)


def held() -> tuple[int, int]:
    """Return how many parts of openings are in memory, and how many descriptors are open."""
    gc.collect()
    parts = sum(isinstance(one, OF_ONE_OPENING) for one in gc.get_objects())
    return parts, len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.parametrize("given", ["nothing", "log and store"])
def test_one_cache_lives_in_one_loop_after_another(given: str) -> None:
    """Fifty loops open it in turn, with requests that wait for each other; nothing piles up."""
    log: Log | None = MemoryLog() if given != "nothing" else None
    store: Store | None = MemoryStore(SystemClock()) if given != "nothing" else None
    recording = RecordingApp()
    app = CacheMiddleware(recording, PageCache(log=log, store=store))
    used: list[int] = []
    kept: list[tuple[int, int]] = []
    tracemalloc.start()
    try:
        for opening in range(1, OPENINGS + 1):
            asyncio.run(live(app))
            recording.scopes.clear()
            recording.renders.clear()
            if opening % LOOK_EVERY == 0:
                kept.append(held())
                used.append(tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()
    assert set(kept) == {kept[0]}
    assert used[-1] - used[0] < GROWTH_BYTES_MAX


async def test_each_opening_begins_without_pages() -> None:
    """What was held before is not held after: nobody followed the log in between."""
    log = MemoryLog()
    app = CacheMiddleware(RecordingApp(), PageCache(log=log))
    names: set[str] = set()
    for _ in range(3):
        async with app.cache as cache:
            await ready(cache)
            assert "stored" in (await request(app, PAGE)).cache_status
            names |= log.live.names()
    assert len(names) == 3, "each opening is an instance of its own"
    assert app.cache.counters.misses == 3, "counters go on"


async def test_pages_of_an_earlier_opening_are_not_trusted_without_a_log() -> None:
    """A store keeps them; what was invalidated since nobody knows, so they must not come back."""
    app = CacheMiddleware(RecordingApp(), PageCache(store=MemoryStoreLeftOpen(SystemClock())))
    async with app.cache as cache:
        await ready(cache)
        await request(app, PAGE)
        await cache.invalidate(paths=(PAGE,))
    async with app.cache as cache:
        await ready(cache)
        assert "detail=shared" not in (await request(app, PAGE)).cache_status


class MemoryStoreLeftOpen(MemoryStore):
    """A store that others use: it outlives the cache."""

    async def close(self) -> None:
        """Keep everything."""


async def test_opening_twice_says_how_to_avoid_it() -> None:
    """A second opening is refused in the same loop and in another; the first one goes on."""
    app = CacheMiddleware(RecordingApp(), PageCache())
    refused: list[str] = []

    def elsewhere() -> None:
        with pytest.raises(AlreadyOpenError, match="in another event loop") as error:
            asyncio.run(live(app))
        refused.append(str(error.value))

    async with app.cache as cache:
        with pytest.raises(AlreadyOpenError, match="is open already"):
            await cache.__aenter__()
        thread = threading.Thread(target=elsewhere)
        thread.start()
        await asyncio.to_thread(thread.join)
        assert len(refused) == 1
        await use(app)
    await live(app)


async def test_lifespan_of_an_open_cache_is_refused() -> None:
    """The server hears why, in place of an application that seems to have no lifespan."""
    app = CacheMiddleware(RecordingApp(), PageCache())
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "lifespan.startup"}

    async def send(message: Message) -> None:
        sent.append(message)

    async with app.cache:
        with pytest.raises(AlreadyOpenError):
            await app({"type": "lifespan"}, receive, send)
    assert sent[0]["type"] == "lifespan.startup.failed"
    assert "open already" in sent[0]["message"]


async def test_one_task_enters_and_another_leaves() -> None:
    """As fixtures of tests do, and servers whose lifespan is two calls."""
    app = CacheMiddleware(RecordingApp(), PageCache())
    for _ in range(2):
        await asyncio.get_running_loop().create_task(app.cache.__aenter__())
        await use(app)
        await asyncio.get_running_loop().create_task(app.cache.__aexit__(None, None, None))
    assert not app.cache.session.is_open


class Closings:
    """Counts how often a log or store was closed."""

    def __init__(self) -> None:
        self.log, self.store = 0, 0

    def log_of(self) -> MemoryLog:
        """Return a log that is counted."""
        log = MemoryLog()
        close = log.close

        async def counted() -> None:
            self.log += 1
            await close()

        log.close = counted  # type: ignore[method-assign]  # counted, and done
        return log

    def store_of(self) -> MemoryStore:
        """Return a store that is counted."""
        store = MemoryStore(SystemClock())

        async def counted() -> None:
            self.store += 1

        store.close = counted  # type: ignore[method-assign]  # counted
        return store


async def test_half_open_cache_closes_what_it_has() -> None:
    """When opening fails log and store are closed, no task runs on, and it opens the next time."""
    closings = Closings()
    tasks, loop = asyncio.all_tasks(), asyncio.get_running_loop()

    def full(loop: asyncio.AbstractEventLoop, work: Any, **named: Any) -> Any:
        if work.__qualname__.startswith("Lease."):
            work.close()
            raise OSError("no room")
        return asyncio.Task(work, loop=loop, **named)

    cache = PageCache(log=closings.log_of(), store=closings.store_of())
    loop.set_task_factory(full)
    with pytest.raises(OSError, match="no room"):
        await cache.__aenter__()
    loop.set_task_factory(None)
    assert (closings.log, closings.store) == (1, 1)
    assert asyncio.all_tasks() == tasks
    with pytest.raises(NotOpenError):
        await cache.invalidate(tags=("a",))
    await live(CacheMiddleware(RecordingApp(), cache))
    assert (closings.log, closings.store) == (2, 2)


async def test_opening_that_is_cancelled_leaves_nothing() -> None:
    """A server that gives up while it starts leaves no task behind."""
    tasks = asyncio.all_tasks()
    cache = PageCache()
    opening = asyncio.ensure_future(cache.__aenter__())
    await asyncio.sleep(0)
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening
    assert asyncio.all_tasks() == tasks
    await live(CacheMiddleware(RecordingApp(), cache))


class Outcry(BaseException):
    """No `Exception`: nothing that a part may take for a failure of the log."""


def outcry() -> float:
    """Be no randomness."""
    raise Outcry


async def test_cache_that_ends_before_its_time_says_so(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """An error that nobody foresaw ends the cache: the app answers, and who closes hears of it."""
    log = MemoryLog()
    log.down = True
    app = CacheMiddleware(RecordingApp(), PageCache(log=log, jitter=outcry))
    await app.cache.__aenter__()
    await eventually(lambda: not app.cache.session.is_open)
    assert (await request(app, PAGE)).status == 200
    with pytest.raises(BaseExceptionGroup) as error:
        await app.cache.__aexit__(None, None, None)
    assert error.group_contains(Outcry)
    assert "the page cache ended" in caplog.text


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
async def test_request_before_the_opening_gets_a_clear_error(method: str) -> None:
    """It names the lifespan, and the app is not asked: nothing would be invalidated."""
    recording = RecordingApp()
    app = CacheMiddleware(recording, PageCache())
    with pytest.raises(NotOpenError, match="with its lifespan"):
        await request(app, PAGE, method=method)
    assert not recording.renders


CALLS: dict[str, Callable[[PageCache], object]] = {
    "invalidate": lambda cache: cache.invalidate(tags=("a",)),
    "applied": lambda cache: cache.applied(1, timeout_s=1),
}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("opened", [True, False], ids=["closed", "never opened"])
async def test_verbs_need_an_open_cache(call: str, *, opened: bool) -> None:
    """Before the first opening and after each closing they say that the cache is not open."""
    cache = PageCache()
    if opened:
        async with cache:
            pass
    with pytest.raises(NotOpenError, match="async with cache"):
        await CALLS[call](cache)  # type: ignore[misc]  # each is awaitable


async def test_status_can_be_asked_at_any_time() -> None:
    """A health check does not fail because the cache is not open; it says that nothing is fresh."""
    cache = PageCache()
    before = cache.status()
    assert (before.position, before.joined, before.lease_remaining_s) == (None, False, 0)
    assert before.log_failure is not None
    async with cache:
        await ready(cache)
        assert cache.status().lease_remaining_s > 0
    assert cache.status().lease_remaining_s == 0
