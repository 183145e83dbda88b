"""A clock for tests."""


class FakeClock:
    """A clock that moves only when it is told to; seconds."""

    def __init__(self, *, monotonic: float = 1_000.0, wall: float = 1_795_400_000.0) -> None:
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
