"""The shared store, what can happen to it, and one instance's link to it."""

import asyncio
import random
from collections.abc import Callable

from asgi_isr.coherence import Snapshot, decode_snapshot, snapshot_key
from asgi_isr.errors import StoreUnavailableError
from asgi_isr.ports import Clock
from asgi_isr.stores import MemoryStore

from simulation.locks import FleetLocks
from simulation.network import Gate, delay_s
from simulation.tally import Tally

VALUES_MAX = 12  # old values remembered of a key
TTL_S = 60.0


class SimulatedStore(MemoryStore):
    """The store in memory, which remembers what it once held."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self._held: dict[str, list[tuple[bytes, int]]] = {}

    async def put(self, key: str, value: bytes, *, fence: int, ttl_s: float) -> bool:
        """Keep and remember."""
        kept = await super().put(key, value, fence=fence, ttl_s=ttl_s)
        values = self._held.setdefault(key, [])
        values.append((value, fence))
        del values[:-VALUES_MAX]
        return kept

    async def fail_over(self, rng: random.Random, *, damaged: bool) -> None:
        """Lose everything; a replica takes over that is behind by a different time for each key.

        `damaged`: and its values lack their ends.
        """
        self.clear()
        for key, values in sorted(self._held.items()):
            value, fence = rng.choice(values)
            whole = len(value) // 2 if damaged else len(value)
            await super().put(key, value[:whole], fence=fence, ttl_s=TTL_S)


class StoreWeather:
    """How the shared store does just now, for all instances."""

    def __init__(self) -> None:
        self.slow = False
        self.gate = Gate()  # shut: it is frozen
        self.loses_puts = False
        self.loses_answers = False
        self.errs = False  # with errors that are none of its contract


class StoreLink:
    """One instance's link to the shared store: a `Store`. `dead`: nothing comes through."""

    def __init__(
        self, name: str, store: SimulatedStore, weather: StoreWeather, locks: FleetLocks, *,
        rng: random.Random, tally: Tally, on_snapshot: Callable[[Snapshot | None], None],
    ) -> None:  # fmt: skip
        self._on_snapshot = on_snapshot
        self.name = name
        self.dead = False
        self._store = store
        self._weather = weather
        self._locks = locks
        self._rng = rng
        self._tally = tally

    async def get(self, key: str) -> bytes | None:
        """Ask the store."""
        await self._travel()
        value = await self._store.get(key)
        await self._answer()
        if key == snapshot_key("isr"):
            self._on_snapshot(decode_snapshot(value) if value is not None else None)
        return value

    async def put(self, key: str, value: bytes, *, fence: int, ttl_s: float) -> bool:
        """Ask the store, which may acknowledge what it then loses."""
        await self._travel()
        if self._weather.loses_puts:
            self._tally["store: loses a put"] += 1
            return True
        kept = await self._store.put(key, value, fence=fence, ttl_s=ttl_s)
        await self._answer()
        return kept

    async def lock(self, key: str, owner: str, *, ttl_s: float) -> bool:
        """Ask the store."""
        await self._travel()
        taken = await self._store.lock(key, owner, ttl_s=ttl_s)
        if taken:
            self._locks.granted(key, self.name, ttl_s)
        await self._answer()
        return taken

    async def unlock(self, key: str, owner: str) -> None:
        """Ask the store."""
        await self._travel()
        await self._store.unlock(key, owner)
        self._locks.given_back(key, self.name)
        await self._answer()

    async def close(self) -> None:
        """Leave the store to the others."""

    async def _travel(self) -> None:
        slow = self._weather.slow
        await asyncio.sleep(self._rng.uniform(0.01, 0.09) if slow else delay_s(self._rng))
        await self._weather.gate.passed()
        if self.dead:
            raise StoreUnavailableError("the instance was killed")
        if self._weather.errs and self._rng.random() < 0.3:
            raise RuntimeError("the transport was closed")

    async def _answer(self) -> None:
        await asyncio.sleep(delay_s(self._rng))
        if self._weather.loses_answers and self._rng.random() < 0.3:
            self._tally["store: loses an answer"] += 1
            raise StoreUnavailableError("the answer was lost")
