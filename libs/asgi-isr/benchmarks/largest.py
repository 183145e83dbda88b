"""What the largest events cost: in proportion to their bytes, and how long they hold up requests.

Names of every script and spelling, and tags that very many pages here carry.
"""

import asyncio
import gc
import json
import logging
import statistics
import time
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import quote

from asgi_isr import CacheMiddleware, CacheSettings, PageCache
from asgi_isr.coherence import RULES, Index
from asgi_isr.events import EVENT_BYTES_MAX, NAMES_MAX, decode
from asgi_isr.logs.memory import MemoryLog
from asgi_isr.testing import ready, request
from benchmarks.report import BenchmarkError, Report, Value, rounded

INDEX_TAGS = 200_000
PAGES = 100_000
EVENTS_PER_S = 100
HITS_PER_S = 500
SECONDS = 10.0
ROUNDS = 7
LIMIT_S = 600.0
RATIO_BYTES = 24_000  # and twice as many: below the limits, above what is the same for each event
GROUP = "group"

# One name each, repeated with a number before it: what a path may be written with.
PIECES = {
    "ASCII": "a" * 50,
    "Cyrillic": "ж" * 25,
    "Cyrillic, encoded": quote("ж" * 9),
    "Chinese": "通" * 17,
    "emoji": "😀" * 12,
    "folds to two letters": "ß" * 25,
    "folds to three": "ΐ" * 25,
    "every letter encoded": "%41" * 17,
    "every other encoded": "%41b" * 13,
    "encoded again and again": "%" + "25" * 24 + "41",
    "deep": "a/" * 25,
    "long": "%F0%9F%98%80" * 1000,
    "no page's": "//" * 25,
}


def event(piece: str, number: int, bytes_max: int = EVENT_BYTES_MAX, field: str = "paths") -> bytes:
    """Return an event of as many names as may be in `bytes_max`; no two have names in common."""
    names: list[str] = []
    left = bytes_max - len(json.dumps({field: []}, separators=(",", ":")))
    while len(names) < NAMES_MAX:
        name = f"/{number}-{len(names)}/{piece}"
        left -= len(name.encode()) + 3
        if left < 0:
            break
        names.append(name)
    return json.dumps({field: names}, ensure_ascii=False, separators=(",", ":")).encode()


def _cost_ms(index: Index, body: bytes, seq: int) -> float:
    """Return the CPU time of reading and raising one event, without pauses."""
    before = time.process_time()
    for part in decode(body).parts():
        index.apply(part.tags, seq, hard=True)
    return (time.process_time() - before) * 1e3


def _ratios(rounds: int) -> Report:
    """Compare an event with one of twice its bytes."""
    rows: list[dict[str, Value]] = []
    index = Index(tags_max=INDEX_TAGS)
    for name, piece in PIECES.items():
        small, large = event(piece, 1, RATIO_BYTES), event(piece, 2, 2 * RATIO_BYTES)
        costs = [
            (_cost_ms(index, small, seq), _cost_ms(index, large, seq + 1))
            for seq in range(1, 2 * rounds, 2)
        ]
        once, twice = (min(cost) for cost in zip(*costs, strict=True))
        rows.append(
            {
                "names": name,
                "bytes": len(small),
                "ms": rounded(once),
                "of twice the bytes, ms": rounded(twice),
                "ratio": rounded(twice / once * 2 * len(small) / len(large)),
            }
        )
    notes = (f"least of {rounds} rounds, CPU time; a ratio of 2 is linear",)
    return Report("largest: cost of an event and of one of twice its bytes", rows, notes)


async def _page(_scope: Any, receive: Any, send: Any) -> None:
    """Render a page of one group."""
    await receive()
    fields = [(b"cache-control", b"max-age=86400"), (b"cache-tag", GROUP.encode())]
    await send({"type": "http.response.start", "status": 200, "headers": fields})
    await send({"type": "http.response.body", "body": b"page"})


async def _longest_turn_ms(work: Callable[[], Awaitable[None]]) -> tuple[float, float]:
    """Return the longest turn of the loop during `work`, and the sum of all, in CPU ms."""
    turns: list[float] = []

    async def note() -> None:
        last = time.thread_time()
        while True:
            await asyncio.sleep(0)
            now = time.thread_time()
            turns.append((now - last) * 1e3)
            last = now

    noting = asyncio.ensure_future(note())
    await asyncio.sleep(0)
    await work()
    await asyncio.sleep(0)
    noting.cancel()
    return max(turns), sum(turns)


