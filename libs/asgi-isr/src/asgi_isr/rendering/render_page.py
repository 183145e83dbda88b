"""One render: from the shared store, or by the app under a fence, and whether it is kept.

Rule 3 of the coherence protocol: the fence is the position before the first read; when done, the
page is kept only if it is fresh by the index as it is then.
"""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from asgi_isr.coherence.rules import Invalidated
from asgi_isr.errors import RenderTimeoutError
from asgi_isr.http.fields import origins, values
from asgi_isr.http.policy import NotStored, Storing, Use
from asgi_isr.pages.entry import Entry
from asgi_isr.pages.page import Page
from asgi_isr.rendering.fleet import Fleet
from asgi_isr.rendering.flight import Flight
from asgi_isr.rendering.making import confirmed_page, rendered_page, speaks_of
from asgi_isr.rendering.outcomes import (
    Again,
    Confirmed,
    Failed,
    Kept,
    Overtaken,
    Personal,
    Rendered,
    Result,
    Streamed,
)
from asgi_isr.rendering.parts import Parts
from asgi_isr.rendering.request import PageRequest, Render

_ERRORS = 400
_GONE = frozenset({404, 410})


class Begun(NamedTuple):
    """When a render took its fence: which rejoin came before, how many changes made here."""

    fence: int
    generation: int
    changes: int


