"""Work beside the requests: tasks that live as long as the application, and must not die unseen.

A loop that ended by a bug would leave a process that answers and does half its job. So its end is
logged with its traceback, and stops the process in an orderly way; the main process then exits with
status 1 (see `server`), and the supervisor starts a new one.
"""

import asyncio
import logging
import os
import signal
from collections.abc import AsyncIterator, Callable, Collection, Coroutine
from contextlib import asynccontextmanager
from typing import Any

__all__ = ["background_tasks"]

_CANCEL_AGAIN_S = 1.0
_log = logging.getLogger(__name__)


def _stop_process() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


@asynccontextmanager
async def background_tasks(
    *, on_end: Callable[[], None] = _stop_process, **works: Coroutine[Any, Any, None]
) -> AsyncIterator[None]:
    """Run each of `works` (by name) until the context is left; then cancel them and wait.

    Args:
        on_end: called when one ends by itself, by an error or not; by default stops this process.
        works: coroutines that run until they are cancelled.

    """
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(_watched(name, work, on_end), name=name)
                for name, work in works.items()
            ]
            try:
                yield
            finally:
                await _end(tasks)
    except ExceptionGroup as errors:
        # The tasks raise nothing, so it is the one error of the body, in the group's wrapping.
        raise errors.exceptions[0] from None


async def _end(tasks: Collection[asyncio.Task[None]]) -> None:
    """Cancel until all have ended: libraries lose a cancellation now and then (`wait_for`)."""
    left = set(tasks)
    while left:
        for task in left:
            task.cancel()
        _, left = await asyncio.wait(left, timeout=_CANCEL_AGAIN_S)


async def _watched(name: str, work: Coroutine[Any, Any, None], on_end: Callable[[], None]) -> None:
    try:
        await work
    except Exception:  # noqa: BLE001  of whatever kind: it is told, and the process stops
        _log.critical("background task %s failed; stopping", name, exc_info=True)
    else:
        _log.critical("background task %s ended by itself; stopping", name)
    on_end()
