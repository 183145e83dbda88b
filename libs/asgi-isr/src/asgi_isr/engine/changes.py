"""Invalidations that begin at this instance: here at once, at all others through the log.

Rule 9 of the coherence protocol. They come from unsafe requests and from `PageCache.invalidate`.
"""

import asyncio
import logging

from asgi_isr.errors import IsrError, LogUnavailableError
from asgi_isr.events import Invalidation, checking
from asgi_isr.ports import Log
from asgi_isr.rendering.parts import Parts

logger = logging.getLogger(__name__)

ANNOUNCE_TIMEOUT_S = 1.0  # its client waits


class Changes:
    """Takes in what changed at this instance, and tells all others."""

    def __init__(self, log: Log, parts: Parts) -> None:
        self._log = log
        self._clock = parts.clock
        self._counters = parts.counters
        self._index = parts.index
        self._local = parts.local
        self._tasks: asyncio.TaskGroup | None = None
        self._over = False

    def open(self, tasks: asyncio.TaskGroup) -> None:
        """Announce in `tasks` from here on."""
        self._tasks = tasks

    def close(self) -> None:
        """Announce in the task of the caller from here on."""
        self._tasks = None

    def finish(self) -> None:
        """Announce nothing any more: the log is closed next."""
        self._over = True

    async def make(self, event: Invalidation) -> int:
        """Invalidate by `event`, here and everywhere; return the event's sequence in the log.

        What it names must be visible to renders that begin now. Here it holds at once, for every
        fence: other instances may be further on in the log, and what they stored may be older than
        the change. A page is as new again that was rendered behind the event, or behind the next
        mark where the log did not take the event.

        Raises `InvalidEventError` for an event that must not be published, before anything changed,
        and `LogUnavailableError` where the log has not taken it within `ANNOUNCE_TIMEOUT_S`: then
        it holds here alone, as far as is known.
        """
        for _ in checking(event):
            await asyncio.sleep(0)
        outcome = await self._make(event, unsafe=False)
        if isinstance(outcome, LogUnavailableError):
            raise outcome
        return outcome

    async def take(self, event: Invalidation) -> None:
        """Take in what an unsafe request changed: as `make`, and its client's answer goes on.

        Where the log does not take the event, what other instances hold lives on; that is logged.
        """
        self._counters.unsafe += 1
        await self._make(event, unsafe=True)

    async def _make(self, event: Invalidation, *, unsafe: bool) -> int | LogUnavailableError:
        tags: set[str] = set()
        for part in event.parts():
            if tags:
                await asyncio.sleep(0)
            tags.update(part.tags)
        number = self._index.change(tags, hard=event.hard)
        self._local.invalidate(tags, hard=event.hard, now=self._clock.monotonic())
        announcing = self._announce(event, number, unsafe=unsafe)
        if self._tasks is None:
            return await announcing
        # Also if the client leaves meanwhile. It must not raise: that would end the other tasks.
        return await asyncio.shield(self._tasks.create_task(announcing, name="isr-announce"))

    async def _announce(
        self, event: Invalidation, number: int, *, unsafe: bool
    ) -> int | LogUnavailableError:
        try:
            async with asyncio.timeout(ANNOUNCE_TIMEOUT_S):
                seq = await self._publish(event)
        except Exception as error:
            failure = _failure(error)
            if unsafe:
                self._counters.unannounced += 1
                named = ", ".join(event.paths)
                logger.warning(
                    "other instances were not told that %s changed: %s", named, failure,
                    exc_info=failure.__cause__,
                )  # fmt: skip
            return failure
        self._index.announced(number, seq)
        return seq

    async def _publish(self, event: Invalidation) -> int:
        if self._over:  # the log would open again, and nobody close it
            raise LogUnavailableError("the page cache is closed")
        return await self._log.announce(event)


def _failure(error: Exception) -> LogUnavailableError:
    """Return the error of a log's port; whatever else a log raises is the cause of one."""
    if isinstance(error, LogUnavailableError):
        return error
    if isinstance(error, TimeoutError):
        return LogUnavailableError(
            f"the log has not taken the event within {ANNOUNCE_TIMEOUT_S:g} s; it may do so yet"
        )
    failure = LogUnavailableError(f"the log failed: {error!r}")
    failure.__cause__ = None if isinstance(error, IsrError) else error  # shown where it is logged
    return failure
