"""The test kit does what it says: its client, its waits, and each fault of its store."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from asgi_isr import PageCache
from asgi_isr.errors import InvalidEventError, StoreUnavailableError
from asgi_isr.logs import MemoryLog
from asgi_isr.stores import MemoryStore
from asgi_isr.testing import FakeClock, Fault, FaultyStore, invalidate, ready, request
from asgi_isr.types import Receive, Scope, Send


@pytest.fixture
def inner() -> MemoryStore:
    """Give the store behind the faulty one."""
    return MemoryStore(FakeClock())


@pytest.fixture
def store(inner: MemoryStore) -> FaultyStore:
    """Give a faulty store without faults."""
    return FaultyStore(inner, rng=random.Random(1))


async def put(store: Any, value: bytes, fence: int = 1) -> bool:
    """Write `value` to the one key of these tests."""
    return bool(await store.put("page", value, fence=fence, ttl_s=60))


# -- client ---------------------------------------------------------------------------------------


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with the request: its fields as they came, its body."""
    body = (await receive())["body"]
    fields = [*scope["headers"], (b"X-Method", scope["method"].encode())]
    await send({"type": "http.response.start", "status": 200, "headers": fields})
    await send({"type": "http.response.body", "body": body[:2], "more_body": True})
    await send({"type": "http.response.body", "body": body[2:]})


async def test_client_sends_fields_in_order_and_a_body() -> None:
    """Fields may be repeated, the body is sent with its length, the reply keeps all of both."""
    fields = [("Cookie", "a=1"), ("Cookie", "b=2")]
    reply = await request(echo, "/", method="POST", headers=fields, body=b"body")
    assert reply.values("COOKIE") == ["a=1", "b=2"]
    assert reply.headers["cookie"] == "b=2"
    assert (reply.values("host"), reply.values("content-length")) == (["test"], ["4"])
    assert (reply.body, reply.headers["x-method"]) == (b"body", "POST")


async def test_client_sends_a_path_as_it_is_told_to() -> None:
    """An app sees the path decoded, and beside it how it was sent."""
    seen: list[Scope] = []

    async def note(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope)
        await echo(scope, receive, send)

    await request(note, "/a b", query="c=1")
    await request(note, "/a b", raw_path=b"/a%20b")
    assert [scope["path"] for scope in seen] == ["/a b", "/a b"]
    assert [scope["raw_path"] for scope in seen] == [b"/a%20b", b"/a%20b"]
    assert seen[0]["query_string"] == b"c=1"


async def test_client_has_one_host() -> None:
    """A Host that the test gives stands alone."""
    assert (await request(echo, "/", headers={"Host": "shop"})).values("host") == ["shop"]


async def test_app_without_a_response_fails_the_test() -> None:
    """An app that returns without an answer is a failure with a reason, not an IndexError."""

    async def silent(scope: Scope, receive: Receive, send: Send) -> None:
        del scope, receive, send

    with pytest.raises(RuntimeError, match="without a response"):
        await request(silent, "/")


# -- waiting --------------------------------------------------------------------------------------


async def test_waits_are_bounded() -> None:
    """A cache that does not reach its log, or whose link is dead, ends the wait with an error."""
    log = MemoryLog()
    log.down = True
    async with PageCache(log=log, clock=FakeClock()) as cache:
        with pytest.raises(TimeoutError):
            await ready(cache, timeout_s=0.02)
        log.down = False
        await ready(cache)
        elsewhere = MemoryLog(first_seq=1_000)
        with pytest.raises(TimeoutError, match="event 1000"):
            await invalidate(elsewhere, cache, tags=("a",), timeout_s=0.02)


async def test_event_that_must_not_be_published_is_refused() -> None:
    """The kit publishes what a publisher may, and nothing else."""
    log = MemoryLog()
    with pytest.raises(InvalidEventError, match="tags"):
        await invalidate(log)
    assert (await log.bounds()).last == 0


# -- store ----------------------------------------------------------------------------------------


async def test_store_without_faults_passes_calls_on(store: FaultyStore) -> None:
    """Nothing is injected, nothing happens; calls are counted."""
    assert await put(store, b"x")
    assert await store.get("page") == b"x"
    assert await store.lock("page", "me", ttl_s=60)
    assert not await store.lock("page", "you", ttl_s=60)
    await store.unlock("page", "me")
    assert dict(store.asked) == {"put": 1, "get": 1, "lock": 2, "unlock": 1}
    assert not store.failed


async def test_failing_call_reaches_nothing(store: FaultyStore, inner: MemoryStore) -> None:
    """`FAIL` raises what the test gives, else `StoreUnavailableError`; the value stays."""
    await put(store, b"old")
    store.inject(Fault.FAIL, on={"put"})
    store.inject(Fault.FAIL, on={"get"}, error=OSError("reset"))
    with pytest.raises(StoreUnavailableError):
        await put(store, b"new")
    with pytest.raises(OSError, match="reset"):
        await store.get("page")
    assert await inner.get("page") == b"old"
    store.heal()
    assert await store.get("page") == b"old"


