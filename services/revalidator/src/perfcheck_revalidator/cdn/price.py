"""What invalidations cost and the monthly cap on it.

Every item counts, counted over all instances in the shared store; while that is away, in this
process alone.
"""

import logging
from datetime import UTC, datetime
from typing import Protocol

from asgi_isr.ports import Clock

__all__ = ["FREE_PATHS", "USD_PER_PATH", "Budget", "Counter", "CounterError", "paths_max"]

# https://aws.amazon.com/cloudfront/pricing: "No additional charge for the first 1,000 paths
# requested for invalidation each month. Thereafter, $0.005 per path requested for invalidation."
FREE_PATHS = 1000
USD_PER_PATH = 0.005
_KEPT_S = 40 * 86_400  # a month and a margin

_log = logging.getLogger(__name__)


class CounterError(Exception):
    """The shared counter did not answer in time, or refused."""


class Counter(Protocol):
    """A number that all instances share, by key."""

    async def add(self, key: str, number: int, *, ttl_s: int) -> int:
        """Add `number` (or take it away); return the sum. Raises `CounterError`.

        A key that nobody adds to is forgotten after `ttl_s`.
        """

    async def close(self) -> None:
        """Close what was opened."""


def paths_max(usd: float) -> int:
    """Return how many paths a month may have for `usd`."""
    return FREE_PATHS + round(usd * 1_000_000) // round(USD_PER_PATH * 1_000_000)


class Budget:
    """Counts the paths of one distribution in this calendar month (UTC).

    `unhealthy_reason` says why the count is not the shared one, None when it is.
    """

    def __init__(
        self, counter: Counter, clock: Clock, *, usd_per_month_max: float, distribution_id: str
    ) -> None:
        self._counter = counter
        self._clock = clock
        self._usd_max = usd_per_month_max
        self._paths_max = paths_max(usd_per_month_max)
        self._distribution_id = distribution_id
        self._month = ""
        self._shared = 0  # the shared count when it was last heard
        self._owed = 0  # counted here and not yet in the shared count
        self.unhealthy_reason: str | None = None

    async def take(self, paths: int) -> str | None:
        """Count `paths`; return None, or why they must not be submitted: they are over the cap."""
        counted = await self._count(paths)
        if counted <= self._paths_max:
            return None
        await self._count(-paths)
        return (
            f"the cap of {self._usd_max:g} USD a month allows {self._paths_max} paths; {paths} more"
            f" on top of {counted - paths} in {self._month} would exceed it; raise"
            " PERFCHECK_CDN_USD_PER_MONTH_MAX, or publish fewer names"
        )

    async def give_back(self, paths: int) -> None:
        """Take `paths` out of the count: they were not submitted."""
        await self._count(-paths)

    async def _count(self, paths: int) -> int:
        month = f"{datetime.fromtimestamp(self._clock.wall(), UTC):%Y-%m}"
        if month != self._month:
            self._month, self._shared, self._owed = month, 0, 0
        adding, self._owed = self._owed + paths, 0
        key = f"cdn-paths:{self._distribution_id}:{month}"
        try:
            self._shared = await self._counter.add(key, adding, ttl_s=_KEPT_S)
        except CounterError as error:
            # It may have been counted and the answer lost: counted twice is the safe side.
            self._owed += adding
            if self.unhealthy_reason is None:
                _log.warning("CDN paths are counted in this process alone: %s", error)
            self.unhealthy_reason = (
                f"paths of this month are counted in this process alone: {error}"
            )
        else:
            self.unhealthy_reason = None
        return self._shared + self._owed
