"""What the index and the pages take in memory, measured in fresh processes.

RSS counts everything, tracemalloc what Python asked for; the cache's own account is compared.
"""

import asyncio
import gc
import multiprocessing
import random
import tracemalloc
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import psutil
from asgi_isr import CacheMiddleware, CacheSettings, PageCache
from asgi_isr.coherence import Index
from asgi_isr.testing import request
from benchmarks.report import BenchmarkError, Report, Value, rounded

INDEX_TAGS = 100_000
PAGES = 10_000
BODY_BYTES = 12_000
FIRST_SEQ = 1_795_400_000_000_000
LIMIT_S = 120.0
_KINDS = ("currency:usd", "pair:usd-eur", "day:2026", "product:sku")
_HEADERS = (
    (b"content-type", b"text/html; charset=utf-8"),
    (b"cdn-cache-control", b"max-age=86400, stale-while-revalidate=60"),
    (b"cache-control", b"public, max-age=0, must-revalidate"),
    (b"x-content-type-options", b"nosniff"),
    (b"content-security-policy", b"default-src 'self'; img-src 'self' data:"),
    (b"referrer-policy", b"strict-origin-when-cross-origin"),
    (b"permissions-policy", b"geolocation=(), camera=()"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"strict-transport-security", b"max-age=63072000; includeSubDomains"),
    (b"link", b"</static/app.css>; rel=preload; as=style"),
    (b"content-language", b"en"),
)


def _rss() -> int:
    gc.collect()
    size: int = psutil.Process().memory_info().rss
    return size


def index_bytes(tags: int, *, traced: bool) -> int:
    """Return what an index of `tags` tags takes, by RSS or as traced by Python."""
    if traced:
        tracemalloc.start()
    before = _rss()
    index = Index(tags_max=tags)
    for number in range(tags):
        kind = _KINDS[number % len(_KINDS)]
        index.apply((f"{kind}-{number:06d}",), FIRST_SEQ + number, hard=True)
    if len(index) != tags:
        raise BenchmarkError(f"the index holds {len(index)} of {tags} tags")
    return tracemalloc.get_traced_memory()[0] if traced else _rss() - before


async def _page(scope: Any, receive: Any, send: Any) -> None:
    """Render a page that compresses as tables do, with its own objects as a server gives them."""
    if scope["type"] != "http":
        return
    await receive()
    path: str = scope["path"]
    number = int(path.rpartition("/")[2])
    rng = random.Random(number)  # noqa: S311  a page is the same every time
    row = b"<tr><td>2026-10-%02d</td><td>USD</td><td>%.6f</td><td>%.6f</td></tr>\n"
    rows = [
        row % (rng.randrange(31), rng.random(), rng.random()) for _ in range(BODY_BYTES // 60 + 1)
    ]
    tags = ", ".join(f"{kind}-{number // 10**place:06d}" for place, kind in enumerate(_KINDS))
    fields = [(bytes(bytearray(name)), bytes(bytearray(value))) for name, value in _HEADERS]
    fields.append((b"cache-tag", tags.encode()))
    await send({"type": "http.response.start", "status": 200, "headers": fields})
    await send({"type": "http.response.body", "body": b"".join(rows)[:BODY_BYTES]})


def _stored(page: Any) -> int:
    """Return the bytes that a page has to keep: bodies, fields and tags, without any object."""
    bodies = sum(map(len, page.bodies.values()))
    fields = sum(len(name) + len(value) for name, value in page.headers)
    return bodies + fields + sum(map(len, page.tags))


def page_bytes(pages: int) -> dict[str, int]:
    """Return what `pages` pages take: as stored, by RSS, after hits, and by the cache's account."""
    return asyncio.run(_page_bytes(pages))


async def _page_bytes(pages: int) -> dict[str, int]:
    cache = PageCache(CacheSettings(vary_host=False, local_bytes_max=1 << 40))
    app = CacheMiddleware(_page, cache)
    async with cache, asyncio.timeout(LIMIT_S):
        while "; hit" not in (await request(app, "/warm/0")).cache_status:  # noqa: ASYNC110  it joins
            await asyncio.sleep(0)
        held = cache.session.local.bytes
        before = _rss()
        paths = [f"/pairs/{number}" for number in range(pages)]
        for path in paths:
            await request(app, path)
        kept = _rss() - before
        for path in paths:
            for coding in ("identity", "gzip"):
                reply = await request(app, path, headers={"accept-encoding": coding})
                if "; hit" not in reply.cache_status:
                    raise BenchmarkError(f"{path} is not held: {reply.cache_status}")
        entries = [entry for key, entry in cache.session.local.entries.items() if key in set(paths)]
        return {
            "stored": sum(_stored(entry.page) for entry in entries),
            "held": kept,
            "held after hits": _rss() - before,
            "own account": cache.session.local.bytes - held,
        }


def _fresh(function: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
    """Call `function` in a process that has done nothing else."""
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(max_workers=1, mp_context=spawn) as pool:
        return pool.submit(function, *arguments, **named).result(LIMIT_S)


def measure(*, quick: bool) -> list[Report]:
    """Measure all; `quick` shows that it works, its figures say nothing."""
    tags, pages = (1000, 100) if quick else (INDEX_TAGS, PAGES)
    rss, traced = (_fresh(index_bytes, tags, traced=traced) for traced in (False, True))
    index: list[dict[str, Value]] = [
        {"measured": name, "MB": rounded(size / 1e6), "bytes per tag": round(size / tags)}
        for name, size in (("RSS", rss), ("traced", traced))
    ]
    sizes = _fresh(page_bytes, pages)
    rows: list[dict[str, Value]] = [
        {
            "measured": name,
            "MB": rounded(size / 1e6),
            "bytes per page": round(size / pages),
            "ratio": rounded(size / sizes["stored"]),
        }
        for name, size in sizes.items()
    ]
    notes = (
        f"{BODY_BYTES:,} bytes of HTML and its gzip body, 12 fields and 8 tags each",
        "stored: bodies, fields and tags without any object; held: RSS",
        "after hits: every page was hit once with and once without gzip",
    )
    return [
        Report(f"memory: an index of {tags:,} tags", index),
        Report(f"memory: {pages:,} pages in this process", rows, notes),
    ]
