"""Where an instance stands, for health checks, dashboards and metrics."""

import msgspec


class LocalPagesStatus(msgspec.Struct, frozen=True, kw_only=True):
    """What one instance holds in memory: a number of pages, and their bytes."""

    pages: int
    bytes: int


class InstanceStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One instance at one moment.

    `position` is the sequence of the last event applied, None before the log was reached; `base`
    the sequence since which the index is complete, and `tags` the number of tags in it. `joined`
    says that the instance has applied what stood in the log when it was opened; `log_failure` why
    it does not follow the log now, None while it does. Without a lease (`lease_remaining_s` is 0.0
    seconds) nothing is fresh. `store_failing`: the shared store is left alone for a moment.
    `counters` are those of `asgi_isr.counters.Counters`, over all openings of the cache.
    """

    position: int | None
    base: int
    joined: bool
    tags: int
    lease_remaining_s: float
    log_failure: str | None
    store_failing: bool
    local: LocalPagesStatus
    counters: dict[str, int]
