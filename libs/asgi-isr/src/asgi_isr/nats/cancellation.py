"""A cancellation that nats-py would lose."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

__all__ = ["keeping_cancellation"]


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
