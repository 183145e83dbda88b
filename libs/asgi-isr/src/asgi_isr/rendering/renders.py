"""Renders under way: one for a key in this process, which others join; and how many may run."""

import asyncio
import logging
import uuid
from collections.abc import Coroutine
from functools import partial
from typing import Any, TypeVar

from asgi_isr.pages.entry import Entry
from asgi_isr.rendering.fleet import Fleet
from asgi_isr.rendering.flight import Flight
from asgi_isr.rendering.outcomes import Again, Bypass, Failed, Result, Streamed
from asgi_isr.rendering.parts import Parts
from asgi_isr.rendering.render_page import PageRenderer
from asgi_isr.rendering.request import PageRequest, Render
from asgi_isr.rendering.unstorable import UnstorableKeys

T = TypeVar("T")
logger = logging.getLogger(__name__)

RENDERS_MAX = 1024  # at a time, each of which holds a page; beyond them the app answers directly
REFRESHES_MAX = 64  # of them, in the background


class Renders:
    """Starts renders, lets others join them, and tells all who wait what came out."""

    def __init__(self, parts: Parts) -> None:
        self._settings = parts.settings
        self._rules = parts.rules
        self._clock = parts.clock
        self._counters = parts.counters
        self._fleet = Fleet(parts)
        self._renderer = PageRenderer(parts, self._fleet)
        self._flights: dict[str, Flight] = {}
        self._flying: set[asyncio.Task[Any]] = set()
        self._unstorable = UnstorableKeys()
        self._rendering = 0
        self._refreshing = 0
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
        self._renderer.forget()
        self._flights.clear()

    def under_way(self, key: str) -> Flight | None:
        """Return the render of `key` that a request may join."""
        return self._flights.get(key)

    @property
    def full(self) -> bool:
        """Whether no render should start: as many as may hold their pages, and outlive clients."""
        return self._rendering >= RENDERS_MAX

    def refusal(self, key: str) -> Bypass | None:
        """Say why nobody should wait for a render of `key`, or return None.

        `unstorable`: the app lately refused to have it stored; `closing`: nothing starts any more.
        """
        if self._unstorable.holds(key, now=self._clock.monotonic()):
            return Bypass("unstorable")
        return Bypass("closing") if self._tasks is None else None

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
        owner = self._rules.lock_owner(uuid.uuid4().hex)
        flight = Flight(key, owner=owner, alone=alone)
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
        passing = None if background else partial(self._pass, flight)
        try:
            result = await self._renderer.obtain(flight, request, render, passing=passing)
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

    def _pass(self, flight: Flight, status: int) -> None:
        """Let nobody wait for a response that goes to one client, for as long as that takes."""
        self._counters.unstorable += 1
        if not flight.alone:
            self._unstorable.note(flight.key, status, now=self._clock.monotonic())
        passed = Streamed(status)
        self._land(flight, passed)
        if flight.locked and self._tasks is not None:
            self._tasks.create_task(self._fleet.share(flight, passed), name="isr-unlock")
