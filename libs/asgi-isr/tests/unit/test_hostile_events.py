"""Events made to cost or to mislead: every instance ends in the same place, and never late."""

import asyncio
import json
import random
from collections.abc import AsyncGenerator, Sequence
from typing import Any
from urllib.parse import quote

import pytest
from asgi_isr.coherence import RULES, Follower, Index, Rules, Snapshot
from asgi_isr.errors import InvalidEventError
from asgi_isr.events import EVENT_BYTES_MAX, MARK_CHARS_MAX, NAMES_MAX, Invalidation, check, decode
from asgi_isr.logs.memory import MemoryLog
from asgi_isr.ports import LogMessage
from asgi_isr.testing import eventually, request

PAGE, OTHER = "/page", "/other"


def body_of(**fields: object) -> bytes:
    """Write an event as any publisher may, whatever it names."""
    return json.dumps(fields, ensure_ascii=False, separators=(",", ":")).encode()


async def consumed(site: Any, body: bytes) -> None:
    """Publish `body` past every check, and wait until all have consumed it."""
    seq = site.log.publish(body)
    for cache in site.caches:
        assert await cache.applied(seq, timeout_s=10)


EVERYTHING = {
    "a path of 400 KB": body_of(paths=["/%" + "25" * 200_000]),
    "500 paths of 1,021 characters": body_of(paths=[f"/%{'25' * 508}{n:03}" for n in range(500)]),
    "too many names": body_of(tags=[f"t{number}" for number in range(NAMES_MAX + 1)]),
    "30,000 empty names": b'{"tags":[' + b'"",' * 21_000 + b'""]}',
    "deep nesting": b'{"tags":["a"],"x":' + b"[" * 30_000 + b"]" * 30_000 + b"}",
    "a million numbers": body_of(tags=["a"], x=[1] * 1_000_000),
    "names that are numbers": body_of(tags=["a", 7]),
    "one name alone": body_of(tags="a"),
    "names in an object": body_of(paths={"/a": 1}),
    "half of a pair": b'{"tags":["\\ud800"]}',
    "no UTF-8": b'{"tags":["\xff"]}',
    "no JSON": b"tags: [a]",
    "nothing": b"",
    "a list": b'["a"]',
    "cut off": b'{"tags":["a"',
}


@pytest.mark.parametrize("body", EVERYTHING.values(), ids=EVERYTHING)
async def test_event_over_a_limit_or_unreadable_is_everything(site: Any, body: bytes) -> None:
    """Nobody knows what it names: every page ends, once, at each instance."""
    app, other = await site.instance(shared=False), await site.instance(shared=False)
    for instance in (app, other):
        await request(instance, PAGE)
    await consumed(site, body)
    for instance in (app, other):
        assert "uri-miss" in (await request(instance, PAGE)).cache_status
        assert "hit" in (await request(instance, PAGE)).cache_status
        assert instance.cache.counters.unreadable == 1
    with pytest.raises(InvalidEventError):
        decode(body)


BAD_NAMES: dict[str, dict[str, list[str]]] = {
    "an empty tag": {"tags": [""]},
    "a tag of 50 KB": {"tags": ["x" * 50_000]},
    "a tag with a comma": {"tags": ["a,b"]},
    "another script": {"tags": ["währung"]},
    "no path": {"paths": ["pairs"]},
    "a doubled slash": {"paths": ["/a//b"]},
    "dots": {"paths": ["/a/../b"]},
    "a broken escape": {"paths": ["/%zz"]},
    "a control character": {"paths": ["/a\x00"]},
    "a chain of escapes": {"paths": ["/" + "%25" * 20_000 + "zz%"]},
    "a path among the tags": {"tags": ["path:/a//b"]},
}


@pytest.mark.parametrize("bad", BAD_NAMES.values(), ids=BAD_NAMES)
async def test_bad_name_among_good_ones_costs_nothing_else(
    site: Any, bad: dict[str, list[str]]
) -> None:
    """The good names are applied, the bad one has no page, and all others stay."""
    app = await site.instance()
    for path in (PAGE, OTHER):
        await request(app, path)
    named = {"tags": ["good", *bad.get("tags", [])], "paths": [*bad.get("paths", []), PAGE]}
    await consumed(site, body_of(**named))
    assert "uri-miss" in (await request(app, PAGE)).cache_status
    assert "hit" in (await request(app, OTHER)).cache_status
    assert app.cache.counters.unreadable == 1
    assert "good" in site.caches[0].session.index.hard
    with pytest.raises(InvalidEventError):
        check(Invalidation(tags=tuple(named["tags"]), paths=tuple(named["paths"])))


