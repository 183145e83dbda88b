"""Waits between attempts: doubling, bounded, and with jitter so that many do not retry at once."""

import random
from collections.abc import Callable

__all__ = ["Backoff", "Jitter", "jitter", "wait_s"]

Jitter = Callable[[], float]
jitter: Jitter = random.random


def wait_s(attempt: int, *, first_s: float, max_s: float, drawn: float) -> float:
    """Return the wait after the `attempt`th failure (from 1), in seconds.

    `drawn` from 0 to 1 decides where between half of the doubled wait and all of it.
    """
    doubled = min(max_s, first_s * 2.0 ** min(max(attempt, 1) - 1, 30))
    return doubled * (0.5 + 0.5 * drawn)


class Backoff:
    """Counts the failures since the last success, and gives the wait after each."""

    def __init__(self, *, first_s: float, max_s: float, jitter: Jitter = jitter) -> None:
        self._first_s = first_s
        self._max_s = max_s
        self._jitter = jitter
        self._failures = 0

    def next_s(self) -> float:
        """Return how long to wait now, in seconds."""
        self._failures += 1
        return wait_s(
            self._failures, first_s=self._first_s, max_s=self._max_s, drawn=self._jitter()
        )

    def reset(self) -> None:
        """Begin again with short waits: an attempt succeeded."""
        self._failures = 0
