"""Connecting to NATS ends with its time limit, also where nats-py swallows the cancellation."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

import pytest
from asgi_isr.nats.connection import _Journal
from nats.aio.client import Client


async def refused(error: Callable[[Exception], Awaitable[None]]) -> None:
    """Connect as nats-py does to a server that refuses: for ever, deaf for one cancellation."""
    with suppress(asyncio.CancelledError):
        await asyncio.Event().wait()
    while True:
        await error(ConnectionRefusedError("wrong password"))
        await asyncio.sleep(0)


async def test_time_limit_holds_though_its_cancellation_was_swallowed() -> None:
    """The next attempt that fails ends the connecting, with the reason kept."""
    journal = _Journal(Client(), "nats://here", None)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await refused(journal.error)


async def test_cancelled_task_ends_though_it_was_not_told() -> None:
    """Whoever stops a service while it connects is not kept waiting."""

    async def connecting() -> None:
        await refused(_Journal(Client(), "nats://here", None).error)

    task = asyncio.ensure_future(connecting())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_standing_connection_reports_errors_and_goes_on() -> None:
    """An error of a connection that stands is told, in whichever task it comes."""
    journal = _Journal(Client(), "nats://here", None)
    journal.established = True
    task = asyncio.ensure_future(journal.error(ConnectionResetError("gone")))
    await task
    assert journal.last_error == "gone"
