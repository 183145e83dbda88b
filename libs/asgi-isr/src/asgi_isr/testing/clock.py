"""Clocks for tests."""

import asyncio

_WALL_S = 1_795_400_000.0


class FakeClock:
    """A clock that moves only when it is told to; seconds."""

    def __init__(self, *, monotonic: float = 1_000.0, wall: float = _WALL_S) -> None:
        self._monotonic = monotonic
        self._wall = wall

    def monotonic(self) -> float:
        """Return the seconds of the monotonic clock."""
        return self._monotonic

    def wall(self) -> float:
        """Return the seconds since 1970."""
        return self._wall

    def advance(self, seconds: float) -> None:
        """Let time pass on both clocks."""
        self._monotonic += seconds
        self._wall += seconds


class LoopClock:
    """The time of the running event loop, for tests on a loop with virtual time; seconds."""

    def monotonic(self) -> float:
        """Return the seconds of the loop."""
        return asyncio.get_running_loop().time()

    def wall(self) -> float:
        """Return the seconds of the loop as if it had begun at a day since 1970."""
        return _WALL_S + self.monotonic()
