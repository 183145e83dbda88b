"""The numbers that the outbox and its relay keep, each in the registry that it is given.

Ages and lags are of the database's clock alone.
"""

import math

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_PUBLISH_LAG_BUCKETS_S = (0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5, 30)
_ROWS_BUCKETS = (1, 4, 16, 64, 256)


class RelayMetrics:
    """What one instance's relay did; numbers stay where they were while another one is active."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._lag_s = Histogram(
            "perfcheck_outbox_publish_lag_seconds",
            "From the writing of an event, just before its commit, until it is in the log.",
            buckets=_PUBLISH_LAG_BUCKETS_S,
            registry=registry,
        )
        self._batch_rows = Histogram(
            "perfcheck_outbox_batch_rows",
            "Events that were published together.",
            buckets=_ROWS_BUCKETS,
            registry=registry,
        )
        self._refused = Counter(
            "perfcheck_outbox_refused",
            "Events that the log will never take; in place of each, everything was invalidated.",
            registry=registry,
        )
        self._duplicates = Counter(
            "perfcheck_outbox_duplicates",
            "Messages whose id the log had seen from somebody else; published again under another.",
            registry=registry,
        )
        self._went_back = Counter(
            "perfcheck_database_went_back",
            "How often everything was invalidated, since the database was not what the log knew.",
            registry=registry,
        )
        self._superseded = Gauge(
            "perfcheck_relay_superseded",
            "Whether another database has taken over the log from that of this instance.",
            registry=registry,
        )
        self._active = Gauge(
            "perfcheck_relay_active",
            "Whether this instance is the one that publishes.",
            registry=registry,
        )

    def published(self, lags_s: list[float]) -> None:
        """Note a batch: for each of its events, how long it took to get into the log."""
        if lags_s:
            self._batch_rows.observe(len(lags_s))
        for lag_s in lags_s:
            self._lag_s.observe(max(0.0, lag_s))  # the database's clock may be set back

    def refused(self) -> None:
        """Note an event that the log will never take."""
        self._refused.inc()

    def duplicate(self) -> None:
        """Note a message whose id somebody else had used."""
        self._duplicates.inc()

    def went_back(self) -> None:
        """Note that everything was invalidated, since the database went back."""
        self._went_back.inc()

    def superseded(self, *, now: bool) -> None:
        """Note whether another database has the log."""
        self._superseded.set(now)

    def active(self, *, now: bool) -> None:
        """Note whether this instance publishes from `now` on."""
        self._active.set(now)


class BacklogMetrics:
    """What waits in the outbox, the same at every instance."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._rows = Gauge(
            "perfcheck_outbox_unpublished_rows",
            "Events that wait to be published; counted up to ten thousand.",
            registry=registry,
        )
        self._oldest_age_s = Gauge(
            "perfcheck_outbox_oldest_unpublished_age_seconds",
            "How long the oldest of them waits; 0 when none does.",
            registry=registry,
        )
        self.unknown()

    def known(self, rows: int, oldest_age_s: float) -> None:
        """Note what was found."""
        self._rows.set(rows)
        self._oldest_age_s.set(max(0.0, oldest_age_s))

    def unknown(self) -> None:
        """Note that the database does not answer: an old number would say that all is well."""
        self._rows.set(math.nan)
        self._oldest_age_s.set(math.nan)
