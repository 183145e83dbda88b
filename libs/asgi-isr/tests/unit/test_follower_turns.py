"""How the follower shares the event loop with requests."""

import asyncio
from collections.abc import AsyncGenerator, Sequence

from asgi_isr.coherence import Follower, Index
from asgi_isr.logs.memory import MemoryLog
from asgi_isr.ports import Bounds, LogMessage
from asgi_isr.testing import eventually

BATCHES = 50


class Backlog(MemoryLog):
    """A log that is far ahead: its batches are there without any waiting."""

    async def bounds(self) -> Bounds:
        """Say that it holds all batches, after what the follower joins at."""
        return Bounds(1, 0)

    async def read(self, after: int) -> AsyncGenerator[Sequence[LogMessage], None]:
        """Yield batches of one event each, then wait."""
        for seq in range(after + 1, after + 1 + BATCHES):
            yield [LogMessage(seq, str(seq), b'{"tags":["a"]}')]
        await asyncio.Event().wait()


async def test_requests_run_between_the_batches_of_a_backlog() -> None:
    """While the follower catches up, others get their turn after each batch."""

    async def no_snapshot() -> None:
        return None

    follower = Follower(Backlog(), Index(tags_max=10), load_snapshot=no_snapshot)
    seen: set[int | None] = set()

    def caught_up() -> bool:
        seen.add(follower.position)
        return follower.position == BATCHES

    async with asyncio.TaskGroup() as tasks:
        following = tasks.create_task(follower.run())
        await eventually(caught_up, poll_s=0)
        following.cancel()
    assert seen >= set(range(1, BATCHES + 1))
