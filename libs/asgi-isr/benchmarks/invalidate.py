"""How long it takes to find and mark the pages of one tag, over the number of pages held.

The time must follow the pages hit, never the pages held, and end where they are judged later.
"""

import asyncio
import statistics
import time
from typing import Any

from asgi_isr import CacheMiddleware, CacheSettings, PageCache
from asgi_isr.coherence import RULES
from asgi_isr.testing import request
from benchmarks.report import BenchmarkError, Report, Value, rounded

HELD = (1_000, 20_000, 100_000)
GROUPS = (1, 100, 10_000)
SAMPLES_MAX = 20
LIMIT_S = 120.0


async def _page(scope: Any, receive: Any, send: Any) -> None:
    """Render a small page with a tag for each size of group that it is in."""
    if scope["type"] != "http":
        return
    await receive()
    number = int(scope["path"].rpartition("/")[2])
    tags = ", ".join(f"group-{size}:{number // size}" for size in GROUPS)
    fields = [(b"cache-control", b"max-age=86400"), (b"cache-tag", tags.encode())]
    await send({"type": "http.response.start", "status": 200, "headers": fields})
    await send({"type": "http.response.body", "body": b"page"})


def _times_us(cache: PageCache, tags: list[str], size: int, *, hard: bool) -> list[float]:
    """Return the microseconds that each of `tags` took. `size` pages must carry each."""
    found = []
    for tag in tags:
        marked, before = cache.counters.invalidated, time.thread_time_ns()
        cache.session.local.invalidate((tag,), hard=hard, now=cache.clock.monotonic())
        found.append((time.thread_time_ns() - before) / 1e3)
        expected = size if size <= RULES.pages_at_once() else 0  # more are judged when used
        if cache.counters.invalidated - marked != expected:
            raise BenchmarkError(f"{tag} marked other pages than {expected} of {size}")
    return found


async def _rows(held: int) -> list[dict[str, Value]]:
    cache = PageCache(CacheSettings(vary_host=False, local_bytes_max=1 << 40))
    app = CacheMiddleware(_page, cache)
    rows: list[dict[str, Value]] = []
    async with cache, asyncio.timeout(LIMIT_S):
        while "stored" not in (await request(app, "/page/0")).cache_status:  # noqa: ASYNC110  it joins
            await asyncio.sleep(0)
        for number in range(1, held):
            await request(app, f"/page/{number}")
        none = _times_us(cache, [f"no-page:{n}" for n in range(SAMPLES_MAX)], 0, hard=True)
        rows.append(_row(held, 0, none, none))
        for size in GROUPS:
            # From the second group on, so that no page is in samples of two sizes.
            first = 0 if size == 1 else 1
            numbers = range(first, min(first + SAMPLES_MAX, held // size))
            tags = [f"group-{size}:{number}" for number in numbers]
            if tags:
                soft = _times_us(cache, tags, size, hard=False)
                rows.append(_row(held, size, soft, _times_us(cache, tags, size, hard=True)))
    return rows


def _row(held: int, hit: int, soft: list[float], hard: list[float]) -> dict[str, Value]:
    return {
        "pages held": held,
        "pages hit": hit,
        "soft µs": rounded(statistics.median(soft)),
        "hard µs": rounded(statistics.median(hard)),
        "hard µs per page": rounded(statistics.median(hard) / hit) if hit else "",
        "samples": len(hard),
    }


def measure(*, quick: bool) -> list[Report]:
    """Measure all; `quick` shows that it works, its figures say nothing."""
    rows = [row for held in ((200,) if quick else HELD) for row in asyncio.run(_rows(held))]
    notes = (
        "medians; hard drops the pages, soft marks them; pages of four path tags and three more",
        f"of more than {RULES.pages_at_once()} pages each is judged when it is used",
    )
    return [Report("invalidate: CPU time for one tag", rows, notes)]
