"""Invalidations that begin at this instance: here at once, at all others through the log."""

import asyncio
import logging

from asgi_isr.errors import IsrError
from asgi_isr.events import Invalidation
from asgi_isr.follower import Follower
from asgi_isr.index import Index
from asgi_isr.local import LocalPages
from asgi_isr.model import Counters
from asgi_isr.ports import Clock, Log
from asgi_isr.renders import Renders

logger = logging.getLogger(__name__)

ANNOUNCE_TIMEOUT_S = 1.0  # its client waits


class Changes:
    """Takes in what changed at this instance, and tells all others."""

    def __init__(
        self, log: Log, *, clock: Clock, counters: Counters, index: Index, local: LocalPages,
        follower: Follower, renders: Renders,
    ) -> None:  # fmt: skip
        self._log = log
        self._clock = clock
        self._counters = counters
        self._index = index
        self._local = local
        self._follower = follower
        self._renders = renders
        self._tasks: asyncio.TaskGroup | None = None

    def open(self, tasks: asyncio.TaskGroup) -> None:
        """Announce in `tasks` from here on."""
        self._tasks = tasks

    def close(self) -> None:
        """Announce in the task of the caller from here on."""
        self._tasks = None

    async def take(self, event: Invalidation) -> None:
        """Take in `event`, which is visible to renders that begin now.

        Here it holds at once: pages with a fence up to the present position are overtaken, and so
        is what is being rendered, until the position moves on; nobody joins a render from before.
        The others hear of it through the log, where that takes an event within
        `ANNOUNCE_TIMEOUT_S`; else what they hold lives on, which is logged.
        """
        self._counters.unsafe += 1
        tags = event.index_tags()
        self._renders.part(None if event.tags else tags)
        if self._follower.position is not None:
            self._overtake(tags, self._follower.position + 1)
        if self._tasks is None:
            await self._announce(event, tags)
        else:  # also if the client leaves meanwhile
            await asyncio.shield(
                self._tasks.create_task(self._announce(event, tags), name="isr-announce")
            )

    async def _announce(self, event: Invalidation, tags: frozenset[str]) -> None:
        try:
            async with asyncio.timeout(ANNOUNCE_TIMEOUT_S):
                seq = await self._log.announce(event)
        except Exception as error:
            # A log must raise LogUnavailableError; whatever else it raises is logged whole, and
            # must not take the place of the app's answer.
            known = isinstance(error, IsrError | TimeoutError)
            self._counters.unannounced += 1
            logger.warning(
                "other instances do not know of %s: %r",
                ", ".join(event.paths),
                error,
                exc_info=not known,
            )
            return
        # Another instance that is ahead of this one may have stored a page from before the change.
        if self._follower.position is not None and self._follower.position < seq:
            self._overtake(tags, seq)

    def _overtake(self, tags: frozenset[str], seq: int) -> None:
        self._index.apply(tags, seq, hard=True)
        now = self._clock.monotonic()
        self._counters.invalidated += self._local.invalidate(tags, hard=True, now=now)
