"""The work on each event: applied everywhere, receipt, popular pages, first purge of the CDN."""

import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from asgi_isr.coherence import Observer, Reached
from asgi_isr.ports import Clock
from perfcheck_contracts import CdnPurge, Receipt

from perfcheck_revalidator.metrics import Metrics
from perfcheck_revalidator.work.dead_letters import DeadLetters
from perfcheck_revalidator.work.original import Event, Original
from perfcheck_revalidator.work.purging import Ended, Purgers
from perfcheck_revalidator.work.queue import EventDelivery
from perfcheck_revalidator.work.receipts import (
    Receipts,
    WallTimes,
    applied_report,
    dead_receipt,
    event_receipt,
    retried_receipt,
    with_cdn,
)
from perfcheck_revalidator.work.worker import retry_s

__all__ = [
    "DELIVERIES_MIN", "FAILING_S_MAX", "LEASE_MARGIN_S", "DeadLetterFunction", "EventWork",
    "WarmQueue", "over",
]  # fmt: skip

# What fails for now is tried again for a day from its publication, which is more than an outage or
# a quota lasts, and so often at least: it may have waited in the log for days.
FAILING_S_MAX = 86_400.0
DELIVERIES_MIN = 20
LEASE_MARGIN_S = 2.0
_log = logging.getLogger(__name__)


DeadLetterFunction = Callable[[EventDelivery, str, Sequence[CdnPurge]], Awaitable[None]]


class WarmQueue(Protocol):
    """Takes events whose popular pages shall be rendered again; never waits, never raises."""

    def submit(self, events: Sequence[Event]) -> None:
        """Take `events`, or count them as left when there are too many."""


class EventWork:
    """Works on batches; the same for events from the log and for dead letters that are retried."""

    def __init__(
        self, observer: Observer, receipts: Receipts, dead_letters: DeadLetters, *,
        metrics: Metrics, clock: Clock, lease_s: float, warm: WarmQueue | None = None,
        purger: Purgers | None = None,
    ) -> None:  # fmt: skip
        self._observer = observer
        self._receipts = receipts
        self._dead_letters = dead_letters
        self._metrics = metrics
        self._clock = clock
        self._wait_s = lease_s + LEASE_MARGIN_S
        self._warm = warm
        self._purger = purger

    async def handle(self, deliveries: Sequence[EventDelivery]) -> None:
        """Work on what the queue handed out, and settle each of it."""
        readable: list[tuple[EventDelivery, Event]] = []
        for delivery in deliveries:
            # One more than a failure of the CDN may have: these never came to an end at all.
            if over(delivery.original, self._clock.wall(), DELIVERIES_MIN + 1):
                times = delivery.original.deliveries - 1
                await self.dead_letter(
                    delivery, f"begun {times} times within a day and never ended"
                )
            else:
                readable.append((delivery, await Event.read(delivery.original)))
        if not readable:
            return
        events = [event for _, event in readable]
        await self.apply(events)
        if self._purger is None:
            for delivery, event in readable:
                await self._settle(delivery, event)
            self._metrics.events.inc(len(readable))
            return
        purged = await self._purger.purge(events, again=False)
        done = [(pair, end) for pair, end in zip(readable, purged, strict=True) if not end.failure]
        await self._receipts.publish([cdn_receipt(event, end) for (_, event), end in done])
        for (delivery, event), end in done:
            await self._settle(delivery, event, end.purges)
        self._metrics.events.inc(len(done))
        for (delivery, event), end in zip(readable, purged, strict=True):
            if end.failure is not None:
                await self._failed(delivery, event, end)

    async def _settle(
        self, delivery: EventDelivery, event: Event, purges: Sequence[CdnPurge] = ()
    ) -> None:
        """End the work on an event; one that could not be read whole is a dead letter as well."""
        if event.problem:
            await self.dead_letter(delivery, event.problem, purges)
        else:
            await delivery.ack()

    async def apply(self, events: Sequence[Event]) -> None:
        """Wait until `events` are applied everywhere, or the lease of who is missing is over."""
        last = Reached("", max(event.seq for event in events))
        vanished = (await self._observer.wait(last, self._wait_s)).vanished
        walls = WallTimes(self._clock)
        parts = [self._applied(event, vanished, walls) for event in events]
        await self._receipts.publish(parts)
        now_s = self._clock.wall()
        for event in events:
            self._metrics.receipt.observe(max(0.0, now_s - event.original.published_at.timestamp()))
        if self._warm is not None:
            self._warm.submit(events)

    def _applied(self, event: Event, vanished: tuple[str, ...], walls: WallTimes) -> Receipt:
        applied = self._observer.applied(Reached("", event.seq))._replace(vanished=vanished)
        report = applied_report(applied, event.original.published_at.timestamp(), walls)
        if report.max_ms is not None:
            self._metrics.applied.observe(max(0.0, report.max_ms / 1000))
        return event_receipt(event, report, "done" if self._purger is None else "applied")

    async def retry(self, original: Original) -> str | None:
        """Work on a dead letter now; return why it is still dead, or None when it is done."""
        event = await Event.read(original)
        await self.apply([event])
        purges: list[CdnPurge] = []
        if self._purger is not None:
            [end] = await self._purger.purge([event], again=False)
            if end.failure is not None:
                return str(end.failure)
            purges = end.purges
        if event.problem:
            return event.problem
        await self._receipts.publish([retried_receipt(event, purges)])
        return None

    async def _failed(self, delivery: EventDelivery, event: Event, end: Ended) -> None:
        failure = end.failure
        if failure is None:
            return
        if failure.permanent or over(delivery.original, self._clock.wall()):
            reasons = [str(failure), *filter(None, [event.problem])]
            await self.dead_letter(delivery, "; ".join(reasons), end.purges)
            return
        self._metrics.failures.inc()
        _log.warning("seq %s is purged again later: %s", delivery.original.seq, failure)
        await delivery.nak(max(failure.retry_after_s or 0.0, retry_s(delivery.original.deliveries)))

    async def dead_letter(
        self, delivery: EventDelivery, reason: str, cdn: Sequence[CdnPurge] = ()
    ) -> None:
        """Make a dead letter of it, say so in its receipt, and settle it."""
        original = delivery.original
        await self._dead_letters.add(original, reason)
        await self._receipts.publish([dead_receipt(original, reason, cdn)])
        await delivery.ack()
        self._metrics.dead_letters.inc()
        _log.warning("seq %s from %s is a dead letter: %s", original.seq, original.source, reason)


def over(original: Original, now_s: float, deliveries_min: int = DELIVERIES_MIN) -> bool:
    """Say whether an event has been tried for long enough; `now_s` is in seconds since 1970."""
    age_s = now_s - original.published_at.timestamp()
    return age_s >= FAILING_S_MAX and original.deliveries >= deliveries_min


def cdn_receipt(event: Event, end: Ended) -> Receipt:
    """Return the last part of a purged event."""
    return with_cdn(event, end.purges, "done")