async def _turns(pages: int, rounds: int) -> list[dict[str, Value]]:
    log = MemoryLog()
    cache = PageCache(
        CacheSettings(vary_host=False, local_bytes_max=1 << 40, index_tags_max=INDEX_TAGS), log=log
    )
    app = CacheMiddleware(_page, cache)
    rows: list[dict[str, Value]] = []
    async with cache, asyncio.timeout(LIMIT_S):
        await ready(cache)
        for number in range(pages):
            await request(app, f"/page/{number}")
        if len(cache.session.local.entries) != pages:
            raise BenchmarkError("not every page was stored")
        for number in range(INDEX_TAGS // NAMES_MAX):  # a full index
            log.publish(event("a", number, field="tags"))
        await cache.applied(log.last_seq, timeout_s=LIMIT_S)

        async def measured(name: str, bodies: list[bytes]) -> None:
            longest, sums = [], []
            for body in bodies:

                async def work(body: bytes = body) -> None:
                    await cache.applied(log.publish(body), timeout_s=LIMIT_S)

                turn, total = await _longest_turn_ms(work)
                longest.append(turn)
                sums.append(total)
            rows.append(
                {
                    "event": name,
                    "bytes": len(bodies[-1]),
                    "longest turn, median ms": rounded(statistics.median(longest)),
                    "most, ms": rounded(max(longest)),
                    "whole, median ms": rounded(statistics.median(sums)),
                }
            )

        gc.collect()
        gc.freeze()
        gc.disable()  # a collection is not the event's doing
        try:
            for name, piece in PIECES.items():
                await measured(name, [event(piece, 1000 + n) for n in range(rounds)])
            bodies = [event("a" * 50, 2000 + n, field="tags") for n in range(rounds)]
            await measured("tags", bodies)
            group = b'{"tags":["%b"],"mode":"%%b"}' % GROUP.encode()
            await measured(f"soft, a tag of {pages:,} pages", [group % b"soft"] * rounds)
            await measured(f"hard, a tag of {pages:,} pages", [group % b"hard"] * rounds)
            await measured("everything", [b'{"tags":["*"]}'] * rounds)
        finally:
            gc.enable()
            gc.unfreeze()
    return rows


async def _hits(seconds: float, bodies: list[bytes]) -> dict[str, Value]:
    """Ask for pages at a constant rate, while events arrive at a constant rate."""
    log = MemoryLog()
    cache = PageCache(CacheSettings(vary_host=False, index_tags_max=INDEX_TAGS), log=log)
    app = CacheMiddleware(_page, cache)
    times_ms: list[float] = []
    async with cache, asyncio.timeout(LIMIT_S):
        await ready(cache)
        for number in range(100):
            await request(app, f"/page/{number}")
        loop = asyncio.get_running_loop()
        begin = loop.time()

        async def publish() -> None:
            for number in range(int(seconds * EVENTS_PER_S) if bodies else 0):
                await asyncio.sleep(max(0.0, begin + number / EVENTS_PER_S - loop.time()))
                log.publish(bodies[number % len(bodies)])

        async def ask() -> None:
            for number in range(int(seconds * HITS_PER_S)):
                due = begin + number / HITS_PER_S
                await asyncio.sleep(max(0.0, due - loop.time()))
                reply = await request(app, f"/page/{number % 100}")
                times_ms.append((loop.time() - due) * 1e3)  # what waited counts
                if "hit" not in reply.cache_status:
                    raise BenchmarkError(f"not a hit: {reply.cache_status}")

        before = time.process_time()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(publish())
            tasks.create_task(ask())
        cpu = (time.process_time() - before) / (loop.time() - begin)
        await cache.applied(log.last_seq, timeout_s=LIMIT_S)
    ordered = sorted(times_ms)
    return {
        "p50 ms": rounded(ordered[len(ordered) // 2]),
        "p99 ms": rounded(ordered[len(ordered) * 99 // 100]),
        "most ms": rounded(ordered[-1]),
        "CPU %": rounded(cpu * 100),
    }


def _latencies(seconds: float) -> Report:
    rows: list[dict[str, Value]] = []
    kinds = {"no events": "", "ASCII": "a" * 50, "Cyrillic, encoded": PIECES["Cyrillic, encoded"]}
    for name, piece in kinds.items():
        # Fewer names than the index holds: pruning it would cost pages (rule 5).
        bodies = [event(piece, number) for number in range(100)] if piece else []
        rows.append({"events": name, **asyncio.run(_hits(seconds, bodies))})
    notes = (
        f"{HITS_PER_S} hits and {EVENTS_PER_S} of the largest events a second in one event loop",
        "wall time from when a hit was due, on a machine that may be busy",
    )
    return Report("largest: hits while the largest events arrive", rows, notes)


def measure(*, quick: bool) -> list[Report]:
    """Measure all; `quick` shows that it works, its figures say nothing."""
    logging.disable(logging.WARNING)  # of names that no page can have
    pages, rounds, seconds = (200, 1, 0.2) if quick else (PAGES, ROUNDS, SECONDS)
    notes = (
        f"{rounds} events each, {pages:,} pages held, an index full with {INDEX_TAGS:,} tags",
        "CPU time from one turn of the loop to the next, without garbage collections",
        f"of more than {RULES.pages_at_once()} pages each is judged when it is used",
    )
    turns = Report("largest: how long one event holds the loop",
                   asyncio.run(_turns(pages, rounds)), notes)  # fmt: skip
    return [_ratios(rounds), turns, _latencies(seconds)]
