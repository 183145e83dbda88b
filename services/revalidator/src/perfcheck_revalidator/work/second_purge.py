"""The second purge (rule 10): a response that was under way during the first may have got in."""

import asyncio
from collections.abc import Sequence

from asgi_isr.ports import Clock

from perfcheck_revalidator.metrics import Metrics
from perfcheck_revalidator.work.event_work import DeadLetterFunction, over
from perfcheck_revalidator.work.original import Event
from perfcheck_revalidator.work.purging import Purgers
from perfcheck_revalidator.work.queue import EventDelivery
from perfcheck_revalidator.work.receipts import Receipts, with_cdn
from perfcheck_revalidator.work.worker import retry_s

__all__ = ["GATHER_S", "SecondPurge"]

GATHER_S = 1.0  # events of so long are purged with one call


class SecondPurge:
    """Purges events once more, `age_s` after the broker took them.

    The dead letter of what cannot be read is left to the first consumer.
    """

    def __init__(
        self, purger: Purgers, receipts: Receipts, dead_letter: DeadLetterFunction, *,
        metrics: Metrics, clock: Clock, age_s: float,
    ) -> None:  # fmt: skip
        self._purger = purger
        self._receipts = receipts
        self._dead_letter = dead_letter
        self._metrics = metrics
        self._clock = clock
        self._age_s = age_s

    async def handle(self, deliveries: Sequence[EventDelivery]) -> None:
        """Wait until the youngest of `deliveries` is old enough, then purge all at once."""
        readable = [(one, await Event.read(one.original)) for one in deliveries]
        if not readable:
            return
        await asyncio.sleep(self._due_s([event for _, event in readable]))
        purged = await self._purger.purge([event for _, event in readable], again=True)
        parts = [
            with_cdn(event, end.purges, "applied")
            for (_, event), end in zip(readable, purged, strict=True)
            if end.purges
        ]
        await self._receipts.publish(parts)
        for (delivery, event), end in zip(readable, purged, strict=True):
            if end.failure is None:
                await delivery.ack()
            elif end.failure.permanent or over(event.original, self._clock.wall()):
                await self._dead_letter(delivery, f"second purge: {end.failure}", end.purges)
            else:
                self._metrics.failures.inc()
                pause_s = retry_s(event.original.deliveries)
                await delivery.nak(max(end.failure.retry_after_s or 0.0, pause_s))

    def _due_s(self, events: Sequence[Event]) -> float:
        """Return how long until the youngest event is old enough, in seconds; never above the age.

        The broker's clock and ours are compared here, the age has a margin for it.
        """
        youngest_s = max(event.original.published_at.timestamp() for event in events)
        return min(self._age_s, max(0.0, youngest_s + self._age_s - self._clock.wall()))
