"""`PageCache.invalidate` and `applied`: here at once, everywhere by the log, or a clear error."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any

import pytest
from asgi_isr import (
    CacheMiddleware,
    CacheSettings,
    Invalidation,
    InvalidEventError,
    LogUnavailableError,
    PageCache,
)
from asgi_isr.coherence.rules import Invalidated
from asgi_isr.engine.changes import ANNOUNCE_TIMEOUT_S
from asgi_isr.events import decode, encode
from asgi_isr.logs import MemoryLog
from asgi_isr.ports import LogMessage
from asgi_isr.testing import RecordingApp, eventually, ready, request

PAGE, OTHER = "/page", "/other"
SWR = "max-age=100, stale-while-revalidate=100"


@pytest.fixture(params=["own log", "given log"])
async def app(request: pytest.FixtureRequest) -> AsyncIterator[CacheMiddleware]:
    """Give a middleware over an open cache, with and without a log; its pages may go out stale."""
    log = MemoryLog() if request.param == "given log" else None
    recording = RecordingApp(SWR)
    recording.headers = {PAGE: [(b"cache-tag", b"a")], OTHER: [(b"cache-tag", b"b")]}
    async with PageCache(CacheSettings(refresh_interval_s=0), log=log) as cache:
        await ready(cache)
        yield CacheMiddleware(recording, cache)


async def kind(app: CacheMiddleware, path: str = PAGE) -> str:
    """Ask for a page; say how it came about."""
    status = (await request(app, path)).cache_status
    for word in ("stale-while-revalidate", "overtaken", "stored", "hit"):
        if word in status:
            return word
    return status


async def test_hard_ends_what_it_names_at_once(app: CacheMiddleware) -> None:
    """When the call returns the next request renders; a page that it does not name stays."""
    for path in (PAGE, OTHER):
        assert [await kind(app, path), await kind(app, path)] == ["stored", "hit"]
    assert isinstance(await app.cache.invalidate(tags=["A"]), int)
    assert await kind(app) != "hit"
    assert await kind(app, OTHER) == "hit"


@pytest.mark.parametrize("path", [PAGE, "/*"])
async def test_path_ends_its_pages(app: CacheMiddleware, path: str) -> None:
    """A path ends that page, a prefix all below it."""
    await kind(app)
    await app.cache.invalidate(paths=(path,))
    assert await kind(app) != "hit"


async def test_soft_makes_stale_at_once(app: CacheMiddleware) -> None:
    """The page is served while one refresh runs, and is fresh again behind the event."""
    await kind(app)
    seq = await app.cache.invalidate(tags=("a",), soft=True)
    assert await kind(app) == "stale-while-revalidate"
    assert await app.cache.applied(seq, timeout_s=5)

    async def fresh() -> bool:
        return await kind(app) == "hit"

    await eventually(fresh)


async def test_position_is_applied_in_time_or_not(app: CacheMiddleware) -> None:
    """`applied` is true once the event was consumed here, and false when the time is over."""
    seq = await app.cache.invalidate(tags=("a",))
    assert await app.cache.applied(seq, timeout_s=5)
    assert app.cache.status().position is not None
    assert not await app.cache.applied(seq + 1_000, timeout_s=0.01)


async def test_event_stands_in_the_log_as_it_was_given() -> None:
    """Others read the names, the mode and the reason at the sequence that the call returned."""
    log = MemoryLog()
    async with PageCache(log=log) as cache:
        seq = await cache.invalidate(tags={"b"}, paths=["/a/*"], soft=True, reason="new prices")
        (message,) = (await anext(log.read(seq - 1)))[:1]
    assert (message.seq, decode(message.body)) == (
        seq,
        Invalidation(tags=("b",), paths=("/a/*",), mode="soft", reason="new prices"),
    )


@pytest.mark.parametrize("soft", [False, True])
async def test_render_from_before_is_not_kept(app: CacheMiddleware, *, soft: bool) -> None:
    """A render that began before the call is not stored, nor taken by who came after it."""
    recording: Any = app.app
    recording.gate.clear()
    early = asyncio.ensure_future(request(app, PAGE))
    await recording.started.wait()
    await app.cache.invalidate(tags=("a",), soft=soft)
    late = asyncio.ensure_future(request(app, PAGE))
    await asyncio.sleep(0)
    recording.gate.set()
    assert "overtaken" in (await early).cache_status
    assert "overtaken" not in (await late).cache_status
    assert recording.renders == [PAGE, PAGE]


@pytest.mark.parametrize("soft", [False, True])
async def test_page_of_an_instance_that_is_ahead_is_not_taken(site: Any, *, soft: bool) -> None:
    """What stands in the store with a higher fence may be older than the change: hard ends it.

    Soft, it may go out as stale, but not as fresh.
    """
    site.app.cache_control = SWR
    site.app.headers[PAGE] = [(b"cache-tag", b"a")]
    ahead, behind = await site.instance(), await site.instance()
    for _ in range(5):
        await site.publish("noise")
    assert "stored" in (await request(ahead, PAGE)).cache_status
    site.log.down = True
    with pytest.raises(LogUnavailableError):
        await behind.cache.invalidate(tags=("a",), soft=soft)
    status = (await request(behind, PAGE)).cache_status
    assert ("stale-while-revalidate" in status) is soft
    assert "ttl" not in status or soft


@pytest.mark.parametrize("soft", [False, True])
async def test_log_that_is_down_is_told_and_it_holds_here(site: Any, *, soft: bool) -> None:
    """The caller hears that the others were not told; this instance has it, and keeps it."""
    site.app.cache_control = SWR
    app = await site.instance()
    await request(app, PAGE)
    site.log.down = True
    with pytest.raises(LogUnavailableError, match="switched off"):
        await app.cache.invalidate(paths=(PAGE,), soft=soft)
    expected = "stale-while-revalidate" if soft else "overtaken"
    assert expected in (await request(app, PAGE)).cache_status
    assert app.cache.counters.unannounced == 0, "the caller knows it"
    site.log.down = False
    seq = await app.cache.invalidate(paths=(PAGE,), soft=soft)
    assert await app.cache.applied(seq, timeout_s=5)


@pytest.mark.parametrize("soft", [False, True])
async def test_change_of_which_the_log_knows_nothing_outlives_a_rejoin(
    site: Any, *, soft: bool
) -> None:
    """A recreated log cannot tell it: no fence is enough until a mark that was asked for later."""
    site.app.cache_control = SWR
    app = await site.instance(lease_s=10_000)  # no mark comes by itself
    await request(app, PAGE)
    site.log.down = True
    with pytest.raises(LogUnavailableError):
        await app.cache.invalidate(paths=(PAGE,), soft=soft)
    rejoins = app.cache.counters.rejoins
    site.log.recreate(5_000)
    site.log.down = False
    await eventually(lambda: app.cache.counters.rejoins > rejoins)
    index, tags = app.cache.session.index, ("path:/page",)
    assert index.invalidated(tags, 5_000) is (Invalidated.SOFT if soft else Invalidated.HARD)
    index.marked(index.changes, 5_000)
    index.apply((), 5_000, hard=True)
    assert index.invalidated(tags, 5_000) is Invalidated.NOT
    assert index.invalidated(tags, 4_999) is not Invalidated.NOT


class Frozen(MemoryLog):
    """A log that takes an event and does not answer."""

    async def announce(self, event: Invalidation) -> int:
        """Wait for ever."""
        await asyncio.Event().wait()
        return await super().announce(event)


def test_frozen_log_costs_one_time_limit(virtual_time: asyncio.Runner) -> None:
    """The call ends, with an error that says how long it waited, and the page is unusable."""

    async def scene() -> None:
        loop = asyncio.get_running_loop()
        async with PageCache(log=Frozen()) as cache:
            await ready(cache, timeout_s=60)
            began = loop.time()
            with pytest.raises(LogUnavailableError, match="within 1 s"):
                await cache.invalidate(tags=("a",))
            assert loop.time() - began == pytest.approx(ANNOUNCE_TIMEOUT_S)

    virtual_time.run(scene())


class Stumbling(MemoryLog):
    """A log that raises what its port does not know."""

    async def announce(self, event: Invalidation) -> int:
        """Fail."""
        raise ZeroDivisionError(event.reason)


async def test_fault_of_a_log_is_its_being_unavailable() -> None:
    """Whatever it raises, the caller gets the one error of a log, with the cause; it goes on."""
    async with PageCache(log=Stumbling()) as cache:
        await ready(cache)
        with pytest.raises(LogUnavailableError, match="ZeroDivisionError") as error:
            await cache.invalidate(tags=("a",))
        assert isinstance(error.value.__cause__, ZeroDivisionError)
        assert cache.session.is_open


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "a string of tags": ({"tags": "product:42"}, r"tags: .*write \['product:42'\]"),
    "a string of paths": ({"paths": "/page"}, r"paths: .*write \['/page'\]"),
    "bytes": ({"tags": b"a"}, "tags: .*got bytes"),
    "no collection": ({"tags": 42}, "tags: .*got int"),
    "a number among tags": ({"tags": ("a", 42)}, r"tags\[1\]: expected a string, got int"),
    "an empty tag": ({"tags": ("a", "")}, r"tags\[1\]: is empty"),
    "a comma": ({"tags": ("a,b",)}, r"tags\[0\]: .*','"),
    "a relative path": ({"paths": ("page",)}, r"paths\[0\]: does not start with '/'"),
    "a query": ({"paths": ("/page?a=1",)}, r"paths\[0\]: has a query"),
    "nothing": ({}, "name at least one tag or path"),
    "a reason of bytes": ({"tags": ("a",), "reason": b"x"}, "reason: expected a string"),
    "too many": ({"tags": [f"t{number}" for number in range(1001)]}, "more than 1000"),
}


@pytest.mark.parametrize("name", WRONG)
async def test_wrong_names_change_nothing(app: CacheMiddleware, name: str) -> None:
    """The error names the field and what is wanted; no page ends, no event is published."""
    given, message = WRONG[name]
    await kind(app)
    before = app.cache.session.index.changes
    with pytest.raises(InvalidEventError, match=message):
        await app.cache.invalidate(**given)
    assert await kind(app) == "hit"
    assert app.cache.session.index.changes == before


async def test_any_collection_of_names_will_do(app: CacheMiddleware) -> None:
    """A generator is read once, before anything is changed."""
    await kind(app)
    await app.cache.invalidate(tags=(tag for tag in ("a",)))
    assert await kind(app) != "hit"


async def test_caller_that_goes_away_has_told_the_log() -> None:
    """Who is cancelled while the log takes its time has published all the same."""
    gate, told = asyncio.Event(), []

    class Slow(MemoryLog):
        async def announce(self, event: Invalidation) -> int:
            await gate.wait()
            told.append(event)
            return await super().announce(event)

    async with PageCache(log=Slow()) as cache:
        await ready(cache)
        calling = asyncio.ensure_future(cache.invalidate(tags=("a",)))
        await asyncio.sleep(0)
        calling.cancel()
        gate.set()
        await eventually(lambda: told)


EVENT = Invalidation(tags=("a",))
PUBLISHED: dict[str, tuple[dict[str, Any], str]] = {
    "text": ({"body": encode(EVENT).decode()}, "body: expected bytes.*got str"),
    "event": ({"body": EVENT}, "body: expected bytes.*got Invalidation"),
    "nothing": ({"body": None}, "body: expected bytes.*got NoneType"),
    "source": ({"body": b"{}", "source": b"shop"}, "source: expected a string, got bytes"),
    "no source": ({"body": b"{}", "source": None}, "source: .*got NoneType"),
    "number": ({"body": b"{}", "source": "a", "source_seq": "1"}, "source_seq: .*got str"),
    "float": ({"body": b"{}", "source": "a", "source_seq": 1.5}, "source_seq: .*got float"),
}


@pytest.mark.parametrize("name", PUBLISHED)
async def test_log_refuses_the_wrong_thing_at_the_call(name: str) -> None:
    """One wrong `publish` must not stop every cache that follows: it raises, and is not kept."""
    log = MemoryLog()
    given, message = PUBLISHED[name]
    async with PageCache(log=log) as cache:
        await ready(cache)
        last = log.last_seq
        with pytest.raises(TypeError, match=message):
            log.publish(**given)
        assert log.last_seq == last
        assert await cache.applied(await cache.invalidate(tags=("a",)), timeout_s=5)


@pytest.mark.parametrize("event", [b"{}", "{}", {"tags": ["a"]}, None])
async def test_log_announces_events_alone(event: Any) -> None:
    """`announce` names the type that it wants."""
    with pytest.raises(TypeError, match="event: expected an Invalidation"):
        await MemoryLog().announce(event)


class Yielding(MemoryLog):
    """A log of somebody else's, whose reader yields what `change` makes of each message."""

    def __init__(self, change: Callable[[LogMessage], LogMessage]) -> None:
        super().__init__()
        self._change = change

    async def read(self, after: int) -> Any:
        """Yield what is no message."""
        async for batch in super().read(after):
            yield [self._change(message) for message in batch]


