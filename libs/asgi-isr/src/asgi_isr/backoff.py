"""Waits between attempts: doubling, bounded, and with jitter so that many do not retry at once.

Pure: whoever waits gives the randomness (`random.random`, or a seed's), sleeps and counts time.
"""

from collections.abc import Callable

__all__ = ["Backoff", "Jitter", "wait_s"]

Jitter = Callable[[], float]  # draws from 0 to 1
_DOUBLINGS_MAX = 30  # every bound is reached by then, and no float overflows


def wait_s(attempt: int, *, first_s: float, max_s: float, drawn: float) -> float:
    """Return the wait after the `attempt`th failure (from 1), in seconds.

    `drawn` from 0 to 1 decides where between half of the doubled wait and all of it.
    """
    doubled = min(max_s, first_s * 2.0 ** min(max(attempt, 1) - 1, _DOUBLINGS_MAX))
    return doubled * (0.5 + 0.5 * drawn)


class Backoff:
    """Counts the failures since the last success, and gives the wait after each.

    `first_s` and `max_s` bound the waits before jitter, in seconds; `jitter` draws from 0 to 1.
    """

    def __init__(self, *, first_s: float, max_s: float, jitter: Jitter) -> None:
        self._first_s = first_s
        self._max_s = max_s
        self._jitter = jitter
        self._failures = 0

    @property
    def failures(self) -> int:
        """How many attempts have failed since the last success."""
        return self._failures

    def next_s(self) -> float:
        """Count a failure; return how long to wait now, in seconds."""
        self._failures += 1
        return wait_s(
            self._failures, first_s=self._first_s, max_s=self._max_s, drawn=self._jitter()
        )

    def reset(self) -> None:
        """Begin again with short waits: an attempt succeeded."""
        self._failures = 0
