"""Loops that repair themselves end with the process, even if something breaks at that moment."""

import asyncio

import psycopg
import pytest
from perfcheck_api.db import Connection
from perfcheck_api.outbox.metrics import RelayMetrics
from perfcheck_api.outbox.relay import Relay
from perfcheck_api.receipts.intake import ReceiptIntake
from perfcheck_chassis.secret import Secret
from prometheus_client import CollectorRegistry

URL = Secret("postgresql://127.0.0.1:1/none")
NATS_URL = "nats://127.0.0.1:1"


class Breaking:
    """Sessions: in the first a statement fails just when its caller is cancelled."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.sessions = 0

    async def session(self) -> None:
        """Wait for the cancellation, and raise an error in its place, as a task group does."""
        self.sessions += 1
        async with asyncio.TaskGroup() as group:
            group.create_task(self._statement())

    async def _statement(self) -> None:
        self.begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            if self.sessions > 1:
                raise
            raise psycopg.OperationalError("the connection is lost") from None


class BreakingRelay(Relay):
    """A relay whose session breaks so."""

    def __init__(self, breaking: Breaking) -> None:
        metrics = RelayMetrics(CollectorRegistry())
        super().__init__(URL, NATS_URL, name="test", metrics=metrics)
        self._breaking = breaking

    async def _session(self) -> None:
        await self._breaking.session()


async def _prune_nothing(_: Connection) -> int:
    return 0


class BreakingIntake(ReceiptIntake):
    """An intake whose session breaks so."""

    def __init__(self, breaking: Breaking) -> None:
        super().__init__(URL, NATS_URL, name="test", prune_keys=_prune_nothing)
        self._breaking = breaking

    async def _session(self) -> None:
        await self._breaking.session()


@pytest.mark.parametrize("loop", [BreakingRelay, BreakingIntake])
async def test_a_loop_ends_when_cancelled_while_a_statement_fails(
    loop: type[BreakingRelay | BreakingIntake],
) -> None:
    """An error that takes the place of the cancellation does not keep a process from stopping."""
    breaking = Breaking()
    task = asyncio.ensure_future(loop(breaking).run())
    await breaking.begun.wait()
    task.cancel()
    async with asyncio.timeout(5):
        with pytest.raises(asyncio.CancelledError):
            await task
    assert breaking.sessions == 1
