"""Seeded random schedules over several instances: no answer breaks the promise, none is left out.

Time is virtual: when every task waits, the loop's clock jumps to the next timer.
"""

import asyncio
import json
import random
from collections import Counter
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import pytest
from asgi_isr import CacheMiddleware, CacheSettings, Invalidation, PageCache
from asgi_isr.capture import Receive, Scope, Send
from asgi_isr.errors import LogUnavailableError, StoreUnavailableError
from asgi_isr.events import encode
from asgi_isr.index import encode_snapshot
from asgi_isr.logs import MemoryLog
from asgi_isr.shared import snapshot_key
from asgi_isr.stores import MemoryStore
from asgi_isr.testing import LoopClock, Reply, request

SEEDS = range(12)
DURATION_S = 150.0
LEASE_S = 6.0
ANSWER_S_MAX = 80.0  # of several renders, each after a wait for the fleet's lock
PAGES = {"/a": ("a",), "/b": ("b",), "/a/b": ("a", "b"), "/b/a": ("a", "b")}
POLICIES = (
    "max-age=20",
    "max-age=4, stale-while-revalidate=8",
    "max-age=4, stale-if-error=30",
    "max-age=6, stale-while-revalidate=3, stale-if-error=60",
)


class OutcryError(BaseException):
    """An exception that is no `Exception`, as some frameworks raise."""


class Event(NamedTuple):
    """What was published: the version of each name from which pages must be, and how strictly."""

    seq: int
    versions: dict[str, int]
    hard: bool
    at: float


class SlowStore(MemoryStore):
    """Answers after a while, loses answers, now and then fails with an error of its own."""

    rng = random.Random(0)

    async def _delay(self) -> None:
        await asyncio.sleep(self.rng.choice((0, 0, 0.001, 0.02, 0.2)))
        if self.rng.random() < 0.02:
            raise RuntimeError("the transport was closed")

    async def get(self, key: str) -> bytes | None:
        """Answer late."""
        await self._delay()
        return await super().get(key)

    async def put(self, key: str, value: bytes, *, fence: int, ttl_s: float) -> bool:
        """Answer late."""
        kept = await super().put(key, value, fence=fence, ttl_s=ttl_s)
        await self._delay()
        return kept

    async def lock(self, key: str, owner: str, *, ttl_s: float) -> bool:
        """Answer late."""
        taken = await super().lock(key, owner, ttl_s=ttl_s)
        await self._delay()
        return taken


