"""Tasks that wait for a sequence: a position in the log, or what a source counts."""

import asyncio
import heapq
from contextlib import suppress
from itertools import count

_SLACK = 64  # places of those who gave up that are kept beside as many as wait


class Waiters:
    """Waits by source; "" is the position. Costs only those who wait for what is reached."""

    def __init__(self) -> None:
        self._heaps: dict[str, list[tuple[int, int, asyncio.Future[None]]]] = {}
        self._ids = count()
        self._waiting = 0

    def __len__(self) -> int:
        """Return how many wait."""
        return self._waiting

    def sources(self) -> list[str]:
        """Return the sources that somebody waits for."""
        return list(self._heaps)

    async def wait(self, source: str, seq: int, timeout_s: float | None = None) -> bool:
        """Wait until `reach` tells of `seq` or more; False when `timeout_s` passed first."""
        waiter = asyncio.get_running_loop().create_future()
        heap = self._heaps.setdefault(source, [])
        if len(heap) > 2 * self._waiting + _SLACK:  # most of them gave up
            heap[:] = [one for one in heap if not one[2].done()]
            heapq.heapify(heap)
        heapq.heappush(heap, (seq, next(self._ids), waiter))
        self._waiting += 1
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(timeout_s):
                    await waiter
        finally:
            self._waiting -= 1
        return waiter.done() and not waiter.cancelled()

    def reach(self, source: str, seq: float) -> None:
        """Let those go on who wait for `seq` of `source`, or less."""
        heap = self._heaps.get(source)
        if heap is None:
            return
        while heap and (heap[0][0] <= seq or heap[0][2].done()):
            waiter = heapq.heappop(heap)[2]
            if not waiter.done():
                waiter.set_result(None)
        if not heap:
            del self._heaps[source]
