"""The median over rounds: pure functions. The percentile is the one of the contracts."""

import math
from collections.abc import Iterable, Sequence

from perfcheck_contracts import median, percentile


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
