"""Cancellation that an error took the place of."""

import asyncio


def end_if_cancelled(error: Exception) -> None:
    """Raise `asyncio.CancelledError` if the current task was asked to end.

    A statement or a connection may fail just as its task is cancelled, and then its `error` is
    raised instead. A loop that mends itself would go on, and keep the process from stopping.

    Before Python 3.13 a task group whose task fails after its block has ended leaves the mark of a
    cancellation on the task around it. So let the block of a group wait for what goes on for ever.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError from error
