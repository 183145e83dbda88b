"""A token bucket for each subject: how often it may call. Pure: the time comes as an argument."""

import math
from collections import OrderedDict
from typing import NamedTuple

__all__ = ["SUBJECTS_MAX", "Allowance", "RateLimit"]

SUBJECTS_MAX = 10_000
BURST_S = 2  # a bucket holds what comes in within this time


class Allowance(NamedTuple):
    """Whether a call is allowed, and how many more are now; `wait_s` until the next one is."""

    allowed: bool
    remaining: int
    wait_s: float


class RateLimit:
    """Allows each subject `per_s` calls a second in the long run, and twice as many at once.

    Over `subjects_max` subjects, the one that has not called for longest is forgotten.
    """

    def __init__(self, per_s: float, *, subjects_max: int = SUBJECTS_MAX) -> None:
        self.per_s = per_s
        self.burst = max(1, int(per_s * BURST_S))
        self._subjects_max = subjects_max
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, subject: str, now: float) -> Allowance:
        """Count a call of `subject` at `now`, in seconds of a clock that never goes back."""
        tokens, filled_at = self._buckets.pop(subject, (float(self.burst), now))
        tokens = min(self.burst, tokens + (now - filled_at) * self.per_s)
        allowed = tokens >= 1
        if allowed:
            tokens -= 1
        self._buckets[subject] = (tokens, now)
        while len(self._buckets) > self._subjects_max:
            self._buckets.popitem(last=False)
        wait_s = 0.0 if tokens >= 1 else (1 - tokens) / self.per_s
        return Allowance(allowed, int(tokens), wait_s)

    def headers(self, allowance: Allowance) -> dict[str, str]:
        """Return `RateLimit` fields (draft-ietf-httpapi-ratelimit-headers), and `Retry-After`."""
        wait_s = math.ceil(allowance.wait_s)
        fields = {
            "RateLimit-Policy": f'"publisher";q={self.burst};w={BURST_S}',
            "RateLimit": f'"publisher";r={allowance.remaining};t={wait_s}',
        }
        return fields if allowance.allowed else {**fields, "Retry-After": str(max(1, wait_s))}
