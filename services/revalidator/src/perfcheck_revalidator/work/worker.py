"""Takes events from a queue and has them worked on, many at a time, and settles every one.

Whatever ends a replica, an event that it has not acknowledged is handed out again: after
`ack_wait_s` if it was killed, at once if it was stopped.
"""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

from asgi_isr.backoff import wait_s
from perfcheck_contracts import EVENT_CONSUMER_FIRST

from perfcheck_revalidator.metrics import Metrics
from perfcheck_revalidator.work.queue import EventDelivery, Queue

__all__ = ["EVENTS_UNDER_WAY_MAX", "FETCHED_EVENTS_MAX", "RETRY_S_MAX", "Worker", "retry_s"]

FETCHED_EVENTS_MAX = 256
EVENTS_UNDER_WAY_MAX = 4096  # under way at once; more stay in the log
FETCH_S = 1.0
_HOLD_S = EVENT_CONSUMER_FIRST.ack_wait_s / 3
_OUTAGE_PAUSE_S = 0.25
_GIVE_BACK_S_MAX = 2.0
_RETRY_S = 1.0
RETRY_S_MAX = 300.0
_log = logging.getLogger(__name__)

Handle = Callable[[Sequence[EventDelivery]], Awaitable[None]]


def retry_s(deliveries: int) -> float:
    """Return after how long an event is tried again that has failed so many times, in seconds."""
    drawn = random.random()  # noqa: S311  jitter, not a secret
    return wait_s(deliveries, first_s=_RETRY_S, max_s=RETRY_S_MAX, drawn=drawn)


class Worker:
    """Runs `handle` on batches of `queue`; `handle` settles each delivery, or raises.

    After an error of any kind the events of a batch are tried one by one, so that one of them
    cannot fail the others. `gather_s` is a pause before each fetch, in which events collect; none
    follows a full batch.
    """

    def __init__(
        self, queue: Queue, handle: Handle, metrics: Metrics, *, gather_s: float = 0.0
    ) -> None:
        self._queue = queue
        self._handle = handle
        self._metrics = metrics
        self._gather_s = gather_s
        self._full = False
        self._under_way: set[EventDelivery] = set()
        self._room: asyncio.Event

    async def run(self) -> None:
        """Work until cancelled; then give back what is not settled."""
        self._under_way.clear()
        self._room = asyncio.Event()  # of this event loop
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._hold())
                while True:
                    await self._fetch(group)
        finally:
            await self._give_back()

    async def _fetch(self, group: asyncio.TaskGroup) -> None:
        while len(self._under_way) >= EVENTS_UNDER_WAY_MAX:
            self._room.clear()
            await self._room.wait()
        if self._gather_s and not self._full:
            await asyncio.sleep(self._gather_s)
        count_max = min(FETCHED_EVENTS_MAX, EVENTS_UNDER_WAY_MAX - len(self._under_way))
        deliveries = await self._queue.fetch(count_max, FETCH_S)
        self._full = len(deliveries) == count_max
        if deliveries:
            self._under_way.update(deliveries)
            again = sum(delivery.original.deliveries > 1 for delivery in deliveries)
            self._metrics.redeliveries.inc(again)
            group.create_task(self._batch(deliveries))
        elif self._queue.unhealthy_reason is not None:
            await asyncio.sleep(_OUTAGE_PAUSE_S)

    async def _batch(self, deliveries: Sequence[EventDelivery]) -> None:
        try:
            await self._handle(deliveries)
        except Exception as error:  # noqa: BLE001  whatever it is, the event is kept and tried again
            if len(deliveries) == 1:
                seq = deliveries[0].original.seq
                _log.exception("the work on seq %s failed; it is tried again", seq)
                self._metrics.failures.inc()
                await deliveries[0].nak(retry_s(deliveries[0].original.deliveries))
            else:
                _log.warning("a batch failed (%r); its events are tried one by one", error)
                for delivery in deliveries:
                    if not delivery.settled:
                        await self._batch([delivery])
        # Not in a `finally`: what a cancelled batch leaves is given back by `run`.
        self._under_way.difference_update(deliveries)
        self._room.set()

    async def _hold(self) -> None:
        """Tell the server, well before its time is over, what is still worked on."""
        while True:
            await asyncio.sleep(_HOLD_S)
            for delivery in list(self._under_way):
                if not delivery.settled:
                    await delivery.hold()

    async def _give_back(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(_GIVE_BACK_S_MAX):
                for delivery in self._under_way:
                    if not delivery.settled:
                        await delivery.nak()