async def test_lost_answer_comes_after_the_deed(store: FaultyStore, inner: MemoryStore) -> None:
    """`ANSWER_LOST` does what was asked and raises."""
    store.inject(Fault.ANSWER_LOST)
    with pytest.raises(StoreUnavailableError):
        await put(store, b"x")
    assert await inner.get("page") == b"x"


async def test_frozen_call_goes_on_when_healed(store: FaultyStore) -> None:
    """`FREEZE` answers nobody, also after its last call was injected; `heal` lets calls go on."""
    await put(store, b"x")
    store.inject(Fault.FREEZE, calls_max=1)
    waiting = asyncio.ensure_future(store.get("page"))
    await asyncio.sleep(0)
    assert await store.get("page") == b"x"
    assert not waiting.done()
    store.heal()
    assert await waiting == b"x"


@pytest.mark.parametrize("call", ["put", "lock", "unlock", "get"])
async def test_lost_call_is_acknowledged(store: FaultyStore, inner: MemoryStore, call: str) -> None:
    """`LOSE` says that it was done, or that there is nothing; the store knows nothing of it."""
    await put(store, b"old")
    await store.lock("held", "me", ttl_s=60)
    store.inject(Fault.LOSE, on={call})
    calls: dict[str, Callable[[], Awaitable[bool | bytes | None]]] = {
        "put": lambda: put(store, b"new"),
        "lock": lambda: store.lock("held", "you", ttl_s=60),
        "unlock": lambda: store.unlock("held", "me"),
        "get": lambda: store.get("page"),
    }
    assert await calls[call]() is {"put": True, "lock": True, "unlock": None, "get": None}[call]
    assert await inner.get("page") == b"old"
    assert not await inner.lock("held", "other", ttl_s=60)


async def test_lying_reads(store: FaultyStore) -> None:
    """`CORRUPT` gives half of the bytes, `OLDER` what stood there before, or nothing."""
    await put(store, b"first one")
    store.inject(Fault.OLDER, calls_max=1)
    assert await store.get("page") is None
    await put(store, b"second", fence=2)
    store.inject(Fault.OLDER, calls_max=1)
    store.inject(Fault.CORRUPT, calls_max=1)
    assert await store.get("page") == b"first one"
    assert await store.get("page") == b"sec"
    assert await store.get("page") == b"second"
    assert store.failed == {Fault.OLDER: 2, Fault.CORRUPT: 1}


async def test_first_call_alone(store: FaultyStore) -> None:
    """With `calls_max` a fault ends by itself."""
    store.inject(Fault.FAIL, calls_max=1)
    with pytest.raises(StoreUnavailableError):
        await put(store, b"x")
    assert await put(store, b"x")


async def test_rate_is_seeded(inner: MemoryStore) -> None:
    """The same seed makes the same calls fail, about as many as the rate says."""

    async def failures(seed: int) -> list[bool]:
        store = FaultyStore(inner, rng=random.Random(seed))
        store.inject(Fault.FAIL, rate=0.2)
        puts = (put(store, b"x") for _ in range(500))
        answers = await asyncio.gather(*puts, return_exceptions=True)
        return [isinstance(answer, StoreUnavailableError) for answer in answers]

    assert await failures(1) == await failures(1) != await failures(2)
    assert 60 < sum(await failures(1)) < 140


async def test_close_is_passed_on_unless_lost(store: FaultyStore, inner: MemoryStore) -> None:
    """A store that others use survives the cache that closes it."""
    await put(store, b"x")
    store.inject(Fault.LOSE, on={"close"}, calls_max=1)
    await store.close()
    assert len(inner) == 1
    await store.close()
    assert len(inner) == 0


def test_unknown_call_is_a_mistake_of_the_test(store: FaultyStore) -> None:
    """A misspelt call would otherwise be a fault that never comes."""
    with pytest.raises(ValueError, match="gett"):
        store.inject(Fault.FAIL, on={"gett"})


def test_delayed_call_is_done_late(virtual_time: asyncio.Runner) -> None:
    """`DELAY` lets the given seconds pass, then does what was asked."""

    async def late() -> float:
        store = FaultyStore(MemoryStore(FakeClock()))
        store.inject(Fault.DELAY, on={"put"}, delay_s=3)
        loop = asyncio.get_running_loop()
        started = loop.time()
        assert await put(store, b"x")
        assert await store.get("page") == b"x"
        return loop.time() - started

    assert virtual_time.run(late()) == pytest.approx(3)
