"""Cancellations that nats-py would lose, or that an error took the place of."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

__all__ = ["end_if_cancelled", "keeping_cancellation"]


@asynccontextmanager
async def keeping_cancellation() -> AsyncGenerator[None]:
    """Raise `CancelledError` at the end if this task was cancelled in the block and was not told.

    nats-py waits with `asyncio.wait_for`, which before Python 3.12 returns an answer that comes in
    the same moment as a cancellation, and forgets the latter: who waits for the task's end would
    wait for ever.
    """
    task = asyncio.current_task()
    before = 0 if task is None else task.cancelling()
    yield
    if task is not None and task.cancelling() > before:
        raise asyncio.CancelledError


def end_if_cancelled(error: Exception) -> None:
    """Raise `asyncio.CancelledError` if the current task was asked to end.

    A request or a connection may fail just as its task is cancelled, and then its `error` is raised
    instead. A loop that tries again would go on, and keep the process from stopping.

    Before Python 3.13 a task group whose task fails after its block has ended leaves the mark of a
    cancellation on the task around it. So let the block of a group wait for what goes on for ever.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError from error
