"""What it costs to follow the log: decoding and applying an event, and a real log from end to end.

No pages are held: how fast they are found is `invalidate`'s subject.
"""

import asyncio
import functools
import gc
import itertools
import multiprocessing
import statistics
import time
from collections.abc import Callable, Iterable
from multiprocessing.synchronize import Event
from typing import TypeVar

from asgi_isr import CacheSettings, PageCache
from asgi_isr.coherence import Index, decode_snapshot, encode_snapshot
from asgi_isr.events import SUBJECT_PREFIX, Invalidation, decode, encode
from asgi_isr.logs.nats import NatsLog, close, connect, ensure_stream
from benchmarks.report import BenchmarkError, Report, Value, rounded
from perfcheck_embedded import servers

INDEX_TAGS = 100_000
EVENT_TAGS = 3
CALLS = 50_000
ROUNDS = 5
FOLLOWED_EVENTS = 60_000
FIRST_SEQ = 1_795_400_000_000_000  # sequences are microseconds since 1970 and more
LIMIT_S = 60.0
SNAPSHOTS = 10
_TICK_S = 0.001
_POLL_S = 0.01

T = TypeVar("T")


def tags_of(number: int) -> tuple[str, ...]:
    """Return the tags of an event, as long as those of a shop or a bank."""
    return (f"currency:usd-{number:06d}", f"pair:usd-eur-{number:06d}", f"day:2026-{number:06d}")


def _cpu_us(call: Callable[[], object], calls: int) -> float:
    before = time.process_time()
    for _ in range(calls):
        call()
    return (time.process_time() - before) / calls * 1e6


