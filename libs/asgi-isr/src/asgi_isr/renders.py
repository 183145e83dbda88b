"""Renders under way: one for a key in this process, one in the fleet, each under its fence.

Rule 3 of the coherence protocol: the fence is the position before the first read; when done, the
page is kept only if it is fresh by the index as it is then.
"""

import asyncio
import logging
from contextlib import suppress

from asgi_isr.codec import build
from asgi_isr.errors import RenderTimeoutError, StoreUnavailableError
from asgi_isr.flight import (
    Again,
    Failed,
    Flight,
    Kept,
    Overtaken,
    PageRequest,
    Passed,
    Render,
    Rendered,
    Result,
    Streamed,
)
from asgi_isr.follower import Follower
from asgi_isr.headers import values
from asgi_isr.index import Index, Verdict
from asgi_isr.local import Entry, LocalPages
from asgi_isr.model import CacheSettings, Counters, Page
from asgi_isr.policy import ERROR_STATUS, Use
from asgi_isr.ports import Clock
from asgi_isr.shared import SharedPages

logger = logging.getLogger(__name__)

REFRESHES_MAX = 64  # background refreshes at a time
UNSTORABLE_MAX = 10_000  # keys remembered as not storable
UNSTORABLE_S = 1.0
LOCK_POLL_MIN_S = 0.01
LOCK_POLL_MAX_S = 0.1


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
        self._shared = shared
        self._flights: dict[str, Flight] = {}
        self._flying: set[asyncio.Task[None]] = set()
        self._unstorable: dict[str, float] = {}
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

    def is_unstorable(self, key: str) -> bool:
        """Say whether the app lately refused to have `key` stored, so that nobody waits for it."""
        until = self._unstorable.get(key)
        if until is None:
            return False
        if self._clock.monotonic() < until:
            return True
        del self._unstorable[key]
        return False

    def refresh(self, request: PageRequest, render: Render, entry: Entry) -> None:
        """Start a refresh in the background, unless one runs or the page is very new."""
        recent = self._clock.monotonic() - entry.created < self._settings.refresh_interval_s
        if recent and entry.soft_since is None:
            return
        if request.key not in self._flights and self._refreshing < REFRESHES_MAX:
            self._counters.refreshes += 1
            self.launch(request, render, fallback=True, background=True)

    def launch(
        self, request: PageRequest, render: Render, *, fallback: bool, background: bool = False
    ) -> Flight:
        """Start a render that outlives the request which asked for it.

        `fallback`: hold errors back, there is a stale page to serve instead.
        """
        if self._tasks is None:
            raise RuntimeError("enter the PageCache (async with) before the first request")
        flight = self._flights[request.key] = Flight(request.key)
        self._refreshing += background
        task = self._tasks.create_task(
            self._fly(flight, request, render, fallback=fallback, background=background),
            name=f"isr-render {request.path}",
        )
        self._flying.add(task)
        task.add_done_callback(self._flying.discard)
        return flight

    async def _fly(
        self, flight: Flight, request: PageRequest, render: Render, *, fallback: bool,
        background: bool,
    ) -> None:  # fmt: skip
        result: Result = Again()
        try:
            result = await self._obtain(
                flight, request, render, fallback=fallback, background=background
            )
        except Exception as error:  # noqa: BLE001  handed to those who wait, below
            self._counters.errors += 1
            if background:
                logger.warning("refreshing %s failed: %r", request.path, error)
            result = Failed(error)
        finally:
            self._refreshing -= background
            if self._flights.get(flight.key) is flight:
                del self._flights[flight.key]
            if not flight.done.done():
                flight.done.set_result(result)
        if self._shared is not None:
            # Counted where it failed. Others render the page themselves, and the lock ends.
            with suppress(StoreUnavailableError):
                if isinstance(result, Kept) and result.stored:
                    await self._shared.put(result.entry.page)
                if flight.locked:
                    await self._shared.unlock(request.key, flight.owner)

    async def _obtain(
        self, flight: Flight, request: PageRequest, render: Render, *, fallback: bool,
        background: bool,
    ) -> Result:  # fmt: skip
        """Take the page from the shared store, or render it when no other instance does."""
        found = await self._elsewhere(flight, background=background)
        if found is not None:
            return found
        generation, fence = self._generation, self._follower.position
        if fence is None:
            return Again()
        self._counters.renders += 1
        try:
            async with asyncio.timeout(self._settings.render_timeout_s):
                rendered = await render(stream=not background, hold_errors=fallback)
        except TimeoutError as error:
            limit_s = self._settings.render_timeout_s
            raise RenderTimeoutError(f"no response within {limit_s} s") from error
        if isinstance(rendered, Streamed):
            self._remember_unstorable(request.key, rendered.status)
            return Passed()
        if rendered.rule is None:
            self._counters.errors += 1
            return Failed(rendered)
        page = self._page(request, rendered, fence)
        entry = Entry(page, now=self._clock.monotonic(), wall=self._clock.wall())
        timing = ", ".join(values(rendered.headers, b"server-timing")).encode("latin-1")
        if generation != self._generation or self._follower.position is None:
            self._counters.overtaken += 1
            return Overtaken(entry, timing)
        if self._index.verdict(page.tags, fence) is not Verdict.FRESH:
            self._counters.overtaken += 1
            return Overtaken(entry, timing)
        self._local.put(entry)
        return Kept(entry, stored=True, timing=timing)

    async def _elsewhere(self, flight: Flight, *, background: bool) -> Result | None:
        """Take what another instance rendered; None when this one shall render."""
        if self._shared is None:
            return None
        try:
            found = await self._from_shared(self._shared, flight.key)
            if found is None:
                found = await self._lock(self._shared, flight, background=background)
        except StoreUnavailableError:
            return None  # counted where it failed; not asked again for this request
        return found

    def _page(self, request: PageRequest, rendered: Rendered, fence: int) -> Page:
        if rendered.rule is None:
            raise ValueError("a response without a storing rule makes no page")
        return build(
            key=request.key,
            path=request.path,
            status=rendered.status,
            headers=rendered.headers,
            body=rendered.body,
            rule=rendered.rule,
            fence=fence,
            now=self._clock.wall(),
        )

    async def _from_shared(self, shared: SharedPages, key: str) -> Result | None:
        """Judge what the shared store holds by this instance's own index (rule 4)."""
        generation = self._generation
        page = await shared.get(key)
        if page is None or generation != self._generation:
            return None
        verdict = self._index.verdict(page.tags, page.fence)
        if verdict is Verdict.HARD:
            return None
        entry = Entry(page, now=self._clock.monotonic(), wall=self._clock.wall())
        if verdict is Verdict.SOFT:
            entry.soft_since = entry.created  # the earliest it can have been: when is not known
        use = entry.use(self._clock.monotonic(), self._follower.lease_until)
        held = self._local.entries.get(key)
        if use is Use.NONE or (held is not None and held.created >= entry.created):
            return None
        self._local.put(entry)
        if use is Use.FRESH:
            self._counters.shared_hits += 1
            return Kept(entry, stored=False)
        return Again() if use is Use.REVALIDATE else None

    async def _lock(
        self, shared: SharedPages, flight: Flight, *, background: bool
    ) -> Result | None:
        """Take the fleet's render lock, or what its holder stored; None: render here."""
        deadline = self._clock.monotonic() + self._settings.lock_wait_s
        pause_s = LOCK_POLL_MIN_S
        while True:
            if await shared.lock(flight.key, flight.owner, self._settings.lock_ttl_s):
                # Another instance may have stored the page between our look and our lock.
                flight.locked = True
                return await self._from_shared(shared, flight.key)
            if background:
                return Again()  # the other's page is found in the store at the next request
            if self._clock.monotonic() >= deadline:
                return None
            await asyncio.sleep(pause_s)
            pause_s = min(LOCK_POLL_MAX_S, pause_s * 1.5)
            found = await self._from_shared(shared, flight.key)
            if found is not None:
                return found

    def _remember_unstorable(self, key: str, status: int) -> None:
        self._counters.unstorable += 1
        if status in ERROR_STATUS:
            return  # what fails now may be storable at the next try
        if len(self._unstorable) >= UNSTORABLE_MAX:
            self._unstorable.clear()
        self._unstorable[key] = self._clock.monotonic() + UNSTORABLE_S