class PageRenderer:
    """Obtains a page for those who wait for it, and keeps it if it is fresh.

    `fleet` has what other instances rendered. What is given as `passing` is called when the
    response goes to the client that asked first; None where there is no client (a refresh).
    """

    def __init__(self, parts: Parts, fleet: Fleet) -> None:
        self._settings = parts.settings
        self._clock = parts.clock
        self._counters = parts.counters
        self._index = parts.index
        self._local = parts.local
        self._follower = parts.follower
        self._lease = parts.lease
        self._rules = parts.rules
        self._fleet = fleet
        self._generation = 0  # raised by a rejoin; renders of an earlier one are not kept

    def forget(self) -> None:
        """Keep no page whose render began before this call: a rejoin."""
        self._generation += 1

    async def obtain(
        self, flight: Flight, request: PageRequest, render: Render, *,
        passing: Callable[[int], None] | None,
    ) -> Result:  # fmt: skip
        """Take the page from the shared store, or render it when no other instance does.

        Raises what the app raised, or `RenderTimeoutError`.
        """
        if not flight.alone:
            found = await self._fleet.find(flight, background=passing is None)
            if found is not None:
                return found
        begun = self._begin()
        if begun is None:
            return Again()
        self._counters.renders += 1
        held = None if request.authorized else self._held(flight.key)
        answer = await self._ask(flight, request, render, held, passing=passing)
        if held is not None and isinstance(answer, Confirmed):
            if speaks_of(answer, held.page):
                return self._renew(request, answer, held.page, begun)
            answer = await self._ask(flight, request, render, None, passing=passing)
        if held is not None and _supersedes(answer):
            self._end(flight.key, begun.fence)
        if isinstance(answer, Streamed):
            return answer
        if not isinstance(answer, Rendered):
            raise TypeError("304 for a page that nobody asked about")
        if isinstance(answer.rule, NotStored):
            self._counters.errors += 1
            return Failed(answer)
        page = await rendered_page(request, answer, self._stamp(begun.fence))
        return self._keep(page, answer, begun)

    def _begin(self) -> Begun | None:
        """Take the fence: what is rendered from here on is as new as this (rule 3).

        None before this instance has joined the log.
        """
        fence = self._follower.position
        return None if fence is None else Begun(fence, self._generation, self._index.changes)

    def _renew(self, request: PageRequest, answer: Confirmed, held: Page, begun: Begun) -> Result:
        """Keep a page that the app confirmed, unless it must not be stored any more."""
        if self._index.invalidated(held.tags, begun.fence) is Invalidated.HARD:
            return Again()  # meanwhile its body became unusable, whatever the app says of it
        self._counters.validated += 1
        page, storable = confirmed_page(request, answer, held, self._stamp(begun.fence))
        if storable or self._foreign(answer):
            return self._keep(page, answer, begun)
        self._end(held.key, begun.fence)
        return Personal(self._entry(page))

    def _end(self, key: str, fence: int) -> None:
        """Drop what is held and stored at `key`: what cannot be stored superseded it."""
        self._local.drop(key)
        self._fleet.end(key, fence)

    async def _ask(
        self, flight: Flight, request: PageRequest, render: Render, held: Entry | None, *,
        passing: Callable[[int], None] | None,
    ) -> Rendered | Confirmed | Streamed:  # fmt: skip
        """Have the app render, or confirm what is held; within the time limit."""
        limit_s = self._settings.render_timeout_s
        limit = asyncio.timeout(limit_s)
        try:
            async with limit:
                return await render(
                    passing=partial(_pass, limit, passing) if passing is not None else None,
                    hold_errors=self._has_fallback(flight.key, request),
                    validators=held.page.validators if held is not None else [],
                )
        except TimeoutError as error:
            if not limit.expired():
                raise  # the app's own
            raise RenderTimeoutError(f"no response within {limit_s} s") from error

    def _held(self, key: str) -> Entry | None:
        """Return the page that the app can be asked about, if there is one."""
        held = self._local.get(key)
        if held is None or not self._rules.trusted(held.fence, self._index.base):
            return None
        return held

    def _has_fallback(self, key: str, request: PageRequest) -> bool:
        """Say whether there is a stale page to serve should the app fail."""
        held, now = self._held(key), self._clock.monotonic()
        if held is None or (request.authorized and not held.public):
            return False
        return held.use(now, self._lease.until) not in {Use.NONE, Use.VALIDATE}

    def _entry(self, page: Page) -> Entry:
        return Entry(page, now=self._clock.monotonic(), wall=self._clock.wall())

    def _keep(self, page: Page, answer: Rendered | Confirmed, begun: Begun) -> Result:
        """Keep a page that nothing has overtaken."""
        entry = self._entry(page)
        timing = ", ".join(values(answer.headers, b"server-timing")).encode("latin-1")
        joined = begun.generation == self._generation and self._follower.position is not None
        invalidated = self._index.invalidated(page.tags, page.fence)
        foreign = self._foreign(answer)
        if foreign or not self._rules.keepable(invalidated, joined=joined):
            self._counters.overtaken += 1
            detail = "other-origin" if foreign else "overtaken"
            return Overtaken(entry, begun.changes, timing, detail)
        self._local.put(entry)
        return Kept(entry, stored=True, timing=timing, confirmed=isinstance(answer, Confirmed))

    def _foreign(self, answer: Rendered | Confirmed) -> bool:
        """Say whether an answer was made from something else than the log tells of (rule 13)."""
        met = origins(answer.headers)
        return bool(met) and not self._rules.of_newest_origin(met, self._follower.origins)

    def _stamp(self, fence: int) -> int:
        """Return the fence that the finished page carries."""
        position = self._follower.position
        return self._rules.stamp(fence, fence if position is None else position)


def _pass(limit: asyncio.Timeout, passing: Callable[[int], None], status: int) -> None:
    """Let a response that goes to its client take as long as it wants."""
    limit.reschedule(None)
    passing(status)


def _supersedes(answer: Rendered | Confirmed | Streamed) -> bool:
    """Say whether an answer that is not stored ends the stored page (RFC 9111, section 4.3.3).

    Errors do not, nor does what concerns one client (403, 429): they say nothing of the page.
    """
    if isinstance(answer, Confirmed):
        return False
    if isinstance(answer, Rendered) and isinstance(answer.rule, Storing):
        return False
    return answer.status < _ERRORS or answer.status in _GONE
