"""Worker and warmer run in one event loop after another: nothing is bound to where they began."""

import asyncio
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, cast

from asgi_isr.ports import SystemClock
from asgi_isr.testing import eventually
from perfcheck_revalidator.metrics import Metrics
from perfcheck_revalidator.warming.rounds import Warmer
from perfcheck_revalidator.work.worker import EVENTS_UNDER_WAY_MAX, Worker


class Delivered:
    """An event that was handed out."""

    def __init__(self) -> None:
        self.original = SimpleNamespace(seq=1, deliveries=1)
        self.settled = False

    async def nak(self) -> None:
        """Give it back."""
        self.settled = True


class EndlessQueue:
    """Hands out whatever is asked for."""

    def __init__(self) -> None:
        self.unhealthy_reason = None
        self.taken: list[Delivered] = []

    async def fetch(self, count_max: int, _wait_s: float) -> list[Delivered]:
        """Return as many events."""
        await asyncio.sleep(0)
        found = [Delivered() for _ in range(count_max)]
        self.taken += found
        return found


def test_a_worker_with_all_hands_full_waits_and_goes_on_in_each_loop() -> None:
    """As many events are under way as may be; when they are done the next are taken, twice over."""
    queue = EndlessQueue()
    done: asyncio.Event

    async def handle(deliveries: Sequence[Any]) -> None:
        await done.wait()
        for delivery in deliveries:
            delivery.settled = True

    worker = Worker(cast("Any", queue), handle, Metrics())

    async def session() -> None:
        nonlocal done
        done = asyncio.Event()
        queue.taken.clear()
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(worker.run())
            await eventually(lambda: len(queue.taken) >= EVENTS_UNDER_WAY_MAX)
            for _ in range(5):
                await asyncio.sleep(0)
            assert len(queue.taken) == EVENTS_UNDER_WAY_MAX
            done.set()
            await eventually(lambda: len(queue.taken) > EVENTS_UNDER_WAY_MAX)
            running.cancel()
        assert all(delivery.settled for delivery in queue.taken)

    asyncio.run(session())
    asyncio.run(session())


def test_a_warmer_wakes_in_each_loop_also_for_what_came_before() -> None:
    """Events that are submitted before it runs, or while it waits, have a round, twice over."""
    asked: list[int] = []

    def pages(seq: int) -> dict[str, int]:
        asked.append(seq)
        return {}

    warmer = Warmer(
        *(cast("Any", part) for part in (None, SimpleNamespace(pages=pages), None)),
        issue_token=str, metrics=Metrics(), clock=SystemClock(), concurrency=1, budget_s=1.0,
    )  # fmt: skip

    async def session(seq: int) -> None:
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(warmer.run())
            await eventually(lambda: asked[-1:] == [seq])
            await asyncio.sleep(0)  # it waits now
            warmer.submit([cast("Any", SimpleNamespace(seq=seq + 1))])
            await eventually(lambda: asked[-1:] == [seq + 1])
            running.cancel()

    for seq in (1, 3):
        warmer.submit([cast("Any", SimpleNamespace(seq=seq))])
        asyncio.run(session(seq))
    assert asked == [1, 2, 3, 4]
