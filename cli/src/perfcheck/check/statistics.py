"""Percentiles and the median over rounds: pure functions, one definition for every figure shown.

A percentile is the linear interpolation between the closest ranks (method 7 of Hyndman and Fan, the
default of NumPy and what k6 prints), so that a figure here can be compared with one from there.
"""

import math
from collections.abc import Iterable, Sequence


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value below which `share` (0..1) of `values` lie.

    An infinite value (a trial that timed out) sorts last and is returned as such when it is
    reached.

    Raises:
        ValueError: without a value, with a value that is no number, or with a share outside 0..1.

    """
    if not 0.0 <= share <= 1.0:
        raise ValueError(f"share must be within 0..1, got {share}")
    if not values:
        raise ValueError("no values")
    if any(math.isnan(value) for value in values):
        raise ValueError("a value is not a number")
    ordered = sorted(values)
    position = share * (len(ordered) - 1)
    below = math.floor(position)
    part = position - below
    if part == 0.0:
        return ordered[below]
    low, high = ordered[below], ordered[below + 1]
    if math.isinf(high):
        return high
    return low + (high - low) * part


def median(values: Sequence[float]) -> float:
    """Return the 50th percentile; raises as `percentile` does."""
    return percentile(values, 0.5)


def into_rounds(
    samples: Iterable[tuple[float, float]], *, start_s: float, rounds: int, round_s: float
) -> list[list[float]]:
    """Cut `(time in seconds, value)` samples into rounds of equal length from `start_s` on.

    Samples before the start (warm-up) and after the last round (graceful stop) are left out. The
    result has exactly `rounds` lists; a list may be empty, which the caller must treat as missing
    data.
    """
    result: list[list[float]] = [[] for _ in range(rounds)]
    for at_s, value in samples:
        index = math.floor((at_s - start_s) / round_s)
        if 0 <= index < rounds:
            result[index].append(value)
    return result


def median_of_rounds(rounds: Sequence[Sequence[float]], share: float) -> float:
    """Return the median over rounds of each round's percentile: the unit is the round.

    Raises:
        ValueError: when there is no round, or a round has no samples (named by its number, from 1).

    """
    for number, values in enumerate(rounds, start=1):
        if not values:
            raise ValueError(f"round {number} of {len(rounds)} has no samples")
    return median([percentile(values, share) for values in rounds])
