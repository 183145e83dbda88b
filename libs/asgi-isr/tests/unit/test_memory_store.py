"""What `MemoryStore` promises beyond the contract of every store: its bounds and its switches."""

import pytest
from asgi_isr.errors import StoreUnavailableError
from asgi_isr.stores.memory import MemoryStore
from asgi_isr.testing import FakeClock


@pytest.fixture
def clock() -> FakeClock:
    """Give a clock that moves when told."""
    return FakeClock()


async def test_value_ends_with_its_time_to_live(clock: FakeClock) -> None:
    """A value is there until its time to live has passed, and its bytes are given back then."""
    store = MemoryStore(clock)
    assert await store.put("a", b"one", fence=1, ttl_s=10)
    clock.advance(9.9)
    assert await store.get("a") == b"one"
    clock.advance(0.1)
    assert await store.get("a") is None
    assert (len(store), store.bytes_held) == (0, 0)


async def test_expired_value_with_a_higher_fence_gives_way(clock: FakeClock) -> None:
    """The fence of a value that has expired keeps nothing out."""
    store = MemoryStore(clock)
    await store.put("a", b"new", fence=9, ttl_s=1)
    clock.advance(1)
    assert await store.put("a", b"old", fence=1, ttl_s=1)
    assert await store.get("a") == b"old"


async def test_least_recently_used_values_go_first(clock: FakeClock) -> None:
    """Over `bytes_max` the value that was not read or written for longest is dropped."""
    store = MemoryStore(clock, bytes_max=33)
    for key in "abc":
        await store.put(key, bytes(10), fence=1, ttl_s=60)
    await store.get("a")
    await store.put("d", bytes(10), fence=1, ttl_s=60)
    held = [key for key in "abcd" if await store.get(key) is not None]
    assert held == ["a", "c", "d"]
    assert store.bytes_held == 33


async def test_value_above_the_bound_is_refused(clock: FakeClock) -> None:
    """A value that can never fit is not kept, and drives nothing else out."""
    store = MemoryStore(clock, bytes_max=20)
    await store.put("a", b"small", fence=1, ttl_s=60)
    assert not await store.put("b", bytes(20), fence=1, ttl_s=60)
    assert await store.get("a") == b"small"


async def test_overwriting_does_not_count_twice(clock: FakeClock) -> None:
    """Writing a key again replaces its bytes."""
    store = MemoryStore(clock)
    for size in (10, 20, 5):
        await store.put("k", bytes(size), fence=1, ttl_s=60)
    assert store.bytes_held == 6


async def test_lock_ends_by_itself(clock: FakeClock) -> None:
    """A lock whose owner died is free after its time to live; the late owner cannot free it."""
    store = MemoryStore(clock)
    assert await store.lock("k", "dead", ttl_s=5)
    clock.advance(5)
    assert await store.lock("k", "next", ttl_s=5)
    await store.unlock("k", "dead")
    assert not await store.lock("k", "third", ttl_s=5)


async def test_locks_are_bounded(clock: FakeClock) -> None:
    """Over the limit of locks the ended ones go; if none has ended the store refuses."""
    store = MemoryStore(clock, locks_max=2)
    assert await store.lock("a", "me", ttl_s=1)
    assert await store.lock("b", "me", ttl_s=9)
    with pytest.raises(StoreUnavailableError, match="2 locks"):
        await store.lock("c", "me", ttl_s=9)
    clock.advance(1)
    assert await store.lock("c", "me", ttl_s=9)


async def test_store_that_is_down_refuses_every_call(clock: FakeClock) -> None:
    """While `down`, each method raises; afterwards the values are still there."""
    store = MemoryStore(clock)
    await store.put("a", b"one", fence=1, ttl_s=60)
    store.down = True
    with pytest.raises(StoreUnavailableError):
        await store.get("a")
    with pytest.raises(StoreUnavailableError):
        await store.put("a", b"two", fence=2, ttl_s=60)
    with pytest.raises(StoreUnavailableError):
        await store.lock("a", "me", ttl_s=1)
    with pytest.raises(StoreUnavailableError):
        await store.unlock("a", "me")
    store.down = False
    assert await store.get("a") == b"one"


async def test_clear_loses_values_and_locks(clock: FakeClock) -> None:
    """`clear` is a restart without data."""
    store = MemoryStore(clock)
    await store.put("a", b"one", fence=1, ttl_s=60)
    await store.lock("a", "me", ttl_s=60)
    store.clear()
    assert await store.get("a") is None
    assert await store.lock("a", "other", ttl_s=60)
