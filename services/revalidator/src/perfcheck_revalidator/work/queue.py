"""The durable pull consumer on the invalidation log that all replicas share.

The log and its consumers are the api's: whoever makes a consumer says where it delivers. How often
an event may fail is decided by who works on it, not by the server: at the server's `max_deliver` an
event would be dropped without a dead letter.
"""

import logging
from datetime import UTC, datetime

from asgi_isr.errors import LogUnavailableError
from asgi_isr.events import STREAM
from asgi_isr.nats import ConsumerSpec, Delivery, Link, PullConsumer
from perfcheck_contracts import LOG_API, ConsumerFacts

from perfcheck_revalidator.work.original import Original

__all__ = ["EventDelivery", "Queue"]

_log = logging.getLogger(__name__)


class EventDelivery:
    """A message of the log that was handed out, to be settled in time."""

    def __init__(self, delivery: Delivery) -> None:
        self.original = Original(
            seq=delivery.seq,
            subject=delivery.subject,
            headers=delivery.headers,
            body=delivery.body,
            published_at=datetime.fromtimestamp(delivery.stored_s, UTC),
            deliveries=delivery.deliveries,
        )
        self.ack = delivery.ack
        self.nak = delivery.nak
        self.hold = delivery.hold
        self._delivery = delivery

    @property
    def settled(self) -> bool:
        """Whether it was acknowledged or given back."""
        return self._delivery.settled


class Queue:
    """The consumer `facts` of the log.

    `unhealthy_reason` is why it hands nothing out, or None. No method raises for a broker that is
    down, frozen or without the log.
    """

    def __init__(self, link: Link, facts: ConsumerFacts) -> None:
        self.unhealthy_reason: str | None = "has not asked for events yet"
        self._consumer = PullConsumer(
            link,
            ConsumerSpec(stream=STREAM, **facts._asdict()),
            api_prefix=LOG_API,
            foreign=True,
        )

    async def fetch(self, count_max: int, wait_s: float) -> list[EventDelivery]:
        """Return what there is, at most `count_max`; wait `wait_s` for the first.

        Returns nothing when there is nothing, and when `unhealthy_reason` says why.
        """
        try:
            found = await self._consumer.fetch(count_max, wait_s)
        except LogUnavailableError as error:
            if self.unhealthy_reason is None:
                _log.warning("no events from the log, trying again: %s", error)
            self.unhealthy_reason = str(error)
            return []
        self.unhealthy_reason = None
        return [EventDelivery(delivery) for delivery in found]
