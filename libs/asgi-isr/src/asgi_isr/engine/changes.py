"""Invalidations that begin at this instance: here at once, at all others through the log."""

import asyncio
import logging

from asgi_isr.coherence.index import Index
from asgi_isr.counters import Counters
from asgi_isr.errors import IsrError
from asgi_isr.events import Invalidation
from asgi_isr.pages.local import LocalPages
from asgi_isr.ports import Clock, Log

logger = logging.getLogger(__name__)

ANNOUNCE_TIMEOUT_S = 1.0  # its client waits


class Changes:
    """Takes in what changed at this instance, and tells all others."""

    def __init__(
        self, log: Log, *, clock: Clock, counters: Counters, index: Index, local: LocalPages
    ) -> None:
        self._log = log
        self._clock = clock
        self._counters = counters
        self._index = index
        self._local = local
        self._tasks: asyncio.TaskGroup | None = None

    def open(self, tasks: asyncio.TaskGroup) -> None:
        """Announce in `tasks` from here on."""
        self._tasks = tasks

    def close(self) -> None:
        """Announce in the task of the caller from here on."""
        self._tasks = None

    async def take(self, event: Invalidation) -> None:
        """Take in `event`, which is visible to renders that begin now.

        Here it holds at once, for every fence: other instances may be further on in the log, and
        what they stored may be older than the change. A page is as new again that was rendered
        behind the event, or behind the next mark where the log did not take the event within
        `ANNOUNCE_TIMEOUT_S`; then what others hold lives on, which is logged.
        """
        self._counters.unsafe += 1
        tags = event.index_tags()
        number = self._index.change(tags)
        now = self._clock.monotonic()
        self._counters.invalidated += self._local.invalidate(tags, hard=True, now=now)
        if self._tasks is None:
            await self._announce(event, number)
        else:  # also if the client leaves meanwhile
            await asyncio.shield(
                self._tasks.create_task(self._announce(event, number), name="isr-announce")
            )

    async def _announce(self, event: Invalidation, number: int) -> None:
        try:
            async with asyncio.timeout(ANNOUNCE_TIMEOUT_S):
                seq = await self._log.announce(event)
        except Exception as error:
            # A log must raise LogUnavailableError; whatever else it raises is logged whole, and
            # must not take the place of the app's answer.
            known = isinstance(error, IsrError | TimeoutError)
            self._counters.unannounced += 1
            named = ", ".join(event.paths)
            logger.warning(
                "other instances do not know of %s: %r", named, error, exc_info=not known
            )
        else:
            self._index.announced(number, seq)
