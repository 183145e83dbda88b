"""Columns of days and values made smaller and summed up; pure, no I/O, no drawing."""

from bisect import bisect_right
from collections.abc import Sequence
from datetime import date
from itertools import pairwise

import msgspec

__all__ = ["YearRange", "at_or_before", "by_year", "changes", "downsample"]


class YearRange(msgspec.Struct, frozen=True, kw_only=True):
    """The lowest, highest and last value of one calendar year."""

    year: int
    low: float
    high: float
    last: float


def downsample(days: Sequence[date], values: Sequence[float], *, buckets: int) -> list[int]:
    """Choose the indices worth drawing: of each equally long step of time its lowest and highest.

    Two points a step (about one pixel each) keep every extreme exactly, which an average or every
    n-th point would lose. The first and the last day are always kept, a step without days yields
    nothing (so that a gap stays one), and a column of at most `2 * buckets` is kept whole. `days`
    are ascending and as long as `values`; the indices come ascending and without duplicates.
    """
    count = len(days)
    if count <= 2 * buckets:
        return list(range(count))
    first = days[0].toordinal()
    span = days[-1].toordinal() - first
    kept = [0]
    start = 0
    for bucket in range(1, buckets + 1):
        edge = date.fromordinal(first + span * bucket // buckets)
        end = bisect_right(days, edge, start)
        if end == start:
            continue
        part = values[start:end]
        low = start + part.index(min(part))
        high = start + part.index(max(part))
        kept += sorted({low, high} - {0})
        start = end
    if kept[-1] != count - 1:
        kept.append(count - 1)
    return kept


def changes(values: Sequence[float]) -> list[float | None]:
    """Return each value's change against the one before, as a fraction; the first has none."""
    return [None, *(after / before - 1 for before, after in pairwise(values))]


def at_or_before(days: Sequence[date], day: date) -> int | None:
    """Return the index of the last of the ascending `days` that is not after `day`, if any."""
    index = bisect_right(days, day) - 1
    return index if index >= 0 else None


def by_year(days: Sequence[date], values: Sequence[float]) -> list[YearRange]:
    """Sum each calendar year up, oldest first; years without days are left out."""
    ranges = []
    start = 0
    while start < len(days):
        year = days[start].year
        end = bisect_right(days, date(year, 12, 31), start)
        part = values[start:end]
        ranges.append(YearRange(year=year, low=min(part), high=max(part), last=part[-1]))
        start = end
    return ranges
