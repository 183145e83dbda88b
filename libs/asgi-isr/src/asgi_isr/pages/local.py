"""Pages in this process: bounded by bytes, found by key, marked by tag through a reverse index."""

from collections import OrderedDict
from collections.abc import Collection, Iterable
from itertools import chain, islice

from asgi_isr.http import vary
from asgi_isr.keys import EVERYTHING
from asgi_isr.pages.entry import DEAD, Entry
from asgi_isr.pages.vary_memory import VaryingKeys

SECOND_CHANCES_MAX = 64  # of one eviction: beyond it a page goes although it was used
POPULAR_LOOKS_MAX = 2048  # pages of one event: some 0.2 ms
MARKED_MIN = 256  # pages of one invalidation, from which on they are only marked


class LocalPages:
    """Entries by key, at most `bytes_max` of them; the least recently used go first (CLOCK).

    `varied` names the request fields that pages at a key vary on, where they do.
    """

    def __init__(self, *, bytes_max: int) -> None:
        self._bytes_max = bytes_max
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

    def invalidate(self, tags: Collection[str], *, hard: bool, now: float) -> int:
        """Mark the pages that carry one of `tags`; return how many. Costs nothing for others."""
        if EVERYTHING in tags:
            marked: Collection[str] = list(self.entries)
        else:
            marked = {key for tag in tags for key in self._keys(tag)}
        if hard and len(marked) <= MARKED_MIN:
            for key in marked:
                self.drop(key)
            return len(marked)
        # Dropping thousands would hold up every request: those that are dead go when they are
        # asked for, or first when there is no room.
        for key in marked:
            entry = self.entries[key]
            if hard:
                entry.soft_since, entry.used = DEAD, False
            elif entry.soft_since is None:
                entry.soft_since = now
        return len(marked)

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
            if not entry.used:
                break
            entry.used = False
            self.entries.move_to_end(key)
        self.drop(next(iter(self.entries)))
        self.evicted += 1
