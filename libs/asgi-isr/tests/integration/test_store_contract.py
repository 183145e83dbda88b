"""The contract of `Store`, run over every implementation."""

import asyncio

import pytest
from asgi_isr.ports import Store
from asgi_isr.testing import eventually

CALLERS = 50
WAIT_S = 5.0


async def gone(store: Store, key: str) -> bool:
    """Wait, bounded, until `key` has no value."""

    async def absent() -> bool:
        return await store.get(key) is None

    await eventually(absent, timeout_s=WAIT_S)
    return True


async def test_missing_key_has_no_value(store: Store) -> None:
    """A key that was never written reads as None."""
    assert await store.get("nothing") is None


@pytest.mark.parametrize(
    "value",
    [b"", b"page", b"\r\n$-1\r\n\x00\xff", bytes(range(256)) * 8000],
    ids=["empty", "text", "protocol", "2 MB"],
)
async def test_value_comes_back_as_it_was(store: Store, value: bytes) -> None:
    """A value is bytes: nothing in it is read as protocol or text."""
    assert await store.put("key/ä?b=1", value, fence=1795402917985006, ttl_s=60)
    assert await store.get("key/ä?b=1") == value


@pytest.mark.parametrize(
    ("standing", "coming", "kept"),
    [(5, 6, True), (5, 5, True), (6, 5, False), (10, 9, False), (9, 10, True), (0, 0, True)],
)
async def test_higher_fence_is_not_overwritten(
    store: Store, standing: int, coming: int, *, kept: bool
) -> None:
    """A page that is as new as an older position never replaces a newer one (rule 4)."""
    await store.put("page", b"standing", fence=standing, ttl_s=60)
    assert await store.put("page", b"coming", fence=coming, ttl_s=60) is kept
    assert await store.get("page") == (b"coming" if kept else b"standing")


async def test_fences_beyond_53_bits_are_exact(store: Store) -> None:
    """Neighbouring large fences are told apart."""
    large = 2**60
    assert await store.put("page", b"new", fence=large + 1, ttl_s=60)
    assert not await store.put("page", b"old", fence=large, ttl_s=60)


async def test_value_ends_after_its_time_to_live(store: Store) -> None:
    """An expired value is gone, and its fence keeps nothing out any more."""
    await store.put("page", b"new", fence=9, ttl_s=0.05)
    assert await gone(store, "page")
    assert await store.put("page", b"old", fence=1, ttl_s=60)
    assert await store.get("page") == b"old"


async def test_one_of_many_takes_the_lock(store: Store) -> None:
    """Of many who ask at once exactly one gets the lock."""
    answers = await asyncio.gather(
        *(store.lock("render", f"owner-{n}", ttl_s=60) for n in range(50))
    )
    assert answers.count(True) == 1


async def test_only_the_owner_gives_the_lock_back(store: Store) -> None:
    """Another's unlock changes nothing; the owner's makes the lock free."""
    assert await store.lock("render", "me", ttl_s=60)
    await store.unlock("render", "you")
    assert not await store.lock("render", "you", ttl_s=60)
    await store.unlock("render", "me")
    assert await store.lock("render", "you", ttl_s=60)


async def test_lock_ends_by_itself(store: Store) -> None:
    """The lock of an owner that died is free after its time to live."""
    assert await store.lock("render", "dead", ttl_s=0.05)
    await eventually(lambda: store.lock("render", "next", ttl_s=60), timeout_s=WAIT_S)


async def test_lock_that_ended_is_not_given_back_by_its_first_owner(store: Store) -> None:
    """An owner that was too slow does not free the lock of the one that took it after."""
    assert await store.lock("render", "slow", ttl_s=0.05)
    await eventually(lambda: store.lock("render", "next", ttl_s=60), timeout_s=WAIT_S)
    await store.unlock("render", "slow")
    assert not await store.lock("render", "third", ttl_s=60)


async def test_lock_is_not_taken_twice_by_one_owner(store: Store) -> None:
    """A lock that is held is refused to its owner as well: it has one end, not two."""
    assert await store.lock("render", "me", ttl_s=60)
    assert not await store.lock("render", "me", ttl_s=60)


async def test_refused_value_does_not_lengthen_a_life(store: Store) -> None:
    """A page with a lower fence changes neither the value nor its end."""
    await store.put("page", b"new", fence=9, ttl_s=0.5)
    assert not await store.put("page", b"old", fence=1, ttl_s=60)
    assert await gone(store, "page")


async def test_later_value_has_its_own_life(store: Store) -> None:
    """A newer page lives as long as it says, whatever its predecessor said."""
    await store.put("page", b"old", fence=1, ttl_s=0.05)
    await store.put("other", b"x", fence=1, ttl_s=0.05)
    await store.put("page", b"new", fence=2, ttl_s=60)
    assert await gone(store, "other")
    assert await store.get("page") == b"new"


async def test_unlocking_what_is_free_does_nothing(store: Store) -> None:
    """Giving back a lock that nobody holds is no error."""
    await store.unlock("render", "me")


async def test_locks_and_values_do_not_meet(store: Store) -> None:
    """A lock and a value at the same key are two things."""
    assert await store.lock("page", "me", ttl_s=60)
    assert await store.get("page") is None
    assert await store.put("page", b"value", fence=1, ttl_s=60)
    await store.unlock("page", "me")
    assert await store.get("page") == b"value"


async def test_closed_store_can_be_used_again_in_another_loop_too(store: Store) -> None:
    """After `close` the next call opens the store again, here or in another event loop."""
    await use_and_close(store)
    await use_and_close(store)
    await asyncio.to_thread(asyncio.run, use_and_close(store))
    await use_and_close(store)


async def use_and_close(store: Store) -> None:
    """Use all of the store, by more callers at once than have a connection, and close it."""
    assert all(
        await asyncio.gather(
            *(store.put(f"page {n}", b"page", fence=1, ttl_s=60) for n in range(CALLERS))
        )
    )
    assert set(await asyncio.gather(*(store.get(f"page {n}") for n in range(CALLERS)))) == {b"page"}
    assert await store.lock("render", "me", ttl_s=60)
    await store.unlock("render", "me")
    await store.close()
