"""Waits between attempts: doubling, bounded, and with jitter so that many do not retry at once."""

import random
from collections.abc import Callable


class Backoff:
    """Gives the next wait, from half of `first_s` up to `max_s`.

    `jitter` returns numbers from 0 to 1; a wait is at least half of what doubling gives.
    """

    def __init__(
        self,
        *,
        first_s: float,
        max_s: float,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._first_s = first_s
        self._max_s = max_s
        self._jitter = jitter
        self._next_s = first_s

    def next_s(self) -> float:
        """Return how long to wait now, in seconds."""
        wait_s = self._next_s * (0.5 + 0.5 * self._jitter())
        self._next_s = min(self._max_s, self._next_s * 2)
        return wait_s

    def reset(self) -> None:
        """Begin again with short waits: an attempt succeeded."""
        self._next_s = self._first_s
