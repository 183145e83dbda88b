"""Events that are purged together: those of a short window, and again those whose answer was lost.

A retry after a lost answer must be the same request, so a batch that may have been submitted keeps
its events: whoever brings one of them again waits for that batch. A batch that was submitted is
remembered for a while, so that an event that is delivered twice is purged once.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from asgi_isr.ports import Clock
from perfcheck_contracts import CdnPurge

from perfcheck_revalidator.cdn.port import CdnError, PurgeEvent

__all__ = [
    "BATCH_EVENTS_MAX",
    "BATCH_NAMES_MAX",
    "PURGED_EVENTS_MAX",
    "PURGED_S",
    "Batch",
    "Batches",
    "Submit",
]

BATCH_EVENTS_MAX = 500  # of one batch
BATCH_NAMES_MAX = 3000  # of one batch; the event that reaches it is the last
PURGED_EVENTS_MAX = 10_000  # events
PURGED_S = 600.0
_CANCELLED = CdnError("the call that submitted it was cancelled", retry_after_s=0.0)


class Batch:
    """Events of one purge.

    `submit` sets `sent` as soon as the CDN may have something of it, and clears it when it knows
    that it has nothing. It sets `split` where the events must come again each by itself.
    `references` and `counted` are for it alone.
    """

    def __init__(self, *, again: bool) -> None:
        self.again = again
        self.events: dict[str, PurgeEvent] = {}  # empty again once it was submitted
        self.names = 0
        self.sent = False
        self.split = False
        self.counted = 0
        self.references: list[str] = []
        # Holds for those who wait, if the call that submits is cancelled.
        self.outcome: CdnPurge | CdnError = _CANCELLED
        self.attempt: asyncio.Event | None = None  # set when the attempt under way has ended


Submit = Callable[[Batch], Awaitable[CdnPurge]]


class Batches:
    """Collects events for `window_s` and hands them to `submit`, which may raise `CdnError`.

    The first call of a window submits for all who came in it.
    """

    def __init__(self, submit: Submit, clock: Clock, *, window_s: float) -> None:
        self._submit = submit
        self._clock = clock
        self._window_s = window_s
        self._collecting: dict[bool, Batch] = {}
        self._known: dict[tuple[str, bool], tuple[float, Batch]] = {}  # the oldest first
        self._alone: dict[tuple[str, bool], None] = {}  # of batches that were split; as above

    async def purge(
        self, events: Sequence[PurgeEvent], *, again: bool
    ) -> list[CdnPurge | CdnError]:
        """Return what became of each event, in their order."""
        self._forget()
        batches = [self._batch_of(event, again=again) for event in events]
        async with asyncio.TaskGroup() as tasks:
            for batch in dict.fromkeys(batches):
                tasks.create_task(self._settle(batch))
        return [batch.outcome for batch in batches]

    def _batch_of(self, event: PurgeEvent, *, again: bool) -> Batch:
        known = self._known.get((event.id, again))
        if known is not None:
            return known[1]
        batch = self._collecting.get(again)
        if (event.id, again) in self._alone:
            batch = Batch(again=again)
        elif (
            batch is None or len(batch.events) >= BATCH_EVENTS_MAX or batch.names >= BATCH_NAMES_MAX
        ):
            batch = self._collecting[again] = Batch(again=again)
        batch.events[event.id] = event
        batch.names += len(event.tags) + len(event.paths)
        self._known[event.id, again] = (self._clock.monotonic(), batch)
        return batch

    async def _settle(self, batch: Batch) -> None:
        """Submit `batch`, or wait for who does; its outcome is in it afterwards."""
        if isinstance(batch.outcome, CdnPurge):
            return
        if batch.attempt is not None:
            await batch.attempt.wait()
            return
        attempt = batch.attempt = asyncio.Event()
        batch.outcome = _CANCELLED
        try:
            if not batch.sent:
                await asyncio.sleep(self._window_s)
            self._close(batch)
            batch.outcome = await self._submit(batch)
        except CdnError as error:
            batch.outcome = error
        finally:
            self._close(batch)
            if not batch.sent:
                self._drop(batch)
            if isinstance(batch.outcome, CdnPurge):
                batch.events = {}  # what is remembered needs no names
            batch.attempt = None
            attempt.set()

    def _close(self, batch: Batch) -> None:
        """Let no more events into `batch`."""
        if self._collecting.get(batch.again) is batch:
            del self._collecting[batch.again]

    def _drop(self, batch: Batch) -> None:
        for event_id in batch.events:
            self._known.pop((event_id, batch.again), None)
            if batch.split:
                self._alone[event_id, batch.again] = None

    def _forget(self) -> None:
        """Forget the oldest events over the bounds."""
        while len(self._alone) > PURGED_EVENTS_MAX:
            del self._alone[next(iter(self._alone))]
        limit = self._clock.monotonic() - PURGED_S
        while self._known:
            oldest = next(iter(self._known))
            if len(self._known) <= PURGED_EVENTS_MAX and self._known[oldest][0] > limit:
                return
            del self._known[oldest]