def test_limits_are_the_same_for_publishers_and_readers() -> None:
    """What may just be published is read as it is, one more byte or name is refused by both."""
    full = Invalidation(tags=tuple(f"t{number}" for number in range(NAMES_MAX)))
    check(full)
    room = EVENT_BYTES_MAX - len(body_of(paths=["/"], reason=""))
    for extra, refused in ((0, False), (1, True)):
        paths, left = [], room + extra
        while left > 0:
            paths.append("/" + "x" * min(1000, left - 4))
            left -= len(paths[-1]) + 3
        body = body_of(paths=["/", *paths], reason="")
        assert len(body) == EVENT_BYTES_MAX + extra
        if refused:
            with pytest.raises(InvalidEventError, match="split"):
                decode(body)
        else:
            assert len(decode(body).paths) == len(paths) + 1


async def test_long_mark_is_not_kept(site: Any) -> None:
    """The ids of marks are remembered for the lease; one as long as a novel is nobody's."""
    await site.instance()
    await consumed(site, body_of(mark="m" * (MARK_CHARS_MAX + 1)))
    await consumed(site, body_of(mark="m" * MARK_CHARS_MAX))
    marks = site.caches[0].session.follower.marks
    assert max(map(len, marks)) == MARK_CHARS_MAX


# -- requests at paths that no page can have -------------------------------------------------------


@pytest.mark.parametrize("path", ["/a//b", "/a/../b", "/a%zz", "/a\x01", "/a\\b", "/x" * 600])
async def test_path_that_no_page_can_have_is_neither_stored_nor_announced(
    site: Any, path: str
) -> None:
    """The app answers it, whoever asks; a POST there tells nobody anything, and ends no page."""
    app = await site.instance()
    await request(app, PAGE)
    raw = path.encode() if "%" in path else None
    for _ in range(2):
        reply = await request(app, path, raw_path=raw)
        assert reply.status == 200
        assert reply.cache_status == "asgi-isr; fwd=bypass; detail=path"
        assert reply.headers["cache-control"] == "no-store"
    before = site.log.last_seq
    assert (await request(app, path, method="POST", raw_path=raw)).status == 200
    assert site.log.last_seq == before
    assert site.caches[0].counters.unannounced == 0
    assert "hit" in (await request(app, PAGE)).cache_status


async def test_location_that_no_page_can_have_is_not_announced(site: Any) -> None:
    """The path of the request is, all the same."""
    site.app.headers[PAGE] = [(b"location", b"/a//b"), (b"content-location", b"/%zz")]
    app = await site.instance()
    await request(app, PAGE, method="POST")
    events = [decode(message.body) for message in site.log.messages.values()]
    assert [event.paths for event in events if event.paths] == [(PAGE,)]


@pytest.mark.parametrize("mode", ["hard", "soft"])
async def test_event_of_more_pages_than_are_marked_at_once(site: Any, mode: str) -> None:
    """Each of them is old from then on, and those that it does not concern go on as hits."""
    site.app.cache_control = "max-age=60, stale-while-revalidate=60"
    app = await site.instance(shared=False)
    paths = [f"/many/{number}" for number in range(RULES.pages_at_once() + 6)]
    for path in (*paths, PAGE):
        await request(app, path)
    await site.publish("/many/*", mode=mode)
    expected = "uri-miss" if mode == "hard" else "detail=stale-while-revalidate"
    for path in paths:
        assert expected in (await request(app, path)).cache_status
    assert "hit; ttl=60; detail=local" in (await request(app, PAGE)).cache_status
    assert app.cache.counters.invalidated == len(paths)


# -- no event holds up requests --------------------------------------------------------------------

SCRIPTS = ("a", "ß", "İ", "ΐ", "ж", "ไ", "通", "😀", "%41", "%25", "%2541", quote("ж"), "=", "*")


class Steps:
    """Counts what is done between two turns of the event loop: names read, raised, pages marked."""

    def __init__(self) -> None:
        self.raised = 0
        self.turns: list[int] = []

    async def run(self) -> None:
        """Note each turn until cancelled."""
        while True:
            self.turns.append(self.raised)
            await asyncio.sleep(0)

    @property
    def most(self) -> int:
        """Return the most names that were raised in one turn."""
        return max(
            after - before for before, after in zip(self.turns, self.turns[1:], strict=False)
        )


