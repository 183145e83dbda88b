"""A store that is frozen, down, slow or lying, from the start or later, on virtual time.

No request waits longer than one time limit of the store, pages in this process go on, and the store
is used again by itself. The same over real servers is in tests/integration.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable

import pytest
from asgi_isr import CacheMiddleware, CacheSettings, PageCache
from asgi_isr.coherence.snapshot import SNAPSHOT_TIMEOUT_S
from asgi_isr.logs import MemoryLog
from asgi_isr.pages.breaker import FAILURES_MAX, OPEN_S
from asgi_isr.stores import MemoryStore
from asgi_isr.testing import (
    Fault,
    FaultyStore,
    LoopClock,
    RecordingApp,
    Reply,
    eventually,
    invalidate,
    ready,
    request,
)

TIMEOUT_S = 0.05
SETTINGS = CacheSettings(store_timeout_s=TIMEOUT_S, lease_s=10_000)
BROKEN = [Fault.FAIL, Fault.FREEZE, Fault.DELAY]


class World:
    """One app, one log, one faulty store, on virtual time."""

    def __init__(self) -> None:
        self.clock = LoopClock()
        self.log = MemoryLog()
        self.inner = MemoryStore(self.clock)
        self.store = FaultyStore(self.inner, rng=random.Random(7))
        self.store.inject(Fault.LOSE, on={"close"})  # the server outlives an instance
        self.app = RecordingApp("max-age=1000")

    def cache(self, settings: CacheSettings = SETTINGS) -> PageCache:
        """Return an instance that is not open yet."""
        return PageCache(settings, log=self.log, store=self.store, clock=self.clock)

    async def ask(self, cache: PageCache, path: str) -> tuple[float, Reply]:
        """Return the seconds that a request took, and the reply."""
        started = self.clock.monotonic()
        reply = await request(CacheMiddleware(self.app, cache), path)
        assert reply.status == 200
        return self.clock.monotonic() - started, reply


Scene = Callable[[World], Awaitable[None]]


@pytest.fixture
def play(virtual_time: asyncio.Runner) -> Callable[[Scene], None]:
    """Give a function that runs a scene on virtual time."""

    async def run(scene: Scene) -> None:
        await scene(World())

    return lambda scene: virtual_time.run(run(scene))


@pytest.mark.parametrize("fault", BROKEN)
def test_broken_at_start(play: Callable[[Scene], None], fault: Fault) -> None:
    """Until the instance has joined the app answers; then three requests wait one limit each."""

    async def scene(world: World) -> None:
        world.store.inject(fault, delay_s=60)
        began = world.clock.monotonic()
        async with world.cache() as cache:
            took_s, reply = await world.ask(cache, "/before")
            assert (took_s, "bypass" in reply.cache_status) == (0, True)
            await ready(cache)
            assert world.clock.monotonic() - began <= SNAPSHOT_TIMEOUT_S + 0.01
            waits = [(await world.ask(cache, f"/{number}"))[0] for number in range(20)]
            assert all(wait <= TIMEOUT_S + 0.001 for wait in waits)
            assert sum(wait > 0 for wait in waits) <= FAILURES_MAX
            assert cache.session.shared is not None
            assert cache.session.shared.failing
            took_s, reply = await world.ask(cache, "/0")
            assert (took_s, "detail=local" in reply.cache_status) == (0, True)
            await recovers(world, cache)

    play(scene)


@pytest.mark.parametrize("fault", BROKEN)
def test_broken_later(play: Callable[[Scene], None], fault: Fault) -> None:
    """A store that breaks in operation costs the same, many clients at once no more than one."""

    async def scene(world: World) -> None:
        async with world.cache() as cache:
            await ready(cache)
            await world.ask(cache, "/warm")
            world.store.inject(fault, delay_s=60)
            answers = await asyncio.gather(*(world.ask(cache, f"/{n % 10}") for n in range(200)))
            assert max(took_s for took_s, _ in answers) <= TIMEOUT_S + 0.001
            assert len(world.app.renders) == 11, "one render for each page"
            assert (await world.ask(cache, "/warm"))[0] == 0
            await recovers(world, cache)

    play(scene)


async def recovers(world: World, cache: PageCache) -> None:
    """Assert that pages reach the store and come from it again, within the breaker's pause."""
    world.store.heal()
    world.store.inject(Fault.LOSE, on={"close"})
    await asyncio.sleep(OPEN_S + TIMEOUT_S)  # a call under way at `heal` may have failed later
    for number in range(3):
        await world.ask(cache, f"/recovered/{number}")
    assert cache.session.shared is not None
    assert not cache.session.shared.failing
    async with world.cache() as other:
        await ready(other)
        assert "detail=shared" in (await world.ask(other, "/recovered/2"))[1].cache_status


def test_probe_costs_one_request_a_second(play: Callable[[Scene], None]) -> None:
    """While the store stays frozen one request a second waits for it, the others do not."""

    async def scene(world: World) -> None:
        async with world.cache() as cache:
            await ready(cache)
            world.store.inject(Fault.FREEZE)
            waits = []
            for number in range(400):
                waits.append((await world.ask(cache, f"/{number}"))[0])
                await asyncio.sleep(0.02)
            assert FAILURES_MAX < sum(wait > 0 for wait in waits) <= FAILURES_MAX + 10
            assert max(waits) <= TIMEOUT_S + 0.001

    play(scene)


