"""Renders under way: one for a key in this process, each under its fence.

Rule 3 of the coherence protocol: the fence is the position before the first read; when done, the
page is kept only if it is fresh by the index as it is then.
"""

import asyncio
import logging
from collections.abc import Coroutine
from functools import partial
from typing import Any, NamedTuple, TypeVar

from asgi_isr.coherence.follower import Follower
from asgi_isr.coherence.index import Index, Verdict
from asgi_isr.counters import Counters
from asgi_isr.errors import RenderTimeoutError
from asgi_isr.http.fields import values
from asgi_isr.http.policy import ERROR_STATUS, Use
from asgi_isr.pages.entry import DEAD, Entry
from asgi_isr.pages.local import LocalPages
from asgi_isr.pages.page import Page
from asgi_isr.pages.shared import SharedPages
from asgi_isr.ports import Clock
from asgi_isr.rendering.fleet import Fleet
from asgi_isr.rendering.flight import (
    Again,
    Confirmed,
    Failed,
    Flight,
    Kept,
    Overtaken,
    PageRequest,
    Passed,
    Personal,
    Render,
    Rendered,
    Result,
    Streamed,
)
from asgi_isr.rendering.making import confirmed_page, rendered_page, speaks_of
from asgi_isr.settings import CacheSettings

T = TypeVar("T")
logger = logging.getLogger(__name__)

RENDERS_MAX = 1024  # at a time, each of which holds a page; beyond them the app answers directly
REFRESHES_MAX = 64  # of them, in the background
UNSTORABLE_MAX = 10_000  # keys remembered as not storable
UNSTORABLE_S = 1.0
_ERRORS = 400
_GONE = frozenset({404, 410})


def _supersedes(answer: Rendered | Confirmed | Streamed) -> bool:
    """Say whether an answer that is not stored ends the stored page (RFC 9111, section 4.3.3).

    Errors do not, nor does what concerns one client (403, 429): they say nothing of the page.
    """
    if isinstance(answer, Confirmed) or (isinstance(answer, Rendered) and answer.rule is not None):
        return False
    return answer.status < _ERRORS or answer.status in _GONE


class Begun(NamedTuple):
    """When a render took its fence: which rejoin came before, how many changes made here."""

    generation: int
    changes: int


