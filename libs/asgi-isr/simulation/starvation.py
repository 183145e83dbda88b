"""A page that is invalidated more often than it renders: it still gets stored now and then.

And every client is answered after two renders' time at most, by renders whose number is bounded by
the time that passes, not by how many clients there are.
"""

import asyncio
import random
from typing import NamedTuple

from asgi_isr import CacheMiddleware, CacheSettings, Invalidation, PageCache
from asgi_isr.events import encode
from asgi_isr.logs import MemoryLog
from asgi_isr.testing import request
from asgi_isr.types import Receive, Scope, Send

from simulation.campaign import quietly
from simulation.loop import SimulatedLoop
from simulation.world import WorldClock

DURATION_S = 120.0
CLIENTS = 50
RENDER_S = (0.5, 1.0)  # least and most
INVALIDATIONS_S = 0.4  # mean time between two
SETTLED_S = 1.0  # until the instance has its lease
PATH = "/busy"


class Fed(NamedTuple):
    """What clients and page got in `DURATION_S`."""

    stored: int
    renders: int
    overlaps: int  # renders that began while another one ran
    answers: int
    fresh: int
    waited_s_max: float

    @property
    def fair(self) -> bool:
        """Whether nobody starved, and nobody was given a render of his own."""
        bounded = self.renders <= DURATION_S / RENDER_S[0] + 1
        return bool(
            self.stored and self.fresh and not self.overlaps and bounded
            and self.waited_s_max <= 2 * RENDER_S[1]
        )  # fmt: skip

    def __str__(self) -> str:
        return (
            f"starvation: {'none' if self.fair else 'FOUND'}: of {self.renders} renders of one page"
            f" in {DURATION_S:g} s, {self.overlaps} side by side, {self.stored} were kept;"
            f" {self.answers} answers to {CLIENTS} clients ({self.fresh} hits),"
            f" longest wait {self.waited_s_max:.2f} s (two renders: {2 * RENDER_S[1]:g} s)"
        )


class _Busy:
    """The app, its clients, and writers that give it no rest."""

    def __init__(self, loop: SimulatedLoop, rng: random.Random) -> None:
        self._loop = loop
        self._rng = rng
        self._running = 0
        self._end = loop.time() + DURATION_S
        self._log = MemoryLog()
        self.renders = self.overlaps = self.answers = self.fresh = 0
        self.waited_s_max = 0.0
        self.cache = PageCache(CacheSettings(), log=self._log, clock=WorldClock(loop))
        self._site = CacheMiddleware(self._app, self.cache)

    async def _app(self, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        self.renders += 1
        self.overlaps += self._running > 0
        self._running += 1
        await asyncio.sleep(self._rng.uniform(*RENDER_S))
        self._running -= 1
        headers = [(b"cache-control", b"max-age=600"), (b"cache-tag", b"busy")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": scope["path"].encode()})

    async def live(self) -> None:
        """Let clients come and writers write, to the end."""
        async with self.cache, asyncio.TaskGroup() as tasks:
            await asyncio.sleep(SETTLED_S)
            tasks.create_task(self._write())
            for _ in range(CLIENTS):
                tasks.create_task(self._ask())

    async def _write(self) -> None:
        event = encode(Invalidation(tags=("busy",)))
        while self._loop.time() < self._end:
            await asyncio.sleep(self._rng.expovariate(1 / INVALIDATIONS_S))
            self._log.publish(event)

    async def _ask(self) -> None:
        while self._loop.time() < self._end:
            await asyncio.sleep(self._rng.uniform(0.0, 1.0))
            asked_at = self._loop.time()
            reply = await request(self._site, PATH)
            self.waited_s_max = max(self.waited_s_max, self._loop.time() - asked_at)
            self.answers += 1
            self.fresh += "; hit" in reply.cache_status


def measure(seed: int) -> Fed:
    """Run the scenario with this seed's randomness."""
    rng = random.Random(seed)
    loop = SimulatedLoop(random.Random(rng.random()), calls_max=3_000_000)
    busy = _Busy(loop, rng)
    with quietly():
        loop.run_until_complete(busy.live())
    loop.close()
    return Fed(
        busy.renders - busy.cache.counters.overtaken - busy.cache.counters.errors,
        busy.renders, busy.overlaps, busy.answers, busy.fresh, busy.waited_s_max,
    )  # fmt: skip