def test_first_call_alone_costs_one_request(play: Callable[[Scene], None]) -> None:
    """One failure opens no breaker: the page is rendered, and stored for all."""

    async def scene(world: World) -> None:
        async with world.cache() as one, world.cache() as two:
            await ready(one, two)
            world.store.inject(Fault.FREEZE, on={"get"}, calls_max=1)
            assert (await world.ask(one, "/page"))[0] == pytest.approx(TIMEOUT_S)
            assert "detail=shared" in (await world.ask(two, "/page"))[1].cache_status
            assert one.counters.store_failures == 1

    play(scene)


@pytest.mark.parametrize("damage", ["truncated", "other version", "other page", "empty"])
def test_entry_that_is_no_page_is_a_miss(play: Callable[[Scene], None], damage: str) -> None:
    """It is counted, rendered again and overwritten."""

    async def scene(world: World) -> None:
        async with world.cache() as one, world.cache() as two:
            await ready(one, two)
            await world.ask(one, "/page")
            await world.ask(one, "/other")
            (key,) = (key for key in world.inner.entries if key.endswith("/page"))
            (other,) = (key for key in world.inner.entries if key.endswith("/other"))
            whole, fence = world.inner.entries[key].value, world.inner.entries[key].fence
            await world.inner.put(
                key,
                {
                    "truncated": whole[: len(whole) // 2],
                    "other version": b"\x00" + whole[1:],
                    "other page": world.inner.entries[other].value,
                    "empty": b"",
                }[damage],
                fence=fence,
                ttl_s=1000,
            )
            assert "stored" in (await world.ask(two, "/page"))[1].cache_status
            # Looked at before the lock and again under it: another may have repaired it meanwhile.
            assert two.counters.corrupt >= 1
            assert world.inner.entries[key].value[:1] == whole[:1]

    play(scene)


def test_store_that_answers_with_an_older_page(play: Callable[[Scene], None]) -> None:
    """A replica that lags behind is judged by the fence of what it gives: rendered, not served."""

    async def scene(world: World) -> None:
        async with world.cache() as one, world.cache() as two:
            await ready(one, two)
            world.app.bodies["/page"] = b"old"
            await world.ask(one, "/page")
            await invalidate(world.log, one, two, paths=("/page",))
            world.app.bodies["/page"] = b"new"
            await world.ask(one, "/page")
            world.store.inject(Fault.OLDER)
            assert (await world.ask(two, "/page"))[1].body == b"new"

    play(scene)


def test_lost_writes_cost_renders_alone(play: Callable[[Scene], None]) -> None:
    """A store that acknowledges and forgets: every instance renders for itself, once."""

    async def scene(world: World) -> None:
        world.store.inject(Fault.LOSE, on={"put", "lock", "unlock"})
        async with world.cache() as one, world.cache() as two:
            await ready(one, two)
            for cache in (one, two, one, two):
                assert (await world.ask(cache, "/page"))[0] == 0
            assert world.app.renders == ["/page", "/page"]

    play(scene)


@pytest.mark.parametrize("seed", range(20))
def test_faults_at_random(play: Callable[[Scene], None], seed: int) -> None:
    """Whatever mixture of faults: each request is answered, in bounded time, and none is older."""

    async def scene(world: World) -> None:
        rng = random.Random(seed)
        lock_wait_s = 0.2
        settings = CacheSettings(store_timeout_s=TIMEOUT_S, lease_s=10_000, lock_wait_s=lock_wait_s)
        async with world.cache(settings) as one, world.cache(settings) as two:
            await ready(one, two)
            for fault in Fault:
                world.store.inject(fault, rate=0.08, delay_s=rng.uniform(0, 0.1))
            version = 0
            for _ in range(150):
                if rng.random() < 0.2:
                    version += 1
                    world.app.bodies["/page"] = b"%d" % version
                    await invalidate(world.log, one, two, paths=("/page",))
                cache = rng.choice((one, two))
                took_s, reply = await world.ask(cache, "/page")
                assert took_s <= lock_wait_s + 2 * TIMEOUT_S
                assert int(reply.body.removeprefix(b"page /page") or b"0") == version
                await asyncio.sleep(rng.uniform(0, 0.3))
            assert sum(world.store.failed.values()) > 20

    play(scene)


def test_dead_lock_holder(play: Callable[[Scene], None]) -> None:
    """A lock that nobody gives back is waited for until it ends, or `lock_wait_s` has passed."""

    async def waits(world: World, ttl_s: float, lock_wait_s: float) -> float:
        settings = CacheSettings(lock_wait_s=lock_wait_s, lease_s=10_000)
        async with world.cache(settings) as cache:
            await ready(cache)
            assert await world.inner.lock("isr:lock::test/page", "dead", ttl_s=ttl_s)
            return (await world.ask(cache, "/page"))[0]

    async def short_life(world: World) -> None:
        assert 0.5 <= await waits(world, 0.5, 5) <= 0.5 + 0.1

    async def long_life(world: World) -> None:
        assert 1 <= await waits(world, 60, 1) <= 1 + 0.1

    play(short_life)
    play(long_life)


def test_lock_that_another_took_is_not_released(play: Callable[[Scene], None]) -> None:
    """A render that outlived its lock gives back nothing: the lock is another's by then."""

    async def scene(world: World) -> None:
        settings = CacheSettings(lock_ttl_s=0.2, lock_wait_s=5, lease_s=10_000)
        async with world.cache(settings) as one:
            await ready(one)
            world.app.gate.clear()
            slow = asyncio.ensure_future(world.ask(one, "/page"))
            await world.app.started.wait()
            await eventually(lambda: world.inner.lock("isr:lock::test/page", "another", ttl_s=60))
            world.app.gate.set()
            await slow
            await eventually(lambda: world.store.asked["unlock"] == 1)
            assert not await world.inner.lock("isr:lock::test/page", "third", ttl_s=60)

    play(scene)
