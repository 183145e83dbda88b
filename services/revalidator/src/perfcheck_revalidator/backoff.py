"""Waits between attempts: doubling, bounded, with jitter; the only place that draws at random."""

import random
from collections.abc import Callable

__all__ = ["Jitter", "jitter", "wait_s"]

Jitter = Callable[[], float]
jitter: Jitter = random.random


def wait_s(attempt: int, *, first_s: float, max_s: float, drawn: float) -> float:
    """Return the wait after the `attempt`th failure (from 1), in seconds.

    `drawn` from 0 to 1 decides where between half of the doubled wait and all of it.
    """
    doubled = min(max_s, first_s * 2.0 ** min(max(attempt, 1) - 1, 30))
    return doubled * (0.5 + 0.5 * drawn)
