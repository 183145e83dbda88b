"""Unsafe requests: after one succeeded, its instance serves nothing from before it."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any

from asgi_isr.coherence import Index, Invalidated
from asgi_isr.coherence.index import OWN_MAX
from asgi_isr.errors import LogUnavailableError
from asgi_isr.events import Invalidation, encode
from asgi_isr.logs import MemoryLog
from asgi_isr.ports import Bounds, LogMessage, Mark
from asgi_isr.testing import eventually, request
from asgi_isr.types import Receive, Scope, Send

PAGE = "/page"
TAGS = ("*", "path:/page")
TTL = [(b"cache-control", b"max-age=60")]


class Note:
    """An app of one text, which a POST makes new; a render waits while `gate` is shut."""

    def __init__(self) -> None:
        self.text = b"old"
        self.reading = asyncio.Event()
        self.gate = asyncio.Event()
        self.gate.set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Render or change the text."""
        await receive()
        if scope["method"] == "POST":
            self.text = b"new"
            await send({"type": "http.response.start", "status": 204, "headers": []})
            await send({"type": "http.response.body", "body": b""})
            return
        text = self.text
        self.reading.set()
        await self.gate.wait()
        await send({"type": "http.response.start", "status": 200, "headers": TTL})
        await send({"type": "http.response.body", "body": text})


class LateLog:
    """One instance's way to a log: events wait while `delivery` is shut; `deaf` to changes."""

    def __init__(self, log: MemoryLog) -> None:
        self.log = log
        self.register, self.report, self.popular = log.register, log.report, log.popular
        self.deaf = False
        self.delivery = asyncio.Event()
        self.delivery.set()

    async def bounds(self) -> Bounds:
        """Ask the log."""
        return await self.log.bounds()

    async def stamp(self, seq: int) -> str | None:
        """Ask the log."""
        return await self.log.stamp(seq)

    async def mark(self) -> Mark:
        """Ask the log."""
        return await self.log.mark()

    async def announce(self, event: Invalidation) -> int:
        """Ask the log, which may not hear it."""
        if self.deaf:
            raise LogUnavailableError("it does not hear")
        return await self.log.announce(event)

    async def read(self, after: int) -> AsyncGenerator[Sequence[LogMessage], None]:
        """Deliver what may pass."""
        async with aclosing(self.log.read(after)) as batches:
            async for batch in batches:
                await self.delivery.wait()
                yield batch

    async def close(self) -> None:
        """Leave the log to the others."""


async def _behind(site: Any, *, deaf: bool) -> tuple[Any, Any]:
    """Return an instance that is behind in the log, and one whose page it finds in the store."""
    site.app = Note()
    whole = site.log
    site.log = late = LateLog(whole)
    behind = await site.instance()
    site.log = whole
    ahead = await site.instance()
    late.delivery.clear()
    late.deaf = deaf
    for _ in range(3):
        end = whole.publish(encode(Invalidation(tags=("another",))))
    await eventually(lambda: ahead.cache.session.follower.position == end)
    assert (await request(ahead, PAGE)).body == b"old"
    await eventually(lambda: len(site.store) == 1)
    return behind, late


async def test_page_stored_further_on_in_the_log_is_older_than_the_change(site: Any) -> None:
    """An instance that is behind takes no page from the store that was made before the change."""
    behind, _ = await _behind(site, deaf=False)
    assert (await request(behind, PAGE, method="POST")).status == 204
    assert (await request(behind, PAGE)).body == b"new"


async def test_change_that_the_log_does_not_take_holds_here(site: Any) -> None:
    """Without an event in the log nothing from before the change is served either."""
    behind, late = await _behind(site, deaf=True)
    assert (await request(behind, PAGE, method="POST")).status == 204
    assert behind.cache.counters.unannounced == 1
    late.delivery.set()
    await eventually(lambda: behind.cache.session.follower.position >= late.log.last_seq)
    assert (await request(behind, PAGE)).body == b"new"


async def test_render_from_before_the_change_is_not_joined(site: Any) -> None:
    """Who asks after the change gets no page of a render that read before it."""
    site.app = note = Note()
    site.log = late = LateLog(site.log)
    app = await site.instance()
    late.delivery.clear()
    note.gate.clear()
    async with asyncio.TaskGroup() as tasks:
        before = tasks.create_task(request(app, PAGE))
        await note.reading.wait()
        await request(app, PAGE, method="POST")
        after = tasks.create_task(request(app, PAGE))
        await asyncio.sleep(0)  # it joins
        note.gate.set()
    assert (before.result().body, after.result().body) == (b"old", b"new")


def test_no_fence_is_enough_until_the_event_of_a_change_is_known() -> None:
    """Then those at the event and above are, also when the instance joined again in between."""
    index = Index(tags_max=10)
    number = index.change(TAGS[1:], hard=True)
    index.reset(100)
    assert index.invalidated(TAGS, 10**15) is Invalidated.HARD
    index.announced(number, 120)
    assert index.invalidated(TAGS, 119) is Invalidated.HARD
    assert index.invalidated(TAGS, 120) is Invalidated.NOT
    index.apply((), 120, hard=True)
    assert not index.own_hard
    assert index.invalidated(TAGS, 119) is Invalidated.HARD


def test_mark_tells_of_the_changes_before_it_was_asked_for_alone() -> None:
    """A change that came while the mark was on its way waits for the next one."""
    index = Index(tags_max=10)
    index.change(("a",), hard=True)
    asked_for = index.changes
    index.change(("b",), hard=True)
    index.marked(asked_for, 50)
    assert index.invalidated(("a",), 50) is Invalidated.NOT
    assert index.invalidated(("b",), 50) is Invalidated.HARD


def test_event_that_comes_before_its_answer_overtakes_nothing_twice() -> None:
    """A page made right behind the event stays fresh when the answer to it comes later."""
    index = Index(tags_max=10)
    number = index.change(("a",), hard=True)
    index.apply(("a",), 12, hard=True)
    index.announced(number, 12)
    index.apply((), 13, hard=True)
    assert index.invalidated(("a",), 12) is Invalidated.NOT


def test_too_many_changes_count_as_one_of_everything() -> None:
    """What the log cannot be told is bounded."""
    index = Index(tags_max=10)
    index.change((f"tag:{number}" for number in range(OWN_MAX + 1)), hard=True)
    assert len(index) == 1
    assert index.invalidated(TAGS, 10**15) is Invalidated.HARD
    index.marked(index.changes, 30)
    assert index.invalidated(TAGS, 30) is Invalidated.NOT
