"""Several things at once: results in order, plain errors, nothing left running."""

import asyncio

import pytest
from perfcheck.concurrent import together, unless


async def test_results_come_in_the_order_of_the_calls() -> None:
    """A later call that ends earlier does not change places."""

    async def after(turns: int) -> int:
        for _ in range(turns):
            await asyncio.sleep(0)
        return turns

    assert await together(after(turns) for turns in (3, 1, 2)) == [3, 1, 2]


async def test_the_first_error_is_raised_plainly_and_the_rest_is_cancelled() -> None:
    """Callers catch the error itself, not a group, and no call outlives it."""
    cancelled = asyncio.Event()

    async def forever() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    async def fail() -> None:
        await asyncio.sleep(0)
        raise KeyError("first")

    with pytest.raises(KeyError, match="first"):
        await together([forever(), fail()])
    assert cancelled.is_set()


async def test_work_that_is_done_first_wins_over_the_watch() -> None:
    """The watch is cancelled, and the result returned."""

    async def watch() -> None:
        await asyncio.Event().wait()

    async def work() -> int:
        await asyncio.sleep(0)
        return 7

    assert await unless(watch, work) == 7


async def test_a_watch_that_raises_ends_the_work() -> None:
    """A stop that is asked for reaches work that would wait for ever."""

    async def watch() -> None:
        await asyncio.sleep(0)
        raise KeyError("stop")

    async def work() -> None:
        await asyncio.Event().wait()

    with pytest.raises(KeyError, match="stop"):
        await unless(watch, work)


async def test_an_error_of_the_work_is_its_own() -> None:
    """What goes wrong in the work is not hidden by the watch."""

    async def watch() -> None:
        await asyncio.Event().wait()

    async def work() -> None:
        raise KeyError("work")

    with pytest.raises(KeyError, match="work"):
        await unless(watch, work)
