import asyncio

import pytest
from perfcheck_chassis.process import background_tasks


class Endings:
    """Counts how often a task's own end was reported."""

    def __init__(self) -> None:
        self.count = 0
        self.seen = asyncio.Event()

    def __call__(self) -> None:
        """Count one."""
        self.count += 1
        self.seen.set()


async def run_for_ever(started: asyncio.Event, left: asyncio.Event) -> None:
    """Say when it runs and when it is cancelled."""
    started.set()
    try:
        await asyncio.Event().wait()
    finally:
        left.set()


async def break_down() -> None:
    """Fail at once."""
    raise RuntimeError("a bug")


async def return_at_once() -> None:
    """End at once."""


async def test_tasks_live_as_long_as_the_context() -> None:
    """Tasks run inside the context and are cancelled and awaited when it is left."""
    started, left, ending = asyncio.Event(), asyncio.Event(), Endings()
    async with background_tasks(on_end=ending, loop=run_for_ever(started, left)):
        await started.wait()
        assert not left.is_set()
    assert left.is_set()
    assert ending.count == 0


@pytest.mark.parametrize(
    ("work", "message"),
    [(break_down, "task relay failed"), (return_at_once, "task relay ended by itself")],
)
async def test_end_of_a_task_is_reported(
    work: object, message: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A task that ends by itself is logged and reported once; the others and the body go on."""
    started, left, ending = asyncio.Event(), asyncio.Event(), Endings()
    assert callable(work)
    async with background_tasks(on_end=ending, relay=work(), loop=run_for_ever(started, left)):
        await ending.seen.wait()
        await started.wait()
        assert not left.is_set()
    assert ending.count == 1
    assert message in caplog.text


async def test_error_of_the_body_passes() -> None:
    """An error inside the context is not wrapped in a group, and still ends the tasks."""
    started, left, ending = asyncio.Event(), asyncio.Event(), Endings()

    async def body() -> None:
        async with background_tasks(on_end=ending, loop=run_for_ever(started, left)):
            await started.wait()
            raise KeyError("x")

    with pytest.raises(KeyError):
        await body()
    assert left.is_set()
    assert ending.count == 0


async def test_work_that_loses_a_cancellation_is_cancelled_again() -> None:
    """A library that swallows one cancellation delays the end and does not prevent it."""
    begun = asyncio.Event()
    told = 0

    async def deaf_once() -> None:
        nonlocal told
        begun.set()
        while told < 2:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                told += 1
        raise asyncio.CancelledError

    async with asyncio.timeout(5), background_tasks(deaf=deaf_once()):
        await begun.wait()
    assert told == 2