class Renders:
    """Starts renders, lets others join them, and keeps what came out."""

    def __init__(
        self, settings: CacheSettings, *, clock: Clock, counters: Counters, index: Index,
        local: LocalPages, follower: Follower, shared: SharedPages | None,
    ) -> None:  # fmt: skip
        self._settings = settings
        self._clock = clock
        self._counters = counters
        self._index = index
        self._local = local
        self._follower = follower
        self._fleet = Fleet(
            settings, clock=clock, counters=counters, index=index, local=local,
            follower=follower, shared=shared,
        )  # fmt: skip
        self._flights: dict[str, Flight] = {}
        self._flying: set[asyncio.Task[Any]] = set()
        self._unstorable: dict[str, float] = {}
        self._rendering = 0
        self._refreshing = 0
        self._generation = 0  # raised by a rejoin; renders of an earlier one are not kept
        self._tasks: asyncio.TaskGroup | None = None

    def open(self, tasks: asyncio.TaskGroup) -> None:
        """Start renders in `tasks` from here on."""
        self._tasks = tasks

    def close(self) -> None:
        """Cancel what still renders: nobody waits for it any more."""
        self._tasks = None
        for task in self._flying:
            task.cancel()

    def forget(self) -> None:
        """Let nobody join a render that began before a rejoin, and keep none of them."""
        self._generation += 1
        self._flights.clear()

    def under_way(self, key: str) -> Flight | None:
        """Return the render of `key` that a request may join."""
        return self._flights.get(key)

    @property
    def full(self) -> bool:
        """Whether no render should start: as many as may hold their pages, and outlive clients."""
        return self._rendering >= RENDERS_MAX

    def refusal(self, key: str) -> str | None:
        """Say why nobody should wait for a render of `key`, or return None.

        `unstorable`: the app lately refused to have it stored; `closing`: nothing starts any more.
        """
        until = self._unstorable.get(key)
        if until is not None:
            if self._clock.monotonic() < until:
                return "unstorable"
            del self._unstorable[key]
        return "closing" if self._tasks is None else None

    def refresh(self, request: PageRequest, render: Render, entry: Entry) -> None:
        """Start a refresh in the background, unless one runs or the page is very new."""
        if self._tasks is None:
            return
        recent = self._clock.monotonic() - entry.created < self._settings.refresh_interval_s
        if recent and entry.soft_since is None:
            return
        key = entry.page.key
        if key not in self._flights and self._refreshing < REFRESHES_MAX and not self.full:
            self._counters.refreshes += 1
            self.launch(key, request, render, background=True)

    def spawn(self, work: Coroutine[Any, Any, T]) -> "asyncio.Task[T]":
        """Run a part of a render in a task of its own, which ends with the cache."""
        if self._tasks is None:
            work.close()
            raise RuntimeError("the cache is closed")
        task = self._tasks.create_task(work, name="isr-app")
        self._flying.add(task)
        task.add_done_callback(self._flying.discard)
        return task

    def launch(
        self, key: str, request: PageRequest, render: Render, *,
        background: bool = False, alone: bool = False,
    ) -> Flight:  # fmt: skip
        """Start a render of `key` that outlives the request which asked for it.

        One that is `alone` is for this request: nobody joins it, and nothing that others
        rendered will do.
        """
        if self._tasks is None:
            raise RuntimeError("enter the PageCache (async with) before the first request")
        flight = Flight(key, alone=alone)
        flight.task = task = self._tasks.create_task(
            self._fly(flight, request, render, background=background),
            name=f"isr-render {request.path}",
        )
        if not alone:
            self._flights[key] = flight
        self._rendering += 1
        self._refreshing += background
        self._flying.add(task)
        # Not in the task itself: one that is cancelled before its first step runs none of it.
        task.add_done_callback(lambda task: self._landed(task, flight, background))
        return flight

    def _landed(self, task: asyncio.Task[None], flight: Flight, background: bool) -> None:  # noqa: FBT001  callback
        self._flying.discard(task)
        self._refreshing -= background
        self._land(flight, Again())
        flight.end(ConnectionAbortedError("the cache closed while the response was on its way"))

    def _land(self, flight: Flight, result: Result) -> None:
        """Let nobody join any more, and tell those who wait."""
        if self._flights.get(flight.key) is flight:
            del self._flights[flight.key]
        self._rendering -= not flight.done.done()
        flight.land(result)

    async def _fly(
        self, flight: Flight, request: PageRequest, render: Render, *, background: bool
    ) -> None:
        result: Result = Again()
        try:
            result = await self._obtain(flight, request, render, background=background)
            flight.end(None)
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # noqa: BLE001  handed to those who wait: it is theirs
            self._counters.errors += 1
            if background:
                logger.warning("refreshing %s failed: %r", request.path, error)
            result = Failed(error)
            flight.end(error)
        finally:
            self._land(flight, result)
            await self._fleet.share(flight, result)

    def _pass(self, flight: Flight, limit: asyncio.Timeout, status: int) -> None:
        """Let nobody wait for a response that goes to one client, for as long as that takes."""
        limit.reschedule(None)
        self._counters.unstorable += 1
        if not flight.alone:
            self._remember_unstorable(flight.key, status)
        self._land(flight, Passed())
        if flight.locked and self._tasks is not None:
            self._tasks.create_task(self._fleet.share(flight, Passed()), name="isr-unlock")

    async def _obtain(
        self, flight: Flight, request: PageRequest, render: Render, *, background: bool
    ) -> Result:
        """Take the page from the shared store, or render it when no other instance does."""
        if not flight.alone:
            found = await self._fleet.find(flight, background=background)
            if found is not None:
                return found
        begun, fence = Begun(self._generation, self._index.changes), self._fence()
        if fence is None:
            return Again()
        self._counters.renders += 1
        held = None if request.authorized else self._held(flight.key)
        rendered = await self._ask(flight, request, render, held, background=background)
        if held is not None and isinstance(rendered, Confirmed):
            if speaks_of(rendered, held.page):
                return self._renew(request, rendered, held.page, fence=fence, begun=begun)
            rendered = await self._ask(flight, request, render, None, background=background)
        if held is not None and _supersedes(rendered):
            self._local.drop(flight.key)
            self._fleet.end(flight.key, fence)
        if isinstance(rendered, Streamed):
            return Passed()
        if not isinstance(rendered, Rendered):
            raise TypeError("304 for a page that nobody asked about")
        if rendered.rule is None:
            self._counters.errors += 1
            return Failed(rendered)
        page = await rendered_page(request, rendered, self._stamp(fence))
        return self._keep(page, rendered, begun)

    def _renew(
        self, request: PageRequest, answer: Confirmed, held: Page, *, fence: int, begun: Begun
    ) -> Result:  # fmt: skip
        """Keep a page that the app confirmed, unless it must not be stored any more."""
        if self._index.verdict(held.tags, fence) is Verdict.HARD:
            return Again()  # meanwhile its body became unusable, whatever the app says of it
        self._counters.validated += 1
        page, storable = confirmed_page(request, answer, held, self._stamp(fence))
        if storable:
            return self._keep(page, answer, begun)
        self._local.drop(held.key)
        self._fleet.end(held.key, fence)
        return Personal(self._entry(page))

    async def _ask(
        self, flight: Flight, request: PageRequest, render: Render, held: Entry | None, *,
        background: bool,
    ) -> Rendered | Confirmed | Streamed:  # fmt: skip
        """Have the app render, or confirm what is held; within the time limit."""
        limit_s = self._settings.render_timeout_s
        limit = asyncio.timeout(limit_s)
        try:
            async with limit:
                return await render(
                    passing=None if background else partial(self._pass, flight, limit),
                    hold_errors=self._has_fallback(flight.key, request),
                    validators=held.page.validators if held is not None else [],
                )
        except TimeoutError as error:
            if not limit.expired():
                raise  # the app's own
            raise RenderTimeoutError(f"no response within {limit_s} s") from error

    def _held(self, key: str) -> Entry | None:
        """Return the page that the app can be asked about, if there is one."""
        held = self._local.entries.get(key)
        if held is None or held.soft_since == DEAD or held.fence < self._index.base:
            return None
        return held

    def _entry(self, page: Page) -> Entry:
        return Entry(page, now=self._clock.monotonic(), wall=self._clock.wall())

    def _keep(self, page: Page, answer: Rendered | Confirmed, begun: Begun) -> Result:
        """Keep a page that nothing has overtaken."""
        entry = self._entry(page)
        timing = ", ".join(values(answer.headers, b"server-timing")).encode("latin-1")
        if begun.generation != self._generation or not self._keepable(page):
            self._counters.overtaken += 1
            return Overtaken(entry, begun.changes, timing)
        self._local.put(entry)
        return Kept(entry, stored=True, timing=timing, confirmed=isinstance(answer, Confirmed))

    def _fence(self) -> int | None:
        """Return what the page about to be rendered is as new as (rule 3); None: not joined."""
        return self._follower.position

    def _stamp(self, fence: int) -> int:
        """Return the fence that the finished page carries: the one taken before it read."""
        return fence

    def _keepable(self, page: Page) -> bool:
        """Say whether a page that is just done is still as new as all that is known (rule 3)."""
        if self._follower.position is None:
            return False
        return self._index.verdict(page.tags, page.fence) is Verdict.FRESH

    def _has_fallback(self, key: str, request: PageRequest) -> bool:
        """Say whether there is a stale page to serve should the app fail."""
        held, now = self._held(key), self._clock.monotonic()
        if held is None or (request.authorized and not held.public):
            return False
        return held.use(now, self._follower.lease_until) not in {Use.NONE, Use.VALIDATE}

    def _remember_unstorable(self, key: str, status: int) -> None:
        if status in ERROR_STATUS:
            return  # what fails now may be storable at the next try
        if len(self._unstorable) >= UNSTORABLE_MAX:
            self._unstorable.clear()
        self._unstorable[key] = self._clock.monotonic() + UNSTORABLE_S