async def no_snapshot() -> Snapshot | None:
    """There is none."""
    return None


class OneEvent(MemoryLog):
    """A log whose reader gets one event, at once."""

    def __init__(self, body: bytes) -> None:
        super().__init__()
        self._body = body

    async def read(self, after: int) -> AsyncGenerator[Sequence[LogMessage], None]:
        """Yield the event, then wait."""
        yield [LogMessage(after + 1, "1", self._body)]
        await asyncio.Event().wait()


async def applied(body: bytes, rules: Rules, steps: Steps | None = None) -> Follower:
    """Apply one event at a follower; return it."""

    def raised(tags: Any, _hard: object) -> None:
        if steps is not None:
            steps.raised += len(tags)

    follower = Follower(
        OneEvent(body), Index(tags_max=10_000), load_snapshot=no_snapshot, on_raised=raised,
        rules=rules,
    )  # fmt: skip
    async with asyncio.timeout(30), asyncio.TaskGroup() as tasks:
        turns = tasks.create_task(steps.run()) if steps is not None else None
        following = tasks.create_task(follower.run())
        await eventually(lambda: follower.counters.events, poll_s=0)
        following.cancel()
        if turns is not None:
            turns.cancel()
    return follower


def largest(seed: int) -> bytes:
    """Return an event of as many names as may be, or as many bytes, in every script."""
    rng = random.Random(seed)
    names: list[str] = []
    length, left = rng.choice((1, 10, 300)), EVENT_BYTES_MAX - len(body_of(paths=[]))
    while len(names) < NAMES_MAX:
        name = f"/{len(names)}/" + "".join(rng.choices(SCRIPTS, k=length))
        left -= len(name.encode()) + 3
        if left < 0:
            break
        names.append(name)
    return body_of(paths=names)


@pytest.mark.parametrize("seed", range(6))
async def test_requests_run_between_the_parts_of_the_largest_event(seed: int) -> None:
    """Whatever its names are made of, no turn of the loop raises more than a part of them."""
    rules, steps = Rules(), Steps()
    event = decode(largest(seed))
    parts = list(event.parts())
    assert max(len(part.tags) + len(part.problems) for part in parts) <= 64
    follower = await applied(largest(seed), rules, steps)
    assert steps.most <= rules.names_at_once()
    assert follower.position == 1
    assert steps.raised == len(event.index_tags())


async def test_position_moves_when_all_is_raised() -> None:
    """Between two parts of an event its instance stands before it: so says a snapshot, too."""
    names = [f"t{number}" for number in range(10)]
    seen: list[tuple[int | None, int]] = []
    follower: Follower

    def raised(tags: Any, _hard: object) -> None:
        snapshot = follower.snapshot()
        assert snapshot is not None
        seen.append((snapshot.position, len(snapshot.hard)))
        assert len(tags) == 2

    follower = Follower(
        OneEvent(body_of(tags=names)), Index(tags_max=100), load_snapshot=no_snapshot,
        on_raised=raised, rules=Rules(names_at_once=lambda: 2),
    )  # fmt: skip
    async with asyncio.timeout(30), asyncio.TaskGroup() as tasks:
        following = tasks.create_task(follower.run())
        await eventually(lambda: follower.counters.events, poll_s=0)
        following.cancel()
    assert seen == [(0, 2), (0, 4), (0, 6), (0, 8), (0, 10)]
    assert follower.position == 1


async def test_event_that_was_cut_short_is_raised_again() -> None:
    """An instance that loses its link between two parts goes on before the event, not behind it."""
    rules = Rules(names_at_once=lambda: 1)
    body = body_of(tags=["a", "b", "c"])
    log = OneEvent(body)
    index = Index(tags_max=100)
    follower = Follower(log, index, load_snapshot=no_snapshot, rules=rules)
    async with asyncio.timeout(30):
        following = asyncio.ensure_future(follower.run())
        await eventually(lambda: "a" in index.hard, poll_s=0)
        following.cancel()
        await asyncio.wait({following})
        assert "c" not in index.hard
        assert follower.position == 0
        again = asyncio.ensure_future(follower.run())
        await eventually(lambda: follower.position, poll_s=0)
        again.cancel()
        await asyncio.wait({again})
    assert set(index.hard) == {"a", "b", "c"}
