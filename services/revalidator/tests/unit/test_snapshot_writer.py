import asyncio
import logging
from functools import partial

import pytest
from asgi_isr.coherence import Index, Snapshot, decode_snapshot
from asgi_isr.stores.memory import MemoryStore
from asgi_isr.testing import eventually
from perfcheck_revalidator.snapshots import REFRESH_S, SnapshotWriter

KEY = "isr:snapshot"


class SteppingClock:
    """A clock that moves when told."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        """Return the time."""
        return self.now

    def wall(self) -> float:
        """Return the same time."""
        return self.now


class Source:
    """An index at a position, as the follower has it; counts how often it was copied."""

    def __init__(self) -> None:
        self.index = Index(tags_max=100)
        self.position: int | None = None
        self.copies = 0

    def apply(self, seq: int, tag: str) -> None:
        """Consume one event."""
        self.index.apply([tag], seq, hard=True)
        self.position = seq

    def snapshot(self) -> Snapshot | None:
        """Return a copy."""
        if self.position is None:
            return None
        self.copies += 1
        return self.index.snapshot(self.position, str(self.position))


class FrozenStore(MemoryStore):
    """A store whose connection stands but never answers a write while `frozen`."""

    frozen = True

    async def put(self, key: str, value: bytes, *, fence: int, ttl_s: float) -> bool:
        """Hang, or keep the value."""
        if self.frozen:
            await asyncio.Event().wait()
        return await super().put(key, value, fence=fence, ttl_s=ttl_s)


@pytest.fixture
def clock() -> SteppingClock:
    """Give a clock that stands still."""
    return SteppingClock()


@pytest.fixture
def source() -> Source:
    """Give a follower's view before its first attachment."""
    return Source()


@pytest.fixture
def store(clock: SteppingClock) -> MemoryStore:
    """Give an empty store."""
    return MemoryStore(clock)


def writer_of(source: Source, store: MemoryStore, clock: SteppingClock) -> SnapshotWriter:
    """Return a writer with a short time limit."""
    return SnapshotWriter(source, store, clock, key=KEY, interval_s=0.01, timeout_s=0.05)


async def stored(store: MemoryStore) -> Snapshot | None:
    """Return the snapshot in the store."""
    data = await store.get(KEY)
    return None if data is None else decode_snapshot(data)


async def test_nothing_is_written_before_the_log_was_reached(
    source: Source, store: MemoryStore, clock: SteppingClock
) -> None:
    """Without a position there is no snapshot, and no failure either."""
    writer = writer_of(source, store, clock)
    assert not await writer.write()
    assert await stored(store) is None
    assert writer.unhealthy_reason is None


async def test_snapshot_holds_position_and_tags(
    source: Source, store: MemoryStore, clock: SteppingClock
) -> None:
    """What is stored is the whole index at its position, readable by a new instance."""
    writer = writer_of(source, store, clock)
    source.apply(7, "currency:usd")
    assert await writer.write()
    snapshot = await stored(store)
    assert snapshot is not None
    assert snapshot.position == 7
    assert snapshot.hard == {"currency:usd": 7}
    assert writer.counters.written == 1


async def test_unmoved_index_is_not_written_again(
    source: Source, store: MemoryStore, clock: SteppingClock
) -> None:
    """While the position stands still nothing is copied or sent, but once a minute."""
    writer = writer_of(source, store, clock)
    source.apply(7, "a")
    assert await writer.write()
    clock.now += REFRESH_S - 1
    assert not await writer.write()
    assert source.copies == 1
    store.clear()
    clock.now += 1
    assert await writer.write()
    assert await stored(store) is not None
    source.apply(8, "b")
    assert await writer.write()


async def test_newer_snapshot_of_another_writer_stands(
    source: Source, store: MemoryStore, clock: SteppingClock
) -> None:
    """A writer that lags behind does not put its older snapshot over a newer one."""
    ahead = Source()
    ahead.apply(9, "b")
    await writer_of(ahead, store, clock).write()
    writer = writer_of(source, store, clock)
    source.apply(7, "a")
    assert not await writer.write()
    snapshot = await stored(store)
    assert snapshot is not None
    assert snapshot.position == 9
    assert (writer.counters.overtaken, writer.counters.failed) == (1, 0)
    assert writer.unhealthy_reason is None
    source.apply(10, "c")
    assert await writer.write()


async def test_outage_is_counted_and_logged_once(
    source: Source, store: MemoryStore, clock: SteppingClock, caplog: pytest.LogCaptureFixture
) -> None:
    """A store that is down costs snapshots, is logged when it goes and when it is back."""
    caplog.set_level(logging.INFO)
    writer = writer_of(source, store, clock)
    source.apply(7, "a")
    store.down = True
    for _ in range(3):
        assert not await writer.write()
    assert writer.counters.failed == 3
    assert writer.unhealthy_reason is not None
    assert len(caplog.records) == 1
    store.down = False
    assert await writer.write()
    assert writer.unhealthy_reason is None
    assert len(caplog.records) == 2


async def test_frozen_store_is_given_up_in_time(source: Source, clock: SteppingClock) -> None:
    """A store that never answers costs one time limit, and the next attempt may succeed."""
    store = FrozenStore(clock)
    writer = writer_of(source, store, clock)
    source.apply(7, "a")
    async with asyncio.timeout(2):
        assert not await writer.write()
    assert writer.unhealthy_reason == "the store did not answer within 0.05 s"
    store.frozen = False
    assert await writer.write()


async def test_run_writes_each_interval(
    source: Source, store: MemoryStore, clock: SteppingClock
) -> None:
    """The loop writes what moved, until it is cancelled."""
    writer = writer_of(source, store, clock)
    source.apply(7, "a")

    async def position() -> int | None:
        snapshot = await stored(store)
        return None if snapshot is None else snapshot.position

    async def reached(seq: int) -> bool:
        return await position() == seq

    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(writer.run())
        for seq in (8, 9):
            source.apply(seq, "a")
            await eventually(partial(reached, seq))
        running.cancel()
    assert writer.counters.written >= 2
