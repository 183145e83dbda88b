"""One instance: the real engine behind links of its own, started, stopped and killed."""

import asyncio
import random

from asgi_isr import CacheMiddleware, CacheSettings, PageCache
from asgi_isr.coherence import Rules
from asgi_isr.engine.session import Session

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


class Instance:
    """A process. `gone` when it was killed: nothing of it reaches anybody any more.

    `run` lives in a task of its own until `stop` or `kill`.
    """

    def __init__(self, world: World, name: str, rules: Rules) -> None:
        self.name = name
        self.gone = False
        self._world = world
        self.link = Link(
            name, world.writers, world.announced, world.observer, rng=world.rng,
            tally=world.tally, note=world.note,
        )  # fmt: skip
        self.store = StoreLink(
            name, world.store, world.weather, world.locks, rng=world.rng, tally=world.tally,
            on_snapshot=self.link.snapshot_read,
        )  # fmt: skip
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
        self.cache = PageCache(
            settings, log=self.link, store=self.store, clock=clock, rules=rules,
            jitter=random.Random(world.rng.random()).random,
        )  # fmt: skip
        self.link.rejoins = lambda: self.cache.counters.rejoins
        self.asgi = CacheMiddleware(Application(world, name), self.cache, read_your_writes=written)
        self.session: Session | None = None  # once it is open
        self._serving = asyncio.Event()
        self._stopped = asyncio.Event()

    @property
    def known(self) -> Known:
        """What it has been told."""
        return self.link.known

    @property
    def position(self) -> int:
        """How far it has consumed the log; -1 before it has reached it."""
        if self.session is None or self.session.follower.position is None:
            return -1
        return self.session.follower.position

    @property
    def ready(self) -> bool:
        """Whether it has joined and has a lease."""
        return (
            self.session is not None and self.session.follower.joined and self.session.lease.valid
        )

    async def run(self) -> None:
        """Live until told to stop."""
        self._world.tally["instance: starts"] += 1
        self._world.note(self.name, "", "starts")
        async with self.cache:
            self.session = session = self.cache.session
            self._serving.set()
            await self._stopped.wait()
        self._world.tally["change: unannounced"] += self.cache.counters.unannounced
        self._world.tally["instance: awaits"] += self.cache.counters.awaited
        self._world.tally["instance: evicts"] += session.local.evicted
        self._world.tally["instance: prunes"] += session.index.prunes
        self._world.note(self.name, "", "is gone" if self.gone else "has stopped")

    async def serves(self) -> None:
        """Wait until it listens: a server does once the lifespan has begun."""
        await self._serving.wait()

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
        renders = self.cache.session.renders
        left = {
            "flights": len(renders._flights),  # noqa: SLF001  what must be empty is not public
            "tasks": len(renders._flying),  # noqa: SLF001
            "refreshes": renders._refreshing,  # noqa: SLF001
        }
        return [f"{self.name} left {number} {what}" for what, number in left.items() if number]