def _full_index(tags: int) -> Index:
    index = Index(tags_max=tags)
    for number in range(tags // EVENT_TAGS):
        index.apply(tags_of(number), FIRST_SEQ + number, hard=True)
    return index


def _rows(figures: dict[str, list[float]]) -> list[dict[str, Value]]:
    return [
        {
            "what": name,
            "median": rounded(statistics.median(values)),
            "least": rounded(min(values)),
            "most": rounded(max(values)),
        }
        for name, values in figures.items()
    ]


def _gathered(rounds: Iterable[dict[str, float]]) -> dict[str, list[float]]:
    """Turn the figures of each round into the rounds of each figure."""
    found = list(rounds)
    return {name: [figures[name] for figures in found] for name in found[0]}


def _costs(index_tags: int, calls: int, rounds: int) -> Report:
    """Measure the parts that run for each event."""
    index = _full_index(index_tags)
    held = index_tags // EVENT_TAGS
    body = encode(Invalidation(tags=tags_of(held // 2)))
    event = decode(body)
    seqs = itertools.count(FIRST_SEQ + index_tags)
    known = itertools.cycle(decode(encode(Invalidation(tags=tags_of(n)))) for n in range(held))
    new = (decode(encode(Invalidation(tags=tags_of(held + n)))) for n in itertools.count())

    def apply(event: Invalidation) -> None:
        index.apply(event.index_tags(), next(seqs), hard=event.hard)

    def round_us() -> dict[str, float]:
        # The events are made before: only what the index does with them is measured.
        seen = list(itertools.islice(known, calls))
        unseen = list(itertools.islice(new, calls))
        return {
            "decode": _cpu_us(lambda: decode(body), calls),
            "canonical tags": _cpu_us(event.index_tags, calls),
            "apply, tags known": _cpu_us(lambda: apply(seen.pop()), calls),
            "apply, tags new, pruning": _cpu_us(lambda: apply(unseen.pop()), calls),
        }

    figures = _gathered(round_us() for _ in range(rounds))
    notes = (
        f"an event of {EVENT_TAGS} tags, none of a page held here; index full, {index_tags:,} tags",
        f"{rounds} rounds of {calls:,} calls",
        "apply includes the canonical tags; delivery is not counted",
    )
    return Report("events: CPU µs per event", _rows(figures), notes)


def _pauses(index_tags: int, events: int) -> Report:
    """Measure what holds up the event loop: the slowest of the single calls."""
    index = _full_index(index_tags)
    pauses: dict[str, list[float]] = {}

    def timed(name: str, call: Callable[[], T]) -> T:
        before = time.thread_time()
        result = call()
        pauses.setdefault(name, []).append((time.thread_time() - before) * 1e3)
        return result

    gc.disable()  # a collection is not the index's doing
    try:
        for number in range(index_tags, index_tags + events):
            apply = functools.partial(index.apply, hard=number % 8 != 0)
            timed("apply", functools.partial(apply, tags_of(number), FIRST_SEQ + number))
            if number % (events // SNAPSHOTS) == 0:
                snapshot = timed("snapshot: copy", lambda: index.snapshot(FIRST_SEQ, None))
                data = timed("snapshot: encode", functools.partial(encode_snapshot, snapshot))
                read = timed("snapshot: decode", functools.partial(decode_snapshot, data))
                if read is None:
                    raise BenchmarkError("a snapshot could not be read back")
                other = Index(tags_max=index_tags)
                timed("snapshot: restore", functools.partial(other.restore, read))
    finally:
        gc.enable()
    notes = (
        f"an index full with {index_tags:,} tags, {events:,} events of {EVENT_TAGS} new tags each",
        "CPU time of one call, without garbage collections",
    )
    return Report("events: how long one call holds the loop, ms", _rows(pauses), notes)


def _publish(url: str, events: int, ready: Event, start: Event) -> None:
    """Publish without waiting for each acknowledgement, in a process of its own."""

    async def run() -> None:
        client = await connect(url, name="publisher")
        bodies = [encode(Invalidation(tags=tags_of(number))) for number in range(events)]
        ready.set()
        if not await asyncio.to_thread(start.wait, LIMIT_S):
            return
        for body in bodies:
            await client.publish(f"{SUBJECT_PREFIX}.bench", body)
        await client.flush(int(LIMIT_S))
        await close(client)

    asyncio.run(run())


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(LIMIT_S):
        while not condition():  # noqa: ASYNC110  the state of other processes' doing
            await asyncio.sleep(_POLL_S)


async def _turns(turns: list[float]) -> None:
    """Note how much CPU time the loop's thread takes from one of its turns to the next."""
    while True:
        before = time.thread_time()
        await asyncio.sleep(_TICK_S)
        turns.append((time.thread_time() - before) * 1e3)


async def _followed(url: str, events: int) -> dict[str, float]:
    """Follow a real log while another process publishes, until the index has all."""
    client = await connect(url, name="setup")
    await ensure_stream(client.jetstream())
    await close(client)
    spawn = multiprocessing.get_context("spawn")
    ready, start = spawn.Event(), spawn.Event()
    publisher = spawn.Process(target=_publish, args=(url, events, ready, start), daemon=True)
    publisher.start()
    tags = events * EVENT_TAGS
    cache = PageCache(CacheSettings(index_tags_max=tags), log=NatsLog(url, publish_marks=True))
    turns: list[float] = []
    try:
        async with cache, asyncio.TaskGroup() as tasks:
            await _until(lambda: cache.session.follower.joined)
            await asyncio.to_thread(ready.wait, LIMIT_S)
            ticking = tasks.create_task(_turns(turns))
            before, cpu_before = time.perf_counter(), time.thread_time()
            start.set()
            await _until(lambda: len(cache.session.index) == tags)
            seconds, cpu_s = time.perf_counter() - before, time.thread_time() - cpu_before
            ticking.cancel()
    except TimeoutError:
        raise BenchmarkError(f"the index had not all {tags:,} tags in {LIMIT_S:g} s") from None
    finally:
        publisher.join(LIMIT_S)
    return {
        "events/s": events / seconds,
        "CPU µs per event": cpu_s / events * 1e6,
        "longest turn of the loop, ms": max(turns, default=0.0),
    }


def _log(events: int, rounds: int) -> Report:
    def round_figures() -> dict[str, float]:
        with servers(postgres=False, valkey=False) as running:
            return asyncio.run(_followed(running.nats_url, events))

    figures = _gathered(round_figures() for _ in range(rounds))
    notes = (
        f"{events:,} events of {EVENT_TAGS} tags, JetStream on disk; {rounds} rounds",
        "another process publishes as fast as it can; CPU is that of the follower's own thread",
        "a turn is CPU time of the loop's thread; the longest one has a full garbage collection",
    )
    return Report("events: one instance follows a real log", _rows(figures), notes)


def measure(*, quick: bool) -> list[Report]:
    """Measure all; `quick` shows that it works, its figures say nothing."""
    if quick:
        return [_costs(3000, 300, 1), _pauses(3000, 1000), _log(300, 1)]
    return [
        _costs(INDEX_TAGS, CALLS, ROUNDS),
        _pauses(INDEX_TAGS, 2 * INDEX_TAGS),
        _log(FOLLOWED_EVENTS, 3),
    ]
