"""One instance: the real engine behind links of its own, started, stopped and killed."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from asgi_isr import CacheMiddleware, CacheSettings, PageCache
from asgi_isr.coherence import Follower, Index, Snapshot
from asgi_isr.ports import Clock, Log, LogMessage

from simulation.application import Application
from simulation.asking import written
from simulation.known import Known
from simulation.network import Link
from simulation.profile import (
    CONSISTENCY_WAIT_S,
    LEASE_S,
    LOCK_TTL_S,
    LOCK_WAIT_S,
    RENDER_TIMEOUT_S,
)
from simulation.store import StoreLink
from simulation.world import World, WorldClock


class ObservedFollower(Follower):
    """The engine's follower, with the seed's randomness, and noting what it is told."""

    def __init__(
        self, log: Log, index: Index, clock: Clock, *, lease_s: float | None,
        load_snapshot: Callable[[], Awaitable[Snapshot | None]], **callbacks: Any,
    ) -> None:  # fmt: skip
        if not isinstance(log, Link):
            raise TypeError("an instance of the simulation follows the log over a Link")
        self._link = log
        self._loaded: Snapshot | None = None

        async def load_noted() -> Snapshot | None:
            self._loaded = await load_snapshot()
            return self._loaded

        rng = random.Random(log.rng.random())
        super().__init__(
            log, index, clock, lease_s=lease_s, load_snapshot=load_noted, rng=rng, **callbacks
        )

    def _apply(self, batch: Sequence[LogMessage]) -> None:
        before = self.position
        try:
            super()._apply(batch)
        finally:
            for message in batch:
                if before is not None and before < message.seq <= (self.position or 0):
                    self._link.consumed(message)

    async def _attach(self) -> None:
        await super()._attach()
        if self._loaded is not None and not self.counters.rejoins:
            self._link.joined_from(self._loaded)
        self._loaded = None

    async def _rejoin(self, end: int) -> None:
        await super()._rejoin(end)
        self._link.joined_behind(end)


class ObservedIndex(Index):
    """The engine's index, counting how often it forgets."""

    prunes = 0

    def _prune(self) -> None:
        self.prunes += 1
        super()._prune()


class ObservedCache(PageCache):
    """The engine; planted faults are built on it."""

    index_type = ObservedIndex
    follower_type = ObservedFollower


class Instance:
    """A process. `gone` when it was killed: nothing of it reaches anybody any more.

    `run` lives in a task of its own until `stop` or `kill`.
    """

    def __init__(self, world: World, name: str, cache_type: type[PageCache]) -> None:
        self.name = name
        self.gone = False
        self._world = world
        self.link = Link(
            name, world.writers, world.announced, world.observer, rng=world.rng,
            tally=world.tally, note=world.note,
        )  # fmt: skip
        self.store = StoreLink(
            name, world.store, world.weather, world.locks, rng=world.rng, tally=world.tally
        )
        settings = CacheSettings(
            lease_s=LEASE_S,
            render_timeout_s=RENDER_TIMEOUT_S,
            lock_ttl_s=LOCK_TTL_S,
            lock_wait_s=LOCK_WAIT_S,
            refresh_interval_s=0.1,
            consistency_wait_s=CONSISTENCY_WAIT_S,
            local_bytes_max=world.profile.local_bytes_max,
            index_tags_max=world.profile.index_tags_max,
        )
        clock = WorldClock(world.loop, world.rng.choice((0.0, 0.0, -0.7, 0.7)))
        self.cache = cache_type(settings, log=self.link, store=self.store, clock=clock)
        self.asgi = CacheMiddleware(Application(world, name), self.cache, read_your_writes=written)
        self._stopped = asyncio.Event()

    @property
    def known(self) -> Known:
        """What it has been told."""
        return self.link.known

    @property
    def position(self) -> int:
        """How far it has consumed the log; -1 before it has reached it."""
        return -1 if self.cache.follower.position is None else self.cache.follower.position

    @property
    def ready(self) -> bool:
        """Whether it has joined and has a lease."""
        follower = self.cache.follower
        return follower.joined and follower.lease_until > self._world.loop.time()

    async def run(self) -> None:
        """Live until told to stop."""
        self._world.tally["instance: starts"] += 1
        self._world.note(self.name, "", "starts")
        async with self.cache:
            await self._stopped.wait()
        self._world.tally["change: unannounced"] += self.cache.counters.unannounced
        self._world.tally["instance: awaits"] += self.cache.counters.awaited
        self._world.tally["instance: evicts"] += self.cache.local.evicted
        self._world.tally["instance: prunes"] += getattr(self.cache.index, "prunes", 0)
        self._world.note(self.name, "", "is gone" if self.gone else "has stopped")

    def stop(self) -> None:
        """End in good order: what renders is cancelled, locks are given back."""
        self._stopped.set()

    def kill(self) -> None:
        """End at once: nothing that it still does gets through."""
        self.gone = True
        self.link.dead = self.store.dead = True
        self._stopped.set()

    def remains(self) -> list[str]:
        """Return what it has left undone after its end."""
        renders = self.cache.renders
        left = {
            "flights": len(renders._flights),  # noqa: SLF001  what must be empty is not public
            "tasks": len(renders._flying),  # noqa: SLF001
            "refreshes": renders._refreshing,  # noqa: SLF001
        }
        return [f"{self.name} left {number} {what}" for what, number in left.items() if number]
