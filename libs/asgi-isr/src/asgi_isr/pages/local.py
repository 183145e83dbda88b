"""Pages in this process: bounded by bytes, found by key, marked by tag through a reverse index."""

from collections import OrderedDict, deque
from collections.abc import Callable, Collection, Iterable
from itertools import chain, islice
from typing import NamedTuple

from asgi_isr.counters import Counters
from asgi_isr.http import vary
from asgi_isr.keys import EVERYTHING
from asgi_isr.pages.entry import Entry
from asgi_isr.pages.vary_memory import VaryingKeys

SECOND_CHANCES_MAX = 64  # of one eviction: beyond it a page goes although it was used
POPULAR_LOOKS_MAX = 1024  # pages of one event: some 0.1 ms
DOUBTS_MAX = 1024  # of which it is known when they came
_MARKED = -1  # as `good_at`: softly invalidated


class Verdict(NamedTuple):
    """How an index judges a page: softly invalidated, or hard."""

    soft: bool
    hard: bool


Judge = Callable[[Entry], Verdict]


class LocalPages:
    """Entries by key, at most `bytes_max` of them; the least recently used go first (CLOCK).

    `varied` names the request fields that pages at a key vary on, where they do.

    An invalidation marks at most `at_once` pages. Where more carry its tags it raises `doubts`:
    each page is then judged by the index (`judge`) before its next use, so that
    an invalidation takes no longer than its names do.
    """

    def __init__(
        self, *, bytes_max: int, judge: Judge, at_once: int,
        counters: Counters | None = None,
    ) -> None:  # fmt: skip
        self._bytes_max = bytes_max
        self._judge = judge
        self._at_once = at_once
        self._counters = counters or Counters()
        self._doubted_at: deque[float] = deque(maxlen=DOUBTS_MAX)
        self.doubts = 0
        self._by_tag: dict[str, str | set[str]] = {}  # a lone key stands by itself
        self.varied = VaryingKeys()
        self.entries: OrderedDict[str, Entry] = OrderedDict()
        self.bytes = 0
        self.evicted = 0

    def put(self, entry: Entry) -> bool:
        """Keep `entry` in place of what its key held; False if it is too large to be kept.

        One entry takes an eighth of the space at most, so that none can evict everything.
        """
        key = entry.page.key
        self.drop(key)
        self.varied.note(vary.primary(key), entry.page.vary)
        if entry.size > self._bytes_max // 8:
            return False
        while self.bytes + entry.size > self._bytes_max:
            self._evict_one()
        self.entries[key] = entry
        self.bytes += entry.size
        self._judged(entry)
        for tag in entry.page.tags:
            if tag != EVERYTHING:
                self._note(tag, key)
        return True

    def drop(self, key: str) -> None:
        """Forget the page at `key`, if there is one."""
        entry = self.entries.pop(key, None)
        if entry is None:
            return
        self.bytes -= entry.size
        for tag in entry.page.tags:
            if tag != EVERYTHING:
                self._forget(tag, key)

    def get(self, key: str) -> Entry | None:
        """Return the page at `key` unless it was invalidated hard."""
        entry = self.entries.get(key)
        if entry is None or entry.judged_at == self.doubts:
            return entry
        found = self._judge(entry)
        if found.hard:
            self._counters.invalidated += 1
            self.drop(key)
            return None
        if found.soft and entry.soft_since is None:
            self._counters.invalidated += 1
            entry.soft_since = self._doubted_since(entry)
        self._judged(entry)
        return entry

    def invalidate(self, tags: Collection[str], *, hard: bool, now: float) -> None:
        """Mark the pages that carry one of `tags`, which the index knows of. Free for others."""
        marked = self._carrying(tags)
        if marked is None:
            self.doubts += 1
            self._doubted_at.append(now)
            return
        self._counters.invalidated += len(marked)
        for key in marked:
            if hard:
                self.drop(key)
                continue
            entry = self.get(key)
            if entry is not None and entry.soft_since is None:
                entry.soft_since, entry.good_at = now, _MARKED

    def _carrying(self, tags: Collection[str]) -> Collection[str] | None:
        """Return the keys of the pages that carry one of `tags`; None where they are many."""
        if EVERYTHING in tags:
            return list(self.entries) if len(self.entries) <= self._at_once else None
        found: set[str] = set()
        for tag in filter(self._by_tag.__contains__, tags):
            keys = self._keys(tag)
            if len(found) + len(keys) > self._at_once:
                return None
            found.update(keys)
        return found

    def _judged(self, entry: Entry) -> None:
        entry.judged_at = self.doubts
        entry.good_at = self.doubts if entry.soft_since is None else _MARKED

    def _doubted_since(self, entry: Entry) -> float:
        """Return when the first doubt came since `entry` was judged: it is stale since then."""
        at = len(self._doubted_at) - (self.doubts - entry.judged_at)
        return self._doubted_at[at] if at >= 0 else entry.created

    def popular(self, tags: Iterable[str]) -> list[Entry]:
        """Return the pages with a hit that carry one of `tags`; of many, those looked at first."""
        keys = self.entries if EVERYTHING in tags else chain.from_iterable(map(self._keys, tags))
        looked_at = map(self.entries.__getitem__, islice(keys, POPULAR_LOOKS_MAX))
        return [entry for entry in looked_at if entry.hits]

    def clear(self) -> None:
        """Forget every page."""
        self.entries.clear()
        self._by_tag.clear()
        self.varied.clear()
        self.bytes = 0

    def _keys(self, tag: str) -> Collection[str]:
        found = self._by_tag.get(tag, ())
        return (found,) if isinstance(found, str) else found

    def _note(self, tag: str, key: str) -> None:
        found = self._by_tag.get(tag)
        if found is None:
            self._by_tag[tag] = key
        elif isinstance(found, str):
            self._by_tag[tag] = {found, key}
        else:
            found.add(key)

    def _forget(self, tag: str, key: str) -> None:
        found = self._by_tag[tag]
        if isinstance(found, str):
            del self._by_tag[tag]
            return
        found.discard(key)
        if len(found) == 1:
            self._by_tag[tag] = found.pop()

    def _evict_one(self) -> None:
        """Give each page that was used since the last look a second chance."""
        for _ in range(SECOND_CHANCES_MAX):
            key, entry = next(iter(self.entries.items()))
            if not entry.used or entry.judged_at != self.doubts:
                break
            entry.used = False
            self.entries.move_to_end(key)
        self.drop(next(iter(self.entries)))
        self.evicted += 1
