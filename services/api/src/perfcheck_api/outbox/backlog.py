"""Looks at the outbox every few seconds, whoever publishes and whether or not anybody does."""

import asyncio
import logging

from asgi_isr.nats import end_if_cancelled

from perfcheck_api.db import Database, DatabaseError
from perfcheck_api.errors import DatabaseUnavailableError
from perfcheck_api.outbox import repository
from perfcheck_api.outbox.metrics import BacklogMetrics

BACKLOG_INTERVAL_S = 5.0

_log = logging.getLogger(__name__)


async def watch_backlog(
    database: Database, metrics: BacklogMetrics, *, interval_s: float = BACKLOG_INTERVAL_S
) -> None:
    """Keep `metrics` up to date until cancelled."""
    while True:
        try:
            backlog = await repository.backlog(database)
        except (DatabaseUnavailableError, DatabaseError) as error:
            # Out of reach, or without its tables yet: health says so, this loop goes on.
            _log.debug("the outbox cannot be looked at: %s", error)
            backlog = None
            end_if_cancelled(error)
        if backlog is None:
            metrics.unknown()
        else:
            metrics.known(*backlog)
        await asyncio.sleep(interval_s)
