"""`MemoryStore`: the store in the memory of one process, for a single instance and for tests.

It keeps every promise of the `Store` port, and its switches (`down`, `clear`) let a test lose what
a real store can lose.
"""

from collections import OrderedDict
from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from asgi_isr.errors import StoreUnavailableError
from asgi_isr.ports import Clock

__all__ = ["BYTES_MAX", "LOCKS_MAX", "HeldLock", "MemoryStore", "StoredValue"]

BYTES_MAX = 256 * 1024 * 1024
LOCKS_MAX = 10_000


class StoredValue(NamedTuple):
    """A value with its fence; it `ends` at this second of `Clock.monotonic`."""

    value: bytes
    fence: int
    ends: float

    def size(self, key: str) -> int:
        """Return how many bytes it counts for at `key`."""
        return len(key) + len(self.value)


class HeldLock(NamedTuple):
    """A lock in the name of its owner; it `ends` at this second of `Clock.monotonic`."""

    owner: str
    ends: float


class MemoryStore:
    """A `Store` of at most `bytes_max` bytes of keys and values; the least recently used go first.

    Times to live follow `clock.monotonic`. While `down` is true every call raises
    `StoreUnavailableError`, and so does `lock` with `locks_max` locks held.
    """

    def __init__(
        self, clock: Clock, *, bytes_max: int = BYTES_MAX, locks_max: int = LOCKS_MAX
    ) -> None:
        self.down = False
        self._clock = clock
        self._bytes_max = bytes_max
        self._locks_max = locks_max
        self._bytes = 0
        self._entries: OrderedDict[str, StoredValue] = OrderedDict()
        self._locks: dict[str, HeldLock] = {}

    @property
    def bytes_held(self) -> int:
        """How many bytes of keys and values it holds."""
        return self._bytes

    @property
    def entries(self) -> Mapping[str, StoredValue]:
        """What stands at each key, the least recently used first; some of it may have ended."""
        return MappingProxyType(self._entries)

    @property
    def locks(self) -> Mapping[str, HeldLock]:
        """The locks that were not given back; some may have ended."""
        return MappingProxyType(self._locks)

    def __len__(self) -> int:
        return len(self._entries)

    async def get(self, key: str) -> bytes | None:
        """Return the value at `key`, or None."""
        self._check_up()
        entry = self._living(key)
        if entry is None:
            return None
        self._entries.move_to_end(key)
        return entry.value

    async def put(self, key: str, value: bytes, *, fence: int, ttl_s: float) -> bool:
        """Keep `value` unless one with a higher fence stands there, or it is above `bytes_max`."""
        self._check_up()
        standing = self._living(key)
        entry = StoredValue(value, fence, self._clock.monotonic() + ttl_s)
        if standing is not None and standing.fence > fence:
            return False
        if entry.size(key) > self._bytes_max:
            return False
        self._drop(key)
        self._entries[key] = entry
        self._bytes += entry.size(key)
        while self._bytes > self._bytes_max:
            self._drop(next(iter(self._entries)))
        return True

    async def lock(self, key: str, owner: str, *, ttl_s: float) -> bool:
        """Take the lock at `key` if it is free or has ended."""
        self._check_up()
        now = self._clock.monotonic()
        standing = self._locks.get(key)
        if standing is not None and standing.ends > now:
            return False
        self._locks.pop(key, None)
        if len(self._locks) >= self._locks_max:
            self._locks = {name: lock for name, lock in self._locks.items() if lock.ends > now}
        if len(self._locks) >= self._locks_max:
            raise StoreUnavailableError(
                f"the memory store holds {self._locks_max} locks, its limit"
            )
        self._locks[key] = HeldLock(owner, now + ttl_s)
        return True

    async def unlock(self, key: str, owner: str) -> None:
        """Give the lock back if `owner` still holds it."""
        self._check_up()
        standing = self._locks.get(key)
        if standing is not None and standing.owner == owner:
            del self._locks[key]

    async def close(self) -> None:
        """Forget everything."""
        self.clear()

    def clear(self) -> None:
        """Lose every value and lock, as a store that restarts without its data."""
        self._entries.clear()
        self._locks.clear()
        self._bytes = 0

    def _check_up(self) -> None:
        if self.down:
            raise StoreUnavailableError("the memory store is switched off (`down` is true)")

    def _living(self, key: str) -> StoredValue | None:
        entry = self._entries.get(key)
        if entry is not None and entry.ends <= self._clock.monotonic():
            self._drop(key)
            return None
        return entry

    def _drop(self, key: str) -> None:
        entry = self._entries.pop(key, None)
        if entry is not None:
            self._bytes -= entry.size(key)
