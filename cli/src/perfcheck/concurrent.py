"""Several things at once, with the plain error of the first one that fails.

A task group alone would hide that error in an `ExceptionGroup`.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

T = TypeVar("T")


async def together(calls: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """Run all calls at once and return their results in order.

    When one fails, the others are cancelled and awaited, and its own error is raised.
    """
    with _plain_error():
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(call) for call in calls]
    return [task.result() for task in tasks]


async def unless(
    watch: Callable[[], Coroutine[Any, Any, None]], work: Callable[[], Awaitable[T]]
) -> T:
    """Return the result of `work`, unless `watch` raises first: then `work` is cancelled."""
    with _plain_error():
        async with asyncio.TaskGroup() as group:
            watching = group.create_task(watch())
            result = await work()
            watching.cancel()
    return result


@contextmanager
def _plain_error() -> Iterator[None]:
    try:
        yield
    except BaseExceptionGroup as errors:
        first: BaseException = errors
        while isinstance(first, BaseExceptionGroup):
            first = first.exceptions[0]
        raise first from None
