"""`RedisStore` when the server is frozen, killed, restarted, or somebody else's."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from asgi_isr.errors import StoreUnavailableError
from asgi_isr.stores.redis import FENCE_MAX, RedisStore
from asgi_isr.testing import eventually
from perfcheck_embedded import Servers, free_port
from redis.asyncio import Redis

NewStore = Callable[..., RedisStore]
Freeze = Callable[[Servers, str], Awaitable[None]]
TIMEOUT_S = 0.05
ENDLESS_S = 20  # who takes so long has no time limit

CALLS: dict[str, Callable[[RedisStore], Awaitable[object]]] = {
    "get": lambda store: store.get("a"),
    "put": lambda store: store.put("a", b"x" * 20_000, fence=2, ttl_s=60),
    "lock": lambda store: store.lock("a", "me", ttl_s=60),
    "unlock": lambda store: store.unlock("a", "me"),
}


@pytest.fixture
async def store(new_store: NewStore, store_server: Servers) -> RedisStore:
    """Give a store with the usual time limit, two values, and idle connections."""
    found = new_store(store_server.valkey_url, timeout_s=TIMEOUT_S)
    setup = new_store(store_server.valkey_url)
    await setup.put("a", b"value of a", fence=1, ttl_s=600)
    await setup.put("b", b"value of b", fence=1, ttl_s=600)
    await setup.close()
    return found


async def answers(store: RedisStore, key: str) -> bytes:
    """Return the value at `key` once the server answers again."""
    return await eventually(
        lambda: store.get(key), timeout_s=ENDLESS_S, ignoring=(StoreUnavailableError,)
    )


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("warm", [True, False], ids=["connected", "connecting"])
async def test_frozen_server_costs_one_time_limit(
    freeze: Freeze, store_server: Servers, store: RedisStore, name: str, *, warm: bool
) -> None:
    """Every call ends at its time limit when the server hangs, connected or not."""
    if warm:
        await answers(store, "a")
    await freeze(store_server, "valkey")
    async with asyncio.timeout(ENDLESS_S):
        with pytest.raises(StoreUnavailableError, match="50 ms"):
            await CALLS[name](store)
    await store_server.resume("valkey")


async def test_frozen_server_holds_up_many_callers_no_longer_than_one(
    freeze: Freeze, store_server: Servers, store: RedisStore
) -> None:
    """Callers that wait for a connection end at their own time limit too."""
    await answers(store, "a")
    await freeze(store_server, "valkey")
    async with asyncio.timeout(ENDLESS_S):
        calls = (store.get("a") for _ in range(200))
        results = await asyncio.gather(*calls, return_exceptions=True)
    assert all(isinstance(result, StoreUnavailableError) for result in results)
    assert all("50 ms" in str(result) for result in results)
    await store_server.resume("valkey")
    assert await answers(store, "a") == b"value of a"


async def test_late_answer_reaches_nobody(
    freeze: Freeze, store_server: Servers, store: RedisStore
) -> None:
    """The answer to a call that ran out of time is never given to the next one."""
    await answers(store, "a")
    await freeze(store_server, "valkey")
    with pytest.raises(StoreUnavailableError):
        await store.get("a")
    await store_server.resume("valkey")
    for _ in range(20):
        assert await answers(store, "b") == b"value of b"


async def test_cancelled_call_leaves_no_answer_behind(
    freeze: Freeze, store_server: Servers, store: RedisStore, new_store: NewStore
) -> None:
    """A caller that goes away takes its connection with it."""
    await store.close()
    store = new_store(store_server.valkey_url, timeout_s=ENDLESS_S)
    await answers(store, "a")
    await freeze(store_server, "valkey")
    for turns in range(1, 9):  # before it was sent, and while it waits for the answer
        call = asyncio.ensure_future(store.get("a"))
        for _ in range(turns):
            await asyncio.sleep(0)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
    await store_server.resume("valkey")
    for _ in range(20):
        assert await answers(store, "b") == b"value of b"


async def test_killed_server_is_an_error_and_a_restarted_one_answers(
    store_server: Servers, store: RedisStore
) -> None:
    """Refused calls fail at once; after a restart the first call works, on a new connection."""
    await asyncio.gather(*(answers(store, "a") for _ in range(8)))
    await store_server.kill("valkey")
    with pytest.raises(StoreUnavailableError, match=r"127\.0\.0\.1"):
        await store.get("a")
    await store_server.restart("valkey")
    assert await store.put("c", b"value of c", fence=1, ttl_s=60)
    assert await store.get("c") == b"value of c"


async def test_idle_connections_of_a_restarted_server_are_not_used(
    store_server: Servers, store: RedisStore
) -> None:
    """A restart between two calls is not seen by the caller: nothing needs to be tried twice."""
    await asyncio.gather(*(answers(store, "a") for _ in range(8)))
    await store_server.kill("valkey")
    await store_server.restart("valkey")
    for _ in range(8):
        assert await store.get("nothing") is None


async def test_connections_are_bounded(new_store: NewStore, store_server: Servers) -> None:
    """Many callers at once share at most `connections_max` connections."""
    store = new_store(store_server.valkey_url, connections_max=4)
    await store.put("a", b"x" * 50_000, fence=1, ttl_s=60)
    values = await asyncio.gather(*(store.get("a") for _ in range(100)))
    assert {len(value or b"") for value in values} == {50_000}
    admin = Redis.from_url(store_server.valkey_url)
    assert len(await admin.client_list()) <= 4 + 1
    await admin.aclose()


async def test_server_that_forgot_the_scripts_learns_them_again(
    new_store: NewStore, store_server: Servers
) -> None:
    """After SCRIPT FLUSH (or a failover) put and unlock work."""
    store = new_store(store_server.valkey_url)
    assert await store.put("a", b"one", fence=1, ttl_s=60)
    admin = Redis.from_url(store_server.valkey_url)
    await admin.script_flush()
    assert await store.put("a", b"two", fence=2, ttl_s=60)
    assert await store.lock("a", "me", ttl_s=60)
    await admin.script_flush()
    await store.unlock("a", "me")
    assert await store.lock("a", "me", ttl_s=60)
    await admin.aclose()


async def test_refusal_leaves_the_connection_usable(
    new_store: NewStore, store_server: Servers
) -> None:
    """A key of another type is an error that names the command; the next call works."""
    store = new_store(store_server.valkey_url)
    admin = Redis.from_url(store_server.valkey_url)
    await admin.lpush("list", "x")
    with pytest.raises(StoreUnavailableError, match="GET: WRONGTYPE"):
        await store.get("list")
    assert await store.get("nothing") is None
    assert len(await admin.client_list()) == 2
    await admin.aclose()


async def test_foreign_value_does_not_keep_pages_out(
    new_store: NewStore, store_server: Servers
) -> None:
    """A value without a fence in front is overwritten by the first page."""
    store = new_store(store_server.valkey_url)
    admin = Redis.from_url(store_server.valkey_url)
    await admin.set("page", "zzzzzzzzzzzzzzzzzzzzzzzzzz")
    assert await store.put("page", b"page", fence=1, ttl_s=60)
    assert await store.get("page") == b"page"
    await admin.aclose()


async def test_database_password_and_namespace_are_honoured(
    new_store: NewStore, store_server: Servers
) -> None:
    """The URL chooses database and user; a wrong password is an error that does not show it."""
    admin = Redis.from_url(store_server.valkey_url)
    await admin.config_set("requirepass", "sesame")
    address = store_server.valkey_url.rpartition("@")[2].removesuffix("/0")
    store = new_store(f"redis://:sesame@{address}/1", namespace="shop:")
    assert await store.put("page", b"page", fence=7, ttl_s=60)
    reader = Redis.from_url(f"redis://:sesame@{address}/1")
    assert await reader.keys("*") == [b"shop:page"]
    assert await reader.get("shop:page") == b"00000000000000000007page"
    await reader.aclose()
    wrong = new_store(f"redis://:open@{address}/1")
    with pytest.raises(StoreUnavailableError) as refused:
        await wrong.get("page")
    assert "open" not in str(refused.value)
    await admin.aclose()


async def test_nobody_at_the_address(new_store: NewStore) -> None:
    """A refused connection fails at once and names the address."""
    port = free_port()
    store = new_store(f"redis://user:secret@127.0.0.1:{port}/0")
    with pytest.raises(StoreUnavailableError, match=f"127.0.0.1:{port}") as refused:
        await store.get("a")
    assert "secret" not in str(refused.value)


async def test_closed_store_opens_again(new_store: NewStore, store_server: Servers) -> None:
    """After `close` no connection is open, until the next call opens one."""
    admin = Redis.from_url(store_server.valkey_url)

    async def clients() -> int:
        return len(await admin.client_list())

    async def alone() -> bool:
        return await clients() == 1

    await eventually(alone)
    store = new_store(store_server.valkey_url)
    for _ in range(3):
        assert await store.get("a") is None
        assert await clients() == 2
        await store.close()
        await eventually(alone)
    await admin.aclose()


@pytest.mark.parametrize("fence", [-1, FENCE_MAX + 1])
async def test_fence_outside_its_digits_is_a_mistake_of_the_caller(fence: int) -> None:
    """A fence that does not fit its 20 digits is refused before anything is sent."""
    store = RedisStore("redis://127.0.0.1:1/0")
    with pytest.raises(ValueError, match="fence"):
        await store.put("a", b"x", fence=fence, ttl_s=60)


async def test_value_without_life_is_not_kept() -> None:
    """A time to live of nothing means not to store; no server is asked."""
    store = RedisStore("redis://127.0.0.1:1/0")
    assert not await store.put("a", b"x", fence=1, ttl_s=0)