@dataclass
class World:
    """The data, its writers, the log, the store, and instances that come and go."""

    rng: random.Random
    link: Callable[[MemoryLog], Any]
    clock: LoopClock = field(default_factory=LoopClock)
    versions: dict[str, int] = field(default_factory=lambda: {"a": 1, "b": 1})
    outbox: list[tuple[dict[str, int], bool]] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    answers: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        """Make log and store."""
        self.first_seq = 1_000
        self.log = MemoryLog(first_seq=self.first_seq, messages_max=40)
        self.store = SlowStore(self.clock)
        self.store.rng = self.rng
        self.instances: list[tuple[CacheMiddleware, AsyncExitStack]] = []

    async def app(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Render a page of the versions that its reads see, or fail in one way or another."""
        await receive()
        names = PAGES[scope["path"]]
        body = {}
        for name in names:
            await self.pause(2.0)
            body[name] = self.versions[name]
        await self.pause(2.0)
        chance = self.rng.random()
        if chance < 0.05:
            raise OSError("the page failed")
        if chance < 0.07:
            raise OutcryError
        if chance < 0.08:
            raise asyncio.CancelledError
        if chance < 0.1:
            await asyncio.sleep(12)
        status = 503 if chance < 0.15 else 200
        policy = "no-store" if chance < 0.2 else self.rng.choice(POLICIES)
        headers = (
            (b"cdn-cache-control", policy.encode()),
            (b"cache-tag", ",".join(names).encode()),
        )
        await send({"type": "http.response.start", "status": status, "headers": iter(headers)})
        whole = json.dumps(body).encode()
        await send({"type": "http.response.body", "body": whole[:3], "more_body": True})
        if self.rng.random() < 0.2:
            await self.pause(1.0)
        if self.rng.random() < 0.02:
            raise OSError("failed on the way")
        await send({"type": "http.response.body", "body": whole[3:]})

    async def pause(self, seconds_max: float) -> None:
        """Let a random time pass, often none."""
        await asyncio.sleep(self.rng.choice((0.0, 0.0, self.rng.uniform(0.0, seconds_max))))

    async def start(self) -> None:
        """Start an instance."""
        settings = CacheSettings(
            lease_s=LEASE_S, render_timeout_s=8.0, lock_ttl_s=5.0, index_tags_max=3
        )
        stack = AsyncExitStack()
        cache = PageCache(settings, log=self.link(self.log), store=self.store, clock=self.clock)
        await stack.enter_async_context(cache)
        self.instances.append((CacheMiddleware(self.app, cache), stack))

    async def write(self) -> None:
        """Change data, publish a while after."""
        names = self.rng.choice((("a",), ("b",), ("a", "b")))
        for name in names:
            self.versions[name] += 1
        change = {name: self.versions[name] for name in names}
        self.outbox.append((change, self.rng.random() < 0.7))

    async def relay(self) -> None:
        """Publish what is in the outbox. It answers no request for a mark while rows wait."""
        with suppress(LogUnavailableError):
            while self.outbox:
                change, hard = self.outbox[0]
                tags = ("*",) if self.rng.random() < 0.05 else tuple(change)
                event = Invalidation(tags=tags, mode="hard" if hard else "soft")
                seq = self.log.publish(encode(event))
                self.events.append(Event(seq, change, hard, self.clock.monotonic()))
                del self.outbox[0]
                await self.pause(0.1)
            self.log.marks_down = False

    async def lose_log(self) -> None:
        """Lose the log; the relay publishes the last events again before it answers for marks."""
        self.log.marks_down = True
        self.first_seq += 100_000  # beyond every fence (rule 7)
        self.log.recreate(self.first_seq)
        self.outbox[:0] = [(event.versions, event.hard) for event in self.events[-5:]]

    async def crash(self) -> None:
        """Stop an instance, with what it has under way, and start another."""
        app, stack = self.instances.pop(self.rng.randrange(len(self.instances)))
        async with asyncio.timeout(5):
            await stack.aclose()
        await self.ask(app)  # a server may still have requests
        await self.start()

    async def disturb(self) -> None:
        """Do one thing that can happen to log, store or snapshot."""
        match self.rng.randrange(7):
            case 0:
                self.log.down = not self.log.down
            case 1:
                self.store.down = not self.store.down
            case 2:
                self.store.clear()
            case 3:
                self.log.marks_down = not self.log.marks_down
            case 4:
                await self.lose_log()
            case 5:
                link: Any = self.rng.choice(self.instances)[0].cache.log
                link.cut = not link.cut
            case _:
                app, _stack = self.rng.choice(self.instances)
                snapshot = app.cache.follower.snapshot()
                with suppress(StoreUnavailableError, RuntimeError):
                    if snapshot is not None:
                        data = encode_snapshot(snapshot)
                        key = snapshot_key("isr")
                        await self.store.put(key, data, fence=snapshot.position, ttl_s=1000)

    async def ask(self, app: CacheMiddleware | None = None) -> None:
        """Send a request, judge the answer; some clients go away before it comes."""
        app = app or self.rng.choice(self.instances)[0]
        path = self.rng.choice(tuple(PAGES))
        patience_s = self.rng.uniform(0, 3) if self.rng.random() < 0.1 else ANSWER_S_MAX
        arrived = app.cache.follower.position
        try:
            async with asyncio.timeout(patience_s):
                reply = await request(app, path)
        except TimeoutError:
            assert patience_s < ANSWER_S_MAX, f"{path} was not answered within {patience_s} s"
        except (OSError, OutcryError, asyncio.CancelledError):
            self.answers["failed"] += 1
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
        else:
            self.judge(app, path, reply, arrived)

    def judge(self, app: CacheMiddleware, path: str, reply: Reply, arrived: int | None) -> None:
        """Assert that the answer is as new as it claims to be."""
        if reply.status != 200:
            self.answers[str(reply.status)] += 1
            return
        status = reply.cache_status
        stale = "detail=stale" in status
        fresh = reply.headers.get("cache-control") != "no-store" and "fwd=bypass" not in status
        seen = app.cache.follower.position if fresh or stale else arrived
        body = json.loads(reply.body)
        now = self.clock.monotonic()
        kind = "stale" if stale else "fresh" if fresh else "no-store"
        self.answers[kind] += 1
        self.answers["hit"] += "; hit" in status
        for event in self.events:
            known = seen is not None and event.seq <= seen and (event.hard or not stale)
            if not known and not (fresh and event.at <= now - LEASE_S):
                continue
            for name, version in event.versions.items():
                if name in body:
                    assert body[name] >= version, (path, status, body, event, seen, now)


async def _run(seed: int, link: Callable[[MemoryLog], Any]) -> Counter[str]:
    rng = random.Random(seed)
    world = World(rng, link)
    for _ in range(3):
        await world.start()
    end = world.clock.monotonic() + DURATION_S
    async with asyncio.TaskGroup() as tasks:
        while world.clock.monotonic() < end:
            for _ in range(rng.randrange(4)):
                tasks.create_task(world.ask())
            chance = rng.random()
            if chance < 0.1:
                await world.write()
            elif chance < 0.3:
                await world.relay()
            elif chance < 0.36:
                await world.disturb()
            elif chance < 0.365:
                await world.crash()
            await world.pause(0.5)
    for app, opened in world.instances:
        async with asyncio.timeout(5):
            await opened.aclose()
        assert not app.cache.renders._flights
    return world.answers


@pytest.mark.parametrize("seed", SEEDS)
def test_no_schedule_breaks_the_promise(
    seed: int, virtual_time: asyncio.Runner, link: Callable[[MemoryLog], Any]
) -> None:
    """Fresh answers hold every event consumed or older than a lease; all requests are answered."""
    answers = virtual_time.run(_run(seed, link))
    assert answers["hit"] > 20
    assert answers["stale"] > 0
