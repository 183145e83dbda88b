"""The log's streams, and the consumers by which revalidators work: this service keeps them.

Whoever may make a consumer says where it delivers, and so could speak on any subject of the log's
account: so nobody else may.
"""

import asyncio
import logging

from asgi_isr.nats import LogConfigurationError

from perfcheck_api.errors import BrokerError
from perfcheck_api.outbox.broker import Broker

__all__ = ["Consumers"]

CONSUMERS_LOOK_S = 2.0
_log = logging.getLogger(__name__)


class Consumers:
    """Keeps streams and consumers as they must be; `unhealthy_reason` is why they are not, or None.

    It stops nothing else: events are published all the same, and wait in the log.
    """

    def __init__(self) -> None:
        self.unhealthy_reason: str | None = None

    async def keep(self, broker: Broker) -> None:
        """Make sure of them again and again until cancelled."""
        while True:
            try:
                await broker.ensure_consumers()
            except (BrokerError, LogConfigurationError) as error:
                reason = f"the log is not as it must be: {error}"
                if reason != self.unhealthy_reason:
                    _log.error("%s", reason)
                self.unhealthy_reason = reason
            else:
                self.unhealthy_reason = None
            await asyncio.sleep(CONSUMERS_LOOK_S)