STRANGE: dict[str, dict[str, Any]] = {
    "text for bytes": {"body": "no event"},
    "an event": {"body": EVENT},
    "nothing": {"body": None},
    "a source of bytes": {"source": b"shop", "source_seq": 1},
    "a number as text": {"source": "shop", "source_seq": "1"},
    "a list as source": {"source": ["shop"], "source_seq": 1},
}


@pytest.mark.parametrize("name", STRANGE)
async def test_follower_goes_on_behind_what_it_cannot_read(name: str) -> None:
    """Its position counts, nothing else; the follower does not read it again and again."""
    strange = STRANGE[name]

    def change(message: LogMessage) -> LogMessage:
        return message._replace(**strange) if message.body == b'{"tags":["strange"]}' else message

    log = Yielding(change)
    async with PageCache(log=log) as cache:
        await ready(cache)
        seq = log.publish(b'{"tags":["strange"]}')
        assert await cache.applied(seq, timeout_s=5)
        assert await cache.applied(log.publish(encode(EVENT)), timeout_s=5)
        assert cache.counters.log_failures == 0
        assert cache.counters.unreadable == ("body" in strange)


def test_names_are_given_in_any_order() -> None:
    """Names of an event may be a list, a tuple or a set of strings."""
    given: list[Iterable[str]] = [["a", "b"], ("a", "b"), {"a": 1, "b": 2}]
    for names in given:
        assert decode(encode(Invalidation(tags=tuple(names)))).tags == ("a", "b")
