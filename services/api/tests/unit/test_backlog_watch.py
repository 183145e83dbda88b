import asyncio
from collections.abc import Mapping
from typing import Any

import psycopg
import pytest
from perfcheck_api.db import Database
from perfcheck_api.outbox.backlog import watch_backlog
from perfcheck_api.outbox.metrics import BacklogMetrics
from perfcheck_chassis.secret import Secret
from prometheus_client import CollectorRegistry


class FailingWhenCancelled(Database):
    """A database whose statement fails just when its caller is cancelled, as a pool's may."""

    def __init__(self) -> None:
        super().__init__(
            Secret("postgresql://127.0.0.1:1/none"),
            pool_size_min=0,
            pool_size_max=1,
            pool_timeout_s=1,
            statement_timeout_s=1,
        )
        self.asked = asyncio.Event()

    async def row(self, query: str, parameters: Mapping[str, Any] | None = None) -> Any:
        """Wait for the cancellation, and raise an error in its place."""
        self.asked.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise psycopg.errors.UndefinedTable(f"{query} {parameters}") from None


async def test_the_watch_ends_when_cancelled_while_a_statement_fails() -> None:
    """An error that takes the place of the cancellation does not keep a process from stopping."""
    database = FailingWhenCancelled()
    metrics = BacklogMetrics(CollectorRegistry())
    task = asyncio.ensure_future(watch_backlog(database, metrics))
    await database.asked.wait()
    task.cancel()
    async with asyncio.timeout(5):
        with pytest.raises(asyncio.CancelledError):
            await task
