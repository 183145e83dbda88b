"""Percentiles: one definition for every figure that any part of the system shows.

A percentile is the nearest rank: the smallest value that at least `share` of the values do not
exceed (method 1 of Hyndman and Fan, 1996), without interpolation. So each figure is one that was
measured, and the median of two values is the lower one.
"""

import math
from collections.abc import Sequence

__all__ = ["median", "percentile"]

_DIGITS = 9  # 0.07 * 100 is a little more than 7; its rank is 7


def percentile(values: Sequence[float], share: float) -> float:
    """Return the smallest of `values` that at least `share` (0..1) of them do not exceed.

    An infinite value (a trial that timed out) sorts last and is returned as such when it is
    reached. A share of 0 gives the smallest value.

    Raises:
        ValueError: without a value, with a value that is no number, or with a share outside 0..1.

    """
    if not 0.0 <= share <= 1.0:
        raise ValueError(f"share must be within 0..1, got {share}")
    if not values:
        raise ValueError("no values")
    if any(math.isnan(value) for value in values):
        raise ValueError("a value is not a number")
    rank = math.ceil(round(share * len(values), _DIGITS))
    return sorted(values)[max(rank, 1) - 1]


def median(values: Sequence[float]) -> float:
    """Return the 50th percentile; raises as `percentile` does."""
    return percentile(values, 0.5)
