"""Which pages an event hit, as the instances tell it; merged over all of them, bounded.

A replica hears every instance. What is kept is what the last 4,096 events hit, for a minute, and at
most 64 MiB as it came.
"""

from collections import Counter, OrderedDict
from collections.abc import Iterable

import msgspec
from asgi_isr.keys import path_problem
from asgi_isr.ports import Clock
from asgi_isr.reports import (
    INSTANCE_CHARS_MAX,
    POPULAR_BYTES_MAX,
    POPULAR_PAGES_MAX,
    POPULAR_PATH_CHARS_MAX,
    PopularPage,
    PopularPages,
)

__all__ = ["TOLD_BYTES_MAX", "TOLD_EVENTS_MAX", "TOLD_S", "Popularity"]

TOLD_EVENTS_MAX = 4096
TOLD_S = 60.0
TOLD_BYTES_MAX = 64 * 1024 * 1024
TELLING_INSTANCES_MAX = 256  # of one event

_decoder = msgspec.json.Decoder(PopularPages)


class _Hit:
    __slots__ = ("at", "by_instance", "bytes")

    def __init__(self, at: float) -> None:
        self.at = at
        self.bytes = 0
        self.by_instance: dict[str, PopularPages] = {}


class Popularity:
    """What instances have told about events."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._hits: OrderedDict[int, _Hit] = OrderedDict()
        self._bytes = 0

    def note(self, body: bytes) -> None:
        """Keep a message; one of another form is ignored, as nothing but speed depends on it."""
        if len(body) > POPULAR_BYTES_MAX:
            return
        try:
            told = _decoder.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return
        if len(told.instance) > INSTANCE_CHARS_MAX or len(told.pages) > POPULAR_PAGES_MAX:
            return
        now = self._clock.monotonic()
        hit = self._hits.get(told.seq)
        if hit is None:
            hit = self._hits[told.seq] = _Hit(now)
        if told.instance in hit.by_instance or len(hit.by_instance) < TELLING_INSTANCES_MAX:
            pages = [page for page in told.pages if _can_be_asked_for(page)]
            hit.by_instance[told.instance] = msgspec.structs.replace(told, pages=pages)
            hit.bytes += len(body)
            self._bytes += len(body)
        self._forget(now)

    def pages(self, seq: int) -> Counter[str]:
        """Return the hits of each path that the event at `seq` hit, summed over the instances."""
        hit = self._hits.get(seq)
        merged: Counter[str] = Counter()
        for told in hit.by_instance.values() if hit is not None else ():
            for page in told.pages:
                merged[page.path] += max(page.hits, 0)
        return merged

    def _forget(self, now: float) -> None:
        while self._hits:
            seq, oldest = next(iter(self._hits.items()))
            few = len(self._hits) <= TOLD_EVENTS_MAX and self._bytes <= TOLD_BYTES_MAX
            if few and now - oldest.at <= TOLD_S:
                return
            del self._hits[seq]
            self._bytes -= oldest.bytes


def _can_be_asked_for(page: PopularPage) -> bool:
    """Say whether a page can be warmed: of those that cannot one would spoil a whole request."""
    path = page.path.partition("?")[0]
    return len(page.path) <= POPULAR_PATH_CHARS_MAX and not path_problem(path)


class Plan:
    """What one round of warming asks for: each path once, for the latest event that hit it."""

    def __init__(self, by_event: dict[int, Counter[str]]) -> None:
        self.by_event = by_event
        self.seqs: dict[str, int] = {}
        total: Counter[str] = Counter()
        for seq, pages in by_event.items():
            for path, hits in pages.items():
                total[path] += hits
                self.seqs[path] = max(seq, self.seqs.get(path, 0))
        # The path decides among equals, so that all replicas ask in one order.
        self.paths = sorted(total, key=lambda path: (-total[path], path))

    def chunks(self, size: int) -> Iterable[tuple[int, list[str]]]:
        """Yield chunks of paths, the most popular first, each with the highest sequence in it."""
        for start in range(0, len(self.paths), size):
            paths = self.paths[start : start + size]
            yield max(self.seqs[path] for path in paths), paths
